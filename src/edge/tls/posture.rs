//! What is spoken: versions, cipher suites and key exchange groups.
//!
//! Everything here is forward secret, with authenticated encryption. Of suites the gateway's order counts; of groups the library takes the first of the
//! client's list that is ours, which is the hybrid for all that prefer it. The order of suites and the names of the two profiles are Mozilla's ("Server Side
//! TLS", version 5.7).
//!
//! **Invariant:** what is not listed here is not spoken, whatever the library's defaults become.

use rustls::SupportedProtocolVersion;
use rustls::crypto::aws_lc_rs::{self, cipher_suite as suite, kx_group as group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::version::{TLS12, TLS13};

use crate::policy::gateway_config::TlsProfile;

/// The hybrid with ML-KEM first: what it protects stays secret from those who record today and have a quantum computer later.
static GROUPS: [&dyn SupportedKxGroup; 4] = [group::X25519MLKEM768, group::X25519, group::SECP256R1, group::SECP384R1];

static INTERMEDIATE: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
static MODERN: [&SupportedProtocolVersion; 1] = [&TLS13];

/// The versions of a profile.
pub(super) fn versions(profile: TlsProfile) -> &'static [&'static SupportedProtocolVersion] {
    match profile {
        TlsProfile::Intermediate => &INTERMEDIATE,
        TlsProfile::Modern => &MODERN,
    }
}

/// The suites and groups of every profile; suites of a version that a profile does not have lie idle.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            suite::TLS13_AES_128_GCM_SHA256,
            suite::TLS13_AES_256_GCM_SHA384,
            suite::TLS13_CHACHA20_POLY1305_SHA256,
            suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: GROUPS.to_vec(),
        ..aws_lc_rs::default_provider()
    }
}
