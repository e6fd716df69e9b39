//! The presets of these providers, and what is said of them.

use std::collections::HashMap;
use std::fs;

use hookward::admit::{Capacity, Limits};
use hookward::auth::code::{CODES, CodeKind};
use hookward::policy::gateway_config::PoliciesConfig;
use hookward::policy::load::{self, Loaded};
use hookward::policy::preset::{self, Signing};
use hookward::policy::secrets::NoSecrets;
use hookward::policy::table::Spanned;

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
        let is_of_all = |label: &&str| !["and", "handshake"].contains(label);
        let labels: Vec<_> = preset.lines().into_iter().map(|line| line.label).filter(is_of_all).collect();
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

/// What `hookward check --no-secrets` says of a policy with this `[auth]`, errors and warnings.
fn findings(auth: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let policy = format!("path = '/in'\n[auth]\n{auth}\n[forward]\nto = 'http://127.0.0.1:9/'\n");
    fs::write(folder.path().join("source.toml"), policy).unwrap();
    fs::write(folder.path().join("root.pem"), &super::certificates::ROOT.pem).unwrap();
    let directory = Spanned { value: folder.path().to_owned(), span: 0..0 };
    let config = PoliciesConfig { directory, strict: false };
    let mut loaded = Loaded::default();
    load::load(&config, &NoSecrets, &Limits::new(Capacity::default()), &mut loaded);
    loaded.diagnostics.sorted().into_iter().map(|found| found.message.clone()).collect()
}

#[test]
fn a_policy_is_told_what_its_provider_has_no_use_for() {
    let sns =
        "provider = 'aws-sns'\npublic_keys = [{ id = 'https://sns.us-east-1.amazonaws.com/x.pem', file = 'x.pem' }]";
    let paypal = "provider = 'paypal'\npublic_keys = [{ id = 'https://api.paypal.com/x', file = 'x.pem' }]";
    let adyen = "provider = 'adyen'\nsecrets = [{ id = 'a', env = 'A' }]";
    let (roots, webhook) = ("trust_roots = [{ file = 'root.pem' }]", "[auth.parameters]\nwebhook_id = '1'");
    let topic = "[auth.parameters]\ntopic_arn = 'arn:aws:sns:us-east-1:123456789012:mine'";
    let rows = [
        (format!("{paypal}\n{roots}\n{webhook}"), None),
        (format!("{paypal}\n{webhook}"), None),
        (paypal.to_owned(), Some("parameter `webhook_id` is not given")),
        (format!("{paypal}\ntrust_roots = [{{ file = 'none.pem' }}]\n{webhook}"), Some("cannot read")),
        (format!("{sns}\n{topic}\n[handshake]\nmode = 'forward'"), None),
        (format!("{sns}\n{topic}"), Some("a request to confirm a subscription goes to the app")),
        (sns.to_owned(), Some("any topic of any AWS account")),
        (format!("{sns}\n{roots}\n{topic}"), Some("trust_roots are for providers")),
        (adyen.to_owned(), None),
        (format!("{adyen}\n{webhook}"), Some("has no parameter \"webhook_id\"")),
        (format!("{adyen}\n{roots}"), Some("trust_roots are for providers")),
        ("provider = 'adyen'".to_owned(), Some("no secrets")),
        ("provider = 'paypal'".to_owned(), Some("no public_keys")),
    ];
    for (auth, expected) in rows {
        let mut findings = findings(&auth);
        findings.retain(|finding| !finding.contains("[event.schema]"));
        match expected {
            Some(expected) => {
                assert!(findings.iter().any(|finding| finding.contains(expected)), "{auth}: {findings:?}");
            }
            None => assert!(findings.is_empty(), "{auth}: {findings:?}"),
        }
    }
}
