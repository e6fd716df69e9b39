//! `[sanitize]`, compiled: keys found, rules for places held against each other.

use super::{Compiler, Reported};
use crate::auth::key::KeyKind;
use crate::payload::patterns::STATES_MAX;
use crate::policy::source_config::SanitizeConfig;
use crate::policy::source_config::sanitize::span_of;
use crate::policy::table::parse::Fault;
use crate::sanitize::{Deed, PlaceRule, Places, PlacesFault, Pseudonyms, Sanitizer};
use crate::secret::SECRET_BYTES_MIN;

impl Compiler<'_, '_> {
    /// The keys of its rules are resolved, and its places put together.
    pub(super) fn sanitizer(&mut self, config: &SanitizeConfig) -> Result<Sanitizer, Reported> {
        let mut rules = Vec::with_capacity(config.places.len());
        for place in &config.places {
            let mut deeds = place.deeds.clone();
            if let Some(from) = &place.hash {
                let key = self.resolve(from, KeyKind::Secret)?;
                if key.as_ref().is_some_and(|key| key.len() < SECRET_BYTES_MIN) {
                    let fault = Fault::new(format!(
                        "the key of hash has fewer than {SECRET_BYTES_MIN} bytes: whoever guesses it can guess values"
                    ));
                    if self.context.strict {
                        return Err(self.error(from.span.clone(), fault));
                    }
                    self.warning(from.span.clone(), fault.hint("make one with `openssl rand -hex 32`"));
                }
                deeds.push(Deed::Hash(Pseudonyms::new(key.as_ref())));
            }
            rules.push(PlaceRule { at: place.at.value.clone(), deeds });
        }
        let keep: Vec<_> = config.keep.iter().flat_map(|keep| &keep.value).map(|place| place.value.clone()).collect();
        if rules.is_empty() && keep.is_empty() {
            return Ok(Sanitizer::new(config.rules, None));
        }
        let places = Places::new(&rules, &keep).map_err(|fault| self.unfitting(config, fault))?;
        Ok(Sanitizer::new(config.rules, Some(places)))
    }

    fn unfitting(&mut self, config: &SanitizeConfig, fault: PlacesFault) -> Reported {
        match fault {
            PlacesFault::TooManySteps => {
                let span =
                    config.places.last().map(span_of).or_else(|| config.keep.as_ref().map(|keep| keep.span.clone()));
                let fault = Fault::new(format!(
                    "the places of keep and of all rules have more than {STATES_MAX} steps together"
                ));
                self.error(span, fault.hint("\"*\" and \"**\" name many places in one pattern"))
            }
            PlacesFault::Conflict { rule, earlier, deed } => {
                let fault = Fault::new(format!(
                    "sanitize.rule[{rule}] and sanitize.rule[{earlier}] both {deed} what stands at some places, each otherwise"
                ));
                let hint = "let their places lie apart: order decides nothing here";
                self.error(config.places.get(rule).map(span_of), fault.hint(hint))
            }
        }
    }
}
