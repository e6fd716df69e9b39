//! One record of every delivery, accepted or not, feeds the rejected log, the access log and the metrics.
//!
//! It stands beside a delivery's way, not on it: the pipeline's wrapper calls [`Recorder::delivery`] once, when the answer
//! is known. Each worker has a [`Recorder`] of its own; [`Telemetry`] owns what they share and the threads that write.
//!
//! ```text
//! Delivery ─▶ Recorder ─┬▶ counters                                ─▶ metrics (a scrape adds up the workers)
//!                       ├▶ access line ────────────▶ worker's buffer ─▶ writer thread ─▶ standard output
//!                       └▶ suppress ─▶ reject line ─▶ worker's buffer ─▶ writer thread ─▶ rejected.jsonl, .1, .2 …
//! ```
//!
//! **Invariant:** recording never waits for a disk, a terminal or another worker, never fails, and never panics; what the
//! logs cannot take is counted in the metrics.
//! **Invariant:** no payload, no secret, no raw header value and no query reaches any output.

mod access;
mod certificates;
mod counters;
mod delivery;
mod metrics;
mod object;
mod output;
mod reader;
mod rejects;
mod sink;
mod suppress;

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

pub use access::{Colour, Format};
pub use certificates::Expiry;
pub use delivery::{Delivery, DeliveryId, Effect, Outcome, Upstream};
pub use output::Destination;
pub use reader::{Reader, read_stream};
pub use rejects::{MEMBERS, Record};
pub use sink::Clock;

use crate::clock::UnixSeconds;
use crate::policy::Policy;
use crate::reason::{Level, Reason};
use crate::rejection::Rejection;
use access::Style;
use counters::Sources;
use output::{Output, RotatingFile};
use sink::{Core, Duty, Shard, State, Stream, Writer};
use suppress::{Origin, Verdict};

/// How long the end of the process waits for writers whose output does not take anything.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(5);

/// What to write, and where.
pub struct Options {
    /// The rejected log; `-` is standard output, where its lines stand between those of the access log.
    pub rejects: PathBuf,
    /// The size at which the rejected log rotates, in bytes.
    pub file_bytes_max: u64,
    /// How many files the rejected log has at most, the current one included.
    pub files_max: u32,
    /// The form of the access log.
    pub format: Format,
    /// Whether the access log has colours.
    pub colour: Colour,
    /// The least important lines of the access log that are written.
    pub level: Level,
    /// The time of events and summaries; deliveries bring their own.
    pub clock: Clock,
}

/// Logs and metrics of a process: makes the workers' [`Recorder`]s and owns the threads that write.
///
/// Clones share everything. When the last one goes, what was recorded is written ([`Telemetry::shutdown`]).
#[derive(Clone)]
pub struct Telemetry(Arc<Owner>);

struct Owner {
    core: Arc<Core>,
    /// One for each writer; it disconnects when the writer has ended.
    running: Mutex<Vec<Receiver<()>>>,
}

/// One worker's way into logs and metrics.
///
/// Clones share the worker's buffers and counters. Using one from another worker is correct and costs a shared lock.
#[derive(Clone)]
pub struct Recorder {
    core: Arc<Core>,
    shard: Arc<Shard>,
}

/// A place in the rejected log for a record that is written later ([`Recorder::reserve`]).
#[derive(Debug)]
#[must_use = "the record is still to be written"]
pub struct Reserved {
    suppressed: u64,
}

/// Something that is counted as long as this value lives.
#[must_use = "what is counted ends when this is dropped"]
pub struct Counted {
    shard: Arc<Shard>,
    gauge: fn(&Shard) -> &AtomicI64,
}

impl Format {
    /// Text on a terminal, else JSON: what `[log] format = "auto"` means.
    #[must_use]
    pub fn auto() -> Self {
        if io::stdout().is_terminal() { Self::Text } else { Self::Json }
    }
}

impl Colour {
    /// On a terminal that has them and whose owner wants them (<https://no-color.org>).
    #[must_use]
    pub fn auto() -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if io::stdout().is_terminal() && !set("NO_COLOR") && !dumb { Self::On } else { Self::Off }
    }
}

impl Telemetry {
    /// Opens the rejected log and starts the writers; the access log goes to standard output.
    ///
    /// # Errors
    /// The rejected log cannot be opened, standard output is closed, or no thread can be started.
    pub fn start(options: Options) -> io::Result<Self> {
        // Straight to the descriptor: the standard library's buffer would hide how much of a failed write is out.
        let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Self::start_with(options, Box::new(stdout))
    }

