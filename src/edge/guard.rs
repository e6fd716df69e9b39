//! What stands between a connection's bytes and the HTTP library: the rules that the library does not have, or has too weakly for us.
//!
//! A guard is a stream around a stream. It looks at bytes where they lie, in the library's own buffer, before the library does, and copies none of a body.
//! [`http1`] lets through nothing but whole heads that [`head`] found unambiguous and bodies that are framed as their head said ([`body`]); [`http2`] walks
//! over frames and keeps a budget of those that bring no request further ([`frames`]). Neither understands what a request means: names, hosts and methods
//! are judged on the parsed head, once for both protocols (`check_head` in [`gateway`](crate::gateway), `delivery::head`).
//!
//! A refusal is answered by the library itself. In HTTP/1 the guard puts a constant request in the place of the faulty one; the edge knows it by its number
//! and answers it with the fault, in its turn behind earlier answers. In HTTP/2 it goes on with a field section that never ends, and the library says GOAWAY.
//!
//! **Invariant:** the library never sees a byte of a refused head.

pub mod body;
pub mod frames;
pub mod head;
pub mod http1;
pub mod http2;
pub mod messages;

use crate::reason::Reason;
use crate::rejection::Rejection;

/// What is wrong with a head, a body's framing or a flow of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The reason.
    pub reason: Reason,
    /// The rule that was broken, in words of ours.
    pub rule: &'static str,
}

impl Fault {
    pub(super) const fn framing(rule: &'static str) -> Self {
        Self { reason: Reason::FramingRefused, rule }
    }
}

impl From<Fault> for Rejection {
    fn from(fault: Fault) -> Self {
        Self::new(fault.reason).fact("rule", fault.rule)
    }
}

/// Bytes of tokens (RFC 9110 §5.6.2): methods and field names.
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte.is_ascii() {
        table[byte as usize] = byte.is_ascii_alphanumeric() || is_token_mark(byte);
        byte += 1;
    }
    table
};

const fn is_token_mark(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
    )
}

const fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// Control characters, which no line of a head or a trailer may hold (RFC 9110 §5.5); a tab is none.
const fn is_control(byte: u8) -> bool {
    byte < b' ' && byte != b'\t' || byte == 0x7f
}
