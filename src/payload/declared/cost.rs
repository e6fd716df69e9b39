//! What judging a payload may cost, worked out when the schema is loaded: a schema is the operator's, but the payload that
//! makes it expensive is the sender's.
//!
//! *Nesting*: the validator recurses, and must not reach the end of a worker's stack. *Fan-out*: where alternatives overlap (`oneOf` of two objects
//! with the same member) one value is visited once for every way that leads to it, which doubles with each level; a schema that multiplies so by
//! itself is a mistake. What a payload makes of a schema that is loaded is counted while it is judged, see [`judging`](super::super::judging).

use std::collections::{BTreeMap, HashMap};

use super::super::expressions::too_large_for_names;
use super::super::schema::SchemaFault;
use super::graph::{Graph, Subschema, SubschemaId, by_name};

/// Levels of a payload for which the figures are worked out.
pub const PAYLOAD_DEPTH_MAX: usize = 128;
/// How many subschemas may be under evaluation inside each other: about 1 KiB of stack each, and a worker has 2 MiB.
const NESTING_MAX: u32 = 1_024;
/// How often one value may be visited by a schema without recursion, whose outcomes nobody remembers.
const FAN_OUT_MAX: u64 = 65_536;
/// Edges of the graph in which the fan-out is worked out.
const EDGES_MAX: usize = 4_194_304;

/// # Errors
///
/// A fault if evaluation could nest too deeply, or alternatives multiply beyond what can be evaluated.
pub(super) fn refuse_dear(graph: &Graph, order: &[SubschemaId]) -> Result<(), SchemaFault> {
    let nesting = refuse_deep_nesting(graph, order)?;
    let ways = Ways::read(graph, order)?;
    if nesting == Nesting::Recursive {
        // There the validator remembers outcomes.
        return Ok(());
    }
    let mut visits = vec![1_u64; ways.branches.len()];
    for _ in 0..=PAYLOAD_DEPTH_MAX {
        let deeper: Vec<u64> = ways.branches.iter().map(|branches| branches.visits(&visits)).collect();
        let settled = deeper == visits;
        visits = deeper;
        if settled {
            break;
        }
    }
    if visits.first().is_some_and(|most| *most > FAN_OUT_MAX) {
        return Err(SchemaFault::new(format!(
            "alternatives in alternatives lead to one value in more than {FAN_OUT_MAX} ways"
        )));
    }
    Ok(())
}

/// How often a member's name is looked at where most is said of names.
///
/// # Errors
///
/// A fault if a pattern of names has no table: what it costs could not be counted.
pub(super) fn looks_a_name(graph: &Graph, order: &[SubschemaId]) -> Result<u64, SchemaFault> {
    let position = positions(graph, order);
    let mut most = 0_u64;
    for subschema in &graph.subschemas {
        let mut looks = subschema.patterns.len() as u64;
        for (id, count) in subschema.names.map(|id| graph.evaluated_with(id, &position)).unwrap_or_default() {
            looks = looks.saturating_add(count);
            if let Some(pattern) = &graph.subschemas[id as usize].simulated {
                return Err(too_large_for_names(pattern));
            }
        }
        most = most.max(looks);
    }
    Ok(most)
}

/// The place of each subschema in `order`.
fn positions(graph: &Graph, order: &[SubschemaId]) -> Vec<usize> {
    let mut position = vec![0; graph.subschemas.len()];
    for (index, &id) in order.iter().enumerate() {
        position[id as usize] = index;
    }
    position
}

#[derive(Clone, Copy, PartialEq)]
enum Nesting {
    EndsByItself,
    Recursive,
}

/// The deepest nesting over a payload of [`PAYLOAD_DEPTH_MAX`] levels, level by level from the innermost.
fn refuse_deep_nesting(graph: &Graph, order: &[SubschemaId]) -> Result<Nesting, SchemaFault> {
    let mut nesting = vec![0_u32; graph.subschemas.len()];
    let mut deeper = nesting.clone();
    let mut recursive = Nesting::Recursive;
    for _ in 0..=PAYLOAD_DEPTH_MAX {
        for &id in order {
            let subschema = &graph.subschemas[id as usize];
            let in_place = subschema.in_place().map(|inner| deeper[inner as usize]);
            let below = subschema.below().chain(subschema.dynamic.iter().copied());
            let deepest = in_place.chain(below.map(|inner| nesting[inner as usize])).max();
            deeper[id as usize] = 1 + deepest.unwrap_or(0);
        }
        if nesting == deeper {
            recursive = Nesting::EndsByItself;
            break;
        }
        nesting.copy_from_slice(&deeper);
    }
    match nesting.first() {
        Some(&most) if most > NESTING_MAX => Err(SchemaFault::new(format!(
            "a payload of {PAYLOAD_DEPTH_MAX} levels nests {most} subschemas, at most {NESTING_MAX} are allowed"
        ))),
        _ => Ok(recursive),
    }
}

/// For every subschema by which a value can be entered: the ways that lead from there to the values below.
struct Ways {
    branches: Vec<Branches>,
}

