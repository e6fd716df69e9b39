//! What is kept between two runs: the account, the certificate with its key, and when something was asked of the authority last.
//!
//! Each authority has a folder of its own below the directory of the configuration, named after its URL: what a testing authority issued is never taken for what
//! the real one did.
//!
//! **Invariant:** every file is written whole or not at all, and only its owner can read it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use instant_acme::AccountCredentials;

use crate::clock::UnixSeconds;
use crate::edge::tls::{CertificateFault, Certified};
use crate::whole_file::{self, Readers};

/// More than any of the files has.
const FILE_BYTES_MAX: u64 = 1 << 20;

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

    /// The account, if one is kept that can be read.
    pub(super) fn account(&self) -> Option<AccountCredentials> {
        serde_json::from_slice(&read(&self.account)?).ok()
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
    pub(super) fn certificate(&self) -> Option<Result<Certified, CertificateFault>> {
        Some(Certified::from_pem(&read(&self.certificate)?, &self.certificate))
    }

    pub(super) fn keep_certificate(&self, pem: &str) -> io::Result<()> {
        whole_file::write(&self.certificate, pem.as_bytes(), Readers::Owner)
    }

    /// When the last attempt began.
    pub(super) fn attempted_at(&self) -> Option<UnixSeconds> {
        String::from_utf8(read(&self.attempt)?).ok()?.trim_end().parse().ok()
    }

    pub(super) fn note_attempt(&self, now: UnixSeconds) -> io::Result<()> {
        whole_file::write(&self.attempt, format!("{now}\n").as_bytes(), Readers::Owner)
    }
}

/// A file's bytes, if it is there and of a sensible size.
fn read(path: &Path) -> Option<Vec<u8>> {
    let is_sensible = fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() <= FILE_BYTES_MAX);
    is_sensible.then(|| fs::read(path).ok())?
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
            read(&path).is_some()
        };
        assert_eq!([FILE_BYTES_MAX - 1, FILE_BYTES_MAX, FILE_BYTES_MAX + 1].map(is_read), [true, true, false]);
        assert!(read(folder.path()).is_none(), "a directory");
    }

    #[test]
    fn what_is_no_number_was_no_attempt() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path(), "https://a.example/").unwrap();
        assert_eq!(state.attempted_at(), None);
        state.note_attempt(1_795_435_200).unwrap();
        assert_eq!(state.attempted_at(), Some(1_795_435_200));
        fs::write(&state.attempt, "soon").unwrap();
        assert_eq!(state.attempted_at(), None);
        assert!(state.certificate().is_none() && state.account().is_none());
    }
}
