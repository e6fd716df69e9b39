//! What a schema declares: which members an object may have, place by place.
//!
//! A delivery meets it twice: where a rejected payload's pointers are masked, and where the sanitizer looks for members
//! that nobody declared. Both walk a payload from its root and carry a [`Place`] along; the walk costs one lookup a
//! member, because everything else was worked out when the schema was loaded: a place is a *set* of subschemas that all
//! apply to one value (through `$ref`, `allOf`, `anyOf`, `oneOf`, `if`/`then`/`else`, `dependentSchemas`), closed and
//! numbered like the states of an automaton.
//!
//! It must never judge a value: whether a payload fits its schema is the validator's business, and a branch of a `oneOf`
//! that does not fit still declares its members.
//!
//! What counts as declared:
//! - A member is known if any subschema of the place lists it (`properties`, `patternProperties`, `required`).
//! - A place is open, everything in it is known, if none of its subschemas lists `properties` or `patternProperties`, or if
//!   one says `additionalProperties` or `unevaluatedProperties` with `true` or a schema.
//! - What `not` mentions is not declared by it.
//! - `$dynamicRef` and `$recursiveRef` declare what any of their possible targets declares.

mod cost;
mod graph;

use std::collections::HashMap;
use std::sync::Arc;

pub use self::cost::PAYLOAD_DEPTH_MAX;
use self::graph::{Graph, Subschema, SubschemaId, by_name};
use super::expressions::Pattern;
use super::listed::Listed;
use super::names::fingerprint;
use super::node::Key;
use super::schema::{References, SchemaFault};

/// Distinct sets of subschemas that one schema may have. GitHub's schema of all its events has 310.
const PLACES_MAX: usize = 16_384;
/// Names and subschemas in all places together: what bounds the memory of a schema whose places overlap badly.
const ENTRIES_MAX: usize = 4_194_304;
/// Up to so many `patternProperties` that meet in one place, every combination of matches has a place of its own; beyond,
/// a name that matches any gets what all of them declare, which may call too much known, never too little.
const PATTERNS_EXACT_MAX: usize = 6;

/// What a schema declares, ready to be walked. Immutable.
#[derive(Debug)]
pub struct Declared {
    places: Box<[Row]>,
    patterns: Box<[Arc<Pattern>]>,
    root: Place,
    looks_a_name: u64,
}

/// The subschemas that apply to one value, as a number. It means something only to the [`Declared`] it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(u32);

/// What a place says of one member's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The schema has this very name in its text.
    Listed(Place),
    /// The name is the sender's, and the schema leaves room for it.
    Open(Place),
    /// No subschema knows the name.
    Undeclared,
}

/// Whether a payload has members that nobody declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// It has none: judging it has shown so on the way.
    Declared,
    /// Somebody has to look.
    Unasked,
}

impl Place {
    /// The place of a value of which the schema says nothing: everything in it is known.
    pub const ANYTHING: Self = Self(0);
}

impl Declared {
    /// Works out what the schema behind `references` declares.
    ///
    /// # Errors
    ///
    /// A fault if a reference leads back to itself without going down into the payload, if evaluation could nest too
    /// deeply, or if the schema has more subschemas or places than the bounds of this module.
    pub(super) fn compile(references: &References<'_>) -> Result<Self, SchemaFault> {
        let graph = Graph::read(references)?;
        let order = graph.innermost_first()?;
        cost::refuse_dear(&graph, &order)?;
        let looks_a_name = cost::looks_a_name(&graph, &order)?;
        let (places, root) = Table::build(&graph)?;
        Ok(Self { places, patterns: graph.patterns.into(), root, looks_a_name })
    }

    /// Where a payload's root stands.
    #[must_use]
    pub const fn root(&self) -> Place {
        self.root
    }

    /// Whether the outermost value may be any object: no member of it is ever undeclared, nor anything in one that it does not list.
    #[must_use]
    pub fn takes_any_object(&self) -> bool {
        let root = &self.places[self.root.0 as usize];
        root.rest == Some(Place::ANYTHING) && root.items == Place::ANYTHING && root.prefix.is_empty()
    }

