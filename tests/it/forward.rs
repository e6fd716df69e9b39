//! The way to the app: whatever it does, its failure is told as its own, and a delivery arrives once.

use hookward::cli::cert;

use crate::gateway::github;
use crate::support::app::Door;
use crate::support::{App, Delivery, House, Say};

/// What an app says, whenever it is asked.
type Answer = Box<dyn Fn() -> Say + Send + Sync>;

/// Defects a and b: an app's failure is neither success nor the sender's fault.
#[test]
fn whatever_goes_wrong_at_the_app_is_told_as_the_apps_failure() {
    let say = |bytes: &'static str| move || Say::Last(bytes.as_bytes().to_vec());
    let status = |status: u16| move || Say::with(status, &[("location", "/x")], "secret of the app");
    let rows: Vec<(&str, Answer, u16, &str)> = vec![
        ("garbage", Box::new(say("garbage\r\n\r\n")), 502, "upstream_failed"),
        ("HTTP/2 preface", Box::new(say("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")), 502, "upstream_failed"),
        ("no answer", Box::new(say("")), 502, "upstream_failed"),
        ("half a head", Box::new(say("HTTP/1.1 200 OK\r\ncontent-le")), 502, "upstream_failed"),
        ("half a body", Box::new(say("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")), 502, "upstream_failed"),
        (
            "half a chunk",
            Box::new(say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab")),
            502,
            "upstream_failed",
        ),
        (
            "switching protocols",
            Box::new(say("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n")),
            502,
            "upstream_failed",
        ),
        ("300", Box::new(status(300)), 502, "upstream_failed"),
        ("302", Box::new(status(302)), 502, "upstream_failed"),
        ("304", Box::new(say("HTTP/1.1 304 Not Modified\r\n\r\n")), 502, "upstream_failed"),
        ("500", Box::new(status(500)), 502, "upstream_failed"),
        ("501", Box::new(status(501)), 502, "upstream_failed"),
        ("502", Box::new(status(502)), 502, "upstream_failed"),
        ("504", Box::new(status(504)), 502, "upstream_failed"),
        ("429", Box::new(status(429)), 503, "upstream_overloaded"),
        ("503", Box::new(status(503)), 503, "upstream_overloaded"),
    ];
    for (name, say, status, reason) in rows {
        let app = App::saying(move |_| say());
        let gateway = House::with("github", &github(&app, "")).start();
        let answer = gateway.connect().send(&Delivery::github("push", "{}"));
        assert_eq!(answer.status, status, "{name}");
        let record = gateway.record_of(&answer);
        assert_eq!((record.reason.as_str(), record.blame.as_deref()), (reason, Some("upstream")), "{name}");
        assert_eq!(record.status, Some(status), "{name}");
        assert!(!answer.text().contains("secret of the app") && answer.header("location").is_none(), "{name}");
        assert_eq!(answer.header("retry-after"), (reason == "upstream_overloaded").then_some("5"), "{name}");
        assert_eq!(app.taken().len(), 1, "{name}: sent once, since something was sent");
    }
}

#[test]
fn an_overloaded_app_says_when_to_come_back() {
    let app = App::saying(|_| Say::with(429, &[("retry-after", "17")], ""));
    let gateway = House::with("github", &github(&app, "")).start();
    assert_eq!(gateway.connect().send(&Delivery::github("push", "{}")).header("retry-after"), Some("17"));
}

#[test]
fn the_apps_own_refusals_are_relayed() {
    for status in [400, 401, 404, 409, 410, 413, 422] {
        let app = App::saying(move |_| Say::with(status, &[("content-type", "text/plain")], "no, since"));
        let gateway = House::with("github", &github(&app, "")).start();
        let answer = gateway.connect().send(&Delivery::github("push", "{}"));
        assert_eq!((answer.status, answer.text()), (status, "no, since"));
        assert!(gateway.records().is_empty(), "{status}");
    }
}

#[test]
fn an_app_that_is_not_there_costs_503() {
    let rows = ["to = \"http://127.0.0.1:1/x\"", "to = \"unix:none.sock:/x\"", "to = \"https://127.0.0.1:1/x\""];
    for to in rows {
        let policy = github(&App::start(), "");
        let there = policy.lines().find(|line| line.starts_with("to = ")).unwrap().to_owned();
        let gateway = House::with("github", &policy.replace(&there, to)).start();
        let answer = gateway.connect().send(&Delivery::github("push", "{}"));
        assert_eq!(answer.status, 503, "{to}");
        assert_eq!(gateway.record_of(&answer).reason, "upstream_connect", "{to}");
    }
}

#[test]
fn a_slow_app_costs_504_after_its_deadline() {
    let door = Door::default();
    let waiting = door.clone();
    let app = App::saying(move |_| {
        waiting.wait();
        Say::status(200, "late")
    });
    let gateway = House::with("github", &github(&app, "deadline_ms = 100")).start();
    let answer = gateway.connect().send(&Delivery::github("push", "{}"));
    assert_eq!(answer.status, 504);
    let record = gateway.record_of(&answer);
    assert_eq!(record.reason, "upstream_timeout");
    assert_eq!(record.detail["deadline_ms"], 100);
    door.open();
    let answer = gateway.connect().send(&Delivery::github("push", "[]"));
    assert_eq!((answer.status, answer.text()), (200, "late"), "the late answer is nobody else's");
    assert_eq!(app.taken().len(), 2);
    assert_ne!(app.taken()[0].connection, app.taken()[1].connection);
}

#[test]
fn an_answer_over_its_cap_costs_502() {
    for (bytes, status) in [(15, 200), (16, 200), (17, 502)] {
        for chunked in [false, true] {
            let body = "x".repeat(bytes);
            let app = App::saying(move |_| {
                if !chunked {
                    return Say::status(200, &body);
                }
                let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                Say::Bytes(format!("{head}{bytes:x}\r\n{body}\r\n0\r\n\r\n").into_bytes())
            });
            let house = House::with("github", &github(&app, ""));
            let gateway = house.edge(|edge| edge.response_bytes_max = 16).start();
            let answer = gateway.connect().send(&Delivery::github("push", "{}"));
            assert_eq!(answer.status, status, "{bytes} bytes, chunked {chunked}");
            if status == 502 {
                assert_eq!(gateway.record_of(&answer).reason, "upstream_failed", "{bytes} bytes");
            }
        }
    }
}

#[test]
fn deliveries_one_after_the_other_share_a_connection() {
    let app = App::start();
    let gateway = House::with("github", &github(&app, "")).start();
    for body in ["1", "2", "3"] {
        assert_eq!(gateway.connect().send(&Delivery::github("push", body)).status, 200);
    }
    let connections: Vec<_> = app.taken().iter().map(|taken| taken.connection).collect();
    assert_eq!(connections, [0, 0, 0]);
}

#[test]
fn a_connection_that_the_app_closed_while_it_was_idle_is_not_used_again() {
    let app = App::saying(|taken| match taken.number {
        0 => Say::Last(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec()),
        _ => Say::status(200, "ok"),
    });
    let gateway = House::with("github", &github(&app, "")).start();
    assert_eq!(gateway.connect().send(&Delivery::github("push", "1")).status, 200);
    app.wait_closed(1);
    let answer = gateway.connect().send(&Delivery::github("push", "2"));
    assert_eq!((answer.status, answer.text()), (200, "ok"));
    let taken = app.taken();
    assert_eq!(
        taken.iter().map(|taken| (taken.body.as_slice(), taken.connection)).collect::<Vec<_>>(),
        [(&b"1"[..], 0), (&b"2"[..], 1)]
    );
}

/// Bytes behind an answer would be the answer to somebody else's delivery.
#[test]
fn what_an_app_sends_unasked_answers_no_delivery() {
    let app = App::saying(|taken| match taken.number {
        0 => Say::Bytes(
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil".to_vec(),
        ),
        _ => Say::status(200, "second"),
    });
    let gateway = House::with("github", &github(&app, "")).start();
    assert_eq!(gateway.connect().send(&Delivery::github("push", "1")).text(), "ok");
    let answer = gateway.connect().send(&Delivery::github("push", "2"));
    assert_eq!((answer.status, answer.text()), (200, "second"));
    assert_eq!(app.taken()[1].connection, 1);
}

#[test]
fn an_app_on_a_unix_socket_is_reached() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("app.sock");
    let app = App::on_socket(&socket, |_| Say::status(200, "ok"));
    let policy = github(&App::start(), "");
    let there = policy.lines().find(|line| line.starts_with("to = ")).unwrap().to_owned();
    let to = format!("to = \"unix:{}:/webhooks/github\"", socket.display());
    let gateway = House::with("github", &policy.replace(&there, &to)).start();
    assert_eq!(gateway.connect().send(&Delivery::github("push", "{}").target("/hooks/github?a=1")).status, 200);
    let taken = app.only();
    assert_eq!((taken.line.as_str(), taken.header("host")), ("POST /webhooks/github?a=1 HTTP/1.1", Some("localhost")));
}

