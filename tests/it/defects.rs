//! What went wrong in gateways like this one, each a test.
//!
//! | | defect | where |
//! |---|---|---|
//! | a, b | an upstream's failure told as success, our own as the sender's | `forward` |
//! | c, m, s | challenge oracles, validators built per request, certificate URLs | nothing like it exists here |
//! | d, p, q, x | secrets compared carelessly, unset, or told | here; `d` by construction: `auth::verify` |
//! | e, f, j, k, l, n, o, r, t, y | | here |
//! | g, u | limits that starve the genuine sender, refusals that nobody sees | `limits` |
//! | h, i, v | claims burnt or forgotten, reloads that break what ran | here and `reload` |
//! | w | `Connection` tokens | `gateway` |

use hookward::policy::secrets::SystemSecrets;
use hookward::reason::{Connection, Reason};

use crate::gateway::{github, stripe};
use crate::support::h2::Http2;
use crate::support::house::{Secrets, load_text};
use crate::support::{App, Delivery, House, NOW, Say};

/// Defects p and x: without its secret a source does not load, whatever stands where the secret should be.
#[test]
fn a_source_without_its_secret_does_not_load() {
    let policy =
        |auth: &str| format!("path = \"/hooks/a\"\n[auth]\n{auth}\n[forward]\nto = \"http://127.0.0.1:3000\"\n");
    let rows = [
        (
            "unset",
            "provider = \"github\"\nsecrets = [{ id = \"a\", env = \"UNSET_SECRET\" }]",
            "UNSET_SECRET is not set",
        ),
        ("an empty file", "provider = \"github\"\nsecrets = [{ id = \"a\", file = \"empty\" }]", "is empty"),
        ("none", "provider = \"github\"\nsecrets = []", "no secrets"),
        ("left out", "provider = \"github\"", "no secrets"),
        (
            "a template",
            "provider = \"github\"\nsecrets = [{ id = \"a\", env = \"${SECRET}\" }]",
            "environment variable",
        ),
        ("inline", "provider = \"github\"\nsecrets = [{ id = \"a\", secret = \"s3cr3t-in-the-file\" }]", "unknown key"),
        ("no reason why not", "provider = \"none\"", "because"),
    ];
    for (name, auth, expected) in rows {
        let report = load_text(&[("a.toml", &policy(auth))], &Secrets).expect_err(name);
        assert!(report.contains(expected) && report.contains("a.toml:"), "{name}: {report}");
        assert!(!report.contains("s3cr3t"), "{name}: {report}");
    }
    let unset = "provider = \"github\"\nsecrets = [{ id = \"a\", env = \"HOOKWARD_TEST_NOBODY_SETS_THIS\" }]";
    let report = load_text(&[("a.toml", &policy(unset))], &SystemSecrets).unwrap_err();
    assert!(report.contains("HOOKWARD_TEST_NOBODY_SETS_THIS is not set"), "{report}");
}

/// Defect q: neither the sender nor the log learns what the signature should have been.
#[test]
fn the_expected_signature_is_told_to_nobody() {
    let app = App::start();
    let mut gateway = House::with("github", &github(&app, "")).start();
    let right = Delivery::github("push", "{}").value("x-hub-signature-256").to_owned();
    let wrong = format!("sha256={}", "0".repeat(64));
    let answer = gateway.connect().send(&Delivery::github("push", "{}").replace("x-hub-signature-256", &wrong));
    assert_eq!(answer.status, 401);
    let record = gateway.record_of(&answer);
    assert_eq!(record.reason, "credential_mismatch");
    gateway.stop();
    let hex = right.trim_start_matches("sha256=");
    for (place, text) in [
        ("answer", format!("{answer:?}")),
        ("rejected log", gateway.rejected_text()),
        ("access log", gateway.access_text()),
    ] {
        assert!(!text.contains(hex) && !text.contains(&hex[..16]), "{place}: {text}");
    }
    assert!(app.taken().is_empty());
}

