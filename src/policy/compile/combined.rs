//! The methods of one source together: what they sign, what a request may choose between, and what becomes of it.

use http::{HeaderName, Method as HttpMethod};

use super::{Compiler, Proving, Reported};
use crate::auth::authenticator::{Authenticator, Combine, Method};
use crate::auth::certificate::ClientCertificate;
use crate::auth::code::CodeKind;
use crate::auth::facts::{self, Covered};
use crate::auth::place::Place;
use crate::auth::scheme::Scheme;
use crate::auth::template::Template;
use crate::auth::verify::Challenges;
use crate::auth::{certificate, describe};
use crate::policy::preset::Preset;
use crate::policy::source_config::{AuthMethod, CertificateConfig, MethodConfig, SourceConfig};
use crate::policy::table::parse::Fault;
use crate::whole_file::{self, PEM_BYTES_MAX};

/// Every method of a source.
pub(super) struct Combined<'s> {
    pub(super) combine: Combine,
    pub(super) list: Vec<One<'s>>,
}

/// One of them.
pub(super) struct One<'s> {
    pub(super) auth: &'s MethodConfig,
    pub(super) proving: Proving,
    pub(super) schemes: Result<Vec<Scheme>, Reported>,
}

/// How much a method leaves to somebody who is not its sender; the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    /// The secret itself is sent along.
    Static,
    /// A signature that does not cover the body.
    PartOfRequest,
    /// One that covers it, and nothing that passes with time.
    Timeless,
    /// One that covers both, or the connection itself.
    Whole,
}

impl Strength {
    const fn lets_through(self) -> &'static str {
        match self {
            Self::Static => "whoever has seen its secret once can send anything, at any time",
            Self::PartOfRequest => "whoever has captured a delivery can send another body with it",
            Self::Timeless => "a captured delivery stays as good as it was",
            Self::Whole => "nobody else",
        }
    }
}

impl<'s> Combined<'s> {
    /// All schemes of all methods.
    pub(super) fn schemes(&self) -> Vec<Scheme> {
        self.list.iter().flat_map(One::schemes).cloned().collect()
    }

    /// The presets among the methods.
    pub(super) fn presets(&self) -> impl Iterator<Item = &'static Preset> {
        self.list.iter().filter_map(|one| one.proving.preset())
    }

    /// The names of the methods, for people.
    pub(super) fn name(&self) -> String {
        self.list.iter().map(|one| one.proving.name()).collect::<Vec<_>>().join("+")
    }

    /// What each method that says something of requests wants, without repetitions; `default` for those that have no preset.
    fn wanted<T: Clone + PartialEq>(&self, of_preset: impl Fn(&Preset) -> &[T], default: &T) -> Vec<T> {
        let mut wanted = Vec::new();
        for one in self.list.iter().filter(|one| self.list.len() == 1 || !one.is_certificate()) {
            let list = one.proving.preset().map_or(std::slice::from_ref(default), &of_preset);
            for value in list {
                if !wanted.contains(value) {
                    wanted.push(value.clone());
                }
            }
        }
        if wanted.is_empty() { vec![default.clone()] } else { wanted }
    }

    pub(super) fn http_methods(&self) -> Vec<HttpMethod> {
        self.wanted(|preset| &preset.methods, &HttpMethod::POST)
    }

    pub(super) fn content_types(&self) -> Vec<String> {
        self.wanted(|preset| &preset.content_types, &"application/json".to_owned())
    }

    pub(super) fn answer_headers(&self) -> Vec<HeaderName> {
        self.presets().flat_map(|preset| preset.answer_headers.iter().cloned()).collect()
    }

    /// Whether a fact is covered by every proof that a request can be accepted by.
    pub(super) fn coverage(&self, fact: &Template) -> Covered {
        let mut covered = self.list.iter().map(|one| one.coverage(fact) == Covered::Signed);
        let is_covered = match self.combine {
            Combine::All => covered.any(|covered| covered),
            Combine::Any => covered.all(|covered| covered),
        };
        if is_covered { Covered::Signed } else { Covered::Unsigned }
    }

    /// The longest tolerance of a timestamp.
    pub(super) fn tolerance_seconds(&self) -> Option<u32> {
        let of_schemes = |one: &One<'_>| {
            one.schemes().iter().filter_map(|scheme| Some(scheme.timestamp.as_ref()?.tolerance_seconds)).max()
        };
        let tolerances = self.list.iter().filter_map(|one| {
            of_schemes(one).into_iter().chain(one.proving.code().and_then(CodeKind::tolerance_seconds)).max()
        });
        tolerances.max()
    }

    /// The methods that look something up in the body.
    pub(super) fn looking_inside(&self) -> impl Iterator<Item = &One<'s>> {
        self.list.iter().filter(|one| match one.proving.code() {
            Some(kind) => kind.looks_inside(),
            None => one.schemes().iter().any(Scheme::looks_inside),
        })
    }

    /// Whether anything signed can tell a delivery from its repetition.
    pub(super) fn signs(&self) -> bool {
        self.list.iter().any(One::signs)
    }

    /// Whether what is signed differs for any two honest deliveries, by whichever method is asked about it.
    pub(super) fn tells_deliveries_apart(&self) -> bool {
        let mut signing = self.list.iter().filter(|one| one.signs());
        match self.combine {
            Combine::All => signing.next().is_some_and(One::tells_deliveries_apart),
            Combine::Any => self.signs() && signing.all(One::tells_deliveries_apart),
        }
    }

    /// The methods whose providers have handshakes.
    pub(super) fn with_handshakes(&self) -> impl Iterator<Item = (usize, &One<'s>)> {
        let has_some = |one: &One<'_>| one.proving.preset().is_some_and(|preset| !preset.handshakes.is_empty());
        self.list.iter().enumerate().filter(move |(_, one)| has_some(one))
    }

    /// The method that a learnt secret is for, and whose keys answer challenges.
    fn handshaking(&self) -> usize {
        self.with_handshakes().next().map_or(0, |(position, _)| position)
    }
}

