//! The kinds of load that a scenario offers, each by its own schedule, for the whole run.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use fix::session::Credentials;
use hdrhistogram::Histogram;
use matcher_stub::PortState;
use transport::Clock;
use wire::szse::ext::SlowReaderPolicy;
use wire::szse::{Password, Text};

use super::file;
use crate::broadcast::{Begun, Cast, Play, Stage};
use crate::curve::Curve;
use crate::due::Due;
use crate::feeder::Feeder;
use crate::handshakes::{self, Storm};
use crate::padded::Padded;
use crate::progress::Progress;
use crate::report::{Event, Percentiles, Report, ScheduleLag};
use crate::schedule::{Pacer, Schedule, Share};
use crate::trading::floor::Floor;
use crate::trading::plan::Plan;
use crate::trading::trader::{self, Protocol};
use crate::wait::wait;
use crate::wires::Wires;

/// ChannelNo of the quotes.
const CHANNEL: u16 = 2011;

/// How far a load is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    /// Messages sent.
    pub(super) sent: u64,
    /// Messages served to the end: answered, received by the mean subscriber, done.
    pub(super) served: f64,
    /// What is known to be wrong: refused, missing, doubled, out of order, failed.
    pub(super) wrong: u64,
    /// Messages that were due and can be sent no more.
    pub(super) unsent: u64,
    /// Everything that was sent is there, or cannot come.
    pub(super) settled: bool,
}

/// One kind of load.
pub(super) trait Load {
    /// Its name: the section of the file.
    fn name(&self) -> &'static str;
    /// What its latency is of.
    fn what(&self) -> &'static str;
    /// What it connects with, in a few words.
    fn who(&self) -> String;
    /// Lets it begin.
    fn begin(&mut self, schedule: Schedule) -> anyhow::Result<()>;
    /// How far it is.
    fn state(&self) -> State;
    /// Latencies since the last time.
    fn collect(&mut self) -> &Histogram<u64>;
    /// What happened to it since the last time.
    fn happened(&mut self) -> Vec<Event> {
        Vec::new()
    }
    /// Our primary source dies, or comes back.
    fn set_primary(&self, _state: PortState) -> anyhow::Result<()> {
        Ok(())
    }
    /// Sends no more: of the schedule, so many were to be sent by now.
    fn end(&mut self, planned: u64) -> anyhow::Result<()>;
    /// Accounts for it and ends it.
    fn finish(self: Box<Self>) -> anyhow::Result<Finished>;
}

/// What came of a load.
pub(super) struct Finished {
    /// Its account.
    pub(super) report: Report,
    /// When the last of it was served, by the run's clock.
    pub(super) last_ns: u64,
}

/// Order sessions.
pub(super) struct Orders {
    floor: Floor,
    planned: u64,
    closed_loop: bool,
    started_unix_s: f64,
    clock: Clock,
}

/// What is ordered by whom.
pub(super) fn plan(orders: &file::Orders, wall_ns: i64) -> anyhow::Result<Plan> {
    Ok(Plan {
        sessions: orders.sessions,
        security_first: orders.security_first,
        securities: orders.securities,
        price: orders.price.parse().context("orders: price")?,
        margin_percent: orders.margin_percent,
        run: Plan::run_of(wall_ns.unsigned_abs() / 1_000_000_000),
        account_prefix: orders.account_prefix.clone(),
        comp_id_prefix: orders.comp_id_prefix.clone(),
        password: Password::new(orders.password.as_bytes()).context("orders: password")?,
    })
}

