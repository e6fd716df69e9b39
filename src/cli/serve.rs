//! `hookward serve`: runs the gateway until it is told to stop.

mod activation;
mod identity;
mod manager;
mod process;
mod sandbox;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use manager::Watchdog;
use process::Room;
use rustix::process::Signal;
use sandbox::Sandbox;
use tokio::signal::unix::{SignalKind, signal};

use super::setup::{Setup, Trouble, certificate_files};
use super::written::{rejected_log, written};
use crate::acme::{self, Acme};
use crate::admin::{self, Admin};
use crate::admit::Limits;
use crate::admit::networks::Networks;
use crate::clock::Clock;
use crate::edge::sockets::{BindFault, Places, Sockets};
use crate::edge::tls::Certificates;
use crate::edge::unix;
use crate::forward::names::Names;
use crate::gateway::health::checks_max;
use crate::policy::Policy;
use crate::policy::diagnostic::Styles;
use crate::policy::gateway_config::{EdgeConfig, GatewayConfig, ListenConfig, LogFormat, LogLevel};
use crate::policy::load::{self, Loaded};
use crate::policy::reload::{Watch, Watched};
use crate::policy::secrets::SystemSecrets;
use crate::policy::table::Spanned;
use crate::reason::Level;
use crate::record::{self, Colour, Format, Telemetry};
use crate::server::{self, Server, StartFault, Startup};

