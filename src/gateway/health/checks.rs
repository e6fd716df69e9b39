//! Which upstreams are checked, when each is due, and what came of it.
//!
//! It stands beside all deliveries and knows neither policies in force nor the network: time is the caller's, and so is what asks an upstream.
//!
//! **Invariant:** an upstream has one check under way at most, and none waits for another's: one that never answers costs the others nothing, as long as
//! fewer names hang in look-ups than the runtime has threads for these (512). So there are never more under way than the policy has upstreams to check.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, Id, JoinSet};

use crate::admit::circuit::{Change, Circuit};
use crate::forward::Target;
use crate::forward::targets::{HealthRules, Targets};

/// Into so many parts an interval is divided.
const PARTS: u32 = 256;

/// What is checked.
#[derive(Default)]
pub(super) struct Checks {
    by_key: HashMap<Key, Check>,
    due: BTreeSet<(Duration, Key)>,
    under_way: JoinSet<Answer>,
    /// Whose checks are under way. A task that panics leaves nothing but its id.
    begun: HashMap<Id, (Key, AbortHandle)>,
}

/// The address of a circuit that its check holds.
type Key = usize;

/// What came of a check.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// It was answered as it should be.
    Well,
    /// Something is wrong, in words of ours.
    Unwell(String),
    /// Nothing that says anything of the upstream: the gateway lacked what a connection takes, or has a defect.
    Unclear,
}

/// A check that came to its end.
pub(super) struct Ended {
    id: Id,
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
    /// Good answers in a row.
    good: u32,
    /// Bad ones in a row.
    bad: u32,
}

impl Checks {
    /// Checks these sources' upstreams from now on, and no others. Who was checked before goes on being so when it was due, or sooner if its interval is
    /// shorter now.
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
                    Check { source, target, rules, circuit, good: 0, bad: 0 }
                };
                self.by_key.insert(key, check);
            }
        }
        for check in before.values() {
            check.circuit.release();
        }
        let due = std::mem::take(&mut self.due).into_iter();
        self.due = due.filter_map(|(at, key)| Some((at.min(now + self.by_key.get(&key)?.rules.every), key))).collect();
        for (_, (_, task)) in self.begun.extract_if(|_, (key, _)| !self.by_key.contains_key(key)) {
            task.abort();
        }
    }

    /// Begins checks that are due, `most` of them at most, and answers how many.
    pub(super) fn begin<F>(&mut self, most: usize, now: Duration, ask: impl Fn(&Check) -> F) -> usize
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        for begun in 0..most {
            let Some(&(at, key)) = self.due.first().filter(|(at, _)| *at <= now) else { return begun };
            self.due.remove(&(at, key));
            let Some(check) = self.by_key.get(&key) else { continue };
            let task = self.under_way.spawn(ask(check));
            self.begun.insert(task.id(), (key, task));
        }
        most
    }

    /// Waits for a check's end; absent: none is under way.
    pub(super) async fn ended(&mut self) -> Option<Ended> {
        let ended = self.under_way.join_next_with_id().await?;
        Some(match ended {
            Ok((id, answer)) => Ended { id, answer },
            // It panicked.
            Err(fault) => Ended { id: fault.id(), answer: Answer::Unclear },
        })
    }

    /// Takes note of an answer, unless nobody wants it any more, and says what it changes, and why.
    pub(super) fn note(&mut self, ended: Ended, now: Duration) -> Option<(&Check, Change, String)> {
        let (key, _) = self.begun.remove(&ended.id)?;
        let check = self.by_key.get_mut(&key)?;
        // From nine tenths to eleven, so that checks that began together do not stay so.
        self.due.insert((now + check.rules.every * (9 * PARTS + 2 * random_part()) / (10 * PARTS), key));
        let change = check.note(&ended.answer, now)?;
        let cause = if let Answer::Unwell(cause) = ended.answer { cause } else { String::new() };
        Some((check, change, cause))
    }
}

impl Check {
    fn note(&mut self, answer: &Answer, now: Duration) -> Option<Change> {
        match answer {
            Answer::Well => {
                (self.good, self.bad) = (self.good.saturating_add(1), 0);
                (self.good >= self.rules.healthy).then(|| self.circuit.healthy()).flatten()
            }
            Answer::Unwell(_) => {
                (self.good, self.bad) = (0, self.bad.saturating_add(1));
                (self.bad >= self.rules.unhealthy).then(|| self.circuit.unhealthy(now, random())).flatten()
            }
            Answer::Unclear => None,
        }
    }
}

fn random_part() -> u32 {
    u32::try_from(random() % u64::from(PARTS)).unwrap_or_default()
}

fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::target::Transport;
    use crate::forward::targets::Member;
    use http::{HeaderValue, Uri};
    use std::future::{pending, ready};

    const EVERY: Duration = Duration::from_secs(5);
    /// By then each of them is due.
    const LATER: Duration = Duration::from_secs(100);

    /// So many upstreams of a source that are checked.
    fn targets(count: usize) -> Targets {
        let member = |position| Member { target: Arc::new(target(position)), circuit: Arc::default() };
        Targets::new((0..count).map(member).collect(), Some(rules(EVERY)))
    }

    /// The same ones, checked at another interval.
    fn at_intervals_of(every: Duration, targets: &Targets) -> Targets {
        let same =
            |member: &Member| Member { target: Arc::clone(&member.target), circuit: Arc::clone(&member.circuit) };
        Targets::new(targets.list().iter().map(same).collect(), Some(rules(every)))
    }

    fn rules(every: Duration) -> HealthRules {
        HealthRules { path: Uri::from_static("/healthz"), every, timeout: every, healthy: 1, unhealthy: 1 }
    }

    fn target(position: usize) -> Target {
        Target {
            transport: Transport::Unix(position.to_string().into()),
            path: Uri::from_static("/"),
            host: HeaderValue::from_static("localhost"),
            name: Arc::from(format!("unix:{position}")),
            pool_key: Arc::from(position.to_string()),
        }
    }

    fn unwell(cause: &str) -> Answer {
        Answer::Unwell(cause.to_owned())
    }

    /// Checks of these alone, from now on.
    fn of(targets: &Targets) -> Checks {
        let mut checks = Checks::default();
        follow(&mut checks, targets, Duration::ZERO);
        checks
    }

    fn follow(checks: &mut Checks, targets: &Targets, now: Duration) {
        checks.follow([(&Arc::from("source"), targets)].into_iter(), now);
    }

    #[tokio::test]
    async fn a_check_is_due_once_in_each_interval_and_its_answer_is_what_counts() {
        let targets = targets(1);
        let mut checks = of(&targets);
        let rows = [
            (Answer::Well, None),
            (Answer::Unclear, None),
            (unwell("status 503"), Some(("opened", "status 503"))),
            (unwell("status 500"), None),
            (Answer::Unclear, None),
            (Answer::Well, Some(("closed", ""))),
        ];
        let mut now = EVERY;
        for (answer, told) in rows {
            assert_eq!(checks.begin(9, now, |_| ready(answer.clone())), 1, "{answer:?}");
            assert_eq!(checks.begin(9, now + LATER, |_| ready(answer.clone())), 0, "{answer:?}: it is under way");
            let ended = checks.ended().await.unwrap();
            let name = |change| if change == Change::Closed { "closed" } else { "opened" };
            let found = checks.note(ended, now).map(|(_, change, cause)| (name(change), cause));
            assert_eq!(found.as_ref().map(|(name, cause)| (*name, &**cause)), told, "{answer:?}");
            let nearly = now + EVERY * 89 / 100;
            assert_eq!(checks.begin(9, nearly, |_| ready(Answer::Well)), 0, "{answer:?}: not due yet");
            now += EVERY * 11 / 10;
        }
        assert!(targets.first().circuit.is_closed());
    }

    #[tokio::test]
    async fn one_that_never_answers_delays_no_other() {
        let targets = targets(100);
        let mut checks = of(&targets);
        assert_eq!(checks.begin(99, LATER, |_| pending()), 99);
        for _ in 0..3 {
            assert_eq!(checks.begin(9, 2 * LATER, |_| ready(Answer::Well)), 1);
            let ended = checks.ended().await.unwrap();
            assert!(checks.note(ended, LATER).is_none());
        }
    }

    /// A defect of ours, which says nothing of the upstream.
    #[tokio::test]
    async fn a_check_that_panics_counts_as_none_and_is_due_again() {
        let targets = targets(1);
        let mut checks = of(&targets);
        for round in 1..=3 {
            assert_eq!(checks.begin(9, LATER * round, |_| async { panic!("a defect") }), 1, "round {round}");
            let ended = checks.ended().await.unwrap();
            assert!(checks.note(ended, LATER * round).is_none(), "round {round}");
        }
        assert!(targets.first().circuit.is_closed());
        assert_eq!(checks.begin(9, 4 * LATER, |_| ready(unwell("status 503"))), 1);
        let ended = checks.ended().await.unwrap();
        assert!(checks.note(ended, 4 * LATER).is_some(), "the next answer counts");
    }

    #[tokio::test]
    async fn an_interval_that_is_made_shorter_is_kept_at_once() {
        let (hour, second) = (Duration::from_secs(3_600), Duration::from_secs(1));
        let targets = targets(1);
        let mut checks = of(&at_intervals_of(hour, &targets));
        assert_eq!(checks.begin(9, hour, |_| ready(Answer::Well)), 1);
        let ended = checks.ended().await.unwrap();
        assert!(checks.note(ended, hour).is_none());
        follow(&mut checks, &at_intervals_of(2 * hour, &targets), hour);
        assert_eq!(checks.begin(9, hour + second, |_| pending()), 0, "a longer one begins with the next check");
        follow(&mut checks, &at_intervals_of(second, &targets), hour);
        assert_eq!(checks.begin(9, hour, |_| pending()), 0);
        assert_eq!(checks.begin(9, hour + second, |_| pending()), 1);
    }

    #[tokio::test]
    async fn a_check_that_nobody_wants_any_more_is_given_up() {
        let (before, after) = (targets(1), targets(1));
        let mut checks = of(&before);
        let held = Arc::new(());
        let ask = |_: &Check| {
            let held = Arc::clone(&held);
            async move {
                let answer = pending().await;
                drop(held);
                answer
            }
        };
        assert_eq!(checks.begin(9, LATER, ask), 1);
        follow(&mut checks, &before, LATER);
        tokio::task::yield_now().await;
        assert_eq!(Arc::strong_count(&held), 2, "it is wanted");
        follow(&mut checks, &after, LATER);
        tokio::task::yield_now().await;
        assert_eq!(Arc::strong_count(&held), 1);
        let ended = checks.ended().await.unwrap();
        assert!(checks.note(ended, LATER).is_none());
        follow(&mut checks, &before, LATER);
        assert_eq!(checks.begin(9, 2 * LATER, ask), 1, "one, and not one more for the one before");
    }

    #[tokio::test]
    async fn so_many_begin_at_once() {
        for (due, most, begun) in [(0, 2, 0), (1, 2, 1), (2, 2, 2), (3, 2, 2)] {
            assert_eq!(of(&targets(due)).begin(most, LATER, |_| pending()), begun, "{due}");
        }
    }
}
