//! A handshake that asks for a visit: the gateway confirms a subscription before it answers, where the policy wants that.
//!
//! The message was proven, is new and stays claimed meanwhile; where the visit goes was decided by `auth`. Here it is seen that the address is no
//! way into the gateway's own networks, and what comes back decides on nothing but yes or no.
//!
//! **Invariant:** no sender is told 2xx unless the visit was answered so. What failed is answered 5xx, so that the provider sends it again.
//!
//! **Invariant:** one visit is under way for a source, and a few in all; who is too many is sent away, and nobody waits in line.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{HeaderValue, Request};
use http_body_util::Full;
use rustls::pki_types::ServerName;

use super::draft::Draft;
use super::{Gateway, Upstream};
use crate::admit::source::SourceId;
use crate::auth::confirmation::Confirmation;
use crate::delivery::{Answer, Ended};
use crate::forward::names::{Names, is_public};
use crate::forward::pool::Outbound;
use crate::forward::target::{At, Target, Transport};
use crate::policy::Source;
use crate::policy::source::ConfirmRules;
use crate::reason::{Level, Reason};
use crate::record::DeliveryId;
use crate::rejection::Rejection;

/// Visits under way in all workers.
const UNDER_WAY_MAX: usize = 4;

/// How long a sender waits for a visit at most: Amazon SNS gives up on an answer after 15 seconds.
const VISIT_TIME_MAX: Duration = Duration::from_secs(10);

/// What a visit may be answered, in bytes; it is read and forgotten.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// When a sender may try again that was one too many.
const RETRY_AFTER: Duration = Duration::from_secs(5);

const HTTPS: u16 = 443;
const CLOSE: HeaderValue = HeaderValue::from_static("close");
const NAME: HeaderValue = HeaderValue::from_static("hookward");

/// What visits need, shared by all workers.
pub struct Visits {
    names: Names,
    under_way: Mutex<Vec<SourceId>>,
}

/// That a visit may be made. Dropping it makes room for the next.
struct Turn<'v> {
    visits: &'v Visits,
    source: SourceId,
}

impl fmt::Debug for Visits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visits").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Visits {
    /// None under way; hosts are where `names` says.
    #[must_use]
    pub const fn new(names: Names) -> Self {
        Self { names, under_way: Mutex::new(Vec::new()) }
    }

    fn enter(&self, source: SourceId) -> Option<Turn<'_>> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if under_way.len() >= UNDER_WAY_MAX || under_way.contains(&source) {
            return None;
        }
        under_way.push(source);
        Some(Turn { visits: self, source })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut under_way = self.visits.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.retain(|source| *source != self.source);
    }
}

impl<U: Upstream> Gateway<U> {
    /// Makes the visit that an answer depends on. Its message is remembered once it is confirmed, so a repetition of it causes no second visit.
    pub(super) async fn confirm(
        &self,
        mut answer: Box<Answer>,
        confirmation: &Confirmation,
        draft: &Draft<'_, U>,
    ) -> Ended {
        let Some((source, rules)) =
            draft.source().and_then(|source| Some((source, source.handshakes.confirm.as_ref()?)))
        else {
            return Reason::HandshakeRefused.into();
        };
        let Some(_turn) = self.shared.visits.enter(source.limits.id()) else {
            let overloaded = Rejection::new(Reason::Overloaded).fact("limit", "confirmations under way");
            return overloaded.retry_after(RETRY_AFTER).into();
        };
        let deadline = source.forward.deadline.min(VISIT_TIME_MAX);
        let until = Instant::now() + deadline;
        match tokio::time::timeout_at(until.into(), self.visit(confirmation, rules, until)).await {
            Ok(Ok(())) => {
                answer.commit(self.shared.clock.monotonic());
                self.tell_confirmed(confirmation, source, draft);
                Ended::Answered(answer)
            }
            Ok(Err(fault)) => fault.into(),
            Err(_elapsed) => {
                let deadline = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
                failed(Rejection::new(Reason::UpstreamTimeout).fact("deadline_ms", deadline), confirmation).into()
            }
        }
    }

