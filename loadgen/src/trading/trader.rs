//! Hot path: order sessions, many on one thread. Orders go out when they are due, whatever the answers do; reports are
//! paired with them by ClOrdID.
//!
//! Rules: one clock reading for each read, taken right after it; no allocation, no lock and no log line for an order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;

use ::fix::session::Credentials;
use serde::Deserialize;
use shard::{App, ConnId, Cx, Opened, Reason, Running};
use transport::{Clock, Connector};
use wire::szse::code::ExecType;
use wire::szse::trading::{
    BusinessReject, CancelReject, NewOrder, OrderReport, PartitionIndex, PlatformInfo, ReportBase,
    ReportSynchronization, TradeReport,
};
use wire::szse::{Frame, I32, I64, Message, Qty, Text, Timestamp, frame};

use super::account::{News, Orders};
use super::fix;
use super::plan::Plan;
use crate::due::Notes;
use crate::logon::{thread_name, trading};
use crate::recorder::{Interval, Recorder};
use crate::report::ConnectionTotal;
use crate::schedule::{Lag, Pacer, Schedule, Share};
use crate::sessions::{Heard, Sessions, Slot};
use crate::why::{End, Ends, Why};

/// Orders that one turn may send, so that answers are read in between.
pub(super) const BATCH_MAX: u64 = 256;
const TICK_MS: u32 = 20;
pub(super) const HAND_OVER_NS: u64 = 250_000_000;

/// What is spoken with the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// The exchange's binary protocol.
    #[default]
    Binary,
    /// FIX 4.4.
    Fix,
}

/// What the order sessions are to do.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where the gateway (or what stands before it) is.
    pub address: SocketAddr,
    /// How it is connected to.
    pub connector: Connector,
    /// What is spoken over it.
    pub protocol: Protocol,
    /// Password of FIX logons; the username is each session's CompID.
    pub fix_logon: Credentials,
    /// Which orders, by how many sessions.
    pub plan: Plan,
    /// Threads that the sessions are spread over; the number of sessions is a multiple of it.
    pub threads: u64,
    /// CompID of the gateway.
    pub target_comp_id: Text<20>,
    /// Later than this, the sender itself is behind.
    pub tolerance_ns: u64,
    /// Orders without an answer that a session may have, on average over those of a thread; what is due beyond them waits.
    pub in_flight_max: Option<u64>,
    /// Latencies count from the sending, as those of a closed loop do, and not from when an order was due.
    pub from_sending: bool,
    /// Nobody else trades in these books: orders that are accepted, both of a pair, and not filled have lost their fills. Where others may,
    /// they are open.
    pub alone: bool,
    /// The run's clock.
    pub clock: Clock,
}

/// What others see of the sessions of a thread while they run.
#[derive(Debug, Default)]
pub struct Counters {
    /// Sessions that may order.
    pub ready: AtomicU64,
    /// Orders sent.
    pub sent: AtomicU64,
    /// Orders accepted.
    pub accepted: AtomicU64,
    /// Orders refused.
    pub rejected: AtomicU64,
    /// Orders filled.
    pub filled: AtomicU64,
    /// Reports that were there before, or out of order.
    pub wrong: AtomicU64,
    /// Sessions that ended, or that never came to be.
    pub closed: AtomicU64,
    /// Why.
    pub why: Arc<Why>,
    /// How the first of them ended.
    pub ends: Ends,
    /// Orders that were due and not sent, as their session had ended.
    pub unsent: AtomicU64,
    /// Orders that had no answer when their session ended: none comes any more.
    pub orphaned: AtomicU64,
    /// How late the latest order was sent, nanoseconds.
    pub lag_ns: AtomicU64,
    /// When the last report arrived, by the run's clock.
    pub last_ns: AtomicU64,
}

/// What may be asked of the sessions of a thread.
pub enum Command {
    /// Sends orders so.
    Start(Schedule),
    /// Sends no more.
    End,
    /// Gives the account.
    Finish(SyncSender<Outcome>),
}

