//! Bytes by the layout of the specification (sections 2.1 and 2.2), and headers that come in pieces, spoilt, late or not.

use super::*;
use crate::{Listener, SocketOptions};
use std::net::SocketAddr;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

const SIGNATURE: [u8; 12] = *b"\x0D\x0A\x0D\x0A\x00\x0D\x0A\x51\x55\x49\x54\x0A";

#[test]
fn a_header_is_laid_out_as_specified() {
    let v4 = encode(at("192.0.2.7:51000"), at("198.51.100.9:7001"));
    let rest = [0x21, 0x11, 0, 12, 192, 0, 2, 7, 198, 51, 100, 9, 0xc7, 0x38, 0x1b, 0x59];
    assert_eq!(v4, [&SIGNATURE[..], &rest].concat());
    let v6 = encode(at("[2001:db8::7]:1"), at("[2001:db8::9]:258"));
    assert_eq!(v6[12..16], [0x21, 0x21, 0, 36]);
    assert_eq!(v6[16..20], [0x20, 0x01, 0x0d, 0xb8]);
    assert_eq!((v6[31], v6[47]), (7, 9));
    assert_eq!(v6[48..], [0, 1, 1, 2]);
    assert_eq!(LOCAL, [&SIGNATURE[..], &[0x20, 0, 0, 0]].concat()[..]);
}

#[test]
fn what_is_written_is_read_again() {
    for (client, own) in [
        ("192.0.2.7:51000", "198.51.100.9:7001"),
        ("[2001:db8::7]:1", "[2001:db8::9]:2"),
        ("192.0.2.7:51000", "[2001:db8::9]:2"),
        ("[2001:db8::7]:1", "198.51.100.9:7001"),
    ] {
        assert_eq!(decode(&encode(at(client), at(own))).unwrap(), Said::Client(at(client)));
    }
    let mapped = encode(at("[::ffff:192.0.2.7]:5"), at("[::ffff:192.0.2.8]:6"));
    assert_eq!(decode(&mapped).unwrap(), Said::Client(at("192.0.2.7:5")));
    assert_eq!(decode(&LOCAL).unwrap(), Said::Nobody);
}

#[test]
fn version_1_is_read_too() {
    let said = |line: &str| decode(line.as_bytes());
    let client = Said::Client(at("192.0.2.7:56324"));
    assert_eq!(said("PROXY TCP4 192.0.2.7 192.0.2.11 56324 443\r\n").unwrap(), client);
    let client = Said::Client(at("[2001:db8::7]:1"));
    assert_eq!(said("PROXY TCP6 2001:db8::7 2001:db8::8 1 2\r\n").unwrap(), client);
    assert_eq!(said("PROXY UNKNOWN\r\n").unwrap(), Said::Nobody);
    for line in [
        "PROXY TCP4 192.0.2.7 192.0.2.11 56324 443\n",
        "PROXY TCP4 192.0.2.700 192.0.2.11 1 1\r\n",
        "PROXY \r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.11 56324 443\r\nx",
    ] {
        assert!(matches!(said(line), Err(HeaderError::Malformed)), "{line:?}");
    }
    assert!(matches!(said("GET / HTTP/1.1\r\n"), Err(HeaderError::Missing)));
}

#[test]
fn no_cut_or_spoilt_header_is_taken_for_another_client() {
    let good = encode(at("192.0.2.7:51000"), at("198.51.100.9:7001"));
    for cut in 0..good.len() {
        assert!(decode(&good[..cut]).is_err(), "{cut}");
    }
    for place in 0..FIXED {
        for bit in 0..8 {
            let mut spoilt = good.clone();
            spoilt[place] ^= 1 << bit;
            let said = decode(&spoilt);
            // The command LOCAL and another transport say nothing of a client; all else is refused.
            assert!(!matches!(said, Ok(Said::Client(_))), "{place} {bit}: {said:?}");
        }
    }
    let long = [&good[..], b"behind"].concat();
    assert!(matches!(decode(&long), Err(HeaderError::Malformed)));
}

/// Signature, command, family and length.
const FIXED: usize = 16;

/// A listener on loopback that believes whoever connects from there, and what it counted.
struct Behind {
    acceptor: crate::Acceptor,
    address: SocketAddr,
    outcomes: Arc<Mutex<Vec<Outcome>>>,
}

impl Behind {
    async fn start(from: &str, timeout_ms: u32) -> Self {
        let outcomes = Arc::new(Mutex::new(Vec::new()));
        let counted = outcomes.clone();
        let settings = AcceptProxy { from: vec![from.parse().unwrap()], timeout_ms };
        let headers = Headers::new(settings, move |outcome| counted.lock().unwrap().push(outcome));
        let listener = Listener::bind(at("127.0.0.1:0"), SocketOptions::default()).unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = listener.with_proxy_headers(Some(headers)).accepting().await.unwrap();
        Self { acceptor, address, outcomes }
    }

    async fn send(&self, bytes: &[u8]) -> TcpStream {
        let mut tcp = TcpStream::connect(self.address).await.unwrap();
        tcp.write_all(bytes).await.unwrap();
        tcp
    }

