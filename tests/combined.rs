//! Several methods on one source: what `all` wants, what `any` lets a request choose, and what it never does: get by with a weaker method after
//! it failed another.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail as the test itself may")]

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hookward::admit::{Capacity, Limits};
use hookward::auth::key::{KeyKind, NamedSecret};
use hookward::auth::sign::{Unsigned, sign};
use hookward::offline::{Replays, Verdict, judge};
use hookward::policy::diagnostic::Styles;
use hookward::policy::gateway_config::PoliciesConfig;
use hookward::policy::load::{self, Loaded};
use hookward::policy::secrets::{Resolved, Resolver, SecretFault};
use hookward::policy::source_config::SecretPlace;
use hookward::policy::table::Spanned;
use hookward::policy::{Policy, preset};
use hookward::secret::Secret;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};

const NOW: i64 = 1_795_435_200;
const BODY: &str = r#"{"type":"push"}"#;
const MAILGUN: &str =
    r#"{"signature":{"token":"t","timestamp":"1795435200","signature":"SIGNATURE"},"event-data":{"event":"x"}}"#;

/// Each variable holds a secret of its own.
struct Secrets;

impl Resolver for Secrets {
    fn resolve(&self, place: &SecretPlace) -> Result<Resolved, SecretFault> {
        let SecretPlace::Env(name) = place else { return Err(SecretFault::Empty("a file".to_owned())) };
        Ok(Resolved::Secret(secret(name)))
    }
}

fn secret(name: &str) -> Secret {
    let text = match name {
        "BASIC" | "BASIC_FORGER" => format!("user:{name}-0123456789abcdef"),
        // The one that is written in base64.
        "GITLAB" | "GITLAB_FORGER" => STANDARD.encode(format!("{name}-0123456789abcdef")),
        _ => format!("{name}-0123456789abcdef"),
    };
    Secret::new(text.into_bytes())
}

/// A policy with these methods, each named by its provider; the secret is its name in capitals.
fn policy(combine: &str, providers: &[&str]) -> String {
    let methods = providers.iter().map(|provider| match provider.strip_prefix("bearer:") {
        Some(variable) => method_of_scheme(variable),
        None => format!(
            "[[auth.method]]\nprovider = \"{provider}\"\nsecrets = [{{ id = \"{provider}\", env = \"{}\" }}]\n",
            variable(provider)
        ),
    });
    let methods: String = methods.collect();
    format!("path = \"/hooks/a\"\n[auth]\ncombine = \"{combine}\"\n{methods}[forward]\nto = \"http://127.0.0.1:9/\"\n")
}

fn method_of_scheme(variable: &str) -> String {
    format!(
        "[[auth.method]]\nsecrets = [{{ id = \"bearer\", env = \"{variable}\" }}]\n[auth.method.scheme]\nalgorithm = \"token\"\ncredential = \"bearer\"\n"
    )
}

fn variable(provider: &str) -> String {
    provider.to_ascii_uppercase().replace('-', "_")
}

fn load(policy: &str) -> (Option<Policy>, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.toml"), policy).unwrap();
    let mut loaded = Loaded::default();
    let config = PoliciesConfig { directory: Spanned { value: folder.path().to_owned(), span: 0..0 }, strict: false };
    let policy = load::load(&config, &Secrets, &Limits::new(Capacity::default()), &mut loaded);
    (policy, loaded.diagnostics.report(&loaded.files, &Styles::plain()).to_string())
}

/// What a request presents, by provider.
type Shown<'r> = &'r [(&'r str, Shows)];

/// How methods are combined, which, what a request presents, and what becomes of it.
type Row<'r> = (&'r str, &'r [&'r str], Shown<'r>, &'r str);

/// What a request presents: for each provider something good, or what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    Good,
    /// By somebody with another secret.
    Forged,
    /// Too short, or not decodable.
    Malformed,
    /// Long ago.
    Stale,
    /// Without a part of what was signed.
    Partial,
}

