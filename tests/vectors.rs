//! Every provider's recorded requests get the verdict of the provider's own library, or of its documented algorithm.
//!
//! The lines of `data/vectors/providers.jsonl` are judged offline by policies that name nothing but the preset and its keys. None of them was signed
//! by this project's code; `data/vectors/README.md` says where they come from.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test may fail as the test itself may")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookward::admit::{Capacity, Limits};
use hookward::delivery::Answer;
use hookward::offline::{Judgement, Replays, Verdict, judge};
use hookward::policy::Policy;
use hookward::policy::diagnostic::Styles;
use hookward::policy::gateway_config::PoliciesConfig;
use hookward::policy::load::{self, Loaded};
use hookward::policy::preset;
use hookward::policy::secrets::SystemSecrets;
use hookward::policy::table::Spanned;
use hookward::request_record::RequestRecord;
use serde_json::{Map, Value};

/// Members of `secrets` that are `[auth.parameters]`.
const PARAMETERS: [&str; 4] = ["app_key", "api_key", "public_key_id", "webhook_id"];

/// One configuration of a receiver: all lines of it are judged by the same policies.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Receiver {
    preset: String,
    /// Scheme and authority of the public URL.
    origin: String,
    secrets: Vec<(String, String)>,
    public_keys: Vec<(String, String)>,
    parameters: Vec<(String, String)>,
    verify_token: Option<String>,
    trust_root: Option<String>,
}

struct Vector {
    line: Map<String, Value>,
    record: RequestRecord,
}

impl Vector {
    fn all() -> Vec<Self> {
        let text = fs::read_to_string(root("tests/data/vectors/providers.jsonl")).unwrap();
        let lines = text.lines().map(|text| {
            let line: Map<String, Value> = serde_json::from_str(text).unwrap();
            Self { line, record: RequestRecord::parse(text).unwrap() }
        });
        lines.collect()
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.line.get(name)?.as_str()
    }

    fn preset(&self) -> &str {
        self.text("preset").or_else(|| self.text("provider")).unwrap()
    }

    /// The text members of an object of the line.
    fn entries(&self, name: &str) -> Vec<(String, String)> {
        let object = self.line.get(name).and_then(Value::as_object).into_iter().flatten();
        object.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
    }

    /// Origin and path of the public URL.
    fn url(&self) -> (&str, &str) {
        let url = self.text("url").unwrap();
        let authority = url.find("://").unwrap() + 3;
        let path = authority + url[authority..].find('/').unwrap();
        (&url[..path], url[path..].split('?').next().unwrap())
    }
}

impl Receiver {
    fn of(vector: &Vector) -> Self {
        let mut receiver =
            Self { preset: vector.preset().to_owned(), origin: vector.url().0.to_owned(), ..Self::default() };
        let named = vector.entries("secrets");
        let (parameters, secrets): (Vec<_>, Vec<_>) =
            named.into_iter().partition(|(name, _)| PARAMETERS.contains(&name.as_str()));
        receiver.parameters = parameters;
        receiver.secrets = secrets;
        receiver.join_user();
        match vector.text("token") {
            Some(token) if ["meta", "whatsapp"].contains(&vector.preset()) => {
                receiver.verify_token = Some(token.to_owned());
                receiver.secrets.push(("unused".to_owned(), "a-secret-that-signs-nothing-here".to_owned()));
            }
            Some(token) => receiver.secrets.push(("token".to_owned(), token.to_owned())),
            None => {}
        }
        receiver.public_keys.extend(vector.text("public_key").map(|key| ("key".to_owned(), key.to_owned())));
        if let Some(key) = vector.line.get("jwk") {
            let id = key.get("kid").and_then(Value::as_str).unwrap_or("jwk");
            receiver.public_keys.push((id.to_owned(), key.to_string()));
        }
        receiver.public_keys.extend(vector.entries("public_certs"));
        for name in ["audience", "service_account"] {
            receiver.parameters.extend(vector.text(name).map(|value| (name.to_owned(), value.to_owned())));
        }
        receiver.trust_root = vector.text("trust_root").map(str::to_owned);
        receiver
    }

    /// User and password are one secret.
    fn join_user(&mut self) {
        let value = |name: &str| self.secrets.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
        if let Some((user, password)) = value("username").zip(value("password")) {
            self.secrets.retain(|(name, _)| name != "username" && name != "password");
            self.secrets.push(("user".to_owned(), format!("{user}:{password}")));
        }
    }

