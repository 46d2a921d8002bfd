//! Latencies: one recorder a thread, merged between threads without a lock on the recording path.
//!
//! A thread records into a histogram of its own and, some times a second, hands it over ([`Recorder::hand_over`]) through
//! a bounded channel. Where the channel is full the thread keeps what it has and goes on: nothing is lost, only the
//! progress line is older.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use hdrhistogram::Histogram;

/// What is longer is recorded as this: ten minutes.
pub const LATENCY_MAX_NS: u64 = 600_000_000_000;
/// Three digits: a value is known to 0.1 %.
const DIGITS: u8 = 3;
/// Hand-overs that may wait for the collector, for each thread.
const WAITING_MAX: usize = 16;

/// An empty latency histogram of the resolution used everywhere here.
#[must_use]
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_NS, DIGITS)
        .expect("invariant: the bounds are constants in range")
}

/// What one thread did since its last hand-over.
#[derive(Debug)]
pub struct Interval {
    /// Which of the recorder's series this is, as given to [`Collector::recorder`].
    pub series: usize,
    /// Latencies, nanoseconds.
    pub latency_ns: Histogram<u64>,
}

/// The recording end, owned by one thread.
#[derive(Debug)]
pub struct Recorder {
    series: usize,
    current: Histogram<u64>,
    to: SyncSender<Interval>,
}

impl Recorder {
    /// Counts `latency_ns`.
    #[inline]
    pub fn record(&mut self, latency_ns: u64) {
        self.current.saturating_record(latency_ns.min(LATENCY_MAX_NS));
    }

    /// Counts `latency_ns` as often as `count`: for messages of one due time.
    #[inline]
    pub fn record_n(&mut self, latency_ns: u64, count: u64) {
        self.current.saturating_record_n(latency_ns.min(LATENCY_MAX_NS), count);
    }

    /// Gives the collector what was recorded since the last time, unless it has not taken the last ones yet.
    pub fn hand_over(&mut self) {
        if self.current.is_empty() {
            return;
        }
        let latency_ns = std::mem::replace(&mut self.current, histogram());
        match self.to.try_send(Interval { series: self.series, latency_ns }) {
            Ok(()) => {}
            Err(TrySendError::Full(kept) | TrySendError::Disconnected(kept)) => {
                self.current = kept.latency_ns;
            }
        }
    }

    /// What the collector has not yet; for [`Collector::absorb`] when the thread is done.
    #[must_use]
    pub fn take(&mut self) -> Interval {
        Interval { series: self.series, latency_ns: std::mem::replace(&mut self.current, histogram()) }
    }
}

/// The collecting end: totals of the whole run, and of the time since it was last asked.
#[derive(Debug)]
pub struct Collector {
    from: Receiver<Interval>,
    to: SyncSender<Interval>,
    series: Vec<Series>,
}

/// One kind of latency.
#[derive(Debug)]
pub struct Series {
    /// Since the start.
    pub total: Histogram<u64>,
    /// Since [`Collector::collect`] was last called.
    pub recent: Histogram<u64>,
}

impl Collector {
    /// For `series` kinds of latency from `threads` threads.
    #[must_use]
    pub fn new(series: usize, threads: usize) -> Self {
        let (to, from) = sync_channel(WAITING_MAX * threads.max(1) * series.max(1));
        let series = (0..series).map(|_| Series { total: histogram(), recent: histogram() }).collect();
        Self { from, to, series }
    }

    /// A recorder for one thread and one kind.
    ///
    /// # Panics
    /// If there is no such series.
    #[must_use]
    pub fn recorder(&self, series: usize) -> Recorder {
        assert!(series < self.series.len(), "series {series} of {}", self.series.len());
        Recorder { series, current: histogram(), to: self.to.clone() }
    }

    /// Takes what was handed over.
    pub fn collect(&mut self) {
        for series in &mut self.series {
            series.recent.reset();
        }
        while let Ok(interval) = self.from.try_recv() {
            self.absorb(&interval);
        }
    }

    /// Takes what a thread gave back when it ended.
    pub fn absorb(&mut self, interval: &Interval) {
        let series = &mut self.series[interval.series];
        merge(&mut series.recent, &interval.latency_ns);
        merge(&mut series.total, &interval.latency_ns);
    }

    /// One kind's latencies.
    #[must_use]
    pub fn series(&self, series: usize) -> &Series {
        &self.series[series]
    }
}

fn merge(to: &mut Histogram<u64>, from: &Histogram<u64>) {
    to.add(from).expect("invariant: all histograms have the same bounds");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_merge_and_intervals_start_anew() {
        let mut collector = Collector::new(2, 2);
        let (mut a, mut b) = (collector.recorder(0), collector.recorder(0));
        let mut other = collector.recorder(1);
        a.record(1_000);
        b.record_n(3_000, 2);
        other.record(9);
        for recorder in [&mut a, &mut b, &mut other] {
            recorder.hand_over();
        }
        collector.collect();
        assert_eq!((collector.series(0).recent.len(), collector.series(1).total.len()), (3, 1));
        b.record(5_000);
        collector.collect();
        collector.absorb(&b.take());
        assert_eq!((collector.series(0).recent.len(), collector.series(0).total.len()), (1, 4));
        let max = collector.series(0).total.max();
        assert!((4_995..=5_005).contains(&max), "{max}");
    }

    #[test]
    fn nothing_is_lost_while_the_collector_is_away() {
        let mut collector = Collector::new(1, 1);
        let mut recorder = collector.recorder(0);
        for latency_ns in 0..10 * WAITING_MAX as u64 {
            recorder.record(latency_ns);
            recorder.hand_over();
        }
        collector.collect();
        recorder.hand_over();
        collector.collect();
        assert_eq!(collector.series(0).total.len(), 10 * WAITING_MAX as u64);
    }

    #[test]
    fn what_is_beyond_the_scale_counts_as_its_end() {
        let collector = Collector::new(1, 1);
        let mut recorder = collector.recorder(0);
        recorder.record(u64::MAX);
        recorder.record(0);
        recorder.record(2 * LATENCY_MAX_NS - 1);
        assert_eq!((recorder.current.len(), recorder.current.count_at(LATENCY_MAX_NS)), (3, 2));
    }
}
