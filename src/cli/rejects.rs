//! `hookward rejects`: lists, filters, sums up and follows the rejected log.
//!
//! It only reads files; the gateway need not run. Records may come from another version or another machine, so nothing in
//! them is trusted.
//!
//! **Invariant:** no control character of a log reaches the terminal.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anstyle::{AnsiColor, Style};
use clap::Args;

use crate::reason::{Level, Reason};
use crate::record::{Colour, Effect, Reader, Record, read_stream, text};

/// How often `--follow` looks for more.
const POLL_EVERY: Duration = Duration::from_millis(250);
/// Between two columns.
const GAP: &str = "  ";
/// Most characters of a cell in a table, before the terminal's width is looked at.
const CELL_CHARS_MAX: usize = 200;
/// A terminal with less room than this for detail and hint gets them on a line of their own.
const TAIL_CHARS_MIN: usize = 60;

/// What to show of the rejected log.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Read this log instead of the configuration's; "-" is standard input
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Only this source
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<String>,
    /// Only this reason, such as `credential_mismatch`
    #[arg(long, value_name = "REASON", value_parser = reason)]
    pub reason: Option<Reason>,
    /// Only what is younger than this, such as 90s, 15m, 1h or 2d
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub since: Option<Duration>,
    /// At most so many records, the newest
    #[arg(long, value_name = "N", default_value_t = 50, conflicts_with = "summary")]
    pub limit: usize,
    /// Count by source and reason
    #[arg(long)]
    pub summary: bool,
    /// Go on and show new records as they come
    #[arg(long, conflicts_with = "summary")]
    pub follow: bool,
    /// One JSON object a line instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Shows what was asked for. `log_file` is the configuration's rejected log.
///
/// With `--follow` it ends when `out` is closed.
///
/// # Errors
/// There is no log, it cannot be read, or `out` cannot be written.
pub fn run(arguments: &Arguments, log_file: &Path, out: &mut impl Write) -> io::Result<()> {
    let view = View { width: terminal_width(), colour: Colour::auto(), now: unix_micros() };
    match show(arguments, log_file, &view, out) {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

fn terminal_width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    terminal_size::terminal_size().map(|(width, _)| usize::from(width.0))
}

fn unix_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// How it is shown.
struct View {
    /// Characters of a terminal's line; `None`: lines are not cut.
    width: Option<usize>,
    colour: Colour,
    /// Unix microseconds.
    now: i64,
}

fn show(arguments: &Arguments, log_file: &Path, view: &View, out: &mut impl Write) -> io::Result<()> {
    let filter = Filter::new(arguments, view.now);
    let mut found = Found::default();
    let mut collect = |record: Record, line: &str| {
        if filter.admits(&record) {
            found.add(arguments, record, line);
        }
        Ok(())
    };
    let path = arguments.file.as_deref().unwrap_or(log_file);
    if path == Path::new("-") {
        if arguments.file.is_none() {
            return Err(io::Error::other("the rejected log goes to standard output; pipe it into --file -"));
        }
        let skipped = read_stream(&mut io::stdin().lock(), collect)?;
        return found.show(arguments, view, skipped, out);
    }
    let mut reader = Reader::new(path);
    let exists = reader.read(&mut collect)?;
    if !exists && !arguments.follow {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("no rejected log at {}", path.display())));
    }
    if !arguments.follow {
        return found.show(arguments, view, reader.skipped(), out);
    }
    found.show(arguments, view, 0, out)?;
    loop {
        follow(&mut reader, &filter, arguments, view, out)?;
        thread::sleep(POLL_EVERY);
    }
}

/// Shows what came since the last time.
fn follow(
    reader: &mut Reader,
    filter: &Filter<'_>,
    arguments: &Arguments,
    view: &View,
    out: &mut impl Write,
) -> io::Result<()> {
    reader.read(|record, line| {
        if !filter.admits(&record) {
            return Ok(());
        }
        if arguments.json {
            return show_line_json(line, out);
        }
        let mut table = Table::followed();
        table.rows.push(record_cells(&record));
        table.show(view, out)
    })?;
    out.flush()
}

