//! The decision: whether one of a source's keys made the credential.
//!
//! **Invariant:** a [`Proof`] is made here and nowhere else, after a comparison in constant time over the algorithm's whole length, or by the
//! library's own verification of a signature or of a certificate's chain, and after every side condition held.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::certificate::{self, Holder};
use super::code::{Code, Found};
use super::confirmation::Confirmation;
use super::credential::{self, Credential, Evidence, OneOrMore, Presented, Timestamp, list_view};
use super::handshake::is_challenge;
use super::key::{Key, KeyFault, Mac64, Material, NamedSecret};
use super::place::{Body, Head, View};
use super::scheme::{Algorithm, Scheme};
use super::template::{Filling, Filter, Signer};
use super::token::{Claims, Payload};
use crate::clock::UnixSeconds;
use crate::payload::{Document, JsonLimits};
use crate::reason::Reason;
use crate::rejection::{Fact, Rejection};

/// How a source's senders prove themselves, with its keys, ready to judge. Immutable; shared by every delivery of the source.
#[derive(Debug)]
pub struct Verifier {
    name: Box<str>,
    method: Method,
    challenges: Challenges,
    /// How large JSON may be in which a credential is looked for.
    json: JsonLimits,
    /// As they were configured: diagnosis reads them in other ways, when it has to. Copies of keys for every way would be kept for nothing.
    secrets: Box<[NamedSecret]>,
}

/// Whether the source's keys also sign what strangers ask for in a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenges {
    /// They sign deliveries alone.
    None,
    /// They sign short words for whoever asks; no delivery may be one.
    Signed,
}

#[derive(Debug)]
enum Method {
    /// By data: the first scheme that a request is for.
    Schemes(Vec<Keyed>),
    /// By a file of `auth/code`.
    Code(Box<dyn Code>),
}

/// A scheme with the keys that are made for it.
#[derive(Debug)]
struct Keyed {
    scheme: Scheme,
    keys: Vec<Key>,
}

/// That a delivery was made by somebody who has a key of the source. Only [`Verifier::verify`] makes it, or a [`Holder`].
#[must_use = "a proof is what the next stage demands"]
#[derive(Debug)]
pub struct Proof<'d> {
    scheme: &'d str,
    secret_id: Cow<'d, str>,
    signed_at_millis: Option<i64>,
    fresh_for: Option<Duration>,
    digests: Option<OneOrMore<SignedDigest>>,
    claims: Option<Box<Document>>,
}

/// What was signed, as 32 bytes that do not depend on how the signature was spelled or which secret matched.
pub type SignedDigest = [u8; 32];

impl Verifier {
    /// Prepares the keys of a source. `name` is the preset's name, or `custom`; of several schemes, the first that a request is for counts.
    ///
    /// # Errors
    /// [`KeyFault`] for the first secret or key that is not spelled as a scheme wants it.
    pub fn new(name: &str, schemes: &[Scheme], secrets: &[NamedSecret]) -> Result<Self, KeyFault> {
        let keyed = schemes.iter().map(|scheme| {
            let keys = secrets.iter().filter_map(|secret| Key::new(scheme, secret).transpose());
            Ok(Keyed { scheme: scheme.clone(), keys: keys.collect::<Result<_, _>>()? })
        });
        let method = Method::Schemes(keyed.collect::<Result<_, _>>()?);
        Ok(Self { secrets: secrets.into(), ..Self::of_method(name, method) })
    }

    fn of_method(name: &str, method: Method) -> Self {
        let (challenges, json) = (Challenges::None, JsonLimits::default());
        Self { name: name.into(), method, challenges, json, secrets: Box::default() }
    }

    /// The same for a source that takes JSON of this size.
    #[must_use]
    pub fn within(self, json: JsonLimits) -> Self {
        Self { json, ..self }
    }

    /// The same for a source whose handshakes get something signed, or not.
    #[must_use]
    pub fn with_challenges(self, challenges: Challenges) -> Self {
        Self { challenges, ..self }
    }

    /// A way to prove that only code can say.
    #[must_use]
    pub fn of_code(name: &str, code: Box<dyn Code>) -> Self {
        Self::of_method(name, Method::Code(code))
    }

