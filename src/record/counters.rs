//! The numbers behind the metrics: plain atomics, one set per worker and source.
//!
//! A worker only ever adds to counters of its own, so no cache line travels between workers; a scrape adds them up. A
//! source's block is made when a worker first sees the source (about half a kilobyte), its rows of reasons and of rules when it first
//! refuses or edits something, so ten thousand idle policies cost nothing.
//!
//! **Invariant:** a series' labels come from closed sets: names of loaded policies (at most [`SOURCES_MAX`]), codes of the
//! reason table, names of the sanitizer's rules, outcomes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::delivery::{Delivery, Outcome};
use crate::reason::{Blame, Reason};
use crate::sanitize::Rule;
use crate::text::micros;

/// How many names of sources are told apart, over all reloads of a process; those past it share one series.
pub(super) const SOURCES_MAX: usize = 16_384;

/// The label of what has no source.
const NO_SOURCE: &str = "";
/// The label of the sources past [`SOURCES_MAX`]; a policy's file name cannot hold parentheses and be this by chance.
const OTHER_SOURCES: &str = "(other)";

/// Upper bounds of the duration histograms, in microseconds: half a millisecond to half a minute.
pub(super) const SECONDS_BOUNDS: [u64; 15] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000,
];
/// Upper bounds of the histogram of body sizes, in bytes: 256 B to 4 MiB.
pub(super) const BYTES_BOUNDS: [u64; 8] = [256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304];

/// A count for each reason.
pub(super) type Reasons = Box<[AtomicU64; Reason::COUNT]>;

/// What one worker counted of one source.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) source: Arc<str>,
    pub(super) accepted: AtomicU64,
    pub(super) answered: AtomicU64,
    pub(super) rejected: OnceLock<Reasons>,
    pub(super) monitored: OnceLock<Reasons>,
    pub(super) edited: OnceLock<Box<[AtomicU64; Rule::COUNT]>>,
    pub(super) elapsed: Histogram<15>,
    pub(super) upstream: Histogram<15>,
    pub(super) body: Histogram<8>,
}

/// Counts of values by upper bound, and their sum. The number of values is not kept: it is the sum of the counts, so a
/// scrape in the middle of an update cannot see them differ.
#[derive(Debug)]
pub(super) struct Histogram<const BOUNDS: usize> {
    bounds: &'static [u64; BOUNDS],
    counts: [AtomicU64; BOUNDS],
    above: AtomicU64,
    sum: AtomicU64,
}

/// The names of all sources that were ever seen, and every worker's blocks.
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    slots: HashMap<Arc<str>, u32>,
    blocks: Vec<Arc<Block>>,
}

/// One worker's way from a source's name to its block.
#[derive(Debug)]
pub(super) struct Sources {
    by_name: HashMap<Arc<str>, Source, foldhash::fast::RandomState>,
    none: Source,
    other: Option<Source>,
}

/// A source as one worker knows it.
#[derive(Debug)]
pub(super) struct Source {
    /// The same number in every worker.
    pub(super) slot: u32,
    pub(super) block: Arc<Block>,
}

impl Block {
    fn new(source: Arc<str>) -> Self {
        Self {
            source,
            accepted: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            rejected: OnceLock::new(),
            monitored: OnceLock::new(),
            edited: OnceLock::new(),
            elapsed: Histogram::new(&SECONDS_BOUNDS),
            upstream: Histogram::new(&SECONDS_BOUNDS),
            body: Histogram::new(&BYTES_BOUNDS),
        }
    }

    /// Adds one delivery.
    ///
    /// Refusals that are the sender's own fault have no place in the durations: a flood of cheap ones would hide what
    /// genuine deliveries wait for.
    pub(super) fn add(&self, delivery: &Delivery<'_>) {
        let timed = match delivery.outcome {
            Outcome::Forwarded => {
                self.accepted.fetch_add(1, Relaxed);
                true
            }
            Outcome::Answered => {
                self.answered.fetch_add(1, Relaxed);
                true
            }
            Outcome::Rejected(rejection) => {
                let reason = rejection.reason();
                count(&self.rejected, reason);
                reason.row().blame != Blame::Sender
            }
        };
        for finding in delivery.monitored {
            count(&self.monitored, finding.reason());
        }
        for (rule, count) in delivery.edits.by_rule() {
            self.rules()[rule as usize].fetch_add(u64::from(count), Relaxed);
        }
        if timed {
            self.elapsed.add(micros(delivery.elapsed));
        }
        if let Some(upstream) = delivery.upstream {
            self.upstream.add(micros(upstream.elapsed));
        }
        if let Some(bytes) = delivery.body_bytes() {
            self.body.add(bytes);
        }
    }

    fn rules(&self) -> &[AtomicU64; Rule::COUNT] {
        self.edited.get_or_init(|| Box::new([const { AtomicU64::new(0) }; Rule::COUNT]))
    }
}

fn count(reasons: &OnceLock<Reasons>, reason: Reason) {
    let reasons = reasons.get_or_init(|| Box::new([const { AtomicU64::new(0) }; Reason::COUNT]));
    reasons[reason as usize].fetch_add(1, Relaxed);
}

