//! Contentful: the signed headers are listed in a header.

use hmac::{Hmac, KeyInit as _, Mac as _};
use hookward::auth::code::CodeKind;
use hookward::reason::Reason;
use sha2::Sha256;

use super::{NOW, Request, check, expired, judge, secret, verifier};

const KEY: &str = "de726019ca20e19a8ff642f08eff482d60b16cb616ce6c7f18f8daf21452b95d";
const BODY: &str = r#"{"sys":{"id":"6Tk"}}"#;
const SIGNATURE: &str = "x-contentful-signature";
const LIST: &str = "x-contentful-signed-headers";
const TIME: &str = "x-contentful-timestamp";
const TOPIC: &str = "x-contentful-topic";
const NAMES: &str = "x-contentful-signed-headers,x-contentful-timestamp,x-contentful-topic";

fn signed(target: &str, list: &str, headers: &str, millis: i64) -> Request {
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).unwrap();
    mac.update(format!("POST\n{target}\n{headers}\n{BODY}").as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    let request = Request::new(BODY).with(TOPIC, "Entry.publish").with(LIST, list).with(TIME, millis.to_string());
    request.with(SIGNATURE, signature)
}

fn good(millis: i64) -> Request {
    signed("/in", NAMES, &format!("{LIST}:{NAMES};{TIME}:{millis};{TOPIC}:Entry.publish"), millis)
}

#[test]
fn the_listed_headers_the_target_and_the_body_are_covered() {
    use Reason::{
        CredentialDuplicated as Duplicated, CredentialMalformed as Malformed, CredentialMismatch as Mismatch,
        CredentialMissing as Missing,
    };
    let millis = NOW * 1000;
    let unsorted = "x-contentful-topic, X-Contentful-Timestamp,x-contentful-signed-headers";
    let bare = format!("{LIST}:{LIST},{TIME};{TIME}:{millis}");
    let rows = vec![
        ("all listed", good(millis), None),
        ("the list in another order", good(millis).with(LIST, unsorted), None),
        ("the list without itself and the time, which are always signed", good(millis).with(LIST, TOPIC), None),
        ("a header that is not listed", good(millis).with("x-other", "1"), None),
        ("a changed header", good(millis).with(TOPIC, "Entry.delete"), Some(Mismatch)),
        ("a listed header that is not there", good(millis).without(TOPIC), Some(Missing)),
        ("a listed header that is there twice", good(millis).and(TOPIC, "Entry.publish"), Some(Duplicated)),
        ("a shorter list", good(millis).with(LIST, format!("{LIST},{TIME}")), Some(Mismatch)),
        ("a longer list", good(millis).with("x-a", "1").with(LIST, format!("{NAMES},x-a")), Some(Mismatch)),
        ("nothing else listed", signed("/in", &format!("{LIST},{TIME}"), &bare, millis), None),
        ("a list of no names", good(millis).with(LIST, "a b"), Some(Malformed)),
        ("no list", good(millis).without(LIST), Some(Missing)),
        ("no signature", good(millis).without(SIGNATURE), Some(Missing)),
        ("two signatures", good(millis).and(SIGNATURE, "00"), Some(Duplicated)),
        ("a signature of another form", good(millis).with(SIGNATURE, "0198a635"), Some(Malformed)),
        ("a changed body", good(millis).body(format!("{BODY} ")), Some(Mismatch)),
        ("another path", Request { uri: "/other", ..good(millis) }, Some(Mismatch)),
        ("a query", Request { uri: "/in?a=1", ..good(millis) }, Some(Mismatch)),
    ];
    check(&verifier(CodeKind::Contentful, &[secret("a", KEY)]), rows);
}

/// As `querystring.escape` and then `encodeURI` have it, and as the sender knows the path.
#[test]
fn the_target_is_encoded_once_more() {
    let millis = NOW * 1000;
    let headers = format!("{LIST}:{NAMES};{TIME}:{millis};{TOPIC}:Entry.publish");
    let to = |uri, public_url, target: &str| Request { uri, public_url, ..signed(target, NAMES, &headers, millis) };
    let url = Some("https://hooks.example.com/outside/a");
    let rows = vec![
        ("a query", to("/in?a=b&c=%20", None, "/in?a%253Db%2526c%253D%252520"), None),
        ("a query as it is", to("/in?a=b", None, "/in?a=b"), Some(Reason::CredentialMismatch)),
        ("a path with a percent sign", to("/in%20x", None, "/in%2520x"), None),
        ("an empty query", to("/in?", None, "/in"), None),
        (
            "a second question mark, behind which the library loses the rest",
            to("/in?a?b", None, "/in?a"),
            Some(Reason::CredentialMalformed),
        ),
        ("the path that the sender knows", to("/in", url, "/outside/a"), None),
        ("the path that the proxy made of it", to("/in", url, "/in"), Some(Reason::CredentialMismatch)),
    ];
    check(&verifier(CodeKind::Contentful, &[secret("a", KEY)]), rows);
}

#[test]
fn the_time_must_be_less_than_30_seconds_ago() {
    let millis = NOW * 1000;
    let rows = vec![
        ("29.999 s ago", good(millis - 29_999), None),
        ("30 s ago", good(millis - 30_000), Some(Reason::TimestampStale)),
        ("30 s ahead", good(millis + 30_000), None),
        ("30.001 s ahead", good(millis + 30_001), Some(Reason::TimestampFuture)),
        ("a changed time", good(millis).with(TIME, (millis + 1).to_string()), Some(Reason::CredentialMismatch)),
        ("no time", good(millis).without(TIME), Some(Reason::TimestampMissing)),
        ("two times", good(millis).and(TIME, "1"), Some(Reason::TimestampMalformed)),
        ("no number", good(millis).with(TIME, "1e3"), Some(Reason::TimestampMalformed)),
    ];
    check(&verifier(CodeKind::Contentful, &[secret("a", KEY)]), rows);
}

#[test]
fn each_delivery_has_its_own_digest_under_every_key() {
    let millis = NOW * 1000;
    let both = verifier(CodeKind::Contentful, &[secret("old", "another"), secret("new", KEY)]);
    let one = judge(&both, &good(millis)).unwrap();
    assert_eq!((one.key.as_str(), one.signed_at_millis), ("new", Some(millis)));
    assert_eq!(judge(&both, &good(millis).with("x-other", "1")).unwrap(), one);
    let alone = verifier(CodeKind::Contentful, &[secret("new", KEY)]);
    assert_eq!(judge(&alone, &good(millis)).unwrap(), one, "whatever other keys there are");
    assert_ne!(judge(&both, &good(millis + 1)).unwrap().digest, one.digest);
    let over = verifier(CodeKind::Contentful, &[expired(secret("new", KEY))]);
    check(&over, vec![("an expired key", good(millis), Some(Reason::SecretExpired))]);
}
