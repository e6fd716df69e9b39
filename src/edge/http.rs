//! One connection's requests: the HTTP library on a guarded stream, until either side has enough.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;

use super::connection::Connection;
use super::entrance::{record, service};
use super::guard::http1::Http1Guard;
use super::guard::http2::Http2Guard;
use super::guard::{frames, head};
use super::serve::{DRAIN_GRACE, Worker};
use super::socket::Readable;
use crate::reason::Reason;
use crate::rejection::Rejection;
use crate::tapped::Tapped;

/// HTTP/2: bytes in flight on one stream, and on the connection.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// HTTP/2: streams that were reset by us for the peer's errors, and by the peer before we took them.
const LOCAL_RESETS_MAX: usize = 64;
const PENDING_RESETS_MAX: usize = 20;

/// hyper reads into no smaller buffer.
const BUFFER_BYTES_MIN: usize = 8 * 1024;

/// Serves HTTP/1 on this stream. The library, with its buffers, stands only while there are requests: a connection that waits for one holds its stream and no
/// more.
///
/// # Errors
/// What the library refused by itself.
pub(super) async fn serve_http1<S>(worker: &Worker, stream: S, connection: &Arc<Connection>) -> Result<(), Rejection>
where
    S: Readable + AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = &connection.activity;
    activity.begins_http1();
    let mut stream = Tapped::new(stream, Http1Guard::new(Arc::clone(connection), head_limits(worker)));
    let mut draining = Draining { let_go: pin!(let_go(worker, connection)), is_heard: false };
    loop {
        activity.rest();
        tokio::select! {
            biased;
            readable = poll_fn(|context| stream.poll_readable(context)) => if readable.is_err() { return Ok(()) },
            () = draining.heard() => {
                if connection.is_in_line() {
                    connection.retire();
                    continue;
                }
                // Nobody is left to whom it would matter that this failed.
                let _ = stream.shutdown().await;
                return Ok(());
            }
            // The guard may have something to say.
            () = connection.called() => {}
        }
        activity.rise();
        // Boxed: what rests needs no room for it.
        match Box::pin(requests(worker, stream, connection, &mut draining)).await? {
            Some(rested) => stream = rested,
            None => return Ok(()),
        }
    }
}

/// Serves requests until none comes for a while, and then gives the stream back; or until the connection ends.
async fn requests<S>(
    worker: &Worker,
    stream: Tapped<S, Http1Guard>,
    connection: &Arc<Connection>,
    draining: &mut Draining<'_, impl Future<Output = ()>>,
) -> Result<Option<Tapped<S, Http1Guard>>, Rejection>
where
    S: Readable + AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let head_bytes_max = worker.settings.head_bytes_max;
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(worker.settings.headers_max)
        .max_header_size(head_bytes_max)
        .max_buf_size(head_bytes_max.max(BUFFER_BYTES_MIN));
    let mut served = builder.serve_connection(TokioIo::new(stream), service(worker, connection));
    loop {
        let ended = tokio::select! {
            biased;
            ended = &mut served => ended,
            () = connection.called() => {
                // Not as soon as it is idle: the library may hold what is left of a body that nobody read, and that must not be taken for a request.
                // After a while of idling it has left it behind, or closed.
                if !connection.activity.should_rest() {
                    // The guard may have something to say: the library is asked again.
                    continue;
                }
                if !draining.is_heard {
                    break;
                }
                // What came was no request.
                Pin::new(&mut served).graceful_shutdown();
                served.await
            }
            () = draining.heard() => {
                if connection.has_begun() || connection.is_in_line() {
                    // The library has not seen the head that is on its way, and would close on it. The answer does.
                    connection.retire();
                    continue;
                }
                Pin::new(&mut served).graceful_shutdown();
                served.await
            }
        };
        return ended.map_or_else(|error| connection_fault(&error), Ok).map(|()| None);
    }
    let parts = served.into_parts();
    let mut stream = parts.io.into_inner();
    stream.tap.take_back(&parts.read_buf);
    Ok(Some(stream))
}

