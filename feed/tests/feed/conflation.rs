//! A reader that wants the newest of each security: however slowly it reads, what it is given is as new as it can be, and
//! what it is not given it is told of.

use crate::support::*;
use std::collections::BTreeMap;
use wire::szse::ext::{GapReason, SlowReaderPolicy, SubscriptionMode};
use wire::szse::frame;

/// Ticks in one block; with it comes a snapshot of each security.
const BLOCK: u64 = 4_000;
/// Far more than the sockets' buffers and the log hold.
const BLOCKS: u64 = 100;
const SECURITIES: u32 = 20;
const CONFLATE_BEHIND_COUNT: u64 = 1_000;

fn small(config: &mut feed::Config) {
    config.listen.socket.send_buffer_bytes = 16_384;
    config.subscribers.conflate_behind_count = CONFLATE_BEHIND_COUNT;
    small_log(config);
}

fn conflating() -> Wanted {
    Wanted { policy: SlowReaderPolicy::CONFLATE, ..Wanted::all() }
}

/// Block `number`, from 1: its ticks in channel 1, then the securities' snapshots of the time `number`.
fn publish(primary: &mut Peer, number: u64) {
    let mut bytes = Vec::new();
    let first = (number - 1) * BLOCK + 1;
    (first..first + BLOCK).for_each(|number| frame::encode(&tick(1, number), &mut bytes));
    (1..=SECURITIES).for_each(|security| bytes.extend(snapshot(security, 9, number as i64)));
    primary.send_bytes(&bytes);
}

/// The same in step with a reader that keeps up.
fn publish_and_read(primary: &mut Peer, reader: &mut Peer, number: u64) {
    publish(primary, number);
    let first = (number - 1) * BLOCK + 1;
    reader.expect_ticks(1, first..=first + BLOCK - 1);
    for security in 1..=SECURITIES {
        assert_eq!(reader.see(), Seen::Snapshot(security, number as i64));
    }
}

/// What a conflated reader has, held to what it was promised.
#[derive(Default)]
struct Account {
    /// The number in channel 1 that it neither has nor was told of.
    next: u64,
    /// The time of each security's last snapshot.
    times: BTreeMap<u32, i64>,
    snapshots: u64,
    notices: u64,
}

impl Account {
    fn new() -> Self {
        Self { next: 1, ..Self::default() }
    }

    fn take(&mut self, seen: &Seen) {
        match *seen {
            Seen::Tick(1, number) => {
                assert_eq!(number, self.next, "in order, none twice and none missing without a notice");
                self.next += 1;
            }
            Seen::Gap(1, begin, end, GapReason::SLOW_READER) => {
                // The notice may begin a little before what is missing, never after it.
                assert!(begin <= self.next && end + 1 >= self.next, "{begin}..={end} at {}", self.next);
                self.next = end + 1;
                self.notices += 1;
            }
            Seen::Snapshot(security, time) => {
                let before = self.times.insert(security, time).unwrap_or(0);
                assert!(before <= time, "security {security} goes back from {before} to {time}");
                self.snapshots += 1;
            }
            ref other => panic!("unexpected {other:?}"),
        }
    }

    /// Whether all of these blocks' ticks and the last of their snapshots are accounted for.
    fn has(&self, blocks: u64, securities: usize) -> bool {
        let newest = |(_, time): (&u32, &i64)| *time == blocks as i64;
        self.next > blocks * BLOCK && self.times.len() == securities && self.times.iter().all(newest)
    }

    fn read_on(&mut self, peer: &mut Peer, blocks: u64, securities: usize) {
        while !self.has(blocks, securities) {
            self.take(&peer.see());
        }
    }
}

