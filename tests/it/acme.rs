//! Certificates from an authority: issued at the first start, renewed ahead of time, kept over a restart, and what happens where the authority says no.
//!
//! The authority is one of ours ([`authority`](crate::support::authority)); its looks at the gateway are real connections.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use std::{fs, io, thread};

use hookward::acme::{self, ATTEMPT_SECONDS_MIN, Acme, PAUSE_SECONDS_MAX, RATE_LIMITED_SECONDS_MIN};
use hookward::admin::{self, Admin};
use hookward::clock::Clock;
use hookward::policy::diagnostic::{Diagnostics, Files, Styles};
use hookward::policy::gateway_config::{AcmeConfig, read_gateway};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tempfile::TempDir;

use crate::gateway::github;
use crate::support::authority::{Authority, Mood, challenged};
use crate::support::client::socket;
use crate::support::command::{hookward, run};
use crate::support::{App, Connection, Delivery, House, NOW, Running, eventually};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// As many deliveries as a test sends while time stands still.
const LIMITS: &str =
    "[limit]\nclient = { per_second = 50, burst = 1_000_000 }\nsource = { per_second = 50, burst = 1_000_000 }\n";
const HOOKS: &str = "hooks.example.com";
const OTHER: &str = "other.example.com";

/// A gateway that has its certificate from an authority, and an app behind it.
struct Issued {
    _app: App,
    gateway: Running,
    authority: Authority,
    acme: Acme,
    state: TempDir,
}

impl Issued {
    fn start(kind: &'static str) -> Self {
        Self::of(kind, &[kind])
    }

    /// With an authority that takes proofs of these kinds.
    fn of(kind: &str, taken: &[&'static str]) -> Self {
        let clock = Clock::manual(NOW);
        let authority = Authority::start(clock.clone(), taken, 90 * DAY);
        Self::with(clock, authority, kind, TempDir::with_prefix("hookward-test-").unwrap())
    }

    fn with(clock: Clock, authority: Authority, kind: &str, state: TempDir) -> Self {
        let app = App::start();
        let house = House::with("github", &github(&app, LIMITS)).clock(clock);
        let gateway = house.certificates(&[]).awaiting(&[HOOKS, OTHER]).start();
        let acme = open(&gateway, &authority, kind, state.path());
        authority.look_at(acme.http().unwrap_or_else(|| gateway.address()));
        Self { _app: app, gateway, authority, acme, state }
    }

    /// The same gateway, started again.
    fn restarted(self, kind: &str) -> Self {
        let clock = self.gateway.shared().clock.clone();
        let Self { gateway, authority, acme, state, .. } = self;
        drop((gateway, acme));
        Self::with(clock, authority, kind, state)
    }

    fn step(&mut self) {
        step(&mut self.acme);
    }

    fn advance(&self, by: Duration) {
        self.gateway.advance(by);
    }

    fn advance_to_due(&self) {
        let left = self.acme.due() - self.now();
        self.advance(Duration::from_secs(u64::try_from(left).unwrap()));
    }

    fn now(&self) -> i64 {
        self.gateway.shared().clock.unix_seconds()
    }

    /// From now on its certificate is for these names.
    fn want(&mut self, domains: &[&str]) {
        let mut config = config(&self.authority, "tls-alpn-01", self.state.path());
        config.domains = domains.iter().map(|&domain| domain.to_owned()).collect();
        self.acme = open_with(&self.gateway, config);
    }

    /// Where something is kept.
    fn kept(&self, name: &str) -> PathBuf {
        let mut folders = fs::read_dir(self.state.path().join("acme")).unwrap();
        folders.next().unwrap().unwrap().path().join(name)
    }

    /// The certificate that a sender gets who trusts the authority alone.
    fn certificate(&self, name: &str) -> io::Result<CertificateDer<'static>> {
        certificate(self.gateway.address(), &self.client(), name)
    }

    fn client(&self) -> Arc<ClientConfig> {
        client(&self.authority, &self.gateway.shared().clock)
    }

    fn metric(&self, name: &str) -> i64 {
        self.gateway.metric(name)
    }

    /// Waits for a line of the log with this text.
    fn says(&self, text: &str) {
        eventually(text, || self.log().contains(text).then_some(()));
    }

    fn log(&self) -> String {
        self.gateway.access_text()
    }
}

fn open(gateway: &Running, authority: &Authority, kind: &str, state: &Path) -> Acme {
    open_with(gateway, config(authority, kind, state))
}

