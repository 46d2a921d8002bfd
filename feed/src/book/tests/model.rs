//! A small exchange, as plain as can be: a list of orders, and what it publishes of them.

use crate::book::Books;
use flow::Tag;
use std::collections::BTreeMap;
use wire::szse::code::{
    ExecType, MdEntryType, OrdType, SOURCE_SHANGHAI, SOURCE_SHENZHEN, STREAM_SNAPSHOT, STREAM_TICK, Side,
};
use wire::szse::ext::ExtendedTickOrder;
use wire::szse::market::{MdEntry, Snapshot, SnapshotHead, TickOrder, TickTrade};
use wire::szse::{I64, Message, Price, Qty, SecurityId, SecurityIdSource, Text, Timestamp, U16, frame};

pub(super) const CHANNEL: u16 = 2_011;
pub(super) const KEY: u32 = 1;
/// 09:30.
const OPEN: i64 = 20_240_105_093_000_000;

/// Which exchange it is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// An order comes first, then its trades.
    Shenzhen,
    /// Its trades come first, then what is left of it.
    Shanghai,
}

/// What it publishes.
#[derive(Clone, Debug)]
pub(super) enum Out {
    Tick(Tag, Vec<u8>),
    Snapshot(Vec<u8>),
}

#[derive(Clone, Copy, Debug)]
struct Resting {
    number: i64,
    buys: bool,
    price: i64,
    quantity: i64,
}

pub(super) struct Exchange {
    style: Style,
    /// In the order of arrival.
    orders: Vec<Resting>,
    orders_so_far: i64,
    number: u64,
    ms: u32,
    trades: i64,
    volume: i64,
    pub(super) out: Vec<Out>,
}

/// Levels of one side, the best first: price, quantity, orders.
pub(super) type Levels = Vec<(i64, i64, i64)>;

fn security() -> SecurityId {
    Text::literal("000001")
}

impl Exchange {
    pub(super) fn new(style: Style) -> Self {
        Self { style, orders: vec![], orders_so_far: 0, number: 0, ms: 0, trades: 0, volume: 0, out: vec![] }
    }

    fn source(&self) -> SecurityIdSource {
        if self.style == Style::Shenzhen { SOURCE_SHENZHEN } else { SOURCE_SHANGHAI }
    }

    fn time(&self) -> Timestamp {
        let (minutes, ms) = (self.ms / 60_000, self.ms % 60_000);
        Timestamp::from_raw(OPEN + i64::from(minutes * 100_000 + ms))
    }

    pub(super) fn wait(&mut self, ms: u32) {
        self.ms += ms;
    }

    fn numbers(&self, side: Side, number: i64) -> (I64, I64) {
        if side == Side::BUY { (I64::new(number), I64::ZERO) } else { (I64::ZERO, I64::new(number)) }
    }

    fn tick<M: Message>(&mut self, message: impl FnOnce(I64) -> M) {
        self.number += 1;
        let mut bytes = Vec::new();
        frame::encode(&message(I64::new(self.number as i64)), &mut bytes);
        self.out.push(Out::Tick(self.tag(), bytes));
    }

    fn tag(&self) -> Tag {
        Tag { lane: CHANNEL, number: self.number, key: KEY }
    }

    fn publish_order(&mut self, order: Resting, ord_type: OrdType, price: i64) {
        let tick = TickOrder {
            channel_no: U16::new(CHANNEL),
            md_stream_id: STREAM_TICK,
            security_id: security(),
            security_id_source: self.source(),
            price: Price::from_raw(price),
            order_qty: Qty::from_raw(order.quantity),
            side: if order.buys { Side::BUY } else { Side::SELL },
            transact_time: self.time(),
            ord_type,
            ..TickOrder::default()
        };
        if self.style == Style::Shenzhen {
            return self.tick(|appl_seq_num| TickOrder { appl_seq_num, ..tick });
        }
        self.number += 1;
        let tick = TickOrder { appl_seq_num: I64::new(self.number as i64), ..tick };
        let mut bytes = Vec::new();
        let extended = ExtendedTickOrder { order: &tick, extension: &order.number.to_be_bytes() };
        extended.encode(&mut bytes).unwrap();
        self.out.push(Out::Tick(self.tag(), bytes));
    }

    fn publish_trade(&mut self, (bid, offer): (I64, I64), price: i64, quantity: i64, exec_type: ExecType) {
        let (security_id_source, transact_time) = (self.source(), self.time());
        self.tick(|appl_seq_num| TickTrade {
            channel_no: U16::new(CHANNEL),
            appl_seq_num,
            md_stream_id: STREAM_TICK,
            bid_appl_seq_num: bid,
            offer_appl_seq_num: offer,
            security_id: security(),
            security_id_source,
            last_px: Price::from_raw(price),
            last_qty: Qty::from_raw(quantity),
            exec_type,
            transact_time,
        });
    }

