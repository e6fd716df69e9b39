//! Lists of networks: files that policies name, and what providers publish.
//!
//! A file has a network a line, `#` before a comment. An operator writes it, or `hookward networks update` does from the document of a provider. Both are
//! held to the same: a slip in a list, or somebody who can change what a provider publishes, must not open a source to half of the internet.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::Uri;
use ipnet::IpNet;

use super::diagnostic::{Diagnostic, Diagnostics, SourceFile};
use super::table::parse::{Fault, parse_network};
use crate::payload::{Document, JsonLimits, Pointer};

/// Lists that were read, by file: sources share them. One with a fault is empty here, and in the diagnostics.
pub(super) type Lists = HashMap<PathBuf, Arc<[IpNet]>>;

/// Where a provider publishes the networks that it sends from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The document.
    pub url: Uri,
    /// Where they are in it, each `*` being every element: `/hooks/*`.
    pub values: Pointer,
}

/// Networks in one list.
pub const LIST_NETWORKS_MAX: usize = 16_384;

/// The widest network of a list: nobody sends from more addresses than this.
const PREFIX_MIN_V4: u8 = 8;
const PREFIX_MIN_V6: u8 = 16;

/// What stands before the address in an IPv4-mapped one.
const MAPPED_BITS: u8 = 96;

/// More than the longest network has.
const TEXT_BYTES_MAX: usize = 64;

/// Reads a list of networks, of which there is at least one; all findings go to `diagnostics`. `None` if there is an error among them.
pub fn read_list(file: &SourceFile, diagnostics: &mut Diagnostics) -> Option<Vec<IpNet>> {
    let networks = read_lines(file, diagnostics)?;
    if networks.is_empty() {
        diagnostics.push(Diagnostic::error(&file.path, None, "no network, so nothing would ever be accepted"));
        return None;
    }
    Some(networks)
}

/// The same for a list that may be empty.
pub fn read_lines(file: &SourceFile, diagnostics: &mut Diagnostics) -> Option<Vec<IpNet>> {
    let mut networks = Vec::new();
    let (mut start, mut is_good) = (0, true);
    for line in file.text.split_inclusive('\n') {
        let text = line.split('#').next().unwrap_or_default().trim();
        let at = start + (line.len() - line.trim_start().len());
        start += line.len();
        if text.is_empty() {
            continue;
        }
        let span = at..at + text.len();
        if networks.len() == LIST_NETWORKS_MAX {
            let message = format!("more than {LIST_NETWORKS_MAX} networks");
            diagnostics.push(Diagnostic::error(&file.path, span, message));
            return None;
        }
        match parse(text) {
            Ok(network) => networks.push(network),
            Err(fault) => {
                is_good = false;
                if !is_like_one(text) {
                    // Who names the wrong file must not find its lines in a log.
                    diagnostics.hide(&file.path, span.clone());
                }
                diagnostics.push(Diagnostic::error(&file.path, span, fault.message).hint(fault.hint));
            }
        }
    }
    is_good.then_some(networks)
}

/// Reads the networks of a JSON document that a provider publishes.
///
/// # Errors
/// What is wrong with it.
pub fn read_published(document: Bytes, values: &Pointer) -> Result<Vec<IpNet>, Fault> {
    let document = Document::read(document, JsonLimits::default()).map_err(|rejection| {
        Fault::new(format!("the document is not JSON as it should be: {}", rejection.reason().code()))
    })?;
    let texts = values
        .scalars(document.root())
        .ok_or_else(|| Fault::new(format!("the document has no text at {values}, or not everywhere there")))?;
    if texts.len() > LIST_NETWORKS_MAX {
        return Err(Fault::new(format!("{} networks, more than {LIST_NETWORKS_MAX}", texts.len())));
    }
    texts.iter().map(|text| parse(text)).collect()
}

/// Reads one network of a list.
fn parse(text: &str) -> Result<IpNet, Fault> {
    if !is_like_one(text) {
        return Err(
            Fault::new("this is not a network").hint("a network a line, such as 192.0.2.0/24; # begins a comment")
        );
    }
    let network = parse_network(text)?;
    // As `Networks` takes it: one of IPv4-mapped addresses is an IPv4 network.
    let min = match (network.network().to_canonical(), network.broadcast().to_canonical(), network) {
        (IpAddr::V4(_), IpAddr::V4(_), IpNet::V6(_)) => MAPPED_BITS + PREFIX_MIN_V4,
        (_, _, IpNet::V4(_)) => PREFIX_MIN_V4,
        (_, _, IpNet::V6(_)) => PREFIX_MIN_V6,
    };
    if network.prefix_len() < min {
        let fault = Fault::new(format!("{text:?} is wider than /{min}, which no list of a provider has"));
        return Err(fault.hint("where it is meant, write it into allow"));
    }
    Ok(network)
}

