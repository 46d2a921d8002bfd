//! Who reads quotes during the drill: subscribers, which come back through the other zone and go on from the next number
//! after the last that they saw, and witnesses, which read each core itself, over no zone, for what was to come.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use shard::{App, ConnId, Cx, Opened, Origin, Reason, Running};
use transport::{Clock, Connector};
use wire::szse::code::VERSION_MARKET_DATA;
use wire::szse::ext::{
    ChannelStart, ExtendedTickOrder, GapNotice, MarketDataRequest, MarketDataRequestAck, RequestHead,
    RequestStatus, SlowReaderPolicy, SubscriptionMode,
};
use wire::szse::market::{TickOrder, TickTrade};
use wire::szse::session::{Event, Limits, Session};
use wire::szse::{Frame, GroupMessage, I32, I64, Logon, Message, Password, Text, U16, U32};

use super::super::evidence::digest;
use crate::house::{COMP_ID, Kind};
use crate::ledger::{Ledger, Tally};
use crate::subscriber::numbered;

const TICK_MS: u32 = 10;
/// HeartBtInt: a dead peer is missed after two of them and a little.
const HEART_BT_S: i32 = 1;
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
const PAUSE_NS: u64 = 50_000_000;

/// Who is to read.
pub(super) struct Setup {
    /// The balancers; subscriber `n` begins at the one of zone `n`, and goes to the next when it has lost its connection.
    pub(super) balancers: Vec<SocketAddr>,
    pub(super) subscribers: usize,
    /// Each core's own port.
    pub(super) cores: Vec<SocketAddr>,
    pub(super) connector: Connector,
    /// The run's clock.
    pub(super) clock: Clock,
}

/// What others see of the readers while they run.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Readers that have what they asked for.
    pub(super) ready: AtomicU64,
    /// Numbers that subscribers lack of what the witnesses have, over all subscribers.
    pub(super) behind: AtomicU64,
}

/// What may be asked of the readers.
pub(super) enum Command {
    /// Gives the account.
    Finish(SyncSender<Account>),
}

/// What readers saw.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    /// Numbers that the cores published.
    pub(super) published: u64,
    /// Of the subscribers, against the witnesses.
    pub(super) tally: Tally,
    /// Numbers whose bytes are not the core's.
    pub(super) altered: u64,
    /// Numbers that a feed said would not come.
    pub(super) noticed: u64,
    /// When a subscriber's connection ended, and when the next number came over another one.
    pub(super) resumed: Vec<(u64, u64)>,
    /// Witnesses whose own account is broken: nothing can be said then.
    pub(super) witnesses_broken: u64,
}

/// The readers' thread.
pub(super) struct Readers {
    pub(super) counters: Arc<Counters>,
    pub(super) running: Running<Command>,
}

/// Starts them.
pub(super) fn start(setup: Setup) -> io::Result<Readers> {
    let counters = Arc::new(Counters::default());
    let limits = shard::Limits {
        // Connections that are being closed count too.
        connections_max: 2 * (setup.subscribers + setup.cores.len()) + 16,
        tick_ms: TICK_MS,
        ..shard::Limits::default()
    };
    let of_thread = counters.clone();
    let of_shard = shard::Setup { limits, ..shard::Setup::default() };
    let running = shard::spawn("drill-readers", of_shard, move || Desk::new(setup, of_thread))?;
    Ok(Readers { counters, running })
}

enum Link {
    Waiting { dial_ns: u64 },
    Dialling,
    Open { id: ConnId, session: Session, ready: bool },
}

/// The numbers of one channel at one reader.
struct Channel {
    ledger: Ledger,
    /// Of each number from 1 on, 0 for one that is missing.
    digests: Vec<u64>,
}

struct Reader {
    /// Where it may connect, and which of them it dials.
    addresses: Vec<SocketAddr>,
    at: usize,
    /// It is a subscriber of feeds, which want to be asked; a core sends all to who logs on.
    subscribes: bool,
    name: Text<20>,
    link: Link,
    channels: [Channel; Kind::ALL.len()],
    noticed: u64,
    /// When its connection ended, until a number comes over another one.
    lost_ns: Option<u64>,
    resumed: Vec<(u64, u64)>,
}

struct Desk {
    readers: Vec<Reader>,
    connector: Connector,
    clock: Clock,
    /// By [`ConnId::index`].
    places: Vec<usize>,
    counters: Arc<Counters>,
    out: Vec<u8>,
}

impl Desk {
    fn new(setup: Setup, counters: Arc<Counters>) -> Self {
        let reader = |name: String, addresses: Vec<SocketAddr>, at: usize, subscribes: bool| Reader {
            at: at % addresses.len(),
            addresses,
            subscribes,
            name: Text::truncated(&name),
            link: Link::Waiting { dial_ns: 0 },
            channels: Kind::ALL.map(|_| Channel { ledger: Ledger::from(1), digests: Vec::new() }),
            noticed: 0,
            lost_ns: None,
            resumed: Vec::new(),
        };
        let witnesses = setup
            .cores
            .iter()
            .enumerate()
            .map(|(n, core)| reader(format!("witness-{n}"), vec![*core], 0, false));
        let subscribers = (0..setup.subscribers)
            .map(|n| reader(format!("subscriber-{n}"), setup.balancers.clone(), n, true));
        Self {
            readers: witnesses.chain(subscribers).collect(),
            connector: setup.connector,
            clock: setup.clock,
            places: Vec::new(),
            counters,
            out: Vec::new(),
        }
    }

