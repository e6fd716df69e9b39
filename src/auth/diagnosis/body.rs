//! Bodies that something on the way, or the sender itself after signing, has written anew.

use bytes::Bytes;
use http::HeaderMap;

use super::{Attempts, Finding};
use crate::payload::{Document, JsonLimits, Kind, Node};

/// How the received body is changed to become the signed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyChange {
    /// The line ends at its end are taken away.
    NewlineRemoved,
    /// A line end is put behind it.
    NewlineAdded,
    /// Every CRLF becomes LF.
    CrlfToLf,
    /// Every LF becomes CRLF.
    LfToCrlf,
    /// The same JSON, written as common serialisers do.
    Json(JsonLayout, JsonStrings),
}

/// White space between the tokens of a JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonLayout {
    /// None.
    Compact,
    /// One space behind `,` and `:`.
    Spaced,
    /// A line a value, two spaces a level.
    Indented2,
    /// A line a value, four spaces a level.
    Indented4,
}

/// Which characters of JSON strings are escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonStrings {
    /// As they were received.
    AsReceived,
    /// What must be (RFC 8259 §7).
    Plain,
    /// All that is not ASCII as well.
    Ascii,
    /// All that is not ASCII and `/`.
    AsciiAndSlash,
    /// `<`, `>`, `&` and the line separators U+2028 and U+2029.
    Html,
}

/// How serialisers write by default, and indented.
const WRITTEN: &[(JsonLayout, JsonStrings)] = &[
    (JsonLayout::Compact, JsonStrings::AsReceived),
    (JsonLayout::Compact, JsonStrings::Plain),
    (JsonLayout::Compact, JsonStrings::Ascii),
    (JsonLayout::Compact, JsonStrings::AsciiAndSlash),
    (JsonLayout::Compact, JsonStrings::Html),
    (JsonLayout::Spaced, JsonStrings::AsReceived),
    (JsonLayout::Spaced, JsonStrings::Plain),
    (JsonLayout::Spaced, JsonStrings::Ascii),
    (JsonLayout::Indented2, JsonStrings::AsReceived),
    (JsonLayout::Indented2, JsonStrings::Plain),
    (JsonLayout::Indented2, JsonStrings::Ascii),
    (JsonLayout::Indented2, JsonStrings::Html),
    (JsonLayout::Indented4, JsonStrings::AsReceived),
    (JsonLayout::Indented4, JsonStrings::Plain),
    (JsonLayout::Indented4, JsonStrings::Ascii),
    (JsonLayout::Indented4, JsonStrings::AsciiAndSlash),
];

impl BodyChange {
    /// The word of the finding.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NewlineRemoved => "body_newline_removed",
            Self::NewlineAdded => "body_newline_added",
            Self::CrlfToLf => "body_crlf_to_lf",
            Self::LfToCrlf => "body_lf_to_crlf",
            Self::Json(..) => "body_reencoded",
        }
    }

    pub(super) const fn hint(self) -> &'static str {
        match self {
            Self::NewlineRemoved => {
                "the body came with a line end more than was signed: something on the way, or the sender's tool, adds it"
            }
            Self::NewlineAdded => {
                "the body came without the line end that was signed: something on the way, or the sender's tool, cuts it off"
            }
            Self::CrlfToLf => "LF was signed and CRLF came: something on the way changes line ends",
            Self::LfToCrlf => "CRLF was signed and LF came: something on the way changes line ends",
            Self::Json(..) => {
                "the JSON was written anew after it was signed: let the proxy in front, or the sender's code, pass on the bytes as they are"
            }
        }
    }
}

impl JsonLayout {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::Spaced => "spaces behind , and :",
            Self::Indented2 => "indented by 2",
            Self::Indented4 => "indented by 4",
        }
    }

    const fn indent(self) -> Option<usize> {
        match self {
            Self::Compact | Self::Spaced => None,
            Self::Indented2 => Some(2),
            Self::Indented4 => Some(4),
        }
    }

    const fn space(self) -> &'static [u8] {
        match self {
            Self::Compact => b"",
            Self::Spaced | Self::Indented2 | Self::Indented4 => b" ",
        }
    }
}

