//! PayPal: the CRC-32 of the body, signed by a certificate that leads to an authority.

use hookward::auth::Verifier;
use hookward::auth::code::CodeKind;
use hookward::auth::key::NamedSecret;
use hookward::reason::Reason;

use super::certificates::{BETWEEN, PROVIDER, ROOT, STRANGER, Wanted, rsa, sign};
use super::{NOW, Request, check, expired, judge, public, try_verifier};

const URL: &str = "https://api.paypal.com/v1/notifications/certs/CERT-1";
const WEBHOOK: (&str, &str) = ("webhook_id", "8PT597110X687430LKGECATA");
/// Its CRC-32 is the check value of the algorithm, 0xcbf43926.
const BODY: &str = "123456789";
const TEXT: &str = "t-1|2026-07-01T11:59:59Z|8PT597110X687430LKGECATA|3421780262";

const PAYPALS: Wanted =
    Wanted { common_name: "messageverificationcerts.paypal.com", alternative_names: &[], years: (2020, 2040) };

fn verifier(keys: &[NamedSecret]) -> Verifier {
    try_verifier(CodeKind::PayPal, keys, &[WEBHOOK], &[ROOT.pem.clone().into_bytes()]).unwrap()
}

fn request(text: &str) -> Request {
    Request::new(BODY)
        .with("paypal-auth-algo", "SHA256withRSA")
        .with("paypal-cert-url", URL)
        .with("paypal-transmission-id", "t-1")
        .with("paypal-transmission-time", "2026-07-01T11:59:59Z")
        .with("paypal-transmission-sig", sign(&PROVIDER, text))
}

fn good() -> Request {
    request(TEXT)
}

#[test]
fn headers_and_the_crc_of_the_body_are_covered() {
    use Reason::{
        CredentialDuplicated as Duplicated, CredentialMalformed as Malformed, CredentialMismatch as Mismatch,
        CredentialMissing as Missing,
    };
    let rows = vec![
        ("as it is signed", good(), None),
        ("a changed body", good().body("123456780"), Some(Mismatch)),
        ("an empty body", good().body(""), Some(Mismatch)),
        ("another id", good().with("paypal-transmission-id", "t-2"), Some(Mismatch)),
        ("another time", good().with("paypal-transmission-time", "2026-07-01T12:00:00Z"), Some(Mismatch)),
        ("another webhook", request(&TEXT.replace("8PT", "9PT")), Some(Mismatch)),
        ("the CRC in hex", request(&TEXT.replace("3421780262", "cbf43926")), Some(Mismatch)),
        ("signed by somebody else", good().with("paypal-transmission-sig", sign(&rsa(), TEXT)), Some(Mismatch)),
        ("no base64", good().with("paypal-transmission-sig", "!"), Some(Malformed)),
        ("an empty signature", good().with("paypal-transmission-sig", ""), Some(Missing)),
        ("two signatures", good().and("paypal-transmission-sig", "AAAA"), Some(Duplicated)),
        ("SHA-256 that says it is SHA-1", good().with("paypal-auth-algo", "SHA1withRSA"), Some(Mismatch)),
        ("another algorithm", good().with("paypal-auth-algo", "SHA512withRSA"), Some(Malformed)),
        ("an id with a separator", good().with("paypal-transmission-id", "t|1"), Some(Malformed)),
        ("no algorithm", good().without("paypal-auth-algo"), Some(Missing)),
        ("no certificate", good().without("paypal-cert-url"), Some(Missing)),
        ("no id", good().without("paypal-transmission-id"), Some(Missing)),
        ("no time", good().without("paypal-transmission-time"), Some(Missing)),
    ];
    check(&verifier(&[public(URL, &ROOT.certify(&PAYPALS))]), rows);
}

