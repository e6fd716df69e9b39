//! A worker's loop, and one connection from accept to close.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::StatusCode;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Settings;
use super::caps::{Caps, Place};
use super::connection::Connection;
use super::entrance::record;
use super::guard::Fault;
use super::handshakes::{HandshakePlace, Handshakes};
use super::http::{drained, serve_http1, serve_http2};
use super::listen;
use super::proxy::{self, Header};
use super::registry::{self, Registry};
use super::socket::Socket;
use super::stream::{Acceptor, Listening, Owner, Stream};
use super::tls::{self, CertificateStore};
use super::turns::Turns;
use crate::admit::client::Standing;
use crate::auth::certificate::ClientChain;
use crate::forward::Upstreams;
use crate::forward::request::Protocol;
use crate::gateway::{Gateway, Peer};
use crate::reason::Reason;
use crate::rejection::Rejection;

/// After an accept that failed, so that a lack of descriptors does not burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// How long the gateway still takes what is on its way when it drains: requests of open connections, and connections that have begun. Idle ones have
/// to end within it.
pub(super) const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// How long connections are accepted that had begun before the gateway drained. Less than a second, after which clients that were not heard ask again.
const BACKLOG_TIME: Duration = Duration::from_millis(500);

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
    /// Handshakes under way, in the whole process.
    pub handshakes: Arc<Handshakes>,
    /// Whether trusted proxies say with a PROXY header who connects to them.
    pub proxy_protocol: bool,
    /// TLS, if there is an https listener.
    pub tls: Option<(Arc<ServerConfig>, Arc<CertificateStore>)>,
    /// Turns true when the gateway drains.
    pub draining: watch::Receiver<bool>,
    /// Its connections.
    pub registry: Arc<Registry>,
    /// In which order they are read.
    pub turns: Arc<Turns>,
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
    /// Who keeps it open.
    pub owner: Owner,
}

impl Worker {
    /// Serves until the gateway drains and every connection has ended, or the drain's time is over.
    ///
    /// # Errors
    /// If a socket cannot be given to the runtime.
    pub async fn run(self: Arc<Self>, listeners: Vec<Listener>) -> io::Result<()> {
        let mut accepting = Vec::with_capacity(listeners.len());
        for listener in listeners {
            let socket = Acceptor::new(listener.socket)?;
            accepting.push(tokio::spawn(Arc::clone(&self).accept(socket, listener.protocol, listener.owner)));
        }
        let turns = Arc::clone(&self.turns);
        tokio::spawn(async move { turns.renew().await });
        tokio::spawn(Arc::clone(&self).keep_deadlines());
        let mut draining = self.draining.clone();
        let mut began: Option<Instant> = None;
        let mut was_idle = false;
        loop {
            tokio::time::sleep(registry::PERIOD).await;
            self.upstreams.prune(Instant::now());
            if *draining.borrow_and_update() {
                let now = Instant::now();
                let began = *began.get_or_insert(now);
                let waited = now.duration_since(began);
                let limits = &self.gateway.shared().limits;
                if waited >= DRAIN_GRACE {
                    limits.close();
                }
                let quiet = limits.in_flight() == 0 && accepting.iter().all(JoinHandle::is_finished);
                // A peer that no longer listens does not end its idle connection; nothing is lost with it. An answer that was made just now may not have met
                // its socket yet, so one look is not enough.
                let idle = quiet && waited >= DRAIN_GRACE && self.registry.is_idle();
                let done = quiet && self.registry.is_empty() || idle && was_idle;
                if done || waited >= self.settings.drain {
                    return Ok(());
                }
                was_idle = idle;
            }
        }
    }

    /// Sweeps, a part at a time. It never ends.
    async fn keep_deadlines(self: Arc<Self>) {
        let mut pause = registry::PERIOD;
        loop {
            tokio::time::sleep(pause).await;
            let swept = self.registry.sweep(&self.settings);
            pause = swept.pause;
            for (connection, reason) in swept.refused {
                self.record(connection.peer(), &Rejection::new(reason), None);
            }
        }
    }

