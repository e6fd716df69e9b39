//! `hookward schema drift`: what has become of payloads since their schemas were written.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anstyle::{AnsiColor, Style};
use clap::Args;

use super::infer::{left_out, load, read_samples, source_of, wanted_source};
use crate::cli::setup::Trouble;
use crate::policy::{Policy, Source};
use crate::reason::Reason;
use crate::record::Record;
use crate::schema_tools::drift::{Change, Drift, Finding, Seen};
use crate::schema_tools::json::Json;
use crate::schema_tools::samples::{Origin, Sample};
use crate::text;

/// What with what.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// Request records (one JSON object a line, as for `hookward test`), JSON bodies, or the rejected log; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Only this source; bodies without a head are taken for its
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<String>,
    /// Only this event
    #[arg(long, value_name = "EVENT")]
    pub event: Option<String>,
    /// One JSON object an event and line instead of a table
    #[arg(long)]
    pub json: bool,
}

const AFTER_HELP: &str = "\
Each sample is compared with the schema that its source's policy (`-c`) has for its event. Listed are, by event: members that the schema does not \
declare (new), members that it requires and that are not there (missing), and what else does not fit (changed), each with its JSON Pointer (`*` is \
any element, or a member without a name of its own in the schema), the keyword and its place in the schema, the types that stood there, and in how many \
samples. Events that have no schema are listed, too.

Of the rejected log the records of `schema_mismatch` and `event_unlisted` count, refused or only monitored (`[mode] schema = \"monitor\"`); it names no \
members that the schema does not declare. No value of a payload is printed; names of members are.

Signatures are not looked at. Exit code 1 where something drifted.";

/// Reads the samples and prints what differs.
///
/// # Errors
/// [`Trouble`] if a file cannot be read or there is no sample; [`Trouble::Said`] where something differs.
pub fn run(arguments: &Arguments, config: &Path, out: &mut impl Write) -> Result<(), Trouble> {
    let (policy, _) = load(config)?;
    let wanted = wanted_source(&policy, arguments.source.as_deref())?;
    let mut comparison = Comparison { arguments, policy: &policy, wanted, found: BTreeMap::new() };
    for file in &arguments.files {
        read_samples(file, |sample| comparison.add(sample))?;
    }
    if comparison.found.is_empty() {
        return Err(Trouble::Other("no sample to compare".to_owned()));
    }
    let drifted = comparison.found.values().any(|event| !event.listed || event.drift.has_any());
    for (of, event) in &comparison.found {
        if arguments.json { print_json(of, event, out) } else { print_table(of, event, out) }
            .map_err(Trouble::Output)?;
    }
    if drifted { Err(Trouble::Said) } else { Ok(()) }
}

/// A source and, where the samples name one, an event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Of {
    source: String,
    event: Option<String>,
}

#[derive(Debug)]
struct Event {
    /// Whether it has a schema.
    listed: bool,
    drift: Drift,
}

struct Comparison<'a> {
    arguments: &'a Arguments,
    policy: &'a Policy,
    wanted: Option<&'a Source>,
    found: BTreeMap<Of, Event>,
}

impl Comparison<'_> {
    /// Adds a sample to its event. The error says why it is left out.
    fn add(&mut self, sample: &Sample) -> Result<(), String> {
        if let Some(record) = logged(sample) {
            self.add_logged(&record);
            return Ok(());
        }
        // Handshakes and checks of whether somebody listens have no body.
        let Some(source) = source_of(sample, self.policy, self.wanted)?.filter(|_| !sample.body.is_empty()) else {
            return Ok(());
        };
        if !source.event.has_schemas() {
            return Err(format!("source {:?} has no [event.schema]", source.name));
        }
        let (payload, event) = sample.read(source).map_err(|rejection| left_out(&rejection))?;
        let schema = source.event.schema(event.as_deref());
        if let Some(compared) = self.event(&source.name, event, schema.is_some()) {
            match schema {
                Some(schema) => compared.add(payload.document(), schema),
                None => compared.add_unlisted(),
            }
        }
        Ok(())
    }

    fn add_logged(&mut self, record: &Record) {
        let listed = match Reason::from_code(&record.reason) {
            Some(Reason::SchemaMismatch) => true,
            Some(Reason::EventUnlisted) => false,
            Some(_) | None => return,
        };
        let source = record.source.clone().unwrap_or_default();
        if self.wanted.is_some_and(|wanted| *wanted.name != *source) {
            return;
        }
        if let Some(compared) = self.event(&source, record.event.clone(), listed) {
            if listed { compared.add_logged(record) } else { compared.add_unlisted() }
        }
    }

    /// Where a sample of this event is counted, if it is wanted.
    fn event(&mut self, source: &str, event: Option<String>, listed: bool) -> Option<&mut Drift> {
        if self.arguments.event.is_some() && self.arguments.event != event {
            return None;
        }
        let of = Of { source: source.to_owned(), event };
        Some(&mut self.found.entry(of).or_insert_with(|| Event { listed, drift: Drift::default() }).drift)
    }
}

