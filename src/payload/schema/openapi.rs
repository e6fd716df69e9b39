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

/// The places of all schemas that deliveries may be judged by: components, and what its webhooks carry. As fragments of a URI (RFC 6901 §6).
pub(super) fn places(document: &Value) -> Vec<String> {
    let components = document.pointer("/components/schemas").and_then(Value::as_object);
    let components = components.into_iter().flatten().map(|(name, _)| vec!["components", "schemas", name]);
    let webhooks = document.get("webhooks").and_then(Value::as_object).into_iter().flatten();
    let webhooks = webhooks.flat_map(|(webhook, item)| {
        let methods = item.as_object().into_iter().flatten();
        let contents = methods
            .filter_map(|(method, operation)| Some((method, operation.pointer("/requestBody/content")?.as_object()?)));
        let schemas =
            contents.flat_map(|(method, content)| content.iter().map(move |(media, content)| (method, media, content)));
        schemas.filter(|(_, _, content)| content.get("schema").is_some()).map(|(method, media, _)| {
            vec!["webhooks", webhook.as_str(), method, "requestBody", "content", media, "schema"]
        })
    });
    let fragment = |steps: Vec<&str>| {
        let escaped = |step: &str| step.replace('%', "%25").replace('~', "~0").replace('/', "~1");
        steps.into_iter().fold(String::new(), |place, step| place + "/" + &escaped(step))
    };
    components.chain(webhooks).map(fragment).collect()
}
