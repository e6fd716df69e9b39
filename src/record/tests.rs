//! The records through all outputs at once.

use std::time::Duration;

use bytes::Bytes;

use super::output::numbered;
use super::*;
use crate::policy::Policy;
use crate::reason::Reason;
use crate::sanitize::{EditCounts, Rule};

/// A delivery that was accepted; rows change what matters to them.
pub(crate) fn forwarded() -> Delivery<'static> {
    Delivery {
        ts: 1_795_442_585_123_456,
        id: DeliveryId::with_random(1_795_442_585_123_456, [1; 8]),
        source: Some("github"),
        peer: [203, 0, 113, 9].into(),
        method: Some("POST"),
        path: Some("/hooks/github"),
        event: Some("push"),
        body: None,
        policy: Some("policies/github.toml@3f9a1c2e"),
        elapsed: Duration::from_micros(3_249),
        secret_id: Some("2026-11"),
        scheme: Some("github"),
        edits: EditCounts::default(),
        status: Some(200),
        upstream: Some(Upstream { status: Some(200), attempts: 1, elapsed: Duration::from_micros(2_100) }),
        monitored: &[],
        outcome: Outcome::Forwarded,
    }
}

/// So many edits of two rules.
fn edits(count: usize) -> EditCounts {
    let mut edits = EditCounts::default();
    (1..count).for_each(|_| edits.add(Rule::Drop));
    edits.add(Rule::Html);
    edits
}

/// The same delivery, refused before its event was known.
pub(crate) fn refused(rejection: &Rejection) -> Delivery<'_> {
    Delivery {
        event: None,
        secret_id: None,
        scheme: None,
        upstream: None,
        status: rejection.reason().row().status.map(|status| status.as_u16()),
        outcome: Outcome::Rejected(rejection),
        ..forwarded()
    }
}

/// Where standard output goes in tests.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A running telemetry over a temporary directory, under a clock that stands still.
struct Bench {
    telemetry: Telemetry,
    stdout: Captured,
    directory: tempfile::TempDir,
}

fn options(directory: &Path) -> Options {
    Options {
        rejects: directory.join("logs/rejected.jsonl"),
        file_bytes_max: 1_000_000,
        files_max: 3,
        format: Format::Text,
        colour: Colour::Off,
        level: Level::Info,
        clock: Arc::new(|| forwarded().ts),
    }
}

impl Bench {
    fn start(format: Format) -> Self {
        Self::with(|options| options.format = format)
    }

    fn with(change: impl FnOnce(&mut Options)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut options = options(directory.path());
        change(&mut options);
        let stdout = Captured::default();
        let telemetry = Telemetry::start_with(options, Box::new(stdout.clone())).unwrap();
        Self { telemetry, stdout, directory }
    }

    /// Ends it: what stands in the access log and in the rejected log.
    fn finish(&self) -> (String, String) {
        self.telemetry.shutdown();
        let access = String::from_utf8(self.stdout.0.lock().unwrap().clone()).unwrap();
        let rejects = std::fs::read_to_string(self.directory.path().join("logs/rejected.jsonl"));
        (access, rejects.unwrap_or_default())
    }
}

