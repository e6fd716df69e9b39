//! When the policies are to be loaded again: a file changed and came to rest, or a worker asks for it. Whoever waits here loads them.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{Notify, mpsc, watch};

/// Editors and deployments write several files one after the other: a change counts when nothing changed for this long.
pub const DEBOUNCE: Duration = Duration::from_millis(300);

/// For as long a worker waits for a reload that it asked for: many policies take a while to load.
const RELOAD_TIME: Duration = Duration::from_secs(5);

/// How a worker asks for the policies to be loaded again, and learns that they are.
#[derive(Debug, Default)]
pub struct Reload {
    asked: Notify,
    done: watch::Sender<u64>,
    /// Whether somebody is there who reloads.
    attended: AtomicBool,
}

impl Reload {
    /// Asks, and waits until it is done; does not wait where nobody reloads.
    pub async fn ask(&self) {
        let mut done = self.done.subscribe();
        self.asked.notify_one();
        if self.attended.load(Ordering::Acquire) {
            // Late or never: the file's change is seen by the watch as well.
            let _ = tokio::time::timeout(RELOAD_TIME, done.changed()).await;
        }
    }

    /// Waits until somebody asks. Whoever waits here has promised to reload then, and to say when it is [`done`](Self::done).
    pub async fn asked(&self) {
        self.attended.store(true, Ordering::Release);
        self.asked.notified().await;
    }

    /// Tells those who asked.
    pub fn done(&self) {
        self.done.send_modify(|count| *count += 1);
    }
}

/// What is watched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Watched {
    /// Single files, there or not.
    pub files: BTreeSet<PathBuf>,
    /// Directories with everything below them.
    pub trees: BTreeSet<PathBuf>,
}

impl Watched {
    /// Whether all of it is watched where that is.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.files.is_subset(&other.files) && self.trees.is_subset(&other.trees)
    }

    /// Whether something of it changed at this moment or after it, while nobody watched. A file that was taken away cannot be told from one that never was; in
    /// a tree its directory tells.
    #[must_use]
    pub fn has_changed_since(&self, moment: Moment) -> bool {
        let volumes = self.files.iter().filter_map(|file| Some(file.parent()?.join(VOLUME)));
        let mut files = self.files.iter().cloned().chain(volumes);
        files.any(|file| moment.is_before(&file)) || self.trees.iter().any(|tree| moment.is_before_any(tree))
    }
}

/// The link that an orchestrator changes when it replaces all files of a volume at once.
const VOLUME: &str = "..data";

/// A moment by the clock that stamps files, in seconds and nanoseconds: that one goes in steps, and is behind the other by up to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(i64, i64);

impl Moment {
    /// This one.
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn now() -> Self {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        Self(now.tv_sec, now.tv_nsec)
    }

    /// This one, by the clock that there is.
    #[cfg(not(target_os = "linux"))]
    #[must_use]
    pub fn now() -> Self {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        Self(now.tv_sec, now.tv_nsec)
    }

    /// Whether this is, or leads to, something that changed then or later.
    fn is_before(self, path: &Path) -> bool {
        let changed = |there: Metadata| self <= Self(there.ctime(), there.ctime_nsec());
        fs::symlink_metadata(path).is_ok_and(changed) || fs::metadata(path).is_ok_and(changed)
    }

    /// The same of what is in it.
    fn is_before_any(self, tree: &Path) -> bool {
        let mut entries = fs::read_dir(tree).into_iter().flatten().flatten();
        self.is_before(tree)
            || entries.any(|entry| match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.is_before_any(&entry.path()),
                Ok(_) | Err(_) => self.is_before(&entry.path()),
            })
    }
}

/// Watches files and directories and tells when something in them has changed and come to rest.
pub struct Watch {
    _watcher: RecommendedWatcher,
    /// Directories that were not there.
    missing: Vec<PathBuf>,
    changes: mpsc::Receiver<()>,
    /// Whether a change was seen that nobody has been told of yet.
    stirred: bool,
}

