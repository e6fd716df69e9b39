//! Who a limit counts: one IPv4 address, or one IPv6 /64.
//!
//! An IPv6 subscriber gets at least a /64 and chooses the other 64 bits freely, so a limit per address would limit
//! nobody (RFC 6177, RIPE-690). An IPv4-mapped address (`::ffff:192.0.2.1`, what a dual-stack socket shows) is the
//! IPv4 client that it is.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The client that a limit counts.
///
/// Small on purpose (nine bytes without alignment): it stands in every key of the limiter's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Client {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// The first 64 bits of an IPv6 address.
    V6([u8; 8]),
}

/// What is known of whoever sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Something from there was proven genuine within a day, or an operator names it.
    Known,
    /// Nothing, or nothing good.
    Stranger,
}

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let mut network = [0; 8];
                network.copy_from_slice(&address.octets()[..8]);
                Self::V6(network)
            }
        }
    }
}

impl fmt::Display for Client {
    /// As in logs: `192.0.2.1`, `2001:db8:1:2::/64`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => write!(f, "{address}"),
            Self::V6(network) => {
                let mut first = [0; 16];
                first[..8].copy_from_slice(network);
                write!(f, "{}/64", Ipv6Addr::from(first))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str) -> Client {
        Client::from(address.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_64() {
        let rows = [
            ("the same IPv4 address", "192.0.2.1", "192.0.2.1", true),
            ("a neighbouring IPv4 address", "192.0.2.1", "192.0.2.2", false),
            ("two hosts of one /64", "2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true),
            ("a neighbouring /64", "2001:db8:1:2::1", "2001:db8:1:3::1", false),
            ("IPv4-mapped is IPv4", "::ffff:192.0.2.1", "192.0.2.1", true),
            ("two IPv4-mapped addresses do not share", "::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
            ("the IPv6 loopback is not IPv4", "::1", "0.0.0.0", false),
        ];
        for (name, one, other, same) in rows {
            assert_eq!(client(one) == client(other), same, "{name}");
        }
    }

    #[test]
    fn it_reads_as_an_address_or_a_network() {
        let rows = [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("::1", "::/64"),
        ];
        for (address, shown) in rows {
            assert_eq!(client(address).to_string(), shown);
        }
        assert_eq!(size_of::<Client>(), 9);
    }
}
