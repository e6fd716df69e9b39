//! What the gateway is built from: one crypto backend, nothing unmaintained, nothing older than the last known fix.
//!
//! `Cargo.lock` is read by a parser of a few lines, so this needs no tool and no network. The tables are kept by hand and looked
//! through at each release; `deny.toml` says the same to `cargo deny`, for those who have it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test may fail as the test itself may")]

use std::collections::BTreeMap;
use std::process::Command;

/// The least version of a crate that has all fixes: crate, version, advisory.
///
/// A crate that is not used has its row all the same: the day somebody adds it, it is new enough.
const MINIMUM: [(&str, &str, &str); 20] = [
    ("aws-lc-sys", "0.39.0", "RUSTSEC-2026-0044 to -0048: X.509"),
    ("bytes", "1.11.1", "RUSTSEC-2026-0007: memory safety"),
    ("crossbeam-channel", "0.5.15", "RUSTSEC-2025-0024: memory safety"),
    ("curve25519-dalek", "4.1.3", "RUSTSEC-2024-0344: timing"),
    ("h2", "0.4.16", "RUSTSEC-2026-0258: a queue of empty DATA frames; floods of resets and CONTINUATION before it"),
    ("http", "0.1.20", "RUSTSEC-2019-0033: a panic in the header map"),
    ("hyper", "0.14.10", "RUSTSEC-2021-0078, -0079: lenient lengths, chunk overflow"),
    ("idna", "1.0.0", "RUSTSEC-2024-0421: names that only look different"),
    ("lru", "0.18.2", "RUSTSEC-2026-0002, -0253: memory safety"),
    ("lz4_flex", "0.11.6", "RUSTSEC-2026-0041: memory safety"),
    ("memmap2", "0.9.11", "RUSTSEC-2026-0186: memory safety"),
    ("oneshot", "0.1.12", "RUSTSEC-2026-0005: memory safety"),
    ("protobuf", "3.7.2", "RUSTSEC-2024-0437: unbounded recursion"),
    ("regex", "1.5.5", "RUSTSEC-2022-0013: huge repetitions compile slowly"),
    ("ring", "0.17.0", "what is older is unmaintained"),
    ("rustls", "0.23.18", "RUSTSEC-2024-0336, -0399: an endless handshake, a panic in the acceptor"),
    ("rustls-webpki", "0.103.13", "RUSTSEC-2026-0049, -0098, -0099, -0104: revocation lists, name constraints"),
    ("slab", "0.4.11", "RUSTSEC-2025-0047: memory safety"),
    ("time", "0.3.47", "RUSTSEC-2026-0009: recursion in RFC 2822 dates"),
    ("tracing-subscriber", "0.3.20", "RUSTSEC-2025-0055: terminal sequences in logs"),
];

/// Crates that may not even be locked, and why.
const BANNED: [(&str, &str); 8] = [
    ("native-tls", "TLS is rustls alone"),
    ("openssl", "the one crypto backend is aws-lc-rs"),
    ("openssl-sys", "the one crypto backend is aws-lc-rs"),
    ("async-std", "unmaintained"),
    ("rsa", "RUSTSEC-2023-0071: timing of private operations, no fix"),
    ("rustls-pemfile", "RUSTSEC-2025-0134: unmaintained; rustls-pki-types reads PEM"),
    ("serde_yaml", "unmaintained; configuration is TOML"),
    ("serde_yml", "RUSTSEC-2025-0068: unsound; configuration is TOML"),
];

/// Crates that may be locked, as an option of somebody's, but not built: crate, why.
const NEVER_BUILT: [(&str, &str); 2] = [
    ("ring", "the one crypto backend is aws-lc-rs"),
    ("reqwest", "nothing is fetched: schemas stay inside their directory"),
];

/// Big crates, or crates whose types cross ours: two versions of one would be two of everything.
const ONCE: [&str; 17] = [
    "aws-lc-rs",
    "aws-lc-sys",
    "bytes",
    "h2",
    "http",
    "http-body",
    "hyper",
    "hyper-util",
    "jsonschema",
    "regex-automata",
    "rustls",
    "rustls-pki-types",
    "rustls-webpki",
    "serde",
    "serde_json",
    "tokio",
    "tower",
];

