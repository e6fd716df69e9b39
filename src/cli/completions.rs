//! `hookward completions`: completions for a shell, from the same definitions as the help.

use std::io::Write;

use clap::{Args, CommandFactory as _};
use clap_complete::{Shell, generate};

use super::CommandLine;
use super::setup::Trouble;

/// Which shell.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The shell, such as `bash`: `source <(hookward completions bash)`
    pub shell: Shell,
}

/// Prints the completions.
///
/// # Errors
/// If `out` cannot be written.
pub fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Trouble> {
    let mut text = Vec::new();
    generate(arguments.shell, &mut CommandLine::command(), "hookward", &mut text);
    out.write_all(&text).map_err(Trouble::Output)
}
