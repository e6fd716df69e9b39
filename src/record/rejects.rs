//! The rejected log: JSON Lines, one record a refused delivery.
//!
//! The members' names and order are what operators and `hookward rejects` build on. [`Record`] is the same record read
//! back.
//!
//! **Invariant:** every record has every member, in the order of [`MEMBERS`]; what is unknown or does not apply is `null`.
//! **Invariant:** of a body only its length and its SHA-256 are written; of a request target only its path.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::delivery::{Delivery, DeliveryId, Effect};
use super::object::{Object, TEXT_CHARS_MAX};
use super::suppress::Summary;
use crate::reason::Row;
use crate::rejection::Rejection;
use crate::text;

/// The names of a record's members, in their order.
pub const MEMBERS: [&str; 19] = [
    "ts",
    "delivery",
    "source",
    "stage",
    "reason",
    "status",
    "blame",
    "peer",
    "method",
    "path",
    "event",
    "body_bytes",
    "body_sha256",
    "detail",
    "hint",
    "policy",
    "elapsed_us",
    "suppressed",
    "effect",
];

/// Most characters of a method that are written. The longest registered one has 17.
pub(super) const METHOD_CHARS_MAX: usize = 20;
/// Most characters of a path that are written.
pub(super) const PATH_CHARS_MAX: usize = 512;
/// Most characters of an event's name that are written.
pub(super) const EVENT_CHARS_MAX: usize = 128;
/// Most characters of a hint that are written.
pub(super) const HINT_CHARS_MAX: usize = 512;

/// Writes the record of one refused delivery, or of one finding of a stage in monitor mode; `suppressed` others like it were counted instead since
/// the last one.
pub(super) fn push_record(
    out: &mut Vec<u8>,
    delivery: &Delivery<'_>,
    rejection: &Rejection,
    effect: Effect,
    suppressed: u64,
) {
    let row = rejection.reason().row();
    let mut record = Object::begin(out);
    record.time("ts", delivery.ts);
    record.plain("delivery", delivery.id.encode(&mut [0; DeliveryId::LENGTH]));
    record.text_or_null("source", delivery.source, TEXT_CHARS_MAX);
    push_row(&mut record, row, delivery.status);
    record.ip("peer", delivery.peer);
    record.text_or_null("method", delivery.method, METHOD_CHARS_MAX);
    record.text_or_null("path", delivery.path_alone(), PATH_CHARS_MAX);
    record.text_or_null("event", delivery.event, EVENT_CHARS_MAX);
    record.number_or_null("body_bytes", delivery.body_bytes());
    match delivery.body {
        Some(body) => push_hash(record.name("body_sha256"), body),
        None => record.null("body_sha256"),
    }
    record.facts("detail", rejection.detail());
    record.text("hint", rejection.next_step(), HINT_CHARS_MAX);
    record.text_or_null("policy", delivery.policy, TEXT_CHARS_MAX);
    record.number("elapsed_us", text::micros(delivery.elapsed));
    record.number("suppressed", suppressed);
    record.plain("effect", effect.name());
    record.end();
    out.push(b'\n');
}

/// Writes the record of refusals that were counted and had no record of their own to go with.
pub(super) fn push_summary(out: &mut Vec<u8>, summary: &Summary, now: i64) {
    let row = summary.reason.row();
    let mut record = Object::begin(out);
    record.time("ts", now);
    record.null("delivery");
    record.text_or_null("source", summary.source.as_deref(), TEXT_CHARS_MAX);
    let told = row.status.filter(|_| summary.effect == Effect::Refused);
    push_row(&mut record, row, told.map(|status| status.as_u16()));
    record.text_or_null("peer", summary.network.text().as_deref(), TEXT_CHARS_MAX);
    for name in ["method", "path", "event", "body_bytes", "body_sha256"] {
        record.null(name);
    }
    let mut detail = Object::begin(record.name("detail"));
    detail.time("since", summary.since);
    detail.end();
    record.text("hint", row.hint, HINT_CHARS_MAX);
    record.null("policy");
    record.null("elapsed_us");
    record.number("suppressed", summary.suppressed);
    record.plain("effect", summary.effect.name());
    record.end();
    out.push(b'\n');
}

