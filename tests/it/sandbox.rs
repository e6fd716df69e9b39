//! What a gateway gave up when it began to serve, seen from outside: it does what its configuration has it do, and nothing that came later. On a kernel
//! without Landlock it serves as well, says so, and what is denied elsewhere is not.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::gateway::github;
use crate::support::command::run;
use crate::support::served::{Serve, Served};
use crate::support::{App, Connection, Delivery, eventually, is_demanded};

const SECRET: &str = "b537207f20cbfa02357cf448134da559";

/// Whether something is denied to it, by its own word, which has to be right about the kernel.
pub(crate) fn is_confined(served: &Served) -> bool {
    told_extent(served)["sandbox"] != "none"
}

/// What it says of its sandbox.
fn told_extent(served: &Served) -> Value {
    let told: Value = serde_json::from_str(&served.line("confined to what it needs")).unwrap();
    let modules = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    let is_expected = modules.split(',').any(|module| module.trim() == "landlock") || is_demanded("landlock");
    assert!(told["sandbox"] != "none" || !is_expected, "{told}");
    told
}

/// A policy whose secret is handed over and kept in this file.
fn learning(app: &App, file: &Path) -> String {
    format!(
        "path = \"/hooks/github\"\n[auth]\nprovider = \"asana\"\nsecrets = []\n[handshake]\nlearn_secret = \"{}\"\n[forward]\n{}\n",
        file.display(),
        app.to("/")
    )
}

/// The provider hands its secret over, once the operator awaits it. Answers the status.
fn hand_over(folder: &Path, served: &Served) -> u16 {
    let ran = run(folder, &["learn", "github"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    served.connect().send(&Delivery::post("/hooks/github", "{}").header("x-hook-secret", SECRET)).status
}

fn refused(served: &Served) -> String {
    served.connect().send(&Delivery::post("/elsewhere", "{}")).delivery().unwrap()
}

#[test]
fn a_confined_gateway_rotates_its_log_keeps_a_secret_reloads_and_removes_its_socket() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // As large as it may be: the next record begins another.
    fs::create_dir(at("logs")).unwrap();
    fs::write(at("logs/rejected.jsonl"), format!("{}\n", "x".repeat(65_535))).unwrap();
    fs::create_dir(at("run")).unwrap();
    drop(UnixListener::bind(at("run/gateway.sock")).unwrap());
    let mut served = Serve {
        listen: "https = [\"127.0.0.1:0\"]\nunix = [\"run/gateway.sock\"]".to_owned(),
        rejects: "file = \"logs/rejected.jsonl\"\nfile_bytes_max = 65_536",
        ..Serve::new(folder.path(), &learning(&App::start(), &at("state/kept.secret")))
    }
    .start();
    let told = told_extent(&served);
    if told["sandbox"] != "none" {
        let here = fs::canonicalize(folder.path()).unwrap();
        assert_eq!(told["writable"], format!("{0}/logs, {0}/state", here.display()));
        let not_denied = told["not_denied"].as_str().unwrap_or_default();
        assert!(!not_denied.contains("threads"), "{told}");
    }
    let record = refused(&served);
    let log = |name: &str| fs::read_to_string(at(name)).unwrap_or_default();
    eventually("the record", || log("logs/rejected.jsonl").contains(&record).then_some(()));
    assert_eq!(log("logs/rejected.jsonl.1").len(), 65_536);
    assert_eq!((hand_over(folder.path(), &served), log("state/kept.secret")), (200, SECRET.to_owned()));
    served.line("\"reloaded\"");
    served.signal(Signal::HUP);
    served.line("\"reloaded\"");
    assert_eq!(Connection::unix(&at("run/gateway.sock")).send(&Delivery::post("/elsewhere", "{}")).status, 404);

    served.signal(Signal::TERM);
    assert!(served.ended().success());
    assert!(!at("run/gateway.sock").exists());
    let restart = served.rest().into_iter().find(|line| line.contains("a restart is needed"));
    assert_eq!(restart, None);
}

/// Which shows that its only worker is confined: the secret is written by a thread which that one starts, and a thread has what was given up by whoever started
/// it. Where the kernel has no Landlock the secret is kept in both rows.
#[test]
fn what_a_reload_names_can_be_written_to_after_a_restart_unless_there_is_no_sandbox() {
    for (sandbox, switched_on) in [("true", true), ("false", false)] {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let app = App::start();
        let start = |policy: &str| {
            let listen = format!("https = [\"127.0.0.1:0\"]\nsandbox = {sandbox}");
            let rejects = "file = \"logs/rejected.jsonl\"";
            Serve { listen, rejects, ..Serve::new(folder.path(), policy) }.start()
        };
        let mut served = start(&github(&app, ""));
        let denied = if switched_on {
            is_confined(&served)
        } else {
            assert!(served.line("not confined").contains("[listen] sandbox is false"));
            false
        };
        let learning = learning(&app, &at("late/kept.secret"));
        fs::write(at("policies/github.toml"), &learning).unwrap();
        served.signal(Signal::HUP);
        if denied {
            let told = served.line("a restart is needed before this can be written to");
            assert!(told.contains("[handshake] learn_secret") && told.contains("/late\""), "{told}");
        }
        served.line("\"reloaded\"");
        let status = hand_over(folder.path(), &served);
        assert_eq!((status, at("late/kept.secret").exists()), if denied { (403, false) } else { (200, true) });
        if denied {
            let told = served.line("a secret was handed over and cannot be kept");
            assert!(told.contains("Permission denied"), "{told}");
            let log = eventually("a record", || {
                let log = fs::read_to_string(at("logs/rejected.jsonl")).unwrap();
                log.contains("handshake_refused").then_some(log)
            });
            assert!(log.contains("restart the gateway if that is new"), "{log}");
        }
        served.signal(Signal::TERM);
        assert!(served.ended().success());
        let told = served.rest().iter().any(|line| line.contains("a restart is needed"));
        assert!(denied || !told, "without a sandbox nothing needs one");

        let served = start(&learning);
        assert_eq!(hand_over(folder.path(), &served), 200, "it is kept after a restart");
    }
}

/// As where another program looks after logs; it moved the file away before the first record.
#[test]
fn a_log_that_is_a_link_rotates_beside_what_it_leads_to() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("elsewhere")).unwrap();
    fs::create_dir_all(at("logs")).unwrap();
    symlink("../elsewhere/log", at("logs/rejected.jsonl")).unwrap();
    let rejects = "file = \"logs/rejected.jsonl\"\nfile_bytes_max = 65_536";
    let mut served = Serve { rejects, ..Serve::new(folder.path(), &github(&App::start(), "")) }.start();
    is_confined(&served);
    let log = |name: &str| fs::read_to_string(at(name)).unwrap_or_default();
    fs::rename(at("elsewhere/log"), at("elsewhere/moved")).unwrap();
    let record = refused(&served);
    eventually("the record", || log("elsewhere/log").contains(&record).then_some(()));
    // As large as it may be: the next record begins another, as after a restart.
    served.signal(Signal::TERM);
    assert!(served.ended().success());
    fs::write(at("elsewhere/log"), format!("{}\n", "x".repeat(65_535))).unwrap();
    let served = Serve { rejects, ..Serve::new(folder.path(), &github(&App::start(), "")) }.start();
    let record = refused(&served);
    eventually("the record", || log("elsewhere/log").contains(&record).then_some(()));
    assert_eq!(log("elsewhere/log.1").len(), 65_536);
    assert!(fs::symlink_metadata(at("logs/rejected.jsonl")).unwrap().is_symlink());
}

