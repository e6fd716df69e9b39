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
fn inherit(preset: &mut DeTable<'_>, mut base: DeTable<'static>, span: &Range<usize>) {
    base.remove("like");
    // How somebody signs is copied, where it sends from is not.
    base.remove("networks");
    let scheme = preset.get_mut("scheme").and_then(|scheme| table(scheme.get_mut()));
    if let Some(scheme) = scheme
        && let Some(DeValue::Table(inherited)) = base.remove("scheme").map(TomlSpanned::into_inner)
    {
        merge(scheme, inherited, span);
    }
    merge(preset, base, span);
}

fn merge(table: &mut DeTable<'_>, base: DeTable<'static>, span: &Range<usize>) {
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
            let entries =
                entries.map(|(key, value)| (TomlSpanned::new(span.clone(), key.into_inner()), placed(value, span)));
            DeValue::Table(entries.collect())
        }
        scalar @ (DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)) => scalar,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::table::{Reader, findings, read_like};

    /// Presets that are like one another, the last of them too deep.
    fn presets(name: &str) -> Option<&'static str> {
        Some(match name {
            "base" => {
                "title = 'base'\nheaders = ['a', 'b']\nmethods = ['POST']\n[scheme]\nalgorithm = 'hmac'\nprefix = 'p'\nlist = { item = 'v1', pair = '=' }"
            }
            "one" => "title = 'one'\nlike = 'base'\n[scheme]\nprefix = 'q'",
            "two" => "title = 'two'\nlike = 'one'",
            "three" => "title = 'three'\nlike = 'two'",
            "four" => "title = 'four'\nlike = 'three'",
            "five" => "title = 'five'\nlike = 'four'",
            "itself" => "title = 'itself'\nlike = 'itself'",
            _ => return None,
        })
    }

    /// Everything that a preset says, `key=value` in order.
    fn told(top: &mut Reader<'_>) -> String {
        top.inherited();
        let mut told = Vec::new();
        told.extend(top.string("title").map(|title| format!("title={}", title.value)));
        for key in ["headers", "methods"] {
            let list = top.list(key, 9, |text| Ok(text.to_owned()));
            told.extend(list.map(|list| {
                let words: Vec<_> = list.value.into_iter().map(|word| word.value).collect();
                format!("{key}={}", words.join("+"))
            }));
        }
        let scheme = top.table("scheme", |scheme| {
            scheme.inherited();
            let mut told = Vec::new();
            for key in ["algorithm", "prefix"] {
                told.extend(scheme.string(key).map(|word| format!("{key}={}", word.value)));
            }
            let item = scheme.table("list", |list| {
                list.string("pair");
                list.string("item").map(|item| format!("item={}", item.value)).unwrap_or_default()
            });
            told.extend(item);
            told
        });
        told.extend(scheme.unwrap_or_default());
        told.join(" ")
    }

    fn check(text: &str, like: Like) -> (String, Vec<String>) {
        let (told, found) = findings(text, |file, found| read_like(file, found, like, told));
        (told.unwrap_or_default(), found)
    }

    #[test]
    fn a_preset_inherits_its_scheme_word_by_word_and_all_else_key_by_key() {
        let rows = [
            ("like = 'base'", "title=base headers=a+b methods=POST algorithm=hmac prefix=p item=v1"),
            ("title = 't'\nlike = 'base'", "title=t headers=a+b methods=POST algorithm=hmac prefix=p item=v1"),
            ("like = 'base'\nheaders = ['c']", "title=base headers=c methods=POST algorithm=hmac prefix=p item=v1"),
            ("like = 'base'\nheaders = []", "title=base headers= methods=POST algorithm=hmac prefix=p item=v1"),
            (
                "like = 'base'\n[scheme]\nprefix = 'q'",
                "title=base headers=a+b methods=POST algorithm=hmac prefix=q item=v1",
            ),
            (
                "like = 'base'\n[scheme]\nlist = { item = 'v2' }",
                "title=base headers=a+b methods=POST algorithm=hmac prefix=p item=v2",
            ),
            ("like = 'base'\n[scheme]\nlist = false", "title=base headers=a+b methods=POST algorithm=hmac prefix=p"),
            ("like = 'base'\nmethods = false", "title=base headers=a+b algorithm=hmac prefix=p item=v1"),
            ("like = 'two'", "title=two headers=a+b methods=POST algorithm=hmac prefix=q item=v1"),
            ("title = 't'", "title=t"),
        ];
        for (text, expected) in rows {
            assert_eq!(check(text, Like::Preset(presets)), (expected.to_owned(), Vec::new()), "{text}");
        }
    }

    #[test]
    fn a_chain_ends() {
        assert_eq!(check("like = 'five'", Like::Preset(presets)).0.matches("algorithm").count(), 0, "five in a row");
        assert_eq!(check("like = 'four'", Like::Preset(presets)).0.matches("algorithm").count(), 1, "four in a row");
        assert_eq!(check("like = 'itself'", Like::Preset(presets)).0, "title=itself");
        assert_eq!(check("title = 't'\nlike = 'nobody'", Like::Preset(presets)).0, "title=t");
    }

    #[test]
    fn a_policys_scheme_may_be_like_a_presets() {
        let scheme = |top: &mut Reader<'_>| top.table("auth", told);
        let words = |text: &str, like: Like| {
            let (told, found) = findings(text, |file, found| read_like(file, found, like, scheme));
            (told.flatten().unwrap_or_default(), found)
        };
        let text = "[auth.scheme]\nlike = 'base'\nprefix = 'q'";
        let expected = "algorithm=hmac prefix=q item=v1".to_owned();
        assert_eq!(words(text, Like::Policy(presets)), (expected, Vec::new()));
        assert_eq!(words(text, Like::Nowhere), ("prefix=q".to_owned(), Vec::new()));
    }

    #[test]
    fn what_is_wrong_with_an_inherited_word_is_told_where_it_says_like() {
        let read = |top: &mut Reader<'_>| {
            top.inherited();
            top.one_of("title", &[("right", 1)]);
            top.list("headers", 1, |text| Ok(text.to_owned()));
            top.string("methods");
            top.table("scheme", |scheme| scheme.string("algorithm"));
        };
        let (_, found) = findings("\nlike = 'base'", |file, found| read_like(file, found, Like::Preset(presets), read));
        assert!(found.len() >= 4, "{found:?}");
        assert!(found.iter().all(|found| found.starts_with("2:8: ")), "{found:?}");
    }
}
