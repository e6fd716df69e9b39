//! A delivery's record while it is being made: filled as the delivery goes, written once, at the latest when it is dropped.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;

use super::client::Client;
use super::detach::Taken;
use super::diagnose::{Refused, Room};
use super::{Arrival, Gateway, Shared, Upstream};
use crate::clock::UnixSeconds;
use crate::delivery::{Authenticated, Ended, Received, Validated};
use crate::forward::Forwarded;
use crate::forward::request::Protocol;
use crate::policy::Source;
use crate::reason::{Reason, Stage};
use crate::record::{Counted, Delivery, DeliveryId, Outcome, Reserved, Upstream as UpstreamFacts};
use crate::rejection::{Findings, Rejection};
use crate::reply::{self, Reply};
use crate::sanitize::EditCounts;

/// What becomes the record.
pub(super) struct Draft<'d, U: Upstream> {
    gateway: &'d Gateway<U>,
    head: &'d Parts,
    ts: i64,
    started: Duration,
    id: DeliveryId,
    client: Client,
    source: Option<&'d Source>,
    body: Option<Bytes>,
    event: Option<String>,
    proven: Option<Proven<'d>>,
    edits: EditCounts,
    findings: Findings,
    upstream: Option<UpstreamFacts>,
    answered: Option<Duration>,
    committed: bool,
    written: bool,
    _counted: Counted,
}

struct Proven<'d> {
    scheme: &'d str,
    secret_id: Cow<'d, str>,
}

impl<'d, U: Upstream> Draft<'d, U> {
    /// The record of a request whose head was read just now.
    pub(super) fn new(gateway: &'d Gateway<U>, head: &'d Parts, arrival: &Arrival) -> Self {
        let Shared { clock, settings, .. } = gateway.shared();
        let ts = clock.unix_micros();
        Self {
            gateway,
            head,
            ts,
            started: clock.monotonic(),
            id: DeliveryId::new(ts),
            client: Client::of(&head.headers, arrival, &settings.trusted_proxies, settings.forwarding_field),
            source: None,
            body: None,
            event: None,
            proven: None,
            edits: EditCounts::default(),
            findings: Findings::default(),
            upstream: None,
            answered: None,
            committed: false,
            written: false,
            _counted: gateway.recorder().in_flight(),
        }
    }

    /// The gateway's own id of the delivery.
    pub(super) const fn id(&self) -> DeliveryId {
        self.id
    }

    /// When the request's head was read, on the monotonic clock.
    pub(super) const fn started(&self) -> Duration {
        self.started
    }

    /// The same in wall time.
    pub(super) const fn began(&self) -> UnixSeconds {
        self.ts.div_euclid(1_000_000)
    }

    /// The client's address.
    pub(super) const fn peer(&self) -> IpAddr {
        self.client.address
    }

    /// What the client spoke.
    pub(super) const fn protocol(&self) -> Protocol {
        self.client.protocol
    }