/// A line of the rejected log. It has members that no payload has all of.
fn logged(sample: &Sample) -> Option<Record> {
    let line = std::str::from_utf8(&sample.body).ok().filter(|_| sample.origin == Origin::Body)?;
    Record::parse(line).filter(|record| record.stage.is_some() && record.blame.is_some())
}

fn print_json(of: &Of, event: &Event, out: &mut impl Write) -> std::io::Result<()> {
    let name = of.event.as_ref().map_or(Json::Word("null"), Json::text);
    let listed = Json::Word(if event.listed { "true" } else { "false" });
    let members = [("source", Json::text(&of.source)), ("event", name), ("listed", listed)];
    let mut line = Vec::new();
    event.drift.json(members.map(|(name, value)| (name.to_owned(), value)).into()).push_line(&mut line);
    line.push(b'\n');
    out.write_all(&line)
}

fn print_table(of: &Of, event: &Event, out: &mut impl Write) -> std::io::Result<()> {
    let drift = &event.drift;
    let bold = Style::new().bold();
    let name = of.event.as_deref().map_or_else(|| "without event".to_owned(), shown);
    let samples = counted(drift.samples(), "sample");
    let verdict = match (event.listed, drift.misses()) {
        (false, _) => "no schema".to_owned(),
        (true, 0) if drift.has_any() => "all fit".to_owned(),
        (true, 0) => "no drift".to_owned(),
        (true, misses) => format!("{misses} {} not fit", if misses == 1 { "does" } else { "do" }),
    };
    writeln!(out, "{bold}{} {name}{bold:#}: {samples}, {verdict}", shown(&of.source))?;
    let rows: Vec<_> = drift.findings().iter().map(|(finding, seen)| row(finding, seen, drift.samples())).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (pointers, types) = (width(1), width(2));
    for ([change, pointer, types_seen, share, keyword], finding) in rows.iter().zip(drift.findings().keys()) {
        let colour = match finding.change {
            Change::New => AnsiColor::Green,
            Change::Missing => AnsiColor::Red,
            Change::Changed => AnsiColor::Yellow,
        };
        let style = colour.on_default();
        let line = format!("{pointer:pointers$}  {types_seen:types$}  {share}  {keyword}");
        writeln!(out, "  {style}{change:7}{style:#}  {}", line.trim_end())?;
    }
    if drift.others() > 0 {
        writeln!(out, "  and {} more", drift.others())?;
    }
    if drift.unexplained() > 0 {
        writeln!(out, "  {} not say where", does(drift.unexplained()))?;
    }
    Ok(())
}

fn row(finding: &Finding, seen: &Seen, samples: u64) -> [String; 5] {
    let types: Vec<_> = seen.types.iter().copied().collect();
    let keyword = [&*finding.keyword, &*finding.schema].map(shown).join(" ");
    let pointer = if finding.pointer.is_empty() { "(the payload)".to_owned() } else { shown(&finding.pointer) };
    let share = format!("{} of {samples}", seen.samples);
    [finding.change.name().to_owned(), pointer, types.join(", "), share, keyword]
}

fn does(count: u64) -> String {
    format!("{count} {}", if count == 1 { "does" } else { "do" })
}

fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Text of a sender's or a schema's as a terminal may have it.
fn shown(text: &str) -> String {
    text::plain(text, TEXT_CHARS_MAX)
}

/// Characters of a pointer or a place in a schema that are shown.
const TEXT_CHARS_MAX: usize = 200;
