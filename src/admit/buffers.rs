//! How many bytes of bodies wait in memory: in all, and for one client.
//!
//! Bodies are read before anybody knows who sent them, so a few senders of large and slow bodies could take all the
//! memory there is. The whole process has one budget and no client more than a quarter of it. Two counters do it: one
//! for the process, and one of [`CELLS`] that the client's (randomly seeded) hash chooses. No table, no lock, nothing
//! that a flood of clients could fill or push out. Two clients may meet in one cell and then share a quarter: as likely
//! as one in [`CELLS`], unknown to an attacker, and an error only on the careful side.
//!
//! **Invariant:** the sum of all live [`Reserved`] is never above the budget, and that of one client never above its
//! quarter.

use std::hash::BuildHasher;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::quality::RandomState;

use super::client::Client;
use super::{RETRY_SOON, overloaded};
use crate::rejection::Rejection;

/// The process's budget of buffered bytes. Clones share it.
#[derive(Debug, Clone)]
pub struct Buffers {
    shared: Arc<Shared>,
}

/// Bytes set aside for one body; dropping it gives them back.
#[must_use = "the bytes are given back as soon as this is dropped"]
#[derive(Debug)]
pub struct Reserved {
    shared: Arc<Shared>,
    cell: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Shared {
    max: usize,
    client_max: usize,
    used: AtomicUsize,
    cells: Box<[AtomicUsize]>,
    hasher: RandomState,
}

/// How many cells the clients are spread over; eight bytes each.
pub const CELLS: usize = 4096;

/// The part of the budget that one client may hold is one in this many.
const CLIENT_SHARE: usize = 4;

impl Buffers {
    /// A budget of `buffered_bytes_max` bytes, all of it free.
    #[must_use]
    pub fn new(buffered_bytes_max: NonZeroU64) -> Self {
        let max = usize::try_from(buffered_bytes_max.get()).unwrap_or(usize::MAX);
        let shared = Shared {
            max,
            client_max: (max / CLIENT_SHARE).max(1),
            used: AtomicUsize::new(0),
            cells: (0..CELLS).map(|_| AtomicUsize::new(0)).collect(),
            hasher: RandomState::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Sets `bytes` aside for a body of this client: its Content-Length, or nothing yet for one that will
    /// [`grow`](Reserved::grow).
    ///
    /// # Errors
    /// [`Reason::Overloaded`](crate::reason::Reason::Overloaded) with `detail.limit` `buffered_bytes_max` or
    /// `buffered_bytes_per_client`; nothing is set aside then.
    pub fn reserve(&self, client: Client, bytes: usize) -> Result<Reserved, Rejection> {
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is below the number of cells")]
        let cell = (self.shared.hasher.hash_one(client) % CELLS as u64) as usize;
        let mut reserved = Reserved { shared: Arc::clone(&self.shared), cell, bytes: 0 };
        reserved.grow(bytes)?;
        Ok(reserved)
    }

    /// How many bytes are set aside now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.shared.used.load(Ordering::Relaxed)
    }

    /// How many bytes one client may hold: a body larger than this can never be received.
    #[must_use]
    pub fn client_max(&self) -> usize {
        self.shared.client_max
    }
}

impl Reserved {
    /// Sets `bytes` more aside.
    ///
    /// # Errors
    /// As [`Buffers::reserve`]; what was set aside before stays so.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Rejection> {
        let Shared { max, client_max, used, cells, .. } = &*self.shared;
        let cell = &cells[self.cell];
        if !add(cell, bytes, *client_max) {
            return Err(overloaded("buffered_bytes_per_client", RETRY_SOON));
        }
        if !add(used, bytes, *max) {
            cell.fetch_sub(bytes, Ordering::Relaxed);
            return Err(overloaded("buffered_bytes_max", RETRY_SOON));
        }
        self.bytes += bytes;
        Ok(())
    }

    /// How many bytes are set aside.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.shared.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.shared.cells[self.cell].fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Adds to a counter unless it would pass its maximum. Exact: an attempt that fails never shows, so it cannot make
/// somebody else's fail.
fn add(counter: &AtomicUsize, bytes: usize, max: usize) -> bool {
    let sum = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= max);
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;
    use std::net::IpAddr;

    fn buffers(max: u64) -> Buffers {
        Buffers::new(NonZeroU64::new(max).unwrap())
    }

    fn client(n: u8) -> Client {
        Client::from(IpAddr::from([192, 0, 2, n]))
    }

    /// Clients that do not meet in a cell, whatever the seed.
    fn clients(buffers: &Buffers, count: usize) -> Vec<Client> {
        let mut seen = std::collections::HashSet::new();
        let apart = (0..=255).map(client).filter(|client| seen.insert(buffers.reserve(*client, 0).unwrap().cell));
        apart.take(count).collect()
    }

    fn limit(result: Result<Reserved, Rejection>) -> String {
        let rejection = result.expect_err("over a limit");
        assert_eq!((rejection.reason(), rejection.retry_after_seconds()), (Reason::Overloaded, Some(1)));
        format!("{:?}", rejection.detail())
    }

    #[test]
    fn a_client_holds_at_most_a_quarter() {
        for (bytes, fits) in [(0, true), (249, true), (250, true), (251, false), (usize::MAX, false)] {
            assert_eq!(buffers(1_000).reserve(client(1), bytes).is_ok(), fits, "{bytes} of 250 bytes");
        }
        let buffers = buffers(1_000);
        let clients = clients(&buffers, 2);
        let mut first = buffers.reserve(clients[0], 100).unwrap();
        let second = buffers.reserve(clients[0], 149).unwrap();
        assert!(first.grow(2).is_err(), "one more than the quarter");
        first.grow(1).expect("the quarter");
        assert!(limit(buffers.reserve(clients[0], 1)).contains("buffered_bytes_per_client"));
        assert!(buffers.reserve(clients[1], 250).is_ok(), "another client has its own quarter");
        drop(second);
        assert!(buffers.reserve(clients[0], 149).is_ok(), "what was dropped is free again");
        assert_eq!(buffers.used(), first.bytes());
    }

    #[test]
    fn all_clients_together_hold_at_most_the_whole() {
        let buffers = buffers(1_000);
        let clients = clients(&buffers, 6);
        let mut held: Vec<_> = clients[..4].iter().map(|client| buffers.reserve(*client, 240).unwrap()).collect();
        assert!(limit(buffers.reserve(clients[4], 41)).contains("buffered_bytes_max"), "max + 1");
        assert_eq!(buffers.used(), 960, "a refusal sets nothing aside");
        held.push(buffers.reserve(clients[4], 39).expect("max - 1"));
        held.push(buffers.reserve(clients[5], 1).expect("max"));
        assert!(buffers.reserve(clients[5], 1).is_err());
        assert!(buffers.reserve(clients[5], 0).is_ok(), "nothing always fits");
        drop(held);
        assert_eq!(buffers.used(), 0);
        assert!(buffers.shared.cells.iter().all(|cell| cell.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn threads_never_pass_the_budget_and_give_all_back() {
        let buffers = buffers(1_000);
        let threads: Vec<_> = (0..4)
            .map(|n| {
                let buffers = buffers.clone();
                std::thread::spawn(move || {
                    for bytes in 0..10_000 {
                        let reserved = buffers.reserve(client(n), bytes % 400);
                        assert!(buffers.used() <= 1_000);
                        drop(reserved);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(buffers.used(), 0);
    }
}
