//! One source, compiled: everything a delivery needs to be judged, immutable.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};
use rustls::ClientConfig;

use crate::admit::networks::Networks;
use crate::admit::source::SourceLimits;
use crate::admit::trickle::Trickle;
use crate::auth::Authenticator;
use crate::auth::facts::Covered;
use crate::auth::handshake::{Handshake, ProofNeeded};
use crate::auth::template::Template;
use crate::forward::{HeaderRules, Signer, Targets};
use crate::payload::JsonLimits;
use crate::payload::coding::Coding;
use crate::payload::schema::Schema;
use crate::policy::patterns::Patterns;
use crate::policy::source_config::HandshakeMode;
use crate::rejection::{Findings, Rejection};
use crate::sanitize::Sanitizer;
use crate::secret::Secret;

/// One endpoint with everything that decides on its deliveries. Made by `policy::compile` alone.
#[derive(Debug)]
pub struct Source {
    /// The policy file's name without its ending: the source's name in logs, metrics and headers.
    pub name: Arc<str>,
    /// The file and the first digits of its text's SHA-256, as `github.toml@3f2a9c01`.
    pub policy: Box<str>,
    /// The exact path.
    pub path: Box<str>,
    /// The methods of its deliveries; handshakes may have others.
    pub methods: Methods,
    /// The media types it takes.
    pub content_types: ContentTypes,
    /// How the body is read.
    pub payload: PayloadKind,
    /// The field of a form whose text is the JSON that the payload is.
    pub json_field: Option<Box<str>>,
    /// How bodies may be compressed.
    pub content_encodings: Vec<Coding>,
    /// What the sender's proof covers of a compressed body.
    pub signed_content: SignedContent,
    /// The longest body in bytes, compressed or not.
    pub body_bytes_max: usize,
    /// Limits of the JSON reader.
    pub json: JsonLimits,
    /// The URL the sender knows, without query.
    pub public_url: Option<Box<str>>,
    /// Who may send; `None` where the policy says `provider = "none"`.
    pub authenticator: Option<Authenticator>,
    /// What the gateway answers itself.
    pub handshakes: HandshakeRules,
    /// The header fields besides Host and Content-* that must stand alone.
    pub single_headers: Vec<HeaderName>,
    /// Rates, budgets, networks.
    pub limits: SourceLimits,
    /// How often a refused credential is looked into.
    pub diagnoses: Trickle,
    /// What happens to a delivery that was accepted before.
    pub replay: ReplayRule,
    /// Where the event's name is and which schema it chooses.
    pub event: EventRules,
    /// Where the delivery's id is.
    pub delivery_id: Vec<Template>,
    /// What is cleaned.
    pub sanitize: Sanitizer,
    /// Which stages refuse and edit, and which only say that they would.
    pub modes: Modes,
    /// Where clean deliveries go.
    pub forward: ForwardRules,
}

/// What a stage does with what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// The delivery is refused or edited.
    #[default]
    Enforce,
    /// It goes on as it is; the finding is recorded and counted.
    Monitor,
}

/// `[mode]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Modes {
    /// Events and their schemas.
    pub schema: Mode,
    /// The sanitizer.
    pub sanitize: Mode,
    /// The rates of clients and of the source.
    pub limit: Mode,
    /// Authentication.
    pub auth: Mode,
    /// Why, in the operator's words.
    pub because: Option<Box<str>>,
}

impl Mode {
    /// Lets a finding of a monitored stage pass, into `findings`.
    ///
    /// # Errors
    /// The finding itself, where the stage is enforced.
    pub fn judge(self, finding: Rejection, findings: &mut Findings) -> Result<(), Rejection> {
        match self {
            Self::Enforce => Err(finding),
            Self::Monitor => {
                findings.add(finding);
                Ok(())
            }
        }
    }
}

impl Modes {
    /// The stages that are only monitored, as the policy names them.
    #[must_use]
    pub fn weakened(&self) -> Vec<&'static str> {
        let stages = [("schema", self.schema), ("sanitize", self.sanitize), ("limit", self.limit), ("auth", self.auth)];
        stages.into_iter().filter(|(_, mode)| *mode == Mode::Monitor).map(|(name, _)| name).collect()
    }
}

/// Methods a source takes for deliveries.
#[derive(Debug, Clone)]
pub struct Methods {
    list: Vec<Method>,
}

/// Media types a source takes, without parameters, in lower case.
#[derive(Debug, Clone)]
pub enum ContentTypes {
    /// Any, or none (`["*/*"]`).
    Any,
    /// These alone; `type/*` stands for every subtype.
    These(Vec<Box<str>>),
}

/// How the body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadKind {
    /// As the content type says.
    Auto,
    /// As JSON. A content type that belongs to another kind is refused, unless the policy takes none of this one.
    Json,
    /// As `application/x-www-form-urlencoded`, likewise.
    Form,
    /// As `multipart/form-data`, likewise.
    Multipart,
    /// Not read: no schema, no sanitizer, forwarded as received.
    Opaque,
}

/// What the sender's proof covers of a compressed body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignedContent {
    /// The bytes as received.
    #[default]
    Received,
    /// What they were before they were compressed.
    Decoded,
}

/// Replay protection of a source.
#[derive(Debug, Clone, Copy)]
pub struct ReplayRule {
    /// How long an accepted delivery is remembered.
    pub window: Duration,
    /// What a repetition gets.
    pub on_duplicate: OnDuplicate,
}

/// What a repetition of an accepted delivery gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDuplicate {
    /// 200, without forwarding it again.
    Acknowledge,
    /// 409.
    Refuse,
    /// It is forwarded with `x-hookward-duplicate: 1`.
    Forward,
}

