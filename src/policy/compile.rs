//! One source: what a person typed, completed by its preset, becomes a [`Source`]. All findings go to the diagnostics.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderName, Method};
use sha2::{Digest as _, Sha256};

use super::diagnostic::{Diagnostic, Diagnostics, SourceFile};
use super::preset::{self, Preset};
use super::secrets::{Resolved, Resolver};
use super::source::{
    ContentTypes, EventRules, ForwardRules, Methods, OnDuplicate, PayloadKind, ReplayRule, Source, Unlisted,
};
use super::source_config::{AuthMethod, LimitConfig, MediaType, PayloadWord, SecretReference, SourceConfig};
use super::table::Spanned;
use super::table::parse::nearest;
use super::{tls, upstream};
use crate::admit::Limits;
use crate::admit::failures::FailureRule;
use crate::admit::networks::Networks;
use crate::admit::rate::Rate;
use crate::admit::source::{RateMode, SourceRules};
use crate::auth::Verifier;
use crate::auth::describe;
use crate::auth::facts::{self, Covered};
use crate::auth::scheme::{FactLocation, Location, Scheme, Value};
use crate::auth::verify::NamedSecret;
use crate::forward::{HeaderRules, Signer, sign};
use crate::payload::schema::{Schema, SchemaFault};
use crate::secret::SECRET_BYTES_MIN;

/// What compiling a source takes besides its file.
pub(super) struct Context<'c> {
    pub resolver: &'c dyn Resolver,
    pub limits: &'c Limits,
    pub strict: bool,
    /// `$ref` stays inside of it.
    pub directory: &'c Path,
    pub schemas: Schemas,
    pub trust: tls::TrustCache,
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
    let method = compiler.method(&config)?;
    let scheme = method.scheme(&config, &mut compiler);
    let verifier = compiler.verifier(&config, &method, scheme.as_ref());
    let preset = method.preset();
    let event = compiler.event(&config, preset, scheme.as_ref());
    let headers = compiler.headers(&config, preset, scheme.as_ref());
    let signer = compiler.signer(&config);
    let target = upstream::target(&config.forward, &mut compiler.context.trust)
        .map_err(|(span, message)| compiler.error(span, message))
        .ok();
    let content_types = Compiler::content_types(&config, preset);
    let payload = compiler.payload(&config);
    let replay = compiler.replay(&config, scheme.as_ref());
    compiler.url(&config, scheme.as_ref());
    compiler.body(&config);
    compiler.handshake(&config);
    let credential_parameter = scheme.as_ref().and_then(|scheme| match &scheme.credential {
        Location::Query(name) => Some(name.clone()),
        Location::Header(_) | Location::Bearer | Location::Basic => None,
    });
    let limits = context.limits.source(name, limits(&config.limit, config.allow.as_ref()));
    Some(Source {
        name: Arc::from(name),
        policy: label(file),
        path: config.path.value.into(),
        methods: methods(config.methods, preset),
        content_types,
        payload,
        body_bytes_max: config.body_bytes_max.size(),
        json: config.limit.json,
        public_url: config.public_url.map(|url| url.value.to_string().into()),
        single_headers: scheme.as_ref().map(single_headers).unwrap_or_default(),
        verifier: verifier?,
        limits,
        replay,
        event: event?,
        delivery_id: preset.map(|preset| preset.delivery_id.clone()).unwrap_or_default(),
        sanitize: config.sanitize,
        forward: ForwardRules {
            target: Arc::new(target?),
            deadline: config.forward.deadline.milliseconds(),
            headers: headers?,
            credential_parameter,
            signer: signer?,
            answer_headers: preset.map(|preset| preset.answer_headers.clone()).unwrap_or_default(),
            acknowledgement: Bytes::new(),
        },
    })
}

/// How senders prove themselves.
enum Proving {
    Preset(&'static Preset),
    Custom,
    Nothing,
}

impl Proving {
    const fn preset(&self) -> Option<&'static Preset> {
        match self {
            Self::Preset(preset) => Some(preset),
            Self::Custom | Self::Nothing => None,
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Preset(preset) => preset.name,
            Self::Custom => "custom",
            Self::Nothing => "none",
        }
    }