/// What the sessions of a thread did.
#[derive(Debug)]
pub struct Outcome {
    /// The orders.
    pub orders: Orders,
    /// How late they were sent.
    pub lag: Lag,
    /// Each session.
    pub connections: Vec<ConnectionTotal>,
    /// Reports of earlier runs' orders.
    pub foreign: u64,
    /// Due orders whose session was closed.
    pub unsent: u64,
    /// Why orders were refused, and how often.
    pub refusals: Vec<(Text<50>, u64)>,
    /// Latencies to the acceptance not handed over yet.
    pub accepts: Interval,
    /// Latencies to the fill not handed over yet.
    pub fills: Interval,
}

/// A thread of order sessions.
pub struct Traders {
    /// What they did so far.
    pub counters: Arc<Counters>,
    /// The thread.
    pub running: Running<Command>,
}

/// Starts the sessions; `recorders` makes, for each thread, those of acceptance and of fill.
///
/// # Errors
/// When the system gives no thread.
///
/// # Panics
/// If the number of sessions is no multiple of the number of threads.
pub fn start(setup: &Setup, recorders: impl Fn() -> [Recorder; 2]) -> io::Result<Vec<Traders>> {
    assert!(setup.plan.sessions.is_multiple_of(setup.threads), "sessions are spread evenly");
    let mut started = Vec::new();
    for which in 0..setup.threads {
        let share = Share { which, of: setup.threads };
        let counters = Arc::new(Counters::default());
        let count = share.part(setup.plan.sessions) as usize;
        let limits = shard::Limits { connections_max: count, tick_ms: TICK_MS, ..shard::Limits::default() };
        let of_shard = shard::Setup { limits, ..shard::Setup::default() };
        let (setup, recorders, of_thread) = (setup.clone(), recorders(), counters.clone());
        let name = thread_name("order", which);
        let running = match setup.protocol {
            Protocol::Binary => {
                shard::spawn(&name, of_shard, move || Desk::new(setup, share, recorders, of_thread))?
            }
            Protocol::Fix => {
                shard::spawn(&name, of_shard, move || fix::Desk::new(setup, share, recorders, of_thread))?
            }
        };
        started.push(Traders { counters, running });
    }
    Ok(started)
}

/// One session.
pub(super) struct Trader {
    pub(super) number: u64,
    /// It may order.
    pub(super) ready: bool,
    /// What all its orders have in common, and the last one's rest.
    pub(super) order: NewOrder,
    /// The last ReportIndex of each partition.
    indices: Vec<(i32, i64)>,
    received: u64,
    latency_sum_ns: u128,
}

impl Trader {
    pub(super) fn new(plan: &Plan, number: u64) -> Self {
        let order = plan.blank(number);
        Self { number, ready: false, order, indices: Vec::new(), received: 0, latency_sum_ns: 0 }
    }

    pub(super) fn total(&self, closed: bool) -> ConnectionTotal {
        ConnectionTotal { received: self.received, latency_sum_ns: self.latency_sum_ns, closed }
    }
}

/// What is counted over all sessions of a thread.
pub(super) struct Book {
    pub(super) plan: Plan,
    /// Of this thread.
    sessions: u64,
    pub(super) schedule: Option<Schedule>,
    /// When orders were sent, if latencies count from then.
    sendings: Option<Notes>,
    pub(super) orders: Orders,
    /// Orders that were due and not sent, as their session had ended.
    pub(super) unsent: u64,
    orphaned: u64,
    foreign: u64,
    last_ns: u64,
    refusals: Vec<(Text<50>, u64)>,
    pub(super) accepts: Recorder,
    pub(super) fills: Recorder,
}

/// Kinds of refusal that are told apart.
const REFUSALS_MAX: usize = 32;

/// All sessions of a thread.
struct Desk {
    setup: Setup,
    share: Share,
    sessions: Sessions<Trader>,
    pacer: Option<Pacer>,
    book: Book,
    ready: u64,
    hand_over_ns: u64,
    counters: Arc<Counters>,
}

