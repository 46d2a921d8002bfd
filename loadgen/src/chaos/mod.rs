//! `loadgen chaos`: orders through a balancer, two gateways and two lines to each core while lines are cut, gateways and
//! cores killed, gateways drained; and at the end a comparison of what clients saw, what the audit holds and what the
//! cores hold.
//!
//! Every server is a process of its own ([`role`]). The faults follow from the seed (`faults.rs`), and so do the orders
//! (`mix.rs`). Start at `run`; what must hold is in `checker.rs`.

mod audit;
mod checker;
mod client;
pub mod drill;
mod evidence;
mod faults;
mod mix;
mod outcome;
pub(crate) mod process;
pub(crate) mod random;
pub mod role;
pub(crate) mod town;
mod witness;

use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use service::tls::{Settings, local_settings};
use service::{Phase, Shutdown};
use tempfile::TempDir;
use transport::tls::Client;
use transport::{Clock, Connector, SocketOptions};
use wire::szse::{Password, Price};

use self::checker::{Evidence, Findings};
use self::client::{Clients, Command, Counters, Seen};
use self::evidence::{Flow, Repeats};
pub use self::faults::FaultKind;
use self::faults::{Fault, KINDS, Planned};
use self::mix::{COUNT_MAX, Mix};
use self::outcome::{Made, Story, recovery_ns};
pub use self::outcome::{Outcome, Recovery};
use self::town::{Setting, Town};
use crate::figures::count;
use crate::files;
use crate::house::{Kind, SECURITIES, SECURITY_FIRST};
use crate::progress::Progress;
use crate::schedule::Schedule;
use crate::trading::plan::Plan;
use crate::wait::{Closed, wait};

const NS_PER_MS: u64 = 1_000_000;
const NS_PER_S: u64 = 1_000_000_000;
/// Between the word to begin and the first order.
const LEAD_NS: u64 = 200 * NS_PER_MS;
/// How often the run is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// How often it is looked for servers that have ended by themselves.
const ROUND_NS: u64 = 200 * NS_PER_MS;
/// After the last order and the last fault: so long all may take to be answered.
const SETTLE_NS_MAX: u64 = 60 * NS_PER_S;
/// After that: so long clients may take to get the reports that the cores hold for them.
const ARRIVE_NS_MAX: u64 = 60 * NS_PER_S;
/// A run that takes so much longer than its orders hangs, and is ended.
const WATCHDOG_S: u64 = 240;

/// What connections go over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Wire {
    /// Plain TCP.
    Tcp,
    /// TLS 1.3 with ShangMi, certificates on both sides, made for the run.
    Tls,
}

