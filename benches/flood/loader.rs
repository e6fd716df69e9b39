//! What happens to genuine deliveries while a gateway has too much to do: a flood of bad signatures, more good deliveries than it can take,
//! ten thousand idle connections. See the README beside it; `./run` builds and runs it.
//!
//! It starts the gateway, on a core of its own, and an upstream, sends, prints Markdown, and ends with 1 where a bound is missed.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    unreachable_pub,
    reason = "a program for the command line"
)]

mod fleet;
mod flood;
mod gateway;
mod genuine;
mod goodput;
mod idle;
mod report;
mod requests;
mod sink;
mod tally;
mod threads;
mod upstream;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use gateway::Bench;
use report::Report;

/// What ends a run before its time.
type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Genuine deliveries during floods, goodput under overload, idle connections.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long a phase of the flood takes
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=120))]
    seconds: u64,
    /// What is measured
    #[arg(long, value_delimiter = ',', default_values = ["flood", "goodput", "idle"])]
    only: Vec<Experiment>,
    /// Clients of the large flood, and idle connections
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u16).range(100..=16_000))]
    clients: u16,
    /// The gateway's binary
    #[arg(long, default_value = "target/release/hookward")]
    hookward: PathBuf,
    /// The core that the gateway has for itself
    #[arg(long, default_value_t = 0)]
    core: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Experiment {
    /// Genuine deliveries during a flood of bad signatures
    Flood,
    /// More good deliveries than the gateway can take
    Goodput,
    /// Connections that say nothing
    Idle,
    /// What the senders can do, before somebody who only answers
    Senders,
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(report) if report.missed().is_empty() => ExitCode::SUCCESS,
        Ok(report) => {
            println!("\nMissed:");
            report.missed().iter().for_each(|bound| println!("- {bound}"));
            ExitCode::FAILURE
        }
        Err(fault) => {
            eprintln!("flood: {fault}");
            ExitCode::from(2)
        }
    }
}

fn measure(arguments: &Arguments) -> Result<Report, Fault> {
    let mut report = Report::default();
    let bench = Bench { hookward: &arguments.hookward, core: arguments.core };
    let phase = Duration::from_secs(arguments.seconds);
    for experiment in &arguments.only {
        match experiment {
            Experiment::Flood => flood::measure(&bench, usize::from(arguments.clients), phase, &mut report)?,
            Experiment::Goodput => goodput::measure(&bench, &mut report)?,
            Experiment::Senders => sink::measure(arguments.core)?,
            Experiment::Idle => idle::measure(&bench, usize::from(arguments.clients), phase, &mut report)?,
        }
    }
    Ok(report)
}
