//! What can be wrong with a JSON text, and how it is told to the operator.

use super::document::JsonLimits;
use crate::reason::Reason;
use crate::rejection::Rejection;

/// What is wrong with a text, and at which byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    kind: FaultKind,
    offset: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FaultKind {
    Malformed,
    NotUtf8,
    DuplicateKey,
    Depth,
    Nodes,
    Members,
}

impl Fault {
    /// The byte at `offset` breaks RFC 8259's grammar, or one is missing there.
    #[cold]
    pub(super) const fn malformed(offset: usize) -> Self {
        Self { kind: FaultKind::Malformed, offset }
    }

    /// The text at `offset` is not UTF-8, or would not be once its escapes are decoded.
    #[cold]
    pub(super) const fn not_utf8(offset: usize) -> Self {
        Self { kind: FaultKind::NotUtf8, offset }
    }

    /// The name at `offset` stands in its object already.
    #[cold]
    pub(super) const fn duplicate_key(offset: usize) -> Self {
        Self { kind: FaultKind::DuplicateKey, offset }
    }

    /// The container at `offset` stands in too many others.
    #[cold]
    pub(super) const fn depth(offset: usize) -> Self {
        Self { kind: FaultKind::Depth, offset }
    }

    /// The value at `offset` is one too many.
    #[cold]
    pub(super) const fn nodes(offset: usize) -> Self {
        Self { kind: FaultKind::Nodes, offset }
    }

    /// The member at `offset` is one too many for its object.
    #[cold]
    pub(super) const fn members(offset: usize) -> Self {
        Self { kind: FaultKind::Members, offset }
    }

    /// The fault with the facts `offset` and, where a limit was passed, `limit` and `maximum`.
    #[cold]
    pub(super) fn rejection(self, limits: JsonLimits) -> Rejection {
        let (reason, limit) = match self.kind {
            FaultKind::Malformed => (Reason::JsonMalformed, None),
            FaultKind::NotUtf8 => (Reason::JsonNotUtf8, None),
            FaultKind::DuplicateKey => (Reason::JsonDuplicateKey, None),
            FaultKind::Depth => (Reason::JsonTooDeep, Some(("json_depth_max", limits.depth_max))),
            FaultKind::Nodes => (Reason::JsonTooLarge, Some(("json_nodes_max", limits.nodes_max))),
            FaultKind::Members => (Reason::JsonTooLarge, Some(("json_members_max", limits.members_max))),
        };
        let rejection = Rejection::new(reason).fact("offset", self.offset);
        match limit {
            None => rejection,
            Some((name, maximum)) => rejection.fact("limit", name).fact("maximum", u64::from(maximum)),
        }
    }
}
