//! What a request presents as proof: missing, doubled, malformed and stale credentials are found here, before anything is computed.
//!
//! Where a scheme has its credential in the head, this happens before any byte of the body is buffered; where it is in the body, right after.
//! Signatures are decoded to their fixed length; a shorter or longer one never reaches a comparison.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::key::Mac64;
use super::list::Layout;
use super::place::{Head, Place, Unreadable, View};
use super::scheme::{Algorithm, Encoding, JsonType, PublicKeyAlgorithm, Scheme, Shape, TimestampRule, TimestampUnit};
use super::template::Missing;
use super::token::{Payload, Token};
use crate::clock::UnixSeconds;
use crate::payload::Kind;
use crate::reason::Reason;
use crate::rejection::Rejection;

/// More signatures than any provider sends while it rotates keys; what is past it is refused.
pub const SIGNATURES_MAX: usize = 64;

/// The same where each of them costs another look at the whole body: signatures with a public key, and lists with a timestamp of their own.
pub const COSTLY_SIGNATURES_MAX: usize = 8;

/// The longest signature with a public key, in bytes: RSA of 8,192 bits.
const SIGNATURE_BYTES_MAX: usize = 1_024;

/// What a request presents as proof. Only [`Verifier::read`](super::Verifier::read) makes it.
#[derive(Debug)]
pub struct Credential<'d> {
    pub(super) head: Head<'d>,
    /// Which of the verifier's schemes it is for.
    pub(super) scheme: usize,
    /// Absent: it stands in the body.
    pub(super) presented: Option<OneOrMore<Presented<'d>>>,
}

/// At least one; nearly always just one, which takes no allocation.
#[derive(Debug)]
pub(super) struct OneOrMore<T> {
    pub first: T,
    pub more: Vec<T>,
}

/// Signatures that go with one timestamp.
#[derive(Debug)]
pub(super) struct Presented<'d> {
    pub evidence: Evidence<'d>,
    pub timestamp: Option<Timestamp<'d>>,
    /// The list they stand in, where it is one.
    pub list: Option<Cow<'d, str>>,
}

/// The credential itself.
pub(super) enum Evidence<'d> {
    /// Decoded MACs or digests, each of the algorithm's length.
    Macs(OneOrMore<Mac64>),
    /// Decoded signatures.
    Signatures(OneOrMore<Vec<u8>>),
    /// Static secrets as they were sent: all of them must fit.
    Secrets(OneOrMore<Cow<'d, [u8]>>),
    /// A token.
    Token(Box<Token<'d>>),
}

/// How far from now a timestamp may lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tolerance {
    /// In the past, inclusive.
    pub past_millis: i64,
    /// In the future, inclusive.
    pub future_millis: i64,
    /// What is said of it.
    pub seconds: u32,
}

/// The timestamp as sent, and what it means.
#[derive(Debug, Clone)]
pub(super) struct Timestamp<'d> {
    /// The text that was signed.
    pub text: Cow<'d, str>,
    /// Milliseconds since the epoch.
    pub unix_millis: i64,
}

impl Credential<'_> {
    /// Whether it was not found yet: it stands in the body, or only code can tell.
    pub(super) const fn is_in_body(&self) -> bool {
        self.presented.is_none()
    }
}

impl std::fmt::Debug for Evidence<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Macs(_) => "Macs(***)",
            Self::Signatures(_) => "Signatures(***)",
            Self::Secrets(_) => "Secrets(***)",
            Self::Token(_) => "Token(***)",
        })
    }
}

impl<T> OneOrMore<T> {
    /// All of an iterator; `None` if it is empty.
    pub(super) fn collect(items: impl IntoIterator<Item = T>) -> Option<Self> {
        let mut items = items.into_iter();
        Some(Self { first: items.next()?, more: items.collect() })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.first).chain(&self.more)
    }

    pub(super) fn map<U>(self, turn: impl Fn(T) -> U) -> OneOrMore<U> {
        OneOrMore { first: turn(self.first), more: self.more.into_iter().map(turn).collect() }
    }
}

