//! Listening on a Unix socket: for a proxy of this machine, whose word on the client is believed.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::gateway::github;
use crate::support::command::run;
use crate::support::{App, Connection, Delivery, House, Say, eventually};

const MODE: u32 = 0o660;

/// A place for a socket, and the folder it is in.
fn place() -> (TempDir, PathBuf) {
    let folder = TempDir::with_prefix("hookward-test-").unwrap();
    let path = folder.path().join("gateway.sock");
    (folder, path)
}

#[test]
fn a_delivery_over_a_unix_socket_is_judged_as_any_other() {
    let (_folder, path) = place();
    let app = App::start();
    let gateway = House::with("github", &github(&app, "")).unix(&path, MODE).start();
    let good = Delivery::github("push", "{}");
    let mut connection = Connection::unix(&path);
    assert_eq!((connection.send(&good).status, connection.send(&good.clone().target("/elsewhere")).status), (200, 404));
    let forged = good.clone().replace("x-hub-signature-256", &format!("sha256={}", "0".repeat(64)));
    let refused = Connection::unix(&path).send(&forged);
    assert_eq!(refused.status, 401);
    let record = gateway.record_of(&refused);
    assert_eq!((record.reason.as_str(), record.peer.as_deref()), ("credential_mismatch", Some("127.0.0.1")));
    let taken = app.only();
    assert_eq!(taken.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(taken.header("x-forwarded-proto"), Some("http"));
    assert_eq!(gateway.connect().send(&good).status, 200, "the other listeners are as they were");
}

/// The peer of an address has to be among the trusted proxies for that; here there are none.
#[test]
fn who_opens_the_socket_is_believed_about_the_client_and_nobody_else_is() {
    let (_folder, path) = place();
    let app = App::start();
    let policy = format!("{}[network]\nallow = [\"198.51.100.0/24\"]\n", github(&app, ""));
    let gateway = House::with("github", &policy).unix(&path, MODE).start();
    let from = |client: &str| {
        Delivery::github("push", "{}").header("x-forwarded-for", client).header("x-forwarded-proto", "https")
    };
    let rows = [
        ("198.51.100.7", 200),
        ("192.0.2.66, 198.51.100.7", 200),
        ("198.51.100.7, 192.0.2.66", 403),
        ("198.51.100.7, junk", 403),
    ];
    for (client, status) in rows {
        assert_eq!(Connection::unix(&path).send(&from(client)).status, status, "{client}");
    }
    assert_eq!(Connection::unix(&path).send(&Delivery::github("push", "{}")).status, 403, "the loopback is not listed");
    assert_eq!(gateway.connect().send(&from("198.51.100.7")).status, 403, "an address is no proxy by nature");
    for taken in app.taken() {
        assert_eq!(taken.header("x-forwarded-for"), Some("198.51.100.7"));
        assert_eq!(taken.header("x-forwarded-proto"), Some("https"));
    }
    assert_eq!(app.taken().len(), 2);
}

#[test]
fn the_socket_has_its_mode_replaces_a_stale_one_and_goes_when_the_gateway_stops() {
    let (_folder, path) = place();
    drop(UnixListener::bind(&path).unwrap());
    let stale = fs::symlink_metadata(&path).unwrap();
    let mut gateway = House::with("github", &github(&App::start(), "")).unix(&path, MODE).start();
    let made = fs::symlink_metadata(&path).unwrap();
    assert_ne!((made.ctime(), made.ctime_nsec()), (stale.ctime(), stale.ctime_nsec()));
    assert_eq!(made.mode() & 0o7777, MODE);
    assert_eq!(Connection::unix(&path).send(&Delivery::github("push", "{}")).status, 200);
    gateway.stop();
    assert!(!path.exists());
}

/// The built binary, told by its configuration.
#[test]
fn what_answers_or_is_no_socket_is_not_replaced() {
    let (folder, path) = place();
    fs::create_dir(folder.path().join("policies")).unwrap();
    let config =
        "[listen]\nunix = [\"gateway.sock\"]\n[policies]\ndirectory = \"policies\"\n[rejects]\nfile = \"r.jsonl\"\n";
    fs::write(folder.path().join("hookward.toml"), config).unwrap();
    let live = UnixListener::bind(&path).unwrap();
    let refused = run(folder.path(), &["serve"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("cannot listen on gateway.sock: somebody listens there"), "{refused:?}");
    assert!(std::os::unix::net::UnixStream::connect(&path).is_ok(), "it listens as it did");

    drop(live);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "kept").unwrap();
    let refused = run(folder.path(), &["serve"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("is not a socket"), "{refused:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
}

#[test]
fn workers_share_the_socket_and_a_drain_ends_its_connections_in_order() {
    let (_folder, path) = place();
    let house = House::with("github", &github(&App::start(), "")).unix(&path, MODE);
    let mut gateway = house.edge(|edge| edge.workers = Some(3)).start();
    let mut connections: Vec<_> = (0..12).map(|_| Connection::unix(&path)).collect();
    for (number, connection) in connections.iter_mut().enumerate() {
        assert_eq!(connection.send(&Delivery::github("push", &number.to_string())).status, 200, "{number}");
    }
    gateway.stop();
    for connection in &mut connections {
        assert!(connection.try_answer().is_none());
    }
}

/// A proxy is as careful as its own configuration: what holds for everybody else holds for it.
#[test]
fn a_local_peer_is_guarded_and_bounded_as_any_other() {
    let (_folder, path) = place();
    let app = App::start();
    let house = House::with("github", &github(&app, "")).unix(&path, MODE);
    let gateway = house.edge(|edge| edge.connections_per_client_max = 2).start();
    let good = Delivery::github("push", "{}");
    let two_framings = "transfer-encoding: chunked\r\ncontent-length: 2\r\n";
    let rows = [
        ("two framings", [&good.head_with(two_framings)[..], b"2\r\n{}\r\n0\r\n\r\n"].concat(), "framing_refused"),
        ("while it is sending", good.clone().body(&vec![b'x'; 8_000_000]).bytes(), "body_too_large"),
    ];
    for (name, bytes, reason) in rows {
        let mut connection = Connection::unix(&path);
        connection.write(&bytes);
        let answer = connection.answer();
        assert_eq!(answer.header("connection"), Some("close"), "{name}");
        assert_eq!(gateway.record_of(&answer).reason, reason, "{name}");
        connection.wait_closed();
    }

    eventually("no connection", || (gateway.metric("hookward_connections") == 0).then_some(()));
    let mut connections: Vec<_> = (0..2).map(|_| Connection::unix(&path)).collect();
    for connection in &mut connections {
        assert_eq!(connection.send(&good).status, 200);
    }
    Connection::unix(&path).wait_closed();
    assert_eq!(gateway.record("overloaded").peer.as_deref(), Some("127.0.0.1"));
    let mut late = connections.pop().unwrap();
    late.write(&good.head(2)[..40]);
    let answer = eventually("408", || {
        gateway.advance(Duration::from_secs(1));
        (gateway.metric("hookward_connections") < 2).then(|| late.answer())
    });
    assert_eq!((answer.status, gateway.record_of(&answer).reason.as_str()), (408, "head_timeout"));
    assert_eq!(app.taken().len(), 2);
}

#[test]
fn a_local_peer_that_takes_nothing_of_its_answers_is_let_go() {
    let (_folder, path) = place();
    let app = App::saying(|_| Say::status(200, &"x".repeat(1_000_000)));
    let house = House::with("github", &github(&app, "")).unix(&path, MODE);
    let gateway = house.edge(|edge| edge.idle_time = Duration::from_secs(1_000_000)).start();
    let mut deaf = Connection::unix(&path);
    // More than what the system buffers for both sides.
    deaf.write(&Delivery::github("push", "{}").bytes().repeat(40));
    eventually("its end", || {
        gateway.advance(Duration::from_secs(15));
        (gateway.metric("hookward_connections") == 0).then_some(())
    });
    assert!(gateway.records().is_empty(), "{:?}", gateway.records());
}
