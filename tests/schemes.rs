//! Every family of schemes, signed by hand: what is signed is accepted, and nothing one bit away from it.
//!
//! A [`Family`] is a scheme as a user writes it, a request that was signed without our signer, and what of that request the scheme covers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

#[path = "kit/families.rs"]
mod families;
mod kit;

use std::fs;

use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use families::{FAMILIES, Family, Kind, Part};
use hookward::admit::{Capacity, Limits};
use hookward::auth::sign::{Unsigned, sign};
use hookward::offline::{Replays, Verdict, judge};
use hookward::policy::Policy;
use hookward::policy::diagnostic::Styles;
use hookward::policy::gateway_config::PoliciesConfig;
use hookward::policy::load::{self, Loaded};
use hookward::policy::secrets::{Resolved, Resolver, SecretFault};
use hookward::policy::source_config::SecretPlace;
use hookward::policy::table::Spanned;
use hookward::secret::Secret;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use kit::{NOW, PUBLIC_URL, Sent};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

const BODY: &[u8] = br#"{"type":"invoice.paid","amount":100}"#;
const FORM: &[u8] = b"Body=Hello+there%21&From=%2B14155550100&NumMedia=0";

fn families() -> impl Iterator<Item = Family> {
    FAMILIES.iter().map(|make| make(BODY))
}

#[test]
fn what_is_signed_is_accepted() {
    for family in families() {
        assert_eq!(family.kit.verdict(&family.sent(), NOW), "accept", "{}", family.name);
    }
}

#[test]
fn every_single_bit_of_what_is_covered_counts() {
    for family in families() {
        let good = family.sent();
        for part in &family.covers {
            let length = part.bytes(&good).len();
            assert!(length > 0, "{}: {part:?} is empty", family.name);
            for (byte, bit) in (0..length).flat_map(|byte| (0..8).map(move |bit| (byte, bit))) {
                let mut sent = good.clone();
                part.flip(&mut sent, byte, bit);
                if family.means_the_same(&good, &sent) {
                    continue;
                }
                let verdict = family.kit.verdict(&sent, NOW);
                assert_ne!(verdict, "accept", "{}: bit {bit} of byte {byte} of {part:?}", family.name);
            }
        }
    }
}

#[test]
fn every_single_bit_of_the_signature_counts() {
    for family in families() {
        for (byte, bit) in (0..family.signature.len()).flat_map(|byte| (0..8).map(move |bit| (byte, bit))) {
            let mut signature = family.signature.clone();
            signature[byte] ^= 1 << bit;
            let verdict = family.kit.verdict(&family.spelled(&signature), NOW);
            let expected: &[&str] = match family.kind {
                // A flipped length of DER is seen before.
                Kind::Ecdsa => &["credential_mismatch", "credential_malformed"],
                Kind::Static => &["credential_mismatch", "credential_malformed", "unsendable"],
                Kind::Mac | Kind::Ed25519 | Kind::Rsa => &["credential_mismatch"],
            };
            assert!(expected.contains(&verdict), "{}: bit {bit} of byte {byte}: {verdict}", family.name);
        }
    }
}

#[test]
fn signatures_of_another_length_are_refused_before_they_are_compared() {
    for family in families().filter(|family| family.kind != Kind::Static) {
        let good = &family.signature;
        let longer = [good.as_slice(), &[0]].concat();
        let doubled = [good.as_slice(), good].concat();
        let mut rows = vec![
            ("empty", Vec::new()),
            ("one byte", good[..1].to_vec()),
            ("over-long", vec![0x30; 4_096]),
            ("doubled", doubled),
            ("one byte less", good[..good.len() - 1].to_vec()),
            ("half", good[..good.len() / 2].to_vec()),
            ("a byte behind", longer),
        ];
        if family.kind == Kind::Rsa {
            // Between 1,024 and 8,192 bits it is the key that knows the length: its library compares lengths first.
            rows.retain(|(_, signature)| !(128..=1_024).contains(&signature.len()));
            for length in [good.len() - 1, good.len() + 1, 2 * good.len()] {
                let signature: Vec<_> = good.iter().cycle().take(length).copied().collect();
                assert_ne!(family.kit.verdict(&family.spelled(&signature), NOW), "accept", "{}", family.name);
            }
        }
        for (name, signature) in rows {
            let verdict = family.kit.verdict(&family.spelled(&signature), NOW);
            let is_expected = ["credential_malformed", "credential_missing"].contains(&verdict);
            assert!(is_expected, "{}: {name}: {verdict}", family.name);
        }
    }
}

