//! Another policy while deliveries come: what was counted stays, what is wrong changes nothing, sockets are not touched.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::gateway::{github, stripe};
use crate::support::command::{hookward, ran};
use crate::support::served::{Serve, Served, write_certificate};
use crate::support::{App, Delivery, Hello, House, NOW, eventually, secret_of};

/// Defect i, claims.
#[test]
fn a_reload_does_not_forget_what_was_accepted() {
    let app = App::start();
    let gateway = House::with("stripe", &stripe(&app, "")).start();
    let delivery = Delivery::stripe("{}", NOW);
    assert_eq!(gateway.connect().send(&delivery).status, 200);
    gateway.reload(&[("stripe.toml", &stripe(&app, "deadline_ms = 5_000"))]).unwrap();
    assert_eq!(gateway.connect().send(&delivery).status, 200);
    assert_eq!(gateway.record("replayed").status, Some(200));
    assert_eq!(app.taken().len(), 1);
}

/// Defect i, buckets: of the source, of the client, and the failure budget.
#[test]
fn a_reload_refills_no_bucket_and_lifts_no_block() {
    let app = App::start();
    let junk = Delivery::github("push", "{}").without("x-hub-signature-256");
    let good = Delivery::github("push", "{}");
    let rows = [
        ("source", "source = { per_second = 1, burst = 1 }", &good, [200, 429]),
        ("client", "client = { per_second = 1, burst = 1 }", &good, [200, 429]),
        ("failures", "failures = { per_minute = 1, block_seconds = 60 }", &junk, [401, 429]),
    ];
    for (name, limit, delivery, statuses) in rows {
        let policy = github(&app, &format!("[limit]\n{limit}\n"));
        let gateway = House::with("github", &policy).start();
        let mut connection = gateway.connect();
        assert_eq!(connection.send(delivery).status, statuses[0], "{name}");
        gateway.reload(&[("github.toml", &format!("{policy}in_flight_max = 7\n"))]).unwrap();
        assert_eq!(connection.send(delivery).status, statuses[1], "{name}");
        gateway.reload(&[("github.toml", "broken")]).unwrap_err();
        assert_eq!(connection.send(delivery).status, statuses[1], "{name}: after a failed reload");
    }
}

#[test]
fn a_reload_changes_what_the_next_request_of_an_open_connection_meets() {
    let (app, other) = (App::start(), App::start());
    let gateway = House::with("github", &github(&app, "")).start();
    let mut connection = gateway.connect();
    let moved = Delivery::github("push", "{}").target("/hooks/moved");
    assert_eq!((connection.send(&Delivery::github("push", "{}")).status, connection.send(&moved).status), (200, 404));
    let policy = github(&other, "").replace("/hooks/github", "/hooks/moved");
    gateway.reload(&[("github.toml", &policy)]).unwrap();
    assert_eq!((connection.send(&Delivery::github("push", "{}")).status, connection.send(&moved).status), (404, 200));
    assert_eq!((app.taken().len(), other.taken().len()), (1, 1));
    assert_ne!(gateway.connect().send(&moved.without("x-hub-signature-256")).status, 200);
    assert!(gateway.record("credential_missing").policy.unwrap().starts_with("github.toml@"));
}

