//! One walk over a payload: finds what the rules are about, and the spans to cut.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use super::characters::{Class, Wanted};
use super::{Action, Formula, Report, Rule, Rules, formula, operators, refused};
use crate::payload::declared::{Declared, Membership, Place, Standing};
use crate::payload::{Document, Key, Kind, Member, Node};
use crate::rejection::Rejection;

/// What is not kept of the source: ascending, apart from each other.
pub(super) type Cuts = Vec<Cut>;

/// A span of the source, and what stands there instead.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) span: Range<usize>,
    pub(super) instead: &'static [u8],
}

pub(super) struct Walk<'d> {
    rules: Rules,
    /// What is done with characters, of `rules`.
    characters: Wanted,
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
        let mut characters = Wanted::of(rules);
        if !characters.is_nothing() && characters.find(document.source()).next().is_none() {
            characters = Wanted::default();
            rules = Rules {
                control_characters: Action::Keep,
                bidi_controls: Action::Keep,
                zero_width: Action::Keep,
                ..rules
            };
        }
        // A name without its unwanted characters may be one that these rules are about.
        let as_written = characters.is_nothing();
        if rules.prototype_keys != Action::Keep && as_written && !document.may_have_member(["__proto__", "constructor"])
        {
            rules.prototype_keys = Action::Keep;
        }
        if rules.operator_keys != Action::Keep && as_written && !operators::may_be_in(document.source()) {
            rules.operator_keys = Action::Keep;
        }
        if rules.formula != Formula::Keep && as_written && !formula::may_be_in(document) {
            rules.formula = Formula::Keep;
        }
        let below_anything = Rules { unknown_fields: Action::Keep, ..rules } != Rules::default();
        if let Some(declared) = declared
            && rules.unknown_fields != Action::Keep
            && !below_anything
            && (membership == Membership::Declared || !has_unknown(declared, document.root(), declared.root()))
        {
            debug_assert!(!has_unknown(declared, document.root(), declared.root()), "invariant: see `Membership`");
            rules.unknown_fields = Action::Keep;
        }
        Self { rules, characters, document, declared, below_anything, cuts: Vec::new(), report: Report::default() }
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
            Kind::String => {
                self.formula(node, path)?;
                self.string(node.span(), path)
            }
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
        let mut names = Names { characters: self.characters, object, taken: None };
        for member in object.members() {
            match self.judge(member, place, &mut names, path)? {
                Verdict::Drop => {
                    let start = run.map(|run| run.start).or(kept_until).unwrap_or(member.span().start);
                    run = Some(start..member.span().end);
                }
                Verdict::Keep(place, shown) => {
                    if let Some(run) = run.take() {
                        let end = if kept_until.is_some() { run.end } else { member.span().start };
                        self.cut(run.start..end);
                    }
                    let path = Path::Name(path, shown);
                    self.string(member.key.span(), &path)?;
                    self.value(member.value, place, &path)?;
                    kept_until = Some(member.span().end);
                }
            }
        }
        match (run, kept_until) {
            (Some(run), Some(_)) => self.cut(run),
            (Some(_), None) => self.cut(object.span().start + 1..object.span().end - 1),
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
        let renamed = cleaned_name(self.characters, member.key);
        if let Some((name, rule)) = &renamed
            && !self.is_unknown(standing)
        {
            standing = self.declared.map_or(standing, |declared| declared.name(place, name));
            let collides = matches!(standing, Standing::Listed(_)) || names.is_taken(name);
            if collides && !self.is_unknown(standing) {
                let pointer = Path::Name(path, None).pointer();
                return Err(refused(*rule, pointer).hint(HINT_COLLISION));
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
        let renamed = renamed.as_ref().map(|(name, _)| name.as_str());
        let shown = if listed { Some(member.key) } else { None };
        if self.rules.prototype_keys != Action::Keep && self.changes_prototype(member, renamed) {
            return self.drop_or_refuse(Rule::PrototypeKeys, self.rules.prototype_keys, &Path::Name(path, shown));
        }
        if self.rules.operator_keys != Action::Keep && !listed && operators::is_operator(member.key, renamed) {
            return self.drop_or_refuse(Rule::OperatorKeys, self.rules.operator_keys, &Path::Name(path, shown));
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

    /// `renamed` is the member's name without the characters that are dropped, if it had any.
    fn changes_prototype(&self, member: Member<'_>, renamed: Option<&str>) -> bool {
        if is_named(member.key, renamed, "__proto__") {
            return true;
        }
        let is_prototype = |inner: Member<'_>| {
            let renamed = cleaned_name(self.characters, inner.key);
            is_named(inner.key, renamed.as_ref().map(|(name, _)| name.as_str()), "prototype")
        };
        is_named(member.key, renamed, "constructor") && member.value.members().any(is_prototype)
    }

    fn cut(&mut self, span: Range<usize>) {
        self.cuts.push(Cut { span, instead: b"" });
    }

    /// Makes a text of a string that is a formula once it is rid of unwanted characters.
    fn formula(&mut self, string: Node<'d>, path: &Path<'_>) -> Result<(), Rejection> {
        let characters = self.characters;
        let is_formula =
            |text: Cow<'_, str>| formula::is_formula(text.chars().filter(|&character| !characters.drops(character)));
        if self.rules.formula == Formula::Keep || !string.as_str().is_some_and(is_formula) {
            return Ok(());
        }
        if self.rules.formula == Formula::Refuse {
            return Err(refused(Rule::Formula, path.pointer()));
        }
        let start = string.span().start + 1;
        self.cuts.push(Cut { span: start..start, instead: formula::ESCAPE });
        self.report.add(Rule::Formula, || path.pointer());
        Ok(())
    }

    /// Cuts unwanted characters out of the string, or name, at `span`, quotes included: an edit for each rule that finds some.
    fn string(&mut self, span: Range<usize>, path: &Path<'_>) -> Result<(), Rejection> {
        if self.characters.is_nothing() {
            return Ok(());
        }
        let mut found = [false; 3];
        for (cut, class) in self.characters.find(&self.document.source()[span.clone()]) {
            if self.characters.action(class) == Action::Refuse {
                return Err(refused(class.rule(), path.pointer()));
            }
            found[class as usize] = true;
            self.cut(span.start + cut.start..span.start + cut.end);
        }
        for class in Class::ALL.into_iter().filter(|&class| found[class as usize]) {
            self.report.add(class.rule(), || path.pointer());
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

const HINT_COLLISION: &str = "without its unwanted characters a name would be the same as another one beside it, or one \
                              that the schema lists";

enum Verdict<'d> {
    Drop,
    /// Where the value stands, and the name if it may be shown.
    Keep(Place, Option<Key<'d>>),
}

/// A name without the characters that are dropped, and the rule of the first; `None` if it has none.
fn cleaned_name(characters: Wanted, key: Key<'_>) -> Option<(String, Rule)> {
    if !characters.drops_some() {
        return None;
    }
    let mut finds = characters.find(key.raw_name());
    let (_, class) = finds.find(|&(_, class)| characters.action(class) == Action::Drop)?;
    let name = key.name().chars().filter(|&character| !characters.drops(character)).collect();
    Some((name, class.rule()))
}

fn is_named(key: Key<'_>, renamed: Option<&str>, name: &str) -> bool {
    match renamed {
        Some(renamed) => renamed == name,
        None if key.is_escaped() => key.name() == name,
        None => key.raw_name() == name.as_bytes(),
    }
}

/// How often an object will have each name once unwanted characters are gone. Counted when the first is asked for.
struct Names<'d> {
    characters: Wanted,
    object: Node<'d>,
    taken: Option<HashMap<Cow<'d, str>, usize>>,
}

impl Names<'_> {
    /// Whether a second member will have this name.
    fn is_taken(&mut self, name: &str) -> bool {
        let taken = self.taken.get_or_insert_with(|| {
            let mut taken = HashMap::with_capacity(self.object.len());
            for member in self.object.members() {
                let cleaned = cleaned_name(self.characters, member.key);
                let name = cleaned.map_or_else(|| member.key.name(), |(name, _)| Cow::Owned(name));
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
