use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::payload::JsonLimits;
use crate::payload::schema::Schema;

const PLAIN: Style = Style { enums: Enums::Proposed, objects: Closing::Open };

fn document(text: &str) -> Document {
    Document::read(Bytes::copy_from_slice(text.as_bytes()), JsonLimits::default()).expect("it is JSON")
}

fn infer<'t>(texts: impl IntoIterator<Item = &'t str>, style: Style) -> String {
    let formats = Formats::compile().expect("they compile");
    let mut inference = Inference::default();
    texts.into_iter().for_each(|text| inference.add(&document(text), &formats));
    let mut out = Vec::new();
    inference.schema(style).push_line(&mut out);
    String::from_utf8(out).expect("it is text")
}

/// The proposal, loaded as the gateway would.
fn load(text: &str) -> Schema {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("schema.json");
    std::fs::write(&path, text).expect("a file");
    Schema::load(&path, directory.path()).unwrap_or_else(|fault| panic!("{fault:?}: {text}"))
}

const HEAD: &str = r#"{"$schema": "https://json-schema.org/draft/2020-12/schema", "#;

#[test]
fn what_all_samples_share_is_proposed() {
    let cases: [(&str, &[&str], &str); 14] = [
        ("integers", &["1", "-0"], r#""type": "integer""#),
        ("numbers", &["1", "1.0"], r#""type": "number""#),
        ("huge numbers", &["1e400"], r#""type": "number""#),
        ("nullable", &["\"a\"", "null"], r#""type": ["string", "null"]"#),
        (
            "all types",
            &["{}", "[]", "\"\"", "1", "true", "null"],
            r#""type": ["object", "array", "string", "integer", "boolean", "null"]"#,
        ),
        ("elements", &["[1]", "[null]", "[]"], r#""type": "array", "items": {"type": ["integer", "null"]}"#),
        ("empty arrays", &["[]"], r#""type": "array""#),
        (
            "members",
            &[r#"{"b":1,"a":1}"#, r#"{"b":2}"#],
            r#""type": "object", "required": ["b"], "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}"#,
        ),
        ("times", &["\"2026-11-23T10:00:00Z\"", "null"], r#""type": ["string", "null"], "format": "date-time""#),
        ("addresses", &["\"a@example.com\""], r#""type": "string", "format": "email""#),
        ("URLs", &["\"https://example.com/\""], r#""type": "string", "format": "uri""#),
        ("something with a colon", &["\"a:b\""], r#""type": "string""#),
        ("ids", &["\"6ba7b810-9dad-11d1-80b4-00c04fd430c8\""], r#""type": "string", "format": "uuid""#),
        ("one of them none", &["\"a@example.com\"", "\"nobody\""], r#""type": "string""#),
    ];
    for (name, texts, expected) in cases {
        assert_eq!(infer(texts.iter().copied(), PLAIN), format!("{HEAD}{expected}}}"), "{name}");
    }
}

/// So many documents, each of these words in turn.
fn words(count: usize, words: &[&str]) -> Vec<String> {
    (0..count).map(|index| format!("{{\"a\":\"{}\"}}", words[index % words.len()])).collect()
}

#[test]
fn words_become_an_enum_where_they_are_few_and_seen_often() {
    let many: Vec<String> = (0..13).map(|index| format!("w{index}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let with = |last: &str| words(19, &["x", "y"]).into_iter().chain([format!("{{\"a\":{last}}}")]).collect();
    let cases: [(&str, Vec<String>, bool); 10] = [
        ("enough", words(20, &["x", "y"]), true),
        ("one sample less", words(19, &["x", "y"]), false),
        ("always the same", words(20, &["x"]), false),
        ("twelve", words(24, &many[..12]), true),
        ("thirteen", words(26, &many), false),
        ("one that came once", with("\"z\""), false),
        ("a number among them", with("1"), false),
        ("a sentence among them", with("\"x y\""), false),
        ("too long", words(20, &["x", &"y".repeat(41)]), false),
        ("as long as may be", words(20, &["x", &"y".repeat(40)]), true),
    ];
    for (name, texts, expected) in cases {
        let proposed = infer(texts.iter().map(String::as_str), PLAIN);
        assert_eq!(proposed.contains("\"enum\""), expected, "{name}: {proposed}");
        let without = infer(texts.iter().map(String::as_str), Style { enums: Enums::LeftOut, ..PLAIN });
        assert!(!without.contains("enum"), "{name}: {without}");
    }
    let texts = words(21, &["x", "y"]).into_iter().chain(["{\"a\":null}".to_owned()]).collect::<Vec<_>>();
    let proposed = infer(texts.iter().map(String::as_str), PLAIN);
    assert!(proposed.contains(r#""enum": ["x", "y", null]"#), "{proposed}");
    let repeated = format!("[{}]", vec!["\"x\",\"y\""; 20].join(","));
    assert!(!infer([&*repeated], PLAIN).contains("enum"), "many in one document are one sample");
}

#[test]
fn objects_are_closed_only_when_asked_for() {
    let texts = [r#"{"a":{"b":1},"c":[{"d":{}}]}"#];
    assert!(!infer(texts, PLAIN).contains("additionalProperties"));
    let closed = infer(texts, Style { objects: Closing::Closed, ..PLAIN });
    assert_eq!(closed.matches("\"additionalProperties\": false").count(), 4, "{closed}");
    let schema = load(&closed);
    assert!(schema.check(&document(texts[0])).is_ok());
    assert!(schema.check(&document(r#"{"a":{"b":1,"x":1},"c":[]}"#)).is_err());
}

#[test]
fn names_that_are_data_are_described_together() {
    let texts = [r#"{"id":1,"by":{"alice@example.com":{"n":1},"bob@example.com":{"n":2,"m":null}}}"#];
    let expected = format!(
        "{HEAD}\"type\": \"object\", \"required\": [\"by\", \"id\"], \"properties\": {{\"by\": {{\"type\": \"object\", \
         \"additionalProperties\": {{\"type\": \"object\", \"required\": [\"n\"], \"properties\": {{\"m\": {{\"type\": \"null\"}}, \
         \"n\": {{\"type\": \"integer\"}}}}}}}}, \"id\": {{\"type\": \"integer\"}}}}}}"
    );
    assert_eq!(infer(texts, PLAIN), expected);
    let sparse: Vec<String> = (0..16).map(|index| format!("{{\"person{}\":1}}", char::from(b'a' + index))).collect();
    let proposed = infer(sparse.iter().map(String::as_str), PLAIN);
    assert!(!proposed.contains("person"), "{proposed}");
    let proposed = infer(sparse[..15].iter().map(String::as_str), PLAIN);
    assert!(proposed.contains("persona"), "{proposed}");
}

#[test]
fn no_value_is_proposed_where_enums_are_left_out() {
    let text = r#"{"a":"s3nt1nel","b":["s3nt1nel"],"c":{"s3nt1nel@example.com":"s3nt1nel"},"d":7654321,"e":"s3nt1nel@example.com"}"#;
    let proposed = infer(vec![text; 40], Style { enums: Enums::LeftOut, ..PLAIN });
    assert!(!proposed.contains("s3nt1nel") && !proposed.contains("7654321"), "{proposed}");
}

#[test]
fn what_lies_too_deep_is_left_open() {
    for depth in [31, 32, 33, 60] {
        let text = format!("{}{{\"x\":true}}{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        let proposed = infer([&*text], Style { objects: Closing::Closed, ..PLAIN });
        assert!(load(&proposed).check(&document(&text)).is_ok(), "{depth}");
        let arrays = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(load(&infer([&*arrays], PLAIN)).check(&document(&arrays)).is_ok(), "{depth}");
    }
}

/// JSON texts that look like payloads: few names, so that documents share some.
fn texts() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,4})?([eE][+-]?[0-9]{1,3})?",
        prop::sample::select(vec![
            "\"opened\"",
            "\"closed\"",
            "\"2026-11-23T10:00:00Z\"",
            "\"2026-11-23\"",
            "\"a@example.com\"",
            "\"https://example.com/a?b\"",
            "\"http://[\"",
            "\"6ba7b810-9dad-11d1-80b4-00c04fd430c8\"",
            "\"\"",
            "\"\\u0000\"",
            "\"\\ud83d\\ude00\"",
        ])
        .prop_map(str::to_owned),
        "\"[ -!#-\\[\\]-~äß€]{0,12}\"",
    ];
    let name = prop_oneof![
        prop::sample::select(vec![
            "a",
            "b",
            "c",
            "id",
            "type",
            "$ref",
            "$id",
            "$serde_json::private::Number",
            "a@b",
            "12"
        ])
        .prop_map(str::to_owned),
        "[a-z]{1,3}",
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|elements| format!("[{}]", elements.join(","))),
            prop::collection::btree_map(name.clone(), inner, 0..6).prop_map(|members| {
                let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_proposal_fits_all_it_was_made_of_in_any_order(texts in prop::collection::vec(texts(), 1..30), repeat in 1..4_usize) {
        let repeated: Vec<&str> = std::iter::repeat_n(&texts, repeat).flatten().map(String::as_str).collect();
        for objects in [Closing::Open, Closing::Closed] {
            let style = Style { objects, ..PLAIN };
            let proposed = infer(repeated.iter().copied(), style);
            let schema = load(&proposed);
            for text in &texts {
                prop_assert!(schema.check(&document(text)).is_ok(), "{} does not fit {}", text, proposed);
            }
            prop_assert_eq!(infer(repeated.iter().rev().copied(), style), proposed);
        }
    }
}
