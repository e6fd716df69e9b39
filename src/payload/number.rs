//! Numbers compared by what they are worth, straight from their text.
//!
//! JSON Schema takes `1`, `1.0` and `10e-1` for the same number, of any size and precision, and floating point would take
//! some different ones for the same, too.
//!
//! **Invariant:** everything here is linear in the text; `1e1000000` never becomes a million digits.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

/// A number as digits without zeros at either end, times a power of ten; zero has no digits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decimal<'n> {
    negative: bool,
    /// The digits, in two parts since there may be a point between them.
    whole: &'n [u8],
    fraction: &'n [u8],
    /// The power of ten of the last digit. Saturates, which nobody notices below 37 digits of exponent.
    exponent: i128,
}

impl<'n> Decimal<'n> {
    /// Takes a number of RFC 8259's grammar.
    pub(crate) fn parse(text: &'n str) -> Self {
        let text = text.as_bytes();
        let negative = text.first() == Some(&b'-');
        let unsigned = &text[usize::from(negative)..];
        let (mantissa, exponent) = split_at(unsigned, |byte| byte | 0x20 == b'e');
        let (whole, fraction) = split_at(mantissa, |byte| byte == b'.');
        let last_place = power(exponent).saturating_sub(places(fraction.len()));

        let shorter = trim_end(fraction);
        let (whole, fraction, dropped) = if shorter.is_empty() {
            let shorter = trim_end(whole);
            (shorter, &fraction[..0], whole.len() - shorter.len() + fraction.len())
        } else {
            (whole, shorter, fraction.len() - shorter.len())
        };
        let whole = trim_start(whole);
        let fraction = if whole.is_empty() { trim_start(fraction) } else { fraction };
        if whole.is_empty() && fraction.is_empty() {
            return Self { negative: false, whole, fraction, exponent: 0 };
        }
        Self { negative, whole, fraction, exponent: last_place.saturating_add(places(dropped)) }
    }

    /// Whether it has no fraction, however it is written.
    pub(super) const fn is_integer(&self) -> bool {
        self.exponent >= 0
    }

    /// Whether this divided by `divisor` has no fraction; `None` if the divisor is zero, or its digits do not fit into
    /// 64 bits.
    pub(super) fn is_multiple_of(&self, divisor: &Decimal<'_>) -> Option<bool> {
        let modulus = divisor
            .digits()
            .try_fold(0_u64, |value, digit| value.checked_mul(10)?.checked_add(u64::from(digit - b'0')))?;
        if modulus == 0 {
            return None;
        }
        if self.digits_len() == 0 {
            return Some(true);
        }
        // The quotient's last place may only be moved to the left: digits that end in no zero are no multiple of ten.
        let Ok(shift) = u128::try_from(self.exponent.saturating_sub(divisor.exponent)) else { return Some(false) };
        let remainder =
            self.digits().fold(0, |value, digit| (value * 10 + u128::from(digit - b'0')) % u128::from(modulus));
        Some((remainder * power_of_ten(shift, modulus.into())).is_multiple_of(modulus.into()))
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.whole.iter().chain(self.fraction).copied()
    }

    const fn sign(&self) -> i8 {
        match (self.digits_len(), self.negative) {
            (0, _) => 0,
            (_, true) => -1,
            (_, false) => 1,
        }
    }

    const fn digits_len(&self) -> usize {
        self.whole.len() + self.fraction.len()
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.negative == other.negative
            && self.exponent == other.exponent
            && self.digits_len() == other.digits_len()
            && self.digits().eq(other.digits())
    }
}

impl Eq for Decimal<'_> {}

impl Hash for Decimal<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.negative.hash(state);
        self.exponent.hash(state);
        self.digits().for_each(|digit| state.write_u8(digit));
    }
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_sign = self.sign().cmp(&other.sign());
        let by_size = || {
            let leading = |number: &Self| number.exponent.saturating_add(places(number.digits_len()));
            leading(self).cmp(&leading(other)).then_with(|| self.digits().cmp(other.digits()))
        };
        by_sign.then_with(|| if self.negative { by_size().reverse() } else { by_size() })
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `10^exponent` modulo `modulus`, which fits into 64 bits.
fn power_of_ten(mut exponent: u128, modulus: u128) -> u128 {
    let (mut power, mut factor) = (1 % modulus, 10 % modulus);
    while exponent > 0 {
        if exponent & 1 == 1 {
            power = power * factor % modulus;
        }
        factor = factor * factor % modulus;
        exponent >>= 1;
    }
    power
}

/// What stands before the first byte that is searched for, and after it; nothing after it where there is none.
fn split_at(text: &[u8], is_it: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    match text.iter().position(|&byte| is_it(byte)) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &text[text.len()..]),
    }
}

