//! Where a walk is, for people.

use crate::payload::Key;

/// The way from the root to a value, written out only when somebody has to read it.
pub(super) enum Path<'p> {
    Root,
    Index(&'p Path<'p>, usize),
    /// A member, by its name if that may be shown.
    Name(&'p Path<'p>, Option<Key<'p>>),
}

impl Path<'_> {
    pub(super) fn pointer(&self) -> String {
        let (mut pointer, segment) = match self {
            Self::Root => return String::new(),
            Self::Index(outer, index) => (outer.pointer(), index.to_string()),
            Self::Name(outer, None) => (outer.pointer(), "*".to_owned()),
            Self::Name(outer, Some(key)) => (outer.pointer(), key.name().replace('~', "~0").replace('/', "~1")),
        };
        pointer.push('/');
        pointer.push_str(&segment);
        pointer
    }
}
