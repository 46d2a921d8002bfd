//! The result of a run: a table for people, JSON for programs.
//!
//! The keys `scenario, seconds, offered_per_s, achieved_per_s, sent, expected, received, lost, duplicated, out_of_order,
//! rejected` and `latency_ns: {p50, p90, p99, p999, max, mean, count}` stay as they are; others may come.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::Path;
use std::{fs, io};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::curve::Curve;
use crate::figures::{count, duration, rate};
use crate::ledger::Tally;
use crate::machine::{Busiest, Machine};
use crate::recorder::LATENCY_MAX_NS;
use crate::schedule::{Lag, Verdict};

/// A latency distribution, nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Median.
    pub p50: u64,
    /// 90 %.
    pub p90: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p999: u64,
    /// The largest.
    pub max: u64,
    /// Mean.
    pub mean: f64,
    /// How many there are.
    pub count: u64,
    /// How many of these were as long as the scale goes, ten minutes, or longer: they count as that long.
    #[serde(default)]
    pub overflow: u64,
}

impl Percentiles {
    /// One of them, for people: `-` where nothing was measured.
    #[must_use]
    pub fn told(&self, of: fn(&Self) -> u64) -> String {
        if self.count == 0 { "-".to_owned() } else { duration(of(self)) }
    }
}

impl From<&Histogram<u64>> for Percentiles {
    fn from(histogram: &Histogram<u64>) -> Self {
        // Quantiles as they are: 99.9 / 100 is a little more than 0.999, and the rank one too high.
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max(),
            mean: histogram.mean(),
            count: histogram.len(),
            overflow: histogram.count_between(LATENCY_MAX_NS, u64::MAX),
        }
    }
}

/// How even the connections were served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Connections.
    pub connections: u64,
    /// Messages of the connection that received fewest.
    pub received_min: u64,
    /// Messages of the connection that received most.
    pub received_max: u64,
    /// Mean latency of the connection with the lowest, nanoseconds.
    pub mean_ns_min: u64,
    /// Mean latency of the connection with the highest, nanoseconds.
    pub mean_ns_max: u64,
    /// Connections that closed before the end.
    pub closed: u64,
}

/// What one connection received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionTotal {
    /// Messages.
    pub received: u64,
    /// Sum of their latencies, nanoseconds.
    pub latency_sum_ns: u128,
    /// It closed before the end.
    pub closed: bool,
}

impl Spread {
    /// Over these connections.
    #[must_use]
    pub fn of(connections: &[ConnectionTotal]) -> Self {
        let received = || connections.iter().map(|connection| connection.received);
        let mean_ns = || {
            let any = connections.iter().filter(|connection| connection.received > 0);
            any.map(|connection| (connection.latency_sum_ns / u128::from(connection.received)) as u64)
        };
        Self {
            connections: connections.len() as u64,
            received_min: received().min().unwrap_or(0),
            received_max: received().max().unwrap_or(0),
            mean_ns_min: mean_ns().min().unwrap_or(0),
            mean_ns_max: mean_ns().max().unwrap_or(0),
            closed: connections.iter().filter(|connection| connection.closed).count() as u64,
        }
    }
}

/// The generator's own lateness.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScheduleLag {
    /// Messages it sent late.
    pub late: u64,
    /// Share of messages that were late.
    pub late_share: f64,
    /// How late the latest was, nanoseconds.
    pub max_ns: u64,
    /// How often it fell behind.
    pub spells: u64,
    /// Messages it sent when all of their phase should have been sent.
    #[serde(default)]
    pub overrun: u64,
    /// What is to be said of it.
    pub verdict: Verdict,
}

impl ScheduleLag {
    /// Of a generator that was to send `planned` messages.
    #[must_use]
    pub fn of(lag: &Lag, planned: u64) -> Self {
        Self {
            late: lag.late,
            late_share: lag.late_share(),
            max_ns: lag.max_ns,
            spells: lag.spells,
            overrun: lag.overrun,
            verdict: lag.verdict(planned),
        }
    }
}

/// Something that happened on the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Seconds after the start.
    pub at_s: f64,
    /// What.
    pub what: String,
}

