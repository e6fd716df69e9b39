//! What a scheme proves, in words for people: for `hookward providers NAME` and for `docs/providers.md`.
//!
//! It stands beside a delivery's way, not on it. Every sentence is made from the scheme itself, so that what an operator reads is what the
//! engine does: nothing here knows a provider by name.
//!
//! **Invariant:** what is not said to be covered is not covered. [`not_covered`] names the body, the URL, the time, the event's name and the
//! delivery's id whenever somebody who captured a delivery could change them.

use std::fmt::Write as _;

use super::facts::{self, Covered};
use super::scheme::{
    Algorithm, Encoding, FactLocation, Location, Part, Scheme, SecretEncoding, Shape, Template, TimestampLocation,
    TimestampUnit, Value,
};

/// One line of a description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What the line is about, such as `signed`; the same for every scheme.
    pub label: &'static str,
    /// One sentence without full stop; what is to be taken literally stands in backticks.
    pub text: String,
}

/// How many members of a [`FactLocation::Member`] are named.
const MEMBERS_NAMED_MAX: usize = 3;

/// Everything there is to say of a scheme, and of the places where its event name and delivery id are looked for.
#[must_use]
pub fn lines(scheme: &Scheme, event: &[FactLocation], delivery_id: &[FactLocation]) -> Vec<Line> {
    let line = |label, text| Line { label, text };
    vec![
        line("proves", proves(scheme)),
        line("not covered", not_covered(scheme, event, delivery_id).join("; ")),
        line("signed", signed(scheme)),
        line("credential", credential(scheme)),
        line("secret", secret(scheme)),
        line("time", time(scheme)),
        line("replays", replays(scheme).to_owned()),
        line("event", fact(scheme, event)),
        line("delivery id", fact(scheme, delivery_id)),
    ]
}

/// What a delivery with a good credential proves, and what it does not.
#[must_use]
pub fn proves(scheme: &Scheme) -> String {
    if scheme.is_static() {
        let whom = "that whoever sent it knows the secret, and nothing more";
        return format!("{whom}: who has seen one delivery can send any other");
    }
    let mut text = "that somebody who knows the secret signed".to_owned();
    text.push_str(if scheme.covers_body() { " exactly this body" } else { " what is named below, but not this body" });
    match &scheme.timestamp {
        // Writing into a string cannot fail.
        Some(rule) => drop(write!(text, ", within {} s of now", rule.tolerance_seconds)),
        None => text.push_str("; not when"),
    }
    text
}

/// What somebody who captured a delivery can change without breaking the credential: the list is never empty.
#[must_use]
pub fn not_covered(scheme: &Scheme, event: &[FactLocation], delivery_id: &[FactLocation]) -> Vec<String> {
    let signed = &scheme.signed;
    let mut list = Vec::new();
    if !scheme.covers_body() {
        list.push("the body".to_owned());
    }
    if !signed.names(&Value::Method) {
        list.push("the method".to_owned());
    }
    if !signed.names(&Value::Url) {
        list.push(url_not_covered(signed));
    }
    if scheme.timestamp.is_none() {
        list.push("the time".to_owned());
    }
    for (what, places) in [("the event's name", event), ("the delivery's id", delivery_id)] {
        let uncovered = places.iter().filter(|place| facts::coverage(place, scheme) == Covered::Unsigned);
        let headers: Vec<_> = uncovered.filter_map(header_of).map(|name| format!("`{name}`")).collect();
        if !headers.is_empty() {
            list.push(format!("{what} ({})", headers.join(", ")));
        }
    }
    list.push(headers_not_covered(scheme));
    list
}

/// The algorithm and the signed text, in the words of the scheme language.
#[must_use]
pub fn signed(scheme: &Scheme) -> String {
    match algorithm(scheme.algorithm) {
        Some(name) => format!("{name} of `{}`", template(&scheme.signed)),
        None => "nothing: the secret itself is sent along".to_owned(),
    }
}

