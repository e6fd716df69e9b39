//! A short way to a yes: most payloads fit, and most schemas ask for little but types, names and formats.
//!
//! It stands under [`schema`](super::schema), which asks it first, and the validator about every payload of which this is
//! not sure. A subschema becomes a [`Test`]: what it asks of a value in steps that take few instructions each. A member's
//! name is looked up once, by the fingerprint that is on the tape already, and that one lookup says which test its value has
//! to pass, whether the name was required, and whether the schema lists it: the validator, `required` and the sanitizer
//! would each look for themselves.
//!
//! It must never refuse anything: a payload that does not pass may still fit.
//!
//! **Invariant:** what passes here fits for the validator, too. A keyword that is not known for certain fails every value.
//! **Invariant:** where every member was called listed, the sanitizer's walk finds no undeclared one.
//! **Invariant:** time is linear in the payload: a walk takes a bounded number of steps for each of its values.

mod compile;
mod text;

use std::sync::Arc;

use self::text::{Format, Values};
use super::expressions::Pattern;
use super::listed::Listed;
use super::{Document, Kind, Node};

/// How many steps may be taken for each value, name and piece of a text, before the validator is asked instead. One or two
/// are needed; more where alternatives and references apply to the same value.
const STEPS_EACH: usize = 4;
/// Bytes of a string that are one step to look at.
const PIECE_BYTES: usize = 64;

/// All tests of a schema. Immutable.
#[derive(Debug)]
pub(super) struct Express {
    tests: Box<[Test]>,
    root: TestId,
}

type TestId = u32;

/// What is known of a payload; of the later one more than of the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// Nothing.
    Unsure,
    /// It fits.
    Fits,
    /// It fits, and the schema leaves room for every member in it.
    Declared,
}

impl Fit {
    /// What is known of a value to which two subschemas apply: it has to fit both, and what one of them lists is listed.
    #[inline]
    fn and(self, other: impl FnOnce() -> Self) -> Self {
        if self == Self::Unsure {
            return Self::Unsure;
        }
        match other() {
            Self::Unsure => Self::Unsure,
            other @ (Self::Fits | Self::Declared) => self.max(other),
        }
    }
}

/// What one subschema asks of a value.
#[derive(Debug)]
struct Test {
    /// Kinds of values that surely have a type which is allowed.
    surely: Kinds,
    /// Kinds of values that may have one: any other surely does not fit.
    possibly: Kinds,
    format: Option<Format>,
    elements: Option<TestId>,
    members: Option<Box<Members>>,
    /// Other subschemas that apply to the same value, all of them.
    all: Box<[TestId]>,
    rare: Option<Box<Rare>>,
}

/// What few subschemas ask.
#[derive(Debug, Default)]
struct Rare {
    /// Of each list, one has to apply, and of some of them not two.
    alternatives: Vec<Box<[TestId]>>,
    values: Option<Values>,
    patterns: Vec<Arc<Pattern>>,
    characters: Bounds,
    members: Bounds,
    elements: Bounds,
    numbers: Bounds,
}

/// The least and the most.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    least: i64,
    most: i64,
}

/// What a subschema says of members.
#[derive(Debug)]
struct Members {
    names: Listed<Listing>,
    required: usize,
    rest: Rest,
}

/// What is said of one name.
#[derive(Debug, Clone, Copy)]
struct Listing {
    /// What its member's value has to pass, if it is not what the rest has to.
    test: Option<TestId>,
    required: bool,
}

/// What is said of members that are not listed.
#[derive(Debug, Clone, Copy)]
enum Rest {
    Any,
    Refused,
    Each(TestId),
}

/// A set of kinds of values, a bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kinds(u8);

impl Kinds {
    const NONE: Self = Self(0);
    const NULL: Self = Self(1);
    const BOOL: Self = Self(1 << 1);
    /// Numbers that are written without fraction and exponent.
    const INTEGER: Self = Self(1 << 2);
    /// Other numbers, which may be integers all the same (`1.0`).
    const DECIMAL: Self = Self(1 << 3);
    const STRING: Self = Self(1 << 4);
    const ARRAY: Self = Self(1 << 5);
    const OBJECT: Self = Self(1 << 6);
    const ALL: Self = Self(u8::MAX);

    #[inline]
    fn of(node: Node<'_>) -> Self {
        match node.kind() {
            Kind::Null => Self::NULL,
            Kind::Bool => Self::BOOL,
            Kind::Number if node.is_written_as_integer() => Self::INTEGER,
            Kind::Number => Self::DECIMAL,
            Kind::String => Self::STRING,
            Kind::Array => Self::ARRAY,
            Kind::Object => Self::OBJECT,
        }
    }

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    #[inline]
    const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self { least: i64::MIN, most: i64::MAX }
    }
}

impl Bounds {
    const fn is_everything(self) -> bool {
        self.least == i64::MIN && self.most == i64::MAX
    }

    fn admit(self, number: i64) -> bool {
        self.least <= number && number <= self.most
    }

    fn admit_count(self, count: usize) -> bool {
        i64::try_from(count).is_ok_and(|count| self.admit(count))
    }

    /// A number that is not a small integer as it is written is admitted only where all are.
    fn admit_number(self, node: Node<'_>) -> bool {
        let integer = || node.number().filter(|_| node.is_written_as_integer())?.parse().ok();
        self.is_everything() || integer().is_some_and(|integer| self.admit(integer))
    }
}

