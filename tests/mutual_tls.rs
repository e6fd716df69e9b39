//! Client certificates over real TLS: who is let in, who is refused and with which words, and what a resumed session is.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test may fail as the test itself may")]

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hookward::admit::networks::Networks;
use hookward::admit::{Capacity, Limits};
use hookward::auth::key::{KeyKind, NamedSecret};
use hookward::auth::sign::{Unsigned, sign};
use hookward::cli::cert;
use hookward::clock::Clock;
use hookward::edge::tls::{CertificateFiles, Certificates};
use hookward::offline::{Replays, Verdict, judge};
use hookward::policy::diagnostic::Styles;
use hookward::policy::gateway_config::{EdgeConfig, PoliciesConfig};
use hookward::policy::load::{self, Loaded};
use hookward::policy::secrets::{Resolved, Resolver, SecretFault};
use hookward::policy::source_config::SecretPlace;
use hookward::policy::table::Spanned;
use hookward::policy::{Policy, preset};
use hookward::reason::Level;
use hookward::record::{Colour, Format, Options, Telemetry};
use hookward::secret::Secret;
use hookward::server::{Server, Startup};
use http::{HeaderMap, Method};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned, SupportedProtocolVersion};
use tempfile::TempDir;

const NOW: i64 = 1_795_435_200;
const HOUR: i64 = 3600;
const PATIENCE: Duration = Duration::from_secs(20);

/// Certificates alone, with a name and without, and with a signature.
const CERTIFICATE: &str = "client_certificate = { ca = \"partner.pem\" }";
const NAMED: &str =
    "client_certificate = { ca = \"partner.pem\", names = [\"other.example\", \"hooks.partner.example\"] }";
const GITHUB: &str = "provider = \"github\"\nsecrets = [{ id = \"g\", env = \"GITHUB\" }]";

type Issuer = CertifiedIssuer<'static, KeyPair>;

struct Secrets;

impl Resolver for Secrets {
    fn resolve(&self, _place: &SecretPlace) -> Result<Resolved, SecretFault> {
        Ok(Resolved::Secret(secret()))
    }
}

fn secret() -> Secret {
    Secret::new(b"a-secret-of-some-length".to_vec())
}

/// An authority called so.
fn authority(name: &str) -> Issuer {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// An authority that another one vouches for.
fn below(name: &str, above: &Issuer) -> Issuer {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), above).unwrap()
}

/// What a client shows: its chain, and its key.
#[derive(Clone)]
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
}

/// What is said in a client's certificate.
struct Claims<'c> {
    names: &'c [&'c str],
    from: i64,
    to: i64,
    usage: ExtendedKeyUsagePurpose,
}

impl Claims<'_> {
    fn good() -> Self {
        Self {
            names: &["hooks.partner.example"],
            from: NOW - HOUR,
            to: NOW + HOUR,
            usage: ExtendedKeyUsagePurpose::ClientAuth,
        }
    }

    fn by(self, issuer: &Issuer) -> Identity {
        let names: Vec<_> = self.names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        let at = |seconds: i64| std::time::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap());
        (params.not_before, params.not_after) = (at(self.from).into(), at(self.to).into());
        params.extended_key_usages = vec![self.usage];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Identity { chain: vec![certificate.der().clone()], key: Arc::new(key) }
    }
}

/// `[auth]` with these methods.
fn auth(combine: &str, methods: &[&str]) -> String {
    match methods {
        [one] => format!("[auth]\n{one}"),
        several => {
            let methods = several.join("\n[[auth.method]]\n");
            format!("[auth]\ncombine = \"{combine}\"\n[[auth.method]]\n{methods}\n")
        }
    }
}

/// A running gateway with two sources, `/hooks/partner` and, with a signature alone, `/hooks/plain`.
struct House {
    server: Option<Server>,
    address: SocketAddr,
    folder: TempDir,
    roots: RootCertStore,
}

