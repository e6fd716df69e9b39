//! What schema and sanitizer make of bodies that were chosen to slip by.

use crate::{House, SCHEMA, load};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const TYPES: &str = "content_types = ['application/x-www-form-urlencoded', 'application/json']";

/// Where some markup is escaped and some goes, what stands behind that which goes is judged as well.
#[test]
fn a_formula_behind_markup_is_found_whatever_other_rules_do_with_markup() {
    let house = House::new(
        TYPES,
        "[sanitize]\nhtml = 'strip'\nformula = 'escape'\n[[sanitize.rule]]\nat = '/bio'\nhtml = 'escape'\n",
    );
    assert_eq!(house.told(JSON, r#"{"n":"<b></b>=1+1"}"#), Ok(r#"{"n":"'=1+1"}"#.to_owned()));
    assert_eq!(house.told(JSON, r#"{"n":"1+1"}"#), Ok(r#"{"n":"1+1"}"#.to_owned()));
}

/// An edit must not make of two names what apps take for one.
#[test]
fn an_edited_form_is_judged_as_strictly_as_a_received_one() {
    let house = House::new(TYPES, "[sanitize]\nzero_width = 'drop'\n");
    let zero_width = "%E2%80%8B";
    let edited = |name: &str| house.told(FORM, format!("amount_usd=1&{name}=999"));
    assert_eq!(edited(&format!("amount{zero_width}.usd")), Err("sanitizer_refused"));
    assert_eq!(edited(&format!("{zero_width}+amount_usd")), Err("sanitizer_refused"));
    assert_eq!(edited(&format!("amount{zero_width}.eur")), Ok("amount_usd=1&amount.eur=999".to_owned()));
}

/// Four bytes more for each `&`: the body's own eight and as many as there are, and 64 KiB.
#[test]
fn a_body_grows_by_its_own_size_and_some_and_no_more() {
    let house = House::new(TYPES, "[sanitize]\nhtml = 'escape'\n");
    let grown = |count: usize| house.told(JSON, format!(r#"{{"a":"{}"}}"#, "&".repeat(count))).map(|body| body.len());
    assert_eq!(grown(21_847), Ok(8 + 5 * 21_847));
    assert_eq!(grown(21_848), Ok(8 + 5 * 21_848));
    assert_eq!(grown(21_849), Err("sanitizer_refused"));
}

#[test]
fn a_value_that_is_set_has_a_longest_length() {
    let loads = |length: usize| {
        let rule = format!("[[sanitize.rule]]\nat = '/a'\nset = '{}'\n", "x".repeat(length));
        load(TYPES, &rule, "{}").0.is_some()
    };
    // Two bytes are the quotes around it.
    assert_eq!([4_093, 4_094, 4_095].map(loads), [true, true, false]);
}

#[test]
fn an_operator_in_brackets_is_one() {
    let house = House::new(TYPES, "[sanitize]\noperator_keys = 'refuse'\n");
    for (content_type, body, expected) in [
        (FORM, "password[$ne]=x", Err("sanitizer_refused")),
        (FORM, "a[b][%24gt]=x", Err("sanitizer_refused")),
        (FORM, "password[ne]=x&price[$]=1&a$b=2", Ok(())),
        (JSON, r#"{"a\u005b$ne]":1}"#, Err("sanitizer_refused")),
        (JSON, r#"{"a":"[$ne]"}"#, Ok(())),
    ] {
        assert_eq!(house.told(content_type, body).map(|_| ()), expected, "{body}");
    }
}

/// The metaschema judges files, and knows of no schema where an unknown keyword stands.
#[test]
fn a_keyword_that_means_nothing_does_not_load_wherever_the_schema_stands() {
    for (schema, loads) in [
        (r#"{"x":{"minimum":5,"multipleOf":0.01,"pattern":"a"}}"#, true),
        (r#"{"x":{"minimum":"5"}}"#, false),
        (r#"{"x":{"exclusiveMaximum":[]}}"#, false),
        (r#"{"x":{"multipleOf":"0.01"}}"#, false),
        (r#"{"x":{"pattern":5}}"#, false),
    ] {
        let (policy, report) = load(TYPES, "[event.schema]\n'*' = 'schema.json#/x'\n", schema);
        assert_eq!(policy.is_some(), loads, "{schema}: {report}");
    }
}

/// A body of as many values as there may be is no attack yet.
#[test]
fn many_values_under_a_schema_of_a_few_keywords_are_judged_to_the_end() {
    let schema = r#"{"items":{"type":"integer","minimum":0,"maximum":999,"multipleOf":1}}"#;
    let house = House::with_schema(TYPES, SCHEMA, schema);
    let numbers = |last: &str| format!("[{}{last}]", "100,".repeat(240_000));
    assert!(house.told(JSON, numbers("999")).is_ok());
    assert_eq!(house.told(JSON, numbers("1000")).unwrap_err(), "schema_mismatch");
}

/// Whoever drops what is not declared means it: a schema that declares everything is told from one that does not.
#[test]
fn a_schema_that_is_open_at_its_root_is_told_where_unknown_fields_are_looked_for() {
    let listed = r#"{"properties":{"a":{}}}"#;
    let open = r#"{"properties":{"a":{}},"additionalProperties":true}"#;
    let rows = [("drop", "{}", true), ("refuse", open, true), ("drop", listed, false), ("keep", open, false)];
    for (action, schema, is_told) in rows {
        let (policy, report) = load("", &format!("{SCHEMA}[sanitize]\nunknown_fields = '{action}'\n"), schema);
        assert!(policy.is_some(), "{report}");
        assert_eq!(report.contains("unknown_fields finds nothing at the root"), is_told, "{action} {schema}: {report}");
    }
}
