//! Hot path: the deterministic part of an adapter: requests and events in, numbered reports out.
//!
//! Rules: no I/O, no clock; the same inputs give the same bytes. It remembers the day's orders: how many there may be is the
//! caller's to bound.

use super::counter::Event;
use super::input::Input;
use crate::ports::Line;
use flow::Tag;
use std::collections::{BTreeSet, HashMap};
use wire::szse::code::{CxlRejReason, ExecType, OrdRejReason, OrdStatus};
use wire::szse::trading::{
    CancelReject, NewOrder, OrderCancelRequest, OrderReport, ReportBase, RequestBase, TradeReport,
};
use wire::szse::{I32, I64, Message, Price, Qty, Text, Timestamp, frame};

/// Most namesakes that a cancel without OrderID looks at; where more share the name, it must give the OrderID.
const NAMESAKES_MAX: usize = 256;
/// Digits of an OrderID or ExecID that tell the core; the rest count.
const CORE_DIGITS: usize = 4;

/// How far an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The counter has not said a word of it.
    Asked,
    /// Accepted.
    Live,
    /// Filled or cancelled.
    Over,
    /// Rejected.
    Refused,
}

impl State {
    fn ended(self) -> bool {
        matches!(self, Self::Over | Self::Refused)
    }
}

#[derive(Debug)]
struct Order {
    request: NewOrder,
    /// When it came.
    unix_ns: u64,
    state: State,
    leaves: i64,
    cum: i64,
    /// The last cancel of it.
    cancel: u64,
    /// The order before it with the same SubmittingPBUID and ClOrdID.
    namesake: u64,
}

#[derive(Debug)]
struct Cancel {
    request: OrderCancelRequest,
    unix_ns: u64,
    order: u64,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// The counter is to have it.
    ForCounter,
    /// It was answered here.
    Answered,
    /// It repeats one that the counter has not answered yet: that answer is the answer to both. A reject would come before
    /// it, and deny an order that lives.
    Repeats,
}

