//! `multipart/form-data` without files (RFC 7578 over RFC 2046 §5.1), strictly.
//!
//! Nothing stands before the first delimiter and only a line end may stand behind the last one; lines end with CRLF; what begins like a
//! delimiter is one, and its boundary stands nowhere else, since parsers look for it in the middle of lines, too. A part says its name in quotes, without `\`,
//! once; a text may say that it is UTF-8 and that nothing is encoded, but not otherwise. A part with a file name is no text: readers of payloads refuse it, and
//! those who look a field up do not see it.
//!
//! **Invariant:** time is linear in the body, and each part's head is bounded.

use std::ops::Range;

use memchr::memmem::Finder;

use super::content_type::{Boundary, ContentType, is_token};
use super::fields::{Field, too_many};
use crate::reason::Reason;
use crate::rejection::Rejection;

/// The media type.
pub const MEDIA_TYPE: &str = "multipart/form-data";

/// What becomes of parts that are files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Files {
    /// The body is refused.
    Refused,
    /// They are not listed.
    Skipped,
}

/// Bytes of a part's head, and its lines.
const HEAD_BYTES_MAX: usize = 1_024;
const HEAD_LINES_MAX: usize = 8;

/// What separates the parts of a body: `CRLF -- boundary`.
#[derive(Debug, Clone)]
pub(super) struct Delimiter(Box<[u8]>);

impl Delimiter {
    pub(super) fn new(boundary: Boundary<'_>) -> Self {
        Self(format!("\r\n--{}", boundary.as_str()).into_bytes().into())
    }

    /// It as it begins a body.
    fn first(&self) -> &[u8] {
        &self.0[CRLF.len()..]
    }
}

/// The fields of a body, at most `fields_max`.
///
/// # Errors
/// `multipart_malformed`, `json_too_large`, with the fact `offset`.
pub(super) fn fields(
    body: &[u8],
    delimiter: &Delimiter,
    files: Files,
    fields_max: usize,
) -> Result<Vec<Field>, Rejection> {
    let mut fields = Vec::new();
    if !body.starts_with(delimiter.first()) {
        return Err(malformed(0, "the boundary of the Content-Type"));
    }
    let finder = Finder::new(&*delimiter.0);
    let mut start = 0;
    loop {
        let after = start + delimiter.first().len();
        let rest = &body[after..];
        if rest.starts_with(b"--") {
            let is_end = matches!(&rest[2..], b"" | b"\r\n");
            return if is_end { Ok(fields) } else { Err(malformed(after + 2, "nothing behind the last boundary")) };
        }
        if !rest.starts_with(CRLF) {
            return Err(malformed(after, "CRLF or \"--\" behind a boundary"));
        }
        if fields.len() == fields_max {
            return Err(too_many(start, fields_max));
        }
        let head = after + CRLF.len();
        let Part { name, value, is_file } = part(body, head)?;
        // The line end before a delimiter is the delimiter's: an empty text has it right behind the head's own.
        let Some(length) = finder.find(&body[value..]) else {
            return Err(malformed(body.len(), "the last boundary"));
        };
        if let Some(found) = memchr::memmem::find(&body[head..value + length], delimiter.first()) {
            return Err(malformed(head + found, "no boundary within a part"));
        }
        let next = value + length + CRLF.len();
        match (is_file, files) {
            (false, _) => fields.push(Field { whole: start..next, name, value: value..value + length }),
            (true, Files::Skipped) => {}
            (true, Files::Refused) => {
                let hint = "files are not read: payload = \"opaque\" forwards such bodies as they are";
                return Err(malformed(head, "no file").hint(hint));
            }
        }
        start = next;
    }
}

/// Reads a name or text that stands at `at`.
///
/// # Errors
/// `multipart_malformed` with the fact `offset`.
pub(super) fn decoded(spelled: &[u8], at: usize) -> Result<&str, Rejection> {
    if let Some(found) = memchr::memchr(0, spelled) {
        return Err(malformed(at + found, "no NUL"));
    }
    std::str::from_utf8(spelled).map_err(|fault| malformed(at + fault.valid_up_to(), "UTF-8"))
}

