//! How long a body takes to become a `Document`, and how much longer it would take as a `serde_json::Value`.
//!
//! Real payloads of GitHub, chosen by size when the benchmark runs, and a small one as pollers and heartbeats send it.
//! `Document::read` checks UTF-8, grammar, limits and double names; `Value` checks the first two.

use std::fs;
use std::hint::black_box;
use std::path::Path;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hookward::payload::{Document, JsonLimits};

/// Sizes that the plan of the house measures at, in bytes.
const SIZES: [u64; 2] = [7 * 1024, 25 * 1024];

/// A hundred bytes.
const TICK: &str =
    r#"{"id":"evt_0001","type":"ping","live":true,"created":1700000000,"data":{"sequence":1,"note":"tick"}}"#;

fn document(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("document");
    for (name, body) in bodies() {
        let body = Bytes::from(body);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("Document/{name}"), |bencher| {
            bencher.iter(|| Document::read(black_box(&body).clone(), JsonLimits::default()));
        });
        group.bench_function(format!("Value/{name}"), |bencher| {
            bencher.iter(|| serde_json::from_slice::<serde_json::Value>(black_box(&body)));
        });
    }
    group.finish();
}

/// The small body, and for each size the recorded payload nearest to it.
fn bodies() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/github");
    let files: Vec<_> = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|file| file.path().extension().is_some_and(|extension| extension == "json"))
        .filter_map(|file| Some((file.metadata().ok()?.len(), file.path())))
        .collect();
    let recorded = SIZES.iter().filter_map(|size| {
        let (length, path) = files.iter().min_by_key(|(length, _)| length.abs_diff(*size))?;
        Some((format!("{} {length} B", path.file_stem()?.display()), fs::read(path).ok()?))
    });
    let mut bodies = vec![(format!("tick {} B", TICK.len()), TICK.as_bytes().to_vec())];
    bodies.extend(recorded);
    bodies
}

criterion_group!(benches, document);
criterion_main!(benches);
