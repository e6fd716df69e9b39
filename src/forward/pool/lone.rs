//! One exchange without a pool, for the fuzz target that plays the upstream. No delivery comes here, and it leads to no upstream.

use bytes::Bytes;
use http::Request;
use http::response::Parts;
use http_body_util::Full;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{ExchangeFault, Link, LinkFault};

/// One exchange over a stream of the caller's, as a delivery would have it on a connection to an upstream.
pub struct Lone {
    /// What came back.
    pub answer: Result<(Parts, Bytes), ExchangeFault>,
    /// Whether another delivery would get the connection then.
    pub is_reusable: bool,
}

impl Lone {
    /// Makes it.
    pub async fn exchange(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        request: Request<Full<Bytes>>,
        answer_bytes_max: usize,
    ) -> Self {
        let mut link = match Link::over(stream).await {
            Ok(link) => link,
            Err(fault) => return Self { answer: Err(fault), is_reusable: false },
        };
        let answer = link.exchange(request, answer_bytes_max).await.map_err(|fault| match fault {
            LinkFault::Unsent(_, fault) => ExchangeFault::Unsent(fault),
            LinkFault::Sent(fault) => fault,
        });
        let is_reusable = answer.is_ok() && !link.driver.has_ended() && link.is_open().await;
        Self { answer, is_reusable }
    }
}