    /// What the head presents for this source.
    ///
    /// # Errors
    /// The `credential_*` and `timestamp_*` reasons that can be told without the body.
    pub fn read<'d>(&'d self, head: Head<'d>, now: UnixSeconds) -> Result<Credential<'d>, Rejection> {
        let view = View::of_head(head);
        let schemes = match &self.method {
            Method::Code(code) => {
                code.present(head, now)?;
                return Ok(Credential { head, scheme: 0, presented: None });
            }
            Method::Schemes(schemes) => schemes,
        };
        let is_for = |keyed: &Keyed| keyed.scheme.when.iter().all(|condition| condition.holds(&view));
        let position = schemes.iter().position(is_for).ok_or_else(|| {
            let whens = schemes.iter().map(|keyed| describe_when(&keyed.scheme));
            Rejection::new(Reason::CredentialMissing).fact("expected", whens.collect::<Vec<_>>().join(" or "))
        })?;
        let scheme = &schemes[position].scheme;
        let presented = if scheme.credential.is_in_body() { None } else { Some(credential::read(scheme, &view, now)?) };
        Ok(Credential { head, scheme: position, presented })
    }

    /// Whether a key of the source made this credential, which [`Verifier::read`] found, over this body.
    ///
    /// Every live key is tried; each MAC is compared in constant time over its whole fixed length.
    ///
    /// # Errors
    /// `credential_mismatch`; `secret_expired` if only an expired secret fits. Where the scheme looks into the body, also what
    /// [`Verifier::read`] may answer.
    pub fn verify<'d>(
        &'d self,
        credential: Credential<'d>,
        body: &Bytes,
        now: UnixSeconds,
    ) -> Result<Proof<'d>, Rejection> {
        let Credential { head, scheme, presented } = credential;
        let body = Body::new(body, head.headers).within(self.json);
        let view = View::of_head(head).with_body(&body);
        let keyed = match &self.method {
            Method::Code(code) => return Ok(Proof::of_code(&self.name, code.verify(&view, now)?, now)),
            Method::Schemes(schemes) => schemes.get(scheme).ok_or(Reason::CredentialMismatch)?,
        };
        let presented = keyed.presented(presented, &view, now)?;
        require_no_stray_body(&keyed.scheme, &head, &body)?;
        let Fitting { key, digests, requirements } = keyed.prove(&presented, &view, self.challenges, now)?;
        Ok(Proof {
            scheme: &self.name,
            secret_id: Cow::Borrowed(&key.id),
            signed_at_millis: requirements.signed_at_millis,
            fresh_for: fresh_for(requirements.stale_from, now),
            digests: digests.map(|digests| digests.map(|digest| keyed.bound(digest, &body))),
            claims: requirements.claims,
        })
    }

    /// The schemes it judges by; none where code does.
    pub fn schemes(&self) -> impl Iterator<Item = &Scheme> {
        match &self.method {
            Method::Schemes(schemes) => schemes.as_slice(),
            Method::Code(_) => &[],
        }
        .iter()
        .map(|keyed| &keyed.scheme)
    }

    /// The names of RSA keys that are shorter than they should be today.
    pub fn short_keys(&self) -> impl Iterator<Item = &str> {
        let keyed = match &self.method {
            Method::Schemes(schemes) => schemes.as_slice(),
            Method::Code(_) => &[],
        };
        let keys = keyed.iter().flat_map(|keyed| &keyed.keys);
        keys.filter(|key| key.material.is_short_rsa()).map(|key| &*key.id)
    }

    /// Whether something stands where a credential of this request would, as far as the view reaches; code tells it by its fault alone.
    pub(super) fn is_presented(&self, view: &View<'_>, fault: &Rejection) -> bool {
        let schemes = match &self.method {
            Method::Schemes(schemes) => schemes,
            Method::Code(_) => return fault.reason() != Reason::CredentialMissing,
        };
        let is_for = |keyed: &&Keyed| keyed.scheme.when.iter().all(|condition| condition.holds(view));
        schemes.iter().filter(is_for).any(|Keyed { scheme, .. }| match scheme.credential.read_all(view) {
            Ok(texts) => texts.iter().any(|text| !text.is_empty()),
            // `Basic …` is no bearer token that is spelled badly.
            Err(_) => !scheme.credential.is_other_authorization(view.head.headers),
        })
    }

    /// The first secret that is in force: one whose time is over is the provider's no more, and what it signs proves nothing to anybody.
    #[must_use]
    pub fn challenge_key(&self, now: UnixSeconds) -> Option<ChallengeKey<'_>> {
        let keys = match &self.method {
            Method::Schemes(schemes) => &schemes.first()?.keys,
            Method::Code(_) => return None,
        };
        keys.iter().find(|key| key.is_live(now)).map(ChallengeKey)
    }

    /// The visit that confirms a subscription, see [`Code::confirmation`]; nothing that schemes can say asks for one.
    pub(super) fn confirmation(&self, url: &str, view: &View<'_>) -> Result<Confirmation, Rejection> {
        match &self.method {
            Method::Schemes(_) => Err(Reason::HandshakeRefused.into()),
            Method::Code(code) => code.confirmation(url, view),
        }
    }

    /// The preset's name, or `custom`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The secrets and keys as they were configured, for diagnosis; none where code judges.
    pub(super) fn secrets(&self) -> &[NamedSecret] {
        &self.secrets
    }

    /// How large JSON may be in which it looks for a credential.
    pub(super) const fn json(&self) -> JsonLimits {
        self.json
    }
}

