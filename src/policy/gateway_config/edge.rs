//! `[edge]`: what one connection, and all of them, may cost. The defaults are those of a gateway on the open Internet.

use std::time::Duration;

use crate::policy::table::parse::Fault;
use crate::policy::table::{Bound, Reader, Setting};

/// `[edge]`; each field is described at the constant of its name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is described once, at its Bound")]
pub struct EdgeConfig {
    pub connections_max: usize,
    pub connections_per_client_max: usize,
    pub handshakes_max: usize,
    pub handshake_time: Duration,
    pub head_time: Duration,
    pub body_time: Duration,
    pub body_grace_time: Duration,
    pub body_bytes_per_second_min: u64,
    pub write_time: Duration,
    pub linger_time: Duration,
    pub idle_time: Duration,
    pub connection_time: Duration,
    pub requests_per_connection_max: u32,
    pub pipelined_requests_max: u32,
    pub head_bytes_max: usize,
    pub headers_max: usize,
    pub uri_bytes_max: usize,
    pub streams_max: u32,
    pub unproductive_frames_max: u32,
    pub unproductive_bytes_max: u32,
    /// With its place, since a source's `body_bytes_max` has to fit in.
    pub buffered_bytes_max: Setting<u64>,
    pub response_bytes_max: usize,
    pub drain_time: Duration,
    /// Absent: one for each core.
    pub workers: Option<usize>,
    pub tls_profile: TlsProfile,
}

/// What of TLS is spoken, in the words of Mozilla's "Server Side TLS".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsProfile {
    /// TLS 1.2 and 1.3.
    #[default]
    Intermediate,
    /// TLS 1.3 alone.
    Modern,
}

/// Connections in all.
pub const CONNECTIONS_MAX: Bound = Bound::new("connections_max", 10_000, 1, 1_000_000);
/// Connections of one client: an IPv4 address or an IPv6 /64.
pub const CONNECTIONS_PER_CLIENT_MAX: Bound = Bound::new("connections_per_client_max", 256, 1, 1_000_000);
/// TLS handshakes under way at once; one more ends those that have taken longest, if that is a second or more.
pub const HANDSHAKES_MAX: Bound = Bound::new("handshakes_max", 512, 1, 100_000);
/// From accept to the end of the TLS handshake.
pub const HANDSHAKE_SECONDS: Bound = Bound::new("handshake_seconds", 5, 1, 300);
/// From the first chance to send to the end of a request's head.
pub const HEAD_SECONDS: Bound = Bound::new("head_seconds", 10, 1, 300);
/// From the end of the head to the end of the body.
pub const BODY_SECONDS: Bound = Bound::new("body_seconds", 30, 1, 3_600);
/// How long a body may take before its rate counts.
pub const BODY_GRACE_SECONDS: Bound = Bound::new("body_grace_seconds", 5, 1, 3_600);
/// Bytes of a body for each second from then on, judged when it is over; what came before counts.
pub const BODY_BYTES_PER_SECOND_MIN: Bound = Bound::new("body_bytes_per_second_min", 1_024, 1, 1 << 30);
/// How long a client may take nothing of an answer.
pub const WRITE_SECONDS: Bound = Bound::new("write_seconds", 15, 1, 3_600);
/// How long a client that was answered before it had sent everything may go on sending.
pub const LINGER_SECONDS: Bound = Bound::new("linger_seconds", 5, 1, 300);
/// Between two requests of a connection.
pub const IDLE_SECONDS: Bound = Bound::new("idle_seconds", 60, 1, 3_600);
/// How old a connection may get before it is asked to end.
pub const CONNECTION_SECONDS: Bound = Bound::new("connection_seconds", 3_600, 1, 86_400);
/// Requests on one connection before it is asked to end.
pub const REQUESTS_PER_CONNECTION_MAX: Bound = Bound::new("requests_per_connection_max", 10_000, 1, 1_000_000);
/// HTTP/1: requests of a connection that come before the answer to the one before them, until it is asked to end.
pub const PIPELINED_REQUESTS_MAX: Bound = Bound::new("pipelined_requests_max", 32, 1, 10_000);
/// Bytes of a request's head.
pub const HEAD_BYTES_MAX: Bound = Bound::new("head_bytes_max", 16_384, 1_024, 1_048_576);
/// Header fields of a request.
pub const HEADERS_MAX: Bound = Bound::new("headers_max", 64, 8, 1_024);
/// Bytes of a request target; the upper bound is the HTTP library's own.
pub const URI_BYTES_MAX: Bound = Bound::new("uri_bytes_max", 2_048, 64, 65_534);
/// HTTP/2: requests at one time on one connection.
pub const STREAMS_MAX: Bound = Bound::new("streams_max", 100, 1, 10_000);
/// HTTP/2: frames that bring no request further, before the connection ends.
pub const UNPRODUCTIVE_FRAMES_MAX: Bound = Bound::new("unproductive_frames_max", 1_000, 100, 1_000_000);
/// HTTP/2: their bytes.
pub const UNPRODUCTIVE_BYTES_MAX: Bound = Bound::new("unproductive_bytes_max", 262_144, 16_384, 1 << 30);
/// Body bytes held in memory in all.
pub const BUFFERED_BYTES_MAX: Bound = Bound::new("buffered_bytes_max", 268_435_456, 65_536, 1 << 40);
/// Bytes of an upstream's answer.
pub const RESPONSE_BYTES_MAX: Bound = Bound::new("response_bytes_max", 1_048_576, 1, 1 << 30);
/// How long deliveries under way may take after SIGTERM.
pub const DRAIN_SECONDS: Bound = Bound::new("drain_seconds", 30, 1, 3_600);
/// Worker threads; 0: one for each core.
pub const WORKERS: Bound = Bound::new("workers", 0, 0, 1_024);

