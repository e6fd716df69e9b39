//! What a person typed into `policies/NAME.toml`: one source.
//!
//! Every key has its place, its default and its bounds here. What a preset decides (methods, content types, whether a
//! secret is needed) is left open; `compile` closes it. Secrets are references only, read later by a resolver.
//!
//! **Invariant:** a [`SourceConfig`] that came with errors is good for finding more of them, never for judging a
//! delivery. What may be a pasted secret is masked in every report.

pub mod auth;
pub mod event;
pub mod forward;
pub mod sanitize;

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use http::{Method, Uri};
use ipnet::IpNet;

pub use self::auth::{
    AuthConfig, AuthMethod, CertificateConfig, HandshakeConfig, HandshakeMode, MethodConfig, SecretPlace,
    SecretReference,
};
use self::auth::{read_auth, read_handshake};
use self::event::read_event;
pub use self::event::{EventConfig, SchemaConfig};
use self::forward::read_forward;
pub use self::forward::{ForwardConfig, HealthConfig, Upstream};
use self::sanitize::read_sanitize;
pub use self::sanitize::{PlaceConfig, SanitizeConfig};
use crate::payload::JsonLimits;
use crate::payload::coding::Coding;
use crate::policy::diagnostic::{Diagnostics, SourceFile};
use crate::policy::gateway_config::NETWORKS_MAX;
use crate::policy::preset;
use crate::policy::source::{Mode, Modes, OnDuplicate, PayloadKind, SignedContent};
use crate::policy::table::parse::{Fault, choose, parse_network, parse_path, parse_url};
use crate::policy::table::{self, Bound, Like, Reader, Setting, Spanned};

/// One file of the policies' directory.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// The exact path of the endpoint.
    pub path: Spanned<String>,
    /// The URL as the sender knows it; without query.
    pub public_url: Option<Spanned<Uri>>,
    /// Absent: the preset's.
    pub methods: Option<Spanned<Vec<Method>>>,
    /// Absent: the preset's.
    pub content_types: Option<Spanned<Vec<MediaType>>>,
    /// Absent: the preset's.
    pub payload: Option<Spanned<PayloadKind>>,
    /// The field of a form that holds the payload as JSON. Absent: the preset's.
    pub json_field: Option<Spanned<String>>,
    /// `content_encodings`; empty where none is taken.
    pub content_encodings: Vec<Coding>,
    /// `signed_content`.
    pub signed_content: SignedContent,
    /// See [`BODY_BYTES_MAX`].
    pub body_bytes_max: Setting<u64>,
    /// `[auth]`.
    pub auth: AuthConfig,
    /// `[network]`.
    pub network: NetworkConfig,
    /// `[limit]`.
    pub limit: LimitConfig,
    /// `[replay]`.
    pub replay: ReplayConfig,
    /// `[event]`.
    pub event: EventConfig,
    /// `[sanitize]`.
    pub sanitize: SanitizeConfig,
    /// `[mode]`.
    pub modes: Modes,
    /// Where `[mode] auth` says `"monitor"`.
    pub unproven: Option<Range<usize>>,
    /// `[forward]`.
    pub forward: ForwardConfig,
    /// `[handshake]`.
    pub handshake: Option<HandshakeConfig>,
}

/// A media type without parameters (RFC 9110 §8.3.1), in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaType {
    /// `*/*`: any, or none at all.
    Any,
    /// `type/subtype`, or `type/*` for every subtype.
    Named(String),
}

/// `[network]`.
#[derive(Debug, Clone, Default)]
pub struct NetworkConfig {
    /// Who may connect; where `lists` are absent, too: anybody.
    pub allow: Option<Vec<Spanned<IpNet>>>,
    /// Files with more of them.
    pub lists: Vec<Spanned<PathBuf>>,
    /// Who may not.
    pub deny: Vec<Spanned<IpNet>>,
}

/// `[limit]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitConfig {
    /// Before authentication, for each IPv4 address or IPv6 /64.
    pub client: Rate,
    /// After authentication, for the whole source.
    pub source: Rate,
    /// Failed authentications of one client on this source in a minute, before it is blocked.
    pub failures_per_minute: u32,
    /// How long it is then blocked.
    pub block_time: Duration,
    /// How long at most, where blocks follow one another.
    pub block_time_max: Duration,
    /// Deliveries under way to the upstream at once.
    pub in_flight_max: usize,
    /// What the JSON reader takes.
    pub json: JsonLimits,
}

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many come back in a second.
    pub per_second: u32,
    /// How many there are at most.
    pub burst: u32,
}

