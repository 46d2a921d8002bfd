//! Refusals, said in FIX.

use super::report::{Id, blank};
use super::session::{LIMITS, Session};
use crate::app::Gateway;
use crate::check::{Group, Refusal};
use fix::Now;
use fix::codec::{Decoded, Message, decode};
use fix::dictionary::{self, Fault};
use fix::message::{
    Body, BusinessMessageReject, BusinessRejectReason, CashMargin, CxlRejReason, CxlRejResponseTo, Exchange,
    ExecType, ExecutionReport, OrdRejReason, OrdStatus, OrdType, OrderCancelReject, Side, TimeInForce,
};
use fix::store::StoreError;
use fix::tag;
use fix::{Price, Qty};
use shard::{Cx, Reason};

/// Why an order is refused: one of [`Refusal`] in FIX's values; the text has the rule's code.
pub(super) const fn order_reason(refusal: Refusal) -> OrdRejReason {
    match refusal {
        Refusal::Account | Refusal::ReadOnly => OrdRejReason::UnknownAccount,
        Refusal::Security => OrdRejReason::UnknownSymbol,
        Refusal::OrdType | Refusal::TimeInForce | Refusal::CashMargin => {
            OrdRejReason::UnsupportedCharacteristic
        }
        Refusal::Quantity => OrdRejReason::IncorrectQuantity,
        Refusal::UnknownOrder => OrdRejReason::UnknownOrder,
        Refusal::Duplicate => OrdRejReason::DuplicateOrder,
        Refusal::CashLineDown
        | Refusal::MarginLineDown
        | Refusal::TooManyUnderWay
        | Refusal::AuditUnavailable
        | Refusal::ReportsMissing
        | Refusal::Closing
        | Refusal::Own(..) => OrdRejReason::Broker,
        Refusal::UnsupportedMessage
        | Refusal::ClOrdId
        | Refusal::OwnClOrdId
        | Refusal::Side
        | Refusal::Price
        | Refusal::SeveralOrders
        | Refusal::SecondSynchronization => OrdRejReason::Other,
        Refusal::Rule(rule) => match rule.group() {
            Group::Throttle | Group::Largest | Group::Rate => OrdRejReason::ExceedsLimit,
            Group::Phase => OrdRejReason::ExchangeClosed,
            Group::Security => OrdRejReason::UnknownSymbol,
            Group::Lot => OrdRejReason::IncorrectQuantity,
            Group::Tick | Group::Limit | Group::Cage => OrdRejReason::PriceOutOfBand,
            Group::Margin => OrdRejReason::UnsupportedCharacteristic,
            Group::SelfCross | Group::Kill => OrdRejReason::Broker,
        },
    }
}

/// Why a cancel is refused.
pub(super) const fn cancel_reason(refusal: Refusal) -> CxlRejReason {
    match refusal {
        Refusal::UnknownOrder | Refusal::Account | Refusal::ReadOnly => CxlRejReason::UnknownOrder,
        Refusal::Duplicate => CxlRejReason::DuplicateClOrdId,
        Refusal::CashLineDown
        | Refusal::MarginLineDown
        | Refusal::TooManyUnderWay
        | Refusal::AuditUnavailable
        | Refusal::ReportsMissing
        | Refusal::Closing
        | Refusal::Own(..)
        | Refusal::Rule(_) => CxlRejReason::Broker,
        Refusal::UnsupportedMessage
        | Refusal::ClOrdId
        | Refusal::OwnClOrdId
        | Refusal::Security
        | Refusal::Side
        | Refusal::OrdType
        | Refusal::TimeInForce
        | Refusal::Quantity
        | Refusal::Price
        | Refusal::CashMargin
        | Refusal::SeveralOrders
        | Refusal::SecondSynchronization => CxlRejReason::Other,
    }
}

/// The report of an order that is refused before it reaches a core: what the order said comes back as far as it can be read.
pub(super) fn order_refused<'a>(
    message: &Message<'a>,
    exec_id: &'a Id,
    (reason, text): (OrdRejReason, &'a str),
    now: Now,
) -> ExecutionReport<'a> {
    let code = |tag| message.field(tag).and_then(|value| value.first().copied());
    ExecutionReport {
        cl_ord_id: message.field(tag::CL_ORD_ID),
        exec_id: exec_id.bytes(),
        exec_type: ExecType::Rejected,
        ord_status: OrdStatus::Rejected,
        ord_rej_reason: Some(reason),
        cash_margin: code(tag::CASH_MARGIN).and_then(CashMargin::from_byte),
        symbol: message.field(tag::SYMBOL).unwrap_or_default(),
        security_id: message.field(tag::SECURITY_ID),
        security_exchange: message.field(tag::SECURITY_EXCHANGE).and_then(Exchange::from_code),
        order_qty: message.field(tag::ORDER_QTY).and_then(|value| Qty::parse(value).ok()),
        ord_type: code(tag::ORD_TYPE).and_then(OrdType::from_byte),
        price: message.field(tag::PRICE).and_then(|value| Price::parse(value).ok()),
        time_in_force: code(tag::TIME_IN_FORCE).and_then(TimeInForce::from_byte),
        transact_time: Some(now.utc()),
        text: Some(text.as_bytes()),
        ..blank(message.field(tag::ACCOUNT), code(tag::SIDE).and_then(Side::from_byte).unwrap_or(Side::Buy))
    }
}

