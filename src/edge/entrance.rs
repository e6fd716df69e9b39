//! The gateway as the requests of one connection meet it: it tells the connection's clockwork when they begin and end, and answers in place of the gateway
//! where the guard refused.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Version};
use hyper::body::Incoming;
use hyper_util::service::TowerToHyperService;
use tower::{Service, ServiceBuilder};
use tower_http::catch_panic::CatchPanicLayer;

use super::connection::Connection;
use super::guard::Fault;
use super::serve::Worker;
use super::tls::CertificateStore;
use super::turns::{Errand, Requests, Turn, Turns};
use crate::admit::client::Standing;
use crate::delivery::HostMatch;
use crate::forward::Upstreams;
use crate::gateway::{Arrival, Detachable, Gateway, Peer, Unread};
use crate::policy::gateway_config::EdgeConfig;
use crate::record::{Delivery, DeliveryId, Outcome};
use crate::rejection::Rejection;
use crate::reply::{self, Reply};

/// An answer, or what stands in for it after a panic.
type Contained = http::Response<tower_http::body::UnsyncBoxBody<Bytes, tower_http::BoxError>>;

/// The gateway for the requests of one connection.
#[derive(Clone)]
struct Entrance {
    gateway: Arc<Gateway<Upstreams>>,
    config: Arc<EdgeConfig>,
    certificates: Option<Arc<CertificateStore>>,
    turns: Arc<Turns>,
    /// HTTP/2: those of this connection that wait for theirs.
    requests: Arc<Requests>,
    connection: Arc<Connection>,
}

/// The gateway as this connection's requests meet it. A panic ends one delivery, never the worker.
pub(super) fn service(
    worker: &Worker,
    connection: &Arc<Connection>,
) -> TowerToHyperService<
    impl Service<Request<Incoming>, Response = Contained, Error = Infallible, Future: Send> + Clone + Send + use<>,
> {
    let entrance = Entrance {
        gateway: Arc::clone(&worker.gateway),
        config: Arc::clone(&worker.config),
        certificates: worker.tls.as_ref().map(|(_, store)| Arc::clone(store)),
        turns: Arc::clone(&worker.turns),
        requests: Arc::default(),
        connection: Arc::clone(connection),
    };
    let contained = CatchPanicLayer::custom(|_cause| reply::panicked());
    TowerToHyperService::new(ServiceBuilder::new().layer(contained).service(entrance))
}

/// Records a fault for which no delivery stands, and answers the id of the record. `status` is what the peer was told.
pub(super) fn record(
    gateway: &Gateway<Upstreams>,
    peer: Peer,
    rejection: &Rejection,
    status: Option<StatusCode>,
) -> DeliveryId {
    let ts = gateway.shared().clock.unix_micros();
    let id = DeliveryId::new(ts);
    let status = status.map(|status| status.as_u16());
    gateway.recorder().delivery(&Delivery { status, ..Delivery::new(ts, id, peer.ip(), Outcome::Rejected(rejection)) });
    id
}

impl Service<Request<Incoming>> for Entrance {
    type Response = Reply;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Incoming>) -> Answering {
        let (number, age) = self.connection.activity.begin();
        let active = Active(Arc::clone(&self.connection));
        let http2 = request.version() == Version::HTTP_2;
        if !http2 && let Some(rejection) = self.refused(number) {
            let answer = Answer::Refused(Some(self.refuse(&rejection)));
            return Answering { answer, active, ending: Ending::Close, waiting: None };
        }
        let last = number + 1 >= self.config.requests_per_connection_max || age >= self.config.connection_time;
        if last {
            self.connection.retire();
        }
        let ending = match (http2, last) {
            (true, _) => Ending::Keep,
            (false, true) => Ending::Close,
            (false, false) => Ending::KeepIfInStep { number, pipelined_max: self.config.pipelined_requests_max },
        };
        let arrival = Arrival {
            peer: self.connection.peer(),
            protocol: self.connection.protocol,
            host: self.host_match(&request),
            is_whole: self.connection.progress.is_complete(number),
        };
        if let Some(client) = self.connection.client() {
            request.extensions_mut().insert(Arc::clone(client));
        }
        let delivery = Detachable::new(Arc::clone(&self.gateway), request, arrival);
        // Of HTTP/1 the read was the turn.
        let waiting = http2.then(|| Waiting {
            turns: Arc::clone(&self.turns),
            requests: Arc::clone(&self.requests),
            turn: Turn::Untaken(None),
        });
        Answering { answer: Answer::Delivery(delivery), active, ending, waiting }
    }
}