impl Express {
    /// What is known of this payload.
    pub(super) fn judge(&self, document: &Document) -> Fit {
        let steps = (document.entry_count() + document.source().len() / PIECE_BYTES).saturating_mul(STEPS_EACH);
        Walk { tests: &self.tests, steps }.value(document.root(), self.root)
    }
}

/// A walk over one payload.
struct Walk<'e> {
    tests: &'e [Test],
    /// How many more may be taken.
    steps: usize,
}

impl Walk<'_> {
    /// Recursion ends: the reader bounds how deep a payload is, loading a schema how many tests apply to one value.
    fn value(&mut self, node: Node<'_>, test: TestId) -> Fit {
        let test = &self.tests[test as usize];
        let kind = Kinds::of(node);
        let pieces = if kind == Kinds::STRING { node.span().len() / PIECE_BYTES } else { 0 };
        let Some(steps) = self.steps.checked_sub(1 + pieces) else { return Fit::Unsure };
        self.steps = steps;
        if !test.surely.has(kind) {
            return Fit::Unsure;
        }
        let mut fit = match (kind, &test.members, test.elements, test.format) {
            (Kinds::OBJECT, Some(members), ..) => self.object(node, members),
            (Kinds::ARRAY, _, Some(elements), _) => self.array(node, elements),
            (Kinds::STRING, _, _, Some(format)) if !format.admits(node) => Fit::Unsure,
            (Kinds::OBJECT | Kinds::ARRAY, ..) if !node.is_empty() => Fit::Fits,
            _ => Fit::Declared,
        };
        if let Some(rare) = &test.rare {
            fit = fit.and(|| self.rare(node, kind, rare));
        }
        for &also in &test.all {
            fit = fit.and(|| self.value(node, also));
        }
        fit
    }

    #[inline]
    fn object(&mut self, node: Node<'_>, members: &Members) -> Fit {
        let mut fit = Fit::Declared;
        let mut required = 0;
        for member in node.members() {
            if member.key.is_escaped() {
                return Fit::Unsure;
            }
            let listing = members.names.get(member.key.raw_name(), member.key.fingerprint());
            required += usize::from(listing.is_some_and(|listing| listing.required));
            let test = listing.and_then(|listing| listing.test);
            let inner = match (test, members.rest) {
                (Some(test), _) | (None, Rest::Each(test)) => self.value(member.value, test),
                (None, Rest::Any) => Fit::Fits,
                (None, Rest::Refused) => Fit::Unsure,
            };
            if inner == Fit::Unsure {
                return Fit::Unsure;
            }
            fit = fit.min(inner);
        }
        if required == members.required { fit } else { Fit::Unsure }
    }

    fn array(&mut self, node: Node<'_>, test: TestId) -> Fit {
        let mut fit = Fit::Declared;
        for element in node.elements() {
            let inner = self.value(element, test);
            if inner == Fit::Unsure {
                return Fit::Unsure;
            }
            fit = fit.min(inner);
        }
        fit
    }

    fn rare(&mut self, node: Node<'_>, kind: Kinds, rare: &Rare) -> Fit {
        let passes = rare.values.as_ref().is_none_or(|values| values.admit(node))
            && match kind {
                Kinds::OBJECT => rare.members.admit_count(node.len()),
                Kinds::ARRAY => rare.elements.admit_count(node.len()),
                Kinds::STRING => text::admits(node, &rare.patterns, rare.characters),
                Kinds::INTEGER | Kinds::DECIMAL => rare.numbers.admit_number(node),
                _ => true,
            };
        let mut fit = if passes { Fit::Fits } else { Fit::Unsure };
        for alternatives in &rare.alternatives {
            fit = fit.and(|| self.alternative(node, kind, alternatives));
        }
        fit
    }

    /// The one alternative that a value can fit at all. Which ones it cannot is told by its kind, and an object's by its
    /// names: no deeper, since finding out could take long with alternatives inside of alternatives.
    fn alternative(&mut self, node: Node<'_>, kind: Kinds, alternatives: &[TestId]) -> Fit {
        let tests = self.tests;
        let mut possible = alternatives.iter().filter(|&&test| tests[test as usize].possibly.has(kind));
        match (possible.next(), possible.next()) {
            (Some(&only), None) => return self.value(node, only),
            (Some(_), Some(_)) if kind == Kinds::OBJECT => {}
            (None, _) | (Some(_), Some(_)) => return Fit::Unsure,
        }
        let Some(steps) = self.steps.checked_sub(node.len() * alternatives.len()) else { return Fit::Unsure };
        self.steps = steps;
        let mut possible = alternatives.iter().filter(|&&test| tests[test as usize].may_hold(node));
        match (possible.next(), possible.next()) {
            (Some(&only), None) => self.value(node, only),
            (None, _) | (Some(_), Some(_)) => Fit::Unsure,
        }
    }
}

impl Test {
    /// Whether an object's names may be those that this asks for: where not, the object surely does not fit.
    fn may_hold(&self, object: Node<'_>) -> bool {
        if !self.possibly.has(Kinds::OBJECT) {
            return false;
        }
        let Some(members) = &self.members else { return true };
        let mut required = 0;
        for member in object.members() {
            if member.key.is_escaped() {
                return true;
            }
            match members.names.get(member.key.raw_name(), member.key.fingerprint()) {
                Some(listing) => required += usize::from(listing.required),
                None if matches!(members.rest, Rest::Refused) => return false,
                None => {}
            }
        }
        required == members.required
    }
}

#[cfg(test)]
mod tests;