/// The result of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The subcommand.
    pub scenario: String,
    /// How long messages were sent, seconds.
    pub seconds: f64,
    /// The schedule's rate.
    pub offered_per_s: f64,
    /// The rate at which messages were served to the end.
    pub achieved_per_s: f64,
    /// Messages sent.
    pub sent: u64,
    /// Messages that should have arrived, at all receivers together.
    pub expected: u64,
    /// Different messages that arrived.
    pub received: u64,
    /// Messages that never arrived.
    pub lost: u64,
    /// Orders that were accepted and not filled where others trade too: they stand in the book, and nothing of them is lost.
    pub open: u64,
    /// Orders that were accepted and not filled, as there was nobody to meet: the other of the pair was refused, not answered or never sent,
    /// or the session of one of both has ended.
    pub unpaired: u64,
    /// Arrivals of what was there before.
    pub duplicated: u64,
    /// Arrivals after a later one.
    pub out_of_order: u64,
    /// Orders that were refused.
    pub rejected: u64,
    /// Why orders were refused, and how often; of each thread's sessions the first few reasons.
    pub refusals: BTreeMap<String, u64>,
    /// Orders that were due and not sent, as their session had ended: they are among the lost.
    pub unsent: u64,
    /// From the time a message was due to its arrival.
    pub latency_ns: Percentiles,
    /// Other latencies, by name.
    pub latencies_ns: BTreeMap<&'static str, Percentiles>,
    /// Whole distributions, by name; not in the JSON, where the percentiles stand for them.
    #[serde(skip)]
    pub curves: BTreeMap<&'static str, Curve>,
    /// Other figures, by name.
    pub figures: BTreeMap<&'static str, f64>,
    /// How even the connections were served.
    pub connections: Spread,
    /// The generator's own lateness.
    pub schedule: ScheduleLag,
    /// What happened on the way.
    pub events: Vec<Event>,
    /// CPU time of this process, seconds: the generator's, and that of the servers that it runs itself.
    pub cpu_s: f64,
    /// The generator's thread that had most to do.
    pub busiest_thread: Option<Busiest>,
    /// When it began, seconds since 1970.
    pub started_unix_s: f64,
    /// The command.
    pub command: String,
    /// Of the generator.
    pub version: &'static str,
    /// On what.
    pub machine: Machine,
}

impl Report {
    /// A result with nothing in it yet, but on which machine and by which command it is made.
    #[must_use]
    pub fn new(scenario: &str, started_unix_s: f64) -> Self {
        Self {
            scenario: scenario.to_string(),
            seconds: 0.0,
            offered_per_s: 0.0,
            achieved_per_s: 0.0,
            sent: 0,
            expected: 0,
            received: 0,
            lost: 0,
            open: 0,
            unpaired: 0,
            duplicated: 0,
            out_of_order: 0,
            rejected: 0,
            refusals: BTreeMap::new(),
            unsent: 0,
            latency_ns: Percentiles::default(),
            latencies_ns: BTreeMap::new(),
            curves: BTreeMap::new(),
            figures: BTreeMap::new(),
            connections: Spread::default(),
            schedule: ScheduleLag::of(&Lag::new(0), 0),
            events: Vec::new(),
            cpu_s: 0.0,
            busiest_thread: None,
            started_unix_s,
            command: std::env::args().collect::<Vec<_>>().join(" "),
            version: env!("CARGO_PKG_VERSION"),
            machine: Machine::this(),
        }
    }

    /// The latencies as a table.
    #[must_use]
    pub fn latencies(&self) -> impl fmt::Display + '_ {
        struct Latencies<'a>(&'a Report);
        impl fmt::Display for Latencies<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.latency_table(f)
            }
        }
        Latencies(self)
    }

    /// Takes over the account of the receivers.
    pub fn account(&mut self, tally: Tally) {
        self.expected = tally.expected;
        self.received = tally.received;
        self.lost = tally.lost;
        self.duplicated = tally.duplicated;
        self.out_of_order = tally.out_of_order;
    }

    /// Everything arrived once and in order, nothing was refused, and no connection ended before its time.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let Self { lost, duplicated, out_of_order, rejected, connections, .. } = self;
        lost + duplicated + out_of_order + rejected + connections.closed == 0
    }

    /// The generator sent what it should have.
    #[must_use]
    pub fn sent_as_planned(&self) -> bool {
        self.schedule.verdict != Verdict::NotHeld
    }

    /// Writes the JSON.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write_json(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(path, text)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} over {:.1} s", self.scenario, self.seconds)?;
        let offered = if self.offered_per_s > 0.0 {
            rate(self.offered_per_s)
        } else {
            "as fast as it goes".to_string()
        };
        row(f, "rate", &format!("{offered} offered, {} achieved", rate(self.achieved_per_s)))?;
        row(
            f,
            "messages",
            &format!(
                "{} sent, {} expected, {} received",
                count(self.sent),
                count(self.expected),
                count(self.received)
            ),
        )?;
        row(f, "lost", &count(self.lost))?;
        if self.open > 0 {
            row(
                f,
                "open",
                &format!(
                    "{}, accepted and not filled: others trade in these books too, or orders of an earlier run rest in them",
                    count(self.open)
                ),
            )?;
        }
        if self.unpaired > 0 {
            let why =
                "accepted, and their other half was refused or not sent, or a session of the pair had ended";
            row(f, "not met", &format!("{}, {why}", count(self.unpaired)))?;
        }
        row(f, "duplicated", &count(self.duplicated))?;
        row(f, "out of order", &count(self.out_of_order))?;
        for (name, number) in [("rejected", self.rejected), ("never sent", self.unsent)] {
            if number > 0 {
                row(f, name, &count(number))?;
            }
        }
        for (why, times) in &self.refusals {
            row(f, "refused", &format!("{}: {why}", count(*times)))?;
        }
        self.connections_row(f)?;
        self.schedule_row(f)?;
        for (name, value) in self.figures.iter().filter(|(_, value)| **value != 0.0) {
            row(f, &name.replace('_', " "), &figure(*value))?;
        }
        row(f, "CPU", &format!("{:.1} s, this process", self.cpu_s))?;
        self.latency_table(f)?;
        if let Some(warning) = self.busiest_thread.as_ref().and_then(Busiest::warning) {
            writeln!(f, "  {warning}")?;
        }
        for event in &self.events {
            writeln!(f, "  at {:>5.1} s  {}", event.at_s, event.what)?;
        }
        Ok(())
    }
}

