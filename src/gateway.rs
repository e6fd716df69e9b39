//! The pipeline: what happens to one request, from its head to the answer, and the one record of it.
//!
//! `Gateway::judge` is the life of a delivery, a line a step; each step hands out the proof that the next one demands (see
//! [`delivery`](crate::delivery)). [`Gateway::deliver`] wraps it: every request gets one answer and one record, whatever happens, also when the
//! sender goes away or the gateway itself panics.
//!
//! **Invariant:** workers share a policy snapshot and sharded tables; nothing here takes a lock that all deliveries share.

mod client;
pub mod confirm;
mod detach;
pub mod diagnose;
mod draft;
mod forward;
pub mod health;
mod learn;

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{EXPECT, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Request, Version};
use http_body::Body;
use tokio::sync::Semaphore;
use tower::Service;

pub use client::Peer;
pub use detach::{Commitment, Detachable};

use crate::admit::Limits;
use crate::admit::networks::Networks;
use crate::clock::Clock;
use crate::delivery::{Answer, Duty, Ended, HostMatch, Routed};
use crate::forward::Forwarded;
use crate::forward::pool::{Exchange, ExchangeFault, Outbound};
use crate::forward::request::Protocol;
use crate::policy::Policy;
use crate::policy::gateway_config::ForwardingField;
use crate::policy::reload::Reload;
use crate::reason::Reason;
use crate::receive::{self, Pace};
use crate::record::Recorder;
use crate::rejection::Rejection;
use crate::reply::Reply;
use confirm::Visits;
use diagnose::{Diagnosis, Job};
use draft::Draft;

/// What sends requests to upstreams: the pool of a worker, or a function in a test.
pub trait Upstream:
    Service<Outbound, Response = Exchange, Error = ExchangeFault, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<U> Upstream for U where
    U: Service<Outbound, Response = Exchange, Error = ExchangeFault, Future: Send> + Clone + Send + Sync + 'static
{
}

/// What all workers share: immutable, or sharded.
#[derive(Debug)]
pub struct Shared {
    /// The policy in force.
    pub policy: ArcSwap<Policy>,
    /// Rates, budgets, claims.
    pub limits: Limits,
    /// The time.
    pub clock: Clock,
    /// Limits of a request.
    pub settings: Settings,
    /// How a worker asks for the next policy.
    pub reload: Reload,
    /// One at a time keeps a secret that a provider hands over.
    pub learning: Semaphore,
    /// Visits that confirm a subscription.
    pub visits: Visits,
}

/// Limits of a request that no policy sets, from `[edge]` and `[listen]`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Bytes of the request target.
    pub uri_bytes_max: usize,
    /// Header fields.
    pub headers_max: usize,
    /// Bytes of the head; HTTP/1 heads over it never get here.
    pub head_bytes_max: usize,
    /// How fast a body has to come.
    pub pace: Pace,
    /// Bytes of an upstream's answer.
    pub response_bytes_max: usize,
    /// Networks whose forwarding fields are believed.
    pub trusted_proxies: Networks,
    /// The field in which they name the client.
    pub forwarding_field: ForwardingField,
}

/// What the edge knows of a request besides its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Who is at the other end of the socket.
    pub peer: Peer,
    /// What was spoken.
    pub protocol: Protocol,
    /// Whether the connection's certificate is the one that serves the request's Host.
    pub host: HostMatch,
}

/// A worker's gateway.
pub struct Gateway<U> {
    shared: Arc<Shared>,
    upstream: U,
    recorder: Recorder,
    diagnosis: Option<Diagnosis>,
}

impl<U: Upstream> Gateway<U> {
    /// A worker's gateway, which records refusals as they are.
    pub fn new(shared: Arc<Shared>, upstream: U, recorder: Recorder) -> Arc<Self> {
        Arc::new(Self { shared, upstream, recorder, diagnosis: None })
    }

    /// A worker's gateway, which lets some refusals be looked into before they are recorded.
    pub fn diagnosing(shared: Arc<Shared>, upstream: U, recorder: Recorder, diagnosis: Diagnosis) -> Arc<Self> {
        Arc::new(Self { shared, upstream, recorder, diagnosis: Some(diagnosis) })
    }

    const fn diagnosis(&self) -> Option<&Diagnosis> {
        self.diagnosis.as_ref()
    }

