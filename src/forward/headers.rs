//! Which of the sender's header fields go on to the upstream: an allow-list, compiled when policies load.

use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName};

/// Always allowed: what the body is, who sent it, and trace context (W3C).
const ALWAYS: [HeaderName; 5] = [
    CONTENT_TYPE,
    USER_AGENT,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("baggage"),
];

/// Never allowed, whatever a policy says: connection management (RFC 9110 §7.6.1), framing, credentials for this hop, and fields the gateway attests itself.
const NEVER: [&str; 21] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-original-url",
    "x-real-ip",
];

/// The names under which the gateway speaks; a sender's field of such a name never goes on.
pub const OURS: &str = "x-hookward-";

/// An allow-list of header fields.
#[derive(Debug, Default, Clone)]
pub struct HeaderRules {
    names: Vec<HeaderName>,
    prefixes: Vec<Box<str>>,
    /// Prefixes that names on the list of never may have as well.
    screened_prefixes: Vec<Box<str>>,
    signatures: Vec<HeaderName>,
    withheld: Vec<HeaderName>,
    attested: Vec<HeaderName>,
    signature_prefixes: Vec<Box<str>>,
    withheld_prefixes: Vec<Box<str>>,
}

/// A pattern that cannot be allowed to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternFault {
    /// Not a header name, or a `*` elsewhere than at the end.
    #[error("not a header name or a pattern such as `x-acme-*`")]
    Malformed,
    /// On the list of fields that never leave.
    #[error("never passed on: it belongs to this connection, is a credential, or is attested by the gateway")]
    Never,
}

impl HeaderRules {
    /// Compiles names and patterns with a `*` at the end. `signatures` are dropped from an edited delivery; `withheld` (static credentials) never leave;
    /// `attested` are written by the gateway for this source (`webhook-id` where it signs).
    ///
    /// # Errors
    /// The position of the first pattern that is refused, and why.
    pub fn compile(
        patterns: &[&str],
        signatures: Vec<HeaderName>,
        withheld: Vec<HeaderName>,
        attested: Vec<HeaderName>,
    ) -> Result<Self, (usize, PatternFault)> {
        let mut rules = Self { names: ALWAYS.to_vec(), signatures, withheld, attested, ..Self::default() };
        for (position, pattern) in patterns.iter().enumerate() {
            rules.allow(pattern).map_err(|fault| (position, fault))?;
        }
        Ok(rules)
    }

    /// The same for credentials that stand in every field whose name begins so.
    #[must_use]
    pub fn with_prefixes(self, signatures: Vec<Box<str>>, withheld: Vec<Box<str>>) -> Self {
        Self { signature_prefixes: signatures, withheld_prefixes: withheld, ..self }
    }

    fn allow(&mut self, pattern: &str) -> Result<(), PatternFault> {
        let pattern = pattern.to_ascii_lowercase();
        let (prefix, is_prefix) = pattern.strip_suffix('*').map_or((&*pattern, false), |prefix| (prefix, true));
        if prefix.contains('*') {
            return Err(PatternFault::Malformed);
        }
        if is_prefix {
            HeaderName::try_from(prefix).map_err(|_| PatternFault::Malformed)?;
            let reaches = |name: &str| name.starts_with(prefix) || prefix.starts_with(name);
            let prefixes = if reaches(OURS) || NEVER.iter().any(|name| name.starts_with(prefix)) {
                &mut self.screened_prefixes
            } else {
                &mut self.prefixes
            };
            prefixes.push(prefix.into());
            return Ok(());
        }
        let name = HeaderName::try_from(pattern).map_err(|_| PatternFault::Malformed)?;
        if is_never(&name) {
            return Err(PatternFault::Never);
        }
        self.names.push(name);
        Ok(())
    }

    /// Copies the allowed fields. Values are shared, not copied.
    pub fn pass(&self, from: &HeaderMap, to: &mut HeaderMap, edited: Edited) {
        let names_fields = from.contains_key(CONNECTION);
        for (name, value) in from {
            if self.allows(name, edited) && !(names_fields && is_named_by_connection(from, name)) {
                to.append(name.clone(), value.clone());
            }
        }
    }

