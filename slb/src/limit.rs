//! So many a second: a token bucket that threads share without a lock.
//!
//! One number says when the bucket will be full again; what it lacks now is how far that is away.
//! (GCRA: ITU-T I.371, annex A.)

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// What a full bucket holds, as a part of a second.
const BURST_NS: u64 = 100_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// See the module. A limit of 0 is none.
#[derive(Debug)]
pub(crate) struct Limit {
    per_s: AtomicU64,
    start: Instant,
    full_at_ns: AtomicU64,
    /// How often the limit was changed.
    changes: AtomicU64,
    waiting: AtomicUsize,
}

/// Somebody waits for a turn, until this is dropped.
#[derive(Debug)]
pub(crate) struct Waits<'a>(&'a Limit);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A turn in the line for what a limit gives out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) at: Instant,
    /// What it was given under.
    changes: u64,
}

impl Limit {
    pub(crate) fn new(per_s: u64) -> Self {
        Self {
            per_s: AtomicU64::new(per_s),
            start: Instant::now(),
            full_at_ns: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
        }
    }

    pub(crate) fn wait(&self) -> Waits<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waits(self)
    }

    /// How many wait for a turn.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Changes the limit. Another one begins with a full bucket: what was overdrawn by the old one, perhaps a wrong one,
    /// holds nobody up.
    pub(crate) fn set(&self, per_s: u64) {
        if self.per_s.swap(per_s, Ordering::Relaxed) != per_s {
            self.full_at_ns.store(0, Ordering::Relaxed);
            self.changes.fetch_add(1, Ordering::Release);
        }
    }

    pub(crate) fn per_s(&self) -> u64 {
        self.per_s.load(Ordering::Relaxed)
    }

    pub(crate) fn is_none(&self) -> bool {
        self.per_s() == 0
    }

    /// Pays for `count` and says when they may go: when all that was paid before has gone, so that those who pay have their
    /// turns in the order in which they came.
    pub(crate) fn queue(&self, count: u64, now: Instant) -> Turn {
        let changes = self.changes.load(Ordering::Acquire);
        let before_ns = self.pay(count, now);
        // At the burst itself the bucket is empty.
        let at_ns = before_ns.saturating_add(1).saturating_sub(BURST_NS);
        let at = self.start.checked_add(Duration::from_nanos(at_ns)).unwrap_or(now);
        Turn { at, changes }
    }

    /// Whether a turn has come, or the limit is another one since.
    pub(crate) fn has_come(&self, turn: &Turn, now: Instant) -> bool {
        turn.at <= now || self.changes.load(Ordering::Acquire) != turn.changes
    }

    /// Whether one more may go now; if so, it is spent.
    pub(crate) fn admit(&self, now: Instant) -> bool {
        let lacks_ns = self.full_at_ns.load(Ordering::Relaxed).saturating_sub(self.ns(now));
        let admits = self.is_none() || lacks_ns < BURST_NS;
        if admits {
            self.pay(1, now);
        }
        admits
    }

    /// Empties the bucket by so many, into debt if need be; says when it would have been full before.
    fn pay(&self, count: u64, now: Instant) -> u64 {
        let (now_ns, cost_ns) = (self.ns(now), self.cost_ns(count));
        if cost_ns == 0 {
            return self.full_at_ns.load(Ordering::Relaxed);
        }
        self.update(|full_at_ns| full_at_ns.max(now_ns).saturating_add(cost_ns))
    }

    fn update(&self, change: impl Fn(u64) -> u64) -> u64 {
        self.full_at_ns
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at_ns| Some(change(full_at_ns)))
            .expect("invariant: the update always says something")
    }

    fn cost_ns(&self, count: u64) -> u64 {
        match self.per_s() {
            0 => 0,
            per_s => {
                let cost_ns = u128::from(count) * u128::from(SECOND_NS) / u128::from(per_s);
                u64::try_from(cost_ns).unwrap_or(u64::MAX)
            }
        }
    }

    fn ns(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_time_no_more_goes_than_the_limit_and_no_less() {
        let limit = Limit::new(1_000);
        let admitted = |ms| (0..5).filter(|_| limit.admit(limit.start + Duration::from_millis(ms))).count();
        let total: usize = (0..10_000).map(admitted).sum();
        assert!((10_000..=10_101).contains(&total), "{total}: ten seconds and one burst");
    }

    #[test]
    fn a_slow_limit_admits_one_and_then_none_until_its_time() {
        let limit = Limit::new(1);
        let at = |ms| limit.start + Duration::from_millis(ms);
        assert!(limit.admit(at(0)) && !limit.admit(at(0)) && !limit.admit(at(899)));
        assert!(limit.admit(at(1_000)));
    }

    #[test]
    fn turns_come_one_after_the_other_and_a_full_bucket_ahead() {
        let limit = Limit::new(1_000_000);
        let after = |count| {
            let turn = limit.queue(count, limit.start);
            turn.at.saturating_duration_since(limit.start).as_millis()
        };
        assert_eq!([after(500_000), after(100_000), after(7), after(0)], [0, 400, 500, 500]);
    }

    #[test]
    fn another_limit_begins_without_the_debts_of_the_old_one() {
        let limit = Limit::new(1);
        limit.queue(1_000_000, limit.start);
        let late = limit.start + Duration::from_secs(900_000);
        let turn = limit.queue(1, limit.start);
        limit.set(1);
        assert!(!limit.has_come(&turn, late) && !limit.admit(late), "it is the same limit");
        limit.set(1_000_000);
        assert!(limit.has_come(&turn, limit.start) && limit.admit(limit.start));
        assert!(limit.queue(1, limit.start).at <= limit.start);
        limit.set(0);
        assert!(limit.is_none() && limit.queue(u64::MAX, limit.start).at <= limit.start);
    }
}
