//! A JSON Schema: loaded and compiled with a policy, asked once a delivery.
//!
//! It stands in the `validate` step, after the payload was read into a [`Document`] and its event is known. This is the
//! one file that names the crate `jsonschema` (the representation it validates lives in [`super::instance`], keywords and
//! formats of our own in [`super::bounds`] and [`super::formats`]); it keeps three things away from the path of a delivery:
//! - References: a `$ref` leads into the file itself or to files below one directory, all read when the policy is loaded.
//!   Nothing is ever fetched.
//! - Cost a sender could choose: patterns run on a linear engine, evaluation nests only as deep as was worked out at load,
//!   and of the errors of a payload that does not fit only a few are ever looked at.
//! - The library's words: its error texts print values and names of the payload, so that only pointers, keywords and
//!   places in the schema leave this file, with every name masked that the schema itself does not have.

mod files;
mod openapi;
mod retrieve;
mod store;
mod yaml;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jsonschema::error::ValidationErrorKind;
use jsonschema::json::Json;
use jsonschema::{Draft, PatternOptions, Registry, Uri, ValidationError, Validator};
use serde_json::{Value, json};

pub use self::files::split_place;
use self::files::{Library, path_of, uri_of};
use self::retrieve::{Origin, Referenced, Spoken, draft_of, refuse_many_patterns};
pub use self::store::{Formats, Store};
use super::bounds::{with_linear_numbers, without_const, without_validation};
use super::declared::{Declared, Membership, Place, Standing};
use super::express::{Express, Fit};
use super::expressions::{BAD_PATTERN, PROGRAM_BYTES_MAX, Pattern, Patterns, STATES_BYTES_MAX, with_tables};
use super::formats::{with_fast_templates, with_fast_uris};
use super::instance::Tape;
use super::judging::Judging;
use super::{Document, JsonLimits, Kind, Node};
use crate::reason::Reason;
use crate::rejection::{Fact, Rejection};

/// Errors reported for one payload.
const ERRORS_MAX: usize = 16;
/// Characters of an error text of the library that a [`SchemaFault`] quotes.
const MESSAGE_CHARS_MAX: usize = 300;
/// A compiled schema. Cheap to clone: all clones share one.
#[derive(Debug, Clone)]
pub struct Schema(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    express: Option<Express>,
    validator: Validator<Tape>,
    declared: Declared,
    /// Of the schema's own file.
    uri: String,
}

/// Why a schema could not be loaded. For the operator, whose own schema it may quote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SchemaFault {
    /// What is wrong: lowercase, without a full stop.
    pub message: String,
    /// Where in the schema file, as a JSON pointer, if it is one place.
    pub location: Option<String>,
}

impl Schema {
    /// Reads and compiles the schema in `file`, of draft 4, 6, 7, 2019-09 or 2020-12 as its `$schema` says, 2020-12 if it
    /// says nothing. A `$ref` to another file is relative to `file` and has to stay inside `directory`. An absolute `$id`
    /// makes the references beside it absolute too; those only lead to what the files themselves hold. Behind a `#`, `file`
    /// may name a place in a file, as in `api.yaml#/components/schemas/Push`: then the schema is what stands there.
    ///
    /// # Errors
    ///
    /// A fault if a file cannot be read, is too large, is not JSON (or YAML, where its name says so) or not a valid schema
    /// of its draft, is an OpenAPI document of which no place is named, refers to anything outside `directory`, has a
    /// pattern that a linear engine cannot run (look-around, back-references), or could nest too deeply when it is
    /// evaluated.
    pub fn load(file: &Path, directory: &Path) -> Result<Self, SchemaFault> {
        let library = Library::open(directory)?;
        let (file, place) = split_place(file);
        let relative = library.locate(&file)?;
        let uri = uri_of(&relative);
        let whole = library.read(&relative).map_err(SchemaFault::new)?;
        let Some(place) = place else {
            if openapi::is_document(&whole) {
                return Err(SchemaFault::new(WHICH_COMPONENT.to_owned()));
            }
            return Self::compile(&whole, &uri, &uri, Origin::Directory(library), Formats::Asserted);
        };
        let root = json!({ "$ref": format!("{uri}#{place}") });
        Self::compile_beside(&whole, root, &uri, library)
    }

    /// Compiles `root`, which refers to places in `whole`, the file at `uri`.
    fn compile_beside(whole: &Value, mut root: Value, uri: &str, library: Library) -> Result<Self, SchemaFault> {
        if let Some(draft) = whole.get("$schema") {
            root["$schema"] = draft.clone();
        }
        Self::compile(&root, files::NOWHERE, uri, Origin::Directory(library), Formats::Asserted)
    }

