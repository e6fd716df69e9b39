//! A [`Document`](super::Document) as the schema validator sees it: validated where it lies, without building a second tree.
//!
//! It stands under [`schema`](super::schema), which alone speaks to `jsonschema`; this file only implements the library's
//! view of a JSON value over our own.
//!
//! **Invariant:** nothing of a payload becomes a `serde_json` value, except numbers, one at a time, for exact arithmetic:
//! with arbitrary precision `serde_json` gives some member names a meaning, and error values would carry payload text. So
//! [`TapeNode`] answers every question of equality itself, and what it hands out for error texts is always `null`.

use std::borrow::Cow;
use std::str::FromStr;

use jsonschema::json::{Array, Json, JsonNumber, NodeIdentity, Object};
use jsonschema::types::JsonType;
use serde_json::{Number, Value};

use super::equality;
use super::judging::Judging;
use super::names::{Lookup, fingerprint};
use super::node::{Elements, Key, Members, Node};
use super::number::Decimal;
use super::tape::{Entry, Kind};

/// The representation of JSON that [`jsonschema::options_for`] is told about.
#[derive(Debug, Clone, Copy)]
pub struct Tape;

/// A value of a document, or a member name on its own.
#[derive(Debug, Clone, Copy)]
pub enum TapeNode<'a> {
    /// A value.
    Value(TapeValue<'a>),
    /// A member name, judged by `propertyNames`.
    Name(&'a str),
}

/// A value together with the judgement that looks at it. Once that has used up its looks, no value is of any kind.
#[derive(Clone, Copy)]
pub struct TapeValue<'a> {
    node: Node<'a>,
    of: &'a Judging<'a>,
}

/// A name of a schema, prepared for lookups.
#[derive(Debug)]
pub struct PreparedKey {
    name: Box<str>,
    fingerprint: u32,
}

impl Json for Tape {
    type Node<'a> = TapeNode<'a>;
    type PreparedKey = PreparedKey;
    type StringBuffer = ();

    fn prepare_key(key: &str) -> PreparedKey {
        PreparedKey { name: key.into(), fingerprint: fingerprint(key.as_bytes()) }
    }

    fn with_string_node<T>((): &mut (), string: &str, f: impl FnOnce(TapeNode<'_>) -> T) -> T {
        f(TapeNode::Name(string))
    }
}

impl<'a> jsonschema::json::Node<'a, Tape> for TapeNode<'a> {
    type Object = TapeObject<'a>;
    type Array = TapeArray<'a>;
    type Number = TapeNumber<'a>;

    #[inline]
    fn as_object(&self) -> Option<TapeObject<'a>> {
        self.of_kind(Kind::Object).map(|value| TapeObject { value, names: value.node.lookup() })
    }

    fn as_array(&self) -> Option<TapeArray<'a>> {
        self.of_kind(Kind::Array).map(TapeArray)
    }

    #[inline]
    fn as_string(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Name(name) => Some(Cow::Borrowed(name)),
            Self::Value(value) => value.string(),
        }
    }

    fn as_number(&self) -> Option<TapeNumber<'a>> {
        let value = self.of_kind(Kind::Number)?;
        let text = value.of.text().get(value.node.span())?;
        Some(TapeNumber { text, written_as_integer: value.node.is_written_as_integer(), of: value.of })
    }

    fn as_boolean(&self) -> Option<bool> {
        self.of_kind(Kind::Bool)?.node.as_bool()
    }

    fn is_null(&self) -> bool {
        self.of_kind(Kind::Null).is_some()
    }

    fn is_number(&self) -> bool {
        self.of_kind(Kind::Number).is_some()
    }

    fn is_string(&self) -> bool {
        self.look() && self.kind() == Kind::String
    }

    fn json_type(&self) -> JsonType {
        self.look();
        match self.kind() {
            Kind::Null => JsonType::Null,
            Kind::Bool => JsonType::Boolean,
            Kind::Number => JsonType::Number,
            Kind::String => JsonType::String,
            Kind::Array => JsonType::Array,
            Kind::Object => JsonType::Object,
        }
    }

    /// Goes as deep as `expected` does, which stands in a schema.
    fn equals_value(&self, expected: &Value) -> bool {
        match expected {
            Value::Null => self.is_null(),
            Value::Bool(truth) => self.as_boolean() == Some(*truth),
            Value::Number(number) => self.as_number().is_some_and(|own| own.equals(number)),
            Value::String(string) => self.as_string().is_some_and(|own| own == *string),
            Value::Array(elements) => self.as_array().is_some_and(|own| {
                own.len() == elements.len() && own.elements().zip(elements).all(|(own, other)| own.equals_value(other))
            }),
            Value::Object(members) => self.as_object().is_some_and(|own| {
                own.len() == members.len()
                    && own.members().all(|(name, own)| members.get(&*name).is_some_and(|other| own.equals_value(other)))
            }),
        }
    }

    /// Always `null`: the library only puts it into error texts, where no payload may be.
    fn to_value(&self) -> Cow<'a, Value> {
        Cow::Owned(Value::Null)
    }

    /// A document's entries have one address and an index each, a name has its own address.
    fn identity(&self) -> Option<NodeIdentity> {
        Some(match self {
            Self::Value(value) => {
                let document = std::ptr::from_ref(value.node.document());
                NodeIdentity::tagged(document.addr(), value.node.index())
            }
            Self::Name(name) => NodeIdentity::tagged(name.as_ptr().addr(), u32::MAX),
        })
    }
}

