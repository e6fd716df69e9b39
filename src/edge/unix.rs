//! Listening on Unix sockets: the file that stands for one, from its making to its end.
//!
//! Who may open the file is a proxy of this machine ([`Peer::Local`](crate::gateway::Peer)), so its mode is part of the gateway's defence: it is right before
//! the first connection can be made. All workers accept on one socket, since nothing spreads connections over several at one path.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use super::listen::BACKLOG;

/// A Unix socket to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Where its file is made.
    pub path: PathBuf,
    /// Who may open it: permission bits as the file system has them.
    pub mode: u32,
}

/// The file of a socket that is listened on; removed on drop, unless another one has taken its place.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Makes a socket at this place, with a handle for each of `workers`. A socket on which nobody listens any more is replaced.
///
/// # Errors
/// `AddrInUse` where somebody listens, `AlreadyExists` where something else than a socket stands, else what the system says; nothing is left then.
pub fn bind(place: &Place, workers: usize) -> io::Result<(SocketFile, Vec<UnixListener>)> {
    remove_stale(&place.path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(&place.path)?)?;
    let file = SocketFile::at(&place.path)?;
    // Nobody can connect before `listen`, however the file was made.
    file.set_mode(place.mode)?;
    socket.listen(BACKLOG)?;
    let first = UnixListener::from(socket);
    let others = (1..workers).map(|_| first.try_clone()).collect::<io::Result<Vec<_>>>()?;
    Ok((file, std::iter::once(first).chain(others).collect()))
}