impl House {
    fn start(partner: &Issuer, auth: &str) -> Self {
        let folder = TempDir::with_prefix("hookward-test-").unwrap();
        let app = app();
        write(folder.path(), &partner.pem(), auth, app);
        let limits = Limits::new(Capacity::default());
        let policy = load(folder.path(), &limits);
        let made = cert::make(&["localhost".to_owned()]).unwrap();
        let files = CertificateFiles {
            certificate: folder.path().join("a.pem"),
            key: folder.path().join("a.key"),
            names: None,
        };
        fs::write(&files.certificate, &made.certificate).unwrap();
        fs::write(&files.key, &made.key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap()).unwrap();
        let clock = Clock::manual(NOW);
        let of_log = clock.clone();
        let telemetry = Telemetry::start_with(
            Options {
                rejects: folder.path().join("rejected.jsonl"),
                file_bytes_max: 100 << 20,
                files_max: 3,
                format: Format::Json,
                colour: Colour::Off,
                level: Level::Info,
                clock: Arc::new(move || of_log.unix_micros()),
            },
            Box::new(io::sink()),
        );
        let server = Server::start(Startup {
            edge: EdgeConfig { workers: Some(1), drain_time: Duration::from_secs(1), ..EdgeConfig::default() },
            https: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            http: Vec::new(),
            trusted_proxies: Networks::default(),
            certificates: Some(Certificates::load(&[files]).unwrap()),
            policy,
            limits,
            telemetry: telemetry.unwrap(),
            clock,
        })
        .unwrap();
        fs::write(folder.path().join("app"), app.to_string()).unwrap();
        Self { address: server.https()[0], server: Some(server), folder, roots }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// Puts another policy in force.
    fn reload(&self, partner: &Issuer, auth: &str) {
        let app = fs::read_to_string(self.folder.path().join("app")).unwrap().parse().unwrap();
        write(self.folder.path(), &partner.pem(), auth, app);
        let shared = self.server().shared();
        shared.policy.store(Arc::new(load(self.folder.path(), &shared.limits)));
    }

    /// A client that shows this, and remembers its sessions.
    fn client(&self, identity: Option<&Identity>, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(self.roots.clone());
        Arc::new(match identity {
            Some(Identity { chain, key }) => builder.with_client_auth_cert(chain.clone(), key.clone_key()).unwrap(),
            None => builder.with_no_client_auth(),
        })
    }

    fn connect(&self, config: &Arc<ClientConfig>) -> Connection {
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::clone(config), name).unwrap();
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Connection(StreamOwned::new(session, socket))
    }

    /// What becomes of a delivery on a connection of its own.
    fn verdict(&self, identity: Option<&Identity>, shows: Shows) -> String {
        let answer = self.connect(&self.client(identity, &rustls::version::TLS13)).send("/hooks/partner", shows);
        self.judged(&answer)
    }

    /// `200 SECRET`, or the reason and what stands in the record.
    fn judged(&self, answer: &Answer) -> String {
        if answer.status == 200 {
            return format!("200 {}", answer.body);
        }
        assert_eq!(answer.status, 401, "{answer:?}");
        let record = self.record(answer);
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let (reason, flaw) = (text(&record["reason"]), text(&record["detail"]["certificate"]));
        if flaw.is_empty() { reason } else { format!("{reason}: {flaw}") }
    }

