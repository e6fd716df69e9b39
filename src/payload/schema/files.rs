//! The files of a schema: its own and those that it refers to, all below one directory.
//!
//! They are read when a policy is loaded, never while a delivery is judged. A reference reaches this file as a URI of a
//! scheme that nothing else has; what leads elsewhere never gets here.
//!
//! **Invariant:** nothing outside the directory is opened, neither by `..` nor through a symbolic link.

use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use memchr::{memchr_iter, memrchr};
use serde_json::Value;

use super::{SchemaFault, operator_text, yaml};
use crate::payload::{Document, JsonLimits};
use crate::reason::Reason;
use crate::rejection::{Fact, Rejection};
use crate::whole_file::{self, ReadFault};

/// Bytes of a schema file and all files it refers to: descriptions of a whole API are as large. A file of which a place is named is read twice, and counts so.
pub(super) const FILES_BYTES_MAX: u64 = 32 << 20;
/// What else bounds a file; `serde_json` stops at 128 levels.
const FILE_LIMITS: JsonLimits = JsonLimits { depth_max: 128, nodes_max: 1 << 21, members_max: 1 << 20 };
/// Where the files are for the library: nothing else has this URI scheme, so that a reference to `file:` or `https:` can
/// never be mistaken for one of ours.
const SCHEME: &str = "hookward-schema:///";
/// Where a schema stands that is no file: nothing can be read there.
pub(super) const NOWHERE: &str = SCHEME;

/// The files below one directory, as the library asks for them.
pub(super) struct Library {
    /// Canonical: no symbolic link is left in it.
    pub(super) directory: PathBuf,
    bytes_left: AtomicU64,
}

impl Library {
    pub(super) fn open(directory: &Path) -> Result<Self, SchemaFault> {
        let directory = directory.canonicalize().map_err(|error| SchemaFault::unreadable(directory, &error))?;
        Ok(Self { directory, bytes_left: AtomicU64::new(FILES_BYTES_MAX) })
    }

    /// The path of `file` below the directory.
    pub(super) fn locate(&self, file: &Path) -> Result<PathBuf, SchemaFault> {
        let path = file.canonicalize().map_err(|error| SchemaFault::unreadable(file, &error))?;
        let outside = || format!("\"{}\" is outside \"{}\"", file.display(), self.directory.display());
        path.strip_prefix(&self.directory).map(Path::to_owned).map_err(|_| SchemaFault::new(outside()))
    }

    /// Reads the file at `relative`. The error is for the operator.
    pub(super) fn read(&self, relative: &Path) -> Result<Value, String> {
        if !relative.components().all(|component| matches!(component, Component::Normal(_))) {
            return Err("a reference has to stay inside the schema directory".to_owned());
        }
        let path = self.directory.join(relative).canonicalize().map_err(|error| error.to_string())?;
        if !path.starts_with(&self.directory) {
            return Err("a reference has to stay inside the schema directory, this is a link out of it".to_owned());
        }
        let text = self.read_bounded(&path)?;
        let text = if text.starts_with(BYTE_ORDER_MARK) { text.slice(BYTE_ORDER_MARK.len()..) } else { text };
        if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            let text = std::str::from_utf8(&text).map_err(|_| "it is not UTF-8".to_owned())?;
            return yaml::read(text, FILE_LIMITS);
        }
        // Our own reader first: `serde_json` keeps the last of two members with one name, and a rule would be lost silently.
        if let Err(rejection) = Document::read(text.clone(), FILE_LIMITS) {
            return Err(fault_of(&rejection, &text));
        }
        serde_json::from_slice(&text).map_err(|error| operator_text(&error.to_string()))
    }

    fn read_bounded(&self, path: &Path) -> Result<Bytes, String> {
        let left = self.bytes_left.load(Ordering::Relaxed);
        let text = whole_file::read(path, left).map_err(|fault| match fault {
            ReadFault::System(error) => error.to_string(),
            ReadFault::NotRegular => fault.to_string(),
            ReadFault::TooLarge(_) => {
                format!("the schema with all files it refers to is larger than {FILES_BYTES_MAX} bytes")
            }
        })?;
        self.bytes_left.store(left - text.len() as u64, Ordering::Relaxed);
        Ok(text.into())
    }
}

