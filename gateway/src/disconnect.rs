//! Hot path: cancel on disconnect: what a session that is gone has left open is cancelled by the gateway.
//!
//! A session is gone when its CompID is logged on at neither port and has not come back within its grace. Its open orders
//! are then taken at once out of its list (`check/open.rs`), so that orders that it sends later are not among them, and
//! cancelled a few in a turn: ten thousand of them stall nobody. What cannot be cancelled now (the line is down, the
//! phase takes no cancels, the core has not said the OrderID yet) is tried again until it can or is no longer open.
//!
//! A FIX session in JetStream may go on through another gateway, with what it has open: whose it is by the stream when the grace is over
//! cancels that, nobody else. So who has claimed a session has to follow it to its end, also where its client was not let in. What its
//! client has sent by the binary port stays this gateway's to cancel, wherever the FIX session is.
//!
//! Rules: no allocation for a cancel, a bound on what is looked at and sent in a turn.

use crate::accounts::{Accounts, CompNo};
use crate::app::Gateway;
use crate::audit::Health;
use crate::check::{Moment, OWN_CL_ORD_ID, Open, Refusal, Sender};
use crate::config::Config;
use crate::flight::Identity;
use crate::orders::Order;
use crate::refused::{By, Refused};
use crate::route::Core;
use shard::{Cx, Reason};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use wire::szse::code::APPL_CASH_AUCTION;
use wire::szse::trading::{OrderCancelRequest, RequestBase};
use wire::szse::{Qty, Text, Timestamp, frame};

/// Cancels that are sent in one turn.
const SENT_PER_TURN: u32 = 64;
/// Orders that are looked at in one turn.
const LOOKS_PER_TURN: u32 = 256;
/// After a turn in which none of those that were looked at could be cancelled they are looked at again, nanoseconds.
const AGAIN_NS: u64 = 10_000_000;

/// After a cancel that did not reach the core those without an answer are sent again, nanoseconds.
const REPEAT_NS: u64 = 200_000_000;

/// After a core has refused one of the cancels they are sent again, nanoseconds: the first time, and at most, it being twice as long
/// each time.
const REPEAT_REFUSED_NS: u64 = 1_000_000_000;
const REPEAT_REFUSED_NS_MAX: u64 = 32_000_000_000;

/// Where the store of the FIX sessions has not said whose one is, it is asked again after this, nanoseconds.
const ASK_AGAIN_NS: u64 = 1_000_000_000;

/// How long it is asked, in timeouts of one exchange (`fix.store.jetstream.timeout_ms`), until what this gateway was sent is cancelled
/// without its word: long enough for an election and for a server that starts again. That may cost orders of a client who trades on through
/// another gateway; it sees their reports. An order that stays open when its client is gone is seen by nobody.
const SILENT_TIMEOUTS_MAX: u64 = 20;

/// The same of a gateway that stops, nanoseconds: it must be through with its cancels when `drain_timeout_ms` is over.
const SILENT_CLOSING_NS_MAX: u64 = 2_000_000_000;

/// A session that is gone and may come back.
#[derive(Clone, Copy)]
struct Gone {
    comp_no: CompNo,
    peer: SocketAddr,
    /// Its grace is over, or the store is to be asked again.
    due_ns: u64,
    /// The store is asked no longer.
    until_ns: u64,
}

/// What sessions that are gone have left, or may have.
pub(crate) struct Left {
    /// By CompID: how long it may be away, nanoseconds; `None` where nothing is cancelled.
    grace_ns: Box<[Option<u64>]>,
    /// By CompID: its FIX session was claimed from another gateway for a client that was not let in, so what it has left open there is not
    /// taken for its own here yet.
    claimed: Box<[bool]>,
    /// By CompID: its FIX session in JetStream was logged on here, and what it has open here has neither been left behind since nor is it
    /// known to have gone on to another gateway with the session.
    was_here: Box<[bool]>,
    /// Those within their grace, each once.
    gone: Vec<Gone>,
    /// Those whose grace is over, and of whom is being asked whether they go on through another gateway. None of them is in `gone`.
    asked: Vec<Gone>,
    /// How long the store is asked, nanoseconds.
    silent_ns_max: u64,
    /// There are orders to be cancelled.
    open: bool,
    again_ns: u64,
    /// How often cancels were sent again because the core had refused one, since a session was gone last.
    repeats: u32,
    /// Cancels that are sent of one order.
    cancels_max: u16,
    /// Requests under way to a core from which on none is sent: others are to have room.
    under_way_max: usize,
    names: Names,
}

