//! The PROXY protocol: who is behind a load balancer that does not speak HTTP, as it says before everything else.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use hookward::policy::gateway_config::ForwardingField;

use crate::gateway::github;
use crate::support::client::socket;
use crate::support::{Answer, App, Connection, Delivery, Hello, House, Running, eventually};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What is spoken behind the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listener {
    Https,
    Http,
}

impl Listener {
    const BOTH: [Self; 2] = [Self::Https, Self::Http];

    /// A connection that begins with these bytes.
    fn connect(self, gateway: &Running, first: &[u8]) -> Option<Connection> {
        match self {
            Self::Https => Hello { first, ..Hello::new(gateway) }.connect().ok(),
            Self::Http => {
                let mut connection = gateway.connect_plain();
                connection.write(first);
                Some(connection)
            }
        }
    }

    /// What comes of a delivery on such a connection; nothing if the gateway ends it.
    fn send(self, gateway: &Running, first: &[u8], delivery: &Delivery) -> Option<Answer> {
        let mut connection = self.connect(gateway, first)?;
        connection.write(&delivery.bytes());
        connection.try_answer()
    }

    fn address(self, gateway: &Running) -> std::net::SocketAddr {
        match self {
            Self::Https => gateway.address(),
            Self::Http => gateway.plain_address(),
        }
    }
}

/// A header of version 2 with this command, family and rest.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, rest].concat()
}

/// A header of version 2 that names an IPv4 client.
fn naming([a, b, c, d]: [u8; 4]) -> Vec<u8> {
    binary(0x21, 0x11, &[a, b, c, d, 127, 0, 0, 1, 0x30, 0x39, 0x01, 0xbb])
}

fn ipv6_addresses() -> Vec<u8> {
    let [source, destination] = ["2001:db8::7", "::1"].map(|text| text.parse::<std::net::Ipv6Addr>().unwrap().octets());
    [&source[..], &destination, &[0x30, 0x39, 0x01, 0xbb]].concat()
}

fn push() -> Delivery {
    Delivery::github("push", "{}")
}

/// A gateway with both listeners, behind proxies on the loopback and in one more network.
fn start(app: &App, more: &str) -> Running {
    house(app, more).start()
}

fn house(app: &App, more: &str) -> House {
    House::with("github", &github(app, more)).plain("127.0.0.0/8").proxied(&["127.0.0.0/8", "10.0.0.0/8"])
}

/// How many connections were refused for what they began with, once there are as many as this.
fn wait_refused(gateway: &Running, expected: i64) {
    let sample =
        "hookward_rejections_total{source=\"\",stage=\"connection\",reason=\"framing_refused\",blame=\"sender\"}";
    eventually("refused connections", || (gateway.metric(sample) >= expected).then_some(()));
    assert_eq!(gateway.metric(sample), expected);
}

#[test]
fn the_client_is_who_the_header_names() {
    let fields = [0xea, 0, 2, 1, 2];
    let rows = [
        ("v1, IPv4", b"PROXY TCP4 198.51.100.7 127.0.0.1 12345 443\r\n".to_vec(), "198.51.100.7"),
        ("v1, IPv6", b"PROXY TCP6 2001:db8::7 ::1 12345 443\r\n".to_vec(), "2001:db8::7"),
        ("v1, unknown", b"PROXY UNKNOWN 198.51.100.7 127.0.0.1 12345 443\r\n".to_vec(), "127.0.0.1"),
        ("v2, IPv4", naming([198, 51, 100, 7]), "198.51.100.7"),
        ("v2, IPv6", binary(0x21, 0x21, &ipv6_addresses()), "2001:db8::7"),
        ("v2, with fields", binary(0x21, 0x21, &[&ipv6_addresses()[..], &fields].concat()), "2001:db8::7"),
        (
            "v2, more than one look",
            {
                let filler = [&[4, 3, 0][..], &[0; 768]].concat();
                binary(0x21, 0x21, &[&ipv6_addresses()[..], &filler].concat())
            },
            "2001:db8::7",
        ),
        ("v2, local", binary(0x20, 0x00, &[]), "127.0.0.1"),
        ("v2, unknown", binary(0x21, 0x00, &[]), "127.0.0.1"),
    ];
    let app = App::start();
    let gateway = start(&app, "");
    for listener in Listener::BOTH {
        for (name, header, client) in &rows {
            let before = app.taken().len();
            let answer = listener.send(&gateway, header, &push()).unwrap();
            assert_eq!(answer.status, 200, "{listener:?}: {name}");
            assert_eq!(app.taken()[before].header("x-forwarded-for"), Some(*client), "{listener:?}: {name}");
            let forged = push().replace("x-hub-signature-256", &format!("sha256={}", "0".repeat(64)));
            let refused = listener.send(&gateway, header, &forged).unwrap();
            assert_eq!(gateway.record_of(&refused).peer.as_deref(), Some(*client), "{listener:?}: {name}");
        }
    }
}

