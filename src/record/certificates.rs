//! What is known of the gateway's own certificates: for the metrics, and for whoever asks whether it is ready.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::UnixSeconds;

/// A certificate as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// The first of its names.
    pub name: String,
    /// Until when it is good; `None`: it is still to be issued.
    pub not_after: Option<UnixSeconds>,
}

/// The certificates in force, and how it went with the authority that issues one.
#[derive(Debug, Default)]
pub(super) struct CertificateState {
    expiries: Mutex<Vec<Expiry>>,
    issued_at: AtomicI64,
    failed_at: AtomicI64,
    failures: AtomicU64,
}

impl CertificateState {
    pub(super) fn in_force(&self, expiries: Vec<Expiry>) {
        *self.lock() = expiries;
    }

    pub(super) fn issued(&self, now: UnixSeconds) {
        self.issued_at.store(now, Relaxed);
    }

    pub(super) fn failed(&self, now: UnixSeconds) {
        self.failed_at.store(now, Relaxed);
        self.failures.fetch_add(1, Relaxed);
    }

    /// In their order.
    pub(super) fn expiries(&self) -> Vec<Expiry> {
        self.lock().clone()
    }

    /// Whether there is none at all yet, and one is still to be issued.
    pub(super) fn is_first_awaited(&self) -> bool {
        let expiries = self.lock();
        !expiries.is_empty() && expiries.iter().all(|expiry| expiry.not_after.is_none())
    }

    /// When an authority issued one, and when it failed to; 0: never.
    pub(super) fn attempts(&self) -> (UnixSeconds, UnixSeconds) {
        (self.issued_at.load(Relaxed), self.failed_at.load(Relaxed))
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Expiry>> {
        self.expiries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
