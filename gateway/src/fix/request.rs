//! Hot path: what a FIX client asks for, as the core's messages. Pure functions: no state, no clock, no allocation.

use fix::message::{Exchange, NewOrderSingle, OrderCancelRequest, Security};
use wire::szse::code::{
    APPL_CASH_AUCTION, CashMargin, OrdType, SOURCE_SHANGHAI, SOURCE_SHENZHEN, Side, TimeInForce,
};
use wire::szse::trading::{self, CashAuctionExt, NewOrder, RequestBase};
use wire::szse::{Price, Qty, Text, Timestamp, U16};

/// Why a request cannot be one of the core's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A text is longer than the core's field, or not printable.
    #[error("ClOrdID")]
    ClOrdId,
    /// The same of OrderRestrictions.
    #[error("OrderRestrictions")]
    OrderRestrictions,
    /// More levels than the core's field holds.
    #[error("MaxPriceLevels")]
    MaxPriceLevels,
}

impl Unfit {
    /// In a few words, for the client.
    pub const fn text(self) -> &'static str {
        match self {
            Self::ClOrdId => "ClOrdID is not one to ten printable characters",
            Self::OrderRestrictions => "OrderRestrictions is longer than four characters",
            Self::MaxPriceLevels => "MaxPriceLevels is out of range",
        }
    }
}

fn base(security: Security<'_>, time: fix::UtcTimestamp) -> RequestBase {
    RequestBase {
        appl_id: APPL_CASH_AUCTION,
        // Six digits, as `check` has found.
        security_id: Text::new(security.code).unwrap_or(Text::BLANK),
        security_id_source: match security.exchange {
            Exchange::Shenzhen => SOURCE_SHENZHEN,
            Exchange::Shanghai => SOURCE_SHANGHAI,
        },
        transact_time: Timestamp::from_unix_ns(time.unix_ms().saturating_mul(1_000_000)),
        ..RequestBase::default()
    }
}

/// An order. `security` is what [`NewOrderSingle::check`] gave.
///
/// # Errors
/// A field has no place in the core's message.
#[inline]
pub fn new_order(
    order: &NewOrderSingle<'_>,
    security: Security<'_>,
    account_id: Text<12>,
) -> Result<NewOrder, Unfit> {
    let restrictions = order.order_restrictions.unwrap_or_default();
    let levels = u16::try_from(order.max_price_levels.unwrap_or(0)).map_err(|_| Unfit::MaxPriceLevels)?;
    Ok(NewOrder {
        base: base(security, order.transact_time),
        cl_ord_id: Text::new(order.cl_ord_id).map_err(|_| Unfit::ClOrdId)?,
        account_id,
        branch_id: Text::BLANK,
        order_restrictions: Text::new(restrictions).map_err(|_| Unfit::OrderRestrictions)?,
        side: Side::from_raw(order.side.byte()),
        ord_type: OrdType::from_raw(order.ord_type.byte()),
        order_qty: Qty::from_raw(order.order_qty.raw()),
        price: Price::from_raw(order.price.map_or(0, |price| price.raw())),
        ext: CashAuctionExt {
            stop_px: Price::ZERO,
            min_qty: Qty::from_raw(order.min_qty.map_or(0, |quantity| quantity.raw())),
            max_price_levels: U16::new(levels),
            time_in_force: order
                .time_in_force
                .map_or(TimeInForce::DAY, |time| TimeInForce::from_raw(time.byte())),
            cash_margin: order
                .cash_margin
                .map_or(CashMargin::CASH, |margin| CashMargin::from_raw(margin.byte())),
        },
    })
}

/// A cancel. `security` is what [`OrderCancelRequest::check`] gave; `order_id` is blank where it is not known.
///
/// # Errors
/// A field has no place in the core's message.
#[inline]
pub fn cancel(
    request: &OrderCancelRequest<'_>,
    security: Security<'_>,
    order_id: Text<16>,
) -> Result<trading::OrderCancelRequest, Unfit> {
    Ok(trading::OrderCancelRequest {
        base: base(security, request.transact_time),
        cl_ord_id: Text::new(request.cl_ord_id).map_err(|_| Unfit::ClOrdId)?,
        orig_cl_ord_id: Text::new(request.orig_cl_ord_id).map_err(|_| Unfit::ClOrdId)?,
        side: Side::from_raw(request.side.byte()),
        order_id,
        order_qty: Qty::from_raw(request.order_qty.map_or(0, |quantity| quantity.raw())),
    })
}
