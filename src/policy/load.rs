//! All policies: a directory of files → one [`Policy`], or every reason why not.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Policy;
use super::compile::{self, Context, Schemas};
use super::diagnostic::{Diagnostic, Diagnostics, Files};
use super::gateway_config::PoliciesConfig;
use super::networks::Lists;
use super::secrets::Resolver;
use super::source_config::{SourceConfig, read_source};
use super::table::Spanned;
use super::tls::TrustCache;
use crate::admit::Limits;

/// More sources than a directory is expected to hold.
pub const SOURCES_MAX: usize = 20_000;

/// The longest name of a source: it goes into a header field and into logs.
const NAME_BYTES_MAX: usize = 64;

/// [`is_source_name`] in words.
pub const NAME_RULE: &str = "at most 64 of a-z A-Z 0-9 - _ ., the first no dot";

/// What the loader read: the texts for showing diagnostics, and what was wrong.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Every file that was read.
    pub files: Files,
    /// The one of them that names the policies' directory.
    pub named_in: Option<Arc<Path>>,
    /// Everything that was found.
    pub diagnostics: Diagnostics,
    /// The files that policies name besides: secrets, keys and what else has to be read again when it changes. There where loading failed too.
    pub watched: BTreeSet<PathBuf>,
    /// Where secrets are to be kept that providers hand over, each with the policy that says so.
    pub learnt: Vec<(Arc<Path>, Spanned<PathBuf>)>,
}

/// Loads every `*.toml` of the directory. `None` if there was an error: nothing half-loaded is handed out.
pub fn load(config: &PoliciesConfig, resolver: &dyn Resolver, limits: &Limits, loaded: &mut Loaded) -> Option<Policy> {
    let Loaded { files, named_in, diagnostics, watched, learnt } = loaded;
    let directory = &config.directory.value;
    let paths = list(&config.directory, named_in.as_ref(), diagnostics);
    let mut sources = Vec::with_capacity(paths.len());
    let mut endpoints = Endpoints::default();
    let mut context = Context {
        resolver,
        limits,
        strict: config.strict,
        directory,
        schemas: Schemas::new(),
        lists: Lists::new(),
        trust: TrustCache::default(),
        watched,
        learnt,
        files,
        diagnostics,
    };
    for path in paths {
        let Some(name) = source_name(&path, context.diagnostics) else { continue };
        let Some(file) = context.files.read(path, context.diagnostics) else { continue };
        let Some(source) = read_source(&file, context.diagnostics) else { continue };
        endpoints.claim(&file.path, &source, context.diagnostics);
        sources.extend(compile::compile(&name, &file, source, &mut context));
    }
    if sources.is_empty() && !diagnostics.has_errors() {
        let path: Arc<Path> = Arc::from(directory.as_path());
        diagnostics.push(Diagnostic::warning(&path, None, "no source: every request will be answered 404".to_owned()));
    }
    (!diagnostics.has_errors()).then(|| Policy::new(sources))
}

/// The policy files of a directory, by name. What begins with a dot is an editor's or a system's.
fn list(directory: &Spanned<PathBuf>, named_in: Option<&Arc<Path>>, diagnostics: &mut Diagnostics) -> Vec<PathBuf> {
    let Spanned { value: directory, span } = directory;
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            let (file, span) = named_in
                .map_or_else(|| (Arc::from(directory.as_path()), None), |file| (Arc::clone(file), Some(span.clone())));
            let message = format!("cannot read the policies' directory {}: {}", directory.display(), error.kind());
            diagnostics.push(Diagnostic::error(&file, span, message));
            return Vec::new();
        }
    };
    let is_hidden = |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let is_policy = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "toml") && !is_hidden(path);
    let mut paths: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).filter(is_policy).collect();
    paths.sort();
    if paths.len() > SOURCES_MAX {
        let path: Arc<Path> = Arc::from(directory.as_path());
        let message = format!("{} policy files, more than {SOURCES_MAX}", paths.len());
        diagnostics.push(Diagnostic::error(&path, None, message));
        paths.truncate(SOURCES_MAX);
    }
    paths
}

fn source_name(path: &Path, diagnostics: &mut Diagnostics) -> Option<String> {
    let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if is_source_name(name) {
        return Some(name.to_owned());
    }
    let message = format!("the file's name is the source's name: {NAME_RULE}");
    diagnostics.push(Diagnostic::error(&Arc::from(path), None, message));
    None
}

/// Whether a source may be called so, and its file with `.toml` behind it.
#[must_use]
pub fn is_source_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed) && !name.starts_with('.')
}

/// Paths by the file that has them: no two sources share one.
#[derive(Default)]
struct Endpoints(HashMap<String, Arc<Path>>);

impl Endpoints {
    fn claim(&mut self, file: &Arc<Path>, source: &SourceConfig, diagnostics: &mut Diagnostics) {
        if let Some(first) = self.0.insert(source.path.value.clone(), Arc::clone(file)) {
            let message = format!("path {:?} is already taken by {}", source.path.value, first.display());
            diagnostics.push(Diagnostic::error(file, source.path.span.clone(), message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_a_name_that_fits_into_a_header_and_a_file() {
        for name in ["a", "a-b_c.d", "9", "-", &"a".repeat(NAME_BYTES_MAX)] {
            assert!(is_source_name(name), "{name}");
        }
        for name in ["", ".", "..", ".a", "../a", "a/b", "a b", "ä", "a\n", &"a".repeat(NAME_BYTES_MAX + 1)] {
            assert!(!is_source_name(name), "{name}");
        }
        assert!(NAME_RULE.contains(&NAME_BYTES_MAX.to_string()));
    }

    #[test]
    fn what_begins_with_a_dot_is_no_policy() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.toml", "a.toml", ".#a.toml", "._a.toml", ".toml", "a.toml~", "a.txt"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let mut found = Diagnostics::default();
        let directory = Spanned { value: folder.path().to_owned(), span: 0..0 };
        let listed = list(&directory, None, &mut found);
        assert_eq!(listed, ["a.toml", "b.toml"].map(|name| folder.path().join(name)));
        assert!(found.is_empty());
    }
}
