//! Who sent a request: the peer of the socket, or what a trusted proxy says of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::{HeaderMap, HeaderName};

use super::Arrival;
use crate::admit::networks::Networks;
use crate::forward::request::Protocol;

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
    /// The peer; behind a trusted proxy the last address of X-Forwarded-For that is not a trusted proxy itself.
    /// Text before an address that cannot be read is not believed.
    pub(super) fn of(headers: &HeaderMap, arrival: &Arrival, trusted: &Networks) -> Self {
        let peer = arrival.peer.ip();
        if !arrival.peer.is_proxy(trusted) {
            return Self { address: peer, protocol: arrival.protocol };
        }
        let fields = headers.get_all(X_FORWARDED_FOR).iter().rev().map(|field| field.to_str().unwrap_or_default());
        let hops = fields.flat_map(|field| field.rsplit(',')).map_while(|hop| hop.trim().parse::<IpAddr>().ok());
        let client = hops.map(|hop| hop.to_canonical()).find(|hop| !trusted.contains(*hop));
        let protocol = match headers.get(X_FORWARDED_PROTO) {
            Some(value) if value == "https" => Protocol::Https,
            Some(_) | None => arrival.protocol,
        };
        Self { address: client.unwrap_or(peer), protocol }
    }
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
        Client::of(&headers, &Arrival { peer, protocol: Protocol::Http, host: HostMatch::Served }, trusted).address
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
