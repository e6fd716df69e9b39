//! What of the payloads of one event is not as its schema says: what `hookward schema drift` counts.
//!
//! A provider changes its payloads without asking. What is *new* are members that the schema does not declare, *missing* are those that it requires,
//! *changed* is all else that does not fit. Places are JSON Pointers in which `*` stands for any element, and for members that have no name in the schema.
//!
//! **Invariant:** no value of a payload is kept, only its type. Names of members that the schema does not declare are: what comes of this is for the
//! operator who gave the samples, and for nobody else.

use std::collections::{BTreeMap, BTreeSet};

use crate::payload::declared::{Declared, Place, Standing};
use crate::payload::schema::{Miss, Schema};
use crate::payload::{Document, Kind, Node};
use crate::record::Record;

use super::json::Json;

/// Findings that are kept of one event; of more only the number is.
const FINDINGS_MAX: usize = 1_000;
/// Characters of a member's name that are kept.
const NAME_CHARS_MAX: usize = 80;

/// How samples of one event compare with its schema.
#[derive(Debug, Default)]
pub struct Drift {
    samples: u64,
    misses: u64,
    unexplained: u64,
    findings: BTreeMap<Finding, Seen>,
    others: u64,
}

/// One way in which a payload differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// In which sense.
    pub change: Change,
    /// Where in the payload.
    pub pointer: String,
    /// The keyword that says otherwise, and its place in the schema; empty where a member is new.
    pub keyword: String,
    /// See `keyword`.
    pub schema: String,
}

/// What became of the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// A member that the schema does not declare.
    New,
    /// A member that it requires and that is not there.
    Missing,
    /// Anything else that does not fit.
    Changed,
}

/// In what a finding was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// So many samples.
    pub samples: u64,
    last_sample: u64,
    /// The types that stood there; none where a log does not say.
    pub types: BTreeSet<&'static str>,
}

impl Change {
    /// As it is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Missing => "missing",
            Self::Changed => "changed",
        }
    }
}

impl Drift {
    /// Compares one payload.
    pub fn add(&mut self, document: &Document, schema: &Schema) {
        self.samples += 1;
        let misses = if schema.check(document).is_ok() { Some(Vec::new()) } else { schema.misses(document) };
        let Some(misses) = misses else {
            self.misses += 1;
            self.unexplained += 1;
            return;
        };
        self.misses += u64::from(!misses.is_empty());
        for (finding, kind) in misses.into_iter().filter_map(Finding::of_miss) {
            self.note(finding, kind);
        }
        let declared = schema.declared();
        walk(document.root(), declared, declared.root(), &mut String::new(), &mut |pointer, kind| {
            self.note(Finding::new_member(pointer), Some(kind));
        });
    }

    /// Counts a payload of which nothing can be compared: its event has no schema.
    pub fn add_unlisted(&mut self) {
        self.samples += 1;
    }

    /// Adds a record of the rejected log, of reason `schema_mismatch`: a refused delivery or one that only was monitored.
    pub fn add_logged(&mut self, record: &Record) {
        self.samples += 1;
        self.misses += 1;
        let rows = record.detail.get("errors").and_then(|rows| rows.as_array()).map_or(&[][..], Vec::as_slice);
        self.unexplained += u64::from(rows.is_empty());
        for row in rows {
            let text = |name: &str| row.get(name).and_then(|text| text.as_str()).unwrap_or_default().to_owned();
            let property = row.get("property").and_then(|text| text.as_str());
            self.note(
                Finding::new(&without_indices(&text("pointer")), property, text("keyword"), text("schema")),
                None,
            );
        }
    }

    fn note(&mut self, finding: Finding, kind: Option<Kind>) {
        if self.findings.len() >= FINDINGS_MAX && !self.findings.contains_key(&finding) {
            self.others += 1;
            return;
        }
        let seen = self.findings.entry(finding).or_default();
        seen.types.extend(kind.map(type_name));
        if seen.last_sample != self.samples {
            seen.last_sample = self.samples;
            seen.samples += 1;
        }
    }

    /// How many samples there were.
    #[must_use]
    pub const fn samples(&self) -> u64 {
        self.samples
    }

    /// How many of them do not fit the schema.
    #[must_use]
    pub const fn misses(&self) -> u64 {
        self.misses
    }

    /// How many of those do not say where.
    #[must_use]
    pub const fn unexplained(&self) -> u64 {
        self.unexplained
    }

    /// How often something was found besides [`Drift::findings`], of which only so many are kept.
    #[must_use]
    pub const fn others(&self) -> u64 {
        self.others
    }

    /// Whether anything differs.
    #[must_use]
    pub fn has_any(&self) -> bool {
        self.misses > 0 || !self.findings.is_empty()
    }

    /// What was found.
    #[must_use]
    pub const fn findings(&self) -> &BTreeMap<Finding, Seen> {
        &self.findings
    }

