//! `loadgen drill`: one zone after the other is lost whole and comes back, while clients trade and subscribers read; at the
//! end the checker of `loadgen chaos` compares clients, audits and cores, and every subscriber's numbers are compared with
//! what the cores published.
//!
//! Servers, clients and checker are those of chaos. Start at `run`; what a zone is, is in `zones.rs`.

mod outcome;
mod readers;
mod zones;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use anyhow::Context;
use service::{Phase, Shutdown};
use tempfile::TempDir;
use transport::{Clock, Connector};

use self::outcome::{Loss, Outcome};
use self::readers::{Account, Readers};
use self::zones::Zones;
use super::checker::{self, Evidence};
use super::client::{self, Clients, Command, Counters};
use super::faults::GATEWAYS as ZONES;
use super::mix::Mix;
use super::outcome::recovery_ns;
use super::random::Random;
use super::town::{Setting, audits};
use super::{
    ARRIVE_NS_MAX, Interrupted, LEAD_NS, LOOK, NS_PER_MS, NS_PER_S, ROUND_NS, SETTLE_NS_MAX, WATCHDOG_S,
    Wire, any_seed, arrive, ask, ensure_possible, in_pairs, plan, read_cores, send, unsettled, watchdog,
    wires,
};
use crate::figures::count;
use crate::files;
use crate::progress::Progress;
use crate::schedule::Schedule;
use crate::wait::{Closed, wait};

/// Of a run, when the first zone is lost, when it comes back, and the same of the second, percent.
const STEPS_PERCENT: [u64; 4] = [15, 40, 60, 85];
/// A step is so much later at most, by the seed, percent.
const LATER_PERCENT: u64 = 5;
/// Of a hundred orders, those that go to the margin core.
const MARGIN_PERCENT: u64 = 30;
/// A zone that is back is left in peace for so long.
const CALM_NS: u64 = 500 * NS_PER_MS;

/// How a zone is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum How {
    /// SIGKILL: its processes are gone, and the system ends their connections.
    Killed,
    /// SIGSTOP: it says nothing any more and nobody is told, as when its power or network is cut.
    Frozen,
}

/// A disaster drill: one zone after the other is lost whole and comes back, while clients trade and subscribers read
///
/// Two zones, each with a balancer, a gateway, a feed and its end of the leased lines, and two cores beyond the lines: each
/// a process of its own. Clients whose zone is gone go on through the other one. Every order must be at its client, at its
/// core and in the audit, exactly once, and come to its end; every subscriber must have every quote, once, in order, as its core published it.
///
/// Exit code 0: all of that held. 1: it did not; what broke is said, and the folder with configurations, logs and journals is
/// kept. 2: it could not run.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// How long orders are sent, seconds
    #[arg(long, default_value_t = 40, value_name = "N", value_parser = clap::value_parser!(u64).range(4..=3_600))]
    pub seconds: u64,
    /// Orders and times follow from it; a random one is taken, and told, without
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// How a zone is lost
    #[arg(long, value_enum, default_value_t = How::Killed, value_name = "HOW")]
    pub how: How,
    /// Client sessions, each with an account of its own, half of them at home in each zone; an even number
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=1_000))]
    pub sessions: u64,
    /// Orders a second, over all sessions
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=20_000))]
    pub rate: u64,
    /// Subscribers, half of them at home in each zone
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=1_000))]
    pub subscribers: u64,
    /// What connections go over
    #[arg(long, value_enum, default_value_t = Wire::Tls, value_name = "KIND")]
    pub transport: Wire,
    /// Keep the folder with configurations, logs and journals in any case
    #[arg(long)]
    pub keep: bool,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl Args {
    fn orders(&self) -> u64 {
        in_pairs(self.rate * self.seconds)
    }
}

