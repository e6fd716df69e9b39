//! `hookward cert`: a self-signed certificate for development.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use rcgen::{CertificateParams, DnType, KeyPair};

use super::setup::Trouble;
use crate::policy::gateway_config::parse_host_name;

/// What it is for and where it goes.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Names and addresses it is for
    #[arg(default_values = ["localhost", "127.0.0.1", "::1"], value_parser = name)]
    pub names: Vec<String>,
    /// Where the two files go
    #[arg(long, value_name = "DIRECTORY", default_value = "certs")]
    pub directory: PathBuf,
    /// Replace files that are there
    #[arg(long)]
    pub force: bool,
}

/// A certificate and its key, as PEM.
pub struct Made {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

/// Makes a self-signed certificate for these names, good for a year.
///
/// # Errors
/// If one of them is not a name or address.
pub fn make(names: &[String]) -> Result<Made, rcgen::Error> {
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name.push(DnType::CommonName, "Hookward development certificate");
    let now = std::time::SystemTime::now();
    params.not_before = (now - std::time::Duration::from_secs(3600)).into();
    params.not_after = (now + std::time::Duration::from_secs(365 * 24 * 3600)).into();
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(Made { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// Writes `localhost.pem` and `localhost.key`; the key is readable by its owner alone.
///
/// # Errors
/// [`Trouble`] if a name is not one, or a file is there already or cannot be written.
pub fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Trouble> {
    let made = make(&arguments.names).map_err(|error| Trouble::Other(format!("cannot make a certificate: {error}")))?;
    let stem = arguments.names.first().map_or("localhost", String::as_str).replace("*.", "wildcard.");
    let certificate = arguments.directory.join(format!("{stem}.pem"));
    let key = arguments.directory.join(format!("{stem}.key"));
    let fault = |path: &Path| {
        let path = path.to_owned();
        move |source| Trouble::File { path, source }
    };
    if let Some(there) = [&key, &certificate].into_iter().find(|file| !arguments.force && file.exists()) {
        return Err(Trouble::Other(format!("{} is there already: --force replaces it", there.display())));
    }
    fs::create_dir_all(&arguments.directory).map_err(fault(&arguments.directory))?;
    let existing = if arguments.force { Existing::Replaced } else { Existing::Kept };
    write(&key, &made.key, 0o600, existing).map_err(fault(&key))?;
    write(&certificate, &made.certificate, 0o644, existing).map_err(fault(&certificate))?;
    writeln!(out, "{}\n{}", certificate.display(), key.display()).map_err(Trouble::Output)
}

/// A host name or an address.
fn name(text: &str) -> Result<String, String> {
    if text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    parse_host_name(text).map_err(|fault| fault.message)
}

/// What becomes of a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Existing {
    /// It stays, and nothing is written.
    Kept,
    Replaced,
}

fn write(path: &Path, text: &str, mode: u32, existing: Existing) -> io::Result<()> {
    if existing == Existing::Replaced && path.exists() {
        fs::remove_file(path)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())
}
