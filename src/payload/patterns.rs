//! Patterns of places in a JSON text: JSON Pointers in which `*` stands for one step and `**` for any number of steps.
//!
//! All patterns of a policy are worked out once and then walked along with a payload: a [`Way`] says how far every one of them has come, one bit for
//! each of their steps. A step of the walk is a look-up of the name and a few operations on those bits, whatever the patterns are.
//!
//! **Invariant:** a step costs the same for every payload and every set of patterns: [`STATES_MAX`] bounds them when they are loaded.

use super::listed::Listed;
use super::names::fingerprint;
use super::node::Key;
use super::pointer::{PointerFault, Segment};

/// A place, or many: `/user/email`, `/items/*/note`, `/**/password`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// A member of this name, or the element at this position.
    Named(Segment),
    /// `*`: every member and every element.
    Any,
    /// `**`: any number of steps, none included. No two of them follow each other.
    Deep,
}

/// A text that is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternFault {
    /// It is no JSON Pointer either.
    #[error(transparent)]
    Pointer(#[from] PointerFault),
    /// A step such as `a*`.
    #[error("\"*\" and \"**\" stand for whole steps, as in \"/items/*/name\"")]
    PartOfAStep,
    /// More than [`STEPS_MAX`].
    #[error("a pattern has at most {STEPS_MAX} steps")]
    TooLong,
}

/// Steps of one pattern.
pub const STEPS_MAX: usize = 16;

/// Steps of all patterns of a policy, each one's end counted as one more.
pub const STATES_MAX: usize = WORDS * 64;

const WORDS: usize = 8;

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A [`PatternFault`] that says what a pattern looks like.
    pub fn parse(text: &str) -> Result<Self, PatternFault> {
        if text.is_empty() {
            return Ok(Self { steps: Vec::new() });
        }
        let segments = text.strip_prefix('/').ok_or(PointerFault::NoSlash)?.split('/');
        let mut steps = Vec::new();
        for segment in segments {
            let step = match segment {
                "*" => Step::Any,
                "**" => Step::Deep,
                _ if segment.contains('*') => return Err(PatternFault::PartOfAStep),
                _ => Step::Named(Segment::parse(segment)?),
            };
            if step != Step::Deep || steps.last() != Some(&Step::Deep) {
                steps.push(step);
            }
        }
        if steps.len() > STEPS_MAX { Err(PatternFault::TooLong) } else { Ok(Self { steps }) }
    }

    /// Whether the whole text is one of its places.
    #[must_use]
    pub fn is_of_root(&self) -> bool {
        self.steps.iter().all(|step| *step == Step::Deep)
    }

    /// The names of its steps, without those that are wild.
    #[cfg(test)]
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| match step {
            Step::Named(segment) => Some(segment.name()),
            Step::Any | Step::Deep => None,
        })
    }

    /// Whether some value may stand at or below a place of both.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        let below = |pattern: &Self| -> Vec<Step> { pattern.steps.iter().cloned().chain([Step::Deep]).collect() };
        let (ours, theirs) = (below(self), below(other));
        let mut seen = vec![false; (ours.len() + 1) * (theirs.len() + 1)];
        let mut waiting = vec![(0, 0)];
        while let Some((one, two)) = waiting.pop() {
            let place = one * (theirs.len() + 1) + two;
            if std::mem::replace(&mut seen[place], true) {
                continue;
            }
            match (ours.get(one), theirs.get(two)) {
                (None, None) => return true,
                (Some(Step::Named(a)), Some(Step::Named(b))) if a.name() != b.name() => continue,
                (None | Some(Step::Deep), None | Some(Step::Deep)) | (None, Some(_)) | (Some(_), None) => {}
                (Some(Step::Deep), Some(_)) => waiting.push((one, two + 1)),
                (Some(_), Some(Step::Deep)) => waiting.push((one + 1, two)),
                (Some(_), Some(_)) => waiting.push((one + 1, two + 1)),
            }
            if ours.get(one) == Some(&Step::Deep) {
                waiting.push((one + 1, two));
            }
            if theirs.get(two) == Some(&Step::Deep) {
                waiting.push((one, two + 1));
            }
        }
        false
    }
}

/// How far a walk has come in each of several patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Way([u64; WORDS]);

/// Several patterns, ready to be walked along a payload. Immutable.
#[derive(Debug)]
pub struct Patterns {
    start: Way,
    /// The states before a `*`, and before a `**`.
    any: Way,
    deep: Way,
    /// The states before a name, by the name's number.
    names: Listed<u32>,
    named: Box<[Way]>,
    /// The states before a position, ascending.
    positions: Box<[(usize, Way)]>,
    /// The states at which a pattern ends, and which it is.
    ends: Way,
    owners: Box<[u16]>,
}

/// Where one step leads.
#[derive(Debug, Clone, Copy)]
pub struct Stepped {
    /// How far it is now.
    pub way: Way,
    /// Whether a pattern that came so far has this very step in its text.
    pub is_named: bool,
}