#[test]
fn no_crate_is_older_than_its_last_known_fix() {
    let locked = locked();
    for (name, least, advisory) in MINIMUM {
        for version in locked.get(name).into_iter().flatten() {
            assert!(version >= &parsed(least), "{name} {version:?} is below {least} ({advisory})");
        }
    }
}

#[test]
fn unmaintained_crates_and_other_crypto_backends_are_not_locked() {
    let locked = locked();
    assert!(locked.contains_key("aws-lc-rs"), "aws-lc-rs is the crypto backend");
    for (name, why) in BANNED {
        assert!(!locked.contains_key(name), "{name} is locked: {why}");
    }
}

#[test]
fn big_crates_are_there_once() {
    let locked = locked();
    for name in ONCE {
        let versions = locked.get(name).map_or(0, Vec::len);
        assert_eq!(versions, 1, "{name} is locked in {versions} versions");
    }
}

#[test]
fn everything_comes_from_the_registry() {
    for (name, source) in packages().map(|package| (package.name, package.source)) {
        let known = source.is_none_or(|source| source.starts_with("registry+"));
        assert!(known, "{name} comes from {source:?}");
        assert!(source.is_some() || name == "hookward", "{name} comes from this machine");
    }
}

/// The lock also holds what is only an option of a dependency (rustls-webpki's `ring`); what is really built, cargo tells.
#[test]
fn no_second_crypto_backend_is_built() {
    let built = built();
    assert!(built.iter().any(|name| name == "aws-lc-rs"), "cargo tree lists what is built: {built:?}");
    for (name, why) in NEVER_BUILT {
        assert!(!built.iter().any(|built| built == name), "{name} is built: {why}");
    }
}

/// `serde_json` would let member names of a sender stand for numbers or raw text (`$serde_json::private::…`). `arbitrary_precision` is wanted by the
/// schema check and harmless, since a sender's bytes never enter `serde_json`; nobody may switch on the rest.
#[test]
fn serde_json_has_no_magic_members_besides_exact_numbers() {
    let tree = cargo_tree(&["--edges", "normal,features", "--invert", "serde_json"]);
    for feature in ["raw_value", "unbounded_depth"] {
        assert!(!tree.contains(&format!("serde_json feature \"{feature}\"")), "{feature} is on:\n{tree}");
    }
}

#[test]
fn versions_are_compared_as_numbers() {
    let rows = [("0.4.9", "0.4.11"), ("0.23.9", "0.23.18"), ("1.9.9", "1.10.0"), ("0.103.13", "0.103.14")];
    for (lower, higher) in rows {
        assert!(parsed(lower) < parsed(higher), "{lower} {higher}");
    }
    assert_eq!(parsed("1.0.0+spec-1.1.0"), parsed("1.0.0"));
    assert_eq!(parsed("1.0.0-rc.1"), parsed("1.0.0"));
}

/// One `[[package]]` of the lock.
struct Package {
    name: &'static str,
    version: &'static str,
    source: Option<&'static str>,
}

const LOCK: &str = include_str!("../Cargo.lock");

fn packages() -> impl Iterator<Item = Package> {
    let tables = LOCK.split("[[package]]").skip(1);
    tables.map(|table| {
        let value = |key: &str| {
            let mut lines = table.lines();
            lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"'))
        };
        let required = |key: &str| value(key).unwrap_or_else(|| panic!("a package without {key}:{table}"));
        Package { name: required("name"), version: required("version"), source: value("source") }
    })
}

fn locked() -> BTreeMap<&'static str, Vec<[u64; 3]>> {
    let mut locked: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for package in packages() {
        locked.entry(package.name).or_default().push(parsed(package.version));
    }
    assert!(locked.len() > 100, "the lock was read: {} crates", locked.len());
    locked
}

/// Major, minor and patch; what follows them does not count.
fn parsed(version: &str) -> [u64; 3] {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<u64> = core.split('.').map(|number| number.parse().unwrap()).collect();
    numbers.try_into().unwrap_or_else(|_| panic!("{version} has no three numbers"))
}

/// The names of all crates that a release build on this platform takes.
fn built() -> Vec<String> {
    let tree = cargo_tree(&["--edges", "normal,build", "--prefix", "none", "--format", "{p}"]);
    tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

fn cargo_tree(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--color", "never"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