/// Defect e: a body over the cap is refused, however it is framed, and nothing of it arrives.
#[test]
fn a_body_over_the_cap_is_refused_and_never_cut() {
    let app = App::start();
    let policy = format!("body_bytes_max = 64\n{}", github(&app, ""));
    let gateway = House::with("github", &policy).start();
    let body = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    for (bytes, status) in [(63, 200), (64, 200), (65, 413), (640, 413)] {
        let delivery = Delivery::github("push", &body(bytes));
        let framings = [
            ("Content-Length", delivery.bytes()),
            ("one chunk", delivery.chunked(bytes)),
            ("chunks of 7", delivery.chunked(7)),
        ];
        for (framing, request) in framings {
            let mut connection = gateway.connect();
            connection.write(&request);
            let answer = connection.answer();
            assert_eq!(answer.status, status, "{bytes} bytes, {framing}");
            if status == 413 {
                assert_eq!(gateway.record_of(&answer).reason, "body_too_large", "{bytes} bytes, {framing}");
                assert!(connection.try_answer().is_none(), "{bytes} bytes, {framing}: the rest is no next request");
            }
        }
        assert_eq!(Http2::connect(&gateway).send(&delivery).status, status, "{bytes} bytes, HTTP/2");
    }
    let taken = app.taken();
    assert_eq!(taken.len(), 8);
    assert!(taken.iter().all(|taken| taken.body.len() == 63 || taken.body.len() == 64));
}

