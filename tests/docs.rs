//! The documentation says what the code does, or this fails.
//!
//! `docs/reasons.md` and `docs/providers.md` are made from the code's own tables; `UPDATE=1 cargo test --test docs` writes them anew.
//! `docs/policy-reference.md` and `docs/operations.md` are written by hand and held against the code: every key, every bound and
//! default, every metric and every field of the rejected log; every example in them is loaded.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test may fail as the test itself may")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use hookward::admit::{Capacity, Limits};
use hookward::auth::Scheme;
use hookward::auth::describe;
use hookward::auth::facts::{Covered, coverage};
use hookward::auth::scheme::Presence;
use hookward::auth::scheme::{Must, Requirement};
use hookward::auth::template::Template;
use hookward::policy::Policy;
use hookward::policy::diagnostic::{Diagnostics, Files, SourceFile, Styles};
use hookward::policy::gateway_config::{self as gateway, edge, read_gateway};
use hookward::policy::load::{Loaded, load};
use hookward::policy::preset::{self, Parameter, Preset};
use hookward::policy::scheme::{AGE, LEEWAY, POSITION, TOLERANCE, parse_template};
use hookward::policy::secrets::NoSecrets;
use hookward::policy::source_config::{self as source, forward, read_source, sanitize};
use hookward::policy::table::Bound;
use hookward::reason::{Connection, Level, Reason, Row};
use hookward::record::{Colour, Format, MEMBERS, Options, Telemetry};

/// Where a bound stands in the reference (heading and what precedes its key), and the bound.
const BOUNDS: [(&str, &str, &Bound); 50] = [
    ("[edge]", "", &edge::CONNECTIONS_MAX),
    ("[edge]", "", &edge::CONNECTIONS_PER_CLIENT_MAX),
    ("[edge]", "", &edge::HANDSHAKES_MAX),
    ("[edge]", "", &edge::HANDSHAKE_SECONDS),
    ("[edge]", "", &edge::HEAD_SECONDS),
    ("[edge]", "", &edge::BODY_SECONDS),
    ("[edge]", "", &edge::BODY_GRACE_SECONDS),
    ("[edge]", "", &edge::BODY_BYTES_PER_SECOND_MIN),
    ("[edge]", "", &edge::WRITE_SECONDS),
    ("[edge]", "", &edge::LINGER_SECONDS),
    ("[edge]", "", &edge::IDLE_SECONDS),
    ("[edge]", "", &edge::CONNECTION_SECONDS),
    ("[edge]", "", &edge::REQUESTS_PER_CONNECTION_MAX),
    ("[edge]", "", &edge::HEAD_BYTES_MAX),
    ("[edge]", "", &edge::HEADERS_MAX),
    ("[edge]", "", &edge::URI_BYTES_MAX),
    ("[edge]", "", &edge::PIPELINED_REQUESTS_MAX),
    ("[edge]", "", &edge::STREAMS_MAX),
    ("[edge]", "", &edge::UNPRODUCTIVE_FRAMES_MAX),
    ("[edge]", "", &edge::UNPRODUCTIVE_BYTES_MAX),
    ("[edge]", "", &edge::BUFFERED_BYTES_MAX),
    ("[edge]", "", &edge::RESPONSE_BYTES_MAX),
    ("[edge]", "", &edge::DRAIN_SECONDS),
    ("[edge]", "", &edge::WORKERS),
    ("[rejects]", "", &gateway::REJECTS_FILE_BYTES_MAX),
    ("[rejects]", "", &gateway::REJECTS_FILES_MAX),
    ("top level", "", &source::BODY_BYTES_MAX),
    ("[auth.scheme]", "list.", &POSITION),
    ("[auth.scheme]", "timestamp.", &TOLERANCE),
    ("[auth.scheme]", "jwt.", &LEEWAY),
    ("[auth.scheme]", "jwt.", &AGE),
    ("[limit]", "client.", &source::CLIENT_PER_SECOND),
    ("[limit]", "client.", &source::CLIENT_BURST),
    ("[limit]", "source.", &source::SOURCE_PER_SECOND),
    ("[limit]", "source.", &source::SOURCE_BURST),
    ("[limit]", "failures.", &source::FAILURES_PER_MINUTE),
    ("[limit]", "failures.", &source::BLOCK_SECONDS),
    ("[limit]", "failures.", &source::BLOCK_SECONDS_MAX),
    ("[limit]", "", &source::IN_FLIGHT_MAX),
    ("[limit]", "", &source::JSON_DEPTH_MAX),
    ("[limit]", "", &source::JSON_NODES_MAX),
    ("[limit]", "", &source::JSON_MEMBERS_MAX),
    ("[replay]", "", &source::WINDOW_SECONDS),
    ("[[sanitize.rule]]", "truncate.", &sanitize::TRUNCATE_CHARACTERS),
    ("[[sanitize.rule]]", "mask.", &sanitize::MASK_KEEP_LAST),
    ("[forward]", "", &forward::DEADLINE_MS),
    ("[forward]", "health.", &forward::EVERY_SECONDS),
    ("[forward]", "health.", &forward::TIMEOUT_MS),
    ("[forward]", "health.", &forward::HEALTHY),
    ("[forward]", "health.", &forward::UNHEALTHY),
];

