//! Signatures of another version, algorithm or spelling than the policy wants.
//!
//! Where the body is there, they are computed with the source's own secrets. Where the head alone was refused, there is no body, and their form
//! is all that can be told.

use std::borrow::Cow;

use super::finding::{Certainty, SignatureFault, Spelled};
use super::{Attempts, Finding};
use crate::auth::list::{Layout, Signatures};
use crate::auth::place::{Body, Place, View};
use crate::auth::scheme::{Algorithm, Encoding, Hash, Scheme, Shape};

/// The longest text that is looked at, in bytes.
const TEXT_BYTES_MAX: usize = 4096;

/// How many items of a list are looked at.
const ITEMS_MAX: usize = 16;

/// What stands before signatures in the field; the longer comes first where one begins like another.
const PREFIXES: [&str; 9] =
    ["hmac-sha256=", "sha1=", "sha256=", "sha384=", "sha512=", "v0=", "v1=", "v2=", "HMAC-SHA256 "];

/// Names of signatures in lists, besides `v` and a number.
const ITEMS: [&str; 9] = ["s", "h", "h1", "hmac", "sig", "sign", "signature", "sha1", "sha256"];

/// Looks at the credential, and tries what its form allows.
pub(super) fn look(scheme: &Scheme, attempts: &mut Attempts<'_, '_>) {
    if scheme.algorithm.mac_bytes().is_none() {
        return;
    }
    let case = attempts.case;
    let body = case.body.map(|body| Body::new(body, case.head.headers).within(case.verifier.json()));
    let view = body.as_ref().map_or(View::of_head(case.head), |body| View::of_head(case.head).with_body(body));
    let text = match scheme.credential.read(&view) {
        Ok(Some(text)) if !text.is_empty() && text.len() <= TEXT_BYTES_MAX => text,
        Ok(None) => return look_for_another_header(scheme, attempts),
        Ok(Some(_)) | Err(_) => return,
    };
    let mut looks_like = None;
    for (shape, signature, place) in readings(&scheme.shape, &text) {
        if let Some(spelled) = upper_hex(scheme, &signature) {
            looks_like.get_or_insert(SignatureFault::Encoding(spelled));
        }
        for (algorithm, encoding) in spellings(scheme.algorithm, &signature) {
            let fault = if algorithm != scheme.algorithm {
                SignatureFault::Algorithm(algorithm.name())
            } else if encoding != scheme.encoding {
                SignatureFault::Encoding(Spelled::As(encoding))
            } else if let Some(fault) = place.clone() {
                fault
            } else {
                continue;
            };
            let variant = Scheme { algorithm, encoding, shape: shape.clone(), ..scheme.clone() };
            let fitted = case.body.and_then(|body| attempts.fits_scheme(&variant, attempts.secrets(), body));
            match fitted {
                Some(_) => attempts.found(Finding::Signature { fault, certainty: Certainty::Fits }),
                None => _ = looks_like.get_or_insert(fault),
            }
        }
    }
    let proven = attempts.found.iter().any(|finding| matches!(finding, Finding::Signature { .. }));
    // What is well formed by the policy's own scheme was compared: that it looks like another as well says nothing.
    let is_well_formed = case.verifier.read(case.head, case.now).is_ok();
    if let Some(fault) = looks_like.filter(|_| !proven && !is_well_formed) {
        attempts.found(Finding::Signature { fault, certainty: Certainty::LooksLike });
    }
}

/// The ways in which the credential's text may be laid out: the shape that reads it so, the signature in it, and how that differs from
/// the scheme's own.
fn readings(own: &Shape, text: &str) -> Vec<(Shape, Box<str>, Option<SignatureFault>)> {
    match own {
        Shape::Whole { prefix } | Shape::MaybePrefixed { prefix } => {
            if let Some(signature) = text.strip_prefix(&**prefix).filter(|_| !prefix.is_empty()) {
                return vec![(own.clone(), signature.into(), None)];
            }
            let found = PREFIXES.into_iter().find(|found| text.starts_with(found)).unwrap_or_default();
            let fault = (*found != **prefix).then(|| SignatureFault::Prefix(found.into()));
            vec![(Shape::Whole { prefix: found.into() }, text[found.len()..].into(), fault)]
        }
        Shape::List(layout) => listed(layout, text),
    }
}

