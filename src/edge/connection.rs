//! One connection: what is known of it, what it may take, and when it has been silent for too long.
//!
//! Deadlines cost a delivery nothing: a connection stores at each turn what it waits for and since when, and once in a while its worker looks
//! over all of them ([`Registry::sweep`]) and ends those that are overdue. hyper's own header timeout does not run before the first byte.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::Settings;
use crate::auth::certificate::ClientChain;
use crate::clock::Clock;
use crate::forward::request::Protocol;
use crate::gateway::Peer;
use crate::reason::Reason;

/// What is known of a connection, for every request on it.
#[derive(Debug)]
pub struct Connection {
    /// Who is at the other end of the socket.
    pub peer: Peer,
    /// What it speaks.
    pub protocol: Protocol,
    /// Its clockwork.
    pub activity: Activity,
    certificate: OnceLock<Option<usize>>,
    client: OnceLock<Arc<ClientChain>>,
    retired: Notify,
}

impl Connection {
    /// A connection that was accepted just now.
    #[must_use]
    pub fn new(peer: Peer, protocol: Protocol, clock: Clock) -> Self {
        Self {
            peer,
            protocol,
            activity: Activity::new(clock),
            certificate: OnceLock::new(),
            client: OnceLock::new(),
            retired: Notify::new(),
        }
    }

    /// Asks the connection to end when what is under way is answered (HTTP/2: GOAWAY).
    pub fn retire(&self) {
        self.retired.notify_one();
    }

    /// Waits until somebody asked the connection to end.
    pub async fn retired(&self) {
        self.retired.notified().await;
    }

    /// The TLS handshake is done. `certificate` is what SNI chose; `None` if no SNI was sent.
    pub fn handshaken(&self, certificate: Option<usize>) {
        // A connection shakes hands once; a second value would not count.
        let _ = self.certificate.set(certificate);
    }

    /// The client proved that it has the key of this certificate.
    pub fn belongs_to(&self, client: ClientChain) {
        // As with the certificate of ours: there is one handshake.
        let _ = self.client.set(Arc::new(client));
    }

    /// The client's certificates, if it showed some.
    #[must_use]
    pub fn client(&self) -> Option<&Arc<ClientChain>> {
        self.client.get()
    }

    /// The certificate that SNI chose; `None` if no SNI was sent, or without TLS.
    #[must_use]
    pub fn certificate(&self) -> Option<usize> {
        self.certificate.get().copied().flatten()
    }
}

/// What a connection waits for, and since when.
#[derive(Debug)]
pub struct Activity {
    clock: Clock,
    opened: Duration,
    /// The phase in the lower two bits, above it the milliseconds since the clock began.
    state: AtomicU64,
    deliveries: AtomicU32,
    served: AtomicU32,
    http2: std::sync::atomic::AtomicBool,
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// The TLS handshake.
    Handshake = 0,
    /// The first byte and the rest of a request's head.
    Head = 1,
    /// A delivery is being handled; it has deadlines of its own.
    Delivery = 2,
    /// The next request.
    Idle = 3,
}

