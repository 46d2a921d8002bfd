//! Hot path: subscribers of a feed, many on one thread. Each accounts for every number and, where it is known when a
//! number was due, for its latency.
//!
//! Rules: one clock reading for each read, taken right after it; no allocation, no lock and no log line for a message.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;

use shard::{App, ConnId, Cx, Opened, Reason, Running};
use transport::{Clock, Connector};
use wire::szse::ext::{
    ChannelStart, ExtendedTickOrder, GapNotice, MarketDataRequest, MarketDataRequestAck, RequestHead,
    RequestStatus, SlowReaderPolicy, SubscriptionMode, decode_datagram,
};
use wire::szse::market::{Snapshot, SnapshotHead, TickOrder, TickTrade};
use wire::szse::{Frame, GroupMessage, I64, Message, SecurityId, Text, Timestamp, U16, U32};

use crate::due::Due;
use crate::gaps::Gaps;
use crate::ledger::{Ledger, Tally};
use crate::logon::{market_data, thread_name};
use crate::padded::Padded;
use crate::recorder::{Interval, Recorder};
use crate::report::ConnectionTotal;
use crate::sessions::{Heard, Sessions, Slot};
use crate::streams::{self, Streams};
use crate::why::Why;

/// How often sessions are looked at, and how far the slowest connection is.
const TICK_MS: u32 = 20;
/// How often latencies are handed over.
const HAND_OVER_NS: u64 = 250_000_000;

/// What subscribers are to do.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where the feed (or what stands before it) is.
    pub address: SocketAddr,
    /// How it is connected to.
    pub connector: Connector,
    /// How many there are, over all threads.
    pub count: usize,
    /// How many threads they are spread over.
    pub threads: usize,
    /// CompID of the feed.
    pub target_comp_id: Text<20>,
    /// Channels that they want from number 1 on; all other channels from now on.
    pub channels: Vec<u16>,
    /// What the numbers of every channel look like, where that is to be compared; each is then made once more for each
    /// subscriber.
    pub contents: Option<Padded>,
    /// What is to happen to one that reads too slowly.
    pub policy: SlowReaderPolicy,
    /// Whether the due times are those of snapshots, by NumTrades; then those that the feed has already are asked for, too.
    pub snapshots: bool,
    /// Whether they ask for anything: an exchange, unlike a feed, sends everything to who logs on.
    pub subscribe: bool,
    /// The run's clock.
    pub clock: Clock,
}

/// What others see of the subscribers of a thread while they run.
#[derive(Debug, Default)]
pub struct Counters {
    /// Subscriptions that stand.
    pub ready: AtomicU64,
    /// Numbers received, over all connections.
    pub received: AtomicU64,
    /// Numbers received by the connection with the fewest.
    pub slowest: Arc<AtomicU64>,
    /// Numbers known to be missing, over all connections.
    pub missing: AtomicU64,
    /// Connections that ended, or that never came to be.
    pub closed: AtomicU64,
    /// Why.
    pub why: Arc<Why>,
    /// When the last number arrived, by the run's clock.
    pub last_ns: AtomicU64,
    /// When the first number of a channel that is wanted from number 1 on arrived, or the first snapshot where these are
    /// dated, by the run's clock; 0 before.
    pub first_ns: AtomicU64,
}

/// What may be asked of the subscribers of a thread.
pub enum Command {
    /// Messages of this channel (or of all) are due so, from now on.
    Due(Option<u16>, Due),
    /// Tells how long they heard nothing so far.
    Gaps(SyncSender<Gaps>),
    /// Tells the highest number of each channel that any connection received so far.
    Highest(SyncSender<Vec<(u16, u64)>>),
    /// Gives the account: the sequences end at these numbers.
    Finish(Vec<(u16, u64)>, SyncSender<Outcome>),
}

/// What the subscribers of a thread received.
#[derive(Debug)]
pub struct Outcome {
    /// Each connection.
    pub connections: Vec<ConnectionTotal>,
    /// All connections together.
    pub tally: Tally,
    /// Connections whose account is clean.
    pub clean: u64,
    /// The highest number of each channel that any connection received.
    pub highest: Vec<(u16, u64)>,
    /// Snapshots received.
    pub snapshots: u64,
    /// Numbers that the feed said would not come.
    pub noticed: u64,
    /// Messages whose due time was not known (any more).
    pub undated: u64,
    /// Messages that are not what was sent.
    pub altered: u64,
    /// How long they heard nothing.
    pub gaps: Gaps,
    /// The latencies not handed over yet.
    pub latencies: Interval,
}

