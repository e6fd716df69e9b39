//! Who sent a request: the peer of the socket, or what a trusted proxy says of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};

use super::Arrival;
use crate::admit::networks::Networks;
use crate::forward::request::Protocol;
use crate::policy::gateway_config::ForwardingField;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Who is at the other end of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Somebody at this address.
    Network(SocketAddr),
    /// Somebody whom the proxy at this address does not name although it is asked to (the PROXY protocol): itself, such as a health check, or a client that it
    /// does not know. So what is written in a request of theirs is nobody's word on the client.
    Unnamed(SocketAddr),
    /// A process that may open the gateway's Unix socket. It has no address, and is a trusted proxy by nature: the file's mode is what decides who it can be.
    Local,
}

impl Peer {
    /// The address, in its canonical form. That of a local process is the loopback address 127.0.0.1.
    #[must_use]
    pub const fn ip(&self) -> IpAddr {
        match self {
            Self::Network(address) | Self::Unnamed(address) => address.ip().to_canonical(),
            Self::Local => IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }

    /// The address, where it is that of a client: neither a proxy's, behind which anybody can be, nor a local process's.
    #[must_use]
    pub fn client(&self, trusted: &Networks) -> Option<IpAddr> {
        match self {
            Self::Network(address) => Some(address.ip().to_canonical()).filter(|address| !trusted.contains(*address)),
            Self::Unnamed(_) | Self::Local => None,
        }
    }

    /// Somebody whom this proxy does not name.
    #[must_use]
    pub const fn unnamed(self) -> Self {
        match self {
            Self::Network(address) => Self::Unnamed(address),
            Self::Unnamed(_) | Self::Local => self,
        }
    }

    /// Whether its word on the client is believed.
    #[must_use]
    pub fn is_proxy(&self, trusted: &Networks) -> bool {
        match self {
            Self::Network(address) => trusted.contains(address.ip()),
            Self::Unnamed(_) => false,
            Self::Local => true,
        }
    }
}

impl<I> From<(I, u16)> for Peer
where
    SocketAddr: From<(I, u16)>,
{
    fn from(address: (I, u16)) -> Self {
        Self::Network(address.into())
    }
}

/// The client behind a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client {
    pub address: IpAddr,
    pub protocol: Protocol,
}

impl Client {
    /// The peer; behind a trusted proxy the last address of the forwarding field that is not a trusted proxy itself.
    /// An element in which no address can be read may be a proxy's own, so nothing that stands before it is believed.
    pub(super) fn of(headers: &HeaderMap, arrival: &Arrival, trusted: &Networks, field: ForwardingField) -> Self {
        let peer = Self { address: arrival.peer.ip(), protocol: arrival.protocol };
        if !arrival.peer.is_proxy(trusted) {
            return peer;
        }
        match field {
            ForwardingField::XForwardedFor => {
                let hops = elements(headers, X_FORWARDED_FOR, plain_pieces).map_while(parse_address);
                let client = hops.map(|hop| hop.to_canonical()).find(|hop| !trusted.contains(*hop));
                let protocol = match elements(headers, X_FORWARDED_PROTO, plain_pieces).next() {
                    Some(b"https") => Protocol::Https,
                    Some(_) | None => peer.protocol,
                };
                Self { address: client.unwrap_or(peer.address), protocol }
            }
            ForwardingField::Forwarded => {
                let hops = elements(headers, FORWARDED, |line| unquoted_pieces(line, b','));
                let mut hops = hops.map_while(|hop| Self::forwarded(hop, peer.protocol));
                hops.find(|hop| !trusted.contains(hop.address)).unwrap_or(peer)
            }
        }
    }

    /// An element of `Forwarded`: who made the request, and over what, as far as the proxy says so.
    fn forwarded(element: &[u8], protocol: Protocol) -> Option<Self> {
        let (mut address, mut proto) = (None, None);
        for pair in unquoted_pieces(element, b';').map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty()) {
            let end = pair.iter().position(|byte| *byte == b'=')?;
            let (name, value) = (&pair[..end], read_value(&pair[end + 1..])?);
            let before = if name.eq_ignore_ascii_case(b"for") {
                address.replace(value)
            } else if name.eq_ignore_ascii_case(b"proto") {
                proto.replace(value)
            } else {
                None
            };
            if before.is_some() || name.contains(&b'"') {
                return None;
            }
        }
        let protocol = match proto {
            Some(proto) if proto.eq_ignore_ascii_case(b"https") => Protocol::Https,
            Some(_) => Protocol::Http,
            None => protocol,
        };
        Some(Self { address: parse_node(std::str::from_utf8(address?).ok()?)?, protocol })
    }
}

