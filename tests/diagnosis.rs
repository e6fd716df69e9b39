//! Why a credential was refused: each finding with the nearest request that must not be found, and what the gateway makes of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where something is not as it says")]

#[path = "kit/answering.rs"]
mod answering;
#[path = "kit/shared.rs"]
mod shared;

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use answering::Answering;
use bytes::Bytes;
use hookward::admit::{Capacity, Limits};
use hookward::auth::diagnosis::Finding;
use hookward::auth::key::{KeyKind, NamedSecret};
use hookward::auth::scheme::{Algorithm, Encoding, Hash, Scheme, SecretForm, Shape};
use hookward::auth::sign::{Unsigned, sign};
use hookward::clock::Clock;
use hookward::delivery::HostMatch;
use hookward::forward::request::Protocol;
use hookward::gateway::diagnose::{Diagnosis, Diagnostician, QUEUE_BYTES_MAX, QUEUE_MAX};
use hookward::gateway::{Arrival, Commitment, Gateway};
use hookward::policy::gateway_config::PoliciesConfig;
use hookward::policy::load::{self, Loaded};
use hookward::policy::secrets::{Resolved, Resolver, SecretFault};
use hookward::policy::source_config::SecretPlace;
use hookward::policy::table::Spanned;
use hookward::policy::{Policy, preset};
use hookward::reason::Level;
use hookward::record::{self, Telemetry};
use hookward::secret::Secret;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full};

const NOW: i64 = 1_782_907_200;

/// Stands in every secret, and in what is signed.
const SENTINEL: &str = "SeNtInEl";

/// Secrets by the names of their variables.
const SECRETS: [(&str, &str); 8] = [
    ("GITHUB", "github-SeNtInEl-of-sixteen-bytes"),
    ("OLD", "the-old-SeNtInEl-of-that-source"),
    ("OTHER", "SeNtInEl-of-another-github-source"),
    ("PREFIXED", "whsec_U2VOdEluRWwtYmFzZTY0LXNlY3JldA=="),
    ("HEX", "53654e74496e456c2d6865782d736563726574"),
    ("SPACED", "  \"SeNtInEl-with-quotes-around\" "),
    ("TWILIO", "twilio-SeNtInEl-of-sixteen-bytes"),
    ("TOKEN", "a-token-SeNtInEl-of-sixteen-bytes"),
];

struct Known;

impl Resolver for Known {
    fn resolve(&self, place: &SecretPlace) -> Result<Resolved, SecretFault> {
        let SecretPlace::Env(name) = place else { return Err(SecretFault::Unset(String::new())) };
        let found = SECRETS.iter().find(|(known, _)| known == name).ok_or_else(|| SecretFault::Unset(name.clone()))?;
        Ok(Resolved::Secret(Secret::new(found.1.into())))
    }
}

/// Policies by the names of their files.
fn policies() -> Vec<(&'static str, String)> {
    let policy = |name: &str, auth: &str| {
        format!(
            "path = \"/{name}\"\ncontent_types = [\"*/*\"]\nbody_bytes_max = 16_777_216\n[auth]\n{auth}\n[limit]\n\
             client = {{ per_second = 1_000_000, burst = 1_000_000 }}\nfailures = {{ per_minute = 100_000, block_seconds = 1 }}\n\
             [forward]\nto = \"http://127.0.0.1:9/\"\n"
        )
    };
    let one = |provider: &str, secret: &str| {
        format!("provider = \"{provider}\"\nsecrets = [{{ id = \"1\", env = \"{secret}\" }}]")
    };
    vec![
        (
            "github",
            policy(
                "github",
                "provider = \"github\"\nsecrets = [{ id = \"new\", env = \"GITHUB\" }, { id = \"old\", env = \"OLD\", expires = 2020-01-01T00:00:00Z }]",
            ),
        ),
        ("other", policy("other", &one("github", "OTHER"))),
        ("prefixed", policy("prefixed", &one("github", "PREFIXED"))),
        ("hex", policy("hex", &one("github", "HEX"))),
        ("spaced", policy("spaced", &one("github", "SPACED"))),
        ("stripe", policy("stripe", &one("stripe", "GITHUB"))),
        ("webhooks", policy("webhooks", &one("standard-webhooks", "PREFIXED"))),
        ("token", policy("token", &one("token", "TOKEN"))),
        (
            "twilio",
            format!(
                "public_url = \"https://hooks.example.test/twilio\"\n{}",
                policy("twilio", &one("twilio", "TWILIO"))
            ),
        ),
    ]
}

