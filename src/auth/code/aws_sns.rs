//! Amazon SNS: fields of the JSON body, in an order that the message's type decides, signed by a certificate that the body names.
//!
//! Fields are joined by line ends without escapes. Only `Message` may hold one here, so that every signed text has one reading: a publisher
//! could otherwise write a message that reads as another one with an id of his choice.
//!
//! A `SubscribeURL` is visited only where the policy says so (`[handshake] confirm`), and only if it is the one that the signed topic and token make: what
//! is visited is put together here, and the sender's URL has to be equal to it.
//!
//! **Invariant:** nothing is fetched to prove a message: its certificate is the policy's.

use std::borrow::Cow;

use http::HeaderName;

use super::certificate::{self, Certificate, RsaHash};
use super::keys;
use super::{About, CheckedWith, Code, Found, Settings, malformed, missing, object};
use crate::auth::confirmation::Confirmation;
use crate::auth::describe::Deliveries;
use crate::auth::facts::Covered;
use crate::auth::key::{KeyFault, KeyKind, NamedSecret};
use crate::auth::place::{Head, Place, View};
use crate::clock::UnixSeconds;
use crate::payload::Node;
use crate::reason::Reason;
use crate::rejection::Rejection;

pub(super) const ABOUT: About = About {
    checked_with: CheckedWith::Certificates,
    key_id: Some("https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0000.pem"),
    signed: "RSA signature (PKCS#1 v1.5, SHA-1 or SHA-256 as `SignatureVersion` says) of `name\\nvalue\\n` of the fields that the message's type has",
    lines: &[
        (
            "proves",
            "that Amazon SNS sent `Message`, `MessageId`, `Subject` or `SubscribeURL` and `Token`, `Timestamp`, `TopicArn` and `Type`, but not the rest of \
             this body; of which account's topic, only where `[auth.parameters] topic_arn` says which; not when",
        ),
        (
            "not covered",
            "every other field, such as `MessageAttributes` and `UnsubscribeURL`; the method; the URL and its query; all headers",
        ),
        (
            "credential",
            "`Signature` in the body, in base64 with padding; `SigningCertURL` in the body names the certificate: https, host `sns.REGION.amazonaws.com` or \
             `….amazonaws.com.cn`, path `….pem`",
        ),
        (
            "secret",
            "none: the provider's certificate, in `public_keys`, with its URL as id; it is not fetched, and that it is valid is for whoever puts it there to \
             see",
        ),
        ("time", "`Timestamp` in the body is signed, but not judged: a captured delivery is as good tomorrow as today"),
        ("and", "where `[auth.parameters] topic_arn` lists topics, `TopicArn` in the body must be one of them"),
    ],
    tolerance_seconds: None,
    deliveries: Deliveries::Differ,
    covers,
    advice,
};

/// The signed fields of a notification.
const OF_NOTIFICATION: &[&str] = &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"];

/// The signed fields of a message that asks for a confirmation.
const OF_CONFIRMATION: &[&str] = &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"];

/// A topic (256 characters for its name) and a token together: both are some hundred characters long.
const SIGNED_CHARS_MAX: usize = 2_048;

const SUBSCRIBE_URL: &str = "\
    https://sns.REGION.amazonaws.com/?Action=ConfirmSubscription&TopicArn=…&Token=…, of the message's own topic, its region and its token";

/// Set where a subscription wants bodies without the envelope, and with it without the signature.
static RAW_DELIVERY: HeaderName = HeaderName::from_static("x-amz-sns-rawdelivery");

fn covers(place: &Place) -> Covered {
    let Place::Json(pointer) = place else { return Covered::Unsigned };
    let pointer = pointer.to_string();
    let mut signed = OF_NOTIFICATION.iter().chain(OF_CONFIRMATION);
    if signed.any(|name| pointer.strip_prefix('/') == Some(name)) { Covered::Signed } else { Covered::Unsigned }
}

