//! What several verbs begin with: reading the configuration, loading policies, saying what is wrong with them.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::written::{self, Written};
use crate::admit::Limits;
use crate::edge::tls::{CertificateFiles, Certificates};
use crate::policy::diagnostic::{Diagnostic, Diagnostics, Files, Styles};
use crate::policy::gateway_config::{GatewayConfig, read_gateway};
use crate::policy::load::{self, Loaded};
use crate::policy::secrets::Resolver;
use crate::policy::tls::client_config;
use crate::policy::watch::Watched;
use crate::policy::{Policy, Source};
use crate::server;

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Everything there is to say has been said.
    #[error("")]
    Said,
    /// The output could not be written.
    #[error("cannot write: {0}")]
    Output(#[source] io::Error),
    /// A file of the operator's cannot be used.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The gateway cannot start.
    #[error(transparent)]
    Start(#[from] server::StartFault),
    /// Something else, in words.
    #[error("{0}")]
    Other(String),
}

/// Everything that was read, good or not.
pub struct Setup {
    /// The configuration's file.
    file: Arc<Path>,
    /// The configuration; `None` if it cannot even be read.
    pub config: Option<GatewayConfig>,
    /// The policies; `None` if they were not asked for, or there is any error.
    pub policy: Option<Policy>,
    /// Texts and findings.
    pub loaded: Loaded,
}

impl Setup {
    /// Reads the configuration alone.
    #[must_use]
    pub fn read(config: &Path) -> Self {
        let mut loaded = Loaded::default();
        let file = loaded.files.read(config, &mut loaded.diagnostics);
        loaded.named_in = file.as_ref().map(|file| Arc::clone(&file.path));
        let read = file.and_then(|file| read_gateway(&file, &mut loaded.diagnostics));
        Self { file: Arc::from(config), config: read, policy: None, loaded }
    }

    /// Reads the configuration and the policies it names, which are compiled with limits of the size that it has.
    #[must_use]
    pub fn load(config: &Path, resolver: &dyn Resolver) -> (Self, Limits) {
        let setup = Self::read(config);
        let capacity = setup.config.as_ref().map(|config| server::capacity(&config.edge)).unwrap_or_default();
        let limits = Limits::new(capacity);
        (setup.with_policies(resolver, &limits), limits)
    }

    /// The same with limits that are there already, which is a reload.
    #[must_use]
    pub fn load_again(config: &Path, resolver: &dyn Resolver, limits: &Limits) -> Self {
        Self::read(config).with_policies(resolver, limits)
    }

    fn with_policies(mut self, resolver: &dyn Resolver, limits: &Limits) -> Self {
        let policies = self.config.as_ref().and_then(|config| config.policies.as_ref());
        self.policy = policies.and_then(|policies| load::load(policies, resolver, limits, &mut self.loaded));
        self
    }

    /// Writes every finding.
    ///
    /// # Errors
    /// If `out` cannot be written.
    pub fn report(&self, out: &mut impl Write) -> Result<(), Trouble> {
        let styles = Styles::coloured();
        let report = self.loaded.diagnostics.report(&self.loaded.files, &styles);
        write!(out, "{report}").map_err(Trouble::Output)
    }

    /// The configuration and the policies, if both are good; says what is wrong, and what somebody should look at, on standard error.
    ///
    /// # Errors
    /// [`Trouble::Said`].
    pub fn usable(self) -> Result<(GatewayConfig, Policy), Trouble> {
        if !self.loaded.diagnostics.has_errors() {
            self.report(&mut anstream::stderr().lock())?;
        }
        self.right()
    }

    /// The same without a word where nothing is wrong: warnings are for `check`.
    ///
    /// # Errors
    /// [`Trouble::Said`].
    pub fn right(self) -> Result<(GatewayConfig, Policy), Trouble> {
        let both = self.config.zip(self.policy).filter(|_| !self.loaded.diagnostics.has_errors());
        both.ok_or_else(|| said(&self.loaded.diagnostics, &self.loaded.files))
    }

    /// What the gateway writes to while it serves; what had better not be there, where its sandbox is to guard the rest, is added to the findings.
    pub(super) fn written(&mut self) -> Vec<Written> {
        let Some(config) = &self.config else { return Vec::new() };
        let written = written::written(config, &self.file, &self.loaded);
        if config.listen.as_ref().is_some_and(|listen| listen.sandbox) {
            let warnings = written::warnings(&written, config, &self.file, &self.loaded);
            for warning in warnings {
                self.loaded.diagnostics.push(warning);
            }
        }
        written
    }

    /// Reads the certificates of `[[tls]]`, `None` if there is none; what is wrong with them, or with the roots of `[acme]`, is added to the findings, at
    /// its place in the configuration.
    pub fn certificates(&mut self) -> Option<Certificates> {
        let GatewayConfig { tls: tables, acme, .. } = self.config.as_ref()?;
        if let Some(Err((span, message))) = acme.as_ref().map(|acme| client_config(&acme.trust_roots)) {
            self.loaded.diagnostics.push(Diagnostic::error(&self.file, span, message));
        }
        match Certificates::load(&certificate_files(self.config.as_ref()?)) {
            Ok(certificates) => Some(certificates).filter(|_| !tables.is_empty()),
            Err(faults) => {
                for (position, fault) in faults {
                    let span = tables.get(position).and_then(|table| table.span.clone());
                    let hint = "`hookward cert` makes a certificate for development".to_owned();
                    self.loaded.diagnostics.push(Diagnostic::error(&self.file, span, fault.to_string()).hint(hint));
                }
                None
            }
        }
    }

    /// The configuration's text; empty if it cannot be read.
    pub(super) fn text(&self) -> &str {
        self.loaded.files.get(&self.file).map(|file| file.text.as_str()).unwrap_or_default()
    }

    /// What a change of calls for a reload, as far as the configuration can be read: it, its certificates and policies, and the files that those name.
    pub(super) fn watched(&self) -> Option<Watched> {
        let config = self.config.as_ref()?;
        let pairs = certificate_files(config).into_iter().flat_map(|pair| [pair.certificate, pair.key]);
        let files = self.loaded.watched.iter().cloned().chain(pairs).chain([self.file.to_path_buf()]).collect();
        let trees = config.policies.iter().map(|policies| policies.directory.value.clone()).collect();
        Some(Watched { files, trees })
    }
}

/// The configuration alone, if it is good; else says what is wrong with it, on standard error.
///
/// # Errors
/// [`Trouble::Said`].
pub fn configuration(config: &Path) -> Result<GatewayConfig, Trouble> {
    let Setup { config, loaded, .. } = Setup::read(config);
    config.filter(|_| !loaded.diagnostics.has_errors()).ok_or_else(|| said(&loaded.diagnostics, &loaded.files))
}

/// The source of this name.
///
/// # Errors
/// [`Trouble`] that names those that there are.
pub(super) fn named_source<'p>(policy: &'p Policy, name: &str) -> Result<&'p Source, Trouble> {
    policy.source(name).ok_or_else(|| {
        let names = policy.sources().iter().map(|source| &*source.name).collect::<Vec<_>>().join(", ");
        Trouble::Other(format!("no source {name:?}; there are: {names}"))
    })
}

/// Says what is wrong, on standard error.
pub(super) fn said(found: &Diagnostics, files: &Files) -> Trouble {
    let told = write!(anstream::stderr(), "{}", found.report(files, &Styles::coloured()));
    told.map_or_else(Trouble::Output, |()| Trouble::Said)
}

/// The certificate files of a configuration.
#[must_use]
pub fn certificate_files(config: &GatewayConfig) -> Vec<CertificateFiles> {
    let files = config.tls.iter().map(|table| CertificateFiles {
        certificate: table.certificate.value.clone(),
        key: table.key.value.clone(),
        names: table.names.as_ref().map(|names| names.iter().map(|name| name.value.clone()).collect()),
    });
    files.collect()
}
