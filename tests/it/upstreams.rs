//! Several upstreams, upstreams that go and come back, and what asks whether they are well.

use std::future::ready;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hookward::forward::Upstreams;
use hookward::forward::lookups::{Counted, LookupFault};
use hookward::forward::names::Names;
use hookward::forward::pool::{Exchange, ExchangeFault, Outbound};
use hookward::gateway::health::checks_max;
use hookward::gateway::{Detachable, Gateway};
use http::Response;
use rustix::process::{Resource, Signal};
use tokio::task::JoinSet;
use tower::service_fn;

use crate::gateway::{local, request};
use crate::support::app::{Door, Place};
use crate::support::served::Serve;
use crate::support::{App, Connection, Delivery, House, Running, Say, eventually};

/// So many failures in a row open a circuit.
const FAILURES: usize = hookward::admit::circuit::FAILURES_MAX as usize;

/// A policy with these upstreams; `more` goes to the end of `[forward]`.
fn policy(to: &[SocketAddr], more: &str) -> String {
    let urls: Vec<_> = to.iter().map(|address| format!("\"http://{address}/in\"")).collect();
    let to = if let [one] = &urls[..] { one.clone() } else { format!("[{}]", urls.join(", ")) };
    format!(
        "path = \"/hooks/github\"\n[auth]\nprovider = \"github\"\nsecrets = [{{ id = \"1\", env = \"GITHUB\" }}]\n\
         [limit]\nclient = {{ per_second = 1, burst = 9_999 }}\nsource = {{ per_second = 1, burst = 9_999 }}\n\
         [forward]\nto = {to}\n{more}\n"
    )
}

fn push(number: usize) -> Delivery {
    Delivery::github("push", &number.to_string())
}

/// Sends so many, each another one, and tells the statuses.
fn send(connection: &mut Connection, numbers: std::ops::Range<usize>) -> Vec<u16> {
    numbers.map(|number| connection.send(&push(number)).status).collect()
}

/// The lines about circuits in the gateway's own log, as soon as there are so many.
fn told(gateway: &Running, count: usize) -> Vec<serde_json::Value> {
    let lines = || -> Vec<serde_json::Value> {
        let text = gateway.access_text();
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let lines = text[..whole].lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.filter(|line| line["message"].as_str().unwrap().starts_with("upstream circuit")).collect()
    };
    eventually(&format!("{count} lines about circuits"), || {
        let lines = lines();
        (lines.len() >= count).then_some(lines)
    })
}

fn is_open(gateway: &Running, upstream: usize) -> i64 {
    gateway.metric(&format!("hookward_upstream_circuit_open{{source=\"github\",upstream=\"{upstream}\"}}"))
}

#[test]
fn of_two_upstreams_one_of_which_is_dead_no_delivery_is_lost_and_none_is_sent_twice() {
    let (dead, app) = (Place::new(), App::start());
    let mut gateway = House::with("github", &policy(&[dead.address, app.address], "")).start();
    let statuses = send(&mut gateway.connect(), 0..200);
    assert_eq!(statuses, [200; 200]);
    let mut bodies: Vec<usize> =
        app.taken().iter().map(|taken| String::from_utf8_lossy(&taken.body).parse().unwrap()).collect();
    bodies.sort_unstable();
    assert!(bodies.into_iter().eq(0..200));
    assert_eq!((is_open(&gateway, 0), is_open(&gateway, 1)), (1, 0));
    gateway.stop();
    let told = told(&gateway, 1);
    assert_eq!(told.len(), 1, "once: {told:?}");
    assert_eq!(told[0]["source"], "github");
    assert_eq!(told[0]["upstream"], format!("http://{}", dead.address), "no path");
    assert_eq!(told[0]["cause"], "upstream_connect: connection refused");
    assert!(gateway.records().is_empty());
}

