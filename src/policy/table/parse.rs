//! Making sense of one text: addresses, networks, URLs, words of a closed set.
//!
//! Plain functions from text to a value or a [`Fault`]; where the text stands is known only to
//! [`Reader`](super::Reader), which calls them while policies are loaded. Nothing here is on a delivery's way.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;

use http::Uri;
use ipnet::IpNet;

use crate::text::userinfo;

/// What is wrong with one text, found by a function that does not know where the text stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// See [`Diagnostic::message`](crate::policy::diagnostic::Diagnostic::message).
    pub message: String,
    /// See [`Diagnostic::hint`](crate::policy::diagnostic::Diagnostic::hint).
    pub hint: Option<String>,
    /// The bytes of the text that are to blame; absent: all of it.
    pub within: Option<Range<usize>>,
}

impl Fault {
    /// A fault of the whole text.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, within: None }
    }

    /// Adds the next step.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Blames some bytes of the text only.
    #[must_use]
    pub fn within(self, bytes: Range<usize>) -> Self {
        Self { within: Some(bytes), ..self }
    }
}

/// Picks a word out of a closed set.
///
/// # Errors
/// An unknown word, with the words there are.
pub fn choose<T: Copy>(what: &str, text: &str, choices: &[(&str, T)]) -> Result<T, Fault> {
    if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
        return Ok(*choice);
    }
    let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
    let near = nearest(text, &words);
    Err(Fault::new(format!("unknown {what} {text:?}")).hint(format!("{near}use {}", either(&words))))
}

/// Reads `address:port`.
///
/// # Errors
/// Anything else, host names included: what is listened on must not depend on a resolver.
pub fn parse_socket_address(text: &str) -> Result<SocketAddr, Fault> {
    text.parse().map_err(|_| {
        Fault::new(format!("{text:?} is not an address and a port")).hint("such as \"0.0.0.0:8443\" or \"[::]:8443\"")
    })
}

/// Reads a network in CIDR notation, or one address.
///
/// # Errors
/// Anything else, and a network with host bits, since one of its two parts must be a slip.
pub fn parse_network(text: &str) -> Result<IpNet, Fault> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    let network: IpNet = text.parse().map_err(|_| {
        Fault::new(format!("{text:?} is not a network"))
            .hint("such as \"192.0.2.0/24\", \"2001:db8::/32\" or \"192.0.2.1\"")
    })?;
    if network.trunc() != network {
        let fault = Fault::new(format!("{text:?} has bits set after its first {}", network.prefix_len()));
        return Err(fault.hint(format!("did you mean \"{}\"?", network.trunc())));
    }
    Ok(network)
}

/// Reads an absolute `http` or `https` URL of a host, without user, query and fragment.
///
/// # Errors
/// Anything else.
pub fn parse_url(text: &str) -> Result<Uri, Fault> {
    let mut shown = text.to_owned();
    if let Some(secret) = userinfo(text) {
        shown.replace_range(secret, "***");
    }
    let refuse = |what: &str| Fault::new(format!("{shown:?} {what}"));
    let url: Uri = text.parse().map_err(|_| refuse("is not a URL"))?;
    let (Some("http" | "https"), Some(authority)) = (url.scheme_str(), url.authority()) else {
        return Err(refuse("is not an absolute URL").hint("it begins with \"https://\" or \"http://\" and a host"));
    };
    let port = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, place)| place);
    let port = port.get(authority.host().len()..).unwrap_or_default();
    let is_usable = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    if authority.host().is_empty() || port.strip_prefix(':').is_some_and(|port| !is_usable(port)) {
        return Err(refuse("has no usable host and port"));
    }
    // The library would drop a fragment in silence.
    let extra = [
        ("a user", authority.as_str().contains('@')),
        ("a query", text.contains('?')),
        ("a fragment", text.contains('#')),
    ];
    match extra.iter().find(|(_, present)| *present) {
        Some((what, _)) => Err(refuse(&format!("has {what}, which does not belong here"))),
        None => Ok(url),
    }
}

/// Reads a path of the file system.
///
/// # Errors
/// An empty path, and one with a NUL character.
pub fn parse_path(text: &str) -> Result<PathBuf, Fault> {
    if text.is_empty() || text.contains('\0') {
        return Err(Fault::new(format!("{text:?} is not a path")));
    }
    Ok(PathBuf::from(text))
}

/// `"a"`, `"a" or "b"`, `"a", "b" or "c"`.
fn either(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("{word:?}")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} or {last}", before.join(", ")),
        None => String::new(),
    }
}

/// The number as TOML may write it, with its thousands apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

/// `did you mean "…"? ` with the word that a typing slip most likely meant; empty if none is near.
pub(crate) fn nearest(typed: &str, words: &[&str]) -> String {
    if typed.len() > WORD_BYTES_MAX {
        return String::new();
    }
    let distances = words.iter().map(|word| (edit_distance(typed, word), word));
    match distances.min_by_key(|(distance, _)| *distance) {
        Some((distance, word)) if distance <= word.chars().count().max(3) / 3 => format!("did you mean {word:?}? "),
        Some(_) | None => String::new(),
    }
}