impl<'a> TapeNode<'a> {
    pub(super) const fn of(judging: &'a Judging<'a>, node: Node<'a>) -> Self {
        Self::Value(TapeValue { node, of: judging })
    }

    /// Takes so many looks; whether they were left. A name has none.
    pub(super) fn take(&self, looks: u64) -> bool {
        match self {
            Self::Value(value) => value.of.take(looks),
            Self::Name(_) => false,
        }
    }

    /// Takes a look, if there is one left. Names have been paid for by those who listed them.
    #[inline]
    fn look(&self) -> bool {
        match self {
            Self::Value(value) => value.of.take(1),
            Self::Name(_) => true,
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Value(value) => value.node.kind(),
            Self::Name(_) => Kind::String,
        }
    }

    #[inline]
    fn of_kind(&self, kind: Kind) -> Option<TapeValue<'a>> {
        match self {
            Self::Value(value) if self.look() && value.node.kind() == kind => Some(*value),
            Self::Value(_) | Self::Name(_) => None,
        }
    }
}

impl<'a> TapeValue<'a> {
    const fn at(self, node: Node<'a>) -> TapeNode<'a> {
        TapeNode::Value(Self { node, of: self.of })
    }

    #[inline]
    fn string(self) -> Option<Cow<'a, str>> {
        let entry = self.node.entry();
        if entry.kind() != Kind::String || !self.of.take_text(entry.span().len()) {
            return None;
        }
        if entry.mark() {
            return escaped_string(self);
        }
        inside(self.of.text(), entry).map(Cow::Borrowed)
    }

    #[inline]
    fn name(self, key: Key<'a>) -> Cow<'a, str> {
        let entry = key.entry();
        if entry.mark() {
            return key.name();
        }
        Cow::Borrowed(inside(self.of.text(), entry).unwrap_or_default())
    }
}

/// Apart from the way that almost every string takes, and dearer.
#[cold]
fn escaped_string(value: TapeValue<'_>) -> Option<Cow<'_, str>> {
    if value.of.take_text(2 * value.node.span().len()) { value.node.as_str() } else { None }
}

/// What stands between the quotes of a string.
#[inline]
fn inside(text: &str, entry: Entry) -> Option<&str> {
    let span = entry.span();
    text.get(span.start + 1..span.end.saturating_sub(1))
}

/// Shows what the value is and where, never what it holds.
impl std::fmt::Debug for TapeValue<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.node.fmt(f)
    }
}

/// An object of a document.
#[derive(Clone, Copy)]
pub struct TapeObject<'a> {
    value: TapeValue<'a>,
    names: Lookup<'a>,
}

