//! Between the workers, who must not wait, and the files, which can make one wait.
//!
//! A worker formats its lines into buffers of its own; a writer thread for each output swaps the full buffers for empty
//! ones and does the writing. There is one writer for standard output and one for the rejected log's file, so a reader who
//! stopped reading the first cannot hold up the second.
//!
//! **Invariant:** a worker never writes, allocates only while its buffer grows to its usual size, and waits at most for a
//! swap of two vectors or the sweep of its suppression table. A buffer that is full drops lines and counts them.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::{self, Thread};
use std::time::Duration;

use super::access::{self, Format, Style};
use super::certificates::CertificateState;
use super::counters::{Registry, Sources};
use super::metrics::PolicyState;
use super::output::Output;
use super::rejects;
use super::suppress::{Limits, Suppression};
use crate::reason::Level;

/// How long a line waits for its writer at most, as long as the output takes it.
const WRITE_EVERY: Duration = Duration::from_millis(50);
/// How long it waits at most while the output takes nothing: from one attempt to the next twice as long.
const RETRY_EVERY_MAX: Duration = Duration::from_secs(1);
/// A buffer that grows past this wakes its writer.
const POKE_BYTES: usize = 64 * 1024;
/// A buffer past this drops what comes. One line may stand above it: lines are bounded too.
const BUFFER_BYTES_MAX: usize = 1024 * 1024;
/// A buffer larger than this is made smaller again after a rush.
const KEPT_BYTES_MAX: usize = 256 * 1024;
/// How often counts of suppressed refusals are looked through, in microseconds.
const SWEEP_EVERY_MICROS: i64 = 1_000_000;

/// How often it is said that connections cannot be accepted, in microseconds.
const TELL_EVERY_MICROS: i64 = 60_000_000;

/// Tells the time, in microseconds since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// One of the two logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Access,
    Rejects,
}

impl Stream {
    pub(super) const ALL: [Self; 2] = [Self::Access, Self::Rejects];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Rejects => "rejects",
        }
    }
}

/// What all workers, the writers and the scrape share.
pub(super) struct Core {
    pub(super) registry: Registry,
    pub(super) policies: PolicyState,
    pub(super) certificates: CertificateState,
    pub(super) style: Style,
    pub(super) clock: Clock,
    /// Events and summaries: what belongs to no worker.
    house: Arc<Shard>,
    shards: Mutex<Vec<Arc<Shard>>>,
    errors: [AtomicU64; 2],
    /// Whether the last attempt to write failed.
    failing: [AtomicBool; 2],
    accept_errors: AtomicU64,
    /// When a failed accept was told last, in microseconds since the Unix epoch.
    accept_told_at: AtomicI64,
    writers: OnceLock<Vec<(Stream, Thread)>>,
    stopping: AtomicBool,
    /// Where lines of the rejected log go: their own file, or standard output.
    rejects_go_to: Stream,
}

/// One worker's part.
#[derive(Debug)]
pub(super) struct Shard {
    state: Mutex<State>,
    dropped: [AtomicU64; 2],
    suppressed: AtomicU64,
    pub(super) connections: AtomicI64,
    pub(super) in_flight: AtomicI64,
}

/// What a worker locks once a delivery; nobody else wants it for longer than a swap or a sweep.
#[derive(Debug)]
pub(super) struct State {
    pub(super) sources: Sources,
    pub(super) suppression: Suppression,
    pub(super) lines: Lines,
}

/// Lines that wait for a writer.
#[derive(Debug, Default)]
pub(super) struct Lines {
    access: Vec<u8>,
    rejects: Vec<u8>,
}

