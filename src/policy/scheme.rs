//! The scheme language: one TOML table that says how a provider signs → [`Scheme`].
//!
//! Presets (`auth/providers/*.toml`) and a policy's `[auth.scheme]` are written in it. What a scheme must say, and what
//! may not stand together, is decided here, while policies are loaded; the engine in `auth` takes a [`Scheme`] as it is.
//!
//! ```toml
//! algorithm  = "hmac-sha256"               # hmac-sha1 | hmac-sha256 | hmac-sha512 | token | basic
//! credential = "header:x-acme-signature"   # header:NAME | query:NAME | bearer | basic
//! prefix     = "sha256="                   # or list = { separator = ",", pair = "=", item = "v1" }
//! encoding   = "hex"                       # hex | base64 | base64url
//! secret     = { encoding = "text", prefix = "whsec_" }    # text | hex | base64; the prefix is cut off if present
//! signed     = "{timestamp}.{body}"        # {body} {timestamp} {header:NAME} {query:NAME} {url} {method}; "{{" is a brace
//! timestamp  = { at = "header:x-acme-timestamp", unit = "seconds", tolerance_seconds = 300 }
//! ```
//!
//! **Invariant:** a timestamp that the signature does not cover is never read: whoever captured a delivery could renew it.

use http::HeaderName;

use crate::auth::scheme::{
    Algorithm, Encoding, Location, Part, Scheme, SecretEncoding, SecretForm, Shape, Template, TimestampLocation,
    TimestampRule, TimestampUnit, Value,
};
use crate::policy::table::parse::{Fault, choose};
use crate::policy::table::{Bound, Reader, Spanned};

/// How far a signed timestamp may lie from now.
pub const TOLERANCE: Bound = Bound::new("tolerance_seconds", 300, 1, 86_400);

/// The longest template, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 1_024;

/// The longest name of a query parameter or a list's item, and the longest prefix, in bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// Reads a scheme from its table.
///
/// All faults are reported to the reader; `None` if the scheme cannot be used.
pub fn read_scheme(table: &mut Reader<'_>) -> Option<Scheme> {
    table.require("algorithm");
    let algorithm = table.one_of("algorithm", ALGORITHMS);
    match algorithm.as_ref().map(|algorithm| algorithm.value) {
        Some(algorithm @ (Algorithm::Token | Algorithm::Basic)) => read_static(table, algorithm),
        Some(algorithm @ (Algorithm::HmacSha1 | Algorithm::HmacSha256 | Algorithm::HmacSha512)) => {
            read_signature(table, algorithm)
        }
        // Without the algorithm the other keys cannot be judged together, but each by itself.
        None => read_signature(table, Algorithm::HmacSha256).and(None),
    }
}

fn read_static(table: &mut Reader<'_>, algorithm: Algorithm) -> Option<Scheme> {
    let name = algorithm.name();
    table.refuse(
        &["list", "encoding", "secret", "signed", "timestamp"],
        &format!("has no meaning beside algorithm {name:?}, which signs nothing"),
    );
    let prefix = read_prefix(table);
    let written = table.parsed("credential", parse_location);
    let is_basic = algorithm == Algorithm::Basic;
    let credential = match written {
        Some(Spanned { value: Location::Basic, .. }) if is_basic => Location::Basic,
        Some(Spanned { value: location, .. }) if !is_basic && location != Location::Basic => location,
        Some(Spanned { span, .. }) => {
            let place = if is_basic { "is always at \"basic\"" } else { "cannot be at \"basic\"" };
            table.error(Some(span), Fault::new(format!("the credential of algorithm {name:?} {place}")));
            return None;
        }
        None if is_basic && !table.has("credential") => Location::Basic,
        None => {
            table.require("credential");
            return None;
        }
    };
    Some(Scheme {
        algorithm,
        credential,
        shape: Shape::Whole { prefix },
        encoding: Encoding::Text,
        secret: SecretForm { encoding: SecretEncoding::Text, prefix: Box::default() },
        signed: Template::default(),
        timestamp: None,
    })
}

