//! How a provider signs: the words of the scheme language, compiled.
//!
//! A [`Scheme`] is pure data. Built-in presets (`auth/providers/*.toml`) and a user's `[auth.scheme]` say it in the same TOML words,
//! read by `policy::scheme`; [`Credential`](super::credential::Credential) reads a request by it and
//! [`Verifier`](super::verify::Verifier) decides by it. Nothing here knows a provider by name.
//!
//! **Invariant:** a scheme names exactly one algorithm and one place for the credential; no request can choose another.

use http::{HeaderMap, HeaderName, Method, Uri};

use crate::payload::Pointer;

/// One way to prove who sent a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheme {
    /// What is computed or compared.
    pub algorithm: Algorithm,
    /// Where the request carries the credential.
    pub credential: Location,
    /// How the credential's text is laid out.
    pub shape: Shape,
    /// How the signature's bytes are spelled; [`Encoding::Text`] for tokens.
    pub encoding: Encoding,
    /// How the configured secret becomes key bytes.
    pub secret: SecretForm,
    /// Exactly what is signed; empty for static credentials.
    pub signed: Template,
    /// The signed timestamp, where the scheme has one.
    pub timestamp: Option<TimestampRule>,
}

/// What is computed over the signed text, or compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC with SHA-1 (RFC 2104). Still sound as a MAC; providers of long standing use it.
    HmacSha1,
    /// HMAC with SHA-256 (RFC 2104).
    HmacSha256,
    /// HMAC with SHA-512 (RFC 2104).
    HmacSha512,
    /// A static secret sent along; the body is not covered.
    Token,
    /// HTTP Basic (RFC 7617): a secret `user:password`; the body is not covered.
    Basic,
}

/// Where in the request's head something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// The only field of this name.
    Header(HeaderName),
    /// The only query parameter of this name, percent-decoded.
    Query(Box<str>),
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer,
    /// `Authorization: Basic …` (RFC 7617).
    Basic,
}

/// How the text at the credential's place is laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// The signature alone, behind a fixed prefix (often empty).
    Whole {
        /// Must be there, to the letter.
        prefix: Box<str>,
    },
    /// Items such as `t=1782907200,v1=…,v1=…`: any item of the wanted name may match, unknown ones are skipped.
    List {
        /// Between items, such as `,` or a space.
        separator: char,
        /// Between an item's name and its value, such as `=`.
        pair: char,
        /// The name of the items that are signatures.
        item: Box<str>,
    },
}

/// How bytes are spelled in the credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As they are.
    Text,
    /// Base 16 in lower case.
    Hex,
    /// Base 64 with padding, canonical (RFC 4648 §4).
    Base64,
    /// Base 64 with the URL alphabet, without padding, canonical (RFC 4648 §5).
    Base64Url,
}

/// How the configured secret becomes key bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretForm {
    /// How the key is spelled in the secret.
    pub encoding: SecretEncoding,
    /// Cut off first if the secret begins with it, such as `whsec_`.
    pub prefix: Box<str>,
}

/// How a key is spelled in the secret that the provider shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretEncoding {
    /// The UTF-8 text is the key.
    Text,
    /// Base 16, either case.
    Hex,
    /// Base 64 (RFC 4648 §4), with or without padding.
    Base64,
}

/// The signed text: fixed text and values of the request, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template {
    parts: Vec<Part>,
}

/// One piece of the signed text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Fixed text.
    Text(Box<str>),
    /// A value of the request.
    Value(Value),
}

/// A value of the request that a template may name. Each must be present and not empty, or the credential is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// The body's bytes as received.
    Body,
    /// The timestamp's text as received.
    Timestamp,
    /// The text of the only field of this name.
    Header(HeaderName),
    /// The only query parameter of this name, percent-decoded.
    Query(Box<str>),
    /// The policy's `public_url` with the request's query.
    Url,
    /// The request method in upper case.
    Method,
}

/// Where the signed timestamp is and how old it may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimestampRule {
    /// Where it stands.
    pub at: TimestampLocation,
    /// What it counts.
    pub unit: TimestampUnit,
    /// How far it may lie from now, in the past and in the future, in seconds, inclusive.
    pub tolerance_seconds: u32,
}

/// Where the timestamp stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimestampLocation {
    /// The only field of this name.
    Header(HeaderName),
    /// The only item of this name in the credential's list.
    Item(Box<str>),
}

/// What a timestamp counts since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampUnit {
    /// Whole seconds.
    Seconds,
    /// Whole milliseconds.
    Milliseconds,
}

/// What the gateway learns of a delivery besides its proof: where event name and delivery id are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FactLocation {
    /// A header field. Covered by the signature only if the scheme's template names it.
    Header(HeaderName),
    /// A JSON Pointer (RFC 6901) into the body.
    Pointer(Pointer),
    /// A field of a form body.
    Form(Box<str>),
    /// The name of the first of these members that the body's object has (Telegram says its update's kind so).
    Member(Box<[Box<str>]>),
}

/// The part of a request that authentication may look at before the body is read.
#[derive(Debug, Clone, Copy)]
pub struct Head<'d> {
    /// The request method.
    pub method: &'d Method,
    /// The request target.
    pub uri: &'d Uri,
    /// All header fields.
    pub headers: &'d HeaderMap,
    /// The policy's `public_url`, as the sender knows this endpoint, without query.
    pub public_url: Option<&'d str>,
}

impl Algorithm {
    /// How many bytes its signature has; `None` for static credentials.
    #[must_use]
    pub const fn signature_bytes(self) -> Option<usize> {
        match self {
            Self::HmacSha1 => Some(20),
            Self::HmacSha256 => Some(32),
            Self::HmacSha512 => Some(64),
            Self::Token | Self::Basic => None,
        }
    }

    /// The word of the scheme language.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HmacSha1 => "hmac-sha1",
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha512 => "hmac-sha512",
            Self::Token => "token",
            Self::Basic => "basic",
        }
    }
}

impl Template {
    /// A template of these parts.
    #[must_use]
    pub fn new(parts: Vec<Part>) -> Self {
        Self { parts }
    }

    /// Its parts, in order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether it names this value.
    #[must_use]
    pub fn names(&self, value: &Value) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Value(named) if named == value))
    }

    /// The header fields it names.
    pub fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.parts.iter().filter_map(|part| match part {
            Part::Value(Value::Header(name)) => Some(name),
            Part::Text(_)
            | Part::Value(Value::Body | Value::Timestamp | Value::Query(_) | Value::Url | Value::Method) => None,
        })
    }
}

impl Scheme {
    /// Every header field it reads: each must stand alone in a request.
    pub fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        let credential = match &self.credential {
            Location::Header(name) => Some(name),
            Location::Bearer | Location::Basic => Some(&http::header::AUTHORIZATION),
            Location::Query(_) => None,
        };
        let timestamp = self.timestamp.as_ref().and_then(|rule| match &rule.at {
            TimestampLocation::Header(name) => Some(name),
            TimestampLocation::Item(_) => None,
        });
        credential.into_iter().chain(timestamp).chain(self.signed.headers())
    }

    /// Whether what it proves covers the body.
    #[must_use]
    pub fn covers_body(&self) -> bool {
        self.signed.names(&Value::Body)
    }

    /// Whether the credential is itself a secret, which must not be passed on to the upstream.
    #[must_use]
    pub const fn is_static(&self) -> bool {
        matches!(self.algorithm, Algorithm::Token | Algorithm::Basic)
    }
}
