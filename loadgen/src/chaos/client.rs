//! The client sessions, many on one thread. Each comes back when its connection ends, asks for its reports from the next
//! after the last that it saw, sends what it did not see answered again, and keeps to the schedule meanwhile: an order
//! that is due while it cannot be sent goes out late, and counts from when it was due.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use shard::{App, ConnId, Cx, Opened, Origin, Reason, Running};
use transport::{Clock, Connector};
use wire::szse::code::VERSION_TRADING;
use wire::szse::session::{Event, Limits, Session};
use wire::szse::trading::{BusinessReject, PartitionIndex, PlatformInfo, ReportSynchronization};
use wire::szse::{Frame, GroupMessage, I32, I64, Logon, Message, Text, Timestamp, frame};

use super::evidence::{History, News, Received, Repeats, Report};
use super::mix::{Fate, Mix, Request};
use super::random;
use crate::schedule::{Pacer, Schedule, Share};
use crate::why::{LOGGED_OUT, LOGON_REFUSED, Why, of_end};

const NS_PER_MS: u64 = 1_000_000;
const TICK_MS: u32 = 10;
/// HeartBtInt: a dead peer is missed after two of them and a little.
const HEART_BT_S: i32 = 1;
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
/// Pause before the next dial, doubled each time up to the longest; a random half of it is left out.
const BACKOFF_MS: (u64, u64) = (20, 500);
/// A request that was refused because it could not be passed on is sent again after this.
const RETRY_NS: u64 = 100 * NS_PER_MS;
/// A request without an answer on a session that lives is sent again after this.
const UNANSWERED_NS: u64 = 5_000 * NS_PER_MS;
/// Orders of one turn, so that answers are read in between.
const BATCH_MAX: u64 = 1_024;
/// Kinds of refusal that are told apart.
const REFUSALS_MAX: usize = 32;

/// What the sessions are to do.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    /// The balancers. A session begins at one of them, and goes to the next whenever it has lost its connection.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) connector: Connector,
    pub(super) mix: Mix,
    /// The run's clock.
    pub(super) clock: Clock,
}

/// What others see of the sessions while they run.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Sessions that may order now.
    pub(super) ready: AtomicU64,
    /// Why one of them could not the last time.
    pub(super) why: Why,
    /// Orders that were due.
    pub(super) due: AtomicU64,
    /// Orders acknowledged.
    pub(super) acknowledged: AtomicU64,
    /// Requests, due or sent, without an answer.
    pub(super) open: AtomicU64,
    /// Reports that came.
    pub(super) reports: AtomicU64,
    /// Connections that ended.
    pub(super) disconnects: AtomicU64,
    /// Requests sent again after a session was back.
    pub(super) sent_again: AtomicU64,
    /// Requests sent again because nothing came on a session that lived.
    pub(super) unanswered: AtomicU64,
    /// Requests that a gateway could not pass on.
    pub(super) refused: AtomicU64,
}

/// What may be asked of the sessions.
pub(super) enum Command {
    /// Sends orders so.
    Start(Schedule),
    /// How many reports each session has, but for those of requests that came twice.
    Count(SyncSender<Vec<usize>>),
    /// Gives the histories, and why gateways refused requests.
    Finish(SyncSender<Seen>),
}

/// What the sessions know.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) histories: Vec<History>,
    /// Texts of the gateways' refusals, and how often each came.
    pub(super) refusals: Vec<(Text<50>, u64)>,
}

/// The sessions' thread.
pub(super) struct Clients {
    pub(super) counters: Arc<Counters>,
    pub(super) running: Running<Command>,
}

/// Starts the sessions.
pub(super) fn start(setup: Setup) -> io::Result<Clients> {
    let counters = Arc::new(Counters::default());
    let limits = shard::Limits {
        // Connections that are being closed count too.
        connections_max: 2 * setup.mix.plan.sessions as usize + 16,
        tick_ms: TICK_MS,
        out_bytes_max: 64 << 20,
        ..shard::Limits::default()
    };
    let of_thread = counters.clone();
    let of_shard = shard::Setup { limits, ..shard::Setup::default() };
    let running = shard::spawn("chaos-clients", of_shard, move || Desk::new(setup, of_thread))?;
    Ok(Clients { counters, running })
}