/// Bounds of keys that mean nothing where they are left out.
const WITHOUT_DEFAULT: [&str; 3] = [POSITION.key, AGE.key, sanitize::TRUNCATE_CHARACTERS.key];

/// The files in which keys are read.
const READERS: [&str; 9] = [
    "src/policy/gateway_config.rs",
    "src/policy/gateway_config/edge.rs",
    "src/policy/gateway_config/acme.rs",
    "src/policy/scheme.rs",
    "src/policy/source_config.rs",
    "src/policy/source_config/auth.rs",
    "src/policy/source_config/event.rs",
    "src/policy/source_config/forward.rs",
    "src/policy/source_config/sanitize.rs",
];

/// The calls that ask a table for a key, up to its name.
const ASKING: [&str; 18] = [
    "string(\"",
    "parsed(\"",
    "guarded(\"",
    "one_of(\"",
    "boolean(\"",
    "json(\"",
    "instant(\"",
    "path(\"",
    "list(\"",
    "table(\"",
    "tables(\"",
    "addresses(\"",
    "action(\"",
    "read_references(auth, \"",
    "read_prefix(table, \"",
    "read_prefix(form, \"",
    "number(\"",
    "Bound::new(\"",
];

#[test]
fn the_table_of_reasons_is_current() {
    check_generated("docs/reasons.md", &reasons());
}

#[test]
fn the_list_of_providers_is_current() {
    check_generated("docs/providers.md", &providers());
}

/// What is told of a template is what a policy would write for it.
#[test]
fn a_described_template_reads_back_as_the_same_template() {
    let mut templates = 0;
    for preset in preset::all() {
        for template in templates_of(preset) {
            // A line end is told as TOML writes it.
            let text = template.to_string().replace("\\n", "\n");
            assert_eq!(parse_template(&text).as_ref(), Ok(template), "{}: {text}", preset.name);
            templates += 1;
        }
    }
    assert!(templates > 300, "the presets were looked through: {templates} templates");
}

/// Every template of a preset that is not empty.
fn templates_of(preset: &Preset) -> impl Iterator<Item = &Template> {
    let schemes = preset.signing.schemes();
    let handshakes = &preset.handshakes;
    let required = schemes.iter().flat_map(|scheme| &scheme.require);
    let required = required.chain(handshakes.iter().flat_map(|handshake| &handshake.require)).flat_map(compared);
    let answers = handshakes.iter().map(|handshake| &handshake.answer);
    let headers = handshakes.iter().flat_map(|handshake| handshake.headers.iter().map(|(_, template)| template));
    let facts = preset.event.iter().chain(&preset.delivery_id);
    let signed = schemes.iter().map(|scheme| &scheme.signed);
    signed.chain(required).chain(answers).chain(headers).chain(facts).filter(|template| !template.is_empty())
}

