//! What a person typed into `hookward.toml`: the gateway itself, without its sources.
//!
//! Every key has its place, its default and its bounds here; nothing is opened, bound or resolved. `check` and `test`
//! need only `[policies]`, so the rest is optional and `serve` asks for what it needs.
//!
//! **Invariant:** a [`GatewayConfig`] that came with errors is good for finding more of them, never for serving.

mod acme;
mod addresses;
pub mod edge;

use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use self::acme::read_acme;
pub use self::acme::{AcmeChallenge, AcmeConfig};
use self::edge::read_edge;
pub use self::edge::{EdgeConfig, TlsProfile};
use crate::policy::diagnostic::{Diagnostics, SourceFile};
use crate::policy::table::parse::{Fault, parse_network, parse_path, parse_socket_address};
use crate::policy::table::{self, Bound, Reader, Setting, Spanned};
use crate::reason::Level;

/// `hookward.toml`.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// `[listen]`: where deliveries come in.
    pub listen: Option<ListenConfig>,
    /// `[edge]`: what one connection, and all of them, may cost.
    pub edge: EdgeConfig,
    /// `[[tls]]`: certificates; the first is the default.
    pub tls: Vec<TlsConfig>,
    /// `[acme]`: a certificate that is issued while the gateway runs.
    pub acme: Option<AcmeConfig>,
    /// `[policies]`: where the sources are. Absent only after an error.
    pub policies: Option<PoliciesConfig>,
    /// `[rejects]`: the rejected log.
    pub rejects: RejectsConfig,
    /// `[log]`: what the gateway says about itself.
    pub log: LogConfig,
    /// `[admin]`: the private listener.
    pub admin: Option<AdminConfig>,
}

/// `[listen]`.
#[derive(Debug, Clone)]
pub struct ListenConfig {
    /// Addresses of TLS listeners.
    pub https: Vec<Spanned<SocketAddr>>,
    /// Addresses of plain listeners; there are `trusted_proxies` beside them.
    pub http: Vec<Spanned<SocketAddr>>,
    /// Unix sockets to listen on; who may open one is trusted as a proxy.
    pub unix: Vec<Spanned<PathBuf>>,
    /// Who may open them: permission bits as the file system has them.
    pub unix_mode: u32,
    /// Networks whose forwarding headers are believed.
    pub trusted_proxies: Vec<Spanned<IpNet>>,
    /// Whom the gateway becomes once it listens.
    pub user: Option<Spanned<String>>,
    /// Whether the process gives up what it does not need, once it listens.
    pub sandbox: bool,
    /// The field in which they name the client.
    pub forwarding_field: ForwardingField,
    /// Whether TCP connections from there begin with a PROXY header.
    pub proxy_protocol: bool,
    /// Where the table stands.
    pub span: Option<Range<usize>>,
}

/// The field in which proxies say who the client is. It is one alone, as a proxy that writes the one hands on what a client wrote into the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardingField {
    /// `X-Forwarded-For`, with `X-Forwarded-Proto` beside it.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// One `[[tls]]`.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// A PEM file with the certificate and those between it and the root.
    pub certificate: Spanned<PathBuf>,
    /// A PEM file with the private key.
    pub key: Spanned<PathBuf>,
    /// Host names it answers for; absent: those in the certificate. Lower case, `*.` may stand for one label.
    pub names: Option<Vec<Spanned<String>>>,
    /// Where the table stands.
    pub span: Option<Range<usize>>,
}

/// `[policies]`.
#[derive(Debug, Clone)]
pub struct PoliciesConfig {
    /// The directory with one file for each source.
    pub directory: Spanned<PathBuf>,
    /// Whether weak secrets are errors.
    pub strict: bool,
}

/// `[rejects]`.
#[derive(Debug, Clone)]
pub struct RejectsConfig {
    /// Where records go; by default [`REJECTS_FILE`].
    pub target: Setting<RejectsTarget>,
    /// See [`REJECTS_FILE_BYTES_MAX`].
    pub file_bytes_max: u64,
    /// See [`REJECTS_FILES_MAX`].
    pub files_max: u32,
}

