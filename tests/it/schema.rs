//! `hookward schema`, as it is built: from recorded requests to schemas that the gateway takes.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::support::command::{Ran, run};

const POLICY: &str = "path = \"/hooks/github\"\n[auth]\nprovider = \"github\"\nsecrets = [{ id = \"a\", env = \"UNSET\" }]\n\
                      [forward]\nto = \"http://127.0.0.1:3000\"\n";

/// A request record of one event.
fn record(path: &str, event: &str, body: &str) -> String {
    record_of(path, event, &[JSON], body.as_bytes())
}

fn record_of(path: &str, event: &str, fields: &[(&str, &str)], body: &[u8]) -> String {
    let headers = [&[("x-github-event", event)], fields].concat();
    let record = json!({
        "id": "1", "method": "POST", "url": format!("https://hooks.example{path}"), "headers": headers, "body_b64": STANDARD.encode(body)
    });
    format!("{record}\n")
}

/// A folder with a configuration, a policy, and these records.
fn folder(records: &[String]) -> tempfile::TempDir {
    let folder = tempfile::TempDir::with_prefix("hookward-test-").unwrap();
    fs::create_dir(folder.path().join("policies")).unwrap();
    fs::write(folder.path().join("hookward.toml"), "[policies]\ndirectory = \"policies\"\n").unwrap();
    fs::write(folder.path().join("policies/github.toml"), POLICY).unwrap();
    fs::write(folder.path().join("records.jsonl"), records.concat()).unwrap();
    folder
}

fn schema(directory: &Path, arguments: &[&str]) -> Ran {
    run(directory, &[&["schema"][..], arguments].concat())
}

