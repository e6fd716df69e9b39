//! One source: what a person typed, completed by its preset, becomes a [`Source`]. All findings go to the diagnostics.

mod combined;
mod handshakes;
mod keys;
mod network;
mod sanitizer;

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderName;
use sha2::{Digest as _, Sha256};

use self::combined::Combined;
use super::diagnostic::{Diagnostic, Diagnostics, Files, SourceFile};
use super::networks::Lists;
use super::patterns::Patterns;
use super::preset::{self, Preset, Signing};
use super::secrets::Resolver;
use super::source::{
    self, ContentTypes, EventRules, ForwardRules, HandshakeRules, Methods, Mode, OnDuplicate, PayloadKind, ReplayRule,
    SignedContent, Source, Unlisted,
};
use super::source_config::{AuthMethod, LimitConfig, MediaType, MethodConfig, SourceConfig};
use super::table::Spanned;
use super::table::parse::nearest;
use super::{tls, upstream};
use crate::admit::Limits;
use crate::admit::failures::FailureRule;
use crate::admit::networks::NetworkRules;
use crate::admit::rate::Rate;
use crate::admit::source::{RateMode, SourceRules};
use crate::auth::code::CodeKind;
use crate::auth::facts::Covered;
use crate::auth::key::KeyKind;
use crate::auth::place::Place;
use crate::auth::scheme::Scheme;
use crate::auth::template::Template;
use crate::auth::verify::Challenges;
use crate::forward::{HeaderRules, Signer, sign};
use crate::payload::schema::{Schema, SchemaFault};
use crate::sanitize::Action;

/// What compiling a source takes besides its file.
pub(super) struct Context<'c> {
    pub resolver: &'c dyn Resolver,
    pub limits: &'c Limits,
    pub strict: bool,
    /// `$ref` stays inside of it.
    pub directory: &'c Path,
    pub schemas: Schemas,
    pub lists: Lists,
    pub trust: tls::TrustCache,
    /// Files whose change is a reason to load again.
    pub watched: &'c mut BTreeSet<PathBuf>,
    /// Where secrets are kept that providers hand over.
    pub learnt: &'c mut Vec<(Arc<Path>, Spanned<PathBuf>)>,
    pub files: &'c mut Files,
    pub diagnostics: &'c mut Diagnostics,
}

/// Schemas by file: many events share one, and a file is read once.
pub(super) type Schemas = HashMap<PathBuf, Result<Schema, SchemaFault>>;

