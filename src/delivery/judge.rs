//! Whether what a delivery says may go on: its payload, its event, its schema, and what the sanitizer makes of it.
//!
//! **Invariant:** no step before this one reads a payload but to look single values up: a credential, or what makes a handshake of it.

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderMap;

use super::{Accepted, Answer, Ended, Event, Fit, Held, Reading, Routed, Sanitized, Validated, clean};
use crate::auth::Proof;
use crate::auth::facts::{self, Covered};
use crate::auth::place::{Body, View};
use crate::payload::declared::{Declared, Membership};
use crate::payload::schema::Schema;
use crate::payload::{Document, Payload};
use crate::policy::Source;
use crate::policy::source::{Mode, Unlisted};
use crate::reason::Reason;
use crate::rejection::{Findings, Rejection};
use crate::sanitize::Report;

impl<'d> Accepted<'d> {
    /// Reads the payload, finds the event and checks its schema. A body whose coding was signed with it is decoded here and not before: who proved
    /// nothing reaches no decoder.
    ///
    /// # Errors
    /// `decoding_failed`, `body_too_large`, `json_*`, `form_malformed`, `multipart_malformed`, `event_missing`, `event_unlisted`, `schema_mismatch`; or an
    /// answer where unlisted events are acknowledged.
    pub fn validate(mut self, findings: &mut Findings) -> Result<Validated<'d>, Ended> {
        let source = self.routed.source;
        self.body = self.routed.decoded(self.body, source.body_bytes_max)?;
        let payload = self.read_payload()?;
        let document = payload.as_ref().map(Payload::document);
        if let Err(ended) = self.greet_authentic(document) {
            return Err(self.hold(ended));
        }
        let (event, delivery_id) = self.find_facts(document);
        let fit = match document {
            Some(document) if source.event.has_schemas() => {
                check_schema(source, event.as_ref().map(|event| &*event.name), document, findings)?
            }
            Some(_) | None => Fit::Unasked,
        };
        Ok(Validated { delivery: self, payload, event, delivery_id, fit })
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

/// Judges a payload by the schema of its event. Where that has none, the policy says what becomes of the delivery.
fn check_schema<'d>(
    source: &'d Source,
    event: Option<&str>,
    document: &Document,
    findings: &mut Findings,
) -> Result<Fit<'d>, Ended> {
    let mode = source.modes.schema;
    match (source.event.schema(event), source.event.unlisted) {
        (Some(schema), _) => match schema.check(document) {
            Ok(membership) => Ok(Fit::Fits(schema, membership)),
            Err(mismatch) => {
                mode.judge(mismatch, findings)?;
                Ok(Fit::Misses(schema))
            }
        },
        (None, Unlisted::Accept) => Ok(Fit::Unasked),
        (None, Unlisted::Acknowledge) => {
            let (headers, body) = (HeaderMap::new(), Bytes::new());
            Err(Answer { headers, body, why: "event_unlisted", duty: None, held: None }.into())
        }
        (None, Unlisted::Refuse) => {
            let fault = if event.is_some() { Reason::EventUnlisted } else { Reason::EventMissing };
            mode.judge(fault.into(), findings)?;
            Ok(Fit::Unasked)
        }
    }
}

impl<'d> Fit<'d> {
    /// What the schema declares, and what judging by it has shown of the payload's members.
    fn declared(&self) -> (Option<&'d Declared>, Membership) {
        match self {
            Self::Unasked => (None, Membership::Unasked),
            Self::Fits(schema, membership) => (Some(schema.declared()), *membership),
            Self::Misses(schema) => (Some(schema.declared()), Membership::Unasked),
        }
    }

    /// The schema that an edited payload must go on to fit; it cannot go on to fit one that it missed before.
    const fn fitted(&self) -> Option<&'d Schema> {
        match self {
            Self::Fits(schema, _) => Some(schema),
            Self::Unasked | Self::Misses(_) => None,
        }
    }
}

impl<'d> Validated<'d> {
    /// The event, where the delivery names one.
    #[must_use]
    pub fn event(&self) -> Option<&str> {
        self.event.as_ref().map(|event| &*event.name)
    }

    /// Removes what the policy does not want to reach the upstream.
    ///
    /// # Errors
    /// `sanitizer_refused`.
    pub fn sanitize(self, findings: &mut Findings) -> Result<Sanitized<'d>, Rejection> {
        let Accepted { routed, body, sender, at: _, slot, novelty } = self.delivery;
        let (body, report) = match &self.payload {
            Some(payload) => {
                let (declared, membership) = self.fit.declared();
                let cleaned = routed.source.sanitize.clean(payload.document(), declared, membership);
                match routed.source.modes.sanitize {
                    Mode::Enforce => {
                        let cleaned = cleaned?;
                        clean::check_again(&cleaned, self.fit.fitted(), payload, routed.source, findings)?;
                        (clean::body(body, payload, &cleaned, routed.source)?, cleaned.report)
                    }
                    Mode::Monitor => {
                        if let Some(finding) = clean::finding(cleaned) {
                            findings.add(finding);
                        }
                        (body, Report::default())
                    }
                }
            }
            None => (body, Report::default()),
        };
        let (event, delivery_id) = (self.event, self.delivery_id);
        Ok(Sanitized { routed, _slot: slot, novelty, body, report, sender, event, delivery_id })
    }
}
