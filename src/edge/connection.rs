//! One connection: what is known of it, and what those who serve it tell each other.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::Notify;

use super::activity::Activity;
use super::progress::Progress;
use crate::admit::client::Standing;
use crate::auth::certificate::ClientChain;
use crate::clock::Clock;
use crate::forward::request::Protocol;
use crate::gateway::Peer;
use crate::rejection::Rejection;

/// What is known of a connection, for every request on it.
#[derive(Debug)]
pub struct Connection {
    /// What it speaks.
    pub protocol: Protocol,
    /// Its clockwork.
    pub activity: Activity,
    /// HTTP/1: how far what came has got.
    pub progress: Progress,
    parties: Parties,
    signals: Signals,
    /// HTTP/2: requests that were answered.
    answers: AtomicU32,
    refusal: Refusal,
}

/// Who is at its ends, each told once.
#[derive(Debug)]
struct Parties {
    /// Who is at the other end of the socket.
    socket: Peer,
    /// Who is there instead, as a trusted proxy says.
    behind: OnceLock<Peer>,
    /// Whom the client asked for in the handshake.
    name: OnceLock<Box<str>>,
    /// What it showed there.
    client: OnceLock<Arc<ClientChain>>,
}

/// What those who serve it tell each other.
#[derive(Debug, Default)]
struct Signals {
    called: Notify,
    known: AtomicBool,
    in_line: AtomicBool,
    retired: AtomicBool,
    out_of_time: AtomicBool,
    gives_way: AtomicBool,
}

/// What the guard refused, until the HTTP library asks.
#[derive(Debug)]
struct Refusal {
    /// The number of the request in whose place it came; none by [`NOTHING_REFUSED`].
    number: AtomicU32,
    why: Mutex<Option<Rejection>>,
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
            protocol,
            activity: Activity::new(clock),
            progress: Progress::default(),
            parties: Parties { socket: peer, behind: OnceLock::new(), name: OnceLock::new(), client: OnceLock::new() },
            signals: Signals::default(),
            answers: AtomicU32::new(0),
            refusal: Refusal { number: AtomicU32::new(NOTHING_REFUSED), why: Mutex::new(None) },
        }
    }

    /// Who sends: the other end of the socket, or who is behind it.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.parties.behind.get().copied().unwrap_or(self.parties.socket)
    }

    /// A trusted proxy is at the other end, and this is who is behind it.
    pub fn set_peer_behind(&self, peer: Peer) {
        // A connection has one header; a second one would be no header.
        let _ = self.parties.behind.set(peer);
    }

    /// Wakes the connection's task: something of what stands here may have changed.
    pub fn call(&self) {
        self.signals.called.notify_one();
    }

    /// Waits for a [`call`](Self::call).
    pub async fn called(&self) {
        self.signals.called.notified().await;
    }

    /// What is known of whoever is at the other end, from what came last.
    #[must_use]
    pub fn standing(&self) -> Standing {
        if self.signals.known.load(Ordering::Relaxed) { Standing::Known } else { Standing::Stranger }
    }

    /// Changes it.
    pub fn set_standing(&self, standing: Standing) {
        self.signals.known.store(standing == Standing::Known, Ordering::Relaxed);
    }

    /// Notes whether there is something to read, for which it has to wait its turn.
    pub fn set_in_line(&self, is_in_line: bool) {
        self.signals.in_line.store(is_in_line, Ordering::Relaxed);
    }

    /// Whether something came that nobody has looked at yet.
    #[must_use]
    pub fn is_in_line(&self) -> bool {
        self.signals.in_line.load(Ordering::Relaxed)
    }

    /// Asks the connection to end when what is under way is answered (HTTP/2: GOAWAY).
    pub fn retire(&self) {
        if !self.signals.retired.swap(true, Ordering::Relaxed) {
            self.call();
        }
    }

    /// Whether somebody asked the connection to end.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.signals.retired.load(Ordering::Relaxed)
    }

    /// Ends the handshake, so that another one has its place. Nothing, where it is done.
    pub fn give_way(&self) {
        self.signals.gives_way.store(true, Ordering::Relaxed);
        self.call();
    }

    /// Whether the handshake has to end for another one.
    #[must_use]
    pub fn has_to_give_way(&self) -> bool {
        self.signals.gives_way.load(Ordering::Relaxed)
    }

    /// Tells the guard that the head took too long. False if it was told before.
    pub fn run_out_of_time(&self) -> bool {
        let first = !self.signals.out_of_time.swap(true, Ordering::Relaxed);
        if first {
            self.call();
        }
        first
    }

    /// Whether the head took too long.
    #[must_use]
    pub fn is_out_of_time(&self) -> bool {
        self.signals.out_of_time.load(Ordering::Relaxed)
    }

    /// HTTP/2: how many requests were answered, modulo 2³².
    #[must_use]
    pub fn answers(&self) -> u32 {
        self.answers.load(Ordering::Relaxed)
    }

    /// HTTP/2: one more request was answered.
    pub fn count_answer(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// The guard refused what came in the place of the request with this number.
    pub fn refuse(&self, number: u32, rejection: Rejection) {
        *self.refusal.why.lock().unwrap_or_else(PoisonError::into_inner) = Some(rejection);
        self.refusal.number.store(number, Ordering::Relaxed);
        self.call();
    }

    /// What the guard refused in the place of the request with this number; it is told once.
    #[must_use]
    pub fn refusal(&self, number: u32) -> Option<Rejection> {
        if self.refusal.number.load(Ordering::Relaxed) != number {
            return None;
        }
        self.refusal.why.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// How many bytes the client may be sending that nobody is going to read, before the connection is closed on them.
    #[must_use]
    pub fn forgotten_bytes_max(&self) -> usize {
        let refused = self.refusal.number.load(Ordering::Relaxed) != NOTHING_REFUSED;
        match (refused, self.progress.may_be_sending(), self.activity.is_http2()) {
            (false, false, _) => 0,
            (true, _, true) => FLOOD_BYTES_FORGOTTEN,
            (_, _, _) => BODY_BYTES_FORGOTTEN,
        }
    }

    /// The TLS handshake is done. `name` is what the client asked for in it (SNI), if anything.
    pub fn set_name(&self, name: Option<Box<str>>) {
        // A connection shakes hands once; a second value would not count.
        let _ = name.map(|name| self.parties.name.set(name));
    }

    /// The client proved that it has the key of this certificate.
    pub fn set_client(&self, client: ClientChain) {
        // As with the name: there is one handshake.
        let _ = self.parties.client.set(Arc::new(client));
    }

    /// The client's certificates, if it showed some.
    #[must_use]
    pub fn client(&self) -> Option<&Arc<ClientChain>> {
        self.parties.client.get()
    }

    /// The name that the client asked for in the TLS handshake, if any.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.parties.name.get().map(|name| &**name)
    }
}
