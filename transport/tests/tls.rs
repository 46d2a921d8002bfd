//! TLS and QUIC between real sockets, and what must not get through.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use transport::proxy_protocol::{AcceptProxy, Headers, encode};
use transport::tls::{Client, ClientAuth, Server, Settings, local_settings};
use transport::{Acceptor, Connector, Listener, SocketOptions, Stream};

const DEADLINE: Duration = Duration::from_secs(60);

struct Town {
    _folder: TempDir,
    settings: Settings,
    server: Arc<Server>,
    acceptor: Acceptor,
    address: SocketAddr,
}

async fn town(quic: bool, change: impl FnOnce(&mut Settings)) -> Town {
    let folder = TempDir::new().unwrap();
    let mut settings = local_settings(folder.path(), true).unwrap();
    change(&mut settings);
    let server = Server::load(&settings).unwrap();
    let any = ([127, 0, 0, 1], 0).into();
    let listener = if quic {
        Listener::bind_quic(any, server.clone()).unwrap()
    } else {
        Listener::bind(any, SocketOptions::default()).unwrap().with_tls(Some(server.clone()))
    };
    let address = listener.local_addr().unwrap();
    Town { _folder: folder, settings, server, acceptor: listener.accepting().await.unwrap(), address }
}

impl Town {
    fn connector(&self, quic: bool) -> Connector {
        let client = Client::load(&self.settings).unwrap();
        if quic { Connector::quic(client) } else { Connector::tls(SocketOptions::default(), client) }
    }

    /// Both ends of a connection. The client speaks first, as QUIC shows a stream to its taker only then.
    async fn pair(&self, connector: &Connector) -> (Stream, Stream) {
        let mut client = connector.dial(self.address, DEADLINE).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        client.flush().await.unwrap();
        let (mut server, _) = tokio::time::timeout(DEADLINE, self.acceptor.accept()).await.unwrap().unwrap();
        let mut hello = [0; 5];
        server.read_exact(&mut hello).await.unwrap();
        assert_eq!(&hello, b"hello");
        (client, server)
    }
}

/// The server's thread counts when it is done with a connection, which is after its peer has seen it.
async fn counted(done: impl Fn() -> bool) {
    let waiting = async {
        while !done() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.expect("counted at last");
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i * 31) >> 3) as u8).collect()
}

async fn megabytes_both_ways(quic: bool) {
    let town = town(quic, |_| ()).await;
    let (client, server) = town.pair(&town.connector(quic)).await;
    let mut ends = Vec::new();
    for stream in [client, server] {
        ends.push(tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(stream);
            let writing = tokio::spawn(async move {
                for chunk in pattern(3 << 20).chunks(70_001) {
                    write.write_all(chunk).await.unwrap();
                }
                write.shutdown().await.unwrap();
                write
            });
            let mut got = Vec::new();
            read.read_to_end(&mut got).await.unwrap();
            assert!(got == pattern(3 << 20));
            writing.await.unwrap();
        }));
    }
    for end in ends {
        tokio::time::timeout(DEADLINE, end).await.unwrap().unwrap();
    }
    assert_eq!(town.server.counts().established.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn megabytes_both_ways_over_tls() {
    megabytes_both_ways(false).await;
}

#[tokio::test]
async fn megabytes_both_ways_over_quic() {
    megabytes_both_ways(true).await;
}

#[tokio::test]
async fn without_a_certificate_there_is_no_connection() {
    for quic in [false, true] {
        let town = town(quic, |_| ()).await;
        let nobody = Settings { certificate: None, key: None, ..town.settings.clone() };
        let client = Client::load(&nobody).unwrap();
        let connector =
            if quic { Connector::quic(client) } else { Connector::tls(SocketOptions::default(), client) };
        let refused = async {
            let mut stream = connector.dial(town.address, DEADLINE).await?;
            // Over TCP to write could find the server gone before its last words are read.
            if quic {
                stream.write_all(b"hello").await?;
            }
            stream.read_u8().await
        };
        let error = refused.await.unwrap_err();
        if !quic {
            assert_eq!(
                transport::tls::refused_by_peer(&error),
                Some("the peer wants a certificate (TLS alert)"),
                "{error}"
            );
        }
        counted(|| town.server.counts().failed.load(Ordering::Relaxed) == 1).await;
    }
}

#[tokio::test]
async fn another_authoritys_server_is_refused_by_name() {
    let town = town(false, |_| ()).await;
    let elsewhere = TempDir::new().unwrap();
    let other = local_settings(elsewhere.path(), true).unwrap();
    let connector = Connector::tls(SocketOptions::default(), Client::load(&other).unwrap());
    let error = connector.dial(town.address, DEADLINE).await.unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("cannot connect to {}: invalid peer certificate", town.address))
            && error.ends_with("(no authority of `tls.ca` has issued it)"),
        "{error}"
    );
    let named = Settings { server_name: "example.org".into(), ..town.settings.clone() };
    let connector = Connector::tls(SocketOptions::default(), Client::load(&named).unwrap());
    let error = connector.dial(town.address, DEADLINE).await.unwrap_err().to_string();
    assert!(error.contains("example.org"), "{error}");
}

