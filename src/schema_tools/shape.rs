//! What was seen at one place of many documents.
//!
//! A [`Shape`] grows with every value that is added and forgets the values themselves, but for the few short strings that may become an `enum`.

use std::collections::BTreeMap;

use crate::payload::{Kind, Node};

use super::infer::Formats;

/// Containers in one another that are looked into; of what lies deeper only the type is kept. A schema nests about twice as deep as its payloads, and
/// schema files may be 128 deep.
pub(super) const DEPTH_MAX: usize = 32;
/// Different strings of one place that may become an `enum`.
pub(super) const WORDS_MAX: usize = 12;
/// Bytes of a string that may become a member of an `enum`.
const WORD_BYTES_MAX: usize = 40;

/// Everything that was seen at one place.
#[derive(Default)]
pub(super) struct Shape {
    pub(super) null: bool,
    pub(super) boolean: bool,
    pub(super) number: Option<Number>,
    pub(super) strings: Option<Strings>,
    /// All elements of all arrays.
    pub(super) elements: Option<Box<Shape>>,
    pub(super) objects: Option<Objects>,
}

/// How numbers were written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    /// All without fraction and exponent.
    Integer,
    /// Some with one.
    Any,
}

/// All strings of one place.
pub(super) struct Strings {
    /// By the position of the format in [`Formats`]: whether all strings are of it.
    pub(super) formats: [bool; Formats::COUNT],
    /// Documents that have a string here.
    pub(super) documents: u64,
    last_document: u64,
    /// The strings, while they may become an `enum`.
    pub(super) words: Option<BTreeMap<String, Word>>,
}

/// How often one string was seen.
#[derive(Clone, Copy, Default)]
pub(super) struct Word {
    /// In so many documents.
    pub(super) documents: u64,
    last_document: u64,
}

/// All objects of one place.
#[derive(Default)]
pub(super) struct Objects {
    pub(super) count: u64,
    /// Members by name; `None` where objects lie too deep to look into them.
    pub(super) members: Option<BTreeMap<String, Member>>,
}

/// A member of some objects.
#[derive(Default)]
pub(super) struct Member {
    /// Objects that have it.
    pub(super) count: u64,
    pub(super) value: Shape,
}

/// What goes along on the way down.
#[derive(Clone, Copy)]
pub(super) struct Visit<'v> {
    pub(super) formats: &'v Formats,
    /// The number of the document, from one.
    pub(super) document: u64,
    pub(super) depth: usize,
}

impl Shape {
    pub(super) fn add(&mut self, node: Node<'_>, visit: Visit<'_>) {
        match node.kind() {
            Kind::Null => self.null = true,
            Kind::Bool => self.boolean = true,
            Kind::Number if node.is_written_as_integer() => {
                self.number.get_or_insert(Number::Integer);
            }
            Kind::Number => self.number = Some(Number::Any),
            Kind::String => {
                let text = node.as_str().unwrap_or_default();
                self.strings.get_or_insert_with(Strings::default).add(&text, visit);
            }
            Kind::Array => {
                let elements = self.elements.get_or_insert_default();
                if visit.depth < DEPTH_MAX {
                    node.elements().for_each(|element| elements.add(element, visit.down()));
                }
            }
            Kind::Object => self.objects.get_or_insert_default().add(node, visit),
        }
    }

    /// Adds what was seen at another place, so that this fits both. Their strings are no `enum` any more: they come from places without a name.
    pub(super) fn absorb(&mut self, other: &Self) {
        self.null |= other.null;
        self.boolean |= other.boolean;
        self.number = match (self.number, other.number) {
            (Some(Number::Any), _) | (_, Some(Number::Any)) => Some(Number::Any),
            (one, another) => one.or(another),
        };
        if let Some(others) = &other.strings {
            self.strings.get_or_insert_with(Strings::default).absorb(others);
        }
        if let Some(others) = &other.elements {
            self.elements.get_or_insert_default().absorb(others);
        }
        if let Some(others) = &other.objects {
            self.objects.get_or_insert_default().absorb(others);
        }
    }
}

impl Visit<'_> {
    fn down(self) -> Self {
        Self { depth: self.depth + 1, ..self }
    }
}

impl Default for Strings {
    fn default() -> Self {
        Self { formats: [true; Formats::COUNT], documents: 0, last_document: 0, words: Some(BTreeMap::new()) }
    }
}

impl Strings {
    fn add(&mut self, text: &str, visit: Visit<'_>) {
        for (position, fits) in self.formats.iter_mut().enumerate() {
            *fits = *fits && visit.formats.matches(position, text);
        }
        if self.last_document != visit.document {
            self.last_document = visit.document;
            self.documents += 1;
        }
        let Some(words) = &mut self.words else { return };
        if !is_word(text) || (words.len() == WORDS_MAX && !words.contains_key(text)) {
            self.words = None;
            return;
        }
        let word = words.entry(text.to_owned()).or_default();
        if word.last_document != visit.document {
            word.last_document = visit.document;
            word.documents += 1;
        }
    }

    fn absorb(&mut self, other: &Self) {
        for (fits, others) in self.formats.iter_mut().zip(other.formats) {
            *fits &= others;
        }
        self.documents += other.documents;
        self.words = None;
    }
}

impl Objects {
    fn add(&mut self, node: Node<'_>, visit: Visit<'_>) {
        self.count += 1;
        if visit.depth >= DEPTH_MAX {
            return;
        }
        let members = self.members.get_or_insert_default();
        for found in node.members() {
            let name = found.key.name();
            if !members.contains_key(&*name) {
                members.insert(name.clone().into_owned(), Member::default());
            }
            if let Some(member) = members.get_mut(&*name) {
                member.count += 1;
                member.value.add(found.value, visit.down());
            }
        }
    }

    fn absorb(&mut self, other: &Self) {
        self.count += other.count;
        let Some(others) = &other.members else { return };
        let members = self.members.get_or_insert_default();
        for (name, other) in others {
            let member = members.entry(name.clone()).or_default();
            member.count += other.count;
            member.value.absorb(&other.value);
        }
    }
}

/// Whether a string may be one of a program's words: no sentence, number, address or name with a blank in it.
fn is_word(text: &str) -> bool {
    text.len() <= WORD_BYTES_MAX
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte))
}
