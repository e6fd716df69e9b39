//! URLs that the sender may have signed in place of the policy's `public_url`.

use bytes::Bytes;
use http::Uri;
use http::header::HOST;

use super::finding::UrlQuery;
use super::{Attempts, Finding};
use crate::auth::place::Head;
use crate::auth::scheme::Scheme;

/// A URL in the pieces that people and proxies get wrong.
struct Pieces<'u> {
    scheme: &'u str,
    /// Without port; an IPv6 address has its brackets.
    host: &'u str,
    port: Option<&'u str>,
    path: &'u str,
}

/// Tries the policy's URL, and the one that the request names itself, with the other scheme, with and without port, slash at the end and query.
pub(super) fn try_urls(scheme: &Scheme, body: &Bytes, attempts: &mut Attempts<'_, '_>) {
    if !scheme.covers_url() {
        return;
    }
    let head = attempts.case.head;
    let configured = head.public_url.unwrap_or_default();
    let without_query = path_alone(head.uri);
    let mut queries = vec![(UrlQuery::AsReceived, head.uri)];
    if let Some(uri) = &without_query {
        queries.push((UrlQuery::LeftOut, uri));
    }
    for url in urls(&head) {
        for &(query, uri) in &queries {
            if url == configured && query == UrlQuery::AsReceived {
                continue;
            }
            let verifier = attempts.case.verifier;
            if let Some(fitted) = attempts.fits(verifier, Head { public_url: Some(&url), uri, ..head }, body) {
                attempts.found(Finding::Url { url: url.as_str().into(), query, fitted });
            }
        }
    }
}

/// The request's target without its query; `None` where it has none.
fn path_alone(uri: &Uri) -> Option<Uri> {
    uri.query()?;
    uri.path().parse().ok()
}

/// Every URL that is tried, each once.
fn urls(head: &Head<'_>) -> Vec<String> {
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let of_request = host.map(|host| format!("https://{host}{}", head.uri.path()));
    let mut urls = Vec::new();
    for base in head.public_url.into_iter().chain(of_request.as_deref()) {
        let Some(pieces) = Pieces::of(base) else { continue };
        for url in pieces.variants() {
            if !urls.contains(&url) {
                urls.push(url);
            }
        }
    }
    urls
}

impl<'u> Pieces<'u> {
    fn of(url: &'u str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let is_port = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if is_port(port) => (host, Some(port)),
            Some(_) | None => (authority, None),
        };
        (!host.is_empty()).then_some(Self { scheme, host, port, path })
    }

    fn variants(&self) -> Vec<String> {
        let Self { scheme, host, port, path } = self;
        let other = if *scheme == "https" { "http" } else { "https" };
        let toggled = path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned);
        let mut urls = Vec::new();
        for scheme in [*scheme, other] {
            let default = if scheme == "https" { "443" } else { "80" };
            for port in [*port, None, Some(default)] {
                let port = port.map(|port| format!(":{port}")).unwrap_or_default();
                for path in [*path, &toggled] {
                    urls.push(format!("{scheme}://{host}{port}{path}"));
                }
            }
        }
        urls
    }
}
