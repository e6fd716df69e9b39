//! Several ways to prove who sent a delivery, on one source: all of them have to hold, or any one decides.
//!
//! With `all` every method must hold. With `any` methods are asked in the policy's order, and the first that the request presents
//! decides alone: one that is presented badly refuses the request, whatever else the request carries. What else it carries and is good
//! is remembered, so that a captured delivery is no new one without its first credential.
//!
//! **Invariant:** there is no method that a request gets by failing another one. What `any` lets it choose is what the policy lists.
//!
//! **Invariant:** a [`Proof`] is that of a method's own verification; nothing here makes one out of nothing, since there is always a first method.

use bytes::Bytes;

use super::certificate::{self, ClientCertificate, ClientChain, Holder};
use super::confirmation::Confirmation;
use super::credential::Credential;
use super::place::{Body, Head, Place, View};
use super::scheme::Scheme;
use super::verify::{ChallengeKey, Proof, Verifier};
use crate::clock::UnixSeconds;
use crate::reason::Reason;
use crate::rejection::Rejection;

/// How several methods go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combine {
    /// Every method has to hold.
    All,
    /// The first that a request presents decides.
    Any,
}

/// How a source's senders prove themselves. Immutable; shared by every delivery of the source.
#[derive(Debug)]
pub struct Authenticator {
    combine: Combine,
    first: Method,
    more: Vec<Method>,
    /// The names of all methods, for proofs that took all of them.
    name: Box<str>,
    /// The method whose keys answer challenges.
    answers: usize,
}

/// One way to prove who sent a delivery.
#[derive(Debug)]
pub enum Method {
    /// By what the request carries.
    Request(Verifier),
    /// By the connection it came on.
    Connection(ClientCertificate),
}

/// What a request presents as proof. Only [`Authenticator::read`] makes it.
#[derive(Debug)]
pub struct Credentials<'d> {
    authenticator: &'d Authenticator,
    first: Candidate<'d>,
    more: Vec<Candidate<'d>>,
    /// That methods before all of these were not presented; no longer of interest once one of these was.
    missing: Option<Rejection>,
}

/// What a request presents for one method.
#[derive(Debug)]
enum Candidate<'d> {
    /// A well-formed credential, or one that only the body can show.
    Credential(&'d Verifier, Credential<'d>),
    /// A good certificate.
    Certificate(Holder<'d>),
    /// Nothing good. With `any` it counts if no method before it is presented in the body.
    Refused(Rejection),
}

/// Whether a request fails because it presents nothing.
#[must_use]
pub const fn presents_nothing(reason: Reason) -> bool {
    matches!(reason, Reason::CredentialMissing | Reason::ClientCertificateMissing)
}

impl Authenticator {
    /// These methods together. With one, `combine` makes no difference.
    #[must_use]
    pub fn new(combine: Combine, first: Method, more: Vec<Method>) -> Self {
        let names: Vec<_> = std::iter::once(&first).chain(&more).map(Method::name).collect();
        let name = names.join("+").into();
        Self { combine, first, more, name, answers: 0 }
    }

    /// The same, with the keys of the method at this position for answering challenges.
    #[must_use]
    pub fn answering_with(self, position: usize) -> Self {
        Self { answers: position, ..self }
    }

    /// The methods in the policy's order.
    pub fn methods(&self) -> impl Iterator<Item = &Method> {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// How the methods go together.
    #[must_use]
    pub const fn combine(&self) -> Combine {
        self.combine
    }

    /// The schemes that it judges by; none where code or a certificate does.
    pub fn schemes(&self) -> impl Iterator<Item = &Scheme> {
        self.methods().filter_map(Method::verifier).flat_map(Verifier::schemes)
    }

    /// Whether a connection should be asked for a certificate.
    #[must_use]
    pub fn wants_certificate(&self) -> bool {
        self.methods().any(|method| matches!(method, Method::Connection(_)))
    }

    /// What signs the answers to challenges; `None` where no secret for that is in force.
    #[must_use]
    pub fn challenge_key(&self, now: UnixSeconds) -> Option<ChallengeKey<'_>> {
        self.methods().nth(self.answers).and_then(Method::verifier)?.challenge_key(now)
    }

    /// The visit that confirms the subscription which an authentic request asks for, at the URL that stands at `place`.
    ///
    /// # Errors
    /// `handshake_refused` where that is none to be visited, and wherever the request could have been proven without its provider's signature.
    pub fn confirmation(&self, place: &Place, view: &View<'_>) -> Result<Confirmation, Rejection> {
        let refused = |expected: String| Rejection::new(Reason::HandshakeRefused).fact("expected", expected);
        if self.combine == Combine::Any && !self.more.is_empty() {
            return Err(refused("a source whose senders prove themselves in one way".to_owned()));
        }
        let verifier = self.methods().nth(self.answers).and_then(Method::verifier).ok_or(Reason::HandshakeRefused)?;
        let url = place.read(view).ok().flatten().ok_or_else(|| refused(place.to_string()))?;
        verifier.confirmation(&url, view)
    }