enum Link {
    Waiting { dial_ns: u64 },
    Dialling,
    Open { id: ConnId, session: Session, ready: bool },
}

/// A request that has no answer yet.
struct Open {
    /// When it was sent last.
    sent_ns: u64,
    /// When it is to be sent again, if that is known.
    again_ns: u64,
}

/// One session, over all its connections.
struct Trader {
    link: Link,
    /// The balancer that it dials, of [`Setup::addresses`].
    at: usize,
    dials: u32,
    /// Due and never sent.
    waiting: VecDeque<Request>,
    /// Sent and not answered, in the order of their numbers.
    open: BTreeMap<Request, Open>,
    /// OrderIDs of orders that are being cancelled.
    order_ids: HashMap<u64, Text<16>>,
    /// The last ReportIndex of each partition.
    last: BTreeMap<i32, i64>,
    history: History,
}

/// All sessions.
struct Desk {
    setup: Setup,
    traders: Vec<Trader>,
    /// By [`ConnId::index`].
    places: Vec<usize>,
    pacer: Option<Pacer>,
    counters: Arc<Counters>,
    refusals: Vec<(Text<50>, u64)>,
    out: Vec<u8>,
    acknowledged: u64,
    reports: u64,
}

impl Desk {
    fn new(setup: Setup, counters: Arc<Counters>) -> Self {
        let trader = |session| Trader {
            link: Link::Waiting { dial_ns: 0 },
            at: session as usize % setup.addresses.len(),
            dials: 0,
            waiting: VecDeque::new(),
            open: BTreeMap::new(),
            order_ids: HashMap::new(),
            last: BTreeMap::new(),
            history: History { session, ..History::default() },
        };
        Self {
            traders: (0..setup.mix.plan.sessions).map(trader).collect(),
            setup,
            places: Vec::new(),
            pacer: None,
            counters,
            refusals: Vec::new(),
            out: Vec::new(),
            acknowledged: 0,
            reports: 0,
        }
    }

    fn dial(&mut self, cx: &Cx) {
        let now_ns = cx.now_ns();
        for (place, trader) in self.traders.iter_mut().enumerate() {
            if matches!(trader.link, Link::Waiting { dial_ns } if now_ns >= dial_ns) {
                trader.link = Link::Dialling;
                trader.dials += 1;
                cx.dial(self.setup.addresses[trader.at], &self.setup.connector, DIAL_TIMEOUT, place as u32);
            }
        }
    }

    /// The session of a place is without a connection: it dials again after a pause, the next balancer.
    fn lost(&mut self, place: usize, now_ns: u64) {
        let trader = &mut self.traders[place];
        trader.at = (trader.at + 1) % self.setup.addresses.len();
        let longest_ms = (BACKOFF_MS.0 << trader.dials.min(16)).min(BACKOFF_MS.1);
        let drawn = random::of(now_ns, place as u64) % (longest_ms / 2 + 1);
        trader.link = Link::Waiting { dial_ns: now_ns + (longest_ms - drawn) * NS_PER_MS };
    }

    fn flush(&mut self, cx: &mut Cx, id: ConnId) {
        if !self.out.is_empty() {
            cx.send(id, |out| out.append(&mut self.out));
            // A connection that is being closed takes nothing, and what was for it is for nobody else.
            self.out.clear();
        }
    }

