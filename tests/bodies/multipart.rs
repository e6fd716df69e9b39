//! `multipart/form-data` without files.

use hookward::offline::Verdict;

use crate::{CLEAN, House, SCHEMA, number};

const TYPE: &str = "multipart/form-data; boundary=b";
const TYPES: &str = "content_types = ['multipart/form-data']";

/// A body of these parts, each its head and its text.
fn parts(parts: &[(&str, &str)]) -> String {
    let parts: Vec<_> = parts.iter().map(|(head, text)| format!("--b\r\n{head}\r\n\r\n{text}\r\n")).collect();
    parts.concat() + "--b--\r\n"
}

/// Fields by name.
type Texts = &'static [(&'static str, &'static str)];

/// A body of these fields.
fn fields(fields: &[(&str, &str)]) -> String {
    let head = |name: &str| format!("Content-Disposition: form-data; name=\"{name}\"");
    let heads: Vec<_> = fields.iter().map(|(name, text)| (head(name), *text)).collect();
    parts(&heads.iter().map(|(head, text)| (head.as_str(), *text)).collect::<Vec<_>>())
}

const HEAD: &str = "Content-Disposition: form-data; name=\"a\"";

#[test]
fn a_body_is_read_in_one_way_or_refused_with_its_place() {
    let house = House::new(TYPES, "");
    let with = |line: &str| parts(&[(&format!("{HEAD}\r\n{line}"), "1")]);
    let (named, long) = (|text: &str| parts(&[(&format!("Content-Disposition: {text}"), "1")]), "x".repeat(1_100));
    let good = fields(&[("a", "1")]);
    let rows = [
        ("one field", good.clone(), None),
        ("none", "--b--\r\n".to_owned(), None),
        ("nothing behind the end", good.trim_end().to_owned(), None),
        ("empty text", fields(&[("a", ""), ("b", "")]), None),
        ("lines in a text", fields(&[("a", "1\r\n2\n--\r\n--c"), ("b", "\r\n")]), None),
        ("a type", with("Content-Type: text/plain; charset=UTF-8"), None),
        ("no encoding", with("content-transfer-encoding: 8BIT"), None),
        ("a length", with("Content-Length: 1"), None),
        ("parameters", named("form-data; name=\"a;b=c\"; x=y"), None),
        ("preamble", format!("\r\n{good}"), Some(0)),
        ("preamble text", format!("x\r\n{good}"), Some(0)),
        ("epilogue", format!("{good}x"), Some(57)),
        ("another boundary", good.replace("--b", "--c"), Some(0)),
        ("begins like it", good.replacen("--b\r\n", "--bc\r\n", 1), Some(3)),
        ("like a delimiter in a text", fields(&[("a", "1\r\n--bc")]), Some(55)),
        ("padding", good.replacen("--b\r\n", "--b \r\n", 1), Some(3)),
        ("line feeds", good.replace("\r\n", "\n"), Some(3)),
        ("no end", good.replace("--b--\r\n", ""), Some(52)),
        ("cut", good[..good.len() - 3].to_owned(), Some(55)),
        ("no head", parts(&[("", "1")]), Some(5)),
        ("no name", named("form-data"), Some(5)),
        ("an empty name", named("form-data; name=\"\""), Some(5)),
        ("a bare name", named("form-data; name=a"), Some(5)),
        ("an escape", named("form-data; name=\"a\\\"b\""), Some(5)),
        ("two names", named("form-data; name=\"a\"; name=\"a\""), Some(5)),
        ("another disposition", named("attachment; name=\"a\""), Some(5)),
        ("two dispositions", with(HEAD), Some(47)),
        ("a folded line", with("X: y\r\n z"), Some(53)),
        ("no colon", with("X"), Some(47)),
        ("base64", with("Content-Transfer-Encoding: base64"), Some(47)),
        ("latin", with("Content-Type: text/plain; charset=latin1"), Some(47)),
        ("a long head", with(&format!("X: {long}")), Some(47)),
        ("as many lines as there may be", with("X: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y"), None),
        ("one line more", with("X: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y"), Some(5)),
        ("many lines", with("X: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y"), Some(5)),
        ("a file", named("form-data; name=\"a\"; filename=\"a.txt\""), Some(5)),
        ("a file of no name", named("form-data; name=\"a\"; filename=\"\""), Some(5)),
        ("a file, encoded", named("form-data; name=\"a\"; filename*=UTF-8''a.txt"), Some(5)),
        ("a file in pieces", named("form-data; name=\"a\"; filename*0=\"a.txt\""), Some(5)),
        ("a second name, encoded", named("form-data; name=\"a\"; name*=utf-8''b"), Some(5)),
        ("a second name, in pieces", named("form-data; name=\"a\"; name*0=\"b\""), Some(5)),
        ("a second name, with a space", named("form-data; name=\"a\"; name =\"b\""), Some(5)),
        ("a second name, with a tab", named("form-data; name=\"a\";\tname=\"b\""), Some(5)),
        ("a line feed in a head", with("X: y\nContent-Disposition: form-data; name=\"b\"\n\n1"), Some(47)),
        ("a carriage return in a head", with("X: y\rz"), Some(47)),
        ("a tab in a head", with("X:\ty"), Some(47)),
        ("a boundary at the beginning of a text", fields(&[("a", "--b\r\nx")]), Some(49)),
        ("a boundary behind a line feed", fields(&[("a", "1\n--b\r\nx")]), Some(51)),
        ("a boundary within a line", fields(&[("a", "1--b")]), Some(50)),
        ("a boundary in a head", with("--b: y"), Some(47)),
        ("NUL", fields(&[("a", "1\u{0}")]), Some(50)),
        ("a name twice", fields(&[("a", "1"), ("b", "1"), ("a", "2")]), Some(147)),
    ];
    for (name, body, fault) in rows {
        match (house.post(TYPE, &body), fault) {
            (Ok(forwardable), None) => assert_eq!(forwardable.body, body.as_bytes(), "{name}"),
            (Err(rejection), Some(offset)) => {
                assert_eq!(rejection.reason().code(), "multipart_malformed", "{name}");
                assert_eq!(number(&rejection, "offset"), Some(offset), "{name}: {:?}", rejection.detail());
            }
            (found, _) => panic!("{name}: {:?}", found.map(|_| "accepted").map_err(|rejection| rejection.reason())),
        }
    }
    let mut latin = good.into_bytes();
    latin[49] = 0xE9;
    assert_eq!(house.told(TYPE, latin).unwrap_err(), "multipart_malformed");
}

