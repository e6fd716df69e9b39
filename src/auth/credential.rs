//! What a request's head holds of credential and timestamp, read before any byte of the body is buffered.
//!
//! Everything that can be wrong without knowing the body or a secret is found here: missing, doubled, malformed, stale. Signatures are decoded
//! to their fixed length; a shorter or longer one never reaches a comparison.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderName;
use http::header::AUTHORIZATION;

use super::scheme::{
    Algorithm, Encoding, Head, Location, Part, Scheme, Shape, TimestampLocation, TimestampRule, TimestampUnit, Value,
};
use crate::clock::UnixSeconds;
use crate::header::{self, Duplicated};
use crate::reason::Reason;
use crate::rejection::Rejection;

/// More signatures in one header than any provider sends while it rotates keys; what is past it is refused.
pub const SIGNATURES_MAX: usize = 64;

/// The longest signature of the algorithms offered, in bytes.
const SIGNATURE_BYTES_MAX: usize = 64;

/// What a request's head presents as proof. Only [`Verifier::read`](super::Verifier::read) makes it.
#[derive(Debug)]
pub struct Credential<'d> {
    pub(super) head: Head<'d>,
    pub(super) evidence: Evidence<'d>,
    pub(super) timestamp: Option<Timestamp<'d>>,
}

/// The credential itself.
pub(super) enum Evidence<'d> {
    /// Decoded signatures, each of the algorithm's length; nearly always one.
    Signatures { first: Signature, more: Vec<Signature> },
    /// A static secret as it was sent.
    Token(Cow<'d, [u8]>),
}

/// One decoded signature; bytes past the algorithm's length are zero.
pub(super) type Signature = [u8; SIGNATURE_BYTES_MAX];

/// The timestamp as sent, and what it means.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timestamp<'d> {
    /// The text that was signed.
    pub text: &'d str,
    /// Milliseconds since the epoch.
    pub unix_millis: i64,
}

impl std::fmt::Debug for Evidence<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Signatures { .. } => "Signatures(***)",
            Self::Token(_) => "Token(***)",
        })
    }
}

impl<'d> Credential<'d> {
    /// Reads what the head presents for this scheme; `now` judges the timestamp.
    ///
    /// # Errors
    /// `credential_missing`, `credential_duplicated`, `credential_malformed`, `timestamp_missing`, `timestamp_malformed`,
    /// `timestamp_stale`, `timestamp_future`, in this order.
    pub(super) fn read(scheme: &Scheme, head: Head<'d>, now: UnixSeconds) -> Result<Self, Rejection> {
        let text = locate(&scheme.credential, &head)?;
        let evidence = match scheme.algorithm.signature_bytes() {
            Some(length) => signatures(scheme, &text, length)?,
            None => Evidence::Token(token(scheme, text)?),
        };
        require_signed_values(scheme, &head)?;
        let timestamp = match &scheme.timestamp {
            Some(rule) => Some(Timestamp::read(rule, scheme, &head, now)?),
            None => None,
        };
        Ok(Self { head, evidence, timestamp })
    }
}

impl<'d> Timestamp<'d> {
    fn read(rule: &TimestampRule, scheme: &Scheme, head: &Head<'d>, now: UnixSeconds) -> Result<Self, Rejection> {
        let text = match &rule.at {
            TimestampLocation::Header(name) => field(head, name, Reason::TimestampMissing, Reason::TimestampMalformed)?,
            TimestampLocation::Item(name) => only_item(scheme, head, name)?,
        };
        let unix_millis = unix_millis(text, rule.unit).ok_or_else(|| {
            Rejection::new(Reason::TimestampMalformed)
                .fact("expected", format!("{} since 1970 in digits", unit_name(rule.unit)))
        })?;
        let age_millis = now.saturating_mul(1000).saturating_sub(unix_millis);
        let tolerance_millis = i64::from(rule.tolerance_seconds) * 1000;
        if age_millis > tolerance_millis {
            return Err(skewed(Reason::TimestampStale, age_millis, rule.tolerance_seconds));
        }
        if age_millis < -tolerance_millis {
            return Err(skewed(Reason::TimestampFuture, age_millis, rule.tolerance_seconds));
        }
        Ok(Self { text, unix_millis })
    }
}

fn skewed(reason: Reason, age_millis: i64, tolerance_seconds: u32) -> Rejection {
    Rejection::new(reason)
        .fact("skew_seconds", age_millis / 1000)
        .fact("tolerance_seconds", i64::from(tolerance_seconds))
}