/// Whether it may be quoted: nothing but what addresses are written with.
fn is_like_one(text: &str) -> bool {
    let is_of_one = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':' | b'/');
    text.len() <= TEXT_BYTES_MAX && text.contains(['.', ':']) && text.bytes().all(is_of_one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::table::findings;

    fn list(text: &str) -> (Option<Vec<String>>, Vec<String>) {
        let (networks, found) = findings(text, read_list);
        (networks.map(|networks| networks.iter().map(IpNet::to_string).collect()), found)
    }

    #[test]
    fn a_list_is_a_network_a_line() {
        let text = "# GitHub\n192.30.252.0/22\n\n  2a0a:a440::/29  # IPv6\r\n192.0.2.1\n203.0.113.0/24";
        let (networks, found) = list(text);
        assert_eq!(found, Vec::<String>::new());
        assert_eq!(networks.unwrap(), ["192.30.252.0/22", "2a0a:a440::/29", "192.0.2.1/32", "203.0.113.0/24"]);
    }

    #[test]
    fn each_fault_is_told_at_its_line_and_what_is_no_network_is_not_quoted() {
        let rows = [
            ("192.0.2.1\n192.0.2.1/24\n", "2:1: \"192.0.2.1/24\" has bits set after its first 24"),
            ("  192.0.2.256 # x\n", "1:3: \"192.0.2.256\" is not a network"),
            ("0.0.0.0/0\n", "1:1: \"0.0.0.0/0\" is wider than /8, which no list of a provider has"),
            ("2000::/3\n", "1:1: \"2000::/3\" is wider than /16, which no list of a provider has"),
            ("whsec_0123456789abcdef\n", "1:1: this is not a network"),
            ("0123456789abcdef0123456789abcdef\n", "1:1: this is not a network"),
            ("192.0.2.1 192.0.2.2\n", "1:1: this is not a network"),
        ];
        for (text, expected) in rows {
            assert_eq!(list(text), (None, vec![expected.to_owned()]), "{text}");
        }
        for empty in ["", "# nobody\n\n"] {
            assert_eq!(list(empty).0, None, "{empty:?}");
        }
        let mut files = crate::policy::diagnostic::Files::default();
        let file = files.add("list.txt", "secret-of-somebody\n");
        let mut found = Diagnostics::default();
        assert!(read_list(&file, &mut found).is_none());
        let report = found.report(&files, &crate::policy::diagnostic::Styles::plain()).to_string();
        assert!(!report.contains("secret"), "{report}");
    }

    #[test]
    fn networks_are_as_wide_as_they_may() {
        let rows = [
            ("10.0.0.0/7", false),
            ("10.0.0.0/8", true),
            ("11.0.0.0/9", true),
            ("2001::/16", true),
            ("2000::/15", false),
            ("::fffe:0:0/95", true),
            ("::ffff:0:0/96", false),
            ("::ffff:10.0.0.0/103", false),
            ("::ffff:10.0.0.0/104", true),
        ];
        for (text, taken) in rows {
            assert_eq!(parse(text).is_ok(), taken, "{text}");
        }
    }

    #[test]
    fn a_list_has_as_many_networks_as_it_may() {
        let line = |n: usize| format!("10.{}.{}.0/24", n / 256 % 256, n % 256);
        for (count, taken) in [(LIST_NETWORKS_MAX - 1, true), (LIST_NETWORKS_MAX, true), (LIST_NETWORKS_MAX + 1, false)]
        {
            let lines: Vec<_> = (0..count).map(line).collect();
            assert_eq!(list(&lines.join("\n")).0.is_some(), taken, "{count}");
            let texts: Vec<_> = lines.iter().map(|line| format!("\"{line}\"")).collect();
            let document = Bytes::from(format!("[{}]", texts.join(",")));
            assert_eq!(read_published(document, &Pointer::parse("/*").unwrap()).is_ok(), taken, "{count}");
        }
    }

    #[test]
    fn what_is_published_is_read_where_it_stands() {
        let rows = [
            ("/hooks/*", r#"{"hooks":["192.30.252.0/22","2a0a:a440::/29"],"web":["x"]}"#, Ok(2)),
            ("/items/*/cidr", r#"{"items":[{"cidr":"192.0.2.0/24","region":["x"]},{"cidr":"192.0.2.1"}]}"#, Ok(2)),
            ("/*", r#"["192.0.2.1"]"#, Ok(1)),
            (
                "/hooks/*",
                r#"{"web":["192.0.2.1"]}"#,
                Err("the document has no text at /hooks/*, or not everywhere there"),
            ),
            ("/hooks/*", r#"{"hooks":[]}"#, Err("the document has no text at /hooks/*, or not everywhere there")),
            (
                "/items/*/cidr",
                r#"{"items":[{"cidr":"192.0.2.0/24"},{}]}"#,
                Err("the document has no text at /items/*/cidr, or not everywhere there"),
            ),
            (
                "/hooks/*",
                r#"{"hooks":["0.0.0.0/0"]}"#,
                Err("\"0.0.0.0/0\" is wider than /8, which no list of a provider has"),
            ),
            ("/hooks/*", r#"{"hooks":["\u001b[31m"]}"#, Err("this is not a network")),
            (
                "/hooks/*",
                r#"{"hooks":["192.0.2.1"],"hooks":["192.0.2.2"]}"#,
                Err("the document is not JSON as it should be: json_duplicate_key"),
            ),
            ("/hooks/*", "<html>", Err("the document is not JSON as it should be: json_malformed")),
        ];
        for (values, document, expected) in rows {
            let read = read_published(Bytes::from_static(document.as_bytes()), &Pointer::parse(values).unwrap());
            assert_eq!(
                read.map(|networks| networks.len()).map_err(|fault| fault.message),
                expected.map_err(str::to_owned),
                "{document}"
            );
        }
    }
}
