//! `hookward init`: a starting policy for a provider.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::CONFIG_FILE;
use super::setup::{Trouble, configuration};
use crate::auth::handshake::Handshake;
use crate::auth::scheme::Presence;
use crate::policy::diagnostic::{Diagnostics, Files, Styles};
use crate::policy::load::{NAME_RULE, is_source_name};
use crate::policy::preset::{self, Parameter, Preset};
use crate::policy::source_config::auth::FILL_IN;
use crate::policy::source_config::forward::parse_upstream;
use crate::policy::source_config::{Upstream, read_source};
use crate::policy::table::parse::Fault;

/// Which provider and where the policy goes.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The provider: see `hookward providers`
    pub provider: String,
    /// The source's name, and the file's; the provider's name if left out
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The app that takes the deliveries
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3000")]
    pub to: String,
    /// Print the policy instead of writing it
    #[arg(long)]
    pub print: bool,
}

/// Writes the policy into the configuration's directory, never over an existing one.
///
/// # Errors
/// [`Trouble`] if there is no such provider, the policy would not load, or the file is there already.
pub fn run(arguments: &Arguments, config: &Path, out: &mut impl Write) -> Result<(), Trouble> {
    let Some(preset) = preset::find(&arguments.provider) else {
        return Err(Trouble::Other(preset::unknown(&arguments.provider)));
    };
    let name = arguments.name.as_deref().unwrap_or(preset.name);
    if !is_source_name(name) {
        return Err(Trouble::Other(format!("{name:?} cannot be a source's name: {NAME_RULE}")));
    }
    let text = policy(preset, name, &upstream(&arguments.to, name)?);
    readable(name, &text)?;
    if arguments.print {
        return write!(out, "{text}").map_err(Trouble::Output);
    }
    let directory = directory(config)?;
    let path = directory.join(format!("{name}.toml"));
    fs::create_dir_all(&directory).map_err(|source| Trouble::File { path: directory.clone(), source })?;
    let file = OpenOptions::new().write(true).create_new(true).open(&path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| {
        if source.kind() == io::ErrorKind::AlreadyExists {
            return Trouble::Other(format!("{} is there already: choose another name with --name", path.display()));
        }
        Trouble::File { path: path.clone(), source }
    })?;
    let next = next_step(preset, name, &directory);
    writeln!(out, "{}\n{next}, then run `hookward check`.", path.display()).map_err(Trouble::Output)
}

/// What `--to` says, in the words of a policy, with a path of its own where it has none.
fn upstream(to: &str, name: &str) -> Result<String, Trouble> {
    let fault = |fault: Fault| {
        let hint = fault.hint.map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        Trouble::Other(format!("--to: {}{hint}", fault.message))
    };
    let path = format!("/webhooks/{name}");
    Ok(match (parse_upstream(to, Path::new("")).map_err(fault)?, to.strip_prefix("unix:")) {
        (Upstream::Unix { .. }, Some(socket)) if !socket.contains(":/") => format!("{to}:{path}"),
        (Upstream::Http(url) | Upstream::Https(url), _) if url.path() == "/" => {
            format!("{}{path}", to.trim_end_matches('/'))
        }
        (Upstream::Unix { .. } | Upstream::Http(_) | Upstream::Https(_), _) => to.to_owned(),
    })
}

/// Sees that a policy can be read, whatever was given to be written into it.
fn readable(name: &str, text: &str) -> Result<(), Trouble> {
    let (mut files, mut found) = (Files::default(), Diagnostics::default());
    let file = files.add(format!("{name}.toml"), text.replace(FILL_IN, "filled in"));
    read_source(&file, &mut found);
    if !found.has_errors() {
        return Ok(());
    }
    let report = found.report(&files, &Styles::plain()).to_string();
    Err(Trouble::Other(format!("the policy could not be loaded, so it was not written:\n{}", report.trim_end())))
}