fn read_signature(table: &mut Reader<'_>, algorithm: Algorithm) -> Option<Scheme> {
    for key in ["credential", "encoding", "signed"] {
        table.require(key);
    }
    let credential = read_signature_location(table);
    let shape = read_shape(table);
    let encoding = table.one_of("encoding", ENCODINGS);
    let has_secret = table.has("secret");
    let secret = table.table("secret", read_secret_form);
    let signed = table.string("signed");
    let has_timestamp = table.has("timestamp");
    let timestamp = table.table("timestamp", read_timestamp).flatten();

    let template = signed.as_ref().and_then(|signed| read_template(table, signed));
    if let (Some(signed), Some(template)) = (&signed, &template) {
        check_timestamp(table, signed, template, timestamp.as_ref(), has_timestamp);
        if !template.names(&Value::Body) {
            let fault = Fault::new("signed does not cover the body, which anybody could then change");
            table.warning(Some(signed.span.clone()), fault.hint("add {body}, if the provider signs it"));
        }
    }
    if let (Some(shape), Some(rule)) = (&shape, &timestamp) {
        check_item(table, shape, rule);
    }
    if (has_secret && secret.is_none()) || (has_timestamp && timestamp.is_none()) {
        return None;
    }
    Some(Scheme {
        algorithm,
        credential: credential?,
        shape: shape?,
        encoding: encoding?.value,
        secret: secret.unwrap_or(SecretForm { encoding: SecretEncoding::Text, prefix: Box::default() }),
        signed: template?,
        timestamp: timestamp.map(|rule| rule.value),
    })
}

fn read_signature_location(table: &mut Reader<'_>) -> Option<Location> {
    let Spanned { value, span } = table.parsed("credential", parse_location)?;
    if value == Location::Basic {
        table.error(Some(span), Fault::new("a signature cannot be at \"basic\"").hint("use \"header:authorization\""));
        return None;
    }
    Some(value)
}

fn read_shape(table: &mut Reader<'_>) -> Option<Shape> {
    if table.has("list") && table.has("prefix") {
        let fault =
            Fault::new("prefix and list cannot stand together").hint("prefix is for a signature that stands alone");
        table.error(table.key_span("list"), fault);
    }
    let prefix = read_prefix(table);
    if !table.has("list") {
        return Some(Shape::Whole { prefix });
    }
    table.table("list", read_list).flatten()
}

fn read_list(list: &mut Reader<'_>) -> Option<Shape> {
    list.require("item");
    let separator = list.parsed("separator", parse_character).map_or(',', |separator| separator.value);
    let pair = list.parsed("pair", parse_character).map_or('=', |pair| pair.value);
    let item = list.parsed("item", parse_name)?;
    if separator == pair {
        list.error(None, Fault::new(format!("separator and pair are both {pair:?}")));
    }
    if item.value.contains([separator, pair]) {
        let message = format!("item {:?} holds the list's own {separator:?} or {pair:?}", item.value);
        list.error(Some(item.span), Fault::new(message));
    }
    Some(Shape::List { separator, pair, item: item.value })
}

fn read_prefix(table: &mut Reader<'_>) -> Box<str> {
    let prefix = table.parsed("prefix", |text| if text.is_empty() { Ok(Box::default()) } else { parse_name(text) });
    prefix.map(|prefix| prefix.value).unwrap_or_default()
}

fn read_secret_form(form: &mut Reader<'_>) -> SecretForm {
    let encoding = form.one_of("encoding", SECRET_ENCODINGS);
    let encoding = encoding.map_or(SecretEncoding::Text, |encoding| encoding.value);
    SecretForm { encoding, prefix: read_prefix(form) }
}

fn read_timestamp(rule: &mut Reader<'_>) -> Option<Spanned<TimestampRule>> {
    rule.require("at");
    let at = rule.parsed("at", parse_timestamp_location);
    let unit = rule.one_of("unit", TIMESTAMP_UNITS).map_or(TimestampUnit::Seconds, |unit| unit.value);
    let tolerance_seconds = rule.bound(&TOLERANCE).count();
    let at = at?;
    Some(Spanned { value: TimestampRule { at: at.value, unit, tolerance_seconds }, span: at.span })
}

fn check_timestamp(
    table: &Reader<'_>,
    signed: &Spanned<String>,
    template: &Template,
    rule: Option<&Spanned<TimestampRule>>,
    has_timestamp: bool,
) {
    let is_signed = template.names(&Value::Timestamp);
    if is_signed && !has_timestamp {
        let start = signed.value.find("{timestamp}").unwrap_or_default();
        let fault = Fault::new("signed names {timestamp}, but there is no timestamp table");
        let fault = fault.hint("add timestamp = { at = \"header:…\" }").within(start..start + "{timestamp}".len());
        table.error_inside(signed, fault);
    }
    let Some(rule) = rule else { return };
    let is_signed_as_header = match &rule.value.at {
        TimestampLocation::Header(name) => template.names(&Value::Header(name.clone())),
        TimestampLocation::Item(_) => false,
    };
    if !is_signed && !is_signed_as_header {
        let fault = Fault::new("the timestamp is not part of signed, so anybody could renew it");
        table.error(Some(rule.span.clone()), fault.hint("add {timestamp} to signed, or leave the timestamp out"));
    }
}

