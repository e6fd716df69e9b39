//! Certificates that a sender names by their URL, and that the policy has.
//!
//! Fetching what a request names is how such schemes were broken before: a URL on a storage host of the same provider was enough. Here a
//! certificate is a public key of the policy, whose id is its URL, and the URL's host is pinned besides.

use aws_lc_rs::signature::{
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RsaParameters,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::auth::key::{KeyFault, NamedSecret};
use crate::auth::public_key::{KeyText, parse_public_key};
use crate::clock::UnixSeconds;
use crate::reason::Reason;
use crate::rejection::Rejection;

/// The RSA key of a certificate.
pub(super) struct Certificate {
    /// Its URL.
    pub url: Box<str>,
    expires: Option<UnixSeconds>,
    sha1: ParsedPublicKey,
    sha256: ParsedPublicKey,
}

/// What an RSA signature digests (PKCS #1 v1.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RsaHash {
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// RSA of 8,192 bits, in base64.
const SIGNATURE_CHARS_MAX: usize = 1_368;

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("url", &self.url).field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl Certificate {
    /// # Errors
    /// [`KeyFault`] if it is no certificate or key of RSA, or a short one.
    pub(super) fn new(named: &NamedSecret) -> Result<Self, KeyFault> {
        let parse = |algorithm: &'static RsaParameters| {
            let key = parse_public_key(algorithm, KeyText(named.secret.expose()));
            key.ok_or_else(|| fault(named, "an X.509 certificate with an RSA key of at least 2,048 bits, in PEM"))
        };
        let sha1 = parse(&RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY)?;
        let sha256 = parse(&RSA_PKCS1_2048_8192_SHA256)?;
        Ok(Self { url: named.id.clone(), expires: named.expires, sha1, sha256 })
    }

    /// Whether its key made this signature.
    ///
    /// # Errors
    /// `credential_mismatch`; `secret_expired` if it fits, but the policy says it is over.
    pub(super) fn verify(
        &self,
        hash: RsaHash,
        text: &[u8],
        signature: &[u8],
        now: UnixSeconds,
    ) -> Result<(), Rejection> {
        let key = match hash {
            RsaHash::Sha1 => &self.sha1,
            RsaHash::Sha256 => &self.sha256,
        };
        key.verify_sig(text, signature).map_err(|_| {
            Rejection::new(Reason::CredentialMismatch).fact("secrets_tried", vec![self.url.to_string()])
        })?;
        if self.expires.is_some_and(|expires| now >= expires) {
            return Err(Rejection::new(Reason::SecretExpired).fact("secret", self.url.to_string()));
        }
        Ok(())
    }
}

/// A public key that is not as the file wants it.
pub(super) fn fault(named: &NamedSecret, expected: &'static str) -> KeyFault {
    KeyFault { what: "public key", id: named.id.clone(), expected }
}

/// A signature in canonical base64.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || text.len() > SIGNATURE_CHARS_MAX { None } else { STANDARD.decode(text).ok() }
}

/// Host and path of a URL that is `https` and nothing besides: no user, no port, no query, no fragment, no dot segment.
pub(super) fn https(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("https://")?;
    let (host, path) = rest.split_at(rest.find('/')?);
    let is_host = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    let is_path = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
    (is_host && is_path && !path.contains("..")).then_some((host, path))
}

/// A certificate that a sender names and the policy does not have.
pub(super) fn unknown(at: &'static str) -> Rejection {
    Rejection::new(Reason::CredentialMismatch)
        .fact("condition_not_met", at)
        .hint("it names a certificate that is not in public_keys: fetch it once, see that it is the provider's, and add it with its URL as id")
}
