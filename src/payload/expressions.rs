//! Patterns of a schema, which run in one step a byte wherever that can be had.
//!
//! A regular expression is linear in the text, but times its own size: the engine that finds the states of its automaton while it runs falls back to
//! following all of them at once, and a text that is chosen for it makes a megabyte take seconds. So the whole automaton is built when the schema is
//! loaded, as a table. A pattern whose table would be too large is simulated, and what that may cost is counted ([`judging`](super::judging)); member
//! names cannot be counted well, and their patterns have to have a table ([`table`](super::table)). They belong to [`schema`](super::schema), and this is the
//! one file that names the crate `jsonschema-regex`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::json::Node as _;
use jsonschema::{Keyword, ValidationError, ValidationOptions};
use regex_automata::meta;
use regex_automata::nfa::thompson::{self, WhichCaptures};

use super::bounds::judged;
use super::instance::{Tape, TapeNode};
use super::schema::SchemaFault;
use super::table::Table;

/// Bytes of one pattern's table, and of what is needed to make it.
const TABLE_BYTES_MAX: usize = 2 << 20;
/// Bytes of the program of a pattern that is simulated, and of the states that are remembered of it. Each takes its share of what all may have.
pub(super) const PROGRAM_BYTES_MAX: usize = 1 << 20;
pub(super) const STATES_BYTES_MAX: usize = 4 << 20;
/// Bytes of all patterns of a schema and all files it refers to.
const PATTERNS_BYTES_MAX: usize = 32 << 20;
/// Bytes of a text that may be a regular expression.
const REGEX_BYTES_MAX: usize = 4 << 10;
/// Steps of a simulation that take as long as one look at a value.
const STEPS_A_LOOK: u64 = 10;

/// A pattern of ECMA 262, as JSON Schema means it: somewhere in the text.
pub(super) enum Pattern {
    /// One step for each byte.
    Table(Table),
    /// Up to so many steps for each byte.
    Simulated(meta::Regex, u64),
}

impl Pattern {
    fn compile(text: &str) -> Option<Self> {
        let translated = jsonschema_regex::to_rust_regex(text).ok()?;
        let program =
            thompson::Config::new().nfa_size_limit(Some(PROGRAM_BYTES_MAX)).which_captures(WhichCaptures::None);
        let program = thompson::Compiler::new().configure(program).build(&translated).ok()?;
        if let Some(table) = Table::of(&program, TABLE_BYTES_MAX) {
            return Some(Self::Table(table));
        }
        let simulation = meta::Config::new()
            .nfa_size_limit(Some(PROGRAM_BYTES_MAX))
            .hybrid_cache_capacity(STATES_BYTES_MAX)
            .which_captures(WhichCaptures::None);
        let simulated = meta::Builder::new().configure(simulation).build(&translated).ok()?;
        Some(Self::Simulated(simulated, program.states().len() as u64))
    }

    pub(super) const fn has_table(&self) -> bool {
        matches!(self, Self::Table(_))
    }

    /// Whether some part of `text` is of this pattern, where a table says so.
    pub(super) fn looked_up(&self, text: &str) -> Option<bool> {
        match self {
            Self::Table(table) => Some(table.finds(text)),
            Self::Simulated(..) => None,
        }
    }

    fn matches(&self, text: &str, node: TapeNode<'_>) -> bool {
        match self {
            Self::Table(_) => self.looked_up(text) == Some(true),
            Self::Simulated(simulated, steps) => {
                let steps = steps.saturating_mul(text.len() as u64);
                node.take(steps / STEPS_A_LOOK) && simulated.is_match(text)
            }
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Table(table) => table.bytes(),
            Self::Simulated(..) => PROGRAM_BYTES_MAX,
        }
    }
}

impl std::fmt::Debug for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pattern").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

/// The patterns of one schema, each made once.
#[derive(Debug, Default)]
pub(super) struct Patterns(Mutex<Made>);

#[derive(Debug, Default)]
struct Made {
    by_text: HashMap<Box<str>, Arc<Pattern>>,
    bytes: usize,
}

impl Patterns {
    /// The pattern `text` of member names.
    ///
    /// # Errors
    ///
    /// As [`Patterns::pattern`], and where there is no table of it.
    pub(super) fn pattern_of_names(&self, text: &str) -> Result<Arc<Pattern>, SchemaFault> {
        let pattern = self.pattern(text)?;
        if pattern.has_table() { Ok(pattern) } else { Err(too_large_for_names(text)) }
    }

    /// The pattern `text`.
    ///
    /// # Errors
    ///
    /// A fault if it is none that runs in linear time, or it grows too large, or all patterns together do.
    pub(super) fn pattern(&self, text: &str) -> Result<Arc<Pattern>, SchemaFault> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pattern) = made.by_text.get(text) {
            return Ok(Arc::clone(pattern));
        }
        let pattern = Pattern::compile(text).ok_or_else(|| SchemaFault::new(BAD_PATTERN.to_owned()))?;
        made.bytes += pattern.bytes();
        if made.bytes > PATTERNS_BYTES_MAX {
            return Err(SchemaFault::new(TOO_MANY.to_owned()));
        }
        let pattern = Arc::new(pattern);
        made.by_text.insert(text.into(), Arc::clone(&pattern));
        Ok(pattern)
    }
}

