//! Texts made of fixed pieces and values of a request: what is signed, what a side condition compares with, what a challenge is answered.
//!
//! A template is compiled when policies load and fed piece by piece into a MAC or a buffer, so that a body is never copied to be signed.
//!
//! **Invariant:** every value that a signed text names must be there and not be empty, and so must be what a filter takes out of it, or the
//! credential is refused: a missing delivery id signs nothing.
//!
//! **Invariant:** a text *holds* a value where no two such values make the same text. One of which a filter takes a part is named and not held: whoever
//! captured the text could change the rest.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderName;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};

use super::place::{Body, Place, Unreadable, View};

/// Fixed text and values, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template {
    parts: Vec<Part>,
}

/// One piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Fixed text.
    Text(Box<str>),
    /// A value, sent through these filters from left to right.
    Value(Value, Box<[Filter]>),
}

/// A value that a template may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// The body's bytes as received.
    Body,
    /// The timestamp's text as received.
    Timestamp,
    /// The policy's `public_url` with the request's query.
    Url,
    /// The request method in upper case.
    Method,
    /// The bytes of the key that is tried (plain digests sign no other way).
    Secret,
    /// The token of `[handshake] verify_token`.
    VerifyToken,
    /// All fields of a form body, sorted by name, each name followed by its value; the same pair counts once (Twilio).
    Form,
    /// What stands at a place.
    At(Place),
    /// A value of `[auth.parameters]`; it becomes fixed text when a policy is compiled.
    Parameter(Box<str>),
}

/// What becomes of a value before it stands in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// The 20 bytes of its SHA-1.
    Sha1,
    /// The 32 bytes of its SHA-256.
    Sha256,
    /// The 64 bytes of its SHA-512.
    Sha512,
    /// Its HMAC-SHA-1 under the source's first secret in force; in answers to challenges alone.
    HmacSha1,
    /// Its HMAC-SHA-256 under the source's first secret in force; in answers to challenges alone.
    HmacSha256,
    /// Base 16 in lower case.
    Hex,
    /// Base 64 with padding.
    Base64,
    /// Base 64 with the URL alphabet, without padding.
    Base64Url,
    /// A JSON string with its quotes.
    Json,
    /// The bytes that base 64 spells; white space is skipped.
    FromBase64,
    /// The text of the first XML element of this name (`xml:kind`).
    Xml(Box<str>),
}

impl Filter {
    /// Whether it takes something out of a value, which may not be there.
    #[must_use]
    pub const fn takes_a_part(&self) -> bool {
        matches!(self, Self::FromBase64 | Self::Xml(_))
    }

    /// Whether two values are two texts behind it, too.
    const fn tells_apart(&self) -> bool {
        match self {
            Self::Sha1
            | Self::Sha256
            | Self::Sha512
            | Self::HmacSha1
            | Self::HmacSha256
            | Self::Hex
            | Self::Base64
            | Self::Base64Url => true,
            // A JSON string has one sign for all bytes that are no text.
            Self::Json | Self::FromBase64 | Self::Xml(_) => false,
        }
    }
}

/// The words of the scheme language for filters.
pub const FILTERS: &[(&str, Filter)] = &[
    ("sha1", Filter::Sha1),
    ("sha256", Filter::Sha256),
    ("sha512", Filter::Sha512),
    ("hmac-sha1", Filter::HmacSha1),
    ("hmac-sha256", Filter::HmacSha256),
    ("hex", Filter::Hex),
    ("base64", Filter::Base64),
    ("base64url", Filter::Base64Url),
    ("json", Filter::Json),
    ("from-base64", Filter::FromBase64),
];

/// What a template is filled from.
#[derive(Clone, Copy)]
pub struct Filling<'f> {
    /// The request.
    pub view: View<'f>,
    /// The timestamp's text.
    pub timestamp: Option<&'f str>,
    /// The key that is tried.
    pub secret: Option<&'f [u8]>,
    /// The policy's verification token.
    pub verify_token: Option<&'f [u8]>,
    /// Makes MACs for [`Filter::HmacSha1`] and [`Filter::HmacSha256`].
    pub signer: Option<&'f dyn Signer>,
}