    /// The record of a refusal.
    fn record(&self, answer: &Answer) -> serde_json::Value {
        let told: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let until = Instant::now() + PATIENCE;
        loop {
            let text = fs::read_to_string(self.folder.path().join("rejected.jsonl")).unwrap_or_default();
            let records = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            if let Some(record) = records.into_iter().find(|record| record["delivery"] == told["delivery"]) {
                return record;
            }
            assert!(Instant::now() < until, "no record of {answer:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // Draining takes as long as it takes; nobody has to wait for it.
        if let Some(server) = self.server.take() {
            std::thread::spawn(move || server.stop());
        }
    }
}

fn write(folder: &Path, ca: &str, auth: &str, app: SocketAddr) {
    let directory = folder.join("policies");
    fs::create_dir_all(&directory).unwrap();
    let source = |path: &str, auth: &str| format!("path = \"{path}\"\n{auth}\n[forward]\nto = \"http://{app}/\"\n");
    fs::write(directory.join("partner.pem"), ca).unwrap();
    fs::write(directory.join("partner.toml"), source("/hooks/partner", auth)).unwrap();
    fs::write(directory.join("plain.toml"), source("/hooks/plain", &format!("[auth]\n{GITHUB}"))).unwrap();
}

fn load(folder: &Path, limits: &Limits) -> Policy {
    try_load(folder, limits).unwrap_or_else(|report| panic!("{report}")).0
}

/// The policy and what was found besides, or what is wrong with it.
fn try_load(folder: &Path, limits: &Limits) -> Result<(Policy, String), String> {
    let config = PoliciesConfig { directory: Spanned { value: folder.join("policies"), span: 0..0 }, strict: false };
    let mut loaded = Loaded::default();
    let policy = load::load(&config, &Secrets, limits, &mut loaded);
    let report = loaded.diagnostics.report(&loaded.files, &Styles::plain()).to_string();
    policy.map(|policy| (policy, report.clone())).ok_or(report)
}

/// An app that answers with the id of the secret that proved the delivery.
fn app() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            std::thread::spawn(move || {
                let mut read = Vec::new();
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    read.extend_from_slice(&buffer[..length]);
                    let text = String::from_utf8_lossy(&read).to_lowercase();
                    if !text.contains("\r\n\r\n") || !text.ends_with('}') {
                        continue;
                    }
                    let id =
                        text.lines().find_map(|line| line.strip_prefix("x-hookward-secret-id: ")).unwrap_or_default();
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{id}", id.len());
                    stream.write_all(answer.as_bytes()).unwrap();
                    read.clear();
                }
            });
        }
    });
    address
}

/// How two methods are combined, which, what a client shows, and what becomes of it.
type Row<'r> = (&'r str, [&'r str; 2], Option<&'r Identity>, Shows, &'r str);

/// Whether a delivery is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    Nothing,
    Signature,
    BadSignature,
}

const BODY: &[u8] = b"{}";

fn headers(shows: Shows) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().unwrap());
    if shows == Shows::Nothing {
        return headers;
    }
    let scheme = &preset::find("github").unwrap().signing.schemes()[0];
    let secret = match shows {
        Shows::BadSignature => Secret::new(b"somebody-elses-secret".to_vec()),
        Shows::Nothing | Shows::Signature => secret(),
    };
    let secret = NamedSecret { id: "g".into(), secret, expires: None, kind: KeyKind::Secret };
    let body = Bytes::from_static(BODY);
    let uri = "/hooks/partner".parse().unwrap();
    let unsigned = Unsigned { method: Method::POST, uri, headers, public_url: None, body: &body, now: NOW };
    sign(scheme, &secret, unsigned).unwrap().headers
}

struct Connection(StreamOwned<ClientConnection, TcpStream>);

#[derive(Debug)]
struct Answer {
    status: u16,
    body: String,
}

impl Connection {
    fn send(&mut self, path: &str, shows: Shows) -> Answer {
        let mut request = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", BODY.len());
        for (name, value) in &headers(shows) {
            request.extend([name.as_str(), ": ", value.to_str().unwrap(), "\r\n"]);
        }
        self.0.write_all(&[request.as_bytes(), b"\r\n", BODY].concat()).unwrap();
        self.0.flush().unwrap();
        self.answer()
    }

    fn answer(&mut self) -> Answer {
        let mut read = Vec::new();
        loop {
            let mut buffer = [0; 4096];
            let length = self.0.read(&mut buffer).unwrap();
            assert!(length > 0, "an end without an answer: {}", String::from_utf8_lossy(&read));
            read.extend_from_slice(&buffer[..length]);
            let text = String::from_utf8_lossy(&read).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let lengths =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned));
            if body.len() >= lengths.unwrap().parse::<usize>().unwrap() {
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                return Answer { status, body: body.to_owned() };
            }
        }
    }

    fn kind(&self) -> HandshakeKind {
        self.0.conn.handshake_kind().unwrap()
    }
}

