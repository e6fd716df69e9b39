//! Who may go on, and how much at the same time: networks, rates, failure budgets, concurrency, buffered bytes, claims.
//!
//! It stands twice on a delivery's way. [`Limits::enter`] comes before authentication and knows the source and the
//! client's address, nothing else: what it spends is the client's own. [`Limits::accept`] comes after it and spends the
//! source's budget and its places in flight, so that junk can never use up what a provider's deliveries need.
//!
//! ```text
//! enter   draining → address_refused → client_blocked → rate_limited_client → overloaded (the whole process)
//! accept  rate_limited_source → overloaded (the source's in_flight_max)
//! beside  Limits::reserve_bytes before a body is read, Limits::claims once a signature matched,
//!         Limits::failed when a delivery ended in a fault of authentication, a circuit when it leaves
//! ```
//!
//! It must never wait, read a clock, look at a request's bytes, or hold a lock that all deliveries share. Time is the
//! caller's: a monotonic [`Duration`] since the process began.
//!
//! **Invariant:** everything here is of a fixed size, whoever sends; a full table forgets what is idle, except claims
//! (refused instead) and the marks of genuine clients (which junk cannot write).

pub mod budget;
pub mod circuit;
pub mod claims;
pub mod client;
pub mod failures;
pub mod in_flight;
pub mod networks;
pub mod permit;
pub mod rate;
pub mod reach;
pub mod source;
pub mod trickle;

pub use self::budget::Reserved;
pub use self::networks::Networks;

use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use self::budget::{Budget, Resource};
use self::circuit::{Circuit, Circuits};
use self::claims::Claims;
use self::client::{Client, Standing};
use self::failures::Failures;
use self::permit::{Permit, Slot};
use self::rate::{ClientBuckets, Rate};
use self::source::{RateMode, Registry, SourceLimits, SourceRules};
use crate::reason::Reason;
use crate::rejection::{Findings, Rejection};

/// All that is limited, once per process. It outlives every policy.
#[derive(Debug)]
pub struct Limits {
    draining: AtomicBool,
    closed: AtomicBool,
    sources: Registry,
    clients: ClientBuckets,
    failures: Failures,
    deliveries: Budget,
    bytes: Budget,
    claims: Claims,
    circuits: Circuits,
}

/// How large the process's tables and budgets are. Set when it starts; a reload does not change them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Deliveries at the same time, in all; of a client, a quarter.
    pub deliveries_max: NonZeroU32,
    /// Bytes of bodies in memory, in all; a client may hold a quarter.
    pub buffered_bytes_max: NonZeroU64,
    /// Rate buckets of clients, 56 bytes each.
    pub clients_max: NonZeroU32,
    /// Clients with failed authentications, 64 bytes each.
    pub failing_clients_max: NonZeroU32,
    /// Marks of clients that authenticated within a day, 48 bytes each: one for each source, and one for all of them.
    pub known_clients_max: NonZeroU32,
    /// Replay claims, 47 bytes each. The `burst` + `per_second` × `window_seconds` of all sources, times the secrets of each, should fit: past it,
    /// good deliveries are refused as `overloaded` until windows end.
    pub claims_max: NonZeroU32,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            deliveries_max: const { NonZeroU32::new(4096).expect("invariant: not zero") },
            buffered_bytes_max: const { NonZeroU64::new(256 << 20).expect("invariant: not zero") },
            clients_max: const { NonZeroU32::new(1 << 18).expect("invariant: not zero") },
            failing_clients_max: const { NonZeroU32::new(1 << 17).expect("invariant: not zero") },
            known_clients_max: const { NonZeroU32::new(1 << 17).expect("invariant: not zero") },
            claims_max: const { NonZeroU32::new(1 << 20).expect("invariant: not zero") },
        }
    }
}

/// When a sender may try again where nobody can know: long enough for a successor to listen.
const RETRY_DRAINING: Duration = Duration::from_secs(5);

/// When a sender may try again after work that takes milliseconds.
const RETRY_SOON: Duration = Duration::from_secs(1);

