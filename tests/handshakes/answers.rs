//! Each provider's handshake, and the nearest request that is none.

use hookward::auth::template::Template;
use hookward::policy::preset;

use crate::support::{Answer, Delivery, KEY, NOW, SECRET, Site, VERIFY_TOKEN, base64, hmac_sha256, signing_key};

/// A signed JSON body as Slack sends it.
fn slack(body: &str) -> Delivery {
    let mac = hmac_sha256(SECRET.as_bytes(), format!("v0:{NOW}:{body}").as_bytes());
    let request = Delivery::post("/p", body).header("x-slack-request-timestamp", &NOW.to_string());
    request.header("x-slack-signature", &format!("v0={}", hex::encode(mac)))
}

fn zoom(body: &str) -> Delivery {
    let mac = hmac_sha256(SECRET.as_bytes(), format!("v0:{NOW}:{body}").as_bytes());
    let request = Delivery::post("/p", body).header("x-zm-request-timestamp", &NOW.to_string());
    request.header("x-zm-signature", &format!("v0={}", hex::encode(mac)))
}

fn twitch(kind: &str, body: &str) -> Delivery {
    let (id, time) = ("e76c6bd4-55c9-4987-8304-da1588d8988b", "2026-11-23T12:00:00.123Z");
    let mac = hmac_sha256(SECRET.as_bytes(), format!("{id}{time}{body}").as_bytes());
    let request = Delivery::post("/p", body)
        .header("twitch-eventsub-message-id", id)
        .header("twitch-eventsub-message-timestamp", time)
        .header("twitch-eventsub-message-type", kind);
    request.header("twitch-eventsub-message-signature", &format!("sha256={}", hex::encode(mac)))
}

fn discord(body: &str) -> Delivery {
    let signature = signing_key().sign(format!("{NOW}{body}").as_bytes());
    let request = Delivery::post("/p", body).header("x-signature-timestamp", &NOW.to_string());
    request.header("x-signature-ed25519", &hex::encode(signature.as_ref()))
}

fn xero(body: &str) -> Delivery {
    Delivery::post("/p", body).header("x-xero-signature", &base64(&hmac_sha256(SECRET.as_bytes(), body.as_bytes())))
}

