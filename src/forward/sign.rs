//! The gateway's own signature on what it forwards: one verifier for every source, in the app (Standard Webhooks 1.0).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;

use crate::clock::UnixSeconds;
use crate::secret::Secret;

/// `webhook-id`.
pub const ID: HeaderName = HeaderName::from_static("webhook-id");
/// `webhook-timestamp`.
pub const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// `webhook-signature`.
pub const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Signs upstream requests with one secret.
#[derive(Clone)]
pub struct Signer {
    prepared: Hmac<Sha256>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(***)")
    }
}

impl Signer {
    /// A signer with this secret: `whsec_` and base64 as the specification has it, else its bytes as they are.
    ///
    /// # Panics
    /// Never: an HMAC takes keys of any length.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        let decode = |text: &[u8]| Secret::decoded(text.len() + 3, |buffer| STANDARD.decode_slice(text, buffer).ok());
        let decoded = secret.expose().strip_prefix(b"whsec_").and_then(decode);
        let key = decoded.as_ref().unwrap_or(secret);
        let prepared = Hmac::new_from_slice(key.expose()).expect("invariant: an HMAC takes keys of any length");
        Self { prepared }
    }

    /// Writes the three `webhook-*` fields for this body.
    pub fn sign(&self, id: &str, now: UnixSeconds, body: &[u8], headers: &mut HeaderMap) {
        let timestamp = now.to_string();
        let mut mac = self.prepared.clone();
        for piece in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(piece);
        }
        let mut signature = String::with_capacity(47);
        signature.push_str("v1,");
        STANDARD.encode_string(mac.finalize().into_bytes(), &mut signature);
        for (name, text) in [(ID, id), (TIMESTAMP, &timestamp), (SIGNATURE, &signature)] {
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification's reference libraries.
    #[test]
    fn agrees_with_the_specifications_example() {
        let signer = Signer::new(&Secret::new(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_vec()));
        let mut headers = HeaderMap::new();
        signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#, &mut headers);
        assert_eq!(headers[SIGNATURE], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(headers[ID], "msg_p5jXN8AQM9LWM0D4loKWxJek");
        assert_eq!(headers[TIMESTAMP], "1614265330");
    }
}
