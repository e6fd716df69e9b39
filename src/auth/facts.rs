//! Event name and delivery id: what a provider says of a delivery besides its proof.

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderMap;

use super::scheme::{FactLocation, Scheme};
use crate::header;
use crate::payload::{Document, JsonLimits, lookup};

/// The longest event name or delivery id that is taken; what is longer counts as absent.
pub const FACT_BYTES_MAX: usize = 256;

/// Where a fact may be looked for.
#[derive(Debug, Clone, Copy)]
pub struct Material<'d> {
    /// The request's header fields.
    pub headers: &'d HeaderMap,
    /// The body as received.
    pub body: &'d Bytes,
    /// The body read as JSON, where it was.
    pub document: Option<&'d Document>,
}

/// Whether a fact was covered by the proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Covered {
    /// Whoever changed it would have broken the signature.
    Signed,
    /// Whoever captured a delivery can change it.
    Unsigned,
}

/// The text at the first of these places that has one.
#[must_use]
pub fn find<'d>(places: &[FactLocation], material: Material<'d>) -> Option<Cow<'d, str>> {
    places
        .iter()
        .find_map(|place| read(place, material))
        .filter(|text| !text.is_empty() && text.len() <= FACT_BYTES_MAX)
}

/// Whether a fact from this place is covered by what `scheme` signs.
#[must_use]
pub fn coverage(place: &FactLocation, scheme: &Scheme) -> Covered {
    let signed = match place {
        FactLocation::Header(name) => scheme.signed.headers().any(|signed| signed == name),
        FactLocation::Pointer(_) | FactLocation::Form(_) | FactLocation::Member(_) => scheme.covers_body(),
    };
    if signed { Covered::Signed } else { Covered::Unsigned }
}

fn read<'d>(place: &FactLocation, material: Material<'d>) -> Option<Cow<'d, str>> {
    match place {
        FactLocation::Header(name) => {
            let value = header::single(material.headers, name).ok().flatten()?;
            header::text(value).map(Cow::Borrowed)
        }
        FactLocation::Pointer(pointer) => match material.document {
            Some(document) => document.find(pointer)?.scalar_text(),
            None => lookup::text(material.body, pointer).map(Cow::Owned),
        },
        FactLocation::Form(name) => lookup::form_field(material.body, name),
        FactLocation::Member(names) => {
            let read;
            let document = if let Some(document) = material.document {
                document
            } else {
                read = Document::read(material.body.clone(), JsonLimits::default()).ok()?;
                &read
            };
            let has = |name: &str| document.root().get(name).is_some();
            names.iter().find(|name| has(name)).map(|name| Cow::Owned(name.to_string()))
        }
    }
}
