//! The earlier fault wins: for every two faults a request can have at once, the record names the one that stands first.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::fs;

use bytes::Bytes;
use hookward::admit::{Capacity, Limits};
use hookward::auth::key::{KeyKind, NamedSecret};
use hookward::auth::sign::{Unsigned, sign};
use hookward::offline::{Replays, Verdict, judge};
use hookward::policy::Policy;
use hookward::policy::gateway_config::PoliciesConfig;
use hookward::policy::load::{self, Loaded};
use hookward::policy::preset;
use hookward::policy::secrets::{Resolved, Resolver, SecretFault};
use hookward::policy::source_config::SecretPlace;
use hookward::policy::table::Spanned;
use hookward::secret::Secret;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request};

const SECRET: &str = "a-secret-of-some-length";
const NOW: i64 = 1_782_907_200;

const POLICY: &str = r#"
path = "/hooks/slack"
content_types = ["application/json"]
body_bytes_max = 200
[auth]
provider = "slack"
secrets = [{ id = "only", env = "SECRET" }]
[event]
pointer = "/type"
[event.schema]
known = "known.json"
[sanitize]
control_characters = "refuse"
[forward]
to = "http://127.0.0.1:9/"
"#;

const SCHEMA: &str = r#"{ "type": "object", "properties": { "n": { "type": "integer" } } }"#;

const SCHEMA_OF_TWO: &str =
    r#"{ "type": "object", "properties": { "type": true, "s": { "type": "string", "minLength": 2 } } }"#;

const CLEANING: &str = r#"
path = "/hooks/slack"
content_types = ["application/json"]
body_bytes_max = 2000
[auth]
provider = "slack"
secrets = [{ id = "only", env = "SECRET" }]
[event]
pointer = "/type"
[event.schema]
known = "known.json"
[sanitize]
unknown_fields = "drop"
control_characters = "drop"
[forward]
to = "http://127.0.0.1:9/"
"#;

/// Faults in the order in which a delivery meets them.
const FAULTS: [&str; 13] = [
    "header_malformed",
    "header_duplicated",
    "unknown_source",
    "method_not_allowed",
    "unsupported_media_type",
    "content_encoding_refused",
    "credential_malformed",
    "timestamp_stale",
    "body_too_large",
    "credential_mismatch",
    "json_malformed",
    "schema_mismatch",
    "sanitizer_refused",
];

/// Those that a policy can have monitored, and that the body is read behind.
const MONITORED: [&str; 4] = ["credential_malformed", "timestamp_stale", "credential_mismatch", "schema_mismatch"];

struct OneSecret;

impl Resolver for OneSecret {
    fn resolve(&self, _place: &SecretPlace) -> Result<Resolved, SecretFault> {
        Ok(Resolved::Secret(Secret::new(SECRET.into())))
    }
}

fn policy() -> Policy {
    policy_of(POLICY, SCHEMA)
}

fn policy_of(policy: &str, schema: &str) -> Policy {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("slack.toml"), policy).unwrap();
    fs::write(folder.path().join("known.json"), schema).unwrap();
    let directory = Spanned { value: folder.path().to_owned(), span: 0..0 };
    let limits = Limits::new(Capacity::default());
    let mut loaded = Loaded::default();
    load::load(&PoliciesConfig { directory, strict: false }, &OneSecret, &limits, &mut loaded).unwrap()
}

