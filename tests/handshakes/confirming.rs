//! Subscriptions that the gateway confirms by a visit: only authentic ones, only where the policy says so, only at the provider's own endpoint.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use hookward::cli::cert;
use hookward::forward::names::Names;

use crate::support::app::Door;
use crate::support::command::{Ran, run};
use crate::support::sns::{
    AUTH, CONFIRM, HOST, Message, TOKEN, TOPIC, confirming, endpoint, site, site_where, subscribe_url, try_site,
};
use crate::support::{App, Say, Site, base64, eventually};

/// What the endpoint says to the first visit.
type Says = Box<dyn Fn() -> Say + Send + Sync>;

/// The reason and the fact in the record of a refusal.
fn told(site: &Site, message: &Message, fact: &str) -> (u16, String, String) {
    let answer = site.send(&message.delivery());
    let record = site.gateway.record_of(&answer);
    let fact = record.detail.get(fact).map(ToString::to_string).unwrap_or_default();
    (answer.status, record.reason, fact)
}

#[test]
fn a_subscription_is_confirmed_by_one_visit_and_the_app_never_sees_it() {
    let sns = confirming();
    let mut site = site(sns.address, CONFIRM);
    let message = Message::confirmation().signed();
    let answer = site.send(&message.delivery());
    assert_eq!((answer.status, answer.text()), (200, ""), "{answer:?}");
    let visit = sns.only();
    assert_eq!(visit.line, format!("GET /?Action=ConfirmSubscription&TopicArn={TOPIC}&Token={TOKEN} HTTP/1.1"));
    assert_eq!(visit.names(), ["connection", "host", "user-agent"]);
    assert_eq!((visit.header("host"), visit.body.len()), (Some(HOST), 0));

    assert_eq!(site.send(&message.delivery()).status, 200, "sent again");
    assert_eq!(sns.taken().len(), 1, "what was confirmed is not confirmed again");
    assert_eq!(site.app.taken().len(), 0);
    let notification = Message::notification().signed();
    assert_eq!(site.send(&notification.delivery()).status, 200);
    assert_eq!(site.app.only().body, notification.delivery().body, "what the subscription is for");

    site.gateway.stop();
    let log = site.gateway.access_text();
    let event = log.lines().find(|line| line.contains("a subscription is confirmed")).unwrap();
    assert!(event.contains(TOPIC) && event.contains(HOST) && event.contains("\"source\":\"p\""), "{event}");
    assert_eq!(log.lines().filter(|line| line.contains("\"answered\"")).count(), 1, "{log}");
    assert!(!log.contains(TOKEN) && !site.gateway.rejected_text().contains(TOKEN), "no token is written");
}

#[test]
fn a_policy_that_does_not_say_so_visits_nothing() {
    let sns = confirming();
    let message = Message::confirmation().signed();
    for rest in ["", "[handshake]\nmode = \"forward\"", "[handshake]\nconfirm = false"] {
        let site = site(sns.address, rest);
        assert_eq!(site.send(&message.delivery()).text(), "ok", "{rest}");
        let taken = site.app.only();
        assert_eq!(
            (&taken.body, taken.header("x-hookward-event")),
            (&message.delivery().body, Some("SubscriptionConfirmation"))
        );
    }
    let site = site(sns.address, "[handshake]\nmode = \"refuse\"");
    assert_eq!(told(&site, &message, "").1, "handshake_refused");
    assert_eq!((sns.taken().len(), site.app.taken().len()), (0, 0));
}

