//! A gateway in this process: policies as text, secrets made up, logs where they can be read.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookward::admit::networks::Networks;
use hookward::admit::{Capacity, Limits};
use hookward::cli::cert;
use hookward::clock::Clock;
use hookward::edge::sockets::{Places, Sockets};
use hookward::edge::tls::{CertificateFiles, Certificates};
use hookward::edge::unix;
use hookward::forward::names::Names;
use hookward::gateway::Shared;
use hookward::policy::Policy;
use hookward::policy::diagnostic::Styles;
use hookward::policy::gateway_config::{EdgeConfig, ForwardingField, PoliciesConfig};
use hookward::policy::load::{self, Loaded};
use hookward::policy::secrets::{Resolved, Resolver, SecretFault};
use hookward::policy::source_config::SecretPlace;
use hookward::policy::table::Spanned;
use hookward::reason::Level;
use hookward::record::{Colour, Format, Options, Record, Telemetry};
use hookward::secret::Secret;
use hookward::server::{self, Server, Startup};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tempfile::TempDir;

use super::client::{Connection, Hello};
use super::eventually;

/// When the tests take place, unless a test says otherwise: 2026-11-23T12:00:00Z.
pub(crate) const NOW: i64 = 1_795_435_200;

/// The secret behind a variable of a test's policy.
pub(crate) fn secret_of(variable: &str) -> String {
    if variable == "BASIC" { format!("{variable}:password-0123456789") } else { format!("{variable}-0123456789abcdef") }
}

/// Knows a secret for every variable, unless its name begins with `UNSET`.
pub(crate) struct Secrets;

impl Resolver for Secrets {
    fn resolve(&self, place: &SecretPlace) -> Result<Resolved, SecretFault> {
        match place {
            SecretPlace::Env(name) if name.starts_with("UNSET") => Err(SecretFault::Unset(name.clone())),
            SecretPlace::Env(name) => Ok(Resolved::Secret(Secret::new(secret_of(name).into_bytes()))),
            SecretPlace::File(path) => Err(SecretFault::Empty(path.display().to_string())),
            SecretPlace::Credential(name) => Err(SecretFault::NoCredentials(name.clone())),
        }
    }
}

/// A gateway that is about to start.
pub(crate) struct House {
    files: BTreeMap<PathBuf, String>,
    edge: EdgeConfig,
    clock: Clock,
    /// Where hosts are that a subscription is confirmed at; nowhere, if nobody says.
    pub(crate) names: Names,
    certificates: Vec<Vec<String>>,
    awaiting: Vec<String>,
    plain: bool,
    trusted: Networks,
    forwarding_field: ForwardingField,
    proxy_protocol: bool,
    unix: Vec<unix::Place>,
    format: Format,
}

/// A gateway that runs until it goes out of scope.
pub(crate) struct Running {
    server: Option<Server>,
    shared: Arc<Shared>,
    telemetry: Telemetry,
    folder: TempDir,
    stdout: Arc<Mutex<Vec<u8>>>,
    roots: RootCertStore,
    address: SocketAddr,
    plain: Option<SocketAddr>,
}

