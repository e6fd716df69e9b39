//! Every preset and family: what is signed verifies, and the nearest wrong thing is refused for its own reason.

mod condition;
mod credential;
mod facts;
mod handshake;
mod key;
mod list;
mod place;
mod public_key;
mod sent;
mod template;
mod token;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use super::condition::Condition;
use super::key::{KeyKind, NamedSecret};
use super::place::{Body, Place, View};
use super::scheme::{
    Algorithm, Encoding, Hash, JsonType, Must, SecretEncoding, SecretForm, Shape, TimestampRule, TimestampUnit,
    TokenRule,
};
use super::sign::{SignFault, Signed, Unsigned, sign};
use super::template::{Filling, Part, Template, Value};
use super::{Head, Scheme, Verifier};
use crate::clock::UnixSeconds;
use crate::policy::preset::{self, Signing};
use crate::reason::Reason;
use crate::rejection::Rejection;
use crate::secret::Secret;

const NOW: UnixSeconds = 1_782_907_200;
static BODY: Bytes = Bytes::from_static(br#"{"amount":1.0,"path":"\/x"}"#);
const URL: &str = "https://hooks.example.com/hooks/x";

fn secret(id: &str, text: &str) -> NamedSecret {
    NamedSecret { id: id.into(), secret: Secret::new(text.into()), expires: None, kind: KeyKind::Secret }
}

fn unsigned(body: &Bytes, now: UnixSeconds) -> Unsigned<'_> {
    let (uri, headers) = (Uri::from_static("/hooks/x"), HeaderMap::new());
    Unsigned { method: Method::POST, uri, headers, public_url: Some(URL), body, now }
}

/// A request signed by `secret`.
fn request(scheme: &Scheme, secret: &NamedSecret, now: UnixSeconds, body: &Bytes) -> Signed {
    sign(scheme, secret, unsigned(body, now)).unwrap()
}

/// The id of the secret that fits, or why none does.
fn judge(verifier: &Verifier, signed: &Signed, body: &Bytes, now: UnixSeconds) -> Result<String, Reason> {
    judge_sent_by(&Method::POST, verifier, signed, body, now)
}

fn judge_sent_by(
    method: &Method,
    verifier: &Verifier,
    signed: &Signed,
    body: &Bytes,
    now: UnixSeconds,
) -> Result<String, Reason> {
    let head = Head { method, uri: &signed.uri, headers: &signed.headers, public_url: Some(URL) };
    let proof = verifier.read(head, now).and_then(|credential| verifier.verify(credential, body, now));
    proof.map(|proof| proof.secret_id().to_owned()).map_err(|rejection| rejection.reason())
}

fn verifier(name: &str, scheme: &Scheme, secrets: &[NamedSecret]) -> Verifier {
    Verifier::new(name, std::slice::from_ref(scheme), secrets).unwrap()
}

/// The one scheme of a preset.
fn preset_scheme(name: &str) -> &'static Scheme {
    let [scheme] = preset::find(name).unwrap().signing.schemes() else { panic!("{name} has not one scheme") };
    scheme
}

fn header(name: &'static str) -> Place {
    Place::header(HeaderName::from_static(name))
}

fn value(value: Value) -> Part {
    Part::Value(value, Box::default())
}

fn hmac(hash: Hash, encoding: Encoding) -> Scheme {
    Scheme {
        when: Box::default(),
        algorithm: Algorithm::Hmac(hash),
        credential: header("x-signature"),
        shape: Shape::Whole { prefix: "v0=".into() },
        encoding,
        secret: SecretForm::default(),
        signed: Template::new(vec![
            Part::Text("v0:".into()),
            value(Value::Timestamp),
            Part::Text(":".into()),
            value(Value::Body),
        ]),
        timestamp: Some(TimestampRule {
            at: header("x-time"),
            unit: TimestampUnit::Seconds,
            tolerance_seconds: 300,
            json_type: JsonType::Number,
        }),
        require: Box::default(),
        token: TokenRule::default(),
    }
}

