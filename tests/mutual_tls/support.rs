//! What these tests share: authorities, a gateway with a source that wants a certificate, clients that show one.

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
use hookward::edge::sockets::{Places, Sockets};
use hookward::edge::tls::{CertificateFiles, Certificates};
use hookward::forward::names::Names;
use hookward::policy::diagnostic::Styles;
use hookward::policy::gateway_config::{EdgeConfig, ForwardingField, PoliciesConfig};
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
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned, SupportedProtocolVersion};
use tempfile::TempDir;

pub(crate) const NOW: i64 = 1_795_435_200;
pub(crate) const HOUR: i64 = 3600;
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Certificates alone, with a name and without, and with a signature.
pub(crate) const CERTIFICATE: &str = "client_certificate = { ca = \"partner.pem\" }";
pub(crate) const NAMED: &str =
    "client_certificate = { ca = \"partner.pem\", names = [\"other.example\", \"hooks.partner.example\"] }";
pub(crate) const GITHUB: &str = "provider = \"github\"\nsecrets = [{ id = \"g\", env = \"GITHUB\" }]";

pub(crate) type Issuer = CertifiedIssuer<'static, KeyPair>;

pub(crate) struct Secrets;

impl Resolver for Secrets {
    fn resolve(&self, _place: &SecretPlace) -> Result<Resolved, SecretFault> {
        Ok(Resolved::Secret(secret()))
    }
}

pub(crate) fn secret() -> Secret {
    Secret::new(b"a-secret-of-some-length".to_vec())
}

/// An authority called so.
pub(crate) fn authority(name: &str) -> Issuer {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// An authority that another one vouches for.
pub(crate) fn below(name: &str, above: &Issuer) -> Issuer {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), above).unwrap()
}

/// What a client shows: its chain, and its key.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: Arc<PrivateKeyDer<'static>>,
}

/// What is said in a client's certificate.
pub(crate) struct Claims<'c> {
    pub(crate) names: &'c [&'c str],
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) usage: ExtendedKeyUsagePurpose,
}

