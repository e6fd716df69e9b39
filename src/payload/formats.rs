//! The formats that providers' schemas ask of every third string, `uri` and `uri-template`, in few instructions.
//!
//! They stand under [`schema`](super::schema), which builds validators with them in place of the library's own. Those look
//! at every byte by itself, which is half of the work of judging a payload of GitHub's; here most of a text passes sixteen
//! bytes at a time, and only what is left is read by the letter.
//!
//! **Invariant:** a text is accepted here exactly if the library's own check accepts it.
//! **Invariant:** time is linear in the text.

use jsonschema::json::Json;
use jsonschema::{Uri, ValidationOptions};

/// Has a validator check `uri` as this module does.
#[must_use]
pub fn with_fast_uris<R, F: Json>(options: ValidationOptions<'_, R, F>) -> ValidationOptions<'_, R, F> {
    options.with_format("uri", |text: &str| is_uri(text.as_bytes()))
}

/// Has a validator check `uri-template` as this module does. In draft 4 the name means nothing, and here a format is the
/// same in all drafts: not for a schema that has anything of draft 4 in it.
#[must_use]
pub fn with_fast_templates<R, F: Json>(options: ValidationOptions<'_, R, F>) -> ValidationOptions<'_, R, F> {
    options.with_format("uri-template", |text: &str| is_uri_template(text.as_bytes()))
}

/// Whether this is a URI with a scheme (RFC 3986 §3).
pub(super) fn is_uri(bytes: &[u8]) -> bool {
    let Some(after_scheme) = after_scheme(bytes) else { return false };
    if !bytes[after_scheme..].starts_with(b"//") {
        return are_path_query_fragment(bytes, after_scheme).is_some();
    }
    let host = after_scheme + 2;
    // Nothing that is plain is out of place anywhere behind the slashes.
    if after_plain_blocks(bytes, host) == bytes.len() {
        return true;
    }
    let end = host + bytes[host..].iter().take_while(|&&byte| is(byte, HOST)).count();
    match bytes.get(end) {
        None | Some(b'/' | b'?' | b'#') => are_path_query_fragment(bytes, end).is_some(),
        // A port, user information, an IP address in brackets, something encoded: rare in what providers send.
        Some(_) => str::from_utf8(bytes).is_ok_and(|text| Uri::parse(text).is_ok()),
    }
}

/// Where the text goes on behind a scheme and its colon (RFC 3986 §3.1).
fn after_scheme(bytes: &[u8]) -> Option<usize> {
    if bytes.starts_with(COMMON) {
        return Some(COMMON_SCHEME);
    }
    if !bytes.first()?.is_ascii_alphabetic() {
        return None;
    }
    let length = bytes.iter().take_while(|&&byte| is(byte, SCHEME)).count();
    (bytes.get(length) == Some(&b':')).then_some(length + 1)
}

/// Reads to the end what follows an authority, or a scheme without one (RFC 3986 §3.3 to §3.5). A path may hold anything
/// that a query may, except the `?` before which it ends.
fn are_path_query_fragment(bytes: &[u8], mut at: usize) -> Option<()> {
    let mut in_fragment = false;
    loop {
        at = after_run(bytes, at, QUERY);
        match bytes.get(at) {
            None => return Some(()),
            Some(b'%') => at = after_encoded(bytes, at)?,
            Some(b'#') if !in_fragment => (in_fragment, at) = (true, at + 1),
            Some(_) => return None,
        }
    }
}

/// Whether this is a URI template of any level (RFC 6570 §2; the apostrophe is a literal since erratum 6937).
pub(super) fn is_uri_template(text: &[u8]) -> bool {
    are_literals_and_expressions(text).is_some()
}

fn are_literals_and_expressions(bytes: &[u8]) -> Option<()> {
    let mut at = if bytes.starts_with(COMMON) { COMMON.len() } else { 0 };
    loop {
        at = after_run(bytes, at, LITERAL);
        at = match bytes.get(at) {
            None => return Some(()),
            Some(b'%') => after_encoded(bytes, at)?,
            Some(b'{') => after_expression(bytes, at + 1)?,
            Some(_) => return None,
        }
    }
}

/// Where the text goes on behind the expression whose brace stands before `at` (RFC 6570 §2.2).
fn after_expression(bytes: &[u8], mut at: usize) -> Option<usize> {
    if OPERATORS.contains(bytes.get(at)?) {
        at += 1;
    }
    loop {
        at = after_modifier(bytes, after_variable(bytes, at)?)?;
        match bytes.get(at)? {
            b',' => at += 1,
            b'}' => return Some(at + 1),
            _ => return None,
        }
    }
}

/// RFC 6570 §2.3: parts that are not empty, with dots between them.
fn after_variable(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let part = at;
        loop {
            match bytes.get(at) {
                Some(&byte) if is(byte, VARIABLE) => at += 1,
                Some(b'%') => at = after_encoded(bytes, at)?,
                _ => break,
            }
        }
        if at == part {
            return None;
        }
        if bytes.get(at) != Some(&b'.') {
            return Some(at);
        }
        at += 1;
    }
}

/// RFC 6570 §2.4: a length of up to four digits, or a star, or nothing.
fn after_modifier(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at) {
        Some(b'*') => Some(at + 1),
        Some(b':') if matches!(bytes.get(at + 1)?, b'1'..=b'9') => {
            let digits = bytes[at + 2..].iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
            Some(at + 2 + digits)
        }
        Some(b':') => None,
        _ => Some(at),
    }
}

