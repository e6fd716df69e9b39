//! Event names with a `*`: `customer.subscription.*`, `customer.*.deleted`, `orders/*`.
//!
//! A star stands at the end of a segment (segments are separated by `.`, `/` or `:`) and stands for the rest of that segment; at the end of the whole
//! pattern it stands for the rest of the name. Of the patterns that fit a name the most specific wins: the one with the most characters of its own.
//!
//! Patterns are found by what stands behind the star: one table for each such ending, its beginnings sorted. A name is looked up once for each of its
//! segments, in a hash table and then by halving, however many patterns there are.

use std::collections::HashMap;
use std::fmt;

/// A name longer than this is matched by patterns that end with their star alone: looking for endings costs its length squared.
const NAME_BYTES_MAX: usize = 256;

/// Patterns, each with what it leads to.
#[derive(Debug)]
pub struct Patterns<T> {
    by_ending: HashMap<Box<str>, Beginnings<T>>,
}

/// A pattern, cut at its star.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern {
    beginning: String,
    ending: String,
}

/// What stands before the star, sorted.
#[derive(Debug)]
struct Beginnings<T> {
    list: Vec<Beginning<T>>,
}

#[derive(Debug)]
struct Beginning<T> {
    text: Box<str>,
    /// The longest other one that this one begins with.
    shorter: Option<usize>,
    value: T,
}

impl Pattern {
    /// Reads a pattern. `None`: a plain name, without a star.
    ///
    /// # Errors
    /// Where the star stands is no end of a segment, or there are two.
    pub fn parse(text: &str) -> Result<Option<Self>, &'static str> {
        let Some((beginning, ending)) = text.split_once('*') else { return Ok(None) };
        if ending.contains('*') {
            return Err("has more than one \"*\"");
        }
        if !ending.is_empty() && !ending.starts_with(is_separator) {
            return Err("has its \"*\" within a segment: it stands at the end of one, or of the name");
        }
        Ok(Some(Self { beginning: beginning.to_owned(), ending: ending.to_owned() }))
    }

    /// How specific it is: the characters that a name must have.
    #[must_use]
    pub const fn rank(&self) -> usize {
        self.beginning.len() + self.ending.len()
    }

    /// Whether some name fits both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let (mut ours, mut theirs) = (Segments::of(self), Segments::of(other));
        loop {
            match (ours.next(), theirs.next()) {
                (Some(our), Some(their)) => match (our.fits(&their), our.is_rest() || their.is_rest()) {
                    (false, _) => return false,
                    (true, true) => return true,
                    (true, false) => {}
                },
                (None, None) => return true,
                (Some(_), None) | (None, Some(_)) => return false,
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}*{}\"", self.beginning, self.ending)
    }
}

/// The segments of a pattern, in their order.
struct Segments<'p> {
    left: Option<(&'p str, Option<&'p str>)>,
}

/// One segment: what it begins with, and how it goes on.
struct Segment<'p> {
    text: &'p str,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// This separator, or the end of the name.
    Plain(Option<char>),
    /// Any text of the segment, then this separator.
    Star(Option<char>),
    /// Any text up to the end of the name.
    Rest,
}

impl<'p> Segments<'p> {
    fn of(pattern: &'p Pattern) -> Self {
        Self { left: Some((&pattern.beginning, Some(&pattern.ending))) }
    }

    fn next(&mut self) -> Option<Segment<'p>> {
        let (text, behind_star) = self.left?;
        if let Some(at) = text.find(is_separator) {
            self.left = Some((&text[at + 1..], behind_star));
            return Some(Segment { text: &text[..at], end: End::Plain(text[at..].chars().next()) });
        }
        let Some(ending) = behind_star else {
            self.left = None;
            return Some(Segment { text, end: End::Plain(None) });
        };
        let separator = ending.chars().next();
        self.left = separator.map(|separator| (&ending[separator.len_utf8()..], None));
        Some(Segment { text, end: separator.map_or(End::Rest, |separator| End::Star(Some(separator))) })
    }
}

impl Segment<'_> {
    fn is_rest(&self) -> bool {
        self.end == End::Rest
    }

    fn fits(&self, other: &Self) -> bool {
        let begins = |long: &str, short: &str| long.starts_with(short);
        match (self.end, other.end) {
            (End::Plain(a), End::Plain(b)) => self.text == other.text && a == b,
            (End::Plain(a), End::Star(b)) => begins(self.text, other.text) && a == b,
            (End::Star(a), End::Plain(b)) => begins(other.text, self.text) && a == b,
            (End::Star(a), End::Star(b)) => (begins(self.text, other.text) || begins(other.text, self.text)) && a == b,
            (End::Plain(_), End::Rest) => begins(self.text, other.text),
            (End::Rest, End::Plain(_)) => begins(other.text, self.text),
            (End::Rest, End::Star(_) | End::Rest) | (End::Star(_), End::Rest) => {
                begins(self.text, other.text) || begins(other.text, self.text)
            }
        }
    }
}

impl<T> Default for Patterns<T> {
    fn default() -> Self {
        Self { by_ending: HashMap::new() }
    }
}

impl<T> Patterns<T> {
    /// Patterns that differ from each other.
    #[must_use]
    pub fn new(mut patterns: Vec<(Pattern, T)>) -> Self {
        patterns.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut by_ending: HashMap<Box<str>, Beginnings<T>> = HashMap::new();
        for (Pattern { beginning, ending }, value) in patterns {
            let known = by_ending.entry(ending.into()).or_insert_with(|| Beginnings { list: Vec::new() });
            let last = known.list.len().checked_sub(1);
            let shorter = known.chain(last).find(|at| beginning.starts_with(&*known.list[*at].text));
            known.list.push(Beginning { text: beginning.into(), shorter, value });
        }
        Self { by_ending }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_ending.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_ending.values().map(|beginnings| beginnings.list.len()).sum()
    }

