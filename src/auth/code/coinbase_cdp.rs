//! Coinbase Developer Platform, which signs as Hook0 does: the credential lists the headers that it covers.
//!
//! A header has two signatures: `v0` over the time and the body, and `v1` over listed headers besides. The provider sends both, so whoever
//! captured a delivery may cut `v1` away and change the headers: what is told of them counts as not covered, and a delivery is known again
//! by what `v0` signs, whichever was checked.

use http::HeaderName;

use super::keys::{self, Keys};
use super::{About, CheckedWith, Code, Found, field, malformed, missing, no_advice};
use crate::auth::credential::{self, Tolerance};
use crate::auth::describe::Deliveries;
use crate::auth::facts::Covered;
use crate::auth::key::{KeyFault, Mac64, NamedSecret};
use crate::auth::place::{Head, Place, View};
use crate::auth::scheme::{Encoding, Hash, SecretEncoding, TimestampUnit};
use crate::clock::UnixSeconds;
use crate::reason::Reason;
use crate::rejection::Rejection;

pub(super) const ABOUT: About = About {
    checked_with: CheckedWith::Secrets,
    key_id: None,
    signed: "HMAC-SHA256 of `{t}.{h}.{values of the headers that h names, joined by a dot}.{body}`, or without `v1` of `{t}.{body}`",
    lines: &[
        ("proves", "that somebody who knows the secret signed exactly this body, within 300 s of now"),
        (
            "not covered",
            "the method; the URL and its query; all headers: those that `h` names are covered by `v1`, which whoever captured a delivery can cut away where \
             `v0` stands beside it",
        ),
        (
            "credential",
            "header `x-hook0-signature`: a list separated by `,` of `t=`, `v0=`, `h=` (names separated by spaces) and `v1=`, each at most once, with 64 digits \
             of lower-case hex; `v0` counts where there is no `v1`",
        ),
        ("secret", "the whole secret, as text, is the key"),
        (
            "time",
            "item `t` of the credential, in seconds since 1970; at most 300 s from now, in the past or the future",
        ),
    ],
    tolerance_seconds: Some(TOLERANCE_SECONDS),
    deliveries: Deliveries::Differ,
    covers,
    advice: no_advice,
};

const TOLERANCE_SECONDS: u32 = 300;
const TOLERANCE: Tolerance = Tolerance::of_seconds(TOLERANCE_SECONDS);

/// More headers than any delivery signs.
const NAMES_MAX: usize = 64;

static SIGNATURE: HeaderName = HeaderName::from_static("x-hook0-signature");

const fn covers(place: &Place) -> Covered {
    if place.is_in_body() { Covered::Signed } else { Covered::Unsigned }
}

/// The keys of a source.
#[derive(Debug)]
pub(super) struct CoinbaseCdp {
    keys: Keys,
}

/// A credential whose time is near enough.
struct Presented<'d> {
    time: &'d str,
    unix_millis: i64,
    mac: Mac64,
    /// `{h}.{values}.`, empty for `v0`.
    headers: String,
}

impl CoinbaseCdp {
    /// # Errors
    /// [`KeyFault`] for an empty secret.
    pub(super) fn new(keys: &[NamedSecret]) -> Result<Self, KeyFault> {
        Ok(Self { keys: Keys::new(Hash::Sha256, SecretEncoding::Text, keys)? })
    }
}

impl Code for CoinbaseCdp {
    fn present(&self, head: Head<'_>, now: UnixSeconds) -> Result<(), Rejection> {
        read(head, now).map(drop)
    }

    fn verify<'k>(&'k self, view: &View<'_>, now: UnixSeconds) -> Result<Found<'k>, Rejection> {
        let presented = read(view.head, now)?;
        let body = view.body.map_or(&b""[..], |body| body.bytes());
        let time = presented.time.as_bytes();
        let key = self.keys.made(&presented.mac, &[time, b".", presented.headers.as_bytes(), body], now)?;
        let digest = Some(keys::digest(&[time, b".", body]));
        let stale_from = Some(TOLERANCE.stale_from(presented.unix_millis));
        Ok(Found { key, digest, signed_at_millis: Some(presented.unix_millis), stale_from })
    }
}

fn read(head: Head<'_>, now: UnixSeconds) -> Result<Presented<'_>, Rejection> {
    let text = field(head, &SIGNATURE)?;
    let (names, v1, v0) = (item(text, "h")?, item(text, "v1")?, item(text, "v0")?);
    // A `v1` that is there counts, even if it cannot be one.
    let (signature, headers) = match (v1, v0) {
        (Some(v1), _) => (v1, listed(head, names.ok_or_else(|| missing("item h"))?)?),
        (None, Some(v0)) => (v0, String::new()),
        (None, None) => return Err(malformed("item v1 or v0")),
    };
    let mac = keys::decode(signature, Encoding::Hex, 32).ok_or_else(|| malformed("64 digits of lower-case hex"))?;
    let time = item(text, "t")?.filter(|time| !time.is_empty());
    let time = time.ok_or_else(|| Rejection::new(Reason::TimestampMissing).fact("expected", "item t"))?;
    let unix_millis = credential::time(time, TimestampUnit::Seconds, TOLERANCE, now)?;
    Ok(Presented { time, unix_millis, mac, headers })
}

/// The only item of this name.
fn item<'d>(text: &'d str, name: &'static str) -> Result<Option<&'d str>, Rejection> {
    let pairs = text.split(',').filter_map(|item| item.trim_matches(' ').split_once('='));
    let mut values = pairs.filter(|(found, _)| *found == name).map(|(_, value)| value);
    let first = values.next();
    if values.next().is_some() {
        return Err(Rejection::new(Reason::CredentialDuplicated).fact("expected", format!("item {name} once")));
    }
    Ok(first)
}

/// The list of names and the values of the headers, as `v1` signs them.
fn listed(head: Head<'_>, names: &str) -> Result<String, Rejection> {
    let mut values = Vec::new();
    for name in names.split(' ') {
        let name = HeaderName::try_from(name).map_err(|_| malformed("names of headers in item h"))?;
        values.push(field(head, &name)?);
        if values.len() > NAMES_MAX {
            return Err(malformed("fewer names in item h").fact("names_max", NAMES_MAX));
        }
    }
    Ok(format!("{names}.{}.", values.join(".")))
}