impl Core {
    pub(super) fn new(style: Style, clock: Clock, rejects_go_to: Stream) -> Self {
        let registry = Registry::default();
        let house = Arc::new(Shard::new(&registry));
        Self {
            shards: Mutex::new(vec![Arc::clone(&house)]),
            registry,
            policies: PolicyState::default(),
            certificates: CertificateState::default(),
            style,
            clock,
            house,
            errors: [const { AtomicU64::new(0) }; 2],
            failing: [const { AtomicBool::new(false) }; 2],
            accept_errors: AtomicU64::new(0),
            accept_told_at: AtomicI64::new(i64::MIN),
            writers: OnceLock::new(),
            stopping: AtomicBool::new(false),
            rejects_go_to,
        }
    }

    pub(super) fn add_shard(&self) -> Arc<Shard> {
        let shard = Arc::new(Shard::new(&self.registry));
        self.lock_shards().push(Arc::clone(&shard));
        shard
    }

    pub(super) fn shards(&self) -> Vec<Arc<Shard>> {
        self.lock_shards().clone()
    }

    fn lock_shards(&self) -> MutexGuard<'_, Vec<Arc<Shard>>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often writing failed.
    pub(super) fn errors(&self, stream: Stream) -> u64 {
        self.errors[stream as usize].load(Ordering::Relaxed)
    }

    /// Whether a log cannot be written at present.
    pub(super) fn is_failing(&self, stream: Stream) -> bool {
        self.failing[stream as usize].load(Ordering::Relaxed)
    }

    /// How often accepting a connection failed for a lack of something.
    pub(super) fn accept_errors(&self) -> u64 {
        self.accept_errors.load(Ordering::Relaxed)
    }

    /// Counts an accept that failed, and says so at most once a minute: one lack makes many fail.
    pub(super) fn accept_failed(&self, error: &io::Error) {
        self.accept_errors.fetch_add(1, Ordering::Relaxed);
        let (now, told_at) = ((self.clock)(), self.accept_told_at.load(Ordering::Relaxed));
        let due = now.saturating_sub(told_at) >= TELL_EVERY_MICROS;
        if due && self.accept_told_at.compare_exchange(told_at, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.event(Level::Error, "connections cannot be accepted", &[("error", error)]);
        }
    }

    /// Formats one line into a worker's buffer. Returns whether there was room for it.
    pub(super) fn append(
        &self,
        shard: &Shard,
        lines: &mut Lines,
        stream: Stream,
        format: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let way = self.way(stream);
        let buffer = lines.buffer(way);
        let before = buffer.len();
        if before >= BUFFER_BYTES_MAX {
            shard.dropped[stream as usize].fetch_add(1, Ordering::Relaxed);
            return false;
        }
        format(buffer);
        if before < POKE_BYTES && buffer.len() >= POKE_BYTES {
            self.poke(way);
        }
        true
    }

    /// Where a log's lines really go.
    fn way(&self, stream: Stream) -> Stream {
        match stream {
            Stream::Access => Stream::Access,
            Stream::Rejects => self.rejects_go_to,
        }
    }

    pub(super) const fn format(&self) -> Format {
        self.style.format
    }

    /// Writes a line about the gateway itself.
    pub(super) fn event(&self, level: Level, message: &str, fields: &[(&str, &dyn fmt::Display)]) {
        if level < self.style.level {
            return;
        }
        let ts = (self.clock)();
        let mut state = self.house.lock();
        self.append(&self.house, &mut state.lines, Stream::Access, |out| {
            access::event(out, self.style, ts, level, message, fields);
        });
    }

    /// Writes a line about a defect. Whoever panics may hold any lock, this one included: then the line is dropped and counted.
    pub(super) fn panicked(&self, fields: &[(&str, &dyn fmt::Display)]) {
        let Some(mut state) = self.house.try_lock() else {
            self.house.dropped[Stream::Access as usize].fetch_add(1, Ordering::Relaxed);
            return;
        };
        let ts = (self.clock)();
        self.append(&self.house, &mut state.lines, Stream::Access, |out| {
            access::event(out, self.style, ts, Level::Error, "panic", fields);
        });
    }

    /// Reports counts of suppressed refusals: those that have waited long enough.
    fn sweep(&self, now: i64) {
        self.report(now, |suppression, summaries| suppression.sweep(now, summaries));
    }

