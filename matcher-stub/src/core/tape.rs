//! The channels of market data: who has which number next, and what is said when nothing happens.

use super::listing::SecurityNo;
use super::{Now, Outlet};
use crate::book::Side;
use flow::Tag;
use wire::szse::code::{ExecType, OrdType, SOURCE_SHENZHEN, STREAM_TICK, Side as SideCode};
use wire::szse::market::{ChannelHeartbeat, TickOrder, TickTrade};
use wire::szse::{I64, Price, Qty, SecurityId, U16, frame};

/// A channel and the orders and trades it carries: one sequence of ApplSeqNum from 1.
#[derive(Debug)]
struct Channel {
    number: u16,
    last: i64,
    /// When something was last said in it.
    spoke_ns: u64,
}

#[derive(Debug)]
pub(super) struct Tape {
    channels: Vec<Channel>,
    heartbeat_ns: u64,
    frame: Vec<u8>,
}

/// A security as the tape names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    pub(super) number: SecurityNo,
    pub(super) id: SecurityId,
}

impl Subject {
    /// The key in the log: 0 is for everyone there.
    pub(super) const fn key(self) -> u32 {
        self.number + 1
    }
}

/// What a tick trade says: of a trade the ApplSeqNum of both orders, of a cancel that of its one order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Print {
    exec_type: ExecType,
    bid: i64,
    offer: i64,
    price: i64,
    quantity: i64,
}

impl Print {
    /// An order of `side` traded with one of the other side.
    pub(super) fn trade(side: Side, (taker, maker): (i64, i64), price: i64, quantity: i64) -> Self {
        let (bid, offer) = match side {
            Side::Buy => (taker, maker),
            Side::Sell => (maker, taker),
        };
        Self { exec_type: ExecType::TRADE, bid, offer, price, quantity }
    }

    /// What was left of an order of `side` is gone.
    pub(super) fn cancel(side: Side, order: i64, quantity: i64) -> Self {
        let (bid, offer) = match side {
            Side::Buy => (order, 0),
            Side::Sell => (0, order),
        };
        Self { exec_type: ExecType::CANCELLED, bid, offer, price: 0, quantity }
    }
}

impl Tape {
    pub(super) fn new(channel_first: u16, channels: u16, heartbeat_ns: u64) -> Self {
        let channel = |offset| Channel { number: channel_first + offset, last: 0, spoke_ns: 0 };
        Self { channels: (0..channels).map(channel).collect(), heartbeat_ns, frame: Vec::new() }
    }

    fn index(&self, security: SecurityNo) -> usize {
        security as usize % self.channels.len()
    }

    /// The channel that carries a security.
    pub(super) fn channel_no(&self, security: SecurityNo) -> u16 {
        self.channels[self.index(security)].number
    }

    fn next(&mut self, now: Now, security: SecurityNo) -> (u16, i64) {
        let index = self.index(security);
        let channel = &mut self.channels[index];
        channel.last += 1;
        channel.spoke_ns = now.unix_ns;
        (channel.number, channel.last)
    }

    /// Publishes an order that came into the book, and returns its ApplSeqNum.
    pub(super) fn order(
        &mut self,
        now: Now,
        subject: Subject,
        (side, ord_type): (SideCode, OrdType),
        (price, quantity): (i64, i64),
        out: &mut impl Outlet,
    ) -> i64 {
        let (channel, number) = self.next(now, subject.number);
        let tick = TickOrder {
            channel_no: U16::new(channel),
            appl_seq_num: I64::new(number),
            md_stream_id: STREAM_TICK,
            security_id: subject.id,
            security_id_source: SOURCE_SHENZHEN,
            price: Price::from_raw(price),
            order_qty: Qty::from_raw(quantity),
            side,
            transact_time: now.time,
            ord_type,
        };
        self.frame.clear();
        frame::encode(&tick, &mut self.frame);
        out.market(tag(channel, number, subject), &self.frame);
        number
    }

    /// Publishes a trade, or that what was left of an order is gone.
    pub(super) fn print(&mut self, now: Now, subject: Subject, print: Print, out: &mut impl Outlet) {
        let (channel, number) = self.next(now, subject.number);
        let tick = TickTrade {
            channel_no: U16::new(channel),
            appl_seq_num: I64::new(number),
            md_stream_id: STREAM_TICK,
            bid_appl_seq_num: I64::new(print.bid),
            offer_appl_seq_num: I64::new(print.offer),
            security_id: subject.id,
            security_id_source: SOURCE_SHENZHEN,
            last_px: Price::from_raw(print.price),
            last_qty: Qty::from_raw(print.quantity),
            exec_type: print.exec_type,
            transact_time: now.time,
        };
        self.frame.clear();
        frame::encode(&tick, &mut self.frame);
        out.market(tag(channel, number, subject), &self.frame);
    }

    /// Says of each channel that was silent for the configured time how far it has come.
    pub(super) fn heartbeats(&mut self, now: Now, out: &mut impl Outlet) {
        for channel in &mut self.channels {
            if now.unix_ns.saturating_sub(channel.spoke_ns) < self.heartbeat_ns {
                continue;
            }
            channel.spoke_ns = now.unix_ns;
            let heartbeat = ChannelHeartbeat {
                channel_no: U16::new(channel.number),
                appl_last_seq_num: I64::new(channel.last),
                end_of_channel: U16::ZERO,
            };
            self.frame.clear();
            frame::encode(&heartbeat, &mut self.frame);
            out.market(Tag { lane: channel.number, number: 0, key: Tag::EVERYONE }, &self.frame);
        }
    }
}

fn tag(channel: u16, number: i64, subject: Subject) -> Tag {
    Tag { lane: channel, number: number.unsigned_abs(), key: subject.key() }
}
