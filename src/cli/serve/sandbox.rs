//! What the process gives up for good before it takes a connection: starting programs, listening on further TCP ports, sending signals to other processes, and
//! making, writing and removing files but beneath the folders that its configuration has it write to. The kernel holds it to that (Landlock), whatever becomes
//! of the gateway's own code.
//!
//! Reading stays free, since a reload may name policies, certificates and secrets anywhere. So do connections: to upstreams, resolvers, the service manager.
//!
//! **Invariant:** it is entered while the process has one thread. The kernel confines the thread that asks, and those that it starts from then on.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{self, Path, PathBuf};

use super::rejected_log;
use crate::policy::Policy;
use crate::policy::gateway_config::GatewayConfig;
use crate::reason::Level;
use crate::record::Telemetry;
use crate::whole_file::folder_of;

/// What was given up, until the process ends.
pub(super) struct Sandbox {
    extent: Extent,
    /// What can be written to all the same, as the system names it.
    writable: Vec<PathBuf>,
}

/// How much of what was asked for the kernel denies.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only Linux denies anything"))]
enum Extent {
    Full,
    /// It is too old for some of it.
    Partial,
    None {
        why: String,
    },
}

/// Something that the gateway writes to while it runs: a folder with all that is beneath it, or a device.
pub(super) struct Written {
    /// What in the configuration says so.
    key: &'static str,
    path: PathBuf,
    /// Who may look into it, if it has to be made.
    mode: u32,
}

/// What may be done in a place.
#[derive(Debug, Clone, Copy)]
enum Right {
    Write,
    Remove,
}

/// Everything that the gateway writes to while it runs, by its configuration and the policies in force.
pub(super) fn written(config: &GatewayConfig, policy: &Policy) -> Vec<Written> {
    let log = log_places(&rejected_log(config)).map(|path| Written { key: "[rejects] file", path, mode: 0o777 });
    let owners = |key, path: &Path| Written { key, path: path.to_owned(), mode: 0o700 };
    let acme = config.acme.iter().map(|acme| owners("[acme] state", &acme.state));
    let learnt = policy.sources().iter().filter_map(|source| source.handshakes.learn.as_deref());
    let learnt = learnt.map(|file| owners("[handshake] learn_secret", folder_of(file)));
    log.chain(acme).chain(learnt).collect()
}

/// The log's folder, where it rotates; where it is a link or a device, also what that leads to.
fn log_places(file: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let is_stream = file == Path::new("-");
    let rotates = !is_stream && fs::metadata(file).map_or(true, |there| there.is_file());
    let is_elsewhere = !is_stream && fs::symlink_metadata(file).is_ok_and(|there| !there.is_file());
    // A pipe without a name needs no right.
    let elsewhere = is_elsewhere.then(|| fs::canonicalize(file).ok()).flatten();
    rotates.then(|| folder_of(file).to_owned()).into_iter().chain(elsewhere)
}

impl Written {
    /// Where it is, made if need be. What cannot be found or made is left to whoever writes there, and says so then.
    fn found(&self) -> Option<PathBuf> {
        let _ = DirBuilder::new().recursive(true).mode(self.mode).create(&self.path);
        fs::canonicalize(&self.path).ok()
    }
}

impl Sandbox {
    /// Gives up everything but what is needed for `written`, and for removing `sockets` at the end.
    pub(super) fn enter<'f>(written: &[Written], sockets: impl Iterator<Item = &'f Path>) -> Self {
        let writable: Vec<_> = written.iter().filter_map(Written::found).collect();
        let removed = sockets.map(|file| (folder_of(file), Right::Remove));
        let rights = writable.iter().map(|path| (path.as_path(), Right::Write)).chain(removed);
        let extent = confine(rights).unwrap_or_else(|error| Extent::None { why: error.to_string() });
        Self { extent, writable }
    }

    /// None, by the operator's wish.
    pub(super) fn switched_off() -> Self {
        Self { extent: Extent::None { why: "[listen] sandbox is false".to_owned() }, writable: Vec::new() }
    }

    /// Says what is in force.
    pub(super) fn tell(&self, telemetry: &Telemetry) {
        let confined = "the process is confined to what it needs";
        match &self.extent {
            Extent::Full => telemetry.event(Level::Info, confined, &[("sandbox", &"full")]),
            Extent::Partial => telemetry.event(Level::Info, confined, &[("sandbox", &"partial")]),
            Extent::None { why } => {
                let message = "the process is not confined to what it needs";
                telemetry.event(Level::Warn, message, &[("sandbox", &"none"), ("why", why)]);
            }
        }
    }

    /// A line for each place that was not known at the start, or not there.
    pub(super) fn tell_outside(&self, telemetry: &Telemetry, written: &[Written]) {
        for place in written.iter().filter(|place| !self.admits(&place.path)) {
            let message = "a restart is needed before this can be written to";
            telemetry.event(Level::Warn, message, &[("key", &place.key), ("path", &place.path.display())]);
        }
    }

    /// Whether something can be written there.
    fn admits(&self, place: &Path) -> bool {
        match self.extent {
            Extent::Full | Extent::Partial => {
                // What is missing would be made in what is there.
                let there = path::absolute(place).ok();
                let there = there.and_then(|path| path.ancestors().find_map(|folder| fs::canonicalize(folder).ok()));
                there.is_some_and(|there| self.writable.iter().any(|place| there.starts_with(place)))
            }
            Extent::None { .. } => true,
        }
    }
}