#[tokio::test]
async fn who_says_nothing_is_let_go_at_the_deadline_and_more_than_allowed_at_once() {
    let town = town(false, |settings| {
        // All five come before the first two are let go.
        settings.handshake_timeout_ms = 2_000;
        settings.handshakes_max = 2;
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..5 {
        silent.push(TcpStream::connect(town.address).await.unwrap());
    }
    for stream in &mut silent {
        // The end comes, by refusal or at the deadline.
        assert!(matches!(stream.read(&mut [0; 16]).await, Ok(0) | Err(_)));
    }
    let counts = town.server.counts();
    let ended = || counts.refused.load(Ordering::Relaxed) + counts.timed_out.load(Ordering::Relaxed);
    counted(|| ended() == 5).await;
    assert!(counts.refused.load(Ordering::Relaxed) > 0);
}

/// A relay that shows what crosses it and lets the test change it.
async fn through(
    town: &Town,
    alter: impl Fn(&mut [u8], bool) + Send + 'static,
) -> (tokio::task::JoinHandle<()>, SocketAddr) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let target = town.address;
    let relay = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = TcpStream::connect(target).await.unwrap();
        let (mut up, mut down) = ([0; 65536], [0; 65536]);
        loop {
            tokio::select! {
                read = client.read(&mut up) => match read {
                    Ok(0) | Err(_) => break,
                    Ok(bytes) => {
                        alter(&mut up[..bytes], true);
                        if server.write_all(&up[..bytes]).await.is_err() { break }
                    }
                },
                read = server.read(&mut down) => match read {
                    Ok(0) | Err(_) => break,
                    Ok(bytes) => {
                        alter(&mut down[..bytes], false);
                        if client.write_all(&down[..bytes]).await.is_err() { break }
                    }
                },
            }
        }
    });
    (relay, address)
}

#[tokio::test]
async fn an_altered_record_ends_the_connection_and_what_came_before_is_good() {
    let town = town(false, |_| ()).await;
    let marked = |bytes: &mut [u8], up: bool| {
        // The record of 1,000 bytes is the only one of this length.
        let header = [23, 3, 3, 3, 249];
        if up && let Some(at) = bytes.windows(5).position(|window| window == header) {
            bytes[at + 500] ^= 1;
        }
    };
    let (relay, address) = through(&town, marked).await;
    let mut client = town.connector(false).dial(address, DEADLINE).await.unwrap();
    client.write_all(b"good").await.unwrap();
    client.flush().await.unwrap();
    let (mut server, _) = town.acceptor.accept().await.unwrap();
    let mut good = [0; 4];
    server.read_exact(&mut good).await.unwrap();
    client.write_all(&[7; 1000]).await.unwrap();
    client.flush().await.unwrap();
    let error = server.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
    let told = client.read_u8().await.unwrap_err();
    assert!(told.to_string().contains("BadRecordMac"), "{told}");
    relay.abort();
}

#[tokio::test]
async fn a_cut_is_told_from_an_end() {
    let town = town(false, |_| ()).await;
    let (relay, address) = through(&town, |_, _| ()).await;
    let mut client = town.connector(false).dial(address, DEADLINE).await.unwrap();
    client.write_all(b"x").await.unwrap();
    client.flush().await.unwrap();
    let (mut server, _) = town.acceptor.accept().await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), b'x');
    relay.abort();
    let cut = server.read_u8().await.unwrap_err();
    let kinds = [std::io::ErrorKind::UnexpectedEof, std::io::ErrorKind::ConnectionReset];
    assert!(kinds.contains(&cut.kind()), "{cut}");
    let mut one = [0];
    let (mut client, mut server) = town.pair(&town.connector(false)).await;
    client.shutdown().await.unwrap();
    assert_eq!(server.read(&mut one).await.unwrap(), 0);
}

