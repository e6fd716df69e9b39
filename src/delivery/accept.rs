//! Whether a proven delivery is new, and whether its source has room for it.

use std::convert::Infallible;
use std::time::Duration;

use http::StatusCode;

use super::{Accepted, Authenticated, Novelty, Sender};
use crate::admit::Limits;
use crate::admit::claims::{Moment, Reservation};
use crate::admit::permit::{Permit, Slot};
use crate::auth::Proof;
use crate::policy::Source;
use crate::policy::source::OnDuplicate;
use crate::reason::Reason;
use crate::rejection::Rejection;

/// The longest a claim is kept: a token that is fresh for years must not hold its place so long.
const CLAIM_TIME_MAX: Duration = Duration::from_secs(2 * 24 * 60 * 60);

impl<'d> Authenticated<'d> {
    /// The source.
    #[must_use]
    pub const fn source(&self) -> &'d Source {
        self.routed.source
    }

    /// Who sent it; `None` where the policy says `provider = "none"`, or where only monitored authentication found no proof.
    #[must_use]
    pub const fn proof(&self) -> Option<&Proof<'d>> {
        self.sender.proof()
    }

    /// Takes out what monitored stages found.
    pub fn take_monitored(&mut self) -> Vec<Rejection> {
        std::mem::take(&mut self.monitored)
    }

    /// Claims the delivery, so that its repetitions are known, and takes it into its source's budget. `now` is monotonic.
    ///
    /// # Errors
    /// `replayed`, `replay_in_flight`, `rate_limited_source`, `overloaded`, in this order.
    pub fn accept(self, limits: &Limits, now: Duration) -> Result<Accepted<'d>, Rejection> {
        let novelty = self.claim(limits, now)?;
        let rules = &self.routed.source.limits;
        self.with(novelty, |sender, permit| match sender {
            Sender::Proven(_) => limits.accept(rules, permit, now),
            Sender::Unasked => limits.accept_unasked(rules, permit, now),
            Sender::Unproven => limits.accept_unproven(rules, permit),
        })
    }

    /// Takes a recorded delivery on without limits and replay protection.
    #[must_use]
    pub fn accept_offline(self) -> Accepted<'d> {
        let Ok(accepted) = self.with(Novelty::Unknown, |_, permit| Ok::<_, Infallible>(Slot::offline(permit)));
        accepted
    }

    /// Takes a recorded delivery on without limits, but with replay protection: the records before it count.
    ///
    /// # Errors
    /// `replayed`, `replay_in_flight`.
    pub fn accept_sequence(self, limits: &Limits, now: Duration) -> Result<Accepted<'d>, Rejection> {
        let novelty = self.claim(limits, now)?;
        self.with(novelty, |_, permit| Ok(Slot::offline(permit)))
    }

    /// The next stage, with the slot that its permit becomes.
    fn with<E>(
        self,
        novelty: Novelty,
        slot: impl FnOnce(&Sender<'d>, Permit) -> Result<Slot, E>,
    ) -> Result<Accepted<'d>, E> {
        let Self { routed, permit, body, sender, at, mut monitored } = self;
        let mut slot = slot(&sender, permit)?;
        monitored.extend(slot.take_monitored());
        Ok(Accepted { routed, body, sender, at, slot, novelty, monitored })
    }

    fn claim(&self, limits: &Limits, now: Duration) -> Result<Novelty, Rejection> {
        let Some(proof) = self.sender.proof() else { return Ok(Novelty::Unknown) };
        let source = self.routed.source;
        // A token may be fresh for longer than the window; a timestamp from the edge of the future is, by its last second.
        let window = source.replay.window.max(proof.fresh_for().unwrap_or_default().min(CLAIM_TIME_MAX));
        let claims = limits.claims();
        let slowest = claims.time(now, self.at);
        // Only what a timestamp makes stale can become fresh again.
        let own = if proof.fresh_for().is_some() { slowest } else { now };
        let reservation = claims.reserve_all(source.limits.id(), proof.digests(), window, Moment { own, slowest });
        let Some(reservation) = reservation.transpose() else { return Ok(Novelty::Unknown) };
        match (reservation, source.replay.on_duplicate) {
            (Ok(Reservation::New(claim)), _) => Ok(Novelty::New(claim)),
            (Ok(Reservation::Duplicate | Reservation::InFlight), OnDuplicate::Forward) => Ok(Novelty::Duplicate),
            (Ok(Reservation::Duplicate), OnDuplicate::Acknowledge) => {
                Err(Rejection::new(Reason::Replayed).told(StatusCode::OK))
            }
            (Ok(Reservation::Duplicate), OnDuplicate::Refuse) => Err(Reason::Replayed.into()),
            (Ok(Reservation::InFlight), OnDuplicate::Acknowledge | OnDuplicate::Refuse) => {
                Err(Rejection::new(Reason::ReplayInFlight).retry_after(Duration::from_secs(1)))
            }
            // No place to remember it: what is forwarded anyway may go, what must not come twice may not.
            (Err(_full), OnDuplicate::Forward) => Ok(Novelty::Unknown),
            (Err(full), OnDuplicate::Acknowledge | OnDuplicate::Refuse) => Err(full),
        }
    }
}
