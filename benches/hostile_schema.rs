//! What the worst payload of a megabyte costs under schemas that give it the chance.
//!
//! Each case is a schema that an operator could write, and a body of about 1 MiB within the default limits that a sender would choose for it: the
//! time is that of the whole judgement, `schema_mismatch` and its rows included, and has to stay below 50 ms in the build that is shipped. Schemas that
//! would cost more are refused when they are loaded; the tests have those.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use hookward::payload::schema::Schema;
use hookward::payload::{Document, JsonLimits};
use serde_json::{Value, json};

/// As large as the default `body_bytes_max`.
const BODY_BYTES: usize = 1 << 20;
/// Values that fit into [`JsonLimits::default`].
const NODES: usize = 250_000;

struct Case {
    name: String,
    schema: Value,
    body: String,
}

fn case(name: &str, schema: Value, body: String) -> Case {
    Case { name: name.to_owned(), schema, body }
}

/// An array of as many of these as fit.
fn array(element: impl Fn(usize) -> String) -> String {
    let mut text = "[".to_owned();
    for index in 0..NODES {
        let element = element(index);
        if text.len() + element.len() + 256 >= BODY_BYTES {
            break;
        }
        if index > 0 {
            text.push(',');
        }
        text.push_str(&element);
    }
    text.push(']');
    text
}

/// An array of objects with as many members as an object may have.
fn objects(name: impl Fn(usize) -> String, value: &str) -> String {
    let mut text = "[{".to_owned();
    let mut members = 0;
    while text.len() < BODY_BYTES - 64 && members < NODES - 100 {
        text.push_str(if members == 0 {
            ""
        } else if members % 10_000 == 0 {
            "},{"
        } else {
            ","
        });
        let _ = write!(text, "\"{}\":{value}", name(members));
        members += 1;
    }
    text.push_str("}]");
    text
}

/// Objects in objects, as deep as a body may be, and as many of these as fit beside each other.
fn nested(open: &str, leaf: &str, close: &str) -> String {
    let one = format!("{}{leaf}{}", open.repeat(62), close.repeat(62));
    let width = (NODES / 70).min(BODY_BYTES / (one.len() + 1));
    array(|index| if index < width { one.clone() } else { "0".to_owned() })
}

/// Letters without a rhythm, so that few states of an automaton are met twice.
fn scattered() -> String {
    let mut state = 1_u32;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        if state & 64 == 0 { 'a' } else { 'b' }
    };
    (0..BODY_BYTES - 16).map(|_| letter()).collect()
}

fn string(text: &str) -> String {
    format!("\"{}\"", text.repeat((BODY_BYTES - 16) / text.len()))
}

fn cases() -> Vec<Case> {
    let mut cases = numbers();
    cases.extend(arrays());
    cases.extend(strings());
    cases.extend(objects_and_names());
    cases.extend(recursion());
    cases
}

fn numbers() -> Vec<Case> {
    let exponents = || array(|index| format!("{}e{}", index + 1, 999_999_999 - index));
    let long = || format!("{}7", "1234567890".repeat(BODY_BYTES / 10 - 2));
    let listed: Vec<_> = (0..1_000).map(|number| json!(number)).collect();
    vec![
        case("multipleOf 0.01, exponents", json!({"items": {"multipleOf": 0.01}}), exponents()),
        case("multipleOf 7, a long number", json!({"multipleOf": 7}), long()),
        case("bounds, exponents", json!({"items": {"minimum": 1, "exclusiveMaximum": 1e30}}), exponents()),
        case("enum of numbers, exponents", json!({"items": {"enum": listed}}), exponents()),
        case("enum of numbers, a long number", json!({"enum": listed}), long()),
        case("integer, exponents", json!({"items": {"type": "integer"}}), exponents()),
    ]
}

