//! What an HTTP/1 connection may say before there is a request, and how it ends when it says something else.

use std::time::Duration;

use crate::gateway::github;
use crate::support::{Answer, App, Connection, Delivery, House, Running, Say, eventually};

fn start(app: &App) -> Running {
    House::with("github", &github(app, "")).start()
}

fn push() -> Delivery {
    Delivery::github("push", "{}")
}

/// A good request with other field lines in place of its Content-Length.
fn framed(fields: &str, body: &str) -> Vec<u8> {
    [&push().head_with(fields)[..], body.as_bytes()].concat()
}

/// A good request in which a text is replaced by another.
fn edited(from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(push().bytes()).unwrap();
    assert!(text.contains(from), "{from:?}");
    text.replacen(from, to, 1).into_bytes()
}

/// A name, what is sent, the status and the reason.
type Row = (&'static str, Vec<u8>, u16, &'static str);

/// Each rule with the nearest thing that is taken. `reason` is empty for what is.
fn rows() -> Vec<Row> {
    let length = "content-length: 2\r\n";
    let chunked = "transfer-encoding: chunked\r\n";
    let chunks = "2\r\n{}\r\n0\r\n\r\n";
    let long = |bytes: usize| format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(bytes - 1));
    let bad = "framing_refused";
    vec![
        ("as it should be", push().bytes(), 200, ""),
        ("an empty line before it", [b"\r\n", &push().bytes()[..]].concat(), 200, ""),
        ("two empty lines before it", [b"\r\n\r\n", &push().bytes()[..]].concat(), 400, bad),
        ("bare LF behind the request line", edited("HTTP/1.1\r\n", "HTTP/1.1\n"), 400, bad),
        ("bare LF behind a field", edited("json\r\n", "json\n"), 400, bad),
        ("bare LF at the end", edited("\r\n\r\n", "\r\n\n"), 400, bad),
        ("bare CR in a field", edited("json\r\n", "json\rx: 1\r\n"), 400, bad),
        ("a tab in a field", edited("json\r\n", "json\r\nx: a\tb\r\n"), 200, ""),
        ("NUL in a field", edited("json\r\n", "json\r\nx: a\0b\r\n"), 400, bad),
        ("an escape in a field", edited("json\r\n", "json\r\nx: \u{1b}[2J\r\n"), 400, bad),
        ("a folded line", edited("json\r\n", "json\r\n x: 1\r\n"), 400, bad),
        ("a space before the colon", edited("content-type:", "content-type :"), 400, bad),
        ("a line without a colon", edited("json\r\n", "json\r\nx\r\n"), 400, bad),
        ("a name that is no token", edited("json\r\n", "json\r\nx@y: 1\r\n"), 400, bad),
        ("two spaces", edited("POST ", "POST  "), 400, bad),
        ("a long method", edited("POST", &"P".repeat(33)), 400, bad),
        ("an unknown method", edited("POST", "PUSH"), 405, "method_not_allowed"),
        ("CONNECT", edited("POST", "CONNECT"), 400, bad),
        ("no version", edited(" HTTP/1.1", ""), 400, bad),
        ("HTTP/1.0", edited("HTTP/1.1", "HTTP/1.0"), 200, ""),
        ("HTTP/1.2", edited("HTTP/1.1", "HTTP/1.2"), 505, "version_refused"),
        ("HTTP/2.0", edited("HTTP/1.1", "HTTP/2.0"), 505, "version_refused"),
        ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), 505, "version_refused"),
        ("HTTP/1.10", edited("HTTP/1.1", "HTTP/1.10"), 400, bad),
        ("two lengths", framed(&length.repeat(2), "{}"), 400, bad),
        ("a list of lengths", framed("content-length: 2, 2\r\n", "{}"), 400, bad),
        ("spaces around the length", framed("content-length: \t2 \r\n", "{}"), 200, ""),
        ("a length with a sign", framed("content-length: +2\r\n", "{}"), 400, bad),
        ("a length of 2⁶³", framed("content-length: 9223372036854775808\r\n", "{}"), 400, bad),
        ("a length below 2⁶³", framed("content-length: 9223372036854775807\r\n", "{}"), 413, "body_too_large"),
        ("chunks", framed(chunked, chunks), 200, ""),
        ("chunks, loudly", framed("Transfer-Encoding: CHUNKED\r\n", chunks), 200, ""),
        ("chunks twice", framed(&chunked.repeat(2), chunks), 400, bad),
        ("another coding", framed("transfer-encoding: identity\r\n", chunks), 400, bad),
        ("a length beside chunks", framed(&format!("{length}{chunked}"), chunks), 400, bad),
        ("chunks beside a length", framed(&format!("{chunked}{length}"), chunks), 400, bad),
        ("a chunk's size with 0x", framed(chunked, "0x2\r\n{}\r\n0\r\n\r\n"), 400, bad),
        ("a chunk's size with a space", framed(chunked, "2 \r\n{}\r\n0\r\n\r\n"), 400, bad),
        ("bare LF behind a chunk's size", framed(chunked, "2\n{}\r\n0\r\n\r\n"), 400, bad),
        ("bare LF in an extension", framed(chunked, "2;a\n{}\r\n0\r\n\r\n"), 400, bad),
        ("a chunk that is too long", framed(chunked, "2\r\n{} \r\n0\r\n\r\n"), 400, bad),
        ("an extension of 1 KiB", framed(chunked, &long(1024)), 200, ""),
        ("a longer one", framed(chunked, &long(1025)), 400, bad),
        ("trailers", framed(chunked, "2\r\n{}\r\n0\r\nx-github-event: ping\r\n\r\n"), 200, ""),
        ("a trailer that is none", framed(chunked, "2\r\n{}\r\n0\r\nPOST / HTTP/1.1\r\n\r\n"), 400, bad),
        ("HTTP/1.0 with chunks", framed_10(chunked, chunks), 400, bad),
        ("HTTP/1.0 without a length", framed_10("", "{}"), 411, "length_required"),
    ]
}

