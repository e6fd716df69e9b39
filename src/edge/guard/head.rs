//! Whether the head of an HTTP/1 request is unambiguous, and how long its body is (RFC 9112 §2–§6).
//!
//! Stricter than the RFC where senders of webhooks never need its leniency: one space, one CRLF, one Content-Length or one `chunked`.
//! It is one walk over the bytes, allocates nothing, and does not care what the request asks for.
//!
//! **Invariant:** a head that passes has one reading: whoever parses it by the RFC finds the same lines, and the same end of its body.

use memchr::{memchr, memchr_iter};

use super::{Fault, is_control, is_token};
use crate::reason::Reason;

/// What a head may measure.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the head, its last empty line included.
    pub head_bytes_max: usize,
    /// Field lines.
    pub headers_max: usize,
    /// Bytes of the request target.
    pub uri_bytes_max: usize,
}

/// How the body behind a head is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes.
    Sized(u64),
    /// In chunks.
    Chunked,
}

/// The longest method that is registered with IANA has 17 bytes.
const METHOD_BYTES_MAX: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

/// The fields that decide where the body ends.
#[derive(Debug, Default)]
struct Framed {
    length: Option<u64>,
    chunked: bool,
}

/// Judges a whole head: from the first byte of its request line to its last empty line.
///
/// # Errors
/// `framing_refused`, `uri_too_long`, `headers_too_large`, `length_required`, `version_refused`.
pub fn check(head: &[u8], limits: &Limits) -> Result<Framing, Fault> {
    let mut controls = 0_usize;
    for &byte in head {
        controls += usize::from(is_control(byte));
    }
    let mut lines = memchr_iter(b'\n', head);
    let mut line_ends = 1;
    let Some(end) = lines.next() else { return Err(Fault::framing("no request line")) };
    let (method, version) = request_line(line(head, 0, end)?, limits)?;
    let mut framed = Framed::default();
    let mut start = end + 1;
    for end in lines {
        line_ends += 1;
        let text = line(head, start, end)?;
        start = end + 1;
        if text.is_empty() {
            break;
        }
        if line_ends > limits.headers_max + 1 {
            return Err(Fault { reason: Reason::HeadersTooLarge, rule: "headers_max" });
        }
        field(text, &mut framed)?;
    }
    // Each line has its two; any other is in a line.
    if controls != 2 * line_ends {
        return Err(Fault::framing("control character"));
    }
    framing(&framed, method, version)
}

/// The bytes of a line without its CRLF.
fn line(head: &[u8], start: usize, end: usize) -> Result<&[u8], Fault> {
    head[start..end].strip_suffix(b"\r").ok_or(Fault::framing("bare LF"))
}

fn request_line<'h>(line: &'h [u8], limits: &Limits) -> Result<(&'h [u8], Version), Fault> {
    let malformed = Fault::framing("request line");
    let method_end = memchr(b' ', line).ok_or(malformed)?;
    let (method, rest) = (&line[..method_end], &line[method_end + 1..]);
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
        return Err(Fault::framing("method"));
    }
    if method.len() > METHOD_BYTES_MAX || method == b"CONNECT" {
        return Err(Fault::framing("method"));
    }
    let target_end = memchr(b' ', rest).ok_or(malformed)?;
    let (target, version) = (&rest[..target_end], &rest[target_end + 1..]);
    if target.len() > limits.uri_bytes_max {
        return Err(Fault { reason: Reason::UriTooLong, rule: "uri_bytes_max" });
    }
    if target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
        return Err(Fault::framing("request target"));
    }
    match version {
        b"HTTP/1.1" => Ok((method, Version::Http11)),
        b"HTTP/1.0" => Ok((method, Version::Http10)),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            Err(Fault { reason: Reason::VersionRefused, rule: "version" })
        }
        _ => Err(malformed),
    }
}