/// Which records are wanted.
struct Filter<'a> {
    source: Option<&'a str>,
    reason: Option<&'static str>,
    /// The oldest time, written like a record's so that they compare as text.
    since: Option<String>,
}

impl<'a> Filter<'a> {
    fn new(arguments: &'a Arguments, now: i64) -> Self {
        let since = arguments.since.map(|span| {
            let span = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
            let mut since = Vec::with_capacity(text::RFC3339_LENGTH);
            text::push_rfc3339(&mut since, now.saturating_sub(span).max(0));
            String::from_utf8_lossy(&since).into_owned()
        });
        Self { source: arguments.source.as_deref(), reason: arguments.reason.map(Reason::code), since }
    }

    fn admits(&self, record: &Record) -> bool {
        self.source.is_none_or(|source| record.source.as_deref() == Some(source))
            && self.reason.is_none_or(|reason| record.reason == reason)
            && self.since.as_ref().is_none_or(|since| record.ts >= *since)
    }
}

/// What was read and is wanted, as far as it will be shown.
#[derive(Default)]
struct Found {
    newest: VecDeque<(Record, String)>,
    sums: BTreeMap<Key, Sum>,
}

/// Source, reason, and whether it refused.
type Key = (Option<String>, String, Effect);

/// All findings of one source and reason.
struct Sum {
    count: u64,
    first: String,
    last: String,
    blame: Option<String>,
    hint: Option<String>,
}

impl Found {
    fn add(&mut self, arguments: &Arguments, record: Record, line: &str) {
        if arguments.summary {
            return self.sum_up(record);
        }
        self.newest.push_back((record, line.to_owned()));
        if self.newest.len() > arguments.limit {
            self.newest.pop_front();
        }
    }

    fn sum_up(&mut self, record: Record) {
        let (count, effect) = (record.findings(), record.effect());
        let key = (record.source, record.reason, effect);
        let sum = self.sums.entry(key).or_insert_with(|| Sum::starting(record.ts.clone(), record.blame));
        sum.count = sum.count.saturating_add(count);
        // Workers write in turns, so neighbouring records can stand the other way round.
        if record.ts < sum.first {
            sum.first.clone_from(&record.ts);
        }
        if record.ts >= sum.last {
            sum.last = record.ts;
            sum.hint = record.hint;
        }
    }

    fn show(mut self, arguments: &Arguments, view: &View, skipped: u64, out: &mut impl Write) -> io::Result<()> {
        self.newest.make_contiguous().sort_by(|(a, _), (b, _)| a.ts.cmp(&b.ts));
        match (arguments.summary, arguments.json) {
            (true, true) => self.sums.iter().try_for_each(|(key, sum)| show_sum_json(key, sum, out))?,
            (false, true) => self.newest.iter().try_for_each(|(_, line)| show_line_json(line, out))?,
            (true, false) => self.sums_table().show(view, out)?,
            (false, false) => self.newest_table(arguments).show(view, out)?,
        }
        if skipped > 0 && !arguments.json {
            writeln!(out, "({skipped} skipped: not records of a rejected log)")?;
        }
        out.flush()
    }

    fn newest_table(&self, arguments: &Arguments) -> Table {
        let mut table = if arguments.follow { Table::followed() } else { Table::new(&LIST, 2) };
        table.rows.extend(self.newest.iter().map(|(record, _)| record_cells(record)));
        table
    }

    fn sums_table(self) -> Table {
        let mut sums: Vec<_> = self.sums.into_iter().collect();
        // Stable: equal counts stay in the order of their names.
        sums.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.count));
        let mut table = Table::new(&SUMMARY, 1);
        table.rows.extend(sums.iter().map(|((source, reason, effect), sum)| {
            vec![
                Cell::plain(&sum.count.to_string()),
                Cell::plain(source.as_deref().unwrap_or("-")),
                reason_cell(reason, reason, *effect),
                Cell::plain(sum.blame.as_deref().unwrap_or("-")),
                Cell::plain(&short_time(&sum.first)),
                Cell::plain(&short_time(&sum.last)),
                Cell { style: Style::new().dimmed(), ..Cell::plain(sum.hint.as_deref().unwrap_or("-")) },
            ]
        }));
        table
    }
}

