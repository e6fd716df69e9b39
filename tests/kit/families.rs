//! One signed request of each family of schemes. Signatures are made here by the libraries, not by our signer.

use std::ops::Range;
use std::sync::OnceLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaEncoding,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use hookward::auth::key::NamedSecret;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::kit::{Kit, NOW, PUBLIC_URL, Sent, public_key, secret};

pub(crate) const SECRET: &[u8] = b"a secret of some length";

/// A scheme with one request that it accepts.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The `[scheme]`.
    pub(crate) scheme: String,
    pub(crate) kit: Kit,
    /// What both sides have, where our signer can sign.
    pub(crate) secret: Option<NamedSecret>,
    /// The signature's bytes, or a static secret.
    pub(crate) signature: Vec<u8>,
    pub(crate) encode: fn(&[u8]) -> Vec<u8>,
    /// The whole request with this text where the signature stands.
    pub(crate) place: Placing,
    /// What the scheme covers, the signature aside.
    pub(crate) covers: Vec<Part>,
    pub(crate) tolerance: Option<Tolerance>,
    pub(crate) credential_header: Option<&'static str>,
    /// The target before a credential was put into it.
    pub(crate) unsigned_uri: String,
    pub(crate) is_list: bool,
    /// What two bodies must have in common to say the same.
    pub(crate) meaning: fn(&[u8]) -> Vec<u8>,
}

/// Makes the request that has this text where its signature stands.
pub(crate) type Placing = Box<dyn Fn(&[u8]) -> Sent>;

/// How the signature is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Mac,
    Ed25519,
    Ecdsa,
    Rsa,
    Static,
}

/// How far the clock may be off, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tolerance {
    pub(crate) past: i64,
    pub(crate) future: i64,
}

const FIVE_MINUTES: Tolerance = Tolerance { past: 300, future: 300 };
const AGE: Tolerance = Tolerance { past: 300, future: 60 };

/// A part of a request.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Body,
    BodyRange(Range<usize>),
    Header(&'static str),
    HeaderRange(&'static str, Range<usize>),
    Uri(Range<usize>),
}

impl Part {
    fn bytes_mut<'s>(&self, sent: &'s mut Sent) -> &'s mut [u8] {
        match self {
            Self::Body => &mut sent.body,
            Self::BodyRange(range) => &mut sent.body[range.clone()],
            Self::Header(name) => sent.header_mut(name),
            Self::HeaderRange(name, range) => &mut sent.header_mut(name)[range.clone()],
            Self::Uri(range) => &mut sent.uri[range.clone()],
        }
    }

    pub(crate) fn bytes(&self, sent: &Sent) -> Vec<u8> {
        self.bytes_mut(&mut sent.clone()).to_vec()
    }

    pub(crate) fn flip(&self, sent: &mut Sent, byte: usize, bit: u32) {
        self.bytes_mut(sent)[byte] ^= 1 << bit;
    }
}

impl Family {
    pub(crate) fn sent(&self) -> Sent {
        self.spelled(&self.signature)
    }

    pub(crate) fn spelled(&self, signature: &[u8]) -> Sent {
        (self.place)(&(self.encode)(signature))
    }

    pub(crate) fn means_the_same(&self, one: &Sent, other: &Sent) -> bool {
        let rest = one.uri == other.uri && one.headers == other.headers;
        rest && (self.meaning)(&one.body) == (self.meaning)(&other.body)
    }

    pub(crate) fn is_hex(&self) -> bool {
        (self.encode)(&[0xff; 3]) == b"ffffff"
    }

    /// A family under one secret, its signature the whole of a header.
    fn of(name: &'static str, scheme: &str, signature: Vec<u8>, place: impl Fn(&[u8]) -> Sent + 'static) -> Self {
        let secret = secret("x", hex::encode(SECRET).as_bytes());
        let scheme = format!("secret = {{ encoding = 'hex' }}\n{scheme}");
        Self { secret: Some(secret.clone()), ..Self::under(name, scheme, &secret, signature, place) }
    }

