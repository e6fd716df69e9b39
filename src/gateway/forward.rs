//! The last step: a clean delivery goes to one of its source's upstreams, and what is seen of that one is noted.
//!
//! **Invariant:** a delivery goes on to another upstream only if nothing of it was sent to the one before.
//!
//! **Invariant:** that an upstream is left alone, or gets deliveries again, is said once, by the delivery that found out; the others are only refused.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::error::Elapsed;

use super::draft::Draft;
use super::{Gateway, Shared, Upstream};
use crate::admit::circuit::Change;
use crate::clock::UnixSeconds;
use crate::delivery::Sanitized;
use crate::forward::pool::{Exchange, ExchangeFault, Outbound};
use crate::forward::request::{Attestation, UpstreamRequest};
use crate::forward::targets::{Seen, Targets, Tried, Visit};
use crate::forward::{Forwarded, Target};
use crate::policy::source::ForwardRules;
use crate::reason::{Level, Reason};
use crate::record::{DeliveryId, Recorder, Upstream as UpstreamFacts};
use crate::rejection::{Fact, Rejection};

/// How long connecting to one upstream may take where there is another: long enough for one lost packet.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);

/// What part of the deadline connecting to all of them may take, so that the last one is given time to answer.
const CONNECT_PART: u32 = 4;

impl<U: Upstream> Gateway<U> {
    /// Sends a clean delivery to an upstream, under the policy's deadline. `now` goes under the gateway's signature.
    pub(super) async fn forward(
        &self,
        delivery: &Sanitized<'_>,
        now: UnixSeconds,
        draft: &mut Draft<'_, U>,
    ) -> Result<Forwarded, Rejection> {
        // What else is ready now is judged first, and then all of it is sent at once: an app on this machine is woken for many
        // requests instead of for each, which costs more than judging one.
        tokio::task::yield_now().await;
        let clock = &self.shared.clock;
        let rules = &delivery.source().forward;
        let started = clock.monotonic();
        let random = draft.id().random();
        let chosen = rules.targets.choose(Tried::default(), random, started, rules.deadline);
        let mut visit = chosen.map_err(left_alone)?;
        let first = visit.position;
        let mut id = [0; DeliveryId::LENGTH];
        let attestation = Attestation {
            delivery: draft.id().encode(&mut id),
            peer: draft.peer(),
            protocol: draft.protocol(),
            now,
            duplicate: delivery.is_duplicate(),
        };
        let (mut tried, mut attempts, until) = (Tried::default(), 1, Instant::now() + rules.deadline);
        let sent = async {
            loop {
                let fault = match self.send(delivery, visit.target(), attestation, until).await {
                    Err(fault) if fault.is_unsent() => fault,
                    ended => return ended,
                };
                tried.add(visit.position);
                let at = clock.monotonic();
                let Ok(next) = rules.targets.choose(tried, random, at, rules.deadline) else { return Err(fault) };
                self.note(delivery, &visit, fault.seen(), at, || cause(&Rejection::from(fault)));
                (visit, attempts) = (next, attempts + 1);
            }
        };
        let exchanged = tokio::time::timeout_at(until.into(), sent).await;
        let ended = clock.monotonic();
        let mut facts = UpstreamFacts { status: None, attempts, elapsed: ended.saturating_sub(started) };
        if let Ok(Ok(exchange)) = &exchanged {
            facts.status = Some(exchange.head.status.as_u16());
            facts.attempts += exchange.attempts - 1;
        }
        let (mut seen, judged) = judge(exchanged, rules);
        if seen == Seen::Silent && visit.position != first {
            // It was given less time than others.
            seen = Seen::Unclear;
        }
        self.note(delivery, &visit, seen, ended, || judged.as_ref().err().map(cause).unwrap_or_default());
        draft.forwarded(delivery.report().counts(), facts, ended);
        judged.map_err(|rejection| name(rejection, &rules.targets, &visit))
    }

