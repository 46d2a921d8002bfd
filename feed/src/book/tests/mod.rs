//! Books against a small exchange that is written as plainly as can be.

mod model;

use super::books::{Books, Limits};
use super::depth::Side;
use super::publish::Publication;
use super::security::{Book, State};
use super::tally::Outcome;
use flow::Tag;
use model::{CHANNEL, Exchange, KEY, Levels, Out, Style, take};
use proptest::prelude::*;
use wire::szse::code::MdEntryType;
use wire::szse::ext::STREAM_BOOK;
use wire::szse::market::{Snapshot, SnapshotEntry};
use wire::szse::{MdEntryPx, frame};

fn book(books: &Books) -> &Book {
    books.each().next().expect("a book")
}

fn levels(books: &Books, side: Side) -> Levels {
    book(books).depth.levels(side).map(|(price, level)| (price, level.quantity, level.orders)).collect()
}

/// Quantities alone, of the best ten: what a book that was healed claims.
fn best_ten(levels: &Levels) -> Vec<(i64, i64)> {
    levels.iter().take(10).map(|(price, quantity, _)| (*price, *quantity)).collect()
}

fn count(books: &Books, outcome: Outcome) -> u64 {
    book(books).outcomes[outcome as usize]
}

/// What the outcomes came to, without those that did not happen.
fn outcomes(books: &Books) -> Vec<(&'static str, u64)> {
    let all = Outcome::ALL.iter().map(|(outcome, name)| (*name, count(books, *outcome)));
    all.filter(|(_, count)| *count > 0).collect()
}

/// What somebody does at the exchange.
#[derive(Clone, Debug)]
enum Act {
    Limit(bool, i64, i64),
    Market(bool, i64),
    OwnBest(bool, i64),
    Cancel(usize),
    /// A snapshot, which arrives so many ticks too late, or too early.
    Snapshot(isize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => (any::<bool>(), 95..106_i64, 1..5_i64).prop_map(|(buys, price, quantity)| Act::Limit(buys, price, quantity)),
        1 => (any::<bool>(), 1..9_i64).prop_map(|(buys, quantity)| Act::Market(buys, quantity)),
        1 => (any::<bool>(), 1..5_i64).prop_map(|(buys, quantity)| Act::OwnBest(buys, quantity)),
        3 => any::<usize>().prop_map(Act::Cancel),
        2 => (-3..9_isize).prop_map(Act::Snapshot),
    ];
    proptest::collection::vec(act, 1..200)
}

/// A day of it; each snapshot where it arrives, and how many of them there are.
fn day(style: Style, acts: &[Act]) -> (Exchange, u64) {
    let mut exchange = Exchange::new(style);
    let mut snapshots: Vec<(usize, isize, Out)> = Vec::new();
    for act in acts {
        exchange.wait(20);
        match *act {
            Act::Limit(buys, price, quantity) => exchange.limit(buys, price, quantity),
            Act::Market(buys, quantity) if style == Style::Shenzhen => exchange.market(buys, quantity),
            Act::OwnBest(buys, quantity) if style == Style::Shenzhen => exchange.own_best(buys, quantity),
            Act::Market(..) | Act::OwnBest(..) => {}
            Act::Cancel(which) => exchange.cancel(which),
            // One at a tick; and with nothing on either side there is nothing to be held against the book.
            Act::Snapshot(_) if snapshots.last().is_some_and(|last| last.0 == exchange.out.len()) => {}
            Act::Snapshot(_) if exchange.levels(true).is_empty() && exchange.levels(false).is_empty() => {}
            Act::Snapshot(late) => {
                let at = exchange.out.len();
                exchange.snapshot(false);
                snapshots.push((at, late, exchange.out.pop().unwrap()));
            }
        }
    }
    // What is left of a market order is known when something else happens.
    exchange.limit(true, 1, 1);
    let count = snapshots.len() as u64;
    // They stay in their order, behind the first tick: of those before it only the last one waits.
    let mut at_least = 1;
    for (before, (at, late, snapshot)) in snapshots.into_iter().enumerate() {
        let place = (at.saturating_add_signed(late) + before).max(at_least).min(exchange.out.len());
        exchange.out.insert(place, snapshot);
        at_least = place + 1;
    }
    (exchange, count)
}

