//! `hookward schema infer`: proposes schemas from recorded requests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::setup::{Setup, Trouble, named_source};
use crate::payload::{Format, JsonLimits, Payload};
use crate::policy::secrets::NoSecrets;
use crate::policy::{Policy, Source};
use crate::rejection::Rejection;
use crate::schema_tools::infer::{Closing, Enums, Formats, Inference, Style};
use crate::schema_tools::json::Json;
use crate::schema_tools::samples::{self, Origin, Sample};

/// From what, and how.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// Request records (one JSON object a line, as for `hookward test`), or JSON bodies: one a line or one a file; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// A schema for each event, which is found as the sources' policies say (`-c`)
    #[arg(long)]
    pub by_event: bool,
    /// Only samples of this event
    #[arg(long, value_name = "EVENT")]
    pub event: Option<String>,
    /// Only samples of this source; bodies without a head are taken for its
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<String>,
    /// Write a file for each schema into this folder, and print the lines for the policy; no file is overwritten
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Propose no `enum`, so that no value of a sample is in the schema
    #[arg(long)]
    pub no_enums: bool,
    /// Allow no member that is in no sample (`"additionalProperties": false`)
    #[arg(long)]
    pub closed: bool,
}

const AFTER_HELP: &str = "\
The schema (2020-12) is a proposal to read and to tighten: types, members that every sample has, formats that all strings of a place have \
(date-time, uuid, email, uri), and an `enum` where a place has few different words in at least 20 samples. All samples fit it. \
Objects stay open, so that a member which the provider adds refuses no delivery.

Payloads may hold personal data. Members of an `enum` are the only values of samples that get into a schema, and --no-enums leaves them out: \
use it where samples come from production and schemas go into a repository. Names of members are in it, but for those that look like data: \
with an @, all digits, or long numbers in them.

Signatures are not looked at. Samples that are not strict JSON, which the gateway would refuse, are named and left out.";

/// Reads the samples and prints or writes the proposals.
///
/// # Errors
/// [`Trouble`] if a file cannot be read or written, there is no sample, or several schemas would go to standard output.
pub fn run(arguments: &Arguments, config: &Path, out: &mut impl Write) -> Result<(), Trouble> {
    let loaded = if arguments.by_event || arguments.event.is_some() || arguments.source.is_some() {
        Some(load(config)?)
    } else {
        None
    };
    let (policy, policies) = loaded.unzip();
    let formats = Formats::compile().map_err(|fault| Trouble::Other(fault.to_string()))?;
    let mut groups = Groups::new(arguments, policy.as_ref(), formats)?;
    for file in &arguments.files {
        read_samples(file, |sample| groups.add(sample))?;
    }
    let proposed = groups.found;
    let style = Style {
        enums: if arguments.no_enums { Enums::LeftOut } else { Enums::Proposed },
        objects: if arguments.closed { Closing::Closed } else { Closing::Open },
    };
    match (&arguments.out, proposed.values().next()) {
        (_, None) => Err(Trouble::Other("no sample to propose a schema from".to_owned())),
        (Some(directory), Some(_)) => write_files(directory, policies.as_deref(), &proposed, style, out),
        (None, Some(only)) if proposed.len() == 1 => {
            write!(out, "{}", only.schema(style).pretty()).map_err(Trouble::Output)
        }
        (None, Some(_)) => {
            let message = format!(
                "the samples are of {} events, and each has a schema of its own: --out DIR writes a file for each, --event EVENT chooses one",
                proposed.len()
            );
            Err(Trouble::Other(message))
        }
    }
}

/// The policies, without their secrets, and their folder.
pub(super) fn load(config: &Path) -> Result<(Policy, PathBuf), Trouble> {
    let (config, policy) = Setup::load(config, &NoSecrets).0.right()?;
    let directory = config.policies.map(|policies| policies.directory.value);
    directory.map(|directory| (policy, directory)).ok_or(Trouble::Said)
}

/// What belongs into one schema.
#[derive(Debug, Default, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    /// There only where events are told apart.
    source: Option<String>,
    event: Option<String>,
}

/// The proposals in the making.
struct Groups<'a> {
    arguments: &'a Arguments,
    policy: Option<&'a Policy>,
    source: Option<&'a Source>,
    formats: Formats,
    found: BTreeMap<Group, Inference>,
}

