//! The control thread of a running gateway: it reloads on SIGHUP, on changes and when a worker asks, until SIGTERM or SIGINT, and drains.

use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use rustix::process;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::manager::{self, Watchdog};
use super::reload::Reloader;
use super::sandbox::Sandbox;
use crate::acme::Acme;
use crate::admin::Admin;
use crate::cli::setup::Trouble;
use crate::policy::watch::{Moment, Watch, Watched};
use crate::reason::Level;
use crate::record::Telemetry;
use crate::server::Server;

/// What is attended to.
pub(super) struct Running {
    pub(super) server: Server,
    /// The private listener.
    pub(super) admin: Option<TcpListener>,
    /// What keeps the certificate of `[acme]` fresh.
    pub(super) acme: Option<Acme>,
    pub(super) sandbox: Sandbox,
    /// What calls for a reload by its change.
    pub(super) watched: Watched,
    /// When that began to be read.
    pub(super) read_at: Moment,
    /// The configuration as it was written then.
    pub(super) text: String,
}

/// This thread, once it is to attend to a gateway.
pub(super) struct Attendant {
    runtime: Runtime,
    signals: Signals,
}

/// What others want of the process.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    /// A log that may not grow is as a full disk: an error, not the end.
    _size: Signal,
}

impl Attendant {
    /// From now on a hangup does not end the process, and what else is handled waits to be attended to. That has to be so before anybody is told that there is
    /// a gateway: whoever has it reload at once would end it.
    ///
    /// # Errors
    /// [`Trouble`] if there is no runtime, or signals cannot be handled.
    pub(super) fn new() -> Result<Self, Trouble> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Trouble::Other(format!("cannot start: {error}")))?;
        let signals = {
            let _entered = runtime.enter();
            Signals::handled().map_err(|error| Trouble::Other(format!("cannot handle signals: {error}")))?
        };
        Ok(Self { runtime, signals })
    }

    /// Attends to it from this thread until it has ended.
    ///
    /// # Errors
    /// [`Trouble`] if it did not end as it should.
    pub(super) fn attend(mut self, running: Running, config_file: &Path) -> Result<(), Trouble> {
        let Running { server, admin, acme, sandbox, watched, read_at, text } = running;
        self.runtime.block_on(async {
            let renewals = acme.map(|acme| tokio::spawn(renew(acme, server.telemetry().clone())));
            if let Some(socket) = admin {
                let admin = Admin { shared: Arc::clone(server.shared()), telemetry: server.telemetry().clone() };
                tokio::spawn(admin.serve(socket));
            }
            let mut watchdog = Watchdog::new();
            let mut watching = Watching::begin(server.telemetry(), watched, read_at);
            let reloader = Reloader { server: &server, config_file, sandbox: &sandbox, text: &text };
            control(&reloader, &mut self.signals, &mut watching, &mut watchdog).await;
            // Nobody could look at a proof any more.
            if let Some(renewals) = renewals {
                renewals.abort();
            }
            drain(server, &mut watchdog).await
        })
    }
}

impl Signals {
    /// Needs a runtime.
    fn handled() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _size: signal(SignalKind::from_raw(process::Signal::XFSZ.as_raw()))?,
        })
    }
}

/// Reloads on SIGHUP, on changes and when a worker asks, until SIGTERM or SIGINT.
async fn control(reloader: &Reloader<'_>, signals: &mut Signals, watching: &mut Watching, watchdog: &mut Watchdog) {
    let server = reloader.server;
    let shared = server.shared();
    manager::ready(shared.policy.load().sources().len(), "");
    loop {
        let asked = tokio::select! {
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
            () = watchdog.due() => {
                watchdog.look(server.sweeps());
                continue;
            }
            _ = signals.hangup.recv() => false,
            () = watching.changed() => false,
            () = shared.reload.asked() => true,
        };
        manager::reloading();
        let reloaded = reloader.reload();
        manager::ready(shared.policy.load().sources().len(), reloaded.note);
        if asked {
            shared.reload.done();
        }
        if let Some(found) = reloaded.watched {
            watching.follow(server.telemetry(), found);
        }
    }
}

/// What is watched, and by what: without a watch SIGHUP is left.
struct Watching {
    watched: Watched,
    watch: Option<Watch>,
}

impl Watching {
    /// Watches what was read before anybody could watch, from `read_at` on. What changed meanwhile counts.
    fn begin(telemetry: &Telemetry, watched: Watched, read_at: Moment) -> Self {
        let mut watch = watch(telemetry, &watched);
        if let Some(watch) = watch.as_mut().filter(|_| watched.has_changed_since(read_at)) {
            watch.stir();
        }
        Self { watched, watch }
    }

