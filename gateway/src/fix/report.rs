//! Hot path: a core's report as the fields of a FIX message, encoded once, for all sessions that get it.
//!
//! Rules: no allocation but the growth of the buffers, no clock. The same reports in the same order give the same fields in
//! every gateway: ExecID is the core's, so a client that gets a report through two gateways knows it for one.

use super::book::{Book, Order};
use crate::accounts::Accounts;
use crate::check::OWN_CL_ORD_ID;
use crate::orders::AccountKey;
use fix::codec::Encoder;
use fix::message::{
    Body, CashMargin, CxlRejReason, CxlRejResponseTo, Exchange, ExecType, ExecutionReport, OrdRejReason,
    OrdStatus, OrdType, OrderCancelReject, Side, TimeInForce,
};
use fix::{Price, Qty, UtcTimestamp, tag};
use flow::Tag;
use std::io::Write;
use wire::szse::code;
use wire::szse::trading::{CancelReject, OrderReport, ReportBase, TradeReport};
use wire::szse::{Frame, Message, Text, Timestamp};

/// OrderID of an order that has none.
pub(super) const NO_ORDER: &[u8] = b"NONE";
/// Bytes before the fields in an entry: MsgType, and TransactTime in milliseconds since 1970 (u64, little-endian).
const HEAD: usize = 9;

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// Fields of a message, in the buffer.
    Message,
    /// No report of an order, or nothing new of it.
    Other,
}

/// An entry of the port's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// MsgType.
    pub msg_type: &'a [u8],
    /// When it happened, milliseconds since 1970; 0 where the core does not say.
    pub unix_ms: u64,
    /// The fields behind the header.
    pub fields: &'a [u8],
    /// It may have been sent before, by another gateway or an earlier session.
    pub poss_resend: bool,
}

impl<'a> Entry<'a> {
    /// From what [`translate`] has written.
    ///
    /// # Panics
    /// It is not.
    pub fn read(bytes: &'a [u8]) -> Self {
        let (head, fields) = bytes.split_at(HEAD);
        let (msg_type, time) = head.split_at(1);
        let time = time.try_into().expect("invariant: nine bytes less one");
        Self { msg_type, unix_ms: u64::from_le_bytes(time), fields, poss_resend: false }
    }
}

impl Body for Entry<'_> {
    fn msg_type(&self) -> &[u8] {
        self.msg_type
    }

    fn encode(&self, message: &mut Encoder<'_>) {
        if self.poss_resend {
            message.flag(tag::POSS_RESEND, true);
        }
        message.fields(self.fields);
    }
}

/// An identifier in place.
#[derive(Clone, Copy)]
pub(super) struct Id {
    bytes: [u8; 32],
    len: usize,
}

