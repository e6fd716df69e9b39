//! Proposing a schema that fits all documents it was made of.
//!
//! It is a proposal for a person to read and to tighten: types, what is always there, formats and small sets of words. Objects stay open unless asked
//! for, so that a member that a provider adds is no refused delivery.

use crate::payload::Document;
use crate::payload::schema::{Format, SchemaFault};

use super::json::Json;
use super::shape::{Number, Objects, Shape, Strings, Visit};

/// Documents that must have a string at a place before its words become an `enum`.
const ENUM_DOCUMENTS_MIN: u64 = 20;
/// Documents that must have each of those words.
const WORD_DOCUMENTS_MIN: u64 = 2;
/// An `enum` has at least so many members: what never changed says nothing about what else there may be.
const ENUM_WORDS_MIN: usize = 2;
/// Names of one object that may look like data's, from which on they are taken for such if none is common.
const SPARSE_NAMES_MIN: usize = 16;
/// Bytes of a name that a program gives.
const NAME_BYTES_MAX: usize = 64;
/// Digits in a name from which on it is taken for an id.
const NAME_DIGITS_MAX: usize = 6;

/// The formats that are proposed.
#[derive(Debug)]
pub struct Formats([Format; Self::COUNT]);

/// Their names, the first that fits all strings of a place is proposed.
const FORMAT_NAMES: [&str; Formats::COUNT] = ["date-time", "uuid", "email", "uri"];

/// The position of `uri`, which nearly everything with a colon is.
const URI: usize = 3;

impl Formats {
    pub(super) const COUNT: usize = 4;

    /// Compiles them.
    ///
    /// # Errors
    /// A fault if the validator cannot compile one.
    pub fn compile() -> Result<Self, SchemaFault> {
        let [date_time, uuid, email, uri] = FORMAT_NAMES;
        let compiled =
            [Format::compile(date_time)?, Format::compile(uuid)?, Format::compile(email)?, Format::compile(uri)?];
        Ok(Self(compiled))
    }

    pub(super) fn matches(&self, position: usize, text: &str) -> bool {
        (position != URI || text.contains("://")) && self.0.get(position).is_some_and(|format| format.matches(text))
    }
}

/// How a schema is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether values of the samples may stand in it.
    pub enums: Enums,
    /// What is said of members that no sample has.
    pub objects: Closing,
}

/// Whether small sets of words become an `enum`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enums {
    /// They do.
    Proposed,
    /// No value of a sample stands in the schema.
    LeftOut,
}

/// What is said of members that no sample has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// Nothing.
    Open,
    /// `"additionalProperties": false`.
    Closed,
}

/// A schema in the making.
#[derive(Default)]
pub struct Inference {
    documents: u64,
    shape: Shape,
}

impl Inference {
    /// Adds one sample.
    pub fn add(&mut self, document: &Document, formats: &Formats) {
        self.documents += 1;
        self.shape.add(document.root(), Visit { formats, document: self.documents, depth: 0 });
    }

    /// How many samples there are.
    #[must_use]
    pub const fn documents(&self) -> u64 {
        self.documents
    }

    /// The schema (2020-12), which all samples fit. The same samples give the same text in whatever order.
    #[must_use]
    pub fn schema(&self, style: Style) -> Json {
        let mut keywords = Keywords::default();
        keywords.add("$schema", Json::text("https://json-schema.org/draft/2020-12/schema"));
        style.describe(&self.shape, &mut keywords);
        keywords.into()
    }
}

impl std::fmt::Debug for Inference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inference").field("documents", &self.documents).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Keywords(Vec<(String, Json)>);

impl Keywords {
    fn add(&mut self, keyword: &str, value: Json) {
        self.0.push((keyword.to_owned(), value));
    }
}

impl From<Keywords> for Json {
    fn from(keywords: Keywords) -> Self {
        Self::Object(keywords.0)
    }
}

impl Style {
    fn subschema(self, shape: &Shape) -> Json {
        let mut keywords = Keywords::default();
        self.describe(shape, &mut keywords);
        keywords.into()
    }

