//! Writing values into log lines, and on terminals: escaped, cut, and nearly always without allocation.
//!
//! Everything that a sender chose goes through [`push_json`], [`push_word`] or [`push_plain`] before it stands in a line.
//!
//! **Invariant:** what these functions write holds no line end, no control character, no character that changes the
//! direction or visibility of text, and no more characters than the caller allows.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::Offset;

/// Characters of an RFC 3339 time as [`push_rfc3339`] writes it.
pub(crate) const RFC3339_LENGTH: usize = 27;

/// What stands where text was cut.
pub(crate) const CUT: &str = "…";

/// Whether a character can break a line, colour a terminal, reorder text or hide in it: Unicode `Cc`, `Zl`, `Zp`, the
/// bidirectional controls of UAX #9, what is shown as nothing (`Default_Ignorable_Code_Point`), annotations, and
/// noncharacters of the first plane. The one list for all that is shown.
pub(crate) const fn is_deceptive(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fdd0}'..='\u{fdef}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// A JSON string (RFC 8259 §7), quotes included.
pub(crate) fn push_json(out: &mut Vec<u8>, text: &str, chars_max: usize) {
    out.push(b'"');
    if text.len() <= chars_max && text.bytes().all(|byte| matches!(byte, b' '..=b'~' if byte != b'"' && byte != b'\\'))
    {
        // Nearly all of them: no character is looked at twice.
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return;
    }
    escape(out, text, chars_max, |c| matches!(c, '"' | '\\'), push_json_escape);
    out.push(b'"');
}

/// A JSON string, or `null`.
pub(crate) fn push_json_or_null(out: &mut Vec<u8>, text: Option<&str>, chars_max: usize) {
    match text {
        Some(text) => push_json(out, text, chars_max),
        None => out.extend_from_slice(b"null"),
    }
}

/// Text for people; what is deceptive stands as `\u{202e}`, a backslash as two.
pub(crate) fn push_plain(out: &mut Vec<u8>, text: &str, chars_max: usize) {
    escape(out, text, chars_max, |c| c == '\\', push_plain_escape);
}

/// The same on its own.
pub(crate) fn plain(text: &str, chars_max: usize) -> String {
    let mut out = Vec::new();
    push_plain(&mut out, text, chars_max);
    String::from_utf8_lossy(&out).into_owned()
}

/// One word for people. Anything that is not plainly one word is quoted, so that a name with spaces in it cannot pass for
/// the rest of the line.
pub(crate) fn push_word(out: &mut Vec<u8>, text: &str, chars_max: usize) {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:/-+*@~%".contains(byte);
    if !text.is_empty() && text.len() <= chars_max && text.as_bytes().iter().all(is_word) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    escape(out, text, chars_max, |c| matches!(c, '"' | '\\'), push_plain_escape);
    out.push(b'"');
}

/// One line of JSON that was read from somewhere, made safe to show: it stays the same JSON.
///
/// Outside of strings JSON has only ASCII and no control characters but white space, so escapes land inside of strings
/// alone.
pub(crate) fn push_json_line(out: &mut Vec<u8>, line: &str) {
    escape(out, line.trim_end(), usize::MAX, |_| false, push_json_escape);
}

fn escape(
    out: &mut Vec<u8>,
    text: &str,
    chars_max: usize,
    special: impl Fn(char) -> bool,
    push: impl Fn(&mut Vec<u8>, char),
) {
    let mut copied = 0;
    for (taken, (at, c)) in text.char_indices().enumerate() {
        if taken == chars_max {
            out.extend_from_slice(&text.as_bytes()[copied..at]);
            out.extend_from_slice(CUT.as_bytes());
            return;
        }
        if !special(c) && !is_deceptive(c) {
            continue;
        }
        out.extend_from_slice(&text.as_bytes()[copied..at]);
        push(out, c);
        copied = at + c.len_utf8();
    }
    out.extend_from_slice(&text.as_bytes()[copied..]);
}

fn push_json_escape(out: &mut Vec<u8>, c: char) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        c => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                push_format(out, format_args!("\\u{unit:04x}"));
            }
        }
    }
}

fn push_plain_escape(out: &mut Vec<u8>, c: char) {
    push_format(out, format_args!("{}", c.escape_default()));
}

/// A decimal number.
pub(crate) fn push_number(out: &mut Vec<u8>, number: u64) {
    push_digits(out, number, 1);
}

/// A decimal number, or `null`.
pub(crate) fn push_number_or_null(out: &mut Vec<u8>, number: Option<u64>) {
    match number {
        Some(number) => push_number(out, number),
        None => out.extend_from_slice(b"null"),
    }
}

/// A decimal number with zeros in front, up to `width` digits. The standard formatter costs several times as much, and
/// an accepted delivery's line has a dozen numbers.
fn push_digits(out: &mut Vec<u8>, mut number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    while number > 0 {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
    }
    out.extend_from_slice(&digits[at.min(digits.len() - width)..]);
}

