//! Hot path: order sessions that speak FIX, many on one thread: the same orders, at the same times, with the same account of
//! them as the binary ones ([`super::trader`]).
//!
//! Rules: one clock reading for each read, taken right after it; no allocation but what a session keeps of its messages, no
//! lock and no log line for an order.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use fix::codec::Message;
use fix::message::{
    CashMargin, Exchange, ExecType, ExecutionReport, NewOrderSingle, OrdStatus, OrdType, Side, TimeInForce,
};
use fix::session::{Config, Credentials, Event, Session, Takes};
use fix::store::MemoryStore;
use fix::{Now, Price, Qty, tag};
use shard::{App, ConnId, Cx, Opened, Origin, Reason};
use wire::szse::Text;
use wire::szse::code::ExecType as CoreExecType;
use wire::szse::code::OrdRejReason;
use wire::szse::trading::{BusinessReject, NewOrder, OrderReport, TradeReport};

use super::account::Orders;
use super::trader::{BATCH_MAX, Book, Command, Counters, HAND_OVER_NS, Setup, Trader};
use crate::recorder::Recorder;
use crate::report::ConnectionTotal;
use crate::schedule::{Pacer, Share};
use crate::why::{LOGGED_OUT, LOGON_REFUSED, SPEAKS_TLS, is_tls_alert, of_end, of_open, said};

/// Connects that are under way at a time, so that a listener's queue is not overrun.
const DIALS_MAX: usize = 64;
/// Dials of one session before it is given up.
const ATTEMPTS_MAX: u32 = 20;
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
const HEARTBEAT_S: u16 = 30;
/// What a session keeps of its own messages, to send them again.
const STORE_BYTES: usize = 1 << 20;

/// A session and its connection.
struct Slot {
    trader: Trader,
    engine: Session<MemoryStore>,
    conn: Option<ConnId>,
    waiting: bool,
    attempts: u32,
    closed: bool,
    /// Why it ended, once it did.
    why: Option<String>,
}

/// All sessions of a thread.
pub(super) struct Desk {
    setup: Setup,
    share: Share,
    slots: Vec<Slot>,
    /// By [`ConnId::index`].
    places: Vec<usize>,
    dialling: usize,
    pacer: Option<Pacer>,
    book: Book,
    out: Vec<u8>,
    ready: u64,
    closed: u64,
    hand_over_ns: u64,
    counters: Arc<Counters>,
}

fn now(cx: &Cx) -> Now {
    Now { ns: cx.now_ns(), wall_ns: cx.wall_ns().unsigned_abs() }
}

impl Desk {
    pub(super) fn new(setup: Setup, share: Share, recorders: [Recorder; 2], counters: Arc<Counters>) -> Self {
        let slot = |place| {
            let trader = Trader::new(&setup.plan, share.message(place));
            let comp_id = setup.plan.comp_id(trader.number).to_string();
            let mut config = Config::new(&comp_id, &setup.target_comp_id.to_string(), Takes::Reports);
            config.heart_bt_s = HEARTBEAT_S;
            // Each run is a day of its own.
            config.reset_on_logon = true;
            config.credentials = Some(Credentials { username: comp_id, ..setup.fix_logon.clone() });
            let engine = Session::new(config, MemoryStore::new(STORE_BYTES));
            Slot { trader, engine, conn: None, waiting: true, attempts: 0, closed: false, why: None }
        };
        let slots: Vec<_> = (0..share.part(setup.plan.sessions)).map(slot).collect();
        Self {
            book: Book::new(&setup, share, recorders),
            setup,
            share,
            slots,
            places: Vec::new(),
            dialling: 0,
            pacer: None,
            out: Vec::with_capacity(4 << 10),
            ready: 0,
            closed: 0,
            hand_over_ns: 0,
            counters,
        }
    }

    /// Dials those that wait, as many as may be under way.
    fn dial(&mut self, cx: &Cx) {
        for (place, slot) in self.slots.iter_mut().enumerate().filter(|(_, slot)| slot.waiting) {
            if self.dialling >= DIALS_MAX {
                return;
            }
            (slot.waiting, slot.attempts) = (false, slot.attempts + 1);
            self.dialling += 1;
            cx.dial(self.setup.address, &self.setup.connector, DIAL_TIMEOUT, place as u32);
        }
    }

    fn flush(&mut self, cx: &mut Cx, id: ConnId) {
        if !self.out.is_empty() {
            cx.send(id, |out| out.extend_from_slice(&self.out));
            self.out.clear();
        }
    }