#[tokio::test]
async fn certificates_are_reloaded_and_open_connections_go_on() {
    for quic in [false, true] {
        reload(quic).await;
    }
}

async fn reload(quic: bool) {
    let town = town(quic, |settings| settings.client_auth = ClientAuth::None).await;
    let (mut client, mut server) = town.pair(&town.connector(quic)).await;
    let folder = town.settings.ca.as_ref().unwrap().parent().unwrap();
    let before = town.connector(quic);
    local_settings(folder, true).unwrap();
    town.server.reload().unwrap();
    before.dial(town.address, DEADLINE).await.unwrap_err();
    assert_ne!(town.server.certificate_ends_s(), 0);
    town.pair(&town.connector(quic)).await;
    client.write_all(b"still").await.unwrap();
    client.flush().await.unwrap();
    let mut still = [0; 5];
    server.read_exact(&mut still).await.unwrap();
    std::fs::write(folder.join("local.crt"), "not a certificate").unwrap();
    let error = town.server.reload().unwrap_err().to_string();
    assert!(error.contains("tls.certificate") && error.contains("local.crt"), "{error}");
    town.pair(&before_reload(&town, quic)).await;
}

/// A client whose own certificate the test has not spoilt.
fn before_reload(town: &Town, quic: bool) -> Connector {
    let settings = Settings { certificate: None, key: None, ..town.settings.clone() };
    let error = Client::load(&town.settings).map(drop).unwrap_err();
    assert!(error.to_string().contains("tls.certificate"), "{error}");
    let client = Client::load(&settings).unwrap();
    if quic { Connector::quic(client) } else { Connector::tls(SocketOptions::default(), client) }
}

#[tokio::test]
async fn a_client_that_comes_again_resumes() {
    let town = town(false, |_| ()).await;
    let connector = town.connector(false);
    for resumed in 0..3 {
        let (mut client, mut server) = town.pair(&connector).await;
        // The tickets come before anything else that the server sends.
        server.write_u8(1).await.unwrap();
        server.flush().await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), 1);
        counted(|| town.server.counts().resumed.load(Ordering::Relaxed) == resumed).await;
    }
}

#[tokio::test]
async fn plain_bytes_on_a_tls_port_are_refused_and_counted() {
    let town = town(false, |_| ()).await;
    let mut stream = TcpStream::connect(town.address).await.unwrap();
    stream.write_all(b"8=FIX.4.4\x019=5\x0135=0\x0110=161\x01").await.unwrap();
    let mut alert = Vec::new();
    stream.read_to_end(&mut alert).await.unwrap();
    assert_eq!(alert.first(), Some(&21), "an alert");
    counted(|| town.server.counts().failed.load(Ordering::Relaxed) == 1).await;
}

#[tokio::test]
async fn mixed_speaks_shangmi_with_who_offers_it_and_never_a_mixture() {
    use transport::tls::Suites;
    let folder = TempDir::new().unwrap();
    let international = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let file = |name: &str| folder.path().join(name);
    std::fs::write(file("int.crt"), international.cert.pem()).unwrap();
    std::fs::write(file("int.key"), international.signing_key.serialize_pem()).unwrap();
    let town = town(false, |settings| {
        settings.suites = Suites::Mixed;
        settings.client_auth = ClientAuth::None;
        settings.international_certificate = Some(file("int.crt"));
        settings.international_key = Some(file("int.key"));
    })
    .await;
    let nobody = Settings { certificate: None, key: None, ..town.settings.clone() };
    let foreign = Settings {
        suites: Suites::International,
        ca: Some(file("int.crt")),
        server_name: "localhost".into(),
        ..nobody.clone()
    };
    for settings in [Settings { suites: Suites::ShangMi, ..nobody.clone() }, nobody, foreign] {
        let connector = Connector::tls(SocketOptions::default(), Client::load(&settings).unwrap());
        town.pair(&connector).await;
    }
}

