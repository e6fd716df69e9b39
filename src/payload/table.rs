//! A regular expression as a whole automaton, made when policies load: one step for each byte of a text, whatever pattern and text are chosen.
//!
//! `expressions` makes the patterns of a schema of it, the sanitizer those of `refuse_if`.

use std::fmt;

use regex_automata::Input;
use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_syntax::hir::{Hir, HirKind, Look};

/// An automaton that looks for its pattern anywhere in a text.
#[derive(Clone)]
pub struct Table(Box<dense::DFA<Vec<u32>>>);

impl Table {
    /// Compiles a pattern in the syntax of the crate `regex`, but that a word's boundary (`\b`) is between letters of ASCII and all else: that of
    /// Unicode has no table.
    ///
    /// # Errors
    /// What is wrong with it: look-around and back-references among the rest, and that the table, or what is needed to make it, would take more than
    /// `bytes_max`.
    pub fn parse(text: &str, bytes_max: usize) -> Result<Self, String> {
        let pattern = regex_syntax::Parser::new().parse(text).map_err(|fault| fault.to_string())?;
        let program =
            thompson::Config::new().nfa_size_limit(Some(bytes_max)).which_captures(WhichCaptures::None).utf8(false);
        let program = thompson::Compiler::new().configure(program).build_from_hir(&ascii_boundaries(pattern));
        let table = program.ok().and_then(|program| Self::of(&program, bytes_max));
        table.ok_or_else(|| format!("its table would take more than {bytes_max} bytes: shorter repetitions, and (?-u) where ASCII will do, help"))
    }

    /// The table of a program, unless it would take more than `bytes_max`.
    pub(super) fn of(program: &thompson::NFA, bytes_max: usize) -> Option<Self> {
        let config = dense::Config::new()
            .start_kind(StartKind::Unanchored)
            .dfa_size_limit(Some(bytes_max))
            .determinize_size_limit(Some(bytes_max));
        let table = dense::Builder::new().configure(config).build_from_nfa(program);
        table.ok().map(|table| Self(Box::new(table)))
    }

    /// Whether some part of `text` is of the pattern.
    #[must_use]
    pub fn finds(&self, text: &str) -> bool {
        // It cannot fail: the table was made without quitting at any byte.
        self.0.try_search_fwd(&Input::new(text).earliest(true)).is_ok_and(|found| found.is_some())
    }

    /// How much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.0.memory_usage()
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

/// The pattern with boundaries of ASCII words where it has those of Unicode.
fn ascii_boundaries(pattern: Hir) -> Hir {
    let all = |patterns: Vec<Hir>| patterns.into_iter().map(ascii_boundaries).collect();
    match pattern.into_kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) => Hir::literal(literal.0),
        HirKind::Class(class) => Hir::class(class),
        HirKind::Look(look) => Hir::look(ascii_boundary(look)),
        HirKind::Repetition(mut repetition) => {
            repetition.sub = Box::new(ascii_boundaries(*repetition.sub));
            Hir::repetition(repetition)
        }
        HirKind::Capture(mut capture) => {
            capture.sub = Box::new(ascii_boundaries(*capture.sub));
            Hir::capture(capture)
        }
        HirKind::Concat(patterns) => Hir::concat(all(patterns)),
        HirKind::Alternation(patterns) => Hir::alternation(all(patterns)),
    }
}

const fn ascii_boundary(look: Look) -> Look {
    match look {
        Look::WordUnicode => Look::WordAscii,
        Look::WordUnicodeNegate => Look::WordAsciiNegate,
        Look::WordStartUnicode => Look::WordStartAscii,
        Look::WordEndUnicode => Look::WordEndAscii,
        Look::WordStartHalfUnicode => Look::WordStartHalfAscii,
        Look::WordEndHalfUnicode => Look::WordEndHalfAscii,
        Look::Start
        | Look::End
        | Look::StartLF
        | Look::EndLF
        | Look::StartCRLF
        | Look::EndCRLF
        | Look::WordAscii
        | Look::WordAsciiNegate
        | Look::WordStartAscii
        | Look::WordEndAscii
        | Look::WordStartHalfAscii
        | Look::WordEndHalfAscii => look,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_finds_what_the_ordinary_engine_finds() {
        let patterns = [
            "",
            "x",
            "^x",
            "x$",
            "(?i)union\\s+select|^-1$",
            "(?i)<script",
            "\\bselect\\b",
            "(?m)^x$",
            "[é-ü]+x",
            "(?i)É",
            "a{3,5}b",
            "(x|y)*z",
            "\\p{Greek}",
            "\\w{2}\\b",
        ];
        let texts = [
            "",
            "x",
            "ax",
            "xa",
            "y\nx\nz",
            "1 UNION \t select 2",
            "-1",
            "-10",
            "a select b",
            "preselected",
            "éx",
            "É é",
            "aaab",
            "aab",
            "12345",
            "xyxyz",
            "λόγος",
            "<ScRiPt>",
            "aa.",
            "é1234",
        ];
        for pattern in patterns {
            let table = Table::parse(pattern, 1 << 20).expect(pattern);
            let ordinary = regex::Regex::new(&pattern.replace("\\b", "(?-u:\\b)")).expect(pattern);
            for text in texts {
                assert_eq!(table.finds(text), ordinary.is_match(text), "{pattern} {text}");
            }
        }
        assert!(Table::parse("\\bé", 1 << 20).expect("a pattern").finds("aé"), "é is no letter of ASCII");
    }

    #[test]
    fn what_has_no_small_table_is_none() {
        let large = "(?:a|b)*a(?:a|b){20}$";
        for bad in ["(?=x)", r"(a)\1", "(", "a{1000}{1000}", large] {
            assert!(Table::parse(bad, 1 << 20).is_err(), "{bad}");
        }
        let bytes = Table::parse("abc", 1 << 20).expect("a pattern").bytes();
        assert!(Table::parse("abc", 64).is_err() && bytes > 64);
        assert!(Table::parse(large, 1 << 20).expect_err("too large").contains("1048576 bytes"));
    }
}
