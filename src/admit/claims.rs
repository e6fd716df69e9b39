//! Replay claims: that one signed delivery is handled once.
//!
//! A claim is reserved once the signature matched, committed when the upstream accepted, and released otherwise, also
//! when its task is dropped or panics: a sender's honest retry after our failure is not a replay. The key is the source
//! and what was signed, never bytes taken from a header (see `auth`, which makes the digest). A MAC is under a secret, and a reload may add the
//! secret that is tried first or take it away: so a delivery of a source with several secrets takes a place for each of them.
//!
//! **Invariant:** a claim is never forgotten before its window is over. Where no place is left, nothing new is
//! accepted: forgetting would let whoever captured a delivery replay it behind a flood of others. Only authenticated
//! deliveries reserve, and a claim is committed only within `[limit] source`. So a table is never full if `claims_max` is
//! at least the sum, over all sources, of (`burst` + `per_second` × `window_seconds`) × secrets, and the deliveries in flight. A
//! source that is sent more than its share of that (its rates in monitor mode) can fill it, for all sources. While the wall clock is behind where it was,
//! places are kept for as much longer.
//!
//! Memory: 40 to 44 bytes a place, taken when it is used for the first time; with the places over that
//! [`Claims::new`] adds, 47 MB for a million claims at the worst.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::source::SourceId;
use super::{RETRY_SOON, overloaded};
use crate::bounded::{Bounded, Full};
use crate::clock::UnixSeconds;
use crate::rejection::Rejection;

/// The claims of all sources. Clones share them; they outlive every policy.
#[derive(Debug, Clone)]
pub struct Claims {
    table: Arc<Bounded<Key, State>>,
    capacity: NonZeroU32,
    pace: Arc<Pace>,
}

/// How far the wall clock was ahead of the monotonic one at most.
///
/// A timestamp is judged by the wall clock. Were that set back, old timestamps would be fresh again, and their claims must still stand: so claims end
/// by the slower of the two clocks.
#[derive(Debug)]
struct Pace {
    /// In milliseconds.
    ahead_most: AtomicI64,
    /// When that was seen, in milliseconds of monotonic time.
    seen: AtomicI64,
}

/// No timestamp that was taken before is fresh after so long a time, in milliseconds: a clock that was ahead once is forgotten.
const PACE_MILLIS_MAX: i64 = 48 * 3_600_000;

/// When a delivery comes, by the clocks that claims end by.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// By which the delivery's own claim would end, once it is committed.
    pub own: Duration,
    /// By the slower of the two clocks, see [`Claims::time`]: no claim may be forgotten by another.
    pub slowest: Duration,
}

/// What became of a reservation.
#[must_use]
#[derive(Debug)]
pub enum Reservation {
    /// The first delivery of its kind: it may go on.
    New(Claim),
    /// The same signed delivery is being handled right now.
    InFlight,
    /// The same signed delivery was accepted within the window.
    Duplicate,
}

/// A reserved claim; dropping it releases it.
#[must_use = "a claim is released as soon as it is dropped"]
pub struct Claim {
    table: Arc<Bounded<Key, State>>,
    key: Key,
    window: Duration,
    settled: bool,
    /// The same delivery under the source's other secrets.
    more: Vec<Claim>,
}

/// The first half of the digest is kept: two signed texts meet in 128 bits only if somebody who can have both signed
/// made 2⁶⁴ attempts, and then it is one of his own that is held back.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    source: SourceId,
    digest: [u8; 16],
}

#[derive(Debug, Clone, Copy)]
enum State {
    Reserved,
    Committed,
}

/// The square root of the number of shards: what the deviations of all shards add up to, over that of one count.
const SHARDS_ROOT: u32 = 8;

impl Claims {
    /// A table in which `claims_max` claims always find a place.
    ///
    /// Shards fill unevenly, so each has six standard deviations of its share more than its share.
    #[must_use]
    pub fn new(claims_max: NonZeroU32) -> Self {
        let places = claims_max.saturating_add(6 * SHARDS_ROOT * claims_max.get().isqrt());
        let pace = Pace { ahead_most: AtomicI64::new(i64::MIN), seen: AtomicI64::new(0) };
        Self { table: Arc::new(Bounded::new(places)), capacity: claims_max, pace: Arc::new(pace) }
    }

    /// The time by which claims end: `now`, which is monotonic, less what the wall clock was set back by since a claim may have been made.
    #[must_use]
    pub fn time(&self, now: Duration, wall: UnixSeconds) -> Duration {
        let millis = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        let ahead = wall.saturating_mul(1000).saturating_sub(millis);
        let Pace { ahead_most, seen } = &*self.pace;
        let most = ahead_most.load(Ordering::Relaxed);
        if ahead >= most || millis.saturating_sub(seen.load(Ordering::Relaxed)) > PACE_MILLIS_MAX {
            ahead_most.store(ahead, Ordering::Relaxed);
            seen.store(millis, Ordering::Relaxed);
            return now;
        }
        // Wall time comes in whole seconds: less than one is no step.
        let behind = u64::try_from(most.saturating_sub(ahead)).unwrap_or(u64::MAX) / 1000;
        now.saturating_sub(Duration::from_secs(behind))
    }

