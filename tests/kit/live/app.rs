//! The app behind a gateway: takes requests byte for byte and answers what a test wants, however wrong.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::{Domain, Socket, Type};

use super::client::find;
use super::eventually;

/// An app, on a thread of its own.
#[derive(Clone)]
pub(crate) struct App {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    taken: Mutex<Vec<Taken>>,
    connections: AtomicUsize,
    closed: AtomicUsize,
    say: Box<dyn Fn(&Taken) -> Say + Send + Sync>,
}

/// A request that an app took.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    /// Which request it is, from 0 on.
    pub number: usize,
    /// On which of the app's connections it came.
    pub connection: usize,
    /// The first line.
    pub line: String,
    /// The header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What an app says to a request.
pub(crate) enum Say {
    /// These bytes; the connection stays.
    Bytes(Vec<u8>),
    /// These bytes, and the end of the connection.
    Last(Vec<u8>),
}

impl Say {
    /// A whole answer with this status and body.
    pub(crate) fn status(status: u16, body: &str) -> Self {
        Self::with(status, &[], body)
    }

    /// A whole answer with fields.
    pub(crate) fn with(status: u16, fields: &[(&str, &str)], body: &str) -> Self {
        let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let fields = fields.concat();
        let answer = format!("HTTP/1.1 {status} Word\r\n{fields}content-length: {}\r\n\r\n{body}", body.len());
        Self::Bytes(answer.into_bytes())
    }
}

/// A door that a test opens: an app waits behind it with its answer.
#[derive(Clone, Default)]
pub(crate) struct Door(Arc<(Mutex<bool>, Condvar)>);

impl Door {
    /// Waits until it is open.
    pub(crate) fn wait(&self) {
        let (open, changed) = &*self.0;
        drop(changed.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
    }

    /// Opens it for everybody.
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

impl App {
    /// An app that says `ok` to everything.
    pub(crate) fn start() -> Self {
        Self::saying(|_| Say::status(200, "ok"))
    }

    /// An app that says this.
    pub(crate) fn saying(say: impl Fn(&Taken) -> Say + Send + Sync + 'static) -> Self {
        Self::listening(TcpListener::bind("127.0.0.1:0").unwrap(), say)
    }

    /// The same on this socket, until that listens no more.
    fn listening(listener: TcpListener, say: impl Fn(&Taken) -> Say + Send + Sync + 'static) -> Self {
        let app = Self::new(listener.local_addr().unwrap(), say);
        let state = Arc::clone(&app.state);
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                stream.set_nodelay(true).unwrap();
                State::open(&state, stream);
            }
        });
        app
    }

    /// An app on a Unix socket.
    pub(crate) fn on_socket(path: &Path, say: impl Fn(&Taken) -> Say + Send + Sync + 'static) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let app = Self::new(SocketAddr::from(([0, 0, 0, 0], 0)), say);
        let state = Arc::clone(&app.state);
        thread::spawn(move || listener.incoming().for_each(|stream| State::open(&state, stream.unwrap())));
        app
    }

    /// An app with TLS and this certificate.
    pub(crate) fn with_tls(certificate: &str, key: &str, say: impl Fn(&Taken) -> Say + Send + Sync + 'static) -> Self {
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let app = Self::new(listener.local_addr().unwrap(), say);
        let state = Arc::clone(&app.state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let session = ServerConnection::new(Arc::clone(&config)).unwrap();
                State::open(&state, StreamOwned::new(session, stream.unwrap()));
            }
        });
        app
    }

    fn new(address: SocketAddr, say: impl Fn(&Taken) -> Say + Send + Sync + 'static) -> Self {
        let state = State {
            taken: Mutex::default(),
            connections: AtomicUsize::new(0),
            closed: AtomicUsize::new(0),
            say: Box::new(say),
        };
        Self { address, state: Arc::new(state) }
    }

    /// What a policy says to reach it: `to = "…"` with this path.
    pub(crate) fn to(&self, path: &str) -> String {
        format!("to = \"http://{}{path}\"", self.address)
    }

    /// Everything it took so far.
    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.state.taken.lock().unwrap().clone()
    }

    /// The only thing it took.
    pub(crate) fn only(&self) -> Taken {
        let mut taken = self.taken();
        assert_eq!(taken.len(), 1, "requests at the app");
        taken.remove(0)
    }

    /// Waits until it took so many.
    pub(crate) fn wait_taken(&self, count: usize) -> Vec<Taken> {
        eventually(&format!("{count} requests at the app"), || {
            let taken = self.taken();
            (taken.len() >= count).then_some(taken)
        })
    }

    /// Waits until so many of its connections have ended, from either side.
    pub(crate) fn wait_closed(&self, count: usize) {
        eventually("an end of the app's connection", || {
            (self.state.closed.load(Ordering::SeqCst) >= count).then_some(())
        });
    }
}

