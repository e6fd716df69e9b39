//! Where the bytes of an HTTP/1 connection stand: in a head, or in the body that the head announced.
//!
//! **Invariant:** a byte is let through only as part of a whole head that passed, or of the body behind one.

use memchr::memchr;

use super::Fault;
use super::body::Chunks;
use super::head::{self, Framing, Limits};
use crate::reason::Reason;

/// The messages of one connection.
#[derive(Debug, Clone)]
pub struct Messages {
    limits: Limits,
    place: Place,
    /// Of the head that is beginning: how many bytes were looked at, and where the line begins that they end in.
    seen: usize,
    line: usize,
    passed: u32,
    complete: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Head,
    /// So many bytes are left of the body.
    Sized(u64),
    Chunked(Chunks),
}

/// What may be made of bytes that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Followed {
    /// So many, from the first, are heads that passed and pieces of bodies. What comes after them is the beginning of a head; it has to be
    /// shown again, with what comes behind it.
    pub good: usize,
    /// What is wrong with what comes after them.
    pub fault: Option<Misframed>,
}

/// Where a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misframed {
    /// In a head: nothing of the request was let through.
    Head(Fault),
    /// In a body: the request is under way.
    Body(Fault),
}

impl Messages {
    /// Before the first byte.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self { limits, place: Place::Head, seen: 0, line: 0, passed: 0, complete: 0 }
    }

    /// Whether the next byte belongs to a head.
    #[must_use]
    pub const fn is_before_body(&self) -> bool {
        matches!(self.place, Place::Head)
    }

    /// Whether the beginning of a head is there, and not its end.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.seen > 0
    }

    /// How many heads passed.
    #[must_use]
    pub const fn passed(&self) -> u32 {
        self.passed
    }

    /// How many of their bodies came to their end.
    #[must_use]
    pub const fn complete(&self) -> u32 {
        self.complete
    }

    /// Follows bytes that came, where they go on from what was let through.
    pub fn follow(&mut self, bytes: &[u8]) -> Followed {
        let mut good = 0;
        while good < bytes.len() {
            let rest = &bytes[good..];
            let used = match &mut self.place {
                Place::Head => self.head(rest).map_err(Misframed::Head),
                Place::Sized(left) => {
                    let used = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= used as u64;
                    if *left == 0 {
                        self.end();
                    }
                    Ok(used)
                }
                Place::Chunked(chunks) => chunks.follow(rest).map_err(Misframed::Body).map(|end| {
                    if end.is_some() {
                        self.end();
                    }
                    end.unwrap_or(rest.len())
                }),
            };
            match used {
                Ok(0) => break,
                Ok(used) => good += used,
                Err(fault) => return Followed { good, fault: Some(fault) },
            }
        }
        Followed { good, fault: None }
    }

    fn end(&mut self) {
        self.place = Place::Head;
        self.complete += 1;
    }

    /// Takes a head from the front; 0 if it is not whole.
    fn head(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let Some(end) = self.head_end(bytes)? else {
            if bytes.len() <= self.limits.head_bytes_max {
                return Ok(0);
            }
            return Err(self.too_large());
        };
        if end > self.limits.head_bytes_max {
            return Err(self.too_large());
        }
        let framing = head::check(bytes[..end].strip_prefix(b"\r\n").unwrap_or(&bytes[..end]), &self.limits)?;
        (self.seen, self.line) = (0, 0);
        self.passed += 1;
        match framing {
            Framing::Sized(0) => self.end(),
            Framing::Sized(length) => self.place = Place::Sized(length),
            Framing::Chunked => self.place = Place::Chunked(Chunks::new()),
        }
        Ok(end)
    }

    /// Looks for the empty line from where the last look ended, so that a head in many pieces is looked at once.
    fn head_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        while let Some(offset) = memchr(b'\n', &bytes[self.seen..]) {
            let at = self.seen + offset;
            if at == self.line || bytes[at - 1] != b'\r' {
                return Err(Fault::framing("bare LF"));
            }
            let empty = at == self.line + 1;
            // One empty line may come before a request line (RFC 9112 §2.2).
            if empty && self.line > 0 {
                return if self.line == 2 { Err(Fault::framing("empty lines")) } else { Ok(Some(at + 1)) };
            }
            (self.seen, self.line) = (at + 1, at + 1);
        }
        self.seen = bytes.len();
        Ok(None)
    }

    /// A line that is too long is a target that is too long, if it is the first.
    const fn too_large(&self) -> Fault {
        if self.line == 0 {
            return Fault { reason: Reason::UriTooLong, rule: "head_bytes_max" };
        }
        Fault { reason: Reason::HeadersTooLarge, rule: "head_bytes_max" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { head_bytes_max: 64, headers_max: 4, uri_bytes_max: 32 };

    fn follow(bytes: &[u8]) -> (Followed, u32, u32) {
        let mut messages = Messages::new(LIMITS);
        let followed = messages.follow(bytes);
        (followed, messages.passed(), messages.complete())
    }

    #[test]
    fn what_is_let_through_ends_where_a_head_begins_that_is_not_whole() {
        let get = "GET / HTTP/1.1\r\n\r\n";
        let post = "POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc";
        let chunked = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
        let rows = [
            (String::new(), 0, 0, 0),
            ("GET / HTTP/1.1\r\n".to_owned(), 0, 0, 0),
            (get.to_owned(), 18, 1, 1),
            (format!("\r\n{get}"), 20, 1, 1),
            (post.to_owned(), 41, 1, 1),
            (post[..40].to_owned(), 40, 1, 0),
            (format!("{post}{get}{chunked}GET"), 41 + 18 + 58, 3, 3),
            (format!("{chunked}{}", &chunked[..50]), 58 + 50, 2, 1),
        ];
        for (bytes, good, passed, complete) in rows {
            assert_eq!(follow(bytes.as_bytes()), (Followed { good, fault: None }, passed, complete), "{bytes:?}");
        }
    }

    #[test]
    fn a_fault_comes_after_what_is_good() {
        let rule = |bytes: &str| match follow(bytes.as_bytes()).0 {
            Followed { good, fault: Some(Misframed::Head(fault)) } => (good, fault.reason.code(), fault.rule),
            Followed { good, fault: Some(Misframed::Body(fault)) } => (good, "body", fault.rule),
            Followed { good, fault: None } => (good, "none", ""),
        };
        let get = "GET / HTTP/1.1\r\n\r\n";
        assert_eq!(rule(&format!("{get}\n")), (18, "framing_refused", "bare LF"));
        assert_eq!(rule(&format!("{get}GET / HTTP/1.1\n")), (18, "framing_refused", "bare LF"));
        assert_eq!(rule(&format!("\r\n\r\n{get}")), (0, "framing_refused", "empty lines"));
        assert_eq!(rule("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nx"), (47, "body", "chunk size"));
    }

    #[test]
    fn a_head_has_at_most_its_bytes_whole_or_not() {
        let head = |bytes: usize| format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(bytes - 23));
        let too_large = Fault { reason: Reason::HeadersTooLarge, rule: "head_bytes_max" };
        for (bytes, fault) in [(63, None), (64, None), (65, Some(Misframed::Head(too_large)))] {
            assert_eq!(head(bytes).len(), bytes);
            assert_eq!(follow(head(bytes).as_bytes()).0.fault, fault, "{bytes} bytes");
        }
        let line = |bytes: usize| follow("x".repeat(bytes).as_bytes()).0.fault;
        let too_long = Fault { reason: Reason::UriTooLong, rule: "head_bytes_max" };
        assert_eq!((line(64), line(65)), (None, Some(Misframed::Head(too_long))));
    }
}
