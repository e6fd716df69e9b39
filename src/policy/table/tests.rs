use super::*;
use crate::policy::diagnostic::{Files, Styles};
use proptest::prelude::*;

const COUNT: Bound = Bound::new("count", 7, 1, 1_048_576);

/// Reads every type once and gives `line:column message` of every finding.
fn check(text: &str) -> Vec<String> {
    let read_all = |top: &mut Reader<'_>| {
        top.boolean("flag");
        top.bound(&COUNT);
        top.string("text");
        top.one_of("word", &[("hex", 1), ("base64", 2)]);
        top.instant("at");
        top.path("file");
        top.guarded("name", |_| Err::<(), _>(Fault::new("name is no name")));
        top.parsed("spot", |text| Err::<(), _>(Fault::new("spot is wrong").within(1..text.len())));
        top.list("words", 2, |text| if text == "no" { Err(Fault::new("refused")) } else { Ok(()) });
        top.table("inner", |inner| {
            inner.require("size");
            inner.string("size")
        });
        top.table("free", |free| {
            free.entries(2, |_| Ok(()));
        });
        top.tables("many", 2, |one| one.string("id"));
    };
    findings(text, |file, found| read(file, found, read_all)).1
}

#[test]
fn right_values_are_read_without_a_finding() {
    let text = "flag = true\ncount = 1_048_576\ntext = ''\nword = 'hex'\nat = 2026-12-24T00:00:00+01:00\nfile = 'x'\n\
                words = ['a', 'b']\ninner.size = 'x'\nfree = { a = '1', b = '2' }\n[[many]]\nid = '1'\n[[many]]\nid = '2'\n";
    assert_eq!(check(text), Vec::<String>::new());
    assert_eq!(check(""), Vec::<String>::new());
}

#[test]
fn each_wrong_value_is_told_at_its_place() {
    let rows: &[(&str, &[&str])] = &[
        ("flag = 1", &["1:8: flag must be a boolean, got an integer"]),
        ("count = 0", &["1:9: count is 0, must be 1..=1_048_576"]),
        ("count = 1", &[]),
        ("count = 1_048_577", &["1:9: count is 1048577, must be 1..=1_048_576"]),
        ("count = -1", &["1:9: count is -1, must be 1..=1_048_576"]),
        ("count = 0x10", &[]),
        ("count = 99999999999999999999", &["1:9: count is 99999999999999999999, must be 1..=1_048_576"]),
        ("count = 1.5", &["1:9: count must be an integer, got a float"]),
        ("text = ['a']", &["1:8: text must be a string, got an array"]),
        ("word = 'b64'", &["1:8: unknown word \"b64\""]),
        ("at = '2026-12-24'", &["1:6: at must be a date-time, got a string"]),
        ("at = 2026-12-24", &["1:6: at must be a date-time with an offset, got 2026-12-24"]),
        ("at = 2026-12-24T00:00:00", &["1:6: at must be a date-time with an offset, got 2026-12-24T00:00:00"]),
        ("file = ''", &["1:8: \"\" is not a path"]),
        ("spot = 'abc'", &["1:10: spot is wrong"]),
        ("spot = \"a\\u0062c\"", &["1:8: spot is wrong"]),
        ("words = 'a'", &["1:9: words must be an array of strings, got a string"]),
        ("words = ['no', 1]", &["1:10: refused", "1:16: words[1] must be a string, got an integer"]),
        ("words = ['a', 'b', 'c']", &["1:9: words has 3 items, at most 2 are read"]),
        ("inner = 1", &["1:9: inner must be a table, got an integer"]),
        ("[inner]", &["1:1: missing key \"size\" in inner"]),
        (
            "x = 1\n[inner]\nsiez = 'a'",
            &["1:1: unknown key \"x\"", "2:1: missing key \"size\" in inner", "3:1: unknown key \"siez\" in inner"],
        ),
        ("free = { a = '', b = '', c = '' }", &["1:8: free has 3 entries, at most 2"]),
        ("free = { a = 1 }", &["1:14: a must be a string, got an integer"]),
        (
            "many = [{ id = 1 }, 'x']",
            &["1:16: id must be a string, got an integer", "1:21: many[1] must be a table, got a string"],
        ),
        ("[[many]]\nip = '1'", &["2:1: unknown key \"ip\" in many[0]"]),
        ("text = 'a'\ntext = 'b'", &["2:1: duplicate key \"text\""]),
        ("[inner]\nsize = 'a'\n[inner]\nx = 1", &["3:2: duplicate key \"inner\"", "4:1: unknown key \"x\" in inner"]),
        ("inner.size = 'a'\ninner = { size = 'b' }", &["2:1: duplicate key \"inner\""]),
        ("words = ['a'\nflag = 1", &["2:1: missing comma between array elements, expected `,`"]),
    ];
    for (text, expected) in rows {
        assert_eq!(check(text), *expected, "{text}");
    }
}

