//! TLS: certificates chosen by SNI, swapped without dropping a connection.
//!
//! What is spoken is listed in `posture`; the protocol above is chosen by ALPN alone. No early data: a replayed first flight would be a replayed delivery.

mod kept;
mod posture;
mod stream;
pub mod tickets;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use webpki::EndEntityCert;

use super::client_certificate::{AnyCertificate, InForce};
use crate::clock::Clock;
use crate::policy::gateway_config::TlsProfile;
pub use stream::TlsStream;
use tickets::Tickets;

/// The application protocols offered, best first.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Files of one `[[tls]]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// A PEM chain, the server's certificate first.
    pub certificate: PathBuf,
    /// The PEM private key.
    pub key: PathBuf,
    /// Host names it answers for; `None`: those in the certificate.
    pub names: Option<Vec<String>>,
}

/// Why a pair of files cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CertificateFault {
    /// A file cannot be read, or is not PEM.
    #[error("cannot read {what} {}: {source}", path.display())]
    Unreadable {
        /// Which of the two.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// There is no certificate in the file.
    #[error("no certificate in {}", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The key's kind is not supported.
    #[error("cannot use the private key {}: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The key is not the certificate's.
    #[error("the private key {} does not belong to the certificate {}", key.display(), certificate.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The certificate itself is not well formed.
    #[error("{} is not a certificate for a server", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
    },
}

/// All certificates, with the names they are for.
pub struct Certificates {
    keys: Vec<Arc<CertifiedKey>>,
    names: HashMap<Box<str>, usize>,
    parents: HashMap<Box<str>, usize>,
}

/// The certificates in force. Cheap to share; swapped whole.
pub struct CertificateStore(ArcSwap<Certificates>);

impl Certificates {
    /// Reads every pair. The first is the default.
    ///
    /// # Errors
    /// One [`CertificateFault`] for each pair that cannot be served, with its position.
    pub fn load(files: &[CertificateFiles]) -> Result<Self, Vec<(usize, CertificateFault)>> {
        let mut certificates = Self { keys: Vec::new(), names: HashMap::new(), parents: HashMap::new() };
        let mut faults = Vec::new();
        for (position, pair) in files.iter().enumerate() {
            match load_pair(pair) {
                Ok((key, names)) => certificates.add(key, names),
                Err(fault) => faults.push((position, fault)),
            }
        }
        if faults.is_empty() { Ok(certificates) } else { Err(faults) }
    }

    fn add(&mut self, key: CertifiedKey, names: Vec<String>) {
        let position = self.keys.len();
        self.keys.push(Arc::new(key));
        for name in names {
            let (table, name) = match name.strip_prefix("*.") {
                Some(parent) => (&mut self.parents, parent.to_owned()),
                None => (&mut self.names, name),
            };
            table.entry(name.to_ascii_lowercase().into()).or_insert(position);
        }
    }

    /// Which certificate serves this name: an exact one, a wildcard one, else the first.
    #[must_use]
    pub fn select(&self, name: &str) -> usize {
        let name = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(name.to_ascii_lowercase())
        } else {
            Cow::Borrowed(name)
        };
        let exact = self.names.get(&*name);
        exact.or_else(|| self.parents.get(name.split_once('.')?.1)).copied().unwrap_or_default()
    }
}

fn load_pair(files: &CertificateFiles) -> Result<(CertifiedKey, Vec<String>), CertificateFault> {
    let unreadable = |what, path: &Path| {
        let path = path.to_owned();
        move |source| CertificateFault::Unreadable { what, path, source }
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(unreadable("certificate", &files.certificate))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(unreadable("private key", &files.key))?;
    let first = chain.first().ok_or_else(|| CertificateFault::Empty { path: files.certificate.clone() })?;
    let malformed = || CertificateFault::Certificate { path: files.certificate.clone() };
    let parsed = EndEntityCert::try_from(first).map_err(|_| malformed())?;
    let names = files.names.clone().unwrap_or_else(|| parsed.valid_dns_names().map(str::to_owned).collect());
    let signing = aws_lc_rs::sign::any_supported_type(&key)
        .map_err(|source| CertificateFault::Key { path: files.key.clone(), source })?;
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok((certified, names)),
        Err(_) => Err(CertificateFault::Mismatch { certificate: files.certificate.clone(), key: files.key.clone() }),
    }
}

impl CertificateStore {
    /// A store with these certificates in force.
    #[must_use]
    pub fn new(certificates: Certificates) -> Arc<Self> {
        Arc::new(Self(ArcSwap::from_pointee(certificates)))
    }

    /// Puts other certificates in force for new handshakes; connections that stand keep theirs.
    pub fn swap(&self, certificates: Certificates) {
        self.0.store(Arc::new(certificates));
    }

    /// Which certificate serves this name.
    #[must_use]
    pub fn select(&self, name: &str) -> usize {
        self.0.load().select(name)
    }
}

impl ResolvesServerCert for CertificateStore {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let certificates = self.0.load();
        let position = hello.server_name().map_or(0, |name| certificates.select(name));
        certificates.keys.get(position).cloned()
    }
}

/// One handshake's view of the certificates, which remembers what was chosen.
#[derive(Debug)]
struct Noted {
    store: Arc<CertificateStore>,
    chosen: AtomicUsize,
}

/// No name was sent.
const NOTHING_CHOSEN: usize = usize::MAX;

impl ResolvesServerCert for Noted {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let chosen = hello.server_name().map_or(NOTHING_CHOSEN, |name| self.store.select(name));
        self.chosen.store(chosen, Ordering::Relaxed);
        self.store.resolve(hello)
    }
}

/// Shakes hands with whoever is at the other end of `stream`; with the connection comes the certificate that the name it sent
/// (SNI) chose, `None` if it sent none.
///
/// # Errors
/// What the socket says; with a [`rustls::Error`] inside where the handshake itself failed.
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    config: &ServerConfig,
    store: &Arc<CertificateStore>,
) -> io::Result<(TlsStream<S>, Option<usize>)> {
    let noted = Arc::new(Noted { store: Arc::clone(store), chosen: AtomicUsize::new(NOTHING_CHOSEN) });
    let mut config = config.clone();
    config.cert_resolver = Arc::<Noted>::clone(&noted);
    let stream = TlsStream::accept(stream, Arc::new(config)).await?;
    let chosen = noted.chosen.load(Ordering::Relaxed);
    Ok((stream, (chosen != NOTHING_CHOSEN).then_some(chosen)))
}

impl fmt::Debug for CertificateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateStore").finish_non_exhaustive()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("names", &self.names).finish_non_exhaustive()
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
