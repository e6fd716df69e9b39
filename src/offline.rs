//! Judging a recorded request as the gateway would, without sockets, limits and upstream: `hookward test`.
//!
//! The steps are those of [`gateway`](crate::gateway), on the same types; what needs a running gateway (networks, Host and SNI, rates) is left out,
//! replay claims too, unless a [`Limits`] is given to carry them on from record to record. A record comes over no connection, so where the policy wants a
//! client certificate none is there: `client_certificate_missing`.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method};

use crate::admit::Limits;
use crate::admit::permit::Permit;
use crate::auth::diagnosis::Finding;
use crate::clock::UnixSeconds;
use crate::delivery::{Answer, Ended, HostMatch, Routed, Sanitized};
use crate::forward::request::{Attestation, Protocol, UpstreamRequest};
use crate::policy::{Policy, Source};
use crate::reason::Reason;
use crate::rejection::{Findings, Rejection};
use crate::sanitize::Edit;

/// What became of a recorded request.
#[derive(Debug)]
pub struct Judgement<'p> {
    /// Whose it is; `None` if it belongs to no source.
    pub source: Option<&'p Source>,
    /// The steps it took, for people.
    pub steps: Vec<Step>,
    /// The event, as far as it came.
    pub event: Option<String>,
    /// The secret that fitted.
    pub secret_id: Option<String>,
    /// What stages in monitor mode found and let pass.
    pub monitored: Vec<Rejection>,
    /// How it ended.
    pub verdict: Verdict,
}

/// How a recorded request ended.
#[derive(Debug)]
pub enum Verdict {
    /// It would go upstream, so.
    Accept(Box<Forwardable>),
    /// The gateway would answer it itself.
    Answer(Answer),
    /// It would be refused.
    Reject(Rejection),
}

/// What would go upstream.
#[derive(Debug)]
pub struct Forwardable {
    /// The request method.
    pub method: Method,
    /// Path and query at the upstream.
    pub target: String,
    /// Header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The provider's id of the delivery.
    pub delivery_id: Option<String>,
    /// What was edited.
    pub edits: Vec<Edit>,
}

/// One step of a judgement.
#[derive(Debug)]
pub struct Step {
    /// Its name.
    pub name: &'static str,
    /// What it found.
    pub found: String,
}

/// Replay state that is carried on from record to record.
#[derive(Debug, Clone, Copy)]
pub enum Replays<'l> {
    /// Each record stands alone.
    Ignored,
    /// Claims are kept here, under the record's own time.
    Kept(&'l Limits),
}

/// Judges one request at `now`.
#[must_use]
pub fn judge<'p>(
    policy: &'p Policy,
    head: &Parts,
    body: Bytes,
    now: UnixSeconds,
    replays: Replays<'_>,
) -> Judgement<'p> {
    let mut trail = Trail::default();
    let ended = steps(policy, head, body, now, replays, &mut trail);
    let Trail { source, steps, event, secret_id, findings } = trail;
    let verdict = match ended {
        Ok(forwardable) => Verdict::Accept(Box::new(forwardable)),
        Err(Ended::Answered(answer)) => Verdict::Answer(*answer),
        Err(Ended::Rejected(rejection)) => Verdict::Reject(rejection),
    };
    Judgement { source, steps, event, secret_id, monitored: findings.into_vec(), verdict }
}

/// Why a credential was refused, as far as can be found out.
#[derive(Debug, Default)]
pub struct Explanation {
    /// What would have fitted, or what it looks like.
    pub found: Vec<Finding>,
    /// The text that the scheme signs, piece by piece, by names and lengths.
    pub signed: Vec<String>,
}