fn compared(requirement: &Requirement) -> &[Template] {
    match &requirement.must {
        Must::EqualAny(templates) => templates,
        Must::Exist | Must::Match(_) => &[],
    }
}

#[test]
fn every_bound_stands_in_the_reference_as_the_code_has_it() {
    let rows = rows(&read("docs/policy-reference.md"));
    for (heading, prefix, bound) in BOUNDS {
        let key = format!("`{prefix}{}`", bound.key);
        let row = rows.iter().find(|row| row.heading.contains(heading) && row.cells[0] == key);
        let row = row.unwrap_or_else(|| panic!("no row {key} under {heading}"));
        let default = if WITHOUT_DEFAULT.contains(&bound.key) { "none".to_owned() } else { grouped(bound.default) };
        let expected = [format!("{} to {}", grouped(bound.min), grouped(bound.max)), default];
        assert_eq!(row.cells[1..3], expected, "{heading} {key}");
    }
    let edge = rows_of("docs/operations.md", "Limits");
    for (_, _, bound) in BOUNDS.iter().filter(|(heading, _, _)| *heading == "[edge]") {
        let key = format!("`{}`", bound.key);
        let row =
            edge.iter().find(|row| row.cells[0] == key).unwrap_or_else(|| panic!("no row {key} in operations.md"));
        assert_eq!(row.cells[1], grouped(bound.default), "{key}");
    }
}

#[test]
fn no_bound_of_the_code_is_left_out() {
    let count = |path: &str| read(path).matches(": Bound = Bound::new(").count();
    assert_eq!(READERS.iter().map(|path| count(path)).sum::<usize>(), BOUNDS.len());
}

#[test]
fn every_key_that_the_code_reads_is_in_the_reference() {
    let reference = read("docs/policy-reference.md");
    let words: BTreeSet<_> = reference.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let mut keys = 0;
    for path in READERS {
        let text = read(path);
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for key in ASKING.iter().flat_map(|call| text.split(call).skip(1)).filter_map(|rest| rest.split('"').next()) {
            assert!(words.contains(key), "{path} reads {key:?}");
            keys += 1;
        }
    }
    assert!(keys > 80, "the code was looked through: {keys} keys");
}

#[test]
fn every_key_of_the_reference_is_in_an_example_that_is_loaded() {
    let reference = read("docs/policy-reference.md");
    let examples: String = examples(&reference).into_iter().map(|example| example.text).collect();
    let words: BTreeSet<_> = examples.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    for row in rows(&reference) {
        let name = row.cells[0].trim_matches('`');
        for key in name.split('.').filter(|key| *key != "NAME") {
            assert!(words.contains(key), "{} {name} is in no example", row.heading);
        }
    }
}

