//! Apps that mean harm, or are broken so that it looks the same: each costs its own delivery, which fails, and nothing else.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::gateway::github;
use crate::support::{App, Delivery, House, PATIENCE, Say};

/// The longest body of an answer in these tests.
const ANSWER_BYTES_MAX: usize = 1024;

/// What an app answers a delivery with, and the status and the words of the record that come of it.
type Row = (&'static str, String, u16, &'static str);

fn answer(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}")
}

fn fields(count: usize) -> String {
    let fields: Vec<_> = (0..count).map(|number| format!("x-{number}: y\r\n")).collect();
    fields.concat()
}

fn heads() -> Vec<Row> {
    let whole = answer("content-length: 2\r\n", "ok");
    let interim = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    let long = "the answer's head is too long";
    vec![
        ("some interim answers", interim.repeat(10) + &whole, 200, ""),
        ("a flood of interim answers", interim.repeat(20_000) + &whole, 502, long),
        ("100 fields", answer(&(fields(99) + "content-length: 2\r\n"), "ok"), 200, ""),
        ("101 fields", answer(&(fields(100) + "content-length: 2\r\n"), "ok"), 502, long),
        ("a long field", answer(&format!("x: {}\r\ncontent-length: 2\r\n", "y".repeat(50_000)), "ok"), 200, ""),
        ("too long a field", answer(&format!("x: {}\r\ncontent-length: 2\r\n", "y".repeat(140_000)), "ok"), 502, long),
        ("HTTP/0.9", "ok\r\n\r\n".to_owned(), 502, "the answer is not HTTP/1.1"),
        ("another version", "HTTP/3.0 200 OK\r\n\r\n".to_owned(), 502, "the answer is not HTTP/1.1"),
        ("no status", "HTTP/1.1 OK\r\n\r\n".to_owned(), 502, "the answer is not HTTP/1.1"),
        ("a field without a name", answer(": x\r\ncontent-length: 2\r\n", "ok"), 502, "the answer is not HTTP/1.1"),
    ]
}

fn lengths() -> Vec<Row> {
    let (chunked, two) = ("transfer-encoding: chunked\r\n", "2\r\nok\r\n0\r\n\r\n");
    let ambiguous = "the answer's length is told in more than one way";
    let broken = "the answer is not HTTP/1.1";
    let within = "x".repeat(ANSWER_BYTES_MAX);
    let over = "x".repeat(ANSWER_BYTES_MAX + 1);
    vec![
        ("chunks", answer(chunked, two), 200, ""),
        ("chunks and a length", answer(&format!("{chunked}content-length: 2\r\n"), two), 502, ambiguous),
        ("a length and chunks", answer(&format!("content-length: 12\r\n{chunked}"), two), 502, ambiguous),
        ("chunked twice", answer(&chunked.repeat(2), two), 502, ambiguous),
        ("another coding", answer("transfer-encoding: gzip, chunked\r\n", two), 502, ambiguous),
        ("no coding that is known", answer("transfer-encoding: identity\r\n", "ok"), 502, ambiguous),
        ("chunks in HTTP/1.0", format!("HTTP/1.0 200 OK\r\n{chunked}\r\n{two}"), 502, broken),
        ("the same length twice", answer(&"content-length: 2\r\n".repeat(2), "ok"), 200, ""),
        ("two lengths", answer("content-length: 2\r\ncontent-length: 3\r\n", "okk"), 502, broken),
        ("a negative length", answer("content-length: -2\r\n", "ok"), 502, broken),
        ("a length beyond all", answer("content-length: 99999999999999999999\r\n", "ok"), 502, broken),
        ("a length over the cap", answer(&format!("content-length: {}\r\n", over.len()), &over), 502, "too long"),
        ("no length", answer("", "ok"), 200, ""),
        ("no length, up to the cap", answer("", &within), 200, ""),
        ("no length, over the cap", answer("", &over), 502, "too long"),
        ("no chunk size", answer(chunked, "zz\r\nok\r\n0\r\n\r\n"), 502, ""),
        ("a chunk size beyond all", answer(chunked, "fffffffffffffffff\r\nok"), 502, ""),
        ("a long chunk extension", answer(chunked, &format!("2;{}\r\nok\r\n0\r\n\r\n", "x".repeat(40_000))), 502, ""),
        ("trailers without end", answer(chunked, &format!("2\r\nok\r\n0\r\n{}\r\n", fields(5_000))), 502, ""),
    ]
}

