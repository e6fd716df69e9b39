//! One delivery through the whole pipeline in process: no sockets, an upstream that answers at once.

#[path = "../tests/kit/answering.rs"]
mod answering;
#[path = "../tests/kit/shared.rs"]
mod shared;

use std::convert::Infallible;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use answering::Answering;
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hookward::admit::{Capacity, Limits};
use hookward::auth::key::{KeyKind, NamedSecret};
use hookward::auth::sign::{Unsigned, sign};
use hookward::clock::Clock;
use hookward::delivery::HostMatch;
use hookward::forward::request::Protocol;
use hookward::gateway::{Arrival, Commitment, Gateway};
use hookward::policy::Policy;
use hookward::policy::gateway_config::PoliciesConfig;
use hookward::policy::load::{self, Loaded};
use hookward::policy::preset;
use hookward::policy::secrets::{Resolved, Resolver, SecretFault};
use hookward::policy::source_config::SecretPlace;
use hookward::policy::table::Spanned;
use hookward::reason::Level;
use hookward::secret::Secret;
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::Full;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SECRET: &str = "a-secret-for-the-benchmark";

struct OneSecret;

impl Resolver for OneSecret {
    fn resolve(&self, _place: &SecretPlace) -> Result<Resolved, SecretFault> {
        Ok(Resolved::Secret(Secret::new(SECRET.into())))
    }
}

/// A policy for GitHub with everything on and limits that never bind.
fn policy(limits: &Limits) -> Policy {
    let folder = tempfile::tempdir().expect("a folder");
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/schemas/github/push.json");
    fs::copy(schema, folder.path().join("push.json")).expect("the schema");
    let text = r#"
path = "/hooks/github"
[auth]
provider = "github"
secrets = [{ id = "bench", env = "SECRET" }]
[limit]
client = { per_second = 1_000_000, burst = 1_000_000 }
source = { per_second = 1_000_000, burst = 1_000_000 }
failures = { per_minute = 100_000, block_seconds = 1 }
in_flight_max = 10_000
[replay]
on_duplicate = "forward"
[event.schema]
push = "push.json"
[sanitize]
unknown_fields = "drop"
control_characters = "drop"
prototype_keys = "drop"
[forward]
to = "http://127.0.0.1:9/"
"#;
    fs::write(folder.path().join("github.toml"), text).expect("the policy");
    let directory = Spanned { value: folder.path().to_owned(), span: 0..0 };
    let mut loaded = Loaded::default();
    let policy = load::load(&PoliciesConfig { directory, strict: false }, &OneSecret, limits, &mut loaded);
    policy.expect("a policy without error")
}

fn gateway() -> Arc<Gateway<Answering>> {
    let limits = Limits::new(Capacity::default());
    let policy = policy(&limits);
    let clock = Clock::system();
    let telemetry = shared::telemetry(&clock, Level::Info, Box::new(io::sink()));
    Gateway::new(shared::shared(policy, limits, clock), Answering, telemetry.recorder())
}

/// A push whose size is nearest to 7 KB.
fn push() -> Bytes {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/github");
    let files = (1..=7).map(|number| fs::read(folder.join(format!("push.{number}.json"))).expect("a push"));
    files.min_by_key(|body| body.len().abs_diff(7_000)).expect("a push").into()
}

fn headers(body: &Bytes) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "hooks.example.test"),
        ("user-agent", "GitHub-Hookshot/044aadd"),
        ("accept", "*/*"),
        ("content-type", "application/json"),
        ("x-github-event", "push"),
        ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        ("x-github-hook-id", "292430182"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("content-length", HeaderValue::from(body.len()));
    let secret = Secret::new(SECRET.into());
    let secret = NamedSecret { id: "bench".into(), secret, expires: None, kind: KeyKind::Secret };
    let scheme = preset::find("github").expect("the preset").signing.schemes().first().expect("its scheme");
    let unsigned = Unsigned {
        method: Method::POST,
        uri: "/hooks/github".parse().expect("a path"),
        headers,
        public_url: None,
        body,
        now: 0,
    };
    sign(scheme, &secret, unsigned).expect("a signature").headers
}

fn request(headers: &HeaderMap, body: &Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = "/hooks/github".parse().expect("a path");
    *request.headers_mut() = headers.clone();
    request
}

fn pipeline(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let gateway = gateway();
    let arrival = Arrival { peer: ([127, 0, 0, 1], 1).into(), protocol: Protocol::Https, host: HostMatch::Served };
    let body = push();
    let good = headers(&body);
    let mut bad = good.clone();
    bad.insert(
        "x-hub-signature-256",
        HeaderValue::from_static("sha256=0000000000000000000000000000000000000000000000000000000000000000"),
    );
    let deliver = |headers: &HeaderMap| {
        let commitment = Commitment::default();
        let reply = gateway.deliver(request(headers, &body), &arrival, &commitment);
        Ok::<_, Infallible>(runtime.block_on(reply).status().as_u16())
    };
    assert_eq!(deliver(&good), Ok(200));
    assert_eq!(deliver(&bad), Ok(401));
    let mut group = criterion.benchmark_group("pipeline");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("push7k forwarded", |bencher| bencher.iter(|| deliver(&good)));
    group.bench_function("push7k refused", |bencher| bencher.iter(|| deliver(&bad)));
    group.finish();
}

criterion_group!(benches, pipeline);
criterion_main!(benches);