impl<const BOUNDS: usize> Histogram<BOUNDS> {
    const fn new(bounds: &'static [u64; BOUNDS]) -> Self {
        Self { bounds, counts: [const { AtomicU64::new(0) }; BOUNDS], above: AtomicU64::new(0), sum: AtomicU64::new(0) }
    }

    fn add(&self, value: u64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        self.counts.get(place).unwrap_or(&self.above).fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    /// Upper bounds with the number of values below or at them and above the one before; what is above all comes last.
    pub(super) fn counts(&self) -> impl Iterator<Item = u64> {
        self.counts.iter().chain([&self.above]).map(|count| count.load(Relaxed))
    }

    /// The sum of all values.
    pub(super) fn sum(&self) -> u64 {
        self.sum.load(Relaxed)
    }
}

impl Registry {
    /// A copy of the list of all blocks. Workers wait for this lock only when they see a source for the first time.
    pub(super) fn blocks(&self) -> Vec<Arc<Block>> {
        self.known().blocks.clone()
    }

    /// A new block for one worker. A new name when there is no room for one more gets a block of [`OTHER_SOURCES`].
    fn add_block(&self, name: &str) -> Source {
        let mut known = self.known();
        let full = known.slots.len() >= SOURCES_MAX && !known.slots.contains_key(name);
        let name: Arc<str> = if full { OTHER_SOURCES } else { name }.into();
        let next = u32::try_from(known.slots.len()).unwrap_or(u32::MAX);
        let slot = *known.slots.entry(Arc::clone(&name)).or_insert(next);
        let block = Arc::new(Block::new(name));
        known.blocks.push(Arc::clone(&block));
        Source { slot, block }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sources {
    pub(super) fn new(registry: &Registry) -> Self {
        Self { by_name: HashMap::default(), none: registry.add_block(NO_SOURCE), other: None }
    }

    /// The source of this name; a name seen for the first time is made known to the registry.
    pub(super) fn find(&mut self, name: Option<&str>, registry: &Registry) -> &Source {
        let Some(name) = name else { return &self.none };
        if !self.by_name.contains_key(name) {
            // Once there is no room, unknown names do not ask again: it is a lock that all workers share.
            if self.other.is_none() {
                let source = registry.add_block(name);
                if *source.block.source != *name {
                    return self.other.insert(source);
                }
                self.by_name.insert(Arc::clone(&source.block.source), source);
            }
        }
        self.by_name.get(name).or(self.other.as_ref()).unwrap_or(&self.none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::{forwarded, refused};
    use crate::rejection::Rejection;

    #[test]
    fn a_value_is_counted_under_the_first_bound_that_it_does_not_exceed() {
        for (value, place) in [(0, 0), (255, 0), (256, 0), (257, 1), (4_194_304, 7), (4_194_305, 8), (u64::MAX, 8)] {
            let histogram = Histogram::new(&BYTES_BOUNDS);
            histogram.add(value);
            let counts: Vec<_> = histogram.counts().collect();
            assert_eq!(counts.iter().position(|count| *count == 1), Some(place), "{value}");
            assert_eq!(histogram.sum(), value);
        }
    }

    #[test]
    fn a_source_keeps_its_slot_over_workers_and_has_one_block_for_each() {
        let registry = Registry::default();
        let [mut first, mut second] = [Sources::new(&registry), Sources::new(&registry)];
        let slots = [
            first.find(Some("github"), &registry).slot,
            second.find(Some("stripe"), &registry).slot,
            second.find(Some("github"), &registry).slot,
            first.find(None, &registry).slot,
            second.find(None, &registry).slot,
            first.find(Some("github"), &registry).slot,
        ];
        assert_eq!(slots, [1, 2, 1, 0, 0, 1]);
        assert_eq!(registry.blocks().len(), 5);
    }

    #[test]
    fn names_past_the_limit_share_one_series() {
        let registry = Registry::default();
        let mut sources = Sources::new(&registry);
        // The name of "no source" is one of them.
        for number in 0..SOURCES_MAX - 1 {
            let name = number.to_string();
            assert_eq!(&*sources.find(Some(&name), &registry).block.source, name);
        }
        for name in ["one more", "two more"] {
            assert_eq!(&*sources.find(Some(name), &registry).block.source, OTHER_SOURCES, "{name}");
        }
        assert_eq!(&*sources.find(Some("7"), &registry).block.source, "7");
        assert_eq!(registry.blocks().len(), SOURCES_MAX + 1);
    }

    #[test]
    fn durations_leave_out_what_the_sender_did_wrong() {
        let rows = [(Reason::CredentialMismatch, 0), (Reason::UpstreamTimeout, 1), (Reason::DeadlineExceeded, 1)];
        for (reason, timed) in rows {
            let block = Block::new("github".into());
            let rejection = Rejection::new(reason);
            block.add(&refused(&rejection));
            assert_eq!(block.elapsed.counts().sum::<u64>(), timed, "{}", reason.code());
        }
        let block = Block::new("github".into());
        block.add(&forwarded());
        assert_eq!(block.elapsed.counts().sum::<u64>(), 1);
        assert!(block.rejected.get().is_none(), "no row of reasons before the first refusal");
    }
}
