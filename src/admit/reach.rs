//! Which addresses a host's name may lead to.
//!
//! Upstreams are the operator's, and are where he says, with one exception: nobody's app is where clouds hand out credentials, so a name that leads there is
//! followed only where the policy says so ([`Reach`]). For a host that a request had a say in, the answer of a name server must not lead
//! into any of the gateway's own networks ([`is_public`]).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};

use super::networks::Networks;

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

/// How far an upstream's name may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Anywhere but to link-local addresses: see [`is_link_local`].
    Ordinary,
    /// To these as well.
    LinkLocal,
}

impl Reach {
    /// Those of the addresses that are within it.
    ///
    /// # Errors
    /// `AddrNotAvailable` where nothing is left.
    pub fn within(self, found: Arc<[SocketAddr]>) -> io::Result<Arc<[SocketAddr]>> {
        let is_within = |address: &SocketAddr| match self {
            Self::Ordinary => !is_link_local(address.ip()),
            Self::LinkLocal => true,
        };
        if found.iter().all(is_within) {
            return Ok(found);
        }
        let left: Arc<[_]> = found.iter().copied().filter(is_within).collect();
        if left.is_empty() { Err(io::ErrorKind::AddrNotAvailable.into()) } else { Ok(left) }
    }
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

    /// A name server may answer the second question otherwise than the first.
    #[test]
    fn of_good_and_bad_addresses_the_good_ones_are_left() {
        let of = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect::<Arc<[SocketAddr]>>();
        let (mixed, good) =
            (["169.254.169.254:80", "10.0.0.1:80", "[fe80::1]:80", "[::1]:80"], ["10.0.0.1:80", "[::1]:80"]);
        assert_eq!(Reach::Ordinary.within(of(&mixed)).unwrap(), of(&good));
        assert_eq!(Reach::Ordinary.within(of(&good)).unwrap(), of(&good));
        assert_eq!(Reach::LinkLocal.within(of(&mixed)).unwrap(), of(&mixed));
        let nowhere = Reach::Ordinary.within(of(&mixed[..1])).map_err(|error| error.kind());
        assert_eq!(nowhere, Err(io::ErrorKind::AddrNotAvailable));
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
