//! A request record: one request as one JSON object a line, the same in vectors, tests and captures.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::HOST;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::UnixSeconds;
use crate::reason::Reason;

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
    /// In words what is asserted, see [`Expectation`]; absent: nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<String>,
}

/// The members of a record.
const MEMBERS: [&str; 7] = ["id", "method", "url", "headers", "body_b64", "now", "expect"];

/// What a record expects to become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// `accept`: it is forwarded.
    Accept,
    /// `reject`: it is refused, for whatever reason.
    Reject,
    /// `answer`: the gateway answers it, for whatever reason.
    Answer,
    /// `handshake`: it is answered as one.
    Handshake,
    /// The code of a reason: it is refused, or answered, for that.
    Reason(Reason),
}

/// What is wrong with a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordFault {
    /// The line is no record.
    #[error("not a request record: {0}")]
    Json(#[from] serde_json::Error),
    /// It has a member that no record has.
    #[error("unknown member {0:?}: a record has {members}", members = MEMBERS.join(", "))]
    Member(String),
    /// It expects what never becomes of a record.
    #[error(
        "unknown expect {0:?}: use accept, reject, answer, handshake or a reason code, such as credential_mismatch"
    )]
    Expect(String),
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

    /// Reads one line that has nothing but members of a record: a slip in the name of one must not make it say less.
    ///
    /// # Errors
    /// [`RecordFault::Json`], [`RecordFault::Member`].
    pub fn parse_strictly(line: &str) -> Result<Self, RecordFault> {
        let record = Self::parse(line)?;
        let members: Map<String, Value> = serde_json::from_str(line)?;
        match members.into_iter().find(|(name, _)| !MEMBERS.contains(&name.as_str())) {
            Some((unknown, _)) => Err(RecordFault::Member(unknown)),
            None => Ok(record),
        }
    }

    /// What it expects.
    ///
    /// # Errors
    /// [`RecordFault::Expect`].
    pub fn expectation(&self) -> Result<Option<Expectation>, RecordFault> {
        let Some(word) = &self.expect else { return Ok(None) };
        Ok(Some(match word.as_str() {
            "accept" => Expectation::Accept,
            "reject" => Expectation::Reject,
            "answer" => Expectation::Answer,
            "handshake" => Expectation::Handshake,
            code => Expectation::Reason(Reason::from_code(code).ok_or_else(|| RecordFault::Expect(word.clone()))?),
        }))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_strictly_where_it_asserts_something() {
        let needed = "\"id\":\"a\",\"method\":\"POST\",\"url\":\"https://a/\",\"headers\":[]";
        let parse = |more: &str| {
            let record = RequestRecord::parse_strictly(&format!("{{{needed}{more}}}"));
            record.and_then(|record| record.expectation()).map_err(|fault| fault.to_string())
        };
        for (more, expected) in [
            ("", None),
            (",\"body_b64\":\"\",\"now\":1", None),
            (",\"expect\":\"accept\"", Some(Expectation::Accept)),
            (",\"\\u0065xpect\":\"reject\"", Some(Expectation::Reject)),
            (",\"expect\":\"answer\"", Some(Expectation::Answer)),
            (",\"expect\":\"handshake\"", Some(Expectation::Handshake)),
            (",\"expect\":\"replayed\"", Some(Expectation::Reason(Reason::Replayed))),
        ] {
            assert_eq!(parse(more).unwrap(), expected, "{more}");
        }
        for (more, expected) in [
            (",\"expects\":\"accept\"", "unknown member \"expects\""),
            (",\"Expect\":\"accept\"", "unknown member \"Expect\""),
            (",\"expect\":\"acceptt\"", "unknown expect \"acceptt\""),
            (",\"expect\":\"\"", "unknown expect \"\""),
            (",\"expect\":\"accept\",\"expect\":\"reject\"", "not a request record: duplicate field"),
        ] {
            let said = parse(more).unwrap_err();
            assert!(said.starts_with(expected), "{more}: {said}");
        }
        let record = RequestRecord::parse(&format!("{{{needed},\"now\":1,\"expect\":\"accept\"}}")).unwrap();
        let Value::Object(written) = serde_json::to_value(record).unwrap() else { panic!("a record is an object") };
        let mut written: Vec<_> = written.keys().map(String::as_str).collect();
        let mut members = MEMBERS;
        written.sort_unstable();
        members.sort_unstable();
        assert_eq!(written, members);
    }
}
