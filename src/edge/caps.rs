//! How many connections may stand at once, in all and for each client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How many connections there are, in all and for each client; shared by all workers, touched only when a connection opens or closes.
#[derive(Debug)]
pub struct Caps {
    all_max: usize,
    client_max: usize,
    clients: Mutex<HashMap<IpAddr, usize>>,
    all: AtomicUsize,
}

/// A connection's place under the caps; given back on drop.
#[derive(Debug)]
pub struct Place {
    caps: Arc<Caps>,
    client: IpAddr,
}

impl Caps {
    /// Caps for the whole process.
    #[must_use]
    pub fn new(all_max: usize, client_max: usize) -> Arc<Self> {
        let all = AtomicUsize::new(0);
        Arc::new(Self { all_max, client_max, clients: Mutex::default(), all })
    }

    /// A place for one more connection of this client (an IPv6 client is its /64).
    ///
    /// # Errors
    /// The name of the limit that is reached.
    pub fn enter(self: &Arc<Self>, peer: IpAddr) -> Result<Place, &'static str> {
        let client = network(peer);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if self.all.load(Ordering::Relaxed) >= self.all_max {
            return Err("connections_max");
        }
        let count = clients.entry(client).or_default();
        if *count >= self.client_max {
            return Err("connections_per_client_max");
        }
        *count += 1;
        self.all.fetch_add(1, Ordering::Relaxed);
        Ok(Place { caps: Arc::clone(self), client })
    }

    /// How many connections there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut clients = self.caps.clients.lock().unwrap_or_else(PoisonError::into_inner);
        self.caps.all.fetch_sub(1, Ordering::Relaxed);
        if let Some(count) = clients.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&self.client);
            }
        }
    }
}

/// An IPv4 address, or the /64 of an IPv6 one.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_capped_in_all_and_for_each_client() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let caps = Caps::new(3, 2);
        let first = caps.enter(address("2001:db8::1")).unwrap();
        let _second = caps.enter(address("2001:db8::2")).unwrap();
        assert_eq!(caps.enter(address("2001:db8::3")).err(), Some("connections_per_client_max"));
        let _third = caps.enter(address("2001:db8:0:1::1")).unwrap();
        assert_eq!(caps.enter(address("192.0.2.1")).err(), Some("connections_max"));
        drop(first);
        assert_eq!(caps.count(), 2);
        assert!(caps.enter(address("2001:db8::3")).is_ok());
    }
}
