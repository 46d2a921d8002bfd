//! Call auctions: each rule by itself, and any auction against a naive one.

use super::{Bench, CASH, OPEN_NS, Tapped, cancel_of, settings, view};
use crate::core::{Account, Accounts, CancelRefusal, Core, Now, Refusal, STEPS_PER_TURN, Schedule, Shares};
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use std::collections::BTreeMap;
use wire::szse::code::{ExecType, MdEntryType, OrdStatus, OrdType, Side, TimeInForce};
use wire::szse::market::{Snapshot, TickOrder, TickTrade};
use wire::szse::trading::{CancelReject, NewOrder, OrderReport, TradeReport};
use wire::szse::{Amount, Price, Qty, Text, Timestamp, frame};

/// The exchange's day.
pub(super) fn day() -> Schedule {
    use crate::core::{Call, Phase};
    let call = |call, cancels| Phase::Call { call, cancels };
    let phases = [
        ("09:15:00", call(Call::Opening, true)),
        ("09:20:00", call(Call::Opening, false)),
        ("09:25:00", Phase::Break),
        ("09:30:00", Phase::Continuous),
        ("11:30:00", Phase::Break),
        ("13:00:00", Phase::Continuous),
        ("14:57:00", call(Call::Closing, false)),
        ("15:00:00", Phase::Closed),
    ];
    Schedule::new(phases.map(|(from, phase)| (from.parse().unwrap(), phase)).to_vec()).unwrap()
}

/// Nanoseconds of a time on the tests' day, from "HH:MM:SS.mmm".
fn clock(text: &str) -> u64 {
    let digits: i64 = text.replace([':', '.'], "").parse().unwrap();
    Timestamp::from_raw(20_240_229 * 1_000_000_000 + digits).to_unix_ns().unwrap()
}

fn core() -> Core {
    Core::new(settings(), super::listings(3)).with_schedule(day())
}

impl Bench {
    fn at(text: &str) -> Self {
        let mut bench = Self { core: core(), ..Self::new() };
        bench.comes_to(text);
        bench
    }

    fn comes_to(&mut self, text: &str) {
        self.now_ns = clock(text);
    }

    /// Time comes to an edge, and nothing else happens.
    fn passes(&mut self, text: &str) {
        self.comes_to(text);
        self.said.frames.clear();
        self.tick(0);
    }
}

fn px(text: &str) -> Price {
    text.parse().unwrap()
}

/// In parts or at once, the frames are the same, and nothing else of the core's is among them.
#[test]
fn an_auction_that_trades_over_many_turns_says_what_one_at_once_says() {
    let run = |steps: Option<u32>| {
        let mut bench = Bench::at("09:16:00.000");
        for number in 0..40 {
            let (buy, sell) =
                (bench.request(Side::BUY, "10.10", 300), bench.request(Side::SELL, "9.90", 200));
            for mut order in [buy, sell] {
                order.base.security_id = format!("{:06}", 1 + number % 3).parse().unwrap();
                bench.send_at(CASH, &order);
            }
        }
        bench.comes_to("09:25:00.000");
        let mut turns = 0;
        if let Some(steps) = steps {
            while !bench.core.pass_some(bench.now(), steps, &mut bench.said) {
                assert!(bench.core.is_passing());
                turns += 1;
            }
        }
        assert!(steps.is_none() || !bench.core.is_passing());
        // An order comes behind it, whose numbers tell whether all is the same.
        bench.comes_to("09:30:00.000");
        bench.limit(Side::BUY, "9.50", 100);
        (turns, bench.said)
    };
    let (_, at_once) = run(None);
    let trades = at_once.frames.iter().filter(|(_, _, bytes)| view::<TickTrade>(bytes).is_some()).count();
    assert!(trades > 40, "{trades}");
    for steps in [1, 7, 1_000] {
        let (turns, in_parts) = run(Some(steps));
        assert_eq!(in_parts, at_once, "{steps}");
        assert_eq!(turns > 0, steps < 1_000, "{turns}");
    }
}

