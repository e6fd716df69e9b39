//! What a machine runs out of, and what the gateway does about it: descriptors, disks, readers of its logs. The built binary throughout.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustix::process::{Resource, Signal};

use crate::drain::waiting;
use crate::gateway::github;
use crate::support::app::Door;
use crate::support::h2::Http2;
use crate::support::served::{Reader, Serve, Served, metric};
use crate::support::{App, Delivery, Hello, PATIENCE, eventually};

fn push() -> Delivery {
    Delivery::github("push", "{}")
}

/// A policy that no load of a test is too much for.
pub(crate) fn unlimited(app: &App) -> String {
    let rate = "{ per_second = 100_000, burst = 100_000 }";
    github(app, &format!("[limit]\nclient = {rate}\nsource = {rate}\n"))
}

/// Descriptors that the gateway keeps for itself, with one worker that listens once.
const RESERVED: usize = 128 + 4 + 1;

/// Connections for which there are descriptors beside those.
const CLIENTS: usize = 20;

/// A gateway with descriptors for so many clients and their deliveries.
fn with_few_descriptors(folder: &Path, app: &App) -> Served {
    let shell = format!("ulimit -n {}", RESERVED + 2 * CLIENTS);
    Serve { shell: Some((&shell, "")), ..Serve::new(folder, &github(app, "deadline_ms = 60_000")) }.start()
}

#[test]
fn clients_cannot_take_the_descriptors_that_their_deliveries_need() {
    let folder = tempfile::tempdir().unwrap();
    let door = Door::default();
    let app = waiting(&door);
    let served = with_few_descriptors(folder.path(), &app);
    let lowered: serde_json::Value = serde_json::from_str(&served.line("connections_max is lowered")).unwrap();
    assert_eq!(lowered["to"].to_string().trim_matches('"'), CLIENTS.to_string());

    // The last eighth is for clients that are known.
    let strangers = CLIENTS - CLIENTS / 8;
    let from =
        |client: usize| Hello { from: Some([127, 0, 1, u8::try_from(client).unwrap()].into()), ..served.hello() };
    let mut connections: Vec<_> = (0..strangers).map(|client| from(client).connect().unwrap()).collect();
    assert!(from(strangers).connect().is_err(), "one more is refused");
    thread::scope(|scope| {
        let sent: Vec<_> =
            connections.iter_mut().map(|connection| scope.spawn(|| connection.send(&push()).status)).collect();
        // Each with a connection of its own to the app, all at once.
        app.wait_taken(strangers);
        door.open();
        for sent in sent {
            assert_eq!(sent.join().unwrap(), 200);
        }
    });
    connections.extend((strangers..CLIENTS).map(|_| from(0).connect().expect("it is known by now")));
    assert!(from(0).connect().is_err(), "one more is refused");
    let mut private = served.private();
    assert_eq!(metric(&mut private, "hookward_accept_errors_total"), 0);
    connections.pop().unwrap().close();
    let mut next = eventually("a place", || from(0).connect().ok());
    assert_eq!(next.send(&push()).status, 200);
}

/// HTTP/2 brings many deliveries over one connection, and each may need one to the app.
#[test]
fn deliveries_of_one_connection_cannot_take_all_descriptors_either() {
    let folder = tempfile::tempdir().unwrap();
    let door = Door::default();
    let app = waiting(&door);
    let served = with_few_descriptors(folder.path(), &app);
    // As many as there are clients at most, and a quarter of these for one client.
    let most = CLIENTS / 4;
    let deliveries: Vec<_> = (0..=most).map(|number| Delivery::github("push", &number.to_string())).collect();
    let mut one_too_many = 0;
    let statuses = Http2::begin(served.hello()).send_all(&deliveries, |first| {
        one_too_many = first;
        door.open();
    });
    assert_eq!(one_too_many, 503, "it is answered while the app has all others");
    assert_eq!((statuses, app.taken().len()), (vec![200; most], most));
}

#[test]
fn without_descriptors_connections_wait_and_it_is_said_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut served = Serve::new(folder.path(), &github(&App::start(), "")).start();
    let mut private = served.private();
    assert_eq!(metric(&mut private, "hookward_accept_errors_total"), 0);
    served.limit(Resource::Nofile, Some(3), Some(1_000));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| served.connect().send(&push()).status);
        eventually("some attempts", || (metric(&mut private, "hookward_accept_errors_total") > 2).then_some(()));
        assert!(!waiting.is_finished());
        served.limit(Resource::Nofile, Some(1_000), Some(1_000));
        assert_eq!(waiting.join().unwrap(), 200);
    });
    served.signal(Signal::TERM);
    assert!(served.ended().success());
    let told: Vec<_> = served.rest().into_iter().filter(|line| line.contains("cannot be accepted")).collect();
    assert!(told.len() == 1 && told[0].contains("Too many open files"), "{told:?}");
}