#[test]
fn every_example_is_read_without_a_finding_and_loads() {
    let reference = read("docs/policy-reference.md");
    let examples = examples(&reference);
    assert!(examples.len() >= 4, "the examples were found");
    let directory = tempfile::tempdir().unwrap();
    let at = |path: &str| directory.path().join(path);
    fs::create_dir_all(at("policies/schemas")).unwrap();
    for name in ["item", "other", "any"] {
        fs::write(at(&format!("policies/schemas/{name}.json")), r#"{"type":"object"}"#).unwrap();
    }
    fs::create_dir(at("policies/networks")).unwrap();
    fs::write(at("policies/networks/stripe.txt"), "192.0.2.0/24\n").unwrap();
    let authority = rcgen::generate_simple_self_signed(vec!["app.internal".to_owned()]).unwrap();
    fs::write(at("policies/internal.pem"), authority.cert.pem()).unwrap();
    for Example { path, text } in &examples {
        fs::write(at(path), text).unwrap();
        let mut files = Files::default();
        let file = files.add(at(path), text.as_str());
        let mut found = Diagnostics::default();
        let read = match path.as_str() {
            "hookward.toml" => read_gateway(&file, &mut found).is_some(),
            _ => read_source(&file, &mut found).is_some(),
        };
        assert!(read && found.is_empty(), "{}", found.report(&files, &Styles::plain()));
    }
    let config = fs::read_to_string(at("hookward.toml")).unwrap();
    let config = read_gateway(&source_file(&at("hookward.toml"), &config), &mut Diagnostics::default()).unwrap();
    let mut loaded = Loaded::default();
    let policy = load(&config.policies.unwrap(), &NoSecrets, &Limits::new(Capacity::default()), &mut loaded);
    assert!(policy.is_some(), "{}", loaded.diagnostics.report(&loaded.files, &Styles::plain()));
}

#[test]
fn what_a_new_server_is_given_is_read_without_a_finding() {
    let operations = read("docs/operations.md");
    let text = operations.split("hookward.toml > /dev/null <<END\n").nth(1).unwrap().split("\nEND\n").next().unwrap();
    let mut files = Files::default();
    let file = files.add("/etc/hookward/hookward.toml", text.replace("$NAME", "hooks.example.com"));
    let mut found = Diagnostics::default();
    let config = read_gateway(&file, &mut found).unwrap();
    assert!(found.is_empty(), "{}", found.report(&files, &Styles::plain()));
    assert!(config.listen.is_some() && config.acme.is_some(), "it can be served");
    // What the commands change by `sed`.
    let init = Command::new(env!("CARGO_BIN_EXE_hookward")).args(["init", "github", "--print"]).output().unwrap();
    assert!(String::from_utf8_lossy(&init.stdout).contains("env = \"GITHUB_WEBHOOK_SECRET\""));
    assert!(read("deploy/hookward.service").contains("\n#LoadCredential=github:/etc/hookward/secrets/github\n"));
}

#[test]
fn what_the_example_for_kubernetes_mounts_loads() {
    let manifest = read("deploy/kubernetes.yaml");
    let mut files = keys_of_config_maps(&manifest);
    let directory = tempfile::tempdir().unwrap();
    let config = files.remove("hookward.toml").unwrap();
    assert!(!files.is_empty() && manifest.contains("mountPath: /etc/hookward-policies"), "policies are mounted");
    for (name, text) in &files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let mut found = Diagnostics::default();
    let config = read_gateway(&source_file(Path::new("/etc/hookward/hookward.toml"), &config), &mut found).unwrap();
    assert!(!found.has_errors());
    let mut policies = config.policies.unwrap();
    assert_eq!(policies.directory.value, Path::new("/etc/hookward-policies"));
    policies.directory.value = directory.path().to_owned();
    let mut loaded = Loaded::default();
    let policy = load(&policies, &NoSecrets, &Limits::new(Capacity::default()), &mut loaded);
    assert!(policy.is_some(), "{}", loaded.diagnostics.report(&loaded.files, &Styles::plain()));
}

/// The texts of a manifest's `NAME: |`, whose lines stand four further in.
fn keys_of_config_maps(manifest: &str) -> BTreeMap<&str, String> {
    let mut keys = BTreeMap::new();
    let mut lines = manifest.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("  ").and_then(|line| line.strip_suffix(": |")) else { continue };
        let mut text = String::new();
        while let Some(line) = lines.next_if(|line| line.is_empty() || line.starts_with("    ")) {
            text.push_str(line.trim_start_matches(' '));
            text.push('\n');
        }
        keys.insert(name, text);
    }
    keys
}

#[test]
fn every_metric_is_explained_and_none_that_is_not_there() {
    let options = Options {
        rejects: PathBuf::from("-"),
        file_bytes_max: 1,
        files_max: 1,
        format: Format::Json,
        colour: Colour::Off,
        level: Level::Error,
        clock: Arc::new(|| 0),
    };
    let telemetry = Telemetry::start_with(options, Box::new(std::io::sink())).unwrap();
    let text = telemetry.metrics_text(&Policy::default());
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let scraped: BTreeSet<_> = types.map(|(name, kind)| format!("`{name}{}`", suffix(kind))).collect();
    let told: BTreeSet<_> = rows_of("docs/operations.md", "Metrics").iter().map(|row| row.cells[0].clone()).collect();
    assert_eq!(told, scraped);
}

