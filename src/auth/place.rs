//! Where in a request a value stands, and how it is read.
//!
//! The one notion of a place serves all who look for something: the credential, the timestamp, the pieces of the signed text, conditions,
//! side conditions, the event's name and the delivery's id.
//!
//! **Invariant:** a place that occurs twice has no value: which of two headers, parameters or form fields counts would be the sender's choice.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, Method, Uri};

use super::list::List;
use crate::header::{self, Duplicated};
use crate::payload::{Document, JsonLimits, Kind, Node, Pointer, form};

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The only field of this name; of several names, the first that is there.
    Header(Box<[HeaderName]>),
    /// Every field whose name begins so, each with its own value (`x-docusign-signature-1`, `-2`, …).
    HeaderPrefix(Box<str>),
    /// The only query parameter of this name, percent-decoded.
    Query(Box<str>),
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer,
    /// `Authorization: Basic …` (RFC 7617).
    Basic,
    /// A JSON Pointer (RFC 6901) into the body; a segment `*` is every element of an array.
    Json(Pointer),
    /// The only field of this name of a form body.
    Form(Box<str>),
    /// The only item of this name in the credential's list.
    Item(Box<str>),
    /// The item at this position of the credential's list, from 0 on.
    Position(usize),
    /// A claim of the JSON Web Token that is being judged.
    Claim(Box<str>),
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

/// A body that is read as JSON or as a form at most once, and only if somebody asks for what is in it.
pub struct Body<'d> {
    bytes: &'d Bytes,
    media_type: Option<&'d str>,
    known: Option<&'d Document>,
    reading: Reading,
    limits: JsonLimits,
    document: OnceCell<Option<Document>>,
    form: OnceCell<Option<form::Fields>>,
}

/// How a body that nobody validates is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// As strictly as payloads: what it says decides on the delivery.
    Strict,
    /// As far as one value is without doubt: it is only told.
    Tolerant,
}

/// What a place, a template or a condition may look at.
#[derive(Debug, Clone, Copy)]
pub struct View<'v> {
    /// The request's head.
    pub head: Head<'v>,
    /// The body, once it is there.
    pub body: Option<&'v Body<'v>>,
    /// The credential's list, where it is one.
    pub list: Option<List<'v>>,
    /// The claims of a token.
    pub claims: Option<&'v Document>,
}

/// Why a place has no value although something stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// It is there more than once.
    Duplicated,
    /// It is not of the form that the place has: not UTF-8, another authorization scheme.
    Malformed,
}

impl From<Duplicated> for Unreadable {
    fn from(_: Duplicated) -> Self {
        Self::Duplicated
    }
}

impl<'d> Body<'d> {
    /// A body with the media type that its head names.
    #[must_use]
    pub fn new(bytes: &'d Bytes, headers: &'d HeaderMap) -> Self {
        let media_type = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let (reading, limits) = (Reading::Strict, JsonLimits::default());
        Self { bytes, media_type, known: None, reading, limits, document: OnceCell::new(), form: OnceCell::new() }
    }

    /// The same where JSON may be as large as a source takes it. A body that is larger than its source takes it and within the default limits is read as well:
    /// that it is too large is told by whoever reads it as a payload, and is no fault of a credential.
    #[must_use]
    pub fn within(self, limits: JsonLimits) -> Self {
        Self { limits: self.limits.or_wider(limits), ..self }
    }

    /// The same where the JSON was read already, if it was.
    #[must_use]
    pub fn read(bytes: &'d Bytes, headers: &'d HeaderMap, document: Option<&'d Document>) -> Self {
        Self { known: document, ..Self::new(bytes, headers) }
    }

    /// The same to find out what a delivery is called, which refuses nothing.
    #[must_use]
    pub fn for_facts(bytes: &'d Bytes, headers: &'d HeaderMap, document: Option<&'d Document>) -> Self {
        Self { reading: Reading::Tolerant, ..Self::read(bytes, headers, document) }
    }

    /// The bytes as received.
    #[must_use]
    pub const fn bytes(&self) -> &'d Bytes {
        self.bytes
    }

    /// The body as strict JSON within its limits; `None` where it is not.
    pub fn document(&self) -> Option<&Document> {
        self.known.or_else(|| {
            let read = || match self.reading {
                Reading::Strict => Document::read(self.bytes.clone(), self.limits).ok(),
                Reading::Tolerant => Document::read_tolerantly(self.bytes.clone()),
            };
            self.document.get_or_init(read).as_ref()
        })
    }

    /// The value at a place of the body's JSON.
    fn find(&self, pointer: &Pointer) -> Option<Node<'_>> {
        let document = self.document()?;
        match self.reading {
            Reading::Strict => document.find(pointer),
            Reading::Tolerant => document.find_unambiguous(pointer),
        }
    }

    /// The body as a form; `None` where its media type is none, or it cannot be read.
    pub fn form(&self) -> Option<&form::Fields> {
        self.form.get_or_init(|| form::Fields::read(self.bytes, self.media_type.unwrap_or_default())).as_ref()
    }
}

