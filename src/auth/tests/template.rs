//! What a template says, how values are changed, and what has to be there.

use proptest::prelude::*;

use super::sent::Sent;
use crate::auth::place::Unreadable;
use crate::auth::template::{Filling, Filter, Missing, Part, Signer, Template, Value};
use crate::policy::scheme::parse_template;

fn fill(sent: &Sent, text: &str) -> String {
    let template = parse_template(text).unwrap();
    let filled = sent.look(|view| {
        let (timestamp, secret, verify_token) = (Some("17"), Some(&b"key"[..]), Some(&b"verify"[..]));
        template.fill(&Filling { view: *view, timestamp, secret, verify_token, signer: None })
    });
    String::from_utf8(filled).unwrap()
}

#[test]
fn a_template_is_filled_from_the_request() {
    let json = Sent::new(
        "/hooks/x?b=2&a=%31",
        &[("content-type", "application/json"), ("x-a", "A")],
        "{\"id\":\"\\u0041\",\"n\":1.0}",
    );
    let form = Sent::form("b=2&a=x+y&b=1&b=2");
    let rows = [
        (&json, "{body}", "{\"id\":\"\\u0041\",\"n\":1.0}"),
        (&json, "{timestamp}.{method}", "17.POST"),
        (&json, "{url}", "https://hooks.example.com/hooks/x?b=2&a=%31"),
        (&form, "{url}", "https://hooks.example.com/hooks/x"),
        (&json, "{secret}{verify_token}", "keyverify"),
        (&json, "{header:x-a}{query:a}{json:/id}{json:/n}", "A1A1.0"),
        (&json, "{header:x-b|x-a}", "A"),
        (&form, "{form:a}|{form}", "x y|ax yb1b2"),
        (&json, "{{{header:x-a}}", "{A}"),
    ];
    for (sent, text, expected) in rows {
        assert_eq!(fill(sent, text), expected, "{text}");
    }
}