    /// What is said of the member `key` of an object at `place`.
    #[must_use]
    #[inline]
    pub fn member(&self, place: Place, key: Key<'_>) -> Standing {
        let row = &self.places[place.0 as usize];
        if key.is_escaped() || row.patterned.is_some() {
            return self.decoded_member(place, key);
        }
        match row.names.get(key.raw_name(), key.fingerprint()) {
            Some(value) => Standing::Listed(value),
            None => row.rest.map_or(Standing::Undeclared, Standing::Open),
        }
    }

    /// [`Declared::member`] where a name's spelling and fingerprint are not enough: it has escapes, or patterns are asked.
    #[inline(never)]
    fn decoded_member(&self, place: Place, key: Key<'_>) -> Standing {
        self.name(place, &key.name())
    }

    /// What is said of the member `name` (decoded, not as it is spelled in the JSON text) of an object at `place`.
    #[must_use]
    pub fn name(&self, place: Place, name: &str) -> Standing {
        let row = &self.places[place.0 as usize];
        if let Some(value) = row.names.get(name.as_bytes(), fingerprint(name.as_bytes())) {
            return Standing::Listed(value);
        }
        if let Some(patterned) = &row.patterned
            && let Some(value) = patterned.value(&self.patterns, name)
        {
            return Standing::Open(value);
        }
        row.rest.map_or(Standing::Undeclared, Standing::Open)
    }

    /// Where the element `index` of an array at `place` stands.
    #[must_use]
    #[inline]
    pub fn element(&self, place: Place, index: usize) -> Place {
        let row = &self.places[place.0 as usize];
        row.prefix.get(index).copied().unwrap_or(row.items)
    }

    /// How often one member's name is looked at where most is said of names.
    #[must_use]
    pub const fn looks_a_name(&self) -> u64 {
        self.looks_a_name
    }

    /// How many places there are: what a schema costs in memory grows with it.
    #[must_use]
    pub fn place_count(&self) -> usize {
        self.places.len()
    }
}

/// One place, looked up by its number.
#[derive(Debug, Default)]
struct Row {
    names: Listed<Place>,
    patterned: Option<Patterned>,
    /// Where the value of any other member stands, if other members are known.
    rest: Option<Place>,
    prefix: Box<[Place]>,
    items: Place,
}

impl Default for Place {
    fn default() -> Self {
        Self::ANYTHING
    }
}

/// The patterns that meet in a place, and where a member's value stands by which of them match.
#[derive(Debug)]
struct Patterned {
    patterns: Box<[u32]>,
    /// Indexed by a bit mask of matches; the entry of mask 0 is never read. Empty if there are too many patterns.
    exact: Box<[Place]>,
    /// All patterns' subschemas together.
    any: Place,
}

impl Patterned {
    fn value(&self, patterns: &[Arc<Pattern>], name: &str) -> Option<Place> {
        let matches = |&&pattern: &&u32| patterns[pattern as usize].looked_up(name) == Some(true);
        if self.exact.is_empty() {
            return self.patterns.iter().find(matches).map(|_| self.any);
        }
        let mask = self.patterns.iter().rev().fold(0, |mask, pattern| mask << 1 | usize::from(matches(&pattern)));
        (mask != 0).then(|| self.exact[mask])
    }
}

/// Places under construction: sets of subschemas, numbered as they are met.
struct Table<'g> {
    graph: &'g Graph,
    ids: HashMap<Box<[SubschemaId]>, Place>,
    sets: Vec<Box<[SubschemaId]>>,
    entries: usize,
}

impl<'g> Table<'g> {
    fn build(graph: &'g Graph) -> Result<(Box<[Row]>, Place), SchemaFault> {
        let mut table = Self { graph, ids: HashMap::new(), sets: Vec::new(), entries: 0 };
        table.place(&[])?;
        let root = table.place(&[0])?;
        let mut rows = Vec::new();
        while rows.len() < table.sets.len() {
            rows.push(table.row(rows.len())?);
        }
        Ok((rows.into(), root))
    }