    /// The same as JSON, behind `members` that say of what.
    #[must_use]
    pub fn json(&self, mut members: Vec<(String, Json)>) -> Json {
        let number = |name: &str, number| (name.to_owned(), Json::Number(number));
        members.extend([
            number("samples", self.samples),
            number("misses", self.misses),
            number("unexplained", self.unexplained),
            number("others", self.others),
        ]);
        let findings = self.findings.iter().map(|(finding, seen)| {
            let text = |name: &str, text: &str| (name.to_owned(), Json::text(text));
            let mut members = vec![text("drift", finding.change.name()), text("pointer", &finding.pointer)];
            if finding.change != Change::New {
                members.extend([text("keyword", &finding.keyword), text("schema", &finding.schema)]);
            }
            members.push(("types".to_owned(), Json::List(seen.types.iter().copied().map(Json::text).collect())));
            members.push(number("samples", seen.samples));
            Json::Object(members)
        });
        members.push(("findings".to_owned(), Json::List(findings.collect())));
        Json::Object(members)
    }
}

impl Finding {
    fn new(pointer: &str, property: Option<&str>, keyword: String, schema: String) -> Self {
        let (change, pointer) = match (&*keyword, property) {
            ("required", Some(property)) => (Change::Missing, format!("{pointer}/{}", segment(property))),
            ("required", None) => (Change::Missing, pointer.to_owned()),
            ("additionalProperties" | "unevaluatedProperties", _) => (Change::New, format!("{pointer}/*")),
            _ => (Change::Changed, pointer.to_owned()),
        };
        match change {
            Change::New => Self::new_member(&pointer),
            Change::Missing | Change::Changed => Self { change, pointer, keyword, schema },
        }
    }

    fn new_member(pointer: &str) -> Self {
        Self { change: Change::New, pointer: pointer.to_owned(), keyword: String::new(), schema: String::new() }
    }

    /// What a schema says is wrong; members that it does not declare are found by looking for them.
    fn of_miss(miss: Miss) -> Option<(Self, Option<Kind>)> {
        let finding = Self::new(&miss.place, miss.property.as_deref(), miss.keyword, miss.schema);
        match finding.change {
            Change::New => None,
            Change::Missing => Some((finding, None)),
            Change::Changed => Some((finding, miss.found)),
        }
    }
}

/// Shows every member that nobody declares; as deep as the document, whose depth is bounded.
fn walk(node: Node<'_>, declared: &Declared, place: Place, pointer: &mut String, found: &mut impl FnMut(&str, Kind)) {
    let length = pointer.len();
    for member in node.members() {
        let (shown, below) = match declared.member(place, member.key) {
            Standing::Listed(below) => (segment(&member.key.name()), Some(below)),
            Standing::Open(below) => ("*".to_owned(), Some(below)),
            Standing::Undeclared => (segment(&member.key.name()), None),
        };
        pointer.push('/');
        pointer.push_str(&shown);
        match below {
            Some(below) => walk(member.value, declared, below, pointer, found),
            None => found(pointer, member.value.kind()),
        }
        pointer.truncate(length);
    }
    for (index, element) in node.elements().enumerate() {
        pointer.push_str("/*");
        walk(element, declared, declared.element(place, index), pointer, found);
        pointer.truncate(length);
    }
}

/// A name as a segment of a pointer (RFC 6901 §3), cut.
fn segment(name: &str) -> String {
    name.chars().take(NAME_CHARS_MAX).collect::<String>().replace('~', "~0").replace('/', "~1")
}