    /// Hands out the orders that are due, and sees to being woken for the next.
    fn order(&mut self, cx: &mut Cx) {
        let Some(pacer) = &mut self.pacer else { return };
        let now_ns = self.setup.clock.now_ns();
        let batch = pacer.take(now_ns, BATCH_MAX);
        if let Some(due_ns) = pacer.next_due_ns() {
            // The shard counts its time from another beginning than the run does.
            cx.wake_at(cx.clock().now_ns() + due_ns.saturating_sub(now_ns));
        }
        for order in batch {
            let trader = &mut self.traders[self.setup.mix.session(Request(order)) as usize];
            trader.history.orders.push(order);
            trader.waiting.push_back(Request(order));
        }
        for place in 0..self.traders.len() {
            self.send_waiting(cx, place);
        }
    }

    fn ready(&self, place: usize) -> Option<ConnId> {
        match self.traders[place].link {
            Link::Open { id, ready: true, .. } => Some(id),
            _ => None,
        }
    }

    fn send_waiting(&mut self, cx: &mut Cx, place: usize) {
        let Some(id) = self.ready(place) else { return };
        while let Some(request) = self.traders[place].waiting.pop_front() {
            self.write(cx, place, request);
        }
        self.flush(cx, id);
    }

    /// A session is back: what it did not see answered goes out again, then what became due meanwhile.
    fn send_again(&mut self, cx: &mut Cx, place: usize) {
        let unanswered: Vec<Request> = self.traders[place].open.keys().copied().collect();
        add(&self.counters.sent_again, unanswered.len() as u64);
        for request in unanswered {
            self.write(cx, place, request);
        }
    }

    /// Sends what was refused or not answered for too long.
    fn send_overdue(&mut self, cx: &mut Cx, place: usize) {
        let Some(id) = self.ready(place) else { return };
        let now_ns = cx.now_ns();
        let overdue = |(request, open): (&Request, &Open)| (now_ns >= open.again_ns).then_some(*request);
        let overdue: Vec<Request> = self.traders[place].open.iter().filter_map(overdue).collect();
        for request in overdue {
            let silent = now_ns >= self.traders[place].open[&request].sent_ns + UNANSWERED_NS;
            add(&self.counters.unanswered, u64::from(silent));
            self.write(cx, place, request);
        }
        self.flush(cx, id);
    }

    /// Appends a request to what is sent, the same bytes each time.
    fn write(&mut self, cx: &Cx, place: usize, request: Request) {
        let trader = &mut self.traders[place];
        let due_ns = self.pacer.as_ref().map_or(0, |pacer| pacer.schedule().due_ns(request.order()));
        let wall_ns = self.setup.clock.wall_ns(due_ns);
        let transact_time = Timestamp::from_unix_ns(wall_ns.unsigned_abs());
        let mix = &self.setup.mix;
        if request.is_cancel() {
            let order_id = trader.order_ids.get(&request.order()).copied().unwrap_or_default();
            frame::encode(&mix.cancel(request.order(), order_id, transact_time), &mut self.out);
        } else {
            frame::encode(&mix.order(request.order(), transact_time), &mut self.out);
            trader.history.sendings.push((request.order(), self.setup.clock.now_ns()));
        }
        let sent_ns = cx.now_ns();
        trader.open.insert(request, Open { sent_ns, again_ns: sent_ns + UNANSWERED_NS });
    }

    fn frames(&mut self, cx: &mut Cx, place: usize, data: &[u8]) -> Result<usize, Reason> {
        let now_ns = cx.now_ns();
        let mut consumed = 0;
        loop {
            let Link::Open { session, .. } = &mut self.traders[place].link else { return Ok(data.len()) };
            let received = session.receive(&data[consumed..], now_ns, &mut self.out);
            let Some(received) = received.map_err(|error| Reason::App(error.text()))? else {
                return Ok(consumed);
            };
            consumed += received.consumed;
            match received.event {
                Event::Message(frame) => self.message(cx, place, &frame)?,
                Event::Heartbeat | Event::LoggedOn(_) => {}
                Event::LogonRefused(logout) => {
                    self.counters.why.quote(LOGON_REFUSED, logout.text);
                    return Err(Reason::App(LOGON_REFUSED));
                }
                Event::LoggedOut(_) => return Err(Reason::App(LOGGED_OUT)),
                Event::LogonRequest(_) => unreachable!("only an acceptor is asked"),
            }
        }
    }

