//! Contentful: a header lists the headers that are signed, and is signed itself.
//!
//! The official library (Node apps toolkit) writes the list anew from the headers it found, sorted; so does this, which is why a list with a
//! header more or less fits no signature.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use http::HeaderName;

use super::keys::{self, Keys};
use super::{About, CheckedWith, Code, Found, field, malformed, no_advice};
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
    signed: "HMAC-SHA256 of `{method}\\n{path and query, encoded once more}\\n{name:value of each listed header, sorted, joined by ;}\\n{body}`",
    lines: &[
        (
            "proves",
            "that somebody who knows the secret signed exactly this body, method, path and query, less than 30 s ago",
        ),
        (
            "not covered",
            "the host; the event's name (`x-contentful-topic`) and all other headers that the request does not list as signed",
        ),
        (
            "credential",
            "header `x-contentful-signature`: 64 digits of lower-case hex; header `x-contentful-signed-headers`: the names of the signed headers, separated by \
             `,`",
        ),
        ("secret", "the whole secret, as text, is the key"),
        (
            "time",
            "header `x-contentful-timestamp`, in milliseconds since 1970; less than 30 s in the past, at most 30 s in the future",
        ),
    ],
    tolerance_seconds: Some(TOLERANCE_SECONDS),
    deliveries: Deliveries::Differ,
    covers,
    advice: no_advice,
};

const TOLERANCE_SECONDS: u32 = 30;

/// The library refuses what is exactly 30 s old.
const TOLERANCE: Tolerance = Tolerance { past_millis: 29_999, ..Tolerance::of_seconds(TOLERANCE_SECONDS) };

/// More headers than any delivery signs.
const NAMES_MAX: usize = 64;

static SIGNATURE: HeaderName = HeaderName::from_static("x-contentful-signature");
static SIGNED_HEADERS: HeaderName = HeaderName::from_static("x-contentful-signed-headers");
static TIMESTAMP: HeaderName = HeaderName::from_static("x-contentful-timestamp");

/// Which headers are signed, the request says; nothing is promised of any but the time.
fn covers(place: &Place) -> Covered {
    let is_time = matches!(place.headers(), [name] if *name == TIMESTAMP);
    if place.is_in_body() || is_time { Covered::Signed } else { Covered::Unsigned }
}

/// The keys of a source.
#[derive(Debug)]
pub(super) struct Contentful {
    keys: Keys,
}

/// A credential whose time is near enough.
struct Presented {
    unix_millis: i64,
    mac: Mac64,
    /// Everything signed that stands before the body.
    before_body: String,
}

impl Contentful {
    /// # Errors
    /// [`KeyFault`] for an empty secret.
    pub(super) fn new(keys: &[NamedSecret]) -> Result<Self, KeyFault> {
        Ok(Self { keys: Keys::new(Hash::Sha256, SecretEncoding::Text, keys)? })
    }
}

impl Code for Contentful {
    fn present(&self, head: Head<'_>, now: UnixSeconds) -> Result<(), Rejection> {
        read(head, now).map(drop)
    }

    fn verify<'k>(&'k self, view: &View<'_>, now: UnixSeconds) -> Result<Found<'k>, Rejection> {
        let Presented { unix_millis, mac, before_body } = read(view.head, now)?;
        let body = view.body.map_or(&b""[..], |body| body.bytes());
        let pieces = [before_body.as_bytes(), body];
        let key = self.keys.made(&mac, &pieces, now)?;
        let (digest, stale_from) = (Some(keys::digest(&pieces)), Some(TOLERANCE.stale_from(unix_millis)));
        Ok(Found { key, digest, signed_at_millis: Some(unix_millis), stale_from })
    }
}

fn read(head: Head<'_>, now: UnixSeconds) -> Result<Presented, Rejection> {
    let signature = field(head, &SIGNATURE)?;
    let mac = keys::decode(signature, Encoding::Hex, 32).ok_or_else(|| malformed("64 digits of lower-case hex"))?;
    let listed = field(head, &SIGNED_HEADERS)?;
    let time = field(head, &TIMESTAMP).map_err(|fault| {
        let is_missing = fault.reason() == Reason::CredentialMissing;
        let reason = if is_missing { Reason::TimestampMissing } else { Reason::TimestampMalformed };
        Rejection::new(reason).fact("expected", format!("header {TIMESTAMP}"))
    })?;
    let unix_millis = credential::time(time, TimestampUnit::Milliseconds, TOLERANCE, now)?;
    let headers = headers(head, listed, unix_millis)?;
    let target = target(head).ok_or_else(|| malformed("a query with no second `?`"))?;
    Ok(Presented { unix_millis, mac, before_body: format!("{}\n{target}\n{headers}\n", head.method) })
}

/// The signed headers by name. The list and the time are always among them.
fn headers(head: Head<'_>, listed: &str, unix_millis: i64) -> Result<String, Rejection> {
    let mut headers = BTreeMap::new();
    for name in listed.split(',') {
        let name =
            HeaderName::try_from(name.trim()).map_err(|_| malformed(format!("names in header {SIGNED_HEADERS}")))?;
        let value = field(head, &name)?;
        headers.insert(name.as_str().to_owned(), value.to_owned());
        if headers.len() > NAMES_MAX {
            return Err(malformed(format!("fewer names in header {SIGNED_HEADERS}")).fact("names_max", NAMES_MAX));
        }
    }
    headers.insert(TIMESTAMP.as_str().to_owned(), unix_millis.to_string());
    headers.insert(SIGNED_HEADERS.as_str().to_owned(), String::new());
    let names: Vec<&str> = headers.keys().map(String::as_str).collect();
    let names = names.join(",");
    headers.insert(SIGNED_HEADERS.as_str().to_owned(), names);
    let pairs: Vec<_> = headers.iter().map(|(name, value)| format!("{name}:{value}")).collect();
    Ok(pairs.join(";"))
}

/// The path and query as the sender knows them, encoded as the library does; `None` where it would lose a part of them.
fn target(head: Head<'_>) -> Option<String> {
    // Behind a proxy that changes paths, the policy knows the sender's.
    let known = head.public_url.and_then(|url| url.parse::<http::Uri>().ok());
    let path = known.as_ref().map_or_else(|| head.uri.path(), http::Uri::path);
    let query = head.uri.query().unwrap_or_default();
    if query.contains('?') {
        return None;
    }
    let mut target = String::new();
    encode(&mut target, path, b"-_.!~*'();/?:@&=+$,#");
    if !query.is_empty() {
        target.push('?');
        let mut escaped = String::new();
        encode(&mut escaped, query, b"-_.!~*'()");
        // The library encodes the whole once more: `%` becomes `%25`.
        encode(&mut target, &escaped, b"-_.!~*'();/?:@&=+$,#");
    }
    Some(target)
}

/// Percent-encodes all but letters, digits and these (ECMA-262 §19.2.6.5).
fn encode(into: &mut String, text: &str, plain: &[u8]) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            into.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(into, "%{byte:02X}");
        }
    }
}
