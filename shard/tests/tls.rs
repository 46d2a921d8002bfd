//! Followers of a log over TLS, whose other end is rustls' own: what is sealed for several at once, each can open.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use flow::{Cursor, Filter, Limits as LogLimits, Selection, Tag, Writer};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use shard::{App, ConnId, Cx, Limits, Log, LogId, Opened, Port, Reason, Running, Setup, spawn};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use tempfile::TempDir;
use transport::tls::{Server, Settings, local_settings};
use transport::{Listener, SocketOptions};

const LOG: LogId = LogId(0);
const DEADLINE: Duration = Duration::from_secs(60);

/// Whoever sends a byte follows the log from its end; the others' endings are told.
struct Broadcast {
    events: SyncSender<Reason>,
    together: Arc<AtomicU64>,
}

impl App for Broadcast {
    /// A frame to be appended.
    type Command = Vec<u8>;

    fn on_open(&mut self, _cx: &mut Cx, _id: ConnId, _opened: Opened) {}

    fn on_dial_failed(&mut self, _cx: &mut Cx, _tag: u32, _error: std::io::Error) {}

    fn on_data(&mut self, cx: &mut Cx, id: ConnId, data: &[u8]) -> Result<usize, Reason> {
        let end = Cursor::at(cx.log(LOG).end());
        cx.attach(id, LOG, end, Selection::new(Filter::All));
        cx.send(id, |out| out.push(b'!'));
        Ok(data.len())
    }

    fn on_close(&mut self, _cx: &mut Cx, _id: ConnId, reason: Reason) {
        self.events.send(reason).unwrap();
    }

    fn on_tick(&mut self, cx: &mut Cx) {
        self.together.store(cx.stats().sealed_together, Ordering::Relaxed);
    }

    fn on_command(&mut self, cx: &mut Cx, frame: Vec<u8>) {
        cx.writer(LOG).append(Tag { lane: 0, number: 0, key: 1 }, &frame).unwrap();
    }
}

struct Town {
    _folder: TempDir,
    settings: Settings,
    tls: SocketAddr,
    plain: SocketAddr,
    events: Receiver<Reason>,
    /// Records sealed in a pass with others.
    together: Arc<AtomicU64>,
    running: Running<Vec<u8>>,
}

impl Town {
    fn way(&self) -> (&Settings, SocketAddr) {
        (&self.settings, self.tls)
    }
}

fn town() -> Town {
    let folder = TempDir::new().unwrap();
    let settings = local_settings(folder.path(), false).unwrap();
    let server = Server::load(&settings).unwrap();
    let options = SocketOptions { send_buffer_bytes: 8 << 10, ..SocketOptions::default() };
    let bind = || Listener::bind(([127, 0, 0, 1], 0).into(), options).unwrap();
    let listeners = [bind().with_tls(Some(server)), bind()];
    let [tls, plain] = [0, 1].map(|place: usize| listeners[place].local_addr().unwrap());
    let writer = Writer::new(LogLimits { segment_bytes: 64 << 10, window_bytes: 256 << 10 });
    let ports = listeners.into_iter().map(|listener| Port { listener, tag: 0 }).collect();
    let setup = Setup { ports, logs: vec![Log::Own(writer)], limits: Limits::default(), core: None };
    let together = Arc::new(AtomicU64::new(0));
    let of_thread = together.clone();
    let (sender, events) = sync_channel(1 << 20);
    let running =
        spawn("broadcast", setup, move || Broadcast { events: sender, together: of_thread }).unwrap();
    Town { _folder: folder, settings, tls, plain, events, together, running }
}

/// A client that is rustls' from head to foot.
fn client((settings, address): (&Settings, SocketAddr)) -> StreamOwned<ClientConnection, TcpStream> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(settings.ca.as_ref().unwrap()).unwrap()).unwrap();
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(gm::tls::provider(gm::tls::Mode::Strict)))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    let tcp = TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(DEADLINE)).unwrap();
    let name = ServerName::from(IpAddr::V4(Ipv4Addr::LOCALHOST));
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), tcp)
}

/// From here on it gets everything.
fn follow<S: Read + Write>(mut stream: S) -> S {
    stream.write_all(b"?").unwrap();
    stream.flush().unwrap();
    let mut answer = [0];
    stream.read_exact(&mut answer).unwrap();
    stream
}

fn frame(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|i| (number * 7 + i) as u8).collect()
}