fn describe_when(scheme: &Scheme) -> String {
    scheme.when.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

/// The secret that answers to challenges are signed with. Only [`Verifier::challenge_key`] chooses it.
#[derive(Debug, Clone, Copy)]
pub struct ChallengeKey<'k>(&'k Key);

impl Signer for ChallengeKey<'_> {
    fn mac(&self, filter: &Filter, message: &[u8]) -> Option<Vec<u8>> {
        let material = &self.0.material;
        match (filter, material) {
            (Filter::HmacSha1, Material::HmacSha1(_)) | (Filter::HmacSha256, Material::HmacSha256(_)) => {
                material.mac_bytes(message)
            }
            (_, _) => None,
        }
    }
}

/// For how long what was signed is still taken.
fn fresh_for(stale_from: Option<UnixSeconds>, now: UnixSeconds) -> Option<Duration> {
    stale_from.and_then(|stale_from| u64::try_from(stale_from.saturating_sub(now)).ok()).map(Duration::from_secs)
}

/// Values of the body that the signed text names: the head was looked at before.
fn require_of_body(scheme: &Scheme, view: &View<'_>) -> Result<(), Rejection> {
    scheme
        .signed
        .require_in_body(view)
        .map_err(|missing| Rejection::new(Reason::CredentialMissing).fact("expected", missing.what))
}

/// A GET says all in its URL. Where that alone is signed, a body was put there by somebody else.
fn require_no_stray_body(scheme: &Scheme, head: &Head<'_>, body: &Body<'_>) -> Result<(), Rejection> {
    if *head.method == http::Method::GET && !body.bytes().is_empty() && !scheme.is_static() && !scheme.covers_body() {
        return Err(
            Rejection::new(Reason::CredentialMismatch).fact("found", "a body, which the signature does not cover")
        );
    }
    Ok(())
}

/// What became of one group of signatures.
enum Outcome<'k> {
    Fits(Fitting<'k>),
    Expired(&'k Key),
    Mismatch,
}

/// A live key that made a group of signatures, what it signed, and what held besides.
struct Fitting<'k> {
    key: &'k Key,
    digests: Option<OneOrMore<SignedDigest>>,
    requirements: Met,
}

/// What was learnt while side conditions were checked.
struct Met {
    signed_at_millis: Option<i64>,
    stale_from: Option<UnixSeconds>,
    claims: Option<Box<Document>>,
}

/// What a key found of a credential.
enum Match {
    /// It is a MAC under this key: this one.
    Mac(Mac64),
    /// It is a static secret.
    Secret,
    /// It is a signature over this text.
    Signature(Vec<u8>),
}