#[test]
fn while_an_auction_trades_no_snapshot_shows_what_is_half_done() {
    let mut bench = Bench::at("09:16:00.000");
    for _ in 0..2 * STEPS_PER_TURN {
        bench.limit(Side::BUY, "10.00", 100);
        bench.limit(Side::SELL, "10.00", 100);
    }
    bench.passes("09:25:00.000");
    assert!(bench.core.is_passing());
    let half = std::mem::take(&mut bench.said.frames);
    assert!(half.iter().all(|(_, tag, _)| tag.number > 0), "reports and ticks alone");
    while bench.core.is_passing() {
        bench.tick(5);
    }
    bench.tick(5_000);
    assert!(!bench.said.take::<TradeReport>().is_empty());
}

/// An order as an auction sees it: raw price and quantity.
type Wish = (Side, i64, i64);

/// Price, volume and surplus of an auction by the letter of its rules: every price of the day is tried.
pub(super) fn naive(wishes: &[Wish], reference: i64) -> Option<(i64, i64, i64)> {
    let sum = |side: Side, accepts: &dyn Fn(i64) -> bool| -> i64 {
        wishes.iter().filter(|wish| wish.0 == side && accepts(wish.1)).map(|wish| wish.2).sum()
    };
    struct At {
        price: i64,
        buys: i64,
        sells: i64,
        buys_above: i64,
        sells_below: i64,
    }
    let prices = (px("9.00").raw()..=px("11.00").raw()).step_by(100).map(|price| At {
        price,
        buys: sum(Side::BUY, &|limit| limit >= price),
        sells: sum(Side::SELL, &|limit| limit <= price),
        buys_above: sum(Side::BUY, &|limit| limit > price),
        sells_below: sum(Side::SELL, &|limit| limit < price),
    });
    let mut prices: Vec<At> = prices.collect();
    let volume = prices.iter().map(|at| at.buys.min(at.sells)).max().unwrap();
    if volume == 0 {
        return None;
    }
    prices.retain(|at| at.buys.min(at.sells) == volume);
    prices.retain(|at| at.buys_above <= volume && at.sells_below <= volume);
    prices.retain(|at| at.buys == volume || at.sells == volume);
    let least = prices.iter().map(|at| (at.buys - at.sells).abs()).min().expect("some price meets all rules");
    prices.retain(|at| (at.buys - at.sells).abs() == least);
    let nearest = prices.iter().map(|at| (at.price - reference).abs()).min().unwrap();
    prices.retain(|at| (at.price - reference).abs() == nearest);
    assert_eq!(prices.len(), 1, "the rules leave one price");
    Some((prices[0].price, volume, prices[0].buys - prices[0].sells))
}

/// What each order of an auction gets: the best price first, and of a price the oldest.
fn naive_fills(wishes: &[Wish], (price, volume): (i64, i64)) -> Vec<i64> {
    let mut filled = vec![0; wishes.len()];
    for side in [Side::BUY, Side::SELL] {
        let sign = if side == Side::BUY { -1 } else { 1 };
        let mut turn: Vec<usize> = (0..wishes.len()).filter(|at| wishes[*at].0 == side).collect();
        turn.sort_by_key(|at| sign * wishes[*at].1);
        let mut left = volume;
        for at in turn.into_iter().filter(|at| sign * wishes[*at].1 <= sign * price) {
            filled[at] = left.min(wishes[at].2);
            left -= filled[at];
        }
    }
    filled
}

fn wish() -> impl Strategy<Value = Wish> {
    let side = prop_oneof![Just(Side::BUY), Just(Side::SELL)];
    // Some auctions of a few prices, some of many with gaps between them.
    let cents = prop_oneof![4 => 995..1_006_i64, 1 => 900..1_101_i64];
    (side, cents, 1..12_i64).prop_map(|(side, cents, lots)| {
        (side, Price::from_raw(cents * 100).raw(), Qty::whole(lots * 100).raw())
    })
}

/// A core in its closing call, whose last trade was at a price.
fn closing(last: i64) -> Bench {
    let mut bench = Bench::at("14:00:00.000");
    for side in [Side::BUY, Side::SELL] {
        let mut order = bench.request(side, "10.00", 100);
        order.price = Price::from_raw(last);
        bench.send_at(CASH, &order);
    }
    bench.comes_to("14:57:00.000");
    bench
}

