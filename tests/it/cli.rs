//! The command line, as it is built: what each verb prints and how it ends.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use hookward::policy::preset;
use serde_json::{Map, Value, json};

use crate::support::command::{Ran, hookward, ran, run};

const VERBS: [&str; 12] = [
    "serve",
    "demo",
    "check",
    "test",
    "send",
    "schema",
    "rejects",
    "init",
    "providers",
    "learn",
    "cert",
    "completions",
];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder with a configuration and these policies.
fn folder(policies: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::TempDir::with_prefix("hookward-test-").unwrap();
    fs::create_dir(folder.path().join("policies")).unwrap();
    fs::write(folder.path().join("hookward.toml"), "[policies]\ndirectory = \"policies\"\n").unwrap();
    for (name, text) in policies {
        fs::write(folder.path().join("policies").join(name), text).unwrap();
    }
    folder
}

const GITHUB: &str = "path = \"/hooks/github\"\n[auth]\nprovider = \"github\"\nsecrets = [{ id = \"2026-11\", env = \"GITHUB\" }]\n\
                      [forward]\nto = \"http://127.0.0.1:3000\"\n";

/// Runs it with a secret for [`GITHUB`] and this on standard input.
fn run_with_input(directory: &Path, arguments: &[&str], input: &str) -> Ran {
    let mut command = hookward(directory, arguments);
    command.env("GITHUB", "a-secret-of-the-tests").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
    // Beside the reading: neither pipe has to hold everything.
    let writer = thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    // A binary that does not read to the end says so with its exit code.
    let _ = writer.join().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn help_reads_as_it_should() {
    insta::assert_snapshot!("help", run(repository(), &["--help"]).out);
    for verb in VERBS {
        let ran = run(repository(), &[verb, "--help"]);
        assert_eq!(ran.code, 0, "{verb}: {}", ran.err);
        insta::assert_snapshot!(format!("help_{verb}"), ran.out);
    }
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    for arguments in [&["servee"][..], &["check", "--no-secret"], &["test"], &[]] {
        let ran = run(repository(), arguments);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{arguments:?}");
        assert!(!ran.err.is_empty(), "{arguments:?}");
    }
}

#[test]
fn the_shipped_configuration_passes_its_check() {
    let ran = run(repository(), &["check", "--no-secrets"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.ends_with("hookward.toml: 8 sources, no error\n"), "{}", ran.out);
}

#[test]
fn a_check_tells_where_deliveries_would_go() {
    let several = "to = [\"unix:/run/a.sock:/in\", \"unix:/run/b.sock\"]\nhealth = { path = \"/healthz\" }";
    let several = GITHUB.replace("/hooks/github", "/hooks/several").replace("to = \"http://127.0.0.1:3000\"", several);
    let folder = folder(&[("github.toml", GITHUB), ("several.toml", &several)]);
    let ran = run(folder.path(), &["check", "--no-secrets"]);
    let told: Vec<_> = ran.out.lines().filter(|line| line.contains(" -> ")).collect();
    let expected = [
        "github -> http://127.0.0.1:3000/",
        "several -> unix:/run/a.sock:/in (health /healthz)",
        "several -> unix:/run/b.sock:/ (health /healthz)",
    ];
    assert_eq!(told, expected, "{}", ran.out);
}

#[test]
fn a_check_prints_every_finding_at_its_place() {
    let broken = "path = \"/hooks/a\"\nbody_bytes_mx = 1\n\n[auth]\nprovider = \"githup\"\nsecrets = [{ id = \"a\", env = \"A\" }]\n\n\
                  [limit]\nclient = { per_second = 0, burst = 5 }\n\n[forward]\nto = \"http://127.0.0.1:3000\"\nheaders = [\"cookie\"]\n";
    let folder = folder(&[("broken.toml", broken), ("github.toml", GITHUB)]);
    let ran = run(folder.path(), &["check"]);
    assert_eq!(ran.code, 1);
    insta::assert_snapshot!("check_broken", ran.out);
    for place in ["broken.toml:2:1:", "broken.toml:5:12:", "broken.toml:9:25:", "broken.toml:13:12:", "github.toml:4:"]
    {
        assert!(ran.out.contains(place), "{place}: {}", ran.out);
    }
    fs::write(folder.path().join("slip.toml"), "[policies]\ndirectory = \"polices\"\n").unwrap();
    let ran = run(folder.path(), &["check", "-c", "slip.toml"]);
    let said = "slip.toml:2:13: error: cannot read the policies' directory polices: entity not found";
    assert!(ran.out.contains(said), "{}", ran.out);
    let ran = run(folder.path(), &["check", "-c", "nowhere.toml"]);
    assert_eq!(ran.code, 1);
    assert!(format!("{}{}", ran.out, ran.err).contains("nowhere.toml"), "{ran:?}");
}

#[test]
fn a_check_finds_what_serve_would_miss_on_this_machine() {
    let folder = folder(&[("github.toml", GITHUB)]);
    fs::create_dir(folder.path().join("logs")).unwrap();
    let rows = [
        ("[listen]\nuser = \"nobody-of-this-name\"\n", 1, "2:8: error: there is no user \"nobody-of-this-name\""),
        ("[listen]\nuser = \"nobody\"\n", 0, ""),
        ("[listen]\nunix = [\"run/a.sock\"]\n", 0, "2:9: warning: there is no folder run"),
        ("[listen]\nunix = [\"logs/a.sock\", \"a.sock\"]\n", 0, ""),
        ("[rejects]\nfile = \"logs\"\n", 1, "logs is a folder, and [rejects] file names a file"),
        ("[rejects]\nfile = \"logs/rejected.jsonl\"\n", 0, ""),
    ];
    for (config, code, said) in rows {
        let config = format!("{config}[policies]\ndirectory = \"policies\"\n");
        fs::write(folder.path().join("hookward.toml"), config).unwrap();
        let ran = run_with_input(folder.path(), &["check"], "");
        assert_eq!(ran.code, code, "{said}: {}{}", ran.out, ran.err);
        assert!(ran.out.contains(said), "{said}: {}", ran.out);
        assert_eq!(ran.out.contains("hookward.toml:2:"), !said.is_empty(), "{}", ran.out);
        let elsewhere = run(folder.path(), &["check", "--no-secrets"]);
        assert!(!elsewhere.out.contains("hookward.toml:2:"), "{}", elsewhere.out);
    }
}

#[test]
fn a_key_that_cannot_be_read_is_called_what_it_is_and_nothing_is_missed_that_is_there() {
    let discord = GITHUB.replace("github", "discord").replace("secrets", "public_keys");
    let with = |key: &str| discord.replace("env = \"GITHUB\"", key);
    let set_it = "hint: set it where the gateway is started";
    let put_it = "hint: put it there or correct the path";
    let rows = [
        (with("file = \"a.pem\""), "error: cannot read public key file policies/a.pem: entity not found", put_it),
        (with("file = \"empty\""), "error: the public key in policies/empty is empty", put_it),
        (with("env = \"UNSET\""), "error: environment variable UNSET is not set", set_it),
        (
            GITHUB.replace("env = \"GITHUB\"", "file = \"a\""),
            "error: cannot read secret file policies/a: entity not found",
            put_it,
        ),
        (GITHUB.replace("2026-11", "a b"), "error: id must be of 1 to 64 letters", ""),
        (GITHUB.replace("env = \"GITHUB\"", ""), "error: missing key \"env\" or \"file\" or \"credential\"", ""),
        (
            GITHUB.replace("secrets = [{ id = \"2026-11\", env = \"GITHUB\" }]", "secrets = \"x\""),
            "error: secrets must be an array",
            "",
        ),
        (
            GITHUB.replace("[{ id = \"2026-11\", env = \"GITHUB\" }]", "[]"),
            "error: no secrets: nothing could ever be accepted",
            "",
        ),
    ];
    for (policy, said, hint) in rows {
        let folder = folder(&[("a.toml", &policy)]);
        fs::write(folder.path().join("policies/empty"), "").unwrap();
        let ran = run_with_input(folder.path(), &["check"], "");
        assert!(ran.out.contains(said) && ran.out.contains(hint), "{policy}: {}", ran.out);
        assert_eq!(ran.out.matches("error: ").count(), 1, "{policy}: {}", ran.out);
    }
}

#[test]
fn a_check_waits_for_no_pipe() {
    let folder = folder(&[]);
    let pipe = folder.path().join("policies/pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let secret = GITHUB.replace("env = \"GITHUB\"", "file = \"pipe\"");
    let schema = format!("{GITHUB}[event.schema]\npush = \"pipe\"\n");
    let roots = format!("{}trust_roots = [{{ file = \"pipe\" }}]\n", GITHUB.replace("http:", "https:"));
    let client = "path = \"/a\"\n[auth]\nclient_certificate = { ca = \"pipe\" }\n[forward]\nto = \"http://a\"\n";
    let tls =
        "[listen]\nhttps = [\"127.0.0.1:0\"]\n[[tls]]\ncertificate = \"policies/pipe\"\nkey = \"policies/pipe\"\n";
    for (policy, config) in [(&*secret, ""), (&schema, ""), (&roots, ""), (client, ""), (GITHUB, tls)] {
        fs::write(folder.path().join("policies/a.toml"), policy).unwrap();
        let config = format!("{config}[policies]\ndirectory = \"policies\"\n");
        fs::write(folder.path().join("hookward.toml"), config).unwrap();
        let ran = run_with_input(folder.path(), &["check"], "");
        assert_eq!(ran.code, 1, "{policy}");
        assert!(ran.out.contains("is not a regular file"), "{policy}: {}", ran.out);
    }
}

#[test]
fn a_check_says_where_nothing_could_ever_be_accepted() {
    let types = |types: &str| format!("content_types = {types}\n{GITHUB}");
    let expiring = |expires: &[&str]| {
        let secret = |at: &&str| format!("{{ id = \"s{at}\", env = \"GITHUB\", expires = {at}-01-01T00:00:00Z }}");
        let secrets = expires.iter().map(secret).collect::<Vec<_>>().join(", ");
        GITHUB.replace("{ id = \"2026-11\", env = \"GITHUB\" }", &secrets)
    };
    let unread = "error: none of these is read as anything";
    let expired = "warning: all secrets have expired";
    let rows = [
        (types("[\"text/xml\"]"), 1, unread),
        (types("[\"text/xml\", \"text/plain\"]"), 1, unread),
        (types("[\"text/xml\", \"text/json\"]"), 0, ""),
        (types("[\"application/webhook+json\"]"), 0, ""),
        (types("[\"text/*\"]"), 0, ""),
        (types("[\"*/*\"]"), 0, ""),
        (types("[\"text/xml\"]\npayload = \"opaque\""), 0, ""),
        (types("[\"text/plain\"]\npayload = \"json\""), 0, ""),
        (expiring(&["2020"]), 0, expired),
        (expiring(&["2020", "2021"]), 0, expired),
        (expiring(&["2020", "9999"]), 0, ""),
    ];
    for (policy, code, said) in rows {
        let folder = folder(&[("github.toml", &policy)]);
        let ran = run_with_input(folder.path(), &["check"], "");
        assert_eq!(ran.code, code, "{policy}: {}{}", ran.out, ran.err);
        let found = [unread, expired].into_iter().filter(|said| ran.out.contains(said));
        assert_eq!(
            found.collect::<Vec<_>>(),
            Some(said).filter(|said| !said.is_empty()).into_iter().collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_secret_that_is_set_passes_and_its_text_is_not_printed() {
    let folder = folder(&[("github.toml", GITHUB)]);
    let ran = run_with_input(folder.path(), &["check"], "");
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert!(!ran.out.contains("a-secret-of-the-tests"));
}

/// One configuration of the vectors: a preset, and what it is given.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Receiver {
    provider: String,
    secrets: Vec<(String, String)>,
}

impl Receiver {
    fn of(line: &Map<String, Value>) -> Self {
        let text = |name: &str| line.get(name).and_then(Value::as_str).map(str::to_owned);
        let mut secrets: Vec<_> = text("token").into_iter().map(|token| ("token".to_owned(), token)).collect();
        let provider = match (text("provider").unwrap().as_str(), secrets.is_empty()) {
            ("gitlab", false) => "gitlab-token".to_owned(),
            (name, _) => name.to_owned(),
        };
        let named = line.get("secrets").and_then(Value::as_object);
        let value = |name: &str| named.and_then(|named| named.get(name)?.as_str()).map(str::to_owned);
        secrets.extend(
            value("username").zip(value("password")).map(|(name, word)| ("user".to_owned(), format!("{name}:{word}"))),
        );
        for name in ["signing_secret", "previous_secret"] {
            secrets.extend(value(name).map(|secret| (name.to_owned(), secret)));
        }
        Self { provider, secrets }
    }

    /// A policy that looks at nothing but the credential.
    fn policy(&self, path: &str, folder: &Path) -> String {
        let secrets = self.secrets.iter().map(|(id, secret)| {
            let file = folder.join(id);
            fs::write(&file, secret).unwrap();
            format!("{{ id = \"{id}\", file = \"{}\" }}", file.display())
        });
        let secrets = secrets.collect::<Vec<_>>().join(", ");
        format!(
            "path = \"{path}\"\npublic_url = \"https://hooks.example.com{path}\"\ncontent_types = [\"*/*\"]\npayload = \"opaque\"\n\
             body_bytes_max = 26_214_400\n[auth]\nprovider = \"{}\"\nsecrets = [{secrets}]\n[forward]\nto = \"http://127.0.0.1:9/\"\n",
            self.provider
        )
    }
}

#[test]
fn recorded_requests_get_the_verdict_of_the_providers_own_libraries() {
    let text = fs::read_to_string(repository().join("tests/data/vectors/signatures.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Map<String, Value>>(line).unwrap());
    let mut receivers: BTreeMap<Receiver, Vec<Map<String, Value>>> = BTreeMap::new();
    for line in lines {
        receivers.entry(Receiver::of(&line)).or_default().push(line);
    }
    let (mut compared, mut wrong) = (0, Vec::new());
    for (receiver, lines) in receivers {
        let folder = folder(&[]);
        let path = |line: &Map<String, Value>| {
            line["url"]
                .as_str()
                .unwrap()
                .strip_prefix("https://hooks.example.com")
                .unwrap()
                .split('?')
                .next()
                .unwrap()
                .to_owned()
        };
        let paths: std::collections::BTreeSet<_> = lines.iter().map(path).collect();
        for (number, path) in paths.iter().enumerate() {
            let file = folder.path().join(format!("policies/source-{number}.toml"));
            fs::write(file, receiver.policy(path, folder.path())).unwrap();
        }
        let records: String = lines.iter().map(|line| Value::Object(record(line)).to_string() + "\n").collect();
        let ran = run_with_input(folder.path(), &["test", "-"], &records);
        assert_eq!(ran.out.lines().count(), lines.len(), "{}: {}", receiver.provider, ran.err);
        for (line, verdict) in lines.iter().zip(ran.out.lines()) {
            let verdict: Value = serde_json::from_str(verdict).unwrap();
            assert_eq!(verdict["id"], line["id"]);
            // Where one library is lenient or strict on its own, either is right.
            if line["strength"] == "must" {
                compared += 1;
                wrong.extend(disagreement(line, &verdict));
            }
        }
        let expecting: Vec<_> = lines.iter().filter(|line| line["strength"] == "must").collect();
        assert_eq!(ran.code, 0, "no expectation was given");
        assert!(!expecting.is_empty());
    }
    assert!(compared > 140, "{compared} were compared");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The request of a vector alone, without its verdict.
fn record(line: &Map<String, Value>) -> Map<String, Value> {
    let members = ["id", "method", "url", "headers", "body_b64", "now"];
    members.iter().map(|name| ((*name).to_owned(), line[*name].clone())).collect()
}

fn disagreement(line: &Map<String, Value>, got: &Value) -> Option<String> {
    if got["verdict"] != line["expect"] {
        return Some(format!("{}: expected {}, got {} {}", line["id"], line["expect"], got["verdict"], got["reason"]));
    }
    let meta = line.get("meta").filter(|_| got["verdict"] == "accept")?;
    let facts = [("event", "event_type"), ("delivery_id", "delivery_id")];
    let wrong = facts.iter().find(|(ours, theirs)| !meta[theirs].is_null() && meta[theirs] != got[ours])?;
    Some(format!("{}: {} is {}, expected {}", line["id"], wrong.0, got[wrong.0], meta[wrong.1]))
}

#[test]
fn a_record_with_an_expectation_is_asserted_and_every_step_can_be_explained() {
    let folder = folder(&[("github.toml", GITHUB)]);
    fs::write(folder.path().join("body.json"), "{\"a\":1}").unwrap();
    let send =
        ["send", "github", "--body", "body.json", "--event", "push", "--to", "https://hooks.example.com", "--record"];
    let sent = run_with_input(folder.path(), &send, "");
    assert_eq!(sent.code, 0, "{}", sent.err);
    let record: Value = serde_json::from_str(&sent.out).unwrap();
    let expecting = |expect: &str, header: &str| {
        let mut record = record.clone();
        record["expect"] = json!(expect);
        let headers = record["headers"].as_array_mut().unwrap();
        headers.retain(|field| field[0] != header);
        record.to_string()
    };
    let rows = [
        ("as signed", expecting("accept", ""), 0),
        ("not as expected", expecting("reject", ""), 1),
        ("unsigned", expecting("credential_missing", "x-hub-signature-256"), 0),
        ("any reason", expecting("reject", "x-hub-signature-256"), 0),
        ("another reason", expecting("credential_mismatch", "x-hub-signature-256"), 1),
        ("no record", "{\"id\":1}".to_owned(), 1),
        ("a slip in a word", expecting("acceptt", ""), 1),
        ("a slip in a name", expecting("accept", "").replace("\"expect\"", "\"expects\""), 1),
    ];
    for (name, line, code) in rows {
        let ran = run_with_input(folder.path(), &["test", "-"], &line);
        assert_eq!(ran.code, code, "{name}: {}", ran.err);
        assert_eq!(ran.err.contains("-:1: "), code == 1, "{name}: {}", ran.err);
    }
    for nothing in ["", "\n \n"] {
        let ran = run_with_input(folder.path(), &["test", "-"], nothing);
        assert_eq!((ran.code, ran.err.as_str()), (1, "-: no request record\n"));
    }
    let ran = run_with_input(folder.path(), &["test", "--explain", "-"], &expecting("accept", ""));
    for step in ["route", "present", "receive", "authenticate", "validate", "sanitize", "forward"] {
        assert!(ran.out.lines().any(|line| line.trim_start().starts_with(step)), "{step}: {}", ran.out);
    }
    let dirty = format!("{GITHUB}\n[[sanitize.rule]]\nat = \"/a\"\nmask = {{}}\n");
    fs::write(folder.path().join("policies/github.toml"), dirty).unwrap();
    let ran = run_with_input(folder.path(), &["test", "--explain", "-"], &expecting("accept", ""));
    for line in ["mask at \"/a\"", "7 bytes received, 9 forwarded:", "- /a: 1", "+ /a: \"*\""] {
        assert!(ran.out.lines().any(|shown| shown.trim() == line), "{line}: {}", ran.out);
    }
    fs::write(folder.path().join("policies/github.toml"), GITHUB).unwrap();
    let twice = format!("{}\n{}", expecting("accept", ""), expecting("accept", ""));
    assert_eq!(run_with_input(folder.path(), &["test", "-"], &twice).code, 0, "each stands alone");
}

#[test]
fn what_is_sent_is_of_a_kind_that_its_source_takes() {
    let policy = |provider: &str, more: &str| {
        let policy = GITHUB.replace("github", provider);
        policy
            .replace("[auth]", &format!("public_url = \"https://hooks.example.com/hooks/{provider}\"\n[auth]"))
            .replace("[forward]", &format!("{more}\n[forward]"))
    };
    let livekit = policy("livekit", "parameters = { api_key = \"key\" }");
    let (coinpayments, twilio) = (policy("coinpayments", ""), policy("twilio", ""));
    let folder = folder(&[
        ("github.toml", GITHUB),
        ("livekit.toml", &livekit),
        ("coinpayments.toml", &coinpayments),
        ("twilio.toml", &twilio),
    ]);
    for (source, body, content_type) in [
        ("github", "{\"a\":1}", "application/json"),
        ("github", "payload=%7B%7D", "application/x-www-form-urlencoded"),
        ("livekit", "{\"event\":\"a\"}", "application/webhook+json"),
        ("coinpayments", "ipn_type=a", "application/x-www-form-urlencoded"),
        ("twilio", "a=b", "application/x-www-form-urlencoded"),
    ] {
        fs::write(folder.path().join("body"), body).unwrap();
        let sent = run_with_input(folder.path(), &["send", source, "--body", "body", "--record"], "");
        assert_eq!(sent.code, 0, "{source}: {}", sent.err);
        let mut record: Value = serde_json::from_str(&sent.out).unwrap();
        let headers = record["headers"].as_array().unwrap();
        assert!(headers.contains(&json!(["content-type", content_type])), "{source}: {headers:?}");
        record["expect"] = json!("accept");
        let judged = run_with_input(folder.path(), &["test", "-"], &record.to_string());
        assert_eq!(judged.code, 0, "{source}: {}{}", judged.out, judged.err);
    }
    fs::write(folder.path().join("body"), "{}").unwrap();
    let unsigned = run_with_input(folder.path(), &["send", "twilio", "--body", "body", "--record"], "");
    assert_eq!(unsigned.code, 1);
    let said =
        "twilio signs no such request, but those with query:bodySHA256 or media=application/x-www-form-urlencoded";
    assert!(unsigned.err.contains(said), "{}", unsigned.err);
    let to = |to: &str| run_with_input(folder.path(), &["send", "github", "--body", "body", "--to", to], "");
    for url in ["ftp://x", "file://x/y"] {
        assert!(to(url).err.contains("a gateway is at an https or http URL"), "{url}: {}", to(url).err);
    }
    let nowhere = run_with_input(folder.path(), &["send", "github", "--body", "body"], "");
    assert!(nowhere.err.contains("say where the gateway is with --to"), "{}", nowhere.err);
}

#[test]
fn rules_for_places_that_cannot_stand_together_are_told_where_they_stand() {
    let rule = |at: &str, deed: &str| format!("[[sanitize.rule]]\nat = \"{at}\"\n{deed}\n");
    let long = rule("/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a", "drop = true");
    let rows = [
        (
            rule("/a", "set = 1") + &rule("/**/b", "set = 2"),
            1,
            "11:6: error: sanitize.rule[1] and sanitize.rule[0] both set what stands",
        ),
        (rule("/a", "set = 1") + &rule("/b", "set = 2"), 0, ""),
        (long.repeat(31), 1, "steps together"),
        (long.repeat(30), 0, ""),
        (rule("/a", "hash = { env = \"GITHUB\" }"), 0, ""),
        (rule("/a", "hash = { env = \"HOME\" }"), 0, "warning: the key of hash has fewer than 16 bytes"),
        (rule("/a", "hash = { env = \"NOT_SET_ANYWHERE\" }"), 1, "environment variable NOT_SET_ANYWHERE is not set"),
    ];
    for (rules, code, told) in rows {
        let folder = folder(&[("github.toml", &format!("{GITHUB}{rules}"))]);
        let mut command = hookward(folder.path(), &["check"]);
        command.env("GITHUB", "a-secret-of-the-tests").env("HOME", "short");
        let ran = ran(command);
        assert_eq!(ran.code, code, "{}{}", ran.out, ran.err);
        assert!(format!("{}{}", ran.out, ran.err).contains(told), "{told}: {}{}", ran.out, ran.err);
    }
}

#[test]
fn providers_are_listed_and_described() {
    let ran = run(repository(), &["providers"]);
    let listed: Vec<_> = ran.out.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(listed, preset::all().map(|preset| preset.name).collect::<Vec<_>>());
    insta::assert_snapshot!("providers_stripe", run(repository(), &["providers", "stripe"]).out);
    let unknown = run(repository(), &["providers", "strype"]);
    assert_eq!((unknown.code, unknown.out.as_str()), (1, ""));
}

#[test]
fn a_starting_policy_of_every_provider_passes_its_check() {
    let folder = folder(&[]);
    for preset in preset::all() {
        let ran = run(folder.path(), &["init", preset.name, "--print"]);
        assert_eq!(ran.code, 0, "{}", preset.name);
        let text = ran.out.replace("\"fill in\"", "\"filled-in\"");
        fs::write(folder.path().join(format!("policies/{}.toml", preset.name)), text).unwrap();
    }
    let ran = run(folder.path(), &["check", "--no-secrets"]);
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert!(ran.out.ends_with(&format!("{} sources, no error\n", preset::all().count())), "{}", ran.out);

    let made = run(folder.path(), &["init", "github", "--name", "forge"]);
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(made.out.contains("FORGE_WEBHOOK_SECRET"), "{}", made.out);
    let written = fs::read_to_string(folder.path().join("policies/forge.toml")).unwrap();
    assert_eq!(run(folder.path(), &["init", "stripe", "--name", "forge"]).code, 1, "it does not overwrite");
    assert_eq!(fs::read_to_string(folder.path().join("policies/forge.toml")).unwrap(), written);
    assert_eq!(run(folder.path(), &["init", "nobody"]).code, 1);
}

#[test]
fn a_starting_policy_goes_to_the_policies_of_its_configuration_or_nowhere() {
    let bare = || tempfile::TempDir::with_prefix("hookward-test-").unwrap();
    let entries = |folder: &Path| fs::read_dir(folder).unwrap().count();
    let folder = bare();
    assert_eq!(run(folder.path(), &["init", "github"]).code, 0, "there is no configuration yet");
    assert!(folder.path().join("policies/github.toml").exists());

    let folder = bare();
    let ran = run(folder.path(), &["-c", "elsewhere/hookward.toml", "init", "github"]);
    assert_eq!((ran.code, entries(folder.path())), (1, 0), "{ran:?}");
    assert!(ran.err.contains("elsewhere/hookward.toml: error: cannot be read"), "{}", ran.err);

    fs::write(folder.path().join("hookward.toml"), "[policy]\ndirectory = \"mine\"\n").unwrap();
    let ran = run(folder.path(), &["init", "github"]);
    assert_eq!((ran.code, entries(folder.path())), (1, 1), "{ran:?}");
    assert!(ran.err.contains("hookward.toml:1:2: error: unknown key \"policy\""), "{}", ran.err);

    fs::write(folder.path().join("hookward.toml"), "[policies]\ndirectory = \"mine\"\n").unwrap();
    let ran = run(folder.path(), &["init", "discord"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("into mine/keys/discord.pem"), "{}", ran.out);
    for name in ["../evil", "a b", "", ".", ".hidden", "a/b"] {
        let ran = run(folder.path(), &["init", "github", "--name", name]);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{name}");
        assert!(ran.err.contains("cannot be a source's name"), "{name}: {}", ran.err);
    }
    assert_eq!((entries(folder.path()), entries(&folder.path().join("mine"))), (2, 1));
    assert!(run(folder.path(), &["init", "githb"]).err.contains("did you mean \"github\"?"));
    assert!(run(folder.path(), &["providers", "githb"]).err.contains("did you mean \"github\"?"));
}

#[test]
fn a_starting_policy_forwards_where_it_was_told_to() {
    let folder = folder(&[]);
    for (to, expected) in [
        ("http://127.0.0.1:3000", Some("http://127.0.0.1:3000/webhooks/github")),
        ("http://127.0.0.1:3000/", Some("http://127.0.0.1:3000/webhooks/github")),
        ("https://app/in", Some("https://app/in")),
        ("https://app/webhooks/github", Some("https://app/webhooks/github")),
        ("unix:/run/app.sock", Some("unix:/run/app.sock:/webhooks/github")),
        ("unix:app.sock", Some("unix:app.sock:/webhooks/github")),
        ("unix:/run/app.sock:/in", Some("unix:/run/app.sock:/in")),
        ("unix:/run/app.sock:/", Some("unix:/run/app.sock:/")),
        ("http://x/\"y", None),
        ("unix:/run/a\"b.sock", None),
        ("ftp://x", None),
        ("x", None),
        ("http://x/?a=b", None),
        ("http://169.254.169.254/", None),
    ] {
        let ran = run(folder.path(), &["init", "github", "--to", to, "--print"]);
        assert_eq!(ran.code, i32::from(expected.is_none()), "{to}: {}", ran.err);
        let written = expected.map(|to| format!("to = \"{to}\""));
        let line = ran.out.lines().find(|line| line.starts_with("to = ")).map(str::to_owned);
        assert_eq!(line, written, "{to}");
        assert_eq!(ran.err.is_empty(), expected.is_some(), "{to}: {}", ran.err);
    }
}

#[test]
fn a_certificate_is_made_once_and_its_key_is_its_owners_alone() {
    let folder = folder(&[]);
    let at = |name: &str| folder.path().join("certs").join(name);
    let ran = run(folder.path(), &["cert"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(fs::metadata(at("localhost.key")).unwrap().permissions().mode() & 0o777, 0o600);
    let key = fs::read(at("localhost.key")).unwrap();
    let again = run(folder.path(), &["cert"]);
    assert_eq!(again.code, 1, "it does not overwrite");
    assert!(again.err.contains("certs/localhost.key is there already: --force replaces it"), "{}", again.err);
    assert_eq!(fs::read(at("localhost.key")).unwrap(), key);
    assert_eq!(run(folder.path(), &["cert", "--force"]).code, 0);
    assert_ne!(fs::read(at("localhost.key")).unwrap(), key);
    assert_eq!(fs::metadata(at("localhost.key")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(run(folder.path(), &["cert", "--directory", "more", "*.example.com"]).code, 0);
    assert!(folder.path().join("more/wildcard.example.com.pem").exists());
    assert_eq!(run(folder.path(), &["cert", "bücher.example"]).code, 2);
}

#[test]
fn a_certificate_is_not_made_for_what_is_no_name() {
    for name in ["no name", "", "a..b", "../up"] {
        let folder = folder(&[]);
        assert_eq!(run(folder.path(), &["cert", name]).code, 2, "{name:?}");
    }
}

#[test]
fn completions_are_printed_for_a_shell() {
    let ran = run(repository(), &["completions", "bash"]);
    assert_eq!(ran.code, 0);
    for verb in VERBS {
        assert!(ran.out.contains(verb), "{verb}");
    }
    assert_eq!(run(repository(), &["completions", "cmd.exe"]).code, 2);
}

/// What the demo's table has to say: the status a sender gets, and the verdict.
const DEMO: [(&str, &str, &str); 16] = [
    ("GitHub push", "200", "forwarded"),
    ("Stripe payment", "200", "forwarded"),
    ("Slack mention", "200", "forwarded"),
    ("market price", "200", "forwarded"),
    ("market trade, 34 digits kept", "200", "forwarded"),
    ("CRM lead", "200", "forwarded"),
    ("CRM lead with fields to drop", "200", "forwarded"),
    ("the Stripe payment again", "200", "replayed"),
    ("GitHub push, one byte changed", "401", "credential_mismatch"),
    ("Stripe refund, 15 minutes old", "401", "timestamp_stale"),
    ("Slack mention, wrong secret", "401", "credential_mismatch"),
    ("GitHub push without signature", "401", "credential_missing"),
    ("market price below zero", "422", "schema_mismatch"),
    ("GitHub event nobody listed", "422", "event_unlisted"),
    ("forged Shopify orders, the first", "401", "credential_mismatch"),
    ("then, from the same address", "429", "client_blocked"),
];

#[test]
fn the_demo_shows_every_verdict_and_its_rejected_log_can_be_read() {
    let folder = tempfile::TempDir::with_prefix("hookward-test-").unwrap();
    let ran = run(folder.path(), &["demo", "--exit", "--rejects", "rejected.jsonl"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    for (what, status, verdict) in DEMO {
        let row = ran.out.lines().find(|line| line.strip_prefix(what).is_some_and(|rest| rest.starts_with("  ")));
        let row = row.unwrap_or_else(|| panic!("no row {what:?} in\n{}", ran.out));
        let cells: Vec<_> = row[what.len()..].split_whitespace().collect();
        assert_eq!(cells[..2], [status, verdict], "{row}");
    }
    assert!(!ran.out.contains("curl"), "nobody answers curl any more: {}", ran.out);
    assert!(!ran.out.contains('\u{1b}'), "no colours where there is no terminal");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left but the rejected log");

    let list = run(folder.path(), &["rejects", "--file", "rejected.jsonl"]);
    assert_eq!(list.code, 0, "{}", list.err);
    for (_, _, verdict) in
        DEMO.iter().filter(|(_, _, verdict)| !matches!(*verdict, "forwarded" | "credential_mismatch"))
    {
        assert!(list.out.contains(verdict), "{verdict}: {}", list.out);
    }
    let summary = run(folder.path(), &["rejects", "--file", "rejected.jsonl", "--summary"]);
    assert!(summary.out.contains("client_blocked"), "{}", summary.out);
    let json = run(folder.path(), &["rejects", "--file", "rejected.jsonl", "--json", "--reason", "timestamp_stale"]);
    let record: Value = serde_json::from_str(json.out.trim()).unwrap();
    assert_eq!((record["source"].as_str(), record["reason"].as_str()), (Some("stripe"), Some("timestamp_stale")));
    let none = run(folder.path(), &["rejects", "--file", "none.jsonl"]);
    assert_eq!((none.code, none.err.as_str()), (1, "hookward: no rejected log at none.jsonl\n"));
}

#[test]
fn rejects_finds_the_log_that_serve_writes_where_the_configuration_names_none() {
    let folder = folder(&[]);
    let ran = run(folder.path(), &["rejects"]);
    assert_eq!((ran.code, ran.err.as_str()), (1, "hookward: no rejected log at logs/rejected.jsonl\n"));
    fs::create_dir(folder.path().join("logs")).unwrap();
    fs::write(folder.path().join("logs/rejected.jsonl"), "").unwrap();
    let ran = run(folder.path(), &["rejects"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

#[test]
fn serve_says_what_it_needs() {
    let rows = [
        ("no [listen]", "", "[listen]"),
        ("no certificate", "[listen]\nhttps = [\"127.0.0.1:0\"]\n", "certificate"),
        (
            "a certificate that is not there",
            "[listen]\nhttps = [\"127.0.0.1:0\"]\n[[tls]]\ncertificate = \"a.pem\"\nkey = \"a.key\"\n",
            "a.pem",
        ),
    ];
    for (name, config, expected) in rows {
        let folder = folder(&[("github.toml", GITHUB)]);
        let text = format!("{config}[policies]\ndirectory = \"policies\"\n[rejects]\nfile = \"r.jsonl\"\n");
        fs::write(folder.path().join("hookward.toml"), text).unwrap();
        let mut command = hookward(folder.path(), &["serve"]);
        command.env("GITHUB", "a-secret-of-the-tests");
        let ran = ran(command);
        assert_eq!(ran.code, 1, "{name}");
        assert!(ran.err.contains(expected), "{name}: {}", ran.err);
    }
}
