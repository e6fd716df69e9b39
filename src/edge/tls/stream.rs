//! A TLS connection as a stream of bytes: rustls keeps the session, the memory to work in is ours.
//!
//! rustls' own buffers are filled four KiB at a time, zeroed first, and belong to each connection. Here a worker has one
//! piece of memory for all its connections, which is always in its caches: what the socket has is read into it at once and
//! deciphered there, an answer is enciphered there and sent at once. A connection keeps only what is left over: half a
//! record, plain text for which its reader had no room, ciphertext for which the socket had none.
//!
//! It stands between the socket and the HTTP server, and knows neither certificates nor deadlines.
//!
//! **Invariant:** after a fault nothing of the session is used again, except to say so to the peer.
//! **Invariant:** an end that the peer did not announce is an error, not an end.
//! **Invariant:** pieces of a handshake are shown to the session whenever it looks for records, until it has used them: it panics where they are gone.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::kept::Kept;
use crate::edge::socket::Readable;

/// The most that is read at once: two records of the longest kind.
const READ_BYTES: usize = 2 * (16 * 1024 + 2048 + 5);
/// Beside it, room for what can be left over: the longest message of a handshake, which may come in many records.
const RECEIVED_BYTES: usize = READ_BYTES + 64 * 1024;
/// The most of an answer that is enciphered at once: one record.
const PIECE_BYTES: usize = 16 * 1024;
/// A piece as a record, and what the session may have to say before it.
const SENT_BYTES: usize = PIECE_BYTES + 4096;

/// The memory that the connections of one thread take turns to work in.
struct Workbench {
    received: Box<[u8]>,
    plain: Box<[u8]>,
    sent: Box<[u8]>,
}

thread_local! {
    static WORKBENCH: RefCell<Workbench> = RefCell::new(Workbench {
        received: vec![0; RECEIVED_BYTES].into(),
        plain: vec![0; PIECE_BYTES].into(),
        sent: vec![0; SENT_BYTES].into(),
    });
}

/// The server's side of a TLS connection over `S`.
pub struct TlsStream<S> {
    stream: S,
    session: UnbufferedServerConnection,
    /// Received: records that were not looked at yet, or the beginning of one.
    received: Kept,
    /// Whether there may be a whole record among them.
    unread: Unread,
    /// Deciphered, and not taken yet.
    plain: Kept,
    /// Enciphered, and not sent yet.
    sent: Kept,
    ending: Ending,
    farewell: Farewell,
}

/// Whether the peer was told that nothing more comes from us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Farewell {
    Unsaid,
    Said,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unread {
    /// More has to come first.
    Part,
    /// The reader had no room for more.
    Records,
}

/// How a connection ends.
#[derive(Debug, Clone, PartialEq)]
enum Ending {
    /// Not yet.
    Open,
    /// The peer said that nothing more comes.
    Announced,
    /// The peer broke the protocol.
    Broken(rustls::Error),
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// Shakes hands with whoever is at the other end of `stream`.
    ///
    /// # Errors
    /// What the socket says; with a [`rustls::Error`] inside where the handshake itself failed.
    pub async fn accept(stream: S, config: Arc<ServerConfig>) -> io::Result<Self> {
        let session = UnbufferedServerConnection::new(config).map_err(io::Error::other)?;
        let mut accepted = Self {
            stream,
            session,
            received: Kept::default(),
            unread: Unread::Part,
            plain: Kept::default(),
            sent: Kept::default(),
            ending: Ending::Open,
            farewell: Farewell::Unsaid,
        };
        poll_fn(|context| accepted.poll_handshake(context)).await?;
        Ok(accepted)
    }

