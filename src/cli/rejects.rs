//! `hookward rejects`: lists, filters, sums up and follows the rejected log.
//!
//! It only reads files; the gateway need not run. Records may come from another version or another machine, so nothing in
//! them is trusted.
//!
//! **Invariant:** no control character of a log reaches the terminal.

mod table;

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anstyle::{AnsiColor, Style};
use clap::Args;

use super::setup::{self, Trouble};
use crate::policy::gateway_config::RejectsTarget;
use crate::reason::{Level, Reason};
use crate::record::{Colour, Effect, Reader, Record, read_stream};
use crate::text;
use table::{Cell, Table, Terminal};

/// How often `--follow` looks for more.
const POLL_EVERY: Duration = Duration::from_millis(250);

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

/// Shows what was asked for.
///
/// With `--follow` it ends when `out` is closed.
///
/// # Errors
/// [`Trouble`] if there is no log, it cannot be read, or `out` cannot be written.
pub fn run(arguments: &Arguments, config: &Path, out: &mut impl Write) -> Result<(), Trouble> {
    let log = match &arguments.file {
        Some(file) => file.clone(),
        None => configured(config)?,
    };
    let terminal = Terminal { width: terminal_width(), colour: Colour::auto() };
    show(arguments, &log, &View { terminal, now: unix_micros() }, out)
}

/// The file that the gateway of this configuration writes.
fn configured(config: &Path) -> Result<PathBuf, Trouble> {
    match setup::configuration(config)?.rejects.target.value {
        RejectsTarget::File(file) => Ok(file),
        RejectsTarget::StandardOutput => {
            Err(Trouble::Other("the rejected log goes to standard output; pipe it into --file -".to_owned()))
        }
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
    terminal: Terminal,
    /// Unix microseconds.
    now: i64,
}

/// Shows this log; `-` is standard input.
fn show(arguments: &Arguments, log: &Path, view: &View, out: &mut impl Write) -> Result<(), Trouble> {
    let filter = Filter::new(arguments, view.now);
    let mut found = Found::default();
    let mut collect = |record: Record, line: &str| {
        if filter.admits(&record) {
            found.add(arguments, record, line);
        }
        Ok(())
    };
    let fault = |source| Trouble::File { path: log.to_owned(), source };
    if log == Path::new("-") {
        let skipped = read_stream(&mut io::stdin().lock(), collect).map_err(fault)?;
        return found.show(arguments, view, skipped, out).map_err(Trouble::Output);
    }
    let mut reader = Reader::new(log);
    let exists = reader.read(&mut collect).map_err(fault)?;
    if !exists && !arguments.follow {
        return Err(Trouble::Other(format!("no rejected log at {}", log.display())));
    }
    if !arguments.follow {
        return found.show(arguments, view, reader.skipped(), out).map_err(Trouble::Output);
    }
    found.show(arguments, view, 0, out).map_err(Trouble::Output)?;
    loop {
        follow(&mut reader, &filter, arguments, view, out).map_err(Trouble::Output)?;
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
        let mut table = Table::untitled(&FOLLOWED_CHARS);
        table.rows.push(record_cells(&record));
        table.show(&view.terminal, out)
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
            (true, false) if self.sums.is_empty() => writeln!(out, "{NOTHING}")?,
            (true, false) => self.sums_table().show(&view.terminal, out)?,
            (false, false) if self.newest.is_empty() && arguments.follow => {}
            (false, false) if self.newest.is_empty() => writeln!(out, "{NOTHING}")?,
            (false, false) => self.newest_table(arguments).show(&view.terminal, out)?,
        }
        if skipped > 0 && !arguments.json {
            writeln!(out, "({skipped} skipped: not records of a rejected log)")?;
        }
        out.flush()
    }

    fn newest_table(&self, arguments: &Arguments) -> Table {
        let mut table = if arguments.follow { Table::untitled(&FOLLOWED_CHARS) } else { Table::titled(&LIST, 2) };
        table.rows.extend(self.newest.iter().map(|(record, _)| record_cells(record)));
        table
    }

    fn sums_table(self) -> Table {
        let mut sums: Vec<_> = self.sums.into_iter().collect();
        // Stable: equal counts stay in the order of their names.
        sums.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.count));
        let mut table = Table::titled(&SUMMARY, 1);
        table.rows.extend(sums.iter().map(|((source, reason, effect), sum)| {
            vec![
                Cell::plain(&sum.count.to_string()),
                Cell::plain(source.as_deref().unwrap_or("-")),
                reason_cell(reason, reason, *effect),
                Cell::plain(sum.blame.as_deref().unwrap_or("-")),
                Cell::plain(&short_time(&sum.first)),
                Cell::plain(&short_time(&sum.last)),
                Cell::plain(sum.hint.as_deref().unwrap_or("-")).styled(Style::new().dimmed()),
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

/// What stands in a table's place.
const NOTHING: &str = "no rejected deliveries";
const LIST: [&str; 8] = ["time", "source", "reason", "status", "peer", "event", "detail", "hint"];
const SUMMARY: [&str; 7] = ["count", "source", "reason", "blame", "first", "last", "hint"];
/// Widths that most values of [`LIST`] fit: rows that come one by one cannot be measured together.
const FOLLOWED_CHARS: [usize; 6] = [14, 12, 20, 6, 15, 16];

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
        or_dash(&record.hint).styled(Style::new().dimmed()),
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
        Effect::Refused => Cell::plain(shown).styled(style_of(reason)),
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
mod tests;
