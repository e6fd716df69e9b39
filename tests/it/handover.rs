//! One gateway after the other on the same address, and nobody outside notices.

use std::fs::File;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustix::process::Signal;
use rustls::RootCertStore;

use crate::staying_up::unlimited;
use crate::support::served::{Serve, Served, write_certificate};
use crate::support::{App, Delivery, Hello, eventually};

fn push() -> Delivery {
    Delivery::github("push", "{}")
}

/// Senders that open a connection for each delivery, while something happens to the gateways. Every delivery has to arrive.
fn under_load(address: std::net::SocketAddr, roots: &RootCertStore, happens: impl FnOnce(&AtomicUsize)) {
    let (over, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let mut connection = Hello::at(address, roots.clone()).connect().unwrap();
                    assert_eq!(connection.send(&push()).status, 200);
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        happens(&sent);
        over.store(true, Ordering::Relaxed);
    });
}

/// Waits until so many more were sent.
fn go_on(sent: &AtomicUsize, count: usize) {
    let before = sent.load(Ordering::Relaxed);
    eventually("deliveries", || (sent.load(Ordering::Relaxed) >= before + count).then_some(()));
}

#[test]
fn a_second_process_at_the_address_takes_over_from_one_that_drains() {
    let folder = tempfile::tempdir().unwrap();
    let app = App::start();
    let serve = |listen: String| Serve { listen, config: String::new(), ..Serve::new(folder.path(), &unlimited(&app)) };
    let mut old = serve("https = [\"127.0.0.1:0\"]".to_owned()).start();
    let (address, roots) = (old.address, old.roots.clone());
    under_load(address, &roots, |sent| {
        for _ in 0..3 {
            go_on(sent, 5);
            let next = serve(format!("https = [\"{address}\"]")).start_with(roots.clone());
            let mut drained = std::mem::replace(&mut old, next);
            drained.signal(Signal::TERM);
            assert!(drained.ended().success());
            go_on(sent, 5);
        }
    });
}

/// Public addresses are bound last: who cannot have the others takes no connection from the gateway that runs. Here nothing can be bound, and what is
/// told is what was tried first.
#[test]
fn what_no_two_processes_can_have_is_bound_before_the_addresses_that_they_share() {
    let folder = tempfile::tempdir().unwrap();
    let app = App::start();
    let taken: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let [public, private, proofs] = [0, 1, 2].map(|at: usize| taken[at].local_addr().unwrap());
    let path = folder.path().join("gateway.sock");
    let _socket = UnixListener::bind(&path).unwrap();
    let acme = format!(
        "[acme]\ndomains = ['a.example']\naccept_terms = true\nstate = 'acme'\nchallenge = 'http-01'\nhttp = '{proofs}'\n"
    );
    let unix = format!("unix = ['{}']\n", path.display());
    for (lists, config, told) in [
        ("", format!("[admin]\nlisten = '{private}'\n"), private.to_string()),
        ("", acme, proofs.to_string()),
        (&*unix, String::new(), path.display().to_string()),
        ("", String::new(), public.to_string()),
    ] {
        let errors = folder.path().join("errors");
        let serve = Serve {
            listen: format!("https = ['{public}']\n{lists}"),
            config,
            shell: Some(("true", "2>errors")),
            ..Serve::new(folder.path(), &unlimited(&app))
        };
        let started = thread::scope(|scope| scope.spawn(|| serve.start()).join());
        assert!(started.is_err(), "{told}");
        let errors = std::io::read_to_string(File::open(errors).unwrap()).unwrap();
        assert!(errors.contains(&format!("cannot listen on {told}")), "{told}: {errors}");
    }
}

/// A gateway that is handed this socket under this name.
fn activated<'s>(folder: &'s Path, app: &App, socket: &TcpListener, name: &'static str) -> Serve<'s> {
    let environment = vec![("LISTEN_FDS", "1".to_owned()), ("LISTEN_FDNAMES", name.to_owned())];
    Serve {
        listen: "https = []".to_owned(),
        config: String::new(),
        shell: Some(("export LISTEN_PID=$$", "3<&0 </dev/null")),
        environment,
        stdin: Stdio::from(OwnedFd::from(socket.try_clone().unwrap())),
        ..Serve::new(folder, &unlimited(app))
    }
}

/// The manager's socket outlives the gateways: senders wait in its queue while there is none.
#[test]
fn a_socket_that_is_handed_over_refuses_nobody_between_two_gateways() {
    let folder = tempfile::tempdir().unwrap();
    let app = App::start();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let roots = write_certificate(folder.path());
    let start = || -> Served { activated(folder.path(), &app, &socket, "https").start_with(roots.clone()) };
    let mut gateway = start();
    assert_eq!(gateway.address, address);
    under_load(address, &roots, |sent| {
        for _ in 0..2 {
            go_on(sent, 5);
            gateway.signal(Signal::TERM);
            assert!(gateway.ended().success());
            gateway = start();
            go_on(sent, 5);
        }
    });
}

#[test]
fn a_socket_whose_name_or_kind_is_wrong_ends_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let app = App::start();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    write_certificate(folder.path());
    for (name, told) in [
        ("hookward.socket", "FileDescriptorName=https"),
        ("unix", "not a valid unix stream socket"),
        ("http", "no trusted_proxies"),
    ] {
        let errors = folder.path().join("errors");
        let shell = ("export LISTEN_PID=$$", "3<&0 </dev/null 2>errors");
        let serve = Serve { shell: Some(shell), ..activated(folder.path(), &app, &socket, name) };
        let started = thread::scope(|scope| scope.spawn(|| serve.start()).join());
        assert!(started.is_err(), "{name}");
        let errors = std::io::read_to_string(File::open(errors).unwrap()).unwrap();
        assert!(errors.contains(told), "{name}: {errors}");
    }
}

/// Sockets for another process are none of ours.
#[test]
fn sockets_that_are_meant_for_another_process_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let app = App::start();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let shell = ("export LISTEN_PID=1", "3<&0 </dev/null");
    let serve = activated(folder.path(), &app, &socket, "https");
    let serve = Serve { shell: Some(shell), listen: "https = [\"127.0.0.1:0\"]".to_owned(), ..serve };
    let served = serve.start();
    assert_ne!(served.address, socket.local_addr().unwrap());
    assert_eq!(served.connect().send(&push()).status, 200);
}