/// `[replay]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayConfig {
    /// See [`WINDOW_SECONDS`]; `compile` sees that it is twice the tolerance.
    pub window: Setting<u64>,
    /// Absent: it depends on what the scheme signs.
    pub on_duplicate: Option<Spanned<OnDuplicate>>,
}

/// Bytes of a body.
pub const BODY_BYTES_MAX: Bound = Bound::new("body_bytes_max", 1_048_576, 1, 1 << 30);
/// Requests of one client in a second, before authentication.
pub const CLIENT_PER_SECOND: Bound = Bound::new("per_second", 50, 1, 1_000_000);
/// How many of them may come at once.
pub const CLIENT_BURST: Bound = Bound::new("burst", 200, 1, 1_000_000);
/// Authentic deliveries of the source in a second.
pub const SOURCE_PER_SECOND: Bound = Bound::new("per_second", 50, 1, 1_000_000);
/// How many of them may come at once.
pub const SOURCE_BURST: Bound = Bound::new("burst", 100, 1, 1_000_000);
/// Failed authentications of one client in a minute.
pub const FAILURES_PER_MINUTE: Bound = Bound::new("per_minute", 60, 1, 100_000);
/// How long a client is blocked after too many of them.
pub const BLOCK_SECONDS: Bound = Bound::new("block_seconds", 60, 1, 86_400);
/// How long at most: a block soon after another one is twice as long.
pub const BLOCK_SECONDS_MAX: Bound = Bound::new("block_seconds_max", 3_600, 1, 86_400);
/// Deliveries under way to the upstream at once.
pub const IN_FLIGHT_MAX: Bound = Bound::new("in_flight_max", 64, 1, 100_000);
/// How deep JSON containers may stand in one another; the upper bound is that of the schema check.
pub const JSON_DEPTH_MAX: Bound = Bound::new("json_depth_max", 64, 1, 128);
/// How many values a JSON text may have.
pub const JSON_NODES_MAX: Bound = Bound::new("json_nodes_max", 262_144, 1, 16_777_216);
/// How many members a JSON object may have.
pub const JSON_MEMBERS_MAX: Bound = Bound::new("json_members_max", 10_000, 1, 1_048_576);
/// How long an accepted delivery is remembered: twice the largest tolerance is allowed.
pub const WINDOW_SECONDS: Bound = Bound::new("window_seconds", 600, 1, 172_800);
/// Bytes of a path.
pub const PATH_BYTES_MAX: usize = 1_024;
/// Bytes of `json_field`.
pub const FIELD_NAME_BYTES_MAX: usize = 128;
/// Lists of networks that one policy names.
pub const LISTS_MAX: usize = 16;
/// Entries of `methods` and of `content_types`.
pub const WORDS_MAX: usize = 64;

/// Reads one source's file; all findings go to `diagnostics`.
///
/// `None` if a part is missing or wrong that everything else hangs on: `path`, how senders prove themselves, or where
/// deliveries go.
pub fn read_source(file: &SourceFile, diagnostics: &mut Diagnostics) -> Option<SourceConfig> {
    table::read_like(file, diagnostics, Like::Policy(preset::text), read_top).flatten()
}

fn read_top(top: &mut Reader<'_>) -> Option<SourceConfig> {
    for key in ["path", "auth", "forward"] {
        top.require(key);
    }
    let path = top.parsed("path", parse_endpoint);
    let public_url = top.parsed("public_url", parse_url);
    let methods = top.list("methods", WORDS_MAX, |text| choose("method", text, METHODS).cloned());
    let content_types = top.list("content_types", WORDS_MAX, parse_media_type);
    let payload = top.one_of("payload", PAYLOADS);
    let json_field = top.parsed("json_field", parse_field_name);
    let (content_encodings, signed_content) = read_codings(top);
    let body_bytes_max = top.bound(&BODY_BYTES_MAX);
    let auth = top.table("auth", read_auth).flatten();
    let network = top.table("network", read_network).unwrap_or_default();
    let limit = top.table("limit", read_limit).unwrap_or_default();
    let replay = top.table("replay", read_replay).unwrap_or_default();
    let event = top.table("event", read_event).unwrap_or_default();
    let sanitize = top.table("sanitize", |sanitize| read_sanitize(sanitize, &event)).unwrap_or_default();
    let forward = top.table("forward", read_forward).flatten();
    let handshake = top.table("handshake", read_handshake);
    let (modes, unproven) = top.table("mode", |mode| read_mode(mode, &event, &sanitize)).unwrap_or_default();

    if let Some(payload) = &payload {
        refuse_beside(top, payload.value, &event, &sanitize);
    }
    top.refuse_empty("methods", NOTHING_ACCEPTED);
    top.refuse_empty("content_types", NOTHING_ACCEPTED);
    Some(SourceConfig {
        path: path?,
        public_url,
        methods: methods.map(plain),
        content_types: content_types.map(plain),
        payload,
        json_field,
        content_encodings,
        signed_content,
        body_bytes_max,
        auth: auth?,
        network,
        limit,
        replay,
        event,
        sanitize,
        modes,
        unproven,
        forward: forward?,
        handshake,
    })
}

