//! One signed delivery is handled once: what is claimed is what was signed, however the signature is spelled and whoever's secret made it.
//!
//! Deliveries go through the stages themselves, under a clock that stands still until it is moved.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

#[path = "kit/families.rs"]
#[allow(dead_code, reason = "its requests are for the tests of schemes")]
mod families;
mod kit;

use std::fs;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaSigningAlgorithm, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use families::ecdsa_pair;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hookward::admit::permit::Permit;
use hookward::admit::{Capacity, Limits};
use hookward::clock::Clock;
use hookward::delivery::{Ended, HostMatch, Routed, Sanitized};
use hookward::policy::Policy;
use hookward::policy::diagnostic::Styles;
use hookward::policy::gateway_config::PoliciesConfig;
use hookward::policy::load::{self, Loaded};
use hookward::policy::secrets::{Resolved, Resolver, SecretFault};
use hookward::policy::source_config::SecretPlace;
use hookward::policy::table::Spanned;
use hookward::rejection::Rejection;
use hookward::secret::Secret;
use http::Request;
use http::request::Parts;
use kit::NOW;
use sha2::{Digest as _, Sha256};

const BODY: &str = r#"{"type":"order.paid"}"#;
const OLD: &str = "OLD";
const NEW: &str = "NEW";

/// Like Stripe's.
const LIST: &str = "[auth.scheme]\nlike = 'stripe'\ncredential = 'header:x-signature'";

/// Secrets of the policy's environment are made of their variables' names.
struct Environment;

impl Resolver for Environment {
    fn resolve(&self, place: &SecretPlace) -> Result<Resolved, SecretFault> {
        let SecretPlace::Env(name) = place else { panic!("{place:?}") };
        let key = || hex::encode(ecdsa_pair(&ECDSA_P256_SHA256_ASN1_SIGNING).public_key()).into_bytes();
        let secret = if name == "ECDSA" { key() } else { secret_of(name) };
        Ok(Resolved::Secret(Secret::new(secret)))
    }
}

fn secret_of(name: &str) -> Vec<u8> {
    format!("the {name} secret of some length").into_bytes()
}

/// A gateway's memory and time, without its sockets.
struct House {
    limits: Limits,
    clock: Clock,
}

#[derive(Clone)]
struct Delivery {
    head: Parts,
    body: Bytes,
}

/// How a delivery ended.
#[derive(Debug, PartialEq, Eq)]
struct End {
    reason: &'static str,
    status: Option<u16>,
    retry_after: Option<u64>,
}

impl House {
    fn new() -> Self {
        Self { limits: Limits::new(Capacity::default()), clock: Clock::manual(NOW) }
    }

    /// A policy of a source that is always the same one.
    fn policy(&self, auth: &str, rest: &str) -> Policy {
        let folder = tempfile::tempdir().unwrap();
        let types = "content_types = ['application/json', 'application/x-www-form-urlencoded']";
        let text =
            format!("path = '/hooks/acme'\n{types}\n[auth]\n{auth}\n{rest}\n[forward]\nto = 'http://127.0.0.1:9/'\n");
        fs::write(folder.path().join("acme.toml"), text).unwrap();
        let directory = Spanned { value: folder.path().to_owned(), span: 0..0 };
        let mut loaded = Loaded::default();
        let policy = load::load(&PoliciesConfig { directory, strict: false }, &Environment, &self.limits, &mut loaded);
        policy.unwrap_or_else(|| panic!("{}", loaded.diagnostics.report(&loaded.files, &Styles::plain())))
    }

    /// As far as the upstream, which has not answered yet.
    fn take<'d>(&self, policy: &'d Policy, delivery: &'d Delivery) -> Result<Sanitized<'d>, End> {
        let (now, monotonic) = (self.clock.unix_seconds(), self.clock.monotonic());
        let routed = Routed::find(policy, &delivery.head, HostMatch::Served)?;
        let received = routed.present(Permit::offline(), now)?.receive(delivery.body.clone())?;
        let accepted = received.authenticate(now)?.accept_sequence(&self.limits, monotonic)?;
        Ok(accepted.validate()?.sanitize()?)
    }