    /// Accepts until the gateway drains. No error ends it.
    async fn accept(self: Arc<Self>, listener: Acceptor, protocol: Protocol, owner: Owner) {
        let mut draining = pin!(drained(self.draining.clone()));
        loop {
            let accepted = tokio::select! {
                biased;
                () = draining.as_mut() => break,
                accepted = listener.accept() => accepted,
            };
            self.accepted(accepted, protocol).await;
        }
        if owner == Owner::Manager {
            return;
        }
        // Their clients have been told that they are connected.
        listener.close_to_new();
        let until = tokio::time::Instant::now() + BACKLOG_TIME;
        while let Ok(accepted) = tokio::time::timeout_at(until, listener.accept()).await {
            self.accepted(accepted, protocol).await;
        }
    }

    async fn accepted(self: &Arc<Self>, accepted: io::Result<(Stream, Peer)>, protocol: Protocol) {
        match accepted {
            Ok((stream, peer)) => self.open(stream, peer, protocol),
            // One connection's own end: the next one waits already.
            Err(error) if listen::is_of_one_connection(&error) => {}
            // A lack of descriptors or memory.
            Err(error) => {
                self.gateway.recorder().accept_failed(&error);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    /// Serves an accepted connection in a task of its own, if there is a place for it.
    fn open(self: &Arc<Self>, stream: Stream, peer: Peer, protocol: Protocol) {
        let behind_proxy = peer.is_proxy(&self.gateway.shared().settings.trusted_proxies);
        if protocol == Protocol::Http && !behind_proxy {
            return self.record(peer, &Rejection::new(Reason::AddressRefused).fact("listener", "http"), None);
        }
        let announced = self.proxy_protocol && behind_proxy && matches!(stream, Stream::Tcp(_));
        let place = if announced {
            self.caps.enter_unnamed()
        } else {
            self.caps.enter(peer.ip(), || self.may_have_the_last(peer))
        };
        let place = match place {
            Ok(place) => place,
            Err(limit) => return self.record(peer, &overloaded(limit), None),
        };
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let shared = self.gateway.shared();
        let connection = Arc::new(Connection::new(peer, protocol, shared.clock.clone()));
        let worker = Arc::clone(self);
        let served = Arc::clone(&connection);
        let task = tokio::spawn(async move { worker.serve(stream, served, place, id).await });
        self.registry.insert(id, connection, task.abort_handle());
        if task.is_finished() {
            self.registry.remove(id);
        }
    }

    async fn serve(self: Arc<Self>, mut stream: Stream, connection: Arc<Connection>, mut place: Place, id: u64) {
        let _counted = self.gateway.recorder().connection();
        let _registered = Registered { registry: &self.registry, id };
        let shared = self.gateway.shared();
        let shakes = place.is_unnamed() || connection.protocol == Protocol::Https;
        let handshake = shakes.then(|| self.handshakes.enter(&connection, shared.clock.monotonic()));
        if let (true, Stream::Tcp(stream)) = (place.is_unnamed(), &mut stream)
            && let Err(rejection) = Box::pin(self.introduce(stream, &connection, &mut place)).await
        {
            return self.record(connection.peer(), &rejection, None);
        }
        if self.has_met(connection.peer()) {
            connection.stands(Standing::Known);
        }
        let socket = Socket::new(stream, Arc::clone(&connection), Arc::clone(&self.turns));
        let served = match (connection.protocol, &self.tls) {
            (Protocol::Http, _) => {
                drop(handshake);
                serve_http1(&self, socket, &connection).await
            }
            (Protocol::Https, Some((config, store))) => self.https(socket, config, store, &connection, handshake).await,
            (Protocol::Https, None) => Ok(()),
        };
        if let Err(rejection) = served {
            // HTTP/2 says it with GOAWAY, and before there is HTTP it cannot be said.
            let told = if connection.activity.speaks_http1() { rejection.status() } else { None };
            self.record(connection.peer(), &rejection, told);
        }
    }

    async fn https(
        &self,
        socket: Socket,
        config: &ServerConfig,
        store: &Arc<CertificateStore>,
        connection: &Arc<Connection>,
        place: Option<HandshakePlace>,
    ) -> Result<(), Rejection> {
        let handshake = async {
            let (stream, name) = tls::accept(socket, config, store).await?;
            io::Result::Ok((Box::new(stream), name))
        };
        // Boxes: a task is as large as the largest thing that it may wait for, several times over where things are handed on; an idle connection keeps it.
        let mut handshake = Box::pin(handshake);
        let shaken = loop {
            tokio::select! {
                biased;
                shaken = handshake.as_mut() => break shaken,
                () = connection.called() => if connection.gives_way() {
                    return Err(overloaded("handshakes_max"));
                }
            }
        };
        drop((handshake, place));
        let (stream, name) = shaken.map_err(|error| tls_failed(&error))?;
        connection.handshaken(name);
        if let Some(certificates) = stream.peer_certificates() {
            connection.belongs_to(ClientChain::new(certificates));
        }
        match stream.alpn_protocol() {
            Some(tls::challenge::PROTOCOL) => {
                let mut stream = stream;
                // The certificate was all there was to see.
                let _ = stream.shutdown().await;
                Ok(())
            }
            Some(b"h2") => Box::pin(serve_http2(self, stream, connection)).await,
            Some(_) | None => serve_http1(self, stream, connection).await,
        }
    }

    /// Waits for the PROXY header that a connection from a trusted proxy begins with, and has the connection count for the client it names. Its time is part of
    /// the handshake's, or of the first head's where there is none.
    async fn introduce(
        &self,
        stream: &mut TcpStream,
        connection: &Connection,
        place: &mut Place,
    ) -> Result<(), Rejection> {
        if connection.protocol == Protocol::Http {
            connection.activity.begins_http1();
        }
        let mut header = pin!(take_header(stream));
        let header = loop {
            tokio::select! {
                biased;
                header = header.as_mut() => break header?,
                () = connection.called() => if connection.gives_way() {
                    return Err(overloaded("handshakes_max"));
                } else if connection.is_out_of_time() {
                    return Err(Reason::HeadTimeout.into());
                }
            }
        };
        connection.stands_for(match header {
            Header::Client(address) => Peer::Network(address),
            Header::Nobody => connection.peer().unnamed(),
        });
        let peer = connection.peer();
        place.name(peer.ip(), || self.may_have_the_last(peer)).map_err(overloaded)
    }

    /// Whether a delivery from there was proven genuine within a day. Of a proxy that names its clients in requests nobody knows who is behind it.
    fn has_met(&self, peer: Peer) -> bool {
        let shared = self.gateway.shared();
        let client = peer.client(&shared.settings.trusted_proxies);
        client.is_some_and(|client| shared.limits.is_met(client, shared.clock.monotonic()))
    }

    /// Whether a connection from there may have one of the last places. Behind a proxy of the operator's own, or a local one, may be known clients.
    fn may_have_the_last(&self, peer: Peer) -> bool {
        peer.client(&self.gateway.shared().settings.trusted_proxies).is_none() || self.has_met(peer)
    }

    /// A fault for which there is no request. `status` is what the peer was told.
    fn record(&self, peer: Peer, rejection: &Rejection, status: Option<StatusCode>) {
        record(&self.gateway, peer, rejection, status);
    }
}

fn overloaded(limit: &'static str) -> Rejection {
    Rejection::new(Reason::Overloaded).fact("limit", limit)
}

/// Takes a PROXY header from the front of a connection, and not a byte of what is behind it.
///
/// An end before the first byte is no fault of the header: a proxy may look whether somebody listens.
async fn take_header(stream: &mut TcpStream) -> Result<Header, Fault> {
    let mut there = Vec::new();
    let mut next = [0; HEADER_BYTES];
    loop {
        let length = stream.peek(&mut next).await.unwrap_or_default();
        if length == 0 {
            return if there.is_empty() { Ok(Header::Nobody) } else { Err(ENDED) };
        }
        let before = there.len();
        there.extend_from_slice(&next[..length]);
        let header = proxy::read(&there)?;
        let used = header.map_or(length, |(_, whole)| whole.saturating_sub(before));
        stream.read_exact(&mut next[..used]).await.map_err(|_| ENDED)?;
        if let Some((header, _)) = header {
            return Ok(header);
        }
    }
}

/// More than what headers have that tell the client alone; longer ones are taken in pieces.
const HEADER_BYTES: usize = 256;

const ENDED: Fault = Fault::framing("the connection ended in its PROXY header");

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