#[test]
fn deliveries_are_spread_over_upstreams_each_with_its_own_path_and_host() {
    let apps = [App::start(), App::start(), App::start()];
    let urls: Vec<_> = apps.iter().enumerate().map(|(n, app)| format!("\"http://{}/in/{n}\"", app.address)).collect();
    let one = policy(&[apps[0].address], "");
    let there = one.lines().find(|line| line.starts_with("to = ")).unwrap();
    let gateway = House::with("github", &one.replace(there, &format!("to = [{}]", urls.join(", ")))).start();
    assert_eq!(send(&mut gateway.connect(), 0..150), [200; 150]);
    for (number, app) in apps.iter().enumerate() {
        let taken = app.taken();
        assert!(taken.len() > 15, "{number}: {}", taken.len());
        let host = app.address.to_string();
        assert!(taken.iter().all(|taken| taken.line == format!("POST /in/{number} HTTP/1.1")));
        assert!(taken.iter().all(|taken| taken.header("host") == Some(&host)));
    }
}

#[test]
fn a_delivery_of_which_something_was_sent_goes_to_no_other_upstream() {
    let (broken, good) = (App::saying(|_| Say::Last(Vec::new())), App::start());
    let gateway = House::with("github", &policy(&[broken.address, good.address], "")).start();
    let statuses = send(&mut gateway.connect(), 0..100);
    let failed = statuses.iter().filter(|status| **status == 502).count();
    assert_eq!((failed, broken.taken().len(), good.taken().len()), (FAILURES, FAILURES, 100 - FAILURES));
    assert_eq!(gateway.record("upstream_failed").detail["upstream"], format!("http://{}", broken.address));
}

/// Nothing holds a place for the whole deadline, nothing is said a thousand times, and what was refused is taken when it is sent again.
#[test]
fn an_upstream_that_dies_and_comes_back_costs_refusals_at_once_and_two_lines() {
    let place = Place::new();
    let first = place.up(|_| (200, "first"));
    let house = House::with("github", &policy(&[place.address], "")).edge(|edge| edge.workers = Some(2));
    let mut gateway = house.start();
    let mut connection = gateway.connect();
    assert_eq!(send(&mut connection, 0..10), [200; 10]);
    place.down();
    assert_eq!(send(&mut connection, 10..1_010), [503; 1_000]);
    let refused = gateway.connect().send(&push(2_000));
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(is_open(&gateway, 0), 1);

    let second = place.up(|_| (200, "second"));
    assert_eq!(gateway.connect().send(&push(2_000)).status, 503, "it is not time yet");
    gateway.advance(Duration::from_secs(1));
    let answer = gateway.connect().send(&push(2_000));
    assert_eq!((answer.status, answer.text()), (200, "second"), "{}", gateway.rejected_text().lines().last().unwrap());
    assert_eq!(second.only().header("x-hookward-duplicate"), None, "it was not accepted before");
    assert_eq!(send(&mut gateway.connect(), 3_000..3_010), [200; 10]);
    assert_eq!((is_open(&gateway, 0), first.taken().len(), second.taken().len()), (0, 10, 11));
    gateway.stop();
    let told = told(&gateway, 2);
    let messages: Vec<_> = told.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(messages, ["upstream circuit opened", "upstream circuit closed"]);
    let records = gateway.records();
    assert!(records.iter().all(|record| record.reason == "upstream_connect"));
    // Without the summary at the end.
    let records: Vec<_> = records.into_iter().filter(|record| record.delivery.is_some()).collect();
    let of_circuit = |record: &&hookward::record::Record| record.detail.get("circuit").is_some();
    let (circuit, tried): (Vec<_>, Vec<_>) = records.iter().partition(of_circuit);
    assert_eq!(tried.len(), FAILURES);
    assert!(circuit.iter().all(|record| record.detail["circuit"] == "open"));
}