/// A request that the counter has not answered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Open<'a> {
    Order(&'a NewOrder),
    /// With the number of the order, and whether that can still be cancelled.
    Cancel(&'a OrderCancelRequest, u64, bool),
}

/// An event that does not fit what is known of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event that makes no sense")]
pub(super) struct Senseless;

#[derive(Debug)]
pub(super) struct Desk {
    core_no: u16,
    partition_first: u16,
    /// By partition: the last ReportIndex.
    last: Vec<u64>,
    execs: u64,
    orders: HashMap<u64, Order>,
    cancels: HashMap<u64, Cancel>,
    by_identity: HashMap<(Text<12>, Text<10>), u64>,
    by_name: HashMap<(Text<6>, Text<10>), u64>,
    open: BTreeSet<u64>,
    frame: Vec<u8>,
}

impl Desk {
    /// With room for so many orders, and as many cancels: a map that has to grow moves all that it has at once.
    pub(super) fn new(core_no: u16, line: &Line, reserved: usize) -> Self {
        Self {
            core_no,
            partition_first: line.partition_first,
            last: vec![0; usize::from(line.partitions)],
            execs: 0,
            orders: HashMap::with_capacity(reserved),
            cancels: HashMap::with_capacity(reserved),
            by_identity: HashMap::with_capacity(reserved),
            by_name: HashMap::with_capacity(reserved),
            open: BTreeSet::new(),
            frame: Vec::new(),
        }
    }

    /// Requests that the counter has not answered.
    pub(super) fn open_len(&self) -> usize {
        self.open.len()
    }

    /// Those above a number, ascending.
    pub(super) fn open_after(&self, number: u64) -> impl Iterator<Item = u64> + '_ {
        self.open.range(number + 1..).copied()
    }

    /// A request that the counter has not answered, and when it came.
    pub(super) fn open(&self, number: u64) -> Option<(Open<'_>, u64)> {
        if !self.open.contains(&number) {
            return None;
        }
        if let Some(order) = self.orders.get(&number) {
            return Some((Open::Order(&order.request), order.unix_ns));
        }
        let cancel = self.cancels.get(&number)?;
        let can = self.orders.get(&cancel.order).is_some_and(|order| !order.state.ended());
        Some((Open::Cancel(&cancel.request, cancel.order, can), cancel.unix_ns))
    }

    /// Whether this order, or this cancel of the same order, came in before and its answer is, or will be, a report. A cancel
    /// that was answered may be asked again under the same name.
    #[cold]
    pub(super) fn knows(&self, input: &Input) -> bool {
        match input {
            Input::Order(order) => self.by_identity.contains_key(&(order.account_id, order.cl_ord_id)),
            Input::Cancel(cancel) => self.find(cancel).is_ok_and(|order| {
                let number = self.orders[&order].cancel;
                let last = self.cancels.get(&number).filter(|_| self.open.contains(&number));
                last.is_some_and(|last| last.request.cl_ord_id == cancel.cl_ord_id)
            }),
            Input::Event(..) => false,
        }
    }

    /// An order came in.
    pub(super) fn order(
        &mut self,
        number: u64,
        (unix_ns, time): (u64, Timestamp),
        request: &NewOrder,
        out: &mut impl FnMut(Tag, &[u8]),
    ) -> Taken {
        if let Some(first) = self.by_identity.get(&(request.account_id, request.cl_ord_id)).copied() {
            if self.open.contains(&first) {
                return Taken::Repeats;
            }
            self.report_rejected(time, first, request, OrdRejReason::DUPLICATE_ORDER, out);
            return Taken::Answered;
        }
        self.by_identity.insert((request.account_id, request.cl_ord_id), number);
        let name = (request.base.submitting_pbu_id, request.cl_ord_id);
        let namesake = self.by_name.insert(name, number).unwrap_or(0);
        let leaves = request.order_qty.raw();
        let request = *request;
        let order = Order { request, unix_ns, state: State::Asked, leaves, cum: 0, cancel: 0, namesake };
        self.orders.insert(number, order);
        self.open.insert(number);
        Taken::ForCounter
    }

    /// A cancel came in.
    pub(super) fn cancel(
        &mut self,
        number: u64,
        (unix_ns, time): (u64, Timestamp),
        request: &OrderCancelRequest,
        out: &mut impl FnMut(Tag, &[u8]),
    ) -> Taken {
        let found = self.find(request);
        let Ok(order_no) = found else {
            let reason = found.err().unwrap_or(CxlRejReason::UNKNOWN_ORDER);
            self.report_cancel_rejected(time, (number, request), None, reason, out);
            return Taken::Answered;
        };
        let order = self.orders.get_mut(&order_no).expect("invariant: found");
        if order.state.ended() {
            self.report_cancel_rejected(time, (number, request), Some(order_no), CxlRejReason::TOO_LATE, out);
            return Taken::Answered;
        }
        let before = std::mem::replace(&mut order.cancel, number);
        let same = self.cancels.get(&before).is_some_and(|one| one.request.cl_ord_id == request.cl_ord_id);
        if same && self.open.contains(&before) {
            order.cancel = before;
            return Taken::Repeats;
        }
        self.cancels.insert(number, Cancel { request: *request, unix_ns, order: order_no });
        self.open.insert(number);
        Taken::ForCounter
    }

    /// The order that a cancel means: the one of its OrderID, else the only one with this ClOrdID, SubmittingPBUID, security
    /// and side: a cancel carries no AccountID.
    fn find(&self, cancel: &OrderCancelRequest) -> Result<u64, CxlRejReason> {
        if !cancel.order_id.is_blank() {
            let number = self.order_no(&cancel.order_id);
            let meant = |number: &u64| self.orders.get(number).is_some_and(|order| order.is_meant_by(cancel));
            return number.filter(meant).ok_or(CxlRejReason::UNKNOWN_ORDER);
        }
        let name = (cancel.base.submitting_pbu_id, cancel.orig_cl_ord_id);
        let mut next = self.by_name.get(&name).copied().unwrap_or(0);
        let mut found = Err(CxlRejReason::UNKNOWN_ORDER);
        for _ in 0..NAMESAKES_MAX {
            let Some(order) = self.orders.get(&next) else { return found };
            if order.is_meant_by(cancel) {
                if found.is_ok() {
                    return Err(CxlRejReason::OTHER);
                }
                found = Ok(next);
            }
            next = order.namesake;
        }
        Err(CxlRejReason::OTHER)
    }

    /// The counter, or the adapter itself, says something.
    ///
    /// # Errors
    /// It does not fit; nothing has changed.
    pub(super) fn event(
        &mut self,
        time: Timestamp,
        event: Event,
        out: &mut impl FnMut(Tag, &[u8]),
    ) -> Result<(), Senseless> {
        match event {
            Event::Accepted { order: number } => {
                let order = self.in_state(number, State::Asked)?;
                order.state = State::Live;
                self.open.remove(&number);
                self.report_order(time, number, ExecType::NEW, out);
            }
            Event::Rejected { order: number, reason } => {
                let order = self.in_state(number, State::Asked)?;
                order.state = State::Refused;
                order.leaves = 0;
                let request = order.request;
                self.open.remove(&number);
                self.report_rejected(time, number, &request, reason, out);
            }
            Event::Traded { order: number, price, quantity } => {
                let order = self.in_state(number, State::Live)?;
                let fits =
                    (1..=order.leaves).contains(&quantity.raw()) && price.raw() > 0 && price.in_range();
                if !fits {
                    return Err(Senseless);
                }
                order.leaves -= quantity.raw();
                order.cum += quantity.raw();
                if order.leaves == 0 {
                    order.state = State::Over;
                }
                self.report_trade(time, number, (price, quantity), out);
            }
            Event::Cancelled { order: number, cancel } => {
                let asked = cancel == 0
                    || (self.open.contains(&cancel)
                        && self.cancels.get(&cancel).is_some_and(|one| one.order == number));
                let order = self.in_state(number, State::Live)?;
                if !asked {
                    return Err(Senseless);
                }
                order.state = State::Over;
                order.leaves = 0;
                self.open.remove(&cancel);
                self.report_cancelled(time, number, cancel, out);
            }
            Event::CancelRejected { cancel, reason } => {
                let known = self.cancels.get(&cancel).filter(|_| self.open.contains(&cancel));
                let &Cancel { request, order, .. } = known.ok_or(Senseless)?;
                self.open.remove(&cancel);
                self.report_cancel_rejected(time, (cancel, &request), Some(order), reason, out);
            }
        }
        Ok(())
    }

    fn in_state(&mut self, number: u64, state: State) -> Result<&mut Order, Senseless> {
        self.orders.get_mut(&number).filter(|order| order.state == state).ok_or(Senseless)
    }

    fn order_id(&self, number: u64) -> Text<16> {
        identifier(self.core_no, number)
    }

    /// The number that an OrderID of this core means.
    fn order_no(&self, id: &Text<16>) -> Option<u64> {
        let number = id.as_str()?.get(CORE_DIGITS..)?.parse().ok()?;
        (self.order_id(number) == *id).then_some(number)
    }

    fn exec_id(&mut self) -> Text<16> {
        self.execs += 1;
        identifier(self.core_no, self.execs)
    }

    /// All reports of an order are in one partition, so that they stay in order.
    fn base(&mut self, time: Timestamp, order: u64, of: &RequestBase) -> (Tag, ReportBase) {
        let partition = partition_of(order, self.last.len());
        self.last[partition] += 1;
        let index = self.last[partition];
        let lane = self.partition_first + partition as u16;
        let base = ReportBase {
            partition_no: I32::new(i32::from(lane)),
            report_index: I64::new(index.cast_signed()),
            appl_id: of.appl_id,
            reporting_pbu_id: of.submitting_pbu_id,
            submitting_pbu_id: of.submitting_pbu_id,
            security_id: of.security_id,
            security_id_source: of.security_id_source,
            owner_type: of.owner_type,
            clearing_firm: of.clearing_firm,
            transact_time: time,
            user_info: of.user_info,
        };
        (Tag { lane, number: index, key: Tag::EVERYONE }, base)
    }

    fn emit<M: Message>(&mut self, tag: Tag, report: &M, out: &mut impl FnMut(Tag, &[u8])) {
        self.frame.clear();
        frame::encode(report, &mut self.frame);
        out(tag, &self.frame);
    }

    /// What is known of an order as it is now.
    fn order_report(&mut self, time: Timestamp, number: u64, request: &NewOrder) -> (Tag, OrderReport) {
        let (tag, base) = self.base(time, number, &request.base);
        let report = OrderReport {
            base,
            order_id: self.order_id(number),
            cl_ord_id: request.cl_ord_id,
            exec_id: self.exec_id(),
            side: request.side,
            ord_type: request.ord_type,
            order_qty: request.order_qty,
            price: request.price,
            account_id: request.account_id,
            branch_id: request.branch_id,
            order_restrictions: request.order_restrictions,
            ext: request.ext,
            ..OrderReport::default()
        };
        (tag, report)
    }

    fn report_order(
        &mut self,
        time: Timestamp,
        number: u64,
        exec_type: ExecType,
        out: &mut impl FnMut(Tag, &[u8]),
    ) {
        let (request, leaves) = (self.orders[&number].request, self.orders[&number].leaves);
        let (tag, report) = self.order_report(time, number, &request);
        let leaves_qty = Qty::from_raw(leaves);
        let report = OrderReport {
            exec_type,
            ord_status: OrdStatus::NEW,
            leaves_qty,
            quote_msg_id: Text::BLANK,
            ..report
        };
        self.emit(tag, &report, out);
    }

    /// `number` is the order's, or of a duplicate that of the first.
    fn report_rejected(
        &mut self,
        time: Timestamp,
        number: u64,
        request: &NewOrder,
        reason: OrdRejReason,
        out: &mut impl FnMut(Tag, &[u8]),
    ) {
        let (tag, report) = self.order_report(time, number, request);
        let report = OrderReport {
            exec_type: ExecType::REJECTED,
            ord_status: OrdStatus::REJECTED,
            ord_rej_reason: reason,
            ..report
        };
        self.emit(tag, &report, out);
    }

    /// By a cancel the report has that one's ClOrdID, else the order's own; OrigClOrdID is the order's in both.
    fn report_cancelled(
        &mut self,
        time: Timestamp,
        number: u64,
        cancel: u64,
        out: &mut impl FnMut(Tag, &[u8]),
    ) {
        let (request, cum) = (self.orders[&number].request, self.orders[&number].cum);
        let cl_ord_id = self.cancels.get(&cancel).map_or(request.cl_ord_id, |one| one.request.cl_ord_id);
        let (tag, report) = self.order_report(time, number, &request);
        let report = OrderReport {
            cl_ord_id,
            orig_cl_ord_id: request.cl_ord_id,
            exec_type: ExecType::CANCELLED,
            ord_status: OrdStatus::CANCELLED,
            cum_qty: Qty::from_raw(cum),
            ..report
        };
        self.emit(tag, &report, out);
    }

    fn report_trade(
        &mut self,
        time: Timestamp,
        number: u64,
        (last_px, last_qty): (Price, Qty),
        out: &mut impl FnMut(Tag, &[u8]),
    ) {
        let Order { request, leaves, cum, .. } = self.orders[&number];
        let (tag, base) = self.base(time, number, &request.base);
        let report = TradeReport {
            base,
            order_id: self.order_id(number),
            cl_ord_id: request.cl_ord_id,
            exec_id: self.exec_id(),
            exec_type: ExecType::TRADE,
            ord_status: if leaves == 0 { OrdStatus::FILLED } else { OrdStatus::PARTIALLY_FILLED },
            last_px,
            last_qty,
            leaves_qty: Qty::from_raw(leaves),
            cum_qty: Qty::from_raw(cum),
            side: request.side,
            account_id: request.account_id,
            branch_id: request.branch_id,
            cash_margin: request.ext.cash_margin,
            ..TradeReport::default()
        };
        self.emit(tag, &report, out);
    }

    fn report_cancel_rejected(
        &mut self,
        time: Timestamp,
        (number, request): (u64, &OrderCancelRequest),
        order: Option<u64>,
        reason: CxlRejReason,
        out: &mut impl FnMut(Tag, &[u8]),
    ) {
        let (tag, base) = self.base(time, order.unwrap_or(number), &request.base);
        let report = CancelReject {
            base,
            cl_ord_id: request.cl_ord_id,
            orig_cl_ord_id: request.orig_cl_ord_id,
            side: request.side,
            ord_status: order.map_or(OrdStatus::REJECTED, |order| self.orders[&order].status()),
            cxl_rej_reason: reason,
            reject_text: Text::truncated(cancel_text(reason)),
            order_id: order.map_or(request.order_id, |order| self.order_id(order)),
        };
        self.emit(tag, &report, out);
    }
}