impl Report {
    fn connections_row(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spread = &self.connections;
        // Of nothing there is no mean.
        let mean = |ns| if ns == 0 { "-".to_owned() } else { duration(ns) };
        let mut text = format!(
            "{}, each received {} to {}, mean latency {} to {}",
            count(spread.connections),
            count(spread.received_min),
            count(spread.received_max),
            mean(spread.mean_ns_min),
            mean(spread.mean_ns_max)
        );
        if spread.closed > 0 {
            write!(text, "; {} CLOSED BEFORE THE END", count(spread.closed))?;
        }
        row(f, "connections", &text)
    }

    fn schedule_row(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schedule = &self.schedule;
        let late = format!("at most {} behind", duration(schedule.max_ns));
        let share = schedule.late_share * 100.0;
        let text = match schedule.verdict {
            Verdict::Held => format!("held by the generator, {late}"),
            Verdict::Late => format!(
                "held, but the generator was LATE with {share:.2} % of the messages in {} spells, {late}: that is inside the latencies",
                schedule.spells
            ),
            Verdict::NotHeld => format!(
                "NOT HELD: the generator did not send what it should have in its time, {} went out later, {late}",
                count(schedule.overrun)
            ),
        };
        row(f, "schedule", &text)
    }

    fn latency_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["p50", "p90", "p99", "p99.9", "max", "mean"];
        write!(f, "  {:<15}", "latency")?;
        heads.iter().try_for_each(|head| write!(f, "{head:>9}"))?;
        writeln!(f, "{:>11}", "count")?;
        let one = self.latencies_ns.is_empty().then_some(("since due", &self.latency_ns));
        for (name, latency) in
            one.into_iter().chain(self.latencies_ns.iter().map(|(name, latency)| (*name, latency)))
        {
            let columns: [fn(&Percentiles) -> u64; 6] = [
                |latency| latency.p50,
                |latency| latency.p90,
                |latency| latency.p99,
                |latency| latency.p999,
                |latency| latency.max,
                |latency| latency.mean as u64,
            ];
            write!(f, "    {name:<13}")?;
            for column in columns {
                write!(f, "{:>9}", latency.told(column))?;
            }
            writeln!(f, "{:>11}", count(latency.count))?;
            if latency.overflow > 0 {
                writeln!(
                    f,
                    "    {} of these took ten minutes or longer, and count as that",
                    count(latency.overflow)
                )?;
            }
        }
        Ok(())
    }
}

