//! Bulk that goes from socket to socket within the kernel, in a whole balancer: where it does, and how it ends.
#![allow(clippy::unwrap_used)] // Clippy takes functions that are no tests themselves for none.

mod harness;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use harness::{Balancer, GUARD, assert_reset, config, read, wait_for};
use slb::{Config, Scheduler};
use socket2::SockRef;

const SPLICED: &str = "slb_spliced_bytes_total";

/// A server that says its name and sends without end.
struct Source {
    address: SocketAddr,
    /// Once it is set, all connections are reset.
    dies: Arc<AtomicBool>,
    /// How connections ended that were not reset by it.
    ended: Receiver<ErrorKind>,
}

impl Source {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let dies = Arc::new(AtomicBool::new(false));
        let (to, ended) = sync_channel(1000);
        let die = Arc::clone(&dies);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, die, to) = (stream.unwrap(), Arc::clone(&die), to.clone());
                std::thread::spawn(move || {
                    // Its test may be over.
                    flood(stream, &die).and_then(|end| to.send(end).ok())
                });
            }
        });
        Self { address, dies, ended }
    }

    fn config(&self) -> Config {
        config(Scheduler::Rr, &[('a', self.address, 1)])
    }
}

/// `None`: it was told to die.
fn flood(mut stream: TcpStream, dies: &AtomicBool) -> Option<ErrorKind> {
    // So that it hears of its death while it waits for its reader.
    stream.set_write_timeout(Some(Duration::from_millis(10))).unwrap();
    let mut piece = vec![b'.'; 256 << 10];
    piece[0] = b'a';
    let mut from = 0;
    while !dies.load(Ordering::Acquire) {
        match stream.write(&piece[from..]) {
            Ok(written) => from = 1 + (from + written - 1) % (piece.len() - 1),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Some(error.kind()),
        }
    }
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    None
}

/// A connection whose bytes are being spliced, and whose client has stopped to read.
fn stalled(balancer: &Balancer) -> TcpStream {
    let (_, mut stream) = balancer.open();
    let mut some = vec![0; 1 << 20];
    wait_for(|| {
        stream.read_exact(&mut some).unwrap();
        balancer.metric(SPLICED) > 0
    });
    wait_for(|| balancer.metric("slb_held_bytes") > 0);
    stream
}

/// What a write says on a connection that was reset.
fn assert_broken(end: ErrorKind) {
    assert!(matches!(end, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{end:?}");
}

#[test]
fn bulk_is_spliced_where_it_may_be() {
    let source = Source::start();
    let open = Balancer::start(source.config());
    drop(stalled(&open));
    let (mut limited, mut off) = (source.config(), source.config());
    limited.listeners[0].bytes_per_s_max = 100_000_000_000;
    off.listeners[0].splice = false;
    for config in [limited, off] {
        let balancer = Balancer::start(config.clone());
        let (_, mut stream) = balancer.open();
        assert!(read(&mut stream, 64 << 20).iter().all(|&byte| byte == b'.'));
        assert_eq!(balancer.metric(SPLICED), 0, "{:?}", config.listeners[0]);
        assert_eq!(balancer.metric("slb_pipes_refused_total"), 0);
    }
}

#[test]
fn a_backend_that_breaks_off_with_bytes_in_a_pipe_resets_its_client() {
    let source = Source::start();
    let balancer = Balancer::start(source.config());
    let mut stream = stalled(&balancer);
    source.dies.store(true, Ordering::Release);
    assert_reset(&mut stream);
    balancer.wait_for_metric("slb_connections_ended_total{listener=\"l\",reason=\"reset\"}", 1);
    assert_eq!(balancer.metric("slb_held_bytes"), 0);
}

#[test]
fn a_client_that_breaks_off_with_bytes_in_a_pipe_resets_its_backend() {
    let source = Source::start();
    let balancer = Balancer::start(source.config());
    drop(stalled(&balancer)); // With bytes that it has not read: that is a reset.
    assert_broken(source.ended.recv_timeout(GUARD).unwrap());
    balancer.wait_for_metric("slb_connections_ended_total{listener=\"l\",reason=\"reset\"}", 1);
    balancer.wait_for_metric("slb_backend_connections_open{backend=\"a\",pool=\"p\"}", 0);
    assert_eq!(balancer.metric("slb_held_bytes"), 0);
}

#[test]
fn a_reader_that_is_cut_for_its_silence_sees_a_break() {
    let source = Source::start();
    let mut config = source.config();
    // Long enough for a reader that is only late.
    config.listeners[0].idle_timeout_ms = 2_000;
    let balancer = Balancer::start(config);
    let mut stream = stalled(&balancer);
    balancer.wait_for_metric("slb_connections_ended_total{listener=\"l\",reason=\"idle\"}", 1);
    assert_reset(&mut stream);
    assert_broken(source.ended.recv_timeout(GUARD).unwrap());
}

#[test]
fn bulk_that_a_drain_cuts_ends_in_a_break() {
    let source = Source::start();
    let mut config = source.config();
    config.pools[0].drain_timeout_ms = 1;
    let balancer = Balancer::start(config);
    let mut stream = stalled(&balancer);
    balancer.control.set_draining("p", "a", true).unwrap();
    balancer.wait_for_metric("slb_connections_ended_total{listener=\"l\",reason=\"closed\"}", 1);
    assert_reset(&mut stream);
    assert_broken(source.ended.recv_timeout(GUARD).unwrap());
}

#[test]
fn whether_it_is_spliced_can_be_changed_for_new_connections() {
    let source = Source::start();
    let mut config = source.config();
    let balancer = Balancer::start(config.clone());
    drop(stalled(&balancer));
    balancer.wait_for_metric("slb_connections_open{listener=\"l\"}", 0);
    config.listeners[0].splice = false;
    balancer.control.apply(config).unwrap();
    let before = balancer.metric(SPLICED);
    let (_, mut stream) = balancer.open();
    read(&mut stream, 64 << 20);
    assert_eq!(balancer.metric(SPLICED), before);
}
