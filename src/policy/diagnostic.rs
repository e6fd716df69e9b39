//! What is wrong with the files an operator wrote: every finding with its place, and how findings are shown.
//!
//! Loading never stops at the first finding: each step adds to one [`Diagnostics`] and the operator sees them all at
//! once. None of this is on a delivery's way; it runs when policies are loaded, reloaded or checked.
//!
//! **Invariant:** the text of a secret never stands in a [`Diagnostic`] nor in [`Files`], and what somebody wrote where
//! a secret might have been pasted (see [`Diagnostics::hide`]), or into a URL as a user or password, is masked when its
//! line is shown.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anstyle::{AnsiColor, Style};

use crate::text::{is_deceptive, userinfo};
use crate::whole_file::{self, ReadFault};

/// How many findings are kept; the rest are counted.
pub const DIAGNOSTICS_MAX: usize = 200;

/// The largest file that is read as text, in bytes.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// Whether a finding stops the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file cannot be used as it is.
    Error,
    /// It can, but somebody should look.
    Warning,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it stops the load.
    pub severity: Severity,
    /// The file it is about.
    pub file: Arc<Path>,
    /// The bytes of the file it is about; absent: the file as a whole.
    pub span: Option<Range<usize>>,
    /// Lowercase, no full stop, quotes the offender.
    pub message: String,
    /// The next step, where there is one.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// A finding that stops the load.
    #[must_use]
    pub fn error(file: &Arc<Path>, span: impl Into<Option<Range<usize>>>, message: impl Into<String>) -> Self {
        let (span, message) = (span.into(), message.into());
        Self { severity: Severity::Error, file: Arc::clone(file), span, message, hint: None }
    }

    /// A finding that does not.
    #[must_use]
    pub fn warning(file: &Arc<Path>, span: impl Into<Option<Range<usize>>>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(file, span, message) }
    }

    /// Adds the next step; an absent hint leaves the finding as it is.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.hint = hint.into().or(self.hint);
        self
    }
}

/// All findings of one load.
#[derive(Debug, Default)]
pub struct Diagnostics {
    kept: Vec<Diagnostic>,
    errors: usize,
    warnings: usize,
    hidden: Vec<(Arc<Path>, Range<usize>)>,
}

impl Diagnostics {
    /// Adds a finding; past [`DIAGNOSTICS_MAX`] it is only counted.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        match diagnostic.severity {
            Severity::Error => self.errors += 1,
            Severity::Warning => self.warnings += 1,
        }
        if self.kept.len() < DIAGNOSTICS_MAX {
            self.kept.push(diagnostic);
        }
    }

    /// Takes over all that another collector found.
    pub fn append(&mut self, other: Self) {
        self.errors += other.errors;
        self.warnings += other.warnings;
        self.hidden.extend(other.hidden);
        let room = DIAGNOSTICS_MAX.saturating_sub(self.kept.len());
        self.kept.extend(other.kept.into_iter().take(room));
    }

    /// Masks these bytes of a file wherever a line of it is shown: a secret may have been pasted there.
    pub fn hide(&mut self, file: &Arc<Path>, span: Range<usize>) {
        self.hidden.push((Arc::clone(file), span));
    }

    /// Whether anything stops the load.
    #[must_use]
    pub const fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// How many errors there are, those past [`DIAGNOSTICS_MAX`] included.
    #[must_use]
    pub const fn errors(&self) -> usize {
        self.errors
    }

    /// How many warnings there are, those past [`DIAGNOSTICS_MAX`] included.
    #[must_use]
    pub const fn warnings(&self) -> usize {
        self.warnings
    }

    /// Whether nothing was found.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.errors == 0 && self.warnings == 0
    }

    /// The kept findings by file, place, and severity.
    #[must_use]
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let start = |found: &Diagnostic| found.span.as_ref().map(|span| span.start);
        let mut list: Vec<_> = self.kept.iter().collect();
        list.sort_by(|a, b| (&a.file, start(a), a.severity).cmp(&(&b.file, start(b), b.severity)));
        list
    }

    /// One line: `3 errors, 1 warning`, or `no errors`.
    #[must_use]
    pub fn summary(&self) -> String {
        let count = |number: usize, noun: &str| match number {
            0 => None,
            1 => Some(format!("1 {noun}")),
            _ => Some(format!("{number} {noun}s")),
        };
        let parts: Vec<_> =
            [count(self.errors, "error"), count(self.warnings, "warning")].into_iter().flatten().collect();
        if parts.is_empty() { "no errors".to_owned() } else { parts.join(", ") }
    }

    /// The whole report, ready to be written: every finding with its line, sorted, without the summary.
    #[must_use]
    pub const fn report<'a>(&'a self, files: &'a Files, styles: &'a Styles) -> Report<'a> {
        Report { diagnostics: self, files, styles }
    }

    /// What of one stretch of a file is to be masked.
    fn hidden_in(&self, file: &Path, stretch: &Range<usize>) -> Vec<Range<usize>> {
        let here = |span: &Range<usize>| span.start < stretch.end && stretch.start < span.end;
        let spans = self.hidden.iter().filter(|(hidden_in, span)| here(span) && **hidden_in == *file);
        spans.map(|(_, span)| span.clone()).collect()
    }
}

