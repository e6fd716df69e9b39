//! Handshakes under way, in the whole process: of TLS, and of the PROXY protocol before it.
//!
//! Whoever opens connections and says nothing keeps a place for as long as a handshake may take. Were others to wait for one, a few hundred silent
//! connections every five seconds would keep everybody out. So nobody waits: one too many ends those that have taken longest. A client that means it is done
//! after a round trip or two, so the young are spared, also where hundreds of genuine clients come back at once; the caps on connections bound how many
//! they can be. A connection whose client a proxy has still to name counts under no client's cap, so it has a place here from its first moment on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::connection::Connection;

/// How long a handshake is spared.
const YOUNG: Duration = Duration::from_secs(1);

/// All handshakes, the oldest first. Its lock is taken when one begins and when it ends.
#[derive(Debug)]
pub struct Handshakes {
    max: usize,
    under_way: Mutex<UnderWay>,
}

#[derive(Debug, Default)]
struct UnderWay {
    next: u64,
    /// Since when, and which.
    connections: BTreeMap<u64, (Duration, Arc<Connection>)>,
}

/// A handshake's place; given back on drop.
#[derive(Debug)]
#[must_use = "the place is given back as soon as this is dropped"]
pub struct HandshakePlace {
    handshakes: Arc<Handshakes>,
    number: u64,
}

impl Handshakes {
    /// Places for so many.
    #[must_use]
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, under_way: Mutex::default() })
    }

    /// A place for one more. While all are taken, the connection that has had its place longest [gives way](Connection::give_way), unless it is
    /// young. `now` is monotonic.
    pub fn enter(self: &Arc<Self>, connection: &Arc<Connection>, now: Duration) -> HandshakePlace {
        let mut under_way = self.lock();
        while under_way.connections.len() >= self.max
            && let Some(oldest) = under_way.connections.first_entry()
            && now.saturating_sub(oldest.get().0) >= YOUNG
        {
            let (_, connection) = oldest.remove();
            connection.give_way();
        }
        let number = under_way.next;
        under_way.next += 1;
        under_way.connections.insert(number, (now, Arc::clone(connection)));
        HandshakePlace { handshakes: Arc::clone(self), number }
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for HandshakePlace {
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
    fn one_too_many_ends_the_oldest_but_not_the_young_and_who_is_done_is_none() {
        let connections: Vec<_> = (0..7)
            .map(|port| Arc::new(Connection::new(([192, 0, 2, 1], port).into(), Protocol::Https, Clock::manual(0))))
            .collect();
        let ended = || connections.iter().map(|connection| connection.has_to_give_way()).collect::<Vec<_>>();
        let handshakes = Handshakes::new(2);
        let enter = |number: usize, now| handshakes.enter(&connections[number], now);
        let start = Duration::from_secs(100);
        let mut places = vec![enter(0, start), enter(1, start)];
        drop(places.remove(0));
        places.push(enter(2, start));
        assert_eq!(ended(), [false; 7], "two at a time");
        places.push(enter(3, start + Duration::from_millis(999)));
        assert_eq!(ended(), [false; 7], "all are young");
        places.push(enter(4, start + YOUNG));
        assert_eq!(ended(), [false, true, true, false, false, false, false], "as many as are too many");
        places.push(enter(5, start + 2 * YOUNG));
        assert_eq!(ended(), [false, true, true, true, false, false, false]);
        places.push(enter(6, start + 2 * YOUNG));
        assert_eq!(ended(), [false, true, true, true, true, false, false]);
    }
}
