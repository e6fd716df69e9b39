//! Amazon SNS: what it sends, signed with a key of the tests, and its regional endpoint, over real TLS.

use std::net::SocketAddr;
use std::sync::LazyLock;

use hookward::cli::cert::{self, Made};
use hookward::forward::names::Names;

use super::app::Taken;
use super::{App, Delivery, House, Say, Site};
use crate::certificates::{PROVIDER, ROOT, Wanted, sign};

pub(crate) const HOST: &str = "sns.us-east-1.amazonaws.com";
pub(crate) const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:mine";
pub(crate) const TOKEN: &str = "2336412f37fb687f5d51e6e241d09c805a5a57b30d712f794cc5f6a988666d92";

/// `[auth]` with the certificate that signs, for one topic.
pub(crate) const AUTH: &str = "public_keys = [{ id = \"https://sns.us-east-1.amazonaws.com/a.pem\", file = \"sns.pem\" }]\n\
                               parameters = { topic_arn = \"arn:aws:sns:us-east-1:123456789012:mine\" }";

/// `[handshake]` for an endpoint in this process.
pub(crate) const CONFIRM: &str =
    "[handshake]\nconfirm = true\nnetworks = [\"127.0.0.0/8\"]\ntrust_roots = [{ file = \"endpoint.pem\" }]";

/// The certificate of the endpoint.
pub(crate) static ENDPOINT: LazyLock<Made> = LazyLock::new(|| cert::make(&[HOST.to_owned()]).unwrap());

/// A message, before it is signed.
#[derive(Debug, Clone)]
pub(crate) struct Message(Vec<(&'static str, String)>);

/// An endpoint that says this.
pub(crate) fn endpoint(say: impl Fn(&Taken) -> Say + Send + Sync + 'static) -> App {
    App::with_tls(&ENDPOINT.certificate, &ENDPOINT.key, say)
}

/// An endpoint that confirms.
pub(crate) fn confirming() -> App {
    endpoint(|_| Say::with(200, &[("content-type", "text/xml")], "<ConfirmSubscriptionResponse/>"))
}

/// A source of SNS whose endpoint is there.
pub(crate) fn site(endpoint: SocketAddr, rest: &str) -> Site {
    site_where(Names::fixed([(HOST.into(), vec![endpoint])]), rest)
}

/// The same with these names.
pub(crate) fn site_where(names: Names, rest: &str) -> Site {
    try_site(names, AUTH, rest).unwrap_or_else(|findings| panic!("{findings}"))
}

pub(crate) fn try_site(names: Names, auth: &str, rest: &str) -> Result<Site, String> {
    let wanted = Wanted { common_name: "sns.amazonaws.com", alternative_names: &[], years: (2020, 2040) };
    let mut house = House::new();
    house.names = names;
    let files = [("sns.pem", &*ROOT.certify(&wanted)), ("endpoint.pem", &ENDPOINT.certificate)];
    Site::at(house, &files, "aws-sns", auth, rest)
}

/// What confirms the subscription to a topic.
pub(crate) fn subscribe_url(topic: &str) -> String {
    format!("https://{HOST}/?Action=ConfirmSubscription&TopicArn={topic}&Token={TOKEN}")
}

impl Message {
    /// A subscription that wants to be confirmed.
    pub(crate) fn confirmation() -> Self {
        let fields = [
            ("Type", "SubscriptionConfirmation"),
            ("MessageId", "m-1"),
            ("Token", TOKEN),
            ("TopicArn", TOPIC),
            ("Message", "You have chosen to subscribe to the topic."),
            ("SubscribeURL", &subscribe_url(TOPIC)),
            ("Timestamp", "2026-11-23T11:59:59.318Z"),
            ("SignatureVersion", "2"),
            ("SigningCertURL", "https://sns.us-east-1.amazonaws.com/a.pem"),
        ];
        Self(fields.map(|(name, value)| (name, value.to_owned())).into())
    }

    /// What was published.
    pub(crate) fn notification() -> Self {
        Self::confirmation().with("Type", "Notification").without("Token").without("SubscribeURL")
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.0.retain(|(found, _)| *found != name);
        self.0.push((name, value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.retain(|(found, _)| *found != name);
        self
    }

    /// With its signature.
    pub(crate) fn signed(self) -> Self {
        let mut fields = self.0.clone();
        fields.retain(|(name, _)| !name.starts_with("Sign"));
        fields.sort();
        let text: String = fields.iter().flat_map(|(name, value)| [name, "\n", value, "\n"]).collect();
        let signature = sign(&PROVIDER, &text);
        self.with("Signature", &signature)
    }

    /// As it is sent.
    pub(crate) fn delivery(&self) -> Delivery {
        let members =
            self.0.iter().map(|(name, value)| format!("\"{name}\":{}", serde_json::Value::from(value.as_str())));
        let body = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
        Delivery::post("/p", &body).replace("content-type", "text/plain; charset=UTF-8")
    }
}
