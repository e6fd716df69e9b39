//! `refuse_if`: patterns that no text may fit.

use crate::payload::table::Table;

/// A regular expression that is looked for anywhere in a text, in one step a byte.
#[derive(Debug, Clone)]
pub struct Unwanted(Table);

/// The most memory that a pattern's table may take, in bytes.
const TABLE_BYTES_MAX: usize = 1 << 20;

impl Unwanted {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// What is wrong with it: look-around and back-references, which no linear engine has, among the rest.
    pub fn parse(text: &str) -> Result<Self, String> {
        Table::parse(text, TABLE_BYTES_MAX).map(Self)
    }

    pub(super) fn fits(&self, text: &str) -> bool {
        self.0.finds(text)
    }
}
