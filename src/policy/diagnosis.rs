//! Why a source refused a credential, with the policy's other sources to compare with; and how that stands in a record.
//!
//! Behind a delivery's way: the gateway's diagnosis thread and `hookward test --explain` come here.

use bytes::Bytes;
use http::request::Parts;

use super::{Policy, Source};
use crate::auth::authenticator::{Authenticator, Method};
use crate::auth::diagnosis::{Case, Finding, diagnose, signed_shape};
use crate::auth::{Head, Verifier};
use crate::clock::UnixSeconds;
use crate::reason::Reason;
use crate::rejection::{Fact, Rejection};

impl Policy {
    /// Why this source refused this request at `now`. Without a body, only what the head alone tells.
    #[must_use]
    pub fn diagnose(&self, source: &Source, head: &Parts, body: Option<&Bytes>, now: UnixSeconds) -> Vec<Finding> {
        let cases = source.cases(head, body, now);
        let mut found: Vec<_> = cases.flat_map(|case| diagnose(&case, self.others(source, case.verifier))).collect();
        // The hint is the first one's: what was computed comes before what only looks so.
        found.sort_by_key(|finding| !finding.is_certain());
        found
    }

    /// The other sources that prove something, those of the same provider first.
    fn others(&self, own: &Source, verifier: &Verifier) -> impl Iterator<Item = (&str, &Verifier)> {
        let others = self.sources.iter().filter(move |source| source.name != own.name);
        let verifiers = others.flat_map(|source| source.verifiers().map(|verifier| (&*source.name, verifier)));
        let name = verifier.name().to_owned();
        let mut verifiers: Vec<_> = verifiers.collect();
        verifiers.sort_by_key(|(_, other)| other.name() != name);
        verifiers.into_iter()
    }
}

impl Source {
    /// The text that the source's scheme signs of this request, piece by piece, by names and lengths.
    #[must_use]
    pub fn signed_shape(&self, head: &Parts, body: &Bytes, now: UnixSeconds) -> Vec<String> {
        self.cases(head, Some(body), now).flat_map(|case| signed_shape(&case)).collect()
    }

    /// What judges requests, where the source has several methods each of them.
    fn verifiers(&self) -> impl Iterator<Item = &Verifier> {
        self.authenticator.iter().flat_map(Authenticator::methods).filter_map(Method::verifier)
    }

    fn cases<'c>(
        &'c self,
        head: &'c Parts,
        body: Option<&'c Bytes>,
        now: UnixSeconds,
    ) -> impl Iterator<Item = Case<'c>> {
        let Parts { method, uri, headers, .. } = head;
        let head = Head { method, uri, headers, public_url: self.public_url.as_deref() };
        self.verifiers().map(move |verifier| Case { verifier, head, body, now })
    }
}

/// Whether finding out more about a refusal can help: the credential is there, and it is not as it should be.
#[must_use]
pub fn is_diagnosable(rejection: &Rejection) -> bool {
    // A challenge that came as a delivery says so itself.
    let is_challenge = rejection.text("found").is_some();
    matches!(rejection.reason(), Reason::CredentialMismatch | Reason::CredentialMalformed) && !is_challenge
}

/// The rejection with what was found, and the first finding's hint.
#[must_use]
pub fn explained(rejection: Rejection, found: &[Finding]) -> Rejection {
    let Some(first) = found.first() else {
        return rejection.fact("diagnosis", Fact::Rows(vec![vec![("finding", "none".into())]]));
    };
    let hint = first.hint();
    rejection.fact("diagnosis", Fact::Rows(found.iter().map(Finding::facts).collect())).hint(hint)
}
