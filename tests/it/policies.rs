//! The example policies: each loads, and says of each payload under `tests/data` what `expectations.json` expects.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hookward::admit::Limits;
use hookward::offline::{Judgement, Replays, Verdict, judge};
use hookward::policy::Policy;
use hookward::policy::secrets::{Resolved, Resolver, SecretFault};
use hookward::policy::source_config::SecretPlace;
use hookward::rejection::Fact;
use hookward::secret::Secret;
use http::Request;
use serde_json::Value;

use crate::support::house::{capacity, load};
use crate::support::{Delivery, NOW};

/// A secret for each variable that the examples name.
fn secret(variable: &str) -> String {
    if variable.ends_with("_CREDENTIAL") {
        "mail:example-password-0123".to_owned()
    } else {
        format!("example-{variable}-0123")
    }
}

struct Examples;

impl Resolver for Examples {
    fn resolve(&self, place: &SecretPlace) -> Result<Resolved, SecretFault> {
        match place {
            SecretPlace::Env(name) => Ok(Resolved::Secret(Secret::new(secret(name).into_bytes()))),
            SecretPlace::File(path) => Err(SecretFault::Empty(path.display().to_string())),
        }
    }
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn examples() -> Policy {
    load(&root("policies"), &Examples, &Limits::new(capacity())).unwrap_or_else(|report| panic!("{report}"))
}

/// The variable that a policy's secret is in, as its file says.
fn variable(policy: &str) -> String {
    let text = fs::read_to_string(root("policies").join(format!("{policy}.toml"))).unwrap();
    let named =
        text.lines().filter(|line| !line.trim_start().starts_with('#')).find_map(|line| line.split_once("env = \""));
    named.unwrap().1.split('"').next().unwrap().to_owned()
}

#[test]
fn every_example_policy_loads() {
    let policy = examples();
    let files = fs::read_dir(root("policies")).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "toml")).count();
    assert_eq!(policy.sources().len(), files);
    assert!(files >= 8);
}

/// A line of `expectations.json`.
struct Expected {
    policy: String,
    event: Option<String>,
    file: String,
    expect: String,
    pointer: Option<String>,
    keyword: Option<String>,
    drops: Vec<String>,
    edits: Vec<String>,
}

impl Expected {
    fn all() -> Vec<Self> {
        let text = fs::read_to_string(root("tests/data/expectations.json")).unwrap();
        let lines: Vec<BTreeMap<String, Value>> = serde_json::from_str(&text).unwrap();
        lines.iter().map(Self::read).collect()
    }

    fn read(line: &BTreeMap<String, Value>) -> Self {
        let text = |name: &str| line.get(name).and_then(Value::as_str).map(str::to_owned);
        let list = |name: &str| {
            let list = line.get(name).and_then(Value::as_array).into_iter().flatten();
            list.map(|text| text.as_str().unwrap().to_owned()).collect()
        };
        Self {
            policy: text("policy").unwrap(),
            event: text("event"),
            file: text("file").unwrap(),
            expect: text("expect").unwrap(),
            pointer: text("pointer"),
            keyword: text("keyword"),
            drops: list("drops"),
            edits: list("edits"),
        }
    }
}

#[test]
fn every_payload_gets_what_is_expected_of_it() {
    let policy = examples();
    let lines = Expected::all();
    assert!(lines.len() > 300, "the expectations were read");
    let missed: Vec<_> =
        lines.iter().filter_map(|line| Some(format!("{}: {}", line.file, check(&policy, line).err()?))).collect();
    assert!(missed.is_empty(), "{} of {}:\n{}", missed.len(), lines.len(), missed.join("\n"));
}

