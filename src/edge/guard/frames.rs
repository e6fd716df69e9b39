//! What the frames of an HTTP/2 connection cost, against what comes of them (RFC 9113 §10.5).
//!
//! Each frame that carries no part of a request is a debt, and each answer pays for some: a client that works runs up none that lasts, however long it stays,
//! and one that pings, resets or pads for its own sake is at its limit after a thousand frames. The library has limits for floods of streams; this is for the
//! frames around them (CVE-2019-9511 to -9518), and for resets that come faster than answers (CVE-2023-44487).

/// What a client may owe.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Frames without a part of a request.
    pub frames_max: u32,
    /// Their bytes.
    pub bytes_max: u32,
}

/// A walk over the frames of one connection.
#[derive(Debug)]
pub struct Frames {
    limits: Limits,
    place: Place,
    head: [u8; HEAD_BYTES],
    /// Frames, their bytes and resets that nothing came of yet.
    owed: u32,
    owed_bytes: u32,
    owed_resets: u32,
    answers: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the connection's preface; so many bytes are left of it.
    Preface(usize),
    /// In a frame's head; so many of its bytes are there.
    Head(usize),
    /// At the length of a frame's padding.
    Padding,
    /// In a frame's payload; so many bytes are left of it.
    Payload(usize),
}

const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;
const HEAD_LENGTH: u32 = 9;

/// A piece of a body that is shorter than this is not worth its frame.
const PIECE_BYTES_MIN: u32 = 64;

/// What one answer pays: a request brings a head, some pieces, and leave to send an answer.
const PAID_FRAMES: u32 = 32;
const PAID_BYTES: u32 = 8 * 1024;

/// A reset counts as so many frames, and an answer pays for one of these alone: a client that takes back every request that it sends
/// is at its limit after 111 of a thousand.
const RESET_FRAMES: u32 = 10;
const PAID_RESET_FRAMES: u32 = 1;

/// Frame types and flags (RFC 9113 §6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const PADDED: u8 = 8;