/// What the table says of the reason, and the status that was really told: `replayed` has two.
fn push_row(record: &mut Object<'_>, row: &Row, status: Option<u16>) {
    record.plain("stage", row.stage.name());
    record.plain("reason", row.code);
    record.number_or_null("status", status.map(u64::from));
    record.plain("blame", row.blame.name());
}

fn push_hash(out: &mut Vec<u8>, body: &[u8]) {
    let mut text = [0; 64];
    // The buffer has exactly the length of a SHA-256 in hexadecimal.
    let _ = hex::encode_to_slice(Sha256::digest(body), &mut text);
    out.push(b'"');
    out.extend_from_slice(&text);
    out.push(b'"');
}

/// One record as it is read back from a file.
///
/// Files may have been written by another version, or by anybody: every member may be missing.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Record {
    /// RFC 3339, UTC, with microseconds.
    pub ts: String,
    /// The delivery's id; absent from a record that only counts.
    pub delivery: Option<String>,
    /// The policy's name.
    pub source: Option<String>,
    /// The stage's name.
    pub stage: Option<String>,
    /// The reason's code.
    pub reason: String,
    /// The HTTP status told to the sender.
    pub status: Option<u16>,
    /// Who has to act.
    pub blame: Option<String>,
    /// The client's address, or its network where refusals were only counted.
    pub peer: Option<String>,
    /// The request's method.
    pub method: Option<String>,
    /// The request's path.
    pub path: Option<String>,
    /// The event's name.
    pub event: Option<String>,
    /// The length of the body.
    pub body_bytes: Option<u64>,
    /// The SHA-256 of the body, in hexadecimal.
    pub body_sha256: Option<String>,
    /// The facts.
    pub detail: Map<String, Value>,
    /// The next step.
    pub hint: Option<String>,
    /// The policy's file and the short hash of its text.
    pub policy: Option<String>,
    /// From the request to the answer, in microseconds.
    pub elapsed_us: Option<u64>,
    /// How many refusals like this one were counted instead of written.
    pub suppressed: u64,
    /// `refused` or `monitored`; absent from older records, which are refusals.
    pub effect: Option<String>,
    /// Only lines of the access log have one; where both logs go to standard output, this tells them apart.
    level: Option<String>,
}

