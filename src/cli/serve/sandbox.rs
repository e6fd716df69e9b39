//! What the process gives up for good before it takes a connection: starting programs that are files, binding further TCP ports, sending signals to other
//! processes, and making, writing and removing files but in the places that its configuration has it write to. The kernel holds it to that (Landlock), whatever
//! becomes of the gateway's own code.
//!
//! Reading stays free, since a reload may name policies, certificates and secrets anywhere. So do connections: to upstreams, resolvers, the service manager.
//! What Landlock does not look at stays free as well: programs in memory (`memfd_create`), ports that the system chooses for a socket without an address.
//!
//! **Invariant:** it is entered while the process has one thread, or says that it was not. The kernel confines the thread that asks, and those that it starts
//! from then on.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{self, Path, PathBuf};

use crate::cli::written::{Right, Written};
use crate::reason::Level;
use crate::record::Telemetry;
use crate::whole_file::folder_of;

/// What was given up, until the process ends.
pub(super) struct Sandbox {
    extent: Extent,
    /// What can be written to all the same.
    writable: Vec<Place>,
    /// What could not be made, and so cannot be written to.
    unmade: Vec<Unmade>,
}

/// How much of what was asked for the kernel denies.
#[derive(Debug, PartialEq, Eq)]
enum Extent {
    Confined { not_denied: Vec<String> },
    None { why: String },
}

/// Something that can be written to.
struct Place {
    path: PathBuf,
    right: Right,
    identity: Identity,
}

/// Device and inode: the kernel does not look at names, and a folder that is made anew is another one.
type Identity = (u64, u64);

struct Unmade {
    key: &'static str,
    path: PathBuf,
    error: io::Error,
}

impl Place {
    /// Makes it, if it is a folder that is missing.
    fn make(written: &Written) -> Result<Self, Unmade> {
        let make = || {
            if matches!(written.right, Right::Files | Right::Folders) {
                DirBuilder::new().recursive(true).mode(written.mode).create(&written.path)?;
            }
            let path = fs::canonicalize(&written.path)?;
            Ok(Self { identity: identity(&fs::metadata(&path)?), right: written.right, path })
        };
        make().map_err(|error| Unmade { key: written.key, path: written.path.clone(), error })
    }
}

fn identity(there: &Metadata) -> Identity {
    (there.dev(), there.ino())
}

impl Sandbox {
    /// Gives up everything but what is needed for `written`, and for removing `sockets` at the end.
    pub(super) fn enter<'f>(written: &[Written], sockets: impl Iterator<Item = &'f Path>) -> Self {
        let others = other_threads();
        let mut sandbox = Self::confine(written, sockets);
        if let Extent::Confined { not_denied } = &mut sandbox.extent {
            not_denied.extend(others);
        }
        sandbox
    }

    /// Does so for this thread, and those that it starts from now on.
    fn confine<'f>(written: &[Written], sockets: impl Iterator<Item = &'f Path>) -> Self {
        let (mut writable, mut unmade) = (Vec::<Place>::new(), Vec::new());
        for written in written {
            match Place::make(written) {
                Ok(place) => writable.push(place),
                Err(fault) => unmade.push(fault),
            }
        }
        let removed = sockets.map(|file| (folder_of(file), Right::Remove));
        let rights = writable.iter().map(|place| (place.path.as_path(), place.right)).chain(removed);
        let extent = confine(rights).unwrap_or_else(|error| Extent::None { why: error.to_string() });
        Self { extent, writable, unmade }
    }

    /// None, by the operator's wish.
    pub(super) fn switched_off() -> Self {
        let extent = Extent::None { why: "[listen] sandbox is false".to_owned() };
        Self { extent, writable: Vec::new(), unmade: Vec::new() }
    }

    /// Says what is in force, and what will be missing.
    pub(super) fn tell(&self, telemetry: &Telemetry) {
        match &self.extent {
            Extent::Confined { not_denied } => {
                let writable = self.told_writable();
                let message = "the process is confined to what it needs";
                if not_denied.is_empty() {
                    telemetry.event(Level::Info, message, &[("sandbox", &"full"), ("writable", &writable)]);
                } else {
                    let not_denied = not_denied.join(", ");
                    let fields: [(&str, &dyn Display); 3] =
                        [("sandbox", &"partial"), ("not_denied", &not_denied), ("writable", &writable)];
                    telemetry.event(Level::Info, message, &fields);
                }
            }
            Extent::None { why } => {
                let message = "the process is not confined to what it needs";
                telemetry.event(Level::Warn, message, &[("sandbox", &"none"), ("why", why)]);
            }
        }
        for Unmade { key, path, error } in &self.unmade {
            let fields: [(&str, &dyn Display); 3] = [("key", key), ("path", &path.display()), ("error", error)];
            telemetry.event(Level::Warn, "a folder that is to be written to cannot be made", &fields);
        }
    }

    /// Each place once.
    fn told_writable(&self) -> String {
        let places: BTreeSet<_> = self.writable.iter().map(|place| place.path.display().to_string()).collect();
        if places.is_empty() { "nothing".to_owned() } else { Vec::from_iter(places).join(", ") }
    }

    /// A line for each place that was not known at the start, or not there.
    pub(super) fn tell_outside<'w>(&self, telemetry: &Telemetry, written: impl Iterator<Item = &'w Written>) {
        for place in written.filter(|place| !self.admits(&place.path)) {
            let message = "a restart is needed before this can be written to";
            telemetry.event(Level::Warn, message, &[("key", &place.key), ("path", &place.path.display())]);
        }
    }

    /// Whether something can be written there.
    fn admits(&self, place: &Path) -> bool {
        match self.extent {
            Extent::Confined { .. } => path::absolute(place).is_ok_and(|place| self.has(&place)),
            Extent::None { .. } => true,
        }
    }

    /// Whether it is one of the places that can be written to, is in one, or can be made there.
    fn has(&self, place: &Path) -> bool {
        let there = place.ancestors().find_map(|part| Some((part, fs::canonicalize(part).ok()?)));
        there.is_some_and(|(part, there)| {
            let folders = there.ancestors().filter_map(|folder| fs::metadata(folder).ok());
            let identities: Vec<_> = folders.map(|folder| identity(&folder)).collect();
            let mut around = self.writable.iter().filter(|place| identities.contains(&place.identity));
            around.any(|around| part == place || around.right == Right::Folders)
        })
    }
}