/// Sends wishes into a call, some of which are withdrawn; what is left of them, and their requests.
fn collect(bench: &mut Bench, wishes: &[(Wish, bool)]) -> (Vec<Wish>, Vec<NewOrder>) {
    bench.said.frames.clear();
    let (mut kept, mut requests) = (Vec::new(), Vec::new());
    for ((side, price, quantity), withdrawn) in wishes {
        let mut request = bench.request(*side, "10.00", 100);
        (request.price, request.order_qty) = (Price::from_raw(*price), Qty::from_raw(*quantity));
        bench.send_at(CASH, &request);
        if *withdrawn {
            bench.cancel(&cancel_of(&request, bench.requests));
        } else {
            kept.push((*side, *price, *quantity));
            requests.push(request);
        }
    }
    (kept, requests)
}

fn judge(bench: &mut Bench, (wishes, requests): (&[Wish], &[NewOrder]), (reference, end): (i64, &str)) {
    let before = Tapped { frames: bench.said.frames.clone() }.take::<TradeReport>();
    assert_eq!(before, [], "nothing trades before the end");
    bench.passes(end);
    let ticks = Tapped { frames: bench.said.frames.clone() }.take::<TickTrade>();
    let trades = bench.said.take::<TradeReport>();
    let Some((price, volume, _)) = naive(wishes, reference) else {
        assert_eq!((trades, ticks), (Vec::new(), Vec::new()));
        return;
    };
    let at = |px: Price, time: Timestamp| px.raw() == price && time == bench.now().time();
    assert!(trades.iter().all(|trade| at(trade.last_px, trade.base.transact_time)), "one price, one time");
    assert!(ticks.iter().all(|tick| at(tick.last_px, tick.transact_time)));
    assert_eq!(ticks.iter().map(|tick| tick.last_qty.raw()).sum::<i64>(), volume, "the largest volume");
    let mut filled: BTreeMap<Text<10>, i64> = BTreeMap::new();
    for trade in &trades {
        *filled.entry(trade.cl_ord_id).or_default() += trade.last_qty.raw();
    }
    let expected = naive_fills(wishes, (price, volume));
    for ((request, wish), expected) in requests.iter().zip(wishes).zip(&expected) {
        let got = filled.remove(&request.cl_ord_id).unwrap_or(0);
        assert_eq!(got, *expected, "price before time: {wish:?} at {price}");
        let better = if wish.0 == Side::BUY { wish.1 > price } else { wish.1 < price };
        assert!(!better || got == wish.2, "what is better than the price is filled");
    }
    assert!(filled.is_empty(), "nobody else traded: {filled:?}");
    // What rests could not trade.
    let left =
        |side| wishes.iter().zip(&expected).filter(move |(wish, got)| wish.0 == side && wish.2 > **got);
    let bid = left(Side::BUY).map(|(wish, _)| wish.1).max();
    let ask = left(Side::SELL).map(|(wish, _)| wish.1).min();
    let book = &bench.core.instruments[0].book;
    assert_eq!((book.best(crate::book::Side::Buy), book.best(crate::book::Side::Sell)), (bid, ask));
    assert!(bid.zip(ask).is_none_or(|(bid, ask)| bid < ask), "{bid:?} bid, {ask:?} asked");
}

proptest! {
    #[test]
    fn an_opening_is_a_naive_one(wishes in proptest::collection::vec((wish(), any::<bool>()), 0..60)) {
        let mut bench = Bench::at("09:15:00.000");
        let (kept, requests) = collect(&mut bench, &wishes);
        judge(&mut bench, (&kept, &requests), (px("10.00").raw(), "09:25:00.000"));
    }

    #[test]
    fn a_closing_is_a_naive_one(wishes in proptest::collection::vec(wish(), 0..60), last in 950..1_051_i64) {
        let last = last * 100;
        let mut bench = closing(last);
        let wishes: Vec<_> = wishes.into_iter().map(|wish| (wish, false)).collect();
        let (kept, requests) = collect(&mut bench, &wishes);
        judge(&mut bench, (&kept, &requests), (last, "15:00:00.000"));
    }
}

