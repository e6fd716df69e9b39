//! Before there is a request: TLS, names, heads, deadlines, caps, and senders that go away.

use std::collections::HashSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use hookward::edge::tls::Certificates;
use rustls::ProtocolVersion;

use crate::gateway::{github, stripe};
use crate::staying_up::unlimited;
use crate::support::app::Door;
use crate::support::client::socket;
use crate::support::h2::Http2;
use crate::support::house::make_certificates;
use crate::support::{App, Connection, Delivery, Hello, House, NOW, Running, Say, Speaks, eventually};

fn start(app: &App) -> Running {
    House::with("github", &github(app, "")).start()
}

fn push() -> Delivery {
    Delivery::github("push", "{}")
}

#[test]
fn certificates_are_chosen_by_name_and_hosts_of_another_one_are_misdirected() {
    let app = App::start();
    let house = House::with("github", &github(&app, ""));
    let gateway = house.certificates(&["localhost", "other.example", "*.wild.example"]).start();
    let connect = |name| Hello { name, ..Hello::new(&gateway) }.connect();
    let names = ["localhost", "other.example", "a.wild.example"];
    let shown: Vec<_> = names.iter().map(|name| connect(name).unwrap().certificate()).collect();
    assert!(shown[0] != shown[1] && shown[1] != shown[2] && shown[0] != shown[2]);
    assert_eq!(connect("b.wild.example").unwrap().certificate(), shown[2]);
    assert!(connect("wild.example").is_err(), "a wildcard is one label");
    assert!(connect("a.b.wild.example").is_err(), "a wildcard is one label");

    let rows = [
        ("localhost", "localhost", 200),
        ("localhost", "LOCALHOST:8443", 200),
        ("localhost", "nobody.example", 200),
        ("localhost", "other.example", 421),
        ("other.example", "other.example", 200),
        ("other.example", "localhost", 421),
        ("other.example", "nobody.example", 421),
        ("a.wild.example", "b.wild.example:443", 200),
        ("a.wild.example", "other.example", 421),
    ];
    for (name, host, status) in rows {
        let answer = connect(name).unwrap().send(&push().replace("host", host));
        assert_eq!(answer.status, status, "HTTP/1.1 to {name} for {host}");
        let second = Http2::connect_as(&gateway, name).authority(host).send(&push());
        assert_eq!(second.status, status, "HTTP/2 to {name} for {host}");
        if status == 421 {
            assert_eq!(gateway.record_of(&answer).reason, "host_mismatch", "{name} for {host}");
            assert_eq!(gateway.record_of(&second).reason, "host_mismatch", "{name} for {host}");
        }
    }
}

#[test]
fn without_sni_the_first_certificate_is_shown_and_every_host_is_served() {
    let app = App::start();
    let house = House::with("github", &github(&app, ""));
    let gateway = house.certificates(&["127.0.0.1", "other.example"]).start();
    let mut connection = Hello { name: "127.0.0.1", ..Hello::new(&gateway) }.connect().unwrap();
    for host in ["other.example", "127.0.0.1", "nobody.example"] {
        assert_eq!(connection.send(&push().replace("host", host)).status, 200, "{host}");
    }
}

#[test]
fn new_handshakes_get_a_new_certificate_and_open_connections_go_on() {
    let gateway = start(&App::start());
    let mut before = gateway.connect();
    assert_eq!(before.send(&push()).status, 200);
    let folder = tempfile::tempdir().unwrap();
    let (files, roots) = make_certificates(folder.path(), &[vec!["localhost".to_owned()]]);
    gateway.server().certificates().unwrap().swap(&Certificates::load(&files).unwrap());

    assert!(Hello::new(&gateway).connect().is_err(), "the old certificate is gone");
    let mut after = Hello { roots, ..Hello::new(&gateway) }.connect().unwrap();
    assert_ne!(before.certificate(), after.certificate());
    assert_eq!(after.send(&push()).status, 200);
    assert_eq!(before.send(&push()).status, 200);
}

