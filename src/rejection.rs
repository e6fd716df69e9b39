//! What is known of one refused delivery: its [`Reason`] and the facts an operator needs; and what would have refused it, had it not only been monitored.
//!
//! **Invariant:** facts are chosen by the stage that refused and never hold a payload value, a secret, a raw header
//! value or a signature; text that a sender chose (a path, a media type) is cut and escaped when it is written.

use std::borrow::Cow;
use std::ops::Deref;
use std::time::Duration;

use http::StatusCode;
use serde::Serialize;

use crate::reason::Reason;

/// A refused delivery: why, with the facts of this one delivery.
#[derive(Debug)]
pub struct Rejection {
    reason: Reason,
    status: Option<StatusCode>,
    retry_after: Option<Duration>,
    detail: Vec<(&'static str, Fact)>,
    hint: Option<Cow<'static, str>>,
}

/// One fact about a refused delivery, as it stands in the record's `detail`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Fact {
    /// Text of ours, or a name the operator wrote.
    Text(Cow<'static, str>),
    /// A count, an offset, a number of seconds.
    Number(i64),
    /// Several texts.
    List(Vec<Cow<'static, str>>),
    /// Several findings of the same kind, such as the places where a payload misses its schema.
    Rows(Vec<Vec<(&'static str, Fact)>>),
}

/// What stages in monitor mode found of one delivery and let pass, in the order in which they did: at most one finding a check.
///
/// Whoever makes the delivery's record owns it and lends it to each step: what was found before a refusal is recorded with it. Where nothing is found
/// nothing is allocated.
#[derive(Debug, Default)]
pub struct Findings(Vec<Rejection>);

impl Findings {
    /// Adds a finding.
    pub fn add(&mut self, finding: Rejection) {
        self.0.push(finding);
    }

    /// All of them.
    #[must_use]
    pub fn into_vec(self) -> Vec<Rejection> {
        self.0
    }
}

impl Deref for Findings {
    type Target = [Rejection];

    fn deref(&self) -> &[Rejection] {
        &self.0
    }
}

impl Rejection {
    /// A rejection without facts; the table's own hint stands.
    #[must_use]
    pub const fn new(reason: Reason) -> Self {
        Self { reason, status: None, retry_after: None, detail: Vec::new(), hint: None }
    }

    /// Adds one fact for the operator.
    #[must_use]
    pub fn fact(mut self, name: &'static str, fact: impl Into<Fact>) -> Self {
        self.detail.push((name, fact.into()));
        self
    }

    /// Replaces the table's hint by a sentence that knows this delivery.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// When the sender may try again; rounded up to whole seconds in `Retry-After`.
    #[must_use]
    pub const fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Tells the sender this status instead of the table's: a duplicate that the policy acknowledges gets 200.
    #[must_use]
    pub const fn told(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// The status the sender is told; `None` where there is no HTTP answer.
    #[must_use]
    pub const fn status(&self) -> Option<StatusCode> {
        match self.status {
            Some(status) => Some(status),
            None => self.reason.row().status,
        }
    }

    /// Why.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// The facts, in the order they were found.
    #[must_use]
    pub fn detail(&self) -> &[(&'static str, Fact)] {
        &self.detail
    }

    /// The text of this fact.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.detail.iter().find_map(|(found, fact)| match fact {
            Fact::Text(text) if *found == name => Some(&**text),
            Fact::Text(_) | Fact::Number(_) | Fact::List(_) | Fact::Rows(_) => None,
        })
    }

    /// The next step for an operator.
    #[must_use]
    pub fn next_step(&self) -> &str {
        self.hint.as_deref().unwrap_or(self.reason.row().hint)
    }

    /// When the sender may try again, in whole seconds of at least one.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after
            .map(|after| after.as_secs() + u64::from(after.subsec_nanos() > 0))
            .map(|seconds| seconds.max(1))
    }
}

impl From<Reason> for Rejection {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

impl From<&'static str> for Fact {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Fact {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<i64> for Fact {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<usize> for Fact {
    fn from(number: usize) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u64> for Fact {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<Vec<String>> for Fact {
    fn from(texts: Vec<String>) -> Self {
        Self::List(texts.into_iter().map(Cow::Owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_rounds_up_to_whole_seconds() {
        let rows = [(0, 1), (1, 1), (999, 1), (1000, 1), (1001, 2), (60_000, 60)];
        for (milliseconds, seconds) in rows {
            let rejection = Rejection::new(Reason::Overloaded).retry_after(Duration::from_millis(milliseconds));
            assert_eq!(rejection.retry_after_seconds(), Some(seconds), "{milliseconds} ms");
        }
        assert_eq!(Rejection::new(Reason::Overloaded).retry_after_seconds(), None);
    }
}
