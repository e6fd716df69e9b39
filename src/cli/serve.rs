//! `hookward serve`: runs the gateway until it is told to stop.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::setup::{Setup, Trouble, certificate_files};
use crate::admin::{self, Admin};
use crate::admit::networks::Networks;
use crate::clock::Clock;
use crate::edge::tls::Certificates;
use crate::edge::unix;
use crate::forward::names::Names;
use crate::policy::Policy;
use crate::policy::diagnostic::Styles;
use crate::policy::gateway_config::{GatewayConfig, ListenConfig, LogFormat, LogLevel, RejectsTarget};
use crate::policy::load::{self, Loaded};
use crate::policy::reload::{Watch, Watched};
use crate::policy::secrets::SystemSecrets;
use crate::policy::table::Spanned;
use crate::reason::Level;
use crate::record::{self, Colour, Format, Telemetry};
use crate::server::{Server, Startup};

/// Nothing yet: everything is in the configuration.
#[derive(Debug, Args)]
pub struct Arguments {}

/// Where the rejected log goes if the configuration does not say.
const REJECTS_FILE: &str = "logs/rejected.jsonl";

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// [`Trouble`] if the configuration has an error, or the gateway cannot start.
pub fn run(_arguments: &Arguments, config_file: &Path) -> Result<(), Trouble> {
    let mut setup = Setup::read(config_file, &SystemSecrets);
    let certificates = setup.certificates(config_file);
    let named = std::mem::take(&mut setup.loaded.watched);
    let (config, policy, limits) = setup.usable()?;
    let Some(listen) = config.listen.clone() else {
        return Err(Trouble::Other(format!(
            "{} has no [listen]: where would deliveries come in?",
            config_file.display()
        )));
    };
    let telemetry = telemetry(&config)?;
    let clock = Clock::system();
    let admin = config.admin.as_ref().map(|admin| bind_admin(admin.listen.value)).transpose()?;
    telemetry.policies_loaded(clock.unix_micros());
    let server = Server::start(Startup {
        edge: config.edge.clone(),
        https: addresses(&listen.https),
        http: addresses(&listen.http),
        unix: unix_sockets(&listen),
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
    for (what, addresses) in [("https", server.https()), ("http", server.http())] {
        for address in addresses {
            telemetry.event(Level::Info, "listening", &[("protocol", &what), ("address", address)]);
        }
    }
    for path in server.unix() {
        telemetry.event(Level::Info, "listening", &[("protocol", &"http"), ("path", &path.display())]);
    }
    if let Some(address) = admin.as_ref().and_then(|socket| socket.local_addr().ok()) {
        telemetry.event(Level::Info, "listening", &[("protocol", &"admin"), ("address", &address)]);
    }
    tell_weakened(&telemetry, &server.shared().policy.load());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Trouble::Other(format!("cannot start: {error}")))?;
    runtime.block_on(async {
        control(&server, config_file, watched(config_file, &config, named), admin).await?;
        telemetry.event(Level::Info, "draining", &[]);
        // The private listener goes on answering meanwhile.
        tokio::task::spawn_blocking(move || server.stop()).await.map_err(|error| Trouble::Other(error.to_string()))
    })
}

/// A line for each source whose stages are not all enforced.
fn tell_weakened(telemetry: &Telemetry, policy: &Policy) {
    for source in policy.sources() {
        let stages = source.modes.weakened();
        if !stages.is_empty() {
            let because = source.modes.because.as_deref().unwrap_or("-");
            let stages = stages.join(" ");
            let fields: [(&str, &dyn std::fmt::Display); 3] =
                [("source", &source.name), ("stages", &stages), ("because", &because)];
            telemetry.event(Level::Warn, "stages are only monitored", &fields);
        }
    }
}

fn bind_admin(address: SocketAddr) -> Result<std::net::TcpListener, Trouble> {
    admin::bind(address).map_err(|source| Trouble::Start(crate::server::StartFault::Bind { address, source }))
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
    let rejects = config.rejects.as_ref();
    let target = match rejects.map(|rejects| &rejects.target.value) {
        Some(RejectsTarget::StandardOutput) => PathBuf::from("-"),
        Some(RejectsTarget::File(path)) => path.clone(),
        None => PathBuf::from(REJECTS_FILE),
    };
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
    admin: Option<std::net::TcpListener>,
) -> Result<(), Trouble> {
    let handler = |kind| signal(kind).map_err(|error| Trouble::Other(format!("cannot handle signals: {error}")));
    let (mut hangup, mut terminate, mut interrupt) =
        (handler(SignalKind::hangup())?, handler(SignalKind::terminate())?, handler(SignalKind::interrupt())?);
    if let Some(socket) = admin {
        let admin = Admin { shared: Arc::clone(server.shared()), telemetry: server.telemetry().clone() };
        tokio::spawn(admin.serve(socket));
    }
    let mut watch = watch(server, &watched);
    let shared = server.shared();
    loop {
        let changed = async {
            match &mut watch {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        let found = tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => reload(server, config_file),
            () = changed => reload(server, config_file),
            () = shared.reload.asked() => {
                let found = reload(server, config_file);
                shared.reload.done();
                found
            }
        };
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
/// wrong, as far as the configuration can be read.
fn reload(server: &Server, config_file: &Path) -> Option<Watched> {
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
    match (policy, certificates) {
        (Some(policy), Ok(certificates)) if !loaded.diagnostics.has_errors() => {
            let sources = policy.sources().len();
            if let (Some(store), Some(certificates)) = (server.certificates(), certificates) {
                store.swap(certificates);
            }
            tell_weakened(telemetry, &policy);
            server.shared().policy.store(Arc::new(policy));
            telemetry.policies_loaded(server.shared().clock.unix_micros());
            telemetry.event(Level::Info, "reloaded", &[("sources", &sources)]);
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
        }
    }
    config.map(|config| watched(config_file, &config, loaded.watched))
}
