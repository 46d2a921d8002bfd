//! Judges a core by its frames alone: it knows the reports and the market data, not the requests, and rebuilds from
//! each of them what the other says too.

use super::{Flow, auction, view};
use flow::Tag;
use std::collections::{BTreeMap, HashMap};
use wire::szse::code::{ExecType, MdEntryType, OrdStatus, OrdType, Side};
use wire::szse::market::{ChannelHeartbeat, Snapshot, TickOrder, TickTrade};
use wire::szse::trading::{OrderReport, TradeReport};
use wire::szse::{MdEntryPx, Price, SecurityId, Text, frame};

/// An order as reports tell it, raw quantities.
#[derive(Clone, Copy, Debug)]
struct Reported {
    side: Side,
    quantity: i64,
    traded: i64,
    cancelled: i64,
    security: SecurityId,
}

/// An order as market data tells it.
#[derive(Clone, Copy, Debug)]
struct Ticked {
    security: SecurityId,
    side: Side,
    price: i64,
    rests: bool,
    left: i64,
}

/// The price of the first entry of a type.
fn price_of(snapshot: &Snapshot<'_>, kind: MdEntryType) -> Option<Price> {
    let first = snapshot.entries().find(|at| at.entry.md_entry_type == kind)?;
    Some(Price::from_raw(first.entry.md_entry_px.raw() / (MdEntryPx::SCALE / Price::SCALE)))
}

#[derive(Default)]
pub(super) struct Checker {
    last_number: HashMap<(u8, u16), u64>,
    reported: HashMap<Text<16>, Reported>,
    exec_ids: std::collections::HashSet<Text<16>>,
    /// By channel and ApplSeqNum, which is the order of time.
    ticked: BTreeMap<(u16, i64), Ticked>,
    /// Volume traded by security as reports of buys, reports of sells, and ticks tell it.
    volume: HashMap<SecurityId, [i64; 3]>,
}

impl Checker {
    pub(super) fn frame(&mut self, flow: Flow, tag: Tag, bytes: &[u8]) {
        if tag.number != 0 {
            let last = self.last_number.entry((flow as u8, tag.lane)).or_default();
            *last += 1;
            assert_eq!(tag.number, *last, "numbers are contiguous from 1 in {flow:?} {}", tag.lane);
        }
        if let Some(report) = view::<OrderReport>(bytes) {
            assert_eq!(
                (report.base.partition_no.get(), report.base.report_index.get()),
                (i32::from(tag.lane), tag.number as i64)
            );
            self.order_report(&report);
        } else if let Some(report) = view::<TradeReport>(bytes) {
            self.trade_report(&report);
        } else if let Some(tick) = view::<TickOrder>(bytes) {
            assert_eq!((tick.channel_no.get(), tick.appl_seq_num.get()), (tag.lane, tag.number as i64));
            self.tick_order(&tick);
        } else if let Some(tick) = view::<TickTrade>(bytes) {
            assert_eq!((tick.channel_no.get(), tick.appl_seq_num.get()), (tag.lane, tag.number as i64));
            self.tick_trade(&tick);
        } else if let Some(heartbeat) = view::<ChannelHeartbeat>(bytes) {
            let last = self.last_number.get(&(Flow::Market as u8, tag.lane)).copied().unwrap_or(0);
            assert_eq!(heartbeat.appl_last_seq_num.get(), last as i64);
        } else if flow == Flow::Market {
            self.snapshot(bytes);
        }
    }

    fn order_report(&mut self, report: &OrderReport) {
        assert!(self.exec_ids.insert(report.exec_id), "an ExecID is given once");
        if report.exec_type == ExecType::REJECTED {
            return;
        }
        if report.exec_type == ExecType::NEW {
            let reported = Reported {
                side: report.side,
                quantity: report.order_qty.raw(),
                traded: 0,
                cancelled: 0,
                security: report.base.security_id,
            };
            assert!(self.reported.insert(report.order_id, reported).is_none(), "an order is accepted once");
            return;
        }
        let order = self.reported.get_mut(&report.order_id).expect("accepted before");
        assert_eq!(order.cancelled, 0, "cancelled once");
        assert_eq!(report.cum_qty.raw(), order.traded);
        assert_eq!(report.leaves_qty.raw(), 0);
        order.cancelled = order.quantity - order.traded;
        assert!(order.cancelled > 0, "something was left to cancel");
    }

    fn trade_report(&mut self, report: &TradeReport) {
        assert!(self.exec_ids.insert(report.exec_id), "an ExecID is given once");
        let order = self.reported.get_mut(&report.order_id).expect("accepted before");
        order.traded += report.last_qty.raw();
        assert_eq!(order.cancelled, 0, "nothing trades after a cancel");
        assert_eq!(report.cum_qty.raw(), order.traded);
        assert_eq!(report.leaves_qty.raw() + order.traded, order.quantity, "leaves + cum = quantity");
        let filled = report.leaves_qty.raw() == 0;
        assert_eq!(report.ord_status, if filled { OrdStatus::FILLED } else { OrdStatus::PARTIALLY_FILLED });
        let side = usize::from(order.side == Side::SELL);
        self.volume.entry(order.security).or_default()[side] += report.last_qty.raw();
    }

