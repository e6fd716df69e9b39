//! How long a payload takes to be cleaned, rule by rule.
//!
//! GitHub's own schemas and recorded payloads, read when the benchmark runs. `clean` payloads are what almost every delivery
//! is: nothing is found, nothing is copied. `dirty` has one undeclared member and one control character.

use std::fs;
use std::hint::black_box;
use std::path::Path;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hookward::payload::declared::Membership;
use hookward::payload::schema::Schema;
use hookward::payload::{Document, JsonLimits};
use hookward::sanitize::{Action, Formula, Rules};

const PAYLOADS: [(&str, &str); 2] = [("push", "push.1.json"), ("pull_request", "pull_request.opened.json")];

const ALL: Rules = Rules {
    unknown_fields: Action::Drop,
    control_characters: Action::Drop,
    bidi_controls: Action::Drop,
    zero_width: Action::Drop,
    prototype_keys: Action::Drop,
    operator_keys: Action::Drop,
    formula: Formula::Escape,
};

fn sanitize(criterion: &mut Criterion) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let schemas = root.join("policies/schemas/github");
    let rules = [
        ("unknown_fields", Rules { unknown_fields: Action::Drop, ..Rules::default() }),
        ("control_characters", Rules { control_characters: Action::Drop, ..Rules::default() }),
        ("bidi_controls", Rules { bidi_controls: Action::Drop, ..Rules::default() }),
        ("zero_width", Rules { zero_width: Action::Drop, ..Rules::default() }),
        ("operator_keys", Rules { operator_keys: Action::Drop, ..Rules::default() }),
        ("formula", Rules { formula: Formula::Escape, ..Rules::default() }),
        ("prototype_keys", Rules { prototype_keys: Action::Drop, ..Rules::default() }),
        ("all", ALL),
    ];
    let mut group = criterion.benchmark_group("sanitize");
    for (event, payload) in PAYLOADS {
        let schema = Schema::load(&schemas.join(format!("{event}.json")), &schemas).expect("a schema of ours loads");
        let text = fs::read(root.join("tests/data/github").join(payload)).expect("a recorded payload");
        let length = text.len();
        group.throughput(Throughput::Bytes(length as u64));
        let clean = Document::read(Bytes::from(text.clone()), JsonLimits::default()).expect("JSON");
        for (name, rules) in rules {
            let cleaned =
                rules.clean(&clean, Some(schema.declared()), Membership::Unasked).expect("nothing is refused");
            assert!(cleaned.report.is_empty(), "{payload} is clean");
            group.bench_function(format!("clean/{name}/{event} {length} B"), |bencher| {
                bencher.iter(|| rules.clean(black_box(&clean), Some(schema.declared()), Membership::Unasked));
            });
        }
        let dirty = String::from_utf8(text).expect("UTF-8").replacen('{', r#"{"undeclared":"\u0000","#, 1);
        let dirty = dirty.replacen(r#""login":""#, r#""login":"\u0007"#, 1);
        let dirty = Document::read(dirty.into(), JsonLimits::default()).expect("JSON");
        let cleaned = ALL.clean(&dirty, Some(schema.declared()), Membership::Unasked).expect("nothing is refused");
        assert!(cleaned.report.count() >= 1, "{payload} was made dirty");
        group.bench_function(format!("dirty/all/{event} {length} B"), |bencher| {
            bencher.iter(|| ALL.clean(black_box(&dirty), Some(schema.declared()), Membership::Unasked));
        });
    }
    group.finish();
}

criterion_group!(benches, sanitize);
criterion_main!(benches);
