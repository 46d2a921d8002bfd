//! What a scenario came to: for programs as JSON, for people as text and as a page, and to be laid beside other runs.

use std::fmt;
use std::path::Path;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use super::components::Condition;
use crate::curve::Curve;
use crate::figures::{count, duration, rate};
use crate::machine::{Busiest, Machine};
use crate::report::{Event, Percentiles, ScheduleLag};
use crate::schedule::Verdict;

/// Longer files are not results.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// What this file is, so that another one is told from it.
pub const FORMAT: &str = "tongdao-run-1";

/// What a run is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything came, in time and in order, and the generator held its schedule.
    Clean,
    /// The same, but the generator was late with a part: the high percentiles hold its own lateness.
    Late,
    /// A limit of the scenario was exceeded.
    TooSlow,
    /// The generator sent less than it should have in its time: the figures are those of another rate, and nothing that they say
    /// about limits is the servers' doing.
    NotHeld,
    /// Something that was to happen did not, or the run was ended before its time.
    NotPlayed,
    /// Something was lost, doubled, out of order or refused.
    Lossy,
}

/// The result of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// [`FORMAT`].
    pub format: String,
    /// The scenario's name.
    pub scenario: String,
    /// What it is to show.
    pub about: String,
    /// What it is worth.
    pub outcome: Outcome,
    /// Why.
    pub reasons: Vec<String>,
    /// How long load was offered, seconds.
    pub seconds: f64,
    /// Each kind of load.
    pub loads: Vec<Load>,
    /// The phases.
    pub phases: Vec<Span>,
    /// Seconds from one row of a load to the next.
    pub interval_s: f64,
    /// What happened on the way.
    pub events: Vec<Event>,
    /// What did not happen as it was to, and why.
    #[serde(default)]
    pub failures: Vec<String>,
    /// The servers.
    pub components: Vec<Server>,
    /// CPU time of the generator, seconds.
    pub cpu_s: f64,
    /// The generator's thread that had most to do.
    #[serde(default)]
    pub busiest_thread: Option<Busiest>,
    /// When it began, seconds since 1970.
    pub started_unix_s: f64,
    /// The command.
    pub command: String,
    /// Of the generator.
    pub version: String,
    /// On what.
    pub machine: Machine,
    /// The scenario's file.
    pub file: String,
}

/// One kind of load. Names that other results of the load generator have, too, mean the same.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Load {
    /// Its name.
    pub name: String,
    /// What its latency is of.
    pub what: String,
    /// What it connects with.
    pub who: String,
    /// The schedule's mean rate while it offers anything.
    pub offered_per_s: f64,
    /// The rate at which messages were served to the end.
    pub achieved_per_s: f64,
    /// Messages that the schedule holds.
    pub planned: u64,
    /// Messages sent.
    pub sent: u64,
    /// Arrivals that should have been.
    pub expected: u64,
    /// Arrivals.
    pub received: u64,
    /// What never arrived.
    pub lost: u64,
    /// Orders that were accepted and not filled, where others trade too.
    #[serde(default)]
    pub open: u64,
    /// Orders that were accepted and not filled, as there was nobody to meet.
    #[serde(default)]
    pub unpaired: u64,
    /// Arrivals of what was there before.
    pub duplicated: u64,
    /// Arrivals after a later one.
    pub out_of_order: u64,
    /// What was refused.
    pub rejected: u64,
    /// What was due and not sent, as its session had ended: it is among the lost.
    #[serde(default)]
    pub unsent: u64,
    /// Connections that ended before they were to.
    pub closed: u64,
    /// From the due time.
    pub latency_ns: Percentiles,
    /// The limit of the scenario on the 99th percentile, milliseconds.
    pub p99_ms_max: Option<f64>,
    /// The generator's own lateness.
    pub schedule: ScheduleLag,
    /// The whole distribution.
    pub curve: Curve,
    /// In each phase.
    pub phases: Vec<InPhase>,
    /// In each interval, from the start on.
    pub rows: Vec<Row>,
}