    /// Sends the orders that are due, and sees to being woken for the next.
    fn order(&mut self, cx: &mut Cx) {
        let Some(pacer) = &mut self.pacer else { return };
        let now_ns = self.setup.clock.now_ns();
        let room = self.book.room(self.setup.in_flight_max);
        let batch = pacer.take(now_ns, BATCH_MAX.min(room));
        if let Some(due_ns) = pacer.next_due_ns().filter(|_| room > 0) {
            // The shard counts its time from another beginning than the run does.
            cx.wake_at(cx.clock().now_ns() + due_ns.saturating_sub(now_ns));
        }
        let now = now(cx);
        for index in batch {
            let number = self.share.message(index);
            let place = (self.book.plan.session(number) / self.share.of) as usize;
            let Slot { trader, engine, conn, .. } = &mut self.slots[place];
            let Some(id) = conn.filter(|_| trader.ready) else {
                self.book.unsent += 1;
                continue;
            };
            self.book.plan.fill_in(number, &mut trader.order);
            self.book.sent(number, now_ns);
            let mut kept = Ok(0);
            cx.send(id, |out| kept = engine.send(&single(&trader.order, now), now, out));
            if let Err(error) = kept {
                tracing::error!(%error, "an order was not kept");
            }
        }
    }

    /// A message of the gateway's.
    #[inline]
    fn take(&mut self, message: &Message<'_>, now_ns: u64, place: usize) {
        let trader = &mut self.slots[place].trader;
        match message.msg_type {
            b"8" => {
                let Ok(report) = ExecutionReport::parse(message) else { return };
                let cl_ord_id = report.cl_ord_id.and_then(|id| Text::new(id).ok()).unwrap_or(Text::BLANK);
                match report.exec_type {
                    ExecType::New => {
                        let accepted =
                            OrderReport { cl_ord_id, exec_type: CoreExecType::NEW, ..OrderReport::default() };
                        self.book.answered(&accepted, now_ns, trader);
                    }
                    ExecType::Rejected => {
                        let reason = report.ord_rej_reason.map_or(0, |reason| reason.code() as u16);
                        let rejected = OrderReport {
                            cl_ord_id,
                            exec_type: CoreExecType::REJECTED,
                            ord_rej_reason: OrdRejReason::from_raw(reason),
                            ..OrderReport::default()
                        };
                        self.book.answered(&rejected, now_ns, trader);
                    }
                    ExecType::Trade => {
                        let left = i64::from(report.ord_status != OrdStatus::Filled);
                        let traded = TradeReport {
                            cl_ord_id,
                            leaves_qty: wire::szse::Qty::from_raw(left),
                            ..TradeReport::default()
                        };
                        self.book.traded(&traded, now_ns, trader);
                    }
                    _ => {}
                }
            }
            b"j" => {
                let id = message.field(tag::BUSINESS_REJECT_REF_ID).and_then(|id| Text::new(id).ok());
                let text = message.field(tag::TEXT).map(String::from_utf8_lossy).unwrap_or_default();
                let reject = BusinessReject {
                    business_reject_ref_id: id.unwrap_or(Text::BLANK),
                    business_reject_text: Text::truncated(&text),
                    ..BusinessReject::default()
                };
                self.book.refused(&reject, now_ns);
            }
            _ => {}
        }
    }
}

/// An order of the plan as FIX has it.
fn single(order: &NewOrder, now: Now) -> NewOrderSingle<'_> {
    NewOrderSingle {
        cl_ord_id: order.cl_ord_id.trimmed(),
        account: Some(order.account_id.trimmed()),
        cash_margin: CashMargin::from_byte(order.ext.cash_margin.raw()),
        min_qty: None,
        max_price_levels: None,
        symbol: order.base.security_id.trimmed(),
        security_id: None,
        security_id_source: None,
        security_exchange: Some(Exchange::Shenzhen),
        side: Side::from_byte(order.side.raw()).unwrap_or(Side::Buy),
        transact_time: now.utc(),
        order_qty: Qty::from_raw(order.order_qty.raw()),
        ord_type: OrdType::Limit,
        price: Some(Price::from_raw(order.price.raw())),
        time_in_force: Some(TimeInForce::Day),
        order_restrictions: None,
    }
}

impl App for Desk {
    type Command = Command;

    fn on_start(&mut self, cx: &mut Cx) {
        self.dial(cx);
    }

    fn on_open(&mut self, cx: &mut Cx, id: ConnId, opened: Opened) {
        let (Origin::Accepted(tag) | Origin::Dialled(tag)) = opened.origin;
        let place = tag as usize;
        self.dialling -= 1;
        self.slots[place].conn = Some(id);
        if self.places.len() <= id.index() {
            self.places.resize(id.index() + 1, usize::MAX);
        }
        self.places[id.index()] = place;
        if let Err(error) = self.slots[place].engine.connect(now(cx), &mut self.out) {
            tracing::error!(%error, "a logon was not kept");
        }
        self.flush(cx, id);
        self.dial(cx);
    }

    fn on_dial_failed(&mut self, _cx: &mut Cx, tag: u32, error: io::Error) {
        self.dialling -= 1;
        self.counters.why.tell(error.to_string());
        let slot = &mut self.slots[tag as usize];
        if slot.attempts < ATTEMPTS_MAX {
            slot.waiting = true;
        } else {
            tracing::warn!(%error, address = %self.setup.address, "given up after {ATTEMPTS_MAX} dials");
            slot.closed = true;
            self.closed += 1;
        }
    }