fn check_item(table: &Reader<'_>, shape: &Shape, rule: &Spanned<TimestampRule>) {
    let TimestampLocation::Item(name) = &rule.value.at else { return };
    let message = match shape {
        Shape::Whole { .. } => format!("timestamp is at \"item:{name}\", but the credential is no list"),
        Shape::List { separator, pair, .. } if name.contains([*separator, *pair]) => {
            format!("item {name:?} holds the list's own {separator:?} or {pair:?}")
        }
        Shape::List { item, .. } if item == name => format!("item {name:?} is the signature already"),
        Shape::List { .. } => return,
    };
    table.error(Some(rule.span.clone()), Fault::new(message));
}

fn read_template(table: &Reader<'_>, signed: &Spanned<String>) -> Option<Template> {
    match parse_template(&signed.value) {
        Ok(template) => Some(template),
        Err(faults) => {
            for fault in faults {
                table.error_inside(signed, fault);
            }
            None
        }
    }
}

/// Reads the text of a template: `{…}` are values of the request, `{{` is a brace, all else is fixed text.
///
/// # Errors
/// Every unknown or broken placeholder, with its place in the text; an empty or overlong text.
pub fn parse_template(text: &str) -> Result<Template, Vec<Fault>> {
    if text.is_empty() || text.len() > TEMPLATE_BYTES_MAX {
        return Err(vec![Fault::new(format!("signed must be of 1 to {TEMPLATE_BYTES_MAX} bytes"))]);
    }
    let (mut parts, mut faults, mut fixed) = (Vec::new(), Vec::new(), String::new());
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(open) = rest.find('{') else {
            fixed.push_str(rest);
            break;
        };
        fixed.push_str(&rest[..open]);
        let (start, inner) = (at + open, &rest[open + 1..]);
        if inner.starts_with('{') {
            fixed.push('{');
            at = start + 2;
            continue;
        }
        let Some(close) = inner.find('}') else {
            faults.push(Fault::new("a brace is not closed").hint("write \"{{\" for a brace").within(start..text.len()));
            break;
        };
        at = start + close + 2;
        match parse_value(&inner[..close]) {
            Ok(value) => {
                push_text(&mut parts, &mut fixed);
                parts.push(Part::Value(value));
            }
            Err(fault) => faults.push(fault.within(start..at)),
        }
    }
    push_text(&mut parts, &mut fixed);
    if faults.is_empty() { Ok(Template::new(parts)) } else { Err(faults) }
}

fn push_text(parts: &mut Vec<Part>, fixed: &mut String) {
    if !fixed.is_empty() {
        parts.push(Part::Text(std::mem::take(fixed).into_boxed_str()));
    }
}

fn parse_value(placeholder: &str) -> Result<Value, Fault> {
    if let Some(name) = placeholder.strip_prefix("header:") {
        return parse_header_name(name).map(Value::Header);
    }
    if let Some(name) = placeholder.strip_prefix("query:") {
        return parse_name(name).map(Value::Query);
    }
    match placeholder {
        "body" => Ok(Value::Body),
        "timestamp" => Ok(Value::Timestamp),
        "url" => Ok(Value::Url),
        "method" => Ok(Value::Method),
        _ => Err(Fault::new(format!("unknown placeholder \"{{{}}}\"", placeholder.escape_debug()))
            .hint("use {body}, {timestamp}, {header:NAME}, {query:NAME}, {url} or {method}; \"{{\" is a brace")),
    }
}

/// Reads where a credential stands: `header:NAME`, `query:NAME`, `bearer` or `basic`.
///
/// # Errors
/// Anything else, and a name that cannot be one.
pub fn parse_location(text: &str) -> Result<Location, Fault> {
    match text.split_once(':') {
        Some(("header", name)) => parse_header_name(name).map(Location::Header),
        Some(("query", name)) => parse_name(name).map(Location::Query),
        _ => choose("place", text, &[("bearer", 0), ("basic", 1)])
            .map(|place| if place == 0 { Location::Bearer } else { Location::Basic })
            .map_err(|fault| fault.hint("use \"header:NAME\", \"query:NAME\", \"bearer\" or \"basic\"")),
    }
}

