//! The one record of a delivery, accepted or not.
//!
//! The pipeline's wrapper fills a [`Delivery`] when the answer is known and hands it to a
//! [`Recorder`](super::Recorder), once. Rejected log, access log and metrics all read this one struct, so they cannot
//! disagree. It borrows everything: making a record allocates nothing.
//!
//! **Invariant:** the body is in here only to be measured and hashed. No output, and not [`Debug`] either, shows a byte
//! of it.

use std::cell::RefCell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use uuid::{Builder, Uuid};

use crate::policy::Source;
use crate::rejection::Rejection;
use crate::sanitize::EditCounts;
use crate::text::micros;

/// Everything that is recorded of one delivery, or of a connection that failed before it had one.
///
/// A connection's fault (TLS, an unreadable head) has neither source, method nor path; `outcome` is then
/// [`Outcome::Rejected`] with a reason of stage `connection`.
#[derive(Clone, Copy)]
pub struct Delivery<'d> {
    /// When the delivery began, in microseconds since the Unix epoch.
    pub ts: i64,
    /// Our own name for this delivery: told to sender and upstream, and searchable in every log.
    pub id: DeliveryId,
    /// The policy's name; `None` as long as no source was found. Only names of loaded policies come here.
    pub source: Option<&'d str>,
    /// The client as the limits see it: the connection's peer, or what a trusted proxy said.
    pub peer: IpAddr,
    /// The request method, as sent.
    pub method: Option<&'d str>,
    /// The request path, as sent. A query is cut off when it is written, should one get here.
    pub path: Option<&'d str>,
    /// The event's name, once known.
    pub event: Option<&'d str>,
    /// The body as received. It is hashed only when a line of the rejected log is really written.
    pub body: Option<&'d Bytes>,
    /// The policy's file and a short hash of its text, such as `policies/github.toml@3f9a1c2e`.
    pub policy: Option<&'d str>,
    /// From the first byte of the request to the answer.
    pub elapsed: Duration,
    /// The id of the secret or key that proved the sender.
    pub secret_id: Option<&'d str>,
    /// The name of the scheme that proved the sender.
    pub scheme: Option<&'d str>,
    /// How many edits sanitizing made, rule by rule.
    pub edits: EditCounts,
    /// The HTTP status told to the sender; `None` where there was no HTTP answer.
    pub status: Option<u16>,
    /// What the upstream did, if it was asked.
    pub upstream: Option<Upstream>,
    /// What stages in monitor mode found and let pass.
    pub monitored: &'d [Rejection],
    /// How it ended.
    pub outcome: Outcome<'d>,
}

/// What an upstream did with a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upstream {
    /// The status of its last answer; `None` if it gave none.
    pub status: Option<u16>,
    /// How often it was tried, the first time included.
    pub attempts: u32,
    /// From the first try to the end of the last one.
    pub elapsed: Duration,
}

/// How a delivery ended.
#[derive(Debug, Clone, Copy)]
pub enum Outcome<'d> {
    /// The upstream had it and its answer was relayed.
    Forwarded,
    /// The gateway answered by itself: a handshake, or a duplicate that is only acknowledged.
    Answered,
    /// It was refused, or it failed on the way.
    Rejected(&'d Rejection),
}

/// What a finding did to its delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    /// It was refused.
    Refused,
    /// It went on: the stage is in monitor mode.
    Monitored,
}

impl Effect {
    /// The stable name, as in log lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Monitored => "monitored",
        }
    }
}

/// The name of one delivery: a UUID of version 7 (RFC 9562 §5.7), 36 characters as text.
///
/// Ids sort by time down to a quarter of a microsecond (the twelve bits of `rand_a` hold the fraction of a millisecond,
/// RFC 9562 §6.2 method 3); the other 62 bits come from the system's generator.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryId(Uuid);

impl DeliveryId {
    /// Characters of the text form.
    pub const LENGTH: usize = 36;

    /// A new id for a delivery that began at `ts`, in microseconds since the Unix epoch.
    ///
    /// Costs a few nanoseconds: every thread keeps its own pool of random bytes.
    #[must_use]
    pub fn new(ts: i64) -> Self {
        Self::with_random(ts, random_bytes())
    }

    /// The id of this time and these random bytes; the two uppermost bits of the bytes make way for the variant.
    #[must_use]
    pub fn with_random(ts: i64, random: [u8; 8]) -> Self {
        let micros = u64::try_from(ts).unwrap_or(0);
        let fraction = u16::try_from((micros % 1000) * 4096 / 1000).unwrap_or(0);
        let mut tail = [0; 10];
        tail[..2].copy_from_slice(&fraction.to_be_bytes());
        tail[2..].copy_from_slice(&random);
        Self(Builder::from_unix_timestamp_millis(micros / 1000, &tail).into_uuid())
    }

    /// Its random bits: 62, the two uppermost are always the same.
    #[must_use]
    pub const fn random(self) -> u64 {
        self.0.as_u64_pair().1
    }

    /// The text form, written into a buffer of the caller.
    pub fn encode(self, buffer: &mut [u8; Self::LENGTH]) -> &str {
        self.0.hyphenated().encode_lower(buffer)
    }
}

impl Outcome<'_> {
    /// The stable name, as in metric labels and log lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forwarded => "accepted",
            Self::Answered => "answered",
            Self::Rejected(_) => "rejected",
        }
    }
}

