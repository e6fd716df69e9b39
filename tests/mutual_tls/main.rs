//! Client certificates over real TLS: who is let in, who is refused and with which words, and what a resumed session is.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test may fail as the test itself may")]

#[path = "../kit/live/mod.rs"]
mod live;
mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookward::offline::{Replays, Verdict, judge};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{ExtendedKeyUsagePurpose, KeyPair};
use rustls::HandshakeKind;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;

use live::house::{Secrets, check_text};
use live::{Delivery, Hello, NOW, secret_of};
use support::{
    CERTIFICATE, Claims, GITHUB, HOUR, House, Identity, NAMED, Row, Shows, auth, authority, below, delivery, headers,
    policies,
};

#[test]
fn a_certificate_is_good_if_its_chain_its_dates_its_usage_and_its_name_are() {
    let (partner, other) = (authority("Partner"), authority("Other"));
    let intermediate = below("Partner's office", &partner);
    let claims = Claims::good;
    let whole = {
        let mut identity = claims().by(&intermediate);
        identity.chain.push(intermediate.der().clone());
        identity
    };
    let rows = [
        ("right", Some(claims().by(&partner)), "200 hooks.partner.example"),
        ("by an intermediate that it shows", Some(whole), "200 hooks.partner.example"),
        ("by an intermediate that nobody knows", Some(claims().by(&intermediate)), "does not lead to an authority"),
        ("none", None, "client_certificate_missing"),
        ("of another authority", Some(claims().by(&other)), "does not lead to an authority"),
        (
            "of another authority of the same name",
            Some(claims().by(&authority("Partner"))),
            "does not lead to an authority",
        ),
        ("in its last second", Some(Claims { to: NOW, ..claims() }.by(&partner)), "200 hooks.partner.example"),
        (
            "a second too old",
            Some(Claims { to: NOW - 1, ..claims() }.by(&partner)),
            "credential_mismatch: it has expired",
        ),
        ("in its first second", Some(Claims { from: NOW, ..claims() }.by(&partner)), "200 hooks.partner.example"),
        (
            "a second too young",
            Some(Claims { from: NOW + 1, ..claims() }.by(&partner)),
            "credential_mismatch: it is not valid yet",
        ),
        (
            "for servers",
            Some(Claims { usage: ExtendedKeyUsagePurpose::ServerAuth, ..claims() }.by(&partner)),
            "credential_mismatch: it is not for authenticating clients",
        ),
        (
            "the second name",
            Some(Claims { names: &["x.example", "OTHER.example"], ..claims() }.by(&partner)),
            "200 other.example",
        ),
        (
            "another name",
            Some(Claims { names: &["hooks.partner.example.evil.example"], ..claims() }.by(&partner)),
            "none of the names",
        ),
        ("a wildcard", Some(Claims { names: &["*.partner.example"], ..claims() }.by(&partner)), "none of the names"),
        ("no name", Some(Claims { names: &[], ..claims() }.by(&partner)), "none of the names"),
    ];
    let house = House::start(&partner, &auth("", &[NAMED]));
    for (name, identity, expected) in rows {
        let found = house.verdict(identity.as_ref(), Shows::Nothing);
        assert!(found.contains(expected), "{name}: {found}");
    }
}

#[test]
fn names_of_a_refused_certificate_are_told_cut_and_few() {
    let partner = authority("Partner");
    let house = House::start(&partner, &auth("", &[NAMED]));
    let long = format!("{0}.{0}.example", "a".repeat(60));
    let names = [long.as_str(), "b.example", "c.example", "d.example", "e.example"];
    let identity = Claims { names: &names, ..Claims::good() }.by(&partner);
    let answer = house
        .connect(&house.client(Some(&identity), &rustls::version::TLS13))
        .send(&delivery("/hooks/partner", Shows::Nothing));
    let record = house.record(&answer);
    let told = record["detail"]["certificate_names"].as_array().unwrap();
    let told: Vec<_> = told.iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(told, [&long[..80], "b.example", "c.example", "d.example"]);
}

#[test]
fn without_names_any_certificate_of_the_authority_is_good_and_no_other() {
    let partner = authority("Partner");
    let house = House::start(&partner, &auth("", &[CERTIFICATE]));
    let (ours, theirs) = (Claims { names: &[], ..Claims::good() }.by(&partner), Claims::good().by(&authority("Other")));
    assert_eq!(house.verdict(Some(&ours), Shows::Nothing), "200 client-certificate");
    assert!(house.verdict(Some(&theirs), Shows::Nothing).starts_with("credential_mismatch"));
}