/// Whatever comes instead of a handshake, or in the middle of one, ends that connection and nothing else.
#[tokio::test]
async fn no_bytes_bring_the_handshakes_down() {
    let town = town(false, |_| ()).await;
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for round in 0..60 {
        let place = random() as usize;
        let bit = 1_u8 << (random() % 8);
        let upwards = random() % 4 > 0;
        let spoil = move |bytes: &mut [u8], up: bool| {
            if up == upwards && !bytes.is_empty() {
                let place = place % bytes.len();
                bytes[place] ^= bit;
            }
        };
        let (relay, address) = through(&town, spoil).await;
        let connector = town.connector(false);
        let outcome = async {
            let mut client = connector.dial(address, DEADLINE).await?;
            client.write_all(b"x").await?;
            client.flush().await?;
            client.read_u8().await
        };
        outcome.await.expect_err("nobody answers, and every flight was altered");
        relay.abort();
        let mut good = town.connector(false).dial(town.address, DEADLINE).await.unwrap();
        good.write_all(b"hello").await.unwrap();
        good.flush().await.unwrap();
        // The version in the header of an unsealed record means nothing: where that alone was altered, the handshake is good,
        // and the record behind it is not.
        let said_hello = async {
            let (mut hello, good) = ([0; 5], b"hello");
            while hello != *good {
                let (mut server, _) = town.acceptor.accept().await.unwrap();
                if let Err(error) = server.read_exact(&mut hello).await {
                    println!("altered behind its handshake: {error}");
                }
            }
        };
        tokio::time::timeout(DEADLINE, said_hello).await.unwrap();
        // None of them has vanished without having been counted, as it would by a panic.
        let counts = town.server.counts();
        let outcomes = [&counts.established, &counts.failed, &counts.timed_out];
        let ended = || outcomes.iter().map(|count| count.load(Ordering::Relaxed)).sum::<u64>();
        counted(|| ended() == 2 * (round + 1)).await;
    }
}

/// A client that is rustls' from head to foot, after its handshake.
fn rustls_client(town: &Town) -> (rustls::ClientConnection, std::net::TcpStream) {
    rustls_client_behind(town, b"")
}

/// The same, with these bytes ahead of its handshake.
fn rustls_client_behind(town: &Town, header: &[u8]) -> (rustls::ClientConnection, std::net::TcpStream) {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    let file = |path: &Option<std::path::PathBuf>| path.clone().unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file(&town.settings.ca)).unwrap()).unwrap();
    let provider = Arc::new(gm::tls::provider(gm::tls::Mode::Strict));
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_file(file(&town.settings.certificate)).unwrap()],
            PrivateKeyDer::from_pem_file(file(&town.settings.key)).unwrap(),
        )
        .unwrap();
    let mut tcp = std::net::TcpStream::connect(town.address).unwrap();
    tcp.set_read_timeout(Some(DEADLINE)).unwrap();
    std::io::Write::write_all(&mut tcp, header).unwrap();
    let mut client =
        rustls::ClientConnection::new(Arc::new(config), ServerName::from(town.address.ip())).unwrap();
    while client.is_handshaking() {
        client.complete_io(&mut tcp).unwrap();
    }
    (client, tcp)
}

/// Writes what the client has to say, and reads until something comes.
fn say_and_hear(client: &mut rustls::ClientConnection, tcp: &mut std::net::TcpStream) -> usize {
    while client.wants_write() {
        client.write_tls(tcp).unwrap();
    }
    let bytes = client.read_tls(tcp).unwrap();
    client.process_new_packets().unwrap();
    bytes
}

#[tokio::test]
async fn who_asks_for_a_new_key_gets_it_though_there_is_nothing_to_send() {
    let town = town(false, |_| ()).await;
    let (mut client, mut tcp) = rustls_client(&town);
    let (mut server, _) = town.acceptor.accept().await.unwrap();
    let reading = tokio::spawn(async move { server.read_u8().await });
    let heard = tokio::task::spawn_blocking(move || {
        // The tickets of the handshake are there already.
        say_and_hear(&mut client, &mut tcp);
        client.refresh_traffic_keys().unwrap();
        let heard = say_and_hear(&mut client, &mut tcp);
        (heard, client, tcp)
    });
    let (heard, _client, _tcp) = tokio::time::timeout(DEADLINE, heard).await.unwrap().unwrap();
    assert!(heard > 0);
    reading.abort();
}

#[tokio::test]
async fn last_words_that_come_with_the_handshake_are_heard() {
    use std::io::Write;
    let town = town(false, |_| ()).await;
    let (client, tcp) = rustls_client(&town);
    let (mut client, mut tcp) = (client, tcp);
    client.writer().write_all(b"last words").unwrap();
    client.send_close_notify();
    while client.wants_write() {
        client.write_tls(&mut tcp).unwrap();
    }
    let (mut server, _) = tokio::time::timeout(DEADLINE, town.acceptor.accept()).await.unwrap().unwrap();
    let mut words = String::new();
    server.read_to_string(&mut words).await.unwrap();
    assert_eq!(words, "last words");
}

