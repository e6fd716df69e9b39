//! The control thread of a running gateway: it reloads on SIGHUP, on changes and when a worker asks, until SIGTERM or SIGINT, and drains.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

use super::manager::{self, Watchdog};
use super::reload::reload;
use super::sandbox::Sandbox;
use crate::acme::Acme;
use crate::admin::Admin;
use crate::cli::setup::Trouble;
use crate::policy::watch::{Watch, Watched};
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
}

/// Attends to it from this thread until it has ended.
///
/// # Errors
/// [`Trouble`] if there is no runtime, or signals cannot be handled.
pub(super) fn attend(running: Running, config_file: &Path) -> Result<(), Trouble> {
    let Running { server, admin, acme, sandbox, watched } = running;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Trouble::Other(format!("cannot start: {error}")))?;
    runtime.block_on(async {
        let renewals = acme.map(|acme| tokio::spawn(renew(acme, server.telemetry().clone())));
        let mut watchdog = Watchdog::new();
        control(&server, config_file, watched, admin, &sandbox, &mut watchdog).await?;
        // Nobody could look at a proof any more.
        if let Some(renewals) = renewals {
            renewals.abort();
        }
        drain(server, &mut watchdog).await
    })
}

/// Reloads on SIGHUP and on changes, until SIGTERM or SIGINT; answers on the private listener meanwhile.
async fn control(
    server: &Server,
    config_file: &Path,
    mut watched: Watched,
    admin: Option<TcpListener>,
    sandbox: &Sandbox,
    watchdog: &mut Watchdog,
) -> Result<(), Trouble> {
    let handler = |kind| signal(kind).map_err(|error| Trouble::Other(format!("cannot handle signals: {error}")));
    let (mut hangup, mut terminate, mut interrupt) =
        (handler(SignalKind::hangup())?, handler(SignalKind::terminate())?, handler(SignalKind::interrupt())?);
    // A log that may not grow is as a full disk: an error, not the end.
    let _handled = handler(SignalKind::from_raw(Signal::XFSZ.as_raw()))?;
    if let Some(socket) = admin {
        let admin = Admin { shared: Arc::clone(server.shared()), telemetry: server.telemetry().clone() };
        tokio::spawn(admin.serve(socket));
    }
    let mut watch = watch(server, &watched);
    let shared = server.shared();
    manager::ready(shared.policy.load().sources().len(), "");
    loop {
        let changed = async {
            match &mut watch {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        let asked = tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            () = watchdog.due() => {
                watchdog.look(server.sweeps());
                continue;
            }
            _ = hangup.recv() => false,
            () = changed => false,
            () = shared.reload.asked() => true,
        };
        manager::reloading();
        let reloaded = reload(server, config_file, sandbox);
        manager::ready(shared.policy.load().sources().len(), reloaded.note);
        if asked {
            shared.reload.done();
        }
        let is_whole = watch.as_ref().is_some_and(Watch::is_whole);
        if let Some(found) = reloaded.watched.filter(|found| *found != watched || !is_whole) {
            watched = found;
            watch = self::watch(server, &watched);
        }
    }
}

/// Watches; without it SIGHUP is left.
fn watch(server: &Server, watched: &Watched) -> Option<Watch> {
    match Watch::new(watched) {
        Ok(watch) => Some(watch),
        Err(error) => {
            let message = "cannot watch files: changes are seen on SIGHUP alone";
            server.telemetry().event(Level::Warn, message, &[("error", &error)]);
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
