//! Several copies in, one in order out.

use crate::support::*;
use feed::config::{FromName, ModeName};
use wire::szse::Timestamp;
use wire::szse::code::ResendStatus;
use wire::szse::ext::GapReason;
use wire::szse::market::TickOrder;

#[test]
fn of_two_copies_each_number_comes_once() {
    let feed = Feed::start(|_| {});
    let [mut primary, mut backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut reader = subscribe(feed.address, &Wanted::all());
    primary.publish(1, 1..=50);
    backup.publish(1, 1..=100);
    primary.publish(1, 51..=120);
    reader.expect_ticks(1, 1..=120);
    let won = |name| feed.metrics.won.with_label_values(&[name]).get();
    let duplicates = |name| feed.metrics.duplicates.with_label_values(&[name]).get();
    wait_for("120 frames won", || won("source-0") + won("source-1") == 120);
    wait_for("100 duplicates", || duplicates("source-0") + duplicates("source-1") == 100);
}

#[test]
fn why_a_source_is_not_reached_is_told() {
    let upstream = Upstream::bind();
    let address = upstream.address();
    drop(upstream);
    let feed = Feed::with_sources(&[address], |_| {});
    let told = format!(r#""last_error":"cannot connect to {address}: Connection refused (os error 111)""#);
    wait_for("it to be told, once", || feed.get("/sources").contains(&told));
}

#[test]
fn the_frames_come_out_as_they_came_in() {
    let feed = Feed::start(|_| {});
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut reader = subscribe(feed.address, &Wanted::all());
    let order = bytes_of(&tick_of(399_001, 2011, 1));
    let snapshot = snapshot(1, 1011, 20_260_105_093_000_000);
    primary.send_bytes(&order);
    primary.send_bytes(&snapshot);
    assert_eq!(reader.frame().unwrap(), order);
    assert_eq!(reader.frame().unwrap(), snapshot);
}

#[test]
fn nothing_is_missing_when_the_primary_is_killed_and_comes_back() {
    let feed = Feed::start(|_| {});
    let [mut primary, mut backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut reader = subscribe(feed.address, &Wanted::all());
    primary.publish(1, 1..=10);
    reader.expect_ticks(1, 1..=10);
    drop(primary);
    backup.publish(1, 1..=20);
    reader.expect_ticks(1, 11..=20);
    let mut primary = feed.upstreams[0].accept();
    drop(backup);
    primary.publish(1, 18..=30);
    reader.expect_ticks(1, 21..=30);
    let sessions = feed.metrics.source_sessions.with_label_values(&["source-0"]).get();
    assert_eq!(sessions, 2);
}

#[test]
fn a_hole_is_filled_by_the_other_source() {
    let feed = Feed::start(|_| {});
    let [mut primary, mut backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut reader = subscribe(feed.address, &Wanted::all());
    primary.publish(1, 1..=2);
    primary.publish(1, 6..=8);
    assert_eq!(backup.expect_resend_request(), (1, 3, 5));
    backup.publish(1, 3..=5);
    backup.send(&resend(1, 3, 5, ResendStatus::COMPLETE));
    reader.expect_ticks(1, 1..=8);
    wait_for("the gap to be counted", || feed.metrics.gaps.get() == 1);
    assert_eq!(feed.metrics.numbers_lost.get(), 0);
}

#[test]
fn a_hole_at_the_end_shows_by_the_channels_heartbeat() {
    let feed = Feed::start(|_| {});
    let [mut primary, mut backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut reader = subscribe(feed.address, &Wanted::all());
    primary.publish(1, 1..=2);
    primary.send(&channel_heartbeat(1, 4, false));
    assert_eq!(backup.expect_resend_request(), (1, 3, 4));
    backup.send(&resend(1, 3, 4, ResendStatus::UNAVAILABLE));
    assert_eq!(primary.expect_resend_request(), (1, 3, 4));
    primary.publish(1, 3..=4);
    reader.expect_ticks(1, 1..=4);
}

#[test]
fn what_no_source_has_is_declared_lost_and_the_channel_goes_on() {
    let feed = Feed::start(|_| {});
    let [mut primary, mut backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut reader = subscribe(feed.address, &Wanted::all());
    primary.publish(1, 1..=2);
    primary.publish(1, 6..=7);
    assert_eq!(backup.expect_resend_request(), (1, 3, 5));
    backup.send(&resend(1, 3, 5, ResendStatus::UNAVAILABLE));
    assert_eq!(primary.expect_resend_request(), (1, 3, 5));
    primary.send(&resend(1, 3, 5, ResendStatus::NO_PERMISSION));
    reader.expect_ticks(1, 1..=2);
    assert_eq!(reader.see(), Seen::Gap(1, 3, 5, GapReason::LOST_UPSTREAM));
    reader.expect_ticks(1, 6..=7);
    wait_for("3 numbers to be lost", || feed.metrics.numbers_lost.get() == 3);
    assert_eq!(feed.metrics.gaps_lost.get(), 1);

    // Who asks for them later gets the same answer.
    let mut late = subscribe(feed.address, &Wanted::from(1, 4));
    assert_eq!(late.see(), Seen::Gap(1, 3, 5, GapReason::LOST_UPSTREAM));
    late.expect_ticks(1, 6..=7);
}

#[test]
fn a_late_start_asks_for_the_day_from_its_open() {
    let feed = Feed::start(|config| {
        config.arbitration.from = FromName::Open;
        config.arbitration.ask_count_max = 60;
        // It is asked once, however long the answer takes.
        config.arbitration.retry_ms = DEADLINE.as_millis() as u64 / 2;
    });
    let [mut primary, mut backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut reader = subscribe(feed.address, &Wanted::all());
    primary.publish(1, 101..=105);
    assert_eq!(backup.expect_resend_request(), (1, 1, 60));
    backup.publish(1, 1..=60);
    assert_eq!(backup.expect_resend_request(), (1, 61, 100));
    backup.publish(1, 61..=100);
    reader.expect_ticks(1, 1..=105);
}

#[test]
fn in_standby_the_backup_is_used_when_the_primary_is_gone_and_nothing_is_missing() {
    let feed = Feed::start(|config| {
        config.arbitration.mode = ModeName::Standby;
        // That it is gone is why it is left, and not that this test is slow to bring its quotes.
        config.arbitration.standby.behind_ms = 3_600_000;
        config.arbitration.standby.silent_ms = 3_600_000;
    });
    let [mut primary, mut backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut reader = subscribe(feed.address, &Wanted::all());
    primary.publish(1, 1..=10);
    reader.expect_ticks(1, 1..=10);
    backup.publish(1, 1..=15);
    wait_for("the backup to be heard", || {
        feed.metrics.duplicates.with_label_values(&["source-1"]).get() == 10 && feed.metrics.held.get() == 5
    });
    drop(primary);
    reader.expect_ticks(1, 11..=15);
    wait_for("the failover to be counted", || feed.metrics.failovers.get() == 1);
}

#[test]
fn a_source_that_begins_again_is_ignored_and_counted() {
    let feed = Feed::start(|_| {});
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut reader = subscribe(feed.address, &Wanted::all());
    primary.publish(1, 1..=5);
    primary.publish(1, 1..=3);
    primary.publish(1, 6..=6);
    reader.expect_ticks(1, 1..=6);
    wait_for("regressions", || feed.metrics.regressed.with_label_values(&["source-0"]).get() == 3);
}

#[test]
fn the_newest_snapshot_wins_whoever_brings_it() {
    let feed = Feed::start(|_| {});
    let [mut primary, mut backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut reader = subscribe(feed.address, &Wanted::all());
    primary.send_bytes(&snapshot(1, 9, 100));
    assert_eq!(reader.see(), Seen::Snapshot(1, 100));
    backup.send_bytes(&snapshot(1, 9, 100));
    backup.send_bytes(&snapshot(1, 9, 103));
    assert_eq!(reader.see(), Seen::Snapshot(1, 103));
    primary.send_bytes(&snapshot(1, 9, 103));
    primary.send_bytes(&snapshot(2, 9, 101));
    assert_eq!(reader.see(), Seen::Snapshot(2, 101));
    let of = |outcome| feed.metrics.snapshots.with_label_values(&[outcome]).get();
    wait_for("snapshots", || (of("newest"), of("duplicate")) == (3, 2));
}

#[test]
fn a_source_that_sends_garbage_is_dropped_and_dialled_again() {
    let feed = Feed::start(|_| {});
    let [mut primary, mut backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut reader = subscribe(feed.address, &Wanted::all());
    primary.publish(1, 1..=3);
    let mut damaged = bytes_of(&tick(1, 4));
    damaged[20] ^= 1;
    primary.send_bytes(&damaged);
    assert_eq!(primary.see(), Seen::Logout("wrong checksum".to_owned()));
    let ended = feed.metrics.source_ended.with_label_values(&["source-0", "wrong checksum"]);
    wait_for("the source to be dropped", || ended.get() == 1);
    backup.publish(1, 1..=6);
    reader.expect_ticks(1, 1..=6);
    let mut primary = feed.upstreams[0].accept();
    primary.publish(1, 7..=7);
    reader.expect_ticks(1, 7..=7);
}

#[test]
fn bodies_that_are_not_what_their_type_says_drop_the_source_and_odd_values_are_counted() {
    let feed = Feed::start(|_| {});
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    primary.send_bytes(&{
        let mut unknown = Vec::new();
        wire::szse::frame::encode_with(777, &mut unknown, |_| Ok::<(), ()>(())).unwrap();
        unknown
    });
    primary.publish(1, 1..=1);
    primary.send(&tick(1, u64::MAX));
    primary.send(&tick(1, 1 << 60));
    let metrics = &feed.metrics;
    wait_for("odd values", || {
        (metrics.unknown_type.get(), metrics.bad_number.get(), metrics.implausible.get()) == (1, 1, 1)
    });
    primary.send_bytes(&{
        let mut short = Vec::new();
        wire::szse::frame::encode_with(300_192, &mut short, |_| Ok::<(), ()>(())).unwrap();
        short
    });
    let ended = metrics.source_ended.with_label_values(&["source-0", "wrong body length"]);
    wait_for("the source to be dropped", || ended.get() == 1);
    assert_eq!(primary.see(), Seen::Logout("wrong body length".to_owned()));
}

#[test]
fn quiet_channels_have_heartbeats_and_their_end_is_passed_on() {
    let feed = Feed::start(|config| config.log.channel_heartbeat_ms = 100);
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut reader = subscribe(feed.address, &Wanted::all());
    primary.publish(1, 1..=4);
    reader.expect_ticks(1, 1..=4);
    assert_eq!(reader.see_all(), Seen::ChannelHeartbeat(1, 4, false));
    primary.send(&channel_heartbeat(1, 4, true));
    while reader.see_all() != Seen::ChannelHeartbeat(1, 4, true) {}
}

#[test]
fn how_fresh_each_source_is_and_how_far_its_clock_is_off_can_be_seen() {
    let feed = Feed::start(|_| {});
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let clock = transport::Clock::start();
    let hour_us = 3_600_000_000;
    let of = |vec: &service::prometheus::IntGaugeVec, name| vec.with_label_values(&[name]).get();
    let mut number = 0;
    wait_for("the primary's clock, an hour ahead, to be known", || {
        number += 1;
        let ahead_ns = clock.wall_ns(clock.now_ns()) + hour_us * 1_000;
        let transact_time = Timestamp::from_unix_ns(ahead_ns as u64);
        primary.send(&TickOrder { transact_time, ..tick(1, number) });
        of(&feed.metrics.source_skew_us, "source-0") != 0
    });
    let skew_us = of(&feed.metrics.source_skew_us, "source-0");
    assert!((-hour_us - 1_000..-hour_us / 2).contains(&skew_us), "{skew_us}");
    let age_ms = |name| of(&feed.metrics.source_quote_age_ms, name);
    // The one that does not grow meanwhile first.
    let primary_ms = age_ms("source-0");
    assert!(age_ms("source-1") > primary_ms, "the backup has brought no quote at all");
    let shown = feed.get("/sources");
    assert!(shown.contains("\"skew_us\":-"), "{shown}");
    assert!(shown.contains("\"skew_us\":null"), "nothing is known of the backup's: {shown}");
}
