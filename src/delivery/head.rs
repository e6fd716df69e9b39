//! What has to be right of a request's head: Host, and what its Content-Type says of the body.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{HeaderName, Method, Version};

use super::{Reading, Unread};
use crate::header::{self, Duplicated};
use crate::payload::coding::Coding;
use crate::payload::content_type::ContentType;
use crate::payload::{Format, form, multipart};
use crate::policy::Source;
use crate::policy::source::PayloadKind;
use crate::reason::Reason;
use crate::rejection::Rejection;

/// Exactly one well-formed Host where the version wants one, and none that differs from the target's authority (RFC 9110 §7.2, RFC 9113 §8.3.1).
pub(super) fn check_host(head: &Parts) -> Result<(), Rejection> {
    let host = header::single(&head.headers, &HOST).map_err(|Duplicated| duplicated(&HOST))?;
    let malformed = || Rejection::new(Reason::HeaderMalformed).fact("header", "host");
    let authority = head.uri.authority();
    match host {
        Some(value) if !is_host(value.as_bytes()) => Err(malformed()),
        Some(value)
            if authority
                .is_some_and(|authority| !value.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())) =>
        {
            Err(malformed())
        }
        None if head.version == Version::HTTP_11 || authority.is_none() && head.version == Version::HTTP_2 => {
            Err(malformed())
        }
        Some(_) | None => match authority {
            Some(authority) if !is_host(authority.as_str().as_bytes()) => Err(malformed()),
            Some(_) | None => Ok(()),
        },
    }
}

/// A registered name or an address with an optional port, and nothing else (RFC 9110 §7.2; no userinfo, list, path or white space).
fn is_host(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, rest)) if address.parse::<std::net::Ipv6Addr>().is_ok() => {
                (address, if rest.is_empty() { None } else { Some(rest.strip_prefix(':').unwrap_or("-")) })
            }
            Some(_) | None => return false,
        },
        None => match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    let named = !name.is_empty()
        && (text.starts_with('[') || name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)));
    named && port.is_none_or(|port| port.parse::<u16>().is_ok() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

pub(super) fn duplicated(name: &HeaderName) -> Rejection {
    Rejection::new(Reason::HeaderDuplicated).fact("header", name.as_str().to_owned())
}

/// The Content-Type; empty if there is none.
pub(super) fn content_type(head: &Parts) -> Result<ContentType<'_>, Rejection> {
    let Some(value) = head.headers.get(CONTENT_TYPE) else { return Ok(ContentType::new("")) };
    let text = value.to_str().map_err(|_| Rejection::new(Reason::HeaderMalformed).fact("header", "content-type"))?;
    Ok(ContentType::new(text))
}

/// A GET without Content-Type: it says all in its URL, and has no body whose type could be the wrong one.
pub(super) fn has_no_content(head: &Parts) -> bool {
    head.method == Method::GET && !head.headers.contains_key(CONTENT_TYPE)
}

/// How the body is compressed, where its source takes that: by one coding at most.
pub(super) fn coding(source: &Source, head: &Parts) -> Result<Option<Coding>, Rejection> {
    let Some(field) = head.headers.get(CONTENT_ENCODING) else { return Ok(None) };
    if field.as_bytes().eq_ignore_ascii_case(b"identity") {
        return Ok(None);
    }
    match Coding::of_field(field.as_bytes()) {
        Some(coding) if source.content_encodings.contains(&coding) => Ok(Some(coding)),
        Some(coding) => Err(Rejection::new(Reason::ContentEncodingRefused).fact("coding", coding.name())),
        None => Err(Reason::ContentEncodingRefused.into()),
    }
}

/// Whether the Content-Type says that a body is of another kind than the one that the policy has it read as, where it could have said that one. Senders
/// seldom sign the field, and apps go by it. Where the policy takes no type of its kind, the sender is known to say it wrong.
fn is_at_odds(source: &Source, content_type: ContentType<'_>) -> bool {
    let own = match source.payload {
        PayloadKind::Auto | PayloadKind::Opaque => return false,
        PayloadKind::Json => "application/json",
        PayloadKind::Form => form::MEDIA_TYPE,
        PayloadKind::Multipart => multipart::MEDIA_TYPE,
    };
    let is_own = content_type.is(own) || source.payload == PayloadKind::Json && content_type.is_json();
    let is_read = content_type.is_json()
        || content_type.is_json_lines()
        || content_type.is(form::MEDIA_TYPE)
        || content_type.is(multipart::MEDIA_TYPE);
    is_read && !is_own && source.content_types.contains(own)
}

/// How a body of this type is read.
pub(super) fn reading<'h>(source: &Source, content_type: ContentType<'h>) -> Reading<'h> {
    if is_at_odds(source, content_type) {
        return refused("the type that the policy reads", "the Content-Type says that apps would read something else");
    }
    let format = match source.payload {
        PayloadKind::Opaque => return Reading::Not,
        PayloadKind::Json => Some(Format::Json),
        PayloadKind::Form => Some(Format::Form),
        PayloadKind::Auto if content_type.is_json() => Some(Format::Json),
        PayloadKind::Auto if content_type.is_json_lines() => Some(Format::JsonLines),
        PayloadKind::Auto if content_type.is(form::MEDIA_TYPE) => Some(Format::Form),
        PayloadKind::Multipart => content_type.boundary().map(Format::Multipart),
        PayloadKind::Auto if content_type.is(multipart::MEDIA_TYPE) => content_type.boundary().map(Format::Multipart),
        PayloadKind::Auto => None,
    };
    match format {
        Some(format) if content_type.is_utf8() => Reading::As(format),
        Some(_) => refused("charset=utf-8, or no charset", "only UTF-8 is read"),
        None if content_type.is(multipart::MEDIA_TYPE) => {
            refused("a boundary", "its boundary parameter is missing or none")
        }
        None => refused("a type that is read", "payload = \"opaque\" forwards what is not read"),
    }
}

const fn refused<'h>(expected: &'static str, hint: &'static str) -> Reading<'h> {
    Reading::Refused(Unread { expected, hint })
}

/// Text of the sender's for a record, cut; it is escaped when it is written.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

/// What the body of a request is read as; `None` where it is not read.
///
/// # Errors
/// `header_malformed`.
pub(crate) fn format<'d>(source: &Source, head: &'d Parts) -> Result<Option<Format<'d>>, Rejection> {
    match reading(source, content_type(head)?) {
        Reading::As(format) => Ok(Some(format)),
        Reading::Not | Reading::Refused(_) => Ok(None),
    }
}

/// No body is read as this type says.
pub(super) fn unread(content_type: ContentType<'_>, Unread { expected, hint }: Unread) -> Rejection {
    unsupported(content_type).fact("expected", expected).hint(hint)
}

/// No body of this type is taken.
pub(super) fn unsupported(content_type: ContentType<'_>) -> Rejection {
    Rejection::new(Reason::UnsupportedMediaType).fact("content_type", cut(content_type.media_type()))
}
