//! What the upstream's answer means for the sender.
//!
//! A sender that gets 2xx never sends again; so nothing but the upstream's own 2xx becomes one, and no fault of ours is told as the sender's.

use std::io;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, StatusCode};
use rustls::CertificateError;

use super::lookups::LookupFault;
use super::pool::{Exchange, ExchangeFault, TooMuch};
use crate::reason::Reason;
use crate::rejection::Rejection;

/// A delivery that the upstream answered with 2xx or 4xx: its answer goes back to the sender.
#[derive(Debug)]
pub struct Forwarded {
    /// The upstream's status.
    pub status: StatusCode,
    /// The fields of its answer that are relayed.
    pub headers: HeaderMap,
    /// Its body, capped.
    pub body: Bytes,
}

/// The longest Retry-After of an upstream that is passed on, in seconds.
const RETRY_AFTER_MAX: u64 = 3600;

/// What a sender waits if an overloaded upstream does not say.
const RETRY_AFTER_DEFAULT: u64 = 5;

impl Forwarded {
    /// Judges an upstream's answer; of its header fields Content-Type, Retry-After and `relayed` go back.
    ///
    /// # Errors
    /// `upstream_overloaded` (429, 503), `upstream_failed` (other 5xx, 3xx, 1xx).
    pub fn judge(exchange: Exchange, relayed: &[HeaderName]) -> Result<Self, Rejection> {
        let status = exchange.head.status;
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            let after = std::time::Duration::from_secs(asked_to_wait(&exchange.head.headers));
            return Err(Rejection::new(Reason::UpstreamOverloaded)
                .fact("upstream_status", u64::from(status.as_u16()))
                .retry_after(after));
        }
        if !status.is_success() && !status.is_client_error() {
            return Err(Rejection::new(Reason::UpstreamFailed).fact("upstream_status", u64::from(status.as_u16())));
        }
        let mut headers = HeaderMap::with_capacity(4);
        for name in [&CONTENT_TYPE, &RETRY_AFTER].into_iter().chain(relayed) {
            if let Some(value) = exchange.head.headers.get(name) {
                headers.insert(name.clone(), value.clone());
            }
        }
        Ok(Self { status, headers, body: exchange.body })
    }
}

impl From<ExchangeFault> for Rejection {
    fn from(fault: ExchangeFault) -> Self {
        match fault {
            ExchangeFault::Unresolved(fault) => Self::new(Reason::UpstreamConnect).fact("error", unresolved(fault)),
            ExchangeFault::Connect(error) => Self::new(Reason::UpstreamConnect).fact("error", unreached(&error)),
            ExchangeFault::Starved(shortage) => Self::new(Reason::UpstreamConnect)
                .fact("error", shortage.to_string())
                .hint("the upstream is not to blame, and its circuit stays as it is: give the gateway's process or machine more of what is named"),
            ExchangeFault::Unsent(_) => {
                Self::new(Reason::UpstreamConnect).fact("error", "connections are closed before anything is sent")
            }
            ExchangeFault::Broken(error) => Self::new(Reason::UpstreamFailed).fact("error", broken(&error)),
            ExchangeFault::Ambiguous => {
                Self::new(Reason::UpstreamFailed).fact("error", "the answer's length is told in more than one way")
            }
            ExchangeFault::AnswerTooLarge => {
                Self::new(Reason::UpstreamFailed).fact("error", "the answer's body is too long")
            }
        }
    }
}

/// Why nobody knows where the upstream is, in words of ours.
fn unresolved(fault: LookupFault) -> &'static str {
    if fault.kind == io::ErrorKind::TimedOut {
        "the upstream's name cannot be looked up in time"
    } else {
        "the upstream's name cannot be looked up"
    }
}

/// Why there is no connection, in words of ours.
fn unreached(error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(fault)) => refused_certificate(fault).to_owned(),
        Some(_) => "the TLS handshake failed".to_owned(),
        None => error.kind().to_string(),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library's list is open")]
const fn refused_certificate(fault: &CertificateError) -> &'static str {
    use CertificateError as E;
    match fault {
        E::Expired | E::ExpiredContext { .. } => "the upstream's certificate has expired",
        E::NotValidYet | E::NotValidYetContext { .. } => "the upstream's certificate is not valid yet",
        E::NotValidForName | E::NotValidForNameContext { .. } => "the upstream's certificate is for another name",
        E::UnknownIssuer => "the upstream's certificate does not lead to a trusted root",
        _ => "the upstream's certificate is refused",
    }
}

/// What broke, in words of ours: the library's text could hold bytes of the answer.
fn broken(error: &hyper::Error) -> &'static str {
    if error.is_parse_too_large() || is_too_much(error) {
        "the answer's head is too long"
    } else if error.is_parse() {
        "the answer is not HTTP/1.1"
    } else if error.is_incomplete_message() {
        "the connection ended before the answer did"
    } else if error.is_canceled() {
        "the connection was closed"
    } else if error.is_timeout() {
        "the connection timed out"
    } else {
        "the connection failed"
    }
}

/// Whether the answer's head, with interim answers before it, had no end within its limit.
fn is_too_much(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    let cause = source.and_then(io::Error::get_ref).and_then(|inner| inner.downcast_ref::<TooMuch>());
    cause.is_some()
}

fn asked_to_wait(headers: &HeaderMap) -> u64 {
    let text = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    text.and_then(|text| text.parse().ok()).map_or(RETRY_AFTER_DEFAULT, |seconds: u64| seconds.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, Response};

    fn judged(status: u16, retry_after: Option<&'static str>) -> Result<u16, (Reason, Option<u64>)> {
        let mut response = Response::builder().status(status).header("x-powered-by", "app").body(()).unwrap();
        if let Some(text) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(text));
        }
        let exchange = Exchange { head: response.into_parts().0, body: Bytes::new(), attempts: 1 };
        match Forwarded::judge(exchange, &[]) {
            Ok(forwarded) => {
                assert!(!forwarded.headers.contains_key("x-powered-by"));
                Ok(forwarded.status.as_u16())
            }
            Err(rejection) => Err((rejection.reason(), rejection.retry_after_seconds())),
        }
    }

    #[test]
    fn only_the_upstreams_own_success_becomes_success() {
        let failed = Err((Reason::UpstreamFailed, None));
        let rows = [
            (200, None, Ok(200)),
            (202, None, Ok(202)),
            (204, None, Ok(204)),
            (299, None, Ok(299)),
            (300, None, failed),
            (302, None, failed),
            (304, None, failed),
            (400, None, Ok(400)),
            (404, None, Ok(404)),
            (410, None, Ok(410)),
            (429, Some("7"), Err((Reason::UpstreamOverloaded, Some(7)))),
            (429, None, Err((Reason::UpstreamOverloaded, Some(5)))),
            (499, None, Ok(499)),
            (500, None, failed),
            (501, None, failed),
            (502, None, failed),
            (503, Some("99999999"), Err((Reason::UpstreamOverloaded, Some(3600)))),
            (503, Some("Wed, 21 Oct 2026 07:28:00 GMT"), Err((Reason::UpstreamOverloaded, Some(5)))),
            (504, None, failed),
            (599, None, failed),
        ];
        for (status, retry_after, expected) in rows {
            assert_eq!(judged(status, retry_after), expected, "{status} {retry_after:?}");
        }
    }
}
