//! What a sender sends: a request that can be changed after it was signed.

use bytes::Bytes;
use hookward::auth::Scheme;
use hookward::auth::key::{KeyKind, NamedSecret};
use hookward::auth::sign::{Unsigned, sign};
use hookward::policy::preset;
use hookward::secret::Secret;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{NOW, secret_of};

/// A request to a gateway.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Delivery {
    /// A request for `localhost`, without a body.
    pub(crate) fn bare(method: &str, target: &str) -> Self {
        let headers = vec![("host".to_owned(), "localhost".to_owned())];
        Self { method: method.to_owned(), target: target.to_owned(), headers, body: Vec::new() }
    }

    /// A POST of JSON for `localhost`, without credential.
    pub(crate) fn post(target: &str, body: &str) -> Self {
        Self::bare("POST", target).header("content-type", "application/json").body(body.as_bytes())
    }

    /// What GitHub sends: an event's name, an id, and the body signed with the secret behind `GITHUB`.
    pub(crate) fn github(event: &str, body: &str) -> Self {
        let id = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
        let delivery =
            Self::post("/hooks/github", body).header("x-github-event", event).header("x-github-delivery", id);
        delivery.signed("github", "GITHUB")
    }

    /// What Stripe sends at this time: the time and the body signed with the secret behind `STRIPE`.
    pub(crate) fn stripe(body: &str, now: i64) -> Self {
        Self::post("/hooks/stripe", body).signed_at("stripe", "STRIPE", now)
    }

    /// Signed as this provider does, now.
    pub(crate) fn signed(self, provider: &str, variable: &str) -> Self {
        self.signed_at(provider, variable, NOW)
    }

    /// Signed as this provider does, with the secret behind the variable.
    pub(crate) fn signed_at(self, provider: &str, variable: &str, now: i64) -> Self {
        self.signed_by(&preset::find(provider).unwrap().signing.schemes()[0], &secret_of(variable), now)
    }

    /// Signed by a scheme.
    pub(crate) fn signed_by(mut self, scheme: &Scheme, secret: &str, now: i64) -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let secret = Secret::new(secret.as_bytes().to_vec());
        let secret = NamedSecret { id: "test".into(), secret, expires: None, kind: KeyKind::Secret };
        let body = Bytes::from(self.body.clone());
        let method = Method::from_bytes(self.method.as_bytes()).unwrap();
        let uri = self.target.parse().unwrap();
        let unsigned = Unsigned { method, uri, headers, public_url: None, body: &body, now };
        let signed = sign(scheme, &secret, unsigned).unwrap();
        self.target = signed.uri.to_string();
        let text = |value: &HeaderValue| String::from_utf8(value.as_bytes().to_vec()).unwrap();
        self.headers = signed.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        self
    }

    /// With one more field.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without this field.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(found, _)| found != name);
        self
    }

    /// With another value of this field.
    pub(crate) fn replace(self, name: &str, value: &str) -> Self {
        self.without(name).header(name, value)
    }

    /// With another body, whatever was signed.
    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }

    /// With another target.
    pub(crate) fn target(mut self, target: &str) -> Self {
        target.clone_into(&mut self.target);
        self
    }

    /// With another method.
    pub(crate) fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    /// The value of a field.
    pub(crate) fn value(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str()).unwrap()
    }

    /// The head, with a Content-Length of this many bytes.
    pub(crate) fn head(&self, length: usize) -> Vec<u8> {
        self.head_with(&format!("content-length: {length}\r\n"))
    }

    /// The head with these lines for the framing.
    pub(crate) fn head_with(&self, framing: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str(framing);
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// The whole request. One that is no POST has a Content-Length if it has a body.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let is_bare = self.body.is_empty() && self.method != "POST";
        let head = if is_bare { self.head_with("") } else { self.head(self.body.len()) };
        [head, self.body.clone()].concat()
    }

    /// The whole request, its body in chunks of so many bytes.
    pub(crate) fn chunked(&self, bytes: usize) -> Vec<u8> {
        let mut request = self.head_with("transfer-encoding: chunked\r\n");
        for chunk in self.body.chunks(bytes) {
            request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            request.extend_from_slice(chunk);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"0\r\n\r\n");
        request
    }
}
