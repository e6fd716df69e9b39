//! What keeps a flood of refusals from filling the logs: budgets, and exact counts of what they keep out.
//!
//! A refusal is written if two token buckets have room: that of its source, reason and client network (/24 or /64), and
//! that of its source and reason over all networks, for a sender with many addresses must not push other entries out of
//! the log either. What is not written is counted. A client's count goes with its next record; every count that waits for
//! longer than [`Limits::report_micros`], because the flood is over or the budget is spent, becomes a [`Summary`].
//!
//! Each worker has a table of its own, so no two workers ever wait for each other; budgets are therefore per worker.
//!
//! **Invariant:** refusals = records + the sum of their `suppressed` + what is still in the tables.
//! **Invariant:** the tables are bounded, whatever addresses a sender has.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::delivery::Effect;
use crate::reason::Reason;

/// The budgets. Times are microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// For one source, reason and client network.
    pub(super) client: Rate,
    /// For one source and reason.
    pub(super) group: Rate,
    /// How many client networks are told apart; those past it share their group's budget.
    pub(super) clients_max: usize,
    /// How many groups are told apart; those past it are counted without their source.
    pub(super) groups_max: usize,
    /// How long a count may wait for a record to go with.
    pub(super) report_micros: i64,
}

/// A token bucket: so many at once, and one more each `refill_micros`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    pub(super) burst: u32,
    pub(super) refill_micros: i64,
}

impl Rate {
    /// How long an empty bucket takes to be full.
    fn fill_micros(self) -> i64 {
        i64::from(self.burst).saturating_mul(self.refill_micros)
    }
}

impl Limits {
    pub(super) const DEFAULT: Self = Self {
        client: Rate { burst: 20, refill_micros: 10_000_000 },
        group: Rate { burst: 200, refill_micros: 1_000_000 },
        clients_max: 2_048,
        groups_max: 16_384,
        report_micros: 10_000_000,
    };
}

/// What is to happen with one refusal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Write it; so many refusals of the same source, reason and network were kept out since the last record.
    Write { suppressed: u64 },
    /// It is counted.
    Suppress,
}

/// A count that goes to the log by itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) source: Option<Arc<str>>,
    pub(super) reason: Reason,
    pub(super) effect: Effect,
    pub(super) network: Network,
    pub(super) suppressed: u64,
    /// When the first of them came, in microseconds since the Unix epoch.
    pub(super) since: i64,
}

/// Whose refusals are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Network {
    /// An IPv4 /24.
    V4([u8; 3]),
    /// An IPv6 /64.
    V6(u64),
    /// All clients of a source.
    Any,
}

/// A client's network, or all networks, by source and reason.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    slot: u32,
    reason: Reason,
    effect: Effect,
    network: Network,
}

#[derive(Debug)]
struct Entry {
    source: Option<Arc<str>>,
    /// The bucket as one time (GCRA): it is full when this lies in the past.
    full_at: i64,
    suppressed: u64,
    since: i64,
}

type Table = HashMap<Key, Entry, RandomState>;

/// One worker's tables.
#[derive(Debug)]
pub(super) struct Suppression {
    limits: Limits,
    clients: Table,
    groups: Table,
}

/// The source of a refusal as the tables know it: a small number, and the name for summaries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'s> {
    pub(super) slot: u32,
    pub(super) name: Option<&'s Arc<str>>,
    /// Findings of monitored stages have budgets and counts of their own: they are no refusals.
    pub(super) effect: Effect,
}

/// The place of groups whose own place is taken: they are counted by reason alone.
const SHARED_SLOT: u32 = u32::MAX;

