//! Which upstreams are checked, when each is due, and what came of it.
//!
//! It stands beside all deliveries and knows neither policies in force nor the network: time is the caller's, and so is what asks an upstream.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::admit::circuit::{Change, Circuit};
use crate::forward::Target;
use crate::forward::targets::{HealthRules, Targets};

/// Checks under way at one time. Those that are due wait for a place.
const UNDER_WAY_MAX: usize = 16;

/// Into so many parts an interval is divided.
const PARTS: u32 = 256;

/// What is checked.
#[derive(Default)]
pub(super) struct Checks {
    by_key: HashMap<Key, Check>,
    due: BTreeSet<(Duration, Key)>,
    under_way: JoinSet<Ended>,
}

/// The address of a circuit that its check holds.
type Key = usize;

/// What came of a check: whether it was answered well, or what is wrong, in words of ours.
pub(super) type Answer = Result<(), String>;

/// A check that came to its end.
pub(super) struct Ended {
    key: Key,
    answer: Answer,
}

/// One upstream of one source.
pub(super) struct Check {
    /// The source's name.
    pub(super) source: Arc<str>,
    /// Where the upstream is.
    pub(super) target: Arc<Target>,
    /// How it is asked.
    pub(super) rules: HealthRules,
    circuit: Arc<Circuit>,
    is_under_way: bool,
    /// Good answers in a row.
    good: u32,
    /// Bad ones in a row.
    bad: u32,
}

impl Checks {
    /// Checks these sources' upstreams from now on, and no others. Who was checked before goes on being so, when it was due.
    pub(super) fn follow<'s>(&mut self, sources: impl Iterator<Item = (&'s Arc<str>, &'s Targets)>, now: Duration) {
        let mut before = std::mem::take(&mut self.by_key);
        for (source, targets) in sources {
            let Some(rules) = targets.health() else { continue };
            for member in targets.list() {
                let key = Arc::as_ptr(&member.circuit) as Key;
                let (target, rules) = (Arc::clone(&member.target), rules.clone());
                let check = if let Some(check) = before.remove(&key) {
                    Check { target, rules, ..check }
                } else {
                    self.due.insert((now + rules.every * random_part() / PARTS, key));
                    let (source, circuit) = (Arc::clone(source), Arc::clone(&member.circuit));
                    Check { source, target, rules, circuit, is_under_way: false, good: 0, bad: 0 }
                };
                self.by_key.insert(key, check);
            }
        }
        for check in before.values() {
            check.circuit.release();
        }
        self.due.retain(|(_, key)| self.by_key.contains_key(key));
    }

    /// Begins the checks that are due, as far as there is room.
    pub(super) fn begin<F>(&mut self, now: Duration, ask: impl Fn(&Check) -> F)
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        while self.under_way.len() < UNDER_WAY_MAX {
            let Some(&(at, key)) = self.due.first().filter(|(at, _)| *at <= now) else { return };
            self.due.remove(&(at, key));
            let Some(check) = self.by_key.get_mut(&key) else { continue };
            check.is_under_way = true;
            let asked = ask(check);
            self.under_way.spawn(async move { Ended { key, answer: asked.await } });
        }
    }

    /// Waits for a check's end; absent: none is under way.
    pub(super) async fn ended(&mut self) -> Option<Ended> {
        self.under_way.join_next().await?.ok()
    }

    /// Takes note of an answer, unless nobody wants it any more, and says what it changes, and why.
    pub(super) fn note(&mut self, ended: Ended, now: Duration) -> Option<(&Check, Change, String)> {
        let Ended { key, answer } = ended;
        let check = self.by_key.get_mut(&key).filter(|check| check.is_under_way)?;
        check.is_under_way = false;
        // From nine tenths to eleven, so that checks that began together do not stay so.
        self.due.insert((now + check.rules.every * (9 * PARTS + 2 * random_part()) / (10 * PARTS), key));
        let change = check.note(&answer, now)?;
        Some((check, change, answer.err().unwrap_or_default()))
    }
}

impl Check {
    fn note(&mut self, answer: &Answer, now: Duration) -> Option<Change> {
        if answer.is_ok() {
            (self.good, self.bad) = (self.good.saturating_add(1), 0);
            return (self.good >= self.rules.healthy).then(|| self.circuit.healthy()).flatten();
        }
        (self.good, self.bad) = (0, self.bad.saturating_add(1));
        (self.bad >= self.rules.unhealthy).then(|| self.circuit.unhealthy(now, random())).flatten()
    }
}

fn random_part() -> u32 {
    u32::try_from(random() % u64::from(PARTS)).unwrap_or_default()
}

fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
