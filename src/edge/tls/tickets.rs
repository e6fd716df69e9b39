//! Session tickets: what a client keeps to come back without a whole handshake, sealed with keys that nobody keeps for long.
//!
//! A key seals new tickets for [`ROTATION`] and opens them for as long again; then it is gone, and with it every way to open what it sealed. Keys are made in
//! this process and never leave it: after a restart every client shakes hands in full.
//!
//! **Invariant:** a ticket is good for the question it was made under: a session that was opened when nobody asked for a certificate is not resumed once
//! somebody does.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::Error;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;

use crate::clock::Clock;
use crate::edge::client_certificate::InForce;
use crate::policy::ClientCertificates;

/// How long a key seals. The library's own sealer would change its key after six hours, which is when ours is thrown away.
pub const ROTATION: Duration = Duration::from_secs(3 * 3600);

/// How long a ticket may be kept: its key opens it for one to two rotations.
pub const LIFETIME: Duration = Duration::from_secs(2 * ROTATION.as_secs());

/// Makes tickets and opens them.
pub(super) struct Tickets {
    in_force: InForce,
    clock: Clock,
    keys: RwLock<Keys>,
}

struct Keys {
    current: Key,
    /// The one before: it opens and does not seal any more.
    previous: Option<Key>,
}

/// One key for each question, made at one time.
struct Key {
    made_at: Duration,
    wanted: Arc<dyn ProducesTickets>,
    unwanted: Arc<dyn ProducesTickets>,
}

impl Tickets {
    /// # Errors
    /// If there are no random numbers.
    pub(super) fn new(in_force: InForce, clock: Clock) -> Result<Self, Error> {
        let current = Key::new(clock.monotonic())?;
        Ok(Self { in_force, clock, keys: RwLock::new(Keys { current, previous: None }) })
    }

    /// Asks the keys in force, with the time that it is; a key whose time has come is replaced first.
    fn with_keys<T>(&self, ask: impl FnOnce(&Keys, Duration) -> Option<T>) -> Option<T> {
        let now = self.clock.monotonic();
        {
            let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
            if !keys.current.is_due(now) {
                return ask(&keys, now);
            }
        }
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been first.
        if keys.current.is_due(now) {
            keys.rotate(Key::new(now).ok()?, now);
        }
        ask(&keys, now)
    }
}

impl Keys {
    fn rotate(&mut self, next: Key, now: Duration) {
        let previous = std::mem::replace(&mut self.current, next);
        self.previous = Some(previous).filter(|key| !key.is_over(now));
    }
}

impl Key {
    fn new(now: Duration) -> Result<Self, Error> {
        Ok(Self { made_at: now, wanted: Ticketer::new()?, unwanted: Ticketer::new()? })
    }

    fn is_due(&self, now: Duration) -> bool {
        now.saturating_sub(self.made_at) >= ROTATION
    }

    fn is_over(&self, now: Duration) -> bool {
        now.saturating_sub(self.made_at) >= LIFETIME
    }

    fn under(&self, question: ClientCertificates) -> &dyn ProducesTickets {
        match question {
            ClientCertificates::Wanted => &*self.wanted,
            ClientCertificates::Unwanted => &*self.unwanted,
        }
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(LIFETIME.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let question = self.in_force.client_certificates();
        self.with_keys(|keys, _| keys.current.under(question).encrypt(plain))
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let question = self.in_force.client_certificates();
        self.with_keys(|keys, now| {
            let opened = keys.current.under(question).decrypt(cipher);
            // Where nobody came meanwhile, nobody has thrown it away.
            let previous = || keys.previous.as_ref().filter(|key| !key.is_over(now));
            opened.or_else(|| previous()?.under(question).decrypt(cipher))
        })
    }
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}
