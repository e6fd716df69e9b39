//! The life of one delivery as types: [`Routed`] → [`Presented`] → [`Received`] → [`Authenticated`] →
//! [`Accepted`] → [`Validated`] → [`Sanitized`].
//!
//! Each step takes `self` and hands out the next stage or the reason why there is none. Fields are private, nothing is `Clone`, and only the step
//! before can make a stage: skipping a check does not compile. `forward` sends nothing but a [`Sanitized`].
//!
//! All of it is plain synchronous code on borrowed data. Waiting (for the body, for the upstream) happens between the steps, in `gateway`.
//!
//! **Invariant:** the earlier fault wins, cheapest and least revealing first, in the order in which this file reads.
//!
//! # What does not compile
//!
//! The whole way, with nothing left out:
//! ```
//! # use hookward::{admit::permit::Permit, delivery::{Ended, Routed, Sanitized}};
//! fn whole<'d>(routed: Routed<'d>, body: bytes::Bytes) -> Result<Sanitized<'d>, Ended> {
//!     let received = routed.present(Permit::offline(), 0)?.receive(body)?;
//!     Ok(received.authenticate(0)?.accept_offline().validate()?.sanitize()?)
//! }
//! ```
//! without authentication:
//! ```compile_fail,E0599
//! # use hookward::{admit::permit::Permit, delivery::{Ended, Routed, Sanitized}};
//! fn whole<'d>(routed: Routed<'d>, body: bytes::Bytes) -> Result<Sanitized<'d>, Ended> {
//!     let received = routed.present(Permit::offline(), 0)?.receive(body)?;
//!     Ok(received.accept_offline().validate()?.sanitize()?)
//! }
//! ```
//! without a look at the payload:
//! ```compile_fail,E0599
//! # use hookward::{admit::permit::Permit, delivery::{Ended, Routed, Sanitized}};
//! fn whole<'d>(routed: Routed<'d>, body: bytes::Bytes) -> Result<Sanitized<'d>, Ended> {
//!     let received = routed.present(Permit::offline(), 0)?.receive(body)?;
//!     Ok(received.authenticate(0)?.accept_offline().sanitize()?)
//! }
//! ```
//! without a permit:
//! ```compile_fail,E0061
//! # use hookward::delivery::{Presented, Routed};
//! # use hookward::rejection::Rejection;
//! fn first<'d>(routed: Routed<'d>) -> Result<Presented<'d>, Rejection> {
//!     routed.present(0)
//! }
//! ```
//! one delivery judged, two bodies forwarded:
//! ```compile_fail,E0382
//! # use hookward::{delivery::{Ended, Sanitized, Validated}};
//! fn twice<'d>(validated: Validated<'d>) -> Result<(Sanitized<'d>, Sanitized<'d>), Ended> {
//!     Ok((validated.sanitize()?, validated.sanitize()?))
//! }
//! ```
//! an upstream request of something that was not sanitized:
//! ```compile_fail,E0308
//! # use hookward::{delivery::Validated, forward::request::{Attestation, request}};
//! fn send(validated: &Validated<'_>, attestation: Attestation<'_>) {
//!     let _ = request(validated, attestation);
//! }
//! ```
//! a proof out of nothing:
//! ```compile_fail,E0451
//! # use hookward::auth::Proof;
//! fn forge() -> Proof<'static> {
//!     Proof { scheme: "github", secret_id: "x".into(), signed_at_millis: None, fresh_for: None, digests: None, claims: None }
//! }
//! ```

mod clean;
mod greet;
mod head;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, StatusCode};

use self::head::{check_host, cut, duplicated, has_no_content, is_json, media_type};
use crate::admit::Limits;
use crate::admit::claims::{Claim, Reservation};
use crate::admit::permit::{Permit, Slot};
use crate::auth::authenticator::{Credentials, presents_nothing};
use crate::auth::certificate::ClientChain;
use crate::auth::confirmation::Confirmation;
use crate::auth::facts::{self, Covered};
use crate::auth::place::{Body, View};
use crate::auth::{Head, Proof};
use crate::clock::UnixSeconds;
use crate::header::{self, Duplicated};
use crate::payload::Document;
use crate::payload::declared::Membership;
use crate::payload::schema::Schema;
use crate::policy::source::{Mode, OnDuplicate, PayloadKind, Unlisted};
use crate::policy::{Policy, Source};
use crate::reason::Reason;
use crate::rejection::Rejection;
use crate::sanitize::Report;
use crate::secret::Secret;