/// Confines this thread, and those that it starts from now on.
#[cfg(target_os = "linux")]
fn confine<'r>(rights: impl Iterator<Item = (&'r Path, Right)>) -> io::Result<Extent> {
    use landlock::{
        ABI, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus,
        Scope,
    };

    // Of later versions the ninth would keep the gateway from upstreams at Unix sockets.
    let given_up = AccessFs::from_write(ABI::V6) | AccessFs::Execute;
    let enter = || {
        let ruleset = Ruleset::default().handle_access(given_up)?.handle_access(AccessNet::BindTcp)?;
        let ruleset = ruleset.scope(Scope::Signal)?.create()?;
        ruleset.add_rules(rights.filter_map(rule).map(Ok::<_, RulesetError>))?.restrict_self()
    };
    Ok(match enter().map_err(io::Error::other)?.ruleset {
        RulesetStatus::FullyEnforced => Extent::Full,
        RulesetStatus::PartiallyEnforced => Extent::Partial,
        RulesetStatus::NotEnforced => {
            Extent::None { why: "the kernel has no Landlock, or a filter of system calls denies it".to_owned() }
        }
    })
}

/// What is gone again has none, as what was never there.
#[cfg(target_os = "linux")]
fn rule((path, right): (&Path, Right)) -> Option<landlock::PathBeneath<landlock::PathFd>> {
    use landlock::AccessFs::{MakeDir, MakeReg, RemoveFile, WriteFile};

    let allowed = match right {
        Right::Write if path.is_dir() => WriteFile | MakeReg | MakeDir | RemoveFile,
        Right::Write => WriteFile.into(),
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
    const WRITES: [Row; 5] = [
        ("making a file", |folder| File::create_new(folder.join("new")).map(drop)),
        ("making a folder", |folder| fs::create_dir(folder.join("folder"))),
        ("writing", |folder| OpenOptions::new().append(true).open(folder.join("there")).map(drop)),
        ("renaming", |folder| fs::rename(folder.join("there"), folder.join("moved"))),
        ("removing", |folder| {
            let moved = folder.join("moved");
            fs::remove_file(if moved.exists() { moved } else { folder.join("there") })
        }),
    ];

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
        Written { key: "[rejects] file", path: path.to_owned(), mode: 0o777 }
    }

    /// Enters the sandbox in a thread of its own and looks around there. Where the kernel has no Landlock there is nothing to see but that.
    fn confined(written: &[Written], sockets: &[&Path], look: impl FnOnce(&Sandbox) + Send) {
        let look_around = || {
            let sandbox = Sandbox::enter(written, sockets.iter().copied());
            match sandbox.extent {
                Extent::Full | Extent::Partial => look(&sandbox),
                Extent::None { ref why } => assert!(!kernel_has_it(), "{why}"),
            }
        };
        thread::scope(|scope| scope.spawn(look_around).join().unwrap());
    }

    fn kernel_has_it() -> bool {
        let modules = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
        modules.split(',').any(|module| module.trim() == "landlock")
    }

    fn is_denied(done: &io::Result<()>) -> bool {
        done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Where the kernel has Landlock; see [`confined`].
    #[test]
    fn files_change_in_the_folders_that_are_written_to_and_nowhere_else() {
        let (inside, outside) = (folder(), folder());
        confined(&[place(inside.path())], &[], |_| {
            for (name, write) in WRITES {
                assert!(is_denied(&write(outside.path())), "{name} outside");
                write(inside.path()).unwrap_or_else(|error| panic!("{name} inside: {error}"));
            }
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
            let is_full = sandbox.extent == Extent::Full;
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
    fn a_log_that_is_a_link_or_a_device_is_written_where_it_leads() {
        let (folder, elsewhere) = (folder(), folder());
        let (link, device) = (folder.path().join("link"), folder.path().join("device"));
        symlink(elsewhere.path().join("there"), &link).unwrap();
        symlink("/dev/null", &device).unwrap();
        // (log, whether another file may be made beside it)
        for (log, rotates) in [(link, true), (device, false)] {
            let written: Vec<_> = log_places(&log).map(|path| place(&path)).collect();
            confined(&written, &[], |_| {
                OpenOptions::new().append(true).open(&log).unwrap();
                let beside = File::create(folder.path().join("beside")).map(drop);
                assert_eq!(is_denied(&beside), !rotates, "{log:?}");
                assert!(is_denied(&File::create(elsewhere.path().join("beside")).map(drop)), "{log:?}");
            });
            let _ = fs::remove_file(folder.path().join("beside"));
        }
        assert_eq!(log_places(Path::new("-")).count(), 0, "standard output is open already");
        assert_eq!(log_places(Path::new("log")).collect::<Vec<_>>(), [Path::new(".")]);
    }

    #[test]
    fn what_was_not_there_at_the_start_is_outside() {
        let (inside, outside) = (folder(), folder());
        let made = inside.path().join("made/at/start");
        let written = [place(&made), place(&inside.path().join("there/below a file"))];
        let writable = written.iter().filter_map(Written::found).collect();
        let sandbox = Sandbox { extent: Extent::Full, writable };
        for (path, admitted) in [
            (made.clone(), true),
            (made.join("not/there/yet"), true),
            (made.join("../.."), false),
            (inside.path().join("made"), false),
            (inside.path().join("there/below a file"), false),
            (outside.path().to_owned(), false),
        ] {
            assert_eq!(sandbox.admits(&path), admitted, "{path:?}");
            assert!(Sandbox::switched_off().admits(&path), "{path:?}");
        }
    }
}
