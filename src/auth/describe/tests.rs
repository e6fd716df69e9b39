use super::*;
use crate::auth::condition::Condition;
use crate::auth::list::Layout;
use crate::auth::scheme::{JsonType, SecretForm, TimestampRule, TokenAlgorithm, TokenRule};
use crate::auth::template::{Filter, Part};
use crate::payload::Pointer;
use http::HeaderName;

fn header(name: &'static str) -> Template {
    Template::of_place(Place::header(HeaderName::from_static(name)))
}

fn pointer(text: &str) -> Template {
    Template::of_place(Place::Json(Pointer::parse(text).unwrap()))
}

fn value(value: Value) -> Part {
    Part::Value(value, Box::default())
}

/// HMAC-SHA256 of these parts, in hex in `x-signature`.
fn scheme(parts: Vec<Part>) -> Scheme {
    Scheme {
        when: Box::default(),
        algorithm: Algorithm::Hmac(Hash::Sha256),
        credential: Place::header(HeaderName::from_static("x-signature")),
        shape: Shape::Whole { prefix: "sha256=".into() },
        encoding: Encoding::Hex,
        secret: SecretForm::default(),
        signed: Template::new(parts),
        timestamp: None,
        require: Box::default(),
        token: TokenRule::default(),
    }
}

fn timed() -> Scheme {
    let parts = vec![value(Value::Timestamp), Part::Text("{.".into()), value(Value::Body)];
    let signatures = Signatures::Named { pair: '=', item: "v1".into() };
    let shape = Shape::List(Layout { group: None, separator: ',', signatures });
    Scheme { shape, timestamp: timed_at(Place::Item("t".into())), ..scheme(parts) }
}

#[expect(clippy::unnecessary_wraps, reason = "as the field has it")]
fn timed_at(at: Place) -> Option<TimestampRule> {
    let (unit, json_type) = (TimestampUnit::Seconds, JsonType::Number);
    Some(TimestampRule { at, unit, tolerance_seconds: 300, json_type })
}

fn token() -> Scheme {
    let shape = Shape::Whole { prefix: Box::default() };
    let credential = Place::Bearer;
    Scheme { algorithm: Algorithm::Token, credential, shape, encoding: Encoding::Text, ..scheme(Vec::new()) }
}

/// A token that names the body's hash.
fn jwt() -> Scheme {
    let bound = Requirement {
        value: Place::Claim("payload_hash".into()),
        must: Must::EqualAny(Box::from([Template::new(vec![Part::Value(Value::Body, Box::from([Filter::Sha256]))])])),
        presence: Presence::Mandatory,
    };
    let token = TokenRule {
        algorithms: Box::from([TokenAlgorithm::Rs256, TokenAlgorithm::Es256]),
        leeway_seconds: 5,
        age_seconds_max: Some(60),
    };
    Scheme { algorithm: Algorithm::Jwt, require: Box::from([bound]), token, ..self::token() }
}

#[test]
fn what_is_not_covered_is_named() {
    let body = || vec![value(Value::Body)];
    let with = |mut parts: Vec<Part>, named| {
        parts.push(value(named));
        scheme(parts)
    };
    let id = Place::header(HeaderName::from_static("x-id"));
    let rows = [
        (
            "body alone",
            scheme(body()),
            "the method; the URL and its query; the time; the event's name (`x-event`); the delivery's id (`x-id`); all headers",
        ),
        (
            "body and id",
            with(body(), Value::At(id)),
            "the method; the URL and its query; the time; the event's name (`x-event`); all headers but `x-id`",
        ),
        (
            "body and URL",
            with(body(), Value::Url),
            "the method; the time; the event's name (`x-event`); the delivery's id (`x-id`); all headers",
        ),
        (
            "a parameter and no body",
            with(Vec::new(), Value::At(Place::Query("q".into()))),
            "the body; the method; the URL and its query, but for `q`; the time; the event's name (`x-event`); the delivery's id (`x-id`); all headers",
        ),
        (
            "body and time",
            timed(),
            "the method; the URL and its query; the event's name (`x-event`); the delivery's id (`x-id`); all headers",
        ),
        (
            "the time in a header",
            Scheme { timestamp: timed_at(Place::header(HeaderName::from_static("x-time"))), ..timed() },
            "the method; the URL and its query; the event's name (`x-event`); the delivery's id (`x-id`); all headers but `x-time`",
        ),
        (
            "token",
            token(),
            "the body; the method; the URL and its query; the time; the event's name (`x-event`); the delivery's id (`x-id`); all headers",
        ),
    ];
    for (name, scheme, expected) in rows {
        assert_eq!(not_covered(&scheme, &[header("x-event")], &[header("x-id")]).join("; "), expected, "{name}");
    }
}

#[test]
fn an_event_of_the_body_is_as_well_covered_as_the_body() {
    let places = [pointer("/event/type"), pointer("/type")];
    let signed = fact(&[timed()], &places);
    assert_eq!(signed, "`/event/type` in the body, else `/type` in the body; covered by the signature");
    assert_eq!(fact(&[token()], &places[..1]), "`/event/type` in the body; not covered");
    let mixed = fact(&[timed()], &[header("x-event"), pointer("/type")]);
    assert_eq!(mixed, "header `x-event` (not covered), else `/type` in the body (covered by the signature)");
    assert_eq!(fact(&[timed()], &[]), "none");
}

