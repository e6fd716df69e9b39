//! A table that cannot grow past its capacity, whoever chooses the keys.
//!
//! The limits of [`admit`](crate::admit) and everything else that remembers something per client stand on it: rate
//! buckets, failures, marks, replay claims. Anybody on the Internet may make up keys, so the table is sharded (no lock
//! that all deliveries share), hashed with a random seed (keys cannot be crafted to meet in one chain), and full at a
//! fixed count. A new entry in a full shard takes the place of one whose time is over, or else of the most idle of the
//! [`WINDOW`] entries under a hand that goes round: constant work, no scan, no background task. The hand goes round in
//! step with the evictions, so an entry is lost only once all its neighbours under the hand were used after it; a flood
//! of new keys therefore pushes out itself and what nobody uses, not what is in use.
//!
//! It reads no clock: time is the caller's, a monotonic [`Duration`] since the process began. It must never allocate
//! for a key: all places are set aside when the table is made (address space, which the system backs with memory as
//! the places are used for the first time).
//!
//! **Invariant:** a table holds at most [`Bounded::capacity`] entries, and a call looks at one hash chain and [`WINDOW`]
//! places. Only [`Entry::try_put`] into a full shard may look through the whole shard (a 64th of the table), and in vain
//! at most once a second.
//!
//! Memory: an entry costs key + value + 12 bytes, rounded up to their alignment, and 4 to 8 bytes of chain heads
//! ([`Bounded::ENTRY_BYTES`]). A million entries cost 44 MB where key and value have 24 bytes, 64 MB where they have 40.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::quality::RandomState;

/// A sharded map of fixed capacity whose entries end at a given time.
///
/// Keys and values are small and `Copy`: they are handed out by value under the shard's lock.
pub struct Bounded<K, V> {
    shards: Box<[Aligned<K, V>]>,
    hasher: RandomState,
    capacity: u32,
}

/// One key's place in the table, held under the lock of its shard.
///
/// What is done with it has to be short and must not touch the same table again: that would deadlock.
pub struct Entry<'a, K, V> {
    shard: &'a mut Shard<K, V>,
    hasher: &'a RandomState,
    key: K,
    hash: u64,
    found: Option<u32>,
    now: u32,
}

/// There was no place for a new entry that may not push out a live one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl<K: Copy + Eq + Hash, V: Copy> Bounded<K, V> {
    /// What an entry costs at the worst, in bytes.
    pub const ENTRY_BYTES: usize = size_of::<Slot<K, V>>() + 2 * size_of::<u32>();

    /// A table for `capacity` entries, rounded up to a multiple of the number of shards (64, fewer for small tables).
    #[must_use]
    pub fn new(capacity: NonZeroU32) -> Self {
        let shards = 1_u32 << (capacity.get() / SHARD_ENTRIES_MIN).clamp(1, SHARDS_MAX).ilog2();
        let per_shard = capacity.get().div_ceil(shards).min(SHARD_ENTRIES_MAX);
        Self {
            shards: (0..shards).map(|_| Aligned(Mutex::new(Shard::new(per_shard)))).collect(),
            hasher: RandomState::default(),
            capacity: per_shard * shards,
        }
    }

    /// Does something with the place of `key`, under the lock of its shard. An entry whose time is over at `now` is
    /// removed first; one that is found counts as used.
    pub fn with<R>(&self, key: &K, now: Duration, work: impl FnOnce(Entry<'_, K, V>) -> R) -> R {
        let hash = self.hasher.hash_one(key);
        let now = now.as_secs().try_into().unwrap_or(NEVER);
        let mut shard = self.shard(hash);
        let found = shard.find(hash, key, now);
        work(Entry { shard: &mut shard, hasher: &self.hasher, key: *key, hash, found, now })
    }

    /// The value of `key` at `now`, counted as a use.
    pub fn get(&self, key: &K, now: Duration) -> Option<V> {
        self.with(key, now, |entry| entry.get())
    }

    /// Forgets the entry of `key`, if there is one. Needs no time: what is over may go too.
    pub fn remove(&self, key: &K) {
        let hash = self.hasher.hash_one(key);
        let mut shard = self.shard(hash);
        if let Some(place) = shard.find(hash, key, 0) {
            shard.release(hash, place);
        }
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard<K, V>> {
        self.shards[index(hash >> 32, self.shards.len())].lock()
    }

    /// How many entries it can hold.
    #[must_use]
    pub const fn capacity(&self) -> u32 {
        self.capacity
    }

    /// How many entries it holds, with those whose time is over but whose place was not needed yet. Locks every shard
    /// in turn: for metrics and tests.
    #[must_use]
    pub fn held(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().held as usize).sum()
    }
}

