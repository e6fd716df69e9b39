//! What must never be written is looked for in everything that is: logs, metrics, answers, `Debug`.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use rustix::process::Signal;

use crate::gateway::github;
use crate::support::served::Serve;
use crate::support::{App, Delivery, House, Running, Say, Taken, secret_of};

/// A text that stands in no other place. It is in the name of each secret's variable, and so in the secret.
const SENTINEL: &str = "SeNtInEl";

const SCHEMA: &str =
    r#"{"type":"object","required":["n"],"properties":{"n":{"type":"integer"},"type":{"enum":["a"]}}}"#;

/// What is planted at this place of a request.
fn planted(place: &str) -> String {
    format!("{SENTINEL}-{place}")
}

/// A body with planted values and names.
fn body(text: &str) -> String {
    text.replace("VALUE", &planted("value")).replace("MEMBER", &planted("member"))
}

fn house(app: &App) -> House {
    let signing = github(app, "sign = { env = \"SeNtInEl_FORWARD\" }").replace("\"GITHUB\"", "\"SeNtInEl_GITHUB\"");
    let rules =
        "[event.schema]\na = \"a.json\"\n[sanitize]\nunknown_fields = \"drop\"\ncontrol_characters = \"refuse\"\n";
    let token = format!(
        "path = \"/hooks/token\"\n[auth]\nprovider = \"token\"\nsecrets = [{{ id = \"1\", env = \"SeNtInEl_QUERY\" }}]\n\
         [auth.parameters]\nquery = \"key\"\n[forward]\n{}\n",
        app.to("/token")
    );
    let basic = format!(
        "path = \"/hooks/basic\"\n[auth]\nprovider = \"basic\"\nsecrets = [{{ id = \"1\", env = \"BASIC\" }}]\n\
         [forward]\n{}\n",
        app.to("/basic")
    );
    House::with("github", &(signing + rules)).file("a.json", SCHEMA).policy("token", &token).policy("basic", &basic)
}

/// A signed delivery with something planted wherever there is room.
fn push(text: &str) -> Delivery {
    let delivery = Delivery::post("/hooks/github", &body(text)).header("x-github-event", "a");
    let fields = [("x-github-delivery", "id"), ("x-custom", "field"), ("cookie", "cookie"), ("user-agent", "agent")];
    let delivery = fields.iter().fold(delivery, |delivery, (name, place)| delivery.header(name, &planted(place)));
    delivery.signed("github", "SeNtInEl_GITHUB").target(&format!("/hooks/github?q={}", planted("query")))
}

