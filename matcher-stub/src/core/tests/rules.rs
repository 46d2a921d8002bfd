//! Each rule and each refusal by itself.

use super::{Bench, CASH, MARGIN, OPEN_NS, Tapped, cancel_of, settings};
use crate::core::{CancelRefusal, Refusal};
use wire::szse::code::{
    CashMargin, ExecType, MdEntryType, OrdRejReason, OrdStatus, OrdType, SOURCE_SHANGHAI, Side, TimeInForce,
};
use wire::szse::market::{ChannelHeartbeat, Snapshot, TickOrder, TickTrade};
use wire::szse::trading::{CancelReject, NewOrder, OrderReport, TradeReport};
use wire::szse::{Price, Qty, SecurityId, Text, Timestamp, U16, frame};

type Change = fn(&mut NewOrder);

fn px(text: &str) -> Price {
    text.parse().unwrap()
}

#[test]
fn an_order_that_rests_is_accepted_and_published() {
    let mut bench = Bench::new();
    let order = bench.limit(Side::BUY, "9.90", 300);
    let frames = bench.said.frames.len();
    assert_eq!(frames, 2, "one tick and one report");
    let mut tick = Tapped { frames: bench.said.frames.clone() };
    let tick: TickOrder = tick.one();
    assert_eq!((tick.appl_seq_num.get(), tick.price, tick.order_qty), (1, px("9.90"), Qty::whole(300)));
    assert_eq!(tick.transact_time, Timestamp::from_unix_ns(OPEN_NS));
    let report: OrderReport = bench.said.one();
    assert_eq!((report.exec_type, report.ord_status), (ExecType::NEW, OrdStatus::NEW));
    assert_eq!((report.leaves_qty, report.cum_qty), (Qty::whole(300), Qty::ZERO));
    assert_eq!((report.cl_ord_id, report.account_id), (order.cl_ord_id, order.account_id));
    assert_eq!(report.base.user_info, order.base.user_info);
    assert_eq!(report.order_id, Text::literal("0001000000000001"));
    assert_eq!(report.base.report_index.get(), 1);
}

#[test]
fn a_trade_is_at_the_resting_price_and_reported_to_both() {
    let mut bench = Bench::new();
    let sell = bench.limit(Side::SELL, "9.80", 200);
    let buy = bench.limit(Side::BUY, "9.90", 300);
    let ticks = Tapped { frames: bench.said.frames.clone() }.take::<TickTrade>();
    let trades = bench.said.take::<TradeReport>();
    assert_eq!(trades.len(), 2);
    assert_eq!((trades[0].cl_ord_id, trades[1].cl_ord_id), (buy.cl_ord_id, sell.cl_ord_id));
    assert!(trades.iter().all(|trade| trade.last_px == px("9.80") && trade.last_qty == Qty::whole(200)));
    assert_eq!((trades[0].ord_status, trades[0].leaves_qty), (OrdStatus::PARTIALLY_FILLED, Qty::whole(100)));
    assert_eq!((trades[1].ord_status, trades[1].leaves_qty), (OrdStatus::FILLED, Qty::ZERO));
    assert_eq!(ticks.len(), 1);
    assert_eq!((ticks[0].bid_appl_seq_num.get(), ticks[0].offer_appl_seq_num.get()), (2, 1));
    assert_eq!((ticks[0].appl_seq_num.get(), ticks[0].exec_type), (3, ExecType::TRADE));
}

