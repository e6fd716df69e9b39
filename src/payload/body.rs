//! A body, read as what its sender says it is: every one becomes a [`Document`], whatever it is spelled in.
//!
//! JSON is its own document: its bytes are shared, and nothing here stands in their way. Texts in lines make an array. The fields of a form make an object of
//! strings; where the policy says that one field holds JSON, that is the document and the other fields go on as they came. What a body was made of is kept
//! beside the document, so that an edited one can be spelled as the received one was.
//!
//! **Invariant:** an edited body that is written here reads again as what was judged, or it is not written.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use super::content_type::Boundary;
use super::document::{Document, JsonLimits};
use super::fields::{Fields, Spelling};
use super::lines;
use super::multipart::Delimiter;
use crate::rejection::Rejection;

/// What a body is spelled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format<'h> {
    /// One JSON text.
    Json,
    /// One JSON text a line.
    JsonLines,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `multipart/form-data` with this boundary.
    Multipart(Boundary<'h>),
}

/// A body that was read.
#[derive(Debug)]
pub struct Payload {
    document: Document,
    origin: Origin,
}

/// What a document was made of.
#[derive(Debug)]
enum Origin {
    /// The body itself.
    Json,
    /// The lines of this body, which are its elements.
    Lines(Bytes),
    /// Fields, which are its members.
    Fields(Box<Fields>),
    /// The field at this position.
    Field(Box<Fields>, usize),
}

impl Payload {
    /// Reads a whole body. `json_field` names the field that holds JSON, in bodies that have fields and this one among them.
    ///
    /// # Errors
    /// `json_*` as [`Document::read`] (with the fact `form_field` or `line` where that was read), `form_malformed` and `multipart_malformed` with the
    /// facts `offset` and `expected`.
    pub fn read(
        body: Bytes,
        format: Format<'_>,
        json_field: Option<&str>,
        limits: JsonLimits,
    ) -> Result<Self, Rejection> {
        match format {
            Format::Json => Ok(Self { document: Document::read(body, limits)?, origin: Origin::Json }),
            Format::JsonLines => Ok(Self { document: lines::read(&body, limits)?, origin: Origin::Lines(body) }),
            Format::Form => Self::of_fields(body, Spelling::Urlencoded, json_field, limits),
            Format::Multipart(boundary) => {
                Self::of_fields(body, Spelling::Multipart(Delimiter::new(boundary)), json_field, limits)
            }
        }
    }

    fn of_fields(
        body: Bytes,
        spelling: Spelling,
        json_field: Option<&str>,
        limits: JsonLimits,
    ) -> Result<Self, Rejection> {
        let (fields, object) = Fields::read(body, spelling, limits)?;
        let fields = Box::new(fields);
        let position = json_field.and_then(|name| object.root().members().position(|member| member.key.name() == name));
        let (Some(name), Some(position)) = (json_field, position) else {
            return Ok(Self { document: object, origin: Origin::Fields(fields) });
        };
        let text = Bytes::from(fields.value(position)?.into_owned());
        let document =
            Document::read(text, limits).map_err(|rejection| rejection.fact("form_field", name.to_owned()))?;
        Ok(Self { document, origin: Origin::Field(fields, position) })
    }

    /// What the body says.
    #[must_use]
    pub const fn document(&self) -> &Document {
        &self.document
    }

    /// What a text like the document's may have where its parts may have `limits`.
    #[must_use]
    pub fn limits(&self, limits: JsonLimits) -> JsonLimits {
        match self.origin {
            Origin::Lines(_) => lines::of_array(limits),
            Origin::Json | Origin::Fields(_) | Origin::Field(..) => limits,
        }
    }

    /// The body whose document reads `edited`, which is this one's text of which is left what `left` says of each span (`None`: nothing). It is
    /// spelled as the received one, but for the edits; `None` if it cannot be.
    pub fn edited<'t>(
        &self,
        edited: &Bytes,
        left: impl Fn(Range<usize>) -> Option<Cow<'t, [u8]>>,
        limits: JsonLimits,
    ) -> Option<Bytes> {
        match &self.origin {
            Origin::Json => Some(edited.clone()),
            Origin::Lines(body) => {
                let edited = Document::read(edited.clone(), self.limits(limits)).ok()?;
                lines::edited(body, &self.document, &edited, left, limits)
            }
            Origin::Field(fields, position) => fields.with_value(*position, edited),
            Origin::Fields(fields) => {
                let edited = Document::read(edited.clone(), limits).ok()?;
                fields.edited(&self.document, &edited, left)
            }
        }
    }
}
