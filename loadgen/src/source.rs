//! The sources of quotes: a shard that writes a log when messages are due and serves it on one port a source.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;

use flow::Writer;
use matcher_stub::publisher::{Publisher, ResendLimits};
use matcher_stub::{Admission, PortState};
use service::tls::Tls;
use shard::{App, ConnId, Cx, Log, LogId, Opened, Origin, Port, Reason, Running};
use transport::{Clock, Listener, SocketOptions};
use wire::szse::code::VERSION_MARKET_DATA;
use wire::szse::{Text, session};

use crate::feeder::Feeder;
use crate::schedule::Lag;

const LOG: LogId = LogId(0);
/// What the sources hold for a feed that is behind or asks again.
const WINDOW_BYTES: usize = 256 << 20;
/// CompID of the sources: what a feed calls its upstream by default.
pub const COMP_ID: Text<20> = Text::literal("MATCHER");

/// What others see of the sources while they run.
#[derive(Debug, Default)]
pub struct Counters {
    /// Numbers sent.
    pub sent: AtomicU64,
    /// Sessions that are open.
    pub sessions: AtomicU64,
    /// When the primary was killed, by the run's clock; 0 while it lives.
    pub killed_ns: AtomicU64,
    /// When the last message was sent, by the run's clock; 0 before.
    pub finished_ns: AtomicU64,
}

/// What may be asked of the sources.
pub enum Command {
    /// Sends this, and closes the primary's port for good after so many numbers.
    Start {
        /// What is sent.
        feeder: Box<Feeder>,
        /// After how many numbers the primary is killed.
        kill_after: Option<u64>,
    },
    /// Sends no more.
    End,
    /// Closes the primary's port, or opens it again.
    Primary(PortState),
    /// How late were they?
    Lag(SyncSender<Lag>),
}

/// Sources on their thread.
pub struct Sources {
    /// Where each listens.
    pub addresses: Vec<SocketAddr>,
    /// What they did so far.
    pub counters: Arc<Counters>,
    /// The thread.
    pub running: Running<Command>,
}

/// Starts `count` sources of one log, which wait for [`Command::Start`].
///
/// # Errors
/// An address that cannot be listened on.
pub fn start(clock: Clock, listen: &[SocketAddr], comp_id: Text<20>, tls: &Tls) -> io::Result<Sources> {
    let (mut ports, mut addresses) = (Vec::new(), Vec::new());
    for (tag, address) in (0..).zip(listen) {
        Listener::ensure_unused(*address)?;
        let listener = Listener::bind(*address, SocketOptions::default())?;
        addresses.push(listener.local_addr()?);
        ports.push(Port { listener: tls.listener(listener, None), tag });
    }
    let limits = flow::Limits { segment_bytes: 1 << 20, window_bytes: WINDOW_BYTES };
    let setup = shard::Setup { ports, logs: vec![Log::Own(Writer::new(limits))], ..shard::Setup::default() };
    let counters = Arc::new(Counters::default());
    let of_thread = counters.clone();
    let names = ["primary", "backup"].iter().map(|name| (*name).to_owned()).take(listen.len()).collect();
    let running =
        shard::spawn("loadgen-source", setup, move || Exchange::new(clock, names, comp_id, of_thread))?;
    Ok(Sources { addresses, counters, running })
}

/// The sources' application. One thread writes and serves, so that a message is due, appended and written in one turn.
struct Exchange {
    clock: Clock,
    publisher: Publisher,
    feeder: Option<Box<Feeder>>,
    kill_after: Option<u64>,
    ended: bool,
    counters: Arc<Counters>,
}

impl Exchange {
    fn new(clock: Clock, names: Vec<String>, comp_id: Text<20>, counters: Arc<Counters>) -> Self {
        let admission = Admission {
            comp_id,
            clients: Vec::new(),
            version: VERSION_MARKET_DATA,
            limits: session::Limits::default(),
        };
        let resend = ResendLimits { numbers_max: 100_000, pause_bytes: 768 << 10 };
        let publisher = Publisher::new(LOG, names, admission, resend);
        Self { clock, publisher, feeder: None, kill_after: None, ended: false, counters }
    }

    /// Appends what is due, and sees to being woken for what is due next.
    fn feed(&mut self, cx: &mut Cx) {
        let Some(feeder) = self.feeder.as_mut().filter(|_| !self.ended) else { return };
        let now_ns = self.clock.now_ns();
        let sent = feeder.append(now_ns, cx.writer(LOG));
        self.counters.sent.store(sent, Ordering::Relaxed);
        match feeder.next_due_ns(now_ns) {
            // The shard counts its time from another beginning than the run does.
            Some(due_ns) => cx.wake_at(cx.clock().now_ns() + due_ns.saturating_sub(now_ns)),
            None if self.counters.finished_ns.load(Ordering::Relaxed) == 0 => {
                self.counters.finished_ns.store(now_ns.max(1), Ordering::Release);
            }
            None => {}
        }
        if self.kill_after.is_some_and(|after| sent >= after) {
            self.kill_after = None;
            self.set_primary(cx, PortState::Down);
        }
    }

    fn set_primary(&mut self, cx: &mut Cx, state: PortState) {
        self.publisher.set_port(cx, 0, state);
        if state == PortState::Down {
            self.counters.killed_ns.store(self.clock.now_ns().max(1), Ordering::Relaxed);
        }
    }
}

impl App for Exchange {
    type Command = Command;

    fn on_open(&mut self, cx: &mut Cx, id: ConnId, opened: Opened) {
        let (Origin::Accepted(tag) | Origin::Dialled(tag)) = opened.origin;
        self.publisher.on_open(cx, id, tag as usize);
    }

    fn on_dial_failed(&mut self, _cx: &mut Cx, _tag: u32, _error: io::Error) {
        unreachable!("a source dials nobody");
    }

    fn on_data(&mut self, cx: &mut Cx, id: ConnId, data: &[u8]) -> Result<usize, Reason> {
        self.publisher.on_data(cx, id, data)
    }

    fn on_close(&mut self, _cx: &mut Cx, id: ConnId, _reason: Reason) {
        self.publisher.on_close(id);
    }

    fn on_tick(&mut self, cx: &mut Cx) {
        self.publisher.on_tick(cx);
        self.counters.sessions.store(self.publisher.counts().sessions.active, Ordering::Relaxed);
    }

    fn on_wake(&mut self, cx: &mut Cx) {
        self.feed(cx);
    }

    fn on_drained(&mut self, cx: &mut Cx, id: ConnId) {
        self.publisher.on_drained(cx, id);
    }

    fn on_command(&mut self, cx: &mut Cx, command: Command) {
        match command {
            Command::Start { feeder, kill_after } => {
                self.feeder = Some(feeder);
                self.kill_after = kill_after;
                self.feed(cx);
            }
            Command::End => {
                self.ended = true;
                self.counters.finished_ns.store(self.clock.now_ns().max(1), Ordering::Release);
            }
            Command::Primary(state) => self.set_primary(cx, state),
            Command::Lag(to) => {
                let lag = self.feeder.as_ref().map_or(Lag::new(0), |feeder| feeder.lag());
                if to.try_send(lag).is_err() {
                    tracing::debug!("nobody waits for the lag any more");
                }
            }
        }
    }
}