#[test]
fn a_certificate_is_good_if_its_chain_its_dates_its_usage_and_its_name_are() {
    let (partner, other) = (authority("Partner"), authority("Other"));
    let intermediate = below("Partner's office", &partner);
    let claims = Claims::good;
    let whole = {
        let mut identity = claims().by(&intermediate);
        identity.chain.push(intermediate.der().clone());
        identity
    };
    let rows = [
        ("right", Some(claims().by(&partner)), "200 hooks.partner.example"),
        ("by an intermediate that it shows", Some(whole), "200 hooks.partner.example"),
        ("by an intermediate that nobody knows", Some(claims().by(&intermediate)), "does not lead to an authority"),
        ("none", None, "client_certificate_missing"),
        ("of another authority", Some(claims().by(&other)), "does not lead to an authority"),
        (
            "of another authority of the same name",
            Some(claims().by(&authority("Partner"))),
            "does not lead to an authority",
        ),
        ("in its last second", Some(Claims { to: NOW, ..claims() }.by(&partner)), "200 hooks.partner.example"),
        (
            "a second too old",
            Some(Claims { to: NOW - 1, ..claims() }.by(&partner)),
            "credential_mismatch: it has expired",
        ),
        ("in its first second", Some(Claims { from: NOW, ..claims() }.by(&partner)), "200 hooks.partner.example"),
        (
            "a second too young",
            Some(Claims { from: NOW + 1, ..claims() }.by(&partner)),
            "credential_mismatch: it is not valid yet",
        ),
        (
            "for servers",
            Some(Claims { usage: ExtendedKeyUsagePurpose::ServerAuth, ..claims() }.by(&partner)),
            "credential_mismatch: it is not for authenticating clients",
        ),
        (
            "the second name",
            Some(Claims { names: &["x.example", "OTHER.example"], ..claims() }.by(&partner)),
            "200 other.example",
        ),
        (
            "another name",
            Some(Claims { names: &["hooks.partner.example.evil.example"], ..claims() }.by(&partner)),
            "none of the names",
        ),
        ("a wildcard", Some(Claims { names: &["*.partner.example"], ..claims() }.by(&partner)), "none of the names"),
        ("no name", Some(Claims { names: &[], ..claims() }.by(&partner)), "none of the names"),
    ];
    let house = House::start(&partner, &auth("", &[NAMED]));
    for (name, identity, expected) in rows {
        let found = house.verdict(identity.as_ref(), Shows::Nothing);
        assert!(found.contains(expected), "{name}: {found}");
    }
}

#[test]
fn names_of_a_refused_certificate_are_told_cut_and_few() {
    let partner = authority("Partner");
    let house = House::start(&partner, &auth("", &[NAMED]));
    let long = format!("{0}.{0}.example", "a".repeat(60));
    let names = [long.as_str(), "b.example", "c.example", "d.example", "e.example"];
    let identity = Claims { names: &names, ..Claims::good() }.by(&partner);
    let answer =
        house.connect(&house.client(Some(&identity), &rustls::version::TLS13)).send("/hooks/partner", Shows::Nothing);
    let record = house.record(&answer);
    let told = record["detail"]["certificate_names"].as_array().unwrap();
    let told: Vec<_> = told.iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(told, [&long[..80], "b.example", "c.example", "d.example"]);
}

#[test]
fn without_names_any_certificate_of_the_authority_is_good_and_no_other() {
    let partner = authority("Partner");
    let house = House::start(&partner, &auth("", &[CERTIFICATE]));
    let (ours, theirs) = (Claims { names: &[], ..Claims::good() }.by(&partner), Claims::good().by(&authority("Other")));
    assert_eq!(house.verdict(Some(&ours), Shows::Nothing), "200 client-certificate");
    assert!(house.verdict(Some(&theirs), Shows::Nothing).starts_with("credential_mismatch"));
}

