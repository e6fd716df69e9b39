//! The built-in providers: one TOML file each under `auth/providers/`, in the words a user's `[auth.scheme]` has.
//!
//! To add one, write its file: every file of that folder is built in, and a test reads all of them. A preset is read when a policy first asks for
//! it; those that nobody uses cost nothing.

use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};

use http::{HeaderName, Method};
use include_dir::{Dir, include_dir};

use super::diagnostic::{Diagnostics, Files, Styles};
use super::networks::Published;
use super::scheme::{parse_fact, parse_header_name, read_handshakes, read_schemes};
use super::source::PayloadKind;
use super::source_config::{PAYLOADS, parse_field_name};
use super::table::parse::{Fault, choose, nearest, parse_url};
use super::table::{self, Like, Reader};
use crate::auth::Scheme;
use crate::auth::code::{CODES, CodeKind};
use crate::auth::describe::{self, Line};
use crate::auth::handshake::Handshake;
use crate::auth::scheme::Presence;
use crate::auth::template::Template;
use crate::payload::Pointer;

/// What is known of a provider.
#[derive(Debug, Clone)]
pub struct Preset {
    /// The name policies use.
    pub name: &'static str,
    /// The provider's name for people.
    pub title: String,
    /// Where the provider documents its signature.
    pub documentation: String,
    /// How sure it is that this is right: the official library it was compared with, or its documentation alone.
    pub evidence: String,
    /// How it signs.
    pub signing: Signing,
    /// Requests that the gateway answers itself.
    pub handshakes: Vec<Handshake>,
    /// Values that the operator gives in `[auth.parameters]`.
    pub parameters: Vec<Parameter>,
    /// Whether `[auth.parameters] header` or `query` may put the credential elsewhere.
    pub relocatable: bool,
    /// The request methods of its deliveries.
    pub methods: Vec<Method>,
    /// Its media types.
    pub content_types: Vec<String>,
    /// How its bodies are read.
    pub payload: PayloadKind,
    /// The field of its forms that holds the payload as JSON.
    pub json_field: Option<String>,
    /// The header fields that go on to the app, names and patterns.
    pub headers: Vec<String>,
    /// Where the event's name is.
    pub event: Vec<Template>,
    /// Where the delivery's id is.
    pub delivery_id: Vec<Template>,
    /// Fields of the app's answer that the provider wants to see.
    pub answer_headers: Vec<HeaderName>,
    /// Where it publishes the networks that it sends from.
    pub networks: Option<Published>,
}

/// A value that an operator gives in `[auth.parameters]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its key.
    pub name: String,
    /// What it is.
    pub what: String,
    /// Whether it has to be there; a `?` behind its name in the preset says that it has not.
    pub presence: Presence,
}

/// How a provider signs.
#[derive(Debug, Clone)]
pub enum Signing {
    /// As these schemes say: the first that a request is for.
    Schemes(Vec<Scheme>),
    /// As a file of `auth/code` says.
    Code(CodeKind),
}

static PROVIDERS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/auth/providers");

/// Names, patterns and places in one list of a preset.
const WORDS_MAX: usize = 32;

struct File {
    text: &'static str,
    preset: OnceLock<Option<Preset>>,
}

/// The provider files, by name.
static FILES: LazyLock<BTreeMap<&'static str, File>> = LazyLock::new(|| {
    let files = PROVIDERS.files().filter_map(|file| {
        let name = file.path().file_name()?.to_str()?.strip_suffix(".toml")?;
        Some((name, File { text: file.contents_utf8()?, preset: OnceLock::new() }))
    });
    files.collect()
});

/// The preset of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Preset> {
    let (name, file) = FILES.get_key_value(name)?;
    file.preset.get_or_init(|| read_preset(name, file.text).ok()).as_ref()
}

/// What is said of a name that no preset has.
#[must_use]
pub fn unknown(name: &str) -> String {
    let names: Vec<_> = names().collect();
    format!("no provider {name:?}: {}`hookward providers` lists them", nearest(name, &names))
}

/// The names of all presets, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    FILES.keys().copied()
}

