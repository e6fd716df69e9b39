//! `hookward schema check`: loads schema files as the gateway would.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anstyle::{AnsiColor, Style};
use clap::Args;

use crate::cli::setup::Trouble;
use crate::payload::schema::{Schema, SchemaFault, split_place};

/// Which files.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// Schema files (JSON Schema of draft 4, 6, 7, 2019-09 or 2020-12, as each says in its `$schema`), OpenAPI documents of version 3.1
    /// or later with all their schemas, or places in either, as FILE#/components/schemas/NAME
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The folder that `$ref` may not leave, as the policies' folder for the gateway; else each file's own
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
What the gateway takes, this takes, no more and no less: a schema of at most 32 MiB with all that it refers to, valid for its draft, whose \
patterns run in linear time (no look-around, no back-references), whose `$ref` lead to what is in the file or in files below the folder (nothing is fetched), \
and which cannot nest too deeply when a payload is judged by it.

Exit code 1 where a file has a fault.";

/// Prints a line for each file, and one for each fault.
///
/// # Errors
/// [`Trouble::Said`] if one of them cannot be loaded.
pub fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Trouble> {
    let mut faults = 0_usize;
    for file in &arguments.files {
        let (path, _) = split_place(file);
        let directory = arguments.directory.as_deref().unwrap_or_else(|| folder_of(&path));
        let (schemas, found) =
            Schema::check_all(file, directory).unwrap_or_else(|fault| (1, vec![(file.clone(), fault)]));
        report(file, schemas, &found, out).map_err(Trouble::Output)?;
        faults += found.len();
    }
    if faults == 0 { Ok(()) } else { Err(Trouble::Said) }
}

fn report(file: &Path, schemas: usize, faults: &[(PathBuf, SchemaFault)], out: &mut impl Write) -> io::Result<()> {
    let path = file.display();
    match (schemas, faults.len()) {
        (1, 0) => writeln!(out, "{path}: no error")?,
        (_, 0) => writeln!(out, "{path}: {schemas} schemas, no error")?,
        (1, _) => {}
        (_, faults) => writeln!(out, "{path}: {schemas} schemas, {faults} with an error")?,
    }
    for (schema, fault) in faults {
        let place = fault.location.as_ref().map(|location| format!("#{}", location.escape_debug())).unwrap_or_default();
        let error = AnsiColor::Red.on_default().bold();
        let bold = Style::new().bold();
        let path = schema.display();
        writeln!(out, "{error}error{error:#}{bold}: {}{bold:#}\n  --> {path}{place}", fault.message)?;
    }
    Ok(())
}

fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}
