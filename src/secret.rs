//! Secrets: bytes that nothing may print.

use std::fmt;

use zeroize::Zeroizing;

/// A secret's bytes. `Debug` prints `***`; there is no `Display` and no `Serialize`, and the memory is cleared on drop.
///
/// **Invariant:** bytes leave only through [`Secret::expose`], whose callers make keys of them and compare in constant time.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// Shorter secrets are worth a warning: 128 bits is the least that resists guessing offline.
pub const SECRET_BYTES_MIN: usize = 16;

impl Secret {
    /// Wraps bytes as they were read.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The secret in a file's bytes: one trailing line end is dropped.
    #[must_use]
    pub fn from_file_bytes(mut bytes: Vec<u8>) -> Self {
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        Self::new(bytes)
    }

    /// The bytes themselves, to make a key of.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_trailing_line_end_of_a_secret_file_is_dropped() {
        let rows: [(&[u8], &[u8]); 6] = [
            (b"abc", b"abc"),
            (b"abc\n", b"abc"),
            (b"abc\r\n", b"abc"),
            (b"abc\n\n", b"abc\n"),
            (b"abc \n", b"abc "),
            (b"\n", b""),
        ];
        for (file, secret) in rows {
            assert_eq!(Secret::from_file_bytes(file.to_vec()).expose(), secret, "{file:?}");
        }
    }

    #[test]
    fn debug_prints_nothing_of_it() {
        assert_eq!(format!("{:?}", Secret::new(b"hunter2".to_vec())), "***");
    }
}
