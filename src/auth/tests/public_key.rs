//! One public key is the same key in whatever form a provider hands it out.

use aws_lc_rs::signature::{self, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair, PublicKeyData as _, RsaKeySize, SigningKey as _};

use crate::auth::key::verification;
use crate::auth::public_key::{KeyText, parse_public_key};
use crate::auth::scheme::PublicKeyAlgorithm;

const MESSAGE: &[u8] = b"what is signed";

/// The key in every form, with the form's name.
fn forms(key: &KeyPair, jwk: String) -> Vec<(&'static str, String)> {
    let raw = key.public_key_raw();
    let spki = key.subject_public_key_info();
    let certificate = CertificateParams::new(vec!["hooks.example.com".to_owned()]).unwrap().self_signed(key).unwrap();
    vec![
        ("PEM", key.public_key_pem()),
        ("PEM with white space", format!("\n {}\n\n", key.public_key_pem())),
        ("X.509", certificate.pem()),
        ("JWK", jwk),
        ("raw in hex", hex::encode(raw)),
        ("raw in base64", STANDARD.encode(raw)),
        ("raw in base64 without padding", STANDARD_NO_PAD.encode(raw)),
        ("SPKI in hex", hex::encode(&spki)),
        ("SPKI in base64", STANDARD.encode(&spki)),
    ]
}

fn url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn fits(algorithm: PublicKeyAlgorithm, text: &str, signature: &[u8]) -> Option<bool> {
    let key = parse_public_key(verification(algorithm), KeyText(text.as_bytes()))?;
    Some(key.verify_sig(MESSAGE, signature).is_ok())
}

#[test]
fn every_form_of_a_key_gives_the_same_verdict() {
    let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let p256 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let jwk_ed25519 = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, url(ed25519.public_key_raw()));
    let point = &p256.public_key_raw()[1..];
    let jwk_p256 = format!(r#"{{"kty":"EC","crv":"P-256","x":"{}","y":"{}"}}"#, url(&point[..32]), url(&point[32..]));
    // RSAPublicKey in DER: a modulus of 256 bytes behind nine, the exponent at the end.
    let der = rsa.public_key_raw();
    let jwk_rsa = format!(r#"{{"kty":"RSA","n":"{}","e":"{}"}}"#, url(&der[9..265]), url(&der[der.len() - 3..]));
    let rows = [
        (PublicKeyAlgorithm::Ed25519, ed25519, jwk_ed25519),
        (PublicKeyAlgorithm::EcdsaP256, p256, jwk_p256),
        (PublicKeyAlgorithm::RsaSha256, rsa, jwk_rsa),
    ];
    for (algorithm, key, jwk) in &rows {
        let signature = key.sign(MESSAGE).unwrap();
        let mut other = signature.clone();
        *other.last_mut().unwrap() ^= 1;
        for (form, text) in forms(key, jwk.clone()) {
            assert_eq!(fits(*algorithm, &text, &signature), Some(true), "{algorithm:?} as {form}");
            assert_eq!(fits(*algorithm, &text, &other), Some(false), "{algorithm:?} as {form}, another signature");
        }
        for (wrong, _, _) in rows.iter().filter(|(other, _, _)| other != algorithm) {
            for (form, text) in forms(key, jwk.clone()) {
                assert_eq!(fits(*wrong, &text, &signature), None, "{algorithm:?} as {form} is no {wrong:?}");
            }
        }
    }
}

#[test]
fn what_is_no_public_key_is_none() {
    let private = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem();
    let rows = [
        "",
        "no key",
        "{}",
        "{\"kty\":\"oct\",\"k\":\"YWJj\"}",
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"YQ\",\"y\":\"YQ\"}",
        "-----BEGIN PUBLIC KEY-----\nYWJj\n-----END PUBLIC KEY-----\n",
        &private,
        &"00".repeat(31),
        &"aa".repeat(33),
    ];
    for text in rows {
        let verifications: [&'static dyn VerificationAlgorithm; 3] =
            [&signature::ED25519, &signature::ECDSA_P256_SHA256_ASN1, &signature::RSA_PKCS1_2048_8192_SHA256];
        for algorithm in verifications {
            assert!(parse_public_key(algorithm, KeyText(text.as_bytes())).is_none(), "{text}");
        }
    }
}

/// Under such a key, a signature that anybody can make fits every message.
#[test]
fn keys_of_small_order_are_refused() {
    let points = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    let parsed = |text: &str| parse_public_key(&signature::ED25519, KeyText(text.as_bytes())).is_some();
    for point in points {
        let mut raw = hex::decode(point).unwrap();
        for _sign in 0..2 {
            let spki = [&hex::decode("302a300506032b6570032100").unwrap()[..], &raw].concat();
            assert!(!parsed(&hex::encode(&raw)), "{}", hex::encode(&raw));
            assert!(!parsed(&STANDARD.encode(&spki)), "{} as SPKI", hex::encode(&raw));
            assert!(!parsed(&format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, url(&raw))), "as JWK");
            raw[31] ^= 0x80;
        }
    }
    // The base point is as good a key as any.
    assert!(parsed("5866666666666666666666666666666666666666666666666666666666666666"));
}