/// (side, price, shares) of each order, and the price and shares of the auction by hand.
type Example<'a> = (&'a [(Side, &'a str, i64)], Option<(&'a str, i64)>);

#[test]
fn the_rules_one_by_one() {
    let (buy, sell) = (Side::BUY, Side::SELL);
    let examples: [Example<'_>; 7] = [
        (&[(buy, "9.99", 100), (sell, "10.00", 100)], None),
        // The same orders trade at any price from 9.90 to 10.10: the previous close is one.
        (&[(buy, "10.10", 100), (sell, "9.90", 100)], Some(("10.00", 100))),
        // ... and here the nearest to it.
        (&[(buy, "10.10", 100), (sell, "10.05", 100)], Some(("10.05", 100))),
        (&[(buy, "9.95", 100), (sell, "9.90", 100)], Some(("9.95", 100))),
        // The volume comes first: 300 at 10.08, 100 at any lower price.
        (&[(buy, "10.10", 300), (sell, "9.90", 100), (sell, "10.08", 200)], Some(("10.08", 300))),
        // Below 10.10 the buy at 10.10 would not be filled wholly.
        (&[(buy, "10.10", 300), (sell, "9.90", 200)], Some(("10.10", 200))),
        // 9.98 leaves 200 buys, 9.99 leaves 100 sells: the lesser difference, though both trade 300.
        (
            &[(buy, "9.99", 300), (buy, "9.98", 200), (sell, "9.98", 300), (sell, "9.99", 100)],
            Some(("9.99", 300)),
        ),
    ];
    for (orders, expected) in examples {
        let mut bench = Bench::at("09:15:00.000");
        for (side, price, shares) in orders {
            bench.limit(*side, price, *shares);
        }
        bench.passes("09:25:00.000");
        let ticks = bench.said.take::<TickTrade>();
        let volume: i64 = ticks.iter().map(|tick| tick.last_qty.raw() / Qty::SCALE).sum();
        let got = ticks.first().map(|tick| (tick.last_px, volume));
        assert_eq!(got, expected.map(|(price, shares)| (px(price), shares)), "{orders:?}");
    }
}

#[test]
fn the_closing_takes_the_price_nearest_to_the_last_trade() {
    let mut bench = closing(px("10.03").raw());
    bench.limit(Side::BUY, "10.10", 100);
    bench.limit(Side::SELL, "9.90", 100);
    bench.passes("15:00:00.000");
    assert!(bench.said.take::<TradeReport>().iter().all(|trade| trade.last_px == px("10.03")));
}

