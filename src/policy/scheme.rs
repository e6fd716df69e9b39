//! The scheme language: one TOML table that says how a provider signs → [`Scheme`]; tables of handshakes → [`Handshake`](crate::auth::handshake::Handshake).
//!
//! Presets (`auth/providers/*.toml`) and a policy's `[auth.scheme]` are written in it. What a scheme must say, and what
//! may not stand together, is decided here, while policies are loaded; the engine in `auth` takes a [`Scheme`] as it is.
//!
//! ```toml
//! like       = "stripe"                    # what this table does not say, that preset's scheme does; KEY = false takes a word of it away
//! when       = ["query:bodySHA256"]        # in [[scheme]] alone: PLACE | !PLACE | PLACE=TEXT | method=GET | media=application/json; all must hold
//! algorithm  = "hmac-sha256"               # hmac-sha1 … -sha512 | sha1 sha256 sha512 keccak256 | ed25519 ecdsa-p256-sha256 rsa-sha1 rsa-sha256
//!                                          # rsa-sha512 | jwt jws-detached | token | basic
//! credential = "header:x-acme-signature"   # header:NAME | header:A|B | header:PREFIX-* | query:NAME | bearer | basic | json:/POINTER | form:NAME
//! prefix     = "sha256="                   # or optional_prefix, or
//! list       = { separator = ",", pair = "=", item = "v1", group = " " }     # without names: { separator = ",", position = 1 }
//! encoding   = "hex"                       # hex | base64 | base64url
//! secret     = { encoding = "text", prefix = "whsec_", remove_first = "-" }  # text | hex | base64 | sha1
//! signed     = "{timestamp}.{body}"        # {body} {timestamp} {url} {method} {secret} {form} {parameter:NAME} {PLACE}, each with |FILTERs; "{{" is a brace
//! timestamp  = { at = "header:x-acme-timestamp", unit = "seconds", tolerance_seconds = 300 }   # seconds | milliseconds | iso8601
//! require    = [{ value = "claim:iss", any = ["acme"] }]                     # equals = TEMPLATE | any = [TEMPLATE, …] | matches = PATTERN; optional = true
//! jwt        = { algorithms = ["HS256"], leeway_seconds = 0, age_seconds_max = 300 }
//! ```
//!
//! **Invariant:** a timestamp that the signature does not cover is never judged: whoever captured a delivery could renew it.

mod handshake;
mod text;

pub use self::handshake::read_handshakes;
use self::text::{parse_character, parse_condition, parse_name, parse_timestamp_place};
pub use self::text::{parse_fact, parse_header_name, parse_place, parse_template};
use crate::auth::condition::{Condition, Pattern};
use crate::auth::list::{Layout, Signatures};
use crate::auth::place::Place;
use crate::auth::scheme::{
    ALGORITHMS, Algorithm, Encoding, JsonType, Must, Presence, Requirement, Scheme, SecretEncoding, SecretForm, Shape,
    TOKEN_ALGORITHMS, TimestampRule, TimestampUnit, TokenRule,
};
use crate::auth::template::{Template, Value};
use crate::policy::table::parse::{Fault, choose};
use crate::policy::table::{Bound, Reader, Spanned};

/// How far a signed timestamp may lie from now.
pub const TOLERANCE: Bound = Bound::new("tolerance_seconds", 300, 1, 86_400);

/// How far the times in a token may be off.
pub const LEEWAY: Bound = Bound::new("leeway_seconds", 0, 0, 600);

/// The oldest token.
pub const AGE: Bound = Bound::new("age_seconds_max", 300, 1, 86_400);

/// The position of the first signature in a list without names.
pub const POSITION: Bound = Bound::new("position", 0, 0, 63);

/// The longest template, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 1_024;

/// The longest name of a query parameter or a list's item, and the longest prefix, in bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// Schemes of one source, conditions and side conditions of one scheme, handshakes of one preset.
pub const ENTRIES_MAX: usize = 16;

