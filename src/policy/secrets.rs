//! Where secrets are read: the environment and files, behind a resolver that tests replace.

use std::ffi::OsString;
use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::source_config::SecretPlace;
use crate::secret::Secret;
use crate::whole_file::{self, ReadFault};

/// No secret is longer; a larger file is not one.
pub const SECRET_BYTES_MAX: u32 = 64 * 1024;

/// Where systemd, and whoever does as it does, keeps the credentials of a service.
pub const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// Answers a reference with the secret behind it.
pub trait Resolver {
    /// The secret at this place.
    ///
    /// # Errors
    /// [`SecretFault`] if there is none, or an empty one.
    fn resolve(&self, place: &SecretPlace) -> Result<Resolved, SecretFault>;

    /// The file that a reference reads, to be watched for changes.
    fn file(&self, place: &SecretPlace) -> Option<PathBuf> {
        match place {
            SecretPlace::File(path) => Some(path.clone()),
            SecretPlace::Env(_) | SecretPlace::Credential(_) => None,
        }
    }

    /// Who else can get at what the reference reads.
    fn exposure(&self, _place: &SecretPlace) -> Option<Exposure> {
        None
    }
}

/// Who besides the gateway can get at a secret file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// Everybody on the machine may read it, or write it.
    Everybody {
        /// The file's permission bits.
        mode: u32,
    },
    /// It is the gateway's own file, and its group may read or write it too. (In a file of somebody else's the group is how the gateway gets at it.)
    Group {
        /// The file's permission bits.
        mode: u32,
    },
}

impl Exposure {
    /// What these permissions mean to a process of this user.
    #[must_use]
    pub const fn of(mode: u32, owner: u32, user: Option<u32>) -> Option<Self> {
        let is_own = matches!(user, Some(user) if user == owner);
        match mode {
            mode if mode & 0o006 != 0 => Some(Self::Everybody { mode: mode & 0o7777 }),
            mode if mode & 0o060 != 0 && is_own => Some(Self::Group { mode: mode & 0o7777 }),
            _ => None,
        }
    }
}

/// What a reference led to.
#[derive(Debug)]
pub enum Resolved {
    /// The secret.
    Secret(Secret),
    /// It was not looked for (`check --no-secrets`): such a policy is good for checking, and refuses every delivery.
    NotLookedFor,
}

/// Why a reference leads nowhere. As text, it is about a secret; see [`SecretFault::of`].
#[derive(Debug)]
pub enum SecretFault {
    /// The variable is not set.
    Unset(String),
    /// The variable is not UTF-8.
    NotText(String),
    /// The file cannot be read.
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        kind: io::ErrorKind,
    },
    /// It is a directory, a pipe or a device.
    NotRegular(String),
    /// There is no directory with credentials.
    NoCredentials(String),
    /// There is nothing in it.
    Empty(String),
    /// The file is too long to be a secret.
    TooLong(String),
}

impl SecretFault {
    /// The fault in words; `what` is looked for: a "secret", or a "public key".
    #[must_use]
    pub fn of(&self, what: &str) -> String {
        match self {
            Self::Unset(name) => format!("environment variable {name} is not set"),
            Self::NotText(name) => format!("environment variable {name} is not UTF-8"),
            Self::Unreadable { path, kind } => format!("cannot read {what} file {path}: {kind}"),
            Self::NotRegular(path) => format!("{what} file {path} is not a regular file"),
            Self::NoCredentials(name) => {
                format!("credential {name} cannot be looked up: {CREDENTIALS_DIRECTORY} is not set")
            }
            Self::Empty(name) => format!("the {what} in {name} is empty"),
            Self::TooLong(path) => format!("{what} file {path} is longer than 65,536 bytes"),
        }
    }
}

impl fmt::Display for SecretFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.of("secret"))
    }
}

impl std::error::Error for SecretFault {}

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
            SecretPlace::Credential(name) => {
                let path = credential(std::env::var_os(CREDENTIALS_DIRECTORY), name);
                let path = path.ok_or_else(|| SecretFault::NoCredentials(name.clone()))?;
                (from_file(&path)?, path.display().to_string())
            }
        };
        if secret.is_empty() { Err(SecretFault::Empty(name)) } else { Ok(Resolved::Secret(secret)) }
    }

    fn file(&self, place: &SecretPlace) -> Option<PathBuf> {
        match place {
            SecretPlace::Env(_) => None,
            SecretPlace::File(path) => Some(path.clone()),
            SecretPlace::Credential(name) => credential(std::env::var_os(CREDENTIALS_DIRECTORY), name),
        }
    }

    /// Credentials are left out: whoever made their directory guards it, and may show access lists as the mode of a group.
    fn exposure(&self, place: &SecretPlace) -> Option<Exposure> {
        match place {
            SecretPlace::Env(_) | SecretPlace::Credential(_) => None,
            SecretPlace::File(path) => {
                let file = std::fs::metadata(path).ok()?;
                Exposure::of(file.mode(), file.uid(), own_user())
            }
        }
    }
}

/// The user of this process, where the system shows it.
fn own_user() -> Option<u32> {
    std::fs::metadata("/proc/self").ok().as_ref().map(Metadata::uid)
}

/// The file of a credential; `None` without a directory, which systemd names by an absolute path.
fn credential(directory: Option<OsString>, name: &str) -> Option<PathBuf> {
    directory.map(PathBuf::from).filter(|directory| directory.is_absolute()).map(|directory| directory.join(name))
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
    let name = || path.display().to_string();
    let unreadable = |error: io::Error| SecretFault::Unreadable { path: name(), kind: error.kind() };
    let file = whole_file::open(path).map_err(|fault| match fault {
        ReadFault::System(error) => unreadable(error),
        ReadFault::NotRegular => SecretFault::NotRegular(name()),
        ReadFault::TooLarge(_) => SecretFault::TooLong(name()),
    })?;
    Secret::read(file, SECRET_BYTES_MAX).map_err(unreadable)?.ok_or_else(|| SecretFault::TooLong(name()))
}
