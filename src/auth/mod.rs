//! Who sent a delivery: schemes as data, credentials as they stand in a request's head, and the proof.
//!
//! On a delivery's way this is the step between routing and the body ([`Authenticator::read`]: nothing is buffered for a request that carries no
//! well-formed credential), and the first step after the body ([`Verifier::verify`]). An [`Authenticator`] is one [`Verifier`] or
//! [client certificate](certificate), or several of them together.
//!
//! To find where a provider's signature is checked, open `providers/NAME.toml`: it says what is signed and where the signature stands. The
//! engine that reads it is [`credential`] (the head) and [`verify`] (the comparison); [`scheme`] holds the words.
//!
//! **Invariant:** no verification here answers with a bool, only conditions do. It hands out a [`Proof`], which only [`verify`] can make, or a
//! [`Rejection`](crate::rejection::Rejection).
//!
//! **Invariant:** nothing here does IO, reads a clock or logs.

pub mod authenticator;
pub mod certificate;
pub mod code;
pub mod condition;
pub mod confirmation;
pub mod credential;
pub mod describe;
pub mod diagnosis;
pub mod facts;
pub mod handshake;
pub mod key;
pub mod list;
pub mod place;
mod public_key;
pub mod scheme;
pub mod sign;
pub mod template;
mod token;
pub mod verify;

pub use authenticator::Authenticator;
pub use credential::Credential;
pub use place::Head;
pub use scheme::Scheme;
pub use verify::{Proof, Verifier};

#[cfg(test)]
mod tests;
