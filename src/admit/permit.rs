//! The guards that a delivery carries once it was let in: [`Permit`] before authentication, [`Slot`] after it.
//!
//! Only [`Limits`](super::Limits) makes them (or [`Permit::offline`], for recorded requests), a later stage asks for
//! them by value, and dropping one gives back what it holds, however the delivery ends.

use std::time::Duration;

use super::budget::Reserved;
use super::client::Client;
use super::failures::{EXCESS_BODY_TIME, Passage};
use super::in_flight::Seat;

/// A delivery whose client may go on to authentication.
#[must_use = "what was admitted is given back as soon as this is dropped"]
#[derive(Debug)]
pub struct Permit {
    pub(super) client: Option<Client>,
    pub(super) passage: Passage,
    pub(super) process: Option<Reserved>,
}

/// An authenticated delivery that its source has room for.
#[must_use = "the place in flight is left as soon as this is dropped"]
#[derive(Debug)]
pub struct Slot {
    pub(super) _process: Option<Reserved>,
    pub(super) _source: Option<Seat>,
}

impl Permit {
    /// A permit that no limit was asked for, for a recorded request: rates and networks are not judged offline.
    pub const fn offline() -> Self {
        Self { client: None, passage: Passage::Clear, process: None }
    }

    /// The client it was given to; none offline.
    #[must_use]
    pub const fn client(&self) -> Option<Client> {
        self.client
    }

    /// How long the body may take to arrive, where it is `ordinary` otherwise: a delivery that holds one of the few
    /// seats for known clients over their failure budget has [`EXCESS_BODY_TIME`] at most.
    #[must_use]
    pub fn body_time(&self, ordinary: Duration) -> Duration {
        match self.passage {
            Passage::Clear => ordinary,
            Passage::Excess(_) => ordinary.min(EXCESS_BODY_TIME),
        }
    }
}

impl Slot {
    /// A slot that no limit was asked for, for a recorded request.
    pub fn offline(permit: Permit) -> Self {
        Self { _process: permit.process, _source: None }
    }
}