/// Has a validator run patterns as this module does, and take no long text for a pattern (`format: regex`): reading one costs more than any other format.
pub(super) fn with_tables<'o, R>(
    options: ValidationOptions<'o, R, Tape>,
    patterns: &Arc<Patterns>,
) -> ValidationOptions<'o, R, Tape> {
    let patterns = Arc::clone(patterns);
    let options = options.with_format("regex", |text: &str| {
        text.len() <= REGEX_BYTES_MAX && jsonschema_regex::is_valid_ecma_regex(text)
    });
    options.with_keyword("pattern", move |_, value, _| {
        let Some(text) = value.as_str() else { return Err(ValidationError::schema(NO_TEXT.to_owned())) };
        match patterns.pattern(text) {
            Ok(pattern) => Ok(Box::new(Matching(pattern))),
            Err(fault) => Err(ValidationError::schema(fault.message)),
        }
    })
}

/// `pattern`.
struct Matching(Arc<Pattern>);

impl<'i> Keyword<'i, Tape> for Matching {
    fn validate(&self, node: TapeNode<'i>) -> Result<(), ValidationError<'i>> {
        judged(node, self.is_valid(node))
    }

    fn is_valid(&self, node: TapeNode<'i>) -> bool {
        node.as_string().is_none_or(|text| self.0.matches(&text, node))
    }
}

pub(super) fn too_large_for_names(pattern: &str) -> SchemaFault {
    SchemaFault::new(format!("{pattern:?} is {TOO_LARGE_FOR_NAMES}"))
}

pub(super) const BAD_PATTERN: &str = "the pattern is not a regular expression that runs in linear time and bounded memory: \
                                      look-around and back-references do not";
/// Metaschemas say so as well, but not of a schema that stands where they know of none.
const NO_TEXT: &str = "a pattern is no text";
const TOO_MANY: &str = "the patterns take too much memory together";
const TOO_LARGE_FOR_NAMES: &str = "too large a pattern for the names of members; shorter repetitions and fewer classes of letters help, and \\b \
                                   cannot stand in it";

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::judging::Judging;
    use super::super::{Document, JsonLimits};
    use super::*;

    /// Whether the pattern has a table, and the text matches.
    fn check(pattern: &str, text: &str) -> (bool, bool) {
        let pattern = Patterns::default().pattern(pattern).unwrap();
        let document = Document::read(Bytes::from_static(b"0"), JsonLimits::default()).unwrap();
        let judging = Judging::new(&document, 0);
        let matched = pattern.matches(text, judging.root());
        let looked_up = pattern.looked_up(text);
        assert!(looked_up.is_none_or(|found| found == matched), "{text}");
        (looked_up.is_some(), matched)
    }

    #[test]
    fn a_pattern_means_what_ecma_262_says() {
        let cases = [
            ("^a+$", "aaa", true),
            ("^a+$", "aab", false),
            ("b", "abc", true),
            ("^$", "", true),
            ("", "x", true),
            (r"^\d{5}$", "12345", true),
            (r"^\d{5}$", "१२३४५", false),
            (r"^\w+$", "naïve", false),
            (r"^\p{Letter}+$", "naïve", true),
            (r"^\p{Letter}+$", "na1ve", false),
            ("^.{3}$", "é🦀x", true),
            ("^.$", "\n", false),
            (r"^\S+@\S+\.\S+$", "a@b.c", true),
            ("^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", "01a2093d-c5a6-7147-9ece-8a5ee31dee27", true),
            ("^(?:a+a+)+b$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("^.{1,255}$", "x", true),
            ("(?:a|b)*a(?:a|b){8}$", "abbbbbbbb", true),
            ("(?:a|b)*a(?:a|b){8}$", "bbbbbbbbb", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(check(pattern, text), (true, expected), "{pattern} {text}");
        }
    }

    #[test]
    fn what_has_no_small_table_is_simulated_and_not_for_names() {
        let cases = [
            (r"\bb\b", "a b é", true),
            (r"\bb\b", "ab é", false),
            ("(?:a|b)*a(?:a|b){20}$", "abbbbbbbbbbbbbbbbbbbb", true),
            ("(?:a|b)*a(?:a|b){20}$", "bbbbbbbbbbbbbbbbbbbbb", false),
            (r"^\p{L}{1,18}$", "naïve", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(check(pattern, text), (false, expected), "{pattern} {text}");
            let fault = Patterns::default().pattern_of_names(pattern).unwrap_err();
            assert!(fault.message.contains(TOO_LARGE_FOR_NAMES), "{}", fault.message);
        }
        for pattern in [r"^(?:\p{L}|\p{N}){1,300}$", "(a{1000}){1000}", "(?=a)b", r"(a)\1", "("] {
            let fault = Patterns::default().pattern(pattern).unwrap_err();
            assert_eq!(fault.message, BAD_PATTERN, "{pattern}");
        }
    }

    #[test]
    fn a_simulation_is_counted_by_the_text_and_the_pattern() {
        let pattern = Patterns::default().pattern("(?:a|b)*a(?:a|b){20}$").unwrap();
        let document = Document::read(Bytes::from_static(b"0"), JsonLimits::default()).unwrap();
        for (length, matches) in [(21, true), (50_000, true), (2_000_000, false)] {
            let judging = Judging::new(&document, 0);
            assert_eq!(pattern.matches(&"a".repeat(length), judging.root()), matches, "{length}");
            assert_eq!(judging.is_used_up(), !matches, "{length}");
        }
    }

    #[test]
    fn patterns_of_a_schema_share_one_budget() {
        let patterns = Patterns::default();
        let pattern = |index: usize| format!(r"\b{index}");
        let most = PATTERNS_BYTES_MAX / PROGRAM_BYTES_MAX;
        for index in 0..=most {
            assert_eq!(patterns.pattern(&pattern(index)).is_ok(), index < most, "{index} of {most}");
        }
        assert_eq!(patterns.pattern("another").unwrap_err().message, TOO_MANY);
        assert!(patterns.pattern(&pattern(0)).is_ok(), "it is made already");
    }
}