    fn message(&mut self, cx: &mut Cx, place: usize, frame: &Frame<'_>) -> Result<(), Reason> {
        const MALFORMED: Reason = Reason::App("wrong body length");
        match frame.msg_type {
            PlatformInfo::MSG_TYPE => {
                let info = frame.group::<PlatformInfo<'_>>().map_err(|_| MALFORMED)?;
                self.synchronise(cx, place, info.partitions);
            }
            BusinessReject::MSG_TYPE => {
                let reject = frame.view::<BusinessReject>().map_err(|_| MALFORMED)?;
                self.refused(cx, place, reject);
            }
            _ => {
                if let Some(report) = Report::of(frame).map_err(|_| MALFORMED)? {
                    self.reported(cx, place, report);
                }
            }
        }
        Ok(())
    }

    /// The session is open: it says from where it wants its reports, and may order.
    fn synchronise(&mut self, cx: &mut Cx, place: usize, partitions: &[I32]) {
        let trader = &mut self.traders[place];
        let next = |partition: &I32| PartitionIndex {
            partition_no: *partition,
            report_index: I64::new(trader.last.get(&partition.get()).map_or(1, |last| last + 1)),
        };
        let wanted: Vec<PartitionIndex> = partitions.iter().map(next).collect();
        ReportSynchronization { partitions: &wanted }
            .encode(&mut self.out)
            .expect("invariant: as many partitions as the message that named them");
        if let Link::Open { ready, .. } = &mut trader.link
            && !std::mem::replace(ready, true)
        {
            trader.dials = 0;
            add(&self.counters.ready, 1);
            self.send_again(cx, place);
            self.send_waiting(cx, place);
        }
    }

    fn reported(&mut self, cx: &mut Cx, place: usize, report: Report) {
        let trader = &mut self.traders[place];
        let at_ns = self.setup.clock.now_ns();
        trader.history.reports.push(Received { report, at_ns });
        self.reports += 1;
        let last = trader.last.entry(report.place.partition).or_insert(0);
        *last = report.place.index.max(*last);
        let Some(request) = self.setup.mix.request(&report.cl_ord_id) else { return };
        let first = trader.open.remove(&request).is_some();
        if first && let News::Accepted(_) = report.news {
            self.acknowledged += 1;
            if self.setup.mix.fate(request.order()) == Fate::IsCancelled {
                trader.order_ids.insert(request.order(), report.order_id);
                trader.waiting.push_back(Request::cancel(request.order()));
                self.send_waiting(cx, place);
            }
        }
    }

    /// A gateway could not pass a request on: it exists nowhere, and is tried again.
    fn refused(&mut self, cx: &Cx, place: usize, reject: &BusinessReject) {
        add(&self.counters.refused, 1);
        let why = reject.business_reject_text;
        if let Some((_, times)) = self.refusals.iter_mut().find(|(known, _)| *known == why) {
            *times += 1;
        } else if self.refusals.len() < REFUSALS_MAX {
            self.refusals.push((why, 1));
        }
        let request = self.setup.mix.request(&reject.business_reject_ref_id);
        if let Some(open) = request.and_then(|request| self.traders[place].open.get_mut(&request)) {
            open.again_ns = cx.now_ns() + RETRY_NS;
        }
    }

    fn show(&self) {
        let open: usize = self.traders.iter().map(|trader| trader.open.len() + trader.waiting.len()).sum();
        self.counters.open.store(open as u64, Ordering::Relaxed);
        self.counters.acknowledged.store(self.acknowledged, Ordering::Relaxed);
        self.counters.reports.store(self.reports, Ordering::Relaxed);
        let due = self.pacer.as_ref().map_or(0, Pacer::sent);
        self.counters.due.store(due, Ordering::Relaxed);
    }

    fn seen(&mut self) -> Seen {
        let take = |trader: &mut Trader| std::mem::take(&mut trader.history);
        Seen {
            histories: self.traders.iter_mut().map(take).collect(),
            refusals: std::mem::take(&mut self.refusals),
        }
    }
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

impl App for Desk {
    type Command = Command;

