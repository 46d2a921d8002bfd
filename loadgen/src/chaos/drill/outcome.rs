//! What a drill came to: a table for people, JSON for programs.

use std::fmt;

use serde::Serialize;

use super::super::checker::{Account as Of, Findings};
use super::super::faults::GATEWAYS as ZONES;
use super::readers::Account;
use super::{Args, How};
use crate::figures::count;
use crate::machine::Machine;

const NS_PER_MS: u64 = 1_000_000;
/// Breaks that are told one by one.
const TOLD_MAX: usize = 20;

/// A zone that was lost. Times are by the run's clock.
#[derive(Clone, Debug, Default)]
pub(super) struct Loss {
    pub(super) zone: usize,
    pub(super) at_ns: u64,
    /// When all of it was ready again, and how long that took from when its servers were started.
    pub(super) back_ns: u64,
    pub(super) ready_ns: u64,
    /// Until every session had an acceptance again of an order that was due after the loss.
    pub(super) orders_ns: Option<u64>,
    /// Until every subscriber whose connection had ended had the next number.
    pub(super) quotes_ns: Option<u64>,
}

/// A zone that was lost, as JSON has it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct LossRow {
    zone: &'static str,
    orders_recovery_ms: Option<u64>,
    quotes_recovery_ms: Option<u64>,
    ready_again_ms: u64,
}

/// The result, as JSON has it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Outcome {
    seed: u64,
    how: &'static str,
    orders: u64,
    acknowledged: u64,
    lost: u64,
    duplicated: u64,
    report_gaps: u64,
    quotes: Quotes,
    zones: Vec<LossRow>,
    machine: Machine,
    #[serde(skip)]
    breaks: Vec<String>,
}

/// Quotes at the subscribers.
#[derive(Clone, Debug, Serialize)]
struct Quotes {
    published: u64,
    expected: u64,
    received: u64,
    lost: u64,
    duplicated: u64,
    out_of_order: u64,
    altered: u64,
    announced_lost: u64,
}

impl Outcome {
    /// Of a run.
    pub(super) fn new(
        args: &Args,
        seed: u64,
        losses: Vec<Loss>,
        findings: Findings,
        quotes: &Account,
        mishaps: Vec<String>,
    ) -> Self {
        let of = |account| findings.count(account);
        let ms = |ns: u64| ns.div_ceil(NS_PER_MS);
        let row = |loss: Loss| LossRow {
            zone: ZONES[loss.zone],
            orders_recovery_ms: loss.orders_ns.map(ms),
            quotes_recovery_ms: loss.quotes_ns.map(ms),
            ready_again_ms: ms(loss.ready_ns),
        };
        let mut breaks = mishaps;
        breaks.extend(findings.breaks.iter().map(ToString::to_string));
        if quotes.witnesses_broken > 0 {
            breaks.push("a core was not read whole: what subscribers should have is not known".to_string());
        }
        if quotes.published == 0 {
            breaks.push("no core published anything".to_string());
        }
        if !quotes.tally.is_clean() || quotes.altered + quotes.noticed > 0 {
            breaks.push("subscribers do not have what the cores published".to_string());
        }
        Self {
            seed,
            how: match args.how {
                How::Killed => "killed",
                How::Frozen => "frozen",
            },
            orders: findings.orders,
            acknowledged: findings.acknowledged,
            lost: of(Of::Lost),
            duplicated: of(Of::Duplicated),
            report_gaps: of(Of::ReportGap),
            quotes: Quotes {
                published: quotes.published,
                expected: quotes.tally.expected,
                received: quotes.tally.received,
                lost: quotes.tally.lost,
                duplicated: quotes.tally.duplicated,
                out_of_order: quotes.tally.out_of_order,
                altered: quotes.altered,
                announced_lost: quotes.noticed,
            },
            zones: losses.into_iter().map(row).collect(),
            machine: Machine::this(),
            breaks,
        }
    }

    /// Nothing broke.
    pub(super) fn held(&self) -> bool {
        self.breaks.is_empty()
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    writeln!(f, "  {name:<23}{value}")
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "disaster drill, zones {}, seed {}", self.how, self.seed)?;
        row(f, "orders", &format!("{} sent, {} acknowledged", count(self.orders), count(self.acknowledged)))?;
        let of_three = |lost, duplicated, third: &str| {
            format!("{} lost, {} duplicated, {third}", count(lost), count(duplicated))
        };
        row(
            f,
            "",
            &of_three(self.lost, self.duplicated, &format!("{} report gaps", count(self.report_gaps))),
        )?;
        let quotes = &self.quotes;
        let held = format!(
            "{} published, {} of {} received",
            count(quotes.published),
            count(quotes.received),
            count(quotes.expected)
        );
        row(f, "quotes", &held)?;
        let others = format!(
            "{} out of order, {} altered, {} announced as lost",
            count(quotes.out_of_order),
            count(quotes.altered),
            count(quotes.announced_lost)
        );
        row(f, "", &of_three(quotes.lost, quotes.duplicated, &others))?;
        let told = |ms: Option<u64>, none: &str| ms.map_or(none.to_string(), |ms| format!("in {ms} ms"));
        for loss in &self.zones {
            let text = format!(
                "orders recovered {}, quotes {}; all of it ready {} ms after its start",
                told(loss.orders_recovery_ms, "(none was due after it)"),
                told(loss.quotes_recovery_ms, "(nobody was cut off)"),
                loss.ready_again_ms
            );
            row(f, &format!("zone {} lost", loss.zone), &text)?;
        }
        if self.held() {
            return writeln!(
                f,
                "  Every order exactly once, and to its end: at its client, at its core, in the audit. Every quote once and in order at every subscriber."
            );
        }
        writeln!(f, "  BROKEN:")?;
        self.breaks.iter().take(TOLD_MAX).try_for_each(|broken| writeln!(f, "    {broken}"))?;
        match self.breaks.len().checked_sub(TOLD_MAX) {
            Some(more @ 1..) => writeln!(f, "    and {} more", count(more as u64)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::checker::Break;
    use super::*;
    use crate::ledger::Tally;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn outcome(findings: Findings, quotes: &Account) -> Outcome {
        let args = Line::parse_from(["drill"]).args;
        let loss = Loss { zone: 1, orders_ns: Some(1_500_000), ..Loss::default() };
        Outcome::new(&args, 7, vec![loss], findings, quotes, Vec::new())
    }

    /// Everything is looked at: each kind of loss alone breaks the drill.
    #[test]
    fn whatever_is_missing_breaks_it() {
        let whole = Account {
            published: 9,
            tally: Tally { expected: 18, received: 18, ..Tally::default() },
            ..Account::default()
        };
        let good = outcome(Findings::default(), &whole);
        assert!(good.held());
        assert!(good.to_string().contains("zone b lost            orders recovered in 2 ms"), "{good}");
        let broken = [
            Account { published: 0, ..whole.clone() },
            Account { altered: 1, ..whole.clone() },
            Account { noticed: 1, ..whole.clone() },
            Account { witnesses_broken: 1, ..whole.clone() },
            Account { tally: Tally { lost: 1, ..whole.tally }, ..whole.clone() },
            Account { tally: Tally { duplicated: 1, ..whole.tally }, ..whole.clone() },
        ];
        for account in broken {
            assert!(!outcome(Findings::default(), &account).held(), "{account:?}");
        }
        let findings = Findings { breaks: vec![Break::NotAnswered { order: 3 }], ..Findings::default() };
        let lost = outcome(findings, &whole);
        assert!(!lost.held() && lost.lost == 1);
        assert!(lost.to_string().contains("order 3 was never answered"), "{lost}");
    }
}
