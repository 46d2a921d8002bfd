//! What a subscriber asks for, and what it gets.

use crate::support::*;
use feed::config::WithoutRequest;
use wire::szse::Text;
use wire::szse::code::ResendStatus;
use wire::szse::ext::{GapReason, RequestStatus, SlowReaderPolicy, SubscriptionMode};

#[test]
fn who_comes_late_gets_the_last_snapshots_and_then_what_follows() {
    let feed = Feed::start(|_| {});
    let [mut primary, _backup] = feed.sources();
    let mut first = subscribe(feed.address, &Wanted::all());
    primary.send_bytes(&snapshot(1, 9, 100));
    primary.send_bytes(&snapshot(2, 9, 100));
    primary.send_bytes(&snapshot(1, 9, 103));
    primary.publish(1, 1..=3);
    (0..3).for_each(|_| assert!(matches!(first.see(), Seen::Snapshot(..))));
    first.expect_ticks(1, 1..=3);
    let mut late = subscribe(feed.address, &Wanted { snapshots: true, ..Wanted::all() });
    assert_eq!(late.see(), Seen::Snapshot(1, 103));
    assert_eq!(late.see(), Seen::Snapshot(2, 100));
    primary.publish(1, 4..=5);
    late.expect_ticks(1, 4..=5);
}

#[test]
fn snapshots_beyond_one_part_all_arrive() {
    let feed = Feed::start(|_| {});
    let [mut primary, _backup] = feed.sources();
    let mut first = subscribe(feed.address, &Wanted::all());
    const COUNT: u32 = 20_000; // 1.6 MB: more than may wait for one connection.
    primary.send_bytes(&(1..=COUNT).flat_map(|id| snapshot(id, 9, 100)).collect::<Vec<_>>());
    (1..=COUNT).for_each(|id| assert_eq!(first.see(), Seen::Snapshot(id, 100)));
    let mut late = subscribe(feed.address, &Wanted { snapshots: true, ..Wanted::all() });
    (1..=COUNT).for_each(|id| assert_eq!(late.see(), Seen::Snapshot(id, 100)));
    primary.publish(1, 1..=1);
    late.expect_ticks(1, 1..=1);
}

#[test]
fn many_who_come_late_at_once_all_get_everything() {
    let feed = Feed::start(|_| {});
    let [mut primary, _backup] = feed.sources();
    let mut witness = subscribe(feed.address, &Wanted::all());
    for security in 1..=2_000 {
        primary.send_bytes(&snapshot(security, 1, 1));
    }
    (1..=2_000).for_each(|security| assert_eq!(witness.see(), Seen::Snapshot(security, 1)));
    let mut late: Vec<Peer> = (0..60).map(|_| log_on(feed.address)).collect();
    late.iter_mut().for_each(|reader| reader.request(&Wanted { snapshots: true, ..Wanted::all() }));
    for reader in &mut late {
        assert_eq!(reader.see(), Seen::Ack(RequestStatus::ACCEPTED));
        (1..=2_000).for_each(|security| assert_eq!(reader.see(), Seen::Snapshot(security, 1)));
    }
    primary.publish(1, 1..=1);
    late.iter_mut().for_each(|reader| reader.expect_ticks(1, 1..=1));
}

#[test]
fn a_subscriber_resumes_where_it_left_off() {
    let feed = Feed::start(|_| {});
    let [mut primary, _backup] = feed.sources();
    let mut reader = subscribe(feed.address, &Wanted::all());
    primary.publish(1, 1..=5);
    primary.publish(2, 1..=5);
    reader.expect_ticks(1, 1..=5);
    reader.expect_ticks(2, 1..=5);
    drop(reader);
    primary.publish(1, 6..=8);
    let mut witness = subscribe(feed.address, &Wanted::from(1, 1));
    witness.expect_ticks(1, 1..=8);
    let mut again = subscribe(feed.address, &Wanted::from(1, 6));
    again.expect_ticks(1, 6..=8);
    // Channel 2 was not named: live only.
    primary.publish(2, 6..=6);
    again.expect_ticks(2, 6..=6);
}

#[test]
fn a_subscriber_from_a_feed_that_is_ahead_gets_no_number_twice() {
    let feed = Feed::start(|_| {});
    let [mut primary, _backup] = feed.sources();
    primary.publish(1, 1..=5);
    primary.publish(2, 1..=2);
    subscribe(feed.address, &Wanted::from(2, 1)).expect_ticks(2, 1..=2);
    let mut ahead = subscribe(feed.address, &Wanted::from(1, 8));
    primary.publish(2, 3..=3);
    primary.publish(1, 6..=9);
    ahead.expect_ticks(2, 3..=3);
    ahead.expect_ticks(1, 8..=9);
}