#[test]
fn an_https_app_is_trusted_by_its_roots_and_its_name_alone() {
    let made = |name: &str| cert::make(&[name.to_owned()]).unwrap();
    let (ours, other, misnamed) = (made("127.0.0.1"), made("127.0.0.1"), made("app.internal"));
    let (old, young) = (dated(2020, 2021), dated(2120, 2121));
    let untrusted = "the upstream's certificate does not lead to a trusted root";
    let rows = [
        ("trusted", &ours, Some(&ours), 200, ""),
        ("no roots: the public ones", &ours, None, 503, untrusted),
        ("another root", &ours, Some(&other), 503, "the upstream's certificate is refused"),
        ("another name", &misnamed, Some(&misnamed), 503, "the upstream's certificate is for another name"),
        ("expired", &old, Some(&old), 503, "the upstream's certificate has expired"),
        ("not valid yet", &young, Some(&young), 503, "the upstream's certificate is not valid yet"),
    ];
    for (name, shown, trusted, status, error) in rows {
        let app = App::with_tls(&shown.certificate, &shown.key, |_| Say::status(200, "ok"));
        let policy = github(&app, if trusted.is_some() { "trust_roots = [{ file = \"root.pem\" }]" } else { "" });
        let policy = policy.replace("http://127.0.0.1", "https://127.0.0.1");
        let root = trusted.map_or("", |made| made.certificate.as_str());
        let gateway = House::with("github", &policy).file("root.pem", root).start();
        let answer = gateway.connect().send(&Delivery::github("push", "{}"));
        assert_eq!(answer.status, status, "{name}");
        assert_eq!(app.taken().len(), usize::from(status == 200), "{name}");
        if status == 503 {
            let record = gateway.record_of(&answer);
            assert_eq!(
                (record.reason.as_str(), record.detail["error"].as_str()),
                ("upstream_connect", Some(error)),
                "{name}"
            );
        }
    }
}

