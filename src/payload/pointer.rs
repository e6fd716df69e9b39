//! JSON Pointers (RFC 6901), parsed when a policy is compiled and followed for each delivery.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::names::fingerprint;
use super::node::Node;
use super::tape::Kind;

/// A place in a JSON text, such as `/data/object/0/id`; the empty pointer is the whole text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    segments: Vec<Segment>,
}

/// One step of a pointer, prepared for both kinds of containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    name: String,
    fingerprint: u32,
    /// The array index it is, if it can be one.
    element: Option<usize>,
}

/// A text that is no JSON Pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PointerFault {
    /// It neither is empty nor begins with `/`.
    #[error("a JSON Pointer begins with \"/\" (the empty one is the whole document)")]
    NoSlash,
    /// A `~` that is not `~0` or `~1`.
    #[error("in a JSON Pointer \"~\" is written \"~0\" and \"/\" inside of a name \"~1\"")]
    Tilde,
}

impl Pointer {
    /// Parses a pointer as RFC 6901 §3 writes it.
    ///
    /// # Errors
    ///
    /// A [`PointerFault`] that says what a pointer looks like.
    pub fn parse(text: &str) -> Result<Self, PointerFault> {
        if text.is_empty() {
            return Ok(Self { segments: Vec::new() });
        }
        let segments = text.strip_prefix('/').ok_or(PointerFault::NoSlash)?.split('/');
        Ok(Self { segments: segments.map(Segment::parse).collect::<Result<_, _>>()? })
    }

    /// Whether a step is `*`, which stands for every element of an array where [`Pointer::scalars`] follows it.
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        self.segments.iter().any(|segment| segment.name == "*")
    }

    /// The texts of all scalars at this place, a step `*` being every element; `None` where one of them is missing or no scalar, or there are
    /// none.
    #[must_use]
    pub fn scalars<'d>(&self, root: Node<'d>) -> Option<Vec<Cow<'d, str>>> {
        let mut nodes = vec![root];
        for segment in &self.segments {
            let mut next = Vec::with_capacity(nodes.len());
            for node in nodes {
                match (segment.name.as_str(), node.kind()) {
                    ("*", Kind::Array) => next.extend(node.elements()),
                    _ => next.push(segment.of(node)?),
                }
            }
            nodes = next;
        }
        let texts: Option<Vec<_>> = nodes.into_iter().map(Node::scalar_text).collect();
        texts.filter(|texts| !texts.is_empty())
    }

    /// Its steps from the outermost value on.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }
}

impl FromStr for Pointer {
    type Err = PointerFault;

    fn from_str(text: &str) -> Result<Self, PointerFault> {
        Self::parse(text)
    }
}

/// The pointer in its written form.
impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segments.iter().try_for_each(|segment| write!(f, "/{}", escape(&segment.name)))
    }
}

impl Segment {
    pub(super) fn parse(text: &str) -> Result<Self, PointerFault> {
        let mut tildes = text.split('~').skip(1);
        if !tildes.all(|after| after.starts_with(['0', '1'])) {
            return Err(PointerFault::Tilde);
        }
        // `~01` is `~1`, so the order matters (RFC 6901 §4).
        let name = text.replace("~1", "/").replace("~0", "~");
        Ok(Self { fingerprint: fingerprint(name.as_bytes()), element: element(&name), name })
    }

    /// The segment decoded.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The array index it is, if it can be one.
    pub(super) const fn element(&self) -> Option<usize> {
        self.element
    }

    /// The member or element of `node` that this step leads to.
    #[must_use]
    pub fn of<'d>(&self, node: Node<'d>) -> Option<Node<'d>> {
        match node.kind() {
            Kind::Object => node.get_prepared(&self.name, self.fingerprint),
            Kind::Array => node.elements().nth(self.element?),
            Kind::Null | Kind::Bool | Kind::Number | Kind::String => None,
        }
    }
}

/// Array indexes have no leading zeros (RFC 6901 §4).
fn element(name: &str) -> Option<usize> {
    let digits = name.bytes().all(|byte| byte.is_ascii_digit());
    let led_by_zero = name.len() > 1 && name.starts_with('0');
    if digits && !led_by_zero { name.parse().ok() } else { None }
}

/// A member name as a segment of a pointer (RFC 6901 §3).
#[must_use]
pub fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::payload::{Document, JsonLimits};

    /// The example of RFC 6901 §5.
    const EXAMPLE: &str =
        r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"#;

    #[test]
    fn the_rfcs_own_example_is_followed() {
        let document = Document::read(Bytes::from_static(EXAMPLE.as_bytes()), JsonLimits::default()).unwrap();
        let rows = [
            ("", Some(EXAMPLE)),
            ("/foo", Some(r#"["bar","baz"]"#)),
            ("/foo/0", Some(r#""bar""#)),
            ("/foo/1", Some(r#""baz""#)),
            ("/", Some("0")),
            ("/a~1b", Some("1")),
            ("/c%d", Some("2")),
            ("/e^f", Some("3")),
            ("/g|h", Some("4")),
            ("/i\\j", Some("5")),
            ("/k\"l", Some("6")),
            ("/ ", Some("7")),
            ("/m~0n", Some("8")),
            ("/foo/2", None),
            ("/foo/-", None),
            ("/foo/00", None),
            ("/foo/+1", None),
            ("/foo/", None),
            ("/foo/18446744073709551616", None),
            ("/Foo", None),
            ("/foo/0/0", None),
            ("foo", None),
            ("/m~n", None),
        ];
        for (pointer, found) in rows {
            let raw = document.pointer(pointer).map(|node| std::str::from_utf8(node.raw()).unwrap());
            assert_eq!(raw, found, "{pointer:?}");
        }
    }

    #[test]
    fn only_what_the_rfc_allows_is_a_pointer() {
        let rows = [
            ("", Ok(())),
            ("/", Ok(())),
            ("/~0~1/x", Ok(())),
            ("a", Err(PointerFault::NoSlash)),
            ("#/a", Err(PointerFault::NoSlash)),
            ("/~", Err(PointerFault::Tilde)),
            ("/a~2", Err(PointerFault::Tilde)),
            ("/~~0", Err(PointerFault::Tilde)),
        ];
        for (text, expected) in rows {
            assert_eq!(Pointer::parse(text).map(|_| ()), expected, "{text:?}");
        }
    }

    #[test]
    fn a_tilde_before_a_one_is_decoded_once() {
        assert_eq!(Pointer::parse("/~01").unwrap().segments()[0].name(), "~1");
    }

    #[test]
    fn a_pointer_is_written_as_it_was_read() {
        for text in ["", "/", "/a~1b/~01/0"] {
            assert_eq!(Pointer::parse(text).unwrap().to_string(), text);
        }
    }
}