#[test]
fn many_members_are_counted_instead_of_listed() {
    let members = |names: &[&str]| Place::Member(names.iter().map(|name| Box::from(*name)).collect());
    let rows = [
        (members(&["a", "b", "c"]), "the name of the body's member (`a`, `b`, `c`)"),
        (members(&["a", "b", "c", "d"]), "the name of the body's member (`a`, `b`, `c` and 1 more)"),
    ];
    for (place, expected) in rows {
        assert_eq!(location(&place), expected);
    }
}

#[test]
fn a_description_says_what_the_scheme_does() {
    let said: Vec<_> =
        lines(&[timed()], &[], &[], &[]).into_iter().map(|line| format!("{}: {}", line.label, line.text)).collect();
    let expected = [
        "proves: that somebody who knows the secret signed exactly this body, within 300 s of now",
        "not covered: the method; the URL and its query; all headers",
        "signed: HMAC-SHA256 of `{timestamp}{{.{body}`",
        "credential: header `x-signature`: a list separated by `,`, of which any `v1=` with 64 digits of lower-case hex may fit",
        "secret: the whole secret, as text, is the key",
        "time: item `t` of the credential, in seconds since 1970; at most 300 s from now, in the past or the future",
        "replays: answered 200 and not forwarded again, for as long as `[replay] window_seconds` says",
        "event: none",
        "delivery id: none",
    ];
    assert_eq!(said, expected);
}

#[test]
fn a_token_is_described_by_its_own_rules() {
    let said: Vec<_> =
        lines(&[jwt()], &[], &[], &[]).into_iter().map(|line| format!("{}: {}", line.label, line.text)).collect();
    let expected = [
        "proves: that the owner of the private key signed exactly this body, for the time that the token names",
        "not covered: the method; the URL and its query; all headers",
        "signed: a JSON Web Token (RS256, ES256)",
        "credential: header `authorization: Bearer …`: the token",
        "secret: none: the provider's public key, in `public_keys`; where the token names a key, the one of that id",
        "time: the token's `exp`, `nbf` and `iat`, with a leeway of 5 s; issued (`iat`) at most 60 s ago",
        "and: claim `payload_hash` must be `{body|sha256}`",
        "replays: answered 200 and not forwarded again, for as long as `[replay] window_seconds` says",
        "event: none",
        "delivery id: none",
    ];
    assert_eq!(said, expected);
}

/// A token that need not name a time proves none, whatever its claims could say.
#[test]
fn the_time_of_a_token_is_told_as_far_as_the_token_has_to_name_it() {
    let ageless = |more: Option<(&str, Presence)>| {
        let mut scheme = jwt();
        scheme.token.age_seconds_max = None;
        let more = more.map(|(claim, presence)| {
            let must = Must::EqualAny(Box::from([Template::new(vec![Part::Text("1".into())])]));
            Requirement { value: Place::Claim(claim.into()), must, presence }
        });
        scheme.require = scheme.require.into_iter().chain(more).collect();
        scheme
    };
    // Each row: whether its time is limited, and whether two honest deliveries have to differ.
    let rows = [
        ("a greatest age", jwt(), true, true),
        ("nothing", ageless(None), false, false),
        ("an end", ageless(Some(("exp", Presence::Mandatory))), true, true),
        ("an end, perhaps", ageless(Some(("exp", Presence::Optional))), false, false),
        ("a beginning", ageless(Some(("nbf", Presence::Mandatory))), false, false),
        ("a birth", ageless(Some(("iat", Presence::Mandatory))), false, true),
        ("an id", ageless(Some(("jti", Presence::Mandatory))), false, true),
        ("a greatest age, of no body", Scheme { require: Box::default(), ..jwt() }, true, false),
    ];
    for (name, scheme, is_limited, differ) in rows {
        assert_eq!(scheme.limits_time(), is_limited, "{name}");
        assert_eq!(proves(&scheme).ends_with("for the time that the token names"), is_limited, "{name}");
        assert_eq!(proves(&scheme).ends_with("; not when"), !is_limited, "{name}");
        assert_eq!(time(&scheme).ends_with("as good tomorrow as today"), !is_limited, "{name}");
        assert_eq!(not_covered(&scheme, &[], &[]).contains(&"the time".to_owned()), !is_limited, "{name}");
        assert_eq!(tells_deliveries_apart(&scheme), differ, "{name}");
    }
}

/// Where a source has several schemes, the reader is told which requests each is for.
#[test]
fn several_schemes_say_what_they_are_for() {
    let media = Condition::Media("application/json".into());
    let first = Scheme { when: Box::from([media, Condition::Absent(Place::Query("x".into()))]), ..timed() };
    let told = lines(&[first, timed()], &[], &[], &[]);
    let requests: Vec<_> = told.iter().filter(|line| line.label == "requests").map(|line| &*line.text).collect();
    assert_eq!(requests, ["with `media=application/json` and `!query:x`", "all others"]);
}

#[test]
fn a_static_secret_is_never_called_a_signature() {
    for line in lines(&[token()], &[], &[header("x-event")], &[]) {
        assert!(!line.text.contains("signature"), "{}: {}", line.label, line.text);
    }
    assert_eq!(signed(&token()), "nothing: the secret itself is sent along");
    assert_eq!(time(&token()), "none is signed: a captured delivery is as good tomorrow as today");
    assert!(replays(&token()).starts_with("not recognised"));
    assert!(replays(&scheme(vec![value(Value::Body)])).starts_with("forwarded"));
}
