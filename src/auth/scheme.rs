//! How a provider signs: the words of the scheme language, compiled.
//!
//! A [`Scheme`] is pure data. Built-in presets (`auth/providers/*.toml`) and a user's `[auth.scheme]` say it in the same TOML words,
//! read by `policy::scheme`; [`Credential`](super::credential::Credential) reads a request by it and
//! [`Verifier`](super::verify::Verifier) decides by it. Nothing here knows a provider by name.
//!
//! **Invariant:** a scheme names exactly one algorithm (a token scheme: a fixed list) and one place for the credential; no request can choose
//! another. Where a provider has several schemes, the request's own form picks one, and nothing is tried in turn.

use std::ops::RangeInclusive;

use http::HeaderName;

use super::condition::Condition;
use super::list::Layout;
use super::place::Place;
use super::template::{Filter, Part, Template, Value};
use crate::clock::UnixSeconds;

/// One way to prove who sent a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheme {
    /// Requests it is for; empty: all that no scheme before it was for.
    pub when: Box<[Condition]>,
    /// What is computed or compared.
    pub algorithm: Algorithm,
    /// Where the request carries the credential.
    pub credential: Place,
    /// How the credential's text is laid out.
    pub shape: Shape,
    /// How the signature's bytes are spelled; [`Encoding::Text`] for tokens.
    pub encoding: Encoding,
    /// How the configured secret becomes key bytes.
    pub secret: SecretForm,
    /// Exactly what is signed; empty for static credentials and for tokens that carry their own text.
    pub signed: Template,
    /// The signed timestamp, where the scheme has one.
    pub timestamp: Option<TimestampRule>,
    /// What else has to hold.
    pub require: Box<[Requirement]>,
    /// Rules for JSON Web Tokens and detached JSON Web Signatures.
    pub token: TokenRule,
}

/// What is computed over the signed text, or compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC (RFC 2104).
    Hmac(Hash),
    /// A plain digest of a text that holds the secret.
    Digest(Hash),
    /// A signature by a private key that the provider alone has.
    PublicKey(PublicKeyAlgorithm),
    /// A JSON Web Token (RFC 7519).
    Jwt,
    /// A JSON Web Signature whose payload is the body (RFC 7515, appendix F).
    JwsDetached,
    /// A static secret sent along; the body is not covered.
    Token,
    /// HTTP Basic (RFC 7617): a secret `user:password`; the body is not covered.
    Basic,
}

/// Hash functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SHA-1. Still sound inside of HMAC; providers of long standing use it.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// Keccak-256, which is not SHA3-256: it has another padding.
    Keccak256,
}

/// Signature algorithms with a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PublicKeyAlgorithm {
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA on P-256 with SHA-256, the signature in DER (SEC 1).
    EcdsaP256,
    /// RSA, PKCS#1 v1.5 (RFC 8017 §8.2), with SHA-1. For providers of long standing.
    RsaSha1,
    /// RSA, PKCS#1 v1.5, with SHA-256.
    RsaSha256,
    /// RSA, PKCS#1 v1.5, with SHA-512.
    RsaSha512,
}

/// Algorithms of tokens (RFC 7518 §3.1, RFC 8037 §3.1). `none` is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenAlgorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSA, PKCS#1 v1.5, with SHA-256.
    Rs256,
    /// RSA, PKCS#1 v1.5, with SHA-512.
    Rs512,
    /// ECDSA on P-256 with SHA-256, the signature as two numbers of 32 bytes.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// Rules for tokens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenRule {
    /// The algorithms that are accepted. What the token says must be among them, and never chooses the kind of key.
    pub algorithms: Box<[TokenAlgorithm]>,
    /// How far `exp`, `nbf` and `iat` may be off, in seconds.
    pub leeway_seconds: u32,
    /// The oldest `iat`, in seconds; with it, `iat` has to be there.
    pub age_seconds_max: Option<u32>,
}

/// How the text at the credential's place is laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// The signature alone, behind a fixed prefix (often empty).
    Whole {
        /// Must be there, to the letter.
        prefix: Box<str>,
    },
    /// The signature alone, behind a prefix that some senders leave out.
    MaybePrefixed {
        /// Cut off where it is there.
        prefix: Box<str>,
    },
    /// Items such as `t=1782907200,v1=…,v1=…`: any signature may match, unknown items are skipped.
    List(Layout),
}

/// How bytes are spelled in the credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As they are.
    Text,
    /// Base 16 in lower case.
    Hex,
    /// Base 64 with padding, canonical (RFC 4648 §4).
    Base64,
    /// Base 64 with the URL alphabet, without padding, canonical (RFC 4648 §5).
    Base64Url,
}

