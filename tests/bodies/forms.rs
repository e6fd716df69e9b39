//! `application/x-www-form-urlencoded`, also where one field is JSON.

use crate::{CLEAN, House, SCHEMA, load, number};

const FORM: &str = "application/x-www-form-urlencoded";
const TYPES: &str = "content_types = ['application/x-www-form-urlencoded', 'application/json']";

#[test]
fn a_form_is_read_in_one_way_or_refused_with_its_place() {
    let house = House::new(TYPES, "");
    let rows: &[(&str, Option<i64>)] = &[
        ("a=1", None),
        ("a=1&b=", None),
        ("a=1&A=1&a%00=1", Some(9)),
        ("a=%2B%26%3D%25%c3%A9+%0a", None),
        ("a=caf\u{e9}&b=*-._~!'()", None),
        ("a[]=1&a[0]=2&a.b=3", None),
        ("a[b]=1&a[b]=2", Some(7)),
        ("a=1&+a=2", Some(4)),
        ("+a=1&a=2", Some(5)),
        ("a.b=1&a_b=2", Some(6)),
        ("a_b=1&a+b=2", Some(6)),
        ("a=1&a[b]=2", Some(4)),
        ("a[b]=1&a=2", Some(7)),
        ("a.c[b]=1&a_c=2", Some(9)),
        ("a=1&b.a=2&b+c=3&a+=4", None),
        ("a=b=c", None),
        ("a=1&a=2", Some(4)),
        ("a=1&b=2&%61=1", Some(8)),
        ("a b=1", Some(1)),
        ("a=1&&b=2", Some(4)),
        ("&a=1", Some(0)),
        ("a=1&", Some(4)),
        ("a", Some(0)),
        ("a=1&b", Some(4)),
        ("=1", Some(0)),
        ("a=1;b=2", Some(3)),
        ("a=%", Some(2)),
        ("a=%4", Some(2)),
        ("a=1%zz", Some(3)),
        ("a=%+1", Some(2)),
        ("a=%00", Some(2)),
        ("a=1\u{7f}", Some(3)),
        ("a=1\n", Some(3)),
        ("a=1&b=%ff", Some(6)),
        ("a=1&b=%ed%a0%80", Some(6)),
        ("a=%c0%80", Some(2)),
    ];
    for (body, fault) in rows {
        match (house.post(FORM, body), fault) {
            (Ok(forwardable), None) => assert_eq!(forwardable.body, body.as_bytes(), "{body:?}"),
            (Err(rejection), Some(offset)) => {
                assert_eq!(rejection.reason().code(), "form_malformed", "{body:?}");
                assert_eq!(number(&rejection, "offset"), Some(*offset), "{body:?}");
            }
            (found, _) => panic!("{body:?}: {:?}", found.map(|_| "accepted").map_err(|rejection| rejection.reason())),
        }
    }
    assert_eq!(house.told(FORM, b"a=\xFF").unwrap_err(), "form_malformed");
    assert_eq!(house.told(FORM, "").unwrap_err(), "body_empty");
}

#[test]
fn a_form_has_no_more_fields_than_an_object_members() {
    let house = House::new(TYPES, "[limit]\njson_members_max = 3\n");
    assert!(house.told(FORM, "a=1&b=2").is_ok());
    assert!(house.told(FORM, "a=1&b=2&c=3").is_ok());
    let rejection = house.post(FORM, "a=1&b=2&c=3&d=4").unwrap_err();
    assert_eq!((rejection.reason().code(), number(&rejection, "offset")), ("json_too_large", Some(12)));
    assert_eq!((rejection.text("limit"), number(&rejection, "maximum")), (Some("json_members_max"), Some(3)));
    let house = House::new(TYPES, "[limit]\njson_nodes_max = 3\n");
    assert!(house.told(FORM, "a=1&b=2").is_ok());
    assert_eq!(house.told(FORM, "a=1&b=2&c=3").unwrap_err(), "json_too_large");
}