/// How a delivery ends without being forwarded.
#[derive(Debug)]
pub enum Ended {
    /// It was refused.
    Rejected(Rejection),
    /// The gateway itself answered it: an event that is only acknowledged, a handshake.
    Answered(Box<Answer>),
}

/// An answer of the gateway's own, with status 200, to a good request that the upstream never sees.
#[derive(Debug)]
pub struct Answer {
    /// Header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Why, for the log.
    pub why: &'static str,
    /// What has to be done before it may go out.
    pub duty: Option<Duty>,
    /// The room and the claim of the delivery that it answers, where it came so far.
    held: Option<Box<Held>>,
}

/// What has to be done before an answer may go out. Without it the answer would be a lie.
#[derive(Debug)]
pub enum Duty {
    /// A secret that a provider handed over is kept.
    Keep(Secret),
    /// A subscription is confirmed by a visit.
    Confirm(Confirmation),
}

/// What an accepted delivery holds until it is done.
#[derive(Debug)]
struct Held {
    _slot: Slot,
    novelty: Novelty,
}

impl Answer {
    /// Remembers the delivery that it answers: its repetitions are known then. `now` is monotonic.
    pub fn commit(&mut self, now: Duration) {
        if let Some(held) = self.held.take() {
            held.novelty.commit(now);
        }
    }
}

/// Whether the connection's certificate serves the request's Host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostMatch {
    /// It does, or the connection did not ask for a name, or there is no TLS.
    Served,
    /// The Host is served under another certificate.
    Misdirected,
}

/// A request that belongs to a source.
#[derive(Debug)]
pub struct Routed<'d> {
    source: &'d Source,
    head: &'d Parts,
    json: bool,
    purpose: Purpose,
}

/// What a request may be by its method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// A delivery, or a handshake that looks like one.
    Delivery,
    /// A handshake and nothing else: deliveries do not come by this method.
    Handshake,
}

/// A request that was admitted and carries a well-formed credential.
#[derive(Debug)]
pub struct Presented<'d> {
    routed: Routed<'d>,
    permit: Permit,
    credential: Presentation<'d>,
}

/// What a request presented.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is nearly every delivery's, and a box would be an allocation for each"
)]
enum Presentation<'d> {
    /// A well-formed credential, or as many as the policy wants.
    Credentials(Credentials<'d>),
    /// None, which is a fault unless the body makes it a handshake that comes without proof.
    Missing(Rejection),
    /// One that is not well-formed, or none, where `[mode] auth` only monitors.
    Refuted(Rejection),
    /// The policy wants no proof.
    Unasked,
}

/// Who sent a delivery. Only [`Received::authenticate`] makes one.
#[derive(Debug)]
enum Sender<'d> {
    /// Somebody with the secret.
    Proven(Proof<'d>),
    /// Anybody: the policy says `provider = "none"`.
    Unasked,
    /// Nobody knows, and `[mode] auth` only monitors. Nothing that needs a proof may be done for it.
    Unproven,
}

impl<'d> Sender<'d> {
    const fn proof(&self) -> Option<&Proof<'d>> {
        match self {
            Self::Proven(proof) => Some(proof),
            Self::Unasked | Self::Unproven => None,
        }
    }

    const fn is_unproven(&self) -> bool {
        matches!(self, Self::Unproven)
    }
}

/// A request with its whole body.
#[derive(Debug)]
pub struct Received<'d> {
    presented: Presented<'d>,
    body: Bytes,
}

/// A delivery whose sender is proven, or known not to be where `[mode] auth` only monitors.
#[derive(Debug)]
pub struct Authenticated<'d> {
    routed: Routed<'d>,
    permit: Permit,
    body: Bytes,
    sender: Sender<'d>,
    at: UnixSeconds,
    monitored: Vec<Rejection>,
}

