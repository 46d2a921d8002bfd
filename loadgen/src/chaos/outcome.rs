//! What a run came to: a table for people, JSON for programs.
//!
//! The JSON has these keys, and no others: `seed, orders, acknowledged, lost, duplicated, report_gaps, faults: {line_cut,
//! gateway_killed, core_killed, slb_drain}, recovery_ms: {p50, p99, max}`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::{fs, io};

use serde::Serialize;

use super::checker::{Account, Findings};
use super::evidence::{History, News};
use super::faults::{Fault, KINDS};
use super::mix::{Mix, Request};
use crate::figures::{count, duration};
use crate::house::Kind;
use crate::schedule::Schedule;

const NS_PER_MS: u64 = 1_000_000;
const NS_PER_S: f64 = 1e9;
/// Breaks that are told one by one.
const TOLD_MAX: usize = 20;

/// A fault that was made.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) fault: Fault,
    /// By the run's clock.
    pub(super) at_ns: u64,
    pub(super) until_ns: u64,
}

/// How long it took until every session had an acceptance again.
///
/// For each session: from the fault to the first acceptance of an order that was due after the fault, at the core that
/// the fault concerned (`None`: at either). For a fault: the longest of these. A session that had no such order any more is
/// left out.
pub(super) fn recovery_ns(
    at_ns: u64,
    core: Option<Kind>,
    mix: &Mix,
    schedule: Schedule,
    histories: &[History],
) -> Option<u64> {
    let first = |history: &History| {
        let accepted = history
            .reports
            .iter()
            .filter(|received| matches!(received.report.news, News::Accepted(_)) && received.at_ns >= at_ns);
        let mut after = accepted.filter(|received| {
            let order = mix.request(&received.report.order).map(Request::order);
            order.is_some_and(|order| {
                schedule.due_ns(order) >= at_ns && core.is_none_or(|core| core == mix.core(order))
            })
        });
        after.next().map(|received| received.at_ns - at_ns)
    };
    histories.iter().filter_map(first).max()
}

/// Percentiles of a few values, by nearest rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Recovery {
    /// Median.
    pub p50: u64,
    /// 99 %.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

impl Recovery {
    /// Of these times.
    pub(super) fn of_ns(mut times_ns: Vec<u64>) -> Self {
        times_ns.sort_unstable();
        let ms = |percent: usize| {
            let rank = (times_ns.len() * percent).div_ceil(100).max(1) - 1;
            times_ns.get(rank).map_or(0, |ns| ns.div_ceil(NS_PER_MS))
        };
        Self { p50: ms(50), p99: ms(99), max: ms(100) }
    }
}

/// The result, as JSON has it.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Repeats the orders and the faults.
    pub seed: u64,
    /// Orders that clients sent.
    pub orders: u64,
    /// Orders that clients were told of that the core has them.
    pub acknowledged: u64,
    /// Orders not sent, not answered, not come to their end, or not where they must be.
    pub lost: u64,
    /// Orders and reports that are there twice.
    pub duplicated: u64,
    /// Reports that were missed, or came out of order.
    pub report_gaps: u64,
    /// Faults made, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Until every session had an acceptance again, over the faults, milliseconds.
    pub recovery_ms: Recovery,
    /// What else is to be told.
    #[serde(skip)]
    pub(super) story: Story,
}

/// What a person is told beside the figures of the JSON.
#[derive(Clone, Debug, Default)]
pub(super) struct Story {
    pub(super) findings: Findings,
    /// What broke beside what the checker found: servers that ended by themselves, say.
    pub(super) mishaps: Vec<String>,
    pub(super) seconds: f64,
    pub(super) start_ns: u64,
    pub(super) faults: Vec<(Made, Option<u64>)>,
    pub(super) disconnects: u64,
    pub(super) sent_again: u64,
    pub(super) unanswered: u64,
    pub(super) refusals: Vec<(String, u64)>,
    /// Records of all audits.
    pub(super) audited: u64,
}

impl Outcome {
    /// Of a run.
    pub(super) fn new(seed: u64, story: Story) -> Self {
        let of = |kind: usize| story.faults.iter().filter(|(made, _)| made.fault.kind() == kind).count();
        let findings = &story.findings;
        let times_ns = story.faults.iter().filter_map(|(_, recovery_ns)| *recovery_ns).collect();
        Self {
            seed,
            orders: findings.orders,
            acknowledged: findings.acknowledged,
            lost: findings.count(Account::Lost),
            duplicated: findings.count(Account::Duplicated),
            report_gaps: findings.count(Account::ReportGap),
            faults: KINDS.iter().enumerate().map(|(kind, name)| (*name, of(kind) as u64)).collect(),
            recovery_ms: Recovery::of_ns(times_ns),
            story,
        }
    }

