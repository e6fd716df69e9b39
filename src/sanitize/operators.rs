//! Names of members that a document database takes for operators: `$where`, `$gt`; and `age[$gt]`, of which several readers of forms make the same.

use memchr::memmem;

use crate::payload::Key;

/// Whether a JSON text may have such a name, as it is written: a string that begins like one, or a bracket before one. A no is certain.
pub(super) fn may_be_in(text: &[u8]) -> bool {
    let begins = |opening: &[u8]| {
        memmem::find_iter(text, opening).any(|start| {
            text.get(start + opening.len()).is_some_and(|&next| next.is_ascii_alphabetic() || next == b'\\')
        })
    };
    begins(b"\"$") || begins(b"[$") || begins(b"\\u0024") || memmem::find(text, b"\\u005").is_some()
}

/// `renamed` is the name without the characters that are dropped, if it had any.
pub(super) fn is_operator(key: Key<'_>, renamed: Option<&str>) -> bool {
    match renamed {
        Some(renamed) => is_operator_name(renamed.as_bytes()),
        None if key.is_escaped() => is_operator_name(key.name().as_bytes()),
        None => is_operator_name(key.raw_name()),
    }
}

fn is_operator_name(name: &[u8]) -> bool {
    name.split(|&byte| byte == b'[').any(|part| matches!(part, [b'$', letter, ..] if letter.is_ascii_alphabetic()))
}