#[test]
fn a_delivery_is_one_line_for_people() {
    let mismatch = Rejection::new(Reason::CredentialMismatch).hint("compare the secrets");
    let fault = Rejection::new(Reason::TlsFailed);
    let body = Bytes::from(vec![b'x'; 7_149]);
    let spoofed = "push\n14:03:05.124 INFO  accepted";
    let rows = [
        (
            "accepted",
            Delivery { body: Some(&body), ..forwarded() },
            "INFO  accepted github push 7.1 kB -> 200 in 3.2 ms (delivery ID, secret 2026-11)",
        ),
        (
            "accepted after edits and another attempt",
            Delivery {
                edits: edits(3),
                upstream: Some(Upstream { attempts: 2, ..forwarded().upstream.unwrap() }),
                ..forwarded()
            },
            "INFO  accepted github push -> 200 in 3.2 ms (delivery ID, secret 2026-11, edits 3, attempts 2)",
        ),
        (
            "answered",
            Delivery { outcome: Outcome::Answered, upstream: None, event: None, secret_id: None, ..forwarded() },
            "INFO  answered github -> 200 in 3.2 ms (delivery ID)",
        ),
        (
            "refused",
            refused(&mismatch),
            "WARN  refused github credential_mismatch 401 from 203.0.113.9: compare the secrets (delivery ID)",
        ),
        (
            "a connection's fault",
            Delivery { source: None, method: None, path: None, ..refused(&fault) },
            "INFO  refused - tls_failed from 203.0.113.9: look at detail.error: an old client, a scanner, or a \
             certificate the client does not trust (delivery ID)",
        ),
        (
            "an event that would like to be a line",
            Delivery { event: Some(spoofed), ..forwarded() },
            r#"INFO  accepted github "push\n14:03:05.124 INFO  accepted" -> 200 in 3.2 ms (delivery ID, secret 2026-11)"#,
        ),
    ];
    for (name, delivery, line) in rows {
        let bench = Bench::start(Format::Text);
        bench.telemetry.recorder().delivery(&delivery);
        let expected = format!("14:03:05.123 {}\n", line.replace("ID", &delivery.id.to_string()));
        assert_eq!(bench.finish().0, expected, "{name}");
    }
}

#[test]
fn a_delivery_is_one_json_object_for_collectors() {
    let bench = Bench::start(Format::Json);
    let recorder = bench.telemetry.recorder();
    recorder.delivery(&forwarded());
    let mismatch = Rejection::new(Reason::CredentialMismatch).hint("compare the secrets");
    recorder.delivery(&refused(&mismatch));
    let expected = concat!(
        r#"{"ts":"2026-11-23T14:03:05.123456Z","level":"info","message":"accepted","delivery":"ID","source":"github","#,
        r#""event":"push","peer":"203.0.113.9","method":"POST","path":"/hooks/github","body_bytes":null,"status":200,"#,
        r#""elapsed_us":3249,"monitored":[],"upstream_status":200,"attempts":1,"scheme":"github","secret_id":"2026-11","edits":0}"#,
        "\n",
        r#"{"ts":"2026-11-23T14:03:05.123456Z","level":"warn","message":"refused","delivery":"ID","source":"github","#,
        r#""event":null,"peer":"203.0.113.9","method":"POST","path":"/hooks/github","body_bytes":null,"status":401,"#,
        r#""elapsed_us":3249,"monitored":[],"reason":"credential_mismatch","stage":"authenticate","blame":"sender","#,
        r#""hint":"compare the secrets","suppressed":0}"#,
        "\n",
    );
    assert_eq!(bench.finish().0, expected.replace("ID", &forwarded().id.to_string()));
}

#[test]
fn events_of_the_gateway_stand_in_the_same_log() {
    let rows = [
        (Format::Text, "14:03:05.123 ERROR reload failed file=policies/a.toml error=\"line 1:\\n no\"\n"),
        (
            Format::Json,
            "{\"ts\":\"2026-11-23T14:03:05.123456Z\",\"level\":\"error\",\"message\":\"reload failed\",\
             \"file\":\"policies/a.toml\",\"error\":\"line 1:\\n no\"}\n",
        ),
    ];
    for (format, line) in rows {
        let bench = Bench::start(format);
        bench.telemetry.event(
            Level::Error,
            "reload failed",
            &[("file", &"policies/a.toml"), ("error", &"line 1:\n no")],
        );
        assert_eq!(bench.finish().0, line);
    }
}

#[test]
fn colours_and_levels_are_as_asked() {
    let rejection = Rejection::new(Reason::CredentialMismatch);
    let rows = [(Level::Info, 2), (Level::Warn, 1), (Level::Error, 0)];
    for (level, lines) in rows {
        let bench = Bench::with(|options| (options.level, options.colour) = (level, Colour::On));
        let recorder = bench.telemetry.recorder();
        recorder.delivery(&forwarded());
        recorder.delivery(&refused(&rejection));
        let (access, rejects) = bench.finish();
        assert_eq!(access.lines().count(), lines, "{}", level.name());
        assert_eq!(access.contains("\x1b[33mWARN \x1b[0m"), level <= Level::Warn, "{}", level.name());
        assert_eq!(rejects.lines().count(), 1, "the rejected log has no level");
    }
}

