//! Header fields that must stand alone.
//!
//! `HeaderMap::get` answers the first of several fields of one name and hides the rest; a second signature or a second Host would then be
//! judged here one way and by the app another. Everything that decides something reads its fields through this module.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The same field came more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duplicated;

/// The only field of this name, if there is one.
///
/// # Errors
/// [`Duplicated`] if there are several, even equal ones.
pub fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h HeaderValue>, Duplicated> {
    let mut fields = headers.get_all(name).iter();
    let first = fields.next();
    if fields.next().is_some() {
        return Err(Duplicated);
    }
    Ok(first)
}

/// The field's text if it is visible ASCII and inner spaces, or UTF-8 above; without surrounding white space (RFC 9110 §5.5).
#[must_use]
pub fn text(value: &HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes()).ok().map(|text| text.trim_matches([' ', '\t']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::HOST;

    #[test]
    fn a_second_field_of_the_same_name_is_told() {
        let mut headers = HeaderMap::new();
        assert_eq!(single(&headers, &HOST), Ok(None));
        headers.append(HOST, HeaderValue::from_static("a"));
        assert_eq!(single(&headers, &HOST), Ok(Some(&HeaderValue::from_static("a"))));
        headers.append(HOST, HeaderValue::from_static("a"));
        assert_eq!(single(&headers, &HOST), Err(Duplicated));
    }
}