/// All presets, by name.
pub fn all() -> impl Iterator<Item = &'static Preset> {
    names().filter_map(find)
}

/// The text of a preset, for those that are like it.
#[must_use]
pub fn text(name: &str) -> Option<&'static str> {
    FILES.get(name).map(|file| file.text)
}

/// Reads one provider file.
///
/// # Errors
/// The rendered diagnostics, for the test that keeps them from being shipped.
pub fn read_preset(name: &'static str, source: &str) -> Result<Preset, String> {
    let mut files = Files::default();
    let file = files.add(format!("{name}.toml"), source);
    let mut diagnostics = Diagnostics::default();
    let preset = table::read_like(&file, &mut diagnostics, Like::Preset(text), |top| read_top(name, top)).flatten();
    match preset {
        Some(preset) if !diagnostics.has_errors() => Ok(preset),
        Some(_) | None => Err(diagnostics.report(&files, &Styles::plain()).to_string()),
    }
}

fn read_top(name: &'static str, top: &mut Reader<'_>) -> Option<Preset> {
    for key in ["title", "documentation", "evidence"] {
        top.require(key);
    }
    top.inherited();
    top.require_one(["scheme", "code"]);
    let title = top.string("title");
    let documentation = top.string("documentation");
    let evidence = top.string("evidence");
    let relocatable = top.boolean("relocatable").is_some_and(|relocatable| relocatable.value);
    let methods = words(top, "methods", |text| Method::try_from(text).map_err(|_| Fault::new("not a method")));
    let content_types = words(top, "content_types", |text| Ok(text.to_owned()));
    let payload = top.one_of("payload", PAYLOADS);
    let json_field = top.parsed("json_field", parse_field_name);
    let headers = words(top, "headers", |text| Ok(text.to_owned()));
    let event = words(top, "event", parse_fact);
    let delivery_id = words(top, "delivery_id", parse_fact);
    let answer_headers = words(top, "answer_headers", parse_header_name);
    let parameters = top.table("parameters", |table| table.entries(WORDS_MAX, |text| Ok(text.to_owned())));
    let networks = top.table("networks", read_networks).flatten();
    let handshakes = read_handshakes(top);
    let code = top.parsed("code", |text| choose("code", text, CODES));
    let signing = match code {
        Some(code) => Some(Signing::Code(code.value)),
        None => read_schemes(top).map(Signing::Schemes),
    };
    let parameters = parameters.unwrap_or_default().into_iter();
    Some(Preset {
        name,
        title: title?.value,
        documentation: documentation?.value,
        evidence: evidence?.value,
        signing: signing?,
        handshakes,
        parameters: parameters.map(|(name, what)| Parameter::new(&name.value, what.value)).collect(),
        relocatable,
        methods: methods.unwrap_or_else(|| vec![Method::POST]),
        content_types: content_types.unwrap_or_else(|| vec!["application/json".to_owned()]),
        payload: payload.map_or(PayloadKind::Auto, |payload| payload.value),
        json_field: json_field.map(|name| name.value),
        headers: headers.unwrap_or_default(),
        event: event.unwrap_or_default(),
        delivery_id: delivery_id.unwrap_or_default(),
        answer_headers: answer_headers.unwrap_or_default(),
        networks,
    })
}

fn read_networks(table: &mut Reader<'_>) -> Option<Published> {
    let url = table.parsed("url", parse_url);
    let values = table.parsed("values", |text| Pointer::parse(text).map_err(|fault| Fault::new(fault.to_string())));
    Some(Published { url: url?.value, values: values?.value })
}

fn words<T>(top: &mut Reader<'_>, key: &'static str, parse: impl Fn(&str) -> Result<T, Fault>) -> Option<Vec<T>> {
    let list = top.list(key, WORDS_MAX, parse)?;
    Some(list.value.into_iter().map(|word| word.value).collect())
}

impl Preset {
    /// What is signed, in a line.
    #[must_use]
    pub fn signed(&self) -> String {
        match &self.signing {
            Signing::Schemes(schemes) => {
                let mut texts: Vec<_> = schemes.iter().map(describe::signed).collect();
                texts.dedup();
                texts.join(", or ")
            }
            Signing::Code(kind) => kind.signed().to_owned(),
        }
    }