/// The credential's text at its place.
fn locate<'d>(location: &Location, head: &Head<'d>) -> Result<Cow<'d, str>, Rejection> {
    match location {
        Location::Header(name) => {
            field(head, name, Reason::CredentialMissing, Reason::CredentialDuplicated).map(Cow::Borrowed)
        }
        Location::Bearer => authorization(head, "Bearer").map(Cow::Borrowed),
        Location::Basic => authorization(head, "Basic").map(Cow::Borrowed),
        Location::Query(name) => match query_parameter(head, name) {
            Ok(Some(text)) if !text.is_empty() => Ok(text),
            Ok(_) => Err(missing(Reason::CredentialMissing, format!("query parameter {name}"))),
            Err(Duplicated) => Err(missing(Reason::CredentialDuplicated, format!("one query parameter {name}"))),
        },
    }
}

fn missing(reason: Reason, expected: String) -> Rejection {
    Rejection::new(reason).fact("expected", expected)
}

/// The only field of this name, as text that is not empty.
fn field<'d>(head: &Head<'d>, name: &HeaderName, absent: Reason, doubled: Reason) -> Result<&'d str, Rejection> {
    let value = header::single(head.headers, name)
        .map_err(|Duplicated| missing(doubled, format!("one header {name}")))?
        .ok_or_else(|| missing(absent, format!("header {name}")))?;
    match header::text(value) {
        Some("") => Err(missing(absent, format!("header {name}")).fact("found", "the header, but empty")),
        Some(text) => Ok(text),
        None => Err(missing(Reason::CredentialMalformed, format!("header {name} in UTF-8"))),
    }
}

/// What follows the scheme word of the Authorization field (RFC 9110 §11.4; the word's case does not matter).
fn authorization<'d>(head: &Head<'d>, word: &'static str) -> Result<&'d str, Rejection> {
    let text = field(head, &AUTHORIZATION, Reason::CredentialMissing, Reason::CredentialDuplicated)?;
    let malformed = || missing(Reason::CredentialMalformed, format!("header authorization: {word} …"));
    let (found, rest) = text.split_once(' ').ok_or_else(malformed)?;
    if !found.eq_ignore_ascii_case(word) {
        return Err(malformed());
    }
    let credential = rest.trim_start_matches(' ');
    if credential.is_empty() { Err(malformed()) } else { Ok(credential) }
}

/// The only query parameter of this name, percent-decoded.
pub(super) fn query_parameter<'d>(head: &Head<'d>, name: &str) -> Result<Option<Cow<'d, str>>, Duplicated> {
    let query = head.uri.query().unwrap_or_default();
    let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name).map(|(_, value)| value);
    let first = values.next();
    if values.next().is_some() { Err(Duplicated) } else { Ok(first) }
}

/// Every signature of the wanted name that decodes to the algorithm's length.
fn signatures(scheme: &Scheme, text: &str, length: usize) -> Result<Evidence<'static>, Rejection> {
    let malformed = || {
        Rejection::new(Reason::CredentialMalformed)
            .fact("expected", layout(&scheme.shape, scheme.encoding, length))
            .fact("found_bytes", text.len())
    };
    match &scheme.shape {
        Shape::Whole { prefix } => {
            let encoded = text.strip_prefix(&**prefix).ok_or_else(malformed)?;
            let first = decode(encoded, scheme.encoding, length).ok_or_else(malformed)?;
            Ok(Evidence::Signatures { first, more: Vec::new() })
        }
        Shape::List { separator, pair, item } => {
            let wanted = items(text, *separator, *pair).filter(|(name, _)| *name == &**item);
            let (mut first, mut more) = (None, Vec::new());
            for (position, (_, encoded)) in wanted.enumerate() {
                if position == SIGNATURES_MAX {
                    return Err(malformed().fact("signatures_max", SIGNATURES_MAX));
                }
                match (decode(encoded, scheme.encoding, length), &first) {
                    (Some(signature), None) => first = Some(signature),
                    (Some(signature), Some(_)) => more.push(signature),
                    (None, _) => {}
                }
            }
            first.map(|first| Evidence::Signatures { first, more }).ok_or_else(malformed)
        }
    }
}

/// The named items of a list; items without a name are skipped, as unknown ones are.
fn items(text: &str, separator: char, pair: char) -> impl Iterator<Item = (&str, &str)> {
    text.split(separator).filter_map(move |item| item.trim_matches(' ').split_once(pair))
}

/// The only item of this name in the credential's list.
fn only_item<'d>(scheme: &Scheme, head: &Head<'d>, name: &str) -> Result<&'d str, Rejection> {
    let Shape::List { separator, pair, .. } = &scheme.shape else {
        return Err(Rejection::new(Reason::TimestampMissing));
    };
    let Cow::Borrowed(text) = locate(&scheme.credential, head)? else {
        return Err(Rejection::new(Reason::TimestampMissing));
    };
    let mut values = items(text, *separator, *pair).filter(|(found, _)| *found == name).map(|(_, value)| value);
    let first = values.next().ok_or_else(|| missing(Reason::TimestampMissing, format!("item {name}")))?;
    if values.next().is_some() {
        return Err(missing(Reason::TimestampMalformed, format!("one item {name}")));
    }
    Ok(first)
}

