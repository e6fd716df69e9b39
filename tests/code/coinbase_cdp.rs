//! Coinbase Developer Platform: `v1` over the listed headers, `v0` where there is no `v1`.

use hmac::{Hmac, KeyInit as _, Mac as _};
use hookward::auth::code::CodeKind;
use hookward::reason::Reason;
use sha2::Sha256;

use super::{NOW, Request, check, expired, judge, secret, verifier};

const KEY: &str = "9e2f1c4a-7b5d-4a0e-9d3c-0f1e2d3c4b5a";
const BODY: &str = r#"{"id":"evt_1","type":"a.b"}"#;
const SIGNATURE: &str = "x-hook0-signature";

fn mac(text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

fn v0(time: i64) -> String {
    mac(&format!("{time}.{BODY}"))
}

fn v1(time: i64) -> String {
    mac(&format!("{time}.x-event-id x-event-type.e-1.a.b.{BODY}"))
}

fn request(credential: String) -> Request {
    Request::new(BODY).with("x-event-id", "e-1").with("x-event-type", "a.b").with(SIGNATURE, credential)
}

fn whole(time: i64) -> Request {
    request(format!("t={time},v0={},h=x-event-id x-event-type,v1={}", v0(time), v1(time)))
}

#[test]
fn listed_headers_are_covered_where_v1_is_there() {
    use Reason::{
        CredentialDuplicated as Duplicated, CredentialMalformed as Malformed, CredentialMismatch as Mismatch,
        CredentialMissing as Missing,
    };
    let (v0, v1) = (v0(NOW), v1(NOW));
    let h = "h=x-event-id x-event-type";
    let no_v1 = || request(format!("t={NOW},v0={v0}"));
    let no_v0 = || request(format!("t={NOW},{h},v1={v1}"));
    let bad_v1 = mac("something else");
    let rows = vec![
        ("both", whole(NOW), None),
        ("v1 alone", no_v0(), None),
        ("v0 alone", no_v1(), None),
        ("an unknown item", request(format!("t={NOW},v2=1,v0={v0}")), None),
        ("a changed header", whole(NOW).with("x-event-id", "e-2"), Some(Mismatch)),
        ("a changed header that v0 does not cover", no_v1().with("x-event-id", "e-2"), None),
        ("a listed header that is not there", whole(NOW).without("x-event-id"), Some(Missing)),
        ("a listed header that is there twice", whole(NOW).and("x-event-id", "e-1"), Some(Duplicated)),
        ("a changed body", whole(NOW).body(BODY.replace("evt_1", "evt_2")), Some(Mismatch)),
        ("a changed body under v0", no_v1().body(BODY.replace("evt_1", "evt_2")), Some(Mismatch)),
        ("a wrong v1 beside a good v0", request(format!("t={NOW},v0={v0},{h},v1={bad_v1}")), Some(Mismatch)),
        ("a v1 cut short beside a good v0", request(format!("t={NOW},v0={v0},{h},v1={}", &v1[2..])), Some(Malformed)),
        ("an empty v1 beside a good v0", request(format!("t={NOW},v0={v0},{h},v1=")), Some(Malformed)),
        ("v1 without the list", request(format!("t={NOW},v0={v0},v1={v1}")), Some(Missing)),
        ("a shorter list", request(format!("t={NOW},h=x-event-id,v1={v1}")), Some(Mismatch)),
        ("a list of no names", request(format!("t={NOW},h=,v1={v1}")), Some(Malformed)),
        ("v1 twice", request(format!("t={NOW},{h},v1={v1},v1={v1}")), Some(Duplicated)),
        ("neither", request(format!("t={NOW},{h}")), Some(Malformed)),
        ("no time", request(format!("v0={v0}")), Some(Reason::TimestampMissing)),
        ("the time twice", request(format!("t={NOW},t={NOW},v0={v0}")), Some(Duplicated)),
        ("upper-case hex", request(format!("t={NOW},v0={}", v0.to_uppercase())), Some(Malformed)),
        ("no credential", whole(NOW).without(SIGNATURE), Some(Missing)),
        ("two credentials", whole(NOW).and(SIGNATURE, "t=1"), Some(Duplicated)),
    ];
    check(&verifier(CodeKind::CoinbaseCdp, &[secret("a", KEY)]), rows);
}

#[test]
fn the_time_may_lie_300_seconds_away() {
    let rows = vec![
        ("300 s ago", whole(NOW - 300), None),
        ("301 s ago", whole(NOW - 301), Some(Reason::TimestampStale)),
        ("300 s ahead", whole(NOW + 300), None),
        ("301 s ahead", whole(NOW + 301), Some(Reason::TimestampFuture)),
        ("no digits", request(format!("t=+{NOW},v0={}", v0(NOW))), Some(Reason::TimestampMalformed)),
    ];
    check(&verifier(CodeKind::CoinbaseCdp, &[secret("a", KEY)]), rows);
    let over = verifier(CodeKind::CoinbaseCdp, &[secret("b", "another"), expired(secret("a", KEY))]);
    check(&over, vec![("an expired key", whole(NOW), Some(Reason::SecretExpired))]);
}

/// Whoever captured a delivery may cut `v1` away: it stays the same delivery.
#[test]
fn a_delivery_is_known_again_by_either_signature() {
    let keys = [secret("new", "a-key-that-is-not-in-use-yet"), secret("old", KEY)];
    let verifier = verifier(CodeKind::CoinbaseCdp, &keys);
    let whole = judge(&verifier, &whole(NOW)).unwrap();
    assert_eq!((whole.key.as_str(), whole.signed_at_millis), ("old", Some(NOW * 1000)));
    assert_eq!(judge(&verifier, &request(format!("t={NOW},v0={}", v0(NOW)))).unwrap(), whole);
    let later = judge(&verifier, &request(format!("t={},v0={}", NOW + 1, v0(NOW + 1)))).unwrap();
    assert_ne!(later.digest, whole.digest);
}
