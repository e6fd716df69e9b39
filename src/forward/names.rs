//! Names of hosts on the internet → addresses, and which addresses are there at all.
//!
//! Upstreams are the operator's, and are where he says. This is for a host that a request had a say in: the answer of a name server must not lead
//! into the gateway's own networks.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};

use crate::admit::networks::Networks;

/// Where the addresses of names come from. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Names(Kind);

#[derive(Debug, Clone)]
enum Kind {
    System,
    Fixed(Arc<HashMap<Box<str>, Vec<SocketAddr>>>),
}

/// Of more addresses than these the rest is not looked at.
const ADDRESSES_MAX: usize = 16;

const HTTPS: u16 = 443;

/// What is nowhere on the public internet, or is only a way to something else (IANA's registries of special-purpose addresses). Of IPv6 only
/// `2000::/3` is given out to anybody.
static SPECIAL: LazyLock<Networks> = LazyLock::new(|| {
    let networks = SPECIAL_NETWORKS.iter().filter_map(|network| network.parse().ok());
    Networks::new(networks)
});

const SPECIAL_NETWORKS: [&str; 22] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/3",
    "::/3",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "4000::/2",
    "8000::/2",
    "c000::/2",
];

impl Names {
    /// As the system resolves them.
    #[must_use]
    pub const fn system() -> Self {
        Self(Kind::System)
    }

    /// These and no others, each at its addresses and ports, for tests.
    #[must_use]
    pub fn fixed(names: impl IntoIterator<Item = (Box<str>, Vec<SocketAddr>)>) -> Self {
        Self(Kind::Fixed(Arc::new(names.into_iter().collect())))
    }

    /// Where https is spoken for this name; never an empty list.
    ///
    /// # Errors
    /// That of the system; `NotFound` where it knows no address. The caller sets the deadline.
    pub async fn resolve(&self, host: &str) -> io::Result<Vec<SocketAddr>> {
        let addresses: Vec<_> = match &self.0 {
            Kind::System => tokio::net::lookup_host((host, HTTPS)).await?.take(ADDRESSES_MAX).collect(),
            Kind::Fixed(names) => names.get(host).cloned().unwrap_or_default(),
        };
        if addresses.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(addresses) }
    }
}

/// Whether an address is one of the public internet.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    !SPECIAL.contains(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_or_nowhere_is_not_public() {
        let rows = [
            ("1.1.1.1", true),
            ("52.46.128.1", true),
            ("0.0.0.0", false),
            ("9.255.255.255", true),
            ("10.0.0.1", false),
            ("11.0.0.0", true),
            ("100.63.255.255", true),
            ("100.64.0.1", false),
            ("100.100.100.200", false),
            ("127.0.0.1", false),
            ("127.255.255.255", false),
            ("169.254.169.254", false),
            ("169.254.170.2", false),
            ("172.15.255.255", true),
            ("172.16.0.1", false),
            ("172.31.255.255", false),
            ("172.32.0.0", true),
            ("192.0.0.192", false),
            ("192.168.1.1", false),
            ("198.18.0.1", false),
            ("223.255.255.255", true),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("::7f00:1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:10.0.0.1", false),
            ("::ffff:1.1.1.1", true),
            ("64:ff9b::a00:1", false),
            ("100::1", false),
            ("2000::1", true),
            ("2001::1", false),
            ("2001:200::1", true),
            ("2001:db8::1", false),
            ("2002:7f00:1::", false),
            ("2600:1f00::1", true),
            ("3fff::1", false),
            ("3fff:1000::1", true),
            ("fc00::1", false),
            ("fd00:ec2::254", false),
            ("fe80::1", false),
            ("ff02::1", false),
        ];
        assert_eq!(SPECIAL_NETWORKS.iter().filter_map(|network| network.parse::<ipnet::IpNet>().ok()).count(), 22);
        for (address, public) in rows {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        }
    }
}
