//! Rules for some places, and the rules that write texts anew.

use super::*;
use crate::payload::patterns::Pattern;
use crate::secret::Secret;

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).expect("the case is a pattern")
}

fn key(key: &str) -> Deed {
    Deed::Hash(Pseudonyms::new(Some(&Secret::new(key.as_bytes().to_vec()))))
}

fn rule(at: &str, deeds: &[Deed]) -> PlaceRule {
    PlaceRule { at: pattern(at), deeds: deeds.to_vec() }
}

fn sanitizer(rules: Rules, places: &[PlaceRule], keep: &[&str]) -> Sanitizer {
    let keep: Vec<Pattern> = keep.iter().map(|text| pattern(text)).collect();
    Sanitizer::new(rules, Some(Places::new(places, &keep).expect("the rules of the case fit together")))
}

/// What comes out, or the rule and pointer of the refusal; what comes out is clean.
fn cleaned(sanitizer: &Sanitizer, text: &str, schema: Option<&Schema>) -> Result<(String, Vec<String>), String> {
    let (body, edits) = once(sanitizer, text, schema)?;
    let again = once(sanitizer, &body, schema);
    assert_eq!(again, Ok((body.clone(), Vec::new())), "{text}: cleaning again finds nothing");
    Ok((body, edits))
}

fn once(sanitizer: &Sanitizer, text: &str, schema: Option<&Schema>) -> Result<(String, Vec<String>), String> {
    let document = read(text);
    let cleaned = sanitizer.clean(&document, schema.map(Schema::declared), Membership::Unasked);
    let cleaned = cleaned.map_err(|rejection| {
        assert_eq!(rejection.reason(), Reason::SanitizerRefused);
        rejection.detail().iter().map(|(_, fact)| text_of(fact)).collect::<Vec<_>>().join(" ")
    })?;
    let untouched = cleaned.body.as_ptr() == document.source().as_ptr();
    assert_eq!(untouched, cleaned.report.is_empty(), "{text}: the received bytes go on if nothing was edited");
    let body = String::from_utf8(cleaned.body.to_vec()).expect("what is left is UTF-8");
    let edits = cleaned.report.edits().iter().map(|edit| format!("{} {}", edit.rule.name(), edit.pointer)).collect();
    Ok((body, edits))
}

/// `(what it shows, rules, keep, text, what is left)`.
type Row<'r> = (&'r str, Vec<PlaceRule>, &'r [&'r str], &'r str, &'r str);

fn check(rows: Vec<Row<'_>>) {
    for (name, places, keep, text, expected) in rows {
        let body = cleaned(&sanitizer(KEEP, &places, keep), text, None).map(|(body, _)| body);
        assert_eq!(body.as_deref(), Ok(expected), "{name}");
    }
}