/// Orders while lines are cut, gateways and cores killed, and gateways drained, at random; at the end a checker compares
/// what clients saw, what the audit holds and what the cores hold
///
/// Two cores (cash, margin) with two lines each, two gateways, a balancer: each a process of its own. Every order must be
/// at its client, at its core and in the audit, exactly once, and come to its end; no report may be lost, doubled or out of order.
///
/// Exit code 0: all of that held. 1: it did not; what broke is said, the folder with configurations, logs and journals is
/// kept, and how to repeat the run is printed. 2: it could not run.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// How long orders are sent, seconds
    #[arg(long, default_value_t = 60, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// Orders and faults follow from it; a random one is taken, and told, without
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// Client sessions, each with an account of its own; an even number, as pairs of orders meet
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=1_000))]
    pub sessions: u64,
    /// Orders a second, over all sessions
    #[arg(long, default_value_t = 2_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub rate: u64,
    /// Faults a minute; of each kind there is one at least, but with 0, which makes none
    #[arg(long, default_value_t = 24, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=600))]
    pub faults_per_minute: u64,
    /// Only faults of this kind; may be given several times
    #[arg(long, value_enum, value_name = "KIND")]
    pub only: Vec<FaultKind>,
    /// Of a hundred orders, those that go to the margin core
    #[arg(long, default_value_t = 30, value_name = "PERCENT", value_parser = clap::value_parser!(u64).range(0..=100))]
    pub margin_percent: u64,
    /// What connections go over
    #[arg(long, value_enum, default_value_t = Wire::Tls, value_name = "KIND")]
    pub transport: Wire,
    /// Let the cores keep no journal: they forget when they are killed, and the checker must find what is missing
    #[arg(long)]
    pub without_journal: bool,
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

    fn faults(&self, seed: u64) -> Vec<Planned> {
        if self.faults_per_minute == 0 {
            return Vec::new();
        }
        let among = if self.only.is_empty() { FaultKind::value_variants() } else { &self.only };
        faults::plan(seed, self.seconds * 1_000, self.faults_per_minute * self.seconds / 60, among)
    }

    /// The command that repeats this run.
    fn again(&self, seed: u64) -> String {
        let Self { seconds, sessions, rate, faults_per_minute, margin_percent, transport, .. } = self;
        let transport = if *transport == Wire::Tcp { "tcp" } else { "tls" };
        let without_journal = if self.without_journal { " --without-journal" } else { "" };
        let only: String =
            self.only.iter().map(|kind| format!(" --only {}", KINDS[*kind as usize])).collect();
        format!(
            "loadgen chaos --seed {seed} --seconds {seconds} --sessions {sessions} --rate {rate} --faults-per-minute {faults_per_minute} --margin-percent {margin_percent} --transport {transport}{only}{without_journal}"
        )
    }
}

/// A seed that nobody asked for.
fn any_seed() -> u64 {
    RandomState::new().hash_one(std::process::id()) >> 32
}

/// So many orders, or one more: an order whose other half is not sent has nobody to trade with.
fn in_pairs(orders: u64) -> u64 {
    orders.next_multiple_of(2)
}

/// Whether a run can have so many orders and sessions; asked before it leaves anything on the disk.
fn ensure_possible(orders: u64, sessions: u64) -> anyhow::Result<()> {
    anyhow::ensure!(orders <= COUNT_MAX, "{orders} orders: a run can number {COUNT_MAX}");
    anyhow::ensure!(sessions.is_multiple_of(2), "--sessions: an even number");
    Ok(())
}

/// Who sends the orders, and in what they trade.
fn plan(sessions: u64, margin_percent: u64, started_unix_s: u64) -> Plan {
    Plan {
        sessions,
        security_first: SECURITY_FIRST,
        securities: SECURITIES,
        price: Price::whole(10),
        margin_percent,
        run: Plan::run_of(started_unix_s),
        account_prefix: "01000".to_string(),
        comp_id_prefix: "client".to_string(),
        password: Password::default(),
    }
}

/// Runs it and says what came of it.
///
/// # Errors
/// What kept it from running; a run with losses is no error.
pub fn command(args: &Args, progress: &mut Progress<impl Write>) -> anyhow::Result<ExitCode> {
    ensure_possible(args.orders(), args.sessions)?;
    // The balancer has two connections of each session, in a process of its own with the limit of this one.
    files::all_suffice(&[("client sessions", args.sessions, 2)], Some("have fewer (--sessions)"))?;
    let seed = args.seed.unwrap_or_else(any_seed);
    let folder = TempDir::with_prefix("tongdao-chaos-").context("a folder for the run")?;
    progress.say(&format!("seed {seed}, folder {}", folder.path().display()))?;
    let mut began = false;
    let outcome = run(args, seed, &folder, &mut began, progress);
    let held = outcome.as_ref().is_ok_and(Outcome::held);
    if args.keep || !held {
        let path = folder.keep();
        progress.say(&format!("configurations, logs, journals and audits are in {}", path.display()))?;
    }
    if !held {
        progress.say(&format!("again with: {}", args.again(seed)))?;
    }
    let outcome = match outcome {
        Ok(outcome) => outcome,
        // A server that does not come back, or does not end, is no less a break than what the checker finds.
        Err(error) if began && !error.is::<Interrupted>() => {
            progress.say(&format!("BROKEN: {error:#}"))?;
            return Ok(ExitCode::from(1));
        }
        Err(error) => return Err(error),
    };
    print(&outcome);
    if let Some(path) = &args.json {
        outcome.write_json(path).with_context(|| path.display().to_string())?;
    }
    Ok(ExitCode::from(u8::from(!held)))
}