fn arrays() -> Vec<Case> {
    let small = || array(|index| (index % 10).to_string());
    let alternatives = |count: usize| -> Vec<_> {
        (0..count).map(|kind| json!({"properties": {"a": {"const": kind}}, "required": ["a"]})).collect()
    };
    vec![
        case("uniqueItems, numbers", json!({"uniqueItems": true}), array(|index| format!("{index}"))),
        case("uniqueItems, exponents", json!({"uniqueItems": true}), array(|index| format!("1e{}", 1_000_000 + index))),
        case("uniqueItems, texts", json!({"uniqueItems": true}), array(|index| format!("\"{index:0100}\""))),
        case("uniqueItems, objects", json!({"uniqueItems": true}), array(|index| format!("{{\"a\":{index},\"b\":1}}"))),
        case(
            "uniqueItems, at each level",
            json!({"$ref": "#/$defs/n", "$defs": {"n": {"uniqueItems": true, "items": {"$ref": "#/$defs/n"}}}}),
            format!("{}{}{}", "[".repeat(60), array(|index| index.to_string()), "]".repeat(60)),
        ),
        case("contains", json!({"contains": {"const": 11}, "minContains": 2}), small()),
        case("maxContains", json!({"contains": {"type": "integer"}, "maxContains": 1_000_000}), small()),
        case(
            "unevaluatedItems",
            json!({"anyOf": [{"contains": {"const": 1}}, {"contains": {"const": 2}}], "unevaluatedItems": {"type": "integer"}}),
            small(),
        ),
        case("every element misses", json!({"items": {"type": "string"}}), small()),
        case("oneOf of 20", json!({"items": {"oneOf": alternatives(20)}}), array(|_| "{\"a\":19}".to_owned())),
        case("oneOf of 1,000", json!({"items": {"oneOf": alternatives(1_000)}}), array(|_| "{\"a\":999}".to_owned())),
        case(
            "enum of 1,000 texts",
            json!({"items": {"enum": (0..1_000).map(|index| format!("text {index}")).collect::<Vec<_>>()}}),
            array(|_| "\"text x\"".to_owned()),
        ),
        case(
            "const of an object",
            json!({"items": {"const": {"a": [1, 2, {"b": 3}]}}}),
            array(|_| "{\"a\":[1,2,{\"b\":3,\"c\":\"0123\"}]}".to_owned()),
        ),
    ]
}

fn strings() -> Vec<Case> {
    let patterns = [
        ("pattern, nested repetition", "^(?:a+a+)+b$", string("a")),
        ("pattern, a small set of states", "(?:a|b)*a(?:a|b){8}$", string(&scattered())),
        ("pattern, a large set of states", "(?:a|b)*a(?:a|b){20}$", string(&scattered())),
        (
            "pattern, a large set, short texts",
            "(?:a|b)*a(?:a|b){20}$",
            array(|_| format!("\"{}\"", &scattered()[..200])),
        ),
        ("pattern, a long repetition", "^(?:a|b|ab){1,500}c", string("ab")),
        ("pattern, an open repetition", "[a-z]{0,500}c", string("ab")),
        ("pattern, letters", r"^\p{L}{1,18}$", string("é")),
        ("pattern, words", r"\ba+\b$", string("é a")),
    ];
    let formats = [
        "date-time",
        "date",
        "time",
        "duration",
        "email",
        "idn-email",
        "hostname",
        "idn-hostname",
        "ipv4",
        "ipv6",
        "uri",
        "uri-reference",
        "iri",
        "iri-reference",
        "uri-template",
        "json-pointer",
        "relative-json-pointer",
        "regex",
        "uuid",
    ];
    let judged = |pattern: &str| json!({"pattern": pattern, "items": {"pattern": pattern}});
    let mut cases: Vec<_> =
        patterns.into_iter().map(|(name, pattern, body)| case(name, judged(pattern), body)).collect();
    for format in formats {
        for text in
            ["a", "a.", "1", "é", "%41", "a:", "(", "xn--a.", "ß.", "a@", "[", "/~0", "{a}", "(?:a{9}){9}", "P1Y"]
        {
            cases.push(case(&format!("{format}, {text}"), json!({"format": format}), string(text)));
        }
    }
    let small = array(|index| format!("\"{}({index}|x+){{1,9}}\"", "a".repeat(index % 9)));
    let parentheses = array(|_| format!("\"{}\"", "(".repeat(4_000)));
    cases.push(case("many parentheses", json!({"items": {"format": "regex"}}), parentheses));
    cases.push(case("many regexes", json!({"items": {"format": "regex"}}), small));
    let email = array(|index| format!("\"{index}@xn--bcher-kva.example\""));
    cases.push(case("many mails", json!({"items": {"format": "idn-email"}}), email));
    cases.push(case("lengths", json!({"minLength": 1, "maxLength": 1_000_000}), string("é")));
    let embedded =
        json!({"$schema": "http://json-schema.org/draft-07/schema#", "contentMediaType": "application/json"});
    cases.push(case("embedded JSON", embedded, format!("\"[{}0]\"", "0,".repeat(60_000))));
    let encoded = json!({"$schema": "http://json-schema.org/draft-07/schema#", "contentEncoding": "base64"});
    cases.push(case("base64", encoded, string("AAAA")));
    cases
}

