use super::*;
use crate::payload::JsonLimits;

fn read(text: &str) -> Document {
    let limits = JsonLimits { depth_max: 128, ..JsonLimits::default() };
    Document::read(bytes::Bytes::copy_from_slice(text.as_bytes()), limits).expect("the case is JSON")
}

fn schema(value: &Value) -> Schema {
    Schema::from_value(value, &std::env::temp_dir()).expect("the case's schema compiles")
}

/// The rows of a rejection as `pointer keyword schema [property]`; nothing if the payload fits.
fn errors(schema: &Schema, text: &str) -> Vec<String> {
    let Err(rejection) = schema.check(&read(text)) else {
        return Vec::new();
    };
    assert_eq!(rejection.reason(), Reason::SchemaMismatch);
    let [("errors", Fact::Rows(rows))] = rejection.detail() else {
        panic!("one fact is expected, not {:?}", rejection.detail());
    };
    let text = |fact: &Fact| match fact {
        Fact::Text(text) => text.to_string(),
        Fact::Number(_) | Fact::List(_) | Fact::Rows(_) => panic!("a text is expected"),
    };
    rows.iter().map(|row| row.iter().map(|(_, fact)| text(fact)).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn each_draft_is_read_as_it_is_meant() {
    // What tells the drafts apart: an exclusive bound, `const`, `if`, `dependentRequired`, `prefixItems`.
    let cases = [
        ("http://json-schema.org/draft-04/schema#", json!({"maximum": 5, "exclusiveMaximum": true}), "5", "4"),
        ("http://json-schema.org/draft-06/schema#", json!({"exclusiveMaximum": 5, "const": 4}), "5", "4"),
        ("http://json-schema.org/draft-07/schema#", json!({"if": {"const": 5}, "then": false}), "5", "4"),
        (
            "https://json-schema.org/draft/2019-09/schema",
            json!({"dependentRequired": {"a": ["b"]}}),
            r#"{"a":1}"#,
            "{}",
        ),
        ("https://json-schema.org/draft/2020-12/schema", json!({"prefixItems": [{"type": "null"}]}), "[1]", "[null]"),
        ("", json!({"prefixItems": [{"type": "null"}]}), "[1]", "[null]"),
    ];
    for (draft, mut value, misses, fits) in cases {
        if !draft.is_empty() {
            value["$schema"] = draft.into();
        }
        let schema = schema(&value);
        assert!(schema.check(&read(misses)).is_err(), "{draft}");
        assert!(schema.check(&read(fits)).is_ok(), "{draft}");
    }
}

/// Draft 4 does not have the word. Where it stands beside another draft it is asked all the same, which no alternative may be chosen by.
#[test]
fn const_means_nothing_where_its_draft_does_not_have_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let draft_4 = "http://json-schema.org/draft-04/schema#";
    let part = json!({"definitions": {"a": {"const": "a"}}, "properties": {"a": {"$ref": "#/definitions/a"}}});
    std::fs::write(directory.path().join("part.json"), part.to_string()).expect("a file");
    let schemas = [
        json!({"const": "a"}),
        json!({"type": "string", "const": "a", "minLength": 1}),
        json!({"properties": {"const": {"const": 1}}, "required": ["const"]}),
        json!({"oneOf": [{"const": null}, {"type": ["string", "null"]}]}),
        json!({"anyOf": [{"const": 1}, {"not": {}}]}),
        json!({"not": {"const": "a"}}),
        json!({"enum": ["a", "b"], "const": "a"}),
    ];
    let payloads = [r#""a""#, r#""b""#, "null", "1", r#"{"const":2}"#, "{}"];
    for mut value in schemas {
        value["$schema"] = draft_4.into();
        let ours = schema(&value);
        for text in payloads {
            let payload = serde_json::from_str(text).expect("the case is JSON");
            assert_eq!(
                ours.check(&read(text)).is_ok(),
                jsonschema::draft4::is_valid(&value, &payload),
                "{text}: {value}"
            );
        }
    }
    let value = json!({"$schema": draft_4, "allOf": [{"$ref": "part.json"}]});
    let file = Schema::from_value(&value, directory.path()).expect("a file of the same draft");
    assert!(file.check(&read(r#"{"a":"b"}"#)).is_ok());
    let later = json!({"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"old": {"$id": "https://example.com/old", "$schema": draft_4, "const": "a"}}, "items": {"const": "a"}});
    assert!(schema(&later).check(&read(r#"["b"]"#)).is_err(), "a part of draft 4 takes the word from nobody");
}

#[test]
fn a_format_means_nothing_where_its_draft_does_not_have_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let checked = json!({"format": "uri-template"});
    let draft_4 = json!({"$schema": "http://json-schema.org/draft-04/schema#", "format": "uri-template"});
    std::fs::write(directory.path().join("draft-4.json"), draft_4.to_string()).expect("a file");
    let embedded = json!({
        "$defs": {"old": {"id": "https://example.com/old", "$schema": draft_4["$schema"], "format": "uri-template"}},
        "prefixItems": [checked, {"$ref": "#/$defs/old"}],
    });
    let cases = [
        ("the draft has it", checked.clone(), r#""{""#, true),
        ("draft 4", draft_4, r#""{""#, false),
        ("beside a file of draft 4", json!({"prefixItems": [checked, {"$ref": "draft-4.json"}]}), r#"["{"]"#, true),
        ("in a file of draft 4", json!({"prefixItems": [checked, {"$ref": "draft-4.json"}]}), r#"["", "{"]"#, false),
        ("beside a part of draft 4", embedded, r#"["{"]"#, true),
    ];
    for (name, value, text, refused) in cases {
        let schema = Schema::from_value(&value, directory.path()).expect(name);
        assert_eq!(schema.check(&read(text)).is_err(), refused, "{name}");
    }
}

#[test]
fn errors_say_where_in_words_of_the_schema() {
    let value = json!({
        "required": ["id"],
        "properties": {
            "id": {"type": "integer"},
            "user": {"$ref": "#/$defs/user"},
            "a/b": {"items": {"maxLength": 2}},
            "closed": {"additionalProperties": false},
            "map": {"additionalProperties": {"properties": {"ok": {"type": "boolean"}}}},
            "tags": {"patternProperties": {"^t": {"type": "null"}}},
            "either": {"oneOf": [{"type": "null"}, {"properties": {"kind": {"const": "a"}, "n": {"type": "number"}}}]},
            "never": false,
            "when": {"format": "date-time"},
        },
        "$defs": {"user": {"required": ["login"]}},
    });
    let schema = schema(&value);
    let cases: [(&str, &[&str]); 15] = [
        (r#"{"id":1}"#, &[]),
        ("[]", &[]),
        ("{}", &[" required #/required id"]),
        (r#"{"id":"x"}"#, &["/id type #/properties/id/type"]),
        (r#"{"\u0069d":"x"}"#, &["/id type #/properties/id/type"]),
        (r#"{"id":1,"user":{"mail":"a@b"}}"#, &["/user required #/$defs/user/required login"]),
        (r#"{"id":1,"a/b":["ab","abc"]}"#, &["/a~1b/1 maxLength #/properties/a~1b/items/maxLength"]),
        (
            r#"{"id":1,"closed":{"secret":1}}"#,
            &["/closed additionalProperties #/properties/closed/additionalProperties"],
        ),
        (
            r#"{"id":1,"map":{"secret":{"ok":1}}}"#,
            &["/map/*/ok type #/properties/map/additionalProperties/properties/ok/type"],
        ),
        (r#"{"id":1,"tags":{"t-secret":1}}"#, &["/tags/* type #/properties/tags/patternProperties/^t/type"]),
        (
            r#"{"id":1,"map":{"4111111111111111":{"ok":1}}}"#,
            &["/map/*/ok type #/properties/map/additionalProperties/properties/ok/type"],
        ),
        (
            r#"{"id":1,"either":{"kind":"a","n":"x"}}"#,
            &[
                "/either oneOf #/properties/either/oneOf",
                "/either/n type #/properties/either/oneOf/1/properties/n/type",
            ],
        ),
        (r#"{"id":1,"when":"yesterday"}"#, &["/when format #/properties/when/format"]),
        (r#"{"id":1,"never":1}"#, &["/never false #/properties/never"]),
        (r#"{"id":1.0,"when":"2026-11-23T10:00:00Z"}"#, &[]),
    ];
    for (text, expected) in cases {
        assert_eq!(errors(&schema, text), expected, "{text}");
    }
}

#[test]
fn nothing_of_the_payload_gets_into_a_rejection() {
    const SENTINEL: &str = "s3nt1nel";
    let schemas = [
        json!({"properties": {"a": {"enum": ["x"]}}, "additionalProperties": false}),
        json!({"properties": {"a": {"type": "object", "unevaluatedProperties": false}}, "propertyNames": {"maxLength": 3}}),
        json!({"properties": {"a": {"pattern": "^x", "maxLength": 3, "format": "uuid"}}, "minProperties": 9}),
        json!({"patternProperties": {"": {"type": "integer"}}, "not": {}}),
        json!({"additionalProperties": {"oneOf": [{"const": 1}, {"properties": {"b": {"not": {}}}}]}}),
        json!({"properties": {"a": {"anyOf": [{"contains": {"const": 1}}, {"items": false}, {"uniqueItems": true}]}}}),
        json!({"dependentRequired": {"a": ["z"]}, "dependentSchemas": {"a": false}}),
    ];
    let texts = [
        format!(r#"{{"a":"{SENTINEL}","{SENTINEL}":"{SENTINEL}"}}"#),
        format!(r#"{{"a":{{"{SENTINEL}":["{SENTINEL}"]}},"{SENTINEL}":{{"b":"{SENTINEL}"}}}}"#),
        format!(r#"{{"a":["{SENTINEL}","{SENTINEL}"],"{SENTINEL}":["{SENTINEL}"]}}"#),
    ];
    let mut refused = 0;
    for value in &schemas {
        for text in &texts {
            if let Err(rejection) = schema(value).check(&read(text)) {
                refused += 1;
                assert!(!format!("{rejection:?}").contains(SENTINEL), "{value} {text}: {rejection:?}");
            }
        }
    }
    assert!(refused > 15, "most of them are refused: {refused}");
}

#[test]
fn at_most_16_errors_are_reported() {
    let schema = schema(&json!({"items": {"type": "string"}}));
    for (wrong, reported) in [(15, 15), (16, 16), (17, 16), (2_000, 16)] {
        let text = format!("[{}]", vec!["1"; wrong].join(","));
        assert_eq!(errors(&schema, &text).len(), reported, "{wrong}");
    }
}

#[test]
fn overlapping_alternatives_are_not_explained_where_that_could_take_long() {
    let node = |kind: &str| json!({"properties": {"a": {"$ref": "#/$defs/n"}, "x": {"type": kind}}});
    let schema = schema(&json!({"$ref": "#/$defs/n", "$defs": {"n": {"oneOf": [node("integer"), node("string")]}}}));
    let nested = |depth: usize| format!("{}{{\"x\":true}}{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    assert_eq!(errors(&schema, &nested(2)).first().map(String::as_str), Some(" oneOf #/$defs/n/oneOf"));
    let rejection = schema.check(&read(&nested(60))).expect_err("the innermost value does not fit");
    assert!(rejection.detail().is_empty());
    assert_eq!(rejection.next_step(), HINT_UNEXPLAINED);
    let fits = nested(60).replace("true", "1");
    assert!(schema.check(&read(&fits)).is_err(), "both alternatives fit the outermost object");
}

#[test]
fn the_deepest_evaluation_that_is_allowed_fits_a_workers_stack() {
    let inner =
        json!({"properties": {"a": {"$ref": "#/$defs/n"}, "x": {"type": "integer"}}, "unevaluatedProperties": false});
    let node = (0..4).fold(inner, |inner, _| json!({"oneOf": [inner]}));
    let schema = schema(&json!({"$ref": "#/$defs/n", "$defs": {"n": node}}));
    for (leaf, fits) in [("1", true), ("true", false)] {
        let text = format!("{}{{\"x\":{leaf}}}{}", "{\"a\":".repeat(127), "}".repeat(127));
        let schema = schema.clone();
        let thread = std::thread::Builder::new().stack_size(2 << 20);
        let judged = thread.spawn(move || schema.check(&read(&text)).is_ok()).map(std::thread::JoinHandle::join);
        assert!(matches!(judged, Ok(Ok(outcome)) if outcome == fits), "{leaf}");
    }
}

#[test]
fn references_stay_inside_the_directory() {
    let outside = tempfile::tempdir().expect("a directory");
    std::fs::write(outside.path().join("secret.json"), r#"{"type":"null"}"#).expect("a file");
    let directory = outside.path().join("schemas");
    std::fs::create_dir_all(directory.join("github")).expect("a directory");
    let write = |name: &str, value: &Value| std::fs::write(directory.join(name), value.to_string()).expect("a file");
    write(
        "common.json",
        &json!({"$defs": {"user": {"required": ["login"], "properties": {"login": {"$ref": "github/name.json"}}}}}),
    );
    write("github/name.json", &json!({"type": "string", "maxLength": 3}));
    write("with space.json", &json!({"type": "null"}));
    #[cfg(unix)]
    std::os::unix::fs::symlink(outside.path().join("secret.json"), directory.join("link.json")).expect("a link");
    #[cfg(unix)]
    std::os::unix::fs::symlink(outside.path(), directory.join("up")).expect("a link");
    let cases = [
        ("beside", "common.json", None),
        ("fragment of another file", "common.json#/$defs/user", None),
        ("below", "github/name.json", None),
        ("back into the directory", "github/../common.json", None),
        ("space", "with%20space.json", None),
        ("missing", "none.json", Some("none.json")),
        ("missing fragment", "common.json#/$defs/none", Some("\"common.json#/$defs/none\" leads nowhere")),
        ("above", "../secret.json", Some("secret.json")),
        ("above, encoded", "%2e%2e/secret.json", Some("secret.json")),
        ("above, separator encoded", "..%2fsecret.json", Some("nothing is fetched")),
        ("above, all encoded", "%2e%2e%2fsecret.json", Some("nothing is fetched")),
        ("link to a file", "link.json", Some("link out of it")),
        ("link to a directory", "up/secret.json", Some("link out of it")),
        ("directory", "github", Some("not a regular file")),
        ("http", "http://example.com/a.json", Some("nothing is fetched")),
        ("https", "https://example.com/a.json", Some("nothing is fetched")),
        ("file", "file:///etc/passwd", Some("nothing is fetched")),
        ("file of this directory", "file:common.json", Some("nothing is fetched")),
        ("absolute path", "/etc/passwd", Some("etc/passwd")),
        ("another host", "//example.com/common.json", Some("nothing is fetched")),
    ];
    for (name, reference, fault) in cases {
        write("schema.json", &json!({"$ref": reference}));
        let loaded = Schema::load(&directory.join("schema.json"), &directory);
        match (loaded, fault) {
            (Ok(_), None) => {}
            (Err(found), Some(expected)) if found.message.contains(expected) => {}
            (found, _) => panic!("{name}: expected {fault:?}, got {found:?}"),
        }
    }
    for (wrong, place) in
        [(json!({"items": 3}), "/items"), (json!({"$defs": {"a": {"type": "strin"}}}), "/$defs/a/type")]
    {
        write("wrong.json", &wrong);
        write("schema.json", &json!({"$ref": "wrong.json"}));
        let fault = Schema::load(&directory.join("schema.json"), &directory).expect_err("a file it refers to is wrong");
        assert!(fault.message.contains("\"wrong.json\"") && fault.message.contains(place), "{}", fault.message);
    }
    write("schema.json", &json!({"properties": {"user": {"$ref": "common.json#/$defs/user"}}}));
    let schema = Schema::load(&directory.join("schema.json"), &directory).expect("it loads");
    let expected = ["/user/login maxLength github/name.json#/maxLength"];
    assert_eq!(errors(&schema, r#"{"user":{"login":"abcd"}}"#), expected);
    assert_eq!(errors(&schema, r#"{"user":{"login":"abc"}}"#), [""; 0]);
    let elsewhere = Schema::load(&outside.path().join("secret.json"), &directory);
    assert!(elsewhere.is_err_and(|fault| fault.message.contains("is outside")));
}

#[test]
fn files_are_bounded_together() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("schema.json");
    let padded = |text: &str, length: u64| {
        let spaces = usize::try_from(length).expect("it fits") - text.len();
        format!("{text}{}", " ".repeat(spaces))
    };
    let most = files::FILES_BYTES_MAX;
    for (length, loads) in [(most - 1, true), (most, true), (most + 1, false)] {
        std::fs::write(&path, padded("{}", length)).expect("a file");
        assert_eq!(Schema::load(&path, directory.path()).is_ok(), loads, "{length}");
    }
    std::fs::write(&path, padded(r#"{"$ref":"other.json"}"#, most / 2)).expect("a file");
    for (length, loads) in [(most / 2, true), (most / 2 + 1, false)] {
        std::fs::write(directory.path().join("other.json"), padded("{}", length)).expect("a file");
        assert_eq!(Schema::load(&path, directory.path()).is_ok(), loads, "another of {length}");
    }
}

#[test]
fn what_is_wrong_with_a_schema_is_said_with_its_place() {
    let cases = [
        (
            "type",
            json!({"properties": {"a": {"type": "strin"}}}),
            "\"strin\" is no type, which are array, boolean,",
            Some("/properties/a/type"),
        ),
        ("list of types", json!({"type": ["null", "text"]}), "[\"null\",\"text\"] is no type", Some("/type")),
        (
            "look-around",
            json!({"properties": {"a": {"pattern": "(?=a)b"}}}),
            "linear time",
            Some("/properties/a/pattern"),
        ),
        (
            "back-reference",
            json!({"patternProperties": {r"(a)\1": {}}}),
            "linear time",
            Some(r"/patternProperties/(a)\1"),
        ),
        ("pattern that grows", json!({"pattern": "(a{1000}){1000}"}), "bounded memory", Some("/pattern")),
        ("no such pointer", json!({"$ref": "#/$defs/none"}), "\"#/$defs/none\" leads nowhere", Some("/$ref")),
        (
            "no such anchor",
            json!({"properties": {"a/b": {"items": {"$ref": "#none"}}}}),
            "\"#none\" leads nowhere",
            Some("/properties/a~1b/items/$ref"),
        ),
        ("draft 3", json!({"$schema": "http://json-schema.org/draft-03/schema#"}), "unknown $schema", Some("/$schema")),
        ("no schema", json!([]), "is not of types", Some("")),
        (
            "keyword of draft 4 in 2020-12",
            json!({"maximum": 1, "exclusiveMaximum": true}),
            "true is not of type",
            Some("/exclusiveMaximum"),
        ),
    ];
    for (name, value, message, location) in cases {
        let fault = Schema::from_value(&value, &std::env::temp_dir()).expect_err(name);
        assert!(fault.message.contains(message), "{name}: {}", fault.message);
        assert_eq!(fault.location.as_deref(), location, "{name}");
        assert!(
            fault.message.starts_with(|first: char| !first.is_uppercase()) && !fault.message.ends_with('.'),
            "{name}"
        );
    }
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("schema.json");
    for (text, expected) in [
        ("", "it is not JSON (line 1, column 1)"),
        ("{", "it is not JSON (line 1, column 2)"),
        (r#"{"type":}"#, "it is not JSON (line 1, column 9)"),
        ("{\n  \"type\": \"null\",\n}", "it is not JSON (line 3, column 1)"),
        ("{\"ä\": 1,}", "it is not JSON (line 1, column 9)"),
        ("\u{feff}\u{feff}{}", "it is not UTF-8 (line 1, column 1)"),
        (r#"{"type":"null","type":"string"}"#, "two members have the same name (line 1, column 16)"),
    ] {
        std::fs::write(&path, text).expect("a file");
        let fault = Schema::load(&path, directory.path()).expect_err(text);
        assert_eq!(fault.message, expected, "{text:?}");
    }
    std::fs::write(&path, "\u{feff}{\"type\":\"null\"}").expect("a file");
    assert!(Schema::load(&path, directory.path()).is_ok(), "a byte order mark says nothing");
    assert!(Schema::load(&directory.path().join("none.json"), directory.path()).is_err());
}

#[test]
fn patterns_of_member_names_are_bounded_in_number() {
    let with = |count: usize| -> Value {
        let patterns: serde_json::Map<_, _> = (0..count).map(|index| (format!("^x{index}"), json!(true))).collect();
        json!({"items": {"patternProperties": patterns}})
    };
    for (count, loads) in [(1_023, true), (1_024, true), (1_025, false)] {
        assert_eq!(Schema::from_value(&with(count), &std::env::temp_dir()).is_ok(), loads, "{count}");
    }
}

/// A schema whose alternatives are cheap for nearly every payload: counted is what this one makes of it.
#[test]
fn a_payload_that_would_take_long_is_refused_and_says_why() {
    let alternatives: Vec<_> =
        (0..500).map(|kind| json!({"properties": {"a": {"const": kind}}, "required": ["a"]})).collect();
    let schema = schema(&json!({"items": {"oneOf": alternatives}}));
    for (count, fits) in [(10, true), (20_000, false)] {
        let text = format!("[{}]", vec!["{\"a\":499}"; count].join(","));
        let judged = schema.check(&read(&text));
        assert_eq!(judged.is_ok(), fits, "{count}");
        if let Err(rejection) = judged {
            assert_eq!((rejection.next_step(), rejection.detail().len()), (HINT_UNEXPLAINED, 0));
            assert!(schema.misses(&read(&text)).is_none());
        }
    }
}

#[test]
fn embedded_json_is_judged_by_the_own_reader() {
    let schema =
        schema(&json!({"$schema": "http://json-schema.org/draft-07/schema#", "contentMediaType": "application/json"}));
    let cases = [(r#""{\"a\":1}""#, true), (r#""{\"a\":1""#, false), (r#""{\"a\":1,\"a\":2}""#, false), ("1", true)];
    for (text, fits) in cases {
        assert_eq!(schema.check(&read(text)).is_ok(), fits, "{text}");
    }
}

const OPENAPI: &str = "\
openapi: 3.1.0
info: {title: Hooks, version: '1'}
paths:
  /push:
    post: {responses: {200: {description: taken}}}
components:
  schemas:
    Push:
      type: object
      required: [ref, user]
      properties:
        ref: {type: string, maxLength: 5}
        user: {$ref: '#/components/schemas/User'}
        note: {$ref: 'notes.yml#/Note'}
    User: {type: object, properties: {login: {type: [string, 'null'], format: password}}, additionalProperties: false}
    With.dots-and_more: {type: integer}
";

#[test]
fn a_component_of_an_openapi_document_is_a_schema() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("a file");
    write("api.yaml", OPENAPI);
    write("notes.yml", "Note: {type: string, maxLength: 2}\n");
    let as_json = yaml::read(OPENAPI, JsonLimits::default()).expect("it is YAML").to_string();
    write("api.json", &as_json);
    write("beside.json", r#"{"properties": {"a": {"$ref": "api.yaml#/components/schemas/User"}}}"#);
    let load = |name: &str| Schema::load(&directory.path().join(name), directory.path());
    let cases: [(&str, &[&str]); 6] = [
        (r#"{"ref":"main","user":{"login":null},"note":"ab"}"#, &[]),
        (r#"{"ref":"main","user":{},"more":1}"#, &[]),
        (r#"{"user":{}}"#, &[" required #/components/schemas/Push/required ref"]),
        (r#"{"ref":"longer","user":{}}"#, &["/ref maxLength #/components/schemas/Push/properties/ref/maxLength"]),
        (
            r#"{"ref":"main","user":{"secret":1}}"#,
            &["/user additionalProperties #/components/schemas/User/additionalProperties"],
        ),
        (r#"{"ref":"main","user":{},"note":"abc"}"#, &["/note maxLength notes.yml#/Note/maxLength"]),
    ];
    for file in ["api.yaml", "api.json"] {
        let schema = load(&format!("{file}#/components/schemas/Push")).expect("a component");
        for (text, expected) in cases {
            assert_eq!(errors(&schema, text), expected, "{file} {text}");
        }
        let schema = load(&format!("{file}#/components/schemas/With.dots-and_more")).expect("a component");
        assert_eq!(
            errors(&schema, "true"),
            ["type #/components/schemas/With.dots-and_more/type"].map(|row| format!(" {row}"))
        );
    }
    let beside = load("beside.json").expect("a schema that refers to a component");
    assert_eq!(
        errors(&beside, r#"{"a":{"b":1}}"#),
        ["/a additionalProperties api.yaml#/components/schemas/User/additionalProperties"]
    );
}

#[test]
fn a_place_in_any_schema_file_can_be_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("a file");
    write(
        "old.json",
        r##"{"$schema": "http://json-schema.org/draft-04/schema#", "definitions": {
            "small thing": {"maximum": 5, "exclusiveMaximum": true}, "named": {"id": "#here", "type": "null"}}}"##,
    );
    let load = |name: &str| Schema::load(&directory.path().join(name), directory.path());
    let schema = load("old.json#/definitions/small thing").expect("a definition");
    assert_eq!(errors(&schema, "4"), [""; 0]);
    assert_eq!(errors(&schema, "5"), [" maximum #/definitions/small thing/maximum"]);
    assert_eq!(errors(&load("old.json#here").expect("an anchor"), "1"), [" type #/definitions/named/type"]);
}

#[test]
fn what_is_wrong_with_an_openapi_document_is_said() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("a file");
    write("api.yaml", OPENAPI);
    write("old.yaml", &OPENAPI.replace("3.1.0", "3.0.3"));
    write("swagger.json", r#"{"swagger": "2.0", "definitions": {"Push": {}}}"#);
    write("dialect.yaml", &format!("jsonSchemaDialect: http://json-schema.org/draft-07/schema#\n{OPENAPI}"));
    write("own.yaml", &format!("jsonSchemaDialect: https://spec.openapis.org/oas/3.1/dialect/base\n{OPENAPI}"));
    write("wrong.yaml", &OPENAPI.replace("maxLength: 5", "maxLength: five"));
    write("alias.yaml", "openapi: 3.1.0\na: &a [1]\nb: *a\n");
    write("outside.yaml", &OPENAPI.replace("notes.yml", "https://example.com/notes.yml"));
    let cases = [
        ("api.yaml", Some("name one in it")),
        ("swagger.json", Some("name one in it")),
        ("api.yaml#/components/schemas/None", Some("\"api.yaml#/components/schemas/None\" leads nowhere")),
        ("old.yaml#/components/schemas/Push", Some("\"3.0.3\", only since 3.1 they are JSON Schema")),
        ("swagger.json#/definitions/Push", Some("\"2.0\", only since 3.1")),
        ("dialect.yaml#/components/schemas/User", Some("jsonSchemaDialect is")),
        ("own.yaml#/components/schemas/User", None),
        ("wrong.yaml#/components/schemas/User", Some("at \"/components/schemas/Push/properties/ref/maxLength\"")),
        ("alias.yaml#/components/schemas/User", Some("an alias is not followed, a schema refers by $ref (line 3")),
        ("outside.yaml#/components/schemas/Push", Some("nothing is fetched")),
        ("none.yaml#/components/schemas/Push", Some("cannot read")),
    ];
    for (name, expected) in cases {
        let loaded = Schema::load(&directory.path().join(name), directory.path());
        match (loaded, expected) {
            (Ok(_), None) => {}
            (Err(found), Some(expected)) if found.message.contains(expected) => {}
            (found, _) => panic!("{name}: expected {expected:?}, got {found:?}"),
        }
    }
}
