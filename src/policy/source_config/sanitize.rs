//! `[sanitize]`: what is cleaned, everywhere and at some places.

use std::ops::Range;

use bytes::Bytes;

use super::auth::{SecretPlace, read_place};
use super::event::EventConfig;
use crate::payload::patterns::Pattern;
use crate::payload::{Document, JsonLimits};
use crate::policy::table::parse::Fault;
use crate::policy::table::{Bound, Reader, Spanned};
use crate::sanitize::{Action, Deed, Formula, Html, KEEP_MAX, Normalize, RULES_MAX, Rules, Unwanted};

/// `[sanitize]`.
#[derive(Debug, Clone, Default)]
pub struct SanitizeConfig {
    /// What is cleaned everywhere.
    pub rules: Rules,
    /// `keep`: the places of which alone something goes on; absent: of all.
    pub keep: Option<Spanned<Vec<Spanned<Pattern>>>>,
    /// `[[sanitize.rule]]`.
    pub places: Vec<PlaceConfig>,
}

/// One `[[sanitize.rule]]`.
#[derive(Debug, Clone)]
pub struct PlaceConfig {
    /// Where.
    pub at: Spanned<Pattern>,
    /// What is done there, without `hash`.
    pub deeds: Vec<Deed>,
    /// The key of `hash`.
    pub hash: Option<Spanned<SecretPlace>>,
}

impl SanitizeConfig {
    /// Whether every payload goes on as it came.
    #[must_use]
    pub fn keeps_everything(&self) -> bool {
        self.rules == Rules::default() && self.keep.is_none() && self.places.is_empty()
    }
}

/// How many characters a text has at most.
pub const TRUNCATE_CHARACTERS: Bound = Bound::new("characters", 0, 1, 1_048_576);
/// How many characters at the end of a masked text are shown.
pub const MASK_KEEP_LAST: Bound = Bound::new("keep_last", 0, 0, 64);
/// Bytes of a value that is set, as it goes into the body.
const SET_BYTES_MAX: usize = 4_096;

pub(super) fn read_sanitize(sanitize: &mut Reader<'_>, event: &EventConfig) -> SanitizeConfig {
    let formula = sanitize.one_of("formula", FORMULAS).map(|formula| formula.value).unwrap_or_default();
    let normalize = sanitize.one_of("normalize", NORMALIZE).map(|form| form.value).unwrap_or_default();
    let html = sanitize.one_of("html", HTML).map(|html| html.value).unwrap_or_default();
    let mut action = |key| sanitize.one_of(key, ACTIONS).map(|action| action.value).unwrap_or_default();
    let rules = Rules {
        unknown_fields: action("unknown_fields"),
        control_characters: action("control_characters"),
        bidi_controls: action("bidi_controls"),
        zero_width: action("zero_width"),
        prototype_keys: action("prototype_keys"),
        operator_keys: action("operator_keys"),
        formula,
        normalize,
        html,
    };
    if rules.unknown_fields != Action::Keep && event.schemas.is_none() {
        let fault = Fault::new("unknown_fields needs [event.schema]: without a schema no field is known");
        sanitize.error(sanitize.key_span("unknown_fields"), fault);
    }
    let keep = sanitize.list("keep", KEEP_MAX, parse_pattern);
    sanitize.refuse_empty("keep", ", so nothing would ever go on");
    let places = sanitize.tables("rule", RULES_MAX, read_rule);
    SanitizeConfig { rules, keep, places: places.map(|places| places.value).unwrap_or_default() }
}

fn read_rule(rule: &mut Reader<'_>) -> Option<PlaceConfig> {
    rule.require("at");
    let at = rule.parsed("at", parse_pattern);
    let mut deeds = Vec::new();
    match rule.boolean("drop") {
        Some(drop) if drop.value => deeds.push(Deed::Drop),
        Some(drop) => rule.error(Some(drop.span), Fault::new("drop = false says nothing: leave it out")),
        None => {}
    }
    deeds.extend(rule.json("set").and_then(|value| read_value(rule, value)));
    let hash = rule.table("hash", read_place).flatten();
    deeds.extend(rule.table("mask", |mask| Deed::Mask(mask.bound(&MASK_KEEP_LAST).size())));
    deeds.extend(rule.table("truncate", read_truncate).flatten());
    deeds.extend(rule.table("refuse_if", read_unwanted).flatten());
    deeds.extend(read_text_deeds(rule));
    if let Some(at) = &at
        && at.value.is_of_root()
    {
        for key in ["drop", "set"] {
            if rule.has(key) {
                let fault = Fault::new(format!("{key} at the whole body leaves nothing of it"));
                rule.error(Some(at.span.clone()), fault.hint("\"/*\" is everything in it"));
            }
        }
    }
    let says_nothing = deeds.is_empty() && hash.is_none();
    if says_nothing && !DEEDS.iter().any(|key| rule.has(key)) {
        rule.error(None, Fault::new("the rule does nothing").hint(format!("it takes {}", DEEDS.join(", "))));
    }
    Some(PlaceConfig { at: at?, deeds, hash })
}