impl Left {
    /// Of all that may be under way to a core its cancels are half at most.
    pub(crate) fn new(config: &Config, accounts: &Accounts) -> Self {
        let (forwarding, clients) = (&config.forwarding, &config.cancel_on_disconnect);
        let grace_ns = |comp_no: CompNo| {
            let one = clients.iter().find(|one| one.comp_id == accounts[comp_no].comp_id);
            one.map(|one| u64::from(one.grace_ms) * 1_000_000)
        };
        let timeout_ms = config.fix.jetstream().map_or(0, |jetstream| jetstream.timeout_ms);
        Self {
            grace_ns: (0..accounts.comps_len()).map(grace_ns).collect(),
            claimed: vec![false; accounts.comps_len()].into(),
            was_here: vec![false; accounts.comps_len()].into(),
            gone: Vec::with_capacity(clients.len()),
            asked: Vec::with_capacity(clients.len()),
            silent_ns_max: timeout_ms.saturating_mul(SILENT_TIMEOUTS_MAX * 1_000_000),
            open: false,
            again_ns: 0,
            repeats: 0,
            cancels_max: forwarding.disconnect_cancels_max,
            under_way_max: (forwarding.in_flight_max as usize / 2).max(1),
            names: Names::new(RandomState::new().hash_one(clients.len())),
        }
    }

    /// A CompID has logged on. What is being cancelled already is its earlier session's.
    pub(crate) fn came_back(&mut self, comp_no: CompNo) {
        self.gone.retain(|gone| gone.comp_no != comp_no);
        self.asked.retain(|gone| gone.comp_no != comp_no);
    }

    /// One that is gone and has not come back.
    fn find(&mut self, comp_no: CompNo) -> Option<&mut Gone> {
        self.gone.iter_mut().chain(&mut self.asked).find(|gone| gone.comp_no == comp_no)
    }

    /// Whether the grace of one that is gone is over, and the store is to be asked before anybody has its session again.
    pub(crate) fn is_over(&self, comp_no: CompNo, now_ns: u64) -> bool {
        self.gone.iter().any(|gone| gone.comp_no == comp_no && gone.due_ns <= now_ns)
    }

    /// The gateway closes: nobody comes back, and the store is not waited for long.
    fn hurry(&mut self, now_ns: u64) {
        let until_ns = now_ns.saturating_add(SILENT_CLOSING_NS_MAX);
        // Of each this is said once.
        for gone in self.gone.iter_mut().chain(&mut self.asked).filter(|gone| gone.until_ns > until_ns) {
            gone.due_ns = gone.due_ns.min(now_ns);
            gone.until_ns = until_ns;
        }
    }

    /// Takes one of those for whom the store is asked no longer.
    fn take_overdue(&mut self, now_ns: u64) -> Option<Gone> {
        let overdue = |gone: &Gone| gone.until_ns <= now_ns;
        if let Some(at) = self.gone.iter().position(overdue) {
            return Some(self.gone.swap_remove(at));
        }
        self.asked.iter().position(overdue).map(|at| self.asked.swap_remove(at))
    }

    /// Whether nothing is left to cancel.
    pub(crate) fn is_done(&self) -> bool {
        !self.open && self.gone.is_empty() && self.asked.is_empty()
    }
}

/// What became of a look at an order.
enum Looked {
    /// Its cancel is on its way, or it needs none.
    Done,
    /// Not now: the others first.
    Later,
    /// None of this core now.
    Stuck,
}

impl Gateway {
    /// A session of a CompID has come from another gateway, or from an earlier life of this one: what it has left open there is its own
    /// here.
    pub(crate) fn session_came(&mut self, comp_no: CompNo) {
        (self.left.claimed[comp_no], self.left.was_here[comp_no]) = (false, true);
        if self.left.grace_ns[comp_no].is_some()
            && let Some(open) = &mut self.desk.checks.open
        {
            self.desk.accounts.only_of(comp_no).for_each(|account| open.inherit(comp_no, account));
        }
    }

    /// A session that may go on through another gateway is not here any more. What it does there is not seen here from now on as its own.
    pub(crate) fn session_left(&mut self, comp_no: CompNo) {
        if let Some(open) = &mut self.desk.checks.open {
            open.inherit_no_more(comp_no);
        }
    }

