//! Amazon SNS: fields by the message's type, certificates by their URL.

use hookward::auth::code::CodeKind;
use hookward::reason::Reason;

use super::certificates::{PROVIDER, ROOT, Wanted, rsa, sign};
use super::{Request, check, expired, judge, public, try_verifier, verifier};

const URL: &str = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123.pem";
const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:mine";

/// Made once with OpenSSL, since nothing here signs with SHA-1: a certificate, and its key's signature of [`notification`].
const SHA1_CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIDGzCCAgOgAwIBAgIURYLJjE32002cvEMZS0h0skNO/ycwDQYJKoZIhvcNAQEL
BQAwHDEaMBgGA1UEAwwRc25zLmFtYXpvbmF3cy5jb20wIBcNMjYxMTI1MTcxNTE5
WhgPMjEyNjExMDExNzE1MTlaMBwxGjAYBgNVBAMMEXNucy5hbWF6b25hd3MuY29t
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAurzpxamuUDWDReWVZVCf
X9rLVzfCJlD/y7Ld/wIuwkPSQ5QrgPlkX2BGxf5JRBduldTJe2GqJu0ewStKK66P
brM7jfL3Qc7f8pnOAFb/kcSvUyUoiZUyO9Tg3vT8YKfi5bBvvw4DFo7PZmB4Mc7J
Ir7rr73B/XeHgz/7Ij3w7sf0VEy97qUhhQvRjeerP7onlIj8m/Lxcz1LHUqcuWNV
1fQq9B1dxpm7FRmm0iKwOqzwv1qc9HH7zau1mUifH7X48/BZM/QGnws4R0THJTjd
yFKXpm1lcnT9QM/Rg/9PxNrwxc+pyuH4T9mZJ1dgfalv0efC+LEX7vYYKJXcwdPG
ewIDAQABo1MwUTAdBgNVHQ4EFgQUzc2ITqEKhQuKIZ6nPkgiuXzMrgowHwYDVR0j
BBgwFoAUzc2ITqEKhQuKIZ6nPkgiuXzMrgowDwYDVR0TAQH/BAUwAwEB/zANBgkq
hkiG9w0BAQsFAAOCAQEAkcEriHDgOBoI0wUkpu1P8tPZQ8ARZ1XTtd+ryhR3UYeK
JSqZbdT8Cdra20/JuOwlLiv2/VGjUtRYA0Ib4XOZCIovS2zjGDV4FxPHLDuMGGiw
LOYXIfQyDocH4Ew972vcd+KM7hvLGh7NMJ2HxKScnl8Z0UMIfVxuL1W71j1IAv3e
yct5FGYP6ipVHtaf3htzhq1eZa6HaRyS/qnT8NAQYwLcvpHQIYt/cW7ntI0b6Eh7
PtZlh8LENw8tBt9NmC+1lIaGco2vH11z0Aiyh7otY8kyOosEnr2AaaJ9HvWpMiVs
hPMEJbbdLUNit1kxlQ17JksrxKETOtoyvI5jRZwzkg==
-----END CERTIFICATE-----
";
const SHA1_SIGNATURE: &str = "qPb76LFy7X2HeuX1biqtKp0EVv3yRCkBpT2Xjt6JfPE3ArI5XDV/j576emHvLV9akZiJ4gFmg9z2b/yT0NUkec5qMCuCthCIkthNM9f0b4A31TC88ttFKbQox9EDZGpXl8800LHyQ8IWrjs91u5Ez4FXPw4L44ItZTohaGBoXRMnQtfq22Qho4HSLAiv1NJQIJ0l5C4qIdhgIcxqifosok3NwHvA93oVvdjpSegBDQHN6OEoV4UZ9MDYAIhDRgdP39N6KiuQpJtvOky0Oc2wAEaqE3uIbRw3VvdByLy5iK5p5lILPpvi4OW+64Bfb41HeuCwIeYo3Wl4sT+o+QQjDQ==";

fn certificate() -> String {
    ROOT.certify(&Wanted { common_name: "sns.amazonaws.com", alternative_names: &[], years: (2020, 2040) })
}

