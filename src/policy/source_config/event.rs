//! `[event]`: what a payload must look like.

use std::path::PathBuf;

use crate::auth::place::Place;
use crate::auth::template::Template;
use crate::payload::Pointer;
use crate::policy::patterns::Pattern;
use crate::policy::scheme::parse_header_name;
use crate::policy::source::Unlisted;
use crate::policy::table::parse::{Fault, parse_path};
use crate::policy::table::{Reader, Spanned};

/// `[event]`.
#[derive(Debug, Clone, Default)]
pub struct EventConfig {
    /// Where the event's name is: a header, a JSON Pointer or a form field. Absent: the preset's.
    pub place: Option<Spanned<Template>>,
    /// What an event without schema gets; there beside schemas only.
    pub unlisted: Option<Spanned<Unlisted>>,
    /// `[event.schema]`: files by event name, without [`SchemaConfig::any`].
    pub schemas: Option<SchemaConfig>,
}

/// `[event.schema]`.
#[derive(Debug, Clone)]
pub struct SchemaConfig {
    /// Files by event name.
    pub by_event: Vec<(Spanned<String>, Spanned<PathBuf>)>,
    /// Files by pattern of event names, such as `customer.subscription.*`.
    pub by_pattern: Vec<(Spanned<Pattern>, Spanned<PathBuf>)>,
    /// `"*"`: the schema of every other event, and of deliveries that name none.
    pub any: Option<Spanned<PathBuf>>,
}

/// Entries of `[event.schema]`.
pub const SCHEMAS_MAX: usize = 1_024;
pub(super) fn read_event(event: &mut Reader<'_>) -> EventConfig {
    let [mut first, others @ ..] = ["header", "pointer", "form"];
    for other in others {
        if event.has(first) && event.has(other) {
            event.error(event.key_span(other), Fault::new(format!("{first} and {other} cannot stand together")));
        } else if event.has(other) {
            first = other;
        }
    }
    let header =
        event.parsed("header", |text| parse_header_name(text).map(|name| Template::of_place(Place::header(name))));
    let pointer = event.parsed("pointer", parse_event_pointer);
    let form = event.parsed("form", parse_form_field);
    let unlisted = event.one_of("unlisted", UNLISTED);
    let schemas = event.table("schema", read_schemas);

    let why = match &schemas {
        None => Some("without [event.schema]"),
        Some(schemas) if schemas.any.is_some() => Some("beside the schema \"*\", which every event has"),
        Some(_) => None,
    };
    if let (Some(unlisted), Some(why)) = (&unlisted, why) {
        event.warning(Some(unlisted.span.clone()), Fault::new(format!("unlisted has no effect {why}")));
    }
    EventConfig { place: header.or(pointer).or(form), unlisted, schemas }
}

fn parse_event_pointer(text: &str) -> Result<Template, Fault> {
    if text.is_empty() {
        return Err(Fault::new("the empty pointer is the whole body").hint("such as \"/type\""));
    }
    match Pointer::parse(text) {
        Ok(pointer) => Ok(Template::of_place(Place::Json(pointer))),
        Err(fault) => Err(Fault::new(format!("{text:?} is not a JSON Pointer")).hint(fault.to_string())),
    }
}

fn parse_form_field(text: &str) -> Result<Template, Fault> {
    if text.is_empty() {
        return Err(Fault::new("a form field has a name").hint("such as \"event\""));
    }
    Ok(Template::of_place(Place::Form(text.into())))
}

fn read_schemas(schemas: &mut Reader<'_>) -> SchemaConfig {
    let directory = schemas.directory();
    let mut by_event = schemas.entries(SCHEMAS_MAX, |text| parse_path(text).map(|path| directory.join(path)));
    let any = by_event.iter().position(|(event, _)| event.value == "*").map(|position| by_event.remove(position).1);
    if schemas.is_empty() {
        schemas.warning(None, Fault::new("[event.schema] is empty, so every event is unlisted"));
    }
    let mut plain = Vec::new();
    let mut by_pattern = Vec::new();
    for (event, path) in by_event {
        match Pattern::parse(&event.value) {
            Ok(None) => plain.push((event, path)),
            Ok(Some(value)) => by_pattern.push((Spanned { value, span: event.span }, path)),
            Err(fault) => schemas.error(Some(event.span), Fault::new(format!("{:?} {fault}", event.value))),
        }
    }
    refuse_ties(schemas, &by_pattern);
    SchemaConfig { by_event: plain, by_pattern, any }
}

/// Of two patterns that fit the same name one has to be more specific.
fn refuse_ties(schemas: &Reader<'_>, patterns: &[(Spanned<Pattern>, Spanned<PathBuf>)]) {
    for (place, (pattern, _)) in patterns.iter().enumerate() {
        let ties = |(other, _): &&(Spanned<Pattern>, Spanned<PathBuf>)| {
            other.value.rank() == pattern.value.rank() && other.value.overlaps(&pattern.value)
        };
        if let Some((other, _)) = patterns.iter().take(place).find(ties) {
            let message =
                format!("{} and {} fit the same events, and none is more specific", other.value, pattern.value);
            schemas.error(Some(pattern.span.clone()), Fault::new(message));
        }
    }
}

const UNLISTED: &[(&str, Unlisted)] =
    &[("refuse", Unlisted::Refuse), ("accept", Unlisted::Accept), ("acknowledge", Unlisted::Acknowledge)];