fn advice(parameters: &std::collections::HashMap<&str, &str>) -> Option<&'static str> {
    let advice = "messages of any topic of any AWS account are taken: [auth.parameters] topic_arn = \"arn:aws:sns:…\" says which";
    (!parameters.contains_key(TOPIC_ARN)).then_some(advice)
}

const TOPIC_ARN: &str = "topic_arn";

/// The certificates of a source.
#[derive(Debug)]
pub(super) struct AwsSns {
    certificates: Vec<Certificate>,
    /// Those that are taken; empty: all.
    topics: Vec<Box<str>>,
}

impl AwsSns {
    /// # Errors
    /// [`KeyFault`] for what is no RSA certificate, or has no URL of Amazon SNS as id.
    pub(super) fn new(keys: &[NamedSecret], settings: &Settings<'_>) -> Result<Self, KeyFault> {
        let certificates = keys.iter().filter(|named| named.kind == KeyKind::Public).map(|named| {
            pinned(&named.id).ok_or_else(|| {
                certificate::fault(named, "called by its URL, https://sns.REGION.amazonaws.com/….pem")
            })?;
            Certificate::new(named)
        });
        let certificates = certificates.collect::<Result<_, _>>()?;
        let topics = settings.parameters.get(TOPIC_ARN).copied().unwrap_or_default();
        let topics: Vec<Box<str>> = topics.split_ascii_whitespace().map(Box::from).collect();
        let are_topics = !topics.is_empty() && topics.iter().all(|topic| topic.starts_with("arn:"));
        if !are_topics && settings.parameters.contains_key(TOPIC_ARN) {
            return Err(KeyFault {
                what: "parameter",
                id: TOPIC_ARN.into(),
                expected: "a list of topics (arn:aws:sns:…), separated by spaces",
            });
        }
        Ok(Self { certificates, topics })
    }
}

impl Code for AwsSns {
    fn present(&self, head: Head<'_>, _now: UnixSeconds) -> Result<(), Rejection> {
        if head.headers.contains_key(&RAW_DELIVERY) {
            return Err(missing("/Signature in the body")
                .hint("raw message delivery is not signed: switch it off for this subscription"));
        }
        Ok(())
    }

    fn verify<'k>(&'k self, view: &View<'_>, now: UnixSeconds) -> Result<Found<'k>, Rejection> {
        let message = object(view)?;
        let hash = match &*text(message, "SignatureVersion")? {
            "1" => RsaHash::Sha1,
            "2" => RsaHash::Sha256,
            _other => return Err(malformed("/SignatureVersion 1 or 2 in the body")),
        };
        let url = text(message, "SigningCertURL")?;
        pinned(&url).ok_or_else(|| malformed("/SigningCertURL of Amazon SNS in the body"))?;
        let signature = certificate::decode(&text(message, "Signature")?)
            .ok_or_else(|| malformed("/Signature in base64 in the body"))?;
        let signed = signed_text(message)?;
        let certificate = self.certificates.iter().find(|certificate| *certificate.url == *url);
        let certificate = certificate.ok_or_else(|| certificate::unknown("json:/SigningCertURL"))?;
        certificate.verify(hash, signed.as_bytes(), &signature, now)?;
        self.require_topic(message)?;
        let body = view.body.map_or(&b""[..], |body| body.bytes());
        Ok(Found {
            key: &certificate.url,
            digest: Some(keys::bound(signed.as_bytes(), body)),
            signed_at_millis: text(message, "Timestamp")?
                .parse::<jiff::Timestamp>()
                .ok()
                .map(jiff::Timestamp::as_millisecond),
            stale_from: None,
        })
    }

