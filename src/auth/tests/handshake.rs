//! Challenges are answered as each provider wants it, and nothing else is.

use http::Method;

use super::sent::Sent;
use super::{NOW, secret, verifier};
use crate::auth::handshake::{Answered, Handshake};
use crate::auth::key::NamedSecret;
use crate::auth::template::{Filling, Signer};
use crate::auth::verify::Challenges;
use crate::policy::preset;
use crate::reason::Reason;

const KEY: &str = "a-secret-of-some-length";

/// The handshakes of a preset, ready to answer.
fn handshakes(name: &str) -> Vec<Handshake> {
    let preset = preset::find(name).unwrap();
    let given = |_: &str| Some("https://topic.example/feed");
    preset.handshakes.iter().map(|handshake| handshake.resolve(&given).unwrap()).collect()
}

/// What a request is answered; `None` if it is no handshake.
fn answer(name: &str, sent: &Sent, verify_token: Option<&str>) -> Option<Result<Answered, Reason>> {
    answer_with(name, sent, verify_token, &[secret("only", KEY)])
}

/// The same of a source with these secrets.
fn answer_with(
    name: &str,
    sent: &Sent,
    verify_token: Option<&str>,
    secrets: &[NamedSecret],
) -> Option<Result<Answered, Reason>> {
    let handshakes = handshakes(name);
    let scheme = &preset::find(name).unwrap().signing.schemes()[0];
    let verifier = verifier(name, scheme, secrets);
    let key = verifier.challenge_key(NOW);
    sent.look(|view| {
        let handshake = handshakes.iter().find(|handshake| handshake.is(view))?;
        let filling = Filling {
            verify_token: verify_token.map(str::as_bytes),
            signer: key.as_ref().map(|key| key as &dyn Signer),
            ..Filling::of(*view)
        };
        Some(handshake.answer(&filling).map_err(|rejection| rejection.reason()))
    })
}

fn body(name: &str, sent: &Sent, verify_token: Option<&str>) -> Option<Result<String, Reason>> {
    let answered = answer(name, sent, verify_token)?;
    Some(answered.map(|answered| String::from_utf8(answered.body.to_vec()).unwrap()))
}

fn get(uri: &str) -> Sent {
    Sent { method: Method::GET, ..Sent::new(uri, &[], "") }
}

