//! The requests that leave. A delivery's is written anew from the route, the allow-list and what the gateway attests; the gateway's own two ask for a path and say nothing else.
//!
//! **Invariant:** a connection to an upstream takes an [`UpstreamRequest`] and nothing else, and this file alone makes one: [of a clean delivery](UpstreamRequest::delivery),
//! [of a health check](UpstreamRequest::health_check), [of a visit that confirms a subscription](UpstreamRequest::visit).
//!
//! A request that somebody else wrote is none:
//! ```compile_fail,E0423
//! # use {bytes::Bytes, hookward::forward::request::UpstreamRequest, http::Request, http_body_util::Full};
//! fn forge(received: Request<Full<Bytes>>) -> UpstreamRequest {
//!     UpstreamRequest(received)
//! }
//! ```
//! and does not leave:
//! ```compile_fail,E0308
//! # use {bytes::Bytes, hookward::forward::{Target, pool::Outbound}, http::Request, http_body_util::Full, std::sync::Arc, std::time::Instant};
//! fn pass_on(received: Request<Full<Bytes>>, target: Arc<Target>) -> Outbound {
//!     Outbound { target, request: received, answer_bytes_max: 0, connect_until: Instant::now() }
//! }
//! ```

use std::fmt;
use std::net::IpAddr;

use bytes::Bytes;
use http::header::{CONNECTION, FORWARDED, HOST, USER_AGENT};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use http_body_util::Full;

use super::headers::Edited;
use super::target::Target;
use super::targets::HealthRules;
use crate::auth::confirmation::Confirmation;
use crate::auth::facts::Covered;
use crate::clock::UnixSeconds;
use crate::delivery::Sanitized;
use crate::text::push_ip;

const SOURCE: HeaderName = HeaderName::from_static("x-hookward-source");
const DELIVERY: HeaderName = HeaderName::from_static("x-hookward-delivery");
const EVENT: HeaderName = HeaderName::from_static("x-hookward-event");
const EVENT_UNSIGNED: HeaderName = HeaderName::from_static("x-hookward-event-unsigned");
const SECRET_ID: HeaderName = HeaderName::from_static("x-hookward-secret-id");
const EDITS: HeaderName = HeaderName::from_static("x-hookward-edits");
const DUPLICATE: HeaderName = HeaderName::from_static("x-hookward-duplicate");
const UNAUTHENTICATED: HeaderName = HeaderName::from_static("x-hookward-unauthenticated");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

const CLOSE: HeaderValue = HeaderValue::from_static("close");
const NAME: HeaderValue = HeaderValue::from_static("hookward");

/// The longest body of an answer to a request of the gateway's own, in bytes. It is read and thrown away.
pub const OWN_ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A request that may go to an upstream.
pub struct UpstreamRequest(Request<Full<Bytes>>);

/// Without target, fields and body: they are the sender's, or hold a token.
impl fmt::Debug for UpstreamRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamRequest").field("method", self.0.method()).finish_non_exhaustive()
    }
}

/// What the gateway knows of a delivery besides what the sender sent.
#[derive(Debug, Clone, Copy)]
pub struct Attestation<'a> {
    /// The gateway's own id of this delivery.
    pub delivery: &'a str,
    /// The client's address.
    pub peer: IpAddr,
    /// Whether the client spoke TLS.
    pub protocol: Protocol,
    /// The time, for the gateway's signature.
    pub now: UnixSeconds,
    /// Whether the same delivery was accepted before.
    pub duplicate: bool,
}

/// What the client spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP over TLS.
    Https,
    /// Plain HTTP, from a trusted proxy.
    Http,
}

impl Protocol {
    /// The URL scheme.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }
}

impl UpstreamRequest {
    /// That of a clean delivery, for one of its source's upstreams.
    #[must_use]
    pub fn delivery(delivery: &Sanitized<'_>, target: &Target, attestation: Attestation<'_>) -> Self {
        let rules = &delivery.source().forward;
        let mut headers = HeaderMap::with_capacity(24);
        headers.insert(HOST, target.host.clone());
        let edited = if delivery.is_as_signed() { Edited::No } else { Edited::Yes };
        rules.headers.pass(&delivery.head().headers, &mut headers, edited);
        attest(delivery, attestation, &mut headers);
        // An app that looks at our signature alone must not take a stranger's words for a sender's.
        if let Some(signer) = rules.signer.as_ref().filter(|_| !delivery.is_unproven()) {
            signer.sign(attestation.delivery, attestation.now, delivery.body(), &mut headers);
        }
        let mut request = Request::new(Full::new(delivery.body().clone()));
        *request.method_mut() = delivery.head().method.clone();
        *request.uri_mut() = target_uri(delivery, &target.path);
        *request.headers_mut() = headers;
        Self(request)
    }

    /// That of a health check: the policy's path at this upstream.
    #[must_use]
    pub fn health_check(rules: &HealthRules, target: &Target) -> Self {
        Self::own(rules.path.clone(), target.host.clone())
    }

    /// That of a visit which an authentic message asks for.
    #[must_use]
    pub fn visit(confirmation: &Confirmation, target: &Target) -> Self {
        Self::own(confirmation.target().clone(), target.host.clone())
    }

    /// One of the gateway's own: GET, without a body, and the only one on its connection.
    fn own(path: Uri, host: HeaderValue) -> Self {
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.uri_mut() = path;
        request.headers_mut().extend([(HOST, host), (USER_AGENT, NAME), (CONNECTION, CLOSE)]);
        Self(request)
    }

    /// The request itself, to be sent or to be shown. There is no way back.
    pub(crate) fn into_http(self) -> Request<Full<Bytes>> {
        self.0
    }
}