/// Good and bad in every way that might tempt somebody to quote it.
fn deliveries() -> Vec<Delivery> {
    let good = push(r#"{"n":1,"MEMBER":"VALUE"}"#);
    let with = |name: &str, value: &str| good.clone().replace(name, value);
    let signature = "x-hub-signature-256";
    let token =
        |key: &str| Delivery::post(&format!("/hooks/token?key={key}&x={}", planted("query")), &body("\"VALUE\""));
    let basic = || Delivery::post("/hooks/basic", &body("\"VALUE\""));
    vec![
        good.clone().target(&format!("/hooks/github?ok={}", planted("query"))),
        good.clone(),
        with(signature, &planted("signature")),
        with(signature, &format!("sha256={}", "0".repeat(64))),
        with(signature, &good.value(signature).to_uppercase()),
        good.clone().header(signature, &planted("signature")),
        with("content-type", &format!("text/plain; x={}", planted("type"))),
        with("expect", &planted("expect")),
        with("host", &format!("{} x", planted("host"))),
        good.header("content-encoding", &planted("coding")),
        push(r#"{"n":"VALUE","MEMBER":{"VALUE":["VALUE"]}}"#),
        push(r#"{"MEMBER":"VALUE"}"#),
        push(r#"{"n":1,"type":"VALUE"}"#),
        push(r#"{"n":1,"MEMBER":"VALUE\u0007"}"#),
        push(r#"{"n":1,"type":"a\u0007VALUE"}"#),
        push(r#"{"MEMBER":"VALUE","MEMBER":"VALUE"}"#),
        push(r#"{"n":1,"MEMBER":"VALUE"#),
        push(r#"{"n":1,"MEMBER":VALUE}"#),
        push(r#"{"n":1,"MEMBER":"\ud800VALUE"}"#),
        Delivery::post("/hooks/nobody", &body("VALUE")),
        token(&secret_of("SeNtInEl_QUERY")),
        token(&planted("key")),
        token("ok"),
        basic().signed("basic", "BASIC"),
        basic().header("authorization", &format!("Basic {}", planted("basic"))),
        basic().header("authorization", &format!("Bearer {}", planted("bearer"))),
    ]
}

#[test]
fn secrets_and_payload_values_are_written_nowhere() {
    for text_log in [false, true] {
        let app = App::saying(|taken| {
            let (status, body) = if taken.line.contains("ok") { (200, "ok") } else { (500, "SeNtInEl-answer") };
            Say::status(status, body)
        });
        let house = house(&app);
        let mut gateway = if text_log { house.text_log() } else { house }.start();
        let mut written: Vec<(String, String)> = Vec::new();
        for delivery in deliveries() {
            let answer = gateway.connect().send(&delivery);
            written.push((
                format!("the answer to {delivery:?}"),
                format!("{answer:?} {}", String::from_utf8_lossy(&answer.body)),
            ));
        }
        let has_value = |taken: &Taken| String::from_utf8_lossy(&taken.body).contains(&planted("value"));
        assert!(app.taken().len() >= 5 && app.taken().iter().any(has_value), "some arrived, with what is looked for");
        written.extend(everything_else(&mut gateway));
        for (place, text) in &written {
            for wanted in wanted() {
                assert!(
                    !text.contains(&wanted),
                    "{wanted:?} in {place}, text log {text_log}: {}",
                    around(text, &wanted)
                );
            }
        }
    }
}

/// The process itself, as others on the machine see it.
#[test]
fn a_running_gateway_shows_its_secrets_to_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let serve = Serve { shell: Some((":", "2>errors")), ..Serve::new(folder.path(), &github(&App::start(), "")) };
    let mut served = serve.start();
    let push = Delivery::github("push", "{}");
    let mut connection = served.connect();
    assert_eq!(connection.send(&push).status, 200);
    assert_eq!(connection.send(&push.without("x-hub-signature-256")).status, 401);
    let process = |file: &str| format!("/proc/{}/{file}", served.pid().as_raw_nonzero());
    let read = |file: &str| fs::read_to_string(process(file)).unwrap();
    let command = read("cmdline");
    assert!(command.contains("serve") && !command.contains(&secret_of("GITHUB")), "{command}");
    let (status, limits) = (read("status"), read("limits"));
    let core: Vec<_> = limits.lines().find(|line| line.starts_with("Max core")).unwrap().split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"], "{limits}");
    assert!(status.contains("NoNewPrivs:\t1\n"), "{status}");
    // Whoever runs this, root owns what others of the same user must not read.
    assert_eq!(fs::metadata(process("environ")).unwrap().uid(), 0);

    served.signal(Signal::HUP);
    served.line("reloaded");
    fs::write(folder.path().join("policies/github.toml"), "broken").unwrap();
    served.signal(Signal::TERM);
    assert!(served.ended().success());
    for file in ["errors", "rejected.jsonl"] {
        let text = fs::read_to_string(folder.path().join(file)).unwrap();
        assert!(!text.is_empty() && !text.contains(&secret_of("GITHUB")), "{file}: {text}");
    }
}

/// What a gateway shows besides its answers. It is stopped for that.
fn everything_else(gateway: &mut Running) -> Vec<(String, String)> {
    let policy = gateway.shared().policy.load_full();
    let sources: Vec<_> = policy.sources().iter().map(|source| format!("{source:?}")).collect();
    let shared = format!("{:?}", gateway.shared());
    gateway.stop();
    let (rejected, access) = (gateway.rejected_text(), gateway.access_text());
    assert!(rejected.lines().count() >= 15 && access.lines().count() >= 20, "it was written");
    let shown = [
        ("the policy", format!("{policy:?} {policy:#?}")),
        ("a source", sources.concat()),
        ("what workers share", shared),
        ("the metrics", gateway.metrics()),
        ("the rejected log", rejected),
        ("the access log", access),
    ];
    shown.map(|(place, text)| (place.to_owned(), text)).to_vec()
}

/// What is looked for: everything planted, and signatures and secrets however they are spelled.
fn wanted() -> Vec<String> {
    let signature = push(r#"{"n":1,"MEMBER":"VALUE"}"#).value("x-hub-signature-256").to_owned();
    let hex = signature.trim_start_matches("sha256=").to_owned();
    let basic = secret_of("BASIC");
    let sentinel = SENTINEL.to_owned();
    vec![sentinel.to_lowercase(), sentinel, hex.to_uppercase(), hex, STANDARD.encode(&basic), basic]
}

fn around(text: &str, wanted: &str) -> String {
    let at = text.find(wanted).unwrap_or_default();
    text.chars().skip(at.saturating_sub(200)).take(500).collect()
}
