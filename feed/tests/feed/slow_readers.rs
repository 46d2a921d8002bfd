//! A reader that stops reading: it costs what is configured, and the others nothing.

use crate::support::*;
use wire::szse::code::ResendStatus;
use wire::szse::ext::{GapReason, SlowReaderPolicy};

/// Far more than the sockets' buffers and the log hold.
const COUNT: u64 = 400_000;

fn small(config: &mut feed::Config) {
    config.listen.socket.send_buffer_bytes = 16_384;
    small_log(config);
}

#[test]
fn a_stalled_reader_is_disconnected_and_the_others_lose_nothing() {
    let feed = Feed::start(small);
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut stalled = subscribe(feed.address, &Wanted::all());
    let mut reader = subscribe(feed.address, &Wanted::all());
    primary.publish_and_read(&mut reader, COUNT);
    wait_for("the stalled reader's end", || feed.ended("slow reader") == 1);
    assert_eq!(feed.metrics.subscribers.get(), 1);
    // What it was sent before is in order, and then there is an end.
    let mut next = 1;
    while let Seen::Tick(1, number) = stalled.see() {
        assert_eq!(number, next);
        next += 1;
    }
    assert!(next < COUNT, "it was cut off");
}

#[test]
fn a_stalled_reader_that_wants_to_skip_is_told_what_it_missed() {
    let feed = Feed::start(small);
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let skip = Wanted { policy: SlowReaderPolicy::SKIP_WITH_NOTICE, ..Wanted::all() };
    let mut stalled = subscribe(feed.address, &skip);
    let mut reader = subscribe(feed.address, &Wanted::all());
    primary.publish_and_read(&mut reader, COUNT);
    let told = feed.metrics.skipped.get();
    assert!(told <= 1, "{told} notices for a reader that has taken none");
    let (mut next, mut skips) = (1, 0);
    while next <= COUNT {
        match stalled.see() {
            Seen::Tick(1, number) => {
                assert_eq!(number, next, "in order, none twice and none missing without a notice");
                next += 1;
            }
            Seen::Gap(1, begin, end, GapReason::SLOW_READER) => {
                // The notice may begin a little before what is missing, never after it.
                assert!(begin <= next && end >= next, "{begin}..={end} at {next}");
                next = end + 1;
                skips += 1;
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    assert!(skips > 0);
    wait_for("the count", || feed.metrics.skipped.get() == skips);
}

#[test]
fn a_reader_that_skips_gets_nothing_from_before_its_beginning() {
    let feed = Feed::start(small);
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut reader = subscribe(feed.address, &Wanted::all());
    primary.publish_and_read(&mut reader, 30_000);
    primary.publish(2, 1..=10);
    reader.expect_ticks(2, 1..=10);
    // Of channel 1 from the first number, of channel 2 from now on: that is behind what is let go of then.
    let skip = Wanted { policy: SlowReaderPolicy::SKIP_WITH_NOTICE, ..Wanted::from(1, 1) };
    let mut stalled = subscribe(feed.address, &skip);
    for begin in (30_001..=HELD + 10_000).step_by(5_000) {
        primary.publish(1, begin..=begin + 4_999);
        reader.expect_ticks(1, begin..=begin + 4_999);
    }
    // Where its last write ended within a frame it is told when it has taken the rest: when it reads on.
    primary.publish(2, 11..=11);
    let (mut next, mut skips) = (1, 0);
    loop {
        match stalled.see() {
            Seen::Tick(1, number) if number == next => next += 1,
            Seen::Gap(1, _, end, GapReason::SLOW_READER) => (next, skips) = (end + 1, skips + 1),
            Seen::Tick(2, 11) => break,
            other => panic!("unexpected {other:?} at {next}"),
        }
    }
    assert!(skips > 0);
}

#[test]
fn a_reader_that_does_not_take_its_resends_holds_no_more_than_its_limit() {
    let feed = Feed::start(|config| config.subscribers.out_bytes_max = 256 << 10);
    let [mut primary, _backup] = feed.sources();
    feed.wait_for_sources(2);
    let mut reader = subscribe(feed.address, &Wanted::all());
    let mut greedy = log_on(feed.address);
    primary.publish_and_read(&mut reader, COUNT);
    // 3 MB each: the kernel's buffers take a part of it only.
    const REQUESTS: usize = 10;
    let mut many = Vec::new();
    (0..REQUESTS).for_each(|_| many.extend(bytes_of(&resend(1, COUNT - 50_000, 0, ResendStatus::NONE))));
    greedy.send_bytes(&many);
    let waiting = |feed: &Feed| {
        let status = feed.get("/subscribers");
        let waiting = status
            .split("\"waiting_bytes\":")
            .skip(1)
            .map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse::<u64>().unwrap());
        waiting.max().unwrap()
    };
    wait_for("bytes to wait", || waiting(&feed) > 64 << 10);
    assert!(waiting(&feed) <= 256 << 10);
    // Once it reads, it gets all of it.
    for _ in 0..REQUESTS {
        greedy.expect_ticks(1, COUNT - 50_000..=COUNT);
        assert_eq!(greedy.see(), Seen::Resend(COUNT - 50_000, ResendStatus::COMPLETE));
    }
}