impl fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.bytes.len())
    }
}

impl<'v> View<'v> {
    /// What is there before the body.
    #[must_use]
    pub const fn of_head(head: Head<'v>) -> Self {
        Self { head, body: None, list: None, claims: None }
    }

    /// The same with the body.
    #[must_use]
    pub const fn with_body(self, body: &'v Body<'v>) -> Self {
        Self { body: Some(body), ..self }
    }

    /// The same with the credential's list.
    #[must_use]
    pub const fn with_list(self, list: Option<List<'v>>) -> Self {
        Self { list, ..self }
    }

    /// The same with a token's claims.
    #[must_use]
    pub const fn with_claims(self, claims: Option<&'v Document>) -> Self {
        Self { claims, ..self }
    }
}

impl Place {
    /// A header field.
    #[must_use]
    pub fn header(name: HeaderName) -> Self {
        Self::Header(Box::from([name]))
    }

    /// Whether the value stands in the body.
    #[must_use]
    pub const fn is_in_body(&self) -> bool {
        match self {
            Self::Json(_) | Self::Form(_) | Self::Member(_) => true,
            Self::Header(_)
            | Self::HeaderPrefix(_)
            | Self::Query(_)
            | Self::Bearer
            | Self::Basic
            | Self::Item(_)
            | Self::Position(_)
            | Self::Claim(_) => false,
        }
    }

    /// Whether several values may stand there, all of which count.
    #[must_use]
    pub fn may_hold_several(&self) -> bool {
        match self {
            Self::HeaderPrefix(_) => true,
            Self::Json(pointer) => pointer.has_wildcard(),
            Self::Header(_)
            | Self::Query(_)
            | Self::Bearer
            | Self::Basic
            | Self::Form(_)
            | Self::Item(_)
            | Self::Position(_)
            | Self::Claim(_)
            | Self::Member(_) => false,
        }
    }

    /// The header fields it reads.
    #[must_use]
    pub fn headers(&self) -> &[HeaderName] {
        match self {
            Self::Header(names) => names,
            Self::Bearer | Self::Basic => std::slice::from_ref(&AUTHORIZATION),
            Self::HeaderPrefix(_)
            | Self::Query(_)
            | Self::Json(_)
            | Self::Form(_)
            | Self::Item(_)
            | Self::Position(_)
            | Self::Claim(_)
            | Self::Member(_) => &[],
        }
    }

    /// Whether the place is in the Authorization field, and what stands there is for another scheme than the place's (RFC 9110 §11.4).
    #[must_use]
    pub fn is_other_authorization(&self, headers: &HeaderMap) -> bool {
        let word = match self {
            Self::Bearer => "Bearer",
            Self::Basic => "Basic",
            Self::Header(_)
            | Self::HeaderPrefix(_)
            | Self::Query(_)
            | Self::Json(_)
            | Self::Form(_)
            | Self::Item(_)
            | Self::Position(_)
            | Self::Claim(_)
            | Self::Member(_) => return false,
        };
        let text = header::single(headers, &AUTHORIZATION).ok().flatten().and_then(header::text);
        let found = text.and_then(|text| text.split(' ').next());
        found.is_some_and(|found| !found.eq_ignore_ascii_case(word))
    }

