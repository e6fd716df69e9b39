//! A small HTTPS client for `hookward send` and `hookward demo`: one request, one connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// For a whole request.
const DEADLINE: Duration = Duration::from_secs(30);

/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A client that trusts certain authorities.
#[derive(Clone)]
pub struct Client {
    tls: Arc<ClientConfig>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Client {
    /// A client that trusts the certificates of this PEM text alone, or the public authorities without one.
    ///
    /// # Errors
    /// If the text holds no certificate.
    pub fn new(trusted: Option<&str>) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        match trusted {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                    roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
                }
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Arc::new(config) })
    }

    /// Sends one request to `url` and reads the whole answer.
    ///
    /// # Errors
    /// If there is no connection, or no whole answer within thirty seconds.
    pub async fn send(&self, method: Method, url: &Uri, headers: HeaderMap, body: Bytes) -> io::Result<Answer> {
        let exchange = self.exchange(method, url, headers, body);
        tokio::time::timeout(DEADLINE, exchange).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn exchange(&self, method: Method, url: &Uri, mut headers: HeaderMap, body: Bytes) -> io::Result<Answer> {
        let authority = url.authority().ok_or_else(|| io::Error::other(format!("{url} has no host")))?;
        let is_https = url.scheme_str() == Some("https");
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        if !headers.contains_key(http::header::HOST) {
            let value = HeaderValue::from_str(authority.as_str()).map_err(io::Error::other)?;
            headers.insert(http::header::HOST, value);
        }
        let target = url.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = target.parse().map_err(io::Error::other)?;
        *request.headers_mut() = headers;
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        stream.set_nodelay(true)?;
        if !is_https {
            return over(stream, request).await;
        }
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?;
        over(stream, request).await
    }
}

async fn over<S>(stream: S, request: Request<Full<Bytes>>) -> io::Result<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(io::Error::other)?.to_bytes();
    driver.abort();
    Ok(Answer { status: head.status, headers: head.headers, body })
}
