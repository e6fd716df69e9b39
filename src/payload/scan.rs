//! Finding the ends of JSON strings, numbers and white space in bytes.
//!
//! Pure functions from a position to a position; the [`reader`](super::reader) gives their results a structure.
//! Strings are looked at eight bytes at a time, as numbers in a register: most bytes of a webhook are inside of strings.
//!
//! **Invariant:** each function looks at a byte a bounded number of times, so scanning is linear in the body, whatever a
//! sender writes.

use super::fault::Fault;

/// Where a string ends, and whether what it says differs from how it is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StringEnd {
    /// The byte after the closing quote.
    pub(super) end: usize,
    /// Whether the string has a `\`.
    pub(super) escaped: bool,
}

/// Where a number ends, and how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NumberEnd {
    /// The byte after the last one of the number.
    pub(super) end: usize,
    /// Whether it has a fraction or an exponent.
    pub(super) decimal: bool,
}

/// The byte at a position; past the end zero, which may stand nowhere in a JSON text.
#[inline]
pub(super) fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// The first position from `at` on that is not white space (RFC 8259 §2).
#[inline]
pub(super) fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\t' | b'\r') = bytes.get(at) {
        at += 1;
    }
    at
}

/// Scans a string whose opening quote stands before `at` (RFC 8259 §7).
///
/// # Errors
///
/// A control character, an unknown escape or no closing quote is malformed; half of a surrogate pair is not UTF-8 once it
/// is decoded.
#[inline]
pub(super) fn string(bytes: &[u8], mut at: usize) -> Result<StringEnd, Fault> {
    while let Some(word) = word(bytes, at) {
        let marks = marks(word);
        if marks == 0 {
            at += 8;
            continue;
        }
        at += (marks.trailing_zeros() / 8) as usize;
        if byte(bytes, at) == b'"' {
            return Ok(StringEnd { end: at + 1, escaped: false });
        }
        return rare_string(bytes, at, false);
    }
    rare_string(bytes, at, false)
}

/// The rest of a string that has an escape or a fault, or stands at the end of the body.
#[cold]
#[inline(never)]
fn rare_string(bytes: &[u8], mut at: usize, mut escaped: bool) -> Result<StringEnd, Fault> {
    loop {
        while let Some(word) = word(bytes, at) {
            let marks = marks(word);
            if marks != 0 {
                at += (marks.trailing_zeros() / 8) as usize;
                break;
            }
            at += 8;
        }
        match bytes.get(at) {
            Some(b'"') => return Ok(StringEnd { end: at + 1, escaped }),
            Some(b'\\') => {
                // Escapes come in runs (`\r\n`, a text in another script): stay on them as long as they last.
                while byte(bytes, at) == b'\\' {
                    at = escape(bytes, at)?;
                }
                escaped = true;
            }
            Some(0x20..) => at += 1,
            Some(0..0x20) | None => return Err(Fault::malformed(at)),
        }
    }
}

/// The position after the escape at `at`; a pair of surrogates counts as one.
#[inline]
fn escape(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    match byte(bytes, at + 1) {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(at + 2),
        b'u' => match hex4(bytes, at + 2).ok_or(Fault::malformed(at))? {
            0xD800..=0xDBFF => low_surrogate(bytes, at),
            0xDC00..=0xDFFF => Err(Fault::not_utf8(at)),
            _ => Ok(at + 6),
        },
        _ => Err(Fault::malformed(at)),
    }
}

/// The position after the pair whose high half is the escape at `at`.
fn low_surrogate(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let low = if byte(bytes, at + 6) == b'\\' && byte(bytes, at + 7) == b'u' { hex4(bytes, at + 8) } else { None };
    match low {
        Some(0xDC00..=0xDFFF) => Ok(at + 12),
        Some(_) | None => Err(Fault::not_utf8(at)),
    }
}

/// What a string says whose spelling between the quotes is `raw`.
///
/// `raw` was accepted by [`string`]; from anything else an undecodable escape is left out.
pub(super) fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(raw.len());
    unescape_into(&mut text, raw);
    text
}

/// Appends to `text` what [`unescape`] makes of `raw`.
pub(super) fn unescape_into(text: &mut Vec<u8>, raw: &[u8]) {
    let mut at = 0;
    while let Some(gap) = memchr::memchr(b'\\', raw.get(at..).unwrap_or_default()) {
        text.extend_from_slice(&raw[at..at + gap]);
        at += gap;
        let plain = match byte(raw, at + 1) {
            b'b' => 0x08,
            b'f' => 0x0C,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (character, length) = unicode(raw, at);
                if let Some(character) = character {
                    text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                at += length;
                continue;
            }
            itself => itself,
        };
        text.push(plain);
        at += 2;
    }
    text.extend_from_slice(raw.get(at..).unwrap_or_default());
}

