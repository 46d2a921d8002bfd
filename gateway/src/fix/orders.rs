//! Hot path: what FIX clients ask for: orders, cancels, the state of an order, all orders of an account gone.
//!
//! Rules: no allocation for an order or a cancel; one encoding, into the line's bytes.

use super::kept::Holding;
use super::refuse::{cancel_reason, cancel_refused, order_reason};
use super::report::{NO_ORDER, blank, of_order, ord_status};
use super::request;
use crate::app::Gateway;
use crate::check::{Refusal, Rule};
use crate::orders::AccountKey;
use crate::refused::Refused;
use fix::Now;
use fix::codec::Message;
use fix::message::{
    BusinessRejectReason, CxlRejReason, CxlRejResponseTo, ExecType, MassCancelRejectReason,
    MassCancelRequestType, MassCancelResponse, NewOrderSingle, OrdRejReason, OrdStatus, OrderCancelReject,
    OrderCancelRequest, OrderMassCancelReport, OrderMassCancelRequest, OrderStatusRequest, Security,
};
use fix::tag;
use shard::{Cx, Reason};
use wire::szse::trading::{self, NewOrder, RequestBase};
use wire::szse::{Message as _, Text, Timestamp, frame};

/// Open orders that one mass cancel may be about.
const MASS_CANCEL_MAX: usize = 1_000;

impl Gateway {
    /// An application message, in sequence and as the dictionary wants it.
    #[inline]
    pub(super) fn fix_application(
        &mut self,
        cx: &mut Cx,
        number: usize,
        message: &Message<'_>,
        (seq, may_repeat): (u64, bool),
        now: Now,
    ) -> Result<(), Reason> {
        let refused = match message.msg_type {
            b"D" => match NewOrderSingle::parse(message) {
                Ok(order) => self.fix_new_order(cx, number, message, (&order, may_repeat), now)?,
                Err(refusal) => Some(refusal),
            },
            b"F" => match OrderCancelRequest::parse(message) {
                Ok(cancel) => self.fix_cancel(cx, number, message, &cancel, now)?,
                Err(refusal) => Some(refusal),
            },
            b"H" => match OrderStatusRequest::parse(message) {
                Ok(wanted) => self.fix_status(cx, number, &wanted, now)?,
                Err(refusal) => Some(refusal),
            },
            b"q" => match OrderMassCancelRequest::parse(message) {
                Ok(wanted) => self.fix_mass_cancel(cx, number, &wanted, now)?,
                Err(refusal) => Some(refusal),
            },
            // A client that cannot take one of our messages says so; there is nobody to tell.
            _ => {
                tracing::warn!(comp_id = %self.fix.sessions[number].comp_id, "a message of ours was refused");
                None
            }
        };
        match refused {
            None => Ok(()),
            Some(refusal) => self.fix_unfit(cx, number, (message, seq), refusal, now),
        }
    }

    /// The account that a message means, if it is the session's.
    #[inline]
    fn fix_account(&self, number: usize, stated: Option<&[u8]>) -> Option<(Text<12>, AccountKey)> {
        let session = &self.fix.sessions[number];
        let name = match stated {
            Some(stated) => Text::new(stated).ok()?,
            None => session.default_account,
        };
        let key = self.desk.accounts.key(name)?;
        self.desk.accounts[session.comp_no].owns(key).then_some((name, key))
    }