#[test]
fn orders_are_collected_and_cancelled_until_the_last_minutes() {
    let mut bench = Bench::at("09:14:59.999");
    bench.limit(Side::BUY, "10.00", 100);
    assert_eq!(bench.said.one::<OrderReport>().ord_rej_reason, Refusal::Closed.reason());
    bench.comes_to("09:15:00.000");
    let (buy, sell) = (bench.limit(Side::BUY, "10.02", 300), bench.limit(Side::SELL, "9.98", 200));
    let ticks = Tapped { frames: bench.said.frames.clone() }.take::<TickOrder>();
    assert_eq!(ticks.len(), 2, "both are in the market data");
    let accepted = bench.said.take::<OrderReport>();
    assert!(accepted.iter().all(|report| report.exec_type == ExecType::NEW), "and neither has traded");

    bench.comes_to("09:19:59.999");
    let withdrawn = bench.limit(Side::SELL, "9.98", 500);
    bench.said.frames.clear();
    bench.cancel(&cancel_of(&withdrawn, 1));
    assert_eq!(bench.said.one::<OrderReport>().exec_type, ExecType::CANCELLED);

    bench.comes_to("09:20:00.000");
    bench.cancel(&cancel_of(&buy, 2));
    let reject: CancelReject = bench.said.one();
    assert_eq!(reject.cxl_rej_reason, CancelRefusal::Call.reason());
    assert_eq!(reject.reject_text, Text::literal("no cancels now"));
    bench.comes_to("09:24:59.999");
    bench.limit(Side::BUY, "9.50", 100);
    assert_eq!(bench.said.one::<OrderReport>().exec_type, ExecType::NEW);

    // No tick comes: the first request behind the edge finds the auction ended.
    bench.comes_to("09:25:00.001");
    bench.limit(Side::SELL, "9.98", 100);
    let trades = Tapped { frames: bench.said.frames.clone() }.take::<TradeReport>();
    let got: Vec<_> =
        trades.iter().map(|at| (at.cl_ord_id, at.last_px, at.leaves_qty, at.ord_status)).collect();
    assert_eq!(
        got,
        [
            (buy.cl_ord_id, px("10.02"), Qty::whole(100), OrdStatus::PARTIALLY_FILLED),
            (sell.cl_ord_id, px("10.02"), Qty::ZERO, OrdStatus::FILLED),
        ]
    );
    assert!(trades.iter().all(|trade| trade.exec_type == ExecType::TRADE));
    assert!(trades.iter().all(|trade| trade.base.transact_time.to_unix_ns() == Some(clock("09:25:00.000"))));
    assert_eq!(bench.said.one::<OrderReport>().ord_rej_reason, Refusal::Closed.reason());
    bench.cancel(&cancel_of(&buy, 3));
    assert_eq!(bench.said.one::<CancelReject>().cxl_rej_reason, CancelRefusal::Closed.reason());
    assert_eq!(bench.core.counts().cancels_refused[CancelRefusal::Call as usize], 1);

    // What is left has its place in continuous trading.
    bench.comes_to("09:30:00.000");
    let late = bench.limit(Side::SELL, "10.00", 200);
    let trades = bench.said.take::<TradeReport>();
    assert_eq!((trades[0].cl_ord_id, trades[1].cl_ord_id), (late.cl_ord_id, buy.cl_ord_id));
    assert_eq!((trades[1].last_px, trades[1].ord_status), (px("10.02"), OrdStatus::FILLED));
}

#[test]
fn a_call_takes_limit_orders_alone_within_the_limits_of_the_day() {
    let changes: [fn(&mut NewOrder); 3] = [
        |order| (order.ord_type, order.price) = (OrdType::MARKET, Price::ZERO),
        |order| (order.ord_type, order.price) = (OrdType::OWN_BEST, Price::ZERO),
        |order| order.ext.time_in_force = TimeInForce::IMMEDIATE_OR_CANCEL,
    ];
    for time in ["09:15:00.000", "09:20:00.000", "14:57:00.000"] {
        let mut bench = Bench::at(time);
        for change in changes {
            let mut order = bench.request(Side::BUY, "10.00", 100);
            change(&mut order);
            bench.send_at(CASH, &order);
            assert_eq!(bench.said.one::<OrderReport>().ord_rej_reason, Refusal::Call.reason());
        }
        assert_eq!(bench.core.counts().refused[Refusal::Call as usize], 3);
        bench.limit(Side::BUY, "11.01", 100);
        assert_eq!(bench.said.one::<OrderReport>().ord_rej_reason, Refusal::Price.reason());
    }
}

#[test]
fn what_was_frozen_at_the_limit_is_free_after_a_better_price() {
    let listings = super::listings(3);
    let account = |id, cash: i64, shares: i64| Account {
        id,
        cash: Amount::whole(cash),
        financing_limit: Amount::ZERO,
        positions: vec![Shares { security: listings.as_slice()[0].id, quantity: Qty::whole(shares) }],
    };
    let list = [account(Text::literal("A1"), 1_005, 0), account(Text::literal("A2"), 0, 100)];
    let accounts = Accounts::new(&list, &[], &listings).unwrap();
    let mut bench = Bench::at("09:15:00.000");
    bench.core = Core::with_accounts(settings(), listings, accounts).with_schedule(day());
    bench.limit(Side::BUY, "10.05", 100);
    let mut sell = bench.request(Side::SELL, "9.90", 100);
    sell.account_id = Text::literal("A2");
    bench.send_at(CASH, &sell);
    assert_eq!(bench.core.accounts.purses[0].free(), 0);
    bench.passes("09:25:00.000");
    let yuan = |amount: i64| i128::from(Price::SCALE * Qty::SCALE) * i128::from(amount);
    let [buyer, seller] = &bench.core.accounts.purses[..] else { panic!("two accounts") };
    assert_eq!((buyer.cash, buyer.frozen), (yuan(5), 0));
    assert_eq!(seller.free(), yuan(1_000));
}

