//! Bodies that are made to hurt a reader of JSON, and the verdict on each: deep, long, doubled, half encoded, nearly JSON.
//!
//! A line of `data/hostile-json.jsonl` has an `id`, the `body` as pieces (base64, how many times), and what is `expect`ed:
//! `accept`, or the code of the reason for which it is refused. Those with `jts-` are from `JSONTestSuite` by Nicolas Seriot,
//! see `data/hostile-json.LICENSE`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hookward::payload::declared::Membership;
use hookward::payload::{Document, JsonLimits};
use hookward::sanitize::{Action, Rules, Sanitizer};
use serde_json::Value;

/// A file that lost lines is missed.
const CASES: usize = 488;

struct Case {
    id: String,
    expect: String,
    body: Bytes,
}

fn cases() -> Vec<Case> {
    let text = include_str!("data/hostile-json.jsonl");
    text.lines().map(|line| case(&serde_json::from_str(line).expect("a line is JSON"))).collect()
}

fn case(line: &Value) -> Case {
    let text = |name: &str| line[name].as_str().expect("a case has an id and what is expected").to_owned();
    let pieces = line["body"].as_array().expect("a body is a list").iter().flat_map(|piece| {
        let bytes = STANDARD.decode(piece[0].as_str().expect("a piece is a text")).expect("of base64");
        let times = piece[1].as_u64().and_then(|times| usize::try_from(times).ok());
        bytes.repeat(times.expect("a piece says how many times"))
    });
    Case { id: text("id"), expect: text("expect"), body: pieces.collect() }
}

#[test]
fn every_hostile_body_gets_its_verdict() {
    let cases = cases();
    assert_eq!(cases.len(), CASES, "cases");
    let wrong = cases.iter().filter_map(|Case { id, expect, body }| {
        let found = match Document::read(body.clone(), JsonLimits::default()) {
            Ok(_) => "accept",
            Err(rejection) => rejection.reason().row().code,
        };
        (found != expect).then(|| format!("{id}: expected {expect}, found {found}"))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn what_is_accepted_is_json_to_others_and_can_be_cleaned_once_and_for_all() {
    let rules = Rules {
        unknown_fields: Action::Drop,
        control_characters: Action::Drop,
        prototype_keys: Action::Drop,
        ..Rules::default()
    };
    for Case { id, body, .. } in cases().into_iter().filter(|case| case.expect == "accept") {
        assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok(), "{id}");
        let document = Document::read(body, JsonLimits::default()).expect("it is accepted");
        // Names that differ by what is removed would become one, which is refused.
        let Ok(cleaned) = Sanitizer::from(rules).clean(&document, None, Membership::Unasked) else { continue };
        let again = Document::read(cleaned.body.clone(), JsonLimits::default()).expect("what is cleaned is JSON");
        let twice = Sanitizer::from(rules).clean(&again, None, Membership::Unasked).expect("and clean");
        assert!(twice.report.is_empty() && twice.body == cleaned.body, "{id}");
    }
}
