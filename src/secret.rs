//! Secrets: bytes that nothing may print.

use std::fmt;
use std::io::{self, Read};

use zeroize::{Zeroize as _, Zeroizing};

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

    /// Takes the bytes over and clears the place where they stood.
    #[must_use]
    pub fn take(bytes: &mut [u8]) -> Self {
        let secret = Self::new(bytes.to_vec());
        bytes.zeroize();
        secret
    }

    /// Reads a secret file to its end; one trailing line end is dropped. `None`: it is longer than `bytes_max`.
    ///
    /// The buffer never grows, since growing leaves copies behind.
    ///
    /// # Errors
    /// What the system says.
    pub fn read(file: impl Read, bytes_max: u32) -> io::Result<Option<Self>> {
        let mut buffer = Zeroizing::new(Vec::with_capacity(bytes_max as usize + 1));
        file.take(u64::from(bytes_max) + 1).read_to_end(&mut buffer)?;
        if buffer.len() > bytes_max as usize {
            return Ok(None);
        }
        Ok(Some(Self::from_file_bytes(buffer.to_vec())))
    }

    /// The secret that a decoder makes of another text: it writes into a buffer of at most `bytes_max`, and says how many bytes it wrote.
    /// `None` if the decoder fails; what it wrote until then is cleared.
    pub fn decoded(bytes_max: usize, decode: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<Self> {
        let mut buffer = Zeroizing::new(vec![0; bytes_max]);
        let length = decode(&mut buffer)?;
        buffer.get(..length).map(|bytes| Self::new(bytes.to_vec()))
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
    fn a_file_is_read_up_to_its_bound() {
        let read = |bytes: &[u8]| Secret::read(bytes, 8).unwrap().map(|secret| secret.expose().to_vec());
        assert_eq!(read(b"12345678"), Some(b"12345678".to_vec()));
        assert_eq!(read(b"1234567\n"), Some(b"1234567".to_vec()));
        assert_eq!(read(b"123456789"), None);
        assert_eq!(read(b""), Some(Vec::new()));
    }

    #[test]
    fn a_decoder_fills_as_much_as_it_says() {
        let decoded = |length: Option<usize>| {
            let secret = Secret::decoded(4, |buffer| {
                buffer.copy_from_slice(b"abcd");
                length
            });
            secret.map(|secret| secret.expose().to_vec())
        };
        assert_eq!(decoded(Some(3)), Some(b"abc".to_vec()));
        assert_eq!(decoded(Some(5)), None);
        assert_eq!(decoded(None), None);
    }

    #[test]
    fn what_is_taken_over_is_cleared_where_it_stood() {
        let mut bytes = *b"hunter2";
        assert_eq!(Secret::take(&mut bytes).expose(), b"hunter2");
        assert_eq!(bytes, [0; 7]);
    }

    #[test]
    fn debug_prints_nothing_of_it() {
        assert_eq!(format!("{:?}", Secret::new(b"hunter2".to_vec())), "***");
    }
}