    /// The next connection: whose it is, and what is behind the header.
    async fn next(&self, behind: usize) -> (SocketAddr, Vec<u8>) {
        let (mut stream, peer) = self.acceptor.accept().await.unwrap();
        let mut bytes = vec![0; behind];
        stream.read_exact(&mut bytes).await.unwrap();
        (peer, bytes)
    }

    /// Accepts until this has been counted; nothing else may be accepted meanwhile.
    async fn refuses(&self, outcome: Outcome) {
        let counted = async {
            while self.outcomes.lock().unwrap().last() != Some(&outcome) {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            accepted = self.acceptor.accept() => panic!("{accepted:?}"),
            () = counted => {}
        }
    }
}

#[tokio::test]
async fn a_connection_has_its_clients_address_and_all_that_is_behind_the_header() {
    let behind = Behind::start("127.0.0.0/8", 60_000).await;
    let client = at("192.0.2.7:51000");
    let header = encode(client, behind.address);
    let _whole = behind.send(&[&header[..], b"hello"].concat()).await;
    assert_eq!(behind.next(5).await, (client, b"hello".to_vec()));
    let _line = behind.send(b"PROXY TCP4 192.0.2.8 192.0.2.11 1 443\r\nhello").await;
    assert_eq!(behind.next(5).await, (at("192.0.2.8:1"), b"hello".to_vec()));
    let local = behind.send(&[&LOCAL[..], b"hello"].concat()).await;
    assert_eq!(behind.next(5).await.0, local.local_addr().unwrap());
    let outcomes = [Outcome::Client, Outcome::Client, Outcome::Local];
    assert_eq!(*behind.outcomes.lock().unwrap(), outcomes);
}

#[tokio::test]
async fn a_header_in_pieces_holds_up_nobody() {
    let behind = Behind::start("127.0.0.1", 60_000).await;
    let (slow, quick) = (at("192.0.2.1:1"), at("192.0.2.2:2"));
    let header = encode(slow, behind.address);
    let mut pieces = behind.send(&header[..7]).await;
    let _whole = behind.send(&[&encode(quick, behind.address)[..], b"q"].concat()).await;
    assert_eq!(behind.next(1).await.0, quick);
    pieces.write_all(&header[7..20]).await.unwrap();
    let mut line = behind.send(b"PROXY TCP4 192.0").await;
    let _again = behind.send(&[&encode(quick, behind.address)[..], b"q"].concat()).await;
    assert_eq!(behind.next(1).await.0, quick);
    pieces.write_all(&[&header[20..], b"s"].concat()).await.unwrap();
    assert_eq!(behind.next(1).await, (slow, b"s".to_vec()));
    line.write_all(b".2.3 192.0.2.4 3 4\r\nl").await.unwrap();
    assert_eq!(behind.next(1).await, (at("192.0.2.3:3"), b"l".to_vec()));
}

#[tokio::test]
async fn whoever_sends_no_good_header_is_closed_and_counted() {
    let behind = Behind::start("127.0.0.1", 60_000).await;
    let long = [&SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff]].concat();
    let endless = [b"PROXY TCP4 ".to_vec(), vec![b'1'; 200]].concat();
    for bytes in [&b"8=FIX.4.4\x019=100\x01"[..], &long, &endless] {
        let mut tcp = behind.send(bytes).await;
        behind.refuses(Outcome::Malformed).await;
        // With bytes unread it is a reset.
        assert!(matches!(tcp.read(&mut [0]).await, Ok(0) | Err(_)));
        behind.outcomes.lock().unwrap().clear();
    }
    let mut cut = behind.send(&SIGNATURE).await;
    cut.shutdown().await.unwrap();
    behind.refuses(Outcome::Malformed).await;
    drop(behind.send(b"").await);
    behind.refuses(Outcome::Left).await;
}

#[tokio::test]
async fn a_header_that_does_not_come_is_given_up() {
    let behind = Behind::start("127.0.0.1", 20).await;
    let mut silent = behind.send(b"PROXY TCP4").await;
    behind.refuses(Outcome::TimedOut).await;
    assert!(matches!(silent.read(&mut [0]).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn who_is_awaited_when_the_listener_closes_is_still_heard() {
    let behind = Behind::start("127.0.0.1", 60_000).await;
    let client = at("192.0.2.7:51000");
    let header = encode(client, behind.address);
    let mut slow = behind.send(&header[..20]).await;
    let others = behind.send(&[&header[..], b"x"].concat()).await;
    assert_eq!(behind.next(1).await.0, client);
    slow.write_all(&header[20..]).await.unwrap();
    let mut heard = Vec::new();
    behind.acceptor.last(|_, peer| heard.push(peer)).await;
    assert_eq!(heard, [client]);
    drop(others);
    TcpStream::connect(behind.address).await.unwrap_err();
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let behind = Behind::start("192.0.2.0/24", 60_000).await;
    let header = encode(at("192.0.2.7:51000"), behind.address);
    let liar = behind.send(&header).await;
    assert_eq!(behind.next(header.len()).await, (liar.local_addr().unwrap(), header));
    assert!(behind.outcomes.lock().unwrap().is_empty());
}
