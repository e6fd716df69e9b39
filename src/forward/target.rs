//! Where clean deliveries go: an upstream's address, fixed when policies load.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use http::{HeaderValue, Uri};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::admit::reach::Reach;

/// An upstream and the path on it. The request's Host never chooses it.
#[derive(Clone)]
pub struct Target {
    /// How to reach it.
    pub transport: Transport,
    /// Path and query of the upstream request, in origin form.
    pub path: Uri,
    /// The value of Host.
    pub host: HeaderValue,
    /// Where it is, for people: scheme and authority, or the socket; no path of a request.
    pub name: Arc<str>,
    /// The connections that may be shared: equal for targets on one upstream.
    pub pool_key: Arc<str>,
}

/// How an upstream is reached.
#[derive(Clone)]
pub enum Transport {
    /// Plain HTTP/1.1 over TCP.
    Tcp(At),
    /// HTTP/1.1 over TLS.
    Tls {
        /// Where.
        at: At,
        /// The name its certificate must have.
        name: ServerName<'static>,
        /// Which authorities are trusted.
        config: Arc<ClientConfig>,
    },
    /// Plain HTTP/1.1 over a Unix socket.
    Unix(PathBuf),
}

/// Where a TCP connection leads.
#[derive(Clone)]
pub enum At {
    /// To a name or an address, which the system looks up: see [`Lookups`](super::lookups::Lookups).
    Host {
        /// Name or address.
        host: Arc<str>,
        /// Port.
        port: u16,
        /// How far its name may lead.
        reach: Reach,
    },
    /// To the first of these that can be reached.
    Addresses(Arc<[SocketAddr]>),
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("name", &self.name).field("path", &self.path).finish_non_exhaustive()
    }
}
