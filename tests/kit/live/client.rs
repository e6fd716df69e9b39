//! A client that writes exactly the bytes it is told to, over real TLS or without.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};
use socket2::{Domain, Socket, Type};

use super::{Delivery, PATIENCE, Running};

/// How a connection begins.
pub(crate) struct Hello<'h> {
    pub address: SocketAddr,
    /// Where the client is; the system chooses, if it is nowhere.
    pub from: Option<IpAddr>,
    /// Bytes before the handshake.
    pub first: &'h [u8],
    pub roots: RootCertStore,
    /// The name in SNI, which the certificate must have.
    pub name: &'h str,
    /// ALPN, best first; empty: none is offered.
    pub protocols: &'h [&'h str],
    /// The versions offered.
    pub versions: &'h [&'static SupportedProtocolVersion],
}

/// A connection to a gateway.
pub(crate) struct Connection {
    stream: Stream,
    read: Vec<u8>,
}

enum Stream {
    Plain(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// An answer as it came.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Hello<'_> {
    /// As an ordinary HTTP/1.1 sender begins.
    pub(crate) fn new(gateway: &Running) -> Self {
        Self::at(gateway.address(), gateway.roots().clone())
    }

    /// The same, to a gateway elsewhere.
    pub(crate) fn at(address: SocketAddr, roots: RootCertStore) -> Self {
        Self {
            address,
            from: None,
            first: &[],
            roots,
            name: "localhost",
            protocols: &["http/1.1"],
            versions: rustls::ALL_VERSIONS,
        }
    }

    /// The TLS configuration of this client.
    pub(crate) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = self.protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        config
    }

    /// Connects and shakes hands.
    pub(crate) fn connect(&self) -> io::Result<Connection> {
        self.connect_with(Arc::new(self.config()))
    }

    /// The same with another TLS configuration, such as one that remembers its sessions.
    pub(crate) fn connect_with(&self, config: Arc<ClientConfig>) -> io::Result<Connection> {
        let name = ServerName::try_from(self.name.to_owned()).unwrap();
        let mut session = ClientConnection::new(config, name).unwrap();
        let mut socket = try_socket(self.from, self.address)?;
        socket.write_all(self.first)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(Connection { stream: Stream::Tls(Box::new(StreamOwned::new(session, socket))), read: Vec::new() })
    }
}

/// A socket on which nothing waits for ever.
pub(crate) fn socket(address: SocketAddr) -> TcpStream {
    try_socket(None, address).unwrap()
}

