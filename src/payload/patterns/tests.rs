use super::*;
use crate::payload::{Document, JsonLimits, Node};
use bytes::Bytes;
use proptest::prelude::*;

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).expect("the case is a pattern")
}

/// The oracle: a pattern asked of one path, step by step, without states.
fn fits(steps: &[Step], path: &[String]) -> bool {
    match (steps.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((Step::Deep, rest)), None) => fits(rest, path),
        (Some((Step::Deep, rest)), Some((_, below))) => fits(rest, path) || fits(steps, below),
        (Some((Step::Any, rest)), Some((_, below))) => fits(rest, below),
        (Some((Step::Named(segment), rest)), Some((name, below))) => segment.name() == name && fits(rest, below),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Every place of the text with the patterns that end there.
fn places(
    patterns: &Patterns,
    node: Node<'_>,
    way: Way,
    path: &mut Vec<String>,
    found: &mut Vec<(Vec<String>, Vec<usize>)>,
) {
    found.push((path.clone(), patterns.ending(way).collect()));
    for member in node.members() {
        path.push(member.key.name().into_owned());
        places(patterns, member.value, patterns.member(way, member.key).way, path, found);
        path.pop();
    }
    for (position, element) in node.elements().enumerate() {
        path.push(position.to_string());
        places(patterns, element, patterns.element(way, position), path, found);
        path.pop();
    }
}

fn check(texts: &[&str], json: &str) {
    let patterns: Vec<Pattern> = texts.iter().map(|text| pattern(text)).collect();
    let compiled = Patterns::new(&patterns.iter().collect::<Vec<_>>()).expect("they are few");
    let document = Document::read(Bytes::copy_from_slice(json.as_bytes()), JsonLimits::default()).expect("JSON");
    let mut found = Vec::new();
    places(&compiled, document.root(), compiled.start(), &mut Vec::new(), &mut found);
    for (path, ending) in found {
        let expected: Vec<usize> = (0..patterns.len()).filter(|&number| fits(&patterns[number].steps, &path)).collect();
        assert_eq!(ending, expected, "{texts:?} at {path:?}");
    }
}

#[test]
fn only_whole_steps_are_wild() {
    let rows = [
        ("", Ok(())),
        ("/", Ok(())),
        ("/a~1b/*/**/~0", Ok(())),
        ("a", Err(PatternFault::Pointer(PointerFault::NoSlash))),
        ("/a~", Err(PatternFault::Pointer(PointerFault::Tilde))),
        ("/a*", Err(PatternFault::PartOfAStep)),
        ("/***", Err(PatternFault::PartOfAStep)),
    ];
    for (text, expected) in rows {
        assert_eq!(Pattern::parse(text).map(|_| ()), expected, "{text}");
    }
    for (steps, fault) in [(STEPS_MAX - 1, None), (STEPS_MAX, None), (STEPS_MAX + 1, Some(PatternFault::TooLong))] {
        assert_eq!(Pattern::parse(&"/a".repeat(steps)).err(), fault, "{steps}");
    }
    assert_eq!(Pattern::parse(&"/**".repeat(STEPS_MAX + 1)), Pattern::parse("/**"), "they are one");
}

#[test]
fn all_patterns_together_have_a_bound() {
    let long = pattern(&"/a".repeat(STEPS_MAX - 1));
    for (patterns, fits) in [(STATES_MAX / 16 - 1, true), (STATES_MAX / 16, true), (STATES_MAX / 16 + 1, false)] {
        assert_eq!(Patterns::new(&vec![&long; patterns]).is_some(), fits, "{patterns}");
    }
}

#[test]
fn a_pattern_names_what_its_steps_lead_to() {
    let json = r#"{"a":{"b":[1,{"c":2},{"b":{"c":3}}],"\u0063":4,"":5,"0":6},"b":{"c":{"a":{"b":7}}}}"#;
    check(
        &["", "/a", "/a/b/1", "/a/0", "/*/c", "/**", "/**/c", "/a/**/c", "/a/**", "/*", "/**/b/**/c", "/a/", "/**/*"],
        json,
    );
    check(&["/a/b/01"], json);
}

#[test]
fn patterns_meet_where_a_value_can_be_at_or_below_both() {
    let rows = [
        ("/a", "/a", true),
        ("/a", "/b", false),
        ("/a", "/a/b", true),
        ("/a/b", "/a/c", false),
        ("/*", "/b/c", true),
        ("/**/x", "/b", true),
        ("/**/x", "/a/b/x", true),
        ("", "/b", true),
        ("/a/*/b", "/a/c", true),
        ("/a/*/b", "/b/**", false),
    ];
    for (one, two, expected) in rows {
        assert_eq!(pattern(one).meets(&pattern(two)), expected, "{one} {two}");
        assert_eq!(pattern(two).meets(&pattern(one)), expected, "{two} {one}");
    }
}

#[test]
fn states_are_told_by_their_pattern() {
    let patterns = ["/a/b", "/*/b", "/a"].map(pattern);
    let compiled = Patterns::new(&patterns.each_ref()).expect("they are few");
    let way = compiled.name(compiled.start(), "a");
    assert!(way.is_named);
    assert!(!compiled.name(compiled.start(), "b").is_named);
    for (number, expected) in [(0, true), (1, true), (2, true)] {
        assert_eq!(way.way.meets(compiled.states_of(|owner| owner == number)), expected, "{number}");
    }
    let below = compiled.name(way.way, "x").way;
    assert!(below.is_nowhere());
}

proptest! {
    #[test]
    fn states_say_what_the_steps_say(
        texts in prop::collection::vec(prop::collection::vec(prop::sample::select(vec!["a", "b", "0", "*", "**"]), 0..6), 0..40),
        json in prop::sample::select(vec![
            r#"{"a":{"a":{"b":[{"a":1},[2,{"b":{"a":3}}]],"0":4}},"b":[[{"a":{"b":5}}]]}"#,
            r#"[[[0,{"a":{"a":{"a":{"b":1}}}}]],{"0":{"b":{"0":[2]}}}]"#,
        ]),
    ) {
        let texts: Vec<String> = texts.iter().map(|steps| steps.iter().flat_map(|step| ["/", step]).collect()).collect();
        check(&texts.iter().map(String::as_str).collect::<Vec<_>>(), json);
    }
}
