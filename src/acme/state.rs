//! What is kept between two runs: the account, the certificate with its key, and when something may be asked of the authority again.
//!
//! Each authority has a folder of its own below the directory of the configuration, named after its URL: what a testing authority issued is never taken for
//! what the real one did.
//!
//! **Invariant:** every file is written whole or not at all, and only its owner can read it.
//! **Invariant:** what is there and cannot be read is a fault and never taken for absent, so that nothing is written in its place unasked.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use instant_acme::AccountCredentials;

use crate::clock::UnixSeconds;
use crate::edge::tls::{CertificateFault, Certified};
use crate::whole_file::{self, ReadFault, Readers};

/// More than any of the files has.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What the attempts so far have to say of the next one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Note {
    /// None is made before.
    pub(super) not_before: UnixSeconds,
    /// How many failed since the last that did not.
    pub(super) failures: u32,
}

/// A folder.
pub(super) struct State {
    account: PathBuf,
    certificate: PathBuf,
    attempt: PathBuf,
}

impl State {
    /// # Errors
    /// If the folder cannot be made.
    pub(super) fn open(directory: &Path, authority: &str) -> io::Result<Self> {
        let folder = directory.join(name_of(authority));
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let at = |name| folder.join(name);
        Ok(Self { account: at("account.json"), certificate: at("certificate.pem"), attempt: at("attempt") })
    }

    /// Where the account is kept.
    pub(super) fn account_file(&self) -> &Path {
        &self.account
    }

    /// The account, if one is kept.
    ///
    /// # Errors
    /// If there is something that cannot be read, or is no account.
    pub(super) fn account(&self) -> io::Result<Option<AccountCredentials>> {
        // The parser's own words might quote the key.
        let parsed = |bytes: Vec<u8>| serde_json::from_slice(&bytes).map_err(|_| invalid("it is not an account"));
        read(&self.account)?.map(parsed).transpose()
    }

    pub(super) fn keep_account(&self, credentials: &AccountCredentials) -> io::Result<()> {
        whole_file::write(&self.account, &serde_json::to_vec(credentials)?, Readers::Owner)
    }

    pub(super) fn forget_account(&self) {
        // Should it stay, the next attempt fails as this one did, and says so.
        let _ = fs::remove_file(&self.account);
    }

    /// Where the certificate is kept, behind its key.
    pub(super) fn certificate_file(&self) -> &Path {
        &self.certificate
    }

    /// The certificate, if one is kept.
    ///
    /// # Errors
    /// If there is something that cannot be read, or is no certificate with its key.
    pub(super) fn certificate(&self) -> Result<Option<Certified>, CertificateFault> {
        let path = &self.certificate;
        let unreadable = |source| CertificateFault::Unreadable { what: "certificate", path: path.clone(), source };
        let pem = read(path).map_err(unreadable)?;
        pem.map(|pem| Certified::from_pem(&pem, path)).transpose()
    }

    pub(super) fn keep_certificate(&self, pem: &str) -> io::Result<()> {
        whole_file::write(&self.certificate, pem.as_bytes(), Readers::Owner)
    }

    /// What was noted of the attempts so far.
    ///
    /// # Errors
    /// If there is something that cannot be read, or is no note.
    pub(super) fn note(&self) -> io::Result<Option<Note>> {
        let parsed = |bytes: Vec<u8>| {
            let text = std::str::from_utf8(&bytes).ok()?;
            let (not_before, failures) = text.trim_end().split_once(' ')?;
            Some(Note { not_before: not_before.parse().ok()?, failures: failures.parse().ok()? })
        };
        let is_no_note = || invalid("it does not have two numbers");
        read(&self.attempt)?.map(|bytes| parsed(bytes).ok_or_else(is_no_note)).transpose()
    }

    pub(super) fn keep_note(&self, note: Note) -> io::Result<()> {
        let text = format!("{} {}\n", note.not_before, note.failures);
        whole_file::write(&self.attempt, text.as_bytes(), Readers::Owner)
    }
}

/// A file's bytes, if it is there.
fn read(path: &Path) -> Result<Option<Vec<u8>>, ReadFault> {
    match whole_file::read(path, FILE_BYTES_MAX) {
        Err(ReadFault::System(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// `https://acme.example.com/directory` → `acme.example.com-directory`.
fn name_of(authority: &str) -> String {
    let place = authority.split_once("://").map_or(authority, |(_, place)| place);
    let kept = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let name: String = place.trim_matches('/').chars().map(kept).collect();
    // No name that the file system has a meaning for, and none that it has no room for.
    name.trim_start_matches('.').chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_named_after_the_authority() {
        for (url, name) in [
            ("https://acme-v02.api.letsencrypt.org/directory", "acme-v02.api.letsencrypt.org-directory"),
            ("https://127.0.0.1:14000/dir/", "127.0.0.1-14000-dir"),
            ("https://../../etc/passwd", "-..-etc-passwd"),
            ("https://[::1]:1/ä", "---1--1--"),
        ] {
            assert_eq!(name_of(url), name, "{url}");
        }
        assert_eq!(name_of(&format!("https://{}", "a".repeat(500))).len(), 200);
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let is_read = |bytes: u64| {
            fs::write(&path, vec![b' '; usize::try_from(bytes).unwrap()]).unwrap();
            read(&path).is_ok_and(|bytes| bytes.is_some())
        };
        assert_eq!([FILE_BYTES_MAX - 1, FILE_BYTES_MAX, FILE_BYTES_MAX + 1].map(is_read), [true, true, false]);
        assert!(read(folder.path()).is_err(), "a directory");
        assert!(read(&folder.path().join("nothing")).unwrap().is_none());
    }

    #[test]
    fn what_is_there_and_makes_no_sense_is_not_taken_for_absent() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path(), "https://a.example/").unwrap();
        assert_eq!(state.note().unwrap(), None);
        assert!(state.certificate().unwrap().is_none() && state.account().unwrap().is_none());
        let note = Note { not_before: 1_795_435_200, failures: 3 };
        state.keep_note(note).unwrap();
        assert_eq!(state.note().unwrap(), Some(note));
        for text in ["", "soon", "1795435200", "1795435200 many", "1795435200 -1", "\u{e9} 1"] {
            fs::write(&state.attempt, text).unwrap();
            assert!(state.note().is_err(), "{text}");
        }
        for text in ["", "{}", "[1, \"secret\"]"] {
            fs::write(&state.account, text).unwrap();
            let told = state.account().err().unwrap().to_string();
            assert!(!told.contains("secret"), "{told}");
        }
        fs::create_dir(&state.certificate).unwrap();
        assert!(state.certificate().is_err());
    }
}
