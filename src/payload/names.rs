//! Member names: no object may have one twice, and looking one up must not take a walk through a large object.
//!
//! Apps disagree on which of two members of one name counts, so such a document would mean one thing here and another
//! upstream. Names are compared as they read, not as they are spelled: `"a"` and `"\u0061"` are the same.
//!
//! Every name has a fingerprint, a hash with a seed that lives as long as the process and is never shown. When an object
//! closes, a small one compares the fingerprints of its names with one another; a larger one enters its names into a hash
//! table, which finds a twin on the way and is kept for lookups.
//!
//! **Invariant:** reading and finding names is linear in the body. Were somebody to make fingerprints collide after all,
//! the object would be sorted instead of hashed.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hasher as _};
use std::sync::LazyLock;

use foldhash::quality::RandomState;

use super::scan::{unescape, unescape_into};
use super::tape::{Entry, narrow};

/// The tables of all large objects that were closed, and the seed of their fingerprints.
#[derive(Debug)]
pub(super) struct Names {
    seed: RandomState,
    tables: Vec<u32>,
    /// Where names with escapes are decoded.
    decoded: Vec<u8>,
}

/// A name that its object has already.
#[derive(Debug, Clone, Copy)]
pub(super) struct Twice(pub(super) Entry);

/// Objects with more members get a table.
const SMALL_MAX: u32 = 8;

/// How many places of a table are tried for one name. A table is at most half full, so even a large one needs about ten.
const PROBES_MAX: usize = 64;

/// One seed for the life of the process, because fingerprints prepared with a policy are compared with those of documents.
static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// The fingerprint of a name that reads like `name`.
pub(super) fn fingerprint(name: &[u8]) -> u32 {
    seeded(&SEED, name)
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "half of a hash is one, too")]
fn seeded(seed: &RandomState, name: &[u8]) -> u32 {
    let mut hasher = seed.build_hasher();
    hasher.write(name);
    hasher.finish() as u32
}

impl Names {
    pub(super) fn new() -> Self {
        Self { seed: SEED.clone(), tables: Vec::new(), decoded: Vec::new() }
    }

    /// [`fingerprint`] of a name without escapes, with the seed at hand.
    #[inline]
    pub(super) fn fingerprint(&self, name: &[u8]) -> u32 {
        seeded(&self.seed, name)
    }

    /// [`fingerprint`] of a name with escapes, as it is spelled.
    #[cold]
    pub(super) fn fingerprint_escaped(&mut self, spelled: &[u8]) -> u32 {
        self.decoded.clear();
        unescape_into(&mut self.decoded, spelled);
        seeded(&self.seed, &self.decoded)
    }

    /// Checks the `count` names of the object at entry `object`, all of which are on the tape.
    ///
    /// # Errors
    ///
    /// The first name that the object had already.
    #[inline]
    pub(super) fn check(&mut self, text: &[u8], tape: &mut [Entry], object: usize, count: u32) -> Result<(), Twice> {
        if count > SMALL_MAX {
            return enter(&mut self.tables, text, tape, object, count);
        }
        if any_alike(names_of(tape, object, count).map(|key| tape[key].fingerprint())) {
            return compare(text, tape, object, count);
        }
        Ok(())
    }

    /// The tables of all large objects.
    pub(super) fn into_tables(self) -> Vec<u32> {
        self.tables
    }
}

/// The entries of an object's names, in order.
#[inline]
fn names_of(tape: &[Entry], object: usize, count: u32) -> impl Iterator<Item = usize> + Clone {
    let mut next = object + 1;
    (0..count).map(move |_| {
        let key = next;
        next = tape[key + 1].next() as usize;
        key
    })
}

/// Whether two fingerprints may be equal: they surely are not where their lowest bits differ.
#[inline]
fn any_alike(fingerprints: impl Iterator<Item = u32>) -> bool {
    let mut seen = 0_u64;
    let mut alike = false;
    for fingerprint in fingerprints {
        let bit = 1 << (fingerprint & 63);
        alike |= seen & bit != 0;
        seen |= bit;
    }
    alike
}