    async fn send(
        &self,
        delivery: &Sanitized<'_>,
        target: &Arc<Target>,
        attestation: Attestation<'_>,
        until: Instant,
    ) -> Result<Exchange, ExchangeFault> {
        let Shared { settings, .. } = &*self.shared;
        let rules = &delivery.source().forward;
        let count = u32::try_from(rules.targets.list().len()).unwrap_or(u32::MAX);
        let time = (rules.deadline / CONNECT_PART / count).min(CONNECT_TIME_MAX);
        let outbound = Outbound {
            target: Arc::clone(target),
            request: UpstreamRequest::delivery(delivery, target, attestation),
            answer_bytes_max: settings.response_bytes_max,
            connect_until: if count > 1 { until.min(Instant::now() + time) } else { until },
        };
        self.upstream.clone().call(outbound).await
    }

    fn note(
        &self,
        delivery: &Sanitized<'_>,
        visit: &Visit<'_>,
        seen: Seen,
        at: Duration,
        cause: impl FnOnce() -> String,
    ) {
        // Whoever proved nothing may be out to make the app stumble, and must not take it away from others.
        let seen = if delivery.proof().is_none() { seen.by_a_stranger() } else { seen };
        if let Some(change) = visit.end(seen, at) {
            tell(&self.recorder, &delivery.source().name, visit.target(), change, cause);
        }
    }
}

/// What an exchange says of its upstream, and what becomes of the delivery.
fn judge(
    exchanged: Result<Result<Exchange, ExchangeFault>, Elapsed>,
    rules: &ForwardRules,
) -> (Seen, Result<Forwarded, Rejection>) {
    match exchanged {
        Ok(Ok(exchange)) => match Forwarded::judge(exchange, &rules.answer_headers) {
            Ok(forwarded) => (Seen::Alive, Ok(forwarded)),
            Err(rejection) => (Seen::Faulty, Err(rejection)),
        },
        Ok(Err(fault)) => (fault.seen(), Err(Rejection::from(fault))),
        Err(_elapsed) => {
            let deadline = u64::try_from(rules.deadline.as_millis()).unwrap_or(u64::MAX);
            (Seen::Silent, Err(Rejection::new(Reason::UpstreamTimeout).fact("deadline_ms", deadline)))
        }
    }
}

/// The refusal of a delivery whose upstreams are all left alone for so long.
fn left_alone(rest: Duration) -> Rejection {
    Rejection::new(Reason::UpstreamConnect)
        .fact("circuit", "open")
        .hint("the upstream failed again and again and is left alone for a while: the gateway's own log says why, at `upstream circuit opened`")
        .retry_after(rest)
}

/// Says which of several upstreams it was.
fn name(rejection: Rejection, targets: &Targets, visit: &Visit<'_>) -> Rejection {
    if targets.list().len() == 1 {
        return rejection;
    }
    rejection.fact("upstream", visit.target().name.to_string())
}

/// Why an upstream failed, in words of ours.
fn cause(rejection: &Rejection) -> String {
    let code = rejection.reason().code();
    let status = rejection.detail().iter().find(|(name, _)| *name == "upstream_status").map(|(_, status)| status);
    match (rejection.text("error"), status) {
        (Some(error), _) => format!("{code}: {error}"),
        (None, Some(Fact::Number(status))) => format!("{code}: status {status}"),
        (None, _) => code.to_owned(),
    }
}

/// Writes the line about a circuit that was opened or closed.
pub(super) fn tell(recorder: &Recorder, source: &str, target: &Target, change: Change, cause: impl FnOnce() -> String) {
    match change {
        Change::Opened(back_off) => {
            let (cause, milliseconds) = (cause(), back_off.as_millis());
            recorder.event(
                Level::Error,
                "upstream circuit opened",
                &[("source", &source), ("upstream", &target.name), ("cause", &cause), ("back_off_ms", &milliseconds)],
            );
        }
        Change::Closed => {
            recorder.event(Level::Info, "upstream circuit closed", &[("source", &source), ("upstream", &target.name)]);
        }
    }
}
