//! Hot path: how alive a source is: when it said something last, when that was a quote, and how far the times in its quotes
//! are from our clock.
//!
//! Rules: two stores for a quote; a quote's time is looked at once in [`SAMPLE_NS`] at most.

use wire::szse::Timestamp;

/// Quotes whose time is looked at are so far apart, at least.
const SAMPLE_NS: u64 = 1_000_000;
/// Of so long a time the least difference counts: a quote is late for many reasons, and early for none.
const INTERVAL_NS: u64 = 1_000_000_000;
/// The estimate moves by this part of what is new.
const SMOOTHING: i64 = 8;
/// A quote of another day (a recording, a test) says nothing about clocks.
const ANOTHER_DAY_NS: i64 = 12 * 3_600 * 1_000_000_000;

/// The signs of life of one source.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pulse {
    heard_ns: u64,
    quote_ns: u64,
    sample_at_ns: u64,
    interval_end_ns: u64,
    /// Least difference of this interval.
    least_us: Option<i64>,
    skew_us: Option<i64>,
}

impl Pulse {
    /// It said something, of whatever kind.
    #[inline]
    pub(super) fn heard(&mut self, now_ns: u64) {
        self.heard_ns = now_ns;
    }

    /// It brought a quote of this time; `wall_ns` is ours, nanoseconds since 1970.
    #[inline]
    pub(super) fn quote(&mut self, now_ns: u64, wall_ns: i64, time: Timestamp) {
        self.quote_ns = now_ns;
        if now_ns >= self.sample_at_ns {
            self.sample_at_ns = now_ns + SAMPLE_NS;
            self.sample(now_ns, wall_ns, time);
        }
    }

    fn sample(&mut self, now_ns: u64, wall_ns: i64, time: Timestamp) {
        let Some(time_ns) = time.to_unix_ns().and_then(|ns| i64::try_from(ns).ok()) else { return };
        let difference_ns = wall_ns.saturating_sub(time_ns);
        if difference_ns.saturating_abs() >= ANOTHER_DAY_NS {
            return;
        }
        if now_ns >= self.interval_end_ns {
            self.end_interval();
            self.interval_end_ns = now_ns + INTERVAL_NS;
        }
        let difference_us = difference_ns / 1_000;
        self.least_us = Some(self.least_us.map_or(difference_us, |least| least.min(difference_us)));
    }

    fn end_interval(&mut self) {
        let Some(least_us) = self.least_us.take() else { return };
        self.skew_us = Some(self.skew_us.map_or(least_us, |skew| skew + (least_us - skew) / SMOOTHING));
    }

    /// Since the last message, or since the feed's start if there was none, milliseconds.
    pub(crate) fn message_age_ms(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.heard_ns) / 1_000_000
    }

    /// The same of the last quote.
    pub(crate) fn quote_age_ms(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.quote_ns) / 1_000_000
    }

    /// Our clock less the time in the source's quotes as they arrive: the least of each second, smoothed over about eight,
    /// microseconds. It is the difference of the clocks and the shortest way together; below 0 only the clocks can be the reason
    /// (a quote's time is cut to its unit, which makes it older). `None` before the first second is over.
    pub(crate) fn skew_us(&self) -> Option<i64> {
        self.skew_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    /// 2026-01-05 09:30 in Shenzhen, nanoseconds since 1970.
    const NINE_THIRTY_NS: u64 = 1_767_576_600_000_000_000;

    /// Quotes that arrive each 10 ms from `begin_ms` on, as late as `late_ms` says of each, by our clock.
    fn quotes(pulse: &mut Pulse, begin_ms: u64, late_ms: &[i64]) {
        for (count, late_ms) in late_ms.iter().enumerate() {
            let now_ns = (begin_ms + count as u64 * 10) * MS;
            let time = Timestamp::from_unix_ns(NINE_THIRTY_NS + now_ns);
            pulse.quote(now_ns, (NINE_THIRTY_NS + now_ns) as i64 + late_ms * MS as i64, time);
        }
    }

    #[test]
    fn ages_count_from_what_was_heard_last() {
        let mut pulse = Pulse::default();
        assert_eq!((pulse.message_age_ms(7 * MS), pulse.quote_age_ms(7 * MS)), (7, 7), "from the start");
        pulse.heard(5 * MS);
        pulse.quote(3 * MS, 0, Timestamp::ZERO);
        assert_eq!((pulse.message_age_ms(7 * MS), pulse.quote_age_ms(7 * MS)), (2, 4));
    }

    #[test]
    fn of_each_second_the_quote_that_was_least_late_counts() {
        let mut pulse = Pulse::default();
        let second: Vec<i64> = (0..100).map(|count| if count == 50 { 3 } else { 40 + count }).collect();
        quotes(&mut pulse, 0, &second);
        assert_eq!(pulse.skew_us(), None, "the second is not over");
        quotes(&mut pulse, 1_000, &second);
        assert_eq!(pulse.skew_us(), Some(3_000));
    }

    #[test]
    fn a_step_of_a_clock_is_followed_smoothly_and_either_way() {
        let mut pulse = Pulse::default();
        for second in 0..3 {
            quotes(&mut pulse, second * 1_000, &[2; 100]);
        }
        quotes(&mut pulse, 3_000, &[-78; 100]);
        quotes(&mut pulse, 4_000, &[-78; 1]);
        assert_eq!(pulse.skew_us(), Some(2_000 - 80_000 / SMOOTHING));
        for second in 4..60 {
            quotes(&mut pulse, second * 1_000, &[-78; 100]);
        }
        assert!((-78_000..-77_900).contains(&pulse.skew_us().unwrap()), "{:?}", pulse.skew_us());
    }

    #[test]
    fn times_that_are_none_and_other_days_say_nothing() {
        let mut pulse = Pulse::default();
        quotes(&mut pulse, 0, &[86_400_000; 300]);
        for (count, raw) in [0, -1, i64::MIN, i64::MAX, 20_261_399_000_000_000].into_iter().enumerate() {
            pulse.quote(count as u64 * 1_000 * MS, i64::MIN, Timestamp::from_raw(raw));
        }
        assert_eq!(pulse.skew_us(), None);
    }
}
