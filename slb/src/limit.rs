//! So many a second: a token bucket that threads share without a lock.
//!
//! One number says when the bucket will be full again; what it lacks now is how far that is away.
//! (GCRA: ITU-T I.371, annex A.)

use std::sync::atomic::{AtomicU64, Ordering};
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
}

impl Limit {
    pub(crate) fn new(per_s: u64) -> Self {
        Self { per_s: AtomicU64::new(per_s), start: Instant::now(), full_at_ns: AtomicU64::new(0) }
    }

    pub(crate) fn set(&self, per_s: u64) {
        self.per_s.store(per_s, Ordering::Relaxed);
    }

    pub(crate) fn is_none(&self) -> bool {
        self.per_s.load(Ordering::Relaxed) == 0
    }

    /// How long until something may go; zero: now. Then [`Self::spend`] it; that may overdraw the bucket.
    pub(crate) fn wait(&self, now: Instant) -> Duration {
        if self.is_none() {
            return Duration::ZERO;
        }
        let lacks_ns = self.full_at_ns.load(Ordering::Relaxed).saturating_sub(self.ns(now));
        // One more than the burst: at the burst itself the bucket is empty.
        Duration::from_nanos(lacks_ns.saturating_add(1).saturating_sub(BURST_NS))
    }

    pub(crate) fn spend(&self, count: u64, now: Instant) {
        let per_s = self.per_s.load(Ordering::Relaxed);
        if per_s == 0 {
            return;
        }
        let now_ns = self.ns(now);
        let cost_ns =
            u64::try_from(u128::from(count) * u128::from(SECOND_NS) / u128::from(per_s)).unwrap_or(u64::MAX);
        self.full_at_ns
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at_ns| {
                Some(full_at_ns.max(now_ns).saturating_add(cost_ns))
            })
            .expect("invariant: the update always says something");
    }

    /// Whether one more may go now; if so, it is spent.
    pub(crate) fn admit(&self, now: Instant) -> bool {
        let admits = self.wait(now).is_zero();
        if admits {
            self.spend(1, now);
        }
        admits
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
    fn who_overdraws_waits_for_it() {
        let limit = Limit::new(1_000_000);
        limit.spend(500_000, limit.start);
        assert_eq!(limit.wait(limit.start).as_millis(), 400);
        assert!(limit.wait(limit.start + Duration::from_millis(401)).is_zero());
        limit.set(0);
        assert!(limit.is_none() && limit.wait(limit.start).is_zero());
        limit.spend(u64::MAX, limit.start);
    }
}