proptest! {
    #[test]
    fn the_book_is_the_exchanges_and_agrees_with_every_snapshot(
        acts in acts(), style in prop_oneof![Just(Style::Shenzhen), Just(Style::Shanghai)]
    ) {
        let (exchange, snapshots) = day(style, &acts);
        let mut books = Books::new(Limits::default());
        take(&mut books, &exchange.out);
        prop_assert_eq!(book(&books).state, State::Whole);
        prop_assert_eq!(levels(&books, Side::Buy), exchange.levels(true));
        prop_assert_eq!(levels(&books, Side::Sell), exchange.levels(false));
        prop_assert_eq!(count(&books, Outcome::Agreed), snapshots, "{:?}", outcomes(&books));
    }

    #[test]
    fn a_hole_is_healed_by_the_snapshots_after_it(
        acts in acts(), more in acts(), style in prop_oneof![Just(Style::Shenzhen), Just(Style::Shanghai)],
        hole in 1..40_usize, at in any::<prop::sample::Index>()
    ) {
        let all: Vec<Act> = acts.into_iter().chain(more).collect();
        let (mut exchange, _) = day(style, &all);
        let at = at.index(exchange.out.len());
        let until = (at + hole).min(exchange.out.len());
        let goes_on = exchange.out[until..].iter().any(|out| matches!(out, Out::Tick(..)));
        let lost = exchange.out.drain(at..until).filter(|out| matches!(out, Out::Tick(..))).count();
        // A quiet time, in which snapshots come.
        for _ in 0..7 {
            exchange.wait(3_000);
            exchange.snapshot(false);
        }
        let mut books = Books::new(Limits::default());
        take(&mut books, &exchange.out);
        // What is missing at the end shows when something follows.
        if lost == 0 || !goes_on {
            return Ok(());
        }
        prop_assert!(book(&books).is_claimed(), "{:?}", book(&books).state);
        for (side, buys) in [(Side::Buy, true), (Side::Sell, false)] {
            prop_assert_eq!(best_ten(&levels(&books, side)), best_ten(&exchange.levels(buys)));
        }
    }

    #[test]
    fn an_auction_comes_to_what_its_snapshots_say(
        orders in proptest::collection::vec((any::<bool>(), 95..106_i64, 1..5_i64, any::<bool>()), 1..60),
        style in prop_oneof![Just(Style::Shenzhen), Just(Style::Shanghai)]
    ) {
        let mut exchange = Exchange::new(style);
        let (mut shown, mut empty) = (0, 1);
        exchange.snapshot(true);
        for (buys, price, quantity, snapshot) in orders {
            exchange.collect(buys, price, quantity);
            if snapshot {
                *(if exchange.outcome().is_some() { &mut shown } else { &mut empty }) += 1;
                exchange.snapshot(true);
            }
        }
        exchange.uncross();
        exchange.snapshot(false);
        let mut books = Books::new(Limits::default());
        take(&mut books, &exchange.out);
        prop_assert_eq!(levels(&books, Side::Buy), exchange.levels(true));
        prop_assert_eq!(levels(&books, Side::Sell), exchange.levels(false));
        prop_assert_eq!((count(&books, Outcome::Auction), count(&books, Outcome::AuctionDiffers)), (shown, 0));
        let left = u64::from(!exchange.levels(true).is_empty() || !exchange.levels(false).is_empty());
        prop_assert_eq!((count(&books, Outcome::Agreed), count(&books, Outcome::Empty)), (left, empty + 1 - left));
    }

    #[test]
    fn no_bytes_in_the_log_stop_the_books(
        frames in proptest::collection::vec((any::<u16>(), 0..50_u64, 0..4_u32, proptest::collection::vec(any::<u8>(), 0..200)), 0..50)
    ) {
        let mut books = Books::new(Limits::default());
        for (lane, number, key, bytes) in frames {
            books.take(Tag { lane, number, key }, &bytes);
        }
    }
}

/// Some orders on both sides, and a snapshot of them.
fn quiet(style: Style) -> Exchange {
    let mut exchange = Exchange::new(style);
    exchange.snapshot(false);
    for price in 0..12 {
        exchange.limit(true, 100 - price, 5);
        exchange.limit(false, 101 + price, 5);
    }
    exchange.wait(3_000);
    exchange.snapshot(false);
    exchange
}