    fn on_data(&mut self, cx: &mut Cx, id: ConnId, data: &[u8]) -> Result<usize, Reason> {
        if is_tls_alert(data) {
            return Err(Reason::App(SPEAKS_TLS));
        }
        let now_ns = self.setup.clock.now_ns();
        let (now, place) = (now(cx), self.places[id.index()]);
        let mut consumed = 0;
        let ended = loop {
            let received = match self.slots[place].engine.receive(&data[consumed..], now, &mut self.out) {
                Ok(Some(received)) => received,
                Ok(None) => break None,
                Err(error) => {
                    tracing::warn!(%error, "a FIX session is over");
                    self.counters.why.tell(error.to_string());
                    self.slots[place].why = Some(error.to_string());
                    break Some(Reason::App(LOGGED_OUT));
                }
            };
            consumed += received.consumed;
            match received.event {
                Event::Application { message, .. } => self.take(&message, now_ns, place),
                Event::LoggedOn => {
                    self.slots[place].trader.ready = true;
                    self.ready += 1;
                }
                Event::LoggedOut { text } => {
                    let text = String::from_utf8_lossy(text);
                    tracing::warn!(%text, "logged out");
                    let what = if self.slots[place].trader.ready { LOGGED_OUT } else { LOGON_REFUSED };
                    self.counters.why.quote(what, &text);
                    self.slots[place].why = Some(said(text));
                    break Some(Reason::App(LOGGED_OUT));
                }
                Event::Rejected(message) => {
                    let text = message.field(tag::TEXT).map(String::from_utf8_lossy).unwrap_or_default();
                    tracing::warn!(%text, "a message was rejected");
                }
                Event::Handled(_) => {}
                Event::LogonRequest(_) => unreachable!("only an acceptor is asked"),
            }
        };
        self.flush(cx, id);
        ended.map_or(Ok(consumed), Err)
    }

    fn on_close(&mut self, _cx: &mut Cx, id: ConnId, reason: Reason) {
        let Some(slot) = self.places.get(id.index()).and_then(|place| self.slots.get_mut(*place)) else {
            return;
        };
        if slot.conn != Some(id) {
            return;
        }
        slot.conn = None;
        slot.engine.disconnected();
        self.ready -= u64::from(std::mem::take(&mut slot.trader.ready));
        if reason != Reason::Stopped {
            if let Some(why) = of_end(reason) {
                self.counters.why.tell(why);
            }
            tracing::warn!(?reason, address = %self.setup.address, "a session ended");
            slot.closed = true;
            self.closed += 1;
            let why = slot.why.take().unwrap_or_else(|| of_open(reason));
            self.book.ended(slot.trader.number, why, self.setup.clock.now_ns(), &self.counters.ends);
        }
    }

    fn on_tick(&mut self, cx: &mut Cx) {
        let now = now(cx);
        for place in 0..self.slots.len() {
            let slot = &mut self.slots[place];
            let Some(id) = slot.conn else { continue };
            let mut alive = slot.engine.on_timeout(now, &mut self.out);
            if alive.is_ok() && slot.engine.has_backlog() {
                alive = slot.engine.resume(now, &mut self.out);
            }
            self.flush(cx, id);
            if let Err(error) = alive {
                tracing::warn!(%error, "a FIX session is over");
                self.counters.why.tell(error.to_string());
                self.slots[place].why = Some(error.to_string());
                cx.close(id, Reason::App(LOGGED_OUT));
            }
        }
        self.dial(cx);
        if now.ns >= self.hand_over_ns {
            self.hand_over_ns = now.ns + HAND_OVER_NS;
            self.book.accepts.hand_over();
            self.book.fills.hand_over();
        }
    }

    fn on_wake(&mut self, cx: &mut Cx) {
        self.order(cx);
    }

    fn on_turn_end(&mut self, cx: &mut Cx) {
        // What waited for answers rather than for its time.
        if self.setup.in_flight_max.is_some() {
            self.order(cx);
        }
        self.book.show(&self.counters, self.ready, self.closed, self.pacer.as_ref());
    }

    fn on_command(&mut self, cx: &mut Cx, command: Command) {
        match command {
            Command::Start(schedule) => {
                self.book.orders = Orders::new(self.share, schedule.count());
                self.book.schedule = Some(schedule);
                self.pacer = Some(Pacer::new(schedule, self.share, self.setup.tolerance_ns));
                self.order(cx);
            }
            Command::End => self.pacer.iter_mut().for_each(Pacer::end),
            Command::Finish(to) => {
                let connections: Vec<ConnectionTotal> =
                    self.slots.iter().map(|slot| slot.trader.total(slot.closed)).collect();
                if to.try_send(self.book.outcome(self.pacer.as_ref(), connections)).is_err() {
                    tracing::debug!("nobody waits for the outcome any more");
                }
            }
        }
    }
}