/// A pointer of a log, which tells elements apart.
fn without_indices(pointer: &str) -> String {
    let is_index = |segment: &str| !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
    let segments = pointer.split('/').map(|segment| if is_index(segment) { "*" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

const fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Null => "null",
        Kind::Bool => "boolean",
        Kind::Number => "number",
        Kind::String => "string",
        Kind::Array => "array",
        Kind::Object => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::payload::JsonLimits;

    fn schema(value: &Value) -> Schema {
        Schema::from_value(value, &std::env::temp_dir()).unwrap()
    }

    fn document(text: &str) -> Document {
        Document::read(bytes::Bytes::copy_from_slice(text.as_bytes()), JsonLimits::default()).unwrap()
    }

    /// The findings, a line each: change, pointer, keyword, place in the schema, types, samples.
    fn lines(drift: &Drift) -> Vec<String> {
        let line = |(finding, seen): (&Finding, &Seen)| {
            let types: Vec<_> = seen.types.iter().copied().collect();
            let words = [
                finding.change.name(),
                &finding.pointer,
                &finding.keyword,
                &finding.schema,
                &types.join(","),
                &seen.samples.to_string(),
            ];
            words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
        };
        drift.findings().iter().map(line).collect()
    }

    fn example() -> Schema {
        schema(&json!({
            "required": ["id"],
            "properties": {
                "id": {"type": "integer"},
                "tags": {"items": {"properties": {"name": {"maxLength": 3}}, "additionalProperties": false}},
                "map": {"additionalProperties": {"type": "integer"}},
                "free": {},
            },
        }))
    }

    #[test]
    fn what_is_new_missing_or_changed_is_told_apart() {
        let cases: [(&str, &[&str], &[&str]); 9] = [
            ("all fits", &[r#"{"id":1,"tags":[{"name":"abc"}],"map":{"x":1},"free":{"y":{"z":1}}}"#], &[]),
            ("a new member", &[r#"{"id":1,"a/b":[1]}"#], &["new /a~1b array 1"]),
            (
                "a new member in elements",
                &[r#"{"id":1,"tags":[{"n":1},{"n":"x"}]}"#, r#"{"id":1,"tags":[{"n":null}]}"#, r#"{"id":1}"#],
                &["new /tags/*/n null,number,string 2"],
            ),
            ("a missing member", &["{}", r#"{"id":1}"#, "{}"], &["missing /id required #/required 2"]),
            (
                "another type",
                &[r#"{"id":"x"}"#, r#"{"id":null}"#],
                &["changed /id type #/properties/id/type null,string 2"],
            ),
            (
                "elements that are too long",
                &[r#"{"id":1,"tags":[{"name":"abcd"},{"name":"abcde"}]}"#],
                &["changed /tags/*/name maxLength #/properties/tags/items/properties/name/maxLength string 1"],
            ),
            (
                "in a member without a name in the schema",
                &[r#"{"id":1,"map":{"s3nt1nel":"x"}}"#],
                &["changed /map/* type #/properties/map/additionalProperties/type string 1"],
            ),
            (
                "several",
                &[r#"{"id":"x","new":1}"#],
                &["new /new number 1", "changed /id type #/properties/id/type string 1"],
            ),
            ("no object", &["[]"], &[]),
        ];
        for (name, texts, expected) in cases {
            let mut drift = Drift::default();
            for text in texts {
                drift.add(&document(text), &example());
            }
            assert_eq!(lines(&drift), expected, "{name}");
            assert_eq!(drift.samples(), texts.len() as u64, "{name}");
        }
    }

    #[test]
    fn samples_that_miss_are_counted_and_new_members_alone_are_no_miss_where_the_schema_is_open() {
        let mut drift = Drift::default();
        for text in [r#"{"id":1}"#, r#"{"id":1,"new":1}"#, r#"{"id":"x"}"#, r#"{"id":1,"tags":[{"new":1}]}"#] {
            drift.add(&document(text), &example());
        }
        assert_eq!((drift.samples(), drift.misses(), drift.unexplained()), (4, 2, 0));
    }

    #[test]
    fn a_log_of_monitored_deliveries_says_the_same() {
        let record = |errors: &str| {
            let line = format!(
                r#"{{"ts":"2026-11-23T14:03:05Z","delivery":"1","reason":"schema_mismatch","effect":"monitored","detail":{{"errors":{errors}}}}}"#
            );
            Record::parse(&line).unwrap()
        };
        let mut drift = Drift::default();
        drift.add_logged(&record(
            r##"[{"pointer":"/tags/0/name","keyword":"maxLength","schema":"#/a"},{"pointer":"/tags/7/name","keyword":"maxLength","schema":"#/a"},
                {"pointer":"","keyword":"required","schema":"#/required","property":"id"}]"##,
        ));
        drift.add_logged(&record(r##"[{"pointer":"/user","keyword":"additionalProperties","schema":"#/b"}]"##));
        drift.add_logged(&record("[]"));
        let expected = ["new /user/* 1", "missing /id required #/required 1", "changed /tags/*/name maxLength #/a 1"];
        assert_eq!(lines(&drift), expected);
        assert_eq!((drift.samples(), drift.misses(), drift.unexplained()), (3, 3, 1));
    }

    #[test]
    fn a_payload_of_many_names_does_not_fill_the_memory() {
        let names: Vec<_> = (0..FINDINGS_MAX + 5).map(|index| format!("\"{index}{}\":1", "x".repeat(200))).collect();
        let mut drift = Drift::default();
        drift.add(&document(&format!("{{\"id\":1,{}}}", names.join(","))), &example());
        assert_eq!((drift.findings().len(), drift.others()), (FINDINGS_MAX, 5));
        assert!(drift.findings().keys().all(|finding| finding.pointer.len() <= NAME_CHARS_MAX + 1));
    }

    #[test]
    fn values_are_neither_kept_nor_printed() {
        let mut drift = Drift::default();
        drift.add(&document(r#"{"id":"s3nt1nel","new":{"s3nt1nel":1},"map":{"s3nt1nel":"s3nt1nel"}}"#), &example());
        let mut text = Vec::new();
        drift.json(Vec::new()).push_line(&mut text);
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("/new") && !text.contains("s3nt1nel"), "{text}");
    }
}
