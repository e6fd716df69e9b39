//! Ways to prove that the scheme language cannot say: one file each, behind one trait.
//!
//! A provider comes here only if what it signs depends on the message in a way that no template can tell: a list of fields by message type, a
//! signature for each item of a list, JSON written anew with sorted keys.
//!
//! To add one, write its file with an `About` and a [`Code`], name it in [`CODES`], and give it a preset with `code = "…"`.
//!
//! **Invariant:** as everywhere in `auth`: no IO, no clock, no log, and no answer by a bool.
//!
//! **Invariant:** what depends on a sender's URL (a certificate) is looked up in the policy. Nothing is fetched to prove a delivery.

use std::collections::HashMap;
use std::fmt;

use http::HeaderName;

use super::confirmation::Confirmation;
use super::describe::{self, Deliveries, Line};
use super::facts::{self, Covered};
use super::key::{KeyFault, NamedSecret};
use super::place::{Head, Place, View};
use super::template::Template;
use super::verify::SignedDigest;
use crate::clock::UnixSeconds;
use crate::header::{self, Duplicated};
use crate::payload::Node;
use crate::reason::Reason;
use crate::rejection::Rejection;

mod adyen;
mod aws_sns;
mod certificate;
mod coinbase_cdp;
mod contentful;
mod ecmascript;
mod keys;
mod nowpayments;
mod paypal;

/// A way to prove who sent a delivery, with its keys.
pub trait Code: fmt::Debug + Send + Sync {
    /// Refuses what can be refused without the body.
    ///
    /// # Errors
    /// `credential_*`, `timestamp_*`.
    fn present(&self, head: Head<'_>, now: UnixSeconds) -> Result<(), Rejection>;

    /// Decides. The view has the body.
    ///
    /// # Errors
    /// `credential_*`, `timestamp_*`, `secret_expired`.
    fn verify<'k>(&'k self, view: &View<'_>, now: UnixSeconds) -> Result<Found<'k>, Rejection>;

    /// The visit by which the subscription is confirmed that a request asks for, which was verified before; `url` is what its provider's preset
    /// says to be visited.
    ///
    /// # Errors
    /// `handshake_refused` where it is no URL of the provider, or not of this subscription.
    fn confirmation(&self, _url: &str, _view: &View<'_>) -> Result<Confirmation, Rejection> {
        Err(Reason::HandshakeRefused.into())
    }
}

/// What a delivery was proven by.
#[derive(Debug, Clone, Copy)]
pub struct Found<'k> {
    /// The policy's name of the key that fitted.
    pub key: &'k str,
    /// What was signed, see [`Proof::digest`](super::Proof::digest).
    pub digest: Option<SignedDigest>,
    /// The signed time, in milliseconds since the epoch.
    pub signed_at_millis: Option<i64>,
    /// From this second on the signed time is no longer taken.
    pub stale_from: Option<UnixSeconds>,
}

/// What a policy says besides keys.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'s> {
    /// `[auth.parameters]`.
    pub parameters: &'s HashMap<&'s str, &'s str>,
    /// The certificates in `trust_roots`, as PEM or DER.
    pub trust_roots: &'s [Vec<u8>],
}

/// The files of this folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeKind {
    /// Fields of a JSON body, listed by the message's type, signed by the certificate that the body names.
    AwsSns,
    /// The CRC-32 of the body, signed by the certificate that a header names.
    PayPal,
    /// Eight fields of each item of the body.
    Adyen,
    /// The headers that a header lists.
    Contentful,
    /// The headers that the credential lists.
    CoinbaseCdp,
    /// The body's JSON with its members in order.
    NowPayments,
}

/// The words of presets for them.
pub const CODES: &[(&str, CodeKind)] = &[
    ("adyen", CodeKind::Adyen),
    ("aws-sns", CodeKind::AwsSns),
    ("coinbase-cdp", CodeKind::CoinbaseCdp),
    ("contentful", CodeKind::Contentful),
    ("nowpayments", CodeKind::NowPayments),
    ("paypal", CodeKind::PayPal),
];

/// What one of them is checked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CheckedWith {
    /// Secrets that both sides have.
    Secrets,
    /// Certificates that the policy has and the sender names.
    Certificates,
    /// The same, where they have to lead to an authority.
    TrustedCertificates,
}

/// What a file says of itself.
struct About {
    checked_with: CheckedWith,
    /// How a certificate's id looks where it is its URL.
    key_id: Option<&'static str>,
    /// What is signed, in a line.
    signed: &'static str,
    /// Label and text, in the order of [`describe::lines`]; without `signed` and `replays`, which are made from the rest.
    lines: &'static [(&'static str, &'static str)],
    /// How far the signed time may lie from now; absent: it is not judged.
    tolerance_seconds: Option<u32>,
    /// Whether what is signed differs for any two honest deliveries.
    deliveries: Deliveries,
    /// Whether whoever changed what stands at a place would break every signature that is taken.
    covers: fn(&Place) -> Covered,
    /// What a policy with these parameters should better say.
    advice: fn(&HashMap<&str, &str>) -> Option<&'static str>,
}