/// Reads `scheme`: one table, or several of which the first that a request is for counts. All faults are reported to the reader.
pub fn read_schemes(table: &mut Reader<'_>) -> Option<Vec<Scheme>> {
    if !table.is_array("scheme") {
        return table
            .table("scheme", |scheme| {
                scheme.refuse(&["when"], "is for [[scheme]], where there are several");
                read_scheme(scheme)
            })
            .flatten()
            .map(|scheme| vec![scheme]);
    }
    let schemes = table.tables("scheme", ENTRIES_MAX, read_scheme)?;
    let count = schemes.value.len();
    if let Some(position) = schemes.value.iter().take(count.saturating_sub(1)).position(|scheme| scheme.when.is_empty())
    {
        let fault = Fault::new(format!("scheme[{position}] has no \"when\", so no scheme after it is ever used"));
        table.error(Some(schemes.span), fault);
        return None;
    }
    (!schemes.value.is_empty()).then_some(schemes.value)
}

/// Reads a scheme from its table.
///
/// All faults are reported to the reader; `None` if the scheme cannot be used.
pub fn read_scheme(table: &mut Reader<'_>) -> Option<Scheme> {
    table.inherited();
    table.require("algorithm");
    let when = read_when(table);
    if let Some(when) = &when
        && let Some(condition) = when.value.iter().find(|condition| !condition.is_of_head())
    {
        let fault = Fault::new(format!("{condition} cannot be told before the body is read"));
        table.error(Some(when.span.clone()), fault.hint("choose by a header, the query, the method or the media type"));
    }
    let algorithm = table.one_of("algorithm", ALGORITHMS).map(|algorithm| algorithm.value);
    let scheme = match algorithm {
        Some(algorithm @ (Algorithm::Token | Algorithm::Basic)) => read_static(table, algorithm),
        Some(algorithm @ (Algorithm::Jwt | Algorithm::JwsDetached)) => read_token(table, algorithm),
        Some(algorithm @ (Algorithm::Hmac(_) | Algorithm::Digest(_) | Algorithm::PublicKey(_))) => {
            read_signature(table, algorithm)
        }
        // Without the algorithm the other keys cannot be judged together, but each by itself.
        None => read_signature(table, Algorithm::Hmac(crate::auth::scheme::Hash::Sha256)).and(None),
    };
    let when = when.map(|when| when.value.into()).unwrap_or_default();
    scheme.map(|scheme| Scheme { when, ..scheme })
}

fn read_static(table: &mut Reader<'_>, algorithm: Algorithm) -> Option<Scheme> {
    let name = algorithm.name();
    table.refuse(
        &["list", "encoding", "secret", "signed", "timestamp", "jwt", "optional_prefix"],
        &format!("has no meaning beside algorithm {name:?}, which signs nothing"),
    );
    let prefix = read_prefix(table, "prefix");
    let require = read_requirements(table);
    let written = table.parsed("credential", parse_place);
    let is_basic = algorithm == Algorithm::Basic;
    let credential = match written {
        Some(Spanned { value: Place::Basic, .. }) if is_basic => Place::Basic,
        Some(Spanned { value: place, .. }) if !is_basic && place != Place::Basic && is_for_credentials(&place) => place,
        Some(Spanned { span, value }) => {
            let place =
                if is_basic { "is always at \"basic\"".to_owned() } else { format!("cannot be at \"{value}\"") };
            table.error(Some(span), Fault::new(format!("the credential of algorithm {name:?} {place}")));
            return None;
        }
        None if is_basic && !table.has("credential") => Place::Basic,
        None => {
            table.require("credential");
            return None;
        }
    };
    Some(Scheme { require: require?, shape: Shape::Whole { prefix }, ..blank(algorithm, credential) })
}

fn read_token(table: &mut Reader<'_>, algorithm: Algorithm) -> Option<Scheme> {
    let name = algorithm.name();
    table.refuse(
        &["list", "encoding", "signed", "timestamp", "optional_prefix", "prefix"],
        &format!("has no meaning beside algorithm {name:?}, which says it itself"),
    );
    table.require("credential");
    table.require("jwt");
    let credential = read_credential(table);
    if credential.as_ref().is_some_and(Place::may_hold_several) {
        let fault = Fault::new(format!("a credential of algorithm {name:?} stands alone"));
        table.error(table.key_span("credential"), fault.hint("name one header, or one place of the body"));
    }
    let token = table.table("jwt", read_token_rule).flatten();
    let secret = read_secret(table);
    let require = read_requirements(table);
    Some(Scheme { token: token?, secret: secret?, require: require?, ..blank(algorithm, credential?) })
}

