//! `loadgen orders`: order sessions of a gateway, at a fixed rate.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use fix::session::Credentials;
use transport::Clock;
use wire::szse::{Password, Price, Text};

use crate::figures::{count, counted, rate};
use crate::files;
use crate::house::{Core, Gateway, Kind};
use crate::machine;
use crate::progress::Progress;
use crate::report::{Percentiles, Report};
use crate::schedule::Schedule;
use crate::trading::floor::{Floor, State};
use crate::trading::plan::{ORDERS_MAX, Plan};
use crate::trading::trader::{Protocol, Setup};
use crate::wait::wait;
use crate::why::{ENDS_MAX, End};
use crate::wires::{Transport, WireArgs, Wires};

const NS_PER_S: f64 = 1e9;
/// Between the word to begin and the first order.
const LEAD_NS: u64 = 200_000_000;
/// How often the run is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How often the progress line is renewed.
const LINE_NS: u64 = 500_000_000;
/// So long without a report after the last order, and what is missing will not come.
const QUIET_NS: u64 = 5_000_000_000;
/// So long without a report after the last order, and it is said what is waited for.
const TOLD_NS: u64 = 500_000_000;

/// Order sessions of a gateway: orders at a fixed rate over all sessions, open loop; latency from the time each was due
/// to its acceptance and to its fill
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// A gateway that runs already and knows our clients (see --print-clients); without it a gateway and two cores are
    /// started in this process
    #[arg(long, value_name = "ADDRESS")]
    pub gateway: Option<SocketAddr>,
    /// What is spoken with the gateway; --gateway is its FIX port then
    #[arg(long, value_enum, default_value_t = Protocol::Binary, value_name = "PROTOCOL")]
    pub protocol: Protocol,
    /// CompID of the gateway's FIX port
    #[arg(long, default_value = "TONGDAO", value_name = "NAME")]
    pub fix_comp_id: Text<20>,
    /// Order sessions, each with an account of its own
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub sessions: u64,
    /// Orders a second, over all sessions
    #[arg(long, default_value_t = 5_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: u64,
    /// How long orders are sent, seconds
    #[arg(long, default_value_t = 10, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: u64,
    /// Orders without an answer that a session may have on average over a thread's sessions: what is due beyond them waits, and the rate achieved under too high
    /// a rate is the most that passes. Latencies, which count from the due time, then tell nothing about the server
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub in_flight: Option<u64>,
    /// Sessions have one order without an answer on average over a thread's sessions: what is due beyond that waits, and latency
    /// counts from the sending: the figures of a closed loop, to be laid beside those of an open one, for they leave out what had to wait
    #[arg(long, conflicts_with = "in_flight")]
    pub closed_loop: bool,
    /// Threads that the sessions are spread over; their number must divide that of the sessions
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub threads: u64,
    /// Of a hundred orders, those that go to the margin core
    #[arg(long, default_value_t = 30, value_name = "PERCENT", value_parser = clap::value_parser!(u64).range(0..=100))]
    pub margin_percent: u64,
    /// CompIDs are this and the session's number, 0000 and up
    #[arg(long, default_value = "client", value_name = "PREFIX")]
    pub comp_id_prefix: String,
    /// Accounts are this and the session's number, 0000 and up
    #[arg(long, default_value = "01000", value_name = "PREFIX")]
    pub account_prefix: String,
    /// Password of every session
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub password: String,
    /// The first security, six digits
    #[arg(long, default_value_t = crate::house::SECURITY_FIRST, value_name = "NUMBER")]
    pub security_first: u32,
    /// Securities that pairs of orders go round
    #[arg(long, default_value_t = crate::house::SECURITIES, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub securities: u32,
    /// Price of all orders
    #[arg(long, default_value = "10.00", value_name = "PRICE")]
    pub price: Price,
    /// The generator is behind when it sends later than this after the due time, milliseconds
    #[arg(long, default_value_t = 5, value_name = "MS")]
    pub tolerance_ms: u64,
    /// What connections go over
    #[command(flatten)]
    pub wires: WireArgs,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Print what the gateway's configuration must hold for these sessions, and end
    #[arg(long)]
    pub print_clients: bool,
}

impl Args {
    /// What is ordered by whom.
    ///
    /// # Errors
    /// Names that do not fit their fields, or more orders than a run can number.
    pub fn plan(&self, started_unix_s: u64) -> anyhow::Result<Plan> {
        let planned = self.rate.saturating_mul(self.seconds);
        anyhow::ensure!(planned <= ORDERS_MAX, "{planned} orders: a run can number {ORDERS_MAX}");
        anyhow::ensure!(self.sessions.is_multiple_of(self.threads), "--threads must divide --sessions");
        anyhow::ensure!(self.comp_id_prefix.len() <= 16, "--comp-id-prefix: at most 16 characters");
        anyhow::ensure!(self.account_prefix.len() <= 8, "--account-prefix: at most 8 characters");
        Ok(Plan {
            sessions: self.sessions,
            security_first: self.security_first,
            securities: self.securities,
            price: self.price,
            margin_percent: self.margin_percent,
            run: Plan::run_of(started_unix_s),
            account_prefix: self.account_prefix.clone(),
            comp_id_prefix: self.comp_id_prefix.clone(),
            password: Password::new(self.password.as_bytes()).context("--password")?,
        })
    }