#[test]
fn another_spelling_of_a_signature_is_malformed() {
    for family in families().filter(|family| family.kind != Kind::Static) {
        let good = String::from_utf8((family.encode)(&family.signature)).unwrap();
        let rows = [
            ("a space inside", format!("{} {}", &good[..8], &good[8..])),
            ("twice with a comma", format!("{good},{good}")),
            ("twice", format!("{good}{good}")),
            ("its last character gone", good[..good.len() - 1].to_owned()),
            (
                "a sign that is of no encoding",
                good.replacen(|character: char| character.is_ascii_alphanumeric(), "!", 1),
            ),
            ("upper case", good.to_ascii_uppercase()),
            ("padding", format!("{good}=")),
        ];
        for (name, text) in rows {
            let verdict = family.kit.verdict(&(family.place)(text.as_bytes()), NOW);
            // Base 64 in upper case is another signature; a list takes the first of two as one that it does not know, or as the first.
            let is_lenient =
                (name == "upper case" && !family.is_hex()) || (name == "twice with a comma" && family.is_list);
            let is_rsa_twice = family.kind == Kind::Rsa && name == "twice" && verdict == "credential_mismatch";
            if is_lenient || is_rsa_twice {
                continue;
            }
            let is_expected = ["credential_malformed", "credential_missing", "unsendable"].contains(&verdict);
            assert!(is_expected, "{}: {name}: {verdict}", family.name);
        }
    }
}

#[test]
fn a_credential_that_is_absent_or_there_twice_is_told_as_that() {
    for family in families() {
        let good = family.sent();
        let Some(name) = family.credential_header else { continue };
        let mut absent = good.clone();
        absent.headers.retain(|(found, _)| *found != name);
        assert_eq!(family.kit.verdict(&absent, NOW), "credential_missing", "{}", family.name);
        let mut twice = good.clone();
        twice.headers.push(good.headers.iter().find(|(found, _)| *found == name).unwrap().clone());
        assert_eq!(family.kit.verdict(&twice, NOW), "credential_duplicated", "{}", family.name);
    }
}

#[test]
fn a_timestamp_at_the_tolerance_is_taken_and_one_second_past_it_is_not() {
    let mut timed = 0;
    for family in families() {
        let Some(tolerance) = family.tolerance else { continue };
        timed += 1;
        for (skew, expected) in [
            (tolerance.past, "accept"),
            (tolerance.past + 1, "timestamp_stale"),
            (-tolerance.future, "accept"),
            (-tolerance.future - 1, "timestamp_future"),
        ] {
            assert_eq!(family.kit.verdict(&family.sent(), NOW + skew), expected, "{}: {skew} s", family.name);
        }
    }
    assert!(timed >= 8, "{timed} families judge the time");
}

