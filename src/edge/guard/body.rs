//! Where a chunked body ends (RFC 9112 §7.1), byte for byte: hexadecimal sizes, CRLF and nothing else as a line's end, short extensions.
//!
//! Its data is skipped, not looked at; extensions and trailers are walked over, and neither is given to anybody.

use super::{Fault, is_control, is_token};

/// Bytes of all chunk extensions of a body: nobody uses them, and each is work (Go's CVE-2023-39326).
const EXTENSION_BYTES_MAX: u16 = 1024;

/// Bytes of a trailer section. It is dropped.
const TRAILER_BYTES_MAX: u16 = 4 * 1024;

/// Digits of a chunk's size.
const DIGITS_MAX: u8 = 16;

/// A place within a chunked body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunks {
    place: Place,
    /// What is left of the chunk, or its size as far as it was read.
    size: u64,
    digits: u8,
    extension_bytes: u16,
    trailer_bytes: u16,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Size,
    Extension,
    SizeEnd,
    Data,
    DataReturn,
    DataEnd,
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerEnd,
    End,
}

impl Chunks {
    /// The beginning of a body.
    #[must_use]
    pub const fn new() -> Self {
        Self { place: Place::Size, size: 0, digits: 0, extension_bytes: 0, trailer_bytes: 0 }
    }

