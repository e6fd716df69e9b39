//! Names of hosts → addresses, by the system or by a test. Which of them may be gone to is said in [`reach`](crate::admit::reach).

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// Where the addresses of names come from. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Names(Kind);

#[derive(Debug, Clone, Default)]
enum Kind {
    #[default]
    System,
    Fixed(Arc<HashMap<Box<str>, Vec<SocketAddr>>>),
    Silent,
}

/// Of more addresses than these the rest is not looked at.
const ADDRESSES_MAX: usize = 16;

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

    /// None, and no answer either, for tests.
    #[must_use]
    pub const fn silent() -> Self {
        Self(Kind::Silent)
    }

    /// Where this host is, with this port; never an empty list.
    ///
    /// # Errors
    /// That of the system; `NotFound` where it knows no address. The caller sets the deadline.
    pub async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let addresses: Vec<_> = match &self.0 {
            Kind::System => tokio::net::lookup_host((host, port)).await?.take(ADDRESSES_MAX).collect(),
            Kind::Fixed(names) => names.get(host).cloned().unwrap_or_default(),
            Kind::Silent => std::future::pending().await,
        };
        if addresses.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(addresses) }
    }
}
