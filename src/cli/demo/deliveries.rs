//! What the demo sends: good deliveries, and everything that has to be refused.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};

use super::DemoSecrets;
use super::echo::{Echo, Taken};
use crate::auth::Scheme;
use crate::auth::key::{KeyKind, NamedSecret};
use crate::auth::place::Place;
use crate::auth::sign::{Signed, Unsigned, sign};
use crate::cli::client::{Answer, Client};
use crate::clock::{Clock, UnixSeconds};
use crate::policy::diagnostic::{Diagnostics, Files};
use crate::policy::preset;
use crate::policy::source_config::{AuthMethod, read_source};
use crate::secret::Secret;

const PUSH: &str = include_str!("../../../tests/data/github/push.1.json");
const STAR: &str = include_str!("../../../tests/data/github/star.created.json");
const PAYMENT: &str = include_str!("../../../tests/data/stripe/payment_intent.succeeded.json");
const REFUND: &str = include_str!("../../../tests/data/stripe/charge.refunded.json");
const MENTION: &str = include_str!("../../../tests/data/slack/app_mention.json");
const PRICE: &str = include_str!("../../../tests/data/market/price.json");
const TRADE: &str = include_str!("../../../tests/data/market/trade.json");
const NEGATIVE_PRICE: &str = include_str!("../../../tests/data/market/price.negative-amount.bad.json");
const LEAD: &str = include_str!("../../../tests/data/crm/lead.created.json");
const DIRTY_LEAD: &str = include_str!("../../../tests/data/crm/lead.created.dirty.json");

/// How many forged deliveries the flood has: more than the failure budget of the example policies.
const FLOOD: usize = 150;

/// One row of the table.
pub(super) struct Sent {
    /// What was sent.
    pub what: &'static str,
    /// What the sender got.
    pub status: StatusCode,
    /// What is shown where the rejected log has nothing.
    pub verdict: &'static str,
    /// More, for people.
    pub why: String,
    /// The id under which the rejected log has it.
    pub delivery: Option<String>,
}

/// Sends deliveries as providers would.
pub(super) struct Sender {
    client: Client,
    secrets: DemoSecrets,
    address: SocketAddr,
    echo: Echo,
}

/// A delivery to be sent.
struct Draft<'d> {
    source: &'static Endpoint,
    body: &'d str,
    event: Option<&'static str>,
    now: UnixSeconds,
    secret: String,
}

/// An example source and how it is signed.
struct Endpoint {
    path: &'static str,
    policy: &'static str,
    variable: &'static str,
}

const GITHUB: Endpoint = Endpoint {
    path: "/hooks/github",
    policy: include_str!("../../../policies/github.toml"),
    variable: "GITHUB_WEBHOOK_SECRET",
};
const STRIPE: Endpoint = Endpoint {
    path: "/hooks/stripe",
    policy: include_str!("../../../policies/stripe.toml"),
    variable: "STRIPE_WEBHOOK_SECRET",
};
const SLACK: Endpoint = Endpoint {
    path: "/hooks/slack",
    policy: include_str!("../../../policies/slack.toml"),
    variable: "SLACK_SIGNING_SECRET",
};
const SHOPIFY: Endpoint = Endpoint {
    path: "/hooks/shopify",
    policy: include_str!("../../../policies/shopify.toml"),
    variable: "SHOPIFY_CLIENT_SECRET",
};
const MARKET: Endpoint = Endpoint {
    path: "/hooks/market-ticks",
    policy: include_str!("../../../policies/market-ticks.toml"),
    variable: "EXCHANGE_WEBHOOK_SECRET",
};
const CRM: Endpoint = Endpoint {
    path: "/hooks/crm-leads",
    policy: include_str!("../../../policies/crm-leads.toml"),
    variable: "CRM_WEBHOOK_TOKEN",
};

impl Endpoint {
    /// The scheme of the source's policy.
    fn scheme(&self) -> Option<Scheme> {
        let mut files = Files::default();
        let file = files.add("policy.toml", self.policy);
        match read_source(&file, &mut Diagnostics::default())?.auth.method {
            AuthMethod::Provider(name) => preset::find(&name.value)?.signing.schemes().first().cloned(),
            AuthMethod::Schemes(schemes) => schemes.into_iter().next(),
            AuthMethod::Nothing => None,
        }
    }
}