#[test]
fn every_follower_gets_the_same_bytes_however_long_they_are() {
    let town = town();
    // More than one pass takes, and not a multiple of it; and some in between that are not over TLS.
    let mut over_tls: Vec<_> = (0..21).map(|_| follow(client(town.way()))).collect();
    let mut plain: Vec<_> = (0..3)
        .map(|_| {
            let stream = TcpStream::connect(town.plain).unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            follow(stream)
        })
        .collect();
    // About the longest that is sealed together, and well beyond a record.
    for (number, len) in [1, 15, 16, 128, 300, 765, 766, 767, 5_000, 40_000, 2, 128].into_iter().enumerate() {
        let frame = frame(number, len);
        assert!(town.running.handle().send(frame.clone()).is_ok());
        let mut got = vec![0; len];
        for stream in &mut over_tls {
            stream.read_exact(&mut got).unwrap();
            assert!(got == frame, "{len} bytes");
        }
        for stream in &mut plain {
            stream.read_exact(&mut got).unwrap();
            assert!(got == frame, "{len} bytes");
        }
    }
    // Nine frames are short enough; of 21, two groups are whole and one is of five. Behind the longest one, sockets that were full
    // may not have been looked at again when the next comes: then each has that by itself.
    let clock = transport::Clock::start();
    while town.together.load(Ordering::Relaxed) < 8 * 21 && clock.now_ns() < DEADLINE.as_nanos() as u64 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let together = town.together.load(Ordering::Relaxed);
    assert!((8 * 21..=9 * 21).contains(&together), "{together}");
    town.running.handle().stop();
    for mut stream in over_tls {
        // An end that TLS has said, not a cut.
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
    town.running.join().unwrap();
}

#[test]
fn keys_change_under_way() {
    let town = town();
    let mut streams: Vec<_> = (0..9).map(|_| follow(client(town.way()))).collect();
    for number in 0..20 {
        // One of them asks for new keys in both directions, at the same time as it is sent to.
        let asks = &mut streams[number % 9];
        asks.conn.refresh_traffic_keys().unwrap();
        asks.flush().unwrap();
        let frame = frame(number, 100 + number);
        assert!(town.running.handle().send(frame.clone()).is_ok());
        for stream in &mut streams {
            let mut got = vec![0; frame.len()];
            stream.read_exact(&mut got).unwrap();
            assert_eq!(got, frame);
        }
    }
    town.running.handle().stop();
    town.running.join().unwrap();
}

#[test]
fn one_that_reads_nothing_costs_the_others_nothing() {
    let town = town();
    let mut streams: Vec<_> = (0..9).map(|_| follow(client(town.way()))).collect();
    let stalled = streams.pop().unwrap();
    for number in 0..4_000 {
        let frame = frame(number, 700);
        assert!(town.running.handle().send(frame.clone()).is_ok());
        let mut got = vec![0; frame.len()];
        for stream in &mut streams {
            stream.read_exact(&mut got).unwrap();
            assert!(got == frame);
        }
    }
    assert_eq!(town.events.recv_timeout(DEADLINE).unwrap(), Reason::Overrun);
    drop(stalled);
    town.running.handle().stop();
    town.running.join().unwrap();
}

/// Round trips of one established connection, sorted, nanoseconds.
fn round_trips(stream: &mut (impl Read + Write), count: usize) -> Vec<u64> {
    let clock = transport::Clock::start();
    let mut taken_ns = Vec::with_capacity(count);
    for _ in 0..count {
        let begun_ns = clock.now_ns();
        stream.write_all(b"?").unwrap();
        stream.flush().unwrap();
        stream.read_exact(&mut [0]).unwrap();
        taken_ns.push(clock.now_ns() - begun_ns);
    }
    taken_ns.sort_unstable();
    taken_ns
}

/// Says how much an established connection suffers; `--nocapture` shows it. What is asserted is that it goes on, and
/// that the flood was one.
#[test]
fn a_flood_of_handshakes_holds_up_nobody_who_is_connected() {
    let town = town();
    let mut stream = follow(client(town.way()));
    let quiet = round_trips(&mut stream, 3_000);
    // Some say nothing, some stop within their hello, and some do it all, over and over.
    let silent: Vec<_> = (0..1_000).map(|_| TcpStream::connect(town.tls).unwrap()).collect();
    let halves: Vec<_> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect(town.tls).unwrap();
            stream.write_all(&[22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3]).unwrap();
            stream
        })
        .collect();
    let way = town.way();
    let over = AtomicBool::new(false);
    let flooded = std::thread::scope(|scope| {
        let flooding = scope.spawn(|| {
            let mut done = 0;
            while !over.load(Ordering::Relaxed) {
                follow(client(way));
                done += 1;
            }
            done
        });
        let flooded = round_trips(&mut stream, 3_000);
        over.store(true, Ordering::Relaxed);
        assert!(flooding.join().unwrap() > 0, "handshakes were done meanwhile");
        flooded
    });
    for (name, taken_ns) in [("quiet", &quiet), ("flooded", &flooded)] {
        let us = |share: usize| taken_ns[taken_ns.len() * share / 1000 - 1] / 1000;
        println!("{name}: p50 {} us, p99 {} us, p99.9 {} us", us(500), us(990), us(999));
    }
    drop((silent, halves));
    town.running.handle().stop();
    town.running.join().unwrap();
}
