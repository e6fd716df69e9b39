//! A worker's loop, and one connection from accept to close.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Version};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tower::{Service, ServiceBuilder};
use tower_http::catch_panic::CatchPanicLayer;

use super::Settings;

use super::connection::{Caps, Connection, Place, Registry, Watched};
use super::stream::{Acceptor, Listening, Stream};
use super::tls::{self, CertificateStore};
use crate::auth::certificate::ClientChain;
use crate::delivery::HostMatch;
use crate::forward::Upstreams;
use crate::forward::request::Protocol;
use crate::gateway::{Arrival, Detachable, Gateway, Peer};
use crate::reason::Reason;
use crate::record::{Delivery, DeliveryId, Outcome};
use crate::rejection::Rejection;
use crate::reply::{self, Reply};

/// Between two looks at all connections.
const SWEEP: Duration = Duration::from_millis(250);

/// After an accept that failed, so that a lack of descriptors does not burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// How long idle connections have to end when the gateway drains.
const DRAIN_IDLE: Duration = Duration::from_secs(1);

/// HTTP/2: streams at one time.
const STREAMS_MAX: u32 = 100;
/// HTTP/2: bytes in flight on one stream, and on the connection.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// HTTP/2: streams that were reset by us for the peer's errors, and by the peer before we took them.
const LOCAL_RESETS_MAX: usize = 64;
const PENDING_RESETS_MAX: usize = 20;

/// What a worker needs to serve.
pub struct Worker {
    /// The pipeline.
    pub gateway: Arc<Gateway<Upstreams>>,
    /// Its connections to upstreams.
    pub upstreams: Upstreams,
    /// The edge's limits.
    pub settings: Arc<Settings>,
    /// Caps of the whole process.
    pub caps: Arc<Caps>,
    /// TLS handshakes that may go on at one time, in the whole process.
    pub handshakes: Arc<Semaphore>,
    /// TLS, if there is an https listener.
    pub tls: Option<(Arc<ServerConfig>, Arc<CertificateStore>)>,
    /// Turns true when the gateway drains.
    pub draining: watch::Receiver<bool>,
    /// Its connections.
    pub registry: Arc<Registry>,
    /// Numbers its connections.
    pub next: AtomicU64,
}

/// A listening socket and what is spoken on it.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub socket: Listening,
    /// What is spoken.
    pub protocol: Protocol,
}

impl Worker {
    /// Serves until the gateway drains and every connection has ended, or the drain's time is over.
    ///
    /// # Errors
    /// If a socket cannot be given to the runtime.
    pub async fn run(self: Arc<Self>, listeners: Vec<Listener>) -> io::Result<()> {
        for listener in listeners {
            let socket = Acceptor::new(listener.socket)?;
            tokio::spawn(Arc::clone(&self).accept(socket, listener.protocol));
        }
        let mut draining = self.draining.clone();
        let mut began: Option<Instant> = None;
        loop {
            tokio::time::sleep(SWEEP).await;
            self.upstreams.prune(Instant::now());
            for (connection, reason) in self.registry.sweep(&self.settings) {
                self.record(connection.peer, &Rejection::new(reason), None);
            }
            if *draining.borrow_and_update() {
                let now = Instant::now();
                let began = *began.get_or_insert(now);
                let waited = now.duration_since(began);
                let quiet = self.gateway.shared().limits.in_flight() == 0;
                // A peer that no longer listens does not end its idle connection; nothing is lost with it.
                let done = quiet && (self.registry.is_empty() || waited >= DRAIN_IDLE && self.registry.is_idle());
                if done || waited >= self.settings.drain {
                    return Ok(());
                }
            }
        }
    }

