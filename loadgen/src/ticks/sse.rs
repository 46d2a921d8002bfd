//! Shanghai's rows: orders that came to rest or were taken back (`entrust.csv`), and trades (`trade.csv`).
//!
//! Both are numbered by BizIndex, one sequence a channel. Shanghai publishes an order after its immediate fills, with
//! what is left of it; an order filled at once has no row.

use wire::szse::code::{ExecType, OrdType, SOURCE_SHANGHAI, STREAM_TICK, Side};
use wire::szse::market::{TickOrder, TickTrade};
use wire::szse::{Amount, I64, Price, Qty, SecurityId, U16};

use super::table::{Fields, Reason, Record};
use super::time::TimeOfDay;
use super::{decimal, order};

/// What an entrust row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `A`: the order is in the book now.
    Add,
    /// `D`: it is taken out.
    Delete,
}

/// A row of `entrust.csv`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entrust {
    /// OrderChannel.
    pub channel: u16,
    /// SecurityID.
    pub security: SecurityId,
    /// OrderTime.
    pub time: TimeOfDay,
    /// OrderType.
    pub action: Action,
    /// OrderNO: by this number trades and deletions call the order.
    pub order_no: i64,
    /// OrderPrice.
    pub price: Price,
    /// Balance: what is left of the order, or what is taken out.
    pub balance: Qty,
    /// OrderBSFlag.
    pub side: Side,
}

/// A row and its BizIndex, which orders the rows of a channel and is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Indexed<R> {
    /// BizIndex.
    pub biz_index: i64,
    /// The row.
    pub row: R,
}

impl Record for Indexed<Entrust> {
    const COLUMNS: &'static [&'static str] = &[
        "OrderChannel",
        "SecurityID",
        "OrderTime",
        "OrderType",
        "OrderNO",
        "OrderPrice",
        "Balance",
        "OrderBSFlag",
        "BizIndex",
    ];

    fn parse(fields: &mut Fields<'_>) -> Result<Self, Reason> {
        let row = Entrust {
            channel: fields.channel()?,
            security: fields.fixed()?,
            time: fields.time()?,
            action: match fields.code(b"AD", "A or D")? {
                b'A' => Action::Add,
                _ => Action::Delete,
            },
            order_no: fields.number()?,
            price: fields.price()?,
            balance: fields.qty()?,
            side: match fields.code(b"BS", "B or S")? {
                b'B' => Side::BUY,
                _ => Side::SELL,
            },
        };
        Ok(Self { row, biz_index: fields.number()? })
    }
}

impl Entrust {
    /// Appends it as a frame. A deletion is a trade of type cancel, as in Shenzhen, but with the order's price, which
    /// Shanghai says and the field would else be empty.
    pub(super) fn encode(&self, number: i64, date: u32, out: &mut Vec<u8>) {
        if self.action == Action::Delete {
            return wire::szse::frame::encode(&self.deletion(number, date), out);
        }
        let tick = TickOrder {
            channel_no: U16::new(self.channel),
            appl_seq_num: I64::new(number),
            md_stream_id: STREAM_TICK,
            security_id: self.security,
            security_id_source: SOURCE_SHANGHAI,
            price: self.price,
            order_qty: self.balance,
            side: self.side,
            transact_time: self.time.on(date),
            ord_type: OrdType::LIMIT,
        };
        order::encode(&tick, self.order_no, out);
    }

    fn deletion(&self, number: i64, date: u32) -> TickTrade {
        let on = |side| I64::new(if self.side == side { self.order_no } else { 0 });
        TickTrade {
            channel_no: U16::new(self.channel),
            appl_seq_num: I64::new(number),
            md_stream_id: STREAM_TICK,
            bid_appl_seq_num: on(Side::BUY),
            offer_appl_seq_num: on(Side::SELL),
            security_id: self.security,
            security_id_source: SOURCE_SHANGHAI,
            last_px: self.price,
            last_qty: self.balance,
            exec_type: ExecType::CANCELLED,
            transact_time: self.time.on(date),
        }
    }

    pub(super) fn from_order(order: &TickOrder, order_no: i64) -> Self {
        Self {
            channel: order.channel_no.get(),
            security: order.security_id,
            time: TimeOfDay::of(order.transact_time),
            action: Action::Add,
            order_no,
            price: order.price,
            balance: order.order_qty,
            side: order.side,
        }
    }

    pub(super) fn from_deletion(deletion: &TickTrade) -> Self {
        let (bid, offer) = (deletion.bid_appl_seq_num.get(), deletion.offer_appl_seq_num.get());
        let (side, order_no) = if bid != 0 { (Side::BUY, bid) } else { (Side::SELL, offer) };
        Self {
            channel: deletion.channel_no.get(),
            security: deletion.security_id,
            time: TimeOfDay::of(deletion.transact_time),
            action: Action::Delete,
            order_no,
            price: deletion.last_px,
            balance: deletion.last_qty,
            side,
        }
    }

