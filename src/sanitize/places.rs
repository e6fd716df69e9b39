//! `[[sanitize.rule]]` and `keep`: rules for some places of a payload, compiled.
//!
//! Each rule becomes an [`Effect`] at the places of its pattern and at everything below them. Where rules meet their effects are joined, so their order in the
//! policy means nothing. Two rules of which neither is stricter (other values to set, other keys to hash with) may not meet, which is found out when they load.

use super::characters::Wanted;
use super::effect::Effect;
use super::hash::Pseudonyms;
use super::unwanted::Unwanted;
use super::{Action, Formula, Html, Normalize};
use crate::payload::patterns::{Pattern, Patterns, Way};

/// One `[[sanitize.rule]]`.
#[derive(Debug, Clone)]
pub struct PlaceRule {
    /// Where: at its places and at everything below them.
    pub at: Pattern,
    /// What is done there.
    pub deeds: Vec<Deed>,
}

/// What a rule does.
#[derive(Debug, Clone)]
pub enum Deed {
    /// `drop`: a member goes, an element becomes `null`.
    Drop,
    /// `set`: this JSON text takes its place.
    Set(Box<str>),
    /// `hash`: a pseudonym takes its place.
    Hash(Pseudonyms),
    /// `mask`: all characters but so many at the end become `*`.
    Mask(usize),
    /// `truncate`: a text has at most so many characters.
    Truncate(usize),
    /// `refuse_if`: what would go on may not fit this.
    RefuseIf(Unwanted),
    /// `control_characters`.
    ControlCharacters(Action),
    /// `bidi_controls`.
    BidiControls(Action),
    /// `zero_width`.
    ZeroWidth(Action),
    /// `normalize`.
    Normalize(Normalize),
    /// `html`.
    Html(Html),
    /// `formula`.
    Formula(Formula),
}

/// Rules of one policy.
pub const RULES_MAX: usize = 64;
/// Patterns in `keep`.
pub const KEEP_MAX: usize = 64;

/// Why rules cannot stand together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlacesFault {
    /// Their patterns have more steps than are walked along.
    TooManySteps,
    /// Two rules want something else of one value.
    Conflict {
        /// The rule, by its position.
        rule: usize,
        /// The one before it.
        earlier: usize,
        /// The key in both.
        deed: &'static str,
    },
}

/// All rules for places, ready to be walked along a payload.
#[derive(Debug)]
pub struct Places {
    patterns: Patterns,
    /// What each pattern does.
    effects: Box<[Effect]>,
    /// All of them together: what there is to look for.
    everywhere: Effect,
    /// The states of what is kept, where not everything is.
    keep: Option<Way>,
    values: Box<[Box<str>]>,
    keys: Box<[Pseudonyms]>,
    unwanted: Box<[Unwanted]>,
}

impl Places {
    /// Compiles rules, and `keep` unless it is empty.
    ///
    /// # Errors
    /// A [`PlacesFault`].
    pub fn new(rules: &[PlaceRule], keep: &[Pattern]) -> Result<Self, PlacesFault> {
        let patterns: Vec<&Pattern> = rules.iter().map(|rule| &rule.at).chain(keep).collect();
        let patterns = Patterns::new(&patterns).ok_or(PlacesFault::TooManySteps)?;
        for (number, rule) in rules.iter().enumerate() {
            for (earlier, other) in rules[..number].iter().enumerate() {
                if let Some(deed) = conflict(rule, other) {
                    return Err(PlacesFault::Conflict { rule: number, earlier, deed });
                }
            }
        }
        let (mut values, mut keys, mut unwanted) = (Vec::new(), Vec::new(), Vec::new());
        let mut effects = Vec::new();
        for deed in rules.iter().map(|rule| &rule.deeds) {
            let mut effect = Effect::default();
            for deed in deed {
                effect = effect.join(deed.effect(&mut values, &mut keys, &mut unwanted));
            }
            effects.push(effect);
        }
        effects.resize(rules.len() + keep.len(), Effect { kept: true, ..Effect::default() });
        let everywhere = effects.iter().fold(Effect::default(), |all, effect| all.join(*effect));
        Ok(Self {
            keep: (!keep.is_empty()).then(|| patterns.states_of(|number| number >= rules.len())),
            patterns,
            effects: effects.into(),
            everywhere,
            values: values.into(),
            keys: keys.into(),
            unwanted: unwanted.into(),
        })
    }