#[test]
fn a_certificate_and_a_signature_go_together_as_the_policy_says() {
    let partner = authority("Partner");
    let (good, bad) = (Claims::good().by(&partner), Claims::good().by(&authority("Other")));
    let rows: [Row<'_>; 14] = [
        ("all", [NAMED, GITHUB], Some(&good), Shows::Signature, "200 hooks.partner.example+g"),
        ("all", [GITHUB, NAMED], Some(&good), Shows::Signature, "200 g+hooks.partner.example"),
        ("all", [NAMED, GITHUB], None, Shows::Signature, "client_certificate_missing"),
        (
            "all",
            [NAMED, GITHUB],
            Some(&bad),
            Shows::Signature,
            "credential_mismatch: it does not lead to an authority of the policy's",
        ),
        ("all", [NAMED, GITHUB], Some(&good), Shows::Nothing, "credential_missing"),
        ("all", [NAMED, GITHUB], Some(&good), Shows::BadSignature, "credential_mismatch"),
        ("any", [NAMED, GITHUB], Some(&good), Shows::Nothing, "200 hooks.partner.example"),
        ("any", [NAMED, GITHUB], None, Shows::Signature, "200 g"),
        ("any", [NAMED, GITHUB], None, Shows::Nothing, "client_certificate_missing"),
        ("any", [GITHUB, NAMED], None, Shows::Nothing, "credential_missing"),
        // What is presented first decides, also if it is bad.
        (
            "any",
            [NAMED, GITHUB],
            Some(&bad),
            Shows::Signature,
            "credential_mismatch: it does not lead to an authority of the policy's",
        ),
        ("any", [GITHUB, NAMED], Some(&bad), Shows::Signature, "200 g"),
        ("any", [GITHUB, NAMED], Some(&good), Shows::BadSignature, "credential_mismatch"),
        ("any", [NAMED, GITHUB], Some(&good), Shows::BadSignature, "200 hooks.partner.example"),
    ];
    let house = House::start(&partner, &auth("", &[NAMED]));
    for (combine, methods, identity, shows, expected) in rows {
        house.reload(&partner, &auth(combine, &methods));
        assert_eq!(house.verdict(identity, shows), expected, "{combine} {methods:?} {shows:?}");
    }
}

#[test]
fn a_source_that_wants_no_certificate_takes_no_notice_of_any() {
    let partner = authority("Partner");
    let house = House::start(&partner, &auth("", &[NAMED]));
    let stranger = Claims { to: NOW - HOUR / 2, ..Claims::good() }.by(&authority("Other"));
    for identity in [None, Some(&stranger)] {
        let config = house.client(identity, &rustls::version::TLS13);
        let mut connection = house.connect(&config);
        assert_eq!(connection.send("/hooks/plain", Shows::Signature).status, 200);
        assert_eq!(connection.send("/hooks/plain", Shows::BadSignature).status, 401);
    }
}

#[test]
fn a_resumed_session_is_that_of_the_same_certificate() {
    let (partner, other) = (authority("Partner"), authority("Other"));
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let house = House::start(&partner, &auth("", &[NAMED]));
        let good = house.client(Some(&Claims::good().by(&partner)), version);
        let none = house.client(None, version);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut connection = house.connect(&good);
            assert_eq!(house.judged(&connection.send("/hooks/partner", Shows::Nothing)), "200 hooks.partner.example");
            assert_eq!(connection.kind(), kind, "{version:?}");
            let mut connection = house.connect(&none);
            let found = house.judged(&connection.send("/hooks/partner", Shows::Nothing));
            assert_eq!((found.as_str(), connection.kind()), ("client_certificate_missing", kind), "{version:?}");
        }
        // The authority that is in force is asked, not the one of the first handshake.
        house.reload(&other, &auth("", &[NAMED]));
        let mut connection = house.connect(&good);
        let found = house.judged(&connection.send("/hooks/partner", Shows::Nothing));
        assert!(found.contains("does not lead to an authority"), "{found}");
        assert_eq!(connection.kind(), HandshakeKind::Resumed, "{version:?}");
        // Nor is a certificate good for longer than it says, on whichever connection.
        house.reload(&partner, &auth("", &[NAMED]));
        assert_eq!(connection.send("/hooks/partner", Shows::Nothing).status, 200);
        house.server().shared().clock.advance(Duration::from_secs(u64::try_from(HOUR + 1).unwrap()));
        let found = house.judged(&connection.send("/hooks/partner", Shows::Nothing));
        assert_eq!(found, "credential_mismatch: it has expired", "{version:?}");
    }
}