/// A secret that a scheme takes, and one that differs from it in a letter.
fn secrets_for(scheme: &Scheme) -> [NamedSecret; 2] {
    let [right, wrong] = match (scheme.algorithm, scheme.secret.encoding) {
        (Algorithm::Basic, _) => ["user:correct horse battery", "user:correct horse batterz"],
        (_, SecretEncoding::Base64) => {
            ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
        }
        (_, SecretEncoding::Hex) => ["00112233445566778899aabbccddeeff", "00112233445566778899aabbccddeefe"],
        (_, SecretEncoding::Text | SecretEncoding::Sha1) => {
            ["correct-horse-battery-staple", "correct-horse-battery-staplf"]
        }
    };
    [secret("only", right), secret("other", wrong)]
}

/// A request that a scheme with conditions is for, before it is signed; values of the body that it signs are in the body.
fn unsigned_for<'b>(scheme: &Scheme, body: &'b Bytes) -> Unsigned<'b> {
    let mut unsigned = unsigned(body, NOW);
    for condition in &scheme.when {
        match condition {
            Condition::Absent(_) => {}
            Condition::Present(place) if *place == scheme.credential => {}
            Condition::Present(place @ Place::Query(name)) => {
                let text = required(scheme, place, &unsigned);
                unsigned.uri = format!("{}?{name}={text}", unsigned.uri.path()).parse().unwrap();
            }
            Condition::Present(Place::Header(names)) => {
                unsigned.headers.insert(names[0].clone(), HeaderValue::from(NOW));
            }
            Condition::Equals(Place::Header(names), text) => {
                unsigned.headers.insert(names[0].clone(), HeaderValue::from_str(text).unwrap());
            }
            Condition::Method(method) => unsigned.method = method.clone(),
            Condition::Media(media_type) => {
                unsigned.headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_str(media_type).unwrap());
            }
            other @ (Condition::Present(_) | Condition::Equals(..)) => {
                panic!("no request is made for the condition {other}")
            }
        }
    }
    unsigned
}

/// What a side condition wants at a place.
fn required(scheme: &Scheme, place: &Place, unsigned: &Unsigned<'_>) -> String {
    let requirement = scheme.require.iter().find(|requirement| requirement.value == *place).unwrap();
    let Must::EqualAny(texts) = &requirement.must else { panic!("{place} is not compared") };
    let Unsigned { method, uri, headers, public_url, body, .. } = unsigned;
    let head = Head { method, uri, headers, public_url: *public_url };
    let body = Body::new(body, headers);
    String::from_utf8(texts[0].fill(&Filling::of(View::of_head(head).with_body(&body)))).unwrap()
}

/// Why nobody but the provider can sign for a scheme; `None` if whoever has the secret can.
fn unsignable(scheme: &Scheme) -> Option<SignFault> {
    if scheme.credential.is_in_body() {
        return Some(SignFault::InBody);
    }
    (!scheme.has_secrets()).then_some(SignFault::PrivateKey)
}

/// Code has no schemes: nothing here signs for it.
#[test]
fn what_every_preset_signs_it_verifies_and_another_secret_does_not_fit() {
    for preset in preset::all() {
        let given = |name: &str| preset.parameters.iter().any(|known| known.name == name).then_some("the-parameter");
        let schemes = preset.signing.schemes();
        assert_eq!(schemes.is_empty(), matches!(preset.signing, Signing::Code(_)), "{}", preset.name);
        for scheme in schemes {
            let scheme = scheme.resolve(&given).unwrap();
            let Some(expected) = unsignable(&scheme) else {
                check_round_trip(preset.name, &scheme);
                continue;
            };
            let refused = sign(&scheme, &secrets_for(&scheme)[0], unsigned(&BODY, NOW));
            assert_eq!(refused.unwrap_err(), expected, "{}", preset.name);
        }
    }
}