impl Keyed {
    /// All that a request presents for the scheme: what its head told, as far as the body has what belongs to it; else what the body tells.
    fn presented<'d>(
        &'d self,
        of_head: Option<OneOrMore<Presented<'d>>>,
        view: &View<'d>,
        now: UnixSeconds,
    ) -> Result<OneOrMore<Presented<'d>>, Rejection> {
        let Some(presented) = of_head else { return credential::read(&self.scheme, view, now) };
        require_of_body(&self.scheme, view)?;
        Ok(presented)
    }

    /// The live key that made the first group of signatures that fits.
    fn prove(
        &self,
        presented: &OneOrMore<Presented<'_>>,
        view: &View<'_>,
        challenges: Challenges,
        now: UnixSeconds,
    ) -> Result<Fitting<'_>, Rejection> {
        let mut expired = None;
        let mut groups = presented.iter();
        while let Some(group) = groups.next() {
            match self.judge(group, view, now)? {
                Outcome::Fits(_) if challenges == Challenges::Signed && self.is_challenge(group, view) => {
                    return Err(Rejection::new(Reason::CredentialMismatch).fact("found", "a challenge, not a delivery"));
                }
                Outcome::Fits(fitting) => return Ok(self.join(fitting, groups, view, now)),
                Outcome::Expired(key) => expired = Some(key),
                Outcome::Mismatch => {}
            }
        }
        Err(self.refusal(expired))
    }

    /// The same with what the other groups prove: that is the same delivery, also for whoever takes this group away.
    fn join<'k, 'g>(
        &self,
        mut fitting: Fitting<'k>,
        others: impl Iterator<Item = &'g Presented<'g>>,
        view: &View<'_>,
        now: UnixSeconds,
    ) -> Fitting<'k> {
        let Fitting { digests: Some(digests), requirements, .. } = &mut fitting else { return fitting };
        for other in others {
            if let Ok(Outcome::Fits(also)) = self.judge(other, view, now) {
                digests.more.extend(also.digests.iter().flat_map(OneOrMore::iter));
                requirements.stale_from = requirements.stale_from.max(also.requirements.stale_from);
            }
        }
        fitting
    }

    /// Why no group fitted: the secret that would have, had it not expired, or none.
    fn refusal(&self, expired: Option<&Key>) -> Rejection {
        if let Some(key) = expired {
            return Rejection::new(Reason::SecretExpired).fact("secret", key.id.to_string());
        }
        let ids = self.keys.iter().map(|key| key.id.to_string().into()).collect();
        Rejection::new(Reason::CredentialMismatch).fact("secrets_tried", Fact::List(ids))
    }

    fn judge<'k>(&'k self, group: &Presented<'_>, view: &View<'_>, now: UnixSeconds) -> Result<Outcome<'k>, Rejection> {
        let view = list_view(&self.scheme, view, group.list.as_deref());
        let timestamp = group.timestamp.as_ref().map(|timestamp| &*timestamp.text);
        let filling = Filling { timestamp, ..Filling::of(view) };
        let signed = SignedText::of(&self.scheme, &group.evidence, &filling);
        let fits = |key: &&Key| self.fits(key, &group.evidence, &filling, &signed);
        let live = self.candidates(&group.evidence).filter(|key| key.is_live(now));
        for key in live {
            let Some(found) = fits(&key) else { continue };
            let requirements = self.require(group, &filling, now)?;
            let digests = self.digests(key, found, &filling);
            return Ok(Outcome::Fits(Fitting { key, digests, requirements }));
        }
        let mut expired = self.candidates(&group.evidence).filter(|key| !key.is_live(now));
        let found = expired.find(|key| fits(key).is_some());
        Ok(found.map_or(Outcome::Mismatch, Outcome::Expired))
    }

    /// Whether the signed text is one that a handshake would have signed for anybody.
    fn is_challenge(&self, group: &Presented<'_>, view: &View<'_>) -> bool {
        let view = list_view(&self.scheme, view, group.list.as_deref());
        let timestamp = group.timestamp.as_ref().map(|timestamp| &*timestamp.text);
        is_challenge(&self.scheme.signed.fill(&Filling { timestamp, ..Filling::of(view) }))
    }

    /// The keys that may have made it: all, or the one of the id that a token names. A public key that a token names and the policy has not is
    /// somebody else's.
    fn candidates<'k, 'e>(&'k self, evidence: &'e Evidence<'_>) -> impl Iterator<Item = &'k Key> + use<'k, 'e> {
        let named = match evidence {
            Evidence::Token(token) if self.scheme.has_public_keys() => token.key_id(),
            Evidence::Macs(_) | Evidence::Signatures(_) | Evidence::Secrets(_) | Evidence::Token(_) => None,
        };
        self.keys.iter().filter(move |key| named.is_none_or(|named| *key.id == *named))
    }

    fn fits(&self, key: &Key, evidence: &Evidence<'_>, filling: &Filling<'_>, signed: &SignedText) -> Option<Match> {
        match (&key.material, evidence) {
            (Material::Static(secret), Evidence::Secrets(secrets)) => {
                let fits = |presented: &[u8]| <[u8; 32]>::from(Sha256::digest(presented)).ct_eq(secret);
                let all = secrets.more.iter().fold(fits(&secrets.first), |all, one| all & fits(one));
                bool::from(all).then_some(Match::Secret)
            }
            (Material::Public(key), Evidence::Signatures(signatures)) => {
                let text = signed.0.as_ref()?;
                let mut signatures = signatures.iter();
                signatures.find(|signature| key.verify_sig(text, signature).is_ok())?;
                Some(Match::Signature(text.clone()))
            }
            (material @ Material::Token(_), Evidence::Token(token)) => {
                let text = signed.0.as_ref()?;
                token.fits(material, text).then(|| Match::Signature(text.clone()))
            }
            (material, Evidence::Macs(macs)) => {
                let mac = material.mac(&self.scheme.signed, filling)?;
                let any = macs.more.iter().fold(macs.first.ct_eq(&mac), |any, one| any | one.ct_eq(&mac));
                bool::from(any).then_some(Match::Mac(mac))
            }
            (_, _) => None,
        }
    }

    /// What has to hold besides the signature, which fits: side conditions, claims, a timestamp inside of the body.
    fn require(&self, group: &Presented<'_>, filling: &Filling<'_>, now: UnixSeconds) -> Result<Met, Rejection> {
        let scheme = &self.scheme;
        let mut signed_at = group.timestamp.as_ref().map(|timestamp| timestamp.unix_millis);
        if let Some(rule) = scheme.timestamp.as_ref().filter(|_| scheme.judges_time_last()) {
            signed_at = Some(Timestamp::read(rule, &filling.view, now)?.unix_millis);
        }
        if let (Algorithm::Jwt, Evidence::Token(token)) = (scheme.algorithm, &group.evidence) {
            let claims = token.claims(&scheme.token, now)?;
            let view = filling.view;
            self.conditions(&Filling { view: view.with_claims(Some(&claims.document)), ..*filling })?;
            let Claims { document, issued_millis, stale_from } = claims;
            return Ok(Met {
                signed_at_millis: signed_at.or(issued_millis),
                stale_from,
                claims: Some(Box::new(document)),
            });
        }
        self.conditions(filling)?;
        let stale_from = scheme.timestamp.as_ref().zip(signed_at).map(|(rule, signed_at)| rule.stale_from(signed_at));
        Ok(Met { signed_at_millis: signed_at, stale_from, claims: None })
    }

    fn conditions(&self, filling: &Filling<'_>) -> Result<(), Rejection> {
        match self.scheme.require.iter().find(|requirement| !requirement.holds(filling)) {
            Some(broken) => {
                Err(Rejection::new(Reason::CredentialMismatch).fact("condition_not_met", broken.value.to_string()))
            }
            None => Ok(()),
        }
    }

    /// What was signed: the digest of the signed text (a signature with a public key has many forms), or its MAC under every secret, whichever
    /// matched: the same delivery signed with the old and the new secret is one delivery, also for a policy that has only one of the two.
    fn digests(&self, matched: &Key, found: Match, filling: &Filling<'_>) -> Option<OneOrMore<SignedDigest>> {
        match found {
            Match::Secret => None,
            Match::Signature(text) => Some(OneOrMore { first: Sha256::digest(text).into(), more: Vec::new() }),
            Match::Mac(known) => {
                let mac = |key: &Key| {
                    let mac = if std::ptr::eq(key, matched) {
                        known
                    } else {
                        key.material.mac(&self.scheme.signed, filling)?
                    };
                    mac.first_chunk().copied()
                };
                OneOrMore::collect(self.keys.iter().filter_map(mac))
            }
        }
    }

    /// Where the signature does not cover the body, two bodies under one signature are two deliveries.
    fn bound(&self, digest: SignedDigest, body: &Body<'_>) -> SignedDigest {
        if self.scheme.covers_body() {
            return digest;
        }
        Sha256::new().chain_update(digest).chain_update(Sha256::digest(body.bytes())).finalize().into()
    }
}

