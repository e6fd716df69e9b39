//! PayPal: headers and the CRC-32 of the body, signed by a certificate that a header names and an authority vouches for.
//!
//! A CRC is no digest: whoever captured a delivery can write another body with the same one. So the body does not count as covered, and what
//! is told of it does not either.

use std::time::Duration;

use http::HeaderName;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use super::certificate::{self, Certificate, RsaHash};
use super::keys;
use super::{About, CheckedWith, Code, Found, Settings, field, malformed, no_advice};
use crate::auth::describe::Deliveries;
use crate::auth::facts::Covered;
use crate::auth::key::{KeyFault, KeyKind, NamedSecret};
use crate::auth::place::{Head, Place, View};
use crate::clock::UnixSeconds;
use crate::reason::Reason;
use crate::rejection::Rejection;

pub(super) const ABOUT: About = About {
    checked_with: CheckedWith::TrustedCertificates,
    key_id: Some("https://api.paypal.com/v1/notifications/certs/CERT-0000"),
    signed: "RSA signature (PKCS#1 v1.5, SHA-256, or SHA-1 where `paypal-auth-algo` says so) of \
        `{header:paypal-transmission-id}|{header:paypal-transmission-time}|{parameter:webhook_id}|{CRC-32 of the body, in decimal}`",
    lines: &[
        (
            "proves",
            "that PayPal sent something to this webhook at the time it names, but hardly what: the body is covered by a CRC-32 alone",
        ),
        (
            "not covered",
            "the body: whoever captured a delivery can write another of the same CRC-32 (ask PayPal's API before acting on it); the method; the URL and its \
             query; all headers but `paypal-transmission-id`, `paypal-transmission-time`",
        ),
        (
            "credential",
            "header `paypal-transmission-sig`: the signature in base64 with padding; header `paypal-cert-url` names the certificate: https, a host under \
             `paypal.com`",
        ),
        (
            "secret",
            "none: the provider's certificate, in `public_keys`, with its URL as id and what else leads to its authority behind it; it is not fetched",
        ),
        (
            "time",
            "header `paypal-transmission-time` is signed, but not judged: a captured delivery is as good tomorrow as today",
        ),
        (
            "and",
            "the certificate must be of a name under `paypal.com` and lead now to one of `trust_roots`, or to a public authority where there are none",
        ),
    ],
    tolerance_seconds: None,
    deliveries: Deliveries::Differ,
    covers,
    advice: no_advice,
};

static ALGORITHM: HeaderName = HeaderName::from_static("paypal-auth-algo");
static CERTIFICATE: HeaderName = HeaderName::from_static("paypal-cert-url");
static ID: HeaderName = HeaderName::from_static("paypal-transmission-id");
static SIGNATURE: HeaderName = HeaderName::from_static("paypal-transmission-sig");
static TIME: HeaderName = HeaderName::from_static("paypal-transmission-time");

const WEBHOOK_ID: &str = "webhook_id";

fn covers(place: &Place) -> Covered {
    let headers = place.headers();
    let are_signed = !headers.is_empty() && headers.iter().all(|name| *name == ID || *name == TIME);
    if are_signed { Covered::Signed } else { Covered::Unsigned }
}

/// The certificates of a source.
pub(super) struct PayPal {
    /// Which of the operator's webhooks: signed, but not sent along.
    webhook_id: Box<str>,
    signers: Vec<Signer>,
    roots: Vec<TrustAnchor<'static>>,
    algorithms: &'static [&'static dyn SignatureVerificationAlgorithm],
}

/// A certificate with what leads to its authority.
struct Signer {
    certificate: Certificate,
    owner: Owner,
    leaf: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
}

/// Whose a certificate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    PayPal,
    SomebodyElse,
}

/// What the head presents.
struct Presented<'d> {
    hash: RsaHash,
    url: &'d str,
    id: &'d str,
    time: &'d str,
    signature: Vec<u8>,
}

impl std::fmt::Debug for PayPal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let certificates: Vec<_> = self.signers.iter().map(|signer| &signer.certificate).collect();
        f.debug_struct("PayPal").field("certificates", &certificates).finish_non_exhaustive()
    }
}

