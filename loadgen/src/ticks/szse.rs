//! Shenzhen's rows: orders (`entrust.csv`), and trades and cancels (`trade.csv`), as 300192 and 300191 have them.
//!
//! Both are numbered by ApplSeqNum, one sequence a channel, and that number is the order's name in trades and cancels.

use wire::szse::code::{ExecType, OrdType, SOURCE_SHENZHEN, Side};
use wire::szse::market::{TickOrder, TickTrade};
use wire::szse::{I64, Price, Qty, SecurityId, SecurityIdSource, Text, U16};

use super::table::{Fields, Reason, Record};
use super::time::TimeOfDay;
use super::{decimal, order};

/// A row of `entrust.csv`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// ChannelNo.
    pub channel: u16,
    /// ApplSeqNum as recorded, by which trades and cancels call the order.
    pub order_no: i64,
    /// MDStreamID.
    pub stream: Text<3>,
    /// SecurityID.
    pub security: SecurityId,
    /// SecurityIDSource.
    pub source: SecurityIdSource,
    /// Price.
    pub price: Price,
    /// OrderQty.
    pub qty: Qty,
    /// Side.
    pub side: Side,
    /// TransactTime.
    pub time: TimeOfDay,
    /// OrdType.
    pub ord_type: OrdType,
}

impl Record for Order {
    const COLUMNS: &'static [&'static str] = &[
        "ChannelNo",
        "ApplSeqNum",
        "MDStreamID",
        "SecurityID",
        "SecurityIDSource",
        "Price",
        "OrderQty",
        "Side",
        "TransactTime",
        "OrdType",
    ];

    fn parse(fields: &mut Fields<'_>) -> Result<Self, Reason> {
        Ok(Self {
            channel: fields.channel()?,
            order_no: fields.number()?,
            stream: fields.fixed()?,
            security: fields.fixed()?,
            source: fields.source(SOURCE_SHENZHEN)?,
            price: fields.price()?,
            qty: fields.qty()?,
            side: Side::from_raw(fields.code(b"12GF", "1, 2, G or F")?),
            time: fields.time()?,
            ord_type: OrdType::from_raw(fields.code(b"12U", "1, 2 or U")?),
        })
    }
}

impl Order {
    pub(super) fn encode(&self, number: i64, date: u32, out: &mut Vec<u8>) {
        let tick = TickOrder {
            channel_no: U16::new(self.channel),
            appl_seq_num: I64::new(number),
            md_stream_id: self.stream,
            security_id: self.security,
            security_id_source: self.source,
            price: self.price,
            order_qty: self.qty,
            side: self.side,
            transact_time: self.time.on(date),
            ord_type: self.ord_type,
        };
        order::encode(&tick, self.order_no, out);
    }

    pub(super) fn from_order(order: &TickOrder, order_no: i64) -> Self {
        Self {
            channel: order.channel_no.get(),
            order_no,
            stream: order.md_stream_id,
            security: order.security_id,
            source: order.security_id_source,
            price: order.price,
            qty: order.order_qty,
            side: order.side,
            time: TimeOfDay::of(order.transact_time),
            ord_type: order.ord_type,
        }
    }

    /// The row as its columns.
    #[must_use]
    pub fn columns(&self) -> Vec<(&'static str, String)> {
        vec![
            ("ChannelNo", self.channel.to_string()),
            ("ApplSeqNum", self.order_no.to_string()),
            ("MDStreamID", self.stream.to_string()),
            ("SecurityID", self.security.to_string()),
            ("SecurityIDSource", self.source.to_string()),
            ("Price", decimal::trimmed(self.price)),
            ("OrderQty", decimal::trimmed(self.qty)),
            ("Side", char::from(self.side.raw()).to_string()),
            ("TransactTime", self.time.to_string()),
            ("OrdType", char::from(self.ord_type.raw()).to_string()),
        ]
    }
}

/// A row of `trade.csv`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// ChannelNo.
    pub channel: u16,
    /// MDStreamID.
    pub stream: Text<3>,
    /// BidApplSeqNum as recorded.
    pub bid_no: i64,
    /// OfferApplSeqNum as recorded.
    pub offer_no: i64,
    /// SecurityID.
    pub security: SecurityId,
    /// SecurityIDSource.
    pub source: SecurityIdSource,
    /// LastPx; 0 in a cancel.
    pub price: Price,
    /// LastQty.
    pub qty: Qty,
    /// ExecType.
    pub exec_type: ExecType,
    /// TransactTime.
    pub time: TimeOfDay,
}

/// A trade and its ApplSeqNum as recorded, which orders the rows of a channel; nobody refers to it and it is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// ApplSeqNum.
    pub number: i64,
    /// The row.
    pub row: Trade,
}

impl Record for Numbered {
    const COLUMNS: &'static [&'static str] = &[
        "ApplSeqNum",
        "ChannelNo",
        "MDStreamID",
        "BidApplSeqNum",
        "OfferApplSeqNum",
        "SecurityID",
        "SecurityIDSource",
        "LastPx",
        "LastQty",
        "ExecType",
        "TransactTime",
    ];

    fn parse(fields: &mut Fields<'_>) -> Result<Self, Reason> {
        let number = fields.number()?;
        let row = Trade {
            channel: fields.channel()?,
            stream: fields.fixed()?,
            bid_no: fields.whole()?,
            offer_no: fields.whole()?,
            security: fields.fixed()?,
            source: fields.source(SOURCE_SHENZHEN)?,
            price: fields.price()?,
            qty: fields.qty()?,
            exec_type: ExecType::from_raw(fields.code(b"4F", "4 or F")?),
            time: fields.time()?,
        };
        Ok(Self { number, row })
    }
}

impl Trade {
    pub(super) fn encode(&self, number: i64, date: u32, out: &mut Vec<u8>) {
        let tick = TickTrade {
            channel_no: U16::new(self.channel),
            appl_seq_num: I64::new(number),
            md_stream_id: self.stream,
            bid_appl_seq_num: I64::new(self.bid_no),
            offer_appl_seq_num: I64::new(self.offer_no),
            security_id: self.security,
            security_id_source: self.source,
            last_px: self.price,
            last_qty: self.qty,
            exec_type: self.exec_type,
            transact_time: self.time.on(date),
        };
        wire::szse::frame::encode(&tick, out);
    }

    pub(super) fn from_trade(trade: &TickTrade) -> Self {
        Self {
            channel: trade.channel_no.get(),
            stream: trade.md_stream_id,
            bid_no: trade.bid_appl_seq_num.get(),
            offer_no: trade.offer_appl_seq_num.get(),
            security: trade.security_id,
            source: trade.security_id_source,
            price: trade.last_px,
            qty: trade.last_qty,
            exec_type: trade.exec_type,
            time: TimeOfDay::of(trade.transact_time),
        }
    }

    /// The row as its columns.
    #[must_use]
    pub fn columns(&self) -> Vec<(&'static str, String)> {
        vec![
            ("ChannelNo", self.channel.to_string()),
            ("MDStreamID", self.stream.to_string()),
            ("BidApplSeqNum", self.bid_no.to_string()),
            ("OfferApplSeqNum", self.offer_no.to_string()),
            ("SecurityID", self.security.to_string()),
            ("SecurityIDSource", self.source.to_string()),
            ("LastPx", decimal::trimmed(self.price)),
            ("LastQty", decimal::trimmed(self.qty)),
            ("ExecType", char::from(self.exec_type.raw()).to_string()),
            ("TransactTime", self.time.to_string()),
        ]
    }
}