    /// A session of a CompID has ended, and no other one of it was the reason.
    pub(crate) fn session_gone(&mut self, cx: &mut Cx, comp_no: CompNo, peer: SocketAddr, reason: Reason) {
        let Some(grace_ns) = self.left.grace_ns[comp_no] else { return };
        let elsewhere = self.by_comp[comp_no].is_some() || self.fix.is_logged_on(comp_no);
        // A gateway that stops has no turn left to send anything in.
        if elsewhere || reason == Reason::Stopped {
            return;
        }
        self.left.came_back(comp_no);
        let due_ns = cx.now_ns().saturating_add(grace_ns);
        let until_ns = match self.left.was_here[comp_no] {
            true => due_ns.saturating_add(self.left.silent_ns_max),
            false => u64::MAX,
        };
        self.left.gone.push(Gone { comp_no, peer, due_ns, until_ns });
        if grace_ns == 0 {
            self.follow_grace(cx);
        }
    }

    /// A FIX session was claimed for a client that is not let in, as it was `away_ns` ago first, here or elsewhere. Its grace goes on from
    /// then: a client that tries again and again does not put off the end of it. As the claim may have failed, and the session be on
    /// elsewhere, nothing is cancelled before the store has said that it is this gateway's.
    pub(crate) fn session_not_admitted(&mut self, cx: &Cx, comp_no: CompNo, peer: SocketAddr, away_ns: u64) {
        let Some(grace_ns) = self.left.grace_ns[comp_no] else { return };
        self.left.claimed[comp_no] = true;
        if self.by_comp[comp_no].is_some() || self.fix.is_logged_on(comp_no) {
            return;
        }
        let due_ns = cx.now_ns().saturating_add(grace_ns.saturating_sub(away_ns));
        match self.left.find(comp_no) {
            Some(gone) => gone.due_ns = gone.due_ns.min(due_ns),
            None => {
                self.left.gone.push(Gone { comp_no, peer, due_ns, until_ns: u64::MAX });
            }
        }
    }

    /// A FIX session that was here is another gateway's now: what it has left open is for that one to cancel. It stays known as its own,
    /// in case that it comes back.
    pub(crate) fn session_went_on(&mut self, comp_no: CompNo) {
        self.metrics.fix_went_on.inc();
        (self.left.claimed[comp_no], self.left.was_here[comp_no]) = (false, false);
        if let Some(gone) = self.left.find(comp_no) {
            gone.until_ns = u64::MAX;
        }
    }

    /// Whether a session that is gone is this gateway's still; nothing where the store has not said.
    pub(crate) fn session_looked_for(&mut self, cx: &mut Cx, comp_no: CompNo, ours: Option<bool>) {
        let Some(at) = self.left.asked.iter().position(|gone| gone.comp_no == comp_no) else { return };
        let mut gone = self.left.asked.swap_remove(at);
        match ours {
            Some(true) => {
                if self.left.claimed[comp_no] {
                    self.session_came(comp_no);
                }
                self.leave_behind(cx, &gone, Sender::roaming(comp_no), "session gone");
            }
            Some(false) => self.session_went_on(comp_no),
            None => {
                gone.due_ns = cx.now_ns().saturating_add(ASK_AGAIN_NS);
                self.left.gone.push(gone);
            }
        }
    }

    /// Whose grace is over.
    pub(crate) fn follow_grace(&mut self, cx: &mut Cx) {
        let now_ns = cx.now_ns();
        if self.desk.closing {
            self.left.hurry(now_ns);
        }
        while let Some(at) =
            self.left.gone.iter().position(|gone| gone.due_ns <= now_ns && !self.fix_is_keeping(gone.comp_no))
        {
            let gone = self.left.gone.swap_remove(at);
            self.leave_behind(cx, &gone, Sender::staying(gone.comp_no), "session gone");
            if self.fix.may_be_ours(gone.comp_no) {
                self.left.asked.push(gone);
                self.fix_look(cx, gone.comp_no);
            }
        }
        while let Some(gone) = self.left.take_overdue(now_ns) {
            self.leave_unasked(cx, &gone);
        }
        self.metrics.disconnect_cancels_waiting.set(i64::from(self.left.open));
    }

    /// The store has not said for too long whether a session is this gateway's.
    #[cold]
    fn leave_unasked(&mut self, cx: &mut Cx, gone: &Gone) {
        let comp_id = self.desk.accounts[gone.comp_no].comp_id;
        // Its memory may have been on its way until now.
        self.leave_behind(cx, gone, Sender::staying(gone.comp_no), "session gone");
        if self.left.was_here[gone.comp_no] {
            tracing::warn!(%comp_id, "the store of the FIX sessions does not say whether the session goes on elsewhere");
            self.leave_behind(cx, gone, Sender::roaming(gone.comp_no), "session gone, its store silent");
        } else {
            tracing::error!(%comp_id, "the gateway stops and does not know whether open orders of a session are its to cancel");
        }
    }