/// Makes a MAC under a source's first secret that is in force, for answers to challenges.
pub trait Signer {
    /// The MAC of `message`; `filter` is one of the two HMACs.
    fn mac(&self, filter: &Filter, message: &[u8]) -> Option<Vec<u8>>;
}

/// A value that a template names and the request has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The value, as the scheme language writes it.
    pub what: String,
    /// Whether something is there that cannot be read.
    pub unreadable: Option<Unreadable>,
}

impl<'f> Filling<'f> {
    /// A filling with nothing but a request.
    #[must_use]
    pub const fn of(view: View<'f>) -> Self {
        Self { view, timestamp: None, secret: None, verify_token: None, signer: None }
    }
}

impl Template {
    /// A template of these parts.
    #[must_use]
    pub const fn new(parts: Vec<Part>) -> Self {
        Self { parts }
    }

    /// What stands at a place, and nothing else.
    #[must_use]
    pub fn of_place(place: Place) -> Self {
        Self { parts: vec![Part::Value(Value::At(place), Box::default())] }
    }

    /// The place, if the template is what stands there and nothing else.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self.parts.as_slice() {
            [Part::Value(Value::At(place), filters)] if filters.is_empty() => Some(place),
            _other => None,
        }
    }

    /// Its parts, in order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The values it names, filtered or not.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        self.parts.iter().filter_map(|part| match part {
            Part::Value(value, _) => Some(value),
            Part::Text(_) => None,
        })
    }

    /// Whether it names this value, filtered or not.
    #[must_use]
    pub fn names(&self, value: &Value) -> bool {
        self.values().any(|named| named == value)
    }

    /// The values it holds: as they are, as hashes, or spelled in another way.
    fn held(&self) -> impl Iterator<Item = &Value> {
        self.parts.iter().filter_map(|part| match part {
            Part::Value(value, filters) if filters.iter().all(Filter::tells_apart) => Some(value),
            Part::Value(..) | Part::Text(_) => None,
        })
    }

    /// Whether it holds this value.
    #[must_use]
    pub fn holds(&self, value: &Value) -> bool {
        self.held().any(|held| held == value)
    }

    /// The places whose values it holds.
    pub fn held_places(&self) -> impl Iterator<Item = &Place> {
        self.held().filter_map(Value::place)
    }

    /// Whether it changes a value by this filter.
    #[must_use]
    pub fn filters(&self, filter: &Filter) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Value(_, filters) if filters.contains(filter)))
    }

    /// The places it names, filtered or not.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.values().filter_map(Value::place)
    }

    /// The header fields it names.
    pub fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.places().flat_map(Place::headers)
    }

    /// The same with every parameter replaced by its value.
    ///
    /// # Errors
    /// The name of the first parameter that has none.
    pub fn resolve<'p>(&self, parameter: &dyn Fn(&str) -> Option<&'p str>) -> Result<Self, Box<str>> {
        let resolve = |part: &Part| match part {
            Part::Value(Value::Parameter(name), filters) if filters.is_empty() => {
                parameter(name).map(|value| Part::Text(value.into())).ok_or_else(|| name.clone())
            }
            Part::Text(_) | Part::Value(..) => Ok(part.clone()),
        };
        Ok(Self { parts: self.parts.iter().map(resolve).collect::<Result<_, _>>()? })
    }

    /// Whether every value is there and not empty, as far as the view reaches: values of the body are not looked for before it is there.
    ///
    /// # Errors
    /// The first that is not.
    pub fn require(&self, view: &View<'_>) -> Result<(), Missing> {
        for part in &self.parts {
            let Part::Value(value, filters) = part else { continue };
            if view.body.is_none() && value.is_of_body() {
                continue;
            }
            value.require(view)?;
            if filters.iter().any(Filter::takes_a_part) && filtered(value, filters, &Filling::of(*view)).is_none() {
                return Err(Missing { what: part.to_string(), unreadable: None });
            }
        }
        Ok(())
    }

    /// The same for values of the body alone; free where none is named.
    ///
    /// # Errors
    /// The first that is not there.
    pub fn require_in_body(&self, view: &View<'_>) -> Result<(), Missing> {
        if self.looks_inside() { self.require(view) } else { Ok(()) }
    }

    /// Whether it looks something up in the body; all of its bytes are no such thing.
    #[must_use]
    pub fn looks_inside(&self) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Value(Value::Body, filters) => filters.iter().any(Filter::takes_a_part),
            Part::Value(value, _) => value.is_of_body(),
            Part::Text(_) => false,
        })
    }

    /// Feeds the whole text to `sink`, piece by piece.
    pub fn feed(&self, filling: &Filling<'_>, sink: &mut dyn FnMut(&[u8])) {
        for part in &self.parts {
            match part {
                Part::Text(text) => sink(text.as_bytes()),
                Part::Value(value, filters) if filters.is_empty() => value.feed(filling, sink),
                Part::Value(value, filters) => sink(&filtered(value, filters, filling).unwrap_or_default()),
            }
        }
    }

    /// The whole text.
    #[must_use]
    pub fn fill(&self, filling: &Filling<'_>) -> Vec<u8> {
        let mut text = Vec::new();
        self.feed(filling, &mut |piece| text.extend_from_slice(piece));
        text
    }
}

