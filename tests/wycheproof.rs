//! Project Wycheproof's vectors, judged by whole schemes: what they hold valid is accepted, what they hold invalid is refused.
//!
//! There are none for RSA with SHA-1. Those of ECDSA in the two-number form of JSON Web Tokens sign texts that no token can be, so their edge cases
//! are made here with tokens of our own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod kit;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use kit::{Kit, NOW, Sent, public_key, secret};
use wycheproof::{TestResult, ecdsa, eddsa, mac, rsa_pkcs1_verify};

/// What is counted, so that no set passes by being empty.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    accepted: usize,
    refused: usize,
    acceptable: usize,
}

/// What we do with vectors on which the standards leave a choice.
struct Choice {
    verdict: &'static str,
    reason: &'static str,
}

/// By the vector's comment. Nothing is accepted that is not the one canonical form.
const CHOICES: &[(&str, Choice)] = &[(
    "Missing NULL in the ASN encoding",
    Choice { verdict: "refuse", reason: "RFC 8017 §9.2 note 2: the NULL of the digest's parameters must be there" },
)];

fn scheme(algorithm: &str) -> String {
    format!(
        "algorithm = {algorithm:?}\ncredential = 'header:x-signature'\nencoding = 'hex'\nsigned = '{{body}}'\n\
         secret = {{ encoding = 'hex' }}"
    )
}

fn sent(message: &[u8], signature: &[u8]) -> Sent {
    Sent::post(message).header("x-signature", hex::encode(signature))
}

impl Tally {
    fn hold(&mut self, name: &str, verdict: &'static str, result: TestResult, comment: &str) {
        let is_accepted = verdict == "accept";
        match result {
            TestResult::Valid => assert!(is_accepted, "{name}: valid, {verdict}: {comment}"),
            TestResult::Invalid => assert!(!is_accepted, "{name}: invalid, yet accepted: {comment}"),
            TestResult::Acceptable => {
                let choice = CHOICES.iter().find(|(known, _)| *known == comment).map(|(_, choice)| choice);
                let Choice { verdict: ours, reason } =
                    choice.unwrap_or_else(|| panic!("{name}: no choice ({verdict}): {comment}"));
                assert_eq!(is_accepted, *ours == "accept", "{name}: {comment}: {reason}");
                self.acceptable += 1;
            }
        }
        if is_accepted { self.accepted += 1 } else { self.refused += 1 }
    }
}

#[test]
fn every_hmac_vector_of_full_length_agrees_and_truncated_tags_are_malformed() {
    let rows = [
        ("hmac-sha1", mac::TestName::HmacSha1, 160),
        ("hmac-sha256", mac::TestName::HmacSha256, 256),
        ("hmac-sha384", mac::TestName::HmacSha384, 384),
        ("hmac-sha512", mac::TestName::HmacSha512, 512),
    ];
    for (algorithm, set, bits) in rows {
        let (mut full, mut truncated) = (Tally::default(), 0);
        for group in mac::TestSet::load(set).unwrap().test_groups {
            for test in group.tests {
                let kit = Kit::new(&scheme(algorithm), &[secret("x", hex::encode(&test.key[..]).as_bytes())]);
                let verdict = kit.verdict(&sent(&test.msg, &test.tag), NOW);
                let name = format!("{algorithm} {}", test.tc_id);
                if group.tag_size == bits {
                    full.hold(&name, verdict, test.result, &test.comment);
                } else {
                    assert_eq!(verdict, "credential_malformed", "{name}: {} bits", group.tag_size);
                    truncated += 1;
                }
            }
        }
        assert!(
            full.accepted > 20 && full.refused > 20 && truncated > 40,
            "{algorithm}: {full:?}, {truncated} truncated"
        );
    }
}

#[test]
fn every_ed25519_vector_agrees() {
    let mut tally = Tally::default();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        for key in [hex::encode(&group.key.pk[..]), hex::encode(&group.der[..]), group.pem.clone()] {
            let kit = Kit::new(&scheme("ed25519"), &[public_key("x", &key)]);
            for test in &group.tests {
                let verdict = kit.verdict(&sent(&test.msg, &test.sig), NOW);
                tally.hold(&format!("ed25519 {}", test.tc_id), verdict, test.result, &test.comment);
            }
        }
    }
    assert!(tally.accepted > 150 && tally.refused > 150, "{tally:?}");
}

#[test]
fn every_ecdsa_p256_vector_in_der_agrees() {
    let mut tally = Tally::default();
    for group in ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256).unwrap().test_groups {
        for key in [hex::encode(&group.key.key[..]), group.pem.clone()] {
            let kit = Kit::new(&scheme("ecdsa-p256-sha256"), &[public_key("x", &key)]);
            for test in &group.tests {
                let verdict = kit.verdict(&sent(&test.msg, &test.sig), NOW);
                tally.hold(&format!("ecdsa {}", test.tc_id), verdict, test.result, &test.comment);
            }
        }
    }
    assert!(tally.accepted > 300 && tally.refused > 300, "{tally:?}");
}

