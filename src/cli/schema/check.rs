//! `hookward schema check`: loads schema files as the gateway would.

use std::io::Write;
use std::path::{Path, PathBuf};

use anstyle::{AnsiColor, Style};
use clap::Args;

use crate::cli::setup::Trouble;
use crate::payload::schema::Schema;

/// Which files.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// Schema files; JSON Schema of draft 4, 6, 7, 2019-09 or 2020-12, as each says in its `$schema`
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The folder that `$ref` may not leave, as the policies' folder for the gateway; else each file's own
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
What the gateway takes, this takes, no more and no less: a schema of at most 1 MiB and valid for its draft, whose patterns run in linear time \
(no look-around, no back-references), whose `$ref` lead to what is in the file or in files below the folder (nothing is fetched), \
and which cannot nest too deeply when a payload is judged by it.

Exit code 1 where a file has a fault.";

/// Prints a line for each file.
///
/// # Errors
/// [`Trouble::Said`] if one of them cannot be loaded.
pub fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Trouble> {
    let mut faults = 0_usize;
    for file in &arguments.files {
        let directory = arguments.directory.as_deref().unwrap_or_else(|| folder_of(file));
        match Schema::load(file, directory) {
            Ok(_) => writeln!(out, "{}: no error", file.display()),
            Err(fault) => {
                faults += 1;
                let place = fault.location.map(|location| format!("#{}", location.escape_debug())).unwrap_or_default();
                let error = AnsiColor::Red.on_default().bold();
                let bold = Style::new().bold();
                let path = file.display();
                writeln!(out, "{error}error{error:#}{bold}: {}{bold:#}\n  --> {path}{place}", fault.message)
            }
        }
        .map_err(Trouble::Output)?;
    }
    if faults == 0 { Ok(()) } else { Err(Trouble::Said) }
}

fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}
