use super::*;
use crate::auth::place::Place;
use crate::auth::template::Template;
use crate::payload::Pointer;
use crate::payload::patterns::Pattern;
use crate::policy::diagnostic::{Files, Styles};
use crate::policy::source::Unlisted;
use crate::policy::table::findings;
use crate::sanitize::{Action, Html, Rules};
use proptest::prelude::*;
use std::path::PathBuf;

/// What every source needs, after the text under test so that its lines count from 1.
fn check(top: &str, tables: &str) -> (Option<SourceConfig>, Vec<String>) {
    let needed = [
        (top, "path =", "path = '/hooks/a'\n"),
        (tables, "[auth", "[auth]\nprovider = 'github'\nsecrets = [{ id = 'a', env = 'A' }]\n"),
        (tables, "[forward]", "[forward]\nto = 'http://127.0.0.1:3000/a'\n"),
    ];
    let [path, auth, forward] = needed.map(|(text, word, part)| if text.contains(word) { "" } else { part });
    findings(&format!("{top}\n{path}{tables}\n{auth}{forward}"), read_source)
}

/// `(what stands at the top level, the tables, what is found)`; tables begin in line 3 if nothing stands above them.
type Row<'r> = (&'r str, &'r str, &'r [&'r str]);

fn check_rows(rows: &[Row<'_>]) {
    for (top, tables, expected) in rows {
        assert_eq!(check(top, tables).1, *expected, "{top} {tables}");
    }
}

const WHOLE: &str = r#"
path = "/hooks/github"
public_url = "https://hooks.example.com/hooks/github"
methods = ["POST", "PUT"]
content_types = ["application/JSON", "text/*"]
payload = "json"
body_bytes_max = 5_242_880
[auth]
provider = "github"
secrets = [
  { id = "2026-11", env = "GITHUB_WEBHOOK_SECRET" },
  { id = "2026-05", file = "/run/secrets/github_old", expires = 2026-12-24T00:00:00Z },
]
public_keys = [{ id = "k", file = "key.pem" }]
trust_roots = [{ file = "roots.pem" }]
[auth.parameters]
webhook_id = "1"
[network]
allow = ["192.30.252.0/22", "185.199.108.0/22"]
lists = ["networks/github.txt"]
deny = ["192.30.252.1"]
[limit]
client = { per_second = 5 }
failures = { per_minute = 6, block_seconds = 7, block_seconds_max = 7 }
in_flight_max = 8
json_depth_max = 9
[replay]
window_seconds = 1_200
on_duplicate = "refuse"
[event]
pointer = "/type"
unlisted = "accept"
[event.schema]
push = "schemas/push.json"
ping = "schemas/ping.json"
[sanitize]
unknown_fields = "drop"
control_characters = "refuse"
html = "strip"
keep = ["/ref", "/commits/*/id"]
[[sanitize.rule]]
at = "/**/email"
hash = { env = "PSEUDONYMS" }
[[sanitize.rule]]
at = "/commits"
truncate = { characters = 200 }
mask = { keep_last = 4 }
set = { json = "[1]" }
refuse_if = { pattern = "x" }
normalize = "nfc"
zero_width = "drop"
[forward]
to = "https://app.internal/webhooks"
deadline_ms = 5_000
headers = ["X-Acme-*", "x-request-id"]
sign = { env = "HOOKWARD_FORWARD_SECRET" }
trust_roots = [{ file = "internal.pem" }]
[handshake]
verify_token = { env = "META_VERIFY_TOKEN" }
mode = "answer"
learn_secret = "state/asana.secret"
[mode]
schema = "enforce"
"#;

#[test]
fn a_whole_file_is_read() {
    let (config, found) = findings(WHOLE, read_source);
    let config = config.unwrap();
    let path = |text: &str| PathBuf::from(text);
    assert_eq!(found, Vec::<String>::new());
    assert_eq!(config.path, Spanned { value: "/hooks/github".to_owned(), span: 8..23 });
    assert_eq!(config.methods.unwrap().value, [Method::POST, Method::PUT]);
    let types = ["application/json", "text/*"].map(|text| MediaType::Named(text.to_owned()));
    assert_eq!(config.content_types.unwrap().value, types);
    assert_eq!((config.payload.unwrap().value, config.body_bytes_max.value), (PayloadKind::Json, 5_242_880));

    let auth = config.auth.methods.into_iter().next().unwrap();
    assert!(matches!(auth.method, AuthMethod::Provider(provider) if provider.value == "github"));
    let secrets: Vec<_> = auth.secrets.iter().map(|secret| (&*secret.id.value, &secret.from.value)).collect();
    let (env, file) =
        (SecretPlace::Env("GITHUB_WEBHOOK_SECRET".to_owned()), SecretPlace::File(path("/run/secrets/github_old")));
    assert_eq!(secrets, [("2026-11", &env), ("2026-05", &file)]);
    assert_eq!(auth.secrets[1].expires.as_ref().unwrap().value, 1_798_070_400);
    assert_eq!(auth.public_keys[0].from.value, SecretPlace::File(path("etc/key.pem")));
    assert_eq!(auth.trust_roots[0].value, path("etc/roots.pem"));
    assert_eq!((&*auth.parameters[0].0.value, &*auth.parameters[0].1.value), ("webhook_id", "1"));

    let limit = LimitConfig {
        client: Rate { per_second: 5, burst: 200 },
        failures_per_minute: 6,
        block_time: Duration::from_secs(7),
        block_time_max: Duration::from_secs(7),
        in_flight_max: 8,
        json: JsonLimits { depth_max: 9, ..JsonLimits::default() },
        ..LimitConfig::default()
    };
    assert_eq!(config.limit, limit);
    let network = config.network;
    assert_eq!((network.allow.unwrap().len(), network.deny.len()), (2, 1));
    assert_eq!(network.lists[0].value, path("etc/networks/github.txt"));
    assert_eq!(config.replay.window.value, 1_200);
    assert_eq!(config.replay.on_duplicate.unwrap().value, OnDuplicate::Refuse);
    assert_eq!(config.event.place.unwrap().value, Template::of_place(Place::Json(Pointer::parse("/type").unwrap())));
    assert_eq!(config.event.unlisted.unwrap().value, Unlisted::Accept);
    let schemas = config.event.schemas.unwrap();
    assert!(schemas.any.is_none());
    assert_eq!(schemas.by_event[1].0.value, "push");
    assert_eq!(schemas.by_event[1].1.value, path("etc/schemas/push.json"));
    let rules = Rules {
        unknown_fields: Action::Drop,
        control_characters: Action::Refuse,
        html: Html::Strip,
        ..Rules::default()
    };
    assert_eq!(config.sanitize.rules, rules);
    assert_eq!(config.sanitize.keep.unwrap().value[1].value, Pattern::parse("/commits/*/id").unwrap());
    let [hashed, commits] = &config.sanitize.places[..] else { panic!("two rules") };
    assert_eq!(hashed.hash.as_ref().unwrap().value, SecretPlace::Env("PSEUDONYMS".to_owned()));
    assert!(hashed.deeds.is_empty() && commits.hash.is_none());
    assert_eq!(commits.at.value, Pattern::parse("/commits").unwrap());
    let deeds = "[Set(\"[1]\"), Mask(4), Truncate(200), RefuseIf(Unwanted(Table { bytes: 152, .. })), ZeroWidth(Drop), Normalize(Nfc)]";
    assert_eq!(format!("{:?}", commits.deeds), deeds);
    assert_eq!(config.forward.to[0].value, Upstream::Https("https://app.internal/webhooks".parse().unwrap()));
    assert_eq!(config.forward.headers[0].value, "x-acme-*");
    assert_eq!(config.forward.trust_roots[0].value, path("etc/internal.pem"));
    let handshake = config.handshake.unwrap();
    assert_eq!(handshake.mode.unwrap().value, HandshakeMode::Answer);
    assert_eq!(handshake.learn_secret.unwrap().value, path("etc/state/asana.secret"));
}

#[test]
fn what_is_left_out_has_its_default() {
    let (config, found) = check("", "");
    let config = config.unwrap();
    assert_eq!(found, Vec::<String>::new());
    assert_eq!(config.limit, LimitConfig::default());
    assert_eq!(config.limit.json, JsonLimits::default());
    assert_eq!(config.replay, ReplayConfig::default());
    assert!(config.sanitize.keeps_everything());
    assert_eq!((config.body_bytes_max.value, config.body_bytes_max.span), (1_048_576, None));
    assert_eq!((config.forward.deadline.value, config.replay.window.value), (10_000, 600));
    assert!(
        config.network.allow.is_none()
            && config.network.lists.is_empty()
            && config.network.deny.is_empty()
            && config.methods.is_none()
            && config.content_types.is_none()
            && config.payload.is_none()
    );
}

#[test]
fn an_empty_file_lacks_what_every_source_needs() {
    let (config, found) = findings("", read_source);
    assert!(config.is_none());
    assert_eq!(found, ["missing key \"path\"", "missing key \"auth\"", "missing key \"forward\""]);
}

#[test]
fn paths_are_exact_and_mean_the_same_to_every_server() {
    for path in ["/", "/a", "/a/", "/hooks/git-hub_1.x~y", "/a/...", "/@:!$&'()*+,="] {
        assert_eq!(parse_endpoint(path).as_deref(), Ok(path));
    }
    assert!(parse_endpoint(&format!("/{}", "a".repeat(PATH_BYTES_MAX - 1))).is_ok());
    assert!(parse_endpoint(&format!("/{}", "a".repeat(PATH_BYTES_MAX))).is_err());
    check_rows(&[
        ("path = 'a'", "", &["1:8: path \"a\" does not begin with \"/\""]),
        ("path = ''", "", &["1:8: path \"\" does not begin with \"/\""]),
        ("path = '/a?b'", "", &["1:11: path holds '?', which no exact path may"]),
        ("path = '/a%2fb'", "", &["1:11: path holds '%', which no exact path may"]),
        ("path = '/a;b'", "", &["1:11: path holds ';', which no exact path may"]),
        ("path = '/a\\b'", "", &["1:11: path holds '\\\\', which no exact path may"]),
        ("path = '/é'", "", &["1:10: path holds 'é', which no exact path may"]),
        ("path = \"/a\\u0000\"", "", &["1:8: path holds '\\0', which no exact path may"]),
        ("path = '/a//b'", "", &["1:8: path \"/a//b\" has an empty segment"]),
        ("path = '/a/../b'", "", &["1:8: path \"/a/../b\" has a segment that other servers would resolve"]),
        ("path = '/.'", "", &["1:8: path \"/.\" has a segment that other servers would resolve"]),
    ]);
}

#[test]
fn faults_at_the_top_level_are_told() {
    check_rows(&[
        ("pth = '/a'", "", &["1:1: unknown key \"pth\""]),
        ("public_url = 'hooks.example.com'", "", &["1:14: \"hooks.example.com\" is not an absolute URL"]),
        ("methods = ['post']", "", &["1:12: unknown method \"post\""]),
        ("methods = ['TRACE']", "", &["1:12: unknown method \"TRACE\""]),
        ("methods = []", "", &["1:11: methods is empty, so nothing would ever be accepted"]),
        ("content_types = ['json']", "", &["1:18: \"json\" is not a media type"]),
        (
            "content_types = ['text/plain; charset=utf-8']",
            "",
            &["1:18: \"text/plain; charset=utf-8\" is not a media type"],
        ),
        ("content_types = ['*/json']", "", &["1:18: \"*/json\" is not a media type"]),
        ("content_types = []", "", &["1:17: content_types is empty, so nothing would ever be accepted"]),
        ("content_types = ['*/*']", "", &[]),
        ("payload = 'jsno'", "", &["1:11: unknown payload \"jsno\""]),
        ("body_bytes_max = 0", "", &["1:18: body_bytes_max is 0, must be 1..=1_073_741_824"]),
        ("body_bytes_max = 1", "", &[]),
        ("body_bytes_max = 1_073_741_824", "", &[]),
        ("body_bytes_max = 1_073_741_825", "", &["1:18: body_bytes_max is 1073741825, must be 1..=1_073_741_824"]),
        ("", "[network]\nallow = []", &["4:9: allow is empty, so nothing would ever be accepted"]),
        ("", "[network]\nlists = []", &["4:9: lists is empty, so nothing would ever be accepted"]),
        ("", "[network]\nlists = ['']", &["4:10: \"\" is not a path"]),
        ("", "[network]\ndeny = ['192.0.2.1/24']", &["4:9: \"192.0.2.1/24\" has bits set after its first 24"]),
        ("", "[network]\ndeny = []", &[]),
        ("", "[limit]\nclient = { burst = 0 }", &["4:20: burst is 0, must be 1..=1_000_000"]),
        ("", "[limit]\nclient = 5", &["4:10: client must be a table, got an integer"]),
        ("", "[limit]\njson_depth_max = 129", &["4:18: json_depth_max is 129, must be 1..=128"]),
        ("", "[limit]\njson_depth_max = 128", &[]),
        (
            "",
            "[limit]\nfailures = { block_seconds = 60, block_seconds_max = 59 }",
            &["4:54: block_seconds_max is 59, less than block_seconds, which is 60"],
        ),
        ("", "[limit]\nfailures = { block_seconds = 60, block_seconds_max = 60 }", &[]),
        ("", "[limit]\nfailures = { block_seconds = 86_400 }", &[]),
        ("", "[limit]\nburst = 1", &["4:1: unknown key \"burst\" in limit"]),
        ("", "[replay]\nwindow_seconds = 0", &["4:18: window_seconds is 0, must be 1..=172_800"]),
        ("", "[replay]\non_duplicate = 'drop'", &["4:16: unknown on_duplicate \"drop\""]),
        (
            "",
            "[mode]\nauth = 'monitor'",
            &[
                "4:8: auth = \"monitor\" lets anybody in, so it needs because = \"…\"",
                "4:8: warning: auth is only monitored: deliveries go on without proof, marked x-hookward-unauthenticated",
            ],
        ),
        (
            "",
            "[mode]\nauth = 'monitor'\nlimit = 'monitor'\nbecause = 'we move'",
            &[
                "4:8: auth and limit cannot both be monitored: nothing would hold strangers back",
                "4:8: warning: auth is only monitored: deliveries go on without proof, marked x-hookward-unauthenticated",
                "5:9: warning: limit is only monitored: the rates of clients and of the source refuse nothing",
            ],
        ),
        (
            "",
            "[mode]\nlimit = 'monitor'\nbecause = ' '",
            &[
                "4:9: limit = \"monitor\" lets floods in, so it needs because = \"…\"",
                "4:9: warning: limit is only monitored: the rates of clients and of the source refuse nothing",
            ],
        ),
        (
            "",
            "[mode]\nlimit = 'monitor'\nbecause = 'we measure'",
            &["4:9: warning: limit is only monitored: the rates of clients and of the source refuse nothing"],
        ),
        ("", "[mode]\nschema = 'monitor'", &["4:10: warning: schema is monitored, but there is no [event.schema]"]),
        ("", "[mode]\nsanitize = 'monitor'", &["4:12: warning: sanitize is monitored, but there is no [sanitize]"]),
        ("", "[mode]\nauth = 'off'", &["4:8: unknown auth \"off\""]),
    ]);
}

#[test]
fn faults_of_authentication_are_told() {
    let scheme = "[auth.scheme]\nalgorithm = 'basic'";
    check_rows(&[
        ("", "[auth]", &["3:1: missing key \"provider\" or \"scheme\" in auth"]),
        ("", scheme, &[]),
        (
            "",
            &format!("[auth]\nprovider = 'github'\n{scheme}"),
            &["5:7: provider and scheme cannot stand together in auth"],
        ),
        (
            "",
            "[auth.scheme]\nalgorithm = 'hmac'",
            &[
                "3:1: missing key \"credential\" in auth.scheme",
                "3:1: missing key \"encoding\" in auth.scheme",
                "3:1: missing key \"signed\" in auth.scheme",
                "4:13: unknown algorithm \"hmac\"",
            ],
        ),
        ("", "[auth]\nprovider = 'git hub'", &["4:12: \"git hub\" is not the name of a provider"]),
        ("", "[auth]\nprovider = 'none'", &["3:1: missing key \"because\" in auth"]),
        ("", "[auth]\nprovider = 'none'\nbecause = ' '", &["5:11: because is empty"]),
        ("", "[auth]\nprovider = 'none'\nbecause = 'the network is private'", &[]),
        (
            "",
            "[auth]\nprovider = 'none'\nbecause = 'x'\nsecrets = []",
            &["6:1: \"secrets\" has no meaning beside provider = \"none\""],
        ),
        ("", "[auth]\nprovider = 'github'\nbecause = 'x'", &["5:1: \"because\" is for provider = \"none\" only"]),
        ("", "[auth]\nprovider = 'github'\nsecrets = 'x'", &["5:11: secrets must be an array of tables, got a string"]),
        (
            "",
            "[auth]\nprovider = 'github'\nsecrets = [{ env = 'A' }]",
            &["5:12: missing key \"id\" in auth.secrets[0]"],
        ),
        (
            "",
            "[auth]\nprovider = 'github'\nsecrets = [{ id = 'a' }]",
            &["5:12: missing key \"env\" or \"file\" or \"credential\" in auth.secrets[0]"],
        ),
        (
            "",
            "[auth]\nprovider = 'github'\nsecrets = [{ id = 'a', env = 'A', file = 'a' }]",
            &["5:35: env and file cannot stand together in auth.secrets[0]"],
        ),
        (
            "",
            "[auth]\nprovider = 'github'\nsecrets = [{ id = 'a b', env = 'A' }]",
            &["5:19: id must be of 1 to 64 letters, digits, \".\", \"_\" or \"-\""],
        ),
        (
            "",
            "[auth]\nprovider = 'github'\nsecrets = [{ id = 'a', env = '1A' }]",
            &["5:30: env must be the name of an environment variable: letters, digits and \"_\""],
        ),
        (
            "",
            "[auth]\nprovider = 'github'\nsecrets = [{ id = 'a', env = 'A' }, { id = 'a', env = 'B' }]",
            &["5:44: id \"a\" is there twice in secrets"],
        ),
        (
            "",
            "[auth]\nprovider = 'github'\nsecrets = [{ id = 'a', env = 'A', expires = 2026-12-24 }]",
            &["5:45: expires must be a date-time with an offset, got 2026-12-24"],
        ),
        (
            "",
            "[auth]\nprovider = 'github'\ntrust_roots = [{ file = 1 }]",
            &["5:25: file must be a string, got an integer"],
        ),
    ]);
}

#[test]
fn parameters_are_filled_in_and_name_one_place() {
    check_rows(&[
        ("", "[auth]\nprovider = 'token'\nparameters = { query = 'key' }", &[]),
        (
            "",
            "[auth]\nprovider = 'token'\nparameters = { query = 'key', header = 'x-key' }",
            &["5:16: header and query cannot stand together in auth.parameters"],
        ),
        ("", "[auth]\nprovider = 'livekit'\nparameters = { api_key = 'fill it' }", &[]),
        (
            "",
            "[auth]\nprovider = 'livekit'\nparameters = { api_key = 'fill in' }",
            &["5:26: api_key is still to be filled in"],
        ),
    ]);
}

#[test]
fn faults_of_rules_for_places_are_told() {
    let rule = |text: &str| format!("[[sanitize.rule]]\n{text}");
    let rows: [(&str, &[&str]); 20] = [
        ("drop = true", &["3:1: missing key \"at\" in sanitize.rule[0]"]),
        ("at = '/a'", &["3:1: the rule does nothing"]),
        ("at = 'a'\ndrop = true", &["4:6: \"a\" is no place of a body"]),
        ("at = '/a*'\ndrop = true", &["4:6: \"/a*\" is no place of a body"]),
        ("at = '/**'\ndrop = true", &["4:6: drop at the whole body leaves nothing of it"]),
        ("at = ''\nset = 1", &["4:6: set at the whole body leaves nothing of it"]),
        ("at = '/a'\ndrop = false", &["5:8: drop = false says nothing: leave it out"]),
        ("at = '/a'\nset = 1.5", &["5:7: set must be a string, an integer or a boolean, got a float"]),
        ("at = '/a'\nset = { json = '{' }", &["5:16: set is not JSON without names that stand twice"]),
        ("at = '/a'\nset = { json = '{\"a\":1,\"a\":2}' }", &["5:16: set is not JSON without names that stand twice"]),
        ("at = '/a'\nhash = 'secret'", &["5:8: hash must be a table, got a string"]),
        ("at = '/a'\nhash = {}", &["5:8: missing key \"env\" or \"file\" or \"credential\" in sanitize.rule[0].hash"]),
        ("at = '/a'\ntruncate = {}", &["5:12: missing key \"characters\" in sanitize.rule[0].truncate"]),
        ("at = '/a'\ntruncate = { characters = 0 }", &["5:27: characters is 0, must be 1..=1_048_576"]),
        ("at = '/a'\nmask = { keep_last = 65 }", &["5:22: keep_last is 65, must be 0..=64"]),
        ("at = '/a'\nhtml = 'keep'", &["5:8: unknown html \"keep\""]),
        ("at = '/a'\ncontrol_characters = 'keep'", &["5:22: unknown control_characters \"keep\""]),
        (
            "at = '/a'\nrefuse_if = { pattern = '(?=a)' }",
            &["5:25: pattern \"(?=a)\" is none that runs in linear time and bounded memory"],
        ),
        ("at = '/a'\nrefuse_if = { pattern = '(' }", &["5:25: pattern \"(\" is no regular expression"]),
        (
            "at = '/a'\nrefuse_if = { injection = ['sql', 'xss'] }",
            &[
                "5:15: \"injection\" is not supported: no detector of injections is sound enough to refuse deliveries by",
            ],
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(check("", &rule(text)).1, expected, "{text}");
    }
    let many = |count: usize| rule("at = '/a'\ndrop = true\n").repeat(count);
    assert_eq!(check("", &many(64)).1, Vec::<String>::new());
    assert_eq!(check("", &many(65)).1, ["3:1: rule has 65 items, at most 64 are read"]);
    assert_eq!(check("", "[sanitize]\nkeep = []").1, ["4:8: keep is empty, so nothing would ever go on"]);
    assert_eq!(check("", "[sanitize]\nkeep = ['a']").1, ["4:9: \"a\" is no place of a body"]);
}

#[test]
fn what_is_wrong_with_a_pattern_is_said_in_one_line() {
    for (pattern, hint) in [
        ("(", "unclosed group"),
        ("(?=a)", "look-around, including look-ahead and look-behind, is not supported"),
        ("(a)\\1", "backreferences are not supported"),
    ] {
        let mut files = Files::default();
        let rule = format!("[[sanitize.rule]]\nat = '/a'\nrefuse_if = {{ pattern = '{pattern}' }}\n");
        let file = files.add("a.toml", rule);
        let mut found = Diagnostics::default();
        read_source(&file, &mut found);
        let hints: Vec<_> = found.sorted().iter().filter_map(|found| found.hint.clone()).collect();
        assert_eq!(hints, [hint], "{pattern}");
    }
}

#[test]
fn faults_of_events_and_sanitizing_are_told() {
    check_rows(&[
        ("", "[event]\nheader = 'x y'", &["4:10: \"x y\" is not the name of a header field"]),
        ("", "[event]\nheader = 'x'\npointer = '/a'", &["5:1: header and pointer cannot stand together"]),
        ("", "[event]\npointer = 'a'", &["4:11: \"a\" is not a JSON Pointer"]),
        ("", "[event]\npointer = ''", &["4:11: the empty pointer is the whole body"]),
        ("", "[event]\nunlisted = 'drop'", &["4:12: unknown unlisted \"drop\""]),
        ("", "[event]\nunlisted = 'accept'", &["4:12: warning: unlisted has no effect without [event.schema]"]),
        (
            "",
            "[event]\nunlisted = 'accept'\n[event.schema]\n'*' = 'a.json'",
            &["4:12: warning: unlisted has no effect beside the schema \"*\", which every event has"],
        ),
        ("", "[event.schema]", &["3:1: warning: [event.schema] is empty, so every event is unlisted"]),
        ("", "[event.schema]\npush = 1", &["4:8: push must be a string, got an integer"]),
        (
            "",
            "[sanitize]\nunknown_fields = 'drop'",
            &["4:1: unknown_fields needs [event.schema]: without a schema no field is known"],
        ),
        ("", "[sanitize]\nprototype_keys = 'cut'", &["4:18: unknown prototype_keys \"cut\""]),
        (
            "payload = 'opaque'",
            "[sanitize]\nprototype_keys = 'drop'",
            &["3:2: [sanitize] cannot work beside payload = \"opaque\", which is not read"],
        ),
        ("payload = 'opaque'", "[sanitize]\nprototype_keys = 'keep'", &[]),
        (
            "payload = 'opaque'",
            "[event.schema]\na = 'a.json'",
            &["3:2: [event.schema] cannot work beside payload = \"opaque\", which is not read"],
        ),
    ]);
    let (config, found) = check("", "[event.schema]\n'*' = 'a.json'\npush = 'b.json'");
    let schemas = config.and_then(|config| config.event.schemas).unwrap();
    assert_eq!((found.len(), schemas.by_event.len()), (0, 1));
    assert_eq!(schemas.any.unwrap().value, PathBuf::from("etc/a.json"));
}

#[test]
fn upstreams_are_urls_or_sockets() {
    let socket = |socket: &str, path: &str| Upstream::Unix { socket: PathBuf::from(socket), path: path.to_owned() };
    let rows = [
        ("http://127.0.0.1:3000", Upstream::Http("http://127.0.0.1:3000".parse().unwrap())),
        ("https://app/x", Upstream::Https("https://app/x".parse().unwrap())),
        ("unix:/run/app.sock:/hooks/a", socket("/run/app.sock", "/hooks/a")),
        ("unix:/run/app.sock", socket("/run/app.sock", "/")),
        ("unix:app.sock:/", socket("etc/app.sock", "/")),
    ];
    for (text, expected) in rows {
        let (config, found) = check("", &format!("[forward]\nto = '{text}'"));
        assert_eq!(found, Vec::<String>::new(), "{text}");
        assert_eq!(config.unwrap().forward.to[0].value, expected, "{text}");
    }
    check_rows(&[
        ("", "[forward]", &["3:1: missing key \"to\" in forward"]),
        ("", "[forward]\nto = '127.0.0.1:3000'", &["4:6: \"127.0.0.1:3000\" is not an absolute URL"]),
        ("", "[forward]\nto = 'http://a/?b'", &["4:6: \"http://a/?b\" has a query, which does not belong here"]),
        ("", "[forward]\nto = 'unix:'", &["4:6: \"\" is not a path"]),
        ("", "[forward]\nto = 'unix:/a:/b?c'", &["4:6: \"/b?c\" is not a path of a request without query"]),
        ("", "[forward]\nto = 'http://a'\ndeadline_ms = 0", &["5:15: deadline_ms is 0, must be 1..=600_000"]),
        ("", "[forward]\nto = 'http://a'\nsign = 'x'", &["5:8: sign must be a table, got a string"]),
        (
            "",
            "[forward]\nto = 'http://a'\ntrust_roots = [{ file = 'a' }]",
            &["5:1: trust_roots has no meaning without an https upstream"],
        ),
    ]);
    let near = "the upstream is at a link-local address, or where a cloud hands out credentials";
    for to in
        ["http://169.254.169.254/x", "https://[fe80::1]/", "http://[::ffff:169.254.0.1]:80", "http://100.100.100.200"]
    {
        assert_eq!(check("", &format!("[forward]\nto = '{to}'")).1, [format!("4:6: {near}")], "{to}");
        assert_eq!(check("", &format!("[forward]\nto = '{to}'\nlink_local = true")).1, Vec::<String>::new(), "{to}");
    }
    for pattern in ["*", "a b", "authorization", "Connection", "x-forwarded-for", "x-hookward-source"] {
        let found = check("", &format!("[forward]\nto = 'http://a'\nheaders = ['x-ok', '{pattern}']")).1;
        assert_eq!(found.len(), 1, "{pattern}");
        assert!(found[0].starts_with(&format!("5:20: header {pattern:?} is ")), "{found:?}");
    }
}

#[test]
fn a_list_of_upstreams_has_two_to_sixteen_of_one_kind_each_at_another_place() {
    let list = |count: usize| (0..count).map(|port| format!("'http://a:{}'", port + 1)).collect::<Vec<_>>().join(", ");
    for count in [2, 15, 16] {
        let (config, found) = check("", &format!("[forward]\nto = [{}]", list(count)));
        assert_eq!((found.len(), config.unwrap().forward.to.len()), (0, count));
    }
    let rows = [
        (list(0), "4:6: a list of upstreams has at least two"),
        (list(1), "4:6: a list of upstreams has at least two"),
        (list(17), "4:6: to has 17 items, at most 16 are read"),
        ("'http://a', 'https://b'".to_owned(), "4:19: not of the same kind as the first of the list"),
        ("'unix:a.sock', 'http://b'".to_owned(), "4:22: not of the same kind as the first of the list"),
        ("'http://a', 'http://A:80/x'".to_owned(), "4:19: this place stands in the list already"),
        ("'https://a:443', 'https://a'".to_owned(), "4:24: this place stands in the list already"),
        ("'unix:a.sock:/x', 'unix:a.sock:/y'".to_owned(), "4:25: this place stands in the list already"),
        ("'http://a', 'b'".to_owned(), "4:19: \"b\" is not an absolute URL"),
        (
            "'http://a', 'http://169.254.0.1'".to_owned(),
            "4:19: the upstream is at a link-local address, or where a cloud hands out credentials",
        ),
    ];
    for (list, expected) in rows {
        assert_eq!(check("", &format!("[forward]\nto = [{list}]")).1, [expected], "{list}");
    }
    for list in ["'http://a:80', 'http://a:81'", "'unix:a.sock', 'unix:b.sock'", "'https://a/x', 'https://b/y'"] {
        assert_eq!(check("", &format!("[forward]\nto = [{list}]")).1, Vec::<String>::new(), "{list}");
    }
}

#[test]
fn a_health_check_names_a_path_and_stays_within_bounds() {
    let health = |text: &str| check("", &format!("[forward]\nto = 'http://a'\nhealth = {{ {text} }}"));
    let rows = [
        ("", "5:10: missing key \"path\" in forward.health"),
        ("path = 'healthz'", "5:19: \"healthz\" is not a path of a request without query"),
        ("path = '/a?b'", "5:19: \"/a?b\" is not a path of a request without query"),
        ("path = '/', every_seconds = 0", "5:40: every_seconds is 0, must be 1..=3_600"),
        ("path = '/', timeout_ms = 60_001", "5:37: timeout_ms is 60001, must be 1..=60_000"),
        ("path = '/', healthy = 101", "5:34: healthy is 101, must be 1..=100"),
        ("path = '/', unhealthy = 0", "5:36: unhealthy is 0, must be 1..=100"),
        ("path = '/', method = 'GET'", "5:24: unknown key \"method\" in forward.health"),
    ];
    for (text, expected) in rows {
        assert_eq!(health(text).1, [expected], "{text}");
    }
    let (config, found) =
        health("path = '/healthz', every_seconds = 3_600, timeout_ms = 1, healthy = 100, unhealthy = 1");
    assert_eq!(found, Vec::<String>::new());
    let config = config.unwrap().forward.health.unwrap();
    assert_eq!((config.path.value.path(), config.every.value, config.timeout.value), ("/healthz", 3_600, 1));
    assert_eq!((config.healthy.value, config.unhealthy.value), (100, 1));
}

#[test]
fn pasted_secrets_are_masked_in_the_report() {
    let rows = [
        "[auth]\nprovider = 'github'\nsecrets = ['hunter2']",
        "[auth]\nprovider = 'github'\nsecrets = 'hunter2'",
        "[auth]\nprovider = 'github'\nsecret = 'hunter2'",
        "[auth]\nprovider = 'github'\nsecrets = [{ id = 'a', value = 'hunter2' }]",
        "[auth]\nprovider = 'github'\nsecrets = [{ id = 'a', env = 'hunter2!' }]",
        "[auth]\nprovider = 'github'\nsecrets = [{ id = 'hunter2!', env = 'A' }]",
        "[auth]\nprovider = 'github'\nsecrets = [{ id = 'a', env = ['hunter2'] }]",
        "[auth]\nprovider = 'github'\nsecrets = [{ id = 'a' value = 'hunter2' }]",
        "[handshake]\nverify_token = 'hunter2'",
        "[forward]\nto = 'http://a'\nsign = 'hunter2'",
        "[forward]\nto = 'http://a'\nsign = { secret = 'hunter2' }",
        "secret = 'hunter2'",
        "public_url = 'https://user:hunter2@a b/'",
        "[forward]\nto = 'http://user:hunter2@a/'",
        "[forward]\nto = ['http://a/', 'http://user:hunter2@a:0/']",
        "[forward]\nto = 'user:hunter2@a'",
        "[forward]\nto = http://user:hunter2@a/",
        "[forward]\nto = 'http://user:hunter2@a/",
        "[forward]\nwhere = 'http://user:hunter2@a/'",
    ];
    for text in rows {
        let mut files = Files::default();
        let file = files.add("a.toml", text);
        let mut found = Diagnostics::default();
        read_source(&file, &mut found);
        let report = found.report(&files, &Styles::plain()).to_string();
        assert!(found.has_errors() && !report.contains("hunter2"), "{text}\n{report}");
    }
}

#[test]
fn a_report_shows_every_fault_with_its_line() {
    let text = r#"path = "/hooks//github"
payload = "jsno"
body_bytes_max = 0
[auth]
provider = "github"
secrets = [
	{ id = "2026-11", env = "GITHUB_WEBHOOK_SECRET", expires = "2026-12-24" },
	{ id = "2026-11", value = "hunter2" },
]
[network]
allow = ["192.30.252.7/22"]
[limit]
client = { per_second = 50, bust = 200 }
[event]
unlisted = "accept"
[forward]
to = "127.0.0.1:3000/größe"
deadline_ms = "10s"
"#;
    let mut files = Files::default();
    let file = files.add("policies/github.toml", text);
    let mut found = Diagnostics::default();
    read_source(&file, &mut found);
    let report = format!("{}{}", found.report(&files, &Styles::plain()), found.summary());
    insta::assert_snapshot!(report);
}

proptest! {
    #[test]
    fn no_cut_or_changed_file_can_make_the_reader_panic(cut in 0..WHOLE.len(), at in 0..WHOLE.len(), byte in any::<char>()) {
        let mut text = WHOLE.to_owned();
        text.insert(at, byte);
        findings(&text, read_source);
        findings(&text[..text.floor_char_boundary(cut)], read_source);
    }
}

#[test]
fn event_names_may_be_patterns_that_do_not_tie() {
    let rows: &[(&str, &[&str])] = &[
        ("'a.*' = 's.json'\n'a.b.*' = 's.json'\n'a.b' = 's.json'", &[]),
        ("'a.*.c' = 's.json'\n'*.bb.c' = 's.json'", &[]),
        (
            "'a.*.c' = 's.json'\n'*.b.c' = 's.json'",
            &["\"*.b.c\" and \"a.*.c\" fit the same events, and none is more specific"],
        ),
        ("'a*b' = 's.json'", &["\"a*b\" has its \"*\" within a segment: it stands at the end of one, or of the name"]),
        ("'a.*.*' = 's.json'", &["\"a.*.*\" has more than one \"*\""]),
    ];
    for (schemas, expected) in rows {
        let text = format!("[event]\nform = 'event'\n[event.schema]\n{schemas}");
        let (_, found) = check("", &text);
        let found: Vec<_> = found.iter().map(|line| line.split_once(": ").unwrap().1).collect();
        assert_eq!(found, *expected, "{schemas}");
    }
}

#[test]
fn an_event_is_in_one_place() {
    for (keys, faults) in [
        ("form = 'a'", 0),
        ("form = ''", 1),
        ("header = 'a'\nform = 'b'", 1),
        ("pointer = '/a'\nform = 'b'", 1),
        ("header = 'a'\npointer = '/b'\nform = 'c'", 2),
    ] {
        assert_eq!(check("", &format!("[event]\n{keys}")).1.len(), faults, "{keys}");
    }
}
