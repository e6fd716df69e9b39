//! How a credential is laid out means the same wherever it stands.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::sent::Sent;
use super::{NOW, secret};
use crate::auth::Verifier;
use crate::policy::scheme::read_scheme;
use crate::policy::table::read_text;

const KEY: &str = "a-secret-of-some-length";

fn mac(text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// What becomes of these requests under a scheme of these words.
fn judged(words: &str, sent: &Sent) -> &'static str {
    let scheme = read_text(words, read_scheme).flatten().unwrap();
    let verifier = Verifier::new("custom", &[scheme], &[secret("only", KEY)]).unwrap();
    let credential = verifier.read(sent.head(), NOW);
    let proof = credential.and_then(|credential| verifier.verify(credential, &sent.body, NOW));
    proof.map_or_else(|rejection| rejection.reason().code(), |_| "accept")
}

/// A request with these signatures of `x-id` at every place.
fn signed(texts: &[String]) -> Sent {
    let json: Vec<_> = texts.iter().map(|text| format!("{text:?}")).collect();
    let body = format!(r#"{{"sig":{},"sigs":[{}]}}"#, json[0], json.join(","));
    let names: Vec<_> = (0..texts.len()).map(|at| format!("x-sig-{at}")).collect();
    let mut fields = vec![("content-type", "application/json"), ("x-id", "17"), ("x-alone", &*texts[0])];
    fields.extend(names.iter().map(String::as_str).zip(texts.iter().map(String::as_str)));
    Sent::new("/", &fields, &body)
}

#[test]
fn a_prefix_that_may_be_left_out_may_be_left_out_everywhere() {
    let good = hex::encode(mac("17"));
    let other = hex::encode(mac("18"));
    let rows = [
        (vec![good.clone()], "accept"),
        (vec![format!("sha256={good}")], "accept"),
        (vec![format!("sha1={good}")], "credential_malformed"),
        (vec![format!("sha256=sha256={good}")], "credential_malformed"),
        (vec![other.clone()], "credential_mismatch"),
        (vec![format!("sha256={other}")], "credential_mismatch"),
    ];
    let words = "algorithm = 'hmac-sha256'\nencoding = 'hex'\nsigned = '{header:x-id}'\noptional_prefix = 'sha256='\n";
    for place in ["header:x-alone", "header:x-sig-*", "json:/sig", "json:/sigs/*"] {
        let scheme = format!("{words}credential = '{place}'");
        for (texts, expected) in &rows {
            assert_eq!(judged(&scheme, &signed(texts)), *expected, "{texts:?} at {place}");
        }
    }
    for place in ["header:x-sig-*", "json:/sigs/*"] {
        let scheme = format!("{words}credential = '{place}'");
        let both = signed(&[other.clone(), format!("sha256={good}")]);
        assert_eq!(judged(&scheme, &both), "accept", "one of several at {place}");
    }
}

#[test]
fn a_list_is_a_list_in_a_header_and_in_the_body() {
    let (good, other) = (hex::encode(mac("17")), hex::encode(mac("18")));
    let rows = [
        (format!("v1={good}"), "accept"),
        (format!("v0={other},v1={other},v1={good}"), "accept"),
        (format!("v1={other}"), "credential_mismatch"),
        (format!("v0={good}"), "credential_malformed"),
        (good, "credential_malformed"),
    ];
    for place in ["header:x-alone", "json:/sig"] {
        let scheme = format!(
            "algorithm = 'hmac-sha256'\nencoding = 'hex'\nsigned = '{{header:x-id}}'\nlist = {{ item = 'v1' }}\ncredential = '{place}'"
        );
        for (text, expected) in &rows {
            assert_eq!(judged(&scheme, &signed(std::slice::from_ref(text))), *expected, "{text} at {place}");
        }
    }
}

#[test]
fn a_token_is_a_token_in_a_header_and_in_the_body() {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(r#"{"iss":"a"}"#));
    let token = |signed: &str| format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac(signed)));
    let rows = [
        (token(&text), "accept"),
        (token("another"), "credential_mismatch"),
        (text.clone(), "credential_malformed"),
        (format!("Bearer {}", token(&text)), "credential_malformed"),
    ];
    for place in ["header:x-alone", "json:/sig"] {
        let scheme = format!("algorithm = 'jwt'\njwt = {{ algorithms = ['HS256'] }}\ncredential = '{place}'");
        for (text, expected) in &rows {
            assert_eq!(judged(&scheme, &signed(std::slice::from_ref(text))), *expected, "{text} at {place}");
        }
    }
}