/// Removes what a gateway left that could not tidy up. What answers, or is no socket, stays.
fn remove_stale(path: &Path) -> io::Result<()> {
    let there = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        there => there?,
    };
    if !there.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "what stands there is not a socket"));
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A listener whose queue is full must not hold up the start.
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        Ok(()) | Err(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens there")),
    }
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        let made = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), device: made.dev(), inode: made.ino() })
    }

    /// Lets those open it whom these bits say.
    #[cfg(target_os = "linux")]
    fn set_mode(&self, mode: u32) -> io::Result<()> {
        use std::os::fd::AsRawFd as _;

        let there = self.find()?;
        fs::set_permissions(format!("/proc/self/fd/{}", there.as_raw_fd()), Permissions::from_mode(mode))
    }

    #[cfg(not(target_os = "linux"))]
    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.check(&fs::symlink_metadata(&self.path)?)?;
        fs::set_permissions(&self.path, Permissions::from_mode(mode))
    }

    /// Makes it this user's and this group's.
    ///
    /// # Errors
    /// Something else has taken its place, or what the system says.
    #[cfg(target_os = "linux")]
    pub fn set_owner(&self, uid: u32, gid: u32) -> io::Result<()> {
        use rustix::fs::{AtFlags, Gid, Uid, chownat};

        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        Ok(chownat(self.find()?, c"", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?)
    }

    /// The same, as far as the system helps.
    ///
    /// # Errors
    /// Something else has taken its place, or what the system says.
    #[cfg(not(target_os = "linux"))]
    pub fn set_owner(&self, uid: u32, gid: u32) -> io::Result<()> {
        self.check(&fs::symlink_metadata(&self.path)?)?;
        std::os::unix::fs::lchown(&self.path, Some(uid), Some(gid))
    }

    /// The file itself, to change it. Whoever may write to its folder may have put something else in its place meanwhile: that is left alone.
    #[cfg(target_os = "linux")]
    fn find(&self) -> io::Result<fs::File> {
        use rustix::fs::{Mode, OFlags, open};

        // What this finds is what is changed: a name is looked up once, and a link is not followed.
        let there = fs::File::from(open(&self.path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?);
        self.check(&there.metadata()?)?;
        Ok(there)
    }

    /// Whether this is the file that was made.
    fn check(&self, there: &fs::Metadata) -> io::Result<()> {
        if self.is(there) && there.file_type().is_socket() {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else has taken its place"))
    }

    fn is(&self, there: &fs::Metadata) -> bool {
        there.dev() == self.device && there.ino() == self.inode
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|there| self.is(&there)) {
            // What cannot be removed is found stale by the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn place(folder: &tempfile::TempDir, mode: u32) -> Place {
        Place { path: folder.path().join("gateway.sock"), mode }
    }

    #[test]
    fn only_a_socket_that_nobody_answers_on_is_replaced() {
        type Before = fn(&Path) -> Option<UnixListener>;
        let rows: [(&str, Before, Result<(), io::ErrorKind>); 5] = [
            ("nothing", |_| None, Ok(())),
            (
                "a stale socket",
                |path| {
                    drop(UnixListener::bind(path).unwrap());
                    None
                },
                Ok(()),
            ),
            ("a live socket", |path| Some(UnixListener::bind(path).unwrap()), Err(io::ErrorKind::AddrInUse)),
            (
                "a file",
                |path| {
                    fs::write(path, "kept").unwrap();
                    None
                },
                Err(io::ErrorKind::AlreadyExists),
            ),
            (
                "a link to a stale socket",
                |path| {
                    let other = path.with_extension("other");
                    drop(UnixListener::bind(&other).unwrap());
                    std::os::unix::fs::symlink(&other, path).unwrap();
                    None
                },
                Err(io::ErrorKind::AlreadyExists),
            ),
        ];
        for (name, before, expected) in rows {
            let folder = tempfile::tempdir().unwrap();
            let place = place(&folder, 0o660);
            let _kept = before(&place.path);
            let bound = bind(&place, 2);
            let found = bound.as_ref().map(|(_, listeners)| listeners.len()).map_err(io::Error::kind);
            assert_eq!(found, expected.map(|()| 2), "{name}");
            assert!(fs::symlink_metadata(&place.path).is_ok(), "{name}: ours, or what was there");
        }
    }

    #[test]
    fn the_file_has_its_mode_and_goes_with_the_gateway() {
        for mode in [0o600, 0o660, 0o666] {
            let folder = tempfile::tempdir().unwrap();
            let place = place(&folder, mode);
            let (file, listeners) = bind(&place, 1).unwrap();
            assert_eq!(fs::symlink_metadata(&place.path).unwrap().mode() & 0o7777, mode);
            assert!(UnixStream::connect(&place.path).is_ok());
            drop((file, listeners));
            assert!(fs::symlink_metadata(&place.path).is_err(), "{mode:o}");
        }
    }

    /// Whoever may write to the folder must not choose whose mode is changed, nor whose owner.
    #[test]
    fn the_mode_and_the_owner_of_what_took_its_place_are_left_alone() {
        type Swap = fn(&Path, &Path);
        type Change<'c> = &'c dyn Fn(&SocketFile) -> io::Result<()>;
        let rows: [(&str, Swap, bool); 5] = [
            ("nothing", |_, _| {}, true),
            (
                "a link",
                |path, other| {
                    fs::remove_file(path).unwrap();
                    std::os::unix::fs::symlink(other, path).unwrap();
                },
                false,
            ),
            (
                "a second name of a file",
                |path, other| {
                    fs::remove_file(path).unwrap();
                    fs::hard_link(other, path).unwrap();
                },
                false,
            ),
            ("a file", |path, other| fs::rename(other, path).unwrap(), false),
            (
                "another socket",
                |path, other| {
                    drop(UnixListener::bind(other.with_extension("other")).unwrap());
                    fs::rename(other.with_extension("other"), path).unwrap();
                },
                false,
            ),
        ];
        // Root alone can give a file away; others may only keep it.
        let is_root = rustix::process::geteuid().is_root();
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let (uid, gid) = if is_root { (65_534, 65_534) } else { (uid, gid) };
        let set_mode = |file: &SocketFile| file.set_mode(0o666);
        let set_owner = |file: &SocketFile| file.set_owner(uid, gid);
        let changes: [(&str, Change<'_>, bool); 2] = [("mode", &set_mode, true), ("owner", &set_owner, is_root)];
        for ((name, swap, changed), (what, change, shows)) in
            rows.iter().flat_map(|row| changes.iter().map(move |change| (row, change)))
        {
            let folder = tempfile::tempdir().unwrap();
            let (path, other) = (folder.path().join("gateway.sock"), folder.path().join("theirs"));
            let _listener = UnixListener::bind(&path).unwrap();
            fs::write(&other, "theirs").unwrap();
            fs::set_permissions(&other, Permissions::from_mode(0o600)).unwrap();
            let file = SocketFile::at(&path).unwrap();
            swap(&path, &other);
            let there = |path: &Path| fs::metadata(path).map(|there| (there.mode() & 0o7777, there.uid(), there.gid()));
            let both = || (there(&path).ok(), there(&other).ok());
            let before = both();
            assert_eq!(change(&file).is_ok(), *changed, "{what}: {name}");
            assert_eq!(both() != before, changed & shows, "{what}: {name}");
        }
        // What was a link from the beginning is no socket of ours, whatever it leads to.
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("gateway.sock"), folder.path().join("theirs"));
        let _listener = UnixListener::bind(&other).unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        let file = SocketFile::at(&path).unwrap();
        for (what, change, _) in changes {
            assert!(change(&file).is_err(), "{what}");
        }
    }

    #[test]
    fn a_file_that_took_its_place_stays() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder, 0o660);
        let (file, _listeners) = bind(&place, 1).unwrap();
        fs::rename(&place.path, place.path.with_extension("away")).unwrap();
        let successor = UnixListener::bind(&place.path).unwrap();
        drop(file);
        assert!(UnixStream::connect(&place.path).is_ok());
        drop(successor);
    }
}
