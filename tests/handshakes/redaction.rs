//! No secret is in any `Debug`, however it is spelled.

use hookward::admit::Limits;
use hookward::auth::handshake::{Answered, Handshake};
use hookward::auth::key::{KeyKind, NamedSecret};
use hookward::auth::place::{Head, View};
use hookward::auth::template::Filling;
use hookward::auth::{Scheme, Verifier};
use hookward::forward::Signer;
use hookward::policy::Policy;
use hookward::policy::diagnostic::Styles;
use hookward::policy::gateway_config::PoliciesConfig;
use hookward::policy::load::{self, Loaded};
use hookward::policy::preset;
use hookward::policy::secrets::{Resolved, Resolver, SecretFault};
use hookward::policy::source_config::SecretPlace;
use hookward::policy::table::Spanned;
use hookward::secret::Secret;
use http::{HeaderMap, HeaderValue, Method};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::support::base64;
use crate::support::house::capacity;

/// The bytes of every key. There is no other text like it.
const SENTINEL: &str = "SeNtInEl-0123456789-SeNtInEl";

/// All the ways to spell it that a provider has.
fn spellings() -> Vec<String> {
    let (hex, base64) = (hex::encode(SENTINEL), base64(SENTINEL.as_bytes()));
    vec![SENTINEL.to_owned(), format!("whsec_{base64}"), base64, hex, format!("user:{SENTINEL}")]
}

/// What must not be there: the key and what it is spelled as, and its digests, as text, in base 16 and 64, and as `Debug` prints bytes.
fn wanted() -> Vec<String> {
    let mut values: Vec<Vec<u8>> = spellings().into_iter().map(String::into_bytes).collect();
    for value in values.clone() {
        values.extend([Sha256::digest(&value).to_vec(), Sha1::digest(&value).to_vec()]);
    }
    let list = |bytes: &[u8]| bytes.iter().take(8).map(ToString::to_string).collect::<Vec<_>>().join(",");
    let mut wanted = Vec::new();
    for value in &values {
        let text = String::from_utf8(value.clone()).ok().filter(|text| text.contains(SENTINEL));
        wanted.extend(text);
        let (hex, base64) = (hex::encode(value), base64(value));
        wanted.extend([
            hex.to_uppercase()[..16].to_owned(),
            hex[..16].to_owned(),
            base64[..12].to_owned(),
            list(value),
        ]);
    }
    wanted.extend(["SeNtInEl".to_owned(), "sentinel".to_owned()]);
    wanted
}

/// Fails if something shown has the sentinel in it.
fn check(name: &str, shown: &str) {
    // Lists stand one value a line in the long form.
    let packed: String = shown.chars().filter(|character| !character.is_whitespace()).collect();
    for wanted in wanted() {
        assert!(!shown.contains(&wanted) && !packed.contains(&wanted), "{wanted} in {name}: {shown}");
    }
    assert!(!shown.is_empty());
}

fn named(spelling: &str) -> NamedSecret {
    NamedSecret {
        id: "1".into(),
        secret: Secret::new(spelling.as_bytes().to_vec()),
        expires: None,
        kind: KeyKind::Secret,
    }
}

/// Every place has the secret in this spelling.
struct Everywhere(String);

impl Resolver for Everywhere {
    fn resolve(&self, _place: &SecretPlace) -> Result<Resolved, SecretFault> {
        Ok(Resolved::Secret(Secret::new(self.0.clone().into_bytes())))
    }
}

#[test]
fn what_is_looked_for_would_be_found() {
    let bytes = SENTINEL.as_bytes();
    for shown in
        [format!("{SENTINEL:?}"), format!("{bytes:?}"), format!("{bytes:#?}"), hex::encode(bytes), base64(bytes)]
    {
        let found = std::panic::catch_unwind(|| check("a leak", &shown));
        assert!(found.is_err(), "{shown}");
    }
}

