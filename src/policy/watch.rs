//! When the policies are to be loaded again: a file changed and came to rest, or a worker asks for it. Whoever waits here loads them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
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

/// Watches files and directories and tells when something in them has changed and come to rest.
pub struct Watch {
    _watcher: RecommendedWatcher,
    is_whole: bool,
    changes: mpsc::Receiver<()>,
    /// Whether a change was seen that nobody has been told of yet.
    stirred: bool,
}

impl Watch {
    /// Watches these, the files by their directories: a file that is replaced by renaming is seen too, and so is a volume of an orchestrator,
    /// whose files are links through `..data`. What else happens beside the files, such as a log that grows, is no change.
    ///
    /// A directory that is not there yet is left out; see [`Watch::is_whole`].
    ///
    /// # Errors
    /// If the system cannot watch one of them.
    pub fn new(watched: &Watched) -> Result<Self, notify::Error> {
        let absolute = |paths: &BTreeSet<PathBuf>| paths.iter().map(|path| absolute(path)).collect::<BTreeSet<_>>();
        let (files, trees) = (absolute(&watched.files), absolute(&watched.trees));
        let directories: BTreeSet<_> = files.iter().filter_map(|file| file.parent()).map(Path::to_owned).collect();
        let (below, volumes) = (trees.clone(), directories.clone());
        let concerns = move |path: &PathBuf| {
            let is_volume = path.ends_with("..data") && path.parent().is_some_and(|parent| volumes.contains(parent));
            is_volume || files.contains(path) || below.iter().any(|tree| path.starts_with(tree))
        };
        let (sender, changes) = mpsc::channel(1);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access() && event.paths.iter().any(&concerns)) {
                // A change that waits to be seen stands for all that come after it.
                let _ = sender.try_send(());
            }
        })?;
        for tree in &trees {
            watcher.watch(tree, RecursiveMode::Recursive)?;
        }
        let outside = directories.iter().filter(|directory| !trees.contains(*directory) && directory.is_dir());
        let is_whole = directories.iter().all(|directory| directory.is_dir());
        for directory in outside {
            watcher.watch(directory, RecursiveMode::NonRecursive)?;
        }
        Ok(Self { _watcher: watcher, is_whole, changes, stirred: false })
    }

    /// Whether every directory was there. Where one was not, it is worth to watch anew after a reload.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.is_whole
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

/// The path as the system names it in its notices.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
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
}