impl Frames {
    /// Before the first byte.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            place: Place::Preface(PREFACE_BYTES),
            head: [0; HEAD_BYTES],
            owed: 0,
            owed_bytes: 0,
            owed_resets: 0,
            answers: 0,
        }
    }

    /// Follows bytes that came; `answers` is how many requests were answered until now. If the client owes too much: how many of the bytes may still go on,
    /// which is up to the end of a frame.
    pub fn follow(&mut self, bytes: &[u8], answers: u32) -> Option<usize> {
        self.pay(answers.wrapping_sub(self.answers));
        self.answers = answers;
        let mut at = 0;
        loop {
            if self.place == Place::Head(0) && self.is_over() {
                return Some(at);
            }
            if at == bytes.len() {
                return None;
            }
            let rest = &bytes[at..];
            match self.place {
                Place::Preface(left) => {
                    let used = left.min(rest.len());
                    self.place = if used == left { Place::Head(0) } else { Place::Preface(left - used) };
                    at += used;
                }
                Place::Head(there) => {
                    let used = (HEAD_BYTES - there).min(rest.len());
                    self.head[there..there + used].copy_from_slice(&rest[..used]);
                    at += used;
                    self.place = Place::Head(there + used);
                    if there + used == HEAD_BYTES {
                        self.begin();
                    }
                }
                Place::Padding => {
                    let padding = u32::from(rest[0]) + 1;
                    self.piece(self.length().saturating_sub(padding), padding);
                    at += 1;
                    self.payload(self.length() as usize - 1);
                }
                Place::Payload(left) => {
                    let used = left.min(rest.len());
                    at += used;
                    self.payload(left - used);
                }
            }
        }
    }

    const fn is_over(&self) -> bool {
        self.owed > self.limits.frames_max
            || self.owed_bytes > self.limits.bytes_max
            || self.owed_resets > self.limits.frames_max
    }

    fn pay(&mut self, answers: u32) {
        self.owed = self.owed.saturating_sub(answers.saturating_mul(PAID_FRAMES));
        self.owed_bytes = self.owed_bytes.saturating_sub(answers.saturating_mul(PAID_BYTES));
        self.owed_resets = self.owed_resets.saturating_sub(answers.saturating_mul(PAID_RESET_FRAMES));
    }

    const fn length(&self) -> u32 {
        u32::from_be_bytes([0, self.head[0], self.head[1], self.head[2]])
    }

    /// A frame's head is there.
    fn begin(&mut self) {
        let [.., kind, flags, _, _, _, _] = self.head;
        let length = self.length();
        match kind {
            DATA if flags & PADDED != 0 && length > 0 => {
                self.place = Place::Padding;
                return;
            }
            DATA => self.piece(length, 0),
            // Their bytes have limits of their own.
            HEADERS | CONTINUATION => self.owed += 1,
            RST_STREAM => self.owed_resets = self.owed_resets.saturating_add(RESET_FRAMES),
            _ => self.owe(length),
        }
        self.payload(length as usize);
    }

    /// A piece of a body.
    fn piece(&mut self, useful: u32, padding: u32) {
        let last = self.head[4] & END_STREAM != 0;
        if useful < PIECE_BYTES_MIN && !last {
            self.owe(padding);
        } else {
            self.owed_bytes = self.owed_bytes.saturating_add(padding);
        }
    }

    fn owe(&mut self, payload_bytes: u32) {
        self.owed += 1;
        self.owed_bytes = self.owed_bytes.saturating_add(payload_bytes).saturating_add(HEAD_LENGTH);
    }

    const fn payload(&mut self, left: usize) {
        self.place = if left == 0 { Place::Head(0) } else { Place::Payload(left) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { frames_max: 100, bytes_max: 10_000 };

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        frame.extend_from_slice(payload);
        frame
    }

    fn begun() -> Frames {
        let mut frames = Frames::new(LIMITS);
        assert_eq!(frames.follow(&[b'P'; PREFACE_BYTES], 0), None);
        frames
    }

    /// How many of these frames go on, with so many answers to each.
    fn taken(frame: &[u8], answers: u32) -> usize {
        let mut frames = begun();
        (0..2_000).find(|sent| frames.follow(frame, sent * answers).is_some()).map_or(2_000, |sent| sent as usize)
    }

    #[test]
    fn frames_that_bring_nothing_further_are_counted_and_answers_pay_for_them() {
        let padded = |useful: usize| [&[200][..], &vec![0; useful + 200]].concat();
        let rows: [(&str, Vec<u8>, usize, usize); 13] = [
            ("PING", frame(6, 0, &[0; 8]), 100, 2_000),
            ("SETTINGS", frame(4, 0, &[0; 6]), 100, 2_000),
            ("an empty SETTINGS", frame(4, 0, b""), 100, 2_000),
            ("PRIORITY", frame(2, 0, &[0; 5]), 100, 2_000),
            ("WINDOW_UPDATE", frame(8, 0, &[0; 4]), 100, 2_000),
            ("an unknown frame", frame(0xbe, 0, &[0; 16]), 100, 2_000),
            ("a large unknown frame", frame(0xbe, 0, &[0; 1_000]), 9, 2_000),
            ("empty DATA", frame(DATA, 0, b""), 100, 2_000),
            ("63 bytes of DATA", frame(DATA, 0, &[0; 63]), 100, 2_000),
            ("64 bytes of DATA", frame(DATA, 0, &[0; 64]), 2_000, 2_000),
            ("the last DATA", frame(DATA, END_STREAM, b""), 2_000, 2_000),
            ("padded DATA", frame(DATA, PADDED, &padded(1)), 47, 2_000),
            ("RST_STREAM", frame(RST_STREAM, 0, &[0; 4]), 10, 11),
        ];
        for (name, frame, unanswered, answered) in rows {
            assert_eq!(taken(&frame, 0), unanswered, "{name}");
            assert_eq!(taken(&frame, 1), answered, "{name}, answered");
        }
        let rapid_reset = [frame(HEADERS, 4, &[0; 30]), frame(RST_STREAM, 0, &[0; 4])].concat();
        assert_eq!((taken(&rapid_reset, 0), taken(&rapid_reset, 1)), (10, 11));
    }

    #[test]
    fn frames_in_pieces_are_the_same_frames_and_the_cut_is_at_the_end_of_one() {
        let ping = frame(6, 0, &[0; 8]);
        let padded = frame(DATA, PADDED, &[&[3][..], b"x", &[0; 3]].concat());
        let headers = frame(HEADERS, 4, &[9; 40]);
        let bytes: Vec<u8> = std::iter::repeat_n([ping, padded, headers].concat(), 60).flatten().collect();
        let at_once = begun().follow(&bytes, 0).expect("too much");
        assert_eq!(at_once, 33 * (17 + 14 + 49) + 17 + 14, "the 101st frame is the last");
        for size in 1..40 {
            let mut frames = begun();
            let mut at = 0;
            let cut = bytes.chunks(size).find_map(|piece| {
                let cut = frames.follow(piece, 0).map(|used| at + used);
                at += piece.len();
                cut
            });
            assert_eq!(cut, Some(at_once), "{size} bytes at a time");
        }
    }
}