impl PayPal {
    /// # Errors
    /// [`KeyFault`] for what is no RSA certificate, or has no URL of PayPal as id, for a trust root that is none, and where the policy does
    /// not say which webhook it is.
    pub(super) fn new(keys: &[NamedSecret], settings: &Settings<'_>) -> Result<Self, KeyFault> {
        let webhook_id = settings.parameters.get(WEBHOOK_ID).copied().filter(|id| !id.is_empty());
        let expected = "given: [auth.parameters] webhook_id = \"…\", as the developer dashboard shows it";
        let webhook_id = webhook_id.ok_or_else(|| KeyFault { what: "parameter", id: WEBHOOK_ID.into(), expected })?;
        let signers = keys.iter().filter(|named| named.kind == KeyKind::Public).map(Signer::new);
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all;
        Ok(Self {
            webhook_id: webhook_id.into(),
            signers: signers.collect::<Result<_, _>>()?,
            roots: roots(settings.trust_roots)?,
            algorithms,
        })
    }
}

impl Code for PayPal {
    fn present(&self, head: Head<'_>, _now: UnixSeconds) -> Result<(), Rejection> {
        read(head).map(drop)
    }

    fn verify<'k>(&'k self, view: &View<'_>, now: UnixSeconds) -> Result<Found<'k>, Rejection> {
        let Presented { hash, url, id, time, signature } = read(view.head)?;
        let signer = self.signers.iter().find(|signer| *signer.certificate.url == *url);
        let signer = signer.ok_or_else(|| certificate::unknown("header:paypal-cert-url"))?;
        let body = view.body.map_or(&b""[..], |body| body.bytes());
        let signed = format!("{id}|{time}|{}|{}", self.webhook_id, crc32(body));
        signer.certificate.verify(hash, signed.as_bytes(), &signature, now)?;
        signer.require_trust(&self.roots, self.algorithms, now)?;
        Ok(Found {
            key: &signer.certificate.url,
            digest: Some(keys::bound(signed.as_bytes(), body)),
            signed_at_millis: time.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond),
            stale_from: None,
        })
    }
}

impl Signer {
    fn new(named: &NamedSecret) -> Result<Self, KeyFault> {
        pinned(&named.id).ok_or_else(|| certificate::fault(named, "called by its URL, https://….paypal.com/…"))?;
        let chain =
            CertificateDer::pem_slice_iter(named.secret.expose()).collect::<Result<Vec<_>, _>>().unwrap_or_default();
        let mut chain = chain.into_iter();
        let leaf = chain.next().ok_or_else(|| certificate::fault(named, "a certificate in PEM"))?;
        let owner = owner(&leaf).ok_or_else(|| certificate::fault(named, "an X.509 certificate"))?;
        Ok(Self { certificate: Certificate::new(named)?, owner, leaf, intermediates: chain.collect() })
    }

    /// That the certificate is PayPal's own, and valid now.
    fn require_trust(
        &self,
        roots: &[TrustAnchor<'_>],
        algorithms: &[&dyn SignatureVerificationAlgorithm],
        now: UnixSeconds,
    ) -> Result<(), Rejection> {
        let untrusted = |hint: &'static str| {
            Rejection::new(Reason::CredentialMismatch).fact("certificate", self.certificate.url.to_string()).hint(hint)
        };
        if self.owner == Owner::SomebodyElse {
            return Err(untrusted("this certificate is of no name under paypal.com"));
        }
        let chain = "this certificate is not valid now, or does not lead to one of trust_roots: put what is between behind it, or renew it";
        let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now).unwrap_or_default()));
        let leaf = EndEntityCert::try_from(&self.leaf).map_err(|_| untrusted(chain))?;
        let usage = KeyUsage::server_auth();
        let path = leaf.verify_for_usage(algorithms, roots, &self.intermediates, now, usage, None, None);
        path.map(drop).map_err(|_| untrusted(chain))
    }
}