    /// The place at which all of `subschemas`, and what they refer to, apply.
    fn place(&mut self, subschemas: &[SubschemaId]) -> Result<Place, SchemaFault> {
        let set = self.graph.closure(subschemas);
        if let Some(&place) = self.ids.get(&set) {
            return Ok(place);
        }
        self.entries += set.len();
        self.refuse_too_many()?;
        let place = Place(u32::try_from(self.sets.len()).unwrap_or(u32::MAX));
        self.sets.push(set.clone());
        self.ids.insert(set, place);
        Ok(place)
    }

    fn refuse_too_many(&self) -> Result<(), SchemaFault> {
        if self.sets.len() >= PLACES_MAX || self.entries > ENTRIES_MAX {
            return Err(SchemaFault::new(format!(
                "the subschemas overlap in too many ways, at most {PLACES_MAX} are allowed"
            )));
        }
        Ok(())
    }

    fn row(&mut self, position: usize) -> Result<Row, SchemaFault> {
        let set = self.sets[position].clone();
        let members: Vec<&Subschema> = set.iter().map(|&id| &self.graph.subschemas[id as usize]).collect();
        let lists = members.iter().any(|subschema| subschema.lists_members);
        let open = members.iter().any(|subschema| subschema.additional.open() || subschema.unevaluated.open());
        let mut names = Vec::new();
        for (name, positions) in by_name(&members) {
            let saying: Vec<&Subschema> = positions.iter().map(|&position| members[position]).collect();
            let matched = |pattern: u32| self.graph.patterns[pattern as usize].looked_up(name) == Some(true);
            let value = self.place(&value_subschemas(&saying, Some(name), matched))?;
            names.push((name, value));
            self.entries += 1;
        }
        let rest = if !lists || open { Some(self.place(&value_subschemas(&members, None, |_| false))?) } else { None };
        let prefix = (0..members.iter().map(|subschema| subschema.prefix.len()).max().unwrap_or(0))
            .map(|index| self.place(&element_subschemas(&members, index)))
            .collect::<Result<Box<[Place]>, SchemaFault>>()?;
        self.entries += prefix.len();
        let items = self.place(&element_subschemas(&members, usize::MAX))?;
        Ok(Row { names: Listed::new(names), patterned: self.patterned(&members)?, rest, prefix, items })
    }

    fn patterned(&mut self, members: &[&Subschema]) -> Result<Option<Patterned>, SchemaFault> {
        let mut patterns: Vec<u32> =
            members.iter().flat_map(|subschema| subschema.patterns.iter().map(|(pattern, _)| *pattern)).collect();
        patterns.sort_unstable();
        patterns.dedup();
        if patterns.is_empty() {
            return Ok(None);
        }
        let any = self.place(&value_subschemas(members, None, |_| true))?;
        let mut exact = Vec::new();
        if patterns.len() <= PATTERNS_EXACT_MAX {
            for mask in 0..1_usize << patterns.len() {
                let matched =
                    |pattern| patterns.binary_search(&pattern).is_ok_and(|position| mask >> position & 1 == 1);
                exact.push(self.place(&value_subschemas(members, None, matched))?);
            }
        }
        self.entries += exact.len();
        Ok(Some(Patterned { patterns: patterns.into(), exact: exact.into(), any }))
    }
}

/// What applies to the value of a member: of the one called `name` if some subschema lists it, else of names with the
/// patterns that `matched` says.
fn value_subschemas(members: &[&Subschema], name: Option<&str>, matched: impl Fn(u32) -> bool) -> Vec<SubschemaId> {
    let mut found = Vec::new();
    let mut evaluated = false;
    for subschema in members {
        let before = found.len();
        found.extend(subschema.value(name, &matched));
        evaluated |= found.len() > before || subschema.additional.open();
        if found.len() == before {
            found.extend(subschema.additional.schema());
        }
    }
    if !evaluated {
        found.extend(members.iter().filter_map(|subschema| subschema.unevaluated.schema()));
    }
    found
}