#[test]
fn a_certificate_that_changes_again_and_again_fails_no_handshake_and_no_delivery() {
    let gateway = House::with("github", &unlimited(&App::start())).start();
    let folder = tempfile::tempdir().unwrap();
    let (files, roots) =
        make_certificates(folder.path(), &[vec!["localhost".to_owned()], vec!["localhost".to_owned()]]);
    let certificates = files.chunks(1).map(|files| Certificates::load(files).unwrap());
    let [first, second] = certificates.collect::<Vec<_>>().try_into().unwrap();
    let store = gateway.server().certificates().unwrap();
    store.swap(&first);
    let connect = || Hello { roots: roots.clone(), ..Hello::new(&gateway) }.connect().unwrap();
    let (over, made) = (AtomicBool::new(false), AtomicUsize::new(0));
    let deliver = |connection: &mut Connection| assert_eq!(connection.send(&push()).status, 200);
    let shown = thread::scope(|scope| {
        let open = scope.spawn(|| {
            let mut connection = connect();
            while !over.load(Ordering::Relaxed) {
                deliver(&mut connection);
            }
        });
        let new = scope.spawn(|| {
            let mut shown = HashSet::new();
            while !over.load(Ordering::Relaxed) {
                let mut connection = connect();
                shown.insert(connection.certificate());
                deliver(&mut connection);
                made.fetch_add(1, Ordering::Relaxed);
            }
            shown
        });
        for certificates in [&second, &first].into_iter().cycle().take(100) {
            store.swap(certificates);
            let before = made.load(Ordering::Relaxed);
            eventually("a new connection", || {
                (made.load(Ordering::Relaxed) > before || open.is_finished() || new.is_finished()).then_some(())
            });
        }
        over.store(true, Ordering::Relaxed);
        open.join().unwrap();
        new.join().unwrap()
    });
    assert_eq!(shown.len(), 2);
}

/// Which hosts a standing connection is for is asked of the certificates in force, as its next request would be on a new one.
#[test]
fn certificates_that_come_or_change_places_leave_open_connections_as_they_are() {
    let gateway =
        House::with("github", &github(&App::start(), "")).certificates(&["localhost", "other.example"]).start();
    let connect = |name| Hello { name, ..Hello::new(&gateway) }.connect().unwrap();
    let mut open: Vec<_> = ["localhost", "other.example"].into_iter().map(|name| (name, connect(name))).collect();
    let statuses = |open: &mut [(&str, Connection)]| {
        let hosts = ["localhost", "OTHER.example"];
        let send =
            |connection: &mut Connection| hosts.map(|host| connection.send(&push().replace("host", host)).status);
        open.iter_mut().map(|(_, connection)| send(connection)).collect::<Vec<_>>()
    };
    assert_eq!(statuses(&mut open), [[200, 421], [421, 200]]);
    for (change, names, expected) in [
        ("another order", &["other.example", "localhost"][..], [[200, 421], [421, 200]]),
        ("one more in front", &["new.example", "other.example", "localhost"], [[200, 421], [421, 200]]),
        ("one that is gone", &["new.example", "localhost"], [[200, 421], [421, 200]]),
        ("one for all", &["new.example"], [[200, 200], [200, 200]]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<_> = names.iter().map(|name| vec![(*name).to_owned()]).collect();
        let (files, _) = make_certificates(folder.path(), &names);
        gateway.server().certificates().unwrap().swap(&Certificates::load(&files).unwrap());
        assert_eq!(statuses(&mut open), expected, "{change}");
    }
}

#[test]
fn a_certificate_that_does_not_fit_its_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["localhost".to_owned(), "other.example".to_owned()].map(|name| vec![name]);
    let (mut files, _) = make_certificates(folder.path(), &names);
    let key = files[1].key.clone();
    files[0].key = key;
    fs::write(&files[1].certificate, "nothing").unwrap();
    let faults = Certificates::load(&files).unwrap_err();
    assert_eq!(faults.iter().map(|(position, _)| *position).collect::<Vec<_>>(), [0, 1]);
    assert!(faults[0].1.to_string().contains("does not belong to"), "{}", faults[0].1);
}

