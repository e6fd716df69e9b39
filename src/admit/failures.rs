//! The budget of failed authentications, per source and client.
//!
//! A client that keeps failing is answered 429 before anything of its requests is read. But anybody can make a
//! provider's shared address send bad signatures (a webhook of their own, pointed here), so a block per address alone
//! would let strangers switch a provider off. Therefore a client that authenticated within [`KNOWN_FOR`] is never
//! blocked: while it is over its budget, what it sends is verified under a small concurrency of its source, which
//! bounds the work junk can cause and leaves the genuine deliveries among it a way through.
//!
//! Who is blocked again soon after a block is blocked for twice as long, up to a maximum: a scanner that comes back each time it may gets to fail less and
//! less often. A block is forgotten once its client got nothing wrong for as long as the block was, so a slip of an operator's heals by itself. Blocks of
//! clients that the policy itself names do not grow ([`Limits::failed`](super::Limits::failed)).
//!
//! It stands in front of the body: [`Failures::enter`] needs the head of no request, only who sends.
//!
//! **Invariant:** what proves a client genuine lives in a table of its own, which only authenticated deliveries write
//! to. No amount of junk, from however many addresses, can push a genuine client's mark out; only somebody who holds a
//! source's secret and sends from more addresses than the table has places could.

use std::num::NonZeroU32;
use std::time::Duration;

use super::client::Client;
use super::in_flight::{Gauge, Seat};
use super::source::SourceId;
use super::{RETRY_SOON, overloaded};
use crate::bounded::Bounded;
use crate::reason::Reason;
use crate::rejection::Rejection;

/// What a client may get wrong: `[limit] failures` of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureRule {
    /// How many failures are answered with 401 within a minute from the first. The next request is over the budget.
    pub per_minute: NonZeroU32,
    /// How long a client is blocked, from the failure that spent its budget: `block_seconds`.
    pub block_time: Duration,
    /// How long at most, where blocks follow one another: `block_seconds_max`.
    pub block_time_max: Duration,
}

/// In what way a client that is not blocked may go on.
#[must_use]
#[derive(Debug)]
pub enum Passage {
    /// Within its budget.
    Clear,
    /// Over its budget, but known. The seat under the source's small concurrency is held from before the body is read
    /// until the delivery is authenticated or refused: verifying alone takes microseconds and would bound nothing.
    Excess(Seat),
}

/// Who failed how often, and who authenticated when.
#[derive(Debug)]
pub struct Failures {
    tallies: Bounded<Key, Tally>,
    known: Bounded<Key, u64>,
}

type Key = (SourceId, Client);

#[derive(Debug, Clone, Copy)]
enum Tally {
    /// So many failures in the minute that began then; so many blocks came before, one soon after the other.
    Counting { since: Duration, failures: u32, blocks: u8 },
    /// Blocked, with this block counted too.
    Spent { until: Duration, blocks: u8 },
}

/// The faults that spend a client's budget: what only somebody without the secret sends. A stale timestamp is what a
/// delayed genuine delivery has, and an expired secret is an operator's slip.
const COUNTED: [Reason; 4] = [
    Reason::CredentialMissing,
    Reason::CredentialMalformed,
    Reason::CredentialMismatch,
    Reason::ClientCertificateMissing,
];

/// How long after it authenticated a client cannot be blocked.
pub const KNOWN_FOR: Duration = Duration::from_hours(24);

/// How many deliveries of one source's clients over their budgets are verified at the same time.
pub const EXCESS_MAX: NonZeroU32 = NonZeroU32::new(8).expect("invariant: not zero");

/// How long the body of a delivery over its client's budget may take: slow bodies must not hold all the seats.
pub const EXCESS_BODY_TIME: Duration = Duration::from_secs(2);

/// Stands for all sources together in the table of known clients; no source has so high a number.
const SOMEWHERE: SourceId = SourceId::new(u32::MAX);