/// A place for an app that may be down: while it is, connections to its port are refused, and nobody else can have it.
pub(crate) struct Place {
    socket: Socket,
    /// Where the app is, or will be.
    pub(crate) address: SocketAddr,
}

impl Place {
    /// A place without an app.
    pub(crate) fn new() -> Self {
        let bind = |port| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_reuse_address(true).unwrap();
            socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
            let address = socket.local_addr().unwrap().as_socket().unwrap();
            Self { socket, address }
        };
        // A port that the system chose is given back when its socket listens no more; one that was asked for is not.
        let chosen = bind(0);
        bind(chosen.address.port())
    }

    /// An app comes up there. Its connections end with each answer, so that none outlives it.
    pub(crate) fn up(&self, say: impl Fn(&Taken) -> (u16, &'static str) + Send + Sync + 'static) -> App {
        self.socket.listen(128).unwrap();
        App::listening(self.socket.try_clone().unwrap().into(), move |taken| {
            let (status, body) = say(taken);
            let Say::Bytes(bytes) = Say::with(status, &[("connection", "close")], body) else { unreachable!() };
            Say::Last(bytes)
        })
    }

    /// The app goes away.
    pub(crate) fn down(&self) {
        self.socket.shutdown(Shutdown::Both).unwrap();
    }
}

impl State {
    fn open(state: &Arc<Self>, stream: impl Read + Write + Send + 'static) {
        let state = Arc::clone(state);
        let connection = state.connections.fetch_add(1, Ordering::SeqCst);
        thread::spawn(move || {
            state.serve(stream, connection);
            state.closed.fetch_add(1, Ordering::SeqCst);
        });
    }

    fn serve(&self, mut stream: impl Read + Write, connection: usize) {
        let mut read = Vec::new();
        while let Some((line, headers, body)) = request(&mut stream, &mut read) {
            let taken = {
                let mut all = self.taken.lock().unwrap();
                let taken = Taken { number: all.len(), connection, line, headers, body };
                all.push(taken.clone());
                taken
            };
            let (bytes, last) = match (self.say)(&taken) {
                Say::Bytes(bytes) => (bytes, false),
                Say::Last(bytes) => (bytes, true),
            };
            if stream.write_all(&bytes).and_then(|()| stream.flush()).is_err() || last {
                return;
            }
        }
    }
}

type Request = (String, Vec<(String, String)>, Vec<u8>);

/// The next request; `None` at the end of the connection.
fn request(stream: &mut impl Read, read: &mut Vec<u8>) -> Option<Request> {
    let end = loop {
        if let Some(end) = find(read, b"\r\n\r\n") {
            break end + 4;
        }
        more(stream, read)?;
    };
    let head = String::from_utf8(read.drain(..end).collect()).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let line = lines.next().unwrap().to_owned();
    let fields = lines.map(|line| line.split_once(": ").unwrap_or_else(|| panic!("field {line:?}")));
    let headers: Vec<_> = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    let length =
        headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, value)| value.parse().unwrap());
    while read.len() < length {
        more(stream, read)?;
    }
    Some((line, headers, read.drain(..length).collect()))
}

fn more(stream: &mut impl Read, read: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return None,
            Ok(length) => {
                read.extend_from_slice(&buffer[..length]);
                return Some(());
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

impl Taken {
    /// The value of a field.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The names of all fields, sorted.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }
}
