//! `loadgen demo`: the whole scenario in one process, live in the terminal.
//!
//! Clients -> balancer -> two gateways -> cash and margin cores -> reports back; the cores' market data, from a primary
//! and a backup source -> feed -> subscribers. Half way the primary source is killed.

mod summary;
mod town;
mod view;

use std::collections::VecDeque;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::builder::RangedU64ValueParser;
use transport::Clock;
use wire::szse::ext::SlowReaderPolicy;
use wire::szse::{Password, Price, Text};

use self::summary::Summary;
pub use self::summary::succeeded;
use self::town::Town;
use self::view::{Figures, Frame};
use crate::audience::Audience;
use crate::due::Due;
use crate::figures::duration;
use crate::files::{self, Need};
use crate::gaps::{BUCKET_NS, Gaps};
use crate::house::{COMP_ID, Core, SECURITIES, SECURITY_FIRST};
use crate::machine;
use crate::progress::Progress;
use crate::recorder::Collector;
use crate::report::{Event, Percentiles, Report};
use crate::schedule::Schedule;
use crate::screen::{Line, Screen, Style};
use crate::subscriber;
use crate::trading::floor::{Floor, State};
use crate::trading::plan::Plan;
use crate::trading::trader;
use crate::wait::wait;
use crate::wires::{Transport, WireArgs, Wires};

const NS_PER_S: f64 = 1e9;
const LEAD_NS: u64 = 200_000_000;
/// How often the picture is drawn.
const DRAW: Duration = Duration::from_millis(250);
/// Servers renew what they count once a second, later on a machine that is busy: so long the last picture waits for it.
const SERVERS_COUNT_NS: u64 = 5_000_000_000;
/// Rates are over the last so many pictures: servers renew what they count once a second.
const RATE_PICTURES: usize = 8;
/// Percentiles are renewed with every so many-th picture, so that they can be read.
const LATENCY_PICTURES: u64 = 4;
/// Between two plain lines.
const PLAIN_NS: u64 = 5_000_000_000;
/// So long without anything new after the last order, and what is missing will not come.
const QUIET_NS: u64 = 5_000_000_000;
/// How long after the kill a silence counts as due to it.
const AFTER_KILL_NS: u64 = 2_000_000_000;
/// The usual silences are those of so long before the kill.
const BEFORE_KILL_NS: u64 = 5_000_000_000;
const TOLERANCE_NS: u64 = 5_000_000;
/// The cores, the gateways, the balancer and the feed.
const SERVERS: u64 = 6;
/// Files of such a server besides clients' and subscribers' connections, about: its ports, both ends of its lines, what wakes its threads.
const FILES_OF_SERVER: u64 = 20;

/// The whole scenario on this machine, live in the terminal, in about a minute
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// How long orders are sent, seconds
    #[arg(long, default_value_t = 50, value_name = "S", value_parser = seconds)]
    pub seconds: u64,
    /// Orders a second, over all sessions
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: u64,
    /// Order sessions
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=2_000))]
    pub sessions: u64,
    /// Subscribers of quotes
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub subscribers: usize,
    /// What connections go over
    #[command(flatten)]
    pub wires: WireArgs,
    /// Where the quote board is served, on this machine alone; port 0 takes a free one, and the demo says which
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    pub board: SocketAddr,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl Args {
    /// What takes files: everything is in this process.
    fn files(&self) -> [Need; 3] {
        // Orders go through the balancer, over TCP: of both of its connections both ends are here. Over QUIC a feed has all of its
        // subscribers on one socket.
        let of_subscriber = if self.wires.transport == Transport::Quic { 1 } else { 2 };
        [
            ("order sessions", self.sessions, 4),
            ("subscribers", self.subscribers as u64, of_subscriber),
            ("servers", SERVERS, FILES_OF_SERVER),
        ]
    }
}

/// Below this there is no time before and after the kill to compare.
const SECONDS_MIN: u64 = 4;

fn seconds(text: &str) -> Result<u64, String> {
    let seconds = text.parse().ok().filter(|seconds| *seconds >= SECONDS_MIN);
    seconds.ok_or_else(|| format!("expected a number of seconds, at least {SECONDS_MIN}"))
}

/// Everything that runs, and what was seen of it.
struct Demo {
    clock: Clock,
    town: Town,
    floor: Floor,
    /// Connections to the cores' own market data: what the subscribers' account is held against.
    taps: Vec<Audience>,
    subscribers: Audience,
    collector: Collector,
    start_ns: u64,
    kill: Kill,
    events: Vec<Event>,
}