fn parse_timestamp_location(text: &str) -> Result<TimestampLocation, Fault> {
    match text.split_once(':') {
        Some(("header", name)) => parse_header_name(name).map(TimestampLocation::Header),
        Some(("item", name)) => parse_name(name).map(TimestampLocation::Item),
        _ => Err(Fault::new(format!("unknown place {text:?}")).hint("use \"header:NAME\" or \"item:NAME\"")),
    }
}

/// Reads the name of a header field (RFC 9110 §5.1).
///
/// # Errors
/// Anything that is not a token.
pub fn parse_header_name(text: &str) -> Result<HeaderName, Fault> {
    text.parse().map_err(|_| Fault::new(format!("{text:?} is not the name of a header field")))
}

fn parse_name(text: &str) -> Result<Box<str>, Fault> {
    if text.is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(Fault::new(format!("must be of 1 to {NAME_BYTES_MAX} bytes without control characters")));
    }
    Ok(Box::from(text))
}

fn parse_character(text: &str) -> Result<char, Fault> {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(character), None) if !character.is_control() => Ok(character),
        _ => Err(Fault::new(format!("must be one character, got {text:?}"))),
    }
}

const ALGORITHMS: &[(&str, Algorithm)] = &[
    (Algorithm::HmacSha1.name(), Algorithm::HmacSha1),
    (Algorithm::HmacSha256.name(), Algorithm::HmacSha256),
    (Algorithm::HmacSha512.name(), Algorithm::HmacSha512),
    (Algorithm::Token.name(), Algorithm::Token),
    (Algorithm::Basic.name(), Algorithm::Basic),
];

const ENCODINGS: &[(&str, Encoding)] =
    &[("hex", Encoding::Hex), ("base64", Encoding::Base64), ("base64url", Encoding::Base64Url)];

const SECRET_ENCODINGS: &[(&str, SecretEncoding)] =
    &[("text", SecretEncoding::Text), ("hex", SecretEncoding::Hex), ("base64", SecretEncoding::Base64)];

