//! The built binary.

use std::path::Path;
use std::process::{Command, Output};

/// What a run of the binary left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// The binary with these arguments, in this directory; no variable of ours changes what it prints.
pub(crate) fn hookward(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookward"));
    command.current_dir(directory).args(arguments);
    for variable in ["COLUMNS", "CLICOLOR_FORCE", "NO_COLOR", "HOOKWARD_CONFIG"] {
        command.env_remove(variable);
    }
    command
}

/// Runs it to its end.
pub(crate) fn run(directory: &Path, arguments: &[&str]) -> Ran {
    ran(hookward(directory, arguments))
}

/// Runs a prepared command to its end.
pub(crate) fn ran(mut command: Command) -> Ran {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
}
