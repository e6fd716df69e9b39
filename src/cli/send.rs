//! `hookward send`: a body signed as the source's provider would sign it, and sent.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::Args;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use rustls::CertificateError;
use serde::de::IgnoredAny;

use super::client::Client;
use super::setup::{Setup, Trouble, named_source};
use crate::auth::Verifier;
use crate::auth::authenticator::Combine;
use crate::auth::key::{KeyKind, NamedSecret};
use crate::auth::place::{Body, Head, View};
use crate::auth::scheme::Scheme;
use crate::auth::sign::{SignFault, Signed, Unsigned, sign};
use crate::clock::Clock;
use crate::payload::content_type::ContentType;
use crate::policy::Source;
use crate::policy::secrets::{Resolved, Resolver as _, SystemSecrets};
use crate::policy::source::ContentTypes;
use crate::policy::source_config::{MethodConfig, SecretReference, read_source};
use crate::request_record::RequestRecord;

/// What to send, and where.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The source whose scheme and secret sign it
    pub source: String,
    /// The body; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub body: PathBuf,
    /// The event's name, where the provider has it in a header
    #[arg(long, value_name = "NAME")]
    pub event: Option<String>,
    /// The gateway; the source's `public_url`, or the first https listener on the loopback, if left out
    #[arg(long, value_name = "URL")]
    pub to: Option<Uri>,
    /// Trust the certificates in this file, such as `certs/localhost.pem`
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,
    /// One more header field, as `name: value`
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    pub headers: Vec<String>,
    /// Print the request record instead of sending it
    #[arg(long)]
    pub record: bool,
    /// Print the curl command instead of sending it
    #[arg(long, conflicts_with = "record")]
    pub curl: bool,
}

/// Signs and sends.
///
/// # Errors
/// [`Trouble`] if there is no such source, or the request cannot be made or sent.
pub fn run(arguments: &Arguments, config: &Path, out: &mut impl Write) -> Result<(), Trouble> {
    let (gateway, policy) = Setup::load(config, &SystemSecrets).0.usable()?;
    let source = named_source(&policy, &arguments.source)?;
    let body = read(&arguments.body)?;
    let url = url(arguments, source, &gateway)?;
    let headers = headers(arguments, source, &body)?;
    let directory = gateway.policies.as_ref().map(|policies| policies.directory.value.clone()).unwrap_or_default();
    let signed = signed(source, &directory, headers, &url, &body)?;
    let url = with_query(&url, &signed.uri)?;
    if arguments.record {
        let text = serde_json::to_string(&record(&arguments.source, &url, &signed.headers, &body))
            .map_err(|error| Trouble::Other(error.to_string()))?;
        return writeln!(out, "{text}").map_err(Trouble::Output);
    }
    if arguments.curl {
        return writeln!(out, "{}", curl(arguments, &url, &signed.headers)).map_err(Trouble::Output);
    }
    let trusted = arguments.cacert.as_ref().map(|file| read_text(file)).transpose()?;
    let fault = |error: io::Error| Trouble::Other(format!("{url}: {error}{}", hint(arguments.cacert.as_ref(), &error)));
    let client = Client::new(trusted.as_deref()).map_err(fault)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fault)?;
    let answer = runtime.block_on(client.send(Method::POST, &url, signed.headers, body)).map_err(fault)?;
    writeln!(out, "{}", answer.status).map_err(Trouble::Output)?;
    out.write_all(&answer.body).map_err(Trouble::Output)?;
    if answer.status.is_success() { Ok(()) } else { Err(Trouble::Said) }
}

fn read(file: &Path) -> Result<Bytes, Trouble> {
    let fault = |source| Trouble::File { path: file.to_owned(), source };
    if file == Path::new("-") {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut io::stdin().lock(), &mut bytes).map_err(fault)?;
        return Ok(bytes.into());
    }
    std::fs::read(file).map(Bytes::from).map_err(fault)
}

fn read_text(file: &Path) -> Result<String, Trouble> {
    std::fs::read_to_string(file).map_err(|source| Trouble::File { path: file.to_owned(), source })
}

