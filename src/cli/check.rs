//! `hookward check`: loads everything and prints every finding.

use std::io::Write;
use std::path::Path;

use clap::Args;

use super::setup::{Setup, Trouble};
use crate::policy::secrets::{NoSecrets, Resolver, SystemSecrets};

/// What to check.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Leave secrets and private keys out: for CI, where the policies are in git and the secrets are not
    #[arg(long)]
    pub no_secrets: bool,
}

/// Prints all diagnostics.
///
/// # Errors
/// [`Trouble::Said`] if there was an error among them.
pub fn run(arguments: &Arguments, config: &Path, out: &mut impl Write) -> Result<(), Trouble> {
    let resolver: &dyn Resolver = if arguments.no_secrets { &NoSecrets } else { &SystemSecrets };
    let mut setup = Setup::read(config, resolver);
    if !arguments.no_secrets {
        setup.certificates(config);
    }
    setup.report(out)?;
    if setup.loaded.diagnostics.has_errors() {
        return Err(Trouble::Said);
    }
    let sources = setup.policy.map_or(0, |policy| policy.sources().len());
    let noun = if sources == 1 { "source" } else { "sources" };
    writeln!(out, "{}: {sources} {noun}, no error", config.display()).map_err(Trouble::Output)
}
