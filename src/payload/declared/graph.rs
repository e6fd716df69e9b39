//! A schema as a graph: every subschema once, with references resolved.
//!
//! It lives only while a schema is loaded. What a payload may have is worked out of it by the module above, what judging a
//! payload may cost by the module beside it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use serde_json::{Map, Value};

use super::super::expressions::Pattern;
use super::super::schema::{References, SchemaFault, Scope};

/// Subschemas that one schema, with all files it refers to, may have.
const SUBSCHEMAS_MAX: usize = 262_144;
const LOOP: &str = "a reference leads back to itself without going down into the payload";

pub(super) type SubschemaId = u32;

/// All subschemas of a schema, with references resolved.
pub(super) struct Graph {
    pub(super) subschemas: Vec<Subschema>,
    pub(super) patterns: Vec<Arc<Pattern>>,
}

/// One subschema: what it lists itself, and which others apply to the same value.
#[derive(Default)]
pub(super) struct Subschema {
    /// Subschemas that apply to the same value and declare for it.
    pub(super) same: Vec<SubschemaId>,
    /// The same by a dynamic reference, of which only some really apply.
    pub(super) dynamic: Vec<SubschemaId>,
    /// Subschemas that are evaluated on the same value, or its member names, but declare nothing.
    pub(super) aside: Vec<SubschemaId>,
    /// Of those, the one that judges member names.
    pub(super) names: Option<SubschemaId>,
    /// The pattern of a text, where it has no table.
    pub(super) simulated: Option<Box<str>>,
    pub(super) properties: BTreeMap<Box<str>, SubschemaId>,
    pub(super) required: Vec<Box<str>>,
    pub(super) patterns: Vec<(u32, SubschemaId)>,
    pub(super) lists_members: bool,
    pub(super) additional: Others,
    pub(super) unevaluated: Others,
    pub(super) prefix: Vec<SubschemaId>,
    pub(super) items: Option<SubschemaId>,
    pub(super) contains: Option<SubschemaId>,
    pub(super) unevaluated_items: Option<SubschemaId>,
}

/// What `additionalProperties` or `unevaluatedProperties` says.
#[derive(Default, Clone, Copy, PartialEq)]
pub(super) enum Others {
    #[default]
    Unsaid,
    Refused,
    Any,
    Schema(SubschemaId),
}

impl Others {
    pub(super) const fn open(self) -> bool {
        matches!(self, Self::Any | Self::Schema(_))
    }

    pub(super) const fn schema(self) -> Option<SubschemaId> {
        match self {
            Self::Schema(id) => Some(id),
            Self::Unsaid | Self::Refused | Self::Any => None,
        }
    }
}

impl Subschema {
    /// Whether it adds nothing to a place, as `{"type": "string"}` does.
    fn is_mute(&self) -> bool {
        !self.lists_members
            && self.required.is_empty()
            && self.additional == Others::Unsaid
            && self.unevaluated == Others::Unsaid
            && self.prefix.is_empty()
            && self.items.is_none()
            && self.contains.is_none()
            && self.unevaluated_items.is_none()
    }

    pub(super) fn in_place(&self) -> impl Iterator<Item = SubschemaId> {
        self.same.iter().chain(&self.aside).copied()
    }

    pub(super) fn below(&self) -> impl Iterator<Item = SubschemaId> {
        let members = self.properties.values().copied().chain(self.patterns.iter().map(|(_, id)| *id));
        let others = [self.additional.schema(), self.unevaluated.schema(), self.items, self.contains];
        let elements = self.prefix.iter().copied().chain(self.unevaluated_items);
        members.chain(others.into_iter().flatten()).chain(elements)
    }
}

