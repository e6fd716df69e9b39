//! Sockets that a service manager opened and hands over (systemd's socket activation, `sd_listen_fds(3)`).
//!
//! They are open before the gateway is and when it is gone: connections that come in between wait in their queues, so a restart refuses nobody. The name of a
//! socket (`FileDescriptorName=`) says what is spoken on it, as the keys of `[listen]` do.

use std::env;

use listenfd::ListenFd;

use crate::cli::setup::Trouble;
use crate::edge::sockets::Handed;

/// Takes what was handed over to this process, which is nothing where no manager did.
///
/// # Errors
/// A socket with a name that means nothing here, or of another kind than its name says.
pub(super) fn handed() -> Result<Handed, Trouble> {
    // Without a process id, sockets are meant for whoever comes along. Asked first: whoever takes them removes these variables.
    let (process, names) = (env::var_os("LISTEN_PID"), env::var("LISTEN_FDNAMES").unwrap_or_default());
    if process.is_none_or(|process| process.is_empty()) {
        return Ok(Handed::default());
    }
    let mut sockets = ListenFd::from_env();
    let mut names = names.split(':');
    let mut handed = Handed::default();
    for position in 0..sockets.len() {
        let name = names.next().unwrap_or_default();
        let fault = |error| Trouble::Other(format!("the socket {name:?} that was handed over cannot be used: {error}"));
        match name {
            "https" => handed.https.extend(sockets.take_tcp_listener(position).map_err(fault)?),
            "http" => handed.http.extend(sockets.take_tcp_listener(position).map_err(fault)?),
            "unix" => handed.unix.extend(sockets.take_unix_listener(position).map_err(fault)?),
            _ => {
                return Err(Trouble::Other(format!(
                    "a socket named {name:?} was handed over, and only https, http and unix mean something\n\
                     hint: set FileDescriptorName=https in the socket's unit"
                )));
            }
        }
    }
    Ok(handed)
}