/// Reads what a request presents for this scheme; `now` judges the timestamp. The view has the body where the scheme looks into it.
///
/// # Errors
/// `credential_missing`, `credential_duplicated`, `credential_malformed`, `timestamp_missing`, `timestamp_malformed`,
/// `timestamp_stale`, `timestamp_future`, in this order.
pub(super) fn read<'d>(
    scheme: &'d Scheme,
    view: &View<'d>,
    now: UnixSeconds,
) -> Result<OneOrMore<Presented<'d>>, Rejection> {
    let presented = if scheme.credential.may_hold_several() {
        several(scheme, view)?
    } else {
        let text = present(scheme.credential.read(view), &scheme.credential)?;
        match text {
            Cow::Borrowed(text) => one(scheme, Cow::Borrowed(text))?,
            Cow::Owned(text) if matches!(scheme.shape, Shape::List(_)) => {
                one(scheme, Cow::Borrowed(&text))?.map(Presented::into_owned)
            }
            Cow::Owned(text) => one(scheme, Cow::Owned(text))?,
        }
    };
    let first = &presented.first;
    scheme.signed.require(&list_view(scheme, view, first.list.as_deref())).map_err(|missing| lacking(&missing))?;
    timed(scheme, view, presented, now)
}

/// Reads the timestamp of each group; groups that are out of time are left out, unless none is left.
fn timed<'d>(
    scheme: &'d Scheme,
    view: &View<'d>,
    presented: OneOrMore<Presented<'d>>,
    now: UnixSeconds,
) -> Result<OneOrMore<Presented<'d>>, Rejection> {
    let Some(rule) = scheme.timestamp.as_ref().filter(|_| !scheme.judges_time_last()) else { return Ok(presented) };
    let OneOrMore { mut first, more } = presented;
    if more.is_empty() {
        first.timestamp = Some(stamp(rule, scheme, view, &first, now)?);
        return Ok(OneOrMore { first, more });
    }
    let mut fault = None;
    let mut kept = Vec::with_capacity(more.len() + 1);
    for mut group in std::iter::once(first).chain(more) {
        match stamp(rule, scheme, view, &group, now) {
            Ok(timestamp) => {
                group.timestamp = Some(timestamp);
                kept.push(group);
            }
            Err(rejection) => drop(fault.get_or_insert(rejection)),
        }
    }
    OneOrMore::collect(kept).ok_or_else(|| fault.unwrap_or_else(|| Reason::TimestampMissing.into()))
}

fn stamp<'d>(
    rule: &TimestampRule,
    scheme: &'d Scheme,
    view: &View<'d>,
    group: &Presented<'d>,
    now: UnixSeconds,
) -> Result<Timestamp<'d>, Rejection> {
    match &group.list {
        Some(Cow::Borrowed(text)) => Timestamp::read(rule, &list_view(scheme, view, Some(*text)), now),
        Some(Cow::Owned(text)) => {
            Timestamp::read(rule, &list_view(scheme, view, Some(text)), now).map(Timestamp::into_owned)
        }
        None => Timestamp::read(rule, view, now),
    }
}

/// The view with the list that this text is.
pub(super) fn list_view<'v, 'd: 'v>(scheme: &'v Scheme, view: &View<'d>, text: Option<&'v str>) -> View<'v> {
    let list = match (&scheme.shape, text) {
        (Shape::List(layout), Some(text)) => Some(layout.list(text)),
        (Shape::List(_) | Shape::Whole { .. } | Shape::MaybePrefixed { .. }, _) => None,
    };
    let view: View<'v> = *view;
    view.with_list(list)
}

