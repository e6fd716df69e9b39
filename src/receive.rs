//! Reading a body: once, into one buffer, within its cap, its deadline and the process's budget.
//!
//! On a delivery's way this comes after the credential was found well formed, and before it is compared.
//!
//! A body that arrived in one piece with its head is used where it lies; else it is joined in a buffer that grows with what is there, up to
//! Content-Length: what a sender announces costs it nothing, so it must not cost the others theirs.

use std::error::Error;
use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{HeaderMap, Version};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use crate::admit::Reserved;
use crate::reason::Reason;
use crate::rejection::Rejection;

/// How long a body may take.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// In all.
    pub deadline: Duration,
    /// Before its rate counts.
    pub grace: Duration,
    /// Bytes for each second from then on.
    pub bytes_per_second_min: u64,
}

/// A request's body on its way.
#[derive(Debug)]
pub struct Arriving<B> {
    body: B,
    is_over: bool,
}

/// A body whose framing is broken, as the edge tells it through the HTTP library: the rule that was broken, in words of ours.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misframing(pub &'static str);

impl<B> Arriving<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    /// The body of a request whose head is there.
    pub fn new(body: B) -> Self {
        let is_over = body.is_end_stream();
        Self { body, is_over }
    }

    /// Whether its end was seen, or that it has none.
    pub const fn is_over(&self) -> bool {
        self.is_over
    }

    /// What comes next; nothing after the end.
    async fn next(&mut self) -> Option<Result<Frame<Bytes>, B::Error>> {
        if self.is_over {
            return None;
        }
        let frame = self.body.frame().await;
        self.is_over = !matches!(frame, Some(Ok(_))) || self.body.is_end_stream();
        frame
    }

    /// Takes what is left of it, within small bounds, and forgets it.
    pub async fn discard(&mut self) {
        let taken = async {
            let mut left = DISCARDED_BYTES_MAX;
            while let Some(Ok(frame)) = self.next().await {
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
}

impl Pace {
    /// Until when, since its beginning, a body of which so many bytes are there may wait for the next.
    ///
    /// Nothing is asked in the grace. What comes then or later pays for the seconds after it, each of which has until its end to be paid: that a rate
    /// per second is missed, nobody knows before a second is over.
    fn due(&self, bytes: usize) -> Duration {
        let paid = Duration::from_millis((bytes as u64).saturating_mul(1000) / self.bytes_per_second_min.max(1));
        self.grace.saturating_add(paid).saturating_add(Duration::from_secs(1)).min(self.deadline)
    }
}

/// Reads the whole body. `reserved` is what it takes of the process's buffers: at first 16 KiB or its length, nothing where that is not known; then at
/// most twice what came, or 16 KiB.
///
/// # Errors
/// `body_too_large`, `body_timeout`, `body_truncated`; `framing_refused` where its framing is broken or it has trailers in HTTP/2, `overloaded` if the
/// process's buffers are full.
pub async fn read<B>(
    body: &mut Arriving<B>,
    head: &Parts,
    bytes_max: usize,
    pace: Pace,
    reserved: &mut Reserved,
) -> Result<Bytes, Rejection>
where
    B: Body<Data = Bytes, Error: Error + 'static> + Unpin,
{
    let announced = announced(&head.headers);
    let too_large = || Rejection::new(Reason::BodyTooLarge).fact("body_bytes_max", bytes_max);
    if announced.is_some_and(|length| length > bytes_max) {
        return Err(too_large().fact("content_length", announced.unwrap_or_default()));
    }
    let mut pieces = Pieces::of(announced.unwrap_or(bytes_max));
    reserved.grow(announced.map_or(0, |_| pieces.room))?;
    let begun = Instant::now();
    let mut overdue = pin!(tokio::time::sleep_until(begun + pace.due(0)));
    loop {
        let frame = tokio::select! {
            biased;
            frame = body.next() => frame,
            () = overdue.as_mut() => {
                let due = begun + pace.due(pieces.length());
                if due <= overdue.deadline() {
                    return Err(timeout(begun.elapsed(), &pace));
                }
                overdue.as_mut().reset(due);
                continue;
            }
        };
        let Some(frame) = frame else { break };
        let piece = match frame.map_err(|error| broken(&error))?.into_data() {
            Ok(piece) => piece,
            // Trailers. The library does not say whether there are pseudo fields among them, which there must not be (RFC 9113 §8.1).
            Err(_) if head.version == Version::HTTP_2 => return Err(misframed("trailers")),
            // They are dropped: nothing of a request's meaning may come after its body.
            Err(_) => continue,
        };
        if pieces.length() + piece.len() > bytes_max {
            return Err(too_large());
        }
        pieces.make_room(piece.len());
        reserved.grow(pieces.room.saturating_sub(reserved.amount()))?;
        pieces.push(piece);
    }
    let whole = pieces.join();
    if announced.is_some_and(|length| length != whole.len()) {
        return Err(Reason::BodyTruncated.into());
    }
    Ok(whole)
}

/// The most of an unread body that is taken before the answer.
const DISCARDED_BYTES_MAX: usize = 64 * 1024;

/// How long an answer waits for an unread body.
const DISCARD_TIME: Duration = Duration::from_millis(250);

/// How much room is set aside for a body before the first of it is there, where its length is known: most are not longer.
const ROOM_AT_FIRST: usize = 16 * 1024;

/// A body as far as it is there: where it lies, if it is one piece, else joined.
struct Pieces {
    length_max: usize,
    /// For so many bytes there is room, or will be when they are joined.
    room: usize,
    first: Bytes,
    joined: BytesMut,
}

impl Pieces {
    fn of(length_max: usize) -> Self {
        Self { length_max, room: length_max.min(ROOM_AT_FIRST), first: Bytes::new(), joined: BytesMut::new() }
    }

    fn length(&self) -> usize {
        self.first.len() + self.joined.len()
    }

    /// Sees to room for so many more bytes, and for what may follow them.
    fn make_room(&mut self, more: usize) {
        let length = self.length() + more;
        if length > self.room {
            self.room = length.saturating_mul(2).min(self.length_max).max(length);
        }
    }

    fn push(&mut self, piece: Bytes) {
        if self.length() == 0 {
            self.first = piece;
            return;
        }
        if self.joined.capacity() < self.room {
            self.joined.reserve(self.room - self.joined.len());
        }
        self.joined.extend_from_slice(&std::mem::take(&mut self.first));
        self.joined.extend_from_slice(&piece);
    }

    fn join(self) -> Bytes {
        if self.joined.is_empty() { self.first } else { self.joined.freeze() }
    }
}

/// Why a body broke off: the edge's reason, if it has one, stands among the causes.
fn broken(error: &(dyn Error + 'static)) -> Rejection {
    let mut causes = std::iter::successors(Some(error), |error| <dyn Error>::source(*error));
    let inner = |error: &(dyn Error + 'static)| {
        let error = error.downcast_ref::<io::Error>()?.get_ref()?;
        error.downcast_ref::<Misframing>().map(|Misframing(rule)| misframed(rule))
    };
    causes.find_map(inner).unwrap_or_else(|| Reason::BodyTruncated.into())
}

fn misframed(rule: &'static str) -> Rejection {
    Rejection::new(Reason::FramingRefused).fact("rule", rule)
}

fn timeout(waited: Duration, pace: &Pace) -> Rejection {
    let rejection = Rejection::new(Reason::BodyTimeout);
    if waited >= pace.deadline {
        return rejection.fact("deadline_seconds", pace.deadline.as_secs());
    }
    rejection.fact("bytes_per_second_min", pace.bytes_per_second_min)
}

/// The length the sender announced, where it did; what is not a number never gets here (hyper answers it).
fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace =
        Pace { deadline: Duration::from_secs(30), grace: Duration::from_secs(5), bytes_per_second_min: 1_024 };

    /// The second in which a body is given up of which `count` pieces of so many bytes come, the first after `from` ms, the others a tenth of a second
    /// apart.
    fn given_up(from: u64, bytes: usize, count: u32) -> u64 {
        let arrivals = (0..count).map(|number| Duration::from_millis(from) + number * Duration::from_millis(100));
        let in_time = arrivals.zip(0..).take_while(|(at, before)| *at < PACE.due(before * bytes)).count();
        PACE.due(in_time * bytes).as_secs()
    }

    /// Room at first, and after each of these pieces.
    #[test]
    fn room_follows_what_comes_and_never_passes_what_may_come() {
        const FIRST: usize = ROOM_AT_FIRST;
        let rows: [(&str, usize, &[usize], &[usize]); 6] = [
            ("a short one", 7, &[7], &[7, 7]),
            ("as long as the first room", FIRST, &[FIRST - 1, 1], &[FIRST, FIRST, FIRST]),
            ("one byte longer, come at once", FIRST + 1, &[FIRST + 1], &[FIRST, FIRST + 1]),
            ("one byte more than the first room", 1 << 20, &[FIRST, 1], &[FIRST, FIRST, 2 * (FIRST + 1)]),
            ("its length is less than twice what came", 40_000, &[FIRST, 9_000], &[FIRST, FIRST, 40_000]),
            ("a byte at a time", 1 << 20, &[1, 1], &[FIRST, FIRST, FIRST]),
        ];
        for (name, length, arrivals, expected) in rows {
            let mut pieces = Pieces::of(length);
            let mut rooms = vec![pieces.room];
            for arrived in arrivals {
                pieces.make_room(*arrived);
                pieces.push(vec![b'x'; *arrived].into());
                assert!(pieces.length() <= pieces.room, "{name}");
                rooms.push(pieces.room);
            }
            assert_eq!(rooms, expected, "{name}");
            assert_eq!(pieces.join().len(), arrivals.iter().sum::<usize>(), "{name}");
        }
    }

    #[test]
    fn a_body_is_given_up_when_it_misses_its_rate_after_the_grace_and_not_before() {
        for (name, from, bytes, count, second) in [
            ("nothing comes", 0, 0, 0, 6),
            ("a byte now and then", 0, 1, 1_000, 6),
            ("it begins just before the grace ends, and keeps the rate", 4_900, 103, 1_000, 30),
            ("it begins in the first second after, and keeps the rate", 5_900, 103, 1_000, 30),
            ("the same, a little too slowly", 5_900, 92, 1_000, 6),
            ("it comes at its rate from the beginning, and stops after ten seconds", 0, 103, 100, 16),
            ("what came at once pays for later", 0, 10_240, 1, 16),
            ("but not for more than all the time there is", 0, 1 << 20, 1, 30),
        ] {
            assert_eq!(given_up(from, bytes, count), second, "{name}");
        }
    }
}
