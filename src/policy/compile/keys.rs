//! The keys of one method, found, judged and made into its [`Verifier`].

use std::collections::HashMap;
use std::path::PathBuf;

use super::{Compiler, Proving, Reported};
use crate::auth::Verifier;
use crate::auth::code::{self, CodeKind};
use crate::auth::key::{KeyKind, NamedSecret};
use crate::auth::scheme::Scheme;
use crate::clock::Clock;
use crate::policy::secrets::{Exposure, Resolved, SecretFault};
use crate::policy::source_config::{MethodConfig, SecretPlace, SecretReference};
use crate::policy::table::Spanned;
use crate::policy::table::parse::Fault;
use crate::secret::{SECRET_BYTES_MIN, Secret};
use crate::whole_file::{self, PEM_BYTES_MAX};

impl Compiler<'_, '_> {
    /// One method with its keys; `learn` is where a secret of it is kept that the provider hands over.
    pub(super) fn verifier(
        &mut self,
        auth: &MethodConfig,
        learn: Option<&Spanned<PathBuf>>,
        method: &Proving,
        schemes: &[Scheme],
    ) -> Result<Verifier, Reported> {
        let code = method.code();
        let wants_secrets = schemes.iter().any(Scheme::has_secrets) || code.is_some_and(CodeKind::has_secrets);
        let wants_keys = schemes.iter().any(Scheme::has_public_keys) || code.is_some_and(CodeKind::has_public_keys);
        for (wanted, what, references) in
            [(wants_secrets, "secrets", &auth.secrets), (wants_keys, "public_keys", &auth.public_keys)]
        {
            let is_learnt = learn.is_some() && what == "secrets";
            if wanted && references.is_empty() && !is_learnt {
                if let Some(reported) = Reported::of_keys(auth) {
                    return Err(reported);
                }
                let fault = Fault::new(format!("no {what}: nothing could ever be accepted"));
                let hint = format!(
                    "{what} = [{{ id = \"2026-11\", {} }}]",
                    if what == "secrets" { "env = \"…\"" } else { "file = \"…\"" }
                );
                return Err(self.error(auth.span.clone(), fault.hint(hint)));
            }
            if !is_learnt {
                self.warn_of_expired(what, references);
            }
            if !wanted && let Some(first) = references.first() {
                let fault = Fault::new(format!("provider {:?} has no {what}", method.name()));
                return Err(self.error(first.span.clone(), fault));
            }
        }
        let keys = self.keys(auth, learn)?;
        if !code.is_some_and(CodeKind::has_trust_roots) {
            self.refuse_trust_roots(auth);
        }
        if let Some(advice) = code.and_then(|kind| kind.advice(&parameters(auth))) {
            self.warning(auth.span.clone(), Fault::new(advice));
        }
        let made = if let Some(kind) = code {
            let settings = code::Settings { parameters: &parameters(auth), trust_roots: &self.trust_roots(auth)? };
            kind.make(&keys, &settings).map(|code| Verifier::of_code(method.name(), code))
        } else {
            Verifier::new(method.name(), schemes, &keys)
        };
        match made {
            Ok(verifier) => {
                for id in verifier.short_keys() {
                    let reference = auth.public_keys.iter().find(|reference| reference.id.value == id);
                    let span = reference.map(|reference| reference.span.clone());
                    let fault = Fault::new(format!("public key `{id}` has fewer than 2,048 bits"));
                    self.warning(span, fault.hint("ask the provider for a longer one"));
                }
                Ok(verifier)
            }
            Err(fault) => {
                let references = auth.secrets.iter().chain(&auth.public_keys);
                let reference = references.into_iter().find(|reference| *reference.id.value == *fault.id);
                let span = reference.map(|reference| reference.span.clone()).or_else(|| auth.span.clone());
                Err(self.error(span, Fault::new(fault.to_string())))
            }
        }
    }

    /// Keys that all have expired: whatever they sign is refused.
    fn warn_of_expired(&mut self, what: &str, references: &[SecretReference]) {
        let now = Clock::system().unix_seconds();
        let expired = references.iter().map(|key| key.expires.as_ref().filter(|expires| expires.value <= now));
        if let Some(Some(last)) = expired.reduce(Option::and) {
            let fault = Fault::new(format!("all {what} have expired: every delivery is refused as secret_expired"));
            self.warning(last.span.clone(), fault.hint("add the new one, or move expires"));
        }
    }

    /// Every secret and public key that was found, the one that was learnt among them.
    fn keys(&mut self, auth: &MethodConfig, learn: Option<&Spanned<PathBuf>>) -> Result<Vec<NamedSecret>, Reported> {
        let (mut keys, mut done) = (Vec::new(), Ok(()));
        let secrets = auth.secrets.iter().map(|reference| (reference, KeyKind::Secret));
        let public = auth.public_keys.iter().map(|reference| (reference, KeyKind::Public));
        for (reference, kind) in secrets.chain(public) {
            match self.secret(reference, kind) {
                Ok(key) => keys.extend(key),
                Err(reported) => done = Err(reported),
            }
        }
        match self.learnt(learn, &keys) {
            Ok(learnt) => keys.extend(learnt),
            Err(reported) => done = Err(reported),
        }
        done.map(|()| keys)
    }