#[test]
fn every_field_of_the_rejected_log_is_explained_in_its_order() {
    let told: Vec<_> =
        rows_of("docs/operations.md", "The rejected log").iter().map(|row| row.cells[0].clone()).collect();
    assert_eq!(told, MEMBERS.map(|member| format!("`{member}`")));
}

#[test]
fn reasons_that_are_spoken_of_exist() {
    for path in ["docs/operations.md", "docs/policy-reference.md", "SECURITY.md"] {
        for word in read(path).split('`').skip(1).step_by(2).filter(|word| looks_like_a_reason(word)) {
            assert!(Reason::from_code(word).is_some(), "{path} speaks of the reason `{word}`");
        }
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let documents = ["ARCHITECTURE.md", "CHANGELOG.md", "README.md", "SECURITY.md", "certs/README.md"];
    let generated =
        ["operations.md", "policy-reference.md", "providers.md", "reasons.md"].map(|name| format!("docs/{name}"));
    for path in documents.map(str::to_owned).iter().chain(&generated).filter(|path| root(path).exists()) {
        let text = read(path);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { root(path) } else { root(path).with_file_name(file) };
            assert!(target.exists(), "{path} links to {link}");
            let found = anchor.is_empty() || headings(&fs::read_to_string(target).unwrap()).any(|slug| slug == anchor);
            assert!(found, "{path} links to {link}, which has no such heading");
        }
    }
}

/// The anchors of a document's headings, as they are made for Markdown on the web.
fn headings(markdown: &str) -> impl Iterator<Item = String> {
    let lines = markdown.lines().filter(|line| line.starts_with('#'));
    lines.map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | ' '));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

/// The beginnings of reason codes that are no beginnings of keys.
fn looks_like_a_reason(word: &str) -> bool {
    let families = ["credential_", "timestamp_", "upstream_", "event_", "rate_limited_", "replay_", "flood_"];
    let is_code = word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_code && !word.ends_with("_max") && families.iter().any(|family| word.starts_with(family))
}

/// How a scrape names the samples of a family.
fn suffix(kind: &str) -> &'static str {
    match kind {
        "counter" => "_total",
        "info" => "_info",
        _ => "",
    }
}

fn reasons() -> String {
    let mut text = String::from(REASONS_INTRO);
    text.push_str("| code | status | stage | blame | level | connection | class |\n|---|---|---|---|---|---|---|\n");
    for row in Reason::all().map(Reason::row) {
        let Row { code, class, .. } = row;
        let (stage, blame, level) = (row.stage.name(), row.blame.name(), row.level.name());
        let _ = writeln!(
            text,
            "| [`{code}`](#{code}) | {} | {stage} | {blame} | {level} | {} | `{class}` |",
            status(row),
            connection(row)
        );
    }
    text.push_str("\n## What each one means\n");
    for row in Reason::all().map(Reason::row) {
        let _ = write!(
            text,
            "\n### {}\n\n{} {} · stage {} · blame {}\n\nNext step: {}.\n",
            row.code,
            sentence(row.meaning),
            status_in_words(row),
            row.stage.name(),
            row.blame.name(),
            row.hint
        );
    }
    text
}

fn status(row: &Row) -> String {
    row.status.map_or_else(|| "–".to_owned(), |status| status.as_u16().to_string())
}

fn status_in_words(row: &Row) -> String {
    row.status.map_or_else(|| "No HTTP answer".to_owned(), |status| format!("Status {}", status.as_u16()))
}

const fn connection(row: &Row) -> &'static str {
    match row.connection {
        Connection::Keep => "kept",
        Connection::Close => "closed",
    }
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}

