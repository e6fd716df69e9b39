//! Whether an upstream gets deliveries: one that fails again and again is left alone for a while, then tried by one delivery at a time.
//!
//! It stands where a delivery leaves, shared by all workers: one word that is loaded for a delivery and written only when something failed. Who is
//! the one to open or to close it learns so from the word itself ([`Change`]), so that it is told once and not by each delivery.
//!
//! ```text
//! closed ──FAILURES_MAX in a row──▶ open, for 1 s ──one delivery──▶ it fails: open, for 2 s, 4 s … 30 s
//!    ▲                                                └──────────▶ it is answered ──┐
//!    └──────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A circuit that a health check opened is *held*: deliveries are let through one at a time where there is no other way, and only health closes it.
//!
//! **Invariant:** nothing here waits, locks or reads a clock on a delivery's way; time is the caller's, since the process began.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// So many failures in a row open a circuit.
pub const FAILURES_MAX: u8 = 5;

/// How long a circuit stays open at first. It doubles with each probe that fails.
pub const BACK_OFF_MIN: Duration = Duration::from_secs(1);

/// How long it stays open at most between two probes.
pub const BACK_OFF_MAX: Duration = Duration::from_secs(30);

/// One upstream of one source.
#[derive(Debug, Default)]
pub struct Circuit {
    /// A [`State`], packed: 0 where it is closed and nothing failed.
    state: AtomicU64,
    was_open: AtomicBool,
    in_flight: AtomicU32,
}

/// What the word of a circuit says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct State {
    /// Failures in a row while it is closed.
    failures: u8,
    /// How often it was opened, or its probe failed, since it was closed; 0: it is closed.
    round: u8,
    /// Whether a health check keeps it open.
    held: bool,
    /// When the next probe may go, in milliseconds.
    not_before: u64,
}

/// Why a delivery went to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Its circuit was closed.
    Ordinary,
    /// To see whether it is back.
    Probe,
}

/// A circuit was opened or closed. Whoever gets this is the only one who does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "it is told here or nowhere"]
pub enum Change {
    /// For so long, and then until a probe is answered.
    Opened(Duration),
    /// Deliveries go on.
    Closed,
}

impl Circuit {
    /// Whether deliveries go to it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state().round == 0
    }

    /// Whether it was ever opened.
    #[must_use]
    pub fn was_open(&self) -> bool {
        self.was_open.load(Ordering::Relaxed)
    }

    /// Takes the probe of an open circuit, if it is time for one. No other goes before `lease` is over, whatever becomes of this one.
    /// Where the circuit was closed since it was looked at, there is nothing to probe, and an ordinary delivery may go.
    ///
    /// # Errors
    /// For how long there is none.
    pub fn probe(&self, now: Duration, lease: Duration) -> Result<Role, Duration> {
        let now = millis(now);
        let taken = self.try_change(|state| {
            (state.round > 0 && state.not_before <= now)
                .then(|| State { not_before: now.saturating_add(millis(lease)), ..state })
        });
        match taken {
            Ok(_) => Ok(Role::Probe),
            Err(State { round: 0, .. }) => Ok(Role::Ordinary),
            Err(State { not_before, .. }) => {
                Err(Duration::from_millis(not_before.saturating_sub(now)).min(BACK_OFF_MAX))
            }
        }
    }

    /// It answered a delivery.
    pub fn succeeded(&self, role: Role, now: Duration) -> Option<Change> {
        let before = self.change(|state| match (state.held, role) {
            (false, _) => (state != State::default()).then(State::default),
            // Health has the last word, but the next delivery need not wait.
            (true, Role::Probe) => Some(State { not_before: millis(now), ..state }),
            (true, Role::Ordinary) => None,
        })?;
        (before.round > 0 && !before.held).then_some(Change::Closed)
    }

    /// It failed a delivery. `random` spreads the probes of many circuits.
    pub fn failed(&self, role: Role, now: Duration, random: u64) -> Option<Change> {
        let before = self.change(|state| match (state.round, role) {
            (0, _) if state.failures + 1 < FAILURES_MAX => Some(State { failures: state.failures + 1, ..state }),
            (0, _) | (_, Role::Probe) => Some(state.opened(now, random)),
            // It left before the circuit was opened.
            (_, Role::Ordinary) => None,
        })?;
        let opened = before.round == 0 && before.failures + 1 >= FAILURES_MAX;
        opened.then(|| self.tell_opened(before, random))
    }

    /// Nothing is known of how it fared: the next probe need not wait.
    pub fn give_back(&self, role: Role, now: Duration) {
        if role == Role::Probe {
            self.change(|state| (state.round > 0).then(|| State { not_before: millis(now), ..state }));
        }
    }

    /// Its health checks fail.
    pub fn unhealthy(&self, now: Duration, random: u64) -> Option<Change> {
        let before = self.change(|state| match (state.round, state.held) {
            (0, _) => Some(State { held: true, ..state.opened(now, random) }),
            (_, false) => Some(State { held: true, ..state }),
            (_, true) => None,
        })?;
        (before.round == 0).then(|| self.tell_opened(before, random))
    }

    /// Its health checks are answered well.
    pub fn healthy(&self) -> Option<Change> {
        self.change(|state| (state.round > 0).then(State::default)).map(|_| Change::Closed)
    }

    /// Nobody checks its health any more: deliveries decide.
    pub fn release(&self) {
        self.change(|state| state.held.then_some(State { held: false, ..state }));
    }

    /// How many deliveries are with it, as far as they are counted.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// One more is with it.
    pub fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// One less.
    pub fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    fn state(&self) -> State {
        State::from(self.state.load(Ordering::Relaxed))
    }

    /// Changes the word, unless there is nothing to change; hands out what it was.
    fn change(&self, turn: impl Fn(State) -> Option<State>) -> Option<State> {
        self.try_change(turn).ok()
    }

    /// The same; where there is nothing to change, hands out what it is.
    fn try_change(&self, turn: impl Fn(State) -> Option<State>) -> Result<State, State> {
        let turn = |word: u64| turn(State::from(word)).map(State::word);
        let before = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, turn);
        before.map(State::from).map_err(State::from)
    }

    fn tell_opened(&self, before: State, random: u64) -> Change {
        self.was_open.store(true, Ordering::Relaxed);
        Change::Opened(back_off(before.round.saturating_add(1), random))
    }
}

