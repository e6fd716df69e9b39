//! Markup in a text: taken out of it, or made text.
//!
//! What is markup is what a browser's tokenizer takes for it (WHATWG HTML §13.2.5): `<` and a letter, `/`, `!` or `?`. A text without any stays as it is,
//! `a < b` and `Tom & Jerry` included. Tags, comments and declarations go, of `script` and `style` also what stands between their tags.
//!
//! One pass over the text, without a tree: with no element allowed there is nothing that a tree would add, and trees cost a sender's choice of nesting
//! squared. Nor does safety hang on reading tags exactly as a browser does: wherever markup was found no `<` is left.

/// `html`: what happens to markup in texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Html {
    /// It goes on to the app; the rule is off.
    #[default]
    Keep,
    /// It is taken out.
    Strip,
    /// It becomes text: `<`, `>`, `&` and quotes are written as character references.
    Escape,
}

/// The text without its markup; `None` if it has none.
pub(super) fn stripped(text: &str) -> Option<String> {
    let first = next_markup(text, 0)?;
    let mut left = String::with_capacity(text.len());
    let (mut at, mut next) = (0, Some(first));
    while let Some(start) = next {
        push_text(&mut left, &text[at..start]);
        at = end_of_markup(text, start);
        next = next_markup(text, at);
    }
    push_text(&mut left, &text[at..]);
    Some(left)
}

/// A `<` that is none of markup must not become one where what stood behind it goes.
fn push_text(left: &mut String, text: &str) {
    for (number, piece) in text.split('<').enumerate() {
        if number > 0 {
            left.push_str("&lt;");
        }
        left.push_str(piece);
    }
}

/// The text with character references for what HTML gives a meaning; `None` if it has nothing of that.
pub(super) fn escaped(text: &str) -> Option<String> {
    let is_special = |character: char| matches!(character, '&' | '<' | '>' | '"' | '\'');
    let first = text.find(is_special)?;
    let mut escaped = String::with_capacity(text.len() + 16);
    escaped.push_str(&text[..first]);
    for character in text[first..].chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#x27;"),
            other => escaped.push(other),
        }
    }
    Some(escaped)
}

fn next_markup(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let begins = |&at: &usize| matches!(bytes.get(at + 1), Some(b'/' | b'!' | b'?' | b'a'..=b'z' | b'A'..=b'Z'));
    memchr::memchr_iter(b'<', &bytes[from..]).map(|at| from + at).find(begins)
}

/// Where the markup at `start` ends; what is never closed reaches to the end of the text, as it does in a browser.
fn end_of_markup(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let rest = &bytes[start + 1..];
    match rest {
        [b'!', b'-', b'-', ..] => end_of_comment(bytes, start + 4),
        [b'/', letter, ..] if letter.is_ascii_alphabetic() => end_of_tag(bytes, start + 2),
        [b'!' | b'?' | b'/', ..] => after(bytes, start + 1, b'>'),
        _ => {
            let end = end_of_tag(bytes, start + 1);
            let name = rest.split(|&byte| ends_name(byte)).next().unwrap_or_default();
            let raw = RAW.iter().find(|raw| name.eq_ignore_ascii_case(raw.as_bytes()));
            raw.map_or(end, |raw| end_of_raw(bytes, end, raw))
        }
    }
}

/// Elements whose content is no text for people.
const RAW: [&str; 2] = ["script", "style"];

const fn ends_name(byte: u8) -> bool {
    matches!(byte, b'/' | b'>') || is_space(byte)
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0C)
}

/// Behind the next `wanted` at or behind `from`.
fn after(bytes: &[u8], from: usize, wanted: u8) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    memchr::memchr(wanted, rest).map_or(bytes.len(), |found| from + found + 1)
}

fn skip(bytes: &[u8], from: usize, passes: impl Fn(u8) -> bool) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    rest.iter().position(|&byte| !passes(byte)).map_or(bytes.len(), |found| from + found)
}

/// Behind the `>` of a tag whose name begins at `name`: one inside of a quoted value does not count.
fn end_of_tag(bytes: &[u8], name: usize) -> usize {
    let mut at = skip(bytes, name, |byte| !ends_name(byte));
    loop {
        at = skip(bytes, at, |byte| is_space(byte) || byte == b'/');
        match bytes.get(at) {
            None => return bytes.len(),
            Some(b'>') => return at + 1,
            Some(_) => {}
        }
        // An attribute's name may begin with "=".
        at = skip(bytes, at + 1, |byte| !ends_name(byte) && byte != b'=');
        let equals = skip(bytes, at, is_space);
        if bytes.get(equals) != Some(&b'=') {
            continue;
        }
        at = skip(bytes, equals + 1, is_space);
        at = match bytes.get(at) {
            Some(&quote @ (b'"' | b'\'')) => after(bytes, at + 1, quote),
            Some(_) | None => skip(bytes, at, |byte| !is_space(byte) && byte != b'>'),
        };
    }
}

