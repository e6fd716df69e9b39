//! NOWPayments: the JSON that JavaScript would write of the sorted body.

use hmac::{Hmac, KeyInit as _, Mac as _};
use hookward::auth::code::CodeKind;
use hookward::reason::Reason;
use sha2::Sha512;

use super::{Request, check, expired, judge, secret, verifier};

const KEY: &str = "ipn-secret-np";
const SIGNATURE: &str = "x-nowpayments-sig";

fn mac(text: &str) -> String {
    let mut mac = Hmac::<Sha512>::new_from_slice(KEY.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// A body with the signature of a text.
fn request(body: &str, text: &str) -> Request {
    Request::new(body).with(SIGNATURE, mac(text))
}

#[test]
fn the_sorted_json_is_signed() {
    use Reason::{CredentialMalformed as Malformed, CredentialMismatch as Mismatch, CredentialMissing as Missing};
    let text = r#"{"a":{"x":null,"y":[{"m":true,"n":"é\n"}]},"b":1}"#;
    let other = r#" { "b" : 1, "a": {"y":[{"n":"\u00e9\u000a","m":true}],"x":null} } "#;
    let good = || request(other, text);
    let rows = vec![
        ("as it is signed", request(text, text), None),
        ("otherwise spelled and ordered", good(), None),
        ("a changed value", good().body(other.replace("true", "false")), Some(Mismatch)),
        ("a changed name", good().body(other.replace("\"b\"", "\"c\"")), Some(Mismatch)),
        ("one member more", good().body(other.replace("\"b\"", "\"c\":1,\"b\"")), Some(Mismatch)),
        ("a name twice", good().body(other.replace("\"b\"", "\"b\":2,\"b\"")), Some(Malformed)),
        ("an order of elements that is another value", request("[2,1]", "[1,2]"), Some(Malformed)),
        ("no object", request("1", "1"), Some(Malformed)),
        ("no JSON", request("x", "x"), Some(Malformed)),
        ("no signature", Request::new(text), Some(Missing)),
        ("an empty one", Request::new(text).with(SIGNATURE, ""), Some(Missing)),
        ("a shorter one", Request::new(text).with(SIGNATURE, &mac(text)[..64]), Some(Malformed)),
        ("in upper case", Request::new(text).with(SIGNATURE, mac(text).to_uppercase()), Some(Malformed)),
        ("two", good().and(SIGNATURE, mac(text)), Some(Reason::CredentialDuplicated)),
    ];
    check(&verifier(CodeKind::NowPayments, &[secret("a", KEY)]), rows);
}

#[test]
fn numbers_are_written_as_javascript_does_or_refused() {
    let refused = Some(Reason::CredentialMalformed);
    let rows = [
        ("0", "0", None),
        ("-0", "0", None),
        ("1.0", "1", None),
        ("1.0", "1.0", Some(Reason::CredentialMismatch)),
        ("10.50", "10.5", None),
        ("123456789", "123456789", None),
        ("1e20", "100000000000000000000", None),
        ("123456789012345680000", "123456789012345680000", None),
        ("1000000000000000000000", "1e+21", None),
        ("1.25E+22", "1.25e+22", None),
        ("0.000001", "0.000001", None),
        ("0.00000123", "0.00000123", None),
        ("0.0000001", "1e-7", None),
        ("0.000000123", "1.23e-7", None),
        ("-123.456e2", "-12345.6", None),
        ("0.1", "0.1", None),
        ("9007199254740992", "9007199254740992", None),
        ("9007199254740993", "9007199254740992", refused),
        ("0.1000000000000000055511151231257827", "0.1", refused),
        ("1e400", "null", refused),
        ("1e-400", "0", refused),
    ];
    let rows = rows.map(|(written, signed, expected)| {
        (written, request(&format!("{{\"n\":{written}}}"), &format!("{{\"n\":{signed}}}")), expected)
    });
    check(&verifier(CodeKind::NowPayments, &[secret("a", KEY)]), rows.into());
}

#[test]
fn members_and_strings_are_written_as_javascript_does() {
    let rows = vec![
        (
            "indices first, by number",
            r#"{"a":1,"10":2,"9":3,"01":4,"4294967295":5,"":6}"#,
            r#"{"9":3,"10":2,"":6,"01":4,"4294967295":5,"a":1}"#,
        ),
        ("by UTF-16 code units", "{\"\u{ffff}\":1,\"\u{10000}\":2}", "{\"\u{10000}\":2,\"\u{ffff}\":1}"),
        ("short escapes", r#"{"a":"\u0008\u000c\u000a\u000d\u0009\u0022\u005c\/"}"#, r#"{"a":"\b\f\n\r\t\"\\/"}"#),
        ("long escapes", r#"{"a":"\u001F\u0000"}"#, r#"{"a":"\u001f\u0000"}"#),
        ("no escapes", r#"{"a":"\u007f\u2028\ud83d\ude80<"}"#, "{\"a\":\"\u{7f}\u{2028}\u{1f680}<\"}"),
    ];
    let verifier = verifier(CodeKind::NowPayments, &[secret("a", KEY)]);
    check(&verifier, rows.into_iter().map(|(name, body, text)| (name, request(body, text), None)).collect());
    let hidden = r#"{"__proto__":1}"#;
    check(&verifier, vec![("a member that a copy loses", request(hidden, hidden), Some(Reason::CredentialMalformed))]);
}

#[test]
fn the_value_is_the_delivery_whatever_key_signed_it() {
    let verifier = verifier(CodeKind::NowPayments, &[secret("new", "another"), secret("old", KEY)]);
    let (one, other) =
        (request(r#"{"b":1,"a":2}"#, r#"{"a":2,"b":1}"#), request(r#"{"a":2.0,"b":1}"#, r#"{"a":2,"b":1}"#));
    let proven = judge(&verifier, &one).unwrap();
    assert_eq!((proven.key.as_str(), proven.signed_at_millis), ("old", None));
    assert_eq!(judge(&verifier, &other).unwrap(), proven);
    let over = super::verifier(CodeKind::NowPayments, &[expired(secret("old", KEY))]);
    check(&over, vec![("an expired key", one, Some(Reason::SecretExpired))]);
}