/// The body with whatever of it a scheme signs or asks for.
fn body_for(scheme: &Scheme) -> Bytes {
    let at = scheme.timestamp.as_ref().map(|rule| &rule.at);
    let signed = scheme.signed.values().filter_map(|value| {
        let Value::At(place) = value else { return None };
        Some(place)
    });
    let places = at.into_iter().chain(signed).chain(scheme.require.iter().map(|requirement| &requirement.value));
    let mut body: serde_json::Value = serde_json::from_slice(&BODY).unwrap();
    for place in places {
        let Place::Json(pointer) = place else { continue };
        let pointer = pointer.to_string();
        let mut spot = &mut body;
        for name in pointer.split('/').skip(1) {
            spot = &mut spot[name];
        }
        *spot = match &scheme.timestamp {
            Some(rule) if rule.at == *place => stamp(rule),
            Some(_) | None => "x".into(),
        };
    }
    body.to_string().into()
}

/// Now, as it stands in a body.
fn stamp(rule: &TimestampRule) -> serde_json::Value {
    let count = match rule.unit {
        TimestampUnit::Seconds => NOW,
        TimestampUnit::Milliseconds => NOW * 1000,
        TimestampUnit::Iso8601 => return jiff::Timestamp::from_second(NOW).unwrap().to_string().into(),
    };
    match rule.json_type {
        JsonType::Number => count.into(),
        JsonType::String => count.to_string().into(),
    }
}

/// What is signed verifies; another secret, another body and no credential at all do not.
fn check_round_trip(name: &str, scheme: &Scheme) {
    let [only, other] = secrets_for(scheme);
    let verifier = verifier(name, scheme, std::slice::from_ref(&only));
    let body = body_for(scheme);
    let method = unsigned_for(scheme, &body).method;
    let judged = |signed: &Signed, body: &Bytes| judge_sent_by(&method, &verifier, signed, body, NOW);
    let signed = sign(scheme, &only, unsigned_for(scheme, &body)).unwrap();
    assert_eq!(judged(&signed, &body), Ok("only".to_owned()), "{name}");
    let forged = sign(scheme, &other, unsigned_for(scheme, &body)).unwrap();
    assert_eq!(judged(&forged, &body), Err(Reason::CredentialMismatch), "{name}");
    if scheme.covers_body() {
        let changed = Bytes::from([&body[..], b"\n"].concat());
        assert_eq!(judged(&signed, &changed), Err(Reason::CredentialMismatch), "{name}");
    }
    let bare = Signed { uri: Uri::from_static("/hooks/x"), headers: HeaderMap::new() };
    assert_eq!(judged(&bare, &body), Err(Reason::CredentialMissing), "{name}");
}

#[test]
fn every_changed_bit_of_a_signature_is_refused() {
    for hash in [Hash::Sha1, Hash::Sha256, Hash::Sha384, Hash::Sha512] {
        let scheme = hmac(hash, Encoding::Hex);
        let verifier = verifier("custom", &scheme, &[secret("only", "a-secret-of-some-length")]);
        let signed = request(&scheme, &secret("only", "a-secret-of-some-length"), NOW, &BODY);
        let text = signed.headers["x-signature"].to_str().unwrap().to_owned();
        for bit in 0..hash.length() * 8 {
            let mut bytes = hex::decode(&text[3..]).unwrap();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let mut forged = signed.clone();
            let value = HeaderValue::try_from(format!("v0={}", hex::encode(bytes))).unwrap();
            forged.headers.insert("x-signature", value);
            assert_eq!(judge(&verifier, &forged, &BODY, NOW), Err(Reason::CredentialMismatch), "{hash:?} bit {bit}");
        }
    }
}

