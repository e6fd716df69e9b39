//! What the tests share besides the gateways, apps and clients of `tests/kit/live`: [`h2`], which needs a real HTTP/2 client, and what runs elsewhere.

pub(crate) mod authority;
pub(crate) mod frames;
pub(crate) mod h2;
#[path = "../../kit/live/mod.rs"]
mod live;
pub(crate) mod served;

pub(crate) use live::{Answer, App, Connection, Delivery, Hello, House, NOW, PATIENCE, Running, Say, Taken};
pub(crate) use live::{app, client, command, eventually, house, secret_of};

/// Whether this has to be there for the tests to see; else they do without what the machine has not (`.ci/run`).
pub(crate) fn is_demanded(what: &str) -> bool {
    std::env::var("HOOKWARD_TESTS_DEMAND").is_ok_and(|demanded| demanded.split_whitespace().any(|word| word == what))
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
