//! An HTTP/2 client, on a runtime of its own.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

use super::{Answer, Delivery, Hello, PATIENCE, Running};

/// A connection with HTTP/2.
pub(crate) struct Http2 {
    runtime: Runtime,
    sender: SendRequest<Full<Bytes>>,
    authority: String,
}

impl Http2 {
    /// Connects to a gateway; ALPN chooses HTTP/2.
    pub(crate) fn connect(gateway: &Running) -> Self {
        Self::connect_as(gateway, "localhost")
    }

    /// Connects and asks for this name.
    pub(crate) fn connect_as(gateway: &Running, name: &str) -> Self {
        Self::begin(Hello { name, ..Hello::new(gateway) })
    }

    /// Connects as it is said.
    pub(crate) fn begin(hello: Hello<'_>) -> Self {
        let hello = Hello { protocols: &["h2", "http/1.1"], ..hello };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let connector = TlsConnector::from(Arc::new(hello.config()));
        let server_name = ServerName::try_from(hello.name.to_owned()).unwrap();
        let sender = runtime.block_on(async {
            let stream = TcpStream::connect(hello.address).await.unwrap();
            let stream = connector.connect(server_name, stream).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            sender
        });
        Self { runtime, sender, authority: hello.name.to_owned() }
    }

    /// Asks for another host on this connection.
    pub(crate) fn authority(mut self, authority: &str) -> Self {
        authority.clone_into(&mut self.authority);
        self
    }

    /// Sends a delivery and waits for its answer. Host goes as `:authority`.
    pub(crate) fn send(&mut self, delivery: &Delivery) -> Answer {
        let request = self.request(delivery);
        let sender = &mut self.sender;
        self.runtime.block_on(async {
            let exchange = async {
                sender.ready().await.unwrap();
                let (head, body) = sender.send_request(request).await.unwrap().into_parts();
                let body = body.collect().await.unwrap().to_bytes().to_vec();
                let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
                let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
                Answer { status: head.status.as_u16(), headers, body }
            };
            tokio::time::timeout(PATIENCE, exchange).await.expect("an answer in time")
        })
    }

    /// Sends a delivery and goes away once `until` returns, without waiting for an answer.
    pub(crate) fn send_and_go(mut self, delivery: &Delivery, until: impl FnOnce() + Send + 'static) {
        let request = self.request(delivery);
        let sender = &mut self.sender;
        self.runtime.block_on(async {
            sender.ready().await.unwrap();
            let answer = sender.send_request(request);
            let until = tokio::task::spawn_blocking(until);
            tokio::select! {
                answer = answer => panic!("answered: {answer:?}"),
                done = until => done.unwrap(),
            }
        });
    }

    /// Sends two deliveries on one connection; when the second is answered, `then` is called and the first is waited for.
    pub(crate) fn send_both(&mut self, first: &Delivery, second: &Delivery, then: impl FnOnce()) -> [u16; 2] {
        let (first, second) = (self.request(first), self.request(second));
        let sender = &mut self.sender;
        self.runtime.block_on(async {
            sender.ready().await.unwrap();
            let exchange = async {
                let first = tokio::spawn(sender.send_request(first));
                let second = sender.send_request(second).await.unwrap().status();
                assert!(!first.is_finished());
                then();
                [first.await.unwrap().unwrap().status(), second].map(|status| status.as_u16())
            };
            tokio::time::timeout(PATIENCE, exchange).await.expect("both answers in time")
        })
    }

    /// Sends deliveries on one connection, all at once. With the status of the first answer `then` is called; those of the others are handed out.
    pub(crate) fn send_all(&mut self, deliveries: &[Delivery], then: impl FnOnce(u16)) -> Vec<u16> {
        let requests: Vec<_> = deliveries.iter().map(|delivery| self.request(delivery)).collect();
        let sender = &mut self.sender;
        self.runtime.block_on(async {
            let mut answers = tokio::task::JoinSet::new();
            for request in requests {
                sender.ready().await.unwrap();
                let answer = sender.send_request(request);
                answers.spawn(async { answer.await.unwrap().status().as_u16() });
            }
            let exchange = async {
                then(answers.join_next().await.unwrap().unwrap());
                answers.join_all().await
            };
            tokio::time::timeout(PATIENCE, exchange).await.expect("all answers in time")
        })
    }

    fn request(&self, delivery: &Delivery) -> Request<Full<Bytes>> {
        let uri = format!("https://{}{}", self.authority, delivery.target);
        let mut request = Request::builder().version(Version::HTTP_2).method(delivery.method.as_str()).uri(uri);
        for (name, value) in delivery.headers.iter().filter(|(name, _)| name != "host") {
            request = request.header(name, value);
        }
        request.body(Full::from(delivery.body.clone())).unwrap()
    }
}
