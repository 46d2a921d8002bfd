//! The report flows: one sequence of ReportIndex from 1 in each partition of each desk.

use super::orders::Order;
use super::refusal::{CancelRefusal, Refusal};
use super::{Desk, DeskNo, Now, Outlet};
use crate::book::OrderNo;
use flow::Tag;
use wire::szse::code::{ExecType, OrdRejReason, OrdStatus};
use wire::szse::trading::{
    CancelReject, NewOrder, OrderCancelRequest, OrderReport, ReportBase, RequestBase, TradeReport,
};
use wire::szse::{I32, I64, Message, Price, Qty, SecurityId, Text, frame};

#[derive(Debug)]
pub(super) struct Reporter {
    /// First digits of every OrderID and ExecID: tells the cores apart.
    core_no: u16,
    execs: u64,
    /// By desk, by partition: the last ReportIndex.
    last: Vec<Vec<i64>>,
    partition_first: Vec<u16>,
    frame: Vec<u8>,
}

/// Digits of an OrderID or ExecID that tell the core; the rest count.
const CORE_DIGITS: usize = 4;

impl Reporter {
    pub(super) fn new(core_no: u16, desks: &[Desk]) -> Self {
        Self {
            core_no,
            execs: 0,
            last: desks.iter().map(|desk| vec![0; usize::from(desk.partitions)]).collect(),
            partition_first: desks.iter().map(|desk| desk.partition_first).collect(),
            frame: Vec::new(),
        }
    }

    /// OrderID of an order: counted from 1.
    pub(super) fn order_id(&self, number: OrderNo) -> Text<16> {
        identifier(self.core_no, u64::from(number) + 1)
    }

    /// The order that an OrderID of this core means.
    pub(super) fn order_no(&self, id: &Text<16>) -> Option<OrderNo> {
        let text = id.as_str()?;
        let number = text.get(CORE_DIGITS..)?.parse::<u32>().ok()?.checked_sub(1)?;
        (self.order_id(number) == *id).then_some(number)
    }

    fn exec_id(&mut self) -> Text<16> {
        self.execs += 1;
        identifier(self.core_no, self.execs)
    }

    fn base(&mut self, now: Now, desk: DeskNo, of: &RequestBase) -> (Tag, ReportBase) {
        let last = &mut self.last[usize::from(desk)];
        let partition = partition_of(&of.security_id, last.len());
        last[partition] += 1;
        let index = last[partition];
        let lane = self.partition_first[usize::from(desk)] + partition as u16;
        let base = ReportBase {
            partition_no: I32::new(i32::from(lane)),
            report_index: I64::new(index),
            appl_id: of.appl_id,
            reporting_pbu_id: of.submitting_pbu_id,
            submitting_pbu_id: of.submitting_pbu_id,
            security_id: of.security_id,
            security_id_source: of.security_id_source,
            owner_type: of.owner_type,
            clearing_firm: of.clearing_firm,
            transact_time: now.time,
            user_info: of.user_info,
        };
        (Tag { lane, number: index.unsigned_abs(), key: Tag::EVERYONE }, base)
    }

    fn emit<M: Message>(&mut self, desk: DeskNo, tag: Tag, report: &M, out: &mut impl Outlet) {
        self.frame.clear();
        frame::encode(report, &mut self.frame);
        out.report(desk, tag, &self.frame);
    }

    /// The order is in the book, or will trade at once.
    pub(super) fn accepted(&mut self, now: Now, number: OrderNo, order: &Order, out: &mut impl Outlet) {
        let (tag, base) = self.base(now, order.desk, &order.request.base);
        let report = OrderReport {
            order_id: self.order_id(number),
            exec_id: self.exec_id(),
            exec_type: ExecType::NEW,
            ord_status: OrdStatus::NEW,
            leaves_qty: Qty::from_raw(order.leaves),
            ..order_report(base, &order.request)
        };
        self.emit(order.desk, tag, &report, out);
    }

    /// The order is not taken. `known` is the order that has its identity: itself when it is remembered, the first
    /// one when it is a duplicate.
    pub(super) fn rejected(
        &mut self,
        now: Now,
        (desk, request): (DeskNo, &NewOrder),
        known: Option<OrderNo>,
        refusal: Refusal,
        out: &mut impl Outlet,
    ) {
        let (tag, base) = self.base(now, desk, &request.base);
        let report = OrderReport {
            order_id: known.map_or(Text::BLANK, |number| self.order_id(number)),
            exec_id: self.exec_id(),
            exec_type: ExecType::REJECTED,
            ord_status: OrdStatus::REJECTED,
            ord_rej_reason: refusal.reason(),
            ..order_report(base, request)
        };
        self.emit(desk, tag, &report, out);
    }

