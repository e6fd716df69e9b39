//! Secrets that a provider hands over: kept once, while somebody awaits one, and in force at once.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::thread;

use hookward::policy::learn;

use crate::support::command::{Ran, run};
use crate::support::serve::Served;
use crate::support::{App, Delivery, NONE, NOW, Site, eventually, hmac_sha256};

const OFFER: &str = "b537207f20cbfa02357cf448134da559";
const LEARNS: &str = "[handshake]\nlearn_secret = \"state/kept.secret\"";

/// A source without secrets of its own.
fn site(provider: &str) -> Site {
    Site::new(provider, NONE, LEARNS)
}

fn asana_offer(secret: &str) -> Delivery {
    Delivery::post("/p", "{}").header("x-hook-secret", secret)
}

fn asana(secret: &str, body: &str) -> Delivery {
    Delivery::post("/p", body).header("x-hook-signature", &hex::encode(hmac_sha256(secret.as_bytes(), body.as_bytes())))
}

fn notion_offer(secret: &str) -> Delivery {
    Delivery::post("/p", &format!("{{\"verification_token\":\"{secret}\"}}"))
}

fn notion(secret: &str, body: &str) -> Delivery {
    let mac = hex::encode(hmac_sha256(secret.as_bytes(), body.as_bytes()));
    Delivery::post("/p", body).header("x-notion-signature", &format!("sha256={mac}"))
}

type Offer = fn(&str) -> Delivery;
type Sign = fn(&str, &str) -> Delivery;

const PROVIDERS: [(&str, Offer, Sign); 2] = [("asana", asana_offer, asana), ("notion", notion_offer, notion)];

/// Who proves nothing may say no more than a challenge needs.
#[test]
fn a_body_without_a_credential_is_short() {
    let site = site("notion");
    let offer = |length: usize| {
        let around = notion_offer("").body.len();
        notion_offer(&"s".repeat(length - around))
    };
    for (length, status) in [(16 * 1024 - 1, 403), (16 * 1024, 403), (16 * 1024 + 1, 413)] {
        let offer = offer(length);
        assert_eq!((offer.body.len(), site.send(&offer).status), (length, status));
    }
}

#[test]
fn the_first_offer_is_kept_while_one_is_awaited_and_signs_from_then_on() {
    for (provider, offer, sign) in PROVIDERS {
        let site = site(provider);
        let file = site.file("state/kept.secret");
        let closed = site.send(&offer(OFFER));
        assert_eq!((closed.status, closed.header("x-hook-secret")), (403, None), "{provider}");
        let record = site.gateway.record_of(&closed);
        assert_eq!(record.reason, "handshake_refused");
        assert!(record.hint.unwrap().contains("run `hookward learn p`"), "{provider}");
        assert!(!file.exists(), "{provider}");
        assert_eq!(site.send(&sign(OFFER, "{\"a\":1}")).status, 401, "{provider}: not in force");

        learn::open(&file, NOW).unwrap();
        let short = site.send(&offer("0123456789abcde"));
        assert_eq!(
            (short.status, site.reason(&short)),
            (403, "handshake_refused".to_owned()),
            "{provider}: fifteen bytes"
        );
        let answer = site.send(&offer(OFFER));
        assert_eq!((answer.status, answer.text()), (200, ""), "{provider}: {answer:?}");
        assert_eq!(answer.header("x-hook-secret"), (provider == "asana").then_some(OFFER), "{provider}");
        assert_eq!(fs::read_to_string(&file).unwrap(), OFFER, "{provider}");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{provider}");
        assert_eq!(
            fs::read_dir(file.parent().unwrap()).unwrap().count(),
            1,
            "{provider}: no marker, nothing half-written"
        );

        assert_eq!(site.send(&offer(&OFFER.replace('b', "c"))).status, 403, "{provider}: the second");
        assert_eq!(fs::read_to_string(&file).unwrap(), OFFER, "{provider}");
        site.load().unwrap();
        assert_eq!(site.send(&sign(OFFER, "{\"a\":1}")).status, 200, "{provider}");
        assert_eq!(site.send(&sign(&OFFER.replace('b', "c"), "{\"a\":1}")).status, 401, "{provider}");
        assert_eq!(site.app.only().body, b"{\"a\":1}", "{provider}: no offer reaches the app");
    }
}

