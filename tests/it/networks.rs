//! Lists of networks: files that policies name, and the verb that refreshes them.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use hookward::admit::Limits;
use hookward::policy::gateway_config::PoliciesConfig;
use hookward::policy::load::{Loaded, load};
use hookward::policy::secrets::NoSecrets;
use hookward::policy::table::Spanned;
use tempfile::TempDir;

use crate::gateway::github;
use crate::support::command::{Ran, run};
use crate::support::house::capacity;
use crate::support::{App, Delivery, House, Say};

const META: &str = r#"{"hooks":["192.30.252.0/22","2a0a:a440::/29","192.30.252.0/22"],"web":["192.30.252.0/22"]}"#;

/// A folder with a configuration, a policy for GitHub that names a list, and one that names none.
fn folder() -> TempDir {
    let folder = TempDir::with_prefix("hookward-test-").unwrap();
    let policy = |path: &str, more: &str| {
        format!(
            "path = \"{path}\"\n[auth]\nprovider = \"github\"\nsecrets = [{{ id = \"a\", env = \"A\" }}]\n{more}[forward]\nto = \"http://127.0.0.1:9\"\n"
        )
    };
    fs::create_dir(folder.path().join("policies")).unwrap();
    fs::write(folder.path().join("hookward.toml"), "[policies]\ndirectory = \"policies\"\n").unwrap();
    let lists = "[network]\nlists = [\"networks/forge.txt\"]\n";
    fs::write(folder.path().join("policies/forge.toml"), policy("/forge", lists)).unwrap();
    fs::write(folder.path().join("policies/open.toml"), policy("/open", "")).unwrap();
    fs::write(folder.path().join("meta.json"), META).unwrap();
    folder
}

fn update(folder: &TempDir, arguments: &[&str]) -> Ran {
    run(folder.path(), &[&["networks", "update"], arguments].concat())
}

