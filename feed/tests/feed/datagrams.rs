//! A reader over QUIC that wants the newest snapshots as datagrams: they may be lost, and what is the newest arrives all the
//! same.

use crate::support::*;
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use transport::tls::{Client, Settings, local_settings};
use transport::{Connector, Stream};
use wire::szse::ext::{RequestStatus, SlowReaderPolicy, SubscriptionMode, decode_datagram};
use wire::szse::market::{MdEntry, Snapshot, SnapshotHead};
use wire::szse::{Heartbeat, Message, frame};

const DEADLINE: Duration = Duration::from_secs(30);

fn datagrams() -> Wanted {
    Wanted { policy: SlowReaderPolicy::DATAGRAMS, ..Wanted::all() }
}

/// A feed that is reached over QUIC, too.
fn start(refresh_ms: u64) -> (Feed, Settings, TempDir) {
    let folder = TempDir::new().unwrap();
    let settings = local_settings(folder.path(), false).unwrap();
    let feed = Feed::start(|config| {
        config.tls = Some(settings.clone());
        config.listen.transport = Some(service::tls::Over::Tcp);
        config.listen.quic = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        config.sources.iter_mut().for_each(|source| source.transport = Some(service::tls::Over::Tcp));
        config.subscribers.datagram_refresh_ms = refresh_ms;
    });
    (feed, settings, folder)
}

/// A subscriber over QUIC.
struct Reader {
    runtime: Runtime,
    stream: Stream,
    buffer: Vec<u8>,
    /// Of each security: number and time of the newest snapshot.
    newest: BTreeMap<u32, (u64, i64)>,
}

impl Reader {
    fn subscribe(address: SocketAddr, settings: &Settings, wanted: &Wanted) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let connector = Connector::quic(Client::load(settings).unwrap());
        let mut stream = runtime.block_on(connector.dial(address, DEADLINE)).unwrap();
        let hello = [bytes_of(&logon()), wanted.encode()].concat();
        runtime.block_on(stream.write_all(&hello)).unwrap();
        let mut reader = Self { runtime, stream, buffer: Vec::new(), newest: BTreeMap::new() };
        reader.frame();
        assert_eq!(reader.see(), Seen::Ack(RequestStatus::ACCEPTED));
        reader
    }

    /// The next frame of the stream.
    fn frame(&mut self) -> Vec<u8> {
        loop {
            if let Some(frame) = frame::decode(&self.buffer, frame::BODY_LEN_MAX).unwrap() {
                let len = frame.bytes.len();
                return self.buffer.drain(..len).collect();
            }
            let read = self.stream.read_buf(&mut self.buffer);
            let read = self.runtime.block_on(async { tokio::time::timeout(DEADLINE, read).await });
            assert!(read.expect("something comes").unwrap() > 0, "the stream goes on");
        }
    }

    /// The next message of the stream that is no heartbeat.
    fn see(&mut self) -> Seen {
        loop {
            let bytes = self.frame();
            let frame = frame::decode(&bytes, frame::BODY_LEN_MAX).unwrap().unwrap();
            if frame.msg_type != Heartbeat::MSG_TYPE {
                return seen(&frame);
            }
        }
    }

    /// Takes the next datagram, as a client does: what is not newer is left.
    fn take_datagram(&mut self) -> (u32, i64) {
        let stream = &mut self.stream;
        let arrival = std::future::poll_fn(|context| stream.poll_datagram(context));
        let arrived = self.runtime.block_on(async { tokio::time::timeout(DEADLINE, arrival).await });
        let bytes = arrived.expect("a datagram comes").expect("the connection goes on");
        let (seq, frame) = decode_datagram(&bytes).unwrap();
        let Seen::Snapshot(security, time) = seen(&frame) else { panic!("snapshots alone are datagrams") };
        let newest = self.newest.entry(security).or_insert((seq, time));
        if seq > newest.0 {
            assert!(time >= newest.1, "a later number is a later state");
            *newest = (seq, time);
        }
        (security, time)
    }

    fn take_until(&mut self, securities: std::ops::RangeInclusive<u32>, time: i64) {
        let times = |reader: &Self, security| reader.newest.get(&security).map(|(_, time)| *time);
        while !securities.clone().all(|security| times(self, security) == Some(time)) {
            self.take_datagram();
        }
    }
}

/// A network in front of a server that loses what the server sends, when it is told to.
struct Network {
    address: SocketAddr,
    losing: Arc<AtomicBool>,
    lost: Arc<AtomicU64>,
}

impl Network {
    fn to(server: SocketAddr) -> Self {
        let front = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        let back = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        back.connect(server).unwrap();
        let address = front.local_addr().unwrap();
        let (losing, lost) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = Arc::new(OnceLock::new());
        let (from, to, peer) = (front.clone(), back.clone(), client.clone());
        std::thread::spawn(move || {
            let mut packet = [0; 65_536];
            while let Ok((bytes, sender)) = from.recv_from(&mut packet) {
                peer.get_or_init(|| sender);
                if to.send(&packet[..bytes]).is_err() {
                    return;
                }
            }
        });
        let (loses, counts) = (losing.clone(), lost.clone());
        std::thread::spawn(move || {
            let mut packet = [0; 65_536];
            while let Ok(bytes) = back.recv(&mut packet) {
                if loses.load(Ordering::SeqCst) {
                    counts.fetch_add(1, Ordering::SeqCst);
                } else if front.send_to(&packet[..bytes], client.get().unwrap()).is_err() {
                    return;
                }
            }
        });
        Self { address, losing, lost }
    }
}

