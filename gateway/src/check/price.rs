//! Hot path: what a price may be: its steps, the day's limits, the cage around the market, and that of a short sale.
//!
//! Rules: pure functions of an order's price, the security's rules and the market's prices.

use crate::check::market::Quote;
use crate::check::rule::Rule;
use crate::check::tables::{Security, share};
use wire::szse::code::Side;

/// A multiple of the tick.
#[inline]
pub(crate) fn tick(security: &Security, price: i64) -> Result<(), Rule> {
    if price % security.tick == 0 { Ok(()) } else { Err(Rule::Tick) }
}

/// Within the limits of the day, which belong to it.
#[inline]
pub(crate) fn limit(security: &Security, price: i64) -> Result<(), Rule> {
    if price > security.upper {
        Err(Rule::AboveLimit)
    } else if price < security.lower {
        Err(Rule::BelowLimit)
    } else {
        Ok(())
    }
}

/// Not further from the market than the cage: a buy at most the larger of so many percent and so many ticks above the
/// best ask, a sell mirrored at the best bid.
#[inline]
pub(crate) fn cage(
    security: &Security,
    own_side: bool,
    quote: Option<Quote>,
    side: Side,
    price: i64,
) -> Result<(), Rule> {
    let Quote { bid, ask, last } = quote.unwrap_or_default();
    let first = |prices: [i64; 3]| prices.into_iter().find(|price| *price > 0).unwrap_or(security.prev_close);
    let own = |price| if own_side { price } else { 0 };
    let ticks = security.cage_ticks.saturating_mul(security.tick);
    if side == Side::BUY {
        let against = first([ask, own(bid), last]);
        let highest = share(against, 100 + security.cage_percent, security.tick);
        if price > highest.max(against.saturating_add(ticks)) { Err(Rule::CageBuy) } else { Ok(()) }
    } else {
        let against = first([bid, own(ask), last]);
        let lowest = share(against, 100 - security.cage_percent, security.tick);
        if price < lowest.min(against.saturating_sub(ticks)) { Err(Rule::CageSell) } else { Ok(()) }
    }
}

/// A short sale is not below the last trade, or the previous close where there is none.
#[inline]
pub(crate) fn short_sale(security: &Security, quote: Option<Quote>, price: i64) -> Result<(), Rule> {
    let last = quote.map_or(0, |quote| quote.last);
    let lowest = if last > 0 { last } else { security.prev_close };
    if price < lowest { Err(Rule::ShortSalePrice) } else { Ok(()) }
}