    /// The value, which may be empty; `None` if nothing is there.
    ///
    /// # Errors
    /// [`Unreadable`] if what is there has no one meaning.
    pub fn read<'v>(&self, view: &View<'v>) -> Result<Option<Cow<'v, str>>, Unreadable> {
        match self {
            Self::Header(names) => first_field(view.head.headers, names),
            Self::HeaderPrefix(prefix) => {
                let mut names = view.head.headers.keys().filter(|name| name.as_str().starts_with(&**prefix));
                names.next().map_or(Ok(None), |name| field(view.head.headers, name))
            }
            Self::Query(name) => Ok(query_parameter(view.head.uri, name)?),
            Self::Bearer => authorization(view.head.headers, "Bearer"),
            Self::Basic => authorization(view.head.headers, "Basic"),
            Self::Json(pointer) => {
                let found = view.body.and_then(|body| body.find(pointer));
                Ok(found.and_then(Node::scalar_text))
            }
            Self::Form(name) => match view.body.and_then(Body::form) {
                Some(fields) => {
                    Ok(fields.single(name).map_err(|form::Repeated| Unreadable::Duplicated)?.map(Cow::Borrowed))
                }
                None => Ok(None),
            },
            Self::Item(name) => match view.list {
                Some(list) => Ok(list.single(name)?.map(Cow::Borrowed)),
                None => Ok(None),
            },
            Self::Position(position) => Ok(view.list.and_then(|list| list.at(*position)).map(Cow::Borrowed)),
            Self::Claim(name) => {
                let found = view.claims.and_then(|claims| claims.root().get(name));
                Ok(found.and_then(Node::scalar_text))
            }
            Self::Member(names) => {
                let root = view.body.and_then(Body::document).map(Document::root);
                let found = root.and_then(|root| names.iter().find(|name| root.get(name).is_some()));
                Ok(found.map(|name| Cow::Owned(name.to_string())))
            }
        }
    }

    /// What a value of a JSON body is; `None` for other places.
    pub(super) fn json_kind(&self, view: &View<'_>) -> Option<Kind> {
        let Self::Json(pointer) = self else { return None };
        view.body?.find(pointer).map(Node::kind)
    }

    /// Every value at this place: more than one where fields share a prefix, or a pointer names every element.
    ///
    /// # Errors
    /// [`Unreadable`] if what is there has no one meaning.
    pub fn read_all<'v>(&self, view: &View<'v>) -> Result<Vec<Cow<'v, str>>, Unreadable> {
        match self {
            Self::HeaderPrefix(prefix) => {
                let names = view.head.headers.keys().filter(|name| name.as_str().starts_with(&**prefix));
                names.filter_map(|name| field(view.head.headers, name).transpose()).collect()
            }
            Self::Json(pointer) if pointer.has_wildcard() => {
                let found = view.body.and_then(Body::document).and_then(|document| pointer.scalars(document.root()));
                Ok(found.unwrap_or_default())
            }
            Self::Claim(name) => {
                let found = view.claims.and_then(|claims| claims.root().get(name));
                let Some(found) = found else { return Ok(Vec::new()) };
                // An audience may be one text or several (RFC 7519 §4.1.3).
                if found.kind() == Kind::Array {
                    return Ok(found.elements().filter_map(Node::scalar_text).collect());
                }
                Ok(found.scalar_text().into_iter().collect())
            }
            Self::Header(_)
            | Self::Query(_)
            | Self::Bearer
            | Self::Basic
            | Self::Json(_)
            | Self::Form(_)
            | Self::Item(_)
            | Self::Position(_)
            | Self::Member(_) => Ok(self.read(view)?.into_iter().collect()),
        }
    }
}

/// The place as the scheme language writes it.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(names) => {
                let names: Vec<_> = names.iter().map(HeaderName::as_str).collect();
                write!(f, "header:{}", names.join("|"))
            }
            Self::HeaderPrefix(prefix) => write!(f, "header:{prefix}*"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Bearer => f.write_str("bearer"),
            Self::Basic => f.write_str("basic"),
            Self::Json(pointer) => write!(f, "json:{pointer}"),
            Self::Form(name) => write!(f, "form:{name}"),
            Self::Item(name) => write!(f, "item:{name}"),
            Self::Position(position) => write!(f, "position:{position}"),
            Self::Claim(name) => write!(f, "claim:{name}"),
            Self::Member(names) => write!(f, "member:{}", names.join("|")),
        }
    }
}

fn first_field<'v>(headers: &'v HeaderMap, names: &[HeaderName]) -> Result<Option<Cow<'v, str>>, Unreadable> {
    for name in names {
        let found = field(headers, name)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn field<'v>(headers: &'v HeaderMap, name: &HeaderName) -> Result<Option<Cow<'v, str>>, Unreadable> {
    match header::single(headers, name)? {
        Some(value) => header::text(value).map(|text| Some(Cow::Borrowed(text))).ok_or(Unreadable::Malformed),
        None => Ok(None),
    }
}

/// What follows the scheme word of the Authorization field (RFC 9110 §11.4; the word's case does not matter).
fn authorization<'v>(headers: &'v HeaderMap, word: &str) -> Result<Option<Cow<'v, str>>, Unreadable> {
    let Some(value) = header::single(headers, &AUTHORIZATION)? else { return Ok(None) };
    let text = header::text(value).ok_or(Unreadable::Malformed)?;
    let (found, rest) = text.split_once(' ').ok_or(Unreadable::Malformed)?;
    let credential = rest.trim_start_matches(' ');
    // RFC 9110 lets the word of Basic be of any case, too; every sender writes it so, and a wrong accept helps nobody.
    let is_scheme = if word == "Basic" { found == word } else { found.eq_ignore_ascii_case(word) };
    if !is_scheme || credential.is_empty() {
        return Err(Unreadable::Malformed);
    }
    Ok(Some(Cow::Borrowed(credential)))
}

/// The only query parameter of this name, percent-decoded.
fn query_parameter<'v>(uri: &'v Uri, name: &str) -> Result<Option<Cow<'v, str>>, Duplicated> {
    let query = uri.query().unwrap_or_default();
    let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name).map(|(_, value)| value);
    let first = values.next();
    if values.next().is_some() { Err(Duplicated) } else { Ok(first) }
}
