//! `hookward schema`: from recorded requests to schemas, and whether they still fit.

pub mod check;
pub mod drift;
pub mod infer;

use std::io::Write;
use std::path::Path;

use clap::{Args, Subcommand};

use super::setup::Trouble;

/// What to do with schemas.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What to do
    #[command(subcommand)]
    pub task: Task,
}

/// The tasks.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Propose a schema that fits recorded requests
    Infer(infer::Arguments),
    /// List what is new, missing or changed in recorded requests or the rejected log
    Drift(drift::Arguments),
    /// Load schema files as the gateway would, and say what is wrong with them
    Check(check::Arguments),
}

/// Does what was asked for.
///
/// # Errors
/// [`Trouble`], as each task says.
pub fn run(arguments: &Arguments, config: &Path, out: &mut impl Write) -> Result<(), Trouble> {
    match &arguments.task {
        Task::Infer(arguments) => infer::run(arguments, config, out),
        Task::Drift(arguments) => drift::run(arguments, config, out),
        Task::Check(arguments) => check::run(arguments, out),
    }
}
