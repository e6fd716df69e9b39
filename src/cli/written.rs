//! What the gateway writes to while it runs, by its configuration and its policies. `serve` leaves these places writable when it gives up all others, so
//! `check` and `serve` warn where something stands in them that no fault of the gateway should get at.

use std::collections::HashSet;
use std::fs;
use std::ops::Range;
use std::path::{self, Path, PathBuf};
use std::sync::Arc;

use super::setup::certificate_files;
use crate::policy::diagnostic::Diagnostic;
use crate::policy::gateway_config::{GatewayConfig, RejectsTarget};
use crate::policy::load::Loaded;
use crate::record::Destination;
use crate::whole_file::folder_of;

/// A folder with all that is beneath it, or a file.
pub(super) struct Written {
    /// What says so.
    pub(super) key: &'static str,
    /// Where that stands.
    at: (Arc<Path>, Option<Range<usize>>),
    pub(super) path: PathBuf,
    pub(super) right: Right,
    /// Who may look into a folder that has to be made.
    pub(super) mode: u32,
}

/// What may be done in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    /// Writing to what is there.
    Write,
    /// Making, writing and removing files.
    Files,
    /// The same with folders, which can be made, too.
    Folders,
    /// Removing files.
    Remove,
}

impl Written {
    fn new(key: &'static str, at: (Arc<Path>, Option<Range<usize>>), path: &Path, right: Right, mode: u32) -> Self {
        Self { key, at, path: path.to_owned(), right, mode }
    }

    /// A finding where a folder stands at what is to be a file.
    pub(super) fn unwritable(&self) -> Option<Diagnostic> {
        if self.right != Right::Write || !self.path.is_dir() {
            return None;
        }
        let (file, span) = self.at.clone();
        let message = format!("{} is a folder, and {} names a file", self.path.display(), self.key);
        Some(Diagnostic::error(&file, span, message).hint("such as \"logs/rejected.jsonl\"".to_owned()))
    }

    #[cfg(test)]
    pub(super) fn for_test(path: &Path, right: Right) -> Self {
        Self::new("[rejects] file", (Arc::from(Path::new("hookward.toml")), None), path, right, 0o777)
    }
}

/// Everything that the gateway writes to, by this configuration and the policies that were loaded with it.
pub(super) fn written(config: &GatewayConfig, config_file: &Path, loaded: &Loaded) -> Vec<Written> {
    let file: Arc<Path> = Arc::from(config_file);
    let target = &config.rejects.target;
    let log = log_place(&target.value).map(|(path, right)| {
        Written::new("[rejects] file", (Arc::clone(&file), target.span.clone()), &path, right, 0o777)
    });
    let acme = config.acme.iter().map(|acme| {
        let at = (Arc::clone(&file), Some(acme.state.span.clone()));
        Written::new("[acme] state", at, &acme.state.value, Right::Folders, 0o700)
    });
    let learnt = loaded.learnt.iter().map(|(policy, secret)| {
        let at = (Arc::clone(policy), Some(secret.span.clone()));
        Written::new("[handshake] learn_secret", at, folder_of(&secret.value), Right::Files, 0o700)
    });
    log.into_iter().chain(acme).chain(learnt).collect()
}

/// The folder in which the log rotates, or what it is written to. A stream that is open already needs no right, nor does a pipe without a name.
fn log_place(target: &RejectsTarget) -> Option<(PathBuf, Right)> {
    let RejectsTarget::File(file) = target else { return None };
    match Destination::of(file) {
        Destination::Rotating(file) => Some((folder_of(&file).to_owned(), Right::Files)),
        Destination::Fixed(file) => Some((fs::canonicalize(file).ok()?, Right::Write)),
    }
}