    /// A policy that looks at nothing but the credential.
    fn policy(&self, folder: &Path, path: &str) -> String {
        let mut text = format!(
            "path = {}\npublic_url = {}\nbody_bytes_max = 26_214_400\ncontent_types = [\"*/*\"]\npayload = \"opaque\"\n\n[auth]\nprovider = {}\n",
            quoted(path),
            quoted(&format!("{}{path}", self.origin)),
            quoted(&self.preset),
        );
        for (key, list) in [("secrets", &self.secrets), ("public_keys", &self.public_keys)] {
            let references = list.iter().enumerate().map(|(number, (id, value))| {
                let file = written(folder, &format!("{key}-{number}"), value);
                format!("{{ id = {}, file = {file} }}", quoted(id))
            });
            let references = references.collect::<Vec<_>>().join(", ");
            if !references.is_empty() {
                let _ = writeln!(text, "{key} = [{references}]");
            }
        }
        if let Some(root) = &self.trust_root {
            let _ = writeln!(text, "trust_roots = [{{ file = {} }}]", written(folder, "root", root));
        }
        if !self.parameters.is_empty() {
            text.push_str("\n[auth.parameters]\n");
        }
        for (name, value) in &self.parameters {
            let _ = writeln!(text, "{name} = {}", quoted(value));
        }
        if let Some(token) = &self.verify_token {
            let _ = writeln!(text, "\n[handshake]\nverify_token = {{ file = {} }}", written(folder, "verify", token));
        }
        if ["asana", "notion"].contains(&self.preset.as_str()) {
            let learnt = folder.join("learnt");
            let _ = writeln!(text, "\n[handshake]\nlearn_secret = {}", quoted(learnt.to_str().unwrap()));
        }
        text.push_str("\n[forward]\nto = \"http://127.0.0.1:9/\"\n");
        text
    }

    fn load(&self, vectors: &[Vector]) -> Policy {
        let folder = tempfile::tempdir().unwrap();
        let policies = folder.path().join("policies");
        fs::create_dir(&policies).unwrap();
        let paths: BTreeSet<_> = vectors.iter().map(|vector| vector.url().1).collect();
        for (number, path) in paths.into_iter().enumerate() {
            fs::write(policies.join(format!("source-{number}.toml")), self.policy(folder.path(), path)).unwrap();
        }
        let mut loaded = Loaded::default();
        let config = PoliciesConfig { directory: Spanned { value: policies, span: 0..0 }, strict: false };
        let policy = load::load(&config, &SystemSecrets, &Limits::new(Capacity::default()), &mut loaded);
        policy.unwrap_or_else(|| panic!("{}", loaded.diagnostics.report(&loaded.files, &Styles::plain())))
    }
}

/// Writes a secret where nobody else reads it; the path, quoted.
fn written(folder: &Path, name: &str, value: &str) -> String {
    let path = folder.join(name);
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&path).unwrap();
    file.write_all(value.as_bytes()).unwrap();
    quoted(path.to_str().unwrap())
}

/// A string as TOML and JSON both have it.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn receivers() -> BTreeMap<Receiver, Vec<Vector>> {
    let mut receivers: BTreeMap<Receiver, Vec<Vector>> = BTreeMap::new();
    for vector in Vector::all() {
        receivers.entry(Receiver::of(&vector)).or_default().push(vector);
    }
    receivers
}

/// How a judgement is not the library's.
fn disagreement(vector: &Vector, judgement: &Judgement<'_>) -> Option<String> {
    let expected = vector.text("expect").unwrap();
    match &judgement.verdict {
        Verdict::Reject(_) if expected == "reject" => None,
        Verdict::Reject(rejection) => {
            Some(format!("expected {expected}, got {} {:?}", rejection.reason().code(), rejection.detail()))
        }
        Verdict::Answer(_) | Verdict::Accept(_) if expected == "reject" => {
            Some(format!("expected a rejection ({:?})", vector.text("reject_kind")))
        }
        Verdict::Answer(answer) => answered_otherwise(vector, answer),
        Verdict::Accept(_) if wants_an_answer(vector) => Some("expected the handshake to be answered".to_owned()),
        Verdict::Accept(forwardable) => {
            let delivery_id = forwardable.delivery_id.as_deref();
            let facts = [("event_type", judgement.event.as_deref()), ("delivery_id", delivery_id)];
            let wanted = |name: &str| vector.line.get("meta")?.get(name)?.as_str();
            let wrong = facts.iter().find(|(name, found)| wanted(name).is_some_and(|wanted| *found != Some(wanted)))?;
            Some(format!("{} is {:?}, expected {:?}", wrong.0, wrong.1, wanted(wrong.0)))
        }
    }
}