/// Compiles a source; `None` if it cannot be served. Whatever else is wrong is in the diagnostics.
pub(super) fn compile(
    name: &str,
    file: &SourceFile,
    config: SourceConfig,
    context: &mut Context<'_>,
) -> Option<Source> {
    let mut compiler = Compiler { file, context };
    let combined = compiler.combined(&config)?;
    let handshakes = compiler.handshakes(&config, &combined);
    let signs_for_strangers = handshakes.as_ref().is_some_and(HandshakeRules::signs_for_strangers);
    let challenges = if signs_for_strangers { Challenges::Signed } else { Challenges::None };
    let authenticator = compiler.authenticator(&config, &combined, challenges);
    if let (Some(span), Some(None)) = (&config.unproven, &authenticator) {
        compiler.error(Some(span.clone()), "there is no authentication to monitor: provider = \"none\"".to_owned());
    }
    let schemes = combined.schemes();
    let event = compiler.event(&config, &combined, &schemes);
    let headers = compiler.headers(&config, &combined, &schemes);
    let signer = compiler.signer(&config);
    let sanitize = compiler.sanitizer(&config.sanitize);
    compiler.context.watched.extend(config.forward.trust_roots.iter().map(|root| root.value.clone()));
    let targets = upstream::targets(name, &config.forward, &mut compiler.context.trust, compiler.context.limits)
        .map_err(|(span, message)| compiler.error(span, message))
        .ok();
    let content_types = Compiler::content_types(&config, &combined);
    let payload = compiler.payload(&config, &combined);
    let json_field = Compiler::json_field(&config, &combined);
    let replay = compiler.replay(&config, &combined);
    compiler.url(&config, &schemes);
    compiler.body(&config);
    compiler.codings(&config, &combined);
    let networks = compiler.networks(&config.network);
    let credential_parameters = schemes.iter().filter_map(|scheme| {
        let Place::Query(name) = &scheme.credential else { return None };
        Some(name.clone())
    });
    let credential_parameters = credential_parameters.collect();
    let (http_methods, answer_headers) = (combined.http_methods(), combined.answer_headers());
    let delivery_id = combined.presets().flat_map(|preset| preset.delivery_id.iter().cloned()).collect();
    let limits = context.limits.source(name, limits(&config.limit, networks, config.modes.limit));
    Some(Source {
        name: Arc::from(name),
        policy: label(file),
        path: config.path.value.into(),
        methods: Methods::new(config.methods.map_or(http_methods, |written| written.value)),
        content_types,
        payload,
        json_field,
        content_encodings: config.content_encodings,
        signed_content: config.signed_content,
        body_bytes_max: config.body_bytes_max.size(),
        json: config.limit.json,
        public_url: config.public_url.map(|url| url.value.to_string().into()),
        single_headers: single_headers(&schemes),
        authenticator: authenticator?,
        handshakes: handshakes?,
        limits,
        diagnoses: source::diagnoses(),
        replay,
        event: event?,
        delivery_id,
        sanitize: sanitize?,
        modes: config.modes,
        forward: ForwardRules {
            targets: targets?,
            deadline: config.forward.deadline.milliseconds(),
            headers: headers?,
            credential_parameters,
            signer: signer?,
            answer_headers,
            acknowledgement: Bytes::new(),
        },
    })
}

/// How senders prove themselves.
enum Proving {
    Preset(&'static Preset),
    Custom,
    Certificate,
    Nothing,
}

impl Proving {
    const fn preset(&self) -> Option<&'static Preset> {
        match self {
            Self::Preset(preset) => Some(preset),
            Self::Custom | Self::Certificate | Self::Nothing => None,
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Preset(preset) => preset.name,
            Self::Custom => "custom",
            Self::Certificate => combined::CERTIFICATE,
            Self::Nothing => "none",
        }
    }

    const fn code(&self) -> Option<CodeKind> {
        match self {
            Self::Preset(Preset { signing: Signing::Code(kind), .. }) => Some(*kind),
            Self::Preset(_) | Self::Custom | Self::Certificate | Self::Nothing => None,
        }
    }
}

struct Compiler<'s, 'c> {
    file: &'s SourceFile,
    context: &'s mut Context<'c>,
}

type Span = Option<std::ops::Range<usize>>;

impl Compiler<'_, '_> {
    fn error(&mut self, span: Span, message: String) {
        self.context.diagnostics.push(Diagnostic::error(&self.file.path, span, message));
    }

    fn error_with(&mut self, span: Span, message: String, hint: String) {
        self.context.diagnostics.push(Diagnostic::error(&self.file.path, span, message).hint(hint));
    }

    fn warning(&mut self, span: Span, message: String, hint: &str) {
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        self.context.diagnostics.push(Diagnostic::warning(&self.file.path, span, message).hint(hint));
    }

    fn proving(&mut self, auth: &MethodConfig) -> Option<Proving> {
        match &auth.method {
            AuthMethod::Nothing => {
                let message = "anybody may send: provider = \"none\"".to_owned();
                self.warning(auth.span.clone(), message, "");
                Some(Proving::Nothing)
            }
            AuthMethod::Schemes(_) => Some(Proving::Custom),
            AuthMethod::ClientCertificate(_) => Some(Proving::Certificate),
            AuthMethod::Provider(name) => {
                if let Some(preset) = preset::find(&name.value) {
                    return Some(Proving::Preset(preset));
                }
                let names: Vec<_> = preset::names().collect();
                let hint = format!("{}see `hookward providers`", nearest(&name.value, &names));
                self.error_with(Some(name.span.clone()), format!("unknown provider {:?}", name.value), hint);
                None
            }
        }
    }

