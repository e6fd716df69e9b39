//! Adyen: a signature in every item.

use std::slice::from_ref;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use hookward::auth::code::CodeKind;
use hookward::reason::Reason;
use sha2::Sha256;

use super::{Request, check, expired, judge, secret, try_verifier, verifier};

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";
const OTHER_KEY: &str = "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

const FIELDS: [&str; 8] = ["7914073381342284", "", "TestMerchant", "order:1", "1130", "EUR", "AUTHORISATION", "true"];

fn mac(key: &str, fields: [&str; 8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&hex::decode(key).unwrap()).unwrap();
    mac.update(fields.join(":").as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// An item that says these fields, with this signature.
fn item(fields: [&str; 8], signature: &str) -> String {
    let [psp, original, account, reference, value, currency, event, success] = fields;
    format!(
        r#"{{"NotificationRequestItem":{{"pspReference":"{psp}","originalReference":"{original}","merchantAccountCode":"{account}","merchantReference":"{reference}","amount":{{"value":{value},"currency":"{currency}"}},"eventCode":"{event}","success":"{success}","reason":"x","additionalData":{{"hmacSignature":"{signature}"}}}}}}"#
    )
}

fn signed(key: &str, fields: [&str; 8]) -> String {
    item(fields, &STANDARD.encode(mac(key, fields)))
}

fn with(position: usize, value: &'static str) -> [&'static str; 8] {
    let mut fields = FIELDS;
    fields[position] = value;
    fields
}

fn body(items: &[String]) -> Request {
    Request::new(format!(r#"{{"live":"false","notificationItems":[{}]}}"#, items.join(",")))
}

#[test]
fn every_item_has_to_be_signed() {
    use Reason::{CredentialMalformed as Malformed, CredentialMismatch as Mismatch, CredentialMissing as Missing};
    let good = signed(KEY, FIELDS);
    let signature = STANDARD.encode(mac(KEY, FIELDS));
    let url_safe = URL_SAFE_NO_PAD.encode(mac(KEY, FIELDS));
    let one = || body(from_ref(&good));
    let changed = |from: &str, to: &str| body(&[good.replace(from, to)]);
    let many = |count| body(&vec![good.clone(); count]);
    let rows = vec![
        ("one", one(), None),
        ("two", many(2), None),
        ("as many as there may be", many(64), None),
        ("one more", many(65), Some(Malformed)),
        ("none", body(&[]), Some(Missing)),
        ("a second that another key signed", body(&[good.clone(), signed(OTHER_KEY, FIELDS)]), Some(Mismatch)),
        ("a second without signature", body(&[good.clone(), item(FIELDS, "")]), Some(Missing)),
        ("no reference to an original", changed(r#""originalReference":"","#, ""), None),
        ("null for it", changed(r#""originalReference":"""#, r#""originalReference":null"#), None),
        ("one that is not signed", changed(r#""originalReference":"""#, r#""originalReference":"1""#), Some(Mismatch)),
        ("another reason, which is not signed", changed(r#""reason":"x""#, r#""reason":"y""#), None),
        ("success as a boolean", changed(r#""success":"true""#, r#""success":true"#), None),
        ("failure", changed(r#""success":"true""#, r#""success":"false""#), Some(Mismatch)),
        ("success in other words", changed(r#""success":"true""#, r#""success":"yes""#), Some(Malformed)),
        ("another amount", changed("1130", "1131"), Some(Mismatch)),
        ("an amount with a point", changed("1130", "1130.0"), Some(Malformed)),
        ("an amount in quotes", changed("1130", "\"1130\""), Some(Malformed)),
        ("no amount", changed(r#""amount""#, r#""amounts""#), Some(Malformed)),
        ("the reference twice", changed(r#""reason":"x""#, r#""pspReference":"1""#), Some(Malformed)),
        ("another psp reference", changed("7914073381342284", "7914073381342285"), Some(Mismatch)),
        ("a signature of another form", changed(&signature, &url_safe), Some(Malformed)),
        ("a signature cut short", changed(&signature, &signature[4..]), Some(Malformed)),
        ("no JSON", Request::new("x=1"), Some(Malformed)),
        ("no object", Request::new("[]"), Some(Malformed)),
        ("no list", Request::new(r#"{"notificationItems":{}}"#), Some(Missing)),
    ];
    check(&verifier(CodeKind::Adyen, &[secret("a", KEY)]), rows);
}

/// `a:b` and `c` would be signed alike as `a` and `b:c`.
#[test]
fn a_colon_may_stand_in_the_merchants_reference_alone() {
    let rows = [(0, "psp:1"), (1, "original:1"), (2, "Merchant:x"), (5, "EUR:x"), (6, "CAPTURE:x")]
        .map(|(at, value)| ("a colon", body(&[signed(KEY, with(at, value))]), Some(Reason::CredentialMalformed)));
    let verifier = verifier(CodeKind::Adyen, &[secret("a", KEY)]);
    check(&verifier, rows.into());
    check(&verifier, vec![("in the reference", body(&[signed(KEY, with(3, "a:b:c"))]), None)]);
}

#[test]
fn one_live_key_has_to_fit_all_items() {
    let both = verifier(CodeKind::Adyen, &[secret("old", OTHER_KEY), secret("new", KEY)]);
    assert_eq!(judge(&both, &body(&[signed(KEY, FIELDS)])).unwrap().key, "new");
    assert_eq!(judge(&both, &body(&[signed(OTHER_KEY, FIELDS)])).unwrap().key, "old");
    let mixed = body(&[signed(KEY, FIELDS), signed(OTHER_KEY, FIELDS)]);
    assert_eq!(judge(&both, &mixed).unwrap_err().reason(), Reason::CredentialMismatch);
    let over = verifier(CodeKind::Adyen, &[expired(secret("old", KEY)), secret("new", OTHER_KEY)]);
    let rows = vec![
        ("the last second of a key", body(&[signed(KEY, FIELDS)]).at(super::NOW - 1), None),
        ("the first after it", body(&[signed(KEY, FIELDS)]), Some(Reason::SecretExpired)),
    ];
    check(&over, rows);
    let fault = try_verifier(CodeKind::Adyen, &[secret("a", "no hex")], &[], &[]).unwrap_err();
    assert_eq!(fault.to_string(), "secret `a` is not hex");
}

#[test]
fn what_is_not_signed_makes_another_delivery() {
    let verifier = verifier(CodeKind::Adyen, &[secret("a", KEY)]);
    let digest = |request: Request| judge(&verifier, &request).unwrap().digest;
    let good = signed(KEY, FIELDS);
    assert_eq!(digest(body(from_ref(&good))), digest(body(from_ref(&good)).with("x-any", "1")));
    assert_ne!(digest(body(from_ref(&good))), digest(body(&[good.replace(r#""reason":"x""#, r#""reason":"y""#)])));
}
