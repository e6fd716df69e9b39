//! A JSON text that was read once and is known to mean one thing.
//!
//! A [`Document`] is made from the received bytes and keeps them: it adds a tape of spans, and every later look at the
//! payload (schema, sanitizer, event type, delivery id) is a walk over that tape. Strings are borrowed from the bytes, numbers
//! stay text, so nothing is rounded and nothing is copied.
//!
//! The profile is stricter than RFC 8259 where parsers are known to disagree: UTF-8 without a byte order mark, no half
//! surrogates, no name twice in an object, nothing after the value, and bounds on depth, values and members.
//!
//! **Invariant:** who holds a `Document` may slice its source by any span of it.

use std::fmt;

use bytes::Bytes;

use super::fault::Fault;
use super::node::{Member, Node};
use super::pointer::Pointer;
use super::reader::{self, Contents, Twins};
use super::tape::{COUNT_MAX, Entry, Kind};
use crate::reason::Reason;
use crate::rejection::Rejection;

/// How large a JSON text may be beside its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonLimits {
    /// How deep containers may stand in one another: `[[]]` is 2 deep. No more than [`DEPTH_CEILING`] ever.
    pub depth_max: u32,
    /// How many values a text may have, containers included, names not. Each takes 16 bytes, and its name as many.
    pub nodes_max: u32,
    /// How many members one object may have.
    pub members_max: u32,
}

/// The deepest text that is read under any limit: comparing values and judging them by a schema goes down with them on our
/// own stack.
pub const DEPTH_CEILING: u32 = 512;

impl JsonLimits {
    /// What is within one of both.
    #[must_use]
    pub fn or_wider(self, other: Self) -> Self {
        Self {
            depth_max: self.depth_max.max(other.depth_max),
            nodes_max: self.nodes_max.max(other.nodes_max),
            members_max: self.members_max.max(other.members_max),
        }
    }

    fn within_bounds(self) -> Self {
        Self { depth_max: self.depth_max.min(DEPTH_CEILING), nodes_max: self.nodes_max.min(COUNT_MAX), ..self }
    }
}

/// What holds where a policy says nothing.
impl Default for JsonLimits {
    fn default() -> Self {
        Self { depth_max: 64, nodes_max: 262_144, members_max: 10_000 }
    }
}

/// A JSON text with the places of everything in it.
pub struct Document {
    source: Bytes,
    contents: Contents,
}

impl Document {
    /// Reads a whole body. Its bytes are shared, never copied.
    ///
    /// # Errors
    ///
    /// `json_malformed`, `json_not_utf8`, `json_too_deep`, `json_too_large` or `json_duplicate_key`, with the facts `offset`
    /// (the byte at which it was found), `pointer` (the container it stands in; the sender's names are shown as `*`), and
    /// `limit` and `maximum` where one was passed.
    pub fn read(source: Bytes, limits: JsonLimits) -> Result<Self, Rejection> {
        let limits = limits.within_bounds();
        if u32::try_from(source.len()).is_err() {
            return Err(Rejection::new(Reason::JsonTooLarge).fact("offset", u64::from(u32::MAX)));
        }
        check_encoding(&source).map_err(|fault| fault.rejection(limits))?;
        match reader::read(&source, limits, Twins::Refused) {
            Ok(contents) => Ok(Self { source, contents }),
            Err((fault, pointer)) => Err(fault.rejection(limits).fact("pointer", pointer)),
        }
    }

    /// Reads what nobody validates, to look single values up: an object may have a name twice, which then has no value
    /// ([`Document::find_unambiguous`]). `None` if it cannot be read even so.
    #[must_use]
    pub fn read_tolerantly(source: Bytes) -> Option<Self> {
        let limits = JsonLimits::default().within_bounds();
        check_encoding(&source).ok()?;
        let contents = reader::read(&source, limits, Twins::Tolerated).ok()?;
        Some(Self { source, contents })
    }

    /// The bytes that were read, as they were received.
    #[must_use]
    pub const fn source(&self) -> &Bytes {
        &self.source
    }

