//! Where secrets are read: the environment and files, behind a resolver that tests replace.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::source_config::SecretPlace;
use crate::secret::Secret;

/// No secret is longer; a larger file is not one.
pub const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Answers a reference with the secret behind it.
pub trait Resolver {
    /// The secret at this place.
    ///
    /// # Errors
    /// [`SecretFault`] if there is none, or an empty one.
    fn resolve(&self, place: &SecretPlace) -> Result<Resolved, SecretFault>;
}

/// What a reference led to.
#[derive(Debug)]
pub enum Resolved {
    /// The secret.
    Secret(Secret),
    /// It was not looked for (`check --no-secrets`): such a policy is good for checking, and refuses every delivery.
    NotLookedFor,
}

/// Why a reference leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum SecretFault {
    /// The variable is not set.
    #[error("environment variable {0} is not set")]
    Unset(String),
    /// The variable is not UTF-8.
    #[error("environment variable {0} is not UTF-8")]
    NotText(String),
    /// The file cannot be read.
    #[error("cannot read secret file {path}: {kind}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        kind: io::ErrorKind,
    },
    /// There is nothing in it.
    #[error("the secret in {0} is empty")]
    Empty(String),
    /// The file is too long to be a secret.
    #[error("secret file {0} is longer than 65,536 bytes")]
    TooLong(String),
}

/// The process's environment and files.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemSecrets;

/// Looks for nothing: CI has the policies and not the secrets.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSecrets;

impl Resolver for SystemSecrets {
    fn resolve(&self, place: &SecretPlace) -> Result<Resolved, SecretFault> {
        let (secret, name) = match place {
            SecretPlace::Env(name) => (from_environment(name)?, name.clone()),
            SecretPlace::File(path) => (from_file(path)?, path.display().to_string()),
        };
        if secret.is_empty() { Err(SecretFault::Empty(name)) } else { Ok(Resolved::Secret(secret)) }
    }
}

impl Resolver for NoSecrets {
    fn resolve(&self, _place: &SecretPlace) -> Result<Resolved, SecretFault> {
        Ok(Resolved::NotLookedFor)
    }
}

fn from_environment(name: &str) -> Result<Secret, SecretFault> {
    match std::env::var(name) {
        Ok(text) => Ok(Secret::new(text.into_bytes())),
        Err(std::env::VarError::NotPresent) => Err(SecretFault::Unset(name.to_owned())),
        Err(std::env::VarError::NotUnicode(_)) => Err(SecretFault::NotText(name.to_owned())),
    }
}

fn from_file(path: &Path) -> Result<Secret, SecretFault> {
    let unreadable =
        |error: io::Error| SecretFault::Unreadable { path: path.display().to_string(), kind: error.kind() };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err(SecretFault::TooLong(path.display().to_string()));
    }
    Ok(Secret::from_file_bytes(bytes))
}
