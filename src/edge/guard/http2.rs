//! The stream under an HTTP/2 server: see [`guard`](super).
//!
//! **Invariant:** after a flood was refused nothing more of the client's is read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Fault;
use super::frames::{Frames, Limits};
use crate::edge::connection::Connection;
use crate::reason::Reason;

/// A field section that goes on without end. The library answers it with GOAWAY (`ENHANCE_YOUR_CALM`) as soon as it is over what it takes, which is in proportion
/// to `head_bytes_max` and never more than there is here.
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

/// A stream that ends a connection whose frames bring no request further.
#[derive(Debug)]
pub struct Http2Guard<S> {
    stream: S,
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

impl<S> Http2Guard<S> {
    /// Guards the beginning of a connection.
    #[must_use]
    pub const fn new(stream: S, connection: Arc<Connection>, limits: Limits) -> Self {
        Self { stream, connection, frames: Frames::new(limits), way: Way::Open }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Http2Guard<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.way == Way::Open {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
            let Some(good) = this.frames.follow(&buffer.filled()[before..], this.connection.answers()) else {
                return Poll::Ready(Ok(()));
            };
            buffer.set_filled(before + good);
            this.way = Way::Refused(0);
            let fault = Fault { reason: Reason::FloodRefused, rule: "frames that bring no request further" };
            this.connection.refuse(0, fault.into());
        }
        if let Way::Refused(given) = &mut this.way {
            let length = buffer.remaining().min(ENDLESS.len() - *given);
            buffer.put_slice(&ENDLESS[*given..*given + length]);
            *given += length;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Http2Guard<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
