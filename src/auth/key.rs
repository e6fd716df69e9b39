//! Keys: what the operator configured, made ready once, when policies load.
//!
//! A delivery clones a prepared HMAC state (a few hundred bytes on the stack) and feeds it the signed text piece by piece, so that body and
//! template are never joined in memory. Public keys are parsed here and never again.

use aws_lc_rs::signature::{self, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use sha3::Keccak256;

use super::public_key::{KeyText, parse_public_key};
use super::scheme::{Algorithm, Hash, PublicKeyAlgorithm, Scheme, SecretEncoding, SecretForm, TokenAlgorithm};
use super::template::{Filling, Template};
use crate::clock::UnixSeconds;
use crate::secret::Secret;

/// A configured secret, or a public key as the provider hands it out.
#[derive(Debug, Clone)]
pub struct NamedSecret {
    /// The policy's name for it, which may stand in logs; for public keys also the `kid` or the URL that a sender names it by.
    pub id: Box<str>,
    /// The secret as the provider shows it.
    pub secret: Secret,
    /// From this second on it is no longer accepted.
    pub expires: Option<UnixSeconds>,
    /// Whether both sides have it.
    pub kind: KeyKind,
}

/// Whether a key is secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// Both sides have it, and nobody else.
    Secret,
    /// The provider has its other half, and anybody may have this one.
    Public,
}

/// A secret or key that does not have the form its scheme wants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{id}` is not {expected}")]
pub struct KeyFault {
    /// `secret` or `public key`.
    pub what: &'static str,
    /// Which.
    pub id: Box<str>,
    /// What the scheme wants it to be.
    pub expected: &'static str,
}

/// One MAC or digest; bytes past the algorithm's length are zero.
pub(super) type Mac64 = [u8; 64];

/// A key that is ready to judge.
pub(super) struct Key {
    pub id: Box<str>,
    pub expires: Option<UnixSeconds>,
    pub material: Material,
}