const BUFFERED_BYTES: Resource = Resource { max: "buffered_bytes_max", client_max: "buffered_bytes_per_client" };

const DELIVERIES: Resource = Resource { max: "deliveries_max", client_max: "deliveries_per_client" };

fn deliveries(max: NonZeroU32) -> Budget {
    Budget::new(DELIVERIES, usize::try_from(max.get()).unwrap_or(usize::MAX))
}

impl Limits {
    /// Limits under which nothing was counted yet.
    #[must_use]
    pub fn new(capacity: Capacity) -> Self {
        Self {
            draining: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            sources: Registry::default(),
            clients: ClientBuckets::new(capacity.clients_max),
            failures: Failures::new(capacity.failing_clients_max, capacity.known_clients_max),
            deliveries: deliveries(capacity.deliveries_max),
            bytes: Budget::new(
                BUFFERED_BYTES,
                usize::try_from(capacity.buffered_bytes_max.get()).unwrap_or(usize::MAX),
            ),
            claims: Claims::new(capacity.claims_max),
            circuits: Circuits::default(),
        }
    }

    /// The same with no more deliveries at the same time than this, in all.
    #[must_use]
    pub fn with_deliveries_at_most(mut self, max: NonZeroU32) -> Self {
        let before = self.deliveries.max();
        if usize::try_from(max.get()).is_ok_and(|max| max < before) {
            self.deliveries = deliveries(max);
        }
        self
    }

    /// Compiles the limits of the source with this name. Its id, its bucket (unless `rules.source` changed) and what it
    /// has in flight are those of earlier policies. Changes nothing for the policy in force.
    #[must_use]
    pub fn source(&self, name: &str, rules: SourceRules) -> SourceLimits {
        self.sources.limits(name, rules)
    }

    /// The circuit of one upstream of the source with this name, in the state that earlier policies left it in.
    #[must_use]
    pub fn circuit(&self, source: &str, upstream: &str) -> Arc<Circuit> {
        self.circuits.circuit(source, upstream)
    }

    /// Lets a delivery of this client into the gateway, as far as its authentication. `peer` is the client's address,
    /// as a trusted proxy tells it where there is one. A rate that is only monitored refuses nothing and is a finding.
    ///
    /// # Errors
    /// In this order: `draining`, `address_refused`, `client_blocked`, `rate_limited_client`, `overloaded`. All but
    /// `address_refused` say when to try again. The body is not needed for any of them.
    pub fn enter(
        &self,
        source: &SourceLimits,
        peer: IpAddr,
        now: Duration,
        findings: &mut Findings,
    ) -> Result<Permit, Rejection> {
        if self.is_closed() {
            return Err(Rejection::new(Reason::Draining).retry_after(RETRY_DRAINING));
        }
        if !source.networks.admit(peer) {
            return Err(Rejection::new(Reason::AddressRefused));
        }
        let client = Client::from(peer);
        let passage = self.failures.enter(source.id, client, &source.excess, now)?;
        let taken = self.clients.take(source.id, client, source.client, now);
        judge(source.rate_mode, taken, Reason::RateLimitedClient, source.client, findings)?;
        let place = if self.deliveries.is_tight() { self.standing(source, peer, now) } else { Standing::Stranger };
        let process = self.deliveries.reserve(client, 1, place)?;
        Ok(Permit { client: Some(client), passage, process: Some(process) })
    }

    /// Takes an authenticated delivery, no replay, into its source. Its client is known from here on, whatever the
    /// source has room for. A rate that is only monitored refuses nothing and is a finding.
    ///
    /// # Errors
    /// As [`accept_unasked`](Self::accept_unasked).
    pub fn accept(
        &self,
        source: &SourceLimits,
        permit: Permit,
        now: Duration,
        findings: &mut Findings,
    ) -> Result<Slot, Rejection> {
        if let Some(client) = permit.client {
            self.failures.succeeded(source.id, client, now);
        }
        self.accept_unasked(source, permit, now, findings)
    }

