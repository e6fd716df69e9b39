//! Forms, multipart, lines and compressed bodies over real sockets.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use hookward::policy::preset;

use crate::gateway::github;
use crate::support::{App, Delivery, House, NOW, Speaks, secret_of};

const FORM: &str = "application/x-www-form-urlencoded";

/// A policy for Slack with a schema for each command, which wants no character out of sight.
fn slack(app: &App) -> String {
    format!(
        "path = \"/hooks/slack\"\n[auth]\nprovider = \"slack\"\nsecrets = [{{ id = \"a\", env = \"SLACK\" }}]\n\
         [event.schema]\n\"/weather\" = \"command.json\"\nblock_actions = \"action.json\"\n\
         [sanitize]\nunknown_fields = \"drop\"\ncontrol_characters = \"drop\"\n[forward]\n{}\n",
        app.to("/webhooks/slack")
    )
}

const COMMAND: &str =
    r#"{"type":"object","required":["text"],"properties":{"command":{},"text":{"pattern":"^[0-9 +a-z\u0007]*$"}}}"#;
const ACTION: &str = r#"{"type":"object","required":["user"],"properties":{"type":{},"user":{}}}"#;

#[test]
fn a_command_and_an_interaction_are_judged_and_cleaned_as_forms() {
    let app = App::start();
    let house = House::with("slack", &slack(&app)).file("command.json", COMMAND).file("action.json", ACTION);
    let gateway = house.start();
    let rows = [
        ("clean", "command=%2Fweather&text=94070", 200, "command=%2Fweather&text=94070"),
        ("dirty", "command=/%77eather&text=9%07+%61&token=x", 200, "command=/%77eather&text=9+a"),
        ("off the schema", "command=%2Fweather&text=%3C", 422, "schema_mismatch"),
        ("another command", "command=%2Frain&text=1", 422, "event_unlisted"),
        ("no command", "text=1", 422, "event_missing"),
        ("twice", "command=%2Fweather&text=1&text=2", 400, "form_malformed"),
        (
            "interaction",
            "payload={\"type\":\"block_actions\",\"user\":{}}",
            200,
            "payload={\"type\":\"block_actions\",\"user\":{}}",
        ),
        (
            "more of it",
            "payload={\"type\":\"block_actions\",\"user\":1,\"x\":2}",
            200,
            "payload=%7B%22type%22%3A%22block_actions%22%2C%22user%22%3A1%7D",
        ),
        ("less of it", "payload={\"type\":\"block_actions\"}", 422, "schema_mismatch"),
        ("broken", "payload={\"type\"}", 400, "json_malformed"),
    ];
    for (name, body, status, expected) in rows {
        for protocol in Speaks::BOTH {
            let delivery = Delivery::post("/hooks/slack", body).replace("content-type", FORM);
            let before = app.taken().len();
            let answer = protocol.send(&gateway, &delivery.signed("slack", "SLACK"));
            // The second time it is the same delivery.
            assert_eq!(answer.status, status, "{name}: {}", answer.text());
            if status != 200 {
                assert_eq!(gateway.record_of(&answer).reason, expected, "{name}");
                assert_eq!(app.taken().len(), before, "{name}");
            } else if protocol == Speaks::BOTH[0] {
                let taken = app.taken().pop().unwrap();
                assert_eq!(String::from_utf8(taken.body.clone()).unwrap(), expected, "{name}");
                assert_eq!(taken.header("content-type"), Some(FORM), "{name}");
                assert_eq!(taken.header("content-length"), Some(&*expected.len().to_string()), "{name}");
                assert_eq!(taken.header("x-slack-signature").is_some(), body == expected, "{name}");
            }
        }
    }
}