#[test]
fn a_gateway_with_no_room_for_a_connection_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    for (room, starts) in [(RESERVED + 1, false), (RESERVED + 2, true)] {
        let shell = format!("ulimit -n {room}");
        let serve = Serve { shell: Some((&shell, "")), ..Serve::new(folder.path(), &github(&App::start(), "")) };
        let started = thread::scope(|scope| scope.spawn(|| serve.start()).join());
        assert_eq!(started.is_ok(), starts, "{room}");
    }
}

/// A limit on the size of files stands in for a disk without space: what is told is as sudden, and ends when the test wants.
#[test]
fn a_full_disk_loses_no_record_and_holds_up_no_delivery() {
    let folder = tempfile::tempdir().unwrap();
    let served = Serve::new(folder.path(), &github(&App::start(), "")).start();
    let mut private = served.private();
    served.limit(Resource::Fsize, Some(500), None);
    let mut connection = served.connect();
    let refused: Vec<_> =
        (0..5).map(|_| connection.send(&push().without("x-hub-signature-256")).delivery().unwrap()).collect();
    served.line("log cannot be written");
    assert_eq!(connection.send(&push()).status, 200);
    assert_eq!(metric(&mut private, "hookward_log_failing{log=\"rejects\"}"), 1);
    assert_eq!(metric(&mut private, "hookward_log_failing{log=\"access\"}"), 0);
    assert!(metric(&mut private, "hookward_log_errors_total{log=\"rejects\"}") > 0);
    served.limit(Resource::Fsize, None, None);
    served.line("log is written again");
    assert_eq!(metric(&mut private, "hookward_log_failing{log=\"rejects\"}"), 0);
    assert_eq!(metric(&mut private, "hookward_log_dropped_total{log=\"rejects\"}"), 0);
    let log = fs::read_to_string(folder.path().join("rejected.jsonl")).unwrap();
    for delivery in refused {
        let lines: Vec<_> = log.lines().filter(|line| line.contains(&delivery)).collect();
        assert!(lines.len() == 1 && serde_json::from_str::<serde_json::Value>(lines[0]).is_ok(), "{lines:?}");
    }
}

/// Who makes room by removing the log gets the room, and the line that was begun in it stands in the next one whole.
#[test]
fn a_log_that_is_removed_from_a_full_disk_is_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let served = Serve::new(folder.path(), &github(&App::start(), "")).start();
    let path = folder.path().join("rejected.jsonl");
    served.limit(Resource::Fsize, Some(500), None);
    let mut connection = served.connect();
    let refused: Vec<_> =
        (0..5).map(|_| connection.send(&push().without("x-hub-signature-256")).delivery().unwrap()).collect();
    served.line("log cannot be written");
    let before = fs::read_to_string(&path).unwrap();
    assert!(!before.ends_with('\n'), "a line is begun");
    fs::remove_file(&path).unwrap();
    eventually("a new one", || path.exists().then_some(()));
    let descriptors = fs::read_dir(format!("/proc/{}/fd", served.child.id())).unwrap();
    let links = descriptors.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    assert_eq!(links.filter(|link| link.to_string_lossy().contains("(deleted)")).count(), 0);
    served.limit(Resource::Fsize, None, None);
    served.line("log is written again");
    assert_eq!(metric(&mut served.private(), "hookward_log_dropped_total{log=\"rejects\"}"), 0);
    let (whole, _torn) = before.rsplit_once('\n').unwrap_or_default();
    let log = format!("{whole}\n{}", fs::read_to_string(&path).unwrap());
    for delivery in refused {
        let lines: Vec<_> = log.lines().filter(|line| line.contains(&delivery)).collect();
        assert!(lines.len() == 1 && serde_json::from_str::<serde_json::Value>(lines[0]).is_ok(), "{lines:?}");
    }
}

#[test]
fn a_reader_that_went_to_sleep_costs_lines_and_no_delivery() {
    let folder = tempfile::tempdir().unwrap();
    // Behind the keys that `Serve` sets in `[edge]`: no client waits for its answers here.
    let config = "pipelined_requests_max = 10_000\n[admin]\nlisten = \"127.0.0.1:0\"\n".to_owned();
    let serve = Serve { reader: Reader::Gone, config, ..Serve::new(folder.path(), &unlimited(&App::start())) };
    let mut served = serve.start();
    let mut private = served.private();
    let mut connection = served.connect();
    let dropped = |private: &mut _| metric(private, "hookward_log_dropped_total{log=\"access\"}");
    // Two buffers of 1 MiB and what a pipe holds, in lines of some 300 bytes; many at a time, so that it does not take long.
    let together = push().bytes().repeat(50);
    let mut sent = 0;
    while dropped(&mut private) == 0 {
        assert!(sent < 40_000, "nothing was dropped");
        connection.write(&together);
        for _ in 0..50 {
            assert_eq!(connection.answer().status, 200);
        }
        sent += 50;
        if sent % 5_000 == 0 {
            connection = served.connect();
        }
    }
    let refused = connection.send(&push().without("x-hub-signature-256")).delivery().unwrap();
    eventually("its record, in the other log", || {
        fs::read_to_string(folder.path().join("rejected.jsonl")).unwrap().contains(&refused).then_some(())
    });
    served.signal(Signal::TERM);
    assert!(served.ended().success(), "it does not wait for the reader for ever");
}