#[test]
fn what_does_not_rest_is_cancelled() {
    let changes: [Change; 4] = [
        |order| order.ext.time_in_force = TimeInForce::IMMEDIATE_OR_CANCEL,
        |order| (order.ord_type, order.price) = (OrdType::MARKET, Price::ZERO),
        |order| (order.ord_type, order.ext.max_price_levels) = (OrdType::MARKET, U16::new(1)),
        |order| {
            order.ext.time_in_force = TimeInForce::IMMEDIATE_OR_CANCEL;
            order.ext.min_qty = Qty::whole(300);
        },
    ];
    for (change, filled) in changes.into_iter().zip([100, 200, 100, 0]) {
        let mut bench = Bench::new();
        bench.limit(Side::SELL, "10.00", 100);
        bench.limit(Side::SELL, "10.10", 100);
        bench.said.frames.clear();
        let mut order = bench.request(Side::BUY, "10.00", 300);
        change(&mut order);
        bench.send_at(CASH, &order);
        let ticks = Tapped { frames: bench.said.frames.clone() }.take::<TickTrade>();
        let reports = bench.said.take::<OrderReport>();
        assert_eq!(reports.len(), 2, "accepted, then cancelled");
        let end = reports[1];
        assert_eq!((end.exec_type, end.ord_status), (ExecType::CANCELLED, OrdStatus::CANCELLED));
        assert_eq!((end.cum_qty, end.leaves_qty), (Qty::whole(filled), Qty::ZERO));
        assert_eq!((end.cl_ord_id, end.orig_cl_ord_id), (order.cl_ord_id, order.cl_ord_id));
        let last = ticks.last().unwrap();
        assert_eq!((last.exec_type, last.last_qty), (ExecType::CANCELLED, Qty::whole(300 - filled)));
        assert_eq!((last.last_px, last.offer_appl_seq_num.get()), (Price::ZERO, 0));
    }
}

#[test]
fn own_best_joins_its_side_and_is_cancelled_where_there_is_none() {
    let mut bench = Bench::new();
    let mut lonely = bench.request(Side::BUY, "0", 100);
    lonely.ord_type = OrdType::OWN_BEST;
    bench.send_at(CASH, &lonely);
    assert_eq!(bench.said.take::<OrderReport>()[1].exec_type, ExecType::CANCELLED);
    bench.limit(Side::BUY, "9.95", 100);
    let mut joins = bench.request(Side::BUY, "0", 100);
    joins.ord_type = OrdType::OWN_BEST;
    bench.said.frames.clear();
    bench.send_at(CASH, &joins);
    assert_eq!(bench.said.one::<TickOrder>().price, px("9.95"));
    bench.limit(Side::SELL, "9.95", 200);
    let makers: Vec<_> = bench.said.take::<TradeReport>().iter().map(|trade| trade.cl_ord_id).collect();
    assert_eq!(makers[3], joins.cl_ord_id, "it stands behind the order it joined");
}

#[test]
fn a_cancel_takes_the_rest_out_once() {
    let mut bench = Bench::new();
    let order = bench.limit(Side::SELL, "10.00", 300);
    bench.limit(Side::BUY, "10.00", 100);
    bench.said.frames.clear();
    bench.cancel(&cancel_of(&order, 1));
    let tick: TickTrade = Tapped { frames: bench.said.frames.clone() }.one();
    assert_eq!((tick.exec_type, tick.last_qty), (ExecType::CANCELLED, Qty::whole(200)));
    assert_eq!((tick.bid_appl_seq_num.get(), tick.offer_appl_seq_num.get()), (0, 1));
    let report: OrderReport = bench.said.one();
    assert_eq!((report.cl_ord_id, report.orig_cl_ord_id), (Text::literal("C000000001"), order.cl_ord_id));
    assert_eq!((report.ord_status, report.cum_qty), (OrdStatus::CANCELLED, Qty::whole(100)));

    bench.cancel(&cancel_of(&order, 2));
    let reject: CancelReject = bench.said.one();
    assert_eq!(reject.cxl_rej_reason, CancelRefusal::TooLate.reason());
    assert_eq!(reject.ord_status, OrdStatus::CANCELLED);
}

