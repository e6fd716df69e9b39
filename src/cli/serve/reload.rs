//! Policies and certificates loaded anew, and swapped in.
//!
//! **Invariant:** a reload that finds an error changes nothing. Sockets are never touched.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use super::sandbox::Sandbox;
use crate::cli::setup::Setup;
use crate::cli::written::Written;
use crate::edge::tls::Certificates;
use crate::policy::Policy;
use crate::policy::diagnostic::{Excerpt, Severity, Styles};
use crate::policy::load::Loaded;
use crate::policy::secrets::SystemSecrets;
use crate::policy::table::differing;
use crate::policy::watch::Watched;
use crate::reason::Level;
use crate::record::{Format, Telemetry};
use crate::server::Server;

/// What came of a reload.
pub(super) struct Reloaded {
    /// What is to be watched from now on, right or wrong; `None` where the configuration cannot even be read.
    pub(super) watched: Option<Watched>,
    /// What an operator has to know.
    pub(super) note: &'static str,
}

/// Loads policies and certificates anew, for a gateway that runs.
pub(super) struct Reloader<'r> {
    pub(super) server: &'r Server,
    pub(super) config_file: &'r Path,
    pub(super) sandbox: &'r Sandbox,
    /// The configuration as it was written when the gateway started.
    pub(super) text: &'r str,
}

/// The tables of the configuration that a reload puts in force; all others stay as they were at the start.
const RELOADED: [&str; 2] = ["policies", "tls"];

impl Reloader<'_> {
    /// Puts both in force, or changes nothing, and says what was found.
    pub(super) fn reload(&self) -> Reloaded {
        let mut setup = Setup::load_again(self.config_file, &SystemSecrets, &self.server.shared().limits);
        let certificates = setup.certificates();
        let written = setup.written();
        let watched = setup.watched();
        let stale = differing(self.text, setup.text());
        let telemetry = self.server.telemetry();
        let note = match setup.policy {
            Some(policy) if !setup.loaded.diagnostics.has_errors() => {
                tell_findings(telemetry, &setup.loaded);
                self.tell_restart(&stale, &written);
                put_in_force(self.server, policy, certificates);
                ""
            }
            Some(_) | None => {
                telemetry.policies_failed();
                let findings = setup.loaded.diagnostics.summary();
                telemetry.event(Level::Error, "reload failed, nothing was changed", &[("findings", &findings)]);
                tell_findings(telemetry, &setup.loaded);
                "; the last reload failed"
            }
        };
        Reloaded { watched, note }
    }

    /// Names what the configuration says that the gateway does not do before it is started again: tables that are not as they were, and new places to write
    /// to. Those of such a table are not written to before, either.
    fn tell_restart(&self, differing: &[String], written: &[Written]) {
        let tables = differing.iter().filter(|table| !RELOADED.contains(&table.as_str()));
        let tables: Vec<_> = tables.map(|table| format!("[{table}]")).collect();
        if !tables.is_empty() {
            let message = "a restart is needed before this is in force";
            self.server.telemetry().event(Level::Warn, message, &[("tables", &tables.join(", "))]);
        }
        let is_old = |place: &&Written| !tables.iter().any(|table| place.key.starts_with(table.as_str()));
        self.sandbox.tell_outside(self.server.telemetry(), written.iter().filter(is_old));
    }
}

fn put_in_force(server: &Server, policy: Policy, certificates: Option<Certificates>) {
    if let (Some(store), Some(certificates)) = (server.certificates(), certificates) {
        store.swap(&certificates);
    }
    let sources = policy.sources().len();
    let before = server.shared().policy.swap(Arc::new(policy)).sources().len();
    tell_in_force(server);
    let telemetry = server.telemetry();
    if sources == 0 && before > 0 {
        let hint = "no source is left: every request is answered 404";
        telemetry.event(Level::Warn, "reloaded", &[("sources", &sources), ("hint", &hint)]);
    } else {
        telemetry.event(Level::Info, "reloaded", &[("sources", &sources)]);
    }
}