/// How old a mark gets before it is written anew: a client of a thousand deliveries a second writes one a minute.
const REFRESH: Duration = Duration::from_mins(1);

const MINUTE: Duration = Duration::from_mins(1);

impl FailureRule {
    /// How long the last of so many blocks is, each of which came soon after the one before; nothing if there was none.
    fn block_time_of(&self, blocks: u8) -> Duration {
        let Some(before) = blocks.checked_sub(1) else { return Duration::ZERO };
        let doubled = self.block_time.saturating_mul(1_u32.checked_shl(before.into()).unwrap_or(u32::MAX));
        doubled.min(self.block_time_max.max(self.block_time))
    }
}

impl Failures {
    /// Tables for `failing_max` clients with failures (64 bytes each) and `known_max` clients that authenticated (48
    /// bytes each).
    #[must_use]
    pub fn new(failing_max: NonZeroU32, known_max: NonZeroU32) -> Self {
        Self { tallies: Bounded::new(failing_max), known: Bounded::new(known_max) }
    }

    /// Lets a client go on, unless it spent its budget. `excess` is the source's small concurrency, of [`EXCESS_MAX`].
    ///
    /// # Errors
    /// [`Reason::ClientBlocked`] with the rest of the block as Retry-After; [`Reason::Overloaded`] (`failure_excess`) if
    /// the client is known but too much is being verified at the same time.
    pub fn enter(&self, source: SourceId, client: Client, excess: &Gauge, now: Duration) -> Result<Passage, Rejection> {
        let key = (source, client);
        let until = match self.tallies.get(&key, now) {
            Some(Tally::Spent { until, .. }) if now < until => until,
            Some(Tally::Spent { .. } | Tally::Counting { .. }) | None => return Ok(Passage::Clear),
        };
        if self.known.get(&key, now).is_none() {
            return Err(Rejection::new(Reason::ClientBlocked).retry_after(until.saturating_sub(now)));
        }
        let seat = excess.try_enter().ok_or_else(|| overloaded("failure_excess", RETRY_SOON))?;
        Ok(Passage::Excess(seat))
    }

    /// Counts how a delivery ended, if it is one of the faults that only somebody without the secret causes.
    pub fn failed(&self, source: SourceId, client: Client, rule: FailureRule, reason: Reason, now: Duration) {
        if !COUNTED.contains(&reason) {
            return;
        }
        let key = (source, client);
        self.tallies.with(&key, now, |entry| {
            // An entry is there for as long as its client has not been quiet for long enough.
            let (since, before, blocks) = match entry.get() {
                Some(Tally::Spent { until, .. }) if now < until => return,
                Some(Tally::Counting { since, failures, blocks }) if now < since.saturating_add(MINUTE) => {
                    (since, failures, blocks)
                }
                Some(Tally::Counting { blocks, .. } | Tally::Spent { blocks, .. }) => (now, 0, blocks),
                None => (now, 0, 0),
            };
            let failures = before.saturating_add(1);
            if failures < rule.per_minute.get() {
                let quiet = now.saturating_add(rule.block_time_of(blocks));
                entry.put(Tally::Counting { since, failures, blocks }, quiet.max(since.saturating_add(MINUTE)));
                return;
            }
            // A known client is not blocked but let through a narrow way, which must not grow: others may use its address.
            let blocks = if self.known.get(&key, now).is_some() { 1 } else { blocks.saturating_add(1) };
            let time = rule.block_time_of(blocks);
            let until = now.saturating_add(time);
            entry.put(Tally::Spent { until, blocks }, until.saturating_add(time));
        });
    }

    /// Marks a client as known. On every good delivery's way: one look under a shard's lock, a write once a minute.
    pub fn succeeded(&self, source: SourceId, client: Client, now: Duration) {
        if self.mark(source, client, now) {
            self.mark(SOMEWHERE, client, now);
        }
    }

    /// Whether the client authenticated to some source.
    pub fn is_known_somewhere(&self, client: Client, now: Duration) -> bool {
        self.known.get(&(SOMEWHERE, client), now).is_some()
    }