/// Signatures that are not exactly one well-spelled MAC never reach a comparison.
#[test]
fn signatures_of_another_shape_are_malformed() {
    for encoding in [Encoding::Hex, Encoding::Base64, Encoding::Base64Url] {
        let scheme = hmac(Hash::Sha256, encoding);
        let verifier = verifier("custom", &scheme, &[secret("only", "a-secret-of-some-length")]);
        let signed = request(&scheme, &secret("only", "a-secret-of-some-length"), NOW, &BODY);
        let good = signed.headers["x-signature"].to_str().unwrap().to_owned();
        let encoded = good.strip_prefix("v0=").unwrap();
        let rows = [
            ("prefix alone", "v0=".to_owned()),
            ("without prefix", encoded.to_owned()),
            ("another version", format!("v1={encoded}")),
            ("one short", format!("v0={}", &encoded[..encoded.len() - 1])),
            ("two short", format!("v0={}", &encoded[..encoded.len() - 2])),
            ("two more", format!("{good}00")),
            ("twice", format!("{good}{encoded}")),
            ("a space within", format!("v0={} {}", &encoded[..10], &encoded[10..])),
            ("outside the alphabet", format!("v0=!{}", &encoded[1..])),
            ("very long", format!("v0={}", "a".repeat(4096))),
        ];
        for (name, text) in rows {
            let mut forged = signed.clone();
            forged.headers.insert("x-signature", HeaderValue::try_from(text).unwrap());
            let judged = judge(&verifier, &forged, &BODY, NOW);
            assert_eq!(judged, Err(Reason::CredentialMalformed), "{encoding:?}: {name}");
        }
        let mut empty = signed.clone();
        empty.headers.insert("x-signature", HeaderValue::from_static(""));
        assert_eq!(judge(&verifier, &empty, &BODY, NOW), Err(Reason::CredentialMissing), "{encoding:?}: empty");
    }
    let scheme = hmac(Hash::Sha256, Encoding::Hex);
    let verifier = verifier("custom", &scheme, &[secret("only", "a-secret-of-some-length")]);
    let mut upper = request(&scheme, &secret("only", "a-secret-of-some-length"), NOW, &BODY);
    let text = upper.headers["x-signature"].to_str().unwrap().to_uppercase().replace("V0", "v0");
    upper.headers.insert("x-signature", HeaderValue::try_from(text).unwrap());
    assert_eq!(judge(&verifier, &upper, &BODY, NOW), Err(Reason::CredentialMalformed), "upper-case hex");
}

#[test]
fn a_second_credential_field_is_refused_even_if_it_is_the_same() {
    let scheme = hmac(Hash::Sha256, Encoding::Hex);
    let verifier = verifier("custom", &scheme, &[secret("only", "a-secret-of-some-length")]);
    let mut signed = request(&scheme, &secret("only", "a-secret-of-some-length"), NOW, &BODY);
    let value = signed.headers["x-signature"].clone();
    signed.headers.append("x-signature", value);
    assert_eq!(judge(&verifier, &signed, &BODY, NOW), Err(Reason::CredentialDuplicated));
}

#[test]
fn the_tolerance_is_two_sided_and_inclusive() {
    for unit in [TimestampUnit::Seconds, TimestampUnit::Milliseconds] {
        let mut scheme = hmac(Hash::Sha256, Encoding::Hex);
        scheme.timestamp.as_mut().unwrap().unit = unit;
        let verifier = verifier("custom", &scheme, &[secret("only", "a-secret-of-some-length")]);
        let rows = [
            (-301, Err(Reason::TimestampStale)),
            (-300, Ok("only".to_owned())),
            (0, Ok("only".to_owned())),
            (300, Ok("only".to_owned())),
            (301, Err(Reason::TimestampFuture)),
        ];
        for (offset, expected) in rows {
            let signed = request(&scheme, &secret("only", "a-secret-of-some-length"), NOW + offset, &BODY);
            assert_eq!(judge(&verifier, &signed, &BODY, NOW), expected, "{unit:?} {offset}");
        }
    }
}

