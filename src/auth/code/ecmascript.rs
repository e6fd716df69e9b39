//! JSON as JavaScript's `JSON.stringify` writes it (ECMA-262 §25.5.2), of an object whose members were sorted.
//!
//! It walks our own tape, so nothing was rounded on the way here; where JavaScript would have rounded, there is no text.

use std::cmp::Ordering;
use std::fmt::Write as _;

use crate::payload::number::Decimal;
use crate::payload::{Kind, Node};

/// The text; `None` where JavaScript's would not be worth the same.
pub(super) fn sorted(node: Node<'_>) -> Option<String> {
    let mut text = String::with_capacity(node.span().len());
    write(&mut text, node)?;
    Some(text)
}

// As deep as the document, which is bounded.
fn write(text: &mut String, node: Node<'_>) -> Option<()> {
    match node.kind() {
        Kind::Null => text.push_str("null"),
        Kind::Bool => text.push_str(if node.as_bool()? { "true" } else { "false" }),
        Kind::Number => text.push_str(&number(node.number()?)?),
        Kind::String => quote(text, &node.as_str()?),
        Kind::Array => {
            text.push('[');
            for (position, element) in node.elements().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                write(text, element)?;
            }
            text.push(']');
        }
        Kind::Object => {
            let mut members: Vec<_> = node.members().map(|member| (member.key.name(), member.value)).collect();
            members.sort_by(|(one, _), (other, _)| in_order(one, other));
            text.push('{');
            for (position, (name, value)) in members.into_iter().enumerate() {
                // A copy made member by member loses this one: it sets the prototype.
                if name == "__proto__" {
                    return None;
                }
                if position > 0 {
                    text.push(',');
                }
                quote(text, &name);
                text.push(':');
                write(text, value)?;
            }
            text.push('}');
        }
    }
    Some(())
}

/// Names that are array indices come first, by number, whatever the order in which they were set (ECMA-262 §10.1.11); the others by UTF-16
/// code units, as `sort` has them.
fn in_order(one: &str, other: &str) -> Ordering {
    match (index(one), index(other)) {
        (Some(one), Some(other)) => one.cmp(&other),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => one.encode_utf16().cmp(other.encode_utf16()),
    }
}

/// The number of a name that is a canonical array index, below 2^32 - 1.
fn index(name: &str) -> Option<u32> {
    let is_canonical = name == "0" || (!name.starts_with(['0', '+']) && !name.is_empty());
    name.parse().ok().filter(|&index: &u32| is_canonical && index < u32::MAX)
}

/// A string literal (ECMA-262 §25.5.2.3).
fn quote(text: &mut String, string: &str) {
    text.push('"');
    for character in string.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            // Writing into a string cannot fail.
            '\0'..='\u{1f}' => drop(write!(text, "\\u{:04x}", u32::from(character))),
            other => text.push(other),
        }
    }
    text.push('"');
}

/// A number as JavaScript writes the double that it reads (ECMA-262 §6.1.6.1.20); `None` where that is not worth the same.
fn number(written: &str) -> Option<String> {
    let value: f64 = written.parse().ok().filter(|value: &f64| value.is_finite())?;
    let text = if value == 0.0 { "0".to_owned() } else { digits(value)? };
    (Decimal::parse(&text) == Decimal::parse(written)).then_some(text)
}

/// The shortest digits that read as this double again, laid out as JavaScript does.
fn digits(value: f64) -> Option<String> {
    let spelled = format!("{:e}", value.abs());
    let (mantissa, exponent) = spelled.split_once('e')?;
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    // Where the point stands, counted from the first digit.
    let point = exponent.parse::<i32>().ok()?.checked_add(1)?;
    let count = i32::try_from(digits.len()).ok()?;
    let sign = if value < 0.0 { "-" } else { "" };
    let zeros = |number: i32| "0".repeat(usize::try_from(number).unwrap_or_default());
    Some(if count <= point && point <= 21 {
        format!("{sign}{digits}{}", zeros(point - count))
    } else if 0 < point && point <= 21 {
        let (whole, fraction) = digits.split_at(usize::try_from(point).ok()?);
        format!("{sign}{whole}.{fraction}")
    } else if -6 < point && point <= 0 {
        format!("{sign}0.{}{digits}", zeros(-point))
    } else {
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        format!("{sign}{first}{dot}{rest}e{:+}", point - 1)
    })
}
