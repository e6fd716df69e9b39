//! One JSON object, written member by member straight into a line.
//!
//! **Invariant:** member names are ours; every value is escaped, cut, and on the same line.

use std::net::IpAddr;

use crate::rejection::Fact;
use crate::text;

/// Most characters of any one text in a list or table of facts, and of names that an operator chose.
pub(super) const TEXT_CHARS_MAX: usize = 256;
/// Most entries of a list of facts.
const LIST_MAX: usize = 32;
/// Most levels of tables within tables.
const DEPTH_MAX: usize = 4;
/// Facts past this many bytes are left out; a member `cut` says so.
const DETAIL_BYTES_MAX: usize = 8 * 1024;

/// An object that is being written; [`Object::end`] closes it.
pub(super) struct Object<'o> {
    pub(super) out: &'o mut Vec<u8>,
    separator: u8,
}

impl<'o> Object<'o> {
    pub(super) fn begin(out: &'o mut Vec<u8>) -> Self {
        Self { out, separator: b'{' }
    }

    pub(super) fn end(self) {
        if self.separator == b'{' {
            self.out.push(b'{');
        }
        self.out.push(b'}');
    }

    /// The name of a member; its value has to follow.
    pub(super) fn name(&mut self, name: &str) -> &mut Vec<u8> {
        self.out.push(self.separator);
        self.separator = b',';
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    pub(super) fn text(&mut self, name: &str, text: &str, chars_max: usize) {
        text::push_json(self.name(name), text, chars_max);
    }

    pub(super) fn text_or_null(&mut self, name: &str, text: Option<&str>, chars_max: usize) {
        text::push_json_or_null(self.name(name), text, chars_max);
    }

    /// Text that needs no escape: ours, or checked.
    pub(super) fn plain(&mut self, name: &str, text: &str) {
        let out = self.name(name);
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    }

    /// Texts that need no escape, as an array.
    pub(super) fn plain_list(&mut self, name: &str, texts: impl Iterator<Item = &'static str>) {
        let out = self.name(name);
        out.push(b'[');
        for (place, text) in texts.enumerate() {
            out.extend_from_slice(if place == 0 { b"\"" } else { b",\"" });
            out.extend_from_slice(text.as_bytes());
            out.push(b'"');
        }
        out.push(b']');
    }

    pub(super) fn time(&mut self, name: &str, ts: i64) {
        let out = self.name(name);
        out.push(b'"');
        text::push_rfc3339(out, ts);
        out.push(b'"');
    }

    pub(super) fn ip(&mut self, name: &str, ip: IpAddr) {
        let out = self.name(name);
        out.push(b'"');
        text::push_ip(out, ip);
        out.push(b'"');
    }

    pub(super) fn number(&mut self, name: &str, number: u64) {
        text::push_number(self.name(name), number);
    }

    pub(super) fn number_or_null(&mut self, name: &str, number: Option<u64>) {
        text::push_number_or_null(self.name(name), number);
    }

    pub(super) fn null(&mut self, name: &str) {
        self.name(name).extend_from_slice(b"null");
    }

    /// The facts of a rejection as an object.
    pub(super) fn facts(&mut self, name: &str, facts: &[(&'static str, Fact)]) {
        push_facts(self.name(name), facts, 1);
    }
}

fn push_facts(out: &mut Vec<u8>, facts: &[(&'static str, Fact)], depth: usize) {
    let begin = out.len();
    let mut object = Object::begin(out);
    for (name, fact) in facts {
        if object.out.len() - begin > DETAIL_BYTES_MAX {
            object.name("cut").extend_from_slice(b"true");
            break;
        }
        push_fact(object.name(name), fact, depth);
    }
    object.end();
}

fn push_fact(out: &mut Vec<u8>, fact: &Fact, depth: usize) {
    match fact {
        Fact::Text(text) => text::push_json(out, text, TEXT_CHARS_MAX),
        Fact::Number(number) => text::push_format(out, format_args!("{number}")),
        Fact::List(texts) => push_list(out, texts, |out, text| text::push_json(out, text, TEXT_CHARS_MAX)),
        Fact::Rows(rows) if depth < DEPTH_MAX => push_list(out, rows, |out, row| push_facts(out, row, depth + 1)),
        Fact::Rows(_) => text::push_json(out, text::CUT, 1),
    }
}

/// An array of as many entries as are allowed, and a last one that says what is missing.
fn push_list<T>(out: &mut Vec<u8>, entries: &[T], push: impl Fn(&mut Vec<u8>, &T)) {
    let begin = out.len();
    out.push(b'[');
    for (place, entry) in entries.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        if place == LIST_MAX || out.len() - begin > DETAIL_BYTES_MAX {
            text::push_json(out, text::CUT, 1);
            break;
        }
        push(out, entry);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn written(facts: &[(&'static str, Fact)]) -> Value {
        let mut out = Vec::new();
        push_facts(&mut out, facts, 1);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn facts_stand_as_the_json_they_would_be() {
        let rows = vec![vec![("pointer", Fact::from("/a/*")), ("keyword", Fact::from("type"))], vec![]];
        let facts = [
            ("header", Fact::from("x-hub-signature-256")),
            ("skew_seconds", Fact::from(-412_i64)),
            ("secrets", Fact::from(vec!["2026-11".to_owned(), "a\u{202e}\"b".to_owned()])),
            ("errors", Fact::Rows(rows)),
        ];
        let expected = json!({
            "header": "x-hub-signature-256", "skew_seconds": -412, "secrets": ["2026-11", "a\u{202e}\"b"],
            "errors": [{"pointer": "/a/*", "keyword": "type"}, {}],
        });
        assert_eq!(written(&facts), expected);
        assert_eq!(written(&[]), json!({}));
    }

    #[test]
    fn lists_and_texts_are_cut_at_their_limits() {
        for (entries, expected) in [(LIST_MAX - 1, LIST_MAX - 1), (LIST_MAX, LIST_MAX), (LIST_MAX + 1, LIST_MAX + 1)] {
            let list = written(&[("list", Fact::from(vec!["x".to_owned(); entries]))]);
            let list = list["list"].as_array().unwrap();
            assert_eq!(list.len(), expected);
            assert_eq!(list.last().unwrap() == text::CUT, entries > LIST_MAX, "{entries} entries");
        }
        for (chars, cut) in [(TEXT_CHARS_MAX, false), (TEXT_CHARS_MAX + 1, true)] {
            let text = written(&[("text", Fact::from("x".repeat(chars)))]);
            assert_eq!(text["text"].as_str().unwrap().ends_with(text::CUT), cut, "{chars} characters");
        }
    }

    #[test]
    fn facts_without_end_are_cut_and_stay_json() {
        let long = || Fact::from(vec!["\u{202e}".repeat(TEXT_CHARS_MAX); LIST_MAX]);
        let facts = [("a", long()), ("b", long()), ("c", long())];
        let mut out = Vec::new();
        push_facts(&mut out, &facts, 1);
        assert!(out.len() < 3 * DETAIL_BYTES_MAX, "{}", out.len());
        let value: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["cut"], true);

        let deep = (0..10).fold(Fact::from(1_i64), |inner, _| Fact::Rows(vec![vec![("rows", inner)]]));
        assert!(written(&[("deep", deep)]).to_string().contains(text::CUT));
    }
}