    #[inline]
    fn fix_new_order(
        &mut self,
        cx: &mut Cx,
        number: usize,
        message: &Message<'_>,
        (order, may_repeat): (&NewOrderSingle<'_>, bool),
        now: Now,
    ) -> Result<Option<fix::message::Refusal>, Reason> {
        let security = match order.check() {
            Ok(security) => security,
            Err(refusal) => return Ok(Some(refusal)),
        };
        let sender = self.fix.sessions[number].sender();
        if order.account.is_none() && self.fix.sessions[number].default_account.is_blank() {
            return Ok(Some(missing(tag::ACCOUNT)));
        }
        let owned = self.fix_account(number, order.account);
        let stated = order.account.and_then(|account| Text::new(account).ok()).unwrap_or(Text::BLANK);
        let account = owned.map_or(stated, |(name, _)| name);
        let request = match request::new_order(order, security, account) {
            Ok(request) => request,
            Err(unfit) => {
                let why = (OrdRejReason::UnsupportedCharacteristic, unfit.text());
                self.fix_audit_unfit(cx, number, message, why.1);
                return self.fix_refuse_order(cx, number, message, why, now).map(|()| None);
            }
        };
        if let Some((_, key)) = owned
            && self.fix.book.find(key, request.cl_ord_id).is_some()
        {
            return self.fix_known_order(cx, number, message, (key, &request, may_repeat), now);
        }
        let placed = self.place(cx, sender, &request, |out| frame::encode(&request, out));
        let Err(refusal) = placed else {
            self.fix.counts.orders += 1;
            self.fix.sessions[number].requests += 1;
            return Ok(None);
        };
        self.fix_refused(number, refusal);
        self.fix_refuse_order(cx, number, message, (order_reason(refusal), refusal.text()), now)?;
        self.fix_flood(number, refusal, now)?;
        Ok(None)
    }

    /// An order whose ClOrdID its account has used: said to be a repetition, it is answered with what became of the first;
    /// else it is refused.
    #[cold]
    fn fix_known_order(
        &mut self,
        cx: &mut Cx,
        number: usize,
        message: &Message<'_>,
        (key, request, may_repeat): (AccountKey, &NewOrder, bool),
        now: Now,
    ) -> Result<Option<fix::message::Refusal>, Reason> {
        if !may_repeat {
            let core = crate::route::order(request.ext.cash_margin).ok();
            let comp_id = self.fix.sessions[number].comp_id;
            if let Some(audit) = &mut self.audit {
                let refused = (core, Err(Refusal::Duplicate));
                audit.request(cx.wall_ns(), comp_id, refused, |out| frame::encode(request, out));
            }
            self.fix_refused(number, Refusal::Duplicate);
            let why = (OrdRejReason::DuplicateOrder, "ClOrdID was used before");
            return self.fix_refuse_order(cx, number, message, why, now).map(|()| None);
        }
        if let Some(order) = self.fix.book.find(key, request.cl_ord_id).copied() {
            let account = self.desk.accounts.name(key).unwrap_or(Text::BLANK);
            let mut answer = of_order(&order, Some(account.trimmed()));
            answer.transact_time = Some(now.utc());
            self.fix_answer(cx, number, &answer, now)?;
        }
        Ok(None)
    }

    /// Counts a refusal.
    pub(super) fn fix_refused(&mut self, number: usize, refusal: Refusal) {
        self.fix.sessions[number].refused += 1;
        self.counts.refused[refusal.index()] += 1;
        self.fix.counts.refused += 1;
    }

    /// A session that goes on sending though it is refused for sending too much is ended, where that is configured.
    fn fix_flood(&mut self, number: usize, refusal: Refusal, now: Now) -> Result<(), Reason> {
        let throttled = matches!(refusal, Refusal::Rule(Rule::SessionThrottled));
        if throttled && self.desk.checks.is_flood(self.fix.sessions[number].comp_no) {
            return Err(self.fix_expel(number, "too many orders", now));
        }
        Ok(())
    }

    #[inline]
    fn fix_cancel(
        &mut self,
        cx: &mut Cx,
        number: usize,
        message: &Message<'_>,
        cancel: &OrderCancelRequest<'_>,
        now: Now,
    ) -> Result<Option<fix::message::Refusal>, Reason> {
        let security = match cancel.check() {
            Ok(security) => security,
            Err(refusal) => return Ok(Some(refusal)),
        };
        let stated = cancel.order_id.map_or(Ok(Text::BLANK), Text::new).unwrap_or(Text::BLANK);
        // Two accounts of a client may have used the same ClOrdID: the account tells which is meant.
        let name = Text::new(cancel.orig_cl_ord_id).unwrap_or(Text::BLANK);
        let account = self.fix_account(number, cancel.account);
        let order = account.and_then(|(_, key)| self.fix.book.find(key, name)).copied();
        let order_id = match order {
            Some(order) if stated.is_blank() => order.order_id,
            _ => stated,
        };
        let request = match request::cancel(cancel, security, order_id) {
            Ok(request) => request,
            Err(unfit) => {
                let answer =
                    cancel_refused(message, OrdStatus::Rejected, (CxlRejReason::Other, unfit.text()), now);
                return self.fix_answer(cx, number, &answer, now).map(|()| None);
            }
        };
        let comp_no = self.fix.sessions[number].comp_no;
        let withdrawn = match (cancel.account, account) {
            (Some(_), None) => {
                let comp_id = self.fix.sessions[number].comp_id;
                if let Some(audit) = &mut self.audit {
                    let refused = (None, Err(Refusal::Account));
                    audit.request(cx.wall_ns(), comp_id, refused, |out| frame::encode(&request, out));
                }
                Err(Refusal::Account)
            }
            _ => self.withdraw(cx, comp_no, &request, frame::encode),
        };
        let Err(refusal) = withdrawn else {
            self.fix.counts.cancels += 1;
            self.fix.sessions[number].requests += 1;
            return Ok(None);
        };
        self.fix_refused(number, refusal);
        let status = order.and_then(|order| order.status).map_or(OrdStatus::Rejected, ord_status);
        let answer = cancel_refused(message, status, (cancel_reason(refusal), refusal.text()), now);
        self.fix_answer(cx, number, &answer, now)?;
        self.fix_flood(number, refusal, now)?;
        Ok(None)
    }

    /// What is known of an order.
    fn fix_status(
        &mut self,
        cx: &mut Cx,
        number: usize,
        wanted: &OrderStatusRequest<'_>,
        now: Now,
    ) -> Result<Option<fix::message::Refusal>, Reason> {
        let name = Text::new(wanted.cl_ord_id).unwrap_or(Text::BLANK);
        let comp_no = self.fix.sessions[number].comp_no;
        let (accounts, book) = (&self.desk.accounts, &self.fix.book);
        let meant = |key: AccountKey| {
            let order = book.find(key, name)?;
            let fits = wanted.order_id.is_none_or(|id| id == order.order_id.trimmed());
            fits.then_some(*order)
        };
        let order = match wanted.account {
            Some(_) => self.fix_account(number, wanted.account).and_then(|(_, key)| meant(key)),
            None => accounts[comp_no].accounts.iter().find_map(|key| meant(*key)),
        };
        let account = order.and_then(|order| accounts.name(order.account)).unwrap_or(Text::BLANK);
        let mut answer = match &order {
            Some(order) => of_order(order, Some(account.trimmed())),
            None => blank(wanted.account, wanted.side),
        };
        if order.is_none() {
            answer.cl_ord_id = Some(wanted.cl_ord_id);
            answer.symbol = wanted.symbol;
            answer.ord_rej_reason = Some(OrdRejReason::UnknownOrder);
            answer.text = Some(b"unknown order");
        }
        answer.exec_type = ExecType::OrderStatus;
        answer.ord_status_req_id = wanted.ord_status_req_id;
        answer.transact_time = Some(now.utc());
        self.fix_answer(cx, number, &answer, now)?;
        Ok(None)
    }

    /// Each open order that is known is cancelled as by a cancel of its own, with the request's ClOrdID.
    #[cold]
    fn fix_mass_cancel(
        &mut self,
        cx: &mut Cx,
        number: usize,
        wanted: &OrderMassCancelRequest<'_>,
        now: Now,
    ) -> Result<Option<fix::message::Refusal>, Reason> {
        let of_security = match wanted.mass_cancel_request_type {
            MassCancelRequestType::All => None,
            MassCancelRequestType::Security => {
                let symbol = wanted.symbol.or(wanted.security_id).unwrap_or_default();
                let security = Security::of(
                    symbol,
                    wanted.security_id,
                    wanted.security_id_source,
                    wanted.security_exchange,
                );
                match security {
                    Ok(security) => Some(security),
                    Err(refusal @ fix::message::Refusal::Business { .. }) => return Ok(Some(refusal)),
                    Err(_) => return self.fix_mass_answer(cx, number, wanted, Err("unknown security"), now),
                }
            }
        };
        let Ok(cl_ord_id) = Text::new(wanted.cl_ord_id) else {
            return self.fix_mass_answer(cx, number, wanted, Err("ClOrdID of more than ten characters"), now);
        };
        let comp_no = self.fix.sessions[number].comp_no;
        let accounts = &self.desk.accounts[comp_no].accounts;
        let open = accounts.iter().flat_map(|account| self.fix.book.open_orders(*account));
        let meant: Vec<trading::OrderCancelRequest> = open
            .filter(|order| {
                let security = of_security.is_none_or(|security| {
                    order.security_id.trimmed() == security.code
                        && order.security_id_source.trimmed() == security.exchange.security_id_source()
                });
                security && wanted.side.is_none_or(|side| side.byte() == order.side.raw())
            })
            .map(|order| trading::OrderCancelRequest {
                base: RequestBase {
                    appl_id: wire::szse::code::APPL_CASH_AUCTION,
                    security_id: order.security_id,
                    security_id_source: order.security_id_source,
                    transact_time: Timestamp::from_unix_ns(now.wall_ns),
                    ..RequestBase::default()
                },
                cl_ord_id,
                orig_cl_ord_id: order.cl_ord_id,
                side: order.side,
                order_id: order.order_id,
                order_qty: order.order_qty,
            })
            .take(MASS_CANCEL_MAX + 1)
            .collect();
        if meant.len() > MASS_CANCEL_MAX {
            return self.fix_mass_answer(cx, number, wanted, Err("more than 1000 open orders"), now);
        }
        let mut affected = 0;
        for request in &meant {
            match self.withdraw(cx, comp_no, request, frame::encode) {
                Ok(()) => {
                    affected += 1;
                    self.fix.counts.cancels += 1;
                }
                Err(refusal) => self.fix_refused(number, refusal),
            }
        }
        let outcome = if affected == 0 && !meant.is_empty() {
            Err("no order can be cancelled now")
        } else {
            Ok(affected)
        };
        self.fix_mass_answer(cx, number, wanted, outcome, now)
    }

    fn fix_mass_answer(
        &mut self,
        cx: &mut Cx,
        number: usize,
        wanted: &OrderMassCancelRequest<'_>,
        outcome: Result<u64, &'static str>,
        now: Now,
    ) -> Result<Option<fix::message::Refusal>, Reason> {
        let id = self.fix.exec_id(now);
        let accepted = match wanted.mass_cancel_request_type {
            MassCancelRequestType::Security => MassCancelResponse::Security,
            MassCancelRequestType::All => MassCancelResponse::All,
        };
        let answer = OrderMassCancelReport {
            cl_ord_id: Some(wanted.cl_ord_id),
            order_id: id.bytes(),
            mass_cancel_request_type: wanted.mass_cancel_request_type,
            mass_cancel_response: if outcome.is_ok() { accepted } else { MassCancelResponse::Rejected },
            mass_cancel_reject_reason: outcome.err().map(|_| MassCancelRejectReason::Other),
            total_affected_orders: outcome.ok(),
            transact_time: Some(now.utc()),
            text: outcome.err().map(str::as_bytes),
        };
        self.fix_answer(cx, number, &answer, now)?;
        Ok(None)
    }

    /// A request has ended without a report: told to the account's sessions. It has no number in the flow, so who is
    /// not logged on gets it from the session's store, and a gateway that dies before knows of it no more.
    #[cold]
    pub(crate) fn fix_core_refused(&mut self, cx: &mut Cx, refused: &Refused) {
        let Some(account) = refused.account else { return };
        let count = self.fix.by_account.get(account as usize).map_or(0, |sessions| sessions.len());
        for at in 0..count {
            self.fix_tell_refused(cx, self.fix.by_account[account as usize][at], refused);
        }
        if refused.reject.ref_msg_type.get() == NewOrder::MSG_TYPE {
            self.fix.book.refused(account, refused.reject.business_reject_ref_id);
        }
    }

    /// Tells one session that a request has ended without a report, if the session is this gateway's: then it is numbered and kept,
    /// whether its client is there or not. What is another's is not written to: its client learns of it by asking.
    #[cold]
    pub(super) fn fix_tell_refused(&mut self, cx: &mut Cx, number: usize, refused: &Refused) {
        let Some(account) = refused.account else { return };
        match self.fix.sessions[number].holding() {
            Holding::Ours => {}
            Holding::Asking => return self.fix_hold_refused(number, *refused),
            Holding::Elsewhere => return self.fix_refusals_lost(number, 1),
        }
        let (now, reject) = (super::session::now(cx), &refused.reject);
        let is_order = reject.ref_msg_type.get() == NewOrder::MSG_TYPE;
        let exec_id = self.fix.exec_id(now);
        let name = self.desk.accounts.name(account).unwrap_or(Text::BLANK);
        let (cl_ord_id, text) = (reject.business_reject_ref_id, reject.business_reject_text);
        let order = self.fix.book.find(account, if is_order { cl_ord_id } else { refused.of }).copied();
        let mut out = Vec::new();
        let session = &mut self.fix.sessions[number];
        let kept = match order {
            Some(order) if is_order => {
                let mut answer = of_order(&order, Some(name.trimmed()));
                answer.exec_id = exec_id.bytes();
                answer.exec_type = ExecType::Rejected;
                answer.ord_status = OrdStatus::Rejected;
                answer.ord_rej_reason = Some(OrdRejReason::Broker);
                answer.leaves_qty = fix::Qty::ZERO;
                answer.transact_time = Some(now.utc());
                answer.text = Some(text.trimmed());
                session.engine.send(&answer, now, &mut out)
            }
            None if is_order => {
                let answer = fix::message::BusinessMessageReject {
                    ref_seq_num: 0,
                    ref_msg_type: b"D",
                    business_reject_ref_id: Some(cl_ord_id.trimmed()),
                    business_reject_reason: BusinessRejectReason::Other,
                    text: Some(text.trimmed()),
                };
                session.engine.send(&answer, now, &mut out)
            }
            order => {
                let status = order.and_then(|order| order.status).map_or(OrdStatus::Rejected, ord_status);
                let named = |name: &[u8]| if name.is_empty() { NO_ORDER.to_vec() } else { name.to_vec() };
                let answer = OrderCancelReject {
                    order_id: &named(order.as_ref().map_or(b"", |order| order.order_id.trimmed())),
                    cl_ord_id: cl_ord_id.trimmed(),
                    orig_cl_ord_id: &named(refused.of.trimmed()),
                    ord_status: status,
                    account: Some(name.trimmed()),
                    transact_time: Some(now.utc()),
                    cxl_rej_response_to: CxlRejResponseTo::CancelRequest,
                    cxl_rej_reason: Some(CxlRejReason::Broker),
                    text: Some(text.trimmed()),
                };
                session.engine.send(&answer, now, &mut out)
            }
        };
        // Before its logon is answered nothing may go to it: it comes behind, from the store.
        let conn = session.conn.filter(|_| session.engine.is_active());
        session.refusal_numbered();
        self.fix.touch(number);
        match (kept, conn) {
            (Ok(_), Some(conn)) => cx.send(conn, |bytes| bytes.extend_from_slice(&out)),
            (Ok(_), None) => {}
            (Err(error), _) => {
                self.fix_refusals_lost(number, 1);
                self.fix_store_failed(cx, number, error);
            }
        }
    }
}

fn missing(tag: u32) -> fix::message::Refusal {
    fix::message::Refusal::Business { reason: BusinessRejectReason::ConditionallyRequiredFieldMissing, tag }
}
