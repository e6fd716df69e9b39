//! Why an upstream gave no answer, and what that says of it.

use std::io;

use rustix::io::Errno;

use crate::forward::lookups::{Counted, LookupFault};
use crate::forward::targets::Seen;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeFault {
    /// The upstream's name leads nowhere; nothing was sent.
    #[error("cannot look up the name")]
    Unresolved(#[source] LookupFault),
    /// No connection could be made; nothing was sent.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// The gateway itself lacks what a connection takes; nothing was sent.
    #[error("cannot begin to connect")]
    Starved(#[source] Shortage),
    /// Each connection ended before anything was sent on it.
    #[error("connections end at once")]
    Unsent(#[source] hyper::Error),
    /// The exchange broke off after something was sent, or the answer is not HTTP.
    #[error("the exchange broke off")]
    Broken(#[source] hyper::Error),
    /// The answer does not say clearly where it ends.
    #[error("the answer's end is ambiguous")]
    Ambiguous,
    /// The answer's body is longer than the limit.
    #[error("the answer's body is too long")]
    AnswerTooLarge,
}

/// What the gateway has none left of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Shortage {
    /// Open files and sockets, of the process or of the machine.
    #[error("the gateway has no file descriptor left for a connection")]
    Descriptors,
    /// Ports at its own end of a connection, or an address to connect from.
    #[error("the gateway has no local port or address left for a connection")]
    Ports,
    /// Memory of the kernel.
    #[error("the gateway has no memory left for a connection")]
    Memory,
}

impl ExchangeFault {
    /// Whether nothing of the request was sent, so that another upstream may have it.
    #[must_use]
    pub const fn is_unsent(&self) -> bool {
        match self {
            Self::Unresolved(_) | Self::Connect(_) | Self::Starved(_) | Self::Unsent(_) => true,
            Self::Broken(_) | Self::Ambiguous | Self::AnswerTooLarge => false,
        }
    }

    /// What it says of the upstream. A look-up that fails, or goes on for as long as somebody waits for it, is one failure, however many deliveries wait
    /// beside that one: a name server's bad moment opens no circuit, and one that stays dead does. What the gateway lacks itself says nothing.
    #[must_use]
    pub const fn seen(&self) -> Seen {
        match self {
            Self::Unresolved(fault) => match fault.counted {
                Counted::Here => Seen::Unreached,
                Counted::Elsewhere => Seen::Unclear,
            },
            Self::Connect(_) | Self::Unsent(_) => Seen::Unreached,
            Self::Starved(_) => Seen::Unclear,
            Self::Broken(_) | Self::Ambiguous | Self::AnswerTooLarge => Seen::Faulty,
        }
    }

    /// What came of connecting in vain to one address after the other. Where the gateway could ask for one of them, that tells of the upstream,
    /// whatever it lacked for another: a machine without IPv6 has no address for half of `localhost`.
    pub(super) fn unconnected(errors: impl IntoIterator<Item = io::Error>) -> Self {
        let (mut lacking, mut told) = (None, None);
        for error in errors {
            match Shortage::of(&error) {
                Some(shortage) => lacking = Some(shortage),
                None => told = Some(error),
            }
        }
        match (told, lacking) {
            (None, Some(shortage)) => Self::Starved(shortage),
            (told, _) => Self::Connect(told.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into())),
        }
    }
}

impl Shortage {
    /// What the system was short of when it said this; absent: of nothing.
    fn of(error: &io::Error) -> Option<Self> {
        match Errno::from_io_error(error)? {
            Errno::MFILE | Errno::NFILE => Some(Self::Descriptors),
            Errno::ADDRNOTAVAIL => Some(Self::Ports),
            Errno::NOBUFS | Errno::NOMEM => Some(Self::Memory),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_gateway_lacks_itself_is_held_against_no_upstream() {
        let rows: [(&[Errno], Seen, Option<Shortage>); 12] = [
            (&[Errno::MFILE], Seen::Unclear, Some(Shortage::Descriptors)),
            (&[Errno::NFILE], Seen::Unclear, Some(Shortage::Descriptors)),
            (&[Errno::ADDRNOTAVAIL], Seen::Unclear, Some(Shortage::Ports)),
            (&[Errno::NOBUFS], Seen::Unclear, Some(Shortage::Memory)),
            (&[Errno::NOMEM], Seen::Unclear, Some(Shortage::Memory)),
            (&[Errno::CONNREFUSED], Seen::Unreached, None),
            (&[Errno::ADDRINUSE], Seen::Unreached, None),
            (&[Errno::NETUNREACH], Seen::Unreached, None),
            // The backlog of a Unix socket is full.
            (&[Errno::AGAIN], Seen::Unreached, None),
            (&[Errno::ADDRNOTAVAIL, Errno::MFILE], Seen::Unclear, Some(Shortage::Descriptors)),
            (&[Errno::CONNREFUSED, Errno::ADDRNOTAVAIL], Seen::Unreached, None),
            (&[Errno::ADDRNOTAVAIL, Errno::CONNREFUSED], Seen::Unreached, None),
        ];
        for (errors, seen, lacking) in rows {
            let fault = ExchangeFault::unconnected(errors.iter().map(|errno| io::Error::from(*errno)));
            assert_eq!(fault.seen(), seen, "{errors:?}");
            assert!(fault.is_unsent(), "{errors:?}");
            let found = if let ExchangeFault::Starved(shortage) = fault { Some(shortage) } else { None };
            assert_eq!(found, lacking, "{errors:?}");
        }
        // Nor is it a shortage where nothing is left of what a name led to.
        let nowhere = ExchangeFault::unconnected([io::ErrorKind::AddrNotAvailable.into()]);
        assert_eq!(nowhere.seen(), Seen::Unreached);
        assert_eq!(ExchangeFault::unconnected([]).seen(), Seen::Unreached);
    }
}