/// The other way round: our signer makes what the schemes take, where one can sign without a private key.
#[test]
fn what_our_signer_makes_is_accepted_and_not_under_another_secret() {
    let mut signed = 0;
    for family in families() {
        let Some(secret) = &family.secret else { continue };
        let scheme = kit::schemes(&family.scheme).pop().unwrap();
        let good = family.sent();
        let mut headers = HeaderMap::new();
        if let Some((_, media_type)) = good.headers.iter().find(|(name, _)| *name == "content-type") {
            headers.insert("content-type", HeaderValue::from_bytes(media_type).unwrap());
        }
        let body = good.body.clone().into();
        let uri = family.unsigned_uri.parse().unwrap();
        let unsigned =
            Unsigned { method: Method::POST, uri, headers, public_url: Some(PUBLIC_URL), body: &body, now: NOW };
        let other = kit::secret("x", b"6f7468657261736563726574206f6620736f6d65206c656e677468");
        for (secret, is_ours) in [(secret, true), (&other, false)] {
            let Ok(made) = sign(&scheme, secret, unsigned.clone()) else { continue };
            let mut sent = Sent::post(&good.body).uri(made.uri.to_string());
            for (name, value) in &made.headers {
                let name: &'static str = Box::leak(name.as_str().to_owned().into_boxed_str());
                sent = sent.header(name, value.as_bytes());
            }
            let verdict = family.kit.verdict(&sent, NOW);
            assert_eq!(verdict == "accept", is_ours, "{}: {verdict}", family.name);
            signed += usize::from(is_ours);
        }
    }
    assert!(signed >= 12, "{signed} families are signed");
}

#[test]
fn a_field_that_is_signed_has_to_be_there_once_and_not_be_empty() {
    for family in families() {
        for part in &family.covers {
            let Part::Header(name) = part else { continue };
            let good = family.sent();
            let mut absent = good.clone();
            absent.headers.retain(|(found, _)| found != name);
            let mut empty = good.clone();
            empty.header_mut(name).clear();
            let mut twice = good.clone();
            let value = good.headers.iter().find(|(found, _)| found == name).unwrap().1.clone();
            twice.headers.push((HeaderName::from_static(name).as_str().to_owned().leak(), value));
            for (row, sent) in [("absent", absent), ("empty", empty), ("twice", twice)] {
                assert_ne!(family.kit.verdict(&sent, NOW), "accept", "{}: {name} {row}", family.name);
            }
        }
    }
}

/// The fields in another order, or spelled otherwise, are the same form; Twilio signs what they say.
#[test]
fn a_sorted_form_is_signed_by_what_it_says() {
    let family = families::sorted_form(FORM);
    let rows: &[(&[u8], &str)] = &[
        (FORM, "accept"),
        (b"NumMedia=0&From=%2B14155550100&Body=Hello+there%21", "accept"),
        (b"Body=Hello%20there!&From=%2b14155550100&NumMedia=0", "accept"),
        (b"Body=Hello+there%21&From=%2B14155550100&NumMedia=0&NumMedia=0", "accept"),
        (b"Body=Hello+there%21&From=%2B14155550100&NumMedia=1", "credential_mismatch"),
        (b"Body=Hello+there%21&From=%2B14155550100", "credential_mismatch"),
        (b"Body=Hello+there%21&From=%2B14155550100&NumMedia=0&x=", "credential_mismatch"),
        (b"Body=Hello+there%21&From=%2B14155550101&NumMedia=0", "credential_mismatch"),
    ];
    for (body, expected) in rows {
        let sent = Sent { body: body.to_vec(), ..family.sent() };
        assert_eq!(family.kit.verdict(&sent, NOW), *expected, "{}", String::from_utf8_lossy(body));
    }
}

