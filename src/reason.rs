//! Every fault a delivery can end in: one closed table.
//!
//! A [`Reason`] is at once HTTP status, log field, metric label and documentation row, so that the four cannot
//! drift apart. It carries no data: what happened to one delivery stands in its [`Rejection`](crate::rejection::Rejection).
//!
//! **Invariant:** [`Reason::row`] is the only place that says anything about a reason; nothing else matches on reasons to
//! find a status, a stage or a blame.

use http::StatusCode;

/// Why a delivery was refused. The codes are stable: operators alert on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is described once, in the table")]
#[repr(u8)]
pub enum Reason {
    TlsFailed,
    FramingRefused,
    UriTooLong,
    HeadersTooLarge,
    HeadTimeout,
    LengthRequired,
    ExpectationRefused,
    VersionRefused,
    FloodRefused,
    HeaderMalformed,
    HeaderDuplicated,
    HostMismatch,
    UnknownSource,
    MethodNotAllowed,
    UnsupportedMediaType,
    ContentEncodingRefused,
    Draining,
    AddressRefused,
    ClientBlocked,
    RateLimitedClient,
    Overloaded,
    CredentialMissing,
    CredentialDuplicated,
    CredentialMalformed,
    TimestampMissing,
    TimestampMalformed,
    TimestampStale,
    TimestampFuture,
    ClientCertificateMissing,
    BodyTooLarge,
    BodyTimeout,
    BodyTruncated,
    BodyEmpty,
    DecodingFailed,
    CredentialMismatch,
    SecretExpired,
    Replayed,
    ReplayInFlight,
    RateLimitedSource,
    HandshakeRefused,
    JsonMalformed,
    JsonNotUtf8,
    JsonTooDeep,
    JsonTooLarge,
    JsonDuplicateKey,
    FormMalformed,
    MultipartMalformed,
    EventMissing,
    EventUnlisted,
    SchemaMismatch,
    SanitizerRefused,
    SanitizerEdited,
    UpstreamConnect,
    UpstreamTimeout,
    UpstreamOverloaded,
    UpstreamFailed,
    Panic,
    DeadlineExceeded,
}

/// The step of a delivery's life at which it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Stage {
    Connection,
    Route,
    Admit,
    Receive,
    Authenticate,
    Validate,
    Sanitize,
    Forward,
    Gateway,
}

/// Who has to act. Only [`Blame::Upstream`] and [`Blame::Gateway`] are worth waking somebody for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Blame {
    Sender,
    Upstream,
    Gateway,
}

/// How loudly the log says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Level {
    Info,
    Warn,
    Error,
}

/// Whether the connection can carry another request after this answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// The request was read whole, or what is left of it may be read and dropped.
    Keep,
    /// Bytes of this request may still come: they must never be taken for the next one.
    Close,
}

/// What the table says of one reason.
#[derive(Debug)]
pub struct Row {
    /// The reason itself; its position in the table is its discriminant.
    pub reason: Reason,
    /// Stable name in logs, metrics and documentation.
    pub code: &'static str,
    /// What the sender gets; `None` where there is no HTTP answer (a failed handshake, a GOAWAY).
    pub status: Option<StatusCode>,
    /// The only explanation that the sender gets. All faults of authentication share one.
    pub class: &'static str,
    /// Where in a delivery's life it happens.
    pub stage: Stage,
    /// Who has to act.
    pub blame: Blame,
    /// How loudly the log says it.
    pub level: Level,
    /// Whether the connection can be used again.
    pub connection: Connection,
    /// One sentence for people, as it stands in the reason table.
    pub meaning: &'static str,
    /// What an operator can do, unless the delivery's own record knows better.
    pub hint: &'static str,
}

impl Reason {
    /// Every reason, in the order in which a delivery meets them.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.reason)
    }

    /// How many reasons there are: the length of an array indexed by `reason as usize`.
    pub const COUNT: usize = TABLE.len();

    /// What the table says of this reason.
    #[must_use]
    pub const fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The stable name, such as `credential_mismatch`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.row().code
    }

    /// The reason with this code, if there is one.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::all().find(|reason| reason.code() == code)
    }
}

impl Stage {
    /// The stable name, as in logs and metric labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Route => "route",
            Self::Admit => "admit",
            Self::Receive => "receive",
            Self::Authenticate => "authenticate",
            Self::Validate => "validate",
            Self::Sanitize => "sanitize",
            Self::Forward => "forward",
            Self::Gateway => "gateway",
        }
    }
}

