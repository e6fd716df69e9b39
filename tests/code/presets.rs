//! The presets of these providers, and what is said of them.

use std::collections::HashMap;

use hookward::auth::code::{CODES, CodeKind};
use hookward::policy::preset::{self, Signing};

/// The labels that schemes have in `hookward providers NAME`.
const LABELS: [&str; 9] =
    ["proves", "not covered", "signed", "credential", "secret", "time", "replays", "event", "delivery id"];

#[test]
fn every_kind_has_one_preset_that_says_what_schemes_say() {
    let kinds = preset::all().filter_map(|preset| match &preset.signing {
        Signing::Code(kind) => Some((preset, *kind)),
        Signing::Schemes(_) => None,
    });
    let kinds: Vec<_> = kinds.collect();
    assert_eq!(kinds.len(), CODES.len());
    for (word, kind) in CODES {
        let (preset, _) = kinds.iter().find(|(_, found)| found == kind).unwrap();
        assert_eq!(preset.name, *word);
        let labels: Vec<_> =
            preset.lines().into_iter().map(|line| line.label).filter(|label| *label != "and").collect();
        assert_eq!(labels, LABELS, "{word}");
        assert!(preset.lines().iter().all(|line| !line.text.is_empty()), "{word}");
        assert_ne!(kind.has_secrets(), kind.has_public_keys(), "{word}");
    }
}

#[test]
fn facts_count_as_covered_only_where_a_captured_delivery_cannot_be_changed() {
    let covered = "covered by the signature";
    let rows = [
        ("adyen", covered, covered),
        ("aws-sns", covered, covered),
        // Its headers are covered by a signature that can be cut away.
        ("coinbase-cdp", covered, "not covered"),
        // Which headers are covered, the request says.
        ("contentful", "not covered", covered),
        ("nowpayments", covered, covered),
        // A CRC-32 covers nothing.
        ("paypal", "not covered", "not covered"),
    ];
    for (name, event, delivery_id) in rows {
        let lines = preset::find(name).unwrap().lines();
        for (label, expected) in [("event", event), ("delivery id", delivery_id)] {
            let text = &lines.iter().find(|line| line.label == label).unwrap().text;
            assert_eq!(text.contains("covered by the signature"), expected == covered, "{name}: {text}");
        }
    }
}

#[test]
fn a_policy_for_sns_is_told_to_name_its_topics() {
    let named = HashMap::from([("topic_arn", "arn:aws:sns:us-east-1:123456789012:mine")]);
    for (_, kind) in CODES {
        assert_eq!(kind.advice(&HashMap::new()).is_some(), *kind == CodeKind::AwsSns);
        assert_eq!(kind.advice(&named), None);
    }
}