#[test]
fn nothing_is_visited_for_a_message_that_proves_nothing() {
    let sns = confirming();
    let site = site(sns.address, CONFIRM);
    let other = TOPIC.replace("mine", "theirs");
    let good = || Message::confirmation().signed();
    let forged = base64(&[7; 256]);
    let rows = [
        ("no signature", Message::confirmation(), "credential_missing"),
        ("another signature", good().with("Signature", &forged), "credential_mismatch"),
        ("another token", good().with("Token", "1"), "credential_mismatch"),
        ("another message", good().with("MessageId", "m-2"), "credential_mismatch"),
        (
            "a notification's type changed",
            Message::notification()
                .signed()
                .with("Type", "SubscriptionConfirmation")
                .with("Token", TOKEN)
                .with("SubscribeURL", &subscribe_url(TOPIC)),
            "credential_mismatch",
        ),
        (
            "a topic of somebody else",
            Message::confirmation().with("TopicArn", &other).with("SubscribeURL", &subscribe_url(&other)).signed(),
            "credential_mismatch",
        ),
    ];
    for (name, message, reason) in rows {
        let (status, found, _) = told(&site, &message, "");
        assert_eq!((status, found.as_str()), (401, reason), "{name}");
    }
    assert_eq!((sns.taken().len(), site.app.taken().len()), (0, 0));

    let end = Message::confirmation().with("Type", "UnsubscribeConfirmation").signed();
    assert_eq!(site.send(&end.delivery()).text(), "ok", "to visit its URL would undo the end");
    assert_eq!((sns.taken().len(), site.app.taken().len()), (0, 1));
}