impl Graph {
    pub(super) fn read(references: &References<'_>) -> Result<Self, SchemaFault> {
        let mut reader = Reader::new(references);
        let (root, scope) = references.root()?;
        reader.id(root, &scope);
        let mut subschemas = Vec::new();
        while let Some((schema, scope)) = reader.waiting.get(subschemas.len()).cloned() {
            if reader.waiting.len() > SUBSCHEMAS_MAX {
                return Err(SchemaFault::new(format!("the schema has more than {SUBSCHEMAS_MAX} subschemas")));
            }
            let id = u32::try_from(subschemas.len()).unwrap_or(u32::MAX);
            subschemas.push(reader.read(id, schema, &scope)?);
        }
        for (from, anchor) in reader.dynamic_references {
            subschemas[from as usize].dynamic = reader.anchors.get(&anchor).cloned().unwrap_or_default();
        }
        Ok(Self { subschemas, patterns: reader.patterns })
    }

    /// All subschemas, each after those that are evaluated on the same value inside it.
    pub(super) fn innermost_first(&self) -> Result<Vec<SubschemaId>, SchemaFault> {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            New,
            Open,
            Done,
        }
        let mut marks = vec![Mark::New; self.subschemas.len()];
        let mut order = Vec::with_capacity(self.subschemas.len());
        let mut stack = Vec::new();
        for start in 0..self.subschemas.len() {
            stack.push(u32::try_from(start).unwrap_or(u32::MAX));
            while let Some(&id) = stack.last() {
                match marks[id as usize] {
                    Mark::New => {
                        marks[id as usize] = Mark::Open;
                        for inner in self.subschemas[id as usize].in_place() {
                            match marks[inner as usize] {
                                Mark::New => stack.push(inner),
                                Mark::Open => return Err(SchemaFault::new(LOOP.to_owned())),
                                Mark::Done => {}
                            }
                        }
                    }
                    Mark::Open => {
                        marks[id as usize] = Mark::Done;
                        order.push(id);
                        stack.pop();
                    }
                    Mark::Done => {
                        stack.pop();
                    }
                }
            }
        }
        Ok(order)
    }
}

/// Reads subschemas in the order in which they are met. A work list, not recursion: what a reference leads to may lie
/// arbitrarily deep.
struct Reader<'r> {
    references: &'r References<'r>,
    /// Subschemas by their address: one JSON value is one subschema, however many references lead to it.
    ids: HashMap<usize, SubschemaId>,
    waiting: Vec<(&'r Value, Scope)>,
    patterns: Vec<Arc<Pattern>>,
    pattern_ids: HashMap<&'r str, u32>,
    anchors: HashMap<Anchor, Vec<SubschemaId>>,
    dynamic_references: Vec<(SubschemaId, Anchor)>,
}

/// What a dynamic reference may lead to: all `$dynamicAnchor`s of a name, or all roots with `$recursiveAnchor`.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Anchor {
    Dynamic(String),
    Recursive,
}

impl<'r> Reader<'r> {
    fn new(references: &'r References<'r>) -> Self {
        Self {
            references,
            ids: HashMap::new(),
            waiting: Vec::new(),
            patterns: Vec::new(),
            pattern_ids: HashMap::new(),
            anchors: HashMap::new(),
            dynamic_references: Vec::new(),
        }
    }

    /// The number of a subschema; a new one is put on the work list.
    fn id(&mut self, schema: &'r Value, scope: &Scope) -> SubschemaId {
        let next = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        let id = *self.ids.entry(std::ptr::from_ref(schema).addr()).or_insert(next);
        if id == next {
            self.waiting.push((schema, scope.clone()));
        }
        id
    }

    fn read(&mut self, id: SubschemaId, schema: &'r Value, outer: &Scope) -> Result<Subschema, SchemaFault> {
        let mut read = Subschema::default();
        let Value::Object(keywords) = schema else {
            return Ok(read);
        };
        let scope = self.references.enter(outer, schema)?;
        self.read_references(id, keywords, &scope, &mut read)?;
        if scope.reference_stands_alone() && keywords.contains_key("$ref") {
            return Ok(read);
        }
        self.read_combinators(keywords, &scope, &mut read);
        if let Some(Value::String(pattern)) = keywords.get("pattern")
            && !self.references.pattern(pattern)?.has_table()
        {
            read.simulated = Some(pattern.as_str().into());
        }
        self.read_members(keywords, &scope, &mut read)?;
        self.read_elements(keywords, &scope, &mut read);
        for container in ["$defs", "definitions"] {
            for (_, schema) in object(keywords, container) {
                self.id(schema, &scope);
            }
        }
        Ok(read)
    }