/// What the other threads of the process are: as free as before.
#[cfg(target_os = "linux")]
fn other_threads() -> Option<String> {
    match fs::read_dir("/proc/self/task").map(Iterator::count) {
        Ok(0 | 1) => None,
        Ok(count) => Some(format!("anything in threads that had begun before ({})", count - 1)),
        Err(error) => Some(format!("anything in threads that had begun before, which cannot be counted: {error}")),
    }
}

/// None is confined.
#[cfg(not(target_os = "linux"))]
const fn other_threads() -> Option<String> {
    None
}

/// Confines this thread, and those that it starts from now on.
#[cfg(target_os = "linux")]
fn confine<'r>(rights: impl Iterator<Item = (&'r Path, Right)>) -> io::Result<Extent> {
    use landlock::{
        ABI, AccessFs, AccessNet, LandlockStatus, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError,
        RulesetStatus, Scope,
    };

    // Of later versions the ninth would keep the gateway from upstreams at Unix sockets.
    let given_up = AccessFs::from_write(ABI::V6) | AccessFs::Execute;
    let enter = || {
        let ruleset = Ruleset::default().handle_access(given_up)?.handle_access(AccessNet::BindTcp)?;
        let ruleset = ruleset.scope(Scope::Signal)?.create()?;
        ruleset.add_rules(rights.filter_map(rule).map(Ok::<_, RulesetError>))?.restrict_self()
    };
    let status = enter().map_err(io::Error::other)?;
    Ok(match (status.ruleset, status.landlock) {
        (
            RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced,
            LandlockStatus::Available { effective_abi, .. },
        ) => Extent::Confined { not_denied: not_denied(effective_abi).map(str::to_owned).collect() },
        (_, _) => Extent::None { why: "the kernel has no Landlock, or a filter of system calls denies it".to_owned() },
    })
}

/// What of it a kernel with this version of Landlock does not deny.
#[cfg(target_os = "linux")]
fn not_denied(version: landlock::ABI) -> impl Iterator<Item = &'static str> {
    use landlock::ABI;

    const DENIED_SINCE: [(ABI, &str); 4] = [
        (ABI::V3, "truncating files"),
        (ABI::V4, "binding TCP ports"),
        (ABI::V5, "controlling devices (ioctl)"),
        (ABI::V6, "signals to other processes"),
    ];
    DENIED_SINCE.into_iter().filter(move |(since, _)| version < *since).map(|(_, what)| what)
}

/// What is gone again has none, as what was never there.
#[cfg(target_os = "linux")]
fn rule((path, right): (&Path, Right)) -> Option<landlock::PathBeneath<landlock::PathFd>> {
    use landlock::AccessFs::{MakeDir, MakeReg, RemoveFile, WriteFile};

    let allowed = match right {
        Right::Write => WriteFile.into(),
        Right::Files => WriteFile | MakeReg | RemoveFile,
        Right::Folders => WriteFile | MakeReg | RemoveFile | MakeDir,
        Right::Remove => RemoveFile.into(),
    };
    Some(landlock::PathBeneath::new(landlock::PathFd::new(path).ok()?, allowed))
}