/// A thread of subscribers.
pub struct Subscribers {
    /// What they did so far.
    pub counters: Arc<Counters>,
    /// The thread.
    pub running: Running<Command>,
}

/// Starts the subscribers, spread evenly; `recorder` makes one for each thread.
///
/// # Errors
/// When the system gives no thread.
pub fn start(setup: &Setup, recorder: impl Fn() -> Recorder) -> io::Result<Vec<Subscribers>> {
    let threads = setup.threads.clamp(1, setup.count.max(1));
    let mut started = Vec::with_capacity(threads);
    let mut first = 0;
    for thread in 0..threads {
        let count = setup.count / threads + usize::from(thread < setup.count % threads);
        let counters = Arc::new(Counters::default());
        let streams = if setup.policy == SlowReaderPolicy::STREAMS { setup.channels.len() } else { 0 };
        let connections_max = count * (1 + streams);
        let limits = shard::Limits { connections_max, tick_ms: TICK_MS, ..shard::Limits::default() };
        let (setup, recorder, of_thread, range) =
            (setup.clone(), recorder(), counters.clone(), first..first + count);
        let of_shard = shard::Setup { limits, ..shard::Setup::default() };
        let name = thread_name("sub", thread as u64);
        let running = shard::spawn(&name, of_shard, move || Desk::new(setup, range, recorder, of_thread))?;
        started.push(Subscribers { counters, running });
        first += count;
    }
    Ok(started)
}

/// One subscriber.
struct Subscriber {
    number: usize,
    ledgers: Vec<(u16, Ledger)>,
    received: u64,
    latency_sum_ns: u128,
    last_ns: u64,
    /// The number of each security's newest snapshot, where snapshots are dated.
    newest: HashMap<SecurityId, u64>,
}

/// All subscribers of a thread.
struct Desk {
    setup: Setup,
    sessions: Sessions<Subscriber>,
    streams: Streams,
    due: Due,
    due_channel: Option<u16>,
    account: Account,
    counters: Arc<Counters>,
    recorder: Recorder,
    hand_over_ns: u64,
}

/// What is counted over all connections of a thread.
#[derive(Default)]
struct Account {
    received: u64,
    snapshots: u64,
    noticed: u64,
    undated: u64,
    altered: u64,
    ready: u64,
    gaps: Gaps,
    last_ns: u64,
    first_ns: u64,
}

impl Desk {
    fn new(setup: Setup, range: std::ops::Range<usize>, recorder: Recorder, counters: Arc<Counters>) -> Self {
        let subscriber = |number| Subscriber {
            number,
            ledgers: setup.channels.iter().map(|channel| (*channel, Ledger::from(1))).collect(),
            received: 0,
            latency_sum_ns: 0,
            last_ns: 0,
            newest: HashMap::new(),
        };
        Self {
            sessions: Sessions::new(
                (setup.address, setup.connector.clone()),
                range.map(subscriber),
                counters.why.clone(),
            ),
            streams: Streams::default(),
            setup,
            due: Due::Unknown,
            due_channel: None,
            account: Account::default(),
            counters,
            recorder,
            hand_over_ns: 0,
        }
    }

    /// What is read now, beside a session's own stream, is taken with this.
    fn intake(&mut self) -> (Intake<'_>, &mut Sessions<Subscriber>) {
        let Self { account, recorder, due, due_channel, setup, sessions, .. } = self;
        let now_ns = setup.clock.now_ns();
        let (channels, snapshots) = (setup.channels.as_slice(), setup.snapshots);
        let (due_channel, contents) = (*due_channel, setup.contents.as_mut());
        let intake = Intake { now_ns, due, due_channel, channels, contents, snapshots, account, recorder };
        (intake, sessions)
    }

