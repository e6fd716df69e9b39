//! How far an HTTP/1 connection has got, as its guard sees it: told there, and asked where requests are answered.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::guard::messages::Messages;

/// How far the bytes of an HTTP/1 connection have got. Requests are numbered from 0.
#[derive(Debug, Default)]
pub struct Progress {
    /// Heads that the guard let through.
    passed: AtomicU32,
    /// Bodies that came to their end.
    complete: AtomicU32,
    /// Whether the beginning of a head is there.
    begun: AtomicBool,
    /// Requests that came before the answer to the one before them.
    pipelined: AtomicU32,
    /// Whether an answer said that the connection closes behind it.
    closing: AtomicBool,
}

impl Progress {
    /// Notes where the bytes that came so far stand.
    pub fn follow(&self, messages: &Messages) {
        self.passed.store(messages.passed(), Ordering::Relaxed);
        self.complete.store(messages.complete(), Ordering::Relaxed);
        self.begun.store(messages.has_begun(), Ordering::Relaxed);
    }

    /// Whether the beginning of a head is there.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Whether the guard let the head of the request with this number through.
    #[must_use]
    pub fn has_passed(&self, number: u32) -> bool {
        number < self.passed.load(Ordering::Relaxed)
    }

    /// Whether the body of the request with this number came to its end.
    #[must_use]
    pub fn is_complete(&self, number: u32) -> bool {
        number < self.complete.load(Ordering::Relaxed)
    }

    /// Notes that the request with this number is being answered, and counts the next one if it is there already. Answers how many came so early.
    pub fn count_pipelined(&self, number: u32) -> u32 {
        let early = u32::from(self.has_passed(number.saturating_add(1)));
        self.pipelined.fetch_add(early, Ordering::Relaxed) + early
    }

    /// Notes that this answer is the last, whatever else the client sends.
    pub fn mark_closing(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Whether the client may be sending what nobody is going to read: the rest of a body, or what follows the last answer.
    #[must_use]
    pub fn may_be_sending(&self) -> bool {
        let incomplete = self.passed.load(Ordering::Relaxed) != self.complete.load(Ordering::Relaxed);
        incomplete || self.closing.load(Ordering::Relaxed)
    }
}
