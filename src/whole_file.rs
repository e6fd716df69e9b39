//! A file that is written whole or not at all: whoever reads it finds what was there before, or all of the new.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use tempfile::NamedTempFile;

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
    fn what_cannot_be_replaced_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        assert!(write(&path, b"text", Readers::All).is_err());
        assert!(path.is_dir());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