impl Sum {
    const fn starting(first: String, blame: Option<String>) -> Self {
        Self { count: 0, first, last: String::new(), blame, hint: None }
    }
}

fn show_line_json(line: &str, out: &mut impl Write) -> io::Result<()> {
    let mut safe = Vec::with_capacity(line.len() + 1);
    text::push_json_line(&mut safe, line);
    safe.push(b'\n');
    out.write_all(&safe)
}

fn show_sum_json((source, reason, effect): &Key, sum: &Sum, out: &mut impl Write) -> io::Result<()> {
    let Sum { count, first, last, blame, hint } = sum;
    let object = serde_json::json!({
        "source": source, "reason": reason, "effect": effect.name(), "blame": blame, "count": count, "first": first, "last": last, "hint": hint,
    });
    show_line_json(&object.to_string(), out)
}

const LIST: [&str; 8] = ["time", "source", "reason", "status", "peer", "event", "detail", "hint"];
const SUMMARY: [&str; 7] = ["count", "source", "reason", "blame", "first", "last", "hint"];
/// Widths that most values of [`LIST`] fit: rows that come one by one cannot be measured together.
const FOLLOWED_CHARS: [usize; 6] = [14, 12, 20, 6, 15, 16];

/// Rows whose columns stand below each other; the last ones, the tail, take what is left of the line.
struct Table {
    header: Option<&'static [&'static str]>,
    /// Widths of the columns before the tail.
    widths: Vec<usize>,
    rows: Vec<Vec<Cell>>,
}

struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// Escaped and cut.
    fn plain(text: &str) -> Self {
        let mut safe = Vec::new();
        text::push_plain(&mut safe, text, CELL_CHARS_MAX);
        Self { text: String::from_utf8_lossy(&safe).into_owned(), style: Style::new() }
    }

    fn chars(&self) -> usize {
        self.text.chars().count()
    }
}

fn record_cells(record: &Record) -> Vec<Cell> {
    let or_dash = |text: &Option<String>| Cell::plain(text.as_deref().unwrap_or("-"));
    let reason = match record.suppressed {
        0 => record.reason.clone(),
        more => format!("{} +{more}", record.reason),
    };
    vec![
        Cell::plain(&short_time(&record.ts)),
        or_dash(&record.source),
        reason_cell(&record.reason, &reason, record.effect()),
        Cell::plain(&record.status.map_or("-".to_owned(), |status| status.to_string())),
        or_dash(&record.peer),
        or_dash(&record.event),
        Cell::plain(&record.facts()),
        Cell { style: Style::new().dimmed(), ..or_dash(&record.hint) },
    ]
}

/// `11-23 14:03:05` of `2026-11-23T14:03:05.123456Z`; anything else as it is.
fn short_time(ts: &str) -> String {
    match (ts.get(5..10), ts.get(10..11), ts.get(11..19)) {
        (Some(day), Some("T"), Some(clock)) => format!("{day} {clock}"),
        _ => ts.to_owned(),
    }
}

/// The reason, and that nothing was refused where it was only monitored.
fn reason_cell(reason: &str, shown: &str, effect: Effect) -> Cell {
    match effect {
        Effect::Refused => Cell { style: style_of(reason), ..Cell::plain(shown) },
        Effect::Monitored => Cell::plain(&format!("{shown} (monitored)")),
    }
}

fn style_of(reason: &str) -> Style {
    match Reason::from_code(reason).map(|reason| reason.row().level) {
        Some(Level::Error) => AnsiColor::Red.on_default(),
        Some(Level::Warn) => AnsiColor::Yellow.on_default(),
        Some(Level::Info) | None => Style::new(),
    }
}