fn read_token_rule(rule: &mut Reader<'_>) -> Option<TokenRule> {
    rule.require("algorithms");
    let leeway_seconds = rule.bound(&LEEWAY).count();
    let age_seconds_max = rule.number(&AGE).map(|age| u32::try_from(age.value).unwrap_or(u32::MAX));
    rule.refuse_empty("algorithms", ", so no token would ever be accepted");
    let algorithms =
        rule.list("algorithms", TOKEN_ALGORITHMS.len(), |text| choose("algorithm", text, TOKEN_ALGORITHMS))?;
    let symmetric = algorithms.value.iter().filter(|algorithm| algorithm.value.is_symmetric()).count();
    if symmetric != 0 && symmetric != algorithms.value.len() {
        let fault = Fault::new("algorithms with secrets and with public keys cannot stand together");
        rule.error(Some(algorithms.span), fault.hint("a public key could be passed off as a secret"));
        return None;
    }
    let algorithms = algorithms.value.into_iter().map(|algorithm| algorithm.value).collect();
    Some(TokenRule { algorithms, leeway_seconds, age_seconds_max })
}

fn read_signature(table: &mut Reader<'_>, algorithm: Algorithm) -> Option<Scheme> {
    for key in ["credential", "encoding", "signed"] {
        table.require(key);
    }
    table.refuse(&["jwt"], "is for algorithm \"jwt\" and \"jws-detached\" only");
    let credential = read_credential(table);
    let shape = read_shape(table);
    if let (Some(Shape::List(_)), Some(place)) = (&shape, credential.as_ref().filter(|place| place.may_hold_several()))
    {
        let fault = Fault::new(format!("a list stands alone, and at \"{place}\" there may be several"));
        table.error(table.key_span("list"), fault.hint("name one header, or one place of the body"));
    }
    let encoding = table.one_of("encoding", ENCODINGS);
    let secret = read_secret(table);
    let signed = table.string("signed");
    let has_timestamp = table.has("timestamp");
    let timestamp = table.table("timestamp", read_timestamp).flatten();
    let require = read_requirements(table);

    let template = signed.as_ref().and_then(|signed| read_template(table, signed));
    if let (Some(signed), Some(template)) = (&signed, &template) {
        check_timestamp(table, signed, template, timestamp.as_ref(), credential.as_ref());
        check_signed(table, signed, template, algorithm);
    }
    if let (Some(shape), Some(rule)) = (&shape, &timestamp) {
        check_item(table, shape, rule);
    }
    if has_timestamp && timestamp.is_none() {
        return None;
    }
    let scheme = Scheme {
        shape: shape?,
        encoding: encoding?.value,
        secret: secret?,
        signed: template?,
        timestamp: timestamp.map(|rule| rule.value),
        require: require?,
        ..blank(algorithm, credential?)
    };
    if !scheme.covers_body()
        && let Some(signed) = &signed
    {
        let fault = Fault::new("signed does not cover the body, which anybody could then change");
        table.warning(Some(signed.span.clone()), fault.hint("add {body}, if the provider signs it"));
    }
    Some(scheme)
}

/// A scheme with no more than these.
fn blank(algorithm: Algorithm, credential: Place) -> Scheme {
    Scheme {
        when: Box::default(),
        algorithm,
        credential,
        shape: Shape::Whole { prefix: Box::default() },
        encoding: Encoding::Text,
        secret: SecretForm::default(),
        signed: Template::default(),
        timestamp: None,
        require: Box::default(),
        token: TokenRule::default(),
    }
}

