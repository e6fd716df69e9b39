//! An authority that issues certificates (ACME, RFC 8555), as far as a client of it needs: it verifies every signature, hands out nonces once, connects to the
//! gateway to see its proofs, and signs what is ordered. It can be told to be difficult.

use std::collections::HashSet;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use hookward::cli::cert;
use hookward::clock::Clock;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, PublicKeyData};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs as backend;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, ServerConfig, ServerConnection, SignatureScheme};
use serde_json::{Value, json};

use super::{PATIENCE, eventually};

/// How an authority behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Good,
    /// It takes no nonce the first time.
    BadNonces,
    /// It takes no order.
    RateLimited,
    /// It does not know any account.
    Forgetful,
    /// What it issues is over already.
    Late,
    /// Its directory has so many bytes.
    Wordy(usize),
}

/// A running authority.
#[derive(Clone)]
pub(crate) struct Authority {
    /// Where its directory is.
    pub url: String,
    /// The certificate of its own server.
    pub server_pem: String,
    /// The root of what it issues.
    pub root: CertificateDer<'static>,
    inner: Arc<Inner>,
}

struct Inner {
    base: String,
    clock: Clock,
    issuer: CertifiedIssuer<'static, KeyPair>,
    books: Mutex<Books>,
}

/// What it knows.
struct Books {
    mood: Mood,
    /// The kinds of proofs it takes.
    kinds: Vec<&'static str>,
    /// Where every name is.
    gateway: Option<SocketAddr>,
    nonces: HashSet<String>,
    numbers: usize,
    refused_nonces: HashSet<String>,
    /// Public keys, as points.
    accounts: Vec<Vec<u8>>,
    orders: Vec<Order>,
    validity: Duration,
}

#[derive(Clone)]
struct Order {
    account: usize,
    names: Vec<String>,
    proofs: Vec<Proven>,
    chain: Option<String>,
}

#[derive(Clone, PartialEq)]
enum Proven {
    Pending,
    Yes,
    No(String),
}

struct Reply {
    status: u16,
    location: Option<String>,
    media_type: &'static str,
    body: String,
}

impl Authority {
    /// Starts one that takes proofs of these kinds.
    pub(crate) fn start(clock: Clock, kinds: &[&'static str], validity: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let base = format!("https://{}", listener.local_addr().unwrap());
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(rcgen::DnType::CommonName, "Test authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let made = cert::make(&["127.0.0.1".to_owned()]).unwrap();
        let root = issuer.der().clone();
        let books = Books {
            mood: Mood::Good,
            kinds: kinds.to_vec(),
            gateway: None,
            nonces: HashSet::new(),
            numbers: 0,
            refused_nonces: HashSet::new(),
            accounts: Vec::new(),
            orders: Vec::new(),
            validity,
        };
        let inner = Arc::new(Inner { base: base.clone(), clock, issuer, books: Mutex::new(books) });
        let config = ServerConfig::builder_with_provider(Arc::new(backend::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(made.key.as_bytes()).unwrap(),
            );
        let config = Arc::new(config.unwrap());
        let serving = Arc::clone(&inner);
        std::thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                let (inner, config) = (Arc::clone(&serving), Arc::clone(&config));
                std::thread::spawn(move || inner.serve(socket, config));
            }
        });
        Self { url: format!("{base}/directory"), server_pem: made.certificate, root, inner }
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.inner.books().mood = mood;
    }

    /// Says where every name is.
    pub(crate) fn look_at(&self, gateway: SocketAddr) {
        self.inner.books().gateway = Some(gateway);
    }

    /// How many accounts were made, and how many orders.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let books = self.inner.books();
        (books.accounts.len(), books.orders.len())
    }
}

