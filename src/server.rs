//! The running gateway: workers, the policy in force, and what keeps both going.
//!
//! [`Server::start`] takes everything that was loaded and checked, and sockets that are bound, starts the workers and hands out a handle.
//! `hookward serve`, `hookward demo` and the tests all start the same server.

use std::io;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::{self, JoinHandle};

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, watch};

use crate::admit::networks::Networks;
use crate::admit::{Capacity, Limits};
use crate::clock::Clock;
use crate::edge::caps::Caps;
use crate::edge::client_certificate::InForce;
use crate::edge::handshakes::Handshakes;
use crate::edge::registry::Registry;
use crate::edge::serve::{Listener, Worker};
use crate::edge::sockets::{BindFault, Sockets};
use crate::edge::tls::{self, CertificateStore, Certificates};
use crate::edge::turns::Turns;
use crate::forward::Upstreams;
use crate::forward::names::Names;
use crate::gateway::confirm::Visits;
use crate::gateway::diagnose::Diagnosis;
use crate::gateway::health::Health;
use crate::gateway::{self, Gateway, Shared};
use crate::policy::Policy;
use crate::policy::gateway_config::{EdgeConfig, ForwardingField};
use crate::policy::watch::Reload;
use crate::receive::Pace;
use crate::record::Telemetry;

/// What a gateway is started with.
pub struct Startup {
    /// `[edge]`.
    pub edge: EdgeConfig,
    /// Where it listens; there is a share for each worker.
    pub sockets: Sockets,
    /// Networks whose forwarding fields are believed.
    pub trusted_proxies: Networks,
    /// The field in which proxies name the client.
    pub forwarding_field: ForwardingField,
    /// Whether connections from there begin with a PROXY header.
    pub proxy_protocol: bool,
    /// The certificates, if there is a TLS listener.
    pub certificates: Option<Certificates>,
    /// The first policy.
    pub policy: Policy,
    /// Rates, budgets, claims; the policy was compiled with them.
    pub limits: Limits,
    /// Logs and metrics.
    pub telemetry: Telemetry,
    /// The time.
    pub clock: Clock,
    /// Where hosts are that a subscription is confirmed at.
    pub names: Names,
}

/// A running gateway.
pub struct Server {
    shared: Arc<Shared>,
    store: Option<Arc<CertificateStore>>,
    telemetry: Telemetry,
    draining: watch::Sender<bool>,
    workers: Vec<JoinHandle<io::Result<()>>>,
    /// The workers' connections.
    registries: Vec<Arc<Registry>>,
    diagnosis: Diagnosis,
    diagnostician: Option<JoinHandle<()>>,
    sockets: Sockets,
}

/// Why a gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// It cannot be listened somewhere.
    #[error(transparent)]
    Bind(#[from] BindFault),
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// There is an https listener and no `[[tls]]`.
    #[error(
        "an https listener needs a certificate: add [[tls]] with certificate and key (`hookward cert` makes one for development)"
    )]
    NoCertificate,
    /// A thread or its runtime cannot be made.
    #[error("cannot start a worker: {0}")]
    Worker(#[source] io::Error),
}

impl Server {
    /// Starts a worker for each share of the sockets.
    ///
    /// # Errors
    /// [`StartFault`]; nothing is left running then.
    pub fn start(mut startup: Startup) -> Result<Self, StartFault> {
        let store = startup.certificates.map(CertificateStore::new);
        if store.is_none() && !startup.sockets.https().is_empty() {
            return Err(StartFault::NoCertificate);
        }
        let shared = Arc::new(Shared {
            policy: ArcSwap::from_pointee(startup.policy),
            limits: startup.limits,
            clock: startup.clock,
            settings: request_settings(&startup.edge, startup.trusted_proxies, startup.forwarding_field),
            reload: Reload::default(),
            learning: Semaphore::new(1),
            visits: Visits::new(startup.names),
        });
        let tls = match &store {
            Some(store) => {
                let in_force = InForce::of(Arc::clone(&shared), |shared| &shared.policy);
                let clock = shared.clock.clone();
                let config = tls::server_config(Arc::clone(store), in_force, startup.edge.tls_profile, clock)?;
                Some((config, Arc::clone(store)))
            }
            None => None,
        };
        let (draining, drained) = watch::channel(false);
        let config = Arc::new(startup.edge);
        let caps = Caps::new(config.connections_max, config.connections_per_client_max);
        let handshakes = Handshakes::new(config.handshakes_max);
        let (diagnosis, diagnostician) = Diagnosis::new();
        let diagnostician = spawn("diagnosis", move || diagnostician.run())?;
        let shares = startup.sockets.take_shares();
        // From here on a fault drops the server, which ends those that are running already.
        let mut server = Self {
            shared,
            store,
            telemetry: startup.telemetry,
            draining,
            workers: Vec::with_capacity(shares.len()),
            registries: Vec::with_capacity(shares.len()),
            diagnosis,
            diagnostician: Some(diagnostician),
            sockets: startup.sockets,
        };
        for (number, listeners) in shares.into_iter().enumerate() {
            let upstreams = Upstreams::default();
            let recorder = server.telemetry.recorder();
            // One of them sees to health checks, for all.
            let health = (number == 0).then(|| Health::new(Arc::clone(&server.shared), recorder.clone()));
            let registry = Arc::new(Registry::default());
            let worker = Arc::new(Worker {
                gateway: Gateway::diagnosing(
                    Arc::clone(&server.shared),
                    upstreams.clone(),
                    recorder,
                    server.diagnosis.clone(),
                ),
                upstreams,
                config: Arc::clone(&config),
                caps: Arc::clone(&caps),
                handshakes: Arc::clone(&handshakes),
                proxy_protocol: startup.proxy_protocol,
                tls: tls.clone(),
                draining: drained.clone(),
                registry: Arc::clone(&registry),
                turns: Arc::new(Turns::default()),
                next: AtomicU64::new(0),
            });
            server.workers.push(spawn(&format!("worker-{number}"), move || work(worker, listeners, health))?);
            server.registries.push(registry);
        }
        Ok(server)
    }

