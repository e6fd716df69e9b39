//! The end: what is under way is finished, what comes is told to go elsewhere, and it does not take for ever.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use hookward::admin::{self, Admin};
use hookward::policy::gateway_config::EdgeConfig;

use crate::gateway::github;
use crate::staying_up::unlimited;
use crate::support::app::Door;
use crate::support::frames::{Fate, Frame, Frames, SETTINGS, WINDOW_UPDATE};
use crate::support::h2::Http2;
use crate::support::{App, Connection, Delivery, Hello, House, PATIENCE, Running, Say, Speaks, eventually};

/// An app that says 200 once the door is open.
pub(crate) fn waiting(door: &Door) -> App {
    let door = door.clone();
    App::saying(move |_| {
        door.wait();
        Say::status(200, "ok")
    })
}

#[test]
fn a_delivery_in_flight_is_finished_and_a_new_request_is_told_that_the_gateway_drains() {
    for protocol in Speaks::BOTH {
        let door = Door::default();
        let app = waiting(&door);
        let house = House::with("github", &github(&app, ""));
        let mut gateway = house.edge(|edge| edge.drain_time = PATIENCE).start();
        let (first, late) = (Delivery::github("push", "1"), Delivery::github("push", "2"));
        let mut begun = gateway.connect();
        begun.write(&late.bytes()[..30]);
        let server = gateway.take_server();
        let status = thread::scope(|scope| {
            let busy = scope.spawn(|| protocol.send(&gateway, &first).status);
            app.wait_taken(1);
            let stopped = scope.spawn(move || server.stop());
            eventually("the end of its grace", || gateway.shared().limits.is_closed().then_some(()));
            begun.write(&late.bytes()[30..]);
            let answer = begun.answer();
            assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{protocol:?}");
            assert_eq!(gateway.record_of(&answer).reason, "draining", "{protocol:?}");
            begun.wait_closed();
            eventually("the listener's end", || Hello::new(&gateway).connect().is_err().then_some(()));
            assert!(!stopped.is_finished(), "{protocol:?}: a delivery is still under way");
            door.open();
            stopped.join().unwrap();
            busy.join().unwrap()
        });
        assert_eq!((status, app.taken().len()), (200, 1), "{protocol:?}");
    }
}

/// What was on its way when the drain began did not choose to be late.
#[test]
fn a_drain_still_takes_what_was_on_its_way() {
    let house = House::with("github", &github(&App::start(), ""));
    let mut gateway = house.edge(|edge| edge.drain_time = PATIENCE).start();
    let push = Delivery::github("push", "1");
    let mut begun = gateway.connect();
    begun.write(&push.bytes()[..30]);
    let mut fresh = gateway.connect();
    let mut used = gateway.connect();
    assert_eq!(used.send(&push).status, 200);
    let server = gateway.take_server();
    thread::scope(|scope| {
        let stopped = scope.spawn(move || server.stop());
        eventually("the drain", || gateway.shared().limits.is_draining().then_some(()));
        used.wait_closed();
        begun.write(&push.bytes()[30..]);
        assert_eq!((begun.answer().status, fresh.send(&push).status), (200, 200));
        fresh.wait_closed();
        begun.wait_closed();
        stopped.join().unwrap();
    });
}

/// More connections have something to say than a worker reads at once: those that wait their turn are on their way, too.
#[test]
fn a_drain_still_takes_what_waits_to_be_read() {
    let house = House::with("github", &unlimited(&App::start()));
    let mut gateway =
        house.edge(|edge| (edge.workers, edge.drain_time) = (Some(1), PATIENCE)).plain("127.0.0.0/8").start();
    let mut kept: Vec<_> = (0..32).flat_map(|_| [gateway.connect(), gateway.connect_plain()]).collect();
    let text = format!("\"{}\"", "x".repeat(100_000));
    for (number, connection) in kept.iter_mut().enumerate() {
        assert_eq!(connection.send(&Delivery::github("push", &number.to_string())).status, 200);
    }
    for connection in &mut kept {
        connection.write(&Delivery::github("push", &text).bytes());
    }
    gateway.stop();
    let answers: Vec<_> =
        kept.iter_mut().map(|connection| connection.try_answer().map(|answer| answer.status)).collect();
    assert!(answers.iter().all(|status| matches!(status, Some(200 | 503))), "{answers:?}");
}

#[test]
fn an_idle_gateway_stops_at_once_and_has_written_what_it_recorded() {
    let house = House::with("github", &github(&App::start(), ""));
    let mut gateway = house.edge(|edge| edge.drain_time = Duration::from_secs(3600)).start();
    let mut idle = gateway.connect();
    assert_eq!(idle.send(&Delivery::github("push", "{}")).status, 200);
    let refused = idle.send(&Delivery::github("push", "{}").without("x-hub-signature-256"));
    let mut second = Http2::connect(&gateway);
    assert_eq!(second.send(&Delivery::github("push", "[]")).status, 200);
    drop(second);
    stop_at_once(&mut gateway);
    assert_eq!(gateway.records().last().unwrap().delivery, refused.delivery());
    assert!(gateway.access_text().contains("\"secret_id\":\"2026-11\""));
    idle.wait_closed();
}

/// Idle connections of peers that vanished are common: nothing is under way on them.
#[test]
fn an_idle_http2_client_that_no_longer_listens_does_not_hold_up_the_end() {
    let house = House::with("github", &github(&App::start(), ""));
    let mut gateway = house.edge(|edge| edge.drain_time = Duration::from_secs(3600)).start();
    // Nobody drives this client once its answer is there.
    let mut gone = Http2::connect(&gateway);
    assert_eq!(gone.send(&Delivery::github("push", "{}")).status, 200);
    stop_at_once(&mut gateway);
}