/// One request and what it must be told.
struct Row {
    name: &'static str,
    request: Delivery,
    status: u16,
    /// Of an answer: media type and body. Of a refusal: nothing and the reason in its record.
    told: (Option<&'static str>, String),
}

fn answered(name: &'static str, request: Delivery, media_type: Option<&'static str>, body: impl Into<String>) -> Row {
    Row { name, request, status: 200, told: (media_type, body.into()) }
}

fn refused(name: &'static str, request: Delivery, status: u16, reason: &str) -> Row {
    Row { name, request, status, told: (None, reason.to_owned()) }
}

/// Sends every row, and looks at what holds for all: no handshake reaches the app, and no answer can be taken for a page.
fn check(site: &Site, rows: Vec<Row>) {
    for Row { name, request, status, told: (media_type, text) } in rows {
        let answer = site.send(&request);
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        if status == 200 {
            assert_eq!((answer.header("content-type"), answer.text()), (media_type, &*text), "{name}");
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{name}");
        } else {
            assert_eq!(site.reason(&answer), text, "{name}");
        }
    }
    assert_eq!(site.app.taken().len(), 0, "handshakes are not forwarded");
}

const JSON: Option<&str> = Some("application/json");
const TEXT: Option<&str> = Some("text/plain");

#[test]
fn slack_verifies_its_url_with_a_signed_challenge() {
    let site = Site::new("slack", "", "");
    let ask = r#"{"token":"x","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7","type":"url_verification"}"#;
    let signed = slack(ask);
    let body = r#"{"challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7"}"#;
    check(
        &site,
        vec![
            answered("signed", signed.clone(), JSON, body),
            answered(
                "quotes stay quoted",
                slack(r#"{"challenge":"a\"b","type":"url_verification"}"#),
                JSON,
                r#"{"challenge":"a\"b"}"#,
            ),
            refused("unsigned", Delivery::post("/p", ask), 401, "credential_missing"),
            refused(
                "another body",
                Delivery { body: ask.replace("3eZ", "3eY").into_bytes(), ..signed },
                401,
                "credential_mismatch",
            ),
            refused("no challenge", slack(r#"{"type":"url_verification"}"#), 403, "handshake_refused"),
            refused(
                "no text",
                slack(r#"{"challenge":"<\u0007>","type":"url_verification"}"#),
                403,
                "handshake_refused",
            ),
        ],
    );
}

#[test]
fn meta_subscribes_with_the_verify_token_alone() {
    let ask = |query: &str| Delivery::bare("GET", &format!("/p?{query}"));
    let right = format!("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={VERIFY_TOKEN}");
    let table = "[handshake]\nverify_token = { file = \"token\" }";
    for provider in ["meta", "whatsapp"] {
        let site = Site::new(provider, "", table);
        check(
            &site,
            vec![
                answered("right", ask(&right), TEXT, "1158201444"),
                refused("one letter less", ask(&right[..right.len() - 1]), 403, "handshake_refused"),
                refused("one letter more", ask(&format!("{right}x")), 403, "handshake_refused"),
                refused("no token", ask("hub.mode=subscribe&hub.challenge=1158201444"), 403, "handshake_refused"),
                refused(
                    "empty token",
                    ask("hub.mode=subscribe&hub.challenge=1&hub.verify_token="),
                    403,
                    "handshake_refused",
                ),
                refused("another mode", ask(&right.replace("subscribe", "unsubscribe")), 403, "handshake_refused"),
                refused("no challenge", ask(&right.replace("hub.challenge=1158201444&", "")), 403, "handshake_refused"),
                refused("nothing", Delivery::bare("GET", "/p"), 403, "handshake_refused"),
            ],
        );
        let without = Site::new(provider, "", "");
        check(
            &without,
            vec![
                refused("no token in the policy", ask(&right), 403, "handshake_refused"),
                refused(
                    "nor an empty one",
                    ask("hub.mode=subscribe&hub.challenge=1&hub.verify_token="),
                    403,
                    "handshake_refused",
                ),
            ],
        );
    }
}

#[test]
fn x_checks_with_a_challenge_that_is_signed() {
    let site = Site::new("x-twitter", "", "");
    let token = "challenge_string_9LlRsTVsLvM=";
    let ask = |token: &str| Delivery::bare("GET", &format!("/p?crc_token={token}&nonce=1"));
    let mac = base64(&hmac_sha256(SECRET.as_bytes(), token.as_bytes()));
    check(
        &site,
        vec![
            answered("a token", ask(token), JSON, format!("{{\"response_token\":\"sha256={mac}\"}}")),
            refused("an object", ask("%7B%7D"), 403, "handshake_refused"),
            refused("an empty token", ask(""), 403, "handshake_refused"),
            refused("no token", Delivery::bare("GET", "/p"), 401, "credential_missing"),
        ],
    );
}

#[test]
fn zoom_validates_its_url_with_a_signed_token() {
    let site = Site::new("zoom", "", "");
    let ask = r#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1}"#;
    let mac = hex::encode(hmac_sha256(SECRET.as_bytes(), b"qgg8vlvZRS6UYooatFL8Aw"));
    let body = format!("{{\"encryptedToken\":\"{mac}\",\"plainToken\":\"qgg8vlvZRS6UYooatFL8Aw\"}}");
    check(
        &site,
        vec![
            answered("signed", zoom(ask), JSON, body),
            refused("unsigned", Delivery::post("/p", ask), 401, "credential_missing"),
            refused("a body as token", zoom(&ask.replace("qgg8vlvZRS6UYooatFL8Aw", "{}")), 403, "handshake_refused"),
        ],
    );
}

#[test]
fn dropbox_gets_its_challenge_back_as_text() {
    let site = Site::new("dropbox", "", "");
    let ask = |challenge: &str| Delivery::bare("GET", &format!("/p?challenge={challenge}"));
    check(
        &site,
        vec![
            answered("a word", ask("abc-123"), TEXT, "abc-123"),
            answered("no page, whatever it looks like", ask("%3Cscript%3E"), TEXT, "<script>"),
            refused("line ends", ask("a%0D%0Ab"), 403, "handshake_refused"),
            refused("other letters", ask("%C3%A9"), 403, "handshake_refused"),
            refused("too long", ask(&"a".repeat(4_097)), 414, "uri_too_long"),
            refused("none", Delivery::bare("GET", "/p"), 401, "credential_missing"),
        ],
    );
}

#[test]
fn okta_verifies_once_with_its_secret() {
    let site = Site::new("okta", "", "");
    let ask = Delivery::bare("GET", "/p").header("x-okta-verification-challenge", "xGGq-5AI");
    check(
        &site,
        vec![
            answered(
                "with its secret",
                ask.clone().header("authorization", SECRET),
                JSON,
                r#"{"verification":"xGGq-5AI"}"#,
            ),
            refused("without", ask.clone(), 401, "credential_missing"),
            refused("with another", ask.header("authorization", "integration_private_kez"), 401, "credential_mismatch"),
        ],
    );
}

#[test]
fn microsoft_graph_gets_its_token_back_as_text() {
    let site = Site::new("microsoft-graph", "", "");
    let ask = Delivery::bare("POST", "/p?validationToken=Validation%3A+Testing+Request-Id%3A+1")
        .header("content-type", "text/plain");
    let two = Delivery { target: "/p?validationToken=a&validationToken=b".to_owned(), ..ask.clone() };
    check(
        &site,
        vec![
            answered("a token", ask.clone(), TEXT, "Validation: Testing Request-Id: 1"),
            refused("a page's media type", ask.replace("content-type", "text/html"), 415, "unsupported_media_type"),
            refused("two tokens", two, 403, "handshake_refused"),
        ],
    );
}

#[test]
fn twitch_verifies_its_callback_with_a_signed_challenge() {
    let site = Site::new("twitch", "", "");
    let (kind, body) =
        ("webhook_callback_verification", r#"{"challenge":"pogchamp-kappa-360noscope-vohiyo","subscription":{}}"#);
    check(
        &site,
        vec![
            answered("signed", twitch(kind, body), TEXT, "pogchamp-kappa-360noscope-vohiyo"),
            refused(
                "changed",
                Delivery { body: body.replace("360", "361").into_bytes(), ..twitch(kind, body) },
                401,
                "credential_mismatch",
            ),
        ],
    );
}

#[test]
fn trello_finds_the_url_there_and_nothing_more() {
    let site = Site::new("trello", "", "");
    let mut connection = site.gateway.connect();
    for _again in 0..2 {
        connection.write(&Delivery::bare("HEAD", "/p").bytes());
        let answer = connection.try_head().unwrap();
        assert_eq!((answer.status, answer.header("content-type")), (200, None), "{answer:?}");
    }
    let unsigned = connection.send(&Delivery::post("/p", "{}"));
    assert_eq!(site.reason(&unsigned), "credential_missing", "what follows on the connection is read as it is");
    assert_eq!(site.app.taken().len(), 0);
}

#[test]
fn discord_pings_and_probes_with_bad_signatures() {
    let site = Site::new("discord", KEY, "");
    let ping = discord(r#"{"type":1}"#);
    let late = ping.clone().replace("x-signature-timestamp", &(NOW - 1).to_string());
    let mut wrong = ping.headers.last().unwrap().1.clone().into_bytes();
    wrong[0] = if wrong[0] == b'0' { b'1' } else { b'0' };
    let wrong = ping.clone().replace("x-signature-ed25519", std::str::from_utf8(&wrong).unwrap());
    check(
        &site,
        vec![
            answered("signed", ping.clone(), JSON, r#"{"type":1}"#),
            refused("one bit", wrong, 401, "credential_mismatch"),
            refused("one second", late, 401, "credential_mismatch"),
            refused("none", ping.without("x-signature-ed25519"), 401, "credential_missing"),
        ],
    );
}

#[test]
fn xero_asks_for_the_intent_to_receive() {
    let site = Site::new("xero", "", "");
    let ask = r#"{"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"S0m3r4Nd0mt3xt"}"#;
    let wrong = xero(ask).replace("x-xero-signature", &base64(&[0; 32]));
    check(
        &site,
        vec![answered("signed", xero(ask), None, ""), refused("signed wrongly", wrong, 401, "credential_mismatch")],
    );
}

#[test]
fn azure_event_grid_validates_with_its_code() {
    let site = Site::new("azure-event-grid", "", "");
    let ask = r#"[{"id":"1","eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","data":{"validationCode":"512d38b6-c7b8"}}]"#;
    check(
        &site,
        vec![
            answered(
                "with the code",
                Delivery::post(&format!("/p?code={SECRET}"), ask),
                JSON,
                r#"{"validationResponse":"512d38b6-c7b8"}"#,
            ),
            refused("without", Delivery::post("/p", ask), 401, "credential_missing"),
            refused("with another", Delivery::post("/p?code=integration_private_kez", ask), 401, "credential_mismatch"),
        ],
    );
}

#[test]
fn azure_event_grid_asks_whether_it_may_send_cloudevents() {
    let site = Site::new("azure-event-grid", "", "");
    let ask = Delivery::bare("OPTIONS", &format!("/p?code={SECRET}"));
    let ask = ask.header("webhook-request-origin", "eventgrid.azure.net");
    let answer = site.send(&ask);
    assert_eq!((answer.status, answer.header("webhook-allowed-origin")), (200, Some("eventgrid.azure.net")));
    assert_eq!(answer.header("webhook-allowed-rate"), None, "nobody asked for one");
    let answer = site.send(&ask.clone().header("webhook-request-rate", "120"));
    assert_eq!((answer.status, answer.header("webhook-allowed-rate")), (200, Some("120")));
    let without = Delivery { target: "/p".to_owned(), ..ask.clone() };
    check(
        &site,
        vec![
            refused("without its code", without, 401, "credential_missing"),
            refused("no origin", ask.without("webhook-request-origin"), 403, "handshake_refused"),
        ],
    );
}

#[test]
fn cloudevents_asks_whether_an_origin_may_send() {
    let site = Site::new("cloudevents", "", "");
    let ask = Delivery::bare("OPTIONS", "/p").header("webhook-request-origin", "eventemitter.example.com");
    let fields = |request: &Delivery| {
        let answer = site.send(request);
        let fields = ["allow", "webhook-allowed-origin", "webhook-allowed-rate"]
            .map(|name| answer.header(name).map(str::to_owned));
        (answer.status, fields)
    };
    let told = |rate: &str| (200, ["POST", "eventemitter.example.com", rate].map(|value| Some(value.to_owned())));
    assert_eq!(fields(&ask), told("*"));
    assert_eq!(fields(&ask.clone().header("webhook-request-rate", "120")), told("120"));
    check(&site, vec![refused("no origin", ask.without("webhook-request-origin"), 401, "credential_missing")]);
}

/// The value is that of the tests of Braintree's own libraries.
#[test]
fn braintree_checks_the_url_with_a_challenge_that_is_signed() {
    let auth =
        "secrets = [{ id = \"1\", file = \"secret\" }]\nparameters = { public_key_id = \"integration_public_key\" }";
    let site = Site::new("braintree", auth, "");
    let ask = |challenge: &str| Delivery::bare("GET", &format!("/p?bt_challenge={challenge}"));
    let challenge = "20f9f8ed05f77439fe955c977e4c8a53";
    check(
        &site,
        vec![
            answered(
                "a challenge",
                ask(challenge),
                TEXT,
                "integration_public_key|d9b899556c966b3f06945ec21311865d35df3ce4",
            ),
            refused("too short", ask(&challenge[..19]), 403, "handshake_refused"),
            refused("too long", ask(&format!("{challenge}0")), 403, "handshake_refused"),
            refused("other letters", ask(&challenge.replace('f', "F")), 403, "handshake_refused"),
        ],
    );
}

#[test]
fn websub_confirms_the_subscription_of_its_topic_alone() {
    let auth = "secrets = [{ id = \"1\", file = \"secret\" }]\nparameters = { topic = \"https://example.com/feed\" }";
    let site = Site::new("websub", auth, "");
    let ask = |mode: &str, topic: &str| {
        Delivery::bare(
            "GET",
            &format!("/p?hub.mode={mode}&hub.topic={topic}&hub.challenge=abc&hub.lease_seconds=864000"),
        )
    };
    check(
        &site,
        vec![
            answered("subscribe", ask("subscribe", "https%3A%2F%2Fexample.com%2Ffeed"), TEXT, "abc"),
            refused("unsubscribe", ask("unsubscribe", "https%3A%2F%2Fexample.com%2Ffeed"), 403, "handshake_refused"),
            refused("another topic", ask("subscribe", "https%3A%2F%2Fexample.com%2Ffeeds"), 403, "handshake_refused"),
        ],
    );
}

#[test]
fn what_is_no_handshake_reaches_the_app() {
    let site = Site::new("slack", "", "");
    let event = r#"{"type":"event_callback","event":{"type":"message"},"event_id":"Ev1"}"#;
    assert_eq!(site.send(&slack(event)).status, 200);
    assert_eq!(site.app.only().body, event.as_bytes());
    let site = Site::new("twitch", "", "");
    assert_eq!(site.send(&twitch("notification", r#"{"challenge":"x"}"#)).status, 200);
    assert_eq!(site.app.taken().len(), 1);
}

#[test]
fn a_policy_may_refuse_handshakes_or_let_the_app_answer_them() {
    let ask = slack(r#"{"challenge":"abc","type":"url_verification"}"#);
    let site = Site::new("slack", "", "[handshake]\nmode = \"refuse\"");
    check(&site, vec![refused("refused", ask.clone(), 403, "handshake_refused")]);
    let site = Site::new("slack", "", "[handshake]\nmode = \"forward\"");
    assert_eq!(site.send(&ask).text(), "ok", "the app's own answer");
    assert_eq!(site.app.only().body, ask.body);

    let site = Site::new("dropbox", "", "[handshake]\nmode = \"refuse\"");
    let answer = site.send(&Delivery::bare("GET", "/p?challenge=abc"));
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "not a method of this source any more");
    let findings = Site::with("dropbox", "", "[handshake]\nmode = \"forward\"").err().unwrap();
    assert!(findings.contains("proves nothing, so it cannot be forwarded"), "{findings}");
}

#[test]
fn other_methods_are_refused_with_those_that_are_allowed() {
    let rows = [("slack", "POST"), ("meta", "POST, GET"), ("trello", "POST, HEAD"), ("cloudevents", "POST, OPTIONS")];
    for (provider, allowed) in rows {
        let site = Site::new(provider, "", "");
        for method in ["PUT", "DELETE", "PATCH", "GET", "OPTIONS"] {
            if allowed.split(", ").any(|known| known == method) {
                continue;
            }
            let answer: Answer = site.send(&Delivery::bare(method, "/p"));
            assert_eq!((answer.status, answer.header("allow")), (405, Some(allowed)), "{provider} {method}");
            assert_eq!(site.reason(&answer), "method_not_allowed");
        }
    }
}

#[test]
fn an_answer_is_in_the_access_log_and_a_refusal_in_the_rejected_log() {
    let mut site = Site::new("dropbox", "", "[limit]\nclient = { per_second = 1, burst = 2 }");
    let ask = |challenge: &str| Delivery::bare("GET", &format!("/p?challenge={challenge}"));
    let statuses = [ask("abc"), ask("%C3%A9"), ask("abc")].map(|request| site.send(&request).status);
    assert_eq!(statuses, [200, 403, 429], "challenges count against the client's rate");
    site.gateway.stop();
    let access = site.gateway.access_text();
    let answered: Vec<_> = access.lines().filter(|line| line.contains("\"answered\"")).collect();
    assert_eq!(answered.len(), 1, "{access}");
    assert!(answered[0].contains("\"source\":\"p\"") && answered[0].contains("\"status\":200"), "{}", answered[0]);
    let reasons: Vec<_> = site.gateway.records().into_iter().map(|record| record.reason).collect();
    assert_eq!(reasons, ["handshake_refused", "rate_limited_client"]);
    assert!(!access.contains("abc") && !site.gateway.rejected_text().contains("abc"), "no challenge is written");
}

/// What no test above asks for, read off the presets themselves.
#[test]
fn no_answer_of_any_preset_is_a_page() {
    let mut handshakes = 0;
    for preset in preset::all() {
        for handshake in &preset.handshakes {
            handshakes += 1;
            let media_type = handshake.content_type.as_ref().map(|value| value.to_str().unwrap());
            let is_empty = handshake.answer == Template::default();
            assert!(is_empty || [JSON, TEXT].contains(&media_type), "{}: {media_type:?}", preset.name);
            assert!(!is_empty || media_type.is_none(), "{}: nothing has no media type", preset.name);
        }
    }
    assert!(handshakes >= 20, "{handshakes}");
}
