//! A handshake that brings a secret: it is kept before it is answered, or refused.
//!
//! **Invariant:** one is kept at a time, by a thread that may wait for the disk. A worker never does.

use super::draft::Draft;
use super::{Commitment, Gateway, Upstream};
use crate::delivery::{Answer, Ended};
use crate::policy::Source;
use crate::policy::learn::{self, LearnFault};
use crate::reason::{Level, Reason};
use crate::record::DeliveryId;
use crate::rejection::Rejection;
use crate::secret::Secret;

impl<U: Upstream> Gateway<U> {
    /// Keeps the secret that a handshake brought, and puts it in force before the answer goes out: the provider's first
    /// delivery may follow at once.
    pub(super) async fn learn(
        &self,
        answer: Box<Answer>,
        secret: Secret,
        draft: &mut Draft<'_, U>,
        commitment: &Commitment,
    ) -> Ended {
        let kept_in = draft.source().and_then(|source| Some((source, source.handshakes.learn.clone()?)));
        let Some((source, file)) = kept_in else { return Reason::HandshakeRefused.into() };
        let shared = &self.shared;
        // The semaphore is never closed.
        let Ok(_turn) = shared.learning.acquire().await else { return Reason::HandshakeRefused.into() };
        commitment.commit(draft.committed());
        let now = shared.clock.unix_seconds();
        match tokio::task::spawn_blocking(move || learn::keep(&file, &secret, now)).await {
            Ok(Ok(())) => {
                self.tell_kept(source, draft);
                shared.reload.ask().await;
                Ended::Answered(answer)
            }
            Ok(Err(fault)) => self.not_kept(&fault, source).into(),
            Err(_panicked) => Reason::Panic.into(),
        }
    }

    /// At a level that shows also where ordinary deliveries do not: whoever hands over the secret is believed from now on.
    fn tell_kept(&self, source: &Source, draft: &mut Draft<'_, U>) {
        let (peer, mut id) = (draft.peer(), [0; DeliveryId::LENGTH]);
        let delivery = draft.id().encode(&mut id).to_owned();
        let message = "a secret was handed over and is kept";
        self.recorder.event(
            Level::Warn,
            message,
            &[("source", &source.name), ("peer", &peer), ("delivery", &delivery)],
        );
    }

    fn not_kept(&self, fault: &LearnFault, source: &Source) -> Rejection {
        let refused = Rejection::new(Reason::HandshakeRefused).fact("found", fault.to_string());
        match fault {
            LearnFault::Closed => refused.hint(format!(
                "if the provider should hand its secret over now, run `hookward learn {}` and let it try again",
                source.name
            )),
            LearnFault::Short => refused.hint("a provider's own secret is longer: this is somebody else's try"),
            LearnFault::Unwritable(_) => {
                let message = "a secret was handed over and cannot be kept";
                self.recorder.event(Level::Error, message, &[("source", &source.name), ("error", fault)]);
                refused.hint(
                    "let the gateway's user write into the directory of [handshake] learn_secret, and restart the gateway if that is new",
                )
            }
        }
    }
}
