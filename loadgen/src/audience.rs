//! All subscribers of a kind, over all threads: started, told what is due when, accounted for.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use anyhow::Context;

use crate::due::Due;
use crate::gaps::Gaps;
use crate::ledger::Tally;
use crate::recorder::{Collector, Recorder};
use crate::report::ConnectionTotal;
use crate::subscriber::{self, Command, Counters, Setup, Subscribers};
use crate::wait::Closed;

const ACCOUNT_TIMEOUT: Duration = Duration::from_secs(30);

/// All subscribers of a kind.
pub struct Audience {
    threads: Vec<Subscribers>,
    count: u64,
}

/// What they received.
#[derive(Debug, Default)]
pub struct Receipts {
    /// All connections together.
    pub tally: Tally,
    /// How long they heard nothing while something was due.
    pub gaps: Gaps,
    /// Each connection.
    pub connections: Vec<ConnectionTotal>,
    /// The highest number of each channel that any of them received.
    pub highest: Vec<(u16, u64)>,
    /// Connections whose account is clean.
    pub clean: u64,
    /// Snapshots received.
    pub snapshots: u64,
    /// Numbers that the feed said would not come.
    pub noticed: u64,
    /// Messages whose due time was not known.
    pub undated: u64,
    /// Messages that are not what was sent.
    pub altered: u64,
}

impl Audience {
    /// Starts them; `recorder` makes one for each thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(setup: &Setup, recorder: impl Fn() -> Recorder) -> io::Result<Self> {
        Ok(Self { threads: subscriber::start(setup, recorder)?, count: setup.count as u64 })
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    fn sum(&self, of: impl Fn(&Counters) -> &AtomicU64) -> u64 {
        self.threads.iter().map(|thread| of(&thread.counters).load(Ordering::Relaxed)).sum()
    }

    /// Subscriptions that stand.
    #[must_use]
    pub fn ready(&self) -> u64 {
        self.sum(|counters| &counters.ready)
    }

    /// Connections that ended, or that never came to be.
    #[must_use]
    pub fn closed(&self) -> u64 {
        self.sum(|counters| &counters.closed)
    }

    /// The same, and why.
    pub(crate) fn closed_why(&self) -> Closed {
        let why = self.threads.iter().find_map(|thread| thread.counters.why.last());
        Closed { count: self.closed(), why }
    }

    /// Numbers received, over all connections.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.sum(|counters| &counters.received)
    }

    /// Numbers known to be missing, over all connections.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.sum(|counters| &counters.missing)
    }

    /// When the last number arrived, by the run's clock.
    #[must_use]
    pub fn last_ns(&self) -> u64 {
        self.threads.iter().map(|thread| thread.counters.last_ns.load(Ordering::Relaxed)).max().unwrap_or(0)
    }

    /// When the first number of a channel that is wanted from number 1 on arrived, or the first snapshot where these are
    /// dated, by the run's clock; `None` before.
    #[must_use]
    pub fn first_ns(&self) -> Option<u64> {
        let first_ns = self.threads.iter().map(|thread| thread.counters.first_ns.load(Ordering::Relaxed));
        first_ns.filter(|first_ns| *first_ns > 0).min()
    }

    /// What the slowest connection of each thread has received.
    #[must_use]
    pub fn slowest(&self) -> Vec<Arc<AtomicU64>> {
        self.threads.iter().map(|thread| thread.counters.slowest.clone()).collect()
    }

    /// Messages of this channel (or of all) are due so, from now on.
    ///
    /// # Errors
    /// A thread takes no command.
    pub fn date(&self, channel: Option<u16>, due: &Due) -> anyhow::Result<()> {
        self.threads.iter().try_for_each(|thread| tell(thread, Command::Due(channel, due.clone())))
    }

    /// How long they heard nothing, so far.
    ///
    /// # Errors
    /// A thread that does not answer.
    pub fn gaps(&self) -> anyhow::Result<Gaps> {
        let mut gaps = Gaps::default();
        for thread in &self.threads {
            gaps.merge(&ask(thread, Command::Gaps)?);
        }
        Ok(gaps)
    }

    /// The highest number of each channel that any of them received so far; of a channel as often as threads received it.
    ///
    /// # Errors
    /// A thread that does not answer.
    pub fn highest(&self) -> anyhow::Result<Vec<(u16, u64)>> {
        let mut highest = Vec::new();
        for thread in &self.threads {
            highest.extend(ask(thread, Command::Highest)?);
        }
        Ok(highest)
    }

    /// Asks all of them what they received of sequences that end at `ends`, and ends them. Their last latencies go to
    /// `collector`.
    ///
    /// # Errors
    /// A thread that does not answer.
    pub fn finish(self, ends: &[(u16, u64)], collector: &mut Collector) -> anyhow::Result<Receipts> {
        let mut receipts = Receipts::default();
        for thread in self.threads {
            let outcome = ask(&thread, |to| Command::Finish(ends.to_vec(), to))?;
            collector.absorb(&outcome.latencies);
            receipts.tally = receipts.tally.merged(outcome.tally);
            receipts.gaps.merge(&outcome.gaps);
            receipts.connections.extend_from_slice(&outcome.connections);
            receipts.highest.extend_from_slice(&outcome.highest);
            receipts.clean += outcome.clean;
            receipts.snapshots += outcome.snapshots;
            receipts.noticed += outcome.noticed;
            receipts.undated += outcome.undated;
            receipts.altered += outcome.altered;
            thread.running.handle().stop();
            thread.running.join().context("subscribers")?;
        }
        // Not before: until a thread is asked, it hands over.
        collector.collect();
        Ok(receipts)
    }
}