/// What stands where standard output would.
struct Stdout(Arc<Mutex<Vec<u8>>>);

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl House {
    /// A gateway with one worker, for `localhost`, at [`NOW`], where time stands still.
    pub(crate) fn new() -> Self {
        Self {
            files: BTreeMap::new(),
            edge: EdgeConfig { workers: Some(1), drain_time: Duration::from_secs(5), ..EdgeConfig::default() },
            clock: Clock::manual(NOW),
            names: Names::fixed([]),
            certificates: vec![vec!["localhost".to_owned()]],
            awaiting: Vec::new(),
            plain: false,
            trusted: Networks::default(),
            forwarding_field: ForwardingField::default(),
            proxy_protocol: false,
            unix: Vec::new(),
            format: Format::Json,
        }
    }

    /// A gateway with this one policy, `NAME.toml`.
    pub(crate) fn with(name: &str, policy: &str) -> Self {
        Self::new().policy(name, policy)
    }

    /// Adds a policy, `NAME.toml`.
    pub(crate) fn policy(self, name: &str, policy: &str) -> Self {
        self.file(&format!("{name}.toml"), policy)
    }

    /// Adds a file to the policies' directory.
    pub(crate) fn file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.into(), text.to_owned());
        self
    }

    /// Changes `[edge]`.
    pub(crate) fn edge(mut self, change: impl FnOnce(&mut EdgeConfig)) -> Self {
        change(&mut self.edge);
        self
    }

    /// Certificates for these names, each by itself; the first is the default.
    pub(crate) fn certificates(mut self, names: &[&str]) -> Self {
        self.certificates = names.iter().map(|name| vec![(*name).to_owned()]).collect();
        self
    }

    /// One certificate more, for these names, that is still to be issued.
    pub(crate) fn awaiting(mut self, names: &[&str]) -> Self {
        self.awaiting = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// Another time.
    pub(crate) fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// A plain listener too, for proxies from these networks.
    pub(crate) fn plain(mut self, trusted: &str) -> Self {
        self.plain = true;
        self.trusted = Networks::new([trusted.parse().unwrap()]);
        self
    }

    /// Proxies name the client in this field.
    pub(crate) fn named_in(mut self, field: ForwardingField) -> Self {
        self.forwarding_field = field;
        self
    }

    /// Connections from these networks begin with a PROXY header.
    pub(crate) fn proxied(mut self, trusted: &[&str]) -> Self {
        self.proxy_protocol = true;
        self.trusted = Networks::new(trusted.iter().map(|network| network.parse().unwrap()));
        self
    }

    /// A listener on a Unix socket too.
    pub(crate) fn unix(mut self, path: &Path, mode: u32) -> Self {
        self.unix.push(unix::Place { path: path.to_owned(), mode });
        self
    }

    /// The access log as people read it.
    pub(crate) fn text_log(mut self) -> Self {
        self.format = Format::Text;
        self
    }

    /// Starts it. A policy that does not load ends the test with its findings.
    pub(crate) fn start(self) -> Running {
        let folder = TempDir::with_prefix("hookward-test-").unwrap();
        write_files(&folder.path().join("policies"), &self.files);
        let limits = Limits::new(capacity());
        let policy =
            load(&folder.path().join("policies"), &Secrets, &limits).unwrap_or_else(|report| panic!("{report}"));
        let (files, roots) = make_certificates(folder.path(), &self.certificates);
        let certificates = Certificates::load(&files).unwrap();
        let certificates = if self.awaiting.is_empty() { certificates } else { certificates.awaiting(&self.awaiting) };
        let stdout = Arc::new(Mutex::new(Vec::new()));
        let clock = self.clock.clone();
        let options = Options {
            rejects: folder.path().join("rejected.jsonl"),
            file_bytes_max: 100 << 20,
            files_max: 3,
            format: self.format,
            colour: Colour::Off,
            level: Level::Info,
            clock: Arc::new(move || clock.unix_micros()),
        };
        let telemetry = Telemetry::start_with(options, Box::new(Stdout(Arc::clone(&stdout)))).unwrap();
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let http = self.plain.then_some(loopback).into_iter().collect();
        let places = Places { https: vec![loopback], http, unix: self.unix };
        let server = Server::start(Startup {
            sockets: Sockets::bind(&places, server::workers(&self.edge)).unwrap(),
            edge: self.edge,
            trusted_proxies: self.trusted,
            forwarding_field: self.forwarding_field,
            proxy_protocol: self.proxy_protocol,
            certificates: Some(certificates),
            policy,
            limits,
            telemetry: telemetry.clone(),
            clock: self.clock,
            names: self.names,
        })
        .unwrap();
        let (address, plain) = (server.sockets().https()[0], server.sockets().http().first().copied());
        let shared = Arc::clone(server.shared());
        Running { server: Some(server), shared, telemetry, folder, stdout, roots, address, plain }
    }
}

impl Running {
    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens without TLS.
    pub(crate) fn plain_address(&self) -> SocketAddr {
        self.plain.unwrap()
    }

    /// Its certificates' authorities.
    pub(crate) const fn roots(&self) -> &RootCertStore {
        &self.roots
    }

    /// What its workers share.
    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The server itself.
    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// Moves its clock.
    pub(crate) fn advance(&self, by: Duration) {
        self.shared.clock.advance(by);
    }

    /// A new connection with HTTP/1.1 over TLS.
    pub(crate) fn connect(&self) -> Connection {
        Hello::new(self).connect().unwrap()
    }

    /// A connection without TLS.
    pub(crate) fn connect_plain(&self) -> Connection {
        Connection::plain(self.plain_address())
    }

    /// Puts other policies in force, as `serve` does on SIGHUP; what is wrong with them is the error, and nothing changes.
    pub(crate) fn reload(&self, files: &[(&str, &str)]) -> Result<(), String> {
        let directory = self.folder.path().join("policies");
        fs::remove_dir_all(&directory).unwrap();
        let files = files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
        write_files(&directory, &files);
        match load(&directory, &Secrets, &self.shared.limits) {
            Ok(policy) => {
                self.shared.policy.store(Arc::new(policy));
                self.telemetry.policies_loaded(self.shared.clock.unix_micros());
                Ok(())
            }
            Err(report) => {
                self.telemetry.policies_failed();
                Err(report)
            }
        }
    }

    /// All records of the rejected log up to now.
    pub(crate) fn records(&self) -> Vec<Record> {
        self.rejected_text()
            .lines()
            .map(|line| Record::parse(line).unwrap_or_else(|| panic!("no record: {line}")))
            .collect()
    }

