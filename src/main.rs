//! The `hookward` binary: see the library for everything.

use std::process::ExitCode;

/// Deliveries are many small, short-lived allocations of varying size, which this allocator serves at about half the cost of the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hookward::cli::main()
}