#[tokio::test]
async fn what_was_written_before_a_drop_arrives_over_quic_as_over_tls() {
    for quic in [false, true] {
        let town = town(quic, |_| ()).await;
        let (mut client, mut server) = town.pair(&town.connector(quic)).await;
        let writing = tokio::spawn(async move {
            server.write_all(&pattern(200_000)).await.unwrap();
            server.flush().await.unwrap();
        });
        let mut got = vec![0; 200_000];
        client.read_exact(&mut got).await.unwrap();
        assert!(got == pattern(200_000));
        writing.await.unwrap();
    }
}

#[tokio::test]
async fn records_that_carry_nothing_end_the_connection() {
    let town = town(false, |_| ()).await;
    let (mut client, mut tcp) = rustls_client(&town);
    let (mut server, _) = town.acceptor.accept().await.unwrap();
    for _ in 0..40 {
        client.refresh_traffic_keys().unwrap();
        while client.wants_write() {
            client.write_tls(&mut tcp).unwrap();
        }
    }
    let ended = tokio::time::timeout(DEADLINE, server.read_u8()).await.unwrap();
    assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn who_leaves_without_a_word_is_no_failed_handshake() {
    let town = town(false, |_| ()).await;
    drop(TcpStream::connect(town.address).await.unwrap());
    let counts = town.server.counts();
    counted(|| counts.left.load(Ordering::Relaxed) == 1).await;
    town.pair(&town.connector(false)).await;
    assert_eq!(counts.failed.load(Ordering::Relaxed), 0);
}

/// An answer to what came with the end of the handshake must not find a socket that its runtime does not know yet: who
/// answers and closes at once would close without the answer.
#[tokio::test]
async fn what_came_with_the_handshake_can_be_answered_at_once() {
    use std::task::{Context, Poll, Waker};
    let town = town(false, |_| ()).await;
    let _client = town.connector(false).dial(town.address, DEADLINE).await.unwrap();
    let (mut server, _) = town.acceptor.accept().await.unwrap();
    let now = &mut Context::from_waker(Waker::noop());
    let written = tokio::io::AsyncWrite::poll_write(std::pin::Pin::new(&mut server), now, b"refused");
    assert!(matches!(written, Poll::Ready(Ok(7))));
    let flushed = tokio::io::AsyncWrite::poll_flush(std::pin::Pin::new(&mut server), now);
    assert!(matches!(flushed, Poll::Ready(Ok(()))));
}

/// What is said of settings that no server can be made of: how it begins, and what it names.
fn assert_refused<const N: usize>(cases: [(Settings, &str, &str); N]) {
    for (settings, start, text) in cases {
        let error = Server::load(&settings).map(drop).unwrap_err().to_string();
        assert!(error.starts_with(start) && error.contains(text), "{error}");
    }
}

#[test]
fn settings_that_cannot_be_used_say_which_and_why() {
    let (folder, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let good = local_settings(folder.path(), true).unwrap();
    let other = local_settings(elsewhere.path(), true).unwrap();
    let absent = Some(folder.path().join("absent"));
    let encrypted = Some(folder.path().join("encrypted.key"));
    let pem = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    std::fs::write(encrypted.as_ref().unwrap(), pem).unwrap();
    assert_refused([
        (
            Settings { certificate: absent.clone(), ..good.clone() },
            "tls.certificate: cannot read ",
            "absent: No such file",
        ),
        (Settings { key: absent, ..good.clone() }, "tls.key: cannot read ", "absent: No such file"),
        (
            Settings { certificate: good.key.clone(), ..good.clone() },
            "tls.certificate: ",
            "local.key: no certificate",
        ),
        (
            Settings { key: good.certificate.clone(), ..good.clone() },
            "tls.key: ",
            "local.crt: no private key",
        ),
        (
            Settings { key: encrypted, ..good.clone() },
            "tls.key: ",
            "encrypted.key: the private key in it is encrypted",
        ),
        (Settings { key: other.key, ..good.clone() }, "tls.key: ", "is not the key of the certificate in"),
        (Settings { ca: None, ..good.clone() }, "tls.ca: is not set: ", "authorities"),
        (Settings { certificate: None, ..good }, "tls.certificate: is not set: ", "shown to peers"),
    ]);
}

#[test]
fn keys_of_other_suites_and_broken_certificates_are_told_as_that() {
    use transport::tls::Suites;
    let folder = TempDir::new().unwrap();
    let good = local_settings(folder.path(), true).unwrap();
    let international = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let file = |name: &str, pem: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, pem).unwrap();
        Some(path)
    };
    let foreign = Settings {
        certificate: file("int.crt", &international.cert.pem()),
        key: file("int.key", &international.signing_key.serialize_pem()),
        ..good.clone()
    };
    let broken = file("broken.crt", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n");
    let is_broken = "broken.crt: not a certificate: its DER is broken";
    assert_refused([
        (foreign.clone(), "tls.key: ", "int.key: not an SM2 key: `suites = \"shangmi\"`, the default, wants"),
        (
            Settings { suites: Suites::Mixed, ..foreign },
            "tls.key: ",
            "int.key: not an SM2 key: with `suites = \"mixed\"` it stands at `international_key`",
        ),
        (
            Settings { suites: Suites::International, ..good.clone() },
            "tls.key: ",
            "local.key: not a private key that these suites can use: ",
        ),
        (Settings { certificate: broken.clone(), ..good.clone() }, "tls.certificate: ", is_broken),
        (Settings { ca: broken, ..good }, "tls.ca: ", is_broken),
    ]);
}

/// Nothing of the calling thread is needed for it: here that thread is the server, and blocked in its part of the handshake.
#[tokio::test]
async fn a_dialled_handshake_is_not_done_on_the_thread_that_dials() {
    let town = town(false, |settings| settings.client_auth = ClientAuth::None).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connector = town.connector(false);
    let mut dial = Box::pin(connector.dial(address, DEADLINE));
    let begun = std::future::poll_fn(|context| std::task::Poll::Ready(dial.as_mut().poll(context))).await;
    assert!(begun.is_pending());
    let (mut tcp, _) = listener.accept().unwrap();
    tcp.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut server = rustls_server(&town.settings);
    while server.is_handshaking() {
        server.complete_io(&mut tcp).expect("the client's part comes from another thread");
    }
    let mut client = dial.await.unwrap();
    client.write_all(b"order").await.unwrap();
    client.flush().await.unwrap();
    let mut order = [0; 5];
    std::io::Read::read_exact(&mut rustls::Stream::new(&mut server, &mut tcp), &mut order).unwrap();
    assert_eq!(&order, b"order");
}

/// A server that is rustls' from head to foot.
fn rustls_server(settings: &Settings) -> rustls::ServerConnection {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain = CertificateDer::pem_file_iter(settings.certificate.as_ref().unwrap()).unwrap();
    let key = PrivateKeyDer::from_pem_file(settings.key.as_ref().unwrap()).unwrap();
    let provider = Arc::new(gm::tls::provider(gm::tls::Mode::Strict));
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    rustls::ServerConnection::new(Arc::new(config)).unwrap()
}

#[tokio::test]
async fn a_dial_that_is_given_up_ends_on_its_thread_too() {
    let town = town(false, |_| ()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connector = town.connector(false);
    // Its hello is out by then.
    let (dialled, accepted) =
        tokio::join!(connector.dial(address, Duration::from_secs(2)), listener.accept());
    assert_eq!(dialled.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    let (mut silent, _) = accepted.unwrap();
    let mut hello = Vec::new();
    tokio::time::timeout(DEADLINE, silent.read_to_end(&mut hello)).await.expect("closed").unwrap();
    assert_eq!(hello[0], 22, "a hello, and then the end");
}

#[tokio::test]
async fn one_address_has_its_own_bound_of_handshakes() {
    let town = town(false, |settings| {
        settings.peer_handshakes_max = 2;
        settings.peer_exempt = Vec::new();
        settings.client_auth = ClientAuth::None;
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..2 {
        silent.push(TcpStream::connect(town.address).await.unwrap());
    }
    let counts = town.server.counts();
    counted(|| counts.under_way() == 2).await;
    town.connector(false).dial(town.address, DEADLINE).await.unwrap_err();
    assert_eq!(counts.refused_peer.load(Ordering::Relaxed), 1);
    // Another address has its own.
    let elsewhere = tokio::net::TcpSocket::new_v4().unwrap();
    elsewhere.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let elsewhere = elsewhere.connect(town.address).await.unwrap();
    counted(|| counts.under_way() == 3).await;
    drop((silent, elsewhere));
    counted(|| counts.under_way() == 0).await;
    town.pair(&town.connector(false)).await;
    assert_eq!(counts.refused_peer.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn one_address_has_its_own_rate_of_handshakes() {
    let town = town(false, |settings| {
        settings.peer_handshakes_per_s_max = 1;
        settings.peer_exempt = Vec::new();
    })
    .await;
    // The second comes within the first one's second: nothing here takes so long, and if it did, the third does not either.
    let connector = town.connector(false);
    let mut refused = 0;
    for _ in 0..20 {
        refused += u64::from(connector.dial(town.address, DEADLINE).await.is_err());
    }
    assert!(refused > 0);
    counted(|| town.server.counts().refused_rate.load(Ordering::Relaxed) == refused).await;
}

#[tokio::test]
async fn under_load_an_address_must_prove_itself_over_quic_and_then_has_its_bound() {
    let town = town(true, |settings| {
        settings.peer_handshakes_max = 3;
        settings.peer_exempt = Vec::new();
    })
    .await;
    let counts = town.server.counts();
    // Connections of which the streams are never opened: their handshakes stay under way.
    let connectors: Vec<_> = (0..4).map(|_| town.connector(true)).collect();
    let mut open = Vec::new();
    for (place, connector) in connectors.iter().enumerate().take(3) {
        assert_eq!(counts.retried.load(Ordering::Relaxed), 0, "not the first two");
        open.push(connector.dial(town.address, DEADLINE).await.unwrap());
        counted(|| counts.under_way() == place + 1).await;
    }
    // More than half of the bound was used before the third. It may have asked twice, where the answer was late.
    let retried = counts.retried.load(Ordering::Relaxed);
    assert!(retried > 0);
    let refused = connectors[3].dial(town.address, DEADLINE).await.unwrap_err();
    assert!(refused.to_string().contains("refused"), "{refused}");
    assert!(counts.refused_peer.load(Ordering::Relaxed) > 0);
    assert!(counts.retried.load(Ordering::Relaxed) > retried);
    // Their ends open the streams that their handshakes waited for.
    drop(open);
    for _ in 0..3 {
        tokio::time::timeout(DEADLINE, town.acceptor.accept()).await.unwrap().unwrap();
    }
    counted(|| counts.under_way() == 0).await;
    town.pair(&town.connector(true)).await;
}

/// A connection as a balancer makes it for this client: the header, and then TLS.
async fn on_behalf_of(town: &Town, client: &str) -> TcpStream {
    let mut tcp = TcpStream::connect(town.address).await.unwrap();
    tcp.write_all(&encode(client.parse().unwrap(), town.address)).await.unwrap();
    tcp
}

#[tokio::test]
async fn behind_a_balancer_each_client_has_its_own_bound_and_its_own_address() {
    let folder = TempDir::new().unwrap();
    let mut settings = local_settings(folder.path(), true).unwrap();
    settings.peer_handshakes_max = 1;
    let server = Server::load(&settings).unwrap();
    let accept = AcceptProxy { from: vec!["127.0.0.1".parse().unwrap()], ..AcceptProxy::default() };
    let listener = Listener::bind(([127, 0, 0, 1], 0).into(), SocketOptions::default()).unwrap();
    let address = listener.local_addr().unwrap();
    let listener = listener.with_proxy_headers(Some(Headers::new(accept, |_| {})));
    let acceptor = listener.with_tls(Some(server.clone())).accepting().await.unwrap();
    let town = Town { _folder: folder, settings, server, acceptor, address };

    let under_way = || town.server.counts().under_way();
    let _first = on_behalf_of(&town, "192.0.2.1:1000").await;
    counted(|| under_way() == 1).await;
    let mut second = on_behalf_of(&town, "192.0.2.1:1001").await;
    assert_eq!(second.read(&mut [0]).await.unwrap(), 0, "as many as its client may have are under way");
    assert_eq!(town.server.counts().refused_peer.load(Ordering::Relaxed), 1);

    let other = "192.0.2.2:2000".parse().unwrap();
    let _other = rustls_client_behind(&town, &encode(other, town.address));
    let (_stream, peer) = tokio::time::timeout(DEADLINE, town.acceptor.accept()).await.unwrap().unwrap();
    assert_eq!(peer, other);
}