/// Where the library answers nothing, whoever gets the delivery may.
fn wants_an_answer(vector: &Vector) -> bool {
    let Some(handshake) = vector.line.get("handshake") else { return false };
    let has_headers = handshake["expect_headers"].as_object().is_some_and(|headers| !headers.is_empty());
    handshake["expect_body"] != "" || has_headers
}

/// JSON counts as what it says.
fn answered_otherwise(vector: &Vector, answer: &Answer) -> Option<String> {
    let handshake = vector.line.get("handshake")?;
    let wanted = handshake["expect_body"].as_str().unwrap();
    let found = std::str::from_utf8(&answer.body).unwrap();
    let parsed = |text: &str| serde_json::from_str::<Value>(text).ok();
    if wants_an_answer(vector) && found != wanted && (parsed(found).is_none() || parsed(found) != parsed(wanted)) {
        return Some(format!("answered {found:?}, expected {wanted:?}"));
    }
    let fields = handshake["expect_headers"].as_object().into_iter().flatten();
    for (name, wanted) in fields {
        let found = answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !found.to_lowercase().starts_with(&wanted.as_str().unwrap().to_lowercase()) {
            return Some(format!("header {name} is {found:?}, expected {wanted}"));
        }
    }
    None
}

#[test]
fn every_provider_agrees_with_its_own_library() {
    let (mut judged, mut wrong) = (0, Vec::new());
    for (receiver, vectors) in receivers() {
        // A preset that is not built in is missed by the test below.
        if preset::find(&receiver.preset).is_none() {
            continue;
        }
        let policy = receiver.load(&vectors);
        for vector in &vectors {
            let (head, body) = vector.record.request().unwrap();
            let judgement = judge(&policy, &head, body, vector.record.now.unwrap(), Replays::Ignored);
            judged += 1;
            let why = disagreement(vector, &judgement);
            wrong.extend(
                why.filter(|_| vector.line["strength"] == "must").map(|why| format!("{}: {why}", vector.record.id)),
            );
        }
    }
    assert!(judged > 300, "{judged} were judged");
    assert!(wrong.is_empty(), "{} of {judged}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Presets that only code can judge.
const CODE: [&str; 6] = ["adyen", "aws-sns", "coinbase-cdp", "contentful", "nowpayments", "paypal"];

#[test]
fn every_recorded_provider_has_a_preset() {
    let names: BTreeSet<_> = Vector::all().iter().map(|vector| vector.preset().to_owned()).collect();
    let missing: Vec<_> = names.iter().filter(|name| preset::find(name).is_none()).collect();
    assert!(missing.iter().all(|name| CODE.contains(&name.as_str())), "{missing:?}");
}

/// The nearest rejection of each acceptance.
#[test]
fn one_other_bit_of_a_covered_body_is_refused() {
    let mut changed = 0;
    for (receiver, vectors) in receivers() {
        let Some(preset) = preset::find(&receiver.preset) else { continue };
        let schemes = preset.signing.schemes();
        if schemes.is_empty() || !schemes.iter().all(hookward::auth::Scheme::covers_body) {
            continue;
        }
        let policy = receiver.load(&vectors);
        let accepted = |vector: &&Vector| vector.line["expect"] == "accept" && !vector.line.contains_key("handshake");
        for vector in vectors.iter().filter(accepted) {
            let (head, body) = vector.record.request().unwrap();
            let mut other = body.to_vec();
            let Some(byte) = other.get_mut(body.len() / 2) else { continue };
            *byte ^= 1;
            let judgement = judge(&policy, &head, other.into(), vector.record.now.unwrap(), Replays::Ignored);
            assert!(matches!(judgement.verdict, Verdict::Reject(_)), "{}", vector.record.id);
            changed += 1;
        }
    }
    assert!(changed > 60, "{changed} were changed");
}

/// The file stays what its description says.
#[test]
fn a_vector_is_a_request_with_a_verdict() {
    for vector in Vector::all() {
        assert!(["accept", "reject"].contains(&vector.text("expect").unwrap()), "{}", vector.record.id);
        assert!(!vector.text("oracle").unwrap().is_empty(), "{}", vector.record.id);
        assert!(STANDARD.decode(vector.text("body_b64").unwrap()).is_ok(), "{}", vector.record.id);
    }
}