impl JsonStrings {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::AsReceived => "as received",
            Self::Plain => "escaped where they must be",
            Self::Ascii => "escaped to ASCII",
            Self::AsciiAndSlash => "escaped to ASCII, slashes too",
            Self::Html => "escaped for HTML",
        }
    }
}

/// Ways to change a text's line ends; `None` where there is nothing to change.
type Change = fn(&Bytes) -> Option<Bytes>;

const LINE_ENDS: [(BodyChange, Change); 5] = [
    (BodyChange::NewlineRemoved, |body| {
        let end = body.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |position| position + 1);
        (end < body.len()).then(|| body.slice(..end))
    }),
    (BodyChange::NewlineAdded, |body| Some([body, &b"\n"[..]].concat().into())),
    (BodyChange::NewlineAdded, |body| Some([body, &b"\r\n"[..]].concat().into())),
    (BodyChange::CrlfToLf, |body| memchr::memmem::find(body, b"\r\n").map(|_| with_line_ends(body, b"\n"))),
    (BodyChange::LfToCrlf, |body| memchr::memchr(b'\n', body).map(|_| with_line_ends(body, b"\r\n"))),
];

/// Tries other line ends.
pub(super) fn try_line_ends(body: &Bytes, attempts: &mut Attempts<'_, '_>) {
    for (change, changed) in LINE_ENDS {
        // A body that cannot be tried any more is not written.
        if body.len() > attempts.work_bytes_left {
            return;
        }
        if let Some(fitted) = changed(body).and_then(|body| attempts.fits_body(body)) {
            attempts.found(Finding::Body { change, fitted });
        }
    }
}

/// The text with all of its line ends, LF or CRLF, written so.
fn with_line_ends(body: &[u8], line_end: &[u8]) -> Bytes {
    let mut text = Vec::with_capacity(body.len() + body.len() / 16);
    let mut rest = body;
    while let Some(position) = memchr::memchr(b'\n', rest) {
        let line = &rest[..position];
        text.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        text.extend_from_slice(line_end);
        rest = &rest[position + 1..];
    }
    text.extend_from_slice(rest);
    text.into()
}

/// Tries the same JSON as serialisers write it.
pub(super) fn try_json(body: &Bytes, attempts: &mut Attempts<'_, '_>) {
    let Some(left) = attempts.work_bytes_left.checked_sub(body.len()) else { return };
    attempts.work_bytes_left = left;
    let Ok(document) = Document::read(body.clone(), JsonLimits::default()) else { return };
    attempts.bodies.push(body.clone());
    for &(layout, strings) in WRITTEN {
        if body.len() > attempts.work_bytes_left {
            return;
        }
        let bytes_max = attempts.work_bytes_left.min(4 * body.len() + 4096);
        let mut writer = Writer { layout, strings, bytes_max, text: Vec::with_capacity(body.len()) };
        writer.value(document.root(), 0);
        // Writing costs more than hashing, and is paid for whatever becomes of it.
        attempts.work_bytes_left = attempts.work_bytes_left.saturating_sub(writer.text.len());
        if writer.text.len() >= bytes_max {
            continue;
        }
        if let Some(fitted) = attempts.fits_body(writer.text.into()) {
            attempts.found(Finding::Body { change: BodyChange::Json(layout, strings), fitted });
        }
    }
}

/// Writes a document's values anew.
struct Writer {
    layout: JsonLayout,
    strings: JsonStrings,
    /// Where it stops: indenting makes deep texts long, and escaping others.
    bytes_max: usize,
    text: Vec<u8>,
}

