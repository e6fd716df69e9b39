//! Rates, budgets and places: junk spends its own, never the provider's, and every refusal is in the log.

use std::thread;
use std::time::Duration;

use crate::gateway::{github, stripe};
use crate::support::app::Door;
use crate::support::{Answer, App, Delivery, House, NOW, Running, Say};

fn junk() -> Delivery {
    Delivery::github("push", "{}").replace("x-hub-signature-256", &format!("sha256={}", "0".repeat(64)))
}

fn statuses(gateway: &Running, delivery: &Delivery, times: usize) -> Vec<u16> {
    let mut connection = gateway.connect();
    (0..times).map(|_| connection.send(delivery).status).collect()
}

/// How many refusals the log stands for, suppressed ones included, once it has no more to say.
fn refusals(gateway: &mut Running, reason: &str) -> u64 {
    gateway.stop();
    gateway.records().iter().filter(|record| record.reason == reason).map(hookward::record::Record::refusals).sum()
}

/// Defect g: the source's budget is spent by authentic deliveries alone.
#[test]
fn junk_does_not_spend_the_sources_budget() {
    let app = App::start();
    let limits = "[limit]\nsource = { per_second = 1, burst = 2 }\nclient = { per_second = 1000, burst = 1000 }\n\
                  failures = { per_minute = 1000, block_seconds = 60 }\n";
    let mut gateway = House::with("github", &github(&app, limits)).start();
    assert_eq!(statuses(&gateway, &junk(), 100), [401; 100]);
    assert_eq!(statuses(&gateway, &Delivery::github("push", "{}"), 3), [200, 200, 429]);
    gateway.advance(Duration::from_secs(1));
    assert_eq!(statuses(&gateway, &Delivery::github("push", "{}"), 2), [200, 429]);
    assert_eq!(app.taken().len(), 3);
    assert_eq!(refusals(&mut gateway, "credential_mismatch"), 100);
}

/// Defect g, the other half: junk from the genuine sender's own address does not lock it out.
#[test]
fn a_known_sender_is_not_blocked_by_junk_from_its_own_address() {
    let limits = "[limit]\nfailures = { per_minute = 5, block_seconds = 60 }\n";
    for (name, known, expected) in [("known", true, 200), ("unknown", false, 429)] {
        let app = App::start();
        let mut gateway = House::with("github", &github(&app, limits)).start();
        if known {
            assert_eq!(statuses(&gateway, &Delivery::github("push", "1"), 1), [200], "{name}");
        }
        let answers = statuses(&gateway, &junk(), 8);
        let over = if known { 401 } else { 429 };
        assert_eq!(answers, [401, 401, 401, 401, 401, over, over, over], "{name}");
        let answer = gateway.connect().send(&Delivery::github("push", "2"));
        assert_eq!(answer.status, expected, "{name}");
        if !known {
            assert_eq!(gateway.record_of(&answer).reason, "client_blocked");
            assert_eq!(answer.header("retry-after"), Some("60"));
            gateway.advance(Duration::from_secs(60));
            assert_eq!(statuses(&gateway, &Delivery::github("push", "3"), 1), [200], "the block is over");
            assert_eq!(refusals(&mut gateway, "client_blocked"), 4);
        }
    }
}

/// Only what somebody without the secret sends counts as a failure.
#[test]
fn stale_deliveries_and_broken_payloads_block_nobody() {
    let limits = "[limit]\nfailures = { per_minute = 2, block_seconds = 60 }\n";
    let gateway = House::with("stripe", &stripe(&App::start(), limits)).start();
    assert_eq!(statuses(&gateway, &Delivery::stripe("{}", NOW - 1000), 5), [401; 5]);
    assert_eq!(statuses(&gateway, &Delivery::stripe("{", NOW), 5), [400; 5]);
    assert_eq!(statuses(&gateway, &Delivery::stripe("{}", NOW), 1), [200]);
}

/// Defect u, with exact counts under a clock that stands still.
#[test]
fn a_client_over_its_rate_is_refused_told_when_to_come_back_and_recorded() {
    let limits = "[limit]\nclient = { per_second = 2, burst = 5 }\n";
    let mut gateway = House::with("github", &github(&App::start(), limits)).start();
    assert_eq!(statuses(&gateway, &Delivery::github("push", "{}"), 7), [200, 200, 200, 200, 200, 429, 429]);
    gateway.advance(Duration::from_millis(999));
    assert_eq!(statuses(&gateway, &Delivery::github("push", "{}"), 2), [200, 429], "half a second each");
    let answer = gateway.connect().send(&Delivery::github("push", "{}"));
    let record = gateway.record_of(&answer);
    assert_eq!((record.reason.as_str(), record.source.as_deref()), ("rate_limited_client", Some("github")));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(refusals(&mut gateway, "rate_limited_client"), 4);
    assert_eq!(
        gateway.metric("hookward_deliveries_total{source=\"github\",outcome=\"rejected\"}"),
        4,
        "{}",
        gateway.metrics()
    );
}

