//! `[forward]`: where clean deliveries go.

use std::path::{Path, PathBuf};

use http::Uri;

use super::auth::{SecretPlace, read_place, read_trust_roots};
use crate::forward::{HeaderRules, names};
use crate::policy::table::parse::{Fault, parse_path, parse_url};
use crate::policy::table::{Bound, Reader, Setting, Spanned};

/// `[forward]`.
#[derive(Debug, Clone)]
pub struct ForwardConfig {
    /// The upstream.
    pub to: Spanned<Upstream>,
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

/// Entries of `headers`.
pub const HEADERS_MAX: usize = 64;

pub(super) fn read_forward(forward: &mut Reader<'_>) -> Option<ForwardConfig> {
    forward.require("to");
    let directory = forward.directory();
    let to = forward.parsed("to", |text| parse_upstream(text, &directory));
    let deadline = forward.bound(&DEADLINE_MS);
    let headers = forward.list("headers", HEADERS_MAX, parse_header_pattern);
    let sign = forward.table("sign", read_place).flatten();
    let trust_roots = read_trust_roots(forward);
    let is_https = to.as_ref().is_none_or(|to| matches!(to.value, Upstream::Https(_)));
    if !trust_roots.is_empty() && !is_https {
        let fault = Fault::new("trust_roots has no meaning without an https upstream");
        forward.error(forward.key_span("trust_roots"), fault);
    }
    let link_local = forward.boolean("link_local").is_some_and(|link_local| link_local.value);
    if let Some(to) = to.as_ref().filter(|to| !link_local && is_link_local(&to.value)) {
        let fault = Fault::new("the upstream is at a link-local address, or where a cloud hands out credentials");
        forward.error(Some(to.span.clone()), fault.hint("if it is meant, say link_local = true"));
    }
    let headers = headers.map(|headers| headers.value).unwrap_or_default();
    Some(ForwardConfig { to: to?, deadline, headers, sign, link_local, trust_roots })
}

/// Whether an upstream is written as a link-local address. What a name leads to is looked at when a connection is made.
fn is_link_local(upstream: &Upstream) -> bool {
    match upstream {
        Upstream::Http(url) | Upstream::Https(url) => {
            let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
            host.parse().is_ok_and(names::is_link_local)
        }
        Upstream::Unix { .. } => false,
    }
}

fn parse_upstream(text: &str, directory: &Path) -> Result<Upstream, Fault> {
    if let Some(rest) = text.strip_prefix("unix:") {
        let (socket, path) =
            rest.split_once(":/").map_or((rest, String::new()), |(socket, path)| (socket, path.to_owned()));
        let path = format!("/{path}");
        if path.contains(['?', '#']) || path.parse::<Uri>().is_err() {
            return Err(Fault::new(format!("{path:?} is not a path of a request without query")));
        }
        return Ok(Upstream::Unix { socket: directory.join(parse_path(socket)?), path });
    }
    let url = parse_url(text)
        .map_err(|fault| fault.hint("such as \"http://127.0.0.1:3000/hooks\", or \"unix:/run/app.sock:/hooks\""))?;
    Ok(if url.scheme_str() == Some("https") { Upstream::Https(url) } else { Upstream::Http(url) })
}

/// The rules themselves are compiled later, with the preset's; this finds what no rules would take.
fn parse_header_pattern(text: &str) -> Result<String, Fault> {
    match HeaderRules::compile(&[text], Vec::new(), Vec::new(), Vec::new()) {
        Ok(_) => Ok(text.to_ascii_lowercase()),
        Err((_, fault)) => Err(Fault::new(format!("header {text:?} is {fault}"))),
    }
}
