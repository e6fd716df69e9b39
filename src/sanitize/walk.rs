//! One walk over a payload: finds what the rules are about, and the spans to cut.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use super::{Action, Report, Rule, Rules, control, refused};
use crate::payload::declared::{Declared, Membership, Place, Standing};
use crate::payload::{Document, Key, Kind, Member, Node};
use crate::rejection::Rejection;

/// Spans of the source that are not kept: ascending, apart from each other.
pub(super) type Cuts = Vec<Range<usize>>;

pub(super) struct Walk<'d> {
    rules: Rules,
    document: &'d Document,
    declared: Option<&'d Declared>,
    /// Whether there is anything to find where the schema says nothing.
    below_anything: bool,
    cuts: Cuts,
    report: Report,
}

impl<'d> Walk<'d> {
    /// A walk by `rules`, of which those are switched off that cannot find anything in this document.
    pub(super) fn new(
        mut rules: Rules,
        document: &'d Document,
        declared: Option<&'d Declared>,
        membership: Membership,
    ) -> Self {
        if declared.is_none() {
            rules.unknown_fields = Action::Keep;
        }
        if rules.control_characters != Action::Keep && control::find(document.source()).next().is_none() {
            rules.control_characters = Action::Keep;
        }
        if rules.prototype_keys != Action::Keep
            && rules.control_characters == Action::Keep
            && !document.may_have_member(["__proto__", "constructor"])
        {
            rules.prototype_keys = Action::Keep;
        }
        let below_anything = rules.control_characters != Action::Keep || rules.prototype_keys != Action::Keep;
        if let Some(declared) = declared
            && rules.unknown_fields != Action::Keep
            && !below_anything
            && (membership == Membership::Declared || !has_unknown(declared, document.root(), declared.root()))
        {
            debug_assert!(!has_unknown(declared, document.root(), declared.root()), "invariant: see `Membership`");
            rules.unknown_fields = Action::Keep;
        }
        Self { rules, document, declared, below_anything, cuts: Vec::new(), report: Report::default() }
    }

    pub(super) fn has_nothing_to_do(&self) -> bool {
        self.rules == Rules::default()
    }

    pub(super) fn run(mut self) -> Result<(Cuts, Report), Rejection> {
        let root = self.declared.map_or(Place::ANYTHING, Declared::root);
        self.value(self.document.root(), root, &Path::Root)?;
        Ok((self.cuts, self.report))
    }

    /// Recursion ends: the reader bounds how deep a document is.
    fn value(&mut self, node: Node<'d>, place: Place, path: &Path<'_>) -> Result<(), Rejection> {
        if place == Place::ANYTHING && !self.below_anything {
            return Ok(());
        }
        match node.kind() {
            Kind::Object => self.object(node, place, path),
            Kind::Array => self.array(node, place, path),
            Kind::String => self.string(node.span(), path),
            Kind::Null | Kind::Bool | Kind::Number => Ok(()),
        }
    }

    fn array(&mut self, array: Node<'d>, place: Place, path: &Path<'_>) -> Result<(), Rejection> {
        for (index, element) in array.elements().enumerate() {
            let place = self.declared.map_or(place, |declared| declared.element(place, index));
            self.value(element, place, &Path::Index(path, index))?;
        }
        Ok(())
    }

    /// Cuts a run of members with the comma before it, or behind it where no member was kept before.
    fn object(&mut self, object: Node<'d>, place: Place, path: &Path<'_>) -> Result<(), Rejection> {
        let mut kept_until = None;
        let mut run: Option<Range<usize>> = None;
        let mut names = Names { object, taken: None };
        for member in object.members() {
            match self.judge(member, place, &mut names, path)? {
                Verdict::Drop => {
                    let start = run.map(|run| run.start).or(kept_until).unwrap_or(member.span().start);
                    run = Some(start..member.span().end);
                }
                Verdict::Keep(place, shown) => {
                    if let Some(run) = run.take() {
                        let end = if kept_until.is_some() { run.end } else { member.span().start };
                        self.cuts.push(run.start..end);
                    }
                    let path = Path::Name(path, shown);
                    self.string(member.key.span(), &path)?;
                    self.value(member.value, place, &path)?;
                    kept_until = Some(member.span().end);
                }
            }
        }
        match (run, kept_until) {
            (Some(run), Some(_)) => self.cuts.push(run),
            (Some(_), None) => self.cuts.push(object.span().start + 1..object.span().end - 1),
            (None, _) => {}
        }
        Ok(())
    }