impl Orders {
    /// Sessions that have logged on at `address`; whether nobody else trades there.
    pub(super) fn start(
        orders: &file::Orders,
        plan: &Plan,
        (address, alone): (SocketAddr, bool),
        connector: transport::Connector,
        (clock, tolerance_ns): (Clock, u64),
        progress: &mut Progress<impl std::io::Write>,
    ) -> anyhow::Result<Self> {
        let by_fix = orders.protocol == Protocol::Fix;
        let setup = trader::Setup {
            address,
            connector,
            protocol: orders.protocol,
            fix_logon: Credentials { username: String::new(), password: orders.password.clone() },
            plan: plan.clone(),
            threads: orders.threads,
            target_comp_id: if by_fix {
                Text::truncated(&orders.fix_comp_id)
            } else {
                Text::literal("gateway")
            },
            tolerance_ns: if orders.closed_loop { u64::MAX } else { tolerance_ns },
            in_flight_max: orders.closed_loop.then_some(1),
            from_sending: orders.closed_loop,
            alone,
            clock,
        };
        let floor = Floor::start(&setup).context("the order sessions")?;
        let what = format!("waiting for order sessions to log on at {address}");
        wait(&clock, progress, &what, || floor.state().ready, orders.sessions, || floor.closed())?;
        let closed_loop = orders.closed_loop;
        Ok(Self { floor, planned: 0, closed_loop, started_unix_s: 0.0, clock })
    }
}

impl Load for Orders {
    fn name(&self) -> &'static str {
        "orders"
    }

    fn what(&self) -> &'static str {
        if self.closed_loop { "sent to accepted (closed loop)" } else { "due to accepted" }
    }

    fn who(&self) -> String {
        format!("{} sessions", crate::figures::count(self.floor.sessions()))
    }

    fn begin(&mut self, schedule: Schedule) -> anyhow::Result<()> {
        self.planned = schedule.count();
        self.started_unix_s = self.clock.wall_ns(schedule.due_ns(0)) as f64 / 1e9;
        self.floor.begin(schedule)
    }

    fn state(&self) -> State {
        let state = self.floor.state();
        let answered = state.accepted + state.rejected;
        State {
            sent: state.sent,
            served: answered as f64,
            wrong: state.rejected + state.wrong,
            unsent: state.unsent,
            settled: self.floor.is_settled(&state, self.clock.now_ns()),
        }
    }

    fn happened(&mut self) -> Vec<Event> {
        let ended = self.floor.newly_ended().into_iter();
        ended.map(|end| Event { at_s: end.at_s, what: format!("{} ended: {}", end.who, end.why) }).collect()
    }

    fn collect(&mut self) -> &Histogram<u64> {
        self.floor.collect();
        &self.floor.accepts().recent
    }

    fn end(&mut self, planned: u64) -> anyhow::Result<()> {
        self.planned = planned;
        self.floor.end()
    }

    fn finish(self: Box<Self>) -> anyhow::Result<Finished> {
        let mut report = Report::new("orders", self.started_unix_s);
        let last_ns = self.floor.last_ns();
        self.floor.finish(self.planned, &mut report)?;
        Ok(Finished { report, last_ns })
    }
}

/// Sources and subscribers of a feed.
pub(super) struct Quotes {
    stage: Stage,
    quotes: Option<Padded>,
    tolerance_ns: u64,
    begun: Option<Begun>,
    ended: bool,
}

impl Quotes {
    /// Sources that the feed has come to, and subscribers that have come to it.
    pub(super) fn start(
        quotes: &file::Quotes,
        (feed, listen): (SocketAddr, &[SocketAddr]),
        wires: &Wires,
        (clock, tolerance_ns): (Clock, u64),
        progress: &mut Progress<impl std::io::Write>,
    ) -> anyhow::Result<Self> {
        let cast = Cast {
            feed: Some(feed),
            listen: listen.to_vec(),
            comp_id: Text::truncated(&quotes.comp_id),
            sources: quotes.sources,
            subscribers: quotes.subscribers,
            threads: quotes.threads as usize,
            policy: SlowReaderPolicy::DISCONNECT,
            snapshots: false,
            stalled: 0,
            flood: None,
            channels: vec![CHANNEL],
        };
        let frames = Padded::new(CHANNEL, quotes.size, quotes.securities)?;
        let stage = Stage::raise_by(clock, &cast, wires, progress)?;
        Ok(Self { stage, quotes: Some(frames), tolerance_ns, begun: None, ended: false })
    }
}