impl Value {
    const fn place(&self) -> Option<&Place> {
        match self {
            Self::At(place) => Some(place),
            Self::Body
            | Self::Timestamp
            | Self::Url
            | Self::Method
            | Self::Secret
            | Self::VerifyToken
            | Self::Form
            | Self::Parameter(_) => None,
        }
    }

    /// Whether it is the body, or in it.
    const fn is_of_body(&self) -> bool {
        match self {
            Self::Body | Self::Form => true,
            Self::At(place) => place.is_in_body(),
            Self::Timestamp | Self::Url | Self::Method | Self::Secret | Self::VerifyToken | Self::Parameter(_) => false,
        }
    }

    /// Whether it is in the request and not empty; a body may be empty.
    fn require(&self, view: &View<'_>) -> Result<(), Missing> {
        let missing = |unreadable| Missing { what: self.to_string(), unreadable };
        match self {
            Self::Form if view.body.and_then(Body::form).is_none() => Err(missing(None)),
            Self::At(place) => match place.read(view) {
                Ok(Some(text)) if !text.is_empty() => Ok(()),
                Ok(_) => Err(missing(None)),
                Err(unreadable) => Err(missing(Some(unreadable))),
            },
            Self::Form
            | Self::Body
            | Self::Timestamp
            | Self::Url
            | Self::Method
            | Self::Secret
            | Self::VerifyToken
            | Self::Parameter(_) => Ok(()),
        }
    }

    fn feed(&self, filling: &Filling<'_>, sink: &mut dyn FnMut(&[u8])) {
        let Filling { view, .. } = filling;
        match self {
            Self::Body => sink(view.body.map_or(b"", |body| body.bytes())),
            Self::Timestamp => sink(filling.timestamp.unwrap_or_default().as_bytes()),
            Self::Method => sink(view.head.method.as_str().as_bytes()),
            Self::Secret => sink(filling.secret.unwrap_or_default()),
            Self::VerifyToken => sink(filling.verify_token.unwrap_or_default()),
            Self::Url => {
                sink(view.head.public_url.unwrap_or_default().as_bytes());
                if let Some(query) = view.head.uri.query() {
                    sink(b"?");
                    sink(query.as_bytes());
                }
            }
            Self::Form => {
                for (name, value) in view.body.and_then(Body::form).map(|form| form.sorted()).unwrap_or_default() {
                    sink(name.as_bytes());
                    sink(value.as_bytes());
                }
            }
            Self::At(place) => sink(place.read(view).ok().flatten().unwrap_or_default().as_bytes()),
            // A compiled scheme has none left.
            Self::Parameter(_) => {}
        }
    }
}

