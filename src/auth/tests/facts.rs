//! Event names and delivery ids: the first that is there whole, looked up without refusing anything.

use super::sent::Sent;
use crate::auth::facts::{Covered, FACT_BYTES_MAX, coverage, find};
use crate::auth::template::Template;
use crate::policy::preset;
use crate::policy::scheme::parse_fact;

fn facts(texts: &[&str]) -> Vec<Template> {
    texts.iter().map(|text| parse_fact(text).unwrap()).collect()
}

fn found(sent: &Sent, texts: &[&str]) -> Option<String> {
    sent.look_tolerantly(|view| find(&facts(texts), view))
}

#[test]
fn json_values_are_found_and_nothing_is_refused() {
    let rows = [
        (r#"{"type":"push"}"#, "/type", Some("push")),
        (r#"{"type":"pu\u0073h"}"#, "/type", Some("push")),
        (r#"{"data":[{"id":17}]}"#, "/data/0/id", Some("17")),
        (r#"{"big":1e400}"#, "/big", Some("1e400")),
        (r#"{"live":true}"#, "/live", Some("true")),
        (r#"{"live":null}"#, "/live", None),
        (r#"{"live":{}}"#, "/live", None),
        (r#"{"type":""}"#, "/type", None),
        (r#"{"type":"push"}"#, "/kind", None),
        // Which of the two counts would be the sender's choice; a name that is there twice elsewhere changes nothing.
        (r#"{"type":"push","type":"pull"}"#, "/type", None),
        (r#"{"type":"push","a":1,"a":2}"#, "/type", Some("push")),
        (r#"{"a":{"type":"push"},"a":{}}"#, "/a/type", None),
        (r#"{"type":"push"} x"#, "/type", None),
        ("type=push", "/type", None),
        ("", "", None),
    ];
    for (body, pointer, expected) in rows {
        assert_eq!(found(&Sent::json(body), &[&format!("json:{pointer}")]).as_deref(), expected, "{body} {pointer}");
    }
}

#[test]
fn the_first_fact_that_is_there_whole_counts() {
    let sent = Sent::new(
        "/?q=query",
        &[("content-type", "application/json"), ("x-event", "header"), ("x-empty", ""), ("x-two", "1"), ("x-two", "2")],
        r#"{"kind":"item","verb":"created","empty":""}"#,
    );
    let rows: [(&[&str], Option<&str>); 11] = [
        (&["header:x-event"], Some("header")),
        (&["header:x-missing", "json:/kind"], Some("item")),
        (&["header:x-empty", "json:/kind"], Some("item")),
        (&["header:x-two", "json:/kind"], Some("item")),
        (&["json:/kind", "header:x-event"], Some("item")),
        (&["query:q"], Some("query")),
        (&["{json:/kind}.{json:/verb}"], Some("item.created")),
        (&["{json:/kind}.{json:/missing}"], None),
        (&["{json:/kind}.{json:/empty}", "json:/verb"], Some("created")),
        (&["member:verb|kind"], Some("verb")),
        (&[], None),
    ];
    for (texts, expected) in rows {
        assert_eq!(found(&sent, texts).as_deref(), expected, "{texts:?}");
    }
}

#[test]
fn a_form_names_its_event() {
    for (body, expected) in [("event=push&a=1", Some("push")), ("event=a&event=b", None), ("a=1", None)] {
        assert_eq!(found(&Sent::form(body), &["form:event"]).as_deref(), expected, "{body}");
    }
}

#[test]
fn what_is_too_long_for_a_name_is_none() {
    for (length, expected) in [(FACT_BYTES_MAX - 1, true), (FACT_BYTES_MAX, true), (FACT_BYTES_MAX + 1, false)] {
        let body = format!(r#"{{"type":"{}"}}"#, "a".repeat(length));
        assert_eq!(found(&Sent::json(&body), &["json:/type"]).is_some(), expected, "{length}");
    }
}

#[test]
fn a_fact_is_covered_if_every_scheme_covers_all_of_it() {
    let rows = [
        ("github", "json:/action", Covered::Signed),
        ("github", "header:x-github-event", Covered::Unsigned),
        ("github", "{json:/action}.{header:x-github-event}", Covered::Unsigned),
        ("github", "query:event", Covered::Unsigned),
        ("standard-webhooks", "header:webhook-id", Covered::Signed),
        ("svix", "header:svix-id", Covered::Signed),
        ("square", "query:event", Covered::Signed),
        ("token", "json:/action", Covered::Unsigned),
        // One of its two schemes signs a URL alone.
        ("cryptapi", "json:/uuid", Covered::Unsigned),
        ("livekit", "claim:sub", Covered::Signed),
    ];
    for (name, text, expected) in rows {
        let schemes = preset::find(name).unwrap().signing.schemes();
        assert_eq!(coverage(&parse_fact(text).unwrap(), schemes), expected, "{name} {text}");
    }
    assert_eq!(coverage(&parse_fact("json:/a").unwrap(), []), Covered::Unsigned, "nothing is proven");
}
