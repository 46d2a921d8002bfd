//! A recorded day goes through a feed that keeps books, as fast as it goes, while its primary source is killed at random: each of
//! the exchange's snapshots is held against the book by the feed, and again by this test, which rebuilds the book in the plainest
//! way from what a subscriber received. Both counts are the same.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it should be")]
mod listener;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use listener::Listener;
use loadgen::due::Notes;
use loadgen::feeder::{Feeder, Replay, Speed};
use loadgen::house::{Feed, free_port};
use loadgen::schedule::Lag;
use loadgen::source::{self, Command};
use loadgen::ticks::snapshot::{Entry, LEVELS, Snapshot};
use loadgen::ticks::sse::Action;
use loadgen::ticks::{Day, Row};
use loadgen::wires::Wires;
use service::tls::Tls;
use transport::Clock;
use wire::szse::code::Side;
use wire::szse::ext::STREAM_BOOK;
use wire::szse::frame;
use wire::szse::market::Snapshot as Frame300111;

const DATE: u32 = 20_240_105;
/// The seed of the kills; without it one from the clock, which is printed.
const SEED: &str = "TONGDAO_SEED";

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

/// What became of the snapshots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Verdicts {
    /// All that they show is there at one tick.
    agreed: u64,
    /// The same of an auction: what trades at its price and what is left.
    auctions: u64,
    /// They show no level.
    empty: u64,
    /// None of these.
    differ: u64,
}

/// A book as plain as can be: all orders, and for each side the sums by price.
#[derive(Default)]
struct Plain {
    /// Side, price and quantity by number.
    orders: HashMap<i64, (usize, i64, i64)>,
    /// Quantity and orders of sells (0) and buys (1), as `Snapshot::levels` has them, by price.
    sides: [BTreeMap<i64, (i64, i64)>; 2],
    trades: i64,
    volume: i64,
}

impl Plain {
    fn add(&mut self, side: usize, price: i64, quantity: i64, orders: i64) {
        let level = self.sides[side].entry(price).or_default();
        *level = (level.0 + quantity, level.1 + orders);
        if *level == (0, 0) {
            self.sides[side].remove(&price);
        }
    }

    fn reduce(&mut self, number: i64, quantity: i64) {
        let Some((side, price, left)) = self.orders.get_mut(&number) else { return };
        *left -= quantity;
        assert!(*left >= 0, "order {number} has less than it trades");
        let (side, price, gone) = (*side, *price, *left == 0);
        if gone {
            self.orders.remove(&number);
        }
        self.add(side, price, -quantity, -i64::from(gone));
    }

    fn apply(&mut self, row: &Row) {
        match row {
            Row::SseEntrust(row) if row.action == Action::Add => {
                let side = usize::from(row.side == Side::BUY);
                let (price, quantity) = (row.price.raw(), row.balance.raw());
                assert!(self.orders.insert(row.order_no, (side, price, quantity)).is_none());
                self.add(side, price, quantity, 1);
            }
            Row::SseEntrust(row) => self.reduce(row.order_no, row.balance.raw()),
            Row::SseTrade(row) => {
                self.trades += 1;
                self.volume += row.volume.raw();
                self.reduce(row.buy_no, row.volume.raw());
                self.reduce(row.sell_no, row.volume.raw());
            }
            _ => panic!("not of Shanghai"),
        }
    }

    /// The ten best levels of a side: price, quantity, orders.
    fn best(&self, side: usize) -> Vec<(i64, i64, i64)> {
        let level = |(price, (quantity, orders)): (&i64, &(i64, i64))| (*price, *quantity, *orders);
        match side {
            0 => self.sides[0].iter().map(level).take(LEVELS).collect(),
            _ => self.sides[1].iter().rev().map(level).take(LEVELS).collect(),
        }
    }

    /// What is wanted at a price: of sells and of buys.
    fn reach(&self, price: i64) -> [i64; 2] {
        let sum =
            |levels: &mut dyn Iterator<Item = (&i64, &(i64, i64))>| levels.map(|(_, level)| level.0).sum();
        [sum(&mut self.sides[0].range(..=price)), sum(&mut self.sides[1].range(price..))]
    }
}

