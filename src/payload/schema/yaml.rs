//! Schema files in YAML, as most OpenAPI documents are: read into what the same file in JSON would say, and no more than JSON can say.
//!
//! The parser hands out one event after the other and builds nothing itself. Values become what the core schema of YAML 1.2 says: `no` and `2026-11-23`
//! are texts. It is the one file that names the crate `saphyr-parser`.
//!
//! **Invariant:** nothing is expanded, so that a small file stays small: an alias is refused (a schema says `$ref`).

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

use super::operator_text;
use crate::payload::JsonLimits;

/// Reads the one document of a file. The error is for the operator.
pub(super) fn read(text: &str, limits: JsonLimits) -> Result<Value, String> {
    let mut builder = Builder { limits, open: Vec::new(), root: None, nodes: 0 };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| at(&operator_text(error.info()), error.marker()))?;
        builder.take(event).map_err(|fault| at(fault, &span.start))?;
    }
    builder.root.ok_or_else(|| "it is empty".to_owned())
}

fn at(fault: &str, marker: &Marker) -> String {
    format!("{fault} (line {}, column {})", marker.line(), marker.col() + 1)
}

/// A value under construction, with all containers that are not closed yet.
struct Builder {
    limits: JsonLimits,
    open: Vec<Open>,
    root: Option<Value>,
    nodes: u32,
}

enum Open {
    Array(Vec<Value>),
    /// The name is that of the member whose value comes next.
    Object(Map<String, Value>, Option<String>),
}

type Taken = Result<(), &'static str>;

impl Builder {
    fn take(&mut self, event: Event<'_>) -> Taken {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => Err("a file holds one document"),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
            Event::Alias(_) => Err("an alias is not followed, a schema refers by $ref"),
            Event::Scalar(_, _, _, Some(_)) | Event::SequenceStart(_, Some(_)) | Event::MappingStart(_, Some(_)) => {
                Err("tags mean nothing in a schema")
            }
            Event::Scalar(text, style, _, None) => self.scalar(&text, style),
            Event::SequenceStart(_, None) => self.open(Open::Array(Vec::new())),
            Event::MappingStart(_, None) => self.open(Open::Object(Map::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
        }
    }

    fn open(&mut self, container: Open) -> Taken {
        if matches!(self.open.last(), Some(Open::Object(_, None))) {
            return Err("a name is a text, not a list or a table");
        }
        if self.open.len() >= self.limits.depth_max as usize {
            return Err("it nests too deeply");
        }
        self.open.push(container);
        Ok(())
    }

    fn close(&mut self) -> Taken {
        match self.open.pop() {
            Some(Open::Array(elements)) => self.put(Value::Array(elements)),
            Some(Open::Object(members, _)) => self.put(Value::Object(members)),
            None => Ok(()),
        }
    }

    /// A name is its text, however it is written: the `200` of an OpenAPI response is no number.
    fn scalar(&mut self, text: &str, style: ScalarStyle) -> Taken {
        if let Some(Open::Object(members, name @ None)) = self.open.last_mut() {
            if members.contains_key(text) {
                return Err("two members have the same name");
            }
            *name = Some(text.to_owned());
            return Ok(());
        }
        let value = if style == ScalarStyle::Plain { plain(text)? } else { Value::String(text.to_owned()) };
        self.put(value)
    }

    fn put(&mut self, value: Value) -> Taken {
        self.nodes += 1;
        if self.nodes > self.limits.nodes_max {
            return Err("it has too many values");
        }
        match self.open.last_mut() {
            None => self.root = Some(value),
            Some(Open::Array(elements)) => elements.push(value),
            Some(Open::Object(members, name)) => {
                members.insert(name.take().unwrap_or_default(), value);
            }
        }
        Ok(())
    }
}

/// A scalar without quotes (YAML 1.2.2 §10.3.2).
fn plain(text: &str) -> Result<Value, &'static str> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if is_not_finite(text) => return Err("JSON has no such number"),
        _ => match number(text) {
            Some(number) => Value::Number(number),
            None => Value::String(text.to_owned()),
        },
    })
}

fn is_not_finite(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN")
}

fn number(text: &str) -> Option<Number> {
    let based = |digits: &str, radix| {
        let digits = (!digits.starts_with('+')).then_some(digits)?;
        u128::from_str_radix(digits, radix).ok().map(|number| number.to_string())
    };
    let spelled = match (text.strip_prefix("0x"), text.strip_prefix("0o")) {
        (Some(digits), _) => based(digits, 16)?,
        (None, Some(digits)) => based(digits, 8)?,
        (None, None) => decimal(text)?,
    };
    serde_json::from_str(&spelled).ok()
}

