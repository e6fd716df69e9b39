//! `hookward networks update`: a list of the networks that a provider sends from, from what it publishes.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read as _, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::{Args, Subcommand};
use http::header::{ACCEPT, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Uri};
use ipnet::IpNet;

use super::client::Client;
use super::setup::Trouble;
use crate::clock::Clock;
use crate::payload::Pointer;
use crate::policy::diagnostic::{Diagnostics, FILE_BYTES_MAX, Files, SourceFile, Styles};
use crate::policy::gateway_config::read_gateway;
use crate::policy::networks::{Published, read_lines, read_list, read_published};
use crate::policy::preset::{self, Preset};
use crate::policy::source_config::{AuthMethod, SourceConfig, read_source};
use crate::whole_file::{self, Readers};

/// What to do with lists of networks.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What to do
    #[command(subcommand)]
    pub task: Task,
}

/// The tasks.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Write the networks that a provider publishes into a list, and show what is new and what is gone
    Update(Update),
}

/// Which list, and from where.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Update {
    /// A source of yours, or a provider
    pub name: String,
    /// What is published: JSON, or lines; what the provider's preset names, if left out
    #[arg(long, value_name = "FILE_OR_URL")]
    pub from: Option<String>,
    /// Where the networks are in JSON, such as `/hooks/*` or `/items/*/cidr`; as the preset says, if left out
    #[arg(long, value_name = "POINTER")]
    pub values: Option<String>,
    /// The list; that of the source's `[network] lists`, or `networks/PROVIDER.txt` beside the policies, if left out
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    /// Trust the certificates in this file, instead of the public authorities
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,
    /// Show what would change, and write nothing
    #[arg(long)]
    pub dry_run: bool,
}

const AFTER_HELP: &str = "\
Policies name the list: `[network] lists = [\"networks/github.txt\"]`; a gateway that runs sees the change. The list is replaced whole \
or not at all, and left as it is if what is published is empty, malformed or too wide. Run it \
from a timer, such as once a day, and look into its output: deliveries from what is gone are refused from then on.";

/// Does what was asked for.
///
/// # Errors
/// [`Trouble`] if there is nothing of that name, or what is published cannot be read or written.
pub fn run(arguments: &Arguments, config: &Path, clock: &Clock, out: &mut impl Write) -> Result<(), Trouble> {
    match &arguments.task {
        Task::Update(update) => run_update(update, config, clock, out),
    }
}

fn run_update(update: &Update, config: &Path, clock: &Clock, out: &mut impl Write) -> Result<(), Trouble> {
    let named = Named::find(&update.name, config)?;
    let list = named.list(update)?;
    let from = match (&update.from, named.published()) {
        (Some(from), _) => from.clone(),
        (None, Some(published)) => published.url.to_string(),
        (None, None) => {
            let message =
                format!("no preset of {:?} says where its networks are published; say it with --from", update.name);
            return Err(Trouble::Other(message));
        }
    };
    let values = match &update.values {
        Some(text) => Some(Pointer::parse(text).map_err(|fault| Trouble::Other(fault.to_string()))?),
        None => named.published().map(|published| published.values.clone()),
    };
    let document = read(&from, update.cacert.as_deref())?;
    let networks = sorted(networks_of(document, &from, values.as_ref())?);
    let is_there = list.exists();
    let before = sorted(if is_there { lines_of(&read_file(&list)?, &list, read_lines)? } else { Vec::new() });
    let changes = tell(out, &before, &networks).map_err(Trouble::Output)?;
    let (shown, count) = (list.display(), networks.len());
    let outcome = match (changes, update.dry_run) {
        (Changes::None, _) if is_there => format!("{shown} is as published: {count} networks"),
        (_, true) => format!("{shown} would have {count} networks; nothing was written"),
        (Changes::None | Changes::Some, false) => {
            let text = text(&update.name, &from, clock, &networks);
            let fault = |source| Trouble::File { path: list.clone(), source };
            whole_file::write(&list, text.as_bytes(), Readers::All).map_err(fault)?;
            format!("{shown} has {count} networks")
        }
    };
    writeln!(out, "{outcome}").map_err(Trouble::Output)?;
    named.tell_use(&list, out).map_err(Trouble::Output)
}