    /// What was left of the order is gone: by a cancel, whose ClOrdID the report then has, or because the order does
    /// not rest; then it has the order's own (?). OrigClOrdID is the order's in both.
    pub(super) fn cancelled(
        &mut self,
        now: Now,
        number: OrderNo,
        order: &Order,
        cl_ord_id: Text<10>,
        out: &mut impl Outlet,
    ) {
        let (tag, base) = self.base(now, order.desk, &order.request.base);
        let report = OrderReport {
            order_id: self.order_id(number),
            exec_id: self.exec_id(),
            cl_ord_id,
            orig_cl_ord_id: order.request.cl_ord_id,
            exec_type: ExecType::CANCELLED,
            ord_status: OrdStatus::CANCELLED,
            cum_qty: Qty::from_raw(order.cum),
            ..order_report(base, &order.request)
        };
        self.emit(order.desk, tag, &report, out);
    }

    /// The order traded `quantity` at `price`; `order` is as it is after that.
    pub(super) fn traded(
        &mut self,
        now: Now,
        number: OrderNo,
        order: &Order,
        (price, quantity): (i64, i64),
        out: &mut impl Outlet,
    ) {
        let request = &order.request;
        let (tag, base) = self.base(now, order.desk, &request.base);
        let report = TradeReport {
            base,
            order_id: self.order_id(number),
            cl_ord_id: request.cl_ord_id,
            quote_msg_id: Text::BLANK,
            exec_id: self.exec_id(),
            exec_type: ExecType::TRADE,
            ord_status: order.status,
            last_px: Price::from_raw(price),
            last_qty: Qty::from_raw(quantity),
            leaves_qty: Qty::from_raw(order.leaves),
            cum_qty: Qty::from_raw(order.cum),
            side: request.side,
            account_id: request.account_id,
            branch_id: request.branch_id,
            cash_margin: request.ext.cash_margin,
        };
        self.emit(order.desk, tag, &report, out);
    }

    /// The cancel is not carried out; `order` is the one it meant, if any.
    pub(super) fn cancel_rejected(
        &mut self,
        now: Now,
        (desk, request): (DeskNo, &OrderCancelRequest),
        order: Option<(OrderNo, &Order)>,
        refusal: CancelRefusal,
        out: &mut impl Outlet,
    ) {
        let (tag, base) = self.base(now, desk, &request.base);
        let report = CancelReject {
            base,
            cl_ord_id: request.cl_ord_id,
            orig_cl_ord_id: request.orig_cl_ord_id,
            side: request.side,
            ord_status: order.map_or(OrdStatus::REJECTED, |(_, order)| order.status),
            cxl_rej_reason: refusal.reason(),
            reject_text: Text::truncated(refusal.text()),
            order_id: order.map_or(request.order_id, |(number, _)| self.order_id(number)),
        };
        self.emit(desk, tag, &report, out);
    }
}

/// What all reports of an order's state repeat of its request.
fn order_report(base: ReportBase, request: &NewOrder) -> OrderReport {
    OrderReport {
        base,
        order_id: Text::BLANK,
        cl_ord_id: request.cl_ord_id,
        quote_msg_id: Text::BLANK,
        orig_cl_ord_id: Text::BLANK,
        exec_id: Text::BLANK,
        exec_type: ExecType::NEW,
        ord_status: OrdStatus::NEW,
        ord_rej_reason: OrdRejReason::NONE,
        leaves_qty: Qty::ZERO,
        cum_qty: Qty::ZERO,
        side: request.side,
        ord_type: request.ord_type,
        order_qty: request.order_qty,
        price: request.price,
        account_id: request.account_id,
        branch_id: request.branch_id,
        order_restrictions: request.order_restrictions,
        ext: request.ext,
    }
}

/// Which of `partitions` a security's reports are in: FNV-1a of its identifier, so that a security that is not
/// listed has a place for its rejects too, and every run has the same.
fn partition_of(security: &SecurityId, partitions: usize) -> usize {
    let hash = security
        .as_bytes()
        .iter()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    hash as usize % partitions
}

/// Four digits of the core, twelve of a count.
fn identifier(core_no: u16, count: u64) -> Text<16> {
    let mut digits = [b'0'; 16];
    let mut rest = u64::from(core_no % 10_000) * 10_u64.pow(12) + count % 10_u64.pow(12);
    for digit in digits.iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    Text::new(&digits).expect("invariant: sixteen digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_count_up_and_name_their_core() {
        let reporter = Reporter::new(7, &[]);
        let id = reporter.order_id(41);
        assert_eq!(id.as_bytes(), b"0007000000000042");
        assert_eq!(reporter.order_no(&id), Some(41));
        for foreign in ["0008000000000042", "0007000000000000", "000700000000042", "0007+00000000042", ""] {
            assert_eq!(reporter.order_no(&foreign.parse().unwrap()), None, "{foreign:?}");
        }
    }

    #[test]
    fn partitions_are_all_used() {
        let mut counts = [0; 4];
        for number in 1..=1_000 {
            let id = SecurityId::truncated(&format!("{number:06}"));
            counts[partition_of(&id, counts.len())] += 1;
        }
        assert!(counts.iter().all(|count| *count > 150), "{counts:?}");
    }
}