/// A load in one phase.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct InPhase {
    /// The rate that was offered.
    pub offered_per_s: f64,
    /// The rate that was served.
    pub achieved_per_s: f64,
    /// Latencies of what came in it.
    pub latency_ns: Percentiles,
}

impl InPhase {
    /// Whether it was offered, or enough came to tell of. Latencies alone are no sign: those of the last messages of the phase before
    /// are handed over in this one.
    pub(super) fn has_something(&self) -> bool {
        self.offered_per_s > 0.0 || self.achieved_per_s >= 0.5
    }
}

/// A load in one interval. Latencies are of what came in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The rate that was offered.
    pub offered_per_s: f64,
    /// The rate that was served.
    pub achieved_per_s: f64,
    /// Median, nanoseconds; 0 where nothing came.
    pub p50: u64,
    /// 99 %.
    pub p99: u64,
    /// The longest.
    pub max: u64,
    /// What was known to be wrong since the start.
    pub wrong: u64,
}

/// A phase.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Span {
    /// Its name.
    pub name: String,
    /// When it begins, seconds after the start.
    pub from_s: f64,
    /// When it ends.
    pub to_s: f64,
}

impl Span {
    /// How much of it there is in a run that lasts so long, seconds.
    pub(super) fn lasted(&self, run_s: f64) -> f64 {
        (self.to_s.min(run_s) - self.from_s).max(0.0)
    }
}

/// A server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// Since when (seconds after the start) it was how.
    pub conditions: Vec<(f64, Condition)>,
    /// CPU time that it used, seconds.
    pub cpu_s: f64,
    /// The most memory that it had, bytes.
    pub memory_bytes_max: f64,
    /// Its memory over time, once for each row: seconds after the start, bytes.
    #[serde(default)]
    pub memory: Vec<(f64, f64)>,
    /// The limit of the scenario on its growth in the second half of the run, percent.
    #[serde(default)]
    pub memory_growth_percent_max: Option<f64>,
}

impl Server {
    /// By how much its memory grew from the run's middle to its end, percent: the median of what it had in the tenth behind the
    /// middle is held against that of the last tenth. `None` where either is not known.
    #[must_use]
    pub fn memory_growth_percent(&self, seconds: f64) -> Option<f64> {
        let median = |from: f64, to: f64| {
            let there = self.memory.iter().filter(|(at_s, _)| (from * seconds..=to * seconds).contains(at_s));
            let mut bytes: Vec<f64> = there.map(|(_, bytes)| *bytes).collect();
            bytes.sort_unstable_by(f64::total_cmp);
            bytes.get(bytes.len() / 2).copied()
        };
        let (middle, end) = (median(0.5, 0.6)?, median(0.9, 1.0)?);
        Some((end / middle - 1.0) * 100.0)
    }

    /// What is to be said of it where its memory grew too much.
    fn judged(&self, seconds: f64) -> Option<(Outcome, String)> {
        let (name, most) = (&self.name, self.memory_growth_percent_max?);
        match self.memory_growth_percent(seconds) {
            Some(grew) if grew <= most => None,
            Some(grew) => Some((
                Outcome::TooSlow,
                format!(
                    "{name}: its memory grew by {grew:.1} % in the second half, where the scenario wants at most {most} %"
                ),
            )),
            None => Some((Outcome::TooSlow, format!("{name}: how its memory grew is not known"))),
        }
    }
}

impl Load {
    /// All that is wrong with it.
    pub(super) fn broken(&self) -> u64 {
        self.lost + self.duplicated + self.out_of_order + self.rejected + self.closed
    }

    /// What was accepted and is neither filled nor lost, for people; empty where there is none.
    pub(super) fn unfilled(&self) -> String {
        let all = [(self.open, "open"), (self.unpaired, "not met")];
        let there = all.iter().filter(|(number, _)| *number > 0);
        there.map(|(number, what)| format!(", {} {what}", count(*number))).collect()
    }

