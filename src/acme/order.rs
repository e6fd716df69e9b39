//! One attempt: account, order, proofs, request, chain.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeHandle, ChallengeType, Identifier, KeyAuthorization, NewAccount, NewOrder,
    Order, OrderStatus, Problem, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::ClientConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;

use super::client::Authority;
use super::http::{Shown, Tokens};
use super::state::State;
use crate::edge::tls::{CertificateFault, CertificateStore, Proof};
use crate::policy::gateway_config::AcmeConfig;

/// The library waits so between two looks at an order: a quarter of a second at first, then twice as long each time; a minute in all.
const LOOKS: RetryPolicy = RetryPolicy::new().timeout(std::time::Duration::from_secs(60));

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum IssueFault {
    /// The authority, or the way to it.
    #[error("{0}")]
    Authority(#[from] instant_acme::Error),
    /// It does not take proofs of the kind that is configured.
    #[error("the authority takes no proof by {0} for {1}")]
    NotOffered(&'static str, String),
    /// It asks for a proof of something else.
    #[error("the authority asks for a proof of something that was not ordered")]
    Strange,
    /// A proof did not convince it.
    #[error("the authority refused the proof that {name} is ours: {why}")]
    Unproven {
        /// Of what.
        name: String,
        /// In the authority's words.
        why: String,
    },
    /// The order came to nothing, and nobody says why.
    #[error("the order was refused")]
    Refused,
    /// A key or a request could not be made.
    #[error("cannot make a key or a request: {0}")]
    Key(#[from] rcgen::Error),
    /// A proof cannot be shown.
    #[error("cannot show a proof: {0}")]
    Proof(#[from] rustls::Error),
    /// What was issued is no certificate.
    #[error("what was issued cannot be used: {0}")]
    Certificate(#[from] CertificateFault),
    /// What was issued is not for these names, or not for now.
    #[error("what was issued is not good now, or not for all of the domains")]
    Unusable,
    /// Something cannot be kept.
    #[error("cannot keep it: {0}")]
    State(#[source] io::Error),
    /// The account that is kept cannot be read; another one would take its place for good.
    #[error("cannot read the account {}: {source}", path.display())]
    Account {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It took too long.
    #[error("it took too long")]
    Slow,
}

/// How names are proven.
#[derive(Clone, Copy)]
pub(super) enum Proofs<'a> {
    Tls(&'a Arc<CertificateStore>),
    Http(&'a Arc<Tokens>),
}

/// A proof that stays until this is dropped.
enum Standing {
    Tls { _proof: Proof },
    Http { _shown: Shown },
}

/// Has a certificate issued for a new key, and hands out both as PEM.
pub(super) async fn issue(
    config: &AcmeConfig,
    state: &State,
    client: &Arc<ClientConfig>,
    proofs: Proofs<'_>,
) -> Result<String, IssueFault> {
    let account = account(config, state, client).await?;
    let identifiers: Vec<_> = config.domains.iter().map(|domain| Identifier::Dns(domain.clone())).collect();
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    let standing = prove(config, &mut order, proofs).await?;
    if order.poll_ready(&LOOKS).await? != OrderStatus::Ready {
        return Err(why(&mut order).await);
    }
    drop(standing);
    // A key for each certificate: an old one that leaked is worth nothing then.
    let key = KeyPair::generate()?;
    let mut request = CertificateParams::new(config.domains.clone())?;
    request.distinguished_name = DistinguishedName::new();
    order.finalize_csr(request.serialize_request(&key)?.der()).await?;
    let chain = order.poll_certificate(&LOOKS).await?;
    Ok(format!("{}{chain}", key.serialize_pem()))
}

/// The account that is kept, or a new one.
async fn account(config: &AcmeConfig, state: &State, client: &Arc<ClientConfig>) -> Result<Account, IssueFault> {
    let builder = Account::builder_with_http(Box::new(Authority::new(Arc::clone(client))));
    let unreadable = |source| IssueFault::Account { path: state.account_file().to_owned(), source };
    if let Some(credentials) = state.account().map_err(unreadable)? {
        return Ok(builder.from_credentials(credentials).await?);
    }
    let contact: Vec<_> = config.contact.iter().map(String::as_str).collect();
    let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let (account, credentials) = builder.create(&new, config.directory_url.clone(), None).await?;
    state.keep_account(&credentials).map_err(IssueFault::State)?;
    Ok(account)
}

/// Sets up every proof that the order wants and tells the authority to look.
async fn prove(config: &AcmeConfig, order: &mut Order, proofs: Proofs<'_>) -> Result<Vec<Standing>, IssueFault> {
    let mut standing = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let Identifier::Dns(name) = authorization.identifier().identifier.clone() else {
            return Err(IssueFault::Strange);
        };
        if !config.domains.contains(&name) {
            return Err(IssueFault::Strange);
        }
        match authorization.status {
            // It was proven a while ago.
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending
            | AuthorizationStatus::Invalid
            | AuthorizationStatus::Revoked
            | AuthorizationStatus::Expired
            | AuthorizationStatus::Deactivated => {}
        }
        let (kind, spelled) = match proofs {
            Proofs::Tls(_) => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
            Proofs::Http(_) => (ChallengeType::Http01, "http-01"),
        };
        let challenge = authorization.challenge(kind);
        let mut challenge = challenge.ok_or_else(|| IssueFault::NotOffered(spelled, name.clone()))?;
        standing.push(stand(&challenge, &name, proofs)?);
        challenge.set_ready().await?;
    }
    Ok(standing)
}

fn stand(challenge: &ChallengeHandle<'_>, name: &str, proofs: Proofs<'_>) -> Result<Standing, IssueFault> {
    let authorization = challenge.key_authorization();
    Ok(match proofs {
        Proofs::Tls(store) => Standing::Tls { _proof: handshake_proof(store, name, &authorization)? },
        Proofs::Http(tokens) => Standing::Http { _shown: tokens.show(&challenge.token, authorization.as_str()) },
    })
}

/// Shows the certificate that proves a name in a handshake (RFC 8737 §3).
fn handshake_proof(
    store: &Arc<CertificateStore>,
    name: &str,
    authorization: &KeyAuthorization,
) -> Result<Proof, IssueFault> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(authorization.digest().as_ref())];
    let certificate = params.self_signed(&key)?.der().clone();
    Ok(store.prove(name, certificate, &PrivatePkcs8KeyDer::from(key.serialize_der()).into())?)
}

/// What the authority has to say of an order that came to nothing.
async fn why(order: &mut Order) -> IssueFault {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if authorization.refresh().await.is_err() {
            continue;
        }
        let told = authorization.challenges.iter().find_map(|challenge| challenge.error.clone());
        if let Some(problem) = told {
            return IssueFault::Unproven { name: authorization.identifier().to_string(), why: in_short(&problem) };
        }
    }
    IssueFault::Refused
}

fn in_short(problem: &Problem) -> String {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    let kind = kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(kind);
    format!("{kind}: {}", problem.detail.as_deref().unwrap_or_default())
}
