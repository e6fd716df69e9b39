//! Connections to upstreams: a small pool for each worker, used by no other thread.
//!
//! A pooled connection is driven by the delivery that uses it, not by a task of its own: no hand-over between tasks, and a connection that the upstream closed
//! meanwhile is seen when it is taken from the pool, before anything is sent.
//!
//! **Invariant:** a connection goes back to the pool only after one whole, well-formed exchange; after any oddity it is dropped.
//!
//! **Invariant:** a request is sent again only if not one byte of it was sent before.

mod drive;
mod fault;
mod lone;
mod meter;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderMap, Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tower::Service;

use super::lookups::Lookups;
use super::names::Names;
use super::request::UpstreamRequest;
use super::target::{At, Target, Transport};
use crate::tapped::Tapped;
use drive::Driver;
pub use fault::{ExchangeFault, Shortage};
#[doc(hidden)]
pub use lone::Lone;
use meter::Meter;
pub(super) use meter::TooMuch;

/// Idle connections kept for one upstream by one worker.
const IDLE_MAX: usize = 128;

/// How long an idle connection is kept. Several app servers close after five seconds; a request must not race that.
const IDLE_FOR: Duration = Duration::from_secs(4);

/// How often a request is tried again when the connection turned out closed before anything was sent.
const ATTEMPTS_MAX: u32 = 3;

/// The most bytes of a response's head; what comes in one read may go over it, up to twice as far.
const RESPONSE_HEAD_BYTES_MAX: usize = 64 * 1024;

/// The most bytes that an upstream may send until its response's head is whole: interim responses (1xx), the head, and what of the body came along.
const RESPONSE_START_BYTES_MAX: usize = 4 * RESPONSE_HEAD_BYTES_MAX;

/// A request to an upstream.
#[derive(Debug)]
pub struct Outbound {
    /// Which upstream.
    pub target: Arc<Target>,
    /// What is sent.
    pub request: UpstreamRequest,
    /// The longest body of its answer, in bytes.
    pub answer_bytes_max: usize,
    /// When a connection has to be there: not later than whoever waits for the exchange gives up.
    pub connect_until: Instant,
}

/// The pool of one worker. Clones share it.
#[derive(Clone, Default)]
pub struct Upstreams {
    idle: Arc<Mutex<Shelves>>,
    lookups: Lookups,
}

/// Idle connections by their target's key. The keys are the operator's: they need no hash that resists an attack.
type Shelves = HashMap<Arc<str>, Vec<Idle>, foldhash::fast::RandomState>;

struct Idle {
    link: Link,
    since: Instant,
}

/// One connection and the future that drives it.
struct Link {
    sender: SendRequest<Full<Bytes>>,
    driver: Driver,
    meter: Meter,
}

/// An upstream's whole answer.
pub struct Exchange {
    /// Its head.
    pub head: Parts,
    /// Its body.
    pub body: Bytes,
    /// How many connections were tried.
    pub attempts: u32,
}

impl fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstreams").finish_non_exhaustive()
    }
}

impl Upstreams {
    /// Upstreams that are where these names say.
    #[must_use]
    pub fn at(names: Names) -> Self {
        Self { idle: Arc::default(), lookups: Lookups::new(names) }
    }

    /// Sends a request and reads the whole answer, up to `answer_bytes_max` bytes of body.
    ///
    /// # Errors
    /// [`ExchangeFault`]; the caller sets the deadline.
    pub async fn exchange(&self, outbound: Outbound) -> Result<Exchange, ExchangeFault> {
        let Outbound { target, request, answer_bytes_max, connect_until } = outbound;
        let (mut request, mut attempts) = (request.into_http(), 0);
        loop {
            attempts += 1;
            let mut link = match self.take(&target.pool_key).await {
                Some(link) => link,
                None => self.connect(&target.transport, connect_until).await?,
            };
            match link.exchange(request, answer_bytes_max).await {
                Ok((head, body)) => {
                    self.give_back(&target.pool_key, link);
                    return Ok(Exchange { head, body, attempts });
                }
                Err(LinkFault::Unsent(unsent, fault)) if attempts == ATTEMPTS_MAX => {
                    drop(unsent);
                    return Err(ExchangeFault::Unsent(fault));
                }
                Err(LinkFault::Unsent(unsent, _)) => request = *unsent,
                Err(LinkFault::Sent(fault)) => return Err(fault),
            }
        }
    }

    async fn connect(&self, transport: &Transport, until: Instant) -> Result<Link, ExchangeFault> {
        // Waiting for a name ends at the same moment and is asked first, so that a name that is not found in time is told as one. So it is between this
        // and the caller's own deadline.
        let late = |elapsed| Err(ExchangeFault::Connect(io::Error::from(elapsed)));
        tokio::time::timeout_at(until.into(), Link::connect(transport, &self.lookups, until)).await.unwrap_or_else(late)
    }

    /// Closes connections that have been idle too long. Called four times a second by the worker.
    pub fn prune(&self, now: Instant) {
        self.lock().retain(|_, links| {
            links.retain(|idle| now.duration_since(idle.since) < IDLE_FOR);
            !links.is_empty()
        });
        self.lookups.prune(now);
    }

    /// An idle connection that is still open.
    async fn take(&self, key: &Arc<str>) -> Option<Link> {
        loop {
            let Idle { mut link, since } = self.lock().get_mut(key)?.pop()?;
            if since.elapsed() < IDLE_FOR && link.is_open().await {
                return Some(link);
            }
        }
    }

