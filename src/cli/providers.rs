//! `hookward providers`: the presets, and what each one signs.

use std::io::Write;

use clap::Args;

use super::setup::Trouble;
use crate::policy::preset::{self, Preset};

/// Which provider; all of them if left out.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A provider's name
    pub name: Option<String>,
}

/// Prints the list, or all there is to say of one provider.
///
/// # Errors
/// [`Trouble`] if there is no such provider.
pub fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Trouble> {
    match &arguments.name {
        None => list(out).map_err(Trouble::Output),
        Some(name) => match preset::find(name) {
            Some(preset) => describe_one(preset, out).map_err(Trouble::Output),
            None => Err(Trouble::Other(preset::unknown(name))),
        },
    }
}

fn list(out: &mut impl Write) -> std::io::Result<()> {
    let width = preset::all().map(|preset| preset.name.len()).max().unwrap_or_default();
    for preset in preset::all() {
        writeln!(out, "{:width$}  {}", preset.name, preset.signed())?;
    }
    Ok(())
}

fn describe_one(preset: &Preset, out: &mut impl Write) -> std::io::Result<()> {
    writeln!(out, "{} ({})", preset.title, preset.name)?;
    for line in preset.lines() {
        writeln!(out, "  {:12} {}", line.label, line.text)?;
    }
    writeln!(out, "  {:12} {}", "evidence", preset.evidence)?;
    writeln!(out, "  {:12} {}", "see", preset.documentation)
}
