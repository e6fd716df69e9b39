//! Where secrets are read, and who else can read them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

use crate::support::command::{Ran, hookward, ran, run};

const TEXT: &str = "an-integration-secret-0123";

/// A folder with one source whose `[auth]`, and what stands behind `[forward]`, is this.
fn folder(auth: &str, rest: &str) -> TempDir {
    let folder = TempDir::with_prefix("hookward-test-").unwrap();
    fs::create_dir(folder.path().join("policies")).unwrap();
    let policy = format!("path = \"/p\"\n[auth]\n{auth}\n[forward]\nto = \"http://127.0.0.1:9/\"\n{rest}\n");
    fs::write(folder.path().join("policies/p.toml"), policy).unwrap();
    configure(folder.path(), "");
    folder
}

fn configure(folder: &Path, more: &str) {
    fs::write(folder.join("hookward.toml"), format!("[policies]\ndirectory = \"policies\"\n{more}")).unwrap();
}

fn write(folder: &Path, name: &str, mode: u32) {
    let path = folder.join("policies").join(name);
    fs::write(&path, TEXT).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
}

const GITHUB: &str = "provider = \"github\"\nsecrets = [{ id = \"1\", file = \"secret\" }]";

#[test]
fn a_secret_file_that_others_can_read_is_a_warning_and_an_error_where_it_is_strict() {
    let folder = folder(GITHUB, "");
    let rows = [
        (0o600, "", 0),
        (0o400, "", 0),
        (0o604, "open to everybody on this machine (mode 604)", 1),
        (0o644, "open to everybody on this machine (mode 644)", 1),
        (0o602, "open to everybody on this machine (mode 602)", 1),
        (0o640, "open to its group (mode 640)", 0),
        (0o660, "open to its group (mode 660)", 0),
    ];
    for (mode, finding, strict) in rows {
        write(folder.path(), "secret", mode);
        for (more, code) in [("", 0), ("strict = true\n", strict)] {
            configure(folder.path(), more);
            let Ran { code: found, out, .. } = run(folder.path(), &["check"]);
            assert_eq!(found, code, "{mode:o} {more:?}: {out}");
            assert_eq!(out.contains("open to "), !finding.is_empty(), "{mode:o}: {out}");
            assert!(
                out.contains(finding) && (finding.is_empty() || out.contains("hint: chmod 600 ")),
                "{mode:o}: {out}"
            );
            assert!(out.contains("policies/p.toml:4:") || finding.is_empty(), "at its place: {out}");
            assert!(!out.contains(TEXT));
        }
    }
}

/// The token of a handshake, the secret that signs what is forwarded, the one that was learnt.
#[test]
fn every_secret_is_looked_at_and_no_public_key() {
    let meta = format!("{}\n", GITHUB.replace("github", "meta"));
    let rows = [
        (meta, "[handshake]\nverify_token = { file = \"other\" }"),
        (GITHUB.to_owned(), "sign = { file = \"other\" }"),
        (GITHUB.replace("github", "asana"), "[handshake]\nlearn_secret = \"other\""),
    ];
    for (auth, rest) in rows {
        let folder = folder(&auth, rest);
        write(folder.path(), "secret", 0o600);
        write(folder.path(), "other", 0o644);
        let Ran { out, .. } = run(folder.path(), &["check"]);
        assert!(out.contains("policies/other is open to everybody"), "{rest}: {out}");
    }
    let folder = folder("provider = \"discord\"\npublic_keys = [{ id = \"1\", file = \"key\" }]", "");
    let key = folder.path().join("policies/key");
    fs::write(&key, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a").unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let Ran { code, out, .. } = run(folder.path(), &["check"]);
    assert_eq!((code, out.contains("open to")), (0, false), "{out}");
}

#[test]
fn a_credential_of_the_service_manager_is_read_by_its_name() {
    let folder = folder("provider = \"github\"\nsecrets = [{ id = \"1\", credential = \"github\" }]", "");
    let credentials = TempDir::with_prefix("hookward-test-").unwrap();
    fs::write(credentials.path().join("github"), TEXT).unwrap();
    let check = |directory: Option<&Path>| {
        let mut command = hookward(folder.path(), &["check"]);
        command.env_remove("CREDENTIALS_DIRECTORY");
        if let Some(directory) = directory {
            command.env("CREDENTIALS_DIRECTORY", directory);
        }
        let Ran { code, out, .. } = ran(command);
        (code, out)
    };
    let (code, out) = check(Some(credentials.path()));
    assert_eq!((code, out.contains("open to")), (0, false), "whoever made the directory guards it: {out}");
    let (code, out) = check(None);
    assert_eq!(code, 1);
    assert!(out.contains("credential github cannot be looked up: CREDENTIALS_DIRECTORY is not set"), "{out}");
    assert!(out.contains("LoadCredential="), "{out}");
    let (code, out) = check(Some(Path::new("relative")));
    assert_eq!((code, out.contains("is not set")), (1, true), "{out}");
    fs::remove_file(credentials.path().join("github")).unwrap();
    let (code, out) = check(Some(credentials.path()));
    assert_eq!(code, 1);
    assert!(out.contains("cannot read secret file") && out.contains("entity not found"), "{out}");
    assert_eq!(run(folder.path(), &["check", "--no-secrets"]).code, 0);
}

#[test]
fn a_credential_has_the_name_of_one_file() {
    for (name, good) in
        [("github-2026_11.key", true), ("../github", false), ("a/b", false), ("", false), (".hidden", false)]
    {
        let folder =
            folder(&format!("provider = \"github\"\nsecrets = [{{ id = \"1\", credential = \"{name}\" }}]"), "");
        let Ran { code, out, .. } = run(folder.path(), &["check", "--no-secrets"]);
        assert_eq!(code, i32::from(!good), "{name}: {out}");
        assert!(good || out.contains("credential must be the name of a credential"), "{name}: {out}");
        assert!(good || name.is_empty() || !out.contains(name), "what may be a pasted secret is masked: {out}");
    }
}

#[test]
fn a_reference_names_one_place() {
    let rows = [
        ("id = \"1\"", "missing key \"env\" or \"file\" or \"credential\""),
        ("id = \"1\", env = \"A\", credential = \"a\"", "env and credential cannot stand together"),
        ("id = \"1\", file = \"a\", credential = \"a\"", "file and credential cannot stand together"),
        ("id = \"1\", env = \"A\", file = \"a\"", "env and file cannot stand together"),
    ];
    for (entry, finding) in rows {
        let folder = folder(&format!("provider = \"github\"\nsecrets = [{{ {entry} }}]"), "");
        let Ran { code, out, .. } = run(folder.path(), &["check", "--no-secrets"]);
        assert_eq!((code, out.contains(finding)), (1, true), "{entry}: {out}");
    }
}