impl State {
    fn opened(self, now: Duration, random: u64) -> Self {
        let round = self.round.saturating_add(1);
        Self { failures: 0, round, not_before: millis(now).saturating_add(millis(back_off(round, random))), ..self }
    }

    /// The upper 47 bits are the time: milliseconds of four thousand years.
    const fn word(self) -> u64 {
        self.failures as u64 | (self.round as u64) << 8 | (self.held as u64) << 16 | self.not_before << 17
    }
}

impl From<u64> for State {
    fn from(word: u64) -> Self {
        let [failures, round, flags, ..] = word.to_le_bytes();
        Self { failures, round, held: flags & 1 == 1, not_before: word >> 17 }
    }
}

/// The `round`th wait, from 1 on, a random part of up to a quarter shorter.
fn back_off(round: u8, random: u64) -> Duration {
    let doublings = u32::from(round.saturating_sub(1)).min(16);
    let whole = BACK_OFF_MIN.saturating_mul(1 << doublings).min(BACK_OFF_MAX);
    #[expect(clippy::cast_possible_truncation, reason = "eight bits of randomness are wanted")]
    let part = u32::from(random as u8);
    whole.saturating_sub(whole * part / 1024)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX) & (u64::MAX >> 17)
}

/// The circuits of all sources by source and upstream, as long as some policy has them: a reload that keeps an upstream keeps its circuit.
/// Locked when policies are loaded, never on a delivery's way.
#[derive(Debug, Default)]
pub(super) struct Circuits {
    by_names: Mutex<HashMap<Names, Weak<Circuit>>>,
}

/// That of a source, and that of one of its upstreams.
type Names = (Box<str>, Box<str>);

