//! Lists of signatures, with names and without, alone and in groups.

use http::HeaderValue;

use super::{BODY, NOW, judge, preset_scheme, request, secret, verifier};
use crate::auth::credential::{COSTLY_SIGNATURES_MAX, SIGNATURES_MAX};
use crate::auth::list::{Layout, Signatures};
use crate::reason::Reason;

fn named(group: Option<char>, separator: char) -> Layout {
    Layout { group, separator, signatures: Signatures::Named { pair: '=', item: "v1".into() } }
}

fn counted(first: usize) -> Layout {
    Layout { group: None, separator: ',', signatures: Signatures::From(first) }
}

#[test]
fn signatures_are_the_items_of_their_name_or_from_their_position_on() {
    let rows = [
        (named(None, ','), "t=1,v1=a,v1=b,v0=c", vec![vec!["a", "b"]]),
        (named(None, ','), "t=1, v1=a , v1=b=c", vec![vec!["a", "b=c"]]),
        (named(None, ','), "V1=a,v1", vec![vec![]]),
        (named(None, ','), "v1=", vec![vec![""]]),
        (named(None, ' '), "v1=a v1=b  x", vec![vec!["a", "b"]]),
        (named(Some(' '), ','), "t=1,v1=a t=2,v1=b,v1=c", vec![vec!["a"], vec!["b", "c"]]),
        (named(Some(' '), ','), "  t=1,v1=a  ", vec![vec!["a"]]),
        (counted(1), "1,a,b", vec![vec!["a", "b"]]),
        (counted(0), "a", vec![vec!["a"]]),
        (counted(2), "1,a", vec![vec![]]),
    ];
    for (layout, text, expected) in rows {
        let found: Vec<Vec<_>> = layout.texts(text).map(|list| layout.list(list).signatures().collect()).collect();
        assert_eq!(found, expected, "{text:?} in {layout}");
    }
}

#[test]
fn the_name_of_the_signatures_may_be_the_operators() {
    let layout =
        |item: &str| Layout { signatures: Signatures::Named { pair: '=', item: item.into() }, ..named(None, ',') };
    let given = |name: &str| (name == "key_id").then_some("k17");
    let mut resolved = layout("{parameter:key_id}");
    assert_eq!(resolved.resolve(&given), Ok(()));
    assert_eq!(resolved, layout("k17"));
    assert_eq!(layout("{parameter:other}").resolve(&given), Err("other".into()));
    let mut fixed = layout("v1");
    assert_eq!(fixed.resolve(&given), Ok(()));
    assert_eq!(fixed, layout("v1"));
}

#[test]
fn a_list_has_so_many_groups_and_signatures_and_no_more() {
    let (scheme, own) = (preset_scheme("persona"), secret("own", "persona-secret-of-some-length"));
    let verifier = verifier("persona", scheme, std::slice::from_ref(&own));
    let signed = request(scheme, &own, NOW, &BODY);
    let genuine = signed.headers["persona-signature"].to_str().unwrap().to_owned();
    let junk = format!("t={NOW},v1={}", "0".repeat(64));
    let signatures = format!(",v1={}", "0".repeat(64));
    let rows = [
        ("groups", format!("{}{genuine}", format!("{junk} ").repeat(COSTLY_SIGNATURES_MAX - 1)), Ok("own".to_owned())),
        (
            "a group more",
            format!("{}{genuine}", format!("{junk} ").repeat(COSTLY_SIGNATURES_MAX)),
            Err(Reason::CredentialMalformed),
        ),
        ("signatures", genuine.clone() + &signatures.repeat(SIGNATURES_MAX - 1), Ok("own".to_owned())),
        ("a signature more", genuine.clone() + &signatures.repeat(SIGNATURES_MAX), Err(Reason::CredentialMalformed)),
    ];
    for (name, text, expected) in rows {
        let mut sent = request(scheme, &own, NOW, &BODY);
        sent.headers.insert("persona-signature", HeaderValue::try_from(text).unwrap());
        assert_eq!(judge(&verifier, &sent, &BODY, NOW), expected, "{name}");
    }
}
