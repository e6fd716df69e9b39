//! The edge: sockets, TLS, HTTP, and everything that is bounded before a request exists.
//!
//! Each worker is a thread with a runtime of its own, its own listening sockets (`SO_REUSEPORT`: the kernel spreads connections) and its own pool of
//! upstream connections. On the path of a delivery workers share the policy snapshot, sharded counters and the sharded limiter tables, and nothing else.
//!
//! Reading order: [`listen`] and [`unix`] (sockets), [`stream`] (what is accepted), [`serve`] (a worker's loop and one connection), [`connection`] (deadlines and caps), [`tls`], [`client_certificate`].
//!
//! **Invariant:** the accept loop outlives every error. **Invariant:** no wait is without a deadline.

pub mod client_certificate;
pub mod connection;
pub mod listen;
pub mod serve;
pub mod stream;
pub mod tls;
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
    /// For a connection as a whole; it is ended when it is idle.
    pub connection: Duration,
    /// Requests on one connection.
    pub requests_per_connection_max: u32,
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
    /// How long deliveries in flight have when the gateway stops.
    pub drain: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            connection: Duration::from_secs(3600),
            requests_per_connection_max: 10_000,
            connections_max: 10_000,
            connections_per_client_max: 256,
            handshakes_max: 512,
            head_bytes_max: 16 * 1024,
            headers_max: 64,
            drain: Duration::from_secs(30),
        }
    }
}
