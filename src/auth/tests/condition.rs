//! Conditions and side conditions.

use super::sent::Sent;
use crate::auth::condition::Pattern;
use crate::auth::place::View;
use crate::auth::scheme::Scheme;
use crate::auth::template::Filling;
use crate::payload::{Document, JsonLimits};
use crate::policy::scheme::read_scheme;
use crate::policy::table::read_text;

/// The SHA-256 of an empty text.
const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A scheme with this condition or requirement.
fn scheme(words: &str) -> Scheme {
    let text = format!("algorithm = 'token'\ncredential = 'header:x-token'\n{words}");
    read_text(&text, read_scheme).flatten().unwrap()
}

#[test]
fn a_condition_holds_or_not() {
    let sent = Sent::new(
        "/?q=1&d=1&d=1",
        &[("content-type", "Application/JSON; charset=utf-8"), ("x-a", "1"), ("x-e", "")],
        "",
    );
    let rows = [
        ("header:x-a", true),
        ("header:x-e", true),
        ("header:x-b", false),
        ("!header:x-b", true),
        ("!header:x-a", false),
        // What is there twice is there.
        ("query:d", true),
        ("!query:d", false),
        ("query:q=1", true),
        ("query:q=2", false),
        ("query:d=1", false),
        ("header:x-a=1", true),
        ("header:x-b=1", false),
        ("method=POST", true),
        ("method=GET", false),
        ("media=application/json", true),
        ("media=application/x-www-form-urlencoded", false),
    ];
    for (text, expected) in rows {
        let scheme = scheme(&format!("when = ['{text}']"));
        let condition = &scheme.when[0];
        assert_eq!(condition.to_string(), text);
        assert!(condition.is_of_head(), "{text}");
        assert_eq!(sent.look(|view| condition.holds(view)), expected, "{text}");
    }
}

#[test]
fn a_pattern_matches_all_of_a_value_or_nothing() {
    let rows = [
        ("[a-f0-9]{2,3}", "ab", true),
        ("[a-f0-9]{2,3}", "abcd", false),
        ("[a-f0-9]{2,3}", "ab\n", false),
        ("[a-f0-9]{2,3}", "xab", false),
        ("a|bc", "bc", true),
        ("a|bc", "abc", false),
        (".*", "a\nb", false),
        ("", "", true),
    ];
    for (pattern, value, expected) in rows {
        assert_eq!(Pattern::parse(pattern).unwrap().matches(value), expected, "{pattern:?} {value:?}");
    }
    assert!(Pattern::parse("(").is_err());
    assert!(Pattern::parse("(a{1000}){1000}").is_err(), "a pattern has a bound, too");
}

#[test]
fn a_side_condition_holds_or_not() {
    let sent = Sent::new(
        "/?hash=2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        &[("x-a", "1"), ("x-e", ""), ("x-d", "1"), ("x-d", "1"), ("x-n", NOTHING)],
        "hello",
    );
    let rows = [
        ("value = 'header:x-a'", true),
        ("value = 'header:x-e'", false),
        ("value = 'header:x-b'", false),
        ("value = 'header:x-d'", false),
        ("value = 'header:x-a', equals = '1'", true),
        ("value = 'header:x-a', equals = '11'", false),
        ("value = 'header:x-a', any = ['2', '1']", true),
        ("value = 'header:x-a', any = ['2', '3']", false),
        ("value = 'header:x-b', equals = '1'", false),
        ("value = 'header:x-b', equals = '1', optional = true", true),
        ("value = 'header:x-e', equals = '1', optional = true", false),
        ("value = 'header:x-a', equals = '2', optional = true", false),
        ("value = 'header:x-d', equals = '1', optional = true", false),
        ("value = 'header:x-a', matches = '[0-9]'", true),
        ("value = 'header:x-a', matches = '[0-9]{2}'", false),
        ("value = 'query:hash', equals = '{body|sha256|hex}'", true),
        ("value = 'query:hash', equals = '{body|sha256|base64}'", false),
        // A hash of the body is left out only where there is no body.
        ("value = 'query:other', equals = '{body|sha256|hex}', optional = true", false),
        ("value = 'query:other', equals = '{url|sha256|hex}', optional = true", true),
        // The SHA-256 of nothing: what is not there has no hash.
        ("value = 'header:x-n', equals = '{body|xml:id|sha256|hex}'", false),
        ("value = 'header:x-n', equals = '{header:x-e|sha256|hex}'", false),
        // A text that comes out empty is no proof of anything.
        ("value = 'header:x-a', equals = '{header:x-b}'", false),
        ("value = 'header:x-e', equals = '{header:x-b}'", false),
    ];
    for (text, expected) in rows {
        let scheme = scheme(&format!("require = [{{ {text} }}]"));
        assert_eq!(sent.look(|view| scheme.require[0].holds(&Filling::of(*view))), expected, "{text}");
    }
}

#[test]
fn every_element_of_a_list_must_fit() {
    let rows = [
        (r#"{"v":["a","b"]}"#, true, false),
        (r#"{"v":["a","a"]}"#, true, true),
        (r#"{"v":["a"]}"#, true, true),
        (r#"{"v":["a","1"]}"#, false, false),
        (r#"{"v":["1","a"]}"#, false, false),
        (r#"{"v":["a",""]}"#, false, false),
        (r#"{"v":[]}"#, false, false),
        (r"{}", false, false),
    ];
    for (body, matches, equals) in rows {
        for (must, expected) in
            [("matches = '[a-z]+'", matches), ("equals = 'a'", equals), ("any = ['x', 'a']", equals)]
        {
            let scheme = scheme(&format!("require = [{{ value = 'json:/v/*', {must} }}]"));
            let holds = Sent::json(body).look(|view| scheme.require[0].holds(&Filling::of(*view)));
            assert_eq!(holds, expected, "{body} {must}");
        }
    }
}

#[test]
fn one_of_several_audiences_is_enough() {
    let scheme = scheme("require = [{ value = 'claim:aud', equals = 'a' }]");
    let rows = [(r#"{"aud":["b","a"]}"#, true), (r#"{"aud":"a"}"#, true), (r#"{"aud":["b"]}"#, false)];
    for (claims, expected) in rows {
        let claims = Document::read(claims.into(), JsonLimits::default()).unwrap();
        let holds = |view: &View<'_>| scheme.require[0].holds(&Filling::of(view.with_claims(Some(&claims))));
        assert_eq!(Sent::json("{}").look(|view| holds(view)), expected);
    }
}

#[test]
fn an_optional_hash_of_the_body_may_be_absent_where_there_is_no_body() {
    let scheme = scheme("require = [{ value = 'query:hash', equals = '{body|sha256|hex}', optional = true }]");
    for (body, expected) in [("", true), ("x", false)] {
        let holds = Sent::json(body).look(|view| scheme.require[0].holds(&Filling::of(*view)));
        assert_eq!(holds, expected, "{body:?}");
    }
}