/// How the configured secret becomes key bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretForm {
    /// How the key is spelled in the secret.
    pub encoding: SecretEncoding,
    /// Cut off first if the secret begins with it, such as `whsec_`; a `*` stands for letters, digits and `_`.
    pub prefix: Box<str>,
    /// The first of these characters is taken out.
    pub remove_first: Option<char>,
}

/// How a key is spelled in the secret that the provider shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SecretEncoding {
    /// The UTF-8 text is the key.
    #[default]
    Text,
    /// Base 16, either case.
    Hex,
    /// Base 64 (RFC 4648 §4), with or without padding.
    Base64,
    /// The key is the SHA-1 of the text.
    Sha1,
}

/// Where the signed timestamp is and how old it may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimestampRule {
    /// Where it stands.
    pub at: Place,
    /// What it counts.
    pub unit: TimestampUnit,
    /// How far it may lie from now, in the past and in the future, in seconds, inclusive.
    pub tolerance_seconds: u32,
    /// What it is where it stands in a JSON body.
    pub json_type: JsonType,
}

/// What a timestamp is in a JSON body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JsonType {
    /// A number.
    #[default]
    Number,
    /// A string.
    String,
}

/// How a timestamp is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampUnit {
    /// Whole seconds since 1970-01-01T00:00:00Z.
    Seconds,
    /// Whole milliseconds since then.
    Milliseconds,
    /// A date-time with an offset (ISO 8601 as RFC 3339 profiles it).
    Iso8601,
}

/// What has to hold besides the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The value that is looked at.
    pub value: Place,
    /// What it must be.
    pub must: Must,
    /// Whether it may be absent.
    pub presence: Presence,
}

/// What a required value must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Must {
    /// There, and not empty.
    Exist,
    /// One of these texts.
    EqualAny(Box<[Template]>),
    /// Matched by this pattern from its first character to its last; for challenges.
    Match(super::condition::Pattern),
}

/// Whether a required value may be absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It may not.
    Mandatory,
    /// It is checked where it is there.
    Optional,
}

impl Hash {
    /// How many bytes it makes.
    #[must_use]
    pub const fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 | Self::Keccak256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

impl Algorithm {
    /// How many bytes its MAC or digest has; `None` for everything else.
    #[must_use]
    pub const fn mac_bytes(self) -> Option<usize> {
        match self {
            Self::Hmac(hash) | Self::Digest(hash) => Some(hash.length()),
            Self::PublicKey(_) | Self::Jwt | Self::JwsDetached | Self::Token | Self::Basic => None,
        }
    }

    /// The word of the scheme language.
    #[must_use]
    pub fn name(self) -> &'static str {
        ALGORITHMS.iter().find(|(_, algorithm)| *algorithm == self).map_or("", |(word, _)| word)
    }
}

/// The words of the scheme language for algorithms.
pub const ALGORITHMS: &[(&str, Algorithm)] = &[
    ("hmac-sha1", Algorithm::Hmac(Hash::Sha1)),
    ("hmac-sha256", Algorithm::Hmac(Hash::Sha256)),
    ("hmac-sha384", Algorithm::Hmac(Hash::Sha384)),
    ("hmac-sha512", Algorithm::Hmac(Hash::Sha512)),
    ("sha1", Algorithm::Digest(Hash::Sha1)),
    ("sha256", Algorithm::Digest(Hash::Sha256)),
    ("sha512", Algorithm::Digest(Hash::Sha512)),
    ("keccak256", Algorithm::Digest(Hash::Keccak256)),
    ("ed25519", Algorithm::PublicKey(PublicKeyAlgorithm::Ed25519)),
    ("ecdsa-p256-sha256", Algorithm::PublicKey(PublicKeyAlgorithm::EcdsaP256)),
    ("rsa-sha1", Algorithm::PublicKey(PublicKeyAlgorithm::RsaSha1)),
    ("rsa-sha256", Algorithm::PublicKey(PublicKeyAlgorithm::RsaSha256)),
    ("rsa-sha512", Algorithm::PublicKey(PublicKeyAlgorithm::RsaSha512)),
    ("jwt", Algorithm::Jwt),
    ("jws-detached", Algorithm::JwsDetached),
    ("token", Algorithm::Token),
    ("basic", Algorithm::Basic),
];

/// The words of tokens' own `alg`, which are those of the scheme language too.
pub const TOKEN_ALGORITHMS: &[(&str, TokenAlgorithm)] = &[
    ("HS256", TokenAlgorithm::Hs256),
    ("HS384", TokenAlgorithm::Hs384),
    ("HS512", TokenAlgorithm::Hs512),
    ("RS256", TokenAlgorithm::Rs256),
    ("RS512", TokenAlgorithm::Rs512),
    ("ES256", TokenAlgorithm::Es256),
    ("EdDSA", TokenAlgorithm::EdDsa),
];

