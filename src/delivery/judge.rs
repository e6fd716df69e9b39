//! Whether what a delivery says may go on: its payload, its event, its schema, and what the sanitizer makes of it.
//!
//! **Invariant:** no step before this one reads a payload but to look single values up: a credential, or what makes a handshake of it.

use std::borrow::Cow;

use http::HeaderMap;

use super::{Accepted, Answer, Ended, Event, Held, Reading, Routed, Sanitized, Validated, clean};
use crate::auth::Proof;
use crate::auth::facts::{self, Covered};
use crate::auth::place::{Body, View};
use crate::payload::declared::Membership;
use crate::payload::schema::Schema;
use crate::payload::{Document, Payload};
use crate::policy::Source;
use crate::policy::source::{Mode, Unlisted};
use crate::reason::Reason;
use crate::rejection::Rejection;
use crate::sanitize::Report;

impl<'d> Accepted<'d> {
    /// Takes out what monitored stages found.
    pub fn take_monitored(&mut self) -> Vec<Rejection> {
        std::mem::take(&mut self.monitored)
    }

    /// Reads the payload, finds the event and checks its schema. A body whose coding was signed with it is decoded here and not before: who proved
    /// nothing reaches no decoder.
    ///
    /// # Errors
    /// `decoding_failed`, `body_too_large`, `json_*`, `form_malformed`, `multipart_malformed`, `event_missing`, `event_unlisted`, `schema_mismatch`; or an
    /// answer where unlisted events are acknowledged.
    pub fn validate(mut self) -> Result<Validated<'d>, Ended> {
        let source = self.routed.source;
        self.body = self.routed.decoded(self.body, source.body_bytes_max)?;
        let payload = self.read_payload()?;
        let document = payload.as_ref().map(Payload::document);
        if let Err(ended) = self.greet_authentic(document) {
            return Err(self.hold(ended));
        }
        let (event, delivery_id) = self.find_facts(document);
        let rules = &source.event;
        let mut membership = Membership::Unasked;
        let mut missed = false;
        let schema = match document {
            Some(document) if rules.has_schemas() => {
                let name = event.as_ref().map(|event| &*event.name);
                let schema = rules.schema(name);
                match (schema, name) {
                    (Some(schema), _) => match schema.check(document) {
                        Ok(known) => membership = known,
                        Err(mismatch) => {
                            source.modes.schema.judge(mismatch, &mut self.monitored)?;
                            missed = true;
                        }
                    },
                    (None, name) => match unlisted(source, name) {
                        Err(Ended::Rejected(fault)) => source.modes.schema.judge(fault, &mut self.monitored)?,
                        passed_or_answered => passed_or_answered?,
                    },
                }
                schema
            }
            Some(_) | None => None,
        };
        let fitted = schema.filter(|_| !missed);
        Ok(Validated { delivery: self, payload, event, delivery_id, schema, fitted, membership })
    }

    fn read_payload(&self) -> Result<Option<Payload>, Rejection> {
        let source = self.routed.source;
        match self.routed.reading {
            Reading::As(format) => {
                Payload::read(self.body.clone(), format, source.json_field.as_deref(), source.json).map(Some)
            }
            Reading::Not | Reading::Refused(_) => Ok(None),
        }
    }

    /// Leaves what the delivery holds to the answer that ends it.
    fn hold(self, ended: Ended) -> Ended {
        match ended {
            Ended::Answered(mut answer) => {
                answer.held = Some(Box::new(Held { _slot: self.slot, novelty: self.novelty }));
                Ended::Answered(answer)
            }
            Ended::Rejected(_) => ended,
        }
    }

    /// The event's name and the provider's id of the delivery, from one look at the body.
    fn find_facts(&self, document: Option<&Document>) -> (Option<Event<'d>>, Option<String>) {
        let Routed { source, head, .. } = self.routed;
        let body = Body::for_facts(&self.body, &head.headers, document);
        let claims = self.sender.proof().and_then(Proof::claims);
        let view = View::of_head(self.routed.auth_head()).with_body(&body).with_claims(claims);
        let event = source.event.places.iter().find_map(|(place, covered)| {
            let name = facts::find(std::slice::from_ref(place), &view)?;
            let covered = if self.sender.is_unproven() { Covered::Unsigned } else { *covered };
            Some(Event { name: Cow::Owned(name), covered })
        });
        (event, facts::find(&source.delivery_id, &view))
    }
}

fn unlisted(source: &Source, event: Option<&str>) -> Result<(), Ended> {
    match (source.event.unlisted, event) {
        (Unlisted::Accept, _) => Ok(()),
        (Unlisted::Acknowledge, _) => {
            let (headers, body) = (HeaderMap::new(), source.forward.acknowledgement.clone());
            Err(Answer { headers, body, why: "event_unlisted", duty: None, held: None }.into())
        }
        (Unlisted::Refuse, None) => Err(Reason::EventMissing.into()),
        (Unlisted::Refuse, Some(_)) => Err(Reason::EventUnlisted.into()),
    }
}

impl<'d> Validated<'d> {
    /// The event, where the delivery names one.
    #[must_use]
    pub fn event(&self) -> Option<&str> {
        self.event.as_ref().map(|event| &*event.name)
    }

    /// Takes out what monitored stages found.
    pub fn take_monitored(&mut self) -> Vec<Rejection> {
        self.delivery.take_monitored()
    }

    /// Removes what the policy does not want to reach the upstream.
    ///
    /// # Errors
    /// `sanitizer_refused`.
    pub fn sanitize(self) -> Result<Sanitized<'d>, Rejection> {
        let Accepted { routed, body, sender, at: _, slot, novelty, mut monitored } = self.delivery;
        let (body, report) = match &self.payload {
            Some(payload) => {
                let declared = self.schema.map(Schema::declared);
                let cleaned = routed.source.sanitize.clean(payload.document(), declared, self.membership);
                match routed.source.modes.sanitize {
                    Mode::Enforce => {
                        let cleaned = cleaned?;
                        clean::check_again(&cleaned, self.fitted, payload, routed.source, &mut monitored)?;
                        (clean::body(body, payload, &cleaned, routed.source)?, cleaned.report)
                    }
                    Mode::Monitor => {
                        monitored.extend(clean::finding(cleaned));
                        (body, Report::default())
                    }
                }
            }
            None => (body, Report::default()),
        };
        let (event, delivery_id) = (self.event, self.delivery_id);
        Ok(Sanitized { routed, _slot: slot, novelty, body, report, monitored, sender, event, delivery_id })
    }
}