impl Record {
    /// Reads one line of the rejected log; `None` if it is no record.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let record: Self = serde_json::from_str(line).ok()?;
        (!record.ts.is_empty() && !record.reason.is_empty() && record.level.is_none()).then_some(record)
    }

    /// Whether the delivery was refused, or went on because the stage is in monitor mode.
    #[must_use]
    pub fn effect(&self) -> Effect {
        let monitored = self.effect.as_deref() == Some(Effect::Monitored.name());
        if monitored { Effect::Monitored } else { Effect::Refused }
    }

    /// How many findings this record stands for: those it counts, and its own delivery's if it has one.
    #[must_use]
    pub fn findings(&self) -> u64 {
        self.suppressed.saturating_add(u64::from(self.delivery.is_some()))
    }

    /// How many refusals this record stands for: none where the finding was only monitored.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        match self.effect() {
            Effect::Refused => self.findings(),
            Effect::Monitored => 0,
        }
    }

    /// The facts in one line, such as `header=x-hub-signature-256 skew_seconds=-412`. Not escaped.
    #[must_use]
    pub fn facts(&self) -> String {
        let mut facts = String::new();
        for (name, value) in &self.detail {
            let space = if facts.is_empty() { "" } else { " " };
            // Writing into a string cannot fail.
            let _ = match value {
                Value::String(text) => write!(facts, "{space}{name}={text}"),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                    write!(facts, "{space}{name}={value}")
                }
            };
        }
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::super::suppress::Network;
    use super::*;
    use crate::reason::Reason;
    use crate::record::tests::refused;
    use bytes::Bytes;

    fn record(delivery: &Delivery<'_>, rejection: &Rejection, suppressed: u64) -> String {
        let mut out = Vec::new();
        push_record(&mut out, delivery, rejection, Effect::Refused, suppressed);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_record_has_all_members_in_their_order() {
        let rejection = Rejection::new(Reason::CredentialMismatch).fact("secrets", vec!["2026-11".to_owned()]);
        let body = Bytes::from_static(b"abc");
        let line = record(&Delivery { body: Some(&body), ..refused(&rejection) }, &rejection, 7);
        assert_eq!(
            line,
            concat!(
                r#"{"ts":"2026-11-23T14:03:05.123456Z","delivery":"01a208b7-ae23-774b-8101-010101010101","#,
                r#""source":"github","stage":"authenticate","reason":"credential_mismatch","status":401,"#,
                r#""blame":"sender","peer":"203.0.113.9","method":"POST","path":"/hooks/github","event":null,"#,
                r#""body_bytes":3,"body_sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","#,
                r#""detail":{"secrets":["2026-11"]},"hint":"compare the secret at the provider with the one the policy "#,
                r#"names; a proxy that changes the body also does this","policy":"policies/github.toml@3f9a1c2e","#,
                r#""elapsed_us":3249,"suppressed":7,"effect":"refused"}"#,
                "\n"
            )
        );
    }

    /// The names of the members, in the order in which they stand.
    fn members(line: &str) -> Vec<String> {
        let mut names: Vec<_> =
            MEMBERS.iter().filter_map(|name| Some((line.find(&format!("\"{name}\":"))?, *name))).collect();
        names.sort_unstable();
        names.into_iter().map(|(_, name)| name.to_owned()).collect()
    }

    #[test]
    fn a_connections_fault_and_a_summary_have_the_same_members() {
        let rejection = Rejection::new(Reason::TlsFailed);
        let fault =
            Delivery { source: None, method: None, path: None, policy: None, status: None, ..refused(&rejection) };
        let summary = Summary {
            source: None,
            reason: Reason::TlsFailed,
            effect: Effect::Refused,
            network: Network::V4([203, 0, 113]),
            suppressed: 31,
            since: 0,
        };
        let mut summed_up = Vec::new();
        push_summary(&mut summed_up, &summary, 20_000_000);
        let summed_up = String::from_utf8(summed_up).unwrap();
        for line in [&record(&fault, &rejection, 0), &summed_up] {
            assert_eq!(members(line), MEMBERS, "{line}");
            let read = Record::parse(line).unwrap();
            assert_eq!((read.source, read.status, read.method, read.path), (None, None, None, None));
        }
        let read = Record::parse(&summed_up).unwrap();
        assert_eq!((read.refusals(), read.delivery.as_ref(), read.peer.as_deref()), (31, None, Some("203.0.113.0/24")));
        assert_eq!(read.facts(), "since=1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn text_of_a_sender_is_cut_and_cannot_leave_its_line() {
        let rejection = Rejection::new(Reason::UnknownSource).fact("media_type", "a\nb\u{202e}".to_owned());
        let path = format!("/\x1b[2J\n{}?SENTINEL", "x".repeat(PATH_CHARS_MAX));
        let delivery =
            Delivery { method: Some("GET\r\n"), path: Some(&path), event: Some("\u{202e}push"), ..refused(&rejection) };
        let line = record(&delivery, &rejection, 0);
        assert_eq!(line.lines().count(), 1);
        assert!(!line.trim_end().chars().any(text::is_deceptive), "{line}");
        assert!(!line.contains("SENTINEL"));
        let read = Record::parse(&line).unwrap();
        assert_eq!(read.method.as_deref(), Some("GET\r\n"));
        assert_eq!(read.path.unwrap().chars().count(), PATH_CHARS_MAX + 1);
    }

    #[test]
    fn what_is_no_record_is_not_read() {
        let rows = [
            ("a record", r#"{"ts":"2026-11-23T14:03:05.123456Z","reason":"panic","new_member":1}"#, true),
            ("no reason", r#"{"ts":"2026-11-23T14:03:05.123456Z"}"#, false),
            ("no time", r#"{"reason":"panic"}"#, false),
            ("torn", r#"{"ts":"2026-11-2"#, false),
            ("no JSON", "rejected", false),
            ("a line of the access log", r#"{"ts":"2026","level":"warn","reason":"panic"}"#, false),
            ("another type", r#"{"ts":"2026","reason":"panic","suppressed":"many"}"#, false),
        ];
        for (name, line, expected) in rows {
            assert_eq!(Record::parse(line).is_some(), expected, "{name}");
        }
    }
}