    /// The outermost value.
    #[must_use]
    pub const fn root(&self) -> Node<'_> {
        Node::new(self, 0)
    }

    /// The value at a JSON Pointer (RFC 6901); `None` where there is none, or the text is no pointer.
    #[must_use]
    pub fn pointer(&self, pointer: &str) -> Option<Node<'_>> {
        self.find(&Pointer::parse(pointer).ok()?)
    }

    /// The value at a pointer that was parsed before.
    #[must_use]
    pub fn find(&self, pointer: &Pointer) -> Option<Node<'_>> {
        pointer.segments().iter().try_fold(self.root(), |node, segment| segment.of(node))
    }

    /// The same where no name on the way is there twice.
    #[must_use]
    pub fn find_unambiguous(&self, pointer: &Pointer) -> Option<Node<'_>> {
        pointer.segments().iter().try_fold(self.root(), |node, segment| {
            let is_it = |member: &Member<'_>| member.key.name() == segment.name();
            if node.members().filter(is_it).count() > 1 { None } else { segment.of(node) }
        })
    }

    /// Whether a string or a name has a first byte, as it is spelled, of which `test` holds.
    #[must_use]
    pub fn has_string_that_begins(&self, test: impl Fn(u8) -> bool) -> bool {
        let strings = self.tape().iter().filter(|entry| entry.kind() == Kind::String);
        strings.filter_map(|entry| entry.inside(&self.source).first()).any(|&first| test(first))
    }

    /// How many values and names there are.
    pub(super) fn entry_count(&self) -> usize {
        self.tape().len()
    }

    #[inline]
    pub(super) fn tape(&self) -> &[Entry] {
        &self.contents.tape
    }

    /// The tables of names, see [`names`](super::names).
    #[inline]
    pub(super) fn tables(&self) -> &[u32] {
        &self.contents.tables
    }
}

/// Shows how large it is, never what it holds.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("bytes", &self.source.len())
            .field("entries", &self.contents.tape.len())
            .finish()
    }
}

