//! JSON Web Tokens (RFC 7519) and JSON Web Signatures over the body (RFC 7515, appendix F).
//!
//! A token is read by the same strict reader as payloads, so a name that is there twice in a header or in claims is refused, and its numbers
//! stay text. Signatures are checked by the keys of the source; the token's own `alg` is compared with the scheme's list and chooses nothing.
//!
//! **Invariant:** claims are read after the signature was found good. No key is ever taken from a token, or fetched because a token says so.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use subtle::ConstantTimeEq as _;

use super::key::Material;
use super::scheme::{TOKEN_ALGORITHMS, TokenAlgorithm, TokenRule};
use crate::clock::UnixSeconds;
use crate::payload::{Document, JsonLimits, Node};
use crate::reason::Reason;
use crate::rejection::Rejection;

/// The longest token that is read, in bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// How far `iat` may lie in the future where the scheme names no leeway, in seconds: clocks differ.
const ISSUED_AHEAD_SECONDS_MAX: i64 = 60;

/// A well-formed token whose signature was not checked yet.
pub(super) struct Token<'d> {
    text: Cow<'d, str>,
    /// The first of the two dots.
    header_end: usize,
    /// The second.
    payload_end: usize,
    algorithm: TokenAlgorithm,
    key_id: Option<Box<str>>,
    signature: Vec<u8>,
}

/// Where a token's payload stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Payload {
    /// In the token: claims.
    Inside,
    /// Outside: it is the body.
    Detached,
}

impl<'d> Token<'d> {
    /// Reads a token's header. Nothing is believed yet.
    ///
    /// # Errors
    /// `credential_malformed` with what was expected.
    pub(super) fn read(text: Cow<'d, str>, rule: &TokenRule, payload: Payload) -> Result<Self, Rejection> {
        let malformed =
            |expected: &str| Rejection::new(Reason::CredentialMalformed).fact("expected", expected.to_owned());
        if text.len() > TOKEN_BYTES_MAX {
            return Err(malformed("a token of at most 16,384 bytes"));
        }
        let three = || malformed("three parts, separated by dots");
        let header_end = text.find('.').ok_or_else(three)?;
        let payload_end = header_end + 1 + text[header_end + 1..].find('.').ok_or_else(three)?;
        let is_empty = payload_end == header_end + 1;
        if text[payload_end + 1..].contains('.') || is_empty != (payload == Payload::Detached) {
            return Err(three());
        }
        let header = decoded(&text[..header_end])
            .and_then(document)
            .ok_or_else(|| malformed("a header of base64url and JSON"))?;
        let member = |name: &str| header.root().get(name).and_then(Node::as_str);
        let named = member("alg");
        let algorithm =
            TOKEN_ALGORITHMS.iter().find(|(word, _)| named.as_deref() == Some(word)).map(|(_, found)| *found);
        let algorithm = algorithm
            .filter(|algorithm| rule.algorithms.contains(algorithm))
            .ok_or_else(|| malformed(&format!("alg {}", words(rule))))?;
        // Extensions that must be understood (RFC 7515 §4.1.11), such as an unencoded payload, are not.
        if header.root().get("crit").is_some() {
            return Err(malformed("a header without crit"));
        }
        let signature = decoded(&text[payload_end + 1..]).ok_or_else(|| malformed("a signature of base64url"))?;
        if !algorithm.signature_bytes().contains(&signature.len()) {
            return Err(malformed("a signature as long as those of its alg"));
        }
        let key_id = member("kid").map(|id| Box::from(&*id));
        Ok(Self { text, header_end, payload_end, algorithm, key_id, signature })
    }

    /// The same, borrowing nothing.
    pub(super) fn into_owned<'o>(self) -> Token<'o> {
        let text = Cow::Owned(self.text.into_owned());
        let Self { header_end, payload_end, algorithm, key_id, signature, .. } = self;
        Token { text, header_end, payload_end, algorithm, key_id, signature }
    }

    /// The key it names.
    pub(super) fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// What was signed, in pieces; a detached payload is the body in base64url.
    pub(super) fn signed_text(&self, payload: Payload, body: &[u8]) -> Vec<u8> {
        match payload {
            Payload::Inside => self.text.as_bytes()[..self.payload_end].to_vec(),
            Payload::Detached => {
                let mut text = self.text[..=self.header_end].to_owned();
                URL_SAFE_NO_PAD.encode_string(body, &mut text);
                text.into_bytes()
            }
        }
    }