fn open_with(gateway: &Running, config: AcmeConfig) -> Acme {
    let store = Arc::clone(gateway.server().certificates().unwrap());
    let clock = gateway.shared().clock.clone();
    let listener = acme::bind(&config).unwrap();
    Acme::open(config, listener, store, gateway.server().telemetry().clone(), clock).unwrap()
}

fn config(authority: &Authority, kind: &str, state: &Path) -> AcmeConfig {
    let mut files = Files::default();
    let mut found = Diagnostics::default();
    let text = format!("[policies]\ndirectory = 'p'\n{}", table(authority, kind, state));
    let config = read_gateway(&files.add("hookward.toml", text), &mut found).and_then(|config| config.acme);
    assert!(found.is_empty(), "{}", found.report(&files, &Styles::plain()));
    config.unwrap()
}

/// `[acme]`, with everything in this folder.
fn table(authority: &Authority, kind: &str, folder: &Path) -> String {
    let root = folder.join("server.pem");
    fs::write(&root, &authority.server_pem).unwrap();
    let http = if kind == "http-01" { "http = '127.0.0.1:0'" } else { "" };
    format!(
        "[acme]\ndirectory_url = '{}'\ncontact = ['mailto:hooks@example.com']\naccept_terms = true\n\
         domains = ['{HOOKS}', '{OTHER}']\nchallenge = '{kind}'\n{http}\nstate = '{}'\ntrust_roots = [{{ file = '{}' }}]\n",
        authority.url,
        folder.join("acme").display(),
        root.display()
    )
}

/// The proofs over HTTP are shown by the runtime that the attempt is made in, as in the control thread.
fn step(acme: &mut Acme) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        acme.listen().unwrap();
        acme.step().await
    });
}

/// The time of a gateway, for clients that verify.
#[derive(Debug)]
struct At(Clock);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        let now = u64::try_from(self.0.unix_seconds()).unwrap();
        Some(UnixTime::since_unix_epoch(Duration::from_secs(now)))
    }
}

fn client(authority: &Authority, clock: &Clock) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.root.clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_details(provider, Arc::new(At(clock.clone())))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

fn certificate(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> io::Result<CertificateDer<'static>> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut session = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut socket = socket(address);
    while session.is_handshaking() {
        session.complete_io(&mut socket)?;
    }
    Ok(session.peer_certificates().unwrap()[0].clone().into_owned())
}

#[test]
fn a_certificate_is_issued_at_the_first_start_and_nothing_is_served_before() {
    for kind in ["tls-alpn-01", "http-01"] {
        let mut issued = Issued::start(kind);
        assert!(issued.certificate(HOOKS).is_err(), "{kind}: there is none yet");
        assert_eq!(readiness(&issued.gateway), (503, "no certificate yet\n".to_owned()), "{kind}");
        issued.step();
        let one = issued.certificate(HOOKS).unwrap_or_else(|error| panic!("{kind}: {error}: {}", issued.log()));
        assert_eq!(issued.certificate(OTHER).unwrap(), one, "{kind}");
        assert!(issued.certificate("third.example.com").is_err(), "{kind}");
        assert_eq!(readiness(&issued.gateway), (200, "ready\n".to_owned()), "{kind}");
        assert_eq!(issued.authority.counts(), (1, 1), "{kind}");

        let now = issued.gateway.shared().clock.unix_seconds();
        let end = i64::try_from((90 * DAY).as_secs()).unwrap() + now;
        let sample = format!("hookward_certificate_not_after_timestamp_seconds{{certificate=\"0\",name=\"{HOOKS}\"}}");
        assert_eq!(issued.metric(&sample), end, "{}", issued.gateway.metrics());
        assert_eq!(issued.metric("hookward_acme_success_timestamp_seconds"), now);
        assert_eq!(issued.metric("hookward_acme_failures_total"), 0);
        issued.says("a certificate was issued");
        // Nothing is due, so nothing is asked.
        issued.step();
        assert_eq!(issued.authority.counts(), (1, 1), "{kind}");
    }
}

fn readiness(gateway: &Running) -> (u16, String) {
    let socket = admin::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    let telemetry = gateway.server().telemetry().clone();
    let private = Admin { shared: Arc::clone(gateway.shared()), telemetry };
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(private.serve(socket))
    });
    let mut connection = Connection::plain(address);
    connection.write(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let answer = connection.answer();
    (answer.status, String::from_utf8(answer.body).unwrap())
}