impl EdgeConfig {
    fn of(mut value: impl FnMut(&Bound) -> Setting<u64>) -> Self {
        Self {
            connections_max: value(&CONNECTIONS_MAX).size(),
            connections_per_client_max: value(&CONNECTIONS_PER_CLIENT_MAX).size(),
            handshakes_max: value(&HANDSHAKES_MAX).size(),
            handshake_time: value(&HANDSHAKE_SECONDS).seconds(),
            head_time: value(&HEAD_SECONDS).seconds(),
            body_time: value(&BODY_SECONDS).seconds(),
            body_grace_time: value(&BODY_GRACE_SECONDS).seconds(),
            body_bytes_per_second_min: value(&BODY_BYTES_PER_SECOND_MIN).value,
            write_time: value(&WRITE_SECONDS).seconds(),
            linger_time: value(&LINGER_SECONDS).seconds(),
            idle_time: value(&IDLE_SECONDS).seconds(),
            connection_time: value(&CONNECTION_SECONDS).seconds(),
            requests_per_connection_max: value(&REQUESTS_PER_CONNECTION_MAX).count(),
            pipelined_requests_max: value(&PIPELINED_REQUESTS_MAX).count(),
            head_bytes_max: value(&HEAD_BYTES_MAX).size(),
            headers_max: value(&HEADERS_MAX).size(),
            uri_bytes_max: value(&URI_BYTES_MAX).size(),
            streams_max: value(&STREAMS_MAX).count(),
            unproductive_frames_max: value(&UNPRODUCTIVE_FRAMES_MAX).count(),
            unproductive_bytes_max: value(&UNPRODUCTIVE_BYTES_MAX).count(),
            buffered_bytes_max: value(&BUFFERED_BYTES_MAX),
            response_bytes_max: value(&RESPONSE_BYTES_MAX).size(),
            drain_time: value(&DRAIN_SECONDS).seconds(),
            workers: Some(value(&WORKERS).size()).filter(|&workers| workers > 0),
            tls_profile: TlsProfile::default(),
        }
    }
}

impl Default for EdgeConfig {
    fn default() -> Self {
        Self::of(Setting::of_default)
    }
}

const TLS_PROFILES: &[(&str, TlsProfile)] =
    &[("intermediate", TlsProfile::Intermediate), ("modern", TlsProfile::Modern)];

pub(super) fn read_edge(edge: &mut Reader<'_>) -> EdgeConfig {
    let tls_profile =
        edge.one_of("tls_profile", TLS_PROFILES).map_or_else(TlsProfile::default, |profile| profile.value);
    let config = EdgeConfig { tls_profile, ..EdgeConfig::of(|bound| edge.bound(bound)) };
    let (uri, head) = (config.uri_bytes_max, config.head_bytes_max);
    if uri > head {
        let span = edge.key_span(URI_BYTES_MAX.key).or_else(|| edge.key_span(HEAD_BYTES_MAX.key));
        let fault = Fault::new(format!("uri_bytes_max is {uri}, more than head_bytes_max, which is {head}"));
        edge.error(span, fault.hint("a head has the target in it: lower the one or raise the other"));
    }
    config
}