    /// The rejected log as it stands. A line that is being written is left out.
    pub(crate) fn rejected_text(&self) -> String {
        let text = fs::read_to_string(self.folder.path().join("rejected.jsonl")).unwrap();
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        text[..whole].to_owned()
    }

    /// The access log as it stands.
    pub(crate) fn access_text(&self) -> String {
        String::from_utf8(self.stdout.lock().unwrap().clone()).unwrap()
    }

    /// Waits for a record with this reason, and hands out the first.
    pub(crate) fn record(&self, reason: &str) -> Record {
        eventually(&format!("a record of {reason}"), || {
            self.records().into_iter().find(|record| record.reason == reason)
        })
    }

    /// Waits for the record of the delivery that this answer refused.
    pub(crate) fn record_of(&self, answer: &super::Answer) -> Record {
        let id = answer.delivery().unwrap_or_else(|| panic!("not a refusal: {answer:?}"));
        let find = || self.records().into_iter().find(|record| record.delivery.as_deref() == Some(&*id));
        eventually("the record of a refusal", find)
    }

    /// The metrics.
    pub(crate) fn metrics(&self) -> String {
        self.telemetry.metrics_text(&self.shared.policy.load())
    }

    /// The value of one sample of the metrics; 0 where there is none.
    pub(crate) fn metric(&self, sample: &str) -> i64 {
        let text = self.metrics();
        let line = text.lines().find(|line| line.strip_prefix(sample).is_some_and(|rest| rest.starts_with(' ')));
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }

    /// Drains and stops it; what was recorded is written then. Its folder stays as long as this does.
    pub(crate) fn stop(&mut self) {
        self.server.take().unwrap().stop();
    }

    /// Takes the server out, to be stopped elsewhere.
    pub(crate) fn take_server(&mut self) -> Server {
        self.server.take().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Draining takes as long as it takes; nobody has to wait for it.
        if let Some(server) = self.server.take() {
            std::thread::spawn(move || server.stop());
        }
    }
}

/// Tables small enough for a hundred gateways in one process.
pub(crate) fn capacity() -> Capacity {
    let entries = NonZeroU32::new(4096).unwrap();
    Capacity {
        clients_max: entries,
        failing_clients_max: entries,
        known_clients_max: entries,
        claims_max: entries,
        buffered_bytes_max: NonZeroU64::new(64 << 20).unwrap(),
        ..Capacity::default()
    }
}

/// Loads a directory of policies, or says what is wrong with it as `check` would.
pub(crate) fn load(directory: &Path, resolver: &dyn Resolver, limits: &Limits) -> Result<Policy, String> {
    let (policy, report) = check(directory, resolver, limits);
    policy.ok_or(report)
}

/// Loads a directory of policies and says what was found, warnings included.
pub(crate) fn check(directory: &Path, resolver: &dyn Resolver, limits: &Limits) -> (Option<Policy>, String) {
    let mut loaded = Loaded::default();
    let config = PoliciesConfig { directory: Spanned { value: directory.to_owned(), span: 0..0 }, strict: false };
    let policy = load::load(&config, resolver, limits, &mut loaded);
    (policy, loaded.diagnostics.report(&loaded.files, &Styles::plain()).to_string())
}

/// Loads policies given as text.
pub(crate) fn load_text(files: &[(&str, &str)], resolver: &dyn Resolver) -> Result<Policy, String> {
    let (policy, report) = check_text(files, resolver);
    policy.ok_or(report)
}

/// Loads policies given as text and says what was found, warnings included.
pub(crate) fn check_text(files: &[(&str, &str)], resolver: &dyn Resolver) -> (Option<Policy>, String) {
    let folder = TempDir::with_prefix("hookward-test-").unwrap();
    let files = files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
    write_files(folder.path(), &files);
    check(folder.path(), resolver, &Limits::new(capacity()))
}

fn write_files(directory: &Path, files: &BTreeMap<PathBuf, String>) {
    fs::create_dir_all(directory).unwrap();
    for (path, text) in files {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Makes a self-signed certificate for each list of names, and a store that trusts them all.
pub(crate) fn make_certificates(folder: &Path, names: &[Vec<String>]) -> (Vec<CertificateFiles>, RootCertStore) {
    let mut roots = RootCertStore::empty();
    let files = names.iter().enumerate().map(|(position, names)| {
        let made = cert::make(names).unwrap();
        let at = |ending: &str| folder.join(format!("{position}-{}.{ending}", names[0].replace('*', "any")));
        let files = CertificateFiles { certificate: at("pem"), key: at("key"), names: None };
        fs::write(&files.certificate, &made.certificate).unwrap();
        fs::write(&files.key, &made.key).unwrap();
        roots.add(CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap()).unwrap();
        files
    });
    (files.collect(), roots)
}