impl<'d> Delivery<'d> {
    /// A delivery of which nothing is known but its client and its end.
    #[must_use]
    pub fn new(ts: i64, id: DeliveryId, peer: IpAddr, outcome: Outcome<'d>) -> Self {
        Self {
            ts,
            id,
            source: None,
            peer,
            method: None,
            path: None,
            event: None,
            body: None,
            policy: None,
            elapsed: Duration::ZERO,
            secret_id: None,
            scheme: None,
            edits: EditCounts::default(),
            status: None,
            upstream: None,
            monitored: &[],
            outcome,
        }
    }

    /// The same of a request with this head, which belongs to this source.
    #[must_use]
    pub fn of(self, head: &'d Parts, source: Option<&'d Source>) -> Self {
        Self {
            source: source.map(|source| &*source.name),
            policy: source.map(|source| &*source.policy),
            method: Some(head.method.as_str()),
            path: Some(head.uri.path()),
            ..self
        }
    }

    /// The length of the body as received, if one was read.
    #[must_use]
    pub fn body_bytes(&self) -> Option<u64> {
        self.body.map(|body| u64::try_from(body.len()).unwrap_or(u64::MAX))
    }

    /// When the answer was known, in microseconds since the Unix epoch.
    #[must_use]
    pub fn ended_at(&self) -> i64 {
        self.ts.saturating_add_unsigned(micros(self.elapsed))
    }

    /// The path up to a question mark: queries hold credentials with some providers.
    #[must_use]
    pub fn path_alone(&self) -> Option<&str> {
        self.path.map(|path| path.split(['?', '#']).next().unwrap_or_default())
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.encode(&mut [0; Self::LENGTH]))
    }
}

impl fmt::Debug for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Names the delivery and its end, nothing that a sender chose.
impl fmt::Debug for Delivery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Rejected(rejection) => rejection.reason().code(),
            Outcome::Forwarded | Outcome::Answered => self.outcome.name(),
        };
        f.debug_struct("Delivery")
            .field("id", &self.id)
            .field("source", &self.source)
            .field("status", &self.status)
            .field("outcome", &outcome)
            .finish_non_exhaustive()
    }
}

/// Random bytes fetched ahead: one call of the generator serves this many ids divided by eight.
const POOL_BYTES: usize = 512;

struct Pool {
    bytes: [u8; POOL_BYTES],
    next: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; POOL_BYTES], next: POOL_BYTES }) };
}

fn random_bytes() -> [u8; 8] {
    POOL.with_borrow_mut(|pool| {
        if pool.next >= POOL_BYTES {
            if aws_lc_rs::rand::fill(&mut pool.bytes).is_err() {
                // No randomness from the system: ids stay unique, which is what logs need; they may be guessed.
                return RandomState::new().hash_one(pool.next).to_ne_bytes();
            }
            pool.next = 0;
        }
        let mut taken = [0; 8];
        taken.copy_from_slice(&pool.bytes[pool.next..pool.next + 8]);
        pool.next += 8;
        taken
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn an_id_is_a_uuid_of_version_seven_with_its_time_in_front() {
        let rows = [
            ("the epoch", 0, [0; 8], "00000000-0000-7000-8000-000000000000"),
            ("one millisecond", 1_000, [0; 8], "00000000-0001-7000-8000-000000000000"),
            ("half a millisecond", 500, [0; 8], "00000000-0000-7800-8000-000000000000"),
            ("the last microsecond of one", 999, [0xff; 8], "00000000-0000-7ffb-bfff-ffffffffffff"),
            ("a day in 2026", 1_795_446_185_123_456, [1; 8], "01a208ee-9ca3-774b-8101-010101010101"),
            ("before the epoch", -1, [0; 8], "00000000-0000-7000-8000-000000000000"),
        ];
        for (name, ts, random, text) in rows {
            let id = DeliveryId::with_random(ts, random);
            assert_eq!(id.to_string(), text, "{name}");
            assert_eq!(id.to_string().len(), DeliveryId::LENGTH, "{name}");
        }
    }

    #[test]
    fn ids_of_one_moment_differ_and_ids_of_later_microseconds_sort_later() {
        let ids: HashSet<_> = (0..10_000).map(|_| DeliveryId::new(7)).collect();
        assert_eq!(ids.len(), 10_000);
        let texts: Vec<_> = (0..3_000).map(|micros| DeliveryId::new(micros).to_string()).collect();
        assert!(texts.is_sorted());
    }

    #[test]
    fn a_path_ends_where_its_query_begins() {
        let rows = [("/hooks", "/hooks"), ("/hooks?token=x", "/hooks"), ("?x", ""), ("/a#b", "/a")];
        for (path, alone) in rows {
            let delivery = Delivery { path: Some(path), ..crate::record::tests::forwarded() };
            assert_eq!(delivery.path_alone(), Some(alone), "{path}");
        }
    }

    #[test]
    fn debug_output_names_the_delivery_and_shows_nothing_of_the_sender() {
        let body = Bytes::from_static(b"SENTINEL");
        let path = Some("/SENTINEL?SENTINEL");
        let delivery =
            Delivery { body: Some(&body), path, event: Some("SENTINEL"), ..crate::record::tests::forwarded() };
        let shown = format!("{delivery:?}");
        assert!(shown.contains("accepted") && !shown.contains("SENTINEL"), "{shown}");
    }
}