/// Other systems have other means.
#[cfg(not(target_os = "linux"))]
fn confine<'r>(_rights: impl Iterator<Item = (&'r Path, Right)>) -> io::Result<Extent> {
    Ok(Extent::None { why: "this system has no Landlock".to_owned() })
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use std::fs::{File, OpenOptions};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::process::{Command, Stdio};
    use std::thread;

    use rustix::process::{Pid, test_kill_process};

    type Row = (&'static str, fn(&Path) -> io::Result<()>);

    /// What the writers of files do, in a folder where `there` is a file.
    const WRITES: [Row; 4] = [
        ("making a file", |folder| File::create_new(folder.join("new")).map(drop)),
        ("writing", |folder| OpenOptions::new().append(true).open(folder.join("there")).map(drop)),
        ("renaming", |folder| fs::rename(folder.join("there"), folder.join("moved"))),
        ("removing", |folder| {
            let moved = folder.join("moved");
            fs::remove_file(if moved.exists() { moved } else { folder.join("there") })
        }),
    ];

    /// What is done where folders are made as well.
    const MAKING_A_FOLDER: Row = ("making a folder", |folder| fs::create_dir(folder.join("folder")));

    /// What none of them does, and every Landlock denies.
    const GIVEN_UP: [Row; 4] = [
        ("starting a program", |_| Command::new("true").status().map(drop)),
        ("making a link", |folder| symlink("there", folder.join("link"))),
        ("making a socket", |folder| UnixListener::bind(folder.join("socket")).map(drop)),
        ("removing a folder", |folder| fs::remove_dir(folder.join("empty"))),
    ];

    /// What only newer ones deny.
    const GIVEN_UP_IN_FULL: [Row; 2] = [
        ("truncating", |folder| OpenOptions::new().write(true).truncate(true).open(folder.join("there")).map(drop)),
        ("listening", |_| TcpListener::bind("127.0.0.1:0").map(drop)),
    ];

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("there"), "text").unwrap();
        fs::create_dir(folder.path().join("empty")).unwrap();
        folder
    }

    fn place(path: &Path) -> Written {
        Written::for_test(path, Right::Files)
    }

    /// Enters the sandbox in a thread of its own and looks around there. Where the kernel has no Landlock there is nothing to see but that, and nobody may
    /// have demanded more.
    fn confined(written: &[Written], sockets: &[&Path], look: impl FnOnce(&Sandbox) + Send) {
        let look_around = || {
            let sandbox = Sandbox::confine(written, sockets.iter().copied());
            match sandbox.extent {
                Extent::Confined { .. } => look(&sandbox),
                Extent::None { ref why } => assert!(!is_expected(), "{why}"),
            }
        };
        thread::scope(|scope| scope.spawn(look_around).join().unwrap());
    }

    /// Whether the kernel says that it has Landlock, or the tests are told so (`.ci/run`).
    fn is_expected() -> bool {
        let modules = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
        let demanded = std::env::var("HOOKWARD_TESTS_DEMAND").unwrap_or_default();
        modules.split(',').chain(demanded.split_whitespace()).any(|name| name.trim() == "landlock")
    }

    fn is_denied(done: &io::Result<()>) -> bool {
        done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Where the kernel has Landlock; see [`confined`].
    #[test]
    fn files_change_in_the_folders_that_are_written_to_and_nowhere_else() {
        let (inside, tree, outside) = (folder(), folder(), folder());
        let written = [place(inside.path()), Written::for_test(tree.path(), Right::Folders)];
        confined(&written, &[], |_| {
            for (name, write) in WRITES {
                assert!(is_denied(&write(outside.path())), "{name} outside");
                for folder in [&inside, &tree] {
                    write(folder.path()).unwrap_or_else(|error| panic!("{name} inside: {error}"));
                }
            }
            let (name, make) = MAKING_A_FOLDER;
            assert!(is_denied(&make(inside.path())) && is_denied(&make(outside.path())), "{name}");
            make(tree.path()).unwrap();
            assert_eq!(fs::read_to_string(outside.path().join("there")).unwrap(), "text", "reading is free");
        });
    }

    /// Where the kernel has Landlock; what an older one does not deny is not asked of it.
    #[test]
    fn what_is_given_up_is_denied_everywhere_and_the_way_out_is_open() {
        let (inside, outside) = (folder(), folder());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut other = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let signal = || test_kill_process(Pid::from_child(&other)).map_err(io::Error::from);
        for (name, attempt) in GIVEN_UP.iter().chain(&GIVEN_UP_IN_FULL) {
            assert!(attempt(folder().path()).is_ok(), "{name} without a sandbox");
        }
        assert!(signal().is_ok());
        confined(&[place(inside.path())], &[], |sandbox| {
            let is_full = sandbox.extent == Extent::Confined { not_denied: Vec::new() };
            for (name, attempt) in GIVEN_UP.iter().chain(GIVEN_UP_IN_FULL.iter().filter(|_| is_full)) {
                for folder in [&inside, &outside] {
                    assert!(is_denied(&attempt(folder.path())), "{name}");
                }
            }
            assert_eq!(is_denied(&signal()), is_full);
            TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            UdpSocket::bind("127.0.0.1:0").unwrap();
        });
        drop(other.stdin.take());
        assert!(other.wait().unwrap().success());
    }

    /// Where the kernel has Landlock; see [`confined`].
    #[test]
    fn beside_a_socket_files_are_removed_and_none_are_made() {
        let (inside, outside) = (folder(), folder());
        confined(&[], &[&inside.path().join("there")], |_| {
            let [make, .., remove] = WRITES.map(|(_, write)| write);
            assert!(is_denied(&make(inside.path())));
            assert!(is_denied(&remove(outside.path())));
            remove(inside.path()).unwrap();
        });
    }

    /// Where the kernel has Landlock; see [`confined`].
    #[test]
    fn a_device_is_written_and_nothing_beside_it() {
        let folder = folder();
        let there = folder.path().join("there");
        confined(&[Written::for_test(&there, Right::Write)], &[], |_| {
            OpenOptions::new().append(true).open(&there).unwrap();
            assert!(is_denied(&File::create(folder.path().join("beside")).map(drop)));
            assert!(is_denied(&fs::remove_file(&there)));
        });
    }

    /// Where the kernel has Landlock; see [`confined`].
    #[test]
    fn threads_that_had_begun_before_are_told() {
        let others = || {
            let sandbox = Sandbox::enter(&[], std::iter::empty());
            let Extent::Confined { not_denied } = sandbox.extent else {
                return assert!(!is_expected());
            };
            let told = not_denied.last().unwrap();
            assert!(told.starts_with("anything in threads that had begun before ("), "{told}");
        };
        thread::scope(|scope| scope.spawn(others).join().unwrap());
    }

    #[test]
    fn what_a_kernel_does_not_deny_is_told_by_its_version_of_landlock() {
        use landlock::ABI;
        for (version, count) in
            [(ABI::V1, 4), (ABI::V2, 4), (ABI::V3, 3), (ABI::V4, 2), (ABI::V5, 1), (ABI::V6, 0), (ABI::V7, 0)]
        {
            assert_eq!(not_denied(version).count(), count, "{version}");
        }
        assert_eq!(not_denied(ABI::V5).next(), Some("signals to other processes"));
    }

    #[test]
    fn what_was_not_there_at_the_start_is_outside() {
        let (inside, outside) = (folder(), folder());
        let (made, tree) = (inside.path().join("made/at/start"), inside.path().join("tree"));
        let below_a_file = inside.path().join("there/below a file");
        let written = [place(&made), place(&below_a_file), Written::for_test(&tree, Right::Folders)];
        let (mut writable, mut unmade) = (Vec::new(), Vec::new());
        for place in &written {
            match Place::make(place) {
                Ok(place) => writable.push(place),
                Err(fault) => unmade.push((fault.key, fault.path, fault.error.kind())),
            }
        }
        assert_eq!(unmade, [("[rejects] file", below_a_file.clone(), io::ErrorKind::NotADirectory)]);
        let extent = Extent::Confined { not_denied: Vec::new() };
        let sandbox = Sandbox { extent, writable, unmade: Vec::new() };
        fs::create_dir(made.join("later")).unwrap();
        symlink(&made, outside.path().join("link")).unwrap();
        let rows = |is_there| {
            [
                (made.clone(), is_there),
                (made.join("later"), is_there),
                (made.join("not/there/yet"), false),
                (outside.path().join("link"), is_there),
                (tree.clone(), true),
                (tree.join("not/there/yet"), true),
                (made.join("../.."), false),
                (inside.path().join("made"), false),
                (below_a_file.clone(), false),
                (outside.path().to_owned(), false),
            ]
        };
        for (path, admitted) in rows(true) {
            assert_eq!(sandbox.admits(&path), admitted, "{path:?}");
            assert!(Sandbox::switched_off().admits(&path), "{path:?}");
        }
        // Another folder of the same name.
        fs::rename(&made, inside.path().join("away")).unwrap();
        fs::create_dir_all(made.join("later")).unwrap();
        for (path, admitted) in rows(false) {
            assert_eq!(sandbox.admits(&path), admitted, "{path:?} made anew");
        }
        assert!(sandbox.admits(&inside.path().join("away")), "it is the one that was known");
    }
}