/// The death of the primary source.
#[derive(Clone, Copy, Debug, Default)]
struct Kill {
    at_ns: u64,
    /// The longest silence of a subscriber after it, and in the seconds before.
    silences_ns: Option<[u64; 2]>,
}

/// Runs it; see [`succeeded`] for what the result is worth.
///
/// # Errors
/// What kept it from running.
pub fn run(args: &Args) -> anyhow::Result<Report> {
    files::all_suffice(&args.files(), Some("have fewer (--sessions, --subscribers)"))?;
    let mut screen = Screen::stdout();
    let mut demo = Demo::start(args, &mut Progress::stderr())?;
    let schedule = demo.begin(args)?;
    if !screen.is_terminal() {
        screen.say(&Line::new().add(Style::Plain, format!("quote board: {}", demo.board())))?;
    }
    let mut report = Report::new("demo", demo.clock.wall_ns(demo.start_ns) as f64 / NS_PER_S);
    let cpu_s = machine::cpu_seconds();
    demo.watch(args, schedule, &mut screen)?;
    report.cpu_s = machine::cpu_seconds() - cpu_s;
    report.offered_per_s = args.rate as f64;
    report.seconds = args.seconds as f64;
    let summary = demo.finish(schedule, &mut report)?;
    for line in summary.lines(&report) {
        screen.say(&line)?;
    }
    Ok(report)
}

impl Demo {
    fn start(args: &Args, progress: &mut Progress<impl Write>) -> anyhow::Result<Self> {
        let clock = Clock::start();
        let plan = plan(args, clock.wall_ns(0));
        let wires = Wires::local(&args.wires)?;
        let town = Town::start(&plan, args.rate * args.seconds, (&wires, args.board), &clock, progress)?;
        let collector = Collector::new(1, 1);
        let group = |(address, connector), count, subscribe, target: &str| {
            let target_comp_id = Text::truncated(target);
            let channels = Vec::new();
            let setup = subscriber::Setup {
                address,
                connector,
                count,
                threads: 1,
                target_comp_id,
                channels,
                contents: None,
                policy: SlowReaderPolicy::DISCONNECT,
                snapshots: false,
                subscribe,
                clock,
            };
            Audience::start(&setup, || collector.recorder(0)).context("subscribers")
        };
        // Neither the cores nor the balancer are there over QUIC.
        let tap = |core: &Core| group((core.market_data[1], wires.inner()), 1, false, COMP_ID);
        let taps: anyhow::Result<Vec<_>> = town.cores.iter().map(tap).collect();
        let subscribers = group((town.feed.address, wires.connector()), args.subscribers, true, "feed")?;
        let setup = trader::Setup {
            protocol: trader::Protocol::Binary,
            fix_logon: fix::session::Credentials { username: String::new(), password: String::new() },
            address: town.balancer.address,
            connector: wires.inner(),
            plan,
            threads: 1,
            target_comp_id: Text::literal("gateway"),
            tolerance_ns: TOLERANCE_NS,
            in_flight_max: None,
            from_sending: false,
            alone: true,
            clock,
        };
        let floor = Floor::start(&setup).context("the order sessions")?;
        let (taps, kill) = (taps?, Kill::default());
        let demo =
            Self { clock, town, floor, taps, subscribers, collector, start_ns: 0, kill, events: Vec::new() };
        demo.wait(progress)?;
        Ok(demo)
    }

    fn wait(&self, progress: &mut Progress<impl Write>) -> anyhow::Result<()> {
        for tap in &self.taps {
            wait(&self.clock, progress, "taps log on", || tap.ready(), tap.count(), || tap.closed_why())?;
        }
        let (all, floor) = (&self.subscribers, &self.floor);
        wait(&self.clock, progress, "subscribers log on", || all.ready(), all.count(), || all.closed_why())?;
        let state = || floor.state();
        wait(&self.clock, progress, "clients log on", || state().ready, floor.sessions(), || floor.closed())
    }

    /// Where the quote board is.
    fn board(&self) -> String {
        self.town.feed.web.map_or_else(String::new, |address| format!("http://{address}"))
    }