    /// The scheme, with the credential where `[auth.parameters]` puts it.
    fn scheme(&self, config: &SourceConfig, compiler: &mut Compiler<'_, '_>) -> Option<Scheme> {
        let mut scheme = match (self, &config.auth.method) {
            (Self::Preset(preset), _) => preset.scheme.clone(),
            (Self::Custom, AuthMethod::Scheme(scheme)) => scheme.value.clone(),
            (Self::Custom | Self::Nothing, _) => return None,
        };
        let relocatable = self.preset().is_some_and(|preset| preset.relocatable);
        for (name, value) in &config.auth.parameters {
            match (relocatable, name.value.as_str()) {
                (true, "header") => match HeaderName::try_from(value.value.as_str()) {
                    Ok(header) => scheme.credential = Location::Header(header),
                    Err(_) => compiler.error(Some(value.span.clone()), "not a header name".to_owned()),
                },
                (true, "query") => scheme.credential = Location::Query(value.value.as_str().into()),
                (true | false, other) => {
                    let message = format!("provider {:?} has no parameter {other:?}", self.name());
                    compiler.error(Some(name.span.clone()), message);
                }
            }
        }
        Some(scheme)
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

    fn method(&mut self, config: &SourceConfig) -> Option<Proving> {
        match &config.auth.method {
            AuthMethod::Nothing => {
                let message = "anybody may send: provider = \"none\"".to_owned();
                self.warning(config.auth.span.clone(), message, "");
                Some(Proving::Nothing)
            }
            AuthMethod::Scheme(_) => Some(Proving::Custom),
            AuthMethod::Provider(name) => {
                if let Some(preset) = preset::find(&name.value) {
                    return Some(Proving::Preset(preset));
                }
                let names: Vec<_> = preset::all().map(|preset| preset.name).collect();
                let hint = format!("{}see `hookward providers`", nearest(&name.value, &names));
                self.error_with(Some(name.span.clone()), format!("unknown provider {:?}", name.value), hint);
                None
            }
        }
    }

    /// The keys. Outer `None`: something is wrong; inner `None`: the policy wants no proof.
    fn verifier(
        &mut self,
        config: &SourceConfig,
        method: &Proving,
        scheme: Option<&Scheme>,
    ) -> Option<Option<Verifier>> {
        let Some(scheme) = scheme else { return matches!(method, Proving::Nothing).then_some(None) };
        for key in &config.auth.public_keys {
            self.error(Some(key.span.clone()), format!("provider {:?} has no public keys", method.name()));
        }
        if config.auth.secrets.is_empty() {
            let message = "no secrets: nothing could ever be accepted".to_owned();
            let hint = "secrets = [{ id = \"2026-11\", env = \"…\" }]".to_owned();
            self.error_with(config.auth.span.clone(), message, hint);
            return None;
        }
        let (mut secrets, mut complete) = (Vec::new(), true);
        for reference in &config.auth.secrets {
            match self.secret(reference) {
                Ok(secret) => secrets.extend(secret),
                Err(()) => complete = false,
            }
        }
        let verifier = match Verifier::new(method.name(), scheme.clone(), &secrets) {
            Ok(verifier) => verifier,
            Err(fault) => {
                let reference = config.auth.secrets.iter().find(|reference| *reference.id.value == *fault.id);
                self.error(reference.map(|reference| reference.span.clone()), fault.to_string());
                return None;
            }
        };
        complete.then_some(Some(verifier))
    }

    /// Reads a secret. `Ok(None)`: it was not looked for.
    fn secret(&mut self, reference: &SecretReference) -> Result<Option<NamedSecret>, ()> {
        let span = Some(reference.from.span.clone());
        let secret = match self.context.resolver.resolve(&reference.from.value) {
            Ok(Resolved::Secret(secret)) => secret,
            Ok(Resolved::NotLookedFor) => return Ok(None),
            Err(fault) => {
                let hint = "set it where the gateway is started, or check the policies alone with `hookward check --no-secrets`";
                self.error_with(span, fault.to_string(), hint.to_owned());
                return Err(());
            }
        };
        if secret.len() < SECRET_BYTES_MIN {
            let message =
                format!("secret `{}` has {} bytes, fewer than {SECRET_BYTES_MIN}", reference.id.value, secret.len());
            if self.context.strict {
                self.error(span, message);
                return Err(());
            }
            self.warning(span, message, "let the provider make a new one");
        }
        let expires = reference.expires.as_ref().map(|expires| expires.value);
        Ok(Some(NamedSecret { id: reference.id.value.as_str().into(), secret, expires }))
    }

    fn event(&mut self, config: &SourceConfig, preset: Option<&Preset>, scheme: Option<&Scheme>) -> Option<EventRules> {
        let places = match &config.event.place {
            Some(place) => vec![place.value.clone()],
            None => preset.map(|preset| preset.event.clone()).unwrap_or_default(),
        };
        let coverage = |place: FactLocation| {
            let covered = scheme.map_or(Covered::Unsigned, |scheme| facts::coverage(&place, scheme));
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
        if let Some(path) = &schemas.any {
            rules.any = self.schema(path);
            complete &= rules.any.is_some();
        }
        if rules.places.is_empty() && !schemas.by_event.is_empty() {
            let span = schemas.by_event.first().map(|(event, _)| event.span.clone());
            let hint = "[event] header = \"…\" or pointer = \"/…\"".to_owned();
            self.error_with(span, "schemas by event, but nothing says where the event's name is".to_owned(), hint);
            complete = false;
        }
        self.warn_of_unsigned_event(&rules, scheme);
        complete.then_some(rules)
    }

    /// A schema chosen by what anybody can change is chosen by an attacker who captured a delivery.
    fn warn_of_unsigned_event(&mut self, rules: &EventRules, scheme: Option<&Scheme>) {
        let unsigned = rules.places.iter().any(|(_, covered)| *covered == Covered::Unsigned);
        let signs = scheme.is_some_and(Scheme::covers_body);
        if unsigned && signs && rules.schemas.len() > 1 {
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

    fn headers(
        &mut self,
        config: &SourceConfig,
        preset: Option<&Preset>,
        scheme: Option<&Scheme>,
    ) -> Option<HeaderRules> {
        let own = preset.map(|preset| preset.headers.as_slice()).unwrap_or_default();
        let written = config.forward.headers.iter().map(|header| header.value.as_str());
        let patterns: Vec<_> = own.iter().map(String::as_str).chain(written).collect();
        let credential = scheme.and_then(|scheme| match &scheme.credential {
            Location::Header(name) => Some(name.clone()),
            Location::Bearer | Location::Basic => Some(AUTHORIZATION),
            Location::Query(_) => None,
        });
        let is_static = scheme.is_some_and(Scheme::is_static);
        let (withheld, signatures) = if is_static { (credential, None) } else { (None, credential) };
        let attested =
            if config.forward.sign.is_some() { vec![sign::ID, sign::TIMESTAMP, sign::SIGNATURE] } else { vec![] };
        let compiled =
            HeaderRules::compile(&patterns, signatures.into_iter().collect(), withheld.into_iter().collect(), attested);
        match compiled {
            Ok(rules) => Some(rules),
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
        match self.context.resolver.resolve(&place.value) {
            Ok(Resolved::Secret(secret)) => Some(Some(Signer::new(&secret))),
            Ok(Resolved::NotLookedFor) => Some(None),
            Err(fault) => {
                self.error(Some(place.span.clone()), fault.to_string());
                None
            }
        }
    }

    fn content_types(config: &SourceConfig, preset: Option<&Preset>) -> ContentTypes {
        let Some(written) = &config.content_types else {
            let types =
                preset.map_or_else(|| vec!["application/json".to_owned()], |preset| preset.content_types.clone());
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

    fn payload(&mut self, config: &SourceConfig) -> PayloadKind {
        let Some(written) = &config.payload else { return PayloadKind::Auto };
        match written.value {
            PayloadWord::Auto => PayloadKind::Auto,
            PayloadWord::Json => PayloadKind::Json,
            PayloadWord::Opaque => PayloadKind::Opaque,
            PayloadWord::Form | PayloadWord::Multipart => {
                let message = "payload \"form\" and \"multipart\" are not supported yet".to_owned();
                self.error_with(
                    Some(written.span.clone()),
                    message,
                    "use \"opaque\" to forward them as received".to_owned(),
                );
                PayloadKind::Opaque
            }
        }
    }

    fn replay(&mut self, config: &SourceConfig, scheme: Option<&Scheme>) -> ReplayRule {
        let window = config.replay.window.seconds();
        let tolerance = scheme.and_then(|scheme| scheme.timestamp.as_ref()).map(|rule| rule.tolerance_seconds);
        if let Some(tolerance) = tolerance.filter(|&tolerance| config.replay.window.value < 2 * u64::from(tolerance)) {
            let message = format!(
                "window_seconds is {}, less than twice the tolerance of {tolerance} seconds: a replay could outlive its claim",
                config.replay.window.value
            );
            self.error(config.replay.window.span.clone(), message);
        }
        let distinct = scheme.is_some_and(describe::tells_deliveries_apart);
        let default = if distinct { OnDuplicate::Acknowledge } else { OnDuplicate::Forward };
        let on_duplicate = config.replay.on_duplicate.as_ref().map_or(default, |written| written.value);
        if let Some(written) = &config.replay.on_duplicate
            && scheme.is_none_or(Scheme::is_static)
            && on_duplicate != OnDuplicate::Forward
        {
            let message =
                "nothing signed tells one delivery from another, so there is no replay protection here".to_owned();
            self.error(Some(written.span.clone()), message);
        }
        ReplayRule { window, on_duplicate }
    }

    fn url(&mut self, config: &SourceConfig, scheme: Option<&Scheme>) {
        if scheme.is_some_and(|scheme| scheme.signed.names(&Value::Url)) && config.public_url.is_none() {
            let hint = "public_url = \"https://…\": the URL as the sender knows it".to_owned();
            self.error_with(None, "the sender signs its URL, and the policy has no public_url".to_owned(), hint);
        }
    }

    fn body(&mut self, config: &SourceConfig) {
        let (body_bytes_max, room) = (config.body_bytes_max.size(), self.context.limits.buffers().client_max());
        if body_bytes_max > room {
            let message = format!("body_bytes_max is {body_bytes_max}, but one client has room for {room} bytes");
            let hint = "a quarter of [edge] buffered_bytes_max is for one client: raise that".to_owned();
            self.error_with(config.body_bytes_max.span.clone(), message, hint);
        }
    }

    fn handshake(&mut self, config: &SourceConfig) {
        if let Some(handshake) = &config.handshake {
            self.error(handshake.span.clone(), "[handshake] is not supported yet".to_owned());
        }
        for root in &config.auth.trust_roots {
            self.error(Some(root.span.clone()), "trust_roots in [auth] are not supported yet".to_owned());
        }
    }
}

fn methods(written: Option<Spanned<Vec<Method>>>, preset: Option<&Preset>) -> Methods {
    let list = written.map(|written| written.value).or_else(|| preset.map(|preset| preset.methods.clone()));
    Methods::new(list.unwrap_or_else(|| vec![Method::POST]))
}

/// The fields that must stand alone besides the credential, whose doubling is a fault of authentication.
fn single_headers(scheme: &Scheme) -> Vec<HeaderName> {
    let credential = match &scheme.credential {
        Location::Header(name) => Some(name),
        Location::Bearer | Location::Basic => Some(&AUTHORIZATION),
        Location::Query(_) => None,
    };
    scheme.headers().filter(|name| Some(*name) != credential).cloned().collect()
}

fn limits(config: &LimitConfig, allow: Option<&Spanned<Vec<Spanned<ipnet::IpNet>>>>) -> SourceRules {
    let positive = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    let rate =
        |rate: super::source_config::Rate| Rate { per_second: positive(rate.per_second), burst: positive(rate.burst) };
    SourceRules {
        client: rate(config.client),
        source: rate(config.source),
        failures: FailureRule { per_minute: positive(config.failures_per_minute), block_time: config.block_time },
        in_flight_max: positive(u32::try_from(config.in_flight_max).unwrap_or(u32::MAX)),
        networks: allow.map(|allow| Networks::new(allow.value.iter().map(|network| network.value))),
        rate_mode: RateMode::Enforce,
    }
}

/// `github.toml@3f2a9c01`: the file and the first digits of its text's SHA-256.
fn label(file: &SourceFile) -> Box<str> {
    let digest = Sha256::digest(file.text.as_bytes());
    let name = file.path.file_name().unwrap_or_default().to_string_lossy();
    format!("{name}@{}", hex::encode(&digest[..4])).into()
}