/// The signed text joined, where an algorithm wants it in one piece.
struct SignedText(Option<Vec<u8>>);

impl SignedText {
    fn of(scheme: &Scheme, evidence: &Evidence<'_>, filling: &Filling<'_>) -> Self {
        let body = filling.view.body.map(Body::bytes);
        Self(match (scheme.algorithm, evidence) {
            (Algorithm::PublicKey(_), _) => Some(scheme.signed.fill(filling)),
            (Algorithm::Jwt, Evidence::Token(token)) => Some(token.signed_text(Payload::Inside, b"")),
            (Algorithm::JwsDetached, Evidence::Token(token)) => {
                Some(token.signed_text(Payload::Detached, body.map_or(b"", |body| body)))
            }
            (_, _) => None,
        })
    }
}

impl<'d> Proof<'d> {
    /// What code found of a credential.
    fn of_code(scheme: &'d str, found: Found<'d>, now: UnixSeconds) -> Self {
        let Found { key, digest, signed_at_millis, stale_from } = found;
        let digests = digest.map(|first| OneOrMore { first, more: Vec::new() });
        let fresh_for = fresh_for(stale_from, now);
        Self { scheme, secret_id: key.into(), signed_at_millis, fresh_for, digests, claims: None }
    }

    /// That the connection belongs to whom the source expects: what comes over it is theirs, and nothing of it is signed.
    pub(super) fn of_connection(holder: &Holder<'d>) -> Self {
        let secret_id = Cow::Borrowed(holder.name());
        let scheme = certificate::METHOD;
        Self { scheme, secret_id, signed_at_millis: None, fresh_for: None, digests: None, claims: None }
    }

