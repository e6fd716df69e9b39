//! What is done with one value: a text cleaned, a value replaced.

use std::borrow::Cow;
use std::ops::Range;

use super::{Cut, Path, Walk};
use crate::payload::Node;
use crate::payload::escape_into;
use crate::rejection::Rejection;
use crate::sanitize::characters::{Class, Wanted};
use crate::sanitize::effect::{Effect, Text};
use crate::sanitize::report::Rule;
use crate::sanitize::text::{Rewritten, rewritten};
use crate::sanitize::{Action, Formula, formula, refused};

impl<'d> Walk<'d> {
    /// An element that does not go on leaves `null`, so that the others keep their positions.
    pub(super) fn nullify(&mut self, element: Node<'d>, rule: Rule, path: &Path<'_>) -> Result<(), Rejection> {
        if element.is_null() {
            return Ok(());
        }
        self.report.add(rule, || path.pointer());
        self.replace(element.span(), Cow::Borrowed(b"null"), rule, path)
    }

    /// Puts one of the policy's own values in the place of another.
    pub(super) fn set(&mut self, node: Node<'d>, number: u16, path: &Path<'_>) -> Result<(), Rejection> {
        let Some(value) = self.places.and_then(|places| places.value(number)) else { return Ok(()) };
        if node.raw() == value.as_bytes() {
            return Ok(());
        }
        self.report.add(Rule::Set, || path.pointer());
        self.replace(node.span(), Cow::Borrowed(value.as_bytes()), Rule::Set, path)
    }

    pub(super) fn text(&mut self, string: Node<'d>, effect: &Effect, path: &Path<'_>) -> Result<(), Rejection> {
        if effect.hashed.is_none() && effect.only_cuts() {
            return self.cut_text(string, effect, path);
        }
        let Some(received) = string.as_str() else { return Ok(()) };
        if let Some(number) = effect.hashed {
            return self.hash(string, &received, number, path);
        }
        let made = rewritten(&received, effect).map_err(|rule| refused(rule, path.pointer()))?;
        self.refuse_unwanted(effect, &made.text, path)?;
        if made.is_cut() {
            return self.cut_text(string, effect, path);
        }
        self.put_text(string, &made, path)
    }

    /// Numbers and booleans are replaced as what they are written as; else they go on.
    pub(super) fn scalar(&mut self, node: Node<'d>, effect: &Effect, path: &Path<'_>) -> Result<(), Rejection> {
        if effect.hashed.is_none() && effect.masked.is_none() && effect.refusing == 0 {
            return Ok(());
        }
        let Some(written) = node.scalar_text() else { return Ok(()) };
        if let Some(number) = effect.hashed {
            return self.hash(node, &written, number, path);
        }
        if effect.masked.is_none() {
            return self.refuse_unwanted(effect, &written, path);
        }
        // It becomes a text, so it is as long as a text may be.
        let text = Text { truncate: effect.text.truncate, ..Text::default() };
        let masked = Effect { masked: effect.masked, text, ..Effect::default() };
        let made = rewritten(&written, &masked).map_err(|rule| refused(rule, path.pointer()))?;
        self.refuse_unwanted(effect, &made.text, path)?;
        self.put_text(node, &made, path)
    }

    fn refuse_unwanted(&self, effect: &Effect, text: &str, path: &Path<'_>) -> Result<(), Rejection> {
        let fits = self.places.is_some_and(|places| places.fits_unwanted(effect.refusing, text));
        if fits { Err(refused(Rule::RefuseIf, path.pointer())) } else { Ok(()) }
    }

    fn hash(&mut self, node: Node<'d>, text: &str, number: u16, path: &Path<'_>) -> Result<(), Rejection> {
        let pseudonyms = self.places.and_then(|places| places.pseudonyms(number));
        let Some(pseudonym) = pseudonyms.and_then(|pseudonyms| pseudonyms.of(text)) else {
            return Err(refused(Rule::Hash, path.pointer())
                .hint("check was told to do without secrets: the key of hash has to be where the policy says"));
        };
        if pseudonym == text {
            return Ok(());
        }
        self.report.add(Rule::Hash, || path.pointer());
        self.replace(node.span(), Cow::Owned(format!("\"{pseudonym}\"").into_bytes()), Rule::Hash, path)
    }

    /// Writes a text anew; an edit for each rule that had to do with it.
    fn put_text(&mut self, node: Node<'d>, made: &Rewritten<'_>, path: &Path<'_>) -> Result<(), Rejection> {
        let mut json = Vec::with_capacity(made.text.len() + 2);
        json.push(b'"');
        escape_into(&mut json, &made.text);
        json.push(b'"');
        let mut last = Rule::Mask;
        for rule in made.rules() {
            self.report.add(rule, || path.pointer());
            last = rule;
        }
        self.replace(node.span(), Cow::Owned(json), last, path)
    }

    /// Takes single characters out of a text, whose other characters stay as they are spelled, and makes a formula text.
    fn cut_text(&mut self, string: Node<'d>, effect: &Effect, path: &Path<'_>) -> Result<(), Rejection> {
        let characters = effect.text.characters;
        self.formula(string, effect.text.formula, characters, path)?;
        self.characters(characters, string.span(), path)
    }

    /// Makes a text of a string that is a formula once it is rid of unwanted characters.
    fn formula(
        &mut self,
        string: Node<'d>,
        action: Formula,
        characters: Wanted,
        path: &Path<'_>,
    ) -> Result<(), Rejection> {
        let is_formula =
            |text: Cow<'_, str>| formula::is_formula(text.chars().filter(|&character| !characters.drops(character)));
        if action == Formula::Keep || !string.as_str().is_some_and(is_formula) {
            return Ok(());
        }
        if action == Formula::Refuse {
            return Err(refused(Rule::Formula, path.pointer()));
        }
        let start = string.span().start + 1;
        self.cuts.push(Cut { span: start..start, instead: Cow::Borrowed(formula::ESCAPE.as_bytes()) });
        self.report.add(Rule::Formula, || path.pointer());
        Ok(())
    }

    /// Cuts unwanted characters out of the string, or name, at `span`, quotes included: an edit for each rule that finds some.
    pub(super) fn characters(
        &mut self,
        characters: Wanted,
        span: Range<usize>,
        path: &Path<'_>,
    ) -> Result<(), Rejection> {
        if characters.is_nothing() {
            return Ok(());
        }
        let mut found = [false; 3];
        for (cut, class) in characters.find(&self.document.source()[span.clone()]) {
            if characters.action(class) == Action::Refuse {
                return Err(refused(class.rule(), path.pointer()));
            }
            found[class as usize] = true;
            self.cut(span.start + cut.start..span.start + cut.end);
        }
        for class in Class::ALL.into_iter().filter(|&class| found[class as usize]) {
            self.report.add(class.rule(), || path.pointer());
        }
        Ok(())
    }
}