/// A warning for each folder that is everything, or has in it what the gateway's judgement rests on: its configuration, policies, certificates and secrets, but
/// for those secrets that it keeps itself.
pub(super) fn warnings(
    written: &[Written],
    config: &GatewayConfig,
    config_file: &Path,
    loaded: &Loaded,
) -> Vec<Diagnostic> {
    let own: HashSet<&Path> = loaded.learnt.iter().map(|(_, secret)| secret.value.as_path()).collect();
    let certificates = certificate_files(config).into_iter().flat_map(|files| [files.certificate, files.key]);
    let policies = config.policies.iter().map(|policies| policies.directory.value.clone());
    let named = loaded.watched.iter().filter(|file| !own.contains(file.as_path())).cloned();
    let precious = std::iter::once(config_file.to_owned()).chain(policies).chain(certificates).chain(named);
    let precious: Vec<_> = precious.flat_map(|file| places(&file)).collect();
    let folders = written.iter().filter(|place| matches!(place.right, Right::Files | Right::Folders));
    folders.filter_map(|place| warning(place, &precious)).collect()
}

fn warning(place: &Written, precious: &[PathBuf]) -> Option<Diagnostic> {
    let folder = resolved(&place.path);
    let stays = format!("{} stays writable while the gateway serves", folder.display());
    let message = if folder.parent().is_none() {
        format!("{stays}, and that is everything")
    } else {
        let inside = precious.iter().find(|file| file.starts_with(&folder))?;
        format!("{stays}, and {} is in it", inside.display())
    };
    let (file, span) = place.at.clone();
    Some(Diagnostic::warning(&file, span, message).hint("give it a folder of its own".to_owned()))
}

/// Where a file is found, and where it is: both can be replaced.
fn places(file: &Path) -> [PathBuf; 2] {
    let found = resolved(folder_of(file)).join(file.file_name().unwrap_or_default());
    [found, resolved(file)]
}

