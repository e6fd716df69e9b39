//! The next snapshot: on SIGHUP, or when a file changed.
//!
//! **Invariant:** a reload that finds an error changes nothing. Sockets are never touched.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// Editors and deployments write several files one after the other: a change counts when nothing changed for this long.
pub const DEBOUNCE: Duration = Duration::from_millis(300);

/// Watches files and directories and tells when something in them has changed and come to rest.
pub struct Watch {
    _watcher: RecommendedWatcher,
    changes: mpsc::Receiver<()>,
}

impl Watch {
    /// Watches these files, by their directories (a file that is replaced by renaming is seen too), and everything below these trees.
    /// What else happens beside the files, such as a log that grows, is no change.
    ///
    /// # Errors
    /// If the system cannot watch one of them.
    pub fn new(files: &[PathBuf], trees: &[PathBuf]) -> Result<Self, notify::Error> {
        let absolute = |paths: &[PathBuf]| paths.iter().map(|path| absolute(path)).collect::<Vec<_>>();
        let (files, trees) = (absolute(files), absolute(trees));
        let mut directories: Vec<_> = files.iter().filter_map(|file| file.parent()).map(Path::to_owned).collect();
        directories.sort();
        directories.dedup();
        let below = trees.clone();
        let concerns = move |path: &PathBuf| files.contains(path) || below.iter().any(|tree| path.starts_with(tree));
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
        for directory in directories.iter().filter(|directory| !trees.contains(directory)) {
            watcher.watch(directory, RecursiveMode::NonRecursive)?;
        }
        Ok(Self { _watcher: watcher, changes })
    }

    /// Waits for a change to come to rest. Never ends if nothing can change any more.
    pub async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        while let Ok(Some(())) = tokio::time::timeout(DEBOUNCE, self.changes.recv()).await {}
    }
}

/// The path as the system names it in its notices.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