fn listed(layout: &Layout, text: &str) -> Vec<(Shape, Box<str>, Option<SignatureFault>)> {
    let mut readings = Vec::new();
    for text in layout.texts(text).take(ITEMS_MAX) {
        match &layout.signatures {
            Signatures::From(_) => {
                let signatures = layout.list(text).signatures().take(ITEMS_MAX);
                readings.extend(signatures.map(|signature| (Shape::List(layout.clone()), signature.into(), None)));
            }
            Signatures::Named { pair, item: own } => {
                let items = text.split(layout.separator).take(ITEMS_MAX);
                for (name, signature) in items.filter_map(|item| item.trim_matches(' ').split_once(*pair)) {
                    let fault = (name != &**own).then(|| SignatureFault::Item(name.into()));
                    if fault.is_some() && !is_version(name) {
                        continue;
                    }
                    let signatures = Signatures::Named { pair: *pair, item: name.into() };
                    readings.push((Shape::List(Layout { signatures, ..layout.clone() }), signature.into(), fault));
                }
            }
        }
    }
    readings.truncate(ITEMS_MAX);
    readings
}

/// Whether a sender's word may stand in a record: it is one of those that name signatures.
fn is_version(name: &str) -> bool {
    let number = name.strip_prefix('v').unwrap_or_default();
    ITEMS.contains(&name) || (1..=2).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// The algorithms of the scheme's kind that a signature may be of, by its length in each encoding.
fn spellings(own: Algorithm, signature: &str) -> Vec<(Algorithm, Encoding)> {
    let hashes = [Hash::Sha1, Hash::Sha256, Hash::Sha384, Hash::Sha512];
    let with = |hash| match own {
        Algorithm::Hmac(_) => Algorithm::Hmac(hash),
        Algorithm::Digest(Hash::Keccak256) if hash == Hash::Sha256 => own,
        Algorithm::Digest(_) => Algorithm::Digest(hash),
        other @ (Algorithm::PublicKey(_)
        | Algorithm::Jwt
        | Algorithm::JwsDetached
        | Algorithm::Token
        | Algorithm::Basic) => other,
    };
    let is_hex = signature.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let mut found = Vec::new();
    for hash in hashes {
        let length = hash.length();
        let padded = length.div_ceil(3) * 4;
        let unpadded = (length * 4).div_ceil(3);
        if is_hex {
            if signature.len() == 2 * length {
                found.push((with(hash), Encoding::Hex));
            }
        } else if signature.len() == padded && padded != unpadded && signature.ends_with('=')
            || signature.len() == padded && padded == unpadded && !signature.contains(['-', '_'])
        {
            found.push((with(hash), Encoding::Base64));
        } else if signature.len() == unpadded && !signature.contains(['+', '/', '=']) {
            found.push((with(hash), Encoding::Base64Url));
        }
    }
    found.retain(|(algorithm, _)| !algorithm.name().is_empty());
    found
}

/// Whether a signature is hex of the right length with capital letters in it, which the engine refuses.
fn upper_hex(scheme: &Scheme, signature: &str) -> Option<Spelled> {
    let length = 2 * scheme.algorithm.mac_bytes()?;
    let is_hex = signature.len() == length && signature.bytes().all(|byte| byte.is_ascii_hexdigit());
    let upper = signature.bytes().any(|byte| byte.is_ascii_uppercase());
    (scheme.encoding == Encoding::Hex && is_hex && upper).then_some(Spelled::UpperHex)
}

/// A field whose name is the beginning of the expected one: older versions are often called so (`x-hub-signature`).
fn look_for_another_header(scheme: &Scheme, attempts: &mut Attempts<'_, '_>) {
    let Place::Header(names) = &scheme.credential else { return };
    let headers = attempts.case.head.headers;
    let older = |name: &&http::HeaderName| {
        let is_older = |expected: &http::HeaderName| {
            let rest = expected.as_str().strip_prefix(name.as_str());
            rest.is_some_and(|rest| !rest.is_empty()) && name.as_str().contains("signature")
        };
        names.iter().any(is_older)
    };
    if let Some(name) = headers.keys().find(older) {
        attempts.found(Finding::AnotherHeader { name: Cow::Borrowed(name.as_str()).into() });
    }
}