    /// All the way; the upstream accepts.
    fn send(&self, policy: &Policy, delivery: &Delivery) -> &'static str {
        match self.take(policy, delivery) {
            Ok(sanitized) if sanitized.is_duplicate() => "forwarded again",
            Ok(sanitized) => {
                sanitized.commit(self.clock.monotonic());
                "accept"
            }
            Err(end) => end.reason,
        }
    }
}

impl From<Rejection> for End {
    fn from(rejection: Rejection) -> Self {
        Self {
            reason: rejection.reason().code(),
            status: rejection.status().map(|status| status.as_u16()),
            retry_after: rejection.retry_after_seconds(),
        }
    }
}

impl From<Ended> for End {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Rejected(rejection) => rejection.into(),
            Ended::Answered(answer) => panic!("{}", answer.why),
        }
    }
}

impl Delivery {
    fn of(fields: &[(&'static str, &str)], body: &str) -> Self {
        let media_type = if body.starts_with('{') { "application/json" } else { "application/x-www-form-urlencoded" };
        let request =
            Request::post("/hooks/acme").header("host", "hooks.example.com").header("content-type", media_type);
        let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Self { head: request.body(()).unwrap().into_parts().0, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    /// Of [`LIST`], signed by this secret at this time.
    fn listed(secret: &str, now: i64, body: &str) -> Self {
        Self::of(&[("x-signature", &format!("t={now},v1={}", mac(secret, now, body)))], body)
    }
}

fn mac(secret: &str, now: i64, body: &str) -> String {
    mac_of(secret, &format!("{now}.{body}"))
}

fn mac_of(secret: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret_of(secret)).unwrap();
    mac.update(text.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

fn secrets(names: &[&str]) -> String {
    let entries: Vec<_> = names.iter().map(|name| format!("{{ id = '{name}', env = '{name}' }}")).collect();
    format!("secrets = [{}]\n{LIST}", entries.join(", "))
}

const REFUSE: &str = "[replay]\non_duplicate = 'refuse'";

#[test]
fn two_valid_secrets_sign_one_delivery_and_make_one_claim() {
    for (names, first, second) in [([OLD, NEW], OLD, NEW), ([OLD, NEW], NEW, OLD), ([NEW, OLD], OLD, NEW)] {
        let house = House::new();
        let policy = house.policy(&secrets(&names), REFUSE);
        assert_eq!(house.send(&policy, &Delivery::listed(first, NOW, BODY)), "accept", "{names:?} {first}");
        assert_eq!(house.send(&policy, &Delivery::listed(second, NOW, BODY)), "replayed", "{names:?} {second}");
        assert_eq!(house.send(&policy, &Delivery::listed(second, NOW + 1, BODY)), "accept", "another second");
    }
}

#[test]
fn what_stands_beside_a_signature_makes_no_second_claim() {
    let house = House::new();
    let policy = house.policy(&secrets(&[NEW, OLD]), REFUSE);
    let (new, old) = (mac(NEW, NOW, BODY), mac(OLD, NOW, BODY));
    let junk = "00".repeat(32);
    let rows = [
        (format!("t={NOW},v1={new}"), "accept"),
        (format!("v1={new},t={NOW}"), "replayed"),
        (format!("t={NOW}, v1={new}"), "replayed"),
        (format!("t={NOW},v1={new},v1={old}"), "replayed"),
        (format!("t={NOW},v1={junk},v1={old},v0={junk}"), "replayed"),
        (format!("t={NOW},x=y,v1={new}"), "replayed"),
        (format!("t=0{NOW},v1={new}"), "credential_mismatch"),
        (format!("t={NOW},v1={}", new.to_ascii_uppercase()), "credential_malformed"),
    ];
    for (field, expected) in &rows {
        assert_eq!(house.send(&policy, &Delivery::of(&[("x-signature", field)], BODY)), *expected, "{field}");
    }
    let more = [("x-signature", &*rows[0].0), ("x-request-id", "another"), ("idempotency-key", "another")];
    assert_eq!(house.send(&policy, &Delivery::of(&more, BODY)), "replayed", "fields that nobody signed");
}

/// Lists with times of their own: whoever captured both has two signatures of one delivery.
#[test]
fn a_delivery_in_two_groups_is_claimed_by_both() {
    let house = House::new();
    let list = "list = { separator = ',', pair = '=', item = 'v1', group = ' ' }";
    let policy = house.policy(&format!("{}\n{list}", secrets(&[NEW, OLD])), REFUSE);
    let (one, other) = (NOW - 1, NOW - 2);
    let group = |secret: &str, at: i64| format!("t={at},v1={}", mac(secret, at, BODY));
    let rows = [
        (format!("{} {}", group(NEW, one), group(OLD, other)), "accept"),
        (format!("{} {}", group(NEW, one), group(OLD, other)), "replayed"),
        (group(OLD, other), "replayed"),
        (group(NEW, one), "replayed"),
        (group(NEW, NOW), "accept"),
    ];
    for (field, expected) in rows {
        assert_eq!(house.send(&policy, &Delivery::of(&[("x-signature", &field)], BODY)), expected, "{field}");
    }
}

#[test]
fn other_spellings_of_a_base64_signature_make_no_second_claim() {
    let house = House::new();
    let scheme = "algorithm = 'hmac-sha256'\ncredential = 'header:x-signature'\noptional_prefix = 'sha256='\nencoding = 'base64'\nsigned = '{body}'";
    let policy = house.policy(&format!("secrets = [{{ id = 'x', env = '{NEW}' }}]\n[auth.scheme]\n{scheme}"), REFUSE);
    let bytes = hex::decode(mac_of(NEW, BODY)).unwrap();
    let good = STANDARD.encode(&bytes);
    // The two bits behind the last whole byte say nothing.
    let position =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".find(good.as_bytes()[42] as char).unwrap();
    let trailing = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".as_bytes()[position | 1] as char;
    let rows = [
        (good.clone(), "accept"),
        (good.clone(), "replayed"),
        (format!("sha256={good}"), "replayed"),
        (good.trim_end_matches('=').to_owned(), "credential_malformed"),
        (URL_SAFE_NO_PAD.encode(&bytes), "credential_malformed"),
        (format!("{}{trailing}=", &good[..42]), "credential_malformed"),
        (hex::encode(&bytes), "credential_malformed"),
    ];
    for (field, expected) in rows {
        assert_eq!(house.send(&policy, &Delivery::of(&[("x-signature", &field)], BODY)), expected, "{field}");
    }
}

/// The order of P-256, most significant byte first.
const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

/// `r` and `n − s`, which is a signature of the same text.
fn second_form(fixed: &[u8]) -> Vec<u8> {
    let order = hex::decode(ORDER).unwrap();
    let (mut borrow, mut other) = (0, [0; 32]);
    for at in (0..32).rev() {
        let difference = i32::from(order[at]) - i32::from(fixed[32 + at]) - borrow;
        borrow = i32::from(difference < 0);
        other[at] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    [&fixed[..32], &other].concat()
}

/// A signature of two numbers in DER (RFC 3279 §2.2.3).
fn der(fixed: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let first = number.iter().position(|byte| *byte != 0).unwrap();
        let pad: &[u8] = if number[first] >= 0x80 { &[0] } else { &[] };
        let digits = [pad, &number[first..]].concat();
        [&[2, u8::try_from(digits.len()).unwrap()], &*digits].concat()
    };
    let numbers = [integer(&fixed[..32]), integer(&fixed[32..])].concat();
    [&[0x30, u8::try_from(numbers.len()).unwrap()], &*numbers].concat()
}

fn ecdsa(form: &'static EcdsaSigningAlgorithm, text: &str) -> Vec<u8> {
    ecdsa_pair(form).sign(&SystemRandom::new(), text.as_bytes()).unwrap().as_ref().to_vec()
}

#[test]
fn every_form_of_an_ecdsa_signature_is_of_one_claim() {
    let house = House::new();
    let scheme =
        "algorithm = 'ecdsa-p256-sha256'\ncredential = 'header:x-signature'\nencoding = 'base64'\nsigned = '{body}'";
    let policy =
        house.policy(&format!("public_keys = [{{ id = 'x', env = 'ECDSA' }}]\n[auth.scheme]\n{scheme}"), REFUSE);
    let signed = |signature: &[u8]| Delivery::of(&[("x-signature", &STANDARD.encode(signature))], BODY);
    let fixed = ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, BODY);
    let rows = [
        ("as it was signed", der(&fixed), "accept"),
        ("n − s", der(&second_form(&fixed)), "replayed"),
        ("signed again", ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING, BODY), "replayed"),
        ("n − (n − s)", der(&second_form(&second_form(&fixed))), "replayed"),
    ];
    for (name, signature, expected) in rows {
        assert_eq!(house.send(&policy, &signed(&signature)), expected, "{name}");
    }
}

#[test]
fn every_form_of_an_es256_token_is_of_one_claim() {
    let house = House::new();
    let scheme = "algorithm = 'jwt'\ncredential = 'bearer'\njwt = { algorithms = ['ES256'], age_seconds_max = 300 }";
    let policy =
        house.policy(&format!("public_keys = [{{ id = 'x', env = 'ECDSA' }}]\n[auth.scheme]\n{scheme}"), REFUSE);
    let text = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#),
        URL_SAFE_NO_PAD.encode(format!(r#"{{"iat":{NOW}}}"#))
    );
    let fixed = ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, &text);
    let rows = [
        ("Bearer", fixed.clone(), BODY, "accept"),
        ("Bearer", second_form(&fixed), BODY, "replayed"),
        ("bearer", fixed.clone(), BODY, "replayed"),
        ("BEARER ", ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, &text), BODY, "replayed"),
        // Nothing ties this token to a body: another body is another delivery.
        ("Bearer", fixed, r#"{"type":"order.sent"}"#, "accept"),
    ];
    for (word, signature, body, expected) in rows {
        let field = format!("{word} {text}.{}", URL_SAFE_NO_PAD.encode(signature));
        assert_eq!(house.send(&policy, &Delivery::of(&[("authorization", &field)], body)), expected, "{field} {body}");
    }
}

/// A sender's clock may be ahead by the tolerance: then its delivery is fresh for twice that, the last second included.
#[test]
fn a_delivery_from_the_edge_of_the_future_stays_claimed_for_its_last_second() {
    let units =
        [("seconds", 1, 0), ("milliseconds", 1_000, 0), ("milliseconds", 1_000, -1), ("milliseconds", 1_000, -999)];
    for (unit, factor, more) in units {
        let house = House::new();
        let scheme = format!("{LIST}\ntimestamp = {{ at = 'item:t', unit = '{unit}', tolerance_seconds = 300 }}");
        let policy = house.policy(&format!("secrets = [{{ id = 'x', env = '{NEW}' }}]\n{scheme}"), REFUSE);
        let delivery = Delivery::listed(NEW, (NOW + 300) * factor + more, BODY);
        assert_eq!(house.send(&policy, &delivery), "accept", "{unit} {more}");
        let last = if more == 0 { 600 } else { 599 };
        house.clock.advance(Duration::from_secs(last));
        assert_eq!(house.send(&policy, &delivery), "replayed", "{unit} {more}: the last second");
        house.clock.advance(Duration::from_millis(999));
        assert_eq!(house.send(&policy, &delivery), "replayed", "{unit} {more}: the end of the last second");
        house.clock.advance(Duration::from_millis(1));
        assert_eq!(house.send(&policy, &delivery), "timestamp_stale", "{unit} {more}");
    }
}

/// A token is fresh for as long as it says itself, or its scheme says for it: so long is it claimed.
#[test]
fn a_token_that_is_fresh_for_longer_than_the_window_stays_claimed_until_it_is_not() {
    let rows = [
        ("age_seconds_max = 3_600", format!(r#"{{"iat":{NOW}}}"#), 3_600, "timestamp_stale"),
        ("age_seconds_max = 3_600, leeway_seconds = 30", format!(r#"{{"iat":{NOW}}}"#), 3_630, "timestamp_stale"),
        ("leeway_seconds = 0", format!(r#"{{"exp":{}}}"#, NOW + 3_600), 3_599, "timestamp_stale"),
        ("leeway_seconds = 30", format!(r#"{{"exp":{}}}"#, NOW + 3_600), 3_629, "timestamp_stale"),
        ("age_seconds_max = 3_600", format!(r#"{{"iat":{NOW},"exp":{}}}"#, NOW + 900), 899, "timestamp_stale"),
        // Two days are the longest that a claim is kept.
        ("leeway_seconds = 0", format!(r#"{{"exp":{}}}"#, NOW + 172_799), 172_798, "timestamp_stale"),
        ("leeway_seconds = 0", format!(r#"{{"exp":{}}}"#, NOW + 172_800), 172_799, "timestamp_stale"),
        ("leeway_seconds = 0", format!(r#"{{"exp":{}}}"#, NOW + 172_801), 172_799, "accept"),
        // Such a token never grows old: the window is all there is.
        ("leeway_seconds = 0", "{}".to_owned(), 599, "accept"),
    ];
    for (rule, claims, fresh_seconds, then) in rows {
        let house = House::new();
        let scheme = format!("algorithm = 'jwt'\ncredential = 'bearer'\njwt = {{ algorithms = ['HS256'], {rule} }}");
        let policy =
            house.policy(&format!("secrets = [{{ id = 'x', env = '{NEW}' }}]\n[auth.scheme]\n{scheme}"), REFUSE);
        let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(&claims));
        let signature = URL_SAFE_NO_PAD.encode(hex::decode(mac_of(NEW, &text)).unwrap());
        let delivery = Delivery::of(&[("authorization", &format!("Bearer {text}.{signature}"))], BODY);
        assert_eq!(house.send(&policy, &delivery), "accept", "{rule} {claims}");
        house.clock.advance(Duration::from_secs(fresh_seconds));
        assert_eq!(house.send(&policy, &delivery), "replayed", "{rule} {claims}: {fresh_seconds} s later");
        house.clock.advance(Duration::from_secs(1));
        assert_eq!(house.send(&policy, &delivery), then, "{rule} {claims}: a second more");
    }
}

/// Of the body only an element is signed: whoever captured it can send another body, which is another delivery, and none without that element.
#[test]
fn where_a_part_of_the_body_is_signed_another_body_is_another_delivery() {
    let house = House::new();
    let scheme =
        "algorithm = 'hmac-sha256'\ncredential = 'header:x-signature'\nencoding = 'hex'\nsigned = '{body|xml:id}'";
    let policy = house.policy(&format!("secrets = [{{ id = 'x', env = '{NEW}' }}]\n[auth.scheme]\n{scheme}"), REFUSE);
    let rows = [
        ("7", r#"{"a":"<id>7</id>","amount":1}"#, "accept"),
        ("7", r#"{"a":"<id>7</id>","amount":1}"#, "replayed"),
        ("7", r#"{"a":"<id>7</id>","amount":2}"#, "accept"),
        ("7", r#"{"a":"<id>8</id>","amount":2}"#, "credential_mismatch"),
        ("", r#"{"a":"<id></id>"}"#, "credential_missing"),
        ("", r#"{"a":"none"}"#, "credential_missing"),
    ];
    for (signed, body, expected) in rows {
        let delivery = Delivery::of(&[("x-signature", &mac_of(NEW, signed))], body);
        assert_eq!(house.send(&policy, &delivery), expected, "{signed:?} {body}");
    }
}

/// Two honest deliveries of one body are the same to the letter where a token need not name a time or an id: both are the app's.
#[test]
fn a_repetition_is_kept_from_the_app_where_every_token_has_to_name_a_time_or_an_id() {
    let text = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#),
        URL_SAFE_NO_PAD.encode(format!(
            r#"{{"exp":{},"iat":{NOW},"nbf":{NOW},"jti":"1","sha256":"{}"}}"#,
            NOW + 900,
            hex::encode(Sha256::digest(BODY))
        ))
    );
    let signature = URL_SAFE_NO_PAD.encode(hex::decode(mac_of(NEW, &text)).unwrap());
    let delivery = Delivery::of(&[("authorization", &format!("Bearer {text}.{signature}"))], BODY);
    let rows = [
        ("leeway_seconds = 0", "", "forwarded again"),
        ("leeway_seconds = 0", "{ value = 'claim:nbf' }", "forwarded again"),
        ("leeway_seconds = 0", "{ value = 'claim:jti', equals = '1', optional = true }", "forwarded again"),
        ("leeway_seconds = 0", "{ value = 'claim:jti' }", "replayed"),
        ("leeway_seconds = 0", "{ value = 'claim:iat' }", "replayed"),
        ("leeway_seconds = 0", "{ value = 'claim:exp' }", "replayed"),
        ("age_seconds_max = 300", "", "replayed"),
    ];
    for (rule, more, expected) in rows {
        let house = House::new();
        let scheme = format!(
            "algorithm = 'jwt'\ncredential = 'bearer'\njwt = {{ algorithms = ['HS256'], {rule} }}\n\
             require = [{{ value = 'claim:sha256', equals = '{{body|sha256|hex}}' }}, {more}]"
        );
        let policy = house.policy(&format!("secrets = [{{ id = 'x', env = '{NEW}' }}]\n[auth.scheme]\n{scheme}"), "");
        assert_eq!(house.send(&policy, &delivery), "accept", "{rule} {more}");
        assert_eq!(house.send(&policy, &delivery), expected, "{rule} {more}");
    }
}

/// The fields in another order are the same signed text.
#[test]
fn a_sorted_form_in_another_order_is_the_same_delivery() {
    let house = House::new();
    let scheme = "algorithm = 'hmac-sha256'\ncredential = 'header:x-signature'\nencoding = 'hex'\nsigned = '{form}'";
    let policy = house.policy(&format!("secrets = [{{ id = 'x', env = '{NEW}' }}]\n[auth.scheme]\n{scheme}"), REFUSE);
    let signature = mac_of(NEW, "Body= hiFrom+1");
    let rows = [
        ("Body=%3D%20hi&From=%2B1", "accept"),
        ("From=%2B1&Body=%3D+hi", "replayed"),
        ("Body=%3d+hi&From=%2b1", "replayed"),
    ];
    for (body, expected) in rows {
        assert_eq!(house.send(&policy, &Delivery::of(&[("x-signature", &signature)], body)), expected, "{body}");
    }
}

#[test]
fn ten_thousand_replays_are_refused_or_acknowledged_ten_thousand_times() {
    for (word, status) in [("refuse", 409), ("acknowledge", 200)] {
        let house = House::new();
        let policy = house.policy(&secrets(&[NEW, OLD]), &format!("[replay]\non_duplicate = '{word}'"));
        let spellings = [Delivery::listed(NEW, NOW, BODY), Delivery::listed(OLD, NOW, BODY)];
        assert_eq!(house.send(&policy, &spellings[0]), "accept", "{word}");
        for count in 0..10_000 {
            let end = house.take(&policy, &spellings[count % 2]).unwrap_err();
            assert_eq!(
                end,
                End { reason: "replayed", status: Some(status), retry_after: None },
                "{word}: replay {count}"
            );
        }
    }
}

#[test]
fn a_duplicate_that_is_forwarded_says_so_and_takes_no_claim() {
    let house = House::new();
    let policy = house.policy(&secrets(&[NEW]), "[replay]\non_duplicate = 'forward'");
    let delivery = Delivery::listed(NEW, NOW, BODY);
    assert_eq!(house.send(&policy, &delivery), "accept");
    for _ in 0..100 {
        assert_eq!(house.send(&policy, &delivery), "forwarded again");
    }
    assert_eq!(house.limits.claims().held(), 1);
}

#[test]
fn an_upstream_that_fails_frees_the_claim() {
    let house = House::new();
    let policy = house.policy(&secrets(&[NEW]), REFUSE);
    let delivery = Delivery::listed(NEW, NOW, BODY);
    for _ in 0..100 {
        drop(house.take(&policy, &delivery).unwrap());
    }
    assert_eq!(house.limits.claims().held(), 0);
    assert_eq!(house.send(&policy, &delivery), "accept");
    assert_eq!(house.send(&policy, &delivery), "replayed");
}

#[test]
fn a_duplicate_while_the_first_is_at_the_upstream_is_told_to_come_again() {
    for word in ["refuse", "acknowledge"] {
        let house = House::new();
        let policy = house.policy(&secrets(&[NEW, OLD]), &format!("[replay]\non_duplicate = '{word}'"));
        let (delivery, same) = (Delivery::listed(NEW, NOW, BODY), Delivery::listed(OLD, NOW, BODY));
        let in_flight = End { reason: "replay_in_flight", status: Some(409), retry_after: Some(1) };
        let first = house.take(&policy, &delivery).unwrap();
        assert_eq!(house.take(&policy, &delivery).unwrap_err(), in_flight, "{word}");
        assert_eq!(house.take(&policy, &same).unwrap_err(), in_flight, "{word}: under the other secret");
        assert!(house.take(&policy, &Delivery::listed(NEW, NOW - 1, BODY)).is_ok(), "{word}: another one");
        first.commit(house.clock.monotonic());
        assert_eq!(house.send(&policy, &delivery), "replayed", "{word}");
    }
}

#[test]
fn threads_that_send_the_same_delivery_get_it_through_once() {
    let house = House::new();
    let policy = house.policy(&secrets(&[NEW, OLD]), REFUSE);
    let spellings = [Delivery::listed(NEW, NOW, BODY), Delivery::listed(OLD, NOW, BODY)];
    let accepted = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let (house, policy, spellings) = (&house, &policy, &spellings);
                scope.spawn(move || {
                    (0..250).filter(|count| house.send(policy, &spellings[(thread + count) % 2]) == "accept").count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
    });
    assert_eq!(accepted, 1);
}

/// Its name, the secrets before and after it, and those that may sign after it.
type Reload = (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

/// While a secret is rotated, what was accepted before the new one was added stays claimed after it, whichever signs it again.
#[test]
fn claims_survive_a_reload_also_one_that_adds_or_removes_a_secret() {
    let rows: &[Reload] = &[
        ("nothing changed", &[OLD], &[OLD], &[OLD]),
        ("a new secret before the old one", &[OLD], &[NEW, OLD], &[OLD, NEW]),
        ("a new secret behind the old one", &[OLD], &[OLD, NEW], &[OLD, NEW]),
        ("the other way round", &[NEW, OLD], &[OLD, NEW], &[OLD, NEW]),
        ("the old secret removed", &[NEW, OLD], &[NEW], &[NEW]),
        ("the first secret removed", &[NEW, OLD], &[OLD], &[OLD]),
    ];
    for (name, before, after, signers) in rows {
        for first in *before {
            let house = House::new();
            let policy = house.policy(&secrets(before), REFUSE);
            assert_eq!(house.send(&policy, &Delivery::listed(first, NOW, BODY)), "accept", "{name}");
            let policy = house.policy(&secrets(after), REFUSE);
            for again in *signers {
                let verdict = house.send(&policy, &Delivery::listed(again, NOW, BODY));
                assert_eq!(verdict, "replayed", "{name}: signed by {first}, then by {again}");
            }
            assert_eq!(
                house.send(&policy, &Delivery::listed(signers[0], NOW + 1, BODY)),
                "accept",
                "{name}: another one"
            );
        }
    }
}

#[test]
fn a_delivery_in_flight_stays_in_flight_over_a_reload_that_adds_a_secret() {
    let house = House::new();
    let (old, new) = (house.policy(&secrets(&[OLD]), REFUSE), house.policy(&secrets(&[NEW, OLD]), REFUSE));
    let delivery = Delivery::listed(OLD, NOW, BODY);
    let first = house.take(&old, &delivery).unwrap();
    assert_eq!(house.take(&new, &delivery).unwrap_err().reason, "replay_in_flight");
    first.commit(house.clock.monotonic());
    assert_eq!(house.send(&new, &delivery), "replayed");
}

const HOUR: i64 = 3_600;

/// The wall clock judges timestamps, the monotonic one ends windows: a step of the first moves nothing of the second.
#[test]
fn a_step_of_the_wall_clock_reopens_no_window_and_loses_no_claim() {
    for step in [HOUR, -HOUR, 1, -1, 300, -300] {
        let house = House::new();
        let policy = house.policy(&secrets(&[NEW]), REFUSE);
        let delivery = Delivery::listed(NEW, NOW, BODY);
        assert_eq!(house.send(&policy, &delivery), "accept", "{step}");
        let past = if step > 0 { "timestamp_stale" } else { "timestamp_future" };
        let expected = if step.abs() > 300 { past } else { "replayed" };
        house.clock.set_wall(NOW + step);
        assert_eq!(house.send(&policy, &delivery), expected, "{step}");
        let honest = Delivery::listed(NEW, NOW + step, BODY);
        assert_eq!(house.send(&policy, &honest), "accept", "{step}: by the clock as it is now");
        house.clock.advance(Duration::from_secs(299));
        assert_eq!(house.send(&policy, &honest), "replayed", "{step}");
        house.clock.set_wall(NOW + 299);
        assert_eq!(house.send(&policy, &delivery), "replayed", "{step}: and back");
    }
}

/// Set back and left there, the wall clock makes old timestamps fresh again: their claims stand until it has caught up.
#[test]
fn a_wall_clock_that_was_set_back_brings_no_delivery_back() {
    let house = House::new();
    let policy = house.policy(&secrets(&[NEW]), REFUSE);
    let delivery = Delivery::listed(NEW, NOW, BODY);
    assert_eq!(house.send(&policy, &delivery), "accept");
    house.clock.advance(Duration::from_secs(60));
    house.clock.set_wall(NOW + 60 - HOUR);
    house.clock.advance(Duration::from_secs(3_540));
    for (seconds, expected) in [(0, "replayed"), (300, "replayed"), (1, "timestamp_stale")] {
        house.clock.advance(Duration::from_secs(seconds));
        assert_eq!(house.send(&policy, &delivery), expected, "{seconds} s later");
    }
}

/// Deliveries without timestamps take places, too, and by their clock the windows of others would be over.
#[test]
fn a_delivery_without_a_timestamp_frees_no_claim_of_one_that_may_be_fresh_again() {
    let house = House::new();
    let timed = house.policy(&secrets(&[NEW]), REFUSE);
    let scheme =
        "[auth.scheme]\nalgorithm = 'hmac-sha256'\ncredential = 'header:x-other'\nencoding = 'hex'\nsigned = '{body}'";
    let untimed = house.policy(&format!("secrets = [{{ id = 'x', env = '{NEW}' }}]\n{scheme}"), REFUSE);
    let captured = Delivery::listed(NEW, NOW, BODY);
    assert_eq!(house.send(&timed, &captured), "accept");
    house.clock.set_wall(NOW - HOUR);
    house.clock.advance(Duration::from_secs(700));
    // So many that each part of the table gets some.
    for number in 0..2_000 {
        let body = format!(r#"{{"number":{number}}}"#);
        let other = Delivery::of(&[("x-other", &mac_of(NEW, &body))], &body);
        assert_eq!(house.send(&untimed, &other), "accept", "{number}");
    }
    house.clock.advance(Duration::from_secs(2_900));
    assert_eq!(house.send(&timed, &captured), "replayed", "it is fresh again");
}

/// A window without timestamps is over when the monotonic clock says so, to the second, wherever the wall clock was in between.
#[test]
fn a_window_is_over_on_time_whatever_the_wall_clock_did() {
    for step in [0, HOUR, -HOUR] {
        let house = House::new();
        let scheme = "[auth.scheme]\nalgorithm = 'hmac-sha256'\ncredential = 'header:x-signature'\nencoding = 'hex'\nsigned = '{body}'";
        let policy = house.policy(&format!("secrets = [{{ id = 'x', env = '{NEW}' }}]\n{scheme}"), REFUSE);
        let delivery = Delivery::of(&[("x-signature", &mac_of(NEW, BODY))], BODY);
        assert_eq!(house.send(&policy, &delivery), "accept", "{step}");
        house.clock.set_wall(NOW + step);
        house.clock.advance(Duration::from_secs(599));
        assert_eq!(house.send(&policy, &delivery), "replayed", "{step}: window − 1");
        house.clock.advance(Duration::from_secs(1));
        assert_eq!(house.send(&policy, &delivery), "accept", "{step}: window");
    }
}