/// Changes a message of what was published.
fn forge(out: &mut Out, change: impl FnOnce(&mut [u8])) {
    let (Out::Tick(_, bytes) | Out::Snapshot(bytes)) = out;
    change(bytes);
    let end = bytes.len() - frame::TRAILER_LEN;
    let sum = bytes[..end].iter().fold(0_u32, |sum, byte| (sum + u32::from(*byte)) % 256);
    bytes[end..].copy_from_slice(&sum.to_be_bytes());
}

#[test]
fn a_book_that_differs_is_set_right_by_the_snapshot() {
    let mut exchange = quiet(Style::Shenzhen);
    // A level of the snapshot has more than the ticks say: 101 sold 5, and the snapshot says 9.
    let mut snapshot = exchange.out.pop().unwrap();
    let entries = frame::HEADER_LEN + 65 + 4;
    let first_ask = entries + 11 * (28 + 4);
    forge(&mut snapshot, |bytes| bytes[first_ask + 10..][..8].copy_from_slice(&9_i64.to_be_bytes()));
    exchange.out.push(snapshot);
    let mut books = Books::new(Limits::default());
    take(&mut books, &exchange.out);
    assert_eq!(outcomes(&books), [("empty", 1)], "it waits: the tick may be on its way");
    let begin = exchange.out.len();
    exchange.wait(6_000);
    exchange.limit(true, 50, 1);
    take(&mut books, &exchange.out[begin..]);
    assert_eq!(outcomes(&books), [("empty", 1), ("diverged", 1)]);
    assert_eq!(book(&books).state, State::Healed);
    assert_eq!(levels(&books, Side::Sell)[0], (101, 9, 1));
    assert_eq!(levels(&books, Side::Buy), exchange.levels(true), "the rest stays, and goes on");
}

#[test]
fn a_snapshot_before_the_first_tick_waits_for_what_it_shows() {
    for style in [Style::Shenzhen, Style::Shanghai] {
        let mut exchange = Exchange::new(style);
        exchange.collect(true, 101, 5);
        exchange.collect(false, 100, 3);
        exchange.snapshot(true);
        let snapshot = exchange.out.pop().unwrap();
        exchange.out.splice(0..0, [snapshot.clone(), snapshot]);
        let mut books = Books::new(Limits::default());
        take(&mut books, &exchange.out);
        assert_eq!(outcomes(&books), [("auction agreed", 1), ("not compared", 1)], "the last of them waits");
    }
}

#[test]
fn a_feed_that_begins_in_the_middle_of_the_day_has_a_book_from_the_next_snapshot_on() {
    let mut exchange = quiet(Style::Shanghai);
    let begin = exchange.out.len();
    exchange.limit(true, 100, 7);
    exchange.wait(3_000);
    exchange.snapshot(false);
    let mut books = Books::new(Limits::default());
    take(&mut books, &exchange.out[begin..begin + 1]);
    assert_eq!(book(&books).state, State::Waiting);
    take(&mut books, &exchange.out[begin + 1..]);
    assert_eq!(book(&books).state, State::Healed);
    let begin = exchange.out.len();
    // A trade with an order that the book never heard of, and what is left of another one.
    exchange.limit(false, 100, 3);
    exchange.cancel(0);
    exchange.snapshot(false);
    take(&mut books, &exchange.out[begin..]);
    assert_eq!(best_ten(&levels(&books, Side::Buy)), best_ten(&exchange.levels(true)));
    assert_eq!(outcomes(&books), [("healed agreed", 1)]);
}

#[test]
fn a_cancel_of_an_order_that_nobody_knows_and_that_has_no_price_makes_the_book_wait() {
    let mut exchange = quiet(Style::Shenzhen);
    exchange.cancel(0);
    let mut books = Books::new(Limits::default());
    // The order itself was lost: number 1, which the cancel calls.
    take(&mut books, &exchange.out[2..]);
    assert_eq!(book(&books).state, State::Waiting);
    assert_eq!((books.tally().unmatched, books.tally().gaps), (1, 1));
}