/// Runs it and says what came of it.
///
/// # Errors
/// What kept it from running; a run with losses is no error.
#[allow(clippy::print_stdout)] // The result belongs on standard output.
pub fn command(args: &Args, progress: &mut Progress<impl Write>) -> anyhow::Result<ExitCode> {
    ensure_possible(args.orders(), args.sessions)?;
    // Where a zone is lost, the other one's balancer has two connections of each, in a process of its own with the limit of this one.
    let needs = [("client sessions", args.sessions, 2), ("subscribers", args.subscribers, 2)];
    files::all_suffice(&needs, Some("have fewer (--sessions, --subscribers)"))?;
    let seed = args.seed.unwrap_or_else(any_seed);
    let folder = TempDir::with_prefix("tongdao-drill-").context("a folder for the run")?;
    progress.say(&format!("seed {seed}, folder {}", folder.path().display()))?;
    let mut began = false;
    let outcome = run(args, seed, &folder, &mut began, progress);
    let held = outcome.as_ref().is_ok_and(Outcome::held);
    if args.keep || !held {
        let path = folder.keep();
        progress.say(&format!("configurations, logs, journals and audits are in {}", path.display()))?;
    }
    let outcome = match outcome {
        Ok(outcome) => outcome,
        // A zone that does not come back is no less a break than what the checker finds.
        Err(error) if began && !error.is::<Interrupted>() => {
            progress.say(&format!("BROKEN: {error:#}"))?;
            return Ok(ExitCode::from(1));
        }
        Err(error) => return Err(error),
    };
    print!("{outcome}");
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&outcome)? + "\n";
        std::fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    Ok(ExitCode::from(u8::from(!held)))
}

/// Runs it in a folder; `began` says whether orders were sent.
fn run(
    args: &Args,
    seed: u64,
    folder: &TempDir,
    began: &mut bool,
    progress: &mut Progress<impl Write>,
) -> anyhow::Result<Outcome> {
    let _watched = watchdog(args.seconds + WATCHDOG_S)?;
    let stop = Shutdown::default();
    service::signals::install(&stop, || {}).context("signals")?;
    let mut stage = Stage::raise(args, seed, folder, progress)?;
    let schedule = Schedule::new(stage.clock.now_ns() + LEAD_NS, args.rate, args.orders());
    send(&stage.clients, Command::Start(schedule))?;
    *began = true;
    let mut conductor = Conductor {
        args,
        clock: &stage.clock,
        counters: &stage.clients.counters,
        schedule,
        stop: &stop,
        zones: &mut stage.zones,
        losses: Vec::new(),
        mishaps: Vec::new(),
        round_ns: 0,
    };
    conductor.play(seed, progress)?;
    conductor.settle(progress)?;
    let (losses, mishaps) = (conductor.losses, conductor.mishaps);
    stage.judge(args, (schedule, losses, mishaps), folder, progress)
}

/// Everything that takes part.
struct Stage {
    clock: Clock,
    mix: Mix,
    connector: Connector,
    zones: Zones,
    readers: Readers,
    clients: Clients,
}

impl Stage {
    /// Starts it all, and waits until orders and quotes can flow.
    fn raise(
        args: &Args,
        seed: u64,
        folder: &TempDir,
        progress: &mut Progress<impl Write>,
    ) -> anyhow::Result<Self> {
        let clock = Clock::start();
        let wall_s = clock.wall_ns(0).unsigned_abs() / NS_PER_S;
        let mix = Mix { plan: plan(args.sessions, MARGIN_PERCENT, wall_s), seed };
        let (settings, connector) = wires(args.transport, folder)?;
        let setting = Setting {
            folder: folder.path(),
            tls: settings.as_ref(),
            plan: &mix.plan,
            orders: args.orders(),
            journal: true,
            audit: true,
        };
        let zones = Zones::start(&setting, args.how, &clock)?;
        let readers = readers::start(readers::Setup {
            balancers: zones.quotes.clone(),
            subscribers: args.subscribers as usize,
            cores: zones.published.clone(),
            connector: connector.clone(),
            clock,
        })
        .context("the subscribers")?;
        let ready = || readers.counters.ready.load(Ordering::Relaxed);
        let cores = zones.published.len() as u64;
        let what = awaited(args.subscribers, cores);
        wait(&clock, progress, &what, ready, args.subscribers + cores, || 0)?;
        let (addresses, of_clients) = (zones.orders.clone(), mix.clone());
        let setup = client::Setup { addresses, connector: connector.clone(), mix: of_clients, clock };
        let clients = client::start(setup).context("the clients")?;
        let ready = || clients.counters.ready.load(Ordering::Relaxed);
        let late = || Closed { count: 0, why: clients.counters.why.last() };
        wait(&clock, progress, "waiting for client sessions", ready, args.sessions, late)?;
        Ok(Self { clock, mix, connector, zones, readers, clients })
    }