fn networks(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn a_list_is_written_from_what_is_published_and_then_only_where_that_changed() {
    let folder = folder();
    let list = folder.path().join("policies/networks/forge.txt");
    let missing = run(folder.path(), &["check", "--no-secrets"]);
    assert_eq!(missing.code, 1);
    assert!(
        missing.out.contains("forge.toml:6:10: error: there is no file policies/networks/forge.txt"),
        "{}",
        missing.out
    );
    assert!(missing.out.contains("`hookward networks update forge` writes it"), "{}", missing.out);

    let tried = update(&folder, &["forge", "--from", "meta.json", "--dry-run"]);
    assert_eq!((tried.code, list.exists()), (0, false), "{tried:?}");
    assert!(
        tried.out.ends_with("policies/networks/forge.txt would have 2 networks; nothing was written\n"),
        "{tried:?}"
    );
    let made = update(&folder, &["forge", "--from", "meta.json"]);
    let expected = "+ 192.30.252.0/22\n+ 2a0a:a440::/29\npolicies/networks/forge.txt has 2 networks\n";
    assert_eq!((made.code, made.out.as_str()), (0, expected), "{made:?}");
    let text = fs::read_to_string(&list).unwrap();
    assert!(text.starts_with("# Published at meta.json\n# Written on 20"), "{text}");
    assert_eq!(networks(&list), ["192.30.252.0/22", "2a0a:a440::/29"]);
    assert_eq!(run(folder.path(), &["check", "--no-secrets"]).code, 0);

    let inode = fs::metadata(&list).unwrap().ino();
    let again = update(&folder, &["forge", "--from", "meta.json"]);
    assert_eq!(again.out, "policies/networks/forge.txt is as published: 2 networks\n");
    assert_eq!(fs::metadata(&list).unwrap().ino(), inode, "nothing to reload");
    fs::write(folder.path().join("meta.json"), META.replace("2a0a:a440::/29", "192.0.2.1")).unwrap();
    let changed = update(&folder, &["forge", "--from", "meta.json"]);
    assert!(changed.out.starts_with("- 2a0a:a440::/29\n+ 192.0.2.1/32\n"), "{changed:?}");
    assert_eq!(networks(&list), ["192.0.2.1/32", "192.30.252.0/22"]);
    assert_eq!(fs::read_dir(list.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn the_list_is_that_of_a_source_a_provider_or_the_command_line() {
    let folder = folder();
    let rows = [
        (
            "a source without a list",
            &["open"][..],
            "policies/networks/github.txt",
            "[network] lists = [\"networks/github.txt\"]",
        ),
        ("a provider", &["github"], "policies/networks/github.txt", ""),
        ("the command line", &["forge", "--to", "else/where.txt"], "else/where.txt", "else/where.txt\"]"),
    ];
    for (name, arguments, list, told) in rows {
        let ran = update(&folder, &[arguments, &["--from", "meta.json"]].concat());
        assert_eq!(ran.code, 0, "{name}: {ran:?}");
        assert_eq!(networks(&folder.path().join(list)).len(), 2, "{name}");
        assert!(ran.out.contains(told), "{name}: {ran:?}");
        assert_eq!(ran.out.contains("does not use it yet"), !told.is_empty(), "{name}: {ran:?}");
    }
    for (arguments, told) in [
        (&["nobody"][..], "no source and no provider \"nobody\""),
        (&["slack"], "no preset of \"slack\" says where its networks are published; say it with --from"),
        (&["slack", "--from", "meta.json"], "say it with --values"),
        (&["slack", "--from", "meta.json", "--values", "hooks"], "a JSON Pointer begins with \"/\""),
    ] {
        let ran = update(&folder, arguments);
        assert_eq!(ran.code, 1, "{arguments:?}");
        assert!(ran.err.contains(told), "{arguments:?}: {}", ran.err);
    }
    fs::write(folder.path().join("broken.toml"), "[policies]\n").unwrap();
    let ran = update(&folder, &["forge", "--from", "meta.json", "-c", "broken.toml"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("missing key \"directory\""), "{ran:?}");
    let ran = update(&folder, &["github", "--from", "meta.json", "-c", "none.toml", "--to", "alone.txt"]);
    assert_eq!((ran.code, networks(&folder.path().join("alone.txt")).len()), (0, 2), "no configuration is needed");
    let ran = update(&folder, &["slack", "--from", "meta.json", "--values", "/web/*"]);
    assert_eq!((ran.code, networks(&folder.path().join("policies/networks/slack.txt")).len()), (0, 1));
}

#[test]
fn what_is_wrong_with_a_document_leaves_the_list_as_it_is() {
    let folder = folder();
    let list = folder.path().join("policies/networks/forge.txt");
    assert_eq!(update(&folder, &["forge", "--from", "meta.json"]).code, 0);
    let before = fs::read_to_string(&list).unwrap();
    let large = format!("# {}\n192.0.2.1\n", "x".repeat(1 << 20));
    let rows = [
        ("no list", r#"{"hooks":[]}"#, "no text at /hooks/*"),
        ("all of the internet", r#"{"hooks":["0.0.0.0/0"]}"#, "wider than /8"),
        ("half of it", r#"{"hooks":["128.0.0.0/1"]}"#, "wider than /8"),
        ("not a network", r#"{"hooks":["192.0.2.1","x"]}"#, "this is not a network"),
        ("host bits", r#"{"hooks":["192.0.2.1/24"]}"#, "did you mean \"192.0.2.0/24\"?"),
        ("a member twice", r#"{"hooks":["192.0.2.1"],"hooks":["192.0.2.2"]}"#, "json_duplicate_key"),
        ("a page", "<html>sorry</html>", "this is not a network"),
        ("no lines", "# nobody\n", "no network"),
        ("nothing", "", "no network"),
        ("too much", &large, "is larger than 1048576 bytes"),
    ];
    for (name, document, told) in rows {
        fs::write(folder.path().join("meta.json"), document).unwrap();
        let ran = update(&folder, &["forge", "--from", "meta.json"]);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{name}: {ran:?}");
        assert!(ran.err.contains(told), "{name}: {}", ran.err);
        assert_eq!(fs::read_to_string(&list).unwrap(), before, "{name}");
    }
    fs::write(folder.path().join("lines.txt"), "192.0.2.1 # one\n").unwrap();
    assert_eq!(update(&folder, &["forge", "--from", "lines.txt"]).code, 0);
    assert_eq!(networks(&list), ["192.0.2.1/32"], "lines are read as well");

    fs::write(&list, "password = hunter2\n").unwrap();
    let ran = update(&folder, &["forge", "--from", "lines.txt"]);
    assert_eq!(ran.code, 1, "what is no list is not replaced");
    assert!(!ran.err.contains("hunter2"), "{}", ran.err);
    fs::write(&list, "# none yet\n").unwrap();
    assert_eq!(update(&folder, &["forge", "--from", "lines.txt"]).code, 0, "an empty one is");
}

#[test]
fn what_is_published_at_a_url_is_fetched_and_no_further() {
    let folder = folder();
    let app = App::saying(|taken| match taken.line.split(' ').nth(1).unwrap() {
        "/meta" => Say::status(200, META),
        "/moved" => Say::with(302, &[("location", "http://127.0.0.1:9/meta")], ""),
        "/large" => Say::status(200, &format!("# {}\n192.0.2.1\n", "x".repeat(1 << 20))),
        _ => Say::status(404, META),
    });
    let url = |path: &str| format!("http://{}{path}", app.address);
    let list = folder.path().join("policies/networks/forge.txt");
    for (path, told) in [
        ("/moved", "it has moved to \"http://127.0.0.1:9/meta\""),
        ("/large", "length limit exceeded"),
        ("/other", "answered 404"),
    ] {
        let ran = update(&folder, &["forge", "--from", &url(path)]);
        assert_eq!((ran.code, list.exists()), (1, false), "{path}: {ran:?}");
        assert!(ran.err.contains(told), "{path}: {}", ran.err);
    }
    let ran = update(&folder, &["forge", "--from", &url("/meta")]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(networks(&list).len(), 2);
    let taken = app.taken().pop().unwrap();
    assert!(taken.header("user-agent").unwrap().starts_with("hookward/"), "{taken:?}");

    let ran = update(&folder, &["forge", "--from", "http://203.0.113.1/meta"]);
    assert!(ran.err.contains("use https"), "{ran:?}");
}

#[test]
fn a_source_takes_what_its_lists_and_its_own_networks_have_and_nothing_denied() {
    let rows = [
        ("the list", "lists = [\"networks/a.txt\"]", 200),
        ("another list", "lists = [\"networks/b.txt\"]", 403),
        ("both", "lists = [\"networks/b.txt\", \"networks/a.txt\"]", 200),
        ("beside others of its own", "allow = [\"192.0.2.0/24\"]\nlists = [\"networks/a.txt\"]", 200),
        ("its own beside a list", "allow = [\"127.0.0.1\"]\nlists = [\"networks/b.txt\"]", 200),
        ("denied", "lists = [\"networks/a.txt\"]\ndeny = [\"127.0.0.1\"]", 403),
        ("nobody else is denied", "deny = [\"192.0.2.0/24\"]", 200),
        ("denied to anybody", "deny = [\"127.0.0.0/8\"]", 403),
    ];
    let app = App::start();
    for (name, network, status) in rows {
        let policy = format!("{}[network]\n{network}\n", github(&app, ""));
        let house = House::with("github", &policy).file("networks/a.txt", "127.0.0.0/8 # us\n");
        let gateway = house.file("networks/b.txt", "192.0.2.0/24\n").start();
        let answer = gateway.connect().send(&Delivery::github("push", "{}"));
        assert_eq!(answer.status, status, "{name}");
        if status == 403 {
            assert_eq!(gateway.record_of(&answer).reason, "address_refused", "{name}");
        }
    }
}

/// What is watched is read again when it changes, as the files of secrets are.
#[test]
fn a_list_is_watched_wherever_it_is_and_also_while_it_is_not_there() {
    let folder = TempDir::with_prefix("hookward-test-").unwrap();
    let list = folder.path().join("list.txt");
    let policy = format!("{}[network]\nlists = [{:?}]\n", github(&App::start(), ""), list.to_str().unwrap());
    fs::create_dir(folder.path().join("policies")).unwrap();
    fs::write(folder.path().join("policies/github.toml"), policy).unwrap();
    let directory = Spanned { value: folder.path().join("policies"), span: 0..0 };
    let config = PoliciesConfig { directory, strict: false };
    for (text, loads) in [(None, false), (Some("nobody\n"), false), (Some("192.0.2.0/24\n"), true)] {
        if let Some(text) = text {
            fs::write(&list, text).unwrap();
        }
        let mut loaded = Loaded::default();
        let policy = load(&config, &NoSecrets, &Limits::new(capacity()), &mut loaded);
        assert_eq!((policy.is_some(), loaded.watched.contains(&list)), (loads, true), "{text:?}");
    }
}

#[test]
fn a_list_that_changed_is_in_force_after_a_reload_and_a_broken_one_changes_nothing() {
    let policy = format!("{}[network]\nlists = [\"networks/a.txt\"]\n", github(&App::start(), ""));
    let gateway = House::with("github", &policy).file("networks/a.txt", "192.0.2.0/24\n").start();
    let status = || gateway.connect().send(&Delivery::github("push", "{}")).status;
    assert_eq!(status(), 403);
    let reload = |list: &str| gateway.reload(&[("github.toml", &policy), ("networks/a.txt", list)]);
    reload("192.0.2.0/24\n127.0.0.1\n").unwrap();
    assert_eq!(status(), 200);
    for (list, told) in [
        ("127.0.0.1\nnobody\n", "a.txt:2:1: error: this is not a network"),
        ("", "no network"),
        ("0.0.0.0/0", "wider than /8"),
    ] {
        let report = reload(list).unwrap_err();
        assert!(report.contains(told), "{list:?}: {report}");
        assert_eq!(status(), 200, "{list:?}");
    }
}
