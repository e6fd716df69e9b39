//! `hookward serve`: runs the gateway until it is told to stop.

mod activation;
mod attend;
mod identity;
mod listening;
mod manager;
mod process;
mod reload;
mod sandbox;

use std::fmt::Display;
use std::io;
use std::net::TcpListener;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use clap::Args;

use self::attend::{Attendant, Running};
use self::listening::{Listening, tell_listening, unusable_acme};
use self::process::{Room, Undone};
use self::reload::tell_in_force;
use self::sandbox::Sandbox;
use super::setup::{Setup, Trouble};
use super::written::Written;
use crate::acme::Acme;
use crate::admit::Limits;
use crate::admit::networks::Networks;
use crate::clock::Clock;
use crate::edge::tls::Certificates;
use crate::edge::unix::SocketFile;
use crate::forward::names::Names;
use crate::gateway::health::checks_max;
use crate::policy::Policy;
use crate::policy::gateway_config::{GatewayConfig, ListenConfig, LogFormat};
use crate::policy::secrets::SystemSecrets;
use crate::policy::table::Spanned;
use crate::policy::watch::{Moment, Watched};
use crate::reason::Level;
use crate::record::{self, Colour, Format, Telemetry};
use crate::server::{self, Server, Startup};

/// None: everything is in the configuration.
#[derive(Debug, Args)]
pub struct Arguments {}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// [`Trouble`] if the configuration has an error, or the gateway cannot start.
pub fn run(_arguments: &Arguments, config_file: &Path) -> Result<(), Trouble> {
    let mut unhardened = process::harden();
    let descriptors = process::raise_descriptors();
    let (prepared, lowered) = Prepared::of(config_file)?.fit(descriptors)?;
    let sandbox = prepared.confine(&mut unhardened)?;
    let attendant = Attendant::new()?;
    let telemetry = telemetry(&prepared.config)?;
    telemetry.tell_panics();
    sandbox.tell(&telemetry);
    tell_process(&telemetry, &unhardened, lowered.as_ref());
    attendant.attend(prepared.start(telemetry, sandbox)?, config_file)
}

/// What was read and bound.
struct Prepared {
    config: GatewayConfig,
    listen: ListenConfig,
    policy: Policy,
    limits: Limits,
    certificates: Option<Certificates>,
    written: Vec<Written>,
    watched: Watched,
    read_at: Moment,
    /// The configuration as it is written.
    text: String,
    listening: Listening,
}

impl Prepared {
    /// Reads all that the operator wrote, and binds what it names.
    fn of(config_file: &Path) -> Result<Self, Trouble> {
        let read_at = Moment::now();
        let (mut setup, limits) = Setup::load(config_file, &SystemSecrets);
        let certificates = setup.certificates();
        let written = setup.written();
        let watched = setup.watched().unwrap_or_default();
        let text = setup.text().to_owned();
        let (config, policy) = setup.usable()?;
        let Some(listen) = config.listen.clone() else {
            return Err(Trouble::Other(format!(
                "{} has no [listen]: where would deliveries come in?",
                config_file.display()
            )));
        };
        let certificates = match &config.acme {
            Some(acme) => Some(certificates.unwrap_or_default().awaiting(&acme.domains)),
            None => certificates,
        };
        let listening = Listening::bind(&listen, &config)?;
        Ok(Self { config, listen, policy, limits, certificates, written, watched, read_at, text, listening })
    }

    /// Sees that neither clients nor deliveries can need more descriptors than there are beside all others.
    fn fit(mut self, descriptors: u64) -> Result<(Self, Option<Lowered>), Trouble> {
        let others = self.listening.sockets.descriptors() + checks_max(&self.policy);
        let room = Room::of(descriptors, server::workers(&self.config.edge), others);
        let from = self.config.edge.connections_max;
        let to = from.min(room.clients_max());
        let deliveries_max = NonZeroU32::new(room.beside(to)).filter(|_| to > 0).ok_or_else(|| {
            Trouble::Other(format!(
                "the process may have {descriptors} open files, which leaves none for connections\n\
                 hint: raise the limit (LimitNOFILE= in a unit, ulimit -n in a shell)"
            ))
        })?;
        self.config.edge.connections_max = to;
        let limits = self.limits.with_deliveries_at_most(deliveries_max);
        Ok((Self { limits, ..self }, (to < from).then_some(Lowered { from, to, descriptors })))
    }

