//! Asks upstreams whether they are well, where a policy wants that: once for the process, beside all deliveries.
//!
//! It goes by the policy in force, which it looks at each `TICK`; so it begins, changes and ends with reloads. What it finds opens and closes the same
//! circuits that deliveries do. An upstream counts as well until it was asked.
//!
//! **Invariant:** nothing of a sender is in such a request, and nothing of its answer goes anywhere but for the status.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{HeaderValue, Request};
use http_body_util::Full;
use tokio::task::JoinSet;

use super::{Shared, forward};
use crate::admit::circuit::Circuit;
use crate::forward::pool::Outbound;
use crate::forward::targets::HealthRules;
use crate::forward::{Target, Upstreams};
use crate::policy::Policy;
use crate::record::Recorder;
use crate::rejection::Rejection;

/// How often it looks whether a check is due, or the policy another.
const TICK: Duration = Duration::from_millis(250);

/// Checks under way at one time. Those that are due wait for a place.
const UNDER_WAY_MAX: usize = 16;

/// The longest body of an answer, in bytes; it is read and thrown away.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

const CLOSE: HeaderValue = HeaderValue::from_static("close");
const NAME: HeaderValue = HeaderValue::from_static("hookward");

/// What checks the health of all upstreams.
pub struct Health {
    shared: Arc<Shared>,
    recorder: Recorder,
    /// Connections of its own, none of which is kept: a check has to see whether one can be made.
    upstreams: Upstreams,
    policy: Weak<Policy>,
    checks: HashMap<Key, Check>,
    due: BTreeSet<(Duration, Key)>,
    under_way: JoinSet<(Key, Result<(), String>)>,
}

/// The address of a circuit that its check holds.
type Key = usize;

/// One upstream of one source.
struct Check {
    source: Arc<str>,
    target: Arc<Target>,
    circuit: Arc<Circuit>,
    rules: HealthRules,
    is_under_way: bool,
    /// Good answers in a row.
    good: u32,
    /// Bad ones in a row.
    bad: u32,
}

impl Health {
    /// Checks what the policy in force wants checked.
    #[must_use]
    pub fn new(shared: Arc<Shared>, recorder: Recorder) -> Self {
        Self {
            shared,
            recorder,
            upstreams: Upstreams::default(),
            policy: Weak::new(),
            checks: HashMap::new(),
            due: BTreeSet::new(),
            under_way: JoinSet::new(),
        }
    }

    /// Goes on until the gateway drains.
    pub async fn run(mut self) {
        while !self.shared.limits.is_draining() {
            self.follow();
            self.begin();
            tokio::select! {
                Some(done) = self.under_way.join_next() => if let Ok((key, answer)) = done {
                    self.end(key, answer);
                },
                () = tokio::time::sleep(TICK) => self.upstreams.prune(std::time::Instant::now()),
            }
        }
    }

    /// Takes over what the policy in force says, if it is another one. Who was checked before goes on being so, when it was due.
    fn follow(&mut self) {
        let policy = self.shared.policy.load_full();
        if std::ptr::eq(self.policy.as_ptr(), Arc::as_ptr(&policy)) {
            return;
        }
        let now = self.shared.clock.monotonic();
        let mut before = std::mem::take(&mut self.checks);
        for source in policy.sources() {
            let Some(rules) = source.forward.targets.health() else { continue };
            for member in source.forward.targets.list() {
                let key = Arc::as_ptr(&member.circuit) as Key;
                let (target, rules) = (Arc::clone(&member.target), rules.clone());
                let check = if let Some(check) = before.remove(&key) {
                    Check { target, rules, ..check }
                } else {
                    self.due.insert((now + rules.every * random_part() / PARTS, key));
                    let (source, circuit) = (Arc::clone(&source.name), Arc::clone(&member.circuit));
                    Check { source, target, circuit, rules, is_under_way: false, good: 0, bad: 0 }
                };
                self.checks.insert(key, check);
            }
        }
        for check in before.values() {
            check.circuit.release();
        }
        self.due.retain(|(_, key)| self.checks.contains_key(key));
        self.policy = Arc::downgrade(&policy);
    }

    /// Begins the checks that are due, as far as there is room.
    fn begin(&mut self) {
        let now = self.shared.clock.monotonic();
        while self.under_way.len() < UNDER_WAY_MAX {
            let Some(&(at, key)) = self.due.first().filter(|(at, _)| *at <= now) else { return };
            self.due.remove(&(at, key));
            let Some(check) = self.checks.get_mut(&key) else { continue };
            check.is_under_way = true;
            let asked = ask(self.upstreams.clone(), Arc::clone(&check.target), check.rules.clone());
            self.under_way.spawn(async move { (key, asked.await) });
        }
    }

    /// Takes note of an answer, unless nobody wants it any more.
    fn end(&mut self, key: Key, answer: Result<(), String>) {
        let Some(check) = self.checks.get_mut(&key).filter(|check| check.is_under_way) else { return };
        check.is_under_way = false;
        let now = self.shared.clock.monotonic();
        // From nine tenths to eleven, so that checks that began together do not stay so.
        self.due.insert((now + check.rules.every * (9 * PARTS + 2 * random_part()) / (10 * PARTS), key));
        let change = if answer.is_ok() {
            (check.good, check.bad) = (check.good.saturating_add(1), 0);
            (check.good >= check.rules.healthy).then(|| check.circuit.healthy())
        } else {
            (check.good, check.bad) = (0, check.bad.saturating_add(1));
            (check.bad >= check.rules.unhealthy).then(|| check.circuit.unhealthy(now, random()))
        };
        if let Some(change) = change.flatten() {
            let cause = || format!("health check: {}", answer.err().unwrap_or_default());
            forward::tell(&self.recorder, &check.source, &check.target, change, cause);
        }
    }
}

/// One check; what is wrong, in words of ours.
async fn ask(upstreams: Upstreams, target: Arc<Target>, rules: HealthRules) -> Result<(), String> {
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.uri_mut() = rules.path;
    request.headers_mut().insert(HOST, target.host.clone());
    request.headers_mut().insert(USER_AGENT, NAME);
    request.headers_mut().insert(CONNECTION, CLOSE);
    let outbound = Outbound { target, request, answer_bytes_max: ANSWER_BYTES_MAX, connect_time: None };
    match tokio::time::timeout(rules.timeout, upstreams.exchange(outbound)).await {
        Ok(Ok(exchange)) if exchange.head.status.is_success() => Ok(()),
        Ok(Ok(exchange)) => Err(format!("status {}", exchange.head.status.as_u16())),
        Ok(Err(fault)) => Err(Rejection::from(fault).text("error").unwrap_or_default().to_owned()),
        Err(_elapsed) => Err(format!("no answer within {} ms", rules.timeout.as_millis())),
    }
}

/// Into so many parts an interval is divided.
const PARTS: u32 = 256;

fn random_part() -> u32 {
    u32::try_from(random() % u64::from(PARTS)).unwrap_or_default()
}

fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