fn tell(thread: &Subscribers, command: Command) -> anyhow::Result<()> {
    thread.running.handle().send(command).map_err(|_| anyhow::anyhow!("the subscribers are busy"))
}

fn ask<T>(thread: &Subscribers, command: impl FnOnce(SyncSender<T>) -> Command) -> anyhow::Result<T> {
    let (to, from) = sync_channel(1);
    tell(thread, command(to))?;
    from.recv_timeout(ACCOUNT_TIMEOUT).context("subscribers give no account")
}

#[cfg(test)]
mod tests {
    use shard::{App, ConnId, Cx, Opened, Reason};

    use super::*;
    use crate::subscriber::Outcome;

    /// Subscribers whose time to hand over comes just when they are asked for their account.
    struct Punctual {
        recorder: Recorder,
    }

    impl App for Punctual {
        type Command = Command;

        fn on_open(&mut self, _cx: &mut Cx, _id: ConnId, _opened: Opened) {}

        fn on_dial_failed(&mut self, _cx: &mut Cx, _tag: u32, _error: io::Error) {}

        fn on_data(&mut self, _cx: &mut Cx, _id: ConnId, data: &[u8]) -> Result<usize, Reason> {
            Ok(data.len())
        }

        fn on_close(&mut self, _cx: &mut Cx, _id: ConnId, _reason: Reason) {}

        fn on_tick(&mut self, _cx: &mut Cx) {}

        fn on_command(&mut self, _cx: &mut Cx, command: Command) {
            let Command::Finish(_, to) = command else { return };
            self.recorder.record(1_000);
            self.recorder.hand_over();
            self.recorder.record(2_000);
            let outcome = Outcome {
                connections: Vec::new(),
                tally: Tally::default(),
                clean: 0,
                highest: Vec::new(),
                snapshots: 0,
                noticed: 0,
                undated: 0,
                altered: 0,
                gaps: Gaps::default(),
                latencies: self.recorder.take(),
            };
            to.try_send(outcome).unwrap();
        }
    }

    #[test]
    fn what_is_handed_over_while_accounts_are_asked_for_is_not_lost() {
        let mut collector = Collector::new(1, 2);
        let thread = |_| {
            let recorder = collector.recorder(0);
            let app = move || Punctual { recorder };
            let running = shard::spawn("punctual", shard::Setup::default(), app).unwrap();
            Subscribers { counters: Arc::default(), running }
        };
        let audience = Audience { threads: (0..2).map(thread).collect(), count: 2 };
        audience.finish(&[], &mut collector).unwrap();
        assert_eq!(collector.series(0).total.len(), 4);
    }
}
