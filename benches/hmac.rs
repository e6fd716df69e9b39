//! Verifying a GitHub signature, beside the bare computation of the MAC.

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hmac::{Hmac, KeyInit as _, Mac as _};
use hookward::auth::key::{KeyKind, NamedSecret};
use hookward::auth::sign::{Unsigned, sign};
use hookward::auth::{Head, Verifier};
use hookward::policy::preset;
use hookward::secret::Secret;
use http::{HeaderMap, Method, Uri};
use sha2::Sha256;

const SECRET: &[u8] = b"a-secret-for-the-benchmark";

fn hmac(criterion: &mut Criterion) {
    let scheme = preset::find("github").expect("the preset").signing.schemes().first().expect("its scheme");
    let secret = || {
        let secret = Secret::new(SECRET.to_vec());
        NamedSecret { id: "bench".into(), secret, expires: None, kind: KeyKind::Secret }
    };
    let verifier = Verifier::new("github", std::slice::from_ref(scheme), &[secret()]).expect("a verifier");
    let (method, uri) = (Method::POST, Uri::from_static("/hooks/github"));
    let mut group = criterion.benchmark_group("hmac");
    for size in [100, 7_000, 25_000] {
        let body = Bytes::from(vec![b'x'; size]);
        let unsigned = Unsigned {
            method: method.clone(),
            uri: uri.clone(),
            headers: HeaderMap::new(),
            public_url: None,
            body: &body,
            now: 0,
        };
        let headers = sign(scheme, &secret(), unsigned).expect("a signature").headers;
        group.throughput(Throughput::Bytes(size as u64));
        let prepared = Hmac::<Sha256>::new_from_slice(SECRET).expect("a key");
        group.bench_function(format!("bare {size}"), |bencher| {
            bencher.iter(|| prepared.clone().chain_update(&body).finalize());
        });
        group.bench_function(format!("verify {size}"), |bencher| {
            bencher.iter(|| {
                let head = Head { method: &method, uri: &uri, headers: &headers, public_url: None };
                let credential = verifier.read(head, 0).expect("a credential");
                verifier.verify(credential, &body, 0).expect("a proof").secret_id().len()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, hmac);
criterion_main!(benches);
