//! Many sources: what loading costs is counted, and each is found by its path.

use std::cell::Cell;
use std::fs;

use hookward::admit::Limits;
use hookward::policy::load::SOURCES_MAX;
use hookward::policy::secrets::{Resolved, Resolver, SecretFault};
use hookward::policy::source_config::SecretPlace;

use crate::support::house::{Secrets, capacity, load};

const SOURCES: usize = 10_000;

/// Counts how often a secret is asked for.
#[derive(Default)]
struct Counting(Cell<usize>);

impl Resolver for Counting {
    fn resolve(&self, place: &SecretPlace) -> Result<Resolved, SecretFault> {
        self.0.set(self.0.get() + 1);
        Secrets.resolve(place)
    }
}

#[test]
fn ten_thousand_sources_load_with_one_look_at_each_secret_and_are_found_by_path() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("any.json"), r#"{"type":"object"}"#).unwrap();
    for number in 0..SOURCES {
        let policy = format!(
            "path = \"/hooks/{number}\"\n[auth]\nprovider = \"github\"\nsecrets = [{{ id = \"a\", env = \"S{number}\" }}]\n\
             [event.schema]\n\"*\" = \"any.json\"\n[forward]\nto = \"http://127.0.0.1:3000/{number}\"\n"
        );
        fs::write(folder.path().join(format!("source-{number}.toml")), policy).unwrap();
    }
    let resolver = Counting::default();
    let policy = load(folder.path(), &resolver, &Limits::new(capacity())).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!((policy.sources().len(), resolver.0.get()), (SOURCES, SOURCES));
    for number in 0..SOURCES {
        let source = policy.route(&format!("/hooks/{number}")).unwrap();
        assert_eq!(*source.name, *format!("source-{number}"));
        assert_eq!(source.forward.targets.first().target.path.path(), format!("/{number}"));
    }
    for path in ["/hooks/10000", "/hooks/", "/hooks/00", "/", ""] {
        assert!(policy.route(path).is_none(), "{path}");
    }
    const { assert!(SOURCES < SOURCES_MAX) };
}

#[test]
fn two_sources_on_one_path_do_not_load() {
    let policy = "path = \"/hooks/a\"\n[auth]\nprovider = \"github\"\nsecrets = [{ id = \"a\", env = \"S\" }]\n\
                  [forward]\nto = \"http://127.0.0.1:3000\"\n";
    let report = crate::support::house::load_text(&[("a.toml", policy), ("b.toml", policy)], &Secrets).unwrap_err();
    assert!(report.contains("b.toml:1:8") && report.contains("already taken by"), "{report}");
}
