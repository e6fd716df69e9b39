//! Each place has the one value that stands there, or none.

use super::sent::Sent;
use crate::auth::list::{Layout, Signatures};
use crate::auth::place::{Place, Unreadable, View};
use crate::policy::scheme::parse_place;

const DUPLICATED: Result<Option<&str>, Unreadable> = Err(Unreadable::Duplicated);
const MALFORMED: Result<Option<&str>, Unreadable> = Err(Unreadable::Malformed);

fn check(sent: &Sent, place: &str, expected: Result<Option<&str>, Unreadable>) {
    let parsed = parse_place(place).unwrap();
    assert_eq!(parsed.to_string(), place, "a place is written as it was read");
    let found = sent.look(|view| parsed.read(view).map(|found| found.map(std::borrow::Cow::into_owned)));
    assert_eq!(found.as_ref().map(Option::as_deref).map_err(|fault| *fault), expected, "{place} of {}", sent.uri);
}

#[test]
fn a_header_stands_alone() {
    let rows: [(&str, &[(&str, &str)], _); 13] = [
        ("header:x-a", &[("x-a", "1")], Ok(Some("1"))),
        ("header:x-a", &[("X-A", "1")], Ok(Some("1"))),
        ("header:x-a", &[("x-a", "")], Ok(Some(""))),
        ("header:x-a", &[], Ok(None)),
        ("header:x-a", &[("x-a", "1"), ("x-a", "1")], DUPLICATED),
        ("header:x-a|x-b", &[("x-b", "2")], Ok(Some("2"))),
        ("header:x-a|x-b", &[("x-b", "2"), ("x-a", "1")], Ok(Some("1"))),
        ("header:x-a|x-b", &[("x-a", ""), ("x-b", "2")], Ok(Some(""))),
        ("header:x-a|x-b", &[("x-a", "1"), ("x-a", "2"), ("x-b", "2")], DUPLICATED),
        ("header:x-sig-*", &[("x-sig-1", "1")], Ok(Some("1"))),
        ("header:x-sig-*", &[("x-sig", "1")], Ok(None)),
        ("header:x-sig-*", &[("x-sig-1", "1"), ("x-sig-1", "2")], DUPLICATED),
        ("header:x-a", &[("x-a", "\u{e9}")], Ok(Some("\u{e9}"))),
    ];
    for (place, headers, expected) in rows {
        check(&Sent::new("/", headers, ""), place, expected);
    }
}

#[test]
fn a_query_parameter_is_decoded_and_stands_alone() {
    let rows = [
        ("/?a=1&b=2", Ok(Some("1"))),
        ("/?b=2", Ok(None)),
        ("/?a=", Ok(Some(""))),
        ("/?a", Ok(Some(""))),
        ("/?a=%2B+x", Ok(Some("+ x"))),
        ("/?A=1", Ok(None)),
        ("/?a=1&a=1", DUPLICATED),
        ("/?a=1&%61=2", DUPLICATED),
        ("/", Ok(None)),
    ];
    for (uri, expected) in rows {
        check(&Sent::new(uri, &[], ""), "query:a", expected);
    }
}

#[test]
fn an_authorization_names_its_scheme() {
    let rows = [
        ("bearer", "Bearer abc", Ok(Some("abc"))),
        ("bearer", "bearer abc", Ok(Some("abc"))),
        ("bearer", "Bearer   abc", Ok(Some("abc"))),
        ("bearer", "Basic abc", MALFORMED),
        ("bearer", "Bearer", MALFORMED),
        ("bearer", "Bearer ", MALFORMED),
        ("basic", "Basic abc", Ok(Some("abc"))),
        ("basic", "basic abc", MALFORMED),
        ("basic", "Bearer abc", MALFORMED),
    ];
    for (place, value, expected) in rows {
        check(&Sent::new("/", &[("authorization", value)], ""), place, expected);
    }
    check(&Sent::new("/", &[], ""), "bearer", Ok(None));
    check(&Sent::new("/", &[("authorization", "Bearer a"), ("authorization", "Bearer a")], ""), "bearer", DUPLICATED);
}