/// Somebody wants it to end.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
struct Interrupted;

#[allow(clippy::print_stdout)] // The result belongs on standard output.
fn print(outcome: &Outcome) {
    print!("{outcome}");
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
    let clock = Clock::start();
    let wall_s = clock.wall_ns(0).unsigned_abs() / NS_PER_S;
    let mix = Mix { plan: plan(args.sessions, args.margin_percent, wall_s), seed };
    let (settings, connector) = wires(args.transport, folder)?;
    let setting = Setting {
        folder: folder.path(),
        tls: settings.as_ref(),
        plan: &mix.plan,
        orders: args.orders(),
        journal: !args.without_journal,
        audit: true,
    };
    let mut town = Town::start(&setting, &clock)?;
    let setup = client::Setup {
        addresses: vec![town.address],
        connector: connector.clone(),
        mix: mix.clone(),
        clock,
    };
    let clients = client::start(setup).context("the clients")?;
    let ready = || clients.counters.ready.load(Ordering::Relaxed);
    let late = || Closed { count: 0, why: clients.counters.why.last() };
    wait(&clock, progress, "waiting for client sessions", ready, args.sessions, late)?;
    let schedule = Schedule::new(clock.now_ns() + LEAD_NS, args.rate, args.orders());
    send(&clients, Command::Start(schedule))?;
    *began = true;
    let mut conductor = Conductor {
        clock: &clock,
        counters: &clients.counters,
        schedule,
        sessions: args.sessions,
        stop: &stop,
        town: &mut town,
        made: Vec::new(),
        mishaps: Vec::new(),
        round_ns: 0,
    };
    conductor.play(&args.faults(seed), progress)?;
    conductor.settle(progress)?;
    let (made, mishaps) = (conductor.made, conductor.mishaps);
    let flows = read_cores(&town.core_addresses(), &connector, progress)?;
    arrive(&clients, || town.has_all(&flows), &mix, &flows, &clock, progress)?;
    let seen = ask(&clients, Command::Finish)?;
    clients.running.handle().stop();
    clients.running.join().context("the clients' thread")?;
    progress.say("gateways end; cores are killed once more, and asked what they hold")?;
    town.stop_gateways(&clock)?;
    town.kill_cores(&clock)?;
    let recovered = read_cores(&town.core_addresses(), &connector, progress)?;
    town.stop_cores(&clock)?;
    let trails = town.audits(folder.path())?;
    let kills = made.iter().filter(|made| matches!(made.fault, Fault::GatewayKilled { .. }));
    let kills_ns: Vec<u64> = kills.map(|made| made.at_ns).collect();
    let evidence = Evidence {
        mix: &mix,
        planned: args.orders(),
        clients: &seen.histories,
        flows: &flows,
        recovered: &recovered,
        trails: &trails,
        kills_ns: &kills_ns,
    };
    let findings = checker::check(&evidence);
    let audited = trails.iter().map(|trail| trail.records).sum();
    let story = told(findings, mishaps, made, &mix, schedule, &seen, &clients.counters);
    Ok(Outcome::new(seed, Story { audited, ..story }))
}

/// What is told of a run.
fn told(
    findings: Findings,
    mishaps: Vec<String>,
    made: Vec<Made>,
    mix: &Mix,
    schedule: Schedule,
    seen: &Seen,
    counters: &Counters,
) -> Story {
    let recovery = |made: Made| {
        let recovery_ns = recovery_ns(made.at_ns, made.fault.core(), mix, schedule, &seen.histories);
        (made, recovery_ns)
    };
    Story {
        findings,
        mishaps,
        seconds: (schedule.end_ns() - schedule.due_ns(0)) as f64 / NS_PER_S as f64,
        start_ns: schedule.due_ns(0),
        faults: made.into_iter().map(recovery).collect(),
        disconnects: counters.disconnects.load(Ordering::Relaxed),
        sent_again: counters.sent_again.load(Ordering::Relaxed),
        unanswered: counters.unanswered.load(Ordering::Relaxed),
        refusals: seen.refusals.iter().map(|(why, times)| (why.to_string(), *times)).collect(),
        audited: 0,
    }
}

