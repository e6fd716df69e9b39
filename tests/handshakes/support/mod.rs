//! What these tests share: the support of the other integration tests, and requests that are signed by hand.

#[path = "../../it/support/app.rs"]
pub(crate) mod app;
#[path = "../../it/support/client.rs"]
pub(crate) mod client;
#[path = "../../it/support/command.rs"]
pub(crate) mod command;
#[path = "../../it/support/house.rs"]
pub(crate) mod house;
mod request;
pub(crate) mod serve;
mod site;
pub(crate) mod sns;

use std::time::{Duration, Instant};

pub(crate) use app::{App, Say};
pub(crate) use client::{Answer, Connection, Hello};
pub(crate) use house::{House, NOW, Running};
pub(crate) use request::{Delivery, base64, hmac_sha1, hmac_sha256};
pub(crate) use site::{KEY, NONE, SECRET, Site, VERIFY_TOKEN, signing_key};

/// How long anything may take that has to happen.
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
