//! Compressed bodies: taken where a policy takes them, whole or not at all, within bounds.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use hookward::payload::coding::{Coding, RATIO_MAX};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use crate::{House, load, load_proven};

const JSON: &str = "application/json";
const SMALL: &str = r#"{"a":1}"#;

/// Node's: there is no encoder here.
const BROTLI_SMALL: &str = "CwOAeyJhIjoxfQM=";
/// `[`, 100,000 spaces, `]`.
const BROTLI_BOMB: &str = "W6GGgV8SZKurFLksEJjlFxAD";
/// The small one with a window of 1 GiB, which RFC 7932 does not have.
const BROTLI_LARGE_WINDOW: &str = "ER4MAAJ7ImEiOjF9Aw==";

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn deflate(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    compress_to_vec(text, CompressionLevel::Fastest)
}

fn brotli(base64: &str) -> Vec<u8> {
    STANDARD.decode(base64).unwrap()
}

/// The small body in every coding.
fn small() -> [(Coding, Vec<u8>); 4] {
    let text = SMALL.as_bytes();
    [
        (Coding::Gzip, gzip(text)),
        (Coding::Deflate, deflate(text)),
        (Coding::Brotli, brotli(BROTLI_SMALL)),
        (Coding::Zstd, zstd(text)),
    ]
}

fn reason(coding: Coding, body: &[u8], body_bytes_max: usize) -> &'static str {
    match coding.decoded(body, body_bytes_max) {
        Ok(_) => "decoded",
        Err(rejection) => rejection.reason().code(),
    }
}

#[test]
fn a_stream_is_taken_whole_or_not_at_all() {
    for (coding, body) in small() {
        assert_eq!(coding.decoded(&body, 100).unwrap(), SMALL, "{}", coding.name());
        for length in 0..body.len() {
            assert_eq!(reason(coding, &body[..length], 100), "decoding_failed", "{} cut at {length}", coding.name());
        }
        for rest in [&b"\0"[..], b"x", b"{}"] {
            let longer = [&body, rest].concat();
            assert_eq!(reason(coding, &longer, 100), "decoding_failed", "{} and {rest:?}", coding.name());
        }
        for (other, _) in small().into_iter().filter(|(other, _)| *other != coding) {
            assert_ne!(reason(other, &body, 100), "decoded", "{} as {}", coding.name(), other.name());
        }
    }
}

#[test]
fn a_checksum_or_length_that_lies_is_a_fault() {
    for (coding, body) in small() {
        // Brotli has no checksum; its own form has to hold.
        let checked = match coding {
            Coding::Gzip => body.len() - 8..body.len(),
            Coding::Deflate | Coding::Zstd => body.len() - 4..body.len(),
            Coding::Brotli => continue,
        };
        for at in checked {
            let mut broken = body.clone();
            broken[at] ^= 1;
            assert_eq!(reason(coding, &broken, 100), "decoding_failed", "{} at {at}", coding.name());
        }
    }
}

#[test]
fn several_members_are_one_body_and_several_frames_are_not() {
    let members = [gzip(b"{\"a\""), gzip(b""), gzip(b":1}")].concat();
    assert_eq!(Coding::Gzip.decoded(&members, 100).unwrap(), SMALL);
    let mut broken = members;
    let last = broken.len() - 1;
    broken[last] ^= 1;
    assert_eq!(reason(Coding::Gzip, &broken, 100), "decoding_failed");
    assert_eq!(reason(Coding::Zstd, &[zstd(b"{}"), zstd(b"{}")].concat(), 100), "decoding_failed");
    assert_eq!(reason(Coding::Deflate, &[deflate(b"{}"), deflate(b"{}")].concat(), 100), "decoding_failed");
}

#[test]
fn deflate_is_what_the_standard_calls_so() {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(SMALL.as_bytes()).unwrap();
    assert_eq!(reason(Coding::Deflate, &encoder.finish().unwrap(), 100), "decoding_failed");
}

#[test]
fn a_window_beyond_the_standard_is_refused() {
    assert_eq!(reason(Coding::Brotli, &brotli(BROTLI_LARGE_WINDOW), 100), "decoding_failed");
    // A frame's descriptor of 16 MiB, without content size and checksum, and one raw block that is the last.
    let frame = |window: u8| [&[0x28, 0xB5, 0x2F, 0xFD, 0, window, 0x11, 0, 0][..], b"{}"].concat();
    assert_eq!(Coding::Zstd.decoded(&frame(13 << 3), 100).unwrap(), "{}", "8 MiB");
    assert_eq!(reason(Coding::Zstd, &frame(14 << 3), 100), "decoding_failed", "16 MiB");
    assert_eq!(reason(Coding::Zstd, &frame(31 << 3), 100), "decoding_failed");
}