impl Blame {
    /// The stable name, as in logs and metric labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sender => "sender",
            Self::Upstream => "upstream",
            Self::Gateway => "gateway",
        }
    }
}

impl Level {
    /// The stable name, as in log lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

use Blame::{Gateway as OurFault, Sender, Upstream};
use Connection::{Close, Keep};
use Level::{Error, Info, Warn};
use Reason as R;
use Stage as S;

type Code = StatusCode;

/// One line a reason; the order is that of the enum.
#[rustfmt::skip]
const TABLE: [Row; R::DeadlineExceeded as usize + 1] = [
    row(R::TlsFailed, "tls_failed", None, "bad_request", S::Connection, Sender, Info, Close,
        "the TLS handshake failed", "look at detail.error: an old client, a scanner, or a certificate the client does not trust"),
    row(R::FramingRefused, "framing_refused", Some(Code::BAD_REQUEST), "bad_request", S::Connection, Sender, Info, Close,
        "the bytes are not one unambiguous HTTP request",
        "nothing to do, unless it is a proxy of yours: it may rewrite requests, or lack the PROXY header that [listen] proxy_protocol wants"),
    row(R::UriTooLong, "uri_too_long", Some(Code::URI_TOO_LONG), "uri_too_long", S::Connection, Sender, Info, Close,
        "the request target is longer than the limit", "raise [edge] uri_bytes_max if a provider really sends this"),
    row(R::HeadersTooLarge, "headers_too_large", Some(Code::REQUEST_HEADER_FIELDS_TOO_LARGE), "headers_too_large", S::Connection, Sender, Info, Close,
        "the header section has too many bytes or fields", "raise [edge] head_bytes_max or headers_max if a provider really sends this"),
    row(R::HeadTimeout, "head_timeout", Some(Code::REQUEST_TIMEOUT), "timeout", S::Connection, Sender, Info, Close,
        "no complete request head arrived in time", "nothing to do, unless many senders are hit: then look at the network in front"),
    row(R::LengthRequired, "length_required", Some(Code::LENGTH_REQUIRED), "length_required", S::Connection, Sender, Info, Close,
        "a request in HTTP/1.0 that may have a body does not say how long it is", "the sender has to send Content-Length, or speak HTTP/1.1"),
    row(R::ExpectationRefused, "expectation_refused", Some(Code::EXPECTATION_FAILED), "expectation_failed", S::Connection, Sender, Info, Close,
        "an Expect header other than 100-continue", "the sender has to drop the Expect header"),
    row(R::VersionRefused, "version_refused", Some(Code::HTTP_VERSION_NOT_SUPPORTED), "version_not_supported", S::Connection, Sender, Info, Close,
        "an HTTP version that is not served", "the sender has to speak HTTP/1.1 or HTTP/2"),
    row(R::FloodRefused, "flood_refused", None, "flood", S::Connection, Sender, Warn, Close,
        "the connection sent frames that bring no request further",
        "block the peer in front of the gateway if it goes on; raise [edge] unproductive_frames_max and unproductive_bytes_max if it is a sender of yours"),
    row(R::HeaderMalformed, "header_malformed", Some(Code::BAD_REQUEST), "bad_request", S::Route, Sender, Info, Close,
        "a header that the gateway reads is not well formed", "detail.header names it"),
    row(R::HeaderDuplicated, "header_duplicated", Some(Code::BAD_REQUEST), "bad_request", S::Route, Sender, Info, Close,
        "a header that must stand alone came more than once", "detail.header names it; look for a proxy that adds a second one"),
    row(R::HostMismatch, "host_mismatch", Some(Code::MISDIRECTED_REQUEST), "misdirected", S::Route, Sender, Info, Keep,
        "the Host is served under another certificate than the one this connection chose", "the sender has to open a connection for this host"),
    row(R::UnknownSource, "unknown_source", Some(Code::NOT_FOUND), "not_found", S::Route, Sender, Info, Keep,
        "no policy has this path", "if a provider is set up with this URL, add a policy with this path; scanners can be ignored"),
    row(R::MethodNotAllowed, "method_not_allowed", Some(Code::METHOD_NOT_ALLOWED), "method_not_allowed", S::Route, Sender, Info, Keep,
        "the source does not take this method", "set methods in the policy if the provider really sends it"),
    row(R::UnsupportedMediaType, "unsupported_media_type", Some(Code::UNSUPPORTED_MEDIA_TYPE), "unsupported_media_type", S::Route, Sender, Info, Keep,
        "the source does not take this content type", "choose another content type at the provider, or list it in content_types"),
    row(R::ContentEncodingRefused, "content_encoding_refused", Some(Code::UNSUPPORTED_MEDIA_TYPE), "unsupported_media_type", S::Route, Sender, Info, Keep,
        "the body is compressed and the policy does not allow it", "switch compression off at the provider, or list its coding in content_encodings"),
    row(R::Draining, "draining", Some(Code::SERVICE_UNAVAILABLE), "unavailable", S::Admit, OurFault, Info, Close,
        "the gateway is shutting down", "nothing to do: the sender tries again"),
    row(R::AddressRefused, "address_refused", Some(Code::FORBIDDEN), "forbidden", S::Admit, Sender, Info, Keep,
        "the policy's [network] does not let the client's address in",
        "add the provider's current networks; `hookward networks update` keeps a list of those that are published"),
    row(R::ClientBlocked, "client_blocked", Some(Code::TOO_MANY_REQUESTS), "too_many_requests", S::Admit, Sender, Warn, Keep,
        "too many failed authentications came from this client", "if it is the provider, its secret here is wrong: see the credential_* records before"),
    row(R::RateLimitedClient, "rate_limited_client", Some(Code::TOO_MANY_REQUESTS), "too_many_requests", S::Admit, Sender, Info, Keep,
        "the client is over [limit] client", "raise [limit] client if this is the provider's ordinary traffic"),
    row(R::Overloaded, "overloaded", Some(Code::SERVICE_UNAVAILABLE), "unavailable", S::Admit, OurFault, Warn, Keep,
        "a cap on concurrent work is reached", "see which in detail.limit; raise it, or find out why the upstream is slow"),
    row(R::CredentialMissing, "credential_missing", Some(Code::UNAUTHORIZED), "unauthorized", S::Authenticate, Sender, Warn, Keep,
        "the request carries no credential where the scheme has it", "set the secret at the provider; detail.expected says where the credential should be"),
    row(R::CredentialDuplicated, "credential_duplicated", Some(Code::UNAUTHORIZED), "unauthorized", S::Authenticate, Sender, Warn, Keep,
        "the credential came more than once", "look for a proxy that adds a second one"),
    row(R::CredentialMalformed, "credential_malformed", Some(Code::UNAUTHORIZED), "unauthorized", S::Authenticate, Sender, Warn, Keep,
        "the credential does not have the shape of the scheme", "the policy may name another provider or version than the one that sends"),
    row(R::TimestampMissing, "timestamp_missing", Some(Code::UNAUTHORIZED), "unauthorized", S::Authenticate, Sender, Warn, Keep,
        "the signed timestamp is missing", "the policy may name another provider or version than the one that sends"),
    row(R::TimestampMalformed, "timestamp_malformed", Some(Code::UNAUTHORIZED), "unauthorized", S::Authenticate, Sender, Warn, Keep,
        "the signed timestamp is not of the scheme's form", "the policy may name another provider or version than the one that sends"),
    row(R::TimestampStale, "timestamp_stale", Some(Code::UNAUTHORIZED), "unauthorized", S::Authenticate, Sender, Warn, Keep,
        "the signed timestamp is too old", "a replayed or long delayed delivery; if all are stale, check this machine's clock"),
    row(R::TimestampFuture, "timestamp_future", Some(Code::UNAUTHORIZED), "unauthorized", S::Authenticate, Sender, Warn, Keep,
        "the signed timestamp lies in the future", "check this machine's clock"),
    row(R::ClientCertificateMissing, "client_certificate_missing", Some(Code::UNAUTHORIZED), "unauthorized", S::Authenticate, Sender, Warn, Keep,
        "the source wants a client certificate",
        "the sender has to connect to the gateway itself, with a certificate that the policy's client_certificate takes"),
    row(R::BodyTooLarge, "body_too_large", Some(Code::PAYLOAD_TOO_LARGE), "too_large", S::Receive, Sender, Info, Close,
        "the body is larger than body_bytes_max", "raise body_bytes_max in the policy if the provider really sends this"),
    row(R::BodyTimeout, "body_timeout", Some(Code::REQUEST_TIMEOUT), "timeout", S::Receive, Sender, Info, Close,
        "the body did not arrive in time", "nothing to do, unless many senders are hit: then look at the network in front"),
    row(R::BodyTruncated, "body_truncated", Some(Code::BAD_REQUEST), "bad_request", S::Receive, Sender, Info, Close,
        "the connection ended before the body did", "nothing to do: the sender went away"),
    row(R::BodyEmpty, "body_empty", Some(Code::BAD_REQUEST), "bad_request", S::Receive, Sender, Info, Keep,
        "there is no body and the source reads one", "look at what the provider was set up to send"),
    row(R::DecodingFailed, "decoding_failed", Some(Code::BAD_REQUEST), "bad_request", S::Receive, Sender, Info, Keep,
        "the body is not what its Content-Encoding says", "look for a proxy that changes the body"),
    row(R::CredentialMismatch, "credential_mismatch", Some(Code::UNAUTHORIZED), "unauthorized", S::Authenticate, Sender, Warn, Keep,
        "no secret of the source fits the credential",
        "compare the secret at the provider with the one the policy names; a proxy that changes the body also does this"),
    row(R::SecretExpired, "secret_expired", Some(Code::UNAUTHORIZED), "unauthorized", S::Authenticate, Sender, Warn, Keep,
        "the credential fits a secret whose time is over", "the provider still uses the old secret: give it the new one, or move expires"),
    row(R::Replayed, "replayed", Some(Code::CONFLICT), "conflict", S::Authenticate, Sender, Info, Keep,
        "this signed delivery was accepted before", "nothing to do, if the provider repeats itself; else somebody captured a delivery"),
    row(R::ReplayInFlight, "replay_in_flight", Some(Code::CONFLICT), "conflict", S::Authenticate, Sender, Info, Keep,
        "the same signed delivery is being handled right now", "nothing to do: the sender tries again"),
    row(R::RateLimitedSource, "rate_limited_source", Some(Code::TOO_MANY_REQUESTS), "too_many_requests", S::Admit, Sender, Warn, Keep,
        "the source is over [limit] source", "raise [limit] source if the app can take more"),
    row(R::HandshakeRefused, "handshake_refused", Some(Code::FORBIDDEN), "forbidden", S::Authenticate, Sender, Warn, Keep,
        "a verification request that the policy does not answer", "see [handshake] in the policy"),
    row(R::JsonMalformed, "json_malformed", Some(Code::BAD_REQUEST), "malformed_payload", S::Validate, Sender, Warn, Keep,
        "the body is not JSON as RFC 8259 has it", "detail.offset says where"),
    row(R::JsonNotUtf8, "json_not_utf8", Some(Code::BAD_REQUEST), "malformed_payload", S::Validate, Sender, Warn, Keep,
        "the JSON text is not UTF-8, begins with a byte order mark, or has a lone surrogate", "detail.offset says where"),
    row(R::JsonTooDeep, "json_too_deep", Some(Code::BAD_REQUEST), "malformed_payload", S::Validate, Sender, Warn, Keep,
        "the JSON text is nested deeper than the limit", "raise [limit] json_depth_max if the provider really sends this"),
    row(R::JsonTooLarge, "json_too_large", Some(Code::PAYLOAD_TOO_LARGE), "too_large", S::Validate, Sender, Warn, Keep,
        "the JSON text has too many values or members", "raise [limit] json_nodes_max or json_members_max if the provider really sends this"),
    row(R::JsonDuplicateKey, "json_duplicate_key", Some(Code::BAD_REQUEST), "malformed_payload", S::Validate, Sender, Warn, Keep,
        "an object names one member twice", "detail.pointer says where; apps would disagree on which one counts"),
    row(R::FormMalformed, "form_malformed", Some(Code::BAD_REQUEST), "malformed_payload", S::Validate, Sender, Warn, Keep,
        "the body is not a well-formed form", "detail.offset says where"),
    row(R::MultipartMalformed, "multipart_malformed", Some(Code::BAD_REQUEST), "malformed_payload", S::Validate, Sender, Warn, Keep,
        "the body is not well-formed multipart/form-data", "detail.offset says where"),
    row(R::EventMissing, "event_missing", Some(Code::UNPROCESSABLE_ENTITY), "unprocessable", S::Validate, Sender, Warn, Keep,
        "the delivery names no event", "see [event] in the policy: where the event's name is looked for"),
    row(R::EventUnlisted, "event_unlisted", Some(Code::UNPROCESSABLE_ENTITY), "unprocessable", S::Validate, Sender, Warn, Keep,
        "the event has no schema in the policy", "add the event to [event.schema], unsubscribe from it, or set unlisted"),
    row(R::SchemaMismatch, "schema_mismatch", Some(Code::UNPROCESSABLE_ENTITY), "unprocessable", S::Validate, Sender, Warn, Keep,
        "the payload does not fit its schema", "detail.errors says which part; widen the schema if the provider changed its payload"),
    row(R::SanitizerRefused, "sanitizer_refused", Some(Code::UNPROCESSABLE_ENTITY), "unprocessable", S::Sanitize, Sender, Warn, Keep,
        "a [sanitize] rule refuses what the payload holds", "detail.rule and detail.pointer say which and where"),
    row(R::SanitizerEdited, "sanitizer_edited", None, "", S::Sanitize, Sender, Info, Keep,
        "a [sanitize] rule would have edited the payload; only where [mode] sanitize is \"monitor\"",
        "detail.edits says how many, detail.first where; enforce the stage once the app can do without"),
    row(R::UpstreamConnect, "upstream_connect", Some(Code::SERVICE_UNAVAILABLE), "unavailable", S::Forward, Upstream, Error, Keep,
        "the upstream could not be reached; nothing was sent", "see that the app listens where [forward] to says"),
    row(R::UpstreamTimeout, "upstream_timeout", Some(Code::GATEWAY_TIMEOUT), "upstream_timeout", S::Forward, Upstream, Error, Keep,
        "the upstream did not answer before [forward] deadline_ms", "find out why the app is slow, or raise the deadline"),
    row(R::UpstreamOverloaded, "upstream_overloaded", Some(Code::SERVICE_UNAVAILABLE), "unavailable", S::Forward, Upstream, Warn, Keep,
        "the upstream answered 429 or 503", "the app asks for less: lower [limit] source or give it more room"),
    row(R::UpstreamFailed, "upstream_failed", Some(Code::BAD_GATEWAY), "upstream_failed", S::Forward, Upstream, Error, Keep,
        "the upstream broke off, or answered something other than 2xx, 4xx or 503", "look at the app's own log for this delivery id"),
    row(R::Panic, "panic", Some(Code::INTERNAL_SERVER_ERROR), "internal", S::Gateway, OurFault, Error, Close,
        "a defect of the gateway; only this delivery is lost", "please report it with the record"),
    row(R::DeadlineExceeded, "deadline_exceeded", Some(Code::GATEWAY_TIMEOUT), "timeout", S::Gateway, OurFault, Error, Close,
        "the delivery as a whole took too long", "see elapsed_us, and the stages before"),
];

#[expect(clippy::too_many_arguments, reason = "the columns of a table, used here alone")]
const fn row(
    reason: Reason,
    code: &'static str,
    status: Option<StatusCode>,
    class: &'static str,
    stage: Stage,
    blame: Blame,
    level: Level,
    connection: Connection,
    meaning: &'static str,
    hint: &'static str,
) -> Row {
    Row { reason, code, status, class, stage, blame, level, connection, meaning, hint }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_reason_stands_at_its_own_place_in_the_table() {
        for (position, row) in TABLE.iter().enumerate() {
            assert_eq!(row.reason as usize, position, "{}", row.code);
        }
    }

    #[test]
    fn codes_are_unique_and_round_trip() {
        let codes: HashSet<_> = Reason::all().map(Reason::code).collect();
        assert_eq!(codes.len(), Reason::COUNT);
        for reason in Reason::all() {
            assert_eq!(Reason::from_code(reason.code()), Some(reason));
        }
        assert_eq!(Reason::from_code("no_such_reason"), None);
    }

    #[test]
    fn all_faults_of_authentication_look_alike_to_the_sender() {
        let told = |reason: Reason| (reason.row().status, reason.row().class, reason.row().connection);
        let faults = Reason::all().filter(|reason| {
            reason.row().stage == Stage::Authenticate && reason.row().status == Some(StatusCode::UNAUTHORIZED)
        });
        for fault in faults {
            assert_eq!(told(fault), told(Reason::CredentialMismatch), "{}", fault.code());
        }
    }

    #[test]
    fn a_failure_of_ours_or_the_upstreams_is_never_told_as_the_senders() {
        for row in &TABLE {
            if row.blame != Sender {
                assert!(row.status.is_some_and(|status| status.is_server_error()), "{}", row.code);
            }
        }
    }
}
