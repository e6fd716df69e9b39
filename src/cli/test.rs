//! `hookward test`: recorded requests through the policies, offline.

mod difference;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};

use super::setup::{Setup, Trouble};
use crate::admit::Limits;
use crate::clock::Clock;
use crate::offline::{self, Explanation, Judgement, Replays, Verdict, judge};
use crate::policy::Policy;
use crate::policy::secrets::SystemSecrets;
use crate::rejection::Rejection;
use crate::reply;
use crate::request_record::{Expectation, RequestRecord};

/// A record's line is at most so long: a body of the largest size in base64, and its head.
const LINE_BYTES_MAX: usize = 64 << 20;

/// What to test.
#[derive(Debug, Args)]
#[command(
    after_help = "A record is one JSON object a line: id, method, url, headers ([[name, value], …]), body_b64, now (unix seconds),\n\
    and optionally expect: accept, reject, answer, handshake or a reason code. Nothing else may stand in it.\n\nNetworks, Host and rates are not judged offline."
)]
pub struct Arguments {
    /// Files of request records; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Say every step of every record
    #[arg(long)]
    pub explain: bool,
    /// Carry replay state on from record to record
    #[arg(long)]
    pub sequence: bool,
}

/// A verdict, as it is printed.
#[derive(Serialize)]
struct Line<'l> {
    id: &'l str,
    source: Option<&'l str>,
    verdict: &'static str,
    reason: Option<&'static str>,
    stage: Option<&'static str>,
    detail: Map<String, Value>,
    hint: Option<&'l str>,
    event: Option<&'l str>,
    delivery_id: Option<&'l str>,
    secret_id: Option<&'l str>,
    edits: Vec<EditLine<'l>>,
    monitored: Vec<MonitoredLine<'l>>,
    status: Option<u16>,
    headers: Vec<(String, String)>,
    body_b64: String,
}

/// What a stage in monitor mode found and let pass.
#[derive(Serialize)]
struct MonitoredLine<'l> {
    reason: &'static str,
    stage: &'static str,
    detail: Map<String, Value>,
    hint: &'l str,
}

#[derive(Serialize)]
struct EditLine<'l> {
    rule: &'static str,
    pointer: &'l str,
}

/// Prints a verdict a line.
///
/// # Errors
/// [`Trouble::Said`] if a record did not get what it expects, or is none.
pub fn run(arguments: &Arguments, config: &Path, out: &mut impl Write) -> Result<(), Trouble> {
    let (setup, limits) = Setup::load(config, &SystemSecrets);
    let (_, policy) = setup.right()?;
    let mut missed = 0_usize;
    for file in &arguments.files {
        let fault = |source| Trouble::File { path: file.clone(), source };
        let reader: Box<dyn BufRead> = if file == Path::new("-") {
            Box::new(io::stdin().lock())
        } else {
            Box::new(BufReader::new(File::open(file).map_err(fault)?))
        };
        let mut is_empty = true;
        for (number, line) in reader.lines().enumerate() {
            let line = line.map_err(fault)?;
            if line.trim().is_empty() {
                continue;
            }
            is_empty = false;
            match one(&policy, &limits, &line, arguments, out)? {
                Ok(()) => {}
                Err(why) => {
                    missed += 1;
                    let place = format!("{}:{}", file.display(), number + 1);
                    writeln!(anstream::stderr(), "{place}: {why}").map_err(Trouble::Output)?;
                }
            }
        }
        if is_empty {
            missed += 1;
            writeln!(anstream::stderr(), "{}: no request record", file.display()).map_err(Trouble::Output)?;
        }
    }
    if missed == 0 { Ok(()) } else { Err(Trouble::Said) }
}

/// Judges one line and prints its verdict. The inner error says how it missed what it expects.
fn one(
    policy: &Policy,
    limits: &Limits,
    line: &str,
    arguments: &Arguments,
    out: &mut impl Write,
) -> Result<Result<(), String>, Trouble> {
    if line.len() > LINE_BYTES_MAX {
        return Ok(Err(format!("a record of {} bytes, more than {LINE_BYTES_MAX}", line.len())));
    }
    let parsed = RequestRecord::parse_strictly(line);
    let parsed = parsed.and_then(|record| Ok((record.request()?, record.expectation()?, record)));
    let ((head, body), expected, record) = match parsed {
        Ok(parsed) => parsed,
        Err(fault) => return Ok(Err(fault.to_string())),
    };
    let now = record.now.unwrap_or_else(|| Clock::system().unix_seconds());
    let replays = if arguments.sequence { Replays::Kept(limits) } else { Replays::Ignored };
    let judgement = judge(policy, &head, body.clone(), now, replays);
    let verdict = Line::new(&record.id, &judgement);
    let text = serde_json::to_string(&verdict).map_err(|error| Trouble::Other(error.to_string()))?;
    writeln!(out, "{text}").map_err(Trouble::Output)?;
    if arguments.explain {
        explain(&judgement, &body, out).map_err(Trouble::Output)?;
        diagnosis(&offline::explain(policy, &judgement, &head, &body, now), out).map_err(Trouble::Output)?;
    }
    Ok(expected.map_or(Ok(()), |expected| compare(expected, &record, &verdict)))
}

