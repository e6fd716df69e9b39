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
mod store;

use std::borrow::Cow;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jsonschema::error::ValidationErrorKind;
use jsonschema::json::Json;
use jsonschema::{Draft, PatternOptions, Registry, Retrieve, Uri, ValidationError, Validator};
use serde_json::{Value, json};

use self::files::{Library, path_of, uri_of};
pub use self::store::{Formats, Store};
use super::bounds::{with_linear_numbers, without_const, without_numbers};
use super::declared::{Declared, Membership, Place, Standing};
use super::express::{Express, Fit};
use super::formats::{with_fast_templates, with_fast_uris};
use super::instance::Tape;
use super::{Document, JsonLimits, Kind, Node};
use crate::reason::Reason;
use crate::rejection::{Fact, Rejection};

/// Errors reported for one payload.
const ERRORS_MAX: usize = 16;
/// Bytes of a compiled pattern, and of the cache its automaton may use while it runs.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// Characters of an error text of the library that a [`SchemaFault`] quotes.
const MESSAGE_CHARS_MAX: usize = 300;
/// How many evaluations collecting errors may take at most. A payload that fits is judged without that bound: there the
/// validator remembers outcomes.
const EXPLAINED_MAX: u64 = 1 << 17;

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
    /// makes the references beside it absolute too; those only lead to what the files themselves hold.
    ///
    /// # Errors
    ///
    /// A fault if a file cannot be read, is too large, is not JSON or not a valid schema of its draft, refers to anything
    /// outside `directory`, has a pattern that a linear engine cannot run (look-around, back-references), or could nest
    /// too deeply when it is evaluated.
    pub fn load(file: &Path, directory: &Path) -> Result<Self, SchemaFault> {
        let library = Library::open(directory)?;
        let path = file.canonicalize().map_err(|error| SchemaFault::unreadable(file, &error))?;
        let Ok(relative) = path.strip_prefix(&library.directory) else {
            return Err(SchemaFault::new(format!("\"{}\" is outside \"{}\"", file.display(), directory.display())));
        };
        let root = library.read(relative).map_err(SchemaFault::new)?;
        Self::compile(&root, &uri_of(relative), Origin::Directory(library), Formats::Asserted)
    }

    /// Compiles `schema` as if it stood in a file of `directory`.
    ///
    /// # Errors
    ///
    /// As [`Schema::load`].
    pub fn from_value(schema: &Value, directory: &Path) -> Result<Self, SchemaFault> {
        let library = Library::open(directory)?;
        Self::compile(schema, &uri_of(Path::new("schema.json")), Origin::Directory(library), Formats::Asserted)
    }

    /// Compiles `schema` with nothing around it but what is in `store`: no policy does, a conformance suite does.
    ///
    /// # Errors
    ///
    /// As [`Schema::load`], where `store` stands for the directory.
    pub fn in_store(schema: &Value, store: Store) -> Result<Self, SchemaFault> {
        let formats = store.formats;
        Self::compile(schema, &uri_of(Path::new("schema.json")), Origin::Store(store), formats)
    }

    fn compile(root: &Value, uri: &str, origin: Origin, formats: Formats) -> Result<Self, SchemaFault> {
        if draft_of(root) == Draft::Unknown
            && let Origin::Directory(_) = origin
        {
            return Err(SchemaFault::draft(root["$schema"].as_str().unwrap_or_default()));
        }
        let spoken = Arc::new(Spoken::default());
        spoken.hear(root, draft_of(root));
        let referenced = Referenced { origin, draft: draft_of(root), spoken: Arc::clone(&spoken) };
        let registry = Registry::new()
            .retriever(referenced)
            .draft(draft_of(root))
            .add(uri, root)
            .and_then(jsonschema::RegistryBuilder::prepare)
            .map_err(|error| SchemaFault::reference(&error))?;
        let references = References { registry: &registry, uri };
        let options = with_fast_uris(jsonschema::options_for::<Tape>());
        let options = if references.calculates(root) { with_linear_numbers(options) } else { without_numbers(options) };
        let options = match (spoken.draft_4.load(Ordering::Relaxed), spoken.later.load(Ordering::Relaxed)) {
            (true, false) => without_const(options),
            (true, true) => options,
            (false, _) => with_fast_templates(options),
        };
        let validator = options
            .with_registry(&registry)
            .with_base_uri(uri)
            .offline()
            .with_pattern_options(linear_patterns())
            .with_content_media_type("application/json", is_json)
            .should_validate_formats(formats == Formats::Asserted)
            .build(root)
            .map_err(|error| SchemaFault::invalid(&error))?;
        // First what refuses references that lead back to themselves.
        let declared = Declared::compile(&references)?;
        let express = Express::compile(&references)?;
        Ok(Self(Arc::new(Compiled { express, validator, declared, uri: uri.to_owned() })))
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
        debug_assert!(fit == Fit::Unsure || self.is_valid(document), "invariant: what passes the express way is valid");
        match fit {
            Fit::Declared => Ok(Membership::Declared),
            Fit::Fits => Ok(Membership::Unasked),
            Fit::Unsure if self.is_valid(document) => Ok(Membership::Unasked),
            Fit::Unsure => Err(self.mismatch(document)),
        }
    }

    /// [`Schema::check`] without the short way to a yes, for comparing the two.
    ///
    /// # Errors
    ///
    /// As [`Schema::check`].
    pub fn check_the_long_way(&self, document: &Document) -> Result<(), Rejection> {
        if self.is_valid(document) { Ok(()) } else { Err(self.mismatch(document)) }
    }

    /// What is known without asking the validator.
    pub(super) fn express_fit(&self, document: &Document) -> Fit {
        self.0.express.as_ref().map_or(Fit::Unsure, |express| express.judge(document))
    }

    fn is_valid(&self, document: &Document) -> bool {
        self.0.validator.is_valid(Tape::node(document.root()))
    }

    #[cold]
    fn mismatch(&self, document: &Document) -> Rejection {
        let (values, depth) = extent(document.root());
        if self.declared().visits_max(depth).saturating_mul(values) > EXPLAINED_MAX {
            return Rejection::new(Reason::SchemaMismatch).hint(HINT_UNEXPLAINED);
        }
        let mut rows = Vec::new();
        let mut only_additional = true;
        for error in self.0.validator.iter_errors(Tape::node(document.root())).take(ERRORS_MAX) {
            only_additional &= matches!(keyword(&error), "additionalProperties" | "unevaluatedProperties");
            self.add_rows(document, &error, &mut rows);
        }
        let rejection = Rejection::new(Reason::SchemaMismatch).fact("errors", Fact::Rows(rows));
        if only_additional { rejection.hint(HINT_ADDITIONAL) } else { rejection }
    }

    /// Adds a row for `error`, and for what is wrong with the closest alternative where none fits.
    fn add_rows(&self, document: &Document, error: &ValidationError<'_>, rows: &mut Vec<Row>) {
        if rows.len() == ERRORS_MAX {
            return;
        }
        let mut row = vec![
            ("pointer", Fact::from(self.masked_pointer(document, error.instance_path().as_str()))),
            ("keyword", Fact::from(keyword(error).to_owned())),
            ("schema", Fact::from(self.place_of(error))),
        ];
        if let ValidationErrorKind::Required { property: Value::String(property) } = error.kind() {
            row.push(("property", Fact::from(property.clone())));
        }
        rows.push(row);
        if let ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } = error.kind() {
            for inner in closest(error, context) {
                self.add_rows(document, inner, rows);
            }
        }
    }

    /// Where the keyword stands: a JSON pointer as a fragment, behind the file's path if it is not the schema's own file.
    fn place_of(&self, error: &ValidationError<'_>) -> String {
        let resource = error.absolute_keyword_location().and_then(|uri| uri.as_str().split('#').next());
        let file = resource.filter(|uri| *uri != self.0.uri).and_then(path_of);
        format!("{}#{}", file.unwrap_or_default(), error.schema_path().as_str())
    }

    /// `pointer` into `document`, with `*` for every name that is not in the schema's own text. The payload is walked
    /// along, because only there an index can be told from a name that is made of digits.
    fn masked_pointer(&self, document: &Document, pointer: &str) -> String {
        let mut masked = String::with_capacity(pointer.len());
        let mut here = Some((document.root(), self.declared().root()));
        for segment in pointer.split('/').skip(1) {
            let step = here.and_then(|(node, place)| self.step(node, place, segment));
            masked.push('/');
            masked.push_str(step.as_ref().map_or("*", |(_, shown)| shown));
            here = step.map(|(next, _)| next);
        }
        masked
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

const HINT_ADDITIONAL: &str = "the schema itself refuses members that it does not list; where they are harmless, remove \
                               additionalProperties from it and let [sanitize] unknown_fields = \"drop\" remove them";

const HINT_UNEXPLAINED: &str = "the payload does not fit its schema; where is not said, because with a payload of this \
                                size and alternatives that overlap in the schema, finding out could take long";

/// How many values there are in `node`, itself included, and how many containers stand in one another.
fn extent(node: Node<'_>) -> (u64, usize) {
    let inner = node.elements().chain(node.members().map(|member| member.value)).map(extent);
    let (values, depth) = inner.fold((1, 0), |(values, depth), inner| (values + inner.0, depth.max(inner.1)));
    (values, depth + usize::from(matches!(node.kind(), Kind::Array | Kind::Object)))
}

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
        let message = if bad_pattern { BAD_PATTERN.to_owned() } else { operator_text(&error.to_string()) };
        Self { message, location: Some(error.instance_path().as_str().to_owned()) }
    }

    fn draft(specification: &str) -> Self {
        let message = format!("unknown $schema \"{specification}\", {DRAFTS}");
        Self { message, location: Some("/$schema".to_owned()) }
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

type Row = Vec<(&'static str, Fact)>;

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

fn linear_patterns() -> PatternOptions<jsonschema::Regex> {
    PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX)
}

/// `contentMediaType: application/json` by our own reader; the library's would take the sender's text through `serde_json`.
fn is_json(text: &str) -> bool {
    let limits = JsonLimits { depth_max: 64, nodes_max: 65_536, members_max: 10_000 };
    Document::read(bytes::Bytes::copy_from_slice(text.as_bytes()), limits).is_ok()
}

/// A pattern of `patternProperties`, with exactly the meaning that the validator gives it.
#[derive(Debug)]
pub(super) struct Pattern(Validator<Tape>);

impl Pattern {
    /// # Errors
    ///
    /// A fault if the linear engine cannot run it or it grows too large.
    pub(super) fn compile(text: &str) -> Result<Self, SchemaFault> {
        jsonschema::options_for::<Tape>()
            .offline()
            .with_pattern_options(linear_patterns())
            .build(&json!({ "pattern": text }))
            .map(Self)
            .map_err(|error| SchemaFault::invalid(&error))
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        Tape::with_string_node(&mut (), name, |node| self.0.is_valid(node))
    }
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

/// Where the schemas are that a schema refers to.
enum Origin {
    /// Below a directory, as with every policy.
    Directory(Library),
    /// In memory.
    Store(Store),
}

/// The schemas a schema refers to, as the library asks for them.
struct Referenced {
    origin: Origin,
    /// Of the schema's own file, for files that do not say theirs.
    draft: Draft,
    spoken: Arc<Spoken>,
}

/// The drafts of a schema, of the files that it refers to, and of their parts. A keyword of our own is not told the draft of the subschema that
/// it stands in. So what draft 4 does not have is left out where there is nothing else, and where drafts are mixed `const` is
/// asked of parts in draft 4, too: that refuses more than draft 4 would, never less.
#[derive(Default)]
struct Spoken {
    draft_4: AtomicBool,
    later: AtomicBool,
}

impl Spoken {
    /// Notes the drafts of a schema and of all that is in it; `outer` is that of what does not say its own.
    fn hear(&self, schema: &Value, outer: Draft) {
        match schema {
            Value::Object(members) => {
                let own = outer.detect(schema);
                let heard = if own == Draft::Draft4 { &self.draft_4 } else { &self.later };
                heard.store(true, Ordering::Relaxed);
                members.values().for_each(|member| self.hear(member, own));
            }
            Value::Array(elements) => elements.iter().for_each(|element| self.hear(element, outer)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

impl Retrieve for Referenced {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn Error + Send + Sync>> {
        let schema = match &self.origin {
            Origin::Directory(library) => {
                let path = path_of(uri.as_str()).ok_or(OUTSIDE)?;
                library.read(Path::new(&path))?
            }
            Origin::Store(store) => store.get(uri.as_str()).cloned().ok_or(OUTSIDE)?,
        };
        self.spoken.hear(&schema, self.draft);
        let draft = self.draft.detect(&schema);
        let metaschema = METASCHEMAS.iter().find(|(of, _)| *of == draft);
        match metaschema.map_or(Ok(()), |(_, validate)| validate(&schema)).map_err(|error| SchemaFault::invalid(&error))
        {
            Ok(()) => Ok(schema),
            Err(fault) => Err(format!("{} at \"{}\"", fault.message, fault.location.unwrap_or_default()).into()),
        }
    }
}

type Metaschema = fn(&Value) -> Result<(), ValidationError<'_>>;

/// The library only checks the schema it is given against its metaschema, not the files that one refers to.
const METASCHEMAS: [(Draft, Metaschema); 5] = [
    (Draft::Draft4, jsonschema::draft4::meta::validate),
    (Draft::Draft6, jsonschema::draft6::meta::validate),
    (Draft::Draft7, jsonschema::draft7::meta::validate),
    (Draft::Draft201909, jsonschema::draft201909::meta::validate),
    (Draft::Draft202012, jsonschema::draft202012::meta::validate),
];

/// The draft that a schema's `$schema` says, 2020-12 if it says nothing.
fn draft_of(schema: &Value) -> Draft {
    Draft::Draft202012.detect(schema)
}

const BAD_PATTERN: &str = "the pattern is not a regular expression that runs in linear time and bounded memory: \
                           look-around and back-references do not";
const DRAFTS: &str = "expected that of draft 4, 6, 7, 2019-09 or 2020-12";
const OUTSIDE: &str = "a reference may only lead to files below the schema directory, nothing is fetched";

#[cfg(test)]
mod tests;
