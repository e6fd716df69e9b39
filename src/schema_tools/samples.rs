//! Reading samples: request records, JSON documents a line each, or one JSON document a file.

use std::io::{self, BufRead, Read as _};

use bytes::Bytes;
use http::Request;
use http::request::Parts;

use crate::auth::facts;
use crate::auth::place::{Body, Head, View};
use crate::delivery;
use crate::payload::document::DEPTH_CEILING;
use crate::payload::{Document, Format, JsonLimits, Kind, Payload};
use crate::policy::Source;
use crate::rejection::{Fact, Rejection};
use crate::request_record::RequestRecord;

/// A line, or a file that is one document, has at most so many bytes: a body of the largest size in base64, and its head.
const SAMPLE_BYTES_MAX: u64 = 64 << 20;
/// To tell what a line is; its body has limits of its own.
const OUTER_LIMITS: JsonLimits = JsonLimits { depth_max: DEPTH_CEILING, nodes_max: 1 << 24, members_max: 1 << 20 };

/// One sample.
#[derive(Debug)]
pub struct Sample {
    /// The request's head; one without fields where the file has bodies alone.
    pub head: Parts,
    /// The body, as received.
    pub body: Bytes,
    /// Where it comes from.
    pub origin: Origin,
}

impl Sample {
    /// What it says, read as the gateway reads it of this source, and its event, found where the policy says. What the source would not read is read as
    /// JSON, which a body alone is anyway. An event that only a verified token names is not found.
    ///
    /// # Errors
    /// `content_encoding_refused`, `decoding_failed`, `body_too_large`, and as [`Payload::read`].
    pub fn read(&self, source: &Source) -> Result<(Payload, Option<String>), Rejection> {
        let (head, mut body, mut format) = (&self.head, self.body.clone(), Format::Json);
        if self.origin == Origin::Record {
            if let Some(coding) = delivery::coding(source, head)? {
                body = coding.decoded(&body, source.body_bytes_max)?;
            }
            format = delivery::format(source, head)?.unwrap_or(format);
        }
        let payload = Payload::read(body.clone(), format, source.json_field.as_deref(), source.json)?;
        let whole = Body::for_facts(&body, &head.headers, Some(payload.document()));
        let public_url = source.public_url.as_deref();
        let view = View::of_head(Head { method: &head.method, uri: &head.uri, headers: &head.headers, public_url });
        let view = view.with_body(&whole);
        let event = source.event.places.iter().find_map(|(place, _)| facts::find(std::slice::from_ref(place), &view));
        Ok((payload, event))
    }
}

/// Where a sample comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// From a request record: it has a path and header fields.
    Record,
    /// It is a body alone.
    Body,
}

/// Reads all samples of a file and shows each to `visit`, with the number of its line; or what is wrong with that line, in words.
///
/// # Errors
/// If the file cannot be read.
pub fn read(mut file: impl BufRead, mut visit: impl FnMut(usize, Result<Sample, String>)) -> io::Result<()> {
    let mut is_first = true;
    for number in 1.. {
        let mut line = Vec::new();
        if file.by_ref().take(SAMPLE_BYTES_MAX + 1).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let mut parsed = Document::read(Bytes::copy_from_slice(line.trim_ascii()), OUTER_LIMITS);
        let is_cut_short = |rejection: &Rejection| offset_of(rejection) == i64::try_from(line.trim_ascii().len()).ok();
        if is_first && parsed.as_ref().is_err_and(is_cut_short) {
            // A document over several lines: then it is the whole file.
            file.by_ref().take(SAMPLE_BYTES_MAX + 1).read_to_end(&mut line)?;
            parsed = Document::read(Bytes::copy_from_slice(line.trim_ascii()), OUTER_LIMITS);
        }
        is_first = false;
        if line.len() as u64 > SAMPLE_BYTES_MAX {
            visit(number, Err(format!("it has more than {SAMPLE_BYTES_MAX} bytes")));
            break;
        }
        visit(number, parsed.map_err(|rejection| words(&rejection)).and_then(|document| sample(&document)));
    }
    Ok(())
}

fn sample(document: &Document) -> Result<Sample, String> {
    let root = document.root();
    let is = |name, kind| root.get(name).is_some_and(|found| found.kind() == kind);
    let is_record = is("method", Kind::String) && is("url", Kind::String) && is("headers", Kind::Array);
    if !is_record {
        let head = Request::new(()).into_parts().0;
        return Ok(Sample { head, body: document.source().clone(), origin: Origin::Body });
    }
    let line = std::str::from_utf8(document.source()).map_err(|error| error.to_string())?;
    let record = RequestRecord::parse(line).map_err(|fault| fault.to_string())?;
    let (head, body) = record.request().map_err(|fault| fault.to_string())?;
    Ok(Sample { head, body, origin: Origin::Record })
}

/// What is wrong with a body: the reason's code and the place, never what stands there.
#[must_use]
pub fn words(rejection: &Rejection) -> String {
    let code = rejection.reason().code();
    offset_of(rejection).map_or_else(|| code.to_owned(), |offset| format!("{code} at byte {offset}"))
}

fn offset_of(rejection: &Rejection) -> Option<i64> {
    rejection.detail().iter().find_map(|(name, fact)| match fact {
        Fact::Number(offset) if *name == "offset" => Some(*offset),
        Fact::Number(_) | Fact::Text(_) | Fact::List(_) | Fact::Rows(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        read(text.as_bytes(), |number, sample| {
            found.push(match sample {
                Ok(sample) => {
                    format!("{number} {} {}", sample.head.uri.path(), String::from_utf8_lossy(&sample.body))
                }
                Err(why) => format!("{number} {why}"),
            });
        })
        .unwrap();
        found
    }

    #[test]
    fn records_lines_and_whole_files_are_told_apart() {
        let record = r#"{"id":"1","method":"POST","url":"https://x.example/hooks/a","headers":[],"body_b64":"e30="}"#;
        let almost = r#"{"id":"1","method":"POST","url":"https://x.example/hooks/a"}"#;
        let cases: [(&str, &str, &[&str]); 9] = [
            ("records", &format!("{record}\n\n{record}\n"), &["1 /hooks/a {}", "3 /hooks/a {}"]),
            ("no record", almost, &[&format!("1 / {almost}")]),
            ("bodies", "[1]\n{}", &["1 / [1]", "2 / {}"]),
            ("one document", "{\n \"a\": 1\n}\n", &["1 / {\n \"a\": 1\n}"]),
            ("a broken line", "[1]\n[2\n[3]", &["1 / [1]", "2 json_malformed at byte 2", "3 / [3]"]),
            ("a broken first line", "[1 2]\n[3]", &["1 json_malformed at byte 3", "2 / [3]"]),
            ("a broken file", "{\n\"a\": 1,\n", &["1 json_malformed at byte 9"]),
            ("a name twice", r#"{"a":1,"a":2}"#, &["1 json_duplicate_key at byte 7"]),
            ("nothing", "\n\n", &[]),
        ];
        for (name, text, expected) in cases {
            assert_eq!(bodies(text), expected, "{name}");
        }
    }
}