/// Where records of refused deliveries go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RejectsTarget {
    /// `"-"`.
    StandardOutput,
    /// A file, rotated by size.
    File(PathBuf),
}

/// `[log]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    /// How lines look.
    pub format: LogFormat,
    /// The least important line that is written.
    pub level: Level,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[admin]`.
#[derive(Debug, Clone)]
pub struct AdminConfig {
    /// The private listener: health, readiness, metrics.
    pub listen: Spanned<SocketAddr>,
}

/// The rejected log where there is no `[rejects]`, seen from where the gateway was started.
pub const REJECTS_FILE: &str = "logs/rejected.jsonl";
/// Bytes of the rejected log's file before the next one is begun.
pub const REJECTS_FILE_BYTES_MAX: Bound = Bound::new("file_bytes_max", 104_857_600, 65_536, 1 << 40);
/// Files of the rejected log that are kept, the one being written included.
pub const REJECTS_FILES_MAX: Bound = Bound::new("files_max", 10, 1, 1_000);

/// Listeners of one kind.
pub const LISTENERS_MAX: usize = 64;
/// Bytes of a Unix socket's path: the system's field on every platform, without the NUL at its end.
pub const SOCKET_PATH_BYTES_MAX: usize = 103;
/// Who may open a Unix socket, unless a policy says otherwise: the gateway's user and group.
pub const UNIX_MODE: u32 = 0o660;
/// Networks in one list.
pub const NETWORKS_MAX: usize = 4_096;
/// Certificates.
pub const CERTIFICATES_MAX: usize = 1_024;
/// Host names of one certificate.
pub const NAMES_MAX: usize = 256;

/// Reads `hookward.toml`; all findings go to `diagnostics`.
///
/// `None` only if the file is too large to be read.
pub fn read_gateway(file: &SourceFile, diagnostics: &mut Diagnostics) -> Option<GatewayConfig> {
    table::read(file, diagnostics, |top| {
        top.require("policies");
        let listen = top.table("listen", read_listen);
        let acme = top.table("acme", read_acme).flatten();
        if acme.is_some() && listen.as_ref().is_some_and(|listen| listen.https.is_empty()) {
            let fault = Fault::new("acme needs an https listener");
            top.error(top.key_span("acme"), fault.hint("add [listen] https, or take [acme] out"));
        }
        let config = GatewayConfig {
            listen,
            edge: top.table("edge", read_edge).unwrap_or_default(),
            tls: top.tables("tls", CERTIFICATES_MAX, read_tls).map(|tls| tls.value).unwrap_or_default(),
            acme,
            policies: top.table("policies", read_policies).flatten(),
            rejects: top.table("rejects", read_rejects).unwrap_or_default(),
            log: top.table("log", read_log).unwrap_or_default(),
            admin: top.table("admin", read_admin).flatten(),
        };
        addresses::check(top, &config);
        config
    })
}

fn read_listen(listen: &mut Reader<'_>) -> ListenConfig {
    let mut addresses = |key| {
        let list = listen.list(key, LISTENERS_MAX, parse_socket_address);
        list.map_or_else(Vec::new, |list| list.value)
    };
    let (https, http) = (addresses("https"), addresses("http"));
    let trusted_proxies = listen.list("trusted_proxies", NETWORKS_MAX, parse_network);
    let directory = listen.directory();
    let unix = listen.list("unix", LISTENERS_MAX, |text| parse_socket_path(text, &directory));
    let unix = unix.map_or_else(Vec::new, |list| list.value);
    let unix_mode = read_unix_mode(listen, &unix);

    let has_proxies = trusted_proxies.as_ref().is_none_or(|list| !list.value.is_empty());
    if !http.is_empty() && (!listen.has("trusted_proxies") || !has_proxies) {
        let fault =
            Fault::new("plain http is only for a proxy in front that terminates TLS, and there are no trusted_proxies");
        listen.error(listen.key_span("http"), fault.hint("use https, or name the proxy's network in trusted_proxies"));
    }
    let forwarding_field = listen.one_of("forwarding_field", FORWARDING_FIELDS).map(|field| field.value);
    let proxy_protocol = listen.boolean("proxy_protocol").is_some_and(|setting| setting.value);
    if proxy_protocol && (!listen.has("trusted_proxies") || !has_proxies) {
        let fault = Fault::new("proxy_protocol is for connections from trusted_proxies, and there are none");
        listen.error(
            listen.key_span("proxy_protocol"),
            fault.hint("name the load balancer's network in trusted_proxies"),
        );
    }
    let trusted_proxies = trusted_proxies.map(|list| list.value).unwrap_or_default();
    let user = listen.parsed("user", parse_user);
    let sandbox = listen.boolean("sandbox");
    if let Some(off) = sandbox.as_ref().filter(|sandbox| !sandbox.value) {
        let fault =
            Fault::new("without its sandbox the process can start any program, and write wherever its user can");
        listen.warning(
            Some(off.span.clone()),
            fault.hint("leave it out: what the configuration names can be written to all the same"),
        );
    }
    ListenConfig {
        https,
        http,
        unix,
        unix_mode,
        trusted_proxies,
        forwarding_field: forwarding_field.unwrap_or_default(),
        proxy_protocol,
        user,
        sandbox: sandbox.is_none_or(|sandbox| sandbox.value),
        span: listen.span(),
    }
}

fn read_unix_mode(listen: &mut Reader<'_>, unix: &[Spanned<PathBuf>]) -> u32 {
    let Some(mode) = listen.one_of("unix_mode", UNIX_MODES) else { return UNIX_MODE };
    if unix.is_empty() {
        listen.error(
            listen.key_span("unix_mode"),
            Fault::new("unix_mode has no meaning without unix").hint("list a socket in unix, or leave it out"),
        );
    }
    if mode.value & 0o002 != 0 {
        let fault =
            Fault::new("every user of this machine can open the socket, and is believed whatever client it names");
        listen.warning(Some(mode.span), fault.hint("use \"0660\", and let the proxy run with the socket's group"));
    }
    mode.value
}

/// Reads the name of a user other than root, as `passwd(5)` has it.
fn parse_user(text: &str) -> Result<String, Fault> {
    if text == "root" {
        let fault = Fault::new("the gateway is not to serve strangers as root");
        return Err(fault.hint("make a user of its own: useradd --system hookward"));
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if text.is_empty() || text.starts_with('-') || !text.bytes().all(is_name) {
        return Err(Fault::new(format!("{text:?} is not the name of a user")).hint("such as \"hookward\""));
    }
    Ok(text.to_owned())
}

/// Reads the path of a socket, which the system keeps in a short field.
fn parse_socket_path(text: &str, directory: &Path) -> Result<PathBuf, Fault> {
    let path = directory.join(parse_path(text)?);
    if path.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
        let fault = format!("{text:?} is longer than the {SOCKET_PATH_BYTES_MAX} bytes that a socket's path may have");
        return Err(Fault::new(fault).hint("such as \"/run/hookward/hookward.sock\""));
    }
    Ok(path)
}

fn read_tls(tls: &mut Reader<'_>) -> Option<TlsConfig> {
    tls.require("certificate");
    tls.require("key");
    let (certificate, key) = (tls.path("certificate"), tls.path("key"));
    let names = tls.list("names", NAMES_MAX, parse_host_name).map(|names| names.value);
    Some(TlsConfig { certificate: certificate?, key: key?, names, span: tls.span() })
}

fn read_policies(policies: &mut Reader<'_>) -> Option<PoliciesConfig> {
    policies.require("directory");
    let directory = policies.path("directory");
    let strict = policies.boolean("strict").is_some_and(|strict| strict.value);
    Some(PoliciesConfig { directory: directory?, strict })
}

fn read_rejects(rejects: &mut Reader<'_>) -> RejectsConfig {
    rejects.require("file");
    let directory = rejects.directory();
    let target = rejects.parsed("file", |text| match text {
        "-" => Ok(RejectsTarget::StandardOutput),
        _ => parse_path(text).map(|path| RejectsTarget::File(directory.join(path))),
    });
    RejectsConfig::of(target, |bound| rejects.bound(bound))
}

fn read_log(log: &mut Reader<'_>) -> LogConfig {
    let default = LogConfig::default();
    LogConfig {
        format: log.one_of("format", LOG_FORMATS).map_or(default.format, |format| format.value),
        level: log.one_of("level", LOG_LEVELS).map_or(default.level, |level| level.value),
    }
}

fn read_admin(admin: &mut Reader<'_>) -> Option<AdminConfig> {
    admin.require("listen");
    let listen = admin.parsed("listen", parse_socket_address)?;
    if !listen.value.ip().is_loopback() {
        let fault = Fault::new(format!("the admin listener {} can be reached from other machines", listen.value));
        let hint = "it has no authentication: use \"127.0.0.1:9700\", or see that only your own network gets there";
        admin.warning(Some(listen.span.clone()), fault.hint(hint));
    }
    Some(AdminConfig { listen })
}

/// Reads a host name as TLS compares it (RFC 6125 §6.4): letters, digits and hyphens; `*.` may stand for one label.
///
/// # Errors
/// A fault that quotes what is no host name.
pub fn parse_host_name(text: &str) -> Result<String, Fault> {
    let labels = text.strip_prefix("*.").unwrap_or(text);
    let is_label = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        inner && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    if text.len() > 253 || !labels.split('.').all(is_label) {
        let fault = Fault::new(format!("{text:?} is not a host name"));
        return Err(fault.hint("such as \"hooks.example.com\" or \"*.example.com\""));
    }
    Ok(text.to_ascii_lowercase())
}

impl RejectsConfig {
    fn of(target: Option<Spanned<RejectsTarget>>, mut value: impl FnMut(&Bound) -> Setting<u64>) -> Self {
        let default = || Setting { value: RejectsTarget::File(PathBuf::from(REJECTS_FILE)), span: None };
        Self {
            target: target.map_or_else(default, Setting::from),
            file_bytes_max: value(&REJECTS_FILE_BYTES_MAX).value,
            files_max: value(&REJECTS_FILES_MAX).count(),
        }
    }
}

impl Default for RejectsConfig {
    fn default() -> Self {
        Self::of(None, Setting::of_default)
    }
}

impl RejectsTarget {
    /// The same as a path, as the command line has it: `-` is standard output.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::StandardOutput => Path::new("-"),
            Self::File(path) => path,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Auto, level: Level::Info }
    }
}

const UNIX_MODES: &[(&str, u32)] = &[("0600", 0o600), ("0660", UNIX_MODE), ("0666", 0o666)];

const FORWARDING_FIELDS: &[(&str, ForwardingField)] =
    &[("x-forwarded-for", ForwardingField::XForwardedFor), ("forwarded", ForwardingField::Forwarded)];

const LOG_FORMATS: &[(&str, LogFormat)] =
    &[("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];

const LOG_LEVELS: &[(&str, Level)] = &[("error", Level::Error), ("warn", Level::Warn), ("info", Level::Info)];

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::policy::table::findings;

    /// Findings beside those of a missing `[policies]`.
    fn check(text: &str) -> (GatewayConfig, Vec<String>) {
        let text = format!("{text}\n[policies]\ndirectory = 'policies'\n");
        let (config, found) = findings(&text, read_gateway);
        (config.unwrap(), found)
    }

    #[test]
    fn a_whole_file_is_read() {
        let (config, found) = check(
            "[listen]\nhttps = ['0.0.0.0:8443', '[::]:8443']\nhttp = ['127.0.0.1:80']\ntrusted_proxies = ['10.0.0.0/8', '::1']\n\
             unix = ['/run/hookward.sock', 'h.sock']\nunix_mode = '0600'\nproxy_protocol = true\nforwarding_field = 'forwarded'\n\
             [edge]\nconnections_max = 5\nhead_seconds = 3\nworkers = 2\ntls_profile = 'modern'\n\
             [[tls]]\ncertificate = 'a.pem'\nkey = '/b.key'\nnames = ['Hooks.example.com', '*.example.com']\n\
             [[tls]]\ncertificate = 'c.pem'\nkey = 'd.key'\n\
             [rejects]\nfile = 'logs/r.jsonl'\nfiles_max = 3\n[log]\nformat = 'json'\nlevel = 'warn'\n[admin]\nlisten = '127.0.0.1:9700'\n",
        );
        assert_eq!(found, Vec::<String>::new());
        let listen = config.listen.unwrap();
        assert_eq!((listen.https.len(), listen.http.len(), listen.trusted_proxies.len()), (2, 1, 2));
        assert_eq!((listen.proxy_protocol, listen.forwarding_field), (true, ForwardingField::Forwarded));
        assert!(listen.sandbox, "on unless it is switched off");
        let sockets: Vec<_> = listen.unix.iter().map(|path| path.value.to_str().unwrap()).collect();
        assert_eq!((sockets, listen.unix_mode), (vec!["/run/hookward.sock", "etc/h.sock"], 0o600));
        let edge = EdgeConfig {
            connections_max: 5,
            head_time: Duration::from_secs(3),
            workers: Some(2),
            tls_profile: TlsProfile::Modern,
            ..EdgeConfig::default()
        };
        assert_eq!(config.edge, edge);
        assert_eq!(config.tls[0].certificate.value, PathBuf::from("etc/a.pem"));
        assert_eq!(config.tls[0].key.value, PathBuf::from("/b.key"));
        let names: Vec<_> = config.tls[0].names.iter().flatten().map(|name| name.value.as_str()).collect();
        assert_eq!(names, ["hooks.example.com", "*.example.com"]);
        assert!(config.tls[1].names.is_none());
        let rejects = config.rejects;
        assert_eq!(rejects.target.value, RejectsTarget::File(PathBuf::from("etc/logs/r.jsonl")));
        assert_eq!((rejects.file_bytes_max, rejects.files_max), (104_857_600, 3));
        assert_eq!(config.log, LogConfig { format: LogFormat::Json, level: Level::Warn });
        assert_eq!(config.policies.unwrap().directory.value, PathBuf::from("etc/policies"));
    }

    #[test]
    fn policies_alone_are_enough_and_the_rest_has_its_defaults() {
        let (config, found) = check("");
        assert_eq!(found, Vec::<String>::new());
        assert!(config.listen.is_none() && config.tls.is_empty() && config.admin.is_none());
        let rejects = config.rejects;
        assert_eq!((rejects.target.value.path(), rejects.target.span), (Path::new("logs/rejected.jsonl"), None));
        assert_eq!((rejects.file_bytes_max, rejects.files_max), (104_857_600, 10));
        assert_eq!(config.edge, EdgeConfig::default());
        assert_eq!(config.edge.workers, None);
        assert!(!config.policies.unwrap().strict);
        assert_eq!(findings("", read_gateway).1, ["missing key \"policies\""]);
        assert_eq!(findings("[policies]", read_gateway).1, ["1:1: missing key \"directory\" in policies"]);
    }

    #[test]
    fn https_has_a_certificate() {
        const TLS: &str = "[[tls]]\ncertificate = 'a'\nkey = 'b'\n";
        const ACME: &str = "[acme]\naccept_terms = true\ndomains = ['a.example']\nstate = 's'\n";
        let https = "[listen]\nhttps = ['127.0.0.1:1', '127.0.0.1:2']\n";
        let expected = "2:10: https needs a certificate, and there is neither [[tls]] nor [acme]";
        assert_eq!(check(https).1, [expected]);
        for (listen, certificate) in [(https, TLS), (https, ACME), ("[listen]\nhttps = []\n", "")] {
            assert_eq!(check(&format!("{listen}{certificate}")).1, Vec::<String>::new(), "{listen}{certificate}");
        }
        let wrong = format!("{https}[[tls]]\nkey = 'b'\n");
        assert_eq!(check(&wrong).1, ["3:1: missing key \"certificate\" in tls[0]"], "one fault is said once");
    }

    #[test]
    fn an_address_is_named_once() {
        let twice = |at: &str, address: &str, key: &str| {
            Some(format!("{at}: address {address} is named twice: {key} has it already"))
        };
        let part = |at: &str, address: &str, key: &str, of: &str| {
            Some(format!("{at}: address {address} is not free: {key} has it with {of}"))
        };
        // (https, http, [admin] listen, [acme] http, what is said)
        for (https, http, admin, acme, expected) in [
            ("127.0.0.1:1", "127.0.0.1:1", "", "", twice("3:9", "127.0.0.1:1", "https")),
            ("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4", None),
            ("127.0.0.1:1", "127.0.0.2:1", "127.0.0.3:1", "[::1]:1", None),
            ("127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "0.0.0.0:0", None),
            ("127.0.0.1:1', '127.0.0.1:1", "", "", "", twice("2:25", "127.0.0.1:1", "https")),
            // One listener takes what comes to either.
            ("0.0.0.0:1', '[::]:1', '127.0.0.1:1", "", "", "", None),
            ("0.0.0.0:1", "", "127.0.0.1:1", "", part("6:10", "127.0.0.1:1", "https", "0.0.0.0:1")),
            ("[::]:1", "", "127.0.0.1:1", "", part("6:10", "127.0.0.1:1", "https", "[::]:1")),
            ("127.0.0.1:1", "0.0.0.0:1", "", "", part("3:9", "0.0.0.0:1", "https", "127.0.0.1:1")),
            (
                "127.0.0.1:1",
                "[::ffff:127.0.0.1]:1",
                "",
                "",
                part("3:9", "[::ffff:127.0.0.1]:1", "https", "127.0.0.1:1"),
            ),
            ("0.0.0.0:1", "[::1]:1", "", "", None),
            ("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:2", "", twice("6:10", "127.0.0.1:2", "http")),
            ("127.0.0.1:1", "", "127.0.0.1:2", "127.0.0.1:2", twice("12:8", "127.0.0.1:2", "[admin] listen")),
        ] {
            let list = |address: &str| if address.is_empty() { "[]".to_owned() } else { format!("['{address}']") };
            let admin = if admin.is_empty() { "\n".to_owned() } else { format!("[admin]\nlisten = '{admin}'") };
            let acme = if acme.is_empty() { String::new() } else { format!("challenge = 'http-01'\nhttp = '{acme}'") };
            let (found, text) = {
                let text = format!(
                    "[listen]\nhttps = {}\nhttp = {}\ntrusted_proxies = ['::1']\n{admin}\n\
                     [acme]\naccept_terms = true\ndomains = ['a.example']\nstate = 's'\n{acme}",
                    list(https),
                    list(http)
                );
                (check(&text).1, text)
            };
            assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{text}");
        }
    }

    #[test]
    fn each_fault_is_told_at_its_place() {
        let plain = "plain http is only for a proxy in front that terminates TLS, and there are no trusted_proxies";
        let unproxied = "proxy_protocol is for connections from trusted_proxies, and there are none";
        let long = "a".repeat(103);
        let rows = [
            ("[listen]\nhttps = ['8443']", "2:10: \"8443\" is not an address and a port"),
            ("[listen]\nhttp = ['127.0.0.1:80']", &format!("2:1: {plain}")),
            ("[listen]\nhttp = ['127.0.0.1:80']\ntrusted_proxies = []", &format!("2:1: {plain}")),
            ("[listen]\nunix = '/run/h.sock'", "2:8: unix must be an array of strings, got a string"),
            ("[listen]\nunix = ['']", "2:9: \"\" is not a path"),
            (
                &format!("[listen]\nunix = ['/{}', '/{long}']", "a".repeat(102)),
                &format!("2:{}: \"/{long}\" is longer than the 103 bytes that a socket's path may have", 9 + 107),
            ),
            ("[listen]\nunix_mode = '0660'", "2:1: unix_mode has no meaning without unix"),
            ("[listen]\nunix = ['a']\nunix_mode = '660'", "3:13: unknown unix_mode \"660\""),
            (
                "[listen]\nunix = ['a']\nunix_mode = '0666'",
                "3:13: warning: every user of this machine can open the socket, and is believed whatever client it names",
            ),
            ("[listen]\nuser = 'root'", "2:8: the gateway is not to serve strangers as root"),
            ("[listen]\nuser = '0:0'", "2:8: \"0:0\" is not the name of a user"),
            ("[listen]\nsandbox = 'off'", "2:11: sandbox must be a boolean, got a string"),
            (
                "[listen]\nsandbox = false",
                "2:11: warning: without its sandbox the process can start any program, and write wherever its user can",
            ),
            ("[listen]\nforwarding_field = 'Forwarded'", "2:20: unknown forwarding_field \"Forwarded\""),
            ("[listen]\nproxy_protocol = true", &format!("2:1: {unproxied}")),
            ("[listen]\ntrusted_proxies = []\nproxy_protocol = true", &format!("3:1: {unproxied}")),
            ("[listen]\nproxy_protocol = 'v2'", "2:18: proxy_protocol must be a boolean, got a string"),
            ("[listen]\ntrusted_proxies = ['10.0.0.1/8']", "2:20: \"10.0.0.1/8\" has bits set after its first 8"),
            ("[edge]\nconnections_max = 0", "2:19: connections_max is 0, must be 1..=1_000_000"),
            ("[edge]\ntls_profile = 'old'", "2:15: unknown tls_profile \"old\""),
            ("[edge]\nconnections_maz = 1", "2:1: unknown key \"connections_maz\" in edge"),
            ("[edge]\nuri_bytes_max = 20_000", "2:1: uri_bytes_max is 20000, more than head_bytes_max, which is 16384"),
            ("[edge]\nhead_bytes_max = 1_024", "2:1: uri_bytes_max is 2048, more than head_bytes_max, which is 1024"),
            ("[[tls]]\nkey = 'b.key'", "1:1: missing key \"certificate\" in tls[0]"),
            ("[[tls]]\ncertificate = 'a'\nkey = 'b'\nnames = ['a..b']", "4:10: \"a..b\" is not a host name"),
            ("[tls]\ncertificate = 'a'\nkey = 'b'", "1:1: tls must be an array of tables, got a table"),
            ("[rejects]\nfiles_max = 3", "1:1: missing key \"file\" in rejects"),
            ("[log]\nformat = 'xml'", "2:10: unknown format \"xml\""),
            ("[log]\nlevel = 'warning'", "2:9: unknown level \"warning\""),
            ("[log]\nlevel = 'debug'", "2:9: unknown level \"debug\""),
            (
                "[admin]\nlisten = '0.0.0.0:9700'",
                "2:10: warning: the admin listener 0.0.0.0:9700 can be reached from other machines",
            ),
            ("[lisen]\nhttps = []", "1:2: unknown key \"lisen\""),
        ];
        for (text, expected) in rows {
            assert_eq!(check(text).1, [expected], "{text}");
        }
    }

    #[test]
    fn host_names_are_labels_with_dots() {
        for name in ["a", "hooks.example.com", "*.example.com", "xn--bcher-kva.example", "1.2"] {
            assert!(parse_host_name(name).is_ok(), "{name}");
        }
        for name in
            ["", ".", "a.", ".a", "*", "*.", "a*.b", "-a", "a-", "a_b", "bücher.example", "a:1", &"a".repeat(64)]
        {
            assert!(parse_host_name(name).is_err(), "{name}");
        }
    }
}