/// The same place without links, as far as it is there.
fn resolved(path: &Path) -> PathBuf {
    let whole = path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = whole.ancestors().find_map(|part| Some((part, fs::canonicalize(part).ok()?)));
    let Some((part, there)) = there else { return whole };
    let missing = whole.strip_prefix(part).unwrap_or(Path::new(""));
    there.components().chain(missing.components()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    use crate::cli::setup::Setup;
    use crate::policy::diagnostic::Styles;
    use crate::policy::secrets::NoSecrets;

    /// What is said of it, with `FOLDER` in place of the folder's name.
    fn warnings_of(folder: &Path, config: &str, learn_secret: &str) -> Vec<String> {
        fs::create_dir_all(folder.join("policies")).unwrap();
        let handshake = format!("[handshake]\nlearn_secret = \"{learn_secret}\"\n");
        let policy = format!(
            "path = \"/asana\"\n[auth]\nprovider = \"asana\"\nsecrets = [{{ id = \"1\", file = \"secrets/static\" }}]\n{}[forward]\nto = \"http://127.0.0.1:1\"\n",
            if learn_secret.is_empty() { "" } else { &handshake }
        );
        fs::write(folder.join("policies/asana.toml"), policy).unwrap();
        let config_file = folder.join("hookward.toml");
        let tls = "[[tls]]\ncertificate = \"tls/a.pem\"\nkey = \"tls/a.key\"\n";
        fs::write(&config_file, format!("{config}{tls}[policies]\ndirectory = \"policies\"\n")).unwrap();
        let (mut setup, _) = Setup::load(&config_file, &NoSecrets);
        setup.written();
        let loaded = &setup.loaded;
        let report = loaded.diagnostics.report(&loaded.files, &Styles::plain()).to_string();
        assert!(!loaded.diagnostics.has_errors(), "{report}");
        let here = fs::canonicalize(folder).unwrap().display().to_string();
        let lines = report.lines().filter(|line| line.contains("stays writable"));
        lines.map(|line| line.replace(&here, "FOLDER")).collect()
    }

    #[test]
    fn a_writable_folder_with_something_precious_in_it_is_a_warning_at_its_key() {
        const LISTEN: &str = "[listen]\nhttps = [\"127.0.0.1:0\"]\n";
        let log = |file: &str| format!("{LISTEN}[rejects]\nfile = \"{file}\"\n");
        let acme = |state: &str| {
            format!("{}[acme]\naccept_terms = true\ndomains = [\"a.example\"]\nstate = \"{state}\"\n", log("-"))
        };
        // (what is written to besides, where a learnt secret goes, what is said: the place, what is in it)
        for (config, learn_secret, expected) in [
            (log("logs/rejected.jsonl"), "../state/asana.secret", None),
            (log("-"), "../state/asana.secret", None),
            (log("-"), "", None),
            (log("rejected.jsonl"), "", Some(("hookward.toml:4:8", "FOLDER stays", "FOLDER/hookward.toml"))),
            (log("/rejected.jsonl"), "", Some(("hookward.toml:4:8", "/ stays", "that is everything"))),
            (log("tls/rejected.jsonl"), "", Some(("hookward.toml:4:8", "FOLDER/tls stays", "FOLDER/tls/a.pem"))),
            (log("policies/../tls/a"), "", Some(("hookward.toml:4:8", "FOLDER/tls stays", "FOLDER/tls/a.pem"))),
            (log("link"), "", Some(("hookward.toml:4:8", "FOLDER/tls stays", "FOLDER/tls/a.pem"))),
            (log("linked/there"), "", Some(("hookward.toml:4:8", "FOLDER/linked stays", "FOLDER/linked/static"))),
            (log("-"), "asana.secret", Some(("asana.toml:6:16", "FOLDER/policies stays", "FOLDER/policies is"))),
            (log("-"), "secrets/a", Some(("asana.toml:6:16", "FOLDER/policies/secrets", "secrets/static is"))),
            (acme("state"), "../state/asana.secret", None),
            (acme("."), "", Some(("hookward.toml:8:9", "FOLDER stays", "FOLDER/hookward.toml"))),
            ("[rejects]\nfile = \"a\"\n".to_owned(), "b", None),
            (format!("{LISTEN}sandbox = false\n[rejects]\nfile = \"a\"\n"), "b", None),
        ] {
            let folder = tempfile::tempdir().unwrap();
            for made in ["tls", "linked", "policies/secrets"] {
                fs::create_dir_all(folder.path().join(made)).unwrap();
            }
            fs::write(folder.path().join("linked/static"), "").unwrap();
            symlink("tls/log", folder.path().join("link")).unwrap();
            symlink("../../linked/static", folder.path().join("policies/secrets/static")).unwrap();
            let said = warnings_of(folder.path(), &config, learn_secret);
            match (expected, said.as_slice()) {
                (None, []) => {}
                (Some((at, place, inside)), [said]) => {
                    let is_there = said.contains(&format!("{at}: warning: {place}")) && said.contains(inside);
                    assert!(is_there, "{config}{learn_secret}: {said}");
                }
                (_, said) => panic!("{config}{learn_secret}: {said:?}"),
            }
        }
    }

    #[test]
    fn a_log_takes_the_folder_of_what_it_leads_to_or_the_file_alone_where_the_system_hands_it_out() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("elsewhere")).unwrap();
        symlink("elsewhere/log", at("link")).unwrap();
        symlink("/dev/null", at("device")).unwrap();
        let redirected = fs::File::create(at("elsewhere/redirected")).unwrap();
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&redirected);
        let here = |name: &str| fs::canonicalize(at(name)).unwrap();
        assert_eq!(log_place(&RejectsTarget::StandardOutput), None);
        for (log, expected) in [
            (PathBuf::from("log"), Some((PathBuf::from("."), Right::Files))),
            (PathBuf::from("/log"), Some((PathBuf::from("/"), Right::Files))),
            (at("log"), Some((at(""), Right::Files))),
            (at("link"), Some((at("elsewhere"), Right::Files))),
            (at("device"), Some((PathBuf::from("/dev/null"), Right::Write))),
            (PathBuf::from(format!("/dev/fd/{descriptor}")), Some((here("elsewhere/redirected"), Right::Write))),
            (PathBuf::from("/dev/there-is-none"), None),
        ] {
            assert_eq!(log_place(&RejectsTarget::File(log.clone())), expected, "{log:?}");
        }
    }
}
