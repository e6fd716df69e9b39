//! One good delivery from TLS to the app: what arrives, what does not, and what comes back.

use std::convert::Infallible;
use std::future::ready;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hookward::delivery::HostMatch;
use hookward::edge::turns::TURNS;
use hookward::forward::pool::{Exchange, ExchangeFault, Outbound};
use hookward::forward::request::Protocol;
use hookward::gateway::{Arrival, Detachable, Gateway};
use hookward::record::Telemetry;
use hookward::reply::{self, Reply};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use sha2::Sha256;
use tower::{Service as _, ServiceBuilder, ServiceExt as _, service_fn};
use tower_http::catch_panic::CatchPanicLayer;

use crate::panics::QUOTED;
use crate::support::h2::Http2;
use crate::support::{App, Delivery, House, NOW, Running, Say, Speaks, Taken, eventually, secret_of};

const PUSH: &str = include_str!("../data/github/push.1.json");

/// A policy for GitHub; `more` goes to the end of `[forward]`.
pub(crate) fn github(app: &App, more: &str) -> String {
    format!(
        "path = \"/hooks/github\"\n[auth]\nprovider = \"github\"\nsecrets = [{{ id = \"2026-11\", env = \"GITHUB\" }}]\n\
         [forward]\n{}\n{more}\n",
        app.to("/webhooks/github")
    )
}

/// A policy for Stripe; `more` goes to the end of `[forward]`.
pub(crate) fn stripe(app: &App, more: &str) -> String {
    format!(
        "path = \"/hooks/stripe\"\n[auth]\nprovider = \"stripe\"\nsecrets = [{{ id = \"2026-11\", env = \"STRIPE\" }}]\n\
         [forward]\n{}\n{more}\n",
        app.to("/webhooks/stripe")
    )
}

/// What a sender may try to smuggle, hop by hop and as an identity.
const JUNK: &[(&str, &str)] = &[
    ("authorization", "Bearer sender"),
    ("cookie", "session=1"),
    ("proxy-authorization", "Basic eDp5"),
    ("x-hookward-source", "stripe"),
    ("x-hookward-secret-id", "2099-01"),
    ("x-hookward-duplicate", "1"),
    ("x-hookward-anything", "1"),
    ("x-forwarded-for", "192.0.2.66"),
    ("x-forwarded-host", "evil.example"),
    ("x-forwarded-proto", "http"),
    ("x-real-ip", "192.0.2.66"),
    ("x-original-url", "/admin"),
    ("forwarded", "for=192.0.2.66"),
    ("x-other", "not on the list"),
];

/// Fields of one connection alone; HTTP/2 has none.
const HOP_BY_HOP: &[(&str, &str)] = &[
    ("connection", "keep-alive, upgrade, http2-settings"),
    ("connection", "te, proxy-connection"),
    ("keep-alive", "timeout=5"),
    ("proxy-connection", "keep-alive"),
    ("te", "trailers"),
    ("upgrade", "h2c"),
    ("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA"),
];

#[test]
fn a_good_delivery_arrives_byte_for_byte_with_the_allowed_fields_and_the_attested_ones_alone() {
    for protocol in Speaks::BOTH {
        let app = App::start();
        let gateway = House::with("github", &github(&app, "")).start();
        let mut delivery = Delivery::github("push", PUSH)
            .header("user-agent", "GitHub-Hookshot/044aadd")
            .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        let junk = if protocol == Speaks::Http2 { &[] } else { HOP_BY_HOP };
        for (name, value) in JUNK.iter().chain(junk) {
            delivery = delivery.header(name, value);
        }
        let answer = protocol.send(&gateway, &delivery);
        assert_eq!((answer.status, answer.text()), (200, "ok"), "{protocol:?}");

        let taken = app.only();
        assert_eq!(taken.line, "POST /webhooks/github HTTP/1.1", "{protocol:?}");
        assert_eq!(taken.body, PUSH.as_bytes(), "{protocol:?}");
        assert_eq!(taken.names(), LEAVES, "{protocol:?}");
        let id = taken.header("x-hookward-delivery").unwrap().to_owned();
        let length = PUSH.len().to_string();
        let rows = [
            ("content-type", "application/json"),
            ("content-length", &length),
            ("x-github-event", "push"),
            ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
            ("x-hub-signature-256", delivery.value("x-hub-signature-256")),
            ("user-agent", "GitHub-Hookshot/044aadd"),
            ("x-hookward-source", "github"),
            ("x-hookward-event-unsigned", "push"),
            ("x-hookward-secret-id", "2026-11"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-host", "localhost"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "for=127.0.0.1;host=\"localhost\";proto=https"),
        ];
        for (name, value) in rows {
            assert_eq!(taken.header(name), Some(value), "{protocol:?}: {name}");
        }
        let log =
            eventually("a line in the access log", || Some(gateway.access_text()).filter(|log| log.contains(&id)));
        assert!(log.contains("\"secret_id\":\"2026-11\"") && log.contains("\"event\":\"push\""), "{protocol:?}: {log}");
        assert!(gateway.records().is_empty(), "{protocol:?}");
    }
}

