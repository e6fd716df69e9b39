//! The answer to a sender: the upstream's own where there is one, else a short problem document.
//!
//! **Invariant:** a refused sender learns a class and a delivery id, and nothing that tells one fault of authentication from another.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::Body as _;
use http_body_util::Full;

use crate::forward::Forwarded;
use crate::reason::{Connection, Reason};
use crate::rejection::Rejection;

/// An answer whose body is in memory.
pub type Reply = Response<Full<Bytes>>;

const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// The id of a delivery, where the answer has no body to say it in.
const DELIVERY: HeaderName = HeaderName::from_static("x-hookward-delivery");

/// The upstream's answer.
#[must_use]
pub fn forwarded(forwarded: Forwarded) -> Reply {
    let mut reply = Response::new(Full::new(forwarded.body));
    *reply.status_mut() = forwarded.status;
    *reply.headers_mut() = forwarded.headers;
    reply
}

/// The gateway's own answer to a good request.
#[must_use]
pub fn answered(headers: HeaderMap, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body));
    *reply.headers_mut() = headers;
    reply
}

/// The answer to a refused sender (RFC 9457). `delivery` is the id under which the operator finds the record.
#[must_use]
pub fn refused(rejection: &Rejection, delivery: &str) -> Reply {
    let row = rejection.reason().row();
    let status = rejection.status().unwrap_or(StatusCode::BAD_REQUEST);
    if status.is_success() {
        // A duplicate that the policy acknowledges: the sender has nothing to learn but that it may stop.
        let mut reply = answered(HeaderMap::new(), Bytes::new());
        if let Ok(id) = HeaderValue::from_str(delivery) {
            reply.headers_mut().insert(DELIVERY, id);
        }
        return reply;
    }
    let mut reply = Response::new(Full::new(problem(row.class, status, delivery)));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, PROBLEM);
    reply.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    if row.connection == Connection::Close {
        reply.headers_mut().insert(CONNECTION, CLOSE);
    }
    if let Some(seconds) = rejection.retry_after_seconds() {
        reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if rejection.reason() == Reason::MethodNotAllowed
        && let Some(allow) = rejection.text("allowed").and_then(|allowed| HeaderValue::from_str(allowed).ok())
    {
        reply.headers_mut().insert(ALLOW, allow);
    }
    reply
}

/// The answer when the gateway itself broke; nothing of the delivery is known here.
#[must_use]
pub fn panicked() -> Reply {
    refused(&Rejection::new(Reason::Panic), "")
}

/// Makes the connection end after this answer (HTTP/1; HTTP/2 has GOAWAY).
pub fn close(reply: &mut Reply) {
    reply.headers_mut().insert(CONNECTION, CLOSE);
}

/// The same answer with what `change` makes of its body.
#[must_use]
pub fn with_body(reply: Reply, change: impl FnOnce(Bytes) -> Bytes) -> Reply {
    let (head, body) = parts(reply);
    Response::from_parts(head, Full::new(change(body)))
}

/// Head and body of an answer, whose body is in memory.
#[must_use]
pub fn parts(reply: Reply) -> (http::response::Parts, Bytes) {
    let (head, body) = reply.into_parts();
    let mut body = std::pin::pin!(body);
    let mut context = Context::from_waker(Waker::noop());
    let frame = match body.as_mut().poll_frame(&mut context) {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        Poll::Ready(Some(Err(_)) | None) | Poll::Pending => Bytes::new(),
    };
    (head, frame)
}

/// Class and delivery id are our own words: nothing in them needs escaping.
fn problem(class: &str, status: StatusCode, delivery: &str) -> Bytes {
    let number = status.as_u16();
    if delivery.is_empty() {
        return format!("{{\"title\":\"{class}\",\"status\":{number}}}\n").into();
    }
    format!("{{\"title\":\"{class}\",\"status\":{number},\"delivery\":\"{delivery}\"}}\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    async fn told(rejection: &Rejection) -> (StatusCode, Bytes) {
        let (head, body) = refused(rejection, "id").into_parts();
        (head.status, body.collect().await.unwrap().to_bytes())
    }

    #[tokio::test]
    async fn every_fault_of_authentication_gets_the_same_bytes() {
        let mismatch = told(&Rejection::new(Reason::CredentialMismatch)).await;
        let others = Reason::all().filter(|reason| reason.row().status == Some(StatusCode::UNAUTHORIZED));
        for reason in others {
            let rejection = Rejection::new(reason).fact("expected", "something the sender must not learn");
            assert_eq!(told(&rejection).await, mismatch, "{}", reason.code());
        }
        assert_eq!(mismatch.1, "{\"title\":\"unauthorized\",\"status\":401,\"delivery\":\"id\"}\n");
    }

    #[test]
    fn no_answer_tells_a_fact() {
        for reason in Reason::all() {
            let rejection = Rejection::new(reason).fact("error", "SeNtInEl").fact("expected", "SeNtInEl");
            let (head, body) = parts(refused(&rejection, "id"));
            assert!(!format!("{head:?}{body:?}").contains("SeNtInEl"), "{}", reason.code());
        }
    }

    #[test]
    fn retry_and_allow_are_told_where_they_help() {
        let limited = Rejection::new(Reason::RateLimitedClient).retry_after(std::time::Duration::from_millis(1500));
        assert_eq!(refused(&limited, "id").headers()[RETRY_AFTER], "2");
        let method = Rejection::new(Reason::MethodNotAllowed).fact("allowed", "POST");
        assert_eq!(refused(&method, "id").headers()[ALLOW], "POST");
        assert!(refused(&Rejection::new(Reason::BodyTooLarge), "id").headers().contains_key(CONNECTION));
        assert!(!refused(&method, "id").headers().contains_key(CONNECTION));
    }
}
