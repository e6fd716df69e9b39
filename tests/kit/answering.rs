//! An upstream in process that answers 200 with nothing, at once.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use bytes::Bytes;
use hookward::forward::pool::{Exchange, ExchangeFault, Outbound};
use http::Response;
use tower::Service;

/// Answers 200 with nothing.
#[derive(Clone)]
pub(crate) struct Answering;

impl Service<Outbound> for Answering {
    type Response = Exchange;
    type Error = ExchangeFault;
    type Future = Ready<Result<Exchange, ExchangeFault>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), ExchangeFault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, outbound: Outbound) -> Self::Future {
        std::hint::black_box(&outbound.request);
        let (head, ()) = Response::new(()).into_parts();
        ready(Ok(Exchange { head, body: Bytes::new(), attempts: 1 }))
    }
}
