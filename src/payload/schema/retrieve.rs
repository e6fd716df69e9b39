//! Schemas that a schema refers to, as the library asks for them while it compiles.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jsonschema::{Draft, Retrieve, Uri, ValidationError};
use serde_json::Value;

use super::files::{Library, path_of};
use super::{SchemaFault, Store, openapi};

/// Where the schemas are that a schema refers to.
pub(super) enum Origin {
    /// Below a directory, as with every policy.
    Directory(Library),
    /// In memory.
    Store(Store),
}

/// The schemas a schema refers to, as the library asks for them.
pub(super) struct Referenced {
    origin: Origin,
    /// Of the schema's own file, for files that do not say theirs.
    draft: Draft,
    spoken: Arc<Spoken>,
}

/// The drafts of a schema, of the files that it refers to, and of their parts. A keyword of our own is not told the draft of the subschema that
/// it stands in. So what draft 4 does not have is left out where there is nothing else, and where drafts are mixed `const` is
/// asked of parts in draft 4, too: that refuses more than draft 4 would, never less.
#[derive(Default)]
pub(super) struct Spoken {
    pub(super) draft_4: AtomicBool,
    pub(super) later: AtomicBool,
}

impl Spoken {
    /// Notes the drafts of a schema and of all that is in it; `outer` is that of what does not say its own.
    pub(super) fn hear(&self, schema: &Value, outer: Draft) {
        match schema {
            Value::Object(members) => {
                let own = outer.detect(schema);
                let heard = if own == Draft::Draft4 { &self.draft_4 } else { &self.later };
                heard.store(true, Ordering::Relaxed);
                members.values().for_each(|member| self.hear(member, own));
            }
            Value::Array(elements) => elements.iter().for_each(|element| self.hear(element, outer)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

impl Referenced {
    pub(super) fn new(origin: Origin, draft: Draft, spoken: Arc<Spoken>) -> Self {
        Self { origin, draft, spoken }
    }

    /// The library only checks the schema it is given against its metaschema, not the files that one refers to.
    fn check(&self, schema: &Value) -> Result<(), SchemaFault> {
        refuse_many_patterns(schema)?;
        if openapi::is_document(schema) {
            return openapi::components(schema).try_for_each(|(pointer, component)| {
                let valid = jsonschema::draft202012::meta::validate(component);
                valid.map_err(|error| SchemaFault::invalid(&error).below(&pointer))
            });
        }
        let draft = self.draft.detect(schema);
        let metaschema = METASCHEMAS.iter().find(|(of, _)| *of == draft);
        metaschema.map_or(Ok(()), |(_, validate)| validate(schema)).map_err(|error| SchemaFault::invalid(&error))
    }
}

impl Retrieve for Referenced {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn Error + Send + Sync>> {
        let schema = match &self.origin {
            Origin::Directory(library) => {
                let path = path_of(uri.as_str()).ok_or(OUTSIDE)?;
                library.read(Path::new(&path))?
            }
            Origin::Store(store) => store.get(uri.as_str()).cloned().ok_or(OUTSIDE)?,
        };
        let schema = if openapi::is_document(&schema) { openapi::opened(schema)? } else { schema };
        self.spoken.hear(&schema, self.draft);
        match self.check(&schema) {
            Ok(()) => Ok(schema),
            Err(fault) => Err(format!("{} at \"{}\"", fault.message, fault.location.unwrap_or_default()).into()),
        }
    }
}

type Metaschema = fn(&Value) -> Result<(), ValidationError<'_>>;

const METASCHEMAS: [(Draft, Metaschema); 5] = [
    (Draft::Draft4, jsonschema::draft4::meta::validate),
    (Draft::Draft6, jsonschema::draft6::meta::validate),
    (Draft::Draft7, jsonschema::draft7::meta::validate),
    (Draft::Draft201909, jsonschema::draft201909::meta::validate),
    (Draft::Draft202012, jsonschema::draft202012::meta::validate),
];

/// The library makes a program of each pattern of member names before they can be counted together with all others.
///
/// # Errors
///
/// A fault if a file has very many of them.
pub(super) fn refuse_many_patterns(schema: &Value) -> Result<(), SchemaFault> {
    if patterns_of_names(schema) > PATTERNS_OF_NAMES_MAX {
        let message = format!("there are more than {PATTERNS_OF_NAMES_MAX} patterns of member names in one file");
        return Err(SchemaFault::new(message));
    }
    Ok(())
}

fn patterns_of_names(schema: &Value) -> usize {
    match schema {
        Value::Object(members) => {
            let own = members.get("patternProperties").and_then(Value::as_object).map_or(0, serde_json::Map::len);
            own + members.values().map(patterns_of_names).sum::<usize>()
        }
        Value::Array(elements) => elements.iter().map(patterns_of_names).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// In one file.
const PATTERNS_OF_NAMES_MAX: usize = 1_024;

/// The draft that a schema's `$schema` says, 2020-12 if it says nothing.
pub(super) fn draft_of(schema: &Value) -> Draft {
    Draft::Draft202012.detect(schema)
}

const OUTSIDE: &str = "a reference may only lead to files below the schema directory, nothing is fetched";
