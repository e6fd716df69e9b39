//! Configured secrets that the provider reads in another way.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;
use subtle::ConstantTimeEq as _;

use super::{Attempts, Finding};
use crate::auth::key::{KeyKind, NamedSecret, key_bytes};
use crate::auth::scheme::{Scheme, SecretForm};
use crate::secret::Secret;

/// What Standard Webhooks and those like it put before a secret that is base64.
const PREFIX: &[u8] = b"whsec_";

/// How a configured secret is read to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretSpelling {
    /// Its text as it is, prefix and all.
    AsText,
    /// Its text without `whsec_`.
    WithoutPrefix,
    /// Its text with `whsec_` before it.
    WithPrefix,
    /// The bytes that it spells in base64, behind `whsec_` or not.
    FromBase64,
    /// Its base64.
    ToBase64,
    /// The bytes that it spells in hex.
    FromHex,
    /// Its lower-case hex.
    ToHex,
    /// Without white space and quotes around it.
    Trimmed,
    /// With a line end behind it.
    NewlineAdded,
}

const SPELLINGS: [SecretSpelling; 9] = [
    SecretSpelling::AsText,
    SecretSpelling::WithoutPrefix,
    SecretSpelling::WithPrefix,
    SecretSpelling::FromBase64,
    SecretSpelling::ToBase64,
    SecretSpelling::FromHex,
    SecretSpelling::ToHex,
    SecretSpelling::Trimmed,
    SecretSpelling::NewlineAdded,
];

impl SecretSpelling {
    /// The word of the finding.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::AsText => "secret_as_text",
            Self::WithoutPrefix => "secret_without_prefix",
            Self::WithPrefix => "secret_with_prefix",
            Self::FromBase64 => "secret_from_base64",
            Self::ToBase64 => "secret_to_base64",
            Self::FromHex => "secret_from_hex",
            Self::ToHex => "secret_to_hex",
            Self::Trimmed => "secret_trimmed",
            Self::NewlineAdded => "secret_newline_added",
        }
    }

    pub(super) const fn hint(self) -> &'static str {
        match self {
            Self::AsText => "the sender signs with the secret's text as it is, the policy's scheme decodes it first",
            Self::WithoutPrefix => {
                "the sender signs with the secret without its `whsec_`: configure it without, or let the scheme cut it off"
            }
            Self::WithPrefix => "the configured secret has lost the `whsec_` that the sender signs with",
            Self::FromBase64 => {
                "the sender signs with what the secret spells in base64: the scheme has to decode it, see [auth.scheme] secret"
            }
            Self::ToBase64 => "the configured secret was decoded from base64, and the sender signs with the base64",
            Self::FromHex => {
                "the sender signs with what the secret spells in hex: the scheme has to decode it, see [auth.scheme] secret"
            }
            Self::ToHex => "the configured secret was decoded from hex, and the sender signs with the hex",
            Self::Trimmed => "the configured secret has white space or quotes around it that the provider's has not",
            Self::NewlineAdded => "the provider's secret ends in a line end: somebody pasted it with one",
        }
    }

    /// The key that the secret is so; `None` where it cannot be read so.
    fn key(self, secret: &[u8]) -> Option<Secret> {
        let bare = secret.strip_prefix(PREFIX);
        let key = match self {
            Self::AsText => secret.to_vec(),
            Self::WithoutPrefix => bare?.to_vec(),
            Self::WithPrefix if bare.is_some() => return None,
            Self::WithPrefix => [PREFIX, secret].concat(),
            Self::FromBase64 => {
                let text = bare.unwrap_or(secret);
                STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()?
            }
            Self::ToBase64 => STANDARD.encode(secret).into_bytes(),
            Self::FromHex => hex::decode(secret).ok()?,
            Self::ToHex => hex::encode(secret).into_bytes(),
            Self::Trimmed => unquoted(secret.trim_ascii()).to_vec(),
            Self::NewlineAdded => [secret, b"\n"].concat(),
        };
        Some(Secret::new(key))
    }
}

/// The text without a pair of quotes around it.
fn unquoted(text: &[u8]) -> &[u8] {
    let between = |quote: u8| text.strip_prefix(&[quote]).and_then(|rest| rest.strip_suffix(&[quote]));
    between(b'"').or_else(|| between(b'\'')).unwrap_or(text)
}

/// Tries each configured secret as another key.
pub(super) fn try_spellings(scheme: &Scheme, body: &Bytes, attempts: &mut Attempts<'_, '_>) {
    let plain = Scheme { secret: SecretForm::default(), ..scheme.clone() };
    for configured in attempts.secrets().iter().filter(|secret| secret.kind == KeyKind::Secret) {
        let own = key_bytes(&scheme.secret, configured).ok();
        for spelling in SPELLINGS {
            let Some(key) = spelling.key(configured.secret.expose()).filter(|key| !key.is_empty()) else { continue };
            if own.as_ref().is_some_and(|own| bool::from(own.expose().ct_eq(key.expose()))) {
                continue;
            }
            let named = NamedSecret { secret: key, ..configured.clone() };
            // Trimming leaves the scheme's own way to read it: a prefix and base64 behind a space are still those.
            let scheme = if spelling == SecretSpelling::Trimmed { scheme } else { &plain };
            if let Some(fitted) = attempts.fits_scheme(scheme, &[named], body) {
                attempts.found(Finding::Secret { spelling, fitted });
            }
        }
    }
}