impl Id {
    pub(super) fn new(text: std::fmt::Arguments<'_>) -> Self {
        let mut bytes = [0; 32];
        let mut left = &mut bytes[..];
        // What does not fit is cut: no identifier here is that long.
        let fits = left.write_fmt(text).is_ok();
        let len = 32 - left.len();
        debug_assert!(fits, "an identifier of more than 32 bytes");
        Self { bytes, len }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Takes a report into the book and writes it as an entry: `out` is emptied first.
#[inline]
pub fn translate(
    book: &mut Book,
    accounts: &Accounts,
    tag: Tag,
    frame: Frame<'_>,
    out: &mut Vec<u8>,
) -> Made {
    out.clear();
    let account = accounts.name(tag.key).unwrap_or(Text::BLANK);
    match frame.msg_type {
        OrderReport::MSG_TYPE => match frame.view::<OrderReport>() {
            Ok(report) => order_report(book, (tag.key, account), tag, report, out),
            Err(_) => Made::Other,
        },
        TradeReport::MSG_TYPE => match frame.view::<TradeReport>() {
            Ok(report) => trade(book, (tag.key, account), tag, report, out),
            Err(_) => Made::Other,
        },
        CancelReject::MSG_TYPE => match frame.view::<CancelReject>() {
            Ok(report) => cancel_reject(account, report, out),
            Err(_) => Made::Other,
        },
        _ => Made::Other,
    }
}

fn entry(msg_type: u8, time: Timestamp, body: &impl Body, out: &mut Vec<u8>) -> Made {
    out.push(msg_type);
    out.extend_from_slice(&unix_ms(time).to_le_bytes());
    body.encode(&mut Encoder::fields_only(out));
    Made::Message
}

fn unix_ms(time: Timestamp) -> u64 {
    time.to_unix_ns().unwrap_or(0) / 1_000_000
}

fn time_of(base: &ReportBase) -> Option<UtcTimestamp> {
    base.transact_time.to_unix_ns().map(|ns| UtcTimestamp::from_unix_ms(ns / 1_000_000))
}

/// The core's ExecID; where a core gives none, the report's place in the flow, which is as unique.
fn exec_id(exec_id: &Text<16>, tag: Tag) -> Id {
    if exec_id.is_blank() {
        return Id::new(format_args!("P{}-{}", tag.lane, tag.number));
    }
    let mut id = Id { bytes: [0; 32], len: exec_id.trimmed().len() };
    id.bytes[..id.len].copy_from_slice(exec_id.trimmed());
    id
}

fn some<const N: usize>(text: &Text<N>) -> Option<&[u8]> {
    Some(text.trimmed()).filter(|text| !text.is_empty())
}

fn order_id(id: &Text<16>) -> &[u8] {
    some(id).unwrap_or(NO_ORDER)
}

fn order_report(
    book: &mut Book,
    (key, account): (AccountKey, Text<12>),
    tag: Tag,
    report: &OrderReport,
    out: &mut Vec<u8>,
) -> Made {
    let (exec_type, order) = match report.exec_type {
        code::ExecType::NEW => (ExecType::New, book.accepted(key, report)),
        code::ExecType::REJECTED => match book.rejected(key, report) {
            Some(order) => (ExecType::Rejected, order),
            // A second copy of an order that the core has: the order is what it was.
            None => return Made::Other,
        },
        code::ExecType::CANCELLED => (ExecType::Canceled, book.cancelled(key, report)),
        _ => return Made::Other,
    };
    let exec_id = exec_id(&report.exec_id, tag);
    let rejected = exec_type == ExecType::Rejected;
    let (reason, text) = if rejected { why(report.ord_rej_reason) } else { (OrdRejReason::Other, None) };
    // A cancel that somebody asked for has a ClOrdID of its own.
    let asked = exec_type == ExecType::Canceled && report.cl_ord_id != order.cl_ord_id;
    let told = ExecutionReport {
        order_id: order_id(&report.order_id),
        cl_ord_id: some(&report.cl_ord_id),
        orig_cl_ord_id: some(&order.cl_ord_id).filter(|_| asked),
        exec_id: exec_id.bytes(),
        exec_type,
        ord_status: ord_status(report.ord_status),
        ord_rej_reason: Some(reason).filter(|_| rejected),
        leaves_qty: Qty::from_raw(report.leaves_qty.raw()),
        cum_qty: Qty::from_raw(report.cum_qty.raw()),
        transact_time: time_of(&report.base),
        text: text.map(str::as_bytes),
        ..of_order(&order, some(&account))
    };
    entry(b'8', report.base.transact_time, &told, out)
}

fn trade(
    book: &mut Book,
    (key, account): (AccountKey, Text<12>),
    tag: Tag,
    report: &TradeReport,
    out: &mut Vec<u8>,
) -> Made {
    let exec_id = exec_id(&report.exec_id, tag);
    let known = book.traded(key, report);
    let base = match &known {
        Some(order) => of_order(order, some(&account)),
        None => ExecutionReport {
            security_exchange: exchange(&report.base.security_id_source),
            cash_margin: CashMargin::from_byte(report.cash_margin.raw()),
            symbol: report.base.security_id.trimmed(),
            ..blank(some(&account), side(report.side))
        },
    };
    let told = ExecutionReport {
        order_id: order_id(&report.order_id),
        cl_ord_id: some(&report.cl_ord_id),
        exec_id: exec_id.bytes(),
        exec_type: ExecType::Trade,
        ord_status: ord_status(report.ord_status),
        last_qty: Some(Qty::from_raw(report.last_qty.raw())),
        last_px: Some(Price::from_raw(report.last_px.raw())),
        leaves_qty: Qty::from_raw(report.leaves_qty.raw()),
        cum_qty: Qty::from_raw(report.cum_qty.raw()),
        transact_time: time_of(&report.base),
        ..base
    };
    entry(b'8', report.base.transact_time, &told, out)
}

fn cancel_reject(account: Text<12>, report: &CancelReject, out: &mut Vec<u8>) -> Made {
    // A gateway's own cancel: no client has sent it.
    if report.cl_ord_id.as_bytes()[0] == OWN_CL_ORD_ID {
        return Made::Other;
    }
    let reason = CxlRejReason::from_code(u64::from(report.cxl_rej_reason.raw()));
    let told = OrderCancelReject {
        order_id: order_id(&report.order_id),
        cl_ord_id: some(&report.cl_ord_id).unwrap_or(NO_ORDER),
        orig_cl_ord_id: some(&report.orig_cl_ord_id).unwrap_or(NO_ORDER),
        ord_status: ord_status(report.ord_status),
        account: some(&account),
        transact_time: time_of(&report.base),
        cxl_rej_response_to: CxlRejResponseTo::CancelRequest,
        cxl_rej_reason: Some(reason.unwrap_or(CxlRejReason::Broker)),
        text: some(&report.reject_text),
    };
    entry(b'9', report.base.transact_time, &told, out)
}

/// What every report of an order repeats of it; what happened is filled in.
pub(super) fn of_order<'a>(order: &'a Order, account: Option<&'a [u8]>) -> ExecutionReport<'a> {
    ExecutionReport {
        order_id: order_id(&order.order_id),
        cl_ord_id: some(&order.cl_ord_id),
        cash_margin: CashMargin::from_byte(order.cash_margin.raw()),
        symbol: order.security_id.trimmed(),
        security_exchange: exchange(&order.security_id_source),
        order_qty: Some(Qty::from_raw(order.order_qty.raw())),
        ord_type: OrdType::from_byte(order.ord_type.raw()),
        price: Some(Price::from_raw(order.price.raw())).filter(|_| order.ord_type == code::OrdType::LIMIT),
        time_in_force: TimeInForce::from_byte(order.time_in_force.raw()),
        leaves_qty: Qty::from_raw(order.leaves_qty.raw()),
        cum_qty: Qty::from_raw(order.cum_qty.raw()),
        avg_px: Price::from_raw(order.avg_px().raw()),
        ord_status: order.status.map_or(OrdStatus::PendingNew, ord_status),
        ..blank(account, side(order.side))
    }
}

/// A report of which nothing is known yet.
pub(super) fn blank(account: Option<&[u8]>, side: Side) -> ExecutionReport<'_> {
    ExecutionReport {
        order_id: NO_ORDER,
        cl_ord_id: None,
        orig_cl_ord_id: None,
        ord_status_req_id: None,
        exec_id: b"0",
        exec_type: ExecType::OrderStatus,
        ord_status: OrdStatus::Rejected,
        ord_rej_reason: None,
        account,
        cash_margin: None,
        symbol: b"",
        security_id: None,
        security_id_source: None,
        security_exchange: None,
        side,
        order_qty: None,
        ord_type: None,
        price: None,
        time_in_force: None,
        last_qty: None,
        last_px: None,
        leaves_qty: Qty::ZERO,
        cum_qty: Qty::ZERO,
        avg_px: Price::ZERO,
        transact_time: None,
        text: None,
    }
}

fn exchange(source: &Text<4>) -> Option<Exchange> {
    Exchange::from_security_id_source(source.trimmed())
}

fn side(side: code::Side) -> Side {
    Side::from_byte(side.raw()).unwrap_or(Side::Buy)
}

pub(super) fn ord_status(status: code::OrdStatus) -> OrdStatus {
    OrdStatus::from_byte(status.raw()).unwrap_or(OrdStatus::PendingNew)
}

/// A core's reason in FIX's values, which most of them are; others are the broker's own, with a word.
fn why(reason: code::OrdRejReason) -> (OrdRejReason, Option<&'static str>) {
    match OrdRejReason::from_code(u64::from(reason.raw())) {
        Some(known) => (known, reason.name()),
        None => (OrdRejReason::Broker, Some(reason.name().unwrap_or("the core's own reason"))),
    }
}

#[cfg(test)]
mod tests;
