//! What an exchange's snapshot says, as the book is held against it.

use super::depth::{Level, Side};
use wire::szse::code::MdEntryType;
use wire::szse::market::{Snapshot, SnapshotEntry};
use wire::szse::{MdEntryPx, Price, Text};

/// Levels of a side that a snapshot shows, and that are published.
pub(super) const LEVELS: usize = 10;
/// MDEntryType of all buys and of all sells together (?: public descriptions).
const TOTALS: [MdEntryType; 2] =
    [MdEntryType::from_raw(u16::from_be_bytes(*b"x3")), MdEntryType::from_raw(u16::from_be_bytes(*b"x4"))];

/// What traded up to a place: quantity in units of 0.01, value in units of 0.0001.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traded {
    pub(super) trades: i64,
    pub(super) quantity: i64,
    pub(super) value: i64,
}

impl Traded {
    /// One trade.
    pub(super) fn trade(price: i64, quantity: i64) -> Self {
        let value = i128::from(price) * i128::from(quantity) / i128::from(wire::szse::Qty::SCALE);
        Self { trades: 1, quantity, value: i64::try_from(value).unwrap_or(i64::MAX) }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            trades: self.trades.saturating_add(other.trades),
            quantity: self.quantity.saturating_add(other.quantity),
            value: self.value.saturating_add(other.value),
        }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            trades: self.trades.saturating_sub(other.trades),
            quantity: self.quantity.saturating_sub(other.quantity),
            value: self.value.saturating_sub(other.value),
        }
    }
}

/// Prices of the day, units of 0.0001; 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Prices {
    pub(super) last: i64,
    pub(super) open: i64,
    pub(super) high: i64,
    pub(super) low: i64,
    pub(super) upper_limit: i64,
    pub(super) lower_limit: i64,
}

impl Prices {
    pub(super) fn trade(&mut self, price: i64) {
        self.last = price;
        self.open = if self.open == 0 { price } else { self.open };
        self.high = self.high.max(price);
        self.low = if self.low == 0 { price } else { self.low.min(price) };
    }
}

/// What of the book is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Nothing: before the first auction, or while nothing would trade in one.
    Nothing,
    /// Levels of buys and of sells by their price, the best first.
    Levels([Vec<(i64, Level)>; 2]),
    /// The price that an auction would come to, what would trade at it, and what would be left: of buys above 0, of sells below.
    Auction { price: i64, quantity: i64, surplus: i64 },
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shot {
    /// OrigTime, milliseconds of its day.
    pub(super) time_ms: u32,
    pub(super) phase: Text<8>,
    pub(super) prev_close: Price,
    pub(super) traded: Traded,
    pub(super) prices: Prices,
    pub(super) shown: Shown,
    /// Quantity in all levels of buys and of sells, if it is said.
    pub(super) totals: Option<[i64; 2]>,
}

impl Shot {
    pub(super) fn of(snapshot: &Snapshot<'_>) -> Self {
        let head = snapshot.head;
        let traded = Traded {
            trades: head.num_trades.get(),
            quantity: head.total_volume_trade.raw(),
            value: head.total_value_trade.raw(),
        };
        let (mut prices, mut sides) = (Prices::default(), [Vec::new(), Vec::new()]);
        let mut totals = [None; 2];
        for SnapshotEntry { entry, .. } in snapshot.entries() {
            let (kind, price) = (entry.md_entry_type, price_of(entry.md_entry_px));
            let level = Level { quantity: entry.md_entry_size.raw(), orders: entry.number_of_orders.get() };
            match kind {
                MdEntryType::BID | MdEntryType::ASK => {
                    let side: &mut Vec<_> = &mut sides[usize::from(kind == MdEntryType::ASK)];
                    if side.len() < LEVELS {
                        side.push((price, level));
                    }
                }
                MdEntryType::LAST => prices.last = price,
                MdEntryType::OPEN => prices.open = price,
                MdEntryType::HIGH => prices.high = price,
                MdEntryType::LOW => prices.low = price,
                MdEntryType::UPPER_LIMIT => prices.upper_limit = price,
                MdEntryType::LOWER_LIMIT => prices.lower_limit = price,
                _ if kind == TOTALS[0] => totals[0] = Some(level.quantity),
                _ if kind == TOTALS[1] => totals[1] = Some(level.quantity),
                _ => {}
            }
        }
        Self {
            time_ms: head.orig_time.ms_of_day(),
            phase: head.trading_phase_code,
            prev_close: head.prev_close_px,
            traded,
            prices,
            shown: shown(sides),
            totals: totals[0].zip(totals[1]).map(|(buys, sells)| [buys, sells]),
        }
    }
}

/// A snapshot in an auction is told by its form: the first buy and the first sell are one price, as they never are in trading.
/// What is left over stands as the second level, at no price.
fn shown(mut sides: [Vec<(i64, Level)>; 2]) -> Shown {
    let first = |side: &[(i64, Level)]| side.first().copied().filter(|(price, _)| *price > 0);
    if let (Some((bid, level)), Some((ask, _))) = (first(&sides[0]), first(&sides[1]))
        && bid == ask
    {
        let second = |side: Side| sides[side as usize].get(1).map_or(0, |(_, level)| level.quantity);
        let surplus = second(Side::Buy).saturating_sub(second(Side::Sell));
        return Shown::Auction { price: bid, quantity: level.quantity, surplus };
    }
    for side in &mut sides {
        side.retain(|(price, level)| *price > 0 && level.quantity > 0);
    }
    if sides.iter().all(Vec::is_empty) { Shown::Nothing } else { Shown::Levels(sides) }
}

/// A price of a snapshot; what is finer than a price of the market is none.
fn price_of(px: MdEntryPx) -> i64 {
    px.to_price().map_or(0, Price::raw)
}
