//! TLS: certificates chosen by SNI, swapped without dropping a connection.
//!
//! What is spoken is listed in `posture`; the protocol above is chosen by ALPN alone. No early data: a replayed first flight would be a replayed delivery.

mod certificates;
pub mod challenge;
mod kept;
mod posture;
mod stream;
pub mod tickets;
mod validity;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite};

use super::client_certificate::{AnyCertificate, InForce};
use crate::clock::Clock;
use crate::policy::gateway_config::TlsProfile;
use crate::record::Expiry;
pub use certificates::{CertificateFault, CertificateFiles, Certificates, Certified};
use challenge::Proofs;
pub use stream::TlsStream;
use tickets::Tickets;

/// The application protocols offered, best first.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The certificates in force, and proofs that are pending. Cheap to share; swapped whole.
#[derive(Default)]
pub struct CertificateStore {
    in_force: ArcSwap<Certificates>,
    proofs: Proofs,
}

/// A proof that stays until this is dropped.
#[must_use = "the proof goes as soon as this is dropped"]
pub struct Proof {
    store: Arc<CertificateStore>,
    name: String,
}

impl CertificateStore {
    /// A store with these certificates in force.
    #[must_use]
    pub fn new(certificates: Certificates) -> Arc<Self> {
        Arc::new(Self { in_force: ArcSwap::from_pointee(certificates), proofs: Proofs::default() })
    }

    /// Puts other certificates in force for new handshakes; connections that stand keep theirs. What was issued stays.
    pub fn swap(&self, certificates: &Certificates) {
        self.in_force.rcu(|before| certificates.clone().inherit(before));
    }

    /// Puts the certificate in force that was [awaited](Certificates::awaiting).
    pub fn issue(&self, certified: &Certified) {
        self.in_force.rcu(|before| before.with(certified));
    }

    /// Shows this certificate to who asks for a proof that the name is ours.
    ///
    /// # Errors
    /// If the key's kind is not supported.
    pub fn prove(
        self: &Arc<Self>,
        name: &str,
        certificate: CertificateDer<'static>,
        key: &PrivateKeyDer<'_>,
    ) -> Result<Proof, rustls::Error> {
        let key = CertifiedKey::new(vec![certificate], aws_lc_rs::sign::any_supported_type(key)?);
        self.proofs.insert(name, &Arc::new(key));
        Ok(Proof { store: Arc::clone(self), name: name.to_owned() })
    }

    /// Until when each certificate is good, in their order.
    #[must_use]
    pub fn expiries(&self) -> Vec<Expiry> {
        self.in_force.load().expiries()
    }

    /// Whether one certificate, of those in force now, serves both names.
    #[must_use]
    pub fn serves_alike(&self, name: &str, other: &str) -> bool {
        let certificates = self.in_force.load();
        name.eq_ignore_ascii_case(other) || certificates.select(name) == certificates.select(other)
    }
}

impl Drop for Proof {
    fn drop(&mut self) {
        self.store.proofs.remove(&self.name);
    }
}

impl ResolvesServerCert for CertificateStore {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if challenge::is_asked(&hello) {
            return self.proofs.of(hello.server_name()?);
        }
        let certificates = self.in_force.load();
        let position = hello.server_name().map_or(0, |name| certificates.select(name));
        certificates.key(position).cloned()
    }
}

/// One handshake's view of the certificates, which remembers the name that was asked for.
#[derive(Debug)]
struct Noted {
    store: Arc<CertificateStore>,
    name: Mutex<Option<Box<str>>>,
}

impl ResolvesServerCert for Noted {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        *self.name.lock().unwrap_or_else(PoisonError::into_inner) = hello.server_name().map(Box::from);
        self.store.resolve(hello)
    }
}

/// Shakes hands with whoever is at the other end of `stream`; with the connection comes the name that was asked for
/// (SNI), `None` if there was none.
///
/// # Errors
/// What the socket says; with a [`rustls::Error`] inside where the handshake itself failed.
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    config: &ServerConfig,
    store: &Arc<CertificateStore>,
) -> io::Result<(TlsStream<S>, Option<Box<str>>)> {
    let noted = Arc::new(Noted { store: Arc::clone(store), name: Mutex::default() });
    let mut config = config.clone();
    if store.proofs.are_pending() {
        config.alpn_protocols.push(challenge::PROTOCOL.to_vec());
    }
    config.cert_resolver = Arc::<Noted>::clone(&noted);
    let stream = TlsStream::accept(stream, Arc::new(config)).await?;
    let name = noted.name.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok((stream, name))
}

impl fmt::Debug for CertificateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateStore").finish_non_exhaustive()
    }
}

/// The server's side of TLS. Clients are asked for a certificate while the policy in force wants one of anybody.
///
/// # Errors
/// Only if the crypto library cannot make what it always makes (random numbers for session tickets).
pub fn server_config(
    store: Arc<CertificateStore>,
    in_force: InForce,
    profile: TlsProfile,
    clock: Clock,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(posture::provider()))
        .with_protocol_versions(posture::versions(profile))?
        .with_client_cert_verifier(Arc::new(AnyCertificate::new(in_force.clone())))
        .with_cert_resolver(store);
    config.alpn_protocols = ALPN.iter().map(|protocol| protocol.to_vec()).collect();
    config.ignore_client_order = true;
    config.ticketer = Arc::new(Tickets::new(in_force, clock)?);
    // Sessions are kept by clients alone, in tickets.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}
