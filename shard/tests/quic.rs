//! What is written over QUIC before a shard stops arrives, although packets are lost: a process ends after its shards, and
//! nobody sends a lost packet again after that.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use shard::{App, ConnId, Cx, Limits, Opened, Origin, Port, Reason, Setup, spawn};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use transport::tls::{Client, Server, Settings, local_settings};
use transport::{Connector, Listener};

const DEADLINE: Duration = Duration::from_secs(60);
/// More than a handful of packets, less than a connection may have under way.
const LAST_WORDS_BYTES: usize = 200_000;
/// Packets that are lost, of those that the shard sends once it has been told to stop: about the first window.
const LOST: i64 = 12;

/// Whoever sends a byte gets the last words, and the shard stops.
struct Parting {
    dial: Option<(SocketAddr, Connector)>,
}

impl App for Parting {
    type Command = ();

    fn on_start(&mut self, cx: &mut Cx) {
        if let Some((address, connector)) = &self.dial {
            cx.dial(*address, connector, DEADLINE, 0);
        }
    }

    fn on_open(&mut self, cx: &mut Cx, id: ConnId, opened: Opened) {
        if matches!(opened.origin, Origin::Dialled(_)) {
            cx.send(id, |out| out.push(b'?'));
        }
    }

    fn on_dial_failed(&mut self, _cx: &mut Cx, _tag: u32, error: std::io::Error) {
        panic!("{error}");
    }

    fn on_data(&mut self, cx: &mut Cx, id: ConnId, data: &[u8]) -> Result<usize, Reason> {
        cx.send(id, |out| out.extend_from_slice(&last_words()));
        cx.stop();
        Ok(data.len())
    }

    fn on_close(&mut self, _cx: &mut Cx, _id: ConnId, _reason: Reason) {}
    fn on_tick(&mut self, _cx: &mut Cx) {}
    fn on_command(&mut self, _cx: &mut Cx, (): ()) {}
}

fn last_words() -> Vec<u8> {
    (0..LAST_WORDS_BYTES).map(|i| ((i * 31) >> 3) as u8).collect()
}

/// A network between one client and one server, with losses.
struct Network {
    address: SocketAddr,
    /// Packets of the shard yet to be lost; negative: it is cut.
    lose: Arc<AtomicI64>,
    lost: Arc<AtomicI64>,
}

const CUT: i64 = -1;

impl Network {
    /// `of_shard`: whether the shard is the server.
    fn to(server: SocketAddr, of_shard: bool) -> Self {
        let front = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        let back = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        back.connect(server).unwrap();
        let address = front.local_addr().unwrap();
        let (lose, lost) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
        let client = Arc::new(std::sync::OnceLock::new());
        let passes = |shards: bool| {
            let (lose, lost) = (lose.clone(), lost.clone());
            move || match lose.load(Ordering::SeqCst) {
                CUT => false,
                left if left > 0 && shards => {
                    lose.fetch_sub(1, Ordering::SeqCst);
                    lost.fetch_add(1, Ordering::SeqCst);
                    false
                }
                _ => true,
            }
        };
        let (up, down) = (passes(!of_shard), passes(of_shard));
        let (from, to, peer) = (front.clone(), back.clone(), client.clone());
        std::thread::spawn(move || {
            let mut packet = [0; 65536];
            while let Ok((bytes, sender)) = from.recv_from(&mut packet) {
                peer.get_or_init(|| sender);
                if up() {
                    to.send(&packet[..bytes]).unwrap();
                }
            }
        });
        std::thread::spawn(move || {
            let mut packet = [0; 65536];
            while let Ok(bytes) = back.recv(&mut packet) {
                if down() {
                    front.send_to(&packet[..bytes], client.get().unwrap()).unwrap();
                }
            }
        });
        Self { address, lose, lost }
    }
}

fn settings() -> (TempDir, Settings) {
    let folder = TempDir::new().unwrap();
    let settings = local_settings(folder.path(), false).unwrap();
    (folder, settings)
}

/// Loses packets once the shard is asked, lets it stop, and cuts the network as soon as it has.
async fn part(
    network: &Network,
    running: shard::Running<()>,
    mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin,
) {
    network.lose.store(LOST, Ordering::SeqCst);
    stream.write_all(b"!").await.unwrap();
    stream.flush().await.unwrap();
    tokio::task::spawn_blocking(move || running.join().unwrap()).await.unwrap();
    assert_eq!(network.lost.load(Ordering::SeqCst), LOST, "the test lost what it was to lose");
    network.lose.store(CUT, Ordering::SeqCst);
    let mut got = Vec::new();
    tokio::time::timeout(DEADLINE, stream.read_to_end(&mut got)).await.unwrap().unwrap();
    assert!(got == last_words(), "{} bytes", got.len());
}