    fn too_slow(&self) -> bool {
        self.p99_ms_max.is_some_and(|ms| self.latency_ns.p99 as f64 > ms * 1e6)
    }

    /// What is to be said of it, the worst first.
    fn judged(&self) -> (Outcome, String) {
        let name = &self.name;
        if self.broken() > 0 {
            let all = [
                (self.lost, "lost"),
                (self.duplicated, "doubled"),
                (self.out_of_order, "out of order"),
                (self.rejected, "refused"),
                (self.closed, "connections ended"),
                (self.planned.saturating_sub(self.sent), "never sent"),
            ];
            let there = all.iter().filter(|(number, _)| *number > 0);
            let said: Vec<String> =
                there.map(|(number, what)| format!("{} {what}", count(*number))).collect();
            return (Outcome::Lossy, format!("{name}: {}{}", said.join(", "), self.unfilled()));
        }
        let ScheduleLag { late_share, max_ns, overrun, verdict, .. } = self.schedule;
        if verdict == Verdict::NotHeld {
            let said = format!(
                "{name}: the generator sent {} of {} in their time, {} later, by at most {}: these are the figures of another rate",
                count(self.sent.saturating_sub(overrun)),
                count(self.planned),
                count(overrun),
                duration(max_ns)
            );
            return (Outcome::NotHeld, said);
        }
        let (mut outcome, mut said) = match self.p99_ms_max.filter(|_| self.too_slow()) {
            Some(ms) => {
                let p99 = duration(self.latency_ns.p99);
                (Outcome::TooSlow, format!("{name}: p99 {p99}, where the scenario wants at most {ms} ms"))
            }
            None => {
                let (all, unfilled) = (count(self.expected), self.unfilled());
                (Outcome::Clean, format!("{name}: all {all} arrived, once and in order{unfilled}"))
            }
        };
        if verdict == Verdict::Late {
            outcome = outcome.max(Outcome::Late);
            said += &format!(
                "; the generator itself was late with {:.2} % of what it sent, by at most {}: the high percentiles hold that",
                late_share * 100.0,
                duration(max_ns)
            );
        }
        (outcome, said)
    }
}

impl Run {
    /// Says what it is worth, from its loads.
    pub fn judge(&mut self) {
        let mut judged: Vec<_> = self.loads.iter().map(Load::judged).collect();
        judged.extend(self.components.iter().filter_map(|server| server.judged(self.seconds)));
        judged.extend(self.failures.iter().map(|why| (Outcome::NotPlayed, why.clone())));
        // A warning, which makes a run no worse.
        judged
            .extend(self.busiest_thread.iter().filter_map(Busiest::warning).map(|why| (Outcome::Clean, why)));
        self.outcome = judged.iter().map(|(outcome, _)| *outcome).max().unwrap_or(Outcome::Clean);
        self.reasons = judged.into_iter().map(|(_, why)| why).collect();
    }