    /// What all workers share.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The worker's recorder.
    pub const fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Answers one request and records it. `commitment` is made once the delivery has to be finished even if nobody
    /// waits for the answer.
    pub async fn deliver<B>(&self, request: Request<B>, arrival: &Arrival, commitment: &Commitment) -> Reply
    where
        B: Body<Data = Bytes, Error: std::error::Error + 'static> + Unpin,
    {
        let (head, mut body) = request.into_parts();
        let version = head.version;
        let policy = self.shared.policy.load_full();
        let mut draft = Draft::new(self, &head, arrival);
        let ended = match self.judge(&policy, &head, &mut body, arrival, commitment, &mut draft).await {
            Err(Ended::Answered(answer)) => Err(self.fulfil(answer, &draft, commitment).await),
            ended => ended,
        };
        let (reply, refused) = draft.finish(ended);
        if let (Some(refused), Some(diagnosis)) = (refused, &self.diagnosis) {
            diagnosis.submit(Job { recorder: self.recorder.clone(), policy, head, refused });
        }
        if version == Version::HTTP_2 {
            receive::discard(body).await;
        }
        reply
    }

    /// Does what an answer of the gateway's own depends on.
    async fn fulfil(&self, mut answer: Box<Answer>, draft: &Draft<'_, U>, commitment: &Commitment) -> Ended {
        match answer.duty.take() {
            None => Ended::Answered(answer),
            Some(Duty::Keep(secret)) => self.learn(answer, secret, draft, commitment).await,
            Some(Duty::Confirm(confirmation)) => self.confirm(answer, &confirmation, draft).await,
        }
    }

    /// The life of a delivery. The first fault ends it.
    async fn judge<'d, B>(
        &self,
        policy: &'d Policy,
        head: &'d Parts,
        body: &mut B,
        arrival: &Arrival,
        commitment: &Commitment,
        draft: &mut Draft<'d, U>,
    ) -> Result<Forwarded, Ended>
    where
        B: Body<Data = Bytes, Error: std::error::Error + 'static> + Unpin,
    {
        let Shared { limits, clock, settings, .. } = &*self.shared;
        check_head(head, settings)?;
        let routed = Routed::find(policy, head, arrival.host)?;
        let source = draft.routed(routed.source());
        let permit = draft.permitted(limits.enter(&source.limits, draft.peer(), draft.started())?);
        let routed = routed.greet(draft.began())?;
        let pace = Pace { deadline: permit.body_time(settings.pace.deadline), ..settings.pace };
        let mut reserved = limits.reserve_bytes(&source.limits, draft.peer(), draft.started())?;
        let presented = routed.present(permit, draft.began())?;
        let body_bytes_max = presented.body_bytes_max();
        let body = receive::read(body, head, body_bytes_max, pace, &mut reserved).await?;
        reserved.grow(presented.decoded_bytes_max(body.len()))?;
        let received = draft.received(presented.receive(body)?);
        let now = clock.unix_seconds();
        let authenticated = draft.authenticated(received.authenticate(now)?);
        commitment.commit(draft.taken());
        let accepted = draft.accepted(authenticated.accept(limits, clock.monotonic())?);
        let validated = draft.validated(accepted.validate()?);
        let sanitized = draft.sanitized(validated.sanitize()?);
        let forwarded = self.forward(&sanitized, now, draft).await?;
        if forwarded.status.is_success() {
            sanitized.commit(draft.ended());
        }
        Ok(forwarded)
    }
}

/// What has to be right of a request before its source is looked for.
fn check_head(head: &Parts, settings: &Settings) -> Result<(), Rejection> {
    let target_bytes = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target_bytes > settings.uri_bytes_max {
        return Err(Rejection::new(Reason::UriTooLong).fact("uri_bytes_max", settings.uri_bytes_max));
    }
    if head.headers.len() > settings.headers_max {
        return Err(Rejection::new(Reason::HeadersTooLarge).fact("headers_max", settings.headers_max));
    }
    if !matches!(head.version, Version::HTTP_10 | Version::HTTP_11 | Version::HTTP_2) {
        return Err(Reason::VersionRefused.into());
    }
    if head.version == Version::HTTP_2 && field_bytes(head) > settings.head_bytes_max {
        return Err(Rejection::new(Reason::HeadersTooLarge).fact("head_bytes_max", settings.head_bytes_max));
    }
    let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
    let chunked = codings.next().is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    if !chunked || codings.next().is_some() {
        return Err(Rejection::new(Reason::FramingRefused).fact("expected", "one transfer-encoding: chunked, or none"));
    }
    let continues = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if head.headers.get_all(EXPECT).iter().all(continues) { Ok(()) } else { Err(Reason::ExpectationRefused.into()) }
}

/// The size of a field section as HTTP/2 counts it (RFC 9113 §6.5.2).
fn field_bytes(head: &Parts) -> usize {
    let fields = head.headers.iter().map(|(name, value)| (name.as_str(), value.len()));
    let pseudo = [
        (":method", Some(head.method.as_str())),
        (":scheme", head.uri.scheme_str()),
        (":authority", head.uri.authority().map(Authority::as_str)),
        (":path", head.uri.path_and_query().map(PathAndQuery::as_str)),
    ];
    let pseudo = pseudo.into_iter().filter_map(|(name, value)| Some((name, value?.len())));
    fields.chain(pseudo).map(|(name, bytes)| name.len() + bytes + 32).sum()
}
