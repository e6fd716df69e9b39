//! Which authorities an `https` upstream's certificate may come from.

use std::collections::HashMap;
use std::fmt::Display;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::table::Spanned;
use crate::whole_file::{self, PEM_BYTES_MAX};

/// Client configurations by the files they trust; the empty list is the public authorities.
#[derive(Default)]
pub(super) struct TrustCache(HashMap<Vec<PathBuf>, Arc<ClientConfig>>);

/// The configuration that trusts the certificates in these files alone, or the public ones if there are none; for whoever asks once.
pub(crate) fn client_config(files: &[Spanned<PathBuf>]) -> Result<Arc<ClientConfig>, (Option<Range<usize>>, String)> {
    TrustCache::default().client_config(files)
}

impl TrustCache {
    /// The configuration that trusts the certificates in these files alone, or the public ones if there are none.
    pub(super) fn client_config(
        &mut self,
        files: &[Spanned<PathBuf>],
    ) -> Result<Arc<ClientConfig>, (Option<Range<usize>>, String)> {
        let key: Vec<_> = files.iter().map(|file| file.value.clone()).collect();
        if let Some(config) = self.0.get(&key) {
            return Ok(Arc::clone(config));
        }
        let mut roots = RootCertStore::empty();
        if files.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        for file in files {
            add(&mut roots, file).map_err(|message| (Some(file.span.clone()), message))?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| (None, error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = Arc::new(config);
        self.0.insert(key, Arc::clone(&config));
        Ok(config)
    }
}

fn add(roots: &mut RootCertStore, file: &Spanned<PathBuf>) -> Result<(), String> {
    let path = file.value.display();
    let unreadable = |error: &dyn Display| format!("cannot read certificates from {path}: {error}");
    let text = whole_file::read(&file.value, PEM_BYTES_MAX).map_err(|fault| unreadable(&fault))?;
    let certificates = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| unreadable(&error))?;
    if certificates.is_empty() {
        return Err(format!("no certificate in {path}"));
    }
    for certificate in certificates {
        roots.add(certificate).map_err(|error| format!("{path} holds something that is no authority: {error}"))?;
    }
    Ok(())
}
