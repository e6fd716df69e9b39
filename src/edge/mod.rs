//! The edge: sockets, TLS, HTTP, and everything that is bounded before a request exists.
//!
//! Each worker is a thread with a runtime of its own, its own listening sockets (`SO_REUSEPORT`: the kernel spreads connections) and its own pool of
//! upstream connections. On the path of a delivery workers share the policy snapshot, sharded counters and the sharded limiter tables, and nothing else.
//!
//! Reading order: [`sockets`], [`listen`] and [`unix`] (where it listens), [`stream`] (what is accepted), [`serve`] (a worker's loop and one connection),
//! [`proxy`] (who is behind a proxy), [`caps`], [`connection`], [`progress`], [`activity`] and [`registry`] (deadlines), [`handshakes`], [`turns`] (who is
//! read first), [`socket`], [`tls`], [`client_certificate`], [`guard`] (what the HTTP library gets to see), `http` and `entrance` (its requests).
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
pub mod progress;
pub mod proxy;
pub mod registry;
pub mod serve;
pub mod socket;
pub mod sockets;
pub mod stream;
pub mod tls;
pub mod turns;
pub mod unix;