/// Judges one payload as its provider would have sent it.
fn check(policy: &Policy, line: &Expected) -> Result<(), String> {
    let source = policy.source(&line.policy).unwrap();
    let body = fs::read(root("tests/data").join(&line.file)).unwrap();
    let mut delivery = Delivery::post(&source.path, "").body(&body);
    for name in ["x-github-event", "x-shopify-topic"] {
        if let Some(event) = &line.event {
            delivery = delivery.header(name, event);
        }
    }
    let scheme = source.verifier.as_ref().unwrap().schemes().next().unwrap();
    let delivery = delivery.signed_by(scheme, &secret(&variable(&line.policy)), NOW);
    let mut request = Request::post(&delivery.target);
    for (name, value) in &delivery.headers {
        request = request.header(name, value);
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    let judgement = judge(policy, &head, Bytes::from(body.clone()), NOW, Replays::Ignored);
    let expected = line.expect.as_str();
    match &judgement.verdict {
        Verdict::Accept(forwardable) if expected == "accept" => {
            if line.event.is_some() && judgement.event != line.event {
                return Err(format!("event {:?}, expected {:?}", judgement.event, line.event));
            }
            check_cleaned(line, &body, &forwardable.body, forwardable.edits.len())
        }
        Verdict::Answer(_) if expected == "answer" => Ok(()),
        Verdict::Reject(rejection) if rejection.reason().code() == expected => check_detail(line, rejection.detail()),
        Verdict::Accept(_) | Verdict::Answer(_) | Verdict::Reject(_) => {
            Err(format!("expected {expected}, got {}", got(&judgement)))
        }
    }
}

fn got(judgement: &Judgement<'_>) -> String {
    match &judgement.verdict {
        Verdict::Accept(_) => "accept".to_owned(),
        Verdict::Answer(answer) => format!("answer ({})", answer.why),
        Verdict::Reject(rejection) => format!("{} {:?}", rejection.reason().code(), rejection.detail()),
    }
}

/// What was to be dropped is gone, what was to be edited has lost its control characters, and every other byte stays.
fn check_cleaned(line: &Expected, sent: &[u8], forwarded: &[u8], edits: usize) -> Result<(), String> {
    if line.drops.is_empty() && line.edits.is_empty() {
        return if sent == forwarded { Ok(()) } else { Err("the bytes changed".to_owned()) };
    }
    let mut bytes = sent.iter();
    if !forwarded.iter().all(|byte| bytes.any(|sent| sent == byte)) {
        return Err("something was added or moved".to_owned());
    }
    let mut expected: Value = serde_json::from_slice(sent).unwrap();
    for pointer in &line.drops {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let removed = expected.pointer_mut(parent).and_then(|parent| parent.as_object_mut()?.remove(name));
        removed.ok_or_else(|| format!("{pointer} is not in the payload"))?;
    }
    for pointer in &line.edits {
        let text = expected.pointer_mut(pointer).ok_or_else(|| format!("{pointer} is not in the payload"))?;
        let kept: String =
            text.as_str().unwrap().chars().filter(|c| !c.is_control() || "\t\n\r".contains(*c)).collect();
        *text = Value::String(kept);
    }
    let found: Value = serde_json::from_slice(forwarded).map_err(|error| error.to_string())?;
    if found != expected {
        return Err(format!("forwarded {}", String::from_utf8_lossy(forwarded)));
    }
    let announced = line.drops.len() + line.edits.len();
    if edits == announced { Ok(()) } else { Err(format!("{edits} edits, expected {announced}")) }
}

/// The fault that was expected is among those that were reported.
fn check_detail(line: &Expected, detail: &[(&'static str, Fact)]) -> Result<(), String> {
    let Some(pointer) = &line.pointer else { return Ok(()) };
    // Before there is a schema a member's name is the sender's text: the record names the object that holds it twice.
    let pointer = if line.expect == "json_duplicate_key" { pointer.rsplit_once('/').unwrap().0 } else { pointer };
    let found: Vec<(String, Option<String>)> = match detail.iter().find(|(name, _)| *name == "errors") {
        Some((_, Fact::Rows(rows))) => {
            rows.iter().map(|row| (text(row, "pointer").unwrap(), text(row, "keyword"))).collect()
        }
        Some(_) => return Err("errors is no list of rows".to_owned()),
        None => vec![(text(detail, "pointer").ok_or("no pointer")?, None)],
    };
    let fits = |(at, keyword): &(String, Option<String>)| {
        let wanted = line.keyword.as_ref().is_none_or(|wanted| keyword.as_ref() == Some(wanted));
        wanted && same_place(at, pointer)
    };
    if found.iter().any(fits) { Ok(()) } else { Err(format!("expected {pointer} {:?}, got {found:?}", line.keyword)) }
}

fn text(facts: &[(&'static str, Fact)], name: &str) -> Option<String> {
    facts.iter().find_map(|(found, fact)| match fact {
        Fact::Text(text) if *found == name => Some(text.to_string()),
        Fact::Text(_) | Fact::Number(_) | Fact::List(_) | Fact::Rows(_) => None,
    })
}

/// Names that no schema declares are the sender's text and shown as `*`.
fn same_place(masked: &str, pointer: &str) -> bool {
    let (masked, pointer): (Vec<_>, Vec<_>) = (masked.split('/').collect(), pointer.split('/').collect());
    masked.len() == pointer.len() && masked.iter().zip(pointer).all(|(masked, name)| *masked == "*" || *masked == name)
}