#[test]
fn a_cancel_means_one_order_or_none() {
    let mut bench = Bench::new();
    let mine = bench.limit(Side::BUY, "9.90", 100);
    let refused = |bench: &mut Bench, change: fn(&mut wire::szse::trading::OrderCancelRequest)| {
        let mut cancel = cancel_of(&mine, 1);
        change(&mut cancel);
        bench.said.frames.clear();
        bench.cancel(&cancel);
        bench.said.one::<CancelReject>().cxl_rej_reason
    };
    let unknown = CancelRefusal::UnknownOrder.reason();
    assert_eq!(refused(&mut bench, |cancel| cancel.orig_cl_ord_id = Text::literal("other")), unknown);
    assert_eq!(refused(&mut bench, |cancel| cancel.side = Side::SELL), unknown);
    assert_eq!(refused(&mut bench, |cancel| cancel.base.security_id = Text::literal("000002")), unknown);
    assert_eq!(refused(&mut bench, |cancel| cancel.order_id = Text::literal("0001000000000009")), unknown);
    assert_eq!(refused(&mut bench, |cancel| cancel.order_id = Text::literal("nonsense")), unknown);

    let mut namesake = mine;
    namesake.account_id = Text::literal("A2");
    bench.send_at(CASH, &namesake);
    assert_eq!(refused(&mut bench, |_| ()), CancelRefusal::SeveralOrders.reason());
    bench.said.frames.clear();
    assert_eq!(refused(&mut bench, |cancel| cancel.orig_cl_ord_id = Text::BLANK), unknown);
    bench.said.frames.clear();
    let mut cancel = cancel_of(&mine, 2);
    (cancel.order_id, cancel.orig_cl_ord_id) = (Text::literal("0001000000000002"), Text::BLANK);
    bench.cancel(&cancel);
    assert_eq!(bench.said.one::<OrderReport>().account_id, namesake.account_id);
    bench.core.cancel(bench.now(), MARGIN, &cancel_of(&mine, 3), &mut bench.said);
    let at_other_desk: CancelReject = bench.said.one();
    assert_eq!(at_other_desk.cxl_rej_reason, unknown);
    assert_eq!(bench.core.counts().cancels_refused, [7, 0, 1, 0, 0]);
}

#[test]
fn the_same_identity_is_never_two_orders() {
    let mut bench = Bench::new();
    let order = bench.limit(Side::BUY, "9.90", 100);
    bench.said.frames.clear();
    bench.send_at(CASH, &order);
    assert_eq!(bench.said.frames.len(), 1, "a report, and nothing for the market");
    let report: OrderReport = bench.said.one();
    assert_eq!(
        (report.exec_type, report.ord_rej_reason),
        (ExecType::REJECTED, OrdRejReason::DUPLICATE_ORDER)
    );
    assert_eq!(report.order_id, Text::literal("0001000000000001"), "the order that has the identity");
    assert_eq!(bench.core.orders_len(), 1);

    let mut bad = bench.request(Side::BUY, "9.90", 100);
    bad.base.security_id = Text::literal("999999");
    bench.send_at(CASH, &bad);
    bad.base.security_id = Text::literal("000001");
    bench.send_at(MARGIN, &bad);
    let reasons: Vec<_> =
        bench.said.take::<OrderReport>().iter().map(|report| report.ord_rej_reason).collect();
    assert_eq!(reasons, [OrdRejReason::UNKNOWN_SECURITY, OrdRejReason::DUPLICATE_ORDER]);
}

#[test]
fn every_refusal_has_its_answer_and_its_counter() {
    let cases: [(Refusal, Change); 21] = [
        (Refusal::NoIdentity, |order| order.cl_ord_id = Text::BLANK),
        (Refusal::NoIdentity, |order| order.account_id = Text::BLANK),
        (Refusal::UnknownSecurity, |order| order.base.security_id = SecurityId::literal("600519")),
        (Refusal::UnknownSecurity, |order| order.base.security_id_source = SOURCE_SHANGHAI),
        (Refusal::Unsupported, |order| order.base.appl_id = Text::literal("020")),
        (Refusal::Unsupported, |order| order.side = Side::LEND),
        (Refusal::Unsupported, |order| order.ord_type = OrdType::from_raw(b'9')),
        (Refusal::Unsupported, |order| order.ext.time_in_force = TimeInForce::from_raw(b'1')),
        (Refusal::Unsupported, |order| order.ext.stop_px = px("1")),
        (Refusal::Unsupported, |order| order.ext.min_qty = Qty::whole(100)),
        (Refusal::CashMargin, |order| order.ext.cash_margin = CashMargin::MARGIN_OPEN),
        (Refusal::CashMargin, |order| order.ext.cash_margin = CashMargin::from_raw(0)),
        (Refusal::Quantity, |order| order.order_qty = Qty::ZERO),
        (Refusal::Quantity, |order| order.order_qty = Qty::whole(-100)),
        (Refusal::Quantity, |order| order.order_qty = Qty::whole(150)),
        (Refusal::Quantity, |order| (order.side, order.order_qty) = (Side::SELL, Qty::from_raw(150))),
        (Refusal::TooLarge, |order| order.order_qty = Qty::whole(1_000_100)),
        (Refusal::Price, |order| order.price = px("11.01")),
        (Refusal::Price, |order| order.price = px("8.99")),
        (Refusal::Price, |order| order.price = px("9.905")),
        (Refusal::Price, |order| order.price = Price::from_raw(i64::MIN)),
    ];
    let mut bench = Bench::new();
    for (refusal, change) in cases {
        let mut order = bench.request(Side::BUY, "9.90", 100);
        change(&mut order);
        let before = bench.core.counts().refused[refusal as usize];
        bench.send_at(CASH, &order);
        let report: OrderReport = bench.said.one();
        assert_eq!(report.exec_type, ExecType::REJECTED, "{refusal:?}");
        assert_eq!(report.ord_rej_reason, refusal.reason());
        assert_eq!((report.leaves_qty, report.cum_qty), (Qty::ZERO, Qty::ZERO));
        assert_eq!(bench.core.counts().refused[refusal as usize], before + 1, "{refusal:?}");
    }
    assert_eq!(bench.core.counts().accepted, 0);
}

