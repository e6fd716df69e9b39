//! HTTP/2 connections whose frames bring no request further, and requests that are not well formed.

use hookward::reason::Reason;

use crate::gateway::github;
use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, Fate, Frame, Frames, HEADERS, PADDED, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, fields, head,
};
use crate::support::{App, Delivery, House, Running};

const ENHANCE_YOUR_CALM: u32 = 11;

/// What floods a connection, a round at a time: the round's number gives the stream.
type Round = fn(u32) -> Vec<Frame>;

/// How many rounds are taken, and how many are not.
type Bounds = (u32, u32);

fn start(app: &App) -> Running {
    House::with("github", &github(app, "")).edge(|edge| edge.unproductive_frames_max = 100).start()
}

fn push() -> Delivery {
    Delivery::github("push", "{}")
}

fn open(stream: u32) -> Frame {
    head(stream, &push())
}

/// Each kind of frame at its limit, and one more.
#[test]
fn a_flood_of_frames_ends_its_connection_with_goaway_and_a_record() {
    // The client's SETTINGS and the head of the request behind the flood are frames too.
    let rows: [(&str, Round, Bounds); 6] = [
        ("PING", |_| vec![Frame::new(PING, 0, 0, &[0; 8])], (98, 100)),
        ("SETTINGS", |_| vec![Frame::new(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9])], (98, 100)),
        ("PRIORITY", |round| vec![Frame::new(PRIORITY, 0, 2 * round + 101, &[0, 0, 0, 0, 7])], (98, 100)),
        ("WINDOW_UPDATE", |_| vec![Frame::new(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])], (98, 100)),
        ("an unknown frame", |_| vec![Frame::new(0xbe, 0xff, 0, b"x")], (98, 100)),
        ("reset", |round| vec![open(2 * round + 1), Frame::new(RST_STREAM, 0, 2 * round + 1, &[0, 0, 0, 8])], (9, 13)),
    ];
    for (name, round, (taken, refused)) in rows {
        let gateway = start(&App::start());
        let flood = |rounds: u32| -> Vec<Frame> { (0..rounds).flat_map(round).collect() };
        let mut at_the_limit = Frames::connect(&gateway);
        at_the_limit.write(&flood(taken));
        assert_eq!(at_the_limit.send(1001, &push()), Fate::Answered(200), "{name}: {taken} rounds");
        assert!(gateway.records().iter().all(|record| record.reason != "flood_refused"), "{name}");

        let mut over = Frames::connect(&gateway);
        over.write(&flood(refused));
        assert_eq!(over.fate(1001), Fate::Away(ENHANCE_YOUR_CALM), "{name}: {refused} rounds");
        let record = gateway.record("flood_refused");
        assert_eq!((record.status, record.stage.as_deref()), (None, Some("connection")), "{name}");
        let floods = gateway.records().iter().filter(|record| record.reason == "flood_refused").count();
        assert_eq!(floods, 1, "{name}");
    }
    assert_eq!(Reason::FloodRefused.row().status, None);
}

#[test]
fn padding_is_counted_by_its_bytes() {
    let house = House::with("github", &github(&App::start(), ""));
    let gateway = house.edge(|edge| edge.unproductive_bytes_max = 16 * 1024).start();
    let padded = |last: u8| Frame::new(DATA, PADDED | last, 1, &[&[255][..], &[b' '; 64], &[0; 255]].concat());
    for (frames, fate) in [(60, Fate::Answered(200)), (80, Fate::Away(ENHANCE_YOUR_CALM))] {
        let mut sent = vec![head(1, &Delivery::github("push", &format!("{}{{}}", " ".repeat(64 * (frames + 1)))))];
        sent.extend((0..=frames).map(|_| padded(0)));
        sent.push(Frame::new(DATA, END_STREAM, 1, b"{}"));
        let mut connection = Frames::connect(&gateway);
        connection.write(&sent);
        assert_eq!(connection.fate(1), fate, "{frames} frames");
    }
}

#[test]
fn answers_pay_for_the_frames_around_them() {
    let gateway = start(&App::start());
    let mut connection = Frames::connect(&gateway);
    for request in 0..20 {
        connection.write(&vec![Frame::new(PING, 0, 0, &[0; 8]); 25]);
        assert_eq!(connection.send(2 * request + 1, &push()), Fate::Answered(200), "request {request}");
    }
}

/// Pseudo fields in trailers are malformed (RFC 9113 §8.1); the library does not say whether there are some.
#[test]
fn trailers_are_refused_in_http2() {
    let app = App::start();
    let gateway = start(&app);
    let trailers = |fields: &[u8]| vec![Frame::new(HEADERS, END_HEADERS | END_STREAM, 1, fields)];
    let rows = [
        ("none", vec![Frame::new(DATA, END_STREAM, 1, b"")], 200),
        ("a field", trailers(&fields(&[("x-checksum", "1")])), 400),
        ("a pseudo field", trailers(&fields(&[(":path", "/hooks/other")])), 400),
    ];
    for (name, end, status) in rows {
        let mut connection = Frames::connect(&gateway);
        connection.write(&[open(1), Frame::new(DATA, 0, 1, b"{}")]);
        connection.write(&end);
        assert_eq!(connection.fate(1), Fate::Answered(status), "{name}");
    }
    assert_eq!(app.taken().len(), 1);
    assert!(gateway.record("framing_refused").facts().contains("trailers"));
}

#[test]
fn an_authority_that_is_not_the_host_is_refused() {
    let app = App::start();
    let gateway = start(&app);
    for (host, status) in [("localhost", 200), ("LOCALHOST", 200), ("other.example", 400), ("localhost:1", 400)] {
        let delivery = push();
        let mut all: Vec<_> = [(":method", "POST"), (":scheme", "https"), (":path", "/hooks/github")].into();
        all.push((":authority", "localhost"));
        all.push(("host", host));
        let own = delivery.headers.iter().filter(|(name, _)| name != "host");
        all.extend(own.map(|(name, value)| (name.as_str(), value.as_str())));
        let mut connection = Frames::connect(&gateway);
        connection.write(&[Frame::new(HEADERS, END_HEADERS, 1, &fields(&all)), Frame::new(DATA, END_STREAM, 1, b"{}")]);
        assert_eq!(connection.fate(1), Fate::Answered(status), "{host}");
    }
}