fn providers() -> String {
    let mut text = String::from(PROVIDERS_INTRO);
    text.push_str(
        "| name | what is signed | body | time | event | delivery id | evidence |\n|---|---|---|---|---|---|---|\n",
    );
    for preset in preset::all() {
        let name = preset.name;
        let _ = writeln!(
            text,
            "| [`{name}`](#{name}) | {} | {} | {} | {} | {} | {} |",
            preset.signed().replace('|', "\\|"),
            by_all(preset, Scheme::covers_body),
            by_all(preset, Scheme::limits_time),
            covered(preset, &preset.event),
            covered(preset, &preset.delivery_id),
            evidence_in_short(&preset.evidence),
        );
    }
    for preset in preset::all() {
        text.push_str(&provider(preset));
    }
    text
}

/// Whether each request's scheme covers something.
fn by_all(preset: &Preset, covers: fn(&Scheme) -> bool) -> &'static str {
    let schemes = preset.signing.schemes();
    in_words(schemes.iter().filter(|scheme| covers(scheme)).count(), schemes.len())
}

/// Whether a fact is signed, at all of its places or at none.
fn covered(preset: &Preset, places: &[Template]) -> &'static str {
    let schemes = preset.signing.schemes();
    if places.is_empty() {
        return "–";
    }
    if schemes.is_empty() {
        return "see there";
    }
    in_words(places.iter().filter(|place| coverage(place, schemes) == Covered::Signed).count(), places.len())
}

const fn in_words(covered: usize, all: usize) -> &'static str {
    match covered {
        // Code says it in its own words.
        _ if all == 0 => "see there",
        0 => "no",
        _ if covered == all => "**signed**",
        _ => "it depends",
    }
}

/// What the evidence comes down to; the whole sentence stands with the provider.
fn evidence_in_short(evidence: &str) -> &'static str {
    if evidence.starts_with("agrees with") {
        return "library";
    }
    if evidence.contains("recorded requests") {
        return "documentation, recorded requests";
    }
    if evidence.starts_with("documentation") { "documentation" } else { "–" }
}

fn provider(preset: &Preset) -> String {
    let mut text = format!("\n## {}\n\n{}: <{}>\n\n", preset.name, preset.title, preset.documentation);
    for describe::Line { label, text: said } in preset.lines() {
        let _ = writeln!(text, "- **{label}**: {said}");
    }
    let methods: Vec<_> = preset.methods.iter().map(|method| format!("`{method}`")).collect();
    let _ = writeln!(text, "- **takes**: {} with {}", methods.join(", "), code_list(&preset.content_types));
    if !preset.headers.is_empty() {
        let is_static = preset.signing.schemes().iter().any(Scheme::is_static);
        let never = if is_static { "; never the secret itself" } else { "" };
        let _ = writeln!(text, "- **headers for the app**: {}{never}", code_list(&preset.headers));
    }
    if !preset.answer_headers.is_empty() {
        let _ = writeln!(text, "- **headers of the answer**: {}", code_list(&preset.answer_headers));
    }
    for Parameter { name, what, presence } in &preset.parameters {
        let optional = if *presence == Presence::Optional { " (optional)" } else { "" };
        let _ = writeln!(text, "- **parameter** `{name}`{optional}: {what}");
    }
    if preset.relocatable {
        let _ =
            writeln!(text, "- **parameters**: `[auth.parameters]` `header` or `query` puts the credential elsewhere");
    }
    let _ = writeln!(text, "- **evidence**: {}", preset.evidence);
    text
}

fn code_list(items: &[impl std::fmt::Display]) -> String {
    items.iter().map(|item| format!("`{item}`")).collect::<Vec<_>>().join(", ")
}

/// Fails if the file is not this text; writes it under `UPDATE=1`.
fn check_generated(path: &str, text: &str) {
    if fs::read_to_string(root(path)).is_ok_and(|found| found == text) {
        // Not written for nothing: other tests may be reading it.
        return;
    }
    let is_update = std::env::var_os("UPDATE").is_some_and(|value| value == "1");
    assert!(is_update, "{path} is stale: UPDATE=1 cargo test --test docs");
    fs::write(root(path), text).unwrap();
}