/// A failure is never told as success, and the connection it came on serves no other delivery.
#[test]
fn a_hostile_answer_fails_its_own_delivery_and_its_connection_is_not_used_again() {
    let mut wrong = Vec::new();
    for (name, bytes, status, error) in heads().into_iter().chain(lengths()) {
        let app = App::saying(move |taken| match taken.number {
            0 => Say::Last(bytes.clone().into_bytes()),
            _ => Say::status(200, "next"),
        });
        let house = House::with("github", &github(&app, ""));
        let gateway = house.edge(|edge| edge.response_bytes_max = ANSWER_BYTES_MAX).start();
        let first = gateway.connect().send(&Delivery::github("push", "1"));
        app.wait_closed(1);
        let second = gateway.connect().send(&Delivery::github("push", "2"));
        if first.status != status {
            wrong.push(format!("{name}: {}", first.status));
            continue;
        }
        if status == 502 {
            let record = gateway.record_of(&first);
            let told = record.detail.get("error").and_then(serde_json::Value::as_str).unwrap_or_default();
            if record.reason != "upstream_failed" || !told.contains(error) {
                wrong.push(format!("{name}: {} {told:?}", record.reason));
            }
        }
        let connections: Vec<_> = app.taken().iter().map(|taken| taken.connection).collect();
        if (second.status, second.text()) != (200, "next") || connections != [0, 1] {
            wrong.push(format!("{name}: the next delivery got {} on {connections:?}", second.status));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn a_redirect_is_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = App::start();
        let to = format!("http://{}/webhooks/github", elsewhere.address);
        let app = App::saying(move |_| Say::with(status, &[("location", &to)], ""));
        let gateway = House::with("github", &github(&app, "")).start();
        let answer = gateway.connect().send(&Delivery::github("push", "{}"));
        assert_eq!((answer.status, answer.header("location")), (502, None), "{status}");
        let record = gateway.record_of(&answer);
        assert_eq!(record.reason, "upstream_failed", "{status}");
        assert_eq!(record.detail["upstream_status"], status);
        assert_eq!((app.taken().len(), elsewhere.taken().len()), (1, 0), "{status}");
    }
}

/// A port on which each connection is given to `serve`, with its number.
fn listen(serve: impl Fn(usize, TcpStream) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // So that what is not read here soon stays with the sender.
    socket2::SockRef::from(&listener).set_recv_buffer_size(4096).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (serve, stream) = (serve.clone(), stream.unwrap());
            thread::spawn(move || serve(number, stream));
        }
    });
    format!("to = \"http://{address}/x\"")
}

/// The policy for this upstream.
fn policy(to: &str, forward: &str) -> String {
    let app = App::start();
    github(&app, forward).replace(&app.to("/webhooks/github"), to)
}

/// Each byte is in time; the answer is not.
#[test]
fn an_answer_that_drips_costs_504_and_its_connection() {
    for begin in ["HTTP/1.1 200 OK\r\nx: ", "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n"] {
        let (closed, closes) = mpsc::channel();
        let to = listen(move |_, mut stream| {
            let mut room = [0; 4096];
            assert!(stream.read(&mut room).unwrap() > 0);
            stream.write_all(begin.as_bytes()).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
            loop {
                match stream.read(&mut room) {
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                    Ok(0) | Err(_) => break,
                    Ok(_) => {}
                }
                if stream.write_all(b"x").is_err() {
                    break;
                }
            }
            let _ = closed.send(());
        });
        let gateway = House::with("github", &policy(&to, "deadline_ms = 200")).start();
        let answer = gateway.connect().send(&Delivery::github("push", "{}"));
        assert_eq!(answer.status, 504, "{begin}");
        assert_eq!(gateway.record_of(&answer).reason, "upstream_timeout", "{begin}");
        assert!(closes.recv_timeout(PATIENCE).is_ok(), "{begin}: the connection was dropped");
    }
}

