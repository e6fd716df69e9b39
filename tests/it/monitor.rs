//! Stages in monitor mode: what they find is recorded and counted as such, and the delivery goes on as it came.

use hookward::offline::{Replays, Verdict, judge};
use http::Request;

use crate::gateway::{github, stripe};
use crate::limits::Waiting;
use crate::support::{Answer, App, Delivery, House, NOW, Running};

const SCHEMA: &str = r#"{"type":"object","properties":{"ref":{"type":"string"}},"required":["ref"]}"#;
const DIRTY: &str = "{\"ref\": \"main\\u0007\", \"more\": 1}";

fn house(app: &App, more: &str) -> House {
    House::with("github", &github(app, more)).file("schemas/push.json", SCHEMA)
}

/// How many findings of this reason and effect the rejected log stands for, once it has no more to say.
fn findings(gateway: &Running, reason: &str, effect: &str) -> u64 {
    let records = gateway.records();
    let wanted = records.iter().filter(|record| record.reason == reason && record.effect.as_deref() == Some(effect));
    wanted.map(hookward::record::Record::findings).sum()
}

fn monitored(gateway: &Running, stage: &str, reason: &str) -> i64 {
    let labels = format!("source=\"github\",stage=\"{stage}\",reason=\"{reason}\",blame=\"sender\"");
    assert_eq!(gateway.metric(&format!("hookward_rejections_total{{{labels}}}")), 0, "no refusal of {reason}");
    gateway.metric(&format!("hookward_monitored_total{{{labels}}}"))
}

fn send(gateway: &Running, delivery: &Delivery) -> Answer {
    gateway.connect().send(delivery)
}

#[test]
fn a_payload_that_misses_a_monitored_schema_goes_on_byte_for_byte_and_is_recorded() {
    let schema = "[event.schema]\npush = \"schemas/push.json\"\n";
    let rows = [
        ("push", "{\"ref\": 1}", "schema_mismatch"),
        ("push", "{ }", "schema_mismatch"),
        ("star", "{ }", "event_unlisted"),
        ("push", "{\"ref\":\"main\"}", ""),
    ];
    for (mode, status) in [("[mode]\nschema = \"monitor\"\n", 200), ("", 422)] {
        for (event, body, reason) in rows {
            let app = App::start();
            let mut gateway = house(&app, &format!("{schema}{mode}")).start();
            let expected = if reason.is_empty() { 200 } else { status };
            assert_eq!(send(&gateway, &Delivery::github(event, body)).status, expected, "{mode} {event} {body}");
            let bodies: Vec<_> = app.taken().into_iter().map(|taken| taken.body).collect();
            let forwarded = if expected == 200 { vec![body.as_bytes().to_vec()] } else { vec![] };
            assert_eq!(bodies, forwarded, "{mode} {event} {body}");
            gateway.stop();
            let of = u64::from(!reason.is_empty());
            let (seen, refused) = if status == 200 { (of, 0) } else { (0, of) };
            assert_eq!(findings(&gateway, reason, "monitored"), seen, "{mode} {event} {body}");
            assert_eq!(findings(&gateway, reason, "refused"), refused, "{mode} {event} {body}");
            if seen == 1 {
                assert_eq!(monitored(&gateway, "validate", reason), 1);
                let record = gateway.records().remove(0);
                assert_eq!((record.status, record.refusals()), (Some(200), 0), "the sender was told the app's answer");
                let access = gateway.access_text();
                assert!(access.contains(&format!("\"monitored\":[\"{reason}\"]")), "{access}");
                assert!(!access.contains("refused"), "{access}");
            }
        }
    }
}

/// What is left of it after an edit misses the schema again, which is no news.
#[test]
fn a_monitored_schema_that_was_missed_is_found_once_whatever_is_edited() {
    let app = App::start();
    let more = "[event.schema]\npush = \"schemas/push.json\"\n[sanitize]\nunknown_fields = \"drop\"\n[mode]\nschema = \"monitor\"\n";
    let mut gateway = house(&app, more).start();
    assert_eq!(send(&gateway, &Delivery::github("push", "{\"ref\":1,\"more\":2}")).status, 200);
    assert_eq!(app.only().body, b"{\"ref\":1}");
    gateway.stop();
    assert_eq!(findings(&gateway, "schema_mismatch", "monitored"), 1);
}