impl<K: Copy + Eq + Hash, V: Copy> Entry<'_, K, V> {
    /// The value, if the key has an entry.
    #[must_use]
    pub fn get(&self) -> Option<V> {
        self.found.map(|place| self.shard.slots[place as usize].value)
    }

    /// Whether the entry's time is over at `now`, which may be later than the time at which the table was asked for it; so it is of a key without one.
    #[must_use]
    pub fn is_over(&self, now: Duration) -> bool {
        self.found
            .is_none_or(|place| self.shard.slots[place as usize].expires <= now.as_secs().try_into().unwrap_or(NEVER))
    }

    /// Writes the value, to be kept until `expires` (process time, rounded up to a whole second; [`Duration::MAX`]:
    /// for ever). In a full shard a new entry pushes out the most idle one under the hand.
    pub fn put(mut self, value: V, expires: Duration) {
        if let Err(Full) = self.write(value, expires, WhenFull::Evict) {
            debug_assert!(false, "invariant: a full shard has something to evict");
        }
    }

    /// Like [`put`](Self::put), but only a place that is free or whose entry's time is over will do.
    ///
    /// # Errors
    /// [`Full`] if the shard is full of entries whose time is not over.
    pub fn try_put(mut self, value: V, expires: Duration) -> Result<(), Full> {
        self.write(value, expires, WhenFull::Refuse)
    }

    fn write(&mut self, value: V, expires: Duration, when_full: WhenFull) -> Result<(), Full> {
        let expires = whole_seconds(expires);
        if let Some(place) = self.found {
            let slot = &mut self.shard.slots[place as usize];
            (slot.value, slot.expires) = (value, expires);
            self.shard.none_over_before = self.shard.none_over_before.min(expires);
            return Ok(());
        }
        let slot = Slot { key: self.key, value, expires, used: 0, next: END };
        self.shard.insert(self.hash, slot, self.now, when_full, self.hasher)
    }
}

/// How many entries the hand looks at in one go.
pub const WINDOW: u32 = 8;

const SHARDS_MAX: u32 = 64;
const SHARD_ENTRIES_MIN: u32 = 64;
const SHARD_ENTRIES_MAX: u32 = u32::MAX / SHARDS_MAX - 1;

/// The expiry of an entry that is kept until it is removed.
const NEVER: u32 = u32::MAX;

/// The expiry of a place that is free. No entry has it: expiries are at least one second after the start.
const FREE: u32 = 0;

/// A link to no slot. Links are places plus one, so that chain heads begin as zeroed memory.
const END: u32 = 0;

#[derive(Clone, Copy)]
enum WhenFull {
    Evict,
    Refuse,
}

/// A shard on cache lines of its own, so that neighbours' locks do not slow each other down.
#[repr(align(128))]
struct Aligned<K, V>(Mutex<Shard<K, V>>);

impl<K, V> Aligned<K, V> {
    /// A poisoned shard is whole: nothing here panics between two writes that belong together.
    fn lock(&self) -> MutexGuard<'_, Shard<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hash chains through an array of slots; free slots form a chain too.
struct Shard<K, V> {
    heads: Box<[u32]>,
    slots: Vec<Slot<K, V>>,
    capacity: u32,
    held: u32,
    free: u32,
    hand: u32,
    uses: u32,
    /// No entry's time is over before this second: learnt by looking in vain, so that it is not done again too soon.
    none_over_before: u32,
}

struct Slot<K, V> {
    key: K,
    value: V,
    expires: u32,
    /// The shard's count of uses when this entry was last used. It wraps: an entry left alone for 2³² uses of its
    /// shard looks fresh again, which costs nothing but one later eviction.
    used: u32,
    next: u32,
}

impl<K: Copy + Eq + Hash, V: Copy> Shard<K, V> {
    fn new(capacity: u32) -> Self {
        Self {
            heads: vec![END; capacity.next_power_of_two() as usize].into_boxed_slice(),
            slots: Vec::with_capacity(capacity as usize),
            capacity,
            held: 0,
            free: END,
            hand: 0,
            uses: 0,
            none_over_before: 0,
        }
    }

