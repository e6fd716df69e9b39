//! `hookward check`: loads everything and prints every finding.

mod machine;

use std::io::{self, Write};
use std::path::Path;

use clap::Args;

use super::setup::{Setup, Trouble};
use crate::policy::Source;
use crate::policy::secrets::{NoSecrets, Resolver, SystemSecrets};

/// What to check.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Leave secrets, private keys and this machine out: for CI, where the policies are in git and the secrets are not
    #[arg(long)]
    pub no_secrets: bool,
}

/// Prints all diagnostics.
///
/// # Errors
/// [`Trouble::Said`] if there was an error among them.
pub fn run(arguments: &Arguments, config: &Path, out: &mut impl Write) -> Result<(), Trouble> {
    let resolver: &dyn Resolver = if arguments.no_secrets { &NoSecrets } else { &SystemSecrets };
    let (mut setup, _) = Setup::load(config, resolver);
    if !arguments.no_secrets {
        setup.certificates();
    }
    let written = setup.written();
    if let (Some(gateway), false) = (&setup.config, arguments.no_secrets) {
        machine::look(gateway, config, &written, &mut setup.loaded.diagnostics);
    }
    setup.report(out)?;
    if setup.loaded.diagnostics.has_errors() {
        return Err(Trouble::Said);
    }
    let policy = setup.policy.unwrap_or_default();
    policy.sources().iter().try_for_each(|source| upstreams(source, out)).map_err(Trouble::Output)?;
    let sources = policy.sources().len();
    let noun = if sources == 1 { "source" } else { "sources" };
    writeln!(out, "{}: {sources} {noun}, no error", config.display()).map_err(Trouble::Output)
}

/// `github -> http://127.0.0.1:3000/hooks`, a line for each upstream.
fn upstreams(source: &Source, out: &mut impl Write) -> io::Result<()> {
    let targets = &source.forward.targets;
    let health = targets.health().map(|health| format!(" (health {})", health.path)).unwrap_or_default();
    for member in targets.list() {
        let separator = if member.target.name.starts_with("unix:") { ":" } else { "" };
        writeln!(out, "{} -> {}{separator}{}{health}", source.name, member.target.name, member.target.path)?;
    }
    Ok(())
}
