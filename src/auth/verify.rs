//! The comparison: whether one of a source's secrets made the credential.
//!
//! Keys are made once, when policies load; a delivery clones a prepared HMAC state (a few hundred bytes on the stack) and feeds it the signed text
//! piece by piece, so that body and template are never joined in memory.

use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use subtle::ConstantTimeEq as _;

use super::credential::{Credential, Evidence, Signature, query_parameter};
use super::scheme::{Algorithm, Head, Part, Scheme, SecretEncoding, Value};
use crate::clock::UnixSeconds;
use crate::header;
use crate::reason::Reason;
use crate::rejection::{Fact, Rejection};
use crate::secret::Secret;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

/// A source's scheme with its keys, ready to judge. Immutable; shared by every delivery of the source.
#[derive(Debug)]
pub struct Verifier {
    name: Box<str>,
    scheme: Scheme,
    keys: Vec<Key>,
}

/// A configured secret.
#[derive(Debug)]
pub struct NamedSecret {
    /// The policy's name for it, which may stand in logs.
    pub id: Box<str>,
    /// The secret as the provider shows it.
    pub secret: Secret,
    /// From this second on it is no longer accepted.
    pub expires: Option<UnixSeconds>,
}

/// A secret that does not have the form its scheme wants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("secret `{id}` is not {expected}")]
pub struct KeyFault {
    /// Which secret.
    pub id: Box<str>,
    /// What the scheme wants it to be.
    pub expected: &'static str,
}

/// That a delivery was made by somebody who knows a secret of the source. Only [`Credential::verify`] makes it.
#[must_use = "a proof is what the next stage demands"]
#[derive(Debug)]
pub struct Proof<'d> {
    scheme: &'d str,
    secret_id: &'d str,
    signed_at_millis: Option<i64>,
    digest: Option<SignedDigest>,
}

/// What was signed, as 32 bytes that do not depend on how the signature was spelled or which secret matched.
pub type SignedDigest = [u8; 32];

pub(super) struct Key {
    id: Box<str>,
    expires: Option<UnixSeconds>,
    material: Material,
}

enum Material {
    HmacSha1(Hmac<Sha1>),
    HmacSha256(Hmac<Sha256>),
    HmacSha512(Hmac<Sha512>),
    /// SHA-256 of the secret: comparing digests of equal length hides how long the secret is.
    Static([u8; 32]),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl Verifier {
    /// Prepares the keys of a source. `name` is the preset's name, or `custom`.
    ///
    /// # Errors
    /// [`KeyFault`] for the first secret that is not spelled as the scheme wants it.
    ///
    /// # Panics
    /// Never: an HMAC takes keys of any length.
    pub fn new(name: &str, scheme: Scheme, secrets: &[NamedSecret]) -> Result<Self, KeyFault> {
        let keys = secrets.iter().map(|secret| Key::new(&scheme, secret)).collect::<Result<_, _>>()?;
        Ok(Self { name: name.into(), scheme, keys })
    }

    /// What the head presents for this source.
    ///
    /// # Errors
    /// The `credential_*` and `timestamp_*` reasons that can be told without the body.
    pub fn read<'d>(&'d self, head: Head<'d>, now: UnixSeconds) -> Result<Credential<'d>, Rejection> {
        Credential::read(&self.scheme, head, now)
    }

    /// The scheme it judges by.
    #[must_use]
    pub const fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// The preset's name, or `custom`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<'d> Credential<'d> {
    /// Whether a secret of the source made this credential over this body.
    ///
    /// Every live secret is tried; each signature is compared in constant time over its whole fixed length.
    ///
    /// # Errors
    /// `credential_mismatch`; `secret_expired` if only an expired secret fits.
    pub fn verify(self, verifier: &'d Verifier, body: &[u8], now: UnixSeconds) -> Result<Proof<'d>, Rejection> {
        let text = SignedText {
            scheme: &verifier.scheme,
            head: self.head,
            timestamp: self.timestamp.map(|timestamp| timestamp.text),
            body,
        };
        let live = verifier.keys.iter().enumerate().filter(|(_, key)| key.is_live(now));
        for (position, key) in live {
            if let Some(mac) = key.matches(&self.evidence, &text) {
                let digest = signed_digest(&verifier.keys, position, &mac, &text);
                let signed_at_millis = self.timestamp.map(|timestamp| timestamp.unix_millis);
                return Ok(Proof { scheme: &verifier.name, secret_id: &key.id, signed_at_millis, digest });
            }
        }
        let mut expired = verifier.keys.iter().filter(|key| !key.is_live(now));
        if let Some(key) = expired.find(|key| key.matches(&self.evidence, &text).is_some()) {
            return Err(Rejection::new(Reason::SecretExpired).fact("secret", key.id.to_string()));
        }
        let ids = verifier.keys.iter().map(|key| key.id.to_string().into()).collect();
        Err(Rejection::new(Reason::CredentialMismatch).fact("secrets_tried", Fact::List(ids)))
    }
}

impl<'d> Proof<'d> {
    /// The preset's name, or `custom`.
    #[must_use]
    pub const fn scheme(&self) -> &'d str {
        self.scheme
    }

    /// The policy's name of the secret that fitted.
    #[must_use]
    pub const fn secret_id(&self) -> &'d str {
        self.secret_id
    }

    /// The signed timestamp, in milliseconds since the epoch.
    #[must_use]
    pub const fn signed_at_millis(&self) -> Option<i64> {
        self.signed_at_millis
    }

    /// What was signed: the MAC of the signed text under the source's first secret. `None` for static credentials.
    #[must_use]
    pub const fn digest(&self) -> Option<&SignedDigest> {
        self.digest.as_ref()
    }
}

