//! Asking a client for its certificate. Whether the certificate means anything is not judged here, but by the source that a request is for
//! ([`auth::certificate`](crate::auth::certificate)): what is nothing to one source is good at another, and a refusal becomes a record with a reason.
//!
//! **Invariant:** what is handed on is a certificate whose key the client has: rustls checks the signature over the handshake.
//!
//! **Invariant:** who has no certificate, or one of somebody else's, is served all the same where no certificate is wanted.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use crate::policy::{ClientCertificates, Policy};

/// The longest chain that is kept for a connection, in bytes, and in certificates: nobody's authority has vouched for it yet.
const CHAIN_BYTES_MAX: usize = 16 * 1024;
const CHAIN_LENGTH_MAX: usize = 8;

/// The policy in force, as far as handshakes have to know it.
#[derive(Clone)]
pub struct InForce(Arc<dyn Fn() -> ClientCertificates + Send + Sync>);

/// Takes any certificate with a key, if one is wanted at all.
#[derive(Debug)]
pub struct AnyCertificate {
    in_force: InForce,
    algorithms: WebPkiSupportedAlgorithms,
}

impl InForce {
    /// Asks this policy, whichever is in force.
    #[must_use]
    pub fn of<S: Send + Sync + 'static>(shared: Arc<S>, policy: fn(&S) -> &ArcSwap<Policy>) -> Self {
        Self(Arc::new(move || policy(&shared).load().client_certificates()))
    }

    /// Whether a certificate is wanted now.
    pub(super) fn client_certificates(&self) -> ClientCertificates {
        (self.0)()
    }
}

impl AnyCertificate {
    /// Asks while the policy in force wants it.
    #[must_use]
    pub fn new(in_force: InForce) -> Self {
        Self { in_force, algorithms: aws_lc_rs::default_provider().signature_verification_algorithms }
    }
}

impl ClientCertVerifier for AnyCertificate {
    fn offer_client_auth(&self) -> bool {
        self.in_force.client_certificates() == ClientCertificates::Wanted
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: a client shows what it was given, and strangers do not learn who the operator's partners are.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        first: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let bytes = first.len() + intermediates.iter().map(|certificate| certificate.len()).sum::<usize>();
        if bytes > CHAIN_BYTES_MAX || intermediates.len() >= CHAIN_LENGTH_MAX {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl std::fmt::Debug for InForce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InForce")
    }
}
