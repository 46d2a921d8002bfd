//! What came of a run: figures for people and for programs.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::FaultKind;
use crate::figures::{count, duration, rate};
use crate::ledger::Tally;
use crate::machine::Machine;
use crate::report::{Percentiles, ScheduleLag};
use crate::schedule::Verdict;

/// A fault of the primary, and what it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) kind: FaultKind,
    /// When it was made, by the run's clock.
    pub(super) at_ns: u64,
    /// How long nothing came though something was due, at the subscriber that it was longest for.
    pub(super) gap_ns: u64,
    /// The other source brought most of what came meanwhile.
    pub(super) taken_over: bool,
}

/// How long the gaps were, microseconds. Exact: of so few none is rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GapTimes {
    /// Median.
    pub p50: u64,
    /// 90 %.
    pub p90: u64,
    /// 99 %.
    pub p99: u64,
    /// The longest.
    pub max: u64,
    /// How many there were.
    pub count: u64,
}

impl GapTimes {
    fn of_ns(mut gaps_ns: Vec<u64>) -> Self {
        gaps_ns.sort_unstable();
        let at = |percent: usize| {
            let rank = (gaps_ns.len() * percent).div_ceil(100);
            gaps_ns.get(rank.saturating_sub(1)).map_or(0, |ns| ns / 1_000)
        };
        Self { p50: at(50), p90: at(90), p99: at(99), max: at(100), count: gaps_ns.len() as u64 }
    }
}

/// One mode of the feed.
#[derive(Clone, Debug, Serialize)]
pub struct OfMode {
    /// Messages sent by each source.
    pub sent: u64,
    /// What should have come, over all subscribers.
    pub expected: u64,
    /// What came.
    pub received: u64,
    /// What never came.
    pub lost: u64,
    /// What came again.
    pub duplicated: u64,
    /// What came after a higher number.
    pub out_of_order: u64,
    /// What came and is not what was sent.
    pub altered: u64,
    /// Numbers that the feed said would not come.
    pub noticed: u64,
    /// Faults during which the other source did not bring most of what came.
    pub not_taken_over: u64,
    /// The gaps of each kind of fault, and of all.
    pub gap_us: BTreeMap<&'static str, GapTimes>,
    /// The longest gap before the first fault, microseconds.
    pub gap_before_us: u64,
    /// Since due, of all messages.
    pub latency_ns: Percentiles,
    /// The generator's own lateness.
    pub schedule: ScheduleLag,
}

/// What is known of a mode at its end.
pub(super) struct Story {
    pub(super) sent: u64,
    pub(super) tally: Tally,
    pub(super) altered: u64,
    pub(super) noticed: u64,
    pub(super) made: Vec<Made>,
    pub(super) gap_before_ns: u64,
    pub(super) latency_ns: Percentiles,
    pub(super) schedule: ScheduleLag,
}

impl From<Story> for OfMode {
    fn from(story: Story) -> Self {
        let Tally { expected, received, lost, duplicated, out_of_order } = story.tally;
        let mut gaps_ns: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for made in &story.made {
            for name in ["all", made.kind.name()] {
                gaps_ns.entry(name).or_default().push(made.gap_ns);
            }
        }
        Self {
            sent: story.sent,
            expected,
            received,
            lost,
            duplicated,
            out_of_order,
            altered: story.altered,
            noticed: story.noticed,
            not_taken_over: story.made.iter().filter(|made| !made.taken_over).count() as u64,
            gap_us: gaps_ns.into_iter().map(|(name, gaps_ns)| (name, GapTimes::of_ns(gaps_ns))).collect(),
            gap_before_us: story.gap_before_ns / 1_000,
            latency_ns: story.latency_ns,
            schedule: story.schedule,
        }
    }
}

impl OfMode {
    /// Everything came once, in order and as it was sent, and the other source stood in each time.
    #[must_use]
    pub fn held(&self) -> bool {
        let Self { lost, duplicated, out_of_order, altered, noticed, not_taken_over, .. } = self;
        [lost, duplicated, out_of_order, altered, noticed, not_taken_over]
            .into_iter()
            .all(|count| *count == 0)
    }
}