/// A proven delivery that is new and that its source has room for.
#[derive(Debug)]
pub struct Accepted<'d> {
    routed: Routed<'d>,
    body: Bytes,
    sender: Sender<'d>,
    at: UnixSeconds,
    slot: Slot,
    novelty: Novelty,
    monitored: Vec<Rejection>,
}

/// Whether a delivery was accepted before.
#[derive(Debug)]
enum Novelty {
    /// It was not, and nothing like it is accepted while the claim is held.
    New(Claim),
    /// It was, and the policy forwards it all the same.
    Duplicate,
    /// Nothing signed tells one delivery from another, or it is judged offline.
    Unknown,
}

impl Novelty {
    fn commit(self, now: Duration) {
        match self {
            Self::New(claim) => claim.commit(now),
            Self::Duplicate | Self::Unknown => {}
        }
    }
}

/// A delivery whose payload fits what the policy says.
#[derive(Debug)]
pub struct Validated<'d> {
    delivery: Accepted<'d>,
    document: Option<Document>,
    event: Option<Event<'d>>,
    delivery_id: Option<String>,
    schema: Option<&'d Schema>,
    membership: Membership,
}

/// A delivery that may leave: the only thing an upstream request is made of.
#[derive(Debug)]
pub struct Sanitized<'d> {
    routed: Routed<'d>,
    _slot: Slot,
    novelty: Novelty,
    body: Bytes,
    report: Report,
    monitored: Vec<Rejection>,
    sender: Sender<'d>,
    event: Option<Event<'d>>,
    delivery_id: Option<String>,
}

/// An event's name and whether the sender's proof covers it.
#[derive(Debug)]
pub struct Event<'d> {
    /// The name.
    pub name: Cow<'d, str>,
    /// Whether somebody who captured a delivery could change it.
    pub covered: Covered,
}

impl<'d> Routed<'d> {
    /// Finds the source of a request.
    ///
    /// # Errors
    /// `header_malformed`, `header_duplicated`, `host_mismatch`, `unknown_source`, `method_not_allowed`,
    /// `unsupported_media_type`, `content_encoding_refused`, in this order.
    pub fn find(policy: &'d Policy, head: &'d Parts, host: HostMatch) -> Result<Self, Rejection> {
        check_host(head)?;
        for name in [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LENGTH] {
            header::single(&head.headers, &name).map_err(|Duplicated| duplicated(&name))?;
        }
        if host == HostMatch::Misdirected {
            return Err(Reason::HostMismatch.into());
        }
        let source = policy.route(head.uri.path()).ok_or(Reason::UnknownSource)?;
        for name in &source.single_headers {
            header::single(&head.headers, name).map_err(|Duplicated| duplicated(name))?;
        }
        let purpose = if source.methods.contains(&head.method) { Purpose::Delivery } else { Purpose::Handshake };
        if purpose == Purpose::Handshake && !source.handshakes.takes(&head.method) {
            return Err(Rejection::new(Reason::MethodNotAllowed).fact("allowed", source.allowed()));
        }
        let media_type = media_type(head)?;
        if purpose == Purpose::Handshake {
            return Ok(Self { source, head, json: false, purpose });
        }
        if !source.content_types.contains(media_type) && !has_no_content(head) {
            return Err(Rejection::new(Reason::UnsupportedMediaType).fact("content_type", cut(media_type)));
        }
        if let Some(coding) = head.headers.get(CONTENT_ENCODING)
            && !coding.as_bytes().eq_ignore_ascii_case(b"identity")
        {
            return Err(Reason::ContentEncodingRefused.into());
        }
        let json = match source.payload {
            PayloadKind::Json => true,
            PayloadKind::Opaque => false,
            PayloadKind::Auto => is_json(media_type),
        };
        if !json && source.reads_payload() {
            // A schema that some media types slip past would be no schema.
            return Err(Rejection::new(Reason::UnsupportedMediaType)
                .fact("content_type", cut(media_type))
                .hint("the policy has a schema or a sanitizer, which read JSON alone"));
        }
        Ok(Self { source, head, json, purpose })
    }

