//! Hot path: how much goes over a leased line, and how much may.
//!
//! Bytes are those of the protocol; what TLS, TCP and IP add is not counted (docs/lines.md says how much it is).
//! Rules: plain integers, time is an argument.

/// What a line is measured over, nanoseconds.
const WINDOW_NS: u64 = 1_000_000_000;

/// Bytes over a line in one direction: the last whole second, and the busiest.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    total: u64,
    begin_ns: u64,
    begin_total: u64,
    /// Of the last whole window, bytes a second.
    pub(crate) per_s: u64,
}

impl Meter {
    #[inline]
    pub(crate) fn add(&mut self, bytes: usize) {
        self.total += bytes as u64;
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Call it every few milliseconds; whether a window has ended.
    pub(crate) fn tick(&mut self, now_ns: u64) -> bool {
        let elapsed_ns = now_ns.saturating_sub(self.begin_ns);
        let ended = elapsed_ns >= WINDOW_NS;
        if ended {
            let bytes = u128::from(self.total - self.begin_total);
            self.per_s = (bytes * u128::from(WINDOW_NS) / u128::from(elapsed_ns)) as u64;
            (self.begin_ns, self.begin_total) = (now_ns, self.total);
        }
        ended
    }
}

/// A token bucket of bytes: what a line of this bandwidth would take. It may be overdrawn by one frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    bytes_per_s: u64,
    tokens: i64,
    filled_ns: u64,
}

/// What an idle line may send at once, as a part of a second.
const BURST_DIVISOR: u64 = 20;

impl Bucket {
    pub(crate) fn new(bytes_per_s: u64) -> Self {
        Self { bytes_per_s, tokens: (bytes_per_s / BURST_DIVISOR) as i64, filled_ns: 0 }
    }

    pub(crate) fn bytes_per_s(&self) -> u64 {
        self.bytes_per_s
    }

    /// Whether a frame may go now; if so, [`Self::take`] its bytes.
    #[inline]
    pub(crate) fn may(&mut self, now_ns: u64) -> bool {
        let elapsed_ns = now_ns.saturating_sub(self.filled_ns);
        let new = u128::from(elapsed_ns) * u128::from(self.bytes_per_s) / 1_000_000_000;
        if new > 0 {
            let burst = (self.bytes_per_s / BURST_DIVISOR).max(1) as i64;
            self.tokens = self.tokens.saturating_add(i64::try_from(new).unwrap_or(i64::MAX)).min(burst);
            self.filled_ns = now_ns;
        }
        self.tokens > 0
    }

    #[inline]
    pub(crate) fn take(&mut self, bytes: usize) {
        self.tokens -= bytes as i64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_second_is_measured() {
        let mut meter = Meter::default();
        meter.add(500);
        assert!(!meter.tick(999 * MS));
        meter.add(500);
        assert!(meter.tick(1_000 * MS));
        assert_eq!((meter.per_s, meter.total()), (1_000, 1_000));
        meter.add(300);
        assert!(meter.tick(3_000 * MS), "late");
        assert_eq!(meter.per_s, 150);
    }

    #[test]
    fn over_time_no_more_goes_than_the_bandwidth() {
        let mut bucket = Bucket::new(100_000);
        let (mut sent, frame) = (0, 121);
        for ms in 0..10_000 {
            while bucket.may(ms * MS) {
                bucket.take(frame);
                sent += frame as u64;
            }
        }
        let burst = 100_000 / BURST_DIVISOR;
        assert!((1_000_000..=1_000_000 + burst + 2 * 121).contains(&sent), "{sent}");
    }
}