#[test]
fn an_odd_remainder_may_be_sold_but_not_bought() {
    let mut bench = Bench::new();
    bench.limit(Side::SELL, "10.00", 37);
    assert_eq!(bench.said.one::<OrderReport>().exec_type, ExecType::NEW);
}

#[test]
fn a_short_sale_is_not_below_the_last_trade() {
    let mut bench = Bench::new();
    let short = |bench: &mut Bench, price: &str| {
        let mut order = bench.request(Side::SELL, price, 100);
        order.ext.cash_margin = CashMargin::MARGIN_OPEN;
        bench.said.frames.clear();
        bench.send_at(MARGIN, &order);
        bench.said.take::<OrderReport>()[0].ord_rej_reason
    };
    let refused = Refusal::ShortSalePrice.reason();
    assert_eq!(short(&mut bench, "9.99"), refused, "below the previous close");
    assert_eq!(short(&mut bench, "10.00"), OrdRejReason::NONE);
    bench.limit(Side::BUY, "10.00", 100);
    bench.limit(Side::SELL, "9.50", 100);
    bench.limit(Side::BUY, "9.50", 100);
    assert_eq!(short(&mut bench, "9.49"), refused, "below the last trade");
    assert_eq!(short(&mut bench, "9.50"), OrdRejReason::NONE);
    let mut market = bench.request(Side::SELL, "0", 100);
    (market.ord_type, market.ext.cash_margin) = (OrdType::MARKET, CashMargin::MARGIN_OPEN);
    bench.said.frames.clear();
    bench.send_at(MARGIN, &market);
    assert_eq!(bench.said.one::<OrderReport>().ord_rej_reason, OrdRejReason::UNSUPPORTED);
}

#[test]
fn desks_share_the_books_and_keep_their_partitions() {
    let mut bench = Bench::new();
    let mut buy = bench.request(Side::BUY, "10.00", 100);
    buy.ext.cash_margin = CashMargin::MARGIN_OPEN;
    bench.send_at(MARGIN, &buy);
    bench.limit(Side::SELL, "10.00", 100);
    let trades = bench.said.take::<TradeReport>();
    let partitions: Vec<i32> = trades.iter().map(|trade| trade.base.partition_no.get()).collect();
    assert!((1..=3).contains(&partitions[0]) && (11..=12).contains(&partitions[1]), "{partitions:?}");
    assert_eq!(trades[1].cash_margin, CashMargin::MARGIN_OPEN);
    let mut cash_at_margin = bench.request(Side::BUY, "10.00", 100);
    cash_at_margin.ext.cash_margin = CashMargin::CASH;
    bench.send_at(MARGIN, &cash_at_margin);
    assert_eq!(bench.said.one::<OrderReport>().ord_rej_reason, Refusal::CashMargin.reason());
}

#[test]
fn a_full_day_takes_no_more_orders() {
    let mut bench = Bench::with(super::Settings { orders_max: 2, ..settings() });
    bench.limit(Side::BUY, "9.90", 100);
    bench.limit(Side::BUY, "9.90", 100);
    bench.said.frames.clear();
    bench.limit(Side::BUY, "9.90", 100);
    let report: OrderReport = bench.said.one();
    assert_eq!(report.ord_rej_reason, Refusal::DayFull.reason());
    assert_eq!(report.order_id, Text::BLANK);
}