/// An app that waits behind a door, and what came of a delivery that is there with it.
pub(crate) struct Waiting {
    door: Door,
    pub(crate) app: App,
}

impl Waiting {
    pub(crate) fn new() -> Self {
        let door = Door::default();
        let waiting = door.clone();
        let app = App::saying(move |_| {
            waiting.wait();
            Say::status(200, "ok")
        });
        Self { door, app }
    }

    /// Sends the first delivery, and `then` while it is at the app.
    pub(crate) fn during(&self, gateway: &Running, first: &Delivery, then: impl FnOnce()) -> Answer {
        thread::scope(|scope| {
            let first = scope.spawn(|| gateway.connect().send(first));
            self.app.wait_taken(1);
            then();
            self.door.open();
            first.join().unwrap()
        })
    }
}

#[test]
fn a_source_over_its_places_in_flight_is_overloaded() {
    let waiting = Waiting::new();
    let gateway = House::with("github", &github(&waiting.app, "[limit]\nin_flight_max = 1\n")).start();
    let first = waiting.during(&gateway, &Delivery::github("push", "1"), || {
        let answer = gateway.connect().send(&Delivery::github("push", "2"));
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
        let record = gateway.record_of(&answer);
        assert_eq!((record.reason.as_str(), record.facts()), ("overloaded", "limit=in_flight_max".to_owned()));
        assert_eq!(gateway.connect().send(&junk()).status, 401, "junk takes no place");
    });
    assert_eq!(first.status, 200);
    assert_eq!(gateway.connect().send(&Delivery::github("push", "2")).status, 200);
}

#[test]
fn a_delivery_that_is_being_handled_is_not_handled_twice() {
    let waiting = Waiting::new();
    let gateway = House::with("stripe", &stripe(&waiting.app, "")).start();
    let delivery = Delivery::stripe("{}", NOW);
    let first = waiting.during(&gateway, &delivery, || {
        let answer = gateway.connect().send(&delivery);
        assert_eq!((answer.status, answer.header("retry-after")), (409, Some("1")));
        assert_eq!(gateway.record_of(&answer).reason, "replay_in_flight");
    });
    assert_eq!(first.status, 200);
    assert_eq!(waiting.app.taken().len(), 1);
}

/// What decides on a replay is what was signed, not how the signature was spelled or which id came beside it.
#[test]
fn a_captured_delivery_is_a_replay_whatever_is_changed_around_it() {
    let app = App::start();
    let policy = github(&app, "[replay]\non_duplicate = \"refuse\"\n")
        .replace("secrets = [", "secrets = [{ id = \"2026-12\", env = \"GITHUB_NEXT\" }, ");
    let gateway = House::with("github", &policy).start();
    let delivery = Delivery::github("push", "{}");
    let next = delivery.clone().signed("github", "GITHUB_NEXT");
    let rows = [
        ("first", delivery.clone(), 200),
        ("again", delivery.clone(), 409),
        ("another id", delivery.clone().replace("x-github-delivery", "11111111-cc78-11e3-81ab-4c9367dc0958"), 409),
        ("another event", delivery.replace("x-github-event", "star"), 409),
        ("another secret", next, 409),
        ("another body", Delivery::github("push", "[]"), 200),
    ];
    for (name, delivery, status) in rows {
        assert_eq!(gateway.connect().send(&delivery).status, status, "{name}");
    }
    gateway.advance(Duration::from_secs(600));
    assert_eq!(gateway.connect().send(&Delivery::github("push", "{}")).status, 200, "the window is over");
}

/// Where nothing signed tells deliveries apart, a second one may be honest: it goes on, marked.
#[test]
fn a_duplicate_that_may_be_honest_is_forwarded_with_a_mark() {
    let app = App::start();
    let gateway = House::with("github", &github(&app, "")).start();
    assert_eq!(statuses(&gateway, &Delivery::github("push", "{}"), 2), [200, 200]);
    let marks: Vec<_> =
        app.taken().iter().map(|taken| taken.header("x-hookward-duplicate").map(str::to_owned)).collect();
    assert_eq!(marks, [None, Some("1".to_owned())]);
}