    fn begin(&mut self, args: &Args) -> anyhow::Result<Schedule> {
        self.subscribers.date(None, &Due::Stamped { origin_ns: self.clock.wall_ns(0) })?;
        self.start_ns = self.clock.now_ns() + LEAD_NS;
        let schedule = Schedule::new(self.start_ns, args.rate, args.rate * args.seconds);
        self.floor.begin(schedule)?;
        Ok(schedule)
    }

    /// Shows it, kills the primary half way, and ends when all has arrived or nothing comes any more.
    fn watch(
        &mut self,
        args: &Args,
        schedule: Schedule,
        screen: &mut Screen<impl Write>,
    ) -> anyhow::Result<()> {
        let frame = Frame {
            seconds: args.seconds as f64,
            sessions: self.floor.sessions(),
            subscribers: self.subscribers.count(),
            board: self.board(),
        };
        let mut past: VecDeque<Figures> = VecDeque::from([Figures::default()]);
        let (mut plain_ns, mut quiet) = (self.start_ns, Quiet::default());
        for picture in 0_u64.. {
            std::thread::sleep(DRAW);
            let now_ns = self.clock.now_ns();
            self.kill_on_time(schedule, now_ns, screen)?;
            if screen.is_terminal() {
                let now =
                    self.figures(now_ns, &past[past.len() - 1], picture.is_multiple_of(LATENCY_PICTURES));
                screen.draw(&frame.lines(&now, &past[0], &self.events, screen.columns()))?;
                past.push_back(now);
                if past.len() > RATE_PICTURES {
                    past.pop_front();
                }
            } else if now_ns >= plain_ns + PLAIN_NS {
                let now = self.figures(now_ns, &past[0], true);
                screen.say(&Line::new().add(Style::Plain, view::plain(&now, &past[0])))?;
                (past[0], plain_ns) = (now, now_ns);
            }
            let sent = now_ns > schedule.end_ns();
            if sent && (self.all_here(schedule) || quiet.lasts(now_ns, self.arrived())) {
                break;
            }
        }
        if screen.is_terminal() {
            let now = self.settled(&past[past.len() - 1]);
            screen.draw(&frame.lines(&now, &past[0], &self.events, screen.columns()))?;
        }
        Ok(())
    }

    /// The figures once the cores' counts have come as far as the clients', or soon after if they do not.
    fn settled(&mut self, before: &Figures) -> Figures {
        let until_ns = self.clock.now_ns() + SERVERS_COUNT_NS;
        loop {
            std::thread::sleep(DRAW);
            let now_ns = self.clock.now_ns();
            let now = self.figures(now_ns, before, false);
            let counted: f64 = now.cores.iter().map(|(_, orders, _)| orders).sum();
            if counted >= now.orders.accepted as f64 || now_ns >= until_ns {
                return now;
            }
        }
    }

    /// Kills the primary source half way, and says a little later what came of it.
    fn kill_on_time(
        &mut self,
        schedule: Schedule,
        now_ns: u64,
        screen: &mut Screen<impl Write>,
    ) -> anyhow::Result<()> {
        let Kill { at_ns, silences_ns } = self.kill;
        if at_ns == 0 && now_ns >= schedule.due_ns(schedule.count() / 2) {
            self.kill.at_ns = self.clock.now_ns();
            self.town.kill_primary()?;
            self.tell("the primary source of market data is killed; the backup goes on".to_string(), screen)?;
        } else if at_ns > 0 && silences_ns.is_none() && now_ns > at_ns + AFTER_KILL_NS {
            let [after_ns, before_ns] = silences(&self.subscribers.gaps()?, at_ns);
            self.kill.silences_ns = Some([after_ns, before_ns]);
            let what = format!(
                "{} numbers lost, longest silence {} (before the kill {})",
                self.town.numbers_lost(),
                duration(after_ns),
                duration(before_ns)
            );
            self.tell(what, screen)?;
        }
        Ok(())
    }

    fn tell(&mut self, what: String, screen: &mut Screen<impl Write>) -> anyhow::Result<()> {
        let at_s = (self.clock.now_ns() - self.start_ns) as f64 / NS_PER_S;
        if !screen.is_terminal() {
            screen.say(&Line::new().add(Style::Plain, format!("{at_s:>5.1} s  {what}")))?;
        }
        self.events.push(Event { at_s, what });
        Ok(())
    }

