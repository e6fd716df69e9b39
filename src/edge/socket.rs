//! The socket itself, under TLS: it is read when it is its turn, notes how long a client takes nothing, and closes so that the last answer arrives.
//!
//! A socket that is closed while bytes of the client's are unread is reset, and the client may lose the answer that it was about to read (RFC 9112 §9.6).
//! So where more may come, only the way out is shut; what comes in is read and forgotten until the client closes too, within bounds.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::Connection;
use super::stream::Stream;
use super::turns::{Errand, Turn, Turns};

/// What can be waited for without a buffer.
pub trait Readable {
    /// Ready when there may be something to read, the end included.
    ///
    /// # Errors
    /// What the system says.
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl<S: Readable> Readable for Box<S> {
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_readable(context)
    }
}

/// A connection's socket.
#[derive(Debug)]
pub struct Socket {
    stream: Stream,
    connection: Arc<Connection>,
    turns: Arc<Turns>,
    /// To be read.
    turn: Turn,
    closing: Closing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    Open,
    /// Nothing more goes out; so many bytes may still come in.
    Lingering(usize),
    Closed,
}

impl Socket {
    /// The socket of this connection, among those that take `turns`.
    #[must_use]
    pub const fn new(stream: Stream, connection: Arc<Connection>, turns: Arc<Turns>) -> Self {
        Self { stream, connection, turns, turn: Turn::Untaken(None), closing: Closing::Open }
    }

    /// Waits until it has something to say and may be read.
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.turn == Turn::Taken {
            return Poll::Ready(Ok(()));
        }
        // No turn is wasted on a socket that has nothing to say.
        ready!(self.stream.poll_read_ready(context))?;
        let turn = self.turn.poll(&self.turns, self.connection.standing(), Errand::Read, context);
        self.connection.set_in_line(turn.is_pending());
        turn.map(Ok)
    }

    /// Notes whether the client takes what is written.
    fn note<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_pending() {
            self.connection.activity.stall();
        } else {
            self.connection.activity.go_on();
        }
        written
    }
}

impl Readable for Socket {
    /// As a read that takes nothing: getting ready for one costs time, too.
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_turn(context)
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_turn(context))?;
        // Whatever comes of it: a turn cannot be saved up.
        this.turn = Turn::Untaken(None);
        Pin::new(&mut this.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match this.closing {
                Closing::Open => {
                    ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
                    let bytes_max = this.connection.forgotten_bytes_max();
                    this.closing = if bytes_max > 0 { Closing::Lingering(bytes_max) } else { Closing::Closed };
                    this.connection.activity.close();
                }
                Closing::Lingering(left) => {
                    let mut room = [0; 16 * 1024];
                    let mut room = ReadBuf::new(&mut room);
                    let read = ready!(Pin::new(&mut this.stream).poll_read(context, &mut room));
                    let length = room.filled().len();
                    // The end, a reset, or enough.
                    let more = read.is_ok() && length > 0 && length < left;
                    this.closing = if more { Closing::Lingering(left - length) } else { Closing::Closed };
                }
                Closing::Closed => return Poll::Ready(Ok(())),
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