impl Desk {
    fn new(setup: Setup, share: Share, [accepts, fills]: [Recorder; 2], counters: Arc<Counters>) -> Self {
        let trader = |place| Trader::new(&setup.plan, share.message(place));
        let traders = (0..share.part(setup.plan.sessions)).map(trader);
        let book = Book::new(&setup, share, [accepts, fills]);
        Self {
            sessions: Sessions::new((setup.address, setup.connector.clone()), traders, counters.why.clone()),
            setup,
            share,
            pacer: None,
            book,
            ready: 0,
            hand_over_ns: 0,
            counters,
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
        let transact_time = Timestamp::from_unix_ns(cx.wall_ns().unsigned_abs());
        for index in batch {
            let number = self.share.message(index);
            let place = (self.book.plan.session(number) / self.share.of) as usize;
            let id = self.sessions.id(place);
            let trader = &mut self.sessions.slots[place].state;
            let Some(id) = id.filter(|_| trader.ready) else {
                self.book.unsent += 1;
                continue;
            };
            self.book.plan.fill_in(number, &mut trader.order);
            trader.order.base.transact_time = transact_time;
            self.book.sent(number, now_ns);
            cx.send(id, |out| frame::encode(&trader.order, out));
        }
    }

    fn show(&self) {
        self.book.show(&self.counters, self.ready, self.sessions.closed, self.pacer.as_ref());
    }

    fn outcome(&mut self) -> Outcome {
        let connections = self.sessions.slots.iter().map(connection).collect();
        self.book.outcome(self.pacer.as_ref(), connections)
    }
}

fn connection(slot: &Slot<Trader>) -> ConnectionTotal {
    slot.state.total(slot.closed)
}

const PLATFORM_INFO: u32 = <PlatformInfo<'_> as wire::szse::GroupMessage<'_>>::MSG_TYPE;

/// Asks for all reports of the partitions that the gateway names, from the first on.
fn synchronise(frame: &Frame<'_>, out: &mut Vec<u8>) -> Result<(), Reason> {
    let info = frame.group::<PlatformInfo<'_>>().map_err(|_| Reason::App("bad platform info"))?;
    let from_first = |partition: &I32| PartitionIndex { partition_no: *partition, report_index: I64::new(1) };
    let partitions: Vec<PartitionIndex> = info.partitions.iter().map(from_first).collect();
    ReportSynchronization { partitions: &partitions }
        .encode(out)
        .expect("invariant: as many partitions as the message that named them");
    Ok(())
}

impl Book {
    pub(super) fn new(setup: &Setup, share: Share, [accepts, fills]: [Recorder; 2]) -> Self {
        Self {
            plan: setup.plan.clone(),
            sessions: share.part(setup.plan.sessions),
            schedule: None,
            sendings: setup.from_sending.then(Notes::default),
            orders: Orders::new(share, 0),
            unsent: 0,
            orphaned: 0,
            foreign: 0,
            last_ns: 0,
            refusals: Vec::new(),
            accepts,
            fills,
        }
    }

    /// An order goes out.
    #[inline]
    pub(super) fn sent(&mut self, order: u64, now_ns: u64) {
        self.orders.sent(order);
        if let Some(sendings) = &self.sendings {
            sendings.set(order, now_ns);
        }
    }

    /// Orders that may be sent before one is answered, where sessions may have so many in flight on average.
    pub(super) fn room(&self, in_flight_max: Option<u64>) -> u64 {
        let Orders { sent, accepted, rejected, .. } = self.orders;
        let in_flight = sent.saturating_sub(accepted + rejected + self.orphaned);
        in_flight_max.map_or(u64::MAX, |max| (max * self.sessions).saturating_sub(in_flight))
    }

