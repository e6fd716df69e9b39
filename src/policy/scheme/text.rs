//! The small texts of the scheme language: templates, places, conditions, names.

use http::{HeaderName, Method};

use super::{NAME_BYTES_MAX, TEMPLATE_BYTES_MAX};
use crate::auth::condition::Condition;
use crate::auth::place::Place;
use crate::auth::template::{FILTERS, Filter, Part, Template, Value};
use crate::payload::Pointer;
use crate::policy::table::parse::Fault;

/// Reads the text of a template: `{…}` are values of the request, `{{` is a brace, all else is fixed text.
///
/// # Errors
/// Every unknown or broken placeholder, with its place in the text; an empty or overlong text.
pub fn parse_template(text: &str) -> Result<Template, Vec<Fault>> {
    if text.is_empty() || text.len() > TEMPLATE_BYTES_MAX {
        return Err(vec![Fault::new(format!("a template must be of 1 to {TEMPLATE_BYTES_MAX} bytes"))]);
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
        match parse_placeholder(&inner[..close]) {
            Ok(part) => {
                push_text(&mut parts, &mut fixed);
                parts.push(part);
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

/// A value and its filters. `header:A|B` names two fields: what is no filter belongs to the value.
fn parse_placeholder(placeholder: &str) -> Result<Part, Fault> {
    let mut value = placeholder;
    let mut filters: Vec<Filter> = Vec::new();
    while let Some((before, word)) = value.rsplit_once('|') {
        let known = FILTERS.iter().find(|(known, _)| *known == word).map(|(_, filter)| filter.clone());
        let element = word.strip_prefix("xml:").map(|name| parse_name(name).map(Filter::Xml)).transpose()?;
        let Some(filter) = known.or(element) else {
            if value.starts_with("header:") || value.starts_with("member:") {
                break;
            }
            let words: Vec<_> = FILTERS.iter().map(|(word, _)| *word).collect();
            let hint = format!("use {} or xml:NAME", words.join(", "));
            return Err(Fault::new(format!("unknown filter {word:?}")).hint(hint));
        };
        filters.insert(0, filter);
        value = before;
    }
    let value = parse_value(value)?;
    let takes_a_part = filters.iter().any(Filter::takes_a_part) && !matches!(value, Value::Body | Value::At(_));
    if takes_a_part || !filters.is_empty() && matches!(value, Value::Parameter(_)) {
        let fault = Fault::new(format!(
            "{{{value}}} cannot be sent through {}",
            if takes_a_part { "from-base64 or xml" } else { "a filter" }
        ));
        return Err(fault);
    }
    Ok(Part::Value(value, filters.into()))
}

fn parse_value(placeholder: &str) -> Result<Value, Fault> {
    match placeholder {
        "body" => return Ok(Value::Body),
        "timestamp" => return Ok(Value::Timestamp),
        "url" => return Ok(Value::Url),
        "method" => return Ok(Value::Method),
        "secret" => return Ok(Value::Secret),
        "verify_token" => return Ok(Value::VerifyToken),
        "form" => return Ok(Value::Form),
        _ => {}
    }
    if let Some(name) = placeholder.strip_prefix("parameter:") {
        return parse_name(name).map(Value::Parameter);
    }
    let place = if placeholder.contains(':') { Some(parse_place(placeholder)?) } else { None };
    place.filter(|place| !matches!(place, Place::HeaderPrefix(_))).map(Value::At).ok_or_else(|| {
        Fault::new(format!("unknown placeholder \"{{{}}}\"", placeholder.escape_debug())).hint(
            "use {body}, {timestamp}, {header:NAME}, {query:NAME}, {json:/POINTER}, {form:NAME}, {form}, {url}, {method}, {secret} or \
             {parameter:NAME}; \"{{\" is a brace",
        )
    })
}

/// Reads where a value stands: `header:NAME`, `header:A|B`, `header:PREFIX*`, `query:NAME`, `bearer`, `basic`, `json:/POINTER`, `form:NAME`,
/// `item:NAME`, `position:N`, `claim:NAME` or `member:A|B`.
///
/// # Errors
/// Anything else, and a name that cannot be one.
pub fn parse_place(text: &str) -> Result<Place, Fault> {
    match text.split_once(':') {
        Some(("header", name)) => match name.strip_suffix('*') {
            Some(prefix) => parse_header_name(prefix).map(|prefix| Place::HeaderPrefix(prefix.as_str().into())),
            None => name.split('|').map(parse_header_name).collect::<Result<_, _>>().map(Place::Header),
        },
        Some(("query", name)) => parse_name(name).map(Place::Query),
        Some(("json", pointer)) => Pointer::parse(pointer)
            .map(Place::Json)
            .map_err(|fault| Fault::new(format!("{pointer:?} is not a JSON Pointer")).hint(fault.to_string())),
        Some(("form", name)) => parse_name(name).map(Place::Form),
        Some(("item", name)) => parse_name(name).map(Place::Item),
        Some(("position", number)) => {
            let position = number.parse().ok().filter(|position| *position < 64);
            position
                .map(Place::Position)
                .ok_or_else(|| Fault::new(format!("{number:?} is not a position from 0 to 63")))
        }
        Some(("claim", name)) => parse_name(name).map(Place::Claim),
        Some(("member", names)) => names.split('|').map(parse_name).collect::<Result<_, _>>().map(Place::Member),
        _ => match text {
            "bearer" => Ok(Place::Bearer),
            "basic" => Ok(Place::Basic),
            _ => Err(Fault::new(format!("unknown place {text:?}")).hint(
                "use \"header:NAME\", \"query:NAME\", \"json:/POINTER\", \"form:NAME\", \"bearer\" or \"basic\"",
            )),
        },
    }
}

/// Reads a fact: a place, or a template with values in braces.
///
/// # Errors
/// Anything else.
pub fn parse_fact(text: &str) -> Result<Template, Fault> {
    if !text.contains('{') {
        return parse_place(text).map(Template::of_place);
    }
    parse_template(text).map_err(|faults| faults.into_iter().next().unwrap_or_else(|| Fault::new("not a template")))
}

pub(super) fn parse_timestamp_place(text: &str) -> Result<Place, Fault> {
    match parse_place(text)? {
        place @ (Place::Header(_)
        | Place::Item(_)
        | Place::Position(_)
        | Place::Json(_)
        | Place::Form(_)
        | Place::Query(_)) => Ok(place),
        other @ (Place::HeaderPrefix(_) | Place::Bearer | Place::Basic | Place::Claim(_) | Place::Member(_)) => {
            Err(Fault::new(format!("a timestamp cannot be at \"{other}\""))
                .hint("use \"header:NAME\", \"item:NAME\", \"position:N\" or \"json:/POINTER\""))
        }
    }
}

pub(super) fn parse_condition(text: &str) -> Result<Condition, Fault> {
    if let Some(place) = text.strip_prefix('!') {
        return parse_place(place).map(Condition::Absent);
    }
    match text.split_once('=') {
        Some(("method", method)) => Method::from_bytes(method.as_bytes())
            .map(Condition::Method)
            .map_err(|_| Fault::new(format!("{method:?} is not a method"))),
        Some(("media", media_type)) => parse_name(media_type).map(Condition::Media),
        Some((place, value)) => Ok(Condition::Equals(parse_place(place)?, parse_name(value)?)),
        None => parse_place(text).map(Condition::Present),
    }
}

/// Reads the name of a header field (RFC 9110 §5.1).
///
/// # Errors
/// Anything that is not a token.
pub fn parse_header_name(text: &str) -> Result<HeaderName, Fault> {
    text.parse().map_err(|_| Fault::new(format!("{text:?} is not the name of a header field")))
}

pub(super) fn parse_name(text: &str) -> Result<Box<str>, Fault> {
    if text.is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(Fault::new(format!("must be of 1 to {NAME_BYTES_MAX} bytes without control characters")));
    }
    Ok(Box::from(text))
}

pub(super) fn parse_character(text: &str) -> Result<char, Fault> {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(character), None) if !character.is_control() => Ok(character),
        _ => Err(Fault::new(format!("must be one character, got {text:?}"))),
    }
}