fn try_socket(from: Option<IpAddr>, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if let Some(from) = from {
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    socket.connect(&address.into())?;
    let socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

impl Connection {
    /// A connection without TLS.
    pub(crate) fn plain(address: SocketAddr) -> Self {
        Self { stream: Stream::Plain(socket(address)), read: Vec::new() }
    }

    /// A connection over a Unix socket.
    pub(crate) fn unix(path: &Path) -> Self {
        let socket = UnixStream::connect(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream: Stream::Unix(socket), read: Vec::new() }
    }

    /// A socket of a TLS listener, before any handshake.
    pub(crate) fn raw(address: SocketAddr) -> Self {
        Self::plain(address)
    }

    /// Writes these bytes. A gateway that has closed already is no fault of the test's.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let written = match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        };
        if let Err(error) = written {
            assert!(is_closed(&error), "{error}");
        }
    }

    /// Sends a delivery and waits for its answer.
    pub(crate) fn send(&mut self, delivery: &Delivery) -> Answer {
        self.write(&delivery.bytes());
        self.answer()
    }

    /// The next answer.
    pub(crate) fn answer(&mut self) -> Answer {
        self.try_answer().expect("the connection ended without an answer")
    }

    /// The next answer; `None` if the connection ends before one begins. Interim answers count.
    pub(crate) fn try_answer(&mut self) -> Option<Answer> {
        let mut answer = self.try_head()?;
        let length = match answer.header("content-length") {
            Some(length) => length.parse().unwrap(),
            None if answer.status == 204 || answer.status < 200 => 0,
            None => panic!("an answer without length: {answer:?}"),
        };
        while self.read.len() < length {
            assert!(self.more() > 0, "the connection ended within a body");
        }
        answer.body = self.read.drain(..length).collect();
        Some(answer)
    }

    /// The head of the next answer, which is all there is for HEAD.
    pub(crate) fn try_head(&mut self) -> Option<Answer> {
        let end = loop {
            if let Some(end) = find(&self.read, b"\r\n\r\n") {
                break end + 4;
            }
            if self.more() == 0 {
                assert!(self.read.is_empty(), "half an answer: {}", String::from_utf8_lossy(&self.read));
                return None;
            }
        };
        let head = String::from_utf8(self.read.drain(..end).collect()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let fields = lines.filter_map(|line| line.split_once(": "));
        let headers: Vec<_> = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Some(Answer { status, headers, body: Vec::new() })
    }

    /// The next so many bytes; `None` if the connection ends before.
    pub(crate) fn bytes(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.read.len() < length {
            if self.more() == 0 {
                return None;
            }
        }
        Some(self.read.drain(..length).collect())
    }

    /// Waits until the gateway closes; what it sends first is thrown away.
    pub(crate) fn wait_closed(&mut self) {
        while self.more() > 0 {}
    }

    /// Closes without a word more, as a sender that went away.
    pub(crate) fn close(self) {
        let _ = match self.stream {
            Stream::Plain(socket) => socket.shutdown(Shutdown::Both),
            Stream::Unix(socket) => socket.shutdown(Shutdown::Both),
            Stream::Tls(stream) => stream.sock.shutdown(Shutdown::Both),
        };
    }

    /// Writes these bytes over TLS and reads what comes first, as far as the gateway lets it.
    pub(crate) fn try_exchange(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Stream::Tls(stream) = &mut self.stream else { panic!("a connection without TLS") };
        stream.write_all(bytes)?;
        stream.read(&mut [0; 16])
    }

    /// Whether the handshake was a whole one.
    pub(crate) fn handshake(&self) -> Option<HandshakeKind> {
        match &self.stream {
            Stream::Plain(_) | Stream::Unix(_) => None,
            Stream::Tls(stream) => stream.conn.handshake_kind(),
        }
    }

    /// The TLS version that was agreed on.
    pub(crate) fn version(&self) -> Option<ProtocolVersion> {
        match &self.stream {
            Stream::Plain(_) | Stream::Unix(_) => None,
            Stream::Tls(stream) => stream.conn.protocol_version(),
        }
    }

    /// The protocol that ALPN chose.
    pub(crate) fn protocol(&self) -> Option<String> {
        match &self.stream {
            Stream::Plain(_) | Stream::Unix(_) => None,
            Stream::Tls(stream) => stream.conn.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap()),
        }
    }

    /// The certificate that the gateway showed, as DER.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        match &self.stream {
            Stream::Plain(_) | Stream::Unix(_) => Vec::new(),
            Stream::Tls(stream) => stream.conn.peer_certificates().unwrap()[0].to_vec(),
        }
    }

    /// Reads what there is; 0: the connection has ended. Silence for too long fails the test.
    fn more(&mut self) -> usize {
        let mut buffer = [0; 16 * 1024];
        let read = match &mut self.stream {
            Stream::Plain(stream) => stream.read(&mut buffer),
            Stream::Unix(stream) => stream.read(&mut buffer),
            Stream::Tls(stream) => stream.read(&mut buffer),
        };
        match read {
            Ok(length) => {
                self.read.extend_from_slice(&buffer[..length]);
                length
            }
            Err(error) if is_closed(&error) => 0,
            Err(error) => panic!("neither bytes nor an end: {error}"),
        }
    }
}

/// What a peer that went away looks like; without `close_notify` too.
fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        error.kind(),
        K::UnexpectedEof | K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::NotConnected
    )
}

pub(crate) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

impl Answer {
    /// The value of a field.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The delivery's id in a refusal.
    pub(crate) fn delivery(&self) -> Option<String> {
        let value: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        Some(value.get("delivery")?.as_str()?.to_owned())
    }
}
