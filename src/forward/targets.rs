//! The upstreams of a source, and which of them a delivery goes to.
//!
//! Of two random ones the one with fewer deliveries, of those whose circuit is closed. One whose circuit is open gets single deliveries once its back-off
//! is over, to see whether it is back; where there are health checks they see to that, and deliveries do so only if there is nobody else to send
//! them to.
//!
//! **Invariant:** what an app answers never takes it away from a source that has no other: see [`Seen`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use super::target::Target;
use crate::admit::circuit::{BACK_OFF_MAX, Change, Circuit, Role};

/// Upstreams of one source.
pub const TARGETS_MAX: usize = 16;

/// The upstreams of a source: one, or several that can take each other's place.
#[derive(Debug)]
pub struct Targets {
    list: Vec<Member>,
    health: Option<HealthRules>,
}

/// One of them.
pub struct Member {
    /// Where it is.
    pub target: Arc<Target>,
    /// Whether it gets deliveries.
    pub circuit: Arc<Circuit>,
}

/// How upstreams are asked whether they are well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthRules {
    /// Asked for with GET.
    pub path: Uri,
    /// From one check to the next.
    pub every: Duration,
    /// How long an answer may take, connecting included.
    pub timeout: Duration,
    /// So many good answers in a row close a circuit.
    pub healthy: u32,
    /// So many bad ones open it.
    pub unhealthy: u32,
}

/// The positions that were tried already for a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tried(u16);

/// A delivery's stay with one upstream.
pub struct Visit<'t> {
    targets: &'t Targets,
    /// Which one, from 0 on.
    pub position: usize,
    role: Role,
    random: u64,
}

/// What was seen of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It answered 2xx or 4xx.
    Alive,
    /// It answered something else, or broke off. One event that the app stumbles over must not black out the others, so this counts as a failure only while
    /// another upstream does better; else it says that the app is there.
    Faulty,
    /// It did not answer in time.
    Silent,
    /// Nothing could be sent to it.
    Unreached,
    /// Nothing that is to be held against it.
    Unclear,
}

impl Seen {
    /// The same, seen by somebody who proved nothing and may have meant the app to stumble.
    #[must_use]
    pub const fn by_a_stranger(self) -> Self {
        match self {
            Self::Faulty | Self::Silent => Self::Unclear,
            Self::Alive | Self::Unreached | Self::Unclear => self,
        }
    }
}

impl Targets {
    /// These upstreams: at least one, and no more than [`TARGETS_MAX`].
    #[must_use]
    pub const fn new(list: Vec<Member>, health: Option<HealthRules>) -> Self {
        Self { list, health }
    }

    /// All of them, in the order of the policy.
    #[must_use]
    pub fn list(&self) -> &[Member] {
        &self.list
    }

    /// The first, where one stands for all.
    ///
    /// # Panics
    /// Never: there is at least one.
    #[must_use]
    pub fn first(&self) -> &Member {
        self.list.first().expect("invariant: a source has an upstream")
    }

    /// How they are asked whether they are well; absent: they are not.
    #[must_use]
    pub const fn health(&self) -> Option<&HealthRules> {
        self.health.as_ref()
    }

    /// Chooses one that was not tried yet. `lease` is how long a visit may take: for so long a probe is the only one.
    ///
    /// # Errors
    /// How long all of them are left alone; it says nothing where all were tried.
    pub fn choose(&self, tried: Tried, random: u64, now: Duration, lease: Duration) -> Result<Visit<'_>, Duration> {
        let (closed, open) = self.look(tried);
        self.choose_of(closed, open, random, now, lease)
    }

    /// Those that are not tried yet: whose circuit is closed, and whose is open. It may be another way round a moment later.
    fn look(&self, tried: Tried) -> (Tried, Tried) {
        let (mut closed, mut open) = (Tried::default(), Tried::default());
        for (position, member) in self.list.iter().enumerate().filter(|(position, _)| !tried.has(*position)) {
            let positions = if member.circuit.is_closed() { &mut closed } else { &mut open };
            positions.add(position);
        }
        (closed, open)
    }

    fn choose_of(
        &self,
        closed: Tried,
        open: Tried,
        random: u64,
        now: Duration,
        lease: Duration,
    ) -> Result<Visit<'_>, Duration> {
        let mut rest = BACK_OFF_MAX;
        if closed.is_empty() || self.health.is_none() {
            for position in open.positions() {
                match self.list[position].circuit.probe(now, lease) {
                    Ok(role) => return Ok(self.visit(position, role, random)),
                    Err(after) => rest = rest.min(after),
                }
            }
        }
        self.less_busy(closed, random).map(|position| self.visit(position, Role::Ordinary, random)).ok_or(rest)
    }

    /// The less busy of two of these positions.
    fn less_busy(&self, of: Tried, random: u64) -> Option<usize> {
        let count = of.len();
        let nth = |index: u64| of.positions().nth(usize::try_from(index).unwrap_or_default());
        if count < 2 {
            return nth(0);
        }
        let first = random % count;
        let second = (first + 1 + (random >> 16) % (count - 1)) % count;
        let in_flight = |position: &usize| self.list[*position].circuit.in_flight();
        [nth(first), nth(second)].into_iter().flatten().min_by_key(in_flight)
    }

    fn visit(&self, position: usize, role: Role, random: u64) -> Visit<'_> {
        if self.are_counted() {
            self.list[position].circuit.enter();
        }
        Visit { targets: self, position, role, random }
    }

    /// Where there is nothing to choose, nothing is counted.
    const fn are_counted(&self) -> bool {
        self.list.len() > 1
    }
}