    /// The schemes, with the credential where `[auth.parameters]` puts it and every parameter replaced by its value.
    fn schemes(&mut self, auth: &MethodConfig, method: &Proving) -> Option<Vec<Scheme>> {
        let schemes = match (method, &auth.method) {
            (Proving::Preset(preset), _) => preset.signing.schemes(),
            (Proving::Custom, AuthMethod::Schemes(schemes)) => schemes,
            (Proving::Custom | Proving::Certificate | Proving::Nothing, _) => &[],
        };
        let parameters = &auth.parameters;
        let given =
            |name: &str| parameters.iter().find(|(found, _)| found.value == name).map(|(_, value)| &*value.value);
        let mut resolved = Vec::with_capacity(schemes.len());
        for scheme in schemes {
            match scheme.resolve(&given) {
                Ok(scheme) => resolved.push(scheme),
                Err(name) => {
                    let declared =
                        method.preset().and_then(|preset| preset.parameters.iter().find(|known| *known.name == *name));
                    let hint = declared.map(|known| format!("it is {}", known.what)).unwrap_or_default();
                    let message = format!("parameter {name:?} is missing: [auth.parameters] {name} = \"…\"");
                    self.error_with(auth.span.clone(), message, hint);
                    return None;
                }
            }
        }
        self.relocate(auth, method, &mut resolved)?;
        Some(resolved)
    }

    /// Puts a relocatable credential where the parameters say, and reports parameters that nobody asks for.
    fn relocate(&mut self, auth: &MethodConfig, method: &Proving, schemes: &mut [Scheme]) -> Option<()> {
        let relocatable = method.preset().is_some_and(|preset| preset.relocatable);
        let mut fault = false;
        for (name, value) in &auth.parameters {
            let place = match (relocatable, name.value.as_str()) {
                (true, "header") => {
                    let header = HeaderName::try_from(value.value.as_str()).ok();
                    if header.is_none() {
                        self.error(Some(value.span.clone()), "not a header name".to_owned());
                        fault = true;
                    }
                    header.map(Place::header)
                }
                (true, "query") => Some(Place::Query(value.value.as_str().into())),
                (_, other) => {
                    let declared =
                        method.preset().map(|preset| preset.parameters.iter().any(|known| known.name == other));
                    if declared == Some(false) || matches!(method, Proving::Nothing) {
                        let message = format!("provider {:?} has no parameter {other:?}", method.name());
                        self.error(Some(name.span.clone()), message);
                        fault = true;
                    }
                    None
                }
            };
            if let (Some(place), Some(scheme)) = (place, schemes.first_mut()) {
                scheme.credential = place;
            }
        }
        (!fault).then_some(())
    }

