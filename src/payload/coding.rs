//! Content codings (RFC 9110 §8.4.1): a compressed body becomes the one that was meant, or nothing.
//!
//! One coding and its whole stream: a checksum that fails, a length that lies, a cut stream and bytes behind its end are faults. Several gzip members
//! are one body (RFC 1952 §2.2), each checked; deflate is what RFC 9110 says it is, in zlib's format; a Zstandard body is one frame.
//!
//! **Invariant:** output is never larger than its bound, nor is anything set aside for it before it is there, whatever a stream announces. What a
//! decoder keeps beside it is bounded by the coding's window: 32 KiB, 16 MiB (Brotli), 8 MiB (Zstandard, RFC 9659).

use std::io::{self, Read};

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use bytes::Bytes;
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use ruzstd::decoding::StreamingDecoder;

use crate::reason::Reason;
use crate::rejection::Rejection;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`
    Gzip,
    /// `deflate`
    Deflate,
    /// `br`
    Brotli,
    /// `zstd`
    Zstd,
}

/// How many times larger than the received body a decoded one may be.
pub const RATIO_MAX: usize = 100;

/// The largest window of a Zstandard frame, in bytes (RFC 9659 §3).
const ZSTD_WINDOW_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Why there is no decoded body.
#[derive(Debug)]
enum Fault {
    Malformed,
    TooLarge,
}

impl Coding {
    /// All of them, by the names that Content-Encoding has for them.
    pub const ALL: [(&'static str, Self); 4] =
        [("gzip", Self::Gzip), ("deflate", Self::Deflate), ("br", Self::Brotli), ("zstd", Self::Zstd)];

    /// The coding that a Content-Encoding field names, if it is one alone.
    #[must_use]
    pub fn of_field(field: &[u8]) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find_map(|(name, coding)| name.as_bytes().eq_ignore_ascii_case(field).then_some(coding))
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// How large a body of so many bytes may get, in bytes.
    #[must_use]
    pub fn decoded_bytes_max(received: usize, body_bytes_max: usize) -> usize {
        received.saturating_mul(RATIO_MAX).min(body_bytes_max)
    }

    /// The body that was meant.
    ///
    /// # Errors
    /// `decoding_failed` with the fact `coding`; `body_too_large` with it and the bound that was passed, `body_bytes_max` or `ratio_max`.
    pub fn decoded(self, body: &[u8], body_bytes_max: usize) -> Result<Bytes, Rejection> {
        let bytes_max = Self::decoded_bytes_max(body.len(), body_bytes_max);
        let decoded = match self {
            Self::Gzip => read(MultiGzDecoder::new(body), bytes_max),
            Self::Deflate => deflated(body, bytes_max),
            Self::Brotli => brotli(body, bytes_max),
            Self::Zstd => zstd(body, bytes_max),
        };
        decoded.map(Bytes::from).map_err(|fault| match fault {
            Fault::Malformed => Rejection::new(Reason::DecodingFailed).fact("coding", self.name()),
            Fault::TooLarge => {
                let rejection = Rejection::new(Reason::BodyTooLarge).fact("coding", self.name());
                if bytes_max == body_bytes_max {
                    return rejection.fact("body_bytes_max", body_bytes_max);
                }
                rejection.fact("ratio_max", RATIO_MAX)
            }
        })
    }
}

/// Reads all of a stream, and not a byte more than one too many.
fn read(stream: impl Read, bytes_max: usize) -> Result<Vec<u8>, Fault> {
    let mut decoded = Vec::new();
    let mut stream = stream.take(bytes_max as u64 + 1);
    stream.read_to_end(&mut decoded).map_err(|_: io::Error| Fault::Malformed)?;
    if decoded.len() > bytes_max { Err(Fault::TooLarge) } else { Ok(decoded) }
}

fn deflated(body: &[u8], bytes_max: usize) -> Result<Vec<u8>, Fault> {
    let mut decoder = ZlibDecoder::new(body);
    let decoded = read(&mut decoder, bytes_max)?;
    if decoder.get_ref().is_empty() { Ok(decoded) } else { Err(Fault::Malformed) }
}

fn zstd(body: &[u8], bytes_max: usize) -> Result<Vec<u8>, Fault> {
    let mut decoder =
        StreamingDecoder::new_with_max_window_size(body, ZSTD_WINDOW_BYTES_MAX).map_err(|_| Fault::Malformed)?;
    let decoded = read(&mut decoder, bytes_max)?;
    let (rest, frame) = decoder.into_parts();
    let announced = frame.content_size();
    let is_true = (announced == 0 || announced == decoded.len() as u64)
        && frame.get_checksum_from_data().is_none_or(|sum| frame.get_calculated_checksum() == Some(sum));
    if frame.is_finished() && rest.is_empty() && is_true { Ok(decoded) } else { Err(Fault::Malformed) }
}

/// Driven by hand: the crate's own reader does not say what is left behind the stream, and takes windows larger than RFC 7932 has.
fn brotli(body: &[u8], bytes_max: usize) -> Result<Vec<u8>, Fault> {
    let alloc = StandardAlloc::default;
    let mut state = BrotliState::new_strict(alloc(), alloc(), alloc());
    let (mut left, mut at) = (body.len(), 0);
    let mut decoded = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let (mut room, mut filled, mut total) = (piece.len(), 0, 0);
        let outcome = BrotliDecompressStream(
            &mut left,
            &mut at,
            body,
            &mut room,
            &mut filled,
            &mut piece,
            &mut total,
            &mut state,
        );
        decoded.extend_from_slice(&piece[..filled]);
        if decoded.len() > bytes_max {
            return Err(Fault::TooLarge);
        }
        match outcome {
            BrotliResult::NeedsMoreOutput => {}
            BrotliResult::ResultSuccess if left == 0 => return Ok(decoded),
            BrotliResult::ResultSuccess | BrotliResult::NeedsMoreInput | BrotliResult::ResultFailure => {
                return Err(Fault::Malformed);
            }
        }
    }
}