fn policy(limits: &Limits) -> Policy {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in policies() {
        fs::write(folder.path().join(format!("{name}.toml")), text).unwrap();
    }
    let directory = Spanned { value: folder.path().to_owned(), span: 0..0 };
    let mut loaded = Loaded::default();
    let policy = load::load(&PoliciesConfig { directory, strict: false }, &Known, limits, &mut loaded);
    policy.unwrap_or_else(|| panic!("{:#?}", loaded.diagnostics))
}

fn secret(name: &str) -> &'static str {
    SECRETS.iter().find(|(known, _)| *known == name).unwrap().1
}

/// A request to a source, on its way.
#[derive(Clone)]
struct Sent {
    source: &'static str,
    target: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Sent {
    /// Signed by a source's provider with a key.
    fn signed(source: &'static str, key: &[u8], body: &str) -> Self {
        Self::signed_as(source, key, body, |_| {})
    }

    /// The same by a scheme with something changed.
    fn signed_as(source: &'static str, key: &[u8], body: &str, change: impl FnOnce(&mut Scheme)) -> Self {
        let provider = match source {
            "github" | "other" | "prefixed" | "hex" | "spaced" => "github",
            "webhooks" => "standard-webhooks",
            other => other,
        };
        let mut scheme = preset::find(provider).unwrap().signing.schemes().last().unwrap().clone();
        scheme.secret = SecretForm::default();
        change(&mut scheme);
        Self::by(&scheme, source, key, body, "https://hooks.example.test/twilio", &format!("/{source}"))
    }

    fn by(scheme: &Scheme, source: &'static str, key: &[u8], body: &str, url: &str, target: &str) -> Self {
        let secret =
            NamedSecret { id: "1".into(), secret: Secret::new(key.into()), expires: None, kind: KeyKind::Secret };
        let mut headers = HeaderMap::new();
        let media_type = if source == "twilio" { "application/x-www-form-urlencoded" } else { "application/json" };
        headers.insert("content-type", HeaderValue::from_static(media_type));
        headers.insert("host", HeaderValue::from_static("gateway.example.test:8443"));
        let bytes = Bytes::from(body.to_owned());
        let uri = target.parse().unwrap();
        let unsigned = Unsigned { method: Method::POST, uri, headers, public_url: Some(url), body: &bytes, now: NOW };
        let signed = sign(scheme, &secret, unsigned).unwrap();
        Self { source, target: target.to_owned(), headers: signed.headers, body: body.into() }
    }

    fn with_body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    fn value(&self, name: &str) -> String {
        self.headers[name].to_str().unwrap().to_owned()
    }

    fn parts(&self) -> Parts {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.parse().unwrap();
        *request.headers_mut() = self.headers.clone();
        request.into_parts().0
    }

    fn findings(&self, policy: &Policy, body: Option<&Bytes>) -> Vec<Finding> {
        policy.diagnose(policy.source(self.source).unwrap(), &self.parts(), body, NOW)
    }
}

/// What is found: words, and the first finding's facts as JSON.
fn found(policy: &Policy, sent: &Sent) -> (Vec<&'static str>, String) {
    let body = Bytes::from(sent.body.clone());
    let findings = sent.findings(policy, Some(&body));
    let facts = findings.first().map(Finding::facts).unwrap_or_default();
    let facts: HashMap<_, _> = facts.iter().map(|(name, fact)| (*name, fact)).collect();
    (findings.iter().map(Finding::word).collect(), serde_json::to_string(&facts).unwrap())
}

fn github(body: &str) -> Sent {
    Sent::signed("github", secret("GITHUB").as_bytes(), body)
}

const SIGNATURE: &str = "x-hub-signature-256";

/// One row: a name, a request, the words that are found and a text of the first one's facts.
type Row = (&'static str, Sent, &'static [&'static str], &'static str);

fn check(rows: Vec<Row>) {
    let policy = policy(&Limits::new(Capacity::default()));
    for (name, sent, words, fact) in rows {
        let (got, facts) = found(&policy, &sent);
        assert_eq!(got, words, "{name}: {facts}");
        assert!(facts.contains(fact), "{name}: {facts}");
    }
}

#[test]
fn bodies_that_were_changed_after_they_were_signed_are_told() {
    check(vec![
        (
            "as it was signed, nothing explains a refusal",
            github("{}").with(SIGNATURE, &format!("sha256={}", "0".repeat(64))),
            &[],
            "",
        ),
        ("a line end more", github("{}").with_body("{}\n"), &["body_newline_removed"], "\"new\""),
        ("two line ends more", github("{}").with_body("{}\r\n\n"), &["body_newline_removed"], ""),
        ("a space more", github("{\"a\":1}x").with_body("{\"a\":1}x "), &[], ""),
        ("a line end less", github("{}\n").with_body("{}"), &["body_newline_added"], ""),
        ("a CRLF less", github("{}\r\n").with_body("{}"), &["body_newline_added"], ""),
        ("two line ends less", github("[}\n\n").with_body("[}"), &[], ""),
        ("LF became CRLF", github("{\n}\n").with_body("{\r\n}\r\n"), &["body_crlf_to_lf"], ""),
        ("CRLF became LF", github("{\r\n}\r\n").with_body("{\n}\n"), &["body_lf_to_crlf"], ""),
        ("LF became CR", github("[\n}").with_body("[\r}"), &[], ""),
        (
            "an expired secret, and a line end",
            Sent::signed("github", secret("OLD").as_bytes(), "{}").with_body("{}\n"),
            &["body_newline_removed"],
            "\"expired\":\"yes\"",
        ),
        ("a token does not cover the body", Sent::signed("token", b"another", "{}").with_body("{}\n"), &[], ""),
    ]);
}

#[test]
fn json_that_was_written_anew_is_told_as_serialisers_write_it() {
    // The received text, and how it may have been signed.
    let received = "{\"a\" : [1.50,{}, []],\n \"u\\u00e9\":\"\\/<\u{1f600}\"}";
    let layouts: [(&str, &[&str], &str); 6] = [
        (r#"{"a":[1.50,{},[]],"u\u00e9":"\/<😀"}"#, &["body_reencoded"], "\"as received\""),
        (r#"{"a":[1.50,{},[]],"ué":"/<😀"}"#, &["body_reencoded"], "\"compact\""),
        (r#"{"a": [1.50, {}, []], "u\u00e9": "/<\ud83d\ude00"}"#, &["body_reencoded"], "\"spaces behind , and :\""),
        (r#"{"a":[1.50,{},[]],"u\u00e9":"\/<\ud83d\ude00"}"#, &["body_reencoded"], "slashes too"),
        (r#"{"a":[1.50,{},[]],"ué":"/\u003c😀"}"#, &["body_reencoded"], "HTML"),
        (
            "{\n  \"a\": [\n    1.50,\n    {},\n    []\n  ],\n  \"ué\": \"/<😀\"\n}",
            &["body_reencoded"],
            "\"indented by 2\"",
        ),
    ];
    let mut rows: Vec<Row> = layouts
        .into_iter()
        .map(|(signed, words, fact)| {
            (signed.to_owned().leak() as &str, github(signed).with_body(received), words, fact)
        })
        .collect();
    let not: [(&str, &str); 4] = [
        ("a number written otherwise", r#"{"a":[1.5,{},[]],"ué":"/<😀"}"#),
        ("members in another order", r#"{"ué":"/<😀","a":[1.50,{},[]]}"#),
        ("another value", r#"{"a":[1.50,{},[]],"ué":"/>😀"}"#),
        ("three spaces", "{\n   \"a\": []}"),
    ];
    rows.extend(not.map(|(name, signed)| (name, github(signed).with_body(received), &[] as &[&str], "")));
    rows.push(("a name twice is no JSON to us", github(r#"{"a":1,"a":2}"#).with_body(r#"{"a": 1, "a": 2}"#), &[], ""));
    check(rows);
}

#[test]
fn secrets_that_are_read_in_another_way_or_belong_to_another_source_are_told() {
    let prefixed = secret("PREFIXED");
    let bare = prefixed.trim_start_matches("whsec_");
    let decoded = b"SeNtInEl-base64-secret";
    let with = |source, key: &[u8]| Sent::signed(source, key, "{}");
    let text = |key: &str| key.as_bytes().to_vec();
    check(vec![
        ("another source's", with("github", secret("OTHER").as_bytes()), &["other_source"], "\"other\""),
        ("nobody's", with("github", b"a secret that nobody has"), &[], ""),
        ("a source's that proves otherwise", with("github", secret("TWILIO").as_bytes()), &[], ""),
        ("base64 behind a prefix", with("prefixed", decoded), &["secret_from_base64"], "\"1\""),
        ("one byte more", with("prefixed", b"SeNtInEl-base64-secret!"), &[], ""),
        ("without the prefix", with("prefixed", bare.as_bytes()), &["secret_without_prefix"], ""),
        ("the text where it should be decoded", with("webhooks", prefixed.as_bytes()), &["secret_as_text"], ""),
        (
            "the text without prefix where it should be decoded",
            with("webhooks", bare.as_bytes()),
            &["secret_without_prefix"],
            "",
        ),
        ("half of the text", with("webhooks", &bare.as_bytes()[..16]), &[], ""),
        ("hex", with("hex", b"SeNtInEl-hex-secret"), &["secret_from_hex"], ""),
        (
            "with the prefix",
            with("github", format!("whsec_{}", secret("GITHUB")).as_bytes()),
            &["secret_with_prefix"],
            "",
        ),
        ("with another prefix", with("github", format!("secret_{}", secret("GITHUB")).as_bytes()), &[], ""),
        ("its hex", with("github", hex::encode(secret("GITHUB")).as_bytes()), &["secret_to_hex"], ""),
        (
            "with a line end",
            with("github", &[secret("GITHUB").as_bytes(), b"\n"].concat()),
            &["secret_newline_added"],
            "",
        ),
        ("with two", with("github", &[secret("GITHUB").as_bytes(), b"\n\n"].concat()), &[], ""),
        ("without quotes and spaces", with("spaced", b"SeNtInEl-with-quotes-around"), &["secret_trimmed"], ""),
        ("without its first word", with("spaced", b"with-quotes-around"), &[], ""),
        ("a token with a line end", with("token", &text(secret("TOKEN"))).with("authorization", "Bearer x"), &[], ""),
    ]);
}

#[test]
fn signatures_of_another_kind_are_told() {
    let key = secret("GITHUB").as_bytes();
    let of = |source, key: &[u8], change: fn(&mut Scheme)| Sent::signed_as(source, key, "{}", change);
    let sha1 = |scheme: &mut Scheme| {
        scheme.algorithm = Algorithm::Hmac(Hash::Sha1);
        scheme.shape = Shape::Whole { prefix: "sha1=".into() };
    };
    let sha512 = |scheme: &mut Scheme| scheme.algorithm = Algorithm::Hmac(Hash::Sha512);
    let base64 = |scheme: &mut Scheme| scheme.encoding = Encoding::Base64;
    let base64url = |scheme: &mut Scheme| scheme.encoding = Encoding::Base64Url;
    let bare = |scheme: &mut Scheme| scheme.shape = Shape::Whole { prefix: "".into() };
    let upper = github("{}");
    let upper = upper.clone().with(SIGNATURE, &format!("sha256={}", upper.value(SIGNATURE)[7..].to_uppercase()));
    let stripe = Sent::signed("stripe", key, "{}");
    let header = "stripe-signature";
    let mac = stripe.value(header).rsplit_once("v1=").unwrap().1.to_owned();
    let zeros = "0".repeat(64);
    let list =
        |v1: &str, other: &str, text: &str| stripe.clone().with(header, &format!("t={NOW},v1={v1},{other}={text}"));
    let older = github("{}");
    check(vec![
        ("SHA-1", of("github", key, sha1), &["algorithm_differs"], "\"hmac-sha1\""),
        ("SHA-1 of somebody else", of("github", b"?", sha1), &["algorithm_looks_different"], "\"hmac-sha1\""),
        ("SHA-512", of("github", key, sha512), &["algorithm_differs"], "\"hmac-sha512\""),
        ("base64", of("github", key, base64), &["encoding_differs"], "\"base64\""),
        ("base64 of somebody else", of("github", b"?", base64), &["encoding_looks_different"], "\"base64\""),
        ("base64url", of("github", key, base64url), &["encoding_differs"], "\"base64url\""),
        ("no prefix", of("github", key, bare), &["prefix_differs"], "\"none\""),
        ("no prefix by somebody else", of("github", b"?", bare), &["prefix_looks_different"], "\"none\""),
        ("capital letters", upper, &["encoding_looks_different"], "\"upper-case hex\""),
        ("half a signature", github("{}").with(SIGNATURE, &format!("sha256={}", "0".repeat(63))), &[], ""),
        ("another version", list(&zeros, "v0", &mac), &["item_differs"], "\"v0\""),
        ("another version that does not fit", list(&zeros, "v0", &zeros), &[], ""),
        (
            "another version alone",
            stripe.clone().with(header, &format!("t={NOW},v0={zeros}")),
            &["item_looks_different"],
            "\"v0\"",
        ),
        ("a name that is none of a version", list(&zeros, "SeNtInEl", &mac), &[], ""),
        (
            "the older header alone",
            older.clone().with("x-hub-signature", "sha1=0").without(SIGNATURE),
            &["another_header"],
            "\"x-hub-signature\"",
        ),
        ("no header like it", older.without(SIGNATURE).with("x-signature", "0"), &[], ""),
    ]);
}

#[test]
fn urls_that_would_match_are_told() {
    let scheme = preset::find("twilio").unwrap().signing.schemes().last().unwrap().clone();
    let by = |url: &str, target: &str| Sent::by(&scheme, "twilio", secret("TWILIO").as_bytes(), "a=1", url, target);
    let sent = |url: &str| by(url, "/twilio?x=SeNtInEl");
    let moved = |signed: &str, received: &str| Sent {
        target: received.to_owned(),
        ..by("https://hooks.example.test/twilio", signed)
    };
    check(vec![
        ("http", sent("http://hooks.example.test/twilio"), &["url_mismatch"], "\"http://hooks.example.test/twilio\""),
        ("a port", sent("https://hooks.example.test:443/twilio"), &["url_mismatch"], ":443/"),
        ("http and its port", sent("http://hooks.example.test:80/twilio"), &["url_mismatch"], ":80/"),
        ("another port", sent("https://hooks.example.test:8080/twilio"), &[], ""),
        ("a slash", sent("https://hooks.example.test/twilio/"), &["url_mismatch"], "twilio/\""),
        ("two slashes", sent("https://hooks.example.test/twilio//"), &[], ""),
        (
            "the request's own",
            sent("https://gateway.example.test:8443/twilio"),
            &["url_mismatch"],
            "gateway.example.test",
        ),
        ("without its port", sent("http://gateway.example.test/twilio"), &["url_mismatch"], "http://gateway"),
        ("another host", sent("https://www.example.test/twilio"), &[], ""),
        ("another path", sent("https://hooks.example.test/hooks"), &[], ""),
        ("without query", moved("/twilio", "/twilio?x=SeNtInEl"), &["url_query_left_out"], "twilio\""),
        ("with another query", moved("/twilio?y=1", "/twilio?x=1"), &[], ""),
        ("a scheme that covers no URL", github("{}").with(SIGNATURE, &format!("sha256={}", "0".repeat(64))), &[], ""),
    ]);
}

#[test]
fn traces_of_a_changed_content_encoding_are_told() {
    let bad = || github("{}").with_body("[]");
    check(vec![
        ("gzip without a word", bad().with_body([0x1f, 0x8b, 0x08, 0, 0]), &["content_encoding_changed"], "compressed"),
        ("two bytes of it", bad().with_body([0x1f, 0x8b, 0x09, 0, 0]), &[], ""),
        (
            "decompressed on the way",
            bad().with("x-original-content-encoding", "gzip"),
            &["content_encoding_changed"],
            "decompressed",
        ),
        ("a field of another name", bad().with("x-original-uri", "gzip"), &[], ""),
    ]);
}

#[test]
fn the_head_alone_tells_only_what_it_looks_like() {
    let policy = policy(&Limits::new(Capacity::default()));
    let short = github("{}").with(SIGNATURE, "sha1=2346ad27d7568ba9896f1b7da6b5991251debdf2");
    let words = |sent: &Sent| sent.findings(&policy, None).iter().map(Finding::word).collect::<Vec<_>>();
    assert_eq!(words(&short), ["algorithm_looks_different"]);
    assert_eq!(words(&github("{}").with_body("{}\n")), [] as [&str; 0], "without a body nothing is computed");
}

#[test]
fn every_word_is_listed_once_and_every_finding_is_a_listed_one() {
    let mut words = Finding::WORDS.to_vec();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Finding::WORDS.len());
    let documentation = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md")).unwrap();
    for word in words {
        assert!(documentation.contains(&format!("`{word}`")), "{word} is not in docs/operations.md");
    }
}

// The gateway.

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A gateway in process whose diagnosis runs when the test says so.
struct House {
    gateway: Arc<Gateway<Answering>>,
    diagnosis: Diagnosis,
    diagnostician: Option<Diagnostician>,
    telemetry: Telemetry,
    written: Written,
    clock: Clock,
    clients: u32,
}

impl House {
    fn new() -> Self {
        let limits = Limits::new(Capacity::default());
        let clock = Clock::manual(NOW);
        let written = Written::default();
        // The rejected log alone.
        let telemetry = shared::telemetry(&clock, Level::Error, Box::new(written.clone()));
        let policy = policy(&limits);
        let shared = shared::shared(policy, limits, clock.clone());
        let (diagnosis, diagnostician) = Diagnosis::new();
        let gateway = Gateway::diagnosing(shared, Answering, telemetry.recorder(), diagnosis.clone());
        Self { gateway, diagnosis, diagnostician: Some(diagnostician), telemetry, written, clock, clients: 0 }
    }

    /// Sends from a client that nobody knows yet; the answer's head and body.
    fn send(&mut self, sent: &Sent) -> (String, Bytes) {
        self.clients += 1;
        let [_, _, high, low] = self.clients.to_be_bytes();
        let arrival =
            Arrival { peer: ([10, high, low, 1], 1).into(), protocol: Protocol::Https, host: HostMatch::Served };
        let request = Request::from_parts(sent.parts(), Full::new(Bytes::from(sent.body.clone())));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (head, body) = self.gateway.deliver(request, &arrival, &Commitment::default()).await.into_parts();
            let body: Result<_, Infallible> = body.collect().await;
            (format!("{:?} {:?}", head.status, head.headers), body.unwrap().to_bytes())
        })
    }

    /// Lets one more delivery of each source be diagnosed.
    fn refill(&self) {
        self.clock.advance(Duration::from_secs(1));
        self.clock.set_wall(NOW);
    }

    /// Diagnoses what waits.
    fn diagnose(&mut self) {
        let diagnostician = self.diagnostician.take().unwrap();
        let thread = std::thread::spawn(move || diagnostician.run());
        self.diagnosis.end();
        thread.join().unwrap();
    }

    /// What the rejected log has at the end.
    fn log(mut self) -> String {
        // What still waits is recorded when the queue goes.
        self.diagnostician = None;
        self.telemetry.shutdown();
        String::from_utf8(self.written.0.lock().unwrap().clone()).unwrap()
    }
}

/// How many records of a log there are, and how many of them were diagnosed.
fn counts(log: &str) -> (usize, usize) {
    (log.lines().count(), log.lines().filter(|line| line.contains("\"diagnosis\":[")).count())
}

fn forged() -> Sent {
    github("{}").with(SIGNATURE, &format!("sha256={}", "0".repeat(64)))
}

#[test]
fn a_refused_deliverys_one_record_says_what_would_have_fitted() {
    let mut house = House::new();
    house.send(&github("{}").with_body("{}\n"));
    house.send(&forged());
    house.diagnose();
    let log = house.log();
    assert_eq!(counts(&log), (2, 2), "{log}");
    let lines: Vec<_> = log.lines().collect();
    assert!(lines[0].contains("\"diagnosis\":[{\"finding\":\"body_newline_removed\",\"secret\":\"new\"}]"), "{log}");
    assert!(lines[0].contains("a line end more than was signed"), "{log}");
    assert!(lines[1].contains("\"diagnosis\":[{\"finding\":\"none\"}]"), "{log}");
    assert!(lines[1].contains("compare the secret at the provider"), "{log}");
}

/// Five at once, one more each second, and a record for every refusal.
#[test]
fn a_source_is_diagnosed_five_times_at_once_and_then_once_a_second() {
    for (seconds, diagnosed) in [(0, 5), (1, 6), (3, 8), (60, 10)] {
        let mut house = House::new();
        for _ in 0..10 {
            house.send(&forged());
        }
        house.clock.advance(Duration::from_millis(999));
        house.send(&forged());
        house.clock.advance(Duration::from_secs(seconds).saturating_sub(Duration::from_millis(999)));
        for _ in 0..10 {
            house.send(&forged());
        }
        house.diagnose();
        assert_eq!(counts(&house.log()), (21, diagnosed), "after {seconds} s");
    }
}

/// The records that explain most are not those that a flood keeps out of the log.
#[test]
fn a_diagnosed_record_is_written_however_many_others_were_counted_only() {
    let mut house = House::new();
    for client in 0..100 {
        house.clients = client % 2;
        house.send(&forged());
    }
    house.diagnose();
    let log = house.log();
    let refusals = |line: &str| -> u64 {
        let record: record::Record = serde_json::from_str(line).unwrap();
        record.refusals()
    };
    assert_eq!(counts(&log).1, 5, "{log}");
    assert_eq!(log.lines().map(refusals).sum::<u64>(), 100, "{log}");
}

/// What is only counted spends no token.
#[test]
fn a_flood_from_one_network_leaves_the_diagnosis_to_others() {
    let mut house = House::new();
    let flood = |house: &mut House| {
        for _ in 0..30 {
            house.clients = 0;
            house.send(&forged());
        }
    };
    flood(&mut house);
    house.clock.advance(Duration::from_secs(1));
    flood(&mut house);
    house.send(&github("{}").with_body("{}\n"));
    house.diagnose();
    let log = house.log();
    assert_eq!(counts(&log).1, 6, "{log}");
    assert!(log.contains("body_newline_removed"), "{log}");
}

/// Twenty at once of all sources together.
#[test]
fn all_sources_together_have_a_budget_too() {
    let mut house = House::new();
    for source in ["github", "other", "prefixed", "hex", "spaced"] {
        for _ in 0..5 {
            house.send(&Sent::signed(source, b"a secret that nobody has", "{}"));
        }
    }
    house.diagnose();
    assert_eq!(counts(&house.log()), (25, 20));
}

#[test]
fn a_delivery_that_finds_the_queue_full_is_recorded_at_once_without_diagnosis() {
    let mut house = House::new();
    for _ in 0..QUEUE_MAX + 3 {
        house.send(&forged());
        house.clock.advance(Duration::from_secs(1));
    }
    house.diagnose();
    let log = house.log();
    assert_eq!(counts(&log), (QUEUE_MAX + 3, QUEUE_MAX));
    let first: Vec<_> = log.lines().take(3).collect();
    assert_eq!(counts(&first.join("\n")), (3, 0), "those that found no place were not kept waiting");
}

#[test]
fn bodies_that_wait_are_bounded_in_bytes() {
    let mut house = House::new();
    let large = "x".repeat(QUEUE_BYTES_MAX / 2 - 16 * 1024);
    for _ in 0..3 {
        house.send(&forged().with_body(large.clone()));
    }
    house.send(&forged());
    house.diagnose();
    assert_eq!(counts(&house.log()), (4, 2));
}

#[test]
fn what_waits_when_the_thread_is_gone_is_recorded_all_the_same() {
    let mut house = House::new();
    house.send(&forged());
    house.diagnostician = None;
    house.send(&forged());
    assert_eq!(counts(&house.log()), (2, 0));
}

/// Every fault of authentication, with and without a cause that is found.
fn faults() -> Vec<(&'static str, Sent)> {
    let zeros = format!("sha256={}", "0".repeat(64));
    let stripe = Sent::signed("stripe", secret("GITHUB").as_bytes(), "{\"a\":\"SeNtInEl\"}");
    let time = |seconds: i64| stripe.value("stripe-signature").replace(&NOW.to_string(), &(NOW + seconds).to_string());
    vec![
        ("no signature", github("{}").without(SIGNATURE)),
        ("an empty one", github("{}").with(SIGNATURE, "")),
        ("the older header alone", github("{}").without(SIGNATURE).with("x-hub-signature", "sha1=SeNtInEl")),
        ("a malformed one", github("{}").with(SIGNATURE, "SeNtInEl")),
        ("SHA-1", github("{}").with(SIGNATURE, "sha1=2346ad27d7568ba9896f1b7da6b5991251debdf2")),
        ("a forged one", github("{\"a\":\"SeNtInEl\"}").with(SIGNATURE, &zeros)),
        ("a changed body", github("{\"a\":\"SeNtInEl\"}").with_body("{\"a\": \"SeNtInEl\"}")),
        ("a line end", github("{\"a\":\"SeNtInEl\"}").with_body("{\"a\":\"SeNtInEl\"}\n")),
        ("an expired secret", Sent::signed("github", secret("OLD").as_bytes(), "{}")),
        ("another source's secret", Sent::signed("github", secret("OTHER").as_bytes(), "{}")),
        ("a prefixed secret", Sent::signed("prefixed", b"SeNtInEl-base64-secret", "{}")),
        ("too old", stripe.clone().with("stripe-signature", &time(-301))),
        ("too new", stripe.clone().with("stripe-signature", &time(301))),
        ("a token", Sent::signed("token", b"SeNtInEl-that-is-not-it", "{}")),
        (
            "a URL",
            Sent::signed("twilio", secret("TWILIO").as_bytes(), "a=SeNtInEl")
                .with("host", "other.example.test")
                .with("x-twilio-signature", "c2lnbmVkIHNvbWVob3cuLi4hISE="),
        ),
    ]
}

#[test]
fn a_sender_gets_the_same_bytes_for_every_fault_whatever_is_found() {
    let mut answers = Vec::new();
    let mut house = House::new();
    for (name, sent) in faults() {
        house.refill();
        let (head, body) = house.send(&sent);
        let body = String::from_utf8(body.to_vec()).unwrap();
        let (before, id) = body.split_once("\"delivery\":\"").unwrap();
        answers.push((name, head, format!("{before}{}", &id[36..])));
    }
    let first = answers[0].clone();
    assert!(first.1.starts_with("401"), "{first:?}");
    for (name, head, body) in answers {
        assert_eq!((&head, &body), (&first.1, &first.2), "{name}");
    }
    house.diagnose();
    let log = house.log();
    assert_eq!(log.lines().count(), faults().len());
    assert!(
        log.contains("body_reencoded") && log.contains("other_source") && log.contains("secret_from_base64"),
        "{log}"
    );
}

#[test]
fn nothing_of_a_secret_a_signature_or_a_body_stands_in_a_diagnosed_record() {
    let mut house = House::new();
    let mut signatures = Vec::new();
    for (_, sent) in faults() {
        house.refill();
        house.send(&sent);
        for name in [SIGNATURE, "stripe-signature", "x-twilio-signature"] {
            let value = sent.headers.get(name).map(|value| value.to_str().unwrap());
            signatures
                .extend(value.and_then(|value| value.rsplit('=').find(|text| text.len() > 20)).map(str::to_owned));
        }
        // What would have been expected is never told either.
        let expected =
            Sent::signed("github", secret("GITHUB").as_bytes(), &String::from_utf8_lossy(&sent.body)).value(SIGNATURE);
        signatures.push(expected.trim_start_matches("sha256=").to_owned());
    }
    house.diagnose();
    let log = house.log();
    assert_eq!(counts(&log), (faults().len(), 9), "{log}");
    assert!(!log.contains(SENTINEL), "{log}");
    assert!(!log.to_lowercase().contains(&SENTINEL.to_lowercase()), "{log}");
    for signature in signatures {
        assert!(!log.contains(&signature), "{signature} in {log}");
    }
    for (_, secret) in SECRETS {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn the_signed_texts_shape_has_names_and_lengths_and_no_values() {
    let policy = policy(&Limits::new(Capacity::default()));
    let shape = |sent: &Sent| {
        let source = policy.source(sent.source).unwrap();
        source.signed_shape(&sent.parts(), &Bytes::from(sent.body.clone()), NOW)
    };
    let stripe = Sent::signed("stripe", secret("GITHUB").as_bytes(), "{}");
    assert_eq!(
        shape(&stripe),
        [
            "{timestamp}: 10 bytes",
            "\".\": 1 bytes",
            "{body}: 2 bytes, sha256 44136fa3",
            "the whole: 13 bytes, sha256 a44a2a33"
        ]
    );
    let webhooks = Sent::signed("webhooks", b"?", "{}").with("webhook-id", "SeNtInEl");
    assert_eq!(shape(&webhooks)[0], "{header:webhook-id}: 8 bytes");
    assert!(!shape(&webhooks).concat().contains(SENTINEL));
    assert!(shape(&Sent::signed("token", b"?", "{}")).is_empty(), "a token signs nothing");
}
