//! How often: token buckets per source and client, and per source. The one file that names `governor`.
//!
//! `governor` does the arithmetic (GCRA: a bucket is one number, the time at which it will be full again). Its own
//! keyed stores grow without bound and count from the moment a limiter was made, so that every reload would fill the
//! buckets. Here a limiter is made for each check, over a store that outlives it, with a clock whose first reading is
//! the start of the process: times are absolute, and a bucket survives a reload unless its own limit changed.
//!
//! **Invariant:** what is stored are times since the start of the process, so any limiter may read what another wrote.
//!
//! A bucket that was pushed out of the table by a flood of clients is a full one again. That is on purpose: a table
//! that is full may forget how much somebody sent, never refuse who sent nothing.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use super::client::Client;
use super::source::SourceId;
use crate::bounded::Bounded;

/// How often something may happen: `burst` at once, then `per_second` a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many tokens come back each second.
    pub per_second: NonZeroU32,
    /// How many tokens a full bucket holds.
    pub burst: NonZeroU32,
}

/// The buckets of all clients of all sources, in one bounded table.
#[derive(Debug)]
pub struct ClientBuckets {
    buckets: Bounded<BucketKey, u64>,
}

/// The one bucket of a source, as long as its rate is the same. Lock-free, since all of a source's deliveries meet here.
#[derive(Debug)]
pub struct SourceBucket {
    rate: Rate,
    state: InMemoryState,
}

impl ClientBuckets {
    /// A table of `clients_max` buckets. A bucket takes 56 bytes and is let go once it is full again.
    #[must_use]
    pub fn new(clients_max: NonZeroU32) -> Self {
        Self { buckets: Bounded::new(clients_max) }
    }

    /// Takes a token from the client's bucket of this source and rate.
    ///
    /// # Errors
    /// How long it takes until there is a token again, if there is none; nothing is taken then.
    pub fn take(&self, source: SourceId, client: Client, rate: Rate, now: Duration) -> Result<(), Duration> {
        let store = Keyed { buckets: &self.buckets, now };
        let now = nanos(now);
        limiter(rate, store, now)
            .check_key(&BucketKey { source, client, rate })
            .map_err(|until| until.wait_time_from(now))
    }
}

impl SourceBucket {
    /// A full bucket.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self { rate, state: InMemoryState::default() }
    }

    /// The rate that it keeps.
    #[must_use]
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes a token.
    ///
    /// # Errors
    /// How long it takes until there is a token again, if there is none; nothing is taken then.
    pub fn take(&self, now: Duration) -> Result<(), Duration> {
        let now = nanos(now);
        limiter(self.rate, Direct(&self.state), now).check().map_err(|until| until.wait_time_from(now))
    }
}

/// A limiter for one check: arithmetic alone, nothing is allocated.
fn limiter<S: StateStore>(rate: Rate, store: S, now: Nanos) -> Limiter<S> {
    RateLimiter::new(Quota::per_second(rate.per_second).allow_burst(rate.burst), store, Since::epoch(now))
}

type Limiter<S> = RateLimiter<<S as StateStore>::Key, S, Since, NoOpMiddleware<Nanos>>;

/// The rate is part of the key: a changed limit begins with a full bucket, an unchanged one goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct BucketKey {
    source: SourceId,
    client: Client,
    rate: Rate,
}

/// Lends the table to a limiter for one check.
struct Keyed<'a> {
    buckets: &'a Bounded<BucketKey, u64>,
    now: Duration,
}

impl StateStore for Keyed<'_> {
    type Key = BucketKey;

    fn measure_and_replace<T, F, E>(&self, key: &BucketKey, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.buckets.with(key, self.now, |entry| {
            let (outcome, full_at) = measure(entry.get().map(Nanos::new))?;
            entry.put(full_at.as_u64(), Duration::from_nanos(full_at.as_u64()));
            Ok(outcome)
        })
    }
}

/// Lends a source's state to a limiter for one check.
struct Direct<'a>(&'a InMemoryState);

impl StateStore for Direct<'_> {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, key: &NotKeyed, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0.measure_and_replace(key, measure)
    }
}

/// A clock for one check. A limiter reads it first when it is made, to learn when its time began: that is the start of
/// the process. Every later reading is the time of the check.
struct Since {
    next: Cell<Nanos>,
    now: Nanos,
}

impl Since {
    const fn epoch(now: Nanos) -> Self {
        Self { next: Cell::new(Nanos::new(0)), now }
    }
}

impl Clock for Since {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.next.replace(self.now)
    }
}

