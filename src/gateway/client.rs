//! Who sent a request: the peer of the socket, or what a trusted proxy says of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};

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
    /// Somebody whom the proxy at this address does not name although it is asked to (the PROXY protocol): itself, such as a health check, or a client that it does
    /// not know. So what is written in a request of theirs is nobody's word on the client.
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
    /// Text before an address that cannot be read is not believed.
    pub(super) fn of(headers: &HeaderMap, arrival: &Arrival, trusted: &Networks, field: ForwardingField) -> Self {
        let peer = Self { address: arrival.peer.ip(), protocol: arrival.protocol };
        if !arrival.peer.is_proxy(trusted) {
            return peer;
        }
        match field {
            ForwardingField::XForwardedFor => {
                let hops = elements(headers, &X_FORWARDED_FOR).map_while(|hop| hop.trim().parse::<IpAddr>().ok());
                let client = hops.map(|hop| hop.to_canonical()).find(|hop| !trusted.contains(*hop));
                let protocol = match headers.get(X_FORWARDED_PROTO) {
                    Some(value) if value == "https" => Protocol::Https,
                    Some(_) | None => peer.protocol,
                };
                Self { address: client.unwrap_or(peer.address), protocol }
            }
            ForwardingField::Forwarded => {
                let mut hops = elements(headers, &FORWARDED).map_while(|hop| Self::forwarded(hop, peer.protocol));
                hops.find(|hop| !trusted.contains(hop.address)).unwrap_or(peer)
            }
        }
    }

    /// An element of `Forwarded`: who made the request, and over what, as far as the proxy says so.
    fn forwarded(element: &str, protocol: Protocol) -> Option<Self> {
        let (mut address, mut proto) = (None, None);
        for pair in element.split(';') {
            let (name, value) = pair.trim_matches([' ', '\t']).split_once('=')?;
            let value = match value.strip_prefix('"') {
                Some(quoted) => quoted.strip_suffix('"').filter(|text| !text.contains(['"', '\\']))?,
                None => value,
            };
            let before = if name.eq_ignore_ascii_case("for") {
                address.replace(value)
            } else if name.eq_ignore_ascii_case("proto") {
                proto.replace(value)
            } else {
                None
            };
            if before.is_some() {
                return None;
            }
        }
        let protocol = match proto {
            Some(proto) if proto.eq_ignore_ascii_case("https") => Protocol::Https,
            Some(_) => Protocol::Http,
            None => protocol,
        };
        Some(Self { address: parse_node(address?)?, protocol })
    }
}

/// The elements of a list field from the last to the first. What a client wrote stands before what proxies add, so that no quotation mark of a client's can
/// hide theirs.
fn elements<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> + use<'h> {
    let text = |field: &'h HeaderValue| field.to_str().unwrap_or_default();
    headers.get_all(name).iter().rev().flat_map(move |field| text(field).rsplit(','))
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