    /// The source it belongs to.
    pub(super) const fn source(&self) -> Option<&'d Source> {
        self.source
    }

    pub(super) fn routed(&mut self, source: &'d Source) -> &'d Source {
        self.source = Some(source);
        source
    }

    /// Where each step puts what it finds and lets pass.
    pub(super) const fn findings(&mut self) -> &mut Findings {
        &mut self.findings
    }

    pub(super) fn received(&mut self, received: &Received<'d>) {
        self.body = Some(received.body().clone());
    }

    pub(super) fn authenticated(&mut self, authenticated: &Authenticated<'d>) {
        let proof = authenticated.proof();
        self.proven = proof.map(|proof| Proven { scheme: proof.scheme(), secret_id: proof.secret_id_kept() });
    }

    /// From here on the delivery is finished although its sender may be gone. Answers whose it is.
    pub(super) const fn committed(&mut self) -> Taken {
        self.committed = true;
        if self.proven.is_some() { Taken::Proven } else { Taken::Unproven }
    }

    pub(super) fn validated(&mut self, validated: &Validated<'d>) {
        self.event = validated.event().map(str::to_owned);
    }

    /// The upstream was asked, and was done `at`; the delivery waits for nothing after that.
    pub(super) fn forwarded(&mut self, edits: EditCounts, upstream: UpstreamFacts, at: Duration) {
        self.edits = edits;
        self.upstream = Some(upstream);
        self.answered = Some(at);
    }

    /// The time, or when the upstream was done.
    pub(super) fn ended(&self) -> Duration {
        self.answered.unwrap_or_else(|| self.gateway.shared().clock.monotonic())
    }

    /// Makes the answer and writes the record, unless the refusal is to be looked into: then that writes it.
    pub(super) fn finish(mut self, ended: Result<Forwarded, Ended>) -> (Reply, Option<Refused>) {
        let reply = match ended {
            Ok(forwarded) => {
                self.write(Some(forwarded.status.as_u16()), Outcome::Forwarded);
                reply::forwarded(forwarded)
            }
            Err(Ended::Answered(answer)) => {
                self.write(Some(200), Outcome::Answered);
                reply::answered(answer.headers, answer.body)
            }
            Err(Ended::Rejected(rejection)) => {
                self.count_failure(rejection.reason());
                let reply = reply::refused(&rejection, self.id.encode(&mut [0; DeliveryId::LENGTH]));
                return (reply, self.refuse(rejection));
            }
        };
        (reply, None)
    }

    /// Hands a refused delivery over to be looked into, where that is due and there is room; else writes its record.
    fn refuse(&mut self, rejection: Rejection) -> Option<Refused> {
        let now = self.gateway.shared().clock.monotonic();
        let place = self.place(&rejection, now);
        let room = if place.is_some() { self.room(now) } else { None };
        let Some(room) = room else {
            self.written = true;
            let status = rejection.status().map(|status| status.as_u16());
            self.gateway.recorder().reserved(&self.delivery(status, Outcome::Rejected(&rejection)), place);
            return None;
        };
        self.written = true;
        Some(Refused {
            ts: self.ts,
            id: self.id,
            peer: self.peer(),
            body: self.body.take(),
            elapsed: now.saturating_sub(self.started),
            now: self.gateway.shared().clock.unix_seconds(),
            rejection,
            findings: std::mem::take(&mut self.findings),
            place,
            _room: room,
        })
    }

    /// A place in the rejected log, if a diagnosis is due. A flood that is only counted spends none of what a genuine sender's mistake needs.
    fn place(&self, rejection: &Rejection, now: Duration) -> Option<Reserved> {
        let (gateway, source) = (self.gateway, self.source?);
        if !gateway.diagnosis()?.is_due(rejection, source, now) {
            return None;
        }
        let at = gateway.shared().clock.unix_micros();
        gateway.recorder().reserve(Some(&source.name), rejection.reason(), self.peer(), at)
    }

    fn room(&self, now: Duration) -> Option<Room> {
        let body_bytes = self.body.as_ref().map_or(0, Bytes::len);
        self.gateway.diagnosis()?.room(self.source?, body_bytes, now)
    }

    /// A fault of authentication counts against the client's budget at this source.
    fn count_failure(&self, reason: Reason) {
        let Some(source) = self.source else { return };
        if reason.row().stage == Stage::Authenticate {
            let Shared { limits, clock, .. } = self.gateway.shared();
            limits.failed(&source.limits, self.peer(), reason, clock.monotonic());
        }
    }

    fn write(&mut self, status: Option<u16>, outcome: Outcome<'_>) {
        self.written = true;
        self.gateway.recorder().delivery(&self.delivery(status, outcome));
    }

    fn delivery<'r>(&'r self, status: Option<u16>, outcome: Outcome<'r>) -> Delivery<'r> {
        Delivery {
            event: self.event.as_deref(),
            body: self.body.as_ref(),
            elapsed: self.ended().saturating_sub(self.started),
            secret_id: self.proven.as_ref().map(|proven| &*proven.secret_id),
            scheme: self.proven.as_ref().map(|proven| proven.scheme),
            edits: self.edits,
            status,
            upstream: self.upstream,
            monitored: &self.findings,
            ..Delivery::new(self.ts, self.id, self.peer(), outcome).of(self.head, self.source)
        }
    }
}

/// A delivery that ends without an answer leaves a record all the same.
impl<U: Upstream> Drop for Draft<'_, U> {
    fn drop(&mut self) {
        if self.written {
            return;
        }
        let (rejection, status) = match (std::thread::panicking(), self.committed) {
            (true, _) => (Reason::Panic.into(), Reason::Panic.row().status),
            // Nothing but the end of the gateway's own time keeps it from an answer.
            (false, true) => (Rejection::new(Reason::DeadlineExceeded).fact("limit", "drain_seconds"), None),
            (false, false) => (Reason::BodyTruncated.into(), None),
        };
        self.write(status.map(|status| status.as_u16()), Outcome::Rejected(&rejection));
    }
}
