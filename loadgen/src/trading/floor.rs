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
use crate::figures::count;
use crate::ledger::Tally;
use crate::recorder::{Collector, Series};
use crate::report::{ConnectionTotal, Event, Percentiles, Report, ScheduleLag, Spread};
use crate::schedule::{Lag, Schedule};
use crate::wait::Closed;
use crate::why::{ENDS_MAX, End};

const ACCOUNT_TIMEOUT: Duration = Duration::from_secs(30);
/// Latency from when an order was due to its acceptance.
const ACCEPT: usize = 0;
/// Latency from when the later of two orders that meet was due to the fill.
const FILL: usize = 1;
/// Where sessions have ended, fills that are still to come have come so long after the last report.
const LAST_FILLS_NS: u64 = 1_000_000_000;

/// All order sessions of a run.
pub struct Floor {
    traders: Vec<Traders>,
    collector: Collector,
    sessions: u64,
    alone: bool,
    /// How the first sessions ended.
    ended: Vec<End>,
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
    /// Orders that were due and not sent, as their session had ended.
    pub unsent: u64,
    /// Orders that had no answer when their session ended.
    pub orphaned: u64,
    /// How late the latest order was sent, nanoseconds.
    pub lag_ns: u64,
}

impl State {
    /// Every order was answered, and every accepted one filled.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.accepted + self.rejected >= self.sent && self.filled >= self.accepted
    }

    /// Every order was answered, but for those whose answer cannot come.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.accepted + self.rejected + self.orphaned >= self.sent
    }

    /// Orders without an answer that may still come.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.sent.saturating_sub(self.accepted + self.rejected + self.orphaned)
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
        Ok(Self { traders, collector, sessions: setup.plan.sessions, alone: setup.alone, ended: Vec::new() })
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
            unsent: sum(|counters| &counters.unsent),
            orphaned: sum(|counters| &counters.orphaned),
            lag_ns: self.latest(|counters| &counters.lag_ns),
        }
    }

    /// Sessions that ended, and why.
    pub(crate) fn closed(&self) -> Closed {
        let why = self.traders.iter().find_map(|thread| thread.counters.why.last());
        Closed { count: self.state().closed, why }
    }

    /// Nothing is awaited of what was sent in this `state`. Where sessions have ended, which fills can still come depends on both of a
    /// pair: every answer is there, and then nothing has come for a while.
    #[must_use]
    pub fn is_settled(&self, state: &State, now_ns: u64) -> bool {
        let cut_off = state.closed > 0 && state.is_answered();
        state.is_settled() || (cut_off && now_ns > self.last_ns() + LAST_FILLS_NS)
    }

    /// How sessions ended since the last time: of a run, the first few.
    pub fn newly_ended(&mut self) -> Vec<End> {
        let new = self.traders.iter().flat_map(|thread| thread.counters.ends.take()).collect();
        self.keep_ends(new)
    }

    fn keep_ends(&mut self, mut new: Vec<End>) -> Vec<End> {
        new.sort_by(|one, other| one.at_s.total_cmp(&other.at_s));
        new.truncate(ENDS_MAX - self.ended.len());
        self.ended.extend_from_slice(&new);
        new
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
        let (mut outcomes, mut ends) = (Vec::new(), Vec::new());
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
            ends.extend(thread.counters.ends.take());
        }
        self.keep_ends(ends);
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
        report.refusals.extend(account.refusals.iter().map(|(why, times)| (why.to_string(), *times)));
        report.unsent = account.unsent;
        report.account(account.tally);
        report.open = account.open;
        report.unpaired = account.unpaired;
        report.events.extend(events(&self.ended, report.connections.closed));
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
    /// Accepted and not filled, with nobody to meet: the other of the pair was refused, not answered or not sent, or the session of one of
    /// both has ended.
    pub unpaired: u64,
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
        let unmet = unmet(outcomes);
        let mut account = Self {
            tally: Tally::default(),
            sent: 0,
            accepted: 0,
            rejected: 0,
            filled: 0,
            open: 0,
            unpaired: 0,
            unsent: 0,
            foreign: 0,
            refusals: Vec::new(),
            lag: Lag::new(0),
            connections: Vec::new(),
        };
        for (outcome, unmet) in outcomes.iter().zip(unmet) {
            let (tally, open) = outcome.orders.tally(unmet.unfillable, alone);
            account.tally = account.tally.merged(tally);
            let cut_off = unmet.cut_off.min(open);
            account.open += open - cut_off;
            account.unpaired += unmet.unfilled + cut_off;
            account.sent += outcome.orders.sent;
            account.accepted += outcome.orders.accepted;
            account.rejected += outcome.orders.rejected;
            account.filled += outcome.orders.filled;
            account.unsent += outcome.unsent;
            account.foreign += outcome.foreign;
            for (why, times) in &outcome.refusals {
                match account.refusals.iter_mut().find(|(known, _)| known == why) {
                    Some((_, sum)) => *sum += times,
                    None => account.refusals.push((*why, *times)),
                }
            }
            account.lag = account.lag.merged(outcome.lag);
            account.connections.extend_from_slice(&outcome.connections);
        }
        account.tally = account.tally.without(account.unsent);
        account
    }

    fn figures(&self) -> [(&'static str, f64); 3] {
        [
            ("orders_accepted", self.accepted),
            ("orders_filled", self.filled),
            ("earlier_runs_reports", self.foreign),
        ]
        .map(|(name, value)| (name, value as f64))
    }
}

