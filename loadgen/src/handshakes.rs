//! Handshakes at a rate, open loop: connections that come up, do their handshake and end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use transport::{Clock, Connector};

use crate::recorder::{Collector, Recorder};
use crate::schedule::{Lag, Pacer, Schedule, Share};

/// Under way at a time; what is due beyond them waits, and counts as the generator's own lateness.
pub(crate) const UNDER_WAY_MAX: usize = 1_024;
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
const HAND_OVER_NS: u64 = 250_000_000;
/// So often it is looked whether it is to end, and latencies are handed over.
const LOOK_NS: u64 = 50_000_000;

/// Where, and with what.
#[derive(Clone, Debug)]
pub struct Setup {
    /// At whose port.
    pub address: SocketAddr,
    /// How it is connected to.
    pub connector: Connector,
    /// Later than this, the generator is behind.
    pub tolerance_ns: u64,
    /// The run's clock.
    pub clock: Clock,
}

/// What others see while it goes on.
#[derive(Debug, Default)]
pub struct Counters {
    /// Begun.
    pub sent: AtomicU64,
    /// Done.
    pub done: AtomicU64,
    /// Refused, cut off, or not done in time.
    pub failed: AtomicU64,
}

/// Handshakes on a thread of their own.
pub struct Storm {
    /// How far it is.
    pub counters: Arc<Counters>,
    collector: Collector,
    over: Arc<AtomicBool>,
    ended: Receiver<Thread>,
}

/// What came of it.
#[derive(Debug)]
pub struct Ended {
    /// Begun.
    pub sent: u64,
    /// Done.
    pub done: u64,
    /// Failed.
    pub failed: u64,
    /// From when each was due until it was done.
    pub latency_ns: Histogram<u64>,
    /// The generator's own lateness.
    pub lag: Lag,
    /// When the last was done, by the run's clock.
    pub last_ns: u64,
}

/// What the thread gives back.
struct Thread {
    recorder: Recorder,
    lag: Lag,
    last_ns: u64,
}

impl Storm {
    /// Begins by this schedule.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(setup: &Setup, schedule: Schedule) -> io::Result<Self> {
        let (counters, over) = (Arc::new(Counters::default()), Arc::new(AtomicBool::new(false)));
        let collector = Collector::new(1, 1);
        let (to, ended) = sync_channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut caller = Caller {
            pacer: Pacer::new(schedule, Share::ALL, setup.tolerance_ns),
            setup: setup.clone(),
            counters: counters.clone(),
            over: over.clone(),
            recorder: collector.recorder(0),
            hand_over_ns: 0,
            last_ns: 0,
        };
        std::thread::Builder::new().name("loadgen-handshakes".into()).spawn(move || {
            runtime.block_on(caller.call());
            let Caller { recorder, pacer, last_ns, .. } = caller;
            if to.try_send(Thread { recorder, lag: *pacer.lag(), last_ns }).is_err() {
                tracing::debug!("nobody waits for the handshakes any more");
            }
        })?;
        Ok(Self { counters, collector, over, ended })
    }

    /// Latencies since the last time.
    pub fn collect(&mut self) -> &Histogram<u64> {
        self.collector.collect();
        &self.collector.series(0).recent
    }

    /// Begins no more.
    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Begins no more, waits for those under way, and accounts for them.
    ///
    /// # Errors
    /// They do not end within `timeout`.
    pub fn finish(mut self, timeout: Duration) -> anyhow::Result<Ended> {
        self.end();
        let mut thread = self.ended.recv_timeout(timeout).context("the handshakes give no account")?;
        self.collector.collect();
        self.collector.absorb(&thread.recorder.take());
        let load = |of: &AtomicU64| of.load(Ordering::Relaxed);
        Ok(Ended {
            sent: load(&self.counters.sent),
            done: load(&self.counters.done),
            failed: load(&self.counters.failed),
            latency_ns: self.collector.series(0).total.clone(),
            lag: thread.lag,
            last_ns: thread.last_ns,
        })
    }
}

struct Caller {
    setup: Setup,
    pacer: Pacer,
    counters: Arc<Counters>,
    over: Arc<AtomicBool>,
    recorder: Recorder,
    hand_over_ns: u64,
    last_ns: u64,
}

impl Caller {
    /// It stays when all is done, until it is told to end: what its thread has used can then still be looked at.
    async fn call(&mut self) {
        let mut under_way: JoinSet<Option<(u64, u64)>> = JoinSet::new();
        loop {
            let over = self.over.load(Ordering::Relaxed);
            let now_ns = self.setup.clock.now_ns();
            let room = UNDER_WAY_MAX - under_way.len();
            for index in self.pacer.take(now_ns, if over { 0 } else { room as u64 }) {
                let due_ns = self.pacer.schedule().due_ns(index);
                let Setup { address, connector, clock, .. } = self.setup.clone();
                under_way.spawn(async move {
                    let stream = connector.dial(address, DIAL_TIMEOUT).await.ok()?;
                    let done_ns = clock.now_ns();
                    drop(stream);
                    Some((due_ns, done_ns))
                });
                self.counters.sent.fetch_add(1, Ordering::Relaxed);
            }
            let next_ns = if over { None } else { self.pacer.next_due_ns() };
            if over && under_way.is_empty() {
                return;
            }
            self.hand_over(now_ns);
            let until_ns = next_ns.filter(|_| under_way.len() < UNDER_WAY_MAX).unwrap_or(u64::MAX);
            let pause = Duration::from_nanos(until_ns.saturating_sub(now_ns).min(LOOK_NS));
            tokio::select! {
                Some(outcome) = under_way.join_next() => self.ended(outcome.ok().flatten()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One has come to its end: when it was due and when it was done, unless it failed.
    fn ended(&mut self, outcome: Option<(u64, u64)>) {
        let Some((due_ns, done_ns)) = outcome else {
            self.counters.failed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        self.recorder.record(done_ns.saturating_sub(due_ns));
        self.last_ns = self.last_ns.max(done_ns);
        self.counters.done.fetch_add(1, Ordering::Relaxed);
    }

    fn hand_over(&mut self, now_ns: u64) {
        if now_ns >= self.hand_over_ns {
            self.hand_over_ns = now_ns + HAND_OVER_NS;
            self.recorder.hand_over();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// How much it had to do is looked at once a second.
    #[test]
    fn its_thread_stays_until_it_is_told_to_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let setup = Setup {
            address: listener.local_addr().unwrap(),
            connector: Connector::default(),
            tolerance_ns: u64::MAX,
            clock: Clock::start(),
        };
        let storm = Storm::start(&setup, Schedule::new(0, 1_000, 2)).unwrap();
        let ended = || {
            let Counters { done, failed, .. } = &*storm.counters;
            done.load(Ordering::Relaxed) + failed.load(Ordering::Relaxed)
        };
        while ended() < 2 {
            std::thread::yield_now();
        }
        for _ in 0..1_000 {
            assert!(storm.ended.try_recv().is_err(), "it has ended");
            std::thread::yield_now();
        }
        let ended = storm.finish(Duration::from_secs(60)).unwrap();
        assert_eq!((ended.sent, ended.done, ended.failed, ended.latency_ns.len()), (2, 2, 0, 2));
    }
}
