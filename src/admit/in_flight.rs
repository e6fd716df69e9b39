//! How much runs at the same time: a count with a maximum, left when its guard is dropped.
//!
//! One gauge bounds the deliveries of each source, and a small one per source what is verified for a known client over its
//! failure budget.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A count of what is in flight, with a maximum. Clones share the count.
#[derive(Debug, Clone)]
pub struct Gauge {
    count: Arc<AtomicU32>,
    max: NonZeroU32,
}

/// One seat under a [`Gauge`]; dropping it leaves.
#[must_use = "a seat is left as soon as it is dropped"]
#[derive(Debug)]
pub struct Seat {
    count: Arc<AtomicU32>,
}

impl Gauge {
    /// A gauge on which nothing is in flight.
    #[must_use]
    pub fn new(max: NonZeroU32) -> Self {
        Self { count: Arc::default(), max }
    }

    /// The same count under another maximum, for a policy that changes it: what is in flight stays counted.
    #[must_use]
    pub fn with_max(&self, max: NonZeroU32) -> Self {
        Self { count: Arc::clone(&self.count), max }
    }

    /// Takes a seat, if one is free.
    #[must_use]
    pub fn try_enter(&self) -> Option<Seat> {
        self.count
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |count| (count < self.max.get()).then(|| count + 1))
            .ok()
            .map(|_| Seat { count: Arc::clone(&self.count) })
    }

    /// How many seats are taken now.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// How many seats there are.
    #[must_use]
    pub const fn max(&self) -> NonZeroU32 {
        self.max
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gauge(max: u32) -> Gauge {
        Gauge::new(NonZeroU32::new(max).unwrap())
    }

    #[test]
    fn seats_end_at_the_maximum_and_come_back_when_left() {
        let gauge = gauge(3);
        let mut seats: Vec<_> = (0..2).map(|_| gauge.try_enter().unwrap()).collect();
        assert_eq!(gauge.in_flight(), 2, "max - 1");
        seats.push(gauge.try_enter().expect("max"));
        assert!(gauge.try_enter().is_none(), "max + 1");
        assert_eq!(gauge.in_flight(), 3, "a refusal takes no seat");
        seats.pop();
        assert!(gauge.try_enter().is_some());
        drop(seats);
        assert_eq!(gauge.in_flight(), 0);
    }

    #[test]
    fn a_changed_maximum_keeps_what_is_in_flight() {
        let before = gauge(2);
        let seats = [before.try_enter().unwrap(), before.try_enter().unwrap()];
        let after = before.with_max(NonZeroU32::new(1).unwrap());
        assert!(after.try_enter().is_none());
        drop(seats);
        assert!(after.try_enter().is_some());
    }

    #[test]
    fn threads_never_share_a_seat() {
        let gauge = gauge(2);
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let gauge = gauge.clone();
                std::thread::spawn(move || {
                    for _ in 0..10_000 {
                        let seat = gauge.try_enter();
                        assert!(gauge.in_flight() <= 2);
                        drop(seat);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(gauge.in_flight(), 0);
    }
}
