//! `[forward]`: where clean deliveries go.

use std::path::{Path, PathBuf};

use http::Uri;

use super::auth::{SecretPlace, read_place, read_trust_roots};
use crate::admit::reach;
use crate::forward::HeaderRules;
use crate::forward::targets::TARGETS_MAX;
use crate::policy::table::parse::{Fault, parse_path, parse_url};
use crate::policy::table::{Bound, Reader, Setting, Spanned};

/// `[forward]`.
#[derive(Debug, Clone)]
pub struct ForwardConfig {
    /// The upstreams: at least one, all of one kind, each at another place.
    pub to: Vec<Spanned<Upstream>>,
    /// See [`DEADLINE_MS`].
    pub deadline: Setting<u64>,
    /// Header fields of the sender that go on besides the preset's: names, or patterns with a `*` at the end.
    pub headers: Vec<Spanned<String>>,
    /// The secret that signs what is forwarded.
    pub sign: Option<Spanned<SecretPlace>>,
    /// Whether the upstream may be at a link-local address, where clouds hand out credentials.
    pub link_local: bool,
    /// Files with the certificates that an `https` upstream's own must lead to; empty: the public ones.
    pub trust_roots: Vec<Spanned<PathBuf>>,
    /// `health`.
    pub health: Option<HealthConfig>,
}

/// `[forward] health`: how the gateway asks the upstreams whether they are well.
#[derive(Debug, Clone)]
pub struct HealthConfig {
    /// The path that is asked for.
    pub path: Spanned<Uri>,
    /// See [`EVERY_SECONDS`].
    pub every: Setting<u64>,
    /// See [`TIMEOUT_MS`].
    pub timeout: Setting<u64>,
    /// See [`HEALTHY`].
    pub healthy: Setting<u64>,
    /// See [`UNHEALTHY`].
    pub unhealthy: Setting<u64>,
}

/// Where clean deliveries go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// `http://…`
    Http(Uri),
    /// `https://…`
    Https(Uri),
    /// `unix:SOCKET` or `unix:SOCKET:/request/path`: the socket's path, up to the first `:/`, and the request's.
    Unix {
        /// The socket in the file system; a relative one is relative to the policy file.
        socket: PathBuf,
        /// The path of the request; `/` where none is written.
        path: String,
    },
}

/// How long the upstream may take, connecting included.
pub const DEADLINE_MS: Bound = Bound::new("deadline_ms", 10_000, 1, 600_000);

/// From one health check of an upstream to the next.
pub const EVERY_SECONDS: Bound = Bound::new("every_seconds", 5, 1, 3_600);

/// How long the answer to a health check may take, connecting included.
pub const TIMEOUT_MS: Bound = Bound::new("timeout_ms", 2_000, 1, 60_000);

/// So many good health checks in a row bring an upstream back.
pub const HEALTHY: Bound = Bound::new("healthy", 2, 1, 100);

/// So many bad ones take it out.
pub const UNHEALTHY: Bound = Bound::new("unhealthy", 3, 1, 100);

/// The fewest upstreams in a list.
const LISTED_MIN: usize = 2;

/// Entries of `headers`.
pub const HEADERS_MAX: usize = 64;

pub(super) fn read_forward(forward: &mut Reader<'_>) -> Option<ForwardConfig> {
    forward.require("to");
    let to = read_upstreams(forward);
    let deadline = forward.bound(&DEADLINE_MS);
    let headers = forward.list("headers", HEADERS_MAX, parse_header_pattern);
    let sign = forward.table("sign", read_place).flatten();
    let trust_roots = read_trust_roots(forward);
    let is_https = to.iter().flatten().next().is_none_or(|to| matches!(to.value, Upstream::Https(_)));
    if !trust_roots.is_empty() && !is_https {
        let fault = Fault::new("trust_roots has no meaning without an https upstream");
        forward.error(forward.key_span("trust_roots"), fault);
    }
    let link_local = forward.boolean("link_local").is_some_and(|link_local| link_local.value);
    for to in to.iter().flatten().filter(|to| !link_local && is_link_local(&to.value)) {
        let fault = Fault::new("the upstream is at a link-local address, or where a cloud hands out credentials");
        forward.error(Some(to.span.clone()), fault.hint("if it is meant, say link_local = true"));
    }
    let health = forward.table("health", read_health).flatten();
    let headers = headers.map(|headers| headers.value).unwrap_or_default();
    Some(ForwardConfig { to: to?, deadline, headers, sign, link_local, trust_roots, health })
}