impl Inner {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    fn serve(&self, mut socket: TcpStream, config: Arc<ServerConfig>) {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut session = ServerConnection::new(config).unwrap();
        let mut stream = rustls::Stream::new(&mut session, &mut socket);
        let Ok((method, path, body)) = read_request(&mut stream) else { return };
        let reply = self.reply(&method, &path, &body);
        let nonce = self.nonce();
        let location = reply.location.map(|location| format!("location: {location}\r\n")).unwrap_or_default();
        let length = if method == "HEAD" { 0 } else { reply.body.len() };
        let head = format!(
            "HTTP/1.1 {} X\r\nreplay-nonce: {nonce}\r\n{location}content-type: {}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n",
            reply.status, reply.media_type
        );
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&reply.body.as_bytes()[..length]));
        session.send_close_notify();
        let _ = session.complete_io(&mut socket);
    }

    fn nonce(&self) -> String {
        let mut books = self.books();
        books.numbers += 1;
        let nonce = format!("nonce-{}", books.numbers);
        books.nonces.insert(nonce.clone());
        nonce
    }

    fn reply(&self, method: &str, path: &str, body: &[u8]) -> Reply {
        match (method, path) {
            ("GET", "/directory") => {
                let place = |name| format!("{}/{name}", self.base);
                let places =
                    json!({ "newNonce": place("nonce"), "newAccount": place("account"), "newOrder": place("order") });
                let mut reply = ok(&places);
                if let Mood::Wordy(bytes) = self.books().mood {
                    reply.body.push_str(&" ".repeat(bytes - reply.body.len()));
                }
                reply
            }
            ("HEAD", "/nonce") => ok(&Value::Null),
            ("POST", _) => match self.signed(path, body) {
                Ok((account, payload)) => self.ordered(path, account, &payload).unwrap_or_else(|problem| problem),
                Err(problem) => problem,
            },
            _ => problem(404, "malformed", "no such place"),
        }
    }

    /// The account that signed, or the key of one that is to be made, and what was signed (RFC 8555 §6.2).
    fn signed(&self, path: &str, body: &[u8]) -> Result<(Result<usize, Vec<u8>>, Value), Reply> {
        let malformed = |why: &str| problem(400, "malformed", why);
        let request: Value = serde_json::from_slice(body).map_err(|_| malformed("no JSON"))?;
        let text = |name: &str| request[name].as_str().unwrap_or_default().to_owned();
        let (protected, payload) = (text("protected"), text("payload"));
        let head: Value = serde_json::from_slice(&decode(&protected)).map_err(|_| malformed("no header"))?;
        let mut books = self.books();
        let nonce = head["nonce"].as_str().unwrap_or_default().to_owned();
        let is_known = books.nonces.remove(&nonce);
        if !is_known || books.mood == Mood::BadNonces && books.refused_nonces.insert(path.to_owned()) {
            return Err(problem(400, "badNonce", "not this one"));
        }
        if head["alg"] != "ES256" || head["url"] != format!("{}{path}", self.base) {
            return Err(malformed("the header says something else"));
        }
        let (account, point) = if let Some(id) = head["kid"].as_str() {
            let number = id.rsplit('/').next().and_then(|number| number.parse::<usize>().ok());
            let point = number.and_then(|number| books.accounts.get(number).cloned());
            match (number, point) {
                (Some(number), Some(point)) if books.mood != Mood::Forgetful => (Ok(number), point),
                _ => return Err(problem(400, "accountDoesNotExist", "who is that?")),
            }
        } else {
            let part = |name: &str| decode(head["jwk"][name].as_str().unwrap_or_default());
            let point = [&[4][..], &part("x"), &part("y")].concat();
            (Err(point.clone()), point)
        };
        let signature = decode(&text("signature"));
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point)
            .verify(format!("{protected}.{payload}").as_bytes(), &signature)
            .map_err(|_| problem(403, "unauthorized", "not signed by that key"))?;
        Ok((account, serde_json::from_slice(&decode(&payload)).unwrap_or(Value::Null)))
    }

    fn ordered(&self, path: &str, account: Result<usize, Vec<u8>>, payload: &Value) -> Result<Reply, Reply> {
        let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
        let account = match (parts[0], account) {
            ("account", Err(key)) => return Ok(self.new_account(key, payload)),
            (_, Ok(account)) => account,
            (_, Err(_)) => return Err(problem(403, "unauthorized", "an account is needed")),
        };
        let number = |at: usize| parts.get(at).and_then(|number| number.parse::<usize>().ok()).unwrap_or(usize::MAX);
        if parts.len() == 1 {
            return self.new_order(account, payload);
        }
        let order = self.books().orders.get(number(1)).cloned();
        let order = order.filter(|order| order.account == account);
        let order = order.ok_or_else(|| problem(404, "malformed", "no such order"))?;
        match parts[0] {
            "order" => Ok(ok(&self.order(number(1), &order))),
            "authorization" => Ok(ok(&self.authorization(number(1), number(2), &order))),
            "challenge" => {
                let (at, name) = (number(2), order.names[number(2)].clone());
                let proven = match self.look(&name, parts[3], &token(number(1), at), account) {
                    Ok(()) => Proven::Yes,
                    Err(why) => Proven::No(why),
                };
                self.books().orders[number(1)].proofs[at] = proven;
                Ok(ok(
                    &json!({ "type": parts[3], "url": format!("{}{path}", self.base), "status": "processing", "token": token(number(1), at) }),
                ))
            }
            "finalize" => {
                let csr = decode(payload["csr"].as_str().unwrap_or_default());
                let chain = self.sign(&order, &csr)?;
                self.books().orders[number(1)].chain = Some(chain);
                let order = self.books().orders[number(1)].clone();
                Ok(ok(&self.order(number(1), &order)))
            }
            "certificate" => Ok(Reply {
                status: 200,
                location: None,
                media_type: "application/pem-certificate-chain",
                body: order.chain.unwrap_or_default(),
            }),
            _ => Err(problem(404, "malformed", "no such place")),
        }
    }

    fn new_account(&self, key: Vec<u8>, payload: &Value) -> Reply {
        if payload["termsOfServiceAgreed"] != true {
            return problem(403, "userActionRequired", "the terms");
        }
        let mut books = self.books();
        books.mood = if books.mood == Mood::Forgetful { Mood::Good } else { books.mood };
        books.accounts.push(key);
        let location = Some(format!("{}/account/{}", self.base, books.accounts.len() - 1));
        Reply { status: 201, location, ..ok(&json!({ "status": "valid" })) }
    }

    fn new_order(&self, account: usize, payload: &Value) -> Result<Reply, Reply> {
        let mut books = self.books();
        if books.mood == Mood::RateLimited {
            return Err(problem(429, "rateLimited", "too many orders"));
        }
        let identifiers = payload["identifiers"].as_array().into_iter().flatten();
        let names: Vec<_> = identifiers.filter_map(|one| one["value"].as_str().map(str::to_owned)).collect();
        let proofs = vec![Proven::Pending; names.len()];
        let order = Order { account, names, proofs, chain: None };
        books.orders.push(order.clone());
        let number = books.orders.len() - 1;
        drop(books);
        let location = Some(format!("{}/order/{number}", self.base));
        Ok(Reply { status: 201, location, ..ok(&self.order(number, &order)) })
    }

    fn order(&self, number: usize, order: &Order) -> Value {
        let refused = order.proofs.iter().any(|proof| matches!(proof, Proven::No(_)));
        let status = match (&order.chain, refused) {
            (Some(_), _) => "valid",
            (None, true) => "invalid",
            (None, false) if order.proofs.iter().all(|proof| *proof == Proven::Yes) => "ready",
            (None, false) => "pending",
        };
        let place = |name: &str| format!("{}/{name}/{number}", self.base);
        let authorizations: Vec<_> =
            (0..order.names.len()).map(|at| format!("{}/{at}", place("authorization"))).collect();
        let mut told = json!({ "status": status, "authorizations": authorizations, "finalize": place("finalize") });
        if order.chain.is_some() {
            told["certificate"] = place("certificate").into();
        }
        told
    }

    fn authorization(&self, number: usize, at: usize, order: &Order) -> Value {
        let (status, error) = match &order.proofs[at] {
            Proven::Pending => ("pending", Value::Null),
            Proven::Yes => ("valid", Value::Null),
            Proven::No(why) => ("invalid", json!({ "type": "urn:ietf:params:acme:error:unauthorized", "detail": why })),
        };
        let challenge = |kind: &&str| {
            let url = format!("{}/challenge/{number}/{at}/{kind}", self.base);
            json!({ "type": kind, "url": url, "status": status, "token": token(number, at), "error": error })
        };
        let challenges: Vec<_> = self.books().kinds.iter().map(challenge).collect();
        json!({ "identifier": { "type": "dns", "value": order.names[at] }, "status": status, "challenges": challenges })
    }

    /// Looks at a proof, as an authority does that cannot be sure who it talks to.
    fn look(&self, name: &str, kind: &str, token: &str, account: usize) -> Result<(), String> {
        // A test that starts a gateway learns only then where it is.
        let gateway = eventually("where the gateway is", || self.books().gateway);
        let point = self.books().accounts[account].clone();
        let (x, y) = point[1..].split_at(32);
        let [x, y] = [x, y].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
        let thumb =
            digest(&SHA256, format!("{{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"{x}\",\"y\":\"{y}\"}}").as_bytes());
        let authorization = format!("{token}.{}", BASE64_URL_SAFE_NO_PAD.encode(thumb));
        let proof = match kind {
            "tls-alpn-01" => tls_proof(gateway, name, &authorization),
            _ => http_proof(gateway, name, token, &authorization),
        };
        proof.map_err(|error| error.to_string())
    }

    fn sign(&self, order: &Order, csr: &[u8]) -> Result<String, Reply> {
        let bad = |why: &str| problem(400, "badCSR", why);
        if !order.names.iter().all(|name| has(csr, &named(name))) {
            return Err(bad("names are missing"));
        }
        let at = csr.windows(POINT.len()).position(|window| window == POINT).ok_or_else(|| bad("no key"))?;
        let point = csr.get(at + POINT.len()..at + POINT.len() + 65).ok_or_else(|| bad("half a key"))?.to_vec();
        let books = self.books();
        let now = u64::try_from(self.clock.unix_seconds()).unwrap();
        let end = if books.mood == Mood::Late { now } else { now + books.validity.as_secs() };
        let mut params = CertificateParams::new(order.names.clone()).unwrap();
        params.not_before = (UNIX_EPOCH + Duration::from_secs(end - books.validity.as_secs())).into();
        params.not_after = (UNIX_EPOCH + Duration::from_secs(end)).into();
        let certificate = params.signed_by(&Point(point), &self.issuer).unwrap();
        Ok(format!("{}{}", certificate.pem(), self.issuer.pem()))
    }
}