impl<'d> Timestamp<'d> {
    /// Reads and judges a timestamp.
    ///
    /// # Errors
    /// `timestamp_*`.
    pub(super) fn read(rule: &TimestampRule, view: &View<'d>, now: UnixSeconds) -> Result<Self, Rejection> {
        let expected = |reason| Rejection::new(reason).fact("expected", named(&rule.at));
        let text = match rule.at.read(view) {
            Ok(Some(text)) if !text.is_empty() => text,
            Ok(_) => return Err(expected(Reason::TimestampMissing)),
            Err(Unreadable::Duplicated | Unreadable::Malformed) => return Err(expected(Reason::TimestampMalformed)),
        };
        let is_of_type =
            rule.at.json_kind(view).is_none_or(|kind| (kind == Kind::Number) == (rule.json_type == JsonType::Number));
        if !is_of_type {
            return Err(Rejection::new(Reason::TimestampMalformed).fact("expected", unit_name(rule.unit)));
        }
        let unix_millis = time(&text, rule.unit, Tolerance::of_seconds(rule.tolerance_seconds), now)?;
        Ok(Self { text, unix_millis })
    }

    fn into_owned<'o>(self) -> Timestamp<'o> {
        Timestamp { text: Cow::Owned(self.text.into_owned()), unix_millis: self.unix_millis }
    }
}

impl Presented<'_> {
    fn into_owned<'o>(self) -> Presented<'o> {
        let evidence = match self.evidence {
            Evidence::Macs(macs) => Evidence::Macs(macs),
            Evidence::Signatures(signatures) => Evidence::Signatures(signatures),
            Evidence::Secrets(secrets) => Evidence::Secrets(secrets.map(|secret| Cow::Owned(secret.into_owned()))),
            Evidence::Token(token) => Evidence::Token(Box::new(token.into_owned())),
        };
        let list = self.list.map(|text| Cow::Owned(text.into_owned()));
        Presented { evidence, timestamp: self.timestamp.map(Timestamp::into_owned), list }
    }
}

impl Tolerance {
    /// As far in the past as in the future.
    pub(super) const fn of_seconds(seconds: u32) -> Self {
        // `From` is not const.
        let millis = seconds as i64 * 1000;
        Self { past_millis: millis, future_millis: millis, seconds }
    }

    /// The first second in which a timestamp is too old.
    pub(super) const fn stale_from(self, unix_millis: i64) -> UnixSeconds {
        unix_millis.saturating_add(self.past_millis).div_euclid(1_000).saturating_add(1)
    }
}

/// What a timestamp says, in milliseconds since the epoch.
///
/// # Errors
/// `timestamp_malformed`, `timestamp_stale`, `timestamp_future`.
pub(super) fn time(text: &str, unit: TimestampUnit, tolerance: Tolerance, now: UnixSeconds) -> Result<i64, Rejection> {
    let unix_millis = unix_millis(text, unit)
        .ok_or_else(|| Rejection::new(Reason::TimestampMalformed).fact("expected", unit_name(unit)))?;
    let age_millis = now.saturating_mul(1000).saturating_sub(unix_millis);
    if age_millis > tolerance.past_millis {
        return Err(skewed(Reason::TimestampStale, age_millis, tolerance.seconds));
    }
    if age_millis < -tolerance.future_millis {
        return Err(skewed(Reason::TimestampFuture, age_millis, tolerance.seconds));
    }
    Ok(unix_millis)
}

fn skewed(reason: Reason, age_millis: i64, tolerance_seconds: u32) -> Rejection {
    Rejection::new(reason)
        .fact("skew_seconds", age_millis / 1000)
        .fact("tolerance_seconds", i64::from(tolerance_seconds))
}

/// The text at the credential's place, which has to be there.
fn present<'d>(found: Result<Option<Cow<'d, str>>, Unreadable>, place: &Place) -> Result<Cow<'d, str>, Rejection> {
    let rejection = |reason| Rejection::new(reason).fact("expected", named(place));
    match found {
        Ok(Some(text)) if !text.is_empty() => Ok(text),
        Ok(Some(_)) => Err(rejection(Reason::CredentialMissing).fact("found", "it is there, but empty")),
        Ok(None) => Err(rejection(Reason::CredentialMissing)),
        Err(Unreadable::Duplicated) => Err(rejection(Reason::CredentialDuplicated)),
        Err(Unreadable::Malformed) => Err(rejection(Reason::CredentialMalformed)),
    }
}