    fn figures(&mut self, now_ns: u64, before: &Figures, renew: bool) -> Figures {
        let latencies = if renew {
            self.floor.collect();
            self.collector.collect();
            let recent = [self.floor.accepts(), self.floor.fills(), self.collector.series(0)];
            recent.map(|series| Percentiles::from(&series.recent))
        } else {
            before.latencies
        };
        Figures {
            at_s: now_ns.saturating_sub(self.start_ns) as f64 / NS_PER_S,
            orders: self.floor.state(),
            latencies,
            received: self.subscribers.received(),
            missing: self.subscribers.missing(),
            ..Figures::of_servers(&self.town)
        }
    }

    /// Reports and quotes that have arrived.
    fn arrived(&self) -> u64 {
        let state = self.floor.state();
        state.accepted + state.rejected + state.filled + self.subscribers.received()
    }

    /// In this order: settled orders move the market no more, so what the taps have of it when they have all is all; and what
    /// subscribers received is read after that.
    fn all_here(&self, schedule: Schedule) -> bool {
        let orders = self.floor.state();
        let published = self.taps.iter().map(Audience::received).sum();
        let received = self.subscribers.received();
        orders.sent >= schedule.count() && is_over(&orders, published, (received, self.subscribers.count()))
    }

    fn finish(mut self, schedule: Schedule, report: &mut Report) -> anyhow::Result<Summary> {
        let mut ends = Vec::new();
        for tap in self.taps {
            ends.extend(tap.finish(&[], &mut self.collector)?.highest);
        }
        let quotes = self.subscribers.finish(&ends, &mut self.collector)?;
        let orders = self.floor.finish(schedule.count(), report)?;
        report.achieved_per_s = (orders.accepted + orders.rejected) as f64 / report.seconds;
        report.latencies_ns.insert("quote", Percentiles::from(&self.collector.series(0).total));
        let at_ns = self.kill.at_ns;
        let summary = Summary {
            published: ends.iter().map(|(_, last)| last).sum(),
            silences_ns: self.kill.silences_ns.unwrap_or_else(|| silences(&quotes.gaps, at_ns)),
            killed_s: at_ns.saturating_sub(self.start_ns) as f64 / NS_PER_S,
            lost_by_feed: self.town.numbers_lost(),
            orders,
            quotes,
        };
        self.town.stop()?;
        report.events = self.events;
        summary.account(report);
        Ok(summary)
    }
}

/// Whether all orders are settled, and each of the `subscribers` has the quotes of all of them.
fn is_over(orders: &State, published: u64, (received, subscribers): (u64, u64)) -> bool {
    // A tick of each order, and one of the trade of each two. Taps that have fewer lag behind: as long as they do, what some
    // subscribers have beyond that would stand for what others lack.
    let quotes = orders.accepted + orders.filled / 2;
    orders.is_settled() && published >= quotes && received >= published * subscribers
}

/// The longest silence of a subscriber soon after the kill, and in the seconds before it.
fn silences(gaps: &Gaps, killed_ns: u64) -> [u64; 2] {
    let before = (killed_ns.saturating_sub(BEFORE_KILL_NS), killed_ns.saturating_sub(BUCKET_NS));
    [gaps.longest(killed_ns, killed_ns + AFTER_KILL_NS), gaps.longest(before.0, before.1)]
}

/// Notices that nothing comes any more.
#[derive(Default)]
struct Quiet {
    arrived: u64,
    since_ns: u64,
}

impl Quiet {
    fn lasts(&mut self, now_ns: u64, arrived: u64) -> bool {
        if arrived != self.arrived || self.since_ns == 0 {
            (self.arrived, self.since_ns) = (arrived, now_ns);
        }
        now_ns > self.since_ns + QUIET_NS
    }
}

fn plan(args: &Args, wall_ns: i64) -> Plan {
    Plan {
        sessions: args.sessions,
        security_first: SECURITY_FIRST,
        securities: SECURITIES,
        price: Price::whole(10),
        margin_percent: 30,
        run: Plan::run_of((wall_ns as f64 / NS_PER_S) as u64),
        account_prefix: "01000".to_string(),
        comp_id_prefix: "client".to_string(),
        password: Password::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tap_that_lags_does_not_hide_a_subscriber_that_does() {
        let orders = State { sent: 4, accepted: 4, filled: 4, ..State::default() };
        assert!(!is_over(&orders, 5, (11, 2)), "six and five, where the tap has five");
        assert!(!is_over(&orders, 6, (11, 2)));
        assert!(is_over(&orders, 6, (12, 2)));
        assert!(!is_over(&State { filled: 2, ..orders }, 6, (12, 2)), "a pair may trade yet");
    }
}