/// Ends the process when the run hangs; the servers end with it. The run goes on undisturbed while what is returned lives.
fn watchdog(after_s: u64) -> anyhow::Result<SyncSender<()>> {
    let (alive, gone) = sync_channel(1);
    let watch = move || {
        if gone.recv_timeout(Duration::from_secs(after_s)) == Err(RecvTimeoutError::Timeout) {
            tracing::error!("the run hangs: ended after {after_s} s; its folder is kept");
            std::process::exit(2);
        }
    };
    std::thread::Builder::new().name("watchdog".to_owned()).spawn(watch).context("the watchdog")?;
    Ok(alive)
}

fn wires(transport: Wire, folder: &TempDir) -> anyhow::Result<(Option<Settings>, Connector)> {
    if transport == Wire::Tcp {
        return Ok((None, Connector::default()));
    }
    let settings =
        local_settings(&folder.path().join("certificates"), true).context("the run's certificates")?;
    let client = Client::load(&settings)?;
    Ok((Some(settings), Connector::tls(SocketOptions::default(), client)))
}

fn send(clients: &Clients, command: Command) -> anyhow::Result<()> {
    let sent = clients.running.handle().send(command);
    sent.map_err(|_| anyhow::anyhow!("the clients' thread takes no more commands"))
}

/// Asks the clients' thread something, and waits for the answer.
fn ask<T>(clients: &Clients, question: impl FnOnce(SyncSender<T>) -> Command) -> anyhow::Result<T> {
    let (to, answer) = sync_channel(1);
    send(clients, question(to))?;
    answer.recv_timeout(Duration::from_secs(60)).context("the clients' thread does not answer")
}

fn read_cores(
    cores: &[(Kind, SocketAddr)],
    connector: &Connector,
    progress: &mut Progress<impl Write>,
) -> anyhow::Result<Vec<Flow>> {
    progress.clear()?;
    cores.iter().map(|(kind, address)| witness::read(*kind, *address, connector)).collect()
}

/// Waits until every client has as many reports as the cores hold for it, and every gateway has them all; what is missing
/// then is for the checker.
fn arrive(
    clients: &Clients,
    gateways_have_all: impl Fn() -> anyhow::Result<bool>,
    mix: &Mix,
    flows: &[Flow],
    clock: &Clock,
    progress: &mut Progress<impl Write>,
) -> anyhow::Result<()> {
    let mut expected = vec![0; mix.plan.sessions as usize];
    let (reports, mut repeats) = (flows.iter().flat_map(|flow| &flow.reports), Repeats::default());
    for report in reports.filter(|report| !repeats.next(report)) {
        if let Some(request) = mix.request(&report.cl_ord_id) {
            expected[mix.session(request) as usize] += 1;
        }
    }
    let until_ns = clock.now_ns() + ARRIVE_NS_MAX;
    loop {
        let counts = ask(clients, Command::Count)?;
        let all_came = counts.iter().zip(&expected).all(|(came, expected)| came >= expected);
        if (all_came && gateways_have_all()?) || clock.now_ns() > until_ns {
            return Ok(());
        }
        progress.show(clock.now_ns(), "waiting for the last reports")?;
        std::thread::sleep(LOOK);
    }
}

/// What is missing until every request is sent and answered; `None` when nothing is.
fn unsettled(counters: &Counters, schedule: &Schedule) -> Option<String> {
    let (due, open) = (counters.due.load(Ordering::Relaxed), counters.open.load(Ordering::Relaxed));
    let unsent = schedule.count().saturating_sub(due);
    (unsent + open > 0).then(|| {
        let (open, unsent) = (count(open), count(unsent));
        format!("{open} requests without an answer and {unsent} orders not handed out, though all servers were back")
    })
}