/// The elements of a list field from the last to the first, as its lines are cut into `pieces`; empty ones are none (RFC 9110 §5.6.1). What a client wrote
/// stands before what proxies add.
///
/// They are bytes: what a client has written to it, such as the host that it asked for, must not make an element of the proxy's unreadable.
fn elements<'h, P: Iterator<Item = &'h [u8]>>(
    headers: &'h HeaderMap,
    name: HeaderName,
    pieces: impl Fn(&'h [u8]) -> P,
) -> impl Iterator<Item = &'h [u8]> {
    let lines = headers.get_all(name).iter().rev();
    lines.flat_map(move |line| pieces(line.as_bytes())).map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// What stands between commas, from the last to the first.
fn plain_pieces(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.rsplit(|byte| *byte == b',')
}

/// What stands between these separators, from the last to the first. One between quotation marks separates nothing.
///
/// Whether a quotation mark begins or ends something is seen from the bytes right before it, and a well-formed element has a pair of each. So whatever a client
/// wrote before a proxy's element, an open quotation mark or a backslash, the element stays what it is.
fn unquoted_pieces(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut left = Some(text);
    std::iter::from_fn(move || {
        let text = left?;
        let mut is_quoted = false;
        let end = text.iter().enumerate().rposition(|(at, byte)| {
            let backslashes = || text[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
            is_quoted ^= *byte == b'"' && backslashes().is_multiple_of(2);
            *byte == separator && !is_quoted
        });
        left = end.map(|end| &text[..end]);
        Some(end.map_or(text, |end| &text[end + 1..]))
    })
}

/// The value of a pair, without quotation marks around it. Escapes in it stay: no address has one.
fn read_value(value: &[u8]) -> Option<&[u8]> {
    let Some(quoted) = value.strip_prefix(b"\"") else {
        return (!value.iter().any(|byte| matches!(byte, b'"' | b'\\'))).then_some(value);
    };
    let text = quoted.strip_suffix(b"\"")?;
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()?),
            b'"' => return None,
            _ => {}
        }
    }
    Some(text)
}