impl Visit<'_> {
    /// Where it leads.
    #[must_use]
    pub fn target(&self) -> &Arc<Target> {
        &self.member().target
    }

    /// Notes how it ended. Of many alike one learns that the circuit was opened or closed.
    pub fn end(&self, seen: Seen, now: Duration) -> Option<Change> {
        let circuit = &self.member().circuit;
        match seen {
            Seen::Faulty if self.another_does_better() => circuit.failed(self.role, now, self.random),
            Seen::Alive | Seen::Faulty => circuit.succeeded(self.role, now),
            Seen::Silent | Seen::Unreached => circuit.failed(self.role, now, self.random),
            Seen::Unclear => {
                circuit.give_back(self.role, now);
                None
            }
        }
    }

    fn another_does_better(&self) -> bool {
        let others = self.targets.list.iter().enumerate().filter(|(position, _)| *position != self.position);
        others.into_iter().any(|(_, member)| member.circuit.is_closed())
    }

    fn member(&self) -> &Member {
        &self.targets.list[self.position]
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        if self.targets.are_counted() {
            self.member().circuit.leave();
        }
    }
}

impl Tried {
    /// Adds a position.
    pub const fn add(&mut self, position: usize) {
        self.0 |= 1 << position;
    }

    const fn has(self, position: usize) -> bool {
        self.0 & 1 << position != 0
    }

    const fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn len(self) -> u64 {
        self.0.count_ones().into()
    }

