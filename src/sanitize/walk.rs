//! One walk over a payload: finds what the rules are about, and the spans to cut.

mod path;
mod value;

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use self::path::Path;
use super::characters::Wanted;
use super::effect::{Effect, Text};
use super::places::Places;
use super::report::{Report, Rule};
use super::{Action, Formula, Html, Normalize, Rules, formula, operators, prototypes, refused};
use crate::payload::declared::{Declared, Membership, Place, Standing};
use crate::payload::patterns::Way;
use crate::payload::{Document, Key, Kind, Member, Node};
use crate::rejection::Rejection;

/// What is not kept of the source: ascending, apart from each other.
pub(super) type Cuts<'d> = Vec<Cut<'d>>;

/// A span of the source, and what stands there instead.
#[derive(Debug)]
pub(super) struct Cut<'d> {
    pub(super) span: Range<usize>,
    pub(super) instead: Cow<'d, [u8]>,
}

impl Cut<'_> {
    /// The same, with nothing borrowed from the rules.
    pub(super) fn into_owned(self) -> Cut<'static> {
        Cut { span: self.span, instead: Cow::Owned(self.instead.into_owned()) }
    }
}

pub(super) struct Walk<'d> {
    rules: Rules,
    /// What is done with texts everywhere, of `rules`.
    text: Text,
    places: Option<&'d Places>,
    /// What there is to find of all rules about texts.
    live: Text,
    document: &'d Document,
    declared: Option<&'d Declared>,
    /// Whether there is anything to find where neither the schema nor a rule for a place says something.
    below_anything: bool,
    cuts: Cuts<'d>,
    /// How many bytes more the body has now.
    grown: usize,
    report: Report,
}

/// Where the walk is, as far as rules for places go.
#[derive(Clone, Copy)]
struct At {
    way: Way,
    effect: Effect,
}

/// What rules may add to a body, besides as much again as it has, in bytes: otherwise a body of many short values could be made a very large one.
const GROWTH_BYTES_MAX: usize = 64 * 1024;

impl<'d> Walk<'d> {
    /// A walk by `rules`, of which those are switched off that cannot find anything in this document.
    pub(super) fn new(
        mut rules: Rules,
        places: Option<&'d Places>,
        document: &'d Document,
        declared: Option<&'d Declared>,
        membership: Membership,
    ) -> Self {
        if declared.is_none() {
            rules.unknown_fields = Action::Keep;
        }
        let text = Text::of(&rules);
        let live = live(places.map_or(text, |places| text.join(places.everywhere().text)), document);
        let text = text.only(live);
        // A name without its unwanted characters may be one that these rules are about.
        let as_written = live.characters.is_nothing();
        if rules.prototype_keys != Action::Keep && as_written && !prototypes::may_be_in(document.source()) {
            rules.prototype_keys = Action::Keep;
        }
        if rules.operator_keys != Action::Keep && as_written && !operators::may_be_in(document.source()) {
            rules.operator_keys = Action::Keep;
        }
        let by_name = rules.prototype_keys != Action::Keep || rules.operator_keys != Action::Keep;
        let below_anything = by_name || text != Text::default();
        if let Some(declared) = declared
            && rules.unknown_fields != Action::Keep
            && !below_anything
            && places.is_none()
            && (membership == Membership::Declared || !has_unknown(declared, document.root(), declared.root()))
        {
            debug_assert!(!has_unknown(declared, document.root(), declared.root()), "invariant: see `Membership`");
            rules.unknown_fields = Action::Keep;
        }
        Self {
            rules,
            text,
            places,
            live,
            document,
            declared,
            below_anything,
            cuts: Vec::new(),
            grown: 0,
            report: Report::default(),
        }
    }

    pub(super) fn has_nothing_to_do(&self) -> bool {
        let in_places = self.places.is_some_and(|places| {
            let everywhere = places.everywhere();
            places.has_list() || Effect { text: everywhere.text.only(self.live), ..*everywhere } != Effect::default()
        });
        self.rules.unknown_fields == Action::Keep && !self.below_anything && !in_places
    }

