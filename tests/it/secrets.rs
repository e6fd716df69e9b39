//! What must never be written is looked for in everything that is: logs, metrics, answers, `Debug`.

use crate::gateway::github;
use crate::support::{App, Delivery, House, Say, secret_of};

/// A text that is in no other place.
const SENTINEL: &str = "SeNtInEl";

/// A sentinel of its own for each place of a request.
fn planted(place: &str) -> String {
    format!("{SENTINEL}-{place}")
}

#[test]
fn secrets_and_payload_values_are_written_nowhere() {
    for text_log in [false, true] {
        let app = App::saying(|taken| if taken.line.contains("ok") { Say::status(200, "ok") } else { Say::status(500, "SeNtInEl-answer") });
        let schema = r#"{"type":"object","required":["n"],"properties":{"n":{"type":"integer"},"type":{"enum":["a"]}}}"#;
        let rest = "[event.schema]\n\"a\" = \"a.json\"\n[sanitize]\nunknown_fields = \"drop\"\ncontrol_characters = \"refuse\"\n";
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
        let policy = github(&app, "sign = { env = \"SeNtInEl_FORWARD\" }").replace("\"GITHUB\"", "\"SeNtInEl_GITHUB\"") + rest;
        let mut house = House::with("github", &policy).file("a.json", schema).policy("token", &token).policy("basic", &basic);
        if text_log {
            house = house.text_log();
        }
        let mut gateway = house.start();

        let member = planted("member");
        let value = planted("value");
        let body = |text: &str| text.replace("VALUE", &value).replace("MEMBER", &member);
        let push = |text: &str| {
            Delivery::post("/hooks/github", &body(text))
                .header("x-github-event", "a")
                .header("x-github-delivery", &planted("delivery"))
                .header("x-custom", &planted("header"))
                .header("cookie", &planted("cookie"))
                .header("user-agent", &planted("agent"))
                .signed("github", "SeNtInEl_GITHUB")
                .target(&format!("/hooks/github?q={}", planted("query")))
        };
        let good = push(r#"{"n":1,"MEMBER":"VALUE"}"#);
        let signature = good.value("x-hub-signature-256").to_owned();
        let with = |name: &str, value: &str| good.clone().replace(name, value);
        let token_target = |key: &str| Delivery::post(&format!("/hooks/token?key={key}&x={}", planted("query")), &body(r#"{"a":"VALUE"}"#));
        let deliveries = [
            push(r#"{"n":1,"MEMBER":"VALUE"}"#).target(&format!("/hooks/github?ok={}", planted("query"))),
            good.clone(),
            with("x-hub-signature-256", &planted("signature")),
            with("x-hub-signature-256", &format!("sha256={}", "0".repeat(64))),
            with("x-hub-signature-256", &signature.to_uppercase()),
            good.clone().header("x-hub-signature-256", &planted("signature")),
            with("content-type", &format!("text/plain; x={}", planted("type"))),
            with("expect", &planted("expect")),
            with("host", &format!("{} x", planted("host"))),
            good.clone().header("content-encoding", &planted("coding")),
            push(r#"{"n":"VALUE","MEMBER":{"VALUE":["VALUE"]}}"#),
            push(r#"{"MEMBER":"VALUE"}"#),
            push(r#"{"n":1,"type":"VALUE"}"#),
            push(r#"{"n":1,"MEMBER":"VALUE\u0007"}"#),
            push(r#"{"n":1,"type":"a\u0007VALUE"}"#),
            push(r#"{"MEMBER":"VALUE","MEMBER":"VALUE"}"#),
            push(r#"{"n":1,"MEMBER":"VALUE"#),
            push(r#"{"n":1,"MEMBER":VALUE}"#),
            push(r#"{"n":1,"MEMBER":"\ud800VALUE"}"#),
            Delivery::post("/hooks/stripe", &value),
            token_target(&secret_of("SeNtInEl_QUERY")),
            token_target(&planted("key")),
            token_target("ok"),
            Delivery::post("/hooks/basic", &body(r#"{"a":"VALUE"}"#)).signed("basic", "BASIC"),
            Delivery::post("/hooks/basic", &value).header("authorization", &format!("Basic {}", planted("basic"))),
            Delivery::post("/hooks/basic", &value).header("authorization", &format!("Bearer {}", planted("bearer"))),
        ];
        let mut written = Vec::new();
        for delivery in &deliveries {
            let answer = gateway.connect().send(delivery);
            written.push((format!("answer to {} {:?}", delivery.target, String::from_utf8_lossy(&delivery.body)), format!("{answer:?}")));
        }
        assert!(app.taken().len() >= 5, "some arrived");
        let arrived = |taken: &crate::support::Taken| String::from_utf8_lossy(&taken.body).contains(&value);
        assert!(app.taken().iter().any(arrived), "and had what is looked for");

        let policy = gateway.shared().policy.load_full();
        written.push(("Debug of the policy".to_owned(), format!("{policy:?} {policy:#?}")));
        for source in policy.sources() {
            written.push(("Debug of a source".to_owned(), format!("{source:?}")));
        }
        written.push(("Debug of the rest".to_owned(), format!("{:?}", gateway.shared())));
        gateway.stop();
        written.push(("metrics".to_owned(), gateway.metrics()));
        written.push(("rejected log".to_owned(), gateway.rejected_text()));
        written.push(("access log".to_owned(), gateway.access_text()));
        assert!(gateway.records().len() >= 15 && gateway.access_text().lines().count() >= 20, "it was written");

        let basic = secret_of("BASIC");
        let spelled = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &basic);
        let hex = signature.trim_start_matches("sha256=");
        let upper = hex.to_uppercase();
        let wanted = [SENTINEL, &SENTINEL.to_lowercase(), hex, &upper, &basic, &spelled];
        for (place, text) in &written {
            for wanted in wanted {
                assert!(!text.contains(wanted), "{wanted:?} in {place}, text log {text_log}: {}", around(text, wanted));
            }
        }
    }
}

fn around(text: &str, wanted: &str) -> String {
    let at = text.find(wanted).unwrap_or_default();
    text.chars().skip(at.saturating_sub(200)).take(500).collect()
}