    /// The secret that the provider handed over; `None` as long as it has not, which is worth a word where there are no others.
    fn learnt(
        &mut self,
        path: Option<&Spanned<PathBuf>>,
        others: &[NamedSecret],
    ) -> Result<Option<NamedSecret>, Reported> {
        let Some(path) = path else { return Ok(None) };
        let place = Spanned { value: SecretPlace::File(path.value.clone()), span: path.span.clone() };
        self.context.watched.insert(path.value.clone());
        let secret = match self.context.resolver.resolve(&place.value) {
            Ok(Resolved::Secret(secret)) => secret,
            Ok(Resolved::NotLookedFor) => return Ok(None),
            Err(SecretFault::Unreadable { kind: std::io::ErrorKind::NotFound, .. } | SecretFault::Empty(_)) => {
                if others.is_empty() {
                    let fault = Fault::new("the provider has handed over no secret yet: every delivery is refused");
                    let name = self.file.path.file_stem().unwrap_or_default().to_string_lossy();
                    let hint = format!("run `hookward learn {name}`, then make the webhook at the provider");
                    self.warning(place.span, fault.hint(hint));
                }
                return Ok(None);
            }
            Err(fault) => return Err(self.error(place.span, Fault::new(fault.to_string()))),
        };
        self.exposure(&place)?;
        Ok(Some(NamedSecret { id: "learnt".into(), secret, expires: None, kind: KeyKind::Secret }))
    }

    fn refuse_trust_roots(&mut self, auth: &MethodConfig) {
        for root in &auth.trust_roots {
            self.error(root.span.clone(), Fault::new("trust_roots are for providers that sign with certificates"));
        }
    }

    /// The certificates in the policy's `trust_roots`.
    fn trust_roots(&mut self, auth: &MethodConfig) -> Result<Vec<Vec<u8>>, Reported> {
        let read = |root: &Spanned<PathBuf>| {
            self.context.watched.insert(root.value.clone());
            whole_file::read(&root.value, PEM_BYTES_MAX).map_err(|fault| {
                let fault = Fault::new(format!("cannot read {}: {fault}", root.value.display()));
                self.error(root.span.clone(), fault)
            })
        };
        auth.trust_roots.iter().map(read).collect()
    }

    /// What a reference leads to; `None` if it was not looked for.
    pub(super) fn resolve(&mut self, place: &Spanned<SecretPlace>, kind: KeyKind) -> Result<Option<Secret>, Reported> {
        self.context.watched.extend(self.context.resolver.file(&place.value));
        match self.context.resolver.resolve(&place.value) {
            Ok(Resolved::Secret(secret)) => {
                if kind == KeyKind::Secret {
                    self.exposure(place)?;
                }
                Ok(Some(secret))
            }
            Ok(Resolved::NotLookedFor) => Ok(None),
            Err(fault) => {
                let hint = match (&fault, &place.value) {
                    (SecretFault::NoCredentials(_), _) => {
                        "a service has it, with LoadCredential= or LoadCredentialEncrypted= in its unit; elsewhere set it to the folder of the file"
                    }
                    (_, SecretPlace::Env(_)) => {
                        "set it where the gateway is started, or check the policies alone with `hookward check --no-secrets`"
                    }
                    (_, SecretPlace::File(_) | SecretPlace::Credential(_)) => {
                        "put it there or correct the path, or check the policies alone with `hookward check --no-secrets`"
                    }
                };
                let what = match kind {
                    KeyKind::Secret => "secret",
                    KeyKind::Public => "public key",
                };
                Err(self.error(place.span.clone(), Fault::new(fault.of(what)).hint(hint)))
            }
        }
    }

    /// A secret that others can read is no secret: a warning, or an error where the configuration is strict.
    fn exposure(&mut self, place: &Spanned<SecretPlace>) -> Result<(), Reported> {
        let Some(exposure) = self.context.resolver.exposure(&place.value) else { return Ok(()) };
        let file = self.context.resolver.file(&place.value).unwrap_or_default();
        let file = file.display();
        let (whom, mode, refused) = match exposure {
            Exposure::Everybody { mode } => ("everybody on this machine", mode, self.context.strict),
            Exposure::Group { mode } => ("its group", mode, false),
        };
        let fault = Fault::new(format!("secret file {file} is open to {whom} (mode {mode:03o})"));
        let fault = fault.hint(format!("chmod 600 {file}"));
        if refused {
            return Err(self.error(place.span.clone(), fault));
        }
        self.warning(place.span.clone(), fault);
        Ok(())
    }

    /// Reads a secret; `None` if it was not looked for.
    fn secret(&mut self, reference: &SecretReference, kind: KeyKind) -> Result<Option<NamedSecret>, Reported> {
        let Some(secret) = self.resolve(&reference.from, kind)? else { return Ok(None) };
        if secret.len() < SECRET_BYTES_MIN && kind == KeyKind::Secret {
            let (span, id, length) = (reference.from.span.clone(), &reference.id.value, secret.len());
            let fault = Fault::new(format!("secret `{id}` has {length} bytes, fewer than {SECRET_BYTES_MIN}"));
            if self.context.strict {
                return Err(self.error(span, fault));
            }
            self.warning(span, fault.hint("let the provider make a new one"));
        }
        let expires = reference.expires.as_ref().map(|expires| expires.value);
        Ok(Some(NamedSecret { id: reference.id.value.as_str().into(), secret, expires, kind }))
    }
}

/// `[auth.parameters]` by name.
pub(super) fn parameters(auth: &MethodConfig) -> HashMap<&str, &str> {
    auth.parameters.iter().map(|(name, value)| (&*name.value, &*value.value)).collect()
}
