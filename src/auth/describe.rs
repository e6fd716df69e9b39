//! What a scheme proves, in words for people: for `hookward providers NAME` and for `docs/providers.md`.
//!
//! It stands beside a delivery's way, not on it. Every sentence is made from the scheme itself, so that what an operator reads is what the
//! engine does: nothing here knows a provider by name.
//!
//! **Invariant:** what is not said to be covered is not covered. [`not_covered`] names the body, the URL, the time, the event's name and the
//! delivery's id whenever somebody who captured a delivery could change them.

use std::fmt::Write as _;

use super::facts::{self, Covered};
use super::handshake::{Handshake, ProofNeeded};
use super::list::Signatures;
use super::place::Place;
use super::scheme::{
    Algorithm, Encoding, Hash, Must, Presence, PublicKeyAlgorithm, Requirement, Scheme, SecretEncoding, Shape,
    TOKEN_ALGORITHMS, TimestampUnit,
};
use super::template::{Template, Value};

/// One line of a description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What the line is about, such as `signed`; the same for every scheme.
    pub label: &'static str,
    /// What there is to say.
    pub text: String,
}

/// Whether what is signed differs for any two honest deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deliveries {
    /// It does: a second one is a repetition.
    Differ,
    /// It need not.
    LookAlike,
}

/// How many members of a [`Place::Member`] are named.
const MEMBERS_NAMED_MAX: usize = 3;

/// Everything there is to say of a source's schemes, of its handshakes, and of the places where its event name and delivery id are looked for.
#[must_use]
pub fn lines(schemes: &[Scheme], handshakes: &[Handshake], event: &[Template], delivery_id: &[Template]) -> Vec<Line> {
    let line = |label, text| Line { label, text };
    let mut lines = Vec::new();
    for scheme in schemes {
        if schemes.len() > 1 {
            lines.push(line("requests", requests(scheme)));
        }
        lines.extend([
            line("proves", proves(scheme)),
            line("not covered", not_covered(scheme, event, delivery_id).join("; ")),
            line("signed", signed(scheme)),
            line("credential", credential(scheme)),
            line("secret", secret(scheme)),
            line("time", time(scheme)),
        ]);
        lines.extend(scheme.require.iter().map(|requirement| line("and", required(requirement))));
        lines.push(line("replays", replays(scheme).to_owned()));
    }
    lines.push(line("event", fact(schemes, event)));
    lines.push(line("delivery id", fact(schemes, delivery_id)));
    lines.extend(self::handshakes(handshakes));
    lines
}

/// What there is to say of handshakes.
pub fn handshakes(handshakes: &[Handshake]) -> impl Iterator<Item = Line> {
    handshakes.iter().map(|handshake| Line { label: "handshake", text: shaken(handshake) })
}

/// Which requests a scheme is for, where there are several.
fn requests(scheme: &Scheme) -> String {
    if scheme.when.is_empty() {
        return "all others".to_owned();
    }
    let conditions: Vec<_> = scheme.when.iter().map(|condition| format!("`{condition}`")).collect();
    format!("with {}", conditions.join(" and "))
}

/// What a delivery with a good credential proves, and what it does not.
#[must_use]
pub fn proves(scheme: &Scheme) -> String {
    if scheme.is_static() {
        let whom = "that whoever sent it knows the secret, and nothing more";
        return format!("{whom}: who has seen one delivery can send any other");
    }
    let whom = if scheme.has_public_keys() {
        "that the owner of the private key"
    } else {
        "that somebody who knows the secret"
    };
    let mut text = format!("{whom} signed");
    text.push_str(if scheme.covers_body() { " exactly this body" } else { " what is named below, but not this body" });
    match (&scheme.timestamp, scheme.algorithm) {
        // Writing into a string cannot fail.
        (Some(rule), _) => drop(write!(text, ", within {} s of now", rule.tolerance_seconds)),
        (None, Algorithm::Jwt) if scheme.limits_time() => text.push_str(", for the time that the token names"),
        (None, _) => text.push_str("; not when"),
    }
    text
}