/// Nothing yet: everything is in the configuration.
#[derive(Debug, Args)]
pub struct Arguments {}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// [`Trouble`] if the configuration has an error, or the gateway cannot start.
pub fn run(_arguments: &Arguments, config_file: &Path) -> Result<(), Trouble> {
    let mut unhardened = process::harden();
    let descriptors = process::raise_descriptors();
    let mut setup = Setup::read(config_file, &SystemSecrets);
    let certificates = setup.certificates(config_file);
    let written = setup.written(config_file);
    let named = std::mem::take(&mut setup.loaded.watched);
    let (mut config, policy, limits) = setup.usable()?;
    let Some(listen) = config.listen.clone() else {
        return Err(Trouble::Other(format!(
            "{} has no [listen]: where would deliveries come in?",
            config_file.display()
        )));
    };
    // What no second process can have comes first: the public addresses can be shared, and from then on the system hands connections to this one.
    let admin = config.admin.as_ref().map(|admin| bind_admin(admin.listen.value)).transpose()?;
    let proofs = config.acme.as_ref().map(acme::bind).transpose().map_err(|error| unusable_acme(&error))?.flatten();
    let sockets = sockets(&listen, &config.edge)?;
    let others = sockets.descriptors() + checks_max(&policy);
    let (limits, lowered) = fit(limits, &mut config.edge, others, descriptors)?;
    if let Some(Spanned { value: user, .. }) = &listen.user {
        let files = sockets.files();
        identity::become_user(user, files)
            .map_err(|error| Trouble::Other(format!("cannot become user {user:?}: {error}")))?;
        unhardened.extend(process::hide());
    }
    // The last thing that is done while there is one thread.
    let sandbox = if listen.sandbox { Sandbox::enter(&written, sockets.files()) } else { Sandbox::switched_off() };
    let telemetry = telemetry(&config)?;
    telemetry.tell_panics();
    sandbox.tell(&telemetry);
    for (what, error) in &unhardened {
        telemetry.event(Level::Warn, "the process could not be hardened", &[("by", what), ("error", error)]);
    }
    if identity::is_root() {
        let hint = "set [listen] user, or User= in the unit";
        telemetry.event(Level::Warn, "the gateway runs as root", &[("hint", &hint)]);
    }
    if let Some(Lowered { from, to }) = lowered {
        let fields: [(&str, &dyn Display); 3] = [("from", &from), ("to", &to), ("descriptors", &descriptors)];
        telemetry.event(Level::Warn, "connections_max is lowered: raise LimitNOFILE", &fields);
    }
    let clock = Clock::system();
    telemetry.policies_loaded(clock.unix_micros());
    let server = Server::start(Startup {
        edge: config.edge.clone(),
        sockets,
        trusted_proxies: trusted_proxies(&listen),
        forwarding_field: listen.forwarding_field,
        proxy_protocol: listen.proxy_protocol,
        certificates,
        policy,
        limits,
        telemetry: telemetry.clone(),
        clock,
        names: Names::system(),
    })?;
    tell_listening(&telemetry, server.sockets(), admin.as_ref());
    tell_weakened(&telemetry, &server.shared().policy.load());
    tell_certificates(&server);
    let acme = acme(&server, &config, proofs).map_err(|error| unusable_acme(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Trouble::Other(format!("cannot start: {error}")))?;
    runtime.block_on(async {
        let renewals = acme.map(|acme| tokio::spawn(renew(acme, telemetry.clone())));
        let mut watchdog = Watchdog::new();
        control(&server, config_file, watched(config_file, &config, named), admin, &sandbox, &mut watchdog).await?;
        // Nobody could look at a proof any more.
        if let Some(renewals) = renewals {
            renewals.abort();
        }
        telemetry.event(Level::Info, "draining", &[]);
        manager::stopping();
        // The private listener goes on answering meanwhile.
        let mut stopping = tokio::task::spawn_blocking(move || server.stop());
        loop {
            tokio::select! {
                biased;
                stopped = &mut stopping => return stopped.map_err(|error| Trouble::Other(error.to_string())),
                // Workers end one after the other, within the time that a drain has.
                () = watchdog.due() => manager::alive(),
            }
        }
    })
}

/// Binds what `[listen]` names. Of what a service manager hands over, a kind takes the place of the addresses of that kind.
fn sockets(listen: &ListenConfig, edge: &EdgeConfig) -> Result<Sockets, Trouble> {
    let handed = activation::handed()?;
    if !handed.http.is_empty() && listen.trusted_proxies.is_empty() {
        return Err(Trouble::Other(
            "a plain socket was handed over, and [listen] has no trusted_proxies: nobody could use it\n\
             hint: hand over https, or name the proxy's network in trusted_proxies"
                .to_owned(),
        ));
    }
    let places = Places {
        https: if handed.https.is_empty() { addresses(&listen.https) } else { Vec::new() },
        http: if handed.http.is_empty() { addresses(&listen.http) } else { Vec::new() },
        unix: if handed.unix.is_empty() { unix_sockets(listen) } else { Vec::new() },
    };
    let mut sockets = Sockets::bind(&places, server::workers(edge)).map_err(StartFault::from)?;
    sockets.take(handed).map_err(StartFault::from)?;
    if sockets.descriptors() == 0 {
        return Err(Trouble::Other("[listen] names no address, and no socket was handed over".to_owned()));
    }
    Ok(sockets)
}

/// What became of `connections_max`.
struct Lowered {
    from: usize,
    to: usize,
}

/// Sees that neither clients nor deliveries can need more descriptors than there are beside these others.
fn fit(
    limits: Limits,
    edge: &mut EdgeConfig,
    others: usize,
    descriptors: u64,
) -> Result<(Limits, Option<Lowered>), Trouble> {
    let room = Room::of(descriptors, server::workers(edge), others);
    let (from, to) = (edge.connections_max, edge.connections_max.min(room.clients_max()));
    let deliveries_max = NonZeroU32::new(room.beside(to)).filter(|_| to > 0).ok_or_else(|| {
        Trouble::Other(format!(
            "the process may have {descriptors} open files, which leaves none for connections\n\
             hint: raise the limit (LimitNOFILE= in a unit, ulimit -n in a shell)"
        ))
    })?;
    edge.connections_max = to;
    Ok((limits.with_deliveries_at_most(deliveries_max), (to < from).then_some(Lowered { from, to })))
}

fn tell_listening(telemetry: &Telemetry, sockets: &Sockets, admin: Option<&TcpListener>) {
    for (what, addresses) in [("https", sockets.https()), ("http", sockets.http())] {
        for address in addresses {
            telemetry.event(Level::Info, "listening", &[("protocol", &what), ("address", address)]);
        }
    }
    for path in sockets.unix() {
        telemetry.event(Level::Info, "listening", &[("protocol", &"http"), ("path", &path.display())]);
    }
    if let Some(address) = admin.and_then(|socket| socket.local_addr().ok()) {
        telemetry.event(Level::Info, "listening", &[("protocol", &"admin"), ("address", &address)]);
    }
}

/// A line for each source whose stages are not all enforced.
fn tell_weakened(telemetry: &Telemetry, policy: &Policy) {
    for source in policy.sources() {
        let stages = source.modes.weakened();
        if !stages.is_empty() {
            let because = source.modes.because.as_deref().unwrap_or("-");
            let stages = stages.join(" ");
            let fields: [(&str, &dyn Display); 3] =
                [("source", &source.name), ("stages", &stages), ("because", &because)];
            telemetry.event(Level::Warn, "stages are only monitored", &fields);
        }
    }
}

/// Until when they are good, for the metrics.
fn tell_certificates(server: &Server) {
    if let Some(store) = server.certificates() {
        server.telemetry().certificates(store.expiries());
    }
}

/// What keeps the certificate of `[acme]` fresh.
fn acme(server: &Server, config: &GatewayConfig, proofs: Option<TcpListener>) -> io::Result<Option<Acme>> {
    let (Some(acme), Some(store)) = (&config.acme, server.certificates()) else { return Ok(None) };
    let clock = server.shared().clock.clone();
    let acme = Acme::open(acme.clone(), proofs, Arc::clone(store), server.telemetry().clone(), clock)?;
    if let Some(address) = acme.http() {
        server.telemetry().event(Level::Info, "listening", &[("protocol", &"acme"), ("address", &address)]);
    }
    Ok(Some(acme))
}

fn unusable_acme(error: &io::Error) -> Trouble {
    Trouble::Other(format!("cannot set up [acme]: {error}"))
}

async fn renew(acme: Acme, telemetry: Telemetry) {
    let Err(error) = acme.run().await;
    telemetry.event(Level::Error, "certificates are not renewed", &[("error", &error)]);
}

fn bind_admin(address: SocketAddr) -> Result<TcpListener, Trouble> {
    admin::bind(address).map_err(|source| StartFault::from(BindFault::Address { address, source }).into())
}

fn addresses(list: &[Spanned<SocketAddr>]) -> Vec<SocketAddr> {
    list.iter().map(|address| address.value).collect()
}

fn unix_sockets(listen: &ListenConfig) -> Vec<unix::Place> {
    let place = |path: &Spanned<PathBuf>| unix::Place { path: path.value.clone(), mode: listen.unix_mode };
    listen.unix.iter().map(place).collect()
}

fn trusted_proxies(listen: &ListenConfig) -> Networks {
    Networks::new(listen.trusted_proxies.iter().map(|network| network.value))
}

fn telemetry(config: &GatewayConfig) -> Result<Telemetry, Trouble> {
    let (rejects, target) = (config.rejects.as_ref(), rejected_log(config));
    let options = record::Options {
        rejects: target.clone(),
        file_bytes_max: rejects.map_or(104_857_600, |rejects| rejects.file_bytes_max),
        files_max: rejects.map_or(10, |rejects| rejects.files_max),
        format: match config.log.format {
            LogFormat::Auto => Format::auto(),
            LogFormat::Text => Format::Text,
            LogFormat::Json => Format::Json,
        },
        colour: Colour::auto(),
        level: match config.log.level {
            LogLevel::Error => Level::Error,
            LogLevel::Warn => Level::Warn,
            LogLevel::Info | LogLevel::Debug | LogLevel::Trace => Level::Info,
        },
        clock: Arc::new(|| Clock::system().unix_micros()),
    };
    Telemetry::start(options).map_err(|source| Trouble::File { path: target, source })
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
        let (found, note) = reload(server, config_file, sandbox);
        manager::ready(shared.policy.load().sources().len(), note);
        if asked {
            shared.reload.done();
        }
        let is_whole = watch.as_ref().is_some_and(Watch::is_whole);
        if let Some(found) = found.filter(|found| *found != watched || !is_whole) {
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

/// The configuration, its certificates and policies, and the files that the policies name.
fn watched(config_file: &Path, config: &GatewayConfig, named: BTreeSet<PathBuf>) -> Watched {
    let mut files = named;
    files.insert(config_file.to_owned());
    for pair in certificate_files(config) {
        files.extend([pair.certificate, pair.key]);
    }
    let trees = config.policies.iter().map(|policies| policies.directory.value.clone()).collect();
    Watched { files, trees }
}

/// Loads policies and certificates anew and swaps both in, or changes nothing and says why. Hands out what is to be watched from now on, right or
/// wrong, as far as the configuration can be read, and what an operator has to know.
fn reload(server: &Server, config_file: &Path, sandbox: &Sandbox) -> (Option<Watched>, &'static str) {
    let telemetry = server.telemetry();
    let mut loaded = Loaded::default();
    let file = loaded.files.read(config_file, &mut loaded.diagnostics);
    let config = file.and_then(|file| crate::policy::gateway_config::read_gateway(&file, &mut loaded.diagnostics));
    let limits = &server.shared().limits;
    let policies = config.as_ref().and_then(|config| config.policies.as_ref());
    let policy = policies.and_then(|policies| load::load(policies, &SystemSecrets, limits, &mut loaded));
    let certificates = match &config {
        Some(config) if !config.tls.is_empty() => Certificates::load(&certificate_files(config)).map(Some),
        Some(_) | None => Ok(None),
    };
    let note = match (policy, certificates) {
        (Some(policy), Ok(certificates)) if !loaded.diagnostics.has_errors() => {
            let sources = policy.sources().len();
            if let (Some(store), Some(certificates)) = (server.certificates(), certificates) {
                store.swap(&certificates);
                tell_certificates(server);
            }
            tell_weakened(telemetry, &policy);
            if let Some(config) = &config {
                sandbox.tell_outside(telemetry, &written(config, config_file, &loaded));
            }
            server.shared().policy.store(Arc::new(policy));
            telemetry.policies_loaded(server.shared().clock.unix_micros());
            telemetry.event(Level::Info, "reloaded", &[("sources", &sources)]);
            ""
        }
        (_, certificates) => {
            telemetry.policies_failed();
            telemetry.event(
                Level::Error,
                "reload failed, nothing was changed",
                &[("findings", &loaded.diagnostics.summary())],
            );
            let report = loaded.diagnostics.report(&loaded.files, &Styles::plain()).to_string();
            for line in report.lines() {
                telemetry.event(Level::Error, line, &[]);
            }
            for (_, fault) in certificates.err().into_iter().flatten() {
                telemetry.event(Level::Error, "certificate", &[("error", &fault)]);
            }
            "; the last reload failed"
        }
    };
    (config.map(|config| watched(config_file, &config, loaded.watched)), note)
}
