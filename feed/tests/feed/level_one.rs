//! An account that may see the snapshots of one market and no ticks: by whichever way it has itself told, it gets these and
//! nothing else. (Browsers: `browsers.rs`.)

use crate::datagrams::Reader as Newest;
use crate::entitlement::{account, logon_of, publish, subscribe_as, write};
use crate::quic::{self, Reader};
use crate::streams::{Split, streams};
use crate::support::*;
use tempfile::TempDir;
use transport::tls::Settings;
use wire::szse::ext::{RequestStatus, SlowReaderPolicy};

/// A feed over QUIC, too, and two accounts: one that sees everything, one that sees Shanghai's snapshots.
fn start(change: impl FnOnce(&mut feed::Config)) -> (Feed, Settings, [TempDir; 2]) {
    let rights = tempfile::tempdir().unwrap();
    let path = rights.path().join("rights.toml");
    write(
        &path,
        &[
            &account("all", "level = 2, connections_max = 1"),
            &account("shots", "markets = [\"SSE\"], level = 1, connections_max = 1"),
        ],
    );
    let (feed, settings, certificates) = quic::start(|config| {
        config.entitlement.file = Some(path);
        change(config);
    });
    (feed, settings, [rights, certificates])
}

/// Both markets up to a number, and nobody is behind.
fn published(feed: &Feed, primary: &mut Peer, last: u64) -> Peer {
    let mut all = subscribe_as(feed, "all", &Wanted::all());
    for number in 1..=last {
        publish(primary, number);
        (0..4).for_each(|_| drop(all.see()));
    }
    all
}

#[test]
fn who_is_conflated_stays_within_its_right() {
    let (feed, ..) = start(|config| {
        config.listen.socket.send_buffer_bytes = 16_384;
        config.subscribers.conflate_behind_count = 1_000;
    });
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut all = published(&feed, &mut primary, 3);
    let wanted = Wanted { policy: SlowReaderPolicy::CONFLATE, snapshots: true, ..Wanted::all() };
    let mut shots = subscribe_as(&feed, "shots", &wanted);
    assert_eq!(shots.see(), Seen::Snapshot(7, 3), "what it begins with");
    // It reads nothing until it is taken off the log, and then all that was kept for it.
    let mut last = 3;
    while feed.metrics.conflated.get() == 0 {
        for _ in 0..500 {
            last += 1;
            publish(&mut primary, last);
            (0..4).for_each(|_| drop(all.see()));
        }
    }
    last += 1;
    publish(&mut primary, last);
    let mut time = 3;
    // All that was kept for it; and then it is back on the log, where a snapshot may come once more.
    for until in [last, last + 1] {
        if until > last {
            publish(&mut primary, until);
        }
        while time < until as i64 {
            match shots.see() {
                Seen::Snapshot(7, newer) => {
                    assert!(newer >= time);
                    time = newer;
                }
                // A channel's numbers are no quotes: everyone who follows it is told of those that will not come.
                Seen::Gap(..) => {}
                other => panic!("beyond its right: {other:?}"),
            }
        }
    }
}

#[test]
fn datagrams_stay_within_it() {
    let (feed, settings, _folders) = start(|config| config.subscribers.datagram_refresh_ms = 50);
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let _all = published(&feed, &mut primary, 3);
    let mut reader = Reader::log_on(feed.quic.unwrap(), &settings, &logon_of("shots"));
    let wanted = Wanted { policy: SlowReaderPolicy::DATAGRAMS, snapshots: true, ..Wanted::all() };
    assert_eq!(reader.request(&wanted), Seen::Ack(RequestStatus::ACCEPTED));
    let mut newest = Newest::new(reader);
    assert_eq!(newest.take_datagram(), (7, 3), "what it begins with");
    for number in 4..=20 {
        publish(&mut primary, number);
        // Each once, or once more as what is sent again of a quiet security.
        while newest.take_datagram() != (7, number as i64) {}
    }
    wait_for("a refresh", || feed.metrics.datagrams_refreshed.get() > 0);
    assert_eq!(newest.take_datagram(), (7, 20));
}

#[test]
fn streams_stay_within_it_and_follow_when_it_changes() {
    let (mut feed, settings, folders) = start(|_| {});
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let _all = published(&feed, &mut primary, 3);
    let mut reader = Reader::log_on(feed.quic.unwrap(), &settings, &logon_of("shots"));
    assert_eq!(reader.request(&streams(&[(1, 1)])), Seen::Ack(RequestStatus::NOT_ENTITLED), "numbers");
    let wanted = Wanted { snapshots: true, ..streams(&[(1, 0), (2, 0)]) };
    assert_eq!(reader.request(&wanted), Seen::Ack(RequestStatus::ACCEPTED));
    let mut split = Split::new(reader);
    split.take_streams(2);
    assert_eq!(split.reader.see(), Seen::Snapshot(7, 3), "what it begins with comes by the session's stream");
    publish(&mut primary, 4);
    assert_eq!(split.see(2), Seen::Snapshot(7, 4));
    let path = folders[0].path().join("rights.toml");
    write(&path, &[&account("shots", "markets = [\"SZSE\"], level = 2, connections_max = 1")]);
    (feed.reload)();
    assert_eq!(split.reader.see(), Seen::Entitlement(1 << 1, 2));
    publish(&mut primary, 5);
    assert_eq!([split.see(1), split.see(1)], [Seen::Tick(1, 5), Seen::Snapshot(1, 5)]);
    publish(&mut primary, 6);
    assert_eq!([split.see(1), split.see(1)], [Seen::Tick(1, 6), Seen::Snapshot(1, 6)]);
    assert!(!split.has_more(2), "nothing of Shanghai any more");
}
