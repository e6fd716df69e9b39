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

use crate::whole_file::folder_of;

/// As many links in a row as the system follows.
const LINKS_MAX: usize = 40;

/// Where a log's name leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A file, there or not, that the older ones stand beside.
    Rotating(PathBuf),
    /// A device or pipe; or whatever the system hands out below `/dev` and `/proc`, such as `/dev/stdout`: nothing is made or renamed there.
    Fixed(PathBuf),
}

impl Destination {
    /// Follows the links, to the last of them that leads nowhere yet.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let mut path = path.to_owned();
        for _ in 0..LINKS_MAX {
            if is_handed_out(&path) {
                return Self::Fixed(path);
            }
            let Ok(target) = fs::read_link(&path) else { break };
            path = folder_of(&path).join(target);
        }
        if fs::metadata(&path).is_ok_and(|there| !there.is_file()) { Self::Fixed(path) } else { Self::Rotating(path) }
    }

    /// The file itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        let (Self::Rotating(path) | Self::Fixed(path)) = self;
        path
    }
}

/// Whether the system made what stands there. (`/dev/shm` is for everybody's files.)
fn is_handed_out(path: &Path) -> bool {
    let folder = fs::canonicalize(folder_of(path)).unwrap_or_default();
    folder.starts_with("/proc") || folder.starts_with("/dev") && !folder.starts_with("/dev/shm")
}

/// One destination.
pub(super) enum Output {
    Stream(Box<dyn Write + Send>),
    File(RotatingFile),
}

impl Output {
    /// Writes whole lines, from `done` on; `done` moves with every byte that is out, and back to a line's start where half of it went with a file that was
    /// removed.
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
        let (path, file_bytes_max) = match Destination::of(path) {
            Destination::Rotating(path) => (path, file_bytes_max),
            Destination::Fixed(path) => (path, u64::MAX),
        };
        let mut file = Self { path, file_bytes_max, files_max: files_max.max(1), open: None };
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
        shift(&self.path, oldest, |from, to| fs::rename(from, to))?;
        self.open = None;
        Ok(())
    }
}

/// Lets each file grow older by one, up to the first number that is free: a rotation whose last step fails is tried again and again, and must not
/// push out what is kept.
fn shift(path: &Path, oldest: u32, rename: impl Fn(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
    let is_missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let is_free = |age: &u32| fs::symlink_metadata(numbered(path, *age)).is_err_and(|error| is_missing(&error));
    let free = (1..oldest).find(is_free).unwrap_or(oldest);
    for age in (0..free).rev() {
        match rename(&numbered(path, age), &numbered(path, age + 1)) {
            Err(error) if !is_missing(&error) => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
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
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::{PermissionsExt, symlink};

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
    fn a_rotation_that_fails_again_and_again_loses_no_older_file() {
        // (what stands there before, and after the last step failed twice), youngest first
        let rows: [(&[&str], &[&str]); 4] = [
            (&["now"], &["now"]),
            (&["now", "1"], &["now", "", "1"]),
            (&["now", "1", "", "3"], &["now", "", "1", "3"]),
            (&["now", "1", "2", "3"], &["now", "", "1", "2"]),
        ];
        for (before, after) in rows {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("rejected.jsonl");
            for (age, text) in (0..).zip(before).filter(|(_, text)| !text.is_empty()) {
                fs::write(numbered(&path, age), text).unwrap();
            }
            let refuse = |from: &Path, to: &Path| {
                if from == path { Err(io::ErrorKind::PermissionDenied.into()) } else { fs::rename(from, to) }
            };
            for attempt in 0..2 {
                assert!(shift(&path, 3, refuse).is_err());
                let there =
                    (0..).zip(after).map(|(age, _)| fs::read_to_string(numbered(&path, age)).unwrap_or_default());
                assert_eq!(there.collect::<Vec<_>>(), after, "{before:?}, attempt {attempt}");
            }
            shift(&path, 3, |from, to| fs::rename(from, to)).unwrap();
            assert_eq!(fs::read_to_string(numbered(&path, 1)).unwrap(), "now", "{before:?}");
        }
    }

    #[test]
    fn what_a_link_leads_to_rotates_and_is_made_anew_while_the_link_stays() {
        // (name, the links from the log on, what is in the target before)
        for (name, links, before) in [
            ("a file", ["elsewhere/log", ""], Some("old\n")),
            ("nothing yet", ["elsewhere/log", ""], None),
            ("no folder yet", ["made/log", ""], None),
            ("a link to nothing yet", ["elsewhere/link", "../made/log"], None),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let at = |name: &str| directory.path().join(name);
            fs::create_dir(at("elsewhere")).unwrap();
            let path = at("rejected.jsonl");
            symlink(links[0], &path).unwrap();
            let target = if links[1].is_empty() { at(links[0]) } else { at("made/log") };
            if !links[1].is_empty() {
                symlink(links[1], at(links[0])).unwrap();
            }
            if let Some(text) = before {
                fs::write(&target, text).unwrap();
            }
            let mut file = RotatingFile::open(&path, 4, 3).unwrap();
            append(&mut file, "aaa\nbbb\n");
            let mut expected = vec!["bbb\n", "aaa\n"];
            expected.extend(before);
            assert_eq!(contents(&target), expected, "{name}");
            fs::rename(&target, at("moved")).unwrap();
            append(&mut file, "ccc\n");
            assert_eq!(fs::read_to_string(&target).unwrap(), "ccc\n", "{name}: somebody else rotates it");
            assert!(fs::symlink_metadata(&path).unwrap().is_symlink(), "{name}");
            assert!(!numbered(&path, 1).exists(), "{name}");
        }
    }

    #[test]
    fn what_the_system_hands_out_is_written_and_never_rotated() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rejected.jsonl");
        let mut redirected = tempfile::tempfile().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        for descriptor in [redirected.as_raw_fd(), writer.as_raw_fd()] {
            symlink(format!("/dev/fd/{descriptor}"), &path).unwrap();
            append(&mut RotatingFile::open(&path, 4, 3).unwrap(), "aaa\nbbb\nccc\n");
            assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
            assert!(!numbered(&path, 1).exists());
            fs::remove_file(&path).unwrap();
        }
        drop(writer);
        let mut written = [String::new(), String::new()];
        redirected.seek(SeekFrom::Start(0)).unwrap();
        redirected.read_to_string(&mut written[0]).unwrap();
        reader.read_to_string(&mut written[1]).unwrap();
        assert_eq!(written, ["aaa\nbbb\nccc\n"; 2]);
    }

    #[test]
    fn a_device_is_no_file_that_rotates_and_what_is_not_there_yet_is_one() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        symlink("/dev/null", at("device")).unwrap();
        symlink("circle", at("circle")).unwrap();
        let fixed = |path: &str| Destination::Fixed(PathBuf::from(path));
        for (path, expected) in [
            (at("device"), fixed("/dev/null")),
            (PathBuf::from("/dev/stdout"), fixed("/dev/stdout")),
            (PathBuf::from("/dev/there-is-none"), fixed("/dev/there-is-none")),
            (at("log"), Destination::Rotating(at("log"))),
            (at("folder/log"), Destination::Rotating(at("folder/log"))),
            (at("circle"), Destination::Rotating(at("circle"))),
            (PathBuf::from("log"), Destination::Rotating(PathBuf::from("log"))),
        ] {
            assert_eq!(Destination::of(&path), expected, "{path:?}");
        }
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
