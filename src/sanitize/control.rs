//! Control characters in JSON text, however they are spelled.
//!
//! Inside a JSON string U+0000 to U+001F only ever stand as escapes (RFC 8259 §7); U+007F and U+0080 to U+009F may also
//! stand as themselves. All three begin with a byte that ordinary text rarely has, so that text without any is passed over
//! at the speed of a byte search.

use std::ops::Range;

const DELETE: u8 = 0x7F;
/// The first byte of U+0080 to U+00BF in UTF-8.
const LEAD: u8 = 0xC2;

/// The control characters in `text`, a whole JSON text or what stands between the quotes of one of its strings: the spans
/// of their spellings in it.
pub(super) fn find(text: &[u8]) -> Finds<'_> {
    Finds { text, next: 0 }
}

/// Whether a decoded character is one of them.
pub(super) fn is_dropped(character: char) -> bool {
    character.is_control() && !matches!(character, '\t' | '\n' | '\r')
}

pub(super) struct Finds<'t> {
    text: &'t [u8],
    next: usize,
}

impl Iterator for Finds<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        loop {
            let start = self.next + memchr::memchr3(DELETE, LEAD, b'\\', self.text.get(self.next..)?)?;
            let (length, control) = spelled(&self.text[start..]);
            self.next = start + length;
            if control {
                return Some(start..self.next);
            }
        }
    }
}

/// How long the spelling is that begins `text` with one of the three bytes, and whether it is a control character's.
fn spelled(text: &[u8]) -> (usize, bool) {
    match text {
        [DELETE, ..] => (1, true),
        [LEAD, second, ..] => (2, *second < 0xA0),
        [b'\\', b'b' | b'f', ..] => (2, true),
        [b'\\', b'u', b'0', b'0', high, low, ..] => (6, is_control(*high, *low)),
        [b'\\', b'u', ..] => (6, false),
        [b'\\', _, ..] => (2, false),
        _ => (1, false),
    }
}

/// Whether U+00XX, in hex digits of either case, is a control character other than tab, line feed and carriage return.
fn is_control(high: u8, low: u8) -> bool {
    match high {
        b'0' => !matches!(low, b'9' | b'A' | b'a' | b'D' | b'd'),
        b'1' | b'8' | b'9' => true,
        b'7' => matches!(low, b'F' | b'f'),
        _ => false,
    }
}
