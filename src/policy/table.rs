//! Reading TOML: text → spanned values, with every finding collected instead of the first one returned.
//!
//! Nothing but this file and `like` names the `toml` crate. [`read`] parses a file and hands its top-level table to a function, which
//! takes typed values out of a [`Reader`] key by key; whatever key nobody asked for is reported as unknown when that
//! function returns. Nothing here is on a delivery's way.
//!
//! **Invariant:** a message quotes only what stands where a name, a number or an address belongs. The value of an
//! unknown key is masked, since it may be a secret in the wrong place.

mod like;
pub mod parse;
mod value;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned as TomlSpanned;
use toml::de::{DeTable, DeValue};

pub use self::like::{Like, Presets};
pub use self::value::{Bound, Setting, Spanned};

use self::parse::{Fault, choose, grouped, nearest, parse_path};
use crate::policy::diagnostic::{DIAGNOSTICS_MAX, Diagnostic, Diagnostics, FILE_BYTES_MAX, SourceFile, too_large};

/// Parses a file and builds a value from its top-level table; all findings go to `diagnostics`.
///
/// After errors there may still be a value. It is good for finding more errors, never for use.
pub fn read<T>(
    file: &SourceFile,
    diagnostics: &mut Diagnostics,
    build: impl FnOnce(&mut Reader<'_>) -> T,
) -> Option<T> {
    read_like(file, diagnostics, Like::Nowhere, build)
}

/// The same for a file that may say what it is like.
pub fn read_like<T>(
    file: &SourceFile,
    diagnostics: &mut Diagnostics,
    like: Like,
    build: impl FnOnce(&mut Reader<'_>) -> T,
) -> Option<T> {
    if file.text.len() > FILE_BYTES_MAX {
        diagnostics.push(Diagnostic::error(&file.path, None, too_large()));
        return None;
    }
    let (root, mut faults) = DeTable::parse_recoverable(&file.text);
    faults.sort_by_key(|fault| fault.span().map(|span| span.start));
    let mut document = Document { file, broken: Vec::new(), found: RefCell::default() };
    for fault in &faults {
        document.syntax_error(fault);
    }
    let mut root = root.into_inner();
    like::complete(&mut root, like);
    let value = Reader::new(&document, &root, String::new(), None).finish(build);
    diagnostics.append(document.found.into_inner());
    Some(value)
}

/// The top-level keys whose values are not the same in these texts of two good files, in order. Where something stands, and how it is written, is no difference.
#[must_use]
pub fn differing(one: &str, other: &str) -> Vec<String> {
    let [one, other] = [one, other].map(|text| text.parse::<toml::Table>().unwrap_or_default());
    let keys: BTreeSet<_> = one.keys().chain(other.keys()).collect();
    keys.into_iter().filter(|key| one.get(*key) != other.get(*key)).cloned().collect()
}

/// One parsed file and what was found in it so far.
struct Document<'a> {
    file: &'a SourceFile,
    /// The first lines that have a syntax error; past them nothing more is shown anyway.
    broken: Vec<Range<usize>>,
    found: RefCell<Diagnostics>,
}

impl Document<'_> {
    /// Reports the first syntax error of a line; the parser's further ones there mostly come of that one.
    fn syntax_error(&mut self, fault: &toml::de::Error) {
        let text = self.file.text.as_str();
        let span = fault.span().unwrap_or_default();
        let span = text.floor_char_boundary(span.start)..text.ceil_char_boundary(span.end.max(span.start));
        if self.is_broken(&(span.start..span.start)) {
            return;
        }
        if self.broken.len() < DIAGNOSTICS_MAX {
            let start = text[..span.start].rfind('\n').map_or(0, |newline| newline + 1);
            let end = text[span.end..].find('\n').map_or(text.len(), |newline| span.end + newline);
            self.broken.push(start..end);
        }
        let message = match fault.message() {
            "duplicate key" => format!("duplicate key {:?}", &text[span.clone()]),
            other => other.trim_end_matches('.').to_owned(),
        };
        self.found.borrow_mut().push(Diagnostic::error(&self.file.path, span, message));
    }

    /// Whether a span touches a line that has a syntax error.
    fn is_broken(&self, span: &Range<usize>) -> bool {
        self.broken.iter().any(|line| span.start <= line.end && line.start <= span.end)
    }

    /// Reports a finding, unless a syntax error of the same line is the likelier cause of it.
    fn report(&self, found: Diagnostic) {
        let is_consequence = found.span.as_ref().is_some_and(|span| self.is_broken(span));
        if !is_consequence {
            self.found.borrow_mut().push(found);
        }
    }

    /// The place of some bytes of a string's value; the whole string where escapes have moved them.
    fn inside(&self, string: &Range<usize>, text: &str, within: &Range<usize>) -> Range<usize> {
        let written = self.file.text.get(string.clone()).unwrap_or_default();
        match written.get(1..written.len().saturating_sub(1)) {
            Some(raw) if raw == text => string.start + 1 + within.start..string.start + 1 + within.end,
            _ => string.clone(),
        }
    }
}

