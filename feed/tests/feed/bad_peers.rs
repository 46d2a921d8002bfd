//! What a peer must not be able to do: each has a defined answer and a counter, and nobody else notices.

use crate::support::*;
use wire::szse::frame;

/// A feed with a quote on its way and a reader that must get it, whatever the bad peer does.
fn undisturbed(change: impl FnOnce(&mut feed::Config), bad: impl FnOnce(&Feed)) {
    let feed = Feed::start(change);
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut reader = subscribe(feed.address, &Wanted::all());
    primary.publish(1, 1..=10);
    bad(&feed);
    primary.publish(1, 11..=20);
    reader.expect_ticks(1, 1..=20);
    wait_for("the bad one to be gone", || feed.metrics.subscribers.get() == 1);
}

fn expect_logout(peer: &mut Peer, text: &str) {
    assert_eq!(peer.see(), Seen::Logout(text.to_owned()));
    assert_eq!(peer.see(), Seen::Closed);
}

#[test]
fn random_bytes() {
    undisturbed(
        |_| {},
        |feed| {
            // Bytes of a fixed generator; whatever their first eight say, it is no frame that is taken here.
            let mut state = 1_u64;
            let bytes: Vec<u8> = std::iter::repeat_with(|| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .take(4_096)
            .collect();
            let mut peer = Peer::connect(feed.address);
            peer.send_bytes(&bytes);
            expect_logout(&mut peer, "frame too large");
            wait_for("the count", || feed.ended("frame too large") == 1);
        },
    );
}

#[test]
fn a_wrong_checksum() {
    undisturbed(
        |_| {},
        |feed| {
            let mut damaged = bytes_of(&logon());
            damaged[30] ^= 4;
            let mut peer = Peer::connect(feed.address);
            peer.send_bytes(&damaged);
            expect_logout(&mut peer, "wrong checksum");
            wait_for("the count", || feed.ended("wrong checksum") == 1);
        },
    );
}

#[test]
fn an_oversize_frame() {
    undisturbed(
        |config| config.subscribers.body_bytes_max = 1_000,
        |feed| {
            let mut peer = log_on(feed.address);
            peer.send_bytes(&[0, 0, 0, 7, 0, 0, 3, 0xe9]);
            expect_logout(&mut peer, "frame too large");
            wait_for("the count", || feed.ended("frame too large") == 1);
        },
    );
}

#[test]
fn no_logon_in_time() {
    undisturbed(
        // The good reader has to log on within it, too.
        |config| config.subscribers.logon_timeout_ms = 2_000,
        |feed| {
            let mut peer = Peer::connect(feed.address);
            peer.send_bytes(&bytes_of(&logon())[..50]);
            expect_logout(&mut peer, "logon timeout");
            wait_for("the count", || feed.ended("logon timeout") == 1);
        },
    );
}

#[test]
fn a_second_logon() {
    undisturbed(
        |_| {},
        |feed| {
            let mut peer = log_on(feed.address);
            peer.send(&logon());
            expect_logout(&mut peer, "second logon");
            wait_for("the count", || feed.ended("second logon") == 1);
        },
    );
}

#[test]
fn a_request_before_the_logon() {
    undisturbed(
        |_| {},
        |feed| {
            let mut peer = Peer::connect(feed.address);
            peer.request(&Wanted::all());
            expect_logout(&mut peer, "message before logon");
            wait_for("the count", || feed.ended("message before logon") == 1);
        },
    );
}

#[test]
fn a_malformed_request() {
    undisturbed(
        |_| {},
        |feed| {
            let mut peer = log_on(feed.address);
            let mut bytes = Vec::new();
            frame::encode_with(9_000_001, &mut bytes, |body| {
                body.extend_from_slice(&[0xff; 20]);
                Ok::<(), ()>(())
            })
            .unwrap();
            peer.send_bytes(&bytes);
            expect_logout(&mut peer, "too many entries in a group");
            wait_for("the count", || feed.ended("too many entries in a group") == 1);
        },
    );
}

#[test]
fn a_message_that_means_nothing_here() {
    undisturbed(
        |_| {},
        |feed| {
            let mut peer = log_on(feed.address);
            peer.send(&tick(1, 1));
            assert_eq!(peer.see(), Seen::Reject(300_192));
            assert_eq!(feed.metrics.subscriber_unknown.get(), 1);
            peer.request(&Wanted::all());
            assert!(matches!(peer.see(), Seen::Ack(_)));
        },
    );
}

#[test]
fn more_requests_than_a_session_may_make() {
    undisturbed(
        |config| config.subscribers.requests_per_minute_max = 3,
        |feed| {
            let mut peer = log_on(feed.address);
            (0..4).for_each(|_| peer.request(&Wanted::all()));
            (0..3).for_each(|_| assert!(matches!(peer.see(), Seen::Ack(_))));
            while peer.see() != Seen::Logout("too many requests".to_owned()) {}
            wait_for("the count", || feed.ended("too many requests") == 1);
        },
    );
}

#[test]
fn more_resend_requests_than_may_wait() {
    undisturbed(
        |config| config.subscribers.resends_max = 1,
        |feed| {
            let mut peer = subscribe(feed.address, &Wanted::from(1, 10));
            peer.expect_ticks(1, 10..=10);
            let mut many = Vec::new();
            let request = resend(1, 1, 2, wire::szse::code::ResendStatus::NONE);
            (0..3).for_each(|_| frame::encode(&request, &mut many));
            peer.send_bytes(&many);
            let refused = Seen::Resend(1, wire::szse::code::ResendStatus::NONE);
            assert_eq!([peer.see(), peer.see()], [refused.clone(), refused]);
            peer.expect_ticks(1, 1..=2);
        },
    );
}

#[test]
fn a_peer_that_goes_silent() {
    let feed = Feed::start(|config| {
        config.subscribers.heartbeat_s_max = 1;
        // Between its own heartbeat and the peer's end: so long the feed may stand still, and says both.
        config.subscribers.silence_slack_ms = 2_000;
    });
    let mut peer = log_on(feed.address);
    let heartbeat = peer.frame().expect("the feed's own heartbeat");
    assert_eq!(heartbeat, bytes_of(&wire::szse::Heartbeat));
    expect_logout(&mut peer, "heartbeat timeout");
    wait_for("the count", || feed.ended("heartbeat timeout") == 1);
}

#[test]
fn more_connections_than_may_be_open() {
    undisturbed(
        |config| config.subscribers.connections_max = 2,
        |feed| {
            let second = log_on(feed.address);
            let mut third = Peer::connect(feed.address);
            assert_eq!(third.see(), Seen::Closed);
            wait_for("the count", || feed.metrics.refused_full.get() == 1);
            drop(second);
            wait_for("the second to be gone", || feed.metrics.subscribers.get() == 1);
        },
    );
}