fn objects_and_names() -> Vec<Case> {
    let short = |index: usize| format!("{index}");
    let many: Value = (0..100)
        .map(|index| (format!("^{index}(?:a|b)*c$"), json!({"type": "string"})))
        .collect::<serde_json::Map<_, _>>()
        .into();
    vec![
        case(
            "propertyNames",
            json!({"items": {"propertyNames": {"pattern": "^(?:a|b|ab){1,50}", "maxLength": 600}}}),
            objects(|index| format!("{}{index}", "ab".repeat(40)), "0"),
        ),
        case(
            "propertyNames, a long name",
            json!({"propertyNames": {"pattern": "^(?:a|b|ab){1,50}"}}),
            format!("{{\"{}\":0}}", "ab".repeat(520_000)),
        ),
        case(
            "patternProperties",
            json!({"items": {"patternProperties": many, "additionalProperties": false}}),
            objects(short, "0"),
        ),
        case(
            "patternProperties, a long name",
            json!({"patternProperties": {"(?:a|b)*a(?:a|b){14}$": {"type": "null"}}}),
            format!("{{\"{}\":0}}", "abbab".repeat(200_000)),
        ),
        case(
            "unevaluatedProperties",
            json!({"items": {"anyOf": [{"patternProperties": {"1": {"type": "string"}}}, {"properties": {"a": true}}], "unevaluatedProperties": {"type": "integer"}}}),
            objects(short, "0"),
        ),
        case(
            "dependentRequired",
            json!({"items": {"dependentRequired": (0..1_000).map(|index| (index.to_string(), json!(["x"]))).collect::<serde_json::Map<_, _>>()}}),
            objects(short, "0"),
        ),
        case("minProperties", json!({"items": {"minProperties": 10_001}}), array(|_| "{}".to_owned())),
    ]
}

fn recursion() -> Vec<Case> {
    let reference = || json!({"$ref": "#/$defs/n"});
    let inner = |keyword: &str, count: usize| {
        let alternative = |index: usize| json!({"properties": {"a": reference(), "x": {"type": if index.is_multiple_of(2) { "integer" } else { "string" }}}});
        json!({"items": reference(), "$defs": {"n": {keyword: (0..count).map(alternative).collect::<Vec<_>>()}}})
    };
    let unevaluated = json!({"items": reference(), "$defs": {"n": {
        "anyOf": [{"properties": {"a": reference()}}, {"properties": {"x": {"type": "integer"}}}],
        "allOf": [{"anyOf": [{"properties": {"a": reference()}}]}],
        "unevaluatedProperties": false,
    }}});
    let levels = (0..20).fold(json!({"type": "integer"}), |inner, _| {
        json!({"anyOf": [{"properties": {"a": inner}}, {"properties": {"b": true}}], "unevaluatedProperties": false})
    });
    let inline = json!({"items": levels});
    let dynamic = json!({
        "$dynamicAnchor": "n",
        "anyOf": [
            {"type": "object", "properties": {"a": {"$dynamicRef": "#n"}}, "required": ["a"]},
            {"type": "array", "items": {"$dynamicRef": "#n"}},
            {"type": "object", "additionalProperties": {"$dynamicRef": "#n"}, "minProperties": 1},
            {"type": "number"},
        ],
        "unevaluatedProperties": false,
    });
    let recursive = json!({
        "$schema": "https://json-schema.org/draft/2019-09/schema",
        "$recursiveAnchor": true,
        "oneOf": [
            {"type": "object", "properties": {"a": {"$recursiveRef": "#"}}},
            {"type": "array", "items": {"$recursiveRef": "#"}},
            {"type": "integer"},
        ],
        "unevaluatedProperties": false,
    });
    let conditional = json!({"items": reference(), "$defs": {"n": {"if": {"properties": {"a": reference()}}, "then": {"properties": {"a": reference()}}, "else": {"properties": {"a": reference()}}}}});
    let negated = json!({"items": reference(), "$defs": {"n": {"not": {"not": {"properties": {"a": reference()}}}, "allOf": [{"not": {"required": ["z"]}}]}}});
    let deep = |leaf: &str| nested("{\"a\":", leaf, "}");
    vec![
        case("oneOf of itself", inner("oneOf", 2), deep("{\"x\":true}")),
        case("anyOf of itself", inner("anyOf", 8), deep("{\"x\":true}")),
        case("unevaluatedProperties of itself", unevaluated, deep("{\"x\":1}")),
        case("unevaluatedProperties, 20 levels", inline, deep("1")),
        case("$dynamicRef", dynamic, deep("null")),
        case("$recursiveRef", recursive, deep("1")),
        case("if of itself", conditional, deep("{\"x\":1}")),
        case("not of itself", negated, deep("{\"x\":1}")),
    ]
}

fn hostile(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hostile_schema");
    group.sample_size(10).warm_up_time(Duration::from_millis(50)).measurement_time(Duration::from_millis(300));
    for Case { name, schema, body } in cases() {
        let schema = Schema::from_value(&schema, &std::env::temp_dir()).expect("a schema that loads");
        let document = Document::read(Bytes::from(body), JsonLimits::default()).expect("within the default limits");
        group.bench_function(name, |bencher| bencher.iter(|| schema.check(black_box(&document)).is_ok()));
    }
    group.finish();
}

criterion_group!(benches, hostile);
criterion_main!(benches);
