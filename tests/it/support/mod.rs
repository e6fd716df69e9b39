//! What the tests share: a gateway in this process, an app behind it, clients before it.
//!
//! Everything is blocking and byte for byte, except [`h2`], which needs a real HTTP/2 client. Waiting is done in one place, [`eventually`].

pub(crate) mod app;
pub(crate) mod authority;
pub(crate) mod client;
pub(crate) mod command;
pub(crate) mod delivery;
pub(crate) mod frames;
pub(crate) mod h2;
pub(crate) mod house;
pub(crate) mod served;

use std::time::{Duration, Instant};

pub(crate) use app::{App, Say, Taken};
pub(crate) use client::{Answer, Connection, Hello};
pub(crate) use delivery::Delivery;
pub(crate) use house::{House, NOW, Running, secret_of};

/// How long anything may take that has to happen: far more than it takes, also on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again and again until there is an answer; fails the test if there is none for too long.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < until, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What a sender speaks, over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http1,
    Http2,
}

impl Speaks {
    pub(crate) const BOTH: [Self; 2] = [Self::Http1, Self::Http2];

    /// Sends a delivery on a connection of its own.
    pub(crate) fn send(self, gateway: &Running, delivery: &Delivery) -> Answer {
        match self {
            Self::Http1 => gateway.connect().send(delivery),
            Self::Http2 => h2::Http2::connect(gateway).send(delivery),
        }
    }
}