fn attest(delivery: &Sanitized<'_>, attestation: Attestation<'_>, headers: &mut HeaderMap) {
    let mut put = |name: HeaderName, value: Option<HeaderValue>| {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    };
    let text = |text: &str| HeaderValue::from_str(text).ok();
    put(SOURCE, text(&delivery.source().name));
    put(DELIVERY, text(attestation.delivery));
    if let Some(event) = delivery.event() {
        let name = match event.covered {
            Covered::Signed => EVENT,
            Covered::Unsigned => EVENT_UNSIGNED,
        };
        put(name, text(&event.name));
    }
    if let Some(proof) = delivery.proof() {
        put(SECRET_ID, text(proof.secret_id()));
    }
    if !delivery.report().is_empty() {
        put(EDITS, text(&delivery.report().count().to_string()));
    }
    if delivery.is_unproven() {
        put(UNAUTHENTICATED, Some(HeaderValue::from_static("1")));
    }
    if attestation.duplicate {
        put(DUPLICATE, Some(HeaderValue::from_static("1")));
    }
    let peer = attestation.peer.to_canonical();
    let host = original_host(delivery);
    let mut field = Vec::with_capacity(128);
    push_ip(&mut field, peer);
    put(X_FORWARDED_FOR, HeaderValue::from_bytes(&field).ok());
    put(X_FORWARDED_PROTO, Some(HeaderValue::from_static(attestation.protocol.name())));
    field.clear();
    push_forwarded(&mut field, peer, host.as_ref(), attestation.protocol);
    put(FORWARDED, HeaderValue::from_bytes(&field).ok());
    put(X_FORWARDED_HOST, host);
}

/// The host the sender asked for.
fn original_host(delivery: &Sanitized<'_>) -> Option<HeaderValue> {
    let head = delivery.head();
    match head.headers.get(HOST) {
        Some(field) if field.to_str().is_ok() => Some(field.clone()),
        Some(_) | None => HeaderValue::from_str(head.uri.authority().map_or("", Authority::as_str)).ok(),
    }
}

/// RFC 7239: an IPv6 address stands in brackets and quotes.
fn push_forwarded(field: &mut Vec<u8>, peer: IpAddr, host: Option<&HeaderValue>, protocol: Protocol) {
    let (open, close) = if peer.is_ipv6() { ("for=\"[", "]\"") } else { ("for=", "") };
    field.extend_from_slice(open.as_bytes());
    push_ip(field, peer);
    field.extend_from_slice(close.as_bytes());
    field.extend_from_slice(b";host=\"");
    field.extend_from_slice(host.map_or(b"", HeaderValue::as_bytes));
    field.extend_from_slice(b"\";proto=");
    field.extend_from_slice(protocol.name().as_bytes());
}

/// The route's own path; the sender's query byte for byte, minus the parameter that holds a credential.
fn target_uri(delivery: &Sanitized<'_>, path: &Uri) -> Uri {
    let rules = &delivery.source().forward;
    let Some(query) = delivery.head().uri.query() else { return path.clone() };
    let parameters = rules.credential_parameters.iter();
    let query = parameters.fold(query.to_owned(), |query, parameter| without_parameter(&query, parameter));
    if query.is_empty() {
        return path.clone();
    }
    let joint = if path.query().is_some() { '&' } else { '?' };
    let text = format!("{path}{joint}{query}");
    PathAndQuery::try_from(text).map_or_else(|_| path.clone(), Uri::from)
}

/// The query without pairs of this name, the rest byte for byte.
fn without_parameter(query: &str, name: &str) -> String {
    let is_named = |pair: &str| form_urlencoded::parse(pair.as_bytes()).next().is_some_and(|(found, _)| found == name);
    query.split('&').filter(|pair| !is_named(pair)).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;
    use http_body::Body as _;

    #[test]
    fn a_credential_parameter_does_not_leave_however_it_is_spelled() {
        let rows = [
            ("token=x", ""),
            ("a=1&token=x&b=2", "a=1&b=2"),
            ("tok%65n=x&a=%20+", "a=%20+"),
            ("a=1&token", "a=1"),
            ("tokens=x&Token=y", "tokens=x&Token=y"),
            ("a=1&&b", "a=1&&b"),
        ];
        for (query, left) in rows {
            assert_eq!(without_parameter(query, "token"), left, "{query}");
        }
    }

    #[test]
    fn a_request_of_the_gateways_own_has_three_fields_and_no_body() {
        let own = UpstreamRequest::own(Uri::from_static("/?token=x"), HeaderValue::from_static("app"));
        assert_eq!(format!("{own:?}"), "UpstreamRequest { method: GET, .. }", "its path may hold a token");
        let (head, body) = own.into_http().into_parts();
        assert_eq!((head.method, head.uri), (Method::GET, Uri::from_static("/?token=x")));
        let fields: Vec<_> = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(fields, [("host", &b"app"[..]), ("user-agent", b"hookward"), ("connection", b"close")]);
        assert_eq!(body.size_hint().exact(), Some(0));
    }

    #[test]
    fn forwarded_quotes_ipv6() {
        let rows = [
            ("192.0.2.1", "for=192.0.2.1;host=\"h\";proto=https"),
            ("2001:db8::1", "for=\"[2001:db8::1]\";host=\"h\";proto=https"),
        ];
        for (peer, field) in rows {
            let (host, mut written) = (HeaderValue::from_static("h"), Vec::new());
            push_forwarded(&mut written, peer.parse().unwrap(), Some(&host), Protocol::Https);
            assert_eq!(String::from_utf8(written).unwrap(), field, "{peer}");
        }
    }
}
