//! The running gateway: workers, the policy in force, and what keeps both going.
//!
//! [`Server::start`] takes everything that was loaded and checked, binds every socket before the first worker begins, and hands out a handle.
//! `hookward serve`, `hookward demo` and the tests all start the same server.

use std::io;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::{self, JoinHandle};

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, watch};

use crate::admit::networks::Networks;
use crate::admit::{Capacity, Limits};
use crate::clock::Clock;
use crate::edge::Settings;
use crate::edge::caps::Caps;
use crate::edge::client_certificate::InForce;
use crate::edge::handshakes::Handshakes;
use crate::edge::listen;
use crate::edge::registry::Registry;
use crate::edge::serve::{Listener, Worker};
use crate::edge::stream::Listening;
use crate::edge::tls::{self, CertificateStore, Certificates};
use crate::edge::unix::{self, SocketFile};
use crate::forward::Upstreams;
use crate::forward::names::Names;
use crate::forward::request::Protocol;
use crate::gateway::confirm::Visits;
use crate::gateway::diagnose::Diagnosis;
use crate::gateway::health::Health;
use crate::gateway::{self, Gateway, Shared};
use crate::policy::Policy;
use crate::policy::gateway_config::EdgeConfig;
use crate::policy::reload::Reload;
use crate::receive::Pace;
use crate::record::Telemetry;

/// What a gateway is started with.
pub struct Startup {
    /// `[edge]`.
    pub edge: EdgeConfig,
    /// Addresses of TLS listeners; port 0 is chosen by the system.
    pub https: Vec<SocketAddr>,
    /// Addresses of plain listeners.
    pub http: Vec<SocketAddr>,
    /// Unix sockets to listen on, for proxies of this machine.
    pub unix: Vec<unix::Place>,
    /// Networks whose forwarding fields are believed.
    pub trusted_proxies: Networks,
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
    diagnosis: Diagnosis,
    diagnostician: Option<JoinHandle<()>>,
    https: Vec<SocketAddr>,
    http: Vec<SocketAddr>,
    unix: Vec<SocketFile>,
}