#[test]
fn a_session_of_before_certificates_were_wanted_is_not_resumed() {
    let partner = authority("Partner");
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let house = House::start(&partner, &auth("", &[GITHUB]));
        let config = house.client(Some(&Claims::good().by(&partner)), version);
        assert_eq!(house.connect(&config).send("/hooks/partner", Shows::Signature).status, 200);
        house.reload(&partner, &auth("all", &[GITHUB, NAMED]));
        let mut connection = house.connect(&config);
        let found = house.judged(&connection.send("/hooks/partner", Shows::Signature));
        assert_eq!(
            (found.as_str(), connection.kind()),
            ("200 g+hooks.partner.example", HandshakeKind::Full),
            "{version:?}"
        );
    }
}

#[test]
fn a_certificate_without_its_key_ends_the_handshake() {
    let partner = authority("Partner");
    let house = House::start(&partner, &auth("", &[CERTIFICATE]));
    let (theirs, mine) = (Claims::good().by(&partner), Claims::good().by(&authority("Other")));
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let mut config = (*house.client(None, version)).clone();
        config.client_auth_cert_resolver = Arc::new(Stolen::of(&theirs, &mine));
        let mut connection = house.connect(&Arc::new(config));
        let asked =
            connection.0.write_all(b"POST /hooks/partner HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
        // With TLS 1.3 the client is done before the gateway has seen its certificate.
        let answered = asked.and_then(|()| connection.0.read(&mut [0; 16]));
        assert!(!matches!(answered, Ok(1..)), "{version:?}: {answered:?}");
    }
}

/// Somebody's chain with somebody else's key.
#[derive(Debug)]
struct Stolen(Arc<rustls::sign::CertifiedKey>);

impl Stolen {
    fn of(chain: &Identity, key: &Identity) -> Self {
        let key = aws_lc_rs::sign::any_supported_type(&key.key).unwrap();
        Self(Arc::new(rustls::sign::CertifiedKey::new(chain.chain.clone(), key)))
    }
}

