//! The gateway as senders, apps and operators meet it: real sockets, real TLS, real files, the built binary.
//!
//! One test binary, one file an area. [`support`] starts gateways and apps and speaks to them byte for byte; nothing here sleeps for a guess,
//! uses a fixed port or changes the environment of this process: what takes time is waited for, with a bound.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test ends where something is not as it says; helpers are part of the tests"
)]

mod support;

mod acme;
mod bodies;
mod cli;
mod defects;
mod drain;
mod edge;
mod events;
mod floods;
mod forward;
mod gateway;
mod guard;
mod handover;
mod hostile_upstreams;
mod limits;
mod monitor;
mod networks;
mod panics;
mod policies;
mod proxied;
mod reload;
mod sandbox;
mod scale;
mod schema;
mod secrets;
mod staying_up;
mod tls;
mod unix;
mod upstreams;
mod user;
