//! Files as a whole. One is written whole or not at all: whoever reads it finds what was there before, or all of the new. One that an operator names is read to
//! its end, up to a bound, if it is a file.
//!
//! **Invariant:** reading waits for nobody: what is no regular file, such as a pipe that nobody writes to, is not read from.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;
use tempfile::NamedTempFile;

/// Bytes of a file with certificates or a key: all public authorities together have a quarter of a megabyte.
pub const PEM_BYTES_MAX: u64 = 4 << 20;

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadFault {
    /// What the system says, such as that there is none.
    #[error("{}", .0.kind())]
    System(#[from] io::Error),
    /// It is a directory, a pipe, a socket or a device.
    #[error("it is not a regular file")]
    NotRegular,
    /// It is longer than is sensible.
    #[error("it is larger than {0} bytes")]
    TooLarge(u64),
}

impl From<ReadFault> for io::Error {
    fn from(fault: ReadFault) -> Self {
        match fault {
            ReadFault::System(error) => error,
            ReadFault::NotRegular | ReadFault::TooLarge(_) => Self::new(io::ErrorKind::InvalidData, fault.to_string()),
        }
    }
}

/// Opens a regular file for reading.
///
/// # Errors
/// [`ReadFault::System`], [`ReadFault::NotRegular`].
pub fn open(path: &Path) -> Result<File, ReadFault> {
    // Whoever opens a pipe waits for its writer otherwise.
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(ReadFault::NotRegular) }
}

/// Reads a regular file of at most `bytes_max`.
///
/// # Errors
/// [`ReadFault`].
pub fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, ReadFault> {
    let mut bytes = Vec::new();
    open(path)?.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max { Err(ReadFault::TooLarge(bytes_max)) } else { Ok(bytes) }
}

/// Who may read a file and look into the directory that is made for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Its owner: it holds a secret.
    Owner,
    /// Everybody on the machine.
    All,
}

/// Writes the file in place of what is there; directories that are missing are made.
///
/// # Errors
/// What the system says; what was there before is there then.
pub fn write(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let (file_mode, directory_mode) = match readers {
        Readers::Owner => (0o600, 0o700),
        Readers::All => (0o644, 0o755),
    };
    let directory = folder_of(path);
    DirBuilder::new().recursive(true).mode(directory_mode).create(directory)?;
    let mut file = NamedTempFile::new_in(directory)?;
    file.as_file().set_permissions(Permissions::from_mode(file_mode))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // It is there. Only a loss of power could still take it back, and not every directory may be opened.
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
    Ok(())
}

/// Where a file stands.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    #[test]
    fn a_file_is_there_whole_with_its_mode_and_nothing_beside_it() {
        for (readers, file_mode, directory_mode) in [(Readers::Owner, 0o600, 0o700), (Readers::All, 0o644, 0o755)] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("new/file");
            for text in ["first", "second"] {
                write(&path, text.as_bytes(), readers).unwrap();
                assert_eq!(fs::read_to_string(&path).unwrap(), text);
            }
            let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
            assert_eq!((mode(&path), mode(path.parent().unwrap())), (file_mode, directory_mode));
            assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_regular_file_is_read_up_to_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "12345678").unwrap();
        for (bytes_max, expected) in [(7, None), (8, Some(8)), (9, Some(8)), (u64::MAX, Some(8))] {
            assert_eq!(read(&path, bytes_max).ok().map(|bytes| bytes.len()), expected, "{bytes_max}");
        }
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("file", &link).unwrap();
        assert_eq!(read(&link, 8).unwrap(), b"12345678");
        let missing = read(&folder.path().join("none"), 8).unwrap_err();
        assert_eq!(missing.to_string(), "entity not found");
    }

    #[test]
    fn what_is_no_regular_file_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let _socket = UnixListener::bind(folder.path().join("socket")).unwrap();
        for path in [&pipe, folder.path(), Path::new("/dev/zero")] {
            assert_eq!(read(path, 8).unwrap_err().to_string(), "it is not a regular file", "{path:?}");
        }
        assert!(matches!(read(&folder.path().join("socket"), 8), Err(ReadFault::System(_))));
    }

    #[test]
    fn what_cannot_be_replaced_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        assert!(write(&path, b"text", Readers::All).is_err());
        assert!(path.is_dir());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