impl<'a> Groups<'a> {
    fn new(arguments: &'a Arguments, policy: Option<&'a Policy>, formats: Formats) -> Result<Self, Trouble> {
        let wanted = arguments.source.as_deref();
        let source = policy.map(|policy| wanted_source(policy, wanted)).transpose()?.flatten();
        Ok(Self { arguments, policy, source, formats, found: BTreeMap::new() })
    }

    /// Adds a sample to its schema, if it belongs to any. The error says why it is left out.
    fn add(&mut self, sample: &Sample) -> Result<(), String> {
        let source = match self.policy.map(|policy| source_of(sample, policy, self.source)).transpose()? {
            Some(None) => return Ok(()),
            Some(source) => source,
            None => None,
        };
        // Handshakes and checks of whether somebody listens have no body.
        if sample.body.is_empty() {
            return Ok(());
        }
        let read = match source {
            Some(source) => sample.read(source),
            None => Payload::read(sample.body.clone(), Format::Json, None, JsonLimits::default())
                .map(|payload| (payload, None)),
        };
        let (payload, event) = read.map_err(|rejection| left_out(&rejection))?;
        let Some(group) = self.group(source, event) else { return Ok(()) };
        self.found.entry(group).or_default().add(payload.document(), &self.formats);
        Ok(())
    }

    fn group(&self, source: Option<&Source>, event: Option<String>) -> Option<Group> {
        let (Some(source), true) = (source, self.arguments.by_event || self.arguments.event.is_some()) else {
            return Some(Group::default());
        };
        if self.arguments.event.is_some() && self.arguments.event != event {
            return None;
        }
        Some(Group { source: Some(source.name.to_string()), event })
    }
}

/// The source that samples have to be of, if one is named.
pub(super) fn wanted_source<'p>(policy: &'p Policy, name: Option<&str>) -> Result<Option<&'p Source>, Trouble> {
    name.map(|name| named_source(policy, name)).transpose()
}

/// The source that a sample is of; `None` if another one is wanted. The error says why it has none.
pub(super) fn source_of<'p>(
    sample: &Sample,
    policy: &'p Policy,
    wanted: Option<&'p Source>,
) -> Result<Option<&'p Source>, String> {
    match (sample.origin, wanted) {
        (Origin::Record, wanted) => {
            let path = sample.head.uri.path();
            let source = policy.route(path).ok_or_else(|| format!("no source has the path {path:?}"))?;
            Ok(Some(source).filter(|source| wanted.is_none_or(|wanted| wanted.name == source.name)))
        }
        (Origin::Body, Some(wanted)) => Ok(Some(wanted)),
        (Origin::Body, None) => Err("a body without a head: --source says whose it is".to_owned()),
    }
}

/// What is said of a sample whose body cannot be read.
pub(super) fn left_out(rejection: &Rejection) -> String {
    format!("the body is left out: {}", samples::words(rejection))
}

/// Gives every sample of a file to `add`; what is left out is said, with its line and why.
pub(super) fn read_samples(path: &Path, mut add: impl FnMut(&Sample) -> Result<(), String>) -> Result<(), Trouble> {
    let fault = |source| Trouble::File { path: path.to_owned(), source };
    let file: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(path).map_err(fault)?))
    };
    let mut said = Ok(());
    let read = samples::read(file, |number, sample| {
        let added = sample.and_then(|sample| add(&sample));
        if let (Err(why), Ok(())) = (added, &said) {
            said = writeln!(anstream::stderr(), "{}:{number}: {why}", path.display());
        }
    });
    read.map_err(fault)?;
    said.map_err(Trouble::Output)
}