/// A link that leads nowhere stands at its place. The gateway serves all the same.
#[test]
fn a_folder_that_cannot_be_made_is_told_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let rejects = "file = \"logs/rejected.jsonl\"";
    symlink("nowhere", folder.path().join("state")).unwrap();
    let policy = learning(&App::start(), &folder.path().join("state/kept.secret"));
    let served = Serve { rejects, ..Serve::new(folder.path(), &policy) }.start();
    is_confined(&served);
    let told = served.line("a folder that is to be written to cannot be made");
    assert!(told.contains("[handshake] learn_secret") && told.contains("File exists"), "{told}");
}

/// The old one goes on, with a sandbox and without.
#[test]
fn a_reload_that_moves_the_rejected_log_is_told_that_this_needs_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let rejects = "file = \"logs/rejected.jsonl\"";
    let served = Serve { rejects, ..Serve::new(folder.path(), &github(&App::start(), "")) }.start();
    is_confined(&served);
    let config = fs::read_to_string(at("hookward.toml")).unwrap();
    fs::write(at("hookward.toml"), config.replace("logs/", "elsewhere/")).unwrap();
    served.signal(Signal::HUP);
    let told = served.line("a restart is needed");
    assert!(told.contains("before this is in force") && told.contains("\"tables\":\"[rejects]\""), "{told}");
    served.line("\"reloaded\"");
    let record = refused(&served);
    eventually("the record", || fs::read_to_string(at("logs/rejected.jsonl")).unwrap().contains(&record).then_some(()));
    assert!(!at("elsewhere").exists());
}

/// Its writer is confined, too, and does not make it anew: what was given up was that folder and no other of its name. Without Landlock one is made.
#[test]
fn a_log_whose_folder_is_moved_away_waits_until_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let rejects = "file = \"logs/rejected.jsonl\"";
    let served = Serve { rejects, ..Serve::new(folder.path(), &github(&App::start(), "")) }.start();
    if !is_confined(&served) {
        return;
    }
    fs::rename(at("logs"), at("away")).unwrap();
    fs::create_dir(at("logs")).unwrap();
    served.signal(Signal::HUP);
    let told = served.line("a restart is needed before this can be written to");
    assert!(told.contains("[rejects] file"), "{told}");
    let record = refused(&served);
    let told = served.line("log cannot be written");
    assert!(told.contains("Permission denied"), "{told}");
    fs::remove_dir(at("logs")).unwrap();
    fs::rename(at("away"), at("logs")).unwrap();
    served.line("log is written again");
    assert!(fs::read_to_string(at("logs/rejected.jsonl")).unwrap().contains(&record));
}
