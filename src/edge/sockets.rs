//! Every socket that a gateway listens on: bound here, or handed over by whoever started it, and not accepting yet.
//!
//! Sockets stand before the first worker does, so that a gateway that cannot listen never begins, and so that the rights that ports below 1024 need can be
//! given up in between.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use super::listen;
use super::serve::Listener;
use super::stream::{Listening, Owner};
use super::unix::{self, SocketFile};
use crate::forward::request::Protocol;

/// Where to listen.
#[derive(Debug, Default)]
pub struct Places {
    /// Addresses of TLS listeners; port 0 is chosen by the system.
    pub https: Vec<SocketAddr>,
    /// Addresses of plain listeners.
    pub http: Vec<SocketAddr>,
    /// Unix sockets, for proxies of this machine.
    pub unix: Vec<unix::Place>,
}

/// Sockets that listen already and go on to listen when this process is gone: a service manager's.
#[derive(Debug, Default)]
pub struct Handed {
    /// For TLS.
    pub https: Vec<TcpListener>,
    /// For plain HTTP.
    pub http: Vec<TcpListener>,
    /// For proxies of this machine.
    pub unix: Vec<UnixListener>,
}

/// Every socket of a gateway, a share for each worker.
#[derive(Debug)]
pub struct Sockets {
    shares: Vec<Vec<Listener>>,
    https: Vec<SocketAddr>,
    http: Vec<SocketAddr>,
    unix: Vec<PathBuf>,
    files: Vec<SocketFile>,
}

/// Why it cannot be listened somewhere.
#[derive(Debug, thiserror::Error)]
pub enum BindFault {
    /// At an address.
    #[error("cannot listen on {address}: {source}")]
    Address {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// At a path.
    #[error("cannot listen on {}: {source}", path.display())]
    Path {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// On a socket that was handed over.
    #[error("cannot listen on a socket that was handed over: {0}")]
    Handed(#[source] io::Error),
}

impl Sockets {
    /// Binds all places for so many workers.
    ///
    /// # Errors
    /// The first place that cannot be listened on; nothing is left listening then.
    pub fn bind(places: &Places, workers: usize) -> Result<Self, BindFault> {
        let mut sockets = Self {
            shares: (0..workers).map(|_| Vec::new()).collect(),
            https: Vec::new(),
            http: Vec::new(),
            unix: Vec::new(),
            files: Vec::new(),
        };
        // First, since they cannot be shared with another gateway that runs, as addresses can: who cannot have them takes none of its connections.
        for place in &places.unix {
            let fault = |source| BindFault::Path { path: place.path.clone(), source };
            let (file, bound) = unix::bind(place, workers).map_err(fault)?;
            sockets.unix.push(file.path().to_owned());
            sockets.files.push(file);
            sockets.share(bound.into_iter().map(Listening::Unix), Protocol::Http, Owner::Gateway);
        }
        sockets.https = sockets.bind_addresses(&places.https, Protocol::Https)?;
        sockets.http = sockets.bind_addresses(&places.http, Protocol::Http)?;
        Ok(sockets)
    }

    /// Takes what was handed over besides. All workers accept on each of these sockets.
    ///
    /// # Errors
    /// What the system says of one of them.
    pub fn take(&mut self, handed: Handed) -> Result<(), BindFault> {
        for (sockets, protocol) in [(handed.https, Protocol::Https), (handed.http, Protocol::Http)] {
            for socket in sockets {
                self.take_tcp(&socket, protocol).map_err(BindFault::Handed)?;
            }
        }
        for socket in handed.unix {
            self.take_unix(&socket).map_err(BindFault::Handed)?;
        }
        Ok(())
    }

    fn take_tcp(&mut self, socket: &TcpListener, protocol: Protocol) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        match protocol {
            Protocol::Https => self.https.push(address),
            Protocol::Http => self.http.push(address),
        }
        let handles = self.shares.iter().map(|_| socket.try_clone().map(Listening::Tcp));
        let handles = handles.collect::<io::Result<Vec<_>>>()?;
        self.share(handles, protocol, Owner::Manager);
        Ok(())
    }

    fn take_unix(&mut self, socket: &UnixListener) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        // One without a file has no path to be told by.
        self.unix.push(socket.local_addr()?.as_pathname().map(Path::to_owned).unwrap_or_default());
        let handles = self.shares.iter().map(|_| socket.try_clone().map(Listening::Unix));
        let handles = handles.collect::<io::Result<Vec<_>>>()?;
        self.share(handles, Protocol::Http, Owner::Manager);
        Ok(())
    }

    /// The addresses of the TLS listeners, with the ports that were chosen.
    #[must_use]
    pub fn https(&self) -> &[SocketAddr] {
        &self.https
    }

    /// The addresses of the plain listeners.
    #[must_use]
    pub fn http(&self) -> &[SocketAddr] {
        &self.http
    }

    /// The Unix sockets that are listened on.
    #[must_use]
    pub fn unix(&self) -> &[PathBuf] {
        &self.unix
    }

    /// The files of the Unix sockets that were made here.
    pub fn files(&self) -> impl Iterator<Item = &SocketFile> {
        self.files.iter()
    }

    /// How many descriptors stand for them.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        self.shares.iter().map(Vec::len).sum()
    }

    /// Each worker's share.
    pub(crate) fn take_shares(&mut self) -> Vec<Vec<Listener>> {
        std::mem::take(&mut self.shares)
    }

    /// Removes the files of Unix sockets, for the next gateway to have their places. What listens goes on.
    pub(crate) fn remove_files(&mut self) {
        self.files.clear();
    }

    /// Binds each address once for every worker.
    fn bind_addresses(&mut self, addresses: &[SocketAddr], protocol: Protocol) -> Result<Vec<SocketAddr>, BindFault> {
        let mut bound = Vec::new();
        for &address in addresses {
            let fault = |source| BindFault::Address { address, source };
            let sockets = listen::bind(address, self.shares.len()).map_err(fault)?;
            let first = sockets.first().map(TcpListener::local_addr).transpose().map_err(fault)?;
            bound.extend(first);
            self.share(sockets.into_iter().map(Listening::Tcp), protocol, Owner::Gateway);
        }
        Ok(bound)
    }

    /// Gives each worker one of these.
    fn share(&mut self, sockets: impl IntoIterator<Item = Listening>, protocol: Protocol, owner: Owner) {
        for (socket, share) in sockets.into_iter().zip(&mut self.shares) {
            share.push(Listener { socket, protocol, owner });
        }
    }
}