#[test]
fn a_certificate_and_a_signature_go_together_as_the_policy_says() {
    let partner = authority("Partner");
    let (good, bad) = (Claims::good().by(&partner), Claims::good().by(&authority("Other")));
    let rows: [Row<'_>; 14] = [
        ("all", [NAMED, GITHUB], Some(&good), Shows::Signature, "200 hooks.partner.example+g"),
        ("all", [GITHUB, NAMED], Some(&good), Shows::Signature, "200 g+hooks.partner.example"),
        ("all", [NAMED, GITHUB], None, Shows::Signature, "client_certificate_missing"),
        (
            "all",
            [NAMED, GITHUB],
            Some(&bad),
            Shows::Signature,
            "credential_mismatch: it does not lead to an authority of the policy's",
        ),
        ("all", [NAMED, GITHUB], Some(&good), Shows::Nothing, "credential_missing"),
        ("all", [NAMED, GITHUB], Some(&good), Shows::BadSignature, "credential_mismatch"),
        ("any", [NAMED, GITHUB], Some(&good), Shows::Nothing, "200 hooks.partner.example"),
        ("any", [NAMED, GITHUB], None, Shows::Signature, "200 g"),
        ("any", [NAMED, GITHUB], None, Shows::Nothing, "client_certificate_missing"),
        ("any", [GITHUB, NAMED], None, Shows::Nothing, "credential_missing"),
        // What is presented first decides, also if it is bad.
        (
            "any",
            [NAMED, GITHUB],
            Some(&bad),
            Shows::Signature,
            "credential_mismatch: it does not lead to an authority of the policy's",
        ),
        ("any", [GITHUB, NAMED], Some(&bad), Shows::Signature, "200 g"),
        ("any", [GITHUB, NAMED], Some(&good), Shows::BadSignature, "credential_mismatch"),
        ("any", [NAMED, GITHUB], Some(&good), Shows::BadSignature, "200 hooks.partner.example"),
    ];
    let house = House::start(&partner, &auth("", &[NAMED]));
    for (combine, methods, identity, shows, expected) in rows {
        house.reload(&partner, &auth(combine, &methods));
        assert_eq!(house.verdict(identity, shows), expected, "{combine} {methods:?} {shows:?}");
    }
}

#[test]
fn a_source_that_wants_no_certificate_takes_no_notice_of_any() {
    let partner = authority("Partner");
    let house = House::start(&partner, &auth("", &[NAMED]));
    let stranger = Claims { to: NOW - HOUR / 2, ..Claims::good() }.by(&authority("Other"));
    for identity in [None, Some(&stranger)] {
        let config = house.client(identity, &rustls::version::TLS13);
        let mut connection = house.connect(&config);
        assert_eq!(connection.send(&delivery("/hooks/plain", Shows::Signature)).status, 200);
        assert_eq!(connection.send(&delivery("/hooks/plain", Shows::BadSignature)).status, 401);
    }
}

#[test]
fn a_resumed_session_is_that_of_the_same_certificate() {
    let (partner, other) = (authority("Partner"), authority("Other"));
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let house = House::start(&partner, &auth("", &[NAMED]));
        let good = house.client(Some(&Claims::good().by(&partner)), version);
        let none = house.client(None, version);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut connection = house.connect(&good);
            assert_eq!(
                house.judged(&connection.send(&delivery("/hooks/partner", Shows::Nothing))),
                "200 hooks.partner.example"
            );
            assert_eq!(connection.handshake().unwrap(), kind, "{version:?}");
            let mut connection = house.connect(&none);
            let found = house.judged(&connection.send(&delivery("/hooks/partner", Shows::Nothing)));
            assert_eq!(
                (found.as_str(), connection.handshake().unwrap()),
                ("client_certificate_missing", kind),
                "{version:?}"
            );
        }
        // The authority that is in force is asked, not the one of the first handshake.
        house.reload(&other, &auth("", &[NAMED]));
        let mut connection = house.connect(&good);
        let found = house.judged(&connection.send(&delivery("/hooks/partner", Shows::Nothing)));
        assert!(found.contains("does not lead to an authority"), "{found}");
        assert_eq!(connection.handshake().unwrap(), HandshakeKind::Resumed, "{version:?}");
        // Nor is a certificate good for longer than it says, on whichever connection.
        house.reload(&partner, &auth("", &[NAMED]));
        assert_eq!(connection.send(&delivery("/hooks/partner", Shows::Nothing)).status, 200);
        house.gateway.advance(Duration::from_secs(u64::try_from(HOUR + 1).unwrap()));
        let found = house.judged(&connection.send(&delivery("/hooks/partner", Shows::Nothing)));
        assert_eq!(found, "credential_mismatch: it has expired", "{version:?}");
    }
}