#[test]
fn a_snapshot_of_before_a_cancel_that_nobody_knows_does_not_set_the_book_right() {
    let mut exchange = quiet(Style::Shenzhen);
    exchange.limit(true, 100, 7);
    let _lost = exchange.out.pop();
    exchange.wait(100);
    exchange.limit(true, 50, 1);
    exchange.snapshot(false);
    let late = exchange.out.pop().unwrap();
    exchange.wait(900);
    // Of the order that was lost, which the snapshot shows.
    exchange.cancel(24);
    exchange.out.push(late);
    let mut books = Books::new(Limits::default());
    take(&mut books, &exchange.out);
    assert_eq!(exchange.levels(true)[0], (100, 5, 1));
    assert_eq!(book(&books).state, State::Waiting, "how much is left at 100 is not known");
    exchange.wait(3_000);
    exchange.snapshot(false);
    take(&mut books, &exchange.out[exchange.out.len() - 1..]);
    expect_healed(&mut books, &exchange);
}

#[test]
fn an_order_at_the_best_price_of_its_side_is_not_known_while_the_book_waits() {
    let mut exchange = quiet(Style::Shenzhen);
    // The best buy goes, unseen: the order rests at 99, and the book would have it at 100.
    exchange.cancel(0);
    let _lost = exchange.out.pop();
    exchange.own_best(true, 7);
    exchange.wait(3_000);
    exchange.snapshot(false);
    let mut books = Books::new(Limits::default());
    take(&mut books, &exchange.out);
    assert_eq!(exchange.levels(true)[0], (99, 12, 2));
    expect_healed(&mut books, &exchange);
    let begin = exchange.out.len();
    exchange.cancel(23);
    take(&mut books, &exchange.out[begin..]);
    assert_eq!(exchange.levels(true)[0], (99, 5, 1));
    assert_eq!(book(&books).state, State::Waiting, "its cancel has no price");
    let begin = exchange.out.len();
    exchange.wait(3_000);
    exchange.snapshot(false);
    take(&mut books, &exchange.out[begin..]);
    expect_healed(&mut books, &exchange);
}

#[test]
fn a_market_order_whose_trades_were_lost_is_no_order_that_is_known() {
    for garbled in [false, true] {
        let mut exchange = quiet(Style::Shenzhen);
        // It takes 5 at 101, and 3 of it rest there.
        exchange.market(true, 8);
        let mut trade = exchange.out.pop().unwrap();
        if garbled {
            forge(&mut trade, |bytes| bytes[frame::HEADER_LEN + 49..][..8].fill(0));
            exchange.out.push(trade);
        }
        exchange.wait(3_000);
        exchange.limit(true, 50, 1);
        let mut books = Books::new(Limits::default());
        take(&mut books, &exchange.out);
        assert_eq!(book(&books).state, State::Waiting);
        assert_eq!((book(&books).depth.orders(), books.orders()), (25, 25), "the others");
        let begin = exchange.out.len();
        exchange.snapshot(false);
        // Who sells there now finds it, and its level goes.
        exchange.limit(false, 101, 3);
        take(&mut books, &exchange.out[begin..]);
        assert_eq!((book(&books).state, exchange.levels(true)[0]), (State::Healed, (100, 5, 1)));
        for (side, buys) in [(Side::Buy, true), (Side::Sell, false)] {
            assert_eq!(best_ten(&levels(&books, side)), best_ten(&exchange.levels(buys)), "{garbled}");
        }
    }
}

#[test]
fn a_notice_of_numbers_that_will_not_come_is_a_hole_in_each_book_of_its_channel() {
    let mut exchange = quiet(Style::Shenzhen);
    let mut books = Books::new(Limits::default());
    take(&mut books, &exchange.out);
    assert_eq!((book(&books).state, count(&books, Outcome::Agreed)), (State::Whole, 1));
    books.take(Tag { lane: CHANNEL + 1, number: 99, key: Tag::EVERYONE }, &[]);
    assert_eq!(book(&books).state, State::Whole, "another channel");
    books.take(Tag { lane: CHANNEL, number: 0, key: Tag::EVERYONE }, &[]);
    assert_eq!(book(&books).state, State::Whole, "a heartbeat");
    books.take(Tag { lane: CHANNEL, number: 99, key: Tag::EVERYONE }, &[]);
    assert_eq!(book(&books).state, State::Waiting);
    exchange.snapshot(false);
    take(&mut books, &exchange.out[exchange.out.len() - 1..]);
    assert_eq!((book(&books).state, books.tally().healed), (State::Healed, 1));
}