#[test]
fn a_body_without_a_good_boundary_is_unsupported() {
    let house = House::new(TYPES, "");
    let body = fields(&[("a", "1")]);
    for (content_type, expected) in [
        ("multipart/form-data; boundary=b", Ok(())),
        ("Multipart/Form-Data; Boundary=\"b\"", Ok(())),
        ("multipart/form-data", Err("unsupported_media_type")),
        ("multipart/form-data; boundary=", Err("unsupported_media_type")),
        ("multipart/form-data; boundary=b; boundary*=utf-8''c", Err("unsupported_media_type")),
        ("multipart/form-data; boundary*0=b", Err("unsupported_media_type")),
        ("multipart/form-data; boundary=b; charset*=utf-8''utf-7", Err("unsupported_media_type")),
        ("multipart/form-data; boundary=b; boundary=b", Err("unsupported_media_type")),
        ("multipart/mixed; boundary=b", Err("unsupported_media_type")),
    ] {
        assert_eq!(house.told(content_type, &body).map(|_| ()), expected, "{content_type}");
    }
}

#[test]
fn parts_are_counted() {
    let house = House::new(TYPES, "[limit]\njson_members_max = 2\n");
    assert!(house.told(TYPE, fields(&[("a", "1"), ("b", "1")])).is_ok());
    assert_eq!(house.told(TYPE, fields(&[("a", "1"), ("b", "1"), ("c", "1")])).unwrap_err(), "json_too_large");
}