fn plain<T>(list: Spanned<Vec<Spanned<T>>>) -> Spanned<Vec<T>> {
    list.map(|items| items.into_iter().map(|item| item.value).collect())
}

fn read_codings(top: &mut Reader<'_>) -> (Vec<Coding>, SignedContent) {
    let codings = top.list("content_encodings", Coding::ALL.len(), |text| choose("coding", text, &Coding::ALL));
    let codings = codings.map(|list| plain(list).value).unwrap_or_default();
    let signed = top.one_of("signed_content", SIGNED_CONTENT);
    if let (Some(signed), true) = (&signed, codings.is_empty()) {
        top.warning(Some(signed.span.clone()), Fault::new("signed_content has no effect without content_encodings"));
    }
    (codings, signed.map(|signed| signed.value).unwrap_or_default())
}

/// What cannot work with bodies that are read so.
fn refuse_beside(top: &Reader<'_>, payload: PayloadKind, event: &EventConfig, sanitize: &SanitizeConfig) {
    let (is_opaque, has_fields) = match payload {
        PayloadKind::Auto | PayloadKind::Form | PayloadKind::Multipart => (false, true),
        PayloadKind::Json => (false, false),
        PayloadKind::Opaque => (true, false),
    };
    let fault = |what: &str| Fault::new(format!("{what} cannot work beside payload = \"opaque\", which is not read"));
    if is_opaque && event.schemas.is_some() {
        top.error(top.key_span("event"), fault("[event.schema]"));
    }
    if is_opaque && !sanitize.keeps_everything() {
        top.error(top.key_span("sanitize"), fault("[sanitize]"));
    }
    if !has_fields && top.has("json_field") {
        top.error(top.key_span("json_field"), Fault::new("json_field is of forms, which this payload is not read as"));
    }
}

/// Reads the name of a form's field, as it is once decoded.
pub(super) fn parse_field_name(text: &str) -> Result<String, Fault> {
    if text.is_empty() || text.len() > FIELD_NAME_BYTES_MAX {
        return Err(
            Fault::new(format!("a field's name has 1 to {FIELD_NAME_BYTES_MAX} bytes")).hint("such as \"payload\"")
        );
    }
    Ok(text.to_owned())
}

/// Reads the path of an endpoint: what a request target must be, byte for byte, before its query.
fn parse_endpoint(text: &str) -> Result<String, Fault> {
    let refuse = |what: &str| Err(Fault::new(format!("path {text:?} {what}")));
    if !text.starts_with('/') {
        return refuse("does not begin with \"/\"");
    }
    if text.len() > PATH_BYTES_MAX {
        return refuse(&format!("is longer than {PATH_BYTES_MAX} bytes"));
    }
    let is_unsafe = |character: char| !character.is_ascii_graphic() || "?#%;\\\"<>^`{|}".contains(character);
    if let Some((at, character)) = text.char_indices().find(|(_, character)| is_unsafe(*character)) {
        let fault = Fault::new(format!("path holds {character:?}, which no exact path may"));
        return Err(fault.within(at..at + character.len_utf8()));
    }
    if text.contains("//") {
        return refuse("has an empty segment");
    }
    if text.split('/').any(|segment| segment == "." || segment == "..") {
        return refuse("has a segment that other servers would resolve");
    }
    Ok(text.to_owned())
}

