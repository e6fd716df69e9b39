//! How much of something is taken at the same time: in all, by one client, and by strangers.
//!
//! Bodies are read, and deliveries are under way, before anybody knows who sent them, so a few senders of large or slow
//! ones could take all there is. Therefore no client takes more than a quarter of a budget, and strangers together leave the
//! last eighth: it is for clients that authenticated within a day, or that a policy names, so that no flood, from however many
//! addresses, shuts them out.
//!
//! Two counters do it: one for the process, and one of [`CELLS`] that the client's (randomly seeded) hash chooses. No
//! table, no lock, nothing that a flood of clients could fill or push out. Two clients may meet in one cell and then share
//! a quarter: as likely as one in [`CELLS`], unknown to an attacker, and an error only on the careful side.
//!
//! **Invariant:** the sum of all live [`Reserved`] is never above the budget, and that of one client never above its
//! quarter, or one.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::quality::RandomState;

use super::client::{Client, Standing};
use super::{RETRY_SOON, overloaded};
use crate::rejection::Rejection;

/// What there is a budget of, by the names of its limits in records.
#[derive(Debug, Clone, Copy)]
pub struct Resource {
    /// In all.
    pub max: &'static str,
    /// By one client.
    pub client_max: &'static str,
}

/// A budget of the process. Clones share it.
#[derive(Debug, Clone)]
pub struct Budget {
    shared: Arc<Shared>,
}

/// What is set aside for one delivery; dropping it gives it back.
#[must_use = "what was set aside is given back as soon as this is dropped"]
#[derive(Debug)]
pub struct Reserved {
    shared: Arc<Shared>,
    cell: usize,
    amount: usize,
    /// How much may be taken in all by whoever this is for.
    max: usize,
}

#[derive(Debug)]
struct Shared {
    resource: Resource,
    max: usize,
    client_max: usize,
    used: AtomicUsize,
    cells: Box<[AtomicUsize]>,
    hasher: RandomState,
}

/// How many cells the clients are spread over; eight bytes each.
pub const CELLS: usize = 4096;

/// The part of a budget that one client may hold is one in this many.
const CLIENT_SHARE: usize = 4;

/// The part of a limit that is kept for known clients is one in this many.
const KNOWN_SHARE: usize = 8;

/// How much of a limit strangers may take together.
#[must_use]
pub const fn open_to_strangers(max: usize) -> usize {
    max - max / KNOWN_SHARE
}

impl Budget {
    /// A budget of so much, all of it free.
    #[must_use]
    pub fn new(resource: Resource, max: usize) -> Self {
        let shared = Shared {
            resource,
            max,
            client_max: (max / CLIENT_SHARE).max(1),
            used: AtomicUsize::new(0),
            cells: (0..CELLS).map(|_| AtomicUsize::new(0)).collect(),
            hasher: RandomState::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Sets `amount` aside for a delivery of this client, or nothing yet for one that will [`grow`](Reserved::grow).
    ///
    /// # Errors
    /// [`Reason::Overloaded`](crate::reason::Reason::Overloaded) with the limit's name as `detail.limit`; nothing is set
    /// aside then.
    pub fn reserve(&self, client: Client, amount: usize, standing: Standing) -> Result<Reserved, Rejection> {
        let max = match standing {
            Standing::Known => self.shared.max,
            Standing::Stranger => open_to_strangers(self.shared.max),
        };
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is below the number of cells")]
        let cell = (self.shared.hasher.hash_one(client) % CELLS as u64) as usize;
        let mut reserved = Reserved { shared: Arc::clone(&self.shared), cell, amount: 0, max };
        reserved.grow(amount)?;
        Ok(reserved)
    }

    /// Whether more than half is set aside: from here on it may matter who asks.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        self.used() >= self.shared.max / 2
    }

    /// How much is set aside now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.shared.used.load(Ordering::Relaxed)
    }

    /// How much there is.
    #[must_use]
    pub fn max(&self) -> usize {
        self.shared.max
    }

    /// How much one client may hold: a body larger than this can never be received.
    #[must_use]
    pub fn client_max(&self) -> usize {
        self.shared.client_max
    }
}

impl Reserved {
    /// Sets `amount` more aside.
    ///
    /// # Errors
    /// As [`Budget::reserve`]; what was set aside before stays so.
    pub fn grow(&mut self, amount: usize) -> Result<(), Rejection> {
        let Shared { resource, client_max, used, cells, .. } = &*self.shared;
        let cell = &cells[self.cell];
        if !add(cell, amount, *client_max) {
            return Err(overloaded(resource.client_max, RETRY_SOON));
        }
        if !add(used, amount, self.max) {
            cell.fetch_sub(amount, Ordering::Relaxed);
            return Err(overloaded(resource.max, RETRY_SOON));
        }
        self.amount += amount;
        Ok(())
    }

    /// How much is set aside.
    #[must_use]
    pub const fn amount(&self) -> usize {
        self.amount
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.shared.used.fetch_sub(self.amount, Ordering::Relaxed);
        self.shared.cells[self.cell].fetch_sub(self.amount, Ordering::Relaxed);
    }
}