fn parse_address(text: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The address of a node (RFC 7239 §6): an IPv4 address or an IPv6 one in brackets, with or without a port. Those that are hidden have none.
fn parse_node(text: &str) -> Option<IpAddr> {
    let (address, port): (IpAddr, _) = if let Some(text) = text.strip_prefix('[') {
        let (address, port) = text.split_once(']')?;
        (address.parse::<Ipv6Addr>().ok()?.into(), port)
    } else {
        let (address, port) = text.split_at(text.find(':').unwrap_or(text.len()));
        (address.parse::<Ipv4Addr>().ok()?.into(), port)
    };
    let is_port = |port: &str| {
        !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then(|| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::HostMatch;
    use http::HeaderValue;

    fn client(peer: Peer, fields: &[&str], trusted: &Networks) -> IpAddr {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_str(field).unwrap());
        }
        let arrival = Arrival { peer, protocol: Protocol::Http, host: HostMatch::Served };
        Client::of(&headers, &arrival, trusted, ForwardingField::XForwardedFor).address
    }

    #[test]
    fn the_element_of_forwarded_that_names_the_client_says_what_it_spoke() {
        let trusted = Networks::new(["10.0.0.0/8".parse().unwrap()]);
        let (https, http) = (Protocol::Https, Protocol::Http);
        let rows: [(&[&str], &str, Protocol); 22] = [
            (&["for=198.51.100.1"], "198.51.100.1", http),
            (&["for=198.51.100.1;proto=https"], "198.51.100.1", https),
            (&["proto=HTTPS; For=\"198.51.100.1:4711\";by=10.0.0.1"], "198.51.100.1", https),
            (&["for=\"[2001:db8::1]:_x\";proto=https"], "2001:db8::1", https),
            (&["for=\"[::ffff:198.51.100.1]\""], "198.51.100.1", http),
            (&["for=192.0.2.66;proto=https, for=198.51.100.1"], "198.51.100.1", http),
            (&["for=192.0.2.66", "for=198.51.100.1;proto=https, for=10.0.0.2;proto=http"], "198.51.100.1", https),
            (&["for=\", for=198.51.100.1"], "198.51.100.1", http),
            (&["for=\"192.0.2.66, for=198.51.100.1"], "198.51.100.1", http),
            (&["for=198.51.100.1, for=unknown"], "10.0.0.1", http),
            (&["for=198.51.100.1, for=_hidden"], "10.0.0.1", http),
            (&["for=198.51.100.1, proto=https"], "10.0.0.1", http),
            (&["for=198.51.100.1;for=192.0.2.66"], "10.0.0.1", http),
            (&["for=198.51.100.1;proto"], "10.0.0.1", http),
            (&["for=\"198.51.100.1"], "10.0.0.1", http),
            (&["for=\"198.51.100\\.1\""], "10.0.0.1", http),
            (&["for=2001:db8::1"], "10.0.0.1", http),
            (&["for=[198.51.100.1]"], "10.0.0.1", http),
            (&["for=198.51.100.1:"], "10.0.0.1", http),
            (&["for=198.51.100.1x"], "10.0.0.1", http),
            (&["for=10.0.0.3, for=10.0.0.2;proto=https"], "10.0.0.1", http),
            (&[], "10.0.0.1", http),
        ];
        for (fields, address, protocol) in rows {
            let mut headers = HeaderMap::new();
            headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("203.0.113.9"));
            headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("https"));
            for field in fields {
                headers.append(FORWARDED, HeaderValue::from_str(field).unwrap());
            }
            let of = |peer: &str, field| {
                let peer = (peer.parse::<IpAddr>().unwrap(), 1).into();
                let arrival = Arrival { peer, protocol: Protocol::Http, host: HostMatch::Served };
                Client::of(&headers, &arrival, &trusted, field)
            };
            let expected = Client { address: address.parse().unwrap(), protocol };
            assert_eq!(of("10.0.0.1", ForwardingField::Forwarded), expected, "{fields:?}");
            assert_eq!(of("203.0.113.1", ForwardingField::Forwarded).address, IpAddr::from([203, 0, 113, 1]));
            let other = of("10.0.0.1", ForwardingField::XForwardedFor).address;
            assert_eq!(other, IpAddr::from([203, 0, 113, 9]), "one field alone counts");
        }
    }

    /// The client that a proxy at 10.0.0.1 names in these lines; none if they name nobody.
    fn named(field: ForwardingField, lines: &[&[u8]]) -> Option<String> {
        let mut headers = HeaderMap::new();
        let name = if field == ForwardingField::Forwarded { FORWARDED } else { X_FORWARDED_FOR };
        for line in lines {
            headers.append(&name, HeaderValue::from_bytes(line).unwrap());
        }
        let proxy = Peer::from(([10, 0, 0, 1], 1));
        let arrival = Arrival { peer: proxy, protocol: Protocol::Http, host: HostMatch::Served };
        let found = Client::of(&headers, &arrival, &Networks::new(["10.0.0.0/8".parse().unwrap()]), field).address;
        (found != proxy.ip()).then(|| found.to_string())
    }

    #[test]
    fn a_byte_that_is_no_text_hides_its_own_element_and_what_stands_before_it() {
        let rows: [(&[&[u8]], Option<&str>); 7] = [
            (&[b"\xff, 198.51.100.1"], Some("198.51.100.1")),
            (&[b"192.0.2.66\x80, 198.51.100.1, 10.0.0.2"], Some("198.51.100.1")),
            (&[b"\xff", b"198.51.100.1"], Some("198.51.100.1")),
            (&[b"192.0.2.66, \xff, 198.51.100.1"], Some("198.51.100.1")),
            (&[b"192.0.2.66, \xff"], None),
            (&[b"192.0.2.66, \xff, 10.0.0.2"], None),
            (&[b"192.0.2.66", b"\xff"], None),
        ];
        for (lines, expected) in rows {
            let text: Vec<_> = lines.iter().map(|line| line.escape_ascii().to_string()).collect();
            assert_eq!(named(ForwardingField::XForwardedFor, lines).as_deref(), expected, "{text:?}");
        }
        let rows: [(&[u8], Option<&str>); 4] = [
            (b"for=\xff, for=198.51.100.1", Some("198.51.100.1")),
            (b"for=192.0.2.66, for=198.51.100.1;host=\"caf\xe9\"", Some("198.51.100.1")),
            (b"for=192.0.2.66, for=198.51.100.1\xff", None),
            (b"for=192.0.2.66, for=\"198.51.100.1\xff\"", None),
        ];
        for (line, expected) in rows {
            assert_eq!(named(ForwardingField::Forwarded, &[line]).as_deref(), expected, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn what_stands_between_quotation_marks_names_nobody() {
        let rows = [
            (r#"for=198.51.100.9;host="x,for=192.30.252.1;a=b""#, Some("198.51.100.9")),
            (r#"for=198.51.100.9;host=",for=192.30.252.1""#, Some("198.51.100.9")),
            (r#"host=";for=192.30.252.1;";for=198.51.100.9"#, Some("198.51.100.9")),
            (r#"for=198.51.100.9;host="x\",for=192.30.252.1;a=\"b""#, Some("198.51.100.9")),
            (r#"for=198.51.100.9;host="x\\""#, Some("198.51.100.9")),
            (r#"for=192.0.2.66, for=198.51.100.9;host="x\\\",for=192.30.252.1""#, Some("198.51.100.9")),
            (r#"for=198.51.100.9;host="x\\",for=192.30.252.1"#, Some("192.30.252.1")),
            (r#"for=198.51.100.9;host=x"y""#, None),
            (r#"for=198.51.100.9;host="x"y"#, None),
            (r#"for=198.51.100.9;host="x"y"z""#, None),
            (r#"for=198.51.100.9;"host"=x"#, None),
            (r#"for=198.51.100.9;host="x\""#, None),
            (r#"for=198.51.100.9;host=""#, None),
            (r#"for="198.51.100.9";host="""#, Some("198.51.100.9")),
        ];
        for (line, expected) in rows {
            assert_eq!(named(ForwardingField::Forwarded, &[line.as_bytes()]).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn no_quotation_mark_of_a_client_swallows_the_proxys_element_and_nothing_of_what_it_wrote_is_believed() {
        let written = [
            r#"for=""#,
            r#"for="192.0.2.66"#,
            r#"for=192.0.2.66;host=""#,
            r#"for=192.0.2.66;host="\"#,
            r"for=192.0.2.66;host=\",
            r#"for=192.0.2.66;host=\""#,
            r#"for=192.0.2.66, ""#,
            r#"for=192.0.2.66, "", ""#,
            r#"for=192.0.2.66, for=\""#,
            r"for=192.0.2.66, \",
        ];
        let added = [
            "for=198.51.100.9",
            r#"for="198.51.100.9:4711""#,
            r#"for=198.51.100.9;host="a,b;c=\"d\\""#,
            r#"host="";for=198.51.100.9"#,
        ];
        for written in written {
            for added in added {
                for behind in ["", ", for=10.0.0.2", r#", for="10.0.0.2";host="x,y""#] {
                    let line = format!("{written}, {added}{behind}");
                    let found = named(ForwardingField::Forwarded, &[line.as_bytes()]);
                    assert_eq!(found.as_deref(), Some("198.51.100.9"), "{line}");
                }
                let lines = [written.as_bytes(), added.as_bytes()];
                assert_eq!(named(ForwardingField::Forwarded, &lines).as_deref(), Some("198.51.100.9"), "{written}");
            }
            let line = format!("{written}, for=10.0.0.2");
            assert_eq!(named(ForwardingField::Forwarded, &[line.as_bytes()]), None, "{line}");
        }
    }

    #[test]
    fn empty_elements_and_empty_pairs_are_passed_over() {
        for line in ["198.51.100.1,", "198.51.100.1, ,\t, 10.0.0.2", ", 198.51.100.1 ,,"] {
            assert_eq!(named(ForwardingField::XForwardedFor, &[line.as_bytes(), b""]).as_deref(), Some("198.51.100.1"));
        }
        for line in
            ["for=198.51.100.1,", "for=198.51.100.1;", ";; for=198.51.100.1 ; ;proto=http;, ,", "for=198.51.100.1;,;"]
        {
            let expected = (!line.ends_with(",;")).then_some("198.51.100.1");
            let found = named(ForwardingField::Forwarded, &[line.as_bytes(), b""]);
            assert_eq!(found.as_deref(), expected, "{line}: an element without an address is not empty");
        }
    }

    #[test]
    fn of_what_the_client_spoke_the_last_word_counts() {
        let rows: [(&[&str], Protocol); 6] = [
            (&["https"], Protocol::Https),
            (&["https", "http"], Protocol::Http),
            (&["http", "https"], Protocol::Https),
            (&["https, http"], Protocol::Http),
            (&["http, https"], Protocol::Https),
            (&["https", ""], Protocol::Https),
        ];
        for (lines, expected) in rows {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(X_FORWARDED_PROTO, HeaderValue::from_static(line));
            }
            let arrival = Arrival { peer: Peer::Local, protocol: Protocol::Http, host: HostMatch::Served };
            let found = Client::of(&headers, &arrival, &Networks::default(), ForwardingField::XForwardedFor).protocol;
            assert_eq!(found, expected, "{lines:?}");
        }
    }

    #[test]
    fn an_address_is_a_clients_unless_it_is_a_proxys() {
        let trusted = Networks::new(["10.0.0.0/8".parse().unwrap()]);
        let [proxy, other] = ["[::ffff:10.0.0.1]:1", "[::ffff:11.0.0.1]:1"].map(|text| text.parse().unwrap());
        let rows = [
            (Peer::Network(other), Some(IpAddr::from([11, 0, 0, 1]))),
            (Peer::Network(proxy), None),
            (Peer::Unnamed(proxy), None),
            (Peer::Local, None),
        ];
        for (peer, expected) in rows {
            assert_eq!(peer.client(&trusted), expected, "{peer:?}");
        }
    }

    #[test]
    fn forwarding_fields_are_believed_from_trusted_proxies_alone() {
        let trusted = Networks::new(["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
        let rows: [(&str, &[&str], &str); 8] = [
            ("203.0.113.9", &["198.51.100.1"], "203.0.113.9"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["192.0.2.66, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["192.0.2.66", "198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1, junk"], "10.0.0.1"),
            ("10.0.0.1", &["junk, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("::ffff:10.0.0.1", &["2001:db8::1"], "2001:db8::1"),
        ];
        for (peer, fields, expected) in rows {
            let peer: IpAddr = peer.parse().unwrap();
            let found = client((peer, 1).into(), fields, &trusted);
            assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{peer} {fields:?}");
        }
    }

    #[test]
    fn what_a_proxy_does_not_name_is_not_named_by_a_field_either() {
        let trusted = Networks::new(["10.0.0.0/8".parse().unwrap()]);
        let proxy: SocketAddr = "10.0.0.1:1".parse().unwrap();
        assert_eq!(client(Peer::Network(proxy), &["198.51.100.1"], &trusted), IpAddr::from([198, 51, 100, 1]));
        assert_eq!(client(Peer::Unnamed(proxy), &["198.51.100.1"], &trusted), IpAddr::from([10, 0, 0, 1]));
    }

    #[test]
    fn a_local_process_is_a_proxy_and_the_loopback_where_it_says_nothing() {
        let trusted = Networks::new(["10.0.0.0/8".parse().unwrap()]);
        let rows: [(&[&str], &str); 5] = [
            (&[], "127.0.0.1"),
            (&["198.51.100.1"], "198.51.100.1"),
            (&["192.0.2.66, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            (&["10.0.0.3, 10.0.0.2"], "127.0.0.1"),
            (&["198.51.100.1, unix:"], "127.0.0.1"),
        ];
        for (fields, expected) in rows {
            assert_eq!(client(Peer::Local, fields, &trusted), expected.parse::<IpAddr>().unwrap(), "{fields:?}");
        }
    }
}