#[test]
fn what_no_order_can_have_makes_the_book_wait_and_is_counted() {
    let body = frame::HEADER_LEN;
    type Forge = fn(&mut [u8], usize);
    let senseless: [(&str, Forge); 4] = [
        ("a negative price", |bytes, body| bytes[body + 25] = 0xff),
        ("no quantity", |bytes, body| bytes[body + 33..][..8].fill(0)),
        ("a side that is none", |bytes, body| bytes[body + 41] = b'9'),
        ("a price beyond all", |bytes, body| {
            bytes[body + 25..][..8].copy_from_slice(&i64::MAX.to_be_bytes());
        }),
    ];
    for (what, change) in senseless {
        let mut exchange = quiet(Style::Shenzhen);
        exchange.limit(true, 77, 1);
        let last = exchange.out.len() - 1;
        forge(&mut exchange.out[last], |bytes| change(bytes, body));
        let mut books = Books::new(Limits::default());
        take(&mut books, &exchange.out);
        let stays = what == "a price beyond all";
        assert_eq!(book(&books).state == State::Waiting, !stays, "{what}");
        assert_eq!(books.tally().unmatched, u64::from(!stays), "{what}");
    }
}

#[test]
fn who_has_too_many_orders_loses_the_book_and_the_others_keep_theirs() {
    let limits = [
        (
            Limits { orders_per_security_max: 20, ..Limits::default() },
            "given up: too many orders in it",
            [1, 0, 0],
        ),
        (Limits { orders_max: 20, ..Limits::default() }, "given up: too many orders in all", [0, 1, 0]),
    ];
    for (limits, state, counted) in limits {
        let exchange = quiet(Style::Shenzhen);
        let mut books = Books::new(limits);
        take(&mut books, &exchange.out);
        assert_eq!((book(&books).state.name(), books.tally().given_up), (state, counted));
        assert_eq!((book(&books).depth.orders(), books.orders()), (0, 0), "its memory is free");
        let ticks = books.tally().ticks;
        take(&mut books, &exchange.out);
        assert_eq!(books.tally().ticks, ticks, "and nothing of it is looked at any more");
    }
}

#[test]
fn ticks_in_two_channels_have_no_order_and_make_no_book() {
    let mut exchange = quiet(Style::Shenzhen);
    exchange.limit(true, 77, 1);
    let last = exchange.out.len() - 1;
    if let Out::Tick(tag, _) = &mut exchange.out[last] {
        *tag = Tag { lane: CHANNEL + 1, number: 1, ..*tag };
    }
    let mut books = Books::new(Limits::default());
    take(&mut books, &exchange.out);
    assert_eq!(book(&books).state.name(), "given up: ticks in two channels");
    assert_eq!(books.tally().given_up, [0, 0, 1]);
}

#[test]
fn a_takeover_by_a_source_with_numbers_of_its_own_is_nothing_to_the_books() {
    let mut exchange = quiet(Style::Shenzhen);
    let mut books = Books::new(Limits::default()).below(50_000);
    take(&mut books, &exchange.out);
    // The like of what the exchange's channel will bring later comes on one of the vendor's, with a hole, and a snapshot.
    let begin = exchange.out.len();
    exchange.limit(true, 101, 2);
    exchange.wait(6_000);
    exchange.snapshot(false);
    for (lane, number) in [(50_007, 104), (50_000, 1)] {
        books.take(Tag { lane, number: number - 1, key: Tag::EVERYONE }, &[]);
        for out in &exchange.out[begin..] {
            match out {
                Out::Tick(tag, bytes) => books.take(Tag { lane, number, ..*tag }, bytes),
                Out::Snapshot(bytes) => books.take(Tag { lane, number: 0, key: KEY }, bytes),
            }
        }
    }
    assert_eq!((book(&books).state, books.tally().gaps), (State::Whole, 0));
    take(&mut books, &exchange.out[begin..]);
    assert_eq!(levels(&books, Side::Sell), exchange.levels(false));
    assert_eq!(outcomes(&books), [("agreed", 2), ("empty", 1)]);
    assert_eq!(books.tally().own, 2 * (1 + exchange.out.len() - begin) as u64);
}