    /// Takes a delivery into a source that asks for no proof (`provider = "none"`). Its client stays the stranger that it was: nothing was proven.
    ///
    /// # Errors
    /// `rate_limited_source`, then `overloaded` (`in_flight_max`); both say when to try again.
    pub fn accept_unasked(
        &self,
        source: &SourceLimits,
        permit: Permit,
        now: Duration,
        findings: &mut Findings,
    ) -> Result<Slot, Rejection> {
        let taken = source.bucket.take(now);
        judge(source.rate_mode, taken, Reason::RateLimitedSource, source.bucket.rate(), findings)?;
        self.accept_unproven(source, permit)
    }

    /// Takes a delivery into its source that proved nothing and goes on all the same (`[mode] auth = "monitor"`). It takes a place in flight and
    /// nothing that belongs to the genuine sender: its client does not become a known one, and the source's rate is not spent.
    ///
    /// # Errors
    /// `overloaded` (`in_flight_max`), which says when to try again.
    pub fn accept_unproven(&self, source: &SourceLimits, permit: Permit) -> Result<Slot, Rejection> {
        let Permit { client: _, passage, process } = permit;
        drop(passage);
        let seat = source.in_flight.try_enter().ok_or_else(|| overloaded("in_flight_max", RETRY_SOON))?;
        Ok(Slot { _process: process, _source: Some(seat) })
    }

    /// Whether some source had an authentic delivery from this address within a day.
    #[must_use]
    pub fn is_met(&self, peer: IpAddr, now: Duration) -> bool {
        self.failures.is_known_somewhere(Client::from(peer), now)
    }

    /// Tells how a refused delivery ended. Counts against the client's failure budget if it is a fault that only
    /// somebody without the secret causes (missing, malformed or mismatched credential), and is nothing otherwise.
    pub fn failed(&self, source: &SourceLimits, peer: IpAddr, reason: Reason, now: Duration) {
        let mut rule = source.failures;
        if source.networks.names(peer) {
            // The operator says who it is: a provider's address that is rarely used, and that strangers can make fail, must not be out for an hour.
            rule.block_time_max = rule.block_time;
        }
        self.failures.failed(source.id, Client::from(peer), rule, reason, now);
    }

    /// The budget of bytes that wait in memory.
    #[must_use]
    pub const fn bytes(&self) -> &Budget {
        &self.bytes
    }

    /// What the body of a delivery of this client takes of that, which is nothing yet.
    ///
    /// # Errors
    /// As [`Budget::reserve`].
    pub fn reserve_bytes(&self, source: &SourceLimits, peer: IpAddr, now: Duration) -> Result<Reserved, Rejection> {
        self.bytes.reserve(Client::from(peer), 0, self.standing(source, peer, now))
    }

    fn standing(&self, source: &SourceLimits, peer: IpAddr, now: Duration) -> Standing {
        if source.networks.names(peer) || self.is_met(peer, now) { Standing::Known } else { Standing::Stranger }
    }

    /// The replay claims.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Says that the process is about to end. Deliveries are let in until [`close`](Self::close): some are on their way.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Refuses every further delivery; those that were let in go on.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Whether every further delivery is refused.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether the process is shutting down.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// How many deliveries hold a [`Permit`] or a [`Slot`]: what a drain waits for.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        u32::try_from(self.deliveries.used()).unwrap_or(u32::MAX)
    }
}

/// The rejection for a cap on what happens at the same time; `limit` says which.
fn overloaded(limit: &'static str, after: Duration) -> Rejection {
    Rejection::new(Reason::Overloaded).fact("limit", limit).retry_after(after)
}

/// Turns an empty bucket into a refusal, or into a finding where the source only monitors.
fn judge(
    mode: RateMode,
    taken: Result<(), Duration>,
    reason: Reason,
    rate: Rate,
    findings: &mut Findings,
) -> Result<(), Rejection> {
    let Err(after) = taken else { return Ok(()) };
    let rejection = Rejection::new(reason)
        .fact("per_second", i64::from(rate.per_second.get()))
        .fact("burst", i64::from(rate.burst.get()))
        .retry_after(after);
    match mode {
        RateMode::Enforce => Err(rejection),
        RateMode::Monitor => {
            findings.add(rejection);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