/// Where it goes: the path is always the source's.
fn url(
    arguments: &Arguments,
    source: &Source,
    gateway: &crate::policy::gateway_config::GatewayConfig,
) -> Result<Uri, Trouble> {
    let listen = gateway.listen.as_ref().and_then(|listen| listen.https.first());
    let base = match (&arguments.to, &source.public_url, listen) {
        (Some(to), _, _) => to.to_string(),
        (None, Some(public), _) => public.to_string(),
        (None, None, Some(address)) => format!("https://localhost:{}", address.value.port()),
        // Nothing goes there, and a record has to have a URL.
        (None, None, None) if arguments.record => "https://localhost".to_owned(),
        (None, None, None) => return Err(Trouble::Other("say where the gateway is with --to".to_owned())),
    };
    let base: Uri = base.parse().map_err(|_| Trouble::Other(format!("{base:?} is not a URL")))?;
    if !matches!(base.scheme_str(), None | Some("http" | "https")) {
        return Err(Trouble::Other(format!("{base}: a gateway is at an https or http URL")));
    }
    let authority = base.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let text = format!("{}://{authority}{}", base.scheme_str().unwrap_or("https"), source.path);
    text.parse().map_err(|_| Trouble::Other(format!("{text:?} is not a URL")))
}

/// What to do about a failure, where it is known.
fn hint(cacert: Option<&PathBuf>, error: &io::Error) -> &'static str {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) if cacert.is_none() => {
            "\nhint: one that `hookward cert` made is trusted with --cacert certs/localhost.pem"
        }
        Some(_) | None => "",
    }
}

/// The content type that the body looks like, of those that the source takes.
fn content_type<'s>(source: &'s Source, body: &Bytes) -> &'s str {
    const JSON: &str = "application/json";
    let ContentTypes::These(list) = &source.content_types else { return JSON };
    let is_json = serde_json::from_slice::<IgnoredAny>(body).is_ok();
    let mut named = list.iter().map(|name| &**name).filter(|name| !name.ends_with("/*"));
    let first = named.clone().next().unwrap_or(JSON);
    if is_json && source.content_types.contains(JSON) {
        return JSON;
    }
    named.find(|name| ContentType::new(name).is_json() == is_json).unwrap_or(first)
}

fn headers(arguments: &Arguments, source: &Source, body: &Bytes) -> Result<HeaderMap, Trouble> {
    let mut headers = HeaderMap::new();
    let content_type = HeaderValue::from_str(content_type(source, body));
    headers.insert(CONTENT_TYPE, content_type.map_err(|error| Trouble::Other(error.to_string()))?);
    if let Some(event) = &arguments.event {
        let mut places = source.event.places.iter();
        let header = places.find_map(|(fact, _)| fact.place()?.headers().first().cloned());
        let name = header.ok_or_else(|| Trouble::Other("this source has its event in the body".to_owned()))?;
        let value =
            HeaderValue::from_str(event).map_err(|_| Trouble::Other(format!("{event:?} cannot be an event")))?;
        headers.insert(name, value);
    }
    for field in &arguments.headers {
        let fault = || Trouble::Other(format!("{field:?} is not a header field such as `name: value`"));
        let (name, value) = field.split_once(':').ok_or_else(fault)?;
        let name = HeaderName::try_from(name.trim()).map_err(|_| fault())?;
        headers.insert(name, HeaderValue::from_str(value.trim()).map_err(|_| fault())?);
    }
    Ok(headers)
}

/// The request as the source's provider would sign it with the first secret of each method that has to hold. A client certificate is none of
/// the request's: `send` shows none.
fn signed(source: &Source, directory: &Path, headers: HeaderMap, url: &Uri, body: &Bytes) -> Result<Signed, Trouble> {
    let uri: Uri = url.path().parse().map_err(|_| Trouble::Other(format!("{url} has no path")))?;
    let mut signed = Signed { uri, headers };
    let Some(authenticator) = &source.authenticator else { return Ok(signed) };
    for (method, config) in authenticator.methods().zip(methods(source, directory)) {
        let Some(verifier) = method.verifier() else { continue };
        signed = signed_by(verifier, source, &first_secret(source, config)?, signed, body)?;
        if authenticator.combine() == Combine::Any {
            break;
        }
    }
    Ok(signed)
}