    /// Whether it is checked with secrets.
    #[must_use]
    pub fn has_secrets(&self) -> bool {
        match &self.signing {
            Signing::Schemes(schemes) => schemes.iter().any(Scheme::has_secrets),
            Signing::Code(kind) => kind.has_secrets(),
        }
    }

    /// Whether it is checked with public keys.
    #[must_use]
    pub fn has_public_keys(&self) -> bool {
        match &self.signing {
            Signing::Schemes(schemes) => schemes.iter().any(Scheme::has_public_keys),
            Signing::Code(kind) => kind.has_public_keys(),
        }
    }

    /// How the id of a public key looks in a policy.
    #[must_use]
    pub fn key_id(&self) -> &'static str {
        match &self.signing {
            Signing::Schemes(_) => None,
            Signing::Code(kind) => kind.key_id(),
        }
        .unwrap_or("current")
    }

    /// Whether it signs the URL, which then has to be known.
    #[must_use]
    pub fn covers_url(&self) -> bool {
        self.signing.schemes().iter().any(Scheme::covers_url)
    }

    /// Everything there is to say of how it signs, and how its bodies are read where their content type does not say all.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        let mut lines = match &self.signing {
            Signing::Schemes(schemes) => describe::lines(schemes, &self.handshakes, &self.event, &self.delivery_id),
            Signing::Code(kind) => {
                let mut lines = kind.lines(&self.event, &self.delivery_id);
                lines.extend(describe::handshakes(&self.handshakes));
                lines
            }
        };
        let text = match (self.payload, &self.json_field) {
            (PayloadKind::Auto, None) => String::new(),
            (PayloadKind::Auto | PayloadKind::Form | PayloadKind::Multipart, Some(name)) => {
                format!("of a form with the field `{name}` the JSON in it")
            }
            (PayloadKind::Form, None) => "read as a form, also where the content type does not say so".to_owned(),
            (PayloadKind::Multipart, None) => {
                "read as multipart, also where the content type does not say so".to_owned()
            }
            (PayloadKind::Json, _) => "read as JSON, also where the content type does not say so".to_owned(),
            (PayloadKind::Opaque, _) => "not read, unless the policy says so".to_owned(),
        };
        if !text.is_empty() {
            lines.push(Line { label: "payload", text });
        }
        if let Some(Published { url, .. }) = &self.networks {
            let text = format!("`hookward networks update {}` makes a list of those that {url} publishes", self.name);
            lines.push(Line { label: "networks", text });
        }
        lines
    }
}

impl Parameter {
    fn new(key: &str, what: String) -> Self {
        match key.strip_suffix('?') {
            Some(name) => Self { name: name.to_owned(), what, presence: Presence::Optional },
            None => Self { name: key.to_owned(), what, presence: Presence::Mandatory },
        }
    }
}

impl Signing {
    /// The schemes; none where code judges.
    #[must_use]
    pub fn schemes(&self) -> &[Scheme] {
        match self {
            Self::Schemes(schemes) => schemes,
            Self::Code(_) => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_provider_file_is_well_formed() {
        let faults: Vec<_> = FILES.iter().filter_map(|(name, file)| read_preset(name, file.text).err()).collect();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        assert_eq!(all().count(), FILES.len());
    }

    #[test]
    fn a_preset_names_its_documentation_over_https() {
        for preset in all() {
            assert!(preset.documentation.starts_with("https://"), "{}", preset.name);
        }
    }

    #[test]
    fn networks_are_published_over_https_and_are_those_of_one_provider() {
        let published = all().filter_map(|preset| Some((preset.name, preset.networks.as_ref()?)));
        let names: Vec<_> = published
            .map(|(name, networks)| {
                assert_eq!(networks.url.scheme_str(), Some("https"), "{name}");
                name
            })
            .collect();
        assert_eq!(names, ["bitbucket", "buildkite", "buildkite-token", "github", "jira", "stripe", "terraform-cloud"]);
    }
}
