//! Reading a body: once, into one buffer, within its cap, its deadline and the process's budget.
//!
//! On a delivery's way this comes after the credential was found well formed, and before it is compared.
//!
//! A body that arrived in one piece with its head is used where it lies; else it is joined in a buffer sized by Content-Length.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::Body;
use http_body_util::BodyExt as _;

use crate::admit::buffers::Reserved;
use crate::reason::Reason;
use crate::rejection::Rejection;

/// Reads the whole body. `reserved` is what it takes of the process's buffers; it grows with a body of unknown length.
///
/// # Errors
/// `body_too_large`, `body_timeout`, `body_truncated`; `overloaded` if the process's buffers are full.
pub async fn read<B>(
    body: &mut B,
    headers: &HeaderMap,
    bytes_max: usize,
    deadline: Duration,
    reserved: &mut Reserved,
) -> Result<Bytes, Rejection>
where
    B: Body<Data = Bytes> + Unpin,
{
    let announced = announced(headers);
    let too_large = || Rejection::new(Reason::BodyTooLarge).fact("body_bytes_max", bytes_max);
    if announced.is_some_and(|length| length > bytes_max) {
        return Err(too_large().fact("content_length", announced.unwrap_or_default()));
    }
    if let Some(length) = announced {
        reserved.grow(length)?;
    }
    let collect = collect(body, announced, bytes_max, reserved);
    match tokio::time::timeout(deadline, collect).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(Broken::TooLarge)) => Err(too_large()),
        Ok(Err(Broken::Truncated)) => Err(Reason::BodyTruncated.into()),
        Ok(Err(Broken::Refused(rejection))) => Err(rejection),
        Err(_elapsed) => Err(Rejection::new(Reason::BodyTimeout).fact("deadline_seconds", deadline.as_secs())),
    }
}

/// Takes what is left of a refused request's body, within small bounds, and forgets it.
///
/// HTTP/2 resets a stream whose body was not taken, and several clients then lose the answer that came before the reset.
pub async fn discard<B>(mut body: B)
where
    B: Body<Data = Bytes> + Unpin,
{
    let taken = async {
        let mut left = DISCARDED_BYTES_MAX;
        while !body.is_end_stream() {
            let Some(Ok(frame)) = body.frame().await else { return };
            let length = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // What does not come in time does not come: the answer must not wait for it.
    let _ = tokio::time::timeout(DISCARD_TIME, taken).await;
}

/// The most of an unread body that is taken before the answer.
const DISCARDED_BYTES_MAX: usize = 64 * 1024;

/// How long an answer waits for an unread body.
const DISCARD_TIME: Duration = Duration::from_millis(250);

enum Broken {
    TooLarge,
    Truncated,
    Refused(Rejection),
}

async fn collect<B>(
    body: &mut B,
    announced: Option<usize>,
    bytes_max: usize,
    reserved: &mut Reserved,
) -> Result<Bytes, Broken>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        // Trailers are dropped: nothing of a request's meaning may come after its body.
        let Ok(piece) = frame.map_err(|_| Broken::Truncated)?.into_data() else { continue };
        let length = first.len() + joined.len() + piece.len();
        if length > bytes_max {
            return Err(Broken::TooLarge);
        }
        if announced.is_none() {
            reserved.grow(piece.len()).map_err(Broken::Refused)?;
        }
        if first.is_empty() && joined.is_empty() {
            first = piece;
            continue;
        }
        if joined.is_empty() {
            joined.reserve(announced.unwrap_or(2 * length));
            joined.extend_from_slice(&std::mem::take(&mut first));
        }
        joined.extend_from_slice(&piece);
    }
    let whole = if joined.is_empty() { first } else { joined.freeze() };
    if announced.is_some_and(|length| length != whole.len()) {
        return Err(Broken::Truncated);
    }
    Ok(whole)
}

/// The length the sender announced, where it did; what is not a number never gets here (hyper answers it).
fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