impl Sender {
    pub(super) const fn new(client: Client, secrets: DemoSecrets, address: SocketAddr, echo: Echo) -> Self {
        Self { client, secrets, address, echo }
    }

    fn draft<'d>(&self, source: &'static Endpoint, body: &'d str, event: Option<&'static str>) -> Draft<'d> {
        let now = Clock::system().unix_seconds();
        Draft { source, body, event, now, secret: self.secrets.text(source.variable) }
    }

    /// Everything, in the order of the table.
    pub(super) async fn send_all(&self) -> Vec<Sent> {
        let push = self.draft(&GITHUB, PUSH, Some("push"));
        let payment = self.draft(&STRIPE, PAYMENT, None);
        let mut sent = vec![
            self.send("GitHub push", &push, |_| {}).await,
            self.send("Stripe payment", &payment, |_| {}).await,
            self.send("Slack mention", &self.draft(&SLACK, MENTION, None), |_| {}).await,
            self.send("market price", &self.draft(&MARKET, PRICE, None), |_| {}).await,
            self.send("market trade, 34 digits kept", &self.draft(&MARKET, TRADE, None), |_| {}).await,
            self.send("CRM lead", &self.draft(&CRM, LEAD, None), |_| {}).await,
            self.send("CRM lead with fields to drop", &self.draft(&CRM, DIRTY_LEAD, None), |_| {}).await,
            self.send("the Stripe payment again", &payment, |_| {}).await,
        ];
        let forged = PUSH.replacen("refs/", "refz/", 1);
        let stale = Draft { now: Clock::system().unix_seconds() - 900, ..self.draft(&STRIPE, REFUND, None) };
        let wrong = Draft { secret: "not-the-signing-secret".to_owned(), ..self.draft(&SLACK, MENTION, None) };
        sent.extend([
            self.send_altered("GitHub push, one byte changed", &push, &forged).await,
            self.send("Stripe refund, 15 minutes old", &stale, |_| {}).await,
            self.send("Slack mention, wrong secret", &wrong, |_| {}).await,
            self.send("GitHub push without signature", &push, |signed| {
                signed.headers.remove("x-hub-signature-256");
            })
            .await,
            self.send("market price below zero", &self.draft(&MARKET, NEGATIVE_PRICE, None), |_| {}).await,
            self.send("GitHub event nobody listed", &self.draft(&GITHUB, STAR, Some("gollum")), |_| {}).await,
        ]);
        sent.extend(self.flood().await);
        sent
    }

    async fn send(&self, what: &'static str, draft: &Draft<'_>, alter: impl FnOnce(&mut Signed)) -> Sent {
        let answer = match Self::signed(draft) {
            Some(mut signed) => {
                alter(&mut signed);
                self.post(draft.source, signed, draft.body).await
            }
            None => Err(io::Error::other("cannot sign it")),
        };
        self.sent(what, draft.body, answer)
    }

    async fn send_altered(&self, what: &'static str, draft: &Draft<'_>, body: &str) -> Sent {
        let answer = match Self::signed(draft) {
            Some(signed) => self.post(draft.source, signed, body).await,
            None => Err(io::Error::other("cannot sign it")),
        };
        self.sent(what, body, answer)
    }

    /// Forged deliveries one after the other; two rows say how they fared.
    async fn flood(&self) -> Vec<Sent> {
        let forged = Draft { secret: "a-guess".to_owned(), ..self.draft(&SHOPIFY, "{}", Some("orders/create")) };
        let (mut judged, mut blocked) = (Vec::new(), Vec::new());
        for _ in 0..FLOOD {
            let sent = self.send("", &forged, |_| {}).await;
            if sent.status == StatusCode::TOO_MANY_REQUESTS { blocked.push(sent) } else { judged.push(sent) }
        }
        let rows = [("forged Shopify orders, the first", judged), ("then, from the same address", blocked)];
        let rows = rows.into_iter().filter_map(|(what, sent)| {
            let count = sent.len();
            let first = sent.into_iter().next()?;
            Some(Sent { what, verdict: "refused", why: format!("{count} times"), ..first })
        });
        rows.collect()
    }

    fn signed(draft: &Draft<'_>) -> Option<Signed> {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(event) = draft.event {
            for name in ["x-github-event", "x-shopify-topic"] {
                headers.insert(HeaderName::from_static(name), HeaderValue::from_static(event));
            }
        }
        let secret = Secret::new(draft.secret.clone().into_bytes());
        let secret = NamedSecret { id: "demo".into(), secret, expires: None, kind: KeyKind::Secret };
        let body = Bytes::copy_from_slice(draft.body.as_bytes());
        let unsigned = Unsigned {
            method: Method::POST,
            uri: draft.source.path.parse().ok()?,
            headers,
            public_url: None,
            body: &body,
            now: draft.now,
        };
        sign(&draft.source.scheme()?, &secret, unsigned).ok()
    }

    async fn post(&self, source: &Endpoint, signed: Signed, body: &str) -> io::Result<Answer> {
        let url: Uri = format!("https://{}{}", self.host(), source.path).parse().map_err(io::Error::other)?;
        self.client.send(Method::POST, &url, signed.headers, Bytes::copy_from_slice(body.as_bytes())).await
    }

    fn host(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    fn sent(&self, what: &'static str, body: &str, answer: io::Result<Answer>) -> Sent {
        let taken = self.echo.taken();
        match answer {
            Ok(answer) => {
                let why = taken.as_ref().map(|taken| forwarded(taken, body)).unwrap_or_default();
                let verdict = if taken.is_some() { "forwarded" } else { "not forwarded" };
                let delivery = if taken.is_none() { delivery_id(&answer) } else { None };
                Sent { what, status: answer.status, verdict, why, delivery }
            }
            Err(error) => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Sent { what, status, verdict: "no answer", why: error.to_string(), delivery: None }
            }
        }
    }

    /// Commands that work as they are printed; bodies that are signed stand in files of `folder`.
    pub(super) fn curl_lines(&self, folder: &Path) -> io::Result<Vec<(&'static str, String)>> {
        let certificate = folder.join("demo.pem");
        let curl = format!("curl -i --cacert {} https://{}", certificate.display(), self.host());
        let token = self.secrets.text(CRM.variable);
        let lead = folder.join("lead.json");
        fs::write(&lead, DIRTY_LEAD)?;
        let push = folder.join("push.json");
        fs::write(&push, PUSH)?;
        let signature = Self::signed(&self.draft(&GITHUB, PUSH, Some("push")));
        let signature =
            signature.and_then(|signed| Some(signed.headers.get("x-hub-signature-256")?.to_str().ok()?.to_owned()));
        let signature = signature.unwrap_or_default();
        let json = "-H 'content-type: application/json'";
        let header = match CRM.scheme().map(|scheme| scheme.credential) {
            Some(Place::Header(names)) => names.first().map(ToString::to_string).unwrap_or_default(),
            Some(_) | None => "x-webhook-token".to_owned(),
        };
        Ok(vec![
            (
                "a lead with fields the app never sees",
                format!("{curl}{} {json} -H '{header}: {token}' --data-binary @{}", CRM.path, lead.display()),
            ),
            (
                "a signed push; change a byte of the file and send it again",
                format!(
                    "{curl}{} {json} -H 'x-github-event: push' -H 'x-hub-signature-256: {signature}' --data-binary @{}",
                    GITHUB.path,
                    push.display()
                ),
            ),
            ("no credential", format!("{curl}{} {json} -d '{{}}'", STRIPE.path)),
        ])
    }
}

fn forwarded(taken: &Taken, body: &str) -> String {
    match &taken.edits {
        Some(edits) => format!("{edits} edits: {} bytes came, {} went on", body.len(), taken.body.len()),
        None if taken.body == body.as_bytes() => "byte for byte".to_owned(),
        None => "changed".to_owned(),
    }
}

/// The delivery id of the gateway's own answer.
fn delivery_id(answer: &Answer) -> Option<String> {
    if let Some(id) = answer.headers.get("x-hookward-delivery") {
        return id.to_str().ok().map(str::to_owned);
    }
    let value: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
    Some(value.get("delivery")?.as_str()?.to_owned())
}
