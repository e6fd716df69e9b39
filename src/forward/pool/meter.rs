//! Counts what an upstream sends, where the HTTP library would read without an end.
//!
//! The library skips interim responses (1xx), however many come, before the one that counts. So while the head of a response is waited for, the
//! connection may read so many bytes and not one more; its body has a limit of its own.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

use crate::tapped::Tap;

/// How many bytes may still be read on a connection: it counts them as they come in. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Meter(Arc<AtomicUsize>);

/// More came than the meter allowed.
#[derive(Debug, thiserror::Error)]
#[error("more than a response may begin with")]
pub(in crate::forward) struct TooMuch;

const UNLIMITED: usize = usize::MAX;

impl Default for Meter {
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(UNLIMITED)))
    }
}

impl Meter {
    /// From now on so many bytes. The last read may go over it by what it takes at once.
    pub(super) fn limit(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    /// From now on others see to it.
    pub(super) fn lift(&self) {
        self.0.store(UNLIMITED, Ordering::Relaxed);
    }
}

impl Tap for Meter {
    fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.0.load(Ordering::Relaxed);
        if left == 0 {
            return Poll::Ready(Err(io::Error::other(TooMuch)));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(stream).poll_read(context, buffer);
        if left != UNLIMITED {
            self.limit(left.saturating_sub(buffer.filled().len() - before));
        }
        polled
    }
}