    /// Reads one that was written before.
    ///
    /// # Errors
    /// A file that cannot be read or that is not the result of a scenario.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let context = || path.display().to_string();
        let bytes = std::fs::metadata(path).with_context(context)?.len();
        ensure!(
            bytes <= FILE_BYTES_MAX,
            "{}: {bytes} bytes, a result has at most {FILE_BYTES_MAX}",
            context()
        );
        let text = std::fs::read_to_string(path).with_context(context)?;
        let not = || format!("{} is not the result of a scenario (loadgen run FILE --json)", context());
        let run: Self = serde_json::from_str(&text).with_context(not)?;
        ensure!(run.format == FORMAT, "{}: format {:?}, not {FORMAT:?}", context(), run.format);
        Ok(run)
    }

    /// It as JSON, as it is written.
    ///
    /// # Errors
    /// None that is known: nothing in it is without a place in JSON.
    pub fn json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string(self)? + "\n")
    }

    /// Writes a `.hgrm` file for each load into a folder.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write_hgrm(&self, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        for load in &self.loads {
            let path = folder.join(format!("{}.hgrm", load.name));
            std::fs::write(&path, load.curve.hgrm().to_string())
                .with_context(|| path.display().to_string())?;
        }
        Ok(())
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} over {:.0} s: {}", self.scenario, self.seconds, self.outcome.said())?;
        for reason in &self.reasons {
            writeln!(f, "  {reason}")?;
        }
        writeln!(
            f,
            "  {:<12}{:>10}{:>12}{:>12}{:>9}{:>9}{:>9}{:>9}",
            "", "sent", "offered", "achieved", "p50", "p99", "p99.9", "max"
        )?;
        for load in &self.loads {
            let told = |of: fn(&Percentiles) -> u64| load.latency_ns.told(of);
            write!(f, "  {:<12}{:>10}", load.name, count(load.sent))?;
            write!(f, "{:>12}{:>12}", rate(load.offered_per_s), rate(load.achieved_per_s))?;
            let (p50, p99) = (told(|latency| latency.p50), told(|latency| latency.p99));
            let (p999, max) = (told(|latency| latency.p999), told(|latency| latency.max));
            writeln!(f, "{p50:>9}{p99:>9}{p999:>9}{max:>9}")?;
        }
        for Event { at_s, what } in &self.events {
            writeln!(f, "  at {at_s:>5.1} s  {what}")?;
        }
        Ok(())
    }
}