    fn read_references(
        &mut self,
        id: SubschemaId,
        keywords: &'r Map<String, Value>,
        scope: &Scope,
        read: &mut Subschema,
    ) -> Result<(), SchemaFault> {
        if let Some(Value::String(name)) = keywords.get("$dynamicAnchor") {
            self.anchors.entry(Anchor::Dynamic(name.clone())).or_default().push(id);
        }
        if keywords.get("$recursiveAnchor") == Some(&Value::Bool(true)) {
            self.anchors.entry(Anchor::Recursive).or_default().push(id);
        }
        for keyword in ["$ref", "$dynamicRef", "$recursiveRef"] {
            let Some(Value::String(reference)) = keywords.get(keyword) else {
                continue;
            };
            let (target, target_scope) = self.references.follow(scope, reference)?;
            let target_id = self.id(target, &target_scope);
            match dynamic_anchor(keyword, reference, target) {
                Some(anchor) => self.dynamic_references.push((id, anchor)),
                None => read.same.push(target_id),
            }
        }
        Ok(())
    }

    fn read_combinators(&mut self, keywords: &'r Map<String, Value>, scope: &Scope, read: &mut Subschema) {
        for keyword in ["allOf", "anyOf", "oneOf"] {
            read.same.extend(array(keywords, keyword).map(|schema| self.id(schema, scope)));
        }
        for keyword in ["if", "then", "else"] {
            read.same.extend(keywords.get(keyword).map(|schema| self.id(schema, scope)));
        }
        for keyword in ["dependentSchemas", "dependencies"] {
            let schemas = object(keywords, keyword).filter(|(_, schema)| !schema.is_array());
            read.same.extend(schemas.map(|(_, schema)| self.id(schema, scope)));
        }
        for keyword in ["not", "propertyNames"] {
            read.aside.extend(keywords.get(keyword).map(|schema| self.id(schema, scope)));
        }
        read.names = keywords.get("propertyNames").map(|schema| self.id(schema, scope));
    }

    fn read_members(
        &mut self,
        keywords: &'r Map<String, Value>,
        scope: &Scope,
        read: &mut Subschema,
    ) -> Result<(), SchemaFault> {
        read.lists_members = keywords.contains_key("properties") || keywords.contains_key("patternProperties");
        for (name, schema) in object(keywords, "properties") {
            read.properties.insert(name.as_str().into(), self.id(schema, scope));
        }
        for (pattern, schema) in object(keywords, "patternProperties") {
            let pattern = self.pattern(pattern)?;
            read.patterns.push((pattern, self.id(schema, scope)));
        }
        read.required = array(keywords, "required").filter_map(Value::as_str).map(Into::into).collect();
        read.additional = self.others(keywords.get("additionalProperties"), scope);
        read.unevaluated = self.others(keywords.get("unevaluatedProperties"), scope);
        Ok(())
    }

    fn read_elements(&mut self, keywords: &'r Map<String, Value>, scope: &Scope, read: &mut Subschema) {
        read.prefix = array(keywords, "prefixItems").map(|schema| self.id(schema, scope)).collect();
        let rest = match keywords.get("items") {
            Some(Value::Array(tuple)) => {
                read.prefix = tuple.iter().map(|schema| self.id(schema, scope)).collect();
                keywords.get("additionalItems")
            }
            single => single,
        };
        read.items = rest.map(|schema| self.id(schema, scope));
        read.contains = keywords.get("contains").map(|schema| self.id(schema, scope));
        read.unevaluated_items = keywords.get("unevaluatedItems").map(|schema| self.id(schema, scope));
    }

    fn others(&mut self, keyword: Option<&'r Value>, scope: &Scope) -> Others {
        match keyword {
            None => Others::Unsaid,
            Some(Value::Bool(false)) => Others::Refused,
            Some(Value::Bool(true)) => Others::Any,
            Some(schema) => Others::Schema(self.id(schema, scope)),
        }
    }

