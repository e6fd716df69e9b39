//! What several verbs begin with: reading the configuration, loading policies, saying what is wrong with them.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::written::{self, Written};
use crate::admit::Limits;
use crate::edge::tls::{CertificateFiles, Certificates};
use crate::policy::Policy;
use crate::policy::diagnostic::{Diagnostic, Styles};
use crate::policy::gateway_config::{GatewayConfig, RejectsTarget, read_gateway};
use crate::policy::load::{self, Loaded};
use crate::policy::secrets::Resolver;
use crate::policy::tls::client_config;
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
    /// The configuration; `None` if it cannot even be read.
    pub config: Option<GatewayConfig>,
    /// The policies; `None` if anything is wrong with them.
    pub policy: Option<Policy>,
    /// The limits they were compiled with.
    pub limits: Limits,
    /// Texts and findings.
    pub loaded: Loaded,
}

impl Setup {
    /// Reads the configuration and loads the policies it names.
    #[must_use]
    pub fn read(config: &Path, resolver: &dyn Resolver) -> Self {
        let mut loaded = Loaded::default();
        let file = loaded.files.read(config, &mut loaded.diagnostics);
        loaded.named_in = file.as_ref().map(|file| Arc::clone(&file.path));
        let config = file.and_then(|file| read_gateway(&file, &mut loaded.diagnostics));
        let limits = Limits::new(config.as_ref().map(|config| server::capacity(&config.edge)).unwrap_or_default());
        let policies = config.as_ref().and_then(|config| config.policies.as_ref());
        let policy = policies.and_then(|policies| load::load(policies, resolver, &limits, &mut loaded));
        Self { config, policy, limits, loaded }
    }

    /// Writes every finding and the line that sums them up.
    ///
    /// # Errors
    /// If `out` cannot be written.
    pub fn report(&self, out: &mut impl Write) -> Result<(), Trouble> {
        let styles = Styles::coloured();
        let report = self.loaded.diagnostics.report(&self.loaded.files, &styles);
        write!(out, "{report}").map_err(Trouble::Output)
    }

    /// The configuration and the policies, if both are good; else says what is wrong, on standard error.
    ///
    /// # Errors
    /// [`Trouble::Said`].
    pub fn usable(self) -> Result<(GatewayConfig, Policy, Limits), Trouble> {
        if !self.loaded.diagnostics.is_empty() {
            self.report(&mut anstream::stderr().lock())?;
        }
        match (self.config, self.policy) {
            (Some(config), Some(policy)) if !self.loaded.diagnostics.has_errors() => Ok((config, policy, self.limits)),
            (_, _) => Err(Trouble::Said),
        }
    }

    /// What the gateway writes to while it serves; what had better not be there, where its sandbox is to guard the rest, is added to the findings.
    pub(super) fn written(&mut self, config_file: &Path) -> Vec<Written> {
        let Some(config) = &self.config else { return Vec::new() };
        let written = written::written(config, config_file, &self.loaded);
        if config.listen.as_ref().is_some_and(|listen| listen.sandbox) {
            let warnings = written::warnings(&written, config, config_file, &self.loaded);
            for warning in warnings {
                self.loaded.diagnostics.push(warning);
            }
        }
        written
    }

    /// Reads the certificates; what is wrong with them is added to the findings, at their place in the configuration.
    pub fn certificates(&mut self, config: &Path) -> Option<Certificates> {
        let GatewayConfig { tls: tables, acme, .. } = self.config.as_ref()?;
        if let Some(Err((span, message))) = acme.as_ref().map(|acme| client_config(&acme.trust_roots)) {
            let file = self.loaded.files.get(config).map(|file| file.path.clone())?;
            self.loaded.diagnostics.push(Diagnostic::error(&file, span, message));
        }
        match Certificates::load(&certificate_files(self.config.as_ref()?)) {
            Ok(certificates) => match acme {
                Some(acme) => Some(certificates.awaiting(&acme.domains)),
                None if tables.is_empty() => None,
                None => Some(certificates),
            },
            Err(faults) => {
                let file = self.loaded.files.get(config).map(|file| file.path.clone())?;
                for (position, fault) in faults {
                    let span = tables.get(position).and_then(|table| table.span.clone());
                    let hint = "`hookward cert` makes a certificate for development".to_owned();
                    self.loaded.diagnostics.push(Diagnostic::error(&file, span, fault.to_string()).hint(hint));
                }
                None
            }
        }
    }
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

/// Where the configuration's rejected log is.
///
/// # Errors
/// [`Trouble`] if the configuration cannot be read or has no `[rejects]`.
pub fn rejected_log(config: &Path) -> Result<PathBuf, Trouble> {
    let mut loaded = Loaded::default();
    let file = loaded.files.read(config, &mut loaded.diagnostics);
    let read = file.and_then(|file| read_gateway(&file, &mut loaded.diagnostics));
    let Some(rejects) = read.and_then(|config| config.rejects) else {
        let message = format!("{} names no rejected log; say which with --file", config.display());
        return Err(Trouble::Other(message));
    };
    Ok(match rejects.target.value {
        RejectsTarget::StandardOutput => PathBuf::from("-"),
        RejectsTarget::File(path) => path,
    })
}