#[test]
fn a_session_of_before_certificates_were_wanted_is_not_resumed() {
    let partner = authority("Partner");
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let house = House::start(&partner, &auth("", &[GITHUB]));
        let config = house.client(Some(&Claims::good().by(&partner)), version);
        assert_eq!(house.connect(&config).send(&delivery("/hooks/partner", Shows::Signature)).status, 200);
        house.reload(&partner, &auth("all", &[GITHUB, NAMED]));
        let mut connection = house.connect(&config);
        let found = house.judged(&connection.send(&delivery("/hooks/partner", Shows::Signature)));
        assert_eq!(
            (found.as_str(), connection.handshake().unwrap()),
            ("200 g+hooks.partner.example", HandshakeKind::Full),
            "{version:?}"
        );
    }
}

#[test]
fn a_certificate_without_its_key_ends_the_handshake() {
    let partner = authority("Partner");
    let house = House::start(&partner, &auth("", &[CERTIFICATE]));
    let (theirs, mine) = (Claims::good().by(&partner), Claims::good().by(&authority("Other")));
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let mut config = (*house.client(None, version)).clone();
        config.client_auth_cert_resolver = Arc::new(Stolen::of(&theirs, &mine));
        // With TLS 1.3 the client is done before the gateway has seen its certificate.
        let answered = Hello::new(&house.gateway)
            .connect_with(Arc::new(config))
            .and_then(|mut connection| connection.try_exchange(&delivery("/hooks/partner", Shows::Nothing).bytes()));
        assert!(!matches!(answered, Ok(1..)), "{version:?}: {answered:?}");
    }
}

/// Somebody's chain with somebody else's key.
#[derive(Debug)]
struct Stolen(Arc<rustls::sign::CertifiedKey>);

impl Stolen {
    fn of(chain: &Identity, key: &Identity) -> Self {
        let key = aws_lc_rs::sign::any_supported_type(&key.key).unwrap();
        Self(Arc::new(rustls::sign::CertifiedKey::new(chain.chain.clone(), key)))
    }
}

