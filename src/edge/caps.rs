//! How many connections may stand at once, in all, for each client, and for strangers together.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::admit::budget::open_to_strangers;
use crate::admit::client::Client;

/// How many connections there are, in all and for each client; shared by all workers, touched only when a connection opens or closes.
#[derive(Debug)]
pub struct Caps {
    all_max: usize,
    client_max: usize,
    clients: Mutex<HashMap<Client, usize>>,
    all: AtomicUsize,
}

/// A connection's place under the caps; given back on drop.
#[derive(Debug)]
pub struct Place {
    caps: Arc<Caps>,
    client: Option<Client>,
}

impl Caps {
    /// Caps for the whole process.
    #[must_use]
    pub fn new(all_max: usize, client_max: usize) -> Arc<Self> {
        let all = AtomicUsize::new(0);
        Arc::new(Self { all_max, client_max, clients: Mutex::default(), all })
    }

    /// A place for one more connection of the client at this address. The last ones are for clients that are known, which is asked only then.
    ///
    /// # Errors
    /// The name of the limit that is reached.
    pub fn enter(self: &Arc<Self>, peer: IpAddr, is_known: impl FnOnce() -> bool) -> Result<Place, &'static str> {
        let mut place = self.enter_unnamed()?;
        place.name(peer, is_known)?;
        Ok(place)
    }

    /// A place for one more connection whose client is not known yet: it counts among all of them, and for nobody.
    ///
    /// # Errors
    /// The name of the limit that is reached.
    pub fn enter_unnamed(self: &Arc<Self>) -> Result<Place, &'static str> {
        let one_more = |count: usize| (count < self.all_max).then_some(count + 1);
        match self.all.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more) {
            Ok(_) => Ok(Place { caps: Arc::clone(self), client: None }),
            Err(_) => Err("connections_max"),
        }
    }

    /// How many connections there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Client, usize>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Whether nobody knows whose it is.
    #[must_use]
    pub const fn is_unnamed(&self) -> bool {
        self.client.is_none()
    }

    /// From now on it counts for this client; a place that has one keeps it.
    ///
    /// # Errors
    /// The name of the limit that is reached.
    pub fn name(&mut self, peer: IpAddr, is_known: impl FnOnce() -> bool) -> Result<(), &'static str> {
        if self.client.is_some() {
            return Ok(());
        }
        if self.caps.count() > open_to_strangers(self.caps.all_max) && !is_known() {
            return Err("connections_max");
        }
        let client = Client::from(peer);
        let mut clients = self.caps.lock();
        let count = clients.get(&client).copied().unwrap_or_default();
        if count >= self.caps.client_max {
            return Err("connections_per_client_max");
        }
        clients.insert(client, count + 1);
        self.client = Some(client);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.caps.all.fetch_sub(1, Ordering::Relaxed);
        let Some(client) = self.client else { return };
        let mut clients = self.caps.lock();
        match clients.get_mut(&client) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(clients.remove(&client)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_capped_in_all_and_for_each_client() {
        let caps = Caps::new(3, 2);
        let first = caps.enter(address("2001:db8::1"), || false).unwrap();
        let _second = caps.enter(address("2001:db8::2"), || false).unwrap();
        assert_eq!(caps.enter(address("2001:db8::3"), || false).err(), Some("connections_per_client_max"));
        assert_eq!(caps.count(), 2, "a refusal takes no place");
        let _third = caps.enter(address("2001:db8:0:1::1"), || false).unwrap();
        assert_eq!(caps.enter(address("192.0.2.1"), || false).err(), Some("connections_max"));
        drop(first);
        assert_eq!(caps.count(), 2);
        assert!(caps.enter(address("2001:db8::3"), || false).is_ok());
    }

    #[test]
    fn a_place_without_a_client_counts_among_all_until_it_has_one() {
        let caps = Caps::new(3, 1);
        let [mut first, mut second] = [0, 1].map(|_| caps.enter_unnamed().expect("max - 1"));
        let third = caps.enter_unnamed().expect("max");
        assert_eq!(caps.enter_unnamed().err(), Some("connections_max"), "max + 1");
        drop(third);
        assert_eq!(first.name(address("192.0.2.1"), || false), Ok(()));
        assert_eq!(first.name(address("192.0.2.2"), || false), Ok(()), "it has one already");
        assert_eq!(second.name(address("192.0.2.1"), || false), Err("connections_per_client_max"));
        assert_eq!(second.name(address("192.0.2.2"), || false), Ok(()));
        drop(first);
        assert!(caps.enter(address("192.0.2.1"), || false).is_ok(), "a place with a client is given back with it");
        drop(second);
        assert_eq!((caps.count(), caps.lock().len()), (0, 0), "nothing is kept of clients that are gone");
    }

    #[test]
    fn the_last_places_are_for_known_clients() {
        let caps = Caps::new(16, 16);
        let (stranger, genuine) = (address("192.0.2.1"), address("192.0.2.2"));
        let mut held: Vec<_> = (0..14).map(|_| caps.enter(stranger, || false).expect("seven eighths")).collect();
        assert_eq!(caps.enter(stranger, || false).err(), Some("connections_max"));
        assert_eq!(caps.count(), 14, "a refusal takes no place");
        held.extend((0..2).map(|_| caps.enter(genuine, || true).expect("an eighth")));
        assert_eq!(caps.enter(genuine, || true).err(), Some("connections_max"));
        held.remove(0);
        assert_eq!(
            caps.enter(stranger, || false).err(),
            Some("connections_max"),
            "those of known clients count as well"
        );
        let mut behind_a_proxy = caps.enter_unnamed().expect("who it is is not known yet");
        assert_eq!(behind_a_proxy.name(stranger, || false), Err("connections_max"));
        assert_eq!(behind_a_proxy.name(genuine, || true), Ok(()));
    }
}