#[test]
fn a_snapshot_shows_what_changed_on_its_pace() {
    let mut bench = Bench::new();
    bench.tick(0);
    bench.said.frames.clear();
    bench.limit(Side::SELL, "10.10", 300);
    bench.limit(Side::SELL, "10.10", 200);
    bench.limit(Side::SELL, "10.20", 100);
    bench.limit(Side::BUY, "10.10", 100);
    bench.limit(Side::BUY, "9.90", 500);
    bench.said.frames.clear();
    bench.tick(2_999);
    assert!(bench.said.frames.is_empty(), "not due yet");
    bench.tick(1);
    let (_, tag, bytes) = bench.said.frames.remove(0);
    assert_eq!((tag.number, tag.key), (0, 1));
    let frame = frame::decode(&bytes, frame::BODY_LEN_MAX).unwrap().unwrap();
    let snapshot: Snapshot<'_> = frame.group().unwrap();
    assert_eq!(snapshot.head.total_value_trade.to_string(), "1010.0000");
    assert_eq!((snapshot.head.num_trades.get(), snapshot.head.total_volume_trade), (1, Qty::whole(100)));
    let entries: Vec<_> = snapshot
        .entries()
        .map(|at| {
            let price = at.entry.md_entry_px.to_price().unwrap().to_string();
            let orders: Vec<i64> = at.orders.iter().map(|quantity| quantity.raw() / Qty::SCALE).collect();
            (at.entry.md_entry_type, at.entry.md_price_level.get(), price, at.entry.md_entry_size, orders)
        })
        .collect();
    let entry = |kind, level, price: &str, shares, orders: &[i64]| {
        (kind, level, format!("{price}00"), Qty::whole(shares), orders.to_vec())
    };
    let expected = [
        entry(MdEntryType::BID, 1, "9.90", 500, &[500]),
        entry(MdEntryType::ASK, 1, "10.10", 400, &[200, 200]),
        entry(MdEntryType::ASK, 2, "10.20", 100, &[]),
        entry(MdEntryType::LAST, 0, "10.10", 0, &[]),
        entry(MdEntryType::OPEN, 0, "10.10", 0, &[]),
        entry(MdEntryType::HIGH, 0, "10.10", 0, &[]),
        entry(MdEntryType::LOW, 0, "10.10", 0, &[]),
        entry(MdEntryType::UPPER_LIMIT, 0, "11.00", 0, &[]),
        entry(MdEntryType::LOWER_LIMIT, 0, "9.00", 0, &[]),
    ];
    assert_eq!(entries, expected);
    bench.said.frames.clear();
    bench.tick(2_000);
    bench.tick(1_000);
    assert!(bench.said.frames.iter().all(|(_, _, bytes)| super::view::<ChannelHeartbeat>(bytes).is_some()));
}

#[test]
fn a_cancel_alone_makes_a_snapshot_due() {
    let mut bench = Bench::new();
    let order = bench.limit(Side::SELL, "10.10", 300);
    bench.tick(0);
    bench.cancel(&cancel_of(&order, 1));
    bench.said.frames.clear();
    bench.tick(3_000);
    let snapshots = bench.said.frames.iter().filter(|(_, tag, bytes)| {
        tag.key == 1
            && frame::decode(bytes, frame::BODY_LEN_MAX).unwrap().unwrap().group::<Snapshot<'_>>().is_ok()
    });
    assert_eq!(snapshots.count(), 1);
}

#[test]
fn a_silent_channel_says_how_far_it_has_come() {
    let mut bench = Bench::new();
    bench.limit(Side::BUY, "9.90", 100);
    bench.said.frames.clear();
    bench.tick(2_000);
    let first = bench.said.take::<ChannelHeartbeat>();
    // Security 000001 is in channel 2011, which spoke just now; 2012 never did.
    let told: Vec<_> = first.iter().map(|at| (at.channel_no.get(), at.appl_last_seq_num.get())).collect();
    assert_eq!(told, [(2012, 0)]);
    bench.tick(1_000);
    let told: Vec<_> = bench.said.take::<ChannelHeartbeat>();
    let told: Vec<_> = told.iter().map(|at| (at.channel_no.get(), at.appl_last_seq_num.get())).collect();
    assert_eq!(told, [(2011, 1)]);
}
