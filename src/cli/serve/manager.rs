//! What a service manager is told (`sd_notify(3)`): ready, reloading, stopping, alive. Nobody is told where `NOTIFY_SOCKET` is not set, and a manager that does
//! not listen is no reason to end.

use std::future;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Deliveries are taken, under policies for so many sources; `note` is what else an operator should see.
pub(super) fn ready(sources: usize, note: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("{sources} sources{note}"))]);
}

/// A reload begins; [`ready`] ends it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// The drain begins.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

/// The process is alive.
pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

fn tell(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}

/// When signs of life are due, and whether there are any.
pub(super) struct Watchdog {
    ticks: Option<Interval>,
    sweeps: Vec<u64>,
}

/// A watchdog that is asked for more often than this would find workers that did not get on, though they do.
const TICK_MIN: Duration = Duration::from_millis(500);

impl Watchdog {
    /// Twice in the time that the manager waits (`WatchdogSec=`). Needs a runtime.
    pub(super) fn new() -> Self {
        let ticks = sd_notify::watchdog_enabled().map(|time| {
            let mut ticks = interval((time / 2).max(TICK_MIN));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        Self { ticks, sweeps: Vec::new() }
    }

    /// Waits until a sign of life is due; for ever, where nobody waits for one.
    pub(super) async fn due(&mut self) {
        match &mut self.ticks {
            Some(ticks) => drop(ticks.tick().await),
            None => future::pending().await,
        }
    }

    /// Gives a sign of life, if every worker has looked over its connections since it was asked last. `sweeps` says how often each has.
    pub(super) fn look(&mut self, sweeps: Vec<u64>) {
        if self.all_got_on(sweeps) {
            alive();
        }
    }

    fn all_got_on(&mut self, sweeps: Vec<u64>) -> bool {
        let got_on = sweeps.iter().zip(&self.sweeps).all(|(now, before)| now > before);
        self.sweeps = sweeps;
        got_on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_worker_that_does_not_get_on_is_enough_to_say_nothing() {
        let mut watchdog = Watchdog { ticks: None, sweeps: Vec::new() };
        let rows = [([0, 0], true), ([1, 1], true), ([2, 1], false), ([3, 2], true), ([3, 3], false), ([4, 4], true)];
        for (sweeps, alive) in rows {
            assert_eq!(watchdog.all_got_on(sweeps.to_vec()), alive, "{sweeps:?}");
        }
    }
}
