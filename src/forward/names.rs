//! Names of hosts on the internet → addresses, and which addresses are there at all.
//!
//! Upstreams are the operator's, and are where he says, with one exception: nobody's app is where clouds hand out credentials, so a name that leads there is
//! followed only where the policy says so ([`is_link_local`]). For a host that a request had a say in, the answer of a name server must not lead
//! into any of the gateway's own networks ([`is_public`]).

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
static SPECIAL: LazyLock<Networks> = LazyLock::new(|| networks(&SPECIAL_NETWORKS));

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

/// Where a machine's own credentials and settings are told to whoever asks from it: link-local addresses, and those that clouds use for the same.
static LINK_LOCAL: LazyLock<Networks> = LazyLock::new(|| networks(&LINK_LOCAL_NETWORKS));

const LINK_LOCAL_NETWORKS: [&str; 8] = [
    "169.254.0.0/16",
    "fe80::/10",
    // The first of these again, behind NAT64.
    "64:ff9b::a9fe:0/112",
    // Alibaba, Azure, Oracle, AWS, Google.
    "100.100.100.200/32",
    "168.63.129.16/32",
    "192.0.0.192/32",
    "fd00:ec2::/32",
    "fd20:ce::254/128",
];

fn networks(list: &[&str]) -> Networks {
    Networks::new(list.iter().filter_map(|network| network.parse().ok()))
}

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

/// Addresses of an upstream, without those that are link-local.
///
/// # Errors
/// That of the system; `AddrNotAvailable` where nothing is left. The caller sets the deadline.
pub async fn upstream(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::net::lookup_host((host, port)).await?.take(ADDRESSES_MAX);
    let addresses: Vec<_> = found.filter(|address| !is_link_local(address.ip())).collect();
    if addresses.is_empty() { Err(io::ErrorKind::AddrNotAvailable.into()) } else { Ok(addresses) }
}

/// Whether an address is link-local, or one at which a cloud tells a machine its credentials.
#[must_use]
pub fn is_link_local(address: IpAddr) -> bool {
    LINK_LOCAL.contains(address)
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
    fn what_tells_credentials_is_link_local_and_its_neighbours_are_not() {
        let rows = [
            ("169.253.255.255", false),
            ("169.254.0.0", true),
            ("169.254.169.254", true),
            ("169.254.255.255", true),
            ("169.255.0.0", false),
            ("::ffff:169.254.169.254", true),
            ("64:ff9b::169.254.169.254", true),
            ("64:ff9b::169.253.169.254", false),
            ("fe7f:ffff::1", false),
            ("fe80::1", true),
            ("febf::1", true),
            ("fec0::1", false),
            ("100.100.100.199", false),
            ("100.100.100.200", true),
            ("168.63.129.16", true),
            ("168.63.129.17", false),
            ("192.0.0.192", true),
            ("fd00:ec2::254", true),
            ("fd00:ec3::254", false),
            ("fd20:ce::254", true),
            ("fd20:ce::253", false),
            ("127.0.0.1", false),
            ("::1", false),
            ("10.0.0.1", false),
            ("192.168.1.1", false),
            ("fd12:3456::1", false),
            ("1.1.1.1", false),
        ];
        assert_eq!(LINK_LOCAL_NETWORKS.iter().filter_map(|network| network.parse::<ipnet::IpNet>().ok()).count(), 8);
        for (address, link_local) in rows {
            assert_eq!(is_link_local(address.parse().unwrap()), link_local, "{address}");
        }
    }

    /// Spellings of 169.254.169.254 that are no address to a URL, and are one to the system.
    #[tokio::test]
    async fn a_name_that_leads_to_a_link_local_address_leads_nowhere() {
        for host in ["169.254.169.254", "0xa9fea9fe", "2852039166", "169.254.43518", "fe80::1"] {
            let found = upstream(host, 80).await.map_err(|error| error.kind());
            assert_eq!(found, Err(io::ErrorKind::AddrNotAvailable), "{host}");
        }
        for (host, address) in [("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]:80"), ("0x7f000001", "127.0.0.1:80")] {
            assert_eq!(upstream(host, 80).await.unwrap(), [address.parse().unwrap()], "{host}");
        }
    }

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