/// Looks into a refused credential as the gateway's diagnosis does, and with the body also where the head alone was refused. Empty for every
/// other verdict.
#[must_use]
pub fn explain(policy: &Policy, judged: &Judgement<'_>, head: &Parts, body: &Bytes, now: UnixSeconds) -> Explanation {
    let (Some(source), Verdict::Reject(rejection)) = (judged.source, &judged.verdict) else {
        return Explanation::default();
    };
    if !EXPLAINED.contains(&rejection.reason()) {
        return Explanation::default();
    }
    Explanation { found: policy.diagnose(source, head, Some(body), now), signed: source.signed_shape(head, body, now) }
}

/// What is looked into offline: all that the credential itself can be blamed for.
const EXPLAINED: [Reason; 4] =
    [Reason::CredentialMissing, Reason::CredentialMalformed, Reason::CredentialMismatch, Reason::SecretExpired];

#[derive(Default)]
struct Trail<'p> {
    source: Option<&'p Source>,
    steps: Vec<Step>,
    event: Option<String>,
    secret_id: Option<String>,
    findings: Findings,
}

impl Trail<'_> {
    fn step(&mut self, name: &'static str, found: String) {
        self.steps.push(Step { name, found });
    }
}

fn steps<'p>(
    policy: &'p Policy,
    head: &Parts,
    body: Bytes,
    now: UnixSeconds,
    replays: Replays<'_>,
    trail: &mut Trail<'p>,
) -> Result<Forwardable, Ended> {
    // The source outlives the request, which the stages borrow as well.
    trail.source = policy.route(head.uri.path());
    let routed = Routed::find(policy, head, HostMatch::Served)?;
    trail.step("route", format!("{} {} is source {}", head.method, head.uri.path(), routed.source().name));
    let routed = routed.greet(now)?;
    let presented = routed.present(Permit::offline(), now, &mut trail.findings)?;
    trail.step("present", "the credential is well formed, its timestamp within tolerance".to_owned());
    let received = presented.receive(body)?;
    trail.step("receive", format!("{} bytes of body", received.body().len()));
    let authenticated = received.authenticate(now, &mut trail.findings)?;
    trail.secret_id = authenticated.proof().map(|proof| proof.secret_id().to_owned());
    trail.step(
        "authenticate",
        match authenticated.proof() {
            Some(proof) => format!("secret `{}` fits ({})", proof.secret_id(), proof.scheme()),
            None if authenticated.source().authenticator.is_some() => {
                "no proof; the policy only monitors it".to_owned()
            }
            None => "the policy wants no proof".to_owned(),
        },
    );
    let at = Duration::from_secs(u64::try_from(now).unwrap_or_default());
    let accepted = match replays {
        Replays::Ignored => authenticated.accept_offline(),
        Replays::Kept(limits) => authenticated.accept_sequence(limits, at)?,
    };
    let validated = accepted.validate(&mut trail.findings)?;
    trail.event = validated.event().map(str::to_owned);
    trail.step(
        "validate",
        match validated.event() {
            Some(event) => format!("event {event}"),
            None => "no event named".to_owned(),
        },
    );
    let sanitized = validated.sanitize(&mut trail.findings)?;
    trail.step("sanitize", format!("{} edits", sanitized.report().count()));
    let forwardable = forwardable(&sanitized, now);
    trail.step("forward", format!("{} {}", forwardable.method, forwardable.target));
    sanitized.commit(at);
    Ok(forwardable)
}

fn forwardable(sanitized: &Sanitized<'_>, now: UnixSeconds) -> Forwardable {
    let attestation = Attestation {
        delivery: "00000000-0000-7000-8000-000000000000",
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        protocol: Protocol::Https,
        now,
        duplicate: sanitized.is_duplicate(),
    };
    let first = &sanitized.source().forward.targets.first().target;
    let (head, _body) = UpstreamRequest::delivery(sanitized, first, attestation).into_http().into_parts();
    Forwardable {
        method: head.method,
        target: head.uri.to_string(),
        headers: head.headers,
        body: sanitized.body().clone(),
        delivery_id: sanitized.delivery_id().map(str::to_owned),
        edits: sanitized.report().edits().to_vec(),
    }
}