/// The event's name and the schema it chooses.
#[derive(Debug, Default)]
pub struct EventRules {
    /// Where the name is looked for, in order.
    pub places: Vec<(Template, Covered)>,
    /// Schemas by event name.
    pub schemas: HashMap<Box<str>, Schema>,
    /// Schemas by pattern of event names.
    pub patterns: Patterns<Schema>,
    /// The schema of every other event (`"*"`).
    pub any: Option<Schema>,
    /// What an event without schema gets, where there are schemas.
    pub unlisted: Unlisted,
}

/// What an event without schema gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unlisted {
    /// `event_unlisted`.
    #[default]
    Refuse,
    /// It goes on without schema.
    Accept,
    /// 200, not forwarded.
    Acknowledge,
}

/// Requests that the gateway answers itself.
#[derive(Debug, Default)]
pub struct HandshakeRules {
    /// The provider's.
    pub list: Vec<Handshake>,
    /// What a verification request must hold, where its provider has such a token.
    pub verify_token: Option<Secret>,
    /// What becomes of them.
    pub mode: HandshakeMode,
    /// Where a secret that the provider hands over is kept; absent: it is not taken.
    pub learn: Option<PathBuf>,
    /// How subscriptions are confirmed; absent: not by the gateway.
    pub confirm: Option<ConfirmRules>,
}

/// How the gateway visits the URL that confirms a subscription.
#[derive(Debug)]
pub struct ConfirmRules {
    /// Where its host may be, besides the public internet.
    pub networks: Networks,
    /// Which authorities its certificate may come from.
    pub client: Arc<ClientConfig>,
}

impl HandshakeRules {
    /// Whether a handshake comes by this method.
    #[must_use]
    pub fn takes(&self, method: &Method) -> bool {
        self.methods().any(|known| known == method)
    }

    /// The methods that handshakes come by and that are answered, where they are ones of their own.
    pub fn methods(&self) -> impl Iterator<Item = &Method> {
        let list = if self.mode == HandshakeMode::Answer { self.list.as_slice() } else { &[] };
        list.iter().filter_map(Handshake::method)
    }

    /// Whether a request may be one by its head alone and without proof, whatever its media type.
    #[must_use]
    pub fn has_some_without_proof(&self) -> bool {
        self.list.iter().any(|handshake| handshake.proof == ProofNeeded::None && handshake.is_of_head())
    }

    /// Whether somebody who proved nothing gets a short word signed: then no delivery may be such a word.
    #[must_use]
    pub fn signs_for_strangers(&self) -> bool {
        self.mode == HandshakeMode::Answer && self.list.iter().any(Handshake::signs_for_strangers)
    }
}

/// Where clean deliveries go, and how.
#[derive(Debug)]
pub struct ForwardRules {
    /// The upstreams.
    pub targets: Targets,
    /// How long the upstream may take, connecting included.
    pub deadline: Duration,
    /// Which of the sender's header fields go on.
    pub headers: HeaderRules,
    /// The query parameters that hold credentials, which do not go on.
    pub credential_parameters: Vec<Box<str>>,
    /// Signs what is forwarded.
    pub signer: Option<Signer>,
    /// Fields of the upstream's answer that are relayed besides Content-Type and Retry-After.
    pub answer_headers: Vec<HeaderName>,
}

/// How many refused deliveries of a source are diagnosed at once, and after how long one more is.
const DIAGNOSES_BURST: u32 = 5;
const DIAGNOSES_INTERVAL: Duration = Duration::from_secs(1);

/// What [`Source::diagnoses`] begins with.
#[must_use]
pub const fn diagnoses() -> Trickle {
    Trickle::new(DIAGNOSES_BURST, DIAGNOSES_INTERVAL)
}

impl Source {
    /// The value of `Allow`: the methods of deliveries, and of handshakes that are answered (RFC 9110 §10.2.1).
    #[must_use]
    pub fn allowed(&self) -> String {
        let mut names: Vec<_> = self.methods.list.iter().map(Method::as_str).collect();
        for method in self.handshakes.methods() {
            if !names.contains(&method.as_str()) {
                names.push(method.as_str());
            }
        }
        names.join(", ")
    }

    /// Whether the policy wants payloads to be looked into: then nothing may pass that cannot be read.
    #[must_use]
    pub fn reads_payload(&self) -> bool {
        self.event.has_schemas() || !self.sanitize.keeps_everything()
    }
}

impl Methods {
    /// Methods in the order they were named.
    #[must_use]
    pub const fn new(list: Vec<Method>) -> Self {
        Self { list }
    }

    /// Whether it takes this one.
    #[must_use]
    pub fn contains(&self, method: &Method) -> bool {
        self.list.contains(method)
    }
}

impl ContentTypes {
    /// Whether it takes this media type, which comes without parameters.
    #[must_use]
    pub fn contains(&self, media_type: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(list) => list.iter().any(|taken| match taken.strip_suffix("/*") {
                Some(family) => media_type.split_once('/').is_some_and(|(found, _)| found.eq_ignore_ascii_case(family)),
                None => taken.eq_ignore_ascii_case(media_type),
            }),
        }
    }
}

impl EventRules {
    /// Whether a payload is checked against a schema at all.
    #[must_use]
    pub fn has_schemas(&self) -> bool {
        !self.schemas.is_empty() || !self.patterns.is_empty() || self.any.is_some()
    }

    /// The schema of this event: of its name, else of the most specific pattern, else of all others.
    #[must_use]
    pub fn schema(&self, event: Option<&str>) -> Option<&Schema> {
        let named = |event| self.schemas.get(event).or_else(|| self.patterns.get(event));
        event.and_then(named).or(self.any.as_ref())
    }
}
