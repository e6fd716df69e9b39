//! Single values of bodies that are not validated.
//!
//! A few senders put credential, timestamp, event or delivery id into the body, where they are needed before the body is
//! validated (`authenticate`), or although it never is (`payload = "opaque"`). A lookup never refuses: what cannot be read
//! has no values, and the stage that asked says what is missing.
//!
//! **Invariant:** a lookup's result is the sender's text. It decides nothing by being found.

use std::borrow::Cow;

use bytes::Bytes;

use super::document::{Document, JsonLimits};
use super::pointer::Pointer;

/// The string, number or boolean at a place of a JSON body, as text; `None` where the body is not strict JSON within the
/// default limits, or nothing of that kind is there.
#[must_use]
pub fn text(body: &Bytes, pointer: &Pointer) -> Option<String> {
    let document = Document::read(body.clone(), JsonLimits::default()).ok()?;
    document.find(pointer)?.scalar_text().map(Cow::into_owned)
}

/// The first field of that name in an `application/x-www-form-urlencoded` body, decoded (WHATWG URL §5.1); `None` where
/// there is none, or a value is not UTF-8.
#[must_use]
pub fn form_field<'b>(body: &'b [u8], name: &str) -> Option<Cow<'b, str>> {
    let fields = body.split(|&byte| byte == b'&').filter(|field| !field.is_empty());
    for field in fields {
        let (spelled, value) = match memchr::memchr(b'=', field) {
            Some(equals) => (&field[..equals], &field[equals + 1..]),
            None => (field, &field[field.len()..]),
        };
        if form_text(spelled).as_deref() == Some(name) {
            return form_text(value);
        }
    }
    None
}

/// Decodes one name or value: `+` is a space, `%XX` a byte, and a `%` that begins nothing stays.
fn form_text(spelled: &[u8]) -> Option<Cow<'_, str>> {
    if memchr::memchr2(b'+', b'%', spelled).is_none() {
        return std::str::from_utf8(spelled).ok().map(Cow::Borrowed);
    }
    let mut decoded = Vec::with_capacity(spelled.len());
    let mut rest = spelled;
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'+', _) => decoded.push(b' '),
            (b'%', [high, low, after @ ..]) => match (nibble(*high), nibble(*low)) {
                (Some(high), Some(low)) => {
                    decoded.push(high << 4 | low);
                    rest = after;
                }
                _ => decoded.push(b'%'),
            },
            (&byte, _) => decoded.push(byte),
        }
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_values_are_found_and_nothing_is_refused() {
        let rows = [
            (r#"{"type":"push"}"#, "/type", Some("push")),
            (r#"{"type":"pu\u0073h"}"#, "/type", Some("push")),
            (r#"{"data":[{"id":17}]}"#, "/data/0/id", Some("17")),
            (r#"{"big":1e400}"#, "/big", Some("1e400")),
            (r#"{"live":true}"#, "/live", Some("true")),
            (r#"{"live":null}"#, "/live", None),
            (r#"{"live":{}}"#, "/live", None),
            (r#"{"type":"push"}"#, "/kind", None),
            (r#"{"type":"push","type":"pull"}"#, "/type", None),
            (r#"{"type":"push"} x"#, "/type", None),
            ("type=push", "/type", None),
            ("", "", None),
        ];
        for (body, pointer, expected) in rows {
            let found = text(&Bytes::from_static(body.as_bytes()), &Pointer::parse(pointer).unwrap());
            assert_eq!(found.as_deref(), expected, "{body} {pointer}");
        }
    }

    #[test]
    fn the_first_form_field_of_a_name_is_decoded() {
        let rows = [
            ("a=1&b=2", "b", Some("2")),
            ("a=1&a=2", "a", Some("1")),
            ("a+b=c+d", "a b", Some("c d")),
            ("a%62=%C3%A9", "ab", Some("é")),
            ("a=%2B%26%3D", "a", Some("+&=")),
            ("a=b=c", "a", Some("b=c")),
            ("&&a=1", "a", Some("1")),
            ("a", "a", Some("")),
            ("a=", "a", Some("")),
            ("a=100%", "a", Some("100%")),
            ("a=%zz%4", "a", Some("%zz%4")),
            ("a=%+1+", "a", Some("% 1 ")),
            ("a=%FF", "a", None),
            ("A=1", "a", None),
            ("", "a", None),
            ("", "", None),
        ];
        for (body, name, expected) in rows {
            assert_eq!(form_field(body.as_bytes(), name).as_deref(), expected, "{body:?} {name:?}");
        }
    }
}