    /// Compiles everything in `file` that deliveries may be judged by: the schema that it is, or the components of an OpenAPI document and what its
    /// webhooks carry. Answers how many schemas that are, and what is wrong with which of them, each named as [`Schema::load`] takes it.
    ///
    /// # Errors
    ///
    /// As [`Schema::load`], where it is about the whole file.
    pub fn check_all(file: &Path, directory: &Path) -> Result<(usize, Vec<(PathBuf, SchemaFault)>), SchemaFault> {
        let (path, place) = split_place(file);
        let library = Library::open(directory)?;
        let relative = library.locate(&path)?;
        let whole = library.read(&relative).map_err(SchemaFault::new)?;
        if place.is_some() || !openapi::is_document(&whole) {
            return Self::load(file, directory).map(|_| (1, Vec::new()));
        }
        let whole = openapi::opened(whole).map_err(SchemaFault::new)?;
        let (places, uri) = (openapi::places(&whole), uri_of(&relative));
        let together = places.iter().map(|place| (place.clone(), json!({ "$ref": format!("{uri}#{place}") })));
        let together = json!({ "properties": together.collect::<serde_json::Map<_, _>>() });
        // Several hundred schemas of one file take as long together as one of them alone.
        if Self::compile_beside(&whole, together, &uri, library).is_ok() {
            return Ok((places.len(), Vec::new()));
        }
        let named = places.iter().map(|place| PathBuf::from(format!("{}#{place}", path.display())));
        let faults = named.filter_map(|schema| Self::load(&schema, directory).err().map(|fault| (schema, fault)));
        Ok((places.len(), faults.collect()))
    }

    /// Compiles `schema` as if it stood in a file of `directory`.
    ///
    /// # Errors
    ///
    /// As [`Schema::load`].
    pub fn from_value(schema: &Value, directory: &Path) -> Result<Self, SchemaFault> {
        let (library, uri) = (Library::open(directory)?, uri_of(Path::new("schema.json")));
        Self::compile(schema, &uri, &uri, Origin::Directory(library), Formats::Asserted)
    }

    /// Compiles `schema` with nothing around it but what is in `store`: no policy does, a conformance suite does.
    ///
    /// # Errors
    ///
    /// As [`Schema::load`], where `store` stands for the directory.
    pub fn in_store(schema: &Value, store: Store) -> Result<Self, SchemaFault> {
        let (formats, uri) = (store.formats, uri_of(Path::new("schema.json")));
        Self::compile(schema, &uri, &uri, Origin::Store(store), formats)
    }

    /// `root` is what stands at `uri`; places in `file` are shown without its name.
    fn compile(root: &Value, uri: &str, file: &str, origin: Origin, formats: Formats) -> Result<Self, SchemaFault> {
        if draft_of(root) == Draft::Unknown
            && let Origin::Directory(_) = origin
        {
            return Err(SchemaFault::draft(root["$schema"].as_str().unwrap_or_default()));
        }
        refuse_many_patterns(root)?;
        let spoken = Arc::new(Spoken::default());
        spoken.hear(root, draft_of(root));
        let referenced = Referenced::new(origin, draft_of(root), Arc::clone(&spoken));
        let registry = Registry::new()
            .retriever(referenced)
            .draft(draft_of(root))
            .add(uri, root)
            .and_then(jsonschema::RegistryBuilder::prepare)
            .map_err(|error| SchemaFault::lost(&error, root))?;
        let patterns = Arc::new(Patterns::default());
        let references = References { registry: &registry, uri, patterns: &patterns };
        let options = with_fast_uris(jsonschema::options_for::<Tape>());
        let options = if references.calculates(root) {
            with_tables(with_linear_numbers(options), &patterns)
        } else {
            without_validation(options)
        };
        let options = match (spoken.draft_4.load(Ordering::Relaxed), spoken.later.load(Ordering::Relaxed)) {
            (true, false) => without_const(options),
            (true, true) => options,
            (false, _) => with_fast_templates(options),
        };
        let validator = options
            .with_registry(&registry)
            .with_base_uri(uri)
            .offline()
            .with_pattern_options(patterns_of_names())
            .with_content_media_type("application/json", is_json)
            .should_validate_formats(formats == Formats::Asserted)
            .build(root)
            .map_err(|error| {
                let ValidationErrorKind::Referencing(error) = error.kind() else { return SchemaFault::invalid(&error) };
                SchemaFault::lost(error, root)
            })?;
        // First what refuses references that lead back to themselves.
        let declared = Declared::compile(&references)?;
        let express = Express::compile(&references)?;
        Ok(Self(Arc::new(Compiled { express, validator, declared, uri: file.to_owned() })))
    }

