//! What memory no longer holds comes from disk, and the subscriber does not notice where one ends and the other begins.

use crate::support::*;
use feed::Config;
use feed::config::Retention;
use std::path::Path;
use tempfile::TempDir;
use wire::szse::code::ResendStatus;
use wire::szse::ext::{GapReason, SubscriptionMode};

/// More than a small log holds.
const COUNT: u64 = 3 * HELD;

fn keeping(folder: &Path) -> impl FnOnce(&mut Config) {
    let folder = folder.to_owned();
    move |config| {
        small_log(config);
        config.retention = Some(Retention { readers_max: 2, ..Retention::new(folder) });
    }
}

/// A feed that keeps the day in the folder, and its sources.
fn started(folder: &TempDir) -> (Feed, [Peer; 2]) {
    let feed = Feed::start(keeping(folder.path()));
    let sources = feed.sources();
    feed.wait_for_sources(2);
    (feed, sources)
}

/// Publishes no faster than the disk takes it: one that is left behind would stop.
fn publish(feed: &Feed, source: &mut Peer, numbers: std::ops::RangeInclusive<u64>) {
    let kept = || feed.metrics.retention_entries.get();
    for begin in numbers.clone().step_by(8_000) {
        let (end, before) = (numbers.end().min(&(begin + 7_999)).to_owned(), kept());
        source.publish(1, begin..=end);
        wait_for("the disk", || kept() > before + (end - begin));
    }
}

#[test]
fn a_subscriber_begins_at_the_open() {
    let folder = tempfile::tempdir().unwrap();
    let (feed, [mut primary, _backup]) = started(&folder);
    publish(&feed, &mut primary, 1..=COUNT);
    let mut reader = subscribe(feed.address, &Wanted::from(1, 1));
    reader.expect_ticks(1, 1..=COUNT);
    primary.publish(1, COUNT + 1..=COUNT + 10);
    reader.expect_ticks(1, COUNT + 1..=COUNT + 10);
    assert!(feed.metrics.retention_pieces.get() > 0);
}

/// While it reads the past, the present goes on, and another reader of the disk wants only one security of it.
#[test]
fn the_flow_goes_on_while_the_past_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (feed, [mut primary, _backup]) = started(&folder);
    publish(&feed, &mut primary, 1..=COUNT);
    let mut live = subscribe(feed.address, &Wanted::all());
    let mut past = subscribe(feed.address, &Wanted::from(1, 1));
    let mode = SubscriptionMode::SECURITIES;
    let mut one = subscribe(feed.address, &Wanted { mode, securities: vec![2], ..Wanted::from(1, 1) });
    let past = std::thread::spawn(move || past.expect_ticks(1, 1..=2 * COUNT + 1));
    for begin in (COUNT + 1..=2 * COUNT).step_by(4_000) {
        let end = (begin + 3_999).min(2 * COUNT);
        publish(&feed, &mut primary, begin..=end);
        live.expect_ticks(1, begin..=end);
    }
    primary.send(&tick_of(2, 1, 2 * COUNT + 1));
    live.expect_ticks(1, 2 * COUNT + 1..=2 * COUNT + 1);
    past.join().unwrap();
    assert_eq!(one.see(), Seen::Tick(1, 2 * COUNT + 1));
}

#[test]
fn a_resend_request_is_answered_from_disk_and_on_from_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (feed, [mut primary, _backup]) = started(&folder);
    publish(&feed, &mut primary, 1..=COUNT);
    let mut reader = log_on(feed.address);
    reader.send(&resend(1, 10, 5_000, ResendStatus::NONE));
    reader.expect_ticks(1, 10..=5_000);
    assert_eq!(reader.see(), Seen::Resend(10, ResendStatus::COMPLETE));
    let begin = COUNT - 90_000;
    reader.send(&resend(1, begin, COUNT, ResendStatus::NONE));
    reader.expect_ticks(1, begin..=COUNT);
    assert_eq!(reader.see(), Seen::Resend(begin, ResendStatus::COMPLETE));
    reader.send(&resend(2, 1, 5, ResendStatus::NONE));
    assert_eq!(reader.see(), Seen::Resend(1, ResendStatus::NONE), "nothing of it yet");
}

#[test]
fn a_feed_that_is_started_again_has_the_day_and_asks_for_what_it_missed() {
    let folder = tempfile::tempdir().unwrap();
    let (feed, [mut primary, _backup]) = started(&folder);
    publish(&feed, &mut primary, 1..=COUNT);
    drop(feed);
    let (feed, [mut primary, mut backup]) = started(&folder);
    primary.publish(1, COUNT + 4..=COUNT + 6);
    assert_eq!(backup.expect_resend_request(), (1, COUNT + 1, COUNT + 3));
    backup.publish(1, COUNT + 1..=COUNT + 3);
    let mut reader = subscribe(feed.address, &Wanted::from(1, 1));
    reader.expect_ticks(1, 1..=COUNT + 6);
    primary.publish(1, COUNT + 7..=COUNT + 9);
    reader.expect_ticks(1, COUNT + 7..=COUNT + 9);
}

/// Sources that count anew are another flow, whatever day it is.
#[test]
fn what_does_not_join_the_sources_numbers_is_discarded() {
    let folder = tempfile::tempdir().unwrap();
    let (feed, [mut primary, _backup]) = started(&folder);
    publish(&feed, &mut primary, 1..=COUNT);
    drop(feed);
    let (feed, [mut primary, _backup]) = started(&folder);
    publish(&feed, &mut primary, 1..=100);
    let mut reader = subscribe(feed.address, &Wanted::from(1, 1));
    reader.expect_ticks(1, 1..=100);
}

#[test]
fn what_is_nowhere_is_said_to_be_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let (feed, [mut primary, _backup]) = started(&folder);
    // The feed comes to the channel when it has begun.
    publish(&feed, &mut primary, 101..=100 + COUNT);
    let mut reader = subscribe(feed.address, &Wanted::from(1, 1));
    assert_eq!(reader.see(), Seen::Gap(1, 1, 100, GapReason::NO_LONGER_HELD));
    reader.expect_ticks(1, 101..=100 + COUNT);
}

/// Two may read from disk at a time. Those do not read on: neither they nor the system's buffers take what there is.
#[test]
fn one_more_than_may_read_from_disk_is_sent_away() {
    let folder = tempfile::tempdir().unwrap();
    let (feed, [mut primary, _backup]) = started(&folder);
    publish(&feed, &mut primary, 1..=8 * HELD);
    let mut reader = subscribe(feed.address, &Wanted::from(1, 1));
    let waits = subscribe(feed.address, &Wanted::from(1, 1));
    let mut third = subscribe(feed.address, &Wanted::from(1, 1));
    assert_eq!(third.see(), Seen::Closed);
    wait_for("the refusal", || feed.ended("too many read from disk") == 1);
    drop(waits);
    reader.expect_ticks(1, 1..=8 * HELD);
}
