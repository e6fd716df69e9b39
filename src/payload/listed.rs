//! The names that one part of a schema lists: what the walks of [`declared`](super::declared) and
//! [`express`](super::express) look up for every member of a payload.
//!
//! A payload's names have their fingerprints on the tape already, so that nothing is hashed on a delivery's way: the table
//! is entered at the fingerprint, and the name's bytes are compared once. All names lie in one piece of memory, so that a
//! walk touches little of it.

use super::names::{alike, fingerprint};

/// Names, each with what is to be known of it. The names are a schema's: nobody makes them collide.
#[derive(Debug)]
pub(super) struct Listed<T> {
    /// A power of two of them, at least half free, so that every search ends; none if there are no names.
    slots: Box<[Slot<T>]>,
    text: Box<[u8]>,
}

/// Free where there is nothing to be known.
#[derive(Debug, Clone, Copy)]
struct Slot<T> {
    fingerprint: u32,
    start: u32,
    end: u32,
    value: Option<T>,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self { slots: Box::default(), text: Box::default() }
    }
}

impl<T: Copy> Listed<T> {
    /// A table of names that differ from each other.
    pub(super) fn new(names: Vec<(&str, T)>) -> Self {
        if names.is_empty() {
            return Self::default();
        }
        let free = Slot { fingerprint: 0, start: 0, end: 0, value: None };
        let mut slots = vec![free; (names.len() * 2).next_power_of_two()];
        let mut text = Vec::new();
        let last = slots.len() - 1;
        for (name, value) in names {
            let fingerprint = fingerprint(name.as_bytes());
            let mut at = fingerprint as usize;
            while slots[at & last].value.is_some() {
                at += 1;
            }
            let start = narrow(text.len());
            text.extend_from_slice(name.as_bytes());
            slots[at & last] = Slot { fingerprint, start, end: narrow(text.len()), value: Some(value) };
        }
        Self { slots: slots.into(), text: text.into() }
    }

    /// What is to be known of the name `name`, whose fingerprint is known.
    #[inline]
    pub(super) fn get(&self, name: &[u8], fingerprint: u32) -> Option<T> {
        let last = self.slots.len().checked_sub(1)?;
        let mut at = fingerprint as usize;
        loop {
            let slot = &self.slots[at & last];
            let value = slot.value?;
            if slot.fingerprint == fingerprint
                && let Some(listed) = self.text.get(slot.start as usize..slot.end as usize)
                && alike(listed, name)
            {
                return Some(value);
            }
            at += 1;
        }
    }
}

/// A schema's file has less than 4 GB: nothing is cut here.
fn narrow(wide: usize) -> u32 {
    u32::try_from(wide).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_no_other() {
        for count in [0, 1, 2, 3, 8, 100, 1000_usize] {
            let names: Vec<String> = (0..=count).map(|index| format!("name {index}")).collect();
            let listed = Listed::new((0..count).map(|index| (&*names[index], index)).collect());
            for (index, name) in names.iter().take(count).enumerate() {
                let name = name.as_bytes();
                assert_eq!(listed.get(name, fingerprint(name)), Some(index), "{index} of {count}");
                assert_eq!(listed.get(b"another", fingerprint(name)), None, "the fingerprint of {index} of {count}");
            }
            let name = names[count].as_bytes();
            assert_eq!(listed.get(name, fingerprint(name)), None, "{count} names");
        }
    }
}