#[test]
fn a_timestamp_is_digits_and_nothing_else() {
    let scheme = hmac(Hash::Sha256, Encoding::Hex);
    let verifier = verifier("custom", &scheme, &[secret("only", "a-secret-of-some-length")]);
    let malformed = Reason::TimestampMalformed;
    let rows = [
        ("-1", malformed),
        ("+1782907200", malformed),
        ("1782907200.0", malformed),
        ("1.7829072e9", malformed),
        ("1782907200abc", malformed),
        ("0x6a447e80", malformed),
        ("99999999999999999999", malformed),
        ("999999999999999999", malformed),
        ("0", Reason::TimestampStale),
        ("1782907200000", Reason::TimestampFuture),
        ("", Reason::TimestampMissing),
    ];
    for (text, expected) in rows {
        let mut signed = request(&scheme, &secret("only", "a-secret-of-some-length"), NOW, &BODY);
        signed.headers.insert("x-time", HeaderValue::from_static(text));
        assert_eq!(judge(&verifier, &signed, &BODY, NOW), Err(expected), "{text:?}");
    }
}

#[test]
fn any_live_secret_fits_and_an_expired_one_is_named() {
    let scheme = hmac(Hash::Sha256, Encoding::Hex);
    let old = NamedSecret { expires: Some(NOW), ..secret("old", "the-old-secret-of-the-source") };
    let verifier = verifier("custom", &scheme, &[secret("new", "the-new-secret-of-the-source"), old]);
    let judged = |text: &str, now| {
        let signed = request(&scheme, &secret("x", text), now, &BODY);
        judge(&verifier, &signed, &BODY, now)
    };
    assert_eq!(judged("the-new-secret-of-the-source", NOW), Ok("new".to_owned()));
    assert_eq!(judged("the-old-secret-of-the-source", NOW - 1), Ok("old".to_owned()));
    assert_eq!(judged("the-old-secret-of-the-source", NOW), Err(Reason::SecretExpired));
    assert_eq!(judged("another-secret-altogether", NOW), Err(Reason::CredentialMismatch));
}

#[test]
fn one_delivery_has_one_digest_whichever_secret_signed_it() {
    let scheme = preset_scheme("github");
    let secrets = || [secret("new", "the-new-secret-of-the-source"), secret("old", "the-old-secret-of-the-source")];
    let verifier = verifier("github", scheme, &secrets());
    let digest = |text: &str, body: &Bytes| {
        let signed = request(scheme, &secret("x", text), NOW, body);
        let head = Head { method: &Method::POST, uri: &signed.uri, headers: &signed.headers, public_url: None };
        let proof = verifier.verify(verifier.read(head, NOW).unwrap(), body, NOW).unwrap();
        *proof.digest().unwrap()
    };
    let first = digest("the-new-secret-of-the-source", &BODY);
    assert_eq!(first, digest("the-old-secret-of-the-source", &BODY));
    assert_ne!(first, digest("the-new-secret-of-the-source", &Bytes::from_static(b"{}")));
}

#[test]
fn lists_take_any_signature_of_the_wanted_version_and_no_other() {
    let stripe = preset_scheme("stripe");
    let verifier = verifier("stripe", stripe, &[secret("only", "whsec_a-secret-of-some-length")]);
    let signed = request(stripe, &secret("only", "whsec_a-secret-of-some-length"), NOW, &BODY);
    let header = signed.headers["stripe-signature"].to_str().unwrap().to_owned();
    let good = header.split_once("v1=").unwrap().1.to_owned();
    let bad = good.chars().rev().collect::<String>();
    let fits = Ok("only".to_owned());
    let many = |count: usize| format!("t={NOW},{}v1={good}", format!("v1={bad},").repeat(count));
    let rows = [
        (format!("t={NOW},v1={bad},v1={good}"), fits.clone()),
        (format!("t={NOW},v1=short,v1={good}"), fits.clone()),
        (format!("v1={good},t={NOW}"), fits.clone()),
        (format!("t={NOW},v2={good},v1={good},x=1,,y"), fits.clone()),
        (many(63), fits),
        (many(64), Err(Reason::CredentialMalformed)),
        (format!("t={NOW},v0={good}"), Err(Reason::CredentialMalformed)),
        (format!("t={NOW},v1="), Err(Reason::CredentialMalformed)),
        (format!("t={NOW},V1={good}"), Err(Reason::CredentialMalformed)),
        (good.clone(), Err(Reason::CredentialMalformed)),
        (format!("v1={good}"), Err(Reason::TimestampMissing)),
        (format!("t={NOW},t={NOW},v1={good}"), Err(Reason::TimestampMalformed)),
        (format!("t=,v1={good}"), Err(Reason::TimestampMissing)),
        (format!("t={},v1={good}", NOW + 1), Err(Reason::CredentialMismatch)),
    ];
    for (text, expected) in rows {
        let mut request = signed.clone();
        request.headers.insert("stripe-signature", HeaderValue::try_from(&text).unwrap());
        assert_eq!(judge(&verifier, &request, &BODY, NOW), expected, "{text}");
    }
}

