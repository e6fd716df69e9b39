use std::pin::pin;
use std::task::Waker;

use ::aws_lc_rs::aead;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ConnectionTrafficSecrets, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_rustls::{TlsConnector, client};

use super::*;

/// A client that trusts the server's certificate, and the server, for one version of TLS.
fn configs(version: &'static SupportedProtocolVersion) -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[version]).unwrap();
    let server = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    let mut server = server.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    // Nobody would read them while the server waits for room in a small socket.
    server.send_tls13_tickets = 0;
    let mut client = client.with_root_certificates(roots).with_no_client_auth();
    client.enable_secret_extraction = true;
    (Arc::new(client), Arc::new(server))
}

type Ends = (client::TlsStream<DuplexStream>, TlsStream<DuplexStream>);

/// Both ends of a connection whose socket holds so many bytes.
async fn connected(version: &'static SupportedProtocolVersion, socket_bytes: usize) -> Ends {
    let (client_config, server_config) = configs(version);
    let (near, far) = duplex(socket_bytes);
    let connector = TlsConnector::from(client_config);
    let name = ServerName::try_from("localhost").unwrap();
    let (client, server) = tokio::join!(connector.connect(name, near), TlsStream::accept(far, server_config));
    (client.unwrap(), server.unwrap())
}

/// Bytes of which no two stretches are alike.
fn text(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at ^ at >> 8 ^ at >> 16) & 0xFF).unwrap()).collect()
}

/// Whatever comes until the end, read into so much room at a time.
async fn read_by(server: &mut TlsStream<DuplexStream>, room: usize) -> io::Result<Vec<u8>> {
    let (mut all, mut piece) = (Vec::new(), vec![0; room]);
    loop {
        match server.read(&mut piece).await? {
            0 => return Ok(all),
            length => all.extend_from_slice(&piece[..length]),
        }
    }
}

#[tokio::test]
async fn what_is_sent_arrives_however_it_is_cut() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (socket, room, length) in [
            (1 << 20, 8192, 100_000),
            (100, 8192, 40_000),
            (1 << 20, 1, 20_000),
            (7, 3, 500),
            (1 << 20, 1 << 20, 300_000),
        ] {
            let (mut client, mut server) = connected(version, socket).await;
            let sent = text(length);
            let sending = async {
                client.write_all(&sent).await.unwrap();
                client.shutdown().await.unwrap();
            };
            let ((), read) = tokio::join!(sending, read_by(&mut server, room));
            assert!(read.unwrap() == sent, "{version:?} socket {socket} room {room}");
            assert!(server.plain.is_empty() && server.received.is_empty(), "nothing is left over");
        }
    }
}

#[tokio::test]
async fn what_is_answered_arrives_however_little_the_socket_takes() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (socket, length) in [(1 << 20, 100), (1 << 20, 100_000), (50, 40_000)] {
            let (mut client, mut server) = connected(version, socket).await;
            let sent = text(length);
            let answering = async {
                let (head, body) = sent.split_at(length / 3);
                let written = server.write_vectored(&[IoSlice::new(head), IoSlice::new(&[]), IoSlice::new(body)]).await;
                assert_eq!(written.unwrap(), length.min(PIECE_BYTES));
                server.write_all(&sent[length.min(PIECE_BYTES)..]).await.unwrap();
                server.shutdown().await.unwrap();
                assert!(server.sent.is_empty());
            };
            let mut read = Vec::new();
            let ((), ended) = tokio::join!(answering, client.read_to_end(&mut read));
            // Its own end was announced, so that the client does not call it cut off.
            ended.unwrap();
            assert!(read == sent, "{version:?} socket {socket}");
        }
    }
}

