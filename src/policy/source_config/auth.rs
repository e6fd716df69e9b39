//! `[auth]` and `[handshake]`: how senders prove themselves, and where the secrets for it are.
//!
//! **Invariant:** secrets are references. What stands where a reference belongs is masked in every report, since
//! somebody may have pasted the secret itself.

use std::collections::HashSet;
use std::ops::Range;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::auth::authenticator::Combine;
use crate::auth::scheme::Scheme;
use crate::clock::UnixSeconds;
use crate::policy::gateway_config::{NETWORKS_MAX, parse_host_name};
use crate::policy::scheme::read_schemes;
use crate::policy::table::parse::{Fault, parse_network, parse_path};
use crate::policy::table::{Reader, Spanned};

/// `[auth]`: one method, or several as `[[auth.method]]`.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// How several methods go together; with one it makes no difference.
    pub combine: Combine,
    /// At least one.
    pub methods: Vec<MethodConfig>,
    /// Where the table stands.
    pub span: Option<Range<usize>>,
}

/// One way for senders to prove themselves.
#[derive(Debug, Clone)]
pub struct MethodConfig {
    /// How the sender proves itself.
    pub method: AuthMethod,
    /// Why nothing is proved; there beside `provider = "none"` only.
    pub because: Option<Spanned<String>>,
    /// Secrets, the first of which signs in `hookward send`; ids differ.
    pub secrets: Vec<SecretReference>,
    /// Public keys; ids differ.
    pub public_keys: Vec<SecretReference>,
    /// Whether every entry of both could be read.
    pub keys_are_whole: bool,
    /// Files with the certificates that a provider's own must lead to.
    pub trust_roots: Vec<Spanned<PathBuf>>,
    /// `[auth.parameters]`: named values that a scheme mentions, by name.
    pub parameters: Vec<(Spanned<String>, Spanned<String>)>,
    /// Where its table stands.
    pub span: Option<Range<usize>>,
}

/// `client_certificate`.
#[derive(Debug, Clone)]
pub struct CertificateConfig {
    /// A PEM file with the authorities that vouch for senders.
    pub ca: Spanned<PathBuf>,
    /// DNS names in lower case, one of which the certificate has to have; absent: any certificate of the authorities.
    pub names: Option<Spanned<Vec<Spanned<String>>>>,
}

/// How the sender proves itself.
#[derive(Debug, Clone)]
pub enum AuthMethod {
    /// `provider`: the name of a preset, which may not exist; never `none`.
    Provider(Spanned<String>),
    /// `[auth.scheme]` or `[[auth.scheme]]`: schemes of the policy's own.
    Schemes(Vec<Scheme>),
    /// `client_certificate`: by the connection it sends on.
    ClientCertificate(CertificateConfig),
    /// `provider = "none"`.
    Nothing,
}

/// Where a secret or a key is to be read, and how it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretReference {
    /// Its name in logs and headers: up to 64 letters, digits, `.`, `_` and `-`.
    pub id: Spanned<String>,
    /// Where it is read.
    pub from: Spanned<SecretPlace>,
    /// From this second on it is no longer accepted.
    pub expires: Option<Spanned<UnixSeconds>>,
    /// The whole entry.
    pub span: Range<usize>,
}

/// Where a secret is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretPlace {
    /// The environment variable of this name.
    Env(String),
    /// This file.
    File(PathBuf),
    /// The service manager's credential of this name: a file in `$CREDENTIALS_DIRECTORY` (systemd's `LoadCredential=` and its like).
    Credential(String),
}

/// `[handshake]`.
#[derive(Debug, Clone)]
pub struct HandshakeConfig {
    /// The token that a verification request must hold.
    pub verify_token: Option<Spanned<SecretPlace>>,
    /// What is done with a verification request; absent: the preset's.
    pub mode: Option<Spanned<HandshakeMode>>,
    /// Where a secret that the provider hands over is kept.
    pub learn_secret: Option<Spanned<PathBuf>>,
    /// Whether the gateway confirms subscriptions, by a visit of the URL that the provider names.
    pub confirm: Option<Spanned<bool>>,
    /// Networks where that URL may lead besides the public internet.
    pub networks: Option<Spanned<Vec<Spanned<IpNet>>>>,
    /// Files with the certificates that its host's own must lead to; empty: the public ones.
    pub trust_roots: Vec<Spanned<PathBuf>>,
    /// Where the table stands.
    pub span: Option<Range<usize>>,
}

