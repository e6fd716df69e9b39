use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::payload::JsonLimits;
use crate::payload::declared::Membership;
use crate::payload::schema::Schema;

/// A name, a schema, and what is known of payloads under it.
type Row<'r> = (&'r str, Value, &'r [(&'r str, Fit)]);

fn read(text: &str) -> Document {
    Document::read(bytes::Bytes::copy_from_slice(text.as_bytes()), JsonLimits::default()).expect("the case is JSON")
}

fn schema(value: &Value) -> Schema {
    Schema::from_value(value, &std::env::temp_dir()).expect("the case's schema compiles")
}

/// What is known of a payload; where anything is, the validator and the sanitizer's walk have to agree.
fn fit(schema: &Schema, text: &str) -> Fit {
    let document = read(text);
    let fit = schema.express_fit(&document);
    if fit != Fit::Unsure {
        let judged = schema.check(&document).expect("what passes is valid");
        assert_eq!(judged == Membership::Declared, fit == Fit::Declared, "{text}");
    }
    fit
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_is_understood_is_judged_and_nothing_else() {
    use Fit::{Declared, Fits, Unsure};
    let closed = json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": {}}, "additionalProperties": false, "required": ["a"]});
    let either = json!({"oneOf": [{"type": "null"}, closed, {"type": ["string", "boolean"]}]});
    let draft_7 = "http://json-schema.org/draft-07/schema#";
    let draft_4 = "http://json-schema.org/draft-04/schema#";
    let rows: [Row<'_>; 25] = [
        ("anything", json!(true), &[("1", Declared), ("{}", Declared), ("{\"a\":1}", Fits), ("[1]", Fits)]),
        ("nothing", json!(false), &[("1", Unsure)]),
        (
            "types",
            json!({"type": ["integer", "null"]}),
            &[
                ("1", Declared),
                ("-0", Declared),
                ("1.0", Unsure),
                ("null", Declared),
                ("true", Unsure),
                ("\"1\"", Unsure),
            ],
        ),
        ("number", json!({"type": "number"}), &[("1", Declared), ("1.5", Declared), ("\"1\"", Unsure)]),
        (
            "members",
            closed.clone(),
            &[
                (r#"{"a":1}"#, Declared),
                (r#"{"b":[],"a":1}"#, Declared),
                (r#"{"b":[1],"a":1}"#, Fits),
                (r#"{"\u0061":1}"#, Unsure),
                (r#"{"b":1}"#, Unsure),
                (r#"{"a":1,"c":1}"#, Unsure),
                (r#"{"a":"1"}"#, Unsure),
                ("[]", Unsure),
            ],
        ),
        (
            "open members",
            json!({"properties": {"a": {}}, "required": ["r"]}),
            &[(r#"{"a":1,"r":1}"#, Fits), (r#"{"a":1}"#, Unsure), (r#"{"r":1,"x":1}"#, Fits)],
        ),
        (
            "members of one kind",
            json!({"additionalProperties": closed}),
            &[(r#"{"x":{"a":1}}"#, Declared), (r#"{"x":{"a":1},"y":{}}"#, Unsure)],
        ),
        (
            "elements",
            json!({"items": closed}),
            &[(r#"[{"a":1}]"#, Declared), (r#"[{"a":1},{}]"#, Unsure), ("[]", Declared)],
        ),
        ("no elements", json!({"items": false}), &[("[]", Declared), ("[1]", Unsure)]),
        (
            "alternatives",
            either,
            &[
                ("null", Declared),
                (r#"{"a":1}"#, Declared),
                ("\"x\"", Declared),
                ("1", Unsure),
                ("{}", Unsure),
                ("[]", Unsure),
            ],
        ),
        ("alternatives alike", json!({"anyOf": [closed, {"type": "object"}]}), &[(r#"{"a":1}"#, Unsure)]),
        (
            "objects told apart by their names",
            json!({"oneOf": [closed, {"required": ["c"]}, {"type": "null"}]}),
            &[
                (r#"{"a":1}"#, Declared),
                (r#"{"c":1}"#, Fits),
                (r#"{"a":1,"c":1}"#, Fits),
                (r#"{"a":"1"}"#, Unsure),
                (r#"{"\u0061":1}"#, Unsure),
                ("null", Unsure),
                ("{}", Unsure),
            ],
        ),
        (
            "alternatives behind references",
            json!({"anyOf": [{"$ref": "#/$defs/c"}, {"$ref": "#/$defs/n"}],
                "$defs": {"c": {"type": "object", "allOf": [closed]}, "n": {"allOf": [{"type": "null"}]}}}),
            &[(r#"{"a":1}"#, Declared), ("null", Declared)],
        ),
        (
            "integers among alternatives",
            json!({"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 5}]}),
            &[("7", Unsure), ("7.0", Unsure), ("7.5", Unsure)],
        ),
        (
            "all of two",
            json!({"allOf": [closed, {"required": ["b"]}]}),
            &[(r#"{"a":1,"b":1}"#, Declared), (r#"{"a":1}"#, Unsure)],
        ),
        (
            "reference alone",
            json!({"$schema": draft_7, "$ref": "#/definitions/n", "type": "string", "definitions": {"n": {"type": "null"}}}),
            &[("null", Declared), ("\"\"", Unsure)],
        ),
        (
            "reference beside others",
            json!({"$ref": "#/$defs/n", "enum": [null], "$defs": {"n": {"type": ["null", "string"]}}}),
            &[("null", Declared), ("\"\"", Unsure)],
        ),
        (
            "recursion",
            json!({"properties": {"next": {"$ref": "#"}}, "additionalProperties": false}),
            &[(r#"{"next":{"next":{}}}"#, Declared), (r#"{"next":{"x":{}}}"#, Unsure)],
        ),
        (
            "listed values",
            json!({"enum": ["a", null, true, 1]}),
            &[
                ("\"a\"", Declared),
                (r#""\u0061""#, Declared),
                ("null", Declared),
                ("true", Declared),
                ("false", Unsure),
                ("1", Unsure),
            ],
        ),
        ("one value", json!({"const": "a"}), &[("\"a\"", Declared), ("\"b\"", Unsure)]),
        (
            "one value, of a draft that does not know the word",
            json!({"$schema": draft_4, "properties": {"a": {"const": "a"}}}),
            &[(r#"{"a":"a"}"#, Unsure), (r#"{"b":"a"}"#, Fits)],
        ),
        (
            "alternatives that only such a word would tell apart",
            json!({"$schema": draft_4, "oneOf": [{"const": null}, {"type": ["string", "null"]}]}),
            &[("\"x\"", Unsure), ("null", Unsure)],
        ),
        (
            "bounds",
            json!({"minimum": 1, "exclusiveMaximum": 3, "minLength": 1, "maxLength": 2, "minItems": 1, "maxProperties": 1}),
            &[
                ("0", Unsure),
                ("1", Declared),
                ("2", Declared),
                ("3", Unsure),
                ("2.0", Unsure),
                ("\"\"", Unsure),
                ("\"é🦀\"", Declared),
                ("\"abc\"", Unsure),
                ("[]", Unsure),
                ("[1]", Fits),
                (r#"{"a":1,"b":1}"#, Unsure),
            ],
        ),
        (
            "texts",
            json!({"items": {"anyOf": [{"type": "string", "format": "date-time", "pattern": "Z$"}]}}),
            &[(r#"["2026-11-23T10:00:00Z"]"#, Declared), (r#"["2026-11-23T10:00:00+00:00"]"#, Unsure)],
        ),
        (
            "a word that is not known",
            json!({"properties": {"a": {"x-word": 1}}}),
            &[(r#"{"a":1}"#, Unsure), (r#"{"b":1}"#, Fits)],
        ),
    ];
    for (name, value, cases) in rows {
        let schema = schema(&value);
        for (text, expected) in cases {
            assert_eq!(fit(&schema, text), *expected, "{name}: {text}");
        }
    }
}

#[test]
fn no_keyword_that_asks_anything_is_passed_over() {
    let asking = [
        json!({"not": {}}),
        json!({"if": true, "then": false}),
        json!({"multipleOf": 2}),
        json!({"uniqueItems": true}),
        json!({"contains": {"const": 1}}),
        json!({"prefixItems": [{"type": "null"}]}),
        json!({"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "null"}]}),
        json!({"patternProperties": {"": false}}),
        json!({"propertyNames": {"maxLength": 0}}),
        json!({"dependentRequired": {"a": ["z"]}}),
        json!({"dependentSchemas": {"a": false}}),
        json!({"$schema": "http://json-schema.org/draft-07/schema#", "dependencies": {"a": ["z"]}}),
        json!({"unevaluatedProperties": false}),
        json!({"unevaluatedItems": false}),
        json!({"format": "ipv4"}),
        json!({"minimum": 0.5}),
        json!({"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1, "exclusiveMinimum": true}),
        json!({"$dynamicAnchor": "n", "$dynamicRef": "#n", "type": "null"}),
    ];
    for value in asking {
        let schema = schema(&value);
        for text in ["1", "[1,1]", r#"{"a":1}"#, "\"text\""] {
            assert_eq!(fit(&schema, text), Fit::Unsure, "{text} against {value}");
        }
    }
}

#[test]
fn references_lead_where_their_draft_says() {
    let draft = |year: &str| format!("http://json-schema.org/draft-{year}/schema#");
    let latest = "https://json-schema.org/draft/2020-12/schema";
    // Each leads to a `null`, and by the nearest wrong reading to something that is anything.
    let rows = [
        (
            "an id of its own",
            json!({"$id": "http://x/a", "items": {"$id": "b", "$ref": "#/$defs/n", "$defs": {"n": {"type": "null"}}}, "$defs": {"n": {}}}),
        ),
        (
            "an id beside a reference",
            json!({"$schema": draft("07"), "$id": "http://x/a", "items": {"$id": "b", "$ref": "#/definitions/n", "definitions": {"n": {}}}, "definitions": {"n": {"type": "null"}}}),
        ),
        (
            "an id beside a reference, draft 4",
            json!({"$schema": draft("04"), "id": "http://x/a", "items": {"id": "b", "$ref": "#/definitions/n", "definitions": {"n": {}}}, "definitions": {"n": {"type": "null"}}}),
        ),
        (
            "an id of another draft",
            json!({"$schema": draft("04"), "id": "http://x/a", "items": {"$id": "b", "items": {"$ref": "#/definitions/n"}, "definitions": {"n": {}}}, "definitions": {"n": {"type": "null"}}}),
        ),
        (
            "a pointer over an id",
            json!({"$id": "http://x/a", "items": {"$ref": "#/$defs/u/$defs/v"}, "$defs": {"n": {}, "u": {"$id": "http://x/u", "$defs": {"n": {"type": "null"}, "v": {"$ref": "#/$defs/n"}}}}}),
        ),
        ("an anchor", json!({"items": {"$ref": "#n"}, "$defs": {"x": {"$anchor": "n", "type": "null"}}})),
        (
            "an anchor of another resource",
            json!({"items": {"$ref": "b#n"}, "$id": "http://x/a", "$defs": {"y": {"$anchor": "n"}, "x": {"$id": "b", "$defs": {"z": {"$anchor": "n", "type": "null"}}}}}),
        ),
        (
            "an escaped pointer",
            json!({"items": {"$ref": "#/%24defs/n~1~0m"}, "$defs": {"n/~m": {"type": "null"}, "n": {}}}),
        ),
        (
            "another draft inside",
            json!({"$schema": latest, "$id": "http://x/a", "items": {"$id": "b", "$schema": draft("07"), "allOf": [{"$ref": "#/definitions/n", "type": "integer"}], "definitions": {"n": {"type": "null"}}}}),
        ),
        (
            "a later draft inside",
            json!({"$schema": draft("07"), "$id": "http://x/a", "items": {"$id": "b", "$schema": latest, "$ref": "#/$defs/n", "type": "null", "$defs": {"n": {}}}}),
        ),
    ];
    for (name, value) in rows {
        let Ok(schema) = Schema::from_value(&value, &std::env::temp_dir()) else { panic!("{name} does not load") };
        let text = if name == "an id of another draft" { "[[1]]" } else { "[1]" };
        assert_eq!(fit(&schema, text), Fit::Unsure, "{name}");
    }
}

#[test]
fn a_date_and_time_that_passes_has_the_format() {
    let schema = schema(&json!({"format": "date-time"}));
    let rows = [
        ("2026-11-23T10:00:00Z", true),
        ("2026-11-23T10:00:00.123456Z", true),
        ("2026-11-23T23:59:59-12:30", true),
        ("2026-02-28T00:00:00Z", true),
        ("2024-02-29T00:00:00Z", false),
        ("2026-02-29T00:00:00Z", false),
        ("2026-04-31T00:00:00Z", false),
        ("2026-01-31T00:00:00Z", true),
        ("2026-00-01T00:00:00Z", false),
        ("2026-13-01T00:00:00Z", false),
        ("2026-01-00T00:00:00Z", false),
        ("2026-11-23T24:00:00Z", false),
        ("2026-11-23T10:60:00Z", false),
        ("2026-11-23T10:00:60Z", false),
        ("2026-11-23T10:00:00+24:00", false),
        ("2026-11-23T10:00:00+10:60", false),
        ("2026-11-23T10:00:00.Z", false),
        ("2026-11-23T10:00:00", false),
        ("2026-11-23T10:00:00Zx", false),
        ("2026-11-23 10:00:00Z", false),
        ("2026-11-23t10:00:00z", false),
        ("2026-11-2aT10:00:00Z", false),
        ("", false),
    ];
    for (text, sure) in rows {
        assert_eq!(fit(&schema, &json!(text).to_string()) != Fit::Unsure, sure, "{text}");
    }
}

#[test]
fn a_walk_ends_after_a_bounded_number_of_steps() {
    let level = |index: usize| {
        let below = json!({"items": {"$ref": format!("#/$defs/d{}", index + 1)}});
        (format!("d{index}"), json!({"allOf": [below, below]}))
    };
    let mut defs: serde_json::Map<_, _> = (0..10).map(level).collect();
    defs.insert("d10".to_owned(), json!({"type": "string"}));
    let schema = schema(&json!({"$ref": "#/$defs/d0", "$defs": defs}));
    let nested = |depth: usize| format!("{}\"x\"{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(fit(&schema, &nested(10)), Fit::Unsure);
    assert!(schema.check(&read(&nested(10))).is_ok());
}

const DRAFTS: [Option<&str>; 6] = [
    None,
    None,
    Some("https://json-schema.org/draft/2019-09/schema"),
    Some("http://json-schema.org/draft-07/schema#"),
    Some("http://json-schema.org/draft-06/schema#"),
    Some("http://json-schema.org/draft-04/schema#"),
];

const TEXTS: [&str; 8] =
    ["", "a", "é", "2026-01-31T10:00:00Z", "2026-02-30T10:00:00Z", "https://h/p?q", "https://h/{a}", "%"];

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2..4_i64).prop_map(Value::from),
        Just(json!(1.0)),
        Just(json!(2.5)),
        prop::sample::select(&TEXTS[..]).prop_map(Value::from),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(&["a", "b", "c"][..]).prop_map(str::to_owned)
}

fn payload() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..4).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// One keyword with its value, those that are understood more often than others.
fn keyword(inner: impl Strategy<Value = Value> + Clone + 'static) -> impl Strategy<Value = (String, Value)> {
    let types = prop::sample::select(&["null", "boolean", "integer", "number", "string", "array", "object"][..]);
    let list = prop::collection::vec(inner.clone(), 1..3).prop_map(Value::from);
    let named = prop::collection::btree_map(name(), inner.clone(), 0..3)
        .prop_map(|members| members.into_iter().collect::<Value>());
    let names = prop::collection::btree_set(name(), 0..2).prop_map(|names| json!(names));
    let formats = prop::sample::select(&["date-time", "uri", "uri-template", "ipv4"][..]).prop_map(Value::from);
    let number = prop_oneof![(-1..3_i64).prop_map(Value::from), Just(json!(1.5))];
    let said =
        |keyword: &'static str, value: BoxedStrategy<Value>| value.prop_map(move |value| (keyword.to_owned(), value));
    prop_oneof![
        4 => said("type", types.clone().prop_map(Value::from).boxed()),
        2 => said("type", prop::collection::btree_set(types, 1..4).prop_map(|types| json!(types)).boxed()),
        6 => said("properties", named.boxed()),
        3 => said("required", names.boxed()),
        3 => said("additionalProperties", prop_oneof![Just(json!(false)), inner.clone()].boxed()),
        3 => said("items", inner.clone().boxed()),
        2 => said("allOf", list.clone().boxed()),
        2 => said("anyOf", list.clone().boxed()),
        3 => said("oneOf", list.boxed()),
        2 => said("format", formats.boxed()),
        2 => said("enum", prop::collection::vec(scalar(), 1..4).prop_map(Value::from).boxed()),
        1 => said("const", scalar().boxed()),
        1 => said("pattern", Just(json!("^[a-z]")).boxed()),
        1 => prop::sample::select(&["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"][..])
            .prop_flat_map(move |keyword| number.clone().prop_map(move |value| (keyword.to_owned(), value))),
        1 => prop::sample::select(&["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"][..])
            .prop_flat_map(|keyword| (0..3_u64).prop_map(move |value| (keyword.to_owned(), json!(value)))),
        1 => prop::sample::select(&["#", "#/$defs/a", "#/$defs/b"][..])
            .prop_map(|target| ("$ref".to_owned(), json!(target))),
        1 => said("not", inner.clone().boxed()),
        1 => said("patternProperties", inner.prop_map(|schema| json!({"^a": schema})).boxed()),
    ]
}

fn subschema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![4 => Just(json!({})), 1 => any::<bool>().prop_map(Value::from)];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop::collection::vec(keyword(inner), 0..4).prop_map(|keywords| keywords.into_iter().collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn what_passes_is_valid_and_what_is_called_declared_is(
        root in subschema(),
        defs in (subschema(), subschema()),
        draft in prop::sample::select(&DRAFTS[..]),
        payloads in prop::collection::vec(payload(), 1..12),
    ) {
        let mut value = root;
        if let Value::Object(keywords) = &mut value {
            keywords.insert("$defs".to_owned(), json!({"a": defs.0, "b": defs.1}));
            if let Some(draft) = draft {
                keywords.insert("$schema".to_owned(), json!(draft));
            }
        }
        // Some refer to themselves without going down, or to a place that their draft does not have.
        if let Ok(schema) = Schema::from_value(&value, &std::env::temp_dir()) {
            for payload in payloads {
                let document = read(&payload.to_string());
                let fit = schema.express_fit(&document);
                prop_assert!(fit == Fit::Unsure || schema.check(&document).is_ok(), "{payload} against {value}");
                if fit == Fit::Declared {
                    prop_assert!(!crate::sanitize::has_undeclared(&schema, &document), "{payload} against {value}");
                }
            }
        }
    }
}
