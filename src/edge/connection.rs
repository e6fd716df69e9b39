//! One connection: what is known of it, and what those who serve it tell each other.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::Notify;

use super::activity::Activity;
use super::guard::messages::Messages;
use crate::admit::client::Standing;
use crate::auth::certificate::ClientChain;
use crate::clock::Clock;
use crate::forward::request::Protocol;
use crate::gateway::Peer;
use crate::rejection::Rejection;

/// What is known of a connection, for every request on it.
#[derive(Debug)]
pub struct Connection {
    /// Who is at the other end of the socket.
    socket: Peer,
    /// Who is there instead, as a trusted proxy says.
    behind: OnceLock<Peer>,
    /// What it speaks.
    pub protocol: Protocol,
    /// Its clockwork.
    pub activity: Activity,
    name: OnceLock<Box<str>>,
    client: OnceLock<Arc<ClientChain>>,
    called: Notify,
    known: AtomicBool,
    in_line: AtomicBool,
    retired: AtomicBool,
    out_of_time: AtomicBool,
    gives_way: AtomicBool,
    /// HTTP/1: heads that the guard let through, and bodies that came to their end.
    passed: AtomicU32,
    complete: AtomicU32,
    /// HTTP/1: requests that came before the answer to the one before them.
    pipelined: AtomicU32,
    /// HTTP/1: whether an answer said that the connection closes behind it.
    closing: AtomicBool,
    /// HTTP/1: whether the beginning of a head is there.
    begun: AtomicBool,
    /// HTTP/2: requests that were answered.
    answers: AtomicU32,
    /// The number of the request in whose place the guard refused something; none by [`NOTHING_REFUSED`].
    refused: AtomicU32,
    refusal: Mutex<Option<Rejection>>,
}

/// No connection takes so many requests.
const NOTHING_REFUSED: u32 = u32::MAX;

/// Of a body, so much is read and forgotten. It costs the gateway some milliseconds and no memory; what is larger was sent by nobody who reads answers.
const BODY_BYTES_FORGOTTEN: usize = 64 * 1024 * 1024;

/// Of a flood, only so much that a client which stopped in time reads its GOAWAY.
const FLOOD_BYTES_FORGOTTEN: usize = 64 * 1024;

impl Connection {
    /// A connection that was accepted just now.
    #[must_use]
    pub fn new(peer: Peer, protocol: Protocol, clock: Clock) -> Self {
        Self {
            socket: peer,
            behind: OnceLock::new(),
            protocol,
            activity: Activity::new(clock),
            name: OnceLock::new(),
            client: OnceLock::new(),
            called: Notify::new(),
            known: AtomicBool::new(false),
            in_line: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            out_of_time: AtomicBool::new(false),
            gives_way: AtomicBool::new(false),
            passed: AtomicU32::new(0),
            complete: AtomicU32::new(0),
            pipelined: AtomicU32::new(0),
            closing: AtomicBool::new(false),
            begun: AtomicBool::new(false),
            answers: AtomicU32::new(0),
            refused: AtomicU32::new(NOTHING_REFUSED),
            refusal: Mutex::new(None),
        }
    }

