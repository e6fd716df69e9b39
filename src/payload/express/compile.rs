//! From a schema's text to tests.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::text::{Format, Values};
use super::{Express, Kinds, Listing, Members, Rare, Rest, Test, TestId};
use crate::payload::listed::Listed;
use crate::payload::schema::{References, SchemaFault, Scope};

/// Keywords that ask nothing of a value, in any draft. `tsAdditionalProperties` is a word of GitHub's schemas that means
/// nothing to a validator.
const SAYS_NOTHING: [&str; 19] = [
    "$schema",
    "$id",
    "id",
    "$anchor",
    "$comment",
    "$defs",
    "definitions",
    "$dynamicAnchor",
    "$recursiveAnchor",
    "title",
    "description",
    "default",
    "example",
    "examples",
    "readOnly",
    "writeOnly",
    "deprecated",
    "markdownDescription",
    "tsAdditionalProperties",
];

/// A chain of references that is longer is followed on a delivery's way.
const REFERENCES_SKIPPED_MAX: usize = 16;

impl Express {
    /// The tests of the schema behind `references`; `None` if no payload could pass them, so that nobody has to ask.
    ///
    /// # Errors
    ///
    /// A fault if a reference or pattern is no good.
    pub(in crate::payload) fn compile(references: &References<'_>) -> Result<Option<Self>, SchemaFault> {
        let mut reader = Reader { references, ids: HashMap::new(), waiting: Vec::new() };
        let (schema, scope) = references.root()?;
        let root = reader.id(schema, &scope)?;
        let mut tests = Vec::new();
        while let Some((schema, scope)) = reader.waiting.get(tests.len()).cloned() {
            tests.push(reader.test(schema, &scope)?);
        }
        narrow_possible(&mut tests);
        let passable = tests[root as usize].surely != Kinds::NONE;
        Ok(passable.then(|| Self { tests: tests.into(), root }))
    }
}

/// Takes over from references and alternatives which kinds of values cannot fit: a test does not say so by itself if it
/// only refers to one that does.
fn narrow_possible(tests: &mut [Test]) {
    // What is learned spreads by one reference a round; schemas seldom refer further, and to learn less is only slower.
    for _ in 0..4 {
        for at in 0..tests.len() {
            let possibly = |id: &TestId| tests[*id as usize].possibly;
            let all = tests[at].all.iter().map(possibly);
            let alternatives = tests[at].rare.iter().flat_map(|rare| &rare.alternatives);
            let each = alternatives.map(|list| list.iter().map(possibly).fold(Kinds::NONE, Kinds::or));
            tests[at].possibly = all.chain(each).fold(tests[at].possibly, Kinds::and);
        }
    }
}

/// Reads subschemas in the order in which they are met: a work list, since what a reference leads to may lie arbitrarily deep.
struct Reader<'r> {
    references: &'r References<'r>,
    /// Subschemas by their address: one JSON value is one subschema, however many references lead to it.
    ids: HashMap<usize, TestId>,
    waiting: Vec<(&'r Value, Scope)>,
}

impl<'r> Reader<'r> {
    /// The test of a subschema. One that only refers to another has no test of its own.
    fn id(&mut self, schema: &'r Value, scope: &Scope) -> Result<TestId, SchemaFault> {
        let (mut schema, mut scope) = (schema, scope.clone());
        for _ in 0..REFERENCES_SKIPPED_MAX {
            let Some(Value::String(reference)) = schema.get("$ref") else { break };
            let inner = self.references.enter(&scope, schema)?;
            if !inner.reference_stands_alone() {
                break;
            }
            (schema, scope) = self.references.follow(&inner, reference)?;
        }
        let next = TestId::try_from(self.waiting.len()).unwrap_or(TestId::MAX);
        let id = *self.ids.entry(std::ptr::from_ref(schema).addr()).or_insert(next);
        if id == next {
            self.waiting.push((schema, scope));
        }
        Ok(id)
    }

    fn ids(&mut self, schemas: &'r Value, scope: &Scope) -> Result<Box<[TestId]>, SchemaFault> {
        schemas.as_array().into_iter().flatten().map(|schema| self.id(schema, scope)).collect()
    }

    fn test(&mut self, schema: &'r Value, outer: &Scope) -> Result<Test, SchemaFault> {
        let keywords = match schema {
            Value::Object(keywords) => keywords,
            Value::Bool(true) => return Ok(Test::anything()),
            Value::Bool(false) => return Ok(Test { possibly: Kinds::NONE, ..Test::nothing() }),
            Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => return Ok(Test::nothing()),
        };
        let scope = self.references.enter(outer, schema)?;
        if scope.reference_stands_alone()
            && let Some(reference) = keywords.get("$ref")
        {
            return self.reference(reference, &scope);
        }
        let mut test = Test::anything();
        let mut rare = Rare::default();
        let mut all = Vec::new();
        for (keyword, value) in keywords {
            let known = match &**keyword {
                "type" => test.allow(value),
                "properties" | "required" | "additionalProperties" => true,
                "items" if !value.is_array() => {
                    test.elements = Some(self.id(value, &scope)?);
                    true
                }
                "$ref" => {
                    all.extend(self.reference(value, &scope)?.all);
                    true
                }
                "allOf" => {
                    all.extend(self.ids(value, &scope)?);
                    true
                }
                "anyOf" | "oneOf" => {
                    rare.alternatives.push(self.ids(value, &scope)?);
                    true
                }
                "format" => {
                    test.format = value.as_str().and_then(Format::named);
                    test.format.is_some()
                }
                // Whether it asks anything depends on what else there is: the validator says.
                "const" if !scope.has_const() => false,
                "pattern" => {
                    rare.patterns.push(self.references.pattern(value.as_str().unwrap_or_default())?);
                    value.is_string()
                }
                _ => SAYS_NOTHING.contains(&&**keyword) || rare.read(keyword, value),
            };
            if !known {
                return Ok(Test::nothing());
            }
        }
        if let Some(values) = &rare.values {
            test.possibly = test.possibly.and(values.kinds);
        }
        test.members = self.members(keywords, &scope)?.map(Box::new);
        test.all = all.into();
        test.rare = rare.asks_anything().then(|| Box::new(rare));
        Ok(test)
    }