#[test]
fn mailgun_is_proven_by_fields_of_either_kind_of_form() {
    let app = App::start();
    let policy = format!(
        "path = \"/hooks/mailgun\"\n[auth]\nprovider = \"mailgun\"\nsecrets = [{{ id = \"a\", env = \"MAILGUN\" }}]\n\
         [sanitize]\ncontrol_characters = \"drop\"\n[forward]\n{}\n",
        app.to("/webhooks/mailgun")
    );
    let gateway = House::with("mailgun", &policy).start();
    let signature = mailgun_signature("t0ken");
    let part =
        |name: &str, text: &str| format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n");
    let time = NOW.to_string();
    let multipart = |signature: &str, more: &str| {
        let fields = [("event", "opened\u{7}"), ("timestamp", &*time), ("token", "t0ken"), ("signature", signature)];
        fields.map(|(name, text)| part(name, text)).concat() + more + "--b--\r\n"
    };
    let file = "--b\r\nContent-Disposition: form-data; name=\"attachment-1\"; filename=\"a\"\r\n\r\nx\r\n";
    let kind = "multipart/form-data; boundary=b";
    let form = format!("event=opened%07&timestamp={time}&token=t0ken&signature=");
    let rows = [
        (
            "form",
            FORM,
            format!("{form}{signature}"),
            200,
            format!("event=opened&timestamp={time}&token=t0ken&signature={signature}"),
        ),
        ("forged form", FORM, format!("{form}{}", "0".repeat(64)), 401, "credential_mismatch".to_owned()),
        ("parts", kind, multipart(&signature, ""), 200, multipart(&signature, "").replace('\u{7}', "")),
        ("forged parts", kind, multipart(&"0".repeat(64), ""), 401, "credential_mismatch".to_owned()),
        ("a file", kind, multipart(&signature, file), 400, "multipart_malformed".to_owned()),
        (
            "a signature twice",
            kind,
            multipart(&signature, &part("signature", &signature)),
            401,
            "credential_duplicated".to_owned(),
        ),
    ];
    for (name, kind, body, status, expected) in rows {
        let before = app.taken().len();
        let answer = gateway.connect().send(&Delivery::post("/hooks/mailgun", &body).replace("content-type", kind));
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        if status == 200 {
            if app.taken().len() > before {
                assert_eq!(String::from_utf8(app.taken().pop().unwrap().body).unwrap(), expected, "{name}");
            }
        } else {
            assert_eq!(gateway.record_of(&answer).reason, expected, "{name}");
        }
    }
}

/// What Mailgun makes of the time and this token.
fn mailgun_signature(token: &str) -> String {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    assert_eq!(preset::find("mailgun").unwrap().signed().matches("{form:token}").count(), 1);
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret_of("MAILGUN").as_bytes()).unwrap();
    mac.update(format!("{NOW}{token}").as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_compressed_body_is_proven_as_received_and_goes_on_decoded() {
    let app = App::start();
    let top = "content_encodings = [\"gzip\"]\ncontent_types = [\"application/json\", \"application/x-ndjson\"]\nbody_bytes_max = 4_096\n";
    let received = House::with("github", &format!("{top}{}", github(&app, ""))).start();
    let decoded = House::with("github", &format!("signed_content = \"decoded\"\n{top}{}", github(&app, ""))).start();
    let clear = r#"{"a":1}"#;
    let signed = |signed: &[u8], sent: Vec<u8>| {
        let unsigned = Delivery::post("/hooks/github", "").header("x-github-event", "push").body(signed);
        let delivery = unsigned.signed("github", "GITHUB").header("content-encoding", "gzip");
        delivery.body(&sent)
    };
    let coded = gzip(clear.as_bytes());
    let bomb = gzip(format!("[{}]", " ".repeat(5_000)).as_bytes());
    let rows = [
        ("received", &received, signed(&coded, coded.clone()), 200, None, false),
        (
            "clear is not what was signed",
            &received,
            signed(clear.as_bytes(), coded.clone()),
            401,
            Some("credential_mismatch"),
            false,
        ),
        ("decoded", &decoded, signed(clear.as_bytes(), coded.clone()), 200, None, true),
        (
            "coded is not what was signed",
            &decoded,
            signed(&coded, coded.clone()),
            401,
            Some("credential_mismatch"),
            false,
        ),
        ("a bomb", &received, signed(&bomb, bomb.clone()), 413, Some("body_too_large"), false),
        ("a bomb, forged", &received, signed(b"", bomb.clone()), 401, Some("credential_mismatch"), false),
        (
            "not compressed",
            &received,
            signed(clear.as_bytes(), clear.as_bytes().to_vec()),
            400,
            Some("decoding_failed"),
            false,
        ),
        (
            "another coding",
            &received,
            signed(&coded, coded.clone()).replace("content-encoding", "br"),
            415,
            Some("content_encoding_refused"),
            false,
        ),
        (
            "lines",
            &received,
            signed(&gzip(b"1\n2\n"), gzip(b"1\n2\n")).replace("content-type", "application/x-ndjson"),
            200,
            None,
            false,
        ),
    ];
    for (name, gateway, delivery, status, reason, with_signature) in rows {
        let answer = gateway.connect().send(&delivery);
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        if let Some(reason) = reason {
            assert_eq!(gateway.record_of(&answer).reason, reason, "{name}");
            continue;
        }
        let taken = app.taken().pop().unwrap();
        assert!(taken.body == clear.as_bytes() || taken.body == b"1\n2\n", "{name}");
        assert_eq!(taken.header("content-encoding"), None, "{name}");
        assert_eq!(taken.header("x-hookward-edits"), None, "{name}");
        assert_eq!(taken.header("x-hub-signature-256").is_some(), with_signature, "{name}");
    }
}