/// A provider that we never heard of, in a policy of the user's own.
struct Own {
    name: &'static str,
    auth: &'static str,
    /// The fields and the body of a request that is accepted.
    sign: fn(body: &str, now: i64) -> Vec<(&'static str, String)>,
}

const OWN: &[Own] = &[
    Own {
        name: "a list like Stripe's, in other words",
        auth: "secrets = [{ id = 'mac', env = 'MAC' }]\n[auth.scheme]\nlike = 'stripe'\nalgorithm = 'hmac-sha512'\n\
               credential = 'header:x-acme-proof'\nlist = { separator = ';', pair = ':', item = 'sig' }\n\
               signed = 'acme|{timestamp}|{body}'\ntimestamp = { at = 'item:when', tolerance_seconds = 60 }",
        sign: |body, now| {
            let mac = families::sha512_mac(format!("acme|{now}|{body}"));
            vec![("x-acme-proof", format!("when:{now};sig:{}", hex::encode(mac)))]
        },
    },
    Own {
        name: "Ed25519 over a time and the body",
        auth: "public_keys = [{ id = 'ed25519', env = 'ED25519' }]\n[auth.scheme]\nalgorithm = 'ed25519'\n\
               credential = 'header:x-acme-proof'\nprefix = 'ed25519:'\nencoding = 'base64url'\nsigned = \"{timestamp}\\n{body}\"\n\
               timestamp = { at = 'header:x-acme-time', unit = 'milliseconds', tolerance_seconds = 60 }",
        sign: |body, now| {
            let millis = now * 1_000;
            let signature = families::ed25519_pair().sign(format!("{millis}\n{body}").as_bytes());
            let proof = format!("ed25519:{}", URL_SAFE_NO_PAD.encode(signature));
            vec![("x-acme-time", millis.to_string()), ("x-acme-proof", proof)]
        },
    },
    Own {
        name: "a token with the body's hash",
        auth: "secrets = [{ id = 'mac', env = 'MAC' }]\n[auth.scheme]\nalgorithm = 'jwt'\ncredential = 'header:x-acme-proof'\n\
               jwt = { algorithms = ['HS256'], age_seconds_max = 60 }\n\
               require = [{ value = 'claim:iss', equals = 'acme' }, { value = 'claim:sha256', equals = '{body|sha256|base64url}' }]",
        sign: |body, now| {
            let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(body));
            let claims = format!(r#"{{"iss":"acme","iat":{now},"sha256":"{hash}"}}"#);
            let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(claims));
            vec![("x-acme-proof", format!("{text}.{}", URL_SAFE_NO_PAD.encode(families::sha256_mac(&text))))]
        },
    },
];

/// The environment of these policies.
struct Environment;

impl Resolver for Environment {
    fn resolve(&self, place: &SecretPlace) -> Result<Resolved, SecretFault> {
        let SecretPlace::Env(name) = place else { panic!("{place:?}") };
        let bytes = match name.as_str() {
            "MAC" => families::SECRET.to_vec(),
            "ED25519" => hex::encode(families::ed25519_pair().public_key()).into_bytes(),
            other => panic!("{other}"),
        };
        Ok(Resolved::Secret(Secret::new(bytes)))
    }
}

fn policy(auth: &str) -> Policy {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "path = '/hooks/acme'\n[auth]\n{auth}\n[event]\npointer = '/type'\n[forward]\nto = 'http://127.0.0.1:9/'\n"
    );
    fs::write(folder.path().join("acme.toml"), text).unwrap();
    let directory = Spanned { value: folder.path().to_owned(), span: 0..0 };
    let mut loaded = Loaded::default();
    let limits = Limits::new(Capacity::default());
    let policy = load::load(&PoliciesConfig { directory, strict: false }, &Environment, &limits, &mut loaded);
    policy.unwrap_or_else(|| panic!("{}", loaded.diagnostics.report(&loaded.files, &Styles::plain())))
}

fn judged(policy: &Policy, fields: &[(&'static str, String)], body: &str, now: i64) -> String {
    let request =
        Request::post("/hooks/acme").header("host", "hooks.example.com").header("content-type", "application/json");
    let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, value));
    let head = request.body(()).unwrap().into_parts().0;
    match judge(policy, &head, body.to_owned().into(), now, Replays::Ignored).verdict {
        Verdict::Accept(forwardable) => format!("accept {}", forwardable.headers["x-hookward-event"].to_str().unwrap()),
        Verdict::Answer(answer) => answer.why.to_owned(),
        Verdict::Reject(rejection) => rejection.reason().code().to_owned(),
    }
}