impl Outcome {
    /// In a few words.
    #[must_use]
    pub fn said(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Late => "clean, but the generator was late",
            Self::TooSlow => "a limit of the scenario was exceeded",
            Self::NotHeld => "the generator did not hold its schedule",
            Self::NotPlayed => "not played as the scenario has it",
            Self::Lossy => "something was lost or refused",
        }
    }

    /// The exit code that says so.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Clean | Self::Late => 0,
            Self::Lossy => 1,
            Self::NotPlayed => 2,
            Self::NotHeld => 3,
            Self::TooSlow => 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Lag;

    /// A load of which all 10 messages came, 1 ms after they were due, sent by a generator with this lag.
    fn load(lag: Lag, planned: u64) -> Load {
        let mut latencies = crate::recorder::histogram();
        latencies.saturating_record_n(1_000_000, 10);
        Load {
            name: "orders".to_owned(),
            what: String::new(),
            who: String::new(),
            offered_per_s: 10.0,
            achieved_per_s: 10.0,
            planned,
            sent: 10,
            expected: 10,
            received: 10,
            lost: 0,
            open: 0,
            unpaired: 0,
            duplicated: 0,
            out_of_order: 0,
            rejected: 0,
            unsent: 0,
            closed: 0,
            latency_ns: Percentiles::from(&latencies),
            p99_ms_max: None,
            schedule: ScheduleLag::of(&lag, planned),
            curve: Curve::from(&latencies),
            phases: Vec::new(),
            rows: Vec::new(),
        }
    }

    #[test]
    fn a_phase_without_a_load_does_not_tell_of_it() {
        let mut latencies = crate::recorder::histogram();
        latencies.saturating_record(1_000_000);
        let latency_ns = Percentiles::from(&latencies);
        let told = |offered_per_s, achieved_per_s| {
            InPhase { offered_per_s, achieved_per_s, latency_ns }.has_something()
        };
        assert!(!told(0.0, 0.0) && !told(0.0, 0.3), "the last of the phase before");
        assert!(told(10.0, 0.0) && told(0.0, 40.0));
    }

    fn lag(lag_ns: u64) -> Lag {
        let mut lag = Lag::new(1_000);
        lag.sent(10, lag_ns);
        lag
    }

    fn run(loads: Vec<Load>) -> Run {
        let mut run = Run {
            format: FORMAT.to_owned(),
            scenario: "x".to_owned(),
            about: String::new(),
            outcome: Outcome::Clean,
            reasons: Vec::new(),
            seconds: 1.0,
            loads,
            phases: Vec::new(),
            interval_s: 1.0,
            events: Vec::new(),
            failures: Vec::new(),
            components: Vec::new(),
            cpu_s: 0.1,
            busiest_thread: None,
            started_unix_s: 0.0,
            command: String::new(),
            version: String::new(),
            machine: Machine::this(),
            file: String::new(),
        };
        run.judge();
        run
    }

    #[test]
    fn the_worst_of_its_loads_is_what_a_run_is_worth() {
        let good = || load(lag(0), 10);
        let slow = Load { p99_ms_max: Some(0.5), ..good() };
        let mut overrun = Lag::new(1_000);
        overrun.sent(4, 0);
        overrun.sent(6, 9_000_000_000);
        overrun.overran(6);
        let lossy = Load { lost: 1, rejected: 2, ..good() };
        let not_held_and_slow = Load { p99_ms_max: Some(0.5), ..load(overrun, 10) };
        let late_and_slow = Load { p99_ms_max: Some(0.5), ..load(lag(5_000), 10) };
        let cut = Load { closed: 1, ..load(lag(0), 14) };
        for (loads, outcome, code, said) in [
            (vec![good()], Outcome::Clean, 0, "all 10 arrived"),
            (vec![good(), load(lag(5_000), 10)], Outcome::Late, 0, "late with 100.00 %"),
            (vec![load(lag(0), 11), good()], Outcome::NotHeld, 3, "sent 10 of 11"),
            (vec![load(lag(5_000), 10), slow.clone()], Outcome::TooSlow, 4, "at most 0.5 ms"),
            (
                vec![load(overrun, 10)],
                Outcome::NotHeld,
                3,
                "sent 4 of 10 in their time, 6 later, by at most 9.00 s",
            ),
            // A p99 that the generator made itself is no fault of the servers.
            (vec![not_held_and_slow], Outcome::NotHeld, 3, "another rate"),
            (
                vec![late_and_slow],
                Outcome::TooSlow,
                4,
                "at most 0.5 ms; the generator itself was late with 100.00 %",
            ),
            (vec![slow.clone(), load(lag(0), 11)], Outcome::NotHeld, 3, "at most 0.5 ms"),
            (vec![slow, lossy], Outcome::Lossy, 1, "1 lost, 2 refused"),
            (vec![cut], Outcome::Lossy, 1, "1 connections ended, 4 never sent"),
        ] {
            let run = run(loads);
            assert_eq!((run.outcome, run.outcome.code()), (outcome, code), "{run}");
            assert!(run.to_string().contains(said), "{run}");
        }
    }

    #[test]
    fn what_was_not_played_and_memory_that_grows_are_said() {
        let mut failed = run(vec![load(lag(0), 10)]);
        failed.failures.push("at 2.0 s: FAILED: a line is cut: 404".to_owned());
        failed.judge();
        assert_eq!((failed.outcome, failed.outcome.code()), (Outcome::NotPlayed, 2));
        assert!(failed.to_string().contains("a line is cut: 404"), "{failed}");

        // 100 bytes more each second, from 10,000 on: 10,600 behind the middle, 11,000 at the end.
        let server = |most| Server {
            name: "feed".to_owned(),
            conditions: Vec::new(),
            cpu_s: 0.0,
            memory_bytes_max: 0.0,
            memory: (0..=10)
                .map(|second| (f64::from(second), 10_000.0 + 100.0 * f64::from(second)))
                .collect(),
            memory_growth_percent_max: most,
        };
        let grew = server(None).memory_growth_percent(10.0).unwrap();
        assert!((3.7..3.9).contains(&grew), "{grew}");
        for (most, outcome) in
            [(None, Outcome::Clean), (Some(4.0), Outcome::Clean), (Some(3.0), Outcome::TooSlow)]
        {
            let mut run = run(vec![load(lag(0), 10)]);
            (run.seconds, run.components) = (10.0, vec![server(most)]);
            run.judge();
            assert_eq!(run.outcome, outcome, "{run}");
        }
        let unknown = Server { memory: Vec::new(), ..server(Some(1.0)) };
        assert!(unknown.judged(10.0).is_some(), "a limit that cannot be held against anything is not kept");
    }

    #[test]
    fn a_limit_has_its_own_height_in_the_picture() {
        let row = Row { p50: 1_000_000, p99: 1_000_000, max: 2_000_000, ..Row::default() };
        let page = |ms| {
            let load = Load { rows: vec![row], p99_ms_max: Some(ms), ..load(lag(0), 10) };
            crate::scenario::html::page(&run(vec![load]))
        };
        // Seen were 1 to 2 ms: the scale goes on until the limit is on it.
        assert!(page(5_000.0).contains(">10 s</text>"));
        assert!(page(0.05).contains(">10 us</text>"));
        assert!(page(5_000.0).contains("p99 of the whole run: at most 5000 ms"));
    }

    #[test]
    fn what_had_nobody_to_meet_is_told_as_text_as_json_and_on_the_page() {
        let refused = run(vec![Load { rejected: 2, unpaired: 2, ..load(lag(0), 10) }]);
        assert!(refused.to_string().contains("orders: 2 refused, 2 not met"), "{refused}");
        let page = crate::scenario::html::page(&refused);
        assert!(page.contains("<p>10 sent, 2 not met; "), "{page}");
        let json: serde_json::Value = serde_json::from_str(&refused.json().unwrap()).unwrap();
        assert_eq!(json["loads"][0]["unpaired"], 2);
        // Ended before its time, between the two of a pair.
        let ended = run(vec![Load { open: 1, unpaired: 1, ..load(lag(0), 10) }]);
        assert_eq!(ended.outcome, Outcome::Clean);
        assert!(ended.to_string().contains("once and in order, 1 open, 1 not met"), "{ended}");
    }

    #[test]
    fn what_was_written_before_all_keys_were_there_can_still_be_compared() {
        let mut json: serde_json::Value =
            serde_json::from_str(&run(vec![load(lag(0), 10)]).json().unwrap()).unwrap();
        let keys = json["loads"][0].as_object_mut().unwrap();
        for later in ["open", "unpaired", "unsent"] {
            assert!(keys.remove(later).is_some(), "{later}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.json");
        std::fs::write(&path, json.to_string()).unwrap();
        let args = crate::scenario::compare::Args { files: vec![path.clone(), path], html: None };
        assert!(crate::scenario::compare::run(&args).unwrap().contains("orders"));
    }

    #[test]
    fn a_load_that_the_first_run_has_not_is_held_against_nothing() {
        let quotes = |p99: u64| {
            let load = load(lag(0), 10);
            let latency_ns = Percentiles { p99, ..load.latency_ns };
            Load { name: "quotes".to_owned(), latency_ns, ..load }
        };
        let page = |first: Load| {
            let runs = [first, quotes(2_000_000), quotes(4_000_000)].map(|load| run(vec![load]));
            let runs: Vec<_> = ["a", "b", "c"].map(str::to_owned).into_iter().zip(runs).collect();
            crate::scenario::html::compared(&runs)
        };
        let held = page(quotes(2_000_000));
        assert!(held.contains("× 2.00"), "{held}");
        let alone = page(load(lag(0), 10));
        assert!(!alone.contains("× "), "{alone}");
    }

    #[test]
    fn what_was_written_can_be_read_and_other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        std::fs::write(&path, run(vec![load(lag(0), 10)]).json().unwrap()).unwrap();
        let read = Run::read(&path).unwrap();
        assert_eq!((read.loads[0].curve.count(), read.loads[0].latency_ns.count), (10, 10));
        let refused = |text: &str| {
            std::fs::write(&path, text).unwrap();
            format!("{:#}", Run::read(&path).unwrap_err())
        };
        assert!(refused("{\"scenario\": \"orders\"}").contains("not the result of a scenario"));
        let other = serde_json::to_string(&Run { format: "tongdao-run-0".to_owned(), ..read }).unwrap();
        assert!(refused(&other).contains("tongdao-run-0"));
    }
}
