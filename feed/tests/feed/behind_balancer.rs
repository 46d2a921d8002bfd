//! A balancer in front that says for whom it connects: subscribers are known by their own addresses.

use crate::support::*;
use std::net::SocketAddr;
use transport::proxy_protocol::{LOCAL, encode};
use wire::szse::ext::RequestStatus;

/// Subscribers come by a balancer on loopback.
fn behind_balancer(config: &mut feed::Config) {
    config.listen.accept_proxy.from = vec!["127.0.0.0/8".parse().unwrap()];
}

fn counted(feed: &Feed, outcome: &str) -> u64 {
    feed.metrics.proxy_headers.with_label_values(&[outcome]).get()
}

#[test]
fn a_subscriber_is_known_by_its_own_address() {
    let feed = Feed::start(behind_balancer);
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let client: SocketAddr = "192.0.2.7:51000".parse().unwrap();
    let mut peer = Peer::connect(feed.address);
    peer.send_bytes(&encode(client, feed.address));
    peer.log_on(&logon());
    peer.request(&Wanted::all());
    assert_eq!(peer.see(), Seen::Ack(RequestStatus::ACCEPTED));
    primary.publish(1, 1..=10);
    peer.expect_ticks(1, 1..=10);
    assert!(feed.get("/subscribers").contains("\"192.0.2.7:51000\""), "{}", feed.get("/subscribers"));
    assert_eq!(counted(&feed, "client"), 1);
}

#[test]
fn a_balancers_check_and_a_missing_header_are_counted_and_disturb_nobody() {
    let feed = Feed::start(behind_balancer);
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut reader = Peer::connect(feed.address);
    reader.send_bytes(&LOCAL);
    reader.log_on(&logon());
    reader.request(&Wanted::all());
    assert_eq!(reader.see(), Seen::Ack(RequestStatus::ACCEPTED));

    drop(Peer::connect(feed.address));
    wait_for("the check", || counted(&feed, "left") == 1);
    let mut direct = Peer::connect(feed.address);
    direct.send(&logon());
    assert_eq!(direct.see(), Seen::Closed);
    wait_for("the missing header", || counted(&feed, "malformed") == 1);

    primary.publish(1, 1..=10);
    reader.expect_ticks(1, 1..=10);
    assert_eq!(counted(&feed, "local"), 1);
}