/// What somebody who captured a delivery can change without breaking the credential: the list is never empty.
#[must_use]
pub fn not_covered(scheme: &Scheme, event: &[Template], delivery_id: &[Template]) -> Vec<String> {
    let signed = &scheme.signed;
    let mut list = Vec::new();
    if !scheme.covers_body() {
        list.push("the body".to_owned());
    }
    if !signed.holds(&Value::Method) {
        list.push("the method".to_owned());
    }
    if !scheme.covers_url() {
        list.push(url_not_covered(signed));
    }
    if !scheme.limits_time() {
        list.push("the time".to_owned());
    }
    for (what, places) in [("the event's name", event), ("the delivery's id", delivery_id)] {
        let uncovered = places.iter().filter(|fact| facts::coverage(fact, [scheme]) == Covered::Unsigned);
        let headers: Vec<_> = uncovered.flat_map(Template::headers).map(|name| format!("`{name}`")).collect();
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
    match scheme.algorithm {
        Algorithm::Jwt => format!("a JSON Web Token ({})", token_algorithms(scheme)),
        Algorithm::JwsDetached => format!("a JSON Web Signature ({}) of the body", token_algorithms(scheme)),
        Algorithm::Token | Algorithm::Basic => "nothing: the secret itself is sent along".to_owned(),
        Algorithm::Hmac(_) | Algorithm::Digest(_) | Algorithm::PublicKey(_) => {
            format!("{} of `{}`", algorithm(scheme.algorithm), scheme.signed)
        }
    }
}

/// Where the credential stands and how it is laid out.
#[must_use]
pub fn credential(scheme: &Scheme) -> String {
    let place = match &scheme.credential {
        Place::Bearer => "header `authorization: Bearer …`".to_owned(),
        Place::Basic => "header `authorization: Basic …`".to_owned(),
        Place::HeaderPrefix(prefix) => format!("each header `{prefix}*`, any of which may fit"),
        other @ (Place::Header(_)
        | Place::Query(_)
        | Place::Json(_)
        | Place::Form(_)
        | Place::Item(_)
        | Place::Position(_)
        | Place::Claim(_)
        | Place::Member(_)) => location(other),
    };
    let spelled = spelled(scheme);
    match &scheme.shape {
        Shape::Whole { prefix } | Shape::MaybePrefixed { prefix } if prefix.is_empty() => format!("{place}: {spelled}"),
        Shape::Whole { prefix } => format!("{place}: `{prefix}`, then {spelled}"),
        Shape::MaybePrefixed { prefix } => format!("{place}: {spelled}, perhaps behind `{prefix}`"),
        Shape::List(layout) => {
            let named = |separator: char| if separator == ' ' { "spaces".to_owned() } else { format!("`{separator}`") };
            let group = match layout.group {
                Some(group) => format!("lists separated by {}, each", named(group)),
                None => "a list".to_owned(),
            };
            let separator = named(layout.separator);
            match &layout.signatures {
                Signatures::Named { pair, item } => {
                    format!(
                        "{place}: {group} separated by {separator}, of which any `{item}{pair}` with {spelled} may fit"
                    )
                }
                Signatures::From(position) => {
                    format!(
                        "{place}: {group} separated by {separator}, of which any from item {} on may fit: {spelled}",
                        position + 1
                    )
                }
            }
        }
    }
}

/// How the configured secret becomes the key.
#[must_use]
pub fn secret(scheme: &Scheme) -> String {
    match scheme.algorithm {
        Algorithm::Basic => return "`user:password`".to_owned(),
        Algorithm::Token => return "compared as it is".to_owned(),
        Algorithm::PublicKey(_) | Algorithm::Jwt | Algorithm::JwsDetached if scheme.has_public_keys() => {
            let named = match scheme.algorithm {
                Algorithm::Jwt | Algorithm::JwsDetached => "; where the token names a key, the one of that id",
                Algorithm::PublicKey(_)
                | Algorithm::Hmac(_)
                | Algorithm::Digest(_)
                | Algorithm::Token
                | Algorithm::Basic => "",
            };
            return format!("none: the provider's public key, in `public_keys`{named}");
        }
        Algorithm::Hmac(_)
        | Algorithm::Digest(_)
        | Algorithm::PublicKey(_)
        | Algorithm::Jwt
        | Algorithm::JwsDetached => {}
    }
    let mut rest = if scheme.secret.prefix.is_empty() {
        "the whole secret".to_owned()
    } else {
        format!("the secret without a leading `{}`", scheme.secret.prefix)
    };
    if let Some(removed) = scheme.secret.remove_first {
        let _ = write!(rest, " and without its first `{removed}`");
    }
    match scheme.secret.encoding {
        SecretEncoding::Text => format!("{rest}, as text, is the key"),
        SecretEncoding::Hex => format!("{rest}, decoded from hex, is the key"),
        SecretEncoding::Base64 => format!("{rest}, decoded from base64, is the key"),
        SecretEncoding::Sha1 => format!("the SHA-1 of {rest} is the key"),
    }
}

/// Where the signed time stands and how far from now it may lie.
#[must_use]
pub fn time(scheme: &Scheme) -> String {
    if scheme.algorithm == Algorithm::Jwt {
        let leeway = scheme.token.leeway_seconds;
        let age =
            scheme.token.age_seconds_max.map(|age| format!("; issued (`iat`) at most {age} s ago")).unwrap_or_default();
        let lasting = if scheme.limits_time() { "" } else { "; one that has no `exp` is as good tomorrow as today" };
        return format!("the token's `exp`, `nbf` and `iat`, with a leeway of {leeway} s{age}{lasting}");
    }
    let Some(rule) = &scheme.timestamp else {
        return "none is signed: a captured delivery is as good tomorrow as today".to_owned();
    };
    let place = match &rule.at {
        Place::Item(name) => format!("item `{name}` of the credential"),
        Place::Position(position) => format!("item {} of the credential", position + 1),
        other @ (Place::Header(_)
        | Place::HeaderPrefix(_)
        | Place::Query(_)
        | Place::Bearer
        | Place::Basic
        | Place::Json(_)
        | Place::Form(_)
        | Place::Claim(_)
        | Place::Member(_)) => location(other),
    };
    let unit = match rule.unit {
        TimestampUnit::Seconds => "in seconds since 1970",
        TimestampUnit::Milliseconds => "in milliseconds since 1970",
        TimestampUnit::Iso8601 => "a date-time with an offset",
    };
    format!("{place}, {unit}; at most {} s from now, in the past or the future", rule.tolerance_seconds)
}

/// A side condition in words.
fn required(requirement: &Requirement) -> String {
    let place = location(&requirement.value);
    let must = match &requirement.must {
        Must::Exist => "must be there".to_owned(),
        Must::EqualAny(texts) => {
            let texts: Vec<_> = texts.iter().map(|text| format!("`{text}`")).collect();
            format!("must be {}", texts.join(" or "))
        }
        Must::Match(pattern) => format!("must match `{}`", pattern.text()),
    };
    let optional = match requirement.presence {
        Presence::Mandatory => "",
        Presence::Optional => ", if it is there",
    };
    format!("{place} {must}{optional}")
}

/// A handshake in words.
fn shaken(handshake: &Handshake) -> String {
    let conditions: Vec<_> = handshake.when.iter().map(|condition| format!("`{condition}`")).collect();
    let proof = match handshake.proof {
        ProofNeeded::Required => "once it is authentic,",
        ProofNeeded::None => "without proof, under the client's rate,",
    };
    let answer =
        if handshake.answer.is_empty() { "an empty body".to_owned() } else { format!("`{}`", handshake.answer) };
    if let Some(place) = &handshake.confirm {
        return format!(
            "a request with {} goes to the app once it is authentic; where the policy says `[handshake] confirm = true` it is answered {proof} with {answer}, \
             after the gateway has visited the URL that it names ({})",
            conditions.join(" and "),
            location(place)
        );
    }
    let learn = match &handshake.learn {
        Some(place) => format!("; its secret ({}) is kept while `hookward learn` has opened it", location(place)),
        None => String::new(),
    };
    format!("a request with {} is answered {proof} with {answer}{learn}", conditions.join(" and "))
}

/// What becomes of a delivery that was accepted before, unless `[replay] on_duplicate` says otherwise.
#[must_use]
pub fn replays(scheme: &Scheme) -> &'static str {
    if scheme.is_static() {
        return "not recognised: nothing signed tells one delivery from another";
    }
    replays_where(if tells_deliveries_apart(scheme) { Deliveries::Differ } else { Deliveries::LookAlike })
}

