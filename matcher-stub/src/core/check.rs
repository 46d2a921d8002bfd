//! What an order must be before it may trade.

use super::Desk;
use super::listing::{Listing, Listings, SecurityNo};
use super::refusal::Refusal;
use crate::book::Side;
use wire::szse::code::{
    APPL_CASH_AUCTION, CashMargin, OrdType, SOURCE_SHENZHEN, Side as SideCode, TimeInForce,
};
use wire::szse::trading::NewOrder;
use wire::szse::{Price, Qty};

/// Collateral buys and sells of a margin account (担保品买卖) may carry CashMargin 1 as well (?). While this is false
/// a margin desk refuses 1, since what routes orders tells the two desks apart by CashMargin alone.
pub const CASH_AT_MARGIN_DESK: bool = false;

/// An order that may trade: how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) side: Side,
    pub(super) kind: Kind,
    /// Quantity, raw.
    pub(super) quantity: i64,
    /// Trades at least this at once or not at all, raw.
    pub(super) quantity_min: i64,
}

impl Terms {
    /// The worst price that it trades at; `None` where it has no limit of its own.
    pub(super) fn limit(&self) -> Option<i64> {
        limit_of(self.kind)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// To a price; what is left rests.
    Limit { price: i64 },
    /// To a price; what is left is cancelled.
    Immediate { price: i64, levels_max: usize },
    /// At any price; what is left is cancelled.
    Market { levels_max: usize },
    /// Rests at the best price of its own side; cancelled where there is none.
    OwnBest,
}

/// The security of an order.
pub(super) fn security(listings: &Listings, order: &NewOrder) -> Result<SecurityNo, Refusal> {
    if order.base.security_id_source != SOURCE_SHENZHEN {
        return Err(Refusal::UnknownSecurity);
    }
    listings.find(&order.base.security_id).ok_or(Refusal::UnknownSecurity)
}

/// All that is checked once the security is known; `last` is its last trade, or its previous close.
pub(super) fn terms(desk: &Desk, listing: &Listing, last: i64, order: &NewOrder) -> Result<Terms, Refusal> {
    if order.base.appl_id != APPL_CASH_AUCTION || order.ext.stop_px != Price::ZERO {
        return Err(Refusal::Unsupported);
    }
    let side = side(order.side).ok_or(Refusal::Unsupported)?;
    if !desk.takes(order.ext.cash_margin) {
        return Err(Refusal::CashMargin);
    }
    let kind = kind(order)?;
    let quantity = quantity(listing, side, order.order_qty)?;
    let quantity_min = order.ext.min_qty.raw();
    let may_wait = matches!(kind, Kind::Limit { .. } | Kind::OwnBest);
    if !(0..=quantity).contains(&quantity_min) || (may_wait && quantity_min != 0) {
        return Err(Refusal::Unsupported);
    }
    let price = limit_of(kind);
    if price.is_some_and(|price| !is_tradable(listing, price)) {
        return Err(Refusal::Price);
    }
    if side == Side::Sell && order.ext.cash_margin == CashMargin::MARGIN_OPEN {
        // A short sale needs a limit, or nothing keeps it above the last trade.
        let price = price.ok_or(Refusal::Unsupported)?;
        if price < last {
            return Err(Refusal::ShortSalePrice);
        }
    }
    Ok(Terms { side, kind, quantity, quantity_min })
}

/// The side that a code means.
pub(super) fn side(code: SideCode) -> Option<Side> {
    match code {
        SideCode::BUY => Some(Side::Buy),
        SideCode::SELL => Some(Side::Sell),
        _ => None,
    }
}

fn kind(order: &NewOrder) -> Result<Kind, Refusal> {
    let price = order.price.raw();
    let levels_max = match usize::from(order.ext.max_price_levels.get()) {
        0 => usize::MAX,
        levels => levels,
    };
    let all_levels = levels_max == usize::MAX;
    match (order.ord_type, order.ext.time_in_force) {
        (OrdType::LIMIT, TimeInForce::DAY) if all_levels => Ok(Kind::Limit { price }),
        (OrdType::LIMIT, TimeInForce::IMMEDIATE_OR_CANCEL) => Ok(Kind::Immediate { price, levels_max }),
        (OrdType::MARKET, TimeInForce::DAY | TimeInForce::IMMEDIATE_OR_CANCEL) => {
            Ok(Kind::Market { levels_max })
        }
        (OrdType::OWN_BEST, TimeInForce::DAY) if all_levels => Ok(Kind::OwnBest),
        _ => Err(Refusal::Unsupported),
    }
}

fn limit_of(kind: Kind) -> Option<i64> {
    match kind {
        Kind::Limit { price } | Kind::Immediate { price, .. } => Some(price),
        Kind::Market { .. } | Kind::OwnBest => None,
    }
}

fn quantity(listing: &Listing, side: Side, quantity: Qty) -> Result<i64, Refusal> {
    let raw = quantity.raw();
    // What is left of a lot is sold at once; not all accounts are known here, so any sale in shares passes.
    let step = match side {
        Side::Buy => listing.lot.raw(),
        Side::Sell => Qty::SCALE,
    };
    if raw <= 0 || raw % step != 0 {
        return Err(Refusal::Quantity);
    }
    if quantity > listing.quantity_max {
        return Err(Refusal::TooLarge);
    }
    Ok(raw)
}

fn is_tradable(listing: &Listing, price: i64) -> bool {
    (listing.limit_down.raw()..=listing.limit_up.raw()).contains(&price) && price % listing.tick.raw() == 0
}
