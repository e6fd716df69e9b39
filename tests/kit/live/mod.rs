//! A gateway in this process, an app behind it, clients before it: what the tests with real sockets share.
//!
//! Everything is blocking and byte for byte. Waiting is done in one place, [`eventually`].

#![allow(dead_code, unused_imports, reason = "shared by several test binaries, not all of which use all of it")]

pub(crate) mod app;
pub(crate) mod client;
pub(crate) mod command;
pub(crate) mod delivery;
pub(crate) mod house;

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
