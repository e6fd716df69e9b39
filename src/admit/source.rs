//! The limits of one source: what a policy compiles to, and what outlives the policy.
//!
//! A source is the same one as long as it has the same name. Its id, what it has in flight and its bucket live in a
//! registry of [`Limits`](super::Limits), so a reload (also one that fails half way) neither refills a bucket nor forgets
//! a delivery. The registry is locked when policies are loaded, never on a delivery's way.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::failures::{EXCESS_MAX, FailureRule};
use super::in_flight::Gauge;
use super::networks::NetworkRules;
use super::rate::{Rate, SourceBucket};

/// A source, by name, for as long as the process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(u32);

/// What a policy says about limits: `[limit]`, `[network]` and `[mode] limit`.
#[derive(Debug, Clone)]
pub struct SourceRules {
    /// Per client, before authentication.
    pub client: Rate,
    /// For all clients together, after authentication.
    pub source: Rate,
    /// The budget of failed authentications, per client.
    pub failures: FailureRule,
    /// How many authenticated deliveries at the same time.
    pub in_flight_max: NonZeroU32,
    /// Who may send.
    pub networks: NetworkRules,
    /// What happens to a delivery over one of the two rates.
    pub rate_mode: RateMode,
}

/// What happens to a delivery over a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateMode {
    /// It is refused.
    Enforce,
    /// It goes on, and what would have refused it is recorded.
    Monitor,
}

/// The compiled limits of one source. Belongs to a policy; shares its counts with those of the policy before.
#[derive(Debug)]
pub struct SourceLimits {
    pub(super) id: SourceId,
    pub(super) client: Rate,
    pub(super) bucket: Arc<SourceBucket>,
    pub(super) failures: FailureRule,
    pub(super) in_flight: Gauge,
    pub(super) excess: Gauge,
    pub(super) networks: NetworkRules,
    pub(super) rate_mode: RateMode,
}

/// All sources there were since the process began, by name. It grows with the names that operators write, with
/// nothing else.
#[derive(Debug, Default)]
pub(super) struct Registry {
    sources: Mutex<HashMap<Box<str>, Remembered>>,
}

/// What is kept of a source between policies.
#[derive(Debug)]
struct Remembered {
    id: SourceId,
    in_flight: Gauge,
    excess: Gauge,
    /// The buckets that some policy still uses: that of the policy in force, and during a reload that of the next.
    buckets: Vec<Weak<SourceBucket>>,
}

impl SourceId {
    /// An id that is not in any registry, for tests and for judging recorded requests.
    #[must_use]
    pub const fn new(id: u32) -> Self {
        Self(id)
    }
}

impl SourceLimits {
    /// Which source: the first part of a replay claim's key.
    #[must_use]
    pub const fn id(&self) -> SourceId {
        self.id
    }

    /// How many of its deliveries are in flight after authentication, for metrics.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.in_flight()
    }
}

impl Registry {
    pub(super) fn limits(&self, name: &str, rules: SourceRules) -> SourceLimits {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let next = SourceId(u32::try_from(sources.len()).unwrap_or(u32::MAX));
        let remembered = sources.entry(name.into()).or_insert_with(|| Remembered::new(next, rules.in_flight_max));
        SourceLimits {
            id: remembered.id,
            client: rules.client,
            bucket: remembered.bucket(rules.source),
            failures: rules.failures,
            in_flight: remembered.in_flight.with_max(rules.in_flight_max),
            excess: remembered.excess.clone(),
            networks: rules.networks,
            rate_mode: rules.rate_mode,
        }
    }
}

impl Remembered {
    fn new(id: SourceId, in_flight_max: NonZeroU32) -> Self {
        Self { id, in_flight: Gauge::new(in_flight_max), excess: Gauge::new(EXCESS_MAX), buckets: Vec::new() }
    }

    /// The bucket in use for this rate, or a full one.
    fn bucket(&mut self, rate: Rate) -> Arc<SourceBucket> {
        self.buckets.retain(|bucket| bucket.strong_count() > 0);
        let in_use = self.buckets.iter().filter_map(Weak::upgrade).find(|bucket| bucket.rate() == rate);
        in_use.unwrap_or_else(|| {
            let bucket = Arc::new(SourceBucket::new(rate));
            self.buckets.push(Arc::downgrade(&bucket));
            bucket
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn rules(per_second: u32, in_flight_max: u32) -> SourceRules {
        let number = |n| NonZeroU32::new(n).unwrap();
        SourceRules {
            client: Rate { per_second: number(1), burst: number(1) },
            source: Rate { per_second: number(per_second), burst: number(1) },
            failures: FailureRule {
                per_minute: number(1),
                block_time: Duration::from_secs(1),
                block_time_max: Duration::from_secs(1),
            },
            in_flight_max: number(in_flight_max),
            networks: NetworkRules::default(),
            rate_mode: RateMode::Enforce,
        }
    }

    #[test]
    fn a_source_is_the_same_as_long_as_its_name_is() {
        let registry = Registry::default();
        let [github, stripe, again] =
            ["github", "stripe", "github"].map(|name| registry.limits(name, rules(1, 1)).id());
        assert_eq!(github, again);
        assert_ne!(github, stripe);
    }

    #[test]
    fn a_reload_keeps_the_bucket_unless_its_rate_changed() {
        let registry = Registry::default();
        let before = registry.limits("github", rules(1, 1));
        assert!(before.bucket.take(Duration::ZERO).is_ok());
        let refused = registry.limits("github", rules(2, 1));
        assert!(refused.bucket.take(Duration::ZERO).is_ok(), "another rate: a full bucket");
        drop(refused);
        let after = registry.limits("github", rules(1, 9));
        drop(before);
        assert!(after.bucket.take(Duration::ZERO).is_err(), "the same rate, also after a reload that failed");
        assert_eq!(registry.sources.lock().unwrap()["github"].buckets.len(), 1, "the refused one is let go");
    }

    #[test]
    fn a_reload_keeps_what_is_in_flight() {
        let registry = Registry::default();
        let seat = registry.limits("github", rules(1, 1)).in_flight.try_enter();
        let after = registry.limits("github", rules(1, 1));
        assert!(after.in_flight.try_enter().is_none());
        drop(seat);
        assert!(after.in_flight.try_enter().is_some());
    }
}
