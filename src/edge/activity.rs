//! What a connection waits for, since when, and when that is too long.
//!
//! Deadlines cost a delivery nothing: a connection stores at each turn what it waits for and since when, and once in a while its worker looks
//! over all of them ([`registry`](super::registry)) and ends those that are overdue. hyper's own header timeout does not run before the first byte.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::policy::gateway_config::EdgeConfig;
use crate::reason::Reason;

/// What a connection waits for, and since when.
#[derive(Debug)]
pub struct Activity {
    clock: Clock,
    opened: Duration,
    /// The phase in the lower three bits, above it the milliseconds since the clock began.
    state: AtomicU64,
    /// Since when the socket takes nothing, in milliseconds and one more; 0: it does.
    stalled: AtomicU64,
    deliveries: AtomicU32,
    /// HTTP/2: answers that are made, and wait for the client to make room for them.
    unsent: AtomicU32,
    served: AtomicU32,
    http2: AtomicBool,
    resting: AtomicBool,
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// The TLS handshake.
    Handshake = 0,
    /// The first byte and the rest of a request's head.
    Head = 1,
    /// A delivery is being handled; it has deadlines of its own.
    Delivery = 2,
    /// The next request.
    Idle = 3,
    /// The client's end, after ours.
    Closing = 4,
    /// HTTP/2: room for the answers that are made. None is in the making.
    Unsent = 5,
}

/// An idle connection keeps what it needs for requests for so long.
const RESTLESS: Duration = Duration::from_secs(1);

impl Activity {
    /// The clockwork of a connection that was accepted just now.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let opened = clock.monotonic();
        let state = AtomicU64::new(pack(Phase::Handshake, opened));
        Self {
            clock,
            opened,
            state,
            stalled: AtomicU64::new(0),
            deliveries: AtomicU32::new(0),
            unsent: AtomicU32::new(0),
            served: AtomicU32::new(0),
            http2: AtomicBool::new(false),
            resting: AtomicBool::new(false),
        }
    }

    /// The handshake is done, and HTTP/1 is spoken; a request is expected, if it is not already.
    pub fn begins_http1(&self) {
        if self.phase() != Phase::Head {
            self.turn(Phase::Head);
        }
    }

    /// The handshake is done, and HTTP/2 is spoken; a request is expected.
    pub fn begins_http2(&self) {
        self.http2.store(true, Ordering::Relaxed);
        self.turn(Phase::Head);
    }

    /// A request's head is complete. Answers how many came before it and how long the connection stands.
    pub fn begin(&self) -> (u32, Duration) {
        self.deliveries.fetch_add(1, Ordering::Relaxed);
        let now = self.turn(Phase::Delivery);
        (self.served.fetch_add(1, Ordering::Relaxed), now.saturating_sub(self.opened))
    }

    /// A request's answer is made.
    pub fn end(&self) {
        if self.deliveries.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.wait();
        }
    }

    /// HTTP/2: an answer waits for the client to make room for it.
    pub fn answer_waits(&self) {
        self.unsent.fetch_add(1, Ordering::Relaxed);
    }

    /// HTTP/2: it is gone.
    pub fn answer_gone(&self) {
        self.unsent.fetch_sub(1, Ordering::Relaxed);
        if self.phase() == Phase::Unsent {
            self.wait();
        }
    }

    /// No answer is in the making.
    fn wait(&self) {
        if self.phase() != Phase::Closing {
            self.turn(if self.unsent() == 0 { Phase::Idle } else { Phase::Unsent });
        }
    }

    /// Nothing more goes out.
    pub fn close(&self) {
        self.turn(Phase::Closing);
    }

    /// The socket takes nothing.
    pub fn stall(&self) {
        if self.stalled.load(Ordering::Relaxed) == 0 {
            self.stalled.store(millis(self.clock.monotonic()) + 1, Ordering::Relaxed);
        }
    }

    /// The socket took something.
    pub fn go_on(&self) {
        if self.stalled.load(Ordering::Relaxed) != 0 {
            self.stalled.store(0, Ordering::Relaxed);
        }
    }

    /// How long the connection stands.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.opened)
    }

    /// Whether the connection speaks HTTP/2.
    #[must_use]
    pub fn is_http2(&self) -> bool {
        self.http2.load(Ordering::Relaxed)
    }

    /// Whether the connection speaks HTTP/1.
    #[must_use]
    pub fn speaks_http1(&self) -> bool {
        self.phase() != Phase::Handshake && !self.is_http2()
    }

    /// How many deliveries are under way.
    #[must_use]
    pub fn deliveries(&self) -> u32 {
        self.deliveries.load(Ordering::Relaxed)
    }

    /// Whether a request has begun on the connection.
    #[must_use]
    pub fn has_served(&self) -> bool {
        self.served.load(Ordering::Relaxed) > 0
    }

    /// Whether no delivery is under way, and the client took every answer so far.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.deliveries() == 0 && self.unsent() == 0 && self.stalled.load(Ordering::Relaxed) == 0
    }

    /// Whether nothing is under way, in neither direction.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.phase() == Phase::Idle && self.is_done()
    }

    /// Whether it is for the client to say something: to go on with what it began, or to begin.
    #[must_use]
    pub fn is_expectant(&self) -> bool {
        matches!(self.phase(), Phase::Handshake | Phase::Head) || self.is_idle()
    }

    /// Whether the connection has been idle for a while and still holds what only requests need.
    #[must_use]
    pub fn should_rest(&self) -> bool {
        let (_, since) = unpack(self.state.load(Ordering::Relaxed));
        self.is_idle()
            && !self.is_http2()
            && !self.resting.load(Ordering::Relaxed)
            && self.clock.monotonic().saturating_sub(since) >= RESTLESS
    }

    /// The connection gave away what only requests need.
    pub fn rest(&self) {
        self.resting.store(true, Ordering::Relaxed);
    }

    /// The connection is ready for requests.
    pub fn rise(&self) {
        self.resting.store(false, Ordering::Relaxed);
    }

    /// Bytes of a head arrived: on an idle HTTP/1 connection its time begins.
    pub fn bytes_arrived(&self) {
        if self.phase() == Phase::Idle {
            self.turn(Phase::Head);
        }
    }

    fn unsent(&self) -> u32 {
        self.unsent.load(Ordering::Relaxed)
    }

    fn phase(&self) -> Phase {
        unpack(self.state.load(Ordering::Relaxed)).0
    }

    fn turn(&self, phase: Phase) -> Duration {
        let now = self.clock.monotonic();
        self.state.store(pack(phase, now), Ordering::Relaxed);
        now
    }

    /// Why the connection has to end now, if it has to.
    #[must_use]
    pub fn overdue(&self, config: &EdgeConfig) -> Option<Overdue> {
        let now = self.clock.monotonic();
        let stalled = self.stalled.load(Ordering::Relaxed);
        if stalled != 0 && now >= Duration::from_millis(stalled - 1) + config.write_time {
            return Some(Overdue::Silent);
        }
        let (phase, since) = unpack(self.state.load(Ordering::Relaxed));
        let waited = now.saturating_sub(since);
        match phase {
            Phase::Handshake if waited >= config.handshake_time => Some(Overdue::Refused(Reason::TlsFailed)),
            Phase::Head if waited >= config.head_time => Some(Overdue::Refused(Reason::HeadTimeout)),
            Phase::Idle if waited >= config.idle_time || self.age() >= config.connection_time => Some(Overdue::Silent),
            Phase::Closing if waited >= config.linger_time => Some(Overdue::Silent),
            Phase::Unsent if waited >= config.write_time => Some(Overdue::Silent),
            Phase::Handshake | Phase::Head | Phase::Delivery | Phase::Idle | Phase::Closing | Phase::Unsent => None,
        }
    }
}