/// Each look at a body of megabytes costs, and nobody has proven anything yet.
#[test]
fn signatures_that_cost_a_look_at_the_body_each_are_few() {
    let (good, junk) = (hmac_of("k-of-some-length", &format!("{NOW}.x")), "00".repeat(32));
    let persona = preset_scheme("persona");
    let verifier = verifier("persona", persona, &[secret("only", "k-of-some-length")]);
    let groups = |count: usize| format!("{}t={NOW},v1={good}", format!("t={NOW},v1={junk} ").repeat(count));
    let malformed = Err(Reason::CredentialMalformed);
    let within = format!("{}v1={good}", format!("v1={junk},").repeat(63));
    let rows = [
        (groups(0), Ok("only".to_owned())),
        (groups(7), Ok("only".to_owned())),
        (groups(8), malformed.clone()),
        (format!("t={NOW},{within}"), Ok("only".to_owned())),
    ];
    for (text, expected) in rows {
        let headers = HeaderMap::from_iter([(
            HeaderName::from_static("persona-signature"),
            HeaderValue::try_from(&text).unwrap(),
        )]);
        let signed = Signed { uri: Uri::from_static("/hooks/x"), headers };
        assert_eq!(judge(&verifier, &signed, &Bytes::from_static(b"x"), NOW), expected, "{text}");
    }
}

#[test]
fn signatures_with_a_public_key_are_few() {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let key = NamedSecret { kind: KeyKind::Public, ..secret("only", &STANDARD.encode(pair.public_key().as_ref())) };
    let verifier = verifier("standard-webhooks-asym", preset_scheme("standard-webhooks-asym"), &[key]);
    let good = STANDARD.encode(pair.sign(format!("m.{NOW}.x").as_bytes()).as_ref());
    let junk = STANDARD.encode([1; 64]);
    for (count, expected) in
        [(0, Ok("only".to_owned())), (7, Ok("only".to_owned())), (8, Err(Reason::CredentialMalformed))]
    {
        let text = format!("{}v1a,{good}", format!("v1a,{junk} ").repeat(count));
        let fields = [("webhook-id", "m"), ("webhook-timestamp", &*NOW.to_string()), ("webhook-signature", &*text)]
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::try_from(value).unwrap()));
        let signed = Signed { uri: Uri::from_static("/hooks/x"), headers: HeaderMap::from_iter(fields) };
        assert_eq!(judge(&verifier, &signed, &Bytes::from_static(b"x"), NOW), expected, "{count}");
    }
}

