//! `loadgen run`: a scenario from a file, in phases, against a town of processes or servers that run already.
//!
//! [`mod@file`] is what stands in the file. `conductor.rs` plays it: it watches the loads (`load.rs`) and the servers
//! (`stage.rs`, `components.rs`) and lets happen what is to happen. [`result`] is what came of it, [`html`] its page.

pub mod compare;
mod components;
mod conductor;
pub mod file;
pub mod html;
mod load;
pub mod outputs;
pub mod result;
mod stage;
mod view;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use service::shutdown::Shutdown;
use transport::Clock;

use self::conductor::{Conductor, Track};
use self::file::{Door, Phase, Scenario};
use self::load::{Finished, Handshakes, Load, Orders, Quotes};
use self::result::{FORMAT, Outcome, Run, Server};
use self::stage::Stage;
use crate::files;
use crate::handshakes;
use crate::machine::{self, Machine};
use crate::progress::Progress;
use crate::screen::Screen;

/// Between the word to begin and the first message.
const LEAD_NS: u64 = 300_000_000;

/// A scenario from a file: phases with rates of orders, quotes and handshakes, against a town of processes or servers that
/// run already, and what happens to them on the way
///
/// Exit code 0: everything arrived once and in order, and the generator held its schedule. 1: something was lost, doubled,
/// refused or out of order, or a connection ended. 2: it could not run, or not as the scenario has it. 3: the generator did not
/// send what it should have in its time. 4: a limit of the scenario was exceeded.
///
/// SIGINT and SIGTERM end it before its time: what there is by then is written. A second one does not wait for what is under way.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The scenario
    #[arg(value_name = "FILE.toml")]
    pub file: PathBuf,
    /// Only check the file, and say what it would do
    #[arg(long)]
    pub check: bool,
    /// Write the report as a page that needs nothing else
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the latency distribution of each load as a .hgrm file into this folder
    #[arg(long, value_name = "FOLDER")]
    pub hgrm: Option<PathBuf>,
}

/// What the file would do, for people.
#[must_use]
pub fn described(scenario: &Scenario) -> String {
    let mut text = format!("{}: {} s\n", scenario.name, scenario.seconds());
    for (phase, span) in scenario.phases.iter().zip(conductor::spans(scenario)) {
        let (orders, quotes, handshakes) = (phase.orders_per_s, phase.quotes_per_s, phase.handshakes_per_s);
        text += &format!(
            "  {:>6.0} s  {}: {orders} orders, {quotes} quotes, {handshakes} handshakes a second\n",
            span.from_s, phase.name
        );
    }
    for event in &scenario.events {
        text += &format!("  {:>6.1} s  {}\n", event.at_s, event.told());
    }
    text
}

/// What is said before anybody is waited for.
fn announced(scenario: &Scenario) -> String {
    let servers = if scenario.targets.is_some() { "its servers run already" } else { "the servers start" };
    format!("{}: {} s; {servers}", scenario.name, scenario.seconds())
}