fn read_text_deeds(rule: &mut Reader<'_>) -> Vec<Deed> {
    let mut deeds = Vec::new();
    deeds.extend(rule.one_of("control_characters", STRICTER).map(|action| Deed::ControlCharacters(action.value)));
    deeds.extend(rule.one_of("bidi_controls", STRICTER).map(|action| Deed::BidiControls(action.value)));
    deeds.extend(rule.one_of("zero_width", STRICTER).map(|action| Deed::ZeroWidth(action.value)));
    deeds.extend(rule.one_of("normalize", &NORMALIZE[1..]).map(|form| Deed::Normalize(form.value)));
    deeds.extend(rule.one_of("html", &HTML[1..]).map(|html| Deed::Html(html.value)));
    deeds.extend(rule.one_of("formula", &FORMULAS[1..]).map(|formula| Deed::Formula(formula.value)));
    deeds
}

fn read_truncate(truncate: &mut Reader<'_>) -> Option<Deed> {
    truncate.require(TRUNCATE_CHARACTERS.key);
    truncate
        .number(&TRUNCATE_CHARACTERS)
        .map(|characters| Deed::Truncate(usize::try_from(characters.value).unwrap_or(usize::MAX)))
}

fn read_unwanted(refuse_if: &mut Reader<'_>) -> Option<Deed> {
    // Known, so that whoever looks for it is told why it is not there.
    refuse_if
        .refuse(&["injection"], "is not supported: no detector of injections is sound enough to refuse deliveries by");
    if !refuse_if.has("injection") {
        refuse_if.require("pattern");
    }
    let parse = |text: &str| {
        Unwanted::parse(text).map_err(|fault| {
            let why = fault.lines().last().unwrap_or_default();
            let why = why.strip_prefix("error: ").unwrap_or(why);
            // Other engines have it, or it takes too much room.
            let is_too_much = why.ends_with("not supported") || !fault.starts_with("regex parse error");
            let what =
                if is_too_much { "none that runs in linear time and bounded memory" } else { "no regular expression" };
            Fault::new(format!("pattern {text:?} is {what}")).hint(why)
        })
    };
    refuse_if.parsed("pattern", parse).map(|pattern| Deed::RefuseIf(pattern.value))
}

/// A value as the body will hold it.
fn read_value(rule: &Reader<'_>, value: Spanned<String>) -> Option<Deed> {
    let Spanned { value: text, span } = value;
    if text.len() > SET_BYTES_MAX {
        rule.error(Some(span), Fault::new(format!("set has {} bytes, at most {SET_BYTES_MAX}", text.len())));
        return None;
    }
    if Document::read(Bytes::copy_from_slice(text.as_bytes()), JsonLimits::default()).is_err() {
        rule.error(Some(span), Fault::new("set is not JSON without names that stand twice"));
        return None;
    }
    Some(Deed::Set(text.into()))
}

fn parse_pattern(text: &str) -> Result<Pattern, Fault> {
    Pattern::parse(text).map_err(|fault| Fault::new(format!("{text:?} is no place of a body")).hint(fault.to_string()))
}

/// Places of a file where rules stand, for findings about two of them.
pub(in crate::policy) fn span_of(rule: &PlaceConfig) -> Range<usize> {
    rule.at.span.clone()
}

const DEEDS: [&str; 12] = [
    "drop",
    "set",
    "hash",
    "mask",
    "truncate",
    "refuse_if",
    "control_characters",
    "bidi_controls",
    "zero_width",
    "normalize",
    "html",
    "formula",
];

const NORMALIZE: &[(&str, Normalize)] = &[("keep", Normalize::Keep), ("nfc", Normalize::Nfc)];

const HTML: &[(&str, Html)] = &[("keep", Html::Keep), ("strip", Html::Strip), ("escape", Html::Escape)];

const FORMULAS: &[(&str, Formula)] =
    &[("keep", Formula::Keep), ("escape", Formula::Escape), ("refuse", Formula::Refuse)];

const ACTIONS: &[(&str, Action)] = &[("keep", Action::Keep), ("drop", Action::Drop), ("refuse", Action::Refuse)];

/// What a rule for a place can say: it never takes back what holds everywhere.
const STRICTER: &[(&str, Action)] = &[("drop", Action::Drop), ("refuse", Action::Refuse)];