impl Claims<'_> {
    pub(crate) fn good() -> Self {
        Self {
            names: &["hooks.partner.example"],
            from: NOW - HOUR,
            to: NOW + HOUR,
            usage: ExtendedKeyUsagePurpose::ClientAuth,
        }
    }

    pub(crate) fn by(self, issuer: &Issuer) -> Identity {
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
pub(crate) fn auth(combine: &str, methods: &[&str]) -> String {
    match methods {
        [one] => format!("[auth]\n{one}"),
        several => {
            let methods = several.join("\n[[auth.method]]\n");
            format!("[auth]\ncombine = \"{combine}\"\n[[auth.method]]\n{methods}\n")
        }
    }
}

/// A running gateway with two sources, `/hooks/partner` and, with a signature alone, `/hooks/plain`.
pub(crate) struct House {
    pub(crate) server: Option<Server>,
    pub(crate) address: SocketAddr,
    pub(crate) folder: TempDir,
    pub(crate) roots: RootCertStore,
}

impl House {
    pub(crate) fn start(partner: &Issuer, auth: &str) -> Self {
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
        let places = Places { https: vec![SocketAddr::from(([127, 0, 0, 1], 0))], ..Places::default() };
        let server = Server::start(Startup {
            edge: EdgeConfig { workers: Some(1), drain_time: Duration::from_secs(1), ..EdgeConfig::default() },
            sockets: Sockets::bind(&places, 1).unwrap(),
            trusted_proxies: Networks::default(),
            forwarding_field: ForwardingField::default(),
            proxy_protocol: false,
            certificates: Some(Certificates::load(&[files]).unwrap()),
            policy,
            limits,
            telemetry: telemetry.unwrap(),
            clock,
            names: Names::system(),
        })
        .unwrap();
        fs::write(folder.path().join("app"), app.to_string()).unwrap();
        Self { address: server.sockets().https()[0], server: Some(server), folder, roots }
    }

    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// Puts another policy in force.
    pub(crate) fn reload(&self, partner: &Issuer, auth: &str) {
        let app = fs::read_to_string(self.folder.path().join("app")).unwrap().parse().unwrap();
        write(self.folder.path(), &partner.pem(), auth, app);
        let shared = self.server().shared();
        shared.policy.store(Arc::new(load(self.folder.path(), &shared.limits)));
    }

    /// A client that shows this, and remembers its sessions.
    pub(crate) fn client(
        &self,
        identity: Option<&Identity>,
        version: &'static SupportedProtocolVersion,
    ) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(self.roots.clone());
        Arc::new(match identity {
            Some(Identity { chain, key }) => builder.with_client_auth_cert(chain.clone(), key.clone_key()).unwrap(),
            None => builder.with_no_client_auth(),
        })
    }

    pub(crate) fn connect(&self, config: &Arc<ClientConfig>) -> Connection {
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::clone(config), name).unwrap();
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Connection(StreamOwned::new(session, socket))
    }

    /// What becomes of a delivery on a connection of its own.
    pub(crate) fn verdict(&self, identity: Option<&Identity>, shows: Shows) -> String {
        let answer = self.connect(&self.client(identity, &rustls::version::TLS13)).send("/hooks/partner", shows);
        self.judged(&answer)
    }

    /// `200 SECRET`, or the reason and what stands in the record.
    pub(crate) fn judged(&self, answer: &Answer) -> String {
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
    pub(crate) fn record(&self, answer: &Answer) -> serde_json::Value {
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

pub(crate) fn write(folder: &Path, ca: &str, auth: &str, app: SocketAddr) {
    let directory = folder.join("policies");
    fs::create_dir_all(&directory).unwrap();
    let source = |path: &str, auth: &str| format!("path = \"{path}\"\n{auth}\n[forward]\nto = \"http://{app}/\"\n");
    fs::write(directory.join("partner.pem"), ca).unwrap();
    fs::write(directory.join("partner.toml"), source("/hooks/partner", auth)).unwrap();
    fs::write(directory.join("plain.toml"), source("/hooks/plain", &format!("[auth]\n{GITHUB}"))).unwrap();
}

pub(crate) fn load(folder: &Path, limits: &Limits) -> Policy {
    try_load(folder, limits).unwrap_or_else(|report| panic!("{report}")).0
}

/// The policy and what was found besides, or what is wrong with it.
pub(crate) fn try_load(folder: &Path, limits: &Limits) -> Result<(Policy, String), String> {
    let config = PoliciesConfig { directory: Spanned { value: folder.join("policies"), span: 0..0 }, strict: false };
    let mut loaded = Loaded::default();
    let policy = load::load(&config, &Secrets, limits, &mut loaded);
    let report = loaded.diagnostics.report(&loaded.files, &Styles::plain()).to_string();
    policy.map(|policy| (policy, report.clone())).ok_or(report)
}

/// An app that answers with the id of the secret that proved the delivery.
pub(crate) fn app() -> SocketAddr {
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
pub(crate) type Row<'r> = (&'r str, [&'r str; 2], Option<&'r Identity>, Shows, &'r str);

/// Whether a delivery is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shows {
    Nothing,
    Signature,
    BadSignature,
}

pub(crate) const BODY: &[u8] = b"{}";

pub(crate) fn headers(shows: Shows) -> HeaderMap {
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

pub(crate) struct Connection(pub(crate) StreamOwned<ClientConnection, TcpStream>);

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Connection {
    pub(crate) fn send(&mut self, path: &str, shows: Shows) -> Answer {
        let mut request = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", BODY.len());
        for (name, value) in &headers(shows) {
            request.extend([name.as_str(), ": ", value.to_str().unwrap(), "\r\n"]);
        }
        self.0.write_all(&[request.as_bytes(), b"\r\n", BODY].concat()).unwrap();
        self.0.flush().unwrap();
        self.answer()
    }

    pub(crate) fn answer(&mut self) -> Answer {
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

    pub(crate) fn kind(&self) -> HandshakeKind {
        self.0.conn.handshake_kind().unwrap()
    }
}
