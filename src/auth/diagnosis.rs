//! Why a credential was refused: what would have fitted if one thing were otherwise.
//!
//! It stands beside a delivery's way, behind the answer: the gateway gives some refused deliveries to a thread of its own
//! (`gateway::diagnose`), and `hookward test --explain` asks for each. What is found is for the operator's record alone.
//!
//! Everything is tried by the engine that judges deliveries: a scheme or a secret with one thing changed becomes a [`Verifier`] for the moment, or the
//! body or the URL is changed, and [`Verifier::read`] and [`Verifier::verify`] say whether that fits. Keys for changed secrets are made from
//! the configured ones when they are needed and cleared after; nothing is kept for them.
//!
//! **Invariant:** what is tried does not depend on what fitted: every candidate is, as far as the [`WORK_BYTES_MAX`] go, so that the time a
//! diagnosis takes says nothing about the secret.
//!
//! **Invariant:** a [`Finding`] holds names that the operator wrote, words of ours and at most the URL that was signed. Never a signature, an
//! expected one least of all, a secret or a value of the body.
//!
//! **Invariant:** no byte of a sender goes through another JSON reader than our own.

mod body;
mod finding;
mod secret;
mod shape;
mod signature;
mod url;

use bytes::Bytes;

pub use body::{BodyChange, JsonLayout, JsonStrings};
pub use finding::{Certainty, Finding, Fitted, SignatureFault, UrlQuery, Validity};
pub use secret::SecretSpelling;
pub use shape::signed_shape;

use super::key::NamedSecret;
use super::place::{Head, View};
use super::scheme::{Algorithm, Scheme};
use super::verify::Verifier;
use crate::clock::UnixSeconds;
use crate::reason::Reason;

/// How many other sources' secrets are tried.
pub const OTHERS_MAX: usize = 64;

/// How many bytes of bodies one diagnosis may write anew, keep, and put through hashes: some ten milliseconds of a processor.
pub const WORK_BYTES_MAX: usize = 8 << 20;

/// What one attempt costs besides its body, in bytes: preparing keys, reading the head.
const ATTEMPT_BYTES: usize = 1024;

/// One refused delivery.
#[derive(Debug, Clone, Copy)]
pub struct Case<'c> {
    /// What refused it.
    pub verifier: &'c Verifier,
    /// The request's head, as the verifier was shown it.
    pub head: Head<'c>,
    /// The body as received; `None` where the head alone was enough to refuse it.
    pub body: Option<&'c Bytes>,
    /// When it was refused.
    pub now: UnixSeconds,
}

/// Finds out why a credential was refused. `others` are other sources by name, likely ones first; of those that prove the same way, the first
/// [`OTHERS_MAX`] are tried. Nothing found: none of the usual mistakes explains it.
pub fn diagnose<'c>(case: &Case<'c>, others: impl IntoIterator<Item = (&'c str, &'c Verifier)>) -> Vec<Finding> {
    let mut attempts = Attempts { case, work_bytes_left: WORK_BYTES_MAX, bodies: Vec::new(), found: Vec::new() };
    let scheme = case.scheme();
    if let Some(scheme) = scheme {
        signature::look(scheme, &mut attempts);
    }
    if let Some(received) = case.body {
        if scheme.is_none_or(Scheme::covers_body) {
            body::try_line_ends(received, &mut attempts);
        }
        if let Some(scheme) = scheme {
            secret::try_spellings(scheme, received, &mut attempts);
            url::try_urls(scheme, received, &mut attempts);
        }
        if scheme.is_none_or(Scheme::covers_body) {
            body::try_json(received, &mut attempts);
            body::look(case.head.headers, received, &mut attempts);
        }
        try_others(scheme, received, others, &mut attempts);
    }
    attempts.found
}

impl<'c> Case<'c> {
    /// The scheme that the request is for; `None` where code judges, or none is.
    fn scheme(&self) -> Option<&'c Scheme> {
        let view = View::of_head(self.head);
        self.verifier.schemes().find(|scheme| scheme.when.iter().all(|condition| condition.holds(&view)))
    }
}

/// What is tried, and what was found.
struct Attempts<'a, 'c> {
    case: &'a Case<'c>,
    work_bytes_left: usize,
    /// Bodies that were tried: one that comes about in two ways is told as the simpler one.
    bodies: Vec<Bytes>,
    found: Vec<Finding>,
}

impl<'c> Attempts<'_, 'c> {
    /// Whether a verifier takes the credential with this head and this body.
    fn fits(&mut self, verifier: &Verifier, head: Head<'_>, body: &Bytes) -> Option<Fitted> {
        let now = self.case.now;
        let cost = (body.len() + ATTEMPT_BYTES).saturating_mul(verifier.secrets().len().max(1));
        self.work_bytes_left = self.work_bytes_left.checked_sub(cost)?;
        let credential = verifier.read(head, now).ok()?;
        match verifier.verify(credential, body, now) {
            Ok(proof) => Some(Fitted { secret: proof.secret_id().into(), validity: Validity::Live }),
            Err(rejection) if rejection.reason() == Reason::SecretExpired => {
                Some(Fitted { secret: rejection.text("secret")?.into(), validity: Validity::Expired })
            }
            Err(_) => None,
        }
    }

    /// Whether the source's own verifier takes another body, which was not tried yet.
    fn fits_body(&mut self, body: Bytes) -> Option<Fitted> {
        if self.bodies.contains(&body) {
            return None;
        }
        let Case { verifier, head, .. } = *self.case;
        let fitted = self.fits(verifier, head, &body);
        self.bodies.push(body);
        fitted
    }

    /// Whether a scheme with these secrets takes the request as it is.
    fn fits_scheme(&mut self, scheme: &Scheme, secrets: &[NamedSecret], body: &Bytes) -> Option<Fitted> {
        let verifier = Verifier::new("", std::slice::from_ref(scheme), secrets).ok()?.within(self.case.verifier.json());
        self.fits(&verifier, self.case.head, body)
    }

    fn secrets(&self) -> &'c [NamedSecret] {
        self.case.verifier.secrets()
    }

    fn found(&mut self, finding: Finding) {
        if !self.found.contains(&finding) {
            self.found.push(finding);
        }
    }
}

/// Secrets of other sources that prove the same way.
fn try_others<'c>(
    scheme: Option<&Scheme>,
    body: &Bytes,
    others: impl IntoIterator<Item = (&'c str, &'c Verifier)>,
    attempts: &mut Attempts<'_, '_>,
) {
    let algorithm = scheme.map(|scheme| scheme.algorithm);
    let own = attempts.case.verifier;
    let alike = |(_, other): &(&str, &Verifier)| !std::ptr::eq(*other, own) && proves_like(other, own, algorithm);
    for (name, other) in others.into_iter().filter(alike).take(OTHERS_MAX) {
        let fitted = match scheme {
            Some(scheme) => attempts.fits_scheme(scheme, other.secrets(), body),
            None => attempts.fits(other, attempts.case.head, body),
        };
        if let Some(fitted) = fitted {
            attempts.found(Finding::OtherSource { source: name.into(), fitted });
        }
    }
}

/// Whether two sources' credentials may be taken for each other: by the same algorithm, or by the same code.
fn proves_like(other: &Verifier, own: &Verifier, algorithm: Option<Algorithm>) -> bool {
    match algorithm {
        Some(algorithm) => other.schemes().any(|scheme| scheme.algorithm == algorithm),
        None => other.schemes().next().is_none() && other.name() == own.name(),
    }
}

#[cfg(test)]
mod tests;