impl TimestampRule {
    /// The first second in which a timestamp is too old.
    #[must_use]
    pub fn stale_from(&self, unix_millis: i64) -> UnixSeconds {
        unix_millis.div_euclid(1_000).saturating_add(i64::from(self.tolerance_seconds) + 1)
    }
}

impl PublicKeyAlgorithm {
    /// How many bytes its signatures may have. Of RSA it is the key's own length that counts, which is of 1,024 to 8,192 bits.
    #[must_use]
    pub const fn signature_bytes(self) -> RangeInclusive<usize> {
        match self {
            Self::Ed25519 => 64..=64,
            Self::EcdsaP256 => 8..=72,
            Self::RsaSha1 | Self::RsaSha256 | Self::RsaSha512 => 128..=1_024,
        }
    }
}

impl TokenAlgorithm {
    /// How many bytes its signatures may have; RSA keys are of 2,048 to 8,192 bits (RFC 7518 §3.3).
    #[must_use]
    pub const fn signature_bytes(self) -> RangeInclusive<usize> {
        match self {
            Self::Hs256 => 32..=32,
            Self::Hs384 => 48..=48,
            Self::Hs512 | Self::Es256 | Self::EdDsa => 64..=64,
            Self::Rs256 | Self::Rs512 => 256..=1_024,
        }
    }

    /// Whether it is computed with a secret that both sides have.
    #[must_use]
    pub const fn is_symmetric(self) -> bool {
        match self {
            Self::Hs256 | Self::Hs384 | Self::Hs512 => true,
            Self::Rs256 | Self::Rs512 | Self::Es256 | Self::EdDsa => false,
        }
    }
}

