//! The limits together: their order, and what junk can and cannot do.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::failures::{EXCESS_MAX, FailureRule};
use super::networks::{NetworkRules, Networks};
use super::*;

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));

fn number(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

fn rate(per_second: u32, burst: u32) -> Rate {
    Rate { per_second: number(per_second), burst: number(burst) }
}

fn rules() -> SourceRules {
    SourceRules {
        client: rate(50, 200),
        source: rate(50, 100),
        failures: FailureRule { per_minute: number(60), block_time: at(60), block_time_max: at(3600) },
        in_flight_max: number(64),
        networks: NetworkRules::default(),
        rate_mode: RateMode::Enforce,
    }
}

/// A client of many.
fn another(number: usize) -> IpAddr {
    IpAddr::from([203, 0, 113, u8::try_from(number).unwrap()])
}

/// Limits where nothing is only monitored, so that there is nothing to find.
struct Enforced(Limits);

impl Enforced {
    fn enter(&self, source: &SourceLimits, peer: IpAddr, now: Duration) -> Result<Permit, Rejection> {
        let mut findings = Findings::default();
        let entered = self.0.enter(source, peer, now, &mut findings);
        assert!(findings.is_empty());
        entered
    }

    fn accept(&self, source: &SourceLimits, permit: Permit, now: Duration) -> Result<Slot, Rejection> {
        let mut findings = Findings::default();
        let accepted = self.0.accept(source, permit, now, &mut findings);
        assert!(findings.is_empty());
        accepted
    }

    fn accept_unasked(&self, source: &SourceLimits, permit: Permit, now: Duration) -> Result<Slot, Rejection> {
        let mut findings = Findings::default();
        let accepted = self.0.accept_unasked(source, permit, now, &mut findings);
        assert!(findings.is_empty());
        accepted
    }
}

impl Deref for Enforced {
    type Target = Limits;

    fn deref(&self) -> &Limits {
        &self.0
    }
}

fn limits(deliveries_max: u32) -> Enforced {
    let small = number(1_000);
    Enforced(Limits::new(Capacity {
        deliveries_max: number(deliveries_max),
        clients_max: small,
        failing_clients_max: small,
        known_clients_max: small,
        claims_max: small,
        ..Capacity::default()
    }))
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn told<T>(result: Result<T, Rejection>) -> (Reason, Option<u64>) {
    result.err().map(|rejection| (rejection.reason(), rejection.retry_after_seconds())).expect("a rejection")
}

#[test]
fn the_earlier_fault_wins() {
    let limits = limits(1);
    let allowed = Some(Networks::new(["192.0.2.0/24".parse().unwrap()]));
    let networks = NetworkRules { allowed, ..NetworkRules::default() };
    let source = limits.source("github", SourceRules { networks, client: rate(1, 1), ..rules() });

    let _only = limits.enter(&source, PEER, at(0)).unwrap();
    let neighbour = IpAddr::from([192, 0, 2, 2]);
    assert_eq!(told(limits.enter(&source, neighbour, at(0))), (Reason::Overloaded, Some(1)));
    assert_eq!(told(limits.enter(&source, PEER, at(0))), (Reason::RateLimitedClient, Some(1)));
    for who in [PEER, STRANGER] {
        (0..60).for_each(|_| limits.failed(&source, who, Reason::CredentialMismatch, at(0)));
    }
    assert_eq!(told(limits.enter(&source, PEER, at(0))), (Reason::ClientBlocked, Some(60)));
    assert_eq!(told(limits.enter(&source, STRANGER, at(0))), (Reason::AddressRefused, None));
    limits.drain();
    assert_eq!(told(limits.enter(&source, STRANGER, at(0))), (Reason::AddressRefused, None));
    limits.close();
    assert_eq!(told(limits.enter(&source, STRANGER, at(0))), (Reason::Draining, Some(5)));
}

#[test]
fn after_authentication_the_rate_comes_before_the_places_in_flight() {
    let limits = limits(1_000);
    let source = limits.source("github", SourceRules { source: rate(1, 2), in_flight_max: number(1), ..rules() });
    let accept = |now| limits.accept(&source, limits.enter(&source, PEER, now).unwrap(), now);
    let slot = accept(at(0)).unwrap();
    let refused = accept(at(0)).expect_err("in flight");
    assert_eq!(refused.detail(), [("limit", "in_flight_max".into())]);
    assert_eq!(told(Err::<(), _>(refused)), (Reason::Overloaded, Some(1)));
    assert_eq!(told(accept(at(0))), (Reason::RateLimitedSource, Some(1)));
    assert_eq!((source.in_flight(), limits.in_flight()), (1, 1));
    drop(slot);
    assert_eq!((source.in_flight(), limits.in_flight()), (0, 0), "a refusal holds nothing");
    assert!(accept(at(1)).is_ok());
}

/// Where no proof is asked for the same limits hold, in the same order, and nobody becomes known.
#[test]
fn a_delivery_of_which_no_proof_is_asked_spends_what_others_do_and_makes_nobody_known() {
    let limits = limits(1_000);
    let source = limits.source("open", SourceRules { source: rate(1, 2), in_flight_max: number(1), ..rules() });
    let enter = || limits.enter(&source, PEER, at(0)).unwrap();
    let slot = limits.accept_unasked(&source, enter(), at(0)).unwrap();
    assert_eq!(told(limits.accept_unasked(&source, enter(), at(0))), (Reason::Overloaded, Some(1)));
    assert_eq!(told(limits.accept_unasked(&source, enter(), at(0))), (Reason::RateLimitedSource, Some(1)));
    drop(slot);
    assert!(!limits.is_met(PEER, at(1)));
    drop(limits.accept(&source, enter(), at(1)).unwrap());
    assert!(limits.is_met(PEER, at(1)), "a proven one does");
}

#[test]
fn the_process_takes_deliveries_max_at_the_same_time() {
    let limits = limits(3);
    let sources = [limits.source("github", rules()), limits.source("stripe", rules())];
    let mut held: Vec<_> = (0..2).map(|n| limits.enter(&sources[n], another(n), at(0)).expect("max - 1")).collect();
    let slot = limits.accept(&sources[0], limits.enter(&sources[0], PEER, at(0)).expect("max"), at(0)).unwrap();
    assert_eq!(told(limits.enter(&sources[1], another(2), at(0))), (Reason::Overloaded, Some(1)), "max + 1");
    drop(slot);
    held.push(limits.enter(&sources[1], PEER, at(0)).expect("an accepted delivery gave its place back"));
}

/// Strangers cannot take the places of those who proved themselves, and one of them cannot take those of all.
#[test]
fn deliveries_under_way_are_shared_out_among_clients() {
    let limits = limits(16);
    let source = limits.source("github", rules());
    drop(limits.accept(&source, limits.enter(&source, PEER, at(0)).unwrap(), at(0)).unwrap());
    let limit = |refused: Result<Permit, Rejection>| refused.expect_err("over a limit").detail()[0].clone();
    let mut held: Vec<_> = (0..4).map(|_| limits.enter(&source, STRANGER, at(0)).expect("a quarter")).collect();
    assert_eq!(limit(limits.enter(&source, STRANGER, at(0))), ("limit", "deliveries_per_client".into()));
    held.extend((0..10).map(|n| limits.enter(&source, another(n), at(0)).expect("seven eighths")));
    assert_eq!(limit(limits.enter(&source, another(10), at(0))), ("limit", "deliveries_max".into()));
    held.extend((0..2).map(|_| limits.enter(&source, PEER, at(0)).expect("it is known")));
    assert_eq!(limit(limits.enter(&source, PEER, at(0))), ("limit", "deliveries_max".into()));
}

#[test]
fn deliveries_at_the_same_time_can_be_bounded_more_tightly_and_no_wider() {
    for (max, bound, taken) in [(3, 2, 2), (3, 3, 3), (3, 4, 3)] {
        let limits = Enforced(limits(max).0.with_deliveries_at_most(number(bound)));
        let source = limits.source("github", rules());
        let held: Vec<_> = (0..taken).map(|n| limits.enter(&source, another(n), at(0)).expect("a place")).collect();
        assert_eq!(told(limits.enter(&source, PEER, at(0))), (Reason::Overloaded, Some(1)), "{max}, {bound}");
        drop(held);
    }
}

#[test]
fn blocks_of_clients_that_the_policy_names_do_not_grow() {
    let allow = |networks: &[&str]| Some(Networks::new(networks.iter().map(|network| network.parse().unwrap())));
    let rows = [
        ("anybody may send", None, 120),
        ("its network", allow(&["192.0.2.0/24"]), 60),
        ("itself", allow(&["198.51.100.0/24", "192.0.2.1/32"]), 60),
        ("its neighbour", allow(&["192.0.2.2/32"]), 120),
    ];
    for (name, allowed, second) in rows {
        let limits = limits(1_000);
        let networks = NetworkRules { allowed, ..NetworkRules::default() };
        let source = limits.source("github", SourceRules { networks, ..rules() });
        // Blocks are the client's, so a source that takes anybody shows those of one that does not.
        let open = limits.source("github", rules());
        for (now, block) in [(0, 60), (60, second)] {
            (0..60).for_each(|_| limits.failed(&source, PEER, Reason::CredentialMismatch, at(now)));
            assert_eq!(told(limits.enter(&open, PEER, at(now))), (Reason::ClientBlocked, Some(block)), "{name}");
        }
    }
}

#[test]
fn junk_never_spends_the_sources_budget_nor_its_places() {
    let limits = limits(10_000);
    let source = limits.source("github", SourceRules { source: rate(1, 1), in_flight_max: number(1), ..rules() });
    for n in 0..5_000_u16 {
        let [high, low] = n.to_be_bytes();
        let junk = IpAddr::from([203, 0, high, low]);
        let _permit = limits.enter(&source, junk, at(0)).unwrap();
        limits.failed(&source, junk, Reason::CredentialMismatch, at(0));
    }
    let permit = limits.enter(&source, PEER, at(0)).unwrap();
    assert!(limits.accept(&source, permit, at(0)).is_ok());
}

#[test]
fn strangers_cannot_switch_a_known_provider_off() {
    let limits = limits(10_000);
    let source = limits.source("github", SourceRules { client: rate(1_000, 100_000), ..rules() });
    let _slot = limits.accept(&source, limits.enter(&source, PEER, at(0)).unwrap(), at(0)).unwrap();
    for _ in 0..10_000 {
        let permit = limits.enter(&source, PEER, at(1)).expect("junk from the provider's own address");
        limits.failed(&source, PEER, Reason::CredentialMismatch, at(1));
        drop(permit);
    }
    let mut excess: Vec<_> = (0..EXCESS_MAX.get()).map(|_| limits.enter(&source, PEER, at(1)).unwrap()).collect();
    assert_eq!(told(limits.enter(&source, PEER, at(1))), (Reason::Overloaded, Some(1)));
    let genuine = excess.pop().unwrap();
    for (ordinary, time) in [(1, 1), (2, 2), (3, 2), (30, 2)] {
        assert_eq!(genuine.body_time(at(ordinary)), at(time), "slow bodies must not hold the seats");
    }
    let _slot = limits.accept(&source, genuine, at(1)).expect("a genuine delivery among it");
    assert!(limits.enter(&source, PEER, at(1)).is_ok(), "an authenticated delivery left the narrow way");
}

#[test]
fn a_reload_keeps_buckets_blocks_and_marks_unless_the_limit_itself_changed() {
    let limits = limits(1_000);
    let tight = || SourceRules { client: rate(1, 1), source: rate(1, 1), ..rules() };
    let before = limits.source("github", tight());
    let _slot = limits.accept(&before, limits.enter(&before, PEER, at(0)).unwrap(), at(0)).unwrap();
    for _ in 0..60 {
        limits.failed(&before, STRANGER, Reason::CredentialMissing, at(0));
    }

    let same = limits.source("github", SourceRules { in_flight_max: number(9), ..tight() });
    assert_eq!(told(limits.enter(&same, PEER, at(0))).0, Reason::RateLimitedClient);
    assert_eq!(told(limits.enter(&same, STRANGER, at(0))).0, Reason::ClientBlocked);
    let other = IpAddr::from([192, 0, 2, 2]);
    let permit = limits.enter(&same, other, at(0)).unwrap();
    assert_eq!(told(limits.accept(&same, permit, at(0))).0, Reason::RateLimitedSource);

    let changed = limits.source("github", SourceRules { client: rate(1, 2), source: rate(1, 2), ..tight() });
    let permit = limits.enter(&changed, PEER, at(0)).expect("a changed limit begins anew");
    assert!(limits.accept(&changed, permit, at(0)).is_ok());
}

/// What a monitored rate would have refused is found, in order, also where a limit behind it refuses.
#[test]
fn monitor_mode_finds_what_it_would_have_refused_whatever_refuses_later() {
    let Enforced(limits) = limits(12);
    let (client, places) = (rate(1, 2), number(2));
    let monitored =
        SourceRules { client, source: rate(1, 1), in_flight_max: places, rate_mode: RateMode::Monitor, ..rules() };
    let source = limits.source("github", monitored);
    let rows: [(Option<&str>, &[Reason]); 4] = [
        (None, &[]),
        (None, &[Reason::RateLimitedSource]),
        (Some("in_flight_max"), &[Reason::RateLimitedClient, Reason::RateLimitedSource]),
        (Some("deliveries_per_client"), &[Reason::RateLimitedClient]),
    ];
    let mut held = Vec::new();
    for (limit, found) in rows {
        let enter = |findings: &mut Findings| limits.enter(&source, PEER, at(0), findings);
        let _third = (limit == Some("deliveries_per_client")).then(|| enter(&mut Findings::default()).unwrap());
        let mut findings = Findings::default();
        let entered = enter(&mut findings);
        let accepted = entered.and_then(|permit| limits.accept(&source, permit, at(0), &mut findings));
        let refused = accepted.map(|slot| held.push(slot)).err();
        assert_eq!(refused.as_ref().and_then(|refused| refused.text("limit")), limit);
        assert_eq!(findings.iter().map(Rejection::reason).collect::<Vec<_>>(), found, "{limit:?}");
    }
}

#[test]
fn a_recorded_request_is_under_no_limit() {
    let permit = Permit::offline();
    assert_eq!(permit.body_time(at(30)), at(30));
    assert_eq!(permit.client(), None);
}

#[test]
fn threads_share_one_budget() {
    let limits = Arc::new(limits(1_000));
    let source = Arc::new(limits.source("github", SourceRules { client: rate(1, 10_000), ..rules() }));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (limits, source) = (Arc::clone(&limits), Arc::clone(&source));
            std::thread::spawn(move || {
                let accept = || limits.accept(&source, limits.enter(&source, PEER, at(0)).unwrap(), at(0));
                (0..500).filter(|_| accept().is_ok()).count()
            })
        })
        .collect();
    assert_eq!(threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>(), 100);
    assert_eq!((limits.in_flight(), source.in_flight()), (0, 0));
}
