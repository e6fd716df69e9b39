//! `[acme]`: certificates that an authority issues while the gateway runs (RFC 8555).

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;

use super::parse_host_name;
use crate::policy::source_config::auth::read_trust_roots;
use crate::policy::table::parse::{Fault, parse_socket_address, parse_url};
use crate::policy::table::{Reader, Spanned};

/// `[acme]`.
#[derive(Debug, Clone)]
pub struct AcmeConfig {
    /// Where the authority's directory is; `https`.
    pub directory_url: String,
    /// How the authority reaches the operator: `mailto:` addresses.
    pub contact: Vec<String>,
    /// The names of the certificate; lower case, no wildcards.
    pub domains: Vec<String>,
    /// How it is proven that they are ours.
    pub challenge: AcmeChallenge,
    /// The directory in which account and certificate are kept.
    pub state: Spanned<PathBuf>,
    /// Files with the roots that the authority's own server is trusted by; none: the public ones.
    pub trust_roots: Vec<Spanned<PathBuf>>,
    /// Where the table stands.
    pub span: Option<Range<usize>>,
}

/// How a name is proven to be ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcmeChallenge {
    /// In a TLS handshake on the https listener (RFC 8737).
    TlsAlpn,
    /// By a file over plain HTTP, on a listener that has nothing else (RFC 8555 §8.3).
    Http(Spanned<SocketAddr>),
}

#[derive(Clone, Copy)]
enum Kind {
    TlsAlpn,
    Http,
}

const CHALLENGES: &[(&str, Kind)] = &[("tls-alpn-01", Kind::TlsAlpn), ("http-01", Kind::Http)];

/// The authority, if the configuration names none: Let's Encrypt.
const DIRECTORY_URL: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Names of the certificate: as many as the usual authority takes.
const DOMAINS_MAX: usize = 100;

/// Bytes of a contact.
const CONTACT_BYTES_MAX: usize = 320;

/// Contacts of an account.
const CONTACTS_MAX: usize = 10;

pub(super) fn read_acme(acme: &mut Reader<'_>) -> Option<AcmeConfig> {
    for key in ["domains", "accept_terms", "state"] {
        acme.require(key);
    }
    if let Some(terms) = acme.boolean("accept_terms")
        && !terms.value
    {
        let fault = Fault::new("no authority issues certificates to those who do not accept its terms");
        acme.error(Some(terms.span), fault.hint("read them, and write accept_terms = true; or take [acme] out"));
    }
    let directory_url = acme.parsed("directory_url", parse_directory_url);
    let contact = acme.list("contact", CONTACTS_MAX, parse_contact).map(|list| list.value).unwrap_or_default();
    acme.refuse_empty("domains", ": there is nothing to have a certificate for");
    let domains = acme.list("domains", DOMAINS_MAX, parse_domain);
    let kind = acme.one_of("challenge", CHALLENGES).map_or(Kind::TlsAlpn, |kind| kind.value);
    let http = acme.parsed("http", parse_socket_address);
    let challenge = match (kind, http) {
        (Kind::TlsAlpn, None) => Some(AcmeChallenge::TlsAlpn),
        (Kind::TlsAlpn, Some(http)) => {
            let fault = Fault::new("http has no meaning without challenge = \"http-01\"");
            acme.error(Some(http.span), fault.hint("write the challenge, or leave http out"));
            None
        }
        (Kind::Http, Some(http)) => Some(AcmeChallenge::Http(http)),
        (Kind::Http, None) => {
            if !acme.has("http") {
                let fault =
                    Fault::new("http-01 needs http, the address of a listener that the authority reaches on port 80");
                acme.error(acme.key_span("challenge"), fault.hint("such as http = \"0.0.0.0:80\""));
            }
            None
        }
    };
    let state = acme.path("state");
    let trust_roots = read_trust_roots(acme);
    let domains = domains?;
    for (position, domain) in domains.value.iter().enumerate() {
        if domains.value[..position].iter().any(|before| before.value == domain.value) {
            acme.error(Some(domain.span.clone()), Fault::new(format!("{:?} stands here twice", domain.value)));
        }
    }
    Some(AcmeConfig {
        directory_url: directory_url.map_or_else(|| DIRECTORY_URL.to_owned(), |url| url.value),
        contact: contact.into_iter().map(|contact| contact.value).collect(),
        domains: domains.value.into_iter().map(|domain| domain.value).collect(),
        challenge: challenge?,
        state: state?,
        trust_roots,
        span: acme.span(),
    })
}

fn parse_directory_url(text: &str) -> Result<String, Fault> {
    if parse_url(text)?.scheme_str() != Some("https") {
        let fault = Fault::new(format!("{text:?} is not https: whoever is on the way could issue certificates"));
        return Err(fault.hint(format!("such as {DIRECTORY_URL:?}")));
    }
    Ok(text.to_owned())
}

fn parse_contact(text: &str) -> Result<String, Fault> {
    let address = text.strip_prefix("mailto:").unwrap_or_default();
    let is_address = address.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
    if !is_address || text.len() > CONTACT_BYTES_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Fault::new(format!("{text:?} is not a contact")).hint("such as \"mailto:hooks@example.com\""));
    }
    Ok(text.to_owned())
}