/// What applies to the element `index` of an array.
fn element_subschemas(members: &[&Subschema], index: usize) -> Vec<SubschemaId> {
    let mut found = Vec::new();
    let mut evaluated = false;
    for subschema in members {
        let element = subschema.element(index);
        evaluated |= element.is_some();
        found.extend(element.into_iter().chain(subschema.contains));
    }
    if !evaluated {
        found.extend(members.iter().filter_map(|subschema| subschema.unevaluated_items));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::schema::Schema;
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_schema_that_takes_any_object_is_told_from_one_that_lists_members() {
        let a = json!({"properties": {"a": {}}});
        let rows = [
            ("nothing said", json!({}), true),
            ("a type", json!({"type": "object"}), true),
            ("required only", json!({"required": ["a"]}), true),
            ("properties", a.clone(), false),
            ("additional true", json!({"properties": {"a": {}}, "additionalProperties": true}), true),
            ("additional false", json!({"properties": {"a": {}}, "additionalProperties": false}), false),
            ("additional schema", json!({"additionalProperties": a}), false),
            ("unevaluated true", json!({"allOf": [a], "unevaluatedProperties": true}), true),
            ("patterns", json!({"patternProperties": {"^x": {}}}), false),
            ("oneOf", json!({"oneOf": [a, {"required": ["b"]}]}), false),
            ("items", json!({"items": a}), false),
            ("first items", json!({"prefixItems": [a]}), false),
        ];
        for (name, schema, expected) in rows {
            assert_eq!(load(&schema).unwrap().declared().takes_any_object(), expected, "{name}");
        }
    }

    fn load(schema: &Value) -> Result<Schema, SchemaFault> {
        Schema::from_value(schema, &std::env::temp_dir())
    }

    /// What is said of the last name of a path such as `a/0/b`: `listed`, `open` or `undeclared`.
    fn standing(declared: &Declared, path: &str) -> &'static str {
        let mut place = declared.root();
        let mut said = "";
        for segment in path.split('/') {
            if let Ok(index) = segment.parse() {
                place = declared.element(place, index);
                continue;
            }
            (place, said) = match declared.name(place, segment) {
                Standing::Listed(value) => (value, "listed"),
                Standing::Open(value) => (value, "open"),
                Standing::Undeclared => return "undeclared",
            };
        }
        said
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn a_member_is_known_where_a_schema_leaves_room_for_it() {
        let a = json!({"properties": {"a": {}}});
        let b = json!({"properties": {"b": {"properties": {"c": {}}}}});
        let cases = [
            ("nothing said", json!({}), "x open"),
            ("everything refused", json!(false), "x open"),
            ("properties", a.clone(), "a listed, x undeclared, a/x open"),
            ("empty properties", json!({"properties": {}}), "a undeclared"),
            ("a member that may not be", json!({"properties": {"a": false}}), "a listed, x undeclared"),
            ("additional true", json!({"properties": {"a": {}}, "additionalProperties": true}), "a listed, x open"),
            ("additional false", json!({"properties": {"a": {}}, "additionalProperties": false}), "x undeclared"),
            (
                "additional schema",
                json!({"properties": {"a": {}}, "additionalProperties": b}),
                "x open, x/b listed, x/x undeclared, a/x open",
            ),
            ("only additional false", json!({"additionalProperties": false}), "x open"),
            ("unevaluated true", json!({"allOf": [a], "unevaluatedProperties": true}), "a listed, x open"),
            (
                "unevaluated schema",
                json!({"allOf": [a], "unevaluatedProperties": b}),
                "x/b listed, x/x undeclared, a/x open",
            ),
            ("unevaluated false", json!({"allOf": [a], "unevaluatedProperties": false}), "a listed, x undeclared"),
            (
                "pattern",
                json!({"patternProperties": {"^x-": b}}),
                "x-1 open, x-1/b listed, x-1/x undeclared, y undeclared",
            ),
            (
                "pattern and name",
                json!({"properties": {"x-1": a}, "patternProperties": {"^x-": b}}),
                "x-1 listed, x-1/a listed, x-1/b listed, x-2/a undeclared, x-2/b listed",
            ),
            (
                "two patterns",
                json!({"patternProperties": {"^x": a, "y$": b}}),
                "x/a listed, x/b undeclared, xy/a listed, xy/b listed, zy/a undeclared, z undeclared",
            ),
            (
                "pattern beside additional schema",
                json!({"patternProperties": {"^x": a}, "additionalProperties": b}),
                "x/a listed, x/b undeclared, y/a undeclared, y/b listed",
            ),
            ("required only", json!({"required": ["r"]}), "r listed, x open"),
            (
                "required beside properties",
                json!({"properties": {"a": {}}, "required": ["r"]}),
                "r listed, r/x open, x undeclared",
            ),
            ("allOf", json!({"allOf": [a, b]}), "a listed, b listed, b/c listed, b/x undeclared, x undeclared"),
            ("anyOf", json!({"anyOf": [a, {"type": "string"}, b]}), "a listed, b listed, x undeclared"),
            ("oneOf with an open branch", json!({"oneOf": [a, {"additionalProperties": {}}]}), "a listed, x open"),
            (
                "same name in two branches",
                json!({"oneOf": [{"properties": {"a": a}}, {"properties": {"a": b}}]}),
                "a/a listed, a/b listed, a/x undeclared",
            ),
            (
                "if then else",
                json!({"if": a, "then": b, "else": {"required": ["e"]}}),
                "a listed, b listed, e listed, x undeclared",
            ),
            ("dependentSchemas", json!({"properties": {}, "dependentSchemas": {"q": a}}), "a listed, q undeclared"),
            ("not", json!({"properties": {}, "not": a}), "a undeclared"),
            ("ref", json!({"$ref": "#/$defs/d", "$defs": {"d": a}}), "a listed, x undeclared"),
            (
                "ref with siblings",
                json!({"$ref": "#/$defs/d", "properties": {"s": {}}, "$defs": {"d": a}}),
                "a listed, s listed",
            ),
            (
                "ref hides siblings in draft 7",
                json!({"$schema": "http://json-schema.org/draft-07/schema#",
                "allOf": [{"$ref": "#/definitions/d", "properties": {"s": {}}}], "definitions": {"d": a}}),
                "a listed, s undeclared",
            ),
            (
                "ref to an anchor",
                json!({"$ref": "#here", "$defs": {"d": {"$anchor": "here", "properties": {"a": {}}}}}),
                "a listed, x undeclared",
            ),
            (
                "ref to an identifier",
                json!({"$id": "https://example.com/s/", "$ref": "d",
                "$defs": {"d": {"$id": "d", "properties": {"a": {"$ref": "#/$defs/e"}}, "$defs": {"e": b}}}}),
                "a/b listed, a/x undeclared",
            ),
            (
                "recursion",
                json!({"properties": {"v": {}, "next": {"$ref": "#"}}}),
                "next/next/v listed, next/next/x undeclared",
            ),
            (
                "dynamic recursion",
                json!({"$dynamicAnchor": "n", "properties": {"next": {"$dynamicRef": "#n"}}}),
                "next/next listed, next/x undeclared",
            ),
            (
                "recursive anchor",
                json!({"$schema": "https://json-schema.org/draft/2019-09/schema", "$recursiveAnchor": true,
                "properties": {"next": {"$recursiveRef": "#"}}}),
                "next/next listed, next/x undeclared",
            ),
            ("items", json!({"items": a}), "0/a listed, 7/x undeclared"),
            (
                "prefixItems",
                json!({"prefixItems": [a, {}], "items": b}),
                "0/a listed, 0/b undeclared, 1/x open, 2/b listed, 2/a undeclared",
            ),
            (
                "tuple of draft 7",
                json!({"$schema": "http://json-schema.org/draft-07/schema#", "items": [a], "additionalItems": b}),
                "0/a listed, 0/b undeclared, 1/b listed",
            ),
            ("contains", json!({"contains": a, "items": b}), "0/a listed, 3/b listed, 3/x undeclared"),
            (
                "unevaluatedItems",
                json!({"prefixItems": [a], "unevaluatedItems": b}),
                "0/a listed, 0/b undeclared, 1/b listed",
            ),
        ];
        for (name, schema, expected) in cases {
            let schema = load(&schema).expect("the case compiles");
            for expectation in expected.split(", ") {
                let (path, said) = expectation.split_once(' ').expect("path and standing");
                assert_eq!(standing(schema.declared(), path), said, "{name}: {path}");
            }
        }
    }

    #[test]
    fn many_patterns_in_one_place_declare_too_much_rather_than_too_little() {
        let patterns = |count: usize| -> Value {
            let pattern = |index| (format!("^{index}"), json!({"properties": {format!("p{index}"): {}}}));
            json!({"patternProperties": (0..count).map(pattern).collect::<serde_json::Map<_, _>>()})
        };
        for (count, other) in [(PATTERNS_EXACT_MAX, "undeclared"), (PATTERNS_EXACT_MAX + 1, "listed")] {
            let schema = load(&patterns(count)).expect("the case compiles");
            assert_eq!(standing(schema.declared(), "1x/p1"), "listed", "{count}");
            assert_eq!(standing(schema.declared(), "1x/p2"), other, "{count}");
            assert_eq!(standing(schema.declared(), "x"), "undeclared", "{count}");
        }
    }

    #[test]
    fn a_schema_that_costs_too_much_is_refused() {
        let chain =
            |length: usize| -> Value { (0..length).fold(json!({"type": "string"}), |inner, _| json!({"not": inner})) };
        let references = |length: usize| -> Value {
            let link = |index: usize| (format!("d{index}"), json!({"$ref": format!("#/$defs/d{}", index + 1)}));
            let mut defs: serde_json::Map<_, _> = (0..length).map(link).collect();
            defs.insert(format!("d{length}"), json!({}));
            json!({"$ref": "#/$defs/d0", "$defs": defs})
        };
        let doubling = |levels: usize| -> Value {
            let level = |index: usize| {
                let below = json!({"properties": {"a": {"$ref": format!("#/$defs/d{}", index + 1)}}});
                (format!("d{index}"), json!({"anyOf": [below, below]}))
            };
            let mut defs: serde_json::Map<_, _> = (0..levels).map(level).collect();
            defs.insert(format!("d{levels}"), json!({}));
            json!({"$ref": "#/$defs/d0", "$defs": defs})
        };
        let cases = [
            ("reference to itself", json!({"$ref": "#"}), false),
            (
                "loop in place",
                json!({"anyOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"allOf": [{"$ref": "#"}]}}}),
                false,
            ),
            ("loop through not", json!({"$ref": "#/$defs/a", "$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}}), false),
            ("recursion that goes down", json!({"anyOf": [{"items": {"$ref": "#"}}]}), true),
            ("nested deeply", chain(100), true),
            ("1,024 subschemas inside each other", references(1_022), true),
            ("1,025 subschemas inside each other", references(1_023), false),
            (
                "recursion that nests deeply",
                json!({"items": {"allOf": [{"allOf": [{"allOf": [{"allOf": [{"allOf": [{"allOf": [
                {"allOf": [{"$ref": "#"}]}]}]}]}]}]}]}}),
                false,
            ),
            ("alternatives in 12 levels", doubling(12), true),
            ("alternatives in 20 levels", doubling(20), false),
            (
                "alternatives in a recursion",
                json!({"anyOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}}]}),
                true,
            ),
        ];
        for (name, schema, accepted) in cases {
            let loaded = load(&schema);
            assert_eq!(loaded.is_ok(), accepted, "{name}: {:?}", loaded.err());
        }
    }

    #[test]
    fn subschemas_that_declare_nothing_share_one_place() {
        let schema = load(
            &json!({"properties": {"a": {"type": "string"}, "b": {"$ref": "#/$defs/d"}}, "$defs": {"d": {"minimum": 1}}}),
        );
        assert_eq!(schema.expect("it compiles").declared().place_count(), 2);
    }
}