/// Microseconds of a duration, as far as 64 bits go.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// `2026-11-23T14:03:05.123456Z`: 27 characters, so that times compare as text. A time outside of the calendar's years
/// 0 to 9999 stands as the epoch.
pub(crate) fn push_rfc3339(out: &mut Vec<u8>, ts: i64) {
    let time = civil(ts);
    push_digits(out, u64::try_from(time.year()).unwrap_or(0), 4);
    out.push(b'-');
    push_two(out, time.month());
    out.push(b'-');
    push_two(out, time.day());
    out.push(b'T');
    push_clock(out, time);
    push_digits(out, u64::try_from(time.subsec_nanosecond() / 1000).unwrap_or(0), 6);
    out.push(b'Z');
}

/// `14:03:05.123`, in UTC.
pub(crate) fn push_time_of_day(out: &mut Vec<u8>, ts: i64) {
    let time = civil(ts);
    push_clock(out, time);
    push_digits(out, u64::try_from(time.subsec_nanosecond() / 1_000_000).unwrap_or(0), 3);
}

/// Hours, minutes, seconds and the point after them.
fn push_clock(out: &mut Vec<u8>, time: jiff::civil::DateTime) {
    push_two(out, time.hour());
    out.push(b':');
    push_two(out, time.minute());
    out.push(b':');
    push_two(out, time.second());
    out.push(b'.');
}

fn push_two(out: &mut Vec<u8>, number: i8) {
    push_digits(out, u64::try_from(number).unwrap_or(0), 2);
}

fn civil(ts: i64) -> jiff::civil::DateTime {
    let timestamp = Timestamp::from_microsecond(ts).unwrap_or(Timestamp::UNIX_EPOCH);
    let time = Offset::UTC.to_datetime(timestamp);
    if time.year() < 0 { Offset::UTC.to_datetime(Timestamp::UNIX_EPOCH) } else { time }
}

/// `203.0.113.9`; an IPv4 address that came mapped into IPv6 stands as what it is.
pub(crate) fn push_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            for (octet, end) in [(a, "."), (b, "."), (c, "."), (d, "")] {
                push_number(out, u64::from(octet));
                out.extend_from_slice(end.as_bytes());
            }
        }
        IpAddr::V6(v6) => push_format(out, format_args!("{v6}")),
    }
}