/// Compares a few names, each with all before it.
#[cold]
fn compare(text: &[u8], tape: &[Entry], object: usize, count: u32) -> Result<(), Twice> {
    for (before, key) in (0..).zip(names_of(tape, object, count)) {
        if names_of(tape, object, before).any(|other| same(tape[other], tape[key], text)) {
            return Err(Twice(tape[key]));
        }
    }
    Ok(())
}

/// Enters the names of a large object into a table of its own and leaves word of it at the first of them.
#[inline(never)]
fn enter(tables: &mut Vec<u32>, text: &[u8], tape: &mut [Entry], object: usize, count: u32) -> Result<(), Twice> {
    let start = tables.len();
    tables.resize(start + table_size(count), FREE);
    let table = &mut tables[start..];
    for key in names_of(tape, object, count) {
        match place(table, tape[key].fingerprint(), |other| same(tape[other as usize], tape[key], text)) {
            Place::Free(place) => table[place] = narrow(key),
            Place::Taken(_) => return Err(Twice(tape[key])),
            Place::TooFar => {
                tables.truncate(start);
                return sort(text, tape, object, count);
            }
        }
    }
    tape[object + 1].set_table(start);
    Ok(())
}

/// Checks names whose fingerprints collide beyond chance. Lookups in their object will walk.
#[cold]
fn sort(text: &[u8], tape: &[Entry], object: usize, count: u32) -> Result<(), Twice> {
    let mut sorted: Vec<_> = names_of(tape, object, count).map(|key| (spoken(tape[key], text), key)).collect();
    sorted.sort_unstable();
    let twins = sorted.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[1].1);
    twins.min().map_or(Ok(()), |key| Err(Twice(tape[key])))
}

/// Where a name's way through a table ends.
enum Place {
    Free(usize),
    Taken(u32),
    TooFar,
}

/// Marks a place of a table that has no entry: at 0 stands the outermost value, never a name.
const FREE: u32 = 0;

#[inline]
fn place(table: &[u32], fingerprint: u32, is_it: impl Fn(u32) -> bool) -> Place {
    let Some(last) = table.len().checked_sub(1) else { return Place::TooFar };
    let mut place = fingerprint as usize & last;
    for _ in 0..PROBES_MAX {
        match table[place & last] {
            FREE => return Place::Free(place),
            entry if is_it(entry) => return Place::Taken(entry),
            _ => place = (place + 1) & last,
        }
    }
    Place::TooFar
}

const fn table_size(names: u32) -> usize {
    (names as usize * 2).next_power_of_two()
}

/// The names of one closed object, at hand for lookups.
#[derive(Clone, Copy)]
pub(super) struct Lookup<'d> {
    text: &'d [u8],
    tape: &'d [Entry],
    /// The table of a large object; empty where there is none.
    table: &'d [u32],
    object: usize,
    count: u32,
}

impl<'d> Lookup<'d> {
    /// The names of the object at entry `object`.
    #[inline]
    pub(super) fn new(text: &'d [u8], tape: &'d [Entry], tables: &'d [u32], object: u32) -> Self {
        let object = object as usize;
        let count = tape[object].count();
        let start = if count > SMALL_MAX { tape[object + 1].table() } else { None };
        let table = start.and_then(|start| tables.get(start..start + table_size(count))).unwrap_or_default();
        Self { text, tape, table, object, count }
    }

    /// The entry of the name that reads like `name`; its value is the entry after it.
    #[inline]
    pub(super) fn find(&self, name: &[u8], fingerprint: u32) -> Option<u32> {
        let is_it = |key: u32| {
            let entry = self.tape[key as usize];
            entry.fingerprint() == fingerprint && reads(entry, self.text, name)
        };
        if self.table.is_empty() {
            return names_of(self.tape, self.object, self.count).map(narrow).find(|&key| is_it(key));
        }
        if let Place::Taken(key) = place(self.table, fingerprint, is_it) { Some(key) } else { None }
    }
}

