//! `hookward init`: a starting policy for a provider.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use super::setup::{Setup, Trouble};
use crate::policy::preset::{self, Preset};
use crate::policy::secrets::NoSecrets;

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
/// [`Trouble`] if there is no such provider, or the file is there already.
pub fn run(arguments: &Arguments, config: &Path, out: &mut impl Write) -> Result<(), Trouble> {
    let Some(preset) = preset::find(&arguments.provider) else {
        let message = format!("no provider {:?}: see `hookward providers`", arguments.provider);
        return Err(Trouble::Other(message));
    };
    let name = arguments.name.as_deref().unwrap_or(preset.name);
    let text = policy(preset, name, &arguments.to);
    if arguments.print {
        return write!(out, "{text}").map_err(Trouble::Output);
    }
    let path = directory(config).join(format!("{name}.toml"));
    if path.exists() {
        let message = format!("{} is there already: choose another name with --name", path.display());
        return Err(Trouble::Other(message));
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|source| Trouble::File { path: parent.to_owned(), source })?;
    }
    let file = OpenOptions::new().write(true).create_new(true).open(&path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| Trouble::File { path: path.clone(), source })?;
    let variable = variable(name);
    writeln!(out, "{}\nSet {variable}, then run `hookward check`.", path.display()).map_err(Trouble::Output)
}

fn directory(config: &Path) -> PathBuf {
    let setup = Setup::read(config, &NoSecrets);
    let policies = setup.config.and_then(|config| config.policies);
    policies.map_or_else(|| PathBuf::from("policies"), |policies| policies.directory.value)
}

fn variable(name: &str) -> String {
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    format!("{name}_WEBHOOK_SECRET")
}

/// The text of a starting policy.
fn policy(preset: &Preset, name: &str, to: &str) -> String {
    let variable = variable(name);
    let signed = preset.signed();
    let to = to.trim_end_matches('/');
    format!(
        r#"# {title}: {documentation}
# Proved by: {signed}

path = "/hooks/{name}"
# public_url = "https://hooks.example.com/hooks/{name}"

[auth]
provider = "{provider}"
secrets = [{{ id = "current", env = "{variable}" }}]

[limit]
client   = {{ per_second = 50, burst = 200 }}       # before authentication
failures = {{ per_minute = 60, block_seconds = 60 }}
source   = {{ per_second = 50, burst = 100 }}       # after it

# [event.schema]                                  # a JSON Schema by event; others are refused
# "some.event" = "schemas/{name}/some.event.json"

[forward]
to = "{to}/webhooks/{name}"
deadline_ms = 10_000
"#,
        title = preset.title,
        documentation = preset.documentation,
        provider = preset.name,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::diagnostic::{Diagnostics, Files};
    use crate::policy::source_config::read_source;

    #[test]
    fn the_starting_policy_of_every_provider_reads_without_a_finding() {
        for preset in preset::all() {
            let mut files = Files::default();
            let mut diagnostics = Diagnostics::default();
            let file = files.add("p.toml", policy(preset, preset.name, "http://127.0.0.1:3000/"));
            assert!(read_source(&file, &mut diagnostics).is_some(), "{}", preset.name);
            assert!(diagnostics.is_empty(), "{}: {}", preset.name, diagnostics.summary());
        }
    }
}
