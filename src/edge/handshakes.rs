//! TLS handshakes under way, in the whole process.
//!
//! Whoever opens connections and says nothing keeps a place for as long as a handshake may take. Were others to wait for one, a few hundred silent
//! connections every five seconds would keep everybody out. So nobody waits: one too many ends the one that has taken longest. A client that means it is done
//! after a round trip or two, and is among the oldest only where the flood brings hundreds in that time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::connection::Connection;

/// All handshakes, the oldest first. Its lock is taken when one begins and when it ends.
#[derive(Debug)]
pub struct Handshakes {
    max: usize,
    under_way: Mutex<UnderWay>,
}

#[derive(Debug, Default)]
struct UnderWay {
    next: u64,
    connections: BTreeMap<u64, Arc<Connection>>,
}

/// A handshake's place; given back on drop.
#[derive(Debug)]
#[must_use = "the place is given back as soon as this is dropped"]
pub struct Shaking {
    handshakes: Arc<Handshakes>,
    number: u64,
}

impl Handshakes {
    /// Places for so many.
    #[must_use]
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, under_way: Mutex::default() })
    }

    /// A place for one more. If all are taken, the connection that has had its place longest is [out of time](Connection::end_of_time).
    pub fn enter(self: &Arc<Self>, connection: &Arc<Connection>) -> Shaking {
        let mut under_way = self.lock();
        if under_way.connections.len() >= self.max
            && let Some((_, oldest)) = under_way.connections.pop_first()
        {
            oldest.end_of_time();
        }
        let number = under_way.next;
        under_way.next += 1;
        under_way.connections.insert(number, Arc::clone(connection));
        Shaking { handshakes: Arc::clone(self), number }
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shaking {
    fn drop(&mut self) {
        self.handshakes.lock().connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::forward::request::Protocol;

    #[test]
    fn one_too_many_ends_the_oldest_and_who_is_done_is_none() {
        let connections: Vec<_> = (0..5)
            .map(|port| Arc::new(Connection::new(([192, 0, 2, 1], port).into(), Protocol::Https, Clock::manual(0))))
            .collect();
        let handshakes = Handshakes::new(2);
        let mut places: Vec<_> = connections[..2].iter().map(|connection| handshakes.enter(connection)).collect();
        drop(places.remove(0));
        places.push(handshakes.enter(&connections[2]));
        assert!(connections.iter().all(|connection| !connection.is_out_of_time()), "two at a time");
        places.push(handshakes.enter(&connections[3]));
        places.push(handshakes.enter(&connections[4]));
        let ended: Vec<_> = connections.iter().map(|connection| connection.is_out_of_time()).collect();
        assert_eq!(ended, [false, true, true, false, false]);
    }
}
