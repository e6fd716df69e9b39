//! What a diagnosis may say: a closed list of words, each with a sentence for the operator.

use std::borrow::Cow;

use super::body::BodyChange;
use super::secret::SecretSpelling;
use crate::auth::scheme::Encoding;
use crate::rejection::Fact;

/// One thing that explains a refused credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It fits a secret of another source.
    OtherSource {
        /// The source's name.
        source: Box<str>,
        /// What fitted.
        fitted: Fitted,
    },
    /// It fits another body.
    Body {
        /// How the body was changed to fit.
        change: BodyChange,
        /// What fitted.
        fitted: Fitted,
    },
    /// It fits a configured secret that is read in another way.
    Secret {
        /// How it was read to fit.
        spelling: SecretSpelling,
        /// What fitted.
        fitted: Fitted,
    },
    /// It fits another URL.
    Url {
        /// The URL that was signed, without query.
        url: Box<str>,
        /// What became of the query.
        query: UrlQuery,
        /// What fitted.
        fitted: Fitted,
    },
    /// It is a signature of another kind.
    Signature {
        /// In what it differs from what the policy wants.
        fault: SignatureFault,
        /// Whether it was computed, or only has the form.
        certainty: Certainty,
    },
    /// The signature is not where the policy wants it, but in a field with the beginning of that name.
    AnotherHeader {
        /// The field's name.
        name: Box<str>,
    },
    /// The body is compressed, and no Content-Encoding says so.
    EncodingHidden,
    /// A field says that something on the way decompressed the body.
    Decompressed,
}

/// The secret or key that fitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fitted {
    /// Its policy's name of it.
    pub secret: Box<str>,
    /// Whether it would be accepted.
    pub validity: Validity,
}

/// Whether a secret's time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// It is not.
    Live,
    /// It is.
    Expired,
}

/// What became of the URL's query in the text that was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlQuery {
    /// It is as received.
    AsReceived,
    /// It was left out.
    LeftOut,
}

/// In what a signature differs from what the policy wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureFault {
    /// It is one of this algorithm.
    Algorithm(&'static str),
    /// It is spelled so.
    Encoding(Spelled),
    /// It is the list's item of this name.
    Item(Box<str>),
    /// It stands behind this prefix; empty: behind none.
    Prefix(Box<str>),
}

/// How a signature is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelled {
    /// As one of the scheme language's encodings.
    As(Encoding),
    /// In hex with capital letters.
    UpperHex,
}

/// How sure a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// It was computed with the source's secret, and fits.
    Fits,
    /// It has the form, and was not computed.
    LooksLike,
}

impl Finding {
    /// Every word, as the documentation lists them.
    pub const WORDS: [&str; 27] = [
        "other_source",
        "body_newline_removed",
        "body_newline_added",
        "body_crlf_to_lf",
        "body_lf_to_crlf",
        "body_reencoded",
        "secret_as_text",
        "secret_without_prefix",
        "secret_with_prefix",
        "secret_from_base64",
        "secret_to_base64",
        "secret_from_hex",
        "secret_to_hex",
        "secret_trimmed",
        "secret_newline_added",
        "url_mismatch",
        "url_query_left_out",
        "algorithm_differs",
        "algorithm_looks_different",
        "encoding_differs",
        "encoding_looks_different",
        "item_differs",
        "item_looks_different",
        "prefix_differs",
        "prefix_looks_different",
        "another_header",
        "content_encoding_changed",
    ];

