//! Where a log's bytes go: a stream, or a file that rotates by size and count.
//!
//! Only writer threads come here. Every failure is returned to be counted and tried again; nothing is skipped, and a line
//! that was begun is finished where it was begun, unless that was removed.
//!
//! **Invariant:** a rotating log never takes more than `files_max` files of `file_bytes_max` bytes (a single line that is
//! longer stands in a file of its own).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// One destination.
pub(super) enum Output {
    Stream(Box<dyn Write + Send>),
    File(RotatingFile),
}

impl Output {
    /// Writes whole lines, from `done` on; `done` moves with every byte that is out, and back to a line's start where half of it went with a file that was removed.
    ///
    /// # Errors
    /// What the destination said. Calling again with the same arguments goes on behind the last byte written.
    pub(super) fn append(&mut self, lines: &[u8], done: &mut usize) -> io::Result<()> {
        match self {
            Self::Stream(stream) => {
                write_from(stream, lines, done)?;
                stream.flush()
            }
            Self::File(file) => file.append(lines, done),
        }
    }
}

/// A file, and the older ones beside it: `rejected.jsonl`, `rejected.jsonl.1` (the youngest of the old), …
pub(super) struct RotatingFile {
    path: PathBuf,
    file_bytes_max: u64,
    files_max: u32,
    open: Option<Open>,
}

struct Open {
    file: File,
    bytes: u64,
    /// How many bytes it may have. A device or pipe has no end and must not be renamed.
    bytes_max: u64,
}

impl RotatingFile {
    /// Opens or makes the file, and its directory.
    ///
    /// # Errors
    /// What the file system said: at start this is a fault of the configuration and worth ending with.
    pub(super) fn open(path: &Path, file_bytes_max: u64, files_max: u32) -> io::Result<Self> {
        let mut file = Self { path: path.to_owned(), file_bytes_max, files_max: files_max.max(1), open: None };
        file.opened()?;
        Ok(file)
    }

    fn append(&mut self, lines: &[u8], done: &mut usize) -> io::Result<()> {
        while *done < lines.len() {
            self.forget_if_moved(lines, done);
            let open = self.opened()?;
            let (begin, rest) = (*done, &lines[*done..]);
            let mut length = if begin > line_start(lines, begin) {
                first_line(rest)
            } else {
                whole_lines(rest, open.bytes_max.saturating_sub(open.bytes))
            };
            if length == 0 {
                if open.bytes > 0 {
                    self.rotate()?;
                    continue;
                }
                length = first_line(rest);
            }
            let result = write_from(&mut open.file, &lines[..begin + length], done);
            open.bytes += u64::try_from(*done - begin).unwrap_or(0);
            result?;
        }
        Ok(())
    }

    fn opened(&mut self) -> io::Result<&mut Open> {
        match self.open {
            Some(ref mut open) => Ok(open),
            None => Ok(self.open.insert(open(&self.path, self.file_bytes_max)?)),
        }
    }