/// Where the text goes on behind the `%` at `at` and two hexadecimal digits.
fn after_encoded(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = bytes.get(at + 1..at + 3)?;
    digits.iter().all(u8::is_ascii_hexdigit).then_some(at + 3)
}

/// The first position from `at` on whose byte is not of `class`, which has to hold everything plain.
#[inline]
fn after_run(bytes: &[u8], at: usize, class: u8) -> usize {
    let mut at = after_plain_blocks(bytes, at);
    while bytes.get(at).is_some_and(|&byte| is(byte, class)) {
        at += 1;
    }
    at
}

/// A position from `at` on before which all is plain: the end, or one in or before the first block that has anything else.
#[inline]
fn after_plain_blocks(bytes: &[u8], mut at: usize) -> usize {
    while let Some(block) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        if !are_plain(block) {
            return at;
        }
        at += BLOCK;
    }
    // What is left of most texts is less than a block; together with what stands before it, it is one.
    if bytes.last_chunk().is_some_and(are_plain) { bytes.len() } else { at }
}

/// How most URLs begin.
const COMMON: &[u8] = b"https://";
/// The length of its scheme, with the colon.
const COMMON_SCHEME: usize = 6;

/// As many bytes as fit a vector register of any machine.
const BLOCK: usize = 16;

/// Without a branch, so that the compiler looks at all bytes at once.
#[inline]
fn are_plain(block: &[u8; BLOCK]) -> bool {
    block.iter().fold(true, |plain, &byte| plain & is_plain(byte))
}

/// Bytes that may stand anywhere behind a URI's `//`, and in a template's literals: the ones that most URLs are made of, and
/// only such as few comparisons find.
#[inline]
#[expect(clippy::needless_bitwise_bool, reason = "a lazy operator is a branch")]
const fn is_plain(byte: u8) -> bool {
    let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    let digit_or_mark = byte.wrapping_sub(b'&') <= b'9' - b'&';
    letter | digit_or_mark | (byte == b'_') | (byte == b'?') | (byte == b'=')
}

#[inline]
const fn is(byte: u8, class: u8) -> bool {
    CLASSES[byte as usize] & class != 0
}

const SCHEME: u8 = 1;
/// What a host's name is made of, but for what is encoded.
const HOST: u8 = 1 << 1;
const QUERY: u8 = 1 << 2;
const LITERAL: u8 = 1 << 3;
const VARIABLE: u8 = 1 << 4;

/// RFC 6570 §2.2, those that are reserved for extensions included.
const OPERATORS: &[u8] = b"+#./;?&=,!@|";

/// The classes that each byte is in.
const CLASSES: [u8; 256] = {
    let mut classes = [LITERAL; 256];
    let mut byte: u8 = 0;
    while byte.is_ascii() {
        classes[byte as usize] = match byte {
            0..=b' ' | b'"' | b'<' | b'>' | b'%' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x7F => 0,
            b'#' | b'[' | b']' => LITERAL,
            b':' | b'@' | b'/' | b'?' => LITERAL | QUERY,
            b'_' => LITERAL | QUERY | HOST | VARIABLE,
            b'+' | b'-' | b'.' => LITERAL | QUERY | HOST | SCHEME,
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => LITERAL | QUERY | HOST | SCHEME | VARIABLE,
            _ => LITERAL | QUERY | HOST,
        };
        byte += 1;
    }
    classes
};

/// Runs skip whatever is plain, and so does a URI's host: `/` and `?` end it, and its rest is a path or query.
const _: () = {
    let mut byte = u8::MAX;
    while byte > 0 {
        let in_host = is(byte, HOST) || byte == b'/' || byte == b'?';
        assert!(!is_plain(byte) || in_host && is(byte, QUERY) && is(byte, LITERAL));
        byte -= 1;
    }
};

#[cfg(test)]
mod tests {
    use jsonschema::Validator;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// Ours, and what the library says without us.
    struct Check {
        ours: fn(&str) -> bool,
        library: Validator,
    }

    fn check(format: &str, ours: fn(&str) -> bool) -> Check {
        let library = jsonschema::options().should_validate_formats(true).build(&json!({ "format": format })).unwrap();
        Check { ours, library }
    }

    impl Check {
        fn agrees(&self, text: &str) -> bool {
            (self.ours)(text) == self.library.is_valid(&Value::from(text))
        }
    }

