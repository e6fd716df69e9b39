//! What these tests share: authorities, a gateway with a source that wants a certificate, clients that show one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hookward::policy::preset;
use http::{HeaderMap, HeaderName};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, SupportedProtocolVersion};

use crate::live::{Answer, App, Connection, Delivery, Hello, NOW, Running, Say, eventually};

pub(crate) const HOUR: i64 = 3600;

/// Certificates alone, with a name and without, and with a signature.
pub(crate) const CERTIFICATE: &str = "client_certificate = { ca = \"partner.pem\" }";
pub(crate) const NAMED: &str =
    "client_certificate = { ca = \"partner.pem\", names = [\"other.example\", \"hooks.partner.example\"] }";
pub(crate) const GITHUB: &str = "provider = \"github\"\nsecrets = [{ id = \"g\", env = \"GITHUB\" }]";

pub(crate) type Issuer = CertifiedIssuer<'static, KeyPair>;

/// An authority called so.
pub(crate) fn authority(name: &str) -> Issuer {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// An authority that another one vouches for.
pub(crate) fn below(name: &str, above: &Issuer) -> Issuer {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), above).unwrap()
}

/// What a client shows: its chain, and its key.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: Arc<PrivateKeyDer<'static>>,
}

/// What is said in a client's certificate.
pub(crate) struct Claims<'c> {
    pub(crate) names: &'c [&'c str],
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) usage: ExtendedKeyUsagePurpose,
}

impl Claims<'_> {
    pub(crate) fn good() -> Self {
        Self {
            names: &["hooks.partner.example"],
            from: NOW - HOUR,
            to: NOW + HOUR,
            usage: ExtendedKeyUsagePurpose::ClientAuth,
        }
    }

    pub(crate) fn by(self, issuer: &Issuer) -> Identity {
        let names: Vec<_> = self.names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        let at = |seconds: i64| std::time::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap());
        (params.not_before, params.not_after) = (at(self.from).into(), at(self.to).into());
        params.extended_key_usages = vec![self.usage];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Identity { chain: vec![certificate.der().clone()], key: Arc::new(key) }
    }
}

/// `[auth]` with these methods.
pub(crate) fn auth(combine: &str, methods: &[&str]) -> String {
    match methods {
        [one] => format!("[auth]\n{one}"),
        several => {
            let methods = several.join("\n[[auth.method]]\n");
            format!("[auth]\ncombine = \"{combine}\"\n[[auth.method]]\n{methods}\n")
        }
    }
}

/// A running gateway with two sources, `/hooks/partner` and, with a signature alone, `/hooks/plain`.
pub(crate) struct House {
    pub(crate) gateway: Running,
    /// Answers with the id of the secret that proved the delivery.
    app: App,
}

impl House {
    pub(crate) fn start(partner: &Issuer, auth: &str) -> Self {
        let app = App::saying(|taken| Say::status(200, taken.header("x-hookward-secret-id").unwrap_or_default()));
        let files = policies(&partner.pem(), auth, app.address);
        let house = files.iter().fold(crate::live::House::new(), |house, (name, text)| house.file(name, text));
        Self { gateway: house.start(), app }
    }

    /// Puts another policy in force.
    pub(crate) fn reload(&self, partner: &Issuer, auth: &str) {
        let files = policies(&partner.pem(), auth, self.app.address);
        self.gateway.reload(&files.each_ref().map(|(name, text)| (*name, text.as_str()))).unwrap();
    }

    /// A client that shows this, and remembers its sessions.
    pub(crate) fn client(
        &self,
        identity: Option<&Identity>,
        version: &'static SupportedProtocolVersion,
    ) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(self.gateway.roots().clone());
        Arc::new(match identity {
            Some(Identity { chain, key }) => builder.with_client_auth_cert(chain.clone(), key.clone_key()).unwrap(),
            None => builder.with_no_client_auth(),
        })
    }

    pub(crate) fn connect(&self, config: &Arc<ClientConfig>) -> Connection {
        Hello::new(&self.gateway).connect_with(Arc::clone(config)).unwrap()
    }

    /// What becomes of a delivery on a connection of its own.
    pub(crate) fn verdict(&self, identity: Option<&Identity>, shows: Shows) -> String {
        let config = self.client(identity, &rustls::version::TLS13);
        self.judged(&self.connect(&config).send(&delivery("/hooks/partner", shows)))
    }

    /// `200 SECRET`, or the reason and what stands in the record.
    pub(crate) fn judged(&self, answer: &Answer) -> String {
        if answer.status == 200 {
            return format!("200 {}", answer.text());
        }
        assert_eq!(answer.status, 401, "{answer:?}");
        let record = self.record(answer);
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let (reason, flaw) = (text(&record["reason"]), text(&record["detail"]["certificate"]));
        if flaw.is_empty() { reason } else { format!("{reason}: {flaw}") }
    }

    /// The record of a refusal.
    pub(crate) fn record(&self, answer: &Answer) -> serde_json::Value {
        let id = answer.delivery().unwrap();
        eventually("the record of a refusal", || {
            let text = self.gateway.rejected_text();
            let mut records = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
            records.find(|record| record["delivery"] == id)
        })
    }
}

/// The files of the policies' folder.
pub(crate) fn policies(ca: &str, auth: &str, app: SocketAddr) -> [(&'static str, String); 3] {
    let source = |path: &str, auth: &str| format!("path = \"{path}\"\n{auth}\n[forward]\nto = \"http://{app}/\"\n");
    [
        ("partner.pem", ca.to_owned()),
        ("partner.toml", source("/hooks/partner", auth)),
        ("plain.toml", source("/hooks/plain", &format!("[auth]\n{GITHUB}"))),
    ]
}

/// How two methods are combined, which, what a client shows, and what becomes of it.
pub(crate) type Row<'r> = (&'r str, [&'r str; 2], Option<&'r Identity>, Shows, &'r str);

/// Whether a delivery is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shows {
    Nothing,
    Signature,
    BadSignature,
}

pub(crate) fn delivery(path: &str, shows: Shows) -> Delivery {
    let bare = Delivery::post(path, "{}");
    match shows {
        Shows::Nothing => bare,
        Shows::Signature => bare.signed("github", "GITHUB"),
        Shows::BadSignature => {
            bare.signed_by(&preset::find("github").unwrap().signing.schemes()[0], "somebody-elses-secret", NOW)
        }
    }
}

/// The header fields of a delivery.
pub(crate) fn headers(delivery: &Delivery) -> HeaderMap {
    let fields = delivery.headers.iter();
    fields.map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())).collect()
}
