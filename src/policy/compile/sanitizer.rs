//! `[sanitize]`, compiled: keys found, rules for places held against each other.

use super::Compiler;
use crate::auth::key::KeyKind;
use crate::payload::patterns::STATES_MAX;
use crate::policy::source_config::SanitizeConfig;
use crate::policy::source_config::sanitize::span_of;
use crate::sanitize::{Deed, PlaceRule, Places, PlacesFault, Pseudonyms, Sanitizer};
use crate::secret::SECRET_BYTES_MIN;

impl Compiler<'_, '_> {
    /// `None` if something is wrong.
    pub(super) fn sanitizer(&mut self, config: &SanitizeConfig) -> Option<Sanitizer> {
        let mut rules = Vec::with_capacity(config.places.len());
        for place in &config.places {
            let mut deeds = place.deeds.clone();
            if let Some(from) = &place.hash {
                let key = self.resolve(from, KeyKind::Secret).ok()?;
                if key.as_ref().is_some_and(|key| key.len() < SECRET_BYTES_MIN) {
                    let message = format!(
                        "the key of hash has fewer than {SECRET_BYTES_MIN} bytes: whoever guesses it can guess values"
                    );
                    if self.context.strict {
                        self.error(Some(from.span.clone()), message);
                        return None;
                    }
                    self.warning(Some(from.span.clone()), message, "make one with `openssl rand -hex 32`");
                }
                deeds.push(Deed::Hash(Pseudonyms::new(key.as_ref())));
            }
            rules.push(PlaceRule { at: place.at.value.clone(), deeds });
        }
        let keep: Vec<_> = config.keep.iter().flat_map(|keep| &keep.value).map(|place| place.value.clone()).collect();
        if rules.is_empty() && keep.is_empty() {
            return Some(Sanitizer::new(config.rules, None));
        }
        match Places::new(&rules, &keep) {
            Ok(places) => Some(Sanitizer::new(config.rules, Some(places))),
            Err(fault) => {
                self.unfitting(config, fault);
                None
            }
        }
    }

    fn unfitting(&mut self, config: &SanitizeConfig, fault: PlacesFault) {
        match fault {
            PlacesFault::TooManySteps => {
                let span =
                    config.places.last().map(span_of).or_else(|| config.keep.as_ref().map(|keep| keep.span.clone()));
                let message = format!("the places of keep and of all rules have more than {STATES_MAX} steps together");
                self.error_with(span, message, "\"*\" and \"**\" name many places in one pattern".to_owned());
            }
            PlacesFault::Conflict { rule, earlier, deed } => {
                let message = format!(
                    "sanitize.rule[{rule}] and sanitize.rule[{earlier}] both {deed} what stands at some places, each otherwise"
                );
                let hint = "let their places lie apart: order decides nothing here".to_owned();
                self.error_with(config.places.get(rule).map(span_of), message, hint);
            }
        }
    }
}
