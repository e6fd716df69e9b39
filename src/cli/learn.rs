//! `hookward learn`: awaits the secret that a provider hands over itself.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use clap::Args;

use super::setup::{Setup, Trouble, named_source};
use crate::clock::Clock;
use crate::policy::learn::{self, OPEN_SECONDS, marker};
use crate::policy::secrets::NoSecrets;
use crate::policy::source_config::HandshakeMode;

/// Which source.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// The source, whose policy names the file: `[handshake] learn_secret = "state/asana.secret"`
    pub source: String,
    /// Await no secret any more
    #[arg(long)]
    pub close: bool,
}

const AFTER_HELP: &str = "\
Some providers make the secret themselves and hand it over in the first request to a new webhook. \
That request proves nothing, so the gateway refuses it, except in the 15 minutes after this command. It keeps the first secret that comes \
(in a file for its owner alone), uses it from then on, writes who sent it into the log, and closes again. \
A secret that was kept before is used until then, and is replaced.

Run it as the gateway's own user, on the gateway's machine, such as `sudo -u hookward hookward -c /etc/hookward/hookward.toml learn asana`.";

/// Opens the source's learning handshake, or closes it.
///
/// # Errors
/// [`Trouble`] if there is no such source, its policy learns no secret, or the marker cannot be written.
pub fn run(arguments: &Arguments, config: &Path, clock: &Clock, out: &mut impl Write) -> Result<(), Trouble> {
    let (_, policy) = Setup::load(config, &NoSecrets).0.right()?;
    let name = &arguments.source;
    let source = named_source(&policy, name)?;
    let Some(file) = &source.handshakes.learn else {
        let message = format!(
            "source {name:?} learns no secret: its policy has no [handshake] learn_secret, which is for providers that hand over their own"
        );
        return Err(Trouble::Other(message));
    };
    let fault = |source| Trouble::File { path: marker(file), source };
    if arguments.close {
        let said = if learn::close(file).map_err(fault)? { "closed" } else { "it was not open" };
        return writeln!(out, "{name}: {said}").map_err(Trouble::Output);
    }
    if source.handshakes.mode != HandshakeMode::Answer {
        let message = format!("source {name:?} answers no handshake: its policy has another [handshake] mode");
        return Err(Trouble::Other(message));
    }
    let replaces = file.exists();
    learn::open(file, clock.unix_seconds()).map_err(fault)?;
    tell(out, name, file, replaces).map_err(Trouble::Output)
}

fn tell(out: &mut impl Write, name: &str, file: &Path, replaces: bool) -> std::io::Result<()> {
    let (minutes, shown) = (OPEN_SECONDS / 60, file.display());
    writeln!(out, "{name}: open for {minutes} minutes. Make the webhook at the provider now.")?;
    writeln!(
        out,
        "The first secret that comes is kept in {shown}{}.",
        if replaces { ", instead of the one there" } else { "" }
    )?;
    writeln!(
        out,
        "The gateway's log says when; a provider that asks for it back (Notion) is told what is in that file."
    )?;
    writeln!(out, "`hookward learn {name} --close` ends it before.")?;
    if is_of_another_user(file) {
        let directory = file.parent().unwrap_or(file).display();
        writeln!(
            out,
            "warning: {directory} belongs to another user. If that is the gateway's, run this as that user: else it cannot read what this wrote."
        )?;
    }
    Ok(())
}

fn is_of_another_user(file: &Path) -> bool {
    let owner = |path: &Path| fs::metadata(path).ok().map(|found| found.uid());
    let directory = file.parent().and_then(owner);
    directory.is_some() && directory != owner(&marker(file))
}
