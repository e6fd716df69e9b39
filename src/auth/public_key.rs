//! Public keys in the forms that providers hand them out: PEM, X.509, JWK, hex, base64.

use aws_lc_rs::signature::{ParsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{PemObject as _, SectionKind};
use serde_json::Value;

/// A public key as it was configured.
#[derive(Clone, Copy)]
pub(super) struct KeyText<'t>(pub &'t [u8]);

/// The key for this algorithm; `None` if the text is none, or one of another algorithm.
pub(super) fn parse_public_key(
    algorithm: &'static dyn VerificationAlgorithm,
    text: KeyText<'_>,
) -> Option<ParsedPublicKey> {
    text.candidates().into_iter().find_map(|bytes| {
        let key = ParsedPublicKey::new(algorithm, &bytes).ok()?;
        (!is_weak(&bytes)).then_some(key)
    })
}

impl KeyText<'_> {
    /// What the text may mean, as raw key or DER. Only one of them will be a key.
    fn candidates(self) -> Vec<Vec<u8>> {
        let text = self.0.trim_ascii();
        if text.starts_with(b"-----BEGIN") {
            return pem(text).into_iter().collect();
        }
        if text.starts_with(b"{") {
            return jwk(text).into_iter().collect();
        }
        let hex = hex::decode(text).ok();
        let plain = || STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok();
        hex.into_iter().chain(plain()).collect()
    }
}

/// The key of the first PEM section: a certificate's, or a key that stands alone.
fn pem(text: &[u8]) -> Option<Vec<u8>> {
    let (kind, der) = <(SectionKind, Vec<u8>)>::from_pem_slice(text).ok()?;
    #[expect(clippy::wildcard_enum_match_arm, reason = "the library's list is open")]
    match kind {
        SectionKind::Certificate => key_of_certificate(&der),
        SectionKind::PublicKey => Some(der),
        _ => None,
    }
}

/// The SubjectPublicKeyInfo of an X.509 certificate in DER.
pub(super) fn key_of_certificate(der: &[u8]) -> Option<Vec<u8>> {
    let der = CertificateDer::from(der);
    let certificate = webpki::EndEntityCert::try_from(&der).ok()?;
    Some(certificate.subject_public_key_info().to_vec())
}

/// A JSON Web Key (RFC 7517, RFC 8037). It is the operator's text, not a sender's.
fn jwk(text: &[u8]) -> Option<Vec<u8>> {
    let key: Value = serde_json::from_slice(text).ok()?;
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(key.get(name)?.as_str()?.trim_end_matches('=')).ok();
    match (key.get("kty")?.as_str()?, key.get("crv").and_then(Value::as_str)) {
        ("OKP", Some("Ed25519")) => bytes("x"),
        ("EC", Some("P-256")) => {
            let (x, y) = (bytes("x")?, bytes("y")?);
            (x.len() == 32 && y.len() == 32).then(|| [&[4], &*x, &*y].concat())
        }
        ("RSA", _) => Some(rsa_public_key(&bytes("n")?, &bytes("e")?)),
        (_, _) => None,
    }
}

/// `RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER }` (RFC 8017, appendix A.1.1), in DER.
fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let body = [der_integer(modulus), der_integer(exponent)].concat();
    der(0x30, &body)
}

fn der_integer(number: &[u8]) -> Vec<u8> {
    let first = number.iter().position(|&byte| byte != 0).unwrap_or(number.len());
    let digits = &number[first..];
    // A leading bit would make the number negative.
    let pad: &[u8] = if digits.first().is_none_or(|&byte| byte >= 0x80) { &[0] } else { &[] };
    der(0x02, &[pad, digits].concat())
}

fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len().to_be_bytes();
    let length = &length[length.iter().position(|&byte| byte != 0).unwrap_or(length.len() - 1)..];
    let mut bytes = vec![tag];
    if contents.len() >= 0x80 {
        bytes.push(0x80 | u8::try_from(length.len()).unwrap_or_default());
    }
    bytes.extend_from_slice(length);
    bytes.extend_from_slice(contents);
    bytes
}

/// Whether a raw Ed25519 key, or one at the end of its DER, is a point of small order: signatures under it fit any message.
fn is_weak(bytes: &[u8]) -> bool {
    let Some(point) = bytes.last_chunk::<32>() else { return false };
    let is_ed25519 = bytes.len() == 32 || bytes.len() == 44;
    is_ed25519 && SMALL_ORDER.iter().any(|weak| weak[..31] == point[..31] && weak[31] == point[31] & 0x7f)
}

/// Encodings of the points of order 1, 2, 4 and 8, without the sign bit; the last two are not canonical.
const SMALL_ORDER: [[u8; 32]; 7] = [
    [0; 32],
    {
        let mut one = [0; 32];
        one[0] = 1;
        one
    },
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    prime_plus(-1),
    prime_plus(0),
    prime_plus(1),
];

/// 2^255 - 19 + `offset`, least significant byte first.
const fn prime_plus(offset: i8) -> [u8; 32] {
    let mut bytes = [0xff; 32];
    bytes[0] = 0xed_u8.wrapping_add_signed(offset);
    bytes[31] = 0x7f;
    bytes
}