/// A decimal number as JSON spells it: `+.5` and `007.` are numbers of YAML, too.
fn decimal(text: &str) -> Option<String> {
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => ("-", unsigned),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if !are_digits(whole) || !are_digits(fraction) || whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let mut spelled = format!("{sign}{}", if whole.is_empty() { "0" } else { whole });
    if !fraction.is_empty() {
        spelled.push('.');
        spelled.push_str(fraction);
    }
    if let Some(exponent) = exponent {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        if digits.is_empty() || !are_digits(digits) {
            return None;
        }
        spelled.push('e');
        spelled.push_str(exponent);
    }
    Some(spelled)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use serde_json::json;

    use super::*;

    const LIMITS: JsonLimits = JsonLimits { depth_max: 4, nodes_max: 64, members_max: 64 };

    #[test]
    fn a_file_says_what_the_same_in_json_says() {
        let cases = [
            ("a: 1\nb: [x, 'y', \"z\"]", json!({"a": 1, "b": ["x", "y", "z"]})),
            ("---\n200: {$ref: '#/a'}\n...\n", json!({"200": {"$ref": "#/a"}})),
            (
                "a: no\nb: 2026-11-23\nc: 1_000\nd: 1:30",
                json!({"a": "no", "b": "2026-11-23", "c": "1_000", "d": "1:30"}),
            ),
            ("[~, null, '', '1', true, FALSE, tRUE]", json!([null, null, "", "1", true, false, "tRUE"])),
            ("a:\nb: |\n  two\n  lines\n", json!({"a": null, "b": "two\nlines\n"})),
            ("a: &x 1", json!({"a": 1})),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text, LIMITS).as_ref(), Ok(&expected), "{text}");
        }
    }

    #[test]
    fn numbers_keep_their_digits() {
        let cases = [
            ("1", "1"),
            ("-0", "-0"),
            ("+007", "7"),
            (".5", "0.5"),
            ("3.", "3"),
            ("0.10000000000000000555", "0.10000000000000000555"),
            ("1e400", "1e400"),
            ("-1.5E+3", "-1.5e+3"),
            ("0x1F", "31"),
            ("0o17", "15"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
        ];
        for (text, expected) in cases {
            let expected: Value = serde_json::from_str(expected).unwrap();
            assert_eq!(read(text, LIMITS), Ok(expected), "{text}");
        }
        for text in [".", "1e", "e1", "1.2.3", "0x", "0x+1", "0o8", "1 2", "--1", "+-1", "-a"] {
            assert_eq!(read(text, LIMITS), Ok(Value::String(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn what_json_cannot_say_is_refused_with_its_place() {
        let cases = [
            ("a: &x [1]\nb: *x", "an alias is not followed, a schema refers by $ref (line 2, column 4)"),
            ("a: !!str 1", "tags mean nothing in a schema (line 1, column 4)"),
            ("a: 1\nb: 2\na: 3", "two members have the same name (line 3, column 1)"),
            ("? [a]\n: 1", "a name is a text, not a list or a table (line 1, column 3)"),
            ("a: .inf", "JSON has no such number (line 1, column 4)"),
            ("a\n---\nb", "a file holds one document (line 2, column 1)"),
            ("[[[[[1]]]]]", "it nests too deeply (line 1, column 5)"),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text, LIMITS), Err(expected.to_owned()), "{text}");
        }
        for (count, reads) in [(63, true), (64, false)] {
            let text = format!("[{}]", vec!["1"; count].join(","));
            assert_eq!(read(&text, LIMITS).is_ok(), reads, "{count} elements and their array");
        }
        for text in ["", "# nothing\n", "a: [", "a: b: c", "a: \"\\q\""] {
            assert!(read(text, LIMITS).is_err(), "{text:?}");
        }
    }

    /// What would be gigabytes if somebody expanded it, and what would be a deep recursion.
    #[test]
    fn hostile_files_are_refused_at_once() {
        let mut bomb = "a0: &a0 [x, x]\n".to_owned();
        for level in 1..40 {
            let below = level - 1;
            let _ = writeln!(bomb, "a{level}: &a{level} [*a{below}, *a{below}]");
        }
        let deep = ["[".repeat(1 << 20), "- ".repeat(1 << 19), "{a: ".repeat(1 << 18), "? ".repeat(1 << 19)];
        for text in std::iter::once(bomb).chain(deep) {
            assert!(read(&text, LIMITS).is_err(), "{}", &text[..20]);
        }
    }
}