impl Watch {
    /// Watches these, the files by their directories: a file that is replaced by renaming is seen too, and so is a volume of an orchestrator,
    /// whose files are links through `..data`. What else happens beside the files, such as a log that grows, is no change.
    ///
    /// A directory that is not there yet is left out; see [`Watch::is_outdated`].
    ///
    /// # Errors
    /// If the system cannot watch one of them.
    pub fn new(watched: &Watched) -> Result<Self, notify::Error> {
        let absolute = |paths: &BTreeSet<PathBuf>| paths.iter().map(|path| absolute(path)).collect::<BTreeSet<_>>();
        let (files, trees) = (absolute(&watched.files), absolute(&watched.trees));
        let directories: BTreeSet<_> = files.iter().filter_map(|file| file.parent()).map(Path::to_owned).collect();
        let concerns = Concerns { files, trees: trees.clone(), volumes: directories.clone() };
        let (sender, changes) = mpsc::channel(1);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| concerns.include(&event)) {
                // A change that waits to be seen stands for all that come after it.
                let _ = sender.try_send(());
            }
        })?;
        for tree in &trees {
            watcher.watch(tree, RecursiveMode::Recursive)?;
        }
        let outside = directories.into_iter().filter(|directory| !trees.contains(directory));
        let (there, missing) = outside.partition::<Vec<_>, _>(|directory| directory.is_dir());
        for directory in there {
            watcher.watch(&directory, RecursiveMode::NonRecursive)?;
        }
        Ok(Self { _watcher: watcher, missing, changes, stirred: false })
    }

    /// Whether a directory is there by now that was missing when this began: it is worth to watch anew.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        self.missing.iter().any(|directory| directory.is_dir())
    }

    /// Has the next wait end as if something had changed: what changed before somebody watched is told by nobody.
    pub const fn stir(&mut self) {
        self.stirred = true;
    }

    /// Waits for a change to come to rest. Never ends if nothing can change any more. Whoever stops waiting loses no change: it is left to the next call.
    pub async fn changed(&mut self) {
        if !self.stirred && self.changes.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        self.stirred = true;
        while let Ok(Some(())) = tokio::time::timeout(DEBOUNCE, self.changes.recv()).await {}
        self.stirred = false;
    }
}

/// What of all that the system tells is a change.
struct Concerns {
    files: BTreeSet<PathBuf>,
    trees: BTreeSet<PathBuf>,
    /// Directories that may be volumes of an orchestrator.
    volumes: BTreeSet<PathBuf>,
}

impl Concerns {
    /// Where more happened at once than the system remembers it says so, and not what.
    fn include(&self, event: &Event) -> bool {
        event.need_rescan() || !event.kind.is_access() && event.paths.iter().any(|path| self.has(path))
    }

    fn has(&self, path: &Path) -> bool {
        let is_volume = path.ends_with(VOLUME) && path.parent().is_some_and(|parent| self.volumes.contains(parent));
        is_volume || self.files.contains(path) || self.trees.iter().any(|tree| path.starts_with(tree))
    }
}