/// What cannot be read at all is no matter of the schema.
#[test]
fn a_monitored_schema_lets_no_broken_json_pass() {
    let app = App::start();
    let more = "[event.schema]\npush = \"schemas/push.json\"\n[mode]\nschema = \"monitor\"\n";
    let gateway = house(&app, more).start();
    assert_eq!(send(&gateway, &Delivery::github("push", "{\"ref\":")).status, 400);
    assert!(app.taken().is_empty());
}

#[test]
fn a_monitored_sanitizer_edits_and_refuses_nothing_and_says_what_it_would_have_done() {
    let rows = [("drop", "sanitizer_edited", "edits"), ("refuse", "sanitizer_refused", "rule")];
    for (action, reason, fact) in rows {
        let app = App::start();
        let more = format!(
            "[event.schema]\npush = \"schemas/push.json\"\n[sanitize]\nunknown_fields = \"{action}\"\n\
             control_characters = \"{action}\"\n[mode]\nsanitize = \"monitor\"\n"
        );
        let mut gateway = house(&app, &more).start();
        let delivery = Delivery::github("push", DIRTY);
        assert_eq!(send(&gateway, &delivery).status, 200, "{action}");
        let taken = app.only();
        assert_eq!(taken.body, DIRTY.as_bytes(), "{action}");
        assert_eq!(taken.header("x-hookward-edits"), None, "{action}");
        let signature = taken.header("x-hub-signature-256");
        assert_eq!(signature, Some(delivery.value("x-hub-signature-256")), "{action}");
        gateway.stop();
        assert_eq!(findings(&gateway, reason, "monitored"), 1, "{action}");
        assert_eq!(monitored(&gateway, "sanitize", reason), 1, "{action}");
        let record = gateway.records().remove(0);
        assert!(record.detail.contains_key(fact), "{action}: {:?}", record.detail);
        assert!(!record.facts().contains("more"), "no name of the sender's: {}", record.facts());
    }
}

#[test]
fn monitored_rates_refuse_nobody_and_are_recorded() {
    let rows = [
        ("client", "rate_limited_client", "client = { per_second = 1, burst = 2 }"),
        ("source", "rate_limited_source", "source = { per_second = 1, burst = 2 }"),
    ];
    for (name, reason, limit) in rows {
        let app = App::start();
        let mut gateway =
            house(&app, &format!("[limit]\n{limit}\n[mode]\nlimit = \"monitor\"\nbecause = \"measuring\"\n")).start();
        for body in ["1", "2", "3", "4", "5"] {
            assert_eq!(send(&gateway, &Delivery::github("push", body)).status, 200, "{name}");
        }
        gateway.stop();
        assert_eq!(app.taken().len(), 5, "{name}");
        assert_eq!(findings(&gateway, reason, "monitored"), 3, "{name}");
        assert_eq!(findings(&gateway, reason, "refused"), 0, "{name}");
        let stage = hookward::reason::Reason::from_code(reason).unwrap().row().stage.name();
        assert_eq!(monitored(&gateway, stage, reason), 3, "{name}");
    }
}

#[test]
fn a_monitored_rate_is_recorded_of_a_delivery_that_its_source_then_has_no_room_for() {
    let rows = [
        ("client", "rate_limited_client", "client = { per_second = 1, burst = 1 }"),
        ("source", "rate_limited_source", "source = { per_second = 1, burst = 1 }"),
    ];
    for (name, reason, limit) in rows {
        let waiting = Waiting::new();
        let more =
            format!("[limit]\n{limit}\nin_flight_max = 1\n[mode]\nlimit = \"monitor\"\nbecause = \"measuring\"\n");
        let mut gateway = house(&waiting.app, &more).start();
        let first = waiting.during(&gateway, &Delivery::github("push", "1"), || {
            assert_eq!(send(&gateway, &Delivery::github("push", "2")).status, 503, "{name}");
        });
        assert_eq!(first.status, 200, "{name}");
        gateway.stop();
        assert_eq!(
            (findings(&gateway, reason, "monitored"), findings(&gateway, "overloaded", "refused")),
            (1, 1),
            "{name}"
        );
    }
}

