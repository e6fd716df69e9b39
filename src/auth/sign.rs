//! The other side: the head a provider would send with a body, for `hookward send`, `hookward demo` and tests.
//!
//! Never on a delivery's way. It spells what [`credential`](super::credential) reads; the two are held together by a test that
//! signs with every preset and verifies.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use super::key::{Key, KeyFault, NamedSecret};
use super::list::Signatures;
use super::place::{Body, Head, Place, View};
use super::scheme::{Algorithm, Encoding, Must, Scheme, Shape, TimestampUnit, TokenAlgorithm};
use super::template::Filling;
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
    pub body: &'u Bytes,
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
    /// Only the provider has the private key.
    #[error("the provider signs with a private key that nobody else has")]
    PrivateKey,
    /// The credential is a part of the body, which is the caller's.
    #[error("the credential stands in the body: put it there and send the request with curl")]
    InBody,
    /// Code judges it, and nothing signs.
    #[error("there is no way to sign for this provider")]
    Code,
}

/// Signs a request as a sender with this secret would.
///
/// # Errors
/// [`SignFault`] if the secret does not fit the scheme, or nobody but the provider can sign.
pub fn sign(scheme: &Scheme, secret: &NamedSecret, unsigned: Unsigned<'_>) -> Result<Signed, SignFault> {
    let Unsigned { method, uri, mut headers, public_url, body, now } = unsigned;
    if scheme.credential.is_in_body() {
        return Err(SignFault::InBody);
    }
    let timestamp = scheme.timestamp.as_ref().map(|rule| match rule.unit {
        TimestampUnit::Seconds => now.to_string(),
        TimestampUnit::Milliseconds => now.saturating_mul(1000).to_string(),
        TimestampUnit::Iso8601 => jiff::Timestamp::from_second(now).unwrap_or_default().to_string(),
    });
    if let (Some(rule), Some(text)) = (&scheme.timestamp, &timestamp)
        && let Some(name) = rule.at.headers().first()
    {
        put(&mut headers, name.clone(), text)?;
    }
    for name in scheme.signed.headers() {
        if !headers.contains_key(name) {
            headers.insert(name.clone(), HeaderValue::from(now));
        }
    }
    let whole = Body::new(body, &headers);
    let head = Head { method: &method, uri: &uri, headers: &headers, public_url };
    let view = View::of_head(head).with_body(&whole);
    let stamp = now.to_string();
    let items = stamp_items(scheme, timestamp.as_deref().unwrap_or(&stamp));
    let list = match &scheme.shape {
        Shape::List(layout) => Some(layout.list(&items)),
        Shape::Whole { .. } | Shape::MaybePrefixed { .. } => None,
    };
    let filling = Filling { timestamp: timestamp.as_deref(), ..Filling::of(view.with_list(list)) };
    let credential = credential(scheme, secret, &filling, &items, now)?;
    let required = required_headers(scheme, &filling);
    for (name, text) in required {
        put(&mut headers, name, &text)?;
    }
    place(scheme, &credential, uri, headers)
}

/// Header fields that a side condition wants, with what it wants.
fn required_headers(scheme: &Scheme, filling: &Filling<'_>) -> Vec<(HeaderName, String)> {
    let wanted = scheme.require.iter().filter_map(|requirement| {
        let name = requirement.value.headers().first()?;
        match &requirement.must {
            Must::EqualAny(texts) => Some((name.clone(), String::from_utf8(texts.first()?.fill(filling)).ok()?)),
            Must::Exist | Must::Match(_) => None,
        }
    });
    wanted.collect()
}

/// The items of a credential's list that are not signatures.
fn stamp_items(scheme: &Scheme, timestamp: &str) -> String {
    let Shape::List(layout) = &scheme.shape else { return String::new() };
    let places = scheme.timestamp.iter().map(|rule| &rule.at).chain(scheme.signed.places());
    let items = places.filter_map(|place| match (place, &layout.signatures) {
        (Place::Item(name), Signatures::Named { pair, .. }) => {
            Some(format!("{name}{pair}{timestamp}{}", layout.separator))
        }
        (Place::Position(0), _) => Some(format!("{timestamp}{}", layout.separator)),
        (_, _) => None,
    });
    items.take(1).collect()
}

