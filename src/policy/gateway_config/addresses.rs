//! What the listeners need of each other: an address of their own, and TLS a certificate.

use std::net::{IpAddr, SocketAddr};

use super::{AcmeChallenge, GatewayConfig};
use crate::policy::table::parse::Fault;
use crate::policy::table::{Reader, Spanned};

/// A key, and an address that it names.
type Named<'c> = (&'static str, &'c Spanned<SocketAddr>);

/// Reports addresses that are named twice, and `https` without a certificate.
pub(super) fn check(top: &Reader<'_>, config: &GatewayConfig) {
    let named = addresses(config);
    for (position, (key, address)) in named.iter().enumerate() {
        // The system would deal connections out between them, or refuse the second.
        let taken = named[..position].iter().find(|(other, before)| {
            overlap(before.value, address.value) && (other != key || before.value == address.value)
        });
        let Some((other, before)) = taken else { continue };
        let message = if before.value == address.value {
            format!("address {} is named twice: {other} has it already", address.value)
        } else {
            format!("address {} is not free: {other} has it with {}", address.value, before.value)
        };
        let fault = Fault::new(message).hint("each listener has an address or a port of its own");
        top.error(Some(address.span.clone()), fault);
    }
    let https = config.listen.iter().flat_map(|listen| &listen.https).next();
    if let Some(first) = https.filter(|_| !top.has("tls") && !top.has("acme")) {
        let fault = Fault::new("https needs a certificate, and there is neither [[tls]] nor [acme]");
        let hint = "`hookward cert` makes one for development: name it in [[tls]]; [acme] has one issued";
        top.error(Some(first.span.clone()), fault.hint(hint));
    }
}

fn addresses(config: &GatewayConfig) -> Vec<Named<'_>> {
    let listen = config.listen.iter();
    let of_listen = listen.flat_map(|listen| [("https", &listen.https), ("http", &listen.http)]);
    let of_listen = of_listen.flat_map(|(key, list)| list.iter().map(move |address| (key, address)));
    let admin = config.admin.iter().map(|admin| ("[admin] listen", &admin.listen));
    let acme = config.acme.iter().filter_map(|acme| match &acme.challenge {
        AcmeChallenge::Http(address) => Some(("[acme] http", address)),
        AcmeChallenge::TlsAlpn => None,
    });
    of_listen.chain(admin).chain(acme).collect()
}

/// Whether a connection could come to either. Port 0 is another one each time.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let covers = |one: IpAddr, other: IpAddr| match one {
        IpAddr::V4(address) if address.is_unspecified() => other.to_canonical().is_ipv4(),
        // The gateway takes clients of IPv4 there, too.
        IpAddr::V6(address) if address.is_unspecified() => true,
        IpAddr::V4(_) | IpAddr::V6(_) => one.to_canonical() == other.to_canonical(),
    };
    one.port() == other.port() && one.port() != 0 && (covers(one.ip(), other.ip()) || covers(other.ip(), one.ip()))
}
