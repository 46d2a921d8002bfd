//! Hot path: what a client sends. Views into the receive buffer.

use super::{
    BusinessRejectReason, CashMargin, Exchange, MassCancelRequestType, OrdRejReason, OrdType, Refusal, Side,
    TimeInForce, message,
};
use crate::decimal::{Price, Qty};
use crate::tag;
use crate::time::UtcTimestamp;

/// The longest ClOrdID: the exchange's protocols have ten bytes for it.
pub const CL_ORD_ID_LEN_MAX: usize = 10;

message! {
    /// NewOrderSingle.
    NewOrderSingle = b"D" {
        /// ClOrdID: with the account it names the order.
        cl_ord_id: &'a [u8] = CL_ORD_ID,
        /// Account; the gateway may know it from the logon.
        account: Option<&'a [u8]> = ACCOUNT,
        /// CashMargin.
        cash_margin: Option<CashMargin> = CASH_MARGIN,
        /// MinQty.
        min_qty: Option<Qty> = MIN_QTY,
        /// MaxPriceLevels.
        max_price_levels: Option<u64> = MAX_PRICE_LEVELS,
        /// Symbol.
        symbol: &'a [u8] = SYMBOL,
        /// SecurityID, where it is not the Symbol.
        security_id: Option<&'a [u8]> = SECURITY_ID,
        /// SecurityIDSource.
        security_id_source: Option<&'a [u8]> = SECURITY_ID_SOURCE,
        /// SecurityExchange.
        security_exchange: Option<Exchange> = SECURITY_EXCHANGE,
        /// Side.
        side: Side = SIDE,
        /// TransactTime.
        transact_time: UtcTimestamp = TRANSACT_TIME,
        /// OrderQty.
        order_qty: Qty = ORDER_QTY,
        /// OrdType.
        ord_type: OrdType = ORD_TYPE,
        /// Price; a limit order has one.
        price: Option<Price> = PRICE,
        /// TimeInForce.
        time_in_force: Option<TimeInForce> = TIME_IN_FORCE,
        /// OrderRestrictions.
        order_restrictions: Option<&'a [u8]> = ORDER_RESTRICTIONS,
    }
}

message! {
    /// OrderCancelRequest.
    OrderCancelRequest = b"F" {
        /// OrigClOrdID: the order to cancel.
        orig_cl_ord_id: &'a [u8] = ORIG_CL_ORD_ID,
        /// OrderID.
        order_id: Option<&'a [u8]> = ORDER_ID,
        /// ClOrdID: of this request.
        cl_ord_id: &'a [u8] = CL_ORD_ID,
        /// Account.
        account: Option<&'a [u8]> = ACCOUNT,
        /// Symbol.
        symbol: &'a [u8] = SYMBOL,
        /// SecurityID, where it is not the Symbol.
        security_id: Option<&'a [u8]> = SECURITY_ID,
        /// SecurityIDSource.
        security_id_source: Option<&'a [u8]> = SECURITY_ID_SOURCE,
        /// SecurityExchange.
        security_exchange: Option<Exchange> = SECURITY_EXCHANGE,
        /// Side.
        side: Side = SIDE,
        /// TransactTime.
        transact_time: UtcTimestamp = TRANSACT_TIME,
        /// OrderQty.
        order_qty: Option<Qty> = ORDER_QTY,
    }
}

message! {
    /// OrderStatusRequest.
    OrderStatusRequest = b"H" {
        /// OrderID.
        order_id: Option<&'a [u8]> = ORDER_ID,
        /// ClOrdID: of the order.
        cl_ord_id: &'a [u8] = CL_ORD_ID,
        /// OrdStatusReqID: of this request.
        ord_status_req_id: Option<&'a [u8]> = ORD_STATUS_REQ_ID,
        /// Account.
        account: Option<&'a [u8]> = ACCOUNT,
        /// Symbol.
        symbol: &'a [u8] = SYMBOL,
        /// SecurityID, where it is not the Symbol.
        security_id: Option<&'a [u8]> = SECURITY_ID,
        /// SecurityIDSource.
        security_id_source: Option<&'a [u8]> = SECURITY_ID_SOURCE,
        /// SecurityExchange.
        security_exchange: Option<Exchange> = SECURITY_EXCHANGE,
        /// Side.
        side: Side = SIDE,
    }
}