    /// Accepts until the gateway drains. No error ends it.
    async fn accept(self: Arc<Self>, listener: Acceptor, protocol: Protocol) {
        let mut draining = pin!(drained(self.draining.clone()));
        loop {
            let accepted = tokio::select! {
                biased;
                () = draining.as_mut() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.open(stream, peer, protocol),
                // One connection's error, or a lack of descriptors or memory: the next accept may work.
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    /// Serves an accepted connection in a task of its own, if there is a place for it.
    fn open(self: &Arc<Self>, stream: Stream, peer: Peer, protocol: Protocol) {
        let behind_proxy = peer.is_proxy(&self.gateway.shared().settings.trusted_proxies);
        if protocol == Protocol::Http && !behind_proxy {
            return self.record(peer, &Rejection::new(Reason::AddressRefused).fact("listener", "http"), None);
        }
        let place = match self.caps.enter(peer.ip()) {
            Ok(place) => place,
            Err(limit) => return self.record(peer, &Rejection::new(Reason::Overloaded).fact("limit", limit), None),
        };
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection::new(peer, protocol, self.gateway.shared().clock.clone()));
        let worker = Arc::clone(self);
        let served = Arc::clone(&connection);
        let task = tokio::spawn(async move { worker.serve(stream, served, place, id).await });
        self.registry.insert(id, connection, task.abort_handle());
        if task.is_finished() {
            self.registry.remove(id);
        }
    }

    async fn serve(self: Arc<Self>, stream: Stream, connection: Arc<Connection>, _place: Place, id: u64) {
        let _counted = self.gateway.recorder().connection();
        let _registered = Registered { registry: &self.registry, id };
        let served = match (connection.protocol, &self.tls) {
            (Protocol::Http, _) => self.http1(stream, Arc::clone(&connection)).await,
            (Protocol::Https, Some((config, store))) => self.https(stream, config, store, &connection).await,
            (Protocol::Https, None) => Ok(()),
        };
        if let Err(rejection) = served {
            self.record(connection.peer, &rejection, rejection.status());
        }
    }

    async fn https(
        &self,
        stream: Stream,
        config: &ServerConfig,
        store: &Arc<CertificateStore>,
        connection: &Arc<Connection>,
    ) -> Result<(), Rejection> {
        let handshake = async {
            let _permit = self.handshakes.acquire().await.ok();
            tls::accept(stream, config, store).await
        };
        let (stream, certificate) = handshake.await.map_err(|error| tls_failed(&error))?;
        connection.handshaken(certificate);
        if let Some(certificates) = stream.peer_certificates() {
            connection.belongs_to(ClientChain::new(certificates));
        }
        match stream.alpn_protocol() {
            Some(b"h2") => self.http2(stream, Arc::clone(connection)).await,
            Some(_) | None => self.http1(stream, Arc::clone(connection)).await,
        }
    }

    async fn http1<S>(&self, stream: S, connection: Arc<Connection>) -> Result<(), Rejection>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        connection.activity.handshaken(false);
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_headers(self.settings.headers_max)
            .max_header_size(self.settings.head_bytes_max)
            .max_buf_size(self.settings.head_bytes_max.max(BUFFER_BYTES_MIN));
        let stream = TokioIo::new(Watched::new(stream, Arc::clone(&connection)));
        let mut served = pin!(builder.serve_connection(stream, self.service(&connection)));
        let ended = tokio::select! {
            biased;
            ended = served.as_mut() => ended,
            () = drained(self.draining.clone()) => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        };
        ended.map_or_else(|error| connection_fault(&error), Ok)
    }

    async fn http2<S>(&self, stream: S, connection: Arc<Connection>) -> Result<(), Rejection>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        connection.activity.handshaken(true);
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            // Up to four times the limit, so that the gateway itself can refuse and record what is over it.
            .max_header_list_size(u32::try_from(self.settings.head_bytes_max).unwrap_or(u32::MAX).saturating_mul(4))
            .max_local_error_reset_streams(LOCAL_RESETS_MAX)
            .max_pending_accept_reset_streams(PENDING_RESETS_MAX);
        let stream = TokioIo::new(Watched::new(stream, Arc::clone(&connection)));
        let mut served = pin!(builder.serve_connection(stream, self.service(&connection)));
        let ended = tokio::select! {
            biased;
            ended = served.as_mut() => ended,
            () = connection.retired() => {
                served.as_mut().graceful_shutdown();
                served.await
            }
            () = drained(self.draining.clone()) => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        };
        ended.map_or_else(|error| connection_fault(&error), Ok)
    }

    /// The gateway as this connection's requests meet it. A panic ends one delivery, never the worker.
    fn service(
        &self,
        connection: &Arc<Connection>,
    ) -> TowerToHyperService<
        impl Service<Request<Incoming>, Response = Contained, Error = Infallible, Future: Send> + Clone + Send + use<>,
    > {
        let entrance = Entrance {
            gateway: Arc::clone(&self.gateway),
            settings: Arc::clone(&self.settings),
            certificates: self.tls.as_ref().map(|(_, store)| Arc::clone(store)),
            connection: Arc::clone(connection),
        };
        let contained = CatchPanicLayer::custom(|_cause| reply::panicked());
        TowerToHyperService::new(ServiceBuilder::new().layer(contained).service(entrance))
    }

    /// A fault before there was a request. `status` is what the HTTP library told the peer by itself.
    fn record(&self, peer: Peer, rejection: &Rejection, status: Option<StatusCode>) {
        let ts = self.gateway.shared().clock.unix_micros();
        self.gateway.recorder().delivery(&Delivery {
            ts,
            id: DeliveryId::new(ts),
            source: None,
            peer: peer.ip(),
            method: None,
            path: None,
            event: None,
            body: None,
            policy: None,
            elapsed: Duration::ZERO,
            secret_id: None,
            scheme: None,
            edits: 0,
            status: status.map(|status| status.as_u16()),
            upstream: None,
            monitored: &[],
            outcome: Outcome::Rejected(rejection),
        });
    }
}