/// What a snapshot shows.
enum Shown {
    Nothing,
    Levels([Vec<(i64, i64, i64)>; 2]),
    /// Price, what trades, and what is left of sells and of buys.
    Auction(i64, i64, [i64; 2]),
}

fn shown(snapshot: &Snapshot) -> Shown {
    let price = |entry: &Entry| entry.px.to_price().unwrap().raw();
    let side = |side: usize| {
        let entries = snapshot.levels.iter().filter_map(move |level| level[side]);
        entries.map(|entry| (price(&entry), entry.size.raw(), entry.orders)).collect::<Vec<_>>()
    };
    let sides = [side(0), side(1)];
    let first = |side: usize| sides[side].first().copied().unwrap_or_default();
    if first(0).0 > 0 && first(0).0 == first(1).0 {
        let left = |side: usize| sides[side].get(1).map_or(0, |level| level.1);
        return Shown::Auction(first(0).0, first(0).1, [left(0), left(1)]);
    }
    let sides = sides.map(|side| side.into_iter().filter(|level| level.0 > 0).collect::<Vec<_>>());
    if sides.iter().all(Vec::is_empty) { Shown::Nothing } else { Shown::Levels(sides) }
}

/// Holds each snapshot of what a subscriber received against the plain book at every tick with its trades and its volume.
fn verdicts(mut bytes: &[u8]) -> (Verdicts, u64) {
    let (mut ticks, mut snapshots, mut of_books) = (Vec::new(), Vec::new(), 0);
    while let Some(frame) = frame::decode(bytes, frame::BODY_LEN_MAX).unwrap() {
        bytes = &bytes[frame.bytes.len()..];
        if let Ok(snapshot) = frame.group::<Frame300111<'_>>()
            && snapshot.head.md_stream_id == STREAM_BOOK
        {
            of_books += 1;
            continue;
        }
        match Row::from_frame(&frame).unwrap() {
            Row::Snapshot(snapshot) => snapshots.push(snapshot),
            tick => ticks.push(tick),
        }
    }
    let mut open: HashMap<(i64, i64), Vec<Shown>> = HashMap::new();
    let mut verdicts = Verdicts::default();
    for snapshot in &snapshots {
        match shown(snapshot) {
            Shown::Nothing => verdicts.empty += 1,
            shown => open.entry((snapshot.trades, snapshot.volume.raw())).or_default().push(shown),
        }
    }
    let mut plain = Plain::default();
    for tick in &ticks {
        plain.apply(tick);
        let Some(here) = open.get_mut(&(plain.trades, plain.volume)) else { continue };
        here.retain(|shown| {
            let (agrees, count) = match shown {
                Shown::Levels(sides) => {
                    ((0..2).all(|side| plain.best(side) == sides[side]), &mut verdicts.agreed)
                }
                Shown::Auction(price, volume, [sells_left, buys_left]) => {
                    let [sells, buys] = plain.reach(*price);
                    let agrees = sells.min(buys) == *volume && buys - sells == buys_left - sells_left;
                    (agrees, &mut verdicts.auctions)
                }
                Shown::Nothing => return false,
            };
            *count += u64::from(agrees);
            !agrees
        });
    }
    verdicts.differ = open.values().map(|left| left.len() as u64).sum();
    (verdicts, of_books)
}

/// A day of one security: how many snapshots it has, what a feed made of them, and what this test makes of them.
struct Outcome {
    rows: u64,
    identical: u64,
    by_feed: Verdicts,
    /// What the feed says besides: levels agreed but not totals, not compared.
    others: [u64; 2],
    by_test: Verdicts,
    published: u64,
}