/// Stops what has an hour for its drain, and does not wait that long.
fn stop_at_once(gateway: &mut Running) {
    let server = gateway.take_server();
    let stopped = thread::spawn(move || server.stop());
    eventually("the end of a drain", || stopped.is_finished().then_some(()));
    stopped.join().unwrap();
}

/// More than the buffers of two sockets hold.
#[test]
fn a_drain_waits_until_a_slow_client_has_taken_its_answer() {
    const BYTES: usize = 32 << 20;
    let app = App::saying(|_| Say::status(200, &"x".repeat(BYTES)));
    let house = House::with("github", &github(&app, "")).plain("127.0.0.0/8");
    let mut gateway = house.edge(|edge| (edge.drain_time, edge.response_bytes_max) = (PATIENCE, BYTES)).start();
    let mut slow = [gateway.connect(), gateway.connect_plain()];
    for connection in &mut slow {
        connection.write(&Delivery::github("push", "1").bytes());
        assert_eq!(connection.try_head().unwrap().status, 200);
    }
    let server = gateway.take_server();
    thread::scope(|scope| {
        let stopped = scope.spawn(move || server.stop());
        eventually("the end of its grace", || gateway.shared().limits.is_closed().then_some(()));
        for connection in &mut slow {
            assert_eq!(connection.bytes(BYTES).map(|bytes| bytes.len()), Some(BYTES));
            connection.wait_closed();
        }
        stopped.join().unwrap();
    });
}

/// A client of HTTP/2 that has no room for answers (`SETTINGS_INITIAL_WINDOW_SIZE` is 0), and had its delivery answered.
fn without_room(gateway: &Running) -> Frames {
    let mut client = Frames::connect(gateway);
    client.write(&[Frame::new(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])]);
    assert_eq!(client.send(1, &Delivery::github("push", "1")), Fate::Answered(200));
    client
}

#[test]
fn a_drain_waits_until_a_client_has_made_room_for_its_answer() {
    let app = App::saying(|_| Say::status(200, &"x".repeat(1000)));
    let mut gateway = House::with("github", &github(&app, "")).edge(|edge| edge.drain_time = PATIENCE).start();
    let mut client = without_room(&gateway);
    let server = gateway.take_server();
    thread::scope(|scope| {
        let (tell, stopped) = mpsc::channel();
        scope.spawn(move || {
            server.stop();
            tell.send(())
        });
        eventually("the end of its grace", || gateway.shared().limits.is_closed().then_some(()));
        let early = stopped.recv_timeout(Duration::from_secs(1));
        assert_eq!(early, Err(RecvTimeoutError::Timeout), "it waits");
        client.write(&[Frame::new(WINDOW_UPDATE, 0, 1, &1000_u32.to_be_bytes())]);
        assert_eq!(client.body(1).map(|body| body.len()), Some(1000));
        stopped.recv().unwrap();
    });
}

#[test]
fn a_client_that_makes_no_room_for_its_answer_is_let_go_in_time() {
    let gateway = House::with("github", &github(&App::start(), "")).start();
    let mut client = without_room(&gateway);
    let write_time = EdgeConfig::default().write_time;
    gateway.advance(write_time.saturating_sub(Duration::from_millis(1)));
    assert_eq!(client.send(3, &Delivery::github("push", "3")), Fate::Answered(200), "and it counts from there");
    gateway.advance(write_time);
    assert_eq!(client.body(1), None);
}

#[test]
fn a_drain_ends_within_its_deadline_whoever_is_slow() {
    let door = Door::default();
    let app = waiting(&door);
    let house = House::with("github", &github(&app, "deadline_ms = 600_000"));
    let mut gateway = house.edge(|edge| edge.drain_time = Duration::from_millis(500)).start();
    let mut stuck = gateway.connect();
    stuck.write(&Delivery::github("push", "1").bytes());
    let mut silent = gateway.connect();
    silent.write(b"POST /hooks/github HTTP/1.1\r\n");
    app.wait_taken(1);
    let limits = Arc::clone(gateway.shared());
    assert_eq!(limits.limits.in_flight(), 1);
    let began = Instant::now();
    gateway.stop();
    assert!(began.elapsed() >= Duration::from_millis(500), "it waited");
    assert!(began.elapsed() < PATIENCE, "and not for ever");
    stuck.wait_closed();
    silent.wait_closed();
    door.open();
}

/// The private listener says that the gateway lives, that it is ready, and that it no longer is.
#[test]
fn readiness_ends_when_the_drain_begins_and_health_does_not() {
    let gateway = House::with("github", &github(&App::start(), "")).start();
    let socket = admin::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    let private = Admin { shared: Arc::clone(gateway.shared()), telemetry: gateway.server().telemetry().clone() };
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(private.serve(socket))
    });
    let ask = |method: &str, path: &str| {
        let mut connection = Connection::plain(address);
        connection.write(format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes());
        connection.answer()
    };
    for (path, status, body) in [("/healthz", 200, "ok\n"), ("/readyz", 200, "ready\n")] {
        let answer = ask("GET", path);
        assert_eq!((answer.status, answer.text()), (status, body));
    }
    assert_eq!((ask("GET", "/policies").status, ask("POST", "/readyz").status), (404, 405));
    let metrics = ask("GET", "/metrics");
    assert!(metrics.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(
        metrics.text().ends_with("# EOF\n") && metrics.text().contains("\nhookward_policy_stale 0\n"),
        "{}",
        metrics.text()
    );
    gateway.shared().limits.drain();
    let answer = ask("GET", "/readyz");
    assert_eq!((answer.status, answer.text(), ask("GET", "/healthz").status), (503, "draining\n", 200));
}
