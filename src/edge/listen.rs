//! Listening sockets at addresses: every worker has its own on the same one.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::AsFd;

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait for `accept`, for each socket.
pub(super) const BACKLOG: i32 = 1024;

/// Whether `accept` failed for the sake of one connection that has ended, or was refused, before it was taken.
pub(super) fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(error.kind(), K::ConnectionAborted | K::ConnectionReset | K::ConnectionRefused | K::Interrupted)
}

/// Keeps new connections from beginning at this listening socket; those that have begun go on and can be accepted.
///
/// A listening socket that is closed resets what waits in its queue, and connections come until it is closed. With this they stop coming first: the system
/// drops what asks for one, and the client asks again a second later, when another listener at the address answers, or none. Where the system
/// does not know how, it is as if this were not done.
#[cfg(target_os = "linux")]
pub(super) fn close_to_new(socket: &impl AsFd) {
    use socket2::{SockFilter, SockRef};

    // In the instructions of `linux/filter.h`; a filter sees the TCP header first.
    let all_but_new = [
        // The byte of flags; of them SYN and ACK.
        SockFilter::new(0x30, 0, 0, 13),
        SockFilter::new(0x54, 0, 0, 0x12),
        // SYN alone: dropped. Else taken whole.
        SockFilter::new(0x15, 0, 1, 0x02),
        SockFilter::new(0x06, 0, 0, 0),
        SockFilter::new(0x06, 0, 0, u32::MAX),
    ];
    let _ = SockRef::from(socket).attach_filter(&all_but_new);
}

/// Other systems have no such filter.
#[cfg(not(target_os = "linux"))]
pub(super) fn close_to_new(_socket: &impl AsFd) {}

/// Binds `workers` sockets to one address (`SO_REUSEPORT`). Port 0 is chosen once and shared by all. At `[::]` clients of IPv4 are taken, too, whatever the
/// system's `bindv6only` says.
///
/// # Errors
/// What the system says: the address is taken, or not allowed.
pub fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    let first = bind_one(address)?;
    let address = first.local_addr()?;
    let others = (1..workers).map(|_| bind_one(address)).collect::<io::Result<Vec<_>>>()?;
    Ok(std::iter::once(first).chain(others).collect())
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::net::TcpStream;
    use std::time::Duration;

    #[test]
    fn at_the_unspecified_address_of_ipv6_clients_of_ipv4_are_taken_too() {
        let Ok(sockets) = bind((Ipv6Addr::UNSPECIFIED, 0).into(), 2) else {
            // A machine without IPv6.
            assert!(TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).is_err());
            return;
        };
        for socket in &sockets {
            assert!(!socket2::SockRef::from(socket).only_v6().unwrap());
        }
        let port = sockets[0].local_addr().unwrap().port();
        for address in [SocketAddr::from(([127, 0, 0, 1], port)), (Ipv6Addr::LOCALHOST, port).into()] {
            TcpStream::connect(address).unwrap();
        }
    }

    #[test]
    fn what_had_begun_can_be_accepted_and_nothing_new_begins() {
        let old = bind(([127, 0, 0, 1], 0).into(), 1).unwrap().remove(0);
        let address = old.local_addr().unwrap();
        let had_begun = TcpStream::connect(address).unwrap();
        close_to_new(&old);
        let refused = TcpStream::connect_timeout(&address, Duration::from_millis(50)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
        assert_eq!(old.accept().unwrap().1, had_begun.local_addr().unwrap());
        assert_eq!(old.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
