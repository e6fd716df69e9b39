//! Whom the gateway becomes once it listens: root binds ports below 1024, and nobody serves strangers as root.
//!
//! **Invariant:** rights are given up before the process has a second thread, or it does not start: the system changes them thread by thread.

use std::fs;
use std::io;

use rustix::process::{geteuid, getuid};

use crate::cli::users::User;
use crate::edge::unix::SocketFile;

/// Becomes this user for good, if the process is root's; else it has to be that user already. `theirs` are files that will be this user's: whoever
/// acts as that user may have changed their folder already.
///
/// # Errors
/// There is no such user, the process may not become it, or it has other threads.
pub(super) fn become_user<'f>(name: &str, theirs: impl Iterator<Item = &'f SocketFile>) -> io::Result<()> {
    let user = User::find(name)?
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no such user in /etc/passwd"))?;
    if user.uid == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it has all rights, and the point is to have few"));
    }
    if !is_root() {
        let ours = getuid().as_raw() == user.uid && geteuid().as_raw() == user.uid;
        let fault = || io::Error::new(io::ErrorKind::PermissionDenied, "only root may become another user");
        return if ours { Ok(()) } else { Err(fault()) };
    }
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("the process has more than one thread"));
    }
    for file in theirs {
        file.set_owner(user.uid, user.gid)?;
    }
    become_for_good(&user)
}

/// Gives up all other rights of the only thread that there is.
#[cfg(target_os = "linux")]
fn become_for_good(user: &User) -> io::Result<()> {
    use rustix::process::{Gid, Uid};
    use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid, set_thread_uid};

    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    let groups: Vec<_> = user.groups.iter().copied().map(Gid::from_raw).collect();
    set_thread_groups(&groups)?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    match set_thread_uid(Uid::ROOT) {
        Ok(()) => Err(io::Error::other("it can still become root again")),
        Err(_) => Ok(()),
    }
}

/// Other systems change whole processes, by calls that are not safe.
#[cfg(not(target_os = "linux"))]
fn become_for_good(_user: &User) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether the process has all rights.
pub(super) fn is_root() -> bool {
    geteuid().is_root()
}
