//! Policies and certificates loaded anew, and swapped in.
//!
//! **Invariant:** a reload that finds an error changes nothing. Sockets are never touched.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use super::sandbox::Sandbox;
use crate::cli::setup::Setup;
use crate::edge::tls::Certificates;
use crate::policy::Policy;
use crate::policy::diagnostic::Styles;
use crate::policy::load::Loaded;
use crate::policy::secrets::SystemSecrets;
use crate::policy::watch::Watched;
use crate::reason::Level;
use crate::record::Telemetry;
use crate::server::Server;

/// What came of a reload.
pub(super) struct Reloaded {
    /// What is to be watched from now on, right or wrong; `None` where the configuration cannot even be read.
    pub(super) watched: Option<Watched>,
    /// What an operator has to know.
    pub(super) note: &'static str,
}

/// Loads policies and certificates anew and puts both in force, or changes nothing and says why.
pub(super) fn reload(server: &Server, config_file: &Path, sandbox: &Sandbox) -> Reloaded {
    let mut setup = Setup::load_again(config_file, &SystemSecrets, &server.shared().limits);
    let certificates = setup.certificates();
    let written = setup.written();
    let watched = setup.watched();
    let note = match setup.policy {
        Some(policy) if !setup.loaded.diagnostics.has_errors() => {
            sandbox.tell_outside(server.telemetry(), &written);
            put_in_force(server, policy, certificates);
            ""
        }
        Some(_) | None => {
            tell_failed(server.telemetry(), &setup.loaded);
            "; the last reload failed"
        }
    };
    Reloaded { watched, note }
}

fn put_in_force(server: &Server, policy: Policy, certificates: Option<Certificates>) {
    if let (Some(store), Some(certificates)) = (server.certificates(), certificates) {
        store.swap(&certificates);
    }
    let sources = policy.sources().len();
    server.shared().policy.store(Arc::new(policy));
    tell_in_force(server);
    server.telemetry().event(Level::Info, "reloaded", &[("sources", &sources)]);
}

fn tell_failed(telemetry: &Telemetry, loaded: &Loaded) {
    telemetry.policies_failed();
    let findings = loaded.diagnostics.summary();
    telemetry.event(Level::Error, "reload failed, nothing was changed", &[("findings", &findings)]);
    let report = loaded.diagnostics.report(&loaded.files, &Styles::plain()).to_string();
    for line in report.lines() {
        telemetry.event(Level::Error, line, &[]);
    }
}

/// What is to be known of policies and certificates from the moment on in which they are in force: until when those are good, and a line for each source
/// whose stages are not all enforced.
pub(super) fn tell_in_force(server: &Server) {
    let (telemetry, shared) = (server.telemetry(), server.shared());
    telemetry.policies_loaded(shared.clock.unix_micros());
    if let Some(store) = server.certificates() {
        telemetry.certificates(store.expiries());
    }
    for source in shared.policy.load().sources() {
        let stages = source.modes.weakened();
        if !stages.is_empty() {
            let because = source.modes.because.as_deref().unwrap_or("-");
            let stages = stages.join(" ");
            let fields: [(&str, &dyn Display); 3] =
                [("source", &source.name), ("stages", &stages), ("because", &because)];
            telemetry.event(Level::Warn, "stages are only monitored", &fields);
        }
    }
}
