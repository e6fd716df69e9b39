//! The stream under an HTTP/2 server: see [`guard`](super).
//!
//! **Invariant:** after a flood was refused nothing more of the client's is read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::Fault;
use super::frames::{Frames, Limits};
use crate::edge::connection::Connection;
use crate::reason::Reason;
use crate::tapped::Tap;

/// A field section that goes on without end. The library answers it with GOAWAY (`ENHANCE_YOUR_CALM`) as soon as it is over what it takes, which is in
/// proportion to `head_bytes_max` and never more than there is here.
const ENDLESS: [u8; 9 * ENDLESS_FRAMES] = {
    let mut frames = [0; 9 * ENDLESS_FRAMES];
    let mut at = 0;
    while at < ENDLESS_FRAMES {
        // No payload, no flag, stream 1: HEADERS, then CONTINUATION.
        frames[9 * at + 3] = if at == 0 { 1 } else { 9 };
        frames[9 * at + 8] = 1;
        at += 1;
    }
    frames
};
const ENDLESS_FRAMES: usize = 512;

/// Ends a connection whose frames bring no request further.
#[derive(Debug)]
pub struct Http2Guard {
    connection: Arc<Connection>,
    frames: Frames,
    way: Way,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// Refused; so many bytes of [`ENDLESS`] were given.
    Refused(usize),
}

impl Http2Guard {
    /// Guards the beginning of a connection.
    #[must_use]
    pub const fn new(connection: Arc<Connection>, limits: Limits) -> Self {
        Self { connection, frames: Frames::new(limits), way: Way::Open }
    }
}

impl Tap for Http2Guard {
    fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.way == Way::Open {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut *stream).poll_read(context, buffer))?;
            let Some(good) = self.frames.follow(&buffer.filled()[before..], self.connection.answers()) else {
                return Poll::Ready(Ok(()));
            };
            buffer.set_filled(before + good);
            self.way = Way::Refused(0);
            let fault = Fault { reason: Reason::FloodRefused, rule: "frames that bring no request further" };
            self.connection.refuse(0, fault.into());
        }
        if let Way::Refused(given) = &mut self.way {
            let length = buffer.remaining().min(ENDLESS.len() - *given);
            buffer.put_slice(&ENDLESS[*given..*given + length]);
            *given += length;
        }
        Poll::Ready(Ok(()))
    }
}
