//! Proofs that a name is ours, over plain HTTP (HTTP-01, RFC 8555 §8.3): a listener that has the files an authority asks for, and nothing else.
//!
//! **Invariant:** nothing that comes in here reaches a policy, an app or a log.
//! **Invariant:** while no proof is pending a connection is closed as soon as it is there.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::http::header::CONTENT_TYPE;
use ::http::{HeaderValue, Method, Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::edge::caps::Caps;

/// Where the files are.
const PLACE: &str = "/.well-known/acme-challenge/";

/// Connections at one time: an authority looks from a handful of places.
const CONNECTIONS_MAX: usize = 64;

/// Of one client: the others' places are left to who really looks.
const CONNECTIONS_PER_CLIENT_MAX: usize = 8;

/// For a request's head.
const HEAD_TIME: Duration = Duration::from_secs(2);

/// For a connection as a whole, which has one request.
const CONNECTION_TIME: Duration = Duration::from_secs(10);

/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// After an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The files by their name. There are some only while proofs are pending.
#[derive(Debug, Default)]
pub(super) struct Tokens(Mutex<HashMap<String, String>>);

/// A file that stays until this is dropped.
#[must_use = "the file goes as soon as this is dropped"]
pub(super) struct Shown {
    tokens: Arc<Tokens>,
    token: String,
}

impl Tokens {
    /// Shows a text under a name.
    pub(super) fn show(self: &Arc<Self>, token: &str, text: &str) -> Shown {
        self.lock().insert(token.to_owned(), text.to_owned());
        Shown { tokens: Arc::clone(self), token: token.to_owned() }
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let token = path.strip_prefix(PLACE).filter(|_| *method == Method::GET);
        let text = token.and_then(|token| self.lock().get(token).cloned());
        let status = if text.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
        let mut response = Response::new(Full::from(text.unwrap_or_default()));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        response
    }

    fn are_there_any(&self) -> bool {
        !self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.tokens.lock().remove(&self.token);
    }
}

/// Binds the listener.
///
/// # Errors
/// What the system says.
pub(super) fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"));
    std::net::TcpListener::bind(address).map_err(named)
}

/// Gives the listener to the runtime that this is called in.
///
/// # Errors
/// What the system says.
pub(super) fn listener(socket: std::net::TcpListener) -> io::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

/// Answers until it is dropped.
pub(super) async fn serve(listener: TcpListener, tokens: Arc<Tokens>) -> Infallible {
    let caps = Caps::new(CONNECTIONS_MAX, CONNECTIONS_PER_CLIENT_MAX);
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        if !tokens.are_there_any() {
            continue;
        }
        // No place is kept for anybody.
        let Ok(place) = caps.enter(peer.ip(), || true) else { continue };
        let tokens = Arc::clone(&tokens);
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let answer = tokens.answer(request.method(), request.uri().path());
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
            builder.keep_alive(false).max_buf_size(HEAD_BYTES_MAX);
            let served = builder.serve_connection(TokioIo::new(stream), service);
            // Whoever asked has its answer, or did not wait for it.
            let _ = tokio::time::timeout(CONNECTION_TIME, served).await;
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpSocket, TcpStream};

    #[test]
    fn a_file_is_there_while_its_proof_is_pending_and_nothing_else_ever_is() {
        let tokens = Arc::new(Tokens::default());
        let shown = tokens.show("abc", "abc.thumb");
        let status = |method: Method, path: &str| tokens.answer(&method, path).status().as_u16();
        let file = "/.well-known/acme-challenge/abc";
        assert_eq!(status(Method::GET, file), 200);
        for (method, path) in [
            (Method::POST, file),
            (Method::HEAD, file),
            (Method::GET, "/.well-known/acme-challenge/"),
            (Method::GET, "/.well-known/acme-challenge/ab"),
            (Method::GET, "/.well-known/acme-challenge/abc/"),
            (Method::GET, "/abc"),
            (Method::GET, "/"),
        ] {
            assert_eq!(status(method, path), 404, "{path}");
        }
        drop(shown);
        assert_eq!(status(Method::GET, file), 404);
    }

    fn socket(client: &str, address: SocketAddr) -> impl Future<Output = TcpStream> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(client.parse().unwrap(), 0)).unwrap();
        async move { socket.connect(address).await.unwrap() }
    }

    /// What is answered until the end of the connection; nothing, where it is closed at once.
    async fn answer(mut stream: TcpStream, request: &str) -> String {
        let mut answer = Vec::new();
        // A connection that is closed takes nothing, and may end with a reset.
        let _ = stream.write_all(request.as_bytes()).await;
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    #[test]
    fn the_silent_have_two_seconds_and_a_few_places_each_while_a_proof_is_pending_and_else_none() {
        const REQUEST: &str = "GET /.well-known/acme-challenge/abc HTTP/1.1\r\nhost: a.example\r\n\r\n";
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bound = bind(([127, 0, 0, 1], 0).into()).unwrap();
            let address = bound.local_addr().unwrap();
            let tokens = Arc::new(Tokens::default());
            tokio::spawn(serve(listener(bound).unwrap(), Arc::clone(&tokens)));
            assert_eq!(answer(socket("127.0.0.1", address).await, "").await, "", "no proof is pending");

            let _shown = tokens.show("abc", "abc.thumb");
            let mut silent = Vec::new();
            for taken in 0..=CONNECTIONS_PER_CLIENT_MAX {
                let answer = answer(socket("127.0.0.1", address).await, REQUEST).await;
                assert_eq!(answer.ends_with("abc.thumb"), taken < CONNECTIONS_PER_CLIENT_MAX, "{taken}: {answer}");
                silent.push(socket("127.0.0.1", address).await);
            }
            let other = answer(socket("127.0.0.2", address).await, REQUEST).await;
            assert!(other.ends_with("abc.thumb"), "{other}");
            for stream in silent {
                let ended = tokio::time::timeout(CONNECTION_TIME / 2, answer(stream, "")).await;
                assert!(ended.is_ok(), "it is still open");
            }
            let again = answer(socket("127.0.0.1", address).await, REQUEST).await;
            assert!(again.ends_with("abc.thumb"), "{again}");
        });
    }
}
