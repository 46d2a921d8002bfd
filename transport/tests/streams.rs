//! Streams between real sockets.

use socket2::SockRef;
use std::future::poll_fn;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use transport::{Clock, Connector, Listener, SocketOptions, Stream, Timer};

fn loopback() -> std::net::SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

#[tokio::test]
async fn bytes_go_both_ways_and_an_end_is_seen() {
    let listener = Listener::bind(loopback(), SocketOptions::default()).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let acceptor = listener.accepting().await.expect("accepting");
    let dialled =
        tokio::spawn(async move { Connector::default().dial(address, Duration::from_secs(5)).await });
    let (mut server, _peer) = acceptor.accept().await.expect("a connection");
    let mut client = dialled.await.expect("no panic").expect("connected");
    client.write_all(b"ping").await.expect("written");
    let mut bytes = [0; 4];
    server.read_exact(&mut bytes).await.expect("read");
    assert_eq!(&bytes, b"ping");
    server.shutdown().await.expect("shut down");
    assert_eq!(client.read(&mut bytes).await.expect("read"), 0);
}

#[tokio::test]
async fn what_is_accepted_has_the_options_of_its_listener() {
    let options = SocketOptions { keepalive_s: 77, user_timeout_ms: 7_000, ..SocketOptions::default() };
    let listener = Listener::bind(loopback(), options).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let acceptor = listener.accepting().await.expect("accepting");
    let _client = std::net::TcpStream::connect(address).expect("connected");
    let (Stream::Tcp(accepted), _peer) = acceptor.accept().await.expect("a connection") else {
        panic!("plain TCP")
    };
    let accepted = SockRef::from(&accepted);
    assert!(accepted.tcp_nodelay().expect("an option") && accepted.keepalive().expect("an option"));
    assert_eq!(accepted.tcp_keepalive_time().expect("an option"), Duration::from_secs(77));
    assert_eq!(accepted.tcp_user_timeout().expect("an option"), Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn two_listeners_share_a_port() {
    let first = Listener::bind(loopback(), SocketOptions::default()).expect("a free port");
    let address = first.local_addr().expect("bound");
    Listener::bind(address, SocketOptions::default()).expect("the same port again");
}

#[tokio::test]
async fn a_refused_dial_names_the_address() {
    let address =
        Listener::bind(loopback(), SocketOptions::default()).expect("bound").local_addr().expect("bound");
    let refused = Connector::default().dial(address, Duration::from_secs(5)).await;
    let error = refused.expect_err("nobody listens any more");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[tokio::test]
async fn a_timer_fires_once_at_or_after_its_time() {
    let clock = Clock::start();
    let mut timer = Timer::new().expect("a timer");
    let at_ns = clock.now_ns() + 300_000;
    timer.set(&clock, at_ns).expect("set");
    poll_fn(|context| timer.poll_fired(context)).await.expect("fired");
    assert!(clock.now_ns() >= at_ns);
    let again = poll_fn(|context| std::task::Poll::Ready(timer.poll_fired(context).is_ready())).await;
    assert!(!again);
}
