//! The two times a gateway needs, both injected: wall time for signed timestamps, monotonic time for every timer.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds since 1970-01-01T00:00:00Z, as signed timestamps count them.
pub type UnixSeconds = i64;

/// Where the time comes from. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Clock(Kind);

#[derive(Debug, Clone)]
enum Kind {
    System { started: Instant },
    Manual(Arc<Manual>),
}

#[derive(Debug, Default)]
struct Manual {
    unix_micros: AtomicI64,
    monotonic_micros: AtomicU64,
}

impl Clock {
    /// The machine's clocks.
    #[must_use]
    pub fn system() -> Self {
        Self(Kind::System { started: Instant::now() })
    }

    /// A clock that stands still until it is moved, for tests.
    #[must_use]
    pub fn manual(unix_seconds: UnixSeconds) -> Self {
        let manual = Manual { unix_micros: AtomicI64::new(unix_seconds * 1_000_000), ..Manual::default() };
        Self(Kind::Manual(Arc::new(manual)))
    }

    /// Wall time in microseconds since the epoch. It may be set back by an operator.
    #[must_use]
    pub fn unix_micros(&self) -> i64 {
        match &self.0 {
            Kind::System { .. } => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
            }
            Kind::Manual(manual) => manual.unix_micros.load(Ordering::Relaxed),
        }
    }

    /// Wall time in whole seconds since the epoch.
    #[must_use]
    pub fn unix_seconds(&self) -> UnixSeconds {
        self.unix_micros().div_euclid(1_000_000)
    }

    /// Time since this clock was made. Never goes back.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        match &self.0 {
            Kind::System { started } => started.elapsed(),
            Kind::Manual(manual) => Duration::from_micros(manual.monotonic_micros.load(Ordering::Relaxed)),
        }
    }

    /// Moves a manual clock forward; the machine's clocks do not listen.
    pub fn advance(&self, by: Duration) {
        if let Kind::Manual(manual) = &self.0 {
            let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
            manual.monotonic_micros.fetch_add(micros, Ordering::Relaxed);
            manual.unix_micros.fetch_add(i64::try_from(micros).unwrap_or(i64::MAX), Ordering::Relaxed);
        }
    }

    /// Sets the wall time of a manual clock alone, as an operator or NTP would.
    pub fn set_wall(&self, unix_seconds: UnixSeconds) {
        if let Kind::Manual(manual) = &self.0 {
            manual.unix_micros.store(unix_seconds * 1_000_000, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::manual(1_000);
        assert_eq!((clock.unix_micros(), clock.monotonic()), (1_000_000_000, Duration::ZERO));
        clock.advance(Duration::from_millis(1_500));
        assert_eq!((clock.unix_micros(), clock.monotonic()), (1_001_500_000, Duration::from_millis(1_500)));
        clock.set_wall(10);
        assert_eq!((clock.unix_micros(), clock.monotonic()), (10_000_000, Duration::from_millis(1_500)));
    }
}