/// The bytes that `encoded` spells, if they are exactly `length` many and spelled the one canonical way.
fn decode(encoded: &str, encoding: Encoding, length: usize) -> Option<Signature> {
    let mut signature = [0; SIGNATURE_BYTES_MAX];
    let bytes = &mut signature[..length];
    match encoding {
        Encoding::Text => return None,
        Encoding::Hex => {
            if encoded.bytes().any(|byte| byte.is_ascii_uppercase()) {
                return None;
            }
            hex::decode_to_slice(encoded, bytes).ok()?;
        }
        Encoding::Base64 => decode_base64(&STANDARD, encoded, bytes)?,
        Encoding::Base64Url => decode_base64(&URL_SAFE_NO_PAD, encoded, bytes)?,
    }
    Some(signature)
}

fn decode_base64(engine: &impl base64::Engine, encoded: &str, bytes: &mut [u8]) -> Option<()> {
    // The engine may want room for whole groups of three, so it decodes into a buffer that has it.
    let mut buffer = [0; SIGNATURE_BYTES_MAX + 3];
    if encoded.len() > 4 * buffer.len() / 3 {
        return None;
    }
    let written = engine.decode_slice(encoded, &mut buffer).ok()?;
    if written != bytes.len() {
        return None;
    }
    bytes.copy_from_slice(&buffer[..written]);
    Some(())
}

/// A static secret as it was sent; for Basic, `user:password` decoded.
fn token<'d>(scheme: &Scheme, text: Cow<'d, str>) -> Result<Cow<'d, [u8]>, Rejection> {
    if scheme.algorithm == Algorithm::Basic {
        let decoded = STANDARD
            .decode(&*text)
            .map_err(|_| missing(Reason::CredentialMalformed, "header authorization: Basic with base64".to_owned()))?;
        return Ok(Cow::Owned(decoded));
    }
    let Shape::Whole { prefix } = &scheme.shape else {
        return Err(Rejection::new(Reason::CredentialMalformed));
    };
    let malformed = || missing(Reason::CredentialMalformed, format!("a token behind `{prefix}`"));
    Ok(match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.strip_prefix(&**prefix).ok_or_else(malformed)?.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.strip_prefix(&**prefix).ok_or_else(malformed)?.as_bytes().to_vec()),
    })
}

/// Every header and query value that the signed text names must be there and not empty: a missing delivery id signs nothing.
fn require_signed_values(scheme: &Scheme, head: &Head<'_>) -> Result<(), Rejection> {
    for part in scheme.signed.parts() {
        match part {
            Part::Value(Value::Header(name)) => {
                field(head, name, Reason::CredentialMissing, Reason::CredentialDuplicated)?;
            }
            Part::Value(Value::Query(name)) => {
                if !matches!(query_parameter(head, name), Ok(Some(text)) if !text.is_empty()) {
                    return Err(missing(Reason::CredentialMissing, format!("query parameter {name}")));
                }
            }
            Part::Text(_) | Part::Value(Value::Body | Value::Timestamp | Value::Url | Value::Method) => {}
        }
    }
    Ok(())
}

fn unix_millis(text: &str, unit: TimestampUnit) -> Option<i64> {
    let digits = !text.is_empty() && text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
    let count: i64 = if digits { text.parse().ok()? } else { return None };
    match unit {
        TimestampUnit::Seconds => count.checked_mul(1000),
        TimestampUnit::Milliseconds => Some(count),
    }
}

const fn unit_name(unit: TimestampUnit) -> &'static str {
    match unit {
        TimestampUnit::Seconds => "seconds",
        TimestampUnit::Milliseconds => "milliseconds",
    }
}

/// How a good credential looks, for the operator.
fn layout(shape: &Shape, encoding: Encoding, length: usize) -> String {
    let spelled = match encoding {
        Encoding::Text => format!("{length} bytes"),
        Encoding::Hex => format!("{} digits of lower-case hex", 2 * length),
        Encoding::Base64 => format!("{length} bytes in base64"),
        Encoding::Base64Url => format!("{length} bytes in base64url without padding"),
    };
    match shape {
        Shape::Whole { prefix } if prefix.is_empty() => spelled,
        Shape::Whole { prefix } => format!("`{prefix}` and {spelled}"),
        Shape::List { separator, pair, item } => {
            format!("a list separated by `{separator}` with `{item}{pair}` and {spelled}")
        }
    }
}