#[test]
fn every_notification_of_a_batch_carries_the_token_however_many_there_are() {
    let verifier =
        verifier("microsoft-graph", preset_scheme("microsoft-graph"), &[secret("only", "a-client-state-of-ours")]);
    let batch = |states: &[&str]| {
        let items: Vec<_> = states.iter().map(|state| format!("{{\"clientState\":\"{state}\"}}")).collect();
        Bytes::from(format!("{{\"value\":[{}]}}", items.join(",")))
    };
    let good = "a-client-state-of-ours";
    let rows = [
        (batch(&[good; 1]), Ok("only".to_owned())),
        (batch(&[good; 65]), Ok("only".to_owned())),
        (batch(&[good; 1_000]), Ok("only".to_owned())),
        (batch(&[&[good; 64][..], &["another"]].concat()), Err(Reason::CredentialMismatch)),
        (batch(&[&["another"], &[good; 64][..]].concat()), Err(Reason::CredentialMismatch)),
        (batch(&[&[good; 64][..], &[""]].concat()), Err(Reason::CredentialMissing)),
        (batch(&[[good, "another"]; 33].concat()), Err(Reason::CredentialMalformed)),
        (batch(&[]), Err(Reason::CredentialMissing)),
    ];
    for (body, expected) in rows {
        let signed = Signed { uri: Uri::from_static("/hooks/x"), headers: HeaderMap::new() };
        assert_eq!(judge(&verifier, &signed, &body, NOW), expected, "{} bytes", body.len());
    }
}

/// While the operator changes one of the two keys at Box, the other one's signature is what still fits.
#[test]
fn either_signature_of_box_fits() {
    let time = "2026-07-01T12:00:00Z";
    let verifier = verifier("box", preset_scheme("box"), &[secret("kept", "k-of-some-length")]);
    let good = STANDARD.encode(hex::decode(hmac_of("k-of-some-length", &format!("x{time}"))).unwrap());
    let other = STANDARD.encode([1; 32]);
    let (primary, secondary) = ("box-signature-primary", "box-signature-secondary");
    let rows = [
        (vec![(primary, &good)], Ok("kept".to_owned())),
        (vec![(primary, &good), (secondary, &other)], Ok("kept".to_owned())),
        (vec![(primary, &other), (secondary, &good)], Ok("kept".to_owned())),
        (vec![(primary, &other), (secondary, &other)], Err(Reason::CredentialMismatch)),
        (vec![(primary, &good), (primary, &good)], Err(Reason::CredentialDuplicated)),
        (vec![], Err(Reason::CredentialMalformed)),
    ];
    for (fields, expected) in rows {
        let mut headers = HeaderMap::new();
        headers.insert("box-delivery-timestamp", HeaderValue::from_static(time));
        headers.insert("box-signature-version", HeaderValue::from_static("1"));
        headers.insert("box-signature-algorithm", HeaderValue::from_static("HmacSHA256"));
        for (name, value) in &fields {
            headers.append(*name, HeaderValue::try_from(*value).unwrap());
        }
        let signed = Signed { uri: Uri::from_static("/hooks/x"), headers };
        assert_eq!(judge(&verifier, &signed, &Bytes::from_static(b"x"), NOW), expected, "{fields:?}");
    }
}

/// A MAC in hex.
fn hmac_of(key: &str, text: &str) -> String {
    use ::hmac::{Hmac, KeyInit as _, Mac as _};
    let mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap().chain_update(text).finalize();
    hex::encode(mac.into_bytes())
}

/// A GET whose URL alone is signed says nothing in a body.
#[test]
fn a_body_that_a_get_does_not_sign_is_refused() {
    let scheme =
        Scheme { signed: Template::new(vec![value(Value::Url)]), timestamp: None, ..hmac(Hash::Sha256, Encoding::Hex) };
    let key = secret("only", "k-of-some-length");
    let signed = request(&scheme, &key, NOW, &Bytes::new());
    let verifier = verifier("custom", &scheme, &[key]);
    let fits = Ok("only".to_owned());
    let rows = [
        (Method::GET, "", fits.clone()),
        (Method::GET, "x", Err(Reason::CredentialMismatch)),
        (Method::POST, "x", fits),
    ];
    for (method, body, expected) in rows {
        assert_eq!(
            judge_sent_by(&method, &verifier, &signed, &Bytes::from_static(body.as_bytes()), NOW),
            expected,
            "{method} {body:?}"
        );
    }
}

type Change = fn(&mut HeaderMap);