    /// The row as its columns.
    #[must_use]
    pub fn columns(&self) -> Vec<(&'static str, String)> {
        vec![
            ("OrderChannel", self.channel.to_string()),
            ("SecurityID", self.security.to_string()),
            ("OrderTime", self.time.to_string()),
            ("OrderType", if self.action == Action::Add { "A" } else { "D" }.to_string()),
            ("OrderNO", self.order_no.to_string()),
            ("OrderPrice", decimal::trimmed(self.price)),
            ("Balance", decimal::trimmed(self.balance)),
            ("OrderBSFlag", if self.side == Side::BUY { "B" } else { "S" }.to_string()),
        ]
    }
}

/// A row of `trade.csv`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// TradeChan.
    pub channel: u16,
    /// SecurityID.
    pub security: SecurityId,
    /// TradTime.
    pub time: TimeOfDay,
    /// TradPrice.
    pub price: Price,
    /// TradVolume.
    pub volume: Qty,
    /// TradeMoney. The frame has no field for it: it comes back as price times volume.
    pub money: Amount,
    /// TradeBuyNo.
    pub buy_no: i64,
    /// TradeSellNo.
    pub sell_no: i64,
    /// TradeBSFlag: `B` or `S` says which side came second, `N` that it was an auction. The frame has no field for it:
    /// it comes back from the time and the order numbers.
    pub bs_flag: u8,
}

/// Continuous trading, from and until: what is outside of it was an auction.
const CONTINUOUS: std::ops::Range<TimeOfDay> = TimeOfDay::hms(9, 30, 0)..TimeOfDay::hms(14, 57, 0);

impl Record for Indexed<Trade> {
    const COLUMNS: &'static [&'static str] = &[
        "TradeChan",
        "SecurityID",
        "TradTime",
        "TradPrice",
        "TradVolume",
        "TradeMoney",
        "TradeBuyNo",
        "TradeSellNo",
        "TradeBSFlag",
        "BizIndex",
    ];

    fn parse(fields: &mut Fields<'_>) -> Result<Self, Reason> {
        let row = Trade {
            channel: fields.channel()?,
            security: fields.fixed()?,
            time: fields.time()?,
            price: fields.price()?,
            volume: fields.qty()?,
            money: fields.amount()?,
            buy_no: fields.whole()?,
            sell_no: fields.whole()?,
            bs_flag: fields.code(b"BSN", "B, S or N")?,
        };
        Ok(Self { row, biz_index: fields.number()? })
    }
}

impl Trade {
    pub(super) fn encode(&self, number: i64, date: u32, out: &mut Vec<u8>) {
        let tick = TickTrade {
            channel_no: U16::new(self.channel),
            appl_seq_num: I64::new(number),
            md_stream_id: STREAM_TICK,
            bid_appl_seq_num: I64::new(self.buy_no),
            offer_appl_seq_num: I64::new(self.sell_no),
            security_id: self.security,
            security_id_source: SOURCE_SHANGHAI,
            last_px: self.price,
            last_qty: self.volume,
            exec_type: ExecType::TRADE,
            transact_time: self.time.on(date),
        };
        wire::szse::frame::encode(&tick, out);
    }

    pub(super) fn from_trade(trade: &TickTrade) -> Self {
        let mut row = Self {
            channel: trade.channel_no.get(),
            security: trade.security_id,
            time: TimeOfDay::of(trade.transact_time),
            price: trade.last_px,
            volume: trade.last_qty,
            money: Amount::ZERO,
            buy_no: trade.bid_appl_seq_num.get(),
            sell_no: trade.offer_appl_seq_num.get(),
            bs_flag: b'N',
        };
        (row.money, row.bs_flag) = (row.derived_money(), row.derived_bs_flag());
        row
    }

    /// Whether the columns that are not sent come back as they were.
    #[must_use]
    pub fn is_derivable(&self) -> bool {
        self.money == self.derived_money() && self.bs_flag == self.derived_bs_flag()
    }

    fn derived_money(&self) -> Amount {
        let raw = i128::from(self.price.raw()) * i128::from(self.volume.raw()) / i128::from(Qty::SCALE);
        Amount::from_raw(i64::try_from(raw).unwrap_or(i64::MAX))
    }

    fn derived_bs_flag(&self) -> u8 {
        match (CONTINUOUS.contains(&self.time), self.buy_no > self.sell_no) {
            (false, _) => b'N',
            (true, true) => b'B',
            (true, false) => b'S',
        }
    }

    /// The row as its columns.
    #[must_use]
    pub fn columns(&self) -> Vec<(&'static str, String)> {
        vec![
            ("TradeChan", self.channel.to_string()),
            ("SecurityID", self.security.to_string()),
            ("TradTime", self.time.to_string()),
            ("TradPrice", decimal::trimmed(self.price)),
            ("TradVolume", decimal::trimmed(self.volume)),
            ("TradeMoney", decimal::trimmed(self.money)),
            ("TradeBuyNo", self.buy_no.to_string()),
            ("TradeSellNo", self.sell_no.to_string()),
            ("TradeBSFlag", char::from(self.bs_flag).to_string()),
        ]
    }
}