    fn positions(self) -> impl Iterator<Item = usize> {
        (0..TARGETS_MAX).filter(move |position| self.has(*position))
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("target", &self.target).field("circuit", &self.circuit).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admit::circuit::{BACK_OFF_MIN, FAILURES_MAX};
    use crate::forward::target::Transport;
    use http::HeaderValue;

    const LEASE: Duration = Duration::from_secs(10);
    const NEVER: Tried = Tried(0);

    fn targets(count: usize, health: Option<HealthRules>) -> Targets {
        let target = |position: usize| Target {
            transport: Transport::Unix(position.to_string().into()),
            path: Uri::from_static("/"),
            host: HeaderValue::from_static("localhost"),
            name: Arc::from(format!("unix:{position}")),
            pool_key: Arc::from(position.to_string()),
        };
        let member = |position| Member { target: Arc::new(target(position)), circuit: Arc::default() };
        Targets::new((0..count).map(member).collect(), health)
    }

    fn health() -> HealthRules {
        let (every, timeout) = (Duration::from_secs(5), Duration::from_secs(2));
        HealthRules { path: Uri::from_static("/healthz"), every, timeout, healthy: 2, unhealthy: 3 }
    }

    /// Where a delivery goes, or for how long nowhere.
    fn chosen(targets: &Targets, random: u64, now: u64) -> Result<(usize, Role), Duration> {
        let visit = targets.choose(NEVER, random, Duration::from_secs(now), LEASE)?;
        Ok((visit.position, visit.role))
    }

    fn fail(targets: &Targets, position: usize, seen: Seen, times: u8) -> Vec<Change> {
        let visit = || targets.visit(position, Role::Ordinary, 0);
        (0..times).filter_map(|_| visit().end(seen, Duration::ZERO)).collect()
    }

    #[test]
    fn deliveries_go_to_all_of_them_and_to_the_less_busy_of_two() {
        let targets = targets(3, None);
        let mut seen = [0; 3];
        for random in 0..30_000_u64 {
            seen[chosen(&targets, random.wrapping_mul(0x9e37_79b9_7f4a_7c15), 0).unwrap().0] += 1;
        }
        assert!(seen.iter().all(|count| *count > 5_000), "{seen:?}");
        let busy = [targets.visit(0, Role::Ordinary, 0), targets.visit(2, Role::Ordinary, 0)];
        for random in 0..100_u64 {
            let two = [random % 3, (random % 3 + 1 + (random >> 16) % 2) % 3];
            let (position, _) = chosen(&targets, random, 0).unwrap();
            assert!(position == 1 || !two.contains(&1), "{random}");
        }
        drop(busy);
        assert!(targets.list.iter().all(|member| member.circuit.in_flight() == 0), "everybody left");
    }

    #[test]
    fn each_is_tried_once_for_a_delivery() {
        let targets = targets(TARGETS_MAX, None);
        let mut tried = Tried::default();
        for count in 0..TARGETS_MAX {
            let visit = targets.choose(tried, 7, Duration::ZERO, LEASE).unwrap();
            assert!(!tried.has(visit.position), "{count}");
            tried.add(visit.position);
        }
        assert!(targets.choose(tried, 7, Duration::ZERO, LEASE).is_err());
    }

    #[test]
    fn one_that_is_dead_is_left_alone_and_then_probed_by_one_delivery() {
        let targets = targets(2, None);
        assert_eq!(fail(&targets, 0, Seen::Unreached, FAILURES_MAX), [Change::Opened(BACK_OFF_MIN)]);
        for random in 0..100 {
            assert_eq!(chosen(&targets, random, 0), Ok((1, Role::Ordinary)));
        }
        assert_eq!(chosen(&targets, 0, 1), Ok((0, Role::Probe)));
        assert_eq!(chosen(&targets, 0, 1), Ok((1, Role::Ordinary)), "the probe is under way");
    }

    #[test]
    fn with_all_of_them_out_the_one_whose_back_off_ends_first_is_probed() {
        let targets = targets(2, None);
        assert_eq!(fail(&targets, 0, Seen::Unreached, FAILURES_MAX).len(), 1);
        assert_eq!(chosen(&targets, 0, 1), Ok((0, Role::Probe)));
        let probe = targets.visit(0, Role::Probe, 0);
        assert_eq!(probe.end(Seen::Unreached, Duration::from_secs(1)), None);
        assert_eq!(fail(&targets, 1, Seen::Unreached, FAILURES_MAX).len(), 1);
        assert_eq!(chosen(&targets, 0, 0), Err(Duration::from_secs(1)));
        assert_eq!(chosen(&targets, 0, 1), Ok((1, Role::Probe)));
        assert_eq!(chosen(&targets, 0, 2), Err(Duration::from_secs(1)));
        assert_eq!(chosen(&targets, 0, 3), Ok((0, Role::Probe)));
    }

    #[test]
    fn one_that_comes_back_between_two_looks_is_chosen() {
        for (count, health) in [(1, None), (1, Some(health())), (2, Some(health()))] {
            let targets = targets(count, health);
            for position in 0..count {
                assert_eq!(fail(&targets, position, Seen::Unreached, FAILURES_MAX).len(), 1);
            }
            let (closed, open) = targets.look(NEVER);
            let choose = || {
                let visit = targets.choose_of(closed, open, 0, Duration::ZERO, LEASE)?;
                Ok((visit.position, visit.role))
            };
            assert_eq!(choose(), Err(BACK_OFF_MIN), "of {count}");
            assert_eq!(targets.list[count - 1].circuit.healthy(), Some(Change::Closed));
            assert_eq!(choose(), Ok((count - 1, Role::Ordinary)), "of {count}");
        }
    }

    #[test]
    fn what_an_app_answers_takes_it_away_only_while_another_does_better() {
        let alone = targets(1, None);
        assert_eq!(fail(&alone, 0, Seen::Faulty, 200), []);
        assert_eq!(chosen(&alone, 0, 0), Ok((0, Role::Ordinary)));
        let two = targets(2, None);
        assert_eq!(fail(&two, 0, Seen::Faulty, FAILURES_MAX - 1), []);
        assert_eq!(fail(&two, 0, Seen::Faulty, 1), [Change::Opened(BACK_OFF_MIN)]);
        assert_eq!(fail(&two, 1, Seen::Faulty, 200), [], "the last one stays");
        assert_eq!(chosen(&two, 0, 0), Ok((1, Role::Ordinary)));
    }

    #[test]
    fn a_lone_app_that_answers_500_to_a_probe_is_there() {
        let targets = targets(1, None);
        assert_eq!(fail(&targets, 0, Seen::Unreached, FAILURES_MAX), [Change::Opened(BACK_OFF_MIN)]);
        assert_eq!(chosen(&targets, 0, 0), Err(BACK_OFF_MIN));
        let probe = targets.choose(NEVER, 0, Duration::from_secs(1), LEASE).unwrap();
        assert_eq!(probe.end(Seen::Faulty, Duration::from_secs(1)), Some(Change::Closed));
    }

    #[test]
    fn where_health_is_checked_no_delivery_is_a_probe_unless_all_are_out() {
        let targets = targets(2, Some(health()));
        assert_eq!(fail(&targets, 0, Seen::Unreached, FAILURES_MAX).len(), 1);
        for now in [0, 1, 100] {
            assert_eq!(chosen(&targets, 0, now), Ok((1, Role::Ordinary)), "{now}");
        }
        assert_eq!(fail(&targets, 1, Seen::Unreached, FAILURES_MAX).len(), 1);
        assert_eq!(chosen(&targets, 0, 100), Ok((0, Role::Probe)));
    }
}