fn head_limits(worker: &Worker) -> head::Limits {
    let settings = &worker.settings;
    head::Limits {
        head_bytes_max: settings.head_bytes_max,
        headers_max: settings.headers_max,
        uri_bytes_max: settings.uri_bytes_max,
    }
}

/// Serves HTTP/2 on this stream.
///
/// # Errors
/// What the library or the guard refused.
pub(super) async fn serve_http2<S>(worker: &Worker, stream: S, connection: &Arc<Connection>) -> Result<(), Rejection>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    connection.activity.begins_http2();
    let settings = &worker.settings;
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.streams_max)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        // Up to four times the limit, so that the gateway itself can refuse and record what is over it.
        .max_header_list_size(u32::try_from(settings.head_bytes_max).unwrap_or(u32::MAX).saturating_mul(4))
        .max_local_error_reset_streams(LOCAL_RESETS_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX);
    let limits =
        frames::Limits { frames_max: settings.unproductive_frames_max, bytes_max: settings.unproductive_bytes_max };
    let stream = TokioIo::new(Tapped::new(stream, Http2Guard::new(Arc::clone(connection), limits)));
    let mut served = pin!(builder.serve_connection(stream, service(worker, connection)));
    let mut draining = pin!(drained(worker.draining.clone()));
    let mut flooded = false;
    let ended = loop {
        tokio::select! {
            biased;
            ended = served.as_mut() => break ended,
            () = connection.called() => {
                if let Some(rejection) = connection.refusal(0) {
                    // At once: the peer of a flood may not let the connection end in order.
                    record(&worker.gateway, connection.peer(), &rejection, None);
                    flooded = true;
                }
                if !connection.is_retired() {
                    continue;
                }
            }
            () = draining.as_mut() => {}
        }
        served.as_mut().graceful_shutdown();
        break served.as_mut().await;
    };
    match (flooded, connection.refusal(0)) {
        (true, _) => Ok(()),
        (false, Some(rejection)) => Err(rejection),
        (false, None) => ended.map_or_else(|error| connection_fault(&error), Ok),
    }
}

/// Waits until the gateway drains.
pub(super) async fn drained(mut draining: watch::Receiver<bool>) {
    // An error means that nobody is left to say so: then this worker is about to end anyway.
    let _ = draining.wait_for(|draining| *draining).await;
}

/// Waits until the gateway drains and this connection has had the chance to send the request that it was opened for, or what its socket held was seen.
async fn let_go(worker: &Worker, connection: &Connection) {
    drained(worker.draining.clone()).await;
    if connection.activity.has_served() {
        tokio::task::yield_now().await;
    } else {
        tokio::time::sleep(DRAIN_GRACE).await;
    }
}

/// That a connection has to end, heard once.
struct Draining<'f, F> {
    let_go: Pin<&'f mut F>,
    is_heard: bool,
}

impl<F: Future<Output = ()>> Draining<'_, F> {
    async fn heard(&mut self) {
        if self.is_heard {
            return std::future::pending().await;
        }
        self.let_go.as_mut().await;
        self.is_heard = true;
    }
}

/// What the HTTP library refused by itself. It has answered already, where there was something to answer.
fn connection_fault(error: &hyper::Error) -> Result<(), Rejection> {
    if error.is_parse_too_large() {
        return Err(Reason::HeadersTooLarge.into());
    }
    if error.is_parse() {
        return Err(Reason::FramingRefused.into());
    }
    let fault = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    match fault.filter(|fault| fault.is_library() && fault.is_go_away()).and_then(h2::Error::reason) {
        Some(h2::Reason::ENHANCE_YOUR_CALM) => Err(Reason::FloodRefused.into()),
        Some(_) => Err(Reason::FramingRefused.into()),
        None => Ok(()),
    }
}