/// What the name on the command line stands for.
struct Named {
    source: Option<SourceConfig>,
    preset: Option<&'static Preset>,
    directory: PathBuf,
}

impl Named {
    /// A source of that name, else a provider. Policies are not compiled: the list that they name may not be there yet.
    fn find(name: &str, config: &Path) -> Result<Self, Trouble> {
        let (mut files, mut found) = (Files::default(), Diagnostics::default());
        let gateway = files.read(config, &mut found).and_then(|file| read_gateway(&file, &mut found));
        if found.has_errors() && config.exists() {
            return Err(said(&found, &files));
        }
        let directory = gateway.and_then(|gateway| gateway.policies).map(|policies| policies.directory.value);
        let directory = directory.unwrap_or_else(|| PathBuf::from("policies"));
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        let file = directory.join(format!("{name}.toml"));
        if is_plain && file.is_file() {
            let mut found = Diagnostics::default();
            let source = files.read(file, &mut found).and_then(|file| read_source(&file, &mut found));
            if source.is_none() {
                return Err(said(&found, &files));
            }
            let providers = source.iter().flat_map(|source| &source.auth.methods);
            let presets = providers.filter_map(|method| match &method.method {
                AuthMethod::Provider(name) => preset::find(&name.value),
                AuthMethod::Schemes(_) | AuthMethod::ClientCertificate(_) | AuthMethod::Nothing => None,
            });
            let preset = presets.max_by_key(|preset| preset.networks.is_some());
            return Ok(Self { source, preset, directory });
        }
        match preset::find(name) {
            Some(preset) => Ok(Self { source: None, preset: Some(preset), directory }),
            None => Err(Trouble::Other(format!("no source and no provider {name:?}"))),
        }
    }

    fn published(&self) -> Option<&'static Published> {
        self.preset?.networks.as_ref()
    }

    /// The file to write.
    fn list(&self, update: &Update) -> Result<PathBuf, Trouble> {
        let lists = self.source.as_ref().map(|source| &source.network.lists[..]).unwrap_or_default();
        match (&update.to, lists, self.preset) {
            (Some(file), _, _) => Ok(file.clone()),
            (None, [one], _) => Ok(one.value.clone()),
            (None, [], Some(preset)) => Ok(self.directory.join(format!("networks/{}.txt", preset.name))),
            (None, [], None) => Err(Trouble::Other("say which file to write with --to".to_owned())),
            (None, [_, _, ..], _) => {
                let message = format!("{:?} names {} lists; say which with --to", update.name, lists.len());
                Err(Trouble::Other(message))
            }
        }
    }

    /// Says what is left to do where the source does not use the list.
    fn tell_use(&self, list: &Path, out: &mut impl Write) -> std::io::Result<()> {
        let Some(source) = &self.source else { return Ok(()) };
        let list = absolute(list);
        if source.network.lists.iter().any(|named| absolute(&named.value) == list) {
            return Ok(());
        }
        let shown = list.strip_prefix(absolute(&self.directory)).unwrap_or(&list).display();
        writeln!(out, "The policy does not use it yet: [network] lists = [\"{shown}\"]")
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// What is published, from a file or a URL.
fn read(from: &str, cacert: Option<&Path>) -> Result<Bytes, Trouble> {
    if !from.starts_with("https://") && !from.starts_with("http://") {
        return read_file(Path::new(from));
    }
    let fault = |what: String| Trouble::Other(format!("{from}: {what}"));
    let url: Uri = from.parse().map_err(|_| fault("is not a URL".to_owned()))?;
    let is_local = url.host().is_some_and(is_loopback);
    if url.scheme_str() != Some("https") && !is_local {
        return Err(fault("anybody in between could change what comes over http; use https".to_owned()));
    }
    let trusted = cacert.map(read_file).transpose()?;
    let trusted = trusted
        .map(|pem| String::from_utf8(pem.into()).map_err(|_| fault("--cacert is not PEM".to_owned())))
        .transpose()?;
    let client = Client::new(trusted.as_deref()).map_err(|error| fault(error.to_string()))?;
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("hookward/", env!("CARGO_PKG_VERSION"))));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/plain"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| fault(error.to_string()))?;
    let answer = runtime.block_on(client.send(Method::GET, &url, headers, Bytes::new()));
    let answer = answer.map_err(|error| fault(error.to_string()))?;
    if answer.status.is_redirection() {
        let location = answer.headers.get(LOCATION).and_then(|location| location.to_str().ok()).unwrap_or("nowhere");
        return Err(fault(format!("it has moved to {location:?}; if that is the provider, say it with --from")));
    }
    if !answer.status.is_success() {
        return Err(fault(format!("answered {}", answer.status)));
    }
    Ok(answer.body)
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn read_file(path: &Path) -> Result<Bytes, Trouble> {
    let fault = |source| Trouble::File { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(fault)?;
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(fault)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(Trouble::Other(format!("{}: is larger than {FILE_BYTES_MAX} bytes", path.display())));
    }
    Ok(bytes.into())
}