impl Activity {
    /// The clockwork of a connection that was accepted just now.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let opened = clock.monotonic();
        let state = AtomicU64::new(pack(Phase::Handshake, opened));
        Self {
            clock,
            opened,
            state,
            deliveries: AtomicU32::new(0),
            served: AtomicU32::new(0),
            http2: std::sync::atomic::AtomicBool::new(false),
        }
    }

    /// The handshake is done; a request is expected.
    pub fn handshaken(&self, http2: bool) {
        self.http2.store(http2, Ordering::Relaxed);
        self.turn(Phase::Head);
    }

    /// A request's head is complete. Answers how many came before it and how long the connection stands.
    pub fn begin(&self) -> (u32, Duration) {
        self.deliveries.fetch_add(1, Ordering::Relaxed);
        let now = self.turn(Phase::Delivery);
        (self.served.fetch_add(1, Ordering::Relaxed), now.saturating_sub(self.opened))
    }

    /// A request's answer is made.
    pub fn end(&self) {
        if self.deliveries.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.turn(Phase::Idle);
        }
    }

    /// How long the connection stands.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.opened)
    }

    /// Whether the connection speaks HTTP/2.
    #[must_use]
    pub fn is_http2(&self) -> bool {
        self.http2.load(Ordering::Relaxed)
    }

    /// Bytes arrived. On an idle HTTP/1 connection they begin a head; on HTTP/2 they may be anything.
    fn bytes_arrived(&self) {
        if unpack(self.state.load(Ordering::Relaxed)).0 == Phase::Idle && !self.is_http2() {
            self.turn(Phase::Head);
        }
    }

    fn turn(&self, phase: Phase) -> Duration {
        let now = self.clock.monotonic();
        self.state.store(pack(phase, now), Ordering::Relaxed);
        now
    }

    /// Why the connection has to end now, if it has to.
    #[must_use]
    pub fn overdue(&self, settings: &Settings) -> Option<Overdue> {
        let (phase, since) = unpack(self.state.load(Ordering::Relaxed));
        let waited = self.clock.monotonic().saturating_sub(since);
        match phase {
            Phase::Handshake if waited >= settings.handshake => Some(Overdue::Refused(Reason::TlsFailed)),
            Phase::Head if waited >= settings.head => Some(Overdue::Refused(Reason::HeadTimeout)),
            Phase::Idle if waited >= settings.idle || self.age() >= settings.connection => Some(Overdue::Idle),
            Phase::Handshake | Phase::Head | Phase::Delivery | Phase::Idle => None,
        }
    }
}

/// Why a connection is ended by the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overdue {
    /// It held up the gateway; this is recorded.
    Refused(Reason),
    /// It had nothing more to say; this is not.
    Idle,
}

fn pack(phase: Phase, at: Duration) -> u64 {
    let millis = u64::try_from(at.as_millis()).unwrap_or(u64::MAX >> 2);
    millis << 2 | phase as u64
}

fn unpack(state: u64) -> (Phase, Duration) {
    let phase = match state & 3 {
        0 => Phase::Handshake,
        1 => Phase::Head,
        2 => Phase::Delivery,
        _ => Phase::Idle,
    };
    (phase, Duration::from_millis(state >> 2))
}

/// The connections of one worker.
#[derive(Debug, Default)]
pub struct Registry {
    entries: Mutex<HashMap<u64, (Arc<Connection>, AbortHandle)>>,
}

impl Registry {
    /// Keeps an eye on a connection from now on.
    pub fn insert(&self, id: u64, connection: Arc<Connection>, task: AbortHandle) {
        self.lock().insert(id, (connection, task));
    }

    /// Forgets a connection that ended.
    pub fn remove(&self, id: u64) {
        self.lock().remove(&id);
    }

    /// Ends what is overdue and answers what has to be recorded. Looks at each connection once; called a few times a second.
    pub fn sweep(&self, settings: &Settings) -> Vec<(Arc<Connection>, Reason)> {
        let mut refused = Vec::new();
        self.lock().retain(|_, (connection, task)| {
            if connection.activity.age() >= settings.connection {
                connection.retire();
            }
            let Some(overdue) = connection.activity.overdue(settings) else { return true };
            if let Overdue::Refused(reason) = overdue {
                refused.push((Arc::clone(connection), reason));
            }
            task.abort();
            false
        });
        refused
    }

    /// Whether no connection has a delivery under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.lock().values().all(|(connection, _)| connection.activity.deliveries.load(Ordering::Relaxed) == 0)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, (Arc<Connection>, AbortHandle)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that tells the clockwork when bytes arrive.
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    connection: Arc<Connection>,
}