/// Orders of a thread that were accepted and had nobody to meet.
#[derive(Debug, Default, PartialEq, Eq)]
struct Unmet {
    /// Whose other half was refused, not answered or not sent.
    unfillable: u64,
    /// Those of them that nobody else's order has filled.
    unfilled: u64,
    /// Not filled, where both of the pair were accepted and the session of one of them has ended.
    cut_off: u64,
}

/// For each thread.
fn unmet(outcomes: &[Outcome]) -> Vec<Unmet> {
    let failed: HashSet<u64> = outcomes.iter().flat_map(|outcome| outcome.orders.failed()).collect();
    let threads = outcomes.len() as u64;
    let of_thread = |(which, outcome): (u64, &Outcome)| {
        let closed = (0_u64..).zip(&outcome.connections).filter(|(_, connection)| connection.closed);
        closed.map(|(place, _)| which + place * threads).collect::<Vec<u64>>()
    };
    let ended: HashSet<u64> = (0..).zip(outcomes).flat_map(of_thread).collect();
    let sessions = outcomes.iter().map(|outcome| outcome.connections.len() as u64).sum::<u64>().max(1);
    let is_cut_off = |order: &u64| {
        !failed.contains(&(order ^ 1))
            && [*order, order ^ 1].iter().any(|half| ended.contains(&(half % sessions)))
    };
    let unmet = |outcome: &Outcome| {
        let partners = failed.iter().map(|order| order ^ 1).filter(|partner| !failed.contains(partner));
        let unfilled = || outcome.orders.unfilled();
        Unmet {
            unfillable: partners.filter(|partner| outcome.orders.is_accepted(*partner)).count() as u64,
            unfilled: unfilled().filter(|order| failed.contains(&(order ^ 1))).count() as u64,
            cut_off: if ended.is_empty() { 0 } else { unfilled().filter(is_cut_off).count() as u64 },
        }
    };
    outcomes.iter().map(unmet).collect()
}

/// How the first sessions ended, and how many did.
fn events(ended: &[End], closed: u64) -> Vec<Event> {
    let told = |end: &End| Event { at_s: end.at_s, what: format!("{} ended: {}", end.who, end.why) };
    let more = closed.saturating_sub(ended.len() as u64);
    let more = ended.last().filter(|_| more > 0).map(|last| Event {
        at_s: last.at_s,
        what: format!("from here on {} more sessions ended", count(more)),
    });
    ended.iter().map(told).chain(more).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::{Interval, histogram};
    use crate::schedule::Share;
    use crate::trading::account::Orders;

    /// Eight orders by four sessions on one thread: session 1 ended after its first order, which meets that of session 0.
    fn outcome() -> Outcome {
        let mut orders = Orders::new(Share::ALL, 8);
        for order in [0, 1, 2, 3, 4, 6, 7] {
            orders.sent(order);
            orders.accepted(order);
        }
        for order in [0, 6, 7] {
            orders.filled(order);
        }
        let none = || Interval { series: ACCEPT, latency_ns: histogram() };
        let connection = |session| ConnectionTotal { closed: session == 1, ..ConnectionTotal::default() };
        Outcome {
            orders,
            lag: Lag::new(0),
            connections: (0..4).map(connection).collect(),
            foreign: 0,
            unsent: 1,
            refusals: Vec::new(),
            accepts: none(),
            fills: none(),
        }
    }

    #[test]
    fn what_nobody_was_there_to_meet_is_not_told_as_open() {
        assert_eq!(unmet(&[outcome()]), [Unmet { unfillable: 1, unfilled: 1, cut_off: 1 }]);
        let account = Account::of(&[outcome()], false);
        assert_eq!(
            (account.open, account.unpaired),
            (2, 2),
            "2 and 3 are open; 4 has no partner, 1 no session"
        );
        assert_eq!((account.tally.lost, account.unsent), (1, 1), "what was never sent");
        let account = Account::of(&[outcome()], true);
        assert_eq!(
            (account.open, account.unpaired, account.tally.lost),
            (0, 1, 4),
            "nobody else trades there"
        );
    }

    #[test]
    fn what_has_no_answer_when_its_session_ends_is_not_waited_for() {
        let state = State { sent: 10, accepted: 6, rejected: 1, filled: 6, ..State::default() };
        assert_eq!((state.is_answered(), state.in_flight()), (false, 3));
        let state = State { orphaned: 3, closed: 1, ..state };
        assert_eq!((state.is_answered(), state.in_flight(), state.is_settled()), (true, 0, false));
    }

    #[test]
    fn the_first_ends_are_told_and_the_others_counted() {
        let end = |who: &str, at_s| End { who: who.to_owned(), at_s, why: "by the operator".to_owned() };
        let ended = [end("client0001", 2.0), end("client0002", 2.5)];
        let told = |closed| events(&ended, closed).into_iter().map(|event| event.what).collect::<Vec<_>>();
        assert_eq!(told(2), ["client0001 ended: by the operator", "client0002 ended: by the operator"]);
        assert_eq!(told(1_202)[2], "from here on 1,200 more sessions ended");
        assert!(events(&[], 0).is_empty());
    }
}