    fn pattern(&mut self, text: &'r str) -> Result<u32, SchemaFault> {
        if let Some(&id) = self.pattern_ids.get(text) {
            return Ok(id);
        }
        let id = u32::try_from(self.patterns.len()).unwrap_or(u32::MAX);
        self.patterns.push(self.references.pattern_of_names(text)?);
        self.pattern_ids.insert(text, id);
        Ok(id)
    }
}

/// The anchor by which a reference is dynamic, or `None` if it only ever leads to `target`.
fn dynamic_anchor(keyword: &str, reference: &str, target: &Value) -> Option<Anchor> {
    match keyword {
        "$dynamicRef" => {
            let (_, name) = reference.rsplit_once('#')?;
            let anchor = target.get("$dynamicAnchor")?.as_str()?;
            (anchor == name).then(|| Anchor::Dynamic(name.to_owned()))
        }
        "$recursiveRef" => (target.get("$recursiveAnchor") == Some(&Value::Bool(true))).then_some(Anchor::Recursive),
        _ => None,
    }
}

fn array<'r>(keywords: &'r Map<String, Value>, keyword: &str) -> impl Iterator<Item = &'r Value> + use<'r> {
    keywords.get(keyword).and_then(Value::as_array).into_iter().flatten()
}

fn object<'r>(
    keywords: &'r Map<String, Value>,
    keyword: &str,
) -> impl Iterator<Item = (&'r String, &'r Value)> + use<'r> {
    keywords.get(keyword).and_then(Value::as_object).into_iter().flatten()
}

impl Graph {
    /// `subschemas` with all that apply to the same value, sorted, without those that declare nothing.
    pub(super) fn closure(&self, subschemas: &[SubschemaId]) -> Box<[SubschemaId]> {
        let mut seen = subschemas.to_vec();
        let mut known: HashSet<SubschemaId, RandomState> = seen.iter().copied().collect();
        let mut next = 0;
        while let Some(&id) = seen.get(next) {
            let subschema = &self.subschemas[id as usize];
            seen.extend(subschema.same.iter().chain(&subschema.dynamic).filter(|&&same| known.insert(same)));
            next += 1;
        }
        seen.retain(|&id| !self.subschemas[id as usize].is_mute());
        seen.sort_unstable();
        seen.dedup();
        seen.into()
    }
}

impl Subschema {
    /// What `properties` and `patternProperties` say of a member's value: of the one called `name` if it is given, and of
    /// names with the patterns that `matched` says.
    pub(super) fn value(&self, name: Option<&str>, matched: impl Fn(u32) -> bool) -> impl Iterator<Item = SubschemaId> {
        let listed = name.and_then(|name| self.properties.get(name)).copied();
        let patterns = self.patterns.iter().filter(move |(pattern, _)| matched(*pattern));
        listed.into_iter().chain(patterns.map(|(_, id)| *id))
    }

    /// What `prefixItems` and `items` say of the element `index`.
    pub(super) fn element(&self, index: usize) -> Option<SubschemaId> {
        self.prefix.get(index).copied().or(self.items)
    }
}

/// For every name that `members` list or require: the positions of those that say anything of a member so called. A place
/// can have thousands of both, so that asking every subschema about every name would take long.
pub(super) fn by_name<'g>(members: &[&'g Subschema]) -> BTreeMap<&'g str, Vec<usize>> {
    let mut names: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut of_any_name = Vec::new();
    for (position, member) in members.iter().enumerate() {
        if !member.patterns.is_empty() || member.additional.open() || member.unevaluated.open() {
            of_any_name.push(position);
        }
        for name in &member.required {
            names.entry(name).or_default();
        }
        for name in member.properties.keys() {
            names.entry(name).or_default().push(position);
        }
    }
    for positions in names.values_mut() {
        positions.extend(&of_any_name);
        positions.sort_unstable();
        positions.dedup();
    }
    names
}