#[tokio::test]
async fn an_end_that_is_not_announced_is_an_error() {
    let (mut client, mut server) = connected(&rustls::version::TLS13, 1 << 20).await;
    client.write_all(b"half").await.unwrap();
    client.flush().await.unwrap();
    drop(client);
    let mut room = [0; 10];
    assert_eq!(server.read(&mut room).await.unwrap(), 4);
    assert_eq!(server.read(&mut room).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_damaged_record_ends_the_connection_after_what_came_before_it() {
    let (mut client, mut server) = connected(&rustls::version::TLS13, 1 << 20).await;
    client.write_all(b"good").await.unwrap();
    client.flush().await.unwrap();
    client.get_mut().0.write_all(b"\x17\x03\x03\x00\x20damaged damaged damaged damaged!").await.unwrap();
    let mut room = [0; 10];
    assert_eq!(server.read(&mut room).await.unwrap(), 4);
    for _ in 0..2 {
        let error = server.read(&mut room).await.unwrap_err();
        assert_eq!(error.get_ref().unwrap().downcast_ref(), Some(&rustls::Error::DecryptError));
    }
    assert!(server.write(b"x").await.is_err());
    // The client is told.
    assert!(client.read(&mut room).await.unwrap_err().to_string().contains("BadRecordMac"));
}

#[tokio::test]
async fn a_handshake_that_fails_tells_both_sides_why() {
    let (client_config, _) = configs(&rustls::version::TLS12);
    let (_, server_config) = configs(&rustls::version::TLS13);
    let (near, far) = duplex(1 << 20);
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(client_config);
    let (client, server) = tokio::join!(connector.connect(name, near), TlsStream::accept(far, server_config));
    let server = server.err().unwrap();
    assert!(matches!(server.get_ref().unwrap().downcast_ref(), Some(rustls::Error::PeerIncompatible(_))));
    assert!(client.unwrap_err().to_string().contains("ProtocolVersion"));
}

#[tokio::test]
async fn a_handshake_that_is_cut_off_is_no_fault_of_the_protocol() {
    let (_, server_config) = configs(&rustls::version::TLS13);
    let (near, far) = duplex(64);
    drop(near);
    let error = TlsStream::accept(far, server_config).await.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert!(error.get_ref().is_none());
}

#[tokio::test]
async fn a_new_key_is_used_without_a_word_from_above() {
    let (mut client, mut server) = connected(&rustls::version::TLS13, 1 << 20).await;
    assert_eq!(client.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    client.get_mut().1.refresh_traffic_keys().unwrap();
    client.write_all(b"new key").await.unwrap();
    client.flush().await.unwrap();
    let mut room = [0; 10];
    assert_eq!(server.read(&mut room).await.unwrap(), 7);
    server.write_all(b"new key, too").await.unwrap();
    let mut read = [0; 12];
    client.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"new key, too");
}

#[tokio::test]
async fn a_connection_that_waits_holds_no_memory_for_bytes() {
    let (mut client, mut server) = connected(&rustls::version::TLS13, 1 << 20).await;
    client.write_all(&text(30_000)).await.unwrap();
    client.flush().await.unwrap();
    let mut room = vec![0; 30_000];
    server.read_exact(&mut room).await.unwrap();
    let mut context = Context::from_waker(Waker::noop());
    let mut nothing = [0; 10];
    assert!(pin!(server.read(&mut nothing)).as_mut().poll(&mut context).is_pending());
    for kept in [&server.received, &server.plain, &server.sent] {
        assert_eq!(kept.held_bytes(), 0);
    }
}

#[tokio::test]
async fn a_part_of_a_handshake_before_a_record_that_may_not_follow_is_a_fault_of_the_protocol() {
    let part_of_a_hello = b"\x16\x03\x01\x00\x01\x01";
    for next in [
        &b"\x17\x03\x03\x00\x01\x00"[..],
        b"\x15\x03\x03\x00\x02\x01\x00",
        b"\x99\x03\x03\x00\x01\x00",
        b"\x16\x09\x09\xff\xff",
    ] {
        let (_, server_config) = configs(&rustls::version::TLS13);
        let (mut near, far) = duplex(1 << 20);
        near.write_all(&[part_of_a_hello, next].concat()).await.unwrap();
        let error = TlsStream::accept(far, server_config).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{next:?}");
    }
}

/// A record of TLS 1.3 that holds a piece of a handshake message, as the client of `connection` would send it `later` records from now.
fn handshake_record(secrets: &(u64, ConnectionTrafficSecrets), later: u64, piece: &[u8]) -> Vec<u8> {
    let (sequence, ConnectionTrafficSecrets::Aes256Gcm { key, iv }) = secrets else { panic!("another cipher") };
    let mut nonce: [u8; 12] = iv.as_ref().try_into().unwrap();
    for (byte, of) in nonce[4..].iter_mut().zip((sequence + later).to_be_bytes()) {
        *byte ^= of;
    }
    let length = u8::try_from(piece.len() + 1 + 16).unwrap();
    let mut record = vec![0x17, 3, 3, 0, length];
    let mut inner = [piece, &[0x16]].concat();
    let key = aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_256_GCM, key.as_ref()).unwrap());
    let nonce = aead::Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(nonce, aead::Aad::from(&record), &mut inner).unwrap();
    record.extend_from_slice(&inner);
    record
}

#[tokio::test]
async fn half_a_new_key_does_not_hinder_an_answer() {
    let (client, mut server) = connected(&rustls::version::TLS13, 1 << 20).await;
    let (mut socket, session) = client.into_inner();
    let secrets = session.dangerous_extract_secrets().unwrap().tx;
    let mut context = Context::from_waker(Waker::noop());
    let mut room = [0; 10];
    // KeyUpdate, with the wish for one in return (RFC 8446 §4.6.3).
    for (later, piece) in (0..).zip([&b"\x18\x00"[..], b"\x00\x01\x01"]) {
        socket.write_all(&handshake_record(&secrets, later, piece)).await.unwrap();
        assert!(pin!(server.read(&mut room)).as_mut().poll(&mut context).is_pending());
        server.write_all(b"answer").await.unwrap();
        let mut record = [0; 5 + 6 + 1 + 16];
        socket.read_exact(&mut record).await.unwrap();
        assert_eq!(record[..3], [0x17, 3, 3]);
    }
    assert!(server.received.is_empty());
    server.shutdown().await.unwrap();
}