/// Behind the end of a comment whose text begins at `start`.
fn end_of_comment(bytes: &[u8], start: usize) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    for abrupt in [&b">"[..], b"->"] {
        if rest.starts_with(abrupt) {
            return start + abrupt.len();
        }
    }
    let ends = |&at: &usize| rest[..at].ends_with(b"--") || rest[..at].ends_with(b"--!");
    memchr::memchr_iter(b'>', rest).find(ends).map_or(bytes.len(), |end| start + end + 1)
}

/// Behind the end tag of a `script` or `style` whose content begins at `start`.
fn end_of_raw(bytes: &[u8], start: usize, name: &str) -> usize {
    let mut at = start;
    loop {
        at = after(bytes, at, b'<');
        if at >= bytes.len() {
            return bytes.len();
        }
        let rest = &bytes[at..];
        let Some(tag) = rest.strip_prefix(b"/").and_then(|rest| rest.split_at_checked(name.len())) else { continue };
        if tag.0.eq_ignore_ascii_case(name.as_bytes()) && tag.1.first().is_some_and(|&byte| ends_name(byte)) {
            return end_of_tag(bytes, at + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn markup_goes_as_a_browser_reads_it_and_nothing_else_does() {
        let rows = [
            ("a < b && c > d", None),
            ("a <- b <3 <= <é", None),
            ("Tom & Jerry &lt;b&gt;", None),
            ("ends with <", None),
            ("<b>bold</b> & plain", Some("bold & plain")),
            ("<B CLASS=x>x</B >", Some("x")),
            ("a<br/>b<hr / >c", Some("abc")),
            ("<a href=\"a>b\" title='c>d' e=f>g</a>", Some("g")),
            ("<a b=\"c\"d>e", Some("e")),
            ("<a =\"x\">e", Some("e")),
            ("<a b = 'c>' >e", Some("e")),
            ("<a b=c'>'>e", Some("'>e")),
            ("x<script>alert('<b>')</script>y", Some("xy")),
            ("x<SCRIPT src=a></scripty></ScRiPt\n>y", Some("xy")),
            ("x<style>b{}</style>y<script>never closed <b>", Some("xy")),
            ("<scripts>kept</scripts>", Some("kept")),
            ("a<!-- b > c -->d", Some("ad")),
            ("a<!-->b<!--->c", Some("abc")),
            ("a<!-- x --!>b<!-- y --->c", Some("abc")),
            ("a<!-- never closed", Some("a")),
            ("a<!---->b<!--x--y->--!--->c", Some("abc")),
            ("a<!DOCTYPE html>b<?php x ?>c</ bogus>d", Some("abcd")),
            ("a</>b", Some("ab")),
            ("a<b never closed", Some("a")),
            ("a<b c=\"never closed>", Some("a")),
            ("<<b>script>alert(1)", Some("&lt;script>alert(1)")),
            ("<<script>x</script>script>", Some("&lt;script>")),
            ("1 < 2 <i>x</i>", Some("1 &lt; 2 x")),
        ];
        for (text, expected) in rows {
            assert_eq!(stripped(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn five_characters_are_escaped() {
        assert_eq!(escaped("<a b='c' d=\"e\">&"), Some("&lt;a b=&#x27;c&#x27; d=&quot;e&quot;&gt;&amp;".to_owned()));
        assert_eq!(escaped("plain é = text"), None);
    }

    /// What both leave once character references are read: the other one writes more of them.
    fn read(text: &str) -> String {
        text.replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&nbsp;", "\u{a0}")
            .replace("&amp;", "&")
    }

    proptest! {
        #[test]
        fn nothing_of_markup_is_left_and_a_second_time_finds_none(text in "(<|>|/|!|--|\"|'|=|script|style|b|a| |&lt;|\\?){0,40}") {
            let Some(left) = stripped(&text) else {
                prop_assert_eq!(next_markup(&text, 0), None);
                return Ok(());
            };
            prop_assert!(!left.contains('<'));
            prop_assert_eq!(stripped(&left), None);
        }

        /// Ammonia reads a tree as browsers do. Where elements stand in no special context it has to keep what we keep.
        #[test]
        fn ammonia_keeps_the_same_text(pieces in prop::collection::vec(prop::sample::select(vec![
            "<b>", "</b>", "<i class=\"x>y\">", "</i>", "<img src=a onerror='b>'>", "<!-- c -->", "<!---->", "<script>d</script>", "<style>e</style>",
            "<br/>", "text ", "< ", "&lt;", "&amp;", "1<2", "</ x>", "<?y>", "é",
        ]), 0..20)) {
            let text = pieces.concat();
            let theirs = ammonia::Builder::empty().clean_content_tags(["script", "style"].into()).clean(&text).to_string();
            let ours = stripped(&text).unwrap_or(text);
            prop_assert_eq!(read(&ours), read(&theirs));
        }
    }
}