    fn on_start(&mut self, cx: &mut Cx) {
        self.dial(cx);
    }

    fn on_open(&mut self, cx: &mut Cx, id: ConnId, opened: Opened) {
        let (Origin::Accepted(tag) | Origin::Dialled(tag)) = opened.origin;
        let place = tag as usize;
        let logon = Logon {
            sender_comp_id: self.setup.mix.plan.comp_id(place as u64),
            target_comp_id: Text::literal("gateway"),
            heart_bt_int_s: I32::new(HEART_BT_S),
            password: self.setup.mix.plan.password,
            default_appl_ver_id: VERSION_TRADING,
        };
        let session = Session::initiator(Limits::default(), &logon, cx.now_ns(), &mut self.out);
        self.traders[place].link = Link::Open { id, session, ready: false };
        if self.places.len() <= id.index() {
            self.places.resize(id.index() + 1, usize::MAX);
        }
        self.places[id.index()] = place;
        self.flush(cx, id);
    }

    fn on_dial_failed(&mut self, cx: &mut Cx, tag: u32, error: io::Error) {
        tracing::debug!(%error, session = tag, "dial");
        self.counters.why.tell(error.to_string());
        self.lost(tag as usize, cx.now_ns());
    }

    fn on_data(&mut self, cx: &mut Cx, id: ConnId, data: &[u8]) -> Result<usize, Reason> {
        let Some(&place) = self.places.get(id.index()) else { return Ok(data.len()) };
        let taken = self.frames(cx, place, data);
        self.flush(cx, id);
        taken
    }

    fn on_close(&mut self, cx: &mut Cx, id: ConnId, reason: Reason) {
        let Some(&place) = self.places.get(id.index()) else { return };
        let Link::Open { id: own, ready, .. } = self.traders[place].link else { return };
        if own != id {
            return;
        }
        tracing::debug!(?reason, session = place, "disconnected");
        if let Some(why) = of_end(reason) {
            self.counters.why.tell(why);
        }
        if ready {
            self.counters.ready.fetch_sub(1, Ordering::Relaxed);
        }
        add(&self.counters.disconnects, u64::from(reason != Reason::Stopped));
        self.lost(place, cx.now_ns());
    }

    fn on_tick(&mut self, cx: &mut Cx) {
        let now_ns = cx.now_ns();
        for place in 0..self.traders.len() {
            let Link::Open { id, session, .. } = &mut self.traders[place].link else { continue };
            let id = *id;
            if let Some((_, sent_ns)) = cx.last_active_ns(id) {
                session.sent(sent_ns);
            }
            let alive = session.on_timeout(now_ns, &mut self.out);
            self.flush(cx, id);
            match alive {
                Ok(()) => self.send_overdue(cx, place),
                Err(error) => cx.close(id, Reason::App(error.text())),
            }
        }
        self.dial(cx);
    }

    fn on_wake(&mut self, cx: &mut Cx) {
        self.order(cx);
    }

    fn on_turn_end(&mut self, _cx: &mut Cx) {
        self.show();
    }

    fn on_command(&mut self, cx: &mut Cx, command: Command) {
        match command {
            Command::Start(schedule) => {
                self.pacer = Some(Pacer::new(schedule, Share::ALL, u64::MAX));
                self.order(cx);
            }
            Command::Count(to) => {
                let told = |trader: &Trader| {
                    let (reports, mut repeats) = (trader.history.reports.iter(), Repeats::default());
                    reports.filter(|received| !repeats.next(&received.report)).count()
                };
                answer(&to, self.traders.iter().map(told).collect());
            }
            Command::Finish(to) => answer(&to, self.seen()),
        }
    }
}

fn answer<T>(to: &SyncSender<T>, what: T) {
    if to.try_send(what).is_err() {
        tracing::debug!("nobody waits for the answer any more");
    }
}