fn two_events() -> tempfile::TempDir {
    folder(&[
        record("/hooks/github", "push", r#"{"ref":"main","size":1}"#),
        record("/hooks/github", "push", r#"{"ref":"other"}"#),
        record("/hooks/github", "ping", r#"{"zen":"s3nt1nel"}"#),
        record("/hooks/github", "push", r#"{"ref":1,"ref":2}"#),
        record("/elsewhere", "push", r#"{"foreign":1}"#),
    ])
}

#[test]
fn help_of_the_tasks_reads_as_it_should() {
    for task in ["infer", "drift", "check"] {
        let ran = schema(Path::new("."), &[task, "--help"]);
        assert_eq!(ran.code, 0, "{task}: {}", ran.err);
        insta::assert_snapshot!(format!("help_schema_{task}"), ran.out);
    }
}

#[test]
fn each_event_gets_a_file_that_the_gateway_takes() {
    let folder = two_events();
    let ran = schema(folder.path(), &["infer", "--by-event", "--out", "policies/schemas", "records.jsonl"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(
        ran.out,
        "[event.schema]   # of github\n\
         \"ping\" = \"schemas/ping.json\"   # 1 sample\n\
         \"push\" = \"schemas/push.json\"   # 2 samples\n"
    );
    assert!(ran.err.contains("records.jsonl:4: the body is left out: json_duplicate_key at byte 9"), "{}", ran.err);
    assert!(ran.err.contains("records.jsonl:5: no source has the path \"/elsewhere\""), "{}", ran.err);
    let path = folder.path().join("policies/schemas/push.json");
    let push = fs::read_to_string(&path).unwrap();
    insta::assert_snapshot!("schema_infer_push", push);

    let checked = schema(folder.path(), &["check", "policies/schemas/push.json", "policies/schemas/ping.json"]);
    assert_eq!(checked.code, 0, "{}", checked.out);
    assert_eq!(checked.out, "policies/schemas/push.json: no error\npolicies/schemas/ping.json: no error\n");

    fs::remove_file(folder.path().join("policies/schemas/ping.json")).unwrap();
    fs::write(&path, "mine").unwrap();
    let again = schema(folder.path(), &["infer", "--by-event", "--out", "policies/schemas", "records.jsonl"]);
    assert_eq!(again.code, 1);
    assert!(again.err.contains("push.json: is there already; nothing is written"), "{}", again.err);
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    assert!(!folder.path().join("policies/schemas/ping.json").exists());
}

type Words = &'static [&'static str];
/// A name, arguments, the exit code, what stands in the output and what does not.
type Case = (&'static str, Words, i32, Words, Words);

#[test]
fn one_schema_goes_to_standard_output() {
    let folder = two_events();
    let cases: [Case; 6] = [
        ("all together", &[], 0, &["\"ref\"", "\"zen\"", "\"foreign\""], &["s3nt1nel", "required"]),
        ("one event", &["--event", "ping"], 0, &["\"zen\""], &["\"ref\"", "s3nt1nel"]),
        ("one source", &["--source", "github"], 0, &["\"ref\"", "\"zen\""], &["\"foreign\""]),
        ("several", &["--by-event"], 1, &[], &["{"]),
        ("an event that never came", &["--event", "pong"], 1, &[], &["{"]),
        ("no such source", &["--source", "gitlab"], 1, &[], &["{"]),
    ];
    for (name, arguments, code, there, absent) in cases {
        let ran = schema(folder.path(), &[&["infer", "records.jsonl"][..], arguments].concat());
        assert_eq!(ran.code, code, "{name}: {}", ran.err);
        assert_eq!(ran.err.contains("hookward: "), code != 0, "{name}: {}", ran.err);
        assert!(there.iter().all(|part| ran.out.contains(part)), "{name}: {}", ran.out);
        assert!(!absent.iter().any(|part| ran.out.contains(part)), "{name}: {}", ran.out);
    }
}

#[test]
fn a_schema_that_the_gateway_would_refuse_is_named_with_its_place() {
    let folder = two_events();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("good.json", r#"{"$ref":"part.json"}"#);
    write("part.json", r#"{"type":"object"}"#);
    let cases = [
        ("type", r#"{"properties":{"a":{"type":"strin"}}}"#, "bad.json#/properties/a/type"),
        ("pattern", r#"{"pattern":"(?=a)b"}"#, "bad.json#/pattern"),
        ("reference", r#"{"$ref":"https://example.com/a.json"}"#, "nothing is fetched"),
        ("a name twice", r#"{"type":"null","type":"string"}"#, "(line 1, column 16)"),
    ];
    for (name, text, expected) in cases {
        write("bad.json", text);
        let ran = schema(folder.path(), &["check", "good.json", "bad.json"]);
        assert_eq!(ran.code, 1, "{name}");
        assert!(ran.out.starts_with("good.json: no error\nerror: "), "{name}: {}", ran.out);
        assert!(ran.out.contains(expected), "{name}: {}", ran.out);
    }
    write("policies/up.json", r#"{"$ref":"../part.json"}"#);
    assert_eq!(schema(folder.path(), &["check", "policies/up.json"]).code, 1);
    assert_eq!(schema(folder.path(), &["check", "--directory", ".", "policies/up.json"]).code, 0);
    assert_eq!(schema(folder.path(), &["check", "nowhere.json"]).code, 1);
}

#[test]
fn an_openapi_document_is_checked_with_all_its_schemas() {
    let folder = two_events();
    let document = |push: &str| {
        format!(
            r##"{{"openapi":"3.1.0","components":{{"schemas":{{"a~b/c%":{{"type":"object"}},"Push":{push}}}}},
            "webhooks":{{"push":{{"post":{{"requestBody":{{"content":{{"application/json":{{"schema":{{"$ref":"#/components/schemas/Push"}}}},"text/plain":{{}}}}}}}}}}}}}}"##
        )
    };
    fs::create_dir(folder.path().join("apis")).unwrap();
    let write = |text: &str| fs::write(folder.path().join("apis/api.json"), text).unwrap();
    write(&document(r#"{"type":"object"}"#));
    let ran = schema(folder.path(), &["check", "apis/api.json", "apis/api.json#/components/schemas/Push"]);
    let expected = "apis/api.json: 3 schemas, no error\napis/api.json#/components/schemas/Push: no error\n";
    assert_eq!((ran.code, ran.out.as_str()), (0, expected));
    write(&document(r#"{"pattern":"(?=a)"}"#));
    let ran = schema(folder.path(), &["check", "apis/api.json"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.starts_with("apis/api.json: 3 schemas, 2 with an error\nerror: "), "{}", ran.out);
    assert!(
        ran.out.contains("--> apis/api.json#/webhooks/push/post/requestBody/content/application~1json/schema"),
        "{}",
        ran.out
    );
    write(&document("1").replace("3.1.0", "3.0.3"));
    let ran = schema(folder.path(), &["check", "apis/api.json"]);
    assert!(ran.code == 1 && ran.out.contains("OpenAPI \"3.0.3\""), "{}", ran.out);
}

const SCHEMA: &str =
    r#"{"required":["ref"],"properties":{"ref":{"type":"string","maxLength":5},"size":{"type":"integer"}}}"#;

/// The folder of two events, with a policy that has a schema for one of them.
fn compared(records: &[String]) -> tempfile::TempDir {
    let folder = folder(records);
    let policy = format!("{POLICY}[event.schema]\npush = \"push.json\"\n");
    fs::write(folder.path().join("policies/github.toml"), policy).unwrap();
    fs::write(folder.path().join("policies/push.json"), SCHEMA).unwrap();
    folder
}

fn push(body: &str) -> String {
    record("/hooks/github", "push", body)
}

#[test]
fn what_drifted_is_listed_by_event() {
    let folder = compared(&[
        push(r#"{"ref":"main","size":1}"#),
        push(r#"{"ref":"s3nt1nel","size":"s3nt1nel","sender":{"login":"s3nt1nel"}}"#),
        push(r#"{"size":2,"sender":null}"#),
        record("/hooks/github", "star", r#"{"zen":"s3nt1nel"}"#),
    ]);
    let ran = schema(folder.path(), &["drift", "records.jsonl"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(!ran.out.contains("s3nt1nel") && !ran.err.contains("s3nt1nel"), "{}{}", ran.out, ran.err);
    insta::assert_snapshot!("schema_drift", ran.out);
    let ran = schema(folder.path(), &["drift", "--json", "--event", "push", "records.jsonl"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let line: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&line["samples"], &line["misses"], &line["listed"]), (&3.into(), &2.into(), &true.into()));
    let found: Vec<_> = line["findings"].as_array().unwrap().iter().map(|found| &found["drift"]).collect();
    assert_eq!(found, ["new", "missing", "changed", "changed"]);
}

#[test]
fn drift_says_by_its_exit_code_whether_there_is_any() {
    let log = |reason: &str, errors: &str| {
        format!(
            "{{\"ts\":\"2026-11-23T14:03:05.123456Z\",\"delivery\":\"1\",\"source\":\"github\",\"stage\":\"validate\",\"reason\":\"{reason}\",\
             \"status\":200,\"blame\":\"sender\",\"event\":\"push\",\"detail\":{{{errors}}},\"suppressed\":0,\"effect\":\"monitored\"}}\n"
        )
    };
    let missed = log(
        "schema_mismatch",
        r##""errors":[{"pointer":"/size","keyword":"type","schema":"#/properties/size/type"}]"##,
    );
    let rows: [(&str, String, i32, &str); 7] = [
        ("none", push(r#"{"ref":"main"}"#), 0, "github push: 1 sample, no drift\n"),
        ("a new member", push(r#"{"ref":"main","a":1}"#), 1, "new      /a  number  1 of 1"),
        ("no schema", record("/hooks/github", "star", "{}"), 1, "github star: 1 sample, no schema\n"),
        ("a log", missed, 1, "changed  /size    1 of 1  type #/properties/size/type"),
        ("a log of something else", log("json_malformed", ""), 1, ""),
        ("no sample", String::new(), 1, ""),
        ("no strict JSON", push(r#"{"ref":"main","ref":"main"}"#), 1, ""),
    ];
    for (name, text, code, expected) in rows {
        let folder = compared(&[text]);
        let ran = schema(folder.path(), &["drift", "records.jsonl"]);
        assert_eq!(ran.code, code, "{name}: {}{}", ran.out, ran.err);
        assert!(ran.out.contains(expected), "{name}: {}", ran.out);
        assert_eq!(ran.err.contains("no sample to compare"), expected.is_empty(), "{name}: {}", ran.err);
    }
    let folder = folder(&[push("{}")]);
    let ran = schema(folder.path(), &["drift", "records.jsonl"]);
    assert!(ran.err.contains("source \"github\" has no [event.schema]"), "{}", ran.err);
}

type Field = (&'static str, &'static str);
type Row<'r> = (&'r str, &'r [Field], &'r str, [Vec<u8>; 2]);

const JSON: Field = ("content-type", "application/json");
const LINES: Field = ("content-type", "application/x-ndjson");
const FORM: Field = ("content-type", "application/x-www-form-urlencoded");
const MULTIPART: Field = ("content-type", "multipart/form-data; boundary=b");
const GZIP: Field = ("content-encoding", "gzip");

#[test]
fn bodies_are_read_as_the_gateway_reads_them_whatever_they_are_spelled_in() {
    let gzip = |body: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(body.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let plain = |body: &str| body.as_bytes().to_vec();
    let in_lines = format!(r#"{{"items":{SCHEMA}}}"#);
    let multipart = |name: &str, value: &str| {
        plain(&format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n--b--\r\n"))
    };
    // (how it is spelled, what says so, the schema, a body that fits and one that does not)
    let rows: [Row<'_>; 7] = [
        ("json", &[JSON], SCHEMA, [r#"{"ref":"main"}"#, r#"{"ref":"longer"}"#].map(plain)),
        ("json lines", &[LINES], &in_lines, ["{\"ref\":\"a\"}\n{\"ref\":\"b\"}\n", "{\"ref\":\"a\"}\n{}\n"].map(plain)),
        ("a form", &[FORM], SCHEMA, ["ref=main", "ref=longer"].map(plain)),
        (
            "json in a field",
            &[FORM],
            SCHEMA,
            ["payload=%7B%22ref%22:%22main%22%7D", "payload={%22ref%22:1}"].map(plain),
        ),
        ("multipart", &[MULTIPART], SCHEMA, ["main", "longer"].map(|text| multipart("ref", text))),
        ("json in a part", &[MULTIPART], SCHEMA, [r#"{"ref":"main"}"#, "{}"].map(|text| multipart("payload", text))),
        ("compressed", &[JSON, GZIP], SCHEMA, [r#"{"ref":"main"}"#, "{}"].map(gzip)),
    ];
    for (name, fields, declared, bodies) in rows {
        for (body, (code, verdict)) in bodies.iter().zip([(0, "1 sample, no drift"), (1, "1 sample, 1 does not fit")]) {
            let folder = compared(&[record_of("/hooks/github", "push", fields, body)]);
            let policy = folder.path().join("policies/github.toml");
            fs::write(&policy, format!("content_encodings = [\"gzip\"]\n{}", fs::read_to_string(&policy).unwrap()))
                .unwrap();
            fs::write(folder.path().join("policies/push.json"), declared).unwrap();
            let ran = schema(folder.path(), &["drift", "records.jsonl"]);
            assert_eq!(ran.code, code, "{name}: {}{}", ran.out, ran.err);
            assert!(ran.out.contains(verdict), "{name}: {}{}", ran.out, ran.err);
            let ran = schema(folder.path(), &["infer", "--event", "push", "records.jsonl"]);
            assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{name}");
        }
    }
}

#[test]
fn a_body_without_a_head_is_json_also_where_the_source_reads_something_else() {
    let folder = compared(&["{\"ref\":\"longer\"}\n".to_owned()]);
    let policy =
        format!("payload = \"form\"\n{POLICY}[event]\npointer = \"/ref\"\n[event.schema]\nlonger = \"push.json\"\n");
    fs::write(folder.path().join("policies/github.toml"), policy).unwrap();
    let ran = schema(folder.path(), &["drift", "--source", "github", "records.jsonl"]);
    assert!(ran.out.starts_with("github longer: 1 sample, 1 does not fit\n"), "{}{}", ran.out, ran.err);
}