#[test]
fn a_value_of_the_body_is_a_scalar_of_strict_json() {
    let rows = [
        (r#"{"a":{"b":["x",1.50,true,null,{}]}}"#, "json:/a/b/0", Ok(Some("x"))),
        (r#"{"a":{"b":["x",1.50,true,null,{}]}}"#, "json:/a/b/1", Ok(Some("1.50"))),
        (r#"{"a":{"b":["x",1.50,true,null,{}]}}"#, "json:/a/b/2", Ok(Some("true"))),
        (r#"{"a":{"b":["x",1.50,true,null,{}]}}"#, "json:/a/b/3", Ok(None)),
        (r#"{"a":{"b":["x",1.50,true,null,{}]}}"#, "json:/a/b/4", Ok(None)),
        (r#"{"a":1,"a":1}"#, "json:/a", Ok(None)),
        (r#"{"a":1,"b":1,"b":1}"#, "json:/a", Ok(None)),
        (r#"{"a":1} x"#, "json:/a", Ok(None)),
        ("a=1", "json:/a", Ok(None)),
        (r#"{"b":1,"c":1}"#, "member:a|b|c", Ok(Some("b"))),
        (r#"{"c":null}"#, "member:a|b|c", Ok(Some("c"))),
        (r#"{"d":1}"#, "member:a|b|c", Ok(None)),
    ];
    for (body, place, expected) in rows {
        check(&Sent::json(body), place, expected);
    }
}

#[test]
fn a_form_field_stands_alone_in_a_body_that_is_a_form() {
    for (body, expected) in
        [("a=1&b=2", Ok(Some("1"))), ("b=2", Ok(None)), ("a=1&a=1", DUPLICATED), ("a=%C3%A9", Ok(Some("é")))]
    {
        check(&Sent::form(body), "form:a", expected);
    }
    check(&Sent::json("a=1"), "form:a", Ok(None));
}

#[test]
fn every_value_of_a_place_that_has_several_is_read() {
    let all = |sent: &Sent, place: &str| {
        let place = parse_place(place).unwrap();
        let found =
            sent.look(|view| place.read_all(view).map(|all| all.into_iter().map(|text| text.into_owned()).collect()));
        found.unwrap_or_else(|fault| vec![format!("{fault:?}")])
    };
    let rows = [
        (r#"{"v":[{"k":"a"},{"k":"b"}]}"#, "json:/v/*/k", vec!["a", "b"]),
        (r#"{"v":[{"k":"a"}]}"#, "json:/v/*/k", vec!["a"]),
        (r#"{"v":[]}"#, "json:/v/*/k", vec![]),
        // One element without a value is enough: all of them must have one.
        (r#"{"v":[{"k":"a"},{}]}"#, "json:/v/*/k", vec![]),
        (r#"{"v":[{"k":"a"},{"k":{}}]}"#, "json:/v/*/k", vec![]),
        (r#"{"v":{"0":{"k":"a"}}}"#, "json:/v/*/k", vec![]),
        // In an object it is a name like any other.
        (r#"{"v":{"*":{"k":"a"}}}"#, "json:/v/*/k", vec!["a"]),
        (r#"{"k":"a"}"#, "json:/k", vec!["a"]),
    ];
    for (body, place, expected) in rows {
        assert_eq!(all(&Sent::json(body), place), expected, "{body} {place}");
    }
    let numbered = [("x-sig-1", "a"), ("x-sig-2", "b"), ("x-other", "c")];
    let mut found = all(&Sent::new("/", &numbered, ""), "header:x-sig-*");
    found.sort();
    assert_eq!(found, ["a", "b"]);
    let twice = [("x-sig-1", "a"), ("x-sig-2", "b"), ("x-sig-2", "c")];
    assert_eq!(all(&Sent::new("/", &twice, ""), "header:x-sig-*"), ["Duplicated"]);
}

#[test]
fn items_are_those_of_the_credentials_list() {
    let named = Layout { group: None, separator: ',', signatures: Signatures::Named { pair: '=', item: "v1".into() } };
    let counted = Layout { group: None, separator: ',', signatures: Signatures::From(1) };
    let sent = Sent::json("");
    let read = |layout: &Layout, text: &str, place: Place| {
        let view = View::of_head(sent.head()).with_list(Some(layout.list(text)));
        place.read(&view).map(|found| found.map(std::borrow::Cow::into_owned))
    };
    let item = |name: &str| Place::Item(name.into());
    assert_eq!(read(&named, "t=1,v1=2", item("t")), Ok(Some("1".to_owned())));
    assert_eq!(read(&named, "t=,v1=2", item("t")), Ok(Some(String::new())));
    assert_eq!(read(&named, "v1=2", item("t")), Ok(None));
    assert_eq!(read(&named, "t=1,t=1", item("t")), Err(Unreadable::Duplicated));
    assert_eq!(read(&counted, "1,2", Place::Position(0)), Ok(Some("1".to_owned())));
    assert_eq!(read(&counted, "1,2", Place::Position(2)), Ok(None));
    assert_eq!(read(&counted, "t=1", item("t")), Ok(None), "items without names");
    let without = View::of_head(sent.head());
    assert_eq!(item("t").read(&without), Ok(None));
    assert_eq!(Place::Position(0).read(&without), Ok(None));
    assert_eq!(Place::Claim("iss".into()).read(&without), Ok(None));
}