/// Why a connection is ended by the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overdue {
    /// It held up the gateway; this is recorded.
    Refused(Reason),
    /// It had nothing more to say, or does not listen; this is not.
    Silent,
}

fn millis(at: Duration) -> u64 {
    u64::try_from(at.as_millis()).unwrap_or(u64::MAX >> 3)
}

fn pack(phase: Phase, at: Duration) -> u64 {
    millis(at) << 3 | phase as u64
}

fn unpack(state: u64) -> (Phase, Duration) {
    let phase = match state & 7 {
        0 => Phase::Handshake,
        1 => Phase::Head,
        2 => Phase::Delivery,
        3 => Phase::Idle,
        4 => Phase::Closing,
        _ => Phase::Unsent,
    };
    (phase, Duration::from_millis(state >> 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(activity: &Activity) {
        activity.begins_http1();
        activity.begin();
        activity.end();
    }

    #[test]
    fn each_phase_has_its_own_deadline() {
        type Step = fn(&Activity);
        let stalled: Step = |activity| {
            activity.begins_http1();
            activity.begin();
            activity.stall();
        };
        let unsent: Step = |activity| {
            activity.begins_http2();
            activity.begin();
            activity.answer_waits();
            activity.end();
        };
        let rows: [(&str, Step, u64, Overdue); 6] = [
            ("handshake", |_| {}, 5, Overdue::Refused(Reason::TlsFailed)),
            ("head", |activity| activity.begins_http1(), 10, Overdue::Refused(Reason::HeadTimeout)),
            ("idle", idle, 60, Overdue::Silent),
            ("an answer that nobody takes", stalled, 15, Overdue::Silent),
            ("an answer that nobody makes room for", unsent, 15, Overdue::Silent),
            ("closing", |activity| activity.close(), 5, Overdue::Silent),
        ];
        for (name, step, seconds, overdue) in rows {
            let clock = Clock::manual(0);
            let activity = Activity::new(clock.clone());
            step(&activity);
            clock.advance(Duration::from_millis(seconds * 1000 - 1));
            assert_eq!(activity.overdue(&EdgeConfig::default()), None, "{name}");
            clock.advance(Duration::from_millis(1));
            assert_eq!(activity.overdue(&EdgeConfig::default()), Some(overdue), "{name}");
        }
    }

    #[test]
    fn what_comes_before_a_head_is_part_of_its_time() {
        let clock = Clock::manual(0);
        let activity = Activity::new(clock.clone());
        activity.begins_http1();
        clock.advance(Duration::from_secs(9));
        activity.begins_http1();
        assert_eq!(activity.overdue(&EdgeConfig::default()), None);
        clock.advance(Duration::from_secs(1));
        assert_eq!(activity.overdue(&EdgeConfig::default()), Some(Overdue::Refused(Reason::HeadTimeout)));
    }

    #[test]
    fn a_stall_counts_from_its_beginning_and_ends_with_the_first_byte_taken() {
        let clock = Clock::manual(0);
        let activity = Activity::new(clock.clone());
        activity.begins_http2();
        activity.begin();
        activity.stall();
        clock.advance(Duration::from_secs(14));
        activity.stall();
        clock.advance(Duration::from_secs(1));
        assert_eq!(activity.overdue(&EdgeConfig::default()), Some(Overdue::Silent));
        activity.go_on();
        assert_eq!(activity.overdue(&EdgeConfig::default()), None);
    }

    #[test]
    fn answers_that_wait_for_room_have_time_as_long_as_one_goes_now_and_then() {
        let clock = Clock::manual(0);
        let activity = Activity::new(clock.clone());
        activity.begins_http2();
        for _ in 0..2 {
            activity.begin();
            activity.answer_waits();
            activity.end();
        }
        let wait = |activity: &Activity| {
            clock.advance(Duration::from_secs(14));
            assert_eq!(activity.overdue(&EdgeConfig::default()), None);
            // Whatever is written meanwhile may be an answer to a ping.
            activity.go_on();
        };
        wait(&activity);
        activity.answer_gone();
        assert!(!activity.is_done() && !activity.is_idle());
        wait(&activity);
        clock.advance(Duration::from_secs(1));
        assert_eq!(activity.overdue(&EdgeConfig::default()), Some(Overdue::Silent));
        activity.answer_gone();
        assert!(activity.is_done() && activity.is_idle());
        wait(&activity);
        wait(&activity);
    }

    #[test]
    fn what_ends_while_the_connection_closes_gives_it_no_more_time() {
        let clock = Clock::manual(0);
        let activity = Activity::new(clock.clone());
        activity.begins_http2();
        activity.begin();
        activity.close();
        clock.advance(Duration::from_secs(4));
        activity.answer_waits();
        activity.end();
        activity.answer_gone();
        assert_eq!(activity.overdue(&EdgeConfig::default()), None);
        clock.advance(Duration::from_secs(1));
        assert_eq!(activity.overdue(&EdgeConfig::default()), Some(Overdue::Silent));
    }

    #[test]
    fn a_connection_is_done_once_every_answer_is_made_and_taken() {
        let activity = Activity::new(Clock::manual(0));
        activity.begins_http2();
        assert!(activity.is_done());
        activity.begin();
        activity.begin();
        activity.end();
        assert!(!activity.is_done(), "an answer is to be made");
        activity.stall();
        activity.end();
        assert!(!activity.is_done(), "and to be taken");
        activity.go_on();
        assert!(activity.is_done());
    }

    #[test]
    fn a_delivery_is_never_ended_by_the_connections_clock() {
        let clock = Clock::manual(0);
        let activity = Activity::new(clock.clone());
        activity.begins_http2();
        activity.begin();
        activity.begin();
        activity.end();
        clock.advance(Duration::from_secs(100_000));
        assert_eq!(activity.overdue(&EdgeConfig::default()), None);
        activity.end();
        assert_eq!(activity.overdue(&EdgeConfig::default()), Some(Overdue::Silent));
    }

    #[test]
    fn the_first_byte_on_an_idle_connection_starts_the_heads_deadline() {
        let clock = Clock::manual(0);
        let activity = Activity::new(clock.clone());
        idle(&activity);
        activity.bytes_arrived();
        clock.advance(Duration::from_secs(10));
        assert_eq!(activity.overdue(&EdgeConfig::default()), Some(Overdue::Refused(Reason::HeadTimeout)));
    }

    #[test]
    fn an_http1_connection_rests_once_it_was_idle_for_a_while() {
        let clock = Clock::manual(0);
        let activity = Activity::new(clock.clone());
        idle(&activity);
        assert!(activity.is_idle() && !activity.should_rest());
        clock.advance(RESTLESS);
        assert!(activity.should_rest());
        activity.rest();
        assert!(!activity.should_rest(), "it does already");
        activity.rise();
        activity.stall();
        assert!(!activity.should_rest(), "its answer is on the way");
        activity.go_on();
        activity.begin();
        assert!(!activity.should_rest());
        activity.end();
        activity.begins_http2();
        clock.advance(RESTLESS);
        assert!(!activity.should_rest(), "HTTP/2 stays");
    }
}
