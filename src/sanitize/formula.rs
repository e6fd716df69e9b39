//! Texts that a spreadsheet takes for formulas where an app writes them into a table (CSV injection, CWE-1236).
//!
//! They begin with `=`, `+`, `-` or `@`, or the same in full width, behind white space or not. Much that is none begins so as
//! well: numbers and phone numbers, rulers, and words to a chat's members. So behind `+` and `-` something other than digits
//! and their punctuation is needed, and behind `@` a call or a link to another program.

use crate::payload::Document;

/// Whether a string of the document may be a formula as it is written. A no is certain.
pub(super) fn may_be_in(document: &Document) -> bool {
    document.has_string_that_begins(|first| matches!(first, b'=' | b'+' | b'-' | b'@' | b' ' | b'\\' | FULL_WIDTH))
}

/// The first byte of U+F000 to U+FFFF in UTF-8.
const FULL_WIDTH: u8 = 0xEF;

pub(super) fn is_formula(text: impl Iterator<Item = char>) -> bool {
    let mut rest = text.skip_while(|character| matches!(character, ' ' | '\t' | '\r' | '\n'));
    match rest.next() {
        Some('=' | '\u{FF1D}') => true,
        Some('+' | '-' | '\u{FF0B}' | '\u{FF0D}') => {
            !rest.all(|character| character.is_ascii_digit() || " .,()-".contains(character))
        }
        Some('@' | '\u{FF20}') => rest.any(|character| matches!(character, '(' | '|')),
        Some(_) | None => false,
    }
}

/// What makes it text, as its first character.
pub(super) const ESCAPE: &str = "'";