#[test]
fn every_rsa_vector_agrees() {
    use rsa_pkcs1_verify::TestName;
    let rows = [
        ("rsa-sha256", TestName::Rsa2048Sha256),
        ("rsa-sha512", TestName::Rsa2048Sha512),
        ("rsa-sha256", TestName::Rsa3072Sha256),
        ("rsa-sha512", TestName::Rsa3072Sha512),
        ("rsa-sha256", TestName::Rsa4096Sha256),
        ("rsa-sha512", TestName::Rsa4096Sha512),
        ("rsa-sha256", TestName::Rsa8192Sha256),
        ("rsa-sha512", TestName::Rsa8192Sha512),
    ];
    let mut choices = BTreeMap::new();
    for (algorithm, set) in rows {
        let mut tally = Tally::default();
        for group in rsa_pkcs1_verify::TestSet::load(set).unwrap().test_groups {
            for key in [hex::encode(&group.asn_key[..]), STANDARD.encode(&group.der[..]), group.pem.clone()] {
                let kit = Kit::new(&scheme(algorithm), &[public_key("x", &key)]);
                for test in &group.tests {
                    let verdict = kit.verdict(&sent(&test.msg, &test.sig), NOW);
                    tally.hold(&format!("{set:?} {}", test.tc_id), verdict, test.result, &test.comment);
                    if test.result == TestResult::Acceptable {
                        *choices.entry(test.comment.clone()).or_insert(0) += 1;
                    }
                }
            }
        }
        assert!(tally.accepted > 5 && tally.refused > 200, "{set:?}: {tally:?}");
    }
    for (comment, _) in CHOICES {
        assert!(choices.contains_key(*comment), "no vector is of the choice {comment:?}");
    }
}

/// The ordinates of the eight points of order 1, 2, 4 and 8, least significant byte first, and those that are spelled past the prime.
const SMALL_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

#[test]
fn small_order_ed25519_keys_are_refused_when_they_are_loaded_however_they_are_spelled() {
    let jwt = "algorithm = 'jwt'\ncredential = 'bearer'\njwt = { algorithms = ['EdDSA'] }\n";
    for ordinate in SMALL_ORDER {
        for sign in [0, 0x80] {
            let mut point = hex::decode(ordinate).unwrap();
            point[31] |= sign;
            let spki = [&hex::decode("302a300506032b6570032100").unwrap()[..], &point].concat();
            let spellings = [
                hex::encode(&point),
                hex::encode_upper(&point),
                STANDARD.encode(&point),
                hex::encode(&spki),
                STANDARD.encode(&spki),
                format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&spki)),
                format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, URL_SAFE_NO_PAD.encode(&point)),
            ];
            for key in spellings {
                for scheme in [&scheme("ed25519"), jwt] {
                    assert!(Kit::load(scheme, &[public_key("x", &key)]).is_err(), "{key}");
                }
            }
        }
    }
    // The nearest that is a key.
    let base = "5866666666666666666666666666666666666666666666666666666666666666";
    assert!(Kit::load(&scheme("ed25519"), &[public_key("x", base)]).is_ok());
}

/// Values at the edges of the group order `n` and the field's prime `p` of P-256, as Wycheproof combines them.
const EDGES: [&str; 8] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000001",
    "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550",
    "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
    "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632552",
    "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
    "ffffffff00000001000000000000000000000001000000000000000000000000",
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

#[test]
fn es256_tokens_with_numbers_out_of_range_or_in_another_form_are_refused() {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    };

    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let pair = |form| EcdsaKeyPair::from_pkcs8(form, document.as_ref()).unwrap();
    let fixed = pair(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let text = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#),
        URL_SAFE_NO_PAD.encode(format!(r#"{{"iat":{NOW}}}"#))
    );
    let rule = "algorithm = 'jwt'\ncredential = 'bearer'\njwt = { algorithms = ['ES256'] }\n";
    let kit = Kit::new(rule, &[public_key("x", &hex::encode(fixed.public_key()))]);
    let verdict = |signature: &[u8]| {
        let token = format!("Bearer {text}.{}", URL_SAFE_NO_PAD.encode(signature));
        kit.verdict(&Sent::post(b"{}").header("authorization", token), NOW)
    };
    let good = fixed.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
    assert_eq!(verdict(good.as_ref()), "accept");

    for r in EDGES {
        for s in EDGES {
            assert_eq!(verdict(&hex::decode(format!("{r}{s}")).unwrap()), "credential_mismatch", "{r} {s}");
        }
    }
    for edge in EDGES {
        let edge = hex::decode(edge).unwrap();
        assert_eq!(verdict(&[&good.as_ref()[..32], &edge].concat()), "credential_mismatch", "good r, {edge:?}");
        assert_eq!(verdict(&[&edge, &good.as_ref()[32..]].concat()), "credential_mismatch", "{edge:?}, good s");
    }
    let der = pair(&ECDSA_P256_SHA256_ASN1_SIGNING).sign(&SystemRandom::new(), text.as_bytes()).unwrap();
    let padded = [&[0], &good.as_ref()[..32], &[0], &good.as_ref()[32..]].concat();
    let rows = [
        ("DER", der.as_ref()),
        ("padded numbers", &padded[..]),
        ("one byte less", &good.as_ref()[..63]),
        ("half", &good.as_ref()[..32]),
        ("a byte behind", &[good.as_ref(), &[0]].concat()),
        ("twice", &[good.as_ref(), good.as_ref()].concat()),
    ];
    for (name, signature) in rows {
        assert_eq!(verdict(signature), "credential_malformed", "{name}");
    }
}
