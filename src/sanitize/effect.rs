//! What all rules together do at one place.
//!
//! Effects are joined: the stricter wins, field by field. Joining does not ask which came first nor how often, so neither does the outcome.

use super::characters::Wanted;
use super::{Formula, Html, Normalize, Rules};

/// What is done with a value and everything in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Effect {
    /// It is on the list of what is kept.
    pub(super) kept: bool,
    pub(super) dropped: bool,
    /// Which of the policy's own values takes its place.
    pub(super) set: Option<u16>,
    /// Whose pseudonym takes its place.
    pub(super) hashed: Option<u16>,
    /// How many characters at its end are shown.
    pub(super) masked: Option<usize>,
    pub(super) text: Text,
    /// The patterns that it may not fit, one bit each.
    pub(super) refusing: u64,
}

/// What is done with a text that goes on as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Text {
    pub(super) characters: Wanted,
    pub(super) normalize: Normalize,
    pub(super) html: Html,
    pub(super) formula: Formula,
    /// How many characters it has at most.
    pub(super) truncate: Option<usize>,
}

impl Effect {
    pub(super) fn join(self, other: Self) -> Self {
        Self {
            kept: self.kept || other.kept,
            dropped: self.dropped || other.dropped,
            set: least(self.set, other.set),
            hashed: least(self.hashed, other.hashed),
            masked: least(self.masked, other.masked),
            text: self.text.join(other.text),
            refusing: self.refusing | other.refusing,
        }
    }

    /// Whether texts go on but for single characters.
    pub(super) fn only_cuts(&self) -> bool {
        let Text { normalize, html, truncate, .. } = self.text;
        let rewrites = normalize != Normalize::Keep || html != Html::Keep || truncate.is_some();
        !rewrites && self.masked.is_none() && self.refusing == 0
    }
}

impl Text {
    pub(super) const fn of(rules: &Rules) -> Self {
        Self {
            characters: Wanted::of(rules),
            normalize: rules.normalize,
            html: rules.html,
            formula: rules.formula,
            truncate: None,
        }
    }

    pub(super) fn join(self, other: Self) -> Self {
        Self {
            characters: self.characters.join(other.characters),
            normalize: self.normalize.max(other.normalize),
            html: self.html.max(other.html),
            formula: self.formula.max(other.formula),
            truncate: least(self.truncate, other.truncate),
        }
    }

    /// Without what is off in `live`.
    pub(super) fn only(self, live: Self) -> Self {
        Self {
            characters: if live.characters.is_nothing() { Wanted::default() } else { self.characters },
            normalize: self.normalize.min(live.normalize),
            html: if live.html == Html::Keep { Html::Keep } else { self.html },
            formula: if live.formula == Formula::Keep { Formula::Keep } else { self.formula },
            truncate: self.truncate,
        }
    }
}

fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