    /// What one that is gone has sent by this kind of session, and is open, is cancelled from now on.
    fn leave_behind(&mut self, cx: &mut Cx, gone: &Gone, sender: Sender, why: &str) {
        let (now_ns, Gone { comp_no, peer, .. }) = (cx.now_ns(), *gone);
        let Some(open) = &mut self.desk.checks.open else { return };
        if sender.roams {
            open.inherit_no_more(comp_no);
            self.left.was_here[comp_no] = false;
        }
        if !open.leave(sender) {
            return;
        }
        let comp_id = self.desk.accounts[comp_no].comp_id;
        tracing::info!(%comp_id, %peer, why, "open orders are cancelled");
        self.audit_session(cx, Some(comp_id), peer, ("open orders are cancelled", why));
        self.left.open = true;
        self.left.again_ns = now_ns;
        self.left.repeats = 0;
        cx.wake_at(now_ns);
    }

    /// A request has ended without a report. If it was a cancel of ours that the core did not take (its line died, and it
    /// had become too old to be sent again; or what is behind the core is not there), its order is still open.
    pub(crate) fn cancel_not_taken(&mut self, cx: &mut Cx, refused: &Refused) {
        if refused.is_own()
            && let Some(open) = &mut self.desk.checks.open
        {
            let any = open.leave_again(refused.core);
            self.left.open = true;
            let pause_ns = match refused.by {
                By::Gateway => REPEAT_NS,
                By::Core => {
                    let pause_ns =
                        (REPEAT_REFUSED_NS << self.left.repeats.min(16)).min(REPEAT_REFUSED_NS_MAX);
                    // One of many that are refused together speaks for all.
                    if any {
                        let (core, text) = (refused.core.name(), refused.reject.business_reject_text);
                        tracing::warn!(core, %text, again_ns = pause_ns, "a cancel of what a session has left is refused");
                        self.left.repeats += 1;
                        pause_ns
                    } else {
                        return;
                    }
                }
            };
            self.left.again_ns = cx.now_ns() + pause_ns;
        }
    }

    /// Orders that had been given up are open after all: if who sent them is gone, they are among what it has left.
    #[inline]
    pub(crate) fn leave_what_turned_up(&mut self) {
        let Some(open) = &mut self.desk.checks.open else { return };
        for sender in open.turned_up() {
            let comp_no = sender.comp_no;
            let here = self.by_comp[comp_no].is_some() || self.fix.is_logged_on(comp_no);
            let may_come_back = self.left.find(comp_no).is_some();
            let elsewhere = sender.roams && !self.fix.may_be_ours(comp_no);
            if self.left.grace_ns[comp_no].is_some() && !here && !may_come_back && !elsewhere {
                self.left.open |= open.leave(sender);
            }
        }
    }

    /// This turn's share of the cancels.
    #[inline]
    pub(crate) fn cancel_left_behind(&mut self, cx: &mut Cx) {
        if self.left.open && cx.now_ns() >= self.left.again_ns {
            self.cancel_some(cx);
        }
    }

    fn cancel_some(&mut self, cx: &mut Cx) {
        let (mut sent, mut stuck, mut given_up) = (0, false, 0_u64);
        for core in Core::ALL {
            // One lap, so that orders which cannot be cancelled now do not use up the looks that others need.
            let (mut looks, mut lap) = (0, None);
            while sent < SENT_PER_TURN && looks < LOOKS_PER_TURN && !self.lines.paused() {
                let first = self.desk.checks.open.as_ref().and_then(|open| open.left_behind(core));
                let Some(order) =
                    first.copied().filter(|order| lap != Some((order.account, order.cl_ord_id)))
                else {
                    break;
                };
                looks += 1;
                if let Some(open) = &mut self.desk.checks.open
                    && open.cancels_of_left(core) >= self.left.cancels_max
                {
                    open.give_up_left(core);
                    given_up += 1;
                    continue;
                }
                let looked = self.cancel_one(cx, &order);
                let Some(open) = &mut self.desk.checks.open else { break };
                match looked {
                    Looked::Done => open.deal_with_left(core),
                    Looked::Later => {
                        lap.get_or_insert((order.account, order.cl_ord_id));
                        open.postpone_left(core);
                    }
                    Looked::Stuck => {
                        stuck = true;
                        break;
                    }
                }
                sent += u32::from(matches!(looked, Looked::Done));
            }
        }
        if given_up > 0 {
            self.counts.disconnect_given_up += given_up;
            tracing::error!(
                orders = given_up,
                "orders of a session that is gone stay open: the core takes no cancel of them"
            );
        }
        let open = self.desk.checks.open.as_ref();
        self.left.open =
            open.is_some_and(|open| Core::ALL.iter().any(|core| open.left_behind(*core).is_some()));
        let later_ns = cx.now_ns() + AGAIN_NS;
        // To find a core stuck costs little, and each of its answers, which is a turn, may end that.
        self.left.again_ns = if sent > 0 || stuck { 0 } else { later_ns };
        if self.left.open {
            cx.wake_at(if sent > 0 { cx.now_ns() } else { later_ns });
        }
    }