#[test]
fn a_flood_is_counted_and_every_refusal_is_accounted_for() {
    let rejection = Rejection::new(Reason::CredentialMismatch);
    for (refusals, records) in [(19, 19), (20, 20), (21, 21), (1_000, 21)] {
        let bench = Bench::start(Format::Text);
        let recorder = bench.telemetry.recorder();
        for _ in 0..refusals {
            recorder.delivery(&refused(&rejection));
        }
        let metrics = bench.telemetry.metrics_text(&Policy::default());
        let (access, rejects) = bench.finish();
        let read: Vec<_> = rejects.lines().map(|line| Record::parse(line).unwrap()).collect();
        assert_eq!(read.len(), records, "{refusals} refusals");
        assert_eq!(read.iter().map(Record::refusals).sum::<u64>(), refusals, "{refusals} refusals");
        assert_eq!(access.lines().count(), records, "{refusals} refusals: the human log is not flooded either");
        let suppressed = refusals.saturating_sub(20);
        assert!(metrics.contains(&format!("\nhookward_suppressed_records_total {suppressed}\n")), "{metrics}");
        assert!(metrics.contains(&format!(
            "hookward_rejections_total{{source=\"github\",stage=\"authenticate\",reason=\"credential_mismatch\",\
             blame=\"sender\"}} {refusals}\n"
        )));
    }
}

#[test]
fn slow_deliveries_do_not_set_the_clock_of_the_budgets_back() {
    let rejection = Rejection::new(Reason::BodyTimeout);
    let bench = Bench::start(Format::Text);
    let recorder = bench.telemetry.recorder();
    let fast = refused(&rejection);
    let slow = Duration::from_secs(30);
    for _ in 0..40 {
        recorder.delivery(&fast);
        recorder.delivery(&Delivery { ts: fast.ts - 30_000_000, elapsed: fast.elapsed + slow, ..fast });
    }
    let summary = 1;
    assert_eq!(bench.finish().1.lines().count(), 20 + summary);
}

#[test]
fn the_end_of_a_flood_is_told_in_both_logs() {
    let rejection = Rejection::new(Reason::CredentialMismatch);
    let bench = Bench::start(Format::Text);
    let recorder = bench.telemetry.recorder();
    for _ in 0..51 {
        recorder.delivery(&refused(&rejection));
    }
    let (access, rejects) = bench.finish();
    let last = Record::parse(rejects.lines().last().unwrap()).unwrap();
    assert_eq!((last.suppressed, last.peer.as_deref(), last.delivery), (31, Some("203.0.113.0/24"), None));
    assert_eq!(
        access.lines().last(),
        Some("14:03:05.123 WARN  refused github credential_mismatch: 31 more from 203.0.113.0/24 since 14:03:05.126")
    );
}