/// Defect v, through the command line: SIGHUP and file changes, good and bad, certificates too, and SIGTERM.
#[test]
fn serve_reloads_what_is_right_keeps_what_ran_and_drains() {
    let folder = tempfile::tempdir().unwrap();
    let app = App::start();
    let policy = github(&app, "");
    let mut served = Serve::new(folder.path(), &policy).start();
    let push = Delivery::github("push", "{}");
    let mut open = served.connect();
    assert_eq!(open.send(&push).status, 200);

    fs::write(folder.path().join("body.json"), "{\"sent\":1}").unwrap();
    let to = format!("https://localhost:{}", served.address.port());
    let send = ["send", "github", "--body", "body.json", "--event", "push", "--to", &to, "--cacert", "tls.pem"];
    let mut command = hookward(folder.path(), &send);
    command.env("GITHUB", secret_of("GITHUB"));
    let sent = ran(command);
    assert_eq!((sent.code, sent.out.as_str()), (0, "200 OK\nok"), "{}", sent.err);

    let path = folder.path().join("policies/github.toml");
    fs::write(&path, policy.replace("provider = \"github\"", "provider = \"githup\"")).unwrap();
    served.signal(Signal::HUP);
    served.line("reload failed, nothing was changed");
    let finding = served.line("githup");
    assert!(finding.contains("github.toml\",\"line\":\"3\",\"column\":\"12\""), "{finding}");
    assert_eq!(open.send(&push).status, 200, "the old policy, on the old connection");
    assert_eq!(served.connect().send(&push).status, 200, "the old policy, on the same port");

    fs::write(&path, policy.replace("/hooks/github", "/hooks/moved")).unwrap();
    served.line("\"reloaded\"");
    assert_eq!(open.send(&push).status, 404, "seen without a signal");
    assert_eq!(open.send(&push.clone().target("/hooks/moved")).status, 200);

    let roots = write_certificate(folder.path());
    served.line("\"reloaded\"");
    served.roots = roots;
    let next = eventually("the new certificate", || Hello::at(served.address, served.roots.clone()).connect().ok());
    assert_ne!(next.certificate(), open.certificate());
    assert_eq!(open.send(&push.clone().target("/hooks/moved")).status, 200, "the old connection goes on");

    fs::write(folder.path().join("tls.key"), "broken").unwrap();
    served.line("reload failed, nothing was changed");
    let finding = served.line("tls.key");
    assert!(
        finding.contains("hookward.toml\",\"line\":") && finding.contains("\"level\":\"error\""),
        "at its place, as a check has it: {finding}"
    );
    assert_eq!(served.connect().send(&push).status, 404, "the certificate before it");

    served.signal(Signal::TERM);
    served.line("draining");
    assert!(served.ended().success());
    let log = fs::read_to_string(folder.path().join("rejected.jsonl")).unwrap();
    assert_eq!(log.matches("\"reason\":\"unknown_source\"").count(), 2, "{log}");
    assert!(!log.contains(&secret_of("GITHUB")));
}

#[test]
fn a_start_is_followed_by_no_reload_where_nothing_changed() {
    let folder = tempfile::tempdir().unwrap();
    let mut served = Serve::new(folder.path(), &github(&App::start(), "")).start();
    assert_eq!(served.connect().send(&Delivery::github("push", "{}")).status, 200);
    served.signal(Signal::HUP);
    served.line("\"reloaded\"");
    served.signal(Signal::TERM);
    assert!(served.ended().success());
    assert!(!served.rest().iter().any(|line| line.contains("reloaded")), "one");
}

/// All lines up to one with this text, as objects.
fn told_before(served: &Served, text: &str) -> Vec<Value> {
    let lines = std::iter::repeat_with(|| served.line("")).take_while(|line| !line.contains(text));
    lines.map(|line| serde_json::from_str(&line).unwrap()).collect()
}

#[test]
fn each_finding_of_a_failed_reload_is_one_line_at_its_own_level() {
    let folder = tempfile::tempdir().unwrap();
    let policy = github(&App::start(), "");
    let served = Serve::new(folder.path(), &policy).start();
    let other = policy.replace("/hooks/github", "/hooks/other");
    fs::write(folder.path().join("policies/other.toml"), other).unwrap();
    let broken = policy.replace("provider = \"github\"", "provider = \"githup\"");
    fs::write(folder.path().join("policies/github.toml"), broken).unwrap();
    served.signal(Signal::HUP);
    served.line("reload failed, nothing was changed");
    served.signal(Signal::HUP);
    let found = told_before(&served, "reload failed, nothing was changed");
    let of = |name: &str| {
        let ours = |found: &&Value| found["file"].as_str().is_some_and(|file| file.ends_with(name));
        found.iter().filter(ours).collect::<Vec<_>>()
    };
    let [error] = of("github.toml")[..] else { panic!("{found:#?}") };
    assert_eq!((&error["level"], &error["line"], &error["column"]), (&json!("error"), &json!("3"), &json!("12")));
    assert_eq!(error["message"], "unknown provider \"githup\"");
    assert!(error["hint"].as_str().unwrap().contains("github"), "{error}");
    let [warning] = of("other.toml")[..] else { panic!("{found:#?}") };
    assert_eq!((&warning["level"], &warning["line"]), (&json!("warn"), &Value::Null), "it is of the file as a whole");
    let loose = found.iter().find(|found| found["file"].is_null());
    assert_eq!(loose, None, "people alone see the line");
}

