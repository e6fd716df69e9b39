//! Fields of an `application/x-www-form-urlencoded` body (WHATWG URL §5.1), or of a `multipart/form-data` one, decoded.
//!
//! Several senders sign by form fields or put the credential into one. Nothing here refuses a delivery: what cannot be read has no fields, and
//! the stage that asked says what is missing.

use std::borrow::Cow;
use std::ops::Range;

use super::content_type::ContentType;
use super::multipart::{self, Delimiter, Files};

/// The decoded fields of a form, in order.
#[derive(Debug)]
pub struct Fields {
    pairs: Vec<(String, String)>,
}

/// A field that is there more than once has no one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeated;

/// The media type of a form.
pub const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";

/// More fields than any webhook has.
const FIELDS_MAX: usize = 4_096;

impl Fields {
    /// Reads a body of this Content-Type; `None` where it is no form, not UTF-8, or has too many fields.
    #[must_use]
    pub fn read(body: &[u8], content_type: &str) -> Option<Self> {
        let content_type = ContentType::new(content_type);
        if content_type.is(multipart::MEDIA_TYPE) {
            return Self::of_parts(body, content_type);
        }
        if !content_type.is(MEDIA_TYPE) {
            return None;
        }
        let mut pairs = Vec::new();
        for field in body.split(|&byte| byte == b'&').filter(|field| !field.is_empty()) {
            if pairs.len() == FIELDS_MAX {
                return None;
            }
            let (name, value) = match memchr::memchr(b'=', field) {
                Some(equals) => (&field[..equals], &field[equals + 1..]),
                None => (field, &field[field.len()..]),
            };
            pairs.push((decoded(name)?.into_owned(), decoded(value)?.into_owned()));
        }
        Some(Self { pairs })
    }

    /// The texts of a multipart body; its files are no fields.
    fn of_parts(body: &[u8], content_type: ContentType<'_>) -> Option<Self> {
        let delimiter = Delimiter::new(content_type.boundary()?);
        let fields = multipart::fields(body, &delimiter, Files::Skipped, FIELDS_MAX).ok()?;
        let text = |place: Range<usize>| std::str::from_utf8(&body[place]).ok().map(str::to_owned);
        let pairs = fields.into_iter().map(|field| Some((text(field.name)?, text(field.value)?)));
        Some(Self { pairs: pairs.collect::<Option<_>>()? })
    }

    /// The value of the only field of this name.
    ///
    /// # Errors
    /// [`Repeated`] if there are several.
    pub fn single(&self, name: &str) -> Result<Option<&str>, Repeated> {
        let mut values = self.pairs.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str());
        let first = values.next();
        if values.next().is_some() { Err(Repeated) } else { Ok(first) }
    }

    /// All fields, sorted by name and then by value; what is there twice is there once.
    #[must_use]
    pub fn sorted(&self) -> Vec<(&str, &str)> {
        let mut pairs: Vec<_> = self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    }
}

/// Decodes one name or value: `+` is a space, `%XX` a byte, and a `%` that begins nothing stays.
fn decoded(spelled: &[u8]) -> Option<Cow<'_, str>> {
    if memchr::memchr2(b'+', b'%', spelled).is_none() {
        return std::str::from_utf8(spelled).ok().map(Cow::Borrowed);
    }
    let mut decoded = Vec::with_capacity(spelled.len());
    let mut rest = spelled;
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'+', _) => decoded.push(b' '),
            (b'%', [high, low, after @ ..]) => match (nibble(*high), nibble(*low)) {
                (Some(high), Some(low)) => {
                    decoded.push(high << 4 | low);
                    rest = after;
                }
                _ => decoded.push(b'%'),
            },
            (&byte, _) => decoded.push(byte),
        }
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "application/x-www-form-urlencoded; charset=UTF-8";

    #[test]
    fn the_only_field_of_a_name_is_decoded() {
        let rows = [
            ("a=1&b=2", "b", Ok(Some("2"))),
            ("a=1&a=2", "a", Err(Repeated)),
            ("a=1&%61=1", "a", Err(Repeated)),
            ("a+b=c+d", "a b", Ok(Some("c d"))),
            ("a%62=%C3%A9", "ab", Ok(Some("é"))),
            ("a=%2B%26%3D", "a", Ok(Some("+&="))),
            ("a=b=c", "a", Ok(Some("b=c"))),
            ("&&a=1", "a", Ok(Some("1"))),
            ("a", "a", Ok(Some(""))),
            ("a=", "a", Ok(Some(""))),
            ("a=100%", "a", Ok(Some("100%"))),
            ("a=%zz%4", "a", Ok(Some("%zz%4"))),
            ("a=%+1+", "a", Ok(Some("% 1 "))),
            ("A=1", "a", Ok(None)),
            ("", "a", Ok(None)),
        ];
        for (body, name, expected) in rows {
            assert_eq!(Fields::read(body.as_bytes(), FORM).unwrap().single(name), expected, "{body:?} {name:?}");
        }
    }

    #[test]
    fn what_is_no_form_has_no_fields() {
        assert!(Fields::read(b"a=%FF", FORM).is_none());
        assert!(Fields::read(b"a=1", "application/json").is_none());
        assert!(Fields::read(b"a=1", "").is_none());
        let many = |count| vec!["a=1"; count].join("&");
        assert!(Fields::read(many(FIELDS_MAX).as_bytes(), FORM).is_some());
        assert!(Fields::read(many(FIELDS_MAX + 1).as_bytes(), FORM).is_none());
    }

    #[test]
    fn sorted_fields_count_the_same_pair_once() {
        let fields = Fields::read(b"b=2&a=2&a=1&b=2&B=0", FORM).unwrap();
        assert_eq!(fields.sorted(), [("B", "0"), ("a", "1"), ("a", "2"), ("b", "2")]);
    }
}