/// What is done with a verification request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HandshakeMode {
    /// The gateway answers it.
    #[default]
    Answer,
    /// The upstream does.
    Forward,
    /// It is refused.
    Refuse,
}

/// Secrets, and public keys, of one source: each is one more computation for a delivery that fits none.
pub const SECRETS_MAX: usize = 16;
/// Characters of a secret's id.
pub const ID_CHARS_MAX: usize = 64;
/// Characters of a public key's id.
pub const KEY_ID_CHARS_MAX: usize = 256;
/// Entries of `[[auth.method]]`.
pub const METHODS_MAX: usize = 8;
/// Names in one `client_certificate`.
pub const CERTIFICATE_NAMES_MAX: usize = 64;
/// Files in one `trust_roots`.
pub const TRUST_ROOTS_MAX: usize = 16;
/// Entries of `[auth.parameters]`.
pub const PARAMETERS_MAX: usize = 32;
/// Characters of a variable's name.
pub const VARIABLE_CHARS_MAX: usize = 256;

/// What `hookward init` writes for a parameter that only the operator knows.
pub const FILL_IN: &str = "fill in";

pub(super) fn read_auth(auth: &mut Reader<'_>) -> Option<AuthConfig> {
    let span = auth.span();
    if !auth.has("method") && !auth.has("combine") {
        let method = read_method(auth)?;
        return Some(AuthConfig { combine: Combine::All, methods: vec![method], span });
    }
    auth.require("combine");
    auth.require("method");
    let combine = auth.one_of("combine", COMBINES);
    auth.refuse(&METHOD_KEYS, "belongs into one of [[auth.method]], where several methods are combined");
    let methods = auth.tables("method", METHODS_MAX, read_method)?;
    auth.refuse_empty("method", ", so nothing would ever be accepted");
    for method in methods.value.iter().filter(|method| matches!(method.method, AuthMethod::Nothing)) {
        auth.error(method.span.clone(), Fault::new("provider = \"none\" cannot stand among several methods"));
    }
    (!methods.value.is_empty()).then_some(AuthConfig { combine: combine?.value, methods: methods.value, span })
}

fn read_method(auth: &mut Reader<'_>) -> Option<MethodConfig> {
    let method = if auth.has("client_certificate") {
        auth.refuse(
            &BESIDE_NO_CERTIFICATE,
            "cannot stand beside client_certificate; combine = \"all\" takes several methods",
        );
        auth.table("client_certificate", read_certificate).flatten().map(AuthMethod::ClientCertificate)
    } else {
        read_signing(auth)
    };
    let because = read_because(auth, method.as_ref());
    let secrets = read_references(auth, "secrets", parse_id);
    let public_keys = read_references(auth, "public_keys", parse_key_id);
    let is_whole =
        |key, read: &[SecretReference]| !auth.has(key) || auth.is_array(key) && auth.length(key) == read.len();
    let keys_are_whole = is_whole("secrets", &secrets) && is_whole("public_keys", &public_keys);
    let trust_roots = read_trust_roots(auth);
    let (parameters, span) = (auth.table("parameters", read_parameters).unwrap_or_default(), auth.span());
    Some(MethodConfig { method: method?, because, secrets, public_keys, keys_are_whole, trust_roots, parameters, span })
}

fn read_parameters(parameters: &mut Reader<'_>) -> Vec<(Spanned<String>, Spanned<String>)> {
    let entries = parameters.entries(PARAMETERS_MAX, |text| Ok(text.to_owned()));
    for (name, value) in entries.iter().filter(|(_, value)| value.value == FILL_IN) {
        let fault = Fault::new(format!("{} is still to be filled in", name.value));
        let hint = "`hookward init` left it open: `hookward providers NAME` says what it is";
        parameters.error(Some(value.span.clone()), fault.hint(hint));
    }
    // They are two places for one credential.
    if parameters.has("header") && parameters.has("query") {
        let fault = Fault::new("header and query cannot stand together in auth.parameters");
        parameters.error(parameters.key_span("query"), fault.hint("the credential is at one place"));
    }
    entries
}

