//! A request record: one request as one JSON object a line, the same in vectors, tests and captures.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::HOST;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use serde::{Deserialize, Serialize};

use crate::clock::UnixSeconds;

/// One request, as it was or as it would be sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RequestRecord {
    /// Names it in the output.
    pub id: String,
    /// The request method.
    pub method: String,
    /// The public URL as the sender knows it.
    pub url: String,
    /// Header fields as `[name, value]`, in order.
    pub headers: Vec<(String, String)>,
    /// The body in base64; absent: none.
    #[serde(default)]
    pub body_b64: String,
    /// When it is to be judged, in unix seconds; absent: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<UnixSeconds>,
    /// `accept`, `reject`, `answer`, or a reason code; absent: nothing is asserted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<String>,
}

/// What is wrong with a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordFault {
    /// The line is no record.
    #[error("not a request record: {0}")]
    Json(#[from] serde_json::Error),
    /// The method is not one.
    #[error("{0:?} is not a method")]
    Method(String),
    /// The URL is not one.
    #[error("{0:?} is not a URL")]
    Url(String),
    /// A header field is not one.
    #[error("{0:?} is not a header field")]
    Header(String),
    /// The body is not base64.
    #[error("body_b64 is not base64")]
    Body,
}

impl RequestRecord {
    /// Reads one line.
    ///
    /// # Errors
    /// [`RecordFault::Json`].
    pub fn parse(line: &str) -> Result<Self, RecordFault> {
        Ok(serde_json::from_str(line)?)
    }

    /// Head and body as the gateway would have received them. Without a Host field, Host is taken from the URL.
    ///
    /// # Errors
    /// [`RecordFault`] for what cannot stand in a request.
    pub fn request(&self) -> Result<(Parts, Bytes), RecordFault> {
        let url: Uri = self.url.parse().map_err(|_| RecordFault::Url(self.url.clone()))?;
        let method =
            Method::from_bytes(self.method.as_bytes()).map_err(|_| RecordFault::Method(self.method.clone()))?;
        let mut request = Request::new(());
        *request.method_mut() = method;
        let target = url.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        *request.uri_mut() = target.parse().map_err(|_| RecordFault::Url(self.url.clone()))?;
        let headers = request.headers_mut();
        for (name, value) in &self.headers {
            let fault = || RecordFault::Header(name.clone());
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| fault())?;
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| fault())?;
            headers.append(name, value);
        }
        if let (false, Some(authority)) = (headers.contains_key(HOST), url.authority()) {
            let host = HeaderValue::from_str(authority.as_str()).map_err(|_| RecordFault::Url(self.url.clone()))?;
            headers.insert(HOST, host);
        }
        let body = STANDARD.decode(&self.body_b64).map_err(|_| RecordFault::Body)?;
        Ok((request.into_parts().0, Bytes::from(body)))
    }
}