    /// Shows the others how far it is.
    fn show(&self) {
        let Account { received, ready, last_ns, first_ns, .. } = &self.account;
        let store = |to: &AtomicU64, value| to.store(value, Ordering::Relaxed);
        store(&self.counters.received, *received);
        store(&self.counters.ready, *ready);
        store(&self.counters.closed, self.sessions.closed);
        store(&self.counters.last_ns, *last_ns);
        store(&self.counters.first_ns, *first_ns);
    }

    /// The same, for what is found by looking at every connection.
    fn show_all(&self) {
        let subscribers = || self.sessions.slots.iter().map(|slot| &slot.state);
        let slowest = subscribers().map(|subscriber| subscriber.received).min();
        self.counters.slowest.store(slowest.unwrap_or(0), Ordering::Relaxed);
        let missing = subscribers()
            .flat_map(|subscriber| &subscriber.ledgers)
            .map(|(_, ledger)| ledger.missing())
            .sum();
        self.counters.missing.store(missing, Ordering::Relaxed);
    }

    fn highest(&self) -> Vec<(u16, u64)> {
        let mut highest: Vec<(u16, u64)> = Vec::new();
        for (channel, ledger) in self.sessions.slots.iter().flat_map(|slot| &slot.state.ledgers) {
            match highest.iter_mut().find(|(known, _)| known == channel) {
                Some((_, last)) => *last = (*last).max(ledger.highest()),
                None => highest.push((*channel, ledger.highest())),
            }
        }
        highest
    }

    fn outcome(&mut self, ends: &[(u16, u64)]) -> Outcome {
        let (mut tally, mut clean) = (Tally::default(), 0);
        for slot in &self.sessions.slots {
            let mut own = Tally::default();
            for (channel, last) in ends {
                let found = slot.state.ledgers.iter().find(|(known, _)| known == channel);
                own = own.merged(
                    found.map_or_else(|| Ledger::from(1).tally(*last), |(_, ledger)| ledger.tally(*last)),
                );
            }
            clean += u64::from(own.is_clean());
            tally = tally.merged(own);
        }
        Outcome {
            connections: self.sessions.slots.iter().map(connection).collect(),
            tally,
            clean,
            highest: self.highest(),
            snapshots: self.account.snapshots,
            noticed: self.account.noticed,
            undated: self.account.undated,
            altered: self.account.altered,
            gaps: self.account.gaps.clone(),
            latencies: self.recorder.take(),
        }
    }
}

fn connection(slot: &Slot<Subscriber>) -> ConnectionTotal {
    let Subscriber { received, latency_sum_ns, .. } = slot.state;
    ConnectionTotal { received, latency_sum_ns, closed: slot.closed }
}

/// What one read is taken with.
struct Intake<'a> {
    now_ns: u64,
    due: &'a Due,
    due_channel: Option<u16>,
    /// Those that are wanted from number 1 on.
    channels: &'a [u16],
    contents: Option<&'a mut Padded>,
    snapshots: bool,
    account: &'a mut Account,
    recorder: &'a mut Recorder,
}

