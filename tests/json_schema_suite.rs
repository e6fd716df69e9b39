//! Every mandatory test of the JSON-Schema-Test-Suite for the five drafts that a policy's schema may be of, on the way that
//! a delivery takes: its value is read by [`Document`] and judged by [`Schema`], once with the short way to a yes and once
//! by the validator alone. What the suite's schemas refer to is served from `remotes/`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hookward::payload::schema::{Formats, Schema, Store};
use hookward::payload::{Document, JsonLimits};
use serde_json::Value;

/// The drafts' folders, what each calls itself, and how many tests there are: a file that is lost is missed.
const DRAFTS: [(&str, &str, usize); 5] = [
    ("draft4", "http://json-schema.org/draft-04/schema#", 618),
    ("draft6", "http://json-schema.org/draft-06/schema#", 839),
    ("draft7", "http://json-schema.org/draft-07/schema#", 927),
    ("draft2019-09", "https://json-schema.org/draft/2019-09/schema", 1259),
    ("draft2020-12", "https://json-schema.org/draft/2020-12/schema", 1299),
];

/// Where the suite says its remote schemas are served.
const REMOTE: &str = "http://localhost:1234/";

fn suite() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/json-schema-test-suite")
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("the file is there")).expect("the file is JSON")
}

/// The JSON files in `folder` and below, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

fn remotes() -> BTreeMap<String, Value> {
    let folder = suite().join("remotes");
    let address = |path: &Path| format!("{REMOTE}{}", path.strip_prefix(&folder).expect("it is below").display());
    files(&folder).iter().map(|path| (address(path), json(path))).collect()
}

/// Most schemas of the older drafts do not say which draft they are of; their folder does.
fn of_draft(schema: &Value, draft: &str) -> Value {
    let mut schema = schema.clone();
    if let Some(keywords) = schema.as_object_mut() {
        keywords.entry("$schema").or_insert_with(|| draft.into());
    }
    schema
}

/// What is wrong with one test, if anything is.
fn fault(schema: &Schema, test: &Value) -> Option<String> {
    let text = test["data"].to_string();
    let document = match Document::read(Bytes::from(text), JsonLimits::default()) {
        Ok(document) => document,
        Err(rejection) => return Some(format!("not read: {}", rejection.reason().row().code)),
    };
    let expected = test["valid"].as_bool().expect("a test says what is expected");
    let (short, long) = (schema.check(&document).is_ok(), schema.check_the_long_way(&document).is_ok());
    (short != expected || long != expected)
        .then(|| format!("expected {expected}, the short way says {short}, the long way {long}"))
}

#[test]
fn every_mandatory_test_of_the_suite_passes_on_both_ways() {
    let remotes = remotes();
    let mut faults = Vec::new();
    for (folder, draft, expected) in DRAFTS {
        let mut count = 0;
        for path in files(&suite().join("tests").join(folder)) {
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a file has a name");
            // Only this file says that a format is an annotation.
            let formats = if name == "format" { Formats::Annotated } else { Formats::Asserted };
            for group in json(&path).as_array().expect("a file holds groups") {
                let tests = group["tests"].as_array().expect("a group has tests");
                count += tests.len();
                let place = format!("{folder}/{name}: {}", group["description"]);
                let schema =
                    match Schema::in_store(&of_draft(&group["schema"], draft), Store::new(remotes.clone(), formats)) {
                        Ok(schema) => schema,
                        Err(fault) => {
                            faults.push(format!("{place}: {fault}"));
                            continue;
                        }
                    };
                let wrong = |test: &Value| Some(format!("{place}: {}: {}", test["description"], fault(&schema, test)?));
                faults.extend(tests.iter().filter_map(wrong));
            }
        }
        assert_eq!(count, expected, "tests in {folder}");
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