/// All of them signed: Amazon SNS would not, but what is visited must not rest on that.
#[test]
fn only_the_subscriptions_own_url_is_visited() {
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let hosts = [
        HOST,
        "sns.eu-west-1.amazonaws.com",
        "sns.us-east-1.amazonaws.com.cn",
        "sns.us-east-1.amazonaws.com.evil.test",
        "evil.test",
        "amazonaws.com",
        "SNS.us-east-1.amazonaws.com",
        "sns.US-EAST-1.amazonaws.com",
        "127.0.0.1",
        "localhost",
    ];
    let everywhere = hosts.map(|host| (host.into(), vec![trap.local_addr().unwrap()]));
    let names = Names::fixed(everywhere);
    let own = subscribe_url(TOPIC);
    let host = |host: &str| own.replace(HOST, host);
    let (malformed, refused) = ((401, "credential_malformed"), (403, "handshake_refused"));
    let rows = [
        (host("evil.test"), malformed),
        (host("sns.us-east-1.amazonaws.com.evil.test"), malformed),
        (host("sns.us-east-1.amazonaws.com@evil.test"), malformed),
        (host("evil.test#sns.us-east-1.amazonaws.com"), malformed),
        (host("evil.test\\@sns.us-east-1.amazonaws.com"), malformed),
        (host("user@sns.us-east-1.amazonaws.com"), malformed),
        (host("sns.us-east-1.amazonaws.com:443"), malformed),
        (host("sns.us-east-1.amazonaws.com:8443"), malformed),
        (host("sns.us-east-1.amazonaws.com."), malformed),
        (host("SNS.us-east-1.amazonaws.com"), malformed),
        (host("sns.us-east-1.AMAZONAWS.com"), malformed),
        (host("xsns.us-east-1.amazonaws.com"), malformed),
        (host("sns.us-east-1.s3.amazonaws.com"), malformed),
        (host("sqs.us-east-1.amazonaws.com"), malformed),
        (host("amazonaws.com"), malformed),
        (host("127.0.0.1"), malformed),
        (host("localhost"), malformed),
        (own.replace("https", "http"), malformed),
        (own.replace("https", "HTTPS"), malformed),
        (own.replace("https://", "//"), malformed),
        (format!(" {own}"), malformed),
        (host("sns.US-EAST-1.amazonaws.com"), refused),
        (host("sns.eu-west-1.amazonaws.com"), refused),
        (host("sns.us-east-1.amazonaws.com.cn"), refused),
        (own.replace("/?", "?"), refused),
        (own.replace("/?", "//?"), refused),
        (own.replace("/?", "/x?"), refused),
        (own.replace("/?", "/%2F?"), refused),
        (own.replace("ConfirmSubscription", "Unsubscribe"), refused),
        (own.replace("ConfirmSubscription", "confirmsubscription"), refused),
        (own.replace("ConfirmSubscription", "Confirm%53ubscription"), refused),
        (own.replace("Action=ConfirmSubscription&", ""), refused),
        (own.replace("mine", "theirs"), refused),
        (own.replace("arn:aws", "arn%3Aaws"), refused),
        (own.replace(TOKEN, "1"), refused),
        (own.replace(TOKEN, ""), refused),
        (own.replace("&Token", "&token"), refused),
        (format!("{own}&Action=Publish"), refused),
        (format!("{own}#x"), refused),
        (format!("{own}%00"), refused),
        (format!("{own} "), refused),
        (format!("{own}\r"), refused),
    ];
    // A few for each gateway: of many alike not every one has its record.
    for rows in rows.chunks(8) {
        let site = site_where(names.clone(), CONFIRM);
        for (url, (status, reason)) in rows {
            assert_ne!(*url, own);
            let (found, why, _) = told(&site, &Message::confirmation().with("SubscribeURL", url).signed(), "");
            assert_eq!((found, why.as_str()), (*status, *reason), "{url}");
        }
        assert_eq!(site.app.taken().len(), 0);
        assert!(!site.gateway.rejected_text().contains(TOKEN));
    }
    assert_eq!(trap.accept().map(|_| ()).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
    let site = site_where(names, CONFIRM);
    let own = Message::confirmation().signed().delivery();
    thread::scope(|scope| {
        scope.spawn(|| site.send(&own));
        eventually("the visit of the right one", || trap.accept().ok());
    });
}

/// What is signed and listed, and yet makes no address of Amazon SNS.
#[test]
fn a_topic_or_token_that_is_none_makes_no_url() {
    let sns = confirming();
    let long = "a".repeat(2_048);
    let rows = [
        ("arn:aws:sns:us-east-1:123456789012:mine", "1&Action=Publish"),
        ("arn:aws:sns:us-east-1:123456789012:mine", "1%32"),
        ("arn:aws:sns:us-east-1:123456789012:mine", "é"),
        ("arn:aws:sns:us-east-1:123456789012:mine", &long),
        ("arn:aws:sns:us-east-1:12345678901:mine", TOKEN),
        ("arn:aws:sns:us-east-1:123456789012:a&b", TOKEN),
        ("arn:aws:sns:us-east-1:123456789012:a:b", TOKEN),
        ("arn:aws:sns:us-east-1@evil:123456789012:mine", TOKEN),
        ("arn:aws:sns:US-EAST-1:123456789012:mine", TOKEN),
        ("arn:aws:sns::123456789012:mine", TOKEN),
        ("arn:aws-else:sns:us-east-1:123456789012:mine", TOKEN),
        ("arn:aws:sqs:us-east-1:123456789012:mine", TOKEN),
    ];
    for (topic, token) in rows {
        let names = Names::fixed([(HOST.into(), vec![sns.address])]);
        let site =
            try_site(names, &AUTH.replace(TOPIC, topic), CONFIRM).unwrap_or_else(|findings| panic!("{findings}"));
        let url = subscribe_url(topic).replace(TOKEN, token);
        let message = Message::confirmation().with("TopicArn", topic).with("Token", token).with("SubscribeURL", &url);
        let (status, reason, _) = told(&site, &message.signed(), "");
        assert_eq!((status, reason.as_str()), (403, "handshake_refused"), "{topic} {token}");
    }
    assert_eq!(sns.taken().len(), 0);
}

/// Each region and partition has an endpoint of its own.
#[test]
fn the_endpoint_is_that_of_the_topics_region() {
    let rows = [
        ("arn:aws:sns:eu-west-1:123456789012:mine", "sns.eu-west-1.amazonaws.com"),
        ("arn:aws-us-gov:sns:us-gov-west-1:123456789012:mine", "sns.us-gov-west-1.amazonaws.com"),
        ("arn:aws-cn:sns:cn-north-1:123456789012:a_b-C.fifo", "sns.cn-north-1.amazonaws.com.cn"),
    ];
    for (topic, host) in rows {
        let made = cert::make(&[host.to_owned()]).unwrap();
        let sns = App::with_tls(&made.certificate, &made.key, |_| Say::status(200, ""));
        let names = Names::fixed([(host.into(), vec![sns.address])]);
        let site =
            try_site(names, &AUTH.replace(TOPIC, topic), CONFIRM).unwrap_or_else(|findings| panic!("{findings}"));
        std::fs::write(site.file("endpoint.pem"), &made.certificate).unwrap();
        site.load().unwrap();
        let url = subscribe_url(topic).replace(HOST, host);
        let message = Message::confirmation().with("TopicArn", topic).with("SubscribeURL", &url).signed();
        assert_eq!(site.send(&message.delivery()).status, 200, "{host}");
        assert_eq!(sns.only().header("host"), Some(host));
    }
}

#[test]
fn a_visit_that_fails_is_never_told_as_success_and_is_made_again() {
    let say = |bytes: &'static [u8]| move || Say::Last(bytes.to_vec());
    let status = |status: u16| move || Say::with(status, &[("location", "https://127.0.0.1/")], "not yet");
    let rows: Vec<(&str, Says, &str, &str)> = vec![
        ("500", Box::new(status(500)), "upstream_status", "500"),
        ("503", Box::new(status(503)), "upstream_status", "503"),
        ("429", Box::new(status(429)), "upstream_status", "429"),
        ("a token that is over", Box::new(status(400)), "upstream_status", "400"),
        ("404", Box::new(status(404)), "upstream_status", "404"),
        ("a redirect", Box::new(status(302)), "upstream_status", "302"),
        ("a redirect that keeps the method", Box::new(status(307)), "upstream_status", "307"),
        ("garbage", Box::new(say(b"garbage\r\n\r\n")), "error", "\"the answer is not HTTP/1.1\""),
        ("nothing", Box::new(say(b"")), "error", "\"the connection failed\""),
        (
            "half an answer",
            Box::new(say(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")),
            "error",
            "\"the connection failed\"",
        ),
        (
            "far too much",
            Box::new(|| Say::status(200, &"x".repeat(65_537))),
            "error",
            "\"the answer's body is too long\"",
        ),
    ];
    for (name, say, fact, expected) in rows {
        let sns = endpoint(move |taken| if taken.number == 0 { say() } else { Say::status(200, &"x".repeat(65_536)) });
        let site = site(sns.address, CONFIRM);
        let message = Message::confirmation().signed();
        let answer = site.send(&message.delivery());
        let record = site.gateway.record_of(&answer);
        assert_eq!((answer.status, record.reason.as_str()), (502, "upstream_failed"), "{name}");
        assert_eq!(
            (record.detail[fact].to_string().as_str(), record.detail["visited"].as_str()),
            (expected, Some(HOST)),
            "{name}"
        );
        assert!(record.hint.unwrap().contains("not confirmed yet"), "{name}");
        assert_eq!(sns.taken().len(), 1, "{name}: nothing is followed, nothing tried at once");
        assert_eq!(site.send(&message.delivery()).status, 200, "{name}: sent again");
        assert_eq!((sns.taken().len(), site.app.taken().len()), (2, 0), "{name}");
        let logs = site.gateway.rejected_text() + &site.gateway.access_text();
        assert!(!logs.contains(TOKEN), "{name}: {logs}");
    }
}

#[test]
fn an_endpoint_that_does_not_answer_is_waited_for_until_the_deadline() {
    let door = Door::default();
    let behind = door.clone();
    let sns = endpoint(move |taken| {
        if taken.number == 0 {
            behind.wait();
        }
        Say::status(200, "")
    });
    let site = site(sns.address, &format!("deadline_ms = 300\n{CONFIRM}"));
    let message = Message::confirmation().signed();
    assert_eq!(told(&site, &message, "deadline_ms"), (504, "upstream_timeout".to_owned(), "300".to_owned()));
    assert_eq!(sns.taken().len(), 1);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = self::site(silent.local_addr().unwrap(), &format!("deadline_ms = 300\n{CONFIRM}"));
    let (status, reason, error) = told(&nobody, &message, "error");
    assert_eq!((status, reason.as_str()), (503, "upstream_connect"), "within the TLS handshake: nothing was sent");
    assert_eq!(error, "\"timed out\"");
    door.open();
    assert_eq!(sns.taken().len() + site.app.taken().len() + nobody.app.taken().len(), 1);
}

#[test]
fn an_endpoint_that_cannot_be_reached_or_is_somebody_else_is_not_visited() {
    let closed = { TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
    let other = cert::make(&[HOST.to_owned()]).unwrap();
    let misnamed = cert::make(&["sns.eu-west-1.amazonaws.com".to_owned()]).unwrap();
    let [stranger, elsewhere] =
        [&other, &misnamed].map(|made| App::with_tls(&made.certificate, &made.key, |_| Say::status(200, "")));
    let rows = [
        ("nobody listens", vec![closed], None),
        ("nobody knows the name", vec![], None),
        ("another authority", vec![stranger.address], None),
        ("another name", vec![elsewhere.address], Some(&misnamed)),
    ];
    let message = Message::confirmation().signed();
    for (name, addresses, trusted) in rows {
        let site = site_where(Names::fixed([(HOST.into(), addresses)]), CONFIRM);
        if let Some(trusted) = trusted {
            std::fs::write(site.file("endpoint.pem"), &trusted.certificate).unwrap();
            site.load().unwrap();
        }
        let (status, reason, fact) = told(&site, &message, "visited");
        assert_eq!((status, reason.as_str(), fact), (503, "upstream_connect", format!("\"{HOST}\"")), "{name}");
        assert_eq!(site.app.taken().len(), 0, "{name}");
    }
    assert_eq!(stranger.taken().len() + elsewhere.taken().len(), 0);
    let sns = confirming();
    let site = site_where(Names::fixed([(HOST.into(), vec![closed, sns.address])]), CONFIRM);
    assert_eq!(site.send(&message.delivery()).status, 200, "one of its addresses is enough");
}

/// The public authorities alone count where the policy names none.
#[test]
fn a_policy_without_roots_trusts_the_public_authorities() {
    let sns = confirming();
    let site = site(sns.address, "[handshake]\nconfirm = true\nnetworks = [\"127.0.0.0/8\"]");
    assert_eq!(told(&site, &Message::confirmation().signed(), "").1, "upstream_connect");
    assert_eq!(sns.taken().len(), 0);
}

#[test]
fn a_name_that_leads_into_a_network_of_the_operators_is_not_followed() {
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let near = trap.local_addr().unwrap();
    let at = |text: &str| -> SocketAddr { text.parse().unwrap() };
    let rows = [
        ("loopback", vec![near], "127.0.0.1"),
        ("metadata", vec![at("169.254.169.254:443")], "169.254.169.254"),
        ("private", vec![at("10.0.0.1:443")], "10.0.0.1"),
        ("loopback in another form", vec![at("[::ffff:127.0.0.1]:443")], "127.0.0.1"),
        ("IPv6", vec![at("[::1]:443")], "::1"),
        ("one of several", vec![near, at("[fe80::1]:443")], "127.0.0.1"),
    ];
    let message = Message::confirmation().signed();
    let confirm = CONFIRM.replace("networks = [\"127.0.0.0/8\"]", "networks = [\"172.16.0.0/12\"]");
    for (name, addresses, address) in rows {
        let site = site_where(Names::fixed([(HOST.into(), addresses)]), &confirm);
        let (status, reason, found) = told(&site, &message, "found");
        assert_eq!((status, reason.as_str()), (403, "handshake_refused"), "{name}");
        assert!(found.contains(address) && found.contains("not on the public internet"), "{name}: {found}");
    }
    let pending: io::Result<_> = trap.accept();
    assert_eq!(pending.map(|_| ()).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
}

/// An endpoint that answers 200 once its door is open.
fn endpoint_behind_a_door() -> (Door, App) {
    let door = Door::default();
    let behind = door.clone();
    let sns = endpoint(move |_| {
        behind.wait();
        Say::status(200, "")
    });
    (door, sns)
}

#[test]
fn one_visit_is_under_way_and_nobody_waits_in_line() {
    let (door, sns) = endpoint_behind_a_door();
    let site = site(sns.address, CONFIRM);
    let (first, second) = (Message::confirmation().signed(), Message::confirmation().with("MessageId", "m-2").signed());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| site.send(&first.delivery()));
        sns.wait_taken(1);
        let again = site.send(&first.delivery());
        assert_eq!((again.status, site.reason(&again)), (409, "replay_in_flight".to_owned()));
        let other = site.send(&second.delivery());
        assert_eq!((other.status, other.header("retry-after")), (503, Some("5")));
        assert_eq!(site.reason(&other), "overloaded");
        door.open();
        assert_eq!(waiting.join().unwrap().status, 200);
    });
    assert_eq!(site.send(&second.delivery()).status, 200);
    assert_eq!((sns.taken().len(), site.app.taken().len()), (2, 0));
}

#[test]
fn a_subscription_is_confirmed_although_its_sender_has_gone() {
    let (door, sns) = endpoint_behind_a_door();
    let site = site(sns.address, CONFIRM);
    let mut connection = site.gateway.connect();
    connection.write(&Message::confirmation().signed().delivery().bytes());
    sns.wait_taken(1);
    drop(connection);
    door.open();
    eventually("the event", || site.gateway.access_text().contains("a subscription is confirmed").then_some(()));
}

#[test]
fn what_is_wrong_with_a_policy_that_confirms_is_said() {
    let none = || Names::fixed([]);
    let topics = AUTH.split('\n').nth(1).unwrap();
    let keys = AUTH.replace(topics, "");
    let rows = [
        (AUTH, CONFIRM.to_owned(), ""),
        (&keys, CONFIRM.to_owned(), "would subscribe this source to whatever anybody sends it"),
        (AUTH, format!("{CONFIRM}\nmode = \"answer\""), ""),
        (AUTH, format!("{CONFIRM}\nmode = \"forward\""), "has no meaning beside this mode"),
        (AUTH, format!("{CONFIRM}\nmode = \"refuse\""), "has no meaning beside this mode"),
        (AUTH, "[handshake]\nmode = \"answer\"".to_owned(), "leaves a subscription unanswered"),
        (AUTH, "[handshake]\nconfirm = \"yes\"".to_owned(), "a boolean"),
        (
            AUTH,
            "[handshake]\nnetworks = [\"10.0.0.0/8\"]".to_owned(),
            "\"networks\" has no meaning without confirm = true",
        ),
        (AUTH, CONFIRM.replace("true", "false"), "\"trust_roots\" has no meaning without confirm = true"),
        (AUTH, CONFIRM.replace("127.0.0.0/8", "everywhere"), "everywhere"),
        (AUTH, CONFIRM.replace("endpoint.pem", "nobody.pem"), "nobody.pem"),
        (AUTH, "[handshake]\nlearn_secret = \"x\"\nmode = \"forward\"".to_owned(), "hands over no secret"),
    ];
    for (auth, rest, expected) in rows {
        let found = try_site(none(), auth, &rest).err().unwrap_or_default();
        assert!(found.contains(expected) && found.is_empty() == expected.is_empty(), "{rest}: {found}");
    }
    let slack = Site::with("slack", "", "[handshake]\nconfirm = true").err().unwrap();
    assert!(slack.contains("provider \"slack\" asks for no confirmation"), "{slack}");
    let github = Site::with("github", "", "[handshake]\nconfirm = true").err().unwrap();
    assert!(github.contains("provider \"github\" has no handshake"), "{github}");
}

#[test]
fn a_choice_of_methods_confirms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let rows = [("all", true), ("any", false)];
    for (combine, good) in rows {
        let methods = format!(
            "[[auth.method]]\nprovider = \"token\"\nsecrets = [{{ id = \"1\", env = \"T\" }}]\n[[auth.method]]\nprovider = \"aws-sns\"\n{AUTH}"
        );
        let policy = format!(
            "path = \"/p\"\n[auth]\ncombine = \"{combine}\"\n{methods}\n[handshake]\nconfirm = true\n[forward]\nto = \"http://127.0.0.1:9/\"\n"
        );
        std::fs::create_dir_all(folder.path().join("policies")).unwrap();
        std::fs::write(folder.path().join("policies/p.toml"), policy).unwrap();
        std::fs::write(folder.path().join("hookward.toml"), "[policies]\ndirectory = \"policies\"\n").unwrap();
        let Ran { code, out, .. } = run(folder.path(), &["check", "--no-secrets"]);
        assert_eq!((code == 0, out.contains("combine = \"any\" takes less")), (good, !good), "{out}");
    }
}

#[test]
fn check_says_who_confirms() {
    let rows = [
        ("", true),
        ("[handshake]\nmode = \"forward\"", false),
        ("[handshake]\nmode = \"refuse\"", false),
        ("[handshake]\nconfirm = true", false),
        ("[handshake]\nconfirm = false", false),
    ];
    for (rest, told) in rows {
        let folder = policy(rest);
        let Ran { code, out, .. } = run(folder.path(), &["check", "--no-secrets"]);
        assert_eq!((code, out.contains("goes to the app, as a delivery")), (0, told), "{rest}: {out}");
        assert_eq!(out.contains("confirm = true in [handshake]"), told, "{rest}: {out}");
    }
    let Ran { out, .. } = run(policy("").path(), &["providers", "aws-sns"]);
    assert!(out.contains("where the policy says `[handshake] confirm = true`"), "{out}");
}

/// A folder with a policy for SNS, and the certificate.
fn policy(rest: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let wanted = crate::certificates::Wanted { common_name: "sns", alternative_names: &[], years: (2020, 2040) };
    let policy = format!(
        "path = \"/p\"\n[auth]\nprovider = \"aws-sns\"\n{AUTH}\n{rest}\n[forward]\nto = \"http://127.0.0.1:9/\"\n"
    );
    std::fs::create_dir_all(folder.path().join("policies")).unwrap();
    std::fs::write(folder.path().join("policies/p.toml"), policy).unwrap();
    std::fs::write(folder.path().join("policies/sns.pem"), crate::certificates::ROOT.certify(&wanted)).unwrap();
    std::fs::write(folder.path().join("hookward.toml"), "[policies]\ndirectory = \"policies\"\n").unwrap();
    folder
}

#[test]
fn a_recorded_confirmation_is_answered_and_visits_nothing() {
    let body = base64(&Message::confirmation().signed().delivery().body);
    let record = format!(
        "{{\"id\":\"1\",\"method\":\"POST\",\"url\":\"https://localhost/p\",\"headers\":[[\"content-type\",\"text/plain\"]],\"body_b64\":\"{body}\"}}\n"
    );
    for (rest, verdict) in [("[handshake]\nconfirm = true", "answer"), ("[handshake]\nmode = \"forward\"", "accept")] {
        let folder = policy(rest);
        std::fs::write(folder.path().join("one.jsonl"), &record).unwrap();
        let ran = run(folder.path(), &["test", "one.jsonl"]);
        assert_eq!((ran.code, ran.out.contains(&format!("\"verdict\":\"{verdict}\""))), (0, true), "{ran:?}");
        assert!(!ran.out.contains(TOKEN), "{ran:?}");
    }
}