impl<'a> Object<'a, Tape> for TapeObject<'a> {
    type Node = TapeNode<'a>;
    type MemberName = Cow<'a, str>;
    type MembersIter = TapeMembers<'a>;

    fn len(&self) -> usize {
        self.value.node.len()
    }

    #[inline]
    fn get(&self, key: &PreparedKey) -> Option<TapeNode<'a>> {
        let name = self.names.find(key.name.as_bytes(), key.fingerprint)?;
        Some(self.value.at(self.value.node.another(name + 1)))
    }

    #[inline]
    fn members(&self) -> TapeMembers<'a> {
        TapeMembers { of: self.value, members: self.value.node.members() }
    }
}

/// Shows where the object is, never what it holds.
impl std::fmt::Debug for TapeObject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.value.fmt(f)
    }
}

/// The members of an object, in the order of the text.
#[derive(Debug, Clone)]
pub struct TapeMembers<'a> {
    of: TapeValue<'a>,
    members: Members<'a>,
}

impl<'a> Iterator for TapeMembers<'a> {
    type Item = (Cow<'a, str>, TapeNode<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let member = self.members.next()?;
        if !self.of.of.take_name(member.key.entry().span().len()) {
            return None;
        }
        Some((self.of.name(member.key), self.of.at(member.value)))
    }
}

/// An array of a document.
#[derive(Debug, Clone, Copy)]
pub struct TapeArray<'a>(TapeValue<'a>);

impl<'a> Array<'a, Tape> for TapeArray<'a> {
    type Node = TapeNode<'a>;
    type ElementsIter = TapeElements<'a>;

    fn len(&self) -> usize {
        self.0.node.len()
    }

    fn elements(&self) -> TapeElements<'a> {
        TapeElements { of: self.0, elements: self.0.node.elements() }
    }

    fn is_unique(&self) -> bool {
        // Half the bytes: a short number or text takes as long as a look does.
        self.0.of.take(1 + self.0.node.span().len() as u64 / 2) && equality::all_differ(self.0.node.elements())
    }
}

/// The elements of an array, in the order of the text.
#[derive(Debug, Clone)]
pub struct TapeElements<'a> {
    of: TapeValue<'a>,
    elements: Elements<'a>,
}

impl<'a> Iterator for TapeElements<'a> {
    type Item = TapeNode<'a>;

    fn next(&mut self) -> Option<TapeNode<'a>> {
        let node = self.elements.next()?;
        self.of.of.take(1).then(|| self.of.at(node))
    }
}

/// A number of a document: its text, read only as far as somebody asks.
#[derive(Clone, Copy)]
pub struct TapeNumber<'a> {
    text: &'a str,
    written_as_integer: bool,
    of: &'a Judging<'a>,
}

impl<'a> TapeNumber<'a> {
    /// What the number is worth; zero once no looks are left.
    pub(super) fn decimal(self) -> Decimal<'a> {
        let text = if self.of.take_text(DECIMAL_BYTES + self.text.len()) { self.text } else { "0" };
        Decimal::parse(text)
    }

    fn equals(self, other: &Number) -> bool {
        match (self.as_i64(), other.as_i64()) {
            (Some(own), Some(other)) => own == other,
            _ => self.decimal() == Decimal::parse(&JsonNumber::as_str(other)),
        }
    }
}

/// As long as a text whose looks take the time that calculating with a short number does.
const DECIMAL_BYTES: usize = 64;

impl JsonNumber for TapeNumber<'_> {
    fn as_u64(&self) -> Option<u64> {
        if self.written_as_integer { self.text.parse().ok() } else { None }
    }

    fn as_i64(&self) -> Option<i64> {
        if self.written_as_integer { self.text.parse().ok() } else { None }
    }

    fn as_f64(&self) -> Option<f64> {
        self.text.parse().ok().filter(|number: &f64| number.is_finite())
    }

    fn as_str(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.text)
    }

    fn to_number(&self) -> Cow<'_, Number> {
        Cow::Owned(Number::from_str(self.text).unwrap_or_else(|_| Number::from(0)))
    }

    fn is_integer(&self) -> bool {
        self.written_as_integer || self.decimal().is_integer()
    }

    fn is_written_as_integer(&self) -> bool {
        self.written_as_integer
    }
}