fn power(exponent: &[u8]) -> i128 {
    let negative = exponent.first() == Some(&b'-');
    let digits = exponent.iter().filter(|byte| byte.is_ascii_digit());
    let power = digits.fold(0_i128, |power, digit| power.saturating_mul(10).saturating_add(i128::from(digit - b'0')));
    if negative { -power } else { power }
}

fn places(count: usize) -> i128 {
    i128::try_from(count).unwrap_or(i128::MAX)
}

fn trim_start(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
    &digits[zeros..]
}

fn trim_end(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().rev().take_while(|&&digit| digit == b'0').count();
    &digits[..digits.len() - zeros]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_equal_exactly_where_they_are_worth_the_same() {
        let worth = [
            &["0", "-0", "0.0", "-0.00e7", "0e-99999999999999999999"][..],
            &["1", "1.0", "10e-1", "0.1e1", "1E+0", "0.01E2", "1000e-3"],
            &["-1", "-1.000", "-0.1e+1"],
            &["100", "1e2", "100.0", "1.00e2", "0.1e3"],
            &["0.1", "1e-1", "0.10", "10e-2"],
            &["0.1000000000000000055511151231257827"],
            &["9007199254740993", "9007199254740993.0", "9.007199254740993e15"],
            &["9007199254740992"],
            &["1e400", "10e399", "0.1e401"],
            &["1e401"],
            &["1e99999999999999999999", "10e99999999999999999998"],
            &["1e99999999999999999998"],
            &["1001", "1.001e3"],
            &["101"],
        ];
        for (position, row) in worth.iter().enumerate() {
            for (other_position, other) in worth.iter().enumerate() {
                for (one, two) in row.iter().flat_map(|one| other.iter().map(move |two| (one, two))) {
                    let equal = Decimal::parse(one) == Decimal::parse(two);
                    assert_eq!(equal, position == other_position, "{one} and {two}");
                }
            }
        }
    }

    #[test]
    fn integers_are_known_by_their_worth() {
        let rows = [
            ("0", true),
            ("-0.0", true),
            ("0e-5", true),
            ("1.0", true),
            ("1e2", true),
            ("1.5e1", true),
            ("1.5e0", false),
            ("10e-1", true),
            ("1e-1", false),
            ("1e-400", false),
            ("1e400", true),
            ("123.4500e2", true),
            ("123.4560e2", false),
            ("-7", true),
        ];
        for (text, integer) in rows {
            assert_eq!(Decimal::parse(text).is_integer(), integer, "{text}");
        }
    }

    #[test]
    fn numbers_are_ordered_by_their_worth() {
        let ascending = [
            "-1e401",
            "-1e400",
            "-11",
            "-10.1",
            "-10",
            "-9.99",
            "-1",
            "-0.1",
            "-1e-400",
            "0",
            "1e-400",
            "1e-399",
            "0.99999",
            "1",
            "1.00001",
            "9.99",
            "10",
            "10.1",
            "11",
            "99",
            "100",
            "9007199254740992",
            "9007199254740993",
            "1e400",
            "1.1e400",
            "1e401",
        ];
        for pair in ascending.windows(2) {
            let (less, more) = (Decimal::parse(pair[0]), Decimal::parse(pair[1]));
            assert!(less < more, "{pair:?}");
        }
        for (position, one) in ascending.iter().enumerate() {
            for (other_position, other) in ascending.iter().enumerate() {
                let order = Decimal::parse(one).cmp(&Decimal::parse(other));
                assert_eq!(order, position.cmp(&other_position), "{one} and {other}");
            }
        }
    }

    #[test]
    fn multiples_are_told_exactly() {
        let rows = [
            ("0", "7", Some(true)),
            ("14", "7", Some(true)),
            ("-14.0", "7", Some(true)),
            ("15", "7", Some(false)),
            ("19.99", "0.01", Some(true)),
            ("19.999", "0.01", Some(false)),
            ("0.3", "0.1", Some(true)),
            ("1", "0.3", Some(false)),
            ("1.5", "0.5", Some(true)),
            ("1e400", "1e399", Some(true)),
            ("1e399", "1e400", Some(false)),
            ("1e400", "3", Some(false)),
            ("3e400", "3", Some(true)),
            ("1e-400", "1", Some(false)),
            ("1e99999999999999999999", "8", Some(true)),
            ("1e99999999999999999999", "7", Some(false)),
            ("100000000000000000000000000002", "3", Some(true)),
            ("100000000000000000000000000001", "3", Some(false)),
            ("36893488147419103230", "18446744073709551615", Some(true)),
            ("36893488147419103231", "18446744073709551615", Some(false)),
            ("1", "18446744073709551616", None),
            ("1", "0", None),
        ];
        for (number, divisor, expected) in rows {
            let multiple = Decimal::parse(number).is_multiple_of(&Decimal::parse(divisor));
            assert_eq!(multiple, expected, "{number} of {divisor}");
        }
    }
}