/// A text file that findings may point into.
#[derive(Debug)]
pub struct SourceFile {
    /// The path as it is shown.
    pub path: Arc<Path>,
    /// The whole text.
    pub text: String,
}

/// The text files of one load, by path.
///
/// **Invariant:** files that hold secrets or keys are never added.
#[derive(Debug, Default)]
pub struct Files {
    files: HashMap<Arc<Path>, Arc<SourceFile>>,
}

impl Files {
    /// Keeps a text under a path; the later text of a path wins.
    pub fn add(&mut self, path: impl Into<PathBuf>, text: impl Into<String>) -> Arc<SourceFile> {
        let file = Arc::new(SourceFile { path: Arc::from(path.into()), text: text.into() });
        self.files.insert(Arc::clone(&file.path), Arc::clone(&file));
        file
    }

    /// Reads and keeps a text file; what stands in the way becomes a finding that names the file.
    pub fn read(&mut self, path: impl Into<PathBuf>, diagnostics: &mut Diagnostics) -> Option<Arc<SourceFile>> {
        let path = path.into();
        match read_text(&path) {
            Ok(text) => Some(self.add(path, text)),
            Err(message) => {
                diagnostics.push(Diagnostic::error(&Arc::from(path), None, message));
                None
            }
        }
    }

    /// The text kept under a path.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<&SourceFile> {
        self.files.get(path).map(Arc::as_ref)
    }
}

fn read_text(path: &Path) -> Result<String, String> {
    let bytes = whole_file::read(path, FILE_BYTES_MAX as u64).map_err(|fault| match fault {
        ReadFault::System(_) => format!("cannot be read: {fault}"),
        ReadFault::NotRegular => "is not a regular file".to_owned(),
        ReadFault::TooLarge(_) => too_large(),
    })?;
    String::from_utf8(bytes).map_err(|error| format!("is not UTF-8 from byte {} on", error.utf8_error().valid_up_to()))
}

/// What is said of a file over [`FILE_BYTES_MAX`].
pub(super) fn too_large() -> String {
    format!("is larger than {FILE_BYTES_MAX} bytes")
}

/// Colours of a report; the writer decides which.
#[derive(Debug, Clone, Copy)]
pub struct Styles {
    location: Style,
    error: Style,
    warning: Style,
    gutter: Style,
    hint: Style,
}

impl Styles {
    /// No escape sequences at all.
    #[must_use]
    pub const fn plain() -> Self {
        let plain = Style::new();
        Self { location: plain, error: plain, warning: plain, gutter: plain, hint: plain }
    }

    /// For a terminal.
    #[must_use]
    pub const fn coloured() -> Self {
        Self {
            location: Style::new().bold(),
            error: AnsiColor::Red.on_default().bold(),
            warning: AnsiColor::Yellow.on_default().bold(),
            gutter: AnsiColor::Blue.on_default(),
            hint: AnsiColor::Cyan.on_default(),
        }
    }
}

