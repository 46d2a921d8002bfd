//! QUIC through the balancer: real servers and clients of the project, and datagrams that are none.
#![allow(clippy::unwrap_used)] // Clippy takes functions that are no tests themselves for none.

mod harness;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use harness::{Balancer, GUARD, config, wait_for};
use slb::{Config, Protocol, Scheduler};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use transport::tls::{Client, Server, Settings, local_settings};
use transport::{Connector, Listener, Stream};

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A server over QUIC that says its name to who speaks, and echoes.
struct Backend {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Backend {
    fn start(name: char, settings: &Settings) -> Self {
        let server = Server::load(settings).unwrap();
        let listener = Listener::bind_quic(SocketAddr::from(([127, 0, 0, 1], 0)), server).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serve = async move {
            let acceptor = listener.accepting().await.unwrap();
            loop {
                let (stream, _) = acceptor.accept().await.unwrap();
                tokio::task::spawn_local(echo(name, stream));
            }
        };
        let thread = std::thread::spawn(move || {
            let stopping = async move {
                tokio::select! {
                    () = serve => {}
                    _ = stopped => {}
                }
            };
            runtime().block_on(LocalSet::new().run_until(stopping));
        });
        Self { address, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

/// The end of a connection is part of these tests.
async fn echo(name: char, mut stream: Stream) {
    let mut some = vec![0; 4096];
    let mut out = vec![name as u8];
    while let Ok(read @ 1..) = stream.read(&mut some).await {
        out.extend_from_slice(&some[..read]);
        if stream.write_all(&out).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        out.clear();
    }
}

struct Town {
    _folder: TempDir,
    settings: Settings,
    _backends: Vec<Backend>,
    balancer: Balancer,
    runtime: Runtime,
}

fn server_id(number: usize, named: bool) -> String {
    if named { format!("0{number}ff") } else { String::new() }
}

/// Two backends, `a` and `b`, behind a listener for QUIC; `named`: their connection IDs name them.
fn town(named: bool, change: impl FnOnce(&mut Config)) -> Town {
    let folder = TempDir::new().unwrap();
    let settings = local_settings(folder.path(), true).unwrap();
    let of = |at| Settings { quic_server_id: server_id(at, named), ..settings.clone() };
    let backends = vec![Backend::start('a', &of(0)), Backend::start('b', &of(1))];
    let list = [('a', backends[0].address, 1), ('b', backends[1].address, 1)];
    let mut config = config(Scheduler::Rr, &list);
    config.listeners[0].protocol = Protocol::Quic;
    for (at, backend) in config.pools[0].backends.iter_mut().enumerate() {
        backend.server_id = server_id(at, named);
    }
    change(&mut config);
    Town {
        _folder: folder,
        settings,
        _backends: backends,
        balancer: Balancer::start(config),
        runtime: runtime(),
    }
}

impl Town {
    fn connector(&self) -> Connector {
        Connector::quic(Client::load(&self.settings).unwrap())
    }

    /// A connection, and the name of the backend that it came to.
    fn open_at(&self, address: SocketAddr) -> (char, Stream) {
        self.runtime.block_on(async {
            let mut stream = self.connector().dial(address, GUARD).await.unwrap();
            stream.write_all(b"?").await.unwrap();
            stream.flush().await.unwrap();
            let mut said = [0; 2];
            stream.read_exact(&mut said).await.unwrap();
            assert_eq!(said[1], b'?');
            (char::from(said[0]), stream)
        })
    }

    fn open(&self) -> (char, Stream) {
        self.open_at(self.balancer.address)
    }

    fn assert_echoes(&self, stream: &mut Stream, bytes: usize) {
        let sent: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
        let mut received = vec![0; bytes];
        let (mut reading, mut writing) = tokio::io::split(stream);
        let write = async {
            writing.write_all(&sent).await.unwrap();
            writing.flush().await.unwrap();
        };
        let both = async {
            let (read, ()) = tokio::join!(reading.read_exact(&mut received), write);
            read.unwrap();
        };
        self.runtime.block_on(async { tokio::time::timeout(GUARD, both).await.unwrap() });
        assert!(received == sent);
    }

    fn dropped(&self, reason: &str) -> i64 {
        self.balancer
            .metric(&format!("slb_quic_datagrams_dropped_total{{listener=\"l\",reason=\"{reason}\"}}"))
    }

    fn sessions(&self) -> i64 {
        self.balancer.metric("slb_connections_open{listener=\"l\"}")
    }
}

#[test]
fn connections_are_scheduled_as_those_of_tcp_are_and_carry_bulk() {
    let town = town(false, |_| {});
    let mut open: Vec<_> = (0..6).map(|_| town.open()).collect();
    assert_eq!(open.iter().filter(|(name, _)| *name == 'a').count(), 3);
    assert_eq!(town.sessions(), 6);
    for (_, stream) in &mut open {
        town.assert_echoes(stream, 300_000);
    }
    town.balancer.control.set_draining("p", "a", true).unwrap();
    assert!((0..3).all(|_| town.open().0 == 'b'));
    town.assert_echoes(&mut open[0].1, 1_000);
    assert!(
        town.balancer.metric("slb_backend_bytes_total{backend=\"a\",direction=\"in\",pool=\"p\"}") > 300_000
    );
    assert_eq!(town.dropped("malformed") + town.dropped("handshakes") + town.dropped("client"), 0);
}

/// A way between clients and the balancer that gives them another port when it is told to.
struct Nat {
    address: SocketAddr,
    moves: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Nat {
    fn before(balancer: SocketAddr) -> Self {
        let inside = UdpSocket::bind("127.0.0.1:0").unwrap();
        inside.set_nonblocking(true).unwrap();
        let address = inside.local_addr().unwrap();
        let (moves, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (wanted, ended) = (Arc::clone(&moves), Arc::clone(&over));
        let outside = move || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect(balancer).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
            socket
        };
        let thread = std::thread::spawn(move || {
            let (mut socket, mut moved, mut client) = (outside(), 0, None);
            let mut bytes = vec![0; 65_536];
            while !ended.load(Ordering::Relaxed) {
                if wanted.load(Ordering::Relaxed) > moved {
                    (socket, moved) = (outside(), moved + 1);
                }
                while let Ok((len, from)) = inside.recv_from(&mut bytes) {
                    client = Some(from);
                    // What is lost is sent again by those at the ends.
                    drop(socket.send(&bytes[..len]));
                }
                if let (Ok(len), Some(client)) = (socket.recv(&mut bytes), client) {
                    drop(inside.send_to(&bytes[..len], client));
                }
            }
        });
        Self { address, moves, over, thread: Some(thread) }
    }
}

impl Drop for Nat {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

#[test]
fn a_client_that_is_given_another_address_on_the_way_keeps_its_backend_and_its_session() {
    let town = town(false, |_| {});
    let nat = Nat::before(town.balancer.address);
    let (_, mut stream) = town.open_at(nat.address);
    for moves in 1..=3 {
        nat.moves.store(moves, Ordering::Relaxed);
        town.assert_echoes(&mut stream, 100_000);
    }
    assert!(town.sessions() >= 2, "one for each address");
    assert_eq!(town.dropped("unknown"), 0);
}

#[test]
fn a_client_that_changes_its_address_and_its_connection_id_is_known_by_the_server_in_it() {
    let town = town(true, |_| {});
    let mut open: Vec<_> = (0..4).map(|_| town.open()).collect();
    for round in 1..=2 {
        for (_, stream) in &mut open {
            let Stream::Quic(quic) = &*stream else { panic!("it was dialled over QUIC") };
            quic.rebind().unwrap();
            town.assert_echoes(stream, 50_000);
        }
        assert!(town.sessions() > 4 * round, "they have new addresses");
    }
    let count = |name| town.balancer.control.backend("p", name).unwrap().connections;
    assert_eq!(count("a"), count("b"), "each at its own backend");
}

#[test]
fn a_backend_that_is_not_there_is_passed_over_and_what_the_client_has_sent_goes_to_another() {
    let dead = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let town = town(false, |config| {
        config.pools[0].backends[0].address = dead;
        config.pools[0].connect.timeout_ms = 50;
    });
    assert!((0..4).all(|_| town.open().0 == 'b'));
    let refused = "slb_backend_connect_failures_total{backend=\"a\",pool=\"p\",reason=\"refused\"}";
    assert!(town.balancer.metric(refused) >= 2);

    let mut config = town.balancer.control.config();
    config.pools[0].backends[0].address = silent.local_addr().unwrap();
    town.balancer.control.apply(config).unwrap();
    assert!((0..4).all(|_| town.open().0 == 'b'));
    let silences = "slb_backend_connect_failures_total{backend=\"a\",pool=\"p\",reason=\"timeout\"}";
    assert!(town.balancer.metric(silences) >= 2);
}

#[test]
fn what_no_server_can_read_has_no_backend_left_out() {
    let town = town(false, |config| config.pools[0].connect.timeout_ms = 50);
    let strangers: Vec<_> = (0..12).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    for (number, stranger) in strangers.iter().enumerate() {
        stranger.send_to(&initial(number as u8), town.balancer.address).unwrap();
    }
    let of = |name: &str, metric: &str, reason: &str| {
        town.balancer.metric(&format!("slb_backend_{metric}_total{{backend=\"{name}\",pool=\"p\"{reason}}}"))
    };
    let silences = |name| of(name, "connect_failures", ",reason=\"timeout\"");
    wait_for(|| silences("a") == 12 && silences("b") == 12);
    assert_eq!(of("a", "ejections", "") + of("b", "ejections", ""), 0);
    assert!(town.balancer.control.pools()[0].backends.iter().all(|backend| backend.state == slb::State::Up));
}

#[test]
fn what_a_drained_backend_still_has_after_its_time_is_closed() {
    let town = town(false, |config| config.pools[0].drain_timeout_ms = 20);
    let mut open = [town.open(), town.open()];
    town.balancer.control.set_draining("p", "b", true).unwrap();
    town.balancer.wait_for_metric("slb_connections_ended_total{listener=\"l\",reason=\"closed\"}", 1);
    assert_eq!(town.sessions(), 1);
    let (_, stream) = open.iter_mut().find(|(name, _)| *name == 'a').unwrap();
    town.assert_echoes(stream, 1_000);
}

/// A datagram that begins a connection under an ID, as far as who cannot open it can tell.
fn initial_under(id: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0xc0, 0, 0, 0, 1, id.len() as u8];
    datagram.extend_from_slice(id);
    datagram.resize(1_200, 0);
    datagram
}

fn initial(number: u8) -> Vec<u8> {
    initial_under(&[number, 1, 2, 3, 4, 5, 6, 7])
}

#[test]
fn what_is_no_quic_or_of_no_connection_is_dropped_counted_and_not_answered() {
    let town = town(true, |_| {});
    let (_, mut stream) = town.open();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.set_nonblocking(true).unwrap();
    let send =
        |bytes: &[u8]| assert_eq!(stranger.send_to(bytes, town.balancer.address).unwrap(), bytes.len());
    send(b"");
    send(b"\x40");
    send(&[0xff; 30]);
    send(&initial(1)[..1_199]);
    wait_for(|| town.dropped("malformed") == 3);
    send(&[0x40; 100]);
    let mut handshake = initial(2);
    handshake[0] = 0xe0;
    send(&handshake);
    wait_for(|| town.dropped("unknown") == 2);
    assert_eq!(town.sessions(), 1);
    assert_eq!(stranger.recv(&mut [0; 100]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    town.assert_echoes(&mut stream, 1_000);
}

#[test]
fn a_short_connection_id_takes_over_nobody() {
    let town = town(true, |_| {});
    let mut open = [town.open(), town.open()];
    assert_ne!(open[0].0, open[1].0);
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    // All IDs of servers whose numbers have two bytes begin like this.
    stranger.send_to(&initial_under(&[2 + 8]), town.balancer.address).unwrap();
    wait_for(|| town.dropped("malformed") == 1);
    assert_eq!(town.sessions(), 2);
    for (_, stream) in &mut open {
        town.assert_echoes(stream, 10_000);
    }
}

#[test]
fn there_are_no_more_sessions_than_the_bounds_say() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let quiet = silent.local_addr().unwrap();
    let town = town(false, |config| {
        config.listeners[0].quic.handshakes_max = 4;
        config.listeners[0].quic.handshake_timeout_ms = 3_600_000;
        config.pools[0].connect.timeout_ms = 3_600_000;
        config.pools[0].backends.iter_mut().for_each(|backend| backend.address = quiet);
    });
    let strangers: Vec<_> = (0..6).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    for (number, stranger) in strangers.iter().enumerate() {
        // Twice: the second is of the same connection.
        stranger.send_to(&initial(number as u8), town.balancer.address).unwrap();
        stranger.send_to(&initial(number as u8), town.balancer.address).unwrap();
    }
    wait_for(|| town.dropped("handshakes") == 4);
    assert_eq!(town.sessions(), 4);

    let mut config = town.balancer.control.config();
    config.listeners[0].quic.client_sessions_max = 4;
    config.listeners[0].quic.handshakes_max = 100;
    town.balancer.control.apply(config).unwrap();
    strangers[4].send_to(&initial(4), town.balancer.address).unwrap();
    wait_for(|| town.dropped("client") == 1);
    town.balancer.control.set_draining("p", "a", true).unwrap();
    town.balancer.control.set_draining("p", "b", true).unwrap();
    let mut config = town.balancer.control.config();
    config.listeners[0].quic.client_sessions_max = 100;
    town.balancer.control.apply(config).unwrap();
    strangers[5].send_to(&initial(5), town.balancer.address).unwrap();
    town.balancer.wait_for_metric("slb_connections_refused_total{listener=\"l\",reason=\"no_backend\"}", 1);
}

/// A socket in place of a backend, whose answers a test sends itself.
fn one_that_answers() -> (UdpSocket, SocketAddr) {
    let answering = UdpSocket::bind("127.0.0.1:0").unwrap();
    answering.set_read_timeout(Some(GUARD)).unwrap();
    let address = answering.local_addr().unwrap();
    (answering, address)
}

/// Somebody whose first datagram was answered at length, and who has heard it.
fn answered(town: &Town, answering: &UdpSocket) -> UdpSocket {
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.set_read_timeout(Some(GUARD)).unwrap();
    stranger.send_to(&initial(1), town.balancer.address).unwrap();
    let (_, from) = answering.recv_from(&mut [0; 2_000]).unwrap();
    answering.send_to(&initial(2), from).unwrap();
    stranger.recv(&mut [0; 2_000]).unwrap();
    stranger
}

#[test]
fn a_client_that_never_shows_that_it_hears_is_given_up() {
    let (answering, address) = one_that_answers();
    let town = town(false, |config| {
        config.listeners[0].quic.handshake_timeout_ms = 2_000;
        config.pools[0].connect.timeout_ms = 3_600_000;
        config.pools[0].backends.iter_mut().for_each(|backend| backend.address = address);
    });
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.set_read_timeout(Some(GUARD)).unwrap();
    stranger.send_to(&initial(1), town.balancer.address).unwrap();
    let (_, from) = answering.recv_from(&mut [0; 2_000]).unwrap();
    answering.send_to(&initial(2), from).unwrap();
    assert_eq!(stranger.recv(&mut [0; 2_000]).unwrap(), 1_200, "its answer comes all the same");
    town.balancer.wait_for_metric("slb_connections_ended_total{listener=\"l\",reason=\"idle\"}", 1);
    assert_eq!(town.sessions(), 0);
}

#[test]
fn a_client_that_no_backend_answers_is_given_up_when_its_handshake_has_taken_too_long() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let quiet = silent.local_addr().unwrap();
    let town = town(false, |config| {
        config.listeners[0].quic.handshake_timeout_ms = 50;
        config.pools[0].connect.timeout_ms = 3_600_000;
        config.pools[0].backends.iter_mut().for_each(|backend| backend.address = quiet);
    });
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.send_to(&initial(1), town.balancer.address).unwrap();
    town.balancer.wait_for_metric("slb_connections_refused_total{listener=\"l\",reason=\"connect\"}", 1);
    wait_for(|| town.sessions() == 0);
}

#[test]
fn a_made_up_id_of_a_server_proves_nobody() {
    let (answering, address) = one_that_answers();
    let town = town(true, |config| {
        config.listeners[0].quic.handshake_timeout_ms = 2_000;
        config.listeners[0].quic.idle_timeout_ms = 3_600_000;
        config.pools[0].backends.truncate(1);
        config.pools[0].backends[0].address = address;
    });
    let stranger = answered(&town, &answering);
    let made_up = [0x40, 2 + 8, 0x00, 0xff, 1, 2, 3, 4, 5, 6, 7, 8];
    stranger.send_to(&made_up, town.balancer.address).unwrap();
    assert_eq!(answering.recv(&mut [0; 2_000]).unwrap(), made_up.len(), "a server may know it");
    wait_for(|| town.sessions() == 0);
}

#[test]
fn a_session_is_over_when_its_backend_is_gone() {
    let (answering, address) = one_that_answers();
    let town = town(false, |config| {
        config.listeners[0].quic.handshake_timeout_ms = 3_600_000;
        config.pools[0].backends.iter_mut().for_each(|backend| backend.address = address);
    });
    let stranger = answered(&town, &answering);
    drop(answering);
    stranger.send_to(&initial(1), town.balancer.address).unwrap();
    town.balancer.wait_for_metric("slb_connections_ended_total{listener=\"l\",reason=\"reset\"}", 1);
    assert_eq!(town.sessions(), 0);
}

#[test]
fn sessions_of_which_nothing_is_heard_are_over() {
    let town = town(false, |config| config.listeners[0].quic.idle_timeout_ms = 500);
    let (_, stream) = town.open();
    drop(stream);
    town.balancer.wait_for_metric("slb_connections_ended_total{listener=\"l\",reason=\"idle\"}", 1);
    assert_eq!(town.sessions(), 0);
    assert_eq!(town.balancer.metric("slb_backend_connections_open{backend=\"a\",pool=\"p\"}"), 0);
}