/// The same where it is known what any two honest deliveries have signed.
#[must_use]
pub const fn replays_where(deliveries: Deliveries) -> &'static str {
    match deliveries {
        Deliveries::Differ => "answered 200 and not forwarded again, for as long as `[replay] window_seconds` says",
        Deliveries::LookAlike => {
            "forwarded with `x-hookward-duplicate: 1`: two honest deliveries of the same body look alike"
        }
    }
}

/// Whether the signed text holds something that no two honest deliveries share: a time, or a header such as an id; a token tells by what it has to
/// name.
#[must_use]
pub fn tells_deliveries_apart(scheme: &Scheme) -> bool {
    let names_a_header = scheme.signed.headers().next().is_some();
    let is_one_of_a_kind = scheme.limits_time() || ["iat", "jti"].iter().any(|claim| scheme.wants_claim(claim));
    scheme.timestamp.is_some() || names_a_header || is_one_of_a_kind && scheme.covers_body()
}

/// The places where a fact is looked for, in order, each with what covers it.
#[must_use]
pub fn fact(schemes: &[Scheme], places: &[Template]) -> String {
    fact_by(places, |place| facts::coverage(place, schemes))
}

/// The same where something else tells what covers each.
#[must_use]
pub fn fact_by(places: &[Template], covers: impl Fn(&Template) -> Covered) -> String {
    let Some(first) = places.first() else { return "none".to_owned() };
    let coverage = covers(first);
    if places.iter().all(|place| covers(place) == coverage) {
        let places: Vec<_> = places.iter().map(said).collect();
        return format!("{}; {}", places.join(", else "), covered(coverage));
    }
    let each = places.iter().map(|place| format!("{} ({})", said(place), covered(covers(place))));
    each.collect::<Vec<_>>().join(", else ")
}