    fn allows(&self, name: &HeaderName, edited: Edited) -> bool {
        let begins = |prefixes: &[Box<str>]| prefixes.iter().any(|prefix| name.as_str().starts_with(&**prefix));
        let by_prefix = || begins(&self.prefixes) || begins(&self.screened_prefixes) && !is_never(name);
        let broken = edited == Edited::Yes && (self.signatures.contains(name) || begins(&self.signature_prefixes));
        let withheld = self.withheld.contains(name) || begins(&self.withheld_prefixes);
        let kept_back = broken || withheld || self.attested.contains(name);
        !kept_back && (self.names.contains(name) || by_prefix())
    }
}

/// A field that a Connection field names is for this connection alone (RFC 9110 §7.6.1), on whichever line it is named.
fn is_named_by_connection(headers: &HeaderMap, name: &HeaderName) -> bool {
    let fields = headers.get_all(CONNECTION).iter().filter_map(|field| field.to_str().ok());
    fields.flat_map(|field| field.split(',')).any(|token| token.trim().eq_ignore_ascii_case(name.as_str()))
}

/// Whether the sanitizer changed the body: the sender's signature no longer fits it then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edited {
    /// It did.
    Yes,
    /// The body is as it was received.
    No,
}

fn is_never(name: &HeaderName) -> bool {
    name == AUTHORIZATION || NEVER.binary_search(&name.as_str()).is_ok() || name.as_str().starts_with(OURS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn rules(patterns: &[&str]) -> HeaderRules {
        let signature = HeaderName::from_static("x-hub-signature-256");
        let token = HeaderName::from_static("x-gitlab-token");
        let id = HeaderName::from_static("webhook-id");
        HeaderRules::compile(patterns, vec![signature], vec![token], vec![id]).unwrap()
    }

    #[test]
    fn credentials_in_every_field_of_a_prefix_are_kept_back_as_others_are() {
        let rules = rules(&["x-*"]).with_prefixes(vec!["x-acme-signature-".into()], vec!["x-acme-token-".into()]);
        let rows = [
            ("x-acme-signature-1", true, false),
            ("x-acme-signature-2", true, false),
            ("x-acme-token-1", false, false),
            ("x-acme-signature", true, true),
            ("x-acme-token", true, true),
        ];
        for (name, whole, edited) in rows {
            assert_eq!(
                (passes(&rules, name, Edited::No), passes(&rules, name, Edited::Yes)),
                (whole, edited),
                "{name}"
            );
        }
    }

    fn passes(rules: &HeaderRules, name: &'static str, edited: Edited) -> bool {
        let mut from = HeaderMap::new();
        from.insert(name, HeaderValue::from_static("v"));
        let mut to = HeaderMap::new();
        rules.pass(&from, &mut to, edited);
        !to.is_empty()
    }

    #[test]
    fn only_listed_fields_leave() {
        let rules =
            rules(&["x-github-*", "x-hub-signature-256", "x-acme", "x-gitlab-*", "webhook-*", "x-*", "x-hookward-a*"]);
        let rows = [
            ("content-type", true),
            ("user-agent", true),
            ("x-github-event", true),
            ("x-acme", true),
            ("accept", false),
            ("x-gitlab-event", true),
            ("x-gitlab-token", false),
            ("webhook-id", false),
            ("webhook-timestamp", true),
            ("authorization", false),
            ("cookie", false),
            ("x-forwarded-for", false),
            ("x-real-ip", false),
            ("x-hookward-source", false),
            ("x-hookward-anything", false),
            ("connection", false),
        ];
        for (name, leaves) in rows {
            assert_eq!(passes(&rules, name, Edited::No), leaves, "{name}");
        }
    }

    #[test]
    fn the_senders_signature_stays_behind_when_the_body_was_edited() {
        let rules = rules(&["x-hub-signature-256"]);
        assert!(passes(&rules, "x-hub-signature-256", Edited::No));
        assert!(!passes(&rules, "x-hub-signature-256", Edited::Yes));
    }

    #[test]
    fn fields_that_never_leave_cannot_be_listed() {
        for name in NEVER.iter().chain(&["x-hookward-edits"]) {
            let listed = HeaderRules::compile(&[name], vec![], vec![], vec![]);
            assert_eq!(listed.unwrap_err(), (0, PatternFault::Never), "{name}");
        }
        for pattern in ["", "a b", "x-*-id", "Ü"] {
            let listed = HeaderRules::compile(&["x-good", pattern], vec![], vec![], vec![]);
            assert_eq!(listed.unwrap_err(), (1, PatternFault::Malformed), "{pattern}");
        }
    }

    #[test]
    fn the_list_of_never_is_sorted_for_its_search() {
        assert!(NEVER.is_sorted());
    }
}
