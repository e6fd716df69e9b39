//! From text to an immutable [`Policy`]: `*.toml` → `*Config` (with spans) → compile → snapshot.
//!
//! Every diagnostic of every file is collected before anything is said, and nothing half-compiled exists: a policy is swapped in whole, or not
//! at all. One delivery sees one policy, from its first line to its last.
//!
//! Reading order: [`table`] (TOML with spans), [`gateway_config`] and [`source_config`] (what a person typed), [`preset`] (the built-in providers, in the same
//! words), [`compile`] (one source), [`load`] (all of them), [`source`] (what a delivery sees), [`watch`] (when to load the next snapshot), [`learn`] (secrets that
//! providers hand over), [`networks`] (lists of networks).
//!
//! **Invariant:** secrets are read here, through a [`secrets::Resolver`], and nowhere else; their text reaches no diagnostic.

pub mod compile;
pub mod diagnosis;
pub mod diagnostic;
pub mod gateway_config;
pub mod learn;
pub mod load;
pub mod networks;
pub mod patterns;
pub mod preset;
pub mod scheme;
pub mod secrets;
pub mod source;
pub mod source_config;
pub mod table;
pub(crate) mod tls;
mod upstream;
pub mod watch;

use std::collections::HashMap;

pub use source::Source;

use crate::auth::Authenticator;

/// Everything deliveries are judged by: one snapshot.
#[derive(Debug, Default)]
pub struct Policy {
    sources: Vec<Source>,
    by_path: HashMap<Box<str>, usize, foldhash::fast::RandomState>,
    client_certificates: ClientCertificates,
}

/// Whether connections are asked for a certificate. Asking costs those nothing that have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientCertificates {
    /// Some source wants one.
    Wanted,
    /// None does.
    #[default]
    Unwanted,
}

impl Policy {
    /// A snapshot of these sources, whose paths differ.
    #[must_use]
    pub fn new(sources: Vec<Source>) -> Self {
        let by_path = sources.iter().enumerate().map(|(position, source)| (source.path.clone(), position)).collect();
        let wants = |source: &Source| source.authenticator.as_ref().is_some_and(Authenticator::wants_certificate);
        let wanted = sources.iter().any(wants);
        let client_certificates = if wanted { ClientCertificates::Wanted } else { ClientCertificates::Unwanted };
        Self { sources, by_path, client_certificates }
    }

    /// Whether connections are to be asked for a certificate.
    #[must_use]
    pub const fn client_certificates(&self) -> ClientCertificates {
        self.client_certificates
    }

    /// The source with exactly this path. One look-up, however many sources there are.
    #[must_use]
    pub fn route(&self, path: &str) -> Option<&Source> {
        self.by_path.get(path).map(|&position| &self.sources[position])
    }

    /// All sources, in the order of their names.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The source of this name.
    #[must_use]
    pub fn source(&self, name: &str) -> Option<&Source> {
        self.sources.iter().find(|source| &*source.name == name)
    }
}
