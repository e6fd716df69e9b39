//! NOWPayments: the signature is over the body's JSON with its members sorted, as the sender's JavaScript writes it.
//!
//! What JavaScript would write otherwise than it is worth (an integer past 2^53, more digits than a double holds) is refused: the signature
//! would fit several bodies, and an app that reads more exactly would see another one than the sender meant.

use http::HeaderName;

use super::keys::{self, Keys};
use super::{About, CheckedWith, Code, Found, ecmascript, field, malformed, no_advice, object};
use crate::auth::describe::Deliveries;
use crate::auth::facts::Covered;
use crate::auth::key::{KeyFault, Mac64, NamedSecret};
use crate::auth::place::{Head, Place, View};
use crate::auth::scheme::{Encoding, Hash, SecretEncoding};
use crate::clock::UnixSeconds;
use crate::rejection::Rejection;

pub(super) const ABOUT: About = About {
    checked_with: CheckedWith::Secrets,
    key_id: None,
    signed: "HMAC-SHA512 of the body's JSON, written anew without white space and with the members of every object sorted",
    lines: &[
        (
            "proves",
            "that somebody who knows the secret signed what this body says, but not how it is spelled; not when",
        ),
        (
            "not covered",
            "white space, escapes and the order of members in the body; the method; the URL and its query; the time; all headers",
        ),
        ("credential", "header `x-nowpayments-sig`: 128 digits of lower-case hex"),
        ("secret", "the whole secret, as text, is the key"),
        ("time", "none is signed: a captured delivery is as good tomorrow as today"),
    ],
    tolerance_seconds: None,
    deliveries: Deliveries::LookAlike,
    covers,
    advice: no_advice,
};

static SIGNATURE: HeaderName = HeaderName::from_static("x-nowpayments-sig");

const fn covers(place: &Place) -> Covered {
    if matches!(place, Place::Json(_)) { Covered::Signed } else { Covered::Unsigned }
}

/// The keys of a source.
#[derive(Debug)]
pub(super) struct NowPayments {
    keys: Keys,
}

impl NowPayments {
    /// # Errors
    /// [`KeyFault`] for an empty secret.
    pub(super) fn new(keys: &[NamedSecret]) -> Result<Self, KeyFault> {
        Ok(Self { keys: Keys::new(Hash::Sha512, SecretEncoding::Text, keys)? })
    }
}

impl Code for NowPayments {
    fn present(&self, head: Head<'_>, _now: UnixSeconds) -> Result<(), Rejection> {
        read(head).map(drop)
    }

    fn verify<'k>(&'k self, view: &View<'_>, now: UnixSeconds) -> Result<Found<'k>, Rejection> {
        let mac = read(view.head)?;
        let text = ecmascript::sorted(object(view)?);
        let text = text
            .ok_or_else(|| malformed("a body that JavaScript writes as it reads it: no number past its precision"))?;
        let pieces = [text.as_bytes()];
        let key = self.keys.made(&mac, &pieces, now)?;
        Ok(Found { key, digest: Some(keys::digest(&pieces)), signed_at_millis: None, stale_from: None })
    }
}

fn read(head: Head<'_>) -> Result<Mac64, Rejection> {
    keys::decode(field(head, &SIGNATURE)?, Encoding::Hex, 64).ok_or_else(|| malformed("128 digits of lower-case hex"))
}