/// Findings with the lines they point at; see [`Diagnostics::report`].
#[derive(Debug)]
pub struct Report<'a> {
    diagnostics: &'a Diagnostics,
    files: &'a Files,
    styles: &'a Styles,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (found, excerpt) in self.findings() {
            self.write_one(out, found, excerpt.as_ref())?;
        }
        match self.left_out() {
            0 => Ok(()),
            more => writeln!(out, "… and {more} more"),
        }
    }
}

impl<'a> Report<'a> {
    /// One after the other, with the line that it points at.
    pub fn findings(&self) -> impl Iterator<Item = (&'a Diagnostic, Option<Excerpt>)> {
        self.diagnostics.sorted().into_iter().map(|found| {
            let place = found.span.as_ref().and_then(|span| Some((self.files.get(&found.file)?, span)));
            (found, place.map(|(file, span)| self.excerpt(file, span)))
        })
    }

    /// How many there were past [`DIAGNOSTICS_MAX`].
    #[must_use]
    pub const fn left_out(&self) -> usize {
        (self.diagnostics.errors + self.diagnostics.warnings).saturating_sub(self.diagnostics.kept.len())
    }

    fn write_one(&self, out: &mut fmt::Formatter<'_>, found: &Diagnostic, excerpt: Option<&Excerpt>) -> fmt::Result {
        let Styles { location, error, warning, gutter, hint } = *self.styles;
        let (style, word) = match found.severity {
            Severity::Error => (error, "error"),
            Severity::Warning => (warning, "warning"),
        };
        write!(out, "{location}{}", found.file.display())?;
        if let Some(excerpt) = excerpt {
            write!(out, ":{}:{}", excerpt.line, excerpt.column)?;
        }
        writeln!(out, ":{location:#} {style}{word}:{style:#} {}", found.message)?;
        if let Some(excerpt) = excerpt {
            let [(number, text), (margin, carets)] = excerpt.lines();
            writeln!(out, "{gutter}{number}{gutter:#}{text}")?;
            writeln!(out, "{gutter}{margin}{gutter:#}{style}{carets}{style:#}")?;
        }
        match &found.hint {
            Some(text) => writeln!(out, "{hint}hint:{hint:#} {text}"),
            None => Ok(()),
        }
    }