    fn tick_order(&mut self, tick: &TickOrder) {
        // A market order never rests; one at its side's best does where the tick shows a price.
        let rests = tick.ord_type == OrdType::LIMIT || tick.price > Price::ZERO;
        let order = Ticked {
            security: tick.security_id,
            side: tick.side,
            price: tick.price.raw(),
            rests,
            left: tick.order_qty.raw(),
        };
        self.ticked.insert((tick.channel_no.get(), tick.appl_seq_num.get()), order);
    }

    fn tick_trade(&mut self, tick: &TickTrade) {
        let channel = tick.channel_no.get();
        let numbers = [(tick.bid_appl_seq_num.get(), Side::BUY), (tick.offer_appl_seq_num.get(), Side::SELL)];
        let trade = tick.exec_type == ExecType::TRADE;
        let of: Vec<_> = numbers.into_iter().filter(|(number, _)| *number != 0).collect();
        assert_eq!(of.len(), if trade { 2 } else { 1 });
        for (number, side) in of {
            let order = self.ticked.get_mut(&(channel, number)).expect("published before");
            assert_eq!((order.security, order.side), (tick.security_id, side));
            order.left -= tick.last_qty.raw();
            assert!(order.left >= 0, "no order trades more than it has");
            assert!(trade || order.left == 0, "a cancel takes all that is left");
        }
        if trade {
            self.volume.entry(tick.security_id).or_default()[2] += tick.last_qty.raw();
        }
    }

    /// What rests on a side, best level first, as ticks tell it.
    fn depth(&self, security: SecurityId, side: Side) -> Vec<(i64, i64, i64)> {
        let mut levels: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
        let of = self.ticked.values().filter(|order| order.security == security && order.side == side);
        for order in of.filter(|order| order.rests && order.left > 0) {
            let level = levels.entry(order.price).or_default();
            level.0 += order.left;
            level.1 += 1;
        }
        let levels = levels.into_iter().map(|(price, (quantity, orders))| (price, quantity, orders));
        if side == Side::BUY { levels.rev().collect() } else { levels.collect() }
    }

    fn snapshot(&self, bytes: &[u8]) {
        let frame = frame::decode(bytes, frame::BODY_LEN_MAX).unwrap().unwrap();
        let snapshot: Snapshot<'_> = frame.group().expect("all else was looked at");
        let security = snapshot.head.security_id;
        let volume = self.volume.get(&security).copied().unwrap_or_default();
        assert_eq!(snapshot.head.total_volume_trade.raw(), volume[2]);
        match snapshot.head.trading_phase_code.as_str() {
            Some("O0") => return self.auction(&snapshot, snapshot.head.prev_close_px),
            Some("C0") => {
                let last = price_of(&snapshot, MdEntryType::LAST);
                return self.auction(&snapshot, last.unwrap_or(snapshot.head.prev_close_px));
            }
            _ => {}
        }
        for (side, kind) in [(Side::BUY, MdEntryType::BID), (Side::SELL, MdEntryType::ASK)] {
            let shown: Vec<_> = snapshot
                .entries()
                .filter(|at| at.entry.md_entry_type == kind)
                .map(|at| {
                    let price = at.entry.md_entry_px.raw() / (MdEntryPx::SCALE / Price::SCALE);
                    (price, at.entry.md_entry_size.raw(), at.entry.number_of_orders.get())
                })
                .collect();
            let mut expected = self.depth(security, side);
            expected.truncate(10);
            assert_eq!(shown, expected, "the snapshot shows what the ticks add up to");
        }
    }

    /// A snapshot during a call shows what the orders that rest would come to.
    fn auction(&self, snapshot: &Snapshot<'_>, reference: Price) {
        let of = self.ticked.values().filter(|order| order.security == snapshot.head.security_id);
        let resting = of.filter(|order| order.rests && order.left > 0);
        let wishes: Vec<_> = resting.map(|order| (order.side, order.price, order.left)).collect();
        let expected = auction::naive(&wishes, reference.raw()).map(|(price, volume, _)| (price, volume));
        for kind in [MdEntryType::BID, MdEntryType::ASK] {
            let first = snapshot.entries().find(|at| at.entry.md_entry_type == kind);
            let size = first.map(|at| at.entry.md_entry_size.raw());
            assert_eq!(price_of(snapshot, kind).map(Price::raw).zip(size), expected);
        }
    }

    pub(super) fn after_step(&self) {
        for security in
            self.ticked.values().map(|order| order.security).collect::<std::collections::HashSet<_>>()
        {
            let best = |side| self.depth(security, side).first().map(|level| level.0);
            if let (Some(bid), Some(ask)) = (best(Side::BUY), best(Side::SELL)) {
                assert!(bid < ask, "{security} is crossed: {bid} bid, {ask} asked");
            }
        }
    }

    pub(super) fn at_end(&self) {
        for (security, [bought, sold, ticked]) in &self.volume {
            assert!(
                bought == sold && sold == ticked,
                "{security}: {bought} bought, {sold} sold, {ticked} ticked"
            );
        }
        let left_reported: i64 =
            self.reported.values().map(|order| order.quantity - order.traded - order.cancelled).sum();
        let left_ticked: i64 = self.ticked.values().map(|order| order.left).sum();
        assert_eq!(left_reported, left_ticked, "both flows leave the same resting");
        assert!(self.ticked.values().all(|order| order.rests || order.left == 0), "what cannot rest is gone");
    }
}
