//! The stream under an HTTP/1 server: see [`guard`](super).
//!
//! A head that comes in one piece, as nearly all do, is judged where the library will parse it. Of one that comes in several, the pieces are kept here until it
//! is whole, so that a slow sender occupies a few hundred bytes and no parser.
//!
//! **Invariant:** behind a refused head comes `STAND_IN` and then nothing: what the client sends after it is never a request.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::Fault;
use super::head::Limits;
use super::messages::{Messages, Misframed};
use crate::edge::connection::Connection;
use crate::edge::socket::Readable;
use crate::reason::Reason;
use crate::receive::Misframing;
use crate::tapped::{Tap, Tapped};

/// What the library gets in place of a refused head. It is answered by what the connection knows, never by what this says.
const STAND_IN: &[u8] = b"GET /refused HTTP/1.1\r\nconnection: close\r\n\r\n";

/// Lets through well-framed requests.
#[derive(Debug)]
pub struct Http1Guard {
    connection: Arc<Connection>,
    messages: Messages,
    /// Pieces of a head that is not whole; before them, what may go on.
    kept: Vec<u8>,
    good: usize,
    way: Way,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// A head was refused; its stand-in was let through.
    Refused,
    /// A body broke off; its request is under way and gets the fault.
    Broken(Fault),
}

impl Http1Guard {
    /// Guards the beginning of a connection.
    #[must_use]
    pub const fn new(connection: Arc<Connection>, limits: Limits) -> Self {
        let messages = Messages::new(limits);
        Self { connection, messages, kept: Vec::new(), good: 0, way: Way::Open }
    }

    /// Takes back what the library had read and not used.
    pub fn take_back(&mut self, bytes: &[u8]) {
        self.kept.splice(0..0, bytes.iter().copied());
        self.good += bytes.len();
    }

    /// Gives what may go on, as far as there is room.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let length = self.good.min(buffer.remaining());
        buffer.put_slice(&self.kept[..length]);
        self.good -= length;
        if length == self.kept.len() {
            self.kept = Vec::new();
        } else {
            self.kept.drain(..length);
        }
    }

    /// Follows what was read into `buffer` behind `before`, and takes out of it what may not go on.
    fn follow(&mut self, buffer: &mut ReadBuf<'_>, before: usize) {
        let fresh = &buffer.filled()[before..];
        let in_place = self.kept.is_empty();
        if !in_place {
            self.kept.extend_from_slice(fresh);
        }
        let followed = self.messages.follow(if in_place { fresh } else { &self.kept });
        if in_place {
            if followed.fault.is_none() {
                self.kept.extend_from_slice(&fresh[followed.good..]);
            }
            buffer.set_filled(before + followed.good);
        } else {
            buffer.set_filled(before);
            self.good = followed.good;
            if followed.fault.is_some() {
                self.kept.truncate(followed.good);
            }
        }
        self.connection.progress.follow(&self.messages);
        match followed.fault {
            None => {}
            Some(Misframed::Head(fault)) => self.refuse(fault),
            Some(Misframed::Body(fault)) => self.way = Way::Broken(fault),
        }
    }

    fn refuse(&mut self, fault: Fault) {
        self.way = Way::Refused;
        self.connection.refuse(self.messages.passed(), fault.into());
        self.kept.truncate(self.good);
        self.kept.extend_from_slice(STAND_IN);
        self.good = self.kept.len();
    }
}

impl<S: Readable> Readable for Tapped<S, Http1Guard> {
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.tap.good > 0 { Poll::Ready(Ok(())) } else { self.stream.poll_readable(context) }
    }
}

impl Tap for Http1Guard {
    fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.good > 0 {
                self.give(buffer);
                return Poll::Ready(Ok(()));
            }
            match self.way {
                Way::Open => {}
                // Not an end: the library would take it for the sender's, and leave the answer.
                Way::Refused => return Poll::Pending,
                Way::Broken(fault) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, Misframing(fault.rule))));
                }
            }
            if self.messages.is_before_body() && self.connection.is_out_of_time() {
                self.refuse(Fault { reason: Reason::HeadTimeout, rule: "head_seconds" });
                continue;
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut *stream).poll_read(context, buffer))?;
            if buffer.filled().len() == before {
                return Poll::Ready(Ok(()));
            }
            if self.messages.is_before_body() {
                self.connection.activity.bytes_arrived();
            }
            self.follow(buffer, before);
            if buffer.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