    /// What the schema declares.
    #[must_use]
    pub fn declared(&self) -> &Declared {
        &self.0.declared
    }

    /// Judges a payload. Of one that fits, it may be known afterwards that the schema declares all members in it.
    ///
    /// # Errors
    ///
    /// `schema_mismatch`. Its fact `errors` has a row for each of the first 16 errors: `pointer` into the payload, in which
    /// names that the schema does not have are shown as `*`; `keyword`; `schema`, the place of the keyword in the schema;
    /// and for `required` the `property` that is missing. Where no alternative of `anyOf` or `oneOf` fits, the errors of the
    /// closest one follow. The fact is missing where finding the errors could take long.
    pub fn check(&self, document: &Document) -> Result<Membership, Rejection> {
        let fit = self.express_fit(document);
        debug_assert!(fit == Fit::Unsure || self.may_fit(document), "invariant: what passes the express way is valid");
        match fit {
            Fit::Declared => Ok(Membership::Declared),
            Fit::Fits => Ok(Membership::Unasked),
            Fit::Unsure => self.check_the_long_way(document).map(|()| Membership::Unasked),
        }
    }

    /// [`Schema::check`] without the short way to a yes, for comparing the two.
    ///
    /// # Errors
    ///
    /// As [`Schema::check`].
    pub fn check_the_long_way(&self, document: &Document) -> Result<(), Rejection> {
        let judging = self.judging(document);
        let fits = self.0.validator.is_valid(judging.root());
        if judging.is_used_up() {
            return Err(Rejection::new(Reason::SchemaMismatch).hint(HINT_UNEXPLAINED));
        }
        if fits { Ok(()) } else { Err(self.mismatch(document, &judging.of_errors())) }
    }

    /// What is known without asking the validator.
    pub(super) fn express_fit(&self, document: &Document) -> Fit {
        self.0.express.as_ref().map_or(Fit::Unsure, |express| express.judge(document))
    }

    /// Whether the validator takes it, or does not come to an end.
    fn may_fit(&self, document: &Document) -> bool {
        let judging = self.judging(document);
        self.0.validator.is_valid(judging.root()) || judging.is_used_up()
    }

