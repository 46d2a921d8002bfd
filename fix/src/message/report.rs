//! Hot path: what a client gets.

use super::{
    CashMargin, CxlRejReason, CxlRejResponseTo, Exchange, ExecType, MassCancelRejectReason,
    MassCancelRequestType, MassCancelResponse, NewOrderSingle, OrdRejReason, OrdStatus, OrdType,
    OrderCancelRequest, Side, TimeInForce, message,
};
use crate::decimal::{Price, Qty};
use crate::time::UtcTimestamp;

message! {
    /// ExecutionReport.
    ExecutionReport = b"8" {
        /// OrderID: `NONE` where the order has none.
        order_id: &'a [u8] = ORDER_ID,
        /// ClOrdID.
        cl_ord_id: Option<&'a [u8]> = CL_ORD_ID,
        /// OrigClOrdID: of a report on a cancel.
        orig_cl_ord_id: Option<&'a [u8]> = ORIG_CL_ORD_ID,
        /// OrdStatusReqID: of an answer to a status request.
        ord_status_req_id: Option<&'a [u8]> = ORD_STATUS_REQ_ID,
        /// ExecID.
        exec_id: &'a [u8] = EXEC_ID,
        /// ExecType.
        exec_type: ExecType = EXEC_TYPE,
        /// OrdStatus.
        ord_status: OrdStatus = ORD_STATUS,
        /// OrdRejReason.
        ord_rej_reason: Option<OrdRejReason> = ORD_REJ_REASON,
        /// Account.
        account: Option<&'a [u8]> = ACCOUNT,
        /// CashMargin.
        cash_margin: Option<CashMargin> = CASH_MARGIN,
        /// Symbol.
        symbol: &'a [u8] = SYMBOL,
        /// SecurityID.
        security_id: Option<&'a [u8]> = SECURITY_ID,
        /// SecurityIDSource.
        security_id_source: Option<&'a [u8]> = SECURITY_ID_SOURCE,
        /// SecurityExchange.
        security_exchange: Option<Exchange> = SECURITY_EXCHANGE,
        /// Side.
        side: Side = SIDE,
        /// OrderQty.
        order_qty: Option<Qty> = ORDER_QTY,
        /// OrdType.
        ord_type: Option<OrdType> = ORD_TYPE,
        /// Price.
        price: Option<Price> = PRICE,
        /// TimeInForce.
        time_in_force: Option<TimeInForce> = TIME_IN_FORCE,
        /// LastQty: of a trade.
        last_qty: Option<Qty> = LAST_QTY,
        /// LastPx: of a trade.
        last_px: Option<Price> = LAST_PX,
        /// LeavesQty.
        leaves_qty: Qty = LEAVES_QTY,
        /// CumQty.
        cum_qty: Qty = CUM_QTY,
        /// AvgPx, cut to the price's decimals; zero before the first trade.
        avg_px: Price = AVG_PX,
        /// TransactTime.
        transact_time: Option<UtcTimestamp> = TRANSACT_TIME,
        /// Text.
        text: Option<&'a [u8]> = TEXT,
    }
}

message! {
    /// OrderCancelReject.
    OrderCancelReject = b"9" {
        /// OrderID: `NONE` where the order is not known.
        order_id: &'a [u8] = ORDER_ID,
        /// ClOrdID: of the request.
        cl_ord_id: &'a [u8] = CL_ORD_ID,
        /// OrigClOrdID: of the order.
        orig_cl_ord_id: &'a [u8] = ORIG_CL_ORD_ID,
        /// OrdStatus: of the order; rejected where it is not known.
        ord_status: OrdStatus = ORD_STATUS,
        /// Account.
        account: Option<&'a [u8]> = ACCOUNT,
        /// TransactTime.
        transact_time: Option<UtcTimestamp> = TRANSACT_TIME,
        /// CxlRejResponseTo.
        cxl_rej_response_to: CxlRejResponseTo = CXL_REJ_RESPONSE_TO,
        /// CxlRejReason.
        cxl_rej_reason: Option<CxlRejReason> = CXL_REJ_REASON,
        /// Text.
        text: Option<&'a [u8]> = TEXT,
    }
}

message! {
    /// OrderMassCancelReport.
    OrderMassCancelReport = b"r" {
        /// ClOrdID: of the request.
        cl_ord_id: Option<&'a [u8]> = CL_ORD_ID,
        /// OrderID: of the request.
        order_id: &'a [u8] = ORDER_ID,
        /// MassCancelRequestType.
        mass_cancel_request_type: MassCancelRequestType = MASS_CANCEL_REQUEST_TYPE,
        /// MassCancelResponse.
        mass_cancel_response: MassCancelResponse = MASS_CANCEL_RESPONSE,
        /// MassCancelRejectReason.
        mass_cancel_reject_reason: Option<MassCancelRejectReason> = MASS_CANCEL_REJECT_REASON,
        /// TotalAffectedOrders.
        total_affected_orders: Option<u64> = TOTAL_AFFECTED_ORDERS,
        /// TransactTime.
        transact_time: Option<UtcTimestamp> = TRANSACT_TIME,
        /// Text.
        text: Option<&'a [u8]> = TEXT,
    }
}

/// OrderID of an order that has none.
const NO_ORDER: &[u8] = b"NONE";

impl<'a> ExecutionReport<'a> {
    /// The answer to an order that is refused before it has an OrderID.
    #[must_use]
    pub fn refusal(
        order: &NewOrderSingle<'a>,
        exec_id: &'a [u8],
        reason: OrdRejReason,
        text: &'a str,
        now: UtcTimestamp,
    ) -> Self {
        Self {
            order_id: NO_ORDER,
            cl_ord_id: Some(order.cl_ord_id),
            orig_cl_ord_id: None,
            ord_status_req_id: None,
            exec_id,
            exec_type: ExecType::Rejected,
            ord_status: OrdStatus::Rejected,
            ord_rej_reason: Some(reason),
            account: order.account,
            cash_margin: order.cash_margin,
            symbol: order.symbol,
            security_id: order.security_id,
            security_id_source: order.security_id_source,
            security_exchange: order.security_exchange,
            side: order.side,
            order_qty: Some(order.order_qty),
            ord_type: Some(order.ord_type),
            price: order.price,
            time_in_force: order.time_in_force,
            last_qty: None,
            last_px: None,
            leaves_qty: Qty::ZERO,
            cum_qty: Qty::ZERO,
            avg_px: Price::ZERO,
            transact_time: Some(now),
            text: Some(text.as_bytes()).filter(|text| !text.is_empty()),
        }
    }
}

impl<'a> OrderCancelReject<'a> {
    /// The answer to a cancel that is refused before its order was looked for.
    #[must_use]
    pub fn refusal(
        request: &OrderCancelRequest<'a>,
        reason: CxlRejReason,
        text: &'a str,
        now: UtcTimestamp,
    ) -> Self {
        Self {
            order_id: request.order_id.unwrap_or(NO_ORDER),
            cl_ord_id: request.cl_ord_id,
            orig_cl_ord_id: request.orig_cl_ord_id,
            ord_status: OrdStatus::Rejected,
            account: request.account,
            transact_time: Some(now),
            cxl_rej_response_to: CxlRejResponseTo::CancelRequest,
            cxl_rej_reason: Some(reason),
            text: Some(text.as_bytes()).filter(|text| !text.is_empty()),
        }
    }
}
