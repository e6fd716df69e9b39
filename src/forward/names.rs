//! Names of hosts on the internet → addresses, and which addresses are there at all.
//!
//! Upstreams are the operator's, and are where he says, with one exception: nobody's app is where clouds hand out credentials, so a name that leads there is
//! followed only where the policy says so ([`is_link_local`]). For a host that a request had a say in, the answer of a name server must not lead
//! into any of the gateway's own networks ([`is_public`]).

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::admit::networks::Networks;

/// Where the addresses of names come from. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Names(Kind);

#[derive(Debug, Clone, Default)]
enum Kind {
    #[default]
    System,
    Fixed(Arc<HashMap<Box<str>, Vec<SocketAddr>>>),
    Silent,
}

/// Of more addresses than these the rest is not looked at.
const ADDRESSES_MAX: usize = 16;

/// How long what was found for an upstream's name holds for further connections: short enough for a name that moves, long enough that a burst of
/// connections asks once.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// The same for a failure: a name server's bad moment must not be that of many deliveries.
const FAILURE_KEPT_FOR: Duration = Duration::from_millis(100);

/// What is nowhere on the public internet, or is only a way to something else (IANA's registries of special-purpose addresses). Of IPv6 only
/// `2000::/3` is given out to anybody.
static SPECIAL: LazyLock<Networks> = LazyLock::new(|| networks(&SPECIAL_NETWORKS));

const SPECIAL_NETWORKS: [&str; 22] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/3",
    "::/3",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "4000::/2",
    "8000::/2",
    "c000::/2",
];

/// Where a machine's own credentials and settings are told to whoever asks from it: link-local addresses, and those that clouds use for the same.
static LINK_LOCAL: LazyLock<Networks> = LazyLock::new(|| networks(&LINK_LOCAL_NETWORKS));

const LINK_LOCAL_NETWORKS: [&str; 8] = [
    "169.254.0.0/16",
    "fe80::/10",
    // The first of these again, behind NAT64.
    "64:ff9b::a9fe:0/112",
    // Alibaba, Azure, Oracle, AWS, Google.
    "100.100.100.200/32",
    "168.63.129.16/32",
    "192.0.0.192/32",
    "fd00:ec2::/32",
    "fd20:ce::254/128",
];

fn networks(list: &[&str]) -> Networks {
    Networks::new(list.iter().filter_map(|network| network.parse().ok()))
}

impl Names {
    /// As the system resolves them.
    #[must_use]
    pub const fn system() -> Self {
        Self(Kind::System)
    }

    /// These and no others, each at its addresses and ports, for tests.
    #[must_use]
    pub fn fixed(names: impl IntoIterator<Item = (Box<str>, Vec<SocketAddr>)>) -> Self {
        Self(Kind::Fixed(Arc::new(names.into_iter().collect())))
    }

    /// None, and no answer either, for tests.
    #[must_use]
    pub const fn silent() -> Self {
        Self(Kind::Silent)
    }

    /// Where this host is, with this port; never an empty list.
    ///
    /// # Errors
    /// That of the system; `NotFound` where it knows no address. The caller sets the deadline.
    pub async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let addresses: Vec<_> = match &self.0 {
            Kind::System => tokio::net::lookup_host((host, port)).await?.take(ADDRESSES_MAX).collect(),
            Kind::Fixed(names) => names.get(host).cloned().unwrap_or_default(),
            Kind::Silent => std::future::pending().await,
        };
        if addresses.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(addresses) }
    }
}

/// Look-ups of upstreams' names by one worker: one at a time for a name, whoever waits for it, and its answer is kept for `KEPT_FOR`.
///
/// The system's resolver blocks a thread of its own, however slow it is, and cannot be stopped; so a look-up belongs to no delivery, and deliveries that stop
/// waiting do not begin another.
///
/// **Invariant:** of those who wait for a look-up at one time, one has its failure; so what is told of a name server grows with time, not with deliveries.
/// Once that one has waited in vain, the next who comes has the next failure: a name server that hangs is told of again and again, though
/// nothing ends. Beside him nobody begins to wait who would give up sooner than the look-up has taken already, so deliveries do not pile up.
///
/// Clones share it.
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
    /// Whether it was said before.
    pub whose: Whose,
}

/// Whose failure a look-up's is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// That of the one who gets it.
    Own,
    /// That of another one: whoever gets it has waited beside that one, or came shortly after, and learned nothing more.
    Shared,
}