    pub(super) fn run(mut self) -> Result<(Cuts<'d>, Report), Rejection> {
        let place = self.declared.map_or(Place::ANYTHING, Declared::root);
        let outside = At { way: Way::default(), effect: Effect { text: self.text, ..Effect::default() } };
        let root = self.document.root();
        let start = self.places.map(|places| places.patterns().start());
        let at = start.map_or(outside, |start| self.entered(&outside, start));
        match self.fate(&at, root) {
            Some(rule) => self.nullify(root, rule, &Path::Root)?,
            None => self.value(root, place, &at, &Path::Root)?,
        }
        Ok((self.cuts, self.report))
    }

    /// Where a step has led, and what is done there.
    fn entered(&self, from: &At, way: Way) -> At {
        let effects = self.places.into_iter().flat_map(|places| places.effects(way));
        let effect =
            effects.fold(from.effect, |effect, more| effect.join(Effect { text: more.text.only(self.live), ..more }));
        At { way, effect }
    }

    /// The rule by which a value does not go on at all.
    fn fate(&self, at: &At, value: Node<'_>) -> Option<Rule> {
        let places = self.places?;
        if at.effect.dropped {
            return Some(Rule::Drop);
        }
        // What is on the way to something that is kept is kept as far as it leads there.
        let leads_on = matches!(value.kind(), Kind::Object | Kind::Array) && !places.keeps_nothing(at.way);
        (places.has_list() && !at.effect.kept && !leads_on).then_some(Rule::Keep)
    }

    /// Recursion ends: the reader bounds how deep a document is.
    fn value(&mut self, node: Node<'d>, place: Place, at: &At, path: &Path<'_>) -> Result<(), Rejection> {
        if place == Place::ANYTHING && !self.below_anything && self.is_idle(at) {
            return Ok(());
        }
        if let Some(number) = at.effect.set {
            return self.set(node, number, path);
        }
        match node.kind() {
            Kind::Object => self.object(node, place, at, path),
            Kind::Array => self.array(node, place, at, path),
            Kind::String => self.text(node, &at.effect, path),
            Kind::Number | Kind::Bool => self.scalar(node, &at.effect, path),
            Kind::Null => Ok(()),
        }
    }

    /// Whether no rule for a place does anything here or below.
    fn is_idle(&self, at: &At) -> bool {
        self.places.is_none()
            || at.way.is_nowhere() && at.effect == Effect { kept: at.effect.kept, ..Effect::default() }
    }

    fn array(&mut self, array: Node<'d>, place: Place, at: &At, path: &Path<'_>) -> Result<(), Rejection> {
        for (index, element) in array.elements().enumerate() {
            let place = self.declared.map_or(place, |declared| declared.element(place, index));
            let path = Path::Index(path, index);
            let Some(places) = self.places else {
                self.value(element, place, at, &path)?;
                continue;
            };
            let at = self.entered(at, places.patterns().element(at.way, index));
            match self.fate(&at, element) {
                Some(rule) => self.nullify(element, rule, &path)?,
                None => self.value(element, place, &at, &path)?,
            }
        }
        Ok(())
    }