    /// Whether this process may open as many files as the sessions need.
    fn files_suffice(&self) -> anyhow::Result<()> {
        // Over QUIC a gateway has all of them on one socket.
        let inside = self.gateway.is_none() && self.wires.transport != Transport::Quic;
        let inside = inside.then_some("let a gateway of its own serve them (--gateway)");
        files::suffice("order sessions", self.sessions, inside)
    }

    /// What stands in a gateway's configuration for these sessions.
    ///
    /// # Errors
    /// See [`Self::plan`].
    pub fn clients_toml(&self) -> anyhow::Result<String> {
        let plan = self.plan(0)?;
        let client = |session| {
            let (comp_id, account) = (plan.comp_id(session), plan.account(session));
            let password = &self.password;
            format!(
                "[[clients]]\ncomp_id = \"{comp_id}\"\npassword = \"{password}\"\naccounts = [\"{account}\"]\n\n"
            )
        };
        let fix = |session| format!("[[fix.sessions]]\ncomp_id = \"{}\"\n\n", plan.comp_id(session));
        let by_fix = if self.protocol == Protocol::Fix { plan.sessions } else { 0 };
        Ok((0..plan.sessions).map(client).chain((0..by_fix).map(fix)).collect())
    }
}

/// The servers that a run without a gateway has.
struct Servers {
    cores: Vec<Core>,
    gateway: Gateway,
}

impl Servers {
    fn start(plan: &Plan, by_fix: bool, planned: u64, wires: &Wires) -> anyhow::Result<Self> {
        let cores = Kind::ALL.map(|kind| Core::start(kind, planned, wires));
        let cores = cores.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        let gateway = Gateway::start("gateway", (plan, by_fix), &cores, wires)?;
        Ok(Self { cores, gateway })
    }

    fn stop(self) -> anyhow::Result<()> {
        self.gateway.stop()?;
        self.cores.into_iter().try_for_each(Core::stop)
    }
}

/// Runs it.
///
/// # Errors
/// What kept it from running; a run with losses is no error.
pub fn run(args: &Args, progress: &mut Progress<impl Write>) -> anyhow::Result<Report> {
    let clock = Clock::start();
    let wall_s = clock.wall_ns(0) as f64 / NS_PER_S;
    let plan = args.plan(wall_s as u64)?;
    let planned = args.rate * args.seconds;
    let quic = args.protocol == Protocol::Fix && args.wires.transport == Transport::Quic;
    anyhow::ensure!(!quic, "--protocol fix: the FIX port is for --transport tls or tcp");
    args.files_suffice()?;
    let (wires, servers) = match args.gateway {
        Some(_) => (Wires::outside(&args.wires)?, None),
        None => {
            let wires = Wires::local(&args.wires)?;
            let servers = Servers::start(&plan, args.protocol == Protocol::Fix, planned, &wires)?;
            (wires, Some(servers))
        }
    };
    if let Some(servers) = &servers {
        let lines = || servers.gateway.lines_up();
        wait(&clock, progress, "waiting for the gateway's lines", lines, servers.cores.len() as u64, || 0)?;
    }
    let started = servers.as_ref().and_then(|servers| match args.protocol {
        Protocol::Binary => Some(servers.gateway.quic_address.unwrap_or(servers.gateway.address)),
        Protocol::Fix => servers.gateway.fix_address,
    });
    let address = args.gateway.or(started);
    let address = address.expect("invariant: one or the other");
    let in_flight_max = if args.closed_loop { Some(1) } else { args.in_flight };
    let setup = Setup {
        address,
        connector: wires.connector(),
        protocol: args.protocol,
        fix_logon: Credentials { username: String::new(), password: args.password.clone() },
        plan,
        threads: args.threads,
        target_comp_id: match args.protocol {
            Protocol::Binary => Text::literal("gateway"),
            Protocol::Fix => args.fix_comp_id,
        },
        tolerance_ns: in_flight_max.map_or(args.tolerance_ms.saturating_mul(1_000_000), |_| u64::MAX),
        in_flight_max,
        from_sending: args.closed_loop,
        alone: servers.is_some(),
        clock,
    };
    let mut floor = Floor::start(&setup).context("the order sessions")?;
    let what = format!("waiting for order sessions to log on at {address}");
    wait(&clock, progress, &what, || floor.state().ready, args.sessions, || floor.closed())?;
    let start_ns = clock.now_ns() + LEAD_NS;
    let mut report = Report::new("orders", clock.wall_ns(start_ns) as f64 / NS_PER_S);
    let (cpu_s, busy) = (machine::cpu_seconds(), machine::Busy::begin(clock.now_ns()));
    let schedule = Schedule::new(start_ns, args.rate, planned);
    floor.begin(schedule)?;
    watch(&mut floor, &clock, schedule, progress)?;
    report.cpu_s = machine::cpu_seconds() - cpu_s;
    report.busiest_thread = busy.end(clock.now_ns());
    report.offered_per_s = args.rate as f64;
    let seconds = |until_ns: u64| until_ns.saturating_sub(start_ns) as f64 / NS_PER_S;
    report.seconds = seconds(schedule.end_ns());
    let last_ns = floor.last_ns();
    let account = floor.finish(planned, &mut report)?;
    report.achieved_per_s = (account.accepted + account.rejected) as f64 / seconds(last_ns).max(1e-9);
    if let Some(servers) = servers {
        servers.stop()?;
    }
    Ok(report)
}

