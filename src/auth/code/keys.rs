//! HMAC keys of the files of this folder: which of a policy's secrets made a MAC.

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use crate::auth::credential;
use crate::auth::key::{self, Key, KeyFault, KeyKind, Mac64, NamedSecret};
use crate::auth::scheme::{Encoding, Hash, SecretEncoding, SecretForm};
use crate::auth::verify::SignedDigest;
use crate::clock::UnixSeconds;
use crate::reason::Reason;
use crate::rejection::{Fact, Rejection};

/// A source's secrets in the policy's order, made ready.
#[derive(Debug)]
pub(super) struct Keys(Vec<Key>);

impl Keys {
    /// # Errors
    /// [`KeyFault`] for the first secret that is not spelled as `encoding` says.
    pub(super) fn new(hash: Hash, encoding: SecretEncoding, keys: &[NamedSecret]) -> Result<Self, KeyFault> {
        let form = SecretForm { encoding, ..SecretForm::default() };
        let secrets = keys.iter().filter(|named| named.kind == KeyKind::Secret);
        let keys = secrets.map(|named| {
            let material = key::hmac(hash, key::key_bytes(&form, named)?.expose());
            Ok(Key { id: named.id.clone(), expires: named.expires, material })
        });
        Ok(Self(keys.collect::<Result<_, _>>()?))
    }

    /// The name of the live key that made this MAC of the pieces, one after the other.
    ///
    /// # Errors
    /// `credential_mismatch`; `secret_expired` if only an expired key fits.
    pub(super) fn made(&self, mac: &Mac64, pieces: &[&[u8]], now: UnixSeconds) -> Result<&str, Rejection> {
        self.fitting(now, |key| fits(key, mac, pieces))
    }

    /// The name of the first live key that `fits`.
    ///
    /// # Errors
    /// `credential_mismatch`; `secret_expired` if only an expired key fits.
    pub(super) fn fitting(&self, now: UnixSeconds, fits: impl Fn(&Key) -> Choice) -> Result<&str, Rejection> {
        let found = |key: &&Key| bool::from(fits(key));
        if let Some(key) = self.0.iter().filter(|key| key.is_live(now)).find(found) {
            return Ok(&key.id);
        }
        if let Some(key) = self.0.iter().filter(|key| !key.is_live(now)).find(found) {
            return Err(Rejection::new(Reason::SecretExpired).fact("secret", key.id.to_string()));
        }
        let ids = self.0.iter().map(|key| key.id.to_string().into()).collect();
        Err(Rejection::new(Reason::CredentialMismatch).fact("secrets_tried", Fact::List(ids)))
    }
}

/// Whether a key made this MAC of the pieces.
pub(super) fn fits(key: &Key, mac: &Mac64, pieces: &[&[u8]]) -> Choice {
    key.material.mac_pieces(pieces).map_or(Choice::from(0), |made| made.ct_eq(mac))
}

/// A MAC of this many bytes, spelled the one canonical way.
pub(super) fn decode(text: &str, encoding: Encoding, bytes: usize) -> Option<Mac64> {
    let mut mac = [0; 64];
    credential::decode_exactly(text, encoding, mac.get_mut(..bytes)?)?;
    Some(mac)
}

/// What was signed, whichever key fitted and whatever keys the policy has.
pub(super) fn digest(pieces: &[&[u8]]) -> SignedDigest {
    pieces.iter().fold(Sha256::new(), |digest, piece| digest.chain_update(piece)).finalize().into()
}

/// Where a signature does not cover the body, two bodies under one signature are two deliveries.
pub(super) fn bound(signed: &[u8], body: &[u8]) -> SignedDigest {
    Sha256::new().chain_update(digest(&[signed])).chain_update(Sha256::digest(body)).finalize().into()
}