/// Three readers stand still, while one that reads loses nothing; then they go on with the present.
fn stand_still_on(shards: usize) {
    let feed = Feed::start(|config| {
        small(config);
        config.listen.shards = shards;
    });
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut still: Vec<Peer> = (0..3).map(|_| subscribe(feed.address, &conflating())).collect();
    let mut reader = subscribe(feed.address, &Wanted::all());
    (1..=BLOCKS).for_each(|number| publish_and_read(&mut primary, &mut reader, number));
    wait_for("conflation", || feed.metrics.conflated.get() >= 3);
    assert!(feed.get("/subscribers").contains("\"conflated\""));
    for peer in &mut still {
        let mut account = Account::new();
        account.read_on(peer, BLOCKS, SECURITIES as usize);
        assert!(account.notices > 0);
        assert!(account.snapshots < BLOCKS * u64::from(SECURITIES), "not all that there were");
    }
    // Each of them is back, and misses nothing any more. They are read one after the other here, so what comes now must be
    // less than what a reader may be behind by.
    wait_for("the way back", || !feed.get("/subscribers").contains("\"conflated\""));
    let first = BLOCKS * BLOCK + 1;
    let last = first + CONFLATE_BEHIND_COUNT / 2;
    (first..=last).for_each(|number| primary.send(&tick(1, number)));
    for peer in &mut still {
        peer.expect_ticks(1, first..=last);
    }
    assert_eq!(feed.ended("slow reader"), 0);
}

#[test]
fn who_stands_still_gets_the_newest_of_each_security_and_then_the_present() {
    stand_still_on(1);
}

#[test]
fn on_several_shards_too() {
    stand_still_on(2);
}

#[test]
fn who_is_always_too_slow_never_goes_back_in_time() {
    let feed = Feed::start(small);
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut slow = subscribe(feed.address, &conflating());
    let mut reader = subscribe(feed.address, &Wanted::all());
    let mut account = Account::new();
    for number in 1..=2 * BLOCKS {
        publish_and_read(&mut primary, &mut reader, number);
        // A tenth of what comes.
        (0..BLOCK / 10).for_each(|_| {
            if !account.has(number, SECURITIES as usize) {
                account.take(&slow.see());
            }
        });
    }
    account.read_on(&mut slow, 2 * BLOCKS, SECURITIES as usize);
    assert!(account.notices > 1);
    assert!(feed.metrics.conflated.get() > 0);
    assert!(feed.metrics.conflated_snapshots.get() > 0);
    assert_eq!(feed.ended("slow reader"), 0);
}

#[test]
fn who_wants_a_few_securities_is_given_those_alone() {
    let feed = Feed::start(small);
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let two = Wanted { mode: SubscriptionMode::SECURITIES, securities: vec![1, 2], ..conflating() };
    let mut still = subscribe(feed.address, &two);
    let mut reader = subscribe(feed.address, &Wanted::all());
    (1..=BLOCKS).for_each(|number| publish_and_read(&mut primary, &mut reader, number));
    wait_for("conflation", || feed.metrics.conflated.get() >= 1);
    let mut account = Account::new();
    account.read_on(&mut still, BLOCKS, 2);
    assert_eq!(account.times.keys().copied().collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn who_comes_late_begins_with_the_newest_and_is_told_of_nothing_missing() {
    let feed = Feed::start(small);
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut reader = subscribe(feed.address, &Wanted::all());
    publish_and_read(&mut primary, &mut reader, 1);
    let mut late = subscribe(feed.address, &Wanted { snapshots: true, ..conflating() });
    for security in 1..=SECURITIES {
        assert_eq!(late.see(), Seen::Snapshot(security, 1));
    }
    wait_for("the log", || !feed.get("/subscribers").contains("\"conflated\""));
    publish(&mut primary, 2);
    late.expect_ticks(1, BLOCK + 1..=2 * BLOCK);
    assert_eq!(feed.metrics.conflated.get(), 0);
}

#[test]
fn who_asks_for_something_else_meanwhile_gets_that() {
    let feed = Feed::start(small);
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut still = subscribe(feed.address, &conflating());
    let mut reader = subscribe(feed.address, &Wanted::all());
    (1..=BLOCKS).for_each(|number| publish_and_read(&mut primary, &mut reader, number));
    wait_for("conflation", || feed.metrics.conflated.get() >= 1);
    still.request(&Wanted { mode: SubscriptionMode::NONE, ..conflating() });
    wait_for("the request", || feed.get("/subscribers").contains("\"idle\""));
    publish_and_read(&mut primary, &mut reader, BLOCKS + 1);
    still.request(&Wanted::from(2, 1));
    primary.publish(2, 1..=1);
    loop {
        match still.see() {
            Seen::Tick(2, 1) => break,
            Seen::Tick(_, number) => assert!(number <= BLOCKS * BLOCK),
            _ => {}
        }
    }
}