/// A fact in words.
#[must_use]
pub fn said(fact: &Template) -> String {
    fact.place().map_or_else(|| format!("`{fact}`"), location)
}

/// A place in words.
#[must_use]
pub fn location(place: &Place) -> String {
    match place {
        Place::Header(names) => {
            let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            format!("header {}", names.join(" or "))
        }
        Place::HeaderPrefix(prefix) => format!("headers `{prefix}*`"),
        Place::Query(name) => format!("query parameter `{name}`"),
        Place::Bearer => "header `authorization: Bearer …`".to_owned(),
        Place::Basic => "header `authorization: Basic …`".to_owned(),
        Place::Json(pointer) if pointer.has_wildcard() => format!("every `{pointer}` in the body"),
        Place::Json(pointer) => format!("`{pointer}` in the body"),
        Place::Form(name) => format!("form field `{name}`"),
        Place::Item(name) => format!("item `{name}` of the credential"),
        Place::Position(position) => format!("item {} of the credential", position + 1),
        Place::Claim(name) => format!("claim `{name}`"),
        Place::Member(names) => {
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

fn headers_not_covered(scheme: &Scheme) -> String {
    let timestamp = scheme.timestamp.iter().flat_map(|rule| rule.at.headers());
    let held = scheme.signed.held_places().flat_map(Place::headers);
    let mut covered: Vec<_> = held.chain(timestamp).map(|name| format!("`{name}`")).collect();
    covered.dedup();
    if covered.is_empty() { "all headers".to_owned() } else { format!("all headers but {}", covered.join(" and ")) }
}

fn url_not_covered(signed: &Template) -> String {
    let parameters = signed.held_places().filter_map(|place| {
        let Place::Query(name) = place else { return None };
        Some(format!("`{name}`"))
    });
    let parameters: Vec<_> = parameters.collect();
    if parameters.is_empty() {
        return "the URL and its query".to_owned();
    }
    format!("the URL and its query, but for {}", parameters.join(", "))
}

/// The algorithm's usual name.
const fn algorithm(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Hmac(Hash::Sha1) => "HMAC-SHA1",
        Algorithm::Hmac(Hash::Sha256 | Hash::Keccak256) => "HMAC-SHA256",
        Algorithm::Hmac(Hash::Sha384) => "HMAC-SHA384",
        Algorithm::Hmac(Hash::Sha512) => "HMAC-SHA512",
        Algorithm::Digest(Hash::Sha1) => "SHA-1",
        Algorithm::Digest(Hash::Sha256) => "SHA-256",
        Algorithm::Digest(Hash::Sha384) => "SHA-384",
        Algorithm::Digest(Hash::Sha512) => "SHA-512",
        Algorithm::Digest(Hash::Keccak256) => "Keccak-256",
        Algorithm::PublicKey(PublicKeyAlgorithm::Ed25519) => "Ed25519 signature",
        Algorithm::PublicKey(PublicKeyAlgorithm::EcdsaP256) => "ECDSA signature (P-256, SHA-256)",
        Algorithm::PublicKey(PublicKeyAlgorithm::RsaSha1) => "RSA signature (PKCS#1 v1.5, SHA-1)",
        Algorithm::PublicKey(PublicKeyAlgorithm::RsaSha256) => "RSA signature (PKCS#1 v1.5, SHA-256)",
        Algorithm::PublicKey(PublicKeyAlgorithm::RsaSha512) => "RSA signature (PKCS#1 v1.5, SHA-512)",
        Algorithm::Jwt => "JSON Web Token",
        Algorithm::JwsDetached => "detached JSON Web Signature",
        Algorithm::Token | Algorithm::Basic => "",
    }
}

fn token_algorithms(scheme: &Scheme) -> String {
    let words = TOKEN_ALGORITHMS.iter().filter(|(_, algorithm)| scheme.token.algorithms.contains(algorithm));
    words.map(|(word, _)| *word).collect::<Vec<_>>().join(", ")
}

/// How the credential itself is spelled.
fn spelled(scheme: &Scheme) -> String {
    match scheme.algorithm {
        Algorithm::Basic => return "`user:password` in base64".to_owned(),
        Algorithm::Token => return "the secret".to_owned(),
        Algorithm::Jwt => return "the token".to_owned(),
        Algorithm::JwsDetached => return "the signature in its compact form, the payload left out".to_owned(),
        Algorithm::Hmac(_) | Algorithm::Digest(_) | Algorithm::PublicKey(_) => {}
    }
    match (scheme.encoding, scheme.algorithm.mac_bytes()) {
        (Encoding::Text, _) => "the signature".to_owned(),
        (Encoding::Hex, Some(bytes)) => format!("{} digits of lower-case hex", 2 * bytes),
        (Encoding::Hex, None) => "the signature in lower-case hex".to_owned(),
        (Encoding::Base64, Some(bytes)) => format!("{bytes} bytes in base64 with padding"),
        (Encoding::Base64, None) => "the signature in base64 with padding".to_owned(),
        (Encoding::Base64Url, Some(bytes)) => format!("{bytes} bytes in base64url without padding"),
        (Encoding::Base64Url, None) => "the signature in base64url without padding".to_owned(),
    }
}

#[cfg(test)]
mod tests;