    /// All invariants held.
    #[must_use]
    pub fn held(&self) -> bool {
        self.story.findings.breaks.is_empty() && self.story.mishaps.is_empty()
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

fn row(f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    writeln!(f, "  {name:<23}{value}")
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Story { findings, seconds, start_ns, faults, audited, .. } = &self.story;
        writeln!(f, "chaos over {seconds:.1} s, seed {}", self.seed)?;
        row(f, "orders", &format!("{} sent, {} acknowledged", count(self.orders), count(self.acknowledged)))?;
        row(f, "reports at the cores", &count(findings.reports))?;
        let unwritten = match findings.requests_unwritten {
            0 => String::new(),
            some => format!(", {} requests were not written when their gateway was killed", count(some)),
        };
        row(f, "audit records", &format!("{}{unwritten}", count(*audited)))?;
        row(f, "lost", &count(self.lost))?;
        row(f, "duplicated", &count(self.duplicated))?;
        row(f, "report gaps", &count(self.report_gaps))?;
        row(f, "other breaks", &count(findings.count(Account::Other) + self.story.mishaps.len() as u64))?;
        let again = format!(
            "{} after {} disconnects, {} not answered in time, {} refused by the core as known",
            count(self.story.sent_again),
            count(self.story.disconnects),
            count(self.story.unanswered),
            count(findings.refused_again)
        );
        row(f, "sent again", &again)?;
        for (why, times) in &self.story.refusals {
            row(f, "refused, tried again", &format!("{}: {why}", count(*times)))?;
        }
        let Recovery { p50, p99, max } = self.recovery_ms;
        let each: Vec<String> =
            KINDS.iter().map(|kind| format!("{} {}", self.faults[kind], kind.replace('_', " "))).collect();
        row(f, "faults", &each.join(", "))?;
        row(f, "recovery", &format!("p50 {p50} ms, p99 {p99} ms, max {max} ms"))?;
        for (made, recovery_ns) in faults {
            let at_s = made.at_ns.saturating_sub(*start_ns) as f64 / NS_PER_S;
            let recovery = recovery_ns
                .map_or("no order after it".to_string(), |ns| format!("recovered in {}", duration(ns)));
            let lasted = duration(made.until_ns.saturating_sub(made.at_ns));
            writeln!(f, "  at {at_s:>5.1} s  {} for {lasted}; {recovery}", made.fault)?;
        }
        self.verdict(f)
    }
}

impl Outcome {
    fn verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.held() {
            return writeln!(
                f,
                "  Every order exactly once, and to its end: at its client, at its core, in the audit. No report lost, doubled or out of order."
            );
        }
        writeln!(f, "  BROKEN:")?;
        self.story.mishaps.iter().try_for_each(|mishap| writeln!(f, "    {mishap}"))?;
        let breaks = &self.story.findings.breaks;
        breaks.iter().take(TOLD_MAX).try_for_each(|broken| writeln!(f, "    {broken}"))?;
        match breaks.len().checked_sub(TOLD_MAX) {
            Some(more @ 1..) => writeln!(f, "    and {} more", count(more as u64)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::checker::{self, Break};
    use super::super::evidence::Received;
    use super::super::mix;
    use super::*;

    #[test]
    fn the_keys_are_these_and_no_others() {
        let made = Made { fault: Fault::GatewayKilled { gateway: 1 }, at_ns: 5, until_ns: 9 };
        let story = Story { faults: vec![(made, Some(1_500_000))], ..Story::default() };
        let json = serde_json::to_value(Outcome::new(7, story)).unwrap();
        let expected = serde_json::json!({
            "seed": 7, "orders": 0, "acknowledged": 0, "lost": 0, "duplicated": 0, "report_gaps": 0,
            "faults": { "line_cut": 0, "gateway_killed": 1, "core_killed": 0, "slb_drain": 0 },
            "recovery_ms": { "p50": 2, "p99": 2, "max": 2 },
        });
        assert_eq!(json, expected);
    }

    /// Orders are due every millisecond from 0; those of session `n` are `n`, `n + 4` and so on.
    #[test]
    fn a_fault_is_over_when_every_session_has_a_new_acceptance() {
        let (mix, schedule) = (mix::example(5), Schedule::new(0, 1_000, 1_000));
        let accepted = |order: u64, at_ms: u64| Received {
            report: checker::example(&mix, order),
            at_ns: at_ms * NS_PER_MS,
        };
        let history = |session, reports| History { session, reports, ..History::default() };
        let histories = [
            // One that was due before the fault comes late and does not count.
            history(0, vec![accepted(0, 1), accepted(8, 300), accepted(400, 410), accepted(404, 420)]),
            history(1, vec![accepted(401, 480), accepted(13, 490)]),
            history(2, Vec::new()),
        ];
        let recovery_ms = |fault| {
            let made = Made { fault, at_ns: 100 * NS_PER_MS, until_ns: 200 * NS_PER_MS };
            recovery_ns(made.at_ns, made.fault.core(), &mix, schedule, &histories).map(|ns| ns / NS_PER_MS)
        };
        assert_eq!(recovery_ms(Fault::GatewayKilled { gateway: 0 }), Some(380));
        // The orders 400 and 401 are of one pair and go to one core.
        let core = mix.core(400);
        let other = Kind::ALL.into_iter().find(|kind| *kind != core).unwrap();
        assert_eq!(recovery_ms(Fault::CoreKilled { core }), Some(380));
        let elsewhere = (mix.core(404) == other).then_some(320);
        assert_eq!(recovery_ms(Fault::CoreKilled { core: other }), elsewhere);
    }

    #[test]
    fn percentiles_are_of_what_there_is() {
        assert_eq!(Recovery::of_ns(Vec::new()), Recovery::default());
        let times = (1..=200).rev().map(|ms| ms * NS_PER_MS).collect();
        assert_eq!(Recovery::of_ns(times), Recovery { p50: 100, p99: 198, max: 200 });
    }

    #[test]
    fn what_broke_is_said_and_counted() {
        let mut story = Story::default();
        assert!(Outcome::new(1, story.clone()).held());
        story.findings.breaks = (0..30).map(|order| Break::NotAnswered { order }).collect();
        let outcome = Outcome::new(1, story);
        let text = outcome.to_string();
        assert!(!outcome.held() && outcome.lost == 30);
        assert!(text.contains("order 3 was never answered") && text.contains("and 10 more"), "{text}");
        let crashed = Story { mishaps: vec!["slb ended by itself".to_string()], ..Story::default() };
        assert!(!Outcome::new(1, crashed).held());
    }
}