    /// Cuts a run of members with the comma before it, or behind it where no member was kept before.
    fn object(&mut self, object: Node<'d>, place: Place, at: &At, path: &Path<'_>) -> Result<(), Rejection> {
        let mut kept_until = None;
        let mut run: Option<Range<usize>> = None;
        let characters = at.effect.text.characters;
        let mut names = Names { characters, object, taken: None };
        for member in object.members() {
            let renamed = cleaned_name(characters, member.key);
            let stepped;
            let (at, is_named) = match self.places {
                None => (at, false),
                Some(places) => {
                    let step = match &renamed {
                        Some((name, _)) => places.patterns().name(at.way, name),
                        None => places.patterns().member(at.way, member.key),
                    };
                    stepped = self.entered(at, step.way);
                    (&stepped, step.is_named)
                }
            };
            match self.judge(Judged { member, renamed, at, is_named }, place, &mut names, path)? {
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
                    self.characters(characters, member.key.span(), &path)?;
                    self.value(member.value, place, at, &path)?;
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
        judged: Judged<'d, '_>,
        place: Place,
        names: &mut Names<'d>,
        path: &Path<'_>,
    ) -> Result<Verdict<'d>, Rejection> {
        let Judged { member, renamed, at, is_named } = judged;
        let mut standing = self.declared.map_or(Standing::Open(place), |declared| declared.member(place, member.key));
        if let Some(rule) = self.fate(at, member.value) {
            let is_shown = is_named && renamed.is_none() || matches!(standing, Standing::Listed(_));
            let shown = is_shown.then_some(member.key);
            self.report.add(rule, || Path::Name(path, shown).pointer());
            return Ok(Verdict::Drop);
        }
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
        // A name that was cleaned is the sender's spelling of one that a pattern has.
        let is_shown = listed || is_named && renamed.is_none();
        let renamed = renamed.as_ref().map(|(name, _)| name.as_str());
        let shown = if is_shown { Some(member.key) } else { None };
        if self.rules.prototype_keys != Action::Keep
            && prototypes::changes_prototype(member, renamed, at.effect.text.characters)
        {
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

    fn cut(&mut self, span: Range<usize>) {
        self.cuts.push(Cut { span, instead: Cow::Borrowed(b"") });
    }

    /// Puts something else in the place of a span; an edit.
    fn replace(
        &mut self,
        span: Range<usize>,
        instead: Cow<'d, [u8]>,
        rule: Rule,
        path: &Path<'_>,
    ) -> Result<(), Rejection> {
        self.grown += instead.len().saturating_sub(span.len());
        if self.grown > self.document.source().len() + GROWTH_BYTES_MAX {
            return Err(refused(rule, path.pointer()).hint(HINT_GROWTH));
        }
        self.cuts.push(Cut { span, instead });
        Ok(())
    }
}

/// What of the rules about texts there may be anything to find of. A no is certain.
fn live(wanted: Text, document: &Document) -> Text {
    let text = document.source();
    let mut live = wanted;
    if !wanted.characters.is_nothing() && wanted.characters.find(text).next().is_none() {
        live.characters = Wanted::default();
    }
    let is_escaped = |digits: &[u8]| memchr::memmem::find(text, digits).is_some();
    if wanted.normalize != Normalize::Keep && text.is_ascii() && !is_escaped(b"\\u") {
        live.normalize = Normalize::Keep;
    }
    let has_markup = match wanted.html {
        Html::Keep => false,
        Html::Strip => memchr::memchr(b'<', text).is_some() || is_escaped(b"\\u003"),
        Html::Escape => {
            memchr::memchr3(b'<', b'>', b'&', text).is_some() || memchr::memchr2(b'\'', b'\\', text).is_some()
        }
    };
    if !has_markup {
        live.html = Html::Keep;
    }
    // Behind markup that goes there may be a formula.
    let as_written = live.characters.is_nothing() && live.html == Html::Keep;
    if wanted.formula != Formula::Keep && as_written && !formula::may_be_in(document) {
        live.formula = Formula::Keep;
    }
    live
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

const HINT_GROWTH: &str = "the rules would add more to the body than its own size and 64 KiB";

/// A member under judgement.
struct Judged<'d, 'w> {
    member: Member<'d>,
    /// Its name without the characters that are dropped, if it had any, and the first one's rule.
    renamed: Option<(String, Rule)>,
    /// Where its value stands.
    at: &'w At,
    /// Whether a rule's pattern has its name.
    is_named: bool,
}

enum Verdict<'d> {
    Drop,
    /// Where the value stands, and the name if it may be shown.
    Keep(Place, Option<Key<'d>>),
}

/// A name without the characters that are dropped, and the rule of the first; `None` if it has none.
pub(super) fn cleaned_name(characters: Wanted, key: Key<'_>) -> Option<(String, Rule)> {
    if !characters.drops_some() {
        return None;
    }
    let mut finds = characters.find(key.raw_name());
    let (_, class) = finds.find(|&(_, class)| characters.action(class) == Action::Drop)?;
    let name = key.name().chars().filter(|&character| !characters.drops(character)).collect();
    Some((name, class.rule()))
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
