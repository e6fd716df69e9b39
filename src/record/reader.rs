//! Reading the rejected log back: the current file and the older ones beside it, once or for as long as it grows.
//!
//! No delivery comes through here; it is the other half of [`output`](super::output), for the command line.
//!
//! **Invariant:** a rotation while reading neither repeats nor loses a record, as long as the files that hold it exist.
//! **Invariant:** memory is bounded, whatever stands in the files.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::output::{Destination, numbered};
use super::rejects::Record;

/// A longer line is no record of ours.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// How many files are looked at, the current one included. Each is open at the same time.
const FILES_MAX: u32 = 256;

/// Reads records from a rejected log and remembers how far it came.
pub struct Reader {
    path: PathBuf,
    open: Option<Open>,
    lines: Lines,
}

struct Open {
    file: BufReader<File>,
    identity: Identity,
}

/// Device and inode: what a file still is after it was renamed.
type Identity = (u64, u64);

/// Puts lines together and hands on those that are records.
#[derive(Default)]
struct Lines {
    line: Vec<u8>,
    too_long: bool,
    skipped: u64,
}

impl Reader {
    /// A reader of the log at `path`; nothing is opened yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), open: None, lines: Lines::default() }
    }

    /// Hands every record that was not read before to `each`, with its line, oldest first. Returns whether there is a
    /// log at all.
    ///
    /// # Errors
    /// A file cannot be read, or `each` failed.
    pub fn read(&mut self, mut each: impl FnMut(Record, &str) -> io::Result<()>) -> io::Result<bool> {
        self.read_on(&mut each)?;
        let mut newer = self.newer()?;
        if newer.is_empty() {
            return Ok(self.open.is_some());
        }
        // What was written between the last look and the rotation.
        self.read_on(&mut each)?;
        while let Some(next) = newer.pop_back() {
            self.lines.end_file();
            self.open = Some(next);
            self.read_on(&mut each)?;
        }
        Ok(true)
    }

    /// How many lines were no records, up to now.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.lines.skipped + u64::from(!self.lines.line.is_empty())
    }

    fn read_on(&mut self, each: &mut impl FnMut(Record, &str) -> io::Result<()>) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if open.file.get_ref().metadata()?.len() < open.file.stream_position()? {
            // Somebody emptied the file.
            open.file.seek(SeekFrom::Start(0))?;
            self.lines.end_file();
        }
        self.lines.read(&mut open.file, each)
    }

    /// The files that are younger than the open one, youngest first; all of them if none is open.
    ///
    /// They are opened from the youngest on: a rotation in the meantime shows the same file twice, which can be seen, and
    /// never hides one.
    fn newer(&self) -> io::Result<VecDeque<Open>> {
        let known = self.open.as_ref().map(|open| open.identity);
        // Where the log is a link, the older files stand beside what it leads to.
        let destination = Destination::of(&self.path);
        let mut newer: VecDeque<Open> = VecDeque::new();
        for age in 0..FILES_MAX {
            let file = match File::open(numbered(destination.path(), age)) {
                Ok(file) => file,
                // Between two steps of a rotation the current file is missing; the older ones stand behind the gap.
                Err(error) if error.kind() == io::ErrorKind::NotFound && age == 0 => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            };
            let metadata = file.metadata()?;
            let identity = (metadata.dev(), metadata.ino());
            if known == Some(identity) {
                return Ok(newer);
            }
            if newer.back().is_none_or(|younger| younger.identity != identity) {
                newer.push_back(Open { file: BufReader::new(file), identity });
            }
        }
        if known.is_some() {
            // The open file is gone from here, so nobody can say which of the numbered ones were read.
            newer.truncate(1);
        }
        Ok(newer)
    }
}

/// Hands every record of a stream to `each`, with its line; returns how many lines were no records.
///
/// # Errors
/// The stream cannot be read, or `each` failed.
pub fn read_stream(stream: &mut impl BufRead, mut each: impl FnMut(Record, &str) -> io::Result<()>) -> io::Result<u64> {
    let mut lines = Lines::default();
    lines.read(stream, &mut each)?;
    lines.end_file();
    Ok(lines.skipped)
}

