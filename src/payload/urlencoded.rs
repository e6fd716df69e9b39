//! `application/x-www-form-urlencoded` (WHATWG URL §5), strictly.
//!
//! Where parsers are known to disagree there is no reading: a field without `=` or without a name, an empty one, a `;` (which some
//! take for a separator), a `%` that begins nothing, NUL, and bytes that no serializer leaves as they are. Every name is there once;
//! `a[]` is a name like any other.

use std::borrow::Cow;

use super::fields::{Field, too_many};
use crate::reason::Reason;
use crate::rejection::Rejection;

/// The fields of a body, at most `fields_max`.
///
/// # Errors
/// `form_malformed`, `json_too_large`, with the fact `offset`.
pub(super) fn fields(body: &[u8], fields_max: usize) -> Result<Vec<Field>, Rejection> {
    let mut fields = Vec::new();
    let mut start = 0;
    while start < body.len() || !fields.is_empty() {
        if fields.len() == fields_max {
            return Err(too_many(start, fields_max));
        }
        let end = memchr::memchr(b'&', &body[start..]).map_or(body.len(), |length| start + length);
        let equals = memchr::memchr(b'=', &body[start..end]).map(|length| start + length);
        let Some(equals) = equals.filter(|&equals| equals > start) else {
            return Err(malformed(start, "a name and \"=\""));
        };
        fields.push(Field { whole: start..end, name: start..equals, value: equals + 1..end });
        if end == body.len() {
            break;
        }
        start = end + 1;
    }
    Ok(fields)
}

/// Decodes a name or value that stands at `at`.
///
/// # Errors
/// `form_malformed` with the fact `offset`.
pub(super) fn decoded(spelled: &[u8], at: usize) -> Result<Cow<'_, str>, Rejection> {
    if let Some(found) = spelled.iter().position(|&byte| byte <= b' ' || byte == b';' || byte == 0x7F) {
        return Err(malformed(at + found, "no control character, space or \";\" as it is"));
    }
    let not_utf8 = || malformed(at, "UTF-8");
    if memchr::memchr2(b'+', b'%', spelled).is_none() {
        return std::str::from_utf8(spelled).map(Cow::Borrowed).map_err(|_| not_utf8());
    }
    let mut decoded = Vec::with_capacity(spelled.len());
    let mut rest = spelled;
    while let [first, after @ ..] = rest {
        let offset = at + spelled.len() - rest.len();
        rest = after;
        match (first, after) {
            (b'+', _) => decoded.push(b' '),
            (b'%', [high, low, after @ ..]) => {
                let byte = byte(*high, *low).ok_or_else(|| malformed(offset, EXPECTED_DIGITS))?;
                if byte == 0 {
                    return Err(malformed(offset, "no NUL"));
                }
                decoded.push(byte);
                rest = after;
            }
            (b'%', _) => return Err(malformed(offset, EXPECTED_DIGITS)),
            (&byte, _) => decoded.push(byte),
        }
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| not_utf8())
}

/// Spells a name or value.
pub(super) fn encoded(text: &str) -> Vec<u8> {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().into_bytes()
}

const EXPECTED_DIGITS: &str = "two hexadecimal digits behind \"%\"";

fn byte(high: u8, low: u8) -> Option<u8> {
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    Some(nibble(high)? << 4 | nibble(low)?)
}

#[cold]
fn malformed(offset: usize, expected: &'static str) -> Rejection {
    Rejection::new(Reason::FormMalformed).fact("offset", offset).fact("expected", expected)
}