/// The names of what leaves with a push, sorted.
const LEAVES: [&str; 16] = [
    "content-length",
    "content-type",
    "forwarded",
    "host",
    "traceparent",
    "user-agent",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-github-delivery",
    "x-github-event",
    "x-hookward-delivery",
    "x-hookward-event-unsigned",
    "x-hookward-secret-id",
    "x-hookward-source",
    "x-hub-signature-256",
];

/// What `Connection` names takes nothing of ours away.
#[test]
fn connection_tokens_strip_no_field_that_the_gateway_attests() {
    let app = App::start();
    let gateway = House::with("github", &github(&app, "headers = [\"x-acme\"]")).start();
    let delivery = Delivery::github("push", "{}")
        .header("x-acme", "1")
        .header("connection", "x-hookward-source, x-forwarded-for")
        .header("connection", "x-evil, x-hookward-secret-id");
    assert_eq!(gateway.connect().send(&delivery).status, 200);
    let taken = app.only();
    for name in ["x-hookward-source", "x-forwarded-for", "x-hookward-secret-id", "x-acme"] {
        assert!(taken.header(name).is_some(), "{name} was stripped");
    }
    assert!(taken.header("connection").is_none());
}

/// Defect w (RFC 9110 §7.6.1): what `Connection` names is the sender's connection's own, on whichever line it stands and whatever a policy lists.
#[test]
fn a_field_that_connection_names_on_its_first_or_second_line_does_not_leave() {
    let app = App::start();
    let gateway = House::with("github", &github(&app, "headers = [\"x-hop-*\", \"x-acme\"]")).start();
    let delivery = Delivery::github("push", "{}")
        .header("x-acme", "1")
        .header("x-hop-1", "1")
        .header("x-hop-2", "1")
        .header("connection", "keep-alive, X-Hop-1")
        .header("connection", "x-hop-2");
    assert_eq!(gateway.connect().send(&delivery).status, 200);
    let taken = app.only();
    let left: Vec<_> =
        ["x-acme", "x-hop-1", "x-hop-2"].into_iter().filter(|name| taken.header(name).is_some()).collect();
    assert_eq!(left, ["x-acme"]);
}

#[test]
fn an_event_in_a_signed_body_is_attested_as_such() {
    let app = App::start();
    let gateway = House::with("stripe", &stripe(&app, "")).start();
    let body = r#"{"id":"evt_1","type":"charge.refunded"}"#;
    assert_eq!(gateway.connect().send(&Delivery::stripe(body, NOW)).status, 200);
    let taken = app.only();
    assert_eq!(taken.header("x-hookward-event"), Some("charge.refunded"));
    assert_eq!(taken.header("x-hookward-event-unsigned"), None);
}