/// How many characters to add, drop, change or swap with their neighbour (optimal string alignment).
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<_>, Vec<_>) = (a.chars().collect(), b.chars().collect());
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let changed = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = changed.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

const WORD_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn message<T>(result: Result<T, Fault>) -> String {
        result.err().map(|fault| format!("{} | {}", fault.message, fault.hint.unwrap_or_default())).unwrap_or_default()
    }

    #[test]
    fn networks_have_no_host_bits() {
        let rows = [
            ("192.0.2.0/24", ""),
            ("192.0.2.1", ""),
            ("0.0.0.0/0", ""),
            ("2001:db8::/32", ""),
            ("::1", ""),
            ("192.0.2.1/24", "\"192.0.2.1/24\" has bits set after its first 24 | did you mean \"192.0.2.0/24\"?"),
            (
                "192.0.2.0/33",
                "\"192.0.2.0/33\" is not a network | such as \"192.0.2.0/24\", \"2001:db8::/32\" or \"192.0.2.1\"",
            ),
            ("", "\"\" is not a network | such as \"192.0.2.0/24\", \"2001:db8::/32\" or \"192.0.2.1\""),
        ];
        for (text, expected) in rows {
            assert_eq!(message(parse_network(text)), expected, "{text}");
        }
    }

    #[test]
    fn urls_are_absolute_and_name_nothing_but_a_place() {
        let rows = [
            ("https://hooks.example.com/a", ""),
            ("http://127.0.0.1:3000", ""),
            ("http://[::1]:3000/", ""),
            ("/a", "is not an absolute URL"),
            ("hooks.example.com", "is not an absolute URL"),
            ("ftp://hooks.example.com/", "is not an absolute URL"),
            ("https:///a", "is not a URL"),
            ("https://a b/", "is not a URL"),
            ("https://a:/", "has no usable host and port"),
            ("https://a:0/", "has no usable host and port"),
            ("https://a:65535/", ""),
            ("https://a:65536/", "has no usable host and port"),
            ("https://a/?", "has a query, which does not belong here"),
            ("https://a/#x", "has a fragment, which does not belong here"),
        ];
        for (text, expected) in rows {
            let message = parse_url(text).err().map(|fault| fault.message).unwrap_or_default();
            let expected = if expected.is_empty() { String::new() } else { format!("{text:?} {expected}") };
            assert_eq!(message, expected, "{text}");
        }
    }

    #[test]
    fn no_fault_of_a_url_shows_its_user() {
        let rows = [
            ("https://user:hunter2@a/", "\"https://***@a/\" has a user, which does not belong here"),
            ("https://hunter2@a/", "\"https://***@a/\" has a user, which does not belong here"),
            ("https://user:hunter2@a b/", "\"https://***@a b/\" is not a URL"),
            ("https://user:hunter2/@a/", "\"https://***@a/\" has no usable host and port"),
            ("user:hunter2@a:80", "\"***@a:80\" is not an absolute URL"),
        ];
        for (text, expected) in rows {
            assert_eq!(parse_url(text).unwrap_err().message, expected, "{text}");
        }
    }

    #[test]
    fn socket_addresses_have_an_address_and_a_port() {
        for text in ["0.0.0.0:8443", "[::]:8443", "127.0.0.1:1"] {
            assert!(parse_socket_address(text).is_ok(), "{text}");
        }
        for text in ["", "0.0.0.0", ":8443", "localhost:8443", "0.0.0.0:65536", "::1:80"] {
            assert!(parse_socket_address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn unknown_words_are_answered_with_the_nearest_one() {
        let words = [("hex", 0), ("base64", 1), ("base64url", 2)];
        let rows = [
            ("hex", ""),
            ("hx", "unknown encoding \"hx\" | did you mean \"hex\"? use \"hex\", \"base64\" or \"base64url\""),
            (
                "bsae64",
                "unknown encoding \"bsae64\" | did you mean \"base64\"? use \"hex\", \"base64\" or \"base64url\"",
            ),
            ("b64", "unknown encoding \"b64\" | use \"hex\", \"base64\" or \"base64url\""),
            ("", "unknown encoding \"\" | use \"hex\", \"base64\" or \"base64url\""),
        ];
        for (text, expected) in rows {
            assert_eq!(message(choose("encoding", text, &words)), expected, "{text}");
        }
        let long = "x".repeat(1 << 16);
        assert!(message(choose("encoding", &long, &words)).ends_with("| use \"hex\", \"base64\" or \"base64url\""));
    }

    #[test]
    fn distances_count_slips() {
        let rows = [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "ac", 1),
            ("abc", "abxc", 1),
            ("abc", "acb", 1),
            ("abc", "xyz", 3),
        ];
        for (a, b, expected) in rows {
            assert_eq!(edit_distance(a, b), expected, "{a} {b}");
            assert_eq!(edit_distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn numbers_are_shown_as_toml_writes_them() {
        let rows = [
            (0, "0"),
            (999, "999"),
            (1_000, "1_000"),
            (1_048_576, "1_048_576"),
            (u64::MAX, "18_446_744_073_709_551_615"),
        ];
        for (number, expected) in rows {
            assert_eq!(grouped(number), expected);
        }
    }
}