    /// Somebody may have moved or removed the file; then a new one is made at its place. A line that was begun is
    /// finished first where the file still has a name. Where it has none nobody can read it, and on a full disk its space comes back only when it is closed:
    /// the line begins anew in the new one.
    fn forget_if_moved(&mut self, lines: &[u8], done: &mut usize) {
        let Some(open) = &self.open else { return };
        let identity = |data: &fs::Metadata| (data.dev(), data.ino());
        let ours = open.file.metadata().ok();
        let found = fs::metadata(&self.path).ok();
        if ours.is_some() && ours.as_ref().map(identity) == found.as_ref().map(identity) {
            return;
        }
        let start = line_start(lines, *done);
        if *done == start || ours.is_none_or(|ours| ours.nlink() == 0) {
            *done = start;
            self.open = None;
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        let oldest = self.files_max - 1;
        if oldest == 0 {
            fs::remove_file(&self.path)?;
        }
        for age in (0..oldest).rev() {
            match fs::rename(numbered(&self.path, age), numbered(&self.path, age + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        self.open = None;
        Ok(())
    }
}

/// `rejected.jsonl.3`; age 0 is the file itself.
pub(super) fn numbered(path: &Path, age: u32) -> PathBuf {
    if age == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{age}"));
    PathBuf::from(name)
}

fn open(path: &Path, file_bytes_max: u64) -> io::Result<Open> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::create_dir_all(directory)?;
    }
    let mut file = OpenOptions::new().create(true).append(true).read(true).mode(0o640).open(path)?;
    let metadata = file.metadata()?;
    let bytes_max = if metadata.is_file() { file_bytes_max } else { u64::MAX };
    let mut bytes = metadata.len();
    if bytes > 0 && !ends_a_line(&mut file)? {
        // The process before this one ended in the middle of a line.
        file.write_all(b"\n")?;
        bytes += 1;
    }
    Ok(Open { file, bytes, bytes_max })
}

fn ends_a_line(file: &mut File) -> io::Result<bool> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// Where the line begins that `position` is in.
fn line_start(lines: &[u8], position: usize) -> usize {
    memchr::memrchr(b'\n', &lines[..position]).map_or(0, |end| end + 1)
}

/// How many bytes of whole lines fit into `room`.
fn whole_lines(lines: &[u8], room: u64) -> usize {
    let room = usize::try_from(room).unwrap_or(usize::MAX).min(lines.len());
    memchr::memrchr(b'\n', &lines[..room]).map_or(0, |end| end + 1)
}

fn first_line(lines: &[u8]) -> usize {
    memchr::memchr(b'\n', lines).map_or(lines.len(), |end| end + 1)
}

fn write_from(destination: &mut impl Write, bytes: &[u8], done: &mut usize) -> io::Result<()> {
    while *done < bytes.len() {
        match destination.write(&bytes[*done..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => *done += written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// What stands in the file and the older ones, youngest first.
    fn contents(path: &Path) -> Vec<String> {
        (0..).map_while(|age| fs::read_to_string(numbered(path, age)).ok()).collect()
    }

    fn append(file: &mut RotatingFile, lines: &str) {
        file.append(lines.as_bytes(), &mut 0).unwrap();
    }

    #[test]
    fn files_rotate_exactly_by_size_and_count() {
        // (name, most bytes, most files, chunks, what stands where, youngest first)
        type Row<'r> = (&'r str, u64, u32, &'r [&'r str], &'r [&'r str]);
        let rows: [Row<'_>; 8] = [
            ("one under the limit", 9, 3, &["aaa\n", "bbb\n"], &["aaa\nbbb\n"]),
            ("at the limit", 8, 3, &["aaa\n", "bbb\n"], &["aaa\nbbb\n"]),
            ("one over the limit", 7, 3, &["aaa\n", "bbb\n"], &["bbb\n", "aaa\n"]),
            ("a chunk is split at its lines", 8, 3, &["aaa\nbbb\nccc\n"], &["ccc\n", "aaa\nbbb\n"]),
            ("the oldest goes", 4, 2, &["aaa\nbbb\nccc\n"], &["ccc\n", "bbb\n"]),
            ("one file only", 4, 1, &["aaa\n", "bbb\n"], &["bbb\n"]),
            ("a line longer than a file", 4, 3, &["a\nbbbbbb\nc\n"], &["c\n", "bbbbbb\n", "a\n"]),
            ("no file count", 4, 0, &["aaa\n", "bbb\n"], &["bbb\n"]),
        ];
        for (name, bytes_max, files_max, chunks, expected) in rows {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("rejected.jsonl");
            let mut file = RotatingFile::open(&path, bytes_max, files_max).unwrap();
            for chunk in chunks {
                append(&mut file, chunk);
            }
            assert_eq!(contents(&path), expected, "{name}");
        }
    }

    #[test]
    fn directory_and_file_are_made_and_only_the_owner_writes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b/rejected.jsonl");
        RotatingFile::open(&path, 100, 2).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & !0o640, 0, "{mode:o}");
    }

