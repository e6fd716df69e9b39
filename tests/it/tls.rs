//! What is negotiated with whom: versions, cipher suites, groups, session tickets. What the gateway refuses is offered byte for byte, since no library would.

use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use hookward::edge::tls::tickets::{LIFETIME, ROTATION};
use hookward::policy::gateway_config::TlsProfile;
use rustls::crypto::aws_lc_rs::{self, cipher_suite as suite, kx_group as group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, HandshakeKind, NamedGroup, ProtocolVersion, SupportedCipherSuite,
    SupportedProtocolVersion,
};

use crate::support::client::{Connection, socket};
use crate::support::{House, Running};

/// Alerts (RFC 8446 §6).
const HANDSHAKE_FAILURE: u8 = 40;
const PROTOCOL_VERSION: u8 = 70;

/// A client that offers these, best first.
fn client(
    gateway: &Running,
    versions: &[&'static SupportedProtocolVersion],
    suites: &[SupportedCipherSuite],
    groups: &[&'static dyn SupportedKxGroup],
) -> Arc<ClientConfig> {
    let provider =
        CryptoProvider { cipher_suites: suites.to_vec(), kx_groups: groups.to_vec(), ..aws_lc_rs::default_provider() };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(versions).unwrap();
    let mut config = builder.with_root_certificates(gateway.roots().clone()).with_no_client_auth();
    config.enable_early_data = true;
    Arc::new(config)
}

fn of_version(gateway: &Running, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    client(gateway, &[version], aws_lc_rs::ALL_CIPHER_SUITES, aws_lc_rs::DEFAULT_KX_GROUPS)
}

/// Shakes hands, and asks for something, so that tickets are there.
fn shake(gateway: &Running, config: &Arc<ClientConfig>) -> io::Result<ClientConnection> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut session = ClientConnection::new(Arc::clone(config), name).unwrap();
    assert!(session.early_data().is_none(), "a ticket that allows early data");
    let mut socket = socket(gateway.address());
    let mut stream = rustls::Stream::new(&mut session, &mut socket);
    stream.write_all(b"GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    assert_eq!(&answer, b"HTTP/1.1 404");
    Ok(session)
}

fn suite_of(session: &ClientConnection) -> CipherSuite {
    session.negotiated_cipher_suite().unwrap().suite()
}

#[test]
fn the_group_is_the_first_of_the_clients_that_we_have_the_hybrid_for_whoever_prefers_it() {
    let gateway = House::new().start();
    let shaken = |version, groups: &[&'static dyn SupportedKxGroup]| {
        let session = shake(&gateway, &client(&gateway, &[version], aws_lc_rs::ALL_CIPHER_SUITES, groups)).ok()?;
        session.negotiated_key_exchange_group().map(SupportedKxGroup::name)
    };
    let hybrid: &'static dyn SupportedKxGroup = group::X25519MLKEM768;
    let rows: [(&[&'static dyn SupportedKxGroup], Option<NamedGroup>); 7] = [
        (&[hybrid, group::X25519], Some(NamedGroup::X25519MLKEM768)),
        (&[group::SECP256R1MLKEM768, hybrid, group::X25519], Some(NamedGroup::X25519MLKEM768)),
        (&[group::X25519, hybrid], Some(NamedGroup::X25519)),
        (&[group::SECP256R1], Some(NamedGroup::secp256r1)),
        (&[group::SECP384R1], Some(NamedGroup::secp384r1)),
        (&[group::MLKEM1024], None),
        (&[group::SECP256R1MLKEM768], None),
    ];
    for (offered, expected) in rows {
        assert_eq!(shaken(&TLS13, offered), expected, "{offered:?}");
    }
    let of_1_2 = [hybrid, group::X25519];
    assert_eq!(shaken(&TLS12, &of_1_2), Some(NamedGroup::X25519), "the hybrid is for TLS 1.3 alone");
    let ordinary = of_version(&gateway, &TLS13);
    let chosen = shake(&gateway, &ordinary).unwrap().negotiated_key_exchange_group().map(SupportedKxGroup::name);
    assert_eq!(chosen, Some(NamedGroup::X25519MLKEM768), "what our own clients prefer");
}

#[test]
fn the_gateways_order_of_suites_counts_and_each_one_is_spoken() {
    let gateway = House::new().start();
    let groups = aws_lc_rs::DEFAULT_KX_GROUPS;
    let ours = [
        (&TLS13, suite::TLS13_AES_128_GCM_SHA256),
        (&TLS13, suite::TLS13_AES_256_GCM_SHA384),
        (&TLS13, suite::TLS13_CHACHA20_POLY1305_SHA256),
        (&TLS12, suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        (&TLS12, suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
        (&TLS12, suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ];
    for (version, only) in ours {
        let session = shake(&gateway, &client(&gateway, &[version], &[only], groups)).unwrap();
        assert_eq!(suite_of(&session), only.suite());
    }
    for version in [&TLS13, &TLS12] {
        let of_version = |(at, suite): &(&'static SupportedProtocolVersion, _)| (*at == version).then_some(*suite);
        let backwards: Vec<_> = ours.iter().rev().filter_map(of_version).collect();
        let session = shake(&gateway, &client(&gateway, &[version], &backwards, groups)).unwrap();
        assert_eq!(suite_of(&session), backwards.last().unwrap().suite());
    }
}

#[test]
fn tls_1_2_is_spoken_unless_the_profile_is_modern_and_nothing_older_ever() {
    for (profile, of_1_2) in [(TlsProfile::Intermediate, Some(ProtocolVersion::TLSv1_2)), (TlsProfile::Modern, None)] {
        let gateway = House::new().edge(|edge| edge.tls_profile = profile).start();
        let version = |version| shake(&gateway, &of_version(&gateway, version)).ok()?.protocol_version();
        assert_eq!(version(&TLS13), Some(ProtocolVersion::TLSv1_3), "{profile:?}");
        assert_eq!(version(&TLS12), of_1_2, "{profile:?}");
        let both = client(&gateway, &[&TLS12, &TLS13], aws_lc_rs::ALL_CIPHER_SUITES, aws_lc_rs::DEFAULT_KX_GROUPS);
        assert_eq!(shake(&gateway, &both).unwrap().protocol_version(), Some(ProtocolVersion::TLSv1_3), "{profile:?}");
        // ECDHE_ECDSA with AES-128-CBC, which all of these had.
        for older in [0x0300, 0x0301, 0x0302] {
            assert_eq!(answer_to(&gateway, older, &[0xc009]), Answered::Alert(PROTOCOL_VERSION), "{older:#x}");
        }
    }
}

#[test]
fn of_all_numbers_that_suites_can_have_no_other_is_taken() {
    let gateway = House::new().start();
    let (ours_1_2, ours_1_3) = ([0xc02b, 0xc02c, 0xcca9], [0x1301, 0x1302, 0x1303]);
    // Those are no suites but say something.
    let signals = [0x00ff, 0x5600];
    let others: Vec<u16> =
        (0..=u16::MAX).filter(|id| !ours_1_2.contains(id) && !ours_1_3.contains(id) && !signals.contains(id)).collect();
    for (version, ours) in [(0x0303, ours_1_2), (0x0304, ours_1_3)] {
        for offered in others.chunks(16_000) {
            assert_eq!(answer_to(&gateway, version, offered), Answered::Alert(HANDSHAKE_FAILURE), "{version:#x}");
        }
        for one in ours {
            let mut offered = others[..16_000].to_vec();
            offered.push(one);
            assert_eq!(answer_to(&gateway, version, &offered), Answered::ServerHello, "{version:#x} {one:#x}");
        }
    }
}

#[test]
fn a_ticket_is_good_for_two_rotations_of_its_key_and_none_allows_early_data() {
    let (rotation, lifetime) = (ROTATION.as_secs(), LIFETIME.as_secs());
    assert_eq!((rotation, lifetime), (3 * 3600, 6 * 3600));
    for version in [&TLS13, &TLS12] {
        for (other, kept, kind) in [
            (0, rotation - 1, HandshakeKind::Resumed),
            (0, rotation, HandshakeKind::Resumed),
            (0, lifetime - 1, HandshakeKind::Resumed),
            (0, lifetime, HandshakeKind::Full),
            (rotation, lifetime - 1, HandshakeKind::Resumed),
            (rotation, lifetime, HandshakeKind::Full),
            (lifetime - 1, lifetime - 1, HandshakeKind::Resumed),
            (lifetime - 1, lifetime, HandshakeKind::Full),
        ] {
            let gateway = House::new().start();
            let config = of_version(&gateway, version);
            assert_eq!(shake(&gateway, &config).unwrap().handshake_kind(), Some(HandshakeKind::Full));
            gateway.advance(Duration::from_secs(other));
            // Somebody else comes, and a key whose time has come is replaced.
            shake(&gateway, &of_version(&gateway, version)).unwrap();
            gateway.advance(Duration::from_secs(kept - other));
            let again = shake(&gateway, &config).unwrap();
            assert_eq!(again.handshake_kind(), Some(kind), "{version:?} {kept} s, another at {other}");
            // What was handed out meanwhile is under a key that counts.
            assert_eq!(shake(&gateway, &config).unwrap().handshake_kind(), Some(HandshakeKind::Resumed));
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Answered {
    ServerHello,
    Alert(u8),
}

/// What a `ClientHello` with this version and these suites is answered.
fn answer_to(gateway: &Running, version: u16, suites: &[u16]) -> Answered {
    let mut connection = Connection::raw(gateway.address());
    connection.write(&client_hello(version, suites));
    let record = connection.bytes(7).expect("an answer");
    match (record[0], record[5]) {
        (22, 2) => Answered::ServerHello,
        (21, 2) => Answered::Alert(record[6]),
        other => panic!("{other:?}"),
    }
}

/// A `ClientHello` (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2), in as many records as it takes.
fn client_hello(version: u16, suites: &[u16]) -> Vec<u8> {
    let extension = |number: u16, body: &[u8]| [&number.to_be_bytes()[..], &sized(body)].concat();
    let mut extensions = [
        extension(10, &sized(&[0, 0x1d, 0, 0x17])),
        extension(13, &sized(&[4, 3, 8, 4, 4, 1])),
        extension(11, &[1, 0]),
        extension(23, &[]),
    ]
    .concat();
    if version == 0x0304 {
        extensions.extend(extension(43, &[2, 3, 4]));
        // A share of X25519: any 32 bytes are one.
        extensions.extend(extension(51, &sized(&[&[0, 0x1d][..], &sized(&[9; 32])].concat())));
    }
    let suites: Vec<u8> = suites.iter().flat_map(|suite| suite.to_be_bytes()).collect();
    let spoken = version.min(0x0303).to_be_bytes();
    let hello = [&spoken[..], &[7; 32], &[0], &sized(&suites), &[1, 0], &sized(&extensions)].concat();
    let length = u32::try_from(hello.len()).unwrap().to_be_bytes();
    let message = [&[1], &length[1..], &hello].concat();
    message.chunks(16_384).flat_map(|piece| [&[22, 3, 1][..], &sized(piece)].concat()).collect()
}

/// With its length in two bytes before it.
fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}
