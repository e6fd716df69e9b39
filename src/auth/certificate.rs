//! Client certificates (mutual TLS): whether the connection belongs to somebody whom an authority of the source's vouches for.
//!
//! The handshake proves that the client has the key of the certificate it shows (RFC 8446 §4.4.3), and nothing else; whether that
//! certificate means anything is judged here, by the source that a request is for, under the policy in force at that moment. So a
//! certificate that one source does not know is no fault at another, and a resumed session is judged as a new one is.
//!
//! **Invariant:** names count only after the chain was found good.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::clock::UnixSeconds;
use crate::reason::Reason;
use crate::rejection::{Fact, Rejection};

/// How a source's senders prove themselves by the connection they send on.
pub struct ClientCertificate {
    /// Tells this rule from every other one, those of earlier policies too.
    id: u64,
    authorities: Vec<TrustAnchor<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
    /// In lower case; empty: any.
    names: Box<[Box<str>]>,
}

/// The certificates that a client showed in the handshake, its own first. That it has the key is proven.
///
/// It keeps the last verdict, so that many requests on one connection cost one look at the chain in a second.
pub struct ClientChain {
    certificates: Vec<CertificateDer<'static>>,
    judged: Mutex<Option<Judged>>,
}

/// That a connection belongs to whom the source expects. Only [`ClientCertificate::verify`] makes it.
#[must_use = "it is what a proof is made of"]
#[derive(Debug)]
pub struct Holder<'d> {
    name: &'d str,
}

/// Why a file does not say whose certificates are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityFault {
    /// It is not PEM.
    #[error("is not PEM")]
    Pem,
    /// There is no certificate in it.
    #[error("has no certificate in it")]
    Empty,
    /// What is in it is no certificate of an authority.
    #[error("holds something that is no certificate of an authority")]
    Certificate,
}

/// The verdict of one rule at one time. Certificates are dated in whole seconds, so within a second nothing can change.
#[derive(Debug, Clone, Copy)]
struct Judged {
    rule: u64,
    at: UnixSeconds,
    verdict: Result<Named, Flaw>,
}

/// Which of the rule's names the certificate has; `None` where any will do.
type Named = Option<usize>;

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    Malformed,
    Authority,
    Expired,
    NotYetValid,
    Usage,
    Name,
}

/// The name in records where the policy pins none.
pub const METHOD: &str = "client-certificate";

/// How many of a certificate's names a record shows, and how much of each.
const NAMES_SHOWN: usize = 4;
const NAME_CHARS_SHOWN: usize = 80;

static NEXT: AtomicU64 = AtomicU64::new(0);

impl ClientCertificate {
    /// Certificates of the authorities in `pem`, with one of these DNS names (in lower case, compared whole) where there are any.
    ///
    /// # Errors
    /// [`AuthorityFault`] for the first thing in the file that is no certificate of an authority.
    pub fn new(pem: &[u8], names: impl IntoIterator<Item = Box<str>>) -> Result<Self, AuthorityFault> {
        let certificates: Vec<_> =
            CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| AuthorityFault::Pem)?;
        if certificates.is_empty() {
            return Err(AuthorityFault::Empty);
        }
        let anchors = certificates
            .iter()
            .map(|certificate| anchor_from_trusted_cert(certificate).map(|anchor| anchor.to_owned()));
        Ok(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            authorities: anchors.collect::<Result<_, _>>().map_err(|_| AuthorityFault::Certificate)?,
            algorithms: aws_lc_rs::default_provider().signature_verification_algorithms,
            names: names.into_iter().collect(),
        })
    }

    /// Whether the connection was opened with a certificate that is good here and now.
    ///
    /// # Errors
    /// `client_certificate_missing`; `credential_mismatch` with what is wrong with the one that was shown.
    pub fn verify<'d>(&'d self, chain: Option<&ClientChain>, now: UnixSeconds) -> Result<Holder<'d>, Rejection> {
        let Some(chain) = chain else {
            return Err(Rejection::new(Reason::ClientCertificateMissing).fact("expected", "a client certificate"));
        };
        match chain.judged_by(self, now) {
            Ok(named) => {
                let name = named.and_then(|position| self.names.get(position));
                Ok(Holder { name: name.map_or(METHOD, |name| name) })
            }
            Err(flaw) => Err(chain.refused(flaw)),
        }
    }

    fn judge(&self, chain: &[CertificateDer<'_>], now: UnixSeconds) -> Result<Named, Flaw> {
        let (first, intermediates) = chain.split_first().ok_or(Flaw::Malformed)?;
        let certificate = EndEntityCert::try_from(first).map_err(|_| Flaw::Malformed)?;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now).unwrap_or_default()));
        let usage = KeyUsage::client_auth();
        certificate
            .verify_for_usage(self.algorithms.all, &self.authorities, intermediates, now, usage, None, None)
            .map_err(|error| Flaw::of(&error))?;
        if self.names.is_empty() {
            return Ok(None);
        }
        // Whole and exact: a certificate for `*.partner.example` is not the one for `hooks.partner.example`.
        let is_shown = |name: &str| certificate.valid_dns_names().any(|shown| shown.eq_ignore_ascii_case(name));
        self.names.iter().position(|name| is_shown(name)).map(Some).ok_or(Flaw::Name)
    }
}