/// Reads a media type without parameters; `type/*` and `*/*` stand for more.
fn parse_media_type(text: &str) -> Result<MediaType, Fault> {
    let is_token = |text: &str| {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        !text.is_empty() && text.bytes().all(is_known)
    };
    match text.split_once('/') {
        Some(("*", "*")) => Ok(MediaType::Any),
        Some((family, subtype)) if is_token(family) && (subtype == "*" || is_token(subtype)) => {
            Ok(MediaType::Named(text.to_ascii_lowercase()))
        }
        _ => Err(Fault::new(format!("{text:?} is not a media type"))
            .hint("such as \"application/json\", without parameters")),
    }
}

fn read_network(network: &mut Reader<'_>) -> NetworkConfig {
    let allow = network.list("allow", NETWORKS_MAX, parse_network).map(|allow| allow.value);
    let directory = network.directory();
    let lists = network.list("lists", LISTS_MAX, |text| parse_path(text).map(|path| directory.join(path)));
    let deny = network.list("deny", NETWORKS_MAX, parse_network);
    network.refuse_empty("allow", NOTHING_ACCEPTED);
    network.refuse_empty("lists", NOTHING_ACCEPTED);
    NetworkConfig {
        allow,
        lists: lists.map(|lists| lists.value).unwrap_or_default(),
        deny: deny.map(|deny| deny.value).unwrap_or_default(),
    }
}

fn read_limit(limit: &mut Reader<'_>) -> LimitConfig {
    let mut config = LimitConfig::of(|bound| limit.bound(bound));
    let client = limit.table("client", |rate| read_rate(rate, &CLIENT_PER_SECOND, &CLIENT_BURST));
    let source = limit.table("source", |rate| read_rate(rate, &SOURCE_PER_SECOND, &SOURCE_BURST));
    let failures = limit.table("failures", |failures| {
        let (per_minute, block) = (failures.bound(&FAILURES_PER_MINUTE).count(), failures.bound(&BLOCK_SECONDS));
        let max = failures.bound(&BLOCK_SECONDS_MAX);
        if max.span.is_some() && max.value < block.value {
            let fault =
                format!("block_seconds_max is {}, less than block_seconds, which is {}", max.value, block.value);
            failures.error(max.span.clone(), Fault::new(fault).hint("the same number keeps blocks from growing"));
        }
        (per_minute, block.seconds(), max.seconds().max(block.seconds()))
    });
    config.client = client.unwrap_or(config.client);
    config.source = source.unwrap_or(config.source);
    (config.failures_per_minute, config.block_time, config.block_time_max) =
        failures.unwrap_or((config.failures_per_minute, config.block_time, config.block_time_max));
    config
}

fn read_rate(rate: &mut Reader<'_>, per_second: &Bound, burst: &Bound) -> Rate {
    Rate { per_second: rate.bound(per_second).count(), burst: rate.bound(burst).count() }
}

fn read_replay(replay: &mut Reader<'_>) -> ReplayConfig {
    ReplayConfig { window: replay.bound(&WINDOW_SECONDS), on_duplicate: replay.one_of("on_duplicate", ON_DUPLICATE) }
}

/// Which stages only say what they would do, and where authentication is one of them. Each is a warning: `check` shows every weakened stage. What lets
/// strangers or floods in needs a reason.
fn read_mode(mode: &mut Reader<'_>, event: &EventConfig, sanitize: &SanitizeConfig) -> (Modes, Option<Range<usize>>) {
    let [schema, sanitizer, limit, auth] =
        ["schema", "sanitize", "limit", "auth"].map(|stage| mode.one_of(stage, MODES));
    let because = mode.string("because");
    let is_monitored = |word: &&Spanned<Mode>| word.value == Mode::Monitor;
    let warn = |word: &Option<Spanned<Mode>>, what: &str| {
        if let Some(word) = word.as_ref().filter(is_monitored) {
            mode.warning(Some(word.span.clone()), Fault::new(what.to_owned()));
        }
    };
    let no_schema = event.schemas.is_none();
    warn(&schema, if no_schema { "schema is monitored, but there is no [event.schema]" } else { SCHEMA_WEAKENED });
    let no_rule = sanitize.keeps_everything();
    warn(&sanitizer, if no_rule { "sanitize is monitored, but there is no [sanitize]" } else { SANITIZE_WEAKENED });
    warn(&limit, LIMIT_WEAKENED);
    warn(&auth, AUTH_WEAKENED);
    let unproven = auth.as_ref().filter(is_monitored).map(|word| word.span.clone());
    let unlimited = limit.as_ref().filter(is_monitored).map(|word| word.span.clone());
    if because.as_ref().is_none_or(|because| because.value.trim().is_empty()) {
        let opened = [(&unproven, AUTH_UNEXPLAINED), (&unlimited, LIMIT_UNEXPLAINED)];
        for (span, message) in opened.into_iter().filter(|(span, _)| span.is_some()) {
            mode.error(span.clone(), Fault::new(message));
        }
    }
    if unproven.is_some() && unlimited.is_some() {
        let fault = Fault::new("auth and limit cannot both be monitored: nothing would hold strangers back");
        mode.error(unproven.clone(), fault);
    }
    let word = |word: Option<Spanned<Mode>>| word.map(|word| word.value).unwrap_or_default();
    let modes = Modes {
        schema: word(schema),
        sanitize: word(sanitizer),
        limit: word(limit),
        auth: word(auth),
        because: because.map(|because| because.value.into()),
    };
    (modes, unproven)
}