/// What is left to do.
fn next_step(preset: &Preset, name: &str, directory: &Path) -> String {
    let mut steps = Vec::new();
    if preset.has_secrets() {
        steps.push(format!("set {}", variable(name)));
    }
    if preset.has_public_keys() {
        let file = directory.join(format!("keys/{name}.pem"));
        steps.push(format!("put the provider's public key into {}", file.display()));
    }
    if preset.parameters.iter().any(|parameter| parameter.presence == Presence::Mandatory) {
        steps.push("fill in [auth.parameters]".to_owned());
    }
    let text = steps.join(", ");
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The policies' directory; where there is no configuration yet, the one that it has by convention.
fn directory(config: &Path) -> Result<PathBuf, Trouble> {
    if config == Path::new(CONFIG_FILE) && !config.exists() {
        return Ok(PathBuf::from("policies"));
    }
    Ok(configuration(config)?.policies.ok_or(Trouble::Said)?.directory.value)
}

fn variable(name: &str) -> String {
    let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
    // A variable's name does not begin with a digit.
    let first = name.starts_with(|first: char| first.is_ascii_digit()).then_some('_');
    let name: String = first.into_iter().chain(name.chars().map(letter)).collect();
    format!("{name}_WEBHOOK_SECRET")
}

/// The text of a starting policy.
fn policy(preset: &Preset, name: &str, to: &str) -> String {
    let comment = if preset.covers_url() { "" } else { "# " };
    format!(
        r#"# {title}: {documentation}
# Proved by: {signed}

path = "/hooks/{name}"
{comment}public_url = "https://hooks.example.com/hooks/{name}"{why}
{auth}
{network}[limit]
client   = {{ per_second = 50, burst = 200 }}       # before authentication
failures = {{ per_minute = 60, block_seconds = 60 }}
source   = {{ per_second = 50, burst = 100 }}       # after it

# [event.schema]                                  # a JSON Schema by event; others are refused
# "some.event" = "schemas/{name}/some.event.json"

[forward]
to = "{to}"
deadline_ms = 10_000
{handshake}"#,
        title = preset.title,
        documentation = preset.documentation,
        signed = preset.signed(),
        why = if preset.covers_url() { "   # the sender signs it: write it as the provider knows it" } else { "" },
        auth = auth(preset, name),
        network = network(preset),
        handshake = handshake(preset, name),
    )
}

/// `[auth]` and its parameters.
fn auth(preset: &Preset, name: &str) -> String {
    let mut text = format!("\n[auth]\nprovider = \"{}\"\n", preset.name);
    if preset.has_secrets() {
        let _ = writeln!(text, "secrets = [{{ id = \"current\", env = \"{}\" }}]", variable(name));
    }
    if preset.has_public_keys() {
        let _ = writeln!(text, "public_keys = [{{ id = \"{}\", file = \"keys/{name}.pem\" }}]", preset.key_id());
    }
    if !preset.parameters.is_empty() {
        text.push_str("\n[auth.parameters]\n");
    }
    for Parameter { name, what, presence } in &preset.parameters {
        let comment = match presence {
            Presence::Mandatory => "",
            Presence::Optional => "# ",
        };
        let _ = writeln!(text, "{comment}{name} = {FILL_IN:?}   # {what}");
    }
    text
}

/// The list of a provider that publishes one.
fn network(preset: &Preset) -> String {
    let name = preset.name;
    if preset.networks.is_none() {
        return String::new();
    }
    format!(
        "# [network]                                       # `hookward networks update {name}` writes the list\n\
         # lists = [\"networks/{name}.txt\"]\n\n"
    )
}

/// What a provider's handshake needs of the operator.
fn handshake(preset: &Preset, name: &str) -> String {
    if preset.handshakes.is_empty() {
        return String::new();
    }
    if preset.handshakes.iter().any(|handshake| handshake.confirm.is_some()) {
        return "\n[handshake]\nmode = \"forward\"                                 # the app confirms subscriptions; confirm = true instead: the gateway does\n".to_owned();
    }
    let mut text = "\n[handshake]                                       # the gateway answers the provider's test of this endpoint\n".to_owned();
    text.push_str("mode = \"answer\"                                  # or \"forward\", or \"refuse\"\n");
    if preset.handshakes.iter().any(Handshake::wants_verify_token) {
        let variable = variable(name).replace("_WEBHOOK_SECRET", "_VERIFY_TOKEN");
        let _ = writeln!(text, "verify_token = {{ env = \"{variable}\" }}");
    }
    if preset.handshakes.iter().any(|handshake| handshake.learn.is_some()) {
        let _ = writeln!(
            text,
            "# learn_secret = \"state/{name}.secret\"              # where the provider hands its secret over: `hookward learn {name}`"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_starting_policy_of_every_provider_reads_without_a_finding() {
        for preset in preset::all() {
            let mut files = Files::default();
            let mut diagnostics = Diagnostics::default();
            let to = upstream("http://127.0.0.1:3000/", preset.name).unwrap();
            let text = policy(preset, preset.name, &to).replace(FILL_IN, "filled in");
            let file = files.add("p.toml", text);
            assert!(read_source(&file, &mut diagnostics).is_some(), "{}", preset.name);
            assert!(diagnostics.is_empty(), "{}: {}", preset.name, diagnostics.summary());
        }
    }
}
