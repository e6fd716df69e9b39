//! The properties of `fuzz/`, asked of its corpora and of what lies near them: a fuzzer finds more, but not in every run.
//! `PROPTEST_CASES=100000` has it look longer.

#[path = "../fuzz/src/lib.rs"]
mod properties;

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

/// The inputs that `fuzz/corpus` has for a property.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let seeds = fs::read_dir(folder).expect("every property has a corpus");
    seeds.map(|seed| fs::read(seed.expect("it can be listed").path()).expect("it can be read")).collect()
}

/// What a fuzzer does to a seed.
#[derive(Debug, Clone)]
enum Mutation {
    Replace(u8),
    Insert(u8),
    Remove(usize),
    Repeat(usize),
    /// A piece of another seed.
    Graft(prop::sample::Index, prop::sample::Index, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(&b"{}[]\",:\\u0019eE+-.%&=~/#$\n\x7f"[..])];
    prop_oneof![
        byte.clone().prop_map(Mutation::Replace),
        byte.prop_map(Mutation::Insert),
        (1_usize..20).prop_map(Mutation::Remove),
        (1_usize..20).prop_map(Mutation::Repeat),
        (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1_usize..40)
            .prop_map(|(seed, at, length)| Mutation::Graft(seed, at, length)),
    ]
}

fn mutated(mut input: Vec<u8>, mutations: &[(prop::sample::Index, Mutation)], seeds: &[Vec<u8>]) -> Vec<u8> {
    for (at, mutation) in mutations {
        let at = at.index(input.len() + 1);
        let piece = |length: &usize| at..(at + length).min(input.len());
        match mutation {
            Mutation::Replace(byte) => input.get_mut(at).into_iter().for_each(|old| *old = *byte),
            Mutation::Insert(byte) => input.insert(at, *byte),
            Mutation::Remove(length) => drop(input.drain(piece(length))),
            Mutation::Repeat(length) => {
                let again = input[piece(length)].to_vec();
                input.splice(at..at, again);
            }
            Mutation::Graft(seed, from, length) => {
                let seed = seed.get(seeds);
                let from = from.index(seed.len() + 1);
                input.splice(at..at, seed[from..(from + length).min(seed.len())].iter().copied());
            }
        }
    }
    input
}

#[test]
fn every_property_holds_near_its_corpus() {
    for (name, property) in properties::ALL {
        let seeds = corpus(name);
        assert!(!seeds.is_empty(), "{name}");
        for seed in &seeds {
            property(seed);
        }
        let mutations = prop::collection::vec((any::<prop::sample::Index>(), mutation()), 0..8);
        let mut runner = TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() });
        let result = runner.run(&(any::<prop::sample::Index>(), mutations), |(seed, mutations)| {
            property(&mutated(seed.get(&seeds).clone(), &mutations, &seeds));
            Ok(())
        });
        result.unwrap_or_else(|fault| panic!("{name}: {fault}"));
    }
}