#[test]
fn a_rule_reaches_its_places_and_all_below_them() {
    let drop = |at| vec![rule(at, &[Deed::Drop])];
    let text = r#"{ "a":{"b":[{"c":1,"d":2}, 3 ],"c":4}, "c":5 }"#;
    check(vec![
        ("a member", drop("/c"), &[], text, r#"{ "a":{"b":[{"c":1,"d":2}, 3 ],"c":4} }"#),
        ("a member of elements", drop("/a/b/*/c"), &[], text, r#"{ "a":{"b":[{"d":2}, 3 ],"c":4}, "c":5 }"#),
        ("at any depth", drop("/**/c"), &[], text, r#"{ "a":{"b":[{"d":2}, 3 ]} }"#),
        ("an element leaves null", drop("/a/b/1"), &[], text, r#"{ "a":{"b":[{"c":1,"d":2}, null ],"c":4}, "c":5 }"#),
        ("all elements", drop("/a/b/*"), &[], text, r#"{ "a":{"b":[null, null ],"c":4}, "c":5 }"#),
        ("nothing there", drop("/a/c/d"), &[], text, text),
        ("near name", drop("/C"), &[], text, text),
        ("by escapes", drop("/c"), &[], r#"{"\u0063":1,"d":2}"#, r#"{"d":2}"#),
        (
            "everything below",
            vec![rule("/a", &[Deed::Mask(0)])],
            &[],
            text,
            r#"{ "a":{"b":[{"c":"*","d":"*"}, "*" ],"c":"*"}, "c":5 }"#,
        ),
        (
            "everything",
            vec![rule("", &[Deed::Html(Html::Strip)])],
            &[],
            r#"["<b>x</b>",{"a":"<i>y"}]"#,
            r#"["x",{"a":"y"}]"#,
        ),
    ]);
}

#[test]
fn what_is_set_takes_the_place_of_whatever_is_there() {
    let set = |at, value: &str| vec![rule(at, &[Deed::Set(value.into())])];
    check(vec![
        ("text", set("/a", r#""x""#), &[], r#"{"a": 1.50 ,"b":2}"#, r#"{"a": "x" ,"b":2}"#),
        ("null for an object", set("/a", "null"), &[], r#"{"a":{"b":[1]}}"#, r#"{"a":null}"#),
        ("an object, which is not looked into", set("/**/a", r#"{"a":1}"#), &[], r#"{"a":2}"#, r#"{"a":{"a":1}}"#),
        ("what is not there stays away", set("/a/b", "1"), &[], r#"{"a":[]}"#, r#"{"a":[]}"#),
        ("an element", set("/1", "0"), &[], "[1,2,3]", "[1,0,3]"),
    ]);
}

#[test]
fn texts_are_truncated_by_characters_and_masked_but_for_their_end() {
    let truncate = |characters| vec![rule("/a", &[Deed::Truncate(characters)])];
    let mask = |shown| vec![rule("/a", &[Deed::Mask(shown)])];
    check(vec![
        ("one less", truncate(4), &[], r#"{"a":"äöü"}"#, r#"{"a":"äöü"}"#),
        ("just so many", truncate(3), &[], r#"{"a":"äöü"}"#, r#"{"a":"äöü"}"#),
        ("one more", truncate(2), &[], r#"{"a":"äöü"}"#, r#"{"a":"äö"}"#),
        ("escapes are characters", truncate(2), &[], r#"{"a":"\u00e4\ud83d\ude00\n"}"#, "{\"a\":\"ä😀\"}"),
        ("no text", truncate(1), &[], r#"{"a":123}"#, r#"{"a":123}"#),
        ("only there", truncate(1), &[], r#"{"b":"xyz"}"#, r#"{"b":"xyz"}"#),
        ("all but the end", mask(4), &[], r#"{"a":"4111-1111"}"#, r#"{"a":"*****1111"}"#),
        ("no longer than what is shown", mask(4), &[], r#"{"a":"1111"}"#, r#"{"a":"****"}"#),
        ("one longer", mask(4), &[], r#"{"a":"21111"}"#, r#"{"a":"*1111"}"#),
        ("a number becomes text", mask(2), &[], r#"{"a":-12.50}"#, r#"{"a":"****50"}"#),
        (
            "a number that is truncated as text",
            vec![rule("/a", &[Deed::Mask(0)]), rule("/a", &[Deed::Truncate(2)])],
            &[],
            r#"{"a":1.50}"#,
            r#"{"a":"**"}"#,
        ),
        ("nothing stays nothing", mask(2), &[], r#"{"a":null}"#, r#"{"a":null}"#),
        ("what has to be escaped", mask(2), &[], r#"{"a":"ab\u0001\"\\"}"#, r#"{"a":"***\"\\"}"#),
    ]);
}

#[test]
fn only_what_is_listed_is_kept() {
    let text = r#"{"id":1,"user":{"name":"n","mail":"m"},"items":[{"sku":1,"note":2},"x",[{"sku":3}]],"s":"t"}"#;
    check(vec![
        ("a member", vec![], &["/id"], text, r#"{"id":1}"#),
        ("with all it holds", vec![], &["/user"], text, r#"{"user":{"name":"n","mail":"m"}}"#),
        ("and the way to it", vec![], &["/user/name", "/id"], text, r#"{"id":1,"user":{"name":"n"}}"#),
        ("in elements", vec![], &["/items/*/sku"], text, r#"{"items":[{"sku":1},null,[null]]}"#),
        ("one element", vec![], &["/items/1"], text, r#"{"items":[null,"x",null]}"#),
        ("a text is no way to anything", vec![], &["/s/x"], text, "{}"),
        ("everything", vec![], &["/**"], text, text),
        ("at any depth", vec![], &["/**/sku"], text, r#"{"user":{},"items":[{"sku":1},null,[{"sku":3}]]}"#),
        ("dropped all the same", vec![rule("/user/mail", &[Deed::Drop])], &["/user"], text, r#"{"user":{"name":"n"}}"#),
        ("a text that is the whole body", vec![], &["/a"], r#" "x" "#, " null "),
        ("the whole body", vec![], &[""], "[1]", "[1]"),
    ]);
}

#[test]
fn a_hashed_value_is_a_pseudonym_and_stays_one() {
    let rules = sanitizer(CHARACTERS, &[rule("/user", &[key("k")])], &[]);
    let hash = |text: &str| Pseudonyms::new(Some(&Secret::new(b"k".to_vec()))).of(text).expect("there is a key");
    let (body, edits) =
        cleaned(&rules, r#"{"user":{"mail":"al\u0069ce","age": 42 ,"x":null},"b":1}"#, None).expect("not refused");
    let expected = format!(r#"{{"user":{{"mail":"{}","age": "{}" ,"x":null}},"b":1}}"#, hash("alice"), hash("42"));
    assert_eq!(body, expected);
    assert_eq!(edits, ["hash /user/*", "hash /user/*"]);
    let pseudonym = hash("alice");
    let forged = format!("{}0", &pseudonym[..pseudonym.len() - 1]);
    let forged = if forged == pseudonym { format!("{}1", &pseudonym[..pseudonym.len() - 1]) } else { forged };
    let (body, _) = cleaned(&rules, &format!(r#"{{"user":"{forged}"}}"#), None).expect("not refused");
    assert_eq!(body, format!(r#"{{"user":"{}"}}"#, hash(&forged)), "nothing passes by its form");
    let keyless = sanitizer(KEEP, &[rule("/user", &[Deed::Hash(Pseudonyms::new(None))])], &[]);
    assert_eq!(cleaned(&keyless, r#"{"user":1}"#, None), Err("hash /user".to_owned()));
}

#[test]
fn unwanted_patterns_refuse_what_would_go_on() {
    let unwanted = |text| Deed::RefuseIf(Unwanted::parse(text).expect("a pattern"));
    let select = |at| vec![rule(at, &[unwanted("(?i)union\\s+select|^-1$")])];
    let rows = [
        ("in a text", select("/q"), KEEP, r#"{"q":"1 UNION  SELECT 2"}"#, Err("refuse_if /q")),
        ("spelled with escapes", select("/q"), KEEP, r#"{"q":"\u0055nion select"}"#, Err("refuse_if /q")),
        ("a number", select("/q"), KEEP, r#"{"q":-1}"#, Err("refuse_if /q")),
        ("another number", select("/q"), KEEP, r#"{"q":-10}"#, Ok(r#"{"q":-10}"#)),
        ("ordinary", select("/q"), KEEP, r#"{"q":"a union; select one"}"#, Ok(r#"{"q":"a union; select one"}"#)),
        ("elsewhere", select("/q"), KEEP, r#"{"p":"union select"}"#, Ok(r#"{"p":"union select"}"#)),
        ("below", select("/**"), KEEP, r#"{"p":["union select"]}"#, Err("refuse_if /*/0")),
        ("not hidden", select("/q"), CHARACTERS, r#"{"q":"uni\u0000on select"}"#, Err("refuse_if /q")),
        (
            "what does not go on",
            vec![rule("/q", &[unwanted("x"), Deed::Truncate(1)])],
            KEEP,
            r#"{"q":"ax"}"#,
            Ok(r#"{"q":"a"}"#),
        ),
        (
            "nor what is replaced",
            vec![rule("/q", &[unwanted("x"), Deed::Set("1".into())])],
            KEEP,
            r#"{"q":"x"}"#,
            Ok(r#"{"q":1}"#),
        ),
    ];
    for (name, places, rules, text, expected) in rows {
        let found = cleaned(&sanitizer(rules, &places, &[]), text, None).map(|(body, _)| body);
        assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{name}");
    }
    for bad in ["(?=x)", r"(a)\1", "(", "a{1000}{1000}"] {
        assert!(Unwanted::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn texts_are_normalized_stripped_and_escaped_and_others_stay_as_they_are_spelled() {
    let nfc = Rules { normalize: Normalize::Nfc, ..KEEP };
    let strip = Rules { html: Html::Strip, ..KEEP };
    let both = Rules { formula: Formula::Escape, normalize: Normalize::Nfc, html: Html::Strip, ..CHARACTERS };
    let rows = [
        ("composed already", nfc, r#"["caf\u00e9 é 한"]"#, r#"["caf\u00e9 é 한"]"#),
        ("decomposed", nfc, "[\"cafe\u{301}\",\"\\u0065\\u0301\"]", r#"["café","é"]"#),
        ("compatibility forms stay", nfc, r#"["ﬁ＝"]"#, r#"["ﬁ＝"]"#),
        ("a singleton", nfc, "[\"\u{212a}\"]", r#"["K"]"#),
        ("names stay", nfc, "{\"e\u{301}\":1}", "{\"e\u{301}\":1}"),
        ("no markup", strip, r#"["a < b \u0026 c"]"#, r#"["a < b \u0026 c"]"#),
        ("markup by escapes", strip, r#"["\u003cb>x\u003C/b>\t\"y\""]"#, r#"["x\t\"y\""]"#),
        ("behind a character", both, "[\"<\\u0000b>x\"]", r#"["x"]"#),
        ("made by composing", both, "[\"<\u{212a}>x\"]", r#"["x"]"#),
        ("composed around a tag", both, "[\"e<b>\u{301}\"]", r#"["é"]"#),
        ("a formula behind a tag", both, r#"["<b>=1"]"#, r#"["'=1"]"#),
        ("only characters", both, r#"["\u0041\u0000"]"#, r#"["\u0041"]"#),
    ];
    for (name, rules, text, expected) in rows {
        let found = cleaned(&Sanitizer::new(rules, None), text, None).map(|(body, _)| body);
        assert_eq!(found.as_deref(), Ok(expected), "{name}");
    }
}

#[test]
fn names_cannot_hide_a_place_nor_make_two_of_one() {
    let rules = |rules| sanitizer(rules, &[rule("/password", &[Deed::Mask(0)])], &[]);
    let hidden = r#"{"pass\u0000word":"x"}"#;
    assert_eq!(cleaned(&rules(CONTROL), hidden, None).map(|(body, _)| body).as_deref(), Ok(r#"{"password":"*"}"#));
    assert_eq!(cleaned(&rules(KEEP), hidden, None).map(|(body, _)| body).as_deref(), Ok(hidden));
    let twice = r#"{"pass\u0000word":"x","password":"y"}"#;
    assert_eq!(cleaned(&rules(CONTROL), twice, None), Err("control_characters /*".to_owned()));
    let local = sanitizer(KEEP, &[rule("/a", &[Deed::ControlCharacters(Action::Drop)])], &[]);
    let text = r#"{"a":{"x\u0000":"\u0000"},"b\u0000":"\u0000"}"#;
    assert_eq!(
        cleaned(&local, text, None).map(|(body, _)| body).as_deref(),
        Ok(r#"{"a":{"x":""},"b\u0000":"\u0000"}"#)
    );
}

#[test]
fn pointers_show_names_of_the_policy_and_no_others() {
    let places = [rule("/user/*/mail", &[Deed::Mask(0)]), rule("/**/secret", &[Deed::Drop])];
    let (_, edits) = cleaned(
        &sanitizer(KEEP, &places, &[]),
        r#"{"user":{"alice":{"mail":"m","secret":1,"user":{"secret":2}}}}"#,
        None,
    )
    .expect("not refused");
    assert_eq!(edits, ["mask /user/*/mail", "drop /user/*/secret", "drop /user/*/*/secret"]);
}

#[test]
fn rules_that_want_something_else_of_one_value_do_not_load() {
    let set = |at, value: &str| rule(at, &[Deed::Set(value.into())]);
    let conflict = |deed| Err(PlacesFault::Conflict { rule: 1, earlier: 0, deed });
    let rows = [
        ("two values", vec![set("/a", "1"), set("/*", "2")], conflict("set")),
        ("below one another", vec![set("/a", "1"), set("/a/b", "2")], conflict("set")),
        ("one value", vec![set("/a", "1"), set("/*", "1")], Ok(())),
        ("apart", vec![set("/a", "1"), set("/b", "2")], Ok(())),
        ("two keys", vec![rule("/**/m", &[key("1")]), rule("/a", &[key("2")])], conflict("hash")),
        ("one key", vec![rule("/**/m", &[key("1")]), rule("/a", &[key("1")])], Ok(())),
        ("too many steps", vec![rule("/a/a/a/a/a/a/a/a/a", &[Deed::Drop]); 64], Err(PlacesFault::TooManySteps)),
    ];
    for (name, rules, expected) in rows {
        assert_eq!(Places::new(&rules, &[]).map(|_| ()), expected, "{name}");
    }
}

#[test]
fn a_body_cannot_be_made_much_larger_than_it_is() {
    let rules = sanitizer(KEEP, &[rule("", &[key("k")])], &[]);
    let zeros = |count: usize| format!("[{}]", vec!["0"; count].join(","));
    assert!(once(&rules, &zeros(500), None).is_ok());
    assert!(once(&rules, &zeros(10_000), None).is_err_and(|refusal| refusal.starts_with("hash /")));
    let escape = Sanitizer::new(Rules { html: Html::Escape, ..KEEP }, None);
    assert!(once(&escape, &format!("[\"{}\"]", "'".repeat(10_000)), None).is_ok());
    assert!(once(&escape, &format!("[\"{}\"]", "'".repeat(100_000)), None).is_err());
}

/// See `tests/data/hostile/README.md`. Escaping is a spelling, so escaping twice is spelling twice: it is the one rule that is not its own second time.
#[test]
fn hostile_strings_are_escaped_as_the_reference_has_them_and_ordinary_ones_are_left_alone_by_all_else() {
    let corpus = include_str!("../../../tests/data/hostile/injection.jsonl");
    let escape = Sanitizer::new(Rules { html: Html::Escape, ..KEEP }, None);
    let places = [rule("/**", &[Deed::Html(Html::Strip), Deed::Normalize(Normalize::Nfc), Deed::Truncate(200)])];
    let rest = sanitizer(CHARACTERS, &places, &[]);
    let mut rows = 0;
    for line in corpus.lines() {
        let row: Value = serde_json::from_str(line).expect("a row is JSON");
        let value = row["value"].as_str().expect("a text");
        let text = serde_json::to_string(&json!({"text": value})).expect("text can be written");
        let (body, edits) = once(&escape, &text, None).expect("nothing is refused");
        let left: Value = serde_json::from_str(&body).expect("what is left is JSON");
        assert_eq!(left["text"], row["html"], "{}", row["id"]);
        assert_eq!(edits.is_empty(), row["html"] == value, "{}", row["id"]);
        assert!(!edits.is_empty() || body == text, "{}: byte for byte", row["id"]);
        let (body, _) = cleaned(&rest, &text, None).expect("nothing is refused");
        let has_tags = row["id"] == "benign-47";
        assert!(
            row["attack"] == true || has_tags || body == text,
            "{}: an ordinary text stays byte for byte",
            row["id"]
        );
        rows += 1;
    }
    assert_eq!(rows, 282);
}

fn deeds() -> impl Strategy<Value = Deed> {
    let actions = || prop::sample::select(vec![Action::Drop, Action::Keep]);
    prop_oneof![
        Just(Deed::Drop),
        Just(Deed::Set(r#"{"a":"=x\u0000"}"#.into())),
        Just(key("k")),
        (0_usize..4).prop_map(Deed::Mask),
        (0_usize..5).prop_map(Deed::Truncate),
        actions().prop_map(Deed::ControlCharacters),
        actions().prop_map(Deed::BidiControls),
        actions().prop_map(Deed::ZeroWidth),
        Just(Deed::Normalize(Normalize::Nfc)),
        Just(Deed::Html(Html::Strip)),
        Just(Deed::Formula(Formula::Escape)),
        Just(Deed::RefuseIf(Unwanted::parse("xx|^b").expect("a pattern"))),
    ]
}

fn ways() -> impl Strategy<Value = String> {
    let steps = prop::sample::select(vec!["a", "b", "0", "1", "*", "**", "$gt", "__proto__"]);
    prop::collection::vec(steps, 1..4).prop_map(|steps| steps.iter().flat_map(|step| ["/", step]).collect())
}

/// Objects and arrays of texts that the rules are about.
fn messy_texts() -> impl Strategy<Value = String> {
    let names = ["a", "b", r"a\u0000", "$gt", "__proto__", "constructor", "prototype", r"\u0062", "a\u{feff}", "c"];
    let piece = prop::sample::select(vec![
        "a", "x", "<b>", "</", "<", ">", "&amp;", "=", "+", "-", "e\u{301}", "\u{301}", "\u{338}", "\u{212a}",
        r"\u0000", r"\u202e", "\u{feff}", r"\u003c", r"\n", " ", "'", "(", "1", "é",
    ]);
    let leaf = prop_oneof![
        prop::sample::select(vec!["1.50", "true", "null", "-0"]).prop_map(str::to_owned),
        prop::collection::vec(piece, 0..8).prop_map(|pieces| format!("\"{}\"", pieces.concat())),
    ];
    leaf.prop_recursive(4, 30, 4, move |inner| {
        let members = prop::collection::vec((prop::sample::select(names.to_vec()), inner.clone()), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|elements| format!("[ {}]", elements.join(" ,"))),
            members.prop_map(|members| {
                let mut seen = std::collections::HashSet::new();
                let members: Vec<String> = members
                    .iter()
                    .filter(|(name, _)| seen.insert(name.replace(r"\u0062", "b")))
                    .map(|(name, value)| format!(r#""{name}" :{value}"#))
                    .collect();
                format!("{{{} }}", members.join(", "))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn any_rules_in_any_order_clean_once_and_for_all(
        places in prop::collection::vec((ways(), prop::collection::vec(deeds(), 1..4)), 0..6),
        keep in prop::option::of(prop::collection::vec(ways(), 1..4)),
        global in prop::sample::select(vec![KEEP, ALL, CHARACTERS, Rules { html: Html::Strip, normalize: Normalize::Nfc, formula: Formula::Escape, ..ALL }]),
        shape in prop::option::of(shapes()),
        text in messy_texts(),
        order in any::<u64>(),
    ) {
        let schema = shape.map(|shape| schema(&shape.schema()));
        let rules: Vec<PlaceRule> = places.iter().map(|(at, deeds)| rule(at, deeds)).collect();
        let keep: Vec<String> = keep.unwrap_or_default();
        let keep: Vec<&str> = keep.iter().map(String::as_str).collect();
        let found = cleaned(&sanitizer(global, &rules, &keep), &text, schema.as_ref());
        let mut shuffled = rules;
        let turn = usize::try_from(order % 7).expect("it is small") % shuffled.len().max(1);
        shuffled.rotate_left(turn);
        if order & 8 == 8 {
            shuffled.reverse();
        }
        for rule in &mut shuffled {
            rule.deeds.reverse();
        }
        let keep: Vec<&str> = keep.into_iter().rev().collect();
        prop_assert_eq!(cleaned(&sanitizer(global, &shuffled, &keep), &text, schema.as_ref()), found);
    }

    /// What is not on the list is gone, and what is, with all that leads there, is as it was.
    #[test]
    fn exactly_what_is_not_listed_is_gone(keep in prop::collection::vec(ways(), 1..4), text in texts()) {
        let keep: Vec<&str> = keep.iter().map(String::as_str).collect();
        let patterns: Vec<Pattern> = keep.iter().map(|text| pattern(text)).collect();
        let (body, _) = cleaned(&sanitizer(KEEP, &[], &keep), &text, None).expect("nothing is refused");
        let before: Value = serde_json::from_str(&text).expect("the text is JSON");
        let after: Value = serde_json::from_str(&body).expect("what is left is JSON");
        prop_assert_eq!(after, listed(&before, "", &patterns).unwrap_or(Value::Null));
    }
}

/// The oracle for `keep`: each place is asked of each pattern.
fn listed(value: &Value, at: &str, keep: &[Pattern]) -> Option<Value> {
    let place = pattern(at);
    if keep.iter().any(|pattern| is_at_or_above(pattern, &place)) {
        return Some(value.clone());
    }
    if !keep.iter().any(|pattern| pattern.meets(&place)) {
        return None;
    }
    match value {
        Value::Object(members) => {
            let kept = members
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), listed(value, &format!("{at}/{name}"), keep)?)));
            Some(Value::Object(kept.collect()))
        }
        Value::Array(elements) => {
            let kept = elements.iter().enumerate();
            Some(
                kept.map(|(index, value)| listed(value, &format!("{at}/{index}"), keep).unwrap_or(Value::Null))
                    .collect(),
            )
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// Whether a pattern has a place that `place`, which has no wild steps, is or is below.
fn is_at_or_above(pattern: &Pattern, place: &Pattern) -> bool {
    use crate::payload::patterns::Patterns;
    let patterns = Patterns::new(&[pattern]).expect("it is one");
    let mut way = patterns.start();
    let mut found = patterns.ending(way).next().is_some();
    for step in place.names() {
        way = patterns.name(way, step).way;
        found |= patterns.ending(way).next().is_some();
    }
    found
}