impl Key {
    pub(super) fn new(scheme: &Scheme, named: &NamedSecret) -> Result<Self, KeyFault> {
        let key = key_bytes(scheme, named)?;
        let material = match scheme.algorithm {
            Algorithm::HmacSha1 => Material::HmacSha1(keyed(key.expose())),
            Algorithm::HmacSha256 => Material::HmacSha256(keyed(key.expose())),
            Algorithm::HmacSha512 => Material::HmacSha512(keyed(key.expose())),
            Algorithm::Token | Algorithm::Basic => Material::Static(Sha256::digest(key.expose()).into()),
        };
        Ok(Self { id: named.id.clone(), expires: named.expires, material })
    }

    fn is_live(&self, now: UnixSeconds) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    /// The MAC, if one of the signatures is it; for static credentials zeros.
    fn matches(&self, evidence: &Evidence<'_>, text: &SignedText<'_>) -> Option<Signature> {
        match (&self.material, evidence) {
            (Material::Static(secret), Evidence::Token(token)) => {
                let presented: [u8; 32] = Sha256::digest(token).into();
                bool::from(presented.ct_eq(secret)).then_some([0; 64])
            }
            (
                Material::HmacSha1(_) | Material::HmacSha256(_) | Material::HmacSha512(_),
                Evidence::Signatures { first, more },
            ) => {
                let mac = self.mac(text)?;
                let any = more.iter().fold(first.ct_eq(&mac), |any, signature| any | signature.ct_eq(&mac));
                bool::from(any).then_some(mac)
            }
            (Material::Static(_), Evidence::Signatures { .. })
            | (Material::HmacSha1(_) | Material::HmacSha256(_) | Material::HmacSha512(_), Evidence::Token(_)) => None,
        }
    }

    /// The MAC of the signed text, behind it zeros up to the longest length.
    pub(super) fn mac(&self, text: &SignedText<'_>) -> Option<Signature> {
        match &self.material {
            Material::HmacSha1(prepared) => Some(text.mac(prepared)),
            Material::HmacSha256(prepared) => Some(text.mac(prepared)),
            Material::HmacSha512(prepared) => Some(text.mac(prepared)),
            Material::Static(_) => None,
        }
    }
}

/// The MAC under the first secret, whichever secret matched: the same delivery signed with the old and the new secret is one delivery.
fn signed_digest(keys: &[Key], matched: usize, mac: &Signature, text: &SignedText<'_>) -> Option<SignedDigest> {
    let key = keys.first()?;
    if matches!(key.material, Material::Static(_)) {
        return None;
    }
    let mac = if matched == 0 { *mac } else { key.mac(text)? };
    mac.first_chunk().copied()
}

/// The pieces of the signed text, fed to a MAC without joining them.
pub(super) struct SignedText<'t> {
    pub scheme: &'t Scheme,
    pub head: Head<'t>,
    pub timestamp: Option<&'t str>,
    pub body: &'t [u8],
}

impl SignedText<'_> {
    fn mac<M: Mac + Clone>(&self, prepared: &M) -> Signature {
        let mut mac = prepared.clone();
        for part in self.scheme.signed.parts() {
            self.feed(part, &mut |bytes| mac.update(bytes));
        }
        let bytes = mac.finalize().into_bytes();
        let mut signature = [0; 64];
        signature[..bytes.len()].copy_from_slice(&bytes);
        signature
    }

    fn feed(&self, part: &Part, sink: &mut dyn FnMut(&[u8])) {
        match part {
            Part::Text(text) => sink(text.as_bytes()),
            Part::Value(Value::Body) => sink(self.body),
            Part::Value(Value::Timestamp) => sink(self.timestamp.unwrap_or_default().as_bytes()),
            Part::Value(Value::Method) => sink(self.head.method.as_str().as_bytes()),
            Part::Value(Value::Header(name)) => {
                let value = self.head.headers.get(name).and_then(header::text);
                sink(value.unwrap_or_default().as_bytes());
            }
            Part::Value(Value::Query(name)) => {
                let value = query_parameter(&self.head, name).ok().flatten();
                sink(value.unwrap_or_default().as_bytes());
            }
            Part::Value(Value::Url) => {
                sink(self.head.public_url.unwrap_or_default().as_bytes());
                if let Some(query) = self.head.uri.query() {
                    sink(b"?");
                    sink(query.as_bytes());
                }
            }
        }
    }
}

fn keyed<M: hmac::KeyInit>(key: &[u8]) -> M {
    M::new_from_slice(key).expect("invariant: an HMAC takes keys of any length")
}

/// The key that the configured secret spells.
fn key_bytes(scheme: &Scheme, named: &NamedSecret) -> Result<Secret, KeyFault> {
    let fault = |expected| KeyFault { id: named.id.clone(), expected };
    let bytes = named.secret.expose();
    let bytes = bytes.strip_prefix(scheme.secret.prefix.as_bytes()).unwrap_or(bytes);
    let key = match scheme.secret.encoding {
        SecretEncoding::Text => bytes.to_vec(),
        SecretEncoding::Hex => hex::decode(bytes).map_err(|_| fault("hex"))?,
        SecretEncoding::Base64 => {
            STANDARD.decode(bytes).or_else(|_| STANDARD_NO_PAD.decode(bytes)).map_err(|_| fault("base64"))?
        }
    };
    if key.is_empty() {
        return Err(fault("long enough: nothing is left of it"));
    }
    if scheme.algorithm == Algorithm::Basic && !key.contains(&b':') {
        return Err(fault("`user:password`"));
    }
    Ok(Secret::new(key))
}