/// One upstream, or a list of them.
fn read_upstreams(forward: &mut Reader<'_>) -> Option<Vec<Spanned<Upstream>>> {
    let directory = forward.directory();
    let parse = |text: &str| parse_upstream(text, &directory);
    if !forward.is_array("to") {
        return forward.parsed("to", parse).map(|to| vec![to]);
    }
    let list = forward.list("to", TARGETS_MAX, parse)?;
    if forward.length("to") < LISTED_MIN {
        let fault = Fault::new("a list of upstreams has at least two");
        forward
            .error(Some(list.span), fault.hint("one alone is written as text: to = \"http://127.0.0.1:3000/hooks\""));
        return None;
    }
    let (first, rest) = list.value.split_first()?;
    for (position, to) in rest.iter().enumerate() {
        if std::mem::discriminant(&to.value) != std::mem::discriminant(&first.value) {
            let fault = Fault::new("not of the same kind as the first of the list");
            forward.error(Some(to.span.clone()), fault.hint("all are http, all https, or all unix"));
        }
        if list.value[..=position].iter().any(|before| before.value.is_at_the_place_of(&to.value)) {
            let fault = Fault::new("this place stands in the list already");
            forward.error(Some(to.span.clone()), fault.hint("each upstream is named once, with one path"));
        }
    }
    Some(list.value)
}

fn same_place(one: &Uri, other: &Uri, default_port: u16) -> bool {
    let host = |url: &Uri| url.host().map(str::to_ascii_lowercase);
    let port = |url: &Uri| url.port_u16().unwrap_or(default_port);
    host(one) == host(other) && port(one) == port(other)
}

fn read_health(health: &mut Reader<'_>) -> Option<HealthConfig> {
    health.require("path");
    let path = health.parsed("path", parse_request_path);
    let (every, timeout) = (health.bound(&EVERY_SECONDS), health.bound(&TIMEOUT_MS));
    let (healthy, unhealthy) = (health.bound(&HEALTHY), health.bound(&UNHEALTHY));
    Some(HealthConfig { path: path?, every, timeout, healthy, unhealthy })
}

impl Upstream {
    /// Whether both are the same host and port, or socket.
    fn is_at_the_place_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Http(one), Self::Http(other)) => same_place(one, other, 80),
            (Self::Https(one), Self::Https(other)) => same_place(one, other, 443),
            (Self::Unix { socket, .. }, Self::Unix { socket: other, .. }) => socket == other,
            (Self::Http(_) | Self::Https(_) | Self::Unix { .. }, _) => false,
        }
    }
}

/// Whether an upstream is written as a link-local address. What a name leads to is looked at when a connection is made.
fn is_link_local(upstream: &Upstream) -> bool {
    match upstream {
        Upstream::Http(url) | Upstream::Https(url) => {
            let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
            host.parse().is_ok_and(reach::is_link_local)
        }
        Upstream::Unix { .. } => false,
    }
}

/// Where an upstream is.
///
/// # Errors
/// What is no upstream.
pub fn parse_upstream(text: &str, directory: &Path) -> Result<Upstream, Fault> {
    if let Some(rest) = text.strip_prefix("unix:") {
        let (socket, path) =
            rest.split_once(":/").map_or((rest, String::new()), |(socket, path)| (socket, path.to_owned()));
        let path = format!("/{path}");
        parse_request_path(&path)?;
        return Ok(Upstream::Unix { socket: directory.join(parse_path(socket)?), path });
    }
    let url = parse_url(text)
        .map_err(|fault| fault.hint("such as \"http://127.0.0.1:3000/hooks\", or \"unix:/run/app.sock:/hooks\""))?;
    Ok(if url.scheme_str() == Some("https") { Upstream::Https(url) } else { Upstream::Http(url) })
}

fn parse_request_path(text: &str) -> Result<Uri, Fault> {
    let path = text.parse().ok().filter(|_| text.starts_with('/') && !text.contains(['?', '#']));
    path.ok_or_else(|| Fault::new(format!("{text:?} is not a path of a request without query")))
}

/// The rules themselves are compiled later, with the preset's; this finds what no rules would take.
fn parse_header_pattern(text: &str) -> Result<String, Fault> {
    match HeaderRules::compile(&[text], Vec::new(), Vec::new(), Vec::new()) {
        Ok(_) => Ok(text.to_ascii_lowercase()),
        Err((_, fault)) => Err(Fault::new(format!("header {text:?} is {fault}"))),
    }
}