/// The path as the system names it in its notices.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use tokio::time::timeout;

    /// What is watched in most tests: one file.
    fn file(folder: &tempfile::TempDir) -> (PathBuf, Watched) {
        let file = folder.path().join("a.toml");
        fs::write(&file, "before").unwrap();
        (file.clone(), Watched { files: [file].into(), ..Watched::default() })
    }

    /// Changes a file in a way that is one notice of the system's.
    fn touch(file: &Path) {
        let mode = fs::metadata(file).unwrap().permissions().mode();
        fs::set_permissions(file, Permissions::from_mode(mode ^ 0o100)).unwrap();
    }

    /// The system has told of a change, and nobody has taken notice.
    async fn told(watch: &Watch) {
        let told = async {
            while watch.changes.is_empty() {
                tokio::task::yield_now().await;
            }
        };
        timeout(RELOAD_TIME, told).await.expect("a change is told");
    }

    /// As where a watchdog's tick comes while a change has not come to rest yet.
    #[tokio::test]
    async fn whoever_stops_waiting_while_a_change_comes_to_rest_leaves_it_to_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let (file, watched) = file(&folder);
        let mut watch = Watch::new(&watched).unwrap();
        touch(&file);
        told(&watch).await;
        for _ in 0..2 {
            assert!(timeout(Duration::ZERO, watch.changed()).await.is_err(), "it is not at rest");
            assert!(watch.changes.is_empty(), "taken");
        }
        timeout(RELOAD_TIME, watch.changed()).await.expect("it came to rest");
        assert!(timeout(DEBOUNCE * 2, watch.changed()).await.is_err(), "once");
    }

    #[tokio::test]
    async fn a_watch_that_is_stirred_tells_of_a_change_that_it_did_not_see() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = Watch::new(&file(&folder).1).unwrap();
        assert!(timeout(DEBOUNCE * 2, watch.changed()).await.is_err(), "nothing changed");
        watch.stir();
        timeout(RELOAD_TIME, watch.changed()).await.expect("as if something had");
        assert!(timeout(DEBOUNCE * 2, watch.changed()).await.is_err(), "once");
    }

    #[test]
    fn what_the_system_could_not_remember_counts_as_a_change() {
        use notify::event::{AccessKind, EventKind, Flag};

        let [file, log] = ["/etc/secret", "/etc/log"].map(PathBuf::from);
        let concerns = Concerns { files: [file.clone()].into(), trees: BTreeSet::new(), volumes: BTreeSet::new() };
        let (access, any) = (EventKind::Access(AccessKind::Any), EventKind::Any);
        let rows = [
            ("a file", Event::new(any).add_path(file.clone()), true),
            ("a file that is read", Event::new(access).add_path(file), false),
            ("another", Event::new(any).add_path(log), false),
            ("nothing", Event::new(EventKind::Other), false),
            ("an overflow", Event::new(EventKind::Other).set_flag(Flag::Rescan), true),
        ];
        for (name, event, expected) in rows {
            assert_eq!(concerns.include(&event), expected, "{name}");
        }
    }

    #[test]
    fn a_watch_is_outdated_once_a_directory_is_there_that_was_missing() {
        let folder = tempfile::tempdir().unwrap();
        let late = folder.path().join("late");
        let watched = Watched { files: [late.join("secret"), folder.path().join("a")].into(), ..Watched::default() };
        let watch = Watch::new(&watched).unwrap();
        assert!(!watch.is_outdated());
        fs::create_dir(&late).unwrap();
        assert!(watch.is_outdated());
        assert!(!Watch::new(&watched).unwrap().is_outdated());
    }

    #[test]
    fn what_changed_before_it_was_watched_is_found() {
        type Change = fn(&Path);
        let rows: [(&str, Change, bool); 8] = [
            ("nothing", |_| {}, false),
            ("beside what is watched", |at| fs::write(at.join("log"), "x").unwrap(), false),
            ("a file", |at| fs::write(at.join("secret"), "x").unwrap(), true),
            ("one that is put in place", |at| fs::rename(at.join("spare"), at.join("secret")).unwrap(), true),
            ("one in a tree", |at| fs::write(at.join("tree/below/a.toml"), "x").unwrap(), true),
            ("one taken out of a tree", |at| fs::remove_file(at.join("tree/below/a.toml")).unwrap(), true),
            ("where a link leads", |at| fs::write(at.join("elsewhere"), "x").unwrap(), true),
            ("a volume", |at| std::os::unix::fs::symlink("tree", at.join(VOLUME)).unwrap(), true),
        ];
        for (name, change, expected) in rows {
            let folder = tempfile::tempdir().unwrap();
            let at = folder.path();
            fs::create_dir_all(at.join("tree/below")).unwrap();
            for file in ["secret", "spare", "elsewhere", "tree/below/a.toml"] {
                fs::write(at.join(file), "before").unwrap();
            }
            std::os::unix::fs::symlink("elsewhere", at.join("link")).unwrap();
            let files = ["secret", "link", "absent"].map(|file| at.join(file)).into();
            let watched = Watched { files, trees: [at.join("tree")].into() };
            // The clock goes in steps: what was made just now may bear the time of this one.
            let made = Moment::now();
            let moment = std::iter::repeat_with(Moment::now).find(|now| *now > made).unwrap();
            change(at);
            assert_eq!(watched.has_changed_since(moment), expected, "{name}");
        }
    }
}