/// Half an answer is none, and a reset is not the sender's fault.
#[test]
fn an_app_that_resets_in_the_middle_costs_502() {
    for said in ["", "HTTP/1.1 200 OK\r\ncontent-le", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"] {
        let (taken, takes) = mpsc::channel();
        let to = listen(move |_, mut stream| {
            let mut room = [0; 4096];
            assert!(stream.read(&mut room).unwrap() > 0);
            taken.send(()).unwrap();
            stream.write_all(said.as_bytes()).unwrap();
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        });
        let gateway = House::with("github", &policy(&to, "")).start();
        let answer = gateway.connect().send(&Delivery::github("push", "{}"));
        assert_eq!(answer.status, 502, "{said:?}");
        assert_eq!(gateway.record_of(&answer).reason, "upstream_failed", "{said:?}");
        assert_eq!(takes.try_iter().count(), 1, "{said:?}: sent once");
    }
}

/// It would be the answer to whoever comes next.
#[test]
fn what_an_app_says_on_an_idle_connection_answers_no_delivery() {
    let (turn, turns) = mpsc::channel::<()>();
    let (told, tells) = mpsc::channel();
    let turns = std::sync::Arc::new(std::sync::Mutex::new(turns));
    let to = listen(move |number, mut stream| {
        let mut room = [0; 4096];
        assert!(stream.read(&mut room).unwrap() > 0);
        let body = number.to_string();
        stream.write_all(answer("content-length: 1\r\n", &body).as_bytes()).unwrap();
        if number == 0 {
            turns.lock().unwrap().recv().unwrap();
            stream.write_all(answer("content-length: 4\r\n", "evil").as_bytes()).unwrap();
            told.send(()).unwrap();
        }
        thread::park();
    });
    let gateway = House::with("github", &policy(&to, "")).start();
    assert_eq!(gateway.connect().send(&Delivery::github("push", "0")).text(), "0");
    turn.send(()).unwrap();
    tells.recv_timeout(PATIENCE).unwrap();
    let second = gateway.connect().send(&Delivery::github("push", "1"));
    assert_eq!((second.status, second.text()), (200, "1"));
}

/// The deadline holds for TLS, too, and a connection without it is none: nothing was sent.
#[test]
fn an_https_app_that_is_silent_or_speaks_something_else_is_not_waited_for() {
    let rows = [(None, "timed out"), (Some("HTTP/1.1 400 Bad Request\r\n\r\n"), "the TLS handshake failed")];
    for (said, error) in rows {
        let to = listen(move |_, mut stream| {
            if let Some(said) = said {
                stream.write_all(said.as_bytes()).unwrap();
            }
            thread::park();
        });
        let to = to.replace("http://", "https://");
        let gateway = House::with("github", &policy(&to, "deadline_ms = 300")).start();
        let answer = gateway.connect().send(&Delivery::github("push", "{}"));
        assert_eq!(answer.status, 503, "{error}");
        let record = gateway.record_of(&answer);
        assert_eq!((&*record.reason, record.detail["error"].as_str()), ("upstream_connect", Some(error)));
    }
}

/// The rest of such a request would be in the way of the next.
#[test]
fn a_connection_on_which_a_request_was_answered_unread_is_not_used_again() {
    let to = listen(|number, mut stream| {
        let mut room = [0; 1024];
        assert!(stream.read(&mut room).unwrap() > 0);
        let body = number.to_string();
        stream.write_all(answer(&format!("content-length: {}\r\n", body.len()), &body).as_bytes()).unwrap();
        thread::park();
    });
    let policy = format!("body_bytes_max = 8_388_608\n{}", policy(&to, ""));
    let gateway = House::with("github", &policy).start();
    for number in ["0", "1"] {
        let body = format!("\"{}\"", number.repeat(7 << 20));
        let answer = gateway.connect().send(&Delivery::github("push", &body));
        assert_eq!((answer.status, answer.text()), (200, number));
    }
}

/// Spellings of 169.254.169.254 that only the system's resolver takes for an address.
#[test]
fn a_name_that_leads_to_a_link_local_address_is_not_connected_to() {
    for host in ["0xa9fea9fe", "2852039166", "169.254.43518"] {
        let gateway = House::with("github", &policy(&format!("to = \"http://{host}/x\""), "")).start();
        let answer = gateway.connect().send(&Delivery::github("push", "{}"));
        assert_eq!(answer.status, 503, "{host}");
        let record = gateway.record_of(&answer);
        assert_eq!(record.reason, "upstream_connect", "{host}");
        assert_eq!(record.detail["error"], "address not available", "{host}");
    }
}
