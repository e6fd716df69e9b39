//! Whom the gateway runs as.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::thread;

use rustix::process::{Signal, geteuid};

use crate::gateway::github;
use crate::sandbox::is_confined;
use crate::support::served::Serve;
use crate::support::{App, Connection, Delivery, is_demanded};

/// A user that every machine has, and its group.
const NOBODY: u32 = 65_534;

#[test]
fn a_gateway_that_root_starts_becomes_its_user_and_nobody_else_can() {
    let folder = tempfile::tempdir().unwrap();
    let listen = "https = [\"127.0.0.1:0\"]\nunix = [\"hookward.sock\"]\nuser = \"nobody\"".to_owned();
    let shell = Some((":", "2>errors"));
    let serve = Serve { listen, shell, ..Serve::new(folder.path(), &github(&App::start(), "")) };
    if !geteuid().is_root() {
        assert!(!is_demanded("root"), "this has to be run by root");
        assert!(thread::scope(|scope| scope.spawn(|| serve.start()).join()).is_err());
        let errors = fs::read_to_string(folder.path().join("errors")).unwrap();
        assert!(errors.contains("only root may become another user"), "{errors}");
        return;
    }
    chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let mut served = serve.start();
    is_confined(&served);
    for thread in fs::read_dir(format!("/proc/{}/task", served.pid().as_raw_nonzero())).unwrap() {
        let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        for who in ["Uid", "Gid"] {
            assert!(status.contains(&format!("{who}:\t65534\t65534\t65534\t65534\n")), "{status}");
        }
        assert!(status.contains("CapEff:\t0000000000000000\n"), "{status}");
        assert!(status.contains("Groups:\t65534 \n"), "{status}");
    }
    let socket = folder.path().join("hookward.sock");
    for file in [&socket, &folder.path().join("rejected.jsonl")] {
        assert_eq!(fs::metadata(file).unwrap().uid(), NOBODY, "{file:?}");
    }
    let push = Delivery::github("push", "{}");
    assert_eq!((served.connect().send(&push).status, Connection::unix(&socket).send(&push).status), (200, 200));
    served.signal(Signal::HUP);
    served.line("reloaded");
    served.signal(Signal::TERM);
    assert!(served.ended().success());
    assert!(!socket.exists());
    assert!(served.rest().iter().all(|line| !line.contains("could not be hardened")));
}

#[test]
fn a_user_that_is_not_there_ends_the_start_and_root_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let policy = github(&App::start(), "");
    let listen = "https = [\"127.0.0.1:0\"]\nuser = \"nobody-of-this-name\"".to_owned();
    let serve = Serve { listen, shell: Some((":", "2>errors")), ..Serve::new(folder.path(), &policy) };
    assert!(thread::scope(|scope| scope.spawn(|| serve.start()).join()).is_err());
    let errors = fs::read_to_string(folder.path().join("errors")).unwrap();
    assert!(errors.contains("there is no such user in /etc/passwd"), "{errors}");

    let mut served = Serve::new(folder.path(), &policy).start();
    served.signal(Signal::TERM);
    assert!(served.ended().success());
    let told = served.rest().iter().any(|line| line.contains("the gateway runs as root"));
    assert_eq!(told, geteuid().is_root());
}