    /// Who sends: the other end of the socket, or who is behind it.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.behind.get().copied().unwrap_or(self.socket)
    }

    /// A trusted proxy is at the other end, and this is who is behind it.
    pub fn stands_for(&self, peer: Peer) {
        // A connection has one header; a second one would be no header.
        let _ = self.behind.set(peer);
    }

    /// Wakes the connection's task: something of what stands here may have changed.
    pub fn call(&self) {
        self.called.notify_one();
    }

    /// Waits for a [`call`](Self::call).
    pub async fn called(&self) {
        self.called.notified().await;
    }

    /// What is known of whoever is at the other end, from what came last.
    #[must_use]
    pub fn standing(&self) -> Standing {
        if self.known.load(Ordering::Relaxed) { Standing::Known } else { Standing::Stranger }
    }

    /// Changes it.
    pub fn stands(&self, standing: Standing) {
        self.known.store(standing == Standing::Known, Ordering::Relaxed);
    }

    /// Notes whether there is something to read, for which it has to wait its turn.
    pub fn stands_in_line(&self, stands: bool) {
        self.in_line.store(stands, Ordering::Relaxed);
    }

    /// Whether something came that nobody has looked at yet.
    #[must_use]
    pub fn is_in_line(&self) -> bool {
        self.in_line.load(Ordering::Relaxed)
    }

    /// Asks the connection to end when what is under way is answered (HTTP/2: GOAWAY).
    pub fn retire(&self) {
        if !self.retired.swap(true, Ordering::Relaxed) {
            self.call();
        }
    }

    /// Whether somebody asked the connection to end.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// Ends the handshake, so that another one has its place. Nothing, where it is done.
    pub fn give_way(&self) {
        self.gives_way.store(true, Ordering::Relaxed);
        self.call();
    }

    /// Whether the handshake has to end for another one.
    #[must_use]
    pub fn gives_way(&self) -> bool {
        self.gives_way.load(Ordering::Relaxed)
    }

    /// Tells the guard that the head took too long. False if it was told before.
    pub fn run_out_of_time(&self) -> bool {
        let first = !self.out_of_time.swap(true, Ordering::Relaxed);
        if first {
            self.call();
        }
        first
    }

    /// Whether the head took too long.
    #[must_use]
    pub fn is_out_of_time(&self) -> bool {
        self.out_of_time.load(Ordering::Relaxed)
    }

    /// HTTP/1: where the bytes that came so far stand.
    pub fn follow(&self, messages: &Messages) {
        self.passed.store(messages.passed(), Ordering::Relaxed);
        self.complete.store(messages.complete(), Ordering::Relaxed);
        self.begun.store(messages.has_begun(), Ordering::Relaxed);
    }

    /// HTTP/1: whether the beginning of a head is there.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// HTTP/1: whether the guard let the head of the request with this number through.
    #[must_use]
    pub fn has_passed(&self, number: u32) -> bool {
        number < self.passed.load(Ordering::Relaxed)
    }

    /// HTTP/1: whether the body of the request with this number came to its end.
    #[must_use]
    pub fn is_complete(&self, number: u32) -> bool {
        number < self.complete.load(Ordering::Relaxed)
    }

    /// HTTP/1: the request with this number is being answered. Answers how many requests of this connection came before the answer to the one before them.
    pub fn run_ahead(&self, number: u32) -> u32 {
        let ahead = u32::from(self.has_passed(number.saturating_add(1)));
        self.pipelined.fetch_add(ahead, Ordering::Relaxed) + ahead
    }

    /// HTTP/1: this answer is the last, whatever else the client sends.
    pub fn closes(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// HTTP/2: how many requests were answered, modulo 2³².
    #[must_use]
    pub fn answers(&self) -> u32 {
        self.answers.load(Ordering::Relaxed)
    }

    /// HTTP/2: one more request was answered.
    pub fn answered(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// The guard refused what came in the place of the request with this number.
    pub fn refuse(&self, number: u32, rejection: Rejection) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(rejection);
        self.refused.store(number, Ordering::Relaxed);
        self.call();
    }

    /// What the guard refused in the place of the request with this number; it is told once.
    #[must_use]
    pub fn refusal(&self, number: u32) -> Option<Rejection> {
        if self.refused.load(Ordering::Relaxed) != number {
            return None;
        }
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// How many bytes the client may be sending that nobody is going to read, before the connection is closed on them.
    #[must_use]
    pub fn forgotten_bytes_max(&self) -> usize {
        let refused = self.refused.load(Ordering::Relaxed) != NOTHING_REFUSED;
        let incomplete = self.passed.load(Ordering::Relaxed) != self.complete.load(Ordering::Relaxed);
        let more = incomplete || self.closing.load(Ordering::Relaxed);
        match (refused, more, self.activity.is_http2()) {
            (false, false, _) => 0,
            (true, _, true) => FLOOD_BYTES_FORGOTTEN,
            (_, _, _) => BODY_BYTES_FORGOTTEN,
        }
    }

    /// The TLS handshake is done. `name` is what the client asked for in it (SNI), if anything.
    pub fn handshaken(&self, name: Option<Box<str>>) {
        // A connection shakes hands once; a second value would not count.
        let _ = name.map(|name| self.name.set(name));
    }

    /// The client proved that it has the key of this certificate.
    pub fn belongs_to(&self, client: ClientChain) {
        // As with the name: there is one handshake.
        let _ = self.client.set(Arc::new(client));
    }

    /// The client's certificates, if it showed some.
    #[must_use]
    pub fn client(&self) -> Option<&Arc<ClientChain>> {
        self.client.get()
    }

    /// The name that the client asked for in the TLS handshake, if any.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.get().map(|name| &**name)
    }
}