    fn judging<'d>(&self, document: &'d Document) -> Judging<'d> {
        Judging::new(document, self.declared().looks_a_name())
    }

    #[cold]
    fn mismatch(&self, document: &Document, judging: &Judging<'_>) -> Rejection {
        let Some(misses) = self.explain(document, judging) else {
            return Rejection::new(Reason::SchemaMismatch).hint(HINT_UNEXPLAINED);
        };
        let only_additional =
            misses.iter().all(|miss| matches!(&*miss.keyword, "additionalProperties" | "unevaluatedProperties"));
        let rows = misses.into_iter().map(Miss::row).collect();
        let rejection = Rejection::new(Reason::SchemaMismatch).fact("errors", Fact::Rows(rows));
        if only_additional { rejection.hint(HINT_ADDITIONAL) } else { rejection }
    }

    /// What of a payload does not fit: the first 16, or `None` where finding them takes too long.
    #[must_use]
    pub fn misses(&self, document: &Document) -> Option<Vec<Miss>> {
        self.explain(document, &self.judging(document).of_errors())
    }

    fn explain(&self, document: &Document, judging: &Judging<'_>) -> Option<Vec<Miss>> {
        let mut misses = Vec::new();
        for error in self.0.validator.iter_errors(judging.root()).take(ERRORS_MAX) {
            self.add_misses(document, &error, &mut misses);
        }
        (!judging.is_used_up()).then_some(misses)
    }

    /// Adds what `error` says, and what is wrong with the closest alternative where none fits.
    fn add_misses(&self, document: &Document, error: &ValidationError<'_>, misses: &mut Vec<Miss>) {
        if misses.len() == ERRORS_MAX {
            return;
        }
        let property = if let ValidationErrorKind::Required { property: Value::String(property) } = error.kind() {
            Some(property.clone())
        } else {
            None
        };
        let (keyword, schema) = (keyword(error).to_owned(), self.place_of(error));
        let miss = Miss { keyword, schema, property, ..Miss::default() };
        misses.push(self.located(document, error.instance_path().as_str(), miss));
        if let ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } = error.kind() {
            for inner in closest(error, context) {
                self.add_misses(document, inner, misses);
            }
        }
    }

    /// Where the keyword stands: a JSON pointer as a fragment, behind the file's path if it is not the schema's own file.
    fn place_of(&self, error: &ValidationError<'_>) -> String {
        let resource = error.absolute_keyword_location().and_then(|uri| uri.as_str().split('#').next());
        let file = resource.filter(|uri| *uri != self.0.uri).and_then(path_of);
        format!("{}#{}", file.unwrap_or_default(), error.schema_path().as_str())
    }

    /// `miss` with its place in `document`, where `pointer` leads, with `*` for every name that is not in the schema's own text. The payload is walked
    /// along, because only there an index can be told from a name that is made of digits.
    fn located(&self, document: &Document, pointer: &str, mut miss: Miss) -> Miss {
        let mut here = Some((document.root(), self.declared().root()));
        for segment in pointer.split('/').skip(1) {
            let is_index = here.is_some_and(|(node, _)| node.kind() == Kind::Array);
            let step = here.and_then(|(node, place)| self.step(node, place, segment));
            let shown = step.as_ref().map_or("*", |(_, shown)| shown);
            for (pointer, shown) in [(&mut miss.pointer, shown), (&mut miss.place, if is_index { "*" } else { shown })]
            {
                pointer.push('/');
                pointer.push_str(shown);
            }
            here = step.map(|(next, _)| next);
        }
        miss.found = here.map(|(node, _)| node.kind());
        miss
    }

    /// One step down: what lies there, and the segment as it may be shown. `None` hides it and all below.
    fn step<'d, 's>(
        &self,
        node: Node<'d>,
        place: Place,
        segment: &'s str,
    ) -> Option<((Node<'d>, Place), Cow<'s, str>)> {
        if node.kind() == Kind::Array {
            let index = segment.parse().ok()?;
            return Some(((node.elements().nth(index)?, self.declared().element(place, index)), segment.into()));
        }
        let name = segment.replace("~1", "/").replace("~0", "~");
        let value = node.get(&name)?;
        match self.declared().name(place, &name) {
            Standing::Listed(place) => Some(((value, place), segment.into())),
            Standing::Open(place) => Some(((value, place), "*".into())),
            Standing::Undeclared => Some(((value, Place::ANYTHING), "*".into())),
        }
    }
}

const TYPES: &str = "which are array, boolean, integer, null, number, object and string, one or a list of them";

const HINT_ADDITIONAL: &str = "the schema itself refuses members that it does not list; where they are harmless, remove \
                               additionalProperties from it and let [sanitize] unknown_fields = \"drop\" remove them";

const HINT_UNEXPLAINED: &str = "judging a payload of this size by all alternatives of the schema, or finding out where it does not fit, takes too \
                                long; fewer alternatives in one another, or a `const` that tells them apart, help";

impl SchemaFault {
    pub(super) const fn new(message: String) -> Self {
        Self { message, location: None }
    }

    fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self::new(format!("cannot read \"{}\": {error}", path.display()))
    }

    /// The schema does not fit its metaschema, or holds something that does not compile.
    fn invalid(error: &ValidationError<'_>) -> Self {
        if let ValidationErrorKind::Referencing(error) = error.kind() {
            return Self::reference(error);
        }
        let bad_pattern = matches!(error.kind(), ValidationErrorKind::Format { format } if format == "regex");
        let message = if bad_pattern {
            BAD_PATTERN.to_owned()
        } else if error.schema_path().as_str().ends_with("/properties/type/anyOf") {
            operator_text(&format!("{} is no type, {TYPES}", error.instance()))
        } else {
            operator_text(&error.to_string())
        };
        // What a keyword of ours refuses has the other path alone.
        let own = matches!(error.kind(), ValidationErrorKind::Custom { .. });
        let path = if own { error.schema_path() } else { error.instance_path() };
        Self { message, location: Some(path.as_str().to_owned()) }
    }

    /// The same of a schema that stands at `pointer` of its file.
    fn below(self, pointer: &str) -> Self {
        Self { location: self.location.map(|location| format!("{pointer}{location}")), ..self }
    }

    fn draft(specification: &str) -> Self {
        let message = format!("unknown $schema \"{specification}\", {DRAFTS}");
        Self { message, location: Some("/$schema".to_owned()) }
    }

    /// The same of a reference in `root`, or in a file that it refers to.
    fn lost(error: &jsonschema::ReferencingError, root: &Value) -> Self {
        use jsonschema::ReferencingError::{NoSuchAnchor, PointerToNowhere};
        let (PointerToNowhere { pointer: place } | NoSuchAnchor { anchor: place }) = error else {
            return Self::reference(error);
        };
        match files::reference_to(place, root) {
            Some((reference, location)) => Self { message: format!("{reference:?} leads nowhere"), location },
            None => Self::new(format!("a reference leads nowhere: its file has no {place:?}")),
        }
    }

    fn reference(error: &jsonschema::ReferencingError) -> Self {
        use jsonschema::ReferencingError::{UnknownSpecification, Unretrievable};
        if let Unretrievable { uri, source } = error {
            let target = path_of(uri).unwrap_or_else(|| uri.clone());
            return Self::new(format!("\"{target}\" cannot be used: {source}"));
        }
        if let UnknownSpecification { specification } = error {
            return Self::draft(specification);
        }
        Self::new(operator_text(&error.to_string()))
    }
}

