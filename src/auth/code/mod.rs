//! Ways to prove that the scheme language cannot say: one file each, behind one trait.
//!
//! A provider comes here only if what it signs depends on the message in a way that no template can tell: a list of fields by message type, a
//! signature for each item of a list, JSON written anew with sorted keys.
//!
//! **Invariant:** as everywhere in `auth`: no IO, no clock, no log, and no answer by a bool.

use std::collections::HashMap;
use std::fmt;

use super::describe::Line;
use super::key::{KeyFault, NamedSecret};
use super::place::{Head, View};
use super::verify::SignedDigest;
use crate::clock::UnixSeconds;
use crate::rejection::Rejection;

/// A way to prove who sent a delivery, with its keys.
pub trait Code: fmt::Debug + Send + Sync {
    /// The policy's names of its keys.
    fn keys(&self) -> Vec<&str>;

    /// Refuses what can be refused without the body.
    ///
    /// # Errors
    /// `credential_*`, `timestamp_*`.
    fn present(&self, head: Head<'_>) -> Result<(), Rejection>;

    /// Decides.
    ///
    /// # Errors
    /// `credential_*`, `timestamp_*`, `secret_expired`.
    fn verify(&self, view: &View<'_>, now: UnixSeconds) -> Result<Found, Rejection>;
}

/// What a delivery was proven by.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// The position of the key that fitted.
    pub key: usize,
    /// What was signed, see [`Proof::digest`](super::Proof::digest).
    pub digest: Option<SignedDigest>,
    /// The signed time, in milliseconds since the epoch.
    pub signed_at_millis: Option<i64>,
}

/// What a policy says besides keys.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'s> {
    /// `[auth.parameters]`.
    pub parameters: &'s HashMap<&'s str, &'s str>,
    /// The certificates in `trust_roots`, as PEM or DER.
    pub trust_roots: &'s [Vec<u8>],
}

/// The files of this folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeKind {
    /// Takes nothing.
    Closed,
}

/// The words of presets for them.
pub const CODES: &[(&str, CodeKind)] = &[];

impl CodeKind {
    /// Makes one ready with a policy's keys.
    ///
    /// # Errors
    /// [`KeyFault`] for the first secret or key that is not as it wants it.
    pub fn make(self, keys: &[NamedSecret], settings: &Settings<'_>) -> Result<Box<dyn Code>, KeyFault> {
        let _ = (keys, settings);
        unreachable!()
    }

    /// What is signed, in a line.
    #[must_use]
    pub const fn signed(self) -> &'static str {
        ""
    }

    /// What it proves, what not, and how it signs, in words.
    #[must_use]
    pub fn lines(self) -> Vec<Line> {
        Vec::new()
    }

    /// Whether it is checked with secrets.
    #[must_use]
    pub const fn has_secrets(self) -> bool {
        false
    }

    /// Whether it is checked with public keys or certificates.
    #[must_use]
    pub const fn has_public_keys(self) -> bool {
        false
    }

    /// How far its signed timestamp may lie from now.
    #[must_use]
    pub const fn tolerance_seconds(self) -> Option<u32> {
        None
    }

    /// Whether what it signs differs for any two honest deliveries.
    #[must_use]
    pub const fn tells_deliveries_apart(self) -> bool {
        false
    }
}