/// What may stand in a signed text depends on what is computed over it.
fn check_signed(table: &Reader<'_>, signed: &Spanned<String>, template: &Template, algorithm: Algorithm) {
    let error = |fault: Fault| table.error(Some(signed.span.clone()), fault);
    let is_digest = matches!(algorithm, Algorithm::Digest(_));
    if is_digest && !template.holds(&Value::Secret) {
        let fault =
            Fault::new(format!("algorithm {:?} has no key, and signed does not name {{secret}}", algorithm.name()));
        error(
            fault.hint("anybody could compute it; add {secret} where the provider has it, or use an hmac-… algorithm"),
        );
    }
    if !is_digest && template.names(&Value::Secret) {
        error(Fault::new("{secret} is for plain digests; elsewhere the secret is the key"));
    }
    if crate::auth::scheme::signs_with_the_secret(template) || template.names(&Value::VerifyToken) {
        error(Fault::new("hmac filters and {verify_token} are for answers to handshakes"));
    }
}

fn read_when(table: &mut Reader<'_>) -> Option<Spanned<Vec<Condition>>> {
    let when = table.list("when", ENTRIES_MAX, parse_condition)?;
    Some(when.map(|conditions| conditions.into_iter().map(|condition| condition.value).collect()))
}

fn read_credential(table: &mut Reader<'_>) -> Option<Place> {
    let Spanned { value, span } = table.parsed("credential", parse_place)?;
    if value == Place::Basic {
        table.error(Some(span), Fault::new("a signature cannot be at \"basic\"").hint("use \"header:authorization\""));
        return None;
    }
    if !is_for_credentials(&value) {
        table.error(Some(span), Fault::new(format!("a credential cannot be at \"{value}\"")));
        return None;
    }
    Some(value)
}

/// Whether a credential may stand there at all.
const fn is_for_credentials(place: &Place) -> bool {
    match place {
        Place::Header(_)
        | Place::HeaderPrefix(_)
        | Place::Query(_)
        | Place::Bearer
        | Place::Basic
        | Place::Json(_)
        | Place::Form(_) => true,
        Place::Item(_) | Place::Position(_) | Place::Claim(_) | Place::Member(_) => false,
    }
}

fn read_shape(table: &mut Reader<'_>) -> Option<Shape> {
    let written: Vec<_> = ["list", "prefix", "optional_prefix"].into_iter().filter(|key| table.has(key)).collect();
    if let [first, second, ..] = written.as_slice() {
        let fault = Fault::new(format!("{first} and {second} cannot stand together"));
        table.error(table.key_span(first), fault.hint("a prefix is for a signature that stands alone"));
    }
    let prefix = read_prefix(table, "prefix");
    let optional = read_prefix(table, "optional_prefix");
    if table.has("list") {
        return table.table("list", read_list).flatten().map(Shape::List);
    }
    Some(if table.has("optional_prefix") { Shape::MaybePrefixed { prefix: optional } } else { Shape::Whole { prefix } })
}

fn read_list(list: &mut Reader<'_>) -> Option<Layout> {
    let separator = list.parsed("separator", parse_character).map_or(',', |separator| separator.value);
    let group = list.parsed("group", parse_character).map(|group| group.value);
    if group == Some(separator) {
        list.error(None, Fault::new(format!("separator and group are both {separator:?}")));
    }
    if list.has("position") {
        list.refuse(&["pair", "item"], "has no meaning beside \"position\", which counts items without names");
        let position = list.bound(&POSITION).size();
        return Some(Layout { group, separator, signatures: Signatures::From(position) });
    }
    list.require("item");
    let pair = list.parsed("pair", parse_character).map_or('=', |pair| pair.value);
    let item = list.parsed("item", parse_name)?;
    if separator == pair {
        list.error(None, Fault::new(format!("separator and pair are both {pair:?}")));
    }
    if item.value.contains([separator, pair]) {
        let message = format!("item {:?} holds the list's own {separator:?} or {pair:?}", item.value);
        list.error(Some(item.span), Fault::new(message));
    }
    Some(Layout { group, separator, signatures: Signatures::Named { pair, item: item.value } })
}