#[test]
fn syntax_errors_are_all_told_and_silence_only_their_own_line() {
    let expected = [
        "1:8: string values must be quoted, expected literal string",
        "2:9: count is 0, must be 1..=1_048_576",
        "3:10: invalid literal string, expected `'`",
        "4:1: unknown key \"wrod\"",
    ];
    assert_eq!(check("flag = \ncount = 0\ntext = 'a\nwrod = 'hex'\n"), expected);
}

#[test]
fn what_may_be_a_secret_is_never_shown() {
    let rows = [
        "secret = 'hunter2'",
        "name = 'hunter2'",
        "name = ['hunter2']",
        "inner = 'hunter2'",
        "many = 'hunter2'",
        "many = ['hunter2']",
        "many = [{ id = '1', value = 'hunter2' }]",
        "many = [{ id = '1', value = '''\nhunter2''' }]",
        "many = [{ id = '1' value = 'hunter2' }]",
        "x = { y = { z = 'hunter2' } }",
    ];
    for text in rows {
        let mut files = Files::default();
        let file = files.add("a.toml", text);
        let mut found = Diagnostics::default();
        read(&file, &mut found, |top| {
            top.guarded("name", |_| Err::<(), _>(Fault::new("name is no name")));
            top.table("inner", |_| ());
            top.tables("many", 9, |one| one.string("id"))
        });
        let report = found.report(&files, &Styles::plain()).to_string();
        assert!(found.has_errors() && !report.contains("hunter2"), "{text}\n{report}");
    }
}

#[test]
fn a_text_over_the_limit_is_refused_by_name() {
    assert_eq!(check(&"#".repeat(FILE_BYTES_MAX)), Vec::<String>::new());
    assert_eq!(check(&"#".repeat(FILE_BYTES_MAX + 1)), ["is larger than 1048576 bytes"]);
}

#[test]
fn findings_of_a_large_broken_file_are_bounded() {
    for line in ["=\n", "[[[\n", "x", "a.", "'", "secret = 1\n", "[a]\n", "{"] {
        let found = check(&line.repeat(20_000));
        assert!((1..=DIAGNOSTICS_MAX).contains(&found.len()), "{line:?} {}", found.len());
    }
}

#[test]
fn default_and_written_values_are_told_apart() {
    let file = Files::default().add("etc/a.toml", "count = 9\nfile = 'x/y'\nat = 1970-01-01T00:01:00Z\n");
    let mut found = Diagnostics::default();
    let values = read(&file, &mut found, |top| {
        let other = top.bound(&Bound::new("other", 5, 1, 9));
        (top.bound(&COUNT), other, top.path("file"), top.instant("at"))
    });
    let expected = (
        Setting { value: 9, span: Some(8..9) },
        Setting { value: 5, span: None },
        Some(Spanned { value: PathBuf::from("etc/x/y"), span: 17..22 }),
        Some(Spanned { value: 60, span: 28..48 }),
    );
    assert_eq!(values, Some(expected));
    assert!(found.is_empty());
}

proptest! {
    #[test]
    fn no_text_can_make_the_reader_panic(text in "(?s)\\PC{0,80}") {
        check(&text);
    }

    #[test]
    fn no_heap_of_toml_pieces_can_make_the_reader_panic(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..30)
    ) {
        check(&pieces.concat());
    }
}

const PIECES: &[&str] = &[
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    " = ",
    ".",
    ",",
    "\n",
    "\r\n",
    "\"",
    "'",
    "'''",
    "\"\"\"",
    "\\",
    "\\u00e9",
    "#",
    "é",
    "\u{0}",
    "a",
    "a.b",
    "flag",
    "count",
    "text",
    "many",
    "inner",
    "free",
    "words",
    "at",
    "spot",
    "true",
    "1",
    "-1",
    "1_0",
    "0x",
    "1e9",
    "inf",
    "2026-12-24",
    "2026-12-24T00:00:00Z",
    "00:00",
    "[a]\n",
    "[[a]]\n",
    "[a.b]\n",
    "[[a.b]]\n",
    "[inner]\n",
    "[[many]]\n",
    "a = 1\n",
    "a.b = 1\n",
    "id = 'x'\n",
    "many = []\n",
    "many = [{}]\n",
];

#[test]
fn files_differ_in_what_they_say_and_not_in_how() {
    let before = "a = 1\n[b]\nc = [\"x\", 2]\n[[d]]\ne = true\n";
    let rows: [(&str, &[&str]); 7] = [
        (before, &[]),
        ("# moved\n[b]\nc = ['x',\n0x2]\n[[d]]\ne = true", &["a"]),
        ("b = { c = ['x', 2] }\na = 1\nd = [{ e = true }]", &[]),
        ("a = 1\nb.c = ['x', 3]\nd = [{ e = true }]", &["b"]),
        ("a = 1\nb.c = ['x', 2]\nb.f = 0\nd = [{ e = false }]", &["b", "d"]),
        ("a = '1'\nb.c = ['x', 2]\nd = [{ e = true }]\n[g]", &["a", "g"]),
        ("", &["a", "b", "d"]),
    ];
    for (after, expected) in rows {
        assert_eq!(differing(before, after), expected, "{after}");
        assert_eq!(differing(after, before), expected, "{after}");
    }
}