/// One field line. Only those that decide about framing are looked into.
fn field(line: &[u8], framed: &mut Framed) -> Result<(), Fault> {
    let name_end = line.iter().position(|byte| !is_token(*byte)).unwrap_or(line.len());
    if line.get(name_end) != Some(&b':') || name_end == 0 {
        let folded = line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t'));
        return Err(Fault::framing(if folded { "folded line" } else { "field name" }));
    }
    let (name, value) = (&line[..name_end], &line[name_end + 1..]);
    match name.len() {
        14 if name.eq_ignore_ascii_case(b"content-length") => {
            let length = length(trim(value)).ok_or(Fault::framing("content-length"))?;
            match framed.length.replace(length) {
                None => Ok(()),
                Some(_) => Err(Fault::framing("two content-lengths")),
            }
        }
        17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
            if std::mem::replace(&mut framed.chunked, true) || !trim(value).eq_ignore_ascii_case(b"chunked") {
                return Err(Fault::framing("one transfer-encoding: chunked, or none"));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn framing(framed: &Framed, method: &[u8], version: Version) -> Result<Framing, Fault> {
    match (framed.length, framed.chunked, version) {
        (Some(_), true, _) => Err(Fault::framing("content-length beside transfer-encoding")),
        (None, true, Version::Http10) => Err(Fault::framing("transfer-encoding in HTTP/1.0")),
        (None, true, Version::Http11) => Ok(Framing::Chunked),
        (Some(length), false, _) => Ok(Framing::Sized(length)),
        // RFC 1945 §8.3: a body's end cannot be told by closing, since the answer could not be sent then.
        (None, false, Version::Http10) if matches!(method, b"POST" | b"PUT" | b"PATCH") => {
            Err(Fault { reason: Reason::LengthRequired, rule: "HTTP/1.0 without content-length" })
        }
        (None, false, _) => Ok(Framing::Sized(0)),
    }
}

/// `1*DIGIT` below 2⁶³.
fn length(digits: &[u8]) -> Option<u64> {
    const DIGITS_MAX: usize = 19;
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0_u64, |value, digit| value * 10 + u64::from(digit - b'0'));
    i64::try_from(value).is_ok().then_some(value)
}

/// Without the spaces and tabs around it (RFC 9110 §5.6.3).
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { head_bytes_max: 16 * 1024, headers_max: 3, uri_bytes_max: 8 };

    fn verdict(head: &str) -> String {
        match check(head.as_bytes(), &LIMITS) {
            Ok(framing) => format!("{framing:?}"),
            Err(fault) => format!("{}: {}", fault.reason.code(), fault.rule),
        }
    }

    fn check_all(rows: &[(&str, &str, &str)]) {
        for (request_line, fields, expected) in rows {
            let end = if fields.is_empty() { "\r\n" } else { "\r\n\r\n" };
            let head = format!("{request_line}\r\n{fields}{end}");
            assert_eq!(verdict(&head), *expected, "{head:?}");
        }
    }

    /// Each rule with its nearest accept, here and below.
    #[test]
    fn a_request_line_has_one_reading_or_is_refused() {
        check_all(&[
            ("POST / HTTP/1.1", "", "Sized(0)"),
            ("P-9.~ / HTTP/1.1", "", "Sized(0)"),
            ("POST  / HTTP/1.1", "", "framing_refused: request target"),
            ("POST /  HTTP/1.1", "", "framing_refused: request line"),
            ("POST\t/ HTTP/1.1", "", "framing_refused: method"),
            ("POST /", "", "framing_refused: request line"),
            ("POST / x HTTP/1.1", "", "framing_refused: request line"),
            (" / HTTP/1.1", "", "framing_refused: method"),
            ("P(ST / HTTP/1.1", "", "framing_refused: method"),
            ("CONNECT a:1 HTTP/1.1", "", "framing_refused: method"),
            ("CONNECTS a:1 HTTP/1.1", "", "Sized(0)"),
            ("POST /\u{7f} HTTP/1.1", "", "framing_refused: request target"),
            ("POST /\u{e9} HTTP/1.1", "", "framing_refused: request target"),
            ("POST /2345678 HTTP/1.1", "", "Sized(0)"),
            ("POST /23456789 HTTP/1.1", "", "uri_too_long: uri_bytes_max"),
            ("GET / HTTP/1.0", "", "Sized(0)"),
            ("GET / HTTP/1.2", "", "version_refused: version"),
            ("GET / HTTP/2.0", "", "version_refused: version"),
            ("GET / HTTP/1.10", "", "framing_refused: request line"),
            ("GET / http/1.1", "", "framing_refused: request line"),
            ("GET / HTTP/1.1 ", "", "framing_refused: request line"),
            ("GET / HTTP/+1.1", "", "framing_refused: request line"),
        ]);
    }

    #[test]
    fn a_field_line_has_one_reading_or_is_refused() {
        check_all(&[
            ("GET / HTTP/1.1", "a: b", "Sized(0)"),
            ("GET / HTTP/1.1", "a:", "Sized(0)"),
            ("GET / HTTP/1.1", "a: \u{e9}\tb", "Sized(0)"),
            ("GET / HTTP/1.1", "a : b", "framing_refused: field name"),
            ("GET / HTTP/1.1", ": b", "framing_refused: field name"),
            ("GET / HTTP/1.1", "a", "framing_refused: field name"),
            ("GET / HTTP/1.1", "a\u{e9}: b", "framing_refused: field name"),
            ("GET / HTTP/1.1", "a: b\r\n c", "framing_refused: folded line"),
            ("GET / HTTP/1.1", "a: b\r\n\tc: d", "framing_refused: folded line"),
            ("GET / HTTP/1.1", "a: b\nc: d", "framing_refused: bare LF"),
            ("GET / HTTP/1.1", "a: b\rc: d", "framing_refused: control character"),
            ("GET / HTTP/1.1", "a: b\r", "framing_refused: control character"),
            ("GET / HTTP/1.1", "a: \0", "framing_refused: control character"),
            ("GET / HTTP/1.1", "a: \u{1b}[2J", "framing_refused: control character"),
            ("GET / HTTP/1.1", "a: \u{7f}", "framing_refused: control character"),
            ("GET / HTTP/1.1", "a: 1\r\na: 2\r\na: 3", "Sized(0)"),
            ("GET / HTTP/1.1", "a: 1\r\na: 2\r\na: 3\r\na: 4", "headers_too_large: headers_max"),
        ]);
    }

    #[test]
    fn a_body_has_one_framing_or_its_head_is_refused() {
        check_all(&[
            ("POST / HTTP/1.1", "Content-LENGTH: \t 7 \t", "Sized(7)"),
            ("POST / HTTP/1.0", "content-length: 7", "Sized(7)"),
            ("POST / HTTP/1.1", "content-length: 0000000000000000007", "Sized(7)"),
            ("POST / HTTP/1.1", "content-length: 00000000000000000007", "framing_refused: content-length"),
            ("POST / HTTP/1.1", "content-length: 9223372036854775807", "Sized(9223372036854775807)"),
            ("POST / HTTP/1.1", "content-length: 9223372036854775808", "framing_refused: content-length"),
            ("POST / HTTP/1.1", "content-length:", "framing_refused: content-length"),
            ("POST / HTTP/1.1", "content-length: +7", "framing_refused: content-length"),
            ("POST / HTTP/1.1", "content-length: 7, 7", "framing_refused: content-length"),
            ("POST / HTTP/1.1", "content-length: 7 7", "framing_refused: content-length"),
            ("POST / HTTP/1.1", "content-length: 0x7", "framing_refused: content-length"),
            ("POST / HTTP/1.1", "content-length: 7\r\ncontent-length: 7", "framing_refused: two content-lengths"),
            ("POST / HTTP/1.0", "", "length_required: HTTP/1.0 without content-length"),
            ("POST / HTTP/1.1", "Transfer-Encoding:\tCHUNKED", "Chunked"),
            (
                "POST / HTTP/1.1",
                "transfer-encoding: xchunked",
                "framing_refused: one transfer-encoding: chunked, or none",
            ),
            (
                "POST / HTTP/1.1",
                "transfer-encoding: chunked,",
                "framing_refused: one transfer-encoding: chunked, or none",
            ),
            (
                "POST / HTTP/1.1",
                "transfer-encoding: gzip, chunked",
                "framing_refused: one transfer-encoding: chunked, or none",
            ),
            (
                "POST / HTTP/1.1",
                "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
                "framing_refused: one transfer-encoding: chunked, or none",
            ),
            ("POST / HTTP/1.0", "transfer-encoding: chunked", "framing_refused: transfer-encoding in HTTP/1.0"),
            (
                "POST / HTTP/1.1",
                "transfer-encoding: chunked\r\ncontent-length: 7",
                "framing_refused: content-length beside transfer-encoding",
            ),
            (
                "POST / HTTP/1.1",
                "content-length: 7\r\ntransfer-encoding: chunked",
                "framing_refused: content-length beside transfer-encoding",
            ),
            ("POST / HTTP/1.1", "transfer_encoding: chunked", "Sized(0)"),
        ]);
    }

    #[test]
    fn a_method_has_at_most_32_bytes() {
        for (bytes, expected) in [(31, "Sized(0)"), (32, "Sized(0)"), (33, "framing_refused: method")] {
            assert_eq!(verdict(&format!("{} / HTTP/1.1\r\n\r\n", "M".repeat(bytes))), expected, "{bytes} bytes");
        }
    }
}