#[test]
fn who_is_ahead_for_too_long_gets_what_comes() {
    let feed = Feed::start(|config| config.subscribers.ahead_timeout_ms = 1);
    let [mut primary, _backup] = feed.sources();
    primary.publish(1, 1..=1);
    let mut witness = subscribe(feed.address, &Wanted::from(1, 1));
    witness.expect_ticks(1, 1..=1);
    let mut ahead = subscribe(feed.address, &Wanted::from(1, 1_000));
    primary.publish(2, 1..=1);
    ahead.expect_ticks(2, 1..=1);
}

#[test]
fn what_is_no_longer_held_is_refused_or_skipped_as_asked() {
    let feed = Feed::start(small_log);
    let [mut primary, _backup] = feed.sources();
    let mut witness = subscribe(feed.address, &Wanted::all());
    let count = 2 * HELD;
    primary.publish_and_read(&mut witness, count);
    let mut reader = log_on(feed.address);
    reader.request(&Wanted::from(1, 1));
    assert_eq!(reader.see(), Seen::Ack(RequestStatus::NO_LONGER_HELD));
    reader.request(&Wanted { policy: SlowReaderPolicy::SKIP_WITH_NOTICE, ..Wanted::from(1, 1) });
    assert_eq!(reader.see(), Seen::Ack(RequestStatus::ACCEPTED));
    let Seen::Gap(1, 1, last, GapReason::NO_LONGER_HELD) = reader.see() else { panic!("a notice") };
    assert!((HELD..HELD + 3_000).contains(&last), "about half of it is held, and {last} was not");
    reader.expect_ticks(1, last + 1..=count);
}

#[test]
fn who_resumes_below_the_number_at_which_a_channel_begins_is_told() {
    let feed = Feed::start(|_| {});
    let [mut primary, _backup] = feed.sources();
    let mut live = subscribe(feed.address, &Wanted::all());
    primary.publish(1, 50..=52);
    let notice = Seen::Gap(1, 1, 49, GapReason::NO_LONGER_HELD);
    assert_eq!(live.see(), notice);
    live.expect_ticks(1, 50..=52);
    for number in [1, 20, 49] {
        let mut reader = subscribe(feed.address, &Wanted::from(1, number));
        assert_eq!(reader.see(), notice, "from {number}");
        reader.expect_ticks(1, 50..=52);
    }
    subscribe(feed.address, &Wanted::from(1, 50)).expect_ticks(1, 50..=52);
}

#[test]
fn a_list_of_securities_is_a_filter() {
    let feed = Feed::start(|_| {});
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let one = Wanted { mode: SubscriptionMode::SECURITIES, securities: vec![2], ..Wanted::all() };
    let two = Wanted { securities: vec![3, 1], ..one };
    let one = Wanted { mode: SubscriptionMode::SECURITIES, securities: vec![2], ..Wanted::all() };
    let (mut one, mut two) = (subscribe(feed.address, &one), subscribe(feed.address, &two));
    for number in 1..=9 {
        primary.send(&tick_of(number as u32 % 3 + 1, 1, number));
    }
    assert_eq!(one.ticks(1, 3), [1, 4, 7]);
    assert_eq!(two.ticks(1, 6), [2, 3, 5, 6, 8, 9]);
}

#[test]
fn a_list_of_channels_is_a_filter() {
    let feed = Feed::start(|_| {});
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let wanted = Wanted { mode: SubscriptionMode::CHANNELS, channels: vec![(3, 0), (1, 0)], ..Wanted::all() };
    let mut reader = subscribe(feed.address, &wanted);
    (1..=3).for_each(|channel| primary.publish(channel, 1..=2));
    reader.expect_ticks(1, 1..=2);
    reader.expect_ticks(3, 1..=2);
}

#[test]
fn a_new_request_replaces_the_one_before() {
    let feed = Feed::start(|_| {});
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut witness = subscribe(feed.address, &Wanted::all());
    let mut reader = subscribe(feed.address, &Wanted::all());
    primary.publish(1, 1..=2);
    reader.expect_ticks(1, 1..=2);
    reader.request(&Wanted { mode: SubscriptionMode::CHANNELS, channels: vec![(2, 0)], ..Wanted::all() });
    assert_eq!(reader.see(), Seen::Ack(RequestStatus::ACCEPTED));
    primary.publish(1, 3..=4);
    primary.publish(2, 1..=2);
    reader.expect_ticks(2, 1..=2);
    reader.request(&Wanted { mode: SubscriptionMode::NONE, ..Wanted::all() });
    assert_eq!(reader.see(), Seen::Ack(RequestStatus::ACCEPTED));
    primary.publish(2, 3..=4);
    witness.expect_ticks(1, 1..=4);
    witness.expect_ticks(2, 1..=4);
    reader.request(&Wanted::from(2, 4));
    assert_eq!(reader.see(), Seen::Ack(RequestStatus::ACCEPTED));
    reader.expect_ticks(2, 4..=4);
}