    /// The source.
    #[must_use]
    pub const fn source(&self) -> &'d Source {
        self.source
    }

    /// Reads the credential from the head; no byte of the body is buffered for a request without one.
    ///
    /// # Errors
    /// `credential_*` and `timestamp_*` as far as they can be told without the body.
    pub fn present(self, permit: Permit, now: UnixSeconds) -> Result<Presented<'d>, Rejection> {
        let credential = match &self.source.authenticator {
            Some(authenticator) => match authenticator.read(self.auth_head(), self.client_chain(), now) {
                Ok(credentials) => Presentation::Credentials(credentials),
                Err(fault) if presents_nothing(fault.reason()) && self.may_be_met_later() => {
                    match self.admit_stranger(now) {
                        Ok(()) => Presentation::Missing(fault),
                        Err(fault) => self.refute(fault)?,
                    }
                }
                Err(fault) => self.refute(fault)?,
            },
            None => Presentation::Unasked,
        };
        Ok(Presented { routed: self, permit, credential })
    }

    /// A request that cannot be authentic ends here, unless that is only monitored.
    fn refute(&self, fault: Rejection) -> Result<Presentation<'d>, Rejection> {
        match self.source.modes.auth {
            Mode::Enforce => Err(fault),
            Mode::Monitor => Ok(Presentation::Refuted(fault)),
        }
    }

    /// What the connection showed in its handshake; the edge puts it to the request.
    fn client_chain(&self) -> Option<&'d ClientChain> {
        self.head.extensions.get::<Arc<ClientChain>>().map(|chain| &**chain)
    }

    fn auth_head(&self) -> Head<'d> {
        Head {
            method: &self.head.method,
            uri: &self.head.uri,
            headers: &self.head.headers,
            public_url: self.source.public_url.as_deref(),
        }
    }
}

impl<'d> Presented<'d> {
    /// The longest body this delivery may have, in bytes; less where nothing was presented.
    #[must_use]
    pub fn body_bytes_max(&self) -> usize {
        let of_source = self.routed.source.body_bytes_max;
        match self.credential {
            Presentation::Missing(_) if self.routed.source.modes.auth == Mode::Enforce => {
                of_source.min(CHALLENGE_BODY_BYTES_MAX)
            }
            Presentation::Missing(_)
            | Presentation::Refuted(_)
            | Presentation::Credentials(_)
            | Presentation::Unasked => of_source,
        }
    }

    /// Takes the whole body.
    ///
    /// # Errors
    /// `body_too_large`; `body_empty` where the payload is read.
    pub fn receive(self, body: Bytes) -> Result<Received<'d>, Rejection> {
        if body.len() > self.body_bytes_max() {
            return Err(Rejection::new(Reason::BodyTooLarge).fact("body_bytes_max", self.body_bytes_max()));
        }
        if !body.is_empty() && has_no_content(self.routed.head) {
            return Err(Rejection::new(Reason::UnsupportedMediaType).fact("content_type", ""));
        }
        if body.is_empty() && self.routed.json {
            return Err(Reason::BodyEmpty.into());
        }
        Ok(Received { presented: self, body })
    }
}

impl<'d> Received<'d> {
    /// The body as received.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// Proves who sent it.
    ///
    /// # Errors
    /// `credential_mismatch`, `secret_expired`, and what [`Routed::present`] answers where the credential stands in the body; the answer to a
    /// handshake that the body makes of it.
    pub fn authenticate(self, now: UnixSeconds) -> Result<Authenticated<'d>, Ended> {
        let Presented { routed, permit, credential } = self.presented;
        let mut monitored = Vec::new();
        let mut doubt = |fault: Rejection| {
            routed.source.modes.auth.judge(fault, &mut monitored)?;
            Ok::<_, Rejection>(Sender::Unproven)
        };
        let sender = match (credential, &routed.source.authenticator) {
            (Presentation::Credentials(credentials), Some(_)) => match credentials.verify(&self.body, now) {
                Ok(proof) => Sender::Proven(proof),
                Err(fault) => doubt(fault)?,
            },
            (Presentation::Missing(fault), _) => {
                greet::meet(&routed, &self.body, now)?;
                doubt(fault)?
            }
            (Presentation::Refuted(fault), _) => doubt(fault)?,
            (Presentation::Credentials(_), None) => return Err(Reason::CredentialMismatch.into()),
            (Presentation::Unasked, Some(_)) => return Err(Reason::CredentialMissing.into()),
            // The policy says `provider = "none"` and why.
            (Presentation::Unasked, None) => Sender::Unasked,
        };
        Ok(Authenticated { routed, permit, body: self.body, sender, at: now, monitored })
    }
}