impl Table {
    fn new(header: &'static [&'static str], tail: usize) -> Self {
        let fixed = &header[..header.len() - tail];
        Self { header: Some(header), widths: fixed.iter().map(|name| name.len()).collect(), rows: Vec::new() }
    }

    fn followed() -> Self {
        Self { header: None, widths: FOLLOWED_CHARS.to_vec(), rows: Vec::new() }
    }

    fn show(&self, view: &View, out: &mut impl Write) -> io::Result<()> {
        if self.rows.is_empty() {
            return if self.header.is_some() { writeln!(out, "no rejected deliveries") } else { Ok(()) };
        }
        let mut widths = self.widths.clone();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars());
            }
        }
        let bold = Style::new().bold();
        let header = self
            .header
            .map(|names| names.iter().map(|name| Cell { text: (*name).to_owned(), style: bold }).collect::<Vec<_>>());
        let layout = Layout::of(&widths, &self.rows, view);
        header.iter().chain(&self.rows).try_for_each(|row| layout.show(row, view, out))
    }
}

/// How the cells of all rows share a line.
struct Layout<'t> {
    widths: &'t [usize],
    tail: Tail,
}

enum Tail {
    /// Behind the columns: the cells before the last have this width, the last takes what is left.
    Same { width: usize, left: usize },
    /// On a line of its own.
    Below { width: usize },
}

impl<'t> Layout<'t> {
    fn of(widths: &'t [usize], rows: &[Vec<Cell>], view: &View) -> Self {
        let tail = rows.iter().filter_map(|row| row.get(widths.len()..));
        let longest = tail.filter(|tail| tail.len() > 1).map(|tail| tail[0].chars()).max().unwrap_or(0);
        let Some(line) = view.width else {
            return Self { widths, tail: Tail::Same { width: longest, left: usize::MAX } };
        };
        let left = line.saturating_sub(widths.iter().sum::<usize>() + GAP.len() * widths.len());
        if left < TAIL_CHARS_MIN {
            return Self { widths, tail: Tail::Below { width: line.saturating_sub(2 * GAP.len()) } };
        }
        Self { widths, tail: Tail::Same { width: longest.min(left / 2), left } }
    }

    fn show(&self, row: &[Cell], view: &View, out: &mut impl Write) -> io::Result<()> {
        let (fixed, tail) = row.split_at(self.widths.len().min(row.len()));
        let mut line = Line { out, left: view.width.unwrap_or(usize::MAX), colour: view.colour };
        for (cell, width) in fixed.iter().zip(self.widths) {
            line.cell(cell, *width)?;
        }
        match self.tail {
            Tail::Same { width, left } => {
                line.left = left;
                if let [detail, _] = tail {
                    line.cell(detail, width)?;
                }
            }
            Tail::Below { width } => {
                write!(line.out, "\n{GAP}{GAP}")?;
                line.left = width;
                if let [detail, _] = tail
                    && !detail.text.is_empty()
                {
                    line.cell(detail, detail.chars())?;
                }
            }
        }
        if let Some(last) = tail.last() {
            line.last_cell(last, line.left)?;
        }
        writeln!(out)
    }
}

/// One line of a table and the room that is left on it.
struct Line<'o, W> {
    out: &'o mut W,
    left: usize,
    colour: Colour,
}

impl<W: Write> Line<'_, W> {
    /// Writes a cell, filled up to its width, and the gap behind it.
    fn cell(&mut self, cell: &Cell, width: usize) -> io::Result<()> {
        let width = width.min(self.left);
        let written = self.last_cell(cell, width)?;
        self.left = self.left.saturating_sub(width).saturating_sub(GAP.len());
        write!(self.out, "{:behind$}", "", behind = width - written + GAP.len())
    }

    /// Writes a cell alone; returns its characters.
    fn last_cell(&mut self, cell: &Cell, chars_max: usize) -> io::Result<usize> {
        let text = cut(&cell.text, chars_max);
        match self.colour {
            Colour::On => write!(self.out, "{}{text}{:#}", cell.style, cell.style)?,
            Colour::Off => write!(self.out, "{text}")?,
        }
        Ok(text.chars().count())
    }
}

fn cut(text: &str, chars_max: usize) -> std::borrow::Cow<'_, str> {
    if text.chars().count() <= chars_max {
        return text.into();
    }
    let mut short: String = text.chars().take(chars_max.saturating_sub(1)).collect();
    if chars_max > 0 {
        short.push_str(text::CUT);
    }
    short.into()
}