    /// What others see of a thread.
    pub(super) fn show(&self, counters: &Counters, ready: u64, closed: u64, pacer: Option<&Pacer>) {
        let orders = &self.orders;
        for (to, value) in [
            (&counters.ready, ready),
            (&counters.sent, orders.sent),
            (&counters.accepted, orders.accepted),
            (&counters.rejected, orders.rejected),
            (&counters.filled, orders.filled),
            (&counters.wrong, orders.again + orders.out_of_order),
            (&counters.unsent, self.unsent),
            (&counters.orphaned, self.orphaned),
            (&counters.closed, closed),
            (&counters.lag_ns, pacer.map_or(0, |pacer| pacer.lag().max_ns)),
            (&counters.last_ns, self.last_ns),
        ] {
            to.store(value, Ordering::Relaxed);
        }
    }

    /// What a thread did.
    pub(super) fn outcome(&mut self, pacer: Option<&Pacer>, connections: Vec<ConnectionTotal>) -> Outcome {
        Outcome {
            orders: self.orders.clone(),
            lag: pacer.map_or(Lag::new(0), |pacer| *pacer.lag()),
            connections,
            foreign: self.foreign,
            unsent: self.unsent,
            refusals: self.refusals.clone(),
            accepts: self.accepts.take(),
            fills: self.fills.take(),
        }
    }

    /// A session ended, and with it what was to come to it.
    #[cold]
    pub(super) fn ended(&mut self, session: u64, why: String, now_ns: u64, ends: &Ends) {
        self.orphaned += self.orders.unanswered_by(session, self.plan.sessions);
        let ran_ns = self.schedule.as_ref().map_or(0, |schedule| now_ns.saturating_sub(schedule.due_ns(0)));
        ends.note(End { who: self.plan.comp_id(session).to_string(), at_s: ran_ns as f64 / 1e9, why });
    }

    /// One message.
    #[inline]
    fn take(&mut self, frame: &Frame<'_>, now_ns: u64, trader: &mut Trader) -> Result<(), Reason> {
        const SHORT: Reason = Reason::App("wrong body length");
        match frame.msg_type {
            OrderReport::MSG_TYPE => {
                let report = frame.view::<OrderReport>().map_err(|_| SHORT)?;
                self.index(&report.base, &mut trader.indices);
                self.answered(report, now_ns, trader);
            }
            TradeReport::MSG_TYPE => {
                let report = frame.view::<TradeReport>().map_err(|_| SHORT)?;
                self.index(&report.base, &mut trader.indices);
                self.traded(report, now_ns, trader);
            }
            CancelReject::MSG_TYPE => {
                self.index(&frame.view::<CancelReject>().map_err(|_| SHORT)?.base, &mut trader.indices);
            }
            BusinessReject::MSG_TYPE => self.refused(frame.view().map_err(|_| SHORT)?, now_ns),
            _ => {}
        }
        Ok(())
    }

    /// ReportIndex ascends within a partition.
    #[inline]
    fn index(&mut self, base: &ReportBase, indices: &mut Vec<(i32, i64)>) {
        let (partition, index) = (base.partition_no.get(), base.report_index.get());
        match indices.iter_mut().find(|(known, _)| *known == partition) {
            Some((_, last)) if index > *last => *last = index,
            Some(_) => self.orders.out_of_order += 1,
            None => indices.push((partition, index)),
        }
    }

    pub(super) fn answered(&mut self, report: &OrderReport, now_ns: u64, trader: &mut Trader) {
        let Some(order) = self.plan.order_of(&report.cl_ord_id) else {
            self.foreign += 1;
            return;
        };
        self.last_ns = now_ns;
        match report.exec_type {
            ExecType::NEW if self.orders.accepted(order) == News::First => {
                let latency_ns = self.since_due(order, now_ns);
                self.accepts.record(latency_ns);
                trader.received += 1;
                trader.latency_sum_ns += u128::from(latency_ns);
            }
            ExecType::REJECTED if self.orders.rejected(order) == News::First => {
                self.refusal(Text::truncated(
                    report.ord_rej_reason.name().unwrap_or("a reason not known here"),
                ));
            }
            _ => {}
        }
    }

