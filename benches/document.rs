//! How long a body takes to become a `Document`, beside the readers that people take instead; and what the dearest bodies take.
//!
//! Real payloads of GitHub, chosen by size when the benchmark runs, and a small one as pollers and heartbeats send it.
//! `Document::read` checks UTF-8, grammar, limits and double names; `serde_json`'s `Value`, simd-json's tape and sonic-rs' `Value`
//! check the first two. simd-json writes over its input: the copy that it needs is not in its time.

use std::fs;
use std::hint::black_box;
use std::path::Path;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
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
        group.bench_function(format!("serde_json Value/{name}"), |bencher| {
            bencher.iter(|| serde_json::from_slice::<serde_json::Value>(black_box(&body)));
        });
        group.bench_function(format!("simd-json tape/{name}"), |bencher| {
            let read = |mut body: Vec<u8>| simd_json::to_tape(black_box(&mut body)).map(|tape| tape.0.len());
            bencher.iter_batched(|| body.to_vec(), read, BatchSize::SmallInput);
        });
        group.bench_function(format!("sonic-rs Value/{name}"), |bencher| {
            bencher.iter(|| sonic_rs::from_slice::<sonic_rs::Value>(black_box(&body)));
        });
    }
    group.finish();
}

/// Bodies that ask for the most work a byte, each as long as a body may be by default.
fn hostile(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hostile");
    group.sample_size(20);
    for (name, body) in dearest() {
        let body = Bytes::from(body);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("Document/{name}"), |bencher| {
            bencher.iter(|| Document::read(black_box(&body).clone(), ROOMY));
        });
    }
    group.finish();
}

/// No limit but the body's length ends the reading early.
const ROOMY: JsonLimits = JsonLimits { depth_max: 1024, nodes_max: 4_000_000, members_max: 1_000_000 };

/// The default of `body_bytes_max`.
const BODY_BYTES: usize = 1024 * 1024;

fn dearest() -> Vec<(&'static str, String)> {
    let filled = |open: &str, piece: &dyn Fn(usize) -> String, close: &str| {
        let mut body = open.to_owned();
        for index in 0.. {
            let piece = piece(index);
            if body.len() + piece.len() + close.len() > BODY_BYTES {
                return body.trim_end_matches(',').to_owned() + close;
            }
            body += &piece;
        }
        body
    };
    let nested = "[".repeat(60) + &"]".repeat(60) + ",";
    vec![
        ("digits apart", filled("[", &|_| "0,".to_owned(), "]")),
        ("empty strings", filled("[", &|_| "\"\",".to_owned(), "]")),
        ("empty objects", filled("[", &|_| "{},".to_owned(), "]")),
        ("nested arrays", filled("[", &|_| nested.clone(), "]")),
        ("escapes", filled("\"", &|_| "\\u00e9".to_owned(), "\"")),
        ("surrogate pairs", filled("\"", &|_| "\\ud83e\\udd80".to_owned(), "\"")),
        ("escapes among plain text", filled("\"", &|_| "aaaaaaa\\n".to_owned(), "\"")),
        ("one object of short names", filled("{", &|index| format!("\"{index:x}\":0,"), "}")),
        ("one object of escaped names", filled("{", &|index| format!("\"\\u0061{index:x}\":0,"), "}")),
        ("small objects of alike names", filled("[", &|_| "{\"a\":0,\"b\":0,\"c\":0,\"d\":0},".to_owned(), "]")),
        ("white space", filled("[0", &|_| " ".to_owned(), "]")),
        ("letters of three bytes", filled("\"", &|_| "\u{20ac}".to_owned(), "\"")),
        ("one number", filled("", &|_| "9".to_owned(), "")),
    ]
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

criterion_group!(benches, document, hostile);
criterion_main!(benches);