    fn confirmation(&self, url: &str, view: &View<'_>) -> Result<Confirmation, Rejection> {
        let message = object(view)?;
        let (topic, token) = (text(message, "TopicArn")?, text(message, "Token")?);
        self.require_topic(message)?;
        let visit = visit(&topic, &token).filter(|(host, target)| {
            url.strip_prefix("https://").and_then(|url| url.strip_prefix(&**host)) == Some(target)
        });
        visit.and_then(|(host, target)| Confirmation::new(&host, &target, &topic)).ok_or_else(|| {
            Rejection::new(Reason::HandshakeRefused)
                .fact("condition_not_met", "json:/SubscribeURL")
                .fact("expected", SUBSCRIBE_URL)
        })
    }
}

impl AwsSns {
    /// Whoever has an AWS account may have Amazon SNS sign what he likes, of a topic of his own.
    fn require_topic(&self, message: Node<'_>) -> Result<(), Rejection> {
        let topic = text(message, "TopicArn")?;
        if self.topics.is_empty() || self.topics.iter().any(|known| **known == *topic) {
            return Ok(());
        }
        Err(Rejection::new(Reason::CredentialMismatch).fact("condition_not_met", "json:/TopicArn"))
    }
}

/// Host, and path with query, of the visit that confirms a subscription to this topic: those of the topic's own region.
fn visit(topic: &str, token: &str) -> Option<(String, String)> {
    let ["arn", partition, "sns", region, account, name] = *topic.split(':').collect::<Vec<_>>() else { return None };
    let domain = match partition {
        "aws" | "aws-us-gov" => "amazonaws.com",
        "aws-cn" => "amazonaws.com.cn",
        _other => return None,
    };
    let is_region = region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !(is_region && is_account && is_name && is_token) || topic.len() + token.len() > SIGNED_CHARS_MAX {
        return None;
    }
    let host = format!("sns.{region}.{domain}");
    self::region(&host)?;
    Some((host, format!("/?Action=ConfirmSubscription&TopicArn={topic}&Token={token}")))
}

/// What is signed of a message of this type.
fn signed_text(message: Node<'_>) -> Result<String, Rejection> {
    let names = match &*text(message, "Type")? {
        "Notification" => OF_NOTIFICATION,
        "SubscriptionConfirmation" | "UnsubscribeConfirmation" => {
            host(&text(message, "SubscribeURL")?)
                .ok_or_else(|| malformed("/SubscribeURL of Amazon SNS in the body"))?;
            OF_CONFIRMATION
        }
        _other => {
            return Err(malformed(
                "/Type in the body: Notification, SubscriptionConfirmation or UnsubscribeConfirmation",
            ));
        }
    };
    let mut signed = String::new();
    for &name in names {
        if name == "Subject" && message.get(name).is_none() {
            continue;
        }
        let value = text(message, name)?;
        if name != "Message" && value.contains('\n') {
            return Err(malformed(format!("/{name} in the body on one line")));
        }
        for piece in [name, "\n", &value, "\n"] {
            signed.push_str(piece);
        }
    }
    Ok(signed)
}

/// A field that has to be there as a string.
fn text<'d>(message: Node<'d>, name: &'static str) -> Result<Cow<'d, str>, Rejection> {
    let found = message.get(name).ok_or_else(|| missing(format!("/{name} in the body")))?;
    found.as_str().ok_or_else(|| malformed(format!("/{name} in the body as a string")))
}

/// A certificate's URL that is Amazon's own.
fn pinned(url: &str) -> Option<()> {
    let (host, path) = certificate::https(url)?;
    region(host)?;
    path.strip_suffix(".pem").map(drop)
}

/// The host of an `https` URL, where it is one of Amazon SNS.
fn host(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://")?;
    let host = &rest[..rest.find(['/', '?', '#'])?];
    region(host).map(|_| host)
}

/// The region that a host of Amazon SNS serves.
fn region(host: &str) -> Option<&str> {
    let host = host.strip_suffix(".cn").unwrap_or(host);
    let region = host.strip_prefix("sns.")?.strip_suffix(".amazonaws.com")?;
    let is_region = region.len() >= 3 && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_region.then_some(region)
}
