//! What the gateway listens on: bound, or handed over by a service manager, before the process gives anything up.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use super::activation;
use crate::acme;
use crate::admin;
use crate::cli::setup::Trouble;
use crate::edge::sockets::{BindFault, Places, Sockets};
use crate::edge::unix;
use crate::policy::gateway_config::{EdgeConfig, GatewayConfig, ListenConfig};
use crate::policy::table::Spanned;
use crate::reason::Level;
use crate::record::Telemetry;
use crate::server::{self, StartFault};

/// All of it.
pub(super) struct Listening {
    /// Where deliveries come in.
    pub(super) sockets: Sockets,
    /// The private listener.
    pub(super) admin: Option<TcpListener>,
    /// Where the authority looks at proofs, if it does over plain HTTP.
    pub(super) proofs: Option<TcpListener>,
}

impl Listening {
    /// Binds it all.
    ///
    /// # Errors
    /// [`Trouble`] if something cannot be bound, or there is nothing where deliveries could come in.
    pub(super) fn bind(listen: &ListenConfig, config: &GatewayConfig) -> Result<Self, Trouble> {
        // What no second process can have comes first: the public addresses can be shared, and from then on the system hands connections to this one.
        let admin = config.admin.as_ref().map(|admin| bind_admin(admin.listen.value)).transpose()?;
        let proofs = config.acme.as_ref().map(acme::bind).transpose().map_err(|error| unusable_acme(&error))?.flatten();
        Ok(Self { sockets: sockets(listen, &config.edge)?, admin, proofs })
    }
}

/// Why there is no `[acme]`.
pub(super) fn unusable_acme(error: &io::Error) -> Trouble {
    Trouble::Other(format!("cannot set up [acme]: {error}"))
}

/// A line for each address and path.
pub(super) fn tell_listening(telemetry: &Telemetry, sockets: &Sockets, admin: Option<&TcpListener>) {
    for (what, addresses) in [("https", sockets.https()), ("http", sockets.http())] {
        for address in addresses {
            telemetry.event(Level::Info, "listening", &[("protocol", &what), ("address", address)]);
        }
    }
    for path in sockets.unix() {
        telemetry.event(Level::Info, "listening", &[("protocol", &"http"), ("path", &path.display())]);
    }
    if let Some(address) = admin.and_then(|socket| socket.local_addr().ok()) {
        telemetry.event(Level::Info, "listening", &[("protocol", &"admin"), ("address", &address)]);
    }
}

/// Binds what `[listen]` names. Of what a service manager hands over, a kind takes the place of the addresses of that kind.
fn sockets(listen: &ListenConfig, edge: &EdgeConfig) -> Result<Sockets, Trouble> {
    let handed = activation::handed()?;
    if !handed.http.is_empty() && listen.trusted_proxies.is_empty() {
        return Err(Trouble::Other(
            "a plain socket was handed over, and [listen] has no trusted_proxies: nobody could use it\n\
             hint: hand over https, or name the proxy's network in trusted_proxies"
                .to_owned(),
        ));
    }
    let places = Places {
        https: if handed.https.is_empty() { addresses(&listen.https) } else { Vec::new() },
        http: if handed.http.is_empty() { addresses(&listen.http) } else { Vec::new() },
        unix: if handed.unix.is_empty() { unix_sockets(listen) } else { Vec::new() },
    };
    let mut sockets = Sockets::bind(&places, server::workers(edge)).map_err(StartFault::from)?;
    sockets.take(handed).map_err(StartFault::from)?;
    if sockets.descriptors() == 0 {
        return Err(Trouble::Other("[listen] names no address, and no socket was handed over".to_owned()));
    }
    Ok(sockets)
}

fn bind_admin(address: SocketAddr) -> Result<TcpListener, Trouble> {
    admin::bind(address).map_err(|source| StartFault::from(BindFault::Address { address, source }).into())
}

fn addresses(list: &[Spanned<SocketAddr>]) -> Vec<SocketAddr> {
    list.iter().map(|address| address.value).collect()
}

fn unix_sockets(listen: &ListenConfig) -> Vec<unix::Place> {
    let place = |path: &Spanned<PathBuf>| unix::Place { path: path.value.clone(), mode: listen.unix_mode };
    listen.unix.iter().map(place).collect()
}
