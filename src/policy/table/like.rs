//! `like = "NAME"`: a table that says only what is different from another one.
//!
//! Missing keys of a preset, and of `scheme`, come from the preset it is like; `KEY = false` takes a word of a scheme away. What was inherited
//! counts as standing where `like` stands, so that a finding points into the file that somebody can change.

use std::ops::Range;

use toml::Spanned as TomlSpanned;
use toml::de::{DeTable, DeValue};

/// Answers the text of a preset.
pub type Presets = fn(&str) -> Option<&'static str>;

/// Where `like` may stand.
#[derive(Clone, Copy)]
pub enum Like {
    /// Nowhere.
    Nowhere,
    /// At the top of a preset.
    Preset(Presets),
    /// In `auth.scheme` of a policy, and in the scheme of each `auth.method`.
    Policy(Presets),
}

/// How many presets may be like one another in a row.
const DEPTH_MAX: usize = 4;

/// Completes a document.
pub(super) fn complete(root: &mut DeTable<'_>, like: Like) {
    match like {
        Like::Nowhere => {}
        Like::Preset(presets) => {
            let Some((base, span)) = base(root, presets, DEPTH_MAX) else { return };
            inherit(root, base, &span);
        }
        Like::Policy(presets) => {
            let Some(auth) = root.get_mut("auth").and_then(|auth| table(auth.get_mut())) else { return };
            complete_scheme(auth, presets);
            if let Some(DeValue::Array(methods)) = auth.get_mut("method").map(TomlSpanned::get_mut) {
                for method in methods.iter_mut().filter_map(|method| table(method.get_mut())) {
                    complete_scheme(method, presets);
                }
            }
        }
    }
}

/// Completes the scheme of one method.
fn complete_scheme(method: &mut DeTable<'_>, presets: Presets) {
    let Some(scheme) = method.get_mut("scheme").and_then(|scheme| table(scheme.get_mut())) else { return };
    let Some((mut base, span)) = base(scheme, presets, DEPTH_MAX) else { return };
    if let Some(inherited) = base.remove("scheme").map(TomlSpanned::into_inner)
        && let DeValue::Table(inherited) = inherited
    {
        merge(scheme, inherited, &span);
    }
}

/// The whole preset that a table is like, and where it says so.
fn base(like: &DeTable<'_>, presets: Presets, depth: usize) -> Option<(DeTable<'static>, Range<usize>)> {
    let value = like.get("like")?;
    let DeValue::String(name) = value.get_ref() else { return None };
    let mut base = DeTable::parse(presets(name)?).ok()?.into_inner();
    if let Some((further, span)) = depth.checked_sub(1).and_then(|depth| self::base(&base, presets, depth)) {
        inherit(&mut base, further, &span);
    }
    Some((base, value.span()))
}

/// Completes a preset: its scheme word by word, everything else key by key.
fn inherit<'a>(preset: &mut DeTable<'a>, mut base: DeTable<'static>, span: &Range<usize>) {
    base.remove("like");
    let scheme = preset.get_mut("scheme").and_then(|scheme| table(scheme.get_mut()));
    if let Some(scheme) = scheme
        && let Some(DeValue::Table(inherited)) = base.remove("scheme").map(TomlSpanned::into_inner)
    {
        merge(scheme, inherited, span);
    }
    merge(preset, base, span);
}

fn merge<'a>(table: &mut DeTable<'a>, base: DeTable<'static>, span: &Range<usize>) {
    for (key, value) in base {
        if !table.contains_key(key.get_ref().as_ref()) {
            table.insert(TomlSpanned::new(span.clone(), key.into_inner()), placed(value, span));
        }
    }
    let taken = table.iter().filter(|(_, value)| matches!(value.get_ref(), DeValue::Boolean(false)));
    let taken: Vec<_> = taken.map(|(key, _)| key.get_ref().to_string()).collect();
    for key in taken {
        table.remove(key.as_str());
    }
}

/// The value as if all of it stood there.
fn placed<'a>(value: TomlSpanned<DeValue<'static>>, span: &Range<usize>) -> TomlSpanned<DeValue<'a>> {
    let value = match value.into_inner() {
        DeValue::Array(array) => DeValue::Array(array.into_iter().map(|item| placed(item, span)).collect()),
        DeValue::Table(table) => {
            let entries = table.into_iter();
            let entries = entries.map(|(key, value)| (TomlSpanned::new(span.clone(), key.into_inner()), placed(value, span)));
            DeValue::Table(entries.collect())
        }
        scalar @ (DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_)) => {
            scalar
        }
    };
    TomlSpanned::new(span.clone(), value)
}

fn table<'t, 'a>(value: &'t mut DeValue<'a>) -> Option<&'t mut DeTable<'a>> {
    match value {
        DeValue::Table(table) => Some(table),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_) => None,
    }
}