/// A line for each finding. Only people want to see what it points at.
fn tell_findings(telemetry: &Telemetry, loaded: &Loaded) {
    let styles = Styles::plain();
    let report = loaded.diagnostics.report(&loaded.files, &styles);
    for (found, excerpt) in report.findings() {
        let level = match found.severity {
            Severity::Error => Level::Error,
            Severity::Warning => Level::Warn,
        };
        let file = found.file.display();
        let mut fields: Vec<(&str, &dyn Display)> = vec![("file", &file)];
        if let Some(Excerpt { line, column, .. }) = &excerpt {
            fields.extend([("line", line as &dyn Display), ("column", column)]);
        }
        fields.extend(found.hint.iter().map(|hint| ("hint", hint as &dyn Display)));
        telemetry.event(level, &found.message, &fields);
        if let (Format::Text, Some(excerpt)) = (telemetry.format(), &excerpt) {
            for (margin, text) in excerpt.lines() {
                telemetry.event(level, &format!("{margin}{text}"), &[]);
            }
        }
    }
    if report.left_out() > 0 {
        telemetry.event(Level::Warn, "there are more findings", &[("findings", &report.left_out())]);
    }
}

/// What is to be known of policies and certificates from the moment on in which they are in force: until when those are good, and a line for each source
/// whose stages are not all enforced.
pub(super) fn tell_in_force(server: &Server) {
    let (telemetry, shared) = (server.telemetry(), server.shared());
    telemetry.policies_loaded(shared.clock.unix_micros());
    if let Some(store) = server.certificates() {
        telemetry.certificates(store.expiries());
    }
    for source in shared.policy.load().sources() {
        let stages = source.modes.weakened();
        if !stages.is_empty() {
            let because = source.modes.because.as_deref().unwrap_or("-");
            let stages = stages.join(" ");
            let fields: [(&str, &dyn Display); 3] =
                [("source", &source.name), ("stages", &stages), ("because", &because)];
            telemetry.event(Level::Warn, "stages are only monitored", &fields);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::{self, Write};
    use std::path::PathBuf;
    use std::sync::Mutex;

    use crate::policy::diagnostic::Diagnostic;
    use crate::record::{Colour, Options};

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Where the clock stands still.
    pub(in crate::cli::serve) fn telemetry(format: Format, out: Box<dyn Write + Send>) -> Telemetry {
        let options = Options {
            rejects: PathBuf::from("-"),
            file_bytes_max: 65_536,
            files_max: 1,
            format,
            colour: Colour::Off,
            level: Level::Info,
            clock: Arc::new(|| 0),
        };
        Telemetry::start_with(options, out).unwrap()
    }

    #[test]
    fn each_finding_is_one_line_and_people_see_what_it_points_at() {
        let mut loaded = Loaded::default();
        let file = loaded.files.add("a.toml", "path = 1\nto = 'http://user:hunter2@a/'\n");
        let hint = "take it out".to_owned();
        loaded.diagnostics.push(Diagnostic::error(&file.path, 14..38, "a user").hint(hint));
        loaded.diagnostics.push(Diagnostic::warning(&file.path, None, "no schema"));
        let rows = [
            (
                Format::Text,
                "00:00:00.000 WARN  no schema file=a.toml\n\
                 00:00:00.000 ERROR a user file=a.toml line=2 column=6 hint=\"take it out\"\n\
                 00:00:00.000 ERROR     2 | to = 'http://************@a/'\n\
                 00:00:00.000 ERROR       |      ^^^^^^^^^^^^^^^^^^^^^^^^\n",
            ),
            (
                Format::Json,
                "{\"ts\":\"1970-01-01T00:00:00.000000Z\",\"level\":\"warn\",\"message\":\"no schema\",\"file\":\"a.toml\"}\n\
                 {\"ts\":\"1970-01-01T00:00:00.000000Z\",\"level\":\"error\",\"message\":\"a user\",\"file\":\"a.toml\",\
                 \"line\":\"2\",\"column\":\"6\",\"hint\":\"take it out\"}\n",
            ),
        ];
        for (format, expected) in rows {
            let captured = Captured::default();
            let telemetry = telemetry(format, Box::new(captured.clone()));
            tell_findings(&telemetry, &loaded);
            drop(telemetry);
            assert_eq!(String::from_utf8(captured.0.lock().unwrap().clone()).unwrap(), expected);
        }
    }
}