/// Defect f: what is verified is what was sent.
#[test]
fn a_body_that_would_be_the_same_after_re_encoding_is_another_body() {
    let app = App::start();
    let gateway = House::with("github", &github(&app, "")).start();
    let signed = r#"{"a":1,"b":"é"}"#;
    let rows = [
        ("as signed", signed, 200),
        ("with a space", r#"{"a": 1,"b":"é"}"#, 401),
        ("another order", r#"{"b":"é","a":1}"#, 401),
        ("escaped", r#"{"a":1,"b":"\u00e9"}"#, 401),
        ("a line end more", "{\"a\":1,\"b\":\"é\"}\n", 401),
    ];
    for (name, sent, status) in rows {
        let delivery = Delivery::github("push", signed).body(sent.as_bytes());
        assert_eq!(gateway.connect().send(&delivery).status, status, "{name}");
    }
    assert_eq!(app.only().body, signed.as_bytes());
}

/// Defect h: a delivery that our side lost may come again; one that was accepted may not.
#[test]
fn a_claim_is_not_burnt_when_the_upstream_failed() {
    let app = App::saying(|taken| if taken.number == 0 { Say::status(500, "") } else { Say::status(200, "ok") });
    let gateway = House::with("stripe", &stripe(&app, "")).start();
    let delivery = Delivery::stripe(r#"{"id":"evt_1","type":"a"}"#, NOW);
    for (name, status, arrived) in [("failed", 502, 1), ("again", 200, 2), ("a third time", 200, 2)] {
        let answer = gateway.connect().send(&delivery);
        assert_eq!((answer.status, app.taken().len()), (status, arrived), "{name}");
    }
    assert_eq!(gateway.record("replayed").status, Some(200));
}

/// An acknowledged duplicate is good news to its sender: not a problem document.
#[test]
fn an_acknowledged_duplicate_is_answered_as_an_acknowledgement() {
    let app = App::start();
    let gateway = House::with("stripe", &stripe(&app, "")).start();
    let delivery = Delivery::stripe("{}", NOW);
    assert_eq!(gateway.connect().send(&delivery).status, 200);
    let answer = gateway.connect().send(&delivery);
    assert_eq!(answer.status, 200);
    assert_ne!(answer.header("content-type"), Some("application/problem+json"), "{}", answer.text());
}

/// Defect j: any of several signatures may be the right one.
#[test]
fn the_second_of_two_signatures_may_match() {
    let app = App::start();
    let gateway = House::with("stripe", &stripe(&app, "")).start();
    let delivery = Delivery::stripe("{}", NOW);
    let right = delivery.value("stripe-signature").rsplit_once("v1=").unwrap().1.to_owned();
    let wrong = "0".repeat(64);
    let rows = [
        ("both wrong", format!("t={NOW},v1={wrong},v1={wrong}"), 401),
        ("another version's", format!("t={NOW},v0={right}"), 401),
        ("the second", format!("t={NOW},v1={wrong},v1={right}"), 200),
    ];
    for (name, signature, status) in rows {
        let answer = gateway.connect().send(&delivery.clone().replace("stripe-signature", &signature));
        assert_eq!(answer.status, status, "{name}");
    }
}

/// Defect k: tolerance has two sides.
#[test]
fn a_timestamp_may_lie_as_far_in_the_future_as_in_the_past_and_no_further() {
    let app = App::start();
    let gateway = House::with("stripe", &stripe(&app, "")).start();
    let rows = [
        (-301, 401, Some("timestamp_stale")),
        (-300, 200, None),
        (0, 200, None),
        (300, 200, None),
        (301, 401, Some("timestamp_future")),
        (3_000_000_000, 401, Some("timestamp_future")),
    ];
    for (skew, status, reason) in rows {
        let answer = gateway.connect().send(&Delivery::stripe("{}", NOW + skew));
        assert_eq!(answer.status, status, "{skew} s");
        if let Some(reason) = reason {
            assert_eq!(gateway.record_of(&answer).reason, reason, "{skew} s");
        }
    }
}

/// Two events, `a` with a schema that is closed, `b` with one that is not.
const SCHEMA: &str = r#"{"type":"object","required":["items"],"additionalProperties":false,
    "properties":{"items":{"type":"array","items":{"type":"integer"}},"type":{}}}"#;

fn with_schema(app: &App, unlisted: &str) -> House {
    let policy = format!(
        "content_types = [\"*/*\"]\n{}[event]\nunlisted = \"{unlisted}\"\n[event.schema]\na = \"a.json\"\n",
        github(app, "")
    );
    House::with("github", &policy).file("a.json", SCHEMA)
}

/// Defect l: no content type and no event slips past a schema.
#[test]
fn a_schema_is_never_skipped() {
    let app = App::start();
    let refusing = with_schema(&app, "refuse").start();
    let good = r#"{"items":[1]}"#;
    let bad = r#"{"items":["x"]}"#;
    let rows = [
        ("good", "a", "application/json", good, 200, None),
        ("parameters", "a", "application/json; charset=utf-8", good, 200, None),
        ("+json", "a", "application/vnd.acme+json", good, 200, None),
        ("bad", "a", "application/json", bad, 422, Some("schema_mismatch")),
        ("bad, +json", "a", "application/vnd.acme+json", bad, 422, Some("schema_mismatch")),
        ("bad, upper case", "a", "APPLICATION/JSON", bad, 422, Some("schema_mismatch")),
        ("text", "a", "text/plain", bad, 415, Some("unsupported_media_type")),
        ("no form", "a", "application/x-www-form-urlencoded", bad, 400, Some("form_malformed")),
        ("form", "a", "application/x-www-form-urlencoded", "items=1", 422, Some("schema_mismatch")),
        (
            "bad, in a form",
            "a",
            "application/x-www-form-urlencoded",
            "payload={\"items\":[%22x%22]}",
            422,
            Some("schema_mismatch"),
        ),
        ("good, in a form", "a", "application/x-www-form-urlencoded", "payload={\"items\":[1]}", 200, None),
        ("nearly JSON", "a", "application/jsonx", bad, 415, Some("unsupported_media_type")),
        ("unlisted", "b", "application/json", good, 422, Some("event_unlisted")),
        ("unlisted by case", "A", "application/json", good, 422, Some("event_unlisted")),
    ];
    let mut accepted = 0;
    for (name, event, content_type, body, status, reason) in rows {
        let answer = refusing.connect().send(&Delivery::github(event, body).replace("content-type", content_type));
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        match reason {
            Some(reason) => assert_eq!(refusing.record_of(&answer).reason, reason, "{name}"),
            None => accepted += 1,
        }
        assert_eq!(app.taken().len(), accepted, "{name}");
    }
    let no_type = refusing.connect().send(&Delivery::github("a", bad).without("content-type"));
    assert_eq!((no_type.status, refusing.record_of(&no_type).reason.as_str()), (415, "unsupported_media_type"));
    let no_event = refusing.connect().send(&Delivery::github("a", good).without("x-github-event"));
    assert_eq!((no_event.status, refusing.record_of(&no_event).reason.as_str()), (422, "event_missing"));
    assert_eq!(app.taken().len(), accepted);

    let acknowledging = with_schema(&app, "acknowledge").start();
    let answer = acknowledging.connect().send(&Delivery::github("b", good));
    assert_eq!((answer.status, app.taken().len()), (200, accepted), "acknowledged, and not forwarded");
}

/// Defect n, also where one of the two is spelled with escapes.
#[test]
fn an_object_that_names_a_member_twice_is_refused() {
    let app = App::start();
    let gateway = House::with("github", &github(&app, "")).start();
    let rows = [
        ("once", r#"{"a":1,"b":{"a":2}}"#, 200),
        ("twice", r#"{"a":1,"a":1}"#, 400),
        ("escaped", r#"{"role":"user","r\u006fle":"admin"}"#, 400),
        ("deep", r#"[{"b":[{"a":1,"c":{},"a":2}]}]"#, 400),
    ];
    for (name, body, status) in rows {
        let answer = gateway.connect().send(&Delivery::github("push", body));
        assert_eq!(answer.status, status, "{name}");
        if status == 400 {
            assert_eq!(gateway.record_of(&answer).reason, "json_duplicate_key", "{name}");
        }
    }
}

/// Defect o: the last byte of a large body is looked at like the first.
#[test]
fn a_fault_at_the_end_of_a_large_body_is_found() {
    let app = App::start();
    let gateway = with_schema(&app, "refuse").start();
    let items = |last: &str| format!("{{\"items\":[{}{last}]}}", "1,".repeat(200_000));
    let rows = [
        ("good", items("1"), 200, ""),
        ("a text at the end", items("\"x\""), 422, "schema_mismatch"),
        ("another member at the end", items("1").replacen("]}", "],\"x\":1}", 1), 422, "schema_mismatch"),
        ("the last brace missing", items("1").trim_end_matches('}').to_owned(), 400, "json_malformed"),
        ("a byte behind", items("1") + "}", 400, "json_malformed"),
    ];
    for (name, body, status, reason) in rows {
        let answer = gateway.connect().send(&Delivery::github("a", &body));
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        if status != 200 {
            assert_eq!(gateway.record_of(&answer).reason, reason, "{name}");
        }
    }
    assert_eq!(app.taken().len(), 1);
}

/// Defect r: without a credential no byte of a body is waited for, asked for or kept.
#[test]
fn a_request_without_a_credential_is_answered_although_its_body_never_comes() {
    let app = App::start();
    let gateway = House::with("github", &github(&app, "")).start();
    for (name, more) in [("plain", None), ("asking first", Some("100-continue"))] {
        let mut delivery = Delivery::github("push", "").without("x-hub-signature-256");
        if let Some(expect) = more {
            delivery = delivery.header("expect", expect);
        }
        let mut connection = gateway.connect();
        connection.write(&delivery.head(1_000_000));
        let answer = connection.answer();
        assert_eq!(answer.status, 401, "{name}: not even 100 Continue");
        assert_eq!(gateway.record_of(&answer).reason, "credential_missing", "{name}");
        assert!(connection.try_answer().is_none(), "{name}: the connection cannot go on");
    }
    assert_eq!(gateway.shared().limits.bytes().used(), 0);
    assert_eq!(gateway.shared().limits.in_flight(), 0);
}

/// Defect t: a schema that is none is found when policies load.
#[test]
fn an_invalid_schema_is_an_error_at_load() {
    let policy = format!("{}[event.schema]\na = \"a.json\"\n", github(&App::start(), ""));
    let rows = [
        ("a type that is none", r#"{"type":"nothing"}"#),
        ("not JSON", "{"),
        ("a pattern that is none", r#"{"pattern":"("}"#),
        ("a reference over the network", r#"{"$ref":"https://example.com/schema.json"}"#),
        ("a reference out of the directory", r#"{"$ref":"../../etc/passwd"}"#),
        ("a reference to nothing", r##"{"$ref":"#/definitions/none"}"##),
    ];
    for (name, schema) in rows {
        let report = load_text(&[("github.toml", &policy), ("a.json", schema)], &Secrets).expect_err(name);
        assert!(report.contains("github.toml:") && report.contains("schema"), "{name}: {report}");
    }
    let report = load_text(&[("github.toml", &policy)], &Secrets).expect_err("no file");
    assert!(report.contains("github.toml:"), "{report}");
}

/// A policy for GitHub with another path, settings before everything else and tables behind it.
fn named(name: &str, before: &str, app: &App, behind: &str) -> (String, String) {
    let policy = github(app, "").replace("/hooks/github", &format!("/hooks/{name}"));
    (name.to_owned(), format!("{before}{policy}{behind}"))
}

/// A source for each way to be refused.
fn refusing() -> House {
    let app = App::start();
    let saying = |status: u16| App::saying(move |_| Say::status(status, ""));
    let mut policies = vec![
        named("plain", "", &app, ""),
        named("small", "body_bytes_max = 10\n", &app, ""),
        named("elsewhere", "", &app, "[network]\nallow = [\"192.0.2.0/24\"]\n"),
        named("slow", "", &app, "[limit]\nclient = { per_second = 1, burst = 1 }\n"),
        named("strict", "", &app, "[limit]\nfailures = { per_minute = 1, block_seconds = 60 }\n"),
        named("narrow", "", &app, "[limit]\nsource = { per_second = 1, burst = 1 }\n"),
        named("flat", "", &app, "[limit]\njson_depth_max = 2\njson_nodes_max = 5\n"),
        named("shaped", "", &app, "[event.schema]\na = \"a.json\"\n"),
        named("clean", "", &app, "[sanitize]\nprototype_keys = \"refuse\"\n"),
        named("once", "", &app, "[replay]\non_duplicate = \"refuse\"\n"),
        named("expired", "", &app, ""),
        named("down", "", &app, ""),
        named("failing", "", &saying(500), ""),
        named("busy", "", &saying(503), ""),
    ];
    for (name, text) in &mut policies {
        if name == "expired" {
            *text = text.replace("env = \"GITHUB\"", "env = \"GITHUB\", expires = 2026-01-01T00:00:00Z");
        }
        if name == "down" {
            *text = text.replace(&app.to("/webhooks/github"), "to = \"unix:none.sock\"");
        }
    }
    let house = House::with("stripe", &stripe(&app, "")).file("a.json", SCHEMA);
    policies.iter().fold(house, |house, (name, text)| house.policy(name, text))
}

/// What is refused, and as what: of several deliveries the last.
fn refused() -> Vec<(&'static str, Vec<Delivery>)> {
    let to = |name: &str, body: &str| Delivery::github("a", body).target(&format!("/hooks/{name}"));
    let good = |name: &str| to(name, "{}");
    let plain = || good("plain");
    let stripe = |header: &str| Delivery::stripe("{}", NOW).replace("stripe-signature", header);
    let signature = "x-hub-signature-256";
    let unsigned = |name: &str| good(name).without(signature);
    let zeros = "0".repeat(64);
    vec![
        ("uri_too_long", vec![plain().target(&format!("/hooks/plain?{}", "x".repeat(2048)))]),
        ("expectation_refused", vec![plain().header("expect", "a-miracle")]),
        ("header_malformed", vec![plain().replace("host", "a b")]),
        ("header_malformed", vec![plain().without("host")]),
        ("header_duplicated", vec![plain().header("content-type", "text/plain")]),
        ("unknown_source", vec![good("nobody")]),
        ("method_not_allowed", vec![plain().method("PUT")]),
        ("unsupported_media_type", vec![plain().replace("content-type", "text/plain")]),
        ("content_encoding_refused", vec![plain().header("content-encoding", "gzip")]),
        ("address_refused", vec![good("elsewhere")]),
        ("rate_limited_client", vec![good("slow"), good("slow")]),
        ("client_blocked", vec![unsigned("strict"), good("strict")]),
        ("credential_missing", vec![unsigned("plain")]),
        ("credential_duplicated", vec![plain().header(signature, plain().value(signature))]),
        ("credential_malformed", vec![plain().replace(signature, "sha256=zz")]),
        ("credential_mismatch", vec![plain().replace(signature, &format!("sha256={zeros}"))]),
        ("secret_expired", vec![good("expired")]),
        ("timestamp_missing", vec![stripe(&format!("v1={zeros}"))]),
        ("timestamp_malformed", vec![stripe(&format!("t=soon,v1={zeros}"))]),
        ("timestamp_stale", vec![stripe(&format!("t=1,v1={zeros}"))]),
        ("timestamp_future", vec![stripe(&format!("t=9999999999,v1={zeros}"))]),
        ("body_too_large", vec![to("small", "\"1234567890\"")]),
        ("body_empty", vec![to("plain", "")]),
        ("replayed", vec![good("once"), good("once")]),
        ("rate_limited_source", vec![good("narrow"), good("narrow")]),
        ("json_malformed", vec![to("plain", "{")]),
        ("json_not_utf8", vec![Delivery::post("/hooks/plain", "").body(b"\"\xff\"").signed("github", "GITHUB")]),
        ("json_too_deep", vec![to("flat", "[[[]]]")]),
        ("json_too_large", vec![to("flat", "[1,2,3,4,5]")]),
        ("json_duplicate_key", vec![to("plain", r#"{"a":1,"a":2}"#)]),
        ("event_missing", vec![good("shaped").without("x-github-event")]),
        ("event_unlisted", vec![good("shaped").replace("x-github-event", "b")]),
        ("schema_mismatch", vec![good("shaped")]),
        ("sanitizer_refused", vec![to("clean", r#"{"__proto__":{}}"#)]),
        ("upstream_connect", vec![good("down")]),
        ("upstream_failed", vec![good("failing")]),
        ("upstream_overloaded", vec![good("busy")]),
    ]
}

/// Defect y: status, log and answer of every way to be refused over HTTP are those of one table.
#[test]
fn what_is_sent_is_what_the_table_of_reasons_says() {
    let gateway = refusing().start();
    for (code, deliveries) in refused() {
        let mut connection = gateway.connect();
        let answer = deliveries.iter().map(|delivery| connection.send(delivery)).last().unwrap();
        let record = gateway.record_of(&answer);
        assert_eq!(record.reason, code, "{}", answer.text());
        let row = Reason::from_code(code).unwrap().row();
        assert_eq!(Some(answer.status), row.status.map(|status| status.as_u16()), "{code}: sent");
        assert_eq!(record.status, Some(answer.status), "{code}: recorded");
        let (stage, blame) = (record.stage.as_deref(), record.blame.as_deref());
        assert_eq!((stage, blame), (Some(row.stage.name()), Some(row.blame.name())), "{code}");
        let (class, status, id) = (row.class, answer.status, answer.delivery().unwrap());
        let problem = format!("{{\"title\":\"{class}\",\"status\":{status},\"delivery\":\"{id}\"}}\n");
        assert_eq!(answer.text(), problem, "{code}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{code}");
        if answer.status == 429 || code == "upstream_overloaded" {
            assert!(answer.header("retry-after").is_some_and(|after| after.parse::<u64>().unwrap() >= 1), "{code}");
        }
        assert_eq!(answer.header("allow"), (code == "method_not_allowed").then_some("POST"), "{code}");
        if row.connection == Connection::Close {
            assert_eq!(answer.header("connection"), Some("close"), "{code}");
            assert!(connection.try_answer().is_none(), "{code}: the connection goes on");
        }
    }
    for sample in ["reason=\"credential_missing\"", "reason=\"upstream_failed\""] {
        assert!(gateway.metrics().contains(sample), "{sample}: {}", gateway.metrics());
    }
}
