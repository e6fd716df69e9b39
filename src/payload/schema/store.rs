//! Schemas in memory, under the addresses that references to them name.
//!
//! They stand in for what a policy has in its schema directory, for those who judge the judge: a conformance suite brings
//! the schemas that its own refer to. No policy leads here, and nothing is fetched here either.

use std::collections::BTreeMap;

use serde_json::Value;

/// What surrounds a schema that is compiled by [`Schema::in_store`](super::Schema::in_store).
#[derive(Debug, Clone, Default)]
pub struct Store {
    schemas: BTreeMap<String, Value>,
    pub(super) formats: Formats,
}

/// What `format` does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Formats {
    /// A text that is not of its format is refused, as under every policy.
    #[default]
    Asserted,
    /// It says what a text is meant to be, and refuses nothing.
    Annotated,
}

impl Store {
    /// A store of `schemas`, each under its absolute URI without a fragment.
    #[must_use]
    pub fn new(schemas: BTreeMap<String, Value>, formats: Formats) -> Self {
        Self { schemas, formats }
    }

    pub(super) fn get(&self, uri: &str) -> Option<&Value> {
        self.schemas.get(uri)
    }
}