/// Plays it, to its end or until it is told to end.
///
/// # Errors
/// What kept it from running; a run with losses is no error.
pub fn run(
    scenario: &Scenario,
    text: &str,
    ending: &Shutdown,
    progress: &mut Progress<impl Write>,
) -> anyhow::Result<Run> {
    files_suffice(scenario)?;
    let clock = Clock::start();
    let orders = scenario.orders.clone().unwrap_or_default();
    let plan = load::plan(&orders, clock.wall_ns(0))?;
    let planned = scenario.schedule(0, |phase| phase.orders_per_s).map_or(0, |schedule| schedule.count());
    progress.say(&announced(scenario))?;
    let mut stage = Stage::raise(scenario, &plan, planned, &clock)?;
    let tolerance_ns = scenario.tolerance_ms * 1_000_000;
    let mut loads: Vec<Part> = Vec::new();
    if let (Some(orders), Some(address)) = (&scenario.orders, stage.gateway) {
        let load = Orders::start(
            orders,
            &plan,
            (address, scenario.targets.is_none()),
            order_connector(scenario, &stage),
            (clock, tolerance_ns),
            progress,
        )?;
        loads.push((Box::new(load), |phase| phase.orders_per_s, orders.p99_ms_max));
    }
    if let (Some(quotes), Some(address)) = (&scenario.quotes, stage.feed) {
        let load =
            Quotes::start(quotes, (address, &stage.listen), &stage.wires, (clock, tolerance_ns), progress)?;
        loads.push((Box::new(load), |phase| phase.quotes_per_s, quotes.p99_ms_max));
    }
    if let Some(file::Handshakes { at, p99_ms_max }) = scenario.handshakes {
        let (address, connector) = match at {
            Door::Gateway => (stage.gateway, order_connector(scenario, &stage)),
            Door::Feed => (stage.feed, stage.wires.connector()),
        };
        let address = address.with_context(|| format!("handshakes: at = {at:?}: it is not there"))?;
        let setup = handshakes::Setup { address, connector, tolerance_ns, clock };
        loads.push((Box::new(Handshakes::new(setup)), |phase| phase.handshakes_per_s, p99_ms_max));
    }
    let start_ns = clock.now_ns() + LEAD_NS;
    let track = |(load, rate_per_s, p99_ms_max): Part| {
        let schedule =
            scenario.schedule(start_ns, rate_per_s).context("invariant: what is there is offered")?;
        Ok(Track::new(load, schedule, rate_per_s, p99_ms_max, scenario.phases.len()))
    };
    let tracks = loads.into_iter().map(track).collect::<anyhow::Result<Vec<_>>>()?;
    let mut conductor = Conductor::new(clock, scenario, &mut stage, tracks, start_ns)?;
    let cpu_s = machine::cpu_seconds();
    watch(&mut conductor, ending, progress)?;
    let run = account(conductor, text, machine::cpu_seconds() - cpu_s)?;
    stage.stop().context("ending the town")?;
    Ok(run)
}

/// Whether this process may open as many files as the connections need, and a town's balancer, which has two of what goes through
/// it, in a process of its own with the same limit.
fn files_suffice(scenario: &Scenario) -> anyhow::Result<()> {
    let sessions = scenario.orders.as_ref().map_or(0, |orders| orders.sessions);
    let subscribers = scenario.quotes.as_ref().map_or(0, |quotes| quotes.subscribers as u64);
    let storm = scenario.schedule(0, |phase| phase.handshakes_per_s);
    let storm = storm.map_or(0, |schedule| schedule.count().min(handshakes::UNDER_WAY_MAX as u64));
    let (clients, storms, or) = ("order sessions", "handshakes under way", Some("have fewer of them"));
    files::all_suffice(&[(clients, sessions, 1), ("subscribers", subscribers, 1), (storms, storm, 1)], or)?;
    if scenario.targets.is_some() {
        return Ok(());
    }
    let through =
        scenario.handshakes.filter(|handshakes| handshakes.at == Door::Gateway).map_or(0, |_| storm);
    files::all_suffice(&[(clients, sessions, 2), (storms, through, 2)], or).context("the balancer")
}

/// A load, its rate in a phase, and its limit.
type Part = (Box<dyn Load>, fn(&Phase) -> u64, Option<f64>);

/// A town's orders go through its balancer, which carries TCP.
fn order_connector(scenario: &Scenario, stage: &Stage) -> transport::Connector {
    if scenario.targets.is_some() { stage.wires.connector() } else { stage.wires.inner() }
}

/// Plays it, and shows how it goes: on a terminal the whole picture, else a line now and then.
fn watch(
    conductor: &mut Conductor<'_>,
    ending: &Shutdown,
    progress: &mut Progress<impl Write>,
) -> anyhow::Result<()> {
    let mut screen = Screen::stdout();
    conductor.play(ending, |run, now_ns| {
        if screen.is_terminal() {
            screen.draw(&view::lines(run, now_ns, screen.columns()))?;
        } else {
            progress.show(now_ns, &view::plain(run, now_ns))?;
        }
        Ok(())
    })?;
    progress.clear()?;
    Ok(())
}