#[test]
fn the_certificate_must_be_paypals_and_lead_to_an_authority_now() {
    let with = |wanted: Wanted| ROOT.certify(&wanted);
    let between = BETWEEN.certify(&PAYPALS);
    let chain = format!("{between}{}", BETWEEN.pem);
    let named = |common_name, alternative_names| with(Wanted { common_name, alternative_names, ..PAYPALS });
    let rows = [
        ("by the authority itself", with(PAYPALS), None),
        ("by one between that is not there", between, Some(Reason::CredentialMismatch)),
        ("by one between that is there", chain, None),
        ("by somebody else", STRANGER.certify(&PAYPALS), Some(Reason::CredentialMismatch)),
        ("no longer valid", with(Wanted { years: (2020, 2026), ..PAYPALS }), Some(Reason::CredentialMismatch)),
        ("not yet valid", with(Wanted { years: (2027, 2040), ..PAYPALS }), Some(Reason::CredentialMismatch)),
        ("of another common name", named("example.com", &[]), Some(Reason::CredentialMismatch)),
        ("of a common name that ends alike", named("evilpaypal.com", &[]), Some(Reason::CredentialMismatch)),
        ("of the bare domain", named("paypal.com", &[]), Some(Reason::CredentialMismatch)),
        ("of an alternative name", named("x", &["api.PayPal.com"]), None),
        (
            "of other alternative names, whatever the common one",
            named("api.paypal.com", &["example.com"]),
            Some(Reason::CredentialMismatch),
        ),
    ];
    for (name, pem, expected) in rows {
        check(&verifier(&[public(URL, &pem)]), vec![(name, good(), expected)]);
    }
    let public_authorities = try_verifier(CodeKind::PayPal, &[public(URL, &with(PAYPALS))], &[WEBHOOK], &[]).unwrap();
    check(&public_authorities, vec![("by none of the public ones", good(), Some(Reason::CredentialMismatch))]);
}

#[test]
fn a_certificate_is_the_policys_under_a_url_of_paypal() {
    let (malformed, mismatch) = (Some(Reason::CredentialMalformed), Some(Reason::CredentialMismatch));
    let rows = [
        (URL, None),
        ("https://api.sandbox.paypal.com/v1/notifications/certs/CERT-1", mismatch),
        ("http://api.paypal.com/v1/notifications/certs/CERT-1", malformed),
        ("https://paypal.com/v1/notifications/certs/CERT-1", malformed),
        ("https://api.paypal.com.evil.example/v1/notifications/certs/CERT-1", malformed),
        ("https://evil.example/api.paypal.com/CERT-1", malformed),
        ("https://api.paypal.com@evil.example/CERT-1", malformed),
        ("https://api.paypal.com:8443/CERT-1", malformed),
    ];
    let certificate = ROOT.certify(&PAYPALS);
    let rows = rows.map(|(url, expected)| (url, good().with("paypal-cert-url", url), expected));
    check(&verifier(&[public(URL, &certificate)]), rows.into());
}

#[test]
fn a_policy_that_could_accept_nothing_is_refused() {
    let certificate = ROOT.certify(&PAYPALS);
    let root = vec![ROOT.pem.clone().into_bytes()];
    let rows = [
        ("no webhook", try_verifier(CodeKind::PayPal, &[], &[], &root), "parameter"),
        ("an empty one", try_verifier(CodeKind::PayPal, &[], &[("webhook_id", "")], &root), "parameter"),
        ("no URL", try_verifier(CodeKind::PayPal, &[public("2026", &certificate)], &[WEBHOOK], &root), "public key"),
        ("no certificate", try_verifier(CodeKind::PayPal, &[public(URL, "x")], &[WEBHOOK], &root), "public key"),
        (
            "an authority of no RSA",
            try_verifier(CodeKind::PayPal, &[public(URL, &ROOT.pem)], &[WEBHOOK], &root),
            "public key",
        ),
        ("no authority", try_verifier(CodeKind::PayPal, &[], &[WEBHOOK], &[b"x".to_vec()]), "trust root"),
    ];
    for (name, made, what) in rows {
        assert_eq!(made.unwrap_err().what, what, "{name}");
    }
}

#[test]
fn what_was_signed_and_the_body_make_a_delivery() {
    let certificate = ROOT.certify(&PAYPALS);
    let known = verifier(&[public(URL, &certificate)]);
    let proven = judge(&known, &good()).unwrap();
    assert_eq!((proven.key.as_str(), proven.signed_at_millis), (URL, Some(NOW * 1000 - 1000)));
    assert_eq!(judge(&known, &good().with("x-any", "1")).unwrap(), proven);
    let later = TEXT.replace("t-1", "t-2");
    assert_ne!(judge(&known, &request(&later).with("paypal-transmission-id", "t-2")).unwrap().digest, proven.digest);
    let over = verifier(&[expired(public(URL, &certificate))]);
    check(&over, vec![("an expired key", good(), Some(Reason::SecretExpired))]);
}