    pub(super) const fn patterns(&self) -> &Patterns {
        &self.patterns
    }

    pub(super) const fn everywhere(&self) -> &Effect {
        &self.everywhere
    }

    /// What is done where a walk has come, besides what is done around it.
    pub(super) fn effects(&self, way: Way) -> impl Iterator<Item = Effect> {
        self.patterns.ending(way).filter_map(|number| self.effects.get(number).copied())
    }

    /// Whether there is a list of what is kept, and neither this place nor one below can be on it.
    pub(super) fn keeps_nothing(&self, way: Way) -> bool {
        self.keep.is_some_and(|keep| !way.meets(keep))
    }

    pub(super) const fn has_list(&self) -> bool {
        self.keep.is_some()
    }

    pub(super) fn value(&self, number: u16) -> Option<&str> {
        self.values.get(usize::from(number)).map(|value| &**value)
    }

    pub(super) fn pseudonyms(&self, number: u16) -> Option<&Pseudonyms> {
        self.keys.get(usize::from(number))
    }

    pub(super) fn fits_unwanted(&self, refusing: u64, text: &str) -> bool {
        (0..).zip(&self.unwanted).any(|(number, unwanted)| refusing >> number & 1 == 1 && unwanted.fits(text))
    }
}

impl Deed {
    fn effect(&self, values: &mut Vec<Box<str>>, keys: &mut Vec<Pseudonyms>, unwanted: &mut Vec<Unwanted>) -> Effect {
        let none = Effect::default();
        let text = |change: &dyn Fn(&mut super::effect::Text)| {
            let mut effect = none;
            change(&mut effect.text);
            effect
        };
        let number = |list: usize| Some(u16::try_from(list).unwrap_or(u16::MAX));
        match self {
            Self::Drop => Effect { dropped: true, ..none },
            Self::Set(value) => {
                values.push(value.clone());
                Effect { set: number(values.len() - 1), ..none }
            }
            Self::Hash(pseudonyms) => {
                keys.push(pseudonyms.clone());
                Effect { hashed: number(keys.len() - 1), ..none }
            }
            Self::Mask(shown) => Effect { masked: Some(*shown), ..none },
            Self::Truncate(characters) => text(&|text| text.truncate = Some(*characters)),
            Self::RefuseIf(pattern) => {
                unwanted.push(pattern.clone());
                Effect { refusing: 1 << (unwanted.len() - 1).min(63), ..none }
            }
            Self::ControlCharacters(control) => {
                text(&|text| text.characters = Wanted { control: *control, ..Wanted::default() })
            }
            Self::BidiControls(bidi) => text(&|text| text.characters = Wanted { bidi: *bidi, ..Wanted::default() }),
            Self::ZeroWidth(zero_width) => {
                text(&|text| text.characters = Wanted { zero_width: *zero_width, ..Wanted::default() })
            }
            Self::Normalize(normalize) => text(&|text| text.normalize = *normalize),
            Self::Html(html) => text(&|text| text.html = *html),
            Self::Formula(formula) => text(&|text| text.formula = *formula),
        }
    }
}

/// What two rules want of one value that cannot both be.
fn conflict(rule: &PlaceRule, other: &PlaceRule) -> Option<&'static str> {
    let mut pairs = rule.deeds.iter().flat_map(|deed| other.deeds.iter().map(move |other| (deed, other)));
    let found = pairs.find_map(|pair| match pair {
        (Deed::Set(one), Deed::Set(two)) if one != two => Some("set"),
        (Deed::Hash(one), Deed::Hash(two)) if !one.is_like(two) => Some("hash"),
        _ => None,
    });
    found.filter(|_| rule.at.meets(&other.at))
}