/// A request with exactly these faults.
fn request(faults: &[&str]) -> (Parts, Bytes) {
    let has = |fault: &str| faults.contains(&fault);
    let number = if has("schema_mismatch") { "\"one\"" } else { "1" };
    let text = if has("sanitizer_refused") { "\\u0007" } else { "" };
    let mut body = format!(r#"{{"type":"known","n":{number},"s":"{text}"}}"#);
    if has("json_malformed") {
        body.push('}');
    }
    if has("body_too_large") {
        body.push_str(&" ".repeat(300));
    }
    signed(&body, faults)
}

/// This body, signed, with the faults that are not the body's.
fn signed(body: &str, faults: &[&str]) -> (Parts, Bytes) {
    let has = |fault: &str| faults.contains(&fault);
    let secret = if has("credential_mismatch") { "another-secret-altogether" } else { SECRET };
    let secret =
        NamedSecret { id: "x".into(), secret: Secret::new(secret.into()), expires: None, kind: KeyKind::Secret };
    let body = Bytes::copy_from_slice(body.as_bytes());
    let mut headers = HeaderMap::new();
    let host = if has("header_malformed") { "a b" } else { "hooks.example.com" };
    headers.insert("host", HeaderValue::from_static(host));
    let media_type = if has("unsupported_media_type") { "text/plain" } else { "application/json" };
    headers.insert("content-type", HeaderValue::from_static(media_type));
    if has("header_duplicated") {
        headers.append("content-type", HeaderValue::from_static(media_type));
    }
    if has("content_encoding_refused") {
        headers.insert("content-encoding", HeaderValue::from_static("gzip"));
    }
    let now = if has("timestamp_stale") { NOW - 1000 } else { NOW };
    let path = if has("unknown_source") { "/hooks/elsewhere" } else { "/hooks/slack" };
    let unsigned =
        Unsigned { method: Method::POST, uri: path.parse().unwrap(), headers, public_url: None, body: &body, now };
    let mut signed = sign(&preset::find("slack").unwrap().signing.schemes()[0], &secret, unsigned).unwrap();
    if has("credential_malformed") {
        signed.headers.insert("x-slack-signature", HeaderValue::from_static("v0=short"));
    }
    let mut request = Request::new(());
    *request.method_mut() = if has("method_not_allowed") { Method::PUT } else { Method::POST };
    *request.uri_mut() = signed.uri;
    *request.headers_mut() = signed.headers;
    (request.into_parts().0, body)
}

fn reason(policy: &Policy, faults: &[&str]) -> &'static str {
    let (head, body) = request(faults);
    told(policy, &head, body)
}

fn told(policy: &Policy, head: &Parts, body: Bytes) -> &'static str {
    judged(policy, head, body).0
}

/// What a request is told, and what was found besides where the policy only monitors.
fn judged(policy: &Policy, head: &Parts, body: Bytes) -> (&'static str, Vec<&'static str>) {
    let judgement = judge(policy, head, body, NOW, Replays::Ignored);
    let told = match judgement.verdict {
        Verdict::Accept(_) => "accept",
        Verdict::Answer(answer) => answer.why,
        Verdict::Reject(rejection) => rejection.reason().code(),
    };
    (told, judgement.monitored.iter().map(|finding| finding.reason().code()).collect())
}

#[test]
fn a_request_without_fault_is_accepted() {
    assert_eq!(reason(&policy(), &[]), "accept");
}

#[test]
fn of_any_two_faults_the_earlier_one_wins() {
    let policy = policy();
    for (position, earlier) in FAULTS.iter().enumerate() {
        assert_eq!(reason(&policy, &[earlier]), *earlier);
        for later in &FAULTS[position + 1..] {
            assert_eq!(reason(&policy, &[earlier, later]), *earlier, "{earlier} beside {later}");
        }
    }
}

/// What a stage let pass is told with whatever refuses the delivery after it.
#[test]
fn a_monitored_fault_is_found_and_the_enforced_one_behind_it_refuses() {
    let modes = "[mode]\nauth = \"monitor\"\nschema = \"monitor\"\nbecause = \"moving\"\n[forward]";
    let policy = policy_of(&POLICY.replace("[forward]", modes), SCHEMA);
    for found in MONITORED {
        let position = FAULTS.iter().position(|fault| *fault == found).unwrap();
        let enforced = |fault: &&&str| !MONITORED.contains(*fault);
        let (earlier, later) = FAULTS.split_at(position);
        for refusing in later.iter().filter(enforced) {
            let (head, body) = request(&[found, refusing]);
            assert_eq!(judged(&policy, &head, body), (*refusing, vec![found]), "{found} before {refusing}");
        }
        for refusing in earlier.iter().filter(enforced) {
            let (head, body) = request(&[refusing, found]);
            assert_eq!(judged(&policy, &head, body), (*refusing, vec![]), "{found} behind {refusing}");
        }
        let (head, body) = request(&[found]);
        assert_eq!(judged(&policy, &head, body), ("accept", vec![found]));
    }
}