/// Asks all what they did.
fn account(conductor: Conductor<'_>, text: &str, cpu_s: f64) -> anyhow::Result<Run> {
    let interval_s = conductor.interval_s();
    let started_unix_s = conductor.clock.wall_ns(conductor.start_ns) as f64 / 1e9;
    let start_ns = conductor.start_ns;
    let seconds = conductor.ended_ns.map_or(conductor.scenario.seconds() as f64, |ns| conductor.at_s(ns));
    let now_ns = conductor.clock.now_ns();
    let Conductor { scenario, spans, tracks, components, events, failures, busy, .. } = conductor;
    let server = |looked: &components::Looked| Server {
        name: looked.name.clone(),
        conditions: looked.conditions.clone(),
        cpu_s: looked.cpu_s,
        memory_bytes_max: looked.memory_bytes_max,
        memory: looked.memory.clone(),
        memory_growth_percent_max: scenario.memory_growth_percent_max.get(&looked.name).copied(),
    };
    let mut run = Run {
        format: FORMAT.to_owned(),
        scenario: scenario.name.clone(),
        about: scenario.about.clone(),
        outcome: Outcome::Clean,
        reasons: Vec::new(),
        seconds,
        loads: Vec::new(),
        phases: spans,
        interval_s,
        events,
        failures,
        components: components.all.iter().map(server).collect(),
        cpu_s,
        busiest_thread: busy.end(now_ns),
        started_unix_s,
        command: std::env::args().collect::<Vec<_>>().join(" "),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        machine: Machine::this(),
        file: text.to_owned(),
    };
    for track in tracks {
        run.loads.push(of_track(track, scenario, (start_ns, seconds))?);
    }
    run.judge();
    Ok(run)
}

/// Of a run that began then (by its clock) and lasted so long (seconds).
fn of_track(
    track: Track,
    scenario: &Scenario,
    (start_ns, lasted_s): (u64, f64),
) -> anyhow::Result<result::Load> {
    let (name, what, who) = (track.load.name(), track.load.what(), track.load.who());
    let (rows, phases) = (track.rows.clone(), track.in_phases(scenario, lasted_s));
    let planned = track.schedule.due_count(start_ns + (lasted_s * 1e9) as u64);
    let (seconds, end_s) = track.offers(scenario, lasted_s);
    let p99_ms_max = track.p99_ms_max;
    let served = track.state.served;
    let Finished { report, last_ns } = track.load.finish().with_context(|| name.to_owned())?;
    // What came after the last phase took that much longer to be served.
    let beyond_s = (last_ns.saturating_sub(start_ns) as f64 / 1e9 - end_s).max(0.0);
    let curve = ["accept", "quote", "handshake"].iter().find_map(|name| report.curves.get(name));
    Ok(result::Load {
        name: name.to_owned(),
        what: what.to_owned(),
        who,
        offered_per_s: planned as f64 / seconds.max(1e-9),
        achieved_per_s: served / (seconds + beyond_s).max(1e-9),
        planned,
        sent: report.sent,
        expected: report.expected,
        received: report.received,
        lost: report.lost,
        open: report.open,
        unpaired: report.unpaired,
        duplicated: report.duplicated,
        out_of_order: report.out_of_order,
        rejected: report.rejected,
        unsent: report.unsent,
        closed: report.connections.closed,
        latency_ns: report.latency_ns,
        p99_ms_max,
        schedule: report.schedule,
        curve: curve.cloned().unwrap_or_default(),
        phases,
        rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_servers_of_a_town_are_told_to_start() {
        let text = "name = \"x\"\ntransport = \"tcp\"\n[orders]\n[[phases]]\nname = \"a\"\nseconds = 2\norders_per_s = 10\n";
        assert_eq!(announced(&Scenario::parse(text).unwrap()), "x: 2 s; the servers start");
        let targets = format!("{text}[targets]\ngateway = \"127.0.0.1:1\"\n");
        assert_eq!(announced(&Scenario::parse(&targets).unwrap()), "x: 2 s; its servers run already");
    }
}