fn read_prefix(table: &mut Reader<'_>, key: &'static str) -> Box<str> {
    let prefix = table.parsed(key, |text| if text.is_empty() { Ok(Box::default()) } else { parse_name(text) });
    prefix.map(|prefix| prefix.value).unwrap_or_default()
}

/// `None` if it stands there and cannot be read.
fn read_secret(table: &mut Reader<'_>) -> Option<SecretForm> {
    if !table.has("secret") {
        return Some(SecretForm::default());
    }
    table.table("secret", |form| {
        let encoding = form.one_of("encoding", SECRET_ENCODINGS).map(|encoding| encoding.value).unwrap_or_default();
        let remove_first = form.parsed("remove_first", parse_character).map(|character| character.value);
        SecretForm { encoding, prefix: read_prefix(form, "prefix"), remove_first }
    })
}

fn read_timestamp(rule: &mut Reader<'_>) -> Option<Spanned<TimestampRule>> {
    rule.require("at");
    let at = rule.parsed("at", parse_timestamp_place);
    let unit = rule.one_of("unit", TIMESTAMP_UNITS).map_or(TimestampUnit::Seconds, |unit| unit.value);
    let tolerance_seconds = rule.bound(&TOLERANCE).count();
    let json_type = rule.one_of("json_type", JSON_TYPES);
    let at = at?;
    if let Some(json_type) = &json_type
        && !matches!(at.value, Place::Json(_))
    {
        rule.error(Some(json_type.span.clone()), Fault::new("json_type is for a timestamp at \"json:…\""));
    }
    let json_type = json_type.map(|json_type| json_type.value).unwrap_or_default();
    Some(Spanned { value: TimestampRule { at: at.value, unit, tolerance_seconds, json_type }, span: at.span })
}

fn check_timestamp(
    table: &Reader<'_>,
    signed: &Spanned<String>,
    template: &Template,
    rule: Option<&Spanned<TimestampRule>>,
    credential: Option<&Place>,
) {
    let is_named = template.names(&Value::Timestamp);
    if is_named && !table.has("timestamp") {
        let start = signed.value.find("{timestamp}").unwrap_or_default();
        let fault = Fault::new("signed names {timestamp}, but there is no timestamp table");
        let fault = fault.hint("add timestamp = { at = \"header:…\" }").within(start..start + "{timestamp}".len());
        table.error_inside(signed, fault);
    }
    let Some(rule) = rule else { return };
    let in_body = rule.value.at.is_in_body();
    let body_is_read_early = credential.is_some_and(Place::is_in_body);
    if in_body && is_named && !body_is_read_early {
        let fault = Fault::new(
            "a timestamp inside of the body is judged after the signature, so signed cannot name {timestamp}",
        );
        table.error(Some(rule.span.clone()), fault.hint(format!("write {{{}}} or {{body}}", rule.value.at)));
    }
    let is_signed_in_place = template.holds(&Value::At(rule.value.at.clone()));
    let is_signed_with_the_body = in_body && template.holds(&Value::Body);
    if !(template.holds(&Value::Timestamp) || is_signed_in_place || is_signed_with_the_body) {
        let fault = Fault::new("the timestamp is not part of signed, so anybody could renew it");
        table.error(Some(rule.span.clone()), fault.hint("add {timestamp} to signed, or leave the timestamp out"));
    }
}

fn check_item(table: &Reader<'_>, shape: &Shape, rule: &Spanned<TimestampRule>) {
    let at = &rule.value.at;
    let message = match (at, shape) {
        (Place::Item(_) | Place::Position(_), Shape::Whole { .. } | Shape::MaybePrefixed { .. }) => {
            format!("timestamp is at \"{at}\", but the credential is no list")
        }
        (Place::Item(name), Shape::List(layout)) => match &layout.signatures {
            Signatures::Named { pair, .. } if name.contains([layout.separator, *pair]) => {
                format!("item {name:?} holds the list's own {:?} or {pair:?}", layout.separator)
            }
            Signatures::Named { item, .. } if item == name => format!("item {name:?} is the signature already"),
            Signatures::Named { .. } => return,
            Signatures::From(_) => format!("timestamp is at \"{at}\", but the list's items have no names"),
        },
        (Place::Position(position), Shape::List(layout)) => match &layout.signatures {
            Signatures::From(first) if position >= first => format!("position {position} is a signature already"),
            Signatures::From(_) => return,
            Signatures::Named { .. } => format!("timestamp is at \"{at}\", but the list's items have names"),
        },
        (_, _) => return,
    };
    table.error(Some(rule.span.clone()), Fault::new(message));
}