/// The longest body that is read of a request without a credential, where it may be a handshake, in bytes.
const CHALLENGE_BODY_BYTES_MAX: usize = 16 * 1024;

/// The longest a claim is kept: a token that is fresh for years must not hold its place so long.
const CLAIM_TIME_MAX: Duration = Duration::from_secs(2 * 24 * 60 * 60);

impl<'d> Authenticated<'d> {
    /// The source.
    #[must_use]
    pub const fn source(&self) -> &'d Source {
        self.routed.source
    }

    /// Who sent it; `None` where the policy says `provider = "none"`, or where only monitored authentication found no proof.
    #[must_use]
    pub const fn proof(&self) -> Option<&Proof<'d>> {
        self.sender.proof()
    }

    /// Takes out what monitored stages found.
    pub fn take_monitored(&mut self) -> Vec<Rejection> {
        std::mem::take(&mut self.monitored)
    }

    /// Claims the delivery, so that its repetitions are known, and takes it into its source's budget. `now` is monotonic.
    ///
    /// # Errors
    /// `replayed`, `replay_in_flight`, `rate_limited_source`, `overloaded`, in this order.
    pub fn accept(self, limits: &Limits, now: Duration) -> Result<Accepted<'d>, Rejection> {
        let novelty = self.claim(limits, now)?;
        let rules = &self.routed.source.limits;
        let mut slot = match &self.sender {
            Sender::Proven(_) | Sender::Unasked => limits.accept(rules, self.permit, now)?,
            Sender::Unproven => limits.accept_unproven(rules, self.permit)?,
        };
        let mut monitored = self.monitored;
        monitored.extend(slot.take_monitored());
        Ok(Accepted {
            routed: self.routed,
            body: self.body,
            sender: self.sender,
            at: self.at,
            slot,
            novelty,
            monitored,
        })
    }

    /// Takes a recorded delivery on without limits and replay protection.
    #[must_use]
    pub fn accept_offline(self) -> Accepted<'d> {
        let slot = Slot::offline(self.permit);
        let (sender, at, monitored) = (self.sender, self.at, self.monitored);
        Accepted { routed: self.routed, body: self.body, sender, at, slot, novelty: Novelty::Unknown, monitored }
    }

    /// Takes a recorded delivery on without limits, but with replay protection: the records before it count.
    ///
    /// # Errors
    /// `replayed`, `replay_in_flight`.
    pub fn accept_sequence(self, limits: &Limits, now: Duration) -> Result<Accepted<'d>, Rejection> {
        let novelty = self.claim(limits, now)?;
        let slot = Slot::offline(self.permit);
        let (sender, at, monitored) = (self.sender, self.at, self.monitored);
        Ok(Accepted { routed: self.routed, body: self.body, sender, at, slot, novelty, monitored })
    }

    fn claim(&self, limits: &Limits, now: Duration) -> Result<Novelty, Rejection> {
        let Some(proof) = self.sender.proof() else { return Ok(Novelty::Unknown) };
        let source = self.routed.source;
        // A token may be fresh for longer than the window; a timestamp from the edge of the future is, by its last second.
        let window = source.replay.window.max(proof.fresh_for().unwrap_or_default().min(CLAIM_TIME_MAX));
        let claims = limits.claims();
        // Only what a timestamp makes stale can become fresh again.
        let time = if proof.fresh_for().is_some() { claims.time(now, self.at) } else { now };
        let reservation = claims.reserve_all(source.limits.id(), proof.digests(), window, time);
        let Some(reservation) = reservation.transpose() else { return Ok(Novelty::Unknown) };
        match (reservation, source.replay.on_duplicate) {
            (Ok(Reservation::New(claim)), _) => Ok(Novelty::New(claim)),
            (Ok(Reservation::Duplicate | Reservation::InFlight), OnDuplicate::Forward) => Ok(Novelty::Duplicate),
            (Ok(Reservation::Duplicate), OnDuplicate::Acknowledge) => {
                Err(Rejection::new(Reason::Replayed).told(StatusCode::OK))
            }
            (Ok(Reservation::Duplicate), OnDuplicate::Refuse) => Err(Reason::Replayed.into()),
            (Ok(Reservation::InFlight), OnDuplicate::Acknowledge | OnDuplicate::Refuse) => {
                Err(Rejection::new(Reason::ReplayInFlight).retry_after(Duration::from_secs(1)))
            }
            // No place to remember it: what is forwarded anyway may go, what must not come twice may not.
            (Err(_full), OnDuplicate::Forward) => Ok(Novelty::Unknown),
            (Err(full), OnDuplicate::Acknowledge | OnDuplicate::Refuse) => Err(full),
        }
    }
}