/// A place in words.
fn named(place: &Place) -> String {
    match place {
        Place::Header(names) => {
            let names: Vec<_> = names.iter().map(http::HeaderName::as_str).collect();
            format!("header {}", names.join(" or "))
        }
        Place::HeaderPrefix(prefix) => format!("headers {prefix}*"),
        Place::Query(name) => format!("query parameter {name}"),
        Place::Bearer => "header authorization: Bearer …".to_owned(),
        Place::Basic => "header authorization: Basic …".to_owned(),
        Place::Json(pointer) => format!("{pointer} in the body"),
        Place::Form(name) => format!("form field {name}"),
        Place::Item(name) => format!("item {name}"),
        Place::Position(position) => format!("item {}", position + 1),
        Place::Claim(name) => format!("claim {name}"),
        Place::Member(_) => "a member of the body".to_owned(),
    }
}

fn lacking(missing: &Missing) -> Rejection {
    let reason = match missing.unreadable {
        None => Reason::CredentialMissing,
        Some(Unreadable::Duplicated) => Reason::CredentialDuplicated,
        Some(Unreadable::Malformed) => Reason::CredentialMalformed,
    };
    Rejection::new(reason).fact("expected", missing.what.clone())
}

/// Where several values stand, all of them are presented: any signature may fit, all static secrets must.
fn several<'d>(scheme: &Scheme, view: &View<'d>) -> Result<OneOrMore<Presented<'d>>, Rejection> {
    let texts =
        scheme.credential.read_all(view).map_err(|unreadable| present(Err(unreadable), &scheme.credential).err());
    let mut texts = texts.map_err(|rejection| rejection.unwrap_or_else(|| Reason::CredentialMalformed.into()))?;
    if scheme.algorithm == Algorithm::Token {
        // One secret has to fit all of them: what is said again and again (by each notification of a batch) is said once.
        texts.dedup();
    }
    if texts.is_empty() || texts.iter().any(|text| text.is_empty()) {
        return Err(Rejection::new(Reason::CredentialMissing).fact("expected", named(&scheme.credential)));
    }
    let most = signatures_max(scheme);
    if texts.len() > most {
        return Err(Rejection::new(Reason::CredentialMalformed).fact("signatures_max", most));
    }
    let evidence = match scheme.algorithm {
        Algorithm::Token => {
            let secrets = texts.into_iter().map(|text| secret(scheme, text)).collect::<Result<Vec<_>, _>>()?;
            OneOrMore::collect(secrets).map(Evidence::Secrets)
        }
        Algorithm::Hmac(_)
        | Algorithm::Digest(_)
        | Algorithm::PublicKey(_)
        | Algorithm::Jwt
        | Algorithm::JwsDetached
        | Algorithm::Basic => signatures(scheme, texts.iter().filter_map(|text| behind_prefix(&scheme.shape, text))),
    };
    let evidence = evidence.ok_or_else(|| malformed(scheme, 0))?;
    Ok(OneOrMore { first: Presented { evidence, timestamp: None, list: None }, more: Vec::new() })
}

/// What one text presents: one credential, or a list of them.
fn one<'d>(scheme: &Scheme, text: Cow<'d, str>) -> Result<OneOrMore<Presented<'d>>, Rejection> {
    let alone = |evidence| OneOrMore { first: Presented { evidence, timestamp: None, list: None }, more: Vec::new() };
    let found_bytes = text.len();
    match scheme.algorithm {
        Algorithm::Token => {
            let secret = secret(scheme, text)?;
            return Ok(alone(Evidence::Secrets(OneOrMore { first: secret, more: Vec::new() })));
        }
        Algorithm::Basic => {
            let decoded = STANDARD.decode(&*text).map_err(|_| {
                Rejection::new(Reason::CredentialMalformed).fact("expected", "header authorization: Basic with base64")
            })?;
            return Ok(alone(Evidence::Secrets(OneOrMore { first: Cow::Owned(decoded), more: Vec::new() })));
        }
        Algorithm::Jwt => {
            return Ok(alone(Evidence::Token(Box::new(Token::read(text, &scheme.token, Payload::Inside)?))));
        }
        Algorithm::JwsDetached => {
            return Ok(alone(Evidence::Token(Box::new(Token::read(text, &scheme.token, Payload::Detached)?))));
        }
        Algorithm::Hmac(_) | Algorithm::Digest(_) | Algorithm::PublicKey(_) => {}
    }
    let malformed = || malformed(scheme, found_bytes);
    match &scheme.shape {
        shape @ (Shape::Whole { .. } | Shape::MaybePrefixed { .. }) => {
            signatures(scheme, behind_prefix(shape, &text).into_iter()).map(alone).ok_or_else(malformed)
        }
        Shape::List(layout) => match text {
            Cow::Borrowed(text) => listed(scheme, layout, text),
            Cow::Owned(text) => Ok(listed(scheme, layout, &text)?.map(Presented::into_owned)),
        },
    }
}