#[test]
fn secrets_and_keys_show_nothing() {
    for spelling in spellings() {
        let named = named(&spelling);
        check("a secret", &format!("{:?} {:#?}", named.secret, named.secret));
        check("a named secret", &format!("{named:?} {named:#?}"));
        let signer = Signer::new(&named.secret);
        check("a signer", &format!("{signer:?} {signer:#?}"));
        check("a resolved secret", &format!("{:?}", Resolved::Secret(named.secret)));
    }
}

/// The keys are inside of the verifier.
#[test]
fn the_verifier_of_every_preset_shows_nothing() {
    let (mut made, mut fits) = (0, 0);
    for preset in preset::all() {
        let schemes = preset.signing.schemes();
        if !schemes.iter().any(Scheme::has_secrets) {
            continue;
        }
        fits += 1;
        let verifiers = spellings()
            .into_iter()
            .filter_map(|spelling| Verifier::new(preset.name, schemes, &[named(&spelling)]).ok());
        let verifiers: Vec<_> = verifiers.collect();
        made += usize::from(!verifiers.is_empty());
        for verifier in verifiers {
            check(preset.name, &format!("{verifier:?} {verifier:#?}"));
        }
    }
    assert!(fits > 50 && made == fits, "{made} of {fits} presets took one of the spellings");
}

/// A policy as it is served: sources, limits, what is forwarded, handshakes.
#[test]
fn a_policy_shows_nothing() {
    let folder = TempDir::with_prefix("hookward-test-").unwrap();
    for provider in ["github", "stripe", "meta", "asana", "x-twitter", "token"] {
        let handshake = match provider {
            "meta" => "[handshake]\nverify_token = { env = \"A\" }",
            "asana" => "[handshake]\nlearn_secret = \"state/secret\"",
            _ => "",
        };
        let policy = format!(
            "path = \"/{provider}\"\n[auth]\nprovider = \"{provider}\"\nsecrets = [{{ id = \"1\", env = \"A\" }}]\n\
             [forward]\nto = \"http://127.0.0.1:9/\"\nsign = {{ env = \"A\" }}\n{handshake}\n"
        );
        std::fs::write(folder.path().join(format!("{provider}.toml")), policy).unwrap();
    }
    for spelling in spellings() {
        let mut loaded = Loaded::default();
        let config =
            PoliciesConfig { directory: Spanned { value: folder.path().to_owned(), span: 0..0 }, strict: false };
        let limits = Limits::new(capacity());
        let policy: Option<Policy> = load::load(&config, &Everywhere(spelling), &limits, &mut loaded);
        let report = loaded.diagnostics.report(&loaded.files, &Styles::plain()).to_string();
        let policy = policy.unwrap_or_else(|| panic!("{report}"));
        assert_eq!(policy.sources().len(), 6);
        check("the findings", &format!("{report} {:?}", loaded.diagnostics));
        check("a policy", &format!("{policy:?} {policy:#?}"));
        for source in policy.sources() {
            check(&source.name, &format!("{source:?} {:?} {:?}", source.verifier, source.handshakes));
        }
    }
}

/// An answer to a handshake gives a handed-over secret back; its record does not.
#[test]
fn a_learning_answer_shows_nothing() {
    let mut headers = HeaderMap::new();
    headers.insert("x-hook-secret", HeaderValue::from_static(SENTINEL));
    let uri = "/p".parse().unwrap();
    let head = Head { method: &Method::POST, uri: &uri, headers: &headers, public_url: None };
    let handshakes: &[Handshake] = &preset::find("asana").unwrap().handshakes;
    let Answered { headers, body, learned } = handshakes[0].answer(&Filling::of(View::of_head(head))).unwrap();
    assert_eq!(headers["x-hook-secret"], SENTINEL);
    assert_eq!(learned.as_ref().map(Secret::expose), Some(SENTINEL.as_bytes()));
    let answered = Answered { headers, body, learned };
    check("an answer", &format!("{answered:?} {answered:#?}"));
}