    fn judge(
        &mut self,
        member: Member<'d>,
        place: Place,
        names: &mut Names<'d>,
        path: &Path<'_>,
    ) -> Result<Verdict<'d>, Rejection> {
        let mut standing = self.declared.map_or(Standing::Open(place), |declared| declared.member(place, member.key));
        let renamed = if self.rules.control_characters == Action::Drop { cleaned_name(member.key) } else { None };
        if let Some(name) = &renamed
            && !self.is_unknown(standing)
        {
            standing = self.declared.map_or(standing, |declared| declared.name(place, name));
            let collides = matches!(standing, Standing::Listed(_)) || names.is_taken(name);
            if collides && !self.is_unknown(standing) {
                let pointer = Path::Name(path, None).pointer();
                return Err(refused(Rule::ControlCharacters, pointer).hint(HINT_COLLISION));
            }
        }
        if self.is_unknown(standing) {
            return self.drop_or_refuse(Rule::UnknownFields, self.rules.unknown_fields, &Path::Name(path, None));
        }
        let (place, listed) = match standing {
            Standing::Listed(place) => (place, true),
            Standing::Open(place) => (place, false),
            Standing::Undeclared => (Place::ANYTHING, false),
        };
        let shown = if listed { Some(member.key) } else { None };
        if self.rules.prototype_keys != Action::Keep && self.changes_prototype(member, renamed.as_deref()) {
            return self.drop_or_refuse(Rule::PrototypeKeys, self.rules.prototype_keys, &Path::Name(path, shown));
        }
        Ok(Verdict::Keep(place, shown))
    }

    fn is_unknown(&self, standing: Standing) -> bool {
        standing == Standing::Undeclared && self.rules.unknown_fields != Action::Keep
    }

    #[cold]
    fn drop_or_refuse(&mut self, rule: Rule, action: Action, path: &Path<'_>) -> Result<Verdict<'d>, Rejection> {
        if action == Action::Refuse {
            return Err(refused(rule, path.pointer()));
        }
        self.report.add(rule, || path.pointer());
        Ok(Verdict::Drop)
    }

    /// `renamed` is the member's name without its control characters, if it had any.
    fn changes_prototype(&self, member: Member<'_>, renamed: Option<&str>) -> bool {
        if is_named(member.key, renamed, "__proto__") {
            return true;
        }
        let is_prototype = |inner: Member<'_>| {
            let renamed = if self.rules.control_characters == Action::Drop { cleaned_name(inner.key) } else { None };
            is_named(inner.key, renamed.as_deref(), "prototype")
        };
        is_named(member.key, renamed, "constructor") && member.value.members().any(is_prototype)
    }

    /// Cuts the control characters out of the string, or name, at `span`, quotes included.
    fn string(&mut self, span: Range<usize>, path: &Path<'_>) -> Result<(), Rejection> {
        if self.rules.control_characters == Action::Keep {
            return Ok(());
        }
        let before = self.cuts.len();
        for found in control::find(&self.document.source()[span.clone()]) {
            if self.rules.control_characters == Action::Refuse {
                return Err(refused(Rule::ControlCharacters, path.pointer()));
            }
            self.cuts.push(span.start + found.start..span.start + found.end);
        }
        if self.cuts.len() > before {
            self.report.add(Rule::ControlCharacters, || path.pointer());
        }
        Ok(())
    }
}

/// Whether some member is undeclared: what almost every payload is asked and denies, so nothing but this is done here.
fn has_unknown(declared: &Declared, node: Node<'_>, place: Place) -> bool {
    if place == Place::ANYTHING {
        return false;
    }
    match node.kind() {
        Kind::Object => node.members().any(|member| match declared.member(place, member.key) {
            Standing::Listed(place) | Standing::Open(place) => {
                !member.value.is_empty() && has_unknown(declared, member.value, place)
            }
            Standing::Undeclared => true,
        }),
        Kind::Array => node
            .elements()
            .enumerate()
            .any(|(index, element)| has_unknown(declared, element, declared.element(place, index))),
        Kind::Null | Kind::Bool | Kind::Number | Kind::String => false,
    }
}

const HINT_COLLISION: &str = "without its control characters a name would be the same as another one beside it, or one \
                              that the schema lists";

enum Verdict<'d> {
    Drop,
    /// Where the value stands, and the name if it may be shown.
    Keep(Place, Option<Key<'d>>),
}

/// A name without its control characters; `None` if it has none.
fn cleaned_name(key: Key<'_>) -> Option<String> {
    control::find(key.raw_name()).next()?;
    Some(key.name().chars().filter(|&character| !control::is_dropped(character)).collect())
}

fn is_named(key: Key<'_>, renamed: Option<&str>, name: &str) -> bool {
    match renamed {
        Some(renamed) => renamed == name,
        None if key.is_escaped() => key.name() == name,
        None => key.raw_name() == name.as_bytes(),
    }
}

/// How often an object will have each name once control characters are gone. Counted when the first is asked for.
struct Names<'d> {
    object: Node<'d>,
    taken: Option<HashMap<Cow<'d, str>, usize>>,
}

impl Names<'_> {
    /// Whether a second member will have this name.
    fn is_taken(&mut self, name: &str) -> bool {
        let taken = self.taken.get_or_insert_with(|| {
            let mut taken = HashMap::with_capacity(self.object.len());
            for member in self.object.members() {
                let name = cleaned_name(member.key).map_or_else(|| member.key.name(), Cow::Owned);
                *taken.entry(name).or_default() += 1;
            }
            taken
        });
        taken.get(name).is_some_and(|&times| times > 1)
    }
}

/// The way from the root to a value, written out only when somebody has to read it.
enum Path<'p> {
    Root,
    Index(&'p Path<'p>, usize),
    /// A member, by its name if that may be shown.
    Name(&'p Path<'p>, Option<Key<'p>>),
}

impl Path<'_> {
    fn pointer(&self) -> String {
        let (mut pointer, segment) = match self {
            Self::Root => return String::new(),
            Self::Index(outer, index) => (outer.pointer(), index.to_string()),
            Self::Name(outer, None) => (outer.pointer(), "*".to_owned()),
            Self::Name(outer, Some(key)) => (outer.pointer(), key.name().replace('~', "~0").replace('/', "~1")),
        };
        pointer.push('/');
        pointer.push_str(&segment);
        pointer
    }
}
