//! The life of one delivery as types: [`Routed`] → [`Presented`] → [`Received`] → [`Authenticated`] →
//! [`Accepted`] → [`Validated`] → [`Sanitized`].
//!
//! Each step takes `self` and hands out the next stage or the reason why there is none. Fields are private, nothing is `Clone`, and only the step
//! before can make a stage: skipping a check does not compile. `forward` sends nothing but a [`Sanitized`].
//!
//! All of it is plain synchronous code on borrowed data. Waiting (for the body, for the upstream) happens between the steps, in `gateway`.
//!
//! The types stand here; `prove`, `accept` and `judge` have the steps from one to the next.
//!
//! **Invariant:** the earlier fault wins, cheapest and least revealing first, in the order in which those files read.
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

mod accept;
mod clean;
mod greet;
mod head;
mod judge;
mod prove;

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;

pub(crate) use self::head::format;
use crate::admit::claims::Claim;
use crate::admit::permit::{Permit, Slot};
use crate::auth::Proof;
use crate::auth::authenticator::Credentials;
use crate::auth::confirmation::Confirmation;
use crate::auth::facts::Covered;
use crate::clock::UnixSeconds;
use crate::payload::coding::Coding;
use crate::payload::declared::Membership;
use crate::payload::schema::Schema;
use crate::payload::{Format, Payload};
use crate::policy::Source;
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
    reading: Reading<'d>,
    /// What has still to be taken away of the body.
    coding: Option<Coding>,
    purpose: Purpose,
}

/// Whether a body is read, and as what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading<'d> {
    /// It is not: it goes on as it was received.
    Not,
    /// It is.
    As(Format<'d>),
    /// It would have to be and cannot.
    Refused(Unread),
}

/// Why a body that would have to be read is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Unread {
    /// What of the Content-Type would have to be otherwise.
    expected: &'static str,
    /// What to do.
    hint: &'static str,
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
    payload: Option<Payload>,
    event: Option<Event<'d>>,
    delivery_id: Option<String>,
    schema: Option<&'d Schema>,
    /// The schema, if the payload fits it: a monitored one it may miss.
    fitted: Option<&'d Schema>,
    membership: Membership,
}

/// A delivery that may leave: the only thing a request to an app is made of.
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

    /// Whether it is what the sender's signature was made for: neither edited nor decoded since.
    #[must_use]
    pub fn is_as_signed(&self) -> bool {
        self.report.is_empty() && self.routed.coding.is_none()
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