#[test]
fn a_header_may_come_in_pieces_and_with_what_follows_it() {
    let app = App::start();
    let gateway = start(&app, "");
    let headers = [naming([198, 51, 100, 7]), b"PROXY TCP4 198.51.100.7 127.0.0.1 12345 443\r\n".to_vec()];
    for header in headers {
        for pieces in [1, 2, 7, header.len() - 1] {
            let mut connection = gateway.connect_plain();
            for piece in header.chunks(pieces) {
                connection.write(piece);
            }
            assert_eq!(connection.send(&push()).status, 200, "{pieces}");
        }
        let mut connection = gateway.connect_plain();
        connection.write(&[header, push().bytes()].concat());
        assert_eq!(connection.answer().status, 200, "in one piece with a request");
    }
    assert!(app.taken().iter().all(|taken| taken.header("x-forwarded-for") == Some("198.51.100.7")));
}

/// Headers are looked at 256 bytes at a time.
#[test]
fn a_header_ends_where_it_ends_however_many_looks_it_takes() {
    let app = App::start();
    let gateway = start(&app, "");
    for length in [255, 256, 257, 511, 512, 513, 4095, 4096] {
        let addresses = ipv6_addresses();
        let filler = u16::try_from(length - 16 - addresses.len() - 3).unwrap();
        let field = [&[4][..], &filler.to_be_bytes(), &vec![0; filler.into()]].concat();
        let header = binary(0x21, 0x21, &[addresses, field].concat());
        assert_eq!(header.len(), length);
        let mut connection = gateway.connect_plain();
        connection.write(&[&header[..], &push().bytes()].concat());
        assert_eq!(connection.answer().status, 200, "{length}: in one piece with a request");
        assert_eq!(Listener::Https.send(&gateway, &header, &push()).unwrap().status, 200, "{length}: before TLS");
    }
    assert!(app.taken().iter().all(|taken| taken.header("x-forwarded-for") == Some("2001:db8::7")));
}

#[test]
fn a_header_that_ends_before_its_end_is_refused() {
    let gateway = start(&App::start(), "");
    let mut refused = 0;
    for header in [naming([198, 51, 100, 7]), b"PROXY TCP4 198.51.100.7 127.0.0.1 12345 443\r\n".to_vec()] {
        for length in 1..header.len() {
            for listener in Listener::BOTH {
                let mut socket = socket(listener.address(&gateway));
                socket.write_all(&header[..length]).unwrap();
                socket.shutdown(std::net::Shutdown::Write).unwrap();
                assert_eq!(socket.read(&mut [0; 16]).unwrap_or_default(), 0, "{listener:?}: {length} bytes");
                refused += 1;
            }
        }
    }
    wait_refused(&gateway, refused);
    let record = gateway.record("framing_refused");
    assert_eq!(record.facts(), "rule=the connection ended in its PROXY header");
    assert_eq!((record.source, record.status, record.peer.as_deref()), (None, None, Some("127.0.0.1")));
}

#[test]
fn what_begins_in_another_way_is_refused_to_the_bit() {
    let app = App::start();
    let gateway = start(&app, "");
    let line = b"PROXY TCP4 198.51.100.7 127.0.0.1 12345 443\r\n".to_vec();
    let mut refused = 0;
    for (header, start) in [(naming([198, 51, 100, 7]), SIGNATURE.len()), (line, "PROXY ".len())] {
        for bit in 0..start * 8 {
            let mut flipped = header.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let answer = Listener::Http.send(&gateway, &flipped, &push());
            assert!(answer.is_none(), "bit {bit}: {answer:?}");
            refused += 1;
        }
    }
    for listener in Listener::BOTH {
        assert!(listener.send(&gateway, b"", &push()).is_none(), "{listener:?}: no header at all");
        let twice = naming([198, 51, 100, 7]).repeat(2);
        assert!(listener.send(&gateway, &twice, &push()).is_none_or(|answer| answer.status == 400), "{listener:?}");
    }
    // A second header is what follows the first one: no TLS, no HTTP.
    gateway.record("tls_failed");
    wait_refused(&gateway, refused + 3);
    assert_eq!(app.taken().len(), 0);
}