#[test]
fn a_reload_warns_of_what_a_check_warns_of() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, secret_of("GITHUB")).unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    let policy = github(&App::start(), "");
    let policy = policy.replace("env = \"GITHUB\"", &format!("file = \"{}\"", secret.display()));
    let served = Serve::new(folder.path(), &policy).start();
    let warned = |found: &[Value]| {
        let of_secret =
            |found: &&Value| found["level"] == "warn" && found["message"].as_str().unwrap().contains("mode");
        found.iter().filter(of_secret).count()
    };
    served.signal(Signal::HUP);
    assert_eq!(warned(&told_before(&served, "\"reloaded\"")), 0);
    fs::set_permissions(&secret, Permissions::from_mode(0o666)).unwrap();
    assert_eq!(warned(&told_before(&served, "\"reloaded\"")), 1);
}

#[test]
fn a_reload_that_leaves_no_source_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let policy = github(&App::start(), "");
    let served = Serve::new(folder.path(), &policy).start();
    served.signal(Signal::HUP);
    assert!(served.line("\"reloaded\"").contains("\"level\":\"info\""));
    fs::remove_file(folder.path().join("policies/github.toml")).unwrap();
    let told = served.line("\"reloaded\"");
    assert!(told.contains("\"level\":\"warn\"") && told.contains("every request is answered 404"), "{told}");
    fs::write(folder.path().join("policies/github.toml"), policy).unwrap();
    assert!(served.line("\"reloaded\"").contains("\"level\":\"info\""));
}

#[test]
fn what_needs_a_restart_is_named_at_each_reload_until_it_is_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let served = Serve::new(folder.path(), &github(&App::start(), "")).start();
    let path = folder.path().join("hookward.toml");
    let config = fs::read_to_string(&path).unwrap();
    let rows = [
        (format!("# moved\n{config}"), Value::Null),
        (config.replace("drain_seconds = 10", "drain_seconds = 11"), json!("[edge]")),
        (
            config.replace("[log]", "[log]\nlevel = 'info'").replace("0\"]", "0\"]\nsandbox = false"),
            json!("[listen], [log]"),
        ),
        (config.clone(), Value::Null),
    ];
    for (text, expected) in rows {
        fs::write(&path, &text).unwrap();
        let found = told_before(&served, "\"reloaded\"");
        let told = found.iter().find(|found| found["message"] == "a restart is needed before this is in force");
        assert_eq!(told.map_or(&Value::Null, |told| &told["tables"]), &expected, "{text}");
    }
}

#[test]
fn a_failed_reload_shows_in_the_metrics_until_one_succeeds() {
    let app = App::start();
    let gateway = House::with("github", &github(&app, "")).start();
    let stale = || gateway.metric("hookward_policy_stale");
    assert_eq!(stale(), 0);
    gateway.reload(&[("github.toml", "path = 1")]).unwrap_err();
    assert_eq!(stale(), 1);
    assert_eq!(gateway.connect().send(&Delivery::github("push", "{}")).status, 200);
    gateway.reload(&[("github.toml", &github(&app, ""))]).unwrap();
    assert_eq!(stale(), 0);
}

#[test]
fn a_reload_waits_for_no_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let mut served = Serve::new(folder.path(), &github(&App::start(), "")).start();
    let key = folder.path().join("tls.key");
    fs::remove_file(&key).unwrap();
    assert!(Command::new("mkfifo").arg(&key).status().unwrap().success());
    served.signal(Signal::HUP);
    served.line("is not a regular file");
    served.signal(Signal::TERM);
    assert!(served.ended().success());
}