const TIMESTAMP_UNITS: &[(&str, TimestampUnit)] =
    &[("seconds", TimestampUnit::Seconds), ("milliseconds", TimestampUnit::Milliseconds)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::table::{findings, read};
    use proptest::prelude::*;

    fn check(text: &str) -> (Option<Scheme>, Vec<String>) {
        let (scheme, found) = findings(text, |file, found| read(file, found, read_scheme));
        (scheme.flatten(), found)
    }

    const GOOD: &str = r#"
algorithm  = "hmac-sha256"
credential = "header:X-Acme-Signature"
list       = { separator = ",", pair = "=", item = "v1" }
encoding   = "hex"
secret     = { encoding = "base64", prefix = "whsec_" }
signed     = "{timestamp}.{body}"
timestamp  = { at = "item:t", unit = "milliseconds", tolerance_seconds = 60 }
"#;

    #[test]
    fn a_scheme_is_read_with_all_its_words() {
        let expected = Scheme {
            algorithm: Algorithm::HmacSha256,
            credential: Location::Header(HeaderName::from_static("x-acme-signature")),
            shape: Shape::List { separator: ',', pair: '=', item: Box::from("v1") },
            encoding: Encoding::Hex,
            secret: SecretForm { encoding: SecretEncoding::Base64, prefix: Box::from("whsec_") },
            signed: Template::new(vec![
                Part::Value(Value::Timestamp),
                Part::Text(Box::from(".")),
                Part::Value(Value::Body),
            ]),
            timestamp: Some(TimestampRule {
                at: TimestampLocation::Item(Box::from("t")),
                unit: TimestampUnit::Milliseconds,
                tolerance_seconds: 60,
            }),
        };
        assert_eq!(check(GOOD), (Some(expected), Vec::new()));
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let (scheme, found) = check(
            "algorithm = 'hmac-sha1'\ncredential = 'bearer'\nencoding = 'base64url'\nsigned = '{body}{header:x-t}'\n\
             timestamp = { at = 'header:x-t' }",
        );
        let scheme = scheme.unwrap();
        assert_eq!(found, Vec::<String>::new());
        assert_eq!(scheme.shape, Shape::Whole { prefix: Box::default() });
        assert_eq!(scheme.secret, SecretForm { encoding: SecretEncoding::Text, prefix: Box::default() });
        let timestamp = scheme.timestamp.unwrap();
        assert_eq!((timestamp.unit, timestamp.tolerance_seconds), (TimestampUnit::Seconds, 300));
    }

    #[test]
    fn static_credentials_need_no_more_than_their_place() {
        let rows = [
            (
                "algorithm = 'token'\ncredential = 'header:x-token'",
                Location::Header(HeaderName::from_static("x-token")),
                "",
            ),
            ("algorithm = 'token'\ncredential = 'query:key'\nprefix = 'k '", Location::Query(Box::from("key")), "k "),
            ("algorithm = 'token'\ncredential = 'bearer'", Location::Bearer, ""),
            ("algorithm = 'basic'", Location::Basic, ""),
            ("algorithm = 'basic'\ncredential = 'basic'", Location::Basic, ""),
        ];
        for (text, credential, prefix) in rows {
            let (scheme, found) = check(text);
            let scheme = scheme.unwrap();
            assert_eq!(found, Vec::<String>::new(), "{text}");
            assert_eq!((scheme.credential, scheme.encoding), (credential, Encoding::Text), "{text}");
            assert_eq!(scheme.shape, Shape::Whole { prefix: Box::from(prefix) }, "{text}");
        }
    }

    /// Each row replaces one line of [`GOOD`] (or adds one at its end) and names what is then found.
    #[test]
    fn each_fault_is_told_at_its_place() {
        let rows: &[(&str, &str, &[&str])] = &[
            ("algorithm", "algorithm = 'hmac-md5'", &["2:13: unknown algorithm \"hmac-md5\""]),
            ("algorithm", "", &["missing key \"algorithm\""]),
            ("credential", "", &["missing key \"credential\""]),
            ("credential", "credential = 'x-acme'", &["3:14: unknown place \"x-acme\""]),
            ("credential", "credential = 'header:x acme'", &["3:14: \"x acme\" is not the name of a header field"]),
            ("credential", "credential = 'query:'", &["3:14: must be of 1 to 256 bytes without control characters"]),
            ("credential", "credential = 'basic'", &["3:14: a signature cannot be at \"basic\""]),
            ("encoding", "", &["missing key \"encoding\""]),
            ("encoding", "encoding = 'b64'", &["5:12: unknown encoding \"b64\""]),
            ("secret", "secret = 'base64'", &["6:10: secret must be a table, got a string"]),
            ("secret", "secret = { encoding = 'b64' }", &["6:23: unknown encoding \"b64\""]),
            ("secret", "secret = { enc = 'hex' }", &["6:12: unknown key \"enc\" in secret"]),
            ("signed", "", &["missing key \"signed\""]),
            ("signed", "signed = ''", &["7:10: signed must be of 1 to 1024 bytes"]),
            ("signed", "signed = '{timestamp}.{bdy}'", &["7:23: unknown placeholder \"{bdy}\""]),
            (
                "signed",
                "signed = '{}{body}{query:}'",
                &["7:11: unknown placeholder \"{}\"", "7:19: must be of 1 to 256 bytes without control characters"],
            ),
            ("signed", "signed = '{timestamp}.{body'", &["7:23: a brace is not closed"]),
            ("signed", "signed = \"{timestamp}\\u002e{bdy}\"", &["7:10: unknown placeholder \"{bdy}\""]),
            (
                "signed",
                "signed = '{timestamp}'",
                &["7:10: warning: signed does not cover the body, which anybody could then change"],
            ),
            ("signed", "signed = '{body}'", &["8:21: the timestamp is not part of signed, so anybody could renew it"]),
            (
                "signed",
                "signed = '{{timestamp}.{body}'",
                &["8:21: the timestamp is not part of signed, so anybody could renew it"],
            ),
            ("timestamp", "", &["7:15: signed names {timestamp}, but there is no timestamp table"]),
            ("timestamp", "timestamp = { at = 't' }", &["8:20: unknown place \"t\""]),
            ("timestamp", "timestamp = { at = 'item:v1' }", &["8:20: item \"v1\" is the signature already"]),
            ("timestamp", "timestamp = { at = 'item:a=b' }", &["8:20: item \"a=b\" holds the list's own ',' or '='"]),
            ("timestamp", "timestamp = { at = 'item:t', unit = 'minutes' }", &["8:37: unknown unit \"minutes\""]),
            (
                "timestamp",
                "timestamp = { at = 'item:t', tolerance_seconds = 0 }",
                &["8:50: tolerance_seconds is 0, must be 1..=86_400"],
            ),
            ("timestamp", "timestamp = { at = 'item:t', tolerance_seconds = 1 }", &[]),
            ("timestamp", "timestamp = { at = 'item:t', tolerance_seconds = 86_400 }", &[]),
            (
                "timestamp",
                "timestamp = { at = 'item:t', tolerance_seconds = 86_401 }",
                &["8:50: tolerance_seconds is 86401, must be 1..=86_400"],
            ),
            ("list", "", &["8:21: timestamp is at \"item:t\", but the credential is no list"]),
            ("list", "list = { item = '' }", &["4:17: must be of 1 to 256 bytes without control characters"]),
            ("list", "list = { item = 'a,b' }", &["4:17: item \"a,b\" holds the list's own ',' or '='"]),
            ("list", "list = { pair = ',', item = 'v1' }", &["4:8: separator and pair are both ','"]),
            ("list", "list = { separator = ', ', item = 'v1' }", &["4:22: must be one character, got \", \""]),
            ("list", "list = {}", &["4:8: missing key \"item\" in list"]),
            ("end", "prefix = 'sha256='", &["4:1: prefix and list cannot stand together"]),
            ("end", "digest = 'x'", &["9:1: unknown key \"digest\""]),
        ];
        for (replaced, line, expected) in rows {
            let mut lines: Vec<_> =
                GOOD.lines().map(|good| if good.starts_with(replaced) { *line } else { good }).collect();
            if *replaced == "end" {
                lines.push(line);
            }
            assert_eq!(check(&lines.join("\n")).1, *expected, "{line:?} for {replaced}");
        }
    }

    #[test]
    fn static_credentials_refuse_the_words_of_signatures() {
        let rows: &[(&str, &[&str])] = &[
            ("algorithm = 'token'", &["missing key \"credential\""]),
            (
                "algorithm = 'token'\ncredential = 'basic'",
                &["2:14: the credential of algorithm \"token\" cannot be at \"basic\""],
            ),
            (
                "algorithm = 'basic'\ncredential = 'bearer'",
                &["2:14: the credential of algorithm \"basic\" is always at \"basic\""],
            ),
            (
                "algorithm = 'basic'\nsigned = '{body}'\nencoding = 'hex'",
                &[
                    "2:1: \"signed\" has no meaning beside algorithm \"basic\", which signs nothing",
                    "3:1: \"encoding\" has no meaning beside algorithm \"basic\", which signs nothing",
                ],
            ),
            (
                "algorithm = 'basic'\ntimestamp = { at = 'header:x' }",
                &["2:1: \"timestamp\" has no meaning beside algorithm \"basic\", which signs nothing"],
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(check(text).1, *expected, "{text}");
        }
    }

    #[test]
    fn templates_hold_fixed_text_and_values() {
        let fixed = |text: &str| Part::Text(Box::from(text));
        let rows = [
            (
                "v0:{timestamp}:{body}",
                vec![fixed("v0:"), Part::Value(Value::Timestamp), fixed(":"), Part::Value(Value::Body)],
            ),
            ("{{{body}}", vec![fixed("{"), Part::Value(Value::Body), fixed("}")]),
            ("{{body}", vec![fixed("{body}")]),
            ("{url}{method}", vec![Part::Value(Value::Url), Part::Value(Value::Method)]),
            (
                "{header:X-A}{query:q}",
                vec![
                    Part::Value(Value::Header(HeaderName::from_static("x-a"))),
                    Part::Value(Value::Query(Box::from("q"))),
                ],
            ),
            ("é{body}ü", vec![fixed("é"), Part::Value(Value::Body), fixed("ü")]),
        ];
        for (text, parts) in rows {
            assert_eq!(parse_template(text), Ok(Template::new(parts)), "{text}");
        }
        assert!(parse_template(&"a".repeat(TEMPLATE_BYTES_MAX)).is_ok());
        assert!(parse_template(&"a".repeat(TEMPLATE_BYTES_MAX + 1)).is_err());
    }

    proptest! {
        #[test]
        fn no_template_can_make_the_reader_panic(text in "[{}a-z:é]{0,40}") {
            for fault in parse_template(&text).err().into_iter().flatten() {
                let within = fault.within.unwrap_or_default();
                prop_assert!(text.get(within).is_some());
            }
        }
    }
}
