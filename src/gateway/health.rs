//! Asks upstreams whether they are well, where a policy wants that: once for the process, beside all deliveries.
//!
//! It goes by the policy in force, which it looks at each `TICK`; so it begins, changes and ends with reloads. What it finds opens and closes the same
//! circuits that deliveries do. An upstream counts as well until it was asked.
//!
//! **Invariant:** nothing of a sender is in such a request, and nothing of its answer goes anywhere but for the status.

mod checks;

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use super::{Shared, forward};
use crate::forward::pool::{ExchangeFault, Outbound};
use crate::forward::request::{OWN_ANSWER_BYTES_MAX, UpstreamRequest};
use crate::forward::targets::HealthRules;
use crate::forward::{Target, Upstreams};
use crate::policy::Policy;
use crate::record::Recorder;
use crate::rejection::Rejection;
use checks::{Answer, Check, Checks, Ended};

/// How often it looks whether a check is due, or the policy another.
const TICK: Duration = Duration::from_millis(250);

/// So many checks begin without a pause, each with a connection to be made: deliveries wait meanwhile.
const AT_ONCE: usize = 16;

/// What checks the health of all upstreams.
pub struct Health {
    shared: Arc<Shared>,
    recorder: Recorder,
    /// Connections of its own, none of which is kept: a check has to see whether one can be made.
    upstreams: Upstreams,
    policy: Weak<Policy>,
    checks: Checks,
}

impl Health {
    /// Checks what the policy in force wants checked.
    #[must_use]
    pub fn new(shared: Arc<Shared>, recorder: Recorder) -> Self {
        let (upstreams, policy, checks) = (Upstreams::default(), Weak::new(), Checks::default());
        Self { shared, recorder, upstreams, policy, checks }
    }

    /// Goes on until the gateway drains.
    pub async fn run(mut self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.shared.limits.is_draining() {
            self.follow();
            self.begin().await;
            tokio::select! {
                Some(ended) = self.checks.ended() => self.end(ended),
                _ = ticks.tick() => self.upstreams.prune(Instant::now()),
            }
        }
    }

    /// Takes over what the policy in force says, if it is another one.
    fn follow(&mut self) {
        let policy = self.shared.policy.load_full();
        if std::ptr::eq(self.policy.as_ptr(), Arc::as_ptr(&policy)) {
            return;
        }
        let sources = policy.sources().iter().map(|source| (&source.name, &source.forward.targets));
        self.checks.follow(sources, self.shared.clock.monotonic());
        self.policy = Arc::downgrade(&policy);
    }

    /// Begins what is due.
    async fn begin(&mut self) {
        let now = self.shared.clock.monotonic();
        let ask = |check: &Check| ask(self.upstreams.clone(), Arc::clone(&check.target), check.rules.clone());
        while self.checks.begin(AT_ONCE, now, ask) == AT_ONCE {
            tokio::task::yield_now().await;
        }
    }

    fn end(&mut self, ended: Ended) {
        if let Some((check, change, cause)) = self.checks.note(ended, self.shared.clock.monotonic()) {
            let cause = || format!("health check: {cause}");
            forward::tell(&self.recorder, &check.source, &check.target, change, cause);
        }
    }
}

/// How many checks may be under way at one time by this policy: one of each upstream.
#[must_use]
pub fn checks_max(policy: &Policy) -> usize {
    let targets = policy.sources().iter().map(|source| &source.forward.targets);
    targets.filter(|targets| targets.health().is_some()).map(|targets| targets.list().len()).sum()
}

/// One check.
async fn ask(upstreams: Upstreams, target: Arc<Target>, rules: HealthRules) -> Answer {
    let request = UpstreamRequest::health_check(&rules, &target);
    let until = Instant::now() + rules.timeout;
    let outbound = Outbound { target, request, answer_bytes_max: OWN_ANSWER_BYTES_MAX, connect_until: until };
    match tokio::time::timeout_at(until.into(), upstreams.exchange(outbound)).await {
        Ok(Ok(exchange)) if exchange.head.status.is_success() => Answer::Well,
        Ok(Ok(exchange)) => Answer::Unwell(format!("status {}", exchange.head.status.as_u16())),
        Ok(Err(ExchangeFault::Starved(_))) => Answer::Unclear,
        Ok(Err(fault)) => Answer::Unwell(Rejection::from(fault).text("error").unwrap_or_default().to_owned()),
        Err(_elapsed) => Answer::Unwell(format!("no answer within {} ms", rules.timeout.as_millis())),
    }
}
