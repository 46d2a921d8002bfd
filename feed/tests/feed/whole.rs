//! The server as a whole: its port for the operator, its end, its shards, and a feed behind a feed.

use crate::support::*;
use std::time::Duration;

#[test]
fn the_operators_port_shows_sources_channels_and_subscribers() {
    let feed = Feed::start(|_| {});
    assert!(feed.get("/ready").contains("no source is up"));
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    assert!(feed.get("/ready").starts_with("HTTP/1.1 200"));
    let mut reader = subscribe(feed.address, &Wanted::all());
    primary.publish(7, 1..=5);
    reader.expect_ticks(7, 1..=5);
    let sources = feed.get("/sources");
    assert!(sources.contains("\"name\":\"source-0\"") && sources.contains("\"state\":\"up\""), "{sources}");
    assert!(sources.contains("\"won\":5"), "{sources}");
    assert!(sources.contains("\"channel\":7,\"next\":6,\"last\":5"), "{sources}");
    let subscribers = feed.get("/subscribers");
    assert!(subscribers.contains("\"name\":\"reader\",\"stage\":\"following\""), "{subscribers}");
    assert!(feed.get("/metrics").contains("feed_subscribers 1"));
}

#[test]
fn a_feed_that_drains_takes_leave_of_everyone_and_ends() {
    let mut feed = Feed::start(|_| {});
    let [mut primary, mut backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut reader = subscribe(feed.address, &Wanted::all());
    let running = feed.take_running();
    let ends = std::thread::spawn(move || running.drain(Duration::from_secs(60)));
    for peer in [&mut primary, &mut backup, &mut reader] {
        assert_eq!(peer.see(), Seen::Logout("closing down".to_owned()));
        peer.send(&wire::szse::Logout {
            session_status: wire::szse::code::SessionStatus::LOGOUT_COMPLETE,
            text: wire::szse::Text::BLANK,
        });
        assert_eq!(peer.see(), Seen::Closed);
    }
    ends.join().unwrap().unwrap();
}

#[test]
fn with_several_shards_each_subscriber_gets_the_same() {
    let feed = Feed::start(|config| config.listen.shards = 3);
    let [mut primary, mut backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut readers: Vec<Peer> = (0..12).map(|_| subscribe(feed.address, &Wanted::all())).collect();
    primary.send_bytes(&snapshot(1, 9, 100));
    primary.publish(1, 1..=1_000);
    backup.publish(1, 1..=1_000);
    for reader in &mut readers {
        assert_eq!(reader.see(), Seen::Snapshot(1, 100));
        reader.expect_ticks(1, 1..=1_000);
    }
    // Which shard a connection is on is the kernel's choice: with twelve, all three serve late ones too.
    let securities = vec![1];
    let mode = wire::szse::ext::SubscriptionMode::SECURITIES;
    let late = Wanted { snapshots: true, mode, securities, ..Wanted::from(1, 900) };
    let mut late: Vec<Peer> = (0..12).map(|_| subscribe(feed.address, &late)).collect();
    primary.publish(1, 1_001..=1_100);
    for reader in &mut late {
        assert_eq!(reader.see(), Seen::Snapshot(1, 100));
        reader.expect_ticks(1, 900..=1_100);
    }
    let asked = feed.get("/subscribers");
    assert_eq!(asked.matches("\"name\":\"reader\"").count(), 24);
}

#[test]
fn a_feed_can_be_the_source_of_a_feed() {
    let first = Feed::start(|_| {});
    let [mut primary, _backup] = first.sources();
    first.wait_for_sources(2);
    let second = Feed::with_sources(&[first.address], |config| {
        config.sources[0].subscribe = true;
        config.arbitration.from = feed::config::FromName::Open;
    });
    second.wait_for_sources(1);
    let mut reader = subscribe(second.address, &Wanted::all());
    primary.send_bytes(&snapshot(1, 9, 100));
    primary.publish(1, 1..=3);
    assert_eq!(reader.see(), Seen::Snapshot(1, 100));
    reader.expect_ticks(1, 1..=3);
    // What the first one lost is lost to the second one too, and both go on.
    primary.publish(1, 6..=6);
    let cannot = |begin, end| resend(1, begin, end, wire::szse::code::ResendStatus::UNAVAILABLE);
    let mut backup = _backup;
    assert_eq!(backup.expect_resend_request(), (1, 4, 5));
    backup.send(&cannot(4, 5));
    assert_eq!(primary.expect_resend_request(), (1, 4, 5));
    primary.send(&cannot(4, 5));
    assert_eq!(reader.see(), Seen::Gap(1, 4, 5, wire::szse::ext::GapReason::LOST_UPSTREAM));
    reader.expect_ticks(1, 6..=6);
    // The second one was told so, and has not waited for its deadline.
    let sources = second.get("/sources");
    assert!(!sources.contains("\"refused\":0"), "{sources}");
}

#[test]
fn a_port_that_another_feed_listens_on_is_an_error() {
    let feed = Feed::start(|_| {});
    let mut config = feed::Config::default();
    config.listen.address = feed.address;
    let refused = feed::Server::bind(config, &service::Host::default()).err().expect("the port is taken");
    assert!(refused.to_string().contains(&feed.address.to_string()), "{refused}");
}