/// One row of a table in Markdown.
struct TableRow {
    /// The heading above it.
    heading: String,
    /// Its cells, without white space around them.
    cells: Vec<String>,
}

/// All rows of tables whose first cell is code.
fn rows(markdown: &str) -> Vec<TableRow> {
    let mut heading = String::new();
    let mut rows = Vec::new();
    for line in markdown.lines() {
        if line.starts_with('#') {
            line.trim_start_matches('#').trim().clone_into(&mut heading);
        }
        if let Some(inner) = line.strip_prefix("| `").and_then(|rest| rest.strip_suffix('|')) {
            let cells = format!("`{inner}").split('|').map(|cell| cell.trim().to_owned()).collect();
            rows.push(TableRow { heading: heading.clone(), cells });
        }
    }
    rows
}

fn rows_of(path: &str, heading: &str) -> Vec<TableRow> {
    let rows: Vec<_> = rows(&read(path)).into_iter().filter(|row| row.heading == heading).collect();
    assert!(!rows.is_empty(), "{path} has a table under {heading:?}");
    rows
}

/// A file that the documentation shows.
struct Example {
    path: String,
    text: String,
}

/// The blocks of TOML that begin with the name of their file: `# hookward.toml`, `# policies/NAME.toml`.
fn examples(markdown: &str) -> Vec<Example> {
    let blocks = markdown.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let named = blocks.filter_map(|text| {
        let path = text.lines().next()?.strip_prefix("# ")?.split(':').next()?;
        Path::new(path)
            .extension()
            .is_some_and(|ending| ending == "toml")
            .then(|| Example { path: path.to_owned(), text: text.to_owned() })
    });
    named.collect()
}

fn source_file(path: &Path, text: &str) -> Arc<SourceFile> {
    Files::default().add(path, text)
}

/// The number as TOML may write it, with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join("_")
}

fn read(path: &str) -> String {
    fs::read_to_string(root(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

const REASONS_INTRO: &str = "\
# Reasons

<!-- Made from src/reason.rs by tests/docs.rs: UPDATE=1 cargo test --test docs -->

Every delivery that is not forwarded ended in exactly one of these reasons. The same code is the `reason` of the
[rejected log](operations.md#the-rejected-log), the `reason` label of `hookward_rejections_total`, and a row here. Codes are stable: alert on them.
`hookward rejects --summary` says which ones you have.

The sender sees none of this. It gets the status and an `application/problem+json` body (RFC 9457) with the class and the delivery's id;
all faults of authentication are answered alike, so an attacker cannot ask which part was wrong.

- **stage**: the step of a delivery's life at which it ended, in the order of the table
- **blame**: who has to act. `sender` faults are noise until there are many; `upstream` and `gateway` are worth waking somebody for
- **level**: how loudly the log says it
- **connection**: whether it can carry another request after the answer; without a status there is no HTTP answer at all

## At a glance

";

const PROVIDERS_INTRO: &str = "\
# Providers

<!-- Made from src/auth/providers/*.toml by tests/docs.rs: UPDATE=1 cargo test --test docs -->

What `provider = \"…\"` in a policy's `[auth]` knows. `hookward providers NAME` prints the same, `hookward init NAME` writes a policy to start from.
A provider that is missing here can be described in the policy itself, in the same words: see [`[auth.scheme]`](policy-reference.md#authscheme).

A signature proves what it covers and nothing else. Somebody who captured one good delivery (from a log, a proxy, a debugging
service) can change everything that is **not covered** and send it again: an app must not decide anything by it. Where the event's name is not covered, it
goes to the app as `x-hookward-event-unsigned` instead of `x-hookward-event`. Where the time is not covered, a captured delivery stays good until the secret changes.

**Evidence** says how sure it is that a preset is right: **library** agrees with the provider's own library on recorded requests; **recorded requests** agrees
with requests that were made by the documented algorithm; **documentation** follows the provider's page and was compared with nothing.

## At a glance

";