/// One thing that does not fit, without a value or an undeclared name of the payload.
#[derive(Debug, Clone, Default)]
pub struct Miss {
    /// Where in the payload, as a JSON Pointer.
    pub pointer: String,
    /// The same with `*` for every element.
    pub place: String,
    /// The keyword that it does not fit.
    pub keyword: String,
    /// The keyword's place in the schema.
    pub schema: String,
    /// The member that is missing, for `required`.
    pub property: Option<String>,
    /// The kind of the value that stands there.
    pub found: Option<Kind>,
}

impl Miss {
    fn row(self) -> Vec<(&'static str, Fact)> {
        let texts = [("pointer", self.pointer), ("keyword", self.keyword), ("schema", self.schema)];
        let property = self.property.map(|property| ("property", property));
        texts.into_iter().chain(property).map(|(name, text)| (name, Fact::from(text))).collect()
    }
}

/// The keyword that a value does not fit; where it is a subschema that is just `false`, the keyword that says so.
fn keyword<'e>(error: &'e ValidationError<'_>) -> &'e str {
    if !matches!(error.kind(), ValidationErrorKind::FalseSchema) {
        return error.kind().keyword();
    }
    let last = error.schema_path().as_str().rsplit('/').next().unwrap_or_default();
    let says_false = ["additionalProperties", "unevaluatedProperties", "additionalItems", "unevaluatedItems"];
    if says_false.contains(&last) { last } else { "false" }
}

/// Of the alternatives that a value does not fit, the one with the fewest errors, and before all others one that does not
/// fail at the value itself: `[{"type": "null"}, {…}]` is about the second where there is an object.
fn closest<'c>(
    error: &ValidationError<'_>,
    alternatives: &'c [Vec<ValidationError<'static>>],
) -> &'c [ValidationError<'static>] {
    let distance = |errors: &&Vec<ValidationError<'static>>| {
        let another_value = errors.iter().any(|inner| {
            inner.instance_path() == error.instance_path()
                && matches!(inner.kind().keyword(), "type" | "const" | "enum" | "falseSchema")
        });
        (another_value, errors.len())
    };
    alternatives.iter().min_by_key(distance).map_or(&[], Vec::as_slice)
}

/// A library's message in the form of ours: its first letter lowercase, without a full stop, cut.
fn operator_text(message: &str) -> String {
    let mut letters = message.trim_end_matches('.').chars();
    let first = letters.next().map(char::to_lowercase).into_iter().flatten();
    first.chain(letters).take(MESSAGE_CHARS_MAX).collect()
}

/// Those of `patternProperties`, which the library runs itself. Each has a small table, or is refused soon after; see [`Patterns`].
fn patterns_of_names() -> PatternOptions<jsonschema::Regex> {
    PatternOptions::regex().size_limit(PROGRAM_BYTES_MAX).dfa_size_limit(STATES_BYTES_MAX)
}

/// `contentMediaType: application/json` by our own reader; the library's would take the sender's text through `serde_json`.
fn is_json(text: &str) -> bool {
    let limits = JsonLimits { depth_max: 64, nodes_max: 65_536, members_max: 10_000 };
    Document::read(bytes::Bytes::copy_from_slice(text.as_bytes()), limits).is_ok()
}

/// A format such as `date-time`, with exactly the meaning that the validator gives it.
#[derive(Debug)]
pub struct Format(Validator<Tape>);