    /// The best order that an order would trade with, if there is one.
    fn best(&self, buys: bool, limit: Option<i64>) -> Option<usize> {
        let reach = |order: &&(usize, &Resting)| {
            let price = order.1.price;
            order.1.buys != buys
                && limit.is_none_or(|limit| if buys { price <= limit } else { price >= limit })
        };
        let better = |(_, order): &(usize, &Resting)| if buys { order.price } else { -order.price };
        self.orders
            .iter()
            .enumerate()
            .filter(|order| reach(&order))
            .min_by_key(better)
            .map(|(index, _)| index)
    }

    fn next_number(&mut self) -> i64 {
        self.orders_so_far += 1;
        if self.style == Style::Shenzhen { self.number as i64 + 1 } else { 10 * self.orders_so_far }
    }

    /// A limit order, in trading.
    pub(super) fn limit(&mut self, buys: bool, price: i64, quantity: i64) {
        let number = self.next_number();
        let mut order = Resting { number, buys, price, quantity };
        if self.style == Style::Shenzhen {
            self.publish_order(order, OrdType::LIMIT, price);
        }
        self.fill(&mut order, Some(price));
        if order.quantity > 0 {
            self.orders.push(order);
            if self.style == Style::Shanghai {
                self.publish_order(order, OrdType::LIMIT, price);
            }
        }
    }

    /// A market order: what is left of it rests where it traded last, or is cancelled if it has not traded. (Shenzhen alone.)
    pub(super) fn market(&mut self, buys: bool, quantity: i64) {
        let mut order = Resting { number: self.next_number(), buys, price: 0, quantity };
        self.publish_order(order, OrdType::MARKET, 0);
        // At the best price of the other side, and no further.
        let limit = self.best(buys, None).map(|index| self.orders[index].price);
        match limit {
            Some(limit) => self.fill(&mut order, Some(limit)),
            None => {
                let side = if buys { Side::BUY } else { Side::SELL };
                self.publish_trade(self.numbers(side, order.number), 0, quantity, ExecType::CANCELLED);
            }
        }
        if let Some(price) = limit.filter(|_| order.quantity > 0) {
            self.orders.push(Resting { price, ..order });
        }
    }

    /// An order at the best price of its side, if that has one. (Shenzhen alone.)
    pub(super) fn own_best(&mut self, buys: bool, quantity: i64) {
        let Some(index) = self.best(!buys, None) else { return };
        let price = self.orders[index].price;
        let order = Resting { number: self.next_number(), buys, price, quantity };
        self.publish_order(order, OrdType::OWN_BEST, 0);
        self.orders.push(order);
    }

    fn fill(&mut self, order: &mut Resting, limit: Option<i64>) {
        while order.quantity > 0
            && let Some(index) = self.best(order.buys, limit)
        {
            let other = self.orders[index];
            let quantity = order.quantity.min(other.quantity);
            order.quantity -= quantity;
            self.take(index, quantity);
            let (bid, offer) =
                if order.buys { (order.number, other.number) } else { (other.number, order.number) };
            self.trade((bid, offer), other.price, quantity);
        }
    }

    fn take(&mut self, index: usize, quantity: i64) {
        self.orders[index].quantity -= quantity;
        if self.orders[index].quantity == 0 {
            self.orders.remove(index);
        }
    }

    fn trade(&mut self, (bid, offer): (i64, i64), price: i64, quantity: i64) {
        self.trades += 1;
        self.volume += quantity;
        self.publish_trade((I64::new(bid), I64::new(offer)), price, quantity, ExecType::TRADE);
    }

    /// The owner of one of the orders takes it back.
    pub(super) fn cancel(&mut self, which: usize) {
        if self.orders.is_empty() {
            return;
        }
        let order = self.orders.remove(which % self.orders.len());
        let side = if order.buys { Side::BUY } else { Side::SELL };
        let price = if self.style == Style::Shenzhen { 0 } else { order.price };
        self.publish_trade(self.numbers(side, order.number), price, order.quantity, ExecType::CANCELLED);
    }

    /// An order in an auction: nothing trades.
    pub(super) fn collect(&mut self, buys: bool, price: i64, quantity: i64) {
        let order = Resting { number: self.next_number(), buys, price, quantity };
        self.publish_order(order, OrdType::LIMIT, price);
        self.orders.push(order);
    }