/// Waits until the gateway drains.
async fn drained(mut draining: watch::Receiver<bool>) {
    // An error means that nobody is left to say so: then this worker is about to end anyway.
    let _ = draining.wait_for(|draining| *draining).await;
}

/// hyper reads into no smaller buffer.
const BUFFER_BYTES_MIN: usize = 8 * 1024;

/// An answer, or what stands in for it after a panic.
type Contained = http::Response<tower_http::body::UnsyncBoxBody<Bytes, tower_http::BoxError>>;

/// Takes a connection out of the registry when its task ends, however it ends.
struct Registered<'r> {
    registry: &'r Registry,
    id: u64,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.registry.remove(self.id);
    }
}

/// The gateway for the requests of one connection: tells its clockwork when they begin and end.
#[derive(Clone)]
struct Entrance {
    gateway: Arc<Gateway<Upstreams>>,
    settings: Arc<Settings>,
    certificates: Option<Arc<CertificateStore>>,
    connection: Arc<Connection>,
}

impl Service<Request<Incoming>> for Entrance {
    type Response = Reply;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Incoming>) -> Answering {
        let (served, age) = self.connection.activity.begin();
        let last = served + 1 >= self.settings.requests_per_connection_max || age >= self.settings.connection;
        let arrival =
            Arrival { peer: self.connection.peer, protocol: self.connection.protocol, host: self.host_match(&request) };
        let ending = if last && request.version() != Version::HTTP_2 { Ending::Close } else { Ending::Keep };
        if last {
            self.connection.retire();
        }
        if let Some(client) = self.connection.client() {
            request.extensions_mut().insert(Arc::clone(client));
        }
        let gateway = Arc::clone(&self.gateway);
        let delivery = Detachable::new(gateway, request, arrival);
        Answering { delivery, _active: Active(Arc::clone(&self.connection)), ending }
    }
}

impl Entrance {
    fn host_match(&self, request: &Request<Incoming>) -> HostMatch {
        let (Some(chosen), Some(store)) = (self.connection.certificate(), &self.certificates) else {
            return HostMatch::Served;
        };
        let authority = request.uri().authority().map(http::uri::Authority::host);
        match authority.or_else(|| host(request.headers())) {
            Some(host) if store.select(host) != chosen => HostMatch::Misdirected,
            Some(_) | None => HostMatch::Served,
        }
    }
}

/// The host a request asks for, without port.
fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(http::header::HOST)?.to_str().ok()?.split(':').next()
}

/// An answer in the making.
struct Answering {
    delivery: Detachable,
    _active: Active,
    ending: Ending,
}

/// Whether the connection ends after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Close,
    Keep,
}

/// The connection is busy as long as this lives.
struct Active(Arc<Connection>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.activity.end();
    }
}

impl Future for Answering {
    type Output = Result<Reply, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Ok(mut reply) = ready!(Pin::new(&mut self.delivery).poll(context));
        if self.ending == Ending::Close {
            reply::close(&mut reply);
        }
        Poll::Ready(Ok(reply))
    }
}

/// A handshake that failed, in words of ours.
fn tls_failed(error: &io::Error) -> Rejection {
    let rejection = Rejection::new(Reason::TlsFailed);
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error) => rejection.fact("error", tls_error(error)),
        None => rejection.fact("error", "the connection ended in the handshake"),
    }
}

/// The kind of a TLS error; the library's own text may quote the peer.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library's list is open")]
fn tls_error(error: &rustls::Error) -> &'static str {
    use rustls::Error as E;
    match error {
        E::AlertReceived(_) => "the client refused the handshake: it may not trust the certificate",
        E::PeerIncompatible(_) => "the client offers no version or cipher suite in common",
        E::PeerMisbehaved(_) => "the client broke the protocol",
        E::InvalidMessage(_) => "the client does not speak TLS",
        E::NoApplicationProtocol => "the client offers neither h2 nor http/1.1",
        E::InvalidCertificate(_) | E::NoCertificatesPresented => "the client's certificate was refused",
        _ => "the handshake failed",
    }
}

/// What the HTTP library refused by itself. It has answered already, where there was something to answer.
fn connection_fault(error: &hyper::Error) -> Result<(), Rejection> {
    if error.is_parse_too_large() {
        return Err(Reason::HeadersTooLarge.into());
    }
    if error.is_parse() {
        return Err(Reason::FramingRefused.into());
    }
    Ok(())
}