impl Entrance {
    /// What the guard refused in this request's place. A request that the guard never saw is none either: then it and the library disagree about where
    /// one ends.
    fn refused(&self, number: u32) -> Option<Rejection> {
        let unseen = || {
            (!self.connection.progress.has_passed(number)).then(|| Fault::framing("not where a request begins").into())
        };
        self.connection.refusal(number).or_else(unseen)
    }

    fn refuse(&self, rejection: &Rejection) -> Reply {
        let id = record(&self.gateway, self.connection.peer(), rejection, rejection.status());
        reply::refused(rejection, id.encode(&mut [0; DeliveryId::LENGTH]))
    }

    fn host_match(&self, request: &Request<Incoming>) -> HostMatch {
        let (Some(name), Some(store)) = (self.connection.name(), &self.certificates) else {
            return HostMatch::Served;
        };
        let authority = request.uri().authority().map(http::uri::Authority::host);
        match authority.or_else(|| host(request.headers())) {
            Some(host) if !store.serves_alike(name, host) => HostMatch::Misdirected,
            Some(_) | None => HostMatch::Served,
        }
    }
}

/// The host a request asks for, without port.
fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(http::header::HOST)?.to_str().ok()?.split(':').next()
}

/// An answer in the making.
struct Answering {
    answer: Answer,
    active: Active,
    ending: Ending,
    /// Where it waits for a turn before it begins.
    waiting: Option<Waiting>,
}

/// HTTP/2: a request's turn.
struct Waiting {
    turns: Arc<Turns>,
    requests: Arc<Requests>,
    turn: Turn,
}

enum Answer {
    Delivery(Detachable),
    /// Taken when it is polled.
    Refused(Option<Reply>),
}

/// Whether the connection ends after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Close,
    Keep,
    /// HTTP/1: what has not come of a request's body must not be waited for, nor be taken for the next request; and a client that goes on without
    /// waiting for answers may never read them.
    KeepIfInStep {
        number: u32,
        pipelined_max: u32,
    },
}

impl Ending {
    fn closes(self, connection: &Connection, leaves: Option<&Unread>) -> bool {
        match self {
            Self::Close => true,
            Self::Keep => false,
            Self::KeepIfInStep { number, pipelined_max } => {
                let runs_ahead = connection.progress.count_pipelined(number) >= pipelined_max;
                runs_ahead || connection.is_retired() || !connection.progress.is_complete(number) || leaves.is_some()
            }
        }
    }
}

/// The connection is busy as long as this lives.
struct Active(Arc<Connection>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.activity.end();
        if self.0.progress.has_begun() {
            // The next head began while this delivery was under way.
            self.0.activity.bytes_arrived();
        }
    }
}

/// The body of an HTTP/2 answer. The connection is not done before the client has made room for all of it.
struct UnsentBody {
    body: Bytes,
    connection: Arc<Connection>,
}

impl UnsentBody {
    fn of(body: Bytes, connection: &Arc<Connection>) -> Bytes {
        if body.is_empty() {
            return body;
        }
        connection.activity.answer_waits();
        Bytes::from_owner(Self { body, connection: Arc::clone(connection) })
    }
}

impl AsRef<[u8]> for UnsentBody {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Drop for UnsentBody {
    fn drop(&mut self) {
        self.connection.activity.answer_gone();
    }
}

impl Future for Answering {
    type Output = Result<Reply, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let standing = self.active.0.standing();
        if let Some(Waiting { turns, requests, turn }) = &mut self.waiting {
            ready!(turn.poll(turns, standing, Errand::Request(requests), context));
            self.waiting = None;
        }
        let mut reply = match &mut self.answer {
            Answer::Delivery(delivery) => {
                let Ok(reply) = ready!(Pin::new(&mut *delivery).poll(context));
                let standing = if delivery.is_proven() { Standing::Known } else { Standing::Stranger };
                self.active.0.set_standing(standing);
                reply
            }
            Answer::Refused(reply) => reply.take().unwrap_or_else(reply::panicked),
        };
        let connection = &self.active.0;
        connection.count_answer();
        if connection.activity.is_http2() {
            reply = reply::with_body(reply, |body| UnsentBody::of(body, connection));
        }
        if self.ending.closes(connection, reply.extensions().get()) {
            connection.progress.mark_closing();
            reply::close(&mut reply);
        }
        Poll::Ready(Ok(reply))
    }
}