#[test]
fn a_challenge_is_given_back() {
    let slack = |body: &str| Sent::json(body);
    let refused = Some(Err(Reason::HandshakeRefused));
    let rows = [
        (slack(r#"{"type":"url_verification","challenge":"abc"}"#), Some(Ok(r#"{"challenge":"abc"}"#.to_owned()))),
        (
            slack(r#"{"type":"url_verification","challenge":"<b>"}"#),
            Some(Ok(r#"{"challenge":"\u003cb\u003e"}"#.to_owned())),
        ),
        (slack(r#"{"type":"url_verification"}"#), refused.clone()),
        (slack(r#"{"type":"url_verification","challenge":""}"#), refused.clone()),
        (slack(r#"{"type":"url_verification","challenge":"é"}"#), refused.clone()),
        (slack(r#"{"type":"url_verification","challenge":"a\nb"}"#), refused.clone()),
        (slack(&format!(r#"{{"type":"url_verification","challenge":"{}"}}"#, "a".repeat(4097))), refused),
        (slack(r#"{"type":"event_callback","challenge":"abc"}"#), None),
        (slack(r#"{"type":"url_verification","type":"url_verification","challenge":"abc"}"#), None),
        (slack("challenge"), None),
    ];
    for (sent, expected) in rows {
        assert_eq!(body("slack", &sent, None), expected, "{:?}", sent.body);
    }
}

#[test]
fn the_operators_token_has_to_be_in_a_verification_request() {
    let request = |token: &str| get(&format!("/?hub.mode=subscribe&hub.verify_token={token}&hub.challenge=1158201444"));
    let refused = Some(Err(Reason::HandshakeRefused));
    let rows = [
        (request("right"), Some("right"), Some(Ok("1158201444".to_owned()))),
        (request("righ"), Some("right"), refused.clone()),
        (request("rightt"), Some("right"), refused.clone()),
        (request(""), Some("right"), refused.clone()),
        (request("right"), None, refused.clone()),
        (request(""), None, refused),
    ];
    for (sent, token, expected) in rows {
        assert_eq!(body("meta", &sent, token), expected, "{} {token:?}", sent.uri);
    }
    assert!(handshakes("meta").iter().all(Handshake::wants_verify_token));
    assert!(!handshakes("slack").iter().any(Handshake::wants_verify_token));
}

#[test]
fn what_is_signed_is_a_short_word() {
    let signed = |challenge: &str| body("x-twitter", &get(&format!("/?crc_token={challenge}")), None);
    let good = signed("challenge").unwrap().unwrap();
    assert!(good.starts_with(r#"{"response_token":"sha256="#), "{good}");
    assert_ne!(signed("challengf").unwrap().unwrap(), good);
    for challenge in ["%7B%7D", "1158201444", "true", "a%20b", "a%26b", "%C3%A9", &"a".repeat(257)] {
        assert_eq!(signed(challenge), Some(Err(Reason::HandshakeRefused)), "{challenge}");
    }
    assert!(handshakes("x-twitter").iter().any(Handshake::signs_for_strangers));
    assert!(!handshakes("meta").iter().any(Handshake::signs_for_strangers));
}

#[test]
fn a_challenge_is_answered_with_the_first_secret_in_force() {
    let ask = get("/?crc_token=challenge");
    let until = |expires, text| NamedSecret { expires: Some(expires), ..secret(text, text) };
    let (old, new) = ("the-old-secret-of-the-source", "the-new-secret-of-the-source");
    let told = |secrets: &[NamedSecret]| {
        let answered = answer_with("x-twitter", &ask, None, secrets).unwrap();
        answered.map(|answered| String::from_utf8(answered.body.to_vec()).unwrap())
    };
    let (by_old, by_new) = (told(&[secret("old", old)]), told(&[secret("new", new)]));
    assert_ne!(by_old, by_new);
    let rows = [
        ("both", vec![secret("old", old), secret("new", new)], &by_old),
        ("in its last second", vec![until(NOW + 1, old), secret("new", new)], &by_old),
        ("once it is over", vec![until(NOW, old), secret("new", new)], &by_new),
        ("all are over", vec![until(NOW, old), until(NOW - 1, new)], &Err(Reason::HandshakeRefused)),
    ];
    for (name, secrets, expected) in rows {
        assert_eq!(told(&secrets), *expected, "{name}");
    }
}

/// What a stranger got signed as a challenge is not taken as a delivery's signature.
#[test]
fn a_signed_challenge_is_no_delivery() {
    let scheme = &preset::find("x-twitter").unwrap().signing.schemes()[0];
    let only = secret("only", KEY);
    for (body, is_challenge) in [("challenge", true), ("{}", false)] {
        let body = bytes::Bytes::from_static(body.as_bytes());
        let signed = super::request(scheme, &only, NOW, &body);
        for (challenges, expected) in [
            (Challenges::None, Ok("only".to_owned())),
            (Challenges::Signed, if is_challenge { Err(Reason::CredentialMismatch) } else { Ok("only".to_owned()) }),
        ] {
            let verifier = verifier("x-twitter", scheme, std::slice::from_ref(&only)).with_challenges(challenges);
            assert_eq!(super::judge(&verifier, &signed, &body, NOW), expected, "{body:?} {challenges:?}");
        }
    }
}

#[test]
fn a_secret_that_is_handed_over_is_learnt_and_given_back_where_it_is_wanted() {
    let sent = |secret: &str| Sent::new("/", &[("x-hook-secret", secret)], "");
    let answered = answer("asana", &sent("b537207f20cbfa02357cf448134da559"), None).unwrap().unwrap();
    assert_eq!(answered.learned.as_ref().unwrap().expose(), b"b537207f20cbfa02357cf448134da559");
    assert_eq!(answered.headers["x-hook-secret"], "b537207f20cbfa02357cf448134da559");
    assert!(answered.body.is_empty());
    for secret in ["", "a b", "{}", &"a".repeat(257)] {
        assert_eq!(answer("asana", &sent(secret), None).unwrap().unwrap_err(), Reason::HandshakeRefused, "{secret}");
    }
    assert!(answer("asana", &Sent::json("{}"), None).is_none());
}

#[test]
fn no_answer_is_ever_html() {
    for preset in preset::all() {
        for handshake in &preset.handshakes {
            let html = handshake.content_type.as_ref().is_some_and(|media| media.as_bytes().starts_with(b"text/html"));
            assert!(!html, "{}", preset.name);
        }
    }
    let answered =
        answer("slack", &Sent::json(r#"{"type":"url_verification","challenge":"a"}"#), None).unwrap().unwrap();
    assert_eq!(answered.headers["x-content-type-options"], "nosniff");
    assert_eq!(answered.headers["content-type"], "application/json");
}
