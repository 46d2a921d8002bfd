//! All order sessions of a run, over all threads: started, told to begin, accounted for.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use anyhow::Context;
use wire::szse::Text;

use super::trader::{self, Command, Counters, Outcome, Setup, Traders};
use crate::curve::Curve;
use crate::ledger::Tally;
use crate::recorder::{Collector, Series};
use crate::report::{ConnectionTotal, Percentiles, Report, ScheduleLag, Spread};
use crate::schedule::{Lag, Schedule};
use crate::wait::Closed;

const ACCOUNT_TIMEOUT: Duration = Duration::from_secs(30);
/// Latency from when an order was due to its acceptance.
const ACCEPT: usize = 0;
/// Latency from when the later of two orders that meet was due to the fill.
const FILL: usize = 1;

/// All order sessions of a run.
pub struct Floor {
    traders: Vec<Traders>,
    collector: Collector,
    sessions: u64,
    alone: bool,
}

/// How far the run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Sessions that may order.
    pub ready: u64,
    /// Orders sent.
    pub sent: u64,
    /// Orders accepted.
    pub accepted: u64,
    /// Orders refused.
    pub rejected: u64,
    /// Orders filled.
    pub filled: u64,
    /// Reports twice, or out of order.
    pub wrong: u64,
    /// Sessions that ended.
    pub closed: u64,
    /// How late the latest order was sent, nanoseconds.
    pub lag_ns: u64,
}

impl State {
    /// Every order was answered, and every accepted one filled.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.accepted + self.rejected >= self.sent && self.filled >= self.accepted
    }
}

impl Floor {
    /// Starts the sessions; they log on and wait.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(setup: &Setup) -> io::Result<Self> {
        let collector = Collector::new(2, setup.threads as usize);
        let traders = trader::start(setup, || [collector.recorder(ACCEPT), collector.recorder(FILL)])?;
        Ok(Self { traders, collector, sessions: setup.plan.sessions, alone: setup.alone })
    }

    /// How many sessions there are.
    #[must_use]
    pub fn sessions(&self) -> u64 {
        self.sessions
    }

    /// How far it is.
    #[must_use]
    pub fn state(&self) -> State {
        let sum = |of: fn(&Counters) -> &AtomicU64| -> u64 {
            self.traders.iter().map(|thread| of(&thread.counters).load(Ordering::Relaxed)).sum()
        };
        State {
            ready: sum(|counters| &counters.ready),
            sent: sum(|counters| &counters.sent),
            accepted: sum(|counters| &counters.accepted),
            rejected: sum(|counters| &counters.rejected),
            filled: sum(|counters| &counters.filled),
            wrong: sum(|counters| &counters.wrong),
            closed: sum(|counters| &counters.closed),
            lag_ns: self.latest(|counters| &counters.lag_ns),
        }
    }

    /// Sessions that ended, and why.
    pub(crate) fn closed(&self) -> Closed {
        let why = self.traders.iter().find_map(|thread| thread.counters.why.last());
        Closed { count: self.state().closed, why }
    }

    /// When the last report arrived, by the run's clock.
    #[must_use]
    pub fn last_ns(&self) -> u64 {
        self.latest(|counters| &counters.last_ns)
    }

    fn latest(&self, of: fn(&Counters) -> &AtomicU64) -> u64 {
        self.traders.iter().map(|thread| of(&thread.counters).load(Ordering::Relaxed)).max().unwrap_or(0)
    }

    /// Orders go out by this schedule.
    ///
    /// # Errors
    /// A thread takes no command.
    pub fn begin(&self, schedule: Schedule) -> anyhow::Result<()> {
        self.tell(|| Command::Start(schedule))
    }

    /// No more orders go out.
    ///
    /// # Errors
    /// A thread takes no command.
    pub fn end(&self) -> anyhow::Result<()> {
        self.tell(|| Command::End)
    }

    fn tell(&self, command: impl Fn() -> Command) -> anyhow::Result<()> {
        for thread in &self.traders {
            let told = thread.running.handle().send(command());
            told.map_err(|_| anyhow::anyhow!("the order sessions are busy"))?;
        }
        Ok(())
    }

    /// Takes what the threads handed over since the last time.
    pub fn collect(&mut self) {
        self.collector.collect();
    }

    /// Latencies to the acceptance.
    #[must_use]
    pub fn accepts(&self) -> &Series {
        self.collector.series(ACCEPT)
    }

    /// Latencies to the fill.
    #[must_use]
    pub fn fills(&self) -> &Series {
        self.collector.series(FILL)
    }

    /// Asks all sessions what they did, and ends them.
    ///
    /// # Errors
    /// A thread that does not answer.
    pub fn finish(mut self, planned: u64, report: &mut Report) -> anyhow::Result<Account> {
        let mut outcomes = Vec::new();
        for thread in self.traders.drain(..) {
            let (to, from) = sync_channel(1);
            let asked = thread.running.handle().send(Command::Finish(to));
            asked.map_err(|_| anyhow::anyhow!("the order sessions are busy"))?;
            let outcome = from.recv_timeout(ACCOUNT_TIMEOUT).context("order sessions give no account")?;
            self.collector.absorb(&outcome.accepts);
            self.collector.absorb(&outcome.fills);
            outcomes.push(outcome);
            thread.running.handle().stop();
            thread.running.join().context("order sessions")?;
        }
        // Not before: until a thread is asked, it hands over.
        self.collector.collect();
        report.latency_ns = Percentiles::from(&self.accepts().total);
        report.latencies_ns.insert("accept", report.latency_ns);
        report.latencies_ns.insert("fill", Percentiles::from(&self.fills().total));
        report.curves.insert("accept", Curve::from(&self.accepts().total));
        report.curves.insert("fill", Curve::from(&self.fills().total));
        let account = Account::of(&outcomes, self.alone);
        report.schedule = ScheduleLag::of(&account.lag, planned);
        report.connections = Spread::of(&account.connections);
        report.sent = account.sent;
        report.rejected = account.rejected;
        report.unsent = account.unsent;
        report.account(account.tally);
        report.open = account.open;
        report.figures.extend(account.figures());
        Ok(account)
    }
}