type Place = (Arc<str>, u16);
type Found = Result<Arc<[SocketAddr]>, io::ErrorKind>;

#[derive(Debug)]
struct Lookup {
    asked: Instant,
    /// So long its failure is that of somebody who waits for it.
    owned_until: Instant,
    answer: watch::Receiver<Option<Found>>,
}

/// One who waits for a look-up.
struct Waiting {
    answer: watch::Receiver<Option<Found>>,
    until: Instant,
    whose: Whose,
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
        if !is_answered && self.owned_until <= now {
            self.owned_until = until;
            return Waiting { answer, until, whose: Whose::Own };
        }
        let is_late = until.duration_since(now) <= now.duration_since(self.asked);
        Waiting { answer, until: if is_late { now } else { until }, whose: Whose::Shared }
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
        let Waiting { mut answer, until, whose } = self.lookup((Arc::clone(host), port), now, until, ask);
        let found = match tokio::time::timeout_at(until.into(), answer.wait_for(Option::is_some)).await {
            // Its end without an answer is that of the runtime, or a defect.
            Ok(found) => found.ok().and_then(|found| found.clone()).unwrap_or(Err(io::ErrorKind::Interrupted)),
            Err(_elapsed) => Err(io::ErrorKind::TimedOut),
        };
        found.map_err(|kind| LookupFault { kind, whose })
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
        lookups.insert(place, Lookup { asked: now, owned_until: until, answer: answer.clone() });
        Waiting { answer, until, whose: Whose::Own }
    }

    /// Forgets answers that are too old.
    pub fn prune(&self, now: Instant) {
        self.by_place.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, lookup| lookup.is_of_use(now));
    }
}

/// Those of the addresses that are not link-local.
///
/// # Errors
/// `AddrNotAvailable` where nothing is left.
pub fn without_link_local(found: &[SocketAddr]) -> io::Result<Vec<SocketAddr>> {
    let addresses: Vec<_> = found.iter().filter(|address| !is_link_local(address.ip())).copied().collect();
    if addresses.is_empty() { Err(io::ErrorKind::AddrNotAvailable.into()) } else { Ok(addresses) }
}

/// Whether an address is link-local, or one at which a cloud tells a machine its credentials.
#[must_use]
pub fn is_link_local(address: IpAddr) -> bool {
    LINK_LOCAL.contains(address)
}

