//! A token bucket in one word of memory, for work that is worth doing now and then.
//!
//! It keeps the moment at which its bucket will be full again, as the generic cell rate algorithm does (ITU-T I.371, the virtual scheduling form). Taking
//! a token is one compare-and-swap, refusing one is a load: nothing waits for anybody.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// So many at once, then one more each interval.
#[derive(Debug)]
pub struct Trickle {
    /// When the bucket will be full, in microseconds of the caller's monotonic clock.
    full_at: AtomicU64,
    interval_micros: u64,
    /// What a bucket without tokens needs to be full, less one interval.
    tolerance_micros: u64,
}

impl Trickle {
    /// A full bucket of `burst` tokens (at least one).
    #[must_use]
    pub const fn new(burst: u32, interval: Duration) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "intervals are seconds, and half a million years fit")]
        let interval_micros = interval.as_micros() as u64;
        let tolerance_micros = interval_micros.saturating_mul(burst.saturating_sub(1) as u64);
        Self { full_at: AtomicU64::new(0), interval_micros, tolerance_micros }
    }

    /// Whether there is a token at `now`; another may take it first.
    #[must_use]
    pub fn has_token(&self, now: Duration) -> bool {
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        self.full_at.load(Ordering::Relaxed).saturating_sub(now) <= self.tolerance_micros
    }

    /// Takes a token, if there is one at `now`.
    pub fn take(&self, now: Duration) -> Option<Token> {
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let mut full_at = self.full_at.load(Ordering::Relaxed);
        loop {
            let begins = full_at.max(now);
            if begins - now > self.tolerance_micros {
                return None;
            }
            let taken = begins.saturating_add(self.interval_micros);
            match self.full_at.compare_exchange_weak(full_at, taken, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(Token(())),
                Err(found) => full_at = found,
            }
        }
    }
}

/// That something may be done once.
#[derive(Debug)]
#[must_use = "a token that is not used is lost"]
pub struct Token(());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_at_once_and_then_one_each_interval() {
        let trickle = Trickle::new(3, Duration::from_secs(1));
        let taken = |millis: u64| (0..10).filter(|_| trickle.take(Duration::from_millis(millis)).is_some()).count();
        let rows = [(5_000, 3), (5_999, 0), (6_000, 1), (6_999, 0), (8_000, 2), (60_000, 3)];
        for (millis, count) in rows {
            assert_eq!(trickle.has_token(Duration::from_millis(millis)), count > 0, "at {millis} ms");
            assert_eq!(taken(millis), count, "at {millis} ms");
        }
    }
}