    /// What all workers share: the policy in force, limits, the time.
    #[must_use]
    pub const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The certificates in force.
    #[must_use]
    pub const fn certificates(&self) -> Option<&Arc<CertificateStore>> {
        self.store.as_ref()
    }

    /// Logs and metrics.
    #[must_use]
    pub const fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Where it listens.
    #[must_use]
    pub const fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// How often each worker has swept its connections, or some of them, which it does a few times a second or more as long as it gets on.
    #[must_use]
    pub fn sweeps(&self) -> Vec<u64> {
        self.registries.iter().map(|registry| registry.sweeps()).collect()
    }

    /// Stops listening, takes for a second more what is on its way, answers with `draining` what comes later on open connections, waits for deliveries in
    /// flight (as long as `[edge] drain_seconds` says), and writes what was recorded.
    pub fn stop(mut self) {
        self.end();
        self.telemetry.shutdown();
    }

    fn end(&mut self) {
        self.shared.limits.drain();
        // From now on the next gateway may have their places; workers still take what came before.
        self.sockets.remove_files();
        // Workers that are gone already have nothing to drain.
        let _ = self.draining.send(true);
        for worker in std::mem::take(&mut self.workers) {
            // A worker ends by its own return; a panic in one is no reason to leave the others.
            let _ = worker.join();
        }
        // Behind the workers, who refuse, and before the logs' end: what waits has no record yet.
        self.diagnosis.end();
        let _ = self.diagnostician.take().map(JoinHandle::join);
    }
}

/// A server that is forgotten, or that could not be started as a whole, leaves nothing running.
impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Limits sized by `[edge]`.
#[must_use]
pub fn capacity(edge: &EdgeConfig) -> Capacity {
    let default = Capacity::default();
    Capacity {
        buffered_bytes_max: NonZeroU64::new(edge.buffered_bytes_max.value).unwrap_or(default.buffered_bytes_max),
        deliveries_max: u32::try_from(edge.connections_max)
            .ok()
            .and_then(NonZeroU32::new)
            .map_or(default.deliveries_max, |connections| connections.max(default.deliveries_max)),
        ..default
    }
}

fn work(worker: Arc<Worker>, listeners: Vec<Listener>, health: Option<Health>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _checking = health.map(|health| runtime.spawn(health.run()));
    let served = runtime.block_on(worker.run(listeners));
    // A name's look-up may still block a thread, and is not waited for.
    runtime.shutdown_background();
    served
}

fn spawn<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>, StartFault> {
    thread::Builder::new().name(name.to_owned()).spawn(run).map_err(StartFault::Worker)
}

/// How many workers there are: as many as `[edge] workers` says, or one for each core.
#[must_use]
pub fn workers(edge: &EdgeConfig) -> usize {
    edge.workers.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from))
}

fn request_settings(
    edge: &EdgeConfig,
    trusted_proxies: Networks,
    forwarding_field: ForwardingField,
) -> gateway::Settings {
    gateway::Settings {
        uri_bytes_max: edge.uri_bytes_max,
        headers_max: edge.headers_max,
        head_bytes_max: edge.head_bytes_max,
        pace: Pace {
            deadline: edge.body_time,
            grace: edge.body_grace_time,
            bytes_per_second_min: edge.body_bytes_per_second_min,
        },
        response_bytes_max: edge.response_bytes_max,
        trusted_proxies,
        forwarding_field,
    }
}