/// `None` if one of them cannot be read.
fn read_requirements(table: &mut Reader<'_>) -> Option<Box<[Requirement]>> {
    if !table.has("require") {
        return Some(Box::default());
    }
    let requirements = table.tables("require", ENTRIES_MAX, read_requirement)?;
    Some(requirements.value.into())
}

fn read_requirement(one: &mut Reader<'_>) -> Option<Requirement> {
    one.require("value");
    let value = one.parsed("value", parse_place);
    let written: Vec<_> = ["equals", "any", "matches"].into_iter().filter(|key| one.has(key)).collect();
    if let [first, second, ..] = written.as_slice() {
        one.error(one.key_span(second), Fault::new(format!("{first} and {second} cannot stand together")));
    }
    let equals = one.string("equals").map(|text| read_template(one, &text));
    let any = one.list("any", ENTRIES_MAX, |text| Ok(text.to_owned()));
    let any = any.map(|texts| texts.value.iter().map(|text| read_template(one, text)).collect::<Option<Vec<_>>>());
    let matches = one.parsed("matches", |text| {
        Pattern::parse(text).map_err(|error| Fault::new(format!("{text:?} is not a pattern")).hint(error))
    });
    let optional = one.boolean("optional").is_some_and(|optional| optional.value);
    let must = match (equals, any, matches) {
        (Some(text), _, _) => Must::EqualAny(Box::from([text?])),
        (None, Some(texts), _) => Must::EqualAny(texts?.into()),
        (None, None, Some(pattern)) => Must::Match(pattern.value),
        (None, None, None) if one.has("matches") => return None,
        (None, None, None) => Must::Exist,
    };
    if must == Must::Exist && optional {
        one.error(
            one.key_span("optional"),
            Fault::new("nothing is required: neither equals, any nor matches, and it is optional"),
        );
    }
    if optional && matches!(&value, Some(Spanned { value: Place::Json(pointer), .. }) if pointer.has_wildcard()) {
        let fault =
            Fault::new("what every element has to hold cannot be optional: one without it would excuse all others");
        one.error(one.key_span("optional"), fault);
    }
    Some(Requirement {
        value: value?.value,
        must,
        presence: if optional { Presence::Optional } else { Presence::Mandatory },
    })
}

fn read_template(table: &Reader<'_>, text: &Spanned<String>) -> Option<Template> {
    report(table, text, parse_template(&text.value))
}

fn report<T>(table: &Reader<'_>, text: &Spanned<String>, parsed: Result<T, Vec<Fault>>) -> Option<T> {
    match parsed {
        Ok(parsed) => Some(parsed),
        Err(faults) => {
            for fault in faults {
                table.error_inside(text, fault);
            }
            None
        }
    }
}

const ENCODINGS: &[(&str, Encoding)] =
    &[("hex", Encoding::Hex), ("base64", Encoding::Base64), ("base64url", Encoding::Base64Url)];

const SECRET_ENCODINGS: &[(&str, SecretEncoding)] = &[
    ("text", SecretEncoding::Text),
    ("hex", SecretEncoding::Hex),
    ("base64", SecretEncoding::Base64),
    ("sha1", SecretEncoding::Sha1),
];

const JSON_TYPES: &[(&str, JsonType)] = &[("number", JsonType::Number), ("string", JsonType::String)];

const TIMESTAMP_UNITS: &[(&str, TimestampUnit)] = &[
    ("seconds", TimestampUnit::Seconds),
    ("milliseconds", TimestampUnit::Milliseconds),
    ("iso8601", TimestampUnit::Iso8601),
];

#[cfg(test)]
mod tests;
