//! The feed as a process.

use crate::support::DEADLINE;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use transport::Connector;
use transport::tls::{Client, local_settings};
use wire::szse::code::VERSION_MARKET_DATA;
use wire::szse::{Logon, Logout, Message, Text, frame};

/// The kernel sends nothing for a process that has ended: over QUIC, unlike over TCP, the process itself must see to it that its
/// last words arrive.
#[test]
fn a_subscriber_over_quic_is_told_that_the_process_ends() {
    let folder = tempfile::tempdir().unwrap();
    let settings = local_settings(folder.path(), false).unwrap();
    let file = |path: &Option<std::path::PathBuf>| path.as_ref().unwrap().display().to_string();
    let text = format!(
        "[listen]\naddress = \"127.0.0.1:0\"\nquic = \"127.0.0.1:0\"\n\
         [tls]\ncertificate = \"{}\"\nkey = \"{}\"\nca = \"{}\"\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n\
         [[sources]]\nname = \"nobody\"\naddress = \"127.0.0.1:1\"\n",
        file(&settings.certificate),
        file(&settings.key),
        file(&settings.ca),
    );
    let config = folder.path().join("feed.toml");
    std::fs::write(&config, text).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_feed"))
        .args(["--config", config.to_str().unwrap()])
        .env("RUST_LOG", "info")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(program.stderr.take().unwrap()).lines().map(Result::unwrap);
    let line = log.find(|line| line.contains("over QUIC")).expect("it listens");
    let port = line.rsplit_once("127.0.0.1:").unwrap().1.trim().parse().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    // Else a log that nobody reads would hold it up.
    let rest = std::thread::spawn(move || log.count());

    let said = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let connector = Connector::quic(Client::load(&settings).unwrap());
        let mut stream = connector.dial(address, DEADLINE).await.unwrap();
        let logon = Logon {
            sender_comp_id: Text::literal("subscriber"),
            target_comp_id: Text::literal("feed"),
            heart_bt_int_s: 60.into(),
            default_appl_ver_id: VERSION_MARKET_DATA,
            ..Logon::default()
        };
        let mut bytes = Vec::new();
        frame::encode(&logon, &mut bytes);
        stream.write_all(&bytes).await.unwrap();
        stream.flush().await.unwrap();
        let mut answer = vec![0; bytes.len()];
        stream.read_exact(&mut answer).await.unwrap();
        let stop = Command::new("kill").args(["-TERM", &program.id().to_string()]).status();
        assert!(stop.unwrap().success());
        let mut said = Vec::new();
        tokio::time::timeout(DEADLINE, stream.read_to_end(&mut said)).await.unwrap().unwrap();
        said
    });
    assert!(program.wait().unwrap().success());
    rest.join().unwrap();
    let mut types = Vec::new();
    let mut at = 0;
    while let Some(frame) = frame::decode(&said[at..], frame::BODY_LEN_MAX).unwrap() {
        types.push(frame.msg_type);
        at += frame.bytes.len();
    }
    assert_eq!(at, said.len(), "whole frames");
    assert_eq!(types.last(), Some(&Logout::MSG_TYPE), "{types:?}");
}

#[test]
fn a_service_manager_is_told_when_it_is_ready_and_when_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("feed.toml");
    let text = "[listen]\naddress = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
                [[sources]]\nname = \"nobody\"\naddress = \"127.0.0.1:1\"\n";
    std::fs::write(&config, text).unwrap();
    let manager = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    manager.set_read_timeout(Some(DEADLINE)).unwrap();
    let told = || {
        let mut message = [0; 256];
        let len = manager.recv(&mut message).expect("it tells");
        String::from_utf8(message[..len].to_vec()).unwrap()
    };

    let mut program = Command::new(env!("CARGO_BIN_EXE_feed"))
        .args(["--config", config.to_str().unwrap()])
        .env("NOTIFY_SOCKET", folder.path().join("notify"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(told().trim(), "READY=1");
    let stop = Command::new("kill").args(["-TERM", &program.id().to_string()]).status();
    assert!(stop.unwrap().success());
    assert_eq!(told().trim(), "STOPPING=1");
    assert!(program.wait().unwrap().success());
}

#[test]
fn what_cannot_be_loaded_again_is_logged_with_file_line_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let shown = |name: &str| path(name).display().to_string();
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let right = "{ name = \"t\", token = \"0123456789abcdef\", level = 1, connections_max = 4 }";
    std::fs::write(path("tokens"), "read bob 0123456789abcdef\n").unwrap();
    std::fs::write(path("rights.toml"), format!("accounts = [{right}]\n")).unwrap();
    std::fs::write(path("web.crt"), pair.cert.pem()).unwrap();
    std::fs::write(path("web.key"), pair.signing_key.serialize_pem()).unwrap();
    let text = format!(
        "[listen]\naddress = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [[sources]]\nname = \"nobody\"\naddress = \"127.0.0.1:1\"\n\
         [control]\ntoken_file = \"{}\"\n[entitlement]\nfile = \"{}\"\n[web]\nlisten = \"127.0.0.1:0\"\n\
         [web.tls]\nsuites = \"international\"\ncertificate = \"{}\"\nkey = \"{}\"\n",
        shown("tokens"),
        shown("rights.toml"),
        shown("web.crt"),
        shown("web.key"),
    );
    std::fs::write(path("feed.toml"), text).unwrap();
    let manager = UnixDatagram::bind(path("notify")).unwrap();
    manager.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_feed"))
        .args(["--config", &shown("feed.toml")])
        .env("NOTIFY_SOCKET", path("notify"))
        .env("RUST_LOG", "info")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    manager.recv(&mut [0; 256]).expect("it is ready");
    for name in ["tokens", "web.key", "rights.toml"] {
        std::fs::remove_file(path(name)).unwrap();
    }
    let signal = |signal: &str, id: u32| {
        assert!(Command::new("kill").args([signal, &id.to_string()]).status().unwrap().success());
    };
    signal("-HUP", program.id());
    let mut log = BufReader::new(program.stderr.take().unwrap()).lines().map(Result::unwrap);
    // In this order.
    for (what, place, name) in [
        ("tokens not", "9:14: `control.token_file`", "tokens"),
        ("certificates not", "17:7: `web.tls.key`", "web.key"),
        ("rights not", "11:8: `entitlement.file`", "rights.toml"),
    ] {
        let line = log.find(|line| line.contains(what)).expect("it is logged");
        let wanted = format!("{}:{place}: cannot read {}", shown("feed.toml"), shown(name));
        assert!(line.contains(&wanted), "{line}");
    }
    signal("-TERM", program.id());
    assert!(log.any(|line| line.contains("draining")), "it ends in order");
    log.for_each(drop);
    assert!(program.wait().unwrap().success());
}
