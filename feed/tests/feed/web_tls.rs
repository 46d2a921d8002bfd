//! The port for browsers over TLS.

use crate::browsers::{levels, with_web};
use crate::support::DEADLINE;
use feed::Config;
use std::io::{Read, Write};
use std::net::TcpStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use transport::tls::{Client, Settings, Suites};
use transport::{Connector, SocketOptions};

#[test]
fn over_tls_a_browser_is_told_the_same_and_plain_bytes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = |name: &str, text: String| {
        std::fs::write(folder.path().join(name), text).unwrap();
        Some(folder.path().join(name))
    };
    let (certificate, key) =
        (file("web.crt", pair.cert.pem()), file("web.key", pair.signing_key.serialize_pem()));
    let suites = Suites::International;
    let own = Settings { suites, certificate: certificate.clone(), key, ..Settings::default() };
    let feed = with_web(|web| web.tls = Some(own));
    let (address, [mut primary, _backup]) = (feed.web.unwrap(), feed.sources());
    primary.send_bytes(&levels(1, 500, 1_002));

    let theirs =
        Settings { suites, ca: certificate.clone(), server_name: "localhost".into(), ..Settings::default() };
    let connector = Connector::tls(SocketOptions::default(), Client::load(&theirs).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ask = |request: String| {
        runtime.block_on(async {
            let mut stream = connector.dial(address, DEADLINE).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            stream
        })
    };
    let mut page = Vec::new();
    let mut stream = ask(format!("GET / HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", address.port()));
    runtime.block_on(stream.read_to_end(&mut page)).unwrap();
    assert!(String::from_utf8_lossy(&page).starts_with("HTTP/1.1 200"));
    // The WebSocket of the page that came from here; and of a page of another place.
    let upgrade = |origin: &str| {
        format!(
            "GET /ws HTTP/1.1\r\nHost: localhost:{}\r\nOrigin: {origin}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            address.port()
        )
    };
    let heard = |request, what: &str| {
        let mut stream = ask(request);
        let mut all = Vec::new();
        while !String::from_utf8_lossy(&all).contains(what) {
            let read = async { tokio::time::timeout(DEADLINE, stream.read_buf(&mut all)).await };
            assert!(runtime.block_on(read).expect("something comes").unwrap() > 0, "{what} was expected");
        }
        all
    };
    let own = format!("https://localhost:{}", address.port());
    let hello = heard(upgrade(&own), "\"type\":\"hello\"");
    assert!(hello.starts_with(b"HTTP/1.1 101"));
    assert!(heard(upgrade("https://elsewhere.example"), "\r\n\r\n").starts_with(b"HTTP/1.1 403"));
    // Plain HTTP gets an alert, or nothing, and never an answer.
    let mut plain = TcpStream::connect(address).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    assert!(plain.read_to_end(&mut answer).is_err() || answer.first().is_none_or(|first| *first == 21));

    // What cannot be used is said before anything starts.
    let mut config = Config::default();
    config.web.listen = Some(address);
    config.web.tls =
        Some(Settings { certificate, key: Some(folder.path().join("none")), suites, ..Settings::default() });
    assert!(service::config::Config::check_files(&config).is_err());
}
