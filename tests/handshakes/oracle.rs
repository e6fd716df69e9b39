//! What a stranger gets signed can be no delivery.

use crate::support::{Delivery, SECRET, Site, base64, hmac_sha1, hmac_sha256};
use sha1::{Digest as _, Sha1};

/// Bodies that the app would take: none of them is signed for whoever asks.
#[test]
fn what_could_be_a_body_is_never_signed() {
    let site = Site::new("x-twitter", "", "");
    let bodies = [
        "{}",
        "[]",
        "1",
        "-1",
        "1.5e3",
        "true",
        "false",
        "null",
        "\"a\"",
        "{\"a\":1}",
        "a=1&b=2",
        "a b",
        "<a/>",
        "a,b",
    ];
    for body in bodies {
        let escaped = hex::encode_upper(body)
            .as_bytes()
            .chunks(2)
            .fold(String::new(), |text, digits| text + "%" + std::str::from_utf8(digits).unwrap());
        let answer = site.send(&Delivery::bare("GET", &format!("/p?crc_token={escaped}")));
        assert_eq!((answer.status, site.reason(&answer)), (403, "handshake_refused".to_owned()), "{body}");
    }
}

#[test]
fn a_signed_challenge_is_no_delivery() {
    for payload in ["auto", "opaque"] {
        let site = Site::new("x-twitter", "", "");
        let rest = "";
        let policy = std::fs::read_to_string(site.file("p.toml")).unwrap();
        let policy = format!("payload = \"{payload}\"\ncontent_types = [\"*/*\"]\n{policy}{rest}");
        std::fs::write(site.file("p.toml"), policy).unwrap();
        site.load().unwrap();
        let word = "a-word.that_is~no+payload/=";
        let answer = site.send(&Delivery::bare("GET", "/p?crc_token=a-word_that_is+no"));
        assert_eq!(answer.status, 403, "a blank is none of its letters");
        let answer = site.send(&Delivery::bare("GET", "/p?crc_token=a-word_that_is_no_payload="));
        assert_eq!(answer.status, 200);
        let signed = answer.text().split('"').nth(3).unwrap().to_owned();
        let replay = Delivery::post("/p", "a-word_that_is_no_payload=").header("x-twitter-webhooks-signature", &signed);
        let answer = site.send(&replay);
        assert_eq!((answer.status, site.reason(&answer)), (401, "credential_mismatch".to_owned()), "{payload}");
        // Nor one that X itself would have signed, nor one with the least that makes it a body.
        let sign = |body: &str| {
            let mac = base64(&hmac_sha256(SECRET.as_bytes(), body.as_bytes()));
            Delivery::post("/p", body).header("x-twitter-webhooks-signature", &format!("sha256={mac}"))
        };
        assert_eq!(site.send(&sign(word)).status, 401, "{payload}");
        assert_eq!(site.send(&sign("{}")).status, 200, "{payload}");
        assert_eq!(site.app.only().body, b"{}", "{payload}");
    }
}

/// Braintree signs a field of the form, so the body is no word where what is signed is one.
#[test]
fn a_signed_challenge_is_no_field_of_a_delivery() {
    let auth =
        "secrets = [{ id = \"1\", file = \"secret\" }]\nparameters = { public_key_id = \"integration_public_key\" }";
    let site = Site::new("braintree", auth, "");
    let form = |payload: &str, signature: &str| {
        let body = format!("bt_signature={signature}&bt_payload={payload}").replace('|', "%7C");
        Delivery::post("/p", &body).replace("content-type", "application/x-www-form-urlencoded")
    };
    let challenge = "20f9f8ed05f77439fe955c977e4c8a53";
    let answer = site.send(&Delivery::bare("GET", &format!("/p?bt_challenge={challenge}")));
    assert_eq!(answer.status, 200);
    let answer = site.send(&form(challenge, answer.text()));
    assert_eq!((answer.status, site.reason(&answer)), (401, "credential_mismatch".to_owned()));

    let payload = "PG5vdGlmaWNhdGlvbj48a2luZD5jaGVjazwva2luZD48L25vdGlmaWNhdGlvbj4=\n";
    let mac = hex::encode(hmac_sha1(&Sha1::digest(SECRET), payload.as_bytes()));
    let sent = form(&payload.replace('=', "%3D").replace('\n', "%0A"), &format!("integration_public_key|{mac}"));
    assert_eq!(site.send(&sent).status, 200, "what Braintree sends ends in a line end, which no word has");
}

/// Those who prove themselves first may have more signed, but no body either.
#[test]
fn a_challenge_is_signed_for_its_provider_alone() {
    let site = Site::new("zoom", "", "");
    let ask = r#"{"event":"endpoint.url_validation","payload":{"plainToken":"abc"}}"#;
    let answer = site.send(&Delivery::post("/p", ask));
    assert_eq!(answer.status, 401);
    assert!(!answer.text().contains("abc"));
}
