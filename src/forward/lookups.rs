//! Look-ups of upstreams' names by one worker: one at a time for a name, whoever waits for it, and its answer is kept for a moment.
//!
//! The system's resolver blocks a thread of its own, however slow it is, and cannot be stopped; so a look-up belongs to no delivery, and deliveries that stop
//! waiting do not begin another.
//!
//! **Invariant:** of those who wait for a look-up at one time, one has its failure counted; so what is told of a name server grows with time, not with deliveries.
//! Once that one has waited in vain, the next who comes has the next failure: a name server that hangs is told of again and again, though
//! nothing ends. Beside him nobody begins to wait who would give up sooner than the look-up has taken already, so deliveries do not pile up.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::names::Names;

/// How long what was found for an upstream's name holds for further connections: short enough for a name that moves, long enough that a burst of
/// connections asks once.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// The same for a failure: a name server's bad moment must not be that of many deliveries.
const FAILURE_KEPT_FOR: Duration = Duration::from_millis(100);

/// The look-ups of one worker. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Lookups {
    names: Names,
    by_place: Arc<Mutex<HashMap<Place, Lookup>>>,
}

/// Why a name led nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the look-up failed: {kind}")]
pub struct LookupFault {
    /// What the system said; `TimedOut` where it said nothing in time.
    pub kind: io::ErrorKind,
    /// Where it is held against the upstream.
    pub counted: Counted,
}

/// Where a failure that many may wait for is held against the upstream, which is once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// By the one who gets it.
    Here,
    /// By another one: whoever gets it has waited beside that one, or came shortly after, and learned nothing more.
    Elsewhere,
}

type Place = (Arc<str>, u16);
type Found = Result<Arc<[SocketAddr]>, io::ErrorKind>;

#[derive(Debug)]
struct Lookup {
    asked: Instant,
    /// So long somebody waits for it who will have its failure counted.
    counted_until: Instant,
    answer: watch::Receiver<Option<Found>>,
}

/// One who waits for a look-up.
struct Waiting {
    answer: watch::Receiver<Option<Found>>,
    until: Instant,
    counted: Counted,
}

impl Lookup {
    fn is_of_use(&self, now: Instant) -> bool {
        let age = now.duration_since(self.asked);
        match &*self.answer.borrow() {
            // Without an end it is under way.
            None => self.answer.has_changed().is_ok(),
            Some(Ok(_)) => age < KEPT_FOR,
            Some(Err(_)) => age < FAILURE_KEPT_FOR,
        }
    }

    fn join(&mut self, now: Instant, until: Instant) -> Waiting {
        let answer = self.answer.clone();
        let is_answered = answer.borrow().is_some();
        if !is_answered && self.counted_until <= now {
            self.counted_until = until;
            return Waiting { answer, until, counted: Counted::Here };
        }
        let is_late = until.duration_since(now) <= now.duration_since(self.asked);
        Waiting { answer, until: if is_late { now } else { until }, counted: Counted::Elsewhere }
    }
}

impl Lookups {
    /// Look-ups of these names.
    #[must_use]
    pub fn new(names: Names) -> Self {
        Self { names, by_place: Arc::default() }
    }