/// Takes typed values out of one table and remembers which keys it was asked for.
///
/// A value that is missing and one that is wrong both come back as `None`; the wrong one has been reported.
pub struct Reader<'a> {
    document: &'a Document<'a>,
    table: &'a DeTable<'a>,
    /// `limit.client`, `auth.secrets[0]`; empty for the top level.
    name: String,
    /// The table's header, or the whole of an inline table; absent for the top level.
    span: Option<Range<usize>>,
    asked: Vec<&'static str>,
    is_open: bool,
}

impl<'a> Reader<'a> {
    fn new(document: &'a Document<'a>, table: &'a DeTable<'a>, name: String, span: Option<Range<usize>>) -> Self {
        Self { document, table, name, span, asked: Vec::new(), is_open: false }
    }

    fn finish<T>(mut self, build: impl FnOnce(&mut Self) -> T) -> T {
        let value = build(&mut self);
        if !self.is_open {
            self.report_unknown_keys();
        }
        value
    }

    /// Where the table stands: its header, or the whole of an inline table; the top level has no place.
    #[must_use]
    pub fn span(&self) -> Option<Range<usize>> {
        self.span.clone()
    }

    /// Whether the key stands in the table, with whatever value.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether an array stands there.
    #[must_use]
    pub fn is_array(&self, key: &str) -> bool {
        self.table.get(key).is_some_and(|value| matches!(value.get_ref(), DeValue::Array(_)))
    }

    /// How many items an array has.
    #[must_use]
    pub fn length(&self, key: &str) -> usize {
        self.table.get(key).and_then(|value| value.get_ref().as_array()).map_or(0, |items| items.len())
    }

    /// Takes note that `like` was answered when the file was read.
    pub fn inherited(&mut self) {
        self.asked.push("like");
    }

    /// Reports an error at a place of this file; absent: the table's own.
    pub fn error(&self, span: Option<Range<usize>>, fault: Fault) {
        let span = span.or_else(|| self.span());
        self.document.report(Diagnostic::error(&self.document.file.path, span, fault.message).hint(fault.hint));
    }

    /// Reports a warning at a place of this file; absent: the table's own.
    pub fn warning(&self, span: Option<Range<usize>>, fault: Fault) {
        let span = span.or_else(|| self.span());
        self.document.report(Diagnostic::warning(&self.document.file.path, span, fault.message).hint(fault.hint));
    }

    /// Reports an error at some bytes of a string that was read from this file.
    pub fn error_inside(&self, string: &Spanned<String>, fault: Fault) {
        self.string_error(&string.span, &string.value, fault);
    }

    /// Masks a place of this file wherever its line is shown: somebody may have pasted a secret there.
    pub fn hide(&self, span: Range<usize>) {
        self.document.found.borrow_mut().hide(&self.document.file.path, span);
    }

    /// Reports a key that is not there although it has to be.
    pub fn require(&self, key: &str) {
        // After a syntax error the key may well stand on the broken line.
        if !self.has(key) && self.document.broken.is_empty() {
            self.error(None, Fault::new(format!("missing key {key:?}{}", self.place())));
        }
    }

    /// Whether nothing stands in the table.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Reports an array that is there and empty.
    pub fn refuse_empty(&self, key: &str, why: &str) {
        if let Some(value) = self.table.get(key)
            && matches!(value.get_ref(), DeValue::Array(array) if array.is_empty())
        {
            self.error(Some(value.span()), Fault::new(format!("{key} is empty{why}")));
        }
    }

