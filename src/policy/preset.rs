//! The built-in providers: one TOML file each under `auth/providers/`, in the words a user's `[auth.scheme]` has.
//!
//! To add one, write its file and a line in `FILES`. A test reads all of them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use http::{HeaderName, Method};

use super::diagnostic::{Diagnostics, Files, Styles};
use super::scheme::{parse_header_name, read_scheme};
use super::table::parse::Fault;
use super::table::{self, Reader};
use crate::auth::Scheme;
use crate::auth::scheme::FactLocation;
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
    pub scheme: Scheme,
    /// Whether `[auth.parameters] header` or `query` may put the credential elsewhere.
    pub relocatable: bool,
    /// Its request methods.
    pub methods: Vec<Method>,
    /// Its media types.
    pub content_types: Vec<String>,
    /// The header fields that go on to the app, names and patterns.
    pub headers: Vec<String>,
    /// Where the event's name is.
    pub event: Vec<FactLocation>,
    /// Where the delivery's id is.
    pub delivery_id: Vec<FactLocation>,
    /// Fields of the app's answer that the provider wants to see.
    pub answer_headers: Vec<HeaderName>,
}

/// The provider files, by name.
const FILES: &[(&str, &str)] = &[
    ("basic", include_str!("../auth/providers/basic.toml")),
    ("github", include_str!("../auth/providers/github.toml")),
    ("gitlab-token", include_str!("../auth/providers/gitlab-token.toml")),
    ("shopify", include_str!("../auth/providers/shopify.toml")),
    ("slack", include_str!("../auth/providers/slack.toml")),
    ("standard-webhooks", include_str!("../auth/providers/standard-webhooks.toml")),
    ("stripe", include_str!("../auth/providers/stripe.toml")),
    ("telegram", include_str!("../auth/providers/telegram.toml")),
    ("token", include_str!("../auth/providers/token.toml")),
];

/// Names, patterns and places in one list of a preset.
const WORDS_MAX: usize = 32;

static PRESETS: LazyLock<BTreeMap<&'static str, Preset>> = LazyLock::new(|| {
    let read = FILES.iter().filter_map(|(name, text)| read_preset(name, text).ok());
    read.map(|preset| (preset.name, preset)).collect()
});

/// The preset of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.get(name)
}

/// All presets, by name.
pub fn all() -> impl Iterator<Item = &'static Preset> {
    PRESETS.values()
}

/// Reads one provider file.
///
/// # Errors
/// The rendered diagnostics, for the test that keeps them from being shipped.
pub fn read_preset(name: &'static str, text: &str) -> Result<Preset, String> {
    let mut files = Files::default();
    let file = files.add(format!("{name}.toml"), text);
    let mut diagnostics = Diagnostics::default();
    let preset = table::read(&file, &mut diagnostics, |top| read_top(name, top)).flatten();
    match preset {
        Some(preset) if !diagnostics.has_errors() => Ok(preset),
        Some(_) | None => Err(diagnostics.report(&files, &Styles::plain()).to_string()),
    }
}

fn read_top(name: &'static str, top: &mut Reader<'_>) -> Option<Preset> {
    for key in ["title", "documentation", "evidence", "scheme"] {
        top.require(key);
    }
    let title = top.string("title");
    let documentation = top.string("documentation");
    let evidence = top.string("evidence");
    let relocatable = top.boolean("relocatable").is_some_and(|relocatable| relocatable.value);
    let methods = words(top, "methods", |text| Method::try_from(text).map_err(|_| Fault::new("not a method")));
    let content_types = words(top, "content_types", |text| Ok(text.to_owned()));
    let headers = words(top, "headers", |text| Ok(text.to_owned()));
    let event = words(top, "event", parse_fact);
    let delivery_id = words(top, "delivery_id", parse_fact);
    let answer_headers = words(top, "answer_headers", parse_header_name);
    let scheme = top.table("scheme", read_scheme).flatten();
    Some(Preset {
        name,
        title: title?.value,
        documentation: documentation?.value,
        evidence: evidence?.value,
        scheme: scheme?,
        relocatable,
        methods: methods.unwrap_or_else(|| vec![Method::POST]),
        content_types: content_types.unwrap_or_else(|| vec!["application/json".to_owned()]),
        headers: headers.unwrap_or_default(),
        event: event.unwrap_or_default(),
        delivery_id: delivery_id.unwrap_or_default(),
        answer_headers: answer_headers.unwrap_or_default(),
    })
}

fn words<T>(top: &mut Reader<'_>, key: &'static str, parse: impl Fn(&str) -> Result<T, Fault>) -> Option<Vec<T>> {
    let list = top.list(key, WORDS_MAX, parse)?;
    Some(list.value.into_iter().map(|word| word.value).collect())
}

/// `header:NAME`, `json:/POINTER`, `form:NAME`, `member:A|B|C`.
fn parse_fact(text: &str) -> Result<FactLocation, Fault> {
    let unknown = || {
        Fault::new(format!("{text:?} is no place for a fact"))
            .hint("header:NAME, json:/POINTER, form:NAME or member:A|B")
    };
    let (kind, rest) = text.split_once(':').ok_or_else(unknown)?;
    match kind {
        "header" => parse_header_name(rest).map(FactLocation::Header),
        "json" => Pointer::parse(rest).map(FactLocation::Pointer).map_err(|_| unknown()),
        "form" => Ok(FactLocation::Form(rest.into())),
        "member" => Ok(FactLocation::Member(rest.split('|').map(Box::from).collect())),
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_provider_file_is_well_formed() {
        for (name, text) in FILES {
            if let Err(report) = read_preset(name, text) {
                panic!("{report}");
            }
        }
        assert_eq!(all().count(), FILES.len());
    }

    #[test]
    fn a_preset_names_its_documentation_over_https() {
        for preset in all() {
            assert!(preset.documentation.starts_with("https://"), "{}", preset.name);
        }
    }
}
