//! The providers that code judges, through the public API: for each accept the nearest reject, with keys made here.

#![expect(clippy::unwrap_used, reason = "a test")]

mod adyen;
mod aws_sns;
#[path = "../kit/certificates.rs"]
mod certificates;
mod coinbase_cdp;
mod contentful;
mod nowpayments;
mod paypal;
mod presets;

use std::collections::HashMap;

use bytes::Bytes;
use hookward::auth::code::{CodeKind, Settings};
use hookward::auth::key::{KeyFault, KeyKind, NamedSecret};
use hookward::auth::{Head, Verifier};
use hookward::reason::Reason;
use hookward::rejection::Rejection;
use hookward::secret::Secret;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

const NOW: i64 = 1_782_907_200;

/// A request as it arrives.
#[derive(Clone)]
struct Request {
    uri: &'static str,
    public_url: Option<&'static str>,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    now: i64,
}

/// What a proof says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Proven {
    key: String,
    digest: [u8; 32],
    signed_at_millis: Option<i64>,
}

impl Request {
    fn new(body: impl Into<Vec<u8>>) -> Self {
        Self { uri: "/in", public_url: None, headers: Vec::new(), body: body.into(), now: NOW }
    }

    /// The same with another value in this field, or with the field if it has none.
    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(found, _)| *found != name);
        self.headers.push((name, value.into()));
        self
    }

    /// The same with one more field of this name.
    fn and(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn without(mut self, name: &'static str) -> Self {
        self.headers.retain(|(found, _)| *found != name);
        self
    }

    fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }

    fn at(self, now: i64) -> Self {
        Self { now, ..self }
    }
}

fn secret(id: &str, secret: &str) -> NamedSecret {
    NamedSecret { id: id.into(), secret: Secret::new(secret.into()), expires: None, kind: KeyKind::Secret }
}

fn public(id: &str, key: &str) -> NamedSecret {
    NamedSecret { kind: KeyKind::Public, ..secret(id, key) }
}

fn expired(key: NamedSecret) -> NamedSecret {
    NamedSecret { expires: Some(NOW), ..key }
}

fn verifier(kind: CodeKind, keys: &[NamedSecret]) -> Verifier {
    try_verifier(kind, keys, &[], &[]).unwrap()
}

fn try_verifier(
    kind: CodeKind,
    keys: &[NamedSecret],
    parameters: &[(&str, &str)],
    trust_roots: &[Vec<u8>],
) -> Result<Verifier, KeyFault> {
    let parameters: HashMap<_, _> = parameters.iter().copied().collect();
    Ok(Verifier::of_code("test", kind.make(keys, &Settings { parameters: &parameters, trust_roots })?))
}

/// What a source with this verifier says of a request.
fn judge(verifier: &Verifier, request: &Request) -> Result<Proven, Rejection> {
    let uri: Uri = request.uri.parse().unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let head = Head { method: &Method::POST, uri: &uri, headers: &headers, public_url: request.public_url };
    let body = Bytes::from(request.body.clone());
    let proof = verifier.read(head, request.now)?.verify(verifier, &body, request.now)?;
    Ok(Proven {
        key: proof.secret_id().to_owned(),
        digest: *proof.digest().unwrap(),
        signed_at_millis: proof.signed_at_millis(),
    })
}

/// Judges the rows of a table: `None` is an accept.
fn check(verifier: &Verifier, rows: Vec<(&str, Request, Option<Reason>)>) {
    for (name, request, expected) in rows {
        let found = judge(verifier, &request);
        assert_eq!(found.as_ref().err().map(Rejection::reason), expected, "{name}: {found:?}");
    }
}
