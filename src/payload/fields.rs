//! Bodies that are a list of named texts: read as a JSON object of strings, and written again where that was edited.
//!
//! A form and a multipart body differ in their spelling alone. Where each field stands is kept beside the object, whose members are in the same
//! order, so that an edit rewrites the name or value that it is about and every other byte stays as it was received.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use bytes::Bytes;

use super::document::{Document, JsonLimits};
use super::multipart::{self, Delimiter, Files};
use super::node::Member;
use super::scan::escape_into;
use super::urlencoded;
use crate::reason::Reason;
use crate::rejection::Rejection;

/// Where a named text stands in a body, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    /// All that goes where it goes.
    pub(super) whole: Range<usize>,
    /// Its name, as it is spelled.
    pub(super) name: Range<usize>,
    /// Its text, as it is spelled.
    pub(super) value: Range<usize>,
}

/// How a body spells its fields.
#[derive(Debug, Clone)]
pub(super) enum Spelling {
    /// `application/x-www-form-urlencoded`.
    Urlencoded,
    /// `multipart/form-data`, between these.
    Multipart(Delimiter),
}

/// The fields of a body.
#[derive(Debug)]
pub(super) struct Fields {
    spelling: Spelling,
    body: Bytes,
    list: Vec<Field>,
}

impl Fields {
    /// Reads a body, and what it says as an object of strings.
    ///
    /// # Errors
    /// `form_malformed`, `multipart_malformed`; `json_too_large` for more fields than an object may have members.
    pub(super) fn read(body: Bytes, spelling: Spelling, limits: JsonLimits) -> Result<(Self, Document), Rejection> {
        let fields_max = limits.members_max.min(limits.nodes_max.saturating_sub(1)) as usize;
        let list = spelling.fields(&body, fields_max)?;
        let fields = Self { spelling, body, list };
        fields.refuse_aliases()?;
        let text = fields.to_object()?;
        match Document::read(text.into(), limits) {
            Ok(document) => Ok((fields, document)),
            Err(rejection) if rejection.reason() == Reason::JsonDuplicateKey => Err(fields.duplicate()),
            Err(rejection) => Err(rejection),
        }
    }