    /// What the head and the connection present for this source.
    ///
    /// # Errors
    /// The `credential_*` and `timestamp_*` reasons that can be told without the body, and `client_certificate_missing`; with `all` the first in the
    /// order of the methods.
    pub fn read<'d>(
        &'d self,
        head: Head<'d>,
        client: Option<&ClientChain>,
        now: UnixSeconds,
    ) -> Result<Credentials<'d>, Rejection> {
        match self.combine {
            Combine::All => {
                let first = self.first.read(head, client, now)?;
                let more = self.more.iter().map(|method| method.read(head, client, now)).collect::<Result<_, _>>()?;
                Ok(Credentials { authenticator: self, first, more, missing: None })
            }
            Combine::Any => self.read_any(head, client, now),
        }
    }

    fn read_any<'d>(
        &'d self,
        head: Head<'d>,
        client: Option<&ClientChain>,
        now: UnixSeconds,
    ) -> Result<Credentials<'d>, Rejection> {
        let (mut candidates, mut missing, mut is_decided) = (Vec::new(), None, false);
        for method in self.methods() {
            match method.read(head, client, now) {
                Ok(candidate) => {
                    is_decided |= candidate.unseen().is_none();
                    candidates.push(candidate);
                }
                // Another one decides: this one is no longer asked.
                Err(_) if is_decided => {}
                Err(fault) if !method.is_presented(head, client, &fault) => {
                    if candidates.is_empty() {
                        missing.get_or_insert(fault);
                    }
                }
                Err(fault) if candidates.is_empty() => return Err(fault),
                Err(fault) => {
                    candidates.push(Candidate::Refused(fault));
                    is_decided = true;
                }
            }
        }
        let mut candidates = candidates.into_iter();
        match candidates.next() {
            Some(first) => Ok(Credentials { authenticator: self, first, more: candidates.collect(), missing }),
            None => Err(missing.unwrap_or_else(|| Reason::CredentialMissing.into())),
        }
    }

    /// Whether somebody without any credential may be answered, as some providers' challenges have to be: where every method has to hold, the
    /// connection has to be the right one all the same.
    ///
    /// # Errors
    /// `client_certificate_missing`, `credential_mismatch`.
    pub fn admit_stranger(&self, client: Option<&ClientChain>, now: UnixSeconds) -> Result<(), Rejection> {
        if self.combine == Combine::All {
            for method in self.methods() {
                if let Method::Connection(certificate) = method {
                    let _holder = certificate.verify(client, now)?;
                }
            }
        }
        Ok(())
    }
}

impl Method {
    /// The preset's name, `custom`, or `client-certificate`.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Request(verifier) => verifier.name(),
            Self::Connection(_) => certificate::METHOD,
        }
    }

    /// What judges requests; `None` where the connection decides.
    #[must_use]
    pub const fn verifier(&self) -> Option<&Verifier> {
        match self {
            Self::Request(verifier) => Some(verifier),
            Self::Connection(_) => None,
        }
    }

    fn read<'d>(
        &'d self,
        head: Head<'d>,
        client: Option<&ClientChain>,
        now: UnixSeconds,
    ) -> Result<Candidate<'d>, Rejection> {
        match self {
            Self::Request(verifier) => Ok(Candidate::Credential(verifier, verifier.read(head, now)?)),
            Self::Connection(certificate) => Ok(Candidate::Certificate(certificate.verify(client, now)?)),
        }
    }

    /// Whether a request that fails this method tries it at all.
    fn is_presented(&self, head: Head<'_>, client: Option<&ClientChain>, fault: &Rejection) -> bool {
        match self {
            Self::Request(verifier) => verifier.is_presented(&View::of_head(head), fault),
            Self::Connection(_) => client.is_some(),
        }
    }
}

/// A method whose credential only the body can show.
struct Unseen<'d> {
    verifier: &'d Verifier,
    head: Head<'d>,
}

impl Unseen<'_> {
    /// Whether the body shows it, although it fails.
    fn is_in(&self, body: &Bytes, fault: &Rejection) -> bool {
        let body = Body::new(body, self.head.headers).within(self.verifier.json());
        self.verifier.is_presented(&View::of_head(self.head).with_body(&body), fault)
    }
}

impl<'d> Candidate<'d> {
    /// What only the body can say to be there.
    fn unseen(&self) -> Option<Unseen<'d>> {
        match self {
            Self::Credential(verifier, credential) if credential.is_in_body() => {
                Some(Unseen { verifier, head: credential.head })
            }
            Self::Credential(..) | Self::Certificate(_) | Self::Refused(_) => None,
        }
    }

    fn verify(self, body: &Bytes, now: UnixSeconds) -> Result<Proof<'d>, Rejection> {
        match self {
            Self::Credential(verifier, credential) => verifier.verify(credential, body, now),
            Self::Certificate(holder) => Ok(Proof::of_connection(&holder)),
            Self::Refused(fault) => Err(fault),
        }
    }
}

impl<'d> Credentials<'d> {
    /// Whether what was presented proves the sender.
    ///
    /// # Errors
    /// `credential_mismatch`, `secret_expired`; where a credential stands in the body also what [`Authenticator::read`] may answer.
    pub fn verify(self, body: &Bytes, now: UnixSeconds) -> Result<Proof<'d>, Rejection> {
        let Self { authenticator, first, more, mut missing } = self;
        if authenticator.combine == Combine::All {
            let first = first.verify(body, now)?;
            return more
                .into_iter()
                .try_fold(first, |proof, candidate| Ok(proof.and(candidate.verify(body, now)?, &authenticator.name)));
        }
        let mut candidates = std::iter::once(first).chain(more);
        while let Some(candidate) = candidates.next() {
            let unseen = candidate.unseen();
            match candidate.verify(body, now) {
                Err(fault) if unseen.is_some_and(|unseen| !unseen.is_in(body, &fault)) => {
                    missing.get_or_insert(fault);
                }
                Err(fault) => return Err(fault),
                Ok(proof) => {
                    let others = candidates.filter_map(|candidate| candidate.verify(body, now).ok());
                    return Ok(others.fold(proof, Proof::known_by));
                }
            }
        }
        Err(missing.unwrap_or_else(|| Reason::CredentialMissing.into()))
    }
}