fn framed_10(fields: &str, body: &str) -> Vec<u8> {
    String::from_utf8(framed(fields, body)).unwrap().replacen("HTTP/1.1", "HTTP/1.0", 1).into_bytes()
}

/// How many were refused for this reason, whatever their source.
fn refusals(gateway: &Running, reason: &str) -> u64 {
    let label = format!("reason=\"{reason}\"");
    let text = gateway.metrics();
    let samples = text.lines().filter(|line| line.starts_with("hookward_rejections_total{") && line.contains(&label));
    samples.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// Asks the metrics, since many records of the same kind are summed up.
fn check(gateway: &Running, app: &App, row: &Row, connection: &mut Connection, piece_bytes: usize) {
    let (name, bytes, status, reason) = row;
    let (status, reason) = (*status, *reason);
    let (before, refused) = (app.taken().len(), refusals(gateway, reason));
    for piece in bytes.chunks(piece_bytes) {
        connection.write(piece);
    }
    let answer = connection.answer();
    assert_eq!(answer.status, status, "{name}");
    if reason.is_empty() {
        return;
    }
    assert!(answer.delivery().is_some(), "{name}");
    assert_eq!(refusals(gateway, reason), refused + 1, "{name}: {}", gateway.metrics());
    assert_eq!(app.taken().len(), before, "{name}");
    if reason != "method_not_allowed" {
        assert_eq!(answer.header("connection"), Some("close"), "{name}");
        connection.wait_closed();
    }
}

/// Waits for the 408 of a head that does not come. All other connections were looked at in the same turn.
fn too_late(gateway: &Running, connection: &mut Connection) -> Answer {
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| connection.answer());
        eventually("the end of a head's time", || {
            gateway.advance(Duration::from_secs(1));
            answer.is_finished().then_some(())
        });
        answer.join().unwrap()
    })
}

#[test]
fn every_rule_refuses_with_its_reason_and_takes_what_is_next_to_it() {
    let app = App::start();
    let gateway = start(&app);
    for row in rows() {
        check(&gateway, &app, &row, &mut gateway.connect(), usize::MAX);
    }
}

#[test]
fn a_request_in_pieces_is_the_same_request() {
    let app = App::start();
    let gateway = House::with("github", &github(&app, "")).plain("127.0.0.0/8").start();
    for row in rows() {
        check(&gateway, &app, &row, &mut gateway.connect_plain(), 23);
    }
}

#[test]
fn what_came_before_a_refused_head_is_answered_first_and_what_comes_after_it_is_no_request() {
    let app = App::saying(|taken| Say::status(200, &String::from_utf8_lossy(&taken.body)));
    let gateway = start(&app);
    let good = |body: &str| Delivery::github("push", body).bytes();
    let mut connection = gateway.connect();
    connection.write(&[good("1"), good("2"), edited("content-type:", "content-type :"), good("3")].concat());
    assert_eq!(connection.answer().text(), "1");
    assert_eq!(connection.answer().text(), "2");
    assert_eq!(connection.answer().status, 400);
    connection.wait_closed();
    assert_eq!(app.taken().len(), 2);
    assert_eq!(gateway.record("framing_refused").status, Some(400));
}

/// The library is let go of only after it left such a body behind.
#[test]
fn a_body_that_nobody_reads_is_not_taken_for_a_request() {
    let inside = push().bytes();
    let length = inside.len();
    let head = format!(
        "POST /unknown HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
    );
    let bytes = [head.as_bytes(), &inside].concat();
    let rows = [
        ("the last of its connection", 1, bytes.clone(), 0),
        ("a refused head behind it", 9, [&bytes[..], &edited("content-type:", "content-type :")].concat(), 1),
    ];
    for (name, requests_max, bytes, refused) in rows {
        let app = App::start();
        let house = House::with("github", &github(&app, ""));
        let gateway = house.edge(|edge| edge.requests_per_connection_max = requests_max).start();
        let mut connection = gateway.connect();
        connection.write(&bytes);
        assert_eq!(connection.answer().status, 404, "{name}");
        let more: Vec<_> = std::iter::from_fn(|| connection.try_answer()).map(|answer| answer.status).collect();
        assert_eq!(more, vec![400; refused], "{name}");
        assert!(app.taken().is_empty(), "{name}");
        assert_eq!(refusals(&gateway, "framing_refused"), refused as u64, "{name}");
    }
}