/// A template as `[auth.scheme] signed` writes it.
#[must_use]
pub fn template(template: &Template) -> String {
    let mut text = String::new();
    for part in template.parts() {
        // Writing into a string cannot fail.
        let _ = match part {
            Part::Text(fixed) => write!(text, "{}", fixed.replace('{', "{{")),
            Part::Value(Value::Body) => write!(text, "{{body}}"),
            Part::Value(Value::Timestamp) => write!(text, "{{timestamp}}"),
            Part::Value(Value::Header(name)) => write!(text, "{{header:{name}}}"),
            Part::Value(Value::Query(name)) => write!(text, "{{query:{name}}}"),
            Part::Value(Value::Url) => write!(text, "{{url}}"),
            Part::Value(Value::Method) => write!(text, "{{method}}"),
        };
    }
    text
}

/// Where the credential stands and how it is laid out.
#[must_use]
pub fn credential(scheme: &Scheme) -> String {
    let place = match &scheme.credential {
        Location::Header(name) => format!("header `{name}`"),
        Location::Query(name) => format!("query parameter `{name}`"),
        Location::Bearer => "header `authorization: Bearer …`".to_owned(),
        Location::Basic => "header `authorization: Basic …`".to_owned(),
    };
    let spelled = spelled(scheme);
    match &scheme.shape {
        Shape::Whole { prefix } if prefix.is_empty() => format!("{place}: {spelled}"),
        Shape::Whole { prefix } => format!("{place}: `{prefix}`, then {spelled}"),
        Shape::List { separator, pair, item } => {
            let separator = if *separator == ' ' { "spaces".to_owned() } else { format!("`{separator}`") };
            format!("{place}: a list separated by {separator}, of which any `{item}{pair}` with {spelled} may fit")
        }
    }
}

/// How the configured secret becomes the key.
#[must_use]
pub fn secret(scheme: &Scheme) -> String {
    match scheme.algorithm {
        Algorithm::Basic => return "`user:password`".to_owned(),
        Algorithm::Token => return "compared as it is".to_owned(),
        Algorithm::HmacSha1 | Algorithm::HmacSha256 | Algorithm::HmacSha512 => {}
    }
    let rest = if scheme.secret.prefix.is_empty() {
        "the whole secret".to_owned()
    } else {
        format!("the secret without a leading `{}`", scheme.secret.prefix)
    };
    match scheme.secret.encoding {
        SecretEncoding::Text => format!("{rest}, as text, is the key"),
        SecretEncoding::Hex => format!("{rest}, decoded from hex, is the key"),
        SecretEncoding::Base64 => format!("{rest}, decoded from base64, is the key"),
    }
}

/// Where the signed time stands and how far from now it may lie.
#[must_use]
pub fn time(scheme: &Scheme) -> String {
    let Some(rule) = &scheme.timestamp else {
        return "none is signed: a captured delivery is as good tomorrow as today".to_owned();
    };
    let place = match &rule.at {
        TimestampLocation::Header(name) => format!("header `{name}`"),
        TimestampLocation::Item(name) => format!("item `{name}` of the credential"),
    };
    let unit = match rule.unit {
        TimestampUnit::Seconds => "seconds",
        TimestampUnit::Milliseconds => "milliseconds",
    };
    format!("{place}, in {unit} since 1970; at most {} s from now, in the past or the future", rule.tolerance_seconds)
}

/// What becomes of a delivery that was accepted before, unless `[replay] on_duplicate` says otherwise.
#[must_use]
pub fn replays(scheme: &Scheme) -> &'static str {
    if scheme.is_static() {
        "not recognised: nothing signed tells one delivery from another"
    } else if tells_deliveries_apart(scheme) {
        "answered 200 and not forwarded again, for as long as `[replay] window_seconds` says"
    } else {
        "forwarded with `x-hookward-duplicate: 1`: two honest deliveries of the same body look alike"
    }
}

/// Whether the signed text holds something that no two honest deliveries share: a time, or a header such as an id.
#[must_use]
pub fn tells_deliveries_apart(scheme: &Scheme) -> bool {
    scheme.timestamp.is_some() || scheme.signed.headers().next().is_some()
}

/// The places where a fact is looked for, in order, each with what covers it.
#[must_use]
pub fn fact(scheme: &Scheme, places: &[FactLocation]) -> String {
    let Some(first) = places.first() else { return "none".to_owned() };
    let coverage = facts::coverage(first, scheme);
    if places.iter().all(|place| facts::coverage(place, scheme) == coverage) {
        let places: Vec<_> = places.iter().map(location).collect();
        return format!("{}; {}", places.join(", else "), covered(coverage));
    }
    let each = places.iter().map(|place| format!("{} ({})", location(place), covered(facts::coverage(place, scheme))));
    each.collect::<Vec<_>>().join(", else ")
}