    /// What an auction would come to: the price that trades most and leaves least, what trades, and what is left.
    pub(super) fn outcome(&self) -> Option<(i64, i64, i64)> {
        let wants = |buys: bool, price: i64| -> i64 {
            let reaches = |order: &&Resting| {
                order.buys == buys && if buys { order.price >= price } else { order.price <= price }
            };
            self.orders.iter().filter(reaches).map(|order| order.quantity).sum()
        };
        let outcome = |order: &Resting| {
            let (buys, sells) = (wants(true, order.price), wants(false, order.price));
            (order.price, buys.min(sells), buys - sells)
        };
        let outcomes = self.orders.iter().map(outcome).filter(|(_, volume, _)| *volume > 0);
        outcomes.max_by_key(|(price, volume, surplus)| (*volume, -surplus.abs(), *price))
    }

    /// The auction ends at its price.
    pub(super) fn uncross(&mut self) {
        let Some((price, mut left, _)) = self.outcome() else { return };
        while left > 0 {
            let of_side = |buys: bool| {
                let better = |(_, order): &(usize, &Resting)| if buys { -order.price } else { order.price };
                let side = self.orders.iter().enumerate().filter(|(_, order)| order.buys == buys);
                side.min_by_key(better).map(|(index, order)| (index, *order)).unwrap()
            };
            let ((_, bid), (_, offer)) = (of_side(true), of_side(false));
            let quantity = left.min(bid.quantity).min(offer.quantity);
            for number in [bid.number, offer.number] {
                let index = self.orders.iter().position(|order| order.number == number).unwrap();
                self.take(index, quantity);
            }
            self.trade((bid.number, offer.number), price, quantity);
            left -= quantity;
        }
    }

    /// Levels of a side, the best first.
    pub(super) fn levels(&self, buys: bool) -> Levels {
        let mut levels: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
        for order in self.orders.iter().filter(|order| order.buys == buys) {
            let level = levels.entry(if buys { -order.price } else { order.price }).or_default();
            *level = (level.0 + order.quantity, level.1 + 1);
        }
        levels.into_iter().map(|(rank, (quantity, orders))| (rank.abs(), quantity, orders)).collect()
    }

    /// A snapshot of now.
    pub(super) fn snapshot(&mut self, auction: bool) {
        let head = SnapshotHead {
            orig_time: self.time(),
            channel_no: U16::new(CHANNEL),
            md_stream_id: STREAM_SNAPSHOT,
            security_id: security(),
            security_id_source: self.source(),
            num_trades: I64::new(self.trades),
            total_volume_trade: Qty::from_raw(self.volume),
            ..SnapshotHead::default()
        };
        let entry = |kind: &[u8; 2], number: u16, (price, quantity, orders): (i64, i64, i64)| MdEntry {
            md_entry_type: MdEntryType::from_raw(u16::from_be_bytes(*kind)),
            md_entry_px: wire::szse::MdEntryPx::from_price(Price::from_raw(price)).unwrap(),
            md_entry_size: Qty::from_raw(quantity),
            md_price_level: U16::new(number),
            number_of_orders: I64::new(orders),
        };
        let mut entries = Vec::new();
        let outcome = self.outcome().filter(|_| auction);
        for (buys, kind, total) in [(true, b"0 ", b"x3"), (false, b"1 ", b"x4")] {
            match outcome {
                Some((price, volume, surplus)) => {
                    entries.push(entry(kind, 1, (price, volume, 0)));
                    let left = if buys { surplus } else { -surplus };
                    entries.extend((left > 0).then(|| entry(kind, 2, (0, left, 0))));
                }
                None if auction => {}
                None => {
                    let levels = self.levels(buys);
                    let all = levels.iter().map(|level| level.1).sum();
                    entries.extend((1..=10).zip(levels).map(|(number, level)| entry(kind, number, level)));
                    entries.push(entry(total, 0, (0, all, 0)));
                }
            }
        }
        let mut bytes = Vec::new();
        Snapshot::encode(&head, &mut bytes, |writer| {
            entries.iter().try_for_each(|entry| writer.push(entry, &[]))
        })
        .unwrap();
        self.out.push(Out::Snapshot(bytes));
    }
}

/// The books take what was published.
pub(super) fn take(books: &mut Books, out: &[Out]) {
    for out in out {
        match out {
            Out::Tick(tag, bytes) => books.take(*tag, bytes),
            Out::Snapshot(bytes) => books.take(Tag { lane: CHANNEL, number: 0, key: KEY }, bytes),
        }
    }
}