    /// Marks a client, unless its mark is fresh. Answers whether it was not.
    fn mark(&self, source: SourceId, client: Client, now: Duration) -> bool {
        self.known.with(&(source, client), now, |entry| {
            let fresh = entry.get().is_some_and(|marked| now.as_secs().saturating_sub(marked) < REFRESH.as_secs());
            if !fresh {
                entry.put(now.as_secs(), now.saturating_add(KNOWN_FOR).saturating_add(REFRESH));
            }
            !fresh
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    const GITHUB: SourceId = SourceId::new(1);
    const STRIPE: SourceId = SourceId::new(2);
    const RULE: FailureRule = rule(60, 90);

    const fn rule(per_minute: u32, block_seconds: u64) -> FailureRule {
        FailureRule {
            per_minute: NonZeroU32::new(per_minute).unwrap(),
            block_time: Duration::from_secs(block_seconds),
            block_time_max: Duration::from_secs(1_000),
        }
    }

    fn failures(max: u32) -> (Failures, Gauge) {
        let max = NonZeroU32::new(max).unwrap();
        (Failures::new(max, max), Gauge::new(EXCESS_MAX))
    }

    fn client(address: &str) -> Client {
        Client::from(address.parse::<IpAddr>().unwrap())
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn fail(failures: &Failures, who: Client, times: u32, now: Duration) {
        for _ in 0..times {
            failures.failed(GITHUB, who, RULE, Reason::CredentialMismatch, now);
        }
    }

    #[test]
    fn the_failure_that_spends_the_budget_blocks_for_block_seconds() {
        let (failures, excess) = failures(100);
        let who = client("192.0.2.1");
        let blocked =
            |now| failures.enter(GITHUB, who, &excess, now).err().map(|r| (r.reason(), r.retry_after_seconds()));
        fail(&failures, who, 59, at(10));
        assert_eq!(blocked(at(10)), None, "budget - 1");
        fail(&failures, who, 1, at(20));
        assert_eq!(blocked(at(20)), Some((Reason::ClientBlocked, Some(90))), "budget");
        assert_eq!(blocked(at(109)), Some((Reason::ClientBlocked, Some(1))), "the rest of the block");
        fail(&failures, who, 60, at(109));
        assert_eq!(blocked(at(110)), None, "failures during a block do not prolong it");
        fail(&failures, who, 59, at(110));
        assert_eq!(blocked(at(110)), None, "a new budget");
    }

    /// How long each of these blocks is, from the failure that spent the budget of 60 to the first second in which the client may go on.
    fn blocks(failures: &Failures, spent_at: &[u64]) -> Vec<u64> {
        let (who, excess) = (client("192.0.2.1"), Gauge::new(EXCESS_MAX));
        let block = |spent: &u64| {
            assert!(failures.enter(GITHUB, who, &excess, at(*spent)).is_ok(), "blocked at {spent}");
            fail(failures, who, 60, at(*spent));
            let refused = failures.enter(GITHUB, who, &excess, at(*spent)).expect_err("spent");
            refused.retry_after_seconds().unwrap()
        };
        spent_at.iter().map(block).collect()
    }

    #[test]
    fn blocks_that_follow_one_another_double_up_to_the_maximum() {
        let rows: [(&str, &[u64], &[u64]); 6] = [
            ("as soon as it may", &[0, 90, 270, 630, 1350, 2350, 3350], &[90, 180, 360, 720, 1000, 1000, 1000]),
            ("a second before it is forgotten", &[0, 179, 538], &[90, 180, 360]),
            ("as it is forgotten", &[0, 180, 720], &[90, 90, 90]),
            ("the second is forgotten later than the first", &[0, 90, 449], &[90, 180, 360]),
            ("and is forgotten, too", &[0, 90, 450], &[90, 180, 90]),
            ("the longest is", &[0, 90, 270, 630, 1350, 3349, 5350], &[90, 180, 360, 720, 1000, 1000, 90]),
        ];
        for (name, spent_at, expected) in rows {
            assert_eq!(blocks(&failures(100).0, spent_at), expected, "{name}");
        }
        let (failures, _) = failures(100);
        let last = (0..300).fold((0, 0), |(now, _), _| {
            let block = blocks(&failures, &[now])[0];
            (now + block, block)
        });
        assert_eq!(last.1, 1_000, "however many there were");
    }

    #[test]
    fn a_failure_in_between_keeps_a_block_from_being_forgotten() {
        for (name, last, second) in [("in its time", 268, 180), ("a second later", 269, 90)] {
            let (failures, _) = failures(100);
            let who = client("192.0.2.1");
            assert_eq!(blocks(&failures, &[0]), [90]);
            fail(&failures, who, 1, at(179));
            assert_eq!(blocks(&failures, &[last]), [second], "{name}: quiet since 179");
        }
        for (name, last, second) in [("in its time", 449, 360), ("a second later", 450, 90)] {
            let (failures, _) = failures(100);
            assert_eq!(blocks(&failures, &[0, 90]), [90, 180]);
            fail(&failures, client("192.0.2.1"), 59, at(270));
            assert_eq!(blocks(&failures, &[last]), [second], "{name}: the minute of a count does not end it");
        }
    }

    #[test]
    fn a_rule_below_its_own_maximum_blocks_for_its_time() {
        let rule = FailureRule { block_time_max: Duration::from_secs(1), ..rule(60, 90) };
        assert_eq!([0, 1, 2, 255].map(|blocks| rule.block_time_of(blocks).as_secs()), [0, 90, 90, 90]);
        let rule = FailureRule { block_time: Duration::MAX, ..rule };
        assert_eq!(rule.block_time_of(255), Duration::MAX);
    }

    #[test]
    fn the_narrow_way_of_a_known_client_is_not_narrow_for_longer_each_time() {
        let (failures, excess) = failures(100);
        let who = client("192.0.2.1");
        failures.succeeded(GITHUB, who, at(0));
        for spent in [1, 91, 181, 271] {
            fail(&failures, who, 60, at(spent));
            let narrow = |now| matches!(failures.enter(GITHUB, who, &excess, at(now)), Ok(Passage::Excess(_)));
            assert!(narrow(spent + 89) && !narrow(spent + 90), "from {spent} on");
        }
    }

    #[test]
    fn the_minute_begins_with_the_first_failure() {
        for (name, last, blocked) in [("within", 69, true), ("a second later", 70, false)] {
            let (failures, excess) = failures(100);
            let who = client("192.0.2.1");
            fail(&failures, who, 1, at(10));
            fail(&failures, who, 58, at(60));
            fail(&failures, who, 1, at(last));
            assert_eq!(failures.enter(GITHUB, who, &excess, at(last)).is_err(), blocked, "{name}");
        }
    }

    #[test]
    fn only_missing_malformed_and_mismatched_credentials_count() {
        for reason in Reason::all() {
            let (failures, excess) = failures(100);
            let who = client("192.0.2.1");
            failures.failed(GITHUB, who, rule(1, 60), reason, at(0));
            let counts = matches!(
                reason.code(),
                "credential_missing" | "credential_malformed" | "credential_mismatch" | "client_certificate_missing"
            );
            assert_eq!(failures.enter(GITHUB, who, &excess, at(0)).is_err(), counts, "{}", reason.code());
        }
    }

    #[test]
    fn a_block_is_that_of_one_source_and_client() {
        let rows = [
            ("the client", GITHUB, "2001:db8:1:2::1", true),
            ("its /64", GITHUB, "2001:db8:1:2::2", true),
            ("a neighbouring /64", GITHUB, "2001:db8:1:3::1", false),
            ("another source", STRIPE, "2001:db8:1:2::1", false),
        ];
        let (failures, excess) = failures(100);
        fail(&failures, client("2001:db8:1:2::1"), 60, at(0));
        for (name, source, address, blocked) in rows {
            assert_eq!(failures.enter(source, client(address), &excess, at(0)).is_err(), blocked, "{name}");
        }
    }

    #[test]
    fn a_known_client_is_never_blocked_but_its_excess_is_narrow() {
        let (failures, excess) = failures(100);
        let who = client("192.0.2.1");
        failures.succeeded(GITHUB, who, at(0));
        fail(&failures, who, 60, at(1));
        let mut seats: Vec<_> =
            (0..EXCESS_MAX.get() - 1).map(|_| failures.enter(GITHUB, who, &excess, at(1)).expect("max - 1")).collect();
        seats.push(failures.enter(GITHUB, who, &excess, at(1)).expect("max"));
        assert!(seats.iter().all(|passage| matches!(passage, Passage::Excess(_))));
        let refused = failures.enter(GITHUB, who, &excess, at(1)).expect_err("max + 1");
        assert_eq!(refused.reason(), Reason::Overloaded);
        assert_eq!(refused.detail(), [("limit", "failure_excess".into())]);
        assert_eq!(refused.retry_after_seconds(), Some(1));
        seats.pop();
        assert!(failures.enter(GITHUB, who, &excess, at(1)).is_ok(), "a seat came back");
        assert!(matches!(failures.enter(GITHUB, who, &excess, at(91)), Ok(Passage::Clear)), "after the block");
    }

    #[test]
    fn a_client_is_known_for_a_day_from_its_last_success() {
        let day = KNOWN_FOR.as_secs();
        let rows = [
            ("a day after", &[100][..], 100 + day, true),
            ("a day and a minute after", &[100][..], 100 + day + 60, false),
            ("a day after a success that wrote nothing", &[100, 159][..], 159 + day, true),
            ("a day after a success that wrote", &[100, 160][..], 160 + day, true),
            ("never", &[][..], 100, false),
        ];
        for (name, successes, now, known) in rows {
            let (failures, excess) = failures(100);
            let who = client("192.0.2.1");
            for second in successes {
                failures.succeeded(GITHUB, who, at(*second));
            }
            fail(&failures, who, 60, at(now));
            assert_eq!(failures.enter(GITHUB, who, &excess, at(now)).is_ok(), known, "{name}");
            assert!(failures.enter(STRIPE, who, &excess, at(now)).is_ok(), "{name}: never blocked");
            assert_eq!(failures.is_known_somewhere(who, at(now)), known, "{name}: whatever the source");
            assert!(!failures.is_known_somewhere(client("192.0.2.2"), at(now)), "{name}: its neighbour");
        }
    }

    #[test]
    fn a_distributed_flood_costs_no_known_client_its_mark_and_no_busy_offender_its_block() {
        let (failures, excess) = failures(1_000);
        let (genuine, offender) = (client("192.0.2.1"), client("198.51.100.1"));
        failures.succeeded(GITHUB, genuine, at(0));
        fail(&failures, offender, 60, at(0));
        for n in 0..100_000_u32 {
            let flood = Client::V6((u64::from(n) << 16).to_be_bytes());
            failures.failed(GITHUB, flood, rule(1, 60), Reason::CredentialMissing, at(1));
            if n % 16 == 0 {
                assert!(failures.enter(GITHUB, offender, &excess, at(1)).is_err(), "after {n} clients");
            }
        }
        assert_eq!(failures.tallies.held(), failures.tallies.capacity() as usize);
        assert_eq!(failures.known.held(), 2, "of the source, and of all");
        assert_eq!((Bounded::<Key, Tally>::ENTRY_BYTES, Bounded::<Key, u64>::ENTRY_BYTES), (64, 48));
        fail(&failures, genuine, 60, at(2));
        assert!(matches!(failures.enter(GITHUB, genuine, &excess, at(2)), Ok(Passage::Excess(_))));
    }
}
