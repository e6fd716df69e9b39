//! Newline-delimited JSON: one JSON text a line, read as the array of them.
//!
//! **Invariant:** a text never goes over a line, and a line never holds two: what is read line by line has the same elements.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use super::document::{Document, JsonLimits};
use super::node::Node;
use crate::reason::Reason;
use crate::rejection::Rejection;

/// The media types under which senders know it; none is registered.
const MEDIA_TYPES: [&str; 4] =
    ["application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"];

/// Whether this is one of its media types.
pub(super) fn is_media_type(media_type: &str) -> bool {
    MEDIA_TYPES.iter().any(|known| known.eq_ignore_ascii_case(media_type))
}

/// Reads a body as the array of its lines; the last line may go without its end.
///
/// # Errors
/// `json_*` of the first line that is at fault, with the fact `line`, from 1 on; `offset` is within the line.
pub(super) fn read(body: &Bytes, limits: JsonLimits) -> Result<Document, Rejection> {
    let texts = body.strip_suffix(b"\n").unwrap_or(body);
    let mut array = Vec::with_capacity(texts.len() + 2);
    array.push(b'[');
    array.extend(texts.iter().map(|&byte| if byte == b'\n' { b',' } else { byte }));
    array.push(b']');
    let document = Document::read(array.into(), of_array(limits));
    let is_whole = |document: &Document| {
        let elements = document.root().elements();
        elements.len() == lines(texts).count()
            && elements.zip(lines(texts)).all(|(element, line)| {
                let place = place(element);
                line.start <= place.start && place.end <= line.end
            })
    };
    match document {
        Ok(document) if is_whole(&document) => Ok(document),
        // Each line by itself is wrong somewhere, or all together are too much.
        document => match first_fault(texts, limits) {
            Some(fault) => Err(fault),
            None => Err(document.err().unwrap_or_else(|| Reason::JsonMalformed.into())),
        },
    }
}

/// The body of which is left what `left` says of each element's span; `None` if that reads otherwise than `edited`.
pub(super) fn edited<'t>(
    body: &Bytes,
    document: &Document,
    edited: &Document,
    left: impl Fn(Range<usize>) -> Option<Cow<'t, [u8]>>,
    limits: JsonLimits,
) -> Option<Bytes> {
    let mut written = Vec::with_capacity(body.len());
    for (element, line) in document.root().elements().zip(lines(body)) {
        let Some(text) = left(element.span()) else { continue };
        let place = place(element);
        written.extend_from_slice(&body[line.start..place.start]);
        written.extend_from_slice(&text);
        written.extend_from_slice(&body[place.end..body.len().min(line.end + 1)]);
    }
    let written = Bytes::from(written);
    let again = read(&written, limits).ok()?;
    let (again_root, edited_root) = (again.root(), edited.root());
    let same = again_root.len() == edited_root.len()
        && again_root.elements().zip(edited_root.elements()).all(|(one, other)| one.raw() == other.raw());
    same.then_some(written)
}

/// The array is ours: it takes nothing of what a line may have.
pub(super) fn of_array(limits: JsonLimits) -> JsonLimits {
    let (depth_max, nodes_max) = (limits.depth_max.saturating_add(1), limits.nodes_max.saturating_add(1));
    JsonLimits { depth_max, nodes_max, ..limits }
}

/// Where each line stands, without its end.
fn lines(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    text.split(|&byte| byte == b'\n').map(move |line| {
        let place = start..start + line.len();
        start = place.end + 1;
        place
    })
}

/// Where an element stands in the body: the array's text has one byte before it.
fn place(element: Node<'_>) -> Range<usize> {
    let span = element.span();
    span.start - 1..span.end - 1
}

#[cold]
fn first_fault(texts: &[u8], limits: JsonLimits) -> Option<Rejection> {
    let mut numbered = (1_u64..).zip(texts.split(|&byte| byte == b'\n'));
    numbered.find_map(|(number, line)| {
        let fault = Document::read(Bytes::copy_from_slice(line), limits).err()?;
        Some(fault.fact("line", number))
    })
}