    fn give_back(&self, key: &Arc<str>, link: Link) {
        if link.driver.has_ended() {
            return;
        }
        link.driver.rest();
        let mut idle = self.lock();
        let links = match idle.get_mut(key) {
            Some(links) => links,
            None => idle.entry(Arc::clone(key)).or_default(),
        };
        if links.len() < IDLE_MAX {
            links.push(Idle { link, since: Instant::now() });
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shelves> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service<Outbound> for Upstreams {
    type Response = Exchange;
    type Error = ExchangeFault;
    type Future = Pin<Box<dyn Future<Output = Result<Exchange, ExchangeFault>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), ExchangeFault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, outbound: Outbound) -> Self::Future {
        let upstreams = self.clone();
        Box::pin(async move { upstreams.exchange(outbound).await })
    }
}

enum LinkFault {
    Unsent(Box<Request<Full<Bytes>>>, hyper::Error),
    Sent(ExchangeFault),
}

impl Link {
    async fn connect(transport: &Transport, lookups: &Lookups, until: Instant) -> Result<Self, ExchangeFault> {
        let unconnected = |error| ExchangeFault::unconnected([error]);
        match transport {
            Transport::Tcp(at) => Self::over(tcp(at, lookups, until).await?).await,
            Transport::Tls { at, name, config } => {
                let stream = tcp(at, lookups, until).await?;
                let stream = TlsConnector::from(Arc::clone(config)).connect(name.clone(), stream).await;
                Self::over(stream.map_err(unconnected)?).await
            }
            Transport::Unix(path) => Self::over(UnixStream::connect(path).await.map_err(unconnected)?).await,
        }
    }

    async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Self, ExchangeFault> {
        let mut builder = Builder::new();
        builder.max_buf_size(RESPONSE_HEAD_BYTES_MAX);
        let meter = Meter::default();
        let stream = TokioIo::new(Tapped::new(stream, meter.clone()));
        let shaken = builder.handshake(stream).await;
        let (sender, connection) = shaken.map_err(|fault| ExchangeFault::Connect(io::Error::other(fault)))?;
        Ok(Self { sender, driver: Driver::new(connection), meter })
    }

    /// Sends the request and reads the whole answer.
    async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        answer_bytes_max: usize,
    ) -> Result<(Parts, Bytes), LinkFault> {
        let (head, body) = self.send(request).await?.into_parts();
        if !is_clear(&head.headers) {
            return Err(LinkFault::Sent(ExchangeFault::Ambiguous));
        }
        let body = self.read(body, answer_bytes_max).await.map_err(LinkFault::Sent)?;
        Ok((head, body))
    }

    /// Sends the request and waits for the head of the answer.
    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, LinkFault> {
        if let Err(fault) = self.driver.until(self.sender.ready()).await {
            return Err(LinkFault::Unsent(Box::new(request), fault));
        }
        self.meter.limit(RESPONSE_START_BYTES_MAX);
        let response = self.driver.hand_over(|| self.sender.try_send_request(request));
        let response = self.driver.until(response).await.map_err(|mut fault| match fault.take_message() {
            Some(request) => LinkFault::Unsent(Box::new(request), fault.into_error()),
            None => LinkFault::Sent(ExchangeFault::Broken(fault.into_error())),
        });
        self.meter.lift();
        response
    }

    /// Reads the answer's body: without a copy if it comes in one piece.
    async fn read(&mut self, mut body: Incoming, bytes_max: usize) -> Result<Bytes, ExchangeFault> {
        let mut whole = Bytes::new();
        let mut joined = BytesMut::new();
        while !body.is_end_stream() {
            let Some(frame) = self.driver.until(body.frame()).await else { break };
            let Ok(piece) = frame.map_err(ExchangeFault::Broken)?.into_data() else { continue };
            if whole.len() + joined.len() + piece.len() > bytes_max {
                return Err(ExchangeFault::AnswerTooLarge);
            }
            if whole.is_empty() && joined.is_empty() {
                whole = piece;
            } else {
                joined.extend_from_slice(&std::mem::take(&mut whole));
                joined.extend_from_slice(&piece);
            }
        }
        Ok(if joined.is_empty() { whole } else { joined.freeze() })
    }

    /// Polls the connection once: a close, bytes that nobody asked for, or a request that the upstream answered and did not read are seen here.
    async fn is_open(&mut self) -> bool {
        self.driver.turn().await;
        !self.driver.has_ended() && self.sender.is_ready()
    }
}

/// Whether an answer's length is told in one way that everybody understands alike: not by a coding that this end does not know, nor twice (RFC 9112 §6.3).
fn is_clear(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return true };
    let is_chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    is_chunked && codings.next().is_none() && !headers.contains_key(CONTENT_LENGTH)
}

async fn tcp(at: &At, lookups: &Lookups, until: Instant) -> Result<TcpStream, ExchangeFault> {
    let mut errors = Vec::new();
    // To the very addresses that were looked at: a second look-up might answer otherwise.
    for address in &*find(at, lookups, until).await? {
        let connected = TcpStream::connect(address).await;
        match connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream)) {
            Ok(stream) => return Ok(stream),
            Err(error) => errors.push(error),
        }
    }
    Err(ExchangeFault::unconnected(errors))
}

/// Where a TCP connection may lead.
async fn find(at: &At, lookups: &Lookups, until: Instant) -> Result<Arc<[SocketAddr]>, ExchangeFault> {
    let (host, port, reach) = match at {
        At::Host { host, port, reach } => (host, *port, *reach),
        At::Addresses(addresses) => return Ok(Arc::clone(addresses)),
    };
    let found = lookups.find(host, port, until).await.map_err(ExchangeFault::Unresolved)?;
    reach.within(found).map_err(ExchangeFault::Connect)
}
