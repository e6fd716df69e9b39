//! Handshakes: requests by which a provider asks whether an endpoint is the operator's, answered by the gateway itself.
//!
//! They are data, as schemes are: when a request is one, what it must hold, what it is answered. Most come authentic and are recognised after
//! authentication; a few cannot carry a signature, and those are met before it, under the client's rate.
//!
//! **Invariant:** a handshake is never a signing oracle. What a challenge without proof gets signed is a short word ([`is_challenge`]), and where a
//! source signs such words its verifier takes no delivery whose signed text is one: the two can never meet.
//!
//! **Invariant:** what is given back is short, printable ASCII, and never HTML.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::condition::Condition;
use super::place::{Place, View};
use super::scheme::{Must, Requirement, signs_with_the_secret};
use super::template::{Filling, Template, Value};
use crate::payload::{Document, JsonLimits};
use crate::reason::Reason;
use crate::rejection::Rejection;
use crate::secret::Secret;

/// One kind of request that is answered and not forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// What makes a request one.
    pub when: Box<[Condition]>,
    /// Whether it has to be authentic first.
    pub proof: ProofNeeded,
    /// What it must hold, else it is refused.
    pub require: Box<[Requirement]>,
    /// The media type of the answer.
    pub content_type: Option<HeaderValue>,
    /// The body of the answer.
    pub answer: Template,
    /// Header fields of the answer.
    pub headers: Box<[(HeaderName, Template)]>,
    /// Where the provider hands over the secret it will sign with.
    pub learn: Option<Place>,
    /// Where the provider names the URL that has to be visited before it is answered.
    pub confirm: Option<Place>,
}

/// Whether a handshake has to be authentic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofNeeded {
    /// By the source's scheme.
    Required,
    /// It cannot be: the provider signs it with nothing.
    None,
}

/// The answer to a handshake.
#[derive(Debug)]
pub struct Answered {
    /// Header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The secret that was handed over.
    pub learned: Option<Secret>,
}

/// The longest challenge that is signed, in characters.
pub const CHALLENGE_CHARS_MAX: usize = 256;

/// The longest text of a challenge that is given back, in bytes.
pub const ECHO_BYTES_MAX: usize = 4_096;

const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

impl Handshake {
    /// Whether a request is one, as far as the view reaches.
    #[must_use]
    pub fn is(&self, view: &View<'_>) -> bool {
        self.when.iter().all(|condition| condition.holds(view))
    }

    /// Whether it can be told without the body.
    #[must_use]
    pub fn is_of_head(&self) -> bool {
        self.when.iter().all(Condition::is_of_head)
    }

    /// The method it comes by, where it is one of its own.
    #[must_use]
    pub fn method(&self) -> Option<&Method> {
        self.when.iter().find_map(|condition| match condition {
            Condition::Method(method) => Some(method),
            Condition::Present(_) | Condition::Absent(_) | Condition::Equals(..) | Condition::Media(_) => None,
        })
    }

    /// Whether somebody who proved nothing gets something signed.
    #[must_use]
    pub fn signs_for_strangers(&self) -> bool {
        self.proof == ProofNeeded::None && self.signs()
    }

    fn signs(&self) -> bool {
        let headers = self.headers.iter().map(|(_, template)| template);
        std::iter::once(&self.answer).chain(headers).any(signs_with_the_secret)
    }

    /// Whether it must hold the operator's verification token.
    #[must_use]
    pub fn wants_verify_token(&self) -> bool {
        self.require.iter().any(|requirement| match &requirement.must {
            Must::EqualAny(texts) => texts.iter().any(|text| text.names(&Value::VerifyToken)),
            Must::Exist | Must::Match(_) => false,
        })
    }

