//! HTTP/2 frame by frame, for what no client library would send (RFC 9113 §6, RFC 7541 §6.2.2).

use super::{Connection, Delivery, Hello, Running};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;

/// A connection that was begun with HTTP/2's preface and empty SETTINGS.
pub(crate) struct Frames {
    connection: Connection,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// What became of a request, or of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// This request was answered.
    Answered(u16),
    /// It was reset.
    Reset(u32),
    /// GOAWAY.
    Away(u32),
    /// The end, without a word.
    Closed,
}

impl Frame {
    pub(crate) fn new(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Self {
        Self { kind, flags, stream, payload: payload.to_vec() }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).unwrap().to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], self.kind, self.flags];
        bytes.extend_from_slice(&self.stream.to_be_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

/// Fields as literals that are not indexed.
pub(crate) fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("a short text"));
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// The head of a delivery, without the end of its stream.
pub(crate) fn head(stream: u32, delivery: &Delivery) -> Frame {
    let mut all = vec![
        (":method", delivery.method.as_str()),
        (":scheme", "https"),
        (":path", delivery.target.as_str()),
        (":authority", "localhost"),
    ];
    let own = delivery.headers.iter().filter(|(name, _)| name != "host");
    all.extend(own.map(|(name, value)| (name.as_str(), value.as_str())));
    Frame::new(HEADERS, END_HEADERS, stream, &fields(&all))
}

impl Frames {
    pub(crate) fn connect(gateway: &Running) -> Self {
        let mut connection = Hello { protocols: &["h2"], ..Hello::new(gateway) }.connect().unwrap();
        connection.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        connection.write(&Frame::new(SETTINGS, 0, 0, b"").bytes());
        Self { connection }
    }

    pub(crate) fn write(&mut self, frames: &[Frame]) {
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::bytes).collect();
        self.connection.write(&bytes);
    }

    /// Sends a delivery in two frames.
    pub(crate) fn send(&mut self, stream: u32, delivery: &Delivery) -> Fate {
        self.write(&[head(stream, delivery), Frame::new(DATA, END_STREAM, stream, &delivery.body)]);
        self.fate(stream)
    }

    /// Waits until it is known what becomes of this request.
    pub(crate) fn fate(&mut self, stream: u32) -> Fate {
        loop {
            let Some(frame) = self.read() else { return Fate::Closed };
            let word = |at: usize| u32::from_be_bytes(frame.payload[at..at + 4].try_into().unwrap());
            match frame.kind {
                HEADERS if frame.stream == stream => return Fate::Answered(status(&frame.payload)),
                RST_STREAM if frame.stream == stream => return Fate::Reset(word(0)),
                GOAWAY => return Fate::Away(word(4)),
                _ => {}
            }
        }
    }

    /// The rest of an answer's body; `None` if the connection ends before it does.
    pub(crate) fn body(&mut self, stream: u32) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let frame = self.read()?;
            if (frame.kind, frame.stream) == (DATA, stream) {
                body.extend(frame.payload);
                if frame.flags & END_STREAM != 0 {
                    return Some(body);
                }
            }
        }
    }

    fn read(&mut self) -> Option<Frame> {
        let head = self.connection.bytes(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let payload = self.connection.bytes(length as usize)?;
        let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }
}

/// The status at the beginning of an answer's fields: of the static table (RFC 7541 Appendix A), or a literal without Huffman coding behind its name's index.
fn status(block: &[u8]) -> u16 {
    let known = [200, 204, 206, 304, 400, 404, 500];
    match block {
        [index @ 0x88..=0x8e, ..] => known[usize::from(index - 0x88)],
        [_, 3, a, b, c, ..] => std::str::from_utf8(&[*a, *b, *c]).unwrap().parse().unwrap(),
        // Huffman codes of digits have five or six bits; nobody needs to know which status it is.
        _ => 0,
    }
}