    #[test]
    fn a_restart_goes_on_behind_what_is_there() {
        for (name, before, after) in
            [("whole lines", "aaa\n", "aaa\nbbb\n"), ("a torn line", "aa", "aa\nbbb\n"), ("nothing", "", "bbb\n")]
        {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("rejected.jsonl");
            fs::write(&path, before).unwrap();
            append(&mut RotatingFile::open(&path, 8, 2).unwrap(), "bbb\n");
            assert_eq!(contents(&path), [after], "{name}");
        }
    }

    #[test]
    fn a_device_is_written_and_never_rotated() {
        // By way of a link: should this ever fail, it renames the link and not the machine's device.
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rejected.jsonl");
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        let mut file = RotatingFile::open(&path, 4, 3).unwrap();
        append(&mut file, "aaa\nbbb\nccc\n");
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
        assert!(!numbered(&path, 1).exists());
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rejected.jsonl");
        let mut file = RotatingFile::open(&path, 100, 2).unwrap();
        append(&mut file, "aaa\n");
        fs::rename(&path, directory.path().join("elsewhere")).unwrap();
        append(&mut file, "bbb\n");
        assert_eq!(contents(&path), ["bbb\n"]);
    }

    #[test]
    fn a_line_that_was_begun_ends_where_it_began_unless_that_was_removed() {
        let lines = b"aaa\nbbb\nccc\n";
        // Up to where it was written; then what stands in the file that was moved away, and in the one at its place.
        for (done, moved, anew) in [
            (4, "aaa\n", "bbb\nccc\n"),
            (5, "aaa\nbbb\n", "ccc\n"),
            (7, "aaa\nbbb\n", "ccc\n"),
            (8, "aaa\nbbb\n", "ccc\n"),
        ] {
            for stays in [true, false] {
                let directory = tempfile::tempdir().unwrap();
                let (path, elsewhere) = (directory.path().join("rejected.jsonl"), directory.path().join("elsewhere"));
                let mut file = RotatingFile::open(&path, 100, 2).unwrap();
                fs::write(&path, &lines[..done]).unwrap();
                if stays {
                    fs::rename(&path, &elsewhere).unwrap();
                } else {
                    fs::remove_file(&path).unwrap();
                }
                file.append(lines, &mut { done }).unwrap();
                let begun = String::from_utf8(lines[line_start(lines, done)..].to_vec()).unwrap();
                assert_eq!(contents(&path), [if stays { anew.to_owned() } else { begun }], "{done}, {stays}");
                if stays {
                    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), moved, "{done}");
                }
            }
        }
    }

    #[test]
    fn what_could_not_be_written_is_written_later_where_it_stopped() {
        /// Takes so many bytes, then refuses once.
        struct Reluctant(Vec<u8>, usize);
        impl Write for Reluctant {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if self.1 == 0 {
                    self.1 = usize::MAX;
                    return Err(io::ErrorKind::StorageFull.into());
                }
                let taken = bytes.len().min(self.1);
                self.1 -= taken;
                self.0.extend_from_slice(&bytes[..taken]);
                Ok(taken)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for room in 0..8 {
            let (mut stream, mut done) = (Reluctant(Vec::new(), room), 0);
            assert!(write_from(&mut stream, b"aaa\nbbb\n", &mut done).is_err(), "{room}");
            assert_eq!(done, room);
            write_from(&mut stream, b"aaa\nbbb\n", &mut done).unwrap();
            assert_eq!(stream.0, b"aaa\nbbb\n", "{room}");
        }
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_an_error_and_not_an_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logs/rejected.jsonl");
        let mut file = RotatingFile::open(&path, 4, 2).unwrap();
        append(&mut file, "aaa\n");
        // A file where the directory should be: nothing can be opened below it, whoever runs this test.
        fs::remove_dir_all(directory.path().join("logs")).unwrap();
        fs::write(directory.path().join("logs"), "").unwrap();
        let mut done = 0;
        assert!(file.append(b"bbb\n", &mut done).is_err());
        assert_eq!(done, 0);
        fs::remove_file(directory.path().join("logs")).unwrap();
        file.append(b"bbb\n", &mut done).unwrap();
        assert_eq!(contents(&path), ["bbb\n"]);
    }
}
