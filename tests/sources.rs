//! What is said of the sources, held against them: who names which library, which modules know no runtime, what there is in `tests/`, and that every
//! reason can be a delivery's.
//!
//! The sources are read as text, without their comments and without their tests.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test may fail as the test itself may")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use hookward::reason::Reason;

const ARCHITECTURE: &str = include_str!("../ARCHITECTURE.md");

/// Reasons that the table promises and that nothing makes yet. What the end of a drain cuts off is told as `body_truncated` so far.
const MADE_NOWHERE: [Reason; 1] = [Reason::DeadlineExceeded];

#[test]
fn a_library_is_named_by_the_files_that_own_it_and_by_no_other() {
    let sources = sources();
    let claims = claims(after("so that one file moves when its API does:"));
    assert!(claims.len() > 15, "the paragraph was read: {claims:?}");
    for Claim { names, owners } in claims {
        for name in names {
            let name = name.replace('-', "_");
            let namers: BTreeSet<_> =
                sources.iter().filter(|source| source.names(&name)).map(|source| source.path.as_str()).collect();
            for namer in &namers {
                assert!(owners.iter().any(|owner| is_in(namer, owner)), "{name} is named by {namer}");
            }
            for owner in &owners {
                assert!(namers.iter().any(|namer| is_in(namer, owner)), "{name} is not named by {owner}");
            }
        }
    }
}

#[test]
fn what_judges_knows_neither_runtime_nor_http_library() {
    let (stated, _) = ARCHITECTURE.split_once(" know neither tokio nor hyper.").unwrap();
    let [modules, most, but] = quoted(stated.rsplit("\n\n").next().unwrap())[..] else {
        panic!("it is said otherwise")
    };
    let exception = format!("{most}/{but}.rs");
    let sources = sources();
    let judges = sources.iter().filter(|source| {
        let module = source.path.split(['/', '.']).next().unwrap();
        (module == most || modules.split(' ').any(|judging| judging == module)) && source.path != exception
    });
    let mut judged = 0;
    for source in judges {
        for library in ["tokio", "hyper"] {
            assert!(!source.names(library), "{} names {library}", source.path);
        }
        judged += 1;
    }
    assert!(judged > 80, "the sources were looked through: {judged}");
    assert!(sources.iter().any(|source| source.path == exception && source.names("tokio")), "{exception}");
}

#[test]
fn every_entry_of_the_tests_has_its_word_in_the_architecture() {
    let told = quoted(after("and `tests/`:"));
    for entry in fs::read_dir(root("tests")).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let name = if entry.path().is_dir() { format!("{name}/") } else { name };
        assert!(told.contains(&name.as_str()), "ARCHITECTURE.md does not tell of tests/{name}");
    }
}

/// A reason that stands in the table alone would be a promise to operators that nothing keeps.
#[test]
fn every_reason_is_made_somewhere() {
    let sources = sources();
    for reason in Reason::all() {
        let name = format!("Reason::{reason:?}");
        let is_made = sources.iter().any(|source| source.path != "reason.rs" && has_word(&source.code, &name));
        assert_eq!(is_made, !MADE_NOWHERE.contains(&reason), "{name}");
    }
}

#[test]
fn words_and_paths_are_read_as_they_are_meant() {
    for (code, is_named) in [
        ("use toml::de;", true),
        ("(toml::read())", true),
        ("use my_toml::de;", false),
        ("use super::toml::de;", false),
        ("toml();", false),
    ] {
        let source = Source { path: String::new(), code: code.to_owned() };
        assert_eq!(source.names("toml"), is_named, "{code}");
    }
    assert!(has_word("x(Reason::Panic)", "Reason::Panic") && !has_word("Reason::Panics", "Reason::Panic"));
    assert_eq!(expanded("a/{b,c/d}.rs"), ["a/b.rs", "a/c/d.rs"]);
    assert_eq!(expanded("a/b.rs"), ["a/b.rs"]);
    assert!(is_in("a/b.rs", "a/b.rs") && is_in("a/b.rs", "a/") && !is_in("a/b.rs", "a/c.rs"));
    let code = "use a::b;\n    // c::d\nfn e() {}\n\n#[cfg(test)]\nmod tests {\n    use f::g;\n}\n";
    assert_eq!(without_comments_and_tests(code), "use a::b;\nfn e() {}\n\n#[cfg(test)]\n");
    assert_eq!(without_comments_and_tests("#[cfg(test)]\nmod tests;\n"), "#[cfg(test)]\nmod tests;\n");
}

/// Libraries, and the files and folders that may name them.
#[derive(Debug, Default)]
struct Claim {
    names: Vec<&'static str>,
    owners: Vec<String>,
}

/// What is quoted, in order: names, then where they are named, then the next names.
fn claims(paragraph: &'static str) -> Vec<Claim> {
    let mut claims: Vec<Claim> = Vec::new();
    for word in quoted(paragraph) {
        let is_path = word.contains(['/', '.']);
        match claims.last_mut() {
            Some(claim) if is_path => claim.owners.extend(expanded(word)),
            Some(claim) if claim.owners.is_empty() => claim.names.push(word),
            None | Some(_) => claims.push(Claim { names: vec![word], owners: Vec::new() }),
        }
    }
    claims
}

/// What stands in the architecture from there to the end of the paragraph.
fn after(start: &str) -> &'static str {
    let (_, rest) = ARCHITECTURE.split_once(start).unwrap_or_else(|| panic!("ARCHITECTURE.md does not say {start:?}"));
    rest.split("\n\n").next().unwrap_or_default()
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// `a/{b,c}.rs` as paths.
fn expanded(path: &str) -> Vec<String> {
    let parts = path.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)));
    let Some((before, (several, behind))) = parts else { return vec![path.to_owned()] };
    several.split(',').map(|one| format!("{before}{one}{behind}")).collect()
}

/// Whether a file is this one, or in this folder.
fn is_in(file: &str, owner: &str) -> bool {
    file == owner || owner.ends_with('/') && file.starts_with(owner)
}

/// A file of `src`.
struct Source {
    /// Below `src`.
    path: String,
    code: String,
}

impl Source {
    /// Whether something of this crate, or of this module of a crate, is named.
    fn names(&self, library: &str) -> bool {
        let path = format!("{library}::");
        self.code.match_indices(&path).any(|(at, _)| !self.code[..at].ends_with(is_of_path))
    }
}

const fn is_of_path(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':')
}

/// Whether it stands there and does not go on.
fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| !code[at + word.len()..].starts_with(is_of_path))
}

fn sources() -> Vec<Source> {
    let (top, mut files) = (root("src"), Vec::new());
    collect(&top, &mut files);
    let read = |path: &PathBuf| Source {
        path: path.strip_prefix(&top).unwrap().to_str().unwrap().to_owned(),
        code: without_comments_and_tests(&fs::read_to_string(path).unwrap()),
    };
    let sources: Vec<_> = files.iter().map(read).collect();
    assert!(sources.len() > 150, "the sources were read: {} files", sources.len());
    sources
}

/// All files of Rust but those that are tests: `tests.rs`, and what is in `tests/`.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.file_stem().is_some_and(|name| name == "tests") {
            continue;
        }
        if entry.is_dir() {
            collect(&entry, files);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            files.push(entry);
        }
    }
}

/// Tests stand last in a file.
fn without_comments_and_tests(text: &str) -> String {
    let code = text.lines().take_while(|line| *line != "mod tests {");
    code.filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line, "\n"]).collect()
}

fn root(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}