    /// The same with every `{parameter:…}` replaced.
    ///
    /// # Errors
    /// The name of a parameter that has no value.
    pub fn resolve<'p>(&self, parameter: &dyn Fn(&str) -> Option<&'p str>) -> Result<Self, Box<str>> {
        let mut handshake = self.clone();
        handshake.answer = self.answer.resolve(parameter)?;
        for requirement in &mut handshake.require {
            requirement.resolve(parameter)?;
        }
        for (_, template) in &mut handshake.headers {
            *template = template.resolve(parameter)?;
        }
        Ok(handshake)
    }

    /// Answers a request that is one.
    ///
    /// # Errors
    /// `handshake_refused` if it does not hold what it must, or asks for more than a challenge may.
    pub fn answer(&self, filling: &Filling<'_>) -> Result<Answered, Rejection> {
        let refused = |what: &'static str| Rejection::new(Reason::HandshakeRefused).fact("expected", what);
        if let Some(broken) = self.require.iter().find(|requirement| !requirement.holds(filling)) {
            return Err(Rejection::new(Reason::HandshakeRefused).fact("condition_not_met", broken.value.to_string()));
        }
        if self.signs() && filling.signer.is_none() {
            return Err(refused("a secret in force to answer with"));
        }
        let is_fit = if self.signs() { is_challenge } else { is_echo };
        let templates = self.headers.iter().map(|(_, template)| template);
        for template in std::iter::once(&self.answer).chain(templates) {
            template
                .require(&filling.view)
                .map_err(|missing| Rejection::new(Reason::HandshakeRefused).fact("expected", missing.what))?;
            for place in template.places() {
                let text = place.read(&filling.view).ok().flatten().unwrap_or_default();
                if !is_fit(text.as_bytes()) {
                    return Err(refused("a challenge of printable characters"));
                }
            }
        }
        let learned = match &self.learn {
            Some(place) => Some(learned(place, &filling.view).ok_or_else(|| refused("a secret"))?),
            None => None,
        };
        let mut headers = HeaderMap::with_capacity(self.headers.len() + 2);
        for (name, template) in &self.headers {
            let mut value = HeaderValue::from_bytes(&template.fill(filling)).map_err(|_| refused("a header value"))?;
            // The echo of a secret: not for `Debug`, and not for the tables of HTTP/2.
            value.set_sensitive(self.learn.is_some());
            headers.insert(name.clone(), value);
        }
        if let Some(content_type) = &self.content_type {
            headers.insert(CONTENT_TYPE, content_type.clone());
        }
        headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        Ok(Answered { headers, body: self.answer.fill(filling).into(), learned })
    }
}

fn learned(place: &Place, view: &View<'_>) -> Option<Secret> {
    let text = place.read(view).ok().flatten()?;
    is_challenge(text.as_bytes()).then(|| Secret::new(text.as_bytes().to_vec()))
}

/// A word that may be signed for whoever asks: short, of characters that neither JSON objects nor forms are made of, and no JSON text.
///
/// Where a source signs challenges, no delivery's signed text may be one, see [`Verifier`](super::Verifier).
#[must_use]
pub fn is_challenge(text: &[u8]) -> bool {
    let is_known = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    let is_word = !text.is_empty() && text.len() <= CHALLENGE_CHARS_MAX && text.iter().all(is_known);
    is_word && Document::read(Bytes::copy_from_slice(text), JsonLimits::default()).is_err()
}

/// A text that may be given back as it is.
fn is_echo(text: &[u8]) -> bool {
    text.len() <= ECHO_BYTES_MAX && text.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_for_a_stranger_can_be_no_payload() {
        let longest = "a".repeat(CHALLENGE_CHARS_MAX);
        let rows = [
            ("challenge_string_9LlRsTVsLvM", true),
            ("20f9f8ed05f77439fe955c977e4c8a53", true),
            ("YWJjZA==", true),
            (&longest, true),
            ("", false),
            ("{}", false),
            ("[1]", false),
            ("\"abc\"", false),
            ("1158201444", false),
            ("-1", false),
            ("1e5", false),
            ("true", false),
            ("null", false),
            ("a b", false),
            ("a&b", false),
            ("v0:1782907200:x", false),
            ("é", false),
            ("a\n", false),
        ];
        for (text, fits) in rows {
            assert_eq!(is_challenge(text.as_bytes()), fits, "{text:?}");
        }
        assert!(!is_challenge(format!("{longest}a").as_bytes()));
    }
}