    fn excerpt(&self, file: &SourceFile, span: &Range<usize>) -> Excerpt {
        let text = file.text.as_str();
        let start = text.floor_char_boundary(span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        // A span may run over many lines; the caret run ends with the first.
        let end = text.ceil_char_boundary(span.end).clamp(start, line_end);

        let from = text[line_start..start].char_indices().rev().nth(CONTEXT_BEFORE - 1).map_or(0, |(offset, _)| offset);
        let from = line_start + from;

        let mut hidden = self.diagnostics.hidden_in(&file.path, &(line_start..line_end));
        hidden.extend(users(&text[line_start..line_end]).map(|span| line_start + span.start..line_start + span.end));
        let before: Vec<_> = shown(text, from..start, &hidden).collect();
        let mut rest = shown(text, start..line_end, &hidden);
        let carets = shown(text, start..end, &hidden).take(CONTEXT_UNDER).count().max(1);

        let mut line: String = if from > line_start { "…".to_owned() } else { String::new() };
        line.extend(&before);
        line.extend(rest.by_ref().take(CONTEXT_UNDER + CONTEXT_AFTER));
        if rest.next().is_some() {
            line.push('…');
        }
        Excerpt {
            line: text[..line_start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            indent: before.len() + usize::from(from > line_start),
            text: line.trim_end().to_owned(),
            carets,
        }
    }
}

/// The users and passwords of the URLs in a line, each of which stands in quotes or has the rest of the line to itself.
fn users(line: &str) -> impl Iterator<Item = Range<usize>> {
    let mut end = 0;
    line.split_inclusive(['"', '\'']).filter_map(move |part| {
        let start = end;
        end += part.len();
        userinfo(part).map(|span| start + span.start..start + span.end)
    })
}

/// The characters of one line as a terminal may see them: each takes one column, so that carets stand right.
fn shown<'t>(text: &'t str, range: Range<usize>, hidden: &'t [Range<usize>]) -> impl Iterator<Item = char> + 't {
    let start = range.start;
    text[range].char_indices().flat_map(move |(offset, character)| {
        let (shown, columns) = match character {
            '\t' => (' ', TAB_COLUMNS),
            '\r' => (' ', 1),
            _ if hidden.iter().any(|span| span.contains(&(start + offset))) => ('*', 1),
            _ if is_deceptive(character) => ('\u{fffd}', 1),
            _ => (character, 1),
        };
        std::iter::repeat_n(shown, columns)
    })
}

/// One line of a file with the place of a caret run, in characters.
#[derive(Debug)]
pub struct Excerpt {
    /// The line's number, from 1.
    pub line: usize,
    /// The character's in it, from 1.
    pub column: usize,
    text: String,
    indent: usize,
    carets: usize,
}

impl Excerpt {
    /// The line and the carets below it, each behind its margin.
    #[must_use]
    pub fn lines(&self) -> [(String, String); 2] {
        let Self { line, text, indent, carets, .. } = self;
        let carets = format!(" {:indent$}{:^<carets$}", "", "");
        [(format!("{line:>5} |"), format!(" {text}")), ("      |".to_owned(), carets)]
    }
}

const TAB_COLUMNS: usize = 4;
const CONTEXT_BEFORE: usize = 60;
const CONTEXT_UNDER: usize = 60;
const CONTEXT_AFTER: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str, span: Range<usize>, hidden: Option<Range<usize>>) -> String {
        let mut files = Files::default();
        let file = files.add("a.toml", text);
        let mut found = Diagnostics::default();
        found.push(Diagnostic::error(&file.path, span, "wrong"));
        if let Some(hidden) = hidden {
            found.hide(&file.path, hidden);
        }
        found.report(&files, &Styles::plain()).to_string()
    }

    #[test]
    fn carets_stand_under_the_span() {
        let rows = [
            ("plain", "a = 1", 4..5, "a.toml:1:5: error: wrong\n    1 | a = 1\n      |     ^\n"),
            (
                "second line",
                "x\nkey = 'v'\ny",
                8..11,
                "a.toml:2:7: error: wrong\n    2 | key = 'v'\n      |       ^^^\n",
            ),
            ("tab", "\ta = 1", 5..6, "a.toml:1:6: error: wrong\n    1 |     a = 1\n      |         ^\n"),
            ("multibyte", "é = \"ü\" x", 5..9, "a.toml:1:5: error: wrong\n    1 | é = \"ü\" x\n      |     ^^^\n"),
            ("inside a character", "é = 1", 1..2, "a.toml:1:1: error: wrong\n    1 | é = 1\n      | ^\n"),
            ("empty span", "ab", 1..1, "a.toml:1:2: error: wrong\n    1 | ab\n      |  ^\n"),
            ("end of file", "ab\n", 3..3, "a.toml:2:1: error: wrong\n    2 | \n      | ^\n"),
            ("past the end", "ab", 90..99, "a.toml:1:3: error: wrong\n    1 | ab\n      |   ^\n"),
            ("over lines", "a = [\n1]", 4..8, "a.toml:1:5: error: wrong\n    1 | a = [\n      |     ^\n"),
            ("crlf", "a = 1\r\n", 4..5, "a.toml:1:5: error: wrong\n    1 | a = 1\n      |     ^\n"),
            ("escape", "a\u{1b}[2J", 0..1, "a.toml:1:1: error: wrong\n    1 | a\u{fffd}[2J\n      | ^\n"),
            (
                "what hides or turns",
                "a\u{ad}\u{61c}\u{2028}\u{2064}\u{e0041}b",
                15..16,
                "a.toml:1:7: error: wrong\n    1 | a\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}b\n      |       ^\n",
            ),
            ("empty file", "", 0..0, "a.toml:1:1: error: wrong\n    1 | \n      | ^\n"),
        ];
        for (name, text, span, expected) in rows {
            assert_eq!(show(text, span, None), expected, "{name}");
        }
    }

