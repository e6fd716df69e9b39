//! Handshakes on a delivery's way: where they are met, and what ends there.
//!
//! One without proof that the head tells is met before the credential is looked for; one that only the body tells, in place of its missing
//! credential; an authentic one once the payload is read. What a handshake is and is answered is data, see [`Handshake`].

use bytes::Bytes;
use http::HeaderMap;

use super::{Accepted, Answer, Duty, Ended, Purpose, Routed};
use crate::auth::handshake::{Answered, Handshake, ProofNeeded};
use crate::auth::place::{Body, Place, View};
use crate::auth::template::{Filling, Signer};
use crate::clock::UnixSeconds;
use crate::payload::Document;
use crate::policy::source_config::HandshakeMode;
use crate::reason::Reason;
use crate::rejection::Rejection;
use crate::secret::Secret;

/// Why the gateway answers, for the log.
const HANDSHAKE: &str = "handshake";

impl Routed<'_> {
    /// Answers a handshake that comes without proof and can be told by the head alone. Everything else goes on.
    ///
    /// # Errors
    /// The answer; `handshake_refused` if it does not hold what it must; `client_certificate_missing` or `credential_mismatch` where the policy
    /// wants a client certificate of everybody.
    pub fn greet(self, now: UnixSeconds) -> Result<Self, Ended> {
        let view = View::of_head(self.auth_head());
        let is_met = |handshake: &&Handshake| {
            handshake.proof == ProofNeeded::None && handshake.is_of_head() && handshake.is(&view)
        };
        match self.source.handshakes.list.iter().find(is_met) {
            Some(handshake) => {
                self.admit_stranger(now)?;
                Err(self.shake(handshake, view, now))
            }
            None => Ok(self),
        }
    }

    /// What a handshake is answered, as the policy wants it.
    fn shake(&self, handshake: &Handshake, view: View<'_>, now: UnixSeconds) -> Ended {
        let rules = &self.source.handshakes;
        if rules.mode != HandshakeMode::Answer {
            return Rejection::new(Reason::HandshakeRefused).hint("the policy's [handshake] mode refuses it").into();
        }
        if handshake.learn.is_some() && rules.learn.is_none() {
            let hint = "[handshake] learn_secret says where the provider's secret is kept; then run `hookward learn`";
            return Rejection::new(Reason::HandshakeRefused).hint(hint).into();
        }
        if let Some(place) = &handshake.confirm {
            return self.answer_confirmed(place, view);
        }
        let key = self.source.authenticator.as_ref().and_then(|authenticator| authenticator.challenge_key(now));
        let signer = key.as_ref().map(|key| key as &dyn Signer);
        let verify_token = rules.verify_token.as_ref().map(Secret::expose);
        match handshake.answer(&Filling { verify_token, signer, ..Filling::of(view) }) {
            Ok(Answered { headers, body, learned }) => {
                Answer { headers, body, why: HANDSHAKE, duty: learned.map(Duty::Keep), held: None }.into()
            }
            Err(rejection) => rejection.into(),
        }
    }

    /// The answer to a subscription that is wanted; it is given once the visit is made.
    fn answer_confirmed(&self, place: &Place, view: View<'_>) -> Ended {
        let Some(authenticator) = &self.source.authenticator else { return Reason::HandshakeRefused.into() };
        match authenticator.confirmation(place, &view) {
            Ok(confirmation) => {
                let duty = Some(Duty::Confirm(confirmation));
                Answer { headers: HeaderMap::new(), body: Bytes::new(), why: HANDSHAKE, duty, held: None }.into()
            }
            Err(rejection) => rejection.into(),
        }
    }

    /// Whether the body may make this a handshake that comes without proof.
    pub(super) fn may_be_met_later(&self) -> bool {
        let list = &self.source.handshakes.list;
        list.iter().any(|handshake| handshake.proof == ProofNeeded::None && !handshake.is_of_head())
    }

    /// Where the policy wants a client certificate besides everything else, it wants it of strangers too.
    pub(super) fn admit_stranger(&self, now: UnixSeconds) -> Result<(), Rejection> {
        match &self.source.authenticator {
            Some(authenticator) => authenticator.admit_stranger(self.client_chain(), now),
            None => Ok(()),
        }
    }
}

/// Answers a handshake without proof that only the body tells. Everything else goes on to the fault it has.
pub(super) fn meet(routed: &Routed<'_>, body: &Bytes, now: UnixSeconds) -> Result<(), Ended> {
    let body = Body::new(body, &routed.head.headers).within(routed.source.json);
    let view = View::of_head(routed.auth_head()).with_body(&body);
    let is_met = |handshake: &&Handshake| handshake.proof == ProofNeeded::None && handshake.is(&view);
    match routed.source.handshakes.list.iter().find(is_met) {
        Some(handshake) => Err(routed.shake(handshake, view, now)),
        None => Ok(()),
    }
}

impl Accepted<'_> {
    /// Answers an authentic handshake. Everything else goes on, unless it came by a method that deliveries do not have.
    pub(super) fn greet_authentic(&self, document: Option<&Document>) -> Result<(), Ended> {
        let rules = &self.routed.source.handshakes;
        if rules.mode == HandshakeMode::Forward || rules.list.is_empty() {
            return Ok(());
        }
        let body = Body::read(&self.body, &self.routed.head.headers, document).within(self.routed.source.json);
        let view = View::of_head(self.routed.auth_head()).with_body(&body);
        match rules.list.iter().find(|handshake| handshake.proof == ProofNeeded::Required && handshake.is(&view)) {
            Some(_) if self.sender.is_unproven() => {
                let hint = "[mode] auth lets deliveries pass without proof, not handshakes";
                Err(Rejection::new(Reason::HandshakeRefused).hint(hint).into())
            }
            Some(handshake) => Err(self.routed.shake(handshake, view, self.at)),
            None if self.routed.purpose == Purpose::Handshake => Err(Reason::HandshakeRefused.into()),
            None => Ok(()),
        }
    }
}