#[test]
fn every_value_that_is_signed_must_be_there_and_stand_alone() {
    let scheme = preset_scheme("standard-webhooks");
    let [only, _] = secrets_for(scheme);
    let verifier = verifier("standard-webhooks", scheme, &secrets_for(scheme)[..1]);
    let rows: [(&str, Change, Reason); 4] = [
        ("id missing", |headers| drop(headers.remove("webhook-id")), Reason::CredentialMissing),
        (
            "id empty",
            |headers| drop(headers.insert("webhook-id", HeaderValue::from_static(""))),
            Reason::CredentialMissing,
        ),
        (
            "id changed",
            |headers| drop(headers.insert("webhook-id", HeaderValue::from_static("x"))),
            Reason::CredentialMismatch,
        ),
        (
            "id twice",
            |headers| assert!(headers.append("webhook-id", HeaderValue::from_static("x"))),
            Reason::CredentialDuplicated,
        ),
    ];
    for (name, change, expected) in rows {
        let mut signed = request(scheme, &only, NOW, &BODY);
        change(&mut signed.headers);
        assert_eq!(judge(&verifier, &signed, &BODY, NOW), Err(expected), "{name}");
    }
}

#[test]
fn static_credentials_are_read_where_the_scheme_has_them() {
    let token = |credential| Scheme { credential, ..preset_scheme("token").clone() };
    let places = [Place::Query("key".into()), Place::Bearer, header("x-key")];
    for place in places {
        let scheme = token(place.clone());
        let verifier = verifier("token", &scheme, &[secret("only", "a token/with=odd&characters")]);
        let signed = request(&scheme, &secret("only", "a token/with=odd&characters"), NOW, &BODY);
        assert_eq!(judge(&verifier, &signed, &BODY, NOW), Ok("only".to_owned()), "{place:?}");
        for text in ["a token/with=odd&character", "a token/with=odd&charactersx", "A token/with=odd&characters"] {
            let signed = request(&scheme, &secret("only", text), NOW, &BODY);
            assert_eq!(judge(&verifier, &signed, &BODY, NOW), Err(Reason::CredentialMismatch), "{place:?} {text}");
        }
    }
}

#[test]
fn a_secret_that_is_not_of_the_schemes_form_is_refused_at_load() {
    let rows = [
        ("standard-webhooks", "whsec_not base64!", "base64"),
        ("standard-webhooks", "whsec_", "long enough: nothing is left of it"),
        ("basic", "no-colon-in-it", "`user:password`"),
    ];
    for (name, text, expected) in rows {
        let scheme = preset_scheme(name).clone();
        let fault = Verifier::new(name, &[scheme], &[secret("only", text)]).unwrap_err();
        assert_eq!(fault.expected, expected, "{name} {text}");
        assert!(!fault.to_string().contains(text), "{name}: the secret is in the message");
    }
}

#[test]
fn nothing_that_is_printed_holds_a_secret_or_a_signature() {
    let scheme = hmac(Hash::Sha256, Encoding::Hex);
    let verifier = verifier("custom", &scheme, &[secret("only", "sentinel-secret-value")]);
    let signed = request(&scheme, &secret("only", "another-secret-value"), NOW, &BODY);
    let head = Head { method: &Method::POST, uri: &signed.uri, headers: &HeaderMap::new(), public_url: None };
    assert!(verifier.read(head, NOW).is_err());
    let head = Head { headers: &signed.headers, ..head };
    let credential = verifier.read(head, NOW).unwrap();
    let evidence = format!("{:?}", credential.presented);
    let refused: Rejection = verifier.verify(credential, &BODY, NOW).unwrap_err();
    let printed = format!("{verifier:?} {evidence} {refused:?}");
    let signature = signed.headers["x-signature"].to_str().unwrap();
    for sentinel in ["sentinel-secret-value", "another-secret-value", &signature[3..]] {
        assert!(!printed.contains(sentinel), "{sentinel}");
    }
}