    /// Follows bytes that came: how many of them belong to the body, if it ends among them.
    ///
    /// # Errors
    /// `framing_refused`.
    pub fn follow(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        let mut at = 0;
        while at < bytes.len() {
            if self.place == Place::Data {
                let left = usize::try_from(self.size).unwrap_or(usize::MAX).min(bytes.len() - at);
                self.size -= left as u64;
                at += left;
                if self.size == 0 {
                    self.place = Place::DataReturn;
                }
                continue;
            }
            at += 1;
            if self.step(bytes[at - 1])? {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Takes one byte that is not data. Whether the body is over.
    fn step(&mut self, byte: u8) -> Result<bool, Fault> {
        self.place = match (self.place, byte) {
            (Place::Size, _) => self.size(byte)?,
            (Place::Extension, b'\r') => Place::SizeEnd,
            (Place::Extension, _) => self.extension(byte)?,
            (Place::SizeEnd, b'\n') if self.size == 0 => Place::Trailer,
            (Place::SizeEnd, b'\n') => Place::Data,
            (Place::DataReturn, b'\r') => Place::DataEnd,
            (Place::DataEnd, b'\n') => {
                (self.size, self.digits) = (0, 0);
                Place::Size
            }
            (Place::Trailer, b'\r') => Place::End,
            (Place::Trailer | Place::TrailerName, _) if is_token(byte) => self.trailer(Place::TrailerName)?,
            (Place::TrailerName, b':') => Place::TrailerValue,
            (Place::TrailerValue, b'\r') => Place::TrailerEnd,
            (Place::TrailerValue, _) if !is_control(byte) => self.trailer(Place::TrailerValue)?,
            (Place::TrailerEnd, b'\n') => Place::Trailer,
            (Place::End, b'\n') => return Ok(true),
            (Place::Trailer | Place::TrailerName | Place::TrailerValue | Place::TrailerEnd | Place::End, _) => {
                return Err(Fault::framing("trailer"));
            }
            (Place::SizeEnd | Place::Data | Place::DataReturn | Place::DataEnd, _) => {
                return Err(Fault::framing("chunk without CRLF"));
            }
        };
        Ok(false)
    }

    fn size(&mut self, byte: u8) -> Result<Place, Fault> {
        let malformed = Fault::framing("chunk size");
        match (byte, char::from(byte).to_digit(16)) {
            (_, Some(digit)) if self.digits < DIGITS_MAX => {
                self.digits += 1;
                self.size = self.size << 4 | u64::from(digit);
                if i64::try_from(self.size).is_ok() { Ok(Place::Size) } else { Err(malformed) }
            }
            (b'\r', _) if self.digits > 0 => Ok(Place::SizeEnd),
            (b';', _) if self.digits > 0 => self.extension(byte),
            _ => Err(malformed),
        }
    }

    fn extension(&mut self, byte: u8) -> Result<Place, Fault> {
        self.extension_bytes += 1;
        if self.extension_bytes > EXTENSION_BYTES_MAX || is_control(byte) {
            return Err(Fault::framing("chunk extension"));
        }
        Ok(Place::Extension)
    }

    fn trailer(&mut self, place: Place) -> Result<Place, Fault> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > TRAILER_BYTES_MAX { Err(Fault::framing("trailer")) } else { Ok(place) }
    }
}

impl Default for Chunks {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same whether the bytes come at once or one by one.
    fn verdict(bytes: &str) -> String {
        let bytes = bytes.as_bytes();
        let at_once = Chunks::new().follow(bytes);
        let mut chunks = Chunks::new();
        let one_by_one = (0..bytes.len()).find_map(|at| match chunks.follow(&bytes[at..=at]) {
            Ok(None) => None,
            Ok(Some(used)) => Some(Ok(at + used)),
            Err(fault) => Some(Err(fault)),
        });
        assert_eq!(one_by_one, at_once.transpose(), "{:?}", String::from_utf8_lossy(bytes));
        match at_once {
            Ok(Some(used)) => format!("{used}"),
            Ok(None) => "more".to_owned(),
            Err(fault) => fault.rule.to_owned(),
        }
    }

    #[test]
    fn chunks_end_where_every_reader_sees_their_end() {
        let rows = [
            ("0\r\n\r\n", "5"),
            ("3\r\nabc\r\n0\r\n\r\nPOST", "13"),
            ("00A\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n", "22"),
            ("3\r\nabc\r\n", "more"),
            ("0\r\n", "more"),
            ("\r\nabc\r\n", "chunk size"),
            (";a\r\nabc\r\n", "chunk size"),
            ("0x3\r\nabc\r\n", "chunk size"),
            ("+3\r\nabc\r\n", "chunk size"),
            ("3 \r\nabc\r\n", "chunk size"),
            ("3\nabc\r\n", "chunk size"),
            ("7FFFFFFFFFFFFFFF\r\n", "more"),
            ("8000000000000000\r\n", "chunk size"),
            ("00000000000000003\r\n", "chunk size"),
            ("3;a=\"b\"\r\nabc\r\n0\r\n\r\n", "19"),
            ("3;a\nb\r\nabc\r\n", "chunk extension"),
            ("3;\0\r\nabc\r\n", "chunk extension"),
            ("3;a\rb\r\nabc\r\n", "chunk without CRLF"),
            ("3\rabc\r\n", "chunk without CRLF"),
            ("3\r\nabcd\r\n", "chunk without CRLF"),
            ("3\r\nabc\n0\r\n\r\n", "chunk without CRLF"),
            ("3\r\nab\r\n0\r\n\r\n", "chunk without CRLF"),
            ("0\r\na: b\r\nc:\r\n\r\n", "15"),
            ("0\n\n", "chunk size"),
            ("0\r\n\n", "trailer"),
            ("0\r\na b: c\r\n\r\n", "trailer"),
            ("0\r\na\r\n\r\n", "trailer"),
            ("0\r\n a: b\r\n\r\n", "trailer"),
            ("0\r\na: b\n\r\n", "trailer"),
        ];
        for (bytes, expected) in rows {
            assert_eq!(verdict(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn extensions_of_all_chunks_and_trailers_are_bounded() {
        for (bytes, expected) in [(1023, "more"), (1024, "more"), (1025, "chunk extension")] {
            let half = ";".repeat(bytes / 2);
            assert_eq!(
                verdict(&format!("1{half}\r\na\r\n1{half}{}", ";".repeat(bytes % 2))),
                expected,
                "{bytes} bytes"
            );
        }
        for (bytes, expected) in [(4095, "more"), (4096, "more"), (4097, "trailer")] {
            assert_eq!(verdict(&format!("0\r\na:{}", "b".repeat(bytes - 1))), expected, "{bytes} bytes");
        }
    }
}
