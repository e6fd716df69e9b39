//! What the sanitizer made of a body, member by member.
//!
//! Values are shown: they are those of the record that whoever runs the command has, on its own terminal. Nothing like this is in a log.

use std::io::{self, Write};

use bytes::Bytes;

use crate::payload::pointer::escape;
use crate::payload::{Document, Kind, Node};
use crate::text::is_deceptive;

/// Differences that are shown, and characters of a value.
const SHOWN_MAX: usize = 64;
const VALUE_CHARACTERS_MAX: usize = 120;

/// Writes what is gone (`-`) and what stands instead (`+`), each with its JSON pointer.
pub(super) fn write(received: &Bytes, forwarded: &Bytes, out: &mut impl Write) -> io::Result<()> {
    let documents = [received, forwarded].map(|body| Document::read_tolerantly(body.clone()));
    let [Some(received), Some(forwarded)] = &documents else { return Ok(()) };
    let mut lines = Vec::new();
    compare(Some(received.root()), Some(forwarded.root()), "", &mut lines);
    for line in lines.iter().take(SHOWN_MAX) {
        writeln!(out, "        {line}")?;
    }
    match lines.len().saturating_sub(SHOWN_MAX) {
        0 => Ok(()),
        more => writeln!(out, "        … and {more} more"),
    }
}

/// Recursion ends: the reader bounds how deep a document is.
fn compare(before: Option<Node<'_>>, after: Option<Node<'_>>, pointer: &str, lines: &mut Vec<String>) {
    match (before, after) {
        (Some(before), Some(after)) if before.raw() == after.raw() => {}
        (Some(before), Some(after)) if before.kind() == Kind::Object && after.kind() == Kind::Object => {
            for member in before.members() {
                let name = member.key.name();
                compare(Some(member.value), after.get(&name), &format!("{pointer}/{}", escape(&name)), lines);
            }
            let added = after.members().filter(|member| before.get(&member.key.name()).is_none());
            for member in added {
                compare(None, Some(member.value), &format!("{pointer}/{}", escape(&member.key.name())), lines);
            }
        }
        (Some(before), Some(after)) if before.kind() == Kind::Array && before.len() == after.len() => {
            for (index, (before, after)) in before.elements().zip(after.elements()).enumerate() {
                compare(Some(before), Some(after), &format!("{pointer}/{index}"), lines);
            }
        }
        (before, after) => {
            for (sign, node) in [('-', before), ('+', after)] {
                lines.extend(node.map(|node| format!("{sign} {}: {}", shown(pointer), shown_value(node))));
            }
        }
    }
}

fn shown_value(node: Node<'_>) -> String {
    let raw = String::from_utf8_lossy(node.raw());
    match raw.char_indices().nth(VALUE_CHARACTERS_MAX) {
        Some((end, _)) => shown(&raw[..end]) + "…",
        None => shown(&raw),
    }
}

/// What a terminal would obey, or not show, is spelled out, and what it would show as part of the letter before: two spellings of a word are to look like two.
fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        let stands_alone = matches!(character, '"' | '\'' | '\\') || character.escape_debug().len() == 1;
        if is_deceptive(character) || !stands_alone {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(before: &str, after: &str) -> String {
        let mut out = Vec::new();
        let body = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        write(&body(before), &body(after), &mut out).expect("memory takes it");
        String::from_utf8(out).expect("it is text").lines().map(str::trim).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_is_gone_and_what_came_is_shown_where_it_stands() {
        let rows = [
            ("nothing", r#"{"a":1}"#, r#"{"a":1}"#, ""),
            ("a member", r#"{"a":1,"b":{"c":[2]}}"#, r#"{"a":1}"#, r#"- /b: {"c":[2]}"#),
            ("a value", r#"{"a":{"b/c":"x"}}"#, r#"{"a":{"b/c":"y"}}"#, "- /a/b~1c: \"x\"\n+ /a/b~1c: \"y\""),
            ("an element", "[1,2]", "[1,null]", "- /1: 2\n+ /1: null"),
            ("a name", r#"{"a\u0000":1}"#, r#"{"a":1}"#, "- /a\\u{0}: 1\n+ /a: 1"),
            ("the whole", "[1]", "null", "- : [1]\n+ : null"),
            ("accents", "[\"e\u{301}\"]", "[\"\u{e9}\"]", "- /0: \"e\\u{301}\"\n+ /0: \"\u{e9}\""),
            (
                "what a terminal hides",
                "[\"\u{ad}\u{1160}\u{fdd0}\u{e0100}x\"]",
                "[\"x\"]",
                "- /0: \"\\u{ad}\\u{1160}\\u{fdd0}\\u{e0100}x\"\n+ /0: \"x\"",
            ),
            ("what a terminal obeys", "[\"\u{202e}\u{9b}x\"]", "[\"x\"]", "- /0: \"\\u{202e}\\u{9b}x\"\n+ /0: \"x\""),
        ];
        for (name, before, after, expected) in rows {
            assert_eq!(difference(before, after), expected, "{name}");
        }
    }

    #[test]
    fn long_values_and_many_differences_are_cut() {
        let long = format!("[\"{}\"]", "x".repeat(1_000));
        assert!(difference(&long, "[1]").lines().all(|line| line.chars().count() < 140));
        let many = format!("[{}]", vec!["1"; 100].join(","));
        let lines = difference(&many, &many.replace('1', "2"));
        assert_eq!((lines.lines().count(), lines.lines().last()), (65, Some("… and 136 more")));
    }
}