    /// Reports all counts of suppressed refusals.
    pub(super) fn drain(&self) {
        let now = (self.clock)();
        self.report(now, |suppression, summaries| suppression.drain(now, summaries));
    }

    fn report(&self, now: i64, hand_out: impl Fn(&mut Suppression, &mut Vec<super::suppress::Summary>)) {
        let mut summaries = Vec::new();
        for shard in self.shards() {
            hand_out(&mut shard.lock().suppression, &mut summaries);
        }
        for summary in &summaries {
            let mut state = self.house.lock();
            let lines = &mut state.lines;
            self.append(&self.house, lines, Stream::Rejects, |out| rejects::push_summary(out, summary, now));
            if access::summary_level(summary) >= self.style.level {
                self.append(&self.house, lines, Stream::Access, |out| {
                    access::summary(out, self.style, summary, now);
                });
            }
        }
    }

    pub(super) fn set_writers(&self, writers: Vec<(Stream, Thread)>) {
        // Set once, right after the threads were made.
        let _ = self.writers.set(writers);
    }

    fn poke(&self, way: Stream) {
        for (stream, thread) in self.writers.get().into_iter().flatten() {
            if *stream == way {
                thread.unpark();
            }
        }
    }

    /// Tells the writers to write what is there and to end.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        for stream in Stream::ALL {
            self.poke(stream);
        }
    }
}

impl Shard {
    fn new(registry: &Registry) -> Self {
        let state = State {
            sources: Sources::new(registry),
            suppression: Suppression::new(Limits::DEFAULT),
            lines: Lines::default(),
        };
        Self {
            state: Mutex::new(state),
            dropped: [const { AtomicU64::new(0) }; 2],
            suppressed: AtomicU64::new(0),
            connections: AtomicI64::new(0),
            in_flight: AtomicI64::new(0),
        }
    }

    /// A panic while a line was formatted leaves at worst half a line; recording goes on.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, State>> {
        match self.state.try_lock() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    pub(super) fn dropped(&self, stream: Stream) -> u64 {
        self.dropped[stream as usize].load(Ordering::Relaxed)
    }

    pub(super) fn suppressed(&self) -> u64 {
        self.suppressed.load(Ordering::Relaxed)
    }

    pub(super) fn count_suppressed(&self) {
        self.suppressed.fetch_add(1, Ordering::Relaxed);
    }
}

impl Lines {
    fn buffer(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Access => &mut self.access,
            Stream::Rejects => &mut self.rejects,
        }
    }
}

/// The thread behind one output.
pub(super) struct Writer {
    core: Arc<Core>,
    stream: Stream,
    output: Output,
    /// What is being written; empty, it is the next buffer that a worker gets.
    chunk: Vec<u8>,
    done: usize,
    /// How long it waits before it writes again.
    pause: Duration,
}

/// Who looks through the suppressed counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duty {
    WriteAndSweep,
    Write,
}

impl Writer {
    pub(super) fn new(core: Arc<Core>, stream: Stream, output: Output) -> Self {
        Self { core, stream, output, chunk: Vec::new(), done: 0, pause: WRITE_EVERY }
    }

    /// Writes until the core is told to stop, then once more.
    pub(super) fn run(mut self, duty: Duty) {
        let mut swept_at = (self.core.clock)();
        loop {
            let stopping = self.core.stopping.load(Ordering::Acquire);
            let now = (self.core.clock)();
            if duty == Duty::WriteAndSweep && !(0..SWEEP_EVERY_MICROS).contains(&now.saturating_sub(swept_at)) {
                self.core.sweep(now);
                swept_at = now;
            }
            self.pump();
            if stopping {
                return self.give_up();
            }
            thread::park_timeout(self.pause);
        }
    }

    /// Writes what is there, one write a buffer, up to the first failure.
    pub(super) fn pump(&mut self) {
        if !self.write_chunk() {
            return;
        }
        // The house comes last: a summary stands behind the records that it goes on from.
        for shard in self.core.shards().iter().rev() {
            std::mem::swap(&mut self.chunk, shard.lock().lines.buffer(self.stream));
            if !self.write_chunk() {
                return;
            }
        }
    }

