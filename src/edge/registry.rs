//! The connections of one worker, and the look over all of them that keeps their deadlines.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

use super::Settings;
use super::activity::Overdue;
use super::connection::Connection;
use crate::reason::Reason;

/// The connections of one worker.
#[derive(Debug, Default)]
pub struct Registry {
    entries: Mutex<HashMap<u64, (Arc<Connection>, AbortHandle)>>,
    sweeps: AtomicU64,
}

impl Registry {
    /// Keeps an eye on a connection from now on.
    pub fn insert(&self, id: u64, connection: Arc<Connection>, task: AbortHandle) {
        self.lock().insert(id, (connection, task));
    }

    /// Forgets a connection that ended.
    pub fn remove(&self, id: u64) {
        self.lock().remove(&id);
    }

    /// Ends what is overdue and answers what has to be recorded. Looks at each connection once; called a few times a second.
    ///
    /// An HTTP/1 client whose head is overdue gets its answer through the guard, which also records it.
    pub fn sweep(&self, settings: &Settings) -> Vec<(Arc<Connection>, Reason)> {
        let mut refused = Vec::new();
        self.sweeps.fetch_add(1, Ordering::Relaxed);
        self.lock().retain(|_, (connection, task)| {
            let activity = &connection.activity;
            if activity.age() >= settings.connection {
                connection.retire();
            }
            if activity.should_rest() {
                connection.call();
            }
            let Some(overdue) = activity.overdue(settings) else { return true };
            match overdue {
                Overdue::Refused(Reason::HeadTimeout) if !activity.is_http2() && connection.run_out_of_time() => {
                    return true;
                }
                Overdue::Refused(reason) => refused.push((Arc::clone(connection), reason)),
                Overdue::Silent => {}
            }
            task.abort();
            false
        });
        refused
    }

    /// How often it was swept: a worker that gets on sweeps.
    #[must_use]
    pub fn sweeps(&self) -> u64 {
        self.sweeps.load(Ordering::Relaxed)
    }

    /// Whether no connection has a delivery under way, or an answer that its client has still to take.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.lock().values().all(|(connection, _)| connection.activity.is_done())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, (Arc<Connection>, AbortHandle)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
