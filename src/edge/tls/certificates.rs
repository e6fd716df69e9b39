//! Certificates with their keys, and the names that choose among them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::InconsistentKeys;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use webpki::EndEntityCert;

use super::validity::validity;
use crate::clock::UnixSeconds;
use crate::record::Expiry;
use crate::whole_file::{self, PEM_BYTES_MAX, ReadFault};

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
    /// A file cannot be read.
    #[error("cannot read {what} {}: {source}", path.display())]
    Unreadable {
        /// Which of the two.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: ReadFault,
    },
    /// A file is not PEM, or has nothing in it that is looked for.
    #[error("cannot read {what} {}: {source}", path.display())]
    Pem {
        /// Which of the two.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
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

/// A chain with its key, and what is known of it.
pub struct Certified {
    key: Arc<CertifiedKey>,
    /// The names it is for.
    pub names: Vec<String>,
    /// From when to when it is good.
    pub validity: Range<UnixSeconds>,
}

/// All certificates, with the names they are for. The one that is issued while the gateway runs has its place from the beginning.
#[derive(Clone, Default)]
pub struct Certificates {
    served: Vec<Served>,
    names: HashMap<Box<str>, usize>,
    parents: HashMap<Box<str>, usize>,
    /// Which of them is issued while the gateway runs, and the names it is for.
    issued: Option<(usize, Vec<String>)>,
}

#[derive(Clone)]
struct Served {
    /// The first of its names.
    name: String,
    /// Absent: it is still to be issued.
    certified: Option<(Arc<CertifiedKey>, UnixSeconds)>,
}

impl Certificates {
    /// Reads every pair. The first is the default.
    ///
    /// # Errors
    /// One [`CertificateFault`] for each pair that cannot be served, with its position.
    pub fn load(files: &[CertificateFiles]) -> Result<Self, Vec<(usize, CertificateFault)>> {
        let mut certificates = Self::default();
        let mut faults = Vec::new();
        for (position, pair) in files.iter().enumerate() {
            match load_pair(pair) {
                Ok(certified) => certificates.add(&certified.names, Some(&certified)),
                Err(fault) => faults.push((position, fault)),
            }
        }
        if faults.is_empty() { Ok(certificates) } else { Err(faults) }
    }

    /// One more, behind the others, that is still to be [issued](super::CertificateStore::issue): handshakes for these names fail until it is.
    #[must_use]
    pub fn awaiting(mut self, names: &[String]) -> Self {
        self.issued = Some((self.served.len(), names.to_vec()));
        self.add(names, None);
        self
    }

    fn add(&mut self, names: &[String], certified: Option<&Certified>) {
        let position = self.served.len();
        self.served.push(Served::of(names, certified));
        for name in names {
            let (table, name) = match name.strip_prefix("*.") {
                Some(parent) => (&mut self.parents, parent),
                None => (&mut self.names, name.as_str()),
            };
            table.entry(name.to_ascii_lowercase().into()).or_insert(position);
        }
    }

    /// The same with the certificate that was awaited.
    pub(super) fn with(&self, certified: &Certified) -> Self {
        let mut certificates = self.clone();
        if let Some((position, names)) = &certificates.issued
            && let Some(served) = certificates.served.get_mut(*position)
        {
            *served = Served::of(names, Some(certified));
        }
        certificates
    }

    /// Takes over what was issued, or is still to be.
    pub(super) fn inherit(self, before: &Self) -> Self {
        match &before.issued {
            Some((position, names)) if self.issued.is_none() => {
                let mut heir = self.awaiting(names);
                if let (Some(served), Some(issued)) = (heir.served.last_mut(), before.served.get(*position)) {
                    *served = issued.clone();
                }
                heir
            }
            Some(_) | None => self,
        }
    }

    /// The key at a position; none where it is still to be issued.
    pub(super) fn key(&self, position: usize) -> Option<&Arc<CertifiedKey>> {
        self.served.get(position)?.certified.as_ref().map(|(key, _)| key)
    }

    /// Until when each is good, in their order.
    pub(super) fn expiries(&self) -> Vec<Expiry> {
        let expiry = |served: &Served| Expiry {
            name: served.name.clone(),
            not_after: served.certified.as_ref().map(|(_, not_after)| *not_after),
        };
        self.served.iter().map(expiry).collect()
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

impl Served {
    fn of(names: &[String], certified: Option<&Certified>) -> Self {
        Self {
            name: names.first().cloned().unwrap_or_default(),
            certified: certified.map(|certified| (Arc::clone(&certified.key), certified.validity.end)),
        }
    }
}

impl Certified {
    /// Makes sense of a private key and a chain in one PEM text. `path` is where it stands, or will.
    ///
    /// # Errors
    /// [`CertificateFault`].
    pub fn from_pem(text: &[u8], path: &Path) -> Result<Self, CertificateFault> {
        certify(text, text, path, path)
    }
}

fn load_pair(files: &CertificateFiles) -> Result<Certified, CertificateFault> {
    let read = |what, path: &Path| {
        let unreadable = |source| CertificateFault::Unreadable { what, path: path.to_owned(), source };
        whole_file::read(path, PEM_BYTES_MAX).map_err(unreadable)
    };
    let (chain, key) = (read(CERTIFICATE, &files.certificate)?, read(PRIVATE_KEY, &files.key)?);
    let certified = certify(&chain, &key, &files.certificate, &files.key)?;
    Ok(match &files.names {
        Some(names) => Certified { names: names.clone(), ..certified },
        None => certified,
    })
}

fn certify(chain: &[u8], key: &[u8], chain_file: &Path, key_file: &Path) -> Result<Certified, CertificateFault> {
    let no_pem = |what, path: &Path| {
        let path = path.to_owned();
        move |source| CertificateFault::Pem { what, path, source }
    };
    let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(no_pem(CERTIFICATE, chain_file))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(no_pem(PRIVATE_KEY, key_file))?;
    let first = chain.first().ok_or_else(|| CertificateFault::Empty { path: chain_file.to_owned() })?;
    let malformed = || CertificateFault::Certificate { path: chain_file.to_owned() };
    let parsed = EndEntityCert::try_from(first).map_err(|_| malformed())?;
    let names = parsed.valid_dns_names().map(str::to_owned).collect();
    let validity = validity(first).ok_or_else(malformed)?;
    let signing = aws_lc_rs::sign::any_supported_type(&key)
        .map_err(|source| CertificateFault::Key { path: key_file.to_owned(), source })?;
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
            Ok(Certified { key: Arc::new(certified), names, validity })
        }
        Err(_) => Err(CertificateFault::Mismatch { certificate: chain_file.to_owned(), key: key_file.to_owned() }),
    }
}

const CERTIFICATE: &str = "certificate";
const PRIVATE_KEY: &str = "private key";

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("names", &self.names).finish_non_exhaustive()
    }
}