/// What is evaluated when one subschema is.
struct Branches {
    /// Subschemas evaluated on the value itself.
    here: u64,
    /// On the same value by dynamic references.
    dynamic: Vec<(u32, u64)>,
    /// For each name or index that the schema tells apart: which entries evaluate the value there, and how often.
    below: Vec<Vec<(u32, u64)>>,
}

impl Branches {
    fn visits(&self, visits: &[u64]) -> u64 {
        let sum = |ways: &Vec<(u32, u64)>| {
            ways.iter()
                .fold(0_u64, |sum, &(entry, times)| sum.saturating_add(times.saturating_mul(visits[entry as usize])))
        };
        let below = self.below.iter().map(sum).max().unwrap_or(0);
        self.here.max(below).saturating_add(sum(&self.dynamic))
    }
}

/// Entries are numbered as they are met; the root is the first.
struct Entries {
    ids: HashMap<SubschemaId, u32>,
    waiting: Vec<SubschemaId>,
}

impl Entries {
    fn number(&mut self, times: BTreeMap<SubschemaId, u64>) -> Vec<(u32, u64)> {
        let mut number = |id| {
            let next = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
            *self.ids.entry(id).or_insert_with(|| {
                self.waiting.push(id);
                next
            })
        };
        times.into_iter().map(|(id, times)| (number(id), times)).collect()
    }
}

impl Ways {
    fn read(graph: &Graph, order: &[SubschemaId]) -> Result<Self, SchemaFault> {
        let position = positions(graph, order);
        let mut entries = Entries { ids: HashMap::from([(0, 0)]), waiting: vec![0] };
        let mut branches = Vec::new();
        let mut edges = 0;
        while let Some(&id) = entries.waiting.get(branches.len()) {
            let here = graph.evaluated_with(id, &position);
            let read = graph.branches(&here, &mut entries);
            edges += here.len() + read.below.iter().map(Vec::len).sum::<usize>();
            if edges > EDGES_MAX {
                return Err(SchemaFault::new("the schema has too many overlapping subschemas".to_owned()));
            }
            branches.push(read);
        }
        Ok(Self { branches })
    }
}

impl Graph {
    /// What is evaluated on the same value when `id` is, and how often each.
    fn evaluated_with(&self, id: SubschemaId, position: &[usize]) -> Vec<(SubschemaId, u64)> {
        let mut times = BTreeMap::from([(std::cmp::Reverse(position[id as usize]), (id, 1_u64))]);
        let mut done = Vec::new();
        // Outermost first: when a subschema's turn comes, all that lead to it have been counted.
        while let Some((_, (id, count))) = times.pop_first() {
            done.push((id, count));
            for inner in self.subschemas[id as usize].in_place() {
                let entry = times.entry(std::cmp::Reverse(position[inner as usize])).or_insert((inner, 0));
                entry.1 = entry.1.saturating_add(count);
            }
        }
        done
    }

    fn branches(&self, here: &[(SubschemaId, u64)], entries: &mut Entries) -> Branches {
        let members = || here.iter().map(|&(id, count)| (&self.subschemas[id as usize], count));
        let mut dynamic = BTreeMap::new();
        for (subschema, count) in members() {
            add(&mut dynamic, subschema.dynamic.iter().copied(), count);
        }
        let subschemas: Vec<&Subschema> = members().map(|(subschema, _)| subschema).collect();
        let mut below = Vec::new();
        let any_name = (None, (0..here.len()).collect());
        for (name, positions) in by_name(&subschemas).into_iter().map(|(name, at)| (Some(name), at)).chain([any_name]) {
            let mut ways = BTreeMap::new();
            for position in positions {
                let (subschema, count) = (subschemas[position], here[position].1);
                let matched = |pattern: u32| {
                    name.is_none_or(|name| self.patterns[pattern as usize].looked_up(name) == Some(true))
                };
                let listed: Vec<SubschemaId> = subschema.value(name, matched).collect();
                let additional = if listed.is_empty() { subschema.additional.schema() } else { None };
                add(&mut ways, listed.into_iter().chain(additional).chain(subschema.unevaluated.schema()), count);
            }
            below.push(ways);
        }
        let prefix = members().map(|(subschema, _)| subschema.prefix.len()).max().unwrap_or(0);
        for index in (0..prefix).chain([usize::MAX]) {
            let mut ways = BTreeMap::new();
            for (subschema, count) in members() {
                add(&mut ways, subschema.element(index), count);
                add(&mut ways, subschema.contains.into_iter().chain(subschema.unevaluated_items), count);
            }
            below.push(ways);
        }
        Branches {
            here: here.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count)),
            dynamic: entries.number(dynamic),
            below: below.into_iter().filter(|ways| !ways.is_empty()).map(|ways| entries.number(ways)).collect(),
        }
    }
}

fn add(ways: &mut BTreeMap<SubschemaId, u64>, ids: impl IntoIterator<Item = SubschemaId>, count: u64) {
    for id in ids {
        let times = ways.entry(id).or_default();
        *times = times.saturating_add(count);
    }
}