    fn find(&mut self, hash: u64, key: &K, now: u32) -> Option<u32> {
        let mut link = self.heads[index(hash, self.heads.len())];
        while link != END {
            let slot = &mut self.slots[(link - 1) as usize];
            if slot.key == *key {
                if slot.expires <= now {
                    self.release(hash, link - 1);
                    return None;
                }
                self.uses = self.uses.wrapping_add(1);
                slot.used = self.uses;
                return Some(link - 1);
            }
            link = slot.next;
        }
        None
    }

    fn insert(
        &mut self,
        hash: u64,
        mut slot: Slot<K, V>,
        now: u32,
        when_full: WhenFull,
        hasher: &RandomState,
    ) -> Result<(), Full> {
        self.uses = self.uses.wrapping_add(1);
        slot.used = self.uses;
        let expires = slot.expires;
        let head = index(hash, self.heads.len());
        let place = if self.make_room(now, when_full, hasher) {
            let place = self.free - 1;
            self.free = self.slots[place as usize].next;
            slot.next = self.heads[head];
            self.slots[place as usize] = slot;
            place
        } else if self.has_unused() {
            slot.next = self.heads[head];
            self.slots.push(slot);
            u32::try_from(self.slots.len() - 1).unwrap_or(SHARD_ENTRIES_MAX)
        } else {
            return Err(Full);
        };
        self.heads[head] = place + 1;
        self.held += 1;
        self.none_over_before = self.none_over_before.min(expires);
        Ok(())
    }

    /// Sees to it that the free chain has a place, unless unused slots are left at the end or nothing may go.
    fn make_room(&mut self, now: u32, when_full: WhenFull, hasher: &RandomState) -> bool {
        if self.free != END {
            return true;
        }
        let idlest = self.sweep(now, hasher);
        if self.free != END || self.has_unused() {
            return self.free != END;
        }
        match (when_full, idlest) {
            (WhenFull::Evict, Some(place)) => {
                let hash = hasher.hash_one(self.slots[place as usize].key);
                self.release(hash, place);
                true
            }
            (WhenFull::Evict, None) | (WhenFull::Refuse, _) => self.sweep_all(now, hasher),
        }
    }

    /// Sweeps on until something is freed; if nothing can be, remembers until when.
    fn sweep_all(&mut self, now: u32, hasher: &RandomState) -> bool {
        if now < self.none_over_before {
            return false;
        }
        for _ in 0..self.slots.len().div_ceil(WINDOW as usize) {
            self.sweep(now, hasher);
            if self.free != END {
                return true;
            }
        }
        self.none_over_before = self.slots.iter().map(|slot| slot.expires).min().unwrap_or(0);
        false
    }

    fn has_unused(&self) -> bool {
        self.slots.len() < self.capacity as usize
    }

    /// Moves the hand over one window, frees what is over, and says which of the rest was not used for the longest.
    fn sweep(&mut self, now: u32, hasher: &RandomState) -> Option<u32> {
        let count = u32::try_from(self.slots.len()).unwrap_or(SHARD_ENTRIES_MAX);
        let mut idlest = None;
        for _ in 0..WINDOW.min(count) {
            let place = self.hand;
            self.hand = if place + 1 < count { place + 1 } else { 0 };
            let slot = &self.slots[place as usize];
            let idle = self.uses.wrapping_sub(slot.used);
            if slot.expires == FREE {
                continue;
            }
            if slot.expires <= now {
                let hash = hasher.hash_one(slot.key);
                self.release(hash, place);
            } else if idlest.is_none_or(|(_, longest)| idle > longest) {
                idlest = Some((place, idle));
            }
        }
        idlest.map(|(place, _)| place)
    }