/// Only whoever begins a look-up has failed: those who wait for it have learned nothing more.
#[tokio::test]
async fn a_look_up_that_fails_counts_once_however_many_deliveries_wait_for_it() {
    let somewhere = SocketAddr::from(([127, 0, 0, 1], 9));
    // A label has 63 characters at most (RFC 1035 §2.3.4), so no name server is asked for this one.
    let nowhere = format!("{}.invalid", "a".repeat(64));
    let house = House::with("github", &policy(&[somewhere], "").replace(&somewhere.to_string(), &nowhere)).start();
    let worker =
        || Gateway::new(Arc::clone(house.shared()), Upstreams::default(), house.server().telemetry().recorder());
    let first = worker();
    let mut waiting: JoinSet<_> =
        (0..2 * FAILURES).map(|number| Detachable::new(Arc::clone(&first), request(&push(number)), local())).collect();
    while let Some(answer) = waiting.join_next().await {
        assert_eq!(answer.unwrap().unwrap().status(), 503);
    }
    assert_eq!(is_open(&house, 0), 0, "one look-up");
    assert_eq!(house.record("upstream_connect").detail["error"], "the upstream's name cannot be looked up");
    // Workers share no look-ups: each begins one.
    for count in 2..=FAILURES {
        assert_eq!(is_open(&house, 0), 0, "fewer than {count} look-ups");
        let Ok(answer) = Detachable::new(worker(), request(&push(100 + count)), local()).await;
        assert_eq!(answer.status(), 503);
    }
    assert_eq!(is_open(&house, 0), 1, "{FAILURES} look-ups");
}

#[tokio::test]
async fn of_two_upstreams_one_whose_name_others_look_up_in_vain_is_still_tried() {
    let app = App::start();
    let name = format!("http://{}", app.address);
    for (counted, open) in [(Counted::Elsewhere, 0), (Counted::Here, 1)] {
        let house = House::with("github", &policy(&[Place::new().address, app.address], "")).start();
        let good = name.clone();
        let upstream = service_fn(move |outbound: Outbound| {
            let head = Response::new(()).into_parts().0;
            let is_good = *outbound.target.name == *good;
            let answer = is_good.then(|| Exchange { head, body: Bytes::new(), attempts: 1 });
            ready(answer.ok_or(ExchangeFault::Unresolved(LookupFault { kind: ErrorKind::NotFound, counted })))
        });
        let gateway = Gateway::new(Arc::clone(house.shared()), upstream, house.server().telemetry().recorder());
        for number in 0..100 {
            let Ok(answer) = Detachable::new(Arc::clone(&gateway), request(&push(number)), local()).await;
            assert_eq!(answer.status(), 200);
        }
        assert_eq!((is_open(&house, 0), is_open(&house, 1)), (open, 0), "{counted:?}");
    }
}

/// A resolver waits for five seconds until it asks the next name server; no delivery of these has so much time.
#[tokio::test]
async fn a_look_up_that_hangs_counts_once_for_all_who_wait_beside_each_other_and_is_no_silence_of_the_app() {
    let app = App::start();
    let named = SocketAddr::from(([127, 0, 0, 1], 9));
    let rows = [(&[named][..], 503, "deadline_ms = 100"), (&[named, app.address], 200, "deadline_ms = 1_000")];
    for (to, status, deadline) in rows {
        let policy = policy(to, deadline).replace(&named.to_string(), "app.internal:3000");
        let house = House::with("github", &policy).start();
        let upstreams = Upstreams::at(Names::silent());
        let gateway = Gateway::new(Arc::clone(house.shared()), upstreams, house.server().telemetry().recorder());
        let deliver = |number| Detachable::new(Arc::clone(&gateway), request(&push(number)), local());
        let mut waiting: JoinSet<_> = (0..8 * FAILURES).map(deliver).collect();
        while let Some(answer) = waiting.join_next().await {
            assert_eq!(answer.unwrap().unwrap().status(), status, "{deadline}");
        }
        assert_eq!(is_open(&house, 0), 0, "{deadline}");
        if status == 200 {
            continue;
        }
        let record = house.record("upstream_connect");
        assert_eq!(record.detail["error"], "the upstream's name cannot be looked up in time");
        // The same look-up: each of these has waited for it after all others gave up.
        for count in 2..=FAILURES {
            assert_eq!(is_open(&house, 0), 0, "fewer than {count} waited");
            let Ok(answer) = deliver(100 + count).await;
            assert_eq!(answer.status(), 503);
        }
        assert_eq!(is_open(&house, 0), 1);
        assert_eq!(told(&house, 1)[0]["cause"], "upstream_connect: the upstream's name cannot be looked up in time");
    }
}