/// A message as a list of names and values.
type Message = Vec<(&'static str, String)>;

fn notification() -> Message {
    let fields = [
        ("Type", "Notification"),
        ("MessageId", "m-1"),
        ("TopicArn", TOPIC),
        ("Subject", "Greeting"),
        ("Message", "Hello\nworld"),
        ("Timestamp", "2026-07-01T11:59:59.318Z"),
        ("SignatureVersion", "2"),
        ("SigningCertURL", URL),
        ("UnsubscribeURL", "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe"),
    ];
    fields.map(|(name, value)| (name, value.to_owned())).into()
}

fn confirmation() -> Message {
    let message = with(notification(), "Type", "SubscriptionConfirmation");
    let message =
        with(message, "SubscribeURL", "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token=1");
    without(with(message, "Token", "1"), "Subject")
}

fn with(message: Message, name: &'static str, value: impl Into<String>) -> Message {
    let mut message = without(message, name);
    message.push((name, value.into()));
    message
}

fn without(mut message: Message, name: &str) -> Message {
    message.retain(|(found, _)| *found != name);
    message
}

/// What is signed of a message: all fields but those of the signature itself, sorted.
fn text(message: &Message) -> String {
    let mut fields = message.clone();
    fields.retain(|(name, _)| !name.starts_with("Sign") && *name != "UnsubscribeURL" && *name != "Extra");
    fields.sort();
    fields.into_iter().flat_map(|(name, value)| [name.to_owned(), "\n".to_owned(), value, "\n".to_owned()]).collect()
}

fn request(message: &Message) -> Request {
    let members = message.iter().map(|(name, value)| format!("\"{name}\":{}", serde_json::Value::from(value.as_str())));
    Request::new(format!("{{{}}}", members.collect::<Vec<_>>().join(",")))
        .with("x-amz-sns-message-type", "Notification")
}

fn signed(message: Message) -> Message {
    let signature = sign(&PROVIDER, &text(&message));
    with(message, "Signature", signature)
}

fn good() -> Request {
    request(&signed(notification()))
}

#[test]
fn a_notifications_fields_are_covered() {
    use Reason::{CredentialMalformed as Malformed, CredentialMismatch as Mismatch, CredentialMissing as Missing};
    let message = || signed(notification());
    let changed = |name, value: &str| request(&with(message(), name, value));
    let anew = |name, value: &str| request(&signed(with(notification(), name, value)));
    let lacking = |name| request(&without(message(), name));
    let rows = vec![
        ("a notification", good(), None),
        ("without subject", request(&signed(without(notification(), "Subject"))), None),
        ("the subject taken away", lacking("Subject"), Some(Mismatch)),
        ("a field that is not signed", changed("Extra", "1"), None),
        ("a changed message", changed("Message", "Hello\nWorld"), Some(Mismatch)),
        ("a changed id", changed("MessageId", "m-2"), Some(Mismatch)),
        ("a changed topic", changed("TopicArn", "arn:other"), Some(Mismatch)),
        ("a changed time", changed("Timestamp", "2026-07-01T12:00:00.000Z"), Some(Mismatch)),
        ("signed by somebody else", changed("Signature", &sign(&rsa(), &text(&notification()))), Some(Mismatch)),
        ("a signature cut short", changed("Signature", "AAAA"), Some(Mismatch)),
        ("no base64", changed("Signature", "!"), Some(Malformed)),
        ("no signature", lacking("Signature"), Some(Missing)),
        ("no id", lacking("MessageId"), Some(Missing)),
        ("a version that nobody knows", changed("SignatureVersion", "3"), Some(Malformed)),
        ("SHA-256 that says it is SHA-1", changed("SignatureVersion", "1"), Some(Mismatch)),
        ("a type that nobody knows", anew("Type", "Other"), Some(Malformed)),
        (
            "a subject that is no text",
            good().body(String::from_utf8(good().body).unwrap().replace("\"Greeting\"", "null")),
            Some(Malformed),
        ),
        (
            "a name twice",
            good().body(String::from_utf8(good().body).unwrap().replacen('{', "{\"Message\":\"x\",", 1)),
            Some(Malformed),
        ),
        ("no JSON", Request::new("hello"), Some(Malformed)),
        ("raw delivery", good().with("x-amz-sns-rawdelivery", "true"), Some(Missing)),
    ];
    check(&verifier(CodeKind::AwsSns, &[public(URL, &certificate())]), rows);
}

#[test]
fn a_confirmation_is_a_delivery_if_it_is_authentic() {
    use Reason::{CredentialMalformed as Malformed, CredentialMismatch as Mismatch, CredentialMissing as Missing};
    let anew = |name, value: &str| request(&signed(with(confirmation(), name, value)));
    let rows = vec![
        ("of a subscription", request(&signed(confirmation())), None),
        ("of its end", anew("Type", "UnsubscribeConfirmation"), None),
        ("a changed token", request(&with(signed(confirmation()), "Token", "2")), Some(Mismatch)),
        ("no token", request(&without(signed(confirmation()), "Token")), Some(Missing)),
        (
            "a URL of somebody else, though signed",
            anew("SubscribeURL", "https://sns.us-east-1.amazonaws.com.evil.example/"),
            Some(Malformed),
        ),
        (
            "a user before the host",
            anew("SubscribeURL", "https://sns.us-east-1.amazonaws.com:x@evil.example/"),
            Some(Malformed),
        ),
    ];
    check(&verifier(CodeKind::AwsSns, &[public(URL, &certificate())]), rows);
}

/// A publisher chooses the message: it must not be read as another id and subject.
#[test]
fn a_signed_text_has_one_reading() {
    let sent = with(notification(), "Message", "a\nMessageId\nforged\nSubject\nb");
    let sent = signed(sent);
    let signature = sent.iter().find(|(name, _)| *name == "Signature").unwrap().1.clone();
    let forged = with(with(notification(), "Message", "a"), "MessageId", "forged");
    let forged = with(forged, "Subject", "b\nMessageId\nm-1\nSubject\nGreeting");
    assert_eq!(text(&forged), text(&sent));
    let rows = vec![
        ("as it was sent", request(&sent), None),
        ("as it could be read", request(&with(forged, "Signature", signature)), Some(Reason::CredentialMalformed)),
    ];
    check(&verifier(CodeKind::AwsSns, &[public(URL, &certificate())]), rows);
}

#[test]
fn a_certificate_is_the_policys_under_a_url_of_amazon() {
    let (malformed, mismatch) = (Some(Reason::CredentialMalformed), Some(Reason::CredentialMismatch));
    let rows = [
        (URL, None),
        ("https://sns.us-east-1.amazonaws.com/SimpleNotificationService-4567.pem", mismatch),
        ("https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-0123.pem", mismatch),
        ("http://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123.pem", malformed),
        ("https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123.txt", malformed),
        ("https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123.pem?x=.pem", malformed),
        ("https://sns.us-east-1.amazonaws.com.evil.example/x.pem", malformed),
        ("https://sns.us-east-1.amazonaws.com@evil.example/x.pem", malformed),
        ("https://sns.evil.example.amazonaws.com/x.pem", malformed),
        ("https://sns.us.amazonaws.com/x.pem", malformed),
        ("https://s3.amazonaws.com/evil/x.pem", malformed),
    ];
    let rows =
        rows.map(|(url, expected)| (url, request(&with(signed(notification()), "SigningCertURL", url)), expected));
    check(&verifier(CodeKind::AwsSns, &[public(URL, &certificate())]), rows.into());
    for url in ["https://s3.amazonaws.com/x.pem", "2026"] {
        let fault = try_verifier(CodeKind::AwsSns, &[public(url, &certificate())], &[], &[]).unwrap_err();
        assert_eq!((fault.what, &*fault.id), ("public key", url));
    }
    assert!(try_verifier(CodeKind::AwsSns, &[public(URL, "no certificate")], &[], &[]).is_err());
}

#[test]
fn sha_1_is_taken_where_the_message_says_so() {
    let first = with(with(notification(), "SignatureVersion", "1"), "Signature", SHA1_SIGNATURE);
    let rows = vec![
        ("version 1", request(&first), None),
        ("a changed message", request(&with(first.clone(), "Message", "x")), Some(Reason::CredentialMismatch)),
        ("labelled as version 2", request(&with(first, "SignatureVersion", "2")), Some(Reason::CredentialMismatch)),
    ];
    check(&verifier(CodeKind::AwsSns, &[public(URL, SHA1_CERTIFICATE)]), rows);
}

#[test]
fn a_policy_may_say_which_topics_it_takes() {
    let keys = [public(URL, &certificate())];
    let of = |topics: &str| try_verifier(CodeKind::AwsSns, &keys, &[("topic_arn", topics)], &[]);
    let both = format!("arn:other {TOPIC}");
    let others = request(&signed(with(notification(), "TopicArn", "arn:aws:sns:us-east-1:666666666666:mine")));
    let rows = || {
        vec![
            ("a topic of ours", good(), None),
            ("one of somebody else", others.clone(), Some(Reason::CredentialMismatch)),
        ]
    };
    check(&of(TOPIC).unwrap(), rows());
    check(&of(&both).unwrap(), rows());
    for none in [" ", "fill in", "arn:a mine"] {
        assert_eq!(of(none).unwrap_err().what, "parameter", "{none}");
    }
}

#[test]
fn what_was_signed_and_the_body_make_a_delivery() {
    let verifier = verifier(CodeKind::AwsSns, &[public(URL, &certificate())]);
    let proven = judge(&verifier, &good()).unwrap();
    assert_eq!((proven.key.as_str(), proven.signed_at_millis), (URL, Some(1_782_907_199_318)));
    assert_eq!(judge(&verifier, &good().with("x-any", "1")).unwrap(), proven);
    let extra = judge(&verifier, &request(&with(signed(notification()), "Extra", "1"))).unwrap();
    assert_ne!(extra.digest, proven.digest);
    let over = super::verifier(CodeKind::AwsSns, &[expired(public(URL, &certificate()))]);
    let rows = vec![
        ("the last second", good().at(super::NOW - 1), None),
        ("the first after it", good(), Some(Reason::SecretExpired)),
        (
            "a forgery after it",
            request(&with(signed(notification()), "Message", "x")),
            Some(Reason::CredentialMismatch),
        ),
    ];
    check(&over, rows);
}
