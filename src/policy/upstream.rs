//! `[forward] to` → a [`Target`]: the upstream's address, fixed when policies load.

use std::ops::Range;
use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderValue, Uri};
use rustls::pki_types::ServerName;

use super::source_config::{ForwardConfig, Upstream};
use super::tls::TrustCache;
use crate::forward::Target;
use crate::forward::target::{At, Transport};

/// Where a fault is and what it is.
type Fault = (Option<Range<usize>>, String);

/// Compiles the upstream of a source.
pub(super) fn target(config: &ForwardConfig, trust: &mut TrustCache) -> Result<Target, Fault> {
    let fault = |message: String| (Some(config.to.span.clone()), message);
    match &config.to.value {
        Upstream::Http(url) => {
            let (host, port) = place(url, 80);
            over(url, "http", Transport::Tcp(At::Host { host, port })).map_err(fault)
        }
        Upstream::Https(url) => {
            let (host, port) = place(url, 443);
            let name = ServerName::try_from(host.to_string());
            let name = name.map_err(|_| fault(format!("{host:?} is not a name a certificate can have")))?;
            let config = trust.client_config(&config.trust_roots)?;
            over(url, "https", Transport::Tls { at: At::Host { host, port }, name, config }).map_err(fault)
        }
        Upstream::Unix { socket, path } => {
            let path: Uri = path.parse().map_err(|_| fault(format!("{path:?} is not a path")))?;
            Ok(Target {
                pool_key: Arc::from(format!("unix:{}", socket.display())),
                transport: Transport::Unix(socket.clone()),
                path,
                host: HeaderValue::from_static("localhost"),
            })
        }
    }
}

fn over(url: &Uri, scheme: &str, transport: Transport) -> Result<Target, String> {
    let authority = url.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let path = url.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let host = HeaderValue::from_str(authority).map_err(|_| format!("{authority:?} is not a host"))?;
    let trust = match &transport {
        // Two sources may trust different roots for one address: their connections are not shared.
        Transport::Tls { config, .. } => format!(" {:p}", Arc::as_ptr(config)),
        Transport::Tcp(_) | Transport::Unix(_) => String::new(),
    };
    Ok(Target { transport, path: Uri::from(path), host, pool_key: Arc::from(format!("{scheme}://{authority}{trust}")) })
}

fn place(url: &Uri, default_port: u16) -> (Arc<str>, u16) {
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    (Arc::from(host), url.port_u16().unwrap_or(default_port))
}
