use super::*;
use clap::Parser;
use std::fs;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    arguments: Arguments,
}

/// 2026-11-23T14:03:05.123456Z
const NOW: i64 = 1_795_442_585_123_456;

const PLAIN: View = View { terminal: Terminal { width: None, colour: Colour::Off }, now: NOW };

fn line(clock: &str, source: &str, reason: &str, more: &str) -> String {
    format!(
        "{{\"ts\":\"2026-11-23T{clock}.000000Z\",\"delivery\":\"d\",\"source\":{source},\"reason\":\"{reason}\",\
         \"status\":401,\"blame\":\"sender\",\"peer\":\"203.0.113.9\",\"detail\":{{\"offset\":7}},\
         \"hint\":\"look\"{more}}}\n"
    )
}

/// An older file and the current one, with a line that is no record.
fn log() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rejected.jsonl");
    let older = line("13:00:00", "\"github\"", "credential_mismatch", "")
        + &line("13:30:00", "\"stripe\"", "timestamp_stale", "")
        + "torn";
    let newer = line("14:00:01", "\"github\"", "credential_mismatch", ",\"suppressed\":31")
        + &line("14:00:00", "null", "unknown_source", ",\"event\":\"\\u001b[2J\u{202e}\"");
    fs::write(directory.path().join("rejected.jsonl.1"), older).unwrap();
    fs::write(&path, newer).unwrap();
    (directory, path)
}