/// Reads `provider` or `scheme`, one of which there must be.
fn read_signing(auth: &mut Reader<'_>) -> Option<AuthMethod> {
    auth.require_one(["provider", "scheme"]);
    let provider = auth.parsed("provider", parse_provider);
    let schemes = read_schemes(auth);
    match (provider, schemes) {
        (Some(provider), _) if provider.value == "none" => Some(AuthMethod::Nothing),
        (Some(provider), _) => Some(AuthMethod::Provider(provider)),
        (None, Some(schemes)) => Some(AuthMethod::Schemes(schemes)),
        (None, None) => None,
    }
}

fn read_certificate(certificate: &mut Reader<'_>) -> Option<CertificateConfig> {
    certificate.require("ca");
    let ca = certificate.path("ca");
    let names = certificate.list("names", CERTIFICATE_NAMES_MAX, parse_certificate_name);
    certificate.refuse_empty("names", ", so nothing would ever be accepted");
    Some(CertificateConfig { ca: ca?, names })
}

/// Names are compared whole, so a wildcard would fit nothing but itself.
fn parse_certificate_name(text: &str) -> Result<String, Fault> {
    let name = parse_host_name(text)?;
    if name.starts_with('*') {
        return Err(
            Fault::new(format!("{text:?} has a wildcard")).hint("names of certificates are compared whole: list each")
        );
    }
    Ok(name)
}

fn read_because(auth: &mut Reader<'_>, method: Option<&AuthMethod>) -> Option<Spanned<String>> {
    match method {
        Some(AuthMethod::Nothing) => {
            auth.require("because");
            auth.refuse(&NEEDS_A_METHOD, "has no meaning beside provider = \"none\"");
            let because = auth.string("because")?;
            if because.value.trim().is_empty() {
                auth.error(Some(because.span.clone()), Fault::new("because is empty"));
            }
            Some(because)
        }
        Some(AuthMethod::Provider(_) | AuthMethod::Schemes(_) | AuthMethod::ClientCertificate(_)) => {
            auth.refuse(&["because"], "is for provider = \"none\" only");
            None
        }
        None => auth.string("because"),
    }
}

fn read_references(
    auth: &mut Reader<'_>,
    key: &'static str,
    parse_id: fn(&str) -> Result<String, Fault>,
) -> Vec<SecretReference> {
    let references = auth.tables(key, SECRETS_MAX, |entry| read_reference(entry, parse_id));
    let references = references.map(|references| references.value).unwrap_or_default();
    let mut ids = HashSet::new();
    for SecretReference { id, .. } in &references {
        if !ids.insert(&id.value) {
            auth.error(Some(id.span.clone()), Fault::new(format!("id {:?} is there twice in {key}", id.value)));
        }
    }
    references
}

fn read_reference(entry: &mut Reader<'_>, parse_id: fn(&str) -> Result<String, Fault>) -> Option<SecretReference> {
    entry.require("id");
    let id = entry.guarded("id", parse_id);
    let from = read_place(entry);
    let expires = entry.instant("expires");
    Some(SecretReference { id: id?, from: from?, expires, span: entry.span().unwrap_or_default() })
}

/// Reads `env`, `file` or `credential`, one of which there must be.
pub(super) fn read_place(table: &mut Reader<'_>) -> Option<Spanned<SecretPlace>> {
    table.require_one(["env", "file", "credential"]);
    let directory = table.directory();
    let env = table.guarded("env", parse_variable);
    let file = table.parsed("file", |text| parse_path(text).map(|path| SecretPlace::File(directory.join(path))));
    let credential = table.guarded("credential", parse_credential);
    env.or(file).or(credential)
}