    fn cancel_one(&mut self, cx: &mut Cx, order: &Open) -> Looked {
        let (at, Open { account, core, .. }) = (Moment::of(cx), *order);
        let known = self.desk.orders.by_identity(account, order.cl_ord_id).copied();
        let Order { order_id, .. } = match known {
            // Without its OrderID the core might take it for another's: the report is on its way.
            Some(known) if known.order_id.is_blank() => return Looked::Later,
            Some(known) => known,
            None => Order { cl_ord_id: order.cl_ord_id, order_id: Text::BLANK, account, core },
        };
        let request = OrderCancelRequest {
            base: RequestBase {
                appl_id: APPL_CASH_AUCTION,
                submitting_pbu_id: order.submitting_pbu_id,
                security_id: order.security_id,
                security_id_source: order.source,
                transact_time: Timestamp::from_unix_ns(at.wall_ns.max(0).cast_unsigned()),
                ..RequestBase::default()
            },
            cl_ord_id: self.left.names.next(),
            orig_cl_ord_id: order.cl_ord_id,
            side: order.side,
            order_id,
            order_qty: Qty::from_raw(order.leaves),
        };
        if self.desk.checks.phase_takes_cancel(at, &request).is_err() {
            return Looked::Later;
        }
        let under_way = self.lines.upstream(core).map_or(0, |upstream| upstream.flight.len());
        if under_way >= self.left.under_way_max || self.desk.audit == Health::Nothing {
            return Looked::Stuck;
        }
        let identity = Identity::cancel(account, request.cl_ord_id, order.cl_ord_id);
        match self.lines.forward(cx, core, identity, |out| frame::encode(&request, out)) {
            Ok(()) => {}
            Err(Refusal::Duplicate) => return Looked::Later,
            Err(_) => return Looked::Stuck,
        }
        self.throttle(cx);
        self.counts.cancels[core as usize] += 1;
        self.counts.disconnect_cancels += 1;
        let of = Order { cl_ord_id: order.cl_ord_id, order_id, account, core };
        self.desk.cancel_sent(at, &of, &request);
        if let (Some(audit), Some(sender)) = (&mut self.audit, order.sender) {
            let comp_id = self.desk.accounts[sender.comp_no].comp_id;
            audit.request(at.wall_ns, comp_id, (Some(core), Ok(())), |out| frame::encode(&request, out));
        }
        Looked::Done
    }
}

/// ClOrdIDs of the gateway's own: the mark that no client's has, three characters of this gateway's life, and a number.
struct Names {
    life: u32,
    number: u64,
}

/// Characters of `life` and of `number`.
const LIFE_CHARS: usize = 3;
const NUMBER_CHARS: usize = 6;

impl Names {
    fn new(seed: u64) -> Self {
        Self { life: seed as u32, number: 0 }
    }

    fn next(&mut self) -> Text<10> {
        let mut name = [OWN_CL_ORD_ID; 1 + LIFE_CHARS + NUMBER_CHARS];
        digits(u64::from(self.life), &mut name[1..=LIFE_CHARS]);
        digits(self.number, &mut name[1 + LIFE_CHARS..]);
        self.number += 1;
        Text::new(&name).expect("invariant: printable, and as long as a ClOrdID")
    }
}

/// The last digits of a number to the base of 36.
fn digits(mut number: u64, out: &mut [u8]) {
    for place in out.iter_mut().rev() {
        *place = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[(number % 36) as usize];
        number /= 36;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;
    use std::collections::HashSet;

    #[test]
    fn names_are_one_each_and_no_clients() {
        let mut names = Names::new(36 * 36 * 36 + 37);
        assert_eq!(names.next().to_string(), "~011000000");
        assert_eq!(names.next().to_string(), "~011000001");
        names.number = 36_u64.pow(6) - 1;
        assert_eq!(names.next().to_string(), "~011ZZZZZZ");
        names.number = 2;
        let all: HashSet<_> = (0..100_000).map(|_| names.next().to_string()).collect();
        assert_eq!(all.len(), 100_000);
        let request = OrderCancelRequest { cl_ord_id: names.next(), ..OrderCancelRequest::default() };
        assert_eq!(check::cancel(&request), Err(Refusal::OwnClOrdId));
    }
}