fn through_a_feed(folder: &Path, kill_after: u64) -> Outcome {
    let mut day = Day::open(folder, Some(DATE)).unwrap();
    let (mut last, mut frame) = (Vec::new(), Vec::new());
    let (mut identical, mut at_time) = (0, Vec::new());
    while let Some(tick) = day.next(&mut frame) {
        if tick.number == 0 {
            at_time.retain(|(time, _): &(_, Vec<u8>)| *time == tick.time);
            identical += u64::from(at_time.iter().any(|(_, before)| *before == frame));
            at_time.push((tick.time, frame.clone()));
        }
        std::mem::swap(&mut last, &mut frame);
        frame.clear();
    }
    let ((channel, ticks), rows) = (day.channels().next().unwrap(), day.counts().snapshots);

    let clock = Clock::start();
    let sources =
        source::start(clock, &[free_port(), free_port()], source::COMP_ID, &Tls::default()).unwrap();
    let named = [("primary", sources.addresses[0]), ("backup", sources.addresses[1])];
    let feed = Feed::start_as(&named, source::COMP_ID, &Wires::plain(), |config| {
        let publish_interval_ms = 20;
        config.book = Some(feed::book::BookConfig { publish_interval_ms, ..Default::default() });
    })
    .unwrap();
    wait_for("the feed", || sources.counters.sessions.load(Ordering::Relaxed) == 2);
    let listener = Listener::subscribe(feed.address, "listener", channel);
    let replay = Replay::new(
        Day::open(folder, Some(DATE)).unwrap(),
        Speed::Full(Vec::new()),
        clock.now_ns(),
        Arc::new(Notes::default()),
        Lag::new(0),
    );
    let feeder = Box::new(Feeder::Day(Box::new(replay)));
    let start = Command::Start { feeder, kill_after: Some(kill_after) };
    assert!(sources.running.handle().send(start).is_ok());
    let heard = listener.listen(ticks as usize, |bytes| bytes == last);
    assert!(sources.counters.killed_ns.load(Ordering::Relaxed) > 0, "the primary was killed on the way");
    assert_eq!(heard.numbers, (1..=ticks).map(|number| (channel, number)).collect::<Vec<_>>());

    let check = |outcome| feed.meters.of_label("feed_book_checks_total", outcome) as u64;
    wait_for("the books", || feed.meters.sum("feed_book_checks_total") as u64 == rows - identical);
    wait_for("a snapshot of a book", || feed.meters.sum("feed_book_published_total") > 0.0);
    assert_eq!(feed.meters.sum("feed_book_ticks_total") as u64, ticks);
    let by_feed = Verdicts {
        agreed: check("agreed"),
        auctions: check("auction agreed"),
        empty: check("empty"),
        differ: check("diverged") + check("auction differs"),
    };
    let others = [check("levels agreed"), check("not compared")];
    let published = feed.meters.sum("feed_book_published_total") as u64;
    feed.stop().unwrap();
    sources.running.handle().stop();
    sources.running.join().unwrap();
    let (by_test, _) = verdicts(&heard.bytes);
    Outcome { rows, identical, by_feed, others, by_test, published }
}

#[test]
fn a_real_day_agrees_with_its_book() {
    let Some(folder) = std::env::var_os("TONGDAO_TICKS").map(PathBuf::from) else {
        eprintln!(
            "skipped: set TONGDAO_TICKS to a folder with entrust.csv, trade.csv and snapshot.csv of a real day"
        );
        return;
    };
    let of_clock = || u64::try_from(Clock::start().wall_ns(0)).unwrap();
    let seed = std::env::var(SEED).map_or_else(|_| of_clock(), |seed| seed.parse().unwrap());
    // A step of a linear congruential generator; any spread does.
    let kill_after = 1_000 + seed.wrapping_mul(6_364_136_223_846_793_005) % 60_000;
    eprintln!("{SEED}={seed}: the primary is killed after {kill_after} ticks");
    let Outcome { rows, identical, by_feed, others, by_test, published } =
        through_a_feed(&folder, kill_after);
    eprintln!(
        "{rows} snapshots, {identical} of them identical to another; by the feed {by_feed:?}, {others:?} (levels alone, not \
         compared); by this test {by_test:?}; {published} made of the book"
    );
    assert_eq!(by_feed, by_test, "the feed's count is that of a plain rebuild");
    assert_eq!(others, [0, 0], "totals of all levels agree too, and each snapshot was compared");
    assert_eq!((by_feed.differ, by_feed.agreed + by_feed.auctions + by_feed.empty), (0, rows - identical));
}