#[test]
fn one_struct_feeds_all_outputs() {
    let rejection = Rejection::new(Reason::SchemaMismatch);
    let body = Bytes::from_static(b"0123456789");
    let bench = Bench::start(Format::Json);
    let (first, second) = (bench.telemetry.recorder(), bench.telemetry.recorder());
    first.delivery(&Delivery { body: Some(&body), ..forwarded() });
    second.delivery(&Delivery { body: Some(&body), ..forwarded() });
    second.delivery(&Delivery { outcome: Outcome::Answered, upstream: None, ..forwarded() });
    second.delivery(&Delivery { body: Some(&body), ..refused(&rejection) });
    first.delivery(&Delivery { source: None, ..refused(&rejection) });
    let (open, waiting) = (first.connection(), second.in_flight());
    bench.telemetry.policies_loaded(1_795_442_585_500_000);
    bench.telemetry.policies_failed();
    let metrics = bench.telemetry.metrics_text(&Policy::default());
    drop((open, waiting));
    let expected = [
        "# TYPE hookward_deliveries counter",
        "hookward_deliveries_total{source=\"\",outcome=\"accepted\"} 0",
        "hookward_deliveries_total{source=\"\",outcome=\"rejected\"} 1",
        "hookward_deliveries_total{source=\"github\",outcome=\"accepted\"} 2",
        "hookward_deliveries_total{source=\"github\",outcome=\"answered\"} 1",
        "hookward_deliveries_total{source=\"github\",outcome=\"rejected\"} 1",
        "hookward_rejections_total{source=\"github\",stage=\"validate\",reason=\"schema_mismatch\",blame=\"sender\"} 1",
        "hookward_delivery_seconds_sum{source=\"github\"} 0.009747",
        "hookward_delivery_seconds_count{source=\"github\"} 3",
        "hookward_delivery_seconds_bucket{le=\"0.0025\",source=\"github\"} 0",
        "hookward_delivery_seconds_bucket{le=\"0.005\",source=\"github\"} 3",
        "hookward_delivery_seconds_bucket{le=\"+Inf\",source=\"github\"} 3",
        "hookward_upstream_seconds_count{source=\"github\"} 2",
        "hookward_body_bytes_sum{source=\"github\"} 30.0",
        "hookward_suppressed_records_total 0",
        "hookward_log_dropped_total{log=\"access\"} 0",
        "hookward_log_dropped_total{log=\"rejects\"} 0",
        "hookward_log_errors_total{log=\"rejects\"} 0",
        "hookward_connections 1",
        "hookward_in_flight 1",
        "hookward_policy_loaded_timestamp_seconds 1795442585.5",
        "hookward_policy_reload_failures_total 1",
        "hookward_policy_stale 1",
        "# EOF",
    ];
    for line in expected {
        assert!(metrics.lines().any(|written| written == line), "{line}\n{metrics}");
    }
    assert!(metrics.contains(&format!("hookward_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"))));
    bench.telemetry.policies_loaded(1_795_442_585_500_000);
    let metrics = bench.telemetry.metrics_text(&Policy::default());
    assert!(metrics.contains("\nhookward_policy_stale 0\n") && metrics.contains("\nhookward_connections 0\n"));
    let (access, rejects) = bench.finish();
    assert_eq!((access.lines().count(), rejects.lines().count()), (5, 2));
}

#[test]
fn nothing_that_must_stay_secret_is_in_any_output() {
    let body = Bytes::from_static(b"{\"SENTINEL-body\":\"SENTINEL-value\"}");
    let path = "/hooks/github?token=SENTINEL-query#SENTINEL-fragment";
    for format in [Format::Text, Format::Json] {
        let bench = Bench::start(format);
        let recorder = bench.telemetry.recorder();
        for reason in Reason::all() {
            let rejection = Rejection::new(reason);
            recorder.delivery(&Delivery { body: Some(&body), path: Some(path), ..refused(&rejection) });
        }
        for outcome in [Outcome::Forwarded, Outcome::Answered] {
            recorder.delivery(&Delivery { body: Some(&body), path: Some(path), outcome, ..forwarded() });
        }
        let metrics = bench.telemetry.metrics_text(&Policy::default());
        let (access, rejects) = bench.finish();
        assert_eq!((access.lines().count(), rejects.lines().count()), (Reason::COUNT + 2, Reason::COUNT));
        for (name, written) in [("access", access), ("rejects", rejects), ("metrics", metrics)] {
            assert!(!written.contains("SENTINEL"), "{name}: {written}");
        }
    }
}

#[test]
fn what_a_sender_chose_never_becomes_a_label() {
    let rejection = Rejection::new(Reason::UnknownSource);
    let bench = Bench::start(Format::Json);
    let recorder = bench.telemetry.recorder();
    let chosen = Delivery { source: None, method: Some("CHOSEN"), path: Some("/CHOSEN"), ..refused(&rejection) };
    recorder.delivery(&Delivery { event: Some("CHOSEN"), ..chosen });
    recorder.delivery(&Delivery { event: Some("CHOSEN"), ..forwarded() });
    assert!(!bench.telemetry.metrics_text(&Policy::default()).contains("CHOSEN"));
}

