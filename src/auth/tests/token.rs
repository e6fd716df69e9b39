//! JSON Web Tokens: what is accepted, and everything a forger would try.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256, Sha512};

use super::sent::Sent;
use super::{NOW, header, secret};
use crate::auth::Verifier;
use crate::auth::key::{KeyKind, NamedSecret};
use crate::auth::scheme::{Algorithm, Encoding, Scheme, SecretForm, Shape, TokenAlgorithm, TokenRule};
use crate::auth::template::Template;
use crate::policy::scheme::read_scheme;
use crate::reason::Reason;
use crate::secret::Secret;

const KEY: &str = "a-secret-of-some-length";

fn scheme(algorithm: Algorithm, algorithms: &[TokenAlgorithm]) -> Scheme {
    Scheme {
        when: Box::default(),
        algorithm,
        credential: header("x-token"),
        shape: Shape::Whole { prefix: Box::default() },
        encoding: Encoding::Text,
        secret: SecretForm::default(),
        signed: Template::default(),
        timestamp: None,
        require: Box::default(),
        token: TokenRule { algorithms: algorithms.into(), leeway_seconds: 0, age_seconds_max: None },
    }
}

fn encoded(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// A token of this header and these claims with an HMAC under `key`.
fn hs256(header: &str, claims: &str, key: &str) -> String {
    let signed = format!("{}.{}", encoded(header), encoded(claims));
    let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap().chain_update(&signed).finalize();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.into_bytes()))
}

fn judge(verifier: &Verifier, token: &str, body: &str) -> Result<String, Reason> {
    let sent = Sent::new("/hooks/x", &[("x-token", token)], body);
    let proof = verifier.read(sent.head(), NOW).and_then(|found| verifier.verify(found, &sent.body, NOW));
    proof.map(|proof| proof.secret_id().to_owned()).map_err(|rejection| rejection.reason())
}

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
const FITS: Result<&str, Reason> = Ok("only");

fn check(scheme: Scheme, rows: &[(&str, String, Result<&str, Reason>)]) {
    let verifier = Verifier::new("custom", &[scheme], &[secret("only", KEY)]).unwrap();
    for (name, token, expected) in rows {
        let judged = judge(&verifier, token, "{}");
        assert_eq!(judged.as_deref().map_err(|reason| *reason), *expected, "{name}");
    }
}