    /// Both proofs as one, called `scheme`. What was signed is what the first of them says that says anything.
    pub(super) fn and(self, other: Self, scheme: &'d str) -> Self {
        // What stands for a delivery, and for how long that is fresh, is one method's word.
        let (digests, fresh_for) =
            if self.digests.is_some() { (self.digests, self.fresh_for) } else { (other.digests, other.fresh_for) };
        Self {
            scheme,
            secret_id: Cow::Owned(format!("{}+{}", self.secret_id, other.secret_id)),
            signed_at_millis: self.signed_at_millis.or(other.signed_at_millis),
            fresh_for,
            digests,
            claims: self.claims.or(other.claims),
        }
    }

    /// The same proof of a delivery that could have been proven in another way, too: a repetition is known by either.
    pub(super) fn known_by(self, other: Self) -> Self {
        let digests = match (self.digests, other.digests) {
            (Some(OneOrMore { first, mut more }), Some(others)) => {
                more.extend(others.iter());
                Some(OneOrMore { first, more })
            }
            (Some(digests), None) | (None, Some(digests)) => Some(digests),
            (None, None) => None,
        };
        Self { digests, fresh_for: self.fresh_for.max(other.fresh_for), ..self }
    }

    /// The preset's name, or `custom`; of several methods that all held, their names with `+` between.
    #[must_use]
    pub const fn scheme(&self) -> &'d str {
        self.scheme
    }

    /// The policy's name of the secret or key that fitted, or the name that a client certificate is pinned to; of several methods, all of them
    /// with `+` between.
    #[must_use]
    pub fn secret_id(&self) -> &str {
        &self.secret_id
    }

    /// The same, to be kept longer than the proof.
    #[must_use]
    pub fn secret_id_kept(&self) -> Cow<'d, str> {
        self.secret_id.clone()
    }

    /// The signed timestamp, in milliseconds since the epoch.
    #[must_use]
    pub const fn signed_at_millis(&self) -> Option<i64> {
        self.signed_at_millis
    }

    /// How long the same credential would still be taken, from the second on in which it was verified; `None` where nothing signed tells.
    #[must_use]
    pub const fn fresh_for(&self) -> Option<Duration> {
        self.fresh_for
    }

    /// The claims of a token.
    #[must_use]
    pub fn claims(&self) -> Option<&Document> {
        self.claims.as_deref()
    }

    /// What was signed; `None` for static credentials.
    #[must_use]
    pub fn digest(&self) -> Option<&SignedDigest> {
        self.digests().next()
    }

    /// All that stands for what was signed: one under each secret of the source, where secrets make it; none for static credentials.
    pub fn digests(&self) -> impl Iterator<Item = &SignedDigest> {
        self.digests.iter().flat_map(OneOrMore::iter)
    }
}