    async fn changed(&mut self) {
        match &mut self.watch {
            Some(watch) => watch.changed().await,
            None => std::future::pending().await,
        }
    }

    /// Watches what a reload found, if there is anything new. It was read before it was watched, and the old watch goes with what it has not told, so one more
    /// reload follows. As long as there is nothing new the old one stays: a policy that cannot be read names no files, and those it named are still in force.
    fn follow(&mut self, telemetry: &Telemetry, found: Watched) {
        let is_outdated = self.watch.as_ref().is_none_or(Watch::is_outdated);
        if found.is_within(&self.watched) && !is_outdated {
            return;
        }
        self.watched = found;
        self.watch = watch(telemetry, &self.watched);
        if let Some(watch) = &mut self.watch {
            watch.stir();
        }
    }
}

/// Watches, or says that it cannot.
fn watch(telemetry: &Telemetry, watched: &Watched) -> Option<Watch> {
    match Watch::new(watched) {
        Ok(watch) => Some(watch),
        Err(error) => {
            let message = "cannot watch files: changes are seen on SIGHUP alone";
            telemetry.event(Level::Warn, message, &[("error", &error)]);
            None
        }
    }
}

/// Ends the gateway. The private listener goes on answering meanwhile.
async fn drain(server: Server, watchdog: &mut Watchdog) -> Result<(), Trouble> {
    server.telemetry().event(Level::Info, "draining", &[]);
    manager::stopping();
    let mut stopping = tokio::task::spawn_blocking(move || server.stop());
    loop {
        tokio::select! {
            biased;
            stopped = &mut stopping => return stopped.map_err(|error| Trouble::Other(error.to_string())),
            // Workers end one after the other, within the time that a drain has.
            () = watchdog.due() => manager::alive(),
        }
    }
}

async fn renew(acme: Acme, telemetry: Telemetry) {
    let Err(error) = acme.run().await;
    telemetry.event(Level::Error, "certificates are not renewed", &[("error", &error)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    use crate::cli::serve::reload;
    use crate::policy::watch::DEBOUNCE;
    use crate::record::Format;

    fn telemetry() -> Telemetry {
        reload::tests::telemetry(Format::Json, Box::new(io::sink()))
    }

    /// A policies' directory with one policy, and a secret beside it that no policy names yet.
    fn folder() -> (tempfile::TempDir, Watched, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let [policies, secrets] = ["policies", "secrets"].map(|name| folder.path().join(name));
        fs::create_dir(&policies).unwrap();
        fs::create_dir(&secrets).unwrap();
        fs::write(policies.join("github.toml"), "before").unwrap();
        let secret = secrets.join("next");
        fs::write(&secret, "before").unwrap();
        (folder, Watched { trees: [policies].into(), ..Watched::default() }, secret)
    }

    async fn is_told(watching: &mut Watching) -> bool {
        tokio::time::timeout(20 * DEBOUNCE, watching.changed()).await.is_ok()
    }

    async fn is_quiet(watching: &mut Watching) -> bool {
        tokio::time::timeout(2 * DEBOUNCE, watching.changed()).await.is_err()
    }

    /// A moment after everything so far, by a clock that goes in steps.
    fn later() -> Moment {
        let now = Moment::now();
        std::iter::repeat_with(Moment::now).find(|later| *later > now).unwrap()
    }

    #[tokio::test]
    async fn what_changes_while_the_gateway_starts_is_told_once_it_attends() {
        let (folder, watched, _) = folder();
        let read_at = later();
        let mut watching = Watching::begin(&telemetry(), watched.clone(), read_at);
        assert!(is_quiet(&mut watching).await, "nothing changed");
        fs::write(folder.path().join("policies/github.toml"), "while it starts").unwrap();
        assert!(is_told(&mut Watching::begin(&telemetry(), watched, read_at)).await);
    }

    #[tokio::test]
    async fn what_changes_while_a_reload_finds_more_to_watch_is_told_after_it() {
        let (folder, watched, secret) = folder();
        let mut watching = Watching::begin(&telemetry(), watched.clone(), later());
        let more = Watched { files: [secret.clone()].into(), ..watched.clone() };
        // The reload has read it already.
        fs::write(folder.path().join("policies/github.toml"), "while it reloads").unwrap();
        watching.follow(&telemetry(), more);
        assert!(is_told(&mut watching).await, "what the old watch knew");
        assert!(is_quiet(&mut watching).await, "once");
        fs::write(&secret, "another").unwrap();
        assert!(is_told(&mut watching).await, "what is new");
        watching.follow(&telemetry(), watched);
        assert!(is_quiet(&mut watching).await, "less to watch is no change");
        fs::write(&secret, "a third").unwrap();
        assert!(is_told(&mut watching).await, "and is watched on");
    }
}