/// What came of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Repeats the faults.
    pub seed: u64,
    /// Messages a second of each source.
    pub rate_per_s: u64,
    /// How long each fault lasted, milliseconds.
    pub outage_ms: u64,
    /// Subscribers.
    pub subscribers: u64,
    /// By the feed's mode.
    pub modes: BTreeMap<&'static str, OfMode>,
    /// What it ran on.
    pub machine: Machine,
}

impl Outcome {
    /// All that must hold did.
    #[must_use]
    pub fn held(&self) -> bool {
        self.modes.values().all(OfMode::held)
    }

    /// The generator sent what it should have.
    #[must_use]
    pub fn sent_as_planned(&self) -> bool {
        self.modes.values().all(|mode| mode.schedule.verdict != Verdict::NotHeld)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, rate_per_s, outage_ms, subscribers, modes, .. } = self;
        let offered = rate(*rate_per_s as f64);
        writeln!(f, "failover, seed {seed}: {offered}, {subscribers} subscribers, {outage_ms} ms each")?;
        for (name, mode) in modes {
            let verdict = if mode.held() { "held" } else { "BROKEN" };
            writeln!(
                f,
                "  {name:<11} {verdict}: {} sent, {} expected, {} received, {} lost, {} doubled, {} out of order, {} altered, {} announced as lost, {} faults not taken over",
                count(mode.sent),
                count(mode.expected),
                count(mode.received),
                mode.lost,
                mode.duplicated,
                mode.out_of_order,
                mode.altered,
                mode.noticed,
                mode.not_taken_over
            )?;
            writeln!(f, "    {:<12}{:>8}{:>9}{:>9}{:>9}{:>9}", "gap", "faults", "p50", "p90", "p99", "max")?;
            for (kind, gap) in &mode.gap_us {
                write!(f, "    {kind:<12}{:>8}", gap.count)?;
                for us in [gap.p50, gap.p90, gap.p99, gap.max] {
                    write!(f, "{:>9}", duration(us * 1_000))?;
                }
                writeln!(f)?;
            }
            writeln!(f, "    longest before the first fault: {}", duration(mode.gap_before_us * 1_000))?;
            let lag = &mode.schedule;
            let late = lag.late_share * 100.0;
            let (most, verdict) = (duration(lag.max_ns), lag.verdict);
            writeln!(f, "    schedule: {verdict:?}, late with {late:.2} % of the messages, at most {most}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Lag;

    fn story(made: Vec<Made>) -> Story {
        Story {
            sent: 10,
            tally: Tally { expected: 10, received: 10, ..Tally::default() },
            altered: 0,
            noticed: 0,
            made,
            gap_before_ns: 3_000,
            latency_ns: Percentiles::default(),
            schedule: ScheduleLag::of(&Lag::new(0), 0),
        }
    }

    fn made(kind: FaultKind, gap_ns: u64) -> Made {
        Made { kind, at_ns: 0, gap_ns, taken_over: true }
    }

    #[test]
    fn gaps_are_told_by_kind_and_of_all() {
        let faults = (1..=100).map(|ms| made(FaultKind::ALL[ms % 4], ms as u64 * 1_000_000)).collect();
        let mode = OfMode::from(story(faults));
        assert_eq!(
            mode.gap_us["all"],
            GapTimes { p50: 50_000, p90: 90_000, p99: 99_000, max: 100_000, count: 100 }
        );
        assert_eq!((mode.gap_us["killed"].count, mode.gap_us["killed"].max), (25, 100_000));
        assert_eq!((mode.gap_before_us, GapTimes::of_ns(Vec::new())), (3, GapTimes::default()));
        assert!(mode.held());
    }

    #[test]
    fn whatever_is_not_as_it_should_be_is_a_break() {
        let broken: [fn(&mut Story); 6] = [
            |story| story.tally.lost = 1,
            |story| story.tally.duplicated = 1,
            |story| story.tally.out_of_order = 1,
            |story| story.altered = 1,
            |story| story.noticed = 1,
            |story| story.made[0].taken_over = false,
        ];
        for break_it in broken {
            let mut story = story(vec![made(FaultKind::Silent, 1)]);
            break_it(&mut story);
            assert!(!OfMode::from(story).held());
        }
    }
}