impl One<'_> {
    /// Its schemes; none where something is wrong with them.
    pub(super) fn schemes(&self) -> &[Scheme] {
        self.schemes.as_deref().unwrap_or_default()
    }

    const fn is_certificate(&self) -> bool {
        matches!(self.proving, Proving::Certificate)
    }

    fn coverage(&self, fact: &Template) -> Covered {
        // What comes over the connection of the right sender is the sender's, all of it.
        match self.proving.code() {
            Some(kind) => kind.coverage(fact),
            None if self.is_certificate() => Covered::Signed,
            None => facts::coverage(fact, self.schemes()),
        }
    }

    fn signs(&self) -> bool {
        self.proving.code().is_some() || self.schemes().iter().any(|scheme| !scheme.is_static())
    }

    fn tells_deliveries_apart(&self) -> bool {
        match self.proving.code() {
            Some(kind) => kind.tells_deliveries_apart(),
            None => !self.schemes().is_empty() && self.schemes().iter().all(describe::tells_deliveries_apart),
        }
    }

    fn strength(&self) -> Strength {
        if let Some(kind) = self.proving.code() {
            return if kind.tolerance_seconds().is_some() { Strength::Whole } else { Strength::Timeless };
        }
        let of_scheme = |scheme: &Scheme| match scheme {
            scheme if scheme.is_static() => Strength::Static,
            scheme if !scheme.covers_body() => Strength::PartOfRequest,
            scheme if !scheme.limits_time() => Strength::Timeless,
            _timed => Strength::Whole,
        };
        self.schemes().iter().map(of_scheme).min().unwrap_or(Strength::Whole)
    }

    /// Where it looks whatever else a request has.
    fn places(&self) -> impl Iterator<Item = &Place> {
        self.schemes().iter().filter(|scheme| scheme.when.is_empty()).map(|scheme| &scheme.credential)
    }
}