impl Circuits {
    pub(super) fn circuit(&self, source: &str, upstream: &str) -> Arc<Circuit> {
        let mut by_names = self.by_names.lock().unwrap_or_else(PoisonError::into_inner);
        let names = (source.into(), upstream.into());
        if let Some(circuit) = by_names.get(&names).and_then(Weak::upgrade) {
            return circuit;
        }
        // Before the table grows, those that no policy has any more make way.
        if by_names.len() == by_names.capacity() {
            by_names.retain(|_, circuit| circuit.strong_count() > 0);
        }
        let circuit = Arc::new(Circuit::default());
        by_names.insert(names, Arc::downgrade(&circuit));
        circuit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Role::{Ordinary, Probe};

    const LEASE: Duration = Duration::from_secs(10);
    /// No jitter.
    const NONE: u64 = 0;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A circuit that was opened at this second, for one second.
    fn open(seconds: u64) -> Circuit {
        let circuit = Circuit::default();
        let changes: Vec<_> = (0..FAILURES_MAX).map(|_| circuit.failed(Ordinary, at(seconds), NONE)).collect();
        let (last, before) = changes.split_last().unwrap();
        assert!(before.iter().all(Option::is_none));
        assert_eq!(*last, Some(Change::Opened(BACK_OFF_MIN)));
        circuit
    }

    #[test]
    fn the_last_of_so_many_failures_in_a_row_opens_it_and_one_more_says_nothing() {
        let circuit = open(100);
        assert!(!circuit.is_closed() && circuit.was_open());
        assert_eq!(circuit.failed(Ordinary, at(100), NONE), None);
        assert_eq!(circuit.probe(at(100), LEASE), Err(at(1)), "one that left before does not prolong it");
    }

    #[test]
    fn an_answer_in_between_begins_the_row_anew() {
        let circuit = Circuit::default();
        for _ in 0..3 {
            for _ in 1..FAILURES_MAX {
                assert_eq!(circuit.failed(Ordinary, at(1), NONE), None);
            }
            assert_eq!(circuit.succeeded(Ordinary, at(1)), None);
        }
        assert!(circuit.is_closed() && !circuit.was_open());
    }

    #[test]
    fn one_probe_goes_when_the_back_off_is_over_and_its_answer_closes_it() {
        let circuit = open(100);
        assert_eq!(circuit.probe(Duration::from_millis(100_999), LEASE), Err(Duration::from_millis(1)));
        assert_eq!(circuit.probe(at(101), LEASE), Ok(Probe));
        assert_eq!(circuit.probe(at(101), LEASE), Err(LEASE), "one at a time");
        assert_eq!(circuit.succeeded(Probe, at(102)), Some(Change::Closed));
        assert!(circuit.is_closed() && circuit.was_open());
        assert_eq!(circuit.succeeded(Ordinary, at(102)), None, "told once");
        assert_eq!(circuit.probe(at(103), LEASE), Ok(Ordinary), "a closed circuit has no probe");
    }

    #[test]
    fn each_probe_that_fails_doubles_the_back_off_up_to_its_limit() {
        let circuit = open(0);
        let mut now = at(1);
        for seconds in [2, 4, 8, 16, 30, 30, 30] {
            assert_eq!(circuit.probe(now, LEASE), Ok(Probe));
            assert_eq!(circuit.failed(Probe, now, NONE), None, "told when it was opened");
            assert_eq!(circuit.probe(now, LEASE), Err(at(seconds)));
            now += at(seconds);
        }
        for _ in 0..300 {
            assert_eq!(circuit.probe(now, LEASE), Ok(Probe));
            assert_eq!(circuit.failed(Probe, now, NONE), None);
            now += BACK_OFF_MAX;
        }
        assert_eq!(circuit.probe(now, LEASE), Ok(Probe));
        assert_eq!(circuit.succeeded(Probe, now), Some(Change::Closed));
        let again: Vec<_> = (0..FAILURES_MAX).filter_map(|_| circuit.failed(Ordinary, now, NONE)).collect();
        assert_eq!(again, [Change::Opened(BACK_OFF_MIN)], "from the beginning");
    }

    #[test]
    fn a_probe_that_never_ends_makes_way_when_its_lease_is_over() {
        let circuit = open(0);
        assert_eq!(circuit.probe(at(1), LEASE), Ok(Probe));
        assert_eq!(circuit.probe(Duration::from_millis(10_999), LEASE), Err(Duration::from_millis(1)));
        assert_eq!(circuit.probe(at(11), LEASE), Ok(Probe));
        assert_eq!(circuit.probe(at(11), Duration::from_secs(600)), Err(LEASE));
        let long = open(0);
        assert_eq!(long.probe(at(1), at(600)), Ok(Probe));
        assert_eq!(long.probe(at(1), LEASE), Err(BACK_OFF_MAX), "nobody is told to wait longer");
    }

    #[test]
    fn jitter_takes_up_to_a_quarter() {
        let rows = [(1, 0, 1_000), (1, 255, 750), (1, 256, 1_000), (6, 0, 30_000), (6, 255, 22_529), (255, 0, 30_000)];
        for (round, random, milliseconds) in rows {
            assert_eq!(back_off(round, random).as_millis(), milliseconds, "{round} {random}");
        }
    }

    #[test]
    fn what_health_opened_only_health_closes() {
        let circuit = Circuit::default();
        assert_eq!(circuit.unhealthy(at(0), NONE), Some(Change::Opened(BACK_OFF_MIN)));
        assert_eq!(circuit.unhealthy(at(5), NONE), None);
        assert_eq!(circuit.succeeded(Ordinary, at(5)), None);
        for _ in 0..3 {
            assert_eq!(circuit.probe(at(5), LEASE), Ok(Probe));
            assert_eq!(circuit.succeeded(Probe, at(5)), None);
            assert!(!circuit.is_closed());
        }
        assert_eq!(circuit.healthy(), Some(Change::Closed));
        assert_eq!(circuit.healthy(), None);
    }

    #[test]
    fn health_also_closes_what_deliveries_opened_and_holds_it_open() {
        let circuit = open(0);
        assert_eq!(circuit.unhealthy(at(0), NONE), None, "it was told already");
        assert_eq!(circuit.probe(at(1), LEASE), Ok(Probe));
        assert_eq!(circuit.succeeded(Probe, at(1)), None);
        circuit.release();
        assert_eq!(circuit.succeeded(Probe, at(1)), Some(Change::Closed));
        assert_eq!(open(0).healthy(), Some(Change::Closed));
    }

    #[test]
    fn of_many_threads_one_opens_and_one_probes_and_one_closes() {
        let circuit = Arc::new(Circuit::default());
        let of_all = |act: fn(&Circuit) -> bool| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let circuit = Arc::clone(&circuit);
                    std::thread::spawn(move || (0..1_000).filter(|_| act(&circuit)).count())
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        };
        assert_eq!(of_all(|circuit| circuit.failed(Ordinary, at(1), NONE).is_some()), 1);
        assert_eq!(of_all(|circuit| circuit.probe(at(3), LEASE) == Ok(Probe)), 1);
        assert_eq!(of_all(|circuit| circuit.succeeded(Probe, at(3)).is_some()), 1);
    }