#[test]
fn a_security_too_many_has_no_book_and_is_counted() {
    let exchange = quiet(Style::Shenzhen);
    let mut books = Books::new(Limits { securities_max: 1, ..Limits::default() });
    books.take(
        Tag { lane: CHANNEL, number: 0, key: 7 },
        match &exchange.out[0] {
            Out::Snapshot(bytes) | Out::Tick(_, bytes) => bytes,
        },
    );
    take(&mut books, &exchange.out);
    assert_eq!((books.len(), books.tally().no_room), (1, exchange.out.len() as u64));
}

/// What is published: levels of each side with price and quantity, and trades.
fn published(books: &mut Books) -> Vec<(Levels, Levels, i64)> {
    let mut publication = Publication::default();
    books.publish(9_910, &mut publication);
    let one = |(tag, _, bytes): (Tag, _, &[u8])| {
        assert_eq!((tag.lane, tag.number, tag.key), (9_910, 0, KEY));
        let frame = frame::decode(bytes, frame::BODY_LEN_MAX).unwrap().unwrap();
        let snapshot = frame.group::<Snapshot<'_>>().unwrap();
        assert_eq!(snapshot.head.md_stream_id, STREAM_BOOK);
        let side = |kind: MdEntryType| {
            let of_side = |entry: &SnapshotEntry<'_>| entry.entry.md_entry_type == kind;
            let level = |entry: SnapshotEntry<'_>| {
                let price = MdEntryPx::to_price(entry.entry.md_entry_px).unwrap().raw();
                (price, entry.entry.md_entry_size.raw(), entry.entry.number_of_orders.get())
            };
            snapshot.entries().filter(of_side).map(level).collect()
        };
        (side(MdEntryType::BID), side(MdEntryType::ASK), snapshot.head.num_trades.get())
    };
    publication.each().map(one).collect()
}

#[test]
fn a_book_is_published_when_it_has_changed_and_only_then() {
    let mut exchange = quiet(Style::Shanghai);
    let mut books = Books::new(Limits::default());
    let ten = |exchange: &Exchange, buys| exchange.levels(buys).into_iter().take(10).collect::<Levels>();
    take(&mut books, &exchange.out);
    assert_eq!(published(&mut books), [(ten(&exchange, true), ten(&exchange, false), 0)]);
    assert_eq!(published(&mut books), []);
    let begin = exchange.out.len();
    exchange.limit(true, 50, 1);
    take(&mut books, &exchange.out[begin..]);
    assert!(books.has_changed());
    assert_eq!(published(&mut books), [], "what is beyond the tenth level is not shown");
    let begin = exchange.out.len();
    exchange.limit(true, 101, 2);
    take(&mut books, &exchange.out[begin..]);
    assert_eq!(published(&mut books), [(ten(&exchange, true), ten(&exchange, false), 1)]);
    books.take(Tag { lane: CHANNEL, number: 999, key: Tag::EVERYONE }, &[]);
    let begin = exchange.out.len();
    exchange.limit(true, 99, 2);
    take(&mut books, &exchange.out[begin..]);
    assert_eq!(published(&mut books), [], "a book that waits claims nothing");
}

/// A book that was healed after two cancels were lost, of the levels beyond the tenth: it still has those.
fn healed() -> (Exchange, Books) {
    let mut exchange = quiet(Style::Shanghai);
    let begin = exchange.out.len();
    [23, 21].into_iter().for_each(|sell| exchange.cancel(sell));
    exchange.out.truncate(begin);
    exchange.limit(true, 50, 1);
    exchange.wait(3_000);
    exchange.snapshot(false);
    let mut books = Books::new(Limits::default());
    take(&mut books, &exchange.out);
    assert_eq!(book(&books).state, State::Healed);
    assert_eq!((levels(&books, Side::Sell).len(), exchange.levels(false).len()), (12, 10));
    published(&mut books);
    (exchange, books)
}

/// Levels without their numbers of orders.
fn uncounted(levels: &Levels) -> Levels {
    levels.iter().take(10).map(|(price, quantity, _)| (*price, *quantity, 0)).collect()
}

/// A book that was healed has the exchange's best ten levels, and publishes them.
fn expect_healed(books: &mut Books, exchange: &Exchange) {
    assert_eq!(book(books).state, State::Healed);
    let [buys, sells] = [true, false].map(|buys| uncounted(&exchange.levels(buys)));
    assert_eq!(uncounted(&levels(books, Side::Buy)), buys);
    assert_eq!(uncounted(&levels(books, Side::Sell)), sells);
    assert_eq!(published(books), [(buys, sells, 0)]);
}