impl Intake<'_> {
    /// One message.
    #[inline]
    fn take(&mut self, frame: &Frame<'_>, subscriber: &mut Subscriber) -> Result<(), Reason> {
        match frame.msg_type {
            TickOrder::MSG_TYPE | TickTrade::MSG_TYPE | ExtendedTickOrder::MSG_TYPE => {
                let (channel, number) = numbered(frame).ok_or(Reason::App("short tick"))?;
                self.tick(frame, channel, number, subscriber);
            }
            Snapshot::MSG_TYPE if self.snapshots => {
                let snapshot = frame.group::<Snapshot<'_>>().map_err(|_| Reason::App("short snapshot"))?;
                self.dated_snapshot(snapshot.head, subscriber);
            }
            Snapshot::MSG_TYPE => self.account.snapshots += 1,
            MarketDataRequestAck::MSG_TYPE => match frame.view::<MarketDataRequestAck>() {
                Ok(ack) if ack.status == RequestStatus::ACCEPTED => self.account.ready += 1,
                _ => return Err(Reason::App("subscription refused")),
            },
            GapNotice::MSG_TYPE => {
                let notice = frame.view::<GapNotice>().map_err(|_| Reason::App("short notice"))?;
                let (begin, end) = (notice.appl_beg_seq_num.get(), notice.appl_end_seq_num.get());
                self.account.noticed += end.saturating_sub(begin).saturating_add(1).max(0).unsigned_abs();
            }
            _ => {}
        }
        Ok(())
    }

    #[inline]
    fn tick(&mut self, frame: &Frame<'_>, channel: u16, number: u64, subscriber: &mut Subscriber) {
        ledger_of(&mut subscriber.ledgers, channel, number).arrived(number);
        subscriber.received += 1;
        self.account.received += 1;
        if self.account.first_ns == 0 && self.channels.contains(&channel) {
            self.account.first_ns = self.now_ns;
        }
        if let Some(contents) = &mut self.contents {
            self.account.altered += u64::from(contents.frame(number) != frame.bytes);
        }
        let dated = self.due_channel.is_none_or(|dated| dated == channel);
        let due_ns = if dated { self.due.ns((channel, number), || stamp(frame)) } else { None };
        if subscriber.last_ns != self.now_ns {
            self.silence_ended(subscriber, due_ns.unwrap_or(0));
        }
        match due_ns {
            Some(due_ns) => {
                let latency_ns = self.now_ns.saturating_sub(due_ns);
                self.recorder.record(latency_ns);
                subscriber.latency_sum_ns += u128::from(latency_ns);
            }
            None => self.account.undated += 1,
        }
    }

    /// A snapshot whose number says when it was due. One that is not newer than the last of its security is left.
    fn dated_snapshot(&mut self, head: &SnapshotHead, subscriber: &mut Subscriber) {
        let (channel, number) = (head.channel_no.get(), head.num_trades.get().unsigned_abs());
        self.account.snapshots += 1;
        if self.account.first_ns == 0 {
            self.account.first_ns = self.now_ns;
        }
        let newest = subscriber.newest.entry(head.security_id).or_insert(0);
        if number <= *newest {
            return;
        }
        *newest = number;
        subscriber.received += 1;
        self.account.received += 1;
        let Some(due_ns) = self.due.ns((channel, number), || None) else { return };
        if subscriber.last_ns != self.now_ns {
            self.silence_ended(subscriber, due_ns);
        }
        let latency_ns = self.now_ns.saturating_sub(due_ns);
        self.recorder.record(latency_ns);
        subscriber.latency_sum_ns += u128::from(latency_ns);
    }

    /// The first message of a read: for how long nothing had come, though something was due.
    #[inline]
    fn silence_ended(&mut self, subscriber: &mut Subscriber, due_ns: u64) {
        if subscriber.last_ns > 0 {
            self.account.gaps.ended(subscriber.last_ns.max(due_ns), self.now_ns);
        }
        subscriber.last_ns = self.now_ns;
        self.account.last_ns = self.now_ns;
    }
}

/// Channel and number: at the same place in every numbered message.
#[inline]
pub(crate) fn numbered(frame: &Frame<'_>) -> Option<(u16, u64)> {
    let (channel, rest) = frame.body.split_first_chunk::<2>()?;
    let number = rest.first_chunk::<8>()?;
    Some((u16::from_be_bytes(*channel), u64::from_be_bytes(*number)))
}

/// The exchange's time stamp.
fn stamp(frame: &Frame<'_>) -> Option<Timestamp> {
    match frame.msg_type {
        TickOrder::MSG_TYPE => frame.view::<TickOrder>().ok().map(|order| order.transact_time),
        TickTrade::MSG_TYPE => frame.view::<TickTrade>().ok().map(|trade| trade.transact_time),
        _ => frame.group::<ExtendedTickOrder<'_>>().ok().map(|extended| extended.order.transact_time),
    }
}

/// The channel's ledger. A channel that was not asked for begins with what comes first.
#[inline]
fn ledger_of(ledgers: &mut Vec<(u16, Ledger)>, channel: u16, number: u64) -> &mut Ledger {
    let at = ledgers.iter().position(|(known, _)| *known == channel).unwrap_or_else(|| {
        ledgers.push((channel, Ledger::from(number)));
        ledgers.len() - 1
    });
    &mut ledgers[at].1
}