impl<'d> Accepted<'d> {
    /// Takes out what monitored stages found.
    pub fn take_monitored(&mut self) -> Vec<Rejection> {
        std::mem::take(&mut self.monitored)
    }

    /// Reads the payload, finds the event and checks its schema.
    ///
    /// # Errors
    /// `json_*`, `event_missing`, `event_unlisted`, `schema_mismatch`; or an answer where unlisted events are acknowledged.
    pub fn validate(mut self) -> Result<Validated<'d>, Ended> {
        let source = self.routed.source;
        let document = if self.routed.json { Some(Document::read(self.body.clone(), source.json)?) } else { None };
        if let Err(ended) = self.greet_authentic(document.as_ref()) {
            return Err(self.hold(ended));
        }
        let (event, delivery_id) = self.find_facts(document.as_ref());
        let rules = &source.event;
        let mut membership = Membership::Unasked;
        let schema = match &document {
            Some(document) if rules.has_schemas() => {
                let name = event.as_ref().map(|event| &*event.name);
                let schema = rules.schema(name);
                match (schema, name) {
                    (Some(schema), _) => match schema.check(document) {
                        Ok(known) => membership = known,
                        Err(mismatch) => source.modes.schema.judge(mismatch, &mut self.monitored)?,
                    },
                    (None, name) => match unlisted(source, name) {
                        Err(Ended::Rejected(fault)) => source.modes.schema.judge(fault, &mut self.monitored)?,
                        passed_or_answered => passed_or_answered?,
                    },
                }
                schema
            }
            Some(_) | None => None,
        };
        Ok(Validated { delivery: self, document, event, delivery_id, schema, membership })
    }

    /// Leaves what the delivery holds to the answer that ends it.
    fn hold(self, ended: Ended) -> Ended {
        match ended {
            Ended::Answered(mut answer) => {
                answer.held = Some(Box::new(Held { _slot: self.slot, novelty: self.novelty }));
                Ended::Answered(answer)
            }
            Ended::Rejected(_) => ended,
        }
    }

    /// The event's name and the provider's id of the delivery, from one look at the body.
    fn find_facts(&self, document: Option<&Document>) -> (Option<Event<'d>>, Option<String>) {
        let Routed { source, head, .. } = self.routed;
        let body = Body::for_facts(&self.body, &head.headers, document);
        let claims = self.sender.proof().and_then(Proof::claims);
        let view = View::of_head(self.routed.auth_head()).with_body(&body).with_claims(claims);
        let event = source.event.places.iter().find_map(|(place, covered)| {
            let name = facts::find(std::slice::from_ref(place), &view)?;
            let covered = if self.sender.is_unproven() { Covered::Unsigned } else { *covered };
            Some(Event { name: Cow::Owned(name), covered })
        });
        (event, facts::find(&source.delivery_id, &view))
    }
}