/// Adds to a counter unless it would pass its maximum. Exact: an attempt that fails never shows, so it cannot make
/// somebody else's fail.
fn add(counter: &AtomicUsize, amount: usize, max: usize) -> bool {
    let sum = |used: usize| used.checked_add(amount).filter(|sum| *sum <= max || amount == 0);
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;
    use std::net::IpAddr;

    const BYTES: Resource = Resource { max: "bytes_max", client_max: "bytes_per_client" };

    fn budget(max: usize) -> Budget {
        Budget::new(BYTES, max)
    }

    use Standing::{Known, Stranger};

    fn client(n: u8) -> Client {
        Client::from(IpAddr::from([192, 0, 2, n]))
    }

    /// Clients that do not meet in a cell, whatever the seed.
    fn clients(budget: &Budget, count: usize) -> Vec<Client> {
        let mut seen = std::collections::HashSet::new();
        let apart = (0..=255).map(client).filter(|client| seen.insert(budget.reserve(*client, 0, Known).unwrap().cell));
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
            assert_eq!(budget(1_000).reserve(client(1), bytes, Known).is_ok(), fits, "{bytes} of 250 bytes");
        }
        let budget = budget(1_000);
        let clients = clients(&budget, 2);
        let mut first = budget.reserve(clients[0], 100, Known).unwrap();
        let second = budget.reserve(clients[0], 149, Known).unwrap();
        assert!(first.grow(2).is_err(), "one more than the quarter");
        first.grow(1).expect("the quarter");
        assert!(limit(budget.reserve(clients[0], 1, Known)).contains("bytes_per_client"));
        assert!(budget.reserve(clients[1], 250, Known).is_ok(), "another client has its own quarter");
        drop(second);
        assert!(budget.reserve(clients[0], 149, Known).is_ok(), "what was dropped is free again");
        assert_eq!(budget.used(), first.amount());
    }

    #[test]
    fn all_clients_together_hold_at_most_the_whole() {
        let budget = budget(1_000);
        let clients = clients(&budget, 6);
        let mut held: Vec<_> = clients[..4].iter().map(|client| budget.reserve(*client, 240, Known).unwrap()).collect();
        assert!(limit(budget.reserve(clients[4], 41, Known)).contains("bytes_max"), "max + 1");
        assert_eq!(budget.used(), 960, "a refusal sets nothing aside");
        held.push(budget.reserve(clients[4], 39, Known).expect("max - 1"));
        held.push(budget.reserve(clients[5], 1, Known).expect("max"));
        assert!(budget.reserve(clients[5], 1, Known).is_err());
        assert!(budget.reserve(clients[5], 0, Known).is_ok(), "nothing always fits");
        drop(held);
        assert_eq!(budget.used(), 0);
        assert!(budget.shared.cells.iter().all(|cell| cell.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn strangers_together_leave_the_last_eighth_to_known_clients() {
        for (max, open) in [(1_000, 875), (8, 7), (7, 7), (1, 1), (0, 0)] {
            assert_eq!(open_to_strangers(max), open, "{max}");
        }
        let budget = budget(1_000);
        let clients = clients(&budget, 6);
        let mut held: Vec<_> =
            clients[..4].iter().map(|client| budget.reserve(*client, 218, Stranger).unwrap()).collect();
        held.push(budget.reserve(clients[4], 2, Stranger).expect("max - 1"));
        held.push(budget.reserve(clients[4], 1, Stranger).expect("max"));
        assert!(limit(budget.reserve(clients[4], 1, Stranger)).contains("bytes_max"), "max + 1");
        let mut genuine = budget.reserve(clients[5], 100, Known).expect("there is room for a known client");
        assert!(held[0].grow(1).is_err(), "what was a stranger's stays so");
        genuine.grow(25).expect("all of it");
        assert!(genuine.grow(1).is_err());
        held.pop();
        assert!(budget.reserve(clients[4], 1, Stranger).is_err(), "what known clients hold counts as well");
        drop(genuine);
        assert!(budget.reserve(clients[4], 1, Stranger).is_ok());
    }

    #[test]
    fn it_is_tight_from_half_on() {
        let budget = budget(1_000);
        let clients = clients(&budget, 2);
        let _half = [0, 1].map(|n| budget.reserve(clients[n], 249 + n, Known).unwrap());
        assert!(!budget.is_tight());
        let _one = budget.reserve(clients[0], 1, Known).unwrap();
        assert!(budget.is_tight());
    }

    #[test]
    fn threads_never_pass_the_budget_and_give_all_back() {
        let budget = budget(1_000);
        let threads: Vec<_> = (0..4)
            .map(|n| {
                let budget = budget.clone();
                std::thread::spawn(move || {
                    for bytes in 0..10_000 {
                        let reserved = budget.reserve(client(n), bytes % 400, Known);
                        assert!(budget.used() <= 1_000);
                        drop(reserved);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(budget.used(), 0);
    }
}