    /// Reports both keys where both stand in the table, and the lack of either where none does.
    pub fn require_one<const N: usize>(&self, keys: [&str; N]) {
        let there: Vec<_> = keys.into_iter().filter(|key| self.has(key)).collect();
        if let [first, second, ..] = there[..] {
            let message = format!("{first} and {second} cannot stand together{}", self.place());
            self.error(self.key_span(second), Fault::new(message));
        } else if there.is_empty() && self.document.broken.is_empty() {
            let keys = keys.map(|key| format!("{key:?}")).join(" or ");
            self.error(None, Fault::new(format!("missing key {keys}{}", self.place())));
        }
    }

    /// Reports each of these keys that stands in the table although the table is not the place, or not the time, for
    /// it; they count as known.
    pub fn refuse(&mut self, keys: &[&'static str], why: &str) {
        for key in keys {
            if let Some(span) = self.key_span(key) {
                self.error(Some(span), Fault::new(format!("{key:?} {why}")));
                self.asked.push(key);
            }
        }
    }

    /// Where a key stands.
    #[must_use]
    pub fn key_span(&self, key: &str) -> Option<Range<usize>> {
        self.table.get_key_value(key).map(|(key, _)| key.span())
    }

    /// A string of any content.
    pub fn string(&mut self, key: &'static str) -> Option<Spanned<String>> {
        self.parsed(key, |text| Ok(text.to_owned()))
    }

    /// A string that a function makes sense of.
    pub fn parsed<T>(&mut self, key: &'static str, parse: impl FnOnce(&str) -> Result<T, Fault>) -> Option<Spanned<T>> {
        let value = self.take(key)?;
        self.parse_string(key, value, parse)
    }

    /// A string that may turn out to be a secret in the wrong place: whatever is wrong with it, it is masked.
    pub fn guarded<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<Spanned<T>> {
        let value = self.take(key)?;
        let parsed = self.parse_string(key, value, parse);
        if parsed.is_none() {
            self.hide(value.span());
        }
        parsed
    }

    /// One word of a closed set.
    pub fn one_of<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Option<Spanned<T>> {
        self.parsed(key, |text| choose(key, text, choices))
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, key: &'static str) -> Option<Spanned<bool>> {
        let value = self.take(key)?;
        let DeValue::Boolean(boolean) = value.get_ref() else {
            return self.wrong_type(key, "a boolean", value);
        };
        Some(Spanned { value: *boolean, span: value.span() })
    }

    /// A value of the policy's own, as JSON: a string, an integer or a boolean, or `{ json = "…" }` with any JSON text.
    pub fn json(&mut self, key: &'static str) -> Option<Spanned<String>> {
        let value = self.take(key)?;
        let text = match value.get_ref() {
            DeValue::String(text) => serde_json::to_string(text).ok(),
            DeValue::Boolean(boolean) => Some(boolean.to_string()),
            DeValue::Integer(integer) => {
                i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(|number| number.to_string())
            }
            DeValue::Table(_) => {
                let inner = self.table(key, |table| {
                    table.require("json");
                    table.string("json")
                });
                return inner.flatten();
            }
            DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) => None,
        };
        match text {
            Some(text) => Some(Spanned { value: text, span: value.span() }),
            None => self.wrong_type_with_hint(key, "a string, an integer or a boolean", value, Some(JSON_HINT)),
        }
    }

    /// A whole number between the bounds, or the default.
    pub fn bound(&mut self, bound: &Bound) -> Setting<u64> {
        let written = self.take(bound.key).and_then(|value| self.parse_number(bound, value));
        written.map_or(Setting::of_default(bound), Setting::from)
    }

    /// A whole number between the bounds, if there is one.
    pub fn number(&mut self, bound: &Bound) -> Option<Spanned<u64>> {
        let value = self.take(bound.key)?;
        self.parse_number(bound, value)
    }

    /// A date-time with an offset (RFC 3339), in unix seconds.
    pub fn instant(&mut self, key: &'static str) -> Option<Spanned<i64>> {
        let value = self.take(key)?;
        let hint = "write it without quotes and with an offset: 2026-12-24T00:00:00Z";
        let DeValue::Datetime(datetime) = value.get_ref() else {
            return self.wrong_type_with_hint(key, "a date-time", value, Some(hint));
        };
        let Ok(timestamp) = datetime.to_string().parse::<jiff::Timestamp>() else {
            let fault = Fault::new(format!("{key} must be a date-time with an offset, got {datetime}")).hint(hint);
            self.error(Some(value.span()), fault);
            return None;
        };
        Some(Spanned { value: timestamp.as_second(), span: value.span() })
    }