#[test]
fn the_content_type_decides_unless_the_policy_does() {
    let any = "content_types = ['*/*']\n";
    let rows = [
        ("", FORM, "a=1", Ok(())),
        ("", "Application/X-WWW-Form-URLencoded ; charset=\"UTF-8\"", "a=1", Ok(())),
        ("", "application/x-www-form-urlencoded; charset=iso-8859-1", "a=1", Err("unsupported_media_type")),
        ("", "application/x-www-form-urlencoded; charset=utf8", "a=1", Ok(())),
        ("", "application/json;charset=UTF8", "{}", Ok(())),
        ("", "application/json; charset=utf-16", "{}", Err("unsupported_media_type")),
        ("", "application/vnd.acme+json; charset=utf-8", "{}", Ok(())),
        ("", FORM, "{}", Err("form_malformed")),
        ("", "application/json", "a=1", Err("json_malformed")),
        ("", "text/plain", "a=1", Err("unsupported_media_type")),
        ("", "application/x-www-form-urlencodedx", "a=1", Err("unsupported_media_type")),
        ("payload = 'form'", "text/plain", "a=1", Ok(())),
        ("payload = 'form'", "application/json", "a=1", Err("unsupported_media_type")),
        ("payload = 'form'", "multipart/form-data; boundary=b", "a=1", Err("unsupported_media_type")),
        ("payload = 'form'", "text/plain; charset=latin1", "a=1", Err("unsupported_media_type")),
        ("payload = 'json'", "text/plain", "{}", Ok(())),
        ("payload = 'json'", "text/plain", "a=1", Err("json_malformed")),
        ("payload = 'json'", FORM, "{}", Err("unsupported_media_type")),
        ("payload = 'json'", "application/x-ndjson", "{}", Err("unsupported_media_type")),
        ("payload = 'opaque'", FORM, "a=%", Ok(())),
        ("payload = 'opaque'", "text/plain; charset=latin1", "\u{0}", Ok(())),
    ];
    for (payload, content_type, body, expected) in rows {
        let house = House::new(&format!("{any}{payload}"), "");
        assert_eq!(house.told(content_type, body).map(|_| ()), expected, "{payload} {content_type} {body}");
    }
}

/// In a closed word: what the sender wrote there stays out of records.
#[test]
fn what_a_content_type_should_have_said_is_told() {
    let rows = [
        ("", "application/json; charset=latin1", Some("charset=utf-8, or no charset")),
        ("", "multipart/form-data", Some("a boundary")),
        ("", "text/plain; charset=utf8", Some("a type that is read")),
        ("payload = 'json'", FORM, Some("the type that the policy reads")),
        ("content_types = ['application/json']", "text/plain; charset=latin1", None),
    ];
    for (top, content_type, expected) in rows {
        let top =
            if top.contains("content_types") { top.to_owned() } else { format!("content_types = ['*/*']\n{top}") };
        let rejection = House::new(&top, "").post(content_type, "a=1").unwrap_err();
        assert_eq!(rejection.reason().code(), "unsupported_media_type", "{content_type}");
        assert_eq!(rejection.text("expected"), expected, "{content_type}");
    }
}

/// A sender that says it wrong, always, is taken at the policy's word.
#[test]
fn a_type_of_another_kind_is_taken_where_the_policy_takes_no_other() {
    let house = House::new("content_types = ['application/x-www-form-urlencoded']\npayload = 'json'", "");
    assert!(house.told(FORM, "{}").is_ok());
    assert_eq!(house.told(FORM, "a=1").unwrap_err(), "json_malformed");
}

const COMMAND: &str = r#"{"type":"object","required":["command"],
    "properties":{"command":{"enum":["/in","/out"]},"text":{"type":"string","maxLength":5}}}"#;

#[test]
fn a_schema_judges_the_fields_as_strings() {
    let house = House::with_schema(TYPES, SCHEMA, COMMAND);
    for (body, expected) in [
        ("command=%2Fin&text=12345", Ok("command=%2Fin&text=12345".to_owned())),
        ("text=12345&command=/out", Ok("text=12345&command=/out".to_owned())),
        ("command=%2Fin&text=123456", Err("schema_mismatch")),
        ("command=%2Fup&text=1", Err("schema_mismatch")),
        ("Command=%2Fin", Err("schema_mismatch")),
    ] {
        assert_eq!(house.told(FORM, body), expected, "{body}");
    }
}