    /// Gives up what the process had for binding and reading, and what it will not need.
    fn confine(&self, unhardened: &mut Vec<Undone>) -> Result<Sandbox, Trouble> {
        let sockets = &self.listening.sockets;
        if let Some(Spanned { value: user, .. }) = &self.listen.user {
            identity::become_user(user, sockets.files())
                .map_err(|error| Trouble::Other(format!("cannot become user {user:?}: {error}")))?;
            unhardened.extend(process::hide());
        }
        // The last thing that is done while there is one thread.
        Ok(if self.listen.sandbox {
            Sandbox::enter(&self.written, sockets.files().map(SocketFile::path))
        } else {
            Sandbox::switched_off()
        })
    }

    /// Starts the workers.
    fn start(self, telemetry: Telemetry, sandbox: Sandbox) -> Result<Running, Trouble> {
        let Self { config, listen, policy, limits, certificates, watched, read_at, text, listening, written: _ } = self;
        let Listening { sockets, admin, proofs } = listening;
        let server = Server::start(Startup {
            edge: config.edge.clone(),
            sockets,
            trusted_proxies: trusted_proxies(&listen),
            forwarding_field: listen.forwarding_field,
            proxy_protocol: listen.proxy_protocol,
            certificates,
            policy,
            limits,
            telemetry,
            clock: Clock::system(),
            names: Names::system(),
        })?;
        tell_listening(server.telemetry(), server.sockets(), admin.as_ref());
        tell_in_force(&server);
        let acme = acme(&server, &config, proofs).map_err(|error| unusable_acme(&error))?;
        Ok(Running { server, admin, acme, sandbox, watched, read_at, text })
    }
}

/// What became of `connections_max`.
struct Lowered {
    from: usize,
    to: usize,
    descriptors: u64,
}

fn tell_process(telemetry: &Telemetry, unhardened: &[Undone], lowered: Option<&Lowered>) {
    for (what, error) in unhardened {
        telemetry.event(Level::Warn, "the process could not be hardened", &[("by", what), ("error", error)]);
    }
    if identity::is_root() {
        let hint = "set [listen] user, or User= in the unit";
        telemetry.event(Level::Warn, "the gateway runs as root", &[("hint", &hint)]);
    }
    if let Some(Lowered { from, to, descriptors }) = lowered {
        let fields: [(&str, &dyn Display); 3] = [("from", &from), ("to", &to), ("descriptors", &descriptors)];
        telemetry.event(Level::Warn, "connections_max is lowered: raise LimitNOFILE", &fields);
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

fn trusted_proxies(listen: &ListenConfig) -> Networks {
    Networks::new(listen.trusted_proxies.iter().map(|network| network.value))
}

fn telemetry(config: &GatewayConfig) -> Result<Telemetry, Trouble> {
    let rejects = &config.rejects;
    let target = rejects.target.value.path();
    let options = record::Options {
        rejects: target.to_owned(),
        file_bytes_max: rejects.file_bytes_max,
        files_max: rejects.files_max,
        format: match config.log.format {
            LogFormat::Auto => Format::auto(),
            LogFormat::Text => Format::Text,
            LogFormat::Json => Format::Json,
        },
        colour: Colour::auto(),
        level: config.log.level,
        clock: Arc::new(|| Clock::system().unix_micros()),
    };
    Telemetry::start(options).map_err(|source| Trouble::File { path: target.to_owned(), source })
}