/// Half of what 64 bits hold is 292 years: room for the arithmetic, which would overflow near the end.
fn nanos(now: Duration) -> Nanos {
    Nanos::new(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX).min(u64::MAX / 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;
    use std::sync::Arc;

    fn rate(per_second: u32, burst: u32) -> Rate {
        Rate { per_second: NonZeroU32::new(per_second).unwrap(), burst: NonZeroU32::new(burst).unwrap() }
    }

    fn client(address: &str) -> Client {
        Client::from(address.parse::<IpAddr>().unwrap())
    }

    fn buckets(clients_max: u32) -> ClientBuckets {
        ClientBuckets::new(NonZeroU32::new(clients_max).unwrap())
    }

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    const SOURCE: SourceId = SourceId::new(1);

    type Take<'a> = &'a dyn Fn(Duration) -> Result<(), Duration>;

    #[test]
    fn a_bucket_gives_its_burst_then_its_rate_and_says_when_the_next_token_comes() {
        let (buckets, alone) = (buckets(100), SourceBucket::new(rate(50, 200)));
        let takers: [(&str, Take<'_>); 2] = [
            ("client", &|now| buckets.take(SOURCE, client("192.0.2.1"), rate(50, 200), now)),
            ("source", &|now| alone.take(now)),
        ];
        for (name, take) in takers {
            let start = ms(5_000);
            for token in 1..=200 {
                assert_eq!(take(start), Ok(()), "{name}: token {token} of the burst");
            }
            assert_eq!(take(start), Err(ms(20)), "{name}: past the burst");
            assert_eq!(take(start + ms(5)), Err(ms(15)), "{name}: a refusal takes nothing");
            assert_eq!(take(start + Duration::from_nanos(19_999_999)), Err(Duration::from_nanos(1)), "{name}");
            assert_eq!(take(start + ms(20)), Ok(()), "{name}: the next token");
            assert_eq!(take(start + ms(20)), Err(ms(20)), "{name}: one token alone");
            let full = start + ms(20) + ms(4_000);
            let burst = (0..1_000).filter(|_| take(full).is_ok()).count();
            assert_eq!(burst, 200, "{name}: full again after burst / rate seconds, and no fuller");
        }
    }

    #[test]
    fn a_bucket_is_that_of_a_source_a_client_and_a_rate() {
        let base = (SOURCE, "2001:db8:1:2::1", rate(1, 1));
        let rows = [
            ("the same", base, false),
            ("another host of the /64", (SOURCE, "2001:db8:1:2::2", rate(1, 1)), false),
            ("a neighbouring /64", (SOURCE, "2001:db8:1:3::1", rate(1, 1)), true),
            ("another source", (SourceId::new(2), "2001:db8:1:2::1", rate(1, 1)), true),
            ("another burst", (SOURCE, "2001:db8:1:2::1", rate(1, 2)), true),
            ("another rate", (SOURCE, "2001:db8:1:2::1", rate(2, 1)), true),
        ];
        for (name, (source, address, rate), its_own) in rows {
            let buckets = buckets(100);
            assert_eq!(buckets.take(base.0, client(base.1), base.2, ms(0)), Ok(()), "{name}");
            assert_eq!(buckets.take(source, client(address), rate, ms(0)).is_ok(), its_own, "{name}");
        }
    }

    #[test]
    fn a_flood_of_clients_neither_grows_the_table_nor_refills_a_bucket_in_use() {
        let buckets = buckets(1_000);
        let (genuine, slow) = (client("192.0.2.1"), rate(1, 1));
        assert_eq!(buckets.take(SOURCE, genuine, slow, ms(0)), Ok(()));
        for n in 0..100_000_u32 {
            let flood = Client::V6((u64::from(n) << 16).to_be_bytes());
            assert_eq!(buckets.take(SOURCE, flood, slow, ms(0)), Ok(()), "client {n}");
            if n % 16 == 0 {
                assert!(buckets.take(SOURCE, genuine, slow, ms(0)).is_err(), "after {n} clients");
            }
        }
        assert_eq!(buckets.buckets.held(), buckets.buckets.capacity() as usize);
        assert_eq!(Bounded::<BucketKey, u64>::ENTRY_BYTES, 56);
    }

    #[test]
    fn extreme_rates_and_times_neither_overflow_nor_panic() {
        let rows = [rate(1, u32::MAX), rate(u32::MAX, 1), rate(u32::MAX, u32::MAX), rate(1, 1)];
        for rate in rows {
            for now in [Duration::ZERO, ms(1), Duration::from_secs(u64::from(u32::MAX)), Duration::MAX] {
                assert_eq!(buckets(10).take(SOURCE, client("::1"), rate, now), Ok(()), "{rate:?} at {now:?}");
                assert_eq!(SourceBucket::new(rate).take(now), Ok(()), "{rate:?} at {now:?}");
            }
        }
    }

    #[test]
    fn threads_take_no_token_twice() {
        let (buckets, alone) = (Arc::new(buckets(100)), Arc::new(SourceBucket::new(rate(1, 1_000))));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (buckets, alone) = (Arc::clone(&buckets), Arc::clone(&alone));
                std::thread::spawn(move || {
                    let taken = |take: &dyn Fn() -> Result<(), Duration>| (0..600).filter(|_| take().is_ok()).count();
                    let client = client("192.0.2.1");
                    (taken(&|| buckets.take(SOURCE, client, rate(1, 1_000), ms(0))), taken(&|| alone.take(ms(0))))
                })
            })
            .collect();
        let taken: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(taken.iter().map(|(client, _)| client).sum::<usize>(), 1_000);
        assert_eq!(taken.iter().map(|(_, source)| source).sum::<usize>(), 1_000);
    }
}