    fn dial(&mut self, cx: &Cx) {
        for (place, reader) in self.readers.iter_mut().enumerate() {
            if matches!(reader.link, Link::Waiting { dial_ns } if cx.now_ns() >= dial_ns) {
                reader.link = Link::Dialling;
                cx.dial(reader.addresses[reader.at], &self.connector, DIAL_TIMEOUT, place as u32);
            }
        }
    }

    /// A reader is without a connection: it dials the next address after a pause.
    fn lost(&mut self, place: usize, now_ns: u64) {
        let reader = &mut self.readers[place];
        reader.at = (reader.at + 1) % reader.addresses.len();
        reader.link = Link::Waiting { dial_ns: now_ns + PAUSE_NS };
    }

    fn flush(&mut self, cx: &mut Cx, id: ConnId) {
        if !self.out.is_empty() {
            cx.send(id, |out| out.append(&mut self.out));
            // A connection that is being closed takes nothing, and what was for it is for nobody else.
            self.out.clear();
        }
    }

    fn frames(&mut self, cx: &Cx, place: usize, data: &[u8]) -> Result<usize, Reason> {
        let at_ns = self.clock.now_ns();
        let reader = &mut self.readers[place];
        let mut consumed = 0;
        while let Link::Open { session, .. } = &mut reader.link {
            let received = session.receive(&data[consumed..], cx.now_ns(), &mut self.out);
            let Some(received) = received.map_err(|error| Reason::App(error.text()))? else {
                return Ok(consumed);
            };
            consumed += received.consumed;
            match received.event {
                Event::Message(frame) => reader.message(&frame, at_ns, &self.counters)?,
                Event::LoggedOn(_) if reader.subscribes => reader.subscribe(&mut self.out),
                Event::LoggedOn(_) => reader.is_ready(&self.counters),
                Event::Heartbeat => {}
                Event::LogonRefused(_) => return Err(Reason::App("logon refused")),
                Event::LoggedOut(_) => return Err(Reason::App("logged out")),
                Event::LogonRequest(_) => unreachable!("only an acceptor is asked"),
            }
        }
        Ok(data.len())
    }

    /// The last number of each channel, as the witnesses have it.
    fn published(&self) -> [u64; Kind::ALL.len()] {
        let witnesses = || self.readers.iter().filter(|reader| !reader.subscribes);
        let mut channel = 0..;
        Kind::ALL.map(|_| {
            let channel = channel.next().unwrap_or_default();
            witnesses().map(|witness| witness.channels[channel].ledger.highest()).max().unwrap_or(0)
        })
    }

    fn account(&mut self) -> Account {
        let published = self.published();
        let (witnesses, subscribers): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.readers).into_iter().partition(|reader| !reader.subscribes);
        let mut account = Account { published: published.iter().sum(), ..Account::default() };
        for witness in &witnesses {
            let whole = witness
                .channels
                .iter()
                .all(|channel| channel.ledger.tally(channel.ledger.highest()).is_clean());
            account.witnesses_broken +=
                u64::from(!whole || witness.lost_ns.is_some() || !witness.resumed.is_empty());
        }
        for subscriber in subscribers {
            account.noticed += subscriber.noticed;
            account.resumed.extend(subscriber.resumed);
            for (number, channel) in subscriber.channels.iter().enumerate() {
                account.tally = account.tally.merged(channel.ledger.tally(published[number]));
                let core = witnesses
                    .iter()
                    .map(|witness| &witness.channels[number].digests)
                    .max_by_key(|of| of.len());
                let pairs = core.into_iter().flatten().zip(&channel.digests);
                account.altered += pairs.filter(|(core, own)| **own != 0 && core != own).count() as u64;
            }
        }
        account
    }
}

impl Reader {
    /// Asks for every number that it has not seen.
    fn subscribe(&self, out: &mut Vec<u8>) {
        let next = |(kind, channel): (&Kind, &Channel)| ChannelStart {
            channel_no: U16::new(kind.channel_first()),
            next_appl_seq_num: I64::new(channel.ledger.highest() as i64 + 1),
        };
        let channels: Vec<ChannelStart> = Kind::ALL.iter().zip(&self.channels).map(next).collect();
        let policy = SlowReaderPolicy::DISCONNECT;
        let head =
            RequestHead { request_id: U32::new(1), mode: SubscriptionMode::ALL, policy, want_snapshots: 0 };
        let request = MarketDataRequest { head, channels: &channels, securities: &[] };
        request.encode(out).expect("invariant: there are two channels");
    }

