//! What a Content-Type field says of how a body is to be read (RFC 9110 §8.3): its media type and two parameters.
//!
//! **Invariant:** a parameter that is there twice, or that cannot be read without guessing, is a fault: which value counts would be the reader's
//! choice.

use super::lines;

/// A Content-Type field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentType<'h> {
    media_type: &'h str,
    parameters: &'h str,
}

/// A parameter has no one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unclear;

/// What separates the parts of a multipart body (RFC 2046 §5.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boundary<'h>(&'h str);

/// The longest boundary, in characters.
const BOUNDARY_CHARS_MAX: usize = 70;

/// What UTF-8 is called: by IANA, and by many. The Encoding Standard has both.
const UTF_8: [&str; 2] = ["utf-8", "utf8"];

/// White space between parameters.
const SPACE: [char; 2] = [' ', '\t'];

impl<'h> ContentType<'h> {
    /// Splits the field's text, which is empty where there is no field.
    #[must_use]
    pub fn new(field: &'h str) -> Self {
        let (media_type, parameters) = field.split_once(';').unwrap_or((field, ""));
        Self { media_type: media_type.trim_matches(SPACE), parameters }
    }

    /// `type/subtype` without parameters, as it is spelled; empty where there is none.
    #[must_use]
    pub const fn media_type(self) -> &'h str {
        self.media_type
    }

    /// Whether it is this media type, whatever its case.
    #[must_use]
    pub fn is(self, media_type: &str) -> bool {
        self.media_type.eq_ignore_ascii_case(media_type)
    }

    /// `application/json`, `text/json` and every `+json` type (RFC 6839 §3.1).
    #[must_use]
    pub fn is_json(self) -> bool {
        let text = self.media_type.as_bytes();
        let end = text.len().checked_sub(5).and_then(|start| text.get(start..));
        end.is_some_and(|end| end.eq_ignore_ascii_case(b"/json") || end.eq_ignore_ascii_case(b"+json"))
    }

    /// Whether it is JSON texts, one a line; no such type is registered, but senders have some.
    #[must_use]
    pub fn is_json_lines(self) -> bool {
        lines::is_media_type(self.media_type)
    }

    /// Whether the text is in UTF-8 as far as the field says: by its name, or by the one that senders take for it.
    #[must_use]
    pub fn is_utf8(self) -> bool {
        match self.parameter("charset") {
            Ok(charset) => charset.is_none_or(|charset| UTF_8.iter().any(|name| charset.eq_ignore_ascii_case(name))),
            Err(Unclear) => false,
        }
    }

    /// The boundary of a multipart body; `None` where there is none, or it is none by its characters.
    #[must_use]
    pub fn boundary(self) -> Option<Boundary<'h>> {
        let text = self.parameter("boundary").ok().flatten()?;
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
        let fits = (1..=BOUNDARY_CHARS_MAX).contains(&text.len()) && text.bytes().all(is_known) && !text.ends_with(' ');
        fits.then_some(Boundary(text))
    }

    /// The value of the only parameter of this name (RFC 9110 §5.6.6). Quoted text with a `\` in it is not guessed at.
    fn parameter(self, wanted: &str) -> Result<Option<&'h str>, Unclear> {
        let mut found = None;
        let mut rest = self.parameters.trim_start_matches(SPACE);
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix(';') {
                rest = after.trim_start_matches(SPACE);
                continue;
            }
            let (name, after) = rest.split_once('=').ok_or(Unclear)?;
            let (value, after) = value(after)?;
            rest = after.trim_start_matches(SPACE);
            if !is_token(name) || !(rest.is_empty() || rest.starts_with(';')) {
                return Err(Unclear);
            }
            // `boundary*` and `boundary*0` are spellings of the same one (RFC 2231), to some.
            let plain = name.split('*').next().unwrap_or_default();
            if plain.eq_ignore_ascii_case(wanted) && (plain != name || found.replace(value).is_some()) {
                return Err(Unclear);
            }
        }
        Ok(found)
    }
}

impl<'h> Boundary<'h> {
    /// Its text.
    #[must_use]
    pub const fn as_str(self) -> &'h str {
        self.0
    }
}

/// A token or a quoted text at the beginning of `text`, and what follows it.
fn value(text: &str) -> Result<(&str, &str), Unclear> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (value, rest) = quoted.split_once('"').ok_or(Unclear)?;
        return if value.contains('\\') { Err(Unclear) } else { Ok((value, rest)) };
    }
    let end = text.find(|character: char| character == ';' || SPACE.contains(&character)).unwrap_or(text.len());
    let (value, rest) = text.split_at(end);
    if is_token(value) { Ok((value, rest)) } else { Err(Unclear) }
}

/// RFC 9110 §5.6.2.
pub(super) fn is_token(text: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_told_apart() {
        let rows = [
            ("application/json", true),
            ("Application/JSON ; charset=utf-8", true),
            ("text/json", true),
            ("application/cloudevents+json", true),
            ("application/jsonl", false),
            ("json", false),
            ("+json", true),
            ("", false),
        ];
        for (field, json) in rows {
            assert_eq!(ContentType::new(field).is_json(), json, "{field}");
        }
        assert_eq!(ContentType::new(" text/plain ; a=b").media_type(), "text/plain");
    }

    #[test]
    fn a_text_is_utf8_unless_the_field_says_otherwise() {
        let rows = [
            ("a/b", true),
            ("a/b;", true),
            ("a/b; charset=utf-8", true),
            ("a/b;charset=\"UTF-8\" ; x=y", true),
            ("a/b; ;charset=Utf-8;", true),
            ("a/b; charset=utf8", true),
            ("a/b; charset=\"UTF8\"", true),
            ("a/b; charset=utf 8", false),
            ("a/b; charset=utf_8", false),
            ("a/b; charset=utf88", false),
            ("a/b; charset=iso-8859-1", false),
            ("a/b; charset=us-ascii", false),
            ("a/b; charset=", false),
            ("a/b; charset", false),
            ("a/b; charset = utf-8", false),
            ("a/b; charset=utf-8; charset=utf-8", false),
            ("a/b; charset=utf-8; CHARSET=utf-16", false),
            ("a/b; charset=\"utf-8", false),
            ("a/b; charset=\"utf\\-8\"", false),
            ("a/b; charset=utf-8 x=y", false),
            ("a/b; xcharset=utf-16", true),
        ];
        for (field, expected) in rows {
            assert_eq!(ContentType::new(field).is_utf8(), expected, "{field}");
        }
    }

    #[test]
    fn a_boundary_is_of_the_characters_that_it_may_have() {
        let (longest, longer) = ("b".repeat(70), "b".repeat(71));
        let rows = [
            ("----WebKitFormBoundaryABC", Some("----WebKitFormBoundaryABC")),
            ("\"a b:c\"", Some("a b:c")),
            (&*longest, Some(&*longest)),
            (&*longer, None),
            ("\"a b \"", None),
            ("\"\"", None),
            ("a:b", None),
            ("a*b", None),
        ];
        for (text, expected) in rows {
            let field = format!("multipart/form-data; boundary={text}");
            let found = ContentType::new(&field).boundary().map(Boundary::as_str);
            assert_eq!(found, expected, "{text}");
        }
        assert_eq!(ContentType::new("multipart/form-data").boundary(), None);
    }
}