#[test]
fn tls_1_2_and_1_3_are_spoken_and_the_protocol_is_chosen_by_alpn() {
    let gateway = start(&App::start());
    let versions =
        [(&rustls::version::TLS12, ProtocolVersion::TLSv1_2), (&rustls::version::TLS13, ProtocolVersion::TLSv1_3)];
    for (offered, agreed) in versions {
        let mut connection = Hello { versions: &[offered], ..Hello::new(&gateway) }.connect().unwrap();
        assert_eq!(connection.version(), Some(agreed));
        assert_eq!(connection.send(&push()).status, 200, "{agreed:?}");
    }
    let rows: [(&[&str], Option<&str>); 5] = [
        (&["h2"], Some("h2")),
        (&["h2", "http/1.1"], Some("h2")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ];
    for (protocols, chosen) in rows {
        let connection = Hello { protocols, ..Hello::new(&gateway) }.connect().unwrap();
        assert_eq!(connection.protocol().as_deref(), chosen, "{protocols:?}");
    }
    let mut silent = Hello { protocols: &[], ..Hello::new(&gateway) }.connect().unwrap();
    assert_eq!(silent.send(&push()).status, 200, "HTTP/1.1 where nothing was said");
}

/// How a client begins that goes no further.
type Begin = fn(&Running);

/// How a client begins that is then silent.
type Hold = fn(&Running) -> Connection;

/// A `ClientHello` of TLS 1.1 with two cipher suites of its time (RFC 4346 §7.4.1.2).
fn hello_of_tls_1_1() -> Vec<u8> {
    let mut body = vec![3, 2];
    body.extend_from_slice(&[7; 32]);
    body.extend_from_slice(&[0, 0, 4, 0xc0, 0x13, 0xc0, 0x09, 1, 0, 0, 0]);
    let length = u8::try_from(body.len()).unwrap();
    let mut hello = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    hello.append(&mut body);
    hello
}

#[test]
fn a_client_without_anything_in_common_is_refused_and_recorded() {
    let rows: [(&str, Begin, &str); 5] = [
        ("TLS 1.1", |gateway| talk(gateway, &hello_of_tls_1_1()), "no version or cipher suite in common"),
        ("plain HTTP", |gateway| talk(gateway, b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"), "does not speak TLS"),
        (
            "another protocol",
            |gateway| assert!(Hello { protocols: &["spdy/3"], ..Hello::new(gateway) }.connect().is_err()),
            "neither h2 nor http/1.1",
        ),
        (
            "another authority",
            |gateway| assert!(Hello { name: "other.example", ..Hello::new(gateway) }.connect().is_err()),
            "refused the handshake",
        ),
        ("nothing", |gateway| drop(socket(gateway.address())), "ended in the handshake"),
    ];
    for (name, begin, expected) in rows {
        let gateway = start(&App::start());
        begin(&gateway);
        let record = gateway.record("tls_failed");
        assert!(record.facts().contains(expected), "{name}: {}", record.facts());
        let (source, status, peer) = (record.source, record.status, record.peer);
        assert_eq!((source, status, peer.as_deref()), (None, None, Some("127.0.0.1")), "{name}");
        assert_eq!(gateway.connect().send(&push()).status, 200, "{name}: the next one is served");
    }
}

/// Says this and listens to the end.
fn talk(gateway: &Running, bytes: &[u8]) {
    let mut socket = socket(gateway.address());
    socket.write_all(bytes).unwrap();
    // A reset is an end too.
    let _ = socket.read_to_end(&mut Vec::new());
}

#[test]
fn a_head_over_its_bytes_is_refused_and_recorded() {
    let gateway = start(&App::start());
    assert_eq!(gateway.connect().send(&push().header("x-big", &"x".repeat(15 * 1024))).status, 200);
    assert_eq!(gateway.connect().send(&push().header("x-big", &"x".repeat(17 * 1024))).status, 431);
    assert_eq!(gateway.record("headers_too_large").stage.as_deref(), Some("connection"));
}

#[test]
fn a_head_over_its_bytes_is_refused_and_recorded_in_http2_too() {
    let gateway = start(&App::start());
    assert_eq!(Http2::connect(&gateway).send(&push().header("x-big", &"x".repeat(14 * 1024))).status, 200);
    assert_eq!(Http2::connect(&gateway).send(&push().header("x-big", &"x".repeat(17 * 1024))).status, 431);
    assert_eq!(gateway.record("headers_too_large").stage.as_deref(), Some("connection"));
}

/// As HTTP/2 counts them: each field with 32 bytes more, and those that are parts of the request line in HTTP/1 as well.
#[test]
fn a_head_of_exactly_its_bytes_is_taken_in_http2_too() {
    let house = House::with("github", &github(&App::start(), ""));
    let gateway = house.edge(|edge| edge.head_bytes_max = 8192).start();
    let pseudo = [(":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", "/hooks/github")];
    let length = push().body.len().to_string();
    let delivery = push().without("host").header("x-fill", "");
    let fields = delivery.headers.iter().map(|(name, value)| (&**name, &**value));
    let empty: usize = fields
        .chain(pseudo)
        .chain([("content-length", &*length)])
        .map(|(name, value)| name.len() + value.len() + 32)
        .sum();
    for (bytes, status) in [(8191, 200), (8192, 200), (8193, 431)] {
        let fill = "x".repeat(bytes - empty);
        assert_eq!(Http2::connect(&gateway).send(&push().header("x-fill", &fill)).status, status, "{bytes} bytes");
        // The same bytes in the authority, which is then another's: what counts is whether it came so far.
        let mut other = Http2::connect(&gateway).authority(&format!("localhost{fill}"));
        let is_too_large = other.send(&push().header("x-fill", "")).status == 431;
        assert_eq!(is_too_large, status == 431, "{bytes} bytes, many of them in the authority");
    }
}

#[test]
fn a_head_of_exactly_its_bytes_is_taken() {
    let house = House::with("github", &github(&App::start(), ""));
    let gateway = house.edge(|edge| edge.head_bytes_max = 8192).start();
    let empty = push().header("x-fill", "").head(2).len();
    for (bytes, status) in [(8191, 200), (8192, 200), (8193, 431)] {
        let delivery = push().header("x-fill", &"x".repeat(bytes - empty));
        assert_eq!(delivery.head(2).len(), bytes);
        assert_eq!(gateway.connect().send(&delivery).status, status, "{bytes} bytes");
    }
}

#[test]
fn too_many_fields_are_refused_and_recorded() {
    for protocol in Speaks::BOTH {
        let house = House::with("github", &github(&App::start(), ""));
        let gateway = house.edge(|edge| edge.headers_max = 16).start();
        let with = |fields: usize| {
            let mut delivery = push();
            // Content-Length is one too; in HTTP/2 Host is none.
            let own = delivery.headers.len() + 1 - usize::from(protocol == Speaks::Http2);
            for number in own..fields {
                delivery = delivery.header(&format!("x-field-{number}"), "1");
            }
            delivery
        };
        for (fields, status) in [(15, 200), (16, 200), (17, 431)] {
            let answer = protocol.send(&gateway, &with(fields));
            assert_eq!(answer.status, status, "{fields} fields, {protocol:?}");
        }
        assert_eq!(gateway.record("headers_too_large").peer.as_deref(), Some("127.0.0.1"), "{protocol:?}");
    }
}

#[test]
fn a_target_over_its_bytes_is_refused_and_recorded() {
    let gateway = start(&App::start());
    let target = |bytes: usize| format!("/hooks/github?{}", "x".repeat(bytes - "/hooks/github?".len()));
    for (bytes, expected) in [(2047, 200), (2048, 200), (2049, 414)] {
        for protocol in Speaks::BOTH {
            let status = protocol.send(&gateway, &push().target(&target(bytes))).status;
            assert_eq!(status, expected, "{bytes} bytes, {protocol:?}");
        }
    }
    assert_eq!(gateway.record("uri_too_long").status, Some(414));
}

#[test]
fn what_is_not_http_is_refused_and_recorded() {
    let rows: [&[u8]; 5] = [
        b"nonsense\r\n\r\n",
        b"POST /hooks/github HTTP/1.0\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /hooks/github HTTP/1.1\r\nhost : localhost\r\n\r\n",
        b"POST /hooks/github HTTP/1.1\r\nhost: localhost\r\ncontent-length: +2\r\n\r\n{}",
        b"POST /hooks/github HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
    ];
    for bytes in rows {
        let name = String::from_utf8_lossy(bytes);
        let gateway = start(&App::start());
        let mut connection = gateway.connect();
        connection.write(bytes);
        let status = connection.try_answer().map(|answer| answer.status);
        assert_eq!(status, Some(400), "{name}");
        connection.wait_closed();
        assert_eq!(gateway.record("framing_refused").peer.as_deref(), Some("127.0.0.1"), "{name}");
    }
}

/// Defect y, at the edge: what hyper answers by itself is recorded as it was answered.
#[test]
fn a_connections_record_has_the_status_that_was_told() {
    let large = push().header("x-big", &"x".repeat(17 * 1024)).bytes();
    for (reason, status, bytes) in
        [("framing_refused", 400, &b"nonsense\r\n\r\n"[..]), ("headers_too_large", 431, &large)]
    {
        let gateway = start(&App::start());
        let mut connection = gateway.connect();
        connection.write(bytes);
        assert_eq!(connection.answer().status, status, "{reason}");
        assert_eq!(gateway.record(reason).status, Some(status), "{reason}");
    }
}

/// A connection that is held up, at each of its phases. The clock is moved until the gateway has had enough.
#[test]
fn a_connection_that_stays_silent_is_closed_and_recorded() {
    let hour = Duration::from_secs(3600);
    let rows: [(&str, &str, Hold); 6] = [
        ("no handshake", "tls_failed", |gateway| Connection::raw(gateway.address())),
        ("half a handshake", "tls_failed", |gateway| {
            let mut connection = Connection::raw(gateway.address());
            connection.write(&hello_of_tls_1_1()[..20]);
            connection
        }),
        ("no request", "head_timeout", Running::connect),
        ("no request, HTTP/2", "head_timeout", |gateway| {
            Hello { protocols: &["h2"], ..Hello::new(gateway) }.connect().unwrap()
        }),
        ("half a head", "head_timeout", |gateway| {
            let mut connection = gateway.connect();
            connection.write(&push().head(2)[..40]);
            connection
        }),
        ("half a second head", "head_timeout", |gateway| {
            let mut connection = gateway.connect();
            assert_eq!(connection.send(&push()).status, 200);
            connection.write(&push().head(2)[..40]);
            connection
        }),
    ];
    for (name, reason, begin) in rows {
        let house = House::with("github", &github(&App::start(), "")).edge(|edge| {
            // The other deadlines are out of the way.
            (edge.handshake_time, edge.idle_time, edge.connection_time) = (hour * 1000, hour * 1000, hour * 1000);
            if reason == "tls_failed" {
                edge.handshake_time = Duration::from_secs(5);
            }
        });
        let gateway = house.start();
        let mut connection = begin(&gateway);
        let record = eventually(name, || {
            gateway.advance(Duration::from_secs(10));
            gateway.records().into_iter().next()
        });
        assert_eq!(record.reason, reason, "{name}");
        connection.wait_closed();
        eventually("the end of the connection", || (gateway.metric("hookward_connections") == 0).then_some(()));
        assert_eq!(gateway.records().len(), 1, "{name}");
    }
}

#[test]
fn an_idle_connection_is_closed_without_a_record() {
    let gateway = start(&App::start());
    let mut connection = gateway.connect();
    assert_eq!(connection.send(&push()).status, 200);
    eventually("the end of an idle connection", || {
        gateway.advance(Duration::from_secs(61));
        (gateway.metric("hookward_connections") == 0).then_some(())
    });
    connection.wait_closed();
    assert!(gateway.records().is_empty());
}

#[test]
fn a_body_slower_than_its_deadline_costs_408() {
    let house = House::with("github", &github(&App::start(), ""));
    let gateway = house.edge(|edge| edge.body_time = Duration::from_millis(200)).start();
    for (name, sent) in [("no byte", &b""[..]), ("some", b"{")] {
        let mut connection = gateway.connect();
        connection.write(&push().head(2));
        connection.write(sent);
        let answer = connection.answer();
        assert_eq!(answer.status, 408, "{name}");
        let record = gateway.record_of(&answer);
        assert_eq!((record.reason.as_str(), record.source.as_deref()), ("body_timeout", Some("github")), "{name}");
        connection.wait_closed();
    }
}

#[test]
fn connections_are_capped_in_all_and_for_each_client() {
    for (name, in_all, per_client) in [("per client", 100, 2), ("in all", 2, 100)] {
        let house = House::with("github", &github(&App::start(), ""));
        let house = house.edge(|edge| (edge.connections_max, edge.connections_per_client_max) = (in_all, per_client));
        let gateway = house.start();
        let mut connections: Vec<_> = (0..2).map(|_| gateway.connect()).collect();
        for connection in &mut connections {
            assert_eq!(connection.send(&push()).status, 200, "{name}");
        }
        assert!(Hello::new(&gateway).connect().is_err(), "{name}: one too many");
        assert_eq!(gateway.record("overloaded").peer.as_deref(), Some("127.0.0.1"), "{name}");
        assert_eq!(connections[0].send(&push()).status, 200, "{name}: the others go on");
        connections.pop().unwrap().close();
        let mut next = eventually("a free place", || Hello::new(&gateway).connect().ok());
        assert_eq!(next.send(&push()).status, 200, "{name}");
    }
}

#[test]
fn requests_on_a_connection_are_counted() {
    let house = House::with("github", &github(&App::start(), ""));
    let gateway = house.edge(|edge| edge.requests_per_connection_max = 3).start();
    let mut connection = gateway.connect();
    for (number, ends) in [(1, None), (2, None), (3, Some("close"))] {
        let answer = connection.send(&push());
        assert_eq!((answer.status, answer.header("connection")), (200, ends), "request {number}");
    }
    connection.wait_closed();
}

#[test]
fn a_client_that_does_not_wait_for_answers_is_let_go_and_can_read_them() {
    for (requests, answered) in [(4, 4), (5, 4), (400, 4)] {
        let app = App::start();
        let house = House::with("github", &github(&app, ""));
        let gateway = house.edge(|edge| edge.pipelined_requests_max = 4).start();
        let mut connection = gateway.connect();
        connection.write(&push().bytes().repeat(requests));
        let answers: Vec<_> = std::iter::from_fn(|| connection.try_answer()).take(answered).collect();
        let ends = answers.iter().map(|answer| answer.header("connection") == Some("close"));
        let last = requests > answered;
        let expected: Vec<_> = (1..=answered).map(|number| last && number == answered).collect();
        assert_eq!(ends.collect::<Vec<_>>(), expected, "{requests} requests");
        if last {
            connection.wait_closed();
        } else {
            assert_eq!(connection.send(&push()).status, 200, "it goes on");
        }
        assert_eq!(app.taken().len(), answered + usize::from(!last), "{requests} requests");
    }
}

#[test]
fn a_sender_may_ask_before_it_sends_a_body_and_expect_nothing_else() {
    let app = App::start();
    let gateway = start(&app);
    let mut connection = gateway.connect();
    connection.write(&push().header("expect", "100-continue").head(2));
    assert_eq!(connection.answer().status, 100);
    connection.write(b"{}");
    assert_eq!(connection.answer().status, 200);
    assert_eq!(app.only().header("expect"), None);

    for expect in ["200-ok", "100-continue, x", "100-continue;q=1"] {
        let answer = gateway.connect().send(&push().header("expect", expect));
        assert_eq!(answer.status, 417, "{expect}");
        assert_eq!(gateway.record_of(&answer).reason, "expectation_refused", "{expect}");
    }
    assert_eq!(app.taken().len(), 1);
}

#[test]
fn an_expectation_on_a_second_line_is_refused_like_one_on_the_first() {
    let gateway = start(&App::start());
    for expects in [["x", "100-continue"], ["100-continue", "x"]] {
        let delivery = expects.iter().fold(push(), |delivery, expect| delivery.header("expect", expect));
        assert_eq!(gateway.connect().send(&delivery).status, 417, "{expects:?}");
    }
}

/// What is left of a refused request is never the next one.
#[test]
fn a_request_in_the_body_of_a_refused_one_is_not_served() {
    let app = App::start();
    let gateway = start(&app);
    let smuggled = push().target("/hooks/github?smuggled").bytes();
    for filler in [0, 100_000] {
        let mut body = vec![b' '; filler];
        body.extend_from_slice(&smuggled);
        let mut connection = gateway.connect();
        connection.write(&push().without("x-hub-signature-256").body(&body).bytes());
        // The connection may be gone by the time it is read.
        let refused = connection.try_answer().map_or(401, |answer| answer.status);
        assert_eq!(refused, 401, "{filler} bytes before");
        connection.write(&push().bytes());
        if let Some(answer) = connection.try_answer() {
            assert_eq!(answer.status, 200, "{filler} bytes before: the second request itself");
        }
    }
    assert!(app.taken().iter().all(|taken| !taken.line.contains("smuggled")), "{:?}", app.taken());
}

#[test]
fn a_sender_that_goes_away_within_the_body_leaves_a_record_and_nothing_at_the_app() {
    let app = App::start();
    let gateway = start(&app);
    let mut connection = gateway.connect();
    connection.write(&push().head(100));
    connection.write(b"{\"half\":");
    eventually("the delivery under way", || (gateway.shared().limits.in_flight() == 1).then_some(()));
    connection.close();
    let record = gateway.record("body_truncated");
    assert_eq!(record.source.as_deref(), Some("github"));
    eventually("its place", || (gateway.shared().limits.in_flight() == 0).then_some(()));
    assert_eq!(gateway.shared().limits.bytes().used(), 0);
    assert_eq!((gateway.records().len(), app.taken().len()), (1, 0));
}

#[test]
fn a_sender_that_goes_away_after_authentication_does_not_stop_its_delivery() {
    for protocol in Speaks::BOTH {
        let door = Door::default();
        let waiting = door.clone();
        let app = App::saying(move |_| {
            waiting.wait();
            Say::status(200, "ok")
        });
        let gateway = House::with("stripe", &stripe(&app, "")).start();
        let delivery = Delivery::stripe("{}", NOW);
        if protocol == Speaks::Http2 {
            let seen = app.clone();
            Http2::connect(&gateway).send_and_go(&delivery, move || drop(seen.wait_taken(1)));
        } else {
            let mut connection = gateway.connect();
            connection.write(&delivery.bytes());
            app.wait_taken(1);
            connection.close();
        }
        eventually("the end of its connection", || (gateway.metric("hookward_connections") == 0).then_some(()));
        door.open();
        let id = app.only().header("x-hookward-delivery").unwrap().to_owned();
        eventually("its line in the access log", || gateway.access_text().contains(&id).then_some(()));
        assert_eq!(
            gateway.connect().send(&delivery).status,
            200,
            "{protocol:?}: it was accepted, and this is a duplicate"
        );
        assert_eq!(gateway.record("replayed").status, Some(200), "{protocol:?}");
        assert_eq!(gateway.access_text().matches(&id).count(), 1, "{protocol:?}: recorded once");
        assert_eq!((gateway.records().len(), app.taken().len()), (1, 1), "{protocol:?}");
    }
}

#[test]
fn the_accept_loop_outlives_connections_that_are_reset() {
    let gateway = start(&App::start());
    for _ in 0..50 {
        drop(socket(gateway.address()));
    }
    assert_eq!(gateway.connect().send(&push()).status, 200);
}

#[test]
fn a_host_that_is_none_is_refused() {
    let gateway = start(&App::start());
    let hosts = [
        "",
        "a b",
        "a,b",
        "user@localhost",
        "localhost/x",
        "localhost:99999",
        "localhost:+1",
        "[::1",
        "[::1]x",
        "[x]",
        "a?b",
    ];
    for host in hosts {
        let answer = gateway.connect().send(&push().replace("host", host));
        assert_eq!(answer.status, 400, "{host:?}");
        assert_eq!(gateway.record_of(&answer).reason, "header_malformed", "{host:?}");
    }
    // What a client of ours can put into `:authority` at all.
    for authority in ["a,b", "user@localhost", "localhost:99999", "localhost:", "a;b", "localhost,evil.example", "a=b"]
    {
        let answer = Http2::connect(&gateway).authority(authority).send(&push());
        assert_eq!(answer.status, 400, "{authority:?}");
        assert_eq!(gateway.record_of(&answer).reason, "header_malformed", "{authority:?}");
    }
    for authority in ["localhost", "localhost:443"] {
        assert_eq!(Http2::connect(&gateway).authority(authority).send(&push()).status, 200, "{authority:?}");
    }
    for (target, status) in [("http://localhost/hooks/github", 200), ("http://a,b/hooks/github", 400)] {
        let head = push().without("host").target(target).head(2);
        let mut connection = gateway.connect();
        connection.write(
            &[&String::from_utf8(head).unwrap().replace("HTTP/1.1", "HTTP/1.0").into_bytes()[..], b"{}"].concat(),
        );
        assert_eq!(connection.answer().status, status, "{target} in HTTP/1.0, which needs no Host");
    }
    let answer = gateway.connect().send(&push().header("host", "localhost"));
    assert_eq!((answer.status, gateway.record_of(&answer).reason.as_str()), (400, "header_duplicated"));
    for (target, status) in [("https://localhost/hooks/github", 200), ("https://other.example/hooks/github", 400)] {
        assert_eq!(gateway.connect().send(&push().target(target)).status, status, "{target}");
    }
}

/// A body that is coded for the way is not the body that was signed (RFC 9112 §6.1).
#[test]
fn a_transfer_coding_other_than_one_chunked_is_refused() {
    let app = App::start();
    let gateway = start(&app);
    let rows = [
        ("chunked", "transfer-encoding: chunked\r\n", true),
        ("coded", "transfer-encoding: gzip, chunked\r\n", false),
        ("twice", "transfer-encoding: chunked, chunked\r\n", false),
        ("on two lines", "transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n", false),
        ("twice on two lines", "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", false),
    ];
    let accepted = rows.iter().filter_map(|(name, framing, expected)| {
        let mut connection = gateway.connect();
        connection.write(&push().head_with(framing));
        connection.write(b"2\r\n{}\r\n0\r\n\r\n");
        let taken = connection.try_answer().is_some_and(|answer| answer.status == 200);
        (taken != *expected).then_some(*name)
    });
    assert_eq!(accepted.collect::<Vec<_>>(), Vec::<&str>::new(), "were accepted");
}

/// Two framings: the chunks count, and the connection does not go on (RFC 9112 §6.3).
#[test]
fn nothing_comes_after_a_request_with_two_framings() {
    let app = App::start();
    let gateway = start(&app);
    let mut connection = gateway.connect();
    connection.write(&push().head_with("transfer-encoding: chunked\r\ncontent-length: 100\r\n"));
    connection.write(b"2\r\n{}\r\n0\r\n\r\n");
    connection.write(&push().target("/hooks/github?smuggled").bytes());
    while connection.try_answer().is_some() {}
    assert!(app.taken().iter().all(|taken| !taken.line.contains("smuggled") && taken.body == b"{}"));
}

#[test]
fn requests_that_come_together_are_answered_in_their_order() {
    let app = App::saying(|taken| Say::status(200, &String::from_utf8_lossy(&taken.body)));
    let gateway = start(&app);
    let mut connection = gateway.connect();
    let bodies = ["1", "2", "3"];
    let requests: Vec<u8> = bodies.iter().flat_map(|body| Delivery::github("push", body).bytes()).collect();
    connection.write(&requests);
    for body in bodies {
        assert_eq!(connection.answer().text(), body);
    }
}

#[test]
fn streams_of_one_http2_connection_do_not_wait_for_each_other() {
    let door = Door::default();
    let waiting = door.clone();
    let app = App::saying(move |taken| {
        if taken.body == b"1" {
            waiting.wait();
        }
        Say::status(200, "ok")
    });
    let gateway = start(&app);
    let (slow, fast) = (Delivery::github("push", "1"), Delivery::github("push", "2"));
    let statuses = Http2::connect(&gateway).send_both(&slow, &fast, || door.open());
    assert_eq!(statuses, [200, 200]);
}

/// A sender that is still sending its body when it is refused gets to read why (RFC 9112 §9.6).
#[test]
fn a_sender_that_is_refused_while_it_is_sending_can_read_the_answer() {
    let app = App::start();
    let gateway = House::with("github", &github(&app, "")).plain("127.0.0.0/8").start();
    let large = vec![b'x'; 8_000_000];
    let rows = [
        ("no credential", 401, push().without("x-hub-signature-256").body(&large)),
        ("too large", 413, push().body(&large)),
        ("no source", 404, push().target("/hooks/nobody").body(&large)),
    ];
    let mut lost = Vec::new();
    for (name, status, delivery) in rows {
        for connect in [Running::connect_plain, Running::connect].repeat(3) {
            let mut connection = connect(&gateway);
            connection.write(&delivery.bytes());
            match connection.try_answer() {
                Some(answer) => {
                    assert_eq!((answer.status, answer.header("connection")), (status, Some("close")), "{name}");
                }
                None => lost.push(name),
            }
        }
    }
    assert_eq!(lost, Vec::<&str>::new(), "answers were lost");
}