    async fn visit(&self, confirmation: &Confirmation, rules: &ConfirmRules, until: Instant) -> Result<(), Rejection> {
        let addresses = self.shared.visits.names.resolve(confirmation.host(), HTTPS).await.map_err(|error| {
            failed(Rejection::new(Reason::UpstreamConnect).fact("error", error.kind().to_string()), confirmation)
        })?;
        let outbound = outbound(confirmation, allowed(addresses, confirmation, rules)?, rules, until)?;
        let exchange = self.upstream.clone().call(outbound).await;
        let exchange = exchange.map_err(|fault| failed(fault.into(), confirmation))?;
        let status = exchange.head.status;
        if status.is_success() {
            return Ok(());
        }
        let refused = Rejection::new(Reason::UpstreamFailed).fact("upstream_status", u64::from(status.as_u16()));
        Err(failed(refused, confirmation))
    }

    fn tell_confirmed(&self, confirmation: &Confirmation, source: &Source, draft: &Draft<'_, U>) {
        let mut id = [0; DeliveryId::LENGTH];
        let delivery = draft.id().encode(&mut id).to_owned();
        let (topic, host) = (confirmation.topic(), confirmation.host());
        self.recorder.event(
            Level::Info,
            "a subscription is confirmed",
            &[("source", &source.name), ("topic", &topic), ("host", &host), ("delivery", &delivery)],
        );
    }
}

/// A visit that was tried and failed. The reason is that of an upstream, the facts are of the host that was visited.
fn failed(rejection: Rejection, confirmation: &Confirmation) -> Rejection {
    rejection
        .fact("visited", confirmation.host().to_owned())
        .hint(
            "the subscription is not confirmed yet, and its sender tries again: see that this machine reaches the host that detail.visited names, on \
             port 443",
        )
}

/// The addresses, if all of them are on the internet, or where the policy says.
fn allowed(
    addresses: Vec<SocketAddr>,
    confirmation: &Confirmation,
    rules: &ConfirmRules,
) -> Result<Arc<[SocketAddr]>, Rejection> {
    let is_allowed = |address: &SocketAddr| is_public(address.ip()) || rules.networks.contains(address.ip());
    match addresses.iter().find(|address| !is_allowed(address)) {
        None => Ok(addresses.into()),
        Some(address) => Err(Rejection::new(Reason::HandshakeRefused)
            .fact("visited", confirmation.host().to_owned())
            .fact("found", format!("the host's address is {}, which is not on the public internet", address.ip()))
            .hint("if the provider's endpoint is in a network of yours, name that in [handshake] networks; else see who answers for the name")),
    }
}

fn outbound(
    confirmation: &Confirmation,
    addresses: Arc<[SocketAddr]>,
    rules: &ConfirmRules,
    connect_until: Instant,
) -> Result<Outbound, Rejection> {
    let host = confirmation.host();
    let unfit = || Rejection::new(Reason::HandshakeRefused).fact("expected", "a host's name");
    let name = ServerName::try_from(host.to_owned()).map_err(|_| unfit())?;
    let value = HeaderValue::from_str(host).map_err(|_| unfit())?;
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.uri_mut() = confirmation.target().clone();
    request.headers_mut().insert(HOST, value.clone());
    request.headers_mut().insert(USER_AGENT, NAME);
    // One visit is all there is: nobody waits for the connection.
    request.headers_mut().insert(CONNECTION, CLOSE);
    let config = Arc::clone(&rules.client);
    // Two sources may trust different roots for one host.
    let pool_key = format!("confirm {host} {:p}", Arc::as_ptr(&config)).into();
    let transport = Transport::Tls { at: At::Addresses(addresses), name, config };
    let name = Arc::from(format!("https://{host}"));
    let target = Target { transport, path: confirmation.target().clone(), host: value, name, pool_key };
    Ok(Outbound { target: Arc::new(target), request, answer_bytes_max: ANSWER_BYTES_MAX, connect_until })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_visit_is_under_way_for_a_source_and_four_in_all() {
        let visits = Visits::new(Names::system());
        let first = visits.enter(SourceId::new(0)).unwrap();
        assert!(visits.enter(SourceId::new(0)).is_none(), "the same source");
        let others: Vec<_> = (1..4).map(|id| visits.enter(SourceId::new(id)).unwrap()).collect();
        assert!(visits.enter(SourceId::new(4)).is_none(), "the fifth");
        drop(first);
        let fifth = visits.enter(SourceId::new(4)).unwrap();
        assert!(visits.enter(SourceId::new(0)).is_none());
        drop((others, fifth));
        assert!(visits.enter(SourceId::new(0)).is_some());
        assert!(visits.under_way.lock().unwrap().is_empty());
    }
}