impl rustls::client::ResolvesClientCert for Stolen {
    fn resolve(
        &self,
        _hints: &[&[u8]],
        _schemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[test]
fn a_chain_of_more_than_anybody_needs_ends_the_handshake() {
    let partner = authority("Partner");
    let house = House::start(&partner, &auth("", &[CERTIFICATE]));
    for (extra, is_taken) in [(7, true), (8, false)] {
        let mut identity = Claims::good().by(&partner);
        identity.chain.extend(std::iter::repeat_n(partner.der().clone(), extra));
        let config = house.client(Some(&identity), &rustls::version::TLS12);
        assert_eq!(Hello::new(&house.gateway).connect_with(config).is_ok(), is_taken, "{extra} more");
    }
}

#[test]
fn a_strangers_handshake_needs_the_certificate_where_everything_has_to_hold() {
    let partner = authority("Partner");
    let meta = "provider = \"meta\"\nsecrets = [{ id = \"m\", env = \"META\" }]";
    let (good, bad) = (Claims::good().by(&partner), Claims::good().by(&authority("Other")));
    let handshake = "[handshake]\nverify_token = { env = \"META_TOKEN\" }\n";
    let house = House::start(&partner, &auth("", &[NAMED]));
    let rows = [("all", Some(&good), 200), ("all", Some(&bad), 401), ("all", None, 401), ("any", None, 200)];
    for (combine, identity, status) in rows {
        for methods in [[meta, NAMED], [NAMED, meta]] {
            house.reload(&partner, &format!("{}{handshake}", auth(combine, &methods)));
            let mut connection = house.connect(&house.client(identity, &rustls::version::TLS13));
            let token = secret_of("META_TOKEN");
            let query = format!("hub.mode=subscribe&hub.verify_token={token}&hub.challenge=1158201444");
            let request = Delivery::bare("GET", &format!("/hooks/partner?{query}"));
            assert_eq!(connection.send(&request).status, status, "{combine} {methods:?}");
        }
    }
}

#[test]
fn a_recorded_request_came_over_no_connection() {
    let partner = authority("Partner");
    let house = House::start(&partner, &auth("all", &[GITHUB, NAMED]));
    let sent = delivery("/hooks/partner", Shows::Signature);
    let (mut head, ()) = http::Request::post("/hooks/partner").body(()).unwrap().into_parts();
    head.headers = headers(&sent);
    let policy = house.gateway.shared().policy.load_full();
    let body = Bytes::from(sent.body);
    let Verdict::Reject(rejection) = judge(&policy, &head, body, NOW, Replays::Ignored).verdict else {
        panic!("accepted")
    };
    assert_eq!(rejection.reason().code(), "client_certificate_missing");
}

#[test]
fn what_is_wrong_with_a_client_certificate_in_a_policy_is_said() {
    let partner = authority("Partner").pem();
    let key = KeyPair::generate().unwrap().serialize_pem();
    let with = |rest: &str| format!("client_certificate = {{ {rest} }}");
    let ca = "ca = \"partner.pem\"";
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let rows = [
        ("right", &*partner, with(&format!("{ca}, names = [\"a.example\"]")), ""),
        ("any name", &*partner, with(ca), "warning: every certificate of the authorities in"),
        ("no file", &*partner, with("ca = \"nobody.pem\""), "nobody.pem: entity not found"),
        ("a key", &*key, with(ca), "partner.pem has no certificate in it"),
        ("something else", broken, with(ca), "partner.pem holds something that is no certificate of an authority"),
        ("no authority", &*partner, with("names = [\"a.example\"]"), "missing key \"ca\" in auth.client_certificate"),
        (
            "no names",
            &*partner,
            with(&format!("{ca}, names = []")),
            "names is empty, so nothing would ever be accepted",
        ),
        ("a wildcard", &*partner, with(&format!("{ca}, names = [\"*.example\"]")), "\"*.example\" has a wildcard"),
        ("an address", &*partner, with(&format!("{ca}, names = [\"a b\"]")), "\"a b\" is not a host name"),
        (
            "another key",
            &*partner,
            with(&format!("{ca}, name = \"a\"")),
            "unknown key \"name\" in auth.client_certificate",
        ),
        (
            "a provider beside it",
            &*partner,
            format!("{}\n{GITHUB}", with(ca)),
            "\"provider\" cannot stand beside client_certificate",
        ),
        (
            "replays",
            &*partner,
            format!("{}\n[replay]\non_duplicate = \"refuse\"", with(ca)),
            "nothing signed tells one delivery from another",
        ),
    ];
    for (name, ca, auth, expected) in rows {
        let files = policies(ca, &format!("[auth]\n{auth}"), SocketAddr::from(([127, 0, 0, 1], 9)));
        let (_, report) = check_text(&files.each_ref().map(|(name, text)| (*name, text.as_str())), &Secrets);
        assert!(report.contains(expected), "{name}: {expected:?} is not in\n{report}");
        assert!(!expected.is_empty() || !report.contains("certificate"), "{name}:\n{report}");
    }
}

#[test]
fn every_stream_of_an_http_2_connection_has_its_certificate() {
    let partner = authority("Partner");
    let house = House::start(&partner, &auth("", &[NAMED]));
    for (identity, expected) in [(Some(Claims::good().by(&partner)), 200), (None, 401)] {
        let mut config = (*house.client(identity.as_ref(), &rustls::version::TLS13)).clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let statuses = runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(house.gateway.address()).await.unwrap();
            let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
            let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            let mut statuses = Vec::new();
            for _ in 0..2 {
                let sent = delivery("/hooks/partner", Shows::Nothing).without("host");
                let mut request = http::Request::post("https://localhost/hooks/partner")
                    .body(Full::new(Bytes::from(sent.body.clone())))
                    .unwrap();
                *request.headers_mut() = headers(&sent);
                let answer = sender.send_request(request).await.unwrap();
                statuses.push(answer.status().as_u16());
                answer.into_body().collect().await.unwrap();
            }
            statuses
        });
        assert_eq!(statuses, [expected, expected]);
    }
}