/// The digests are those of the standards' own examples.
#[test]
fn filters_change_a_value_from_left_to_right() {
    let sent = |body: &str| Sent::json(body);
    let rows = [
        ("abc", "{body|sha1|hex}", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ("abc", "{body|sha256|hex}", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("abc", "{body|sha256|base64}", "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="),
        ("abc", "{body|sha256|base64url}", "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"),
        (
            "abc",
            "{body|sha512|hex}",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
        ("abc", "{body|hex}", "616263"),
        ("abc", "{body|hex|base64}", "NjE2MjYz"),
        ("YW Jj\n", "{body|from-base64}", "abc"),
        ("no base64!", "{body|from-base64}", ""),
        ("<n><kind>check</kind><kind>x</kind></n>", "{body|xml:kind}", "check"),
        ("<n><kind>check</n>", "{body|xml:kind}", ""),
        ("a\"\\\u{1}<é>", "{body|json}", "\"a\\\"\\\\\\u0001\\u003cé\\u003e\""),
    ];
    for (body, text, expected) in rows {
        assert_eq!(fill(&sent(body), text), expected, "{text} of {body:?}");
    }
}

/// Tells what it was asked to sign.
struct Echo;

impl Signer for Echo {
    fn mac(&self, filter: &Filter, message: &[u8]) -> Option<Vec<u8>> {
        (*filter == Filter::HmacSha256).then(|| [b"mac of ", message].concat())
    }
}

#[test]
fn a_mac_is_made_by_whoever_has_the_secret_and_else_is_nothing() {
    let template = |text| parse_template(text).unwrap();
    let sent = Sent::json("x");
    let filled = |text, signer| {
        let filled = sent.look(|view| template(text).fill(&Filling { signer, ..Filling::of(*view) }));
        String::from_utf8(filled).unwrap()
    };
    assert_eq!(filled("{body|hmac-sha256}", Some(&Echo)), "mac of x");
    assert_eq!(filled("{body|hmac-sha1}", Some(&Echo)), "");
    assert_eq!(filled("{body|hmac-sha256}", None), "");
}

#[test]
fn what_is_named_has_to_be_there_and_not_be_empty() {
    let sent = Sent::new(
        "/?q=1&e=&d=1&d=2",
        &[("content-type", "application/json"), ("x-a", "1"), ("x-e", ""), ("x-d", "1"), ("x-d", "1")],
        r#"{"a":"x","e":"","o":{}}"#,
    );
    let missing = |what: &str, unreadable| Err(Missing { what: what.to_owned(), unreadable });
    let rows = [
        ("{body}{timestamp}{method}{url}", Ok(())),
        ("{header:x-a}{query:q}{json:/a}", Ok(())),
        ("{header:x-b}", missing("header:x-b", None)),
        ("{header:x-e}", missing("header:x-e", None)),
        ("{header:x-d}", missing("header:x-d", Some(Unreadable::Duplicated))),
        ("{query:e}", missing("query:e", None)),
        ("{query:d}", missing("query:d", Some(Unreadable::Duplicated))),
        ("{json:/e}", missing("json:/e", None)),
        ("{json:/o}", missing("json:/o", None)),
        ("{json:/b}", missing("json:/b", None)),
        ("{form}", missing("form", None)),
        ("{body}{header:x-b|x-c}{query:x}", missing("header:x-b|x-c", None)),
    ];
    for (text, expected) in rows {
        assert_eq!(sent.look(|view| parse_template(text).unwrap().require(view)), expected, "{text}");
    }
    // Before the body is there, only the head is looked at.
    let view = crate::auth::place::View::of_head(sent.head());
    assert_eq!(parse_template("{json:/b}").unwrap().require(&view), Ok(()));
    assert_eq!(sent.look(|view| parse_template("{header:x-b}").unwrap().require_in_body(view)), Ok(()));
    assert!(sent.look(|view| parse_template("{header:x-a}{json:/b}").unwrap().require_in_body(view)).is_err());
}

/// The nearest that is there stands beside each that is not.
#[test]
fn what_a_filter_takes_out_of_a_value_has_to_be_there_and_not_be_empty() {
    let rows = [
        ("<n><id>7</id></n>", "{body|xml:id}", true),
        ("<n><id></id></n>", "{body|xml:id}", false),
        ("<n><id>7</n>", "{body|xml:id}", false),
        ("", "{body|xml:id}", false),
        ("<n><id></id></n>", "{body|xml:id|sha256|hex}", false),
        ("<n><id>7</id></n>", "{body|xml:id|sha256|hex}", true),
        ("YWJj", "{body|from-base64}", true),
        ("YWJ", "{body|from-base64}", false),
        ("", "{body|from-base64}", false),
        ("", "{body|sha256|hex}", true),
    ];
    for (body, text, expected) in rows {
        let (template, sent) = (parse_template(text).unwrap(), Sent::json(body));
        let missing = Err(Missing { what: text.to_owned(), unreadable: None });
        let judged = if expected { Ok(()) } else { missing };
        assert_eq!(sent.look(|view| template.require(view)), judged, "{text} of {body:?}");
        assert_eq!(sent.look(|view| template.require_in_body(view)), judged, "{text} of {body:?}");
        let view = crate::auth::place::View::of_head(sent.head());
        assert_eq!(template.require(&view), Ok(()), "{text} of {body:?}: before the body is there");
    }
}

#[test]
fn a_text_holds_what_no_filter_took_a_part_of() {
    let rows = [
        ("{body}", true),
        ("{body|sha256}", true),
        ("{body|sha1|base64}", true),
        ("{body|hex}", true),
        ("{body|sha512|json}", false),
        ("{body|json}", false),
        ("{body|from-base64}", false),
        ("{body|xml:id}", false),
        ("{body|xml:id|sha256|hex}", false),
        ("{body|xml:id}{body|sha256|hex}", true),
        ("{json:/a}", false),
    ];
    for (text, expected) in rows {
        let template = parse_template(text).unwrap();
        assert_eq!(template.holds(&Value::Body), expected, "{text}");
        assert_eq!(template.names(&Value::Body), text.contains("body"), "{text}");
    }
}

#[test]
fn parameters_become_fixed_text() {
    let given = |name: &str| (name == "account").then_some("{17}");
    let template = parse_template("a{parameter:account}{body}").unwrap();
    let resolved = template.resolve(&given).unwrap();
    let texts = [Part::Text("a".into()), Part::Text("{17}".into()), Part::Value(Value::Body, Box::default())];
    assert_eq!(resolved.parts(), texts);
    assert_eq!(parse_template("{parameter:other}").unwrap().resolve(&given), Err("other".into()));
    assert_eq!(fill(&Sent::json("x"), "{parameter:account}"), "", "a compiled scheme has none left");
}

const PIECES: &[&str] = &[
    "{body}",
    "{timestamp}",
    "{url}",
    "{method}",
    "{secret}",
    "{verify_token}",
    "{form}",
    "{header:x-a}",
    "{header:x-a|x-b}",
    "{query:q}",
    "{json:/a/0}",
    "{json:}",
    "{form:a b}",
    "{item:t}",
    "{position:0}",
    "{claim:iss}",
    "{member:a|b}",
    "{bearer}",
    "{parameter:p}",
    "{body|sha256|hex}",
    "{body|sha1|base64}",
    "{header:x-a|x-b|sha512|base64url}",
    "{json:/a|json}",
    "{form:bt|from-base64|xml:kind}",
    "{query:c|hmac-sha256|base64}",
    "{query:c|hmac-sha1|hex}",
    "{{",
    "}",
    ".",
    "v0:",
    "é",
    "|",
];

proptest! {
    #[test]
    fn a_template_is_told_as_it_was_written(pieces in prop::collection::vec(prop::sample::select(PIECES), 1..8)) {
        let text = pieces.concat();
        // `{bearer}` is no placeholder: it names no kind.
        prop_assume!(!text.contains("{bearer}"));
        let template: Template = parse_template(&text).unwrap();
        prop_assert_eq!(template.to_string(), text);
    }
}