/// The connection of the sender is there already; it is those to the app that there is nothing left for.
#[test]
fn a_gateway_without_descriptors_refuses_and_blames_no_upstream() {
    let folder = tempfile::tempdir().unwrap();
    let app = App::start();
    let mut served = Serve::new(folder.path(), &policy(&[app.address], "")).start();
    let mut connection = served.connect();
    served.limit(Resource::Nofile, Some(3), Some(1_000));
    assert_eq!(send(&mut connection, 0..2 * FAILURES), [503; 2 * FAILURES]);
    served.limit(Resource::Nofile, Some(1_000), Some(1_000));
    assert_eq!(send(&mut connection, 0..1), [200], "at once, as nothing was held against it");
    served.signal(Signal::TERM);
    assert!(served.ended().success());
    let records = std::fs::read_to_string(folder.path().join("rejected.jsonl")).unwrap();
    let record: serde_json::Value = serde_json::from_str(records.lines().next().unwrap()).unwrap();
    let told = ["reason", "detail"].map(|field| record[field].clone());
    assert_eq!(told[0], "upstream_connect");
    assert_eq!(told[1]["error"], "the gateway has no file descriptor left for a connection");
}

#[test]
fn an_upstream_that_does_not_answer_is_left_alone_and_tried_by_one_delivery_at_a_time() {
    let door = Door::default();
    let waiting = door.clone();
    let app = App::saying(move |_| {
        waiting.wait();
        Say::status(200, "ok")
    });
    let gateway = House::with("github", &policy(&[app.address], "deadline_ms = 50")).start();
    let mut connection = gateway.connect();
    assert_eq!(send(&mut connection, 0..FAILURES), [504; FAILURES]);
    assert_eq!(send(&mut connection, 10..20), [503; 10]);
    gateway.advance(Duration::from_secs(1));
    assert_eq!(send(&mut connection, 20..24), [504, 503, 503, 503]);
    gateway.advance(Duration::from_secs(1));
    assert_eq!(send(&mut connection, 30..31), [503], "the second wait is longer");
    door.open();
    gateway.advance(Duration::from_secs(1));
    assert_eq!(send(&mut connection, 40..42), [200; 2]);
    assert_eq!(told(&gateway, 2).len(), 2);
}

/// `[mode] auth = "monitor"`: strangers reach the app, and could know what it is slow with.
#[test]
fn deliveries_without_proof_take_an_upstream_from_nobody_by_being_slow() {
    let door = Door::default();
    let app = App::saying(move |_| {
        door.wait();
        Say::status(200, "never")
    });
    let monitor = "deadline_ms = 30\n[mode]\nauth = \"monitor\"\nbecause = \"x\"";
    let gateway = House::with("github", &policy(&[app.address], monitor)).start();
    let mut connection = gateway.connect();
    for number in 0..2 * FAILURES {
        assert_eq!(connection.send(&push(number).without("x-hub-signature-256")).status, 504);
    }
    assert_eq!(send(&mut connection, 100..100 + FAILURES), [504; FAILURES]);
    assert_eq!(send(&mut connection, 200..202), [503; 2], "with proof it counts");
}

/// `provider = "none"`: nobody proves anything.
#[test]
fn where_nobody_proves_anything_an_upstream_is_taken_by_no_answer() {
    let door = Door::default();
    let app = App::saying(move |_| {
        door.wait();
        Say::status(200, "never")
    });
    let open = policy(&[app.address], "deadline_ms = 30").replace(
        "provider = \"github\"\nsecrets = [{ id = \"1\", env = \"GITHUB\" }]",
        "provider = \"none\"\nbecause = \"x\"",
    );
    let gateway = House::with("github", &open).start();
    assert_eq!(send(&mut gateway.connect(), 0..2 * FAILURES), [504; 2 * FAILURES]);
}