impl Suppression {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, clients: HashMap::default(), groups: HashMap::default() }
    }

    /// Decides about one refusal and keeps count.
    pub(super) fn admit(&mut self, origin: Origin<'_>, reason: Reason, peer: IpAddr, now: i64) -> Verdict {
        let Self { limits, clients, groups } = self;
        let mut client = client(clients, limits, origin, reason, peer);
        if let Some(client) = &mut client
            && !client.has_room(limits.client, now)
        {
            client.count(now, 1);
            return Verdict::Suppress;
        }
        let group = group(groups, limits, origin, reason);
        if !group.has_room(limits.group, now) {
            group.count(now, 1);
            return Verdict::Suppress;
        }
        // The group's own count stays: its refusals came from other networks than this record.
        group.spend(limits.group, now);
        let Some(client) = client else { return Verdict::Write { suppressed: 0 } };
        client.spend(limits.client, now);
        Verdict::Write { suppressed: std::mem::take(&mut client.suppressed) }
    }

    /// Takes a place for a refusal that is written later: as many as these were kept out since the last record. Where there is no place, nothing is
    /// counted.
    pub(super) fn reserve(&mut self, origin: Origin<'_>, reason: Reason, peer: IpAddr, now: i64) -> Option<u64> {
        let Self { limits, clients, groups } = self;
        let client = client(clients, limits, origin, reason, peer);
        let client_has_room = client.is_none_or(|client| client.has_room(limits.client, now));
        if !client_has_room || !group(groups, limits, origin, reason).has_room(limits.group, now) {
            return None;
        }
        match self.admit(origin, reason, peer, now) {
            Verdict::Write { suppressed } => Some(suppressed),
            Verdict::Suppress => None,
        }
    }

    /// Counts refusals that were admitted and then not written after all.
    pub(super) fn put_back(&mut self, origin: Origin<'_>, reason: Reason, peer: IpAddr, now: i64, refusals: u64) {
        let Self { limits, clients, groups } = self;
        match client(clients, limits, origin, reason, peer) {
            Some(client) => client.count(now, refusals),
            None => group(groups, limits, origin, reason).count(now, refusals),
        }
    }

    /// Hands out the counts that have waited long enough, and forgets who has been quiet.
    ///
    /// A few microseconds: the worker may be waiting for its table.
    pub(super) fn sweep(&mut self, now: i64, summaries: &mut Vec<Summary>) {
        self.hand_out(now, self.limits.report_micros, summaries);
    }

    /// Hands out every count.
    pub(super) fn drain(&mut self, now: i64, summaries: &mut Vec<Summary>) {
        self.hand_out(now, 0, summaries);
    }

    fn hand_out(&mut self, now: i64, wait_micros: i64, summaries: &mut Vec<Summary>) {
        let Self { limits, clients, groups } = self;
        for (table, rate) in [(clients, limits.client), (groups, limits.group)] {
            table.retain(|key, entry| {
                // A clock that was set back must not hold a count for ever.
                let waited = now.saturating_sub(entry.since);
                if entry.suppressed > 0 && (waited >= wait_micros || waited < 0) {
                    summaries.push(entry.summary(key));
                }
                entry.suppressed > 0 || entry.is_known(rate, now)
            });
        }
    }
}

fn client<'t>(
    clients: &'t mut Table,
    limits: &Limits,
    origin: Origin<'_>,
    reason: Reason,
    peer: IpAddr,
) -> Option<&'t mut Entry> {
    let key = Key { slot: origin.slot, reason, effect: origin.effect, network: Network::of(peer) };
    if clients.len() >= limits.clients_max && !clients.contains_key(&key) {
        return None;
    }
    Some(clients.entry(key).or_insert_with(|| Entry::new(origin.name)))
}

fn group<'t>(groups: &'t mut Table, limits: &Limits, origin: Origin<'_>, reason: Reason) -> &'t mut Entry {
    let own = Key { slot: origin.slot, reason, effect: origin.effect, network: Network::Any };
    if groups.len() >= limits.groups_max && !groups.contains_key(&own) {
        let shared = Key { slot: SHARED_SLOT, ..own };
        return groups.entry(shared).or_insert_with(|| Entry::new(None));
    }
    groups.entry(own).or_insert_with(|| Entry::new(origin.name))
}

impl Entry {
    fn new(source: Option<&Arc<str>>) -> Self {
        Self { source: source.cloned(), full_at: i64::MIN, suppressed: 0, since: 0 }
    }