impl Format {
    /// The format that JSON Schema 2020-12 calls `name`.
    ///
    /// # Errors
    ///
    /// A fault if it cannot be compiled.
    pub fn compile(name: &str) -> Result<Self, SchemaFault> {
        with_fast_uris(jsonschema::options_for::<Tape>())
            .offline()
            .should_validate_formats(true)
            .build(&json!({ "format": name }))
            .map(Self)
            .map_err(|error| SchemaFault::invalid(&error))
    }

    /// Whether `text` is of the format.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        Tape::with_string_node(&mut (), text, |node| self.0.is_valid(node))
    }
}

/// All files of a schema, for following references in it the way the validator does.
pub(super) struct References<'r> {
    registry: &'r Registry<'r>,
    uri: &'r str,
    patterns: &'r Patterns,
}

/// What a reference in a subschema is relative to, and the draft it is written in.
#[derive(Clone)]
pub(super) struct Scope {
    base: Arc<Uri<String>>,
    draft: Draft,
    /// Whether the identifier of the subschema that is entered is part of `base` already: so it is where a reference led.
    entered: bool,
}

impl<'r> References<'r> {
    /// The schema itself.
    pub(super) fn root(&self) -> Result<(&'r Value, Scope), SchemaFault> {
        let base = jsonschema::uri::from_str(self.uri).map_err(|error| SchemaFault::reference(&error))?;
        let (schema, scope) = self.lookup(base, "")?;
        Ok((schema, Scope { entered: false, ..scope }))
    }

    /// Whether `schema` is of a draft that calculates with numbers: a metaschema that only a [`Store`] can have may leave
    /// out the vocabulary for it.
    fn calculates(&self, schema: &Value) -> bool {
        let metaschema = schema.get("$schema").and_then(Value::as_str).filter(|_| draft_of(schema) == Draft::Unknown);
        let found = metaschema
            .and_then(|metaschema| jsonschema::uri::from_str(metaschema).ok())
            .and_then(|metaschema| self.lookup(metaschema, "").ok());
        let vocabularies = found.and_then(|(metaschema, _)| metaschema.get("$vocabulary")?.as_object());
        vocabularies.is_none_or(|listed| listed.keys().any(|uri| uri.ends_with("/vocab/validation")))
    }

    /// The scope inside `schema`, which may set another base or draft for what is in it.
    pub(super) fn enter(&self, scope: &Scope, schema: &Value) -> Result<Scope, SchemaFault> {
        let draft = scope.draft.detect(schema);
        let base = match draft.create_resource_ref(schema).id() {
            Some(id) if !scope.entered => self.registry.resolve_uri(&scope.base.borrow(), id),
            _ => Ok(Arc::clone(&scope.base)),
        };
        Ok(Scope { base: base.map_err(|error| SchemaFault::reference(&error))?, draft, entered: false })
    }

    /// The pattern `text`, with exactly the meaning that the validator gives it.
    pub(super) fn pattern(&self, text: &str) -> Result<Arc<Pattern>, SchemaFault> {
        self.patterns.pattern(text)
    }

    /// The same of member names.
    pub(super) fn pattern_of_names(&self, text: &str) -> Result<Arc<Pattern>, SchemaFault> {
        self.patterns.pattern_of_names(text)
    }

    /// What `reference` leads to.
    pub(super) fn follow(&self, scope: &Scope, reference: &str) -> Result<(&'r Value, Scope), SchemaFault> {
        self.lookup((*scope.base).clone(), reference)
    }

    fn lookup(&self, base: Uri<String>, reference: &str) -> Result<(&'r Value, Scope), SchemaFault> {
        let found = self.registry.resolver(base).lookup(reference).map_err(|error| SchemaFault::reference(&error))?;
        let (schema, resolver, draft) = found.into_inner();
        Ok((schema, Scope { base: resolver.base_uri(), draft, entered: true }))
    }
}

impl Scope {
    /// Until draft 7 a `$ref` hides everything beside it.
    pub(super) fn reference_stands_alone(&self) -> bool {
        matches!(self.draft, Draft::Draft4 | Draft::Draft6 | Draft::Draft7)
    }

    /// Before draft 6 `const` is a word like any other, and asks nothing.
    pub(super) fn has_const(&self) -> bool {
        self.draft != Draft::Draft4
    }
}

const DRAFTS: &str = "expected that of draft 4, 6, 7, 2019-09 or 2020-12";
const WHICH_COMPONENT: &str = "an OpenAPI document is no schema, name one in it: FILE#/components/schemas/NAME";

#[cfg(test)]
mod tests;