const MODES: &[(&str, Mode)] = &[("enforce", Mode::Enforce), ("monitor", Mode::Monitor)];
const SCHEMA_WEAKENED: &str = "schema is only monitored: payloads that miss it go on";
const SANITIZE_WEAKENED: &str = "sanitize is only monitored: nothing is removed or refused";
const LIMIT_WEAKENED: &str = "limit is only monitored: the rates of clients and of the source refuse nothing";
const AUTH_UNEXPLAINED: &str = "auth = \"monitor\" lets anybody in, so it needs because = \"…\"";
const LIMIT_UNEXPLAINED: &str = "limit = \"monitor\" lets floods in, so it needs because = \"…\"";
const AUTH_WEAKENED: &str = "auth is only monitored: deliveries go on without proof, marked x-hookward-unauthenticated";

impl LimitConfig {
    /// The numbers of `[limit]` itself, with the default rates.
    fn of(mut value: impl FnMut(&Bound) -> Setting<u64>) -> Self {
        let default = |bound: &Bound| Setting::of_default(bound);
        let rate = |per_second, burst| Rate { per_second: default(per_second).count(), burst: default(burst).count() };
        Self {
            client: rate(&CLIENT_PER_SECOND, &CLIENT_BURST),
            source: rate(&SOURCE_PER_SECOND, &SOURCE_BURST),
            failures_per_minute: default(&FAILURES_PER_MINUTE).count(),
            block_time: default(&BLOCK_SECONDS).seconds(),
            block_time_max: default(&BLOCK_SECONDS_MAX).seconds(),
            in_flight_max: value(&IN_FLIGHT_MAX).size(),
            json: JsonLimits {
                depth_max: value(&JSON_DEPTH_MAX).count(),
                nodes_max: value(&JSON_NODES_MAX).count(),
                members_max: value(&JSON_MEMBERS_MAX).count(),
            },
        }
    }
}

impl Default for LimitConfig {
    fn default() -> Self {
        Self::of(Setting::of_default)
    }
}

impl Default for ReplayConfig {
    fn default() -> Self {
        Self { window: Setting::of_default(&WINDOW_SECONDS), on_duplicate: None }
    }
}

const NOTHING_ACCEPTED: &str = ", so nothing would ever be accepted";

/// TRACE and CONNECT are not for webhooks.
const METHODS: &[(&str, &Method)] = &[
    ("POST", &Method::POST),
    ("PUT", &Method::PUT),
    ("PATCH", &Method::PATCH),
    ("DELETE", &Method::DELETE),
    ("GET", &Method::GET),
    ("HEAD", &Method::HEAD),
    ("OPTIONS", &Method::OPTIONS),
];

/// The words of `payload`.
pub(super) const PAYLOADS: &[(&str, PayloadKind)] = &[
    ("auto", PayloadKind::Auto),
    ("json", PayloadKind::Json),
    ("form", PayloadKind::Form),
    ("multipart", PayloadKind::Multipart),
    ("opaque", PayloadKind::Opaque),
];

const SIGNED_CONTENT: &[(&str, SignedContent)] =
    &[("received", SignedContent::Received), ("decoded", SignedContent::Decoded)];

const ON_DUPLICATE: &[(&str, OnDuplicate)] =
    &[("acknowledge", OnDuplicate::Acknowledge), ("refuse", OnDuplicate::Refuse), ("forward", OnDuplicate::Forward)];

#[cfg(test)]
mod tests;