#[test]
fn snapshots_come_beside_the_stream_and_ticks_not_at_all() {
    let (feed, settings, _folder) = start(60_000);
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut plain = subscribe(feed.address, &Wanted::all());
    primary.send_bytes(&snapshot(1, 9, 1));
    assert_eq!(plain.see(), Seen::Snapshot(1, 1));
    let wanted = Wanted { snapshots: true, ..datagrams() };
    let mut reader = Reader::subscribe(feed.quic.unwrap(), &settings, &wanted);
    assert_eq!(reader.take_datagram(), (1, 1));
    primary.publish(1, 1..=10);
    primary.send_bytes(&[snapshot(1, 9, 2), snapshot(2, 9, 2)].concat());
    reader.take_until(1..=2, 2);
    assert!(feed.get("/subscribers").contains("\"datagrams\""));
    // Nothing came by the stream meanwhile: the answer to what is asked now is the next.
    let refused = Wanted { policy: SlowReaderPolicy::from_raw(9), ..Wanted::all() };
    reader.runtime.block_on(reader.stream.write_all(&refused.encode())).unwrap();
    assert_eq!(reader.see(), Seen::Ack(RequestStatus::INVALID));
    // From one policy to another and back.
    reader.runtime.block_on(reader.stream.write_all(&Wanted::all().encode())).unwrap();
    assert_eq!(reader.see(), Seen::Ack(RequestStatus::ACCEPTED));
    primary.send_bytes(&snapshot(1, 9, 3));
    assert_eq!(reader.see(), Seen::Snapshot(1, 3));
    reader.runtime.block_on(reader.stream.write_all(&datagrams().encode())).unwrap();
    assert_eq!(reader.see(), Seen::Ack(RequestStatus::ACCEPTED));
    primary.send_bytes(&snapshot(1, 9, 4));
    reader.take_until(1..=1, 4);
}

#[test]
fn a_filter_holds_for_datagrams() {
    let (feed, settings, _folder) = start(60_000);
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let two = Wanted { mode: SubscriptionMode::SECURITIES, securities: vec![2], ..datagrams() };
    let mut reader = Reader::subscribe(feed.quic.unwrap(), &settings, &two);
    for time in 1..=20 {
        (1..=3).for_each(|security| primary.send_bytes(&snapshot(security, 9, time)));
        assert_eq!(reader.take_datagram(), (2, time));
    }
}

#[test]
fn a_lost_snapshot_of_a_quiet_security_comes_once_more() {
    let (feed, settings, _folder) = start(100);
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let network = Network::to(feed.quic.unwrap());
    let mut reader = Reader::subscribe(network.address, &settings, &datagrams());
    primary.send_bytes(&snapshot(1, 9, 1));
    reader.take_until(1..=1, 1);
    network.losing.store(true, Ordering::SeqCst);
    let before = feed.metrics.datagrams.get();
    primary.send_bytes(&snapshot(1, 9, 2));
    wait_for("a datagram", || feed.metrics.datagrams.get() > before);
    wait_for("its loss", || network.lost.load(Ordering::SeqCst) > 0);
    network.losing.store(false, Ordering::SeqCst);
    reader.take_until(1..=1, 2);
    // What is quiet is sent once more, and not again.
    wait_for("a refresh", || feed.metrics.datagrams_refreshed.get() >= 1);
    assert!(feed.metrics.datagrams.get() <= 2 * 2, "two states, each at most twice");
}

#[test]
fn who_cannot_be_reached_for_a_while_gets_the_newest_of_each_then() {
    let (feed, settings, _folder) = start(60_000);
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut plain = subscribe(feed.address, &Wanted::all());
    let network = Network::to(feed.quic.unwrap());
    let mut reader = Reader::subscribe(network.address, &settings, &datagrams());
    network.losing.store(true, Ordering::SeqCst);
    let mut time = 0;
    while feed.metrics.datagrams_full.get() == 0 {
        time += 1;
        (1..=100).for_each(|security| primary.send_bytes(&snapshot(security, 9, time)));
        (1..=100).for_each(|security| assert_eq!(plain.see(), Seen::Snapshot(security, time)));
        assert!(time < 10_000, "the way to a peer that says nothing is full some time");
    }
    network.losing.store(false, Ordering::SeqCst);
    time += 1;
    (1..=100).for_each(|security| primary.send_bytes(&snapshot(security, 9, time)));
    reader.take_until(1..=100, time);
}

#[test]
fn what_is_too_long_for_a_datagram_comes_by_the_stream() {
    let (feed, settings, _folder) = start(60_000);
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut reader = Reader::subscribe(feed.quic.unwrap(), &settings, &datagrams());
    let mut long = Vec::new();
    let bytes = snapshot(1, 9, 1);
    let short = frame::decode(&bytes, frame::BODY_LEN_MAX).unwrap().unwrap();
    let head: SnapshotHead = *short.group::<Snapshot<'_>>().unwrap().head;
    Snapshot::encode(&head, &mut long, |out| (0..64).try_for_each(|_| out.push(&MdEntry::default(), &[])))
        .unwrap();
    primary.send_bytes(&long);
    assert_eq!(reader.see(), Seen::Snapshot(1, 1));
    assert_eq!(feed.metrics.datagrams_too_long.get(), 1);
}

#[test]
fn datagrams_are_refused_where_there_are_none() {
    let (feed, settings, _folder) = start(60_000);
    let mut plain = log_on(feed.address);
    plain.request(&datagrams());
    assert_eq!(plain.see(), Seen::Ack(RequestStatus::POLICY_UNSUPPORTED));
    let mut reader = Reader::subscribe(feed.quic.unwrap(), &settings, &datagrams());
    let numbered = Wanted { policy: SlowReaderPolicy::DATAGRAMS, ..Wanted::from(1, 1) };
    reader.runtime.block_on(reader.stream.write_all(&numbered.encode())).unwrap();
    assert_eq!(reader.see(), Seen::Ack(RequestStatus::INVALID));
}