#[test]
fn a_renewal_comes_when_a_third_is_left_while_no_delivery_fails() {
    let mut issued = Issued::start("tls-alpn-01");
    issued.step();
    let first = issued.certificate(HOOKS).unwrap();
    issued.advance((60 * DAY).saturating_sub(Duration::from_secs(1)));
    issued.step();
    assert_eq!(issued.certificate(HOOKS).unwrap(), first, "a second before it is due");

    issued.advance(Duration::from_secs(1));
    let (config, address) = (issued.client(), issued.gateway.address());
    let (done, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (until, count) = (Arc::clone(&done), Arc::clone(&sent));
    let sender = thread::spawn(move || {
        while !until.load(Ordering::Relaxed) {
            let number = count.fetch_add(1, Ordering::Relaxed);
            let body = format!("{{\"ref\":\"{number}\"}}");
            let delivery = Delivery::github("push", &body).replace("host", HOOKS);
            assert_eq!(deliver(address, &config, &delivery), "HTTP/1.1 200", "delivery {number}");
        }
    });
    eventually("a few deliveries before", || (sent.load(Ordering::Relaxed) > 3).then_some(()));
    issued.step();
    let before = sent.load(Ordering::Relaxed);
    eventually("a few deliveries after", || {
        (sent.load(Ordering::Relaxed) > before + 3 || sender.is_finished()).then_some(())
    });
    done.store(true, Ordering::Relaxed);
    sender.join().unwrap();
    assert_ne!(issued.certificate(HOOKS).unwrap(), first);
    assert_eq!(issued.authority.counts(), (1, 2), "the account is the same");
}

/// The beginning of what a delivery on a connection of its own is answered.
fn deliver(address: SocketAddr, config: &Arc<ClientConfig>, delivery: &Delivery) -> String {
    use std::io::{Read as _, Write as _};
    let mut session = ClientConnection::new(Arc::clone(config), ServerName::try_from(HOOKS).unwrap()).unwrap();
    let mut socket = socket(address);
    let mut stream = rustls::Stream::new(&mut session, &mut socket);
    stream.write_all(&delivery.bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    String::from_utf8(answer.to_vec()).unwrap()
}

#[test]
fn a_restart_asks_for_nothing_and_what_is_kept_is_for_its_owner_alone() {
    let mut issued = Issued::start("tls-alpn-01");
    issued.step();
    let first = issued.certificate(HOOKS).unwrap();
    let mut again = issued.restarted("tls-alpn-01");
    assert_eq!(again.certificate(HOOKS).unwrap(), first);
    again.step();
    assert_eq!((again.authority.counts(), again.certificate(HOOKS).unwrap()), ((1, 1), first.clone()));

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = fs::read_dir(again.state.path().join("acme")).unwrap().next().unwrap().unwrap().path();
    assert_eq!((mode(folder.parent().unwrap()), mode(&folder)), (0o700, 0o700));
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let names: Vec<_> = files.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["account.json", "attempt", "certificate.pem"]);
    assert!(files.iter().all(|path| mode(path) == 0o600));

    // The account is still good for a renewal, and half a certificate is none.
    fs::write(&files[2], &fs::read(&files[2]).unwrap()[..400]).unwrap();
    let mut third = again.restarted("tls-alpn-01");
    assert!(third.certificate(HOOKS).is_err());
    third.step();
    assert!(third.certificate(HOOKS).is_err(), "it is too soon");
    third.advance_to_due();
    third.step();
    assert_ne!(third.certificate(HOOKS).unwrap(), first);
    assert_eq!(third.authority.counts(), (1, 2));
}

#[test]
fn an_authority_that_refuses_is_left_alone_for_longer_and_longer_and_the_old_certificate_stays() {
    for (mood, least) in [(Mood::RateLimited, RATE_LIMITED_SECONDS_MIN), (Mood::Late, ATTEMPT_SECONDS_MIN)] {
        let mut issued = Issued::start("tls-alpn-01");
        issued.step();
        let first = issued.certificate(HOOKS).unwrap();
        issued.advance_to_due();
        issued.authority.set(mood);
        let mut pauses = Vec::new();
        for failures in 1..=4 {
            let (_, orders) = issued.authority.counts();
            issued.step();
            assert_eq!(issued.metric("hookward_acme_failures_total"), failures, "{mood:?}");
            let now = issued.gateway.shared().clock.unix_seconds();
            assert_eq!(issued.metric("hookward_acme_failure_timestamp_seconds"), now, "{mood:?}");
            pauses.push(issued.acme.due() - now);
            issued.advance(Duration::from_secs(u64::try_from(pauses.last().unwrap() - 1).unwrap()));
            let asked = issued.authority.counts().1;
            issued.step();
            assert_eq!(issued.authority.counts().1, asked, "{mood:?}: a second before it is due");
            assert!(asked - orders <= 1);
            issued.advance(Duration::from_secs(1));
        }
        assert!(pauses[0] >= least && pauses[0] <= least + least / 4, "{mood:?}: {pauses:?}");
        assert!(pauses.iter().all(|pause| *pause >= least), "{mood:?}: {pauses:?}");
        assert_eq!(issued.certificate(HOOKS).unwrap(), first, "{mood:?}");
        issued.says("no certificate was issued");

        issued.authority.set(Mood::Good);
        issued.step();
        assert_ne!(issued.certificate(HOOKS).unwrap(), first, "{mood:?}");
    }
}

#[test]
fn a_nonce_that_is_refused_is_replaced_and_a_forgotten_account_made_anew() {
    let mut issued = Issued::start("tls-alpn-01");
    issued.authority.set(Mood::BadNonces);
    issued.step();
    issued.certificate(HOOKS).unwrap_or_else(|error| panic!("{error}: {}", issued.log()));
    issued.advance_to_due();
    issued.authority.set(Mood::Forgetful);
    issued.step();
    assert_eq!(issued.metric("hookward_acme_failures_total"), 1);
    issued.advance_to_due();
    issued.step();
    assert_eq!((issued.authority.counts(), issued.metric("hookward_acme_failures_total")), ((2, 2), 1));
}

#[test]
fn a_proof_that_does_not_convince_is_told_with_its_name_and_a_kind_that_is_not_taken_too() {
    let mut issued = Issued::start("http-01");
    // The listener of TLS has no files.
    issued.authority.look_at(issued.gateway.address());
    issued.step();
    issued.says(&format!("the authority refused the proof that {HOOKS} is ours"));
    assert!(issued.certificate(HOOKS).is_err());

    let mut issued = Issued::of("tls-alpn-01", &["dns-01"]);
    issued.step();
    issued.says("the authority takes no proof by tls-alpn-01");
}

#[test]
fn an_answer_longer_than_any_authority_gives_is_not_read() {
    for (bytes, orders) in [((1 << 20) - 1, 1), (1 << 20, 1), ((1 << 20) + 1, 0)] {
        let mut issued = Issued::start("tls-alpn-01");
        issued.authority.set(Mood::Wordy(bytes));
        issued.step();
        assert_eq!(issued.authority.counts().1, orders, "{bytes}");
    }
}

#[test]
fn pauses_and_failures_outlive_a_restart() {
    let least = [ATTEMPT_SECONDS_MIN, 2 * ATTEMPT_SECONDS_MIN];
    for (mood, least) in [(Mood::RateLimited, [RATE_LIMITED_SECONDS_MIN; 2]), (Mood::Late, least)] {
        let mut issued = Issued::start("tls-alpn-01");
        issued.authority.set(mood);
        issued.step();
        let due = issued.acme.due();
        assert!(due >= issued.now() + least[0], "{mood:?}");
        let mut again = issued.restarted("tls-alpn-01");
        assert_eq!(again.acme.due(), due, "{mood:?}");
        let asked = again.authority.counts().1;
        again.advance(Duration::from_secs(u64::try_from(due - again.now() - 1).unwrap()));
        again.step();
        assert_eq!(again.authority.counts().1, asked, "{mood:?}: a second before it is due");
        again.advance(Duration::from_secs(1));
        again.step();
        assert!(again.acme.due() >= again.now() + least[1], "{mood:?}: it is the second failure");

        again.authority.set(Mood::Good);
        again.advance_to_due();
        again.step();
        again.certificate(HOOKS).unwrap();
        let note = fs::read_to_string(again.kept("attempt")).unwrap();
        assert_eq!(note, format!("{} 0\n", again.now() + ATTEMPT_SECONDS_MIN), "{mood:?}");
    }
}

#[test]
fn a_note_is_believed_as_far_ahead_as_a_pause_can_be_and_one_that_makes_no_sense_costs_a_short_pause() {
    const LONGEST: i64 = PAUSE_SECONDS_MAX / 4 * 5;
    let mut issued = Issued::start("tls-alpn-01");
    fs::write(issued.kept("attempt"), "soon").unwrap();
    issued.want(&[HOOKS]);
    assert_eq!(issued.acme.due(), NOW + ATTEMPT_SECONDS_MIN);
    issued.says("the note of the last attempt cannot be read");
    for (ahead, wait) in [(0, 0), (1, 1), (LONGEST - 1, LONGEST - 1), (LONGEST, LONGEST), (LONGEST + 1, 0)] {
        fs::write(issued.kept("attempt"), format!("{} 1\n", NOW + ahead)).unwrap();
        issued.want(&[HOOKS]);
        assert_eq!(issued.acme.due(), NOW + wait, "{ahead}");
    }
}

#[test]
fn a_certificate_that_lacks_a_new_name_serves_the_others_until_one_with_all_of_them_is_issued() {
    let mut issued = Issued::start("tls-alpn-01");
    issued.want(&[HOOKS]);
    issued.step();
    let first = issued.certificate(HOOKS).unwrap();
    let mut again = issued.restarted("tls-alpn-01");
    assert_eq!(again.certificate(HOOKS).unwrap(), first);
    assert!(again.certificate(OTHER).is_err());
    assert_eq!(readiness(&again.gateway).0, 200);
    again.says("the certificate that was kept is not for all of the domains");
    assert_eq!(again.acme.due(), NOW + ATTEMPT_SECONDS_MIN, "as soon as it may be");
    again.advance_to_due();
    again.step();
    assert_eq!(again.certificate(HOOKS).unwrap(), again.certificate(OTHER).unwrap());
    assert_eq!(again.acme.due(), again.now() + i64::try_from((60 * DAY).as_secs()).unwrap());

    // One that has none of the names is not put in force.
    let mut strange = Issued::start("tls-alpn-01");
    strange.want(&["third.example.com"]);
    fs::copy(again.kept("certificate.pem"), strange.kept("certificate.pem")).unwrap();
    strange.want(&["third.example.com"]);
    assert_eq!(readiness(&strange.gateway).0, 503);
    assert_eq!(strange.acme.due(), NOW);
}

#[test]
fn a_clock_that_was_far_ahead_and_is_set_back_delays_no_renewal() {
    let mut issued = Issued::start("tls-alpn-01");
    issued.step();
    let (first, due) = (issued.certificate(HOOKS).unwrap(), issued.acme.due());
    let clock = issued.gateway.shared().clock.clone();
    clock.set_wall(NOW + i64::try_from((400 * DAY).as_secs()).unwrap());
    // To the authority, whose clock is right, nothing of it is known.
    issued.authority.set(Mood::RateLimited);
    issued.step();
    assert_eq!(issued.metric("hookward_acme_failures_total"), 1);
    clock.set_wall(NOW + 60);
    issued.authority.set(Mood::Good);
    issued.step();
    assert_eq!(issued.acme.due(), due);
    issued.advance_to_due();
    issued.step();
    assert_ne!(issued.certificate(HOOKS).unwrap(), first);
}

#[test]
fn a_certificate_that_cannot_be_kept_is_in_force_all_the_same_and_is_kept_later() {
    let mut issued = Issued::start("tls-alpn-01");
    fs::create_dir(issued.kept("certificate.pem")).unwrap();
    issued.step();
    let first = issued.certificate(HOOKS).unwrap();
    issued.says("is in force and cannot be kept");
    issued.advance(Duration::from_secs(60));
    issued.step();
    assert_eq!(issued.metric("hookward_acme_failures_total"), 0);
    fs::remove_dir(issued.kept("certificate.pem")).unwrap();
    issued.advance(Duration::from_secs(60));
    issued.step();
    issued.says("the certificate is kept");
    let again = issued.restarted("tls-alpn-01");
    assert_eq!((again.certificate(HOOKS).unwrap(), again.authority.counts()), (first, (1, 1)));
}

#[test]
fn an_account_that_cannot_be_read_is_not_replaced() {
    let mut issued = Issued::start("tls-alpn-01");
    issued.step();
    let account = fs::read(issued.kept("account.json")).unwrap();
    fs::write(issued.kept("account.json"), &account[..20]).unwrap();
    issued.advance_to_due();
    issued.step();
    issued.says("cannot read the account");
    assert_eq!(
        (issued.authority.counts(), fs::read(issued.kept("account.json")).unwrap()),
        ((1, 1), account[..20].to_vec())
    );
    fs::write(issued.kept("account.json"), account).unwrap();
    issued.advance_to_due();
    issued.step();
    assert_eq!(issued.authority.counts(), (1, 2));
}

#[test]
fn the_protocol_of_proofs_is_spoken_only_while_one_is_pending_and_a_file_keeps_its_certificate() {
    let mut issued = Issued::start("tls-alpn-01");
    let address = issued.gateway.address();
    let shake = |protocols: &[&[u8]]| challenged(address, HOOKS, protocols).map(|_| ());
    assert!(shake(&[b"acme-tls/1"]).is_err(), "nothing is issued yet");
    issued.step();
    assert!(shake(&[b"acme-tls/1"]).is_err(), "and the proof is gone");
    assert!(shake(&[b"acme-tls/1", b"http/1.1"]).is_ok(), "an ordinary one");

    // Beside certificates from files; those that were issued outlive a reload of them.
    let gateway = House::new().awaiting(&[HOOKS]).start();
    assert!(gateway.connect().version().is_some());
    let refused = challenged(gateway.address(), HOOKS, &[b"http/1.1"]);
    assert!(refused.is_err(), "not the default one");
    let state = TempDir::with_prefix("hookward-test-").unwrap();
    let authority = Authority::start(gateway.shared().clock.clone(), &["tls-alpn-01"], 90 * DAY);
    authority.look_at(gateway.address());
    let mut acme = open(&gateway, &authority, "tls-alpn-01", state.path());
    assert_eq!(readiness(&gateway).0, 200, "one can be served");
    step(&mut acme);
    let config = client(&authority, &gateway.shared().clock);
    let first = certificate(gateway.address(), &config, HOOKS).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (files, _) = crate::support::house::make_certificates(folder.path(), &[vec!["localhost".to_owned()]]);
    let files = hookward::edge::tls::Certificates::load(&files).unwrap();
    gateway.server().certificates().unwrap().swap(&files);
    assert_eq!(certificate(gateway.address(), &config, HOOKS).unwrap(), first);
}

/// Ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn serve_has_a_certificate_issued_as_soon_as_it_listens() {
    let folder = TempDir::with_prefix("hookward-test-").unwrap();
    let authority = Authority::start(Clock::system(), &["http-01"], 90 * DAY);
    fs::create_dir(folder.path().join("policies")).unwrap();
    let config = format!(
        "[listen]\nhttps = ['127.0.0.1:0']\n[edge]\nworkers = 1\n[policies]\ndirectory = 'policies'\n\
         [rejects]\nfile = 'rejected.jsonl'\n[log]\nformat = 'json'\n{}",
        table(&authority, "http-01", folder.path())
    );
    fs::write(folder.path().join("hookward.toml"), config).unwrap();
    let mut command = hookward(folder.path(), &["serve"]);
    let mut child = Ended(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut line = |texts: [&str; 2]| -> serde_json::Value {
        let line = lines.find(|line| texts.iter().all(|text| line.contains(text)));
        serde_json::from_str(&line.unwrap_or_else(|| panic!("no line with {texts:?}"))).unwrap()
    };
    let address = |line: &serde_json::Value| line["address"].as_str().unwrap().parse().unwrap();
    let https = address(&line(["listening", "https"]));
    authority.look_at(address(&line(["listening", "acme"])));
    line(["a certificate was issued", HOOKS]);
    certificate(https, &client(&authority, &Clock::system()), HOOKS).unwrap();
}

#[test]
fn check_looks_at_what_acme_names() {
    let folder = TempDir::with_prefix("hookward-test-").unwrap();
    let authority = Authority::start(Clock::system(), &["tls-alpn-01"], 90 * DAY);
    fs::create_dir(folder.path().join("policies")).unwrap();
    let table = table(&authority, "tls-alpn-01", folder.path());
    let check = |table: &str| {
        let config = format!("[listen]\nhttps = ['127.0.0.1:0']\n[policies]\ndirectory = 'policies'\n{table}");
        fs::write(folder.path().join("hookward.toml"), config).unwrap();
        let ran = run(folder.path(), &["check"]);
        (ran.code, ran.out + &ran.err)
    };
    let (code, told) = check(&table);
    assert_eq!(code, 0, "{told}");
    assert!(!folder.path().join("acme").exists(), "nothing is made");
    for (good, bad, expected) in [
        ("server.pem", "nowhere.pem", "cannot read certificates from"),
        ("accept_terms = true", "accept_terms = false", "hookward.toml:8:16: error: no authority issues certificates"),
        ("https://", "http://", "is not https"),
    ] {
        let (code, told) = check(&table.replace(good, bad));
        assert!(code != 0 && told.contains(expected), "{expected}: {told}");
    }
}
