//! Names of members that change the prototype of all objects: `__proto__`, `constructor` that holds a `prototype`; and `a[__proto__]`, of which several
//! readers of forms make the same.

use memchr::memmem;

use super::characters::Wanted;
use super::walk::cleaned_name;
use crate::payload::{Key, Member};

/// Whether a JSON text may have such a name, as it is written. A no is certain.
pub(super) fn may_be_in(text: &[u8]) -> bool {
    let is_there = |part: &[u8]| memmem::find(text, part).is_some();
    is_there(b"__proto__") || is_there(b"constructor") || is_escaped(text)
}

/// Whether a letter, a bracket or an underscore is spelled as an escape somewhere.
fn is_escaped(text: &[u8]) -> bool {
    let mut escapes = memmem::find_iter(text, b"\\u00");
    escapes.any(|start| matches!(text.get(start + 4), Some(b'5'..=b'7')))
}

/// `renamed` is the member's name without the characters that are dropped, if it had any; `characters` is what is done with those of the names in its value.
pub(super) fn changes_prototype(member: Member<'_>, renamed: Option<&str>, characters: Wanted) -> bool {
    match named(member.key, renamed) {
        Named::Harmless => false,
        Named::Prototype => true,
        Named::Constructor => member.value.members().any(|inner| {
            let cleaned = cleaned_name(characters, inner.key);
            let cleaned = cleaned.as_ref().map(|(name, _)| name.as_str());
            with_name(inner.key, cleaned, |name| parts(name).next() == Some(b"prototype"))
        }),
    }
}

/// What a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Harmless,
    Prototype,
    /// It depends on what it holds.
    Constructor,
}

fn named(key: Key<'_>, renamed: Option<&str>) -> Named {
    with_name(key, renamed, |name| {
        let mut before: &[u8] = b"";
        for part in parts(name) {
            if part == b"__proto__" || before == b"constructor" && part == b"prototype" {
                return Named::Prototype;
            }
            before = part;
        }
        if before == b"constructor" { Named::Constructor } else { Named::Harmless }
    })
}

fn with_name<T>(key: Key<'_>, renamed: Option<&str>, look: impl FnOnce(&[u8]) -> T) -> T {
    match renamed {
        Some(renamed) => look(renamed.as_bytes()),
        None if key.is_escaped() => look(key.name().as_bytes()),
        None => look(key.raw_name()),
    }
}

/// The steps that a name with brackets stands for: `a[b][c]`.
fn parts(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    name.split(|byte| matches!(byte, b'[' | b']')).filter(|part| !part.is_empty())
}