/// Makes the faults when they are due, and looks on.
struct Conductor<'a> {
    clock: &'a Clock,
    counters: &'a Counters,
    schedule: Schedule,
    sessions: u64,
    stop: &'a Shutdown,
    town: &'a mut Town,
    made: Vec<Made>,
    mishaps: Vec<String>,
    round_ns: u64,
}

/// A fault begins or is mended.
#[derive(Clone, Copy)]
struct Step {
    at_ns: u64,
    fault: Fault,
    begins: bool,
}

impl Conductor<'_> {
    /// Until all orders are due and all faults are mended.
    fn play(&mut self, planned: &[Planned], progress: &mut Progress<impl Write>) -> anyhow::Result<()> {
        let start_ns = self.schedule.due_ns(0);
        let step = |at_ms: u64, fault, begins| Step { at_ns: start_ns + at_ms * NS_PER_MS, fault, begins };
        let mut steps: Vec<Step> = planned
            .iter()
            .flat_map(|one| [step(one.at_ms, one.fault, true), step(one.until_ms, one.fault, false)])
            .collect();
        steps.sort_by_key(|step| step.at_ns);
        let mut steps = steps.into_iter().peekable();
        loop {
            let now_ns = self.look(progress)?;
            if let Some(step) = steps.next_if(|step| step.at_ns <= now_ns) {
                self.take(step, progress)?;
            } else if steps.peek().is_none() && now_ns > self.schedule.end_ns() {
                return Ok(());
            } else {
                std::thread::sleep(LOOK);
            }
        }
    }

    fn take(
        &mut self,
        Step { fault, begins, .. }: Step,
        progress: &mut Progress<impl Write>,
    ) -> anyhow::Result<()> {
        let at_ns = self.clock.now_ns();
        if begins {
            self.made.push(Made { fault, at_ns, until_ns: at_ns });
            self.town.begin(fault, self.clock).with_context(|| fault.to_string())?;
            progress.say(&format!("{:>5.1} s  {fault}", self.since_start_s(at_ns)))?;
        } else {
            self.town.end(fault, self.clock).with_context(|| format!("after: {fault}"))?;
            let now_ns = self.clock.now_ns();
            if let Some(made) = self.made.iter_mut().rfind(|made| made.fault == fault) {
                made.until_ns = now_ns;
            }
        }
        Ok(())
    }

    /// Until everything sent is answered, or will not be.
    fn settle(&mut self, progress: &mut Progress<impl Write>) -> anyhow::Result<()> {
        let until_ns = self.clock.now_ns() + SETTLE_NS_MAX;
        self.town.wait_ready(self.clock)?;
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

    /// Whether all servers are there, and the progress line.
    fn look(&mut self, progress: &mut Progress<impl Write>) -> anyhow::Result<u64> {
        if self.stop.phase() != Phase::Running {
            return Err(Interrupted.into());
        }
        let now_ns = self.clock.now_ns();
        if now_ns < self.round_ns {
            return Ok(now_ns);
        }
        self.round_ns = now_ns + ROUND_NS;
        for mishap in self.town.casualties()? {
            progress.say(&mishap)?;
            self.mishaps.push(mishap);
        }
        let of = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { ready, due, acknowledged, open, reports, .. } = self.counters;
        progress.show(
            now_ns,
            &format!(
                "chaos {:>5.1} s  {} due  {} acknowledged  {} open  {} reports  {} of {} sessions  {} faults",
                self.since_start_s(now_ns),
                count(of(due)),
                count(of(acknowledged)),
                count(of(open)),
                count(of(reports)),
                of(ready),
                self.sessions,
                self.made.len()
            ),
        )?;
        Ok(now_ns)
    }

    fn since_start_s(&self, now_ns: u64) -> f64 {
        now_ns.saturating_sub(self.schedule.due_ns(0)) as f64 / NS_PER_S as f64
    }
}