/// The networks of a document: JSON where it begins so, else lines.
fn networks_of(document: Bytes, from: &str, values: Option<&Pointer>) -> Result<Vec<IpNet>, Trouble> {
    let begins = document.trim_ascii_start().first();
    if !matches!(begins, Some(b'{' | b'[')) {
        return lines_of(&document, Path::new(from), read_list);
    }
    let Some(values) = values else {
        let message = format!("{from}: JSON, and nothing says where the networks are in it; say it with --values");
        return Err(Trouble::Other(message));
    };
    read_published(document, values).map_err(|fault| {
        let hint = fault.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        Trouble::Other(format!("{from}: {}{hint}", fault.message))
    })
}

/// How lines are read.
type Read = fn(&SourceFile, &mut Diagnostics) -> Option<Vec<IpNet>>;

fn lines_of(text: &Bytes, path: &Path, read: Read) -> Result<Vec<IpNet>, Trouble> {
    let Ok(text) = std::str::from_utf8(text) else {
        return Err(Trouble::Other(format!("{}: neither JSON nor lines of networks", path.display())));
    };
    let (mut files, mut found) = (Files::default(), Diagnostics::default());
    let file = files.add(path, text);
    read(&file, &mut found).ok_or_else(|| said(&found, &files))
}

/// Tells on standard error what was found.
fn said(found: &Diagnostics, files: &Files) -> Trouble {
    let told = write!(anstream::stderr(), "{}", found.report(files, &Styles::coloured()));
    told.map_or_else(Trouble::Output, |()| Trouble::Said)
}

fn sorted(mut networks: Vec<IpNet>) -> Vec<IpNet> {
    networks.sort_unstable();
    networks.dedup();
    networks
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Changes {
    None,
    Some,
}

/// Shows what is new and what is gone; both lists are sorted.
fn tell(out: &mut impl Write, before: &[IpNet], after: &[IpNet]) -> std::io::Result<Changes> {
    let mut changes = Changes::None;
    let sides = [('-', before, after), ('+', after, before)];
    for (sign, list, other) in sides {
        for network in list.iter().filter(|network| other.binary_search(network).is_err()) {
            writeln!(out, "{sign} {network}")?;
            changes = Changes::Some;
        }
    }
    Ok(changes)
}

/// The list as it is written.
fn text(name: &str, from: &str, clock: &Clock, networks: &[IpNet]) -> String {
    let when = jiff::Timestamp::from_second(clock.unix_seconds()).unwrap_or_default();
    let mut text = format!(
        "# Published at {}\n# Written on {when} by `hookward networks update {name}`, which replaces all of it.\n",
        from.escape_debug()
    );
    for network in networks {
        let _ = writeln!(text, "{network}");
    }
    text
}