    #[test]
    fn uris_are_told_from_what_only_looks_like_them() {
        let check = check("uri", |text| is_uri(text.as_bytes()));
        let rows = [
            ("https://api.github.com/repos/o/r", true),
            ("https://avatars1.githubusercontent.com/u/21031067?v=4", true),
            ("git://github.com/o/r.git", true),
            ("https://h/a?b/c?d#e/f?g", true),
            ("https://h/a#b#c", false),
            ("https://h", true),
            ("https://", true),
            ("https://h?q", true),
            ("https://h#f", true),
            ("https://h/%C3%A9", true),
            ("https://h/%C3%A", false),
            ("https://h/%G0", false),
            ("https://h/%", false),
            ("https://h/0123456789abcdef%", false),
            ("https://h/0123456789abcde f", false),
            ("https://h/é", false),
            ("https://h/a b", false),
            ("https://h/a[b]", false),
            ("https://h/a{b}", false),
            ("https://h:80/", true),
            ("https://h:8a/", false),
            ("https://u:p@h:80/", true),
            ("https://u@v@h/", false),
            ("https://[::1]/", true),
            ("https://[::1/", false),
            ("https://%41/", true),
            ("https://%4/", false),
            ("mailto:a@b.c", true),
            ("urn:isbn:0", true),
            ("a:", true),
            ("a+-.1:", true),
            (":", false),
            ("1a:b", false),
            ("a_b:c", false),
            ("//h/a", false),
            ("/a", false),
            ("a", false),
            ("", false),
        ];
        for (text, expected) in rows {
            assert_eq!(is_uri(text.as_bytes()), expected, "{text:?}");
            assert!(check.agrees(text), "{text:?}");
        }
    }

    #[test]
    fn templates_are_told_from_what_only_looks_like_them() {
        let check = check("uri-template", |text| is_uri_template(text.as_bytes()));
        let rows = [
            ("https://api.github.com/repos/o/r/{archive_format}{/ref}", true),
            ("https://api.github.com/repos/o/r/compare/{base}...{head}", true),
            ("", true),
            ("{a}", true),
            ("{?a,b*,c:3}", true),
            ("{a.b}", true),
            ("{a..b}", false),
            ("{.a}", true),
            ("{..a}", false),
            ("{a.}", false),
            ("{%41b%42}", true),
            ("{%4}", false),
            ("{a:1}", true),
            ("{a:9999}", true),
            ("{a:10000}", false),
            ("{a:0}", false),
            ("{a:}", false),
            ("{a:", false),
            ("{a*}", true),
            ("{a**}", false),
            ("{|a}", true),
            ("{$a}", false),
            ("{}", false),
            ("{+}", false),
            ("{a,}", false),
            ("{a", false),
            ("{", false),
            ("}", false),
            ("a}", false),
            ("{{a}}", false),
            ("0123456789abcdef{a", false),
            ("0123456789abcdef%41", true),
            ("0123456789abcdef%4", false),
            ("a'b", true),
            ("é#[]@!$~", true),
            ("a b", false),
            ("a|b", false),
            ("a\u{7f}", false),
        ];
        for (text, expected) in rows {
            assert_eq!(is_uri_template(text.as_bytes()), expected, "{text:?}");
            assert!(check.agrees(text), "{text:?}");
        }
    }

    #[test]
    fn every_character_is_judged_as_the_library_judges_it_wherever_it_stands() {
        let checks = [
            check("uri", |text| is_uri(text.as_bytes())),
            check("uri-template", |text| is_uri_template(text.as_bytes())),
        ];
        let characters = (0..0x250).filter_map(char::from_u32).chain(['\u{2028}', '🦀']);
        for character in characters {
            for frame in
                ["X", "a:X", "aXb://h/", "a://X", "a://hXb/", "a://h/X", "a://h/?X", "a://h/#X", "{X", "{X}", "{aXb}"]
            {
                for before in ["", "0123456789abcdef", "0123456789abcde"] {
                    let text = frame.replace('X', &format!("{before}{character}"));
                    for check in &checks {
                        assert!(check.agrees(&text), "{text:?}");
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]

        #[test]
        fn both_formats_agree_with_the_library_on_any_text(
            text in r"([a-z]{1,4}:)?(//)?([a-z0-9./?#&=~_:@%\[\]{}+*, -]|%[0-9A-Fa-f]{2}|\{[+#./;?&]?[a-z_.%:*,0-9]{1,6}\}|[a-z/]{14,20}|é){0,8}",
        ) {
            thread_local! {
                static CHECKS: [Check; 2] = [check("uri", |text| is_uri(text.as_bytes())), check("uri-template", |text| is_uri_template(text.as_bytes()))];
            }
            CHECKS.with(|checks| {
                for check in checks {
                    prop_assert!(check.agrees(&text), "{text:?}");
                }
                Ok(())
            })?;
        }
    }
}