/// How a client begins that is then silent.
type Begin = fn(&Running) -> Connection;

#[test]
fn a_head_that_is_late_is_answered_with_408() {
    let gateway = start(&App::start());
    let rows: [(&str, Begin); 3] = [
        ("nothing", Running::connect),
        ("half a head", |gateway| {
            let mut connection = gateway.connect();
            connection.write(&push().head(2)[..40]);
            connection
        }),
        ("half a second head", |gateway| {
            let mut connection = gateway.connect();
            connection.write(&[&push().bytes()[..], &push().head(2)[..40]].concat());
            assert_eq!(connection.answer().status, 200);
            connection.write(&push().head(2)[40..50]);
            connection
        }),
    ];
    for (name, begin) in rows {
        let mut connection = begin(&gateway);
        let answer = too_late(&gateway, &mut connection);
        assert_eq!((answer.status, answer.header("connection")), (408, Some("close")), "{name}");
        let record = gateway.record_of(&answer);
        assert_eq!((record.reason.as_str(), record.status), ("head_timeout", Some(408)), "{name}");
        connection.wait_closed();
    }
}

/// A connection that waits gives back what only requests need; whoever sends on it does not notice.
#[test]
fn a_connection_that_rested_takes_the_next_request() {
    let app = App::start();
    let gateway = start(&app);
    let mut connection = gateway.connect();
    for round in 0..4 {
        assert_eq!(connection.send(&push()).status, 200, "round {round}");
        // The look over all connections that ends this one is the one that lets the other rest.
        assert_eq!(too_late(&gateway, &mut gateway.connect()).status, 408, "round {round}");
    }
    let half = push().bytes();
    connection.write(&half[..50]);
    connection.write(&half[50..]);
    assert_eq!(connection.answer().status, 200);
    assert_eq!(app.taken().len(), 5);
}

#[test]
fn a_client_that_takes_nothing_of_its_answers_is_let_go() {
    let app = App::saying(|_| Say::status(200, &"x".repeat(1_000_000)));
    let house = House::with("github", &github(&app, "")).edge(|edge| edge.idle_time = Duration::from_secs(1_000_000));
    let gateway = house.start();
    let mut deaf = gateway.connect();
    // More than what the system buffers for both sides.
    deaf.write(&push().bytes().repeat(40));
    eventually("its end", || {
        gateway.advance(Duration::from_secs(15));
        (gateway.metric("hookward_connections") == 0).then_some(())
    });
    assert!(gateway.records().is_empty(), "{:?}", gateway.records());
}

#[test]
fn a_body_has_to_come_at_its_rate_once_its_grace_is_over() {
    for (rate, status) in [(1, 200), (1 << 30, 408)] {
        let house = House::with("github", &github(&App::start(), ""));
        let house = house.edge(|edge| {
            (edge.body_grace_time, edge.body_bytes_per_second_min) = (Duration::from_millis(300), rate);
        });
        let gateway = house.start();
        let mut connection = gateway.connect();
        // At a byte a second what comes first pays for more than this test may take.
        let request = Delivery::github("push", &format!("[{}]", " ".repeat(100))).bytes();
        let (last, first) = request.split_last().unwrap();
        connection.write(first);
        if status == 408 {
            let answer = connection.answer();
            assert_eq!(answer.status, status);
            assert!(gateway.record_of(&answer).facts().contains("bytes_per_second_min"));
            continue;
        }
        connection.write(&[*last]);
        assert_eq!(connection.answer().status, status);
    }
}

#[test]
fn silent_connections_do_not_keep_others_from_shaking_hands() {
    let house = House::with("github", &github(&App::start(), "")).edge(|edge| edge.handshakes_max = 3);
    let gateway = house.start();
    let mut silent: Vec<_> = (1..=3)
        .map(|count| {
            let connection = Connection::raw(gateway.address());
            eventually("its acceptance", || (gateway.metric("hookward_connections") == count).then_some(()));
            connection
        })
        .collect();
    drop(gateway.connect());
    assert!(gateway.records().is_empty(), "three are under way, and are young");
    gateway.advance(Duration::from_secs(1));
    assert_eq!(gateway.connect().send(&push()).status, 200);
    silent[0].wait_closed();
    let record = gateway.record("overloaded");
    assert!(record.facts().contains("handshakes_max"), "{}", record.facts());
    assert_eq!((record.status, gateway.records().len()), (None, 1));
}
