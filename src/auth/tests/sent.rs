//! A request to look at.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use crate::auth::place::{Body, Head, View};

/// A request as it arrives.
pub(super) struct Sent {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Sent {
    /// A POST of JSON.
    pub(super) fn json(body: &str) -> Self {
        Self::new("/hooks/x", &[("content-type", "application/json")], body)
    }

    /// A POST of a form.
    pub(super) fn form(body: &str) -> Self {
        Self::new("/hooks/x", &[("content-type", "application/x-www-form-urlencoded")], body)
    }

    /// A POST with these fields, an empty one if need be.
    pub(super) fn new(uri: &str, headers: &[(&str, &str)], body: &str) -> Self {
        let fields = headers.iter().map(|(name, value)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        });
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, value);
        }
        let body = Bytes::copy_from_slice(body.as_bytes());
        Self { method: Method::POST, uri: uri.parse().unwrap(), headers, body }
    }

    /// What is there before the body.
    pub(super) fn head(&self) -> Head<'_> {
        Head { method: &self.method, uri: &self.uri, headers: &self.headers, public_url: Some(super::URL) }
    }

    /// Looks at head and body.
    pub(super) fn look<T>(&self, look: impl FnOnce(&View<'_>) -> T) -> T {
        let body = Body::new(&self.body, &self.headers);
        look(&View::of_head(self.head()).with_body(&body))
    }

    /// Looks at head and body as far as it is without doubt what they say.
    pub(super) fn look_tolerantly<T>(&self, look: impl FnOnce(&View<'_>) -> T) -> T {
        let body = Body::for_facts(&self.body, &self.headers, None);
        look(&View::of_head(self.head()).with_body(&body))
    }
}