/// Asks for everything: of these channels from number 1 on, of the others from now on, unless each channel is to have a stream;
/// with `snapshots` first the newest snapshot of each security that is there already.
pub fn subscribe(channels: &[u16], policy: SlowReaderPolicy, snapshots: bool, out: &mut Vec<u8>) {
    let starts: Vec<ChannelStart> = channels
        .iter()
        .map(|channel| ChannelStart { channel_no: U16::new(*channel), next_appl_seq_num: I64::new(1) })
        .collect();
    let named = policy == SlowReaderPolicy::STREAMS;
    let mode = if named { SubscriptionMode::CHANNELS } else { SubscriptionMode::ALL };
    let head = RequestHead { request_id: U32::new(1), mode, policy, want_snapshots: snapshots.into() };
    let request = MarketDataRequest { head, channels: &starts, securities: &[] };
    request.encode(out).expect("invariant: a run has few channels");
}

impl App for Desk {
    type Command = Command;

    fn on_start(&mut self, cx: &mut Cx) {
        self.sessions.dial(cx);
    }

    fn on_open(&mut self, cx: &mut Cx, id: ConnId, opened: Opened) {
        let target_comp_id = self.setup.target_comp_id;
        self.sessions.on_open(cx, id, opened, |subscriber| market_data(subscriber.number, target_comp_id));
    }

    fn on_dial_failed(&mut self, _cx: &mut Cx, tag: u32, error: io::Error) {
        self.sessions.on_dial_failed(tag, &error);
    }

    fn on_one_way(&mut self, _cx: &mut Cx, id: ConnId, of: ConnId) {
        self.streams.on_one_way(id, of);
    }

    fn on_data(&mut self, cx: &mut Cx, id: ConnId, data: &[u8]) -> Result<usize, Reason> {
        if let Some(session) = self.streams.session_of(id) {
            let (mut intake, sessions) = self.intake();
            let Some(subscriber) = sessions.state(session) else { return Ok(data.len()) };
            return streams::frames(data, |frame| intake.take(frame, subscriber));
        }
        let Self { account, recorder, due, due_channel, setup, .. } = self;
        let now_ns = setup.clock.now_ns();
        let Setup { channels, contents, policy, snapshots, .. } = setup;
        let (channels, contents, snapshots) = (channels.as_slice(), contents.as_mut(), *snapshots);
        let due_channel = *due_channel;
        let mut intake =
            Intake { now_ns, due, due_channel, channels, contents, snapshots, account, recorder };
        self.sessions.receive(cx, id, data, |subscriber, heard, out| match heard {
            Heard::LoggedOn if setup.subscribe => {
                subscribe(channels, *policy, snapshots, out);
                Ok(())
            }
            Heard::LoggedOn => {
                intake.account.ready += 1;
                Ok(())
            }
            Heard::Message(frame) => intake.take(&frame, subscriber),
        })
    }

    fn on_datagram(&mut self, _cx: &mut Cx, id: ConnId, data: &[u8]) -> Result<(), Reason> {
        let Some((_, frame)) = decode_datagram(data) else { return Err(Reason::App("bad datagram")) };
        let (mut intake, sessions) = self.intake();
        match sessions.state(id) {
            Some(subscriber) => intake.take(&frame, subscriber),
            None => Ok(()),
        }
    }

    fn on_close(&mut self, _cx: &mut Cx, id: ConnId, reason: Reason) {
        if self.streams.on_close(id) {
            return;
        }
        self.sessions.on_close(id, reason);
    }

    fn on_tick(&mut self, cx: &mut Cx) {
        self.sessions.on_tick(cx);
        self.show_all();
        let now_ns = cx.now_ns();
        if now_ns >= self.hand_over_ns {
            self.hand_over_ns = now_ns + HAND_OVER_NS;
            self.recorder.hand_over();
        }
    }

    fn on_turn_end(&mut self, _cx: &mut Cx) {
        self.show();
    }

    fn on_command(&mut self, _cx: &mut Cx, command: Command) {
        match command {
            Command::Due(channel, due) => (self.due_channel, self.due) = (channel, due),
            Command::Gaps(to) => answer(&to, self.account.gaps.clone()),
            Command::Highest(to) => answer(&to, self.highest()),
            Command::Finish(ends, to) => answer(&to, self.outcome(&ends)),
        }
    }
}

fn answer<T>(to: &SyncSender<T>, answer: T) {
    if to.try_send(answer).is_err() {
        tracing::debug!("nobody waits for the answer any more");
    }
}