impl Load for Quotes {
    fn name(&self) -> &'static str {
        "quotes"
    }

    fn what(&self) -> &'static str {
        "due to received, all subscribers"
    }

    fn who(&self) -> String {
        format!("{} subscribers", crate::figures::count(self.stage.state().subscribers))
    }

    fn begin(&mut self, schedule: Schedule) -> anyhow::Result<()> {
        let quotes = self.quotes.take().context("invariant: it begins once")?;
        let planned = schedule.count();
        let play = Play {
            feeder: Feeder::Rate {
                pacer: Pacer::new(schedule, Share::ALL, self.tolerance_ns),
                quotes: vec![quotes],
                channel: CHANNEL,
            },
            start_ns: schedule.due_ns(0),
            due: (Some(CHANNEL), Due::rate(schedule, CHANNEL)),
            kill_after: None,
            planned,
            ends: vec![(CHANNEL, planned)],
            offered_per_s: 0.0,
        };
        self.begun = Some(self.stage.begin("quotes", play)?);
        Ok(())
    }

    fn state(&self) -> State {
        let state = self.stage.state();
        State {
            sent: state.sent,
            served: state.received as f64 / state.subscribers.max(1) as f64,
            wrong: state.missing + state.closed,
            unsent: 0,
            settled: state.received >= state.sent * state.subscribers || state.closed >= state.subscribers,
        }
    }

    fn collect(&mut self) -> &Histogram<u64> {
        self.stage.collect()
    }

    fn set_primary(&self, state: PortState) -> anyhow::Result<()> {
        self.stage.set_primary(state)
    }

    fn end(&mut self, planned: u64) -> anyhow::Result<()> {
        self.ended = true;
        self.begun.iter_mut().for_each(|begun| begun.planned = planned);
        self.stage.end()
    }

    fn finish(self: Box<Self>) -> anyhow::Result<Finished> {
        let mut begun = self.begun.context("invariant: it has begun")?;
        if self.ended {
            begun.ends = vec![(CHANNEL, self.stage.state().sent)];
        }
        let last_ns = self.stage.last_ns();
        Ok(Finished { report: self.stage.finish(begun)?, last_ns })
    }
}

/// Connections that do their handshake and end.
pub(super) struct Handshakes {
    setup: handshakes::Setup,
    storm: Option<Storm>,
    planned: u64,
}

impl Handshakes {
    pub(super) fn new(setup: handshakes::Setup) -> Self {
        Self { setup, storm: None, planned: 0 }
    }
}

impl Load for Handshakes {
    fn name(&self) -> &'static str {
        "handshakes"
    }

    fn what(&self) -> &'static str {
        "due to done"
    }

    fn who(&self) -> String {
        format!("at {}", self.setup.address)
    }

    fn begin(&mut self, schedule: Schedule) -> anyhow::Result<()> {
        self.planned = schedule.count();
        self.storm = Some(Storm::start(&self.setup, schedule).context("the handshakes")?);
        Ok(())
    }

    fn state(&self) -> State {
        let Some(storm) = &self.storm else { return State::default() };
        let load = |of: &std::sync::atomic::AtomicU64| of.load(Ordering::Relaxed);
        let (sent, done, failed) =
            (load(&storm.counters.sent), load(&storm.counters.done), load(&storm.counters.failed));
        State { sent, served: done as f64, wrong: failed, unsent: 0, settled: done + failed >= sent }
    }

    fn collect(&mut self) -> &Histogram<u64> {
        self.storm.as_mut().expect("invariant: it has begun").collect()
    }

    fn end(&mut self, planned: u64) -> anyhow::Result<()> {
        self.planned = planned;
        self.storm.iter().for_each(Storm::end);
        Ok(())
    }

    fn finish(self: Box<Self>) -> anyhow::Result<Finished> {
        let mut report = Report::new("handshakes", 0.0);
        let storm = self.storm.context("invariant: it has begun")?;
        let ended = storm.finish(Duration::from_secs(60))?;
        report.sent = ended.sent;
        report.expected = ended.sent;
        report.received = ended.done;
        report.lost = ended.failed;
        report.latency_ns = Percentiles::from(&ended.latency_ns);
        report.curves.insert("handshake", Curve::from(&ended.latency_ns));
        report.schedule = ScheduleLag::of(&ended.lag, self.planned);
        Ok(Finished { report, last_ns: ended.last_ns })
    }
}