impl Compiler<'_, '_> {
    /// Finds out what each method is, if all are known.
    pub(super) fn combined<'s>(&mut self, config: &'s SourceConfig) -> Result<Combined<'s>, Reported> {
        let methods = config.auth.methods.iter();
        let known: Vec<_> = methods.map(|auth| Ok((auth, self.proving(auth)?))).collect();
        let known: Vec<_> = known.into_iter().collect::<Result<_, Reported>>()?;
        let list = known.into_iter().map(|(auth, proving)| {
            let schemes = self.schemes(auth, &proving);
            One { auth, proving, schemes }
        });
        let combined = Combined { combine: config.auth.combine, list: list.collect() };
        // Where nothing has to be proved, or one method is nothing, another word has been said.
        let proves = |one: &One<'_>| !matches!(one.proving, Proving::Nothing);
        if combined.combine == Combine::Any && combined.list.len() > 1 && combined.list.iter().all(proves) {
            self.refuse_unreachable(&combined);
            self.warn_of_choice(&combined);
        }
        Ok(combined)
    }

    /// A method that is never asked: one before it looks at the same place, and decides.
    fn refuse_unreachable(&mut self, combined: &Combined<'_>) {
        for (position, one) in combined.list.iter().enumerate() {
            let earlier = &combined.list[..position];
            let is_taken = |place: &Place| earlier.iter().any(|earlier| earlier.places().any(|taken| taken == place));
            let all = one.schemes();
            if !all.is_empty() && all.iter().all(|scheme| is_taken(&scheme.credential)) {
                let fault = Fault::new(format!(
                    "method {:?} is never asked: one before it has its credential at the same place",
                    one.proving.name()
                ));
                self.error(one.auth.span.clone(), fault.hint("several secrets of one method go into its secrets"));
            }
        }
    }

    /// With `any` a request is as good as the weakest method that it can choose.
    fn warn_of_choice(&mut self, combined: &Combined<'_>) {
        let strengths = combined.list.iter().map(One::strength);
        let (weakest, strongest) = (strengths.clone().min(), strengths.max());
        let Some(weakest) = weakest.filter(|weakest| *weakest == Strength::Static || Some(*weakest) < strongest) else {
            return;
        };
        let Some(one) = combined.list.iter().find(|one| one.strength() == weakest) else { return };
        let (name, lets_through) = (one.proving.name(), weakest.lets_through());
        let fault = Fault::new(format!("a request may choose {name:?}, the weakest method here: {lets_through}"));
        let hint = "take it out once nobody sends by it, or want all methods: combine = \"all\"";
        self.warning(one.auth.span.clone(), fault.hint(hint));
    }

    /// Everything with its keys; `None` if the policy wants no proof.
    pub(super) fn authenticator(
        &mut self,
        config: &SourceConfig,
        combined: &Combined<'_>,
        challenges: Challenges,
    ) -> Result<Option<Authenticator>, Reported> {
        if combined.list.iter().any(|one| matches!(one.proving, Proving::Nothing)) {
            return Ok(None);
        }
        let answers = combined.handshaking();
        let learn = config.handshake.as_ref().and_then(|handshake| handshake.learn_secret.as_ref());
        let methods = combined.list.iter().enumerate().map(|(position, one)| {
            if let AuthMethod::ClientCertificate(certificate) = &one.auth.method {
                return self.certificate(certificate).map(Method::Connection);
            }
            let learn = learn.filter(|_| position == answers);
            let schemes = one.schemes.as_deref().map_err(|reported| *reported)?;
            let verifier = self.verifier(one.auth, learn, &one.proving, schemes)?;
            Ok(Method::Request(verifier.with_challenges(challenges).within(config.limit.json)))
        });
        // Every method is looked at, so that all findings are told at once.
        let methods: Vec<_> = methods.collect();
        let mut methods = methods.into_iter().collect::<Result<Vec<_>, Reported>>()?.into_iter();
        let Some(first) = methods.next() else {
            return Err(self.error(config.auth.span.clone(), Fault::new("no method: nothing could ever be accepted")));
        };
        Ok(Some(Authenticator::new(combined.combine, first, methods.collect()).answering_with(answers)))
    }

    fn certificate(&mut self, config: &CertificateConfig) -> Result<ClientCertificate, Reported> {
        let span = || config.ca.span.clone();
        let path = config.ca.value.display();
        self.context.watched.insert(config.ca.value.clone());
        let pem = whole_file::read(&config.ca.value, PEM_BYTES_MAX)
            .map_err(|fault| self.error(span(), Fault::new(format!("cannot read {path}: {fault}"))))?;
        let names = config.names.iter().flat_map(|names| &names.value);
        let made = ClientCertificate::new(&pem, names.map(|name| name.value.as_str().into()));
        if config.names.is_none() {
            let fault = Fault::new(format!("every certificate of the authorities in {path} is good here"));
            let hint = "names = [\"…\"] pins the senders', as has to be done with a public authority";
            self.warning(span(), fault.hint(hint));
        }
        made.map_err(|fault| self.error(span(), Fault::new(format!("{path} {fault}"))))
    }
}

/// The name of the method in records.
pub(super) const CERTIFICATE: &str = certificate::METHOD;
