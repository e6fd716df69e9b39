//! Proofs that a name is ours, shown in a handshake (TLS-ALPN-01, RFC 8737).
//!
//! An authority connects, offers the one protocol `acme-tls/1` and the name in SNI, and looks at the certificate that it gets. The protocol is spoken only
//! while a proof is pending, and only for its name; such a connection ends behind its handshake.
//!
//! **Invariant:** a certificate made for a proof is shown to nobody who asks for anything else, and no other to who asks for a proof.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;

/// The protocol of such a handshake.
pub const PROTOCOL: &[u8] = b"acme-tls/1";

/// The certificates of proofs that are pending, by name in lower case.
#[derive(Debug, Default)]
pub(super) struct Proofs(ArcSwap<HashMap<Box<str>, Arc<CertifiedKey>>>);

impl Proofs {
    pub(super) fn insert(&self, name: &str, key: &Arc<CertifiedKey>) {
        self.0.rcu(|proofs| {
            let mut proofs = HashMap::clone(proofs);
            proofs.insert(name.into(), Arc::clone(key));
            proofs
        });
    }

    pub(super) fn remove(&self, name: &str) {
        self.0.rcu(|proofs| {
            let mut proofs = HashMap::clone(proofs);
            proofs.remove(name);
            proofs
        });
    }

    /// Whether an authority may be expected.
    pub(super) fn are_pending(&self) -> bool {
        !self.0.load().is_empty()
    }

    pub(super) fn of(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.0.load().get(&*name.to_ascii_lowercase()).cloned()
    }
}

/// Whether a client asks for a proof, and for nothing else.
pub(super) fn is_asked(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|protocols| protocols.eq([PROTOCOL]))
}