/// A place where a fact is looked for.
#[must_use]
pub fn location(place: &FactLocation) -> String {
    match place {
        FactLocation::Header(name) => format!("header `{name}`"),
        FactLocation::Pointer(pointer) => format!("`{pointer}` in the body"),
        FactLocation::Form(name) => format!("form field `{name}`"),
        FactLocation::Member(names) => {
            let first: Vec<_> = names.iter().take(MEMBERS_NAMED_MAX).map(|name| format!("`{name}`")).collect();
            let more = match names.len().saturating_sub(MEMBERS_NAMED_MAX) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("the name of the body's member ({}{more})", first.join(", "))
        }
    }
}

const fn covered(coverage: Covered) -> &'static str {
    match coverage {
        Covered::Signed => "covered by the signature",
        Covered::Unsigned => "not covered",
    }
}

fn header_of(place: &FactLocation) -> Option<&http::HeaderName> {
    match place {
        FactLocation::Header(name) => Some(name),
        // These are in the body, which is named by itself.
        FactLocation::Pointer(_) | FactLocation::Form(_) | FactLocation::Member(_) => None,
    }
}

fn headers_not_covered(scheme: &Scheme) -> String {
    let timestamp = scheme.timestamp.as_ref().and_then(|rule| match &rule.at {
        TimestampLocation::Header(name) => Some(name),
        TimestampLocation::Item(_) => None,
    });
    let mut covered: Vec<_> = scheme.signed.headers().chain(timestamp).map(|name| format!("`{name}`")).collect();
    covered.dedup();
    if covered.is_empty() { "all headers".to_owned() } else { format!("all headers but {}", covered.join(" and ")) }
}

fn url_not_covered(signed: &Template) -> String {
    let parameters = signed.parts().iter().filter_map(|part| match part {
        Part::Value(Value::Query(name)) => Some(format!("`{name}`")),
        Part::Text(_) | Part::Value(Value::Body | Value::Timestamp | Value::Header(_) | Value::Url | Value::Method) => {
            None
        }
    });
    let parameters: Vec<_> = parameters.collect();
    if parameters.is_empty() {
        return "the URL and its query".to_owned();
    }
    format!("the URL and its query, but for {}", parameters.join(", "))
}

/// The algorithm's usual name; `None` where nothing is signed.
const fn algorithm(algorithm: Algorithm) -> Option<&'static str> {
    match algorithm {
        Algorithm::HmacSha1 => Some("HMAC-SHA1"),
        Algorithm::HmacSha256 => Some("HMAC-SHA256"),
        Algorithm::HmacSha512 => Some("HMAC-SHA512"),
        Algorithm::Token | Algorithm::Basic => None,
    }
}

