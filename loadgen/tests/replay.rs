//! A recorded day goes through a feed with two sources, one of which is killed half way, and comes out at every
//! subscriber: each number once, in order, each value as it was recorded.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it should be")]
mod listener;
mod recorded;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use listener::Listener;
use loadgen::due::Notes;
use loadgen::feeder::{Feeder, Replay, Speed};
use loadgen::house::{Feed, free_port};
use loadgen::schedule::Lag;
use loadgen::source::{self, Command, Sources};
use loadgen::ticks::{Day, Row};
use loadgen::wires::Wires;
use service::tls::Tls;
use transport::Clock;
use wire::szse::frame;

const SUBSCRIBERS: usize = 10;
const DATE: u32 = 20_240_105;

/// Rates at which nothing is overrun, whatever the machine.
const SPEED: f64 = 5_000.0;

fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
    // Minutes of patience for what takes a moment; no time is asserted.
    for _ in 0..12_000 {
        if there() {
            return;
        }
        thread::park_timeout(std::time::Duration::from_millis(10));
    }
    panic!("{what} did not come");
}

fn play(sources: &Sources, clock: Clock, folder: &Path, kill_after: u64) {
    let day = Day::open(folder, Some(DATE)).unwrap();
    let notes = Arc::new(Notes::default());
    let replay = Replay::new(day, Speed::Times(SPEED), clock.now_ns(), notes, Lag::new(0));
    let feeder = Box::new(Feeder::Day(Box::new(replay)));
    let start = Command::Start { feeder, kill_after: Some(kill_after) };
    assert!(sources.running.handle().send(start).is_ok());
}

/// All frames of the day, as the sources send them.
fn script(folder: &Path) -> (Vec<Vec<u8>>, u16, u64) {
    let mut day = Day::open(folder, Some(DATE)).unwrap();
    let (mut frames, mut frame) = (Vec::new(), Vec::new());
    while day.next(&mut frame).is_some() {
        frames.push(std::mem::take(&mut frame));
    }
    let (channel, last) = day.channels().next().unwrap();
    (frames, channel, last)
}

fn through_a_feed(folder: &Path) {
    let (frames, channel, last) = script(folder);
    let clock = Clock::start();
    let sources =
        source::start(clock, &[free_port(), free_port()], source::COMP_ID, &Tls::default()).unwrap();
    let named = [("primary", sources.addresses[0]), ("backup", sources.addresses[1])];
    let feed = Feed::start(&named, source::COMP_ID, &Wires::plain()).unwrap();
    wait_for("the feed", || sources.counters.sessions.load(Ordering::Relaxed) == 2);
    let closing = frames.last().unwrap();
    let heard: Vec<_> = thread::scope(|scope| {
        let listeners: Vec<_> = (0..SUBSCRIBERS)
            .map(|number| Listener::subscribe(feed.address, &format!("listener-{number}"), channel))
            .collect();
        play(&sources, clock, folder, last / 2);
        let threads: Vec<_> = listeners
            .into_iter()
            .map(|listener| scope.spawn(|| listener.listen(last as usize, |bytes| bytes == closing)))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(sources.counters.killed_ns.load(Ordering::Relaxed) > 0, "the primary was killed on the way");
    for heard in &heard {
        let wanted: Vec<_> = (1..=last).map(|number| (channel, number)).collect();
        assert_eq!(heard.numbers, wanted, "every number once, in order");
        compare(folder, &heard.bytes);
    }
    feed.stop().unwrap();
    sources.running.handle().stop();
    sources.running.join().unwrap();
}

/// Holds what a subscriber received against the files. A snapshot that repeats the one before it in all that is sent
/// is one snapshot: the second source's copy looks the same.
fn compare(folder: &Path, mut bytes: &[u8]) {
    let mut wanted = recorded::Day::read(folder);
    let mut repeated = 0;
    while let Some(frame) = frame::decode(bytes, frame::BODY_LEN_MAX).unwrap() {
        let row = Row::from_frame(&frame).unwrap();
        wanted.expect(&row);
        if let Row::Snapshot(_) = &row {
            while wanted.next_is(&row) {
                wanted.expect(&row);
                repeated += 1;
            }
        }
        bytes = &bytes[frame.bytes.len()..];
    }
    assert_eq!(wanted.left(), [0; 3]);
    assert!(repeated <= 1, "{repeated} snapshots repeat the one before them");
}

#[test]
fn the_sample_comes_out_of_a_feed_as_it_was_recorded() {
    through_a_feed(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sse/20240105"));
}

#[test]
fn a_real_day_comes_out_of_a_feed_as_it_was_recorded() {
    let Some(folder) = std::env::var_os("TONGDAO_TICKS") else {
        eprintln!(
            "skipped: set TONGDAO_TICKS to a folder with entrust.csv, trade.csv and snapshot.csv of a real day"
        );
        return;
    };
    through_a_feed(&PathBuf::from(folder));
}