/// The report lists the first edits and counts the rest: what is only counted must not escape the second check.
#[test]
fn a_string_that_no_longer_fits_once_it_is_cleaned_is_refused_however_many_edits_come_before_it() {
    let policy = policy_of(CLEANING, SCHEMA_OF_TWO);
    for (unknown, text, expected) in [
        (0, "ab\\u0007", "accept"),
        (0, "a\\u0007", "schema_mismatch"),
        (63, "a\\u0007", "schema_mismatch"),
        (64, "a\\u0007", "schema_mismatch"),
        (70, "a\\u0007", "schema_mismatch"),
        (70, "ab", "accept"),
    ] {
        let members: Vec<_> = (0..unknown).map(|number| format!(r#""u{number}":0,"#)).collect();
        let members = members.concat();
        let body = format!(r#"{{{members}"type":"known","s":"{text}"}}"#);
        let (head, body) = signed(&body, &[]);
        assert_eq!(told(&policy, &head, body), expected, "{unknown} unknown members, {text}");
    }
}

#[test]
fn an_object_with_too_few_members_once_it_is_cleaned_is_refused() {
    let schema = r#"{ "type": "object", "properties": { "type": true, "s": true }, "minProperties": 2 }"#;
    let rules = "unknown_fields = \"drop\"";
    let operators = CLEANING.replace(rules, "operator_keys = \"drop\"");
    for (policy, body, expected) in [
        (CLEANING, r#"{"type":"known","s":1,"u":2}"#, "accept"),
        (CLEANING, r#"{"type":"known","u":2}"#, "schema_mismatch"),
        (&operators, r#"{"type":"known","u":2}"#, "accept"),
        (&operators, r#"{"type":"known","$gt":2}"#, "schema_mismatch"),
    ] {
        let (head, text) = signed(body, &[]);
        assert_eq!(told(&policy_of(policy, schema), &head, text), expected, "{body}");
    }
}

#[test]
fn all_faults_at_once_are_told_one_by_one_as_they_are_mended() {
    let policy = policy();
    for (position, first) in FAULTS.iter().enumerate() {
        assert_eq!(reason(&policy, &FAULTS[position..]), *first);
    }
}

const BY_GET: &str = r#"
path = "/hooks/slack"
methods = ["GET", "POST"]
content_types = ["application/json"]
[auth]
provider = "token"
secrets = [{ id = "only", env = "SECRET" }]
[forward]
to = "http://127.0.0.1:9/"
"#;

/// A request with these fields and this body.
fn bare(method: Method, fields: &[(&'static str, &'static str)], body: &'static str) -> (Parts, Bytes) {
    let request = Request::builder().method(method).uri("/hooks/slack").header("host", "hooks.example.com");
    let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    (request.body(()).unwrap().into_parts().0, Bytes::from_static(body.as_bytes()))
}

/// Some providers put everything into the URL.
#[test]
fn a_get_needs_no_media_type_as_long_as_it_has_no_body() {
    let policy = policy_of(BY_GET, SCHEMA);
    let (token, json, text) =
        (("x-webhook-token", SECRET), ("content-type", "application/json"), ("content-type", "text/plain"));
    let rows = [
        (Method::GET, vec![token], "", "accept"),
        (Method::GET, vec![token], "x", "unsupported_media_type"),
        (Method::GET, vec![token, json], "{}", "accept"),
        (Method::GET, vec![token, text], "", "unsupported_media_type"),
        (Method::GET, vec![token, ("content-type", "")], "", "unsupported_media_type"),
        (Method::POST, vec![token], "", "unsupported_media_type"),
        (Method::GET, vec![], "", "credential_missing"),
    ];
    for (method, fields, body, expected) in rows {
        let (head, bytes) = bare(method.clone(), &fields, body);
        assert_eq!(told(&policy, &head, bytes), expected, "{method} {body:?}");
    }
}
