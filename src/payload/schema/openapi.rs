//! Component schemas of OpenAPI documents, which a policy names by `api.yaml#/components/schemas/Push`.
//!
//! Since version 3.1 a schema of OpenAPI is one of JSON Schema 2020-12. What earlier versions call schemas is something else (`nullable`, a Boolean
//! `exclusiveMinimum`), and is refused, not misread. Whatever else such a document has (paths, examples) means nothing here.

use serde_json::Value;

/// What every document's schemas are written in.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// The same with words that refuse nothing (OpenAPI 3.1 and 3.2 §4.24).
const OPENAPI_DIALECTS: &str = "https://spec.openapis.org/oas/3.";

/// Whether this is an OpenAPI document and no schema.
pub(super) fn is_document(value: &Value) -> bool {
    ["openapi", "swagger"].iter().any(|name| value.get(name).is_some_and(Value::is_string))
}

/// An OpenAPI document as a file that schemas refer to. The error is for the operator.
pub(super) fn opened(mut document: Value) -> Result<Value, String> {
    let version = document.get("openapi").and_then(Value::as_str).unwrap_or("2.0");
    if !(version.starts_with("3.1") || version.starts_with("3.2")) {
        return Err(format!("its schemas are those of OpenAPI {version:?}, only since 3.1 they are JSON Schema"));
    }
    if let Some(dialect) = document.get("jsonSchemaDialect") {
        let known = |dialect: &str| dialect == DIALECT || dialect.starts_with(OPENAPI_DIALECTS);
        if !dialect.as_str().is_some_and(known) {
            return Err(format!("jsonSchemaDialect is {dialect}, expected that of OpenAPI or {DIALECT:?}"));
        }
    }
    if let Some(members) = document.as_object_mut() {
        members.insert("$schema".to_owned(), DIALECT.into());
    }
    Ok(document)
}

/// Its schemas, each with its pointer.
pub(super) fn components(document: &Value) -> impl Iterator<Item = (String, &Value)> {
    let schemas = document.pointer("/components/schemas").and_then(Value::as_object);
    schemas.into_iter().flatten().map(|(name, schema)| (format!("/components/schemas/{name}"), schema))
}