impl Patterns {
    /// Works the patterns out; `None` if they have more than [`STATES_MAX`] steps together.
    #[must_use]
    pub fn new(patterns: &[&Pattern]) -> Option<Self> {
        let states: usize = patterns.iter().map(|pattern| pattern.steps.len() + 1).sum();
        if states > STATES_MAX {
            return None;
        }
        let mut made = Self {
            start: Way::default(),
            any: Way::default(),
            deep: Way::default(),
            names: Listed::default(),
            named: Box::default(),
            positions: Box::default(),
            ends: Way::default(),
            owners: vec![0; states].into(),
        };
        let mut names: Vec<(&str, Way)> = Vec::new();
        let mut positions: Vec<(usize, Way)> = Vec::new();
        let mut state = 0;
        for (number, pattern) in patterns.iter().enumerate() {
            made.start.insert(state);
            for step in &pattern.steps {
                match step {
                    Step::Any => made.any.insert(state),
                    Step::Deep => made.deep.insert(state),
                    Step::Named(segment) => {
                        entry(&mut names, segment.name()).insert(state);
                        if let Some(position) = segment.element() {
                            entry(&mut positions, position).insert(state);
                        }
                    }
                }
                state += 1;
            }
            made.ends.insert(state);
            made.owners[state] = u16::try_from(number).unwrap_or(u16::MAX);
            state += 1;
        }
        positions.sort_unstable_by_key(|(position, _)| *position);
        made.positions = positions.into();
        made.names = Listed::new((0..).zip(&names).map(|(number, (name, _))| (*name, number)).collect());
        made.named = names.into_iter().map(|(_, way)| way).collect();
        made.start = made.closed(made.start);
        Some(made)
    }

    /// How far it is at the root.
    #[must_use]
    pub const fn start(&self) -> Way {
        self.start
    }

    /// The step to a member.
    #[must_use]
    #[inline]
    pub fn member(&self, from: Way, key: Key<'_>) -> Stepped {
        if from.is_nowhere() {
            return Stepped { way: from, is_named: false };
        }
        if key.is_escaped() {
            return self.name(from, &key.name());
        }
        self.step(from, self.names.get(key.raw_name(), key.fingerprint()))
    }

    /// The step to a member of this name.
    #[must_use]
    pub fn name(&self, from: Way, name: &str) -> Stepped {
        self.step(from, self.names.get(name.as_bytes(), fingerprint(name.as_bytes())))
    }

    /// The step to the element at this position.
    #[must_use]
    #[inline]
    pub fn element(&self, from: Way, position: usize) -> Way {
        if from.is_nowhere() {
            return from;
        }
        let named = self.positions.binary_search_by_key(&position, |(position, _)| *position).ok();
        self.moved(from, named.map(|found| self.positions[found].1).unwrap_or_default())
    }

    /// The patterns of which this is a place, by their position.
    pub fn ending(&self, way: Way) -> impl Iterator<Item = usize> {
        way.and(self.ends).states().map(|state| usize::from(self.owners[state]))
    }

    /// The states of the patterns of which `is_one` holds.
    #[must_use]
    pub fn states_of(&self, is_one: impl Fn(usize) -> bool) -> Way {
        let mut way = Way::default();
        let mut state = 0;
        for end in self.ends.states() {
            let wanted = is_one(usize::from(self.owners[end]));
            for state in (state..=end).filter(|_| wanted) {
                way.insert(state);
            }
            state = end + 1;
        }
        way
    }

    fn step(&self, from: Way, number: Option<u32>) -> Stepped {
        let named = number.and_then(|number| self.named.get(number as usize)).copied().unwrap_or_default();
        Stepped { way: self.moved(from, named), is_named: !from.and(named).is_nowhere() }
    }

    fn moved(&self, from: Way, named: Way) -> Way {
        let moving = from.and(self.any.or(named));
        self.closed(moving.following().or(from.and(self.deep)))
    }

    /// `**` may stand for no step: whoever is before it is behind it, too.
    fn closed(&self, way: Way) -> Way {
        way.or(way.and(self.deep).following())
    }
}

impl Way {
    /// Whether no pattern has a place at or below.
    #[must_use]
    #[inline]
    pub fn is_nowhere(self) -> bool {
        self == Self::default()
    }

    /// Whether the two have states in common.
    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        !self.and(other).is_nowhere()
    }

    fn insert(&mut self, state: usize) {
        self.0[state / 64] |= 1 << (state % 64);
    }

    #[inline]
    fn and(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & other.0[word]))
    }

    #[inline]
    fn or(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }

    /// Every state's next one.
    #[inline]
    fn following(self) -> Self {
        Self(std::array::from_fn(|word| {
            let carried = if word == 0 { 0 } else { self.0[word - 1] >> 63 };
            self.0[word] << 1 | carried
        }))
    }

    fn states(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(word, mut bits)| {
            std::iter::from_fn(move || {
                let bit = bits.trailing_zeros() as usize;
                bits &= bits.wrapping_sub(1);
                (bit < 64).then_some(word * 64 + bit)
            })
        })
    }
}

fn entry<K: PartialEq>(ways: &mut Vec<(K, Way)>, key: K) -> &mut Way {
    let place = ways.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
        ways.push((key, Way::default()));
        ways.len() - 1
    });
    &mut ways[place].1
}

#[cfg(test)]
mod tests;