/// Why a gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A Unix socket cannot be listened on.
    #[error("cannot listen on {}: {source}", path.display())]
    BindUnix {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
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
    /// Binds every address, then starts the workers.
    ///
    /// # Errors
    /// [`StartFault`]; nothing is left running then.
    pub fn start(startup: Startup) -> Result<Self, StartFault> {
        let workers = startup.edge.workers.unwrap_or_else(cores);
        let mut listeners: Vec<Vec<Listener>> = (0..workers).map(|_| Vec::new()).collect();
        let https = bind(&startup.https, Protocol::Https, &mut listeners)?;
        let http = bind(&startup.http, Protocol::Http, &mut listeners)?;
        let unix = bind_unix(&startup.unix, &mut listeners)?;
        let store = startup.certificates.map(CertificateStore::new);
        if store.is_none() && !https.is_empty() {
            return Err(StartFault::NoCertificate);
        }
        let shared = Arc::new(Shared {
            policy: ArcSwap::from_pointee(startup.policy),
            limits: startup.limits,
            clock: startup.clock,
            settings: request_settings(&startup.edge, startup.trusted_proxies),
            reload: Reload::default(),
            learning: Semaphore::new(1),
            visits: Visits::new(startup.names),
        });
        let tls = match &store {
            Some(store) => {
                let in_force = InForce::of(Arc::clone(&shared), |shared| &shared.policy);
                let config = tls::server_config(Arc::clone(store), in_force)?;
                Some((config, Arc::clone(store)))
            }
            None => None,
        };
        let (draining, drained) = watch::channel(false);
        let settings = Arc::new(connection_settings(&startup.edge));
        let caps = Caps::new(settings.connections_max, settings.connections_per_client_max);
        let handshakes = Handshakes::new(settings.handshakes_max);
        let (diagnosis, diagnostician) = Diagnosis::new();
        let diagnostician = thread::Builder::new().name("diagnosis".to_owned()).spawn(move || diagnostician.run());
        let diagnostician = Some(diagnostician.map_err(StartFault::Worker)?);
        let spawn = |(number, listeners): (usize, Vec<Listener>)| {
            let upstreams = Upstreams::default();
            let recorder = startup.telemetry.recorder();
            // One of them sees to health checks, for all.
            let health = (number == 0).then(|| Health::new(Arc::clone(&shared), recorder.clone()));
            let worker = Arc::new(Worker {
                gateway: Gateway::diagnosing(Arc::clone(&shared), upstreams.clone(), recorder, diagnosis.clone()),
                upstreams,
                settings: Arc::clone(&settings),
                caps: Arc::clone(&caps),
                handshakes: Arc::clone(&handshakes),
                tls: tls.clone(),
                draining: drained.clone(),
                registry: Arc::new(Registry::default()),
                next: AtomicU64::new(0),
            });
            thread::Builder::new().name(format!("worker-{number}")).spawn(move || work(worker, listeners, health))
        };
        let workers = listeners.into_iter().enumerate().map(spawn).collect::<io::Result<_>>();
        let workers = workers.map_err(StartFault::Worker)?;
        Ok(Self {
            shared,
            store,
            telemetry: startup.telemetry,
            draining,
            workers,
            diagnosis,
            diagnostician,
            https,
            http,
            unix,
        })
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

    /// The addresses of the TLS listeners, with the ports that were chosen.
    #[must_use]
    pub fn https(&self) -> &[SocketAddr] {
        &self.https
    }

    /// The addresses of the plain listeners.
    #[must_use]
    pub fn http(&self) -> &[SocketAddr] {
        &self.http
    }

    /// The Unix sockets that are listened on.
    pub fn unix(&self) -> impl Iterator<Item = &Path> {
        self.unix.iter().map(SocketFile::path)
    }

    /// Stops accepting, answers what still comes on open connections with `draining`, waits for deliveries in flight (as long as `[edge] drain_seconds`
    /// says), and writes what was recorded.
    pub fn stop(mut self) {
        self.shared.limits.drain();
        // Workers that are gone already have nothing to drain.
        let _ = self.draining.send(true);
        // From now on the next gateway may have their place.
        self.unix.clear();
        for worker in std::mem::take(&mut self.workers) {
            // A worker ends by its own return; a panic in one is no reason to leave the others.
            let _ = worker.join();
        }
        // Behind the workers, who refuse, and before the logs' end: what waits has no record yet.
        self.diagnosis.end();
        let _ = self.diagnostician.take().map(JoinHandle::join);
        self.telemetry.shutdown();
    }
}

/// A server that is forgotten ends its workers by itself.
impl Drop for Server {
    fn drop(&mut self) {
        self.shared.limits.drain();
        let _ = self.draining.send(true);
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

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Binds each address once for every worker.
fn bind(
    addresses: &[SocketAddr],
    protocol: Protocol,
    listeners: &mut [Vec<Listener>],
) -> Result<Vec<SocketAddr>, StartFault> {
    let mut bound = Vec::new();
    for &address in addresses {
        let fault = |source| StartFault::Bind { address, source };
        let sockets = listen::bind(address, listeners.len()).map_err(fault)?;
        for (position, (socket, worker)) in sockets.into_iter().zip(listeners.iter_mut()).enumerate() {
            if position == 0 {
                bound.push(socket.local_addr().map_err(fault)?);
            }
            worker.push(Listener { socket: Listening::Tcp(socket), protocol });
        }
    }
    Ok(bound)
}

/// Makes each Unix socket, and a handle of it for every worker.
fn bind_unix(places: &[unix::Place], listeners: &mut [Vec<Listener>]) -> Result<Vec<SocketFile>, StartFault> {
    let mut files = Vec::new();
    for place in places {
        let fault = |source| StartFault::BindUnix { path: place.path.clone(), source };
        let (file, sockets) = unix::bind(place, listeners.len()).map_err(fault)?;
        for (socket, worker) in sockets.into_iter().zip(listeners.iter_mut()) {
            worker.push(Listener { socket: Listening::Unix(socket), protocol: Protocol::Http });
        }
        files.push(file);
    }
    Ok(files)
}

fn request_settings(edge: &EdgeConfig, trusted_proxies: Networks) -> gateway::Settings {
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
    }
}

fn connection_settings(edge: &EdgeConfig) -> Settings {
    Settings {
        handshake: edge.handshake_time,
        head: edge.head_time,
        idle: edge.idle_time,
        write: edge.write_time,
        linger: edge.linger_time,
        connection: edge.connection_time,
        requests_per_connection_max: u32::try_from(edge.requests_per_connection_max).unwrap_or(u32::MAX),
        connections_max: edge.connections_max,
        connections_per_client_max: edge.connections_per_client_max,
        handshakes_max: edge.handshakes_max,
        head_bytes_max: edge.head_bytes_max,
        headers_max: edge.headers_max,
        uri_bytes_max: edge.uri_bytes_max,
        streams_max: size_u32(edge.streams_max),
        unproductive_frames_max: size_u32(edge.unproductive_frames_max),
        unproductive_bytes_max: size_u32(edge.unproductive_bytes_max),
        drain: edge.drain_time,
    }
}

fn size_u32(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}
