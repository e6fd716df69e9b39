//! Secrets that a provider hands over: where one is kept, and how long one is awaited.
//!
//! `hookward learn SOURCE` writes a marker beside the secret's file, which says until when an offer is taken. The gateway takes the first
//! offer, which removes the marker. Whoever may write into the directory may write the secret itself, so the marker needs no more guarding.
//!
//! **Invariant:** removing the marker is what decides who was first. Of several gateways, or workers, one removes it, and that one alone writes
//! the secret; without it no file is touched.
//!
//! **Invariant:** the file has the old secret or the new one, never half of one, and nobody but its owner can ever read it.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::clock::UnixSeconds;
use crate::secret::{SECRET_BYTES_MIN, Secret};
use crate::whole_file::{self, Readers};

/// How long an offer is awaited.
pub const OPEN_SECONDS: i64 = 15 * 60;

/// A marker holds one number.
const MARKER_BYTES_MAX: u64 = 32;

/// Why an offer was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LearnFault {
    /// Nobody awaits one.
    #[error("no secret is awaited")]
    Closed,
    /// It is shorter than a secret may be.
    #[error("the secret that was offered is shorter than {SECRET_BYTES_MIN} bytes")]
    Short,
    /// It cannot be kept.
    #[error("cannot keep the secret: {0}")]
    Unwritable(#[source] io::Error),
}

/// Awaits an offer for the next [`OPEN_SECONDS`], and hands out the second at which that ends.
///
/// # Errors
/// What the system says.
pub fn open(secret_file: &Path, now: UnixSeconds) -> io::Result<UnixSeconds> {
    let closes = now.saturating_add(OPEN_SECONDS);
    whole_file::write(&marker(secret_file), format!("{closes}\n").as_bytes(), Readers::Owner)?;
    Ok(closes)
}

/// Awaits none any more. Answers whether one was awaited.
///
/// # Errors
/// What the system says.
pub fn close(secret_file: &Path) -> io::Result<bool> {
    match fs::remove_file(marker(secret_file)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Until when an offer is awaited; `None`: none is.
///
/// A marker that ends later than any could (the clock was set back since, or somebody wrote it by hand) counts for nothing.
#[must_use]
pub fn closes(secret_file: &Path, now: UnixSeconds) -> Option<UnixSeconds> {
    let mut text = String::new();
    whole_file::open(&marker(secret_file)).ok()?.take(MARKER_BYTES_MAX).read_to_string(&mut text).ok()?;
    let closes: UnixSeconds = text.trim_end().parse().ok()?;
    (1..=OPEN_SECONDS).contains(&closes.saturating_sub(now)).then_some(closes)
}

/// Keeps an offered secret, if one is awaited, and awaits none any more.
///
/// # Errors
/// [`LearnFault`]; one is awaited as before then.
pub fn keep(secret_file: &Path, secret: &Secret, now: UnixSeconds) -> Result<(), LearnFault> {
    let closes = closes(secret_file, now).ok_or(LearnFault::Closed)?;
    if secret.len() < SECRET_BYTES_MIN {
        return Err(LearnFault::Short);
    }
    if !close(secret_file).map_err(LearnFault::Unwritable)? {
        return Err(LearnFault::Closed);
    }
    whole_file::write(secret_file, secret.expose(), Readers::Owner).map_err(|error| {
        // So that the provider's next try can succeed; if not even this can be written, the operator opens again.
        let _ = whole_file::write(&marker(secret_file), format!("{closes}\n").as_bytes(), Readers::Owner);
        LearnFault::Unwritable(error)
    })
}

/// The marker beside a secret's file: `asana.secret.open`.
#[must_use]
pub fn marker(secret_file: &Path) -> PathBuf {
    let mut name = OsString::from(secret_file);
    name.push(".open");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const NOW: UnixSeconds = 1_795_435_200;

    fn offer() -> Secret {
        Secret::new(b"an-offered-secret-0123456789".to_vec())
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn an_offer_is_taken_once_while_one_is_awaited() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state/asana.secret");
        assert!(matches!(keep(&file, &offer(), NOW), Err(LearnFault::Closed)), "never opened");
        assert_eq!(open(&file, NOW).unwrap(), NOW + 900);
        assert_eq!((mode(&marker(&file)), mode(file.parent().unwrap())), (0o600, 0o700));
        keep(&file, &offer(), NOW + 1).unwrap();
        assert_eq!((fs::read(&file).unwrap(), mode(&file)), (offer().expose().to_vec(), 0o600));
        assert!(matches!(keep(&file, &Secret::new(vec![b'x'; 32]), NOW + 1), Err(LearnFault::Closed)), "the second");
        assert_eq!(fs::read(&file).unwrap(), offer().expose(), "the first stays");
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn it_is_awaited_for_fifteen_minutes_and_not_a_second_more() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        open(&file, NOW).unwrap();
        let rows = [
            (NOW - 1, false),
            (NOW, true),
            (NOW + 899, true),
            (NOW + 900, false),
            (i64::MAX, false),
            (i64::MIN, false),
        ];
        for (now, awaited) in rows {
            assert_eq!(closes(&file, now).is_some(), awaited, "{now}");
        }
        for text in ["", "x", "1795435300 1", "999999999999999999999"] {
            fs::write(marker(&file), text).unwrap();
            assert_eq!(closes(&file, NOW), None, "{text:?}");
        }
    }

    #[test]
    fn closing_awaits_nothing_and_a_file_that_is_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        fs::write(&file, "the-one-before").unwrap();
        assert!(!close(&file).unwrap());
        open(&file, NOW).unwrap();
        assert!(close(&file).unwrap());
        assert!(matches!(keep(&file, &offer(), NOW), Err(LearnFault::Closed)));
        assert_eq!(fs::read_to_string(&file).unwrap(), "the-one-before");
        open(&file, NOW).unwrap();
        keep(&file, &offer(), NOW).unwrap();
        assert_eq!(fs::read(&file).unwrap(), offer().expose(), "opened again it is replaced");
    }

    #[test]
    fn what_is_too_short_or_cannot_be_written_leaves_it_open() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        open(&file, NOW).unwrap();
        assert!(matches!(keep(&file, &Secret::new(vec![b'a'; 15]), NOW), Err(LearnFault::Short)));
        // A directory stands where the file should.
        fs::create_dir(&file).unwrap();
        assert!(matches!(keep(&file, &offer(), NOW), Err(LearnFault::Unwritable(_))));
        assert_eq!(closes(&file, NOW), Some(NOW + 900));
    }
}
