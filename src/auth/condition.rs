//! Conditions: which requests a scheme is for, which are handshakes; and what must hold of a value.

use http::Method;
use subtle::ConstantTimeEq as _;

use super::place::{Place, View};
use super::scheme::{Must, Presence, Requirement};
use super::template::{Filling, Template, Value};

/// Something that is or is not so of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Something stands there.
    Present(Place),
    /// Nothing does.
    Absent(Place),
    /// Exactly this stands there.
    Equals(Place, Box<str>),
    /// The request has this method.
    Method(Method),
    /// The body has this media type.
    Media(Box<str>),
}

/// A regular expression over a whole value, which takes time linear in it.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: Box<str>,
    compiled: regex::Regex,
}

/// The most memory a pattern may take, in bytes.
const PATTERN_BYTES_MAX: usize = 64 * 1024;

impl Condition {
    /// Whether it is so, as far as the view reaches.
    #[must_use]
    pub fn holds(&self, view: &View<'_>) -> bool {
        match self {
            Self::Present(place) => !matches!(place.read(view), Ok(None)),
            Self::Absent(place) => matches!(place.read(view), Ok(None)),
            Self::Equals(place, text) => matches!(place.read(view), Ok(Some(found)) if found == **text),
            Self::Method(method) => view.head.method == method,
            Self::Media(wanted) => media_type(view).eq_ignore_ascii_case(wanted),
        }
    }

    /// Whether it can be told without the body.
    #[must_use]
    pub const fn is_of_head(&self) -> bool {
        match self {
            Self::Present(place) | Self::Absent(place) | Self::Equals(place, _) => !place.is_in_body(),
            Self::Method(_) | Self::Media(_) => true,
        }
    }
}

/// The condition as the scheme language writes it.
impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Present(place) => place.fmt(f),
            Self::Absent(place) => write!(f, "!{place}"),
            Self::Equals(place, text) => write!(f, "{place}={text}"),
            Self::Method(method) => write!(f, "method={method}"),
            Self::Media(media_type) => write!(f, "media={media_type}"),
        }
    }
}

fn media_type<'v>(view: &View<'v>) -> &'v str {
    let value = view.head.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().split(';').next().unwrap_or_default().trim()
}

impl Pattern {
    /// Compiles a pattern; it is anchored at both ends.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let anchored = format!("\\A(?:{text})\\z");
        let compiled = regex::RegexBuilder::new(&anchored).size_limit(PATTERN_BYTES_MAX).build();
        compiled.map(|compiled| Self { text: text.into(), compiled }).map_err(|error| error.to_string())
    }

    /// Whether it matches all of a value.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        self.compiled.is_match(value)
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl Requirement {
    /// Whether it holds. Texts are compared in constant time: one may be a token of the operator's.
    #[must_use]
    pub fn holds(&self, filling: &Filling<'_>) -> bool {
        let Ok(mut found) = self.value.read_all(&filling.view) else { return false };
        if found.iter().all(|text| text.is_empty()) {
            return self.presence == Presence::Optional && found.is_empty() && !self.is_about_a_body(filling);
        }
        match &self.must {
            Must::Exist => true,
            Must::EqualAny(texts) => {
                found.dedup();
                let mut fit = found.iter().map(|found| texts.iter().any(|text| is_text(text, found, filling)));
                // An audience is one of several (RFC 7519 §4.1.3); of all else, one element that fits vouches for no other.
                if matches!(self.value, Place::Claim(_)) { fit.any(|fits| fits) } else { fit.all(|fits| fits) }
            }
            Must::Match(pattern) => found.iter().all(|found| pattern.matches(found)),
        }
    }
}

impl Requirement {
    /// Whether it is about the body, and there is one: what names its hash where there is a body may not be left out to put one there.
    fn is_about_a_body(&self, filling: &Filling<'_>) -> bool {
        let has_body = filling.view.body.is_some_and(|body| !body.bytes().is_empty());
        has_body && self.names(&Value::Body)
    }
}

fn is_text(template: &Template, found: &str, filling: &Filling<'_>) -> bool {
    let wanted = template.fill(filling);
    let is_whole = !wanted.is_empty() && template.require(&filling.view).is_ok();
    is_whole && bool::from(wanted.ct_eq(found.as_bytes()))
}
