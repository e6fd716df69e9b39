//! The next snapshot: on SIGHUP, or when a file changed.
//!
//! **Invariant:** a reload that finds an error changes nothing. Sockets are never touched.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// Editors and deployments write several files one after the other: a change counts when nothing changed for this long.
pub const DEBOUNCE: Duration = Duration::from_millis(300);

/// Watches directories and tells when something in them has changed and come to rest.
pub struct Watch {
    _watcher: RecommendedWatcher,
    changes: mpsc::Receiver<()>,
}

impl Watch {
    /// Watches the directories of these files, and these directories: a file that is replaced by renaming is seen too.
    ///
    /// # Errors
    /// If the system cannot watch one of them.
    pub fn new(paths: &[PathBuf]) -> Result<Self, notify::Error> {
        let (sender, changes) = mpsc::channel(1);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                // A change that waits to be seen stands for all that come after it.
                let _ = sender.try_send(());
            }
        })?;
        let mut directories: Vec<_> = paths.iter().map(|path| directory_of(path)).collect();
        directories.sort();
        directories.dedup();
        for directory in directories {
            watcher.watch(&directory, RecursiveMode::Recursive)?;
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

fn directory_of(path: &Path) -> PathBuf {
    let directory = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
    if directory.as_os_str().is_empty() { PathBuf::from(".") } else { directory.to_owned() }
}