    fn event(&mut self, config: &SourceConfig, combined: &Combined<'_>, schemes: &[Scheme]) -> Option<EventRules> {
        let places = match &config.event.place {
            Some(place) => vec![place.value.clone()],
            None => combined.presets().flat_map(|preset| preset.event.iter().cloned()).collect(),
        };
        let coverage = |place: Template| {
            let covered = combined.coverage(&place);
            (place, covered)
        };
        let places: Vec<_> = places.into_iter().map(coverage).collect();
        let unlisted = config.event.unlisted.as_ref().map_or(Unlisted::default(), |unlisted| unlisted.value);
        let mut rules = EventRules { places, unlisted, ..EventRules::default() };
        let Some(schemas) = &config.event.schemas else {
            self.warning(None, "no [event.schema]: payloads are not checked against a schema".to_owned(), "");
            return Some(rules);
        };
        let mut complete = true;
        for (event, path) in &schemas.by_event {
            match self.schema(path) {
                Some(schema) => drop(rules.schemas.insert(event.value.as_str().into(), schema)),
                None => complete = false,
            }
        }
        let mut patterns = Vec::new();
        for (pattern, path) in &schemas.by_pattern {
            match self.schema(path) {
                Some(schema) => patterns.push((pattern.value.clone(), schema)),
                None => complete = false,
            }
        }
        rules.patterns = Patterns::new(patterns);
        if let Some(path) = &schemas.any {
            rules.any = self.schema(path);
            complete &= rules.any.is_some();
        }
        let named = schemas.by_event.first().map(|(event, _)| event.span.clone());
        let named = named.or_else(|| schemas.by_pattern.first().map(|(pattern, _)| pattern.span.clone()));
        if let (true, Some(span)) = (rules.places.is_empty(), named) {
            let hint = "[event] header = \"…\", pointer = \"/…\" or form = \"…\"".to_owned();
            self.error_with(
                Some(span),
                "schemas by event, but nothing says where the event's name is".to_owned(),
                hint,
            );
            complete = false;
        }
        self.warn_of_unsigned_event(&rules, schemes);
        if config.sanitize.rules.unknown_fields != Action::Keep {
            let events = schemas.by_event.iter().map(|(_, path)| path);
            let patterns = schemas.by_pattern.iter().map(|(_, path)| path);
            events.chain(patterns).chain(&schemas.any).for_each(|path| self.warn_of_open_schema(path));
        }
        complete.then_some(rules)
    }

    /// Where a schema takes any member nobody finds out by `unknown_fields` that it says less than was thought.
    fn warn_of_open_schema(&mut self, path: &Spanned<PathBuf>) {
        let Some(Ok(schema)) = self.context.schemas.get(&path.value) else { return };
        if schema.declared().takes_any_object() {
            let message = "unknown_fields finds nothing at the root of this schema, which takes any member".to_owned();
            let hint = "list the members in properties, and let additionalProperties take no others";
            self.warning(Some(path.span.clone()), message, hint);
        }
    }

    /// A schema chosen by what anybody can change is chosen by an attacker who captured a delivery.
    fn warn_of_unsigned_event(&mut self, rules: &EventRules, schemes: &[Scheme]) {
        let unsigned = rules.places.iter().any(|(_, covered)| *covered == Covered::Unsigned);
        let signs = !schemes.is_empty() && schemes.iter().all(Scheme::covers_body);
        if unsigned && signs && rules.schemas.len() + rules.patterns.len() > 1 {
            let message = "the event's name is not covered by the signature, and it chooses the schema".to_owned();
            let hint =
                "it goes upstream as x-hookward-event-unsigned; take it from the body if the provider has it there";
            self.warning(None, message, hint);
        }
    }

    fn schema(&mut self, path: &Spanned<PathBuf>) -> Option<Schema> {
        let directory = self.context.directory;
        let loaded = self.context.schemas.entry(path.value.clone());
        match loaded.or_insert_with(|| Schema::load(&path.value, directory)) {
            Ok(schema) => Some(schema.clone()),
            Err(fault) => {
                let at = fault.location.as_deref().map(|location| format!(" at {location:?}")).unwrap_or_default();
                let message = format!("schema{at}: {}", fault.message);
                self.error(Some(path.span.clone()), message);
                None
            }
        }
    }