/// A file, and the place in it that is named behind a `#`, as a URI's fragment (RFC 3986 §3.5).
#[must_use]
pub fn split_place(file: &Path) -> (PathBuf, Option<String>) {
    match file.to_str().and_then(|text| text.split_once('#')) {
        Some((file, place)) => (file.into(), Some(encoded(place.as_bytes(), b"-._~/!$&'()*+,;=:@?%"))),
        None => (file.to_owned(), None),
    }
}

/// What is wrong with a file, and where: people count lines, and characters in them.
fn fault_of(rejection: &Rejection, text: &[u8]) -> String {
    let reason = rejection.reason();
    let words = FAULTS.iter().find(|(of, _)| *of == reason).map_or(reason.row().meaning, |(_, words)| words);
    let offset = rejection.detail().iter().find(|(name, _)| *name == "offset");
    let Some((_, Fact::Number(offset))) = offset else { return words.to_owned() };
    let before = usize::try_from(*offset).ok().and_then(|offset| text.get(..offset)).unwrap_or(text);
    let line_start = memrchr(b'\n', before).map_or(0, |newline| newline + 1);
    let line = memchr_iter(b'\n', before).count() + 1;
    let column = String::from_utf8_lossy(&before[line_start..]).chars().count() + 1;
    format!("{words} (line {line}, column {column})")
}

/// What a file of the operator's is told; what a sender is told of a body has other words.
const FAULTS: [(Reason, &str); 5] = [
    (Reason::JsonMalformed, "it is not JSON"),
    (Reason::JsonNotUtf8, "it is not UTF-8"),
    (Reason::JsonTooDeep, "it nests too deeply"),
    (Reason::JsonTooLarge, "it has too many values"),
    (Reason::JsonDuplicateKey, "two members have the same name"),
];

/// Some editors begin a file in UTF-8 with it; it says nothing.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The path of the file below the schema directory that a URI means; `None` where it means anything else.
pub(super) fn path_of(uri: &str) -> Option<String> {
    percent_decoded(uri.strip_prefix(SCHEME)?)
}

/// The URI of the file at `relative` in the schema directory.
pub(super) fn uri_of(relative: &Path) -> String {
    let segments = relative.components().map(|component| encoded(component.as_os_str().as_encoded_bytes(), b"-._~"));
    format!("{SCHEME}{}", segments.collect::<Vec<_>>().join("/"))
}

/// The reference in `schema` that names this place of a file, as somebody wrote it, and where it stands; nowhere, if it is of ours.
pub(super) fn reference_to(place: &str, schema: &Value) -> Option<(String, Option<String>)> {
    let inner = |step: String, value: &Value| {
        let (reference, location) = reference_to(place, value)?;
        Some((reference, location.map(|below| format!("/{step}{below}"))))
    };
    match schema {
        Value::Object(members) => {
            let own = ["$ref", "$dynamicRef"].into_iter().find_map(|name| Some((name, members.get(name)?.as_str()?)));
            if let Some((name, text)) = own.filter(|(_, text)| text.split_once('#').is_some_and(|(_, of)| of == place))
            {
                return Some(match text.strip_prefix(SCHEME) {
                    Some(ours) => (ours.to_owned(), None),
                    None => (text.to_owned(), Some(format!("/{name}"))),
                });
            }
            members.iter().find_map(|(name, value)| inner(name.replace('~', "~0").replace('/', "~1"), value))
        }
        Value::Array(elements) => {
            elements.iter().enumerate().find_map(|(index, value)| inner(index.to_string(), value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// Text with everything encoded but letters, digits and `plain` (RFC 3986 §2.1).
fn encoded(text: &[u8], plain: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for &byte in text {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// A URI's path as text (RFC 3986 §2.1). `None` if it is not UTF-8, or hides a separator or NUL.
fn percent_decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        let byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if matches!(byte, 0 | b'/' | b'\\') {
            return None;
        }
        bytes.push(byte);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}
