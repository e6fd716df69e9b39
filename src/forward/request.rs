//! The request that leaves: written anew from the route, the allow-list and what the gateway attests.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{FORWARDED, HOST};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use http_body_util::Full;

use super::headers::Edited;
use crate::auth::facts::Covered;
use crate::clock::UnixSeconds;
use crate::delivery::Sanitized;

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

/// The upstream request of a clean delivery.
#[must_use]
pub fn request(delivery: &Sanitized<'_>, attestation: Attestation<'_>) -> Request<Full<Bytes>> {
    let rules = &delivery.source().forward;
    let mut headers = HeaderMap::with_capacity(24);
    headers.insert(HOST, rules.target.host.clone());
    let edited = if delivery.report().is_empty() { Edited::No } else { Edited::Yes };
    rules.headers.pass(&delivery.head().headers, &mut headers, edited);
    attest(delivery, attestation, &mut headers);
    if let Some(signer) = &rules.signer {
        signer.sign(attestation.delivery, attestation.now, delivery.body(), &mut headers);
    }
    let mut request = Request::new(Full::new(delivery.body().clone()));
    *request.method_mut() = delivery.head().method.clone();
    *request.uri_mut() = target_uri(delivery);
    *request.headers_mut() = headers;
    request
}

fn attest(delivery: &Sanitized<'_>, attestation: Attestation<'_>, headers: &mut HeaderMap) {
    let mut put = |name: HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    put(SOURCE, &delivery.source().name);
    put(DELIVERY, attestation.delivery);
    if let Some(event) = delivery.event() {
        let name = match event.covered {
            Covered::Signed => EVENT,
            Covered::Unsigned => EVENT_UNSIGNED,
        };
        put(name, &event.name);
    }
    if let Some(proof) = delivery.proof() {
        put(SECRET_ID, proof.secret_id());
    }
    if !delivery.report().is_empty() {
        put(EDITS, &delivery.report().count().to_string());
    }
    if delivery.is_unproven() {
        put(UNAUTHENTICATED, "1");
    }
    if attestation.duplicate {
        put(DUPLICATE, "1");
    }
    let peer = attestation.peer.to_string();
    let host = original_host(delivery);
    put(X_FORWARDED_FOR, &peer);
    put(X_FORWARDED_PROTO, attestation.protocol.name());
    put(X_FORWARDED_HOST, host);
    put(FORWARDED, &forwarded(&peer, attestation.peer, host, attestation.protocol));
}

/// The host the sender asked for.
fn original_host<'d>(delivery: &Sanitized<'d>) -> &'d str {
    let head = delivery.head();
    let field = head.headers.get(HOST).and_then(|value| value.to_str().ok());
    field.or_else(|| head.uri.authority().map(http::uri::Authority::as_str)).unwrap_or_default()
}

/// RFC 7239: an IPv6 address stands in brackets and quotes.
fn forwarded(peer: &str, address: IpAddr, host: &str, protocol: Protocol) -> String {
    let (open, close) = if address.is_ipv6() { ("\"[", "]\"") } else { ("", "") };
    format!("for={open}{peer}{close};host=\"{host}\";proto={}", protocol.name())
}

/// The route's own path; the sender's query byte for byte, minus the parameter that holds a credential.
fn target_uri(delivery: &Sanitized<'_>) -> Uri {
    let rules = &delivery.source().forward;
    let path = &rules.target.path;
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
    fn forwarded_quotes_ipv6() {
        let rows = [
            ("192.0.2.1", "for=192.0.2.1;host=\"h\";proto=https"),
            ("2001:db8::1", "for=\"[2001:db8::1]\";host=\"h\";proto=https"),
        ];
        for (peer, field) in rows {
            assert_eq!(forwarded(peer, peer.parse().unwrap(), "h", Protocol::Https), field, "{peer}");
        }
    }
}