    fn is_ready(&mut self, counters: &Counters) {
        if let Link::Open { ready, .. } = &mut self.link
            && !std::mem::replace(ready, true)
        {
            counters.ready.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn message(&mut self, frame: &Frame<'_>, at_ns: u64, counters: &Counters) -> Result<(), Reason> {
        const MALFORMED: Reason = Reason::App("wrong body length");
        match frame.msg_type {
            TickOrder::MSG_TYPE | TickTrade::MSG_TYPE | ExtendedTickOrder::MSG_TYPE => {
                let (channel, number) = numbered(frame).ok_or(MALFORMED)?;
                let kind = Kind::ALL.iter().position(|kind| kind.channel_first() == channel);
                self.number(kind.ok_or(Reason::App("a channel of nobody"))?, number, frame.bytes, at_ns);
            }
            MarketDataRequestAck::MSG_TYPE => {
                let ack = frame.view::<MarketDataRequestAck>().map_err(|_| MALFORMED)?;
                if ack.status != RequestStatus::ACCEPTED {
                    return Err(Reason::App("subscription refused"));
                }
                self.is_ready(counters);
            }
            GapNotice::MSG_TYPE => {
                let notice = frame.view::<GapNotice>().map_err(|_| MALFORMED)?;
                let (begin, end) = (notice.appl_beg_seq_num.get(), notice.appl_end_seq_num.get());
                self.noticed += end.saturating_sub(begin).saturating_add(1).max(0).unsigned_abs();
            }
            _ => {}
        }
        Ok(())
    }

    fn number(&mut self, channel: usize, number: u64, bytes: &[u8], at_ns: u64) {
        let Channel { ledger, digests } = &mut self.channels[channel];
        ledger.arrived(number);
        let place = number.saturating_sub(1) as usize;
        // A number far ahead is a broken one, and is seen in the ledger.
        if digests.len() <= place && place < digests.len() + 1_000_000 {
            digests.resize(place + 1, 0);
        }
        if let Some(slot) = digests.get_mut(place) {
            *slot = digest(bytes).max(1);
        }
        if let Some(lost_ns) = self.lost_ns.take() {
            self.resumed.push((lost_ns, at_ns));
        }
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
        let logon = Logon {
            sender_comp_id: self.readers[place].name,
            target_comp_id: Text::literal(COMP_ID),
            heart_bt_int_s: I32::new(HEART_BT_S),
            password: Password::default(),
            default_appl_ver_id: VERSION_MARKET_DATA,
        };
        let session = Session::initiator(Limits::default(), &logon, cx.now_ns(), &mut self.out);
        self.readers[place].link = Link::Open { id, session, ready: false };
        if self.places.len() <= id.index() {
            self.places.resize(id.index() + 1, usize::MAX);
        }
        self.places[id.index()] = place;
        self.flush(cx, id);
    }

    fn on_dial_failed(&mut self, cx: &mut Cx, tag: u32, error: io::Error) {
        tracing::debug!(%error, reader = tag, "dial");
        self.lost(tag as usize, cx.now_ns());
    }

    fn on_data(&mut self, cx: &mut Cx, id: ConnId, data: &[u8]) -> Result<usize, Reason> {
        let Some(&place) = self.places.get(id.index()) else { return Ok(data.len()) };
        let taken = self.frames(cx, place, data);
        self.flush(cx, id);
        taken
    }

    fn on_close(&mut self, cx: &mut Cx, id: ConnId, reason: Reason) {
        let Some(reader) = self.places.get(id.index()).and_then(|place| self.readers.get_mut(*place)) else {
            return;
        };
        let Link::Open { id: own, ready, .. } = reader.link else { return };
        if own != id || reason == Reason::Stopped {
            return;
        }
        tracing::debug!(?reason, reader = %reader.name, "disconnected");
        if ready {
            self.counters.ready.fetch_sub(1, Ordering::Relaxed);
        }
        // Where it is lost anew before anything came, it is the first loss that counts.
        reader.lost_ns.get_or_insert(self.clock.now_ns());
        self.lost(self.places[id.index()], cx.now_ns());
    }

    fn on_tick(&mut self, cx: &mut Cx) {
        let now_ns = cx.now_ns();
        for place in 0..self.readers.len() {
            let Link::Open { id, session, .. } = &mut self.readers[place].link else { continue };
            let id = *id;
            if let Some((_, sent_ns)) = cx.last_active_ns(id) {
                session.sent(sent_ns);
            }
            let alive = session.on_timeout(now_ns, &mut self.out);
            self.flush(cx, id);
            if let Err(error) = alive {
                cx.close(id, Reason::App(error.text()));
            }
        }
        self.dial(cx);
        let published = self.published();
        let subscribers = self.readers.iter().filter(|reader| reader.subscribes);
        let behind: u64 = subscribers
            .flat_map(|reader| reader.channels.iter().zip(published))
            .map(|(channel, last)| last.saturating_sub(channel.ledger.highest()) + channel.ledger.missing())
            .sum();
        self.counters.behind.store(behind, Ordering::Relaxed);
    }

    fn on_command(&mut self, cx: &mut Cx, Command::Finish(to): Command) {
        let account = self.account();
        if to.try_send(account).is_err() {
            tracing::debug!("nobody waits for the answer any more");
        }
        cx.stop();
    }
}