/// A certificate for this machine that is valid from one year to the other.
fn dated(from: i32, to: i32) -> cert::Made {
    let mut parameters = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    (parameters.not_before, parameters.not_after) = (rcgen::date_time_ymd(from, 1, 1), rcgen::date_time_ymd(to, 1, 1));
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap().pem();
    cert::Made { certificate, key: key.serialize_pem() }
}

#[test]
fn the_query_goes_on_byte_for_byte_without_the_credential() {
    let app = App::start();
    let policy = format!(
        "path = \"/hooks/q\"\n[auth]\nprovider = \"token\"\nsecrets = [{{ id = \"1\", env = \"QUERY\" }}]\n\
         [auth.parameters]\nquery = \"key\"\n[forward]\n{}\n",
        app.to("/webhooks/q")
    );
    let gateway = House::with("q", &policy).start();
    let secret = crate::support::secret_of("QUERY");
    let rows = [
        (format!("?key={secret}"), String::new()),
        (format!("?a=%20b&key={secret}&c=+d&&e=%C3%A9"), "?a=%20b&c=+d&&e=%C3%A9".to_owned()),
        (format!("?k%65y={secret}&x=%2e%2E/../"), "?x=%2e%2E/../".to_owned()),
    ];
    for (position, (sent, arrives)) in rows.into_iter().enumerate() {
        let answer = gateway.connect().send(&Delivery::post(&format!("/hooks/q{sent}"), "{}"));
        assert_eq!(answer.status, 200, "{sent}");
        let taken = &app.taken()[position];
        assert_eq!(taken.line, format!("POST /webhooks/q{arrives} HTTP/1.1"), "{sent}");
        assert!(!format!("{taken:?}").contains(&secret), "{sent}");
    }
}

/// Only the route's own path reaches the app, and only an exact path is a route.
#[test]
fn a_path_that_another_server_would_resolve_is_no_route() {
    let app = App::start();
    let gateway = House::with("github", &github(&app, "")).start();
    let paths = [
        "/hooks/github/",
        "/hooks//github",
        "/hooks/./github",
        "/x/../hooks/github",
        "/hooks/%67ithub",
        "/hooks/github%00",
        "/hooks%2fgithub",
        "/hooks/github;x",
        "/HOOKS/github",
        "/hooks/github%2f..",
        "/hooks\\github",
    ];
    for path in paths {
        let answer = gateway.connect().send(&Delivery::github("push", "{}").target(path));
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
    }
    assert!(app.taken().is_empty());
}
