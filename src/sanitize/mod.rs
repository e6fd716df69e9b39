//! Takes out of a payload, or replaces, what a policy does not want to reach the app.
//!
//! It is the `sanitize` step: the payload was authenticated, read and judged by its schema, and goes upstream next. The outcome is the received text but for
//! some spans: a member with its comma, a character, a value. Number spellings, white space, key order and escapes elsewhere stay byte for byte, and a payload
//! in which nothing was found goes on as the very bytes that were received, whose signature the app can still check.
//!
//! - `unknown_fields`: members that the schema does not declare (see [`Declared`]); nothing is unknown without a schema.
//! - `control_characters`: U+0000 to U+001F except tab, line feed and carriage return, and U+007F to U+009F.
//! - `bidi_controls`: what turns the direction of text, so that it reads otherwise than it is (CVE-2021-42574): marks,
//!   embeddings, overrides and isolates. Letters of right-to-left scripts need none of them.
//! - `zero_width`: what nobody sees, and what hides a word from a filter or text from its reader: U+200B, the word joiner,
//!   byte order mark, annotations and tags; U+2028 and U+2029; the noncharacters of the first plane. Not the joiners U+200C
//!   and U+200D, nor the soft hyphen, with which ordinary text is written.
//! - `normalize`, `html`, `formula`: the form, the markup and the formulas of texts (see `text.rs`, `html.rs`, `formula.rs`).
//! - `prototype_keys`: what changes the prototype of all objects where a JavaScript app merges a payload into one of its
//!   own: every member `__proto__`, and `constructor` where its value is an object with a member `prototype`. A `constructor`
//!   that is anything else is ordinary data (a motor racing team, a class of a dump) and stays, as does `prototype` alone. So with names in brackets,
//!   `a[__proto__][b]`, of which readers of forms make objects.
//! - `operator_keys`: members whose name is `$` and a letter first, as the operators of document databases are (`$where`,
//!   `$gt`). A name that the schema lists (`$schema`, `$ref`) is one that the app expects, and stays.
//! - `keep`, and the deeds of rules for some places: `drop`, `set`, `hash`, `mask`, `truncate`, `refuse_if` (see `places.rs`).
//!
//! Unwanted characters are looked for in strings and in names, however they are spelled. Removing some from a name must not make it
//! another member's: if a sibling has the resulting name, or the schema lists it (the value was not judged as that
//! member's), the payload is refused. Rules for places go by the resulting names. A *value* was judged as it came, so the schema is asked again.
//!
//! What stands inside a removed or replaced value is not looked at. A member that several rules would remove counts for `drop`, then `keep`, then the first in
//! the order above.
//!
//! **Invariant:** cleaning what was cleaned finds nothing. `html = "escape"` alone is a spelling, and spells again.
//! **Invariant:** neither report nor rejection holds a value, or a name that is neither in the schema's own text nor in a rule's.

mod characters;
mod effect;
mod formula;
mod hash;
mod html;
mod operators;
mod places;
mod prototypes;
mod report;
mod text;
mod unwanted;
mod walk;

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

pub use self::hash::Pseudonyms;
pub use self::html::Html;
pub use self::places::{Deed, KEEP_MAX, PlaceRule, Places, PlacesFault, RULES_MAX};
pub use self::report::{Edit, EditCounts, Report, Rule};
pub use self::unwanted::Unwanted;
use self::walk::{Cut, Cuts, Walk};
use crate::payload::Document;
use crate::payload::declared::{Declared, Membership};
use crate::reason::Reason;
use crate::rejection::Rejection;

/// What happens to what a rule finds, the stricter the later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Action {
    /// It goes on to the app; the rule is off.
    #[default]
    Keep,
    /// It is removed.
    Drop,
    /// The delivery is refused.
    Refuse,
}

/// `[sanitize] unknown_fields`.
pub type UnknownFields = Action;
/// `[sanitize] control_characters`.
pub type ControlCharacters = Action;
/// `[sanitize] bidi_controls`.
pub type BidiControls = Action;
/// `[sanitize] zero_width`.
pub type ZeroWidth = Action;
/// `[sanitize] prototype_keys`.
pub type PrototypeKeys = Action;
/// `[sanitize] operator_keys`.
pub type OperatorKeys = Action;

/// `normalize`: in which Unicode normalization form (UAX #15) texts go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Normalize {
    /// In the one they came in; the rule is off.
    #[default]
    Keep,
    /// In form C, where letters and their accents are one character.
    Nfc,
}

/// `formula`: what happens to texts that are formulas, the stricter the later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Formula {
    /// They go on to the app; the rule is off.
    #[default]
    Keep,
    /// An apostrophe is set before them, which makes a cell a text.
    Escape,
    /// The delivery is refused.
    Refuse,
}

