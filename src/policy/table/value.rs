//! What reading hands out: values with their places, and whole numbers with their bounds.

use std::ops::Range;
use std::time::Duration;

/// A value and the bytes of its file that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Range<usize>,
}

impl<T> Spanned<T> {
    /// The value turned into another one at the same place.
    pub fn map<U>(self, turn: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: turn(self.value), span: self.span }
    }
}

/// A value that has a default: where it stands in the file, unless it is the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value, written or default.
    pub value: T,
    /// Where it was written; absent: it is the default.
    pub span: Option<Range<usize>>,
}

impl<T> From<Spanned<T>> for Setting<T> {
    fn from(written: Spanned<T>) -> Self {
        Self { value: written.value, span: Some(written.span) }
    }
}

impl Setting<u64> {
    /// What holds where nothing is written.
    #[must_use]
    pub const fn of_default(bound: &Bound) -> Self {
        Self { value: bound.default, span: None }
    }

    /// The value as a small count.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::try_from(self.value).unwrap_or(u32::MAX)
    }

    /// The value as a count or a number of bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        usize::try_from(self.value).unwrap_or(usize::MAX)
    }

    /// The value as a number of seconds.
    #[must_use]
    pub const fn seconds(&self) -> Duration {
        Duration::from_secs(self.value)
    }

    /// The value as a number of milliseconds.
    #[must_use]
    pub const fn milliseconds(&self) -> Duration {
        Duration::from_millis(self.value)
    }
}

/// A whole number that a policy may set: its key, its default, and the least and the most it may be.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    /// The key in its table.
    pub key: &'static str,
    /// The value when the key is absent.
    pub default: u64,
    /// The least value.
    pub min: u64,
    /// The greatest value; there is no way to say "unlimited".
    pub max: u64,
}

impl Bound {
    /// A row of a table of limits.
    #[must_use]
    pub const fn new(key: &'static str, default: u64, min: u64, max: u64) -> Self {
        Self { key, default, min, max }
    }
}