#[test]
fn schema_and_sanitizer_apply_and_an_edit_touches_one_part() {
    let schema = r#"{"type":"object","required":["event"],"properties":{"event":{"enum":["opened"]},"text":{}}}"#;
    let house = House::with_schema(TYPES, &format!("{SCHEMA}{CLEAN}"), schema);
    let rows: &[(Texts, Result<Texts, &str>)] = &[
        (&[("event", "opened"), ("text", "\r\n1")], Ok(&[("event", "opened"), ("text", "\r\n1")])),
        (&[("event", "closed")], Err("schema_mismatch")),
        (&[("x", "1"), ("event", "opened"), ("y", "2")], Ok(&[("event", "opened")])),
        (&[("event", "opened"), ("text", "=1\u{7}+\r\n")], Ok(&[("event", "opened"), ("text", "'=1+\r\n")])),
        (&[("event", "opened"), ("text", "1\r\n-\u{7}-b")], Err("sanitizer_refused")),
    ];
    for (sent, expected) in rows {
        let expected = expected.map(fields);
        assert_eq!(house.told(TYPE, fields(sent)), expected, "{sent:?}");
    }
    let head = "content-disposition:form-data;name=\"text\"\r\nContent-Type: text/plain";
    let body = parts(&[(HEAD, "1"), (head, "\u{7}x"), ("Content-Disposition: form-data; name=\"event\"", "opened")]);
    let left = parts(&[(head, "x"), ("Content-Disposition: form-data; name=\"event\"", "opened")]);
    assert_eq!(house.told(TYPE, body).unwrap(), left);
    let house = House::new(TYPES, "[sanitize]\nprototype_keys = 'drop'\ncontrol_characters = 'drop'\n");
    assert_eq!(house.told(TYPE, fields(&[("__proto__", "1")])).unwrap(), "--b--\r\n");
    assert_eq!(house.told(TYPE, fields(&[("a\u{85}b", "1")])).unwrap(), fields(&[("ab", "1")]));
    assert_eq!(house.told(TYPE, fields(&[("\u{85}", "1")])).unwrap_err(), "sanitizer_refused");
}

/// Edits can break a schema that is only monitored and make a boundary of a text: the first is found, the second refuses.
#[test]
fn a_monitored_schema_that_edits_break_is_found_also_where_the_edited_body_cannot_be_spelled() {
    let schema = r#"{"properties":{"text":{"minLength":7}}}"#;
    let house = House::with_schema(TYPES, &format!("{SCHEMA}{CLEAN}[mode]\nschema = 'monitor'\n"), schema);
    let rows: &[(&str, Option<&str>, &[&str])] = &[
        ("1\r\n-\u{7}-b", Some("sanitizer_refused"), &["schema_mismatch"]),
        ("12\r\n-\u{7}-b", Some("sanitizer_refused"), &[]),
        ("1\r\n-\u{7}-c", None, &["schema_mismatch"]),
        ("12\r\n-\u{7}-c", None, &[]),
    ];
    for (text, refused, found) in rows {
        let judged = house.judged(TYPE, &[], fields(&[("text", text)]));
        let reason =
            if let Verdict::Reject(rejection) = &judged.verdict { Some(rejection.reason().code()) } else { None };
        let monitored: Vec<_> = judged.monitored.iter().map(|finding| finding.reason().code()).collect();
        assert_eq!((reason, &*monitored), (*refused, *found), "{text:?}");
    }
}

#[test]
fn one_part_may_be_the_json_that_the_payload_is() {
    let house = House::with_schema(
        &format!("{TYPES}\njson_field = 'payload'"),
        &format!("{SCHEMA}{CLEAN}"),
        r#"{"properties":{"a":{}}}"#,
    );
    let sent = fields(&[("x", "\u{7}"), ("payload", r#"{"a":1, "b":2}"#)]);
    assert_eq!(house.told(TYPE, sent).unwrap(), fields(&[("x", "\u{7}"), ("payload", r#"{"a":1}"#)]));
    assert_eq!(house.told(TYPE, fields(&[("payload", "{")])).unwrap_err(), "json_malformed");
}