/// Shows how it goes until all is settled, or nothing comes any more.
fn watch(
    floor: &mut Floor,
    clock: &Clock,
    schedule: Schedule,
    progress: &mut Progress<impl Write>,
) -> anyhow::Result<()> {
    let (mut before, mut line_ns, mut told) = (State::default(), schedule.due_ns(0), 0);
    let mut waiting = false;
    loop {
        std::thread::sleep(LOOK);
        let now_ns = clock.now_ns();
        let state = floor.state();
        for End { who, at_s, why } in floor.newly_ended() {
            progress.say(&format!("{who} ended at {at_s:.1} s: {why}"))?;
            told += 1;
        }
        // A rate over a time in which nothing was due any more would be none.
        let all_sent = state.sent + state.unsent >= schedule.count();
        if !all_sent && now_ns >= line_ns + LINE_NS {
            floor.collect();
            let elapsed_s = (now_ns - line_ns) as f64 / NS_PER_S;
            let per_s = |now: u64, before: u64| rate((now - before) as f64 / elapsed_s);
            let accepts = Percentiles::from(&floor.accepts().recent);
            let fills = Percentiles::from(&floor.fills().recent);
            progress.show(
                now_ns,
                &format!(
                    "orders {:>5.1} s  {:>3.0} %  sent {}  accepted {}  filled {}  p50 {}  p99 {}  fill p99 {}  open {}",
                    now_ns.saturating_sub(schedule.due_ns(0)) as f64 / NS_PER_S,
                    state.sent as f64 * 100.0 / schedule.count() as f64,
                    per_s(state.sent, before.sent),
                    per_s(state.accepted, before.accepted),
                    per_s(state.filled, before.filled),
                    accepts.told(|latency| latency.p50),
                    accepts.told(|latency| latency.p99),
                    fills.told(|latency| latency.p99),
                    count(state.in_flight()),
                ),
            )?;
            (before, line_ns) = (state, now_ns);
        }
        let all_over = now_ns > schedule.end_ns() && all_sent;
        let quiet_ns = now_ns.saturating_sub(schedule.end_ns().max(floor.last_ns()));
        let settled = all_over && floor.is_settled(&state, now_ns);
        if all_over
            && !settled
            && !waiting
            && quiet_ns > TOLD_NS
            && let Some(awaited) = awaited(&state)
        {
            progress.say(&format!("waiting up to {} s for {awaited}", QUIET_NS / 1_000_000_000))?;
            waiting = true;
        }
        if settled || quiet_ns > QUIET_NS || state.closed >= floor.sessions() {
            let more = state.closed.saturating_sub(told);
            if told >= ENDS_MAX as u64 && more > 0 {
                progress.say(&format!("{} more sessions ended", count(more)))?;
            }
            break;
        }
    }
    progress.clear()?;
    Ok(())
}

/// What may still come of what was sent, if anything.
fn awaited(state: &State) -> Option<String> {
    let fills = state.accepted.saturating_sub(state.filled);
    match (state.in_flight(), fills) {
        (0, 0) => None,
        (0, fills) => Some(counted(fills, "fill")),
        (answers, 0) => Some(counted(answers, "answer")),
        (answers, fills) => Some(format!("{} and {}", counted(answers, "answer"), counted(fills, "fill"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_what_is_waited_for() {
        let state = |accepted, filled| State { sent: 10, accepted, filled, ..State::default() };
        let said = |accepted, filled| awaited(&state(accepted, filled));
        assert_eq!(said(10, 8).as_deref(), Some("2 fills"));
        assert_eq!(said(9, 9).as_deref(), Some("1 answer"));
        assert_eq!(said(7, 6).as_deref(), Some("3 answers and 1 fill"));
        let cut_off = State { orphaned: 4, closed: 1, ..state(6, 6) };
        assert_eq!(awaited(&cut_off), None, "what a session that ended has not answered does not come");
    }
}