    #[test]
    fn a_word_says_what_was_packed() {
        let most = State { failures: 255, round: 255, held: true, not_before: u64::MAX >> 17 };
        let rows = [State::default(), most, State { held: false, ..most }, State { not_before: 1, ..State::default() }];
        for state in rows {
            assert_eq!(State::from(state.word()), state);
        }
    }

    #[test]
    fn a_circuit_stays_as_long_as_a_policy_has_its_upstream() {
        let circuits = Circuits::default();
        let first = circuits.circuit("github", "http://a");
        assert!(Arc::ptr_eq(&first, &circuits.circuit("github", "http://a")));
        assert!(!Arc::ptr_eq(&first, &circuits.circuit("github", "http://b")));
        assert!(!Arc::ptr_eq(&first, &circuits.circuit("stripe", "http://a")));
        assert_eq!(first.unhealthy(at(0), NONE), Some(Change::Opened(BACK_OFF_MIN)));
        assert!(!circuits.circuit("github", "http://a").is_closed());
        drop(first);
        assert!(circuits.circuit("github", "http://a").is_closed(), "nobody had it any more");
    }

    #[test]
    fn of_sources_and_upstreams_that_come_and_go_nothing_is_kept_for_ever() {
        let circuits = Circuits::default();
        let kept: Vec<_> = (0..10).map(|number| circuits.circuit("github", &number.to_string())).collect();
        for number in 0..10_000 {
            let _ = circuits.circuit(&number.to_string(), "http://a");
            let _ = circuits.circuit("github", &format!("http://{number}"));
        }
        assert!(circuits.by_names.lock().unwrap().len() < 100);
        for (number, circuit) in kept.iter().enumerate() {
            assert!(Arc::ptr_eq(circuit, &circuits.circuit("github", &number.to_string())), "{number}");
        }
    }
}