impl CodeKind {
    const fn about(self) -> &'static About {
        match self {
            Self::AwsSns => &aws_sns::ABOUT,
            Self::PayPal => &paypal::ABOUT,
            Self::Adyen => &adyen::ABOUT,
            Self::Contentful => &contentful::ABOUT,
            Self::CoinbaseCdp => &coinbase_cdp::ABOUT,
            Self::NowPayments => &nowpayments::ABOUT,
        }
    }

    /// Makes one ready with a policy's keys.
    ///
    /// # Errors
    /// [`KeyFault`] for the first secret, key, parameter or trust root that is not as it wants it.
    pub fn make(self, keys: &[NamedSecret], settings: &Settings<'_>) -> Result<Box<dyn Code>, KeyFault> {
        Ok(match self {
            Self::AwsSns => Box::new(aws_sns::AwsSns::new(keys, settings)?),
            Self::PayPal => Box::new(paypal::PayPal::new(keys, settings)?),
            Self::Adyen => Box::new(adyen::Adyen::new(keys)?),
            Self::Contentful => Box::new(contentful::Contentful::new(keys)?),
            Self::CoinbaseCdp => Box::new(coinbase_cdp::CoinbaseCdp::new(keys)?),
            Self::NowPayments => Box::new(nowpayments::NowPayments::new(keys)?),
        })
    }

    /// What is signed, in a line.
    #[must_use]
    pub const fn signed(self) -> &'static str {
        self.about().signed
    }

    /// What it proves, what not, and how it signs, in words, with where the event's name and the delivery's id are looked for.
    #[must_use]
    pub fn lines(self, event: &[Template], delivery_id: &[Template]) -> Vec<Line> {
        let about = self.about();
        let line = |label, text: &str| Line { label, text: text.to_owned() };
        let mut lines = Vec::with_capacity(about.lines.len() + 4);
        for (label, text) in about.lines {
            if *label == "credential" {
                lines.push(line("signed", about.signed));
            }
            lines.push(line(label, text));
        }
        lines.push(line("replays", describe::replays_where(about.deliveries)));
        lines.push(line("event", &describe::fact_by(event, |place| self.coverage(place))));
        lines.push(line("delivery id", &describe::fact_by(delivery_id, |place| self.coverage(place))));
        lines
    }

    /// Whether a fact is covered by what is signed.
    #[must_use]
    pub fn coverage(self, fact: &Template) -> Covered {
        facts::coverage_by(fact, self.about().covers)
    }

    /// What a policy with these parameters should better say.
    #[must_use]
    pub fn advice(self, parameters: &HashMap<&str, &str>) -> Option<&'static str> {
        (self.about().advice)(parameters)
    }

    /// Whether it is checked with secrets.
    #[must_use]
    pub const fn has_secrets(self) -> bool {
        matches!(self.about().checked_with, CheckedWith::Secrets)
    }

    /// Whether it is checked with public keys or certificates.
    #[must_use]
    pub const fn has_public_keys(self) -> bool {
        matches!(self.about().checked_with, CheckedWith::Certificates | CheckedWith::TrustedCertificates)
    }

    /// How the id of one of its public keys looks, where it may not be any word.
    #[must_use]
    pub const fn key_id(self) -> Option<&'static str> {
        self.about().key_id
    }

    /// Whether its certificates have to lead to an authority.
    #[must_use]
    pub const fn has_trust_roots(self) -> bool {
        matches!(self.about().checked_with, CheckedWith::TrustedCertificates)
    }

    /// How far its signed timestamp may lie from now.
    #[must_use]
    pub const fn tolerance_seconds(self) -> Option<u32> {
        self.about().tolerance_seconds
    }

    /// Whether it looks something up in the body, which has to be readable then.
    #[must_use]
    pub const fn looks_inside(self) -> bool {
        match self {
            Self::AwsSns | Self::Adyen | Self::NowPayments => true,
            Self::PayPal | Self::Contentful | Self::CoinbaseCdp => false,
        }
    }

    /// Whether what it signs differs for any two honest deliveries.
    #[must_use]
    pub const fn tells_deliveries_apart(self) -> bool {
        matches!(self.about().deliveries, Deliveries::Differ)
    }
}

/// For those that have nothing to advise.
const fn no_advice(_parameters: &HashMap<&str, &str>) -> Option<&'static str> {
    None
}

/// The text of a field that has to be there, once.
fn field<'d>(head: Head<'d>, name: &HeaderName) -> Result<&'d str, Rejection> {
    let rejection = |reason| Rejection::new(reason).fact("expected", format!("header {name}"));
    let value = header::single(head.headers, name).map_err(|Duplicated| rejection(Reason::CredentialDuplicated))?;
    let value = value.ok_or_else(|| rejection(Reason::CredentialMissing))?;
    match header::text(value) {
        Some("") => Err(rejection(Reason::CredentialMissing).fact("found", "it is there, but empty")),
        Some(text) => Ok(text),
        None => Err(rejection(Reason::CredentialMalformed)),
    }
}

/// The body as strict JSON whose outermost value is an object.
fn object<'v>(view: &View<'v>) -> Result<Node<'v>, Rejection> {
    let root = view.body.and_then(|body| body.document()).map(crate::payload::Document::root);
    root.filter(|root| root.kind() == crate::payload::Kind::Object)
        .ok_or_else(|| malformed("a JSON object as the body"))
}

/// A credential that cannot be one.
fn malformed(expected: impl Into<crate::rejection::Fact>) -> Rejection {
    Rejection::new(Reason::CredentialMalformed).fact("expected", expected)
}

/// A credential, or a part of it, that is not there.
fn missing(expected: impl Into<crate::rejection::Fact>) -> Rejection {
    Rejection::new(Reason::CredentialMissing).fact("expected", expected)
}