/// A probe that says nothing is given back at once.
#[test]
fn a_stranger_that_the_app_stumbles_over_holds_no_circuit_open() {
    let place = Place::new();
    let monitor = "[mode]\nauth = \"monitor\"\nbecause = \"x\"";
    let gateway = House::with("github", &policy(&[place.address], monitor)).start();
    let mut connection = gateway.connect();
    assert_eq!(send(&mut connection, 0..FAILURES), [503; FAILURES]);
    let _app = place.up(|taken| (if taken.header("x-hub-signature-256").is_some() { 200 } else { 500 }, ""));
    gateway.advance(Duration::from_secs(1));
    assert_eq!(connection.send(&push(50).without("x-hub-signature-256")).status, 502, "the probe");
    assert_eq!(send(&mut connection, 60..62), [200; 2]);
}

#[test]
fn an_apps_own_errors_take_a_lone_upstream_from_nobody() {
    for status in [500, 302, 503, 429] {
        let app = App::saying(move |_| Say::status(status, ""));
        let mut gateway = House::with("github", &policy(&[app.address], "")).start();
        send(&mut gateway.connect(), 0..20);
        assert_eq!((app.taken().len(), is_open(&gateway, 0)), (20, 0), "{status}");
        gateway.stop();
        assert!(!gateway.access_text().contains("circuit"), "{status}");
    }
}

#[test]
fn where_all_upstreams_answer_with_errors_one_stays() {
    let apps = [App::saying(|_| Say::status(500, "")), App::saying(|_| Say::status(500, ""))];
    let gateway = House::with("github", &policy(&apps.each_ref().map(|app| app.address), "")).start();
    assert_eq!(send(&mut gateway.connect(), 0..60), [502; 60]);
    assert_eq!(apps.iter().map(|app| app.taken().len()).sum::<usize>(), 60);
    assert_eq!(is_open(&gateway, 0) + is_open(&gateway, 1), 1);
}

#[test]
fn a_reload_that_keeps_an_upstream_keeps_what_is_known_of_it() {
    let dead = Place::new();
    let gateway = House::with("github", &policy(&[dead.address], "")).start();
    let mut connection = gateway.connect();
    assert_eq!(send(&mut connection, 0..FAILURES), [503; FAILURES]);
    let tried = |connection: &mut Connection, number: usize| {
        let record = gateway.record_of(&connection.send(&push(number)));
        record.detail.get("circuit").is_none()
    };
    gateway.reload(&[("github.toml", &policy(&[dead.address], "deadline_ms = 9_000"))]).unwrap();
    assert!(!tried(&mut connection, 10));
    gateway.reload(&[("github.toml", "broken")]).unwrap_err();
    assert!(!tried(&mut connection, 11));
    let other = Place::new();
    gateway.reload(&[("github.toml", &policy(&[other.address], ""))]).unwrap();
    assert!(tried(&mut connection, 12), "another upstream");
}

/// An app whose `/healthz` has this status, and whose deliveries go well.
fn with_health(status: &Arc<AtomicU16>) -> App {
    let status = Arc::clone(status);
    App::saying(move |taken| {
        let is_check = taken.line.starts_with("GET /healthz ");
        if is_check { Say::status(status.load(Ordering::SeqCst), "x") } else { Say::status(200, "ok") }
    })
}

fn checks_of(app: &App) -> usize {
    app.taken().iter().filter(|taken| taken.line.starts_with("GET ")).count()
}

/// Moves the clock on until an upstream was checked so many times more.
fn checked(gateway: &Running, app: &App, more: usize) {
    let until = checks_of(app) + more;
    eventually("health checks", || {
        gateway.advance(Duration::from_millis(500));
        (checks_of(app) >= until).then_some(())
    });
}

const HEALTH: &str =
    "health = { path = \"/healthz\", every_seconds = 5, timeout_ms = 2_000, healthy = 2, unhealthy = 3 }";