#[tokio::test]
async fn last_bytes_of_a_server_arrive_before_it_ends() {
    let (_folder, settings) = settings();
    let listener = Listener::bind_quic(([127, 0, 0, 1], 0).into(), Server::load(&settings).unwrap()).unwrap();
    let network = Network::to(listener.local_addr().unwrap(), true);
    let setup =
        Setup { ports: vec![Port { listener, tag: 0 }], limits: Limits::default(), ..Setup::default() };
    let running = spawn("parting", setup, || Parting { dial: None }).unwrap();
    let connector = Connector::quic(Client::load(&settings).unwrap());
    let stream = connector.dial(network.address, DEADLINE).await.unwrap();
    part(&network, running, stream).await;
}

#[tokio::test]
async fn last_bytes_of_a_client_arrive_before_it_ends() {
    let (_folder, settings) = settings();
    let listener = Listener::bind_quic(([127, 0, 0, 1], 0).into(), Server::load(&settings).unwrap()).unwrap();
    let network = Network::to(listener.local_addr().unwrap(), false);
    let acceptor = listener.accepting().await.unwrap();
    let dial = Some((network.address, Connector::quic(Client::load(&settings).unwrap())));
    let running = spawn("parting", Setup::default(), move || Parting { dial }).unwrap();
    let (mut stream, _) = tokio::time::timeout(DEADLINE, acceptor.accept()).await.unwrap().unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'?');
    part(&network, running, stream).await;
}

/// Says back what is said.
struct Echo;

impl App for Echo {
    type Command = ();

    fn on_open(&mut self, _cx: &mut Cx, _id: ConnId, _opened: Opened) {}
    fn on_dial_failed(&mut self, _cx: &mut Cx, _tag: u32, _error: std::io::Error) {}

    fn on_data(&mut self, cx: &mut Cx, id: ConnId, data: &[u8]) -> Result<usize, Reason> {
        cx.send(id, |out| out.extend_from_slice(data));
        Ok(data.len())
    }

    fn on_close(&mut self, _cx: &mut Cx, _id: ConnId, _reason: Reason) {}
    fn on_tick(&mut self, _cx: &mut Cx) {}
    fn on_command(&mut self, _cx: &mut Cx, (): ()) {}
}

/// Says how much an established connection suffers from those who begin handshakes and do not end them; `--nocapture` shows
/// it. What is asserted is that it goes on, and that the flood was one.
#[test]
fn a_flood_of_handshakes_holds_up_nobody_who_is_connected() {
    const FLOODERS: usize = 100;
    /// A client's hello is out by then, and the server's answer is not awaited: it cost the server more.
    const PATIENCE: Duration = Duration::from_millis(3);
    let (_folder, mut settings) = settings();
    // As for anybody who comes from elsewhere.
    settings.peer_exempt.clear();
    let server = Server::load(&settings).unwrap();
    let listener = Listener::bind_quic(([127, 0, 0, 1], 0).into(), server.clone()).unwrap();
    let address = listener.local_addr().unwrap();
    let setup = Setup { ports: vec![Port { listener, tag: 0 }], ..Setup::default() };
    let running = spawn("echo", setup, || Echo).unwrap();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let (quiet, flooded) = runtime().block_on(async {
        let connector = Connector::quic(Client::load(&settings).unwrap());
        let mut stream = connector.dial(address, DEADLINE).await.unwrap();
        let quiet = round_trips(&mut stream, 1_000).await;
        let flooding = std::thread::spawn({
            let (over, settings) = (over.clone(), settings.clone());
            move || {
                let connector = Connector::quic(Client::load(&settings).unwrap());
                let flooder = |connector: Connector, over: Arc<AtomicBool>| async move {
                    let mut begun = 0;
                    while !over.load(Ordering::Relaxed) {
                        drop(tokio::time::timeout(PATIENCE, connector.dial(address, DEADLINE)).await);
                        begun += 1;
                    }
                    begun
                };
                runtime().block_on(async {
                    let flooders =
                        (0..FLOODERS).map(|_| tokio::spawn(flooder(connector.clone(), over.clone())));
                    let mut begun = 0;
                    for flooder in flooders.collect::<Vec<_>>() {
                        begun += flooder.await.unwrap();
                    }
                    begun
                })
            }
        });
        while server.counts().retried.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let flooded = round_trips(&mut stream, 1_000).await;
        over.store(true, Ordering::Relaxed);
        println!("{} handshakes begun", flooding.join().unwrap());
        (quiet, flooded)
    });
    for (name, taken_ns) in [("quiet", &quiet), ("flooded", &flooded)] {
        let us = |share: usize| taken_ns[taken_ns.len() * share / 1000 - 1] / 1000;
        println!("{name}: p50 {} us, p99 {} us, p99.9 {} us", us(500), us(990), us(999));
    }
    println!("{:?}", server.counts());
    running.handle().stop();
    running.join().unwrap();
}

/// Round trips of one established connection, sorted, nanoseconds.
async fn round_trips(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), count: usize) -> Vec<u64> {
    let clock = transport::Clock::start();
    let mut taken_ns = Vec::with_capacity(count);
    for _ in 0..count {
        let begun_ns = clock.now_ns();
        stream.write_all(b"?").await.unwrap();
        stream.flush().await.unwrap();
        stream.read_u8().await.unwrap();
        taken_ns.push(clock.now_ns() - begun_ns);
    }
    taken_ns.sort_unstable();
    taken_ns
}