fn read(head: Head<'_>) -> Result<Presented<'_>, Rejection> {
    let signature = certificate::decode(field(head, &SIGNATURE)?).ok_or_else(|| malformed("a signature in base64"))?;
    let hash = match field(head, &ALGORITHM)? {
        "SHA256withRSA" => RsaHash::Sha256,
        // PayPal's own library takes it. A collision would have to be made of an id, a time and a CRC of PayPal's choice.
        "SHA1withRSA" => RsaHash::Sha1,
        _other => return Err(malformed(format!("header {ALGORITHM}: SHA256withRSA"))),
    };
    let url = field(head, &CERTIFICATE)?;
    pinned(url).ok_or_else(|| malformed(format!("header {CERTIFICATE}: a URL under paypal.com")))?;
    let (id, time) = (field(head, &ID)?, field(head, &TIME)?);
    // Joined without escapes: with one more, the text could be split otherwise.
    if id.contains('|') || time.contains('|') {
        return Err(malformed(format!("headers {ID} and {TIME} without |")));
    }
    Ok(Presented { hash, url, id, time, signature })
}

/// A certificate's URL that is PayPal's own.
fn pinned(url: &str) -> Option<()> {
    let (host, _path) = certificate::https(url)?;
    is_paypal(host)
}

fn is_paypal(name: &str) -> Option<()> {
    let name = name.to_ascii_lowercase();
    name.strip_suffix(".paypal.com").filter(|rest| !rest.is_empty()).map(drop)
}

/// The authorities: the policy's, or the public ones.
fn roots(given: &[Vec<u8>]) -> Result<Vec<TrustAnchor<'static>>, KeyFault> {
    if given.is_empty() {
        return Ok(webpki_roots::TLS_SERVER_ROOTS.to_vec());
    }
    let mut roots = Vec::new();
    for (position, bytes) in given.iter().enumerate() {
        let id = (position + 1).to_string().into();
        let fault = || KeyFault { what: "trust root", id, expected: "a certificate of an authority, in PEM or DER" };
        let found = anchors(bytes).filter(|found| !found.is_empty()).ok_or_else(fault)?;
        roots.extend(found);
    }
    Ok(roots)
}

fn anchors(bytes: &[u8]) -> Option<Vec<TrustAnchor<'static>>> {
    let certificates = match CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>() {
        Ok(found) if !found.is_empty() => found,
        Ok(_) | Err(_) => vec![CertificateDer::from(bytes)],
    };
    certificates.iter().map(|der| webpki::anchor_from_trusted_cert(der).ok().map(|anchor| anchor.to_owned())).collect()
}

/// Whose a certificate is: by its alternative names, or by its common names where it has none (RFC 6125 §6.4.4).
fn owner(der: &CertificateDer<'_>) -> Option<Owner> {
    let certificate = EndEntityCert::try_from(der).ok()?;
    let mut names = certificate.valid_dns_names().peekable();
    let is_paypals = if names.peek().is_some() {
        names.find_map(is_paypal)
    } else {
        common_names(certificate.subject()).into_iter().find_map(is_paypal)
    };
    Some(if is_paypals.is_some() { Owner::PayPal } else { Owner::SomebodyElse })
}

/// The common names of a subject: `SET { SEQUENCE { OBJECT IDENTIFIER, text } }`, one after the other (X.501). What is read is the operator's
/// own certificate, whose outer form the library checked; a whole X.509 parser for one name would be the larger risk.
fn common_names(mut subject: &[u8]) -> Vec<&str> {
    const SET: u8 = 0x31;
    const SEQUENCE: u8 = 0x30;
    const OBJECT_IDENTIFIER: u8 = 0x06;
    /// 2.5.4.3.
    const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    let mut names = Vec::new();
    while let Some((SET, mut attributes)) = element(&mut subject) {
        while let Some((SEQUENCE, mut attribute)) = element(&mut attributes) {
            if element(&mut attribute) == Some((OBJECT_IDENTIFIER, COMMON_NAME)) {
                let text = element(&mut attribute).and_then(|(_, text)| std::str::from_utf8(text).ok());
                names.extend(text);
            }
        }
    }
    names
}

/// Takes the first element of some DER: its tag and what is in it (X.690 §8.1, lengths up to two bytes).
fn element<'d>(der: &mut &'d [u8]) -> Option<(u8, &'d [u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => rest.split_first().map(|(&length, rest)| (usize::from(length), rest))?,
        0x82 => rest.split_first_chunk().map(|(&length, rest)| (usize::from(u16::from_be_bytes(length)), rest))?,
        _longer => return None,
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    *der = rest;
    Some((tag, contents))
}

/// CRC-32 as in ISO 3309 and zlib.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| CRC_TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ (crc >> 8))
}

/// The remainders of all bytes under the reversed polynomial.
static CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
            bit += 1;
        }
        table[byte as usize] = crc;
        byte += 1;
    }
    table
};