    fn under(
        name: &'static str,
        scheme: String,
        key: &NamedSecret,
        signature: Vec<u8>,
        place: impl Fn(&[u8]) -> Sent + 'static,
    ) -> Self {
        Self {
            name,
            kind: Kind::Mac,
            kit: Kit::new(&scheme, std::slice::from_ref(key)),
            scheme,
            secret: None,
            signature,
            encode: in_hex,
            place: Box::new(place),
            covers: vec![Part::Body],
            tolerance: None,
            credential_header: Some("x-signature"),
            unsigned_uri: "/acme".to_owned(),
            is_list: false,
            meaning: <[u8]>::to_vec,
        }
    }
}

fn in_hex(bytes: &[u8]) -> Vec<u8> {
    hex::encode(bytes).into_bytes()
}

fn in_base64(bytes: &[u8]) -> Vec<u8> {
    STANDARD.encode(bytes).into_bytes()
}

fn in_base64url(bytes: &[u8]) -> Vec<u8> {
    URL_SAFE_NO_PAD.encode(bytes).into_bytes()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

macro_rules! mac {
    ($name:ident, $hash:ty) => {
        pub(crate) fn $name(message: impl AsRef<[u8]>) -> Vec<u8> {
            let mut mac = Hmac::<$hash>::new_from_slice(SECRET).unwrap();
            mac.update(message.as_ref());
            mac.finalize().into_bytes().to_vec()
        }
    };
}

mac!(sha1_mac, sha1::Sha1);
mac!(sha256_mac, Sha256);
mac!(sha384_mac, Sha384);
mac!(sha512_mac, Sha512);

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// Every family, signing this body or one that holds it.
pub(crate) const FAMILIES: &[fn(&[u8]) -> Family] = &[
    header_in_hex,
    header_in_base64,
    header_in_base64url,
    header_with_an_optional_prefix,
    list_with_timestamp,
    list_with_groups,
    list_by_position,
    headers_by_prefix,
    query,
    whole_request,
    json_body,
    form_body,
    plain_digest,
    keccak,
    ed25519,
    ecdsa,
    rsa_sha256,
    rsa_sha512,
    jwt_hs256,
    jwt_hs512,
    jwt_es256,
    jwt_rs256,
    jwt_eddsa,
    detached_jws,
    signed_url,
    a_sorted_form,
    body_hash_in_the_query,
    bearer_token,
    token_behind_a_prefix,
    token_in_the_query,
    basic,
];

fn header_in_hex(body: &[u8]) -> Family {
    let sent = Sent::post(body);
    let scheme = "algorithm = 'hmac-sha256'\ncredential = 'header:x-signature'\nprefix = 'sha256='\nencoding = 'hex'\nsigned = '{body}'";
    Family::of("HMAC in a header, hex", scheme, sha256_mac(body), move |signature| {
        sent.clone().header("x-signature", join(&[b"sha256=", signature]))
    })
}

fn header_in_base64(body: &[u8]) -> Family {
    let sent = Sent::post(body);
    let scheme = "algorithm = 'hmac-sha1'\ncredential = 'header:x-signature'\nencoding = 'base64'\nsigned = '{body}'";
    let family = Family::of("HMAC in a header, base64", scheme, sha1_mac(body), move |signature| {
        sent.clone().header("x-signature", signature)
    });
    Family { encode: in_base64, ..family }
}

fn header_in_base64url(body: &[u8]) -> Family {
    let sent = Sent::post(body);
    let scheme =
        "algorithm = 'hmac-sha512'\ncredential = 'header:x-signature'\nencoding = 'base64url'\nsigned = '{body}'";
    let family = Family::of("HMAC in a header, base64url", scheme, sha512_mac(body), move |signature| {
        sent.clone().header("x-signature", signature)
    });
    Family { encode: in_base64url, ..family }
}

fn header_with_an_optional_prefix(body: &[u8]) -> Family {
    let sent = Sent::post(body);
    let scheme = "algorithm = 'hmac-sha384'\ncredential = 'header:x-signature'\noptional_prefix = 'sha384='\nencoding = 'hex'\nsigned = '{body}'";
    Family::of("HMAC behind an optional prefix", scheme, sha384_mac(body), move |signature| {
        sent.clone().header("x-signature", signature)
    })
}

fn list_with_timestamp(body: &[u8]) -> Family {
    let sent = Sent::post(body);
    let scheme = "algorithm = 'hmac-sha256'\ncredential = 'header:x-signature'\nlist = { separator = ',', pair = '=', item = 'v1' }\n\
                  encoding = 'hex'\nsigned = '{timestamp}.{body}'\ntimestamp = { at = 'item:t', tolerance_seconds = 300 }";
    let stamp = NOW.to_string();
    let mac = sha256_mac(join(&[stamp.as_bytes(), b".", body]));
    let stamped = 2..2 + stamp.len();
    let family = Family::of("a list with a timestamp", scheme, mac, move |signature| {
        sent.clone().header("x-signature", join(&[b"t=", stamp.as_bytes(), b",v0=00,v1=", signature]))
    });
    let covers = vec![Part::Body, Part::HeaderRange("x-signature", stamped)];
    Family { covers, tolerance: Some(FIVE_MINUTES), is_list: true, ..family }
}

fn list_with_groups(body: &[u8]) -> Family {
    let sent = Sent::post(body);
    let scheme = "algorithm = 'hmac-sha256'\ncredential = 'header:x-signature'\n\
                  list = { separator = ',', pair = '=', item = 'v1', group = ' ' }\n\
                  encoding = 'hex'\nsigned = '{timestamp}.{body}'\ntimestamp = { at = 'item:t', tolerance_seconds = 300 }";
    let stamp = NOW.to_string();
    let mac = sha256_mac(join(&[stamp.as_bytes(), b".", body]));
    // The group before has a time of its own, which must not be lent to the signature.
    let before = format!("t={},v1={} t=", NOW - 1, "00".repeat(32));
    let short = format!("t={},v1=00 t=", NOW - 1);
    let stamped = before.len()..before.len() + stamp.len();
    let covers = vec![Part::Body, Part::HeaderRange("x-signature", stamped)];
    let whole = 2 * mac.len();
    let family = Family::of("a list with groups", scheme, mac, move |signature| {
        // With a good one beside it, a malformed signature would be passed over.
        let is_well_formed =
            signature.len() == whole && signature.iter().all(|byte| b"0123456789abcdef".contains(byte));
        let before = if is_well_formed { &before } else { &short };
        sent.clone().header("x-signature", join(&[before.as_bytes(), stamp.as_bytes(), b",v1=", signature]))
    });
    Family { covers, tolerance: None, is_list: true, ..family }
}

fn list_by_position(body: &[u8]) -> Family {
    let sent = Sent::post(body);
    let scheme = "algorithm = 'hmac-sha256'\ncredential = 'header:x-signature'\nlist = { separator = ',', position = 1 }\nencoding = 'hex'\n\
                  signed = '{timestamp}.{body}'\ntimestamp = { at = 'position:0', unit = 'milliseconds', tolerance_seconds = 300 }";
    let stamp = (NOW * 1_000).to_string();
    let mac = sha256_mac(join(&[stamp.as_bytes(), b".", body]));
    let stamped = 0..stamp.len();
    let family = Family::of("a list by position", scheme, mac, move |signature| {
        sent.clone().header("x-signature", join(&[stamp.as_bytes(), b",", signature]))
    });
    let covers = vec![Part::Body, Part::HeaderRange("x-signature", stamped)];
    Family { covers, tolerance: Some(FIVE_MINUTES), is_list: true, ..family }
}

fn headers_by_prefix(body: &[u8]) -> Family {
    let sent = Sent::post(body);
    let scheme =
        "algorithm = 'hmac-sha256'\ncredential = 'header:x-signature-*'\nencoding = 'base64'\nsigned = '{body}'";
    let family = Family::of("several headers by prefix", scheme, sha256_mac(body), move |signature| {
        sent.clone().header("x-signature-2", signature)
    });
    Family { encode: in_base64, credential_header: Some("x-signature-2"), ..family }
}

fn query(body: &[u8]) -> Family {
    let sent = Sent::post(body);
    let scheme = "algorithm = 'hmac-sha256'\ncredential = 'query:signature'\nencoding = 'hex'\nsigned = '{body}'";
    let family = Family::of("the query", scheme, sha256_mac(body), move |signature| {
        sent.clone().uri(join(&[b"/acme?account=7&signature=", signature]))
    });
    Family { credential_header: None, unsigned_uri: "/acme?account=7".to_owned(), ..family }
}

fn whole_request(body: &[u8]) -> Family {
    let time = "2026-07-01T12:00:00Z";
    let sent = Sent::post(body).uri("/acme?account=7").header("x-request-id", "req-1").header("x-request-time", time);
    let scheme = "algorithm = 'hmac-sha256'\ncredential = 'header:x-signature'\nencoding = 'hex'\n\
                  signed = \"{method}\\n{url}\\n{query:account}\\n{header:x-request-id}\\n{timestamp}\\n{body|sha256|base64}\"\n\
                  timestamp = { at = 'header:x-request-time', unit = 'iso8601', tolerance_seconds = 300 }";
    let hash = in_base64(&Sha256::digest(body));
    let signed = format!("POST\n{PUBLIC_URL}?account=7\n7\nreq-1\n{time}\n{}", text(&hash));
    let family =
        Family::of("method, URL, headers and a time in ISO 8601", scheme, sha256_mac(signed), move |signature| {
            sent.clone().header("x-signature", signature)
        });
    let covers = vec![Part::Body, Part::Uri(6..15), Part::Header("x-request-id"), Part::Header("x-request-time")];
    // Our signer fills a field that it has to invent with the time.
    Family { covers, tolerance: Some(FIVE_MINUTES), unsigned_uri: "/acme?account=7".to_owned(), ..family }
}

fn json_body(body: &[u8]) -> Family {
    let (stamp, token) = (NOW.to_string(), hex::encode(body));
    let scheme = "algorithm = 'hmac-sha256'\ncredential = 'json:/signature/signature'\nencoding = 'hex'\n\
                  signed = '{timestamp}{json:/signature/token}'\n\
                  timestamp = { at = 'json:/signature/timestamp', tolerance_seconds = 300, json_type = 'string' }";
    let before = br#"{"signature":{"timestamp":""#.len();
    let stamped = before..before + stamp.len();
    let between = stamped.end + br#"","token":""#.len();
    let tokened = between..between + token.len();
    let mac = sha256_mac(format!("{stamp}{token}"));
    let family = Family::of("the JSON body", scheme, mac, move |signature| {
        let head = format!(r#"{{"signature":{{"timestamp":"{stamp}","token":"{token}","signature":""#);
        let body = join(&[head.as_bytes(), signature, br#""},"event":"opened"}"#]);
        Sent::post(&body).header("content-type", "application/json")
    });
    let covers = vec![Part::BodyRange(stamped), Part::BodyRange(tokened)];
    Family { covers, tolerance: Some(FIVE_MINUTES), credential_header: None, ..family }
}

fn form_body(body: &[u8]) -> Family {
    let (stamp, token) = (NOW.to_string(), hex::encode(body));
    let scheme = "algorithm = 'hmac-sha256'\ncredential = 'form:signature'\nencoding = 'hex'\nsigned = '{timestamp}{form:token}'\n\
                  timestamp = { at = 'form:timestamp', tolerance_seconds = 300 }";
    let before = b"timestamp=".len();
    let stamped = before..before + stamp.len();
    let between = stamped.end + b"&token=".len();
    let tokened = between..between + token.len();
    let mac = sha256_mac(format!("{stamp}{token}"));
    let family = Family::of("the form body", scheme, mac, move |signature| {
        let head = format!("timestamp={stamp}&token={token}&signature=");
        Sent::post(&join(&[head.as_bytes(), signature])).header("content-type", "application/x-www-form-urlencoded")
    });
    let covers = vec![Part::BodyRange(stamped), Part::BodyRange(tokened)];
    Family { covers, tolerance: Some(FIVE_MINUTES), credential_header: None, ..family }
}

fn plain_digest(body: &[u8]) -> Family {
    let sent = Sent::post(body);
    let scheme =
        "algorithm = 'sha256'\ncredential = 'header:x-signature'\nencoding = 'hex'\nsigned = '{body}.{secret}'";
    let digest = Sha256::digest(join(&[body, b".", SECRET])).to_vec();
    Family::of("a plain digest", scheme, digest, move |signature| sent.clone().header("x-signature", signature))
}

fn keccak(body: &[u8]) -> Family {
    let sent = Sent::post(body);
    let scheme =
        "algorithm = 'keccak256'\ncredential = 'header:x-signature'\nencoding = 'hex'\nsigned = '{body}{secret}'";
    let digest = sha3::Keccak256::digest(join(&[body, SECRET])).to_vec();
    Family::of("Keccak-256", scheme, digest, move |signature| sent.clone().header("x-signature", signature))
}

pub(crate) fn ed25519_pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

pub(crate) fn ecdsa_pair(form: &'static EcdsaSigningAlgorithm) -> EcdsaKeyPair {
    static DOCUMENT: OnceLock<Vec<u8>> = OnceLock::new();
    let document = DOCUMENT.get_or_init(|| {
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new()).unwrap();
        made.as_ref().to_vec()
    });
    EcdsaKeyPair::from_pkcs8(form, document).unwrap()
}

fn rsa_pair() -> &'static RsaKeyPair {
    static PAIR: OnceLock<RsaKeyPair> = OnceLock::new();
    PAIR.get_or_init(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
}

fn rsa_signature(form: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; rsa_pair().public_modulus_len()];
    rsa_pair().sign(form, &SystemRandom::new(), message, &mut signature).unwrap();
    signature
}

fn rsa_key() -> NamedSecret {
    public_key("x", &STANDARD.encode(rsa_pair().public_key()))
}

fn ed25519(body: &[u8]) -> Family {
    let stamp = NOW.to_string();
    let sent = Sent::post(body).header("x-timestamp", &stamp);
    let scheme = "algorithm = 'ed25519'\ncredential = 'header:x-signature'\nencoding = 'hex'\nsigned = '{timestamp}{body}'\n\
                  timestamp = { at = 'header:x-timestamp', tolerance_seconds = 300 }";
    let signature = ed25519_pair().sign(&join(&[stamp.as_bytes(), body])).as_ref().to_vec();
    let key = public_key("x", &hex::encode(ed25519_pair().public_key()));
    let family = Family::under("Ed25519", scheme.to_owned(), &key, signature, move |signature| {
        sent.clone().header("x-signature", signature)
    });
    let covers = vec![Part::Body, Part::Header("x-timestamp")];
    Family { kind: Kind::Ed25519, covers, tolerance: Some(FIVE_MINUTES), ..family }
}

fn ecdsa(body: &[u8]) -> Family {
    let sent = Sent::post(body);
    let scheme =
        "algorithm = 'ecdsa-p256-sha256'\ncredential = 'header:x-signature'\nencoding = 'base64'\nsigned = '{body}'";
    let pair = ecdsa_pair(&ECDSA_P256_SHA256_ASN1_SIGNING);
    let signature = pair.sign(&SystemRandom::new(), body).unwrap().as_ref().to_vec();
    let key = public_key("x", &hex::encode(pair.public_key()));
    let family = Family::under("ECDSA P-256", scheme.to_owned(), &key, signature, move |signature| {
        sent.clone().header("x-signature", signature)
    });
    Family { kind: Kind::Ecdsa, encode: in_base64, ..family }
}

fn rsa(name: &'static str, algorithm: &str, signature: Vec<u8>, body: &[u8]) -> Family {
    let sent = Sent::post(body);
    let scheme = format!(
        "algorithm = '{algorithm}'\ncredential = 'header:x-signature'\nencoding = 'base64'\nsigned = '{{body}}'"
    );
    let family = Family::under(name, scheme, &rsa_key(), signature, move |signature| {
        sent.clone().header("x-signature", signature)
    });
    Family { kind: Kind::Rsa, encode: in_base64, ..family }
}

fn rsa_sha256(body: &[u8]) -> Family {
    rsa("RSA with SHA-256", "rsa-sha256", rsa_signature(&RSA_PKCS1_SHA256, body), body)
}

fn rsa_sha512(body: &[u8]) -> Family {
    rsa("RSA with SHA-512", "rsa-sha512", rsa_signature(&RSA_PKCS1_SHA512, body), body)
}

/// A token whose claims hold the body's hash.
fn jwt(
    name: &'static str,
    alg: &str,
    kind: Kind,
    key: &NamedSecret,
    body: &[u8],
    sign: impl Fn(&[u8]) -> Vec<u8>,
) -> Family {
    let claims = format!(r#"{{"iat":{NOW},"iss":"acme","body":"{}"}}"#, hex::encode(Sha256::digest(body)));
    let header = format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#);
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let scheme = format!(
        "algorithm = 'jwt'\ncredential = 'bearer'\nsecret = {{ encoding = 'hex' }}\n\
         jwt = {{ algorithms = ['{alg}'], age_seconds_max = 300 }}\n\
         require = [{{ value = 'claim:iss', equals = 'acme' }}, {{ value = 'claim:body', equals = '{{body|sha256|hex}}' }}]"
    );
    let signature = sign(signed.as_bytes());
    let sent = Sent::post(body);
    let token = 7..7 + signed.len();
    let family = Family::under(name, scheme, key, signature, move |signature| {
        sent.clone().header("authorization", join(&[b"Bearer ", signed.as_bytes(), b".", signature]))
    });
    let covers = vec![Part::Body, Part::HeaderRange("authorization", token)];
    Family {
        kind,
        covers,
        encode: in_base64url,
        tolerance: Some(AGE),
        credential_header: Some("authorization"),
        ..family
    }
}

fn jwt_hs256(body: &[u8]) -> Family {
    let key = secret("x", hex::encode(SECRET).as_bytes());
    let family = jwt("JWT HS256", "HS256", Kind::Mac, &key, body, |text| sha256_mac(text));
    Family { secret: Some(key), ..family }
}

fn jwt_hs512(body: &[u8]) -> Family {
    let key = secret("x", hex::encode(SECRET).as_bytes());
    let family = jwt("JWT HS512", "HS512", Kind::Mac, &key, body, |text| sha512_mac(text));
    Family { secret: Some(key), ..family }
}

fn jwt_es256(body: &[u8]) -> Family {
    let pair = ecdsa_pair(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let key = public_key("x", &hex::encode(pair.public_key()));
    let sign = |text: &[u8]| pair.sign(&SystemRandom::new(), text).unwrap().as_ref().to_vec();
    jwt("JWT ES256", "ES256", Kind::Ed25519, &key, body, sign)
}

fn jwt_rs256(body: &[u8]) -> Family {
    jwt("JWT RS256", "RS256", Kind::Rsa, &rsa_key(), body, |text| rsa_signature(&RSA_PKCS1_SHA256, text))
}

fn jwt_eddsa(body: &[u8]) -> Family {
    let key = public_key("x", &hex::encode(ed25519_pair().public_key()));
    jwt("JWT EdDSA", "EdDSA", Kind::Ed25519, &key, body, |text| ed25519_pair().sign(text).as_ref().to_vec())
}

fn detached_jws(body: &[u8]) -> Family {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#);
    let pair = ecdsa_pair(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(body));
    let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap().as_ref().to_vec();
    let scheme = "algorithm = 'jws-detached'\ncredential = 'header:x-signature'\njwt = { algorithms = ['ES256'] }";
    let (sent, key) = (Sent::post(body), public_key("x", &hex::encode(pair.public_key())));
    let covers = vec![Part::Body, Part::HeaderRange("x-signature", 0..header.len())];
    let family = Family::under("a detached JWS", scheme.to_owned(), &key, signature, move |signature| {
        sent.clone().header("x-signature", join(&[header.as_bytes(), b"..", signature]))
    });
    Family { kind: Kind::Ed25519, covers, encode: in_base64url, ..family }
}

fn signed_url(body: &[u8]) -> Family {
    let sent = Sent::post(body).uri("/behind/a/proxy?account=7&x=1");
    let scheme =
        "algorithm = 'hmac-sha256'\ncredential = 'header:x-signature'\nencoding = 'base64'\nsigned = '{url}{body}'";
    let mac = sha256_mac(join(&[PUBLIC_URL.as_bytes(), b"?account=7&x=1", body]));
    let family =
        Family::of("the URL and the body", scheme, mac, move |signature| sent.clone().header("x-signature", signature));
    let covers = vec![Part::Body, Part::Uri(16..29)];
    Family { covers, encode: in_base64, unsigned_uri: "/behind/a/proxy?account=7&x=1".to_owned(), ..family }
}

fn a_sorted_form(body: &[u8]) -> Family {
    sorted_form(format!("To=%2B1415&Body={}&Accept=a+b&Accept=a%20b", hex::encode(body)).as_bytes())
}

pub(crate) fn sorted_form(body: &[u8]) -> Family {
    let sent = Sent::post(body).header("content-type", "application/x-www-form-urlencoded");
    let scheme =
        "algorithm = 'hmac-sha1'\ncredential = 'header:x-signature'\nencoding = 'base64'\nsigned = '{url}{form}'";
    let mac = sha1_mac(join(&[PUBLIC_URL.as_bytes(), &form_text(body)]));
    let family =
        Family::of("a sorted form", scheme, mac, move |signature| sent.clone().header("x-signature", signature));
    Family { encode: in_base64, meaning: form_text, ..family }
}

/// Fields by name, each with its value, none twice: what Twilio's documentation signs.
fn form_text(body: &[u8]) -> Vec<u8> {
    let mut fields: Vec<_> = form_urlencoded::parse(body).collect();
    fields.sort();
    fields.dedup();
    fields.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()].concat()).collect()
}

fn body_hash_in_the_query(body: &[u8]) -> Family {
    let query = format!("a=1&bodySHA256={}", hex::encode(Sha256::digest(body)));
    let sent = Sent::post(body).uri(format!("/acme?{query}"));
    let scheme = "algorithm = 'hmac-sha1'\ncredential = 'header:x-signature'\nencoding = 'base64'\nsigned = '{url}'\n\
                  require = [{ value = 'query:bodySHA256', equals = '{body|sha256|hex}' }]";
    let mac = sha1_mac(format!("{PUBLIC_URL}?{query}"));
    let family = Family::of("the body's hash in the query", scheme, mac, move |signature| {
        sent.clone().header("x-signature", signature)
    });
    let covers = vec![Part::Body, Part::Uri(6..6 + query.len())];
    Family { covers, encode: in_base64, unsigned_uri: format!("/acme?{query}"), ..family }
}

/// A static secret covers nothing but itself.
fn fixed(name: &'static str, scheme: &str, token: &'static [u8], place: impl Fn(&[u8]) -> Sent + 'static) -> Family {
    let key = secret("x", token);
    let family = Family::under(name, scheme.to_owned(), &key, token.to_vec(), place);
    let encode: fn(&[u8]) -> Vec<u8> = <[u8]>::to_vec;
    Family {
        secret: Some(key),
        kind: Kind::Static,
        covers: Vec::new(),
        encode,
        credential_header: Some("authorization"),
        ..family
    }
}

fn bearer_token(body: &[u8]) -> Family {
    let sent = Sent::post(body);
    fixed("a bearer token", "algorithm = 'token'\ncredential = 'bearer'", SECRET, move |token| {
        sent.clone().header("authorization", join(&[b"Bearer ", token]))
    })
}

fn token_behind_a_prefix(body: &[u8]) -> Family {
    let sent = Sent::post(body);
    let scheme = "algorithm = 'token'\ncredential = 'header:x-token'\nprefix = 'key '";
    let family = fixed("a token behind a prefix", scheme, SECRET, move |token| {
        sent.clone().header("x-token", join(&[b"key ", token]))
    });
    Family { credential_header: Some("x-token"), ..family }
}

fn token_in_the_query(body: &[u8]) -> Family {
    let sent = Sent::post(body);
    let scheme = "algorithm = 'token'\ncredential = 'query:key'";
    let family = fixed("a token in the query", scheme, b"a-token-of-some-length", move |token| {
        sent.clone().uri(join(&[b"/acme?key=", token]))
    });
    Family { credential_header: None, ..family }
}

fn basic(body: &[u8]) -> Family {
    let sent = Sent::post(body);
    let family = fixed("Basic", "algorithm = 'basic'", b"acme:a password", move |token| {
        sent.clone().header("authorization", join(&[b"Basic ", token]))
    });
    Family { encode: in_base64, ..family }
}