impl Order {
    fn is_meant_by(&self, cancel: &OrderCancelRequest) -> bool {
        let of = &self.request;
        (of.cl_ord_id == cancel.orig_cl_ord_id || cancel.orig_cl_ord_id.is_blank())
            && of.side == cancel.side
            && of.base.security_id == cancel.base.security_id
            && of.base.security_id_source == cancel.base.security_id_source
    }

    fn status(&self) -> OrdStatus {
        match self.state {
            State::Asked => OrdStatus::NEW,
            State::Live if self.cum == 0 => OrdStatus::NEW,
            State::Live => OrdStatus::PARTIALLY_FILLED,
            State::Over if self.cum == self.request.order_qty.raw() => OrdStatus::FILLED,
            State::Over => OrdStatus::CANCELLED,
            State::Refused => OrdStatus::REJECTED,
        }
    }
}

fn cancel_text(reason: CxlRejReason) -> &'static str {
    match reason {
        CxlRejReason::TOO_LATE => "too late",
        CxlRejReason::UNKNOWN_ORDER => "unknown order",
        CxlRejReason::NOT_ALLOWED_NOW => "not now",
        _ => "not cancelled",
    }
}

/// Which of `partitions` an order's reports are in. Numbers of orders are often all even, as the counter's answers take those
/// between: they are mixed first.
fn partition_of(order: u64, partitions: usize) -> usize {
    (order.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % partitions
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
mod tests;
