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
use hookward::payload::patterns::Pattern;
use hookward::payload::schema::Schema;
use hookward::payload::{Document, JsonLimits};
use hookward::sanitize::{
    Action, Deed, Formula, Html, Normalize, PlaceRule, Places, Pseudonyms, Rules, Sanitizer, Unwanted,
};
use hookward::secret::Secret;

const PAYLOADS: [(&str, &str); 2] = [("push", "push.1.json"), ("pull_request", "pull_request.opened.json")];

const ALL: Rules = Rules {
    unknown_fields: Action::Drop,
    control_characters: Action::Drop,
    bidi_controls: Action::Drop,
    zero_width: Action::Drop,
    prototype_keys: Action::Drop,
    operator_keys: Action::Drop,
    formula: Formula::Escape,
    normalize: Normalize::Nfc,
    html: Html::Strip,
};

/// Rules for places, by what they do.
fn places() -> Vec<(&'static str, Vec<(&'static str, Deed)>)> {
    let hash = Deed::Hash(Pseudonyms::new(Some(&Secret::new(vec![7; 32]))));
    let unwanted = Deed::RefuseIf(Unwanted::parse("(?i)union\\s+select").expect("a pattern"));
    vec![
        ("nothing found", vec![("/no/such/place", Deed::Drop)]),
        ("nothing found at any depth", vec![("/**/no_such_name", Deed::Drop)]),
        ("drop", vec![("/sender", Deed::Drop)]),
        ("mask one", vec![("/sender/login", Deed::Mask(2))]),
        ("hash one", vec![("/sender/login", hash.clone())]),
        ("hash at any depth", vec![("/**/login", hash)]),
        ("refuse_if everywhere", vec![("", unwanted)]),
    ]
}

/// 16 patterns of many steps, all of which every level of a deep body may be on the way of.
fn hostile() -> Sanitizer {
    let at = Pattern::parse(&"/**/a/*".repeat(5)).expect("a pattern");
    let rules: Vec<_> = (0..16).map(|_| PlaceRule { at: at.clone(), deeds: vec![Deed::Truncate(1)] }).collect();
    Sanitizer::new(Rules::default(), Some(Places::new(&rules, &[]).expect("they fit")))
}

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
        ("normalize", Rules { normalize: Normalize::Nfc, ..Rules::default() }),
        ("html", Rules { html: Html::Strip, ..Rules::default() }),
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
            let rules = Sanitizer::from(rules);
            let cleaned =
                rules.clean(&clean, Some(schema.declared()), Membership::Unasked).expect("nothing is refused");
            assert!(cleaned.report.is_empty(), "{payload} is clean");
            group.bench_function(format!("clean/{name}/{event} {length} B"), |bencher| {
                bencher.iter(|| rules.clean(black_box(&clean), Some(schema.declared()), Membership::Unasked));
            });
        }
        for (name, rules) in places() {
            let rule = |(at, deed)| PlaceRule { at: Pattern::parse(at).expect("a pattern"), deeds: vec![deed] };
            let rules: Vec<_> = rules.into_iter().map(rule).collect();
            let rules = Sanitizer::new(Rules::default(), Some(Places::new(&rules, &[]).expect("they fit")));
            group.bench_function(format!("places/{name}/{event} {length} B"), |bencher| {
                bencher.iter(|| rules.clean(black_box(&clean), Some(schema.declared()), Membership::Unasked));
            });
        }
        let dirty = String::from_utf8(text).expect("UTF-8").replacen('{', r#"{"undeclared":"\u0000","#, 1);
        let dirty = dirty.replacen(r#""login":""#, r#""login":"\u0007"#, 1);
        let dirty = Document::read(dirty.into(), JsonLimits::default()).expect("JSON");
        let all = Sanitizer::from(ALL);
        let cleaned = all.clean(&dirty, Some(schema.declared()), Membership::Unasked).expect("nothing is refused");
        assert!(cleaned.report.count() >= 1, "{payload} was made dirty");
        group.bench_function(format!("dirty/all/{event} {length} B"), |bencher| {
            bencher.iter(|| all.clean(black_box(&dirty), Some(schema.declared()), Membership::Unasked));
        });
    }
    let hostile = hostile();
    for name in ["<", "<b ", "<!--", "<b>", "<script>"] {
        let text = format!("[\"{}\"]", name.repeat((1 << 20) / name.len()));
        let document = Document::read(text.into(), JsonLimits::default()).expect("JSON");
        let rules = Sanitizer::from(Rules { html: Html::Strip, normalize: Normalize::Nfc, ..Rules::default() });
        group.throughput(Throughput::Bytes(1 << 20));
        group.bench_function(format!("hostile/html {name}/1 MiB"), |bencher| {
            bencher.iter(|| rules.clean(black_box(&document), None, Membership::Unasked));
        });
    }
    for kibibytes in [256, 1_024_usize] {
        let deep = format!("{}1{},", r#"{"a":"#.repeat(60), "}".repeat(60));
        let count = kibibytes * 1_024 / deep.len();
        let text = format!("[{}0]", deep.repeat(count));
        group.throughput(Throughput::Bytes(text.len() as u64));
        let document = Document::read(text.into(), JsonLimits::default()).expect("JSON");
        group.bench_function(format!("hostile/places/{kibibytes} KiB"), |bencher| {
            bencher.iter(|| hostile.clean(black_box(&document), None, Membership::Unasked));
        });
    }
    let marks = format!("[\"{}\"]", "\u{301}".repeat(1 << 19));
    let document = Document::read(marks.into(), JsonLimits::default()).expect("JSON");
    let rules = Sanitizer::from(Rules { normalize: Normalize::Nfc, ..Rules::default() });
    group.throughput(Throughput::Bytes(1 << 20));
    group.bench_function("hostile/normalize/1 MiB", |bencher| {
        bencher.iter(|| rules.clean(black_box(&document), None, Membership::Unasked));
    });
    group.finish();
}

criterion_group!(benches, sanitize);
criterion_main!(benches);
