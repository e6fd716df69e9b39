//! Who sent it: from the head of a request to a proof, which needs the body.
//!
//! The first half of a delivery's way, before anything is known of the sender.
//!
//! **Invariant:** no byte of a body is asked for before its head was found good.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;

use super::head::{check_host, coding, content_type, duplicated, has_no_content, reading, unread, unsupported};
use super::{
    Authenticated, Ended, HostMatch, Presentation, Presented, Purpose, Reading, Received, Routed, Sender, greet,
};
use crate::admit::permit::Permit;
use crate::auth::Head;
use crate::auth::authenticator::presents_nothing;
use crate::auth::certificate::ClientChain;
use crate::clock::UnixSeconds;
use crate::header::{self, Duplicated};
use crate::payload::coding::Coding;
use crate::policy::source::{Mode, SignedContent};
use crate::policy::{Policy, Source};
use crate::reason::Reason;
use crate::rejection::Rejection;

impl<'d> Routed<'d> {
    /// Finds the source of a request.
    ///
    /// # Errors
    /// `header_malformed`, `header_duplicated`, `host_mismatch`, `unknown_source`, `method_not_allowed`,
    /// `unsupported_media_type`, `content_encoding_refused`, in this order.
    pub fn find(policy: &'d Policy, head: &'d Parts, host: HostMatch) -> Result<Self, Rejection> {
        check_host(head)?;
        for name in [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LENGTH] {
            header::single(&head.headers, &name).map_err(|Duplicated| duplicated(&name))?;
        }
        if host == HostMatch::Misdirected {
            return Err(Reason::HostMismatch.into());
        }
        let source = policy.route(head.uri.path()).ok_or(Reason::UnknownSource)?;
        for name in &source.single_headers {
            header::single(&head.headers, name).map_err(|Duplicated| duplicated(name))?;
        }
        let purpose = if source.methods.contains(&head.method) { Purpose::Delivery } else { Purpose::Handshake };
        if purpose == Purpose::Handshake && !source.handshakes.takes(&head.method) {
            return Err(Rejection::new(Reason::MethodNotAllowed).fact("allowed", source.allowed()));
        }
        let content_type = content_type(head)?;
        if purpose == Purpose::Handshake {
            return Ok(Self { source, head, reading: Reading::Not, coding: None, purpose });
        }
        if !source.content_types.contains(content_type.media_type()) && !has_no_content(head) {
            return Err(unsupported(content_type));
        }
        let coding = coding(source, head)?;
        let reading = match reading(source, content_type) {
            // A schema that some requests slip past would be no schema.
            Reading::Refused(_) if has_no_content(head) && !source.reads_payload() => Reading::Not,
            reading @ (Reading::Not | Reading::As(_) | Reading::Refused(_)) => reading,
        };
        if let Reading::Refused(why) = reading
            && !source.handshakes.has_some_without_proof()
        {
            return Err(unread(content_type, why));
        }
        Ok(Self { source, head, reading, coding, purpose })
    }

    /// The source.
    #[must_use]
    pub const fn source(&self) -> &'d Source {
        self.source
    }

    /// Reads the credential from the head; no byte of the body is buffered for a request without one.
    ///
    /// # Errors
    /// `credential_*` and `timestamp_*` as far as they can be told without the body; `unsupported_media_type` where a handshake might have had
    /// this media type.
    pub fn present(self, permit: Permit, now: UnixSeconds) -> Result<Presented<'d>, Rejection> {
        if let Reading::Refused(why) = self.reading {
            return Err(unread(content_type(self.head)?, why));
        }
        let credential = match &self.source.authenticator {
            Some(authenticator) => match authenticator.read(self.auth_head(), self.client_chain(), now) {
                Ok(credentials) => Presentation::Credentials(credentials),
                Err(fault) if presents_nothing(fault.reason()) && self.may_be_met_later() => {
                    match self.admit_stranger(now) {
                        Ok(()) => Presentation::Missing(fault),
                        Err(fault) => self.refute(fault)?,
                    }
                }
                Err(fault) => self.refute(fault)?,
            },
            None => Presentation::Unasked,
        };
        Ok(Presented { routed: self, permit, credential })
    }

    /// A request that cannot be authentic ends here, unless that is only monitored.
    fn refute(&self, fault: Rejection) -> Result<Presentation<'d>, Rejection> {
        match self.source.modes.auth {
            Mode::Enforce => Err(fault),
            Mode::Monitor => Ok(Presentation::Refuted(fault)),
        }
    }

    /// The body without its coding, if it has one.
    pub(super) fn decoded(&self, body: Bytes, body_bytes_max: usize) -> Result<Bytes, Rejection> {
        let Some(coding) = self.coding else { return Ok(body) };
        let decoded = coding.decoded(&body, body_bytes_max)?;
        if decoded.is_empty() && self.reading != Reading::Not { Err(Reason::BodyEmpty.into()) } else { Ok(decoded) }
    }

    /// What the connection showed in its handshake; the edge puts it to the request.
    pub(super) fn client_chain(&self) -> Option<&'d ClientChain> {
        self.head.extensions.get::<Arc<ClientChain>>().map(|chain| &**chain)
    }

    pub(super) fn auth_head(&self) -> Head<'d> {
        Head {
            method: &self.head.method,
            uri: &self.head.uri,
            headers: &self.head.headers,
            public_url: self.source.public_url.as_deref(),
        }
    }
}