/// Writes all schemas or, where a file of such a name is there already, none. What is printed is relative to the folder of the policies.
fn write_files(
    directory: &Path,
    policies: Option<&Path>,
    proposed: &BTreeMap<Group, Inference>,
    style: Style,
    out: &mut impl Write,
) -> Result<(), Trouble> {
    let sources: BTreeSet<_> = proposed.keys().map(|group| &group.source).collect();
    let paths: Vec<_> = file_names(proposed.keys(), sources.len()).map(|name| directory.join(name)).collect();
    if let Some(path) = paths.iter().find(|path| path.symlink_metadata().is_ok()) {
        return Err(Trouble::File {
            path: path.clone(),
            source: io::Error::other("is there already; nothing is written"),
        });
    }
    fs::create_dir_all(directory).map_err(|source| Trouble::File { path: directory.to_owned(), source })?;
    let shown = shown_directory(directory, policies);
    let mut last = None;
    for ((group, inference), path) in proposed.iter().zip(&paths) {
        let written =
            File::create_new(path).and_then(|mut file| file.write_all(inference.schema(style).pretty().as_bytes()));
        written.map_err(|source| Trouble::File { path: path.clone(), source })?;
        if last != Some(&group.source) {
            let of = group.source.as_deref().map(|name| format!("   # of {name}")).unwrap_or_default();
            writeln!(out, "[event.schema]{of}").map_err(Trouble::Output)?;
            last = Some(&group.source);
        }
        let count = inference.documents();
        let noun = if count == 1 { "sample" } else { "samples" };
        let path = path.file_name().map_or_else(|| shown.clone(), |name| shown.join(name));
        let [event, path] = [group.event.as_deref().unwrap_or("*"), &*path.to_string_lossy()].map(quoted);
        writeln!(out, "{event} = {path}   # {count} {noun}").map_err(Trouble::Output)?;
    }
    Ok(())
}

/// The folder as a policy names it: relative to the policies' own if it is below that.
fn shown_directory(directory: &Path, policies: Option<&Path>) -> PathBuf {
    let canonical = policies.and_then(|policies| directory.canonicalize().ok().zip(policies.canonicalize().ok()));
    let below = canonical.and_then(|(directory, policies)| directory.strip_prefix(policies).map(Path::to_owned).ok());
    below.unwrap_or_else(|| directory.to_owned())
}

/// A string as TOML and JSON both write it.
fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    Json::text(text).push_line(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// A file name for each group, unlike all others. An event's name is the sender's: of it only what is harmless in a file name is taken.
fn file_names<'g>(groups: impl Iterator<Item = &'g Group>, sources: usize) -> impl Iterator<Item = String> {
    let mut taken = BTreeSet::new();
    groups.map(move |group| {
        let event = group.event.as_deref().unwrap_or(if group.source.is_some() { "other" } else { "schema" });
        let source = group.source.as_deref().filter(|_| sources > 1).map(|name| format!("{name}.")).unwrap_or_default();
        let stem: String = format!("{source}{event}")
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') { c } else { '-' })
            .take(FILE_NAME_CHARS_MAX)
            .collect();
        let stem = if stem.is_empty() || stem.starts_with('.') { format!("-{stem}") } else { stem };
        let mut name = format!("{stem}.json");
        let mut number = 1_u64;
        // Some file systems take names that differ in case alone for the same.
        while !taken.insert(name.to_ascii_lowercase()) {
            number += 1;
            name = format!("{stem}-{number}.json");
        }
        name
    })
}

/// Of an event's name in a file's.
const FILE_NAME_CHARS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_names_a_file_of_its_folder_and_no_other() {
        let group = |event: &str| Group { source: Some("s".to_owned()), event: Some(event.to_owned()) };
        let cases = [
            ("push", "push.json"),
            ("customer.subscription.created", "customer.subscription.created.json"),
            ("../../etc/passwd", "-..-..-etc-passwd.json"),
            ("", "-.json"),
            ("a/b", "a-b.json"),
            ("a b", "a-b-2.json"),
            ("A-B", "A-B-3.json"),
            ("ä\u{1b}\0", "---.json"),
        ];
        let groups: Vec<_> = cases.iter().map(|(event, _)| group(event)).collect();
        let names: Vec<_> = file_names(groups.iter(), 1).collect();
        for ((event, expected), name) in cases.iter().zip(&names) {
            assert_eq!(name, expected, "{event:?}");
        }
        let long = group(&"x".repeat(300));
        assert_eq!(file_names([long].iter(), 1).map(|name| name.len()).collect::<Vec<_>>(), [105]);
        let names: Vec<_> = file_names([group("push")].iter(), 2).collect();
        assert_eq!(names, ["s.push.json"]);
    }
}
