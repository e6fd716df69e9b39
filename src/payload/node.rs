//! Views of single values of a [`Document`]: an index into its tape, as cheap to copy as a slice.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use super::document::Document;
use super::names::{Lookup, fingerprint};
use super::scan::unescape;
use super::tape::{Entry, Kind};

/// One value of a document.
#[derive(Clone, Copy)]
pub struct Node<'d> {
    document: &'d Document,
    index: u32,
}

/// The name of a member.
#[derive(Clone, Copy)]
pub struct Key<'d> {
    document: &'d Document,
    index: u32,
}

/// A name and its value.
#[derive(Debug, Clone, Copy)]
pub struct Member<'d> {
    /// The name.
    pub key: Key<'d>,
    /// The value.
    pub value: Node<'d>,
}

impl<'d> Node<'d> {
    #[inline]
    pub(super) const fn new(document: &'d Document, index: u32) -> Self {
        Self { document, index }
    }

    #[inline]
    pub(super) fn entry(self) -> Entry {
        self.document.tape()[self.index as usize]
    }

    /// What the value is.
    #[inline]
    #[must_use]
    pub fn kind(self) -> Kind {
        self.entry().kind()
    }

    /// The document this is a value of.
    #[must_use]
    pub const fn document(self) -> &'d Document {
        self.document
    }

    /// The value's place in its document: unlike that of any other value of it, and ascending in the order of the text.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.index
    }

    /// Where the value stands in the source, in bytes; quotes and brackets included.
    #[inline]
    #[must_use]
    pub fn span(self) -> Range<usize> {
        self.entry().span()
    }

    /// The value as it is spelled.
    #[inline]
    #[must_use]
    pub fn raw(self) -> &'d [u8] {
        self.document.source().get(self.span()).unwrap_or_default()
    }

    /// What stands between a string's quotes, as it is spelled; `None` where this is no string.
    #[inline]
    #[must_use]
    pub fn raw_str(self) -> Option<&'d [u8]> {
        let entry = self.entry();
        (entry.kind() == Kind::String).then(|| entry.inside(self.document.source()))
    }

    /// Whether this is a string that is spelled with a `\`.
    #[inline]
    #[must_use]
    pub fn is_escaped(self) -> bool {
        let entry = self.entry();
        entry.kind() == Kind::String && entry.mark()
    }

    /// What a string says, borrowed unless it has escapes; `None` where this is no string.
    #[must_use]
    pub fn as_str(self) -> Option<Cow<'d, str>> {
        decoded(self.raw_str()?, self.is_escaped())
    }

    /// The truth of a boolean; `None` where this is none.
    #[inline]
    #[must_use]
    pub fn as_bool(self) -> Option<bool> {
        let entry = self.entry();
        (entry.kind() == Kind::Bool).then(|| entry.mark())
    }

    /// A number as it is written; `None` where this is none.
    #[must_use]
    pub fn number(self) -> Option<&'d str> {
        if self.kind() == Kind::Number { std::str::from_utf8(self.raw()).ok() } else { None }
    }

    /// Whether this is a number that is written without fraction and exponent.
    #[inline]
    #[must_use]
    pub fn is_written_as_integer(self) -> bool {
        let entry = self.entry();
        entry.kind() == Kind::Number && !entry.mark()
    }

    /// Whether this is `null`.
    #[inline]
    #[must_use]
    pub fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    /// What a string says, a number or boolean as it is written: event types, ids and timestamps are read so. `None` for
    /// `null`, arrays and objects.
    #[must_use]
    pub fn scalar_text(self) -> Option<Cow<'d, str>> {
        match self.kind() {
            Kind::String => self.as_str(),
            Kind::Number | Kind::Bool => std::str::from_utf8(self.raw()).ok().map(Cow::Borrowed),
            Kind::Null | Kind::Array | Kind::Object => None,
        }
    }

    /// How many members or elements this has; zero where it is neither object nor array.
    #[inline]
    #[must_use]
    pub fn len(self) -> usize {
        self.entry().count() as usize
    }

    /// Whether this has no members and no elements.
    #[inline]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// An object's members in the order of the text; nothing where this is no object.
    #[inline]
    #[must_use]
    pub fn members(self) -> Members<'d> {
        let left = if self.kind() == Kind::Object { self.entry().count() } else { 0 };
        Members { document: self.document, next: self.index + 1, left }
    }

    /// An array's elements in the order of the text; nothing where this is no array.
    #[inline]
    #[must_use]
    pub fn elements(self) -> Elements<'d> {
        let left = if self.kind() == Kind::Array { self.entry().count() } else { 0 };
        Elements { document: self.document, next: self.index + 1, left }
    }

    /// The value of the member with this name; `None` where there is none, or this is no object.
    #[must_use]
    pub fn get(self, name: &str) -> Option<Node<'d>> {
        self.get_prepared(name, fingerprint(name.as_bytes()))
    }

    /// [`Node::get`] for a name whose fingerprint is known.
    #[inline]
    pub(super) fn get_prepared(self, name: &str, fingerprint: u32) -> Option<Node<'d>> {
        if self.kind() != Kind::Object {
            return None;
        }
        self.lookup().find(name.as_bytes(), fingerprint).map(|key| self.another(key + 1))
    }

    /// The names of an object, to look up more than one.
    #[inline]
    pub(super) fn lookup(self) -> Lookup<'d> {
        let document = self.document;
        Lookup::new(document.source(), document.tape(), document.tables(), self.index)
    }

    /// Another value of this one's document.
    #[inline]
    pub(super) const fn another(self, index: u32) -> Self {
        Self { document: self.document, index }
    }
}