    fn has_room(&mut self, rate: Rate, now: i64) -> bool {
        // Further ahead than an empty bucket only after the clock was set back.
        self.full_at = self.full_at.min(now.saturating_add(rate.fill_micros()));
        self.full_at.saturating_sub(now) <= rate.fill_micros() - rate.refill_micros
    }

    /// Whether it differs from one that is made anew.
    fn is_known(&self, rate: Rate, now: i64) -> bool {
        (1..=rate.fill_micros()).contains(&self.full_at.saturating_sub(now))
    }

    fn spend(&mut self, rate: Rate, now: i64) {
        self.full_at = self.full_at.max(now).saturating_add(rate.refill_micros);
    }

    fn count(&mut self, now: i64, refusals: u64) {
        if self.suppressed == 0 {
            self.since = now;
        }
        self.suppressed = self.suppressed.saturating_add(refusals);
    }

    fn summary(&mut self, key: &Key) -> Summary {
        Summary {
            source: self.source.clone(),
            reason: key.reason,
            effect: key.effect,
            network: key.network,
            suppressed: std::mem::take(&mut self.suppressed),
            since: self.since,
        }
    }
}

impl Network {
    /// The /24 of an IPv4 address, mapped ones included, or the /64 of an IPv6 address.
    pub(super) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                Self::V4([a, b, c])
            }
            IpAddr::V6(v6) => Self::V6(u64::try_from(v6.to_bits() >> 64).unwrap_or(0)),
        }
    }

    /// `203.0.113.0/24`, `2001:db8::/64`, or nothing for all of them.
    pub(super) fn text(self) -> Option<String> {
        match self {
            Self::V4([a, b, c]) => Some(format!("{}/24", Ipv4Addr::new(a, b, c, 0))),
            Self::V6(prefix) => Some(format!("{}/64", Ipv6Addr::from_bits(u128::from(prefix) << 64))),
            Self::Any => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn limits() -> Limits {
        Limits { group: Rate { burst: 1_000, refill_micros: SECOND }, ..Limits::DEFAULT }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    struct Flood {
        suppression: Suppression,
        name: Arc<str>,
        written: u64,
        reported: u64,
    }

    impl Flood {
        fn under(limits: Limits) -> Self {
            Self { suppression: Suppression::new(limits), name: "github".into(), written: 0, reported: 0 }
        }

        fn refuse(&mut self, reason: Reason, peer: &str, now: i64) -> Verdict {
            let origin = Origin { slot: 1, name: Some(&self.name), effect: Effect::Refused };
            let verdict = self.suppression.admit(origin, reason, ip(peer), now);
            if let Verdict::Write { suppressed } = verdict {
                self.written += 1;
                self.reported += suppressed;
            }
            verdict
        }

        fn summaries(&mut self, hand_out: impl FnOnce(&mut Suppression, &mut Vec<Summary>)) -> Vec<Summary> {
            let mut summaries = Vec::new();
            hand_out(&mut self.suppression, &mut summaries);
            self.reported += summaries.iter().map(|summary| summary.suppressed).sum::<u64>();
            summaries
        }
    }

    #[test]
    fn a_place_that_is_taken_ahead_is_one_of_the_burst_and_none_is_counted_where_there_is_none() {
        let burst = Limits::DEFAULT.client.burst;
        let mut flood = Flood::under(limits());
        let reason = Reason::CredentialMismatch;
        let reserve = |flood: &mut Flood| {
            let name = Arc::clone(&flood.name);
            let origin = Origin { slot: 1, name: Some(&name), effect: Effect::Refused };
            flood.suppression.reserve(origin, reason, ip("203.0.113.9"), 0)
        };
        assert_eq!(reserve(&mut flood), Some(0));
        for _ in 0..burst + 2 {
            flood.refuse(reason, "203.0.113.9", 0);
        }
        assert_eq!(reserve(&mut flood), None);
        let summaries = flood.summaries(|table, out| table.drain(0, out));
        assert_eq!((flood.written, flood.reported), (u64::from(burst) - 1, 3));
        assert_eq!(summaries.len(), 1);
    }

    #[test]
    fn a_burst_is_written_and_what_is_past_it_is_counted_exactly() {
        let burst = u64::from(Limits::DEFAULT.client.burst);
        for (sent, written, counted) in [(burst - 1, burst - 1, 0), (burst, burst, 0), (burst + 1, burst, 1)] {
            let mut flood = Flood::under(limits());
            for _ in 0..sent {
                flood.refuse(Reason::CredentialMismatch, "203.0.113.9", 0);
            }
            let summaries = flood.summaries(|table, out| table.drain(0, out));
            assert_eq!((flood.written, flood.reported), (written, counted), "{sent} refusals");
            assert_eq!(summaries.len(), usize::from(counted > 0), "{sent} refusals");
        }
    }

    #[test]
    fn a_token_comes_back_after_its_time_and_takes_the_count_along() {
        let mut flood = Flood::under(limits());
        for _ in 0..25 {
            flood.refuse(Reason::CredentialMismatch, "203.0.113.9", 0);
        }
        let rows = [
            (10 * SECOND - 1, Verdict::Suppress),
            (10 * SECOND, Verdict::Write { suppressed: 6 }),
            (10 * SECOND, Verdict::Suppress),
            (30 * SECOND, Verdict::Write { suppressed: 1 }),
            (30 * SECOND, Verdict::Write { suppressed: 0 }),
            (30 * SECOND, Verdict::Suppress),
        ];
        for (at, verdict) in rows {
            assert_eq!(flood.refuse(Reason::CredentialMismatch, "203.0.113.9", at), verdict, "at {at}");
        }
    }

    #[test]
    fn keys_have_budgets_of_their_own() {
        let rows = [
            ("the same network", Reason::CredentialMismatch, "203.0.113.255", false),
            ("the same network, mapped", Reason::CredentialMismatch, "::ffff:203.0.113.1", false),
            ("the next network", Reason::CredentialMismatch, "203.0.114.0", true),
            ("another reason", Reason::TimestampStale, "203.0.113.9", true),
            ("another family", Reason::CredentialMismatch, "2001:db8::1", true),
        ];
        let mut flood = Flood::under(limits());
        while flood.refuse(Reason::CredentialMismatch, "203.0.113.9", 0) != Verdict::Suppress {}
        for (name, reason, peer, written) in rows {
            assert_eq!(flood.refuse(reason, peer, 0) != Verdict::Suppress, written, "{name}");
        }
    }

    #[test]
    fn a_sender_with_many_networks_spends_one_budget_of_source_and_reason() {
        let group = Rate { burst: 50, refill_micros: SECOND };
        let mut flood = Flood::under(Limits { group, clients_max: 10, ..Limits::DEFAULT });
        for network in 0..1_000_u64 {
            let peer = Ipv6Addr::from_bits(u128::from(network) << 64).to_string();
            flood.refuse(Reason::CredentialMismatch, &peer, 0);
        }
        assert_eq!(flood.written, 50);
        assert_eq!(flood.suppression.clients.len(), 10);
        let summaries = flood.summaries(|table, out| table.sweep(10 * SECOND, out));
        assert_eq!(summaries.len(), 1);
        assert_eq!((summaries[0].network, summaries[0].suppressed), (Network::Any, 950));
        assert_ne!(flood.refuse(Reason::TimestampStale, "203.0.113.9", 0), Verdict::Suppress, "another reason");
    }

    #[test]
    fn groups_past_their_table_are_counted_by_reason_alone() {
        let group = Rate { burst: 1, refill_micros: SECOND };
        let mut table = Suppression::new(Limits { group, groups_max: 2, ..Limits::DEFAULT });
        let name: Arc<str> = "many".into();
        let mut written = 0;
        for slot in 0..100 {
            let origin = Origin { slot, name: Some(&name), effect: Effect::Refused };
            let verdict = table.admit(origin, Reason::CredentialMismatch, ip("203.0.113.9"), 0);
            written += u64::from(verdict != Verdict::Suppress);
        }
        let mut summaries = Vec::new();
        table.drain(0, &mut summaries);
        assert_eq!((written, table.groups.len()), (3, 3));
        assert_eq!(
            summaries,
            [Summary {
                source: None,
                reason: Reason::CredentialMismatch,
                effect: Effect::Refused,
                network: Network::Any,
                suppressed: 97,
                since: 0
            }]
        );
    }

    #[test]
    fn a_count_is_reported_when_its_flood_is_over_and_not_before() {
        let mut flood = Flood::under(limits());
        for at in 0..30 {
            flood.refuse(Reason::CredentialMismatch, "203.0.113.9", at);
        }
        assert_eq!(flood.summaries(|table, out| table.sweep(20 + 10 * SECOND - 1, out)), []);
        let summaries = flood.summaries(|table, out| table.sweep(20 + 10 * SECOND, out));
        assert_eq!(
            summaries,
            [Summary {
                source: Some("github".into()),
                reason: Reason::CredentialMismatch,
                effect: Effect::Refused,
                network: Network::V4([203, 0, 113]),
                suppressed: 10,
                since: 20
            }]
        );
        assert_eq!(flood.written + flood.reported, 30);
        assert_eq!(flood.summaries(|table, out| table.drain(20 + 10 * SECOND, out)), [], "reported once");
    }

    #[test]
    fn who_is_quiet_is_forgotten_when_its_bucket_is_full_again() {
        let mut flood = Flood::under(limits());
        flood.refuse(Reason::CredentialMismatch, "203.0.113.9", 0);
        for (at, known) in [(10 * SECOND - 1, 1), (10 * SECOND, 0)] {
            flood.summaries(|table, out| table.sweep(at, out));
            assert_eq!(flood.suppression.clients.len(), known, "at {at}");
        }
    }

    #[test]
    fn a_count_outlives_its_bucket() {
        let quick = Rate { burst: 1, refill_micros: SECOND };
        let mut flood = Flood::under(Limits { client: quick, ..limits() });
        for _ in 0..3 {
            flood.refuse(Reason::CredentialMismatch, "203.0.113.9", 0);
        }
        for (at, reported) in [(5 * SECOND, 0), (10 * SECOND, 2)] {
            flood.summaries(|table, out| table.sweep(at, out));
            assert_eq!(flood.reported, reported, "at {at}");
        }
    }

    #[test]
    fn a_clock_set_back_neither_blocks_the_log_nor_keeps_a_count() {
        for swept in [true, false] {
            let mut flood = Flood::under(limits());
            for _ in 0..30 {
                flood.refuse(Reason::CredentialMismatch, "203.0.113.9", 3_600 * SECOND);
            }
            assert_eq!(flood.refuse(Reason::CredentialMismatch, "203.0.113.9", 0), Verdict::Suppress);
            if swept {
                assert_eq!(flood.summaries(|table, out| table.sweep(0, out)).len(), 1);
            }
            // Each of the two buckets counts as empty when it is first looked at.
            flood.refuse(Reason::CredentialMismatch, "203.0.113.9", 10 * SECOND);
            let verdict = flood.refuse(Reason::CredentialMismatch, "203.0.113.9", 20 * SECOND);
            assert_ne!(verdict, Verdict::Suppress, "swept: {swept}");
        }
    }

    #[test]
    fn records_and_counts_add_up_to_the_refusals() {
        let group = Rate { burst: 40, refill_micros: SECOND };
        let mut flood = Flood::under(Limits { group, clients_max: 7, groups_max: 2, ..Limits::DEFAULT });
        let reasons = [Reason::CredentialMismatch, Reason::TimestampStale, Reason::RateLimitedClient];
        for number in 0..20_000_i64 {
            let at = number * 7_919 % (200 * SECOND);
            let reason = reasons[usize::try_from(number % 3).unwrap()];
            flood.refuse(reason, &format!("10.0.{}.1", number % 11), at);
            if number % 997 == 0 {
                flood.summaries(|table, out| table.sweep(at, out));
            }
        }
        flood.summaries(|table, out| table.drain(200 * SECOND, out));
        assert_eq!(flood.written + flood.reported, 20_000);
    }
}