    /// A fill counts from when the later of the two orders that meet was due.
    pub(super) fn traded(&mut self, report: &TradeReport, now_ns: u64, trader: &mut Trader) {
        let Some(order) = self.plan.order_of(&report.cl_ord_id) else {
            self.foreign += 1;
            return;
        };
        if report.leaves_qty == Qty::ZERO && self.orders.filled(order) == News::First {
            let latency_ns = self.since_due(order | 1, now_ns);
            self.fills.record(latency_ns);
            trader.received += 1;
            trader.latency_sum_ns += u128::from(latency_ns);
        }
        self.last_ns = now_ns;
    }

    #[cold]
    pub(super) fn refused(&mut self, reject: &BusinessReject, now_ns: u64) {
        let text = reject.business_reject_text;
        if let Some(order) = self.plan.order_of(&reject.business_reject_ref_id) {
            self.orders.rejected(order);
        }
        self.refusal(text);
        self.last_ns = now_ns;
    }

    #[cold]
    fn refusal(&mut self, why: Text<50>) {
        if let Some((_, count)) = self.refusals.iter_mut().find(|(known, _)| *known == why) {
            *count += 1;
        } else if self.refusals.len() < REFUSALS_MAX {
            self.refusals.push((why, 1));
        }
    }

    #[inline]
    fn since_due(&self, order: u64, now_ns: u64) -> u64 {
        let from_ns = match (&self.sendings, &self.schedule) {
            (Some(sendings), _) => sendings.get(order),
            (None, schedule) => schedule.as_ref().map(|schedule| schedule.due_ns(order)),
        };
        from_ns.map_or(0, |from_ns| now_ns.saturating_sub(from_ns))
    }
}

impl App for Desk {
    type Command = Command;

    fn on_start(&mut self, cx: &mut Cx) {
        self.sessions.dial(cx);
    }

    fn on_open(&mut self, cx: &mut Cx, id: ConnId, opened: Opened) {
        let Setup { plan, target_comp_id, .. } = &self.setup;
        self.sessions.on_open(cx, id, opened, |trader| {
            trading(plan.comp_id(trader.number), *target_comp_id, plan.password)
        });
    }

    fn on_dial_failed(&mut self, _cx: &mut Cx, tag: u32, error: io::Error) {
        self.sessions.on_dial_failed(tag, &error);
    }

    fn on_data(&mut self, cx: &mut Cx, id: ConnId, data: &[u8]) -> Result<usize, Reason> {
        let now_ns = self.setup.clock.now_ns();
        let Self { book, ready, sessions, .. } = self;
        sessions.receive(cx, id, data, |trader, heard, out| match heard {
            Heard::LoggedOn => Ok(()),
            Heard::Message(frame) if frame.msg_type == PLATFORM_INFO => {
                *ready += u64::from(!trader.ready);
                trader.ready = true;
                synchronise(&frame, out)
            }
            Heard::Message(frame) => book.take(&frame, now_ns, trader),
        })
    }

    fn on_close(&mut self, _cx: &mut Cx, id: ConnId, reason: Reason) {
        let Some(slot) = self.sessions.on_close(id, reason) else { return };
        self.ready -= u64::from(std::mem::take(&mut slot.state.ready));
        let (number, why) = (slot.state.number, slot.why.take());
        if let Some(why) = why {
            self.book.ended(number, why, self.setup.clock.now_ns(), &self.counters.ends);
        }
    }

    fn on_tick(&mut self, cx: &mut Cx) {
        self.sessions.on_tick(cx);
        let now_ns = cx.now_ns();
        if now_ns >= self.hand_over_ns {
            self.hand_over_ns = now_ns + HAND_OVER_NS;
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
        self.show();
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
                if to.try_send(self.outcome()).is_err() {
                    tracing::debug!("nobody waits for the outcome any more");
                }
            }
        }
    }
}
