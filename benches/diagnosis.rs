//! A flood of forged deliveries through the pipeline in process, with diagnosis and without: the one must not be dearer than 1.2 times the other.
//! And what one diagnosis costs its own thread, of which there are four a second at most.

#[path = "../tests/kit/answering.rs"]
mod answering;
#[path = "../tests/kit/shared.rs"]
mod shared;

use std::fs;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use answering::Answering;
use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use hookward::admit::{Capacity, Limits};
use hookward::clock::Clock;
use hookward::delivery::HostMatch;
use hookward::forward::request::Protocol;
use hookward::gateway::diagnose::Diagnosis;
use hookward::gateway::{Arrival, Commitment, Gateway};
use hookward::policy::Policy;
use hookward::policy::gateway_config::PoliciesConfig;
use hookward::policy::load::{self, Loaded};
use hookward::policy::secrets::{Resolved, Resolver, SecretFault};
use hookward::policy::source_config::SecretPlace;
use hookward::policy::table::Spanned;
use hookward::reason::Level;
use hookward::reply::Reply;
use hookward::secret::Secret;
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::Full;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// More sources than a diagnosis tries.
const SOURCES: usize = 70;

struct ByName;

impl Resolver for ByName {
    fn resolve(&self, place: &SecretPlace) -> Result<Resolved, SecretFault> {
        Ok(Resolved::Secret(Secret::new(format!("a secret of some length at {place:?}").into())))
    }
}

fn policy(limits: &Limits) -> Policy {
    let folder = tempfile::tempdir().expect("a folder");
    for number in 0..SOURCES {
        let text = format!(
            "path = \"/{number}\"\nbody_bytes_max = 2_000_000\n[auth]\nprovider = \"github\"\nsecrets = [{{ id = \"1\", env = \"SECRET_{number}\" }}]\n\
             [limit]\nclient = {{ per_second = 1_000_000, burst = 1_000_000 }}\nfailures = {{ per_minute = 100_000, block_seconds = 1 }}\n\
             [forward]\nto = \"http://127.0.0.1:9/\"\n"
        );
        fs::write(folder.path().join(format!("source-{number}.toml")), text).expect("a policy");
    }
    let directory = Spanned { value: folder.path().to_owned(), span: 0..0 };
    let mut loaded = Loaded::default();
    let policy = load::load(&PoliciesConfig { directory, strict: false }, &ByName, limits, &mut loaded);
    policy.expect("policies without error")
}

fn gateway(diagnosis: Option<Diagnosis>) -> Arc<Gateway<Answering>> {
    let limits = Limits::new(Capacity::default());
    let policy = policy(&limits);
    let clock = Clock::system();
    let telemetry = shared::telemetry(&clock, Level::Info, Box::new(io::sink()));
    let shared = shared::shared(policy, limits, clock);
    match diagnosis {
        Some(diagnosis) => Gateway::diagnosing(shared, Answering, telemetry.recorder(), diagnosis),
        None => Gateway::new(shared, Answering, telemetry.recorder()),
    }
}

/// About so many bytes of JSON.
fn body(bytes: usize) -> Bytes {
    let member =
        "\"repository\": {\"id\": 292430182, \"name\": \"hook\u{e9}\", \"private\": false, \"topics\": [1, 2, 3]}";
    format!("[{}]", vec![format!("{{{member}}}"); bytes / (member.len() + 4)].join(", ")).into()
}

fn forged(body: &Bytes) -> Request<Full<Bytes>> {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "hooks.example.test"),
        ("user-agent", "GitHub-Hookshot/044aadd"),
        ("content-type", "application/json"),
        ("x-github-event", "push"),
        ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        ("x-hub-signature-256", "sha256=0000000000000000000000000000000000000000000000000000000000000000"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let mut request = Request::new(Full::new(body.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = "/0".parse().expect("a path");
    *request.headers_mut() = headers;
    request
}

fn flood(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let arrival = Arrival { peer: ([127, 0, 0, 1], 1).into(), protocol: Protocol::Https, host: HostMatch::Served };
    let (diagnosis, diagnostician) = Diagnosis::new();
    let thread = std::thread::spawn(move || diagnostician.run());
    let body = body(7_000);
    let gateways = [gateway(None), gateway(Some(diagnosis.clone()))];
    let deliver = |gateway: &Gateway<Answering>| {
        runtime.block_on(gateway.deliver(forged(&body), &arrival, &Commitment::default()))
    };
    let mut group = criterion.benchmark_group("flood");
    for (name, gateway) in ["without diagnosis", "with diagnosis"].into_iter().zip(&gateways) {
        group.bench_function(name, |bencher| bencher.iter(|| deliver(gateway)));
    }
    group.finish();
    let ratio = ratio(&gateways, &deliver);
    drop(writeln!(io::stdout(), "flood: with diagnosis {ratio:.3} times the time without (batches that take turns)"));
    diagnosis.end();
    drop(thread.join());
}

/// The time of a flood with diagnosis by that without, in batches that take turns: what else the machine does meets both.
fn ratio(gateways: &[Arc<Gateway<Answering>>; 2], deliver: &dyn Fn(&Gateway<Answering>) -> Reply) -> f64 {
    let mut taken = [Duration::ZERO; 2];
    for batch in 0..2 * BATCHES {
        let began = Instant::now();
        for _ in 0..BATCH {
            std::hint::black_box(deliver(&gateways[batch % 2]));
        }
        taken[batch % 2] += began.elapsed();
    }
    taken[1].as_secs_f64() / taken[0].as_secs_f64()
}

/// Deliveries a batch, and batches of each kind.
const BATCH: usize = 20;
const BATCHES: usize = 1_000;

fn one(criterion: &mut Criterion) {
    let policy = policy(&Limits::new(Capacity::default()));
    let source = policy.source("source-0").expect("a source");
    let mut group = criterion.benchmark_group("one diagnosis");
    group.sample_size(10);
    for (name, bytes) in [("7 KB", 7_000), ("1 MB", 1_000_000)] {
        let body = body(bytes);
        let (head, _) = forged(&body).into_parts();
        group.bench_function(name, |bencher| bencher.iter(|| policy.diagnose(source, &head, Some(&body), 0)));
    }
    group.finish();
}

criterion_group!(benches, flood, one);
criterion_main!(benches);