    /// Takes a place out of its hash chain and puts it on the free chain.
    fn release(&mut self, hash: u64, place: u32) {
        let (link, next) = (place + 1, self.slots[place as usize].next);
        let head = index(hash, self.heads.len());
        if self.heads[head] == link {
            self.heads[head] = next;
        } else {
            let mut before = self.heads[head];
            while before != END && self.slots[(before - 1) as usize].next != link {
                before = self.slots[(before - 1) as usize].next;
            }
            debug_assert_ne!(before, END, "invariant: an entry stands in the chain of its hash");
            if before == END {
                return;
            }
            self.slots[(before - 1) as usize].next = next;
        }
        let slot = &mut self.slots[place as usize];
        (slot.expires, slot.next) = (FREE, self.free);
        self.free = link;
        self.held -= 1;
    }
}

/// The low bits of a hash as a position among `count`, a power of two.
#[expect(clippy::cast_possible_truncation, reason = "the mask keeps bits of a usize only")]
const fn index(hash: u64, count: usize) -> usize {
    (hash as usize) & (count - 1)
}

/// When an entry ends, in whole seconds and never too early.
fn whole_seconds(expires: Duration) -> u32 {
    let seconds = expires.as_secs().saturating_add(u64::from(expires.subsec_nanos() > 0));
    seconds.clamp(1, u64::from(NEVER)).try_into().unwrap_or(NEVER)
}

impl<K, V> fmt::Debug for Bounded<K, V> {
    /// The size alone: entries may be worth hiding, and locking them for a log line is not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bounded").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::Arc;

    const LONG: Duration = Duration::from_secs(1_000_000);