    /// The text of the field at a position.
    ///
    /// # Errors
    /// None, for what was read.
    pub(super) fn value(&self, position: usize) -> Result<Cow<'_, str>, Rejection> {
        self.list.get(position).map_or(Ok(Cow::Borrowed("")), |field| self.decoded(&field.value))
    }

    /// The body with another text in the field at a position; `None` if that cannot be written.
    pub(super) fn with_value(&self, position: usize, text: &[u8]) -> Option<Bytes> {
        let text = std::str::from_utf8(text).ok()?;
        let field = self.list.get(position)?;
        let value = self.spelling.encoded(text);
        let body = [&self.body[..field.value.start], &value, &self.body[field.value.end..]].concat();
        let again = self.again(body.into())?;
        let is_the_same = again.list.len() == self.list.len() && again.value(position).ok()? == text;
        is_the_same.then_some(again.body)
    }

    /// The body of which is left what `left` says of each span of the object's text, which is `object`'s with the same edits; `None` if that cannot be
    /// written.
    pub(super) fn edited<'t>(
        &self,
        object: &Document,
        edited: &Document,
        left: impl Fn(Range<usize>) -> Option<Cow<'t, [u8]>>,
    ) -> Option<Bytes> {
        let mut body = Vec::with_capacity(self.body.len());
        let mut is_first = true;
        for (field, member) in self.list.iter().zip(object.root().members()) {
            if left(member.span()).is_none() {
                continue;
            }
            if !std::mem::take(&mut is_first) {
                body.extend_from_slice(self.spelling.separator());
            }
            let mut kept = field.whole.start;
            for (place, span) in [(&field.name, member.key.span()), (&field.value, member.value.span())] {
                if let Cow::Owned(text) = left(span)? {
                    body.extend_from_slice(&self.body[kept..place.start]);
                    body.extend_from_slice(&self.spelling.encoded(&plain(text)?));
                    kept = place.end;
                }
            }
            body.extend_from_slice(&self.body[kept..field.whole.end]);
        }
        let end = self.list.last().map_or(0, |field| field.whole.end);
        body.extend_from_slice(&self.body[end..]);
        // Whatever was edited, and however: what was judged is what the app will read.
        let again = self.again(body.into())?;
        again.says(edited).then_some(again.body)
    }

    /// Another body in the same spelling.
    fn again(&self, body: Bytes) -> Option<Self> {
        let list = self.spelling.fields(&body, self.list.len()).ok()?;
        let again = Self { spelling: self.spelling.clone(), body, list };
        again.refuse_aliases().ok()?;
        Some(again)
    }

    /// Whether these are the members of an object, in their order.
    fn says(&self, object: &Document) -> bool {
        let is_one = |(field, member): (&Field, Member<'_>)| {
            let said = self.decoded(&field.name).ok().zip(self.decoded(&field.value).ok());
            said.is_some_and(|(name, value)| {
                name == member.key.name() && member.value.scalar_text().is_some_and(|text| text == value)
            })
        };
        let members = object.root().members();
        members.len() == self.list.len() && self.list.iter().zip(members).all(is_one)
    }

    fn to_object(&self) -> Result<Vec<u8>, Rejection> {
        let mut text = Vec::with_capacity(self.body.len() + self.list.len() * QUOTES + QUOTES);
        text.push(b'{');
        for (position, field) in self.list.iter().enumerate() {
            if position > 0 {
                text.push(b',');
            }
            push_string(&mut text, &self.decoded(&field.name)?);
            text.push(b':');
            push_string(&mut text, &self.decoded(&field.value)?);
        }
        text.push(b'}');
        Ok(text)
    }

    fn decoded(&self, place: &Range<usize>) -> Result<Cow<'_, str>, Rejection> {
        self.spelling.decoded(&self.body[place.clone()], place.start)
    }

    /// Refuses names that differ here and are one to apps: PHP leaves leading spaces out, has `_` where a name has a space or a dot, and takes a name
    /// with brackets for a part of the one before them.
    fn refuse_aliases(&self) -> Result<(), Rejection> {
        // As they are spelled: only these may be, or stand for, a space, a dot or a bracket.
        let is_plain = |field: &Field| !self.body[field.name.clone()].iter().any(|byte| b" .[+%".contains(byte));
        if self.list.iter().all(is_plain) {
            return Ok(());
        }
        let (mut whole, mut roots, mut spelled) = (HashSet::new(), HashSet::new(), HashSet::new());
        for field in &self.list {
            let name = self.decoded(&field.name)?;
            let name = name.trim_start_matches(' ');
            let (root, rest) = name.split_at(name.find('[').unwrap_or(name.len()));
            let root = root.replace([' ', '.'], "_");
            let is_alias = if rest.is_empty() { roots.contains(&root) } else { whole.contains(&root) };
            if is_alias || !spelled.insert((root.clone(), rest.to_owned())) {
                return Err(self.said_twice(field.name.start));
            }
            if rest.is_empty() {
                whole.insert(root)
            } else {
                roots.insert(root)
            };
        }
        Ok(())
    }

    /// Says where the first name stands that was there before.
    #[cold]
    fn duplicate(&self) -> Rejection {
        let mut seen = HashSet::new();
        let mut twice = self.list.iter().filter(|field| self.decoded(&field.name).is_ok_and(|name| !seen.insert(name)));
        let offset = twice.next().map_or(0, |field| field.name.start);
        self.said_twice(offset)
    }

    #[cold]
    fn said_twice(&self, offset: usize) -> Rejection {
        Rejection::new(self.spelling.malformed()).fact("offset", offset).fact("expected", "every name once")
    }
}

impl Spelling {
    fn fields(&self, body: &[u8], fields_max: usize) -> Result<Vec<Field>, Rejection> {
        match self {
            Self::Urlencoded => urlencoded::fields(body, fields_max),
            Self::Multipart(delimiter) => multipart::fields(body, delimiter, Files::Refused, fields_max),
        }
    }

    fn decoded<'b>(&self, spelled: &'b [u8], at: usize) -> Result<Cow<'b, str>, Rejection> {
        match self {
            Self::Urlencoded => urlencoded::decoded(spelled, at),
            Self::Multipart(_) => multipart::decoded(spelled, at).map(Cow::Borrowed),
        }
    }

    fn encoded<'t>(&self, text: &'t str) -> Cow<'t, [u8]> {
        match self {
            Self::Urlencoded => Cow::Owned(urlencoded::encoded(text)),
            Self::Multipart(_) => Cow::Borrowed(text.as_bytes()),
        }
    }

    const fn separator(&self) -> &'static [u8] {
        match self {
            Self::Urlencoded => b"&",
            Self::Multipart(_) => b"",
        }
    }

    const fn malformed(&self) -> Reason {
        match self {
            Self::Urlencoded => Reason::FormMalformed,
            Self::Multipart(_) => Reason::MultipartMalformed,
        }
    }
}

/// The field at `offset` is one too many.
#[cold]
pub(super) fn too_many(offset: usize, fields_max: usize) -> Rejection {
    let rejection = Rejection::new(Reason::JsonTooLarge).fact("offset", offset);
    rejection.fact("limit", "json_members_max").fact("maximum", fields_max)
}

/// What a member's name or value says once it was edited: a string, or another scalar as it is written.
fn plain(text: Vec<u8>) -> Option<String> {
    let value = Document::read(text.into(), JsonLimits::default()).ok()?;
    value.root().scalar_text().map(Cow::into_owned)
}

/// Room for what a name and a value have around them in JSON.
const QUOTES: usize = 6;

fn push_string(text: &mut Vec<u8>, string: &str) {
    text.push(b'"');
    escape_into(text, string);
    text.push(b'"');
}