/// Shows how it is written, not what it is.
impl std::fmt::Debug for TapeNumber<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TapeNumber").field("written_as_integer", &self.written_as_integer).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::payload::bounds::with_linear_numbers;
    use crate::payload::{Document, JsonLimits};

    fn document(text: &str) -> Document {
        Document::read(Bytes::copy_from_slice(text.as_bytes()), JsonLimits::default()).unwrap()
    }

    /// Whether the payload fits the schema, as seen on the tape and as seen by the library on its own values.
    fn check(schema: &str, payload: &str, expected: bool) {
        let schema: Value = serde_json::from_str(schema).unwrap();
        let on_tape = with_linear_numbers(jsonschema::options_for::<Tape>()).build(&schema).unwrap();
        let document = document(payload);
        let judging = Judging::new(&document, 0);
        let node = judging.root();
        assert_eq!(on_tape.is_valid(node), expected, "{payload} against {schema}");
        assert_eq!(on_tape.validate(node).is_ok(), expected, "{payload} against {schema}, with an error");
        assert_eq!(on_tape.iter_errors(node).next().is_none(), expected, "{payload} against {schema}, with all errors");
        let value: Value = serde_json::from_str(payload).unwrap();
        assert_eq!(jsonschema::validator_for(&schema).unwrap().is_valid(&value), expected, "{payload} as a value");
    }

    #[test]
    fn keywords_mean_on_the_tape_what_they_mean_elsewhere() {
        #[rustfmt::skip]
        let rows = [
            (r#"{"type":"integer"}"#, "1.0", true), (r#"{"type":"integer"}"#, "1e2", true), (r#"{"type":"integer"}"#, "1.5", false),
            (r#"{"type":"integer"}"#, "1e400", true),
            (r#"{"type":"integer"}"#, "\"1\"", false), (r#"{"$schema":"http://json-schema.org/draft-04/schema#","type":"integer"}"#, "1.0", false),
            (r#"{"type":["string","null"]}"#, "null", true),
            (r#"{"type":"boolean"}"#, "false", true), (r#"{"type":"object"}"#, "[]", false), (r#"{"type":"array"}"#, "[]", true),
            (r#"{"const":0.1}"#, "0.1", true), (r#"{"const":0.1}"#, "0.10", true), (r#"{"const":0.1}"#, "1e-1", true),
            (r#"{"const":0.1}"#, "0.10000000000000000001", false),
            (r#"{"const":9007199254740993}"#, "9007199254740993", true), (r#"{"const":9007199254740993}"#, "9007199254740992", false),
            (r#"{"const":1e400}"#, "10e399", true),
            (r#"{"const":-0}"#, "0.0", true), (r#"{"const":18446744073709551615}"#, "18446744073709551615.0", true),
            (r#"{"const":18446744073709551616}"#, "18446744073709551615", false),
            (r#"{"const":"a\n"}"#, r#""\u0061\u000a""#, true), (r#"{"const":"a"}"#, r#""b""#, false), (r#"{"const":null}"#, "null", true),
            (r#"{"const":false}"#, "0", false), (r#"{"const":true}"#, "true", true),
            (r#"{"const":{"a":[1,{"b":2}]}}"#, r#"{"\u0061":[1.0,{"b":20e-1}]}"#, true), (r#"{"const":{"a":1}}"#, r#"{"a":1,"b":1}"#, false),
            (r#"{"const":[1,2]}"#, "[2,1]", false), (r#"{"const":[[]]}"#, "[{}]", false),
            (r#"{"enum":[1,"a",[2]]}"#, "[2.0]", true), (r#"{"enum":[1,"a",[2]]}"#, "[3]", false), (r#"{"enum":[1,2]}"#, "2.0", true),
            (r#"{"enum":["a",null]}"#, "null", true), (r#"{"enum":["a","b"]}"#, r#""\u0062""#, true),
            (r#"{"minimum":1}"#, "1", true), (r#"{"minimum":1}"#, "0.99999999999999999999", false),
            (r#"{"exclusiveMinimum":1}"#, "1.00000000000000000001", true), (r#"{"maximum":9007199254740992}"#, "9007199254740993", false),
            (r#"{"maximum":1e3}"#, "1e400", false), (r#"{"minimum":1e3}"#, "1e400", true), (r#"{"multipleOf":0.01}"#, "19.99", true),
            (r#"{"multipleOf":0.01}"#, "19.999", false), (r#"{"multipleOf":2}"#, "1e2", true),
            (r#"{"exclusiveMinimum":1}"#, "1", false), (r#"{"exclusiveMaximum":1}"#, "1.0", false), (r#"{"exclusiveMaximum":1}"#, "0.9", true),
            (r#"{"maximum":1}"#, "\"2\"", true),
            (r#"{"$schema":"http://json-schema.org/draft-04/schema#","minimum":1,"exclusiveMinimum":true}"#, "1", false),
            (r#"{"$schema":"http://json-schema.org/draft-04/schema#","minimum":1,"exclusiveMinimum":false}"#, "1", true),
            (r#"{"$schema":"http://json-schema.org/draft-04/schema#","maximum":1,"exclusiveMaximum":true}"#, "1", false),
            (r#"{"$schema":"http://json-schema.org/draft-04/schema#","maximum":1}"#, "1", true),
            (r#"{"type":"integer","minimum":0,"maximum":10,"multipleOf":5}"#, "10", true),
            (r#"{"type":"integer","minimum":0,"maximum":10,"multipleOf":5}"#, "11", false), (r#"{"multipleOf":2.5}"#, "\"x\"", true),
            (r#"{"multipleOf":1e-8}"#, "12391239123", true),
            (r#"{"multipleOf":3}"#, "100000000000000000000000000002", true), (r#"{"multipleOf":3}"#, "100000000000000000000000000001", false),
            (r#"{"maxLength":2}"#, r#""é🦀""#, true), (r#"{"maxLength":2}"#, r#""\u00e9\ud83e\udd80""#, true), (r#"{"maxLength":2}"#, r#""abc""#, false),
            (r#"{"pattern":"^a$"}"#, r#""\u0061""#, true), (r#"{"format":"ipv4"}"#, r#""1.2.3.4""#, true),
            (r#"{"properties":{"a":{"type":"string"}}}"#, r#"{"\u0061":1}"#, false), (r#"{"required":["a"]}"#, r#"{"\u0061":1}"#, true),
            (r#"{"required":["a","b","c"]}"#, r#"{"a":1,"b":1}"#, false),
            (r#"{"additionalProperties":false,"properties":{"a":{}}}"#, r#"{"a":1}"#, true),
            (r#"{"additionalProperties":false,"properties":{"a":{}}}"#, r#"{"b":1}"#, false), (r#"{"minProperties":2}"#, r#"{"a":1}"#, false),
            (r#"{"propertyNames":{"pattern":"^[a-z]$"}}"#, r#"{"\u0061":1,"b":{}}"#, true),
            (r#"{"propertyNames":{"pattern":"^[a-z]$"}}"#, r#"{"aa":1}"#, false), (r#"{"propertyNames":{"const":"a"}}"#, r#"{"a":{"b":1}}"#, true),
            (r#"{"patternProperties":{"^x":{"type":"null"}}}"#, r#"{"xy":1}"#, false),
            (r#"{"unevaluatedProperties":false,"allOf":[{"properties":{"a":{}}}]}"#, r#"{"a":1}"#, true),
            (r#"{"unevaluatedProperties":false,"allOf":[{"properties":{"a":{}}}]}"#, r#"{"a":1,"b":1}"#, false),
            (r#"{"prefixItems":[{}],"unevaluatedItems":false}"#, "[1,2]", false), (r#"{"dependentRequired":{"a":["b"]}}"#, r#"{"a":1}"#, false),
            (r#"{"contains":{"const":1},"minContains":2}"#, "[1,1.0]", true), (r#"{"maxItems":1}"#, "[1,1]", false),
            (r#"{"items":{"type":"string"}}"#, r#"["a",1]"#, false),
            (r##"{"properties":{"next":{"$ref":"#"}},"required":["v"]}"##, r#"{"v":1,"next":{"v":1,"next":{"v":1}}}"#, true),
            (r##"{"properties":{"next":{"$ref":"#"}},"required":["v"]}"##, r#"{"v":1,"next":{"v":1,"next":{}}}"#, false),
        ];
        for (schema, payload, expected) in rows {
            check(schema, payload, expected);
        }
    }

    #[test]
    fn numbers_that_are_short_to_write_and_long_to_calculate_with_take_no_time() {
        let many = format!("[{}]", vec!["1e9999"; 20_000].join(","));
        let long = format!("[1{}.5]", "0".repeat(200_000));
        for keyword in
            [r#""minimum":1e9"#, r#""exclusiveMaximum":1e10000000"#, r#""multipleOf":1e-2"#, r#""type":"number""#]
        {
            let schema: Value = serde_json::from_str(&format!(r#"{{"items":{{{keyword}}}}}"#)).unwrap();
            let validator = with_linear_numbers(jsonschema::options_for::<Tape>()).build(&schema).unwrap();
            for payload in [&many, &long] {
                assert!(validator.is_valid(Judging::new(&document(payload), 0).root()), "{keyword}");
            }
        }
    }

    #[test]
    fn elements_are_unique_unless_two_are_worth_the_same() {
        #[rustfmt::skip]
        let rows = [
            ("[]", true), ("[1]", true), ("[1,2]", true), ("[1,1.0]", false), ("[100,2,1e2]", false), ("[0,-0]", false), ("[1,true]", true),
            ("[0,false,null,\"\",[],{}]", true),
            (r#"["a","\u0061"]"#, false), (r#"["a","b"]"#, true), ("[[1,2],[2,1]]", true), ("[[1,2],[1.0,2]]", false),
            (r#"[{"a":1,"b":2},{"b":2,"a":1}]"#, false), (r#"[{"a":1},{"a":2}]"#, true),
            (r#"[{"a":1},{"\u0061":10e-1}]"#, false), (r#"[{"a":1},{"a":1,"b":1}]"#, true), ("[9007199254740992,9007199254740993]", true),
            ("[0.1,0.10000000000000000001]", true), ("[1e400,1e401]", true),
            (r#"[{"a":[{"b":null}]},1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,{"a":[{"b":null}]}]"#, false),
        ];
        for (payload, expected) in rows {
            check(r#"{"uniqueItems":true}"#, payload, expected);
        }
    }

    #[test]
    fn objects_of_any_size_are_looked_up() {
        for count in [1, 8, 9, 40, 100] {
            let names: Vec<String> = (0..count).map(|index| format!("name{index}")).collect();
            let payload: Value = names.iter().map(|name| (name.clone(), json!(1))).collect();
            let schema = |names: &[String]| json!({ "required": names }).to_string();
            check(&schema(&names), &payload.to_string(), true);
            check(&schema(&[names, vec!["another".to_owned()]].concat()), &payload.to_string(), false);
        }
    }

    #[test]
    fn errors_carry_nothing_of_the_payload() {
        let schema =
            json!({ "properties": { "a": { "type": "null" }, "b": { "const": 1 }, "c": { "uniqueItems": true } } });
        let validator = with_linear_numbers(jsonschema::options_for::<Tape>()).build(&schema).unwrap();
        let document = document(r#"{"a":"hush","b":{"hush":"hush"},"c":["hush","hush"]}"#);
        let judging = Judging::new(&document, 0);
        let node = judging.root();
        assert_eq!(validator.iter_errors(node).count(), 3);
        for error in validator.iter_errors(node) {
            assert!(!format!("{error} {error:?}").contains("hush"), "{error}");
        }
        assert!(!format!("{node:?}").contains("hush"));
    }

    #[test]
    fn each_value_has_an_identity_of_its_own() {
        use jsonschema::json::Node as _;
        let document = document(r#"{"a":[],"b":{"c":[]}}"#);
        let judging = Judging::new(&document, 0);
        let root = judging.root();
        let a = TapeNode::of(&judging, document.pointer("/a").unwrap());
        let again = root.as_object().unwrap().get(&Tape::prepare_key("a")).unwrap();
        let inner = TapeNode::of(&judging, document.pointer("/b/c").unwrap());
        assert_eq!(a.identity(), again.identity());
        assert_ne!(a.identity(), root.identity());
        assert_ne!(a.identity(), inner.identity());
        assert_eq!(TapeNode::Name("a").container_identity(), None);
    }
}