/// The groups of a list that hold a signature.
fn listed<'d>(scheme: &Scheme, layout: &Layout, text: &'d str) -> Result<OneOrMore<Presented<'d>>, Rejection> {
    let most = signatures_max(scheme);
    let lists: Vec<&'d str> = layout.texts(text).take(COSTLY_SIGNATURES_MAX + 1).collect();
    if lists.len() > COSTLY_SIGNATURES_MAX {
        return Err(malformed(scheme, text.len()).fact("groups_max", COSTLY_SIGNATURES_MAX));
    }
    let count: usize = lists.iter().map(|text| layout.list(text).signatures().take(most + 1).count()).sum();
    if count > most {
        return Err(malformed(scheme, text.len()).fact("signatures_max", most));
    }
    let groups = lists.into_iter().filter_map(|text| {
        let evidence = signatures(scheme, layout.list(text).signatures())?;
        Some(Presented { evidence, timestamp: None, list: Some(Cow::Borrowed(text)) })
    });
    OneOrMore::collect(groups).ok_or_else(|| malformed(scheme, text.len()))
}

const fn signatures_max(scheme: &Scheme) -> usize {
    match scheme.algorithm {
        Algorithm::PublicKey(_) => COSTLY_SIGNATURES_MAX,
        Algorithm::Hmac(_)
        | Algorithm::Digest(_)
        | Algorithm::Jwt
        | Algorithm::JwsDetached
        | Algorithm::Token
        | Algorithm::Basic => SIGNATURES_MAX,
    }
}

/// The texts that spell a signature of the algorithm; others are skipped, as versions that are not known.
fn signatures<'t>(scheme: &Scheme, encoded: impl Iterator<Item = &'t str>) -> Option<Evidence<'static>> {
    match scheme.algorithm.mac_bytes() {
        Some(length) => {
            let macs = encoded.filter_map(|text| {
                let mut mac = [0; 64];
                decode_exactly(text, scheme.encoding, &mut mac[..length])?;
                Some(mac)
            });
            OneOrMore::collect(macs).map(Evidence::Macs)
        }
        None => OneOrMore::collect(encoded.filter_map(|text| decode_signature(text, scheme))).map(Evidence::Signatures),
    }
}

fn decode_signature(encoded: &str, scheme: &Scheme) -> Option<Vec<u8>> {
    decode(encoded, scheme.encoding).filter(|signature| has_form(scheme.algorithm, signature))
}

/// Whether bytes are as long as a signature of this algorithm; one in DER says itself how long it is (X.690 §8.1.3.4).
fn has_form(algorithm: Algorithm, signature: &[u8]) -> bool {
    let Algorithm::PublicKey(algorithm) = algorithm else { return false };
    let is_whole = match (algorithm, signature) {
        (PublicKeyAlgorithm::EcdsaP256, [0x30, length, rest @ ..]) => usize::from(*length) == rest.len(),
        (PublicKeyAlgorithm::EcdsaP256, _) => false,
        (_, _) => true,
    };
    is_whole && algorithm.signature_bytes().contains(&signature.len())
}

fn malformed(scheme: &Scheme, found_bytes: usize) -> Rejection {
    Rejection::new(Reason::CredentialMalformed).fact("expected", layout(scheme)).fact("found_bytes", found_bytes)
}