impl rustls::client::ResolvesClientCert for Stolen {
    fn resolve(
        &self,
        _hints: &[&[u8]],
        _schemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[test]
fn a_chain_of_more_than_anybody_needs_ends_the_handshake() {
    let partner = authority("Partner");
    let house = House::start(&partner, &auth("", &[CERTIFICATE]));
    for (extra, is_taken) in [(7, true), (8, false)] {
        let mut identity = Claims::good().by(&partner);
        identity.chain.extend(std::iter::repeat_n(partner.der().clone(), extra));
        let mut connection = house.connect(&house.client(Some(&identity), &rustls::version::TLS12));
        assert_eq!(connection.0.write_all(b"POST ").is_ok(), is_taken, "{extra} more");
    }
}

#[test]
fn a_strangers_handshake_needs_the_certificate_where_everything_has_to_hold() {
    let partner = authority("Partner");
    let meta = "provider = \"meta\"\nsecrets = [{ id = \"m\", env = \"META\" }]";
    let (good, bad) = (Claims::good().by(&partner), Claims::good().by(&authority("Other")));
    let handshake = "[handshake]\nverify_token = { env = \"META_TOKEN\" }\n";
    let house = House::start(&partner, &auth("", &[NAMED]));
    let rows = [("all", Some(&good), 200), ("all", Some(&bad), 401), ("all", None, 401), ("any", None, 200)];
    for (combine, identity, status) in rows {
        for methods in [[meta, NAMED], [NAMED, meta]] {
            house.reload(&partner, &format!("{}{handshake}", auth(combine, &methods)));
            let mut connection = house.connect(&house.client(identity, &rustls::version::TLS13));
            let query = "hub.mode=subscribe&hub.verify_token=a-secret-of-some-length&hub.challenge=1158201444";
            let request = format!("GET /hooks/partner?{query} HTTP/1.1\r\nhost: localhost\r\n\r\n");
            connection.0.write_all(request.as_bytes()).unwrap();
            assert_eq!(connection.answer().status, status, "{combine} {methods:?}");
        }
    }
}

#[test]
fn a_recorded_request_came_over_no_connection() {
    let partner = authority("Partner");
    let house = House::start(&partner, &auth("all", &[GITHUB, NAMED]));
    let request = http::Request::post("/hooks/partner").header("host", "localhost").body(()).unwrap();
    let (mut head, ()) = request.into_parts();
    head.headers.extend(headers(Shows::Signature));
    let policy = house.server().shared().policy.load_full();
    let body = Bytes::from_static(BODY);
    let Verdict::Reject(rejection) = judge(&policy, &head, body, NOW, Replays::Ignored).verdict else {
        panic!("accepted")
    };
    assert_eq!(rejection.reason().code(), "client_certificate_missing");
}

#[test]
fn what_is_wrong_with_a_client_certificate_in_a_policy_is_said() {
    let partner = authority("Partner").pem();
    let key = KeyPair::generate().unwrap().serialize_pem();
    let with = |rest: &str| format!("client_certificate = {{ {rest} }}");
    let ca = "ca = \"partner.pem\"";
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let rows = [
        ("right", &*partner, with(&format!("{ca}, names = [\"a.example\"]")), ""),
        ("any name", &*partner, with(ca), "warning: every certificate of the authorities in"),
        ("no file", &*partner, with("ca = \"nobody.pem\""), "nobody.pem: entity not found"),
        ("a key", &*key, with(ca), "partner.pem has no certificate in it"),
        ("something else", broken, with(ca), "partner.pem holds something that is no certificate of an authority"),
        ("no authority", &*partner, with("names = [\"a.example\"]"), "missing key \"ca\" in auth.client_certificate"),
        (
            "no names",
            &*partner,
            with(&format!("{ca}, names = []")),
            "names is empty, so nothing would ever be accepted",
        ),
        ("a wildcard", &*partner, with(&format!("{ca}, names = [\"*.example\"]")), "\"*.example\" has a wildcard"),
        ("an address", &*partner, with(&format!("{ca}, names = [\"a b\"]")), "\"a b\" is not a host name"),
        (
            "another key",
            &*partner,
            with(&format!("{ca}, name = \"a\"")),
            "unknown key \"name\" in auth.client_certificate",
        ),
        (
            "a provider beside it",
            &*partner,
            format!("{}\n{GITHUB}", with(ca)),
            "\"provider\" cannot stand beside client_certificate",
        ),
        (
            "replays",
            &*partner,
            format!("{}\n[replay]\non_duplicate = \"refuse\"", with(ca)),
            "nothing signed tells one delivery from another",
        ),
    ];
    for (name, ca, auth, expected) in rows {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), ca, &format!("[auth]\n{auth}"), SocketAddr::from(([127, 0, 0, 1], 9)));
        let report = match try_load(folder.path(), &Limits::new(Capacity::default())) {
            Ok((_, report)) | Err(report) => report,
        };
        assert!(report.contains(expected), "{name}: {expected:?} is not in\n{report}");
        assert!(!expected.is_empty() || !report.contains("certificate"), "{name}:\n{report}");
    }
}

#[test]
fn every_stream_of_an_http_2_connection_has_its_certificate() {
    let partner = authority("Partner");
    let house = House::start(&partner, &auth("", &[NAMED]));
    for (identity, expected) in [(Some(Claims::good().by(&partner)), 200), (None, 401)] {
        let mut config = (*house.client(identity.as_ref(), &rustls::version::TLS13)).clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let statuses = runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(house.address).await.unwrap();
            let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
            let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            let mut statuses = Vec::new();
            for _ in 0..2 {
                let mut request = http::Request::post("https://localhost/hooks/partner")
                    .body(Full::new(Bytes::from_static(BODY)))
                    .unwrap();
                *request.headers_mut() = headers(Shows::Nothing);
                let answer = sender.send_request(request).await.unwrap();
                statuses.push(answer.status().as_u16());
                answer.into_body().collect().await.unwrap();
            }
            statuses
        });
        assert_eq!(statuses, [expected, expected]);
    }
}