#[inline]
fn reads(entry: Entry, text: &[u8], name: &[u8]) -> bool {
    if entry.mark() {
        return reads_escaped(entry, text, name);
    }
    alike(entry.inside(text), name)
}

#[cold]
fn reads_escaped(entry: Entry, text: &[u8], name: &[u8]) -> bool {
    unescape(entry.inside(text)) == name
}

/// Whether two names are the same. Most have up to 16 bytes: two words decide, without the call that comparing slices is.
#[inline]
pub(super) fn alike(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    match one.len() {
        4..=8 => ends::<4>(one) == ends::<4>(other),
        9..=16 => ends::<8>(one) == ends::<8>(other),
        _ => one == other,
    }
}

/// The first and the last bytes of a name, which may overlap.
#[inline]
fn ends<const LENGTH: usize>(name: &[u8]) -> Option<(&[u8; LENGTH], &[u8; LENGTH])> {
    Some((name.first_chunk()?, name.last_chunk()?))
}

#[inline]
fn same(one: Entry, other: Entry, text: &[u8]) -> bool {
    one.fingerprint() == other.fingerprint() && spoken(one, text) == spoken(other, text)
}

/// A name as it reads.
fn spoken(entry: Entry, text: &[u8]) -> Cow<'_, [u8]> {
    if entry.mark() { unescape(entry.inside(text)).into() } else { entry.inside(text).into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Kind;

    /// An object with these names, all of one fingerprint, as the tape has it before it is closed.
    fn object(names: &[String]) -> (Vec<u8>, Vec<Entry>) {
        let mut text = Vec::new();
        let mut tape = vec![Entry::open(Kind::Object, 0, 0)];
        for name in names {
            let start = text.len();
            text.extend_from_slice(format!("\"{name}\"").as_bytes());
            tape.push(Entry::name(start..text.len(), 7, name.contains('\\')));
            tape.push(Entry::scalar(Kind::Null, 0..0, tape.len(), false));
        }
        (text, tape)
    }

    #[test]
    fn names_with_one_fingerprint_are_still_told_apart() {
        for count in [2, 8, 9, 64, 65, 66, 1000] {
            let mut names: Vec<String> = (0..count).map(|index| format!("name {index}")).collect();
            let (text, mut tape) = object(&names);
            let mut checked = Names::new();
            assert!(checked.check(&text, &mut tape, 0, count).is_ok(), "{count} names");
            let end = tape.len();
            tape[0].close(text.len(), end, count);
            let tables = checked.into_tables();
            for (index, name) in (0..).zip(&names) {
                let found = Lookup::new(&text, &tape, &tables, 0).find(name.as_bytes(), 7);
                assert_eq!(found, Some(1 + 2 * index), "{name} of {count}");
            }
            assert_eq!(Lookup::new(&text, &tape, &tables, 0).find(b"name", 7), None, "{count} names");

            names.push("n\\u0061me 0".to_owned());
            let (text, mut tape) = object(&names);
            let twice = Names::new().check(&text, &mut tape, 0, count + 1).unwrap_err();
            assert_eq!(&text[twice.0.span()], b"\"n\\u0061me 0\"", "{count} names and a twin");
        }
    }

    #[test]
    fn names_of_any_length_are_the_same_only_if_every_byte_is() {
        for length in 0..40 {
            let name: Vec<u8> = (b'a'..).take(length).collect();
            assert!(alike(&name, &name.clone()), "{length}");
            assert!(!alike(&name, &[&name[..], b"x"].concat()), "{length}");
            for place in 0..length {
                let mut other = name.clone();
                other[place] ^= 1;
                assert!(!alike(&name, &other), "byte {place} of {length}");
            }
        }
    }
}
