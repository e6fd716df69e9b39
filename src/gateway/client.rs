//! Who sent a request: the peer of the socket, or what a trusted proxy says of it.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};

use super::Arrival;
use crate::admit::networks::Networks;
use crate::forward::request::Protocol;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

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
        let peer = arrival.peer.ip().to_canonical();
        if !trusted.contains(peer) {
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
        for (peer, fields, client) in rows {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(X_FORWARDED_FOR, HeaderValue::from_str(field).unwrap());
            }
            let peer: IpAddr = peer.parse().unwrap();
            let arrival = Arrival { peer: (peer, 1).into(), protocol: Protocol::Http, host: HostMatch::Served };
            let found = Client::of(&headers, &arrival, &trusted).address;
            assert_eq!(found, client.parse::<IpAddr>().unwrap(), "{peer} {fields:?}");
        }
    }
}