    /// The stable word, as it stands in the record.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::OtherSource { .. } => "other_source",
            Self::Body { change, .. } => change.word(),
            Self::Secret { spelling, .. } => spelling.word(),
            Self::Url { query: UrlQuery::AsReceived, .. } => "url_mismatch",
            Self::Url { query: UrlQuery::LeftOut, .. } => "url_query_left_out",
            Self::Signature { fault, certainty } => match (fault, certainty) {
                (SignatureFault::Algorithm(_), Certainty::Fits) => "algorithm_differs",
                (SignatureFault::Algorithm(_), Certainty::LooksLike) => "algorithm_looks_different",
                (SignatureFault::Encoding(_), Certainty::Fits) => "encoding_differs",
                (SignatureFault::Encoding(_), Certainty::LooksLike) => "encoding_looks_different",
                (SignatureFault::Item(_), Certainty::Fits) => "item_differs",
                (SignatureFault::Item(_), Certainty::LooksLike) => "item_looks_different",
                (SignatureFault::Prefix(_), Certainty::Fits) => "prefix_differs",
                (SignatureFault::Prefix(_), Certainty::LooksLike) => "prefix_looks_different",
            },
            Self::AnotherHeader { .. } => "another_header",
            Self::EncodingHidden | Self::Decompressed => "content_encoding_changed",
        }
    }

    /// The row of the record's `detail.diagnosis`.
    #[must_use]
    pub fn facts(&self) -> Vec<(&'static str, Fact)> {
        let mut facts = vec![("finding", Fact::from(self.word()))];
        match self {
            Self::OtherSource { source, fitted } => {
                facts.push(("source", text(source)));
                fitted.say(&mut facts);
            }
            Self::Body { change, fitted } => {
                if let BodyChange::Json(layout, strings) = change {
                    facts.push(("layout", layout.words().into()));
                    facts.push(("strings", strings.words().into()));
                }
                fitted.say(&mut facts);
            }
            Self::Secret { fitted, .. } => fitted.say(&mut facts),
            Self::Url { url, fitted, .. } => {
                facts.push(("url", text(url)));
                fitted.say(&mut facts);
            }
            Self::Signature { fault, .. } => facts.push(match fault {
                SignatureFault::Algorithm(name) => ("algorithm", (*name).into()),
                SignatureFault::Encoding(spelled) => ("encoding", spelled.words().into()),
                SignatureFault::Item(name) => ("item", text(name)),
                SignatureFault::Prefix(prefix) if prefix.is_empty() => ("prefix", "none".into()),
                SignatureFault::Prefix(prefix) => ("prefix", text(prefix)),
            }),
            Self::AnotherHeader { name } => facts.push(("header", text(name))),
            Self::EncodingHidden => facts.push(("found", "a compressed body without content-encoding".into())),
            Self::Decompressed => facts.push(("found", "a field that says the body was decompressed".into())),
        }
        facts
    }

    /// Whether it was computed, and is not only what the request looks like.
    #[must_use]
    pub const fn is_certain(&self) -> bool {
        match self {
            Self::OtherSource { .. }
            | Self::Body { .. }
            | Self::Secret { .. }
            | Self::Url { .. }
            | Self::Signature { certainty: Certainty::Fits, .. } => true,
            Self::Signature { certainty: Certainty::LooksLike, .. }
            | Self::AnotherHeader { .. }
            | Self::EncodingHidden
            | Self::Decompressed => false,
        }
    }

    /// The next step for an operator.
    #[must_use]
    pub fn hint(&self) -> Cow<'static, str> {
        match self {
            Self::OtherSource { source, fitted } => {
                let Fitted { secret, .. } = fitted;
                format!("it is signed with secret `{secret}` of source `{source}`: the provider has the wrong URL or the wrong secret for this one").into()
            }
            Self::Body { change, .. } => change.hint().into(),
            Self::Secret { spelling, fitted } => format!("{} (secret `{}`)", spelling.hint(), fitted.secret).into(),
            Self::Url { url, query: UrlQuery::AsReceived, .. } => {
                format!("the provider signed the URL {url}: set public_url in the policy to it").into()
            }
            Self::Url { url, query: UrlQuery::LeftOut, .. } => {
                format!("the provider signed {url} without the query: take the query out of the URL at the provider").into()
            }
            Self::Signature { fault, .. } => fault.hint(),
            Self::AnotherHeader { name } => {
                format!("the signature is in {name} alone: the provider signs by an older version, see its settings").into()
            }
            Self::EncodingHidden => {
                "the body is compressed, but its Content-Encoding is gone: let the proxy in front pass both as they are".into()
            }
            Self::Decompressed => {
                "a proxy in front decompresses bodies, and the signature is of the compressed one: switch that off for this path".into()
            }
        }
    }
}

impl Fitted {
    fn say(&self, facts: &mut Vec<(&'static str, Fact)>) {
        facts.push(("secret", text(&self.secret)));
        if self.validity == Validity::Expired {
            facts.push(("expired", "yes".into()));
        }
    }
}

impl Spelled {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::As(Encoding::Text) => "text",
            Self::As(Encoding::Hex) => "hex",
            Self::As(Encoding::Base64) => "base64",
            Self::As(Encoding::Base64Url) => "base64url",
            Self::UpperHex => "upper-case hex",
        }
    }
}

impl SignatureFault {
    fn hint(&self) -> Cow<'static, str> {
        match self {
            Self::Algorithm(name) => format!("the signature is {name}, not what the policy wants: choose the other algorithm at the provider").into(),
            Self::Encoding(spelled) => {
                format!("the signature is spelled in {}, not as the policy wants it: see [auth.scheme] encoding", spelled.words()).into()
            }
            Self::Item(name) => {
                format!("the signature is item `{name}` of the list: the provider signs by another version than the policy wants").into()
            }
            Self::Prefix(prefix) if prefix.is_empty() => {
                "the signature comes without the prefix that the policy wants: see [auth.scheme] prefix".into()
            }
            Self::Prefix(prefix) => {
                format!("the signature stands behind `{prefix}`, not behind what the policy wants: see [auth.scheme] prefix").into()
            }
        }
    }
}

fn text(text: &str) -> Fact {
    Fact::Text(Cow::Owned(text.chars().take(TEXT_CHARACTERS_MAX).collect()))
}

/// The longest text of a fact.
const TEXT_CHARACTERS_MAX: usize = 200;