    fn write_chunk(&mut self) -> bool {
        if self.chunk.is_empty() {
            return true;
        }
        let failing = &self.core.failing[self.stream as usize];
        let (begin, pause) = (self.done, std::mem::replace(&mut self.pause, WRITE_EVERY));
        if let Err(error) = self.output.append(&self.chunk, &mut self.done) {
            self.core.errors[self.stream as usize].fetch_add(1, Ordering::Relaxed);
            if !failing.swap(true, Ordering::Relaxed) {
                self.core.event(
                    Level::Error,
                    "log cannot be written",
                    &[("log", &self.stream.name()), ("error", &error)],
                );
            }
            // A pipe that takes a little at a time is slow, and not to be made slower.
            if self.done <= begin {
                self.pause = RETRY_EVERY_MAX.min(pause * 2);
            }
            return false;
        }
        if failing.swap(false, Ordering::Relaxed) {
            self.core.event(Level::Info, "log is written again", &[("log", &self.stream.name())]);
        }
        self.done = 0;
        self.chunk.clear();
        if self.chunk.capacity() > KEPT_BYTES_MAX {
            self.chunk.shrink_to(POKE_BYTES);
        }
        true
    }

    /// At the end: what is still not written never will be.
    fn give_up(mut self) {
        let mut left = memchr::memchr_iter(b'\n', &self.chunk[self.done..]).count();
        for shard in self.core.shards() {
            let mut state = shard.lock();
            let buffer = state.lines.buffer(self.stream);
            left += memchr::memchr_iter(b'\n', buffer).count();
            buffer.clear();
        }
        self.chunk.clear();
        let left = u64::try_from(left).unwrap_or(u64::MAX);
        self.core.house.dropped[self.stream as usize].fetch_add(left, Ordering::Relaxed);
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("style", &self.style).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::access::{Colour, Format};
    use std::io::{self, Write};

    fn core() -> Arc<Core> {
        let style = Style { format: Format::Text, colour: Colour::Off, level: Level::Info };
        Arc::new(Core::new(style, Arc::new(|| 0), Stream::Rejects))
    }

    fn append(core: &Core, shard: &Shard, stream: Stream, line: &[u8]) -> bool {
        core.append(shard, &mut shard.lock().lines, stream, |out| out.extend_from_slice(line))
    }

    #[test]
    fn a_buffer_takes_lines_up_to_its_limit_and_counts_the_others() {
        for (filled, taken) in [(BUFFER_BYTES_MAX - 1, true), (BUFFER_BYTES_MAX, false), (BUFFER_BYTES_MAX + 1, false)]
        {
            for stream in Stream::ALL {
                let core = core();
                let shard = core.add_shard();
                assert!(append(&core, &shard, stream, &vec![b'x'; filled]));
                assert_eq!(append(&core, &shard, stream, b"line\n"), taken, "{filled} in {}", stream.name());
                assert_eq!(shard.dropped(stream), u64::from(!taken), "{filled} in {}", stream.name());
                let other = if stream == Stream::Access { Stream::Rejects } else { Stream::Access };
                assert!(append(&core, &shard, other, b"line\n"), "the other log has a buffer of its own");
            }
        }
    }

    /// Takes `room` bytes, then refuses so many times.
    #[derive(Clone)]
    struct Full {
        written: Arc<Mutex<Vec<u8>>>,
        room: usize,
        refusals: u64,
    }

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 && self.refusals > 0 {
                self.refusals -= 1;
                return Err(io::ErrorKind::StorageFull.into());
            }
            let taken = if self.refusals > 0 { bytes.len().min(self.room) } else { bytes.len() };
            self.room -= taken.min(self.room);
            self.written.lock().unwrap().extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_counted_told_once_and_written_later_without_loss() {
        for room in 0.."second\nfirst\n".len() {
            let core = core();
            let (first, second) = (core.add_shard(), core.add_shard());
            let disk = Full { written: Arc::default(), room, refusals: 3 };
            let mut writer = Writer::new(Arc::clone(&core), Stream::Rejects, Output::Stream(Box::new(disk.clone())));
            append(&core, &first, Stream::Rejects, b"first\n");
            append(&core, &second, Stream::Rejects, b"second\n");
            for attempt in 0..4 {
                writer.pump();
                assert_eq!(core.is_failing(Stream::Rejects), attempt < 3, "room for {room}, attempt {attempt}");
            }
            append(&core, &first, Stream::Rejects, b"third\n");
            writer.pump();
            let written = String::from_utf8(disk.written.lock().unwrap().clone()).unwrap();
            let told = String::from_utf8(core.house.lock().lines.access.clone()).unwrap();
            assert_eq!(written, "second\nfirst\nthird\n", "room for {room}");
            assert_eq!(core.errors(Stream::Rejects), 3, "room for {room}");
            assert_eq!(told.lines().count(), 2, "room for {room}: {told}");
        }
    }

    #[test]
    fn a_log_that_takes_nothing_is_tried_less_and_less_often() {
        let core = core();
        let shard = core.add_shard();
        let disk = Full { written: Arc::default(), room: 3, refusals: 7 };
        let mut writer = Writer::new(Arc::clone(&core), Stream::Rejects, Output::Stream(Box::new(disk)));
        append(&core, &shard, Stream::Rejects, b"first\n");
        let pauses = [50, 100, 200, 400, 800, 1_000, 1_000, 50].map(Duration::from_millis);
        for (attempt, pause) in pauses.into_iter().enumerate() {
            writer.pump();
            assert_eq!(writer.pause, pause, "attempt {attempt}");
        }
        assert!(!core.is_failing(Stream::Rejects));
    }

    #[test]
    fn failed_accepts_are_counted_each_and_told_once_a_minute() {
        let now = Arc::new(AtomicI64::new(0));
        let clock = Arc::clone(&now);
        let style = Style { format: Format::Text, colour: Colour::Off, level: Level::Info };
        let core = Core::new(style, Arc::new(move || clock.load(Ordering::Relaxed)), Stream::Rejects);
        for (at, told) in [(0, 1), (TELL_EVERY_MICROS - 1, 1), (TELL_EVERY_MICROS, 2), (TELL_EVERY_MICROS + 1, 2)] {
            now.store(at, Ordering::Relaxed);
            core.accept_failed(&io::ErrorKind::OutOfMemory.into());
            let lines = memchr::memchr_iter(b'\n', &core.house.lock().lines.access).count();
            assert_eq!(lines, told, "at {at}");
        }
        assert_eq!(core.accept_errors(), 4);
    }

    /// A thread that panics while it writes a line holds the lock that the line about the panic needs.
    #[test]
    fn a_panic_is_told_or_counted_and_waits_for_nobody() {
        let core = core();
        core.panicked(&[("at", &"src/a.rs:1:2")]);
        let held = core.house.lock();
        core.panicked(&[("at", &"src/b.rs:1:2")]);
        let told = String::from_utf8(held.lines.access.clone()).unwrap();
        assert!(told.contains("src/a.rs:1:2") && !told.contains("src/b.rs"), "{told}");
        assert_eq!(core.house.dropped(Stream::Access), 1);
    }

    #[test]
    fn what_is_left_at_the_end_is_counted_as_dropped() {
        let core = core();
        let shard = core.add_shard();
        let disk = Full { written: Arc::default(), room: 3, refusals: u64::MAX };
        append(&core, &shard, Stream::Rejects, b"first\nsecond\n");
        core.stop();
        Writer::new(Arc::clone(&core), Stream::Rejects, Output::Stream(Box::new(disk))).run(Duty::WriteAndSweep);
        assert_eq!(core.house.dropped(Stream::Rejects), 2);
    }
}
