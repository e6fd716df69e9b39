//! Tells the build that a new provider file is a change: the providers are built into the binary.

fn main() {
    println!("cargo::rerun-if-changed=src/auth/providers");
}