    /// Ends it all, and compares what everybody has.
    fn judge(
        self,
        args: &Args,
        (schedule, mut losses, mishaps): (Schedule, Vec<Loss>, Vec<String>),
        folder: &TempDir,
        progress: &mut Progress<impl Write>,
    ) -> anyhow::Result<Outcome> {
        let Self { clock, mix, connector, mut zones, readers, clients } = self;
        let flows = read_cores(&zones.core_addresses(), &connector, progress)?;
        arrive(&clients, || zones.have_all(&flows), &mix, &flows, &clock, progress)?;
        let quotes = finish(readers, &clock)?;
        let seen = ask(&clients, Command::Finish)?;
        clients.running.handle().stop();
        clients.running.join().context("the clients' thread")?;
        progress.say("zones end; cores are killed once more, and asked what they hold")?;
        zones.stop_zones(&clock)?;
        zones.kill_cores(&clock)?;
        let recovered = read_cores(&zones.core_addresses(), &connector, progress)?;
        zones.stop_cores(&clock)?;
        let kills_ns: Vec<u64> = losses.iter().map(|loss| loss.at_ns).collect();
        let findings = checker::check(&Evidence {
            mix: &mix,
            planned: args.orders(),
            clients: &seen.histories,
            flows: &flows,
            recovered: &recovered,
            trails: &audits(folder.path())?,
            kills_ns: &kills_ns,
        });
        for loss in &mut losses {
            loss.orders_ns = recovery_ns(loss.at_ns, None, &mix, schedule, &seen.histories);
            let back = |(lost_ns, back_ns): &(u64, u64)| {
                (loss.at_ns..loss.back_ns).contains(lost_ns).then(|| *back_ns - loss.at_ns)
            };
            loss.quotes_ns = quotes.resumed.iter().filter_map(back).max();
        }
        Ok(Outcome::new(args, mix.seed, losses, findings, &quotes, mishaps))
    }
}

/// Those who read quotes: more than the subscribers that were asked for.
fn awaited(subscribers: u64, cores: u64) -> String {
    format!("waiting for {subscribers} subscribers and a witness at each of {cores} cores")
}

/// Waits until subscribers have what the cores published, and takes their account; what is missing then is told in it.
fn finish(readers: Readers, clock: &Clock) -> anyhow::Result<Account> {
    let until_ns = clock.now_ns() + ARRIVE_NS_MAX;
    while readers.counters.behind.load(Ordering::Relaxed) > 0 && clock.now_ns() < until_ns {
        std::thread::sleep(LOOK);
    }
    let (to, answer) = sync_channel(1);
    let sent = readers.running.handle().send(readers::Command::Finish(to));
    sent.map_err(|_| anyhow::anyhow!("the subscribers' thread takes no more commands"))?;
    let account = answer.recv_timeout(Duration::from_secs(60));
    readers.running.join().context("the subscribers' thread")?;
    account.context("the subscribers' thread does not answer")
}

/// Loses zones and brings them back when it is time, and looks on.
struct Conductor<'a> {
    args: &'a Args,
    clock: &'a Clock,
    counters: &'a Counters,
    schedule: Schedule,
    stop: &'a Shutdown,
    zones: &'a mut Zones,
    losses: Vec<Loss>,
    mishaps: Vec<String>,
    round_ns: u64,
}

