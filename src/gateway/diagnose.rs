//! Why a credential was refused, found out behind the answer.
//!
//! A refused sender's answer is made first. Then, if there is a token for it, the delivery goes into a queue instead of the record being written at once;
//! a thread of its own takes it out, tries what would have fitted ([`auth::diagnosis`](crate::auth::diagnosis)), and writes the record with what it
//! found. A thread and not a task of the worker: a diagnosis takes up to some ten milliseconds, and the worker's other deliveries must not wait for it.
//!
//! Whether a delivery is diagnosed depends on how many were lately, never on its credential, and what is tried does not depend on what fits: from the time
//! of answers a sender learns nothing.
//!
//! **Invariant:** one record a delivery. It is written when its `Job` is dropped, wherever that happens: after the diagnosis, in a full queue, when
//! the diagnosis panics, at the end of the process.
//!
//! **Invariant:** a worker never waits here: no token, no place, no room is a record without diagnosis.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;

use crate::admit::trickle::Trickle;
use crate::clock::UnixSeconds;
use crate::policy::diagnosis::{explained, is_diagnosable};
use crate::policy::{Policy, Source};
use crate::reason::Reason;
use crate::record::{Delivery, DeliveryId, Outcome, Recorder, Reserved};
use crate::rejection::{Findings, Rejection};

/// How many deliveries may wait for their diagnosis.
pub const QUEUE_MAX: usize = 32;

/// How many bytes of bodies and heads may wait with them.
pub const QUEUE_BYTES_MAX: usize = 8 << 20;

/// How many deliveries of all sources together are diagnosed at once, and after how long one more is.
const BURST: u32 = 20;
const INTERVAL: Duration = Duration::from_millis(250);

/// What a waiting delivery is counted with besides its body, in bytes: its head, which the edge limits.
const HEAD_BYTES: usize = 16 * 1024;

/// The workers' way to the diagnosis thread.
#[derive(Debug, Clone)]
pub struct Diagnosis {
    sender: SyncSender<Message>,
    total: Arc<Trickle>,
    bytes: Arc<AtomicUsize>,
}

/// What runs in the diagnosis thread.
#[derive(Debug)]
pub struct Diagnostician {
    receiver: Receiver<Message>,
}

#[derive(Debug)]
enum Message {
    Job(Box<Job>),
    End,
}

/// Room for one delivery in the queue, as long as this value lives.
#[derive(Debug)]
pub(super) struct Room {
    bytes: usize,
    all: Arc<AtomicUsize>,
}

/// What a refused delivery's record needs, owned. It has no `Debug`: the body would be in it.
pub(super) struct Refused {
    pub ts: i64,
    pub id: DeliveryId,
    pub peer: IpAddr,
    pub body: Option<Bytes>,
    pub elapsed: Duration,
    pub now: UnixSeconds,
    pub rejection: Rejection,
    pub findings: Findings,
    /// Its place in the rejected log; taken when it is written.
    pub place: Option<Reserved>,
    /// Held as long as the delivery waits.
    pub _room: Room,
}

/// A refused delivery whose record is not written yet.
pub(super) struct Job {
    pub recorder: Recorder,
    pub policy: Arc<Policy>,
    pub head: Parts,
    pub refused: Refused,
}

impl Diagnosis {
    /// A queue and the other end of it, which wants a thread.
    #[must_use]
    pub fn new() -> (Self, Diagnostician) {
        let (sender, receiver) = sync_channel(QUEUE_MAX);
        let diagnosis = Self { sender, total: Arc::new(Trickle::new(BURST, INTERVAL)), bytes: Arc::default() };
        (diagnosis, Diagnostician { receiver })
    }

    /// Whether a refused delivery is one to diagnose, and its source and all sources together had few of them lately.
    pub(super) fn is_due(&self, rejection: &Rejection, source: &Source, now: Duration) -> bool {
        is_diagnosable(rejection) && source.diagnoses.has_token(now) && self.total.has_token(now)
    }

    /// Room for a delivery that is due, if nobody was faster.
    pub(super) fn room(&self, source: &Source, body_bytes: usize, now: Duration) -> Option<Room> {
        let _of_source = source.diagnoses.take(now)?;
        let _of_all = self.total.take(now)?;
        let room = Room { bytes: body_bytes.saturating_add(HEAD_BYTES), all: Arc::clone(&self.bytes) };
        let before = self.bytes.fetch_add(room.bytes, Ordering::Relaxed);
        (before.saturating_add(room.bytes) <= QUEUE_BYTES_MAX).then_some(room)
    }

    /// Puts a delivery into the queue. Where there is no place, its record is written here and now.
    pub(super) fn submit(&self, job: Job) {
        // What comes back is dropped, and so recorded.
        drop(self.sender.try_send(Message::Job(Box::new(job))));
    }

    /// Ends the thread once everything before was diagnosed. Deliveries that come later are recorded without.
    pub fn end(&self) {
        // An error is a thread that has ended.
        let _ = self.sender.send(Message::End);
    }
}

impl Diagnostician {
    /// Diagnoses what comes, until [`Diagnosis::end`], or until nobody is left who could send something.
    pub fn run(self) {
        while let Ok(Message::Job(job)) = self.receiver.recv() {
            // A defect costs one diagnosis: the record is written as the job is dropped.
            let _ = catch_unwind(AssertUnwindSafe(|| job.run()));
        }
    }
}

impl Job {
    fn run(mut self) {
        let Refused { body, now, .. } = &self.refused;
        let Some(source) = self.policy.route(self.head.uri.path()) else { return };
        let found = self.policy.diagnose(source, &self.head, body.as_ref(), *now);
        let rejection = std::mem::replace(&mut self.refused.rejection, Reason::CredentialMismatch.into());
        self.refused.rejection = explained(rejection, &found);
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let Self { recorder, policy, head, refused } = self;
        let place = refused.place.take();
        let outcome = Outcome::Rejected(&refused.rejection);
        let delivery = Delivery {
            body: refused.body.as_ref(),
            elapsed: refused.elapsed,
            status: refused.rejection.status().map(|status| status.as_u16()),
            monitored: &refused.findings,
            ..Delivery::new(refused.ts, refused.id, refused.peer, outcome).of(head, policy.route(head.uri.path()))
        };
        recorder.reserved(&delivery, place);
    }
}

/// Names the delivery and nothing of its head, which holds the credential.
impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("id", &self.refused.id).finish_non_exhaustive()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