fn signed_by(
    verifier: &Verifier,
    source: &Source,
    secret: &NamedSecret,
    request: Signed,
    body: &Bytes,
) -> Result<Signed, Trouble> {
    let public_url = source.public_url.as_deref();
    let is_for = |scheme: &Scheme, Signed { uri, headers }: &Signed| {
        let whole = Body::new(body, headers);
        let view = View::of_head(Head { method: &Method::POST, uri, headers, public_url }).with_body(&whole);
        scheme.when.iter().all(|condition| condition.holds(&view))
    };
    let first = verifier.schemes().next().ok_or_else(|| Trouble::Other(SignFault::Code.to_string()))?;
    // What is there only once it is signed is not there yet.
    let scheme = verifier.schemes().find(|scheme| is_for(scheme, &request)).unwrap_or(first);
    let Signed { uri, headers } = request;
    let now = Clock::system().unix_seconds();
    let unsigned = Unsigned { method: Method::POST, uri, headers, public_url, body, now };
    let signed = sign(scheme, secret, unsigned).map_err(|fault| Trouble::Other(fault.to_string()))?;
    if is_for(scheme, &signed) {
        return Ok(signed);
    }
    let kinds = verifier.schemes().map(|scheme| scheme.when.iter().map(ToString::to_string).collect::<Vec<_>>());
    let kinds = kinds.map(|when| when.join(" and ")).collect::<Vec<_>>().join(" or ");
    Err(Trouble::Other(format!("{} signs no such request, but those with {kinds}", verifier.name())))
}

/// The methods as the policy's file has them: compiled policies keep keys, not secrets.
fn methods(source: &Source, directory: &Path) -> Vec<MethodConfig> {
    let file = directory.join(format!("{}.toml", source.name));
    let mut loaded = crate::policy::load::Loaded::default();
    let text = loaded.files.read(&file, &mut loaded.diagnostics);
    let config = text.and_then(|text| read_source(&text, &mut loaded.diagnostics));
    config.map(|config| config.auth.methods).unwrap_or_default()
}

fn first_secret(source: &Source, method: MethodConfig) -> Result<NamedSecret, Trouble> {
    let reference = method.secrets.into_iter().next();
    let reference: SecretReference =
        reference.ok_or_else(|| Trouble::Other(format!("{} has no secret", source.name)))?;
    match SystemSecrets.resolve(&reference.from.value) {
        Ok(Resolved::Secret(secret)) => {
            Ok(NamedSecret { id: reference.id.value.into(), secret, expires: None, kind: KeyKind::Secret })
        }
        Ok(Resolved::NotLookedFor) => Err(Trouble::Other("the secret was not looked for".to_owned())),
        Err(fault) => Err(Trouble::Other(fault.to_string())),
    }
}

fn with_query(url: &Uri, target: &Uri) -> Result<Uri, Trouble> {
    let Some(query) = target.query() else { return Ok(url.clone()) };
    let text = format!("{url}?{query}");
    text.parse().map_err(|_| Trouble::Other(format!("{text:?} is not a URL")))
}

/// The command that sends the same request; it holds the signature, and for static credentials the secret.
fn curl(arguments: &Arguments, url: &Uri, headers: &HeaderMap) -> String {
    let mut command = vec!["curl -i".to_owned()];
    if let Some(file) = &arguments.cacert {
        command.push(format!("--cacert {}", quoted(&file.display().to_string())));
    }
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        command.push(format!("-H {}", quoted(&format!("{name}: {value}"))));
    }
    command.push(format!("--data-binary {}", quoted(&format!("@{}", arguments.body.display()))));
    command.push(quoted(&url.to_string()));
    command.join(" ")
}

/// A word of a POSIX shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn record(source: &str, url: &Uri, headers: &HeaderMap, body: &Bytes) -> RequestRecord {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    RequestRecord {
        id: source.to_owned(),
        method: "POST".to_owned(),
        url: url.to_string(),
        headers: headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body_b64: STANDARD.encode(body),
        now: Some(Clock::system().unix_seconds()),
        expect: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_authority_is_told_with_what_would_make_it_known() {
        let fault = |fault: CertificateError| io::Error::other(rustls::Error::InvalidCertificate(fault));
        let (unknown, other) = (fault(CertificateError::UnknownIssuer), fault(CertificateError::NotValidForName));
        assert!(hint(None, &unknown).contains("--cacert certs/localhost.pem"));
        for said in
            [hint(Some(&PathBuf::from("a.pem")), &unknown), hint(None, &other), hint(None, &io::Error::other(""))]
        {
            assert_eq!(said, "");
        }
    }

    #[test]
    fn a_shell_takes_a_quoted_text_as_one_word_as_it_is() {
        for text in ["plain", "two words", "it's", "$(id) `id` \\ \"", "", "a'b'c"] {
            let ran = std::process::Command::new("sh").args(["-c", &format!("printf %s {}", quoted(text))]).output();
            assert_eq!(String::from_utf8(ran.unwrap().stdout).unwrap(), text, "{text}");
        }
    }
}