/// A signature that stands alone, without what stands before it; `None` where that has to be there and is not.
fn behind_prefix<'t>(shape: &Shape, text: &'t str) -> Option<&'t str> {
    match shape {
        Shape::Whole { prefix } => text.strip_prefix(&**prefix),
        Shape::MaybePrefixed { prefix } => Some(text.strip_prefix(&**prefix).unwrap_or(text)),
        // Where several signatures stand no scheme has lists of them.
        Shape::List(_) => None,
    }
}

/// A static secret as it was sent.
fn secret<'d>(scheme: &Scheme, text: Cow<'d, str>) -> Result<Cow<'d, [u8]>, Rejection> {
    let malformed = || Rejection::new(Reason::CredentialMalformed).fact("expected", layout(scheme));
    Ok(match text {
        Cow::Borrowed(text) => Cow::Borrowed(behind_prefix(&scheme.shape, text).ok_or_else(malformed)?.as_bytes()),
        Cow::Owned(text) => Cow::Owned(behind_prefix(&scheme.shape, &text).ok_or_else(malformed)?.as_bytes().to_vec()),
    })
}

/// The bytes that a text spells, if they are exactly as many and spelled the one canonical way.
pub(super) fn decode_exactly(encoded: &str, encoding: Encoding, bytes: &mut [u8]) -> Option<()> {
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
    Some(())
}

fn decode_base64(engine: &impl base64::Engine, encoded: &str, bytes: &mut [u8]) -> Option<()> {
    // The engine may want room for whole groups of three, so it decodes into a buffer that has it.
    let mut buffer = [0; 64 + 3];
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

/// The bytes of a signature with a public key, whose length is the algorithm's business.
fn decode(encoded: &str, encoding: Encoding) -> Option<Vec<u8>> {
    if encoded.is_empty() || encoded.len() > 2 * SIGNATURE_BYTES_MAX {
        return None;
    }
    match encoding {
        Encoding::Text => None,
        Encoding::Hex if encoded.bytes().any(|byte| byte.is_ascii_uppercase()) => None,
        Encoding::Hex => hex::decode(encoded).ok(),
        Encoding::Base64 => STANDARD.decode(encoded).ok(),
        Encoding::Base64Url => URL_SAFE_NO_PAD.decode(encoded).ok(),
    }
}

/// Milliseconds since the epoch.
fn unix_millis(text: &str, unit: TimestampUnit) -> Option<i64> {
    if unit == TimestampUnit::Iso8601 {
        return text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond);
    }
    let digits = !text.is_empty() && text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
    let count: i64 = if digits { text.parse().ok()? } else { return None };
    if unit == TimestampUnit::Seconds { count.checked_mul(1000) } else { Some(count) }
}

const fn unit_name(unit: TimestampUnit) -> &'static str {
    match unit {
        TimestampUnit::Seconds => "seconds since 1970 in digits",
        TimestampUnit::Milliseconds => "milliseconds since 1970 in digits",
        TimestampUnit::Iso8601 => "a date-time with an offset",
    }
}

/// How a good credential looks, for the operator.
fn layout(scheme: &Scheme) -> String {
    let length = scheme.algorithm.mac_bytes();
    let spelled = match (scheme.encoding, length) {
        (Encoding::Text, _) => "a token".to_owned(),
        (Encoding::Hex, Some(length)) => format!("{} digits of lower-case hex", 2 * length),
        (Encoding::Hex, None) => "a signature in lower-case hex".to_owned(),
        (Encoding::Base64, Some(length)) => format!("{length} bytes in base64"),
        (Encoding::Base64, None) => "a signature in base64".to_owned(),
        (Encoding::Base64Url, Some(length)) => format!("{length} bytes in base64url without padding"),
        (Encoding::Base64Url, None) => "a signature in base64url without padding".to_owned(),
    };
    match &scheme.shape {
        Shape::Whole { prefix } | Shape::MaybePrefixed { prefix } if prefix.is_empty() => spelled,
        Shape::Whole { prefix } => format!("`{prefix}` and {spelled}"),
        Shape::MaybePrefixed { prefix } => format!("`{prefix}` or nothing, and {spelled}"),
        Shape::List(layout) => format!("{layout} and {spelled}"),
    }
}