#[test]
fn output_is_bounded_to_the_byte() {
    let text = vec![b'7'; 100_000];
    for (coding, body) in [(Coding::Gzip, gzip(&text)), (Coding::Deflate, deflate(&text)), (Coding::Zstd, zstd(&text))]
    {
        let name = coding.name();
        assert!(body.len() * RATIO_MAX < text.len(), "{name}: a bomb");
        let rejection = coding.decoded(&body, 1 << 20).unwrap_err();
        assert_eq!(
            (rejection.reason().code(), crate::number(&rejection, "ratio_max")),
            ("body_too_large", Some(100)),
            "{name}"
        );
    }
    assert_eq!(reason(Coding::Brotli, &brotli(BROTLI_BOMB), 1 << 20), "body_too_large");
    for length in [1_999, 2_000, 2_001] {
        let text: Vec<u8> = (0..length).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for (coding, body) in
            [(Coding::Gzip, gzip(&text)), (Coding::Deflate, deflate(&text)), (Coding::Zstd, zstd(&text))]
        {
            let expected = if length <= 2_000 { "decoded" } else { "body_too_large" };
            assert_eq!(reason(coding, &body, 2_000), expected, "{} {length}", coding.name());
        }
    }
    assert_eq!(reason(Coding::Brotli, &brotli(BROTLI_SMALL), SMALL.len()), "decoded");
    assert_eq!(reason(Coding::Brotli, &brotli(BROTLI_SMALL), SMALL.len() - 1), "body_too_large");
}

#[test]
fn a_coding_is_taken_where_the_policy_takes_it() {
    let house = House::new("content_encodings = ['gzip', 'zstd']", "[sanitize]\ncontrol_characters = 'drop'\n");
    let told = |coding: &str, body: Vec<u8>| {
        let forwardable = house.post_with(JSON, &[("content-encoding", coding)], body);
        forwardable.map_err(|rejection| rejection.reason().code())
    };
    let text = SMALL.as_bytes();
    let rows = [
        ("gzip", gzip(text), Ok(SMALL)),
        ("GZip", gzip(text), Ok(SMALL)),
        ("zstd", zstd(text), Ok(SMALL)),
        ("identity", text.to_vec(), Ok(SMALL)),
        ("gzip", gzip(b"{\"a\":\"\\u0007\"}"), Ok("{\"a\":\"\"}")),
        ("gzip", text.to_vec(), Err("decoding_failed")),
        ("gzip", gzip(b"{"), Err("json_malformed")),
        ("gzip", gzip(b""), Err("body_empty")),
        ("identity", gzip(text), Err("json_not_utf8")),
        ("deflate", deflate(text), Err("content_encoding_refused")),
        ("br", brotli(BROTLI_SMALL), Err("content_encoding_refused")),
        ("gzip, gzip", gzip(&gzip(text)), Err("content_encoding_refused")),
        ("gzip,", gzip(text), Err("content_encoding_refused")),
        ("x-gzip", gzip(text), Err("content_encoding_refused")),
        ("", text.to_vec(), Err("content_encoding_refused")),
    ];
    for (coding, body, expected) in rows {
        let found = told(coding, body);
        assert_eq!(
            found.as_ref().map(|found| &found.body[..]).map_err(|reason| *reason),
            expected.map(str::as_bytes),
            "{coding}"
        );
        if let Ok(found) = found {
            assert!(!found.headers.contains_key("content-encoding"), "what goes on is not compressed");
        }
    }
    let opaque = House::new("content_encodings = ['gzip']\npayload = 'opaque'\ncontent_types = ['*/*']", "");
    let found = opaque.post_with("text/plain", &[("content-encoding", "gzip")], gzip(b"text")).unwrap();
    assert_eq!(found.body, "text");
}

#[test]
fn codings_are_named_as_the_header_names_them() {
    let (policy, report) = load("content_encodings = ['brotli']", "", "{}");
    assert!(policy.is_none() && report.contains("brotli"), "{report}");
    let (policy, report) = load("signed_content = 'decoded'", "", "{}");
    assert!(policy.is_some() && report.contains("no effect without content_encodings"), "{report}");
}

/// What is signed compressed cannot be looked into before it is proven: nothing genuine would ever be accepted.
#[test]
fn a_method_that_looks_into_the_body_has_to_have_it_decoded() {
    let scheme = |words: &str| format!("[auth.scheme]\nalgorithm = 'hmac-sha256'\nencoding = 'hex'\n{words}");
    let in_header = "credential = 'header:x-sig'\n";
    let rows = [
        ("provider = 'token'".to_owned(), false),
        ("provider = 'github'".to_owned(), false),
        ("provider = 'nowpayments'".to_owned(), true),
        (scheme(&format!("{in_header}signed = '{{body}}'")), false),
        (scheme(&format!("{in_header}signed = '{{body|sha256|hex}}'")), false),
        (scheme(&format!("{in_header}signed = '{{body|from-base64}}'")), true),
        (scheme(&format!("{in_header}signed = '{{form}}'")), true),
        (scheme(&format!("{in_header}signed = '{{body}}{{json:/id}}'")), true),
        (scheme(&format!("{in_header}signed = '{{body}}'\ntimestamp = {{ at = 'json:/at' }}")), true),
        (scheme(&format!("{in_header}signed = '{{body}}'\nrequire = [{{ value = 'form:id' }}]")), true),
        (scheme(&format!("{in_header}signed = '{{body}}'\nrequire = [{{ value = 'header:x-id' }}]")), false),
        (scheme("credential = 'json:/sig'\nsigned = '{header:x-id}'"), true),
    ];
    for (auth, looks_inside) in rows {
        for (top, is_refused) in [
            ("content_encodings = ['gzip']", looks_inside),
            ("content_encodings = ['gzip']\nsigned_content = 'decoded'", false),
            ("", false),
        ] {
            let (policy, report) = load_proven(top, &auth, "", "{}");
            assert_eq!(policy.is_none(), is_refused, "{auth} {top}: {report}");
            assert_eq!(report.contains("looks into the body"), is_refused, "{auth} {top}: {report}");
        }
    }
}
