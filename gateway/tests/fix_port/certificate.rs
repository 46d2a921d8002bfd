//! A client that is known by its certificate: its common name must be the CompID.

use crate::config;
use crate::peers::{Core, DEADLINE, Gateway, text};
use fix::UtcTimestamp;
use fix::codec::Encoder;
use gateway::config::{Client, CoreName};
use gateway::fix::config::{Authentication, Session};
use service::tls::local_settings;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use transport::{Connector, SocketOptions, tls};
use wire::szse::{Password, Text};

/// What a logon with this CompID and password is answered with, over TLS with the certificate of `localhost`.
fn log_on(address: SocketAddr, connector: &Connector, comp_id: &str, password: &str) -> String {
    let clock = transport::Clock::start();
    let time = UtcTimestamp::from_unix_ms(clock.wall_ns(clock.now_ns()).unsigned_abs() / 1_000_000);
    let mut logon = Vec::new();
    let mut message = Encoder::begin(&mut logon, b"FIX.4.4", b"A");
    message.text(49, comp_id.as_bytes()).text(56, b"TONGDAO").number(34, 1).time(52, time);
    message.char(98, b'0').number(108, 60).flag(141, true).text(554, password.as_bytes());
    message.finish();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut stream = connector.dial(address, DEADLINE).await.expect("dialled");
        stream.write_all(&logon).await.expect("written");
        stream.flush().await.expect("flushed");
        let mut answer = vec![0; 4096];
        let len = stream.read(&mut answer).await.expect("answered");
        String::from_utf8_lossy(&answer[..len]).replace('\x01', "|")
    })
}

#[test]
fn the_name_in_the_certificate_must_be_the_comp_id() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = local_settings(folder.path(), true).expect("certificates");
    let core = Core::listen(&[1]);
    let mut config = config(&[(CoreName::Cash, &core, 0)], folder.path());
    config.cores.iter_mut().for_each(|core| core.transport = Some(service::tls::Over::Tcp));
    config.clients.push(Client {
        comp_id: text("localhost"),
        password: Password::new(b"secret").expect("fits").into(),
        accounts: vec![text("a9")],
    });
    let by = |comp_id: &str, authentication| Session {
        comp_id: text(comp_id),
        authentication,
        default_account: Text::BLANK,
    };
    config.fix.sessions = vec![
        by("localhost", Authentication::Certificate),
        by("c1", Authentication::Certificate),
        by("c2", Authentication::Password),
    ];
    config.tls = Some(settings.clone());
    let both = {
        let mut config = config.clone();
        config.fix.sessions[0].authentication = Authentication::Both;
        config.fix.store.directory = folder.path().join("other");
        config
    };
    let connector = Connector::tls(SocketOptions::default(), tls::Client::load(&settings).expect("good"));

    let gateway = Gateway::start(config);
    let address = gateway.fix_address.expect("configured");
    assert!(
        log_on(address, &connector, "localhost", "").contains("|35=A|"),
        "known by its certificate alone"
    );
    let another = log_on(address, &connector, "c1", "secret");
    assert!(
        another.contains("|35=5|") && another.contains("|58=the certificate is not this CompID's|"),
        "{another}"
    );
    assert!(
        log_on(address, &connector, "c2", "secret").contains("|35=A|"),
        "by its password, whatever it shows"
    );
    gateway.stop();

    let gateway = Gateway::start(both);
    let address = gateway.fix_address.expect("configured");
    let guess = log_on(address, &connector, "localhost", "guess");
    assert!(guess.contains("|58=certificate, Username or Password is wrong|"), "{guess}");
    assert!(log_on(address, &connector, "localhost", "secret").contains("|35=A|"));
    gateway.stop();
}