struct Part {
    name: Range<usize>,
    /// Where its text begins.
    value: usize,
    is_file: bool,
}

/// Reads the head of the part that begins at `at`.
fn part(body: &[u8], at: usize) -> Result<Part, Rejection> {
    let mut name = None;
    let mut is_file = false;
    let mut line = at;
    for _ in 0..=HEAD_LINES_MAX {
        let window = &body[line..body.len().min(at + HEAD_BYTES_MAX)];
        let Some(length) = memchr::memmem::find(window, CRLF) else {
            return Err(malformed(line, "the end of a part's head"));
        };
        let next = line + length + CRLF.len();
        if length == 0 {
            let name = name.ok_or_else(|| malformed(at, "a Content-Disposition"))?;
            return Ok(Part { name, value: next, is_file });
        }
        let text = decoded(&body[line..line + length], line)?;
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(malformed(line, "no control character in a part's head"));
        }
        let (field, value) = text
            .split_once(':')
            .filter(|(field, _)| is_token(field))
            .ok_or_else(|| malformed(line, "a header field"))?;
        let fault = |expected| malformed(line, expected);
        match field.to_ascii_lowercase().as_str() {
            "content-disposition" => {
                let value = text.len() - value.len();
                let found = disposition(&text[value..]).ok_or_else(|| fault("form-data; name=\"…\""))?;
                let place = line + value + found.name.start..line + value + found.name.end;
                if name.replace(place).is_some() {
                    return Err(fault("one Content-Disposition"));
                }
                is_file |= found.is_file;
            }
            "content-type" if !is_file && !ContentType::new(value.trim()).is_utf8() => {
                return Err(fault("text in UTF-8"));
            }
            "content-transfer-encoding" if !is_unencoded(value) => return Err(fault("no transfer encoding")),
            _ => {}
        }
        line = next;
    }
    Err(malformed(at, "a shorter head of a part"))
}

struct Disposition {
    name: Range<usize>,
    is_file: bool,
}

/// Reads `form-data; name="…"`, and whether a `filename` stands beside it.
fn disposition(text: &str) -> Option<Disposition> {
    let mut rest = text.trim_start_matches(' ').strip_prefix("form-data")?;
    let (mut name, mut is_file) = (None, false);
    while !rest.is_empty() {
        rest = rest.trim_start_matches(' ').strip_prefix(';')?.trim_start_matches(' ');
        let (parameter, after) = rest.split_once('=')?;
        // `name*` and `name*0` are names as well (RFC 2231), which RFC 7578 §4.2 forbids.
        let plain = parameter.split('*').next().unwrap_or_default();
        let is_name = plain.eq_ignore_ascii_case("name");
        if !is_token(parameter) || is_name && plain != parameter {
            return None;
        }
        if let Some(quoted) = after.strip_prefix('"') {
            let (value, after) = quoted.split_once('"')?;
            if value.contains('\\') || is_name && value.is_empty() {
                return None;
            }
            let start = text.len() - quoted.len();
            if is_name && name.replace(start..start + value.len()).is_some() {
                return None;
            }
            rest = after;
        } else {
            let (value, after) = after.split_at(after.find([';', ' ']).unwrap_or(after.len()));
            let is_encoded = parameter.ends_with('*') && !value.contains(['"', '\\']);
            if is_name || !(is_token(value) || is_encoded) {
                return None;
            }
            rest = after;
        }
        is_file |= plain.eq_ignore_ascii_case("filename");
    }
    Some(Disposition { name: name?, is_file })
}

fn is_unencoded(value: &str) -> bool {
    ["7bit", "8bit", "binary"].iter().any(|known| value.trim().eq_ignore_ascii_case(known))
}

const CRLF: &[u8] = b"\r\n";

#[cold]
fn malformed(offset: usize, expected: &'static str) -> Rejection {
    Rejection::new(Reason::MultipartMalformed).fact("offset", offset).fact("expected", expected)
}