impl<'d> Key<'d> {
    #[inline]
    pub(super) fn entry(self) -> Entry {
        self.document.tape()[self.index as usize]
    }

    /// Where the name stands in the source, in bytes, quotes included.
    #[inline]
    #[must_use]
    pub fn span(self) -> Range<usize> {
        self.entry().span()
    }

    /// What stands between the name's quotes, as it is spelled.
    #[inline]
    #[must_use]
    pub fn raw_name(self) -> &'d [u8] {
        self.entry().inside(self.document.source())
    }

    /// The [`fingerprint`] of the name as it reads.
    #[inline]
    pub(super) fn fingerprint(self) -> u32 {
        self.entry().fingerprint()
    }

    /// Whether the name is spelled with a `\`.
    #[inline]
    #[must_use]
    pub fn is_escaped(self) -> bool {
        self.entry().mark()
    }

    /// The name, borrowed unless it has escapes.
    #[must_use]
    pub fn name(self) -> Cow<'d, str> {
        decoded(self.raw_name(), self.is_escaped()).unwrap_or_default()
    }
}

impl Member<'_> {
    /// From the name's opening quote to the end of the value.
    #[must_use]
    pub fn span(self) -> Range<usize> {
        self.key.span().start..self.value.span().end
    }
}

/// The members of an object, see [`Node::members`].
#[derive(Clone)]
pub struct Members<'d> {
    document: &'d Document,
    next: u32,
    left: u32,
}

impl<'d> Iterator for Members<'d> {
    type Item = Member<'d>;

    #[inline]
    fn next(&mut self) -> Option<Member<'d>> {
        self.left = self.left.checked_sub(1)?;
        let document = self.document;
        let key = Key { document, index: self.next };
        let value = Node { document, index: self.next + 1 };
        self.next = value.entry().next();
        Some(Member { key, value })
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Members<'_> {}

/// The elements of an array, see [`Node::elements`].
#[derive(Clone)]
pub struct Elements<'d> {
    document: &'d Document,
    next: u32,
    left: u32,
}

impl<'d> Iterator for Elements<'d> {
    type Item = Node<'d>;

    #[inline]
    fn next(&mut self) -> Option<Node<'d>> {
        self.left = self.left.checked_sub(1)?;
        let element = Node { document: self.document, index: self.next };
        self.next = element.entry().next();
        Some(element)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Elements<'_> {}

/// The text of a string whose spelling is `raw`. It is UTF-8 because the document was; that is checked once more since only
/// unsafe code could leave it out.
fn decoded(raw: &[u8], escaped: bool) -> Option<Cow<'_, str>> {
    if escaped {
        return String::from_utf8(unescape(raw)).ok().map(Cow::Owned);
    }
    std::str::from_utf8(raw).ok().map(Cow::Borrowed)
}

/// Shows what the value is and where, never what it holds.
impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("kind", &self.kind()).field("span", &self.span()).finish()
    }
}

/// Shows where the name is, never what it is.
impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("span", &self.span()).finish()
    }
}

impl fmt::Debug for Members<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Members").field("left", &self.left).finish()
    }
}

impl fmt::Debug for Elements<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Elements").field("left", &self.left).finish()
    }
}
