mod places;

use super::*;
use crate::payload::declared::Membership;
use crate::payload::schema::Schema;
use crate::payload::{JsonLimits, Kind, Node};
use crate::rejection::Fact;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const UNKNOWN: Rules = Rules { unknown_fields: Action::Drop, ..KEEP };
const CONTROL: Rules = Rules { control_characters: Action::Drop, ..KEEP };
const PROTOTYPE: Rules = Rules { prototype_keys: Action::Drop, ..KEEP };
const BIDI: Rules = Rules { bidi_controls: Action::Drop, ..KEEP };
const ZERO_WIDTH: Rules = Rules { zero_width: Action::Drop, ..KEEP };
const OPERATORS: Rules = Rules { operator_keys: Action::Drop, ..KEEP };
const CHARACTERS: Rules = Rules { control_characters: Action::Drop, bidi_controls: Action::Drop, ..ZERO_WIDTH };
const ALL: Rules =
    Rules { unknown_fields: Action::Drop, prototype_keys: Action::Drop, operator_keys: Action::Drop, ..CHARACTERS };
const FORMULA: Rules = Rules { formula: Formula::Escape, ..KEEP };
const KEEP: Rules = Rules {
    unknown_fields: Action::Keep,
    control_characters: Action::Keep,
    bidi_controls: Action::Keep,
    zero_width: Action::Keep,
    prototype_keys: Action::Keep,
    operator_keys: Action::Keep,
    formula: Formula::Keep,
    normalize: Normalize::Keep,
    html: Html::Keep,
};

fn read(text: &str) -> Document {
    Document::read(Bytes::copy_from_slice(text.as_bytes()), JsonLimits::default()).expect("the case is JSON")
}

fn schema(schema: &Value) -> Schema {
    Schema::from_value(schema, &std::env::temp_dir()).expect("the case's schema compiles")
}

/// What comes out, or the rule and pointer of the refusal.
fn clean(rules: Rules, text: &str, schema: Option<&Schema>) -> Result<(String, Vec<String>), String> {
    let document = read(text);
    let declared = schema.map(Schema::declared);
    let sanitizer = Sanitizer::from(rules);
    let cleaned = sanitizer.clean(&document, declared, Membership::Unasked).map_err(|rejection| {
        assert_eq!(rejection.reason(), Reason::SanitizerRefused);
        let facts: Vec<String> = rejection.detail().iter().map(|(_, fact)| text_of(fact)).collect();
        facts.join(" ")
    })?;
    let untouched = cleaned.body.as_ptr() == document.source().as_ptr();
    assert_eq!(untouched, cleaned.report.is_empty(), "{text}: the received bytes go on if nothing was removed");
    let body = String::from_utf8(cleaned.body.to_vec()).expect("what was removed leaves UTF-8");
    let again = sanitizer.clean(&read(&body), declared, Membership::Unasked).expect("cleaning again refuses nothing");
    assert!(again.report.is_empty(), "{text}: cleaning what was cleaned finds nothing, not {:?}", again.report);
    let edits = cleaned.report.edits().iter().map(|edit| format!("{} {}", edit.rule.name(), edit.pointer)).collect();
    Ok((body, edits))
}

fn text_of(fact: &Fact) -> String {
    match fact {
        Fact::Text(text) => text.to_string(),
        Fact::Number(_) | Fact::List(_) | Fact::Rows(_) => panic!("a text was expected"),
    }
}

