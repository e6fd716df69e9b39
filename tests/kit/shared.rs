//! What a gateway in process is made of, besides its upstream.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hookward::admit::Limits;
use hookward::admit::networks::Networks;
use hookward::clock::Clock;
use hookward::forward::names::Names;
use hookward::gateway::confirm::Visits;
use hookward::gateway::{Settings, Shared};
use hookward::policy::Policy;
use hookward::policy::gateway_config::ForwardingField;
use hookward::policy::reload::Reload;
use hookward::reason::Level;
use hookward::receive::Pace;
use hookward::record::{Colour, Format, Options, Telemetry};
use tokio::sync::Semaphore;

/// What its workers share, with limits that an ordinary delivery keeps.
pub(crate) fn shared(policy: Policy, limits: Limits, clock: Clock) -> Arc<Shared> {
    Arc::new(Shared {
        policy: ArcSwap::from_pointee(policy),
        limits,
        clock,
        settings: Settings {
            uri_bytes_max: 2048,
            headers_max: 64,
            head_bytes_max: 16_384,
            pace: Pace { deadline: Duration::from_secs(30), grace: Duration::from_secs(5), bytes_per_second_min: 1024 },
            response_bytes_max: 1 << 20,
            trusted_proxies: Networks::default(),
            forwarding_field: ForwardingField::default(),
        },
        reload: Reload::default(),
        learning: Semaphore::new(1),
        visits: Visits::new(Names::system()),
    })
}

/// Both logs as JSON in one place; of the access log what is at least so important.
pub(crate) fn telemetry(clock: &Clock, level: Level, out: Box<dyn Write + Send>) -> Telemetry {
    let clock = clock.clone();
    let options = Options {
        rejects: "-".into(),
        file_bytes_max: 1 << 20,
        files_max: 1,
        format: Format::Json,
        colour: Colour::Off,
        level,
        clock: Arc::new(move || clock.unix_micros()),
    };
    Telemetry::start_with(options, out).expect("logs without a file")
}
