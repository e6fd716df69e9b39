//! The private listener: health, readiness, metrics. Plain HTTP on an address of the operator's own, by default the loopback.
//!
//! **Invariant:** nothing here can change the gateway, and no answer holds a secret or anything of a payload.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::gateway::Shared;
use crate::record::Telemetry;

/// Connections at one time: a scraper, a probe, an operator.
const CONNECTIONS_MAX: usize = 64;

/// For a request's head.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// For a connection as a whole.
const CONNECTION_TIME: Duration = Duration::from_secs(300);

/// After an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the private listener can tell.
#[derive(Clone)]
pub struct Admin {
    /// The running gateway.
    pub shared: Arc<Shared>,
    /// Its metrics.
    pub telemetry: Telemetry,
}

impl Admin {
    /// Answers on a bound socket until it is dropped.
    ///
    /// # Errors
    /// If the socket cannot be given to the runtime.
    pub async fn serve(self, socket: std::net::TcpListener) -> io::Result<Infallible> {
        socket.set_nonblocking(true)?;
        let listener = TcpListener::from_std(socket)?;
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok((stream, _peer)) = listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let admin = self.clone();
            tokio::spawn(async move {
                let service = service_fn(|request: Request<Incoming>| {
                    let answer = admin.answer(request.method(), request.uri().path());
                    async move { Ok::<_, Infallible>(answer) }
                });
                let mut builder = http1::Builder::new();
                builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
                let served = builder.serve_connection(TokioIo::new(stream), service);
                // The prober's own trouble: there is nothing to answer and nothing to repair.
                let _ = tokio::time::timeout(CONNECTION_TIME, served).await;
                drop(place);
            });
        }
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let (status, media_type, body) = match path {
            _ if !matches!(*method, Method::GET | Method::HEAD) => return method_not_allowed(),
            "/healthz" => (StatusCode::OK, "text/plain", "ok\n".to_owned()),
            "/readyz" if self.shared.limits.is_draining() => {
                (StatusCode::SERVICE_UNAVAILABLE, "text/plain", "draining\n".to_owned())
            }
            "/readyz" if self.telemetry.is_first_certificate_awaited() => {
                (StatusCode::SERVICE_UNAVAILABLE, "text/plain", "no certificate yet\n".to_owned())
            }
            "/readyz" => (StatusCode::OK, "text/plain", "ready\n".to_owned()),
            "/metrics" => {
                (StatusCode::OK, Telemetry::METRICS_TYPE, self.telemetry.metrics_text(&self.shared.policy.load()))
            }
            _ => (StatusCode::NOT_FOUND, "text/plain", "there are /healthz, /readyz and /metrics\n".to_owned()),
        };
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        response
    }
}

fn method_not_allowed() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

/// Binds the private listener.
///
/// # Errors
/// What the system says.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    std::net::TcpListener::bind(address)
}