#[test]
fn a_dash_puts_rejects_between_the_lines_of_standard_output() {
    let rejection = Rejection::new(Reason::CredentialMismatch);
    let bench = Bench::with(|options| options.rejects = PathBuf::from("-"));
    let recorder = bench.telemetry.recorder();
    recorder.delivery(&forwarded());
    recorder.delivery(&refused(&rejection));
    let (access, rejects) = bench.finish();
    assert_eq!((access.lines().count(), rejects.as_str()), (3, ""));
    assert_eq!(access.lines().filter(|line| Record::parse(line).is_some()).count(), 1);
}

#[test]
fn the_rejected_log_rotates_and_never_cuts_a_record() {
    let rejection = Rejection::new(Reason::CredentialMismatch);
    let bench = Bench::with(|options| options.file_bytes_max = 1_500);
    let recorder = bench.telemetry.recorder();
    for third in 0..20 {
        recorder.delivery(&Delivery { peer: [10, 0, third, 1].into(), ..refused(&rejection) });
    }
    bench.finish();
    let path = bench.directory.path().join("logs/rejected.jsonl");
    for age in 0..3 {
        let text = std::fs::read_to_string(numbered(&path, age)).unwrap();
        assert!(text.len() <= 1_500 && !text.is_empty(), "age {age}: {} bytes", text.len());
        assert!(text.lines().all(|line| Record::parse(line).is_some()), "age {age}");
    }
    assert!(!numbered(&path, 3).exists());
}

/// Standard output whose reader has stopped reading.
struct Stalled(Receiver<()>);

impl Write for Stalled {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Until the test lets go of the other end.
        let _ = self.0.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_stopped_reading_holds_up_neither_workers_nor_the_rejected_log() {
    let (let_go, stalled) = mpsc::channel();
    let directory = tempfile::tempdir().unwrap();
    let options = options(directory.path());
    let rejects = options.rejects.clone();
    let telemetry = Telemetry::start_with(options, Box::new(Stalled(stalled))).unwrap();
    let recorder = telemetry.recorder();
    let rejection = Rejection::new(Reason::CredentialMismatch);
    recorder.delivery(&refused(&rejection));
    // One buffer may be on its way, one fills up; the rest is dropped.
    for _ in 0..30_000 {
        recorder.delivery(&forwarded());
    }
    let metrics = telemetry.metrics_text(&Policy::default());
    assert!(metrics.contains("hookward_deliveries_total{source=\"github\",outcome=\"accepted\"} 30000\n"));
    let dropped = metrics.lines().find(|line| line.starts_with("hookward_log_dropped_total{log=\"access\"}")).unwrap();
    assert!(!dropped.ends_with(" 0"), "{dropped}");
    drop(let_go);
    telemetry.shutdown();
    assert_eq!(std::fs::read_to_string(&rejects).unwrap().lines().count(), 1);
}

#[test]
fn a_refusal_that_the_rejected_log_cannot_take_is_counted_for_later() {
    let core = Arc::new(Core::new(
        Style { format: Format::Text, colour: Colour::Off, level: Level::Info },
        Arc::new(|| forwarded().ts),
        Stream::Rejects,
    ));
    let recorder = Recorder { shard: core.add_shard(), core };
    recorder.core.append(&recorder.shard, &mut recorder.shard.lock().lines, Stream::Rejects, |out| {
        out.resize(2 * 1024 * 1024, b'x');
    });
    let rejection = Rejection::new(Reason::CredentialMismatch);
    for _ in 0..30 {
        recorder.delivery(&refused(&rejection));
    }
    let mut summaries = Vec::new();
    recorder.shard.lock().suppression.drain(forwarded().ts, &mut summaries);
    assert_eq!(summaries.iter().map(|summary| summary.suppressed).sum::<u64>(), 30);
}
