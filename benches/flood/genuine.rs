//! The genuine sender: a few addresses, each on a connection that it keeps, and others that open a connection for each delivery.
//!
//! They are threads with blocking sockets, so that what they time is the gateway and not a runtime that is busy with the flood.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use socket2::{Domain, Socket, Type};

use crate::Fault;
use crate::gateway::Gateway;
use crate::requests::{self, Schedule};
use crate::tally::{Answer, Tally};

/// Senders that keep their connection, each with an address of its own.
const KEPT: u8 = 8;
/// Deliveries a second of all of them.
const KEPT_PER_SECOND: f64 = 80.0;
/// Senders that open a connection for each delivery, with addresses of their own.
const FRESH: u8 = 10;
/// Deliveries a second of all of those.
const FRESH_PER_SECOND: f64 = 20.0;
/// As long as GitHub waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// How deliveries fared, on connections that were kept and on new ones.
#[derive(Debug, Default)]
pub struct Genuine {
    pub kept: Tally,
    pub fresh: Tally,
}

/// Deliveries under way.
pub struct Sending {
    kept: Vec<JoinHandle<Tally>>,
    fresh: Vec<JoinHandle<Tally>>,
}

/// Begins to deliver to `path` for so long.
pub fn start(gateway: &Gateway, path: &str, phase: Duration) -> Result<Sending, Fault> {
    let requests: Arc<[Bytes]> = requests::signed(path)?.into();
    // A while for connections to be made.
    let begins = Instant::now() + Duration::from_millis(500);
    let sender = |number: u8, keeps: bool, per_second: f64| {
        let sender = Sender {
            gateway: gateway.address,
            tls: Arc::clone(&gateway.tls),
            from: Ipv4Addr::new(127, 200, 0, number),
            requests: Arc::clone(&requests),
            keeps,
        };
        let schedule = Schedule::new(u64::from(number), per_second);
        thread::Builder::new()
            .name(format!("genuine-{number}"))
            .spawn(move || sender.send(schedule, begins, begins + phase))
    };
    let kept = (0..KEPT).map(|number| sender(number, true, KEPT_PER_SECOND / f64::from(KEPT)));
    let fresh = (KEPT..KEPT + FRESH).map(|number| sender(number, false, FRESH_PER_SECOND / f64::from(FRESH)));
    Ok(Sending { kept: kept.collect::<io::Result<_>>()?, fresh: fresh.collect::<io::Result<_>>()? })
}

impl Sending {
    /// Waits for the last answer.
    pub fn finish(self) -> Result<Genuine, Fault> {
        let join = |senders: Vec<JoinHandle<Tally>>| {
            senders.into_iter().try_fold(Tally::default(), |mut all, sender| {
                all.add(sender.join().map_err(|_| "a sender broke")?);
                Ok::<_, Fault>(all)
            })
        };
        Ok(Genuine { kept: join(self.kept)?, fresh: join(self.fresh)? })
    }
}

pub type Stream = StreamOwned<ClientConnection, TcpStream>;

struct Sender {
    gateway: SocketAddr,
    tls: Arc<ClientConfig>,
    from: Ipv4Addr,
    requests: Arc<[Bytes]>,
    keeps: bool,
}

impl Sender {
    fn send(&self, mut schedule: Schedule, begins: Instant, ends: Instant) -> Tally {
        let mut tally = Tally::default();
        let mut stream = if self.keeps { connect(self.from, self.gateway, &self.tls).ok() } else { None };
        let mut due = begins + schedule.gap();
        for request in self.requests.iter().cycle() {
            if due >= ends {
                break;
            }
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if due.elapsed() >= PATIENCE {
                tally.unsent += 1;
            } else {
                match self.exchange(&mut stream, request) {
                    Ok(answer) => tally.answered(answer, due.elapsed()),
                    Err(fault) => {
                        eprintln!("flood: a genuine delivery failed: {fault}");
                        tally.failed += 1;
                        stream = None;
                    }
                }
            }
            due += schedule.gap();
        }
        tally
    }

    fn exchange(&self, kept: &mut Option<Stream>, request: &[u8]) -> io::Result<Answer> {
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => connect(self.from, self.gateway, &self.tls)?,
        };
        let answer = exchange(&mut stream, request)?;
        if self.keeps && !answer.close {
            *kept = Some(stream);
        }
        Ok(answer)
    }
}

/// A connection of this address that shook hands.
pub fn connect(from: Ipv4Addr, gateway: SocketAddr, tls: &Arc<ClientConfig>) -> io::Result<Stream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect_timeout(&gateway.into(), PATIENCE)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let mut session = ClientConnection::new(Arc::clone(tls), name).map_err(io::Error::other)?;
    let mut socket = TcpStream::from(socket);
    while session.is_handshaking() {
        session.complete_io(&mut socket)?;
    }
    Ok(StreamOwned::new(session, socket))
}

/// Sends a request and waits for its answer.
pub fn exchange(stream: &mut Stream, request: &[u8]) -> io::Result<Answer> {
    stream.write_all(request)?;
    stream.flush()?;
    let mut room = [0; 4096];
    let mut filled = 0;
    loop {
        let length = stream.read(&mut room[filled..])?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += length;
        if let Some(answer) = read(&room[..filled]) {
            return Ok(answer);
        }
    }
}

/// The answer, once it is there in full.
pub fn read(bytes: &[u8]) -> Option<Answer> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(head) = response.parse(bytes).ok()? else { return None };
    let mut answer = Answer { status: response.code?, retry_after: false, close: false };
    let mut length = 0;
    for field in &*response.headers {
        match field.name {
            name if name.eq_ignore_ascii_case("retry-after") => answer.retry_after = true,
            name if name.eq_ignore_ascii_case("connection") => answer.close = field.value == b"close",
            name if name.eq_ignore_ascii_case("content-length") => {
                length = std::str::from_utf8(field.value).ok()?.parse().ok()?;
            }
            _ => {}
        }
    }
    (bytes.len() - head >= length).then_some(answer)
}
