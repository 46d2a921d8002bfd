//! The time of a row: the clock of the exchange, without a date.

use std::fmt;

use wire::szse::Timestamp;

/// Milliseconds since midnight, UTC+8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay {
    /// Milliseconds since midnight.
    pub ms: u32,
}

impl TimeOfDay {
    /// From hours, minutes and seconds.
    #[must_use]
    pub const fn hms(hour: u32, minute: u32, second: u32) -> Self {
        Self { ms: ((hour * 60 + minute) * 60 + second) * 1_000 }
    }

    /// Reads `09:15:00.020`; the milliseconds may be absent.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (clock, ms) = match text.split_at_checked(8)? {
            (clock, []) => (clock, 0),
            (clock, [b'.', ms @ ..]) if ms.len() == 3 => (clock, two_or_three_digits(ms)?),
            _ => return None,
        };
        let [h1, h2, b':', m1, m2, b':', s1, s2] = clock else { return None };
        let part = |digits: [&u8; 2]| two_or_three_digits(&[*digits[0], *digits[1]]);
        let (hour, minute, second) = (part([h1, h2])?, part([m1, m2])?, part([s1, s2])?);
        let valid = hour < 24 && minute < 60 && second < 60;
        valid.then(|| Self { ms: Self::hms(hour, minute, second).ms + ms })
    }

    /// On a day given as YYYYMMDD.
    #[must_use]
    pub const fn on(self, date: u32) -> Timestamp {
        let (hour, minute, second_ms) = (self.ms / 3_600_000, self.ms / 60_000 % 60, self.ms % 60_000);
        let clock = hour as i64 * 10_000_000 + minute as i64 * 100_000 + second_ms as i64;
        Timestamp::from_raw(date as i64 * 1_000_000_000 + clock)
    }

    /// The time of day of a timestamp.
    #[must_use]
    pub const fn of(timestamp: Timestamp) -> Self {
        Self { ms: timestamp.ms_of_day() }
    }
}

fn two_or_three_digits(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u32::from(digit - b'0')))
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hour, minute, second) = (self.ms / 3_600_000, self.ms / 60_000 % 60, self.ms / 1_000 % 60);
        write!(f, "{hour:02}:{minute:02}:{second:02}.{:03}", self.ms % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_prints_and_stamps() {
        let time = TimeOfDay::parse(b"09:15:01.020").unwrap();
        assert_eq!(time.ms, 33_301_020);
        assert_eq!(time.to_string(), "09:15:01.020");
        assert_eq!(time.on(20_230_201), Timestamp::from_raw(20_230_201_091_501_020));
        assert_eq!(TimeOfDay::of(time.on(20_230_201)), time);
        assert_eq!(TimeOfDay::parse(b"15:00:00"), Some(TimeOfDay::hms(15, 0, 0)));
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "",
            "9:15:00",
            "24:00:00",
            "09:60:00",
            "09:15:60",
            "09:15:00.",
            "09:15:00.02",
            "09-15-00",
            "0x:15:00",
        ] {
            assert_eq!(TimeOfDay::parse(text.as_bytes()), None, "{text:?}");
        }
    }
}
