//! Where threads of this program run, and who goes first. There is no safe call for it, but there are programs.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Lets the others of this core go first.
pub fn yield_to_others() {
    tell("chrt", &["--idle", "--pid", "0"]);
}

/// Moves the calling thread to this core.
pub fn move_to(core: usize) {
    tell("taskset", &["-c", "-p", &core.to_string()]);
}

/// Runs a program on the calling thread.
fn tell(program: &str, arguments: &[&str]) {
    let thread = fs::read_link("/proc/thread-self").ok();
    let told = thread
        .as_deref()
        .and_then(Path::file_name)
        .map(|thread| Command::new(program).args(arguments).arg(thread).stdout(Stdio::null()).status());
    if !matches!(told, Some(Ok(status)) if status.success()) {
        eprintln!("flood: `{program}` failed: figures are not what they should be");
    }
}