    fn describe(self, shape: &Shape, keywords: &mut Keywords) {
        let types = types(shape);
        match types.as_slice() {
            [] => return,
            [one] => keywords.add("type", Json::text(*one)),
            [..] => keywords.add("type", Json::List(types.iter().copied().map(Json::text).collect())),
        }
        if let Some(strings) = &shape.strings {
            self.describe_strings(strings, shape, keywords);
        }
        if let Some(objects) = &shape.objects {
            self.describe_objects(objects, keywords);
        }
        if let Some(elements) = &shape.elements
            && !types_are_unknown(elements)
        {
            keywords.add("items", self.subschema(elements));
        }
    }

    fn describe_strings(self, strings: &Strings, shape: &Shape, keywords: &mut Keywords) {
        if let Some(format) = strings.formats.iter().position(|fits| *fits).and_then(|at| FORMAT_NAMES.get(at)) {
            return keywords.add("format", Json::text(*format));
        }
        let only_words =
            !shape.boolean && shape.number.is_none() && shape.elements.is_none() && shape.objects.is_none();
        if self.enums == Enums::LeftOut || !only_words || strings.documents < ENUM_DOCUMENTS_MIN {
            return;
        }
        let Some(words) = &strings.words else { return };
        if words.len() < ENUM_WORDS_MIN || words.values().any(|word| word.documents < WORD_DOCUMENTS_MIN) {
            return;
        }
        let null = shape.null.then_some(Json::Word("null"));
        keywords.add("enum", Json::List(words.keys().map(Json::text).chain(null).collect()));
    }

    fn describe_objects(self, objects: &Objects, keywords: &mut Keywords) {
        let Some(members) = &objects.members else { return };
        let sparse = objects.count > 1
            && members.len() >= SPARSE_NAMES_MIN
            && members.values().all(|member| member.count * 2 <= objects.count);
        let is_data = |name: &str| sparse || looks_like_data(name);
        let declared: Vec<_> = members.iter().filter(|(name, _)| !is_data(name)).collect();
        let required: Vec<_> = declared.iter().filter(|(_, member)| member.count == objects.count).collect();
        if !required.is_empty() {
            keywords.add("required", Json::List(required.iter().map(|(name, _)| Json::text(*name)).collect()));
        }
        if !declared.is_empty() {
            let described = declared.iter().map(|(name, member)| ((*name).clone(), self.subschema(&member.value)));
            keywords.add("properties", Json::Object(described.collect()));
        }
        if declared.len() < members.len() {
            let mut rest = Shape::default();
            members.iter().filter(|(name, _)| is_data(name)).for_each(|(_, member)| rest.absorb(&member.value));
            keywords.add("additionalProperties", self.subschema(&rest));
        } else if self.objects == Closing::Closed {
            keywords.add("additionalProperties", Json::Word("false"));
        }
    }
}

/// What was seen, the most telling first.
fn types(shape: &Shape) -> Vec<&'static str> {
    let number = shape.number.map(|number| match number {
        Number::Integer => "integer",
        Number::Any => "number",
    });
    let seen = [
        shape.objects.as_ref().map(|_| "object"),
        shape.elements.as_ref().map(|_| "array"),
        shape.strings.as_ref().map(|_| "string"),
        number,
        shape.boolean.then_some("boolean"),
        shape.null.then_some("null"),
    ];
    seen.into_iter().flatten().collect()
}

/// Whether nothing was seen: all arrays were empty.
fn types_are_unknown(shape: &Shape) -> bool {
    types(shape).is_empty()
}

/// Whether a member's name is more likely a value (an id, an address, a date) than a name that a program gave.
fn looks_like_data(name: &str) -> bool {
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    name.len() > NAME_BYTES_MAX
        || digits > NAME_DIGITS_MAX
        || (digits > 0 && digits == name.len())
        || name.contains('@')
        // Where a schema is loaded, such a name would be taken for a number's.
        || name.starts_with("$serde_json::")
        || name.contains("://")
        || name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests;
