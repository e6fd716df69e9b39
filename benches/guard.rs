//! What the guard adds to a delivery in HTTP/1: a GitHub push of 7 KB, head and body, beside the parser behind it.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use hookward::edge::guard::head::Limits;
use hookward::edge::guard::messages::Messages;

/// The head as GitHub sends it.
const HEAD: &str = "POST /hooks/github HTTP/1.1\r\n\
    Host: hooks.example.com\r\n\
    User-Agent: GitHub-Hookshot/044aadd\r\n\
    Content-Length: 7000\r\n\
    Accept: */*\r\n\
    Accept-Encoding: deflate, gzip\r\n\
    Content-Type: application/json\r\n\
    X-GitHub-Delivery: 72d3162e-cc78-11e3-81ab-4c9367dc0958\r\n\
    X-GitHub-Event: push\r\n\
    X-GitHub-Hook-ID: 292430182\r\n\
    X-GitHub-Hook-Installation-Target-ID: 79929171\r\n\
    X-GitHub-Hook-Installation-Target-Type: repository\r\n\
    X-Hub-Signature: sha1=7d38cdd689735b008b3c702edd92eea23791c5f6\r\n\
    X-Hub-Signature-256: sha256=d57c68ca6f92289e6987922ff26938930f6e66a2d161ef06abdf1859230aa23c\r\n\
    \r\n";

const BODY_BYTES: usize = 7_000;

fn guard(criterion: &mut Criterion) {
    let limits = Limits { head_bytes_max: 16 * 1024, headers_max: 64, uri_bytes_max: 2048 };
    let mut bytes = HEAD.as_bytes().to_vec();
    bytes.resize(HEAD.len() + BODY_BYTES, b' ');
    let mut messages = Messages::new(limits);
    assert_eq!(messages.follow(&bytes).good, bytes.len());
    let mut group = criterion.benchmark_group("guard");
    group.bench_function("push7k", |bencher| bencher.iter(|| messages.follow(black_box(&bytes)).good));
    group.bench_function("push7k parsed by httparse", |bencher| {
        bencher.iter(|| {
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut request = httparse::Request::new(&mut fields);
            request.parse(black_box(&bytes)).expect("a request").is_complete()
        });
    });
    group.finish();
}

criterion_group!(benches, guard);
criterion_main!(benches);