message! {
    /// OrderMassCancelRequest.
    OrderMassCancelRequest = b"q" {
        /// ClOrdID: of this request.
        cl_ord_id: &'a [u8] = CL_ORD_ID,
        /// MassCancelRequestType.
        mass_cancel_request_type: MassCancelRequestType = MASS_CANCEL_REQUEST_TYPE,
        /// Symbol.
        symbol: Option<&'a [u8]> = SYMBOL,
        /// SecurityID, where it is not the Symbol.
        security_id: Option<&'a [u8]> = SECURITY_ID,
        /// SecurityIDSource.
        security_id_source: Option<&'a [u8]> = SECURITY_ID_SOURCE,
        /// SecurityExchange.
        security_exchange: Option<Exchange> = SECURITY_EXCHANGE,
        /// Side.
        side: Option<Side> = SIDE,
        /// TransactTime.
        transact_time: UtcTimestamp = TRANSACT_TIME,
    }
}

/// A security on its exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Security<'a> {
    /// The exchange's code: six digits.
    pub code: &'a [u8],
    /// The exchange: the same code means different securities on different ones.
    pub exchange: Exchange,
}

impl<'a> Security<'a> {
    /// From the fields that may say it: SecurityID before Symbol, SecurityExchange before SecurityIDSource.
    ///
    /// # Errors
    /// No exchange is named, two are, or the code is none.
    pub fn of(
        symbol: &'a [u8],
        security_id: Option<&'a [u8]>,
        security_id_source: Option<&'a [u8]>,
        security_exchange: Option<Exchange>,
    ) -> Result<Self, Refusal> {
        let code = security_id.unwrap_or(symbol);
        if code.len() != 6 || !code.iter().all(u8::is_ascii_digit) {
            return Err(Refusal::Order {
                reason: OrdRejReason::UnknownSymbol,
                text: "not a code of six digits",
            });
        }
        let from_source = security_id_source.and_then(Exchange::from_security_id_source);
        match (security_exchange, from_source) {
            (Some(stated), Some(other)) if stated != other => Err(Refusal::Order {
                reason: OrdRejReason::UnknownSymbol,
                text: "SecurityExchange and SecurityIDSource differ",
            }),
            (Some(exchange), _) | (None, Some(exchange)) => Ok(Self { code, exchange }),
            (None, None) => Err(missing(tag::SECURITY_EXCHANGE)),
        }
    }
}

impl<'a> NewOrderSingle<'a> {
    /// Holds the fields against each other, as far as that needs no knowledge of the market.
    ///
    /// # Errors
    /// What answers the order.
    pub fn check(&self) -> Result<Security<'a>, Refusal> {
        check_cl_ord_id(self.cl_ord_id)?;
        let security =
            Security::of(self.symbol, self.security_id, self.security_id_source, self.security_exchange)?;
        if self.order_qty <= Qty::ZERO {
            let text = "OrderQty is not positive";
            return Err(Refusal::Order { reason: OrdRejReason::IncorrectQuantity, text });
        }
        match (self.ord_type, self.price) {
            (OrdType::Limit, None) => Err(missing(tag::PRICE)),
            (OrdType::Limit, Some(price)) if price <= Price::ZERO => {
                Err(Refusal::Order { reason: OrdRejReason::Other, text: "Price is not positive" })
            }
            (OrdType::Limit | OrdType::Market | OrdType::OwnSideBest, _) => Ok(security),
        }
    }
}

impl<'a> OrderCancelRequest<'a> {
    /// Holds the fields against each other.
    ///
    /// # Errors
    /// What answers the request.
    pub fn check(&self) -> Result<Security<'a>, Refusal> {
        check_cl_ord_id(self.cl_ord_id)?;
        check_cl_ord_id(self.orig_cl_ord_id)?;
        Security::of(self.symbol, self.security_id, self.security_id_source, self.security_exchange)
    }
}

fn check_cl_ord_id(id: &[u8]) -> Result<(), Refusal> {
    if id.len() <= CL_ORD_ID_LEN_MAX && id.iter().all(u8::is_ascii_graphic) {
        return Ok(());
    }
    Err(Refusal::Order {
        reason: OrdRejReason::Other,
        text: "ClOrdID is not one to ten printable characters",
    })
}

fn missing(tag: u32) -> Refusal {
    Refusal::Business { reason: BusinessRejectReason::ConditionallyRequiredFieldMissing, tag }
}