/// `845 B`, `7.1 kB`, `12.3 MB` (powers of ten).
pub(crate) fn push_size(out: &mut Vec<u8>, bytes: u64) {
    push_scaled(out, bytes, &[("B", 1), ("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)]);
}

/// `870 us`, `3.2 ms`, `12.0 s`.
pub(crate) fn push_elapsed(out: &mut Vec<u8>, elapsed: Duration) {
    push_scaled(out, micros(elapsed), &[("us", 1), ("ms", 1_000), ("s", 1_000_000)]);
}

/// The number in the largest unit that it fills, with one digit after the point (cut, not rounded), except in the first.
fn push_scaled(out: &mut Vec<u8>, number: u64, units: &[(&str, u64)]) {
    let fitting = units.iter().rev().find(|(_, unit)| number >= *unit);
    let (name, unit) = fitting.or(units.first()).copied().unwrap_or(("", 1));
    push_number(out, number / unit);
    if unit > 1 {
        out.push(b'.');
        push_number(out, number % unit / (unit / 10));
    }
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
}

/// Anything that can be formatted and needs no escaping.
pub(crate) fn push_format(out: &mut Vec<u8>, arguments: fmt::Arguments<'_>) {
    // Writing into a vector cannot fail.
    let _ = out.write_fmt(arguments);
}

/// What a value displays, up to `chars_max` characters: for values of ours of unknown length, off the path of a delivery.
pub(crate) fn displayed(value: &dyn fmt::Display, chars_max: usize) -> String {
    struct Bounded {
        text: String,
        left: usize,
    }
    impl fmt::Write for Bounded {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            for c in text.chars() {
                self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
                self.text.push(c);
            }
            Ok(())
        }
    }
    let mut bounded = Bounded { text: String::new(), left: chars_max };
    if write!(bounded, "{value}").is_err() {
        bounded.text.push_str(CUT);
    }
    bounded.text
}

/// Where the user and the password of a URL stand in a text that has them: behind `//`, if that is there, up to the last `@`. Rather too much than too little, as
/// such a text need not be a URL.
pub(crate) fn userinfo(text: &str) -> Option<Range<usize>> {
    let before = &text[..text.rfind('@')?];
    let start = before.find("//").map_or(0, |slashes| slashes + 2);
    before.contains(':').then_some(start..before.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_of_a_sender_is_escaped_quoted_and_cut() {
        // (name, text, as JSON, as plain text, as a word), all cut at 12 characters
        let rows = [
            ("plain", "push", r#""push""#, "push", "push"),
            ("empty", "", r#""""#, "", r#""""#),
            ("white space", "a b", r#""a b""#, "a b", r#""a b""#),
            ("quotes", r#"a"b\"#, r#""a\"b\\""#, r#"a"b\\"#, r#""a\"b\\""#),
            ("line ends", "a\r\nb\t", r#""a\r\nb\t""#, r"a\r\nb\t", r#""a\r\nb\t""#),
            ("colours", "\x1b[31mx", r#""\u001b[31mx""#, r"\u{1b}[31mx", r#""\u{1b}[31mx""#),
            ("bidi", "a\u{202e}b", r#""a\u202eb""#, r"a\u{202e}b", r#""a\u{202e}b""#),
            ("C1 control", "\u{9b}31m", r#""\u009b31m""#, r"\u{9b}31m", r#""\u{9b}31m""#),
            ("a tag outside the BMP", "\u{e0041}", r#""\udb40\udc41""#, r"\u{e0041}", r#""\u{e0041}""#),
            ("NUL and DEL", "\0\x7f", r#""\u0000\u007f""#, r"\u{0}\u{7f}", r#""\u{0}\u{7f}""#),
            ("other scripts", "größe", r#""größe""#, "größe", r#""größe""#),
            ("at the limit", "0123456789ab", r#""0123456789ab""#, "0123456789ab", "0123456789ab"),
            ("over it", "0123456789abc", r#""0123456789ab…""#, "0123456789ab…", r#""0123456789ab…""#),
        ];
        for (name, text, json, plain, word) in rows {
            assert_eq!(written(|out| push_json(out, text, 12)), json, "{name}");
            assert_eq!(written(|out| push_plain(out, text, 12)), plain, "{name}");
            assert_eq!(written(|out| push_word(out, text, 12)), word, "{name}");
            let back: String = serde_json::from_str(json).unwrap();
            assert!(back == text || back.ends_with(CUT), "{name}");
        }
    }

    proptest! {
        #[test]
        fn json_of_any_text_is_read_back_as_that_text(text in any::<String>()) {
            let json = written(|out| push_json(out, &text, usize::MAX));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
            prop_assert!(!json.chars().any(is_deceptive));
        }

        #[test]
        fn text_for_people_never_deceives(text in any::<String>(), chars_max in 0_usize..40) {
            for shown in [written(|out| push_plain(out, &text, chars_max)), written(|out| push_word(out, &text, chars_max))] {
                prop_assert!(!shown.chars().any(is_deceptive));
                prop_assert!(shown.chars().count() <= 10 * chars_max + 3);
            }
        }
    }

    #[test]
    fn a_line_of_json_stays_the_same_json() {
        let line = "{\"a\":\"x\u{202e}\u{e0041}\"}\n";
        let shown = written(|out| push_json_line(out, line));
        assert_eq!(shown, r#"{"a":"x\u202e\udb40\udc41"}"#);
        let [before, after] = [line, &shown].map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
        assert_eq!(before, after);
    }

    #[test]
    fn times_stand_in_utc_with_all_their_digits() {
        let rows = [
            (0, "1970-01-01T00:00:00.000000Z", "00:00:00.000"),
            (1_795_442_585_123_456, "2026-11-23T14:03:05.123456Z", "14:03:05.123"),
            (951_782_400_000_001, "2000-02-29T00:00:00.000001Z", "00:00:00.000"),
            (-1, "1969-12-31T23:59:59.999999Z", "23:59:59.999"),
            (i64::MAX, "1970-01-01T00:00:00.000000Z", "00:00:00.000"),
            (i64::MIN, "1970-01-01T00:00:00.000000Z", "00:00:00.000"),
        ];
        for (ts, full, clock) in rows {
            assert_eq!(written(|out| push_rfc3339(out, ts)), full, "{ts}");
            assert_eq!(full.len(), RFC3339_LENGTH);
            assert_eq!(written(|out| push_time_of_day(out, ts)), clock, "{ts}");
        }
    }

    #[test]
    fn numbers_sizes_and_durations_are_short() {
        for number in [0, 1, 9, 10, 12_345, u64::MAX] {
            assert_eq!(written(|out| push_number(out, number)), number.to_string());
        }
        let sizes = [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (7_149, "7.1 kB"), (5_242_880, "5.2 MB")];
        for (bytes, text) in sizes {
            assert_eq!(written(|out| push_size(out, bytes)), text);
        }
        let elapsed = [(0, "0 us"), (999, "999 us"), (3_249, "3.2 ms"), (10_000_000, "10.0 s")];
        for (micros, text) in elapsed {
            assert_eq!(written(|out| push_elapsed(out, Duration::from_micros(micros))), text);
        }
    }

    #[test]
    fn addresses_stand_in_their_own_family() {
        for (ip, text) in
            [("203.0.113.9", "203.0.113.9"), ("::ffff:203.0.113.9", "203.0.113.9"), ("2001:db8::1", "2001:db8::1")]
        {
            assert_eq!(written(|out| push_ip(out, ip.parse().unwrap())), text);
        }
    }

    #[test]
    fn a_displayed_value_is_cut_at_its_limit() {
        for (limit, text) in [(3, "abc…"), (4, "abcd"), (5, "abcd")] {
            assert_eq!(displayed(&"abcd", limit), text, "{limit}");
        }
    }
}