fn shown(arguments: &str, view: &View) -> String {
    let (_directory, path) = log();
    let words = std::iter::once("rejects").chain(arguments.split_whitespace());
    let arguments = Command::try_parse_from(words).unwrap().arguments;
    let mut out = Vec::new();
    show(&arguments, &path, view, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn records_of_all_files_are_listed_newest_last() {
    let expected = "\
time            source  reason                   status  peer         event              detail    hint
11-23 13:00:00  github  credential_mismatch      401     203.0.113.9  -                  offset=7  look
11-23 13:30:00  stripe  timestamp_stale          401     203.0.113.9  -                  offset=7  look
11-23 14:00:00  -       unknown_source           401     203.0.113.9  \\u{1b}[2J\\u{202e}  offset=7  look
11-23 14:00:01  github  credential_mismatch +31  401     203.0.113.9  -                  offset=7  look
(1 skipped: not records of a rejected log)
";
    assert_eq!(shown("", &PLAIN), expected);
}

#[test]
fn filters_and_the_limit_choose_records() {
    let rows = [
        ("", vec!["13:00:00", "13:30:00", "14:00:00", "14:00:01"]),
        ("--source github", vec!["13:00:00", "14:00:01"]),
        ("--source gitlab", vec![]),
        ("--reason timestamp_stale", vec!["13:30:00"]),
        ("--source github --reason timestamp_stale", vec![]),
        ("--since 33m", vec!["14:00:00", "14:00:01"]),
        ("--since 34m", vec!["13:30:00", "14:00:00", "14:00:01"]),
        ("--since 99999999d", vec!["13:00:00", "13:30:00", "14:00:00", "14:00:01"]),
        ("--limit 0", vec![]),
        ("--limit 1", vec!["14:00:00"]),
        ("--limit 4", vec!["13:00:00", "13:30:00", "14:00:00", "14:00:01"]),
    ];
    for (arguments, times) in rows {
        let list = shown(arguments, &PLAIN);
        let found: Vec<_> = list.lines().filter_map(|line| line.strip_prefix("11-23 ")?.get(..8)).collect();
        assert_eq!(found, times, "{arguments}");
    }
}

#[test]
fn arguments_that_mean_nothing_are_refused() {
    let rows = [
        ("--since 90s", true),
        ("--since 90", false),
        ("--since s", false),
        ("--since -1s", false),
        ("--since 1µ", false),
        ("--since 99999999999s", false),
        ("--reason credential_mismatch", true),
        ("--reason no_such_reason", false),
        ("--summary --follow", false),
    ];
    for (arguments, taken) in rows {
        let words = std::iter::once("rejects").chain(arguments.split_whitespace());
        assert_eq!(Command::try_parse_from(words).is_ok(), taken, "{arguments}");
    }
}

#[test]
fn a_summary_counts_what_was_suppressed_too() {
    let expected = "\
count  source  reason               blame   first           last            hint
33     github  credential_mismatch  sender  11-23 13:00:00  11-23 14:00:01  look
1      -       unknown_source       sender  11-23 14:00:00  11-23 14:00:00  look
1      stripe  timestamp_stale      sender  11-23 13:30:00  11-23 13:30:00  look
(1 skipped: not records of a rejected log)
";
    assert_eq!(shown("--summary", &PLAIN), expected);
    let json = shown("--summary --json --source github", &PLAIN);
    let sum: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&sum["count"], &sum["reason"]), (&33.into(), &"credential_mismatch".into()));
}

#[test]
fn json_lines_are_the_records_themselves_made_safe() {
    let json = shown("--json --reason unknown_source", &PLAIN);
    assert_eq!(json, line("14:00:00", "null", "unknown_source", ",\"event\":\"\\u001b[2J\\u202e\""));
}

#[test]
fn lines_fit_the_terminal_and_control_characters_never_reach_it() {
    for width in 0..200 {
        let view = View { terminal: Terminal { width: Some(width), colour: Colour::Off }, now: NOW };
        for arguments in ["", "--summary", "--json"] {
            let text = shown(arguments, &view);
            assert!(!text.chars().any(|c| c != '\n' && text::is_deceptive(c)), "{width} {arguments}");
            let table = text.lines().filter(|line| !line.starts_with('(') && arguments != "--json");
            for line in table {
                assert!(line.trim_end().chars().count() <= width, "{width} {arguments}: {line}");
            }
        }
    }
}

#[test]
fn a_narrow_terminal_gets_detail_and_hint_below() {
    let view = View { terminal: Terminal { width: Some(80), colour: Colour::Off }, now: NOW };
    let list = shown("--source stripe", &view);
    let lines: Vec<_> = list.lines().map(str::trim_end).collect();
    assert_eq!(lines[2..4], ["11-23 13:30:00  stripe  timestamp_stale  401     203.0.113.9  -", "    offset=7  look"]);
}

#[test]
fn colours_are_there_only_when_asked_for() {
    let view = View { terminal: Terminal { width: None, colour: Colour::On }, now: NOW };
    assert!(shown("", &view).contains("\x1b[33mcredential_mismatch"));
    assert!(!shown("", &PLAIN).contains('\x1b'));
}

#[test]
fn following_shows_each_new_record_once() {
    let (_directory, path) = log();
    let arguments = Command::try_parse_from(["rejects", "--follow", "--source", "github"]).unwrap().arguments;
    let (filter, mut reader) = (Filter::new(&arguments, NOW), Reader::new(&path));
    let mut look = || {
        let mut out = Vec::new();
        follow(&mut reader, &filter, &arguments, &PLAIN, &mut out).unwrap();
        String::from_utf8(out).unwrap().lines().map(|line| line[6..14].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(look(), ["13:00:00", "14:00:01"]);
    assert_eq!(look(), [""; 0]);
    fs::rename(&path, path.with_extension("jsonl.1")).unwrap();
    fs::write(&path, line("14:05:00", "\"stripe\"", "panic", "") + &line("14:06:00", "\"github\"", "panic", ""))
        .unwrap();
    assert_eq!(look(), ["14:06:00"]);
}

#[test]
fn no_log_is_an_error_and_a_closed_reader_another() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (directory, path) = log();
    let arguments = Command::try_parse_from(["rejects"]).unwrap().arguments;
    let closed = show(&arguments, &path, &PLAIN, &mut Closed).unwrap_err();
    assert!(matches!(closed, Trouble::Output(error) if error.kind() == io::ErrorKind::BrokenPipe), "which ends it");
    let error = show(&arguments, &directory.path().join("none.jsonl"), &PLAIN, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().starts_with("no rejected log at "), "{error}");
}

#[test]
fn the_log_is_where_the_configuration_has_it_or_where_serve_writes_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("hookward.toml");
    let found = |rejects: &str| {
        fs::write(&config, format!("[policies]\ndirectory = 'policies'\n{rejects}")).unwrap();
        configured(&config)
    };
    assert_eq!(found("").unwrap(), Path::new("logs/rejected.jsonl"));
    assert_eq!(found("[rejects]\nfile = 'r.jsonl'").unwrap(), folder.path().join("r.jsonl"));
    assert!(found("[rejects]\nfile = '-'").unwrap_err().to_string().contains("--file -"));
    // What was meant is not known then.
    assert!(matches!(found("[rejects]\nfil = 'r.jsonl'"), Err(Trouble::Said)));
    assert!(matches!(configured(Path::new("no/hookward.toml")), Err(Trouble::Said)));
}
