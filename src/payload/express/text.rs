//! What is asked of strings, and of values that a schema lists one by one.

use std::sync::Arc;

use serde_json::Value;

use super::{Bounds, Kinds};
use crate::payload::expressions::Pattern;
use crate::payload::formats::{is_uri, is_uri_template};
use crate::payload::{Kind, Node};

/// A format whose meaning is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Uri,
    UriTemplate,
    DateTime,
}

impl Format {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "uri" => Some(Self::Uri),
            "uri-template" => Some(Self::UriTemplate),
            "date-time" => Some(Self::DateTime),
            _ => None,
        }
    }

    /// Whether a string surely has this format.
    pub(super) fn admits(self, node: Node<'_>) -> bool {
        let raw = node.raw_str().unwrap_or_default();
        if node.is_escaped() {
            return node.as_str().is_some_and(|text| self.admits_text(text.as_bytes()));
        }
        self.admits_text(raw)
    }

    fn admits_text(self, text: &[u8]) -> bool {
        match self {
            Self::Uri => is_uri(text),
            Self::UriTemplate => is_uri_template(text),
            Self::DateTime => is_common_date_time(text),
        }
    }
}

/// Whether a text is a date and time (RFC 3339 §5.6) as almost all senders write it: with capital letters, without a leap
/// second.
fn is_common_date_time(text: &[u8]) -> bool {
    let Some((moment, rest)) = text.split_first_chunk::<19>() else { return false };
    let shape = b"0000-00-00T00:00:00";
    let shaped =
        moment.iter().zip(shape).all(|(byte, of)| if *of == b'0' { byte.is_ascii_digit() } else { byte == of });
    let (month, day) = (two_digits(moment, 5), two_digits(moment, 8));
    let days = match month {
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    shaped
        && (1..=12).contains(&month)
        && (1..=days).contains(&day)
        && two_digits(moment, 11) < 24
        && two_digits(moment, 14) < 60
        && two_digits(moment, 17) < 60
        && is_offset(after_fraction(rest))
}

fn after_fraction(text: &[u8]) -> &[u8] {
    let Some(digits) = text.strip_prefix(b".") else { return text };
    let end = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if end == 0 { text } else { &digits[end..] }
}

fn is_offset(text: &[u8]) -> bool {
    match text {
        b"Z" => true,
        [b'+' | b'-', a, b, b':', c, d] if [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()) => {
            two_digits(text, 1) < 24 && two_digits(text, 4) < 60
        }
        _ => false,
    }
}

/// The number that two digits are; what are none are no small number.
fn two_digits(text: &[u8], at: usize) -> u8 {
    match text.get(at..at + 2) {
        Some([tens, ones]) if tens.is_ascii_digit() && ones.is_ascii_digit() => (tens - b'0') * 10 + (ones - b'0'),
        Some(_) | None => u8::MAX,
    }
}

/// Whether a string has a length within these bounds, and all patterns match it.
pub(super) fn admits(node: Node<'_>, patterns: &[Arc<Pattern>], characters: Bounds) -> bool {
    if patterns.is_empty() && characters.is_everything() {
        return true;
    }
    let Some(text) = node.as_str() else { return false };
    (characters.is_everything() || characters.admit_count(text.chars().count()))
        && patterns.iter().all(|pattern| pattern.looked_up(&text) == Some(true))
}

/// The values that `enum` or `const` lists, as far as they are strings, booleans and `null`.
#[derive(Debug)]
pub(super) struct Values {
    strings: Box<[Box<str>]>,
    null: bool,
    truths: [bool; 2],
    /// Of what kinds they are, all of them.
    pub(super) kinds: Kinds,
}

impl Values {
    pub(super) fn new(values: &[Value]) -> Self {
        let kinds = values.iter().map(|value| match value {
            Value::Null => Kinds::NULL,
            Value::Bool(_) => Kinds::BOOL,
            Value::String(_) => Kinds::STRING,
            Value::Number(_) | Value::Array(_) | Value::Object(_) => Kinds::ALL,
        });
        Self {
            strings: values.iter().filter_map(Value::as_str).map(Into::into).collect(),
            null: values.contains(&Value::Null),
            truths: [false, true].map(|truth| values.contains(&Value::Bool(truth))),
            kinds: kinds.fold(Kinds::NONE, Kinds::or),
        }
    }

    /// Whether a value surely is one of these.
    pub(super) fn admit(&self, node: Node<'_>) -> bool {
        match node.kind() {
            Kind::Null => self.null,
            Kind::Bool => node.as_bool().is_some_and(|truth| self.truths[usize::from(truth)]),
            Kind::String => node.as_str().is_some_and(|text| self.strings.iter().any(|listed| **listed == *text)),
            Kind::Number | Kind::Array | Kind::Object => false,
        }
    }
}