/// A flood of findings is counted like a flood of refusals, and apart from it.
#[test]
fn a_flood_of_findings_does_not_fill_the_log_and_is_counted_exactly() {
    let app = App::start();
    let more =
        "[limit]\nclient = { per_second = 1, burst = 1 }\n[mode]\nlimit = \"monitor\"\nbecause = \"measuring\"\n";
    let mut gateway = house(&app, more).start();
    let mut connection = gateway.connect();
    for _ in 0..40 {
        assert_eq!(connection.send(&Delivery::github("push", "{}")).status, 200);
    }
    gateway.stop();
    assert_eq!(findings(&gateway, "rate_limited_client", "monitored"), 39);
    assert!(gateway.records().len() < 30, "{}", gateway.records().len());
    assert_eq!(gateway.records().iter().map(hookward::record::Record::refusals).sum::<u64>(), 0);
}

const AUTH: &str = "[mode]\nauth = \"monitor\"\nbecause = \"moving from the old gateway\"\n";

fn forged() -> Delivery {
    Delivery::github("push", "{}").replace("x-hub-signature-256", &format!("sha256={}", "0".repeat(64)))
}

#[test]
fn a_delivery_without_proof_goes_on_marked_where_authentication_is_monitored() {
    let rows = [
        ("forged", forged(), "credential_mismatch"),
        ("missing", Delivery::github("push", "{}").without("x-hub-signature-256"), "credential_missing"),
        ("malformed", forged().replace("x-hub-signature-256", "sha256=x"), "credential_malformed"),
        ("genuine", Delivery::github("push", "{}"), ""),
    ];
    for (name, delivery, reason) in rows {
        let delivery = delivery.header("x-hookward-unauthenticated", "0");
        let app = App::start();
        let mut gateway = house(&app, AUTH).start();
        assert_eq!(send(&gateway, &delivery).status, 200, "{name}");
        let (taken, genuine) = (app.only(), reason.is_empty());
        assert_eq!(taken.header("x-hookward-unauthenticated"), (!genuine).then_some("1"), "{name}");
        assert_eq!(taken.header("x-hookward-secret-id"), genuine.then_some("2026-11"), "{name}");
        assert_eq!(taken.body, b"{}", "{name}");
        gateway.stop();
        assert_eq!(findings(&gateway, reason, "monitored"), u64::from(!genuine), "{name}");
        if !genuine {
            assert_eq!(monitored(&gateway, "authenticate", reason), 1, "{name}");
            assert!(gateway.access_text().contains("\"secret_id\":null"), "{name}");
        }
        let enforced = house(&App::start(), "").start();
        assert_eq!(send(&enforced, &delivery).status, if genuine { 200 } else { 401 }, "{name}, enforced");
    }
}

/// A stale delivery's event is not covered by any proof, whatever the scheme signs; nor do we sign it for the app.
#[test]
fn nothing_of_an_unproven_delivery_counts_as_signed() {
    let rows = [("fresh", NOW, "x-hookward-event"), ("stale", NOW - 1000, "x-hookward-event-unsigned")];
    for (name, at, header) in rows {
        let app = App::start();
        let more = format!("sign = {{ env = \"FORWARD\" }}\n{AUTH}");
        let gateway = House::with("stripe", &stripe(&app, &more)).start();
        assert_eq!(send(&gateway, &Delivery::stripe("{\"type\":\"x\"}", at)).status, 200, "{name}");
        let taken = app.only();
        assert_eq!(taken.header(header), Some("x"), "{name}");
        assert_eq!(taken.header("x-hookward-unauthenticated").is_some(), name == "stale", "{name}");
        assert_eq!(taken.header("webhook-signature").is_some(), name == "fresh", "{name}");
    }
}

