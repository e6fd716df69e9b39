//! Schemes as a user writes them, and requests that are judged by them: what the tests of whole schemes share.
//!
//! Everything goes through the public way: TOML text → `Scheme` → `Verifier::read` → `Verifier::verify`.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "shared by several test files, none of which uses all of it"
)]

use bytes::Bytes;
use hookward::auth::key::{KeyFault, KeyKind, NamedSecret};
use hookward::auth::verify::SignedDigest;
use hookward::auth::{Head, Scheme, Verifier};
use hookward::policy::diagnostic::{Diagnostics, Files, Styles};
use hookward::policy::scheme::read_schemes;
use hookward::policy::table;
use hookward::secret::Secret;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

/// When everything is signed.
pub(crate) const NOW: i64 = 1_782_907_200;

/// A source's way to judge.
pub(crate) struct Kit {
    verifier: Verifier,
}

/// A request, byte for byte.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) method: &'static str,
    pub(crate) uri: Vec<u8>,
    pub(crate) headers: Vec<(&'static str, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

/// The schemes in the text of a `[scheme]` table, or of several.
pub(crate) fn schemes(text: &str) -> Vec<Scheme> {
    let text = if text.contains("[[scheme]]") { text.to_owned() } else { format!("[scheme]\n{text}") };
    let mut files = Files::default();
    let file = files.add("scheme.toml", text);
    let mut found = Diagnostics::default();
    let schemes = table::read(&file, &mut found, read_schemes).flatten();
    assert!(!found.has_errors(), "{}", found.report(&files, &Styles::plain()));
    schemes.unwrap()
}

pub(crate) fn secret(id: &str, text: &[u8]) -> NamedSecret {
    NamedSecret { id: id.into(), secret: Secret::new(text.to_vec()), expires: None, kind: KeyKind::Secret }
}

pub(crate) fn public_key(id: &str, text: &str) -> NamedSecret {
    NamedSecret { kind: KeyKind::Public, ..secret(id, text.as_bytes()) }
}

impl Kit {
    pub(crate) fn new(text: &str, keys: &[NamedSecret]) -> Self {
        Self::load(text, keys).unwrap()
    }

    pub(crate) fn load(text: &str, keys: &[NamedSecret]) -> Result<Self, KeyFault> {
        Ok(Self { verifier: Verifier::new("custom", &schemes(text), keys)? })
    }

    /// What was signed, or the reason why the request is refused; what no HTTP server would take is refused as `unsendable`.
    pub(crate) fn judge(&self, sent: &Sent, now: i64) -> Result<Option<SignedDigest>, &'static str> {
        let uri = Uri::try_from(sent.uri.as_slice()).map_err(|_| "unsendable")?;
        let mut headers = HeaderMap::new();
        for (name, value) in &sent.headers {
            let value = HeaderValue::from_bytes(value).map_err(|_| "unsendable")?;
            headers.append(HeaderName::from_static(name), value);
        }
        let method = Method::from_bytes(sent.method.as_bytes()).unwrap();
        let head = Head { method: &method, uri: &uri, headers: &headers, public_url: Some(PUBLIC_URL) };
        let body = Bytes::from(sent.body.clone());
        let credential = self.verifier.read(head, now).map_err(|rejection| rejection.reason().code())?;
        let proof = self.verifier.verify(credential, &body, now).map_err(|rejection| rejection.reason().code())?;
        Ok(proof.digest().copied())
    }

    /// `accept`, or the reason.
    pub(crate) fn verdict(&self, sent: &Sent, now: i64) -> &'static str {
        self.judge(sent, now).map_or_else(|reason| reason, |_| "accept")
    }
}

/// How senders know the endpoint.
pub(crate) const PUBLIC_URL: &str = "https://hooks.example.com/acme";

impl Sent {
    pub(crate) fn post(body: &[u8]) -> Self {
        Self { method: "POST", uri: b"/acme".to_vec(), headers: Vec::new(), body: body.to_vec() }
    }

    #[must_use]
    pub(crate) fn header(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name, value.as_ref().to_vec()));
        self
    }

    #[must_use]
    pub(crate) fn uri(mut self, uri: impl AsRef<[u8]>) -> Self {
        self.uri = uri.as_ref().to_vec();
        self
    }

    pub(crate) fn header_mut(&mut self, name: &str) -> &mut Vec<u8> {
        let field = self.headers.iter_mut().find(|(found, _)| *found == name);
        &mut field.unwrap_or_else(|| panic!("no header {name}")).1
    }
}
