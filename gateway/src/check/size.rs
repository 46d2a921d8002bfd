//! Hot path: how much an order may be: lots, least and largest quantities, largest value.
//!
//! Rules: pure functions of an order and the security's rules.

use crate::check::rule::Rule;
use crate::check::tables::Security;
use wire::szse::code::Side;
use wire::szse::{Price, Qty};

/// Whole shares; a buy of the board's least quantity and its steps. A sale may have any number of shares: a remainder
/// below the step may be sold, at one time, by who holds no more of it, which only the core knows.
#[inline]
pub(crate) fn lot(security: &Security, side: Side, quantity: i64) -> Result<(), Rule> {
    if quantity % Qty::SCALE != 0 {
        return Err(Rule::Lot);
    }
    if side != Side::BUY {
        return Ok(());
    }
    if quantity < security.buy_min {
        return Err(Rule::TooSmall);
    }
    if (quantity - security.buy_min) % security.buy_step == 0 { Ok(()) } else { Err(Rule::Lot) }
}

/// No more shares than the board takes in one order.
#[inline]
pub(crate) fn largest(security: &Security, limit: bool, quantity: i64) -> Result<(), Rule> {
    let most = if limit { security.limit_order_max } else { security.market_order_max };
    if quantity > most { Err(Rule::TooLarge) } else { Ok(()) }
}

/// No more money than `most`, in raw units of [`Price`]; 0: no bound. A market order is worth what it costs at the upper
/// limit, where there is one, and else at the previous close.
#[inline]
pub(crate) fn notional(
    security: Option<&Security>,
    limit: bool,
    (price, quantity): (i64, i64),
    most: i64,
) -> Result<(), Rule> {
    if most == 0 {
        return Ok(());
    }
    let price = match security {
        _ if limit => price,
        Some(security) if security.upper < i64::MAX => security.upper,
        Some(security) => security.prev_close,
        None => return Ok(()),
    };
    const UNIT: i128 = Qty::SCALE as i128;
    const _: () = assert!(Price::SCALE > 0);
    if i128::from(price) * i128::from(quantity) > i128::from(most) * UNIT {
        Err(Rule::Notional)
    } else {
        Ok(())
    }
}