impl Lines {
    /// Reads to the end of what is there; a line without its end waits for the rest.
    fn read(
        &mut self,
        stream: &mut impl BufRead,
        each: &mut impl FnMut(Record, &str) -> io::Result<()>,
    ) -> io::Result<()> {
        loop {
            let available = match stream.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                return Ok(());
            }
            let end = memchr::memchr(b'\n', available);
            let taken = end.unwrap_or(available.len());
            self.extend(&available[..taken]);
            stream.consume(taken + usize::from(end.is_some()));
            if end.is_some() {
                self.end_line(each)?;
            }
        }
    }

    fn extend(&mut self, bytes: &[u8]) {
        self.too_long |= self.line.len() + bytes.len() > LINE_BYTES_MAX;
        if self.too_long {
            self.line.clear();
        } else {
            self.line.extend_from_slice(bytes);
        }
    }

    fn end_line(&mut self, each: &mut impl FnMut(Record, &str) -> io::Result<()>) -> io::Result<()> {
        let too_long = std::mem::take(&mut self.too_long);
        let text = std::str::from_utf8(&self.line).ok().filter(|_| !too_long);
        let result = match text.and_then(|text| Record::parse(text).zip(Some(text))) {
            Some((record, text)) => each(record, text),
            None if !too_long && self.line.trim_ascii().is_empty() => Ok(()),
            None => {
                self.skipped += 1;
                Ok(())
            }
        };
        self.line.clear();
        result
    }

    /// A line that was begun here will not go on in another file.
    fn end_file(&mut self) {
        self.skipped += u64::from(self.too_long || !self.line.is_empty());
        self.too_long = false;
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, OpenOptions};
    use std::io::Write;
    use std::os::unix::fs::symlink;

    fn line(reason: &str) -> String {
        format!("{{\"ts\":\"2026-11-23T14:03:05.123456Z\",\"reason\":\"{reason}\"}}\n")
    }

    fn append(path: &Path, text: &str) {
        OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn rotate(path: &Path) {
        for age in (0..9).rev() {
            let _ = fs::rename(numbered(path, age), numbered(path, age + 1));
        }
    }

    fn read(reader: &mut Reader) -> String {
        let mut reasons = Vec::new();
        let exists = reader.read(|record, _| {
            reasons.push(record.reason);
            Ok(())
        });
        if exists.unwrap() { reasons.join(" ") } else { "no log".to_owned() }
    }

    #[test]
    fn records_of_all_files_come_once_and_oldest_first_over_rotations() {
        for name in ["rejected.jsonl", "link"] {
            let directory = tempfile::tempdir().unwrap();
            symlink("rejected.jsonl", directory.path().join("link")).unwrap();
            read_over_rotations(Reader::new(&directory.path().join(name)), &directory.path().join("rejected.jsonl"));
        }
    }

    fn read_over_rotations(mut reader: Reader, path: &Path) {
        assert_eq!(read(&mut reader), "no log");
        for reason in ["a", "b", "c"] {
            rotate(path);
            append(path, &line(reason));
        }
        assert_eq!(read(&mut reader), "a b c");
        assert_eq!(read(&mut reader), "");
        append(path, &line("d"));
        rotate(path);
        append(path, &line("e"));
        assert_eq!(read(&mut reader), "d e", "one rotation between two looks");
        for reason in ["f", "g"] {
            append(path, &line(reason));
            rotate(path);
        }
        assert_eq!(read(&mut reader), "f g", "two rotations, and the current file is not made yet");
        append(path, &line("h"));
        assert_eq!(read(&mut reader), "h");
        fs::write(path, "").unwrap();
        assert_eq!(read(&mut reader), "", "emptied");
        append(path, &line("i"));
        assert_eq!(read(&mut reader), "i");
        fs::rename(path, path.with_file_name("elsewhere")).unwrap();
        append(path, &line("j"));
        assert_eq!(read(&mut reader), "j", "moved elsewhere: numbered files are not read again");
        assert_eq!(reader.skipped(), 0);
    }

    #[test]
    fn a_line_that_is_being_written_is_read_when_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rejected.jsonl");
        let mut reader = Reader::new(&path);
        let whole = line("a");
        let (head, tail) = whole.split_at(20);
        append(&path, head);
        assert_eq!(read(&mut reader), "");
        assert_eq!(reader.skipped(), 1);
        append(&path, tail);
        assert_eq!(read(&mut reader), "a");
        assert_eq!(reader.skipped(), 0);
    }

    #[test]
    fn what_is_no_record_is_skipped_and_counted() {
        let padding =
            |bytes: usize| format!("{{\"ts\":\"2\",\"reason\":\"x\",\"p\":\"{}\"}}\n", "x".repeat(bytes - 30));
        let rows = [
            ("an empty line", "\n \n".to_owned(), 0, 0),
            ("no JSON", "nothing\n".to_owned(), 0, 1),
            ("torn at the end", "{\"ts\":".to_owned(), 0, 1),
            ("just not too long", padding(LINE_BYTES_MAX), 1, 0),
            ("too long", padding(LINE_BYTES_MAX + 1), 0, 1),
            ("two too long, one in order", padding(3 * LINE_BYTES_MAX).repeat(2) + &line("a"), 1, 2),
            ("a line of the access log", line("a").replacen('{', "{\"level\":\"warn\",", 1), 0, 1),
        ];
        for (name, text, records, skipped) in rows {
            let mut found = 0;
            let counted = read_stream(&mut text.as_bytes(), |_, _| {
                found += 1;
                Ok(())
            });
            assert_eq!((found, counted.unwrap()), (records, skipped), "{name}");
        }
        let mut not_utf8 = line("a").into_bytes();
        not_utf8[10] = 0xff;
        assert_eq!(read_stream(&mut &not_utf8[..], |_, _| Ok(())).unwrap(), 1);
    }
}
