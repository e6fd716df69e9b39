//! One text, rewritten: what all the rules of its place leave of it.
//!
//! The order is fixed, whatever order a policy has: unwanted characters, `normalize`, `html`, `formula`, `truncate`, `mask`. Each sees what the one before
//! left, so that nothing hides behind what goes: a byte order mark not a tag, a decomposed letter not a formula.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};

use super::characters::{Class, Wanted};
use super::effect::{Effect, Text};
use super::report::Rule;
use super::{Action, Formula, Html, Normalize, formula, html};

/// What is left, and the rules that had to do with it.
pub(super) struct Rewritten<'t> {
    pub(super) text: Cow<'t, str>,
    changed: [bool; Rule::COUNT],
}

/// What the rules of a place leave of a text.
///
/// # Errors
/// The rule that refuses it.
pub(super) fn rewritten<'t>(received: &'t str, effect: &Effect) -> Result<Rewritten<'t>, Rule> {
    let Text { characters, normalize, html, formula, truncate } = effect.text;
    let mut made = Rewritten { text: Cow::Borrowed(received), changed: [false; Rule::COUNT] };
    made.drop_characters(characters)?;
    made.normalize(normalize);
    let stripped = match html {
        Html::Keep => None,
        Html::Strip => html::stripped(&made.text),
        Html::Escape => html::escaped(&made.text),
    };
    if made.change(Rule::Html, stripped) {
        // What stood on both sides of a tag is side by side now.
        made.normalize(normalize);
    }
    made.escape_formula(formula)?;
    made.change(Rule::Truncate, truncate.and_then(|characters_max| truncated(&made.text, characters_max, html)));
    made.change(Rule::Mask, effect.masked.and_then(|shown| masked(&made.text, shown)));
    Ok(made)
}

impl Rewritten<'_> {
    /// Whether single characters went and nothing else happened, so that everything else may stay as it is spelled.
    pub(super) fn is_cut(&self) -> bool {
        [Rule::Normalize, Rule::Html, Rule::Truncate, Rule::Mask].iter().all(|&rule| !self.changed[rule as usize])
    }

    /// The rules that changed something.
    pub(super) fn rules(&self) -> impl Iterator<Item = Rule> {
        Rule::ALL.into_iter().filter(|&rule| self.changed[rule as usize])
    }

    fn change(&mut self, rule: Rule, text: Option<String>) -> bool {
        let Some(text) = text else { return false };
        self.text = Cow::Owned(text);
        self.changed[rule as usize] = true;
        true
    }

    fn drop_characters(&mut self, wanted: Wanted) -> Result<(), Rule> {
        if wanted.is_nothing() {
            return Ok(());
        }
        let mut goes = false;
        for class in self.text.chars().filter_map(Class::of) {
            match wanted.action(class) {
                Action::Keep => {}
                Action::Refuse => return Err(class.rule()),
                Action::Drop => {
                    goes = true;
                    self.changed[class.rule() as usize] = true;
                }
            }
        }
        if goes {
            self.text = Cow::Owned(self.text.chars().filter(|&character| !wanted.drops(character)).collect());
        }
        Ok(())
    }

    fn normalize(&mut self, normalize: Normalize) {
        // Almost every text is in this form already, and most can be told to be by a look at each character.
        if normalize == Normalize::Keep || self.text.is_ascii() || is_nfc_quick(self.text.chars()) == IsNormalized::Yes
        {
            return;
        }
        let composed: String = self.text.nfc().collect();
        let differs = composed != self.text;
        self.change(Rule::Normalize, differs.then_some(composed));
    }

    fn escape_formula(&mut self, action: Formula) -> Result<(), Rule> {
        if action == Formula::Keep || !formula::is_formula(self.text.chars()) {
            return Ok(());
        }
        if action == Formula::Refuse {
            return Err(Rule::Formula);
        }
        let escaped = format!("{}{}", formula::ESCAPE, self.text);
        self.change(Rule::Formula, Some(escaped));
        Ok(())
    }
}

/// A character is a Unicode scalar value, as `maxLength` of JSON Schema counts them.
fn truncated(text: &str, characters_max: usize, html: Html) -> Option<String> {
    if text.len() <= characters_max {
        return None;
    }
    let (end, _) = text.char_indices().nth(characters_max)?;
    let kept = &text[..end];
    // Half of a character reference is neither what was sent nor what it stands for.
    let half = kept.rfind('&').filter(|&start| html == Html::Escape && !kept[start..].contains(';'));
    Some(kept[..half.unwrap_or(end)].to_owned())
}

/// A text that is no longer than what is shown would be shown whole, so nothing of it is.
fn masked(text: &str, shown: usize) -> Option<String> {
    let characters = text.chars().count();
    let hidden = if characters > shown { characters - shown } else { characters };
    let tail = text.char_indices().nth(hidden).map_or("", |(start, _)| &text[start..]);
    let masked = "*".repeat(hidden) + tail;
    (masked != text).then_some(masked)
}