    #[test]
    fn long_lines_are_cut_around_the_span() {
        let text = format!("{}{}{}", "a".repeat(500), "b".repeat(100), "c".repeat(500));
        let shown = show(&text, 500..600, None);
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines[0], "a.toml:1:501: error: wrong");
        assert_eq!(lines[1], format!("    1 | …{}{}…", "a".repeat(60), "b".repeat(100)));
        assert_eq!(lines[2], format!("      | {}{}", " ".repeat(61), "^".repeat(60)));
    }

    #[test]
    fn hidden_bytes_are_masked_wherever_their_line_is_shown() {
        assert_eq!(
            show("secret = \"hunter2\"", 0..6, Some(9..18)),
            "a.toml:1:1: error: wrong\n    1 | secret = *********\n      | ^^^^^^\n"
        );
    }

    #[test]
    fn users_and_passwords_of_urls_are_masked_whatever_their_line_is_shown_for() {
        let rows = [
            ("to = 'http://user:hunter2@a/@b'", "to = 'http://***************@b'"),
            ("to = [\"http://a/\", \"https://hunter2@b/\"]", "to = [\"http://a/\", \"https://*******@b/\"]"),
            ("to = 'user:hunter2@a'", "to = '************@a'"),
            ("to = http://user:hunter2@a", "to = http://************@a"),
            ("to = 'http://a:80/' # 'me@b'", "to = 'http://a:80/' # 'me@b'"),
        ];
        for (line, expected) in rows {
            assert_eq!(
                show(&format!("x\n{line}\ny"), 2..4, None).lines().nth(1),
                Some(&*format!("    2 | {expected}"))
            );
        }
    }

    #[test]
    fn findings_are_sorted_counted_and_bounded() {
        let mut files = Files::default();
        let (b, a) = (files.add("b.toml", "x"), files.add("a.toml", "xyz"));
        let mut found = Diagnostics::default();
        found.push(Diagnostic::error(&b.path, 0..1, "third"));
        found.push(Diagnostic::warning(&a.path, 1..2, "second").hint("look".to_owned()));
        found.push(Diagnostic::error(&a.path, None, "first"));
        let order: Vec<_> = found.sorted().iter().map(|found| found.message.as_str()).collect();
        assert_eq!(order, ["first", "second", "third"]);
        assert_eq!(found.summary(), "2 errors, 1 warning");
        assert!(found.report(&files, &Styles::coloured()).to_string().contains("\u{1b}["));

        let mut many = Diagnostics::default();
        for _ in 0..=DIAGNOSTICS_MAX {
            many.push(Diagnostic::error(&a.path, None, "again"));
        }
        found.append(many);
        assert_eq!((found.sorted().len(), found.errors()), (DIAGNOSTICS_MAX, DIAGNOSTICS_MAX + 3));
        assert!(found.report(&files, &Styles::plain()).to_string().ends_with("… and 4 more\n"));
        assert_eq!(Diagnostics::default().summary(), "no errors");
    }

    #[test]
    fn a_file_that_cannot_be_used_is_refused_by_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("limit"), vec![b'#'; FILE_BYTES_MAX]).expect("written");
        std::fs::write(path("over"), vec![b'#'; FILE_BYTES_MAX + 1]).expect("written");
        std::fs::write(path("latin"), b"ok\xff").expect("written");
        let rows = [
            ("limit", None),
            ("over", Some("is larger than 1048576 bytes")),
            ("latin", Some("is not UTF-8 from byte 2 on")),
            ("absent", Some("cannot be read: entity not found")),
            ("", Some("is not a regular file")),
        ];
        for (name, expected) in rows {
            let mut found = Diagnostics::default();
            let file = Files::default().read(path(name), &mut found);
            assert_eq!(file.is_some(), expected.is_none(), "{name}");
            assert_eq!(found.sorted().first().map(|found| found.message.as_str()), expected, "{name}");
        }
    }
}
