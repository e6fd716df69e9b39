//! How requests ended, and after how long.

use std::collections::BTreeMap;
use std::time::Duration;

/// What a phase's requests came to.
#[derive(Debug, Default)]
pub struct Tally {
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Refusals with `Retry-After`.
    pub retry_after: u64,
    /// Sent, and not answered.
    pub failed: u64,
    /// Due, and not sent before the end.
    pub unsent: u64,
    /// Of those that were answered with 2xx: microseconds since they were due.
    micros: Vec<u32>,
}

/// One answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub retry_after: bool,
    pub close: bool,
}

impl Tally {
    /// Counts an answer that came so long after its request was due.
    pub fn answered(&mut self, answer: Answer, after: Duration) {
        *self.statuses.entry(answer.status).or_default() += 1;
        self.retry_after += u64::from(answer.retry_after);
        if answer.status / 100 == 2 {
            self.micros.push(u32::try_from(after.as_micros()).unwrap_or(u32::MAX));
        }
    }

    /// Takes over what another one has counted.
    pub fn add(&mut self, other: Self) {
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.retry_after += other.retry_after;
        self.failed += other.failed;
        self.unsent += other.unsent;
        self.micros.extend(other.micros);
    }

    /// All that were answered.
    pub fn answers(&self) -> u64 {
        self.statuses.values().sum()
    }

    /// Those that were answered with 2xx.
    pub fn good(&self) -> u64 {
        self.micros.len() as u64
    }

    /// All that were due.
    pub fn due(&self) -> u64 {
        self.answers() + self.failed + self.unsent
    }

    /// The latency that so many of a thousand good requests keep within, in milliseconds.
    pub fn per_mille(&mut self, within: usize) -> f64 {
        self.micros.sort_unstable();
        let last = self.micros.len().saturating_sub(1);
        self.micros
            .get((self.micros.len() * within / 1000).min(last))
            .map_or(f64::NAN, |micros| f64::from(*micros) / 1000.0)
    }

    /// Success as a cell: 2xx of all that were due.
    pub fn success(&self) -> String {
        if self.good() == self.due() && self.due() > 0 {
            return "100 %".to_owned();
        }
        format!("{:.2} % ({} of {})", 100.0 * per(self.good(), per(self.due(), 1.0)), self.good(), self.due())
    }

    /// Refusals by status, as a cell.
    pub fn refusals(&self) -> String {
        let refused: Vec<_> = self
            .statuses
            .iter()
            .filter(|(status, _)| *status / 100 != 2)
            .map(|(status, count)| format!("{status}: {count}"))
            .collect();
        if refused.is_empty() { "–".to_owned() } else { refused.join(", ") }
    }
}

/// A rate, or a share.
#[expect(clippy::cast_precision_loss, reason = "counts of some minutes")]
pub fn per(count: u64, of: f64) -> f64 {
    count as f64 / of
}