#[test]
fn snapshots_show_what_the_auction_would_come_to() {
    let entries = |bench: &mut Bench| {
        bench.said.frames.clear();
        bench.tick(3_000);
        let of_first = bench.said.frames.iter().find(|(_, tag, _)| tag.number == 0 && tag.key == 1);
        let frame = frame::decode(&of_first.unwrap().2, frame::BODY_LEN_MAX).unwrap().unwrap();
        let snapshot: Snapshot<'_> = frame.group().unwrap();
        let sides = [MdEntryType::BID, MdEntryType::ASK];
        let shown = snapshot.entries().filter(|at| sides.contains(&at.entry.md_entry_type)).map(|at| {
            let (price, size) = (at.entry.md_entry_px.raw() / 1_000_000, at.entry.md_entry_size.raw() / 100);
            (at.entry.md_entry_type, at.entry.md_price_level.get(), price, size)
        });
        (snapshot.head.trading_phase_code.to_string(), shown.collect::<Vec<_>>())
    };
    let (bid, ask) = (MdEntryType::BID, MdEntryType::ASK);
    let mut bench = Bench::at("09:15:00.000");
    bench.limit(Side::BUY, "10.00", 500);
    assert_eq!(entries(&mut bench), ("O0".to_owned(), vec![]), "nothing would trade");
    bench.limit(Side::SELL, "9.00", 200);
    let expected = vec![(bid, 1, 10, 200), (bid, 2, 0, 300), (ask, 1, 10, 200)];
    assert_eq!(entries(&mut bench), ("O0".to_owned(), expected));
    bench.limit(Side::SELL, "10.00", 400);
    let expected = vec![(bid, 1, 10, 500), (ask, 1, 10, 500), (ask, 2, 0, 100)];
    assert_eq!(entries(&mut bench), ("O0".to_owned(), expected));
    // Ended: what is left is a book again.
    bench.comes_to("09:25:00.000");
    assert_eq!(entries(&mut bench), ("B0".to_owned(), vec![(ask, 1, 10, 100)]));
    bench.comes_to("14:57:00.000");
    bench.limit(Side::BUY, "11.00", 100);
    let expected = vec![(bid, 1, 10, 100), (ask, 1, 10, 100)];
    assert_eq!(entries(&mut bench), ("C0".to_owned(), expected));
}

#[test]
fn a_clock_that_is_set_back_undoes_no_phase() {
    let mut bench = Bench::at("09:25:00.000");
    bench.tick(0);
    let earlier = Now::at(clock("09:24:00.000"));
    assert_eq!(bench.core.not_before(earlier), bench.now());
    let later = Now::at(clock("09:25:00.001"));
    assert_eq!(bench.core.not_before(later), later);
    assert_eq!(Bench::new().core.not_before(earlier), earlier, "without phases there is nothing to keep");
    assert!(clock("09:30:00.000") == OPEN_NS);
}

#[test]
fn an_auction_ends_even_if_nothing_happens_until_the_next_day() {
    let mut bench = Bench::at("09:24:00.000");
    bench.limit(Side::BUY, "10.00", 100);
    bench.limit(Side::SELL, "10.00", 100);
    bench.comes_to("09:16:00.000");
    bench.now_ns += 24 * 3_600_000_000_000;
    bench.said.frames.clear();
    bench.limit(Side::BUY, "10.00", 100);
    let trades = Tapped { frames: bench.said.frames.clone() }.take::<TradeReport>();
    assert_eq!(trades.len(), 2);
    assert!(trades.iter().all(|trade| trade.base.transact_time.to_unix_ns() == Some(clock("09:25:00.000"))));
    assert_eq!(bench.said.one::<OrderReport>().exec_type, ExecType::NEW, "it is another opening");
}