#[test]
fn a_header_from_anybody_else_is_none() {
    let app = App::start();
    let gateway = House::with("github", &github(&app, "")).plain("10.0.0.0/8").proxied(&["10.0.0.0/8"]).start();
    let header = naming([198, 51, 100, 7]);
    assert!(Listener::Https.send(&gateway, &header, &push()).is_none());
    assert_eq!(gateway.record("tls_failed").peer.as_deref(), Some("127.0.0.1"));
    assert!(Listener::Http.send(&gateway, &header, &push()).is_none());
    assert_eq!(gateway.record("address_refused").peer.as_deref(), Some("127.0.0.1"));
    assert_eq!(gateway.connect().send(&push().header("x-forwarded-for", "198.51.100.7")).status, 200);
    assert_eq!(app.only().header("x-forwarded-for"), Some("127.0.0.1"), "served as it is");
}

/// The proxy that sends the header does not write fields; whoever it names may be one that does.
#[test]
fn a_forwarding_field_is_believed_if_the_named_client_is_a_trusted_proxy() {
    let rows = [
        ("a trusted proxy", naming([10, 0, 0, 1]), "203.0.113.9"),
        ("somebody else", naming([198, 51, 100, 7]), "198.51.100.7"),
        ("the proxy itself", binary(0x20, 0x00, &[]), "127.0.0.1"),
        ("nobody knows", b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
    ];
    let app = App::start();
    let gateway = start(&app, "");
    let delivery = push().header("x-forwarded-for", "203.0.113.9").header("x-forwarded-proto", "https");
    for (name, header, client) in rows {
        let before = app.taken().len();
        assert_eq!(Listener::Http.send(&gateway, &header, &delivery).unwrap().status, 200, "{name}");
        let taken = &app.taken()[before];
        assert_eq!(taken.header("x-forwarded-for"), Some(client), "{name}");
        let spoken = if client == "203.0.113.9" { "https" } else { "http" };
        assert_eq!(taken.header("x-forwarded-proto"), Some(spoken), "{name}");
    }
}

#[test]
fn one_forwarding_field_counts_and_it_is_the_configured_one() {
    let rows = [
        (ForwardingField::XForwardedFor, "203.0.113.9", "http"),
        (ForwardingField::Forwarded, "198.51.100.7", "https"),
    ];
    for (field, client, spoken) in rows {
        let app = App::start();
        let gateway = House::with("github", &github(&app, "")).plain("127.0.0.0/8").named_in(field).start();
        let delivery = push().header("x-forwarded-for", "203.0.113.9");
        let delivery = delivery.header("forwarded", "for=192.0.2.66, for=\"198.51.100.7:4711\";proto=https");
        assert_eq!(gateway.connect_plain().send(&delivery).status, 200);
        let taken = app.only();
        assert_eq!(taken.header("x-forwarded-for"), Some(client), "{field:?}");
        assert_eq!(taken.header("x-forwarded-proto"), Some(spoken), "{field:?}");
    }
}

#[test]
fn networks_and_budgets_are_those_of_the_named_client() {
    let more = "[network]\nallow = [\"198.51.100.0/24\"]\n[limit]\nfailures = { per_minute = 1, block_seconds = 60 }\n";
    let gateway = start(&App::start(), more);
    let forged = push().replace("x-hub-signature-256", &format!("sha256={}", "0".repeat(64)));
    let rows = [
        ("elsewhere", [203, 0, 113, 9], push(), 403),
        ("a failure", [198, 51, 100, 7], forged, 401),
        ("blocked", [198, 51, 100, 7], push(), 429),
        ("another client of the same proxy", [198, 51, 100, 8], push(), 200),
    ];
    for (name, client, delivery, status) in rows {
        let answer = Listener::Https.send(&gateway, &naming(client), &delivery).unwrap();
        assert_eq!(answer.status, status, "{name}");
    }
}

#[test]
fn connections_count_for_the_named_client_and_among_all() {
    let app = App::start();
    for (name, in_all, per_client, reached) in
        [("per client", 100, 2, "connections_per_client_max"), ("in all", 4, 2, "connections_max")]
    {
        let house = house(&app, "");
        let house = house.edge(|edge| (edge.connections_max, edge.connections_per_client_max) = (in_all, per_client));
        let gateway = house.start();
        let clients = [[198, 51, 100, 7], [198, 51, 100, 7], [198, 51, 100, 8], [198, 51, 100, 8]];
        let connect = |client| Listener::Https.connect(&gateway, &naming(client));
        let mut held: Vec<_> = clients.iter().map(|client| connect(*client).unwrap()).collect();
        for connection in &mut held {
            assert_eq!(connection.send(&push()).status, 200, "{name}");
        }
        let next = if in_all == 4 { [198, 51, 100, 9] } else { [198, 51, 100, 7] };
        assert!(connect(next).is_none(), "{name}: one too many");
        let record = gateway.record("overloaded");
        let peer = if in_all == 4 { "127.0.0.1" } else { "198.51.100.7" };
        assert_eq!((record.facts(), record.peer.as_deref()), (format!("limit={reached}"), Some(peer)), "{name}");
        held.remove(0).close();
        let mut again = eventually("a free place", || connect(next));
        assert_eq!(again.send(&push()).status, 200, "{name}");
    }
}

#[test]
fn a_silent_proxy_has_the_time_of_a_handshake_or_of_a_head() {
    type Begin = fn(&Running) -> Connection;
    let rows: [(&str, Begin, u64, &str); 4] = [
        ("before the header, https", |gateway| Connection::raw(gateway.address()), 5, "tls_failed"),
        ("before the header, http", Running::connect_plain, 10, "head_timeout"),
        ("in the header, http", |gateway| begun(gateway, &SIGNATURE[..5]), 10, "head_timeout"),
        ("behind the header, http", |gateway| begun(gateway, &naming([198, 51, 100, 7])), 10, "head_timeout"),
    ];
    for (name, begin, seconds, reason) in rows {
        let gateway = start(&App::start(), "");
        let mut connection = begin(&gateway);
        eventually("a connection", || (gateway.metric("hookward_connections") == 1).then_some(()));
        gateway.advance(Duration::from_millis(seconds * 1000 - 1));
        assert_eq!(gateway.records().len(), 0, "{name}");
        gateway.advance(Duration::from_millis(1));
        assert_eq!(gateway.record(reason).stage.as_deref(), Some("connection"), "{name}");
        connection.wait_closed();
        drop(connection);
        eventually("its place", || (gateway.metric("hookward_connections") == 0).then_some(()));
    }
}

/// A connection whose client is not named yet counts under no client's cap.
#[test]
fn silent_connections_of_a_proxy_do_not_keep_its_clients_out() {
    let client = naming([198, 51, 100, 7]);
    for (listener, said) in [(Listener::Https, &b""[..]), (Listener::Https, &client[..]), (Listener::Http, &b""[..])] {
        for (count, ended) in [(2, 0), (3, 1), (4, 2)] {
            let gateway = house(&App::start(), "").edge(|edge| edge.handshakes_max = 3).start();
            let open = |number| {
                let mut connection = Connection::raw(listener.address(&gateway));
                connection.write(said);
                eventually("its acceptance", || (gateway.metric("hookward_connections") == number).then_some(()));
                connection
            };
            let mut silent: Vec<_> = (1..=count).map(open).collect();
            let send = || listener.send(&gateway, &naming([198, 51, 100, 8]), &push()).unwrap().status;
            assert_eq!((send(), gateway.records().len()), (200, 0), "{listener:?}, {count}: all are young");
            gateway.advance(Duration::from_secs(1));
            assert_eq!(send(), 200, "{listener:?}, {count}");
            silent.iter_mut().take(ended).for_each(Connection::wait_closed);
            let records = eventually("their records", || Some(gateway.records()).filter(|found| found.len() >= ended));
            assert_eq!(records.len(), ended, "{listener:?}, {count}: {records:?}");
            for record in records {
                assert_eq!((record.reason.as_str(), record.status), ("overloaded", None), "{listener:?}, {count}");
                assert_eq!(record.facts(), "limit=handshakes_max", "{listener:?}, {count}");
            }
        }
    }
}

fn begun(gateway: &Running, bytes: &[u8]) -> Connection {
    let mut connection = gateway.connect_plain();
    connection.write(bytes);
    connection
}

/// Load balancers look whether somebody listens: they connect and close.
#[test]
fn an_end_before_the_first_byte_is_what_it_is_without_a_header() {
    let gateway = start(&App::start(), "");
    for listener in Listener::BOTH {
        drop(socket(listener.address(&gateway)));
    }
    gateway.record("tls_failed");
    eventually("no connection", || (gateway.metric("hookward_connections") == 0).then_some(()));
    assert_eq!(gateway.records().len(), 1, "{:?}", gateway.records());
}