    /// What the most specific pattern that fits leads to.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&T> {
        if self.is_empty() {
            return None;
        }
        let rest = self.by_ending.get("").and_then(|known| known.longest(name, 0));
        let mut best = rest.map(|found| (found.text.len(), &found.value));
        if name.len() > NAME_BYTES_MAX {
            return best.map(|(_, value)| value);
        }
        let mut segment = 0;
        for (at, separator) in name.match_indices(is_separator) {
            let (before, ending) = name.split_at(at);
            let found = self.by_ending.get(ending).and_then(|known| known.longest(before, segment));
            if let Some(found) = found {
                let rank = found.text.len() + ending.len();
                if best.as_ref().is_none_or(|(least, _)| rank > *least) {
                    best = Some((rank, &found.value));
                }
            }
            segment = at + separator.len();
        }
        best.map(|(_, value)| value)
    }
}

impl<T> Beginnings<T> {
    /// The longest one that `text` begins with and that reaches at least to `from`.
    fn longest(&self, text: &str, from: usize) -> Option<&Beginning<T>> {
        let last = self.list.partition_point(|known| *known.text <= *text).checked_sub(1);
        let found = self.chain(last).find(|at| text.starts_with(&*self.list[*at].text))?;
        self.list.get(found).filter(|found| found.text.len() >= from)
    }

    /// This one and the ever shorter ones that it begins with.
    fn chain(&self, from: Option<usize>) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(from, |at| self.list.get(*at)?.shorter)
    }
}

const fn is_separator(character: char) -> bool {
    matches!(character, '.' | '/' | ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap().unwrap()
    }

    fn patterns<'p>(texts: &[&'p str]) -> Patterns<&'p str> {
        Patterns::new(texts.iter().map(|text| (pattern(text), *text)).collect())
    }

    #[test]
    fn the_most_specific_pattern_wins_and_a_star_stays_in_its_segment() {
        let all = ["customer.*", "customer.subscription.*", "customer.sub*", "customer.*.deleted", "*.deleted", "a*"];
        let patterns = patterns(&all);
        let rows = [
            ("customer.created", Some("customer.*")),
            ("customer.subscription.created", Some("customer.subscription.*")),
            ("customer.subscription", Some("customer.sub*")),
            ("customer.source.deleted", Some("customer.*.deleted")),
            ("customer.a.b.deleted", Some("customer.*")),
            ("invoice.deleted", Some("*.deleted")),
            ("invoice.item.deleted", None),
            ("customer", None),
            ("a", Some("a*")),
            ("a.b.c", Some("a*")),
            ("b", None),
            ("", None),
        ];
        for (name, found) in rows {
            assert_eq!(patterns.get(name).copied(), found, "{name}");
        }
    }

    /// Against the plain meaning of a pattern, tried one by one.
    #[test]
    fn tables_find_what_trying_every_pattern_finds() {
        let texts = ["*", "a*", "a.*", "ab*", "a.b*", "*.b", "a*.b", "*.a.b", "a.*.b", "a.b.*", "b/*", "*/b", "ab.*"];
        let fits = |pattern: &Pattern, name: &str| {
            let middle = name.strip_prefix(&*pattern.beginning).and_then(|rest| rest.strip_suffix(&*pattern.ending));
            middle.is_some_and(|middle| pattern.ending.is_empty() || !middle.contains(is_separator))
        };
        // Six characters: the shortest name that fits both `ab.*` and `*.a.b` has as many.
        let mut names = vec![String::new()];
        let mut from = 0;
        for _ in 0..6 {
            let longer: Vec<_> = names[from..]
                .iter()
                .flat_map(|name| ["a", "b", ".", "/"].map(|more| format!("{name}{more}")))
                .collect();
            from = names.len();
            names.extend(longer);
        }
        let all = patterns(&texts);
        for name in &names {
            let fitting = texts.iter().map(|text| pattern(text)).filter(|pattern| fits(pattern, name));
            let rank = fitting.map(|pattern| pattern.rank()).max();
            assert_eq!(all.get(name).map(|text| pattern(text).rank()), rank, "{name}");
        }
        for (a, b) in texts.iter().flat_map(|a| texts.iter().map(move |b| (pattern(a), pattern(b)))) {
            let meets = names.iter().any(|name| fits(&a, name) && fits(&b, name));
            assert_eq!(a.overlaps(&b), meets, "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_star_stands_at_the_end_of_a_segment_and_alone() {
        for text in ["a.*.b*", "**", "a*b", "*a", "a.*b.c"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
        for (text, is_pattern) in [("a.b", false), ("a.*", true), ("a*", true), ("*.b", true), ("a*/b", true)] {
            assert_eq!(Pattern::parse(text).map(|found| found.is_some()), Ok(is_pattern), "{text}");
        }
    }

    #[test]
    fn a_very_long_name_fits_the_patterns_that_end_with_their_star() {
        let patterns = patterns(&["a.*", "*.b"]);
        let long = format!("a.{}.b", "x.".repeat(NAME_BYTES_MAX));
        assert_eq!(patterns.get(&long).copied(), Some("a.*"));
        assert_eq!(patterns.get(&long[1..]), None);
    }
}