fn compare(expected: Expectation, record: &RequestRecord, got: &Line<'_>) -> Result<(), String> {
    let is_met = match expected {
        Expectation::Accept => got.verdict == "accept",
        Expectation::Reject => got.verdict == "reject",
        Expectation::Answer => got.verdict == "answer",
        Expectation::Handshake => got.reason == Some("handshake"),
        Expectation::Reason(reason) => got.reason == Some(reason.code()),
    };
    if is_met {
        return Ok(());
    }
    let (word, found) = (record.expect.as_deref().unwrap_or_default(), got.reason.unwrap_or(got.verdict));
    Err(format!("{}: expected {word}, got {found}", record.id))
}

impl<'l> MonitoredLine<'l> {
    fn new(finding: &'l Rejection) -> Self {
        let row = finding.reason().row();
        Self { reason: row.code, stage: row.stage.name(), detail: detail(finding), hint: finding.next_step() }
    }
}

/// The facts of a rejection.
fn detail(rejection: &Rejection) -> Map<String, Value> {
    let facts = rejection.detail().iter();
    facts.filter_map(|(name, fact)| Some(((*name).to_owned(), serde_json::to_value(fact).ok()?))).collect()
}

impl<'l> Line<'l> {
    fn new(id: &'l str, judgement: &'l Judgement<'_>) -> Self {
        let mut line = Self {
            id,
            source: judgement.source.map(|source| &*source.name),
            verdict: "accept",
            reason: None,
            stage: None,
            detail: Map::new(),
            hint: None,
            event: judgement.event.as_deref(),
            delivery_id: None,
            secret_id: judgement.secret_id.as_deref(),
            edits: Vec::new(),
            monitored: judgement.monitored.iter().map(MonitoredLine::new).collect(),
            status: None,
            headers: Vec::new(),
            body_b64: String::new(),
        };
        match &judgement.verdict {
            Verdict::Accept(forwardable) => {
                line.delivery_id = forwardable.delivery_id.as_deref();
                let edits = forwardable.edits.iter();
                line.edits = edits.map(|edit| EditLine { rule: edit.rule.name(), pointer: &edit.pointer }).collect();
                line.say(None, &forwardable.headers, &forwardable.body);
            }
            Verdict::Answer(answer) => {
                line.verdict = "answer";
                line.reason = Some(answer.why);
                line.say(Some(StatusCode::OK), &answer.headers, &answer.body);
            }
            Verdict::Reject(rejection) => {
                line.verdict = "reject";
                line.reason = Some(rejection.reason().code());
                line.stage = Some(rejection.reason().row().stage.name());
                line.hint = Some(rejection.next_step());
                line.detail = detail(rejection);
                let (head, body) = reply::parts(reply::refused(rejection, ""));
                line.say(Some(head.status), &head.headers, &body);
            }
        }
        line
    }

    fn say(&mut self, status: Option<StatusCode>, headers: &HeaderMap, body: &Bytes) {
        self.status = status.map(|status| status.as_u16());
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        self.headers = headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        self.body_b64 = STANDARD.encode(body);
    }
}

/// What is known of a refused credential: the signed text's shape, and what would have fitted.
fn diagnosis(explanation: &Explanation, out: &mut impl Write) -> io::Result<()> {
    let Explanation { found, signed } = explanation;
    if !signed.is_empty() {
        writeln!(out, "      signed text:")?;
    }
    for line in signed {
        writeln!(out, "        {line}")?;
    }
    for finding in found {
        let facts = finding.facts();
        let facts = facts
            .iter()
            .skip(1)
            .map(|(name, fact)| format!("{name} {}", serde_json::to_string(fact).unwrap_or_default()));
        writeln!(out, "      diagnosis: {} ({})", finding.word(), facts.collect::<Vec<_>>().join(", "))?;
        writeln!(out, "        {}", finding.hint())?;
    }
    Ok(())
}

/// Every step, for people; what was edited is shown as a difference of the bodies.
fn explain(judgement: &Judgement<'_>, received: &Bytes, out: &mut impl Write) -> io::Result<()> {
    for step in &judgement.steps {
        writeln!(out, "    {:13} {}", step.name, step.found)?;
    }
    for finding in &judgement.monitored {
        let row = finding.reason().row();
        writeln!(out, "    {:13} {}: {}", "monitored", row.code, row.meaning)?;
        for (name, fact) in finding.detail() {
            writeln!(out, "      {name}: {}", serde_json::to_string(fact).unwrap_or_default())?;
        }
    }
    match &judgement.verdict {
        Verdict::Accept(forwardable) => {
            for edit in &forwardable.edits {
                writeln!(out, "      {} at {:?}", edit.rule.name(), edit.pointer)?;
            }
            if !forwardable.edits.is_empty() {
                writeln!(out, "      {} bytes received, {} forwarded:", received.len(), forwardable.body.len())?;
                difference::write(received, &forwardable.body, out)?;
            }
            Ok(())
        }
        Verdict::Answer(answer) => writeln!(out, "    {:13} {}", "answer", answer.why),
        Verdict::Reject(rejection) => {
            let row = rejection.reason().row();
            writeln!(out, "    {:13} {}: {}", row.stage.name(), row.code, row.meaning)?;
            for (name, fact) in rejection.detail() {
                let fact = serde_json::to_string(fact).unwrap_or_default();
                writeln!(out, "      {name}: {fact}")?;
            }
            writeln!(out, "      hint: {}", rejection.next_step())
        }
    }
}