#[test]
fn the_gateways_own_signature_verifies_and_the_senders_fields_of_that_name_do_not_pass() {
    let app = App::start();
    let gateway =
        House::with("github", &github(&app, "sign = { env = \"FORWARD\" }\nheaders = [\"webhook-*\"]")).start();
    let delivery = Delivery::github("push", PUSH)
        .header("webhook-id", "spoofed")
        .header("webhook-timestamp", "1")
        .header("webhook-signature", "v1,spoofed");
    assert_eq!(gateway.connect().send(&delivery).status, 200);
    let taken = app.only();
    let field = |name| taken.header(name).unwrap();
    assert_eq!(field("webhook-id"), field("x-hookward-delivery"));
    assert_eq!(field("webhook-timestamp"), NOW.to_string());
    assert_eq!(taken.headers.iter().filter(|(name, _)| name.starts_with("webhook-")).count(), 3);
    let mut mac = Hmac::<Sha256>::new_from_slice(secret_of("FORWARD").as_bytes()).unwrap();
    mac.update(format!("{}.{NOW}.{PUSH}", field("webhook-id")).as_bytes());
    assert_eq!(field("webhook-signature"), format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
}

#[test]
fn an_edited_delivery_says_so_leaves_the_senders_signature_behind_and_keeps_every_other_byte() {
    let app = App::start();
    let schema = r#"{"type":"object","properties":{"ref":{"type":"string"},"n":{"type":"number"}}}"#;
    let policy = format!(
        "{}[event.schema]\n\"*\" = \"any.json\"\n[sanitize]\nunknown_fields = \"drop\"\n",
        github(&app, "sign = { env = \"FORWARD\" }")
    );
    let gateway = House::with("github", &policy).file("any.json", schema).start();
    let rows = [
        ("clean", r#"{ "ref" : "a\u002f" , "n":1.0e+2 }"#, r#"{ "ref" : "a\u002f" , "n":1.0e+2 }"#, None),
        (
            "dirty",
            r#"{ "ref" : "a\u002f", "evil":[1], "n":1.0e+2 }"#,
            r#"{ "ref" : "a\u002f", "n":1.0e+2 }"#,
            Some("1"),
        ),
    ];
    for (position, (name, sent, arrives, edits)) in rows.into_iter().enumerate() {
        assert_eq!(gateway.connect().send(&Delivery::github("push", sent)).status, 200, "{name}");
        let taken = &app.taken()[position];
        assert_eq!(String::from_utf8_lossy(&taken.body), arrives, "{name}");
        assert_eq!(taken.header("x-hookward-edits"), edits, "{name}");
        assert_eq!(taken.header("x-hub-signature-256").is_some(), edits.is_none(), "{name}");
        assert!(taken.header("webhook-signature").is_some(), "{name}");
    }
}

#[test]
fn rules_for_places_clean_what_stands_there_are_counted_and_the_schema_judges_what_is_left() {
    let app = App::start();
    let schema = r#"{"type":"object","properties":{"user":{"properties":{"mail":{"type":"string"},"age":{"type":"number"}}}},
        "additionalProperties":true}"#;
    let rules = r#"
[event.schema]
"*" = "any.json"
[sanitize]
normalize = "nfc"
[[sanitize.rule]]
at = "/user/mail"
hash = { env = "PSEUDONYMS" }
[[sanitize.rule]]
at = "/**/note"
html = "strip"
[[sanitize.rule]]
at = "/**/age"
mask = {}
[[sanitize.rule]]
at = "/**/token"
drop = true
[[sanitize.rule]]
at = "/q"
refuse_if = { pattern = "(?i)union\\s+select" }
"#;
    let gateway = House::with("github", &format!("{}{rules}", github(&app, ""))).file("any.json", schema).start();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret_of("PSEUDONYMS").as_bytes()).unwrap();
    mac.update(b"alice@example.com");
    let pseudonym = hex::encode(mac.finalize().into_bytes());
    let sent = "{\"user\": {\"mail\":\"alice@example.com\",\"token\":\"t\" }, \"n\":[{\"note\":\"<b>e\u{301}</b>\"}], \"x\": 1.0e0}";
    assert_eq!(gateway.connect().send(&Delivery::github("push", sent)).status, 200);
    let taken = app.only();
    let body = String::from_utf8_lossy(&taken.body).into_owned();
    let start = format!("{{\"user\": {{\"mail\":\"hmac-sha256:{pseudonym}.");
    assert!(body.starts_with(&start), "{body}");
    assert!(body.ends_with("\" }, \"n\":[{\"note\":\"é\"}], \"x\": 1.0e0}"), "{body}");
    assert_eq!(taken.header("x-hookward-edits"), Some("4"));
    for (rule, count) in [("hash", 1), ("drop", 1), ("html", 1), ("normalize", 1)] {
        let sample = format!("hookward_edits_total{{source=\"github\",rule=\"{rule}\"}}");
        assert_eq!(gateway.metric(&sample), count, "{rule}");
    }
    for (sent, reason) in
        [(r#"{"q":"1 UNION SELECT 2"}"#, "sanitizer_refused"), (r#"{"user":{"age":42}}"#, "schema_mismatch")]
    {
        assert_eq!(gateway.connect().send(&Delivery::github("push", sent)).status, 422, "{sent}");
        gateway.record(reason);
    }
    assert_eq!(app.taken().len(), 1);
}

#[test]
fn of_the_apps_answer_status_body_and_the_listed_fields_go_back() {
    let fields = [("content-type", "text/plain"), ("x-powered-by", "app"), ("set-cookie", "a=1"), ("retry-after", "9")];
    let app = App::saying(move |_: &Taken| Say::with(202, &fields, "queued"));
    let gateway = House::with("github", &github(&app, "")).start();
    for protocol in Speaks::BOTH {
        let answer = protocol.send(&gateway, &Delivery::github("push", "{}"));
        assert_eq!((answer.status, answer.text()), (202, "queued"), "{protocol:?}");
        assert_eq!(answer.header("content-type"), Some("text/plain"), "{protocol:?}");
        assert_eq!(answer.header("retry-after"), Some("9"), "{protocol:?}");
        assert_eq!((answer.header("x-powered-by"), answer.header("set-cookie")), (None, None), "{protocol:?}");
    }
}

#[test]
fn behind_a_trusted_proxy_its_word_on_the_client_counts_and_nobody_elses_gets_in() {
    let app = App::start();
    let policy = github(&app, "");
    let gateway = House::with("github", &policy).plain("127.0.0.0/8").start();
    let delivery = Delivery::github("push", "{}")
        .header("x-forwarded-for", "192.0.2.66, 198.51.100.7")
        .header("x-forwarded-proto", "https");
    assert_eq!(gateway.connect_plain().send(&delivery).status, 200);
    let taken = app.only();
    assert_eq!(taken.header("x-forwarded-for"), Some("198.51.100.7"));
    assert_eq!(taken.header("x-forwarded-proto"), Some("https"));

    let stranger = House::with("github", &policy).plain("10.0.0.0/8").start();
    let mut connection = stranger.connect_plain();
    connection.write(&delivery.bytes());
    assert!(connection.try_answer().is_none(), "not a trusted proxy");
    assert_eq!(stranger.record("address_refused").peer.as_deref(), Some("127.0.0.1"));
}

/// A delivery as the gateway takes it in process.
pub(crate) fn request(delivery: &Delivery) -> Request<Full<Bytes>> {
    let mut request = Request::post(&delivery.target);
    for (name, value) in &delivery.headers {
        request = request.header(name, value);
    }
    request.body(Full::from(delivery.body.clone())).unwrap()
}

/// From this machine.
pub(crate) fn local() -> Arrival {
    Arrival { peer: ([127, 0, 0, 1], 1).into(), protocol: Protocol::Https, host: HostMatch::Served, is_whole: true }
}

/// An app on the same machine is woken once for all of it, not for each.
#[tokio::test]
async fn what_came_together_is_judged_before_the_first_of_it_is_sent() {
    let house = House::with("stripe", &stripe(&App::start(), "")).start();
    let happened = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&happened);
    let upstream = service_fn(move |_: Outbound| {
        told.lock().unwrap().push("sent");
        let head = Response::new(()).into_parts().0;
        ready(Ok::<_, ExchangeFault>(Exchange { head, body: Bytes::new(), attempts: 1 }))
    });
    let gateway = Gateway::new(Arc::clone(house.shared()), upstream, house.server().telemetry().recorder());
    let deliver = |delivery: &Delivery| Detachable::new(Arc::clone(&gateway), request(delivery), local());
    let good = deliver(&Delivery::stripe("{}", NOW));
    let stale = deliver(&Delivery::stripe("{}", NOW - 3_600));
    let (good, stale) = tokio::join!(good, async {
        let answer = stale.await;
        happened.lock().unwrap().push("judged");
        answer
    });
    assert_eq!((good.unwrap().status().as_u16(), stale.unwrap().status().as_u16()), (200, 401));
    assert_eq!(*happened.lock().unwrap(), ["judged", "sent"]);
}

/// Who is read first where not all can be: whose last delivery was proven, and whose address is known by one.
#[tokio::test]
async fn only_a_proven_delivery_makes_its_sender_known() {
    let forged =
        || Delivery::github("push", "{}").replace("x-hub-signature-256", &format!("sha256={}", "0".repeat(64)));
    let asking = |more: &str| github(&App::start(), more);
    let monitored = asking("[mode]\nauth = \"monitor\"\nbecause = \"moving\"\n");
    let unasked = asking("").replace(
        "provider = \"github\"\nsecrets = [{ id = \"2026-11\", env = \"GITHUB\" }]",
        "provider = \"none\"\nbecause = \"anybody may send\"",
    );
    for (name, policy, delivery, status, proven) in [
        ("genuine", &asking(""), Delivery::github("push", "{}"), 200, true),
        ("forged", &asking(""), forged(), 401, false),
        ("forged, and authentication is only monitored", &monitored, forged(), 200, false),
        ("genuine, where nobody asks for a proof", &unasked, Delivery::github("push", "{}"), 200, false),
        ("genuine, to another path", &asking(""), Delivery::github("push", "{}").target("/hooks/other"), 404, false),
    ] {
        let house = House::with("github", policy).start();
        let upstream = service_fn(|_: Outbound| {
            let head = Response::new(()).into_parts().0;
            ready(Ok::<_, ExchangeFault>(Exchange { head, body: Bytes::new(), attempts: 1 }))
        });
        let gateway = Gateway::new(Arc::clone(house.shared()), upstream, house.server().telemetry().recorder());
        let mut delivery = Detachable::new(Arc::clone(&gateway), request(&delivery), local());
        assert!(!delivery.is_proven(), "{name}: before it is judged");
        let Ok(answer) = (&mut delivery).await;
        assert_eq!((answer.status().as_u16(), delivery.is_proven()), (status, proven), "{name}");
        let met = |address: [u8; 4]| house.shared().limits.is_met(address.into(), house.shared().clock.monotonic());
        assert_eq!((met([127, 0, 0, 1]), met([127, 0, 0, 2])), (proven, false), "{name}");
    }
}

/// More connections at once than are read in one round, known ones and strangers: nobody is forgotten.
#[test]
fn every_connection_has_its_turn_however_many_have_something_to_say() {
    let gateway = House::with("github", &github(&App::start(), "")).edge(|edge| edge.workers = Some(1)).start();
    let forged = Delivery::github("push", "{}").replace("x-hub-signature-256", &format!("sha256={}", "0".repeat(64)));
    let deliveries = [(Delivery::github("push", "{}"), 200), (forged, 401)];
    let mut connections: Vec<_> = (0..3 * TURNS / 2).map(|_| gateway.connect()).collect();
    for round in 0..2 {
        for (connection, (delivery, _)) in connections.iter_mut().zip(deliveries.iter().cycle()) {
            connection.write(&delivery.bytes());
        }
        for (connection, (_, status)) in connections.iter_mut().zip(deliveries.iter().cycle()) {
            assert_eq!(connection.answer().status, *status, "round {round}");
        }
    }
    let deliveries: Vec<_> = deliveries.into_iter().map(|(delivery, _)| delivery).cycle().take(3 * TURNS).collect();
    let statuses = Http2::connect(&gateway).send_all(&deliveries, |_| ());
    assert_eq!(statuses.len(), 3 * TURNS - 1, "and so has every request of one connection");
}

/// A gateway of which a defect met one delivery, which was then sent again. `first` is done before.
pub(crate) async fn after_a_panic(first: fn(&Telemetry)) -> Running {
    let house = House::with("stripe", &stripe(&App::start(), "")).start();
    first(house.server().telemetry());
    let calls = Arc::new(AtomicU32::new(0));
    let upstream = service_fn(move |_: Outbound| {
        let calls = Arc::clone(&calls);
        async move {
            assert!(calls.fetch_add(1, Ordering::SeqCst) > 0, "{QUOTED}");
            let head = Response::new(()).into_parts().0;
            Ok::<_, ExchangeFault>(Exchange { head, body: Bytes::from_static(b"fine"), attempts: 1 })
        }
    });
    let gateway = Gateway::new(Arc::clone(house.shared()), upstream, house.server().telemetry().recorder());
    let contained = CatchPanicLayer::custom(|_cause| reply::panicked());
    let mut service =
        ServiceBuilder::new().layer(contained).service(service_fn(move |request: Request<Full<Bytes>>| {
            let delivery = Detachable::new(Arc::clone(&gateway), request, local());
            async move { delivery.await as Result<Reply, Infallible> }
        }));
    let delivery = Delivery::stripe("{}", NOW);
    for (name, status) in [("panics", 500), ("sent again", 200)] {
        let answer = service.ready().await.unwrap().call(request(&delivery)).await.unwrap();
        assert_eq!(answer.status(), status, "{name}");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(!String::from_utf8_lossy(&body).contains(QUOTED), "{name}");
    }
    house
}

/// A defect of ours costs the one delivery that met it: 500, a record, and nothing is held for ever.
#[tokio::test]
async fn a_panic_ends_one_delivery_and_the_same_one_sent_again_goes_through() {
    let house = after_a_panic(|_| ()).await;
    let record = house.record("panic");
    assert_eq!((record.source.as_deref(), record.blame.as_deref()), (Some("stripe"), Some("gateway")));
    assert_eq!(house.shared().limits.in_flight(), 0);
    assert_eq!(house.shared().limits.bytes().used(), 0);
}

#[tokio::test]
async fn the_record_of_a_panic_has_the_status_that_was_told() {
    assert_eq!(after_a_panic(|_| ()).await.record("panic").status, Some(500));
}
