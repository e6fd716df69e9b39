//! A delivery that outlives its sender.
//!
//! hyper drops a request's future when the sender goes away. Up to the end of the body that is right. From authentication on the upstream may already
//! have the delivery, so it is finished, and recorded, without anybody waiting for the answer.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use http_body::Body;

use super::{Arrival, Gateway, Upstream};
use crate::reply::{self, Reply};

/// Whether a delivery has to be finished although nobody waits for its answer, and for whom.
#[derive(Debug, Clone, Default)]
pub struct Commitment(Arc<AtomicU8>);

/// Whose delivery was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Taken {
    /// Anybody's: the policy asks for no proof.
    Unproven = 1,
    /// That of somebody with the secret.
    Proven = 2,
}

impl Commitment {
    pub(super) fn commit(&self, taken: Taken) {
        self.0.store(taken as u8, Ordering::Relaxed);
    }

    fn is_made(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    fn is_proven(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Taken::Proven as u8
    }
}

/// A delivery's future. Dropped before authentication it is cancelled; dropped after, it goes on by itself.
pub struct Detachable {
    delivery: Option<Pin<Box<dyn Future<Output = Reply> + Send>>>,
    commitment: Commitment,
}

impl Detachable {
    /// The delivery of this request.
    pub fn new<U: Upstream, B>(gateway: Arc<Gateway<U>>, request: Request<B>, arrival: Arrival) -> Self
    where
        B: Body<Data = Bytes, Error: std::error::Error + 'static> + Unpin + Send + 'static,
    {
        let commitment = Commitment::default();
        let shared = commitment.clone();
        let delivery = async move { gateway.deliver(request, &arrival, &shared).await };
        Self { delivery: Some(Box::pin(delivery)), commitment }
    }

    /// Whether the sender was found to have the secret.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.commitment.is_proven()
    }
}

impl Future for Detachable {
    type Output = Result<Reply, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Taken out while it is polled: what panicked is dropped with its record, and never polled again.
        let Some(mut delivery) = self.delivery.take() else { return Poll::Ready(Ok(reply::panicked())) };
        match delivery.as_mut().poll(context) {
            Poll::Ready(reply) => Poll::Ready(Ok(reply)),
            Poll::Pending => {
                self.delivery = Some(delivery);
                Poll::Pending
            }
        }
    }
}

impl Drop for Detachable {
    fn drop(&mut self) {
        let Some(delivery) = self.delivery.take().filter(|_| self.commitment.is_made()) else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(delivery);
        }
    }
}
