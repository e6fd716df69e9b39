//! The tape: one small entry for each value and each member name of a JSON text, in the order of the text.
//!
//! An object's names and values alternate, so the value of the name at `i` stands at `i + 1`; [`Entry::next`] of a value is
//! where the next name, element or whatever follows it stands. A container comes before what it holds.

use std::ops::Range;

/// What a value is (RFC 8259 §3). Integers are numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number, kept as its text.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// One value or member name: 16 bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    start: u32,
    end: u32,
    /// Of a value: the index of the entry after it and all it holds; of an open container, that of the one around it. Of a
    /// name: its fingerprint.
    link: u32,
    /// From the lowest bit: the kind (3 bits), the mark (1 bit), and of a container how many members or elements it has; of
    /// a large object's first name where its table begins, plus one.
    meta: u32,
}

/// How far a container's count goes, and so how many values a tape may have.
pub(super) const COUNT_MAX: u32 = u32::MAX >> COUNT_SHIFT;

const KIND_BITS: u32 = 0b111;
const MARK: u32 = 0b1000;
const COUNT_SHIFT: u32 = 4;

impl Entry {
    /// A value that holds no others; `mark` says that a string has escapes, that a number is not written as an integer,
    /// that a boolean is true.
    #[inline]
    pub(super) fn scalar(kind: Kind, span: Range<usize>, index: usize, mark: bool) -> Self {
        Self { start: narrow(span.start), end: narrow(span.end), link: narrow(index + 1), meta: meta(kind, mark) }
    }

    /// A member name, its quotes included.
    #[inline]
    pub(super) fn name(span: Range<usize>, fingerprint: u32, escaped: bool) -> Self {
        Self { start: narrow(span.start), end: narrow(span.end), link: fingerprint, meta: meta(Kind::String, escaped) }
    }

    /// A container of which only the beginning is known, in the container at entry `around`.
    #[inline]
    pub(super) fn open(kind: Kind, start: usize, around: usize) -> Self {
        Self { start: narrow(start), end: 0, link: narrow(around), meta: meta(kind, false) }
    }

    /// Sets what was not known when the container opened.
    #[inline]
    pub(super) fn close(&mut self, end: usize, next: usize, count: u32) {
        self.end = narrow(end);
        self.link = narrow(next);
        self.set_count(count);
    }

    /// Sets how many members or elements a container has.
    #[inline]
    pub(super) fn set_count(&mut self, count: u32) {
        self.meta = self.meta & !(u32::MAX << COUNT_SHIFT) | count << COUNT_SHIFT;
    }

    /// Of a container that is still open: the entry of the one around it.
    #[inline]
    pub(super) const fn around(self) -> u32 {
        self.link
    }

    #[inline]
    pub(super) const fn kind(self) -> Kind {
        match self.meta & KIND_BITS {
            0 => Kind::Null,
            1 => Kind::Bool,
            2 => Kind::Number,
            3 => Kind::String,
            4 => Kind::Array,
            _ => Kind::Object,
        }
    }

    /// Where it stands in the text, quotes and brackets included.
    #[inline]
    pub(super) const fn span(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The bytes between the quotes of a string or name, between the brackets of a container.
    #[inline]
    pub(super) fn inside(self, text: &[u8]) -> &[u8] {
        text.get(self.start as usize + 1..(self.end as usize).saturating_sub(1)).unwrap_or_default()
    }

    /// Of a value: the index of the entry that follows it and all it holds.
    #[inline]
    pub(super) const fn next(self) -> u32 {
        self.link
    }

    /// Of a name: its [`fingerprint`](super::names::fingerprint).
    #[inline]
    pub(super) const fn fingerprint(self) -> u32 {
        self.link
    }

    /// See [`Entry::scalar`].
    #[inline]
    pub(super) const fn mark(self) -> bool {
        self.meta & MARK != 0
    }

    /// How many members or elements a container has.
    #[inline]
    pub(super) const fn count(self) -> u32 {
        self.meta >> COUNT_SHIFT
    }

    /// Of an object's first name: where the table of its names begins, if there is one.
    #[inline]
    pub(super) fn table(self) -> Option<usize> {
        (self.meta >> COUNT_SHIFT).checked_sub(1).map(|start| start as usize)
    }

    /// Sets what [`Entry::table`] says. A table so far away that there is no room for the number is not found again.
    #[inline]
    pub(super) fn set_table(&mut self, start: usize) {
        if start < COUNT_MAX as usize {
            self.meta |= narrow(start + 1) << COUNT_SHIFT;
        }
    }
}

#[inline]
const fn meta(kind: Kind, mark: bool) -> u32 {
    kind as u32 | (mark as u32) << 3
}

/// **Invariant:** texts longer than `u32::MAX` bytes are refused before they are read, and a tape has at most one entry a
/// byte, so nothing is ever cut here.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "see the invariant")]
pub(super) const fn narrow(wide: usize) -> u32 {
    wide as u32
}

/// Bodies are many and long: what an entry weighs is weighed once for each of their values and names.
const _: () = assert!(size_of::<Entry>() == 16);
