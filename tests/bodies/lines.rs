//! JSON texts, one a line.

use crate::{CLEAN, House, SCHEMA, number};

const TYPE: &str = "application/x-ndjson";
const TYPES: &str = "content_types = ['application/x-ndjson', 'application/jsonl']";

#[test]
fn every_line_is_one_text_or_the_body_is_refused_with_the_line() {
    let house = House::new(TYPES, "");
    let rows = [
        ("{}", None),
        ("{}\n", None),
        ("{}\n{\"a\":[1, 2]}\r\n \t3 \n", None),
        ("[1,2]\n[3]", None),
        ("{\"a\":1}\n{\"a\":2}", None),
        ("\"a\\nb\"\n1", None),
        ("1,2\n3", Some(("json_malformed", 1))),
        ("1,[2\n3]", Some(("json_malformed", 1))),
        ("[1\n2]", Some(("json_malformed", 1))),
        ("{\"a\":1\n\"b\":2}", Some(("json_malformed", 1))),
        ("1\n2]\n[3", Some(("json_malformed", 2))),
        ("1\n\n2", Some(("json_malformed", 2))),
        ("1\n\n", Some(("json_malformed", 2))),
        ("\n1", Some(("json_malformed", 1))),
        ("\n", Some(("json_malformed", 1))),
        ("1\n \n", Some(("json_malformed", 2))),
        ("1\n{\"a\":1,\"a\":1}", Some(("json_duplicate_key", 2))),
        ("1\r2", Some(("json_malformed", 1))),
        ("1\n\u{feff}2", Some(("json_not_utf8", 2))),
    ];
    for (body, fault) in rows {
        match house.post(TYPE, body) {
            Ok(forwardable) => {
                assert_eq!(fault, None, "{body:?}");
                assert_eq!(forwardable.body, body.as_bytes(), "{body:?}");
            }
            Err(rejection) => {
                let found = (rejection.reason().code(), number(&rejection, "line").unwrap());
                assert_eq!(Some(found), fault, "{body:?}");
            }
        }
    }
    assert_eq!(house.told("application/jsonl; charset=utf-16", "1").unwrap_err(), "unsupported_media_type");
    assert_eq!(house.told("application/jsonlx", "1").unwrap_err(), "unsupported_media_type");
}

#[test]
fn limits_are_those_of_a_text_and_of_all_texts() {
    let house = House::new(TYPES, "[limit]\njson_depth_max = 2\njson_nodes_max = 5\n");
    for (body, expected) in [
        ("[[]]\n[[]]", Ok(())),
        ("[[[]]]", Err("json_too_deep")),
        ("1\n2\n3\n4\n5", Ok(())),
        ("1\n2\n3\n4\n5\n6", Err("json_too_large")),
    ] {
        assert_eq!(house.told(TYPE, body).map(|_| ()), expected, "{body:?}");
    }
}

#[test]
fn schema_and_sanitizer_apply_to_the_array_and_an_edit_stays_in_its_line() {
    let schema = r#"{"type":"array","maxItems":3,"items":{"type":"object","properties":{"a":{"type":"string"}}}}"#;
    let house = House::with_schema(TYPES, &format!("{SCHEMA}{CLEAN}"), schema);
    let rows = [
        ("{\"a\":\"1\"}\n{ }\r\n", Ok("{\"a\":\"1\"}\n{ }\r\n")),
        ("{\"a\":1}", Err("schema_mismatch")),
        ("{}\n{}\n{}\n{}", Err("schema_mismatch")),
        ("{}\n {\"b\":1, \"a\":\"\\u0007x\"} \r\n{\"a\" : \"1\"}", Ok("{}\n {\"a\":\"x\"} \r\n{\"a\" : \"1\"}")),
        ("{\"b\":1}\n{\"a\":\"=1\"}\n", Ok("{}\n{\"a\":\"'=1\"}\n")),
    ];
    for (body, expected) in rows {
        assert_eq!(house.told(TYPE, body), expected.map(str::to_owned), "{body:?}");
    }
    let tables = format!("{SCHEMA}{CLEAN}[limit]\njson_depth_max = 1\n");
    let house = House::with_schema(TYPES, &tables, schema);
    assert_eq!(house.told(TYPE, "{\"a\":\"\\u0007\"}").unwrap(), "{\"a\":\"\"}", "the array is not counted");
}