    fn headers(&mut self, config: &SourceConfig, combined: &Combined<'_>, schemes: &[Scheme]) -> Option<HeaderRules> {
        let own: Vec<_> = combined.presets().flat_map(|preset| &preset.headers).collect();
        let written = config.forward.headers.iter().map(|header| header.value.as_str());
        let patterns: Vec<_> = own.iter().map(|pattern| pattern.as_str()).chain(written).collect();
        let credentials = |is_static: bool| {
            let of_kind = schemes.iter().filter(move |scheme| scheme.is_static() == is_static);
            of_kind.flat_map(|scheme| scheme.credential.headers().iter().cloned()).collect()
        };
        let (withheld, signatures) = (credentials(true), credentials(false));
        let prefixes = |is_static: bool| {
            let of_kind = schemes.iter().filter(move |scheme| scheme.is_static() == is_static);
            let prefixes = of_kind.filter_map(|scheme| {
                let Place::HeaderPrefix(prefix) = &scheme.credential else { return None };
                Some(prefix.clone())
            });
            prefixes.collect::<Vec<_>>()
        };
        let attested =
            if config.forward.sign.is_some() { vec![sign::ID, sign::TIMESTAMP, sign::SIGNATURE] } else { vec![] };
        let compiled = HeaderRules::compile(&patterns, signatures, withheld, attested);
        match compiled {
            Ok(rules) => Some(rules.with_prefixes(prefixes(false), prefixes(true))),
            Err((position, fault)) => {
                let header = position.checked_sub(own.len()).and_then(|position| config.forward.headers.get(position));
                self.error(
                    header.map(|header| header.span.clone()),
                    format!("header {:?} is {fault}", patterns[position]),
                );
                None
            }
        }
    }

    /// Outer `None`: something is wrong; inner `None`: nothing is signed.
    fn signer(&mut self, config: &SourceConfig) -> Option<Option<Signer>> {
        let Some(place) = &config.forward.sign else { return Some(None) };
        let secret = self.resolve(place, KeyKind::Secret).ok()?;
        Some(secret.as_ref().map(Signer::new))
    }

    fn content_types(config: &SourceConfig, combined: &Combined<'_>) -> ContentTypes {
        let Some(written) = &config.content_types else {
            let types = combined.content_types();
            return ContentTypes::These(types.into_iter().map(String::into_boxed_str).collect());
        };
        let mut types = Vec::new();
        for media_type in &written.value {
            match media_type {
                MediaType::Any => return ContentTypes::Any,
                MediaType::Named(name) => types.push(name.as_str().into()),
            }
        }
        ContentTypes::These(types)
    }

    /// How bodies are read: as the policy says, else as all presets do, else by their content type.
    fn payload(&mut self, config: &SourceConfig, combined: &Combined<'_>) -> PayloadKind {
        if let Some(written) = &config.payload {
            return written.value;
        }
        let mut of_presets = combined.presets().map(|preset| preset.payload);
        let agreed = of_presets.next().filter(|first| of_presets.all(|other| other == *first));
        let reads = config.event.schemas.is_some() || !config.sanitize.keeps_everything();
        if agreed == Some(PayloadKind::Opaque) && reads {
            let message =
                format!("provider {:?} sends what is not read: no schema and no sanitizer sees it", combined.name());
            self.error_with(
                None,
                message,
                "payload = \"auto\" reads JSON and forms, and refuses everything else".to_owned(),
            );
        }
        agreed.unwrap_or(PayloadKind::Auto)
    }

    fn json_field(config: &SourceConfig, combined: &Combined<'_>) -> Option<Box<str>> {
        let written = config.json_field.as_ref().map(|written| written.value.as_str());
        written.or_else(|| combined.presets().find_map(|preset| preset.json_field.as_deref())).map(Box::from)
    }

    fn replay(&mut self, config: &SourceConfig, combined: &Combined<'_>) -> ReplayRule {
        let window = config.replay.window.seconds();
        let tolerance = combined.tolerance_seconds();
        if let Some(tolerance) = tolerance.filter(|&tolerance| config.replay.window.value < 2 * u64::from(tolerance)) {
            let message = format!(
                "window_seconds is {}, less than twice the tolerance of {tolerance} seconds: a replay could outlive its claim",
                config.replay.window.value
            );
            let default = config.replay.window.span.is_none();
            if !default {
                self.error(config.replay.window.span.clone(), message);
            }
        }
        // A default that is too short for the scheme grows with it.
        let least = tolerance.map(|tolerance| std::time::Duration::from_secs(2 * u64::from(tolerance)));
        let window = if config.replay.window.span.is_none() { window.max(least.unwrap_or(window)) } else { window };
        let default = if combined.tells_deliveries_apart() { OnDuplicate::Acknowledge } else { OnDuplicate::Forward };
        let on_duplicate = config.replay.on_duplicate.as_ref().map_or(default, |written| written.value);
        if let Some(written) = &config.replay.on_duplicate
            && !combined.signs()
            && on_duplicate != OnDuplicate::Forward
        {
            let message =
                "nothing signed tells one delivery from another, so there is no replay protection here".to_owned();
            self.error(Some(written.span.clone()), message);
        }
        ReplayRule { window, on_duplicate }
    }

