//! A reader over QUIC that wants the newest snapshots as datagrams: they may be lost, and what is the newest arrives all the
//! same.

use crate::quic::{self, Network};
use crate::support::*;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use tempfile::TempDir;
use transport::Stream;
use transport::tls::Settings;
use wire::szse::ext::{RequestStatus, SlowReaderPolicy, SubscriptionMode, decode_datagram};
use wire::szse::frame;
use wire::szse::market::{MdEntry, Snapshot, SnapshotHead};

fn datagrams() -> Wanted {
    Wanted { policy: SlowReaderPolicy::DATAGRAMS, ..Wanted::all() }
}

fn start(refresh_ms: u64) -> (Feed, Settings, TempDir) {
    quic::start(|config| config.subscribers.datagram_refresh_ms = refresh_ms)
}

/// A subscriber over QUIC that keeps the newest.
pub(crate) struct Reader {
    pub(crate) reader: quic::Reader,
    /// Of each security: number and time of the newest snapshot.
    newest: BTreeMap<u32, (u64, i64)>,
}

impl Reader {
    pub(crate) fn new(reader: quic::Reader) -> Self {
        Self { reader, newest: BTreeMap::new() }
    }

    fn subscribe(address: SocketAddr, settings: &Settings, wanted: &Wanted) -> Self {
        Self::new(quic::Reader::subscribe(address, settings, wanted))
    }

    /// Takes the next datagram, as a client does: what is not newer is left.
    pub(crate) fn take_datagram(&mut self) -> (u32, i64) {
        let arrived = self.reader.wait("a datagram comes", Stream::poll_datagram);
        let bytes = arrived.expect("the connection goes on");
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
    assert_eq!(reader.reader.request(&refused), Seen::Ack(RequestStatus::INVALID));
    // From one policy to another and back.
    assert_eq!(reader.reader.request(&Wanted::all()), Seen::Ack(RequestStatus::ACCEPTED));
    primary.send_bytes(&snapshot(1, 9, 3));
    assert_eq!(reader.reader.see(), Seen::Snapshot(1, 3));
    assert_eq!(reader.reader.request(&datagrams()), Seen::Ack(RequestStatus::ACCEPTED));
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
    // So long the losses may go on before they would take what is sent once more, too.
    let (feed, settings, _folder) = start(2_000);
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
    assert_eq!(reader.reader.see(), Seen::Snapshot(1, 1));
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
    assert_eq!(reader.reader.request(&numbered), Seen::Ack(RequestStatus::INVALID));
}