fn parse_domain(text: &str) -> Result<String, Fault> {
    let name = parse_host_name(text)?;
    let hint = "such as \"hooks.example.com\"";
    if name.starts_with("*.") {
        let fault = Fault::new(format!("{text:?} is a wildcard, which is proven by DNS records alone"));
        return Err(fault.hint("name each host, or bring the certificate with [[tls]]"));
    }
    if name.parse::<IpAddr>().is_ok() || !name.contains('.') {
        return Err(Fault::new(format!("{text:?} is not a public host name")).hint(hint));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::super::read_gateway;
    use super::*;
    use crate::policy::table::findings;

    const GOOD: &str = "domains = ['Hooks.example.com']\naccept_terms = true\nstate = 'state'\n";

    fn check(listen: &str, acme: &str) -> (Option<AcmeConfig>, Vec<String>) {
        let text = format!("[policies]\ndirectory = 'p'\n{listen}[acme]\n{acme}");
        let (config, found) = findings(&text, read_gateway);
        (config.and_then(|config| config.acme), found)
    }

    #[test]
    fn a_few_keys_are_enough_and_all_of_them_are_read() {
        let (acme, found) = check("", GOOD);
        let acme = acme.unwrap();
        assert_eq!(found, Vec::<String>::new());
        assert_eq!((acme.directory_url.as_str(), acme.challenge), (DIRECTORY_URL, AcmeChallenge::TlsAlpn));
        assert_eq!(
            (acme.domains, acme.state.value),
            (vec!["hooks.example.com".to_owned()], PathBuf::from("etc/state"))
        );
        assert!(acme.contact.is_empty() && acme.trust_roots.is_empty());
        let more = "directory_url = 'https://ca.internal/dir'\ncontact = ['mailto:a@example.com']\nchallenge = 'http-01'\n\
                    http = '0.0.0.0:80'\ntrust_roots = [{ file = 'root.pem' }]\n";
        let (acme, found) = check("", &format!("{GOOD}{more}"));
        let acme = acme.unwrap();
        assert_eq!(found, Vec::<String>::new());
        assert!(matches!(acme.challenge, AcmeChallenge::Http(http) if http.value == ([0, 0, 0, 0], 80).into()));
        assert_eq!((acme.directory_url.as_str(), acme.contact.len()), ("https://ca.internal/dir", 1));
        assert_eq!(acme.trust_roots[0].value, PathBuf::from("etc/root.pem"));
    }

    #[test]
    fn there_are_at_most_so_many_names_and_contacts_and_a_contact_is_short() {
        let list = |count: usize, of: fn(usize) -> String| (0..count).map(of).collect::<Vec<_>>().join("', '");
        let domains = |count| {
            let names = list(count, |number| format!("a{number}.example"));
            check("", &format!("domains = ['{names}']\naccept_terms = true\nstate = 's'")).1.is_empty()
        };
        assert_eq!([99, 100, 101].map(domains), [true, true, false]);
        let contacts = |count| {
            let contacts = list(count, |number| format!("mailto:a{number}@b.example"));
            check("", &format!("{GOOD}contact = ['{contacts}']")).1.is_empty()
        };
        assert_eq!([9, 10, 11].map(contacts), [true, true, false]);
        let length = |length: usize| parse_contact(&format!("mailto:{}@b.example", "a".repeat(length - 17))).is_ok();
        assert_eq!([319, 320, 321].map(length), [true, true, false]);
    }

    #[test]
    fn each_fault_is_told_at_its_place() {
        let listen = "[listen]\nunix = ['a']\n";
        let rows = [
            (
                "",
                "",
                vec![
                    "3:1: missing key \"domains\" in acme",
                    "3:1: missing key \"accept_terms\" in acme",
                    "3:1: missing key \"state\" in acme",
                ],
            ),
            (
                "",
                "domains = []\naccept_terms = true\nstate = 's'",
                vec!["4:11: domains is empty: there is nothing to have a certificate for"],
            ),
            (
                "",
                "domains = ['a.b']\naccept_terms = false\nstate = 's'",
                vec!["5:16: no authority issues certificates to those who do not accept its terms"],
            ),
            (
                "",
                "domains = ['*.a.b', '192.0.2.1', 'host', 'a..b']\naccept_terms = true\nstate = 's'",
                vec![
                    "4:12: \"*.a.b\" is a wildcard, which is proven by DNS records alone",
                    "4:21: \"192.0.2.1\" is not a public host name",
                    "4:34: \"host\" is not a public host name",
                    "4:42: \"a..b\" is not a host name",
                ],
            ),
            ("", "domains = ['a.b', 'A.b']\naccept_terms = true\nstate = 's'", vec!["4:19: \"a.b\" stands here twice"]),
            (listen, GOOD, vec!["5:2: acme needs an https listener"]),
        ];
        for (listen, text, expected) in rows {
            assert_eq!(check(listen, text).1, expected, "{text}");
        }
        let plain = "\"http://ca.internal/\" is not https: whoever is on the way could issue certificates";
        let rows = [
            ("directory_url = 'http://ca.internal/'", format!("7:17: {plain}")),
            ("contact = ['a@example.com', 'mailto:@a']", "7:12: \"a@example.com\" is not a contact".to_owned()),
            ("challenge = 'dns-01'", "7:13: unknown challenge \"dns-01\"".to_owned()),
            (
                "challenge = 'http-01'",
                "7:1: http-01 needs http, the address of a listener that the authority reaches on port 80".to_owned(),
            ),
            ("http = '0.0.0.0:80'", "7:8: http has no meaning without challenge = \"http-01\"".to_owned()),
        ];
        for (line, expected) in rows {
            assert_eq!(check("", &format!("{GOOD}{line}")).1[0], expected, "{line}");
        }
    }
}