    fn table(capacity: u32) -> Bounded<u32, u32> {
        Bounded::new(NonZeroU32::new(capacity).unwrap())
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn held(table: &Bounded<u32, u32>, keys: impl Iterator<Item = u32>, now: Duration) -> HashSet<u32> {
        keys.filter(|key| table.get(key, now).is_some()).collect()
    }

    #[test]
    fn nothing_is_lost_up_to_the_capacity_and_one_entry_beyond_it() {
        for (count, lost) in [(49, 0), (50, 0), (51, 1), (52, 2)] {
            let table = table(50);
            for key in 0..count {
                table.with(&key, at(0), |entry| entry.put(key * 10, LONG));
            }
            let kept = held(&table, 0..count, at(0));
            assert_eq!(kept.len(), (count - lost) as usize, "{count} entries");
            assert!(kept.contains(&(count - 1)), "the newest of {count} entries");
            assert_eq!(table.held(), kept.len(), "{count} entries");
        }
    }

    #[test]
    fn an_entry_ends_at_its_time_and_not_before() {
        let rows = [
            ("just before", 10_000, 9_999, true),
            ("at the end", 10_000, 10_000, false),
            ("a part of a second counts as a whole one", 9_001, 9_999, true),
            ("an end before the start", 0, 999, true),
            ("an end before the start, a second later", 0, 1_000, false),
        ];
        for (name, expires, now, there) in rows {
            let table = table(10);
            table.with(&1, at(0), |entry| entry.put(1, Duration::from_millis(expires)));
            assert_eq!(table.get(&1, Duration::from_millis(now)).is_some(), there, "{name}");
        }
        let table = table(10);
        table.with(&1, at(0), |entry| entry.put(1, Duration::MAX));
        assert_eq!(table.get(&1, at(u64::from(NEVER) - 1)), Some(1), "kept for ever");
    }

    #[test]
    fn an_entry_tells_whether_it_is_over_by_another_clock() {
        let table = table(10);
        table.with(&1, at(0), |entry| entry.put(1, at(10)));
        table.with(&2, at(0), |entry| entry.put(1, Duration::MAX));
        let is_over = |key, now| table.with(&key, at(0), |entry| entry.is_over(at(now)));
        assert_eq!([9, 10, 11].map(|now| is_over(1, now)), [false, true, true]);
        assert_eq!([0, u64::from(NEVER) - 1].map(|now| is_over(2, now)), [false, false], "kept for ever");
        assert!(is_over(3, 0), "there is none");
    }

    #[test]
    fn an_entry_in_use_outlives_a_flood_of_new_ones() {
        let table = table(64);
        table.with(&u32::MAX, at(0), |entry| entry.put(7, LONG));
        for key in 0..100_000 {
            table.with(&key, at(0), |entry| entry.put(0, LONG));
            if key % 32 == 0 {
                assert_eq!(table.get(&u32::MAX, at(0)), Some(7), "after {key} new entries");
            }
        }
        assert_eq!(table.held(), 64);
        for key in 0..1_000 {
            table.with(&key, at(0), |entry| entry.put(0, LONG));
        }
        assert_eq!(table.get(&u32::MAX, at(0)), None, "left alone, it goes");
    }

    #[test]
    fn entries_whose_time_is_over_go_first() {
        let table = table(8);
        for key in 0..8 {
            table.with(&key, at(0), |entry| entry.put(0, if key == 5 { at(10) } else { LONG }));
        }
        table.with(&100, at(10), |entry| entry.put(0, LONG));
        let expected = [0, 1, 2, 3, 4, 6, 7, 100].into_iter().collect();
        assert_eq!(held(&table, 0..101, at(10)), expected);
    }

    #[test]
    fn places_are_used_again_before_the_table_grows() {
        let table = table(50_000);
        for second in 0..1_000_u32 {
            for key in 0..64 {
                table.with(&(second * 64 + key), at(u64::from(second)), |entry| {
                    entry.put(0, at(u64::from(second) + 4));
                });
            }
        }
        assert!(table.held() < 1_000, "{} places held for 256 live entries", table.held());
    }

    #[test]
    fn try_put_refuses_rather_than_pushing_out_a_live_entry() {
        let table = table(50);
        for key in 0..50 {
            assert_eq!(table.with(&key, at(0), |entry| entry.try_put(0, at(100))), Ok(()), "entry {key}");
        }
        assert_eq!(table.with(&50, at(99), |entry| entry.try_put(0, at(200))), Err(Full));
        assert_eq!(table.with(&49, at(99), |entry| entry.try_put(1, at(100))), Ok(()), "an entry that is there");
        table.remove(&7);
        assert_eq!(table.with(&50, at(99), |entry| entry.try_put(0, at(200))), Ok(()), "a removed entry's place");
        assert_eq!(table.with(&51, at(99), |entry| entry.try_put(0, at(200))), Err(Full));
        assert_eq!(table.with(&51, at(100), |entry| entry.try_put(0, at(200))), Ok(()), "an ended entry's place");
        assert_eq!(held(&table, 0..52, at(100)), [50, 51].into_iter().collect());
    }

    #[test]
    fn it_agrees_with_a_plain_map_while_there_is_room() {
        let (table, mut map) = (table(4_096), std::collections::HashMap::new());
        let mut state = 1_u32;
        for step in 0..50_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let key = (state >> 8) % 512;
            match state >> 30 {
                0 => {
                    table.remove(&key);
                    map.remove(&key);
                }
                1 => assert_eq!(table.get(&key, at(0)), map.get(&key).copied(), "step {step}"),
                _ => {
                    table.with(&key, at(0), |entry| entry.put(step, LONG));
                    map.insert(key, step);
                }
            }
            assert!(step % 1_000 != 0 || table.held() == map.len(), "step {step}");
        }
    }

    #[test]
    fn a_large_table_holds_no_more_than_its_capacity() {
        let table = table(10_000);
        for key in 0..100_000 {
            table.with(&key, at(0), |entry| entry.put(0, LONG));
        }
        assert_eq!(table.capacity(), 10_048, "64 shards of 157");
        assert_eq!(table.held(), 10_048);
    }

    #[test]
    fn threads_count_without_losing_an_update() {
        let table = Arc::new(table(1_000));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let table = Arc::clone(&table);
                std::thread::spawn(move || {
                    for step in 0..10_000_u32 {
                        table.with(&(step % 10), at(0), |entry| {
                            let count = entry.get().unwrap_or(0);
                            entry.put(count + 1, LONG);
                        });
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!((0..10).map(|key| table.get(&key, at(0)).unwrap()).sum::<u32>(), 40_000);
    }
}
