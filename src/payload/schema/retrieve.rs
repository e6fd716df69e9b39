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
    /// Set where a file has anything of draft 4 in it.
    draft_4: Arc<AtomicBool>,
}

impl Referenced {
    pub(super) fn new(origin: Origin, draft: Draft, draft_4: Arc<AtomicBool>) -> Self {
        Self { origin, draft, draft_4 }
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
        if speaks_draft_4(&schema) {
            self.draft_4.store(true, Ordering::Relaxed);
        }
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

/// Whether some part of a schema says that it is of draft 4.
pub(super) fn speaks_draft_4(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => {
            Draft::Draft202012.detect(schema) == Draft::Draft4 || members.values().any(speaks_draft_4)
        }
        Value::Array(elements) => elements.iter().any(speaks_draft_4),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

const OUTSIDE: &str = "a reference may only lead to files below the schema directory, nothing is fetched";