    fn url(&mut self, config: &SourceConfig, schemes: &[Scheme]) {
        if schemes.iter().any(Scheme::covers_url) && config.public_url.is_none() {
            let hint = "public_url = \"https://…\": the URL as the sender knows it".to_owned();
            self.error_with(None, "the sender signs its URL, and the policy has no public_url".to_owned(), hint);
        }
    }

    fn body(&mut self, config: &SourceConfig) {
        let (body_bytes_max, room) = (config.body_bytes_max.size(), self.context.limits.bytes().client_max());
        let (copies, twice) =
            if config.content_encodings.is_empty() { (1, "") } else { (2, ", compressed and decoded together") };
        if body_bytes_max.saturating_mul(copies) > room {
            let message =
                format!("body_bytes_max is {body_bytes_max}, but one client has room for {room} bytes{twice}");
            let hint = "a quarter of [edge] buffered_bytes_max is for one client: raise that".to_owned();
            self.error_with(config.body_bytes_max.span.clone(), message, hint);
        }
    }

    /// Where the proof covers the bytes of a compressed body, nothing can be looked up in it before it is proven.
    fn codings(&mut self, config: &SourceConfig, combined: &Combined<'_>) {
        if config.content_encodings.is_empty() || config.signed_content == SignedContent::Decoded {
            return;
        }
        for one in combined.looking_inside() {
            let message = format!(
                "method {:?} looks into the body, and no compressed one can be looked into before it is proven",
                one.proving.name()
            );
            let hint = "signed_content = \"decoded\", or no content_encodings".to_owned();
            self.error_with(one.auth.span.clone(), message, hint);
        }
    }
}

/// The fields that must stand alone besides the credential, whose doubling is a fault of authentication.
fn single_headers(schemes: &[Scheme]) -> Vec<HeaderName> {
    let is_credential = |name: &&HeaderName| schemes.iter().any(|scheme| scheme.credential.headers().contains(name));
    let mut names: Vec<_> =
        schemes.iter().flat_map(Scheme::headers).filter(|name| !is_credential(name)).cloned().collect();
    names.dedup();
    names
}

fn limits(config: &LimitConfig, networks: NetworkRules, mode: Mode) -> SourceRules {
    let positive = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    let rate =
        |rate: super::source_config::Rate| Rate { per_second: positive(rate.per_second), burst: positive(rate.burst) };
    SourceRules {
        client: rate(config.client),
        source: rate(config.source),
        failures: FailureRule {
            per_minute: positive(config.failures_per_minute),
            block_time: config.block_time,
            block_time_max: config.block_time_max,
        },
        in_flight_max: positive(u32::try_from(config.in_flight_max).unwrap_or(u32::MAX)),
        networks,
        rate_mode: match mode {
            Mode::Enforce => RateMode::Enforce,
            Mode::Monitor => RateMode::Monitor,
        },
    }
}

/// `github.toml@3f2a9c01`: the file and the first digits of its text's SHA-256.
fn label(file: &SourceFile) -> Box<str> {
    let digest = Sha256::digest(file.text.as_bytes());
    let name = file.path.file_name().unwrap_or_default().to_string_lossy();
    format!("{name}@{}", hex::encode(&digest[..4])).into()
}