#[test]
fn requests_that_cannot_be_taken_are_answered_and_the_session_goes_on() {
    let feed = Feed::start(|config| {
        config.subscribers.securities_max = 2;
        config.log.securities_max = 4;
    });
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut reader = subscribe(feed.address, &Wanted::all());
    let mut status = |wanted: Wanted| {
        reader.request(&wanted);
        match reader.see() {
            Seen::Ack(status) => status,
            other => panic!("an answer was expected, and there was {other:?}"),
        }
    };
    let list = |securities: &[u32]| Wanted {
        mode: SubscriptionMode::SECURITIES,
        securities: securities.to_vec(),
        ..Wanted::all()
    };
    assert_eq!(status(list(&[])), RequestStatus::INVALID);
    assert_eq!(status(list(&[1, 2, 3])), RequestStatus::TOO_MANY);
    let unknown = Wanted { policy: SlowReaderPolicy::from_raw(9), ..Wanted::all() };
    assert_eq!(status(unknown), RequestStatus::INVALID);
    let mut other = log_on(feed.address);
    other.request(&list(&[1, 2]));
    assert_eq!(other.see(), Seen::Ack(RequestStatus::ACCEPTED));
    assert_eq!(status(list(&[3])), RequestStatus::UNKNOWN_SECURITY);
    let refused = feed.metrics.requests.with_label_values(&["UNKNOWN_SECURITY"]);
    assert_eq!(refused.get(), 1);
    primary.publish(1, 1..=2);
    reader.expect_ticks(1, 1..=2);
}

#[test]
fn resend_requests_are_answered_from_the_log() {
    let feed = Feed::start(small_log);
    let [mut primary, _backup] = feed.sources();
    let mut witness = subscribe(feed.address, &Wanted::all());
    let count = 2 * HELD;
    primary.publish_and_read(&mut witness, count);
    let mut reader = log_on(feed.address);
    reader.send(&resend(1, count - 10, count - 8, ResendStatus::NONE));
    reader.send(&resend(1, count - 1, 0, ResendStatus::NONE));
    reader.send(&resend(1, 1, 2, ResendStatus::NONE));
    reader.send(&resend(9, 1, 0, ResendStatus::NONE));
    reader.expect_ticks(1, count - 10..=count - 8);
    assert_eq!(reader.see(), Seen::Resend(count - 10, ResendStatus::COMPLETE));
    reader.expect_ticks(1, count - 1..=count);
    assert_eq!(reader.see(), Seen::Resend(count - 1, ResendStatus::COMPLETE));
    assert_eq!(reader.see(), Seen::Resend(1, ResendStatus::UNAVAILABLE));
    assert_eq!(reader.see(), Seen::Resend(1, ResendStatus::COMPLETE), "all of an empty channel");
    assert_eq!(feed.metrics.resent_frames.get(), 5);
}

#[test]
fn who_asks_for_nothing_gets_what_is_configured() {
    let feed = Feed::start(|config| config.subscribers.without_request = WithoutRequest::All);
    let [mut primary, _backup] = feed.sources();
    let mut witness = log_on(feed.address);
    primary.send_bytes(&snapshot(1, 9, 100));
    assert_eq!(witness.see(), Seen::Snapshot(1, 100));
    let mut reader = log_on(feed.address);
    assert_eq!(reader.see(), Seen::Snapshot(1, 100));
    primary.publish(1, 1..=2);
    reader.expect_ticks(1, 1..=2);
}

#[test]
fn only_accounts_that_are_known_log_on() {
    let account = "comp_id = \"reader\"\npassword = \"secret\"\n";
    let text = format!("[subscribers]\ncomp_id = \"feed\"\n[[subscribers.accounts]]\n{account}");
    let known: feed::Config = service::config::parse(&text, "test").unwrap();
    let feed = Feed::start(|config| config.subscribers = known.subscribers);
    let attempt = |logon: wire::szse::Logon| {
        let mut peer = Peer::connect(feed.address);
        peer.send(&logon);
        let bytes = peer.frame().expect("an answer");
        let frame = wire::szse::frame::decode(&bytes, 1_000).unwrap().unwrap();
        frame.view::<wire::szse::Logon>().is_ok()
    };
    let password = wire::szse::Password::new(b"secret").unwrap();
    let right = wire::szse::Logon { password, ..logon() };
    assert!(attempt(right));
    assert!(!attempt(logon()));
    assert!(!attempt(wire::szse::Logon { sender_comp_id: Text::literal("other"), ..right }));
    assert!(!attempt(wire::szse::Logon { target_comp_id: Text::literal("other"), ..right }));
    wait_for("refusals", || feed.ended("wrong CompID or password") == 3);
}