    /// Whether a key made the signature over this text.
    pub(super) fn fits(&self, material: &Material, signed: &[u8]) -> bool {
        let Some(material) = material.for_token(self.algorithm) else { return false };
        if let Material::Public(key) = material {
            return key.verify_sig(signed, &self.signature).is_ok();
        }
        material.mac_bytes(signed).is_some_and(|mac| bool::from(mac.ct_eq(&self.signature)))
    }

    /// The claims of a token whose signature fits.
    ///
    /// # Errors
    /// `credential_malformed` if they are no JSON object; `timestamp_*` if the token is not valid at `now`.
    pub(super) fn claims(&self, rule: &TokenRule, now: UnixSeconds) -> Result<Claims, Rejection> {
        let payload = decoded(&self.text[self.header_end + 1..self.payload_end]);
        let document = payload
            .and_then(document)
            .ok_or_else(|| Rejection::new(Reason::CredentialMalformed).fact("expected", "claims as a JSON object"))?;
        let claims = Claims { issued_millis: None, stale_from: None, document };
        claims.judge(rule, now)
    }
}

/// The claims of a token with a good signature.
pub(super) struct Claims {
    pub document: Document,
    /// `iat`, in milliseconds since the epoch.
    pub issued_millis: Option<i64>,
    /// The first second in which the token is refused as too old.
    pub stale_from: Option<UnixSeconds>,
}

impl Claims {
    fn judge(self, rule: &TokenRule, now: UnixSeconds) -> Result<Self, Rejection> {
        let leeway = i64::from(rule.leeway_seconds);
        let skewed = |reason, at: i64| {
            Rejection::new(reason).fact("skew_seconds", now.saturating_sub(at)).fact("tolerance_seconds", leeway)
        };
        let expires = self.seconds("exp")?;
        if let Some(expires) = expires
            && now >= expires.saturating_add(leeway)
        {
            return Err(skewed(Reason::TimestampStale, expires).fact("claim", "exp"));
        }
        let mut stale_from = expires.map(|expires| expires.saturating_add(leeway));
        if let Some(begins) = self.seconds("nbf")?
            && now < begins.saturating_sub(leeway)
        {
            return Err(skewed(Reason::TimestampFuture, begins).fact("claim", "nbf"));
        }
        let issued = self.seconds("iat")?;
        if let Some(issued) = issued
            && issued.saturating_sub(leeway.max(ISSUED_AHEAD_SECONDS_MAX)) > now
        {
            return Err(skewed(Reason::TimestampFuture, issued).fact("claim", "iat"));
        }
        if let Some(age_max) = rule.age_seconds_max {
            let issued =
                issued.ok_or_else(|| Rejection::new(Reason::TimestampMissing).fact("expected", "claim iat"))?;
            let oldest = now.saturating_sub(i64::from(age_max)).saturating_sub(leeway);
            if issued < oldest {
                return Err(skewed(Reason::TimestampStale, issued).fact("claim", "iat"));
            }
            let aged = issued.saturating_add(i64::from(age_max)).saturating_add(leeway).saturating_add(1);
            stale_from = Some(stale_from.map_or(aged, |stale_from| stale_from.min(aged)));
        }
        Ok(Self { issued_millis: issued.and_then(|issued| issued.checked_mul(1000)), stale_from, ..self })
    }

    /// A claim that is a time (RFC 7519 §2, `NumericDate`); fractions are cut.
    fn seconds(&self, name: &'static str) -> Result<Option<i64>, Rejection> {
        let Some(node) = self.document.root().get(name) else { return Ok(None) };
        let number = node.number().and_then(|text| text.split(['.', 'e', 'E']).next()?.parse().ok());
        number.filter(|_| node.number().is_some_and(|text| !text.contains(['e', 'E']))).map(Some).ok_or_else(|| {
            Rejection::new(Reason::TimestampMalformed).fact("claim", name).fact("expected", "seconds since 1970")
        })
    }
}

fn decoded(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

/// The bytes as a JSON object.
fn document(bytes: Vec<u8>) -> Option<Document> {
    let document = Document::read(Bytes::from(bytes), JsonLimits::default()).ok()?;
    (document.root().kind() == crate::payload::Kind::Object).then_some(document)
}

fn words(rule: &TokenRule) -> String {
    let words = TOKEN_ALGORITHMS.iter().filter(|(_, algorithm)| rule.algorithms.contains(algorithm));
    words.map(|(word, _)| *word).collect::<Vec<_>>().join(" or ")
}