#[test]
fn it_closes_after_fifteen_minutes_and_keeps_what_is_there() {
    let site = site("asana");
    let file = site.file("state/kept.secret");
    learn::open(&file, NOW - 900).unwrap();
    fs::write(&file, "the-secret-that-was-there").unwrap();
    assert_eq!(site.send(&asana_offer(OFFER)).status, 403, "at the second");
    assert_eq!(fs::read_to_string(&file).unwrap(), "the-secret-that-was-there");
    learn::open(&file, NOW - 899).unwrap();
    assert_eq!(site.send(&asana_offer(OFFER)).status, 200, "a second before");
    assert_eq!(fs::read_to_string(&file).unwrap(), OFFER);
}

#[test]
fn of_many_offers_at_once_one_is_kept() {
    let site = site("asana");
    let file = site.file("state/kept.secret");
    learn::open(&file, NOW).unwrap();
    let offers: Vec<_> = (0..8).map(|number| format!("{OFFER}{number}")).collect();
    let answers: Vec<_> = thread::scope(|scope| {
        let sent: Vec<_> =
            offers.iter().map(|offer| scope.spawn(|| (site.send(&asana_offer(offer)).status, offer.clone()))).collect();
        sent.into_iter().map(|sent| sent.join().unwrap()).collect()
    });
    let taken: Vec<_> = answers.iter().filter(|(status, _)| *status == 200).collect();
    assert_eq!(taken.len(), 1, "{answers:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), taken[0].1);
    assert!(answers.iter().all(|(status, _)| [200, 403].contains(status)), "{answers:?}");
}

#[test]
fn what_is_no_secret_is_not_kept() {
    let site = site("asana");
    let file = site.file("state/kept.secret");
    learn::open(&file, NOW).unwrap();
    let long = "a".repeat(257);
    for offer in ["{\"a\":\"0123456789\"}", "0123456789 0123456789", "12345678901234567890", "", &long] {
        let answer = site.send(&asana_offer(offer));
        assert!([401, 403].contains(&answer.status), "{offer:?}: {answer:?}");
    }
    let twice = asana_offer(OFFER).header("x-hook-secret", &OFFER.replace('b', "c"));
    assert_ne!(site.send(&twice).status, 200, "two offers in one");
    assert!(!file.exists());
    assert!(learn::closes(&file, NOW).is_some(), "still awaited");
}

#[test]
fn a_secret_that_cannot_be_kept_is_refused_and_stays_awaited() {
    let mut site = site("asana");
    let file = site.file("state/kept.secret");
    learn::open(&file, NOW).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(site.send(&asana_offer(OFFER)).status, 403);
    assert!(learn::closes(&file, NOW).is_some());
    site.gateway.stop();
    let log = site.gateway.access_text();
    assert!(log.contains("a secret was handed over and cannot be kept"), "{log}");
    assert!(!log.contains(OFFER) && !site.gateway.rejected_text().contains(OFFER));
}

#[test]
fn a_policy_that_says_not_where_it_is_kept_takes_none() {
    let site = Site::new("asana", "", "");
    let answer = site.send(&asana_offer(OFFER));
    assert_eq!((answer.status, site.reason(&answer)), (403, "handshake_refused".to_owned()));
    let record = site.gateway.record_of(&answer);
    assert!(record.hint.unwrap().contains("learn_secret"));
    let findings = Site::with("slack", "", LEARNS).err().unwrap();
    assert!(findings.contains("hands over no secret"), "{findings}");
}

fn policies(folder: &Path, provider: &str, app: &App) {
    let policy = format!("path = \"/p\"\n[auth]\nprovider = \"{provider}\"\n[forward]\n{}\n{LEARNS}\n", app.to("/app"));
    fs::create_dir_all(folder.join("policies")).unwrap();
    fs::write(folder.join("policies/p.toml"), policy).unwrap();
    fs::write(folder.join("hookward.toml"), "[policies]\ndirectory = \"policies\"\n").unwrap();
}

/// The whole way, with the built binary: what was learnt counts when the answer is out.
#[test]
fn what_serve_learnt_is_in_force_when_the_provider_has_its_answer() {
    let (folder, app) = (tempfile::tempdir().unwrap(), App::start());
    policies(folder.path(), "asana", &app);
    let served = Served::start(folder.path());
    assert_eq!(served.connect().send(&asana_offer(OFFER)).status, 403);
    let opened = run(folder.path(), &["learn", "p"]);
    assert_eq!(opened.code, 0, "{}", opened.err);
    let mut connection = served.connect();
    assert_eq!(connection.send(&asana_offer(OFFER)).status, 200);
    assert_eq!(connection.send(&asana(OFFER, "{\"a\":1}")).status, 200, "the first delivery, at once");
    let line = served.line("a secret was handed over and is kept");
    assert!(line.contains("\"source\":\"p\"") && line.contains("\"peer\":\"127.0.0.1\""), "{line}");
    assert!(!line.contains(OFFER));
    assert_eq!(app.only().body, b"{\"a\":1}");

    // By hand, as if it had been learnt elsewhere: the file is watched.
    let other = OFFER.replace('b', "c");
    fs::write(folder.path().join("policies/state/kept.secret"), &other).unwrap();
    eventually("the other secret", || (connection.send(&asana(&other, "{\"a\":2}")).status == 200).then_some(()));
    assert_eq!(connection.send(&asana(OFFER, "{\"a\":3}")).status, 401);
}

#[test]
fn a_changed_secret_file_reloads_by_itself_wherever_it_is() {
    let (folder, app) = (tempfile::tempdir().unwrap(), App::start());
    policies(folder.path(), "notion", &app);
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("secret");
    fs::write(&file, OFFER).unwrap();
    let policy = format!(
        "path = \"/p\"\n[auth]\nprovider = \"notion\"\nsecrets = [{{ id = \"1\", file = \"{}\" }}]\n[forward]\n{}\n",
        file.display(),
        app.to("/app")
    );
    fs::write(folder.path().join("policies/p.toml"), policy).unwrap();
    let served = Served::start(folder.path());
    let mut connection = served.connect();
    assert_eq!(connection.send(&notion(OFFER, "{\"a\":1}")).status, 200);
    let other = OFFER.replace('b', "c");
    let next = elsewhere.path().join("next");
    fs::write(&next, &other).unwrap();
    fs::rename(&next, &file).unwrap();
    served.line("\"reloaded\"");
    assert_eq!(connection.send(&notion(&other, "{\"a\":2}")).status, 200);
    assert_eq!(connection.send(&notion(OFFER, "{\"a\":3}")).status, 401);
}

#[test]
fn the_verb_opens_and_closes_and_says_what_to_do() {
    let (folder, app) = (tempfile::tempdir().unwrap(), App::start());
    policies(folder.path(), "asana", &app);
    let state = folder.path().join("policies/state");
    let Ran { code, out, .. } = run(folder.path(), &["learn", "p"]);
    assert_eq!(code, 0);
    assert_eq!(
        out,
        "p: open for 15 minutes. Make the webhook at the provider now.\n\
         The first secret that comes is kept in policies/state/kept.secret.\n\
         The gateway's log says when; a provider that asks for it back (Notion) is told what is in that file.\n\
         `hookward learn p --close` ends it before.\n"
    );
    let marker = state.join("kept.secret.open");
    assert_eq!(fs::metadata(&marker).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!state.join("kept.secret").exists());
    assert_eq!(run(folder.path(), &["learn", "p", "--close"]).out, "p: closed\n");
    assert!(!marker.exists());
    assert_eq!(run(folder.path(), &["learn", "p", "--close"]).out, "p: it was not open\n");
    fs::write(state.join("kept.secret"), OFFER).unwrap();
    assert!(run(folder.path(), &["learn", "p"]).out.contains("kept.secret, instead of the one there.\n"));
}

#[test]
fn the_verb_refuses_what_cannot_learn() {
    let (folder, app) = (tempfile::tempdir().unwrap(), App::start());
    policies(folder.path(), "asana", &app);
    let path = folder.path().join("policies/p.toml");
    let policy = fs::read_to_string(&path).unwrap();
    let ran = run(folder.path(), &["learn", "q"]);
    assert_eq!((ran.code, ran.err.as_str()), (1, "hookward: no source \"q\"; there are: p\n"));
    fs::write(&path, format!("{policy}mode = \"refuse\"\n")).unwrap();
    let ran = run(folder.path(), &["learn", "p"]);
    assert_eq!((ran.code, ran.err.contains("answers no handshake")), (1, true), "{}", ran.err);
    fs::write(&path, policy.replace(LEARNS, "")).unwrap();
    let ran = run(folder.path(), &["learn", "p"]);
    assert_eq!(ran.code, 1);
    fs::write(
        &path,
        policy.replace(LEARNS, "").replace("\"asana\"", "\"asana\"\nsecrets = [{ id = \"1\", env = \"A\" }]"),
    )
    .unwrap();
    let ran = run(folder.path(), &["learn", "p"]);
    assert_eq!((ran.code, ran.err.contains("has no [handshake] learn_secret")), (1, true), "{}", ran.err);
    fs::write(&path, "broken").unwrap();
    let ran = run(folder.path(), &["learn", "p"]);
    assert_eq!((ran.code, ran.err.contains("p.toml:1")), (1, true), "{}", ran.err);
    assert!(!folder.path().join("policies/state").exists(), "nothing was opened");
}

#[test]
fn a_recorded_offer_is_answered_and_writes_nothing() {
    let (folder, app) = (tempfile::tempdir().unwrap(), App::start());
    policies(folder.path(), "asana", &app);
    let record = format!(
        "{{\"id\":\"1\",\"method\":\"POST\",\"url\":\"https://localhost/p\",\"headers\":[[\"x-hook-secret\",\"{OFFER}\"],\
         [\"content-type\",\"application/json\"]],\"body_b64\":\"e30=\",\"now\":{NOW}}}\n"
    );
    fs::write(folder.path().join("offer.jsonl"), record).unwrap();
    let ran = run(folder.path(), &["test", "offer.jsonl"]);
    assert_eq!((ran.code, ran.out.contains("\"answer\"")), (0, true), "{ran:?}");
    assert!(!folder.path().join("policies/state").exists());
}

/// As an orchestrator mounts secrets: links through a folder that is replaced as a whole.
#[test]
fn a_volume_that_is_swapped_reloads_too() {
    let (folder, app) = (tempfile::tempdir().unwrap(), App::start());
    policies(folder.path(), "notion", &app);
    let volume = tempfile::tempdir().unwrap();
    let at = |name: &str| volume.path().join(name);
    let other = OFFER.replace('b', "c");
    for (version, secret) in [("..1", OFFER), ("..2", &other)] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("secret"), secret).unwrap();
    }
    symlink("..1", at("..data")).unwrap();
    symlink("..data/secret", at("secret")).unwrap();
    let policy = format!(
        "path = \"/p\"\n[auth]\nprovider = \"notion\"\nsecrets = [{{ id = \"1\", file = \"{}\" }}]\n[forward]\n{}\n",
        at("secret").display(),
        app.to("/app")
    );
    fs::write(folder.path().join("policies/p.toml"), policy).unwrap();
    let served = Served::start(folder.path());
    assert_eq!(served.connect().send(&notion(OFFER, "{\"a\":1}")).status, 200);
    symlink("..2", at("..next")).unwrap();
    fs::rename(at("..next"), at("..data")).unwrap();
    served.line("\"reloaded\"");
    assert_eq!(served.connect().send(&notion(&other, "{\"a\":2}")).status, 200);
}