    /// Reserves what was signed. `digest` is the MAC of the signed text, or its SHA-256; `window` is how long a claim
    /// is kept once it is committed.
    ///
    /// # Errors
    /// [`Reason::Overloaded`](crate::reason::Reason::Overloaded) (`replay_claims_max`) if there is no place for it.
    pub fn reserve(
        &self,
        source: SourceId,
        digest: &[u8; 32],
        window: Duration,
        now: Moment,
    ) -> Result<Reservation, Rejection> {
        let key = Key::new(source, digest);
        self.table.with(&key, now.slowest, |entry| match entry.get() {
            Some(State::Reserved) => Ok(Reservation::InFlight),
            Some(State::Committed) if !entry.is_over(now.own) => Ok(Reservation::Duplicate),
            Some(State::Committed) | None => match entry.try_put(State::Reserved, Duration::MAX) {
                Ok(()) => {
                    let table = Arc::clone(&self.table);
                    Ok(Reservation::New(Claim { table, key, window, settled: false, more: Vec::new() }))
                }
                Err(Full) => Err(overloaded("replay_claims_max", RETRY_SOON)),
            },
        })
    }

    /// Reserves one delivery under all that stands for it: it is new if none of them is known. `None` if nothing stands for it.
    ///
    /// # Errors
    /// As [`Claims::reserve`].
    pub fn reserve_all<'d>(
        &self,
        source: SourceId,
        digests: impl Iterator<Item = &'d [u8; 32]>,
        window: Duration,
        now: Moment,
    ) -> Result<Option<Reservation>, Rejection> {
        let mut held: Option<Claim> = None;
        for digest in digests {
            // Two names of one secret are one.
            if held.as_ref().is_some_and(|claim| claim.is_of(&Key::new(source, digest))) {
                continue;
            }
            match (self.reserve(source, digest, window, now)?, &mut held) {
                (Reservation::New(claim), Some(first)) => first.more.push(claim),
                (Reservation::New(claim), None) => held = Some(claim),
                (known @ (Reservation::InFlight | Reservation::Duplicate), _) => return Ok(Some(known)),
            }
        }
        Ok(held.map(Reservation::New))
    }

    /// How many claims always find a place.
    #[must_use]
    pub const fn max(&self) -> NonZeroU32 {
        self.capacity
    }

    /// How many places are taken, also by claims whose window is over but whose place was not used again. Locks every shard in turn: for metrics.
    #[must_use]
    pub fn held(&self) -> usize {
        self.table.held()
    }
}

impl Claim {
    /// Keeps the claim for its window from `now`: the upstream accepted the delivery.
    pub fn commit(mut self, now: Duration) {
        let until = now.saturating_add(self.window);
        self.table.with(&self.key, now, |entry| entry.put(State::Committed, until));
        self.settled = true;
        for claim in std::mem::take(&mut self.more) {
            claim.commit(now);
        }
    }

    fn is_of(&self, key: &Key) -> bool {
        self.key == *key || self.more.iter().any(|claim| claim.key == *key)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.settled {
            self.table.remove(&self.key);
        }
    }
}

impl fmt::Debug for Claim {
    /// Without the digest: it is a MAC, which whoever reads a log must not see.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("source", &self.key.source).finish_non_exhaustive()
    }
}

