//! `[event]`: what a payload must look like.

use std::path::PathBuf;

use crate::auth::place::Place;
use crate::auth::template::Template;
use crate::payload::Pointer;
use crate::policy::scheme::parse_header_name;
use crate::policy::source::Unlisted;
use crate::policy::table::parse::{Fault, parse_path};
use crate::policy::table::{Reader, Spanned};

/// `[event]`.
#[derive(Debug, Clone, Default)]
pub struct EventConfig {
    /// Where the event's name is: a header or a JSON Pointer. Absent: the preset's.
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
    /// `"*"`: the schema of every other event, and of deliveries that name none.
    pub any: Option<Spanned<PathBuf>>,
}

/// Entries of `[event.schema]`.
pub const SCHEMAS_MAX: usize = 1_024;
pub(super) fn read_event(event: &mut Reader<'_>) -> EventConfig {
    if event.has("header") && event.has("pointer") {
        event.error(event.key_span("pointer"), Fault::new("header and pointer cannot stand together"));
    }
    let header =
        event.parsed("header", |text| parse_header_name(text).map(|name| Template::of_place(Place::header(name))));
    let pointer = event.parsed("pointer", parse_event_pointer);
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
    EventConfig { place: header.or(pointer), unlisted, schemas }
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

fn read_schemas(schemas: &mut Reader<'_>) -> SchemaConfig {
    let directory = schemas.directory();
    let mut by_event = schemas.entries(SCHEMAS_MAX, |text| parse_path(text).map(|path| directory.join(path)));
    let any = by_event.iter().position(|(event, _)| event.value == "*").map(|position| by_event.remove(position).1);
    if schemas.is_empty() {
        schemas.warning(None, Fault::new("[event.schema] is empty, so every event is unlisted"));
    }
    SchemaConfig { by_event, any }
}

const UNLISTED: &[(&str, Unlisted)] =
    &[("refuse", Unlisted::Refuse), ("accept", Unlisted::Accept), ("acknowledge", Unlisted::Acknowledge)];
