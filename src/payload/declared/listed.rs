//! The names that one place lists: what the walks of the parent module look up for every member of a payload.
//!
//! A payload's names have their fingerprints on the tape already, so that nothing is hashed on a delivery's way: the table
//! is entered at the fingerprint, and the name's bytes are compared once.

use super::Place;
use crate::payload::names::{alike, fingerprint};

/// Names, each with where its member's value stands. The names are a schema's: nobody makes them collide.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// A power of two of them, at least half free, so that every search ends; none if there are no names.
    slots: Box<[Slot]>,
}

/// Free where there is no name.
#[derive(Debug, Clone, Default)]
struct Slot {
    name: Option<Box<[u8]>>,
    fingerprint: u32,
    value: Place,
}

impl Listed {
    /// A table of names that differ from each other.
    pub(super) fn new(names: Vec<(&str, Place)>) -> Self {
        if names.is_empty() {
            return Self::default();
        }
        let mut slots = vec![Slot::default(); (names.len() * 2).next_power_of_two()];
        let last = slots.len() - 1;
        for (name, value) in names {
            let fingerprint = fingerprint(name.as_bytes());
            let mut at = fingerprint as usize;
            while slots[at & last].name.is_some() {
                at += 1;
            }
            slots[at & last] = Slot { name: Some(name.as_bytes().into()), fingerprint, value };
        }
        Self { slots: slots.into() }
    }

    /// Where the value of the member `name` stands, whose fingerprint is known.
    #[inline]
    pub(super) fn get(&self, name: &[u8], fingerprint: u32) -> Option<Place> {
        let last = self.slots.len().checked_sub(1)?;
        let mut at = fingerprint as usize;
        loop {
            let slot = &self.slots[at & last];
            let listed = slot.name.as_deref()?;
            if slot.fingerprint == fingerprint && alike(listed, name) {
                return Some(slot.value);
            }
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_no_other() {
        for count in [0, 1, 2, 3, 8, 100, 1000] {
            let names: Vec<String> = (0..=count).map(|index| format!("name {index}")).collect();
            let listed = Listed::new((0..count).map(|index| (&*names[index as usize], Place(index))).collect());
            for index in 0..count {
                let name = names[index as usize].as_bytes();
                assert_eq!(listed.get(name, fingerprint(name)), Some(Place(index)), "{index} of {count}");
                assert_eq!(listed.get(b"another", fingerprint(name)), None, "the fingerprint of {index} of {count}");
            }
            let name = names[count as usize].as_bytes();
            assert_eq!(listed.get(name, fingerprint(name)), None, "{count} names");
        }
    }
}