/// The credential's whole text.
fn credential(
    scheme: &Scheme,
    secret: &NamedSecret,
    filling: &Filling<'_>,
    items: &str,
    now: UnixSeconds,
) -> Result<String, SignFault> {
    let key = Key::new(scheme, secret)?.ok_or(SignFault::PrivateKey)?;
    let spelled = match scheme.algorithm {
        Algorithm::PublicKey(_) | Algorithm::JwsDetached => return Err(SignFault::PrivateKey),
        Algorithm::Jwt => token(scheme, &key, filling, now)?,
        Algorithm::Hmac(_) | Algorithm::Digest(_) => {
            let mac = key.material.mac(&scheme.signed, filling).ok_or(SignFault::PrivateKey)?;
            encode(&mac[..scheme.algorithm.mac_bytes().unwrap_or_default()], scheme.encoding)
        }
        Algorithm::Token | Algorithm::Basic => {
            std::str::from_utf8(secret.secret.expose()).map_err(|_| SignFault::Unspeakable)?.to_owned()
        }
    };
    Ok(match &scheme.shape {
        Shape::Whole { prefix } | Shape::MaybePrefixed { prefix } => format!("{prefix}{spelled}"),
        Shape::List(layout) => match &layout.signatures {
            Signatures::Named { pair, item } => format!("{items}{item}{pair}{spelled}"),
            Signatures::From(_) => format!("{items}{spelled}"),
        },
    })
}

/// A token with the claims that the scheme wants.
fn token(scheme: &Scheme, key: &Key, filling: &Filling<'_>, now: UnixSeconds) -> Result<String, SignFault> {
    let symmetric =
        [(TokenAlgorithm::Hs256, "HS256"), (TokenAlgorithm::Hs384, "HS384"), (TokenAlgorithm::Hs512, "HS512")];
    let offered = symmetric.iter().find(|(algorithm, _)| scheme.token.algorithms.contains(algorithm));
    let (algorithm, word) = offered.ok_or(SignFault::PrivateKey)?;
    let mut claims = serde_json::Map::new();
    claims.insert("iat".to_owned(), now.into());
    claims.insert("exp".to_owned(), (now + 300).into());
    for requirement in &scheme.require {
        let Place::Claim(name) = &requirement.value else { continue };
        let text = match &requirement.must {
            Must::EqualAny(texts) => texts.first().map(|text| text.fill(filling)).unwrap_or_default(),
            Must::Exist => now.to_string().into_bytes(),
            Must::Match(_) => continue,
        };
        if !claims.contains_key(&**name) {
            claims.insert(name.to_string(), String::from_utf8_lossy(&text).into_owned().into());
        }
    }
    let header = format!("{{\"alg\":\"{word}\",\"typ\":\"JWT\"}}");
    let claims = serde_json::Value::Object(claims).to_string();
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let material = key.material.for_token(*algorithm).ok_or(SignFault::PrivateKey)?;
    let mac = material.mac_bytes(signed.as_bytes()).ok_or(SignFault::PrivateKey)?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac)))
}

/// Puts the credential where the scheme has it.
fn place(scheme: &Scheme, credential: &str, uri: Uri, mut headers: HeaderMap) -> Result<Signed, SignFault> {
    match &scheme.credential {
        Place::Header(names) => {
            let name = names.first().cloned().ok_or(SignFault::Unspeakable)?;
            put(&mut headers, name, credential)?;
        }
        Place::HeaderPrefix(prefix) => {
            let name = HeaderName::try_from(format!("{prefix}1")).map_err(|_| SignFault::Unspeakable)?;
            put(&mut headers, name, credential)?;
        }
        Place::Bearer => put(&mut headers, AUTHORIZATION, &format!("Bearer {credential}"))?,
        Place::Basic => put(&mut headers, AUTHORIZATION, &format!("Basic {}", STANDARD.encode(credential)))?,
        Place::Query(name) => {
            let mut query = form_urlencoded::Serializer::new(uri.query().unwrap_or_default().to_owned());
            query.append_pair(name, credential);
            let target = format!("{}?{}", uri.path(), query.finish());
            let uri = target.parse().map_err(|_| SignFault::Unspeakable)?;
            return Ok(Signed { uri, headers });
        }
        Place::Json(_) | Place::Form(_) | Place::Item(_) | Place::Position(_) | Place::Claim(_) | Place::Member(_) => {
            return Err(SignFault::InBody);
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