/// The value behind its filters; `None` where one of them takes out a part that is not there, or is empty.
fn filtered(value: &Value, filters: &[Filter], filling: &Filling<'_>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    value.feed(filling, &mut |piece| bytes.extend_from_slice(piece));
    filters.iter().try_fold(bytes, |bytes, filter| {
        let filtered = filter.apply(bytes, filling)?;
        (!filter.takes_a_part() || !filtered.is_empty()).then_some(filtered)
    })
}

impl Filter {
    fn apply(&self, bytes: Vec<u8>, filling: &Filling<'_>) -> Option<Vec<u8>> {
        Some(match self {
            Self::Sha1 => Sha1::digest(&bytes).to_vec(),
            Self::Sha256 => Sha256::digest(&bytes).to_vec(),
            Self::Sha512 => Sha512::digest(&bytes).to_vec(),
            Self::HmacSha1 | Self::HmacSha256 => {
                filling.signer.and_then(|signer| signer.mac(self, &bytes)).unwrap_or_default()
            }
            Self::FromBase64 => {
                let spelled: Vec<u8> = bytes.into_iter().filter(|byte| !byte.is_ascii_whitespace()).collect();
                STANDARD.decode(spelled).ok()?
            }
            Self::Xml(name) => element(&bytes, name)?.to_vec(),
            Self::Hex => hex::encode(&bytes).into_bytes(),
            Self::Base64 => STANDARD.encode(&bytes).into_bytes(),
            Self::Base64Url => URL_SAFE_NO_PAD.encode(&bytes).into_bytes(),
            Self::Json => json_string(&String::from_utf8_lossy(&bytes)).into_bytes(),
        })
    }
}

/// What stands between the first `<name>` and the `</name>` after it.
fn element<'x>(xml: &'x [u8], name: &str) -> Option<&'x [u8]> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let start = memchr::memmem::find(xml, open.as_bytes())? + open.len();
    let length = memchr::memmem::find(&xml[start..], close.as_bytes())?;
    Some(&xml[start..start + length])
}

/// A JSON string literal (RFC 8259 §7) that is also safe inside of HTML.
fn json_string(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    for character in text.chars() {
        match character {
            '"' => literal.push_str("\\\""),
            '\\' => literal.push_str("\\\\"),
            '<' | '>' | '&' | '\u{7f}'..='\u{9f}' | '\0'..='\u{1f}' => {
                // Writing into a string cannot fail.
                let _ = write!(literal, "\\u{:04x}", u32::from(character));
            }
            other => literal.push(other),
        }
    }
    literal.push('"');
    literal
}

/// The template as the scheme language writes it.
impl std::fmt::Display for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.parts.iter().try_for_each(|part| part.fmt(f))
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(&text.replace('{', "{{").replace('\n', "\\n")),
            Self::Value(value, filters) => {
                write!(f, "{{{value}")?;
                for filter in filters {
                    if let Filter::Xml(name) = filter {
                        write!(f, "|xml:{name}")?;
                    } else {
                        write!(f, "|{}", word(filter))?;
                    }
                }
                f.write_str("}")
            }
        }
    }
}

fn word(filter: &Filter) -> &'static str {
    FILTERS.iter().find(|(_, known)| known == filter).map_or("", |(word, _)| word)
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Body => f.write_str("body"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Url => f.write_str("url"),
            Self::Method => f.write_str("method"),
            Self::Secret => f.write_str("secret"),
            Self::VerifyToken => f.write_str("verify_token"),
            Self::Form => f.write_str("form"),
            Self::At(place) => place.fmt(f),
            Self::Parameter(name) => write!(f, "parameter:{name}"),
        }
    }
}
