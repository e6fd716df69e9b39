//! The edge: sockets, TLS, HTTP, and everything that is bounded before a request exists.
//!
//! Each worker is a thread with a runtime of its own, its own listening sockets (`SO_REUSEPORT`: the kernel spreads connections) and its own pool of
//! upstream connections. On the path of a delivery workers share the policy snapshot, sharded counters and the sharded limiter tables, and nothing else.
//!
//! Reading order: [`sockets`], [`listen`] and [`unix`] (where it listens), [`stream`] (what is accepted), [`serve`] (a worker's loop and one connection),
//! [`proxy`] (who is behind a proxy), [`caps`], [`connection`], [`activity`] and [`registry`] (deadlines), [`handshakes`], [`turns`] (who is read first),
//! [`socket`], [`tls`], [`client_certificate`], [`guard`] (what the HTTP library gets to see), `http` and `entrance` (its requests).
//!
//! **Invariant:** the accept loop outlives every error. **Invariant:** no wait is without a deadline.

pub mod activity;
pub mod caps;
pub mod client_certificate;
pub mod connection;
mod entrance;
pub mod guard;
pub mod handshakes;
mod http;
pub mod listen;
pub mod proxy;
pub mod registry;
pub mod serve;
pub mod socket;
pub mod sockets;
pub mod stream;
pub mod tls;
pub mod turns;
pub mod unix;

use std::time::Duration;

/// The edge's limits, from `[edge]`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// From accept to the end of the TLS handshake.
    pub handshake: Duration,
    /// From there, or from the first byte after a pause, to the end of the request's head.
    pub head: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// Between two times that the socket takes something of an answer.
    pub write: Duration,
    /// From the last answer to the client's end, where more than the gateway read may come.
    pub linger: Duration,
    /// For a connection as a whole; it is ended when it is idle.
    pub connection: Duration,
    /// Requests on one connection.
    pub requests_per_connection_max: u32,
    /// HTTP/1: requests of one connection that come before the answer to the one before them.
    pub pipelined_requests_max: u32,
    /// Connections in all.
    pub connections_max: usize,
    /// Connections of one client.
    pub connections_per_client_max: usize,
    /// TLS handshakes at one time.
    pub handshakes_max: usize,
    /// Bytes of a request's head.
    pub head_bytes_max: usize,
    /// Fields of a request's head.
    pub headers_max: usize,
    /// Bytes of an HTTP/1 request's target.
    pub uri_bytes_max: usize,
    /// HTTP/2: requests at one time on one connection.
    pub streams_max: u32,
    /// HTTP/2: frames that bring no request further.
    pub unproductive_frames_max: u32,
    /// HTTP/2: their bytes.
    pub unproductive_bytes_max: u32,
    /// How long deliveries in flight have when the gateway stops.
    pub drain: Duration,
}