pub(super) enum Material {
    HmacSha1(Hmac<Sha1>),
    HmacSha256(Hmac<Sha256>),
    HmacSha384(Hmac<Sha384>),
    HmacSha512(Hmac<Sha512>),
    /// The key stands in the text that is digested.
    Digest(Hash, Secret),
    /// SHA-256 of the secret: comparing digests of equal length hides how long the secret is.
    Static([u8; 32]),
    Public(ParsedPublicKey),
    /// What tokens of each algorithm are checked with.
    Token(Vec<(TokenAlgorithm, Material)>),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl Key {
    /// The key that a configured secret spells under this scheme; `None` where it belongs to another algorithm of a token scheme.
    pub(super) fn new(scheme: &Scheme, named: &NamedSecret) -> Result<Option<Self>, KeyFault> {
        let material = match (scheme.algorithm, named.kind) {
            (Algorithm::PublicKey(algorithm), KeyKind::Public) => {
                Some(Material::Public(public(verification(algorithm), &scheme.secret, named)?))
            }
            (Algorithm::Jwt | Algorithm::JwsDetached, kind) => token(scheme, named, kind)?,
            (Algorithm::PublicKey(_), KeyKind::Secret)
            | (Algorithm::Hmac(_) | Algorithm::Digest(_) | Algorithm::Token | Algorithm::Basic, KeyKind::Public) => {
                None
            }
            (Algorithm::Hmac(hash), KeyKind::Secret) => Some(hmac(hash, key_bytes(&scheme.secret, named)?.expose())),
            (Algorithm::Digest(hash), KeyKind::Secret) => {
                Some(Material::Digest(hash, key_bytes(&scheme.secret, named)?))
            }
            (Algorithm::Token, KeyKind::Secret) => Some(still(&key_bytes(&scheme.secret, named)?)),
            (Algorithm::Basic, KeyKind::Secret) => {
                let key = key_bytes(&scheme.secret, named)?;
                if !key.expose().contains(&b':') {
                    return Err(fault(named, "`user:password`"));
                }
                Some(still(&key))
            }
        };
        Ok(material.map(|material| Self { id: named.id.clone(), expires: named.expires, material }))
    }

    pub(super) fn is_live(&self, now: UnixSeconds) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

impl Material {
    /// The MAC or digest of a text, behind it zeros up to the longest length; `None` for keys that make none.
    pub(super) fn mac(&self, signed: &Template, filling: &Filling<'_>) -> Option<Mac64> {
        match self {
            Self::HmacSha1(prepared) => Some(mac_of(prepared, signed, filling)),
            Self::HmacSha256(prepared) => Some(mac_of(prepared, signed, filling)),
            Self::HmacSha384(prepared) => Some(mac_of(prepared, signed, filling)),
            Self::HmacSha512(prepared) => Some(mac_of(prepared, signed, filling)),
            Self::Digest(hash, secret) => {
                let filling = Filling { secret: Some(secret.expose()), ..*filling };
                Some(match hash {
                    Hash::Sha1 => digest_of::<Sha1>(signed, &filling),
                    Hash::Sha256 => digest_of::<Sha256>(signed, &filling),
                    Hash::Sha384 => digest_of::<Sha384>(signed, &filling),
                    Hash::Sha512 => digest_of::<Sha512>(signed, &filling),
                    Hash::Keccak256 => digest_of::<Keccak256>(signed, &filling),
                })
            }
            Self::Static(_) | Self::Public(_) | Self::Token(_) => None,
        }
    }

    /// The MAC of some bytes under an HMAC key.
    pub(super) fn mac_bytes(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::HmacSha1(prepared) => Some(finished(prepared.clone(), message)),
            Self::HmacSha256(prepared) => Some(finished(prepared.clone(), message)),
            Self::HmacSha384(prepared) => Some(finished(prepared.clone(), message)),
            Self::HmacSha512(prepared) => Some(finished(prepared.clone(), message)),
            Self::Digest(..) | Self::Static(_) | Self::Public(_) | Self::Token(_) => None,
        }
    }

    /// Whether it is an RSA key of fewer than 2,048 bits, which some providers still sign with.
    pub(super) fn is_short_rsa(&self) -> bool {
        match self {
            // The library keeps keys as SubjectPublicKeyInfo: 294 bytes for 2,048 bits, and at most 120 for any elliptic curve.
            Self::Public(key) => (120..290).contains(&key.as_ref().len()),
            Self::HmacSha1(_)
            | Self::HmacSha256(_)
            | Self::HmacSha384(_)
            | Self::HmacSha512(_)
            | Self::Digest(..)
            | Self::Static(_)
            | Self::Token(_) => false,
        }
    }

    /// What checks tokens of this algorithm.
    pub(super) fn for_token(&self, algorithm: TokenAlgorithm) -> Option<&Self> {
        match self {
            Self::Token(list) => list.iter().find(|(found, _)| *found == algorithm).map(|(_, material)| material),
            Self::HmacSha1(_)
            | Self::HmacSha256(_)
            | Self::HmacSha384(_)
            | Self::HmacSha512(_)
            | Self::Digest(..)
            | Self::Static(_)
            | Self::Public(_) => None,
        }
    }
}

fn finished<M: Mac>(mut mac: M, message: &[u8]) -> Vec<u8> {
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn mac_of<M: Mac + Clone>(prepared: &M, signed: &Template, filling: &Filling<'_>) -> Mac64 {
    let mut mac = prepared.clone();
    signed.feed(filling, &mut |bytes| mac.update(bytes));
    padded(&mac.finalize().into_bytes())
}

fn digest_of<D: sha2::Digest>(signed: &Template, filling: &Filling<'_>) -> Mac64 {
    let mut digest = D::new();
    signed.feed(filling, &mut |bytes| digest.update(bytes));
    padded(&digest.finalize())
}

fn padded(bytes: &[u8]) -> Mac64 {
    let mut mac = [0; 64];
    mac[..bytes.len()].copy_from_slice(bytes);
    mac
}

fn still(key: &Secret) -> Material {
    Material::Static(Sha256::digest(key.expose()).into())
}

/// A prepared HMAC; plain digests and Keccak have none of their own.
pub(super) fn hmac(hash: Hash, key: &[u8]) -> Material {
    match hash {
        Hash::Sha1 => Material::HmacSha1(keyed(key)),
        Hash::Sha256 | Hash::Keccak256 => Material::HmacSha256(keyed(key)),
        Hash::Sha384 => Material::HmacSha384(keyed(key)),
        Hash::Sha512 => Material::HmacSha512(keyed(key)),
    }
}

fn keyed<M: ::hmac::KeyInit>(key: &[u8]) -> M {
    M::new_from_slice(key).expect("invariant: an HMAC takes keys of any length")
}

/// What checks tokens with this key; `None` if none of the scheme's algorithms goes with its kind.
fn token(scheme: &Scheme, named: &NamedSecret, kind: KeyKind) -> Result<Option<Material>, KeyFault> {
    let wanted =
        scheme.token.algorithms.iter().filter(|algorithm| algorithm.is_symmetric() == (kind == KeyKind::Secret));
    let mut list = Vec::new();
    for algorithm in wanted {
        match token_verification(*algorithm) {
            Check::Mac(hash) => list.push((*algorithm, hmac(hash, key_bytes(&scheme.secret, named)?.expose()))),
            // A key of one kind of algorithm is none of the others'.
            Check::Signature(verification) => {
                list.extend(
                    public(verification, &scheme.secret, named).ok().map(|key| (*algorithm, Material::Public(key))),
                );
            }
        }
    }
    if list.is_empty() && kind == KeyKind::Public {
        return Err(fault(named, "a public key for the scheme's algorithms"));
    }
    Ok((!list.is_empty()).then_some(Material::Token(list)))
}

enum Check {
    Mac(Hash),
    Signature(&'static dyn signature::VerificationAlgorithm),
}

fn token_verification(algorithm: TokenAlgorithm) -> Check {
    match algorithm {
        TokenAlgorithm::Hs256 => Check::Mac(Hash::Sha256),
        TokenAlgorithm::Hs384 => Check::Mac(Hash::Sha384),
        TokenAlgorithm::Hs512 => Check::Mac(Hash::Sha512),
        TokenAlgorithm::Rs256 => Check::Signature(&signature::RSA_PKCS1_2048_8192_SHA256),
        TokenAlgorithm::Rs512 => Check::Signature(&signature::RSA_PKCS1_2048_8192_SHA512),
        TokenAlgorithm::Es256 => Check::Signature(&signature::ECDSA_P256_SHA256_FIXED),
        TokenAlgorithm::EdDsa => Check::Signature(&signature::ED25519),
    }
}

/// The library's name of an algorithm. RSA keys of 1,024 bits are still what some providers sign with.
pub(super) fn verification(algorithm: PublicKeyAlgorithm) -> &'static dyn signature::VerificationAlgorithm {
    match algorithm {
        PublicKeyAlgorithm::Ed25519 => &signature::ED25519,
        PublicKeyAlgorithm::EcdsaP256 => &signature::ECDSA_P256_SHA256_ASN1,
        PublicKeyAlgorithm::RsaSha1 => &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
        PublicKeyAlgorithm::RsaSha256 => &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        PublicKeyAlgorithm::RsaSha512 => &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
    }
}

fn public(
    algorithm: &'static dyn signature::VerificationAlgorithm,
    form: &SecretForm,
    named: &NamedSecret,
) -> Result<ParsedPublicKey, KeyFault> {
    let text = KeyText(without_prefix(named.secret.expose(), &form.prefix));
    parse_public_key(algorithm, text)
        .ok_or_else(|| fault(named, "a public key of the scheme's algorithm (PEM, X.509, JWK, hex or base64)"))
}

fn fault(named: &NamedSecret, expected: &'static str) -> KeyFault {
    let what = match named.kind {
        KeyKind::Secret => "secret",
        KeyKind::Public => "public key",
    };
    KeyFault { what, id: named.id.clone(), expected }
}

/// The key that the configured secret spells.
pub(super) fn key_bytes(form: &SecretForm, named: &NamedSecret) -> Result<Secret, KeyFault> {
    let mut bytes = without_prefix(named.secret.expose(), &form.prefix).to_vec();
    if let Some(removed) = form.remove_first
        && let Some(position) = bytes.iter().position(|&byte| char::from(byte) == removed)
    {
        bytes.remove(position);
    }
    let bytes = Secret::new(bytes);
    let key = match form.encoding {
        SecretEncoding::Text => bytes,
        SecretEncoding::Sha1 => Secret::new(Sha1::digest(bytes.expose()).to_vec()),
        SecretEncoding::Hex => Secret::new(hex::decode(bytes.expose()).map_err(|_| fault(named, "hex"))?),
        SecretEncoding::Base64 => {
            let decoded = STANDARD.decode(bytes.expose()).or_else(|_| STANDARD_NO_PAD.decode(bytes.expose()));
            Secret::new(decoded.map_err(|_| fault(named, "base64"))?)
        }
    };
    if key.is_empty() {
        return Err(fault(named, "long enough: nothing is left of it"));
    }
    Ok(key)
}

/// The text without a prefix that may hold one `*` (letters, digits and `_`, at least one); the whole text where it has no such prefix.
fn without_prefix<'t>(text: &'t [u8], prefix: &str) -> &'t [u8] {
    let Some((before, after)) = prefix.split_once('*') else {
        return text.strip_prefix(prefix.as_bytes()).unwrap_or(text);
    };
    let Some(rest) = text.strip_prefix(before.as_bytes()) else { return text };
    let word = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    match rest[word..].strip_prefix(after.as_bytes()) {
        Some(rest) if word > 0 => rest,
        Some(_) | None => text,
    }
}
