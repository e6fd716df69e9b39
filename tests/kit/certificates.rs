//! RSA keys and certificates, made here.

#![allow(dead_code, reason = "shared by several test binaries, not all of which use all of it")]

use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, PKCS_RSA_SHA256};

/// The key of a provider; all certificates here are of it.
pub(crate) static PROVIDER: LazyLock<KeyPair> = LazyLock::new(rsa);

/// An authority, one between it and the provider, and one that nobody trusts.
pub(crate) static ROOT: LazyLock<Authority> = LazyLock::new(|| Authority::new("Root", None));
pub(crate) static BETWEEN: LazyLock<Authority> = LazyLock::new(|| Authority::new("Between", Some(&ROOT)));
pub(crate) static STRANGER: LazyLock<Authority> = LazyLock::new(|| Authority::new("Stranger", None));

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// What a certificate is to say.
pub(crate) struct Wanted {
    pub(crate) common_name: &'static str,
    pub(crate) alternative_names: &'static [&'static str],
    /// The first and the last year.
    pub(crate) years: (i32, i32),
}

impl Authority {
    fn new(name: &str, above: Option<&Authority>) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = named(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = match above {
            Some(above) => params.signed_by(&key, &above.issuer),
            None => params.self_signed(&key),
        };
        let pem = certificate.unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate of the provider's key, in PEM.
    pub(crate) fn certify(&self, wanted: &Wanted) -> String {
        let mut params = named(wanted.common_name, wanted.alternative_names);
        (params.not_before, params.not_after) =
            (rcgen::date_time_ymd(wanted.years.0, 1, 1), rcgen::date_time_ymd(wanted.years.1, 1, 1));
        params.is_ca = IsCa::ExplicitNoCa;
        params.signed_by(&*PROVIDER, &self.issuer).unwrap().pem()
    }
}

fn named(common_name: &str, alternative_names: &[&str]) -> CertificateParams {
    let names: Vec<String> = alternative_names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "x.paypal.com");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

pub(crate) fn rsa() -> KeyPair {
    KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap()
}

/// The signature of a text with SHA-256, in base64.
pub(crate) fn sign(key: &KeyPair, text: &str) -> String {
    let pair = RsaKeyPair::from_pkcs8(key.serialized_der()).unwrap();
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
    STANDARD.encode(signature)
}