/// What stands before the point of a P-256 key in DER: its curve, and a string of 65 bytes.
const POINT: [u8; 13] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00];

struct Point(Vec<u8>);

impl PublicKeyData for Point {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

/// A name in DER, as it stands among the names of a certificate.
fn named(name: &str) -> Vec<u8> {
    [&[0x82, u8::try_from(name.len()).unwrap()][..], name.as_bytes()].concat()
}

fn has(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn token(order: usize, at: usize) -> String {
    format!("token-{order}-{at}")
}

fn decode(text: &str) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD.decode(text).unwrap_or_default()
}

fn ok(body: &Value) -> Reply {
    Reply { status: 200, location: None, media_type: "application/json", body: body.to_string() }
}

fn problem(status: u16, kind: &str, detail: &str) -> Reply {
    let body = json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail });
    Reply { status, location: None, media_type: "application/problem+json", body: body.to_string() }
}

fn read_request(stream: &mut impl io::Read) -> io::Result<(String, String, Vec<u8>)> {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            if read.len() >= end + 4 + length {
                let line = String::from_utf8_lossy(&read[..end]).into_owned();
                let mut words = line.split(' ').map(str::to_owned);
                let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                return Ok((method, path, read[end + 4..].to_vec()));
            }
        }
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => read.extend_from_slice(&buffer[..length]),
        }
    }
}