    /// The protocol that was agreed on by ALPN.
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.session.alpn_protocol()
    }

    /// The certificates that the client showed, its own first.
    pub fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.session.peer_certificates()
    }

    fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_send(context))?;
            if !self.session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            match &self.ending {
                Ending::Open => ready!(self.poll_receive(context, &mut ReadBuf::new(&mut [])))?,
                Ending::Announced => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Ending::Broken(error) => return Poll::Ready(Err(broken(error))),
            }
        }
    }

    /// Reads what the socket has, unless there is something unread, and deciphers it: into `buffer` as far as there is room.
    fn poll_receive(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        WORKBENCH.with_borrow_mut(|bench| {
            let received = &mut bench.received[..];
            let mut filled = self.received.copy_to(received);
            if self.unread == Unread::Part {
                let end = received.len().min(filled + READ_BYTES);
                let mut room = ReadBuf::new(&mut received[filled..end]);
                ready!(Pin::new(&mut self.stream).poll_read(context, &mut room))?;
                let length = room.filled().len();
                if length == 0 {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                filled += length;
            }
            let used = self.decipher(&mut received[..filled], buffer);
            self.received.replace(&received[used..filled]);
            Poll::Ready(Ok(()))
        })
    }

    /// Takes records from the front of `received`, until none is whole or `buffer` has no more room. Answers how many bytes
    /// they had.
    fn decipher(&mut self, received: &mut [u8], buffer: &mut ReadBuf<'_>) -> usize {
        let mut used = 0;
        self.unread = Unread::Part;
        while self.ending == Ending::Open {
            let UnbufferedStatus { mut discard, state } = self.session.process_tls_records(&mut received[used..]);
            let mut more = true;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        match record {
                            Ok(record) => {
                                discard += record.discard;
                                let fits = buffer.remaining().min(record.payload.len());
                                buffer.put_slice(&record.payload[..fits]);
                                self.plain.push(&record.payload[fits..]);
                            }
                            Err(error) => self.ending = Ending::Broken(error),
                        }
                    }
                    if buffer.remaining() == 0 {
                        self.unread = Unread::Records;
                        more = false;
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(&mut data, &mut self.sent);
                }
                // It is sent before anything else is.
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => self.ending = Ending::Announced,
                // More has to come: a record is not whole, or there is none.
                Ok(_) => more = false,
                Err(error) => self.ending = Ending::Broken(error),
            }
            used += discard;
            if !more {
                break;
            }
        }
        if let Ending::Broken(_) = self.ending {
            self.collect_alert();
        }
        used
    }

    /// What the session has to say of a fault: no more of it than there is, since it would look for records again.
    fn collect_alert(&mut self) {
        while self.session.wants_write()
            && let Ok(ConnectionState::EncodeTlsData(mut data)) = self.session.process_tls_records(&mut []).state
        {
            encode(&mut data, &mut self.sent);
        }
    }

    /// Sends what is left over.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.sent.is_empty() {
            let length = ready!(Pin::new(&mut self.stream).poll_write(context, self.sent.rest()))?;
            if length == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent.take(length);
        }
        Poll::Ready(Ok(()))
    }

    fn may_write(&self) -> io::Result<()> {
        match &self.ending {
            Ending::Open | Ending::Announced => Ok(()),
            Ending::Broken(error) => Err(broken(error)),
        }
    }

    /// Enciphers a piece and sends what the socket takes of it now.
    fn send(&mut self, context: &mut Context<'_>, piece: &[u8], room: &mut [u8]) -> io::Result<()> {
        let length = self.encipher(piece, room)?;
        let record = &room[..length];
        if !self.sent.is_empty() {
            self.sent.push(record);
            return Ok(());
        }
        match Pin::new(&mut self.stream).poll_write(context, record) {
            Poll::Ready(Ok(length)) => self.sent.push(&record[length..]),
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => self.sent.push(record),
        }
        Ok(())
    }

    /// Enciphers a piece, or the announcement of our own end if there is none.
    fn encipher(&mut self, piece: &[u8], room: &mut [u8]) -> io::Result<usize> {
        loop {
            // No whole record is among what is kept, or it is not shown. Pieces of a handshake have to be: the session knows where they
            // stand. No whole record of plain text comes between them, so that there are none where the reader had no room.
            let received = match self.unread {
                Unread::Part => self.received.rest_mut(),
                Unread::Records => &mut [],
            };
            match self.session.process_tls_records(received).state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let enciphered =
                        if piece.is_empty() { traffic.queue_close_notify(room) } else { traffic.encrypt(piece, room) };
                    return enciphered.map_err(io::Error::other);
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(&mut data, &mut self.sent);
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.ending = Ending::Announced,
                Ok(_) => return Err(io::ErrorKind::BrokenPipe.into()),
                Err(error) => return Err(broken(&error)),
            }
        }
    }
}

/// Appends to `sent` what the session has to say.
fn encode<D>(data: &mut EncodeTlsData<'_, D>, sent: &mut Kept) {
    // With no room at all it says how much it needs.
    if let Err(EncodeError::InsufficientSize(needed)) = data.encode(&mut []) {
        sent.push_with(needed.required_size, |room| data.encode(room).unwrap_or_default());
    }
}

fn broken(error: &rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.clone())
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        loop {
            // A ticket, an alert, a new key: reading does not wait for it to go.
            let _ = this.poll_send(context)?;
            if !this.plain.is_empty() {
                let length = buffer.remaining().min(this.plain.rest().len());
                buffer.put_slice(&this.plain.rest()[..length]);
                this.plain.take(length);
            }
            if buffer.filled().len() > before || this.ending == Ending::Announced {
                return Poll::Ready(Ok(()));
            }
            if let Ending::Broken(error) = &this.ending {
                return Poll::Ready(Err(broken(error)));
            }
            ready!(this.poll_receive(context, buffer))?;
        }
    }
}

impl<S: Readable + AsyncRead + AsyncWrite + Unpin> Readable for TlsStream<S> {
    /// What is ready may be nothing for a reader: a ticket, or half a record.
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = self.poll_send(context)?;
        if self.unread == Unread::Records || !self.plain.is_empty() || self.ending != Ending::Open {
            return Poll::Ready(Ok(()));
        }
        self.stream.poll_readable(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_send(context))?;
        this.may_write()?;
        let piece = &bytes[..bytes.len().min(PIECE_BYTES)];
        if piece.is_empty() {
            return Poll::Ready(Ok(0));
        }
        WORKBENCH.with_borrow_mut(|bench| this.send(context, piece, &mut bench.sent))?;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut filled = pieces.iter().filter(|piece| !piece.is_empty());
        if let (Some(only), None) = (filled.next(), filled.next()) {
            return self.poll_write(context, only);
        }
        let this = self.get_mut();
        ready!(this.poll_send(context))?;
        this.may_write()?;
        WORKBENCH.with_borrow_mut(|bench| {
            let mut length = 0;
            for piece in pieces {
                let fits = piece.len().min(PIECE_BYTES - length);
                bench.plain[length..length + fits].copy_from_slice(&piece[..fits]);
                length += fits;
            }
            if length > 0 {
                this.send(context, &bench.plain[..length], &mut bench.sent)?;
            }
            Poll::Ready(Ok(length))
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(context))?;
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.farewell == Farewell::Unsaid && !matches!(this.ending, Ending::Broken(_)) {
            this.farewell = Farewell::Said;
            WORKBENCH.with_borrow_mut(|bench| this.send(context, &[], &mut bench.sent))?;
        }
        ready!(this.poll_send(context))?;
        match ready!(Pin::new(&mut this.stream).poll_shutdown(context)) {
            Err(error) if error.kind() != io::ErrorKind::NotConnected => Poll::Ready(Err(error)),
            Ok(()) | Err(_) => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests;