/// Junk leaves no claim, so the genuine delivery of the same body is no repetition of it, and spends nothing of the source's rate.
#[test]
fn an_unproven_delivery_takes_nothing_from_the_genuine_sender() {
    let app = App::start();
    let more =
        format!("[replay]\non_duplicate = \"refuse\"\n[limit]\nsource = {{ per_second = 1, burst = 1 }}\n{AUTH}");
    let gateway = house(&app, &more).start();
    let statuses: Vec<_> = [forged(), forged(), Delivery::github("push", "{}"), Delivery::github("push", "{}")]
        .iter()
        .map(|delivery| send(&gateway, delivery).status)
        .collect();
    assert_eq!(statuses, [200, 200, 200, 409]);
}

#[test]
fn strangers_stay_under_the_clients_rate_where_authentication_is_monitored() {
    let app = App::start();
    let gateway = house(&app, &format!("[limit]\nclient = {{ per_second = 1, burst = 2 }}\n{AUTH}")).start();
    let statuses: Vec<_> = (0..4).map(|_| send(&gateway, &forged()).status).collect();
    assert_eq!(statuses, [200, 200, 429, 429]);
}

/// Where authentication is only monitored, a handshake that needs a proof is none without it: it is neither answered nor forwarded.
#[test]
fn a_handshake_that_needs_a_proof_is_refused_without_one_where_authentication_is_monitored() {
    let app = App::start();
    let policy = |mode: &str| {
        format!(
            "path = \"/hooks/twitch\"\n[auth]\nprovider = \"twitch\"\nsecrets = [{{ id = \"a\", env = \"TWITCH\" }}]\n\
             [forward]\n{}\n{mode}",
            app.to("/webhooks/twitch")
        )
    };
    for (mode, status, reason) in [(AUTH, 403, "handshake_refused"), ("", 401, "credential_missing")] {
        let gateway = House::with("twitch", &policy(mode)).start();
        let challenge = Delivery::post("/hooks/twitch", "{\"challenge\":\"abc\"}")
            .header("twitch-eventsub-message-id", "e76c6bd4-55c9-4987-8304-da1588d8988b")
            .header("twitch-eventsub-message-type", "webhook_callback_verification");
        let answer = send(&gateway, &challenge);
        assert_eq!(answer.status, status, "{reason}");
        assert_eq!(gateway.record(reason).effect.as_deref(), Some("refused"), "{reason}");
    }
    assert!(app.taken().is_empty());
}

/// Recorded requests are judged alike.
#[test]
fn offline_judgements_show_what_monitored_stages_found() {
    let more = format!(
        "[event.schema]\npush = \"schemas/push.json\"\n[sanitize]\nunknown_fields = \"drop\"\n\
         {AUTH}schema = \"monitor\"\nsanitize = \"monitor\"\n"
    );
    let gateway = house(&App::start(), &more).start();
    let policy = gateway.shared().policy.load_full();
    let body = "{\"ref\":1,\"more\":2}";
    let delivery = Delivery::github("push", body).replace("x-hub-signature-256", "sha256=x");
    let mut request = Request::post(&delivery.target);
    for (name, value) in &delivery.headers {
        request = request.header(name, value);
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    let judgement = judge(&policy, &head, body.into(), NOW, Replays::Ignored);
    let found: Vec<_> = judgement.monitored.iter().map(|finding| finding.reason().code()).collect();
    assert_eq!(found, ["credential_malformed", "schema_mismatch", "sanitizer_edited"]);
    assert!(judgement.secret_id.is_none());
    let Verdict::Accept(forwardable) = &judgement.verdict else { panic!("{:?}", judgement.verdict) };
    assert_eq!(forwardable.body, body);
    assert!(forwardable.edits.is_empty() && forwardable.headers.contains_key("x-hookward-unauthenticated"));
    assert_eq!(policy.source("github").unwrap().modes.weakened(), ["schema", "sanitize", "auth"]);
}