    /// A path; a relative one is relative to the directory of this file.
    pub fn path(&mut self, key: &'static str) -> Option<Spanned<PathBuf>> {
        let directory = self.directory();
        self.parsed(key, |text| parse_path(text).map(|path| directory.join(path)))
    }

    /// The directory that relative paths start from.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.document.file.path.parent().map(PathBuf::from).unwrap_or_default()
    }

    /// An array of strings, each of which a function makes sense of. The wrong ones are reported and left out.
    pub fn list<T>(
        &mut self,
        key: &'static str,
        items_max: usize,
        parse: impl Fn(&str) -> Result<T, Fault>,
    ) -> Option<Spanned<Vec<Spanned<T>>>> {
        let value = self.take(key)?;
        let items = self.items(key, "an array of strings", items_max, value)?;
        let parsed = items
            .iter()
            .enumerate()
            .filter_map(|(index, item)| self.parse_string(&format!("{key}[{index}]"), item, &parse));
        Some(Spanned { value: parsed.collect(), span: value.span() })
    }

    /// A table inside this one, read by a function.
    pub fn table<T>(&mut self, key: &'static str, build: impl FnOnce(&mut Reader<'a>) -> T) -> Option<T> {
        let value = self.take(key)?;
        let DeValue::Table(table) = value.get_ref() else {
            self.hide_text(value);
            return self.wrong_type(key, "a table", value);
        };
        let reader = Reader::new(self.document, table, self.inner_name(key), Some(value.span()));
        Some(reader.finish(build))
    }

    /// An array of tables, each read by a function; those without a value are left out.
    pub fn tables<T>(
        &mut self,
        key: &'static str,
        items_max: usize,
        build: impl Fn(&mut Reader<'a>) -> Option<T>,
    ) -> Option<Spanned<Vec<T>>> {
        let value = self.take(key)?;
        let Some(items) = self.items(key, "an array of tables", items_max, value) else {
            self.hide_text(value);
            return None;
        };
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let name = format!("{key}[{index}]");
            if let DeValue::Table(table) = item.get_ref() {
                let reader = Reader::new(self.document, table, self.inner_name(&name), Some(item.span()));
                values.extend(reader.finish(&build));
            } else {
                self.hide_text(item);
                self.wrong_type::<()>(&name, "a table", item);
            }
        }
        Some(Spanned { value: values, span: value.span() })
    }

    /// All entries of a table whose keys are free, in the order of the keys; every value is a string that a function
    /// makes sense of.
    pub fn entries<T>(
        &mut self,
        entries_max: usize,
        parse: impl Fn(&str) -> Result<T, Fault>,
    ) -> Vec<(Spanned<String>, Spanned<T>)> {
        self.is_open = true;
        if self.table.len() > entries_max {
            let fault = Fault::new(format!("{} has {} entries, at most {entries_max}", self.name, self.table.len()));
            self.error(None, fault);
        }
        let entries = self.table.iter().take(entries_max).filter_map(|(key, value)| {
            let value = self.parse_string(key.get_ref(), value, &parse)?;
            Some((Spanned { value: key.get_ref().to_string(), span: key.span() }, value))
        });
        entries.collect()
    }

    fn take(&mut self, key: &'static str) -> Option<&'a TomlSpanned<DeValue<'a>>> {
        self.asked.push(key);
        self.table.get(key)
    }

    /// Masks text that stands where none belongs: it may be a secret that belongs into a file.
    fn hide_text(&self, value: &TomlSpanned<DeValue<'_>>) {
        if matches!(value.get_ref(), DeValue::String(_) | DeValue::Array(_) | DeValue::Table(_)) {
            self.hide(value.span());
        }
    }

    fn items(
        &self,
        key: &str,
        expected: &str,
        items_max: usize,
        value: &'a TomlSpanned<DeValue<'a>>,
    ) -> Option<&'a [TomlSpanned<DeValue<'a>>]> {
        let DeValue::Array(array) = value.get_ref() else {
            return self.wrong_type(key, expected, value);
        };
        if array.len() > items_max {
            let message = format!("{key} has {} items, at most {items_max} are read", array.len());
            self.error(Some(value.span()), Fault::new(message));
        }
        Some(&array[..array.len().min(items_max)])
    }

    fn parse_string<T>(
        &self,
        key: &str,
        value: &TomlSpanned<DeValue<'_>>,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<Spanned<T>> {
        let DeValue::String(text) = value.get_ref() else {
            return self.wrong_type(key, "a string", value);
        };
        match parse(text) {
            Ok(parsed) => Some(Spanned { value: parsed, span: value.span() }),
            Err(fault) => {
                self.string_error(&value.span(), text, fault);
                None
            }
        }
    }

    fn string_error(&self, span: &Range<usize>, text: &str, fault: Fault) {
        let within = fault.within.as_ref().map(|within| self.document.inside(span, text, within));
        self.error(Some(within.unwrap_or_else(|| span.clone())), fault);
    }

    fn parse_number(&self, bound: &Bound, value: &TomlSpanned<DeValue<'_>>) -> Option<Spanned<u64>> {
        let Bound { key, min, max, .. } = *bound;
        let DeValue::Integer(integer) = value.get_ref() else {
            return self.wrong_type(key, "an integer", value);
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.filter(|number| (min..=max).contains(number));
        if number.is_none() {
            let message = format!("{key} is {integer}, must be {}..={}", grouped(min), grouped(max));
            self.error(Some(value.span()), Fault::new(message));
        }
        number.map(|number| Spanned { value: number, span: value.span() })
    }

    fn wrong_type<T>(&self, key: &str, expected: &str, value: &TomlSpanned<DeValue<'_>>) -> Option<T> {
        self.wrong_type_with_hint(key, expected, value, None)
    }

    fn wrong_type_with_hint<T>(
        &self,
        key: &str,
        expected: &str,
        value: &TomlSpanned<DeValue<'_>>,
        hint: Option<&str>,
    ) -> Option<T> {
        let got = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date-time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        let fault = Fault::new(format!("{key} must be {expected}, got {got}"));
        self.error(Some(value.span()), Fault { hint: hint.map(str::to_owned), ..fault });
        None
    }

    fn report_unknown_keys(&self) {
        let mut known: Vec<&str> = Vec::new();
        for key in &self.asked {
            if !known.contains(key) {
                known.push(key);
            }
        }
        for (key, value) in self.table {
            if known.contains(&key.get_ref().as_ref()) {
                continue;
            }
            self.hide_text(value);
            let near = nearest(key.get_ref(), &known);
            let message = format!("unknown key {:?}{}", key.get_ref(), self.place());
            let fault = Fault::new(message).hint(format!("{near}the keys here are {}", known.join(", ")));
            self.error(Some(key.span()), fault);
        }
    }

    fn inner_name(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    fn place(&self) -> String {
        if self.name.is_empty() { String::new() } else { format!(" in {}", self.name) }
    }
}

const JSON_HINT: &str = "everything else as { json = \"…\" }";

/// What a reader finds in a text: `line:column: message` in order, with `warning: ` before the message of a warning.
#[cfg(test)]
pub(super) fn findings<T>(text: &str, read: impl FnOnce(&SourceFile, &mut Diagnostics) -> T) -> (T, Vec<String>) {
    let mut files = crate::policy::diagnostic::Files::default();
    let file = files.add("etc/a.toml", text);
    let mut found = Diagnostics::default();
    let value = read(&file, &mut found);
    let report = found.report(&files, &crate::policy::diagnostic::Styles::plain()).to_string();
    let heads = report.lines().filter_map(|line| line.strip_prefix("etc/a.toml:"));
    (value, heads.map(|line| line.trim_start().replacen("error: ", "", 1)).collect())
}

/// What a text without a finding is read as.
#[cfg(test)]
pub(crate) fn read_text<T>(text: &str, build: impl FnOnce(&mut Reader<'_>) -> T) -> Option<T> {
    let (value, found) = findings(text, |file, found| read(file, found, build));
    let errors: Vec<_> = found.iter().filter(|found| !found.contains("warning: ")).collect();
    assert!(errors.is_empty(), "{errors:?}");
    value
}

#[cfg(test)]
mod tests;
