//! How long a payload takes to be judged by its schema.
//!
//! GitHub's own schemas and recorded payloads, read when the benchmark runs. `fits` is the path of almost every delivery;
//! `misses` also collects and masks the errors. `Value` is the same schema over a tree of `serde_json`, without its parsing.

use std::fs;
use std::hint::black_box;
use std::path::Path;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hookward::payload::schema::Schema;
use hookward::payload::{Document, JsonLimits};
use serde_json::Value;

const PAYLOADS: [(&str, &str); 2] = [("push", "push.1.json"), ("pull_request", "pull_request.opened.json")];

fn schema(criterion: &mut Criterion) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let schemas = root.join("policies/schemas/github");
    let mut group = criterion.benchmark_group("schema");
    for (event, payload) in PAYLOADS {
        let file = schemas.join(format!("{event}.json"));
        let schema = Schema::load(&file, &schemas).expect("a schema of ours loads");
        let text = fs::read(root.join("tests/data/github").join(payload)).expect("a recorded payload");
        let length = text.len();
        group.throughput(Throughput::Bytes(length as u64));

        let document = Document::read(Bytes::from(text.clone()), JsonLimits::default()).expect("JSON");
        assert!(schema.check(&document).is_ok(), "{payload} fits");
        group.bench_function(format!("fits/{event} {length} B"), |bencher| {
            bencher.iter(|| schema.check(black_box(&document)));
        });

        let value: Value = serde_json::from_slice(&text).expect("JSON");
        let keywords: Value = serde_json::from_slice(&fs::read(&file).expect("a schema of ours")).expect("JSON");
        let validator = jsonschema::options().should_validate_formats(true).build(&keywords).expect("a schema");
        group.bench_function(format!("Value/{event} {length} B"), |bencher| {
            bencher.iter(|| validator.is_valid(black_box(&value)));
        });

        let broken = String::from_utf8(text).expect("UTF-8").replacen("\"private\":", "\"Private\":", 1);
        let broken = Document::read(broken.into(), JsonLimits::default()).expect("JSON");
        assert!(schema.check(&broken).is_err(), "{payload} without a required member");
        group.bench_function(format!("misses/{event} {length} B"), |bencher| {
            bencher.iter(|| schema.check(black_box(&broken)));
        });
    }
    group.finish();
}

criterion_group!(benches, schema);
criterion_main!(benches);
