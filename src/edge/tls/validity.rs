//! From when to when a certificate is good: the one thing in it that rustls does not tell.

use std::ops::Range;

use jiff::civil::{DateTime, date};

use crate::clock::UnixSeconds;

/// Tags of DER (X.690).
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// The validity of a certificate (RFC 5280 §4.1.2.5) in DER, in unix seconds; `None` if it is not well formed.
pub(super) fn validity(certificate: &[u8]) -> Option<Range<UnixSeconds>> {
    let mut certificate = Reader(certificate);
    let mut signed = Reader(Reader(certificate.value(SEQUENCE)?).value(SEQUENCE)?);
    if signed.0.first() == Some(&VERSION) {
        signed.value(VERSION)?;
    }
    signed.value(INTEGER)?;
    let (_algorithm, _issuer) = (signed.value(SEQUENCE)?, signed.value(SEQUENCE)?);
    let mut validity = Reader(signed.value(SEQUENCE)?);
    Some(validity.time()?..validity.time()?)
}

/// Values one after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next value, if its tag is this one.
    fn value(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (&found, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // A certificate is never so long that its length takes more than three bytes.
            0x81..=0x83 => {
                let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (length.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        (found == tag).then_some(value)
    }

    fn time(&mut self) -> Option<UnixSeconds> {
        let (year, rest) = if self.0.first() == Some(&UTC_TIME) {
            let (year, rest) = self.value(UTC_TIME)?.split_at_checked(2)?;
            let year = number(year)?;
            // RFC 5280 §4.1.2.5.1.
            (if year < 50 { year + 2000 } else { year + 1900 }, rest)
        } else {
            let (year, rest) = self.value(GENERALIZED_TIME)?.split_at_checked(4)?;
            (number(year)?, rest)
        };
        let (digits, zone) = rest.split_at_checked(10)?;
        if zone != b"Z" {
            return None;
        }
        let part = |at: usize| number(&digits[2 * at..2 * at + 2]).and_then(|part| i8::try_from(part).ok());
        let time = DateTime::new(year, part(0)?, part(1)?, part(2)?, part(3)?, part(4)?, 0).ok()?;
        Some(time.duration_since(date(1970, 1, 1).at(0, 0, 0, 0)).as_secs())
    }
}

fn number(digits: &[u8]) -> Option<i16> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |number, digit| number * 10 + i16::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    #[test]
    fn both_ways_to_write_a_time_are_read_to_the_second() {
        let key = KeyPair::generate().unwrap();
        let made = |from: (i32, u8, u8), to: (i32, u8, u8)| {
            let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
            params.not_before = date_time_ymd(from.0, from.1, from.2);
            params.not_after = date_time_ymd(to.0, to.1, to.2);
            params.self_signed(&key).unwrap().der().to_vec()
        };
        for (from, to, expected) in [
            ((2026, 11, 30), (2027, 2, 28), 1_795_996_800..1_803_772_800),
            ((1970, 1, 1), (2049, 12, 31), 0..2_524_521_600),
            ((2000, 2, 29), (2050, 1, 1), 951_782_400..2_524_608_000),
            ((2000, 1, 1), (9999, 12, 31), 946_684_800..253_402_214_400),
        ] {
            assert_eq!(validity(&made(from, to)), Some(expected), "{to:?}");
        }
        let whole = made((2026, 11, 30), (2027, 2, 28));
        for length in 0..whole.len() {
            assert_eq!(validity(&whole[..length]), None, "cut to {length}");
        }
        // Whatever is changed, there is an answer.
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[at] ^= 1 << bit;
                let _ = validity(&changed);
            }
        }
    }
}