    /// The same with another place for standard output.
    ///
    /// # Errors
    /// The rejected log cannot be opened, or no thread can be started.
    pub fn start_with(options: Options, stdout: Box<dyn Write + Send>) -> io::Result<Self> {
        let style = Style { format: options.format, colour: options.colour, level: options.level };
        let mut outputs = vec![(Stream::Access, Output::Stream(stdout))];
        if options.rejects != Path::new("-") {
            let file = RotatingFile::open(&options.rejects, options.file_bytes_max, options.files_max)?;
            outputs.push((Stream::Rejects, Output::File(file)));
        }
        let rejects_go_to = outputs.last().map_or(Stream::Access, |(stream, _)| *stream);
        let core = Arc::new(Core::new(style, options.clock, rejects_go_to));
        let (mut running, mut threads) = (Vec::new(), Vec::new());
        for (stream, output) in outputs {
            let duty = if stream == rejects_go_to { Duty::WriteAndSweep } else { Duty::Write };
            let writer = Writer::new(Arc::clone(&core), stream, output);
            let (ended, end) = mpsc::channel::<()>();
            let thread = thread::Builder::new().name(format!("log-{}", stream.name())).spawn(move || {
                writer.run(duty);
                drop(ended);
            })?;
            threads.push((stream, thread.thread().clone()));
            running.push(end);
        }
        core.set_writers(threads);
        Ok(Self(Arc::new(Owner { core, running: Mutex::new(running) })))
    }

    /// A recorder for one more worker.
    #[must_use]
    pub fn recorder(&self) -> Recorder {
        let core = Arc::clone(&self.0.core);
        Recorder { shard: core.add_shard(), core }
    }

    /// The form of the log's lines.
    #[must_use]
    pub fn format(&self) -> Format {
        self.0.core.format()
    }

    /// Writes a line about the gateway itself into the access log: started, reloaded, draining.
    ///
    /// Values are escaped and cut; field names are written as they are.
    pub fn event(&self, level: Level, message: &str, fields: &[(&str, &dyn fmt::Display)]) {
        self.0.core.event(level, message, fields);
    }

    /// From now on a panic of this process is a line of the access log, with its place and without its words, which may quote a payload; whoever panics
    /// waits for nobody.
    pub fn tell_panics(&self) {
        let core = Arc::clone(&self.0.core);
        panic::set_hook(Box::new(move |panic| {
            let thread = thread::current();
            let place = panic.location().map(ToString::to_string);
            core.panicked(&[("thread", &thread.name().unwrap_or("?")), ("at", &place.as_deref().unwrap_or("?"))]);
        }));
    }

    /// Tells the metrics that the policies now in force were loaded at `ts`, in microseconds since the Unix epoch.
    pub fn policies_loaded(&self, ts: i64) {
        self.0.core.policies.loaded(ts);
    }

    /// Tells the metrics that a reload failed and changed nothing.
    pub fn policies_failed(&self) {
        self.0.core.policies.failed();
    }

    /// Tells the metrics which certificates are in force, in their order.
    pub fn certificates(&self, expiries: Vec<Expiry>) {
        self.0.core.certificates.in_force(expiries);
    }

    /// Tells the metrics that an authority issued a certificate.
    pub fn certificate_issued(&self, now: UnixSeconds) {
        self.0.core.certificates.issued(now);
    }

    /// Tells the metrics that it issued none.
    pub fn certificate_failed(&self, now: UnixSeconds) {
        self.0.core.certificates.failed(now);
    }

    /// Whether the gateway has no certificate at all yet, and one is still to be issued.
    #[must_use]
    pub fn is_first_certificate_awaited(&self) -> bool {
        self.0.core.certificates.is_first_awaited()
    }

    /// All metrics, as text of the type [`Telemetry::METRICS_TYPE`]. The policy in force says which upstreams there are.
    #[must_use]
    pub fn metrics_text(&self, policy: &Policy) -> String {
        metrics::render(&self.0.core, policy)
    }

    /// The media type of [`Telemetry::metrics_text`]: that of `OpenMetrics` 1.0.0.
    pub const METRICS_TYPE: &str = metrics::CONTENT_TYPE;

    /// Writes everything that was recorded, counts of suppressed refusals included, and ends the writers.
    ///
    /// Waits up to five seconds for an output that does not take anything, then gives up on it. Call it when the workers
    /// are done; what is recorded afterwards is lost.
    pub fn shutdown(&self) {
        self.0.shutdown();
    }
}