impl From<Rejection> for Ended {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<Answer> for Ended {
    fn from(answer: Answer) -> Self {
        Self::Answered(Box::new(answer))
    }
}

impl From<Reason> for Ended {
    fn from(reason: Reason) -> Self {
        Self::Rejected(reason.into())
    }
}

fn unlisted(source: &Source, event: Option<&str>) -> Result<(), Ended> {
    match (source.event.unlisted, event) {
        (Unlisted::Accept, _) => Ok(()),
        (Unlisted::Acknowledge, _) => {
            let (headers, body) = (HeaderMap::new(), source.forward.acknowledgement.clone());
            Err(Answer { headers, body, why: "event_unlisted", duty: None, held: None }.into())
        }
        (Unlisted::Refuse, None) => Err(Reason::EventMissing.into()),
        (Unlisted::Refuse, Some(_)) => Err(Reason::EventUnlisted.into()),
    }
}

impl<'d> Validated<'d> {
    /// The event, where the delivery names one.
    #[must_use]
    pub fn event(&self) -> Option<&str> {
        self.event.as_ref().map(|event| &*event.name)
    }

    /// Takes out what monitored stages found.
    pub fn take_monitored(&mut self) -> Vec<Rejection> {
        self.delivery.take_monitored()
    }

    /// Removes what the policy does not want to reach the upstream.
    ///
    /// # Errors
    /// `sanitizer_refused`.
    pub fn sanitize(self) -> Result<Sanitized<'d>, Rejection> {
        let Accepted { routed, body, sender, at: _, slot, novelty, mut monitored } = self.delivery;
        let (body, report) = match &self.document {
            Some(document) => {
                let declared = self.schema.map(Schema::declared);
                let cleaned = routed.source.sanitize.clean(document, declared, self.membership);
                match routed.source.modes.sanitize {
                    Mode::Enforce => {
                        let cleaned = cleaned?;
                        clean::check_again(&cleaned, self.schema, routed.source, &mut monitored)?;
                        (cleaned.body, cleaned.report)
                    }
                    Mode::Monitor => {
                        monitored.extend(clean::finding(cleaned));
                        (body, Report::default())
                    }
                }
            }
            None => (body, Report::default()),
        };
        let (event, delivery_id) = (self.event, self.delivery_id);
        Ok(Sanitized { routed, _slot: slot, novelty, body, report, monitored, sender, event, delivery_id })
    }
}

impl<'d> Sanitized<'d> {
    /// The source.
    #[must_use]
    pub const fn source(&self) -> &'d Source {
        self.routed.source
    }

    /// The request's head as received.
    #[must_use]
    pub const fn head(&self) -> &'d Parts {
        self.routed.head
    }

    /// The body as it may leave: the received bytes themselves if nothing was edited.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// What was edited.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// Who sent it; `None` where nobody had to prove it, or nobody did.
    #[must_use]
    pub const fn proof(&self) -> Option<&Proof<'d>> {
        self.sender.proof()
    }

    /// Whether it goes on although its proof failed: `[mode] auth` only monitors.
    #[must_use]
    pub const fn is_unproven(&self) -> bool {
        self.sender.is_unproven()
    }

    /// Takes out what monitored stages found.
    pub fn take_monitored(&mut self) -> Vec<Rejection> {
        std::mem::take(&mut self.monitored)
    }

    /// Whether the same delivery was accepted before.
    #[must_use]
    pub const fn is_duplicate(&self) -> bool {
        matches!(self.novelty, Novelty::Duplicate)
    }

    /// Remembers the delivery as accepted: its upstream took it. Without this a repetition is a new delivery. `now` is monotonic.
    pub fn commit(self, now: Duration) {
        self.novelty.commit(now);
    }

    /// The event's name.
    #[must_use]
    pub const fn event(&self) -> Option<&Event<'d>> {
        self.event.as_ref()
    }

    /// The provider's id of this delivery.
    #[must_use]
    pub fn delivery_id(&self) -> Option<&str> {
        self.delivery_id.as_deref()
    }
}