#[test]
fn an_undeclared_member_goes_with_one_comma_and_its_white_space() {
    let schema = schema(
        &json!({"properties": {"a": {}, "b": {"properties": {"c": true}}, "l": {"items": {"properties": {"c": {}}}}}}),
    );
    let cases = [
        ("nothing unknown", r#"{ "a" : 1.0e0 , "b" : {} }"#, r#"{ "a" : 1.0e0 , "b" : {} }"#),
        ("only member", r#"{"x":1}"#, "{}"),
        ("only member in white space", "{ \n\"x\" : 1\t}", "{}"),
        ("all members", r#"{"x":1, "y":2 , "z":{}}"#, "{}"),
        ("first", r#"{ "x" : 1 , "a":2}"#, r#"{ "a":2}"#),
        ("first two", r#"{"x":1,"y":2,"a":2}"#, r#"{"a":2}"#),
        ("middle", r#"{"a":1 , "x":2 , "b":{}}"#, r#"{"a":1 , "b":{}}"#),
        ("middle two", "{\"a\":1,\n  \"x\":2,\n  \"y\":3,\n  \"b\":{}\n}", "{\"a\":1,\n  \"b\":{}\n}"),
        ("last", "{\"a\":1,\n  \"x\":2\n}", "{\"a\":1\n}"),
        ("last two", r#"{"a":1,"x":2,"y":3}"#, r#"{"a":1}"#),
        ("around", r#"{"x":0,"a":1,"y":2,"b":{},"z":3}"#, r#"{"a":1,"b":{}}"#),
        ("below", r#"{"b":{"c":1,"x":2},"a":3}"#, r#"{"b":{"c":1},"a":3}"#),
        ("below and behind", r#"{"b":{"x":2,"c":1},"x":3}"#, r#"{"b":{"c":1}}"#),
        ("below and before", r#"{"x":3,"b":{"x":2}}"#, r#"{"b":{}}"#),
        ("in elements", r#"{"l":[{"x":1},{"c":2,"x":3}, 4]}"#, r#"{"l":[{},{"c":2}, 4]}"#),
        ("where nothing is said", r#"{"a":{"x":[{"y":1}]}}"#, r#"{"a":{"x":[{"y":1}]}}"#),
        ("name by escapes", r#"{"\u0061":1,"\u0078":2}"#, r#"{"\u0061":1}"#),
        ("near name", r#"{"A":1,"a ":2,"":3,"a":4}"#, r#"{"a":4}"#),
        ("long value", r#"{"x":{"a":[1,{"b":"},{"}]},"a":1}"#, r#"{"a":1}"#),
        ("no object", r#"[{"x":1}]"#, r#"[{"x":1}]"#),
    ];
    for (name, text, expected) in cases {
        assert_eq!(clean(UNKNOWN, text, Some(&schema)).map(|(body, _)| body).as_deref(), Ok(expected), "{name}");
    }
}

#[test]
fn control_characters_go_however_they_are_spelled() {
    let cases = [
        ("none", r#"["plain"]"#, r#"["plain"]"#),
        ("nul", r#"["a\u0000b"]"#, r#"["ab"]"#),
        ("two side by side", r#"["\u0001\u001F"]"#, r#"[""]"#),
        ("backspace and form feed", r#"["\b\f"]"#, r#"[""]"#),
        ("escape sequence", r#"["\u001b[31m"]"#, r#"["[31m"]"#),
        ("tab, line feed, carriage return stay", r#"["\t\n\r\u0009\u000a\u000D"]"#, r#"["\t\n\r\u0009\u000a\u000D"]"#),
        ("delete raw and escaped", "[\"a\u{7f}b\\u007f\\u007F\"]", r#"["ab"]"#),
        ("its neighbours stay", "[\"~\\u007e\"]", "[\"~\\u007e\"]"),
        ("first and last of the upper block", "[\"\u{80}\u{9f}\\u0080\\u009F\"]", r#"[""]"#),
        ("its neighbours stay too", "[\"\u{a0}\\u00a0\u{bf}\u{c0}\"]", "[\"\u{a0}\\u00a0\u{bf}\u{c0}\"]"),
        ("an escaped backslash before u", r#"["\\u0000"]"#, r#"["\\u0000"]"#),
        ("an escaped backslash before that", r#"["\\\u0000"]"#, r#"["\\"]"#),
        ("surrogates stay", r#"["\ud83d\ude00\u0000"]"#, r#"["\ud83d\ude00"]"#),
        ("higher letters with such digits", r#"["\u0100\u1000\u8000"]"#, r#"["\u0100\u1000\u8000"]"#),
        ("white space between tokens stays", "[\t\"\\u0000\"\r\n]", "[\t\"\"\r\n]"),
        ("in a name", r#"{"a\u0000b":1}"#, r#"{"ab":1}"#),
        ("a whole name", r#"{"\u0000":1}"#, r#"{"":1}"#),
        ("text at the root", r#""\u0000""#, r#""""#),
    ];
    for (name, text, expected) in cases {
        assert_eq!(clean(CONTROL, text, None).map(|(body, _)| body).as_deref(), Ok(expected), "{name}");
    }
}

#[test]
fn characters_that_turn_text_or_hide_in_it_go_and_their_neighbours_stay() {
    let mut rows = Vec::new();
    for (rules, first, last) in [
        (BIDI, 0x061C, 0x061C),
        (BIDI, 0x200E, 0x200F),
        (BIDI, 0x202A, 0x202E),
        (BIDI, 0x2066, 0x2069),
        (ZERO_WIDTH, 0x200B, 0x200B),
        (ZERO_WIDTH, 0x2028, 0x2029),
        (ZERO_WIDTH, 0x2060, 0x2065),
        (ZERO_WIDTH, 0x206A, 0x206F),
        (ZERO_WIDTH, 0xFDD0, 0xFDEF),
        (ZERO_WIDTH, 0xFEFF, 0xFEFF),
        (ZERO_WIDTH, 0xFFF9, 0xFFFB),
        (ZERO_WIDTH, 0xFFFE, 0xFFFF),
        (ZERO_WIDTH, 0xE_0000, 0xE_007F),
    ] {
        rows.extend([(rules, first - 1, false), (rules, first, true), (rules, last, true), (rules, last + 1, false)]);
    }
    rows.extend([0x200C, 0x200D, 0xAD, 0x034F, 0xFE0F, 0x1_FFFF].map(|code| (CHARACTERS, code, false)));
    for (rules, code, goes) in rows {
        let character = char::from_u32(code).expect("no surrogate");
        let units: Vec<_> = character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect();
        let units = units.concat();
        for spelled in [character.to_string(), units.to_uppercase().replace('U', "u"), units] {
            let text = |spelled: &str| format!(r#"{{"é{spelled}":"\\u200e{spelled}z"}}"#);
            let (text, expected) = (text(&spelled), text(if goes { "" } else { &spelled }));
            assert_eq!(clean(rules, &text, None).map(|(body, _)| body), Ok(expected), "U+{code:04X} as {spelled:?}");
        }
    }
}

#[test]
fn each_class_of_characters_is_its_own_rule_and_edit() {
    let text = "[\"\u{202e}a\\u0000\u{feff}b\\u202c\"]";
    let edits = |rules| clean(rules, text, None);
    assert_eq!(
        edits(CONTROL),
        Ok(("[\"\u{202e}a\u{feff}b\\u202c\"]".to_owned(), vec!["control_characters /0".to_owned()]))
    );
    assert_eq!(edits(BIDI), Ok(("[\"a\\u0000\u{feff}b\"]".to_owned(), vec!["bidi_controls /0".to_owned()])));
    assert_eq!(edits(ZERO_WIDTH), Ok(("[\"\u{202e}a\\u0000b\\u202c\"]".to_owned(), vec!["zero_width /0".to_owned()])));
    let all = ["control_characters /0", "bidi_controls /0", "zero_width /0"].map(str::to_owned).to_vec();
    assert_eq!(edits(CHARACTERS), Ok((r#"["ab"]"#.to_owned(), all)));
    let mixed = Rules { zero_width: Action::Refuse, ..CONTROL };
    assert_eq!(edits(mixed), Err("zero_width /0".to_owned()), "refusing one is not lost by dropping another");
    let collision = Err("zero_width /*".to_owned());
    assert_eq!(
        clean(CHARACTERS, "{\"a\":1,\"a\u{2060}\":2}", None),
        collision,
        "the rule that made two names one is named"
    );
}

#[test]
fn operators_go_and_other_dollars_stay() {
    let schema = schema(&json!({"properties": {"$schema": {}, "o": {"additionalProperties": true}}}));
    let cases = [
        ("operator", r#"{"o":{"$gt":""},"$where":"1"}"#, r#"{"o":{}}"#),
        ("in elements", r#"{"o":[{"$ne":null,"a":1}]}"#, r#"{"o":[{"a":1}]}"#),
        ("by escapes", r#"{"o":{"\u0024gt":1,"$\u0067te":2}}"#, r#"{"o":{}}"#),
        ("listed by the schema", r#"{"$schema":"x","o":{"$schema":1}}"#, r#"{"$schema":"x","o":{}}"#),
        ("no letter behind it", r#"{"o":{"$":1,"$1":2,"$_":3,"$$gt":4}}"#, r#"{"o":{"$":1,"$1":2,"$_":3,"$$gt":4}}"#),
        ("inside of a name", r#"{"o":{"a$gt":1," $gt":2}}"#, r#"{"o":{"a$gt":1," $gt":2}}"#),
        ("as text", r#"{"o":["$gt","{\"$gt\":1}"]}"#, r#"{"o":["$gt","{\"$gt\":1}"]}"#),
    ];
    for (name, text, expected) in cases {
        assert_eq!(clean(OPERATORS, text, Some(&schema)).map(|(body, _)| body).as_deref(), Ok(expected), "{name}");
    }
    let hidden = "{\"\u{200b}$gt\":1,\"$\\u0000where\":2,\"\u{202e}a\":3}";
    assert_eq!(clean(ALL, hidden, None).map(|(body, _)| body).as_deref(), Ok(r#"{"a":3}"#), "hidden by characters");
}

#[test]
fn formulas_become_texts_and_what_only_begins_like_one_stays() {
    let cases = [
        ("sum", r#"["=1+1"]"#, r#"["'=1+1"]"#),
        ("plus and minus", r#"["+1+1","-1+1","-cmd|x"]"#, r#"["'+1+1","'-1+1","'-cmd|x"]"#),
        ("call", r#"["@SUM(1)","@cmd|x"]"#, r#"["'@SUM(1)","'@cmd|x"]"#),
        ("full width", r#"["＝1","＋a","－a","＠a("]"#, r#"["'＝1","'＋a","'－a","'＠a("]"#),
        ("by escapes", r#"["\u003D1"]"#, r#"["'\u003D1"]"#),
        ("behind white space", r#"["\r=1"," \t\n=1"]"#, r#"["'\r=1","' \t\n=1"]"#),
        ("below", r#"{"a":{"b":"=1","c":"="}}"#, r#"{"a":{"b":"'=1","c":"'="}}"#),
        ("a text already", r#"["'=1"]"#, r#"["'=1"]"#),
        ("numbers", r#"["-5","+1.5e","-1,000.00"]"#, r#"["-5","'+1.5e","-1,000.00"]"#),
        ("phone number", r#"["+49 (30) 123-456"]"#, r#"["+49 (30) 123-456"]"#),
        ("ruler", r#"["-----","- "]"#, r#"["-----","- "]"#),
        ("chat", r#"["@channel please look"]"#, r#"["@channel please look"]"#),
        ("inside", r#"["a=1","1+1"]"#, r#"["a=1","1+1"]"#),
        ("no text", r#"{"=a":-1}"#, r#"{"=a":-1}"#),
    ];
    for (name, text, expected) in cases {
        assert_eq!(clean(FORMULA, text, None).map(|(body, _)| body).as_deref(), Ok(expected), "{name}");
    }
    let all = Rules { formula: Formula::Escape, ..ALL };
    let hidden = clean(all, r#"{"\u0000a":"\u0000=\u202e1","__proto__":"=1"}"#, None);
    let edits =
        ["control_characters /*", "formula /*", "control_characters /*", "bidi_controls /*", "prototype_keys /*"];
    assert_eq!(hidden, Ok((r#"{"a":"'=1"}"#.to_owned(), edits.map(str::to_owned).to_vec())));
    let refuse = Rules { formula: Formula::Refuse, ..KEEP };
    assert_eq!(clean(refuse, r#"["a","=1"]"#, None), Err("formula /1".to_owned()));
    assert_eq!(clean(refuse, r#"["a","-1"]"#, None), Ok((r#"["a","-1"]"#.to_owned(), Vec::new())));
}

/// Attack strings and ordinary ones, each with what is left of it: see `tests/data/hostile/README.md`.
#[test]
fn hostile_strings_keep_what_the_reference_keeps_and_ordinary_ones_all() {
    let corpus = include_str!("../../tests/data/hostile/injection.jsonl");
    let rules = Rules { prototype_keys: Action::Drop, operator_keys: Action::Drop, ..CHARACTERS };
    for line in corpus.lines() {
        let row: Value = serde_json::from_str(line).expect("a row is JSON");
        let (value, strip) = (row["value"].as_str().expect("a text"), &row["strip"]);
        assert!(row["attack"] == true || *strip == value, "{}: an ordinary text stays", row["id"]);
        let raw = serde_json::to_string(&json!({"text": value})).expect("text can be written");
        let escaped: String = raw
            .encode_utf16()
            .map(|unit| {
                u8::try_from(unit)
                    .ok()
                    .filter(u8::is_ascii)
                    .map_or_else(|| format!("\\u{unit:04X}"), |byte| char::from(byte).to_string())
            })
            .collect();
        for text in [raw, escaped] {
            let (body, edits) = clean(rules, &text, None).expect("nothing is refused");
            let left: Value = serde_json::from_str(&body).expect("what is left is JSON");
            assert_eq!(left["text"], *strip, "{}", row["id"]);
            assert_eq!(edits.is_empty(), *strip == value, "{}", row["id"]);
            assert!(*strip != value || body == text, "{}: byte for byte", row["id"]);
        }
    }
}

#[test]
fn a_name_that_would_become_another_ones_is_refused() {
    let schema = schema(&json!({"properties": {"login": {}, "o": {"additionalProperties": true}}}));
    let open = self::schema(&json!({"properties": {"login": {}}, "additionalProperties": true}));
    let refused = |pointer: &str| Err(format!("control_characters {pointer}"));
    let cases = [
        ("sibling", None, CONTROL, r#"{"a":1,"a\u0000":2}"#, refused("/*")),
        ("sibling below", None, CONTROL, r#"[{"a\u0000":1,"a":2}]"#, refused("/0/*")),
        ("both dirty", None, CONTROL, r#"{"a\u0001":1,"a\u0000":2}"#, refused("/*")),
        ("other case", None, CONTROL, r#"{"A":1,"a\u0000":2}"#, Ok(r#"{"A":1,"a":2}"#)),
        ("listed, nobody else has it", Some(&open), CONTROL, r#"{"log\u0000in":1}"#, refused("/*")),
        ("not listed", Some(&open), CONTROL, r#"{"logi\u0000":1}"#, Ok(r#"{"logi":1}"#)),
        ("undeclared as it stands", Some(&schema), ALL, r#"{"log\u0000in":1,"login":2}"#, Ok(r#"{"login":2}"#)),
        ("undeclared but kept", Some(&schema), CONTROL, r#"{"log\u0000in":1}"#, refused("/*")),
        ("where all are known", Some(&schema), ALL, r#"{"o":{"log\u0000in":1}}"#, Ok(r#"{"o":{"login":1}}"#)),
    ];
    for (name, schema, rules, text, expected) in cases {
        let found = clean(rules, text, schema).map(|(body, _)| body);
        assert_eq!(found, expected.map(str::to_owned), "{name}");
    }
}

#[test]
fn what_changes_prototypes_goes_and_its_look_alikes_stay() {
    let cases = [
        ("__proto__", r#"{"__proto__":{"admin":true},"a":1}"#, r#"{"a":1}"#),
        ("whatever its value", r#"{"a":[{"__proto__":1}]}"#, r#"{"a":[{}]}"#),
        ("by escapes", r#"{"\u005f_proto__":{}}"#, "{}"),
        ("constructor with prototype", r#"{"constructor":{"x":1,"prototype":{"admin":1}}}"#, "{}"),
        ("both by escapes", r#"{"c\u006fnstructor":{"prot\u006ftype":1}}"#, "{}"),
        ("constructor of a racing team", r#"{"constructor":{"name":"x"}}"#, r#"{"constructor":{"name":"x"}}"#),
        ("constructor as text", r#"{"constructor":"prototype"}"#, r#"{"constructor":"prototype"}"#),
        ("prototype deeper", r#"{"constructor":{"a":{"prototype":1}}}"#, r#"{"constructor":{"a":{"prototype":1}}}"#),
        ("in brackets", r#"{"a[__proto__][b]":"1","c":1}"#, r#"{"c":1}"#),
        ("before brackets", r#"{"c":1,"__proto__[b]":"1"}"#, r#"{"c":1}"#),
        ("brackets that are not closed", r#"{"a[__proto__":"1"}"#, "{}"),
        ("spelled brackets", r#"{"a\u005b__proto__\u005d":"1"}"#, "{}"),
        ("a spelled letter", r#"{"a[__pr\u006fto__]":"1"}"#, "{}"),
        ("constructor and prototype in brackets", r#"{"constructor[prototype][x]":"1"}"#, "{}"),
        ("deep in brackets", r#"{"a[constructor][prototype]":"1"}"#, "{}"),
        ("a prototype in a constructor in brackets", r#"{"a[constructor]":{"prototype":1}}"#, "{}"),
        ("brackets in a constructor", r#"{"constructor":{"prototype[x]":1}}"#, "{}"),
        ("a team in brackets", r#"{"race[constructor]":"prototype"}"#, r#"{"race[constructor]":"prototype"}"#),
        ("a part of a name", r#"{"a[x__proto__]":"1"}"#, r#"{"a[x__proto__]":"1"}"#),
        ("in another order", r#"{"prototype[constructor]":"1"}"#, r#"{"prototype[constructor]":"1"}"#),
        ("prototype alone", r#"{"prototype":{"a":1}}"#, r#"{"prototype":{"a":1}}"#),
        (
            "near names",
            r#"{"__proto_":1,"__Proto__":2,"___proto__":3}"#,
            r#"{"__proto_":1,"__Proto__":2,"___proto__":3}"#,
        ),
        ("in text", r#"{"a":"__proto__ constructor"}"#, r#"{"a":"__proto__ constructor"}"#),
    ];
    for (name, text, expected) in cases {
        assert_eq!(clean(PROTOTYPE, text, None).map(|(body, _)| body).as_deref(), Ok(expected), "{name}");
    }
}

#[test]
fn control_characters_cannot_hide_a_prototype_key() {
    let cases = [
        (r#"{"__pro\u0000to__":{}}"#, "{}"),
        ("{\"__proto__\u{7f}\":{},\"a\":1}", r#"{"a":1}"#),
        (r#"{"construct\u0000or":{"\u0001prototype":{}}}"#, "{}"),
        (r#"{"constructor":{"prototype\u0000":{}}}"#, "{}"),
        (r#"{"constructor":{"prototypes\u0000":1}}"#, r#"{"constructor":{"prototypes":1}}"#),
    ];
    for (text, expected) in cases {
        assert_eq!(clean(ALL, text, None).map(|(body, _)| body).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn a_rule_refuses_what_it_would_drop() {
    let schema = schema(&json!({"properties": {"a": {"items": {"properties": {"b": {}}}}}}));
    let refuse = |rules: &dyn Fn(&mut Rules)| {
        let mut changed = KEEP;
        rules(&mut changed);
        changed
    };
    let unknown = refuse(&|rules| rules.unknown_fields = Action::Refuse);
    let control = refuse(&|rules| rules.control_characters = Action::Refuse);
    let prototype = refuse(&|rules| rules.prototype_keys = Action::Refuse);
    let bidi = refuse(&|rules| rules.bidi_controls = Action::Refuse);
    let zero_width = refuse(&|rules| rules.zero_width = Action::Refuse);
    let operators = refuse(&|rules| rules.operator_keys = Action::Refuse);
    let cases = [
        ("unknown", unknown, r#"{"a":[{},{"b":1,"x":2}]}"#, Err("unknown_fields /a/1/*")),
        ("nothing unknown", unknown, r#"{"a":[{},{"b":1}]}"#, Ok(())),
        ("control in a value", control, r#"{"a":[{"b":"\u0000"}]}"#, Err("control_characters /a/0/b")),
        ("control in a name", control, r#"{"a":[{"\u0000":""}]}"#, Err("control_characters /a/0/*")),
        ("control nowhere", control, r#"{"a":[{"b":"\\u0000"}]}"#, Ok(())),
        ("prototype", prototype, r#"{"x":{"__proto__":1}}"#, Err("prototype_keys /*/*")),
        ("bidi", bidi, r#"{"a":["\u202e"]}"#, Err("bidi_controls /a/0")),
        ("no bidi", bidi, r#"{"a":["\u202f"]}"#, Ok(())),
        ("zero width", zero_width, "{\"a\":[\"\u{feff}\"]}", Err("zero_width /a/0")),
        ("no zero width", zero_width, "{\"a\":[\"\u{200d}\"]}", Ok(())),
        ("operator", operators, r#"{"a":[{"$gt":1}]}"#, Err("operator_keys /a/0/*")),
        ("no operator", operators, r#"{"a":[{"gt$":1}]}"#, Ok(())),
        ("no prototype", prototype, r#"{"x":{"proto":1}}"#, Ok(())),
    ];
    for (name, rules, text, expected) in cases {
        let found = clean(rules, text, Some(&schema)).map(|_| ());
        assert_eq!(found, expected.map_err(str::to_owned), "{name}");
    }
}

#[test]
fn without_a_schema_nothing_is_unknown_and_keep_keeps() {
    let text = r#"{"x":1,"__proto__":{},"c":"\u0000"}"#;
    assert_eq!(clean(UNKNOWN, text, None), Ok((text.to_owned(), Vec::new())));
    let nothing = schema(&json!({"properties": {}}));
    assert_eq!(clean(KEEP, text, Some(&nothing)), Ok((text.to_owned(), Vec::new())));
    assert_eq!(clean(UNKNOWN, text, Some(&nothing)).map(|(body, _)| body).as_deref(), Ok("{}"));
}

#[test]
fn the_report_says_where_and_never_what() {
    let schema = schema(&json!({"properties": {
        "a/b": {"properties": {"c": {}}}, "m": {"additionalProperties": {"properties": {}}}}}));
    let text = r#"{"a/b":{"secret":1,"c":"\u0000"},"m":{"alice@example.com":{"secret":2}},"secret":3}"#;
    let (_, edits) = clean(ALL, text, Some(&schema)).expect("nothing is refused");
    let expected =
        ["unknown_fields /a~1b/*", "control_characters /a~1b/c", "unknown_fields /m/*/*", "unknown_fields /*"];
    assert_eq!(edits, expected);
}

#[test]
fn a_report_lists_64_edits_and_counts_all() {
    let nothing = schema(&json!({"items": {"properties": {}}}));
    for count in [63, 64, 65, 1_000] {
        let text = format!("[{}]", vec![r#"{"x":1}"#; count].join(","));
        let cleaned = Sanitizer::from(UNKNOWN)
            .clean(&read(&text), Some(nothing.declared()), Membership::Unasked)
            .expect("nothing is refused");
        assert_eq!((cleaned.report.count(), cleaned.report.edits().len()), (count, count.min(64)));
    }
}

/// A schema and what it declares, in a form that a plain recursive function can apply: the oracle.
#[derive(Debug, Clone)]
enum Shape {
    Any,
    List(Box<Shape>),
    Closed(Vec<(String, Shape)>),
    Open(Vec<(String, Shape)>),
}

impl Shape {
    fn schema(&self) -> Value {
        let properties = |members: &[(String, Self)]| {
            Value::Object(members.iter().map(|(name, shape)| (name.clone(), shape.schema())).collect())
        };
        match self {
            Self::Any => json!({}),
            Self::List(element) => json!({"items": element.schema()}),
            Self::Closed(members) => json!({"properties": properties(members)}),
            Self::Open(members) => json!({"properties": properties(members), "additionalProperties": true}),
        }
    }

    fn known(&self, value: &Value) -> Value {
        match (self, value) {
            (Self::List(element), Value::Array(values)) => values.iter().map(|value| element.known(value)).collect(),
            (Self::Closed(members) | Self::Open(members), Value::Object(values)) => {
                let known = values.iter().filter_map(|(name, value)| {
                    match members.iter().rev().find(|(listed, _)| listed == name) {
                        Some((_, shape)) => Some((name.clone(), shape.known(value))),
                        None if matches!(self, Self::Open(_)) => Some((name.clone(), value.clone())),
                        None => None,
                    }
                });
                Value::Object(known.collect::<Map<_, _>>())
            }
            _ => value.clone(),
        }
    }
}

impl Shape {
    /// The very bytes that are left: what a member has before it goes with it, and what is before the first one and behind the last stays.
    fn left_of(&self, node: Node<'_>) -> String {
        let source = node.document().source();
        let bytes = |span: Range<usize>| String::from_utf8_lossy(&source[span]).into_owned();
        let span = node.span();
        match (self, node.kind()) {
            (Self::List(element), Kind::Array) => {
                let mut left = String::new();
                let mut at = span.start;
                for inner in node.elements() {
                    left += &bytes(at..inner.span().start);
                    left += &element.left_of(inner);
                    at = inner.span().end;
                }
                left + &bytes(at..span.end)
            }
            (Self::Closed(members), Kind::Object) => {
                let listed =
                    |name: &str| members.iter().rev().find(|(listed, _)| listed == name).map(|(_, shape)| shape);
                let (mut kept, mut at) = (Vec::new(), span.start + 1);
                for member in node.members() {
                    let before = bytes(at..member.span().start);
                    at = member.span().end;
                    if let Some(shape) = listed(&member.key.name()) {
                        let name = bytes(member.key.span().start..member.value.span().start);
                        kept.push((before, name + &shape.left_of(member.value)));
                    }
                }
                let first = node.members().next().map_or(at, |first| first.span().start);
                if let Some(opening) = kept.first_mut() {
                    opening.0 = bytes(span.start + 1..first);
                }
                let end = if kept.is_empty() && !node.is_empty() { "}".to_owned() } else { bytes(at..span.end) };
                let kept: String = kept.into_iter().map(|(before, member)| before + &member).collect();
                format!("{{{kept}{end}")
            }
            (Self::Open(members), Kind::Object) => {
                let (mut left, mut at) = (String::new(), span.start);
                for member in node.members() {
                    left += &bytes(at..member.value.span().start);
                    let shape = members.iter().rev().find(|(listed, _)| *listed == member.key.name());
                    left += &shape.map_or(&Self::Any, |(_, shape)| shape).left_of(member.value);
                    at = member.value.span().end;
                }
                left + &bytes(at..span.end)
            }
            _ => bytes(span),
        }
    }
}

fn shapes() -> impl Strategy<Value = Shape> {
    Just(Shape::Any).prop_recursive(4, 24, 4, |inner| {
        let members = proptest::collection::vec(("[a-d]", inner.clone()), 0..4);
        prop_oneof![
            inner.prop_map(|element| Shape::List(Box::new(element))),
            members.clone().prop_map(Shape::Closed),
            members.prop_map(Shape::Open),
        ]
    })
}

/// JSON texts with white space, escapes and number spellings that a writer would not choose.
fn texts() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("1.50e+1".to_owned()),
        Just("-0".to_owned()),
        Just(r#""\u0041\/,}""#.to_owned()),
        Just(r#""é\t""#.to_owned()),
    ];
    let space = || prop_oneof![Just(""), Just(" "), Just("\n\t")];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        let name = prop_oneof!["[a-f]", Just(r"\u0061".to_owned()), Just(r"\u0065".to_owned())];
        let member = (space(), name, space(), inner.clone(), space());
        prop_oneof![
            proptest::collection::vec((space(), inner), 0..4).prop_map(|elements| {
                let elements: Vec<String> =
                    elements.iter().map(|(space, element)| format!("{space}{element}")).collect();
                format!("[{}]", elements.join(","))
            }),
            proptest::collection::vec(member, 0..5).prop_map(|members| {
                let mut seen = std::collections::HashSet::new();
                let members: Vec<String> = members
                    .iter()
                    .filter(|member| seen.insert(member.1.replace(r"\u0061", "a").replace(r"\u0065", "e")))
                    .map(|(before, name, colon, value, after)| format!(r#"{before}"{name}"{colon}:{value}{after}"#))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn exactly_the_undeclared_members_are_gone(shape in shapes(), text in texts()) {
        let schema = schema(&shape.schema());
        let (body, edits) = clean(UNKNOWN, &text, Some(&schema)).expect("nothing is refused");
        let before: Value = serde_json::from_str(&text).expect("the text is JSON");
        let after: Value = serde_json::from_str(&body).expect("what is left is JSON");
        prop_assert_eq!(&after, &shape.known(&before));
        prop_assert_eq!(edits.is_empty(), after == before);
        prop_assert_eq!(body, shape.left_of(read(&text).root()), "every other byte stays");
    }

    #[test]
    fn control_characters_and_nothing_else_are_gone(raw in "[a\\\\\"\u{0}-\u{2}\t\n\u{7e}-\u{a1}é]{0,12}", ascii in any::<bool>()) {
        let mut text = serde_json::to_string(&[&raw]).expect("text can be written");
        if ascii {
            text = text.chars().map(|c| if c.is_ascii() { c.to_string() } else { format!("\\u{:04X}", u32::from(c)) }).collect();
        }
        let (body, _) = clean(CONTROL, &text, None).expect("nothing is refused");
        let after: Vec<String> = serde_json::from_str(&body).expect("what is left is JSON");
        let expected: String = raw.chars().filter(|c| !c.is_control() || "\t\n\r".contains(*c)).collect();
        prop_assert_eq!(&after, &[expected]);
        prop_assert!(is_subsequence(&body, &text));
    }
}

/// Else nobody could see what was taken out.
#[test]
fn what_a_rule_drops_is_spelled_out_where_it_is_shown() {
    for character in ('\0'..=char::MAX).filter(|character| characters::Class::of(*character).is_some()) {
        assert!(crate::text::is_deceptive(character), "{character:?}");
    }
}

/// Objects whose names are near each other once they are cleaned, or are what prototypes are changed by.
fn dirty_texts() -> impl Strategy<Value = String> {
    let names = [
        "a",
        r"a\u0000",
        r"\u0001a",
        "a\u{7f}",
        "b",
        "__proto__",
        r"__proto\u0000__",
        "constructor",
        r"constructor\u0002",
        "prototype",
        r"\u0070rototype",
        r"prototype\u001f",
        "a\u{feff}",
        r"\u202e$gt",
        r"$\u0000gt",
        "$gt",
        "__proto\u{2060}__",
    ];
    let leaf =
        prop_oneof![Just("1".to_owned()), Just(r#""\u0000x\b""#.to_owned()), Just("\"\u{202e}=x\u{200b}\"".to_owned())];
    leaf.prop_recursive(4, 30, 4, move |inner| {
        let members = proptest::collection::vec((proptest::sample::select(names.to_vec()), inner.clone()), 0..4);
        prop_oneof![
            proptest::collection::vec(inner, 0..3).prop_map(|elements| format!("[{}]", elements.join(","))),
            members.prop_map(|members| {
                let mut seen = std::collections::HashSet::new();
                let members: Vec<String> = members
                    .iter()
                    .filter(|(name, _)| seen.insert(name.replace(r"\u0070", "p")))
                    .map(|(name, value)| format!(r#""{name}":{value}"#))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    /// The helper `clean` asserts that a second cleaning finds nothing and that the outcome can be read.
    #[test]
    fn all_rules_together_clean_once_and_for_all(shape in shapes(), text in dirty_texts()) {
        let schema = schema(&shape.schema());
        for rules in [ALL, CONTROL, BIDI, ZERO_WIDTH, CHARACTERS, PROTOTYPE, OPERATORS, Rules { unknown_fields: Action::Keep, ..ALL }] {
            if let Ok((body, _)) = clean(rules, &text, Some(&schema)) {
                prop_assert!(is_subsequence(&body, &text));
            }
            let with_formulas = clean(Rules { formula: Formula::Escape, ..rules }, &text, Some(&schema));
            if let Ok((body, _)) = with_formulas {
                prop_assert!(is_subsequence(&body.replace('\'', ""), &text));
            }
        }
    }
}

fn is_subsequence(short: &str, long: &str) -> bool {
    let mut long = long.bytes();
    short.bytes().all(|byte| long.any(|other| other == byte))
}