/// Hears what a service manager hears.
pub(crate) struct Manager {
    socket: UnixDatagram,
    path: String,
}

impl Manager {
    pub(crate) fn new(folder: &Path) -> Self {
        let path = folder.join("notify.sock");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, path: path.to_str().unwrap().to_owned() }
    }

    fn environment(&self) -> (&'static str, String) {
        ("NOTIFY_SOCKET", self.path.clone())
    }

    /// The next thing that it is told.
    fn hears(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    /// Waits until it is told this.
    fn waits_for(&self, text: &str) -> String {
        loop {
            let heard = self.hears();
            if heard.contains(text) {
                return heard;
            }
        }
    }
}

#[test]
fn the_service_manager_hears_of_every_turn() {
    let folder = tempfile::tempdir().unwrap();
    let manager = Manager::new(folder.path());
    let policy = github(&App::start(), "");
    let environment = vec![manager.environment(), ("WATCHDOG_USEC", "1000000".to_owned())];
    let mut served = Serve { environment, ..Serve::new(folder.path(), &policy) }.start();
    assert_eq!(manager.hears().trim_end(), "READY=1\nSTATUS=1 sources");
    for _ in 0..3 {
        assert_eq!(manager.hears().trim_end(), "WATCHDOG=1");
    }
    served.signal(Signal::HUP);
    let reloading = manager.waits_for("RELOADING=1");
    let since = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
    assert!(since.parse::<u64>().unwrap() > 0);
    assert_eq!(manager.waits_for("READY=1").trim_end(), "READY=1\nSTATUS=1 sources");
    fs::write(folder.path().join("policies/github.toml"), "broken").unwrap();
    manager.waits_for("RELOADING=1");
    assert!(manager.waits_for("READY=1").contains("STATUS=1 sources; the last reload failed"));
    served.signal(Signal::TERM);
    manager.waits_for("STOPPING=1");
    assert!(served.ended().success());
}

#[test]
fn a_thousand_reloads_fail_no_delivery() {
    let folder = tempfile::tempdir().unwrap();
    let manager = Manager::new(folder.path());
    let environment = vec![manager.environment()];
    let serve = Serve { environment, ..Serve::new(folder.path(), &unlimited(&App::start())) };
    let served = serve.start();
    manager.waits_for("READY=1");
    let (over, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let deliver = |send: &mut dyn FnMut() -> u16| {
        while !over.load(Ordering::Relaxed) {
            assert_eq!(send(), 200);
            sent.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        let clients = [
            scope.spawn(|| deliver(&mut || served.connect().send(&push()).status)),
            scope.spawn(|| {
                let mut open = served.connect();
                deliver(&mut || open.send(&push()).status);
            }),
            scope.spawn(|| {
                let mut open = Http2::begin(served.hello());
                deliver(&mut || open.send(&push()).status);
            }),
        ];
        for reload in 0..1_000 {
            served.signal(Signal::HUP);
            manager.waits_for("RELOADING=1");
            manager.waits_for("READY=1");
            assert!(clients.iter().all(|client| !client.is_finished()), "a client gave up");
            if reload % 50 == 49 {
                let before = sent.load(Ordering::Relaxed);
                eventually("a delivery", || (sent.load(Ordering::Relaxed) > before).then_some(()));
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    let mut private = served.private();
    let sent = i64::try_from(sent.into_inner()).unwrap();
    assert_eq!(metric(&mut private, "hookward_deliveries_total{source=\"github\",outcome=\"accepted\"}"), sent);
    assert_eq!(metric(&mut private, "hookward_policy_reload_failures_total"), 0);
}

#[test]
fn a_drain_loses_no_delivery_and_ends_with_0() {
    let folder = tempfile::tempdir().unwrap();
    let door = Door::default();
    let app = waiting(&door);
    let mut served = Serve::new(folder.path(), &github(&app, "deadline_ms = 60_000")).start();
    let mut private = served.private();
    thread::scope(|scope| {
        let busy = [
            scope.spawn(|| served.connect().send(&push()).status),
            scope.spawn(|| Http2::begin(served.hello()).send(&push()).status),
        ];
        app.wait_taken(2);
        served.signal(Signal::TERM);
        served.line("draining");
        private.write(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n");
        assert_eq!(private.answer().status, 503);
        eventually("the listener's end", || served.hello().connect().is_err().then_some(()));
        assert!(busy.iter().all(|busy| !busy.is_finished()));
        door.open();
        for busy in busy {
            assert_eq!(busy.join().unwrap(), 200);
        }
    });
    assert!(served.ended().success());
    assert_eq!(served.rest().iter().filter(|line| line.contains("\"status\":200")).count(), 2);
}