impl Conductor<'_> {
    /// Both zones, one after the other; until all orders are due.
    fn play(&mut self, seed: u64, progress: &mut Progress<impl Write>) -> anyhow::Result<()> {
        let (mut random, span_ns) = (Random::new(seed), self.args.seconds * NS_PER_S);
        let first = (random.next() % ZONES.len() as u64) as usize;
        let second = (first + 1) % ZONES.len();
        let mut due = STEPS_PERCENT.map(|percent| {
            let later = span_ns / 100 * random.between(0, LATER_PERCENT * 1_000) / 1_000;
            self.schedule.due_ns(0) + span_ns / 100 * percent + later
        });
        for (step, zone) in [first, first, second, second].into_iter().enumerate() {
            self.until(due[step], progress)?;
            if step % 2 == 0 {
                self.lose(zone, progress)?;
            } else {
                self.bring_back(zone, progress)?;
                // What was slow to come back holds up what comes next: never are both away.
                if let Some(next) = due.get_mut(step + 1) {
                    *next = (*next).max(self.clock.now_ns() + CALM_NS);
                }
            }
        }
        self.until(self.schedule.end_ns(), progress)
    }

    fn lose(&mut self, zone: usize, progress: &mut Progress<impl Write>) -> anyhow::Result<()> {
        let at_ns = self.clock.now_ns();
        self.zones.lose(zone, self.args.how)?;
        let took_ns = self.clock.now_ns() - at_ns;
        self.losses.push(Loss { zone, at_ns, back_ns: u64::MAX, ..Loss::default() });
        let what = match self.args.how {
            How::Killed => "killed",
            How::Frozen => "frozen",
        };
        progress.say(&format!(
            "{:>5.1} s  zone {} is lost: {} processes {what} within {} us",
            self.since_start_s(at_ns),
            ZONES[zone],
            self.zones.count(zone),
            took_ns / 1_000
        ))?;
        Ok(())
    }

    fn bring_back(&mut self, zone: usize, progress: &mut Progress<impl Write>) -> anyhow::Result<()> {
        let began_ns = self.clock.now_ns();
        self.zones
            .bring_back(zone, self.clock)
            .with_context(|| format!("zone {} comes back", ZONES[zone]))?;
        let now_ns = self.clock.now_ns();
        if let Some(loss) = self.losses.last_mut() {
            (loss.back_ns, loss.ready_ns) = (now_ns, now_ns - began_ns);
        }
        let at_s = self.since_start_s(now_ns);
        progress.say(&format!("{at_s:>5.1} s  zone {} is back, all of it ready", ZONES[zone]))?;
        Ok(())
    }

    /// Looks on until then.
    fn until(&mut self, at_ns: u64, progress: &mut Progress<impl Write>) -> anyhow::Result<()> {
        while self.look(progress)? < at_ns {
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Until everything sent is answered, or will not be.
    fn settle(&mut self, progress: &mut Progress<impl Write>) -> anyhow::Result<()> {
        let until_ns = self.clock.now_ns() + SETTLE_NS_MAX;
        loop {
            let now_ns = self.look(progress)?;
            let Some(unsettled) = unsettled(self.counters, &self.schedule) else { return Ok(()) };
            if now_ns > until_ns {
                self.mishaps.push(unsettled);
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Whether all servers are there that should be, and the progress line.
    fn look(&mut self, progress: &mut Progress<impl Write>) -> anyhow::Result<u64> {
        if self.stop.phase() != Phase::Running {
            return Err(Interrupted.into());
        }
        let now_ns = self.clock.now_ns();
        if now_ns >= self.round_ns {
            self.round_ns = now_ns + ROUND_NS;
            for mishap in self.zones.casualties()? {
                progress.say(&mishap)?;
                self.mishaps.push(mishap);
            }
            let of = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
            let Counters { ready, due, acknowledged, open, .. } = self.counters;
            let line = format!(
                "drill {:>5.1} s  {} due  {} acknowledged  {} open  {} of {} sessions",
                self.since_start_s(now_ns),
                count(of(due)),
                count(of(acknowledged)),
                count(of(open)),
                of(ready),
                self.args.sessions
            );
            progress.show(now_ns, &line)?;
        }
        Ok(now_ns)
    }

    fn since_start_s(&self, now_ns: u64) -> f64 {
        now_ns.saturating_sub(self.schedule.due_ns(0)) as f64 / NS_PER_S as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn witnesses_are_told_beside_the_subscribers_that_were_asked_for() {
        assert_eq!(awaited(4, 2), "waiting for 4 subscribers and a witness at each of 2 cores");
    }
}