    fn reference(&mut self, reference: &Value, scope: &Scope) -> Result<Test, SchemaFault> {
        let Some(reference) = reference.as_str() else { return Ok(Test::nothing()) };
        let (target, scope) = self.references.follow(scope, reference)?;
        Ok(Test { all: [self.id(target, &scope)?].into(), ..Test::anything() })
    }

    fn members(&mut self, keywords: &'r Map<String, Value>, scope: &Scope) -> Result<Option<Members>, SchemaFault> {
        let required = keywords.get("required").and_then(Value::as_array);
        let properties = keywords.get("properties").and_then(Value::as_object);
        let rest = match keywords.get("additionalProperties") {
            None | Some(Value::Bool(true)) => Rest::Any,
            Some(Value::Bool(false)) => Rest::Refused,
            Some(schema) => Rest::Each(self.id(schema, scope)?),
        };
        if required.is_none() && properties.is_none() && matches!(rest, Rest::Any) {
            return Ok(None);
        }
        let mut names: HashMap<&str, Listing> = HashMap::new();
        for (name, schema) in properties.into_iter().flatten() {
            names.insert(name, Listing { test: Some(self.id(schema, scope)?), required: false });
        }
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            names.entry(name).or_insert(Listing { test: None, required: true }).required = true;
        }
        let required = names.values().filter(|listing| listing.required).count();
        Ok(Some(Members { names: Listed::new(names.into_iter().collect()), required, rest }))
    }
}

impl Test {
    fn anything() -> Self {
        Self {
            surely: Kinds::ALL,
            possibly: Kinds::ALL,
            format: None,
            elements: None,
            members: None,
            all: Box::default(),
            rare: None,
        }
    }

    /// A test that nothing passes, for what is not understood here: any value may fit it all the same.
    fn nothing() -> Self {
        Self { surely: Kinds::NONE, ..Self::anything() }
    }

    /// `type`; whether all of it is understood.
    fn allow(&mut self, types: &Value) -> bool {
        let types = types.as_array().map_or(std::slice::from_ref(types), Vec::as_slice);
        let (mut surely, mut possibly) = (Kinds::NONE, Kinds::NONE);
        for name in types {
            let kinds = match name.as_str() {
                Some("null") => Kinds::NULL,
                Some("boolean") => Kinds::BOOL,
                Some("integer") => Kinds::INTEGER,
                Some("number") => Kinds::INTEGER.or(Kinds::DECIMAL),
                Some("string") => Kinds::STRING,
                Some("array") => Kinds::ARRAY,
                Some("object") => Kinds::OBJECT,
                Some(_) | None => return false,
            };
            surely = surely.or(kinds);
            possibly = possibly.or(if kinds == Kinds::INTEGER { Kinds::INTEGER.or(Kinds::DECIMAL) } else { kinds });
        }
        self.surely = surely;
        self.possibly = possibly;
        true
    }
}

impl Rare {
    /// A keyword that is not often met; whether it is one that is understood.
    fn read(&mut self, keyword: &str, value: &Value) -> bool {
        if matches!(keyword, "enum" | "const") {
            let listed =
                if keyword == "enum" { value.as_array().map(Vec::as_slice) } else { Some(std::slice::from_ref(value)) };
            let first = self.values.is_none();
            self.values = listed.map(Values::new);
            return first && listed.is_some();
        }
        let Some(number) = value.as_i64() else { return false };
        match keyword {
            "minLength" => self.characters.raise(number),
            "maxLength" => self.characters.lower(number),
            "minItems" => self.elements.raise(number),
            "maxItems" => self.elements.lower(number),
            "minProperties" => self.members.raise(number),
            "maxProperties" => self.members.lower(number),
            "minimum" => self.numbers.raise(number),
            "maximum" => self.numbers.lower(number),
            "exclusiveMinimum" => return number.checked_add(1).map(|least| self.numbers.raise(least)).is_some(),
            "exclusiveMaximum" => return number.checked_sub(1).map(|most| self.numbers.lower(most)).is_some(),
            _ => return false,
        }
        true
    }

    fn asks_anything(&self) -> bool {
        let bounds = [self.characters, self.elements, self.members, self.numbers];
        !self.alternatives.is_empty()
            || !self.patterns.is_empty()
            || self.values.is_some()
            || !bounds.into_iter().all(super::Bounds::is_everything)
    }
}

impl super::Bounds {
    fn raise(&mut self, least: i64) {
        self.least = self.least.max(least);
    }

    fn lower(&mut self, most: i64) {
        self.most = self.most.min(most);
    }
}
