//! The end: what is under way is finished, what comes is told to go elsewhere, and it does not take for ever.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::gateway::github;
use crate::support::app::Door;
use crate::support::h2::Http2;
use crate::support::{App, Delivery, Hello, House, PATIENCE, Say, eventually};

fn waiting(door: &Door) -> App {
    let door = door.clone();
    App::saying(move |_| {
        door.wait();
        Say::status(200, "ok")
    })
}

#[test]
fn a_delivery_in_flight_is_finished_and_a_new_request_is_told_that_the_gateway_drains() {
    let door = Door::default();
    let app = waiting(&door);
    let house = House::with("github", &github(&app, ""));
    let mut gateway = house.edge(|edge| edge.drain_time = PATIENCE).start();
    let mut busy = gateway.connect();
    busy.write(&Delivery::github("push", "1").bytes());
    app.wait_taken(1);
    let late = Delivery::github("push", "2");
    let mut begun = gateway.connect();
    begun.write(&late.bytes()[..30]);
    let _second = Http2::connect(&gateway);
    eventually("three connections", || (gateway.metric("hookward_connections") == 3.0).then_some(()));

    let server = gateway.take_server();
    let stopped = thread::spawn(move || server.stop());
    eventually("the drain", || gateway.shared().limits.is_draining().then_some(()));
    begun.write(&late.bytes()[30..]);
    let answer = begun.answer();
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("5"));
    assert_eq!(gateway.record_of(&answer).reason, "draining");
    begun.wait_closed();
    eventually("the listener's end", || Hello::new(&gateway).connect().is_err().then_some(()));
    assert!(!stopped.is_finished(), "a delivery is still under way");

    door.open();
    assert_eq!(busy.answer().status, 200);
    busy.wait_closed();
    stopped.join().unwrap();
    assert_eq!(app.taken().len(), 1);
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
    gateway.stop();
    assert_eq!(gateway.records().last().unwrap().delivery, refused.delivery());
    assert!(gateway.access_text().contains("\"secret_id\":\"2026-11\""));
    idle.wait_closed();
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
