//! A credential that is a list: `t=1782907200,v1=…,v1=…`, `v1,… v1,…`, or values by position.

use crate::header::Duplicated;

/// How a list is laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Between whole lists, such as a space: each has its own timestamp and signatures (Persona). Absent: there is one list.
    pub group: Option<char>,
    /// Between items, such as `,` or a space.
    pub separator: char,
    /// Which items are signatures.
    pub signatures: Signatures,
}

/// Which items of a list are signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signatures {
    /// Those of this name; items of other names are skipped.
    Named {
        /// Between an item's name and its value, such as `=`.
        pair: char,
        /// The name.
        item: Box<str>,
    },
    /// Those from this position on; the items have no names.
    From(usize),
}

/// One list of a credential's text.
#[derive(Debug, Clone, Copy)]
pub struct List<'v> {
    text: &'v str,
    layout: &'v Layout,
}

impl Layout {
    /// The texts of the lists in a text: one where the layout knows no groups.
    pub(super) fn texts<'v>(&self, text: &'v str) -> impl Iterator<Item = &'v str> {
        let whole = self.group.is_none().then_some(text);
        let grouped = self.group.map(|group| text.split(group).filter(|text| !text.is_empty()));
        whole.into_iter().chain(grouped.into_iter().flatten())
    }

    /// The list that a text of this layout is.
    pub(super) const fn list<'v>(&'v self, text: &'v str) -> List<'v> {
        List { text, layout: self }
    }
}

impl<'v> List<'v> {
    /// What stands where signatures do, in order.
    pub fn signatures(self) -> impl Iterator<Item = &'v str> {
        self.items().enumerate().filter_map(move |(position, item)| match &self.layout.signatures {
            Signatures::Named { pair, item: wanted } => {
                item.split_once(*pair).filter(|(name, _)| *name == &**wanted).map(|(_, value)| value)
            }
            Signatures::From(first) => (position >= *first).then_some(item),
        })
    }

    /// The only item of this name.
    pub(super) fn single(self, name: &str) -> Result<Option<&'v str>, Duplicated> {
        let Signatures::Named { pair, .. } = &self.layout.signatures else { return Ok(None) };
        let mut values = self.items().filter_map(|item| item.split_once(*pair)).filter(|(found, _)| *found == name);
        let first = values.next().map(|(_, value)| value);
        if values.next().is_some() { Err(Duplicated) } else { Ok(first) }
    }

    /// The item at this position.
    pub(super) fn at(self, position: usize) -> Option<&'v str> {
        self.items().nth(position)
    }

    fn items(self) -> impl Iterator<Item = &'v str> {
        self.text.split(self.layout.separator).map(|item| item.trim_matches(' '))
    }
}

impl Layout {
    /// Replaces an item's name that is a parameter (`{parameter:public_key_id}`).
    ///
    /// # Errors
    /// The name of a parameter that has no value.
    pub(super) fn resolve<'p>(&mut self, parameter: &dyn Fn(&str) -> Option<&'p str>) -> Result<(), Box<str>> {
        let Signatures::Named { item, .. } = &mut self.signatures else { return Ok(()) };
        if let Some(name) = item.strip_prefix("{parameter:").and_then(|rest| rest.strip_suffix('}')) {
            *item = parameter(name).ok_or_else(|| Box::from(name))?.into();
        }
        Ok(())
    }
}

/// The layout in words.
impl std::fmt::Display for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let named = |separator: char| if separator == ' ' { "spaces".to_owned() } else { format!("`{separator}`") };
        if let Some(group) = self.group {
            write!(f, "lists separated by {}, each ", named(group))?;
        } else {
            f.write_str("a list ")?;
        }
        write!(f, "separated by {} with ", named(self.separator))?;
        match &self.signatures {
            Signatures::Named { pair, item } => write!(f, "`{item}{pair}`"),
            Signatures::From(position) => write!(f, "signatures from item {} on", position + 1),
        }
    }
}