impl Writer {
    fn value(&mut self, node: Node<'_>, depth: usize) {
        if self.text.len() >= self.bytes_max {
            return;
        }
        match node.kind() {
            Kind::Null | Kind::Bool | Kind::Number => self.text.extend_from_slice(node.raw()),
            Kind::String => match self.strings {
                JsonStrings::AsReceived => self.text.extend_from_slice(node.raw()),
                JsonStrings::Plain | JsonStrings::Ascii | JsonStrings::AsciiAndSlash | JsonStrings::Html => {
                    self.string(&node.as_str().unwrap_or_default());
                }
            },
            Kind::Array => {
                self.text.push(b'[');
                for (position, element) in node.elements().enumerate() {
                    self.between(position, depth + 1);
                    self.value(element, depth + 1);
                }
                self.close(node, depth, b']');
            }
            Kind::Object => {
                self.text.push(b'{');
                for (position, member) in node.members().enumerate() {
                    self.between(position, depth + 1);
                    match self.strings {
                        JsonStrings::AsReceived => {
                            let raw = node.document().source().get(member.key.span());
                            self.text.extend_from_slice(raw.unwrap_or_default());
                        }
                        JsonStrings::Plain | JsonStrings::Ascii | JsonStrings::AsciiAndSlash | JsonStrings::Html => {
                            self.string(&member.key.name());
                        }
                    }
                    self.text.push(b':');
                    self.text.extend_from_slice(self.layout.space());
                    self.value(member.value, depth + 1);
                }
                self.close(node, depth, b'}');
            }
        }
    }

    /// Before an element: the comma, and the white space of the layout.
    fn between(&mut self, position: usize, depth: usize) {
        if position > 0 {
            self.text.push(b',');
        }
        match self.layout.indent() {
            Some(width) => self.new_line(width * depth),
            None if position > 0 => self.text.extend_from_slice(self.layout.space()),
            None => {}
        }
    }

    fn close(&mut self, node: Node<'_>, depth: usize, bracket: u8) {
        if let Some(width) = self.layout.indent()
            && !node.is_empty()
        {
            self.new_line(width * depth);
        }
        self.text.push(bracket);
    }

    fn new_line(&mut self, indent: usize) {
        self.text.push(b'\n');
        self.text.resize(self.text.len() + indent, b' ');
    }

    fn string(&mut self, text: &str) {
        self.text.push(b'"');
        for character in text.chars() {
            if self.text.len() >= self.bytes_max {
                return;
            }
            self.character(character);
        }
        self.text.push(b'"');
    }

    fn character(&mut self, character: char) {
        let short = match character {
            '"' => Some(b'"'),
            '\\' => Some(b'\\'),
            '\u{8}' => Some(b'b'),
            '\u{c}' => Some(b'f'),
            '\n' => Some(b'n'),
            '\r' => Some(b'r'),
            '\t' => Some(b't'),
            '/' if self.strings == JsonStrings::AsciiAndSlash => Some(b'/'),
            _other => None,
        };
        if let Some(short) = short {
            return self.text.extend_from_slice(&[b'\\', short]);
        }
        let escaped = match self.strings {
            JsonStrings::AsReceived | JsonStrings::Plain => false,
            JsonStrings::Ascii | JsonStrings::AsciiAndSlash => !character.is_ascii(),
            JsonStrings::Html => matches!(character, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'),
        };
        if escaped || character < ' ' {
            for unit in character.encode_utf16(&mut [0; 2]) {
                self.text.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
            }
            return;
        }
        self.text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// Looks for traces of a body that was compressed or decompressed on the way.
pub(super) fn look(headers: &HeaderMap, body: &[u8], attempts: &mut Attempts<'_, '_>) {
    if COMPRESSED.iter().any(|magic| body.starts_with(magic)) {
        attempts.found(Finding::EncodingHidden);
    }
    if DECOMPRESSED.iter().any(|name| headers.contains_key(*name)) {
        attempts.found(Finding::Decompressed);
    }
}

/// How gzip (RFC 1952 §2.3.1, with deflate) and Zstandard (RFC 8878 §3.1.1) begin.
const COMPRESSED: [&[u8]; 2] = [&[0x1f, 0x8b, 0x08], &[0x28, 0xb5, 0x2f, 0xfd]];

/// What proxies and platforms call the encoding or length that a body had before they decompressed it.
const DECOMPRESSED: [&str; 3] =
    ["x-original-content-encoding", "x-encoded-content-encoding", "x-original-content-length"];