/// How the credential itself is spelled.
fn spelled(scheme: &Scheme) -> String {
    let Some(bytes) = scheme.algorithm.signature_bytes() else {
        return match scheme.algorithm {
            Algorithm::Basic => "`user:password` in base64".to_owned(),
            Algorithm::Token | Algorithm::HmacSha1 | Algorithm::HmacSha256 | Algorithm::HmacSha512 => {
                "the secret".to_owned()
            }
        };
    };
    match scheme.encoding {
        Encoding::Text => format!("{bytes} bytes"),
        Encoding::Hex => format!("{} digits of lower-case hex", 2 * bytes),
        Encoding::Base64 => format!("{bytes} bytes in base64 with padding"),
        Encoding::Base64Url => format!("{bytes} bytes in base64url without padding"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::scheme::{SecretForm, TimestampRule};
    use crate::payload::Pointer;
    use http::HeaderName;

    fn header(name: &'static str) -> FactLocation {
        FactLocation::Header(HeaderName::from_static(name))
    }

    fn pointer(text: &str) -> FactLocation {
        FactLocation::Pointer(Pointer::parse(text).unwrap())
    }

    /// HMAC-SHA256 of these parts, in hex in `x-signature`.
    fn scheme(parts: Vec<Part>) -> Scheme {
        Scheme {
            algorithm: Algorithm::HmacSha256,
            credential: Location::Header(HeaderName::from_static("x-signature")),
            shape: Shape::Whole { prefix: "sha256=".into() },
            encoding: Encoding::Hex,
            secret: SecretForm { encoding: SecretEncoding::Text, prefix: Box::default() },
            signed: Template::new(parts),
            timestamp: None,
        }
    }

    fn timed() -> Scheme {
        let parts = vec![Part::Value(Value::Timestamp), Part::Text("{.".into()), Part::Value(Value::Body)];
        let at = TimestampLocation::Item("t".into());
        let timestamp = Some(TimestampRule { at, unit: TimestampUnit::Seconds, tolerance_seconds: 300 });
        let shape = Shape::List { separator: ',', pair: '=', item: "v1".into() };
        Scheme { shape, timestamp, ..scheme(parts) }
    }

    #[expect(clippy::unnecessary_wraps, reason = "as the field has it")]
    fn timed_in(header: &'static str) -> Option<TimestampRule> {
        let at = TimestampLocation::Header(HeaderName::from_static(header));
        Some(TimestampRule { at, unit: TimestampUnit::Seconds, tolerance_seconds: 300 })
    }

    fn token() -> Scheme {
        let shape = Shape::Whole { prefix: Box::default() };
        let credential = Location::Bearer;
        Scheme { algorithm: Algorithm::Token, credential, shape, encoding: Encoding::Text, ..scheme(Vec::new()) }
    }

    #[test]
    fn what_is_not_covered_is_named() {
        let body = || vec![Part::Value(Value::Body)];
        let with = |mut parts: Vec<Part>, value| {
            parts.push(Part::Value(value));
            scheme(parts)
        };
        let id = HeaderName::from_static("x-id");
        let rows = [
            (
                "body alone",
                scheme(body()),
                "the method; the URL and its query; the time; the event's name (`x-event`); the delivery's id (`x-id`); all headers",
            ),
            (
                "body and id",
                with(body(), Value::Header(id)),
                "the method; the URL and its query; the time; the event's name (`x-event`); all headers but `x-id`",
            ),
            (
                "body and URL",
                with(body(), Value::Url),
                "the method; the time; the event's name (`x-event`); the delivery's id (`x-id`); all headers",
            ),
            (
                "a parameter and no body",
                with(Vec::new(), Value::Query("q".into())),
                "the body; the method; the URL and its query, but for `q`; the time; the event's name (`x-event`); the delivery's id (`x-id`); all headers",
            ),
            (
                "body and time",
                timed(),
                "the method; the URL and its query; the event's name (`x-event`); the delivery's id (`x-id`); all headers",
            ),
            (
                "the time in a header",
                Scheme { timestamp: timed_in("x-time"), ..timed() },
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
        let signed = fact(&timed(), &places);
        assert_eq!(signed, "`/event/type` in the body, else `/type` in the body; covered by the signature");
        assert_eq!(fact(&token(), &places[..1]), "`/event/type` in the body; not covered");
        let mixed = fact(&timed(), &[header("x-event"), pointer("/type")]);
        assert_eq!(mixed, "header `x-event` (not covered), else `/type` in the body (covered by the signature)");
        assert_eq!(fact(&timed(), &[]), "none");
    }

    #[test]
    fn many_members_are_counted_instead_of_listed() {
        let members = |names: &[&str]| FactLocation::Member(names.iter().map(|name| Box::from(*name)).collect());
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
            lines(&timed(), &[], &[]).into_iter().map(|line| format!("{}: {}", line.label, line.text)).collect();
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
    fn a_static_secret_is_never_called_a_signature() {
        for line in lines(&token(), &[header("x-event")], &[]) {
            assert!(!line.text.contains("signature"), "{}: {}", line.label, line.text);
        }
        assert_eq!(signed(&token()), "nothing: the secret itself is sent along");
        assert_eq!(time(&token()), "none is signed: a captured delivery is as good tomorrow as today");
        assert!(replays(&token()).starts_with("not recognised"));
        assert!(replays(&scheme(vec![Part::Value(Value::Body)])).starts_with("forwarded"));
    }
}