    /// Where a host is, if that is found in time.
    ///
    /// # Errors
    /// [`LookupFault`], with the system's error; `NotFound` where it knows no address.
    pub async fn find(&self, host: &Arc<str>, port: u16, until: Instant) -> Result<Arc<[SocketAddr]>, LookupFault> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(Arc::new([SocketAddr::new(address, port)]));
        }
        let (names, name) = (self.names.clone(), Arc::clone(host));
        let ask = async move { names.resolve(&name, port).await };
        self.find_by(host, port, Instant::now(), until, ask).await
    }

    async fn find_by(
        &self,
        host: &Arc<str>,
        port: u16,
        now: Instant,
        until: Instant,
        ask: impl Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    ) -> Result<Arc<[SocketAddr]>, LookupFault> {
        let Waiting { mut answer, until, counted } = self.lookup((Arc::clone(host), port), now, until, ask);
        let found = match tokio::time::timeout_at(until.into(), answer.wait_for(Option::is_some)).await {
            // Its end without an answer is that of the runtime, or a defect.
            Ok(found) => found.ok().and_then(|found| found.clone()).unwrap_or(Err(io::ErrorKind::Interrupted)),
            Err(_elapsed) => Err(io::ErrorKind::TimedOut),
        };
        found.map_err(|kind| LookupFault { kind, counted })
    }

    fn lookup(
        &self,
        place: Place,
        now: Instant,
        until: Instant,
        ask: impl Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    ) -> Waiting {
        let mut lookups = self.by_place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lookup) = lookups.get_mut(&place).filter(|lookup| lookup.is_of_use(now)) {
            return lookup.join(now, until);
        }
        let (tell, answer) = watch::channel(None);
        tokio::spawn(async move {
            let found = ask.await.map(Arc::from).map_err(|error| error.kind());
            tell.send_replace(Some(found));
        });
        lookups.insert(place, Lookup { asked: now, counted_until: until, answer: answer.clone() });
        Waiting { answer, until, counted: Counted::Here }
    }

    /// Forgets answers that are too old.
    pub fn prune(&self, now: Instant) {
        self.by_place.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, lookup| lookup.is_of_use(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admit::reach::Reach;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Spellings of 169.254.169.254 that are no address to a URL, and are one to the system.
    #[tokio::test]
    async fn a_name_that_leads_to_a_link_local_address_leads_nowhere() {
        let lookups = Lookups::default();
        for host in ["169.254.169.254", "0xa9fea9fe", "2852039166", "169.254.43518", "fe80::1"] {
            let found = lookups.find(&host.into(), 80, in_an_hour()).await.unwrap();
            let left = Reach::Ordinary.within(found).map_err(|error| error.kind());
            assert_eq!(left, Err(io::ErrorKind::AddrNotAvailable), "{host}");
        }
        for (host, address) in [("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]:80"), ("0x7f000001", "127.0.0.1:80")] {
            let found = lookups.find(&host.into(), 80, in_an_hour()).await.unwrap();
            assert_eq!(*Reach::Ordinary.within(found).unwrap(), [address.parse().unwrap()], "{host}");
        }
    }

    fn in_an_hour() -> Instant {
        Instant::now() + HOUR
    }

    const HOUR: Duration = Duration::from_secs(3_600);

    /// A resolver that waits for the test's word and counts who asked it.
    struct Slow {
        asked: Arc<AtomicUsize>,
        word: watch::Sender<Option<&'static str>>,
    }

    impl Slow {
        fn new() -> Self {
            Self { asked: Arc::default(), word: watch::channel(None).0 }
        }

        fn find(
            &self,
            lookups: &Lookups,
            now: Instant,
        ) -> impl Future<Output = Result<Arc<[SocketAddr]>, LookupFault>> + use<> {
            let (ask, lookups) = (self.ask(), lookups.clone());
            async move { lookups.find_by(&"app".into(), 80, now, now + HOUR, ask).await }
        }

        fn ask(&self) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send + use<> {
            let (asked, mut word) = (Arc::clone(&self.asked), self.word.subscribe());
            async move {
                asked.fetch_add(1, Ordering::SeqCst);
                match *word.wait_for(Option::is_some).await.unwrap() {
                    Some(text) if !text.is_empty() => Ok(vec![text.parse().unwrap()]),
                    Some(_) | None => Err(io::ErrorKind::NotFound.into()),
                }
            }
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }
    }

    #[tokio::test]
    async fn many_who_wait_for_a_name_ask_once_and_so_do_those_who_come_when_some_gave_up() {
        let (lookups, slow, now) = (Lookups::default(), Slow::new(), Instant::now());
        let waiting: Vec<_> = (0..100).map(|_| tokio::spawn(slow.find(&lookups, now))).collect();
        tokio::task::yield_now().await;
        waiting.iter().take(50).for_each(tokio::task::JoinHandle::abort);
        let late = tokio::spawn(slow.find(&lookups, now + 100 * KEPT_FOR));
        tokio::task::yield_now().await;
        lookups.prune(now + 100 * KEPT_FOR);
        slow.word.send_replace(Some("10.0.0.1:80"));
        for waiting in waiting.into_iter().skip(50).chain([late]) {
            assert_eq!(*waiting.await.unwrap().unwrap(), ["10.0.0.1:80".parse().unwrap()]);
        }
        assert_eq!(slow.asked(), 1);
    }

    #[tokio::test]
    async fn a_failure_is_that_of_the_one_who_began_the_look_up_and_shared_by_all_others() {
        use Counted::{Elsewhere, Here};
        let (lookups, slow, now) = (Lookups::default(), Slow::new(), Instant::now());
        let waiting: Vec<_> = (0..3).map(|_| tokio::spawn(slow.find(&lookups, now))).collect();
        tokio::task::yield_now().await;
        slow.word.send_replace(Some(""));
        let mut faults = Vec::new();
        for waiting in waiting {
            faults.push(waiting.await.unwrap().unwrap_err());
        }
        for after in [Duration::ZERO, FAILURE_KEPT_FOR, FAILURE_KEPT_FOR] {
            faults.push(slow.find(&lookups, now + after).await.unwrap_err());
        }
        let kind = io::ErrorKind::NotFound;
        let expected =
            [Here, Elsewhere, Elsewhere, Elsewhere, Here, Elsewhere].map(|counted| LookupFault { kind, counted });
        assert_eq!((faults, slow.asked()), (expected.to_vec(), 2));
    }

    /// Each row: when somebody comes, for how long he would wait, counted failure it is and for how long he is let wait, in seconds.
    #[tokio::test]
    async fn of_a_look_up_that_hangs_one_at_a_time_has_the_failure_and_nobody_waits_in_vain_beside_him() {
        use Counted::{Elsewhere, Here};
        // All of it is past, so that nobody waits.
        let (lookups, slow, began) = (Lookups::default(), Slow::new(), Instant::now().checked_sub(HOUR).unwrap());
        let rows = [
            (0, 10, Here, 10),
            (0, 10, Elsewhere, 10),
            (9, 10, Elsewhere, 10),
            (9, 9, Elsewhere, 0),
            (10, 10, Here, 10),
            (10, 10, Elsewhere, 0),
            (19, 10, Elsewhere, 0),
            (19, 20, Elsewhere, 20),
            (25, 10, Here, 10),
            (34, 10, Elsewhere, 0),
            (35, 1, Here, 1),
            (36, 10, Here, 10),
        ];
        for (after, wait, counted, waits) in rows {
            let [after, wait, waits] = [after, wait, waits].map(Duration::from_secs);
            let now = began + after;
            let waiting = lookups.lookup(("app".into(), 80), now, now + wait, slow.ask());
            assert_eq!((waiting.counted, waiting.until), (counted, now + waits), "{after:?} {wait:?}");
        }
        let kind = io::ErrorKind::TimedOut;
        for (after, counted) in [(45, Elsewhere), (46, Here)] {
            let now = began + Duration::from_secs(after);
            let found = lookups.find_by(&"app".into(), 80, now, now + Duration::from_secs(1), slow.ask()).await;
            assert_eq!(found, Err(LookupFault { kind, counted }));
        }
        tokio::task::yield_now().await;
        assert_eq!(slow.asked(), 1);
    }

    #[tokio::test]
    async fn an_answer_holds_for_a_moment_a_failure_too() {
        for (word, is_found, kept) in [("10.0.0.1:80", true, KEPT_FOR), ("", false, FAILURE_KEPT_FOR)] {
            let (lookups, slow, now) = (Lookups::default(), Slow::new(), Instant::now());
            slow.word.send_replace(Some(word));
            let nearly = kept.saturating_sub(Duration::from_nanos(1));
            for (after, asked) in [(Duration::ZERO, 1), (nearly, 1), (kept, 2), (kept + nearly, 2)] {
                lookups.prune(now + after);
                assert_eq!(slow.find(&lookups, now + after).await.is_ok(), is_found, "{word} {after:?}");
                assert_eq!(slow.asked(), asked, "{word} {after:?}");
            }
            lookups.prune(now + 2 * kept);
            assert!(lookups.by_place.lock().unwrap().is_empty(), "nothing is kept for ever");
        }
    }
}