/// RFC 8737 §3.
fn tls_proof(gateway: SocketAddr, name: &str, authorization: &str) -> io::Result<()> {
    let (mut session, mut socket) = challenged(gateway, name, &[b"acme-tls/1"])?;
    if session.alpn_protocol() != Some(b"acme-tls/1") {
        return Err(io::Error::other("another protocol"));
    }
    let certificate = session.peer_certificates().unwrap()[0].clone();
    if !has(&certificate, &named(name)) {
        return Err(io::Error::other("another name"));
    }
    let expected = digest(&SHA256, authorization.as_bytes());
    // id-pe-acmeIdentifier, critical, a string in a string.
    let oid = [0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x1f, 0x01, 0x01, 0xff, 0x04, 0x22, 0x04, 0x20];
    let extension = [&oid[..], expected.as_ref()].concat();
    if !has(&certificate, &extension) {
        return Err(io::Error::other("another proof"));
    }
    // Nobody else sees it, and nobody sees another as a proof.
    for protocols in [&[b"http/1.1" as &[u8]][..], &[b"acme-tls/1", b"http/1.1"], &[]] {
        let shown = challenged(gateway, name, protocols).ok();
        let shown = shown.map(|(session, _)| session.peer_certificates().unwrap()[0].clone());
        assert!(shown.is_none_or(|shown| !has(&shown, &oid)), "{protocols:?}");
    }
    assert!(challenged(gateway, "nobody.example", &[b"acme-tls/1"]).is_err());
    // Whatever is sent then, nothing is answered.
    let mut stream = rustls::Stream::new(&mut session, &mut socket);
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty(), "{answer:?}");
    Ok(())
}

/// A handshake with whoever is there, with these protocols.
pub(crate) fn challenged(
    gateway: SocketAddr,
    name: &str,
    protocols: &[&[u8]],
) -> io::Result<(ClientConnection, TcpStream)> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(backend::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect(gateway)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    while session.is_handshaking() {
        session.complete_io(&mut socket)?;
    }
    Ok((session, socket))
}

/// RFC 8555 §8.3.
fn http_proof(gateway: SocketAddr, name: &str, token: &str, authorization: &str) -> io::Result<()> {
    let mut socket = TcpStream::connect(gateway)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.write_all(format!("GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nhost: {name}\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    let is_proof = answer.starts_with("HTTP/1.1 200") && answer.ends_with(&format!("\r\n\r\n{authorization}"));
    if is_proof { Ok(()) } else { Err(io::Error::other("another answer")) }
}

/// Takes every certificate.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        backend::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
