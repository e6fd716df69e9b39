//! The way to the authority: one connection a request, TLS always, a deadline and a bound on the answer.
//!
//! The library would bring its own client with a TLS stack and a verifier of the platform's; this one has what is here anyway.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{CONNECTION, HOST};
use ::http::uri::{PathAndQuery, Scheme};
use ::http::{HeaderValue, Request, Response, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// For a request, from the look-up of the host to the end of the answer.
const REQUEST_TIME: Duration = Duration::from_secs(30);

/// Of an answer; a chain has some thousand bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// An authority's server.
pub(super) struct Authority(TlsConnector);

impl Authority {
    /// Trusts it as this configuration does.
    pub(super) fn new(config: Arc<ClientConfig>) -> Self {
        Self(TlsConnector::from(config))
    }
}

impl HttpClient for Authority {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let connector = self.0.clone();
        Box::pin(async move {
            let exchanged = tokio::time::timeout(REQUEST_TIME, exchange(&connector, request)).await;
            let late = |_elapsed| Error::Other(io::Error::from(io::ErrorKind::TimedOut).into());
            exchanged.map_err(late)?.map(BytesResponse::from).map_err(Error::Other)
        })
    }
}

async fn exchange(
    connector: &TlsConnector,
    mut request: Request<BodyWrapper<Bytes>>,
) -> Result<Response<Full<Bytes>>, Fault> {
    let uri = std::mem::take(request.uri_mut());
    let (Some(authority), true) = (uri.authority(), uri.scheme() == Some(&Scheme::HTTPS)) else {
        return Err("the authority names a place that is not https".into());
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned())?;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_str(authority.as_str())?);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    *request.uri_mut() = Uri::from(uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")));

    let socket = TcpStream::connect((host, authority.port_u16().unwrap_or(443))).await?;
    let stream = connector.connect(name, socket).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async move {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?.to_bytes();
        Ok::<_, Fault>(Response::from_parts(head, Full::new(body)))
    };
    // How the connection ends says nothing once the answer is whole.
    let (answer, _ended) = tokio::join!(answer, connection);
    answer
}