/// What all sessions did.
pub struct Account {
    /// Answers and fills: expected, received, lost.
    pub tally: Tally,
    /// Orders sent.
    pub sent: u64,
    /// Orders accepted.
    pub accepted: u64,
    /// Orders refused.
    pub rejected: u64,
    /// Orders filled.
    pub filled: u64,
    /// Accepted, both of a pair, and not filled, in books in which others trade: their fill is owed by nobody.
    pub open: u64,
    /// Due orders whose session was closed.
    pub unsent: u64,
    /// Reports of earlier runs' orders.
    pub foreign: u64,
    /// Why orders were refused.
    pub refusals: Vec<(Text<50>, u64)>,
    lag: Lag,
    connections: Vec<ConnectionTotal>,
}

impl Account {
    fn of(outcomes: &[Outcome], alone: bool) -> Self {
        let unfillable = unfillable(outcomes);
        let mut account = Self {
            tally: Tally::default(),
            sent: 0,
            accepted: 0,
            rejected: 0,
            filled: 0,
            open: 0,
            unsent: 0,
            foreign: 0,
            refusals: Vec::new(),
            lag: Lag::new(0),
            connections: Vec::new(),
        };
        for (outcome, unfillable) in outcomes.iter().zip(unfillable) {
            let (tally, open) = outcome.orders.tally(unfillable, alone);
            account.tally = account.tally.merged(tally);
            account.open += open;
            account.sent += outcome.orders.sent;
            account.accepted += outcome.orders.accepted;
            account.rejected += outcome.orders.rejected;
            account.filled += outcome.orders.filled;
            account.unsent += outcome.unsent;
            account.foreign += outcome.foreign;
            account.refusals.extend_from_slice(&outcome.refusals);
            account.lag = account.lag.merged(outcome.lag);
            account.connections.extend_from_slice(&outcome.connections);
        }
        account.tally = account.tally.without(account.unsent);
        account
    }

    fn figures(&self) -> [(&'static str, f64); 4] {
        [
            ("orders_accepted", self.accepted),
            ("orders_filled", self.filled),
            ("earlier_runs_reports", self.foreign),
            ("refusal_kinds", self.refusals.len() as u64),
        ]
        .map(|(name, value)| (name, value as f64))
    }
}

/// For each thread: its accepted orders whose other half was refused, not answered or not sent.
fn unfillable(outcomes: &[Outcome]) -> Vec<u64> {
    let failed: HashSet<u64> = outcomes.iter().flat_map(|outcome| outcome.orders.failed()).collect();
    let alone = |outcome: &Outcome| {
        let partners = failed.iter().map(|order| order ^ 1).filter(|partner| !failed.contains(partner));
        partners.filter(|partner| outcome.orders.is_accepted(*partner)).count() as u64
    };
    outcomes.iter().map(alone).collect()
}
