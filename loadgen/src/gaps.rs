//! How long receivers heard nothing though something was due: the longest silence that ended in each tenth of a second
//! of the run.

/// Length of a bucket, nanoseconds.
pub const BUCKET_NS: u64 = 100_000_000;
/// An hour; later silences count for its last bucket.
const BUCKETS_MAX: usize = 36_000;

/// The longest silence, nanoseconds, by the time at which it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    buckets: Vec<u64>,
}

impl Gaps {
    /// Something came at `now_ns`; since `since_ns` nothing had, and something was due.
    #[inline]
    pub fn ended(&mut self, since_ns: u64, now_ns: u64) {
        let bucket = bucket(now_ns);
        if bucket >= self.buckets.len() {
            self.buckets.resize(bucket + 1, 0);
        }
        let longest = &mut self.buckets[bucket];
        *longest = (*longest).max(now_ns.saturating_sub(since_ns));
    }

    /// The longest that ended between these times, to the bucket.
    #[must_use]
    pub fn longest(&self, from_ns: u64, until_ns: u64) -> u64 {
        let range = bucket(from_ns).min(self.buckets.len())..(bucket(until_ns) + 1).min(self.buckets.len());
        self.buckets.get(range).and_then(|buckets| buckets.iter().max().copied()).unwrap_or(0)
    }

    /// Takes over another receiver's.
    pub fn merge(&mut self, other: &Self) {
        self.buckets.resize(self.buckets.len().max(other.buckets.len()), 0);
        for (own, other) in self.buckets.iter_mut().zip(&other.buckets) {
            *own = (*own).max(*other);
        }
    }
}

fn bucket(at_ns: u64) -> usize {
    usize::try_from(at_ns / BUCKET_NS).unwrap_or(usize::MAX).min(BUCKETS_MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_of_a_time_is_found() {
        let mut gaps = Gaps::default();
        gaps.ended(0, 5);
        gaps.ended(BUCKET_NS, 4 * BUCKET_NS);
        gaps.ended(4 * BUCKET_NS, 4 * BUCKET_NS + 7);
        let mut other = Gaps::default();
        other.ended(9 * BUCKET_NS, 9 * BUCKET_NS + 50);
        gaps.merge(&other);
        assert_eq!(gaps.longest(0, u64::MAX), 3 * BUCKET_NS);
        assert_eq!(gaps.longest(0, 3 * BUCKET_NS), 5);
        assert_eq!(gaps.longest(5 * BUCKET_NS, 9 * BUCKET_NS), 50);
        assert_eq!((gaps.longest(20 * BUCKET_NS, u64::MAX), Gaps::default().longest(0, 1)), (0, 0));
        gaps.ended(0, u64::MAX);
        assert_eq!(gaps.buckets.len(), BUCKETS_MAX);
    }
}