#[test]
fn health_checks_take_an_upstream_out_and_bring_it_back() {
    let statuses = [Arc::new(AtomicU16::new(200)), Arc::new(AtomicU16::new(200))];
    let apps = statuses.each_ref().map(with_health);
    let gateway = House::with("github", &policy(&apps.each_ref().map(|app| app.address), HEALTH)).start();
    assert_eq!(gateway.connect().send(&push(0)).status, 200, "no check is waited for");
    checked(&gateway, &apps[0], 2);
    assert_eq!(is_open(&gateway, 0), 0);
    statuses[0].store(503, Ordering::SeqCst);
    checked(&gateway, &apps[0], 4);
    let lines = told(&gateway, 1);
    assert_eq!(lines[0]["cause"], "health check: status 503");
    let before = apps[0].taken().len() - checks_of(&apps[0]);
    assert_eq!(send(&mut gateway.connect(), 100..120), [200; 20]);
    assert_eq!(apps[0].taken().len() - checks_of(&apps[0]), before, "the other one has them all");
    statuses[0].store(204, Ordering::SeqCst);
    checked(&gateway, &apps[0], 3);
    assert_eq!(told(&gateway, 2)[1]["message"], "upstream circuit closed");
    eventually("an end", || (is_open(&gateway, 0) == 0).then_some(()));
    let check = apps[0].taken().into_iter().find(|taken| taken.line.starts_with("GET ")).unwrap();
    assert_eq!((check.line.as_str(), check.header("user-agent")), ("GET /healthz HTTP/1.1", Some("hookward")));
    assert_eq!(check.names(), ["connection", "host", "user-agent"]);
}

#[test]
fn a_lone_upstream_that_is_not_well_gets_one_delivery_at_a_time_and_a_reload_ends_its_checks() {
    let status = Arc::new(AtomicU16::new(500));
    let app = with_health(&status);
    let gateway = House::with("github", &policy(&[app.address], HEALTH)).start();
    checked(&gateway, &app, 4);
    told(&gateway, 1);
    gateway.advance(Duration::from_secs(1));
    assert_eq!(send(&mut gateway.connect(), 0..3), [200; 3]);
    assert_eq!(is_open(&gateway, 0), 1, "health has the last word");
    gateway.reload(&[("github.toml", &policy(&[app.address], ""))]).unwrap();
    eventually("a delivery that closes the circuit", || {
        assert_eq!(gateway.connect().send(&push(10)).status, 200);
        (is_open(&gateway, 0) == 0).then_some(())
    });
    let checks = checks_of(&app);
    gateway.advance(Duration::from_secs(100));
    assert_eq!(send(&mut gateway.connect(), 20..30), [200; 10]);
    assert_eq!(checks_of(&app), checks);
}

/// Checks of many upstreams that take connections and never answer are under way, one of each, and hold up none of another.
#[test]
fn upstreams_that_do_not_answer_delay_no_check_of_another() {
    const SILENT: usize = 40;
    let door = Door::default();
    let waiting = door.clone();
    let silent = App::saying(move |_| {
        waiting.wait();
        Say::status(200, "ok")
    });
    let patient = HEALTH.replace("2_000", "60_000");
    let source = |path: &str, app: &App| policy(&[app.address], &patient).replace("/hooks/github", path);
    let alive = with_health(&Arc::new(AtomicU16::new(200)));
    let mut house = House::with("unchecked", &policy(&[alive.address], ""));
    house = house.policy("alive", &source("/hooks/alive", &alive));
    for number in 0..SILENT {
        house = house.policy(&format!("silent-{number}"), &source(&format!("/hooks/{number}"), &silent));
    }
    let gateway = house.start();
    checked(&gateway, &silent, SILENT);
    checked(&gateway, &alive, 4);
    assert_eq!(checks_of(&silent), SILENT, "one of each");
    assert_eq!(checks_max(&gateway.shared().policy.load()), SILENT + 1);
    door.open();
    checked(&gateway, &silent, SILENT);
}
