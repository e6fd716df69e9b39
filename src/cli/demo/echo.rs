//! The app of the demo: answers 200 and remembers what it was sent.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// An echo service on a port of its own.
#[derive(Clone)]
pub(super) struct Echo {
    address: SocketAddr,
    last: Arc<Mutex<Option<Taken>>>,
}

/// What the app was sent last.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    /// How many edits the gateway made, as it told the app.
    pub edits: Option<String>,
    /// The body.
    pub body: Bytes,
}

impl Echo {
    pub(super) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let echo = Self { address: listener.local_addr()?, last: Arc::default() };
        let app = echo.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let app = app.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| app.clone().take(request));
                    // The gateway's connection ending is no news.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(echo)
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What came since this was asked last.
    pub(super) fn taken(&self) -> Option<Taken> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn take(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let edits = head.headers.get("x-hookward-edits").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let answer = format!("{{\"path\":\"{}\",\"bytes\":{}}}\n", head.uri.path(), body.len());
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Taken { edits, body });
        Ok(Response::new(Full::from(answer)))
    }
}