impl Owner {
    fn shutdown(&self) {
        let running = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        if running.is_empty() {
            return;
        }
        self.core.drain();
        self.core.stop();
        for end in running {
            // An error is what the end looks like; a timeout cannot be helped.
            let _ = end.recv_timeout(SHUTDOWN_WAIT);
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Recorder {
    /// Records one delivery: call it exactly once for each, when the answer is known.
    pub fn delivery(&self, delivery: &Delivery<'_>) {
        self.reserved(delivery, None);
    }

    /// Takes a place in the rejected log for a refusal that is known now (`now` in microseconds since the Unix epoch) and recorded a little later, once it was
    /// looked into: refusals in between must not keep it out. `None` if it would be counted only; then nothing was counted yet.
    #[must_use]
    pub fn reserve(&self, source: Option<&str>, reason: Reason, peer: IpAddr, now: i64) -> Option<Reserved> {
        let mut state = self.shard.lock();
        let State { sources, suppression, .. } = &mut *state;
        let origin = self.origin(sources, source, Effect::Refused);
        suppression.reserve(origin, reason, peer, now).map(|suppressed| Reserved { suppressed })
    }

    /// Records a delivery that may have its place: in place of [`Recorder::delivery`], and as exactly once.
    pub fn reserved(&self, delivery: &Delivery<'_>, place: Option<Reserved>) {
        let mut state = self.shard.lock();
        state.sources.find(delivery.source, &self.core.registry).block.add(delivery);
        for finding in delivery.monitored {
            self.log(&mut state, delivery, finding, Effect::Monitored, None);
        }
        let style = self.core.style;
        match delivery.outcome {
            Outcome::Forwarded | Outcome::Answered => {
                if style.level <= Level::Info {
                    let line = |out: &mut Vec<u8>| access::accepted(out, style, delivery);
                    self.core.append(&self.shard, &mut state.lines, Stream::Access, line);
                }
            }
            Outcome::Rejected(rejection) => {
                let written = self.log(&mut state, delivery, rejection, Effect::Refused, place);
                if let Some(suppressed) = written
                    && rejection.reason().row().level >= style.level
                {
                    let line = |out: &mut Vec<u8>| access::refused(out, style, delivery, rejection, suppressed);
                    self.core.append(&self.shard, &mut state.lines, Stream::Access, line);
                }
            }
        }
    }

    /// Writes a line about the gateway itself, see [`Telemetry::event`].
    pub fn event(&self, level: Level, message: &str, fields: &[(&str, &dyn fmt::Display)]) {
        self.core.event(level, message, fields);
    }

    /// Counts an accept that failed for a lack of something, and says so now and then.
    pub fn accept_failed(&self, error: &io::Error) {
        self.core.accept_failed(error);
    }

    /// Writes what refused a delivery, or was found and let pass, into the rejected log, unless its like has filled its share of that: then it is counted.
    /// Answers how many were only counted before it, where it was not.
    fn log(
        &self,
        state: &mut State,
        delivery: &Delivery<'_>,
        rejection: &Rejection,
        effect: Effect,
        place: Option<Reserved>,
    ) -> Option<u64> {
        let State { sources, suppression, lines } = state;
        let (reason, peer) = (rejection.reason(), delivery.peer);
        // Not when it began: deliveries that drip in slowly would set the budgets' clock back.
        let now = delivery.ended_at();
        let origin = self.origin(sources, delivery.source, effect);
        let reserved = |Reserved { suppressed }| Verdict::Write { suppressed };
        let verdict = place.map_or_else(|| suppression.admit(origin, reason, peer, now), reserved);
        let Verdict::Write { suppressed } = verdict else {
            self.shard.count_suppressed();
            return None;
        };
        let taken = self.core.append(&self.shard, lines, Stream::Rejects, |out| {
            rejects::push_record(out, delivery, rejection, effect, suppressed);
        });
        if !taken {
            suppression.put_back(origin, reason, peer, now, suppressed.saturating_add(1));
        }
        Some(suppressed)
    }

    fn origin<'s>(&self, sources: &'s mut Sources, source: Option<&str>, effect: Effect) -> Origin<'s> {
        let found = sources.find(source, &self.core.registry);
        Origin { slot: found.slot, name: source.map(|_| &found.block.source), effect }
    }

    /// Counts an open connection.
    pub fn connection(&self) -> Counted {
        Counted::new(&self.shard, |shard| &shard.connections)
    }

    /// Counts a request that has no answer yet.
    pub fn in_flight(&self) -> Counted {
        Counted::new(&self.shard, |shard| &shard.in_flight)
    }
}

impl Counted {
    fn new(shard: &Arc<Shard>, gauge: fn(&Shard) -> &AtomicI64) -> Self {
        gauge(shard).fetch_add(1, Relaxed);
        Self { shard: Arc::clone(shard), gauge }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.gauge)(&self.shard).fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
pub(crate) mod tests;
