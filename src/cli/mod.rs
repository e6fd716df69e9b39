//! The command line: one file per verb.

pub mod cert;
pub mod check;
pub mod client;
pub mod completions;
pub mod demo;
pub mod init;
pub mod learn;
pub mod networks;
pub mod providers;
pub mod rejects;
pub mod schema;
pub mod send;
pub mod serve;
pub mod setup;
pub mod test;
mod users;
mod written;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::setup::Trouble;
use crate::clock::Clock;

/// The configuration, unless the command line names another.
pub const CONFIG_FILE: &str = "hookward.toml";

/// A webhook ingress gateway: proves who sent each webhook, checks and cleans what it carries, forwards the rest to your app, and says why it
/// refused what it refused.
#[derive(Debug, Parser)]
#[command(
    name = "hookward",
    version,
    max_term_width = 100,
    after_help = "Start with `hookward demo`: it needs no file and no set-up.\n\
        Exit codes: 0 all is well, 1 something was found or failed, 2 the command line is wrong."
)]
pub struct CommandLine {
    /// The gateway's configuration
    #[arg(short, long, global = true, value_name = "FILE", default_value = CONFIG_FILE)]
    pub config: PathBuf,
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the gateway; SIGHUP and file changes reload, SIGTERM drains
    Serve(serve::Arguments),
    /// See it work: no set-up, real deliveries, a verdict for each
    Demo(demo::Arguments),
    /// Load everything and print all that is wrong with it
    Check(check::Arguments),
    /// Run recorded requests through the policies, offline
    Test(test::Arguments),
    /// Sign a body as a source's provider would, and send it
    Send(send::Arguments),
    /// Propose schemas from recorded requests, and check schema files
    Schema(schema::Arguments),
    /// List, filter and sum up the rejected log
    Rejects(rejects::Arguments),
    /// Write a starting policy for a provider
    Init(init::Arguments),
    /// List the providers and what each one signs
    Providers(providers::Arguments),
    /// Refresh a list of the networks that a provider sends from
    Networks(networks::Arguments),
    /// Take a provider's secret, which it hands over itself (Asana, Notion)
    Learn(learn::Arguments),
    /// Make a certificate for development
    Cert(cert::Arguments),
    /// Print the completions of a shell
    Completions(completions::Arguments),
}

/// Runs the command line and answers with its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let CommandLine { config, verb } = CommandLine::parse();
    let mut out = anstream::stdout().lock();
    let done = match verb {
        Verb::Serve(arguments) => serve::run(&arguments, &config),
        Verb::Demo(arguments) => demo::run(&arguments),
        Verb::Check(arguments) => check::run(&arguments, &config, &mut out),
        Verb::Test(arguments) => test::run(&arguments, &config, &mut out),
        Verb::Send(arguments) => send::run(&arguments, &config, &mut out),
        Verb::Schema(arguments) => schema::run(&arguments, &config, &mut out),
        Verb::Rejects(arguments) => rejects::run(&arguments, &config, &mut out),
        Verb::Init(arguments) => init::run(&arguments, &config, &mut out),
        Verb::Providers(arguments) => providers::run(&arguments, &mut out),
        Verb::Networks(arguments) => networks::run(&arguments, &config, &Clock::system(), &mut out),
        Verb::Learn(arguments) => learn::run(&arguments, &config, &Clock::system(), &mut out),
        Verb::Cert(arguments) => cert::run(&arguments, &mut out),
        Verb::Completions(arguments) => completions::run(&arguments, &mut out),
    };
    // What could not be written is no news to whoever closed the pipe.
    let _ = out.flush();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Trouble::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Trouble::Said) => ExitCode::FAILURE,
        Err(trouble) => {
            let _ = writeln!(anstream::stderr(), "hookward: {trouble}");
            ExitCode::FAILURE
        }
    }
}