impl ClientChain {
    /// What a handshake proved the key of. The client's own certificate comes first.
    #[must_use]
    pub fn new(certificates: &[CertificateDer<'_>]) -> Self {
        let certificates = certificates.iter().map(|certificate| certificate.clone().into_owned());
        Self { certificates: certificates.collect(), judged: Mutex::new(None) }
    }

    fn judged_by(&self, rule: &ClientCertificate, now: UnixSeconds) -> Result<Named, Flaw> {
        // A verdict is written whole, so one that a panic left behind is as good as any.
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Judged { verdict, .. }) = judged.filter(|judged| judged.rule == rule.id && judged.at == now) {
            return verdict;
        }
        let verdict = rule.judge(&self.certificates, now);
        *judged = Some(Judged { rule: rule.id, at: now, verdict });
        verdict
    }

    fn refused(&self, flaw: Flaw) -> Rejection {
        let rejection = Rejection::new(Reason::CredentialMismatch).fact("certificate", flaw.text()).hint(
            "look at the certificate that the sender's connection shows, and at client_certificate in the policy",
        );
        let names = self.names();
        if names.is_empty() { rejection } else { rejection.fact("certificate_names", Fact::List(names)) }
    }

    /// The DNS names of the client's certificate, which are the sender's text: a few of them, cut.
    fn names(&self) -> Vec<std::borrow::Cow<'static, str>> {
        let certificate = self.certificates.first().and_then(|first| EndEntityCert::try_from(first).ok());
        let Some(certificate) = certificate else { return Vec::new() };
        let cut = |name: &str| name.chars().take(NAME_CHARS_SHOWN).collect::<String>().into();
        certificate.valid_dns_names().take(NAMES_SHOWN).map(cut).collect()
    }
}

impl<'d> Holder<'d> {
    /// The pinned name that the certificate has; `client-certificate` where the policy pins none.
    pub(super) const fn name(&self) -> &'d str {
        self.name
    }
}

impl Flaw {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the library's list is open")]
    const fn of(error: &webpki::Error) -> Self {
        use webpki::Error as E;
        match error {
            E::CertExpired { .. } => Self::Expired,
            E::CertNotValidYet { .. } => Self::NotYetValid,
            E::RequiredEkuNotFoundContext(_) | E::CaUsedAsEndEntity => Self::Usage,
            _ => Self::Authority,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Malformed => "it cannot be read",
            Self::Authority => "it does not lead to an authority of the policy's",
            Self::Expired => "it has expired",
            Self::NotYetValid => "it is not valid yet",
            Self::Usage => "it is not for authenticating clients",
            Self::Name => "it has none of the names that the policy lists",
        }
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").field("names", &self.names).finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientChain({} certificates)", self.certificates.len())
    }
}