/// Reads `trust_roots = [{ file = "…" }]`.
pub(in crate::policy) fn read_trust_roots(table: &mut Reader<'_>) -> Vec<Spanned<PathBuf>> {
    let roots = table.tables("trust_roots", TRUST_ROOTS_MAX, |root| {
        root.require("file");
        root.path("file")
    });
    roots.map(|roots| roots.value).unwrap_or_default()
}

fn parse_provider(text: &str) -> Result<String, Fault> {
    let is_name = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !is_name || text.len() > ID_CHARS_MAX {
        return Err(Fault::new(format!("{text:?} is not the name of a provider")).hint("see `hookward providers`"));
    }
    Ok(text.to_owned())
}

/// Ids go into a header field and into logs.
fn parse_id(text: &str) -> Result<String, Fault> {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if text.is_empty() || text.len() > ID_CHARS_MAX || !text.bytes().all(is_known) {
        let message = format!("id must be of 1 to {ID_CHARS_MAX} letters, digits, \".\", \"_\" or \"-\"");
        return Err(Fault::new(message));
    }
    Ok(text.to_owned())
}

/// A public key may be named as the sender names it: by its `kid`, or by the URL of its certificate.
fn parse_key_id(text: &str) -> Result<String, Fault> {
    if text.is_empty() || text.len() > KEY_ID_CHARS_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Fault::new(format!("id must be of 1 to {KEY_ID_CHARS_MAX} visible ASCII characters")));
    }
    Ok(text.to_owned())
}

fn parse_variable(text: &str) -> Result<SecretPlace, Fault> {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let begins_well = text.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    if !begins_well || text.len() > VARIABLE_CHARS_MAX || !text.bytes().all(is_known) {
        let fault = Fault::new("env must be the name of an environment variable: letters, digits and \"_\"");
        return Err(fault.hint("the secret itself does not belong in this file"));
    }
    Ok(SecretPlace::Env(text.to_owned()))
}

/// A credential's name is one file's name (`systemd.exec(5)`), so it leads nowhere else.
fn parse_credential(text: &str) -> Result<SecretPlace, Fault> {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_name = !text.is_empty() && !text.starts_with('.') && text.bytes().all(is_known);
    if !is_name || text.len() > VARIABLE_CHARS_MAX {
        let fault = Fault::new("credential must be the name of a credential: letters, digits, \".\", \"_\" and \"-\"");
        return Err(fault.hint("the secret itself does not belong in this file"));
    }
    Ok(SecretPlace::Credential(text.to_owned()))
}

pub(super) fn read_handshake(handshake: &mut Reader<'_>) -> HandshakeConfig {
    let confirm = handshake.boolean("confirm");
    if !confirm.as_ref().is_some_and(|confirm| confirm.value) {
        handshake.refuse(&["networks", "trust_roots"], "has no meaning without confirm = true");
    }
    let networks = handshake.list("networks", NETWORKS_MAX, parse_network);
    HandshakeConfig {
        verify_token: handshake.table("verify_token", read_place).flatten(),
        mode: handshake.one_of("mode", HANDSHAKE_MODES),
        learn_secret: handshake.path("learn_secret"),
        confirm,
        networks,
        trust_roots: read_trust_roots(handshake),
        span: handshake.span(),
    }
}

/// What stands in `[auth]` where there is one method, and in each `[[auth.method]]` where there are several.
const METHOD_KEYS: [&str; 8] =
    ["provider", "scheme", "client_certificate", "because", "secrets", "public_keys", "trust_roots", "parameters"];

const BESIDE_NO_CERTIFICATE: [&str; 6] = ["provider", "scheme", "secrets", "public_keys", "trust_roots", "parameters"];

const COMBINES: &[(&str, Combine)] = &[("all", Combine::All), ("any", Combine::Any)];

const NEEDS_A_METHOD: [&str; 4] = ["secrets", "public_keys", "trust_roots", "parameters"];

const HANDSHAKE_MODES: &[(&str, HandshakeMode)] =
    &[("answer", HandshakeMode::Answer), ("forward", HandshakeMode::Forward), ("refuse", HandshakeMode::Refuse)];
