//! One judgement of a payload by its schema, and what it may still cost.
//!
//! A schema says how often a value is looked at: `oneOf` with a thousand alternatives looks a thousand times, and a sender chooses a body of as many
//! values as fit. So looks are counted. Once they are used up, values answer that they are nothing and hold nothing, so that the validator comes to an
//! end; what it then says means nothing, and whoever asked for the judgement has to ask [`Judging::is_used_up`] first.

use std::cell::Cell;

use super::document::Document;
use super::instance::TapeNode;

/// Looks at a payload of up to [`BYTES`] bytes; a longer one may take more in proportion, and so may one of many values, up to a bound. One takes about 30 ns.
const LOOKS: u64 = 1_000_000;
const BYTES: u64 = 1 << 20;
const LOOKS_A_VALUE: u64 = 6;
const LOOKS_OF_VALUES_MAX: u64 = 1_600_000;
/// How much longer a look takes while errors are collected.
const ERRORS_COST: u64 = 4;
/// What one look may read of a text, in bytes.
const BYTES_A_LOOK: usize = 16;

/// A judgement under way.
///
/// The text was checked to be UTF-8 before and is checked once more for each judgement, in one fast sweep: remembering it
/// beside the bytes it borrows from would need unsafe code, and checking each string takes longer.
pub struct Judging<'d> {
    document: &'d Document,
    text: &'d str,
    left: Cell<u64>,
    /// What each name costs that an object is asked for, besides its length.
    name: u64,
}

impl<'d> Judging<'d> {
    /// A judgement of a document by a schema that looks at each name as often as `looks_a_name` says.
    #[must_use]
    pub fn new(document: &'d Document, looks_a_name: u64) -> Self {
        let source = document.source();
        let text = simdutf8::basic::from_utf8(source).unwrap_or_default();
        let of_values = (document.entry_count() as u64).saturating_mul(LOOKS_A_VALUE).min(LOOKS_OF_VALUES_MAX);
        let looks = LOOKS.max(LOOKS.saturating_mul(source.len() as u64) / BYTES).max(of_values);
        Self { document, text, left: Cell::new(looks), name: looks_a_name }
    }

    /// The same judgement once more, to say what is wrong, with what is left of its time.
    #[must_use]
    pub fn of_errors(self) -> Self {
        Self { left: Cell::new(self.left.get() / ERRORS_COST), ..self }
    }

    /// The whole payload.
    #[must_use]
    pub fn root(&self) -> TapeNode<'_> {
        TapeNode::of(self, self.document.root())
    }

    /// Whether it took too long to mean anything.
    #[must_use]
    pub fn is_used_up(&self) -> bool {
        self.left.get() == 0
    }

    pub(super) const fn text(&self) -> &'d str {
        self.text
    }

    /// Takes so many looks; whether they were left.
    #[inline]
    pub(super) fn take(&self, looks: u64) -> bool {
        let left = self.left.get().saturating_sub(looks);
        self.left.set(left);
        left > 0
    }

    /// Takes what looking once at a text of this length costs.
    #[inline]
    pub(super) fn take_text(&self, length: usize) -> bool {
        self.take(1 + (length / BYTES_A_LOOK) as u64)
    }

    /// Takes what a member's name costs.
    #[inline]
    pub(super) fn take_name(&self, length: usize) -> bool {
        self.take((1 + (length / BYTES_A_LOOK) as u64).saturating_mul(1 + self.name))
    }
}

/// Shows what is left, never the payload.
impl std::fmt::Debug for Judging<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Judging").field("left", &self.left).finish_non_exhaustive()
    }
}