/// Whether an address is one of the public internet.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    !SPECIAL.contains(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn what_tells_credentials_is_link_local_and_its_neighbours_are_not() {
        let rows = [
            ("169.253.255.255", false),
            ("169.254.0.0", true),
            ("169.254.169.254", true),
            ("169.254.255.255", true),
            ("169.255.0.0", false),
            ("::ffff:169.254.169.254", true),
            ("64:ff9b::169.254.169.254", true),
            ("64:ff9b::169.253.169.254", false),
            ("fe7f:ffff::1", false),
            ("fe80::1", true),
            ("febf::1", true),
            ("fec0::1", false),
            ("100.100.100.199", false),
            ("100.100.100.200", true),
            ("168.63.129.16", true),
            ("168.63.129.17", false),
            ("192.0.0.192", true),
            ("fd00:ec2::254", true),
            ("fd00:ec3::254", false),
            ("fd20:ce::254", true),
            ("fd20:ce::253", false),
            ("127.0.0.1", false),
            ("::1", false),
            ("10.0.0.1", false),
            ("192.168.1.1", false),
            ("fd12:3456::1", false),
            ("1.1.1.1", false),
        ];
        assert_eq!(LINK_LOCAL_NETWORKS.iter().filter_map(|network| network.parse::<ipnet::IpNet>().ok()).count(), 8);
        for (address, link_local) in rows {
            assert_eq!(is_link_local(address.parse().unwrap()), link_local, "{address}");
        }
    }

    /// Spellings of 169.254.169.254 that are no address to a URL, and are one to the system.
    #[tokio::test]
    async fn a_name_that_leads_to_a_link_local_address_leads_nowhere() {
        let lookups = Lookups::default();
        for host in ["169.254.169.254", "0xa9fea9fe", "2852039166", "169.254.43518", "fe80::1"] {
            let found = lookups.find(&host.into(), 80, in_an_hour()).await.unwrap();
            let left = without_link_local(&found).map_err(|error| error.kind());
            assert_eq!(left, Err(io::ErrorKind::AddrNotAvailable), "{host}");
        }
        for (host, address) in [("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]:80"), ("0x7f000001", "127.0.0.1:80")] {
            let found = lookups.find(&host.into(), 80, in_an_hour()).await.unwrap();
            assert_eq!(without_link_local(&found).unwrap(), [address.parse().unwrap()], "{host}");
        }
    }

    /// A name server may answer the second question otherwise than the first.
    #[test]
    fn of_good_and_bad_addresses_the_good_ones_are_left() {
        let of = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let found = of(&["169.254.169.254:80", "10.0.0.1:80", "[fe80::1]:80", "[::1]:80"]);
        assert_eq!(without_link_local(&found).unwrap(), of(&["10.0.0.1:80", "[::1]:80"]));
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
        use Whose::{Own, Shared};
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
        let expected = [Own, Shared, Shared, Shared, Own, Shared].map(|whose| LookupFault { kind, whose });
        assert_eq!((faults, slow.asked()), (expected.to_vec(), 2));
    }

    /// Each row: when somebody comes, for how long he would wait, whose failure it is and for how long he is let wait, in seconds.
    #[tokio::test]
    async fn of_a_look_up_that_hangs_one_at_a_time_has_the_failure_and_nobody_waits_in_vain_beside_him() {
        use Whose::{Own, Shared};
        // All of it is past, so that nobody waits.
        let (lookups, slow, began) = (Lookups::default(), Slow::new(), Instant::now().checked_sub(HOUR).unwrap());
        let rows = [
            (0, 10, Own, 10),
            (0, 10, Shared, 10),
            (9, 10, Shared, 10),
            (9, 9, Shared, 0),
            (10, 10, Own, 10),
            (10, 10, Shared, 0),
            (19, 10, Shared, 0),
            (19, 20, Shared, 20),
            (25, 10, Own, 10),
            (34, 10, Shared, 0),
            (35, 1, Own, 1),
            (36, 10, Own, 10),
        ];
        for (after, wait, whose, waits) in rows {
            let [after, wait, waits] = [after, wait, waits].map(Duration::from_secs);
            let now = began + after;
            let waiting = lookups.lookup(("app".into(), 80), now, now + wait, slow.ask());
            assert_eq!((waiting.whose, waiting.until), (whose, now + waits), "{after:?} {wait:?}");
        }
        let kind = io::ErrorKind::TimedOut;
        for (after, whose) in [(45, Shared), (46, Own)] {
            let now = began + Duration::from_secs(after);
            let found = lookups.find_by(&"app".into(), 80, now, now + Duration::from_secs(1), slow.ask()).await;
            assert_eq!(found, Err(LookupFault { kind, whose }));
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

    #[test]
    fn what_is_near_or_nowhere_is_not_public() {
        let rows = [
            ("1.1.1.1", true),
            ("52.46.128.1", true),
            ("0.0.0.0", false),
            ("9.255.255.255", true),
            ("10.0.0.1", false),
            ("11.0.0.0", true),
            ("100.63.255.255", true),
            ("100.64.0.1", false),
            ("100.100.100.200", false),
            ("127.0.0.1", false),
            ("127.255.255.255", false),
            ("169.254.169.254", false),
            ("169.254.170.2", false),
            ("172.15.255.255", true),
            ("172.16.0.1", false),
            ("172.31.255.255", false),
            ("172.32.0.0", true),
            ("192.0.0.192", false),
            ("192.168.1.1", false),
            ("198.18.0.1", false),
            ("223.255.255.255", true),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("::7f00:1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:10.0.0.1", false),
            ("::ffff:1.1.1.1", true),
            ("64:ff9b::a00:1", false),
            ("100::1", false),
            ("2000::1", true),
            ("2001::1", false),
            ("2001:200::1", true),
            ("2001:db8::1", false),
            ("2002:7f00:1::", false),
            ("2600:1f00::1", true),
            ("3fff::1", false),
            ("3fff:1000::1", true),
            ("fc00::1", false),
            ("fd00:ec2::254", false),
            ("fe80::1", false),
            ("ff02::1", false),
        ];
        assert_eq!(SPECIAL_NETWORKS.iter().filter_map(|network| network.parse::<ipnet::IpNet>().ok()).count(), 22);
        for (address, public) in rows {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        }
    }
}
