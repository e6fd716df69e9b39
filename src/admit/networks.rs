//! The networks that may send to a source: `[network]`.
//!
//! Compiled to sorted, disjoint ranges, so a provider's list of thousands of networks costs a dozen comparisons. A
//! source without a list takes any address; an empty list refuses all.

use std::net::IpAddr;

use ipnet::IpNet;

/// A set of networks. The empty one, which is the default, has no address in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks {
    v4: Box<[Range<u32>]>,
    v6: Box<[Range<u128>]>,
}

/// Who may send to a source. The default is anybody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkRules {
    /// Who may; `None`: anybody.
    pub allowed: Option<Networks>,
    /// Who may not, wherever else the address is listed.
    pub denied: Networks,
}

impl NetworkRules {
    /// Whether the address is one of those that are said to send.
    #[must_use]
    pub fn names(&self, address: IpAddr) -> bool {
        self.allowed.as_ref().is_some_and(|allowed| allowed.contains(address))
    }

    /// Whether deliveries from this address go on.
    #[must_use]
    pub fn admit(&self, address: IpAddr) -> bool {
        self.allowed.as_ref().is_none_or(|allowed| allowed.contains(address)) && !self.denied.contains(address)
    }
}

/// First and last address of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Range<A> {
    first: A,
    last: A,
}

impl Networks {
    /// The set of all addresses in any of these networks. Bits behind the prefix are ignored. A network of
    /// IPv4-mapped addresses (`::ffff:192.0.2.0/120`) is the IPv4 network it stands for; a wider one, such as
    /// `::/0`, means IPv6 addresses alone.
    #[must_use]
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match (network.network().to_canonical(), network.broadcast().to_canonical()) {
                (IpAddr::V4(first), IpAddr::V4(last)) => v4.push(Range { first: first.into(), last: last.into() }),
                (first, last) => v6.push(Range { first: v6_bits(first), last: v6_bits(last) }),
            }
        }
        Self { v4: disjoint(v4), v6: disjoint(v6) }
    }

    /// Whether the address lies in one of the networks. An IPv4-mapped address is the IPv4 address it stands for.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => covers(&self.v4, address.into()),
            IpAddr::V6(address) => covers(&self.v6, address.into()),
        }
    }
}

/// The bits of an IPv6 address; of an IPv4 one, where they stand among IPv6 addresses.
fn v6_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(address) => address.into(),
    }
}

fn disjoint<A: Copy + Ord>(mut ranges: Vec<Range<A>>) -> Box<[Range<A>]> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let overlap = next.first <= kept.last;
        if overlap {
            kept.last = kept.last.max(next.last);
        }
        overlap
    });
    ranges.into_boxed_slice()
}

fn covers<A: Copy + Ord>(ranges: &[Range<A>], address: A) -> bool {
    let after = ranges.partition_point(|range| range.first <= address);
    after > 0 && address <= ranges[after - 1].last
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    fn networks(list: &[&str]) -> Networks {
        Networks::new(list.iter().map(|network| network.parse().unwrap()))
    }

    #[test]
    fn an_address_is_in_the_set_from_the_first_to_the_last_of_a_network() {
        let rows: [(&[&str], &str, bool); 18] = [
            (&["192.30.252.0/22"], "192.30.251.255", false),
            (&["192.30.252.0/22"], "192.30.252.0", true),
            (&["192.30.252.0/22"], "192.30.255.255", true),
            (&["192.30.252.0/22"], "192.31.0.0", false),
            (&["192.0.2.7/24"], "192.0.2.0", true),
            (&["192.0.2.1/32"], "192.0.2.2", false),
            (&["0.0.0.0/0"], "255.255.255.255", true),
            (&["0.0.0.0/0"], "2001:db8::1", false),
            (&["::/0"], "2001:db8::1", true),
            (&["::/0"], "192.0.2.1", false),
            (&["::/0"], "::ffff:192.0.2.1", false),
            (&["::ffff:192.0.2.0/120"], "192.0.2.9", true),
            (&["192.0.2.0/24"], "::ffff:192.0.2.9", true),
            (&["2001:db8::/32"], "2001:db9::", false),
            (&["10.0.0.0/8", "10.1.0.0/16"], "10.200.0.1", true),
            (&["10.1.0.0/16", "10.0.0.0/16"], "10.1.255.255", true),
            (&["10.1.0.0/16", "10.3.0.0/16"], "10.2.0.0", false),
            (&[], "192.0.2.1", false),
        ];
        for (list, address, inside) in rows {
            assert_eq!(networks(list).contains(address.parse().unwrap()), inside, "{address} in {list:?}");
        }
    }

    #[test]
    fn what_is_denied_is_not_allowed_by_any_list() {
        let anybody = NetworkRules::default();
        let but = NetworkRules { denied: networks(&["192.0.2.0/24"]), ..anybody.clone() };
        let some = NetworkRules { allowed: Some(networks(&["192.0.0.0/16"])), ..but.clone() };
        let nobody = NetworkRules { allowed: Some(Networks::default()), ..anybody.clone() };
        let rows = [
            ("192.0.1.255", [true, true, true, false]),
            ("192.0.2.0", [true, false, false, false]),
            ("::ffff:192.0.2.255", [true, false, false, false]),
            ("192.0.3.0", [true, true, true, false]),
            ("192.1.0.0", [true, true, false, false]),
        ];
        for (address, expected) in rows {
            let found = [&anybody, &but, &some, &nobody].map(|rules| rules.admit(address.parse().unwrap()));
            assert_eq!(found, expected, "{address}");
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_asking_every_network(
            list in prop::collection::vec((any::<u32>(), 0_u8..=32), 0..40),
            addresses in prop::collection::vec(any::<u32>(), 20),
        ) {
            let list: Vec<IpNet> = list
                .into_iter()
                .map(|(bits, prefix)| IpNet::new(Ipv4Addr::from(bits & 0xff00_ffff).into(), prefix).unwrap())
                .collect();
            let networks = Networks::new(list.iter().copied());
            let edges = list.iter().flat_map(|network| [network.network(), network.broadcast()]);
            for address in addresses.into_iter().map(|bits| Ipv4Addr::from(bits).into()).chain(edges) {
                let inside = list.iter().any(|network| network.contains(&address));
                prop_assert_eq!(networks.contains(address), inside, "{}", address);
            }
        }
    }
}
