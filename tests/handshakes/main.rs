//! Handshakes as providers make them, over real sockets and TLS, and the secrets that some of them bring.
//!
//! The gateway, the app and the client are those of the other integration tests; requests are signed here with the libraries themselves, so that
//! nothing is judged by our own signer.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test ends where something is not as it says; helpers are part of the tests"
)]

mod support;

mod answers;
#[path = "../kit/certificates.rs"]
mod certificates;
mod confirming;
mod exposure;
mod learning;
mod oracle;
mod redaction;
