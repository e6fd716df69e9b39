//! Characters that a policy may not want, in JSON text, however they are spelled.
//!
//! Inside a JSON string U+0000 to U+001F only ever stand as escapes (RFC 8259 §7); all others may also stand as themselves.
//! Every spelling begins with a byte that ordinary text rarely has, so that text without any is passed over at the speed
//! of a byte search: one search for each [`Lane`], and none for a lane of which no rule wants anything.

use std::ops::Range;

use super::report::Rule;
use super::{Action, Rules};

/// What is done with each class of characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wanted {
    pub(super) control: Action,
    pub(super) bidi: Action,
    pub(super) zero_width: Action,
}

impl Wanted {
    pub(super) const fn of(rules: &Rules) -> Self {
        Self { control: rules.control_characters, bidi: rules.bidi_controls, zero_width: rules.zero_width }
    }

    /// The stricter of both, class by class.
    pub(super) fn join(self, other: Self) -> Self {
        Self {
            control: self.control.max(other.control),
            bidi: self.bidi.max(other.bidi),
            zero_width: self.zero_width.max(other.zero_width),
        }
    }

    pub(super) fn is_nothing(self) -> bool {
        self == Self::default()
    }

    pub(super) fn drops_some(self) -> bool {
        [self.control, self.bidi, self.zero_width].contains(&Action::Drop)
    }

    pub(super) const fn action(self, class: Class) -> Action {
        match class {
            Class::Control => self.control,
            Class::Bidi => self.bidi,
            Class::ZeroWidth => self.zero_width,
        }
    }

    /// Whether a decoded character is dropped.
    pub(super) fn drops(self, character: char) -> bool {
        Class::of(character).is_some_and(|class| self.action(class) == Action::Drop)
    }

    /// The characters in `text`, a whole JSON text or what stands between the quotes of one of its strings, with which
    /// something is done: the spans of their spellings, ascending.
    pub(super) fn find(self, text: &[u8]) -> Finds<'_> {
        let mut finds =
            Finds { wanted: self, text, lanes: [Lane::ESCAPED, Lane::HIGH, Lane::ARABIC], next: [const { None }; 3] };
        let high = self.bidi != Action::Keep || self.zero_width != Action::Keep;
        finds.seek(0, 0);
        if high {
            finds.seek(1, 0);
        }
        if self.bidi != Action::Keep {
            finds.seek(2, 0);
        }
        finds
    }
}

/// Which rule a character belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Control,
    Bidi,
    ZeroWidth,
}

impl Class {
    pub(super) const ALL: [Self; 3] = [Self::Control, Self::Bidi, Self::ZeroWidth];

    /// The class of a decoded character.
    pub(super) fn of(character: char) -> Option<Self> {
        class(u32::from(character))
    }

    pub(super) const fn rule(self) -> Rule {
        match self {
            Self::Control => Rule::ControlCharacters,
            Self::Bidi => Rule::BidiControls,
            Self::ZeroWidth => Rule::ZeroWidth,
        }
    }
}

/// The one list of all of them. U+200C and U+200D are not among them: Persian words and emoji are made with them.
const fn class(code: u32) -> Option<Class> {
    match code {
        0x09 | 0x0A | 0x0D => None,
        0x00..=0x1F | 0x7F..=0x9F => Some(Class::Control),
        // UAX #9 §2: marks, embeddings, overrides, isolates.
        0x061C | 0x200E | 0x200F | 0x202A..=0x202E | 0x2066..=0x2069 => Some(Class::Bidi),
        // Zero width space, word joiner and invisible operators, deprecated format characters, byte order mark,
        // annotations, tags; separators that are line ends to some readers only; noncharacters.
        0x200B
        | 0x2028
        | 0x2029
        | 0x2060..=0x2065
        | 0x206A..=0x206F
        | 0xFDD0..=0xFDEF
        | 0xFEFF
        | 0xFFF9..=0xFFFB
        | 0xFFFE
        | 0xFFFF
        | 0xE_0000..=0xE_007F => Some(Class::ZeroWidth),
        _ => None,
    }
}

/// Bytes with which a spelling begins; spellings of different lanes never overlap.
#[derive(Clone, Copy)]
struct Lane([u8; 3]);

impl Lane {
    /// DELETE, the first byte of U+0080 to U+00BF in UTF-8, and every escape.
    const ESCAPED: Self = Self([0x7F, 0xC2, b'\\']);
    /// The first bytes of U+2000 to U+2FFF, of U+F000 to U+FFFF, and of U+C0000 to U+FFFFF.
    const HIGH: Self = Self([0xE2, 0xEF, 0xF3]);
    /// The first byte of U+0600 to U+063F, where the Arabic letter mark is.
    const ARABIC: Self = Self([0xD8; 3]);

    fn find(self, text: &[u8]) -> Option<usize> {
        let [one, two, three] = self.0;
        memchr::memchr3(one, two, three, text)
    }
}

pub(super) struct Finds<'t> {
    wanted: Wanted,
    text: &'t [u8],
    lanes: [Lane; 3],
    /// Where each lane's next find is.
    next: [Option<(Range<usize>, Class)>; 3],
}

impl Finds<'_> {
    /// Moves a lane to its first find at or behind `from`, which is no place inside of a spelling.
    fn seek(&mut self, lane: usize, mut from: usize) {
        self.next[lane] = None;
        while let Some(found) = self.text.get(from..).and_then(|rest| self.lanes[lane].find(rest)) {
            let start = from + found;
            let (length, class) = spelled(&self.text[start..]);
            from = start + length;
            if let Some(class) = class
                && self.wanted.action(class) != Action::Keep
            {
                self.next[lane] = Some((start..from, class));
                return;
            }
        }
    }
}

impl Iterator for Finds<'_> {
    type Item = (Range<usize>, Class);

    fn next(&mut self) -> Option<Self::Item> {
        let starts = self.next.iter().enumerate();
        let (lane, _) =
            starts.filter_map(|(lane, next)| Some((lane, next.as_ref()?.0.start))).min_by_key(|next| next.1)?;
        let found = self.next[lane].take()?;
        self.seek(lane, found.0.end);
        Some(found)
    }
}

/// How long the spelling is that begins `text`, and what its character is.
fn spelled(text: &[u8]) -> (usize, Option<Class>) {
    match *text {
        [b'\\', b'b' | b'f', ..] => (2, Some(Class::Control)),
        [b'\\', b'u', ..] => match (unit(text), text.get(6..).and_then(unit)) {
            (Some(high @ 0xD800..=0xDBFF), Some(low @ 0xDC00..=0xDFFF)) => {
                (12, class(0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00)))
            }
            (Some(code), _) => (6, class(code)),
            (None, _) => (2, None),
        },
        [b'\\', _, ..] => (2, None),
        [byte @ 0..0x80, ..] => (1, class(u32::from(byte))),
        [lead @ 0xC0..0xE0, one, ..] => (2, class(bits(lead, 0x1F, &[one]))),
        [lead @ 0xE0..0xF0, one, two, ..] => (3, class(bits(lead, 0x0F, &[one, two]))),
        [lead @ 0xF0..=0xFF, one, two, three, ..] => (4, class(bits(lead, 0x07, &[one, two, three]))),
        _ => (1, None),
    }
}

/// The code point of a character in UTF-8, which the reader has checked.
fn bits(lead: u8, mask: u8, rest: &[u8]) -> u32 {
    rest.iter().fold(u32::from(lead & mask), |code, byte| code << 6 | u32::from(byte & 0x3F))
}

/// The UTF-16 unit of an escape `\uXXXX` that begins `text`.
fn unit(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
}
