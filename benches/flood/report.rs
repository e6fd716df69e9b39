//! What was found, and which bounds it misses.

/// The bounds that were missed.
#[derive(Debug, Default)]
pub struct Report {
    missed: Vec<String>,
}

impl Report {
    /// Notes a bound that does not hold.
    pub fn demand(&mut self, holds: bool, bound: impl Into<String>) {
        if !holds {
            self.missed.push(bound.into());
        }
    }

    /// The bounds that do not hold.
    pub fn missed(&self) -> &[String] {
        &self.missed
    }
}

/// The head of a table.
pub fn head(columns: &[&str]) {
    let rule: Vec<_> = columns.iter().enumerate().map(|(number, _)| if number == 0 { "---" } else { "---:" }).collect();
    println!("\n| {} |\n|{}|", columns.join(" | "), rule.join("|"));
}

/// A row of it.
pub fn row(cells: &[String]) {
    println!("| {} |", cells.join(" | "));
}