impl<'d> Presented<'d> {
    /// The longest body this delivery may have, in bytes; less where nothing was presented.
    #[must_use]
    pub fn body_bytes_max(&self) -> usize {
        let of_source = self.routed.source.body_bytes_max;
        match self.credential {
            Presentation::Missing(_) if self.routed.source.modes.auth == Mode::Enforce => {
                of_source.min(CHALLENGE_BODY_BYTES_MAX)
            }
            Presentation::Missing(_)
            | Presentation::Refuted(_)
            | Presentation::Credentials(_)
            | Presentation::Unasked => of_source,
        }
    }

    /// How many bytes a received body of so many may take besides, in bytes: where it is compressed.
    #[must_use]
    pub fn decoded_bytes_max(&self, received: usize) -> usize {
        self.routed.coding.map_or(0, |_| Coding::decoded_bytes_max(received, self.body_bytes_max()))
    }

    /// Takes the whole body, decoded if the sender's proof covers it so.
    ///
    /// # Errors
    /// `body_too_large`; `body_empty` where the payload is read; `decoding_failed`.
    pub fn receive(mut self, mut body: Bytes) -> Result<Received<'d>, Rejection> {
        if body.len() > self.body_bytes_max() {
            return Err(Rejection::new(Reason::BodyTooLarge).fact("body_bytes_max", self.body_bytes_max()));
        }
        if !body.is_empty() && has_no_content(self.routed.head) {
            return Err(Rejection::new(Reason::UnsupportedMediaType).fact("content_type", ""));
        }
        if body.is_empty() && self.routed.reading != Reading::Not {
            return Err(Reason::BodyEmpty.into());
        }
        if self.routed.source.signed_content == SignedContent::Decoded {
            let body_bytes_max = self.body_bytes_max();
            body = self.routed.decoded(body, body_bytes_max)?;
            self.routed.coding = None;
        }
        Ok(Received { presented: self, body })
    }
}

impl<'d> Received<'d> {
    /// The body as received.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// Proves who sent it.
    ///
    /// # Errors
    /// `credential_mismatch`, `secret_expired`, and what [`Routed::present`] answers where the credential stands in the body; the answer to a
    /// handshake that the body makes of it.
    pub fn authenticate(self, now: UnixSeconds) -> Result<Authenticated<'d>, Ended> {
        let Presented { routed, permit, credential } = self.presented;
        let mut monitored = Vec::new();
        let mut doubt = |fault: Rejection| {
            routed.source.modes.auth.judge(fault, &mut monitored)?;
            Ok::<_, Rejection>(Sender::Unproven)
        };
        let sender = match (credential, &routed.source.authenticator) {
            (Presentation::Credentials(credentials), Some(_)) => match credentials.verify(&self.body, now) {
                Ok(proof) => Sender::Proven(proof),
                Err(fault) => doubt(fault)?,
            },
            (Presentation::Missing(fault), _) => {
                greet::meet(&routed, &self.body, now)?;
                doubt(fault)?
            }
            (Presentation::Refuted(fault), _) => doubt(fault)?,
            (Presentation::Credentials(_), None) => return Err(Reason::CredentialMismatch.into()),
            (Presentation::Unasked, Some(_)) => return Err(Reason::CredentialMissing.into()),
            // The policy says `provider = "none"` and why.
            (Presentation::Unasked, None) => Sender::Unasked,
        };
        Ok(Authenticated { routed, permit, body: self.body, sender, at: now, monitored })
    }
}

/// The longest body that is read of a request without a credential, where it may be a handshake, in bytes.
const CHALLENGE_BODY_BYTES_MAX: usize = 16 * 1024;