#[test]
fn an_edit_rewrites_the_name_or_value_that_it_is_about_and_nothing_else() {
    let house = House::with_schema(TYPES, &format!("{SCHEMA}{CLEAN}"), COMMAND);
    let rows = [
        ("command=/in&text=%41+%42", "command=/in&text=%41+%42", 0),
        ("x=1&command=/in&text=%41", "command=/in&text=%41", 1),
        ("command=/in&x=1&y=2&text=%41", "command=/in&text=%41", 2),
        ("command=/in&text=%41&x=1", "command=/in&text=%41", 1),
        ("command=/%69n&text=%41%07%26+", "command=/%69n&text=A%26+", 1),
        ("co%e2%80%8bmmand=/in&%74ext=%41", "", 0),
        ("command=/in&%74ext=%3D1", "command=/in&%74ext=%27%3D1", 1),
        ("command=%2fin&te%78t=%e2%80%8b", "command=%2fin&te%78t=", 1),
        ("command=%07/in&text=", "", 0),
    ];
    for (body, expected, edits) in rows {
        match house.post(FORM, body) {
            Ok(forwardable) => {
                assert_eq!(forwardable.body, expected.as_bytes(), "{body}");
                assert_eq!(forwardable.edits.len(), edits, "{body}");
            }
            Err(rejection) => {
                assert_eq!((expected, rejection.reason().code()), ("", "schema_mismatch"), "{body}");
            }
        }
    }
    let house = House::new(TYPES, "[sanitize]\ncontrol_characters = 'drop'\nprototype_keys = 'drop'\n");
    assert_eq!(house.told(FORM, "__proto__=1").unwrap(), "");
    assert_eq!(house.told(FORM, "__proto__=1&%01a%20b=%20").unwrap(), "a+b=%20");
    assert_eq!(house.told(FORM, "a=1&a%01=2").unwrap_err(), "sanitizer_refused");
}

#[test]
fn json_in_a_field_is_the_payload_and_the_other_fields_go_on_as_they_came() {
    let top = format!("{TYPES}\njson_field = 'payload'");
    let house = House::with_schema(&top, &format!("{SCHEMA}{CLEAN}"), COMMAND);
    let rows = [
        ("payload=%7B%22command%22%3A%22/in%22%7D", Ok("payload=%7B%22command%22%3A%22/in%22%7D")),
        ("a=%41&pay%6Coad={\"command\":\"/in\"}&b=%07", Ok("a=%41&pay%6Coad={\"command\":\"/in\"}&b=%07")),
        (
            "a=%41&payload={\"command\":\"/in\",\"x\":1}&b=%07",
            Ok("a=%41&payload=%7B%22command%22%3A%22%2Fin%22%7D&b=%07"),
        ),
        ("command=/in", Ok("command=/in")),
        ("command=/in&x=1", Ok("command=/in")),
        ("payload={\"command\":\"/up\"}", Err("schema_mismatch")),
        ("payload={\"command\":\"/in\"}&payload={}", Err("form_malformed")),
        ("payload={\"command\":\"/in\"}&p%61yload={}", Err("form_malformed")),
        ("payload={\"command\":\"/in\",\"command\":\"/in\"}", Err("json_duplicate_key")),
        ("payload={\"command\":\"/in\"", Err("json_malformed")),
        ("payload=", Err("json_malformed")),
        ("payload={\"command\":\"/in\"}&a=%", Err("form_malformed")),
    ];
    for (body, expected) in rows {
        assert_eq!(house.told(FORM, body), expected.map(str::to_owned), "{body}");
    }
    let rejection = house.post(FORM, "a=1&payload={\"a\"}").unwrap_err();
    assert_eq!((rejection.text("form_field"), number(&rejection, "offset")), (Some("payload"), Some(4)));
    assert_eq!(house.told("application/json", r#"{"command":"/in"}"#).unwrap(), r#"{"command":"/in"}"#);
}

#[test]
fn the_event_is_found_in_fields_and_in_the_json_of_one() {
    let event = "[event]\npointer = '/type'\nunlisted = 'refuse'\n[event.schema]\nknown = 'schema.json'\n";
    let house = House::new(&format!("{TYPES}\njson_field = 'payload'"), event);
    let rows = [
        ("type=known", Ok(())),
        ("type=other", Err("event_unlisted")),
        ("kind=known", Err("event_missing")),
        ("payload={\"type\":\"known\"}&type=other", Ok(())),
        ("payload={\"type\":\"other\"}&type=known", Err("event_unlisted")),
    ];
    for (body, expected) in rows {
        assert_eq!(house.told(FORM, body).map(|_| ()), expected, "{body}");
    }
}

#[test]
fn what_cannot_work_together_does_not_load() {
    let rows = [
        ("json_field = ''", "a field's name has 1 to 128 bytes"),
        ("json_field = 'a'\npayload = 'json'", "json_field is of forms"),
        ("json_field = 'a'\npayload = 'opaque'", "json_field is of forms"),
    ];
    for (top, expected) in rows {
        let (policy, report) = load(top, "", "{}");
        assert!(policy.is_none() && report.contains(expected), "{top}: {report}");
    }
}
