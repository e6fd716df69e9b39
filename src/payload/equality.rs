//! Which values of a document JSON Schema takes for the same, wherever they stand and however they are spelled.
//!
//! `uniqueItems` asks this of all elements of an array. They are compared by hash, so that the time is linear in the text of
//! the array, and with a seed that a sender cannot know.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::quality::RandomState;

use super::node::Node;
use super::number::Decimal;
use super::tape::Kind;

/// Whether no two of these values are the same.
pub(super) fn all_differ<'d>(mut nodes: impl ExactSizeIterator<Item = Node<'d>>) -> bool {
    let state = RandomState::default();
    let mut seen = HashSet::with_capacity_and_hasher(nodes.len(), state.clone());
    nodes.all(|node| seen.insert(Same { node, hash: hash(node, &state) }))
}

/// A value that is equal to those which JSON Schema takes for the same.
struct Same<'a> {
    node: Node<'a>,
    hash: u64,
}

impl Hash for Same<'_> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.hash.hash(hasher);
    }
}

impl PartialEq for Same<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && same(self.node, other.node)
    }
}

impl Eq for Same<'_> {}

/// Equal for values that are [`same`]; as deep as the document, whose depth is bounded.
fn hash(node: Node<'_>, state: &RandomState) -> u64 {
    let mut hasher = state.build_hasher();
    node.kind().hash(&mut hasher);
    match node.kind() {
        Kind::Null => {}
        Kind::Bool => node.as_bool().hash(&mut hasher),
        Kind::Number => node.number().map(Decimal::parse).hash(&mut hasher),
        Kind::String => node.as_str().hash(&mut hasher),
        Kind::Array => node.elements().for_each(|element| hasher.write_u64(hash(element, state))),
        // Members have no order, so neither may what is made of them.
        Kind::Object => hasher.write_u64(node.members().fold(0, |sum: u64, member| {
            sum.wrapping_add(state.hash_one((member.key.name(), hash(member.value, state))))
        })),
    }
    hasher.finish()
}

fn same(one: Node<'_>, other: Node<'_>) -> bool {
    if one.kind() != other.kind() || one.len() != other.len() {
        return false;
    }
    match one.kind() {
        Kind::Null => true,
        Kind::Bool => one.as_bool() == other.as_bool(),
        Kind::Number => one.number().map(Decimal::parse) == other.number().map(Decimal::parse),
        Kind::String => one.as_str() == other.as_str(),
        Kind::Array => one.elements().zip(other.elements()).all(|(one, other)| same(one, other)),
        Kind::Object => {
            one.members().all(|member| other.get(&member.key.name()).is_some_and(|other| same(member.value, other)))
        }
    }
}
