//! `[forward] to` → [`Targets`]: the upstreams' addresses, fixed when policies load.

use std::ops::Range;
use std::sync::Arc;

use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Uri};
use rustls::pki_types::ServerName;

use super::source_config::{ForwardConfig, HealthConfig, Upstream};
use super::table::Spanned;
use super::tls::TrustCache;
use crate::admit::Limits;
use crate::admit::reach::Reach;
use crate::forward::target::{At, Transport};
use crate::forward::targets::{HealthRules, Member};
use crate::forward::{Target, Targets};

/// Where a fault is and what it is.
type Fault = (Option<Range<usize>>, String);

/// Compiles the upstreams of the source with this name. Their circuits are those of earlier policies.
pub(super) fn targets(
    source: &str,
    config: &ForwardConfig,
    trust: &mut TrustCache,
    limits: &Limits,
) -> Result<Targets, Fault> {
    let member = |to: &Spanned<Upstream>| {
        let target = target(to, config, trust)?;
        Ok(Member { circuit: limits.circuit(source, &target.name), target: Arc::new(target) })
    };
    let members = config.to.iter().map(member).collect::<Result<_, Fault>>()?;
    Ok(Targets::new(members, config.health.as_ref().map(health)))
}

fn health(config: &HealthConfig) -> HealthRules {
    HealthRules {
        path: config.path.value.clone(),
        every: config.every.seconds(),
        timeout: config.timeout.milliseconds(),
        healthy: config.healthy.count(),
        unhealthy: config.unhealthy.count(),
    }
}

fn target(to: &Spanned<Upstream>, config: &ForwardConfig, trust: &mut TrustCache) -> Result<Target, Fault> {
    let fault = |message: String| (Some(to.span.clone()), message);
    let reach = if config.link_local { Reach::LinkLocal } else { Reach::Ordinary };
    match &to.value {
        Upstream::Http(url) => {
            let (host, port) = place(url, 80);
            over(url, "http", reach, Transport::Tcp(At::Host { host, port, reach })).map_err(fault)
        }
        Upstream::Https(url) => {
            let (host, port) = place(url, 443);
            let name = ServerName::try_from(host.to_string());
            let name = name.map_err(|_| fault(format!("{host:?} is not a name a certificate can have")))?;
            let config = trust.client_config(&config.trust_roots)?;
            over(url, "https", reach, Transport::Tls { at: At::Host { host, port, reach }, name, config })
                .map_err(fault)
        }
        Upstream::Unix { socket, path } => {
            let path: Uri = path.parse().map_err(|_| fault(format!("{path:?} is not a path")))?;
            let name: Arc<str> = Arc::from(format!("unix:{}", socket.display()));
            Ok(Target {
                pool_key: Arc::clone(&name),
                name,
                transport: Transport::Unix(socket.clone()),
                path,
                host: HeaderValue::from_static("localhost"),
            })
        }
    }
}

fn over(url: &Uri, scheme: &str, reach: Reach, transport: Transport) -> Result<Target, String> {
    let authority = url.authority().map(Authority::as_str).unwrap_or_default();
    let path = url.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let host = HeaderValue::from_str(authority).map_err(|_| format!("{authority:?} is not a host"))?;
    let trust = match &transport {
        // Two sources may trust different roots for one address: their connections are not shared.
        Transport::Tls { config, .. } => format!(" {:p}", Arc::as_ptr(config)),
        Transport::Tcp(_) | Transport::Unix(_) => String::new(),
    };
    // Nor does the one that may not go somewhere use the connection of the one that may.
    let reach = match reach {
        Reach::Ordinary => "",
        Reach::LinkLocal => " link-local",
    };
    Ok(Target {
        transport,
        path: Uri::from(path),
        host,
        name: Arc::from(format!("{scheme}://{authority}")),
        pool_key: Arc::from(format!("{scheme}://{authority}{trust}{reach}")),
    })
}

fn place(url: &Uri, default_port: u16) -> (Arc<str>, u16) {
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    (Arc::from(host), url.port_u16().unwrap_or(default_port))
}