#[test]
fn a_snapshot_that_comes_late_after_a_hole_undoes_no_tick() {
    let mut exchange = quiet(Style::Shanghai);
    exchange.wait(100);
    exchange.limit(true, 50, 1);
    exchange.limit(true, 100, 7);
    let _lost = exchange.out.pop();
    exchange.wait(100);
    exchange.snapshot(false);
    let late = exchange.out.pop().unwrap();
    exchange.wait(900);
    // Of the order that was lost, which the snapshot shows: it takes more than the book has there.
    exchange.cancel(25);
    exchange.out.push(late);
    let mut books = Books::new(Limits::default());
    take(&mut books, &exchange.out);
    assert_eq!(exchange.levels(true)[0], (100, 5, 1));
    expect_healed(&mut books, &exchange);
}

#[test]
fn a_first_snapshot_that_comes_late_undoes_no_tick() {
    let mut exchange = quiet(Style::Shanghai);
    let begin = exchange.out.len();
    exchange.limit(true, 50, 1);
    exchange.wait(100);
    exchange.snapshot(false);
    let late = exchange.out.pop().unwrap();
    exchange.wait(2_500);
    exchange.limit(true, 100, 7);
    exchange.out.push(late);
    let mut books = Books::new(Limits::default());
    take(&mut books, &exchange.out[begin..]);
    assert_eq!(exchange.levels(true)[0], (100, 12, 2));
    expect_healed(&mut books, &exchange);
}

#[test]
fn of_a_book_that_was_healed_no_level_is_published_that_no_snapshot_has_shown() {
    let (mut exchange, mut books) = healed();
    let begin = exchange.out.len();
    exchange.limit(true, 102, 10);
    take(&mut books, &exchange.out[begin..]);
    let sides = |exchange: &Exchange| [true, false].map(|buys| uncounted(&exchange.levels(buys)));
    let [buys, sells] = sides(&exchange);
    assert_eq!((sells.len(), levels(&books, Side::Sell).len()), (8, 10));
    assert_eq!(published(&mut books), [(buys, sells, 2)]);
    // A snapshot of a whole side says what else there is: nothing.
    let begin = exchange.out.len();
    exchange.wait(3_000);
    exchange.snapshot(false);
    exchange.limit(false, 111, 7);
    take(&mut books, &exchange.out[begin..]);
    assert_eq!(outcomes(&books), [("agreed", 1), ("healed agreed", 1), ("empty", 1)]);
    let [buys, sells] = sides(&exchange);
    assert_eq!(sells.last(), Some(&(111, 7, 0)));
    assert_eq!(published(&mut books), [(buys, sells, 2)]);
}

#[test]
fn of_a_book_that_was_healed_nothing_is_published_when_of_a_side_nothing_is_known() {
    let (mut exchange, mut books) = healed();
    let begin = exchange.out.len();
    exchange.limit(true, 110, 50);
    take(&mut books, &exchange.out[begin..]);
    assert!(exchange.levels(false).is_empty() && books.has_changed());
    assert_eq!(published(&mut books), []);
    let begin = exchange.out.len();
    exchange.wait(3_000);
    exchange.snapshot(false);
    exchange.limit(false, 120, 1);
    take(&mut books, &exchange.out[begin..]);
    assert_eq!(published(&mut books)[0].1, [(120, 1, 0)]);
}

#[test]
fn what_was_not_taken_is_published_again() {
    let exchange = quiet(Style::Shanghai);
    let mut books = Books::new(Limits::default());
    take(&mut books, &exchange.out);
    let mut publication = Publication::default();
    books.publish(9_910, &mut publication);
    books.publish_again(&publication);
    assert_eq!(published(&mut books).len(), 1);
}

#[test]
fn nothing_is_published_of_an_auction() {
    let mut exchange = Exchange::new(Style::Shanghai);
    exchange.snapshot(true);
    exchange.collect(true, 101, 5);
    exchange.collect(false, 100, 5);
    let mut books = Books::new(Limits::default());
    take(&mut books, &exchange.out);
    assert_eq!(published(&mut books), []);
}