/// A source that takes deep bodies finds the time in them, and one that takes flat ones alone says so itself.
#[test]
fn the_body_is_looked_into_as_deep_as_its_source_takes_it() {
    let body =
        |depth: usize| format!(r#"{{"type":"a","t":{NOW},"d":{}{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1));
    let rows = [
        ("", 64, "accept a"),
        ("", 65, "timestamp_missing"),
        ("[limit]\njson_depth_max = 128", 65, "accept a"),
        ("[limit]\njson_depth_max = 128", 128, "accept a"),
        ("[limit]\njson_depth_max = 128", 129, "timestamp_missing"),
        ("[limit]\njson_depth_max = 8", 8, "accept a"),
        ("[limit]\njson_depth_max = 8", 9, "json_too_deep"),
    ];
    for (limit, depth, expected) in rows {
        let policy = policy(&format!(
            "secrets = [{{ id = 'mac', env = 'MAC' }}]\n[auth.scheme]\nalgorithm = 'hmac-sha256'\ncredential = 'header:x-acme-proof'\n\
             encoding = 'hex'\nsigned = '{{body}}'\ntimestamp = {{ at = 'json:/t' }}\n{limit}"
        ));
        let body = body(depth);
        let proof = hex::encode(families::sha256_mac(&body));
        assert_eq!(judged(&policy, &[("x-acme-proof", proof)], &body, NOW), expected, "{limit} {depth}");
    }
}

/// Not a line of Rust for a provider of one's own: its scheme is a table of the policy.
#[test]
fn a_provider_that_is_in_no_catalogue_is_added_by_toml_alone() {
    let body = r#"{"type":"order.paid"}"#;
    for Own { name, auth, sign } in OWN {
        let policy = policy(auth);
        let good = sign(body, NOW);
        let mut forged = good.clone();
        let proof = &mut forged.last_mut().unwrap().1;
        let last = proof.len() - 4;
        let other = if proof[last..].starts_with('0') { "1" } else { "0" };
        proof.replace_range(last..=last, other);
        let mut short = good.clone();
        short.last_mut().unwrap().1.pop();
        let missing = &good[..good.len() - 1];
        let another = r#"{"type":"order.paie"}"#;
        let rows: [(&str, &[_], &str, i64, &str); 9] = [
            ("as it is signed", &good, body, NOW, "accept order.paid"),
            ("at the tolerance", &good, body, NOW + 60, "accept order.paid"),
            ("a second past it", &good, body, NOW + 61, "timestamp_stale"),
            ("from the future", &good, body, NOW - 61, "timestamp_future"),
            ("another body", &good, another, NOW, "credential_mismatch"),
            ("another signature", &forged, body, NOW, "credential_mismatch"),
            ("one character less", &short, body, NOW, "credential_malformed"),
            ("no signature", missing, body, NOW, "credential_missing"),
            ("another request's", &sign(another, NOW), body, NOW, "credential_mismatch"),
        ];
        for (row, fields, body, now, expected) in rows {
            assert_eq!(judged(&policy, fields, body, now), expected, "{name}: {row}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_body_that_is_signed_is_accepted_and_no_other(
        body in prop::collection::vec(any::<u8>(), 1..200), at in any::<prop::sample::Index>(), bit in 0_u32..8,
    ) {
        for make in FAMILIES {
            let family = make(&body);
            let good = family.sent();
            prop_assert_eq!(family.kit.verdict(&good, NOW), "accept", "{}", family.name);
            for part in &family.covers {
                let mut sent = good.clone();
                part.flip(&mut sent, at.index(part.bytes(&good).len()), bit);
                if !family.means_the_same(&good, &sent) {
                    prop_assert_ne!(family.kit.verdict(&sent, NOW), "accept", "{}: {:?}", family.name, part);
                }
            }
        }
    }
}