/// The answer to a cancel that is refused before it reaches a core.
pub(super) fn cancel_refused<'a>(
    message: &Message<'a>,
    ord_status: OrdStatus,
    (reason, text): (CxlRejReason, &'a str),
    now: Now,
) -> OrderCancelReject<'a> {
    let field = |tag| message.field(tag).unwrap_or(super::report::NO_ORDER);
    OrderCancelReject {
        order_id: field(tag::ORDER_ID),
        cl_ord_id: field(tag::CL_ORD_ID),
        orig_cl_ord_id: field(tag::ORIG_CL_ORD_ID),
        ord_status,
        account: message.field(tag::ACCOUNT),
        transact_time: Some(now.utc()),
        cxl_rej_response_to: CxlRejResponseTo::CancelRequest,
        cxl_rej_reason: Some(reason),
        text: Some(text.as_bytes()),
    }
}

impl Session {
    /// A BusinessMessageReject of the message with this number.
    pub(super) fn business_reject(
        &mut self,
        message: &Message<'_>,
        number: u64,
        (reason, text): (BusinessRejectReason, &str),
        now: Now,
        out: &mut Vec<u8>,
    ) -> Result<u64, StoreError> {
        let answer = BusinessMessageReject {
            ref_seq_num: number,
            ref_msg_type: message.msg_type,
            business_reject_ref_id: message.field(tag::CL_ORD_ID),
            business_reject_reason: reason,
            text: Some(text.as_bytes()),
        };
        self.engine.send(&answer, now, out)
    }
}

impl Gateway {
    /// Sends an answer to the session whose bytes are being taken.
    #[inline]
    pub(super) fn fix_answer(
        &mut self,
        cx: &mut Cx,
        number: usize,
        body: &impl Body,
        now: Now,
    ) -> Result<(), Reason> {
        match self.fix.sessions[number].engine.send(body, now, &mut self.out) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.fix_failed(cx, number, error.into())),
        }
    }

    /// Says what is wrong with a message that could not be read as what it is.
    #[cold]
    pub(super) fn fix_unfit(
        &mut self,
        cx: &mut Cx,
        number: usize,
        (message, seq): (&Message<'_>, u64),
        refusal: fix::message::Refusal,
        now: Now,
    ) -> Result<(), Reason> {
        use fix::message::Refusal as Unfit;
        let why = refusal.to_string();
        self.fix_audit_unfit(cx, number, message, &why);
        self.fix.sessions[number].refused += 1;
        self.fix.counts.refused += 1;
        let session = &mut self.fix.sessions[number];
        let told = match refusal {
            Unfit::Session(fault) => session.engine.reject(seq, message.msg_type, fault, now, &mut self.out),
            Unfit::Business { reason, .. } => {
                session.business_reject(message, seq, (reason, &why), now, &mut self.out)
            }
            Unfit::Order { reason, text } if message.msg_type == b"D" => {
                return self.fix_refuse_order(cx, number, message, (reason, text), now);
            }
            Unfit::Order { text, .. } if message.msg_type == b"F" => {
                let answer = cancel_refused(message, OrdStatus::Rejected, (CxlRejReason::Other, text), now);
                session.engine.send(&answer, now, &mut self.out)
            }
            Unfit::Order { text, .. } => {
                let why = (BusinessRejectReason::UnknownSecurity, text);
                session.business_reject(message, seq, why, now, &mut self.out)
            }
        };
        told.map(drop).map_err(|error| self.fix_failed(cx, number, error.into()))
    }

    /// A request that cannot be said in the binary protocol, so that the audit has no frame of it: its ClOrdID and what is wrong.
    #[cold]
    pub(super) fn fix_audit_unfit(&mut self, cx: &Cx, number: usize, message: &Message<'_>, why: &str) {
        let Session { conn, comp_id, .. } = self.fix.sessions[number];
        let Some(peer) = conn.and_then(|id| self.fix.conn(id)).map(|conn| conn.peer) else { return };
        let Some(audit) = &mut self.audit else { return };
        let cl_ord_id = message.field(tag::CL_ORD_ID).unwrap_or_default().escape_ascii().to_string();
        let why = format!("35={} 11={cl_ord_id}: {why}", message.msg_type.escape_ascii());
        audit.request_unfit(cx.wall_ns(), comp_id, peer, (&why, &cl_ord_id));
    }

    /// The same of a request that the session has answered with a Reject by itself: these are its bytes.
    #[cold]
    pub(super) fn fix_audit_rejected(&mut self, cx: &Cx, number: usize, bytes: &[u8], fault: Fault) {
        let Decoded::Message(message) = decode(bytes, &LIMITS) else { return };
        if dictionary::message(message.msg_type).is_some_and(|def| !def.admin) {
            self.fix_audit_unfit(cx, number, &message, &fault.to_string());
        }
    }

    /// Refuses an order with an ExecutionReport.
    #[cold]
    pub(super) fn fix_refuse_order(
        &mut self,
        cx: &mut Cx,
        number: usize,
        message: &Message<'_>,
        why: (OrdRejReason, &str),
        now: Now,
    ) -> Result<(), Reason> {
        let exec_id = self.fix.exec_id(now);
        let answer = order_refused(message, &exec_id, why, now);
        self.fix_answer(cx, number, &answer, now)
    }
}
