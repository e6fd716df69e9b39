//! The connections of one worker, and the sweep over them, four times a second, that keeps their deadlines.
//!
//! A sweep ends connections and sends others to rest, and deliveries wait meanwhile. So it is cut into parts of some hundred connections.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;

use super::activity::Overdue;
use super::connection::Connection;
use crate::policy::gateway_config::EdgeConfig;
use crate::reason::Reason;

/// Between two sweeps at the same connection.
pub const PERIOD: Duration = Duration::from_millis(250);

/// Connections are kept in so many shares of about the same size.
const SHARES: u32 = 64;

/// Of more connections than this, the rest is swept later.
const AT_ONCE: usize = 256;

/// The connections of one worker.
#[derive(Debug)]
pub struct Registry {
    entries: Mutex<Entries>,
    sweeps: AtomicU64,
}

#[derive(Debug)]
struct Entries {
    shares: [HashMap<u64, (Arc<Connection>, AbortHandle)>; SHARES as usize],
    /// The share that is swept next.
    next: u32,
}

/// What a part of a sweep found.
#[derive(Debug)]
pub struct Swept {
    /// Connections that were ended, where this has to be recorded.
    pub refused: Vec<(Arc<Connection>, Reason)>,
    /// When the next part is due.
    pub pause: Duration,
}

impl Default for Registry {
    fn default() -> Self {
        let entries = Entries { shares: std::array::from_fn(|_| HashMap::new()), next: 0 };
        Self { entries: Mutex::new(entries), sweeps: AtomicU64::new(0) }
    }
}

impl Registry {
    /// Keeps an eye on a connection from now on.
    pub fn insert(&self, id: u64, connection: Arc<Connection>, task: AbortHandle) {
        self.lock().share(id).insert(id, (connection, task));
    }

    /// Forgets a connection that ended.
    pub fn remove(&self, id: u64) {
        self.lock().share(id).remove(&id);
    }

    /// Ends what is overdue among the next connections: all of them, where they are few.
    ///
    /// An HTTP/1 client whose head is overdue gets its answer through the guard, which also records it.
    pub fn sweep(&self, config: &EdgeConfig) -> Swept {
        self.sweeps.fetch_add(1, Ordering::Relaxed);
        let mut entries = self.lock();
        let (mut refused, mut seen, mut shares) = (Vec::new(), 0, 0);
        while seen < AT_ONCE && shares < SHARES {
            let share = entries.next_share();
            seen += share.len();
            shares += 1;
            share.retain(|_, (connection, task)| match attend(connection, config) {
                None => true,
                Some(overdue) => {
                    task.abort();
                    if let Overdue::Refused(reason) = overdue {
                        refused.push((Arc::clone(connection), reason));
                    }
                    false
                }
            });
        }
        Swept { refused, pause: PERIOD * shares / SHARES }
    }

    /// How often it was swept: a worker that gets on sweeps.
    #[must_use]
    pub fn sweeps(&self) -> u64 {
        self.sweeps.load(Ordering::Relaxed)
    }

    /// Whether no connection has a delivery under way, an answer that its client has still to take, or something that waits to be read.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.lock()
            .shares
            .iter()
            .flat_map(HashMap::values)
            .all(|(connection, _)| connection.activity.is_done() && !connection.is_in_line())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().shares.iter().all(HashMap::is_empty)
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn share(&mut self, id: u64) -> &mut HashMap<u64, (Arc<Connection>, AbortHandle)> {
        &mut self.shares[usize::try_from(id % u64::from(SHARES)).unwrap_or_default()]
    }

    fn next_share(&mut self) -> &mut HashMap<u64, (Arc<Connection>, AbortHandle)> {
        let share = self.next;
        self.next = (share + 1) % SHARES;
        self.share(share.into())
    }
}

/// Tells a connection what it is time for. Why it has to end now, if it has to.
fn attend(connection: &Connection, config: &EdgeConfig) -> Option<Overdue> {
    let activity = &connection.activity;
    if activity.age() >= config.connection_time {
        connection.retire();
    }
    if activity.should_rest() {
        connection.call();
    }
    // What it was waited for may be there, and wait to be read.
    let is_said = activity.is_expectant() && connection.is_in_line();
    let overdue = activity.overdue(config).filter(|_| !is_said)?;
    let answered =
        overdue == Overdue::Refused(Reason::HeadTimeout) && !activity.is_http2() && connection.run_out_of_time();
    (!answered).then_some(overdue)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::forward::request::Protocol;
    use crate::gateway::Peer;

    /// A worker's connections that shake hands, and the clock that they live by.
    fn registry(connections: u64) -> (Registry, Clock) {
        let (registry, clock) = (Registry::default(), Clock::manual(0));
        for id in 0..connections {
            let peer = Peer::Network("192.0.2.1:443".parse().unwrap());
            let connection = Arc::new(Connection::new(peer, Protocol::Https, clock.clone()));
            registry.insert(id, connection, tokio::spawn(std::future::pending::<()>()).abort_handle());
        }
        (registry, clock)
    }

    #[tokio::test]
    async fn a_few_connections_are_swept_together() {
        let (registry, clock) = registry(AT_ONCE as u64 / 2);
        assert!(registry.sweep(&EdgeConfig::default()).refused.is_empty());
        clock.advance(EdgeConfig::default().handshake_time);
        let Swept { refused, pause } = registry.sweep(&EdgeConfig::default());
        assert_eq!((refused.len(), pause), (AT_ONCE / 2, PERIOD));
        assert!(registry.is_empty());
    }

    #[tokio::test]
    async fn who_said_something_that_waits_to_be_read_is_not_late() {
        let (registry, clock) = registry(2);
        let connection = Arc::clone(&registry.lock().share(1)[&1].0);
        connection.set_in_line(true);
        clock.advance(EdgeConfig::default().handshake_time);
        assert_eq!(registry.sweep(&EdgeConfig::default()).refused.len(), 1, "the other one");
        connection.set_in_line(false);
        assert_eq!(registry.sweep(&EdgeConfig::default()).refused.len(), 1, "read, and no end of it");
    }

    #[tokio::test]
    async fn many_are_swept_in_parts_and_each_of_them_once_a_period() {
        let connections = 20 * AT_ONCE;
        let (registry, clock) = registry(connections as u64);
        clock.advance(EdgeConfig::default().handshake_time);
        let (mut refused, mut passed) = (0, Duration::ZERO);
        while passed < PERIOD {
            let swept = registry.sweep(&EdgeConfig::default());
            assert!((1..2 * AT_ONCE).contains(&swept.refused.len()), "{} at once", swept.refused.len());
            refused += swept.refused.len();
            passed += swept.pause;
        }
        assert_eq!((refused, passed), (connections, PERIOD));
        assert!(registry.is_empty());
    }
}