/// The head and the body of a request with these credentials.
fn request(shown: &[(&str, Shows)]) -> (http::request::Parts, Bytes) {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut body = Bytes::from_static(BODY.as_bytes());
    for (provider, shows) in shown {
        match *provider {
            "mailgun" => body = mailgun(*shows),
            "bearer" => drop(headers.insert(AUTHORIZATION, format!("Bearer {}", bearer(*shows)).parse().unwrap())),
            provider => headers = signed(headers, provider, *shows, &body),
        }
    }
    let mut request = Request::builder().method(Method::POST).uri("/hooks/a").body(()).unwrap();
    headers.insert("host", HeaderValue::from_static("localhost"));
    *request.headers_mut() = headers;
    (request.into_parts().0, body)
}

fn bearer(shows: Shows) -> &'static str {
    if shows == Shows::Good { "BEARER-0123456789abcdef" } else { "somebody-elses-token" }
}

fn mailgun(shows: Shows) -> Bytes {
    use hmac::{KeyInit as _, Mac as _};
    let key = if shows == Shows::Good { secret("MAILGUN") } else { secret("FORGER") };
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(key.expose()).unwrap();
    mac.update(b"1795435200t");
    let signature = hex::encode(mac.finalize().into_bytes());
    let signature = if shows == Shows::Malformed { "12" } else { &signature };
    let body = MAILGUN.replace("SIGNATURE", signature);
    let body = if shows == Shows::Partial { body.replace(r#""token":"t","#, "") } else { body };
    body.into_bytes().into()
}

fn signed(headers: HeaderMap, provider: &str, shows: Shows, body: &Bytes) -> HeaderMap {
    let scheme = &preset::find(provider).unwrap().signing.schemes()[0];
    let name = if shows == Shows::Forged { format!("{}_FORGER", variable(provider)) } else { variable(provider) };
    let secret = NamedSecret { id: "any".into(), secret: secret(&name), expires: None, kind: KeyKind::Secret };
    let now = if shows == Shows::Stale { NOW - 86_400 } else { NOW };
    let uri = "/hooks/a".parse().unwrap();
    let unsigned = Unsigned { method: Method::POST, uri, headers, public_url: None, body, now };
    let mut headers = sign(scheme, &secret, unsigned).unwrap().headers;
    if shows == Shows::Malformed {
        let name: HeaderName = scheme.credential.headers()[0].clone();
        headers.insert(name, HeaderValue::from_static("12"));
    }
    if shows == Shows::Partial {
        headers.remove("webhook-id");
    }
    headers
}

/// `accept METHOD SECRET`, or the reason of the refusal.
fn verdict(policy: &Policy, shown: &[(&str, Shows)]) -> String {
    verdict_with(policy, shown, Replays::Ignored)
}

fn verdict_with(policy: &Policy, shown: &[(&str, Shows)], replays: Replays<'_>) -> String {
    let (head, body) = request(shown);
    let judgement = judge(policy, &head, body, NOW, replays);
    match judgement.verdict {
        Verdict::Accept(_) => format!("accept {}", judgement.secret_id.unwrap_or_default()),
        Verdict::Reject(rejection) => rejection.reason().code().to_owned(),
        Verdict::Answer(_) => "answer".to_owned(),
    }
}

#[test]
fn every_method_has_to_hold_or_the_first_that_is_presented_decides() {
    use Shows::{Forged, Good, Malformed, Partial, Stale};
    let two = ["slack", "gitlab-token"];
    let three = ["gitlab", "mailgun", "gitlab-token"];
    let rows: [Row<'_>; 35] = [
        // all: every one of them; the first fault in the listed order.
        ("all", &two, &[("slack", Good), ("gitlab-token", Good)], "accept slack+gitlab-token"),
        ("all", &two, &[("slack", Good)], "credential_missing"),
        ("all", &two, &[("gitlab-token", Good)], "credential_missing"),
        ("all", &two, &[("slack", Good), ("gitlab-token", Forged)], "credential_mismatch"),
        ("all", &two, &[("slack", Forged), ("gitlab-token", Good)], "credential_mismatch"),
        ("all", &two, &[("slack", Stale), ("gitlab-token", Good)], "timestamp_stale"),
        ("all", &two, &[("slack", Stale)], "timestamp_stale"),
        ("all", &["gitlab-token", "slack"], &[("slack", Stale)], "credential_missing"),
        ("all", &two, &[], "credential_missing"),
        (
            "all",
            &["mailgun", "gitlab-token"],
            &[("mailgun", Good), ("gitlab-token", Good)],
            "accept mailgun+gitlab-token",
        ),
        ("all", &["mailgun", "gitlab-token"], &[("mailgun", Forged), ("gitlab-token", Good)], "credential_mismatch"),
        ("all", &["mailgun", "gitlab-token"], &[("gitlab-token", Good)], "credential_missing"),
        // any: the first that is presented.
        ("any", &two, &[("slack", Good)], "accept slack"),
        ("any", &two, &[("gitlab-token", Good)], "accept gitlab-token"),
        ("any", &two, &[("slack", Good), ("gitlab-token", Good)], "accept slack"),
        ("any", &two, &[("slack", Good), ("gitlab-token", Forged)], "accept slack"),
        ("any", &two, &[("gitlab-token", Forged)], "credential_mismatch"),
        ("any", &two, &[], "credential_missing"),
        // Never the weaker one after a bad signature, however it is bad.
        ("any", &two, &[("slack", Forged), ("gitlab-token", Good)], "credential_mismatch"),
        ("any", &two, &[("slack", Malformed), ("gitlab-token", Good)], "credential_malformed"),
        ("any", &two, &[("slack", Stale), ("gitlab-token", Good)], "timestamp_stale"),
        ("any", &three, &[("gitlab", Partial), ("gitlab-token", Good)], "credential_missing"),
        ("any", &three, &[("mailgun", Partial), ("gitlab-token", Good)], "credential_missing"),
        // A credential in the body is found late, and decides all the same.
        ("any", &three, &[("mailgun", Good)], "accept mailgun"),
        ("any", &three, &[("mailgun", Good), ("gitlab-token", Forged)], "accept mailgun"),
        ("any", &three, &[("mailgun", Good), ("gitlab", Forged)], "credential_mismatch"),
        ("any", &three, &[("mailgun", Forged), ("gitlab-token", Good)], "credential_mismatch"),
        ("any", &three, &[("mailgun", Malformed), ("gitlab-token", Good)], "credential_malformed"),
        ("any", &three, &[("gitlab-token", Good)], "accept gitlab-token"),
        ("any", &three, &[("gitlab-token", Forged)], "credential_mismatch"),
        ("any", &["mailgun", "slack"], &[("slack", Stale)], "timestamp_stale"),
        ("any", &["mailgun", "slack"], &[("mailgun", Good), ("slack", Stale)], "accept mailgun"),
        // Two schemes of one field: what is no bearer token is not a bad one.
        ("any", &["bearer:BEARER", "basic"], &[("basic", Good)], "accept basic"),
        ("any", &["bearer:BEARER", "basic"], &[("basic", Forged)], "credential_mismatch"),
        ("any", &["bearer:BEARER", "basic"], &[("bearer", Forged)], "credential_mismatch"),
    ];
    for (combine, methods, shown, expected) in rows {
        let (policy, report) = load(&policy(combine, methods));
        let policy = policy.unwrap_or_else(|| panic!("{report}"));
        assert_eq!(verdict(&policy, shown), expected, "{combine} of {methods:?}, shown {shown:?}");
    }
}

#[test]
fn nothing_presented_is_the_fault_of_the_first_method() {
    for (methods, expected) in
        [(["gitlab-token", "slack"], "x-gitlab-token"), (["slack", "gitlab-token"], "x-slack-signature")]
    {
        let (policy, _) = load(&policy("any", &methods));
        let (head, body) = request(&[]);
        let Verdict::Reject(rejection) = judge(&policy.unwrap(), &head, body, NOW, Replays::Ignored).verdict else {
            panic!("accepted")
        };
        assert_eq!(rejection.text("expected"), Some(&*format!("header {expected}")), "{methods:?}");
    }
}

#[test]
fn a_repetition_is_known_by_whichever_method_signs() {
    let rows: [(&str, &[&str], &str); 3] = [
        ("all", &["gitlab-token", "slack"], "replayed"),
        ("any", &["gitlab-token", "slack"], "replayed"),
        ("any", &["slack", "gitlab-token"], "replayed"),
    ];
    for (combine, methods, expected) in rows {
        let policy = load(&policy(combine, methods)).0.unwrap();
        let limits = Limits::new(Capacity::default());
        let (head, body) = request(&[("slack", Shows::Good), ("gitlab-token", Shows::Good)]);
        let first = judge(&policy, &head, body.clone(), NOW, Replays::Kept(&limits));
        assert!(matches!(first.verdict, Verdict::Accept(_)), "{combine} {methods:?}");
        let second = judge(&policy, &head, body, NOW, Replays::Kept(&limits));
        let found = match second.verdict {
            Verdict::Accept(_) => format!("accept {}", second.secret_id.unwrap_or_default()),
            Verdict::Reject(rejection) => rejection.reason().code().to_owned(),
            Verdict::Answer(_) => "answer".to_owned(),
        };
        assert_eq!(found, expected, "{combine} {methods:?}");
    }
}

#[test]
fn a_captured_delivery_is_no_new_one_without_its_first_credential() {
    let both = [("slack", Shows::Good), ("stripe", Shows::Good)];
    let rows: [(Shown<'_>, Shown<'_>, &str); 5] = [
        (&both, &both[..1], "replayed"),
        (&both, &both[1..], "replayed"),
        (&both[1..], &both[1..], "replayed"),
        // What did not come could not be remembered.
        (&both[..1], &both[1..], "accept stripe"),
        (&[both[0], ("stripe", Shows::Forged)], &both[1..], "accept stripe"),
    ];
    for (first, second, expected) in rows {
        let policy = load(&policy("any", &["slack", "stripe"])).0.unwrap();
        let limits = Limits::new(Capacity::default());
        assert_eq!(
            verdict_with(&policy, first, Replays::Kept(&limits)),
            "accept slack".replace("slack", first[0].0),
            "{first:?}"
        );
        assert_eq!(verdict_with(&policy, second, Replays::Kept(&limits)), expected, "{first:?} and then {second:?}");
    }
}

#[test]
fn an_event_is_signed_if_every_proof_that_is_good_enough_signs_it() {
    let rows: [(&str, &[&str], &str); 4] = [
        ("all", &["slack", "gitlab-token"], "x-hookward-event"),
        ("all", &["gitlab-token", "slack"], "x-hookward-event"),
        ("any", &["slack", "gitlab-token"], "x-hookward-event-unsigned"),
        ("any", &["slack", "stripe"], "x-hookward-event"),
    ];
    for (combine, methods, expected) in rows {
        let policy = policy(combine, methods).replace("[forward]", "[event]\npointer = \"/type\"\n[forward]");
        let policy = load(&policy).0.unwrap();
        let (head, body) = request(&[("slack", Shows::Good), ("gitlab-token", Shows::Good)]);
        let Verdict::Accept(forwardable) = judge(&policy, &head, body, NOW, Replays::Ignored).verdict else {
            panic!("refused")
        };
        assert!(forwardable.headers.contains_key(expected), "{combine} {methods:?}");
        assert!(
            !forwardable.headers.contains_key("x-gitlab-token"),
            "a static secret never leaves: {combine} {methods:?}"
        );
    }
}

#[test]
fn a_scheme_of_ones_own_may_be_like_a_preset_among_methods() {
    let policy = "path = \"/hooks/a\"\n[auth]\ncombine = \"all\"\n[[auth.method]]\nsecrets = [{ id = \"a\", env = \"SLACK\" }]\n\
                  [auth.method.scheme]\nlike = \"slack\"\n[[auth.method]]\nprovider = \"gitlab-token\"\n\
                  secrets = [{ id = \"b\", env = \"GITLAB_TOKEN\" }]\n[forward]\nto = \"http://127.0.0.1:9/\"\n";
    let (policy, report) = load(policy);
    let policy = policy.unwrap_or_else(|| panic!("{report}"));
    assert_eq!(verdict(&policy, &[("slack", Shows::Good), ("gitlab-token", Shows::Good)]), "accept a+b");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_is_wrong_with_several_methods_is_said() {
    let method = |provider: &str| policy("any", &[provider]);
    let auth = |auth: &str| format!("path = \"/hooks/a\"\n{auth}\n[forward]\nto = \"http://127.0.0.1:9/\"\n");
    let secrets = "secrets = [{ id = \"a\", env = \"A\" }]";
    let rows: [(&str, String, &[&str]); 16] = [
        (
            "a static method beside a signature",
            policy("any", &["slack", "gitlab-token"]),
            &[
                "warning: a request may choose \"gitlab-token\", the weakest method here: whoever has seen its secret once can send anything",
            ],
        ),
        ("two static ones", policy("any", &["token", "gitlab-token"]), &["warning: a request may choose \"token\""]),
        (
            "one that leaves the body out",
            policy("any", &["slack", "mailgun"]),
            &[
                "warning: a request may choose \"mailgun\", the weakest method here: whoever has captured a delivery can send another body",
            ],
        ),
        ("one without time", policy("any", &["github", "slack"]), &["warning: a request may choose \"github\""]),
        ("alone", policy("any", &["gitlab-token"]), &[]),
        ("equals", policy("any", &["slack", "stripe"]), &[]),
        ("all", policy("all", &["slack", "gitlab-token"]), &[]),
        (
            "the same twice",
            policy("any", &["github", "github"]),
            &[
                "error: method \"github\" is never asked: one before it has its credential at the same place",
                "hint: several secrets of one method go into its secrets",
            ],
        ),
        (
            "no word for it",
            auth(&format!("[[auth.method]]\nprovider = \"github\"\n{secrets}")),
            &["error: missing key \"combine\" in auth"],
        ),
        ("another word", method("github").replace("\"any\"", "\"one\""), &["combine", "\"all\" or \"any\""]),
        ("no methods", auth("[auth]\ncombine = \"all\""), &["error: missing key \"method\" in auth"]),
        (
            "an empty list",
            auth("[auth]\ncombine = \"all\"\nmethod = []"),
            &["method is empty, so nothing would ever be accepted"],
        ),
        (
            "one outside",
            auth(&format!("[auth]\ncombine = \"all\"\n{secrets}\n[[auth.method]]\nprovider = \"github\"\n{secrets}")),
            &["error: \"secrets\" belongs into one of [[auth.method]]"],
        ),
        (
            "nothing among them",
            auth(&format!(
                "[auth]\ncombine = \"any\"\n[[auth.method]]\nprovider = \"github\"\n{secrets}\n[[auth.method]]\nprovider = \"none\"\nbecause = \"x\""
            )),
            &["error: provider = \"none\" cannot stand among several methods"],
        ),
        (
            "one without a secret",
            method("github").replace("secrets = [{ id = \"github\", env = \"GITHUB\" }]", ""),
            &["error: no secrets: nothing could ever be accepted"],
        ),
        (
            "two with handshakes",
            policy("any", &["slack", "meta"]),
            &[
                "error: provider \"meta\" has handshakes, as one before it has",
                "warning: a request may choose \"meta\"",
            ],
        ),
    ];
    for (name, policy, expected) in rows {
        let (_, report) = load(&policy);
        for expected in expected {
            assert!(report.contains(expected), "{name}: {expected:?} is not in\n{report}");
        }
        let choice = report.contains("weakest");
        assert_eq!(
            choice,
            expected.iter().any(|expected| expected.contains("a request may choose")),
            "{name}:\n{report}"
        );
    }
}