/// Appends to `json` what a string that says `text` has between its quotes, in the shortest spelling that every reader knows.
pub(crate) fn escape_into(json: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => json.extend_from_slice(&[b'\\', byte]),
            b'\n' => json.extend_from_slice(b"\\n"),
            b'\r' => json.extend_from_slice(b"\\r"),
            b'\t' => json.extend_from_slice(b"\\t"),
            0..0x20 => {
                let (high, low) = (b'0' + (byte >> 4), DIGITS[usize::from(byte & 15)]);
                json.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
            _ => json.push(byte),
        }
    }
}

/// The character that the `\u` escape at `at` stands for, and how long its spelling is.
fn unicode(raw: &[u8], at: usize) -> (Option<char>, usize) {
    let Some(first) = hex4(raw, at + 2) else { return (None, 2) };
    if !(0xD800..0xDC00).contains(&first) {
        return (char::from_u32(first), 6);
    }
    let character = hex4(raw, at + 8)
        .and_then(|second| second.checked_sub(0xDC00))
        .and_then(|low| char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + low));
    (character, 12)
}

/// The value of four hexadecimal digits.
#[inline]
fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 4)?;
    let mut value = 0;
    let mut wrong = 0;
    for &digit in digits {
        let nibble = HEX[digit as usize];
        wrong |= nibble;
        value = value << 4 | u32::from(nibble & 0x0F);
    }
    (wrong & NOT_HEX == 0).then_some(value)
}

/// Scans the number that begins at `at` (RFC 8259 §6). Its size does not matter: numbers stay text.
///
/// # Errors
///
/// Malformed at the byte that cannot stand there.
#[inline]
pub(super) fn number(bytes: &[u8], at: usize) -> Result<NumberEnd, Fault> {
    let first = if byte(bytes, at) == b'-' { at + 1 } else { at };
    let mut end = match byte(bytes, first) {
        b'0' => first + 1,
        b'1'..=b'9' => digits(bytes, first + 1),
        _ => return Err(Fault::malformed(first)),
    };
    let mut decimal = false;
    if byte(bytes, end) == b'.' {
        end = some_digits(bytes, end + 1)?;
        decimal = true;
    }
    if byte(bytes, end) | 0x20 == b'e' {
        let sign = usize::from(matches!(byte(bytes, end + 1), b'+' | b'-'));
        end = some_digits(bytes, end + 1 + sign)?;
        decimal = true;
    }
    Ok(NumberEnd { end, decimal })
}

#[inline]
fn digits(bytes: &[u8], mut at: usize) -> usize {
    while byte(bytes, at).is_ascii_digit() {
        at += 1;
    }
    at
}

#[inline]
fn some_digits(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let end = digits(bytes, at);
    if end == at { Err(Fault::malformed(at)) } else { Ok(end) }
}

/// Eight bytes from `at` on as one number, the first one lowest; `None` where fewer are left.
#[inline]
pub(super) fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Sets the high bit of bytes that end a plain run of a string: `"`, `\` and control characters.
///
/// Only the lowest bit set can be trusted: a subtraction may borrow from the bytes above it. With bit 1 flipped, control
/// characters and `"` are exactly the bytes below 0x21.
#[inline]
const fn marks(word: u64) -> u64 {
    let quote_or_control = (word ^ (EACH * 0x02)).wrapping_sub(EACH * 0x21);
    let backslash = (word ^ (EACH * b'\\' as u64)).wrapping_sub(EACH);
    (quote_or_control | backslash) & !word & (EACH * 0x80)
}

/// One in each byte of a word.
const EACH: u64 = 0x0101_0101_0101_0101;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Marks a byte of [`HEX`] that is no digit.
const NOT_HEX: u8 = 0x80;

/// The value of each hexadecimal digit.
const HEX: [u8; 256] = {
    let mut table = [NOT_HEX; 256];
    let mut digit = 0;
    while digit < 16 {
        table[b"0123456789abcdef"[digit as usize] as usize] = digit;
        table[b"0123456789ABCDEF"[digit as usize] as usize] = digit;
        digit += 1;
    }
    table
};