fn reason(code: &str) -> Result<Reason, String> {
    Reason::from_code(code).ok_or_else(|| format!("unknown reason \"{code}\", see the reason table"))
}

/// A number and its unit.
fn span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is no span of time, expected a number and s, m, h or d, such as 15m");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::fs;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        arguments: Arguments,
    }

    /// 2026-11-23T14:03:05.123456Z
    const NOW: i64 = 1_795_442_585_123_456;

    const PLAIN: View = View { width: None, colour: Colour::Off, now: NOW };

    fn line(clock: &str, source: &str, reason: &str, more: &str) -> String {
        format!(
            "{{\"ts\":\"2026-11-23T{clock}.000000Z\",\"delivery\":\"d\",\"source\":{source},\"reason\":\"{reason}\",\
             \"status\":401,\"blame\":\"sender\",\"peer\":\"203.0.113.9\",\"detail\":{{\"offset\":7}},\
             \"hint\":\"look\"{more}}}\n"
        )
    }

    /// An older file and the current one, with a line that is no record.
    fn log() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rejected.jsonl");
        let older = line("13:00:00", "\"github\"", "credential_mismatch", "")
            + &line("13:30:00", "\"stripe\"", "timestamp_stale", "")
            + "torn";
        let newer = line("14:00:01", "\"github\"", "credential_mismatch", ",\"suppressed\":31")
            + &line("14:00:00", "null", "unknown_source", ",\"event\":\"\\u001b[2J\u{202e}\"");
        fs::write(directory.path().join("rejected.jsonl.1"), older).unwrap();
        fs::write(&path, newer).unwrap();
        (directory, path)
    }

    fn shown(arguments: &str, view: &View) -> String {
        let (_directory, path) = log();
        let words = std::iter::once("rejects").chain(arguments.split_whitespace());
        let arguments = Command::try_parse_from(words).unwrap().arguments;
        let mut out = Vec::new();
        show(&arguments, &path, view, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn records_of_all_files_are_listed_newest_last() {
        let expected = "\
time            source  reason                   status  peer         event              detail    hint
11-23 13:00:00  github  credential_mismatch      401     203.0.113.9  -                  offset=7  look
11-23 13:30:00  stripe  timestamp_stale          401     203.0.113.9  -                  offset=7  look
11-23 14:00:00  -       unknown_source           401     203.0.113.9  \\u{1b}[2J\\u{202e}  offset=7  look
11-23 14:00:01  github  credential_mismatch +31  401     203.0.113.9  -                  offset=7  look
(1 skipped: not records of a rejected log)
";
        assert_eq!(shown("", &PLAIN), expected);
    }

    #[test]
    fn filters_and_the_limit_choose_records() {
        let rows = [
            ("", vec!["13:00:00", "13:30:00", "14:00:00", "14:00:01"]),
            ("--source github", vec!["13:00:00", "14:00:01"]),
            ("--source gitlab", vec![]),
            ("--reason timestamp_stale", vec!["13:30:00"]),
            ("--source github --reason timestamp_stale", vec![]),
            ("--since 33m", vec!["14:00:00", "14:00:01"]),
            ("--since 34m", vec!["13:30:00", "14:00:00", "14:00:01"]),
            ("--since 99999999d", vec!["13:00:00", "13:30:00", "14:00:00", "14:00:01"]),
            ("--limit 0", vec![]),
            ("--limit 1", vec!["14:00:00"]),
            ("--limit 4", vec!["13:00:00", "13:30:00", "14:00:00", "14:00:01"]),
        ];
        for (arguments, times) in rows {
            let list = shown(arguments, &PLAIN);
            let found: Vec<_> = list.lines().filter_map(|line| line.strip_prefix("11-23 ")?.get(..8)).collect();
            assert_eq!(found, times, "{arguments}");
        }
    }

    #[test]
    fn arguments_that_mean_nothing_are_refused() {
        let rows = [
            ("--since 90s", true),
            ("--since 90", false),
            ("--since s", false),
            ("--since -1s", false),
            ("--since 1µ", false),
            ("--since 99999999999s", false),
            ("--reason credential_mismatch", true),
            ("--reason no_such_reason", false),
            ("--summary --follow", false),
        ];
        for (arguments, taken) in rows {
            let words = std::iter::once("rejects").chain(arguments.split_whitespace());
            assert_eq!(Command::try_parse_from(words).is_ok(), taken, "{arguments}");
        }
    }

    #[test]
    fn a_summary_counts_what_was_suppressed_too() {
        let expected = "\
count  source  reason               blame   first           last            hint
33     github  credential_mismatch  sender  11-23 13:00:00  11-23 14:00:01  look
1      -       unknown_source       sender  11-23 14:00:00  11-23 14:00:00  look
1      stripe  timestamp_stale      sender  11-23 13:30:00  11-23 13:30:00  look
(1 skipped: not records of a rejected log)
";
        assert_eq!(shown("--summary", &PLAIN), expected);
        let json = shown("--summary --json --source github", &PLAIN);
        let sum: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&sum["count"], &sum["reason"]), (&33.into(), &"credential_mismatch".into()));
    }

    #[test]
    fn json_lines_are_the_records_themselves_made_safe() {
        let json = shown("--json --reason unknown_source", &PLAIN);
        assert_eq!(json, line("14:00:00", "null", "unknown_source", ",\"event\":\"\\u001b[2J\\u202e\""));
    }

    #[test]
    fn lines_fit_the_terminal_and_control_characters_never_reach_it() {
        for width in 0..200 {
            let view = View { width: Some(width), colour: Colour::Off, now: NOW };
            for arguments in ["", "--summary", "--json"] {
                let text = shown(arguments, &view);
                assert!(!text.chars().any(|c| c != '\n' && text::is_deceptive(c)), "{width} {arguments}");
                let table = text.lines().filter(|line| !line.starts_with('(') && arguments != "--json");
                for line in table {
                    assert!(line.trim_end().chars().count() <= width, "{width} {arguments}: {line}");
                }
            }
        }
    }

    #[test]
    fn a_narrow_terminal_gets_detail_and_hint_below() {
        let view = View { width: Some(80), colour: Colour::Off, now: NOW };
        let list = shown("--source stripe", &view);
        let lines: Vec<_> = list.lines().map(str::trim_end).collect();
        assert_eq!(
            lines[2..4],
            ["11-23 13:30:00  stripe  timestamp_stale  401     203.0.113.9  -", "    offset=7  look"]
        );
    }

    #[test]
    fn colours_are_there_only_when_asked_for() {
        let view = View { colour: Colour::On, ..PLAIN };
        assert!(shown("", &view).contains("\x1b[33mcredential_mismatch"));
        assert!(!shown("", &PLAIN).contains('\x1b'));
    }

    #[test]
    fn following_shows_each_new_record_once() {
        let (_directory, path) = log();
        let arguments = Command::try_parse_from(["rejects", "--follow", "--source", "github"]).unwrap().arguments;
        let (filter, mut reader) = (Filter::new(&arguments, NOW), Reader::new(&path));
        let mut look = || {
            let mut out = Vec::new();
            follow(&mut reader, &filter, &arguments, &PLAIN, &mut out).unwrap();
            String::from_utf8(out).unwrap().lines().map(|line| line[6..14].to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(look(), ["13:00:00", "14:00:01"]);
        assert_eq!(look(), [""; 0]);
        fs::rename(&path, path.with_extension("jsonl.1")).unwrap();
        fs::write(&path, line("14:05:00", "\"stripe\"", "panic", "") + &line("14:06:00", "\"github\"", "panic", ""))
            .unwrap();
        assert_eq!(look(), ["14:06:00"]);
    }

    #[test]
    fn no_log_is_an_error_and_a_closed_reader_is_none() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (directory, path) = log();
        let arguments = Command::try_parse_from(["rejects"]).unwrap().arguments;
        assert!(run(&arguments, &path, &mut Closed).is_ok());
        let error = run(&arguments, &directory.path().join("none.jsonl"), &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(run(&arguments, Path::new("-"), &mut Vec::new()).unwrap_err().to_string().contains("--file -"));
    }
}