/// A policy's rules for whole payloads. The default keeps everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// What to do with members that the schema does not declare.
    pub unknown_fields: UnknownFields,
    /// What to do with control characters in strings and names.
    pub control_characters: ControlCharacters,
    /// What to do with characters that turn the direction of text.
    pub bidi_controls: BidiControls,
    /// What to do with characters that nobody sees.
    pub zero_width: ZeroWidth,
    /// What to do with members that change JavaScript prototypes.
    pub prototype_keys: PrototypeKeys,
    /// What to do with members that are named like a database's operators.
    pub operator_keys: OperatorKeys,
    /// What to do with texts that a spreadsheet takes for formulas.
    pub formula: Formula,
    /// The form in which texts go on.
    pub normalize: Normalize,
    /// What to do with markup in texts.
    pub html: Html,
}

/// A policy's `[sanitize]`. The default keeps everything.
#[derive(Debug, Default)]
pub struct Sanitizer {
    rules: Rules,
    places: Option<Box<Places>>,
}

/// A payload as it may go upstream.
#[must_use]
#[derive(Debug)]
pub struct Cleaned {
    /// The JSON text: the received bytes themselves if nothing was edited.
    pub body: Bytes,
    /// What was edited.
    pub report: Report,
    cuts: Cuts<'static>,
}

impl Cleaned {
    /// What became of a name or value at this span of `source`, the text that was cleaned, or of a member: owned if it was edited, `None` if it is gone.
    #[must_use]
    pub fn left_of<'s>(&self, source: &'s [u8], span: Range<usize>) -> Option<Cow<'s, [u8]>> {
        let first = self.cuts.partition_point(|cut| cut.span.end < span.start);
        let touching = || self.cuts[first..].iter().take_while(|cut| cut.span.start < span.end);
        let takes_all = |cut: &Cut| cut.span.start <= span.start && cut.span.end >= span.end;
        let is_inside = |cut: &&Cut| cut.span.start >= span.start && cut.span.end <= span.end;
        if touching().any(|cut| takes_all(cut) && (!is_inside(&cut) || cut.instead.is_empty())) {
            return None;
        }
        if touching().any(|cut| is_inside(&cut)) {
            return Some(Cow::Owned(without(source, span.clone(), touching().filter(is_inside))));
        }
        source.get(span).map(Cow::Borrowed)
    }
}

/// A span of `source` without these cuts in it.
fn without<'c>(source: &[u8], span: Range<usize>, cuts: impl IntoIterator<Item = &'c Cut<'c>>) -> Vec<u8> {
    let mut left = Vec::with_capacity(span.len());
    let mut kept = span.start;
    for cut in cuts {
        left.extend_from_slice(&source[kept..cut.span.start]);
        left.extend_from_slice(&cut.instead);
        kept = cut.span.end;
    }
    left.extend_from_slice(&source[kept..span.end]);
    left
}

impl Sanitizer {
    /// Rules for whole payloads, and for some places of them.
    #[must_use]
    pub fn new(rules: Rules, places: Option<Places>) -> Self {
        Self { rules, places: places.map(Box::new) }
    }

    /// Whether every payload goes on as it came, unread.
    #[must_use]
    pub fn keeps_everything(&self) -> bool {
        self.places.is_none() && self.rules == Rules::default()
    }

    /// Cleans a payload whose schema, if it has one, declares `declared`, and of whose members `membership` is known.
    ///
    /// # Errors
    ///
    /// `sanitizer_refused` with the facts `rule` and `pointer`, at the first find of a rule that refuses, where removing
    /// characters would make two names one, or where the rules would make a much larger body of this one.
    pub fn clean(
        &self,
        document: &Document,
        declared: Option<&Declared>,
        membership: Membership,
    ) -> Result<Cleaned, Rejection> {
        let source = document.source();
        let walk = Walk::new(self.rules, self.places.as_deref(), document, declared, membership);
        if walk.has_nothing_to_do() {
            return Ok(Cleaned { body: source.clone(), report: Report::default(), cuts: Vec::new() });
        }
        let (cuts, report) = walk.run()?;
        let body = if cuts.is_empty() { source.clone() } else { without(source, 0..source.len(), &cuts).into() };
        Ok(Cleaned { body, report, cuts: cuts.into_iter().map(Cut::into_owned).collect() })
    }
}

/// Rules for whole payloads alone.
impl From<Rules> for Sanitizer {
    fn from(rules: Rules) -> Self {
        Self::new(rules, None)
    }
}

/// Whether the sanitizer's own walk finds a member that this schema does not declare.
#[cfg(test)]
pub(crate) fn has_undeclared(schema: &crate::payload::schema::Schema, document: &Document) -> bool {
    let rules = Rules { unknown_fields: Action::Refuse, ..Rules::default() };
    Sanitizer::from(rules).clean(document, Some(schema.declared()), Membership::Unasked).is_err()
}

fn refused(rule: Rule, pointer: String) -> Rejection {
    Rejection::new(Reason::SanitizerRefused).fact("rule", rule.name()).fact("pointer", pointer)
}

#[cfg(test)]
mod tests;