/// UTF-8, and no byte order mark (RFC 8259 §8.1).
fn check_encoding(source: &[u8]) -> Result<(), Fault> {
    if source.starts_with(b"\xEF\xBB\xBF") {
        return Err(Fault::not_utf8(0));
    }
    if simdutf8::basic::from_utf8(source).is_ok() {
        return Ok(());
    }
    // The fast check does not say where.
    let offset = std::str::from_utf8(source).map_or_else(|error| error.valid_up_to(), str::len);
    Err(Fault::not_utf8(offset))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::payload::Kind;
    use crate::rejection::Fact;

    fn read(text: &[u8]) -> Result<Document, Rejection> {
        Document::read(Bytes::copy_from_slice(text), JsonLimits::default())
    }

    fn fact(rejection: &Rejection, name: &str) -> Option<Fact> {
        rejection.detail().iter().find(|(own, _)| *own == name).map(|(_, fact)| fact.clone())
    }

    #[test]
    fn every_limit_holds_to_the_unit() {
        let depth = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let mixed = |depth: usize| r#"{"a":["#.repeat(depth / 2) + &"]}".repeat(depth / 2);
        let nodes = |nodes: usize| format!("[{}]", vec!["0"; nodes - 1].join(","));
        let members = |members: usize| {
            let members: Vec<String> = (0..members).map(|index| format!(r#""{index}":0"#)).collect();
            format!("[{{{}}}]", members.join(","))
        };
        let limits = JsonLimits { depth_max: 8, nodes_max: 100, members_max: 20 };
        let rows = [
            (depth(7), None),
            (depth(8), None),
            (depth(9), Some((Reason::JsonTooDeep, "json_depth_max", 8, 8))),
            (mixed(8), None),
            (mixed(10), Some((Reason::JsonTooDeep, "json_depth_max", 8, 24))),
            (nodes(99), None),
            (nodes(100), None),
            (nodes(101), Some((Reason::JsonTooLarge, "json_nodes_max", 100, 199))),
            (members(19), None),
            (members(20), None),
            (members(21), Some((Reason::JsonTooLarge, "json_members_max", 20, 132))),
        ];
        for (text, expected) in rows {
            let found = Document::read(Bytes::from(text.clone()), limits).err();
            let found = found.map(|rejection| {
                let facts = ["limit", "maximum", "offset"].map(|name| fact(&rejection, name));
                (rejection.reason(), facts)
            });
            let expected = expected.map(|(reason, limit, maximum, offset): (_, &str, i64, usize)| {
                (reason, [Some(Fact::from(limit.to_owned())), Some(maximum.into()), Some(offset.into())])
            });
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn the_default_limits_are_the_documented_ones() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let flat = |nodes: usize| format!("[{}]", vec!["0"; nodes - 1].join(","));
        assert!(read(nested(64).as_bytes()).is_ok());
        assert_eq!(read(nested(65).as_bytes()).unwrap_err().reason(), Reason::JsonTooDeep);
        assert_eq!(read("[".repeat(1_000_000).as_bytes()).unwrap_err().reason(), Reason::JsonTooDeep);
        assert!(read(flat(262_144).as_bytes()).is_ok());
        assert_eq!(read(flat(262_145).as_bytes()).unwrap_err().reason(), Reason::JsonTooLarge);
    }

    #[test]
    fn no_limit_reaches_below_the_depth_ceiling() {
        let nested = |depth: usize| Bytes::from("[".repeat(depth) + &"]".repeat(depth));
        let limits = JsonLimits { depth_max: u32::MAX, ..JsonLimits::default() };
        let ceiling = DEPTH_CEILING as usize;
        assert!(Document::read(nested(ceiling - 1), limits).is_ok());
        assert!(Document::read(nested(ceiling), limits).is_ok());
        let rejection = Document::read(nested(ceiling + 1), limits).unwrap_err();
        assert_eq!(rejection.reason(), Reason::JsonTooDeep);
        assert_eq!(fact(&rejection, "maximum"), Some(Fact::from(ceiling)));
    }

    #[test]
    fn a_fault_is_placed_by_a_pointer_without_the_senders_names() {
        let rows = [
            ("x", ""),
            ("[x]", ""),
            ("[1,[x]]", "/1"),
            (r#"{"secret":{"a":[0,0,[],{"b":tru}]}}"#, "/*/*/3"),
            (r#"{"secret":{"a":1,"a":2}}"#, "/*"),
            (r#"[[{"a":1}],[{"a":1,"a":2}]]"#, "/1/0"),
            ("[[0,0,[0]],0,[[]]] x", ""),
        ];
        for (text, pointer) in rows {
            let rejection = read(text.as_bytes()).unwrap_err();
            assert_eq!(fact(&rejection, "pointer"), Some(Fact::from(pointer.to_owned())), "{text}");
        }
    }

    #[test]
    fn numbers_of_any_size_pass_as_they_are_written() {
        let digits = "9".repeat(100_000);
        for text in ["1e400", "-0.0", "1E-99999999999999999999", digits.as_str()] {
            let body = format!("[{text}]");
            let document = read(body.as_bytes()).unwrap();
            assert_eq!(document.root().elements().next().and_then(Node::number), Some(text));
        }
    }

    #[test]
    fn debug_output_shows_nothing_of_the_payload() {
        let document = read(br#"{"hush":"hush"}"#).unwrap();
        let member = document.root().members().next().unwrap();
        let shown = format!("{document:?} {member:?} {:?} {:?}", document.root(), document.root().members());
        assert!(!shown.contains("hush"), "{shown}");
    }

    /// Compares a node with what `serde_json` makes of the same text.
    fn assert_same(node: Node<'_>, value: &Value) {
        match value {
            Value::Null => assert!(node.is_null()),
            Value::Bool(truth) => assert_eq!(node.as_bool(), Some(*truth)),
            Value::Number(number) => {
                let own: serde_json::Number = node.number().unwrap().parse().unwrap();
                assert_eq!(&own, number);
                assert_eq!(node.is_written_as_integer(), !node.number().unwrap().contains(['.', 'e', 'E']));
            }
            Value::String(string) => assert_eq!(node.as_str().as_deref(), Some(string.as_str())),
            Value::Array(elements) => {
                assert_eq!((node.kind(), node.len()), (Kind::Array, elements.len()));
                assert_eq!(node.elements().count(), elements.len());
                node.elements().zip(elements).for_each(|(node, value)| assert_same(node, value));
            }
            Value::Object(members) => {
                assert_eq!((node.kind(), node.len()), (Kind::Object, members.len()));
                assert_eq!(node.members().count(), members.len());
                for member in node.members() {
                    let name = member.key.name();
                    assert_same(member.value, &members[&*name]);
                    assert_eq!(node.get(&name).map(Node::index), Some(member.value.index()));
                }
                assert!(node.get("no such name").is_none());
            }
        }
    }

    /// Every span of a document is a JSON text of its own that says the same.
    fn assert_spans(node: Node<'_>, value: &Value) {
        assert_eq!(&serde_json::from_slice::<Value>(node.raw()).unwrap(), value);
        assert_eq!(&node.document().source()[node.span()], node.raw());
        node.elements().zip(value.as_array().into_iter().flatten()).for_each(|(node, value)| assert_spans(node, value));
        for member in node.members() {
            let source = node.document().source();
            let name: String = serde_json::from_slice(&source[member.key.span()]).unwrap();
            let alone = [b"{", &source[member.span()], b"}"].concat();
            let expected = serde_json::json!({ &*name: value[&name] });
            assert_eq!(serde_json::from_slice::<Value>(&alone).unwrap(), expected);
            assert_spans(member.value, &value[&name]);
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let name = "[a-c\"\\\\é🦀\u{0}]{0,3}|[a-d]{6,20}";
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e9..1e9).prop_map(|number: f64| Value::from(number)),
            ".{0,40}".prop_map(Value::from),
            "[a-z\n\"]{0,40}".prop_map(Value::from),
        ];
        scalar.prop_recursive(6, 120, 12, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..12).prop_map(Value::from),
                prop::collection::vec((name, inner), 0..12).prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_serde_json_writes_is_read_alike(value in json(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            let document = read(text.as_bytes()).unwrap();
            assert_same(document.root(), &value);
            assert_spans(document.root(), &value);
        }

        #[test]
        fn a_damaged_text_is_judged_as_serde_json_judges_it(
            value in json(),
            place: prop::sample::Index,
            damage in prop_oneof![
                "[\\[\\]{}:,\"\\\\ 0-9eE.+-]{0,2}", "\\\\u[dD][89ab][0-9]{2}", "\\\\u00[0-9a-f]{2}", "[\u{0}-\u{20}]", "é",
            ],
            drop in 0..3_usize,
        ) {
            let mut text = serde_json::to_vec(&value).unwrap();
            let at = place.index(text.len() + 1);
            text.splice(at..(at + drop).min(text.len()), damage.into_bytes());
            judge_alike(&text)?;
        }

        #[test]
        fn noise_is_judged_as_serde_json_judges_it(text in "[\\[\\]{}:,\"a-b\\\\ 0-2eE.+-]{0,12}") {
            judge_alike(text.as_bytes())?;
        }

        #[test]
        fn any_bytes_are_judged_as_serde_json_judges_them(text in prop::collection::vec(any::<u8>(), 0..24)) {
            judge_alike(&text)?;
        }
    }

    /// `serde_json` is the oracle, save where our profile is stricter: a name that stands twice.
    fn judge_alike(text: &[u8]) -> Result<(), TestCaseError> {
        let oracle = serde_json::from_slice::<Value>(text);
        match (read(text), oracle) {
            (Ok(document), Ok(value)) => assert_same(document.root(), &value),
            (Err(_), Err(_)) => {}
            (Err(rejection), Ok(_)) => prop_assert_eq!(rejection.reason(), Reason::JsonDuplicateKey),
            (Ok(_), Err(error)) => prop_assert!(false, "accepted {}: {}", text.escape_ascii(), error),
        }
        Ok(())
    }
}