impl Key {
    fn new(source: SourceId, digest: &[u8; 32]) -> Self {
        let mut half = [0; 16];
        half.copy_from_slice(&digest[..16]);
        Self { source, digest: half }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;

    const GITHUB: SourceId = SourceId::new(1);
    const STRIPE: SourceId = SourceId::new(2);
    const WINDOW: Duration = Duration::from_mins(10);

    fn claims(max: u32) -> Claims {
        Claims::new(NonZeroU32::new(max).unwrap())
    }

    fn digest(n: u32) -> [u8; 32] {
        let mut digest = [0xa5; 32];
        digest[..4].copy_from_slice(&n.to_be_bytes());
        digest
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// By one clock.
    fn moment(seconds: u64) -> Moment {
        Moment { own: at(seconds), slowest: at(seconds) }
    }

    fn reserve(claims: &Claims, source: SourceId, n: u32, now: u64) -> Reservation {
        claims.reserve(source, &digest(n), WINDOW, moment(now)).expect("there is room")
    }

    fn fresh(claims: &Claims, n: u32, now: u64) -> Claim {
        match reserve(claims, GITHUB, n, now) {
            Reservation::New(claim) => claim,
            other @ (Reservation::InFlight | Reservation::Duplicate) => panic!("claim {n} at {now}: {other:?}"),
        }
    }

    #[test]
    fn a_delivery_is_new_then_in_flight_then_a_duplicate_until_its_window_is_over() {
        let claims = claims(100);
        let claim = fresh(&claims, 1, 10);
        assert!(matches!(reserve(&claims, GITHUB, 1, 10), Reservation::InFlight));
        assert!(matches!(reserve(&claims, GITHUB, 1, 1_000_000), Reservation::InFlight), "however long it takes");
        claim.commit(at(20));
        assert!(matches!(reserve(&claims, GITHUB, 1, 20), Reservation::Duplicate));
        assert!(matches!(reserve(&claims, GITHUB, 1, 619), Reservation::Duplicate), "window - 1");
        drop(fresh(&claims, 1, 620));
    }

    #[test]
    fn a_claim_that_is_dropped_is_released() {
        let claims = claims(100);
        drop(fresh(&claims, 1, 10));
        drop(fresh(&claims, 1, 10));
        let unwound = std::panic::catch_unwind({
            let claims = claims.clone();
            move || {
                let _claim = fresh(&claims, 1, 10);
                std::panic::resume_unwind(Box::new("a defect while the claim is held"));
            }
        });
        assert!(unwound.is_err());
        fresh(&claims, 1, 10).commit(at(10));
        assert!(matches!(reserve(&claims, GITHUB, 1, 10), Reservation::Duplicate));
        assert_eq!(claims.held(), 1);
    }

    #[test]
    fn a_claim_is_that_of_one_source_and_one_signed_text() {
        let claims = claims(100);
        fresh(&claims, 1, 0).commit(at(0));
        assert!(matches!(reserve(&claims, STRIPE, 1, 0), Reservation::New(_)), "another source");
        assert!(matches!(reserve(&claims, GITHUB, 2, 0), Reservation::New(_)), "another text");
        assert!(matches!(reserve(&claims, GITHUB, 1, 0), Reservation::Duplicate), "the same");
    }

    #[test]
    fn a_delivery_under_several_secrets_is_known_by_each_of_them() {
        let claims = claims(100);
        let all = |numbers: &[u32], now| {
            let digests: Vec<_> = numbers.iter().map(|n| digest(*n)).collect();
            claims.reserve_all(GITHUB, digests.iter(), WINDOW, moment(now)).expect("there is room")
        };
        assert!(all(&[], 0).is_none(), "nothing stands for it");
        let Some(Reservation::New(claim)) = all(&[1, 2, 1], 0) else { panic!("it is new") };
        assert_eq!(claims.held(), 2);
        for numbers in [&[1][..], &[2], &[3, 2]] {
            assert!(matches!(all(numbers, 0), Some(Reservation::InFlight)), "{numbers:?}");
        }
        drop(claim);
        assert_eq!(claims.held(), 0, "a claim frees all its places");
        let Some(Reservation::New(claim)) = all(&[1, 2], 0) else { panic!("it is free again") };
        claim.commit(at(0));
        for numbers in [&[1][..], &[2], &[3, 2]] {
            assert!(matches!(all(numbers, 599), Some(Reservation::Duplicate)), "{numbers:?}");
        }
        assert!(matches!(all(&[3], 599), Some(Reservation::New(_))), "3 was not claimed beside a duplicate");
        assert!(matches!(all(&[2, 1], 600), Some(Reservation::New(_))), "the window of both is over");
    }

    #[test]
    fn claims_end_by_the_slower_of_two_clocks() {
        let claims = claims(100);
        // Each row: monotonic time, wall time, the time of claims.
        let rows = [
            ("steady", 0, 1_000_000, 0),
            ("steady", 600, 1_000_600, 600),
            ("an hour ahead", 700, 1_004_300, 700),
            ("and back", 800, 1_000_800, 0),
            ("an hour later it has caught up", 4_400, 1_004_400, 800),
            ("still a day later", 90_000, 1_090_000, 86_400),
            ("two days after the step", 700 + 48 * 3_600, 1_000_700 + 48 * 3_600, 700 + 48 * 3_600 - 3_600),
            (
                "after two days the step is forgotten",
                700 + 48 * 3_600 + 1,
                1_000_701 + 48 * 3_600,
                700 + 48 * 3_600 + 1,
            ),
        ];
        for (name, monotonic, wall, expected) in rows {
            assert_eq!(claims.time(at(monotonic), wall), at(expected), "{name}");
        }
        fresh(&claims, 1, 0).commit(at(700));
        let slowest = claims.time(at(200_000), 1_000_000);
        let back = Moment { own: slowest, slowest };
        assert!(
            matches!(claims.reserve(GITHUB, &digest(1), WINDOW, back), Ok(Reservation::Duplicate)),
            "set back by days"
        );
    }

    /// After the wall clock was set back by 600 seconds, where some claims end by the one clock and some by the other.
    #[test]
    fn no_claim_is_forgotten_by_another_ones_clock() {
        for (slowest, is_known) in [(100, true), (599, true), (600, false)] {
            // So few that all of them are swept together.
            let claims = claims(1);
            fresh(&claims, 1, 0).commit(at(0));
            let untimed = Moment { own: at(700), slowest: at(slowest) };
            let other = claims.reserve(GITHUB, &digest(2), WINDOW, untimed).expect("there is room");
            assert!(matches!(other, Reservation::New(_)), "{slowest}");
            let again = reserve(&claims, GITHUB, 1, slowest);
            assert_eq!(matches!(again, Reservation::Duplicate), is_known, "{slowest}");
        }
        for (own, is_known) in [(599, true), (600, false)] {
            let claims = claims(100);
            fresh(&claims, 1, 0).commit(at(0));
            let untimed = Moment { own: at(own), slowest: at(0) };
            let again = claims.reserve(GITHUB, &digest(1), WINDOW, untimed).expect("there is room");
            assert_eq!(matches!(again, Reservation::Duplicate), is_known, "by its own clock at {own}");
            if let Reservation::New(claim) = again {
                claim.commit(at(own));
                assert!(matches!(reserve(&claims, GITHUB, 1, own), Reservation::Duplicate), "it is known anew");
            }
        }
    }

    #[test]
    fn a_full_table_refuses_new_claims_and_forgets_none() {
        let claims = claims(50);
        let commit = |n, now| {
            claims.reserve(GITHUB, &digest(n), WINDOW, moment(now)).map(|reserved| match reserved {
                Reservation::New(claim) => claim.commit(at(now)),
                other @ (Reservation::InFlight | Reservation::Duplicate) => panic!("claim {n} at {now}: {other:?}"),
            })
        };
        let (mut kept, mut refused) = (Vec::new(), None);
        for n in 0..100_000 {
            match commit(n, 0) {
                Ok(()) => kept.push(n),
                Err(rejection) => refused = Some(rejection),
            }
        }
        assert_eq!(kept.len(), claims.table.capacity() as usize);
        let refused = refused.expect("the table is full");
        assert_eq!(refused.reason(), Reason::Overloaded);
        assert_eq!(refused.detail(), [("limit", "replay_claims_max".into())]);
        assert_eq!(refused.retry_after_seconds(), Some(1));
        for n in &kept {
            assert!(matches!(reserve(&claims, GITHUB, *n, 599), Reservation::Duplicate), "claim {n}");
        }
        assert!((0..1_000).all(|n| commit(200_000 + n, 599).is_err()), "window - 1");
        assert!(commit(200_000, 600).is_ok(), "window");
    }

    #[test]
    fn claims_max_claims_always_find_a_place() {
        type Arrivals = fn(u32) -> u64;
        let rows: [(&str, Arrivals); 3] = [
            ("evenly", |n| u64::from(n) / 50),
            ("all at once", |n| u64::from(n) / 30_000 * 600),
            ("half at once, then half, then half", |n| u64::from(n) / 15_000 * 300),
        ];
        for (name, second) in rows {
            let claims = claims(30_000);
            for n in 0..200_000 {
                let reserved = claims.reserve(GITHUB, &digest(n), WINDOW, moment(second(n)));
                let Ok(Reservation::New(claim)) = reserved else { panic!("{name}: claim {n}: {reserved:?}") };
                claim.commit(at(second(n)));
            }
        }
    }

    #[test]
    fn threads_get_one_claim_between_them() {
        let claims = claims(1_000);
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let claims = claims.clone();
                std::thread::spawn(move || {
                    let mut won = 0;
                    for n in 0..500 {
                        if let Ok(Reservation::New(claim)) = claims.reserve(GITHUB, &digest(n), WINDOW, moment(0)) {
                            claim.commit(at(0));
                            won += 1;
                        }
                    }
                    won
                })
            })
            .collect();
        assert_eq!(threads.into_iter().map(|thread| thread.join().unwrap()).sum::<u32>(), 500);
    }

    #[test]
    fn a_million_claims_cost_what_the_documentation_says() {
        let claims = claims(1_000_000);
        assert_eq!(Bounded::<Key, State>::ENTRY_BYTES, 44);
        assert!(claims.table.capacity() as usize * 44 < 47_000_000);
    }

    #[test]
    fn a_claim_shows_no_digest() {
        let shown = format!("{:?}", fresh(&claims(10), 1, 0));
        assert_eq!(shown, "Claim { source: SourceId(1), .. }");
    }
}
