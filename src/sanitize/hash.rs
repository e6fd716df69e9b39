//! `hash`: a keyed pseudonym in the place of a value.
//!
//! It is `hmac-sha256:` and, in hexadecimal, the HMAC-SHA-256 of the value's text, which whoever has the key can calculate; a full stop; and half of another
//! HMAC over the first, the mark. The mark makes cleaning twice the same as cleaning once: a text that is such a pseudonym under this key stays.
//! Nobody without the key can write a mark, so nothing passes unhashed, however well a sender knows the form. What a sender can do is to send a pseudonym that
//! it was shown: it stays the pseudonym that it is. No rule could tell that from a second cleaning.
//!
//! **Invariant:** no text of a sender's is ever what a mark is made of: marks are made of bytes that are not UTF-8.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::secret::Secret;

/// Makes pseudonyms under one key.
#[derive(Clone)]
pub struct Pseudonyms(Option<Hmac<Sha256>>);

const PREFIX: &str = "hmac-sha256:";
const TAG_BYTES: usize = 32;
const MARK_BYTES: usize = 16;
/// What a mark is made of begins so; no UTF-8 holds this byte.
const MARKED: u8 = 0xFF;

impl Pseudonyms {
    /// With a key. Without one (it was not looked for) there are no pseudonyms, and a delivery that needs one is refused.
    #[must_use]
    pub fn new(key: Option<&Secret>) -> Self {
        Self(key.and_then(|key| Hmac::new_from_slice(key.expose()).ok()))
    }

    /// The pseudonym of a text; one that is a pseudonym of this key is its own.
    pub(super) fn of(&self, text: &str) -> Option<String> {
        let keyed = self.0.as_ref()?;
        if is_own(keyed, text) {
            return Some(text.to_owned());
        }
        let mut mac = keyed.clone();
        mac.update(text.as_bytes());
        let tag = mac.finalize().into_bytes();
        let mark = marked(keyed, &tag).finalize().into_bytes();
        Some(format!("{PREFIX}{}.{}", hex::encode(tag), hex::encode(&mark[..MARK_BYTES])))
    }

    /// Whether both have the same key.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let probe = |keyed: &Hmac<Sha256>| marked(keyed, b"").finalize().into_bytes();
        match (&self.0, &other.0) {
            (Some(one), Some(two)) => marked(one, b"").verify(&probe(two)).is_ok(),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

/// Whether a text is a pseudonym of this key already. The mark is compared in constant time.
fn is_own(keyed: &Hmac<Sha256>, text: &str) -> bool {
    let Some((tag, mark)) = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('.')) else { return false };
    let is_lower = |text: &str| !text.bytes().any(|byte| byte.is_ascii_uppercase());
    let (mut tag_bytes, mut mark_bytes) = ([0; TAG_BYTES], [0; MARK_BYTES]);
    let is_hex = hex::decode_to_slice(tag, &mut tag_bytes).and_then(|()| hex::decode_to_slice(mark, &mut mark_bytes));
    is_hex.is_ok() && is_lower(text) && marked(keyed, &tag_bytes).verify_truncated_left(&mark_bytes).is_ok()
}

fn marked(keyed: &Hmac<Sha256>, tag: &[u8]) -> Hmac<Sha256> {
    let mut mac = keyed.clone();
    mac.update(&[MARKED]);
    mac.update(tag);
    mac
}

impl fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonyms(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pseudonyms(key: &str) -> Pseudonyms {
        Pseudonyms::new(Some(&Secret::new(key.as_bytes().to_vec())))
    }

    #[test]
    fn a_pseudonym_is_the_hmac_that_everybody_with_the_key_calculates() {
        // RFC 4231 §4.3 (test case 2).
        let pseudonym = pseudonyms("Jefe").of("what do ya want for nothing?").expect("there is a key");
        let expected = "hmac-sha256:5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843.";
        assert!(pseudonym.starts_with(expected), "{pseudonym}");
        assert_eq!(pseudonym.len(), expected.len() + 2 * MARK_BYTES);
    }

    #[test]
    fn a_pseudonym_stays_and_whatever_only_looks_like_one_is_hashed() {
        let own = pseudonyms("key");
        let pseudonym = own.of("alice").expect("there is a key");
        assert_eq!(own.of(&pseudonym).as_ref(), Some(&pseudonym));
        let other = pseudonyms("another key");
        assert!(own.is_like(&pseudonyms("key")) && !own.is_like(&other));
        let mut forged: Vec<String> = vec![
            other.of("alice").expect("there is a key"),
            format!("{pseudonym} "),
            format!(" {pseudonym}"),
            pseudonym.to_uppercase(),
            pseudonym.replacen("hmac-sha256", "HMAC-sha256", 1),
            pseudonym[..pseudonym.len() - 2].to_owned(),
            format!("{PREFIX}{}.{}", "00".repeat(TAG_BYTES), "00".repeat(MARK_BYTES)),
            PREFIX.to_owned(),
        ];
        // Each digit, changed alone.
        forged.extend((PREFIX.len()..pseudonym.len()).map(|at| {
            let digit = if pseudonym.as_bytes()[at] == b'1' { "2" } else { "1" };
            format!("{}{digit}{}", &pseudonym[..at], &pseudonym[at + 1..])
        }));
        for text in forged {
            let hashed = own.of(&text).expect("there is a key");
            assert_ne!(hashed, text);
            assert_eq!(own.of(&hashed), Some(hashed.clone()));
        }
    }

    /// Were marks made as tags are, a sender could have the mark of its own choice made for it, and send that.
    #[test]
    fn a_mark_cannot_be_had_by_sending_what_it_is_made_of() {
        let own = pseudonyms("key");
        let chosen = [b'x'; TAG_BYTES];
        for text in [format!("\u{ff}{}", "x".repeat(TAG_BYTES)), "x".repeat(TAG_BYTES)] {
            let made = own.of(&text).expect("there is a key");
            let mark = &made[PREFIX.len()..PREFIX.len() + 2 * MARK_BYTES];
            let forged = format!("{PREFIX}{}.{mark}", hex::encode(chosen));
            assert_ne!(own.of(&forged), Some(forged.clone()));
        }
    }

    #[test]
    fn without_a_key_there_is_no_pseudonym() {
        assert_eq!(Pseudonyms::new(None).of("alice"), None);
        assert_eq!(format!("{:?}", pseudonyms("key")), "Pseudonyms(***)");
    }
}
