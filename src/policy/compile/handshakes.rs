//! `[handshake]` and what the preset knows → what the gateway answers itself.

use std::sync::Arc;

use super::combined::{Combined, One};
use super::keys::parameters;
use super::{Compiler, HandshakeRules};
use crate::admit::networks::Networks;
use crate::auth::authenticator::Combine;
use crate::auth::handshake::{Handshake, ProofNeeded};
use crate::auth::key::KeyKind;
use crate::policy::source::ConfirmRules;
use crate::policy::source_config::{HandshakeConfig, HandshakeMode, SourceConfig};

impl Compiler<'_, '_> {
    /// What the gateway answers itself. `None` if something is wrong.
    pub(super) fn handshakes(&mut self, config: &SourceConfig, combined: &Combined<'_>) -> Option<HandshakeRules> {
        let mut list = self.known_handshakes(combined)?;
        let written = config.handshake.as_ref();
        if let Some(written) = written.filter(|_| list.is_empty()) {
            let message = format!("provider {:?} has no handshake", combined.name());
            self.error(written.span.clone(), message);
            return None;
        }
        let confirm = self.confirm(config, combined, &mut list)?;
        let Some(written) = written else { return Some(HandshakeRules { list, ..HandshakeRules::default() }) };
        let mode = mode(Some(written));
        let forwards = mode == HandshakeMode::Forward;
        if forwards && list.iter().any(|handshake| handshake.proof == ProofNeeded::None) {
            let span = written.mode.as_ref().map(|mode| mode.span.clone());
            let message = "the provider's handshake proves nothing, so it cannot be forwarded".to_owned();
            self.error_with(span, message, "use \"answer\" or \"refuse\"".to_owned());
            return None;
        }
        let learns = list.iter().any(|handshake| handshake.learn.is_some());
        if let Some(learn) = written.learn_secret.as_ref().filter(|_| !learns) {
            let message = format!("provider {:?} hands over no secret", combined.name());
            self.error(Some(learn.span.clone()), message);
            return None;
        }
        let verify_token = match &written.verify_token {
            Some(place) => self.resolve(place, KeyKind::Secret).ok()?,
            None => None,
        };
        let learn = written.learn_secret.as_ref().map(|path| path.value.clone());
        let kept = written.learn_secret.iter().map(|path| (Arc::clone(&self.file.path), path.clone()));
        self.context.learnt.extend(kept);
        Some(HandshakeRules { list, verify_token, mode, learn, confirm })
    }

    /// The provider's.
    fn known_handshakes(&mut self, combined: &Combined<'_>) -> Option<Vec<Handshake>> {
        let mut list = Vec::new();
        for (count, (_, one)) in combined.with_handshakes().enumerate() {
            if count > 0 {
                let message = format!("provider {:?} has handshakes, as one before it has", one.proving.name());
                self.error_with(one.auth.span.clone(), message, "make it a source of its own".to_owned());
                return None;
            }
            let parameters = parameters(one.auth);
            let given = |name: &str| parameters.get(name).copied();
            for handshake in one.proving.preset().into_iter().flat_map(|preset| &preset.handshakes) {
                // A missing parameter is reported with the schemes.
                list.push(handshake.resolve(&given).ok()?);
            }
        }
        Some(list)
    }

    /// How subscriptions are confirmed; where they are not, what asks for that is a delivery as any other, and taken out of the list. Outer
    /// `None`: something is wrong.
    fn confirm(
        &mut self,
        config: &SourceConfig,
        combined: &Combined<'_>,
        list: &mut Vec<Handshake>,
    ) -> Option<Option<ConfirmRules>> {
        let written = config.handshake.as_ref();
        let confirm = written.and_then(|written| written.confirm.as_ref());
        let wanted = confirm.filter(|confirm| confirm.value);
        let asks = list.iter().any(|handshake| handshake.confirm.is_some());
        let Some(wanted) = wanted else {
            if asks && mode(written) == HandshakeMode::Answer {
                list.retain(|handshake| handshake.confirm.is_none());
                return self.tell_unconfirmed(config, combined).map(|()| None);
            }
            return Some(None);
        };
        let span = Some(wanted.span.clone());
        if !asks {
            let message = format!("provider {:?} asks for no confirmation", combined.name());
            self.error(span, message);
            return None;
        }
        if mode(written) != HandshakeMode::Answer {
            self.error(
                span,
                "confirm = true has no meaning beside this mode: it is how the gateway answers".to_owned(),
            );
            return None;
        }
        if combined.combine == Combine::Any && combined.list.len() > 1 {
            let message = "confirm = true wants the provider's signature, and combine = \"any\" takes less".to_owned();
            self.error_with(span, message, "make it a source of its own, or use combine = \"all\"".to_owned());
            return None;
        }
        if combined.with_handshakes().any(|(_, one)| takes_anybodys(one)) {
            let message = "confirm = true would subscribe this source to whatever anybody sends it".to_owned();
            let hint = "[auth.parameters] topic_arn = \"arn:aws:sns:…\" says which topics are yours".to_owned();
            self.error_with(span, message, hint);
            return None;
        }
        let written = written?;
        self.context.watched.extend(written.trust_roots.iter().map(|root| root.value.clone()));
        let client = self.context.trust.client_config(&written.trust_roots);
        let client = client.map_err(|(span, message)| self.error(span, message)).ok()?;
        let networks = written.networks.iter().flat_map(|networks| &networks.value);
        Some(Some(ConfirmRules { networks: Networks::new(networks.map(|network| network.value)), client }))
    }

    /// A subscription that nobody confirms is none; whoever wants the app to do it says so.
    fn tell_unconfirmed(&mut self, config: &SourceConfig, combined: &Combined<'_>) -> Option<()> {
        let written = config.handshake.as_ref();
        let hint =
            "confirm = true in [handshake] has the gateway confirm it; mode = \"forward\" says that the app does";
        if let Some(mode) = written.and_then(|written| written.mode.as_ref()) {
            let message = "mode = \"answer\" without confirm = true leaves a subscription unanswered".to_owned();
            self.error_with(Some(mode.span.clone()), message, hint.to_owned());
            return None;
        }
        if written.is_none_or(|written| written.confirm.is_none()) {
            let span = combined.with_handshakes().next().and_then(|(_, one)| one.auth.span.clone());
            let message = "a request to confirm a subscription goes to the app, as a delivery".to_owned();
            self.warning(span, message, hint);
        }
        Some(())
    }
}

fn mode(written: Option<&HandshakeConfig>) -> HandshakeMode {
    written.and_then(|written| written.mode.as_ref()).map_or(HandshakeMode::Answer, |mode| mode.value)
}

/// Whether a provider's signature says nothing of whose message it is: then the policy has to.
fn takes_anybodys(one: &One<'_>) -> bool {
    one.proving.code().is_some_and(|kind| kind.advice(&parameters(one.auth)).is_some())
}
