//! Bodies that are not plain JSON: read strictly, judged by schema and sanitizer like any other, and spelled again only where they were edited.
//!
//! Requests go through the stages offline, as `hookward test` sends them; `tests/it` has the sockets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod codings;
mod forms;
mod judged;
mod lines;
mod multipart;

use std::fs;

use bytes::Bytes;
use hookward::admit::{Capacity, Limits};
use hookward::offline::{Forwardable, Judgement, Replays, Verdict, judge};
use hookward::policy::Policy;
use hookward::policy::diagnostic::Styles;
use hookward::policy::gateway_config::PoliciesConfig;
use hookward::policy::load::{self, Loaded};
use hookward::policy::secrets::{Resolved, Resolver, SecretFault};
use hookward::policy::source_config::SecretPlace;
use hookward::policy::table::Spanned;
use hookward::rejection::{Fact, Rejection};
use hookward::secret::Secret;
use http::Request;

const SECRET: &str = "a-secret-of-some-length";

struct OneSecret;

impl Resolver for OneSecret {
    fn resolve(&self, _place: &SecretPlace) -> Result<Resolved, SecretFault> {
        Ok(Resolved::Secret(Secret::new(SECRET.into())))
    }
}

/// One source that takes everything from whoever knows the token.
pub(crate) struct House(Policy);

impl House {
    /// `top` stands before the tables, `tables` behind them.
    pub(crate) fn new(top: &str, tables: &str) -> Self {
        Self::with_schema(top, tables, "{}")
    }

    /// The same with this schema in `schema.json`.
    pub(crate) fn with_schema(top: &str, tables: &str, schema: &str) -> Self {
        let (policy, report) = load(top, tables, schema);
        Self(policy.unwrap_or_else(|| panic!("{report}")))
    }

    /// What would go upstream, or why nothing would.
    pub(crate) fn post(&self, content_type: &str, body: impl AsRef<[u8]>) -> Result<Forwardable, Rejection> {
        self.post_with(content_type, &[], body)
    }

    /// The same with more fields.
    pub(crate) fn post_with(
        &self,
        content_type: &str,
        fields: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Result<Forwardable, Rejection> {
        match self.judged(content_type, fields, body).verdict {
            Verdict::Accept(forwardable) => Ok(*forwardable),
            Verdict::Answer(answer) => panic!("answered: {}", answer.why),
            Verdict::Reject(rejection) => Err(rejection),
        }
    }

    /// The same with all that is known of it.
    pub(crate) fn judged(&self, content_type: &str, fields: &[(&str, &str)], body: impl AsRef<[u8]>) -> Judgement<'_> {
        let request = Request::post("/hooks/acme").header("host", "localhost").header("x-webhook-token", SECRET);
        let request = request.header("content-type", content_type);
        let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let (head, ()) = request.body(()).unwrap().into_parts();
        judge(&self.0, &head, Bytes::copy_from_slice(body.as_ref()), 0, Replays::Ignored)
    }

    /// The body that goes upstream, or the reason.
    pub(crate) fn told(&self, content_type: &str, body: impl AsRef<[u8]>) -> Result<String, &'static str> {
        let forwardable = self.post(content_type, body).map_err(|rejection| rejection.reason().code())?;
        Ok(String::from_utf8(forwardable.body.to_vec()).unwrap())
    }
}

/// The policy, and all that is said of it.
pub(crate) fn load(top: &str, tables: &str, schema: &str) -> (Option<Policy>, String) {
    load_proven(top, "provider = 'token'", tables, schema)
}

/// The same where senders prove themselves by these words of `[auth]`.
pub(crate) fn load_proven(top: &str, auth: &str, tables: &str, schema: &str) -> (Option<Policy>, String) {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "path = '/hooks/acme'\n{top}\n[auth]\nsecrets = [{{ id = 'a', env = 'A' }}]\n{auth}\n{tables}\n\
         [forward]\nto = 'http://127.0.0.1:9/'\n"
    );
    fs::write(folder.path().join("acme.toml"), text).unwrap();
    fs::write(folder.path().join("schema.json"), schema).unwrap();
    let directory = Spanned { value: folder.path().to_owned(), span: 0..0 };
    let mut loaded = Loaded::default();
    let limits = Limits::new(Capacity::default());
    let policy = load::load(&PoliciesConfig { directory, strict: false }, &OneSecret, &limits, &mut loaded);
    (policy, loaded.diagnostics.report(&loaded.files, &Styles::plain()).to_string())
}

/// A number among a rejection's facts.
pub(crate) fn number(rejection: &Rejection, name: &str) -> Option<i64> {
    rejection.detail().iter().find_map(|(found, fact)| match fact {
        Fact::Number(number) if *found == name => Some(*number),
        Fact::Number(_) | Fact::Text(_) | Fact::List(_) | Fact::Rows(_) => None,
    })
}

/// Every value of the payload is judged by `schema.json`.
pub(crate) const SCHEMA: &str = "[event.schema]\n'*' = 'schema.json'\n";

/// The sanitizer drops what the schema does not list, and characters.
pub(crate) const CLEAN: &str =
    "[sanitize]\nunknown_fields = 'drop'\ncontrol_characters = 'drop'\nzero_width = 'drop'\nformula = 'escape'\n";