#[test]
fn a_tokens_header_chooses_nothing() {
    let claims = "{}";
    let good = hs256(HEADER, claims, KEY);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (head, payload) = signed.split_once('.').unwrap();
    let malformed = Err(Reason::CredentialMalformed);
    let mismatch = Err(Reason::CredentialMismatch);
    let with = |header: &str| hs256(header, claims, KEY);
    let hs512 = {
        let signed = format!("{}.{}", encoded(r#"{"alg":"HS512"}"#), encoded(claims));
        let mac = Hmac::<Sha512>::new_from_slice(KEY.as_bytes()).unwrap().chain_update(&signed).finalize();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.into_bytes()))
    };
    let rows = [
        ("as it should be", good.clone(), FITS),
        ("another secret", hs256(HEADER, claims, "a-secret-of-some-lengti"), mismatch),
        ("other claims", format!("{head}.{}.{signature}", encoded("{\"a\":1}")), mismatch),
        ("alg none without signature", format!("{}.{payload}.", encoded(r#"{"alg":"none"}"#)), malformed),
        ("alg none with a signature", with(r#"{"alg":"none"}"#), malformed),
        ("alg NONE", with(r#"{"alg":"NONE"}"#), malformed),
        ("an algorithm that is not listed", hs512, malformed),
        ("alg in lower case", with(r#"{"alg":"hs256"}"#), malformed),
        ("alg is no string", with(r#"{"alg":["HS256"]}"#), malformed),
        ("no alg", with("{}"), malformed),
        ("alg twice", with(r#"{"alg":"HS256","alg":"HS256"}"#), malformed),
        ("crit", with(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#), malformed),
        ("an empty crit", with(r#"{"alg":"HS256","crit":[]}"#), malformed),
        ("a key of its own", with(r#"{"alg":"HS256","jwk":{"kty":"oct","k":"YQ"}}"#), FITS),
        ("a kid that no secret has", with(r#"{"alg":"HS256","kid":"x"}"#), FITS),
        ("an empty signature", format!("{signed}."), malformed),
        ("a short signature", format!("{signed}.{}", &signature[..4]), malformed),
        ("a signature with padding", format!("{good}="), malformed),
        ("two parts", signed.to_owned(), malformed),
        ("four parts", format!("{good}.x"), malformed),
        ("no payload", format!("{head}..{signature}"), malformed),
        ("no header", format!(".{payload}.{signature}"), malformed),
        ("claims that are no object", hs256(HEADER, "[]", KEY), malformed),
        ("claims that are no JSON", hs256(HEADER, "x", KEY), malformed),
        ("a claim that is there twice", hs256(HEADER, r#"{"iss":"a","iss":"b"}"#, KEY), malformed),
        ("too long", format!("{good}{}", "A".repeat(16 * 1024)), malformed),
        ("nothing", String::new(), Err(Reason::CredentialMissing)),
    ];
    check(scheme(Algorithm::Jwt, &[TokenAlgorithm::Hs256]), &rows);
}

#[test]
fn times_are_judged_to_the_second() {
    let claims = |name: &str, at: i64| hs256(HEADER, &format!("{{\"{name}\":{at}}}"), KEY);
    let (stale, future) = (Err(Reason::TimestampStale), Err(Reason::TimestampFuture));
    let rows = [
        ("exp a second away", claims("exp", NOW + 1), FITS),
        ("exp now", claims("exp", NOW), stale),
        ("the first exp there is", claims("exp", i64::MIN), stale),
        ("the last nbf there is", claims("nbf", i64::MAX), future),
        ("exp a second ago", claims("exp", NOW - 1), stale),
        ("nbf a second ago", claims("nbf", NOW - 1), FITS),
        ("nbf now", claims("nbf", NOW), FITS),
        ("nbf a second away", claims("nbf", NOW + 1), future),
        ("iat a minute away", claims("iat", NOW + 60), FITS),
        ("iat 61 seconds away", claims("iat", NOW + 61), future),
        ("iat long ago", claims("iat", 0), FITS),
        ("exp as text", hs256(HEADER, r#"{"exp":"1"}"#, KEY), Err(Reason::TimestampMalformed)),
        ("exp with an exponent", hs256(HEADER, r#"{"exp":9e9}"#, KEY), Err(Reason::TimestampMalformed)),
        ("exp with a fraction", hs256(HEADER, &format!("{{\"exp\":{}.9}}", NOW + 1), KEY), FITS),
        ("exp past any clock", hs256(HEADER, r#"{"exp":99999999999999999999}"#, KEY), Err(Reason::TimestampMalformed)),
    ];
    check(scheme(Algorithm::Jwt, &[TokenAlgorithm::Hs256]), &rows);

    let mut lenient = scheme(Algorithm::Jwt, &[TokenAlgorithm::Hs256]);
    lenient.token = TokenRule { leeway_seconds: 5, age_seconds_max: Some(60), ..lenient.token };
    let with_iat = |name: &str, at: i64| hs256(HEADER, &format!("{{\"iat\":{NOW},\"{name}\":{at}}}"), KEY);
    let rows = [
        ("exp 4 s ago", with_iat("exp", NOW - 4), FITS),
        ("exp 5 s ago", with_iat("exp", NOW - 5), stale),
        ("nbf in 5 s", with_iat("nbf", NOW + 5), FITS),
        ("nbf in 6 s", with_iat("nbf", NOW + 6), future),
        ("64 s old", claims("iat", NOW - 64), FITS),
        ("65 s old", claims("iat", NOW - 65), FITS),
        ("66 s old", claims("iat", NOW - 66), stale),
        ("without iat", hs256(HEADER, "{}", KEY), Err(Reason::TimestampMissing)),
    ];
    check(lenient, &rows);
}

/// An ES256 key, the token it makes of a header, and its public key as a JWK.
fn es256(header: &str) -> (String, String) {
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let signed = format!("{}.{}", encoded(header), encoded("{}"));
    let signature = pair.sign(&random, signed.as_bytes()).unwrap();
    let point = &pair.public_key().as_ref()[1..];
    let [x, y] = [&point[..32], &point[32..]].map(|half| URL_SAFE_NO_PAD.encode(half));
    let jwk = format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#);
    (format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)), jwk)
}

fn public(id: &str, text: &str) -> NamedSecret {
    NamedSecret { id: id.into(), secret: Secret::new(text.into()), expires: None, kind: KeyKind::Public }
}

#[test]
fn a_public_key_is_found_by_the_name_that_the_token_says() {
    let rows = [
        (r#"{"alg":"ES256"}"#, Ok("k1")),
        (r#"{"alg":"ES256","kid":"k1"}"#, Ok("k1")),
        (r#"{"alg":"ES256","kid":"k2"}"#, Err(Reason::CredentialMismatch)),
        (r#"{"alg":"ES256","kid":""}"#, Err(Reason::CredentialMismatch)),
    ];
    for (header, expected) in rows {
        let (token, jwk) = es256(header);
        let scheme = scheme(Algorithm::Jwt, &[TokenAlgorithm::Es256]);
        let verifier = Verifier::new("custom", &[scheme], &[public("k1", &jwk)]).unwrap();
        assert_eq!(judge(&verifier, &token, "{}").as_deref().map_err(|reason| *reason), expected, "{header}");
    }
}

/// Whoever knows the public key, and that is everybody, could otherwise sign with it.
#[test]
fn a_public_key_is_never_a_secret() {
    let (_, jwk) = es256("{}");
    let scheme = scheme(Algorithm::Jwt, &[TokenAlgorithm::Es256]);
    let verifier = Verifier::new("custom", &[scheme], &[public("k1", &jwk)]).unwrap();
    let forged = hs256(HEADER, "{}", &jwk);
    assert_eq!(judge(&verifier, &forged, "{}"), Err(Reason::CredentialMalformed));
    let renamed = hs256(r#"{"alg":"ES256"}"#, "{}", &jwk);
    assert_eq!(judge(&verifier, &renamed, "{}"), Err(Reason::CredentialMalformed), "an HMAC is too short");
    let (signed, signature) = renamed.rsplit_once('.').unwrap();
    let twice = URL_SAFE_NO_PAD.decode(signature).unwrap().repeat(2);
    let as_long = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(twice));
    assert_eq!(judge(&verifier, &as_long, "{}"), Err(Reason::CredentialMismatch));
}

#[test]
fn a_detached_signature_covers_the_body() {
    let detached = |body: &str| {
        let token = hs256(HEADER, body, KEY);
        let mut parts = token.split('.');
        let (head, _, signature) = (parts.next().unwrap(), parts.next(), parts.next().unwrap());
        format!("{head}..{signature}")
    };
    let scheme = scheme(Algorithm::JwsDetached, &[TokenAlgorithm::Hs256]);
    let verifier = Verifier::new("custom", &[scheme], &[secret("only", KEY)]).unwrap();
    let rows = [
        (detached("{\"a\":1}"), Ok("only")),
        (detached("{\"a\":2}"), Err(Reason::CredentialMismatch)),
        (hs256(HEADER, "{\"a\":1}", KEY), Err(Reason::CredentialMalformed)),
    ];
    for (token, expected) in rows {
        assert_eq!(judge(&verifier, &token, "{\"a\":1}").as_deref().map_err(|reason| *reason), expected, "{token}");
    }
}

#[test]
fn claims_are_held_to_what_the_scheme_requires() {
    let text = "algorithm = 'jwt'\ncredential = 'header:x-token'\njwt = { algorithms = ['HS256'] }\nrequire = [\n\
                { value = 'claim:iss', any = ['acme', 'https://acme.example'] },\n\
                { value = 'claim:aud', equals = 'me' },\n\
                { value = 'claim:body', equals = '{body|sha256|hex}' },\n\
                { value = 'claim:extra', equals = 'x', optional = true },\n{ value = 'claim:jti' } ]";
    let scheme = crate::policy::table::read_text(text, read_scheme).flatten().unwrap();
    assert!(scheme.covers_body());
    let hash = hex::encode(Sha256::digest("{}"));
    let good = format!(r#"{{"iss":"acme","aud":"me","body":"{hash}","jti":"1"}}"#);
    let mismatch = Err(Reason::CredentialMismatch);
    let rows = [
        ("as it should be", good.clone(), FITS),
        ("another good issuer", good.replace("acme", "https://acme.example"), FITS),
        ("another issuer", good.replace("acme", "acne"), mismatch),
        ("several audiences", good.replace("\"me\"", "[\"you\",\"me\"]"), FITS),
        ("other audiences", good.replace("\"me\"", "[\"you\"]"), mismatch),
        ("no audience", good.replace("\"me\"", "[]"), mismatch),
        ("another body", good.replace(&hash, &hash.replace('4', "5")), mismatch),
        ("no body's hash", good.replace("\"body\"", "\"x\""), mismatch),
        ("no id", good.replace("\"jti\"", "\"x\""), mismatch),
        ("an empty id", good.replace("\"1\"", "\"\""), mismatch),
        ("what is optional fits", good.replace("\"jti\"", "\"extra\":\"x\",\"jti\""), FITS),
        ("what is optional does not", good.replace("\"jti\"", "\"extra\":\"y\",\"jti\""), mismatch),
        ("what is optional is empty", good.replace("\"jti\"", "\"extra\":\"\",\"jti\""), mismatch),
    ];
    let rows = rows.map(|(name, claims, expected)| (name, hs256(HEADER, &claims, KEY), expected));
    check(scheme, &rows);
}

#[test]
fn a_body_may_be_anything_where_no_claim_names_it() {
    let scheme = scheme(Algorithm::Jwt, &[TokenAlgorithm::Hs256]);
    assert!(!scheme.covers_body());
    let verifier = Verifier::new("custom", &[scheme], &[secret("only", KEY)]).unwrap();
    let token = hs256(HEADER, "{}", KEY);
    let digest = |body: &str| {
        let sent = Sent::new("/hooks/x", &[("x-token", &token)], body);
        let proof = verifier.verify(verifier.read(sent.head(), NOW).unwrap(), &Bytes::from(body.to_owned()), NOW);
        *proof.unwrap().digest().unwrap()
    };
    assert_ne!(digest("a"), digest("b"), "two bodies under one token are two deliveries");
}