impl<S> Watched<S> {
    /// Watches this stream for its connection.
    pub const fn new(stream: S, connection: Arc<Connection>) -> Self {
        Self { stream, connection }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.connection.activity.bytes_arrived();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// How many connections there are, in all and for each client; shared by all workers, touched only when a connection opens or closes.
#[derive(Debug)]
pub struct Caps {
    all_max: usize,
    client_max: usize,
    clients: Mutex<HashMap<IpAddr, usize>>,
    all: std::sync::atomic::AtomicUsize,
}

/// A connection's place under the caps; given back on drop.
#[derive(Debug)]
pub struct Place {
    caps: Arc<Caps>,
    client: IpAddr,
}

impl Caps {
    /// Caps for the whole process.
    #[must_use]
    pub fn new(all_max: usize, client_max: usize) -> Arc<Self> {
        let all = std::sync::atomic::AtomicUsize::new(0);
        Arc::new(Self { all_max, client_max, clients: Mutex::default(), all })
    }

    /// A place for one more connection of this client (an IPv6 client is its /64).
    ///
    /// # Errors
    /// The name of the limit that is reached.
    pub fn enter(self: &Arc<Self>, peer: IpAddr) -> Result<Place, &'static str> {
        let client = network(peer);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if self.all.load(Ordering::Relaxed) >= self.all_max {
            return Err("connections_max");
        }
        let count = clients.entry(client).or_default();
        if *count >= self.client_max {
            return Err("connections_per_client_max");
        }
        *count += 1;
        self.all.fetch_add(1, Ordering::Relaxed);
        Ok(Place { caps: Arc::clone(self), client })
    }

    /// How many connections there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut clients = self.caps.clients.lock().unwrap_or_else(PoisonError::into_inner);
        self.caps.all.fetch_sub(1, Ordering::Relaxed);
        if let Some(count) = clients.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&self.client);
            }
        }
    }
}

/// An IPv4 address, or the /64 of an IPv6 one.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            handshake: Duration::from_secs(5),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            connection: Duration::from_secs(3600),
            ..Settings::default()
        }
    }

    #[test]
    fn each_phase_has_its_own_deadline() {
        type Step = fn(&Activity);
        let rows: [(&str, Step, u64, Overdue); 3] = [
            ("handshake", |_| {}, 5, Overdue::Refused(Reason::TlsFailed)),
            ("head", |activity| activity.handshaken(false), 10, Overdue::Refused(Reason::HeadTimeout)),
            (
                "idle",
                |activity| {
                    activity.handshaken(false);
                    activity.begin();
                    activity.end();
                },
                60,
                Overdue::Idle,
            ),
        ];
        for (name, step, seconds, overdue) in rows {
            let clock = Clock::manual(0);
            let activity = Activity::new(clock.clone());
            step(&activity);
            clock.advance(Duration::from_millis(seconds * 1000 - 1));
            assert_eq!(activity.overdue(&settings()), None, "{name}");
            clock.advance(Duration::from_millis(1));
            assert_eq!(activity.overdue(&settings()), Some(overdue), "{name}");
        }
    }

    #[test]
    fn a_delivery_is_never_ended_by_the_connections_clock() {
        let clock = Clock::manual(0);
        let activity = Activity::new(clock.clone());
        activity.handshaken(true);
        activity.begin();
        activity.begin();
        activity.end();
        clock.advance(Duration::from_secs(100_000));
        assert_eq!(activity.overdue(&settings()), None);
        activity.end();
        assert_eq!(activity.overdue(&settings()), Some(Overdue::Idle));
    }

    #[test]
    fn the_first_byte_on_an_idle_connection_starts_the_heads_deadline_in_http1_alone() {
        for (http2, overdue) in [(false, Some(Overdue::Refused(Reason::HeadTimeout))), (true, None)] {
            let clock = Clock::manual(0);
            let activity = Activity::new(clock.clone());
            activity.handshaken(http2);
            activity.begin();
            activity.end();
            activity.bytes_arrived();
            clock.advance(Duration::from_secs(10));
            assert_eq!(activity.overdue(&settings()), overdue, "http2 {http2}");
        }
    }

    #[test]
    fn places_are_capped_in_all_and_for_each_client() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let caps = Caps::new(3, 2);
        let first = caps.enter(address("2001:db8::1")).unwrap();
        let _second = caps.enter(address("2001:db8::2")).unwrap();
        assert_eq!(caps.enter(address("2001:db8::3")).err(), Some("connections_per_client_max"));
        let _third = caps.enter(address("2001:db8:0:1::1")).unwrap();
        assert_eq!(caps.enter(address("192.0.2.1")).err(), Some("connections_max"));
        drop(first);
        assert_eq!(caps.count(), 2);
        assert!(caps.enter(address("2001:db8::3")).is_ok());
    }
}