impl Scheme {
    /// Every header field it reads: each must stand alone in a request.
    pub fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        let timestamp = self.timestamp.iter().flat_map(|rule| rule.at.headers());
        let required = self.require.iter().flat_map(|requirement| requirement.value.headers());
        self.credential.headers().iter().chain(timestamp).chain(self.signed.headers()).chain(required)
    }

    /// Whether the timestamp stands in a body that is looked into only after its signature was found good.
    #[must_use]
    pub fn judges_time_last(&self) -> bool {
        self.timestamp.as_ref().is_some_and(|rule| rule.at.is_in_body() && !self.credential.is_in_body())
    }

    /// Whether it looks something up in the body, which has to be readable then.
    #[must_use]
    pub fn looks_inside(&self) -> bool {
        let is_in_text = |requirement: &Requirement| match &requirement.must {
            Must::EqualAny(texts) => texts.iter().any(Template::looks_inside),
            Must::Exist | Must::Match(_) => false,
        };
        let timestamp = self.timestamp.iter().map(|rule| &rule.at);
        let mut places = timestamp.chain(self.require.iter().map(|requirement| &requirement.value));
        self.credential.is_in_body()
            || places.any(Place::is_in_body)
            || self.signed.looks_inside()
            || self.require.iter().any(is_in_text)
    }

    /// Whether the sender signs for how long what it proves is taken: a timestamp, or a token that has to name its age or its end.
    #[must_use]
    pub fn limits_time(&self) -> bool {
        let is_of_token = || self.token.age_seconds_max.is_some() || self.wants_claim("exp");
        self.timestamp.is_some() || self.algorithm == Algorithm::Jwt && is_of_token()
    }

    /// Whether a token without this claim is refused.
    pub(super) fn wants_claim(&self, name: &str) -> bool {
        self.algorithm == Algorithm::Jwt
            && self.require.iter().any(|requirement| {
                let is_it = matches!(&requirement.value, Place::Claim(claim) if **claim == *name);
                is_it && requirement.presence == Presence::Mandatory
            })
    }

    /// Whether what it proves covers the body.
    #[must_use]
    pub fn covers_body(&self) -> bool {
        let whole = self.signed.holds(&Value::Body) || self.signed.holds(&Value::Form);
        whole
            || self.algorithm == Algorithm::JwsDetached
            || self.require.iter().any(|one| self.binds(one, &Value::Body))
    }

    /// Whether what it proves covers the URL.
    #[must_use]
    pub fn covers_url(&self) -> bool {
        self.signed.holds(&Value::Url) || self.require.iter().any(|one| self.binds(one, &Value::Url))
    }

    /// Whether what it proves covers this place.
    #[must_use]
    pub fn covers(&self, place: &Place) -> bool {
        match place {
            Place::Json(_) | Place::Form(_) | Place::Member(_) if self.covers_body() => true,
            Place::Query(_) if self.covers_url() => true,
            Place::Claim(_) => true,
            Place::Header(_)
            | Place::HeaderPrefix(_)
            | Place::Query(_)
            | Place::Bearer
            | Place::Basic
            | Place::Json(_)
            | Place::Form(_)
            | Place::Item(_)
            | Place::Position(_)
            | Place::Member(_) => self.signed.held_places().any(|held| held == place || is_field_of(place, held)),
        }
    }

    /// Whether a side condition ties a covered value to this one: a claim that is the body's hash, say.
    fn binds(&self, requirement: &Requirement, value: &Value) -> bool {
        let covered = match &requirement.value {
            Place::Claim(_) => self.algorithm == Algorithm::Jwt,
            Place::Query(_) => self.signed.holds(&Value::Url),
            other @ (Place::Header(_)
            | Place::HeaderPrefix(_)
            | Place::Bearer
            | Place::Basic
            | Place::Json(_)
            | Place::Form(_)
            | Place::Item(_)
            | Place::Position(_)
            | Place::Member(_)) => self.signed.holds(&Value::At(other.clone())),
        };
        let tied = match &requirement.must {
            Must::EqualAny(templates) => templates.iter().all(|template| template.holds(value)),
            Must::Exist | Must::Match(_) => false,
        };
        // A hash of the body may be absent only where there is no body.
        covered && tied && (requirement.presence == Presence::Mandatory || *value == Value::Body)
    }

    /// Whether the credential is itself a secret, which must not be passed on to the upstream.
    #[must_use]
    pub const fn is_static(&self) -> bool {
        matches!(self.algorithm, Algorithm::Token | Algorithm::Basic)
    }

    /// Whether it is checked with public keys alone: then there are no secrets.
    #[must_use]
    pub fn has_public_keys(&self) -> bool {
        match self.algorithm {
            Algorithm::PublicKey(_) => true,
            Algorithm::Jwt | Algorithm::JwsDetached => {
                self.token.algorithms.iter().any(|algorithm| !algorithm.is_symmetric())
            }
            Algorithm::Hmac(_) | Algorithm::Digest(_) | Algorithm::Token | Algorithm::Basic => false,
        }
    }

    /// Whether it is checked with secrets.
    #[must_use]
    pub fn has_secrets(&self) -> bool {
        match self.algorithm {
            Algorithm::PublicKey(_) => false,
            Algorithm::Jwt | Algorithm::JwsDetached => {
                self.token.algorithms.iter().any(|algorithm| algorithm.is_symmetric())
            }
            Algorithm::Hmac(_) | Algorithm::Digest(_) | Algorithm::Token | Algorithm::Basic => true,
        }
    }

    /// The same with every `{parameter:…}` replaced.
    ///
    /// # Errors
    /// The name of a parameter that has no value.
    pub fn resolve<'p>(&self, parameter: &dyn Fn(&str) -> Option<&'p str>) -> Result<Self, Box<str>> {
        let mut scheme = self.clone();
        scheme.signed = self.signed.resolve(parameter)?;
        for requirement in &mut scheme.require {
            requirement.resolve(parameter)?;
        }
        if let Shape::List(layout) = &mut scheme.shape {
            layout.resolve(parameter)?;
        }
        Ok(scheme)
    }
}

impl Requirement {
    /// Whether one of the texts that it is compared with names this value.
    pub(super) fn names(&self, value: &Value) -> bool {
        match &self.must {
            Must::EqualAny(texts) => texts.iter().any(|text| text.names(value)),
            Must::Exist | Must::Match(_) => false,
        }
    }

    /// Replaces every `{parameter:…}`.
    ///
    /// # Errors
    /// The name of a parameter that has no value.
    pub fn resolve<'p>(&mut self, parameter: &dyn Fn(&str) -> Option<&'p str>) -> Result<(), Box<str>> {
        if let Must::EqualAny(templates) = &mut self.must {
            for template in templates {
                *template = template.resolve(parameter)?;
            }
        }
        Ok(())
    }
}

/// Whether `place` is one header field of a place that names several.
fn is_field_of(place: &Place, named: &Place) -> bool {
    match (place, named) {
        (Place::Header(one), Place::Header(several)) => one.iter().all(|name| several.contains(name)),
        (_, _) => false,
    }
}

/// Whether a template has a filter that needs the source's secret.
#[must_use]
pub fn signs_with_the_secret(template: &Template) -> bool {
    template.parts().iter().any(|part| match part {
        Part::Value(_, filters) => filters.iter().any(|filter| matches!(filter, Filter::HmacSha1 | Filter::HmacSha256)),
        Part::Text(_) => false,
    })
}