fn figure(value: f64) -> String {
    if value.fract() == 0.0 && value >= 0.0 { count(value as u64) } else { format!("{value:.2}") }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    writeln!(f, "  {name:<23}{value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stable_keys_are_there() {
        let mut histogram = crate::recorder::histogram();
        for latency_ns in 1..=1_000 {
            histogram.saturating_record(latency_ns * 1_000);
        }
        let mut report = Report::new("quotes", 0.0);
        report.latency_ns = Percentiles::from(&histogram);
        report.account(Tally { expected: 5, received: 4, lost: 1, duplicated: 2, out_of_order: 3 });
        assert!(!report.is_clean());
        let json: serde_json::Value = serde_json::to_value(&report).unwrap();
        let integers =
            ["sent", "expected", "received", "lost", "duplicated", "out_of_order", "rejected", "unsent"];
        assert!(integers.iter().all(|key| json[key].is_u64()), "{json}");
        assert!(
            ["seconds", "offered_per_s", "achieved_per_s"].iter().all(|key| json[key].is_f64()),
            "{json}"
        );
        assert_eq!(json["scenario"], "quotes");
        assert_eq!((json["lost"].as_u64(), json["out_of_order"].as_u64()), (Some(1), Some(3)));
        let latency = &json["latency_ns"];
        let near = |key: &str, wanted: f64| (latency[key].as_f64().unwrap() - wanted).abs() < wanted / 500.0;
        assert!(
            near("p50", 500e3) && near("p90", 900e3) && near("p99", 990e3) && near("p999", 999e3),
            "{latency}"
        );
        assert!(near("max", 1e6) && near("mean", 500.5e3), "{latency}");
        assert_eq!(latency["count"], 1_000);
    }

    #[test]
    fn a_percentile_is_of_its_rank_and_what_is_off_the_scale_is_counted() {
        let mut histogram = crate::recorder::histogram();
        histogram.saturating_record_n(1_000, 999);
        histogram.saturating_record(u64::MAX);
        let latency = Percentiles::from(&histogram);
        assert!(latency.p999 < 1_100, "the 999th of a thousand: {latency:?}");
        assert_eq!((latency.count, latency.overflow), (1_000, 1));
        histogram.saturating_record(LATENCY_MAX_NS / 2);
        assert_eq!(Percentiles::from(&histogram).overflow, 1);
    }

    #[test]
    fn what_was_not_measured_is_no_time() {
        let mut histogram = crate::recorder::histogram();
        assert_eq!(Percentiles::from(&histogram).told(|latency| latency.p50), "-");
        histogram.saturating_record(812);
        assert_eq!(Percentiles::from(&histogram).told(|latency| latency.p50), "812 ns");
        let text = Report::new("orders", 0.0).to_string();
        assert!(text.contains("mean latency - to -"), "{text}");
        assert!(text.lines().any(|line| line.contains("since due") && !line.contains("ns")), "{text}");
    }

    #[test]
    fn why_orders_were_refused_is_in_the_result() {
        let refusals = [("no such security".to_owned(), 1), ("price".to_owned(), 1_200)].into();
        let report = Report { rejected: 1_201, refusals, ..Report::new("orders", 0.0) };
        let text = report.to_string();
        assert!(text.contains("1: no such security") && text.contains("1,200: price"), "{text}");
        assert_eq!(serde_json::to_value(&report).unwrap()["refusals"]["price"], 1_200);
    }

    #[test]
    fn open_orders_are_told_with_both_causes() {
        let report = Report { open: 2, ..Report::new("orders", 0.0) };
        let text = report.to_string();
        assert!(text.contains("2, accepted and not filled: others trade in these books too"), "{text}");
        assert!(text.contains("or orders of an earlier run rest in them"), "{text}");
    }

    #[test]
    fn a_refusal_or_a_connection_that_ended_is_not_clean() {
        let report = || Report::new("orders", 0.0);
        assert!(report().is_clean());
        assert!(!Report { rejected: 1, ..report() }.is_clean());
        let connections = Spread { closed: 1, ..Spread::default() };
        assert!(!Report { connections, ..report() }.is_clean());
    }

    #[test]
    fn the_spread_is_that_of_the_extremes() {
        let connection =
            |received, sum| ConnectionTotal { received, latency_sum_ns: sum, closed: received == 0 };
        let spread = Spread::of(&[connection(10, 1_000), connection(5, 100), connection(0, 0)]);
        assert_eq!((spread.received_min, spread.received_max, spread.closed), (0, 10, 1));
        assert_eq!((spread.mean_ns_min, spread.mean_ns_max), (20, 100));
    }

    #[test]
    fn a_generator_that_fell_behind_is_said_aloud() {
        let mut report = Report::new("quotes", 0.0);
        let mut lag = Lag::new(1_000);
        lag.sent(10, 5_000_000);
        report.schedule = ScheduleLag::of(&lag, 10);
        let text = report.to_string();
        assert!(
            text.contains("LATE with 100.00 % of the messages in 1 spells, at most 5.00 ms behind"),
            "{text}"
        );
        report.schedule = ScheduleLag::of(&lag, 11);
        assert!(!report.sent_as_planned());
        assert!(report.to_string().contains("NOT HELD"), "{report}");
    }
}
