//! `[handshake]` and what the preset knows → what the gateway answers itself.

use std::sync::Arc;

use super::combined::{Combined, One};
use super::keys::parameters;
use super::{Compiler, HandshakeRules, Reported};
use crate::admit::networks::Networks;
use crate::auth::authenticator::Combine;
use crate::auth::handshake::{Handshake, ProofNeeded};
use crate::auth::key::KeyKind;
use crate::policy::source::ConfirmRules;
use crate::policy::source_config::{HandshakeConfig, HandshakeMode, SourceConfig};
use crate::policy::table::parse::Fault;

impl Compiler<'_, '_> {
    /// What the gateway answers itself.
    pub(super) fn handshakes(
        &mut self,
        config: &SourceConfig,
        combined: &Combined<'_>,
    ) -> Result<HandshakeRules, Reported> {
        let mut list = self.known_handshakes(combined)?;
        let written = config.handshake.as_ref();
        if let Some(written) = written.filter(|_| list.is_empty()) {
            let fault = Fault::new(format!("provider {:?} has no handshake", combined.name()));
            return Err(self.error(written.span.clone(), fault));
        }
        let confirm = self.confirm(config, combined, &mut list)?;
        let Some(written) = written else { return Ok(HandshakeRules { list, ..HandshakeRules::default() }) };
        let mode = mode(Some(written));
        let forwards = mode == HandshakeMode::Forward;
        if forwards && list.iter().any(|handshake| handshake.proof == ProofNeeded::None) {
            let span = written.mode.as_ref().map(|mode| mode.span.clone());
            let fault = Fault::new("the provider's handshake proves nothing, so it cannot be forwarded");
            return Err(self.error(span, fault.hint("use \"answer\" or \"refuse\"")));
        }
        let learns = list.iter().any(|handshake| handshake.learn.is_some());
        if let Some(learn) = written.learn_secret.as_ref().filter(|_| !learns) {
            let fault = Fault::new(format!("provider {:?} hands over no secret", combined.name()));
            return Err(self.error(learn.span.clone(), fault));
        }
        let verify_token = match &written.verify_token {
            Some(place) => self.resolve(place, KeyKind::Secret)?,
            None => None,
        };
        let learn = written.learn_secret.as_ref().map(|path| path.value.clone());
        let kept = written.learn_secret.iter().map(|path| (Arc::clone(&self.file.path), path.clone()));
        self.context.learnt.extend(kept);
        Ok(HandshakeRules { list, verify_token, mode, learn, confirm })
    }

    /// The provider's.
    fn known_handshakes(&mut self, combined: &Combined<'_>) -> Result<Vec<Handshake>, Reported> {
        let mut list = Vec::new();
        for (count, (_, one)) in combined.with_handshakes().enumerate() {
            if count > 0 {
                let name = one.proving.name();
                let fault = Fault::new(format!("provider {name:?} has handshakes, as one before it has"));
                return Err(self.error(one.auth.span.clone(), fault.hint("make it a source of its own")));
            }
            let parameters = parameters(one.auth);
            let given = |name: &str| parameters.get(name).copied();
            for handshake in one.proving.preset().into_iter().flat_map(|preset| &preset.handshakes) {
                let resolved = handshake.resolve(&given).map_err(|name| match one.schemes {
                    // They miss it as well, most likely.
                    Err(reported) => reported,
                    Ok(_) => self.missing_parameter(one.auth, &one.proving, &name),
                });
                list.push(resolved?);
            }
        }
        Ok(list)
    }

    /// How subscriptions are confirmed; where they are not, what asks for that is a delivery as any other, and taken out of the list.
    fn confirm(
        &mut self,
        config: &SourceConfig,
        combined: &Combined<'_>,
        list: &mut Vec<Handshake>,
    ) -> Result<Option<ConfirmRules>, Reported> {
        let written = config.handshake.as_ref();
        let asks = list.iter().any(|handshake| handshake.confirm.is_some());
        let confirm = written.and_then(|written| written.confirm.as_ref()).filter(|confirm| confirm.value);
        let (Some(written), Some(wanted)) = (written, confirm) else {
            if asks && mode(written) == HandshakeMode::Answer {
                list.retain(|handshake| handshake.confirm.is_none());
                self.tell_unconfirmed(config, combined)?;
            }
            return Ok(None);
        };
        let mut refuse = |fault| Err(self.error(wanted.span.clone(), fault));
        if !asks {
            return refuse(Fault::new(format!("provider {:?} asks for no confirmation", combined.name())));
        }
        if mode(Some(written)) != HandshakeMode::Answer {
            return refuse(Fault::new("confirm = true has no meaning beside this mode: it is how the gateway answers"));
        }
        if combined.combine == Combine::Any && combined.list.len() > 1 {
            let fault = Fault::new("confirm = true wants the provider's signature, and combine = \"any\" takes less");
            return refuse(fault.hint("make it a source of its own, or use combine = \"all\""));
        }
        if combined.with_handshakes().any(|(_, one)| takes_anybodys(one)) {
            let fault = Fault::new("confirm = true would subscribe this source to whatever anybody sends it");
            return refuse(fault.hint("[auth.parameters] topic_arn = \"arn:aws:sns:…\" says which topics are yours"));
        }
        self.context.watched.extend(written.trust_roots.iter().map(|root| root.value.clone()));
        let client = self.context.trust.client_config(&written.trust_roots);
        let client = client.map_err(|(span, message)| self.error(span, Fault::new(message)))?;
        let networks = written.networks.iter().flat_map(|networks| &networks.value);
        Ok(Some(ConfirmRules { networks: Networks::new(networks.map(|network| network.value)), client }))
    }

    /// A subscription that nobody confirms is none; whoever wants the app to do it says so.
    fn tell_unconfirmed(&mut self, config: &SourceConfig, combined: &Combined<'_>) -> Result<(), Reported> {
        let written = config.handshake.as_ref();
        let hint =
            "confirm = true in [handshake] has the gateway confirm it; mode = \"forward\" says that the app does";
        if let Some(mode) = written.and_then(|written| written.mode.as_ref()) {
            let fault = Fault::new("mode = \"answer\" without confirm = true leaves a subscription unanswered");
            return Err(self.error(mode.span.clone(), fault.hint(hint)));
        }
        if written.is_none_or(|written| written.confirm.is_none()) {
            let span = combined.with_handshakes().next().and_then(|(_, one)| one.auth.span.clone());
            let fault = Fault::new("a request to confirm a subscription goes to the app, as a delivery");
            self.warning(span, fault.hint(hint));
        }
        Ok(())
    }
}

fn mode(written: Option<&HandshakeConfig>) -> HandshakeMode {
    written.and_then(|written| written.mode.as_ref()).map_or(HandshakeMode::Answer, |mode| mode.value)
}

/// Whether a provider's signature says nothing of whose message it is: then the policy has to.
fn takes_anybodys(one: &One<'_>) -> bool {
    one.proving.code().is_some_and(|kind| kind.advice(&parameters(one.auth)).is_some())
}
