//! The other side: the head a provider would send with a body, for `hookward send`, `hookward demo` and tests.
//!
//! Never on a delivery's way. It spells what [`credential`](super::credential) reads; the two are held together by a test that
//! signs with every preset and verifies.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use super::scheme::{Encoding, Head, Location, Scheme, Shape, TimestampLocation, TimestampUnit};
use super::verify::{Key, KeyFault, NamedSecret, SignedText};
use crate::clock::UnixSeconds;

/// A request to be signed: fields the scheme signs (a delivery id) are added where they are missing.
#[derive(Debug, Clone)]
pub struct Unsigned<'u> {
    /// The request method.
    pub method: Method,
    /// Path and query.
    pub uri: Uri,
    /// The fields it has already.
    pub headers: HeaderMap,
    /// The URL the sender knows, without query.
    pub public_url: Option<&'u str>,
    /// The body.
    pub body: &'u [u8],
    /// When it is signed.
    pub now: UnixSeconds,
}

/// A signed request.
#[derive(Debug, Clone)]
pub struct Signed {
    /// Path and query, with the credential where the scheme has it there.
    pub uri: Uri,
    /// All fields.
    pub headers: HeaderMap,
}

/// Why a request cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignFault {
    /// The secret is not of the scheme's form.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// A static secret that cannot stand in a header or query.
    #[error("the secret cannot stand where the scheme has it")]
    Unspeakable,
}

/// Signs a request as a sender with this secret would.
///
/// # Errors
/// [`SignFault`] if the secret does not fit the scheme.
pub fn sign(scheme: &Scheme, secret: &NamedSecret, unsigned: Unsigned<'_>) -> Result<Signed, SignFault> {
    let Unsigned { method, uri, mut headers, public_url, body, now } = unsigned;
    for name in scheme.signed.headers() {
        if !headers.contains_key(name) {
            headers.insert(name.clone(), HeaderValue::from(now));
        }
    }
    let timestamp = scheme.timestamp.as_ref().map(|rule| match rule.unit {
        TimestampUnit::Seconds => now.to_string(),
        TimestampUnit::Milliseconds => now.saturating_mul(1000).to_string(),
    });
    if let (Some(rule), Some(text)) = (&scheme.timestamp, &timestamp)
        && let TimestampLocation::Header(name) = &rule.at
    {
        put(&mut headers, name.clone(), text)?;
    }
    let head = Head { method: &method, uri: &uri, headers: &headers, public_url };
    let text = SignedText { scheme, head, timestamp: timestamp.as_deref(), body };
    let credential = credential(scheme, secret, &text)?;
    place(scheme, &credential, uri, headers)
}

/// The credential's whole text.
fn credential(scheme: &Scheme, secret: &NamedSecret, text: &SignedText<'_>) -> Result<String, SignFault> {
    let key = Key::new(scheme, secret)?;
    let spelled = match (scheme.algorithm.signature_bytes(), key.mac(text)) {
        (Some(length), Some(mac)) => encode(&mac[..length], scheme.encoding),
        (_, _) => std::str::from_utf8(secret.secret.expose()).map_err(|_| SignFault::Unspeakable)?.to_owned(),
    };
    Ok(match &scheme.shape {
        Shape::Whole { prefix } => format!("{prefix}{spelled}"),
        Shape::List { separator, pair, item } => {
            let stamp = scheme.timestamp.as_ref().and_then(|rule| match &rule.at {
                TimestampLocation::Item(name) => Some(name),
                TimestampLocation::Header(_) => None,
            });
            let signature = format!("{item}{pair}{spelled}");
            match (stamp, text.timestamp) {
                (Some(name), Some(time)) => format!("{name}{pair}{time}{separator}{signature}"),
                (_, _) => signature,
            }
        }
    })
}

/// Puts the credential where the scheme has it.
fn place(scheme: &Scheme, credential: &str, uri: Uri, mut headers: HeaderMap) -> Result<Signed, SignFault> {
    match &scheme.credential {
        Location::Header(name) => put(&mut headers, name.clone(), credential)?,
        Location::Bearer => put(&mut headers, AUTHORIZATION, &format!("Bearer {credential}"))?,
        Location::Basic => put(&mut headers, AUTHORIZATION, &format!("Basic {}", STANDARD.encode(credential)))?,
        Location::Query(name) => {
            let mut query = form_urlencoded::Serializer::new(uri.query().unwrap_or_default().to_owned());
            query.append_pair(name, credential);
            let target = format!("{}?{}", uri.path(), query.finish());
            let uri = target.parse().map_err(|_| SignFault::Unspeakable)?;
            return Ok(Signed { uri, headers });
        }
    }
    Ok(Signed { uri, headers })
}

fn put(headers: &mut HeaderMap, name: HeaderName, text: &str) -> Result<(), SignFault> {
    let value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| SignFault::Unspeakable)?;
    headers.insert(name, value);
    Ok(())
}

fn encode(bytes: &[u8], encoding: Encoding) -> String {
    match encoding {
        Encoding::Text | Encoding::Hex => hex::encode(bytes),
        Encoding::Base64 => STANDARD.encode(bytes),
        Encoding::Base64Url => URL_SAFE_NO_PAD.encode(bytes),
    }
}
